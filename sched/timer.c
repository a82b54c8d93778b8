/* SPDX-License-Identifier: MIT */
/*
 * timer.c - the owner's side of timers: arming, cancelling, and what becomes of a tick.
 *
 * A one-shot timer's block ends with its tick.  A periodic one's is armed again when its tick is retired,
 * at the next multiple of its period that is still to come; those in between are counted as missed.
 */
#include "timer.h"

#include <string.h>

#include "core.h"
#include "runtime.h"
#include "worker.h"

static struct trp_timer *timer_of(struct troupe_message *tick)
{
    return trp_container_of(tick, struct trp_timer, tick);
}

uint64_t trp_timer_serial(const struct trp_timer *timer)
{
    /* relaxed: a handle that is stale finds another number, whichever; one that is not is its reader's own. */
    return atomic_load_explicit(&timer->serial, memory_order_relaxed) & ~(uint64_t)TRP_SERIAL_BITS;
}

void trp_timer_expire(struct trp_timer *timer)
{
    /* Only whoever has the block moves it on.  Bits that come just now are lost: nobody asks for them.
     * release: that our pid is gone, if we end.  PAIR call.ended: acquire in hear(). */
    atomic_store_explicit(
        &timer->serial, trp_timer_serial(timer) + TRP_SERIAL_STEP, memory_order_release);
}

struct trp_timer *trp_timer_create(struct trp_context *context, enum trp_message_kind kind)
{
    struct trp_timer *timer = trp_pool_alloc(&context->pool, TRP_POOL_STABLE);

    if (timer == NULL) {
        return NULL;
    }
    timer->tick.type = NULL;
    timer->tick.sender = TROUPE_NOBODY;
    timer->tick.size = 0;
    timer->tick.block = TRP_POOL_STABLE;
    timer->tick.kind = (uint8_t)kind;
    timer->tick.flags = 0;
    timer->state = TRP_TIMER_IDLE;
    trp_timer_expire(timer);
    timer->owner = NULL;
    timer->incarnation = 0;
    timer->cancelled = false;
    timer->period_ms = 0;
    timer->missed = 0;
    timer->missed_told = 0;
    timer->timed = false;
    timer->on_reply = NULL;
    /* release: whoever holds a request of the use before finds that its serial has moved on.
     * PAIR timer.edge: trp_send_edge(). */
    atomic_store_explicit(&timer->edge, 0, memory_order_release);
    timer->context = NULL;
    trp_list_init(&timer->slot);
    trp_list_init(&timer->entry);
    return timer;
}

struct trp_timer *trp_timer_new(struct troupe_actor *self, enum trp_message_kind kind)
{
    struct trp_timer *timer = trp_timer_create(trp_context_of(self), kind);

    if (timer != NULL) {
        timer->owner = self;
        timer->incarnation = troupe_incarnation(self);
    }
    return timer;
}

void trp_timer_free(struct trp_context *context, struct trp_timer *timer)
{
    trp_assert(timer->state != TRP_TIMER_ARMED);
    trp_timer_expire(timer);
    timer->state = TRP_TIMER_IDLE;
    trp_pool_free(&context->pool, timer, TRP_POOL_STABLE);
}

uint64_t trp_timer_due(uint64_t now_ns, uint64_t delay_ms)
{
    return (now_ns + 999999U) / 1000000U + delay_ms;
}

void trp_timer_arm_at(struct troupe_actor *self, struct trp_timer *timer, uint64_t due_ms)
{
    (void)trp_wheel_arm(&self->context->worker->wheel, timer, due_ms);
}

void trp_timer_arm(struct troupe_actor *self, struct trp_timer *timer, uint64_t delay_ms)
{
    trp_timer_arm_at(self, timer, trp_timer_due(trp_port_now_ns(), delay_ms));
}

/* ---- ticks ---- */

/* Checks, makes and lists a timer of the user's. */
TRP_INLINE int make_tick(struct troupe_actor *self, const struct troupe_type *type,
    const void *body, struct trp_timer **out_timer)
{
    struct trp_extra *extra;
    struct trp_timer *timer;

    if (type == NULL || (body != NULL) != (type->size > 0) || type->size > TROUPE_TICK_BODY_MAX) {
        return TROUPE_EINVAL;
    }
    extra = trp_actor_need_extra(self->context, self);
    if (extra == NULL) {
        return TROUPE_ENOMEM;
    }
    if (extra->timer_count >= self->runtime->limits.actor_timers) {
        return TROUPE_ELIMIT;
    }
    timer = trp_timer_new(self, TRP_MESSAGE_TICK);
    if (timer == NULL) {
        return TROUPE_ENOMEM;
    }
    timer->tick.type = type;
    timer->tick.sender = trp_actor_pid(self);
    timer->tick.size = (uint32_t)type->size;
    if (type->size > 0) {
        memcpy(timer->body, body, type->size);
    }
    trp_list_push(&extra->timers, &timer->entry);
    extra->timer_count++;
    *out_timer = timer;
    return TROUPE_OK;
}

int troupe_tick_after(struct troupe_actor *self, uint64_t delay_ms, const struct troupe_type *type,
    const void *body, struct troupe_timer *out_timer)
{
    TRP_INSIDE(self);
    struct trp_timer *timer;
    int error;

    if (!trp_actor_is_mine(self) || delay_ms > TROUPE_DELAY_MAX_MS) {
        return TROUPE_EINVAL;
    }
    error = make_tick(self, type, body, &timer);
    if (error < 0) {
        return error;
    }
    trp_timer_arm(self, timer, delay_ms);
    if (out_timer != NULL) {
        *out_timer = (struct troupe_timer){timer, trp_timer_serial(timer)};
    }
    return TROUPE_OK;
}

