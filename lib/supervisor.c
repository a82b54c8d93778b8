/* SPDX-License-Identifier: MIT */
/*
 * supervisor.c - an actor that starts, watches, restarts and stops other actors.  The files that are one supervisor are
 * listed in supervisor.h.
 *
 * It never waits inside a callback.  Whatever takes time is a state of the child (child.h) or of the supervisor:
 *
 *               init                all started                  stop, given up, parent's end, all significant work done
 *     (spawned) ------> BEGINNING -------------> SERVING ------------------------------> ENDING ------> (exits)
 *                           |                                                              ^
 *                           +--------------------------------------------------------------+
 *                                 a child cannot start; the parent's end
 *
 * Beside that at most one *sweep* goes through the children, one at a time, and is continued by whatever it waits for:
 *
 *               down from the last one               `from` has stopped        up to the last one
 *     NONE ------> DOWN ------------------------------------> UP ------------------------------> NONE
 *        \                    (ENDING: all are stopped, exit)  ^
 *         +----------------------------------------------------+
 *               the first start
 *
 * A simple_one_for_one has neither a first start nor groups; its end is told to all children at once (crowd.c).
 *
 * One-for-one restarts need no sweep: each child goes its own way, also while others start or stop.  A child that ends by
 * itself, or is to be tried again, is left to the sweep that is still to come to it; one of a group that the way up has
 * been at turns it round.
 *
 * What a child's end means.  Exactly one notice per life counts, the tie's (link.h); it leads to the child by its
 * owner, in O(1).  In RUNNING the table of troupe/supervisor.h decides; in STARTING it is a start that failed; in STOPPING it
 * was asked for.  An attempt to restart is charged before it is made; one that fails is made again behind what is in
 * the mailbox, or after the child's backoff, and charged again.  Want of cells or memory is nobody's fault: tried again later, not charged.
 *
 * Memory.  A restart uses a tie that was set aside: the supervisor has two more than its children need, because a tie
 * comes back a little after the end that it told of.
 *
 * Stable addresses.  The cell of a child with keep_mailbox outlives its lives; `in_place` says that it waits.
 * Whenever such a child is to rest it is released, and its next start makes a new one.
 */
#include "supervisor.h"

#include <limits.h>
#include <stdlib.h>

#include "admin.h"
#include "exit_signal.h"
#include "latch.h"
#include "registry.h"
#include "tie.h"

const struct troupe_type trp_tick_type = TROUPE_TYPE(struct trp_tick);

/* Tells whoever waits how the start went. */
void trp_supervisor_tell_start(struct trp_supervisor *sup, int status)
{
    struct trp_outcome outcome = {.status = status};

    if (sup->told) {
        return;
    }
    sup->told = true;
    if (sup->plan->latch != NULL) {
        trp_latch_tell(sup->plan->latch, &outcome);
    }
    if (status == TROUPE_OK) {
        trp_tie_announce(sup->self);
    }
}

/* Begins to stop everything.  The first reason stands.  Takes over its text. */
void trp_supervisor_end(struct trp_supervisor *sup, struct troupe_reason reason)
{
    if (sup->phase == TRP_SUPERVISOR_ENDING) {
        troupe_buffer_release(reason.text);
        return;
    }
    sup->phase = TRP_SUPERVISOR_ENDING;
    sup->reason = reason;
    if (trp_supervisor_is_simple(sup)) {
        trp_crowd_begin(sup);
        return;
    }
    sup->sweep = TRP_SWEEP_DOWN;
    sup->from = trp_brood_first(sup);
    sup->cursor = trp_brood_last(sup);
}

/* ---- what happens to a child ---- */

