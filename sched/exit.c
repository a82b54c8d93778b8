/* SPDX-License-Identifier: MIT */
/*
 * exit.c - the ten steps of dying.
 *
 *    1  the reason is fixed; the first one stands           trp_exit_begin()
 *    2  the actor's code has stopped: its slice is here
 *    3  terminate, deferred cleanups, destroy, the arena; of one that crashed (contain.c) only the arena
 *    4  SEAL      no pid leads here any more
 *    5  DRAIN     queued messages end, and those kept aside: requests are answered, others are dead letters
 *    6  CANCEL    timers, descriptors, calls it waits for, room that it holds elsewhere
 *    7  RELEASE   its names are free, and its groups left
 *    8  NOTIFY    nobody can begin to watch it,
 *    9            and whoever did is told
 *   10  BURY      the cell goes to its grace period
 *
 * Steps 5, 7, 8 and 9 do TRP_EXIT_BUDGET things at a time, so that a million links do not hold a worker.  None of them
 * allocates.  With keep_mailbox steps 4, 7 and 10 are left out, and of 5 what is queued; the next life takes over what
 * was kept aside as well, but for what belonged to this one: see `phase` in actor.h, trp_aside_bequeath().
 *
 * The seal is the pid: a sender that found the cell before step 4 may still push after step 5.  It did so
 * inside a read section, so after the grace period everything that raced in is there, and is disposed of then.
 *
 * Model: test/model/close.pml.  Interleavings: test/explore/part_table.c, part_monitor.c.
 */
#include "exit.h"

#include "aside.h"
#include "core.h"
#include "lease.h"
#include "letter.h"
#include "line.h"
#include "overload.h"
#include "pause.h"
#include "priority.h"
#include "runtime.h"
#include "shelf.h"
#include "text.h"
#include "worker.h"

enum step {
    STEP_SEAL,
    STEP_DRAIN,
    STEP_SPEND, /* of 5, what also an actor that keeps its mailbox does: end the message it was handling, */
    STEP_ASIDE, /* and what it kept aside, as far as the next life does not take it over */
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

/* Whether it has ever waited, been paused, or held room.  It has an extra block. */
static bool has_edge(struct troupe_actor *actor)
{
    /* relaxed: if others have just made it, it is not for what the actor did itself. */
    return atomic_load_explicit(&trp_actor_extra(actor)->edge, memory_order_relaxed) != NULL;
}

static enum trp_phase phase_of(const struct troupe_actor *actor)
{
    /* relaxed: written by the token's holder, whom the caller is, but for the two wishes. */
    return atomic_load_explicit(&actor->phase, memory_order_relaxed);
}

/* A crash is the actor's: its reason stays for take_crash(). */
static void drop_reason(struct trp_worker *worker)
{
    if (worker->has_reason && !worker->crashed) {
        troupe_buffer_release(worker->reason.text);
        worker->has_reason = false;
    }
}

/* The worker of a thread actor (thread.h), or NULL. */
static struct trp_worker *thread_of(const struct troupe_actor *actor)
{
    return actor->home > (TRP_HOME_PINNED | TRP_THREAD_FIRST)
               ? actor->runtime->workers[(actor->home & ~TRP_HOME_PINNED) - 1]
               : NULL;
}

/* ---- steps 1 to 3: in the actor's slice ---- */

/* Each of these callbacks is code of the actor's own, which may block on a thread of its own. */
static void go_out(struct trp_worker *worker)
{
    if (trp_unlikely(trp_worker_is_alone(worker))) {
        trp_thread_go_out(worker);
    }
}

static void come_in(struct trp_worker *worker)
{
    if (trp_unlikely(trp_worker_is_alone(worker))) {
        trp_thread_come_in(worker);
    }
}

static void end_callback(struct trp_worker *worker)
{
    come_in(worker);
    drop_reason(worker);
}

/* Of an actor that crashed only what the library itself gives back is given back: its user's code does not run again. */
static bool may_run(const struct trp_worker *worker, uintptr_t fn)
{
    return trp_likely(!worker->crashed) || trp_text_has(fn);
}

/* Each callback on its own: troupe_exit() inside one ends just that one. */
static void terminate(
    struct trp_worker *worker, struct troupe_actor *actor, const struct troupe_reason *reason)
{
    jmp_buf *outer = worker->unwind;
    jmp_buf here;