int troupe_tick_every(struct troupe_actor *self, uint64_t period_ms, const struct troupe_type *type,
    const void *body, struct troupe_timer *out_timer)
{
    TRP_INSIDE(self);
    struct trp_timer *timer;
    int error;

    if (!trp_actor_is_mine(self) || period_ms < 1 || period_ms > TROUPE_DELAY_MAX_MS ||
        (type != NULL && type->destroy != NULL)) {
        return TROUPE_EINVAL;
    }
    error = make_tick(self, type, body, &timer);
    if (error < 0) {
        return error;
    }
    timer->period_ms = period_ms;
    trp_timer_arm(self, timer, period_ms);
    if (out_timer != NULL) {
        *out_timer = (struct troupe_timer){timer, trp_timer_serial(timer)};
    }
    return TROUPE_OK;
}

static void unlist(struct troupe_actor *self, struct trp_timer *timer)
{
    trp_list_remove(&timer->entry);
    trp_actor_extra(self)->timer_count--;
}

/* The timer that a handle names, or NULL.  The block is type-stable: if it serves another timer now, or another owner, it
 * says so.  Only the owner changes the serial of a block it owns, so one that matches is ours and stays so. */
static struct trp_timer *find_timer(
    const struct troupe_actor *self, const struct troupe_timer *handle)
{
    struct trp_timer *timer = handle->timer;

    if (timer == NULL || trp_timer_serial(timer) != handle->serial || timer->owner != self ||
        timer->incarnation != troupe_incarnation(self) || timer->cancelled) {
        return NULL;
    }
    return timer;
}

int troupe_timer_left(struct troupe_actor *self, struct troupe_timer handle, uint64_t *out_left_ms)
{
    TRP_INSIDE(self);
    struct trp_timer *timer;
    uint64_t due_ms;
    uint64_t now_ms;

    if (!trp_actor_is_mine(self) || out_left_ms == NULL) {
        return TROUPE_EINVAL;
    }
    timer = find_timer(self, &handle);
    if (timer == NULL || !trp_wheel_due(timer, &due_ms)) {
        return TROUPE_ENOENT;
    }
    now_ms = trp_port_now_ns() / 1000000U;
    *out_left_ms = due_ms > now_ms ? due_ms - now_ms : 0;
    return TROUPE_OK;
}

int troupe_timer_cancel(struct troupe_actor *self, struct troupe_timer handle)
{
    TRP_INSIDE(self);
    struct trp_timer *timer;
    bool armed;

    if (!trp_actor_is_mine(self)) {
        return TROUPE_EINVAL;
    }
    timer = find_timer(self, &handle);
    if (timer == NULL) {
        return TROUPE_ENOENT;
    }
    armed = trp_wheel_cancel(timer);
    if (!armed && timer->period_ms == 0) {
        return TROUPE_ENOENT;
    }
    if (!armed) {
        /* Its tick is queued: it will be retired, and not armed again. */
        timer->cancelled = true;
        return TROUPE_OK;
    }
    unlist(self, timer);
    trp_message_empty(&timer->tick);
    trp_timer_free(trp_context_of(self), timer);
    return TROUPE_OK;
}

uint64_t troupe_tick_missed(const struct troupe_message *tick)
{
    if (tick == NULL || tick->kind != TRP_MESSAGE_TICK) {
        return 0;
    }
    return trp_container_of(tick, const struct trp_timer, tick)->missed_told;
}

bool trp_tick_open(struct troupe_actor *self, struct troupe_message *tick)
{
    struct trp_timer *timer = timer_of(tick);

    if (timer->incarnation != troupe_incarnation(self) || timer->cancelled) {
        return false;
    }
    timer->missed_told = timer->missed;
    timer->missed = 0;
    return true;
}

/* Arms a periodic timer for the next multiple of its period. */
static void arm_again(struct troupe_actor *self, struct trp_timer *timer)
{
    uint64_t now_ms = trp_port_now_ns() / 1000000U;
    uint64_t due_ms = timer->due_ms + timer->period_ms;

    if (due_ms <= now_ms) {
        uint64_t missed = (now_ms - due_ms) / timer->period_ms + 1;

        timer->missed += missed;
        due_ms += missed * timer->period_ms;
    }
    timer->state = TRP_TIMER_IDLE;
    (void)trp_wheel_arm(&self->context->worker->wheel, timer, due_ms);
}

void trp_tick_retire(
    struct trp_context *context, struct troupe_actor *self, struct troupe_message *tick)
{
    struct trp_timer *timer = timer_of(tick);
    bool mine = self != NULL && timer->incarnation == troupe_incarnation(self);

    if (mine && trp_actor_is_receiving(self) && timer->period_ms > 0 && !timer->cancelled) {
        arm_again(self, timer);
        return;
    }
    if (mine && !trp_list_is_empty(&timer->entry)) {
        unlist(self, timer);
    }
    trp_message_empty(tick);
    trp_timer_free(context, timer);
}

void trp_tick_cancel_all(struct troupe_actor *self)
{
    struct trp_extra *extra = trp_actor_extra(self);
    struct trp_list *entry;

    if (extra == NULL) {
        return;
    }
    while ((entry = trp_list_pop(&extra->timers)) != NULL) {
        struct trp_timer *timer = trp_container_of(entry, struct trp_timer, entry);

        extra->timer_count--;
        if (trp_wheel_cancel(timer)) {
            trp_message_empty(&timer->tick);
            trp_timer_free(trp_context_of(self), timer);
        }
        /* Otherwise its tick is on the way, and its block ends with it. */
    }
}

uint64_t troupe_now_ns(const struct troupe_runtime *runtime)
{
    (void)runtime;
    return trp_port_now_ns();
}
