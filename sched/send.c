/* SPDX-License-Identifier: MIT */
/*
 * send.c - a message's way in: find the actor, admit, push, queue its run slot, wake a worker.
 *
 * Foreign threads may wait for room.  A waiter registers (extra->waiters, and the count `waiting` beside the
 * charge), looks once more, and sleeps.  While somebody waits, whoever does not is refused, so nobody barges.
 * The reader, when it has given room back and sees `waiting`, wakes the first; that one takes its room, and wakes the
 * next if there is more.  No wake-up is lost: a waiter registers, meets the reader (trp_mailbox_meet()), then looks at
 * the room; the reader gives room, parks, then reads `waiting`.  Whoever is second at the mailbox's tail knows what
 * the first did.
 */
#include "send.h"

#include <string.h>

#include <troupe/mailbox.h>

#include "core.h"
#include "runtime.h"
#include "seam.h"
#include "worker.h"

/* ---- the one way in ---- */

/* Places a chain that was admitted, or is reserved. */
static void place(struct trp_context *context, struct troupe_actor *actor,
    struct troupe_message *first, struct troupe_message *last)
{
    if (trp_mailbox_push(&actor->mailbox, &first->node, &last->node)) {
        trp_switch();
        trp_worker_schedule(context, actor);
    }
}

void trp_send_reserved(
    struct trp_context *context, struct troupe_actor *actor, struct troupe_message *msg)
{
    trp_count(&context->counters.sent, 1);
    place(context, actor, msg, msg);
}

static void mark_charged(struct troupe_message *first, uint32_t count)
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

/* Admits `count` messages of `bytes`; `waited`: the caller is the waiter whose turn it is. */
static int admit(struct troupe_actor *actor, uint32_t count, uint64_t bytes, bool waited)
{
    uint64_t cap = actor->charge.cap;
    int error;

    if (trp_unlikely(count > cap >> 40 || bytes > (cap & TRP_CHARGE_BYTES))) {
        return bytes > (cap & TRP_CHARGE_BYTES) ? TROUPE_EMSGSIZE : TROUPE_EFULL;
    }
    /* relaxed: a waiter that comes just now may be overtaken once. */
    if (trp_unlikely(!waited && atomic_load_explicit(&actor->waiting, memory_order_relaxed) != 0)) {
        return TROUPE_EFULL;
    }
    if (trp_fault(TRP_FAULT_FULL)) {
        return TROUPE_EFULL;
    }
    error = trp_charge_take(&actor->charge, count, bytes);
    /* seq_cst: after our charge was taken back.  It may be what the first waiter was refused for, or what made the
     * mailbox look full to the reader when it parked.  PAIR actor.waiting. */
    if (trp_unlikely(error < 0) && !waited &&
        atomic_load_explicit(&actor->waiting, memory_order_seq_cst) != 0) {
        trp_send_admit(actor, false);
    }
    return error;
}

int trp_send_charged(struct trp_context *context, troupe_pid to, struct troupe_message *first,
    struct troupe_message *last, uint32_t count, uint64_t bytes)
{
    struct troupe_actor *actor = trp_table_find(&context->runtime->table, to);
    int error = actor != NULL ? admit(actor, count, bytes, false) : TROUPE_EGONE;

    trp_count(&context->counters.sent, count);
    if (trp_unlikely(error < 0)) {
        trp_count(&context->counters.refused, count);
        if (error == TROUPE_EFULL && context->worker != NULL) {
            /* Who found no room ends its slice after this message: the reader gets the processor, and makes room. */
            context->worker->limit = 0;
        }
        return error;
    }
    mark_charged(first, count);
    place(context, actor, first, last);
    return TROUPE_OK;
}

/* ---- waiting for room ---- */

struct waiter {
    struct trp_list entry; /* under the extra's lock */
    bool registered;       /* its thread's: counted in `waiting`, and in the list or called */
    _Atomic bool
        called; /* it is this one's turn, or the actor has ended: the caller's last touch */
    struct trp_event event;
};

/* Under lock. */
static void call(struct waiter *waiter)
{
    trp_event_wake(&waiter->event);
    /* release: we are done with the waiter, which lies on its thread's stack.
     * PAIR waiter.called: outlive_caller(). */
    atomic_store_explicit(&waiter->called, true, memory_order_release);
}

/* Under lock.  Calls the first waiter, which stays counted in `waiting` until it has tried.  One at a time: of two that
 * were called the second might come first. */
static void call_first(struct trp_extra *extra)
{
    struct trp_list *entry = extra->waiter_called ? NULL : trp_list_pop(&extra->waiters);

    if (entry != NULL) {
        extra->waiter_called = true;
        call(trp_container_of(entry, struct waiter, entry));
    }
}

