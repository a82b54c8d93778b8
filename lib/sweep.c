/* SPDX-License-Identifier: MIT */
/*
 * sweep.c - a walk through the children, one at a time, that stops or starts them: see supervisor.h.
 */
#include "supervisor.h"

/* The child that the sweep comes to after `cursor`. */
struct trp_child *trp_sweep_next(const struct trp_supervisor *sup)
{
    if (sup->sweep != TRP_SWEEP_DOWN) {
        return trp_brood_next(sup, sup->cursor);
    }
    return sup->cursor == sup->from ? NULL : trp_brood_previous(sup, sup->cursor);
}

/* Numbers rise with the start order. */
bool trp_sweep_takes(const struct trp_supervisor *sup, const struct trp_child *child)
{
    return sup->sweep == TRP_SWEEP_DOWN && sup->from != NULL && child->number >= sup->from->number;
}

bool trp_sweep_comes_to(const struct trp_supervisor *sup, const struct trp_child *child)
{
    return sup->sweep == TRP_SWEEP_UP && sup->cursor != NULL && child->number > sup->cursor->number;
}

/* Stops `from` and all after it, then starts them again. */
void trp_sweep_group(struct trp_supervisor *sup, struct trp_child *from)
{
    for (struct trp_child *child = from; child != NULL; child = trp_brood_next(sup, child)) {
        trp_life_set_wanted(sup, child, true);
    }
    sup->sweep = TRP_SWEEP_DOWN;
    sup->from = from;
    sup->cursor = trp_brood_last(sup);
}

void trp_sweep_forsake(struct trp_supervisor *sup)
{
    sup->forsaken =
        sup->plan->strategy == TROUPE_ONE_FOR_ALL || sup->plan->strategy == TROUPE_REST_FOR_ONE;
}

/* The first that waits to be started.  NULL also if one before it is to be tried again: that is tried for all after it. */
static struct trp_child *first_waiting(const struct trp_supervisor *sup)
{
    struct trp_child *child = trp_brood_first(sup);

    while (child != NULL && child->state != TROUPE_CHILD_RESTARTING) {
        if (child->state == TROUPE_CHILD_STOPPED && child->wanted) {
            return child;
        }
        child = trp_brood_next(sup, child);
    }
    return NULL;
}

/* No sweep runs: starts those that wait for an attempt that was called off.  False: none. */
static bool resume(struct trp_supervisor *sup)
{
    if (!sup->forsaken || sup->phase != TRP_SUPERVISOR_SERVING) {
        return false;
    }
    sup->forsaken = false;
    sup->from = first_waiting(sup);
    sup->cursor = sup->from;
    sup->sweep = sup->from != NULL ? TRP_SWEEP_UP : TRP_SWEEP_NONE;
    return sup->from != NULL;
}

/* Down: true when it must wait for `cursor`. */
static bool sweep_down_waits(struct trp_supervisor *sup)
{
    struct trp_child *child = sup->cursor;

    switch (child->state) {
    case TROUPE_CHILD_STARTING:
    case TROUPE_CHILD_RUNNING:
        /* Also one that was started because somebody asked, since the sweep began. */
        trp_life_set_wanted(sup, child, child->wanted || sup->phase != TRP_SUPERVISOR_ENDING);
        trp_life_stop(sup, child);
        return true;
    case TROUPE_CHILD_STOPPING:
        return !child->orphan || sup->phase != TRP_SUPERVISOR_ENDING;
    case TROUPE_CHILD_RESTARTING:
        trp_life_set_state(sup, child, TROUPE_CHILD_STOPPED);
        break;
    case TROUPE_CHILD_STOPPED:
        break;
    }
    if (sup->phase == TRP_SUPERVISOR_ENDING) {
        trp_life_let_go(sup, child);
    }
    return false;
}

/* Up: true when it must wait for `cursor`. */
static bool sweep_up_waits(struct trp_supervisor *sup)
{
    struct trp_child *child = sup->cursor;
    int error;

    if (child->state != TROUPE_CHILD_STOPPED) {
        return child->state != TROUPE_CHILD_RUNNING;
    }
    if (!child->wanted) {
        return false;
    }
    error = trp_life_start(sup, child);
    if (error < 0) {
        trp_restart_failed(sup, child, error, false);
        /* It was removed, rests, waits for memory, or ended the sweep. */
        return sup->cursor == child && sup->sweep == TRP_SWEEP_UP &&
               child->state != TROUPE_CHILD_STOPPED;
    }
    if (sup->phase != TRP_SUPERVISOR_BEGINNING && !trp_desk_is_asked(child, TROUPE_CHILD_START)) {
        trp_restart_count(sup, child);
    }
    return true;
}

/* The sweep has gone through.  Down becomes up, unless this is the end. */
static void sweep_turn(struct trp_supervisor *sup)
{
    if (sup->sweep == TRP_SWEEP_DOWN && sup->phase != TRP_SUPERVISOR_ENDING) {
        sup->sweep = TRP_SWEEP_UP;
        sup->cursor = sup->from;
        return;
    }
    sup->sweep = TRP_SWEEP_NONE;
    sup->from = NULL;
    if (sup->phase == TRP_SUPERVISOR_BEGINNING) {
        sup->phase = TRP_SUPERVISOR_SERVING;
        trp_supervisor_tell_start(sup, TROUPE_OK);
        trp_restart_check_work(sup);
    }
}

/* Goes on as far as it can without waiting. */
void trp_sweep_on(struct trp_supervisor *sup)
{
    if (sup->sweep == TRP_SWEEP_ALL) {
        sup->sweep = trp_crowd_waits(sup) ? TRP_SWEEP_ALL : TRP_SWEEP_NONE;
        return;
    }
    while (sup->sweep != TRP_SWEEP_NONE || resume(sup)) {
        struct trp_child *child = sup->cursor;
        enum trp_sweep sweep = sup->sweep;

        if (child == NULL || sup->from == NULL) {
            sup->cursor = NULL;
            sweep_turn(sup);
            continue;
        }
        if (sweep == TRP_SWEEP_DOWN ? sweep_down_waits(sup) : sweep_up_waits(sup)) {
            return;
        }
        if (sup->sweep == sweep && sup->cursor == child) {
            sup->cursor = trp_sweep_next(sup);
        }
    }
}
