/* SPDX-License-Identifier: MIT */
/*
 * runq.pml - the run queue of one worker: its owner pushes and pops, thieves steal half.
 *
 * A ring of SIZE slots with two indices that only grow.  The owner alone stores `tail`; `head` moves by
 * compare-and-swap, by the owner that pops and by the thief that steals.  A thief reads head, then tail, copies
 * half of what is between into its own ring beyond its own tail, where nobody looks, and only then tries to
 * move head.  If that succeeds, nobody else has taken these slots, and as they were taken from a head that did
 * not move, the owner cannot have written over them.
 *
 * Checked, under sequential consistency, in every interleaving: each run slot that was pushed is popped exactly
 * once, by somebody; one that is refused, because the ring is full, is not in it; a ring never holds more than
 * SIZE; no slot is written over while it holds something; at the end all rings are empty.
 *
 * The indices wrap at SPACE here and at 2^64 in the code.  They start just below the wrap.  The model is bounded
 * so that an index cannot come round to the same value while a thief sleeps; -DBUG=9 shows what happens when it
 * can, which is why the code has 64-bit indices.
 *
 * Worker 0 pushes PUSHES run slots and pops.  Worker 1, and worker 2 if THIEVES is 2, own a ring each and steal
 * from worker 0 STEALS times; worker 1 has PRELOAD run slots in its ring and pops in between.  Nobody steals
 * from a thief.
 *
 *   -DBUG=n  breaks one line; the table is in README.md
 */
#ifndef BUG
#define BUG 0
#endif
#ifndef PUSHES
#define PUSHES 6
#endif
#ifndef PRELOAD
#define PRELOAD 3
#endif
#ifndef STEALS
#define STEALS 2
#endif
#ifndef THIEVES
#define THIEVES 2
#endif
#define SIZE 4
#if BUG == 9
#define SPACE (2 * SIZE)
#define START 0
#else
#define SPACE 16
#define START 13
#endif
#define RINGS 3
#define ITEMS (PUSHES + PRELOAD + 1) /* item 0 is none */

#define NEXT(i, n) (((i) + (n)) % (SPACE))
#define COUNT(h, t) (((t) + (SPACE) - (h)) % (SPACE))
#define SLOT(r, i) slot[(r) * SIZE + (i) % SIZE]

byte slot[RINGS * SIZE];
byte head[RINGS];
byte tail[RINGS];

/* Only for the assertions: where each item is. */
#define OUTSIDE 0
#define PUSHED 1
#define TAKEN 2
#define REFUSED 3
byte fate[ITEMS];
byte ended = 0;

/* Part of a step. */
inline ran(x)
{
    assert(x != 0);
    assert(fate[x] == PUSHED);
    fate[x] = TAKEN
}

/* Owner of ring r only. */
inline push(r, x, h, t)
{
    h = head[r];
    t = tail[r]; /* only we write it */
    if
    :: BUG != 4 && COUNT(h, t) >= SIZE -> d_step { fate[x] = REFUSED; h = 0; t = 0 }
    :: else ->
#if BUG == 6
        tail[r] = NEXT(t, 1);
#endif
        d_step {
            fate[x] = PUSHED;
            SLOT(r, t) = x
        };
#if BUG != 6
        atomic {
            tail[r] = NEXT(t, 1);
            assert(COUNT(head[r], tail[r]) <= SIZE);
            h = 0;
            t = 0
        }
#else
        d_step { h = 0; t = 0 }
#endif
    fi
}

/* Owner of ring r only; x is 0 if there was nothing. */
inline pop(r, x, h)
{
    do
    :: true ->
        h = head[r];
        if
        :: h == tail[r] ->
            x = 0;
            break
        :: else
        fi;
        x = SLOT(r, h);
        atomic {
            if
            :: head[r] == h || BUG == 1 ->
                head[r] = NEXT(h, 1);
                ran(x);
                x = 1;
                break
            :: else -> x = 0
            fi
        }
    od;
    h = 0
}

/* Takes half of ring `from` into ring `to`, whose owner we are; n is 0 if there was nothing. */
inline steal(from, to, h, t, n, i)
{
    do
    :: true ->
#if BUG == 3
        t = tail[from];
        h = head[from];
#else
        h = head[from];
        t = tail[from];
#endif
        atomic {
            n = COUNT(h, t);
            if
            :: n > SIZE && BUG != 3 -> goto again /* head is old, the exchange would fail */
            :: else
            fi;
            n = n - n / 2;
            if
            :: n == 0 -> break
            :: else
            fi;
            /* Our own ring can only get emptier while we look: nobody else pushes to it. */
            if
            :: n > SIZE - COUNT(head[to], tail[to]) && BUG != 8 -> n = SIZE - COUNT(head[to], tail[to])
            :: else
            fi;
            if
            :: n == 0 -> break
            :: else
            fi
        };
#if BUG == 7
        tail[to] = NEXT(tail[to], n);
#endif
#if BUG == 2
        atomic {
            if
            :: head[from] == h -> head[from] = NEXT(h, n)
            :: else -> goto again
            fi
        };
#endif
        i = 0;
        do
        :: i < n ->
            atomic {
                assert(COUNT(head[to], tail[to]) + i < SIZE || BUG == 7);
                SLOT(to, tail[to] + i) = SLOT(from, h + i);
                i++
            }
        :: else -> break
        od;
        i = 0;
#if BUG == 2
        goto stolen;
#endif
        atomic {
            if
            :: head[from] == h || BUG == 5 || (BUG == 10 && head[from] % SIZE == h % SIZE) ->
                head[from] = NEXT(h, n);
                goto stolen
            :: else
            fi
        };
again:
        skip
    od;
    goto done;
stolen:
#if BUG != 7
    tail[to] = NEXT(tail[to], n);
#else
    skip;
#endif
done:
    skip
}

proctype owner()
{
    byte x = 1;
    byte got = 0;
    byte h = 0;
    byte t = 0;

    do
    :: x <= PUSHES ->
        push(0, x, h, t);
        x++
    :: true ->
        pop(0, got, h);
        if
        :: got == 0 && x > PUSHES -> break
        :: else -> got = 0
        fi
    od;
    ended++
}

proctype thief(byte me)
{
    byte tries = STEALS;
    byte h = 0;
    byte t = 0;
    byte n = 0;
    byte i = 0;
    byte got = 0;

    do
    :: tries > 0 ->
        tries--;
        steal(0, me, h, t, n, i);
        h = 0;
        t = 0;
        n = 0
    :: me == 1 || tries == 0 ->
        pop(me, got, h);
        if
        :: got == 0 && tries == 0 -> break
        :: else -> got = 0
        fi
    od;
    ended++
}

init
{
    byte i = 0;

    atomic {
        do
        :: i < RINGS ->
            head[i] = START;
            tail[i] = START;
            i++
        :: else -> break
        od;
        i = 0;
        do
        :: i < PRELOAD ->
            SLOT(1, START + i) = PUSHES + 1 + i;
            fate[PUSHES + 1 + i] = PUSHED;
            i++
        :: else -> break
        od;
        tail[1] = NEXT(START, PRELOAD);
        i = 1;
        run owner();
#if THIEVES == 2
        run thief(2);
#endif
        run thief(1)
    };
    ended == THIEVES + 1;
    d_step {
        do
        :: i < ITEMS ->
            assert(fate[i] == TAKEN || fate[i] == REFUSED);
            i++
        :: else -> break
        od;
        i = 0;
        do
        :: i < RINGS ->
            assert(head[i] == tail[i]);
            i++
        :: else -> break
        od
    }
}
