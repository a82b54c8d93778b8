/* SPDX-License-Identifier: MIT */
/*
 * worker.c - one step of a worker: find an actor, run a slice of it; or search; or park.
 *
 * Read step() first, then run_slice(), which is the life of a message on this side.
 */
#include "worker.h"

#include <string.h>

#include "aside.h"
#include "batch.h"
#include "callout.h"
#include "core.h"
#include "exit.h"
#include "fiber_cross.h"
#include "lease.h"
#include "letter.h"
#include "line.h"
#include "overload.h"
#include "pause.h"
#include "pressure.h"
#include "runtime.h"
#include "seam.h"
#include "shelf.h"
#include "sojourn.h"
#include "stamp.h"

/** Slices between two looks at the clock, the wheel and the cells that came back. */
#define DUTY_SLICES 16

/** Rounds of duties between two looks into the injection queue. */
#define INJECT_ROUNDS 4

/** A poller is looked at by a running worker at most so often. */
#define POLL_NS 50000

/** What waking a worker costs: less surplus work than this is not worth one. */
#define WAKE_COST_NS 30000

/** What moving actors to another core costs in cache lines: less work than this is not stolen. */
#define STEAL_COST_NS 2000

/** Pauses of a worker all of whose actors were refused room elsewhere: about as long as a reader takes to make some. */
#define REFUSED_PAUSES 100

/** Rounds of searching in vain before a worker parks, where more than one may run. */
#define SEARCH_ROUNDS 40

/** Pauses a reader makes in the gap before it turns to something else. */
#define GAP_PAUSES 20

/** Timers fired, injected slots taken at a time. */
#define FIRE_BATCH 256
#define TAKE_BATCH 64

static TRP_THREAD_LOCAL struct trp_worker *current_worker;

struct trp_worker *trp_worker_current(void)
{
    return current_worker;
}

void trp_worker_set_current(struct trp_worker *worker)
{
    current_worker = worker;
}

void trp_worker_init(struct trp_worker *worker, struct troupe_runtime *runtime, unsigned index)
{
    memset(worker, 0, sizeof *worker);
    worker->context.runtime = runtime;
    worker->context.worker = worker;
    worker->context.queues = index < TRP_THREAD_FIRST;
    worker->context.edges = TRP_EDGE_FIRST(index);
    trp_pool_init(&worker->context.pool, &runtime->memory);
    worker->runtime = runtime;
    worker->index = index;
    worker->seat.traces = runtime->options.faults == TROUPE_FAULTS_CONTAIN;
    worker->random = runtime->options.seed ^ ((uint64_t)index + 1) * 0x9e3779b97f4a7c15U;
    worker->now_ns = trp_port_now_ns();
    worker->tick_ns = worker->now_ns;
    atomic_init(&worker->slice_ns, 1000);
    trp_event_init(&worker->event);
    trp_list_init(&worker->parker.entry);
    trp_stack_init(&worker->returned);
    trp_runq_init(&worker->runq);
    trp_wheel_init(&worker->wheel, worker->now_ns / 1000000U);
}

/* ---- queueing ---- */

/* The owner's half of a biased lock around its LIFO slot: `busy` is written and `rescue` read without a fence. The
 * watchdog, which takes the slot of a worker that is stuck, pays for it with a membarrier between writing `rescue` and
 * reading `busy`: either we see its flag and wait, or it sees ours and waits. */
static void lifo_enter(struct trp_worker *worker)
{
    for (;;) {
        /* relaxed: ordered by the watchdog's membarrier, see above. */
        atomic_store_explicit(&worker->lifo_busy, true, memory_order_relaxed);
        /* seq_cst, for the compiler alone: the membarrier does the rest. */
        atomic_signal_fence(memory_order_seq_cst);
        /* acquire: what the watchdog did with the slot.  PAIR worker.rescue: release in rescue(). */
        if (trp_likely(!atomic_load_explicit(&worker->lifo_rescue, memory_order_acquire))) {
            return;
        }
        /* release: we are out of it.  PAIR worker.lifo: trp_worker_rescue(). */
        atomic_store_explicit(&worker->lifo_busy, false, memory_order_release);
        trp_port_yield();
    }
}

static void lifo_leave(struct trp_worker *worker)
{
    /* release: the slot, and the actor in it.  PAIR worker.lifo: acquire in trp_worker_rescue(). */
    atomic_store_explicit(&worker->lifo_busy, false, memory_order_release);
}

/* Puts `actor` (or NULL) into the LIFO slot and returns what was there. */
static struct troupe_actor *lifo_swap(struct trp_worker *worker, struct troupe_actor *actor)
{
    struct troupe_actor *old;

    lifo_enter(worker);
    /* relaxed: inside the biased lock. */
    old = atomic_load_explicit(&worker->lifo, memory_order_relaxed);
    atomic_store_explicit(&worker->lifo, actor, memory_order_relaxed);
    lifo_leave(worker);
    return old;
}

struct troupe_actor *trp_worker_rescue(struct trp_worker *worker)
{
    struct troupe_actor *actor = NULL;

    /* relaxed: before the membarrier. */
    atomic_store_explicit(&worker->lifo_rescue, true, memory_order_relaxed);
    if (trp_port_membarrier()) {
        /* acquire: the slot.  PAIR worker.lifo: lifo_leave(). */
        while (atomic_load_explicit(&worker->lifo_busy, memory_order_acquire)) {
            trp_port_yield();
        }
        /* relaxed, both: inside the biased lock. */
        actor = atomic_load_explicit(&worker->lifo, memory_order_relaxed);
        atomic_store_explicit(&worker->lifo, NULL, memory_order_relaxed);
    }
    /* release: the slot is empty.  PAIR worker.rescue: lifo_enter(). */
    atomic_store_explicit(&worker->lifo_rescue, false, memory_order_release);
    return actor;
}

/* relaxed: an estimate, for thieves.  PAIR worker.slice_ns. */
static void set_slice(struct trp_worker *worker, uint64_t slice_ns)
{
    atomic_store_explicit(&worker->slice_ns, slice_ns, memory_order_relaxed);
}

/* How long an actor queued last would wait, more or less. */
static uint64_t backlog_ns(const struct trp_worker *worker)
{
    /* relaxed: an estimate.  PAIR worker.slice_ns. */
    return trp_runq_length(&worker->runq) *
           atomic_load_explicit(&worker->slice_ns, memory_order_relaxed);
}

/* Wakes another worker if there is more queued here than it costs. */
static void consider_wake(struct trp_worker *worker)
{
    uint32_t length = trp_runq_length(&worker->runq);
    bool worth = backlog_ns(worker) >= WAKE_COST_NS;

    if (length > 0 && trp_choose(TRP_CHOOSE_WAKE, 2, worth) != 0) {
        (void)trp_park_wake(&worker->runtime->park);
    }
}

static void inject(struct troupe_runtime *runtime, unsigned shard, struct troupe_actor *actor)
{
    trp_inject_push(&runtime->inject, shard, actor);
    (void)trp_park_wake(&runtime->park);
}

/* ---- actors that must run on one worker: pinned ones, and those with a fiber that was left ---- */

static void pin(struct trp_worker *worker, struct troupe_actor *actor)
{
    actor->link = NULL;
    if (worker->pinned_first == NULL) {
        worker->pinned_first = actor;
    } else {
        worker->pinned_last->link = actor;
    }
    worker->pinned_last = actor;
}

/* What others made runnable, in the order in which they did. */
static void take_arrived(struct trp_worker *worker)
{
    /* acquire: the actors.  PAIR worker.arrived: arrive(). */
    struct troupe_actor *newest =
        atomic_exchange_explicit(&worker->arrived, NULL, memory_order_acquire);
    struct troupe_actor *oldest = NULL;

    while (newest != NULL) {
        struct troupe_actor *next = newest->link;

        newest->link = oldest;
        oldest = newest;
        newest = next;
    }
    while (oldest != NULL) {
        struct troupe_actor *next = oldest->link;

        pin(worker, oldest);
        oldest = next;
    }
}

