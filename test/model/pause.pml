/* SPDX-License-Identifier: MIT */
/*
 * Pauses (sched/pause.h): a handler that has sent into the margin of a mailbox rests until the reader has read, a signal is set, its time
 * is over, or somebody finds it in a ring.
 *
 * Senders have each put a message into the margin of one reader, and go through is_due() and rest() until they go on.  The reader
 * reads, gives room back and parks, or ends; a killer sets a signal; a timer fires; and the reader may begin to wait for a sender.
 *
 * Checked, under sequential consistency, in every interleaving:
 *   - whoever rests goes on: one that stays asleep while there is room, or the reader has ended, or a signal is set, is an invalid end state;
 *   - a token is in one place: nobody goes on twice for one rest;
 *   - who goes on stands in no line, and nobody is left in one;
 *   - the timer touches no record after its owner has gone on.
 *
 * One step is one access that others may see.  What is done under the lock of the reader is one step but for the accesses that those
 * without it may see: the state, `waiting`, the mailbox's tail, the pid.
 *
 *   -DN=n senders, -DTIMER=1: a timer, -DKILL=1: a killer, -DENDS=1: the reader ends instead of reading, -DRING=1: it waits for the first,
 *   -DIDLE=1: it does nothing at all
 *   -DBUG=n  breaks one line; the table is in README.md
 */
#ifndef N
#define N 2
#endif
#ifndef TIMER
#define TIMER 0
#endif
#ifndef KILL
#define KILL 0
#endif
#ifndef ENDS
#define ENDS 0
#endif
#ifndef RING
#define RING 0
#endif
#ifndef IDLE
#define IDLE 0
#endif
#ifndef BUG
#define BUG 0
#endif

#define OUT 0
#define LINED 1
#define ASLEEP 2
#define EXPIRED 3
#define BROKEN 4

byte state[N];
bool in_line[N];
bool edge[N];    /* it stands, and leads to the reader */
bool runs[N];    /* a ghost: its owner has its token */
bool gone_on[N]; /* a ghost: it will not look at its record again */
bool signal[N];
bool armed[N];
bool rung[N];

bool lock;
bool flag;       /* TRP_WAITING_PAUSED */
byte queued;     /* in the reader's mailbox; half empty: 0 */
bool parked;
bool ended;      /* its pid is gone */
bool reader_edge; /* it waits for the first sender */

inline take() { atomic { !lock -> lock = true } }
inline give() { lock = false }

#if N == 1
#define nobody_in_line() (!in_line[0])
#elif N == 3
#define nobody_in_line() (!in_line[0] && !in_line[1] && !in_line[2])
#else
#define nobody_in_line() (!in_line[0] && !in_line[1])
#endif

/* A token is handed over. */
inline hand_over(s) { assert(!runs[s]); runs[s] = true }

/* set_out(): under the lock, out of the list. */
inline set_out(s)
{
    d_step {
        if :: nobody_in_line() -> flag = false :: else fi;
        was = state[s];
        state[s] = OUT
    }
}

/* Under the lock: all that stand in line go on. */
inline release_all()
{
    i = 0;
    do
    :: i < N && in_line[i] ->
       in_line[i] = false;
       edge[i] = false;
       set_out(i);
       if :: was == ASLEEP -> hand_over(i) :: else fi;
       i++
    :: i < N && !in_line[i] -> i++
    :: else -> break
    od;
    i = 0
}

inline give_way(s, why)
{
    atomic {
        was = state[s];
#if BUG == 2
        if :: was == LINED || was == ASLEEP || was == OUT -> state[s] = why :: else fi
#else
        if :: was == LINED || was == ASLEEP -> state[s] = why :: else fi
#endif
    };
    if :: was == ASLEEP -> hand_over(s) :: else fi
}

