/* SPDX-License-Identifier: MIT */
/*
 * steal.pml - run queues whose owners steal from each other, for ever: every index wraps again and again.
 *
 * runq.pml has one owner, thieves that nobody robs, and a bounded number of pushes.  Here every worker owns a
 * ring, pushes, pops, gives what does not fit to the injection queue and takes from there, and, when its own is
 * empty, steals half of the next worker's: they stand in a circle.  ACTORS run slots go round: whoever runs an actor
 * wakes idle ones, queues it again or lets it idle.  Nothing is counted down: the search ends only because the
 * indices wrap, at SPACE.
 *
 * In the code they wrap at 2^64, and no thief sleeps while a head moves that far.  Here that is said in one place:
 * no head moves round to where a thief in the middle of a steal has seen it (may_move()).  -DBUG=8 lifts this.
 *
 * Checked, under sequential consistency, in every interleaving of sched/runq.c:
 *   - every actor is in one place: idle, injected, in one ring once, or in one worker's hands;
 *   - what a thief has copied is what it has taken;
 *   - a ring never holds more than SIZE, and no slot that holds something is written over.
 *
 * One actor is MARKED, and the others are alike: no line of the code asks who it is, so what holds for any one
 * of them holds for each.  A slot outside of head and tail is cleared: nobody may use what it read there.  The injection
 * queue is a set.  Left out: the LIFO slot, order, and what is worth stealing.
 *
 *   -DWORKERS=n, -DACTORS=n, -DSIZE=n   2 or 3; 2 or more; slots of a ring, a power of two
 *   -DIDLES=0                           no actor idles, none is woken
 *   -DBUG=n  breaks one line; the table is in README.md
 */
#ifndef BUG
#define BUG 0
#endif
#ifndef WORKERS
#define WORKERS 3
#endif
#ifndef ACTORS
#define ACTORS 3
#endif
#ifndef SIZE
#define SIZE 2
#endif
#ifndef IDLES
#define IDLES 1
#endif
#define SPACE (2 * SIZE)

#define NONE 0
#define MARKED 1 /* one of the actors, any one */
#define PLAIN 2  /* all others */

#define NEXT(i, n) (((i) + (n)) % SPACE)
#define COUNT(r) ((tail[r] + SPACE - head[r]) % SPACE)
#define SLOT(r, i) slot[(r) * SIZE + (i) % SIZE]

byte slot[3 * SIZE];
byte head[3];
byte tail[3];

/* How many are where, MARKED and PLAIN.  QUEUED and HELD are only for the assertions. */
#define IDLE 0
#define INJECTED 3
#define QUEUED 6 /* in a ring */
#define HELD 9   /* in somebody's hands */
byte at[12];

/* Of a worker in the middle of a steal: whose head it has read, and how far that has moved since. */
byte victim[3]; /* plus 1; 0: none */
byte moved[3];

#define IS_ANY(place) (at[place + MARKED] + at[place + PLAIN] > 0)

/* Part of a step, where IS_ANY(place): from there into our hands. */
inline pick(x, place)
{
    if
    :: at[place + MARKED] > 0 -> x = MARKED
    :: at[place + PLAIN] > 0 -> x = PLAIN
    fi;
    at[place + (x)]--;
    at[HELD + (x)]++
}

/* Part of a step: out of our hands. */
inline put(x, place)
{
    at[HELD + (x)]--;
    at[place + (x)]++
}

/* Part of a step that has changed a head, a tail, or a place. */
inline check_rings()
{
    assert(COUNT(0) <= SIZE && COUNT(1) <= SIZE && COUNT(2) <= SIZE);
    assert(at[QUEUED + MARKED] + at[QUEUED + PLAIN] == COUNT(0) + COUNT(1) + COUNT(2));
    assert(at[IDLE + MARKED] + at[INJECTED + MARKED] + at[QUEUED + MARKED] + at[HELD + MARKED] == 1);
    assert(at[IDLE + PLAIN] + at[INJECTED + PLAIN] + at[QUEUED + PLAIN] + at[HELD + PLAIN] == ACTORS - 1)
}