static bool has_pinned(const struct trp_worker *worker)
{
    /* relaxed: a look; one that comes just now wakes us.  PAIR worker.arrived. */
    return worker->pinned_first != NULL ||
           atomic_load_explicit(&worker->arrived, memory_order_relaxed) != NULL;
}

static TRP_NOINLINE struct troupe_actor *next_pinned(struct trp_worker *worker)
{
    struct troupe_actor *actor;

    take_arrived(worker);
    actor = worker->pinned_first;
    if (actor != NULL) {
        worker->pinned_first = actor->link;
    }
    return actor;
}

/* Any thread. */
static void arrive(struct trp_worker *home, struct troupe_actor *actor)
{
    /* relaxed: compared, no more. */
    struct troupe_actor *newest = atomic_load_explicit(&home->arrived, memory_order_relaxed);

    do {
        actor->link = newest;
        /* seq_cst: release of the actor, and our push before our look.  PAIR worker.arrived: take_arrived(); a worker
         * registers as parked, then looks.  PAIR park.publish: park(). */
    } while (!atomic_compare_exchange_weak_explicit(
        &home->arrived, &newest, actor, memory_order_seq_cst, memory_order_relaxed));
    if (trp_worker_is_alone(home)) {
        trp_switch();
        trp_event_wake(&home->event);
        return;
    }
    if (trp_park_any(&home->runtime->park)) {
        trp_park_nudge(&home->runtime->park, home);
    }
}

/* `worker` is whose context it is, or NULL. */
static TRP_NOINLINE void schedule_at_home(
    struct troupe_runtime *runtime, struct trp_worker *worker, struct troupe_actor *actor)
{
    struct trp_worker *home = runtime->workers[(actor->home & ~TRP_HOME_PINNED) - 1];

    if (worker == home) {
        pin(worker, actor);
        return;
    }
    arrive(home, actor);
}

/* To the end of the queue; what does not fit goes to where everybody looks. */
static void enqueue(struct trp_worker *worker, struct troupe_actor *actor)
{
    if (trp_unlikely(actor->home != 0)) {
        schedule_at_home(worker->runtime, worker, actor);
    } else if (!trp_runq_push(&worker->runq, actor)) {
        inject(worker->runtime, worker->index, actor);
    }
}

/* A foreign thread's, or a thread actor's, who has nobody else to run. */
static TRP_NOINLINE void inject_from(struct trp_context *context, struct troupe_actor *actor)
{
    struct troupe_runtime *runtime = context->runtime;
    unsigned shard =
        context->worker != NULL
            ? context->worker->index
            : (unsigned)(trp_container_of(context, struct trp_shard, context) - runtime->shards);

    inject(runtime, shard, actor);
}

void trp_worker_schedule(struct trp_context *context, struct troupe_actor *actor)
{
    struct trp_worker *worker = context->worker;
    struct troupe_actor *displaced;

    if (trp_unlikely(actor->home != 0)) {
        schedule_at_home(context->runtime, worker, actor);
        return;
    }
    if (trp_unlikely(!context->queues)) {
        inject_from(context, actor);
        return;
    }
    displaced = lifo_swap(worker, actor);
    if (displaced != NULL) {
        enqueue(worker, displaced);
        consider_wake(worker);
    }
}

/* ---- a slice ---- */

/* Gives back the room of what was handled. */
TRP_INLINE void credit(struct trp_worker *worker, struct troupe_actor *actor)
{
    uint32_t count = worker->charged;
    uint64_t bytes = worker->charged_bytes;

    if (count > 0) {
        trp_charge_give(&actor->charge, count, bytes);
        worker->charged = 0;
        worker->charged_bytes = 0;
        /* relaxed: a waiter that we miss here has not seen our room either, looks again after it registered, or is
         * seen at the next credit or after parking.  See line.h. */
        if (trp_unlikely(atomic_load_explicit(&actor->waiting, memory_order_relaxed) != 0)) {
            trp_line_made_room(&worker->context, actor, TRP_CHARGE_ONE * count + bytes);
        }
    }
}

void trp_worker_retire(
    struct trp_context *context, struct troupe_actor *actor, struct troupe_message *msg, int status)
{
    if (msg->flags & TRP_MESSAGE_ASIDE) {
        trp_aside_keep(actor, msg);
        return;
    }
    switch (msg->kind) {
    case TRP_MESSAGE_TICK:
        trp_tick_retire(context, actor, msg);
        return;
    case TRP_MESSAGE_READY:
        trp_io_retire(context, actor, msg);
        return;
    case TRP_MESSAGE_TICKET:
        trp_shelf_give(msg);
        return;
    case TRP_MESSAGE_TIMEOUT:
    case TRP_MESSAGE_NOTICE:
    case TRP_MESSAGE_CHANGE:
    case TRP_MESSAGE_JOB:
    case TRP_MESSAGE_FLOW:
        trp_hooks.retire(context, actor, msg);
        return;
    default:
        trp_message_empty(msg);
        trp_message_end_permit(context, msg);
        if (msg->flags & TRP_MESSAGE_REQUEST) {
            trp_hooks.bounce(context, msg, status);
        } else {
            trp_message_free(&context->pool, msg);
        }
    }
}

/* Ends a node that was handled. */
static void retire_node(
    struct trp_worker *worker, struct troupe_actor *actor, struct trp_node *spent)
{
    struct troupe_message *msg = trp_message_of(spent);

    if (spent == NULL) {
        return;
    }
    if (trp_likely(msg->kind == TRP_MESSAGE_PLAIN && (msg->flags & TRP_MESSAGE_REQUEST) == 0)) {
        trp_message_empty(msg);
        trp_message_free(&worker->context.pool, msg);
    } else {
        trp_worker_retire(&worker->context, actor, msg, TROUPE_EUNANSWERED);
    }
}

/* Whether a block needs its owner's token to be retired, or has more than a body in it: everything but a plain one from the
 * pools. */
static bool is_owned(const struct troupe_message *msg)
{
    return msg->kind != TRP_MESSAGE_PLAIN && msg->kind != TRP_MESSAGE_REPLY &&
           msg->kind != TRP_MESSAGE_QUESTION && msg->kind != TRP_MESSAGE_AGED;
}

/* What was taken out is not for anybody any more: another column of the books, but part of the slice. */
static void count_unwanted(struct trp_context *context, int opened)
{
    context->worker->unhandled++;
    trp_count(&context->counters.dead, 1);
    trp_count(opened == TRP_OPEN_LATE ? &context->counters.late : &context->counters.skipped, 1);
}

int trp_worker_open(struct troupe_actor *actor, struct troupe_message *msg)
{
    int status;

    switch (msg->kind) {
    case TRP_MESSAGE_PLAIN:
        return TRP_OPEN_DELIVER;
    case TRP_MESSAGE_TICKET:
        trp_aside_shelved(actor, trp_shelf_take(msg));
        return TROUPE_OK;
    case TRP_MESSAGE_AGED:
        return trp_sojourn_open(actor, msg) ? TRP_OPEN_DELIVER : TROUPE_OK;
    case TRP_MESSAGE_TICK:
        status = trp_tick_open(actor, msg) ? TRP_OPEN_DELIVER : TROUPE_OK;
        break;
    case TRP_MESSAGE_READY:
        status = trp_io_open(actor, msg) ? TRP_OPEN_DELIVER : TROUPE_OK;
        break;
    default:
        if (trp_unlikely(trp_stamp_is_on(msg)) && !trp_sojourn_open(actor, msg)) {
            return TROUPE_OK;
        }
        status = trp_hooks.open(actor, msg);
    }
    if (status == TRP_OPEN_LATE || status == TRP_OPEN_SKIP) {
        count_unwanted(actor->context, status);
        return TROUPE_OK;
    }
    return status;
}

/* Not a PLAIN one: that went to trp_aside_receive(). */
static TRP_NOINLINE int receive_suspended(struct troupe_actor *actor, struct troupe_message *msg)
{
    int status;

    if (!trp_aside_is_heeded(actor, msg)) {
        trp_aside_hold(actor, msg);
        return TROUPE_OK;
    }
    status = trp_worker_open(actor, msg);
    return status == TRP_OPEN_DELIVER ? actor->behaviour->receive(actor, actor->state, msg)
                                      : status;
}

