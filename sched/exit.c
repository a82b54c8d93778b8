/* SPDX-License-Identifier: MIT */
/*
 * exit.c - the ten steps of dying.
 *
 *    1  the reason is fixed; the first one stands           trp_exit_begin()
 *    2  the actor's code has stopped: its slice is here
 *    3  terminate, deferred cleanups, destroy, the arena
 *    4  SEAL      no pid leads here any more
 *    5  DRAIN     queued messages end: requests are answered, others are dead letters
 *    6  CANCEL    timers, descriptors, calls it waits for
 *    7  RELEASE   its names are free
 *    8  NOTIFY    nobody can begin to watch it,
 *    9            and whoever did is told
 *   10  BURY      the cell goes to its grace period
 *
 * Steps 5, 8 and 9 do TRP_EXIT_BUDGET things at a time, so that a million links do not hold a worker.  None of them
 * allocates.  With keep_mailbox steps 4, 5, 7 and 10 are left out: see `phase` in actor.h.
 *
 * The seal is the pid: a sender that found the cell before step 4 may still push after step 5.  It did so
 * inside a read section, so after the grace period everything that raced in is there, and is disposed of then.
 *
 * Model: test/model/close.pml.  Interleavings: test/explore/part_table.c, part_monitor.c.
 */
#include "exit.h"

#include "core.h"
#include "runtime.h"
#include "send.h"
#include "worker.h"

enum step {
    STEP_SEAL,
    STEP_DRAIN,
    STEP_SPEND, /* of 5, what also an actor that keeps its mailbox does: end the message it was handling */
    STEP_CANCEL,
    STEP_RELEASE,
    STEP_NOTIFY,
    STEP_BURY,
};

/* A bundle of zombies lives in the first one's state while it waits for its grace period. */
struct bundle {
    struct trp_stack_entry entry;
    struct trp_reclaim reclaim;
    struct trp_worker *worker; /* whom it comes back to */
    struct troupe_actor *first;
};

static_assert(sizeof(struct bundle) <= TRP_STATE_INLINE, "fits where the state was");

static struct trp_last *last_of(struct troupe_actor *actor)
{
    return (struct trp_last *)(void *)actor->inline_state;
}

static enum trp_phase phase_of(const struct troupe_actor *actor)
{
    /* relaxed: written by the token's holder, whom the caller is, but for the two wishes. */
    return atomic_load_explicit(&actor->phase, memory_order_relaxed);
}

static void drop_reason(struct trp_worker *worker)
{
    if (worker->has_reason) {
        troupe_buffer_release(worker->reason.text);
        worker->has_reason = false;
    }
}

/* ---- steps 1 to 3: in the actor's slice ---- */

/* Each callback on its own: troupe_exit() inside one ends just that one. */
static void terminate(
    struct trp_worker *worker, struct troupe_actor *actor, const struct troupe_reason *reason)
{
    jmp_buf *outer = worker->unwind;
    jmp_buf here;

    worker->unwind = &here;
    if (actor->behaviour->terminate != NULL && _setjmp(here) == 0) {
        actor->behaviour->terminate(actor, actor->state, reason);
    }
    worker->unwind = outer;
    drop_reason(worker);
}

static void run_defer(struct trp_worker *worker, const struct trp_defer *defer)
{
    jmp_buf *outer = worker->unwind;
    jmp_buf here;

    worker->unwind = &here;
    if (_setjmp(here) == 0) {
        defer->fn(defer->arg);
    }
    worker->unwind = outer;
    drop_reason(worker);
}

static void run_defers(struct trp_worker *worker, struct trp_extra *extra)
{
    while (extra->defers != NULL) {
        struct trp_defer *defer = extra->defers;

        extra->defers = defer->next;
        run_defer(worker, defer);
    }
}

