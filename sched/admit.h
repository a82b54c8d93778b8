/* SPDX-License-Identifier: MIT */
/*
 * admit.h - whether a message may go into a mailbox: its room, its weight, its stamp.
 *
 * With the option `queue_high` a mailbox has a mark: `charge.cap` is no more than that, so the sender that would pass it is
 * refused at first, looks, and takes its room within the capacity.
 *
 *               first to pass               mark is raised, and it was told
 *     SHORT ------------------> PASSED --------------------------------------> LONG
 *       ^                                                                        |
 *       +------------------------------------------------------------------------+
 *                 the reader has made room down to queue_low
 *
 * The first sender to set PASSED tells of it, raises the mark to the capacity, and sets LONG; then it pushes, so the
 * reader will run.  It alone acts on LONG.  So each is told once, in turn, and nobody takes a lock.
 */
#ifndef TRP_ADMIT_H
#define TRP_ADMIT_H

#include "context.h"

/** What is read from `waiting`. */
static inline uint32_t trp_admit_waiting(const struct troupe_actor *actor)
{
    /* relaxed: a waiter that comes just now may be overtaken once; the bits of the spawn stand. */
    return atomic_load_explicit(&actor->waiting, memory_order_relaxed);
}

/** Whether somebody waits for room there, or what is sent is to be stamped, or stands on a shelf. */
static inline bool trp_admit_wants_care(const struct troupe_actor *actor)
{
    return (trp_admit_waiting(actor) & (TRP_WAITING_COUNT | TRP_WAITING_CARE)) != 0;
}

/** How many are queued.  Any thread; a moment's view. */
static inline uint64_t trp_admit_length(const struct troupe_actor *actor)
{
    return trp_charge_queued(&actor->charge) >> 40;
}

/** Whether at most half of its capacity is queued: then those go on that wait for room, since a wake-up costs as much as many
 * messages. */
static inline bool trp_admit_is_half_empty(const struct troupe_actor *actor)
{
    uint64_t queued = trp_charge_queued(&actor->charge);
    uint64_t capacity = trp_actor_capacity(actor->behaviour);

    return queued >> 40 <= (capacity >> 40) / 2 &&
           (queued & TRP_CHARGE_BYTES) <= (capacity & TRP_CHARGE_BYTES) / 2;
}

/** Where its messages stand, if it is on a shelf; or NULL. */
struct trp_shelf *trp_admit_shelf(struct troupe_actor *actor);

/** Whether it has its room on its shelf, and makes some by taking messages out again. */
bool trp_admit_is_displacing(struct troupe_actor *actor);

/** Whether its senders take turns, and have each a share of its room. */
static inline bool trp_admit_is_shared(const struct troupe_actor *actor)
{
    const struct troupe_overload *overload = actor->behaviour->overload;

    return overload != NULL && overload->by_sender;
}

/** The lane of its mailbox that a message belongs into.  Under no lock: a function of the user's says so. */
uint32_t trp_admit_lane(const struct troupe_actor *actor, const struct troupe_message *msg);

/** Whether a mailbox whose senders have shares bears so much more of this one. */
bool trp_admit_bears(
    struct troupe_actor *actor, troupe_pid sender, uint32_t lane, uint32_t count, uint64_t bytes);

/** What a chain will weigh in the mailbox of `actor`, or, NULL, as it is. */
uint64_t trp_admit_weigh(struct troupe_actor *actor, struct troupe_message *first, uint32_t count);

/**
 * Charges `count` messages of `bytes`; whether others wait has been looked at, or the caller is the waiter whose turn it is,
 * `waited`: then it has the lock, and trp_admit_tell() follows without it.  TROUPE_EFULL, TROUPE_EMSGSIZE: nothing was charged.
 */
TROUPE_CHECKED int trp_admit(
    struct troupe_actor *actor, uint32_t count, uint64_t bytes, bool waited);

/** The same of a chain, where trp_admit_wants_care() says so. */
TROUPE_CHECKED int trp_admit_with_care(
    struct troupe_actor *actor, struct troupe_message *first, uint32_t count);

/** Of what was admitted under a lock: if the queue is long now, tells so.  Under no lock. */
void trp_admit_tell(struct troupe_actor *actor);

/** Admitted messages get their stamps, if they are to have any. */
void trp_admit_stamp(struct trp_context *context, struct troupe_actor *actor,
    struct troupe_message **first, struct troupe_message **last, uint32_t count);

/** The reader has made room and `waiting` says LONG: puts the mark back, if the queue is short by now. */
void trp_admit_fall_below(struct troupe_actor *actor);

#endif