static int receive(struct troupe_actor *actor, struct troupe_message *msg)
{
    int status;

    if (trp_likely(msg->kind == TRP_MESSAGE_PLAIN)) {
        return actor->receive(actor, actor->state, msg);
    }
    if (trp_unlikely(actor->receive == trp_aside_receive)) {
        return receive_suspended(actor, msg);
    }
    status = trp_worker_open(actor, msg);
    return status == TRP_OPEN_DELIVER ? actor->receive(actor, actor->state, msg) : status;
}

/* A message that was kept aside. */
static int receive_again(struct troupe_actor *actor, struct troupe_message *msg)
{
    return msg->flags & TRP_MESSAGE_OPENED ? actor->receive(actor, actor->state, msg)
                                           : receive(actor, msg);
}

static void set_error(struct trp_worker *worker, int code)
{
    if (worker->has_reason) {
        troupe_buffer_release(worker->reason.text);
    }
    worker->reason = (struct troupe_reason){.kind = TROUPE_EXIT_ERROR, .code = code};
    worker->has_reason = true;
}

/* A reason that was recorded, and the callback decided otherwise: it must not wait for whoever runs here next. */
static void forget_reason(struct trp_worker *worker)
{
    if (trp_unlikely(worker->has_reason)) {
        troupe_buffer_release(worker->reason.text);
        worker->has_reason = false;
    }
}

/* A callback failed with `status`: what troupe_fail() recorded, if it was for this. */
static void set_failure(struct trp_worker *worker, int status)
{
    if (!worker->has_reason || worker->reason.kind != TROUPE_EXIT_ERROR ||
        worker->reason.code != status) {
        set_error(worker, status);
    }
}

/* Whether the callback of the actor whose slice this is was left in the middle. */
static bool has_left(const struct trp_worker *worker)
{
    return worker->context.current->fiber != NULL;
}

static bool wants_to_resume(struct trp_extra *extra, const struct troupe_reason *reason)
{
    enum troupe_directive directive;

    trp_callouts++;
    directive = extra->decide(extra->decide_context, reason);
    trp_callouts--;
    return directive == TROUPE_DECIDE_RESUME;
}

/* Whether the actor that failed goes on, as its supervisor's spec says.  A main function has nothing to go on with. */
static bool resumes(struct trp_worker *worker)
{
    struct troupe_actor *actor = worker->context.current;
    struct trp_extra *extra = actor != NULL ? trp_actor_extra(actor) : NULL;
    struct troupe_report event;

    if (extra == NULL || extra->decide == NULL || actor->behaviour->main != NULL ||
        !wants_to_resume(extra, &worker->reason)) {
        return false;
    }
    event = (struct troupe_report){.kind = TROUPE_REPORT_FAILURE,
        .pid = trp_actor_pid(actor),
        .actor = actor->behaviour->name,
        .reason = &worker->reason};
    trp_report_event(actor->runtime, &event, "goes on, though it failed with error %d (%s): %s",
        worker->reason.code, troupe_strerror(worker->reason.code),
        troupe_reason_text(&worker->reason));
    forget_reason(worker);
    return true;
}

/* The rarer things that a callback may return. */
static TRP_NOINLINE bool conclude_other(struct trp_worker *worker, int status)
{
    switch (status) {
    case TRP_FIBER_LEFT:
        /* Otherwise it is a number of the user's, which means nothing. */
        return has_left(worker);
    case TRP_OPEN_EXIT:
        /* Without a reason it is a number of the user's, which means nothing. */
        return worker->has_reason;
    case TROUPE_DONE:
        set_error(worker, 0);
        worker->reason.kind = TROUPE_EXIT_NORMAL;
        return true;
    case TROUPE_EUNKNOWN:
        trp_count(&worker->context.counters.unknown, 1);
        forget_reason(worker);
        return false;
    default:
        if (status > 0) {
            forget_reason(worker);
            return false;
        }
        set_failure(worker, status);
        return !resumes(worker);
    }
}

/* init said that the actor is not needed. */
static void set_ignored(struct trp_worker *worker)
{
    set_error(worker, TROUPE_IGNORE);
    worker->reason.kind = TROUPE_EXIT_NORMAL;
}

/* What a callback returned.  True: nothing more is handled now, see interrupted(). */
static bool conclude(struct trp_worker *worker, int status)
{
    if (trp_likely(status == TROUPE_OK)) {
        forget_reason(worker);
        return false;
    }
    return conclude_other(worker, status);
}

static void begin_exit(struct trp_worker *worker, struct troupe_actor *actor)
{
    struct troupe_reason reason = worker->reason;

    worker->has_reason = false;
    worker->reason.text = NULL;
    trp_exit_begin(worker, actor, &reason);
}

/* Its room is to be given back. */
static void note_charge(struct trp_worker *worker, const struct troupe_message *msg)
{
    if (msg->flags & TRP_MESSAGE_CHARGED) {
        worker->charged++;
        worker->charged_bytes += trp_message_weight(msg);
    }
    trp_trace(TRP_TRACE_MESSAGE, msg->kind, msg->sender);
}

/* The message to be handled next becomes current; counts it. */
static struct troupe_message *open_message(
    struct trp_worker *worker, struct troupe_actor *actor, struct troupe_message *msg)
{
    actor->current = msg;
    actor->taken = false;
    note_charge(worker, msg);
    return msg;
}

/* Whether an exit signal that ends this actor is queued; reads ahead without taking anything. */
static bool is_condemned(struct troupe_actor *actor)
{
    /* acquire: the message.  PAIR mailbox.next. */
    struct trp_node *node = atomic_load_explicit(&actor->head->next, memory_order_acquire);

    while (node != NULL) {
        struct troupe_message *msg = trp_message_of(node);

        if (msg->kind == TRP_MESSAGE_NOTICE && trp_hooks.condemns(actor, msg)) {
            return true;
        }
        /* acquire: as above. */
        node = atomic_load_explicit(&node->next, memory_order_acquire);
    }
    return false;
}

/* Drops what stands before the exit signal that ends this actor, and takes it. */
static void pull_exit(struct trp_worker *worker, struct troupe_actor *actor)
{
    /* The message handled last went without an answer; one that is being handled, and those dropped from here on, die with
     * the actor. */
    int status = has_left(worker) ? TROUPE_EDIED : TROUPE_EUNANSWERED;

    for (;;) {
        struct trp_node *spent = NULL;
        struct trp_node *node = trp_mailbox_pop(&actor->mailbox, &actor->head, &spent);
        struct troupe_message *msg;

        trp_assert(node != NULL);
        if (spent != NULL) {
            trp_worker_retire(&worker->context, actor, trp_message_of(spent), status);
        }
        status = TROUPE_EDIED;
        msg = open_message(worker, actor, trp_message_of(node));
        if (msg->kind == TRP_MESSAGE_NOTICE && trp_hooks.condemns(actor, msg)) {
            int opened = trp_hooks.open(actor, msg);

            trp_assert(opened == TRP_OPEN_EXIT);
            worker->handled++;
            return;
        }
        trp_letter_ended(&worker->context, actor, msg);
        trp_message_count_dropped(&worker->context, msg);
        if (!is_owned(msg)) {
            trp_message_empty(msg);
        }
    }
}

static bool condemns(const struct troupe_message *msg, const void *actor)
{
    return msg->kind == TRP_MESSAGE_NOTICE && trp_hooks.condemns(actor, msg);
}

/* Takes the exit signal that ends this actor, if it is among what goes before the queue; the rest is drained. */
static bool take_priority_exit(struct trp_worker *worker, struct troupe_actor *actor)
{
    struct troupe_message *msg = trp_aside_pull(actor, condemns, actor);
    int opened;

    if (msg == NULL) {
        return false;
    }
    if (!has_left(worker)) {
        /* What was handled last went without an answer. */
        actor->current = NULL;
        trp_worker_end_head(worker, actor);
    }
    worker->handled++;
    opened = trp_hooks.open(actor, msg);
    trp_assert(opened == TRP_OPEN_EXIT);
    trp_worker_retire(&worker->context, actor, msg, TROUPE_EDIED);
    return true;
}

