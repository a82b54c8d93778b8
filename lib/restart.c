/* SPDX-License-Identifier: MIT */
/*
 * restart.c - what a child's end means, and what is done about it.
 */
#include "supervisor.h"

#include <stdio.h>

/** After a want of memory or cells. */
#define RETRY_MS 10

/* `reason` NULL: it did not start. */
static void give_up(
    struct trp_supervisor *sup, const struct trp_child *child, const struct troupe_reason *reason)
{
    struct troupe_report event = {.kind = TROUPE_REPORT_GIVE_UP,
        .pid = trp_actor_pid(sup->self),
        .actor = trp_supervisor_path(sup),
        .reason = reason,
        .child = trp_child_path(child),
        .count = (uint64_t)sup->plan->intensity + 1,
        .time_ms = sup->plan->period_ns / 1000000U};

    trp_report_event(sup->runtime, &event,
        "gives up: %s ended once more than the %u restarts allowed in %llu ms", event.child,
        sup->plan->intensity, (unsigned long long)event.time_ms);
    trp_supervisor_end(
        sup, (struct troupe_reason){.kind = TROUPE_EXIT_SHUTDOWN, .code = TROUPE_EDIED});
}

/* Charges an attempt to restart `child`, which is down.  False: it was one too many, and the supervisor gave up. */
bool trp_restart_charge(
    struct trp_supervisor *sup, const struct trp_child *child, const struct troupe_reason *reason)
{
    if (trp_intensity_charge(&sup->intensity, troupe_now_ns(sup->runtime))) {
        give_up(sup, child, reason);
        return false;
    }
    return true;
}

/* How long to wait before the next attempt.  Counts the end that was. */
static uint64_t backoff_ms(struct trp_supervisor *sup, struct trp_child *child)
{
    const struct troupe_backoff *backoff = &child->spec->backoff;
    uint64_t delay_ms = (uint64_t)backoff->min_ms;
    uint64_t spread;

    for (uint32_t i = 0; i < child->failures && delay_ms < (uint64_t)backoff->max_ms; i++) {
        delay_ms *= 2;
    }
    if (delay_ms > (uint64_t)backoff->max_ms) {
        delay_ms = (uint64_t)backoff->max_ms;
    }
    child->failures += child->failures < UINT32_MAX ? 1 : 0;
    spread = delay_ms * (uint64_t)backoff->jitter_percent / 100;
    if (spread > 0) {
        delay_ms -= trp_context_random(trp_supervisor_context(sup)) % (spread + 1);
    }
    return delay_ms;
}

/* It ran until now: whether that was long enough to begin with short delays again. */
static void note_run(struct trp_supervisor *sup, struct trp_child *child)
{
    const struct troupe_backoff *backoff = &child->spec->backoff;
    uint64_t reset_ns = (uint64_t)backoff->reset_ms * 1000000U;

    if (backoff->min_ms > 0 && troupe_now_ns(sup->runtime) - child->started_ns >= reset_ns) {
        child->failures = 0;
    }
}

/* Waits, and then goes on with `child`: `kind` says how. */
static void retry_later(
    struct trp_supervisor *sup, struct trp_child *child, enum trp_tick_kind kind, uint64_t delay_ms)
{
    trp_life_set_state(sup, child, TROUPE_CHILD_RESTARTING);
    if (trp_life_set_tick(sup, child, kind, delay_ms) < 0) {
        /* Not even memory to wait: it would be no kindness to go on for ever. */
        give_up(sup, child, NULL);
    }
}

