/* SPDX-License-Identifier: MIT */
/*
 * mailbox.h - sending, and what happens when a mailbox is full.
 *
 * Every mailbox has a capacity in messages and in bytes.  A message that counts against it is
 * *charged*; replies, exit signals, down notices, timer ticks and readiness of descriptors are
 * *reserved*: their room was set aside when they were asked for, and they are never refused.
 *
 * A message weighs the whole of its block: header (32 bytes; of a request, and of a moved message with more than
 * TROUPE_BODY_INLINE bytes of body, 80) and body, rounded up to 64, 128, 192, 256, 384, 512, 1024, 2048 or 4096
 * bytes; one that is larger weighs its body and 64 bytes.
 *
 * Room comes back when the receiver's turn ends or its mailbox is empty, not with each message: at most 64 messages
 * later.
 *
 * A full mailbox.  Above the capacity there is a *margin*, for handlers, and nothing that is charged is ever accepted above that:
 *
 *   who sends                         at the capacity                                with the margin used up
 *   a handler                         goes into the margin, and the sender is         refused: TROUPE_EFULL
 *                                     *paused* when its handler has returned
 *   a callback that may wait          waits in line for TROUPE_SEND_WAIT_MS           waits
 *   (fiber.h)                         (troupe_send_within(): as long as it says)
 *   troupe_send_wait()                waits in line                                   waits
 *   init, terminate; troupe_try_send();
 *   what the library publishes        refused                                         refused
 *
 * A paused actor handles nothing, so its own mailbox fills up, and pressure goes on to whoever sends to it, through any number of
 * stages.  It goes on, first come first served and some at a time, when its receiver has fallen to half of its capacity, or has
 * ended; after options.pause_max_ms in any case, which is reported (PAUSED): then what it sends there above the capacity is refused
 * until that one has read half of its capacity.  An exit signal that ends it, and a kill, are heeded at once.  It knows that it will be paused:
 * troupe_pressure().
 *
 * Nobody is paused in a ring of waits (fiber.h): of one that would be the margin is used, and then it is refused.  A pause gives
 * way: if somebody is about to wait for one that is paused on it, directly or by way of others, that one goes on.
 *
 * Never paused are a behaviour that says so (`never_paused`), supervisors, and one that sends to itself: these use the margin, and are
 * then refused.  One callback sends at most TROUPE_PAUSE_BURST messages into margins.
 *
 * `margin` of a behaviour is in messages, and in bytes in proportion; 0: TROUPE_MARGIN_DEFAULT percent of the capacity, at least one, but
 * none if it has another policy than to reject.  TROUPE_NO_MARGIN: nobody is paused on it; nor on one whose senders take turns.
 *
 * What finds no room is refused, unless the receiver's behaviour has another policy: see overload.h.
 *
 * On every error the message is still the caller's.  Messages from one sender to one actor arrive in
 * the order sent.
 *
 * Common errors of all sends:
 *   TROUPE_EFULL     no room, in messages or bytes, or others wait for it
 *   TROUPE_EMSGSIZE  more bytes than the mailbox takes when it is empty
 *   TROUPE_EGONE     no actor has this pid any more
 *   TROUPE_EINVAL    NULL where something is required; a body where the type has none
 *   TROUPE_ENOMEM    forms that copy a body; and of foreign threads, when nine tenths of the runtime's memory are in use
 */
#ifndef TROUPE_MAILBOX_H
#define TROUPE_MAILBOX_H

#include "troupe/message.h"

TROUPE_BEGIN_DECLS

/*
 * Two defaults that a build of the library may have otherwise, to try what depends on them (its options `capacity` and `margin`);
 * the flags that pkg-config names then say so here as well.
 */

/** Default capacity of a mailbox, in messages. */
#ifndef TROUPE_CAPACITY_DEFAULT
#define TROUPE_CAPACITY_DEFAULT 1024
#endif

/** Default margin of a mailbox, in percent of its capacity: what a sender that will be paused may use above it. */
#ifndef TROUPE_MARGIN_DEFAULT
#define TROUPE_MARGIN_DEFAULT 25
#endif

/** Largest capacity of a mailbox, in messages: what others call unbounded. */
#define TROUPE_CAPACITY_MAX (1U << 23)

/** Default capacity of a mailbox, in bytes (64 MiB). */
#define TROUPE_CAPACITY_BYTES_DEFAULT ((uint64_t)64 << 20)

/** Largest capacity of a mailbox, in bytes. */
#define TROUPE_CAPACITY_BYTES_MAX ((uint64_t)1 << 39)

/** The largest margin, in messages; and none at all. */
#define TROUPE_MARGIN_MAX (TROUPE_CAPACITY_MAX / 4)
#define TROUPE_NO_MARGIN UINT32_MAX

/** Messages that one callback may send into margins. */
#define TROUPE_PAUSE_BURST 16

/** Default of options.pause_max_ms. */
#define TROUPE_PAUSE_MS_DEFAULT 1000