/* Signals beside the queue.  True: the actor ends, the reason is set. */
static bool heed_signals(struct trp_worker *worker, struct troupe_actor *actor)
{
    /* seq_cst, with the sender's set, then unpark: see trp_mailbox_unpark().  PAIR actor.signals. */
    uint32_t signals = atomic_load_explicit(&actor->signals, memory_order_seq_cst);

    if (signals & TRP_SIGNAL_KILL) {
        set_error(worker, 0);
        worker->reason.kind = TROUPE_EXIT_KILLED;
        return true;
    }
    if (signals & TRP_SIGNAL_OVERLOAD) {
        trp_overload_fail(actor);
        return true;
    }
    /* acq_rel: a bit that is set again after this comes after its message, which is_condemned() and accept see; or after
     * the waiter was called, which its fiber sees when it goes on.  PAIR actor.signals. */
    signals = atomic_fetch_and_explicit(&actor->signals,
        ~(uint32_t)(TRP_SIGNAL_EXIT | TRP_SIGNAL_ROOM | TRP_SIGNAL_PRIORITY), memory_order_acq_rel);
    if (signals & TRP_SIGNAL_PRIORITY) {
        trp_aside_accept(actor);
    }
    if ((signals & TRP_SIGNAL_EXIT) == 0 || actor->trap_exit) {
        return false;
    }
    if (take_priority_exit(worker, actor)) {
        return true;
    }
    if (is_condemned(actor)) {
        pull_exit(worker, actor);
        return true;
    }
    return false;
}

static bool has_signals(const struct troupe_actor *actor)
{
    /* relaxed: our own line; a signal seen late is seen at the next message, or after parking. */
    return atomic_load_explicit(&actor->signals, memory_order_relaxed) != 0;
}

enum outcome {
    SLICE_PARKED, /* the token is gone */
    SLICE_AGAIN,  /* queue the slot again */
    SLICE_EXIT,   /* the actor is in phase EXITING */
    SLICE_PAUSED, /* its token goes into its record: see pause.h */
    /* It is not over: */
    SLICE_RECEIVE, /* handles messages */
    SLICE_RESUME,  /* goes on with the callback that was left in the middle */
};

void trp_worker_end_head(struct trp_worker *worker, struct troupe_actor *actor)
{
    struct trp_node *spent = NULL;

    if (trp_mailbox_detach(&actor->mailbox, &actor->head, &spent)) {
        retire_node(worker, actor, spent);
    }
}

/* It was parked, and nobody makes more room until it runs again.  True: somebody had set a signal before, and the token is ours again. */
static bool has_token_again(struct trp_worker *worker, struct troupe_actor *actor)
{
    trp_switch();
    /* seq_cst: after the swap that set PARKED; whoever set a signal, or registered to wait for room, before
     * clearing PARKED or looking at it, is seen here.  PAIR actor.signals, PAIR actor.waiting. */
    if ((atomic_load_explicit(&actor->waiting, memory_order_seq_cst) & TRP_WAITING_LINE) != 0) {
        trp_line_call(&worker->context, actor, true);
    }
    if ((atomic_load_explicit(&actor->signals, memory_order_seq_cst) & TRP_SIGNAL_WAKES) == 0 ||
        !trp_mailbox_unpark(&actor->mailbox)) {
        return false;
    }
    /* Another worker may have run it since it was parked. */
    actor->context = &worker->context;
    return true;
}

/* Nothing was found to pop: parks, or finds out why not.  True: *out says how the slice ends. */
TRP_INLINE bool pause_slice(
    struct trp_worker *worker, struct troupe_actor *actor, enum outcome *out)
{
    struct trp_node *spent = NULL;

    trp_switch();
    credit(worker, actor);
    actor->current = NULL;
    if (actor->head != &actor->mailbox.stub && is_owned(trp_message_of(actor->head))) {
        /* Needs the token to be retired: take it out of the list first. */
        trp_worker_end_head(worker, actor);
    }
    if (trp_mailbox_park(&actor->mailbox, &actor->head, &spent)) {
        retire_node(worker, actor, spent);
        *out = SLICE_PARKED;
        return !has_token_again(worker, actor);
    }
    for (unsigned i = 0; i < GAP_PAUSES; i++) {
        /* acquire: as in trp_mailbox_pop(). */
        if (atomic_load_explicit(&actor->head->next, memory_order_acquire) != NULL) {
            return false;
        }
        trp_port_pause();
    }
    *out = SLICE_AGAIN;
    return true;
}

/* Whether a slice that began at `begin_ns` has had its share. */
static bool is_spent(struct trp_worker *worker, uint64_t begin_ns)
{
    if (worker->handled >= worker->limit) {
        return true;
    }
    if (worker->handled % 8 == 0) {
        worker->now_ns = trp_port_now_ns();
        return worker->now_ns - begin_ns >= TRP_SLICE_NS;
    }
    return false;
}

/* ---- slices of callbacks that may wait (fiber.h) ---- */

/* The fiber of `actor` was left and WAITS. */
static enum outcome rest_slice(struct trp_worker *worker, struct troupe_actor *actor)
{
    struct trp_node *at = actor->fiber->at;
    enum outcome outcome;

    if (at == NULL) {
        return pause_slice(worker, actor, &outcome) ? outcome : SLICE_RESUME;
    }
    trp_switch();
    credit(worker, actor);
    if (trp_mailbox_rest(&actor->mailbox, at)) {
        return has_token_again(worker, actor) ? SLICE_RESUME : SLICE_PARKED;
    }
    for (unsigned i = 0; i < GAP_PAUSES; i++) {
        if (trp_mailbox_behind(at) != NULL) {
            return SLICE_RESUME;
        }
        trp_port_pause();
    }
    return SLICE_AGAIN;
}

static enum outcome end_actor(struct trp_worker *worker, struct troupe_actor *actor)
{
    begin_exit(worker, actor);
    return SLICE_EXIT;
}

/* A callback said that nothing more is handled now: the actor ends, or its callback was left. */
static enum outcome interrupted(struct trp_worker *worker, struct troupe_actor *actor)
{
    if (!has_left(worker)) {
        return end_actor(worker, actor);
    }
    switch (actor->fiber->state) {
    case TRP_FIBER_YIELDED:
        return SLICE_AGAIN;
    case TRP_FIBER_WAITING:
        return rest_slice(worker, actor);
    default:
        return SLICE_RESUME;
    }
}

/* Whether a callback on a fiber ended its actor. */
static bool has_quit(const struct trp_worker *worker, int status)
{
    return status == TRP_OPEN_EXIT && worker->has_reason;
}

/* An actor ends with its main function, whatever that returned. */
static enum outcome end_main(struct trp_worker *worker, struct troupe_actor *actor, int status)
{
    if (status < 0) {
        set_failure(worker, status);
    } else if (!has_quit(worker, status)) {
        set_error(worker, 0);
        worker->reason.kind = TROUPE_EXIT_NORMAL;
    }
    return end_actor(worker, actor);
}

static enum outcome run_main(struct trp_worker *worker, struct troupe_actor *actor)
{
    int status;

    worker->slice_began_ns = worker->now_ns;
    status = trp_fiber_begin(actor, TRP_CALLBACK_MAIN, NULL);
    return has_left(worker) ? interrupted(worker, actor) : end_main(worker, actor, status);
}

/* init has returned `status`. */
TRP_INLINE enum outcome initialised(
    struct trp_worker *worker, struct troupe_actor *actor, int status)
{
    if (trp_unlikely(status < 0)) {
        set_failure(worker, status);
    }
    if (trp_unlikely(status < 0 || has_quit(worker, status))) {
        return end_actor(worker, actor);
    }
    if (trp_unlikely(status == TROUPE_IGNORE)) {
        set_ignored(worker);
        return end_actor(worker, actor);
    }
    trp_actor_set_phase(actor, TRP_PHASE_RUNNING);
    trp_hooks.started(actor);
    if (conclude(worker, status)) {
        return end_actor(worker, actor);
    }
    return trp_unlikely(actor->behaviour->main != NULL) ? run_main(worker, actor) : SLICE_RECEIVE;
}