static void destroy(struct trp_worker *worker, struct troupe_actor *actor)
{
    jmp_buf *outer = worker->unwind;
    jmp_buf here;

    worker->unwind = &here;
    if (actor->behaviour->destroy != NULL && _setjmp(here) == 0) {
        actor->behaviour->destroy(actor->state);
    }
    worker->unwind = outer;
    drop_reason(worker);
}

static void report_failure(struct troupe_actor *actor, const struct troupe_reason *reason)
{
    const char *text = troupe_reason_text(reason);

    if (reason->kind == TROUPE_EXIT_ERROR) {
        trp_report(actor->runtime, TROUPE_REPORT_FAILURE, trp_actor_pid(actor),
            actor->behaviour->name, "failed with error %d (%s)%s%s", reason->code,
            troupe_strerror(reason->code), text[0] != '\0' ? ": " : "", text);
    } else {
        trp_report(actor->runtime, TROUPE_REPORT_FAILURE, trp_actor_pid(actor),
            actor->behaviour->name, "ended with reason %s", troupe_exit_name(reason->kind));
    }
}

void trp_exit_begin(
    struct trp_worker *worker, struct troupe_actor *actor, const struct troupe_reason *reason)
{
    struct trp_extra *extra;
    enum trp_phase phase = phase_of(actor);

    trp_actor_set_phase(actor, TRP_PHASE_EXITING);
    if (phase == TRP_PHASE_RUNNING && reason->kind != TROUPE_EXIT_KILLED) {
        terminate(worker, actor, reason);
    }
    extra = trp_actor_extra(actor);
    if (extra != NULL) {
        run_defers(worker, extra);
    }
    if (phase != TRP_PHASE_NEW) {
        destroy(worker, actor);
    }
    /* Looked up again: terminate or destroy may have made it. */
    extra = trp_actor_extra(actor);
    if (extra != NULL) {
        trp_arena_free(&extra->arena, &actor->runtime->memory);
    }
    if (!troupe_reason_is_clean(reason)) {
        trp_count(&worker->context.counters.failures, 1);
        report_failure(actor, reason);
    }
    last_of(actor)->reason = *reason;
    last_of(actor)->step = actor->keep_mailbox ? STEP_SPEND : STEP_SEAL;
}

/* ---- steps 4 and 5 ---- */

static void seal(struct troupe_actor *actor)
{
    /* seq_cst: must not pass our look at `waiting`; a waiter registers, then looks at the pid.  One of the two sees the
     * other.  PAIR actor.waiting. */
    atomic_store_explicit(&actor->pid, TROUPE_NOBODY, memory_order_seq_cst);
    if (atomic_load_explicit(&actor->waiting, memory_order_seq_cst) != 0) {
        trp_send_release_waiters(actor);
    }
}

void trp_exit_count_dropped(struct trp_context *context, const struct troupe_message *msg)
{
    if (msg->flags & TRP_MESSAGE_REQUEST) {
        trp_count(&context->counters.bounced, 1);
    } else {
        trp_count(&context->counters.dead, 1);
    }
}

static void report_dead_letters(struct troupe_actor *actor, unsigned count)
{
    trp_report(actor->runtime, TROUPE_REPORT_DEAD_LETTERS, trp_actor_pid(actor),
        actor->behaviour->name, "%u message%s reached an actor that had ended", count,
        count == 1 ? "" : "s");
}

/* Takes the head out of the list and ends it.  False: in the gap, try again later. */
static bool spend(struct trp_context *context, struct troupe_actor *actor)
{
    struct trp_node *spent = NULL;

    if (!trp_mailbox_detach(&actor->mailbox, &actor->head, &spent)) {
        return false;
    }
    if (spent != NULL) {
        trp_worker_retire(context, actor, trp_message_of(spent), TROUPE_EDIED);
    }
    return true;
}