/** For how long a callback that may wait waits for room in troupe_send() and its like. */
#define TROUPE_SEND_WAIT_MS 5000

/**
 * Sends a copy of `body` to `to`.  With a full mailbox: see above.
 *
 * Threads  a callback of `self`.  One that may wait does so here, as in troupe_send_within(), if there is no room
 * Errors   of one that waits also TROUPE_ETIMEDOUT, and the others of troupe_send_within()
 * Owns     on success what the body refers to is the runtime's; on error still the caller's
 * Units    `type->size` bytes are copied; for a variable type too.  See troupe_send_bytes()
 * Cost     O(1), two locked instructions; the receiver's next turn is queued if it was idle
 */
TROUPE_API TROUPE_CHECKED int troupe_send(
    struct troupe_actor *self, troupe_pid to, const struct troupe_type *type, const void *body);

/** As troupe_send(), with `size` bytes of body, for variable types. */
TROUPE_API TROUPE_CHECKED int troupe_send_bytes(struct troupe_actor *self, troupe_pid to,
    const struct troupe_type *type, const void *body, size_t size);

/**
 * Moves `msg` to `to`: no byte is copied.  A request that was taken goes on as a request: its answer
 * goes to whoever asked.
 *
 * Threads  a callback of `self`
 * Owns     on success the runtime; on error still the caller
 */
TROUPE_API TROUPE_CHECKED int troupe_send_message(
    struct troupe_actor *self, troupe_pid to, struct troupe_message *msg);

/**
 * Sends on the message a handler was called with, request or not; the sender it names stays.
 *
 * Threads  the handler of `self`, with the message it was called with
 * Errors   as troupe_take() and troupe_send_message(); on error the message is still the handler's
 */
TROUPE_API TROUPE_CHECKED int troupe_forward(
    struct troupe_actor *self, troupe_pid to, struct troupe_message *msg);

/**
 * Moves `count` messages to `to` together, in order: one admission and one push for all of them.
 *
 * Threads  a callback of `self`
 * Owns     on success the runtime owns all; on error the caller still owns all
 * Units    `count` up to TROUPE_CAPACITY_MAX; each message once; 0 does nothing
 * Errors   TROUPE_EFULL  no room for all of them: none was sent
 * Cost     two locked instructions in all
 */
TROUPE_API TROUPE_CHECKED int troupe_send_batch(
    struct troupe_actor *self, troupe_pid to, struct troupe_message **msgs, size_t count);

/**
 * Moves `msg` to `to` if there is room, and never waits for it.
 *
 * Threads  any, worker or not; a foreign thread is attached at its first use.  In a callback the sender is that actor
 * Cost     as troupe_send(); from a foreign thread a lock shared with a part of the other foreign threads, one more
 *          locked instruction if the receiver was idle, and a system call if workers sleep and none searches
 */
TROUPE_API TROUPE_CHECKED int troupe_try_send(
    struct troupe_runtime *runtime, troupe_pid to, struct troupe_message *msg);

/**
 * Moves `msg` to `to`, waiting for room if its mailbox is full.  Who waits is served first come, first served, when
 * the mailbox is half empty; meanwhile whoever does not wait is refused, so that nobody barges.  Where senders have
 * shares of the room (`by_sender` in overload.h) who waits is served when there is room, and keeps nobody out.
 *
 * Threads  any but a worker's: a handler never waits in a send (TROUPE_EINVAL), a callback that may wait uses
 *          troupe_send_within() (fiber.h).  In a thread actor (actor.h) the sender is
 *          that actor; one that is killed meanwhile ends when it waits next
 * Owns     on success the runtime owns `msg`; on error the caller still does
 * Units    `wait_ms` in milliseconds; 0 does not wait; TROUPE_FOREVER sets no limit
 * Errors   TROUPE_ETIMEDOUT  still full after wait_ms
 *          TROUPE_EGONE      the actor has ended, before or while we waited
 *          TROUPE_EFULL      of a thread actor: its own mailbox, where it would wait for itself; or the wait would close a
 *                            ring (fiber.h)
 *          TROUPE_ENOMEM     to wait for the first time at an actor takes memory
 * Order    messages from one thread to one actor arrive in the order sent
 */
TROUPE_API TROUPE_CHECKED int troupe_send_wait(
    struct troupe_runtime *runtime, troupe_pid to, struct troupe_message *msg, int wait_ms);

/**
 * Whether `self` has sent into a margin, so that it will be paused when this callback has returned: a source may stop to produce
 * here.
 *
 * Threads  a callback of `self`; false in any other
 * Cost     O(1)
 */
TROUPE_API bool troupe_pressure(const struct troupe_actor *self);

/**
 * How full the mailbox of `pid` is, in charged messages; those of a turn count until it ends.  A moment's view.
 *
 * Threads  any
 * Errors   TROUPE_EGONE, TROUPE_EINVAL
 */
TROUPE_API TROUPE_CHECKED int troupe_mailbox_length(
    struct troupe_runtime *runtime, troupe_pid pid, uint32_t *out_length);

TROUPE_END_DECLS

#endif