/* The callback that was left never goes on, nor waits in any line. */
static void drop_fiber(struct trp_worker *worker, struct troupe_actor *actor)
{
    if (actor->fiber->waiter != NULL) {
        trp_line_abandon(&worker->context, actor->fiber);
    }
    trp_pressure_close(actor);
    trp_fiber_drop(actor);
}

/* Goes on with a callback that was left in the middle. */
static TRP_NOINLINE enum outcome resume_slice(struct trp_worker *worker, struct troupe_actor *actor)
{
    enum trp_callback callback = actor->fiber->callback;
    struct trp_fiber *fiber;
    int status;

    if (has_signals(actor) && heed_signals(worker, actor)) {
        drop_fiber(worker, actor);
        return end_actor(worker, actor);
    }
    if (worker->handled == 0) {
        worker->slice_began_ns = worker->now_ns;
    }
    fiber = trp_fiber_take_up(actor);
    trp_cross_in(&worker->host, fiber);
    status = trp_fiber_conclude(fiber);
    if (has_left(worker)) {
        return interrupted(worker, actor);
    }
    if (callback == TRP_CALLBACK_INIT) {
        return initialised(worker, actor, status);
    }
    if (callback == TRP_CALLBACK_MAIN) {
        return end_main(worker, actor, status);
    }
    return conclude(worker, status) ? end_actor(worker, actor) : SLICE_RECEIVE;
}

/* ---- messages kept aside ---- */

/* Ends the message of aside.h that was handled last. */
static void retire_aside(struct trp_worker *worker, struct troupe_actor *actor)
{
    struct troupe_message *spent = trp_aside_spent(actor);

    if (spent != NULL) {
        actor->current = NULL;
        trp_worker_retire(&worker->context, actor, spent, TROUPE_EUNANSWERED);
    }
}

/* Takes the message handled last out of the queue's list, if it is to be kept aside: nobody else looks whether it is, and it
 * may be among those that are handled again.  False: in the gap. */
static bool keep_head(struct trp_worker *worker, struct troupe_actor *actor)
{
    struct trp_node *spent = NULL;

    if (actor->head == &actor->mailbox.stub ||
        (trp_message_of(actor->head)->flags & TRP_MESSAGE_ASIDE) == 0) {
        return true;
    }
    if (!trp_mailbox_detach(&actor->mailbox, &actor->head, &spent)) {
        return false;
    }
    trp_worker_retire(&worker->context, actor, trp_message_of(spent), TROUPE_EUNANSWERED);
    return true;
}

/* Of the holder's own. */
static bool is_signalled(const struct troupe_actor *actor, uint32_t signal)
{
    /* relaxed: we have set it. */
    return (atomic_load_explicit(&actor->signals, memory_order_relaxed) & signal) != 0;
}

/* Signals, and messages that stand before the queue.  SLICE_RECEIVE: the queue's turn. */
static TRP_NOINLINE enum outcome heed(
    struct trp_worker *worker, struct troupe_actor *actor, uint64_t begin_ns)
{
    for (;;) {
        struct troupe_message *msg;

        retire_aside(worker, actor);
        if (heed_signals(worker, actor)) {
            return end_actor(worker, actor);
        }
        if (is_signalled(actor, TRP_SIGNAL_MARKED) && trp_pause_is_due(&worker->context, actor)) {
            return SLICE_PAUSED;
        }
        if (!is_signalled(actor, TRP_SIGNAL_AGAIN)) {
            return SLICE_RECEIVE;
        }
        if (!keep_head(worker, actor)) {
            return SLICE_AGAIN;
        }
        msg = trp_aside_take(actor);
        if (msg == NULL) {
            return SLICE_RECEIVE;
        }
        worker->handled++;
        if (conclude(worker, receive_again(actor, open_message(worker, actor, msg)))) {
            return interrupted(worker, actor);
        }
        if (is_spent(worker, begin_ns)) {
            return SLICE_AGAIN;
        }
    }
}

/* ---- slices ---- */

TRP_INLINE enum outcome receive_slice(struct trp_worker *worker, struct troupe_actor *actor)
{
    uint64_t begin_ns = worker->now_ns;
    enum outcome outcome;

    worker->limit = 1 + trp_choose(TRP_CHOOSE_SLICE, TRP_SLICE_MESSAGES, TRP_SLICE_MESSAGES - 1);
    for (;;) {
        struct trp_node *spent = NULL;
        struct trp_node *node;

        if (trp_unlikely(has_signals(actor))) {
            outcome = heed(worker, actor, begin_ns);
            if (outcome != SLICE_RECEIVE) {
                return outcome;
            }
        }
        node = trp_mailbox_pop(&actor->mailbox, &actor->head, &spent);
        if (node == NULL) {
            if (pause_slice(worker, actor, &outcome)) {
                return outcome;
            }
            continue;
        }
        retire_node(worker, actor, spent);
        worker->handled++;
        if (conclude(worker, receive(actor, open_message(worker, actor, trp_message_of(node))))) {
            return interrupted(worker, actor);
        }
        if (trp_unlikely(is_spent(worker, begin_ns))) {
            return SLICE_AGAIN;
        }
    }
}

/* init, of a behaviour that may wait. */
static TRP_NOINLINE int init_on_fiber(struct troupe_actor *actor)
{
    if (actor->receive != trp_seat_receive) {
        actor->receive = trp_fiber_receive;
    }
    return actor->behaviour->init != NULL ? trp_fiber_begin(actor, TRP_CALLBACK_INIT, NULL)
                                          : TROUPE_OK;
}

/* Runs init of a new incarnation. */
static enum outcome start_actor(struct trp_worker *worker, struct troupe_actor *actor)
{
    const struct troupe_behaviour *behaviour = actor->behaviour;
    int status = TROUPE_OK;

    memset(actor->state, 0, behaviour->state_size);
    actor->receive = trp_unlikely(worker->seat.traces) ? trp_seat_receive : behaviour->receive;
    if (trp_unlikely(behaviour->receive_batch != NULL)) {
        actor->receive = trp_batch_receive;
    }
    actor->trap_exit = behaviour->trap_exit;
    trp_actor_set_phase(actor, TRP_PHASE_STARTING);
    if (trp_unlikely(trp_fiber_is_wanted(behaviour))) {
        status = init_on_fiber(actor);
        if (has_left(worker)) {
            return interrupted(worker, actor);
        }
    } else if (behaviour->init != NULL) {
        status = behaviour->init(actor, actor->state, actor->arg);
    }
    return initialised(worker, actor, status);
}

static enum outcome begin_new(struct trp_worker *worker, struct troupe_actor *actor)
{
    return has_signals(actor) && heed_signals(worker, actor) ? end_actor(worker, actor)
                                                             : start_actor(worker, actor);
}

/* What a slice begins with. */
static enum outcome begin_slice(struct trp_worker *worker, struct troupe_actor *actor)
{
    /* relaxed: written by the token's holder, whom we are.  A wish of the supervisor's leads to the same place. */
    switch (atomic_load_explicit(&actor->phase, memory_order_relaxed)) {
    case TRP_PHASE_NEW:
        return begin_new(worker, actor);
    case TRP_PHASE_RUNNING:
        return SLICE_RECEIVE;
    case TRP_PHASE_WAITING:
        return SLICE_RESUME;
    default:
        return SLICE_EXIT;
    }
}

/* The whole of a slice but the exit.  A callback that calls troupe_exit() does not come back here: see unwound(). */
TRP_INLINE enum outcome do_slice(struct trp_worker *worker, struct troupe_actor *actor)
{
    enum outcome outcome = begin_slice(worker, actor);

    for (;;) {
        if (trp_likely(outcome == SLICE_RECEIVE)) {
            outcome = receive_slice(worker, actor);
        }
        if (trp_likely(outcome < SLICE_RECEIVE)) {
            return outcome;
        }
        outcome = resume_slice(worker, actor);
    }
}

