/* SPDX-License-Identifier: MIT */
/*
 * mailbox.pml - one actor cell: mailbox, schedule, charge, kill, exit, reclaim and one reuse.
 *
 * Senders push onto an intrusive list by one exchange of `tail`; the PARKED bit in that word tells one of
 * them that it now owns the run token and must queue the run slot.  Whoever holds the token reads.  An exit
 * bumps the generation, drains, and hands the token to the reclaimer, which waits for a grace period,
 * disposes of what raced in and lets a new actor have the cell.
 *
 * Checked, under sequential consistency, in every interleaving of the processes at the end of this file:
 *   - each message is handled, refused (handed back) or dead-lettered, exactly one of them, once;
 *   - PARKED is set if and only if there is no token, and the token is in one place;
 *   - nobody touches a freed node, and a kill or a message for one incarnation never meets the next one;
 *   - no more than CAP charged messages are queued, a refusal for want of room is justified, and the charge
 *     words balance when the actor dies and when all is quiet;
 *   - at the end nothing is queued, no token is left, and a kill that was accepted has killed.
 *
 * One step of the model is one access to a word that others may touch, with the private work around it.
 * `head` and `done` belong to the token holder, so they ride along with another step.  Entering a read section
 * is one step with the look at the generation, and leaving it one with the last access inside: entering
 * earlier or leaving later could only hold the reclaimer back.  Taking a run slot is one step with the first
 * look at the signals: nobody else can act on a slot that waits.
 *
 *   -DEXIT_SIGNAL=1  the reserved message is an exit signal: its reader exits in the middle of a slice
 *   -DREQUEST=1      the signal is a request that the reader serves and lives on, not a kill
 *   -DMSGS=n         messages of each charged sender
 *   -DBUG=n          breaks one line; the table is in README.md
 */
#ifndef BUG
#define BUG 0
#endif
#ifndef EXIT_SIGNAL
#define EXIT_SIGNAL 0
#endif
#ifndef REQUEST
#define REQUEST 0
#endif
#ifndef MSGS
#define MSGS 2
#endif
#ifndef CAP
#define CAP 2 /* charged messages that may be queued */
#endif
#ifndef SLICE
#define SLICE 2 /* messages handled in one slice */
#endif

#define STUB 0                     /* node 0 is the stub in the cell, and NULL as the value of a link */
#define RESERVED (2 * MSGS + 1)    /* the node of the reserved sender */
#define FRESH (2 * MSGS + 2)       /* the node that is sent to the second incarnation */
#define NODES (2 * MSGS + 3)

#define OLD 1 /* generations */
#define NEW 2

/* Who is in a read section: one bit each. */
#define SENDER0 1
#define SENDER1 2
#define RESERVER 4
#define NEWCOMER 8
#define SIGNALLER 16
#define WORKER0 32
#define WORKER1 64

/* What became of a message. */
#define KEPT 0 /* by its sender, who has not sent it yet */
#define QUEUED 1
#define REFUSED 2
#define GONE 3 /* handled or dead-lettered */

/* The cell. */
byte tail = STUB;   /* with `parked`: one word */
bool parked = true;
byte next[NODES];
byte head = STUB;   /* token holder */
byte done = 0;      /* token holder: charged messages taken out in this life */
bool signalled = false;
byte in = 0;
byte out = 0;
byte gen = OLD;

/* Around it. */
byte run_queue = 0; /* run slots of this actor that are queued: 0 or 1 */
byte inside = 0;    /* who is in a read section */
byte waiting = 0;   /* who was when the cell was retired, and still is */
bool retired = false;

/* Only for the assertions. */
byte fate[NODES];
bool freed[NODES];
byte token = 0;
byte running = 0;   /* workers in a slice */
byte charged = 0;   /* charged messages queued */
byte gaps = 0;      /* senders between the exchange and the link */
byte life = OLD;    /* whose cell it is */
bool signal_accepted = false;
bool served = false;

#define IS_CHARGED(m) ((m) != RESERVED)
#define GENERATION_OF(m) ((m) == FRESH -> NEW : OLD)

/* Part of a step. */
inline leave(who)
{
    inside = inside & ~(who);
    waiting = waiting & ~(who)
}

/* Part of a step: clears PARKED; `own` says whether the token is now the caller's. */
inline unpark(own)
{
    own = parked;
    parked = false;
    token = token + own;
    assert(token <= 1)
}

/* Part of a step. */
inline queue_slot()
{
    run_queue++;
    assert(run_queue + running == 1);
    assert(token == 1);
    assert(!retired)
}