static void on_started(struct trp_supervisor *sup, struct trp_child *child)
{
    if (child->state == TROUPE_CHILD_STOPPING && child->unheard) {
        trp_life_stop(sup, child);
        return;
    }
    if (child->state != TROUPE_CHILD_STARTING) {
        return;
    }
    trp_life_set_state(sup, child, TROUPE_CHILD_RUNNING);
    trp_crew_joined(sup, child);
    if (child->spec->backoff.min_ms > 0) {
        child->started_ns = troupe_now_ns(sup->runtime);
    }
    trp_desk_settle_starts(sup, child, TROUPE_OK);
}

/* What a start that ended like this failed with. */
static int error_of(const struct trp_child *child, const struct troupe_reason *reason)
{
    if (child->start_error < 0) {
        return child->start_error;
    }
    return reason->kind == TROUPE_EXIT_ERROR ? reason->code : TROUPE_EDIED;
}

static void on_down(
    struct trp_supervisor *sup, struct trp_child *child, const struct troupe_reason *reason)
{
    enum troupe_child_state state = child->state;

    sup->crew.handled += child->tie != NULL ? trp_tie_handled(child->tie) : 0;
    trp_life_untie(sup, child);
    child->in_place = child->spec->keep_mailbox && child->spec->restart != TROUPE_TEMPORARY;
    if (state == TROUPE_CHILD_STOPPING && child->start_error == TROUPE_OK) {
        trp_restart_rest(sup, child);
        return;
    }
    if (state == TROUPE_CHILD_RUNNING || sup->phase == TRP_SUPERVISOR_ENDING) {
        trp_restart_ended(sup, child, reason);
        return;
    }
    if (child->start_error == TROUPE_OK && reason->kind == TROUPE_EXIT_NORMAL &&
        reason->code == TROUPE_IGNORE) {
        trp_restart_ignored(sup, child);
        return;
    }
    trp_life_set_state(sup, child, TROUPE_CHILD_STOPPED);
    trp_restart_failed(sup, child, error_of(child, reason), true);
}

static void report_slow(struct trp_supervisor *sup, const struct trp_child *child, const char *what,
    int limit_ms, const char *then)
{
    struct troupe_report event = {.kind = TROUPE_REPORT_UNSTOPPED,
        .pid = child->pid,
        .actor = trp_child_path(child),
        .count = 1,
        .time_ms = (uint64_t)limit_ms};

    trp_report_event(sup->runtime, &event, "did not %s within %d ms%s", what, limit_ms, then);
}

/* It was killed, and a handler of it does not return. */
static void on_grace(struct trp_supervisor *sup, struct trp_child *child)
{
    static const char *const then[] = {
        [TROUPE_UNKILLABLE_WAIT] =
            ", though it was killed: a handler does not return; it is waited for",
        [TROUPE_UNKILLABLE_ORPHAN] =
            ", though it was killed: a handler does not return; its supervisor goes on without it",
        [TROUPE_UNKILLABLE_ABORT] =
            ", though it was killed: a handler does not return; the process is aborted",
    };
    enum troupe_unkillable policy = child->spec->unkillable;

    report_slow(sup, child, "end", child->spec->kill_grace_ms, then[policy]);
    if (policy == TROUPE_UNKILLABLE_ABORT) {
        abort();
    }
    if (policy == TROUPE_UNKILLABLE_ORPHAN) {
        trp_restart_orphaned(sup, child);
    }
}

