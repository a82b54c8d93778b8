/* SPDX-License-Identifier: MIT */
/*
 * shutdown.pml - troupe_runtime_stop(): actors are told, counted and waited for, then threads end, then cells come home.
 *
 * The stopper sets `stopping`, passes once through the lock of every shard, so that no foreign thread that had not
 * seen it is still spawning, and then counts: every context has a number of spawns and one of ends, which their
 * owners alone advance.  The ends are read first.  If as many were spawned as had ended before, then nobody lived
 * when the first reading ended, and nobody can be born, because only the living spawn.  Otherwise it tells whoever lives
 * to end and sleeps until somebody does.  Whoever buries an actor counts it, then looks at `stopping`.
 * Then `stop` ends the threads, the watchdog first, which may be starting a spare worker just now.  Then, with
 * nobody left to run, a last grace period brings what senders pushed into dead cells.
 *
 * Checked, under sequential consistency, in every interleaving of sched/runtime.c with its surroundings:
 *   - when the stopper finds that all have ended, nobody lives, and nobody is spawned afterwards;
 *   - it finds it, without any help of the clock (in the code it looks every 10 ms as well);
 *   - when stop returns no worker runs, the cell of ROOT was disposed of once, and no message is in it.
 *
 * One step is one access that others may see.  Worker 0 is there from the start; worker 1 is a spare that the
 * watchdog starts, retires and starts again as it likes.  ROOT is spawned before; it may spawn CHILD, end by itself, or be
 * told to end.  One foreign thread spawns FOREIGN, one sends to ROOT; they have a shard each.  A worker sleeps until
 * there is work or `stop`: park.pml is about that.  Left out: time-out and kill, roots before others, retries after
 * ETIMEDOUT, runtimes without threads.
 *
 *   -DLAUNCHES=n                    how often the spare may be started
 *   -DSPAWNERS=0, -DSENDERS=0       without the foreign thread that does so
 *   -DBUG=n  breaks one line; the table is in README.md
 */
#ifndef BUG
#define BUG 0
#endif
#ifndef SPAWNERS
#define SPAWNERS 1
#endif
#ifndef SENDERS
#define SENDERS 1
#endif
#ifndef LAUNCHES
#define LAUNCHES 2 /* of the spare */
#endif

/* Actors. */
#define ROOT 0
#define CHILD 1
#define FOREIGN 2
#define ACTORS 3
#define NOBODY ACTORS

#define UNBORN 0
#define QUEUED 1 /* a run slot is in a queue */
#define RUNS 2
#define PARKED 3
#define ENDED 4
byte state[ACTORS];
bool published[ACTORS]; /* published, not yet sealed */
bool told[ACTORS];
byte mail = 0;     /* messages in ROOT's mailbox */

/* Contexts: two workers, two shards. */
byte spawned[4];
byte exited[2];
bool shard_locked[2];

/* ROOT's cell, on its way to the next actor; those of the others go the same way. */
bool zombie = false;   /* buried, on the list of worker `home` */
byte home = 0;
bool retired = false;  /* in its grace period */
byte waiting = 0;      /* who was inside when that began, and still is */
bool returned = false; /* it is over */
bool disposed = false;

/* The runtime. */
byte running = 1;   /* workers made so far */
bool stopping = false;
bool stop = false;
byte event = 0;     /* runtime->stopped, modulo 4; the waiter is never so far behind */
bool retire = false; /* the spare's */
bool gone = false;
byte launches = LAUNCHES;

/* Read sections: one bit for each foreign thread. */
byte inside = 0;

/* Threads. */
byte threads = 0;   /* of workers */
bool alive[2];
bool watching = false;

/* Only for the assertions. */
bool over = false;  /* the stopper has found that all have ended */

#define LIVES(a) (state[a] != UNBORN && state[a] != ENDED)
#define IS_WORK (state[ROOT] == QUEUED || state[CHILD] == QUEUED || state[FOREIGN] == QUEUED)