static void report_restart(struct trp_supervisor *sup, const struct trp_child *child,
    const struct troupe_reason *reason, uint64_t delay_ms)
{
    struct troupe_report event = {.kind = TROUPE_REPORT_RESTART,
        .pid = child->pid,
        .actor = trp_child_path(child),
        .reason = reason,
        .count = child->restart_count + 1,
        .time_ms = delay_ms};
    char when[32] = "";
    const char *text = troupe_reason_text(reason);

    if (delay_ms > 0) {
        snprintf(when, sizeof when, " in %llu ms", (unsigned long long)delay_ms);
    }
    trp_report_event(sup->runtime, &event, "is restarted%s: it ended with reason %s%s%s%s%s", when,
        troupe_exit_name(reason->kind), reason->kind == TROUPE_EXIT_ERROR ? ", " : "",
        reason->kind == TROUPE_EXIT_ERROR ? troupe_strerror(reason->code) : "",
        text[0] != '\0' ? ": " : "", text);
}

void trp_restart_count(struct trp_supervisor *sup, struct trp_child *child)
{
    child->restart_count++;
    sup->restart_count++;
    trp_count(&trp_supervisor_context(sup)->counters.restarts, 1);
}

/* The first start of all children fails with that of `child`. */
static void begin_failed(struct trp_supervisor *sup, const struct trp_child *child, int error)
{
    struct troupe_reason reason = {.kind = TROUPE_EXIT_ERROR, .code = error};
    struct troupe_report event = {.kind = TROUPE_REPORT_GIVE_UP,
        .pid = trp_actor_pid(sup->self),
        .actor = trp_supervisor_path(sup),
        .reason = &reason,
        .child = trp_child_path(child)};

    trp_report_event(sup->runtime, &event, "cannot start: %s failed with error %d (%s)",
        event.child, error, troupe_strerror(error));
    trp_supervisor_end(sup, reason);
}

/* A start has failed; `child` is down.  `ran`: its init ran, so it is the child's own failure. */
void trp_restart_failed(struct trp_supervisor *sup, struct trp_child *child, int error, bool ran)
{
    bool excused = !ran && (trp_life_is_want_of_memory(error) || error == TROUPE_EBUSY);

    if (trp_crew_start_failed(sup, child, error)) {
        return;
    }
    if (trp_desk_is_asked(child, TROUPE_CHILD_START)) {
        trp_life_set_wanted(sup, child, false);
        trp_desk_settle_starts(sup, child, error);
        trp_brood_remove(sup, child);
        return;
    }
    if (trp_desk_is_asked(child, TROUPE_CHILD_RESTART)) {
        trp_life_set_wanted(sup, child, false);
        trp_life_set_state(sup, child, TROUPE_CHILD_STOPPED);
        trp_life_let_go(sup, child);
        trp_desk_settle_starts(sup, child, error);
        return;
    }
    if (sup->phase == TRP_SUPERVISOR_BEGINNING && sup->sweep == TRP_SWEEP_UP &&
        child == sup->cursor) {
        trp_life_set_state(sup, child, TROUPE_CHILD_STOPPED);
        begin_failed(sup, child, error);
        return;
    }
    if (excused) {
        retry_later(sup, child, TRP_TICK_RESUME, RETRY_MS);
        return;
    }
    if (sup->sweep == TRP_SWEEP_UP && child == sup->cursor) {
        /* Later ones stay down until the next attempt, which is made for the group. */
        sup->sweep = TRP_SWEEP_NONE;
    }
    retry_later(sup, child, TRP_TICK_RETRY, backoff_ms(sup, child));
}

static void restart_one(struct trp_supervisor *sup, struct trp_child *child)
{
    int error = trp_life_start(sup, child);

    if (error < 0) {
        trp_restart_failed(sup, child, error, false);
        return;
    }
    trp_restart_count(sup, child);
}