#define STAYS(w, r, n) (victim[w] != (r) + 1 || moved[w] + (n) < SPACE)
#define may_move(r, n) (BUG == 8 || (STAYS(0, r, n) && STAYS(1, r, n) && STAYS(2, r, n)))

inline note_move(w, r, n)
{
    if
    :: victim[w] == r + 1 && BUG != 8 -> moved[w] = moved[w] + n
    :: else
    fi
}

/* Part of a step: the head of ring r moves by n, for whoever compared. */
inline move_head(r, n)
{
    note_move(0, r, n);
    note_move(1, r, n);
    note_move(2, r, n);
    head[r] = NEXT(head[r], n)
}

/* Part of a step: what the owner of a ring or a thief has now in its hands. */
inline hold(x)
{
    assert(x != NONE);
    assert(at[QUEUED + x] > 0);
    at[QUEUED + x]--;
    at[HELD + (x)]++
}

/* enqueue() in worker.c, with trp_runq_push(): `x` is held by the owner of ring me; x is NONE afterwards. */
inline enqueue(x)
{
    atomic {
        /* The look at the head.  Nobody but us pushes here, so room that is there stays. */
        if
        :: COUNT(me) >= SIZE && BUG != 4 ->
#if BUG == 10
            at[HELD + (x)]--;
#else
            put(x, INJECTED); /* trp_inject_push() */
#endif
            check_rings();
            x = NONE;
            goto enqueued
        :: else
        fi
    };
#if BUG != 7
    d_step {
        assert(SLOT(me, tail[me]) == NONE || BUG);
        SLOT(me, tail[me]) = x
    };
#endif
    d_step {
        put(x, QUEUED);
        tail[me] = NEXT(tail[me], 1);
        check_rings();
#if BUG != 7
        x = NONE
#endif
    };
#if BUG == 7
    d_step {
        SLOT(me, tail[me] + SPACE - 1) = x;
        x = NONE
    };
#endif
enqueued:
    skip
}

/* trp_runq_pop(): `x` is NONE if there was nothing. */
inline pop(x)
{
    do
    :: atomic {
        /* The slot in the same step: only we write it. */
        h = head[me];
        if
        :: h == tail[me] ->
            h = 0;
            break
        :: else -> x = SLOT(me, h)
        fi
    };
        atomic {
            if
            :: (head[me] == h || BUG == 1) && may_move(me, 1) ->
                SLOT(me, h) = NONE;
                move_head(me, 1);
                hold(x);
                check_rings();
                h = 0;
                break
            :: head[me] != h && BUG != 1 ->
                x = NONE;
                h = 0
            fi
        }
    od
}

/* Part of a step: the steal is over, or begins anew; what was copied in vain is nobody's. */
inline forget()
{
    victim[me] = 0;
    moved[me] = 0;
    h = 0;
    i = 0;
    do
    :: i < n ->
        SLOT(me, tail[me] + i) = NONE;
        i++
    :: else -> break
    od;
    i = 0;
    n = 0
}

#if BUG == 5
#define MATCHES(v) true
#elif BUG == 11
#define MATCHES(v) (head[v] % SIZE == h % SIZE)
#else
#define MATCHES(v) (head[v] == h)
#endif

/* Part of a step: the first n of ring v are ours. */
inline take(v)
{
    do
    :: i < n ->
        assert(SLOT(me, tail[me] + i) == SLOT(v, h + i) || BUG == 2 || BUG == 6);
        hold(SLOT(v, h + i));
#if BUG != 2
        SLOT(v, h + i) = NONE;
#endif
        i++
    :: else -> break
    od;
    i = 0
}

