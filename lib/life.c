/* SPDX-License-Identifier: MIT */
/* life.c - one life of one child: how it starts, how it is stopped, and the tick that ends a state. */
#include "supervisor.h"

#include <limits.h>

#include <troupe/link.h>

#include "group.h"
#include "registry.h"
#include "shorthand.h"
#include "tally.h"
#include "via.h"

/* Keeps count of the significant children that are at work, or will be. */
static void recount(struct trp_supervisor *sup, struct trp_child *child)
{
    bool active = child->spec->significant && trp_child_is_due(child);

    if (active != child->counted) {
        child->counted = active;
        sup->significant_count += active ? 1 : UINT64_MAX;
    }
}

void trp_life_set_wanted(struct trp_supervisor *sup, struct trp_child *child, bool wanted)
{
    child->wanted = wanted;
    recount(sup, child);
}

void trp_life_set_state(
    struct trp_supervisor *sup, struct trp_child *child, enum troupe_child_state state)
{
    child->state = state;
    child->epoch++;
    child->orphan = false;
    trp_ignore(troupe_timer_cancel(sup->self, child->timer));
    child->timer = (struct troupe_timer){0};
    recount(sup, child);
}

/* The tick that ends the state `child` is in.  TROUPE_ENOMEM, TROUPE_ELIMIT. */
int trp_life_set_tick(
    struct trp_supervisor *sup, struct trp_child *child, enum trp_tick_kind kind, uint64_t delay_ms)
{
    struct trp_tick tick = {child->number, child->epoch, kind};

    return troupe_tick_after(sup->self, delay_ms, &trp_tick_type, &tick, &child->timer);
}

/* Lets the cell of a child go that is not to live again. */
void trp_life_let_go(struct trp_supervisor *sup, struct trp_child *child)
{
    if (child->in_place) {
        trp_ignore(trp_actor_release(trp_supervisor_context(sup), child->pid));
        child->in_place = false;
    }
    child->pid = TROUPE_NOBODY;
}

/* The life of `child` is over: its tie may serve another. */
void trp_life_untie(struct trp_supervisor *sup, struct trp_child *child)
{
    if (child->tie != NULL) {
        trp_spare_give(sup, child->tie);
        child->tie = NULL;
    }
}

/* ---- starting ---- */

bool trp_life_is_want_of_memory(int error)
{
    return error == TROUPE_ENOMEM || error == TROUPE_ELIMIT;
}

static const void *child_arg(const struct trp_child *child)
{
    if (child->arg != NULL) {
        return child->arg;
    }
    return child->spec->arg_at > 0 ? (const char *)child->plan + child->spec->arg_at
                                   : child->spec->arg;
}

/* Its failures are decided upon where they happen.  It has an extra block, since it is tied. */
static void let_resume(struct troupe_actor *actor, const struct trp_plan_child *spec)
{
    struct trp_extra *extra = trp_actor_extra(actor);

    extra->decide = spec->decide;
    extra->decide_context = spec->decide_context;
}

const char *trp_life_group(const struct trp_supervisor *sup, const struct trp_plan_child *spec)
{
    if (trp_supervisor_is_pool(sup)) {
        return spec->group_at > 0 ? (const char *)sup->plan + spec->group_at : sup->name;
    }
    return NULL;
}

/* Of this child, whose plan may be its own. */
static const char *child_group(const struct trp_supervisor *sup, const struct trp_child *child)
{
    if (child->leaving) {
        return NULL;
    }
    return child->spec->group_at > 0 ? (const char *)child->plan + child->spec->group_at
                                     : trp_life_group(sup, child->spec);
}

/* Gives the newborn its name in a registry of the user's, and its group, if it has them. */
static int equip(struct trp_context *context, const struct trp_child *child, const char *group,
    struct troupe_actor *actor)
{
    int error;

    if (child->spec->via != NULL) {
        TROUPE_TRY(trp_via_enter(context, actor, child->spec->via, trp_child_path(child)));
    }
    error = group != NULL ? trp_group_enroll(context, actor, group) : TROUPE_OK;
    if (error < 0) {
        (void)trp_via_release(actor, UINT_MAX);
    }
    return error;
}

/* A new cell for `child`, tied, in its group, but not running; named, if `entry` was reserved for it. */
static int make_actor(struct trp_supervisor *sup, struct trp_child *child,
    const struct troupe_behaviour *behaviour, struct trp_entry *entry,
    struct troupe_actor **out_actor)
{
    struct trp_context *context = trp_supervisor_context(sup);
    struct trp_spawn spawn = {
        .behaviour = behaviour,
        .arg = child_arg(child),
        .arg_size = child->arg != NULL ? child->arg_size : child->spec->arg_size,
        .parent = trp_actor_pid(sup->self),
        .pinned = child->spec->pinned,
        .keep_mailbox = child->spec->keep_mailbox && child->spec->restart != TROUPE_TEMPORARY,
    };
    const char *group = child_group(sup, child);
    struct troupe_actor *actor;
    int error;

    TROUPE_TRY(trp_actor_spawn(context, &spawn, &actor));
    error = trp_tie_bind(sup->self, actor, child->tie, child);
    if (error == TROUPE_OK) {
        error = equip(context, child, group, actor);
        if (error < 0) {
            trp_tie_unbind(sup->self, actor, child->tie);
        }
    }
    if (error < 0) {
        trp_actor_discard(context, actor);
        return error;
    }
    if (trp_supervisor_is_pool(sup)) {
        trp_tally_begin(actor);
    }
    if (child->spec->may_resume) {
        let_resume(actor, child->spec);
    }
    if (entry != NULL) {
        trp_registry_commit(entry, actor);
    }
    *out_actor = actor;
    return TROUPE_OK;
}

