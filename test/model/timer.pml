/* SPDX-License-Identifier: MIT */
/*
 * timer.pml - timers of one actor: armed, cancelled, fired by anybody, retired, and an exit in between.
 *
 * A timer's block is in the pool, or its owner's.  Armed, it is linked in a wheel; whoever advances that wheel takes
 * out what is due under its lock and sends it, outside of the lock, to the owner's cell, without asking who lives
 * there.  From then on the block is a message; it ends, or is armed again, when its owner retires it.  Three things
 * make that safe: under the lock a timer is ARMED or FIRING and the owner's cancel sees which; an exit cancels
 * all that is armed; and what was taken out before is sent inside a read section, so the cell stays until it came.
 *
 * Checked, under sequential consistency, in every interleaving of sched/timer.c and sched/timer_wheel.c:
 *   - a tick is sent to the actor that armed it, and a block that is sent, handled or armed is nobody else's;
 *   - a tick whose timer was cancelled with success is not handled; a handle never cancels another timer;
 *   - a block goes back to the pool once, and not before its tick was handled, unless it was cancelled or its
 *     owner ends;
 *   - what one wheel gives out arrives in the order in which it was taken;
 *   - a wheel never says that it has nothing to do before a time when it has (`next`);
 *   - when the cell goes to the next actor no block of the last one is missing.
 *
 * One step is one access that others may see.  What is done under a wheel's lock is one step: nobody looks at
 * these words without it, but for `next` (stored once in each), and for fields of a timer that is not in a wheel.
 * The owner runs on any worker from slice to slice, so each arm chooses its wheel.  Workers that fire, for
 * themselves or for others, and the watchdog are alike.  Two actors live in the cell, one after the other; a
 * STRANGER elsewhere takes blocks from the pool and gives them back.  The mailbox is a channel: mailbox.pml is
 * about that.
 *
 * Left out: the limit of an advance, the wheel's levels, calls (their time-outs are such timers), restart in place.
 *
 *   -DARMS=n, -DFIRERS=n, -DLAST_MS=n   timers made; who fires; when the clock stops
 *   -DSTRANGERS=0, -DPERIODIC=0         no stranger; no periodic timer
 *   -DBUG=n  breaks one line; the table is in README.md
 */
#ifndef BUG
#define BUG 0
#endif
#ifndef FIRERS
#define FIRERS 2
#endif
#ifndef PERIODIC
#define PERIODIC 1
#endif
#ifndef ARMS
#define ARMS 3 /* timers that are made, in all lives */
#endif
#ifndef STRANGERS
#define STRANGERS 1
#endif
#ifndef LAST_MS
#define LAST_MS 2 /* the clock stands still here */
#endif
#define WHEELS 2
#define BLOCKS 2
#define NOBLOCK BLOCKS
#define NEVER 9

#define IDLE 0
#define ARMED 1
#define FIRING 2

/* The clock. */
byte now = 0;

/* Wheels. */
byte next[WHEELS];      /* trp_wheel_next() */
bool advancing[WHEELS];

/* Blocks. */
byte state[BLOCKS];
byte wheel[BLOCKS];
byte due[BLOCKS];
byte serial[BLOCKS];
byte owner[BLOCKS]; /* a life of the cell, or STRANGER */
bool periodic[BLOCKS];
bool cancelled[BLOCKS];
bool listed[BLOCKS]; /* in the owner's list of timers */

/* The cell. */
#define STRANGER 0
#define FIRST 1
#define SECOND 2
#define NOLIFE 3
byte life = FIRST;
chan mail = [BLOCKS] of { byte };

/* Read sections: one bit for each who fires. */
byte inside = 0;
byte waiting = 0; /* who was inside when the cell was buried, and still is */
bool buried = false;

byte arms = ARMS;

/* Only for the assertions. */
bool pooled[BLOCKS];
bool revoked[BLOCKS]; /* its cancel said yes */
bool handled[BLOCKS]; /* the tick that is queued, or was last, was handled */
bool sending[BLOCKS]; /* taken out, not yet sent */
bool behind[BLOCKS];  /* the other one was taken out before, and is still to be sent */
bool exiting = false;

#define OTHER(b) (1 - (b))

/* ---- the wheel ---- */

/* Part of a step under the lock: the earliest deadline of wheel w. */
inline earliest(w, ms)
{
    ms = NEVER;
    if
    :: state[0] == ARMED && wheel[0] == w && due[0] < ms -> ms = due[0]
    :: else
    fi;
    if
    :: state[1] == ARMED && wheel[1] == w && due[1] < ms -> ms = due[1]
    :: else
    fi
}

/* Part of a step that has changed wheel w: nothing in it is due before it says so. */
inline check_next(w)
{
    assert(!(state[0] == ARMED && wheel[0] == w) || next[w] <= due[0]);
    assert(!(state[1] == ARMED && wheel[1] == w) || next[w] <= due[1])
}

/* Part of a step: trp_wheel_arm(). */
inline wheel_arm(w, b, ms)
{
    assert(state[b] == IDLE && !pooled[b] && !sending[b]);
    wheel[b] = w;
    due[b] = ms;
    state[b] = ARMED;
    handled[b] = false;
    assert(!revoked[b]);
    if
    :: due[b] < next[w] && BUG != 10 -> next[w] = due[b]
    :: else
    fi;
    check_next(w)
}