/* trp_actor_spawn() and trp_actor_launch(), in context c. */
inline spawn(a, c)
{
    d_step {
        assert(!over && state[a] == UNBORN);
        state[a] = RUNS; /* the token is the spawner's */
        published[a] = true
    };
#if BUG == 10
    state[a] = QUEUED;
    spawned[c]++
#else
    spawned[c]++;
    state[a] = QUEUED
#endif
}

/* Part of a step: a shutdown message, or any other; who parks is queued. */
inline rouse(a)
{
    if
    :: state[a] == PARKED -> state[a] = QUEUED
    :: else
    fi
}

/* Part of a step: trp_exit_flush() of worker w. */
inline flush(w)
{
    if
    :: zombie && home == w ->
        zombie = false;
        retired = true;
        waiting = inside
    :: else
    fi
}

/* Part of a step: trp_worker_take_returned(), of whoever's. */
inline take_returned()
{
    if
    :: returned ->
        assert(!disposed);
        returned = false;
        disposed = true;
        mail = 0
    :: else
    fi
}

/* The thread of a worker. */
proctype worker(byte me)
{
    byte a = NOBODY;

    do
    :: atomic {
        stop || (me == 1 && retire) -> break /* is_told_to_stop() */
    }
    :: atomic {
        IS_WORK && !stop ->
            if
            :: state[ROOT] == QUEUED -> a = ROOT
            :: state[CHILD] == QUEUED -> a = CHILD
            :: state[FOREIGN] == QUEUED -> a = FOREIGN
            fi;
            state[a] = RUNS
    };
        if
        :: a == ROOT && state[CHILD] == UNBORN -> spawn(CHILD, me)
        :: true
        fi;
        if
        :: atomic {
            !told[a] ->
                if
                :: a == ROOT -> mail = 0
                :: else
                fi;
                state[a] = PARKED
        };
            goto let_go
        :: told[a] || a == ROOT
        fi;
        /* SEAL, DRAIN. */
        published[a] = false;
        d_step {
            if
            :: a == ROOT -> mail = 0
            :: else
            fi
        };
        /* trp_exit_bury() */
#if BUG == 5
        if
        :: stopping -> event = (event + 1) % 4
        :: else
        fi;
#endif
        d_step {
            state[a] = ENDED;
            if
            :: a == ROOT ->
                zombie = true;
                home = me
            :: else
            fi;
            exited[me]++
        };
#if BUG != 5
        if
        :: stopping -> event = (event + 1) % 4
        :: else
        fi;
#endif
let_go:
        a = NOBODY
    :: d_step { returned -> take_returned() }
    :: d_step { zombie && home == me -> flush(me) }
    od;
    skip;
    /* leave_for_good() */
    d_step {
#if BUG != 11
        flush(me);
#endif
        if
        :: me == 1 -> gone = true
        :: else
        fi
    };
    d_step {
        alive[me] = false;
        threads--
    }
}

/* Part of a step: starts the thread of worker w. */
inline start_worker(w)
{
    assert(!alive[w]);
    alive[w] = true;
    threads++;
    run worker(w)
}

/* trp_watchdog_main(); trp_runtime_start_spare() and retire_spares(), whenever it likes. */
proctype watchdog()
{
    do
    :: stop -> break
    :: !stop ->
        if
        :: atomic { running == 1 && launches > 0 -> running = 2 };
            atomic {
                launches--;
                start_worker(1)
            }
        :: running == 2 && gone && launches > 0 ->
            atomic { !alive[1]; gone = false }; /* joins it */
            atomic {
                retire = false;
                launches--;
                start_worker(1)
            }
        :: running == 2 && !retire -> retire = true
        :: stop
        fi
    od;
    watching = false
}

/* One bit in `inside`, one shard. */
inline enter()
{
    atomic {
        !shard_locked[me];
        shard_locked[me] = true;
        inside = inside | (1 << me)
    }
}