/* The same, with its name taken first. */
static int make_named(
    struct trp_supervisor *sup, struct trp_child *child, struct troupe_actor **out_actor)
{
    const struct troupe_behaviour *behaviour = child->spec->behaviour;
    struct trp_entry *entry = NULL;
    troupe_pid holder;
    int error;

    if (behaviour == NULL) {
        TROUPE_TRY(
            trp_shorthand_of(sup->runtime, child->spec->main, trp_child_id(child), &behaviour));
    }
    if (child->name[0] != '\0' && child->spec->via == NULL) {
        TROUPE_TRY(
            trp_registry_reserve(sup->runtime, child->name, behaviour->name, &holder, &entry));
    }
    error = make_actor(sup, child, behaviour, entry, out_actor);
    if (error < 0) {
        trp_registry_cancel(entry);
    }
    return error;
}

static int start_anew(struct trp_supervisor *sup, struct trp_child *child)
{
    struct troupe_actor *actor;

    TROUPE_TRY(make_named(sup, child, &actor));
    child->pid = trp_actor_pid(actor);
    if (trp_supervisor_is_simple(sup)) {
        trp_brood_note_pid(sup, child);
    }
    trp_actor_launch(trp_supervisor_context(sup), actor);
    return TROUPE_OK;
}

/* Gives the cell that waits its next life. */
static int start_in_place(struct trp_supervisor *sup, struct trp_child *child)
{
    struct trp_context *context = trp_supervisor_context(sup);
    struct troupe_actor *actor = trp_actor_find(sup->runtime, child->pid);
    int error;

    if (actor == NULL) {
        return TROUPE_EGONE;
    }
    TROUPE_TRY(trp_tie_bind(sup->self, actor, child->tie, child));
    error = trp_actor_restart(context, child->pid);
    if (error < 0) {
        trp_tie_unbind(sup->self, actor, child->tie);
        return error;
    }
    child->in_place = false;
    return TROUPE_OK;
}

/* Starts `child`, which is not alive; it then is STARTING.  On error it is as before. */
int trp_life_start(struct trp_supervisor *sup, struct trp_child *child)
{
    int error;

    child->tie = trp_spare_take(sup);
    if (child->tie == NULL) {
        return TROUPE_ENOMEM;
    }
    error = child->in_place ? start_in_place(sup, child) : TROUPE_EGONE;
    if (error == TROUPE_EGONE) {
        child->in_place = false;
        error = start_anew(sup, child);
    }
    if (error < 0) {
        trp_life_untie(sup, child);
        return error;
    }
    trp_life_set_state(sup, child, TROUPE_CHILD_STARTING);
    trp_life_set_wanted(sup, child, false);
    child->start_error = TROUPE_OK;
    if (child->spec->restart == TROUPE_TEMPORARY) {
        /* It starts once, and has a copy. */
        trp_child_drop_arg(sup->memory, child);
    }
    if (child->spec->start_timeout_ms != TROUPE_FOREVER) {
        /* Without memory for the tick it has all the time it wants. */
        trp_ignore(
            trp_life_set_tick(sup, child, TRP_TICK_START, (uint64_t)child->spec->start_timeout_ms));
    }
    return TROUPE_OK;
}

/* ---- stopping ---- */

/* Nobody there: it has ended, and its notice is on the way; or its next life was asked for while the last one was on its
 * way out, and will say when it has begun. */
void trp_life_kill(struct trp_supervisor *sup, struct trp_child *child)
{
    int grace_ms = child->spec->kill_grace_ms;

    child->unheard = troupe_kill(sup->self, child->pid) == TROUPE_EGONE;
    if (grace_ms != TROUPE_FOREVER && sup->sweep != TRP_SWEEP_ALL) {
        /* Without memory for the tick it is waited for, and nobody learns of it. */
        trp_ignore(trp_life_set_tick(sup, child, TRP_TICK_GRACE, (uint64_t)grace_ms));
    }
}

/* Tells `child`, which is alive, to end. */
void trp_life_stop(struct trp_supervisor *sup, struct trp_child *child)
{
    int shutdown_ms = child->spec->shutdown_ms;
    int error;

    trp_life_set_state(sup, child, TROUPE_CHILD_STOPPING);
    if (shutdown_ms == TROUPE_BRUTAL_KILL || sup->killing) {
        trp_life_kill(sup, child);
        return;
    }
    error = troupe_send_exit(sup->self, child->pid, TROUPE_EXIT_SHUTDOWN);
    if (error == TROUPE_ENOMEM) {
        /* No memory to ask: it needs none to kill. */
        trp_life_kill(sup, child);
        return;
    }
    child->unheard = error == TROUPE_EGONE;
    if (sup->sweep == TRP_SWEEP_ALL) {
        /* All of them have one deadline. */
        return;
    }
    if (shutdown_ms != TROUPE_FOREVER &&
        trp_life_set_tick(sup, child, TRP_TICK_STOP, (uint64_t)shutdown_ms) < 0) {
        trp_life_kill(sup, child);
    }
}