/* ---- for wait.c ---- */

struct troupe_message *trp_worker_pop(struct trp_worker *worker, struct troupe_actor *actor)
{
    struct trp_node *spent = NULL;
    struct trp_node *node = trp_mailbox_pop(&actor->mailbox, &actor->head, &spent);

    if (node == NULL) {
        return NULL;
    }
    retire_node(worker, actor, spent);
    worker->handled++;
    return open_message(worker, actor, trp_message_of(node));
}

void trp_worker_count_picked(struct trp_worker *worker, const struct troupe_message *msg)
{
    worker->handled++;
    note_charge(worker, msg);
}

bool trp_worker_conclude(struct trp_worker *worker, int status)
{
    return conclude(worker, status);
}

bool trp_worker_is_spent(struct trp_worker *worker)
{
    /* Nothing yet: it has just begun, or gone on. */
    return worker->handled > 0 && is_spent(worker, worker->slice_began_ns);
}

/* ---- around a slice ---- */

/* Leaves the cell to others, goes on with its exit, or queues it again. */
static void let_go(struct trp_worker *worker, struct troupe_actor *actor, enum outcome outcome)
{
    if (outcome == SLICE_PARKED) {
        return;
    }
    if (outcome == SLICE_PAUSED) {
        /* Handled, and not to be kept for as long. */
        trp_worker_end_head(worker, actor);
    }
    credit(worker, actor);
    actor->current = NULL;
    if (outcome == SLICE_EXIT && trp_exit_continue(&worker->context, actor) == TRP_EXIT_OVER) {
        return;
    }
    actor->context = NULL;
    if (outcome != SLICE_PAUSED || !trp_pause_rest(actor)) {
        enqueue(worker, actor);
    }
}

/* What was handled, but not yet counted. */
TRP_INLINE void count_handled(struct trp_worker *worker)
{
    /* Less than nothing, if what was put aside had been opened by a slice before: then a fiber was left. */
    trp_count(&worker->context.counters.handled, (uint64_t)worker->handled - worker->unhandled);
    worker->handled = 0;
    worker->unhandled = 0;
}

void trp_worker_make_room(struct trp_worker *worker)
{
    credit(worker, worker->context.current);
}

void trp_worker_settle(struct trp_worker *worker)
{
    credit(worker, worker->context.current);
    count_handled(worker);
}

static void beat(struct trp_worker *worker)
{
    /* relaxed: the watchdog compares, no more. */
    atomic_store_explicit(&worker->beats,
        atomic_load_explicit(&worker->beats, memory_order_relaxed) + 1, memory_order_relaxed);
}

static void end_slice(struct trp_worker *worker, struct troupe_actor *actor, enum outcome outcome)
{
    if (trp_unlikely(worker->limit == 0)) {
        worker->refusals++;
        worker->refused++;
    } else {
        worker->refusals = 0;
    }
    let_go(worker, actor, outcome);
    worker->context.current = NULL;
    beat(worker);
    count_handled(worker);
    trp_count(&worker->context.counters.slices, 1);
}

static void run_slice(struct trp_worker *worker, struct troupe_actor *actor)
{
    trp_trace(TRP_TRACE_SLICE, worker->index, actor->serial);
    /* relaxed, all three: for a report of the watchdog's, which may name the slice before. */
    atomic_store_explicit(&worker->behaviour, actor->behaviour->name, memory_order_relaxed);
    atomic_store_explicit(&worker->behaviour_pid,
        atomic_load_explicit(&actor->pid, memory_order_relaxed), memory_order_relaxed);
    beat(worker);
    worker->limit = TRP_SLICE_MESSAGES;
    worker->context.current = actor;
    actor->context = &worker->context;
    end_slice(worker, actor, do_slice(worker, actor));
}

/* The rest of a slice whose callback called troupe_exit(); the reason is set. */
static void unwound(struct trp_worker *worker)
{
    struct troupe_actor *actor = worker->context.current;

    /* If it was in one. */
    trp_callouts = 0;
    trp_batch_end(actor);
    begin_exit(worker, actor);
    end_slice(worker, actor, SLICE_EXIT);
}

/* ---- duties ---- */

static void fire(void *arg, struct trp_timer *timer)
{
    if (trp_unlikely(timer->tick.kind == TRP_MESSAGE_LAPSE)) {
        trp_lease_lapse(arg, timer);
    } else if (trp_unlikely(timer->tick.kind == TRP_MESSAGE_RING)) {
        trp_pause_ring(arg, timer);
    } else {
        trp_send_reserved(arg, timer->owner, &timer->tick);
    }
}

unsigned trp_worker_fire(struct trp_context *context, struct trp_worker *of, uint64_t now_ns)
{
    if (trp_likely(trp_wheel_next(&of->wheel) > now_ns / 1000000U)) {
        return 0;
    }
    return trp_wheel_advance(&of->wheel, now_ns / 1000000U, FIRE_BATCH, fire, context);
}

void trp_worker_take_returned(struct trp_worker *worker)
{
    struct trp_stack_entry *entry;

    if (trp_stack_is_empty(&worker->returned)) {
        return;
    }
    entry = trp_stack_take(&worker->returned);
    while (entry != NULL) {
        struct trp_stack_entry *next = entry->next;

        trp_exit_take_bundle(&worker->context, entry);
        entry = next;
    }
}

/* Looks at the poller without waiting, unless somebody else does.  Whether anything was ready. */
static bool poll_now(struct trp_worker *worker)
{
    struct troupe_runtime *runtime = worker->runtime;
    bool found;

    if (!trp_poller_has_ios(runtime->poller) || trp_park_polls(&runtime->park) ||
        /* acquire, release below: one thread at a time is in the poller. */
        atomic_exchange_explicit(&runtime->polling, true, memory_order_acquire)) {
        return false;
    }
    found = trp_poller_wait(runtime->poller, &worker->context, 0) > 0;
    atomic_store_explicit(&runtime->polling, false, memory_order_release);
    worker->polled_ns = worker->now_ns;
    return found;
}

/* Moves injected slots into the own queue.  Whether there were any. */
static bool take_injected(struct trp_worker *worker)
{
    struct troupe_actor *taken[TAKE_BATCH];
    struct trp_inject *inject_queue = &worker->runtime->inject;
    uint32_t room = TRP_RUNQ_SLOTS - trp_runq_length(&worker->runq);
    unsigned shard =
        trp_choose(TRP_CHOOSE_SHARD, inject_queue->count, worker->index % inject_queue->count);
    unsigned count =
        trp_inject_take(inject_queue, shard, taken, room < TAKE_BATCH ? room : TAKE_BATCH);

    for (unsigned i = 0; i < count; i++) {
        enqueue(worker, taken[i]);
    }
    return count > 0;
}

/* The average slice.  If slices are short, those that were refused do not count: elsewhere they would be refused as
 * well. */
static void average_slice(struct trp_worker *worker, uint64_t now_ns)
{
    /* relaxed: only we and the watchdog write it.  PAIR worker.slice_ns. */
    uint64_t slice_ns = atomic_load_explicit(&worker->slice_ns, memory_order_relaxed);
    uint64_t mean_ns = (now_ns - worker->tick_ns) / DUTY_SLICES;

    if (mean_ns < STEAL_COST_NS) {
        mean_ns = mean_ns * (DUTY_SLICES - worker->refused) / DUTY_SLICES;
    }
    set_slice(worker, (slice_ns * 3 + mean_ns) / 4);
    worker->tick_ns = now_ns;
    worker->slices = 0;
    worker->refused = 0;
}

/* Every few slices: the clock, the average slice, timers, cells, I/O, and others that might help. */
static void do_duties(struct trp_worker *worker)
{
    uint64_t now_ns = trp_port_now_ns();

    worker->rounds++;
    average_slice(worker, now_ns);
    worker->now_ns = now_ns;
    trp_reclaim_quiescent();
    trp_worker_fire(&worker->context, worker, now_ns);
    trp_worker_take_returned(worker);
    trp_exit_flush(&worker->context, false);
    if (worker->rounds % INJECT_ROUNDS == 0) {
        (void)take_injected(worker);
    }
    if (has_pinned(worker)) {
        take_arrived(worker);
    }
    if (now_ns - worker->polled_ns >= POLL_NS) {
        worker->polled_ns = now_ns;
        (void)poll_now(worker);
    }
    consider_wake(worker);
}

