/* SPDX-License-Identifier: MIT */
/*
 * worker.c - one step of a worker: find an actor, run a slice of it; or search; or park.
 *
 * Read step() first, then run_slice(), which is the life of a message on this side.
 */
#include "worker.h"

#include <string.h>

#include "core.h"
#include "exit.h"
#include "runtime.h"
#include "seam.h"
#include "send.h"

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

void trp_worker_init(struct trp_worker *worker, struct troupe_runtime *runtime, unsigned index)
{
    memset(worker, 0, sizeof *worker);
    worker->context.runtime = runtime;
    worker->context.worker = worker;
    trp_pool_init(&worker->context.pool, &runtime->memory);
    worker->runtime = runtime;
    worker->index = index;
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

/* To the end of the queue; what does not fit goes to where everybody looks. */
static void enqueue(struct trp_worker *worker, struct troupe_actor *actor)
{
    if (!trp_runq_push(&worker->runq, actor)) {
        inject(worker->runtime, worker->index, actor);
    }
}

void trp_worker_schedule(struct trp_context *context, struct troupe_actor *actor)
{
    struct trp_worker *worker = context->worker;
    struct troupe_actor *displaced;

    if (worker == NULL) {
        unsigned shard = (unsigned)(trp_container_of(context, struct trp_shard, context) -
                                    context->runtime->shards);

        inject(context->runtime, shard, actor);
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
static void credit(struct trp_worker *worker, struct troupe_actor *actor)
{
    if (worker->charged > 0) {
        trp_charge_give(&actor->charge, worker->charged, worker->charged_bytes);
        worker->charged = 0;
        worker->charged_bytes = 0;
        /* relaxed: a waiter that we miss here has not seen our room either, looks again after it registered, or is
         * seen at the next credit or after parking.  See send.c. */
        if (trp_unlikely(atomic_load_explicit(&actor->waiting, memory_order_relaxed) != 0)) {
            trp_send_admit(actor, false);
        }
    }
}

void trp_worker_retire(
    struct trp_context *context, struct troupe_actor *actor, struct troupe_message *msg, int status)
{
    switch (msg->kind) {
    case TRP_MESSAGE_TICK:
        trp_tick_retire(context, actor, msg);
        return;
    case TRP_MESSAGE_READY:
        trp_io_retire(context, actor, msg);
        return;
    case TRP_MESSAGE_TIMEOUT:
    case TRP_MESSAGE_NOTICE:
        trp_hooks.retire(context, actor, msg);
        return;
    default:
        trp_message_empty(msg);
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

/* Whether a block needs its owner's token to be retired: everything but what pools hold. */
static bool is_owned(const struct troupe_message *msg)
{
    return msg->kind != TRP_MESSAGE_PLAIN && msg->kind != TRP_MESSAGE_REPLY;
}

static int receive(struct troupe_actor *actor, struct troupe_message *msg)
{
    int status;

    if (trp_likely(msg->kind == TRP_MESSAGE_PLAIN)) {
        return actor->receive(actor, actor->state, msg);
    }
    switch (msg->kind) {
    case TRP_MESSAGE_TICK:
        status = trp_tick_open(actor, msg) ? TRP_OPEN_DELIVER : TROUPE_OK;
        break;
    case TRP_MESSAGE_READY:
        status = trp_io_open(actor, msg) ? TRP_OPEN_DELIVER : TROUPE_OK;
        break;
    default:
        status = trp_hooks.open(actor, msg);
    }
    if (status == TRP_OPEN_LATE) {
        /* Another column of the books. */
        actor->context->worker->handled--;
        trp_count(&actor->context->counters.dead, 1);
        trp_count(&actor->context->counters.late, 1);
        return TROUPE_OK;
    }
    return status == TRP_OPEN_DELIVER ? actor->receive(actor, actor->state, msg) : status;
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

/* The rarer things that a callback may return. */
static TRP_NOINLINE bool conclude_other(struct trp_worker *worker, int status)
{
    switch (status) {
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
        return true;
    }
}

/* What a callback returned.  True: the actor ends, the reason is set. */
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

/* The node popped next becomes current; counts it. */
static struct troupe_message *open_node(
    struct trp_worker *worker, struct troupe_actor *actor, struct trp_node *node)
{
    struct troupe_message *msg = trp_message_of(node);

    if (msg->flags & TRP_MESSAGE_CHARGED) {
        worker->charged++;
        worker->charged_bytes += trp_message_weight(msg);
    }
    actor->current = msg;
    actor->taken = false;
    trp_trace(TRP_TRACE_MESSAGE, msg->kind, msg->sender);
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
    /* The message handled last went without an answer; those dropped from here on die with the actor. */
    int status = TROUPE_EUNANSWERED;

    for (;;) {
        struct trp_node *spent = NULL;
        struct trp_node *node = trp_mailbox_pop(&actor->mailbox, &actor->head, &spent);
        struct troupe_message *msg;

        trp_assert(node != NULL);
        if (spent != NULL) {
            trp_worker_retire(&worker->context, actor, trp_message_of(spent), status);
        }
        status = TROUPE_EDIED;
        msg = open_node(worker, actor, node);
        if (msg->kind == TRP_MESSAGE_NOTICE && trp_hooks.condemns(actor, msg)) {
            int opened = trp_hooks.open(actor, msg);

            trp_assert(opened == TRP_OPEN_EXIT);
            worker->handled++;
            return;
        }
        trp_exit_count_dropped(&worker->context, msg);
        if (!is_owned(msg)) {
            trp_message_empty(msg);
        }
    }
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
    /* acq_rel: a bit that was set again meanwhile came after its message, which is_condemned() sees.
     * PAIR actor.signals. */
    atomic_fetch_and_explicit(&actor->signals, ~(uint32_t)TRP_SIGNAL_EXIT, memory_order_acq_rel);
    if ((signals & TRP_SIGNAL_EXIT) && !actor->trap_exit && is_condemned(actor)) {
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

/* Runs init of a new incarnation.  True: it receives from now on. */
static bool start_actor(struct trp_worker *worker, struct troupe_actor *actor)
{
    const struct troupe_behaviour *behaviour = actor->behaviour;
    int status = TROUPE_OK;

    memset(actor->state, 0, behaviour->state_size);
    actor->receive = behaviour->receive;
    actor->trap_exit = behaviour->trap_exit;
    trp_actor_set_phase(actor, TRP_PHASE_STARTING);
    if (behaviour->init != NULL) {
        status = behaviour->init(actor, actor->state, actor->arg);
    }
    if (status < 0) {
        set_failure(worker, status);
        begin_exit(worker, actor);
        return false;
    }
    trp_actor_set_phase(actor, TRP_PHASE_RUNNING);
    trp_hooks.started(actor);
    if (conclude(worker, status)) {
        begin_exit(worker, actor);
        return false;
    }
    return true;
}

enum outcome {
    SLICE_PARKED, /* the token is gone */
    SLICE_AGAIN,  /* queue the slot again */
    SLICE_EXIT,   /* the actor is in phase EXITING */
};

/* Nothing was found to pop: parks, or finds out why not.  True: *out says how the slice ends. */
static bool pause_slice(struct trp_worker *worker, struct troupe_actor *actor, enum outcome *out)
{
    struct trp_node *spent = NULL;

    trp_switch();
    credit(worker, actor);
    actor->current = NULL;
    if (actor->head != &actor->mailbox.stub && is_owned(trp_message_of(actor->head))) {
        /* Needs the token to be retired: take it out of the list first. */
        if (trp_mailbox_detach(&actor->mailbox, &actor->head, &spent)) {
            retire_node(worker, actor, spent);
        }
        spent = NULL;
    }
    if (trp_mailbox_park(&actor->mailbox, &actor->head, &spent)) {
        retire_node(worker, actor, spent);
        trp_switch();
        /* seq_cst: after the swap that set PARKED; whoever set a signal, or registered to wait for room, before
         * clearing PARKED or looking at it, is seen here.  PAIR actor.signals, PAIR actor.waiting. */
        if (atomic_load_explicit(&actor->waiting, memory_order_seq_cst) != 0) {
            trp_send_admit(actor, true);
        }
        if (atomic_load_explicit(&actor->signals, memory_order_seq_cst) == 0 ||
            !trp_mailbox_unpark(&actor->mailbox)) {
            *out = SLICE_PARKED;
            return true;
        }
        /* Another worker may have run it since it was parked. */
        actor->context = &worker->context;
        return false;
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

static enum outcome receive_slice(struct trp_worker *worker, struct troupe_actor *actor)
{
    uint64_t begin_ns = worker->now_ns;
    enum outcome outcome;

    worker->limit = 1 + trp_choose(TRP_CHOOSE_SLICE, TRP_SLICE_MESSAGES, TRP_SLICE_MESSAGES - 1);
    for (;;) {
        struct trp_node *spent = NULL;
        struct trp_node *node;

        if (trp_unlikely(has_signals(actor)) && heed_signals(worker, actor)) {
            begin_exit(worker, actor);
            return SLICE_EXIT;
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
        if (conclude(worker, receive(actor, open_node(worker, actor, node)))) {
            begin_exit(worker, actor);
            return SLICE_EXIT;
        }
        if (trp_unlikely(is_spent(worker, begin_ns))) {
            return SLICE_AGAIN;
        }
    }
}

/* The whole of a slice but the exit.  A callback that calls troupe_exit() does not come back here: see unwound(). */
static enum outcome begin_slice(struct trp_worker *worker, struct troupe_actor *actor)
{
    /* relaxed: written by the token's holder, whom we are.  A wish of the supervisor's leads to the same place. */
    switch (atomic_load_explicit(&actor->phase, memory_order_relaxed)) {
    case TRP_PHASE_NEW:
        if (has_signals(actor) && heed_signals(worker, actor)) {
            begin_exit(worker, actor);
            return SLICE_EXIT;
        }
        if (!start_actor(worker, actor)) {
            return SLICE_EXIT;
        }
        break;
    case TRP_PHASE_RUNNING:
        break;
    default:
        return SLICE_EXIT;
    }
    return receive_slice(worker, actor);
}

/* Leaves the cell to others, goes on with its exit, or queues it again. */
static void let_go(struct trp_worker *worker, struct troupe_actor *actor, enum outcome outcome)
{
    if (outcome == SLICE_PARKED) {
        return;
    }
    credit(worker, actor);
    actor->current = NULL;
    if (outcome == SLICE_EXIT && trp_exit_continue(&worker->context, actor) == TRP_EXIT_OVER) {
        return;
    }
    actor->context = NULL;
    enqueue(worker, actor);
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
    trp_count(&worker->context.counters.handled, worker->handled);
    trp_count(&worker->context.counters.slices, 1);
    worker->handled = 0;
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
    end_slice(worker, actor, begin_slice(worker, actor));
}

/* The rest of a slice whose callback called troupe_exit(); the reason is set. */
static void unwound(struct trp_worker *worker)
{
    struct troupe_actor *actor = worker->context.current;

    begin_exit(worker, actor);
    end_slice(worker, actor, SLICE_EXIT);
}

/* ---- duties ---- */

static void fire(void *arg, struct trp_timer *timer)
{
    trp_send_reserved(arg, timer->owner, &timer->tick);
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
    if (now_ns - worker->polled_ns >= POLL_NS) {
        worker->polled_ns = now_ns;
        (void)poll_now(worker);
    }
    consider_wake(worker);
}

/* ---- finding work ---- */

/* From the LIFO slot, a few times in a row, then from the queue. */
static struct troupe_actor *next_own(struct trp_worker *worker)
{
    /* relaxed: a look; the swap decides. */
    bool has_lifo = atomic_load_explicit(&worker->lifo, memory_order_relaxed) != NULL;
    struct troupe_actor *actor = NULL;

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
    return actor;
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

/* A spare that is retired stays as long as it has timers: when all others sleep nobody looks at its wheel. */
static bool is_told_to_stop(const struct trp_worker *worker)
{
    /* seq_cst: after registering as parked.  PAIR runtime.stop.
     * relaxed: `retire` is set before a nudge, which takes the park lock, as we did. */
    return atomic_load_explicit(&worker->runtime->stop, memory_order_seq_cst) ||
           (atomic_load_explicit(&worker->retire, memory_order_relaxed) &&
               trp_wheel_next(&worker->wheel) == TRP_NEVER);
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
    return !is_work_left(runtime) && trp_stack_is_empty(&worker->returned) &&
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
    trp_count(&worker->context.counters.parks, 1);
    *out_until_ns = trp_wheel_next(&worker->wheel);
    if (*out_until_ns != TRP_NEVER) {
        *out_until_ns *= 1000000U;
    }
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

/* Not inlined into trp_worker_run(): what calls setjmp keeps nothing in registers. */
static TRP_NOINLINE enum trp_step run_steps(struct trp_worker *worker, uint64_t *out_until_ns)
{
    enum trp_step last = TRP_STEP_RAN;

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