/* Makes an attempt that was charged to restart `child`, which is down. */
void trp_restart_attempt(struct trp_supervisor *sup, struct trp_child *child)
{
    switch (sup->plan->strategy) {
    case TROUPE_ONE_FOR_ONE:
    case TROUPE_SIMPLE_ONE_FOR_ONE:
    case TROUPE_POOL:
        restart_one(sup, child);
        break;
    case TROUPE_ONE_FOR_ALL:
        trp_life_set_state(sup, child, TROUPE_CHILD_STOPPED);
        trp_sweep_group(sup, trp_brood_first(sup));
        break;
    case TROUPE_REST_FOR_ONE:
        trp_life_set_state(sup, child, TROUPE_CHILD_STOPPED);
        if (trp_sweep_comes_to(sup, child)) {
            /* Somebody had it started before its turn. */
            trp_life_set_wanted(sup, child, true);
        } else {
            /* Whatever sweep there is goes on from here: those before `child` are up. */
            trp_sweep_group(sup, child);
        }
        break;
    }
}

/* It is down and will not be started again by itself, but maybe by a sweep.  One that was being added is gone. */
void trp_restart_rest(struct trp_supervisor *sup, struct trp_child *child)
{
    bool added = child->forget || (!child->wanted && trp_desk_is_asked(child, TROUPE_CHILD_START));

    trp_life_set_state(sup, child, TROUPE_CHILD_STOPPED);
    if (added || child->spec->restart == TROUPE_TEMPORARY || trp_supervisor_is_simple(sup)) {
        trp_life_set_wanted(sup, child, false);
        trp_desk_settle(sup, child, TROUPE_CHILD_TERMINATE, TROUPE_OK);
        trp_desk_settle_starts(sup, child, TROUPE_EDIED);
        trp_brood_remove(sup, child);
        return;
    }
    if (!child->wanted || sup->phase == TRP_SUPERVISOR_ENDING) {
        trp_life_let_go(sup, child);
    }
    trp_desk_settle(sup, child, TROUPE_CHILD_TERMINATE, TROUPE_OK);
    if (!child->wanted) {
        trp_desk_settle_starts(sup, child, TROUPE_EDIED);
    }
}

void trp_restart_ignored(struct trp_supervisor *sup, struct trp_child *child)
{
    trp_life_set_state(sup, child, TROUPE_CHILD_STOPPED);
    trp_desk_settle_starts(sup, child, TROUPE_OK);
    trp_restart_rest(sup, child);
}

/* Not before all have been started: who waits for that is told first. */
void trp_restart_check_work(struct trp_supervisor *sup)
{
    bool is_done =
        sup->plan->auto_shutdown == TROUPE_SHUTDOWN_ANY_SIGNIFICANT || sup->significant_count == 0;

    if (sup->work_ended && is_done && sup->phase == TRP_SUPERVISOR_SERVING) {
        trp_supervisor_end(sup, (struct troupe_reason){.kind = TROUPE_EXIT_SHUTDOWN});
    }
}

/* It ended by itself and is not restarted. */
static void finished(struct trp_supervisor *sup, struct trp_child *child)
{
    /* One that a sweep would have stopped soon has not ended for good. */
    bool counts = child->spec->significant && !trp_sweep_takes(sup, child);

    trp_restart_rest(sup, child);
    if (counts) {
        sup->work_ended = true;
        trp_restart_check_work(sup);
    }
}

/* What restart type and reason say. */
static enum troupe_directive decide_by_type(
    const struct trp_child *child, const struct troupe_reason *reason)
{
    bool is_enough = child->spec->restart == TROUPE_TRANSIENT && troupe_reason_is_clean(reason);

    return is_enough ? TROUPE_DECIDE_STOP : TROUPE_DECIDE_RESTART;
}