    if (actor->behaviour->terminate == NULL) {
        drop_reason(worker);
        return;
    }
    worker->unwind = &here;
    if (_setjmp(here) == 0) {
        go_out(worker);
        actor->behaviour->terminate(actor, actor->state, reason);
    }
    worker->unwind = outer;
    end_callback(worker);
}

static void run_defer(struct trp_worker *worker, const struct trp_defer *defer)
{
    jmp_buf *outer = worker->unwind;
    jmp_buf here;

    worker->unwind = &here;
    if (_setjmp(here) == 0) {
        go_out(worker);
        defer->fn(defer->arg);
    }
    worker->unwind = outer;
    end_callback(worker);
}

static void run_defers(struct trp_worker *worker, struct trp_extra *extra)
{
    while (extra->defers != NULL) {
        struct trp_defer *defer = extra->defers;

        extra->defers = defer->next;
        if (may_run(worker, (uintptr_t)defer->fn)) {
            run_defer(worker, defer);
        }
    }
}

static void destroy(struct trp_worker *worker, struct troupe_actor *actor)
{
    jmp_buf *outer = worker->unwind;
    jmp_buf here;

    if (actor->behaviour->destroy == NULL ||
        !may_run(worker, (uintptr_t)actor->behaviour->destroy)) {
        drop_reason(worker);
        return;
    }
    worker->unwind = &here;
    if (_setjmp(here) == 0) {
        go_out(worker);
        actor->behaviour->destroy(actor->state);
    }
    worker->unwind = outer;
    end_callback(worker);
}

static void report_failure(struct troupe_actor *actor, const struct troupe_reason *reason)
{
    const char *text = troupe_reason_text(reason);
    struct troupe_report event = {.kind = TROUPE_REPORT_FAILURE,
        .pid = trp_actor_pid(actor),
        .actor = actor->behaviour->name,
        .reason = reason};

    if (reason->kind == TROUPE_EXIT_ERROR) {
        trp_report_event(actor->runtime, &event, "failed with error %d (%s)%s%s", reason->code,
            troupe_strerror(reason->code), text[0] != '\0' ? ": " : "", text);
    } else {
        trp_report_event(
            actor->runtime, &event, "ended with reason %s", troupe_exit_name(reason->kind));
    }
}

/* It crashed in one of the callbacks of its end: then that is why it ended. */
static void take_crash(struct trp_worker *worker, struct troupe_reason *reason)
{
    if (worker->has_reason) {
        troupe_buffer_release(reason->text);
        *reason = worker->reason;
        worker->has_reason = false;
    }
    worker->crashed = false;
}

void trp_exit_begin(
    struct trp_worker *worker, struct troupe_actor *actor, const struct troupe_reason *decided)
{
    struct trp_extra *extra;
    struct troupe_reason reason = *decided;
    enum trp_phase phase = phase_of(actor);