/* A wake-up costs as much as many messages. */
static bool is_half_empty(const struct trp_charge *charge)
{
    uint64_t queued = trp_charge_queued(charge);

    return queued >> 40 <= (charge->cap >> 40) / 2 &&
           (queued & TRP_CHARGE_BYTES) <= (charge->cap & TRP_CHARGE_BYTES) / 2;
}

void trp_send_admit(struct troupe_actor *actor, bool parked)
{
    struct trp_extra *extra = trp_actor_extra(actor);

    if (extra == NULL || (!parked && !is_half_empty(&actor->charge))) {
        return;
    }
    /* A waiter that tries just now holds the lock: it is called after it has failed. */
    trp_lock_take(&extra->lock);
    call_first(extra);
    trp_lock_give(&extra->lock);
}

void trp_send_release_waiters(struct troupe_actor *actor)
{
    struct trp_extra *extra = trp_actor_extra(actor);
    struct trp_list *entry;

    if (extra == NULL) {
        return;
    }
    trp_lock_take(&extra->lock);
    while ((entry = trp_list_pop(&extra->waiters)) != NULL) {
        call(trp_container_of(entry, struct waiter, entry));
    }
    trp_lock_give(&extra->lock);
}

/* Under lock.  Puts the waiter in the list: who is new behind all others, who was called and finds no room before them.
 * Returns whether it may try now: it was called, or nobody waits besides it. */
static bool line_up(struct troupe_actor *actor, struct trp_extra *extra, struct waiter *waiter)
{
    /* relaxed, here and below: under the lock, as its writer is. */
    bool called = atomic_load_explicit(&waiter->called, memory_order_relaxed);
    bool first;

    if (waiter->registered && !called) {
        return false;
    }
    atomic_store_explicit(&waiter->called, false, memory_order_relaxed);
    if (waiter->registered) {
        extra->waiter_called = false;
        trp_list_push(extra->waiters.next, &waiter->entry);
        return true;
    }
    trp_list_push(&extra->waiters, &waiter->entry);
    waiter->registered = true;
    /* seq_cst: registered before the look at the pid.  PAIR actor.waiting: seal().  Before the look at the room we meet
     * the reader: a seq_cst add does not keep the load of `out`, which is none, from giving an old value. */
    first = atomic_fetch_add_explicit(&actor->waiting, 1, memory_order_seq_cst) == 0;
    trp_mailbox_meet(&actor->mailbox);
    return first;
}

/* Under lock.  Leaves; the next one may look, if it is not somebody else's turn. */
static void step_out(struct troupe_actor *actor, struct trp_extra *extra, struct waiter *waiter)
{
    /* relaxed: under the lock. */
    if (atomic_load_explicit(&waiter->called, memory_order_relaxed)) {
        extra->waiter_called = false;
    }
    trp_list_remove(&waiter->entry);
    waiter->registered = false;
    /* relaxed: whoever sees it late refuses once, or calls nobody. */
    atomic_fetch_sub_explicit(&actor->waiting, 1, memory_order_relaxed);
    call_first(extra);
}

/* One try of a waiter, inside a visit.  TROUPE_EFULL: registered, sleep. */
static int try_as_waiter(
    struct trp_visit *visit, troupe_pid to, struct troupe_message *msg, struct waiter *waiter)
{
    struct troupe_actor *actor = trp_actor_find(visit->context->runtime, to);
    struct trp_extra *extra = actor != NULL ? trp_actor_need_extra(actor) : NULL;
    int error = TROUPE_EFULL;

    if (actor == NULL) {
        return TROUPE_EGONE;
    }
    if (extra == NULL) {
        return TROUPE_ENOMEM;
    }
    trp_lock_take(&extra->lock);
    if (line_up(actor, extra, waiter)) {
        error = admit(actor, 1, trp_message_weight(msg), true);
    }
    /* seq_cst: after line_up() has registered us; the exit clears the pid, then looks at `waiting`.  One of the two sees
     * the other.  PAIR actor.waiting: seal(). */
    if (atomic_load_explicit(&actor->pid, memory_order_seq_cst) != to && error == TROUPE_EFULL) {
        error = TROUPE_EGONE;
    }
    trp_lock_give(&extra->lock);
    if (error == TROUPE_OK) {
        msg->flags |= TRP_MESSAGE_CHARGED;
        trp_count(&visit->context->counters.sent, 1);
        place(visit->context, actor, msg, msg);
    }
    if (error != TROUPE_EFULL) {
        /* There may be more room, or none ever.  After place(): the next one's message must not come before ours. */
        trp_lock_take(&extra->lock);
        step_out(actor, extra, waiter);
        trp_lock_give(&extra->lock);
    }
    return error;
}