/* trp_wheel_cancel(): a step. */
inline wheel_cancel(b, armed)
{
    d_step {
        armed = (state[b] == ARMED);
        if
        :: armed ->
            state[b] = IDLE;
            if
            :: !(state[OTHER(b)] == ARMED && wheel[OTHER(b)] == wheel[b]) || BUG == 15 -> next[wheel[b]] = NEVER
            :: else
            fi;
            check_next(wheel[b])
        :: else
        fi
    }
}

/* Part of a step: take_slot(). */
inline take_out(b)
{
#if BUG != 4
    state[b] = FIRING;
#endif
    sending[b] = true;
    behind[b] = sending[OTHER(b)] && wheel[OTHER(b)] == wheel[b];
    if
    :: one == NOBLOCK -> one = b
    :: else -> two = b
    fi
}

#define IS_DUE(b) (state[b] == ARMED && wheel[b] == w && due[b] <= at && !sending[b])

/* fire(): trp_send_reserved() to timer->owner. */
inline fire(b)
{
    d_step {
        assert(!pooled[b] && (state[b] == FIRING || BUG == 4));
        assert(!behind[b]);
        assert(life == owner[b]); /* the cell is still the one that armed it */
        assert(nfull(mail));
#if BUG == 4
        state[b] = FIRING;
#endif
        sending[b] = false;
        behind[OTHER(b)] = false;
        mail!b
    };
#if BUG == 13
    d_step { assert(!pooled[b]) }; /* its link to the next one */
#endif
    b = NOBLOCK
}

/* Part of a step. */
inline leave()
{
    inside = inside & ~(1 << me);
    waiting = waiting & ~(1 << me)
}

/* A worker or the watchdog: trp_worker_fire(), trp_wheel_advance(). */
proctype firer(byte me)
{
    byte w = 0;
    byte at = 0;
    byte one = NOBLOCK;
    byte two = NOBLOCK;
    byte ms = 0;

end:
    do
    :: atomic {
        /* The look at `next` with the clock, going online, and the choice of the wheel.  The two are twins:
         * the second helps while the first is at it. */
        (me == 0 || inside > 0) && (next[0] <= now || next[1] <= now) ->
        if
        :: next[0] <= now -> w = 0
        :: next[1] <= now -> w = 1
        fi;
        at = now;
        inside = inside | (1 << me)
    };
        atomic {
            if
            :: advancing[w] && BUG != 3 -> goto over
            :: else -> advancing[w] = true
            fi
        };
        d_step {
            if
            :: IS_DUE(0) && IS_DUE(1) && due[1] < due[0] -> take_out(1); take_out(0)
            :: IS_DUE(0) && IS_DUE(1) && due[1] >= due[0] -> take_out(0); take_out(1)
            :: IS_DUE(0) && !IS_DUE(1) -> take_out(0)
            :: !IS_DUE(0) && IS_DUE(1) -> take_out(1)
            :: else
            fi;
            earliest(w, ms);
#if BUG != 11
            next[w] = ms;
            check_next(w);
            ms = 0
#endif
        };
#if BUG == 11
        d_step {
            next[w] = ms;
            check_next(w);
            ms = 0
        };
#endif
#if BUG == 5
        d_step { leave() };
#endif
        if
        :: one != NOBLOCK -> fire(one)
        :: else
        fi;
        if
        :: two != NOBLOCK -> fire(two)
        :: else
        fi;
        advancing[w] = false;
over:
        skip;
        d_step {
            leave();
            w = 0;
            at = 0
        }
    od
}

/* ---- the owner ---- */

/* Part of a step: trp_timer_new(), by `who`. */
inline timer_new(b, who)
{
    b = (pooled[0] -> 0 : 1);
    pooled[b] = false;
    assert(state[b] == IDLE);
    serial[b]++;
    owner[b] = who;
    cancelled[b] = false
}

/* Part of a step: trp_timer_free(). */
inline timer_free(b)
{
    assert(!pooled[b] && state[b] != ARMED && !sending[b]);
    assert(revoked[b] || handled[b] || exiting || owner[b] == STRANGER);
    state[b] = IDLE;
    serial[b] = serial[b] + (BUG != 14);
    listed[b] = false;
    /* What is read only after the serial was right; fewer states. */
    wheel[b] = 0;
    due[b] = 0;
    periodic[b] = false;
    revoked[b] = false;
    handled[b] = false;
    pooled[b] = true
}

/* troupe_tick_after(), troupe_tick_every(); trp_timer_arm().  Nobody knows the block before it is armed. */
inline arm(b)
{
    atomic {
        arms > 0 && (pooled[0] || pooled[1]);
        timer_new(b, life);
        arms--;
        listed[b] = true;
        if
        :: PERIODIC -> periodic[b] = true
        :: true
        fi;
        /* The user keeps the last two handles. */
        handle[arms % 2] = b;
        known[arms % 2] = serial[b];
        /* The wheels are twins: a timer that is alone goes to the first. */
        if
        :: true -> wheel_arm(0, b, now + 1)
        :: !pooled[OTHER(b)] -> wheel_arm(1, b, now + 1)
        fi;
        b = NOBLOCK
    }
}

