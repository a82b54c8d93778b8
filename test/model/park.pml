/* SPDX-License-Identifier: MIT */
/*
 * park.pml - workers that search for work, park and are woken.
 *
 * One lock guards a list of parked workers and the counts of those who search and those who are parked.  The
 * counts are packed in one word, which a submitter reads without the lock.  Two halves make that safe: a
 * submitter publishes its work and then reads the word; a worker enters itself in the list and then looks at
 * all queues.  Whichever comes second sees the other.  The waker, not the woken, takes a worker off the list
 * and counts it as searching; an event count per worker turns a wake-up before the sleep into no sleep.
 *
 * Checked, under sequential consistency, in every interleaving:
 *   - the parked count is the length of the list, the searching count is the number of those counted so;
 *   - when all is quiet, no work is left, everybody sleeps and nobody is counted as searching;
 *   - after stop every worker ends, whenever stop comes.
 *
 * What is done under the lock is one step.  That is exact, because the only word read without the lock is
 * stored once in each critical section.  There are QUEUES queues and a look at all of them takes as many steps.
 * Worker 0 may find that its sleep has timed out, TIMEOUTS times; a time-out that is never used lapses.
 *
 * Not needed for any of this: that the last searcher who finds work wakes another.  The model may leave it out
 * whenever it likes, and nothing above fails.  It is there so that workers are not idle beside waiting work.
 *
 *   -DSTOP=1         stop comes at any time; otherwise when all is quiet
 *   -DPRODUCERS=n, -DQUEUES=n, -DTIMEOUTS=n
 *   -DBUG=n          breaks one line; the table is in README.md
 */
#ifndef BUG
#define BUG 0
#endif
#ifndef WORKERS
#define WORKERS 3 /* 2 or 3 */
#endif
#ifndef PRODUCERS
#define PRODUCERS 3
#endif
#ifndef TIMEOUTS
#define TIMEOUTS 1
#endif
#ifndef QUEUES
#define QUEUES 2
#endif
#ifndef STOP
#define STOP 0
#endif
#define NOBODY WORKERS

byte work[QUEUES];
bool stop = false;

byte searching = 0; /* with `parked`: one word, written under the lock */
byte parked = 0;
bool listed[3]; /* under the lock */
bool rung[3]; /* the event count is no longer what its worker read last: that is all a sleep asks */

byte timeouts = TIMEOUTS;

/* Only for the assertions. */
bool counted[3]; /* as searching */
byte ended = 0;

#define LISTED (listed[0] + listed[1] + listed[2])
#define COUNTED (counted[0] + counted[1] + counted[2])

/* Part of a step under the lock. */
inline check_counts()
{
    assert(parked == LISTED);
    assert(searching == COUNTED)
}

/* Part of a step under the lock. */
inline count(who)
{
    assert(!counted[who]);
    counted[who] = true;
    searching++
}

/* Part of a step under the lock. */
inline uncount(who)
{
    assert(counted[who]);
    counted[who] = false;
    searching--
}

/* Part of a step under the lock. */
inline enlist(who)
{
    assert(!listed[who]);
    listed[who] = true;
    parked++
}

/* Part of a step under the lock. */
inline delist(who)
{
    assert(listed[who]);
    listed[who] = false;
    parked--
}

/* Wakes one worker if nobody searches; `w` is scratch. */
inline wake_one(w)
{
    atomic {
        if
        :: BUG == 9 || (searching == 0 && parked > 0) ->
            if
            :: listed[0] -> w = 0
            :: listed[1] -> w = 1
            :: listed[2] -> w = 2
            :: BUG == 9 && LISTED == 0 -> w = 0
            fi;
            delist(w);
            counted[w] = true;
#if BUG != 5
            searching++;
#endif
            check_counts()
        :: else
        fi
    };
    if
    :: w != NOBODY ->
        d_step {
#if BUG != 11
            rung[w] = true;
#endif
            w = NOBODY
        }
    :: else
    fi
}