/* ---- finding work ---- */

/* From the LIFO slot, a few times in a row, then from the queue. */
TRP_INLINE struct troupe_actor *next_own(struct trp_worker *worker)
{
    /* relaxed: a look; the swap decides. */
    bool has_lifo = atomic_load_explicit(&worker->lifo, memory_order_relaxed) != NULL;
    struct troupe_actor *actor = NULL;

    /* Every second one, if there are any. */
    if (trp_unlikely(worker->pinned_first != NULL) && worker->slices % 2 == 0) {
        return next_pinned(worker);
    }
    if (has_lifo && trp_choose(TRP_CHOOSE_LIFO, 2, worker->lifo_runs < TRP_LIFO_RUNS)) {
        actor = lifo_swap(worker, NULL);
        worker->lifo_runs++;
    }
    if (actor == NULL) {
        worker->lifo_runs = 0;
        actor = trp_runq_pop(&worker->runq);
    }
    if (actor == NULL && has_lifo) {
        actor = lifo_swap(worker, NULL);
    }
    return actor == NULL && has_pinned(worker) ? next_pinned(worker) : actor;
}

/* Whether what is queued there waits longer than it costs to move it: actors with little to do are better off where
 * their messages are.  Of a worker that is in one slice for long the watchdog says so. */
static bool is_worth_stealing(const struct trp_worker *victim)
{
    return trp_choose(TRP_CHOOSE_STEAL, 2, backlog_ns(victim) >= STEAL_COST_NS) != 0;
}

static struct troupe_actor *steal(struct trp_worker *worker)
{
    struct troupe_runtime *runtime = worker->runtime;
    unsigned count = trp_runtime_running(runtime);
    unsigned first = trp_choose(
        TRP_CHOOSE_VICTIM, count, (unsigned)(trp_context_random(&worker->context) % count));

    for (unsigned i = 0; i < count; i++) {
        struct trp_worker *victim = runtime->workers[(first + i) % count];
        uint32_t stolen = 0;
        struct troupe_actor *actor;

        if (victim == worker || !is_worth_stealing(victim)) {
            continue;
        }
        actor = trp_runq_steal(&victim->runq, &worker->runq, &stolen);
        if (actor != NULL) {
            trp_count(&worker->context.counters.steals, stolen);
            return actor;
        }
    }
    return NULL;
}

/* Timers of others that are overdue: their worker is busy with something long. */
static bool fire_for_others(struct trp_worker *worker)
{
    struct troupe_runtime *runtime = worker->runtime;
    unsigned count = trp_runtime_running(runtime);
    unsigned fired = 0;

    for (unsigned i = 0; i < count; i++) {
        if (runtime->workers[i] != worker) {
            fired += trp_worker_fire(&worker->context, runtime->workers[i], worker->now_ns);
        }
    }
    return fired > 0;
}

/* One round through everything that is not one's own. */
static struct troupe_actor *search(struct trp_worker *worker)
{
    struct troupe_actor *actor;

    if (take_injected(worker)) {
        return trp_runq_pop(&worker->runq);
    }
    actor = steal(worker);
    if (actor == NULL && fire_for_others(worker)) {
        actor = next_own(worker);
    }
    return actor;
}

static void stop_searching(struct trp_worker *worker)
{
    struct troupe_runtime *runtime = worker->runtime;

    if (worker->mode != TRP_WORKER_SEARCHING) {
        return;
    }
    worker->mode = TRP_WORKER_RUNNING;
    worker->spins = 0;
    if (trp_park_found(&runtime->park)) {
        /* Nobody searches any more: what was submitted meanwhile relied on somebody who did. */
        if (!trp_inject_is_empty(&runtime->inject)) {
            (void)trp_park_wake(&runtime->park);
        }
        consider_wake(worker);
    }
}

/* Whether any queue holds work for us: the second look before sleeping. */
static bool is_work_left(struct troupe_runtime *runtime)
{
    unsigned count = trp_runtime_running(runtime);

    if (!trp_inject_is_empty(&runtime->inject)) {
        return true;
    }
    for (unsigned i = 0; i < count; i++) {
        if (!trp_runq_is_empty(&runtime->workers[i]->runq) &&
            backlog_ns(runtime->workers[i]) >= STEAL_COST_NS) {
            return true;
        }
    }
    return false;
}

/* A spare that is retired stays as long as it has timers, since when all others sleep nobody looks at its wheel, and as
 * long as actors must go on there: their home is its index, and no other thread may resume them.
 *
 * So none of them is ever left alone.  Only we, between two slices, ask here, and only slices of ours change `suspended`: it
 * cannot become more than 0 after we asked.  An actor whose home is a spare (pinned ones never have) is counted there as long as
 * it has, so once it is 0 nobody can send us one through arrive(): `pinned_first` and `arrived` are empty.  While it is not 0 we
 * sleep and are woken as any worker, also to steal, so that such a spare is a worker more: at worst it has taken up a main
 * function that waits until the runtime stops, and stays until then.  The watchdog counts it among its spares (worker_max).
 *
 * `stop` comes when all actors have ended. */
static bool is_told_to_stop(const struct trp_worker *worker)
{
    /* seq_cst: after registering as parked.  PAIR runtime.stop.
     * relaxed: `retire` is set before a nudge, which takes the park lock, as we did. */
    return atomic_load_explicit(&worker->runtime->stop, memory_order_seq_cst) ||
           (atomic_load_explicit(&worker->retire, memory_order_relaxed) &&
               trp_wheel_next(&worker->wheel) == TRP_NEVER && worker->host.suspended == 0);
}

/* Registers as parked and looks once more.  True: sleep. */
static bool park(struct trp_worker *worker)
{
    struct troupe_runtime *runtime = worker->runtime;

    trp_exit_flush(&worker->context, true);
    trp_pool_trim(&worker->context.pool);
    worker->event_value = trp_event_value(&worker->event);
    worker->polls =
        trp_park_enter(&runtime->park, worker, worker->mode == TRP_WORKER_SEARCHING, true);
    worker->mode = TRP_WORKER_PARKED;
    worker->spins = 0;
    /* seq_cst, in is_work_left(): after we have registered.  PAIR park.publish: schedule_at_home(). */
    return !is_work_left(runtime) && !has_pinned(worker) && trp_stack_is_empty(&worker->returned) &&
           !is_told_to_stop(worker);
}

/* Back from parking, however it ended. */
static void unpark(struct trp_worker *worker)
{
    bool woken = trp_park_leave(&worker->runtime->park, worker);

    worker->polls = false;
    worker->now_ns = trp_port_now_ns();
    worker->tick_ns = worker->now_ns;
    worker->slices = 0;
    worker->refused = 0;
    worker->mode = woken ? TRP_WORKER_SEARCHING : TRP_WORKER_RUNNING;
    if (woken) {
        trp_count(&worker->context.counters.wakes, 1);
    }
    trp_watchdog_rouse(worker->runtime);
    trp_worker_fire(&worker->context, worker, worker->now_ns);
    trp_worker_take_returned(worker);
}

/* Whether another worker runs that may soon have something to steal. */
static bool is_worth_searching(struct trp_worker *worker)
{
    struct troupe_runtime *runtime = worker->runtime;
    unsigned running = trp_runtime_running(runtime);

    return worker->spins < SEARCH_ROUNDS && running > 1 + trp_park_parked(&runtime->park);
}

/* It sleeps now, until its first timer is due. */
static void sleep_until_due(struct trp_worker *worker, uint64_t *out_until_ns)
{
    trp_count(&worker->context.counters.parks, 1);
    *out_until_ns = trp_wheel_next(&worker->wheel);
    if (*out_until_ns != TRP_NEVER) {
        *out_until_ns *= 1000000U;
    }
}

