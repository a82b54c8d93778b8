/* SPDX-License-Identifier: MIT */
/*
 * wait.c - what a callback on a fiber may wait for, out of the one queue of its actor.
 *
 * Messages in order are popped, as a slice would.  What somebody waits for in particular, an answer, a time-out, a message of
 * certain types, is looked for from a node on and picked out of the list; the rest stays where it is, charged
 * and in order.  Each look remembers the last node it has seen, so none is looked at twice; an answer is looked for from
 * the node that was newest when the question was sent, so what was queued before costs nothing.  After a time-out the answer
 * may still come, and stand before that node: until it has, looks begin at the head.
 *
 * Every function here is a cancellation point: a kill, or an exit signal that ends the actor, is heeded, and then none of
 * them returns.
 */
#include "core.h"
#include "fiber_cross.h"
#include "line.h"
#include "runtime.h"
#include "worker.h"

/* Lets the worker look at signals.  Comes back if the actor goes on.  Messages that stand before the queue are none: they
 * are handled when this callback is over, but for those that a main function receives before the queue. */
static void heed(struct troupe_actor *self, struct trp_fiber *fiber)
{
    /* relaxed: our own line; one that is seen late is seen at the next look, or after parking. */
    while (trp_unlikely(
        (atomic_load_explicit(&self->signals, memory_order_relaxed) & TRP_SIGNAL_SENT) != 0)) {
        trp_fiber_leave(fiber, TRP_FIBER_SIGNALLED);
    }
}

void trp_wait_yield(struct troupe_actor *self)
{
    struct trp_fiber *fiber = trp_fiber_here(self);

    heed(self, fiber);
    trp_fiber_leave(fiber, TRP_FIBER_YIELDED);
    heed(self, fiber);
}

void trp_wait_heed(struct troupe_actor *self)
{
    heed(self, trp_fiber_here(self));
}

void trp_wait_behind(struct troupe_actor *self, struct trp_node *at)
{
    struct trp_fiber *fiber = trp_fiber_here(self);

    fiber->at = at;
    trp_fiber_leave(fiber, TRP_FIBER_WAITING);
}

int trp_wait_open(struct troupe_actor *self, uint64_t *out_edge)
{
    /* First: what it would give back when it waits anyway is nothing that others wait for. */
    trp_worker_make_room(self->context->worker);
    trp_line_let_be(self->context, self);
    return trp_pressure_open(self->context, self, out_edge);
}

static void end_picked(struct troupe_actor *self, struct trp_fiber *fiber)
{
    struct troupe_message *picked = fiber->picked;

    if (picked != NULL) {
        fiber->picked = NULL;
        self->current = NULL;
        trp_worker_retire(self->context, self, picked, TROUPE_EUNANSWERED);
    }
}

struct trp_node *trp_wait_begin(struct troupe_actor *self)
{
    end_picked(self, trp_fiber_here(self));
    self->current = NULL;
    trp_worker_end_head(self->context->worker, self);
    return self->head;
}

/* What it runs may not wait: that would be a wait in the middle of another one. */
static int deal(struct troupe_actor *self, struct trp_fiber *fiber, struct troupe_message *msg)
{
    bool outer = fiber->opening;
    int status;

    fiber->opening = true;
    status = trp_worker_open(self, msg);
    fiber->opening = outer;
    return status;
}

int trp_wait_deal(struct troupe_actor *self, struct troupe_message *msg)
{
    return deal(self, trp_fiber_here(self), msg);
}

/* Of all kinds but PLAIN, of which nothing is to be opened. */
static TRP_NOINLINE bool is_opened(
    struct troupe_actor *self, struct trp_fiber *fiber, struct troupe_message *msg)
{
    struct trp_worker *worker = self->context->worker;
    int status = deal(self, fiber, msg);

    if (status == TRP_OPEN_DELIVER) {
        return true;
    }
    if (trp_worker_conclude(worker, status)) {
        trp_fiber_quit(fiber);
    }
    return false;
}

/* Opens `msg`.  False: it is dealt with. */
static inline bool is_delivered(
    struct troupe_actor *self, struct trp_fiber *fiber, struct troupe_message *msg)
{
    return trp_likely(msg->kind == TRP_MESSAGE_PLAIN) || is_opened(self, fiber, msg);
}

/* Whether there may be messages that stand before the queue. */
static bool has_aside(const struct troupe_actor *self)
{
    /* relaxed: our own signal. */
    return (atomic_load_explicit(&self->signals, memory_order_relaxed) & TRP_SIGNAL_AGAIN) != 0;
}

struct troupe_message *trp_wait_find_priority(
    struct troupe_actor *self, trp_match_fn matches, const void *arg)
{
    struct troupe_message *msg;

    if (!has_aside(self)) {
        return NULL;
    }
    msg = trp_aside_pull(self, matches, arg);
    if (msg != NULL) {
        trp_worker_count_picked(self->context->worker, msg);
    }
    return msg;
}

static bool is_any(const struct troupe_message *msg, const void *arg)
{
    (void)msg;
    (void)arg;
    return true;
}