/* troupe_timer_cancel(): with handle k. */
inline cancel(k)
{
    atomic {
        b = handle[k];
        if
        :: (serial[b] != known[k] && BUG != 9) || owner[b] != life || cancelled[b] ->
            b = NOBLOCK;
            goto cancelled_it
        :: else -> assert(serial[b] == known[k] && !pooled[b])
        fi
    };
    wheel_cancel(b, armed);
    d_step {
        if
        :: armed || (BUG == 12 && !periodic[b]) ->
            revoked[b] = true;
            timer_free(b)
        :: !armed && periodic[b] ->
            cancelled[b] = true;
            revoked[b] = true
        :: else
        fi;
        armed = false;
        b = NOBLOCK
    };
cancelled_it:
    skip
}

/* trp_tick_retire() of `cur` by its owner, who runs: armed again, or over. */
inline retire()
{
    if
    :: atomic {
        periodic[cur] && (!cancelled[cur] || BUG == 1) ->
            /* arm_again() */
            at = (due[cur] + 1 > now -> due[cur] + 1 : now + 1);
            state[cur] = IDLE;
            if
            :: wheel_arm(0, cur, at)
            :: wheel_arm(1, cur, at)
            fi;
            at = 0;
            cur = NOBLOCK
    }
    :: d_step {
        !(periodic[cur] && (!cancelled[cur] || BUG == 1)) ->
            timer_free(cur);
            cur = NOBLOCK
    }
    fi
}

/* Step 6 of an exit: trp_tick_cancel_all(), for block k. */
inline cancel_all(k)
{
    if
    :: atomic {
        listed[k] ->
            assert(owner[k] == life);
            listed[k] = false
    };
        wheel_cancel(k, armed);
        d_step {
            if
            :: armed -> timer_free(k)
            :: else /* its tick is on the way, and its block ends with it */
            fi;
            armed = false
        }
    :: else
    fi
}

proctype actor()
{
    byte b = NOBLOCK;
    byte cur = NOBLOCK; /* the tick that is handled, or was last: still the head of the mailbox */
    byte at = 0;
    bool armed = false;
    byte handle[2];
    byte known[2];

begin:
    do
    :: arm(b)
    :: known[0] != 0 -> cancel(0)
    :: known[1] != 0 -> cancel(1)
    :: cur != NOBLOCK -> retire()
    :: atomic {
        /* receive(): trp_tick_open() */
        cur == NOBLOCK && nempty(mail) ->
            mail?cur;
            assert(!pooled[cur] && state[cur] == FIRING && owner[cur] == life);
            if
            :: !cancelled[cur] || BUG == 2 ->
                assert(!revoked[cur]);
                handled[cur] = true
            :: else
            fi
    }
    :: atomic {
        true ->
            exiting = true;
            break
    }
    od;
    /* trp_exit_continue(): DRAIN; the seal does nothing to timers. */
    do
    :: cur != NOBLOCK ->
        d_step {
            timer_free(cur);
            cur = NOBLOCK
        }
    :: cur == NOBLOCK && nempty(mail) -> mail?cur
    :: cur == NOBLOCK && empty(mail) -> break
    od;
#if BUG != 8
    cancel_all(0);
    cancel_all(1);
#endif
    skip;
    /* BURY: the grace period begins. */
    d_step {
        waiting = inside;
        buried = true
    };
    (waiting == 0 || BUG == 6);
    /* reclaimed() */
#if BUG != 7
    do
    :: atomic {
        nempty(mail) ->
            mail?cur;
            timer_free(cur);
            cur = NOBLOCK
    }
    :: empty(mail) -> break
    od;
#endif
    atomic {
        assert(owner[0] != life || pooled[0]);
        assert(owner[1] != life || pooled[1]);
        handle[0] = 0;
        handle[1] = 0;
        known[0] = 0;
        known[1] = 0;
        exiting = false;
        buried = false;
        life++;
        if
        :: life == SECOND -> goto begin
        :: else
        fi
    }
}

/* Another actor takes a block and gives it back. */
proctype stranger()
{
    byte b = NOBLOCK;

end:
    atomic {
        pooled[0] || pooled[1] ->
            timer_new(b, STRANGER)
    };
    d_step {
        timer_free(b);
        b = NOBLOCK
    }
}

proctype clock()
{
    do
    :: now < LAST_MS -> now++
    :: now == LAST_MS -> break
    od
}

init
{
    atomic {
        next[0] = NEVER;
        next[1] = NEVER;
        pooled[0] = true;
        pooled[1] = true;
        run actor();
#if STRANGERS
        run stranger();
#endif
        run clock();
        run firer(0);
#if FIRERS > 1
        run firer(1)
#endif
    };
    timeout ->
    d_step {
        assert(inside == 0 && waiting == 0 && empty(mail));
        assert(life == NOLIFE && pooled[0] && pooled[1])
    }
}