/* Ends what is queued, at most the budget.  True: nothing is left. */
static bool drain(struct trp_context *context, struct troupe_actor *actor)
{
    unsigned count = 0;
    bool done = false;

    while (count < TRP_EXIT_BUDGET && !done) {
        struct trp_node *spent = NULL;
        struct trp_node *node = trp_mailbox_pop(&actor->mailbox, &actor->head, &spent);

        if (spent != NULL) {
            trp_worker_retire(context, actor, trp_message_of(spent), TROUPE_EDIED);
        }
        if (node != NULL) {
            trp_exit_count_dropped(context, trp_message_of(node));
            count++;
        } else if (spend(context, actor)) {
            /* relaxed: a message that comes just now is dealt with after the grace period at the latest. */
            done = atomic_load_explicit(&actor->mailbox.stub.next, memory_order_relaxed) == NULL;
        } else {
            break;
        }
    }
    if (count > 0) {
        report_dead_letters(actor, count);
    }
    return done;
}

/* ---- steps 6 to 9 ---- */

static void cancel(struct troupe_actor *actor)
{
    trp_hooks.bounce_held(actor);
    trp_hooks.cancel(actor);
    trp_tick_cancel_all(actor);
    trp_io_close_all(actor);
}

/* The token's holder, and nobody else can reach the cell's phase. */
static void renew(struct troupe_actor *actor)
{
    troupe_buffer_release(last_of(actor)->reason.text);
    /* relaxed: whoever reads it has the token, or only compares. */
    atomic_fetch_add_explicit(&actor->incarnation, 1, memory_order_relaxed);
}

/* Signals were meant for the incarnation that ends.  Before anybody is told of the end: what its supervisor sends then,
 * having asked for the next life, is for that one. */
static void forget_signals(struct troupe_actor *actor)
{
    /* relaxed: the notices, which come after it, bring it to whoever may signal the next life. */
    atomic_store_explicit(&actor->signals, 0, memory_order_relaxed);
}

/* The notices of an actor that keeps its mailbox are sent.  Returns how it goes on. */
static enum trp_exit_outcome rest(struct troupe_actor *actor)
{
    uint8_t expected = TRP_PHASE_EXITING;

    actor->context = NULL;
    /* acq_rel; acquire also if it failed: hands the token to whoever restarts or releases, or takes the wish of one who came first.
     * PAIR actor.phase: the swaps in trp_actor_restart() and trp_actor_release(). */
    if (atomic_compare_exchange_strong_explicit(&actor->phase, &expected, TRP_PHASE_RESTARTING,
            memory_order_acq_rel, memory_order_acquire)) {
        return TRP_EXIT_OVER;
    }
    if (expected == TRP_PHASE_EXITING_RESTART) {
        renew(actor);
        /* release: who sees it tells the next incarnation, not the last.  PAIR actor.phase: acquire in takes_exits(). */
        atomic_store_explicit(&actor->phase, TRP_PHASE_NEW, memory_order_release);
        return TRP_EXIT_RESTART;
    }
    trp_assert(expected == TRP_PHASE_EXITING_RELEASE);
    trp_actor_set_phase(actor, TRP_PHASE_EXITING);
    actor->keep_mailbox = false;
    last_of(actor)->step = STEP_SEAL;
    return TRP_EXIT_MORE;
}

/* ---- step 10 ---- */

void trp_exit_bury(struct trp_context *context, struct troupe_actor *actor)
{
    struct trp_zombies *zombies = &context->zombies;
    struct trp_memory *memory = &actor->runtime->memory;

    troupe_buffer_release(last_of(actor)->reason.text);
    if (actor->state != (void *)actor->inline_state) {
        trp_memory_free(memory, actor->state, actor->behaviour->state_size);
    }
    if (actor->arg_size > 0) {
        trp_memory_free(memory, (void *)(uintptr_t)actor->arg, actor->arg_size);
    }
    actor->arg = NULL;
    actor->arg_size = 0;
    trp_actor_set_phase(actor, TRP_PHASE_DEAD);
    trp_count_exited(&context->counters);
    actor->link = NULL;
    if (zombies->first == NULL) {
        zombies->first = actor;
        zombies->since_ns = trp_context_now(context);
    } else {
        zombies->last->link = actor;
    }
    zombies->last = actor;
    zombies->count++;
    /* seq_cst: after the count; the waiter sets `stopping`, then counts.  PAIR runtime.stopping. */
    if (atomic_load_explicit(&actor->runtime->stopping, memory_order_seq_cst)) {
        trp_event_wake(&actor->runtime->stopped);
    }
}

