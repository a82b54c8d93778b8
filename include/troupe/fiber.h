/* SPDX-License-Identifier: MIT */
/*
 * fiber.h - callbacks that wait: straight-line code that receives, calls and sleeps, and holds no thread while it does.
 *
 * Two kinds of behaviour may wait (actor.h):
 *
 *   may_wait  `init` and `receive` may call the functions here.  Each call of them runs on a stack that is lent for as long
 *             as the call lasts: between two messages the actor has none.  While one waits no other message is handled
 *   main      one function instead of `receive`: it gets messages with troupe_receive(), and when it returns the actor ends,
 *             with reason normal, or with the error that it returned.  Its argument is that of the spawn; after a crash its
 *             supervisor begins it anew
 *
 * Whatever waits lets other actors run.  A callback that has waited once goes on on the same worker until it returns; it is
 * not stolen, and while another handler holds that worker, it waits for that as well.
 *
 * Every function here is a cancellation point: an actor that was killed, or got an exit signal that ends it, does not return
 * from it.  Its stack is dropped, not unwound: locks stay locked, memory from malloc() stays allocated.  What must be given
 * back is registered with troupe_defer(), or comes from troupe_arena_alloc().
 *
 * The stack has at least `stack_size` bytes (actor.h), and a page below them that cannot be touched: what runs over it faults,
 * if it touches that page, and is told or contained as `faults` of the runtime says (runtime.h); one frame larger than a page may step over it, into another stack, unless it was compiled with
 * -fstack-clash-protection.  A stack does not grow.  It is not of the runtime's allocator, and limits do not count it: 12, 60,
 * 252 or 1020 KiB are reserved, and what was touched stays resident while the callback lasts, and after it as long as its
 * worker keeps the stack (16 of each size) for the next one.  Where the kernel is older than Linux 6.13 each stack costs two of
 * the process's mappings (vm.max_map_count, 65 530); where there are none left, callbacks end with TROUPE_ENOMEM.
 *
 * errno, and in C++ the exceptions being handled, are each callback's own; no exception may leave a callback.  Continuations
 * (call.h), `terminate`, `destroy` and deferred cleanups do not wait.
 */
#ifndef TROUPE_FIBER_H
#define TROUPE_FIBER_H

#include "troupe/actor.h"

TROUPE_BEGIN_DECLS

/*
 * Nobody closes a ring.
 *
 * An actor that waits for another one, which waits for the next, and so on, back to the first: none of them would go on before
 * a time-out.  So whoever is about to close such a ring does not wait, and is told at once: a call or a join by TROUPE_EDEADLK, a
 * send by TROUPE_EFULL.  The others go on waiting, for it.
 *
 *   waits        troupe_call(), troupe_join_wait(), the sends that wait for room, and those that a thread actor makes with
 *                troupe_send_wait(); troupe_blocking_wait(), as long as its job waits in troupe_job_send(), troupe_send_wait()
 *                or troupe_runtime_call(); troupe_flow_next(),
 *                for the producer, and troupe_flow_put_within(), for a subscriber without whose credit there is no room
 *   waits not    whoever has sent a request and goes on (troupe_request()), receives, sleeps, or waits for a descriptor: it may
 *                go on by itself
 *   a request    is waited for where it is: who asked waits for whoever it was forwarded or delegated to.  If that closes a
 *                ring, who asked gets TROUPE_EDEADLK, and who passed it on goes on as if it had been sent.  Sent on in a batch,
 *                it is lost sight of: a batch is sent whole or not at all, and one of it could not be refused alone
 *   a chain      of more than 64 actors each of which waits for the next counts as a ring
 *
 * Several that would close one at the same time: one of them is told.  One that has its answer, or room, or is about to be told of
 * a time-out that is over, does not wait any more.  `on_ring` of the runtime's options says what else may come of it.
 */

/**
 * The last ring that a wait of `self` would have closed: who waits for whom, with names of behaviours and pids in hexadecimal:
 * "client (640000010000003) -> server (640000010000004) -> client".  "" if there was none, or no memory for it.  A ring too long
 * ends in "...".
 *
 * Threads  a callback of `self`
 * Owns     `self`; good until its next wait
 */
TROUPE_API const char *troupe_deadlock_text(struct troupe_actor *self);

/** Whether the running callback of `self` may wait. */
TROUPE_API bool troupe_may_wait(const struct troupe_actor *self);

/**
 * Waits for the next message.  It is good until this or troupe_receive_of() is called again, whatever comes of that call, or
 * the function returns; a request that was not answered nor taken by then is answered with TROUPE_EUNANSWERED.
 *
 * Threads  `main` of `self`: a `receive` gets its messages by itself (TROUPE_EINVAL)
 * Units    `wait_ms` in milliseconds, 0: what is there now; or TROUPE_FOREVER
 * Errors   TROUPE_ETIMEDOUT
 *          TROUPE_ENOMEM, TROUPE_ELIMIT (limits.actor_timers): with a time-out; nothing was received
 * Order    as they were sent, behind what has priority (link.h); exit signals that are not trapped end the actor in their turn
 * Cost     a switch of stacks, if it must wait; with a time-out a timer
 */
TROUPE_API TROUPE_CHECKED int troupe_receive(
    struct troupe_actor *self, int wait_ms, struct troupe_message **out_msg);

