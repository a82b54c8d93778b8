/* SPDX-License-Identifier: MIT */
#include "fiber.h"

#include <string.h>

#include "callout.h"
#include "core.h"
#include "fiber_cross.h"
#include "runtime.h"
#include "worker.h"

/** Fibers of a class that a worker keeps. */
#define CACHED_MAX 16

void trp_fiber_quit(struct trp_fiber *fiber)
{
    trp_cross_out(fiber, TRP_FIBER_QUIT);
    __builtin_unreachable();
}

void trp_fiber_leave(struct trp_fiber *fiber, enum trp_fiber_state state)
{
    trp_cross_leave(fiber, state);
}

static int call(const struct trp_fiber *fiber)
{
    struct troupe_actor *actor = fiber->actor;
    const struct troupe_behaviour *behaviour = actor->behaviour;
    int status;

    switch (fiber->callback) {
    case TRP_CALLBACK_INIT:
        return behaviour->init(actor, actor->state, actor->arg);
    case TRP_CALLBACK_RECEIVE:
        return behaviour->receive(actor, actor->state, fiber->message);
    case TRP_CALLBACK_MAIN:
        break;
    }
    status = behaviour->main(actor, actor->arg);
    return status < 0 ? status : TROUPE_DONE;
}

/* On a thread of its own it may block: see thread.h. */
static int call_outside(const struct trp_fiber *fiber)
{
    struct trp_worker *worker = fiber->actor->context->worker;
    int status;

    trp_thread_go_out(worker);
    status = call(fiber);
    trp_thread_come_in(worker);
    return status;
}

/* One callback after the other. */
static void run(void *arg)
{
    struct trp_fiber *fiber = arg;
    struct trp_fiber_host *host = fiber->host;

    trp_cross_arrived(NULL, &host->bottom, &host->size);
    for (;;) {
        fiber->status = fiber->actor->behaviour->thread ? call_outside(fiber) : call(fiber);
        trp_cross_out(fiber, TRP_FIBER_RETURNED);
    }
}

/* ---- fibers that nobody uses ---- */

void trp_fiber_init(struct trp_fiber *fiber, unsigned class, char *stack, size_t size)
{
    memset(fiber, 0, sizeof *fiber);
    fiber->stack = stack;
    fiber->size = size;
    fiber->class = class;
}

void trp_fiber_fini(struct trp_fiber *fiber)
{
    trp_cross_forget(fiber);
}

void trp_fiber_reset(struct trp_fiber *fiber)
{
    trp_cross_forget(fiber);
    fiber->here = NULL;
    fiber->dropped = false;
    fiber->exceptions = (struct trp_exceptions){.caught = NULL};
    /* Frames that never returned. */
    TRP_UNPOISON(fiber->stack, fiber->size);
}

static size_t stack_size_of(const struct troupe_behaviour *behaviour)
{
    if (behaviour->stack_size > 0) {
        return behaviour->stack_size;
    }
    return behaviour->thread ? TROUPE_STACK_MAX : TROUPE_STACK_DEFAULT;
}

static struct trp_fiber *take(struct trp_worker *worker, size_t stack_size)
{
    struct trp_fiber_host *host = &worker->host;
    unsigned class = trp_stack_class(stack_size);
    struct trp_fiber *fiber;

    if (class == TRP_STACK_CLASSES) {
        return NULL;
    }
    fiber = host->cached[class];
    if (fiber == NULL) {
        fiber = trp_stacks_take(&worker->runtime->stacks, class);
        if (fiber == NULL) {
            return NULL;
        }
    } else {
        host->cached[class] = fiber->next;
        host->cached_count[class]--;
    }
    if (fiber->here == NULL) {
        fiber->here = trp_fiber_prepare(fiber->stack, fiber->size, run, fiber);
    }
    return fiber;
}

/* From here on it may be another worker's. */
static void give(struct trp_worker *worker, struct trp_fiber *fiber)
{
    struct trp_fiber_host *host = &worker->host;

    fiber->state = TRP_FIBER_IDLE;
    fiber->actor = NULL;
    if (host->cached_count[fiber->class] >= CACHED_MAX) {
        trp_stacks_give(&worker->runtime->stacks, fiber);
        return;
    }
    fiber->next = host->cached[fiber->class];
    host->cached[fiber->class] = fiber;
    host->cached_count[fiber->class]++;
}

void trp_fiber_leave_host(struct trp_worker *worker)
{
    struct trp_fiber_host *host = &worker->host;

    for (unsigned class = 0; class < TRP_STACK_CLASSES; class ++) {
        while (host->cached[class] != NULL) {
            struct trp_fiber *fiber = host->cached[class];

            host->cached[class] = fiber->next;
            trp_stacks_give(&worker->runtime->stacks, fiber);
        }
        host->cached_count[class] = 0;
    }
}

