/* SPDX-License-Identifier: MIT */
/*
 * timer.h - messages that arrive later.
 *
 * A tick is an ordinary message whose room was paid for when the timer was armed: it is never
 * refused.  Time is the runtime's monotonic clock, in milliseconds; a timer never fires early.
 *
 * A timer belongs to the actor that armed it: its ticks arrive there, and it ends with that incarnation.
 * A tick that should go elsewhere is sent on by its handler, where a refusal can be dealt with.
 */
#ifndef TROUPE_TIMER_H
#define TROUPE_TIMER_H

#include "troupe/message.h"

TROUPE_BEGIN_DECLS

/** Names an armed timer.  A zeroed one names none.  Stale ones are harmless. */
struct troupe_timer {
    void *timer;
    uint64_t serial;
};

/** Bodies of ticks are no longer than this. */
#define TROUPE_TICK_BODY_MAX TROUPE_BODY_INLINE

/** Longest delay, in milliseconds (about 2.2 years). */
#define TROUPE_DELAY_MAX_MS ((uint64_t)1 << 36)

/**
 * Sends a copy of `body` to `self` after `delay_ms`.
 *
 * Threads  a callback of `self`
 * Owns     what the body refers to is the timer's on success, and destroyed if it never fires
 * Units    milliseconds, of which none begins early: 0 is at the next whole millisecond of the clock
 *          *out_timer names the timer for troupe_timer_cancel(); out_timer may be NULL
 * Errors   TROUPE_EINVAL  body above TROUPE_TICK_BODY_MAX, delay above TROUPE_DELAY_MAX_MS
 *          TROUPE_ELIMIT, TROUPE_ENOMEM
 * Order    of two timers of one actor that are due in different milliseconds the earlier one's tick comes first,
 *          if both were armed by the same worker
 * Cost     O(1): one block from a pool, one lock that hardly anybody else takes, a reading of the clock
 */
TROUPE_API TROUPE_CHECKED int troupe_tick_after(struct troupe_actor *self, uint64_t delay_ms,
    const struct troupe_type *type, const void *body, struct troupe_timer *out_timer);

/**
 * Sends a tick to `self` every `period_ms` until it is cancelled.  While a tick is still queued or
 * being handled no second one is sent: it is counted, and the next tick says how many were missed.  A
 * type with a destructor is TROUPE_EINVAL: one body serves every tick.
 *
 * Units    milliseconds, at least 1; the first tick comes after one period, the others at multiples of it
 * Errors, Threads, Cost as troupe_tick_after()
 */
TROUPE_API TROUPE_CHECKED int troupe_tick_every(struct troupe_actor *self, uint64_t period_ms,
    const struct troupe_type *type, const void *body, struct troupe_timer *out_timer);

/**
 * Cancels a timer of this actor.
 *
 * Threads  a callback of `self`
 * Errors   TROUPE_ENOENT  it is not armed: it fired (its tick is queued or was handled), was cancelled, or is
 *                         not this actor's
 * Order    after TROUPE_OK no tick of it is handled any more, of a periodic timer also not one that is queued
 * Cost     O(1): one lock that hardly anybody else takes
 */
TROUPE_API int troupe_timer_cancel(struct troupe_actor *self, struct troupe_timer timer);

/**
 * How long it is until the next tick of a timer of this actor.
 *
 * Threads  a callback of `self`
 * Units    milliseconds, begun ones counted; 0: it is due, and its tick has not been sent yet
 * Errors   TROUPE_ENOENT  as troupe_timer_cancel(), and for a periodic timer whose tick is queued or being handled
 *          TROUPE_EINVAL
 * Cost     O(1): one lock that hardly anybody else takes, a reading of the clock; holds up no tick
 */
TROUPE_API TROUPE_CHECKED int troupe_timer_left(
    struct troupe_actor *self, struct troupe_timer timer, uint64_t *out_left_ms);

/** How many ticks of a periodic timer were left out before this one.  0 for other messages. */
TROUPE_API uint64_t troupe_tick_missed(const struct troupe_message *tick);

/** The runtime's monotonic clock in nanoseconds; simulated under simulation.  Any thread. */
TROUPE_API uint64_t troupe_now_ns(const struct troupe_runtime *runtime);

TROUPE_END_DECLS

#endif
