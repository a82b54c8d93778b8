/* SPDX-License-Identifier: MIT */
/*
 * pressure.h - who waits for whom, and that nobody closes a ring.
 *
 * An actor waits for one other at a time, so what there is of waits is a set of chains.  Each that waits publishes whom it
 * waits for, its *edge*, and then follows the edges from there: O(chain), at most TRP_EDGE_HOPS.  The last one of a would-be
 * ring to publish sees all of it, whatever the others saw; so a look at wait time finds every ring, and nobody has to look
 * again.
 *
 * `word` of an edge is a record's number, how often that record was pointed elsewhere, and a state.  No number is used twice,
 * so an edge that is read twice with the same word stood all the time between; and edges all of which are read, and then all
 * again, stood at the same time.
 *
 *             open             point                  no ring                    rest
 *    NONE ----------> RESTING --------> LOOKING -----------------> WAITING ---------------> RESTING
 *     ^                  ^                 |     in a ring, and
 *     |                  |                 |     the victim: claim
 *     +------------------+                 +---------------------> CLAIMED ---- it does not wait: refuse ----> RESTING
 *      close, from any state but MOVING
 *
 * An edge stands in LOOKING, WAITING, CLAIMED, and PAUSED: of a handler that is paused.  It gives way: whoever finds a ring in which
 * somebody is paused lets that one go on and looks again, so such a ring has no victim.
 *  MOVING: `to` is being written, or the text; all others wait for that.
 *
 * Several may see the same ring before one of them leaves it.  Each goes through those that are LOOKING, highest number first,
 * and claims the first that it can: who has stopped looking can be claimed no more, and who was claimed finds it when it
 * wants to wait.  So all come to the same one, and a ring has exactly one victim.
 *
 * The owner opens and closes.  Between the two, whoever has in hand what the owner waits for points the record, or lets it rest:
 * the holder of its request, which passes it on or answers it; the reader in whose line it stands; the job that acts for it.
 * Whoever lets an actor go on lets its record rest first: then what it does next sees no ring that is none any more.
 *
 * Words of flows (lib/flow.h) are on their way already when somebody begins to wait for the next one, so there the two ends count
 * them.  Who waits says for which one, by its number, while its record still RESTS (aim); meets its mailbox; looks whether it has
 * come; and only then stands.  Who has sent a word meets the same mailbox by doing so, and lets rest what waits for that word or
 * an earlier one (told).  Whoever is second at the mailbox knows what the first did: either the word is seen, or the aim is, and
 * one that was told meanwhile does not stand.  A producer that waits for one subscriber hears the others as well, and one of
 * them may get what it waits for: so what any of them says lets it rest.  That may come too late, so it is woken, and aims again.
 *
 * Models: test/model/ring.pml, and full.pml.  Interleavings: test/explore/part_pressure.c.
 */
#ifndef TRP_PRESSURE_H
#define TRP_PRESSURE_H

#include "context.h"

struct trp_pause;

/** A chain that is longer counts as a ring. */
#define TRP_EDGE_HOPS 64

enum trp_edge_state {
    TRP_EDGE_NONE,    /* no record */
    TRP_EDGE_RESTING, /* of one that does not wait now */
    TRP_EDGE_LOOKING, /* whether it closes a ring is not known yet */
    TRP_EDGE_WAITING, /* it closed none */
    TRP_EDGE_CLAIMED, /* it is in one, and the victim */
    TRP_EDGE_MOVING,  /* somebody writes the rest */
    TRP_EDGE_PAUSED, /* of one that is paused (pause.h): who finds it in a ring lets that one go on */
};

#define TRP_EDGE_STATE UINT64_C(7)
#define TRP_EDGE_MOVE UINT64_C(8)          /* one more time pointed elsewhere */
#define TRP_EDGE_MOVES UINT64_C(0x7f8)     /* how often: all of these bits */
#define TRP_EDGE_NUMBER (~UINT64_C(0x7ff)) /* of the record */

/** Of a flow: who waits serves everybody meanwhile who says something of this kind, so the words of all of them count. */
#define TRP_EDGE_OPEN UINT64_C(1)

/** Contexts take numbers in steps, each from a place of its own. */
#define TRP_EDGE_STEP (UINT64_C(1) << 23)
#define TRP_EDGE_FIRST(place) (((uint64_t)(place) + 1) << 11)

/** What an actor that has ever waited, or been paused on, has, as long as its extra block.  Made by whoever needs it first. */
struct trp_edge {
    _Atomic uint64_t word;

    /* Whoever moves it. */
    _Atomic troupe_pid to;
    _Atomic uint64_t
        flow; /* of a wait for a word of a flow: which one, and which way; 0: of another wait */
    _Atomic uint32_t life;  /* of a join: 1 + the incarnation whose end is awaited; 0: any */
    _Atomic uint32_t heard; /* of a wait for a word of a flow: how many came before that word */

    _Atomic(struct trp_pause *) pause; /* pause.h: its owner's; others look at it */
    struct trp_list
        paused; /* pause.h: those that are paused on it, first come first.  Under the lock of the extra block */
    char *text; /* whoever moves it, and the owner of one that rests: of the last ring; or NULL */
};

/**
 * Room that is held (lease.h): in the mailboxes of others, and by others in one's own.  In the block of an edge, since so few actors need
 * it.
 */
struct trp_holding {
    /* Under the lock of the extra block. */
    struct trp_list leases; /* that its actor holds */
    uint32_t
        waiter_more; /* line.c: places that those who wait for room here want, beyond one each */
    _Atomic uint32_t lease_count; /* how many are in `leases`; others look at it without the lock */

