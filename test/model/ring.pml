/* SPDX-License-Identifier: MIT */
/*
 * Nobody closes a ring (sched/pressure.h): actors that wait for each other's answers, and go on when they have one.
 *
 * An actor that does not wait either begins to wait for another one, or answers one that waits for it, as long as WAITS allow;
 * it ends when nobody waits for it.  So whoever waits in no ring is answered in the end, and a ring that stands is an invalid
 * end state.
 *
 * Checked, under sequential consistency, in every interleaving of trp_pressure_wait() and trp_pressure_rest():
 *   - no ring stands: an actor that waits for ever is an invalid end state;
 *   - when a victim is claimed it is in a ring, all of which stands, and nobody in it has an answer, or is claimed.
 *
 * One step is one access that others may see; an edge and its word are written in one, and read in one: who reads the one reads the
 * other again (read_hop()).  An answer lets the record rest and is given in one:
 * whoever gives it does nothing in between.
 *
 *   -DN=n actors, -DWAITS=n of all, -DLEAVE=1: who waits may give up at any time; then the second is not checked
 *   -DBUG=n  breaks one line; the table is in README.md
 */
#ifndef N
#define N 3
#endif
#ifndef WAITS
#define WAITS 4
#endif
#ifndef LEAVE
#define LEAVE 0
#endif
#ifndef BUG
#define BUG 0
#endif

#define NONE 0
#define LOOKING 1
#define WAITING 2
#define CLAIMED 3
#define NOBODY N

byte number[N]; /* of the record; with the state it is the word of an edge */
byte state[N];
byte to[N];
bool answered[N];
bool over[N];
byte numbers;
byte waits;

#define stands(i) (state[i] == LOOKING || state[i] == WAITING || state[i] == CLAIMED)

/* All of the way of `me` stands now as it was read, nobody in it is claimed, or may go on.  A ghost. */
inline check_ring()
{
#if !LEAVE
    d_step {
        i = 0;
        do
        :: i < hops ->
           assert(!answered[way[i]]);
           assert(number[way[i]] == seen[i]);
           assert(state[way[i]] == LOOKING || state[way[i]] == WAITING);
           i++
        :: else -> break
        od;
        i = 0
    }
#else
    skip
#endif
}

/* Unless the other is over: then there is nobody to ask. */
inline publish()
{
    atomic {
        if :: over[target] -> goto again :: else fi;
        numbers++;
        number[me] = numbers;
        to[me] = target;
        answered[me] = false;
        state[me] = LOOKING
    }
}

/* Follows edges from `me`: closed, if they lead back. */
inline follow()
{
    hops = 0;
    at = me;
    closed = false;
    do
    :: hops == N -> break
    :: else ->
       if
       :: atomic { stands(at) -> way[hops] = at; seen[hops] = number[at]; next = to[at] };
          hops++;
          at = next;
          if
          :: at == me -> closed = true; break
          :: else
          fi
       :: atomic { !stands(at) -> skip }; break
       fi
    od;
    at = 0;
    next = 0
}

/* Reads all again: if nothing has changed, it is a ring, and of those that look the one with the highest number is claimed. */
inline claim()
{
    do
    :: best = NOBODY;
       i = 0;
       do
       :: i < hops ->
          atomic {
              if
#if BUG == 3
              :: !stands(way[i]) || state[way[i]] == CLAIMED -> closed = false
#else
              :: number[way[i]] != seen[i] || !stands(way[i]) || state[way[i]] == CLAIMED ->
                 closed = false
#endif
              :: else ->
                 if
#if BUG == 4
                 :: way[i] == me -> best = i
#else
                 :: state[way[i]] == LOOKING && (best == NOBODY || seen[i] > seen[best]) -> best = i
#endif
                 :: else
                 fi
              fi
          };
          i++
       :: !closed || i == hops -> break
       od;
       i = 0;
       if
       :: !closed || best == NOBODY -> break
       :: else ->
          if
#if BUG == 4
          /* Each that sees it leaves. */
          :: atomic { true -> check_ring(); state[me] = CLAIMED }; break
#else
          :: atomic { number[way[best]] == seen[best] && state[way[best]] == LOOKING ->
                 check_ring(); state[way[best]] = CLAIMED }; break
          :: atomic { !(number[way[best]] == seen[best] && state[way[best]] == LOOKING) -> skip }
#endif
          fi
       fi
    od;
    best = 0
}

inline answer()
{
#if BUG == 6
    answered[who] = true
#else
    atomic { state[who] = NONE; answered[who] = true }
#endif
}

proctype actor(byte me)
{
    byte target, who, way[N], seen[N], hops, at, next, i, best;
    bool closed, shall_wait;

again:
    target = 0;
    hops = 0;
    closed = false;
    do
    :: atomic { waits > 0 -> waits-- };
       select(target : 0 .. (N - 1));
       if
       :: target == me -> skip
       :: else ->
          shall_wait = true;
#if BUG == 1
          /* Looks, then publishes. */
          hops = 0; at = target; closed = false;
          do
          :: hops == N -> break
          :: else ->
             if
             :: atomic { stands(at) -> at = to[at] }; hops++;
                if :: at == me -> closed = true; break :: else fi
             :: atomic { !stands(at) -> skip }; break
             fi
          od;
          at = 0;
          if
          :: closed -> shall_wait = false
          :: else -> publish(); state[me] = WAITING
          fi;
#elif BUG == 2
          publish();
          state[me] = WAITING;
#else
          publish();
          follow();
          if :: closed -> claim() :: else fi;
#if BUG == 5
          state[me] = WAITING;
#else
          if
          :: atomic { state[me] == LOOKING -> state[me] = WAITING }
          :: atomic { state[me] == CLAIMED -> state[me] = NONE; shall_wait = false }
          :: atomic { state[me] == NONE -> skip }
          fi;
#endif
#endif
          closed = false;
          hops = 0;
          d_step { i = 0; do :: i < N -> way[i] = 0; seen[i] = 0; i++ :: else -> break od; i = 0 };
          if
          :: !shall_wait -> skip
          :: else ->
             if
             :: atomic { answered[me] -> state[me] = NONE; answered[me] = false }
#if LEAVE
             :: atomic { state[me] == WAITING -> state[me] = NONE; to[me] = me }
#endif
             fi
          fi
       fi;
       target = 0
    :: select(who : 0 .. (N - 1));
       if
       :: atomic { who != me && to[who] == me && state[who] == WAITING && !answered[who] -> skip };
          answer()
       :: else
       fi;
       who = 0
    :: atomic { waits == 0 -> 
         /* Over, if nobody waits for it, nor is about to. */
         i = 0;
         do
         :: i < N && !(i != me && to[i] == me && stands(i)) -> i++
         :: else -> break
         od;
         if :: i == N -> i = 0; over[me] = true; goto done :: else -> i = 0 fi }
    od;
done:
    skip
}

init
{
    byte n;

    atomic {
        waits = WAITS;
        n = 0;
        do
        :: n < N -> to[n] = n; run actor(n); n++
        :: else -> break
        od
    }
}