static bool is_late(const struct troupe_actor *actor)
{
    /* relaxed: nobody pushes after the grace period. */
    return atomic_load_explicit(&actor->mailbox.tail, memory_order_relaxed) !=
           (uintptr_t)&actor->mailbox.stub;
}

static bool has_late(const struct bundle *bundle)
{
    for (const struct troupe_actor *actor = bundle->first; actor != NULL; actor = actor->link) {
        if (is_late(actor)) {
            return true;
        }
    }
    return false;
}

/* On liburcu's thread: back to the worker.  One that runs will see it before it parks, and the cells stay in its
 * cache; one that sleeps is woken only if a message raced in, or if it fell asleep meanwhile. */
static void come_home(struct trp_reclaim *reclaim)
{
    struct bundle *bundle = trp_container_of(reclaim, struct bundle, reclaim);
    struct trp_worker *worker = bundle->worker;
    struct trp_park *park = &worker->runtime->park;
    bool slept = trp_park_has(park, worker);
    bool late = slept && has_late(bundle);

    trp_stack_push(&worker->returned, &bundle->entry);
    if (late || (!slept && trp_park_has(park, worker))) {
        trp_park_nudge(park, worker);
    }
}

/* Who gets the cells back: not a spare, which may be gone by then. */
static struct trp_worker *home_of(const struct trp_context *context)
{
    struct troupe_runtime *runtime = context->runtime;

    return context->worker != NULL && context->worker->index < runtime->worker_count
               ? context->worker
               : runtime->workers[0];
}

void trp_exit_flush(struct trp_context *context, bool force)
{
    struct trp_zombies *zombies = &context->zombies;
    struct bundle *bundle;

    if (zombies->count == 0 || (!force && zombies->count < 64 &&
                                   trp_context_now(context) - zombies->since_ns < 1000000U)) {
        return;
    }
    bundle = (struct bundle *)(void *)zombies->first->inline_state;
    bundle->first = zombies->first;
    bundle->worker = home_of(context);
    zombies->first = NULL;
    zombies->last = NULL;
    zombies->count = 0;
    trp_reclaim_later(&bundle->reclaim, come_home);
}

static void reclaimed(struct trp_context *context, struct troupe_actor *actor)
{
    unsigned count = 0;

    for (;;) {
        struct trp_node *spent = NULL;
        struct trp_node *node = trp_mailbox_pop(&actor->mailbox, &actor->head, &spent);

        if (spent != NULL) {
            trp_worker_retire(context, NULL, trp_message_of(spent), TROUPE_EDIED);
        }
        if (node == NULL) {
            break;
        }
        trp_exit_count_dropped(context, trp_message_of(node));
        count++;
    }
    if (actor->head != &actor->mailbox.stub) {
        trp_worker_retire(context, NULL, trp_message_of(actor->head), TROUPE_EDIED);
    }
    if (count > 0) {
        report_dead_letters(actor, count);
    }
    trp_actor_free_extra(actor);
    trp_actor_set_phase(actor, TRP_PHASE_FREE);
    trp_table_give(&context->runtime->table, &context->cells, actor);
}

void trp_exit_take_bundle(struct trp_context *context, struct trp_stack_entry *entry)
{
    struct bundle *bundle = trp_container_of(entry, struct bundle, entry);
    struct troupe_actor *actor = bundle->first;

    while (actor != NULL) {
        struct troupe_actor *next = actor->link;

        trp_actor_prefetch(next);
        reclaimed(context, actor);
        actor = next;
    }
}