    /* Any thread. */
    _Atomic uint64_t leased; /* admit.c: how much of its actor's room is; as in `charge` */
};

/** How a record is pointed.  See struct trp_edge. */
struct trp_aim {
    troupe_pid to;
    uint64_t flow;
    uint32_t life;
    uint32_t heard;
};

/** That of `actor`, or NULL.  Any context, under reclaim. */
struct trp_edge *trp_pressure_edge(struct troupe_actor *actor);

/** The same, made if there is none; NULL without memory. */
struct trp_edge *trp_pressure_need_edge(struct trp_context *context, struct troupe_actor *actor);

/**
 * A record for `self`, which has none, RESTING.  Its owner; *out_number is never 0.
 *
 * Returns TROUPE_ENOMEM: the first one of an actor takes a block.
 */
TROUPE_CHECKED int trp_pressure_open(
    struct trp_context *context, struct troupe_actor *self, uint64_t *out_number);

/** Its record ends, if it has one.  Its owner, or whoever holds its token. */
void trp_pressure_close(struct troupe_actor *self);

/**
 * The record `number` of `actor` is that of a wait for aim->to from here on, unless that closed a ring.  Whoever is entitled to:
 * see above.
 *
 * Returns TROUPE_OK: it waits, or it is not that record any more; TROUPE_EDEADLK: it rests, and the owner's text says why.
 * With the option to log rings, that was reported instead.
 */
TROUPE_CHECKED int trp_pressure_wait(struct trp_context *context, struct troupe_actor *actor,
    uint64_t number, const struct trp_aim *aim);

/** Room for the names of one ring. */
#define TRP_RING_TEXT 2048

/** A ring that was seen, to be reported. */
struct trp_ring {
    troupe_pid pid;    /* who closes it */
    const char *actor; /* its behaviour's name */
    uint64_t count;    /* of actors in it; 0: there is none */
    char text[TRP_RING_TEXT];
};

/** The same under a lock of ours, under which nobody is called back: instead of a report *out_ring, of which `count` is 0, becomes the
 * ring as it was seen, for trp_pressure_report() when the lock was given back. */
TROUPE_CHECKED int trp_pressure_wait_quietly(struct trp_context *context,
    struct troupe_actor *actor, uint64_t number, const struct trp_aim *aim,
    struct trp_ring *out_ring);

/** Reports it, if there is one; NULL: there is none. */
void trp_pressure_report(struct trp_context *context, const struct trp_ring *ring);

/** The two halves of trp_pressure_wait(): the edge stands, and whether it may.  Between them whoever is entitled to may let it rest. */
void trp_pressure_point(struct troupe_actor *actor, uint64_t number, const struct trp_aim *aim);
TROUPE_CHECKED int trp_pressure_look(
    struct trp_context *context, struct troupe_actor *actor, uint64_t number);

/** The record, if it is still that one, rests: its owner goes on, or is about to. */
void trp_pressure_rest(struct troupe_actor *actor, uint64_t number);

/** The record `number` of `actor` is that of a pause on `to`, which gives way. */
void trp_pressure_pause(struct troupe_actor *actor, uint64_t number, troupe_pid to);

/** Whether the edge of `actor`, which stands, closes a ring.  Under no lock. */
bool trp_pressure_closes(struct trp_context *context, struct troupe_actor *actor);

/**
 * Of a wait for a word of a flow.  Its owner says with trp_pressure_aim() for which one, and gets a word of the record; looks
 * whether it has come; and stands with trp_pressure_stand(), to look with trp_pressure_look().  False: it was told meanwhile.
 * trp_pressure_stands(): whether it has stood, and not been told, since that aim.
 */
TROUPE_CHECKED uint64_t trp_pressure_aim(
    struct troupe_actor *self, uint64_t number, const struct trp_aim *aim);
TROUPE_CHECKED bool trp_pressure_stand(struct troupe_actor *self, uint64_t word);
bool trp_pressure_stands(struct troupe_actor *self, uint64_t word);

/**
 * `by` has sent the word number `count` of `flow` to `actor`, and nothing else since: its record rests, if it waits for that one,
 * or for an earlier one; or if it is TRP_EDGE_OPEN as this word is, and waits for another.
 *
 * Returns whether the owner is to be woken (TRP_SIGNAL_ROOM): it may have to aim again, and need not know.
 */
TROUPE_CHECKED bool trp_pressure_told(
    struct troupe_actor *actor, troupe_pid by, uint64_t flow, uint32_t count);

/** Its wait would have closed a ring: `self` fails, if options.on_ring says so, or comes back.  In a callback of its that may wait. */
void trp_pressure_give_in(struct troupe_actor *self);

/** The holding of `actor`; NULL: none yet.  Any thread, under reclaim. */
struct trp_holding *trp_pressure_holding(struct troupe_actor *actor);

/** The same, made if there is none; NULL without memory. */
struct trp_holding *trp_pressure_need_holding(
    struct trp_context *context, struct troupe_actor *actor);

/** Whether `actor` holds room that it has not used: then it does not begin to wait for other room, nor is it paused.  Any thread,
 * under reclaim. */
bool trp_pressure_is_holder(struct troupe_actor *actor);

/** Gives back `edge`, or NULL: nobody can reach it any more. */
void trp_pressure_free(struct trp_context *context, struct trp_edge *edge);

#endif