static void on_tick(struct trp_supervisor *sup, const struct trp_tick *tick)
{
    struct trp_child *child = trp_brood_numbered(sup, tick->number);

    if (tick->kind == TRP_TICK_CREW) {
        trp_crew_tick(sup, tick->epoch);
        return;
    }
    if (tick->number == TRP_TICK_OWN) {
        trp_crowd_tick(sup, tick->kind);
        return;
    }
    if (child == NULL || child->epoch != tick->epoch) {
        return;
    }
    if (sup->phase == TRP_SUPERVISOR_ENDING && child->state == TROUPE_CHILD_RESTARTING) {
        return;
    }
    if (child->state == TROUPE_CHILD_RESTARTING && trp_sweep_takes(sup, child)) {
        trp_life_set_state(sup, child, TROUPE_CHILD_STOPPED);
        trp_life_set_wanted(sup, child, true);
        return;
    }
    switch (tick->kind) {
    case TRP_TICK_START:
        report_slow(sup, child, "start", child->spec->start_timeout_ms, " and is killed");
        trp_life_set_state(sup, child, TROUPE_CHILD_STOPPING);
        child->start_error = TROUPE_ETIMEDOUT;
        trp_life_kill(sup, child);
        break;
    case TRP_TICK_STOP:
        report_slow(sup, child, "stop", child->spec->shutdown_ms, " and is killed");
        trp_life_kill(sup, child);
        break;
    case TRP_TICK_GRACE:
        on_grace(sup, child);
        break;
    case TRP_TICK_RETRY:
        if (trp_restart_charge(sup, child, NULL)) {
            trp_restart_attempt(sup, child);
        }
        break;
    case TRP_TICK_RESUME:
        if (sup->sweep == TRP_SWEEP_UP && sup->cursor == child) {
            trp_life_set_state(sup, child, TROUPE_CHILD_STOPPED);
            trp_life_set_wanted(sup, child, true);
        } else {
            trp_restart_attempt(sup, child);
        }
        break;
    case TRP_TICK_CREW:
        break;
    }
}

/* ---- the behaviour ---- */

static int add_children(struct trp_supervisor *sup)
{
    if (trp_supervisor_is_pool(sup)) {
        return trp_crew_begin(sup);
    }
    if (trp_supervisor_is_simple(sup)) {
        /* What there is is the template. */
        return TROUPE_OK;
    }
    for (uint64_t i = 0; i < sup->plan->child_count; i++) {
        const struct trp_plan_child *spec = &sup->plan->children[i];
        struct trp_child *child;

        if (trp_child_find(sup->by_id, trp_plan_id(sup->plan, spec)) != NULL) {
            return TROUPE_EEXIST;
        }
        TROUPE_TRY(trp_child_create(sup->memory, sup->plan, spec, sup->name, false, &child));
        trp_life_set_wanted(sup, child, true);
        trp_brood_add(sup, child);
    }
    return TROUPE_OK;
}

static int make_intensity(struct trp_supervisor *sup)
{
    size_t entries = trp_intensity_entries(sup->plan->intensity);
    uint64_t *times = trp_memory_alloc(sup->memory, entries * sizeof *times, alignof(uint64_t));

    if (times == NULL) {
        return TROUPE_ENOMEM;
    }
    trp_intensity_init(&sup->intensity, times, sup->plan->intensity, sup->plan->period_ns);
    return TROUPE_OK;
}

static int prepare(struct trp_supervisor *sup)
{
    TROUPE_TRY(make_intensity(sup));
    TROUPE_TRY(trp_spare_fill(sup));
    return add_children(sup);
}

/* All children are stopped. */
static int leave(struct trp_supervisor *sup)
{
    struct troupe_reason reason = sup->reason;

    trp_desk_close(sup);
    trp_crew_close(sup);
    /* Before anybody is told that it did not start. */
    sup->name = NULL;
    (void)trp_registry_release(sup->self, UINT_MAX);
    trp_supervisor_tell_start(
        sup, reason.kind == TROUPE_EXIT_ERROR ? reason.code : TROUPE_ESTOPPED);
    sup->reason.text = NULL;
    trp_actor_set_reason(sup->self, &reason);
    return TRP_OPEN_EXIT;
}

/* The end of every callback. */
static int go_on(struct trp_supervisor *sup)
{
    trp_sweep_on(sup);
    trp_crew_settle(sup);
    return sup->phase == TRP_SUPERVISOR_ENDING && sup->sweep == TRP_SWEEP_NONE ? leave(sup)
                                                                               : TROUPE_OK;
}