inline push(m, p, own)
{
#if BUG == 15
    p = tail;
#endif
    d_step {
#if BUG != 15
        p = tail;
#endif
#if BUG != 12
        next[m] = STUB;
#endif
        tail = m;
        gaps++;
        assert(fate[m] == KEPT);
        fate[m] = QUEUED;
        charged = charged + IS_CHARGED(m);
        assert(charged <= CAP);
        unpark(own)
    };
#if BUG == 12
    next[m] = STUB;
#endif
    /* the gap: m is in the list, but the reader cannot get there */
#if BUG == 19
    d_step { leave(who) };
#endif
    atomic {
        assert(!freed[p]);
        next[p] = m;
        gaps--;
        p = 0;
        if
#if BUG == 7
        :: true
#else
        :: own
#endif
        :: else ->
            leave(who);
            goto sent
        fi
    };
    d_step {
        own = false;
        queue_slot();
        leave(who)
    }
}

/* Sends `count` messages, the first of them `first`, to the actor of generation `to`. */
proctype sender(byte who; byte first; byte count; bool pays; byte to)
{
    byte m = first;
    byte p = 0;    /* the node that was last before m */
    byte taken = 0; /* `in` with our charge */
    byte seen = 0;  /* `out` before it */
    bool own = false;

    /* Nobody has a pid before its actor exists.  The two charged senders are twins: one order of starting
     * is enough.  Who waits here for ever waits for an actor that is never born. */
end:
    life >= to && (who != SENDER1 || fate[1] != KEPT || (inside & SENDER0));
    do
    :: m == first + count -> break
    :: else ->
#if BUG == 21
        if
        :: gen != to -> goto refuse
        :: else
        fi;
        inside = inside | who;
#else
        atomic {
            inside = inside | who;
            if
            :: BUG != 5 && gen != to -> goto refuse
            :: else
            fi
        };
#endif
        if
        :: pays ->
#if BUG == 25
            if
            :: in - out >= CAP -> goto refuse
            :: else
            fi;
            in++;
#else
again:
            /* `out` before `in`: what is read later may have passed our `in`, and the difference would wrap. */
#if BUG == 14
            skip;
#else
            seen = out;
#endif
            d_step {
                in++;
                taken = in
            };
            atomic {
#if BUG == 14
                seen = out;
#endif
                assert(taken >= seen);
                if
                :: taken - seen > CAP ->
                    taken = 0
                :: else ->
                    taken = 0;
                    seen = 0;
                    goto admitted
                fi
            };
            d_step { in = in - (BUG != 9) };
            /* Held up between the two, it may have seen room that has long been given back. */
            atomic {
                if
                :: seen != out ->
                    seen = 0;
                    goto again
                :: else ->
                    seen = 0;
                    goto refuse
                fi
            };
admitted:
            skip
#endif
        :: else
        fi;
        push(m, p, own);
        goto sent;
refuse:
        atomic {
            assert(fate[m] == KEPT);
            fate[m] = REFUSED;
            leave(who)
        };
sent:
        m++
    od
}

proctype signaller()
{
    bool own = false;

    /* Perhaps nobody signals. */
    if
    :: true -> goto ended
    :: true
    fi;
    atomic {
        inside = inside | SIGNALLER;
        if
        :: gen != OLD ->
            leave(SIGNALLER);
            goto ended
        :: else
        fi
    };
#if BUG != 20
    d_step {
        signalled = true;
        signal_accepted = true
    };
#endif
#if BUG != 6
    d_step { unpark(own) };
#endif
#if BUG == 20
    d_step {
        signalled = true;
        signal_accepted = true
    };
#endif
    d_step {
        if
        :: own && BUG != 17 -> queue_slot()
        :: else
        fi;
        leave(SIGNALLER)
    };
ended:
    skip
}

/* Part of a step: the node that was head is done with, nobody links to it any more. */
inline free_node(h)
{
    if
    :: h != STUB ->
        assert(!freed[h]);
        freed[h] = true;
        next[h] = STUB
    :: else
    fi
}

/* Part of a step: looks for the next message and takes it; `c` is STUB if none is linked. */
inline take(c)
{
    assert(!freed[head]);
    c = next[head];
    if
    :: c != STUB ->
        assert(fate[c] == QUEUED);
        assert(GENERATION_OF(c) == life);
        fate[c] = GONE;
        charged = charged - IS_CHARGED(c);
        done = done + IS_CHARGED(c);
        free_node(head);
        head = c
    :: else
    fi
}

/* Takes all that is linked, each a step, into the dead letters. */
inline drain(c)
{
    do
    :: atomic {
        take(c);
        if
        :: c == STUB -> break
        :: else -> c = 0
        fi
    }
    od
}

/* Part of a step of the worker: looks at the signals. */
inline heed()
{
    if
    :: signalled && !REQUEST -> goto dying
    :: signalled && REQUEST ->
        assert(life == OLD);
        signalled = false;
        served = true
    :: else
    fi
}

