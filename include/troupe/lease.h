/* SPDX-License-Identifier: MIT */
/*
 * lease.h - room in the mailbox of another actor, held before it is needed.
 *
 * Who is about to do what cannot be undone wants to know first that it can tell of it.  So it reserves room:
 *
 *     const struct troupe_reservation what = {.to = journal, .count = 2, .size = sizeof(struct entry)};
 *     struct troupe_lease lease;
 *
 *     TROUPE_TRY(troupe_reserve(self, &what, 500, &lease));  // waits for both places, at most half a second
 *     ...
 *     error = troupe_lease_send(self, &lease, &entry, &first);   // there is room
 *
 * A reservation is granted whole or not at all.  One that waits stands in the same line as the sends that wait for room (fiber.h):
 * first come, first served, and those behind it wait until it has all of its room.  What is reserved counts as queued, for
 * everybody who is admitted and in troupe_mailbox_info().  Each message that is sent with the lease takes one of the places; it comes
 * behind what its sender has sent there before, as any other message.
 *
 * A *lease* is for a time, by default a second.  Then what was not used is given back to those that wait, whatever its holder
 * does just then, and sends with it end with TROUPE_ETIMEDOUT.  It is given back as well when the holder's life ends,
 * in whatever way, also if another life begins at the same pid.  A receiver that keeps its mailbox keeps what is reserved
 * in it; of one that ends for good nothing is left to hold, and sends with the lease end with TROUPE_EGONE.
 *
 * Nobody closes a ring of waits by it.  Whoever waits for room that is held waits for the holder too, and that nobody sees.  So
 * *an actor that holds room which it has not used does not begin to wait for other room*: a send that would wait, or another
 * troupe_reserve(), ends with TROUPE_EFULL at once; nor does a job wait for it that it waits for (blocking.h), nor is it paused.  Who needs room at several actors reserves it
 * together, troupe_reserve_all(): in the order of their pids, so that of those who do none waits for another in a ring.  What else a holder waits for, an answer
 * for example, may depend on who waits for its room: that lasts no longer than the lease.  Waiting for the room of an actor that itself waits for somebody counts as
 * waiting for that actor, as always (fiber.h), though the room may be held by a third.
 *
 * Policies (overload.h) are asked by sends, not by reservations.  A mailbox that drops its oldest messages or
 * conflates is never full, and nothing can be reserved in it; nor through an alias.
 */
#ifndef TROUPE_LEASE_H
#define TROUPE_LEASE_H

#include "troupe/message.h"

TROUPE_BEGIN_DECLS

/** Default and longest time of a lease, in milliseconds. */
#define TROUPE_LEASE_DEFAULT_MS 1000
#define TROUPE_LEASE_MAX_MS 3600000

/** Most receivers of one troupe_reserve_all(). */
#define TROUPE_RESERVE_MAX 32

/** What is to be reserved.  A place weighs what a message with `size` bytes of body may weigh at most, with all that may stand
 * beside its body (a stamp, a permit): the block for 80 bytes more than that. */
struct troupe_reservation {
    troupe_pid to;     /* an actor; no alias */
    uint32_t count;    /* messages [1] */
    uint32_t lease_ms; /* how long the room is held [TROUPE_LEASE_DEFAULT_MS] */
    size_t size;       /* of the largest body, in bytes [TROUPE_BODY_INLINE] */
};

/** Names room that is held.  {0} is none.  Stale ones are harmless.  Not to be copied: a copy does not know how much is left. */
struct troupe_lease {
    void *record;
    uint64_t serial;
    uint32_t left; /* places that were not used; not counting whether the time is over */
};

