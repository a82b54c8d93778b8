/* SPDX-License-Identifier: MIT */
/*
 * Nobody closes a ring of sends (sched/pressure.h, sched/line.h): four actors with mailboxes of one message, all of which are full.
 *
 * Each wants to send one message to one other actor, and then to handle what it has; which one is chosen at the beginning, of all
 * ways in which four can choose, up to their names.  Who finds no room gets in line: its edge stands before it looks.  Who handles
 * a message lets the edge rest of the one whose turn it is, which has the room then, and sees no ring that it is in itself.  Who
 * would close a ring is refused, and goes on without.
 *
 * Checked, under sequential consistency, in every interleaving:
 *   - all come to their end: a ring that stands is an invalid end state;
 *   - when a victim is claimed its ring stands, all of it, and nobody in it has room, or is claimed.
 *
 * One step is one access that others may see; a word and where it leads are written in one, and read in one.
 *
 *   -DROUNDS=n  messages that each wants to send [1]
 *   -DBUG=n     breaks one line; the table is in README.md
 */
#ifndef ROUNDS
#define ROUNDS 1
#endif
#ifndef BUG
#define BUG 0
#endif

#define N 4
#define NONE 0
#define LOOKING 1
#define WAITING 2
#define CLAIMED 3
#define NOBODY N

byte number[N]; /* of the record; with the state it is the word of an edge */
byte state[N];
byte wish[N]; /* to whom it sends: where its edge leads */
bool held[N]; /* its mailbox */
bool let_in[N]; /* the room that was made is its */
byte numbers;

#define stands(i) (state[i] != NONE)

/* All of the way stands as it was read, nobody in it is claimed, or has room.  A ghost. */
inline check_ring()
{
    d_step {
        i = 0;
        do
        :: i < hops ->
           assert(!let_in[way[i]]);
           assert(number[way[i]] == seen[i]);
           assert(state[way[i]] == LOOKING || state[way[i]] == WAITING);
           i++
        :: else -> break
        od;
        i = 0
    }
}

/* Reads the next edge on the way. */
inline hop()
{
    if
    :: stands(at) -> way[hops] = at; seen[hops] = number[at]; hops++; at = wish[at];
       if
       :: at == me -> closed = true; at = NOBODY
       :: at != me && hops == N -> at = NOBODY
       :: else
       fi
    :: else -> at = NOBODY
    fi
}

/* Reads one edge again. */
inline again()
{
    if
#if BUG == 3
    :: !stands(way[i]) || state[way[i]] == CLAIMED -> closed = false
#else
    :: number[way[i]] != seen[i] || !stands(way[i]) || state[way[i]] == CLAIMED -> closed = false
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
    fi;
    i++
}

/* Follows edges from `me`, and if they lead back claims one of those that look. */
inline look()
{
    at = me;
    do
    :: atomic { at != NOBODY -> hop() }
    :: atomic { at == NOBODY -> at = 0; break }
    od;
    do
    :: !closed -> break
    :: else ->
       best = NOBODY;
       do
       :: atomic { closed && i < hops -> again() }
       :: atomic { !closed || i == hops -> i = 0; break }
       od;
       if
       :: !closed || best == NOBODY -> break
       :: else ->
          if
#if BUG == 4
          :: atomic { true -> check_ring(); state[me] = CLAIMED; break }
#else
          :: atomic { number[way[best]] == seen[best] && state[way[best]] == LOOKING ->
                 check_ring(); state[way[best]] = CLAIMED; break }
          :: atomic { !(number[way[best]] == seen[best] && state[way[best]] == LOOKING) -> best = NOBODY }
#endif
          fi
       fi
    od;
    atomic {
        i = 0;
        do :: i < N -> way[i] = 0; seen[i] = 0; i++ :: else -> break od;
        i = 0; hops = 0; best = 0; closed = false
    }
}

/* One message is handled: who is first in line gets its place.  In the code both are under the lock of the line. */
inline handle()
{
    atomic {
        held[me] = false;
        who = 0;
        do
        :: who < N && !(who != me && wish[who] == me && stands(who) && !let_in[who]) -> who++
        :: else -> break
        od;
        if
        :: who < N ->
           held[me] = true;
           let_in[who] = true;
#if BUG != 6
           state[who] = NONE
#endif
        :: else
        fi;
        who = 0
    }
}

proctype actor(byte me)
{
    byte who, way[N], seen[N], hops, at, i, best, rounds;
    bool closed, shall_wait;

    rounds = ROUNDS;
    do
    :: rounds > 0 ->
       rounds--;
       shall_wait = true;
#if BUG == 1
       /* Looks, then publishes. */
       at = wish[me];
       do
       :: atomic { at != me && stands(at) -> at = wish[at] }
       :: atomic { at == me -> shall_wait = false; break }
       :: atomic { at != me && !stands(at) -> break }
       od;
       at = 0;
       if
       :: shall_wait ->
#endif
       /* Under the lock of the line: is there room? */
       atomic {
           if
           :: !held[wish[me]] -> held[wish[me]] = true; shall_wait = false
           :: else -> numbers++; number[me] = numbers; state[me] = LOOKING
           fi
       };
#if BUG == 1
       :: else
       fi;
#endif
       if
       :: !shall_wait -> skip
       :: else ->
#if BUG == 1 || BUG == 2
          atomic { state[me] == LOOKING -> state[me] = WAITING };
#else
          look();
          if
#if BUG == 5
          :: atomic { state[me] != NONE -> state[me] = WAITING }
#else
          :: atomic { state[me] == LOOKING -> state[me] = WAITING }
          :: atomic { state[me] == CLAIMED -> shall_wait = false; state[me] = NONE }
#endif
          :: atomic { state[me] == NONE -> skip }
          fi;
#endif
          if
          :: !shall_wait -> skip
          :: else -> atomic { let_in[me] -> let_in[me] = false; state[me] = NONE }
          fi
       fi;
       shall_wait = false;
       if
       :: held[me] -> handle()
       :: atomic { !held[me] -> skip }
       fi
    :: rounds == 0 -> break
    od;
    /* Handles whatever comes. */
end:
    do
    :: held[me] -> handle()
    od
}

inline choose(a, b, c, d)
{
    wish[0] = a; wish[1] = b; wish[2] = c; wish[3] = d
}

init
{
    byte n;

    atomic {
        if
        :: choose(1, 2, 3, 0)
        :: choose(1, 2, 0, 0)
        :: choose(1, 0, 3, 2)
        :: choose(1, 0, 0, 0)
        :: choose(1, 0, 0, 1)
        :: choose(1, 0, 0, 2)
        fi;
        n = 0;
        do
        :: n < N -> held[n] = true; run actor(n); n++
        :: else -> break
        od
    }
}
