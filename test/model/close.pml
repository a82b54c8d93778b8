/* SPDX-License-Identifier: MIT */
/*
 * close.pml - an actor ends: its pid is sealed, its cell rests, is restarted, released, or goes to the next actor.
 *
 * mailbox.pml has the queue, and one death in it.  Here the queue is a count, and the model is about who has the
 * cell.  The seal is the pid: who looks it up afterwards misses.  Who found the cell before may still push, inside a
 * read section; so after the seal come the drain, a grace period, and the disposal of what raced in, and only then
 * does the next actor get the cell.  A child that keeps its mailbox is not sealed: when its notices are sent it
 * leaves the token in the cell (RESTARTING).  Its supervisor, who may be told before that, and troupe_runtime_stop(), which
 * kills and releases, meet the end of EXITING in one compare-and-swap each: who comes first leaves a wish, or
 * the token; who comes second acts on it.
 *
 * Checked, under sequential consistency, in every interleaving of sched/exit.c with trp_send_charged() and
 * trp_actor_signal():
 *   - the token is in one place: a queue, a worker, the cell (RESTARTING), the grace period, or nowhere (PARKED);
 *   - no message or signal that was meant for one actor meets the next one in the cell;
 *   - every accepted message is handled, or ends in the drain or the disposal, also across restarts;
 *   - who was told that the restart will be done, or the release, gets it, unless a release came as well;
 *   - at the end nobody waits: the cell is free, or its actor is parked, or rests and nobody has asked for anything.
 *
 * One step is one access that others may see.  Two workers take slices; entering a read section is one step with the
 * look-up.  There are LIVES actors, one after the other, in the one cell; the first KEEPS its mailbox and
 * may be restarted RESTARTS times.
 *
 *   -DKEEPS=0, -DRESTARTS=n, -DLIVES=n, -DSENDS=n of each of two senders
 *   -DBUG=n  breaks one line; the table is in README.md
 */
#ifndef BUG
#define BUG 0
#endif
#ifndef KEEPS
#define KEEPS 1
#endif
#ifndef RESTARTS
#define RESTARTS 2
#endif
#ifndef LIVES
#define LIVES 2
#endif
#ifndef SENDS
#define SENDS 2 /* of each sender */
#endif

/* enum trp_phase */
#define NEW 0
#define RUNNING 1
#define EXITING 2
#define EXITING_RESTART 3
#define EXITING_RELEASE 4
#define RESTARTING 5
#define DEAD 6
#define FREE 7

/* The cell. */
byte published = 1; /* its pid: the number of the life; 0: nobody */
byte phase = NEW;
bool parked = false;
bool keeps = KEEPS;
byte mail = 0;
bool kill = false; /* signals */
byte incarnation = 0;
bool sealing = false; /* last->step: SEAL, not SPEND */

byte run_queue = 1; /* run slots of this actor that are queued */

/* Read sections: SENDER0, SENDER1, KILLER, SUPERVISOR. */
byte inside = 0;
byte waiting = 0;
bool buried = false;

bool notice = false; /* the supervisor is told, and has not acted */

/* Only for the assertions. */
byte life = 1;      /* whose cell it is */
byte token = 1;
byte running = 0;   /* workers in a slice of it */
byte accepted = 0;
byte ended = 0;     /* messages handled or dropped */
bool wish_restart = false;
bool wish_release = false;

/* Part of a step. */
inline leave()
{
    inside = inside & ~(1 << me);
    waiting = waiting & ~(1 << me)
}

/* Part of a step: trp_worker_schedule(). */
inline schedule()
{
    run_queue++;
    assert(run_queue == 1 && token == 1 && running == 0 && !parked)
}

/* Part of a step: the second half of trp_mailbox_push(), or trp_mailbox_unpark(). */
inline unpark()
{
    if
    :: parked ->
        parked = false;
        token++;
        schedule()
    :: else
    fi
}

proctype sender(byte me)
{
    byte to = 0;
    byte left = SENDS;

end:
    do
    :: atomic {
        /* The pid of whoever lives now. */
        left > 0 && published != 0 ->
            left--;
            to = published
    };
        /* trp_table_find() */
        atomic {
            inside = inside | (1 << me);
            if
            :: published != to && BUG != 1 ->
                leave();
                goto refused
            :: else
            fi
        };
#if BUG == 2
        d_step { leave() };
#endif
        d_step {
            assert(life == to);
            mail++;
            accepted++;
            unpark()
        };
        d_step { leave() };
refused:
        to = 0
    od
}

/* renew(): whoever has the token. */
inline renew()
{
    d_step {
        incarnation++;
        wish_restart = false
    }
}

/* trp_actor_restart() */
inline restart(to)
{
    if
    :: d_step { phase == EXITING && (keeps || BUG) -> phase = EXITING_RESTART; wish_restart = true };
        goto asked
    :: d_step { phase == EXITING && !keeps && !BUG -> phase = EXITING_RESTART };
        goto asked /* it is on its way out for good */
    :: phase != EXITING
    fi;
#if BUG == 3
    if
    :: phase == RESTARTING -> phase = NEW
    :: phase != RESTARTING -> goto asked
    fi;
#else
    if
    :: d_step { phase == RESTARTING -> phase = NEW; wish_restart = true }
    :: phase != RESTARTING -> goto asked
    fi;
#endif
    skip;
    renew();
    d_step { schedule() };
asked:
    skip
}

/* trp_actor_release() */
inline release(to)
{
    if
    :: d_step { phase == EXITING -> phase = EXITING_RELEASE; wish_release = true; wish_restart = false };
        goto released
    :: phase != EXITING
    fi;
    if
    :: d_step { phase == RESTARTING -> phase = EXITING; wish_release = true; wish_restart = false }
    :: phase != RESTARTING -> goto released
    fi;
    skip;
    d_step {
        keeps = false;
        sealing = true
    };
    d_step { schedule() };
released:
    skip
}