/* ---- an actor and its fiber ---- */

static void end_picked(struct trp_fiber *fiber, int status)
{
    struct troupe_message *msg = fiber->picked;

    if (msg != NULL) {
        fiber->picked = NULL;
        trp_worker_retire(fiber->actor->context, fiber->actor, msg, status);
    }
}

static void suspend(struct troupe_actor *actor, struct trp_fiber *fiber)
{
    struct trp_worker *worker = actor->context->worker;

    fiber->current = actor->current;
    /* What it recorded is its own, and not of whoever runs here meanwhile. */
    fiber->has_reason = worker->has_reason;
    if (trp_unlikely(fiber->has_reason)) {
        fiber->reason = worker->reason;
    }
    worker->has_reason = false;
    /* relaxed: the token's holder, whom we are, wrote it. */
    fiber->phase = (enum trp_phase)atomic_load_explicit(&actor->phase, memory_order_relaxed);
    trp_actor_set_phase(actor, TRP_PHASE_WAITING);
    actor->fiber = fiber;
    actor->home = (uint16_t)((actor->home & TRP_HOME_PINNED) | (worker->index + 1));
    worker->host.suspended++;
}

/* Undoes it; the actor may run anywhere again, unless it is left once more. */
static struct trp_fiber *unsuspend(struct troupe_actor *actor)
{
    struct trp_fiber *fiber = actor->fiber;

    actor->fiber = NULL;
    trp_actor_set_phase(actor, fiber->phase);
    actor->current = fiber->current;
    if ((actor->home & TRP_HOME_PINNED) == 0) {
        actor->home = 0;
    }
    actor->context->worker->host.suspended--;
    return fiber;
}

/* It was not left: its callback is over. */
static TRP_NOINLINE int end(struct troupe_actor *actor, struct trp_fiber *fiber)
{
    struct trp_worker *worker = actor->context->worker;
    enum trp_callback callback = fiber->callback;
    int status = fiber->status;

    if (fiber->state == TRP_FIBER_QUIT) {
        /* If it was in one. */
        trp_callouts = 0;
        end_picked(fiber, TROUPE_EDIED);
        trp_fiber_reset(fiber);
        give(worker, fiber);
        return TRP_OPEN_EXIT;
    }
    end_picked(fiber, TROUPE_EUNANSWERED);
    give(worker, fiber);
    /* What init may say beyond that is heard where it began. */
    return callback == TRP_CALLBACK_INIT ? status : trp_open_status(status);
}

int trp_fiber_conclude(struct trp_fiber *fiber)
{
    struct troupe_actor *actor = fiber->actor;

    if (fiber->state == TRP_FIBER_RETURNED || fiber->state == TRP_FIBER_QUIT) {
        return end(actor, fiber);
    }
    suspend(actor, fiber);
    return TRP_FIBER_LEFT;
}

int trp_fiber_begin(
    struct troupe_actor *actor, enum trp_callback callback, struct troupe_message *msg)
{
    struct trp_worker *worker = actor->context->worker;
    struct trp_fiber *fiber = take(worker, stack_size_of(actor->behaviour));

    if (fiber == NULL) {
        return TROUPE_ENOMEM;
    }
    fiber->actor = actor;
    fiber->callback = callback;
    fiber->message = msg;
    fiber->late = 0;
    fiber->opening = false;
    trp_cross_in(&worker->host, fiber);
    return trp_fiber_conclude(fiber);
}

int trp_fiber_receive(struct troupe_actor *actor, void *state, struct troupe_message *msg)
{
    (void)state;
    return trp_fiber_begin(actor, TRP_CALLBACK_RECEIVE, msg);
}

struct trp_fiber *trp_fiber_take_up(struct troupe_actor *actor)
{
    struct trp_worker *worker = actor->context->worker;
    struct trp_fiber *fiber = unsuspend(actor);

    worker->has_reason = fiber->has_reason;
    if (trp_unlikely(fiber->has_reason)) {
        worker->reason = fiber->reason;
    }
    return fiber;
}

void trp_fiber_drop(struct troupe_actor *actor)
{
    struct trp_fiber *fiber = unsuspend(actor);
    int status;

    if (fiber->has_reason) {
        troupe_buffer_release(fiber->reason.text);
    }
    fiber->dropped = true;
    trp_cross_in(&actor->context->worker->host, fiber);
    status = trp_fiber_conclude(fiber);
    trp_assert(status == TRP_OPEN_EXIT);
    actor->current = NULL;
}

struct trp_fiber *trp_fiber_here(const struct troupe_actor *self)
{
    return trp_actor_is_mine(self) ? self->context->worker->host.fiber : NULL;
}