/* Publishes one piece of work. */
proctype producer(byte queue)
{
    byte w = NOBODY;

#if BUG == 3
    if
    :: searching > 0 || parked == 0 -> work[queue]++; goto submitted
    :: else -> work[queue]++
    fi;
#else
    work[queue]++;
    if
    :: searching > 0 || parked == 0 -> goto submitted
    :: else
    fi;
#endif
    wake_one(w);
submitted:
    skip
}

/* Looks at one queue after the other until one has work. */
inline look(q, more)
{
    do
    :: q < QUEUES && work[q] > 0 ->
        more = true;
        break
    :: q < QUEUES && work[q] == 0 -> q++
    :: q == QUEUES -> break
    od;
    q = 0
}

proctype worker(byte me)
{
    bool search = false;
    bool last = false;
    bool more = false;
    byte q = 0;
    byte w = NOBODY;

top:
    if
    :: stop -> goto leaving
    :: else
    fi;
    if
    :: search -> goto searches
    :: else
    fi;
    atomic {
        if
        :: 2 * searching < WORKERS - parked ->
            count(me);
            check_counts();
            search = true
        :: else -> goto parks
        fi
    };

searches:
    /* Look and take are one step: a queue's own business. */
    do
    :: q < QUEUES ->
        atomic {
            if
            :: work[q] > 0 ->
                work[q]--;
                q = 0;
                goto found
            :: else -> q++
            fi
        }
    :: else ->
        q = 0;
        goto parks
    od;

found:
    atomic {
        uncount(me);
        check_counts();
        search = false;
        last = (searching == 0)
    };
    if
    :: last ->
        last = false;
        wake_one(w)
    :: true -> last = false /* saw no need */
    fi;
    goto top;

parks:
#if BUG == 2
    look(q, more);
    if
    :: more ->
        more = false;
        goto top
    :: else
    fi;
#endif
#if BUG != 4
    rung[me] = false; /* read the event count */
#endif
    atomic {
        enlist(me);
        if
        :: search && BUG != 12 -> uncount(me)
        :: else
        fi;
        search = false;
        check_counts()
    };
#if BUG != 1 && BUG != 2
    look(q, more);
    if
    :: more -> goto stays
    :: else
    fi;
#endif
#if BUG != 6
    if
    :: stop -> goto stays
    :: else
    fi;
#endif
#if BUG == 4
    rung[me] = false; /* read the event count */
#endif
    atomic {
        if
        :: rung[me]
        :: !rung[me] && me == 0 && timeouts > 0 -> timeouts--
        fi
    };
    atomic {
        if
        :: BUG != 7 && (listed[me] || BUG == 8) -> delist(me)
        :: BUG == 7 && listed[me]
        :: else -> search = true
        fi;
        check_counts();
        goto top
    };

stays:
    atomic {
        more = false;
        if
        :: listed[me] || BUG == 10 ->
            delist(me);
            count(me)
        :: else /* a waker was faster, and has counted us */
        fi;
        search = true;
        check_counts();
        goto top
    };

leaving:
    atomic {
        if
        :: search -> uncount(me)
        :: else
        fi;
        search = false;
        check_counts();
        ended++
    }
}

proctype clock()
{
end:
    do
    :: atomic { timeouts > 0 -> timeouts-- }
    od
}

init
{
    byte i = 0;

    atomic {
        run worker(0);
        run worker(1);
#if WORKERS == 3
        run worker(2);
#endif
        do
        :: i < PRODUCERS ->
            run producer(i % QUEUES);
            i++
        :: else -> break
        od;
        i = 0;
        run clock()
    };
#if !STOP
    timeout ->
    d_step {
        do
        :: i < QUEUES ->
            assert(work[i] == 0);
            i++
        :: else -> break
        od;
        i = 0;
        assert(parked == WORKERS && searching == 0);
        check_counts()
    };
#endif
#if BUG != 13
    stop = true;
#endif
    do
    :: i < WORKERS ->
        rung[i] = true;
        i++
    :: else -> break
    od;
#if BUG == 13
    stop = true;
#endif
    i = 0;
    ended == WORKERS;
    assert(parked == 0 && searching == 0)
}