/* Out of line, its timer stopped. */
inline settle()
{
    do
    :: state[me] != OUT ->
       if
       :: ended -> skip /* whoever ends it lets us go: looked at again */
       :: else ->
          take();
          if
          :: state[me] != OUT ->
#if BUG != 3
             in_line[me] = false;
#endif
             set_out(me)
          :: else
          fi;
          give()
       fi
    :: else -> break
    od;
    atomic {
        if
        :: armed[me] -> armed[me] = false
        :: else ->
#if TIMER && BUG != 4
           rung[me]
#else
           skip
#endif
        fi
    };
    edge[me] = false
}

proctype sender(byte me)
{
    byte was;
    bool stands = false;
    bool has_room = false;

    do
    ::
       /* heed_signals() */
       if :: signal[me] -> break :: else fi;
       if
       :: stands && state[me] == LINED -> skip
       :: stands && state[me] != LINED -> settle(); stands = false; break
       :: !stands ->
          take();
          in_line[me] = true;
          state[me] = LINED;
#if BUG == 1
          has_room = (ended || queued == 0);
          flag = true;
#else
          flag = true;
          /* The look at the pid and at the room, having met the reader. */
          has_room = (ended || queued == 0);
#endif
#if BUG != 5
          if
          :: has_room -> in_line[me] = false; set_out(me)
          :: else -> edge[me] = true; stands = true
          fi;
#else
          edge[me] = true; stands = true;
#endif
          give();
          if :: !stands -> break :: else fi;
          rung[me] = false;
          armed[me] = TIMER;
          /* Does it close a ring? */
#if BUG != 6
          if :: RING && me == 0 && reader_edge -> settle(); stands = false; break :: else fi
#endif
       fi;
       /* rest() */
       atomic {
           if
#if BUG == 7
           :: state[me] != ASLEEP -> state[me] = ASLEEP; runs[me] = false
#else
           :: state[me] == LINED -> state[me] = ASLEEP; runs[me] = false
           :: else -> goto again
#endif
           fi
       };
#if BUG != 8
       if
       :: signal[me] ->
          atomic {
              if
              :: state[me] == ASLEEP -> state[me] = LINED; hand_over(me)
              :: else
              fi
          }
       :: else
       fi;
#endif
       runs[me];
again: skip
    od;
    /* trp_pause_end(), or it goes on */
    if :: stands -> settle() :: else fi;
    gone_on[me] = true;
    assert(!in_line[me])
}

proctype reader()
{
    byte was;
    byte i;

#if RING
    /* It waits for the first sender, which is on its way. */
    reader_edge = true;
    if
    :: edge[0] ->
#if BUG != 9
       edge[0] = false;
       give_way(0, BROKEN)
#else
       skip
#endif
    :: else
    fi;
    gone_on[0];
#endif
#if ENDS
    ended = true;
#if BUG != 10
    if :: flag -> take(); release_all(); give() :: else fi
#endif
#else
    queued = 0;
    parked = true;
#if BUG != 11
    if :: flag -> take(); release_all(); give() :: else fi
#endif
#endif
}

proctype killer()
{
    signal[0] = true;
#if BUG != 12
    atomic {
        if
        :: state[0] == ASLEEP -> state[0] = LINED; hand_over(0)
        :: else
        fi
    }
#endif
}

proctype timer()
{
    byte was;

    /* It fires at any time, or never. */
    if
    :: atomic { armed[0] -> armed[0] = false };
       assert(!gone_on[0]);
       give_way(0, EXPIRED);
       assert(!gone_on[0]);
       rung[0] = true
    :: atomic { gone_on[0] -> skip }
    fi
}

init
{
    byte k;

    atomic {
        queued = N;
        k = 0;
        do
        :: k < N -> runs[k] = true; k++
        :: else -> break
        od;
        k = 0;
        do
        :: k < N -> run sender(k); k++
        :: else -> break
        od;
        if :: IDLE -> skip :: else -> run reader() fi;
        if :: KILL -> run killer() :: else fi;
        if :: TIMER -> run timer() :: else fi
    };
    /* All are through. */
    _nr_pr == 1;
    k = 0;
    do
    :: k < N -> assert(state[k] == OUT && !in_line[k] && !edge[k]); k++
    :: else -> break
    od;
    assert(!flag)
}