/* Its time is over.  TROUPE_EGONE: the actor has ended. */
static int give_up(struct trp_visit *visit, troupe_pid to, struct waiter *waiter)
{
    struct troupe_actor *actor = trp_actor_find(visit->context->runtime, to);
    struct trp_extra *extra = actor != NULL ? trp_actor_extra(actor) : NULL;

    if (extra == NULL) {
        return TROUPE_EGONE;
    }
    trp_lock_take(&extra->lock);
    step_out(actor, extra, waiter);
    trp_lock_give(&extra->lock);
    return TROUPE_ETIMEDOUT;
}

/* Whoever ends the actor still has to let go of the waiter. */
static void outlive_caller(struct waiter *waiter)
{
    /* acquire: the caller is done.  PAIR waiter.called: call_first(). */
    while (!atomic_load_explicit(&waiter->called, memory_order_acquire)) {
        trp_port_yield();
    }
}

static int refuse(struct trp_visit *visit, int error)
{
    trp_count(&visit->context->counters.sent, 1);
    trp_count(&visit->context->counters.refused, 1);
    return error;
}

static int wait_for_room(
    struct troupe_runtime *runtime, troupe_pid to, struct troupe_message *msg, int wait_ms)
{
    uint64_t until_ns = wait_ms == TROUPE_FOREVER
                            ? TRP_EVENT_FOREVER
                            : trp_port_now_ns() + (uint64_t)wait_ms * 1000000U;
    struct waiter waiter = {.registered = false};

    trp_event_init(&waiter.event);
    trp_list_init(&waiter.entry);
    for (;;) {
        uint32_t value = trp_event_value(&waiter.event);
        struct trp_visit visit;
        int error = trp_context_enter(runtime, &visit);

        if (error < 0) {
            return error;
        }
        error = try_as_waiter(&visit, to, msg, &waiter);
        if (error == TROUPE_EFULL && until_ns != TRP_EVENT_FOREVER &&
            trp_port_now_ns() >= until_ns) {
            error = give_up(&visit, to, &waiter);
        }
        if (error < 0 && error != TROUPE_EFULL) {
            (void)refuse(&visit, error);
        }
        trp_context_leave(&visit);
        if (error != TROUPE_EFULL) {
            if (waiter.registered) {
                outlive_caller(&waiter);
            }
            return error;
        }
        trp_event_wait(&waiter.event, value, until_ns);
    }
}

/* ---- public ---- */

static bool is_body_right(const struct troupe_type *type, const void *body, size_t size)
{
    return type != NULL && (body != NULL) == (size > 0) && size >= type->size &&
           (size == type->size || type->variable) && size <= TROUPE_BODY_MAX;
}

int troupe_send_bytes(struct troupe_actor *self, troupe_pid to, const struct troupe_type *type,
    const void *body, size_t size)
{
    struct trp_context *context;
    struct troupe_message *msg;
    int error;

    if (trp_unlikely(!trp_actor_is_mine(self) || !is_body_right(type, body, size))) {
        return TROUPE_EINVAL;
    }
    context = trp_context_of(self);
    msg = trp_message_create(&context->pool, type, size, 0);
    if (trp_unlikely(msg == NULL)) {
        return TROUPE_ENOMEM;
    }
    msg->sender = trp_actor_pid(self);
    if (size > 0) {
        memcpy(trp_message_body(msg), body, size);
    }
    error = trp_send_charged(context, to, msg, msg, 1, trp_message_weight(msg));
    if (trp_unlikely(error < 0)) {
        trp_message_free(&context->pool, msg);
    }
    return error;
}

int troupe_send(
    struct troupe_actor *self, troupe_pid to, const struct troupe_type *type, const void *body)
{
    return troupe_send_bytes(self, to, type, body, type != NULL ? type->size : 0);
}

/* A message that its user owned is about to go. */
static void let_go(struct troupe_message *msg, troupe_pid sender)
{
    if (trp_message_is_held(msg)) {
        trp_list_remove(&trp_message_extension(msg)->held);
    }
    if ((msg->flags & TRP_MESSAGE_REQUEST) == 0) {
        msg->sender = sender;
    }
}

/* It was refused: as it was before. */
static void take_back(
    struct trp_context *context, struct trp_list *held, struct troupe_message *msg)
{
    msg->flags &= (uint16_t)~TRP_MESSAGE_CHARGED;
    trp_message_set_runtime(msg, context->runtime);
    if (trp_message_is_held(msg) && held != NULL) {
        trp_list_push(held, &trp_message_extension(msg)->held);
    }
}

static struct trp_list *held_of(struct troupe_actor *self)
{
    struct trp_extra *extra = self != NULL ? trp_actor_extra(self) : NULL;

    return extra != NULL ? &extra->held : NULL;
}

static int send_owned(struct troupe_actor *self, troupe_pid to, struct troupe_message *msg)
{
    struct trp_context *context = trp_context_of(self);
    int error = trp_send_charged(context, to, msg, msg, 1, trp_message_weight(msg));

    if (trp_unlikely(error < 0)) {
        take_back(context, held_of(self), msg);
    }
    return error;
}