static int supervisor_init(struct troupe_actor *self, void *state, const void *arg)
{
    struct trp_supervisor *sup = state;
    int error;

    sup->self = self;
    sup->runtime = self->runtime;
    sup->memory = trp_runtime_memory(self->runtime);
    sup->plan = arg;
    sup->name = trp_registry_name_of(self);
    trp_list_init(&sup->children);
    error = prepare(sup);
    if (error < 0) {
        trp_supervisor_tell_start(sup, error);
        return error;
    }
    sup->sweep = TRP_SWEEP_UP;
    sup->from = trp_brood_first(sup);
    sup->cursor = sup->from;
    return go_on(sup);
}

/* Exit signals of others than those that it obeys are of no interest. */
static void on_exited(struct trp_supervisor *sup, const struct troupe_exited *exited)
{
    if (trp_exit_signal_is_command(sup->self, exited)) {
        trp_supervisor_end(sup, trp_reason_copy(&exited->reason));
    }
}

static void dispatch(struct trp_supervisor *sup, struct troupe_message *msg)
{
    struct trp_child *child = trp_tie_owner(msg);

    if (child != NULL && troupe_is(msg, &trp_child_started)) {
        on_started(sup, child);
    } else if (child != NULL) {
        const struct troupe_down *down = troupe_body(msg);

        on_down(sup, child, &down->reason);
    } else if (troupe_is(msg, &trp_tick_type)) {
        on_tick(sup, troupe_body(msg));
    } else if (troupe_is(msg, &troupe_exited)) {
        on_exited(sup, troupe_body(msg));
    }
}

static int supervisor_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct trp_supervisor *sup = state;
    bool own = msg->kind == TRP_MESSAGE_NOTICE || troupe_is(msg, &trp_tick_type);

    (void)self;
    if (own) {
        dispatch(sup, msg);
    } else if (troupe_is(msg, &trp_admin_type)) {
        trp_desk_ask(sup, msg);
    } else if (troupe_is(msg, &trp_admin_list_type)) {
        trp_desk_list(sup, msg);
    } else if (troupe_is(msg, &trp_crew_type)) {
        trp_crew_ask(sup, msg);
    } else {
        return TROUPE_EUNKNOWN;
    }
    return go_on(sup);
}

/* Children that still live learn of it by their ties.  Requests that are kept are answered by the core. */
static void drop_child(
    struct trp_supervisor *sup, struct trp_context *context, struct trp_child *child)
{
    trp_desk_forget(sup, child);
    if (child->in_place) {
        trp_ignore(trp_actor_release(context, child->pid));
    }
    trp_tie_free(context, child->tie);
    trp_list_remove(&child->entry);
    trp_child_destroy(sup->memory, child);
}

static void supervisor_destroy(void *state)
{
    struct trp_supervisor *sup = state;
    struct trp_context *context = trp_supervisor_context(sup);
    struct trp_spare *spare = &sup->spare;

    trp_supervisor_tell_start(sup, TROUPE_EDIED);
    if (sup->plan->latch != NULL) {
        trp_latch_drop(sup->plan->latch);
    }
    for (struct trp_child *child = trp_brood_first(sup); child != NULL;
         child = trp_brood_first(sup)) {
        drop_child(sup, context, child);
    }
    for (unsigned i = 0; i < spare->count; i++) {
        trp_tie_free(context, spare->ties[(spare->first + i) % TRP_SPARE_TIES_MAX]);
    }
    if (sup->intensity.times != NULL) {
        trp_memory_free(sup->memory, sup->intensity.times,
            trp_intensity_entries(sup->plan->intensity) * sizeof(uint64_t));
    }
    trp_crew_fini(sup);
    troupe_buffer_release(sup->reason.text);
}

const struct troupe_behaviour trp_supervisor_behaviour = {
    .name = "troupe_supervisor",
    .state_size = sizeof(struct trp_supervisor),
    .init = supervisor_init,
    .receive = supervisor_receive,
    .destroy = supervisor_destroy,
    .capacity = 65536,
    .trap_exit = true,
    .never_paused = true,
};