/**
 * Waits for the next message of one of `count` types.  Others stay in the queue, in order, and count against the capacity as
 * before: an actor that waits for what cannot come in any more, because its mailbox is full of others, waits in vain.
 *
 * Errors   as troupe_receive(); TROUPE_EINVAL also for a `count` of 0
 * Cost     as troupe_receive(), and a look at everything that is queued before it
 */
TROUPE_API TROUPE_CHECKED int troupe_receive_of(struct troupe_actor *self,
    const struct troupe_type *const *types, size_t count, int wait_ms,
    struct troupe_message **out_msg);

/**
 * Asks `to`, and waits for the answer, which must be of type `reply_type`; its body is copied to `out_body`.  Other messages
 * stay in the queue.
 *
 * Threads  a callback of `self` that may wait
 * Owns     bodies as with troupe_request(); what the body of the answer refers to is now the caller's
 * Units    `timeout_ms` > 0, or TROUPE_FOREVER.  reply_type->size bytes at `out_body`, which is NULL if that is 0;
 *          `reply_type` is not variable
 * Returns  TROUPE_OK: answered
 * Errors   the outcomes of call.h; those of troupe_request(); TROUPE_EPROTO: the answer is of another type, and was dropped;
 *          TROUPE_EINVAL also for a call to oneself, which nobody could answer
 *          TROUPE_EDEADLK: the wait would close a ring, see above and troupe_deadlock_text().  Nothing was sent, unless whoever
 *          had the request found out when it passed it on: then its body is gone, as with any outcome
 *          TROUPE_ENOMEM also for the first wait of an actor
 * Cost     as troupe_request(), and two switches of stacks, however much is queued
 */
TROUPE_API TROUPE_CHECKED int troupe_call(struct troupe_actor *self, troupe_pid to,
    const struct troupe_type *type, const void *body, const struct troupe_type *reply_type,
    void *out_body, int timeout_ms);

/** As troupe_call(), for an answer of any type and size: *out_reply is the caller's, to be destroyed or sent on. */
TROUPE_API TROUPE_CHECKED int troupe_call_message(struct troupe_actor *self, troupe_pid to,
    const struct troupe_type *type, const void *body, int timeout_ms,
    struct troupe_message **out_reply);

/**
 * Sends a copy of `body` to `to`, waiting for room if its mailbox is full.  All that wait for room there, fibers and threads,
 * are served first come, first served, when the mailbox is half empty; meanwhile whoever does not wait is refused, so that
 * nobody barges.
 *
 * Two fibers do not wait for each other's room, nor do more of them in a ring: the one that would begin to is refused.
 *
 * Threads  a callback of `self` that may wait
 * Owns     as troupe_send(); while it waits the runtime owns what the body refers to: if the actor ends then, it is destroyed
 * Units    `wait_ms` in milliseconds; 0 lets others run, and does not wait; TROUPE_FOREVER: but never longer than whoever asked for
 *          what is handled now waits (troupe_deadline())
 * Errors   TROUPE_ETIMEDOUT  still full
 *          TROUPE_EGONE      the actor has ended, before or while we waited
 *          TROUPE_EFULL      its own mailbox: room that nobody else could make; or the wait would close a ring, see above; or
 *                            `self` holds room elsewhere that it has not used (lease.h)
 *          TROUPE_ENOMEM, TROUPE_ELIMIT (limits.actor_timers): to wait takes memory, and with a limit a timer
 *          TROUPE_EMSGSIZE, TROUPE_EINVAL: as troupe_send()
 * Order    messages from one fiber to one actor arrive in the order sent
 * Cost     as troupe_send() while there is room; otherwise a lock of the receiver's, taken a few times, and switches of stacks
 */
TROUPE_API TROUPE_CHECKED int troupe_send_within(struct troupe_actor *self, troupe_pid to,
    const struct troupe_type *type, const void *body, int wait_ms);

/** As troupe_send_within(), with `size` bytes of body, for variable types. */
TROUPE_API TROUPE_CHECKED int troupe_send_bytes_within(struct troupe_actor *self, troupe_pid to,
    const struct troupe_type *type, const void *body, size_t size, int wait_ms);

/**
 * As troupe_send_within(), and moves `msg`, as troupe_send_message() does.
 *
 * Owns     on success the runtime; on error still the caller.  While it waits the runtime: if the actor ends then, the message
 *          is destroyed, and a request answered with TROUPE_EDIED
 */
TROUPE_API TROUPE_CHECKED int troupe_send_message_within(
    struct troupe_actor *self, troupe_pid to, struct troupe_message *msg, int wait_ms);

/**
 * Waits until `ms` milliseconds have passed.  Messages stay in the queue.
 *
 * Threads  a callback of `self` that may wait
 * Errors   TROUPE_ENOMEM, TROUPE_ELIMIT (limits.actor_timers): it has not slept
 */
TROUPE_API TROUPE_CHECKED int troupe_sleep(struct troupe_actor *self, uint64_t ms);

/** Lets other actors of this worker run; for long computations.  A callback of `self` that may wait (TROUPE_EINVAL). */
TROUPE_API TROUPE_CHECKED int troupe_yield(struct troupe_actor *self);

TROUPE_END_DECLS

#endif