int troupe_send_message(struct troupe_actor *self, troupe_pid to, struct troupe_message *msg)
{
    if (!trp_actor_is_mine(self) || msg == NULL || msg == self->current) {
        return TROUPE_EINVAL;
    }
    let_go(msg, trp_actor_pid(self));
    return send_owned(self, to, msg);
}

/* Undoes troupe_take(): the handler's message has its body and its caller again. */
static void give_back(
    struct troupe_actor *self, struct troupe_message *msg, struct troupe_message *copy)
{
    struct trp_context *context = trp_context_of(self);

    /* What the type allows to be moved there may be moved back. */
    memcpy(trp_message_body(msg), trp_message_body(copy), copy->size);
    msg->flags &= (uint16_t)~TRP_MESSAGE_EMPTIED;
    if (copy->flags & TRP_MESSAGE_REQUEST) {
        trp_list_remove(&trp_message_extension(copy)->held);
        msg->flags |= TRP_MESSAGE_REQUEST;
    }
    self->taken = false;
    trp_message_free(&context->pool, copy);
}

int troupe_forward(struct troupe_actor *self, troupe_pid to, struct troupe_message *msg)
{
    struct troupe_message *copy;
    int error = troupe_take(self, msg, &copy);

    if (error < 0) {
        return error;
    }
    let_go(copy, copy->sender);
    error = send_owned(self, to, copy);
    if (error < 0) {
        give_back(self, msg, copy);
    }
    return error;
}

/* Links `count` messages into a chain and adds up their weight. */
static uint64_t chain(struct troupe_message **msgs, size_t count, troupe_pid sender)
{
    uint64_t bytes = 0;

    for (size_t i = 0; i < count; i++) {
        let_go(msgs[i], sender);
        bytes += trp_message_weight(msgs[i]);
        /* relaxed: the push publishes them. */
        atomic_store_explicit(
            &msgs[i]->node.next, i + 1 < count ? &msgs[i + 1]->node : NULL, memory_order_relaxed);
    }
    return bytes;
}

int troupe_send_batch(
    struct troupe_actor *self, troupe_pid to, struct troupe_message **msgs, size_t count)
{
    struct trp_context *context;
    uint64_t bytes;
    int error;

    if (!trp_actor_is_mine(self) || (msgs == NULL && count > 0) || count > TROUPE_CAPACITY_MAX) {
        return TROUPE_EINVAL;
    }
    for (size_t i = 0; i < count; i++) {
        if (msgs[i] == NULL || msgs[i] == self->current) {
            return TROUPE_EINVAL;
        }
    }
    if (count == 0) {
        return TROUPE_OK;
    }
    context = trp_context_of(self);
    bytes = chain(msgs, count, trp_actor_pid(self));
    error = trp_send_charged(context, to, msgs[0], msgs[count - 1], (uint32_t)count, bytes);
    if (error < 0) {
        for (size_t i = 0; i < count; i++) {
            take_back(context, held_of(self), msgs[i]);
        }
    }
    return error;
}

/* Who sends from here: the actor whose callback this is, if it is one of this runtime. */
static struct troupe_actor *sender_here(struct trp_context *context)
{
    return context->current;
}

int troupe_try_send(struct troupe_runtime *runtime, troupe_pid to, struct troupe_message *msg)
{
    struct trp_visit visit;
    struct troupe_actor *self;
    int error;

    if (msg == NULL) {
        return TROUPE_EINVAL;
    }
    error = trp_context_enter(runtime, &visit);
    if (error < 0) {
        return error;
    }
    self = sender_here(visit.context);
    if (self != NULL && msg == self->current) {
        trp_context_leave(&visit);
        return TROUPE_EINVAL;
    }
    let_go(msg, self != NULL ? trp_actor_pid(self) : TROUPE_NOBODY);
    error = trp_send_charged(visit.context, to, msg, msg, 1, trp_message_weight(msg));
    if (error < 0) {
        take_back(visit.context, held_of(self), msg);
    }
    trp_context_leave(&visit);
    return error;
}

int troupe_send_wait(
    struct troupe_runtime *runtime, troupe_pid to, struct troupe_message *msg, int wait_ms)
{
    int error;

    if (msg == NULL || wait_ms < TROUPE_FOREVER || trp_worker_current() != NULL) {
        return TROUPE_EINVAL;
    }
    error = troupe_try_send(runtime, to, msg);
    if (error != TROUPE_EFULL || wait_ms == 0) {
        return error == TROUPE_EFULL ? TROUPE_ETIMEDOUT : error;
    }
    error = wait_for_room(runtime, to, msg, wait_ms);
    if (error < 0) {
        trp_message_set_runtime(msg, runtime);
    }
    return error;
}