proctype worker(byte who)
{
    byte c = 0;
    byte h = 0;
    byte count = 0;
    bool own = false;
#if BUG == 13
    byte given = 0;
#endif

end:
    do
    :: atomic {
        /* Workers are twins between slices: the second one helps while the first is busy. */
        run_queue > 0 && (who == WORKER0 || (inside & WORKER0)) ->
            run_queue--;
            running++;
            inside = inside | who;
            assert(running == 1);
            assert(!retired);
            assert(!parked);
            heed()
    };
more:
        atomic {
            take(c);
            if
            :: c == STUB -> goto nothing
            :: c != STUB && EXIT_SIGNAL && c == RESERVED ->
                c = 0;
                goto dying
            :: else ->
                c = 0;
                count++;
                if
                :: count < SLICE -> goto more
                :: else
                fi
            fi
        };
        atomic {
            out = done;
            goto requeue
        };
nothing:
        /* Nothing is linked: park.  While head is not the stub, nobody else looks at the stub's link.  While
         * it is, a sender may be about to write it. */
        atomic {
#if BUG == 13
            given = done;
#else
            out = done;
#endif
            h = head;
            if
            :: h != STUB || BUG == 11 -> next[STUB] = STUB
            :: else
            fi;
#if BUG != 2
            head = STUB
#endif
        };
        atomic {
            if
            :: tail == h || BUG == 24 ->
                tail = STUB;
                parked = true;
                running--;
                token--;
                count = 0
            :: else ->
#if BUG != 22
                head = h;
#endif
                assert(gaps > 0 || next[head] != STUB); /* else it would try for ever */
                h = 0;
                goto requeue
            fi;
            /* The token is gone: from here on only h, which is ours, and the words that anybody may touch. */
            free_node(h);
            h = 0
        };
#if BUG == 2
        head = STUB;
#endif
#if BUG == 13
        atomic {
            out = given;
            given = 0
        };
#endif
        atomic {
            if
            :: signalled && BUG != 1
            :: else ->
                leave(who);
                goto end
            fi
        };
        atomic {
            unpark(own);
            if
            :: own ->
                own = false;
                running++;
                assert(running + run_queue == 1)
            :: else ->
                leave(who);
                goto end
            fi
        };
        atomic {
            heed();
            goto more
        };

requeue:
        atomic {
            count = 0;
            running--;
            run_queue++;
            leave(who);
            assert(token == 1 && run_queue == 1 && running == 0);
            goto end
        };

dying:
        atomic {
            assert(life == OLD); /* nobody has killed the second incarnation, or sent it an exit signal */
            count = 0;
#if BUG != 10 && BUG != 23
            gen++ /* the seal: who looks from now on is refused */
#endif
        };
drained:
        drain(c);
        /* The last node is still in the list: take it out, so that its request can be answered now. */
#if BUG == 18
        atomic { free_node(head) };
#else
        atomic {
            h = head;
            if
            :: h == STUB -> goto emptied
            :: else
            fi
        };
        atomic {
            c = next[h];
            next[STUB] = c
        };
        atomic {
            if
            :: c != STUB || tail == h ->
                if
                :: c == STUB -> tail = STUB
                :: else
                fi;
                head = STUB;
                free_node(h);
                h = 0;
                if
                :: c != STUB ->
                    c = 0;
                    goto drained
                :: else -> goto emptied
                fi
            :: else ->
                assert(gaps > 0 || next[h] != STUB); /* else it would try for ever */
                h = 0;
                goto drained
            fi
        };
emptied:
        skip;
#endif
#if BUG == 10
        gen++;
#endif
        /* Hand the token to the reclaimer.  The grace period begins here. */
        atomic {
            running--;
            leave(who);
            waiting = inside;
            retired = true
#if BUG == 8
            ;
            parked = true;
            token--
#endif
        }
    od
}

proctype reclaimer()
{
    byte c = 0;

end:
    retired && (waiting == 0 || BUG == 3);
#if BUG != 4 && BUG != 10
    drain(c);
    assert(head == tail);
#endif
    assert(!parked && run_queue == 0 && running == 0);
    assert(in == done);
    /* All of it is one step: nobody knows the cell. */
    atomic {
        free_node(head);
        tail = STUB;
        head = STUB;
        next[STUB] = STUB;
        in = 0;
        out = 0;
        done = 0;
        signalled = signalled && BUG == 16;
        retired = false;
        parked = true;
        token--;
        life = NEW
    }
}

init
{
    byte m = 1;

    atomic {
        run sender(SENDER0, 1, MSGS, true, OLD);
        run sender(SENDER1, MSGS + 1, MSGS, true, OLD);
        run sender(RESERVER, RESERVED, 1, false, OLD);
        run sender(NEWCOMER, FRESH, 1, true, NEW);
        run signaller();
        run worker(WORKER0);
        run worker(WORKER1);
        run reclaimer()
    };
    timeout ->
    d_step {
        do
        :: m < FRESH ->
            assert((fate[m] == REFUSED && !freed[m]) || (fate[m] == GONE && freed[m]));
            m++
        :: else -> break
        od;
        assert(life == OLD || fate[FRESH] == GONE);
        assert(token == 0 && run_queue == 0 && running == 0);
        assert(parked && tail == STUB && head == STUB && charged == 0);
        assert(in == out && out == done);
        assert(inside == 0 && waiting == 0);
        assert(!signal_accepted || served || life == NEW);
        assert(gen == life)
    }
}