/* STOP, RESTART or ESCALATE.  A temporary child is never restarted, and none at the end. */
static enum troupe_directive decide(const struct trp_supervisor *sup, const struct trp_child *child,
    const struct troupe_reason *reason)
{
    enum troupe_directive directive = TROUPE_DECIDE_BY_TYPE;

    if (sup->phase == TRP_SUPERVISOR_ENDING) {
        return TROUPE_DECIDE_STOP;
    }
    if (child->leaving) {
        /* For what it has left. */
        return child->in_place && !troupe_reason_is_clean(reason) ? TROUPE_DECIDE_RESTART
                                                                  : TROUPE_DECIDE_STOP;
    }
    if (child->spec->decide != NULL && !trp_sweep_takes(sup, child)) {
        trp_callouts++;
        directive = child->spec->decide(child->spec->decide_context, reason);
        trp_callouts--;
    }
    if (directive == TROUPE_DECIDE_ESCALATE) {
        return directive;
    }
    if (child->spec->restart == TROUPE_TEMPORARY) {
        return TROUPE_DECIDE_STOP;
    }
    if (directive == TROUPE_DECIDE_STOP || directive == TROUPE_DECIDE_RESTART) {
        return directive;
    }
    return directive == TROUPE_DECIDE_RESUME ? TROUPE_DECIDE_RESTART
                                             : decide_by_type(child, reason);
}

/* Its end is the supervisor's. */
static void escalate(
    struct trp_supervisor *sup, struct trp_child *child, const struct troupe_reason *reason)
{
    struct troupe_report event = {.kind = TROUPE_REPORT_GIVE_UP,
        .pid = trp_actor_pid(sup->self),
        .actor = trp_supervisor_path(sup),
        .reason = reason,
        .child = trp_child_path(child)};
    struct troupe_reason own = *reason;

    trp_report_event(sup->runtime, &event, "ends with the reason of %s: %s", event.child,
        troupe_exit_name(reason->kind));
    if (own.text != NULL) {
        troupe_buffer_retain(own.text);
    }
    trp_restart_rest(sup, child);
    trp_supervisor_end(sup, own);
}

/* The attempt is charged when it is made. */
static void restart_later(
    struct trp_supervisor *sup, struct trp_child *child, const struct troupe_reason *reason)
{
    uint64_t delay_ms = backoff_ms(sup, child);

    if (trp_report_is_wanted(sup->runtime)) {
        report_restart(sup, child, reason, delay_ms);
    }
    retry_later(sup, child, TRP_TICK_RETRY, delay_ms);
}

void trp_restart_orphaned(struct trp_supervisor *sup, struct trp_child *child)
{
    bool added = trp_desk_is_asked(child, TROUPE_CHILD_START);

    child->orphan = true;
    trp_desk_settle(sup, child, TROUPE_CHILD_TERMINATE, TROUPE_ETIMEDOUT);
    if (added || trp_desk_is_asked(child, TROUPE_CHILD_RESTART)) {
        trp_desk_settle_starts(sup, child, TROUPE_ETIMEDOUT);
        child->start_error = TROUPE_OK;
        child->forget = added;
    }
    if (sup->phase == TRP_SUPERVISOR_BEGINNING && child == sup->cursor) {
        child->start_error = TROUPE_OK;
        begin_failed(sup, child, TROUPE_ETIMEDOUT);
    }
}

/* It ended by itself: the table of supervisor.h. */
void trp_restart_ended(
    struct trp_supervisor *sup, struct trp_child *child, const struct troupe_reason *reason)
{
    enum troupe_directive directive = decide(sup, child, reason);

    if (directive == TROUPE_DECIDE_ESCALATE) {
        escalate(sup, child, reason);
        return;
    }
    if (directive == TROUPE_DECIDE_STOP) {
        finished(sup, child);
        return;
    }
    if (trp_sweep_takes(sup, child)) {
        trp_life_set_wanted(sup, child, true);
        trp_restart_rest(sup, child);
        return;
    }
    trp_life_set_state(sup, child, TROUPE_CHILD_RESTARTING);
    if (child->spec->backoff.min_ms > 0) {
        note_run(sup, child);
        restart_later(sup, child, reason);
    } else if (trp_restart_charge(sup, child, reason)) {
        if (trp_report_is_wanted(sup->runtime)) {
            report_restart(sup, child, reason, 0);
        }
        trp_restart_attempt(sup, child);
    }
}
