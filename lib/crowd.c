/* SPDX-License-Identifier: MIT */
/*
 * crowd.c - the end of a simple_one_for_one supervisor: all children are told at once and share one deadline.
 *
 *            all told, none left
 *     TELLING ------------------------------------------------------+
 *        |                                                          v
 *        | deadline, or brutal_kill        none left            (supervisor leaves)
 *        +----------------> KILLING --------------------------------^
 *                              |    grace is over, and they need not be waited for
 *                              +------------------------------------+
 *
 * A walk through the children is as long as they are many: it goes on for TOLD_AT_ONCE of them and then lets others have the
 * worker.  What ends meanwhile takes itself out of the list.
 */
#include "supervisor.h"

#include <stdlib.h>

/** So many are told in one go. */
#define TOLD_AT_ONCE 256

static int set_tick(struct trp_supervisor *sup, enum trp_tick_kind kind, int delay_ms)
{
    struct trp_tick tick = {.number = TRP_TICK_OWN, .kind = kind};

    return troupe_tick_after(sup->self, (uint64_t)delay_ms, &trp_tick_type, &tick, NULL);
}

static const struct trp_plan_child *template_of(const struct trp_supervisor *sup)
{
    return &sup->plan->children[0];
}

static void begin_killing(struct trp_supervisor *sup)
{
    int grace_ms = template_of(sup)->kill_grace_ms;

    sup->killing = true;
    sup->cursor = trp_brood_first(sup);
    if (grace_ms != TROUPE_FOREVER) {
        /* Without memory for the tick they are waited for, and nobody learns of it. */
        trp_ignore(set_tick(sup, TRP_TICK_GRACE, grace_ms));
    }
}

void trp_crowd_begin(struct trp_supervisor *sup)
{
    int shutdown_ms = template_of(sup)->shutdown_ms;

    sup->sweep = TRP_SWEEP_ALL;
    sup->from = NULL;
    sup->cursor = trp_brood_first(sup);
    /* Without memory for the tick nobody waits for them. */
    if (shutdown_ms == TROUPE_BRUTAL_KILL ||
        (shutdown_ms != TROUPE_FOREVER && set_tick(sup, TRP_TICK_STOP, shutdown_ms) < 0)) {
        begin_killing(sup);
    }
}

static void tell(struct trp_supervisor *sup, struct trp_child *child)
{
    switch (child->state) {
    case TROUPE_CHILD_STARTING:
    case TROUPE_CHILD_RUNNING:
        trp_life_stop(sup, child);
        break;
    case TROUPE_CHILD_STOPPING:
        if (sup->killing) {
            trp_life_kill(sup, child);
        }
        break;
    case TROUPE_CHILD_RESTARTING:
    case TROUPE_CHILD_STOPPED:
        trp_restart_rest(sup, child);
        break;
    }
}

bool trp_crowd_waits(struct trp_supervisor *sup)
{
    unsigned told = 0;

    while (sup->cursor != NULL) {
        struct trp_child *child = sup->cursor;

        if (told >= TOLD_AT_ONCE && set_tick(sup, TRP_TICK_RESUME, 0) == TROUPE_OK) {
            return true;
        }
        told = told >= TOLD_AT_ONCE ? 0 : told + 1;
        sup->cursor = trp_brood_next(sup, child);
        tell(sup, child);
    }
    return sup->child_count > 0 && !sup->abandoned;
}

static void report(const struct trp_supervisor *sup, const char *what, int limit_ms)
{
    struct troupe_report event = {.kind = TROUPE_REPORT_UNSTOPPED,
        .pid = trp_actor_pid(sup->self),
        .actor = trp_supervisor_path(sup),
        .count = sup->child_count,
        .time_ms = (uint64_t)limit_ms};

    trp_report_event(sup->runtime, &event, "%llu of its children %s within %d ms",
        (unsigned long long)event.count, what, limit_ms);
}

static void on_grace(struct trp_supervisor *sup)
{
    const struct trp_plan_child *template = template_of(sup);

    report(sup, "were killed and did not end", template->kill_grace_ms);
    if (template->unkillable == TROUPE_UNKILLABLE_ABORT) {
        abort();
    }
    sup->abandoned = template->unkillable == TROUPE_UNKILLABLE_ORPHAN;
}

void trp_crowd_tick(struct trp_supervisor *sup, enum trp_tick_kind kind)
{
    if (sup->sweep != TRP_SWEEP_ALL || sup->child_count == 0) {
        return;
    }
    if (kind == TRP_TICK_STOP) {
        report(sup, "did not stop, and are killed,", template_of(sup)->shutdown_ms);
        begin_killing(sup);
    } else if (kind == TRP_TICK_GRACE) {
        on_grace(sup);
    }
}
