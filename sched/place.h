/* SPDX-License-Identifier: MIT */
/*
 * place.h - into a mailbox: what was admitted (admit.h) is pointed, stamped and pushed.
 *
 * Pointed: if somebody waits for the answer of a request, that one waits for its receiver from here on (pressure.h).  It may be
 * answered as soon as it is there, so this comes before the push.
 *
 * An alias (lib/alias.c) names no actor.  What comes through one is admitted and pushed under the lock of its owner's extra block, so
 * whoever ends an alias knows that nothing comes through it from then on.  So is what was waited for in line, but for the push.
 */
#ifndef TRP_PLACE_H
#define TRP_PLACE_H

#include "core.h"

/** They were admitted: their room will be given back. */
static inline void trp_place_mark(struct troupe_message *first, uint32_t count)
{
    struct troupe_message *msg = first;

    for (;;) {
        msg->flags |= TRP_MESSAGE_CHARGED;
        if (--count == 0) {
            return;
        }
        /* relaxed: the chain is ours until it is pushed. */
        msg = trp_message_of(atomic_load_explicit(&msg->node.next, memory_order_relaxed));
    }
}

/* ---- requests on whose answer somebody waits ---- */

/** The record of whoever waits for its answer.  0: nobody waits for it, it only carries a permit. */
uint64_t trp_place_edge(const struct troupe_message *request);

/**
 * A request is about to be placed at `actor`: whoever waits for its answer waits for that one from here on.  TROUPE_EDEADLK:
 * that would close a ring.
 *
 * `out_ring`: under a lock, where a ring is not reported: as of trp_pressure_wait_quietly(), for trp_pressure_report() when the lock
 * was given back.  Or NULL.
 */
TROUPE_CHECKED int trp_place_point_edge(struct trp_context *context, struct troupe_actor *actor,
    const struct troupe_message *request, uint64_t edge, struct trp_ring *out_ring);

/** The same of one that was admitted: if it is refused now its room was given back. */
TROUPE_CHECKED int trp_place_point_request(struct trp_context *context, struct troupe_actor *actor,
    const struct troupe_message *request, struct trp_ring *out_ring);

/** The same of any message. */
static inline TROUPE_CHECKED int trp_place_point(struct trp_context *context,
    struct troupe_actor *actor, const struct troupe_message *msg, struct trp_ring *out_ring)
{
    return trp_unlikely(msg->kind == TRP_MESSAGE_QUESTION)
               ? trp_place_point_request(context, actor, msg, out_ring)
               : TROUPE_OK;
}

/** It was pointed elsewhere, and is refused: whoever tried to send it has it still, and runs.  If it is that one's own its record is
 * about to be closed. */
void trp_place_point_back(struct trp_context *context, const struct troupe_message *request);

/** One in a batch goes where nobody follows it. */
void trp_place_lose_sight(struct trp_context *context, const struct troupe_message *msg);

/**
 * Charges `count` messages of `bytes` within `room`, which is more than the capacity, whoever waits in line; but for those in line that
 * count on a place there is one left.  TROUPE_EFULL: nothing was charged.
 */
TROUPE_CHECKED int trp_place_admit_within(
    struct troupe_actor *actor, uint64_t room, uint32_t count, uint64_t bytes);

/* ---- under a lock ---- */

/** What is sent through an alias, or by somebody who waited for room. */
struct trp_parcel {
    troupe_pid to;
    struct troupe_message *first;
    uint32_t count;
    uint64_t bytes;
    uint64_t
        room; /* to be admitted within, as in the charge; 0: within the capacity, if nobody waits */
    uint32_t lane; /* by a waiter: where it will stand */
    bool waited;   /* by a waiter whose turn it is */
    struct trp_passage passage;
    bool scheduled;        /* we own the token: it is to be queued */
    bool signalled;        /* it is to be told that something goes before its queue */
    struct trp_ring *ring; /* the caller's: what is to be reported; NULL: it is no request */
};

/**
 * Under the lock of `extra`, that of `actor`: what comes through an alias.  TROUPE_EGONE: it leads to nobody.  Of one that ends with the
 * first message only that one is placed, and `count` becomes 1.  Otherwise as trp_place_enter().
 */
TROUPE_CHECKED int trp_place_through(struct trp_context *context, struct troupe_actor *actor,
    struct trp_extra *extra, struct trp_parcel *parcel);

/** What follows that when the lock was given back. */
void trp_place_followed(
    struct trp_context *context, struct troupe_actor *actor, const struct trp_parcel *parcel);

/** Under the lock of `extra`, that of `actor`.  A waiter whose turn it is takes its room; what it sends to a pid is pushed without the
 * lock.  TROUPE_EFULL; TROUPE_EGONE; TROUPE_EDEADLK, as of trp_send_request(). */
TROUPE_CHECKED int trp_place_enter(struct trp_context *context, struct troupe_actor *actor,
    struct trp_extra *extra, struct trp_parcel *parcel);

/** What follows that when the lock was given back. */
void trp_place_entered(
    struct trp_context *context, struct troupe_actor *actor, const struct trp_parcel *parcel);

/** Chains that lead to nobody end here. */
void trp_place_drop(
    struct trp_context *context, troupe_pid to, struct troupe_message *first, uint32_t count);

/* ---- onto a shelf ---- */

/** Messages for a mailbox that displaces: there is always room.  TROUPE_EMSGSIZE; TROUPE_EGONE: the actor ended before the first one; what
 * comes after it is lost with those before. */
TROUPE_CHECKED int trp_place_shelve(struct trp_context *context, struct troupe_actor *actor,
    struct troupe_message *first, uint32_t count);

/** What was admitted and is charged goes where it stands, into the queue or onto a shelf: what comes too late is lost with what was
 * queued. */
void trp_place_put_up(struct trp_context *context, struct troupe_actor *actor,
    struct troupe_message *first, struct troupe_message *last, uint32_t count);

/* ---- messages that their user owned ---- */

/** One is about to go. */
void trp_place_let_go(struct troupe_message *msg, troupe_pid sender);

/** It was refused: it is as it was before, of `self`, or, NULL, of nobody. */
void trp_place_take_back(
    struct troupe_runtime *runtime, struct troupe_actor *self, struct troupe_message *msg);

#endif