/* trp_runq_steal() from ring v into our own: `x` is NONE if there was nothing. */
inline steal(v, x)
{
    do
    :: true ->
#if BUG == 3
        t = tail[v];
#endif
        d_step {
            h = head[v];
            victim[me] = v + 1;
            moved[me] = 0
        };
        /* copy_half() */
        atomic {
#if BUG == 3
            n = (t + SPACE - h) % SPACE;
            t = 0;
#else
            n = (tail[v] + SPACE - h) % SPACE;
#endif
            if
            :: n > SIZE && BUG != 3 -> n = 0 /* the head is old: the exchange would fail */
            :: n > SIZE && BUG == 3 -> n = SIZE
            :: else
            fi;
            n = n - n / 2;
            if
            :: n == 0 ->
                forget();
                break
            :: else
            fi
        };
#if BUG == 2
        atomic {
            if
            :: head[v] == h && may_move(v, n) ->
                take(v);
                move_head(v, n)
            :: head[v] != h ->
                forget();
                goto again
            fi
        };
#endif
#if BUG == 6
        tail[me] = NEXT(tail[me], n - 1);
#endif
        do
        :: d_step {
            i < n ->
                assert(COUNT(me) + i < SIZE);
                SLOT(me, tail[me] + i) = SLOT(v, h + i);
                i++
        }
        :: atomic {
            i == n ->
                i = 0;
                break
        }
        od;
        atomic {
            if
            :: BUG == 2
            :: BUG != 2 && MATCHES(v) && (may_move(v, n) || BUG == 5) ->
                take(v);
                move_head(v, n);
                check_rings()
            :: BUG != 2 && !MATCHES(v) ->
#if BUG == 6
                tail[me] = NEXT(tail[me], SPACE - (n - 1));
#endif
                forget();
                goto again
            fi;
            victim[me] = 0;
            moved[me] = 0;
            h = 0;
            break
        };
again:
        skip
    od;
    if
    :: n > 0 ->
        d_step {
            /* All but the last are queued here, the last is ours. */
            n = n - (BUG != 9);
            do
            :: i < n ->
                put(SLOT(me, tail[me] + i), QUEUED);
                i++
            :: else -> break
            od;
            x = SLOT(me, tail[me] + n - (BUG == 9));
#if BUG != 9
            SLOT(me, tail[me] + n) = NONE;
#endif
#if BUG != 6
            tail[me] = NEXT(tail[me], n);
#endif
            check_rings();
            i = 0;
            n = 0
        }
    :: else
    fi
}

proctype worker(byte me)
{
    byte x = NONE; /* in our hands */
    byte y = NONE; /* the same, while x is queued again */
    byte h = 0;
    byte n = 0;
    byte i = 0;
#if BUG == 3
    byte t = 0;
#endif

find:
    /* take_injected(): with the duties, or in search(). */
#if BUG == 12
    if
    :: COUNT((me + 1) % WORKERS) > 0 ->
        steal((me + 1) % WORKERS, x);
        if
        :: x != NONE -> goto runs
        :: else
        fi
    :: true
    fi;
#endif
    if
    :: atomic { COUNT(me) < SIZE && IS_ANY(INJECTED) -> pick(y, INJECTED) };
        enqueue(y);
        goto find
    :: true
    fi;
    pop(x);
    if
    :: x != NONE -> goto runs
    :: else
    fi;
end:
    /* search(): from the next one, if that has something to lose. */
    if
    :: COUNT((me + 1) % WORKERS) > 0 -> steal((me + 1) % WORKERS, x)
    :: IS_ANY(INJECTED) -> goto find
    fi;
    if
    :: x == NONE -> goto find
    :: else
    fi;

runs:
    /* A slice of x: it wakes idle actors. */
    if
#if IDLES
    :: atomic { IS_ANY(IDLE) -> pick(y, IDLE) };
        enqueue(y);
        goto runs
    :: atomic {
        put(x, IDLE);
        x = NONE;
        goto find
    }
#endif
    :: enqueue(x);
        goto find
    fi
}

init
{
    atomic {
        at[INJECTED + MARKED] = 1;
        at[INJECTED + PLAIN] = ACTORS - 1;
        run worker(0);
        run worker(1);
#if WORKERS == 3
        run worker(2)
#endif
    }
}