/* Nothing is queued here: searches, and in the end parks. */
static enum trp_step look_around(struct trp_worker *worker, uint64_t *out_until_ns)
{
    if (worker->mode == TRP_WORKER_RUNNING && trp_park_search(&worker->runtime->park)) {
        worker->mode = TRP_WORKER_SEARCHING;
    }
    if (worker->mode == TRP_WORKER_SEARCHING) {
        struct troupe_actor *actor = search(worker);

        if (actor != NULL) {
            stop_searching(worker);
            run_slice(worker, actor);
            return TRP_STEP_RAN;
        }
        if (is_worth_searching(worker)) {
            worker->spins++;
            trp_port_pause();
            trp_reclaim_quiescent();
            return TRP_STEP_RAN;
        }
    }
    if (!park(worker)) {
        /* Perhaps somebody was woken to do it, and needs this processor to begin. */
        trp_port_yield();
        return TRP_STEP_RAN;
    }
    sleep_until_due(worker, out_until_ns);
    return TRP_STEP_IDLE;
}

static void leave_for_good(struct trp_worker *worker)
{
    struct troupe_actor *left;

    /* First: what raced into a cell may make somebody runnable. */
    trp_worker_take_returned(worker);
    left = lifo_swap(worker, NULL);
    if (left == NULL) {
        left = trp_runq_pop(&worker->runq);
    }
    if (worker->mode == TRP_WORKER_SEARCHING) {
        worker->mode = TRP_WORKER_RUNNING;
        (void)trp_park_found(&worker->runtime->park);
    }
    /* What is still queued here (the runtime stops with actors that do not end, or a spare retires) goes to where also
     * workers look that always have something to do: those never steal. */
    while (left != NULL) {
        inject(worker->runtime, worker->index, left);
        left = trp_runq_pop(&worker->runq);
    }
    trp_exit_flush(&worker->context, true);
    trp_pool_trim(&worker->context.pool);
    trp_fiber_leave_host(worker);
    trp_park_part(&worker->runtime->park);
    /* Whoever saw us search, or took us off the list, relies on it: after our search has ended we look once more, as
     * one that parks does.  And if we slept in the poller, somebody must do so in our place. */
    if (is_work_left(worker->runtime) || !trp_park_polls(&worker->runtime->park)) {
        (void)trp_park_wake(&worker->runtime->park);
    }
    /* release: all we did; our thread is about to end.  PAIR worker.gone: trp_runtime_start_spare(). */
    atomic_store_explicit(&worker->gone, true, memory_order_release);
}

/* Everybody here was refused by actors that run elsewhere: gives those some peace. */
static void back_off(struct trp_worker *worker)
{
    worker->refusals = 0;
    for (unsigned i = 0; i < REFUSED_PAUSES; i++) {
        trp_port_pause();
    }
}

static enum trp_step step(struct trp_worker *worker, uint64_t *out_until_ns)
{
    struct troupe_actor *actor;

    if (worker->mode == TRP_WORKER_PARKED) {
        unpark(worker);
    }
    if (trp_unlikely(is_told_to_stop(worker))) {
        leave_for_good(worker);
        return TRP_STEP_STOP;
    }
    if (++worker->slices >= DUTY_SLICES) {
        do_duties(worker);
    }
    if (trp_unlikely(worker->refusals > 1) && worker->refusals > trp_runq_length(&worker->runq)) {
        back_off(worker);
    }
    actor = next_own(worker);
    if (actor == NULL) {
        return look_around(worker, out_until_ns);
    }
    stop_searching(worker);
    run_slice(worker, actor);
    return TRP_STEP_RAN;
}

/* A step of a thread actor's worker, where nobody but that one ever has anything to do.  No wake-up is lost: the event is read
 * first, and moved on last by whoever brings something. */
static enum trp_step step_alone(struct trp_worker *worker, uint64_t *out_until_ns)
{
    struct troupe_actor *actor;

    worker->event_value = trp_event_value(&worker->event);
    worker->now_ns = trp_port_now_ns();
    trp_reclaim_quiescent();
    (void)trp_worker_fire(&worker->context, worker, worker->now_ns);
    actor = next_pinned(worker);
    if (actor != NULL) {
        run_slice(worker, actor);
        return TRP_STEP_RAN;
    }
    trp_exit_flush(&worker->context, true);
    trp_pool_trim(&worker->context.pool);
    if (trp_thread_is_dismissed(worker)) {
        trp_fiber_leave_host(worker);
        return TRP_STEP_STOP;
    }
    sleep_until_due(worker, out_until_ns);
    return TRP_STEP_IDLE;
}

/* Not inlined into trp_worker_run(): what calls setjmp keeps nothing in registers. */
static TRP_NOINLINE enum trp_step run_steps(struct trp_worker *worker, uint64_t *out_until_ns)
{
    enum trp_step last = TRP_STEP_RAN;

    while (trp_unlikely(trp_worker_is_alone(worker)) && worker->steps > 0 && last == TRP_STEP_RAN) {
        worker->steps--;
        last = step_alone(worker, out_until_ns);
    }
    while (worker->steps > 0 && last == TRP_STEP_RAN) {
        worker->steps--;
        last = step(worker, out_until_ns);
    }
    return last;
}

void trp_worker_begin(struct trp_worker *worker)
{
    worker->now_ns = trp_port_now_ns();
    worker->tick_ns = worker->now_ns;
    worker->slices = 0;
    worker->refused = 0;
}

enum trp_step trp_worker_run(struct trp_worker *worker, uint32_t steps, uint64_t *out_until_ns)
{
    struct trp_worker *outer = current_worker;
    enum trp_step last;
    jmp_buf here;

    current_worker = worker;
    worker->steps = steps;
    worker->unwind = &here;
    if (_setjmp(here) != 0) {
        unwound(worker);
    }
    last = run_steps(worker, out_until_ns);
    worker->unwind = NULL;
    current_worker = outer;
    return last;
}

/* ---- sleeping ---- */

static int timeout_ms(uint64_t until_ns)
{
    uint64_t now_ns;
    uint64_t ms;

    if (until_ns == TRP_NEVER) {
        return TROUPE_FOREVER;
    }
    now_ns = trp_port_now_ns();
    if (until_ns <= now_ns) {
        return 0;
    }
    ms = (until_ns - now_ns + 999999U) / 1000000U;
    return ms < INT32_MAX ? (int)ms : INT32_MAX;
}

/* Whether somebody woke the worker since it registered as parked. */
static bool is_woken(const struct trp_worker *worker)
{
    return trp_event_value(&worker->event) != worker->event_value;
}

/* One thread at a time is in the poller, also beside a worker that only looks.  Whoever is in it takes wake-ups out that
 * are meant for the next one, who therefore asks its own event count first, once nobody else can be in it. */
static void sleep_in_poller(struct trp_worker *worker, uint64_t until_ns)
{
    struct troupe_runtime *runtime = worker->runtime;
    int wait_ms;

    /* acquire, release below: one thread at a time is in the poller. */
    if (atomic_exchange_explicit(&runtime->polling, true, memory_order_acquire)) {
        /* Somebody looks just now, and will be done in a moment. */
        trp_port_yield();
        return;
    }
    wait_ms = is_woken(worker) ? 0 : timeout_ms(until_ns);
    current_worker = worker;
    (void)trp_poller_wait(runtime->poller, &worker->context, wait_ms);
    current_worker = NULL;
    atomic_store_explicit(&runtime->polling, false, memory_order_release);
}

void trp_worker_sleep(struct trp_worker *worker, uint64_t until_ns)
{
    if (worker->polls) {
        sleep_in_poller(worker, until_ns);
        return;
    }
    trp_reclaim_leave(true);
    trp_event_wait(&worker->event, worker->event_value, until_ns);
    (void)trp_reclaim_enter();
}

void trp_worker_wake(struct trp_worker *worker, bool polls)
{
    trp_event_wake(&worker->event);
    if (polls) {
        trp_poller_wake(worker->runtime->poller);
    }
}