/* Lives on another worker: told of each end. */
proctype supervisor(byte me)
{
    byte restarts = RESTARTS;
    byte to = 1;

end:
    do
    :: atomic {
        notice ->
            notice = false;
            inside = inside | (1 << me);
            if
            :: published != to -> goto over
            :: else
            fi
    };
        if
        :: atomic { restarts > 0 -> restarts-- };
            restart(to)
        :: release(to)
        fi;
over:
        skip;
        d_step { leave() }
    od
}

/* troupe_runtime_stop(): kill_actor(), perhaps. */
proctype killer(byte me)
{
    byte to = 1;

    if
    :: true
    :: true -> goto none
    fi;
    atomic {
        inside = inside | (1 << me);
        if
        :: published != to ->
            leave();
            goto none
        :: else
        fi
    };
    /* trp_actor_signal() */
    d_step {
        assert(life == to);
        kill = true
    };
    d_step { unpark() };
    release(to);
    d_step { leave() };
none:
    skip
}

/* Part of a step: the slot goes back to the queue. */
inline let_go()
{
    running--;
    run_queue++;
    assert(run_queue == 1 && token == 1 && running == 0)
}

proctype worker()
{
end:
    do
    :: atomic {
        run_queue == 1 ->
            run_queue = 0;
            running++;
            assert(token == 1 && running == 1 && !parked && !buried)
    };
        /* begin_slice() */
        if
        :: phase == NEW && kill ->
            assert(life == 1); /* nobody has killed the second actor */
            goto begins_exit
        :: phase == NEW && !kill -> phase = RUNNING
        :: phase == RUNNING
        :: phase != NEW && phase != RUNNING -> goto continues_exit
        fi;
receives:
        /* receive_slice() */
        if
        :: kill ->
            assert(life == 1);
            goto begins_exit
        :: !kill && mail > 0 ->
            d_step {
                assert(published == life && phase == RUNNING);
                mail--;
                ended++
            };
            if
            :: true -> goto receives
            :: true -> goto begins_exit
            fi
        :: !kill && mail == 0
        fi;
        /* pause_slice() */
        atomic {
            if
            :: mail == 0 ->
                parked = true;
                running--;
                token--
            :: else -> goto receives
            fi
        };
#if BUG != 10
        if
        :: kill
        :: !kill -> goto slept
        fi;
        atomic {
            if
            :: parked ->
                parked = false;
                token++;
                running++;
                goto receives
            :: else
            fi
        };
#endif
        goto slept;

begins_exit:
        skip;
        /* trp_exit_begin() */
        d_step {
            phase = EXITING;
            sealing = !keeps
        };
continues_exit:
        /* trp_exit_continue() */
        if
        :: !sealing -> goto notifies
        :: sealing
        fi;
#if BUG != 4
        published = 0; /* seal() */
#endif
        /* drain() */
        d_step {
            ended = ended + mail;
            mail = 0
        };
notifies:
        /* forget_signals(): before anybody is told */
        kill = kill && !keeps;
        notice = (life == 1);
        if
        :: keeps -> goto rests
        :: !keeps
        fi;
        /* trp_exit_bury(), trp_exit_flush() */
        d_step {
            phase = DEAD;
            waiting = inside;
            buried = true;
            running--;
            assert(token == 1 && run_queue == 0)
        };
        goto slept;

rests:
        /* rest() */
#if BUG == 5
        if
        :: phase == EXITING -> d_step { phase = RESTARTING; running-- }; goto slept
        :: phase != EXITING
        fi;
#else
        if
        :: d_step { phase == EXITING -> phase = RESTARTING; running-- };
            goto slept
        :: phase != EXITING
        fi;
#endif
        if
        :: phase == EXITING_RESTART ->
            renew();
            phase = NEW
        :: phase == EXITING_RELEASE ->
            d_step {
                phase = EXITING;
                keeps = false;
                sealing = (BUG != 6)
            }
        fi;
        skip;
        d_step { let_go() };
slept:
        skip
    od
}

/* liburcu, then reclaimed(), then the next spawn. */
proctype reclaimer()
{
end:
    do
    :: buried && (waiting == 0 || BUG == 7) ->
#if BUG != 8
        d_step {
            ended = ended + mail;
            mail = 0
        };
#endif
        d_step {
            assert(!parked && run_queue == 0);
            assert(accepted == ended);
            assert(!wish_restart || wish_release);
            buried = false;
            phase = FREE;
            token = 0
        };
        if
        :: life < LIVES
        :: life == LIVES -> break
        fi;
        /* trp_actor_spawn() */
        d_step {
            life++;
            keeps = false;
            mail = 0;
            accepted = 0;
            ended = 0;
            kill = kill && BUG == 9;
            sealing = false;
            incarnation = 0;
            wish_restart = false;
            wish_release = false;
            token = 1;
            phase = NEW
        };
        published = life;
        d_step { schedule() }
    od
}

init
{
    atomic {
        run sender(0);
        run sender(1);
        run supervisor(2);
        run killer(3);
        run worker();
        run worker();
        run reclaimer()
    };
    timeout ->
    d_step {
        assert(inside == 0 && run_queue == 0);
        assert(!wish_restart && (!wish_release || life > 1 || phase == FREE));
        assert((phase == FREE && token == 0) || (parked && token == 0 && mail == 0 && accepted == ended && !kill) ||
            (phase == RESTARTING && token == 1 && !notice))
    }
}