inline leave()
{
    d_step {
        inside = inside & ~(1 << me);
        waiting = waiting & ~(1 << me);
        shard_locked[me] = false
    }
}

/* troupe_runtime_spawn() */
proctype spawner(byte me)
{
#if BUG == 2
    if
    :: stopping -> goto refused
    :: else
    fi;
    enter();
#else
    enter();
    if
    :: stopping -> goto leaves
    :: else
    fi;
#endif
    spawn(FOREIGN, 2 + me);
leaves:
    leave();
refused:
    skip
}

/* troupe_runtime_send() to ROOT. */
proctype sender(byte me)
{
    enter();
    if
    :: published[ROOT] ->
        d_step {
            assert(!disposed);
            mail++;
            rouse(ROOT)
        }
    :: else
    fi;
    leave()
}

/* liburcu's thread, come_home(). */
proctype reclaimer()
{
end:
    d_step {
        retired && (waiting == 0 || BUG == 12) ->
            retired = false;
            returned = true
    }
}

/* Adds up the ends of all workers made so far. */
inline read_exited(sum)
{
    atomic {
        sum = exited[0];
        n = running
    };
    if
    :: n == 2 -> sum = sum + exited[1]
    :: else
    fi
}

/* The same of the spawns of all contexts. */
inline read_spawned(sum)
{
    atomic {
        n = running;
        sum = spawned[0]
    };
    if
    :: n == 2 -> sum = sum + spawned[1]
    :: else
    fi;
    sum = sum + spawned[2];
    sum = sum + spawned[3]
}

/* shut_down() of one: a look at the pid, told once. */
inline shut_down(x)
{
    d_step {
        if
        :: published[x] && !told[x] ->
            told[x] = true;
            rouse(x)
        :: else
        fi
    }
}

/* stop_locked() */
proctype stopper()
{
    byte before = 0;
    byte after = 0;
    byte value = 0;
    byte n = 0;
    bool once = false;

#if BUG != 3
    stopping = true;
#endif
#if BUG != 1
    /* let_visitors_out() */
    !shard_locked[0];
    !shard_locked[1];
#endif
#if BUG == 3
    stopping = true;
#endif
    /* await_end() */
    do
    :: true ->
#if BUG != 6
        value = event;
#endif
        /* are_all_gone() */
#if BUG == 4
        read_spawned(after);
        read_exited(before);
#else
        read_exited(before);
        read_spawned(after);
#endif
        if
        :: after == before -> break
        :: else
        fi;
#if BUG == 6
        value = event;
#endif
        d_step {
            before = 0;
            after = 0;
            n = 0
        };
        /* tell() */
        if
        :: BUG == 9 && once
        :: else ->
            shut_down(ROOT);
            shut_down(CHILD);
            shut_down(FOREIGN)
        fi;
        once = (BUG == 9);
        /* wait_a_little() */
        event != value
    od;
    skip;
    d_step {
        assert(!LIVES(ROOT) && !LIVES(CHILD) && !LIVES(FOREIGN));
        over = true;
        before = 0;
        after = 0;
        value = 0
    };
    /* stop_threads() */
    stop = true;
#if BUG == 7
    n = running;
#endif
    !watching;
#if BUG != 7
    n = running;
#endif
    !alive[0];
    if
    :: n == 2 -> !alive[1]
    :: else
    fi;
    assert(threads == 0);
    /* bring_home() */
#if BUG != 11
    d_step {
        flush(home)
    };
#endif
    /* trp_reclaim_barrier() */
    !retired || BUG == 8;
    d_step { take_returned() };
    assert(disposed);
    assert(mail == 0)
}

init
{
    atomic {
        state[ROOT] = QUEUED;
        published[ROOT] = true;
        spawned[2] = 1;
        watching = true;
        start_worker(0);
        run watchdog();
#if SPAWNERS
        run spawner(0);
#endif
#if SENDERS
        run sender(1);
#endif
        run reclaimer();
        run stopper()
    };
    timeout ->
    assert(mail == 0)
}