/* ---- the order of it all ---- */

enum trp_exit_outcome trp_exit_continue(struct trp_context *context, struct troupe_actor *actor)
{
    struct trp_last *last = last_of(actor);

    switch ((enum step)last->step) {
    case STEP_SEAL:
        seal(actor);
        last->step = STEP_DRAIN;
        /* fall through */
    case STEP_DRAIN:
        if (!drain(context, actor)) {
            return TRP_EXIT_MORE;
        }
        last->step = STEP_CANCEL;
        break;
    case STEP_SPEND:
        if (!spend(context, actor)) {
            return TRP_EXIT_MORE;
        }
        last->step = STEP_CANCEL;
        break;
    default:
        break;
    }
    switch ((enum step)last->step) {
    case STEP_CANCEL:
        cancel(actor);
        last->step = STEP_RELEASE;
        /* fall through */
    case STEP_RELEASE:
        if (actor->keep_mailbox) {
            forget_signals(actor);
        } else {
            trp_hooks.release(actor);
        }
        last->step = STEP_NOTIFY;
        /* fall through */
    case STEP_NOTIFY:
        if (!trp_hooks.notify(actor, &last->reason, TRP_EXIT_BUDGET)) {
            return TRP_EXIT_MORE;
        }
        if (actor->keep_mailbox) {
            return rest(actor);
        }
        last->step = STEP_BURY;
        /* fall through */
    default:
        trp_exit_bury(context, actor);
        return TRP_EXIT_OVER;
    }
}

/* ---- stable addresses: the supervisor's side ---- */

static bool swap_phase(struct troupe_actor *actor, enum trp_phase from, enum trp_phase to)
{
    uint8_t expected = (uint8_t)from;

    /* acq_rel: takes the token with all that the last incarnation did, or leaves a wish.  relaxed, if it failed: nothing
     * was learnt.
     * PAIR actor.phase: rest(). */
    return atomic_compare_exchange_strong_explicit(
        &actor->phase, &expected, (uint8_t)to, memory_order_acq_rel, memory_order_relaxed);
}

int trp_actor_restart(struct trp_context *context, troupe_pid pid)
{
    struct troupe_actor *actor = trp_actor_find(context->runtime, pid);

    if (actor == NULL) {
        return TROUPE_EGONE;
    }
    /* The order matters: EXITING may become RESTARTING between the two, never the reverse. */
    if (swap_phase(actor, TRP_PHASE_EXITING, TRP_PHASE_EXITING_RESTART)) {
        return TROUPE_OK;
    }
    if (!swap_phase(actor, TRP_PHASE_RESTARTING, TRP_PHASE_NEW)) {
        return TROUPE_EBUSY;
    }
    renew(actor);
    trp_worker_schedule(context, actor);
    return TROUPE_OK;
}

int trp_actor_release(struct trp_context *context, troupe_pid pid)
{
    struct troupe_actor *actor = trp_actor_find(context->runtime, pid);

    if (actor == NULL) {
        return TROUPE_EGONE;
    }
    if (swap_phase(actor, TRP_PHASE_EXITING, TRP_PHASE_EXITING_RELEASE)) {
        return TROUPE_OK;
    }
    if (!swap_phase(actor, TRP_PHASE_RESTARTING, TRP_PHASE_EXITING)) {
        return TROUPE_EBUSY;
    }
    actor->keep_mailbox = false;
    last_of(actor)->step = STEP_SEAL;
    trp_worker_schedule(context, actor);
    return TROUPE_OK;
}

void trp_actor_discard(struct trp_context *context, struct troupe_actor *actor)
{
    seal(actor);
    last_of(actor)->reason = (struct troupe_reason){.kind = TROUPE_EXIT_NORMAL};
    trp_exit_bury(context, actor);
    /* A worker looks after its zombies by itself; nobody does for foreign threads. */
    trp_exit_flush(context, context->worker == NULL);
}