/**
 * Reserves room, and waits for it if it is not there.
 *
 * Threads  `wait_ms` 0: a callback of `self`, which does not wait.  Otherwise one that may wait (fiber.h)
 * Owns     *out_lease is the caller's to use or release; it ends with this life of `self` at the latest
 * Units    `wait_ms` in milliseconds, 0, or TROUPE_FOREVER: but never longer than whoever asked for what is handled now waits
 * Errors   TROUPE_EFULL      no room, or others wait in line, and `self` does not wait: `wait_ms` is 0; it is its own mailbox;
 *                            it holds other room, see above; its wait would close a ring (troupe_deadlock_text())
 *          TROUPE_ETIMEDOUT  there was no room in time
 *          TROUPE_EGONE      the actor has ended, before or while we waited
 *          TROUPE_EMSGSIZE   more than an empty mailbox takes, in messages or in bytes: to wait would be in vain
 *          TROUPE_ELIMIT     `self` has as many leases as limits.actor_timers; or of timers, with a limit to its wait
 *          TROUPE_ENOMEM
 *          TROUPE_EINVAL     also of a mailbox in which nothing can be reserved
 * Cost     one block from a pool, a timer, and the lock of the own extra block; the receiver's too if somebody waits there
 */
TROUPE_API TROUPE_CHECKED int troupe_reserve(struct troupe_actor *self,
    const struct troupe_reservation *what, int wait_ms, struct troupe_lease *out_lease);

/**
 * Reserves room at `count` actors, all of it or none, and waits until it is there.  While it waits for one it holds
 * the room at those with lower pids.
 *
 * Units    `count` from 1 to TROUPE_RESERVE_MAX, each of another actor; out_leases[i] is that of what[i].  `wait_ms` is for
 *          all of it together.  Each lease begins anew when all are there
 * Errors   as troupe_reserve(); then nothing is held.  TROUPE_ETIMEDOUT also if the lease of one was over before the last one was
 *          there
 * Cost     as so many of troupe_reserve()
 */
TROUPE_API TROUPE_CHECKED int troupe_reserve_all(struct troupe_actor *self,
    const struct troupe_reservation *what, size_t count, int wait_ms,
    struct troupe_lease *out_leases);

/**
 * Sends a copy of `body` into a place of the lease.  With the last place the lease ends.
 *
 * Threads  a callback of `self`, whose lease it is
 * Owns     as troupe_send()
 * Errors   TROUPE_EGONE      the actor has ended
 *          TROUPE_ETIMEDOUT  the lease is over: its time, its last place, or the life of its holder; or it is none
 *          TROUPE_EMSGSIZE   it weighs more than a place; the place is left
 *          TROUPE_ENOMEM     for the copy: a message that was made before it was needed cannot fail for that
 *                            (troupe_lease_send_message())
 *          TROUPE_EINVAL     as troupe_send()
 * Order    as troupe_send()
 * Cost     as troupe_send(), without asking for room, and the lock of the own extra block; with the last place a timer is cancelled
 */
TROUPE_API TROUPE_CHECKED int troupe_lease_send(struct troupe_actor *self,
    struct troupe_lease *lease, const struct troupe_type *type, const void *body);

/** As troupe_lease_send(), with `size` bytes of body, for variable types. */
TROUPE_API TROUPE_CHECKED int troupe_lease_send_bytes(struct troupe_actor *self,
    struct troupe_lease *lease, const struct troupe_type *type, const void *body, size_t size);

/**
 * As troupe_lease_send(), and moves `msg`, as troupe_send_message() does.
 *
 * Owns     on success the runtime; on error still the caller
 * Errors   those of troupe_lease_send() but TROUPE_ENOMEM; TROUPE_EINVAL: a request, which is not sent with a lease
 */
TROUPE_API TROUPE_CHECKED int troupe_lease_send_message(
    struct troupe_actor *self, struct troupe_lease *lease, struct troupe_message *msg);

/**
 * Gives back what is left; whoever waits for it is let in.  One that is over, or none, does nothing.
 *
 * Threads  a callback of `self`, whose lease it is
 * Cost     O(1): the lock of the own extra block, of a wheel, and of the receiver if somebody waits there
 */
TROUPE_API void troupe_lease_release(struct troupe_actor *self, struct troupe_lease *lease);

TROUPE_END_DECLS

#endif
