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
#include "pressure.h"

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

/** What is left of `from` without `what`: never less than nothing. */
static inline uint64_t trp_admit_less(uint64_t from, uint64_t what)
{
    return what < from ? from - what : 0;
}

/** Whether half of its capacity is free, but for what is leased: then those go on that wait for room, since a wake-up costs as much as many
 * messages. */
bool trp_admit_is_half_empty(struct troupe_actor *actor);

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

/** What a message with `size` bytes of body weighs at most, with whatever may stand beside its body. */
uint64_t trp_admit_weigh_most(size_t size);

/**
 * Charges room for `count` messages that are yet to come (lease.h), `bytes` in all: nobody else has it until it is used or given up.
 * Errors, and `waited`, as of trp_admit(); TROUPE_EMSGSIZE also for more messages than an empty mailbox takes.
 */
TROUPE_CHECKED int trp_admit_lease(struct troupe_actor *actor, struct trp_holding *holding,
    uint32_t count, uint64_t bytes, bool waited);

/** One place of such room, of `place_bytes`, is used by a message that weighs `bytes`, no more than that: what is left of it is given
 * back.  Returns whether there was any. */
bool trp_admit_use(
    struct troupe_actor *actor, struct trp_holding *holding, uint64_t place_bytes, uint64_t bytes);

/** Such room is given back unused. */
void trp_admit_give_up(
    struct troupe_actor *actor, struct trp_holding *holding, uint32_t count, uint64_t bytes);

/** How much of a mailbox's room is leased, as in `charge`; `holding` may be NULL.  A moment's view. */
static inline uint64_t trp_admit_leased(const struct trp_holding *holding)
{
    /* relaxed: a number. */
    return holding != NULL ? atomic_load_explicit(&holding->leased, memory_order_relaxed) : 0;
}

/** Of what was admitted under a lock: if the queue is long now, tells so.  Under no lock. */
void trp_admit_tell(struct troupe_actor *actor);

/** Admitted messages get their stamps, if they are to have any. */
void trp_admit_stamp(struct trp_context *context, struct troupe_actor *actor,
    struct troupe_message **first, struct troupe_message **last, uint32_t count);

/** The reader has made room and `waiting` says LONG: puts the mark back, if the queue is short by now. */
void trp_admit_fall_below(struct troupe_actor *actor);

#endif