    trp_actor_set_phase(actor, TRP_PHASE_EXITING);
    if (trp_actor_extra(actor) != NULL) {
        if (trp_unlikely(has_edge(actor))) {
            trp_pause_end(&worker->context, actor);
        }
        trp_hooks.ending(actor);
    }
    if (phase == TRP_PHASE_RUNNING && reason.kind != TROUPE_EXIT_KILLED && !worker->crashed) {
        terminate(worker, actor, &reason);
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
    if (trp_unlikely(worker->crashed)) {
        take_crash(worker, &reason);
    }
    if (!troupe_reason_is_clean(&reason)) {
        trp_count(&worker->context.counters.failures, 1);
        if (trp_report_is_wanted(actor->runtime)) {
            report_failure(actor, &reason);
        }
    }
    last_of(actor)->reason = reason;
    last_of(actor)->step = actor->keep_mailbox ? STEP_SPEND : STEP_SEAL;
}

/* ---- steps 4 and 5 ---- */

static void seal(struct trp_context *context, struct troupe_actor *actor)
{
    /* seq_cst: must not pass our look at `waiting`; a waiter registers, then looks at the pid.  One of the two sees the
     * other.  PAIR actor.waiting. */
    atomic_store_explicit(&actor->pid, TROUPE_NOBODY, memory_order_seq_cst);
    if ((atomic_load_explicit(&actor->waiting, memory_order_seq_cst) & TRP_WAITING_LINE) != 0) {
        trp_line_release(context, actor);
    }
}

/* Not what it told itself; and a ticket is no message besides the one it stands for. */
static bool is_loss(const struct troupe_message *msg)
{
    return (msg->flags & TRP_MESSAGE_INNER) == 0 && msg->kind != TRP_MESSAGE_TICKET;
}

static void report_dead_letters(struct troupe_actor *actor, unsigned count)
{
    struct troupe_report event = {.kind = TROUPE_REPORT_DEAD_LETTERS,
        .pid = trp_actor_pid(actor),
        .actor = actor->behaviour->name,
        .count = count};

    trp_report_event(actor->runtime, &event, "%u message%s reached an actor that had ended", count,
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

/* What stands on the shelf of one that has ended, and has a policy; or NULL.  Nothing is put there from here on. */
static struct troupe_message *drain_shelf(struct troupe_actor *actor)
{
    struct trp_shelf *shelf = trp_actor_overload(actor)->shelf;

    return shelf != NULL ? trp_shelf_drain(shelf) : NULL;
}

/* The next one to end, of what is kept aside and of what stands on a shelf that is not kept. */
static struct troupe_message *next_aside(struct troupe_actor *actor)
{
    struct troupe_message *msg = trp_aside_drain(actor);

    if (msg != NULL || trp_likely(actor->behaviour->overload == NULL) || actor->keep_mailbox) {
        return msg;
    }
    return drain_shelf(actor);
}

/* Ends what is kept aside, or leaves it to the next life, at most the budget.  True: nothing is left. */
static bool drain_aside(struct trp_context *context, struct troupe_actor *actor)
{
    unsigned dropped = 0;
    struct troupe_message *msg = trp_aside_spent(actor);

    trp_priority_shut(actor);
    /* It was being handled. */
    if (msg != NULL) {
        trp_worker_retire(context, actor, msg, TROUPE_EDIED);
    }

    for (unsigned i = 0; i < TRP_EXIT_BUDGET && (msg = next_aside(actor)) != NULL; i++) {
        if (actor->keep_mailbox && trp_aside_bequeath(actor, msg)) {
            continue;
        }
        dropped += is_loss(msg);
        trp_letter_ended(context, actor, msg);
        trp_message_count_dropped(context, msg);
        trp_worker_retire(context, actor, msg, TROUPE_EDIED);
    }
    if (dropped > 0) {
        report_dead_letters(actor, dropped);
    }
    return msg == NULL;
}

/* Ends what is queued, at most the budget.  True: nothing is left. */
static bool drain(struct trp_context *context, struct troupe_actor *actor)
{
    unsigned count = 0;
    unsigned dropped = 0;
    bool done = false;

    while (count < TRP_EXIT_BUDGET && !done) {
        struct trp_node *spent = NULL;
        struct trp_node *node = trp_mailbox_pop(&actor->mailbox, &actor->head, &spent);

        if (spent != NULL) {
            trp_worker_retire(context, actor, trp_message_of(spent), TROUPE_EDIED);
        }
        if (node != NULL) {
            dropped += is_loss(trp_message_of(node));
            trp_letter_ended(context, actor, trp_message_of(node));
            trp_message_count_dropped(context, trp_message_of(node));
            count++;
        } else if (spend(context, actor)) {
            /* relaxed: a message that comes just now is dealt with after the grace period at the latest. */
            done = atomic_load_explicit(&actor->mailbox.stub.next, memory_order_relaxed) == NULL;
        } else {
            break;
        }
    }
    if (dropped > 0) {
        report_dead_letters(actor, dropped);
    }
    return done;
}

/* ---- steps 6 to 9 ---- */

static void cancel(struct troupe_actor *actor)
{
    if (trp_actor_extra(actor) == NULL) {
        /* All of it hangs there. */
        return;
    }
    trp_hooks.bounce_held(actor);
    trp_hooks.cancel(actor);
    trp_tick_cancel_all(actor);
    trp_io_close_all(actor);
    if (trp_unlikely(has_edge(actor))) {
        trp_lease_end_all(actor);
    }
}

/* The token's holder, and nobody else can reach the cell's phase. */
static void renew(struct troupe_actor *actor)
{
    troupe_buffer_release(last_of(actor)->reason.text);
    trp_priority_open(actor);
    trp_overload_renew(actor);
    /* relaxed: whoever reads it has the token, or only compares. */
    atomic_fetch_add_explicit(&actor->incarnation, 1, memory_order_relaxed);
}

/* Signals were meant for the incarnation that ends.  Before anybody is told of the end: what its supervisor sends then,
 * having asked for the next life, is for that one. */
static void forget_signals(struct troupe_actor *actor)
{
    /* relaxed: the notices, which come after it, bring it to whoever may signal the next life. */
    atomic_store_explicit(&actor->signals, trp_aside_renew(actor), memory_order_relaxed);
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
    /* Its size stays: who looks at the cell meanwhile (info.c) reads it. */
    actor->arg = NULL;
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
    if (trp_unlikely(thread_of(actor) != NULL)) {
        trp_thread_dismiss(thread_of(actor));
    }
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

/* What was put on its shelf at the last moment.  Returns how many. */
static TRP_NOINLINE unsigned end_shelf(struct trp_context *context, struct troupe_actor *actor)
{
    struct troupe_message *msg;
    unsigned count = 0;

    while ((msg = drain_shelf(actor)) != NULL) {
        trp_letter_ended(context, actor, msg);
        trp_message_count_dropped(context, msg);
        trp_worker_retire(context, NULL, msg, TROUPE_EDIED);
        count++;
    }
    return count;
}

static void reclaimed(struct trp_context *context, struct troupe_actor *actor)
{
    unsigned count = 0;
    bool has_extra;

    for (;;) {
        struct trp_node *spent = NULL;
        struct trp_node *node = trp_mailbox_pop(&actor->mailbox, &actor->head, &spent);

        if (spent != NULL) {
            trp_worker_retire(context, NULL, trp_message_of(spent), TROUPE_EDIED);
        }
        if (node == NULL) {
            break;
        }
        count += is_loss(trp_message_of(node));
        trp_letter_ended(context, actor, trp_message_of(node));
        trp_message_count_dropped(context, trp_message_of(node));
    }
    if (actor->head != &actor->mailbox.stub) {
        trp_worker_retire(context, NULL, trp_message_of(actor->head), TROUPE_EDIED);
    }
    has_extra = trp_actor_extra(actor) != NULL;
    if (has_extra && trp_unlikely(actor->behaviour->overload != NULL)) {
        count += end_shelf(context, actor);
    }
    if (count > 0) {
        report_dead_letters(actor, count);
    }
    if (has_extra) {
        trp_actor_free_extra(context, actor);
    }
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
        seal(context, actor);
        last->step = STEP_DRAIN;
        /* fall through */
    case STEP_DRAIN:
        if (!drain(context, actor)) {
            return TRP_EXIT_MORE;
        }
        last->step = STEP_ASIDE;
        break;
    case STEP_SPEND:
        if (!spend(context, actor)) {
            return TRP_EXIT_MORE;
        }
        last->step = STEP_ASIDE;
        break;
    default:
        break;
    }
    switch ((enum step)last->step) {
    case STEP_ASIDE:
        if (trp_actor_extra(actor) != NULL && !drain_aside(context, actor)) {
            return TRP_EXIT_MORE;
        }
        last->step = STEP_CANCEL;
        /* fall through */
    case STEP_CANCEL:
        cancel(actor);
        last->step = STEP_RELEASE;
        /* fall through */
    case STEP_RELEASE:
        if (actor->keep_mailbox) {
            forget_signals(actor);
        } else if (!trp_hooks.release(actor, TRP_EXIT_BUDGET)) {
            return TRP_EXIT_MORE;
        } else if (thread_of(actor) != NULL) {
            trp_thread_release(thread_of(actor));
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
    /* Now, and not in step 7, which may be long: its supervisor may start another one of this name at once. */
    actor->context = context;
    (void)trp_hooks.release(actor, TRP_EXIT_BUDGET);
    actor->context = NULL;
    trp_worker_schedule(context, actor);
    return TROUPE_OK;
}

void trp_actor_discard(struct trp_context *context, struct troupe_actor *actor)
{
    seal(context, actor);
    last_of(actor)->reason = (struct troupe_reason){.kind = TROUPE_EXIT_NORMAL};
    trp_exit_bury(context, actor);
    /* A worker looks after its zombies by itself; nobody does for foreign threads. */
    trp_exit_flush(context, context->worker == NULL);
}