/* The next message that is for the user; NULL: none is there now. */
TRP_INLINE struct troupe_message *take_next(struct troupe_actor *self, struct trp_fiber *fiber)
{
    struct trp_worker *worker = self->context->worker;

    end_picked(self, fiber);
    for (;;) {
        struct troupe_message *msg;

        heed(self, fiber);
        /* If nothing was, it has just begun or gone on: no need to ask. */
        if (worker->handled > 0 && trp_unlikely(trp_worker_is_spent(worker))) {
            trp_wait_yield(self);
        }
        msg = has_aside(self) ? trp_wait_find_priority(self, is_any, NULL) : NULL;
        if (trp_unlikely(msg != NULL)) {
            (void)trp_wait_begin(self);
            if (trp_wait_receive(self, msg)) {
                return msg;
            }
            continue;
        }
        msg = trp_worker_pop(worker, self);
        if (msg == NULL || is_delivered(self, fiber, msg)) {
            return msg;
        }
    }
}

struct troupe_message *trp_wait_next(struct troupe_actor *self)
{
    return take_next(self, self->context->worker->host.fiber);
}

struct troupe_message *trp_wait_for_next(struct troupe_actor *self)
{
    /* Its slice is this one: it may wait. */
    struct trp_fiber *fiber = self->context->worker->host.fiber;

    for (;;) {
        struct troupe_message *msg = take_next(self, fiber);

        if (msg != NULL) {
            return msg;
        }
        fiber->at = NULL;
        trp_cross_leave(fiber, TRP_FIBER_WAITING);
    }
}

struct trp_node *trp_wait_from(struct troupe_actor *self)
{
    return trp_fiber_here(self)->late == 0 ? trp_mailbox_newest(&self->mailbox) : self->head;
}

/* As long as its message is the head, linked and handled, no other one of its io is sent. */
static void end_noted(struct troupe_actor *self)
{
    while (self->head != &self->mailbox.stub && trp_io_is_noted(trp_message_of(self->head))) {
        struct trp_node *head = self->head;

        trp_worker_end_head(self->context->worker, self);
        if (self->head == head) {
            /* Somebody is about to link the next one. */
            trp_wait_yield(self);
        }
    }
}

struct trp_node *trp_wait_from_io(struct troupe_actor *self, const struct troupe_io *io)
{
    struct trp_node *newest;

    end_noted(self);
    /* In this order: what is sent after the look at the io is pushed behind that one. */
    newest = trp_mailbox_newest(&self->mailbox);
    return trp_fiber_here(self)->late == 0 && !trp_io_is_queued(io) ? newest : self->head;
}

void trp_wait_expects_late(struct troupe_actor *self)
{
    trp_fiber_here(self)->late++;
}

void trp_wait_had_late(struct troupe_actor *self)
{
    struct trp_fiber *fiber = trp_fiber_here(self);

    if (fiber->late > 0) {
        fiber->late--;
    }
}

bool trp_wait_may(const struct troupe_actor *self)
{
    const struct trp_fiber *fiber = trp_fiber_here(self);

    return fiber != NULL && !fiber->opening;
}

/* Whether `msg`, which is about to be passed over, ends the actor: it had been pushed behind one that was still being
 * linked, when its signal was heeded. */
static bool is_passing_over_exit(struct troupe_actor *self, const struct troupe_message *msg)
{
    if (msg->kind != TRP_MESSAGE_NOTICE || !trp_hooks.condemns(self, msg)) {
        return false;
    }
    /* relaxed: our own, to be read by the worker that we leave to. */
    atomic_fetch_or_explicit(&self->signals, TRP_SIGNAL_EXIT, memory_order_relaxed);
    return true;
}

struct troupe_message *trp_wait_find(
    struct troupe_actor *self, struct trp_node **at, trp_match_fn matches, const void *arg)
{
    struct trp_fiber *fiber = trp_fiber_here(self);
    struct trp_node *node;

    for (;;) {
        heed(self, fiber);
        if (trp_unlikely(trp_worker_is_spent(self->context->worker))) {
            trp_wait_yield(self);
        }
        node = trp_mailbox_behind(*at);
        if (node == NULL) {
            return NULL;
        }
        if (is_passing_over_exit(self, trp_message_of(node))) {
            trp_fiber_leave(fiber, TRP_FIBER_YIELDED);
        } else if (!matches(trp_message_of(node), arg)) {
            *at = node;
        } else if (trp_mailbox_pick(&self->mailbox, *at, node)) {
            trp_worker_count_picked(self->context->worker, trp_message_of(node));
            return trp_message_of(node);
        } else {
            /* Somebody is about to link the next one. */
            trp_wait_yield(self);
        }
    }
}

bool trp_wait_receive(struct troupe_actor *self, struct troupe_message *msg)
{
    struct trp_fiber *fiber = trp_fiber_here(self);

    fiber->picked = msg;
    self->current = msg;
    self->taken = false;
    if (is_delivered(self, fiber, msg)) {
        return true;
    }
    end_picked(self, fiber);
    return false;
}
