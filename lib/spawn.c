/* SPDX-License-Identifier: MIT */
/*
 * spawn.c - the public ways to make an actor.
 *
 * The name is reserved before anything else, so a spawn that loses it makes no actor.  Then the core makes a cell that
 * nobody runs yet; here it gets its monitor, its link and its group, then its name, and only then its first run slot, so
 * that none of them can come too late.  Whatever fails, the cell is given back and nothing is left: the name was
 * not seen, the monitor is taken back.
 */
#include "core.h"

#include <limits.h>

#include "group.h"
#include "link.h"
#include "monitor.h"
#include "name_table.h"
#include "policy.h"
#include "reference.h"
#include "registry.h"
#include "via.h"

#include <troupe/mailbox.h>

TRP_INLINE bool is_behaviour(const struct troupe_behaviour *behaviour)
{
    return behaviour != NULL && behaviour->name != NULL &&
           (behaviour->receive != NULL) != (behaviour->main != NULL) &&
           (!behaviour->thread || behaviour->main != NULL) &&
           behaviour->stack_size <= TROUPE_STACK_MAX &&
           behaviour->capacity <= TROUPE_CAPACITY_MAX &&
           behaviour->capacity_bytes <= TROUPE_CAPACITY_BYTES_MAX &&
           (behaviour->margin <= TROUPE_MARGIN_MAX || behaviour->margin == TROUPE_NO_MARGIN) &&
           ((behaviour->overload == NULL && behaviour->receive_batch == NULL) ||
               trp_policy_complaint(behaviour) == NULL);
}

TRP_INLINE bool are_options(const struct troupe_spawn_options *options)
{
    return is_behaviour(options->behaviour) && (options->arg_size == 0 || options->arg != NULL) &&
           options->arg_size <= UINT32_MAX &&
           (options->name == NULL || trp_name_is_valid(options->name)) &&
           (options->via == NULL || (options->name != NULL && trp_via_is_valid(options->via))) &&
           (options->group == NULL || trp_name_is_valid(options->group));
}

/* What equip() has done. */
struct equipment {
    bool linked;
    bool monitored;
    bool referred;
    troupe_ref ref;
    struct troupe_reference *reference;
};

/* Undoes it: the newborn is given up. */
static void unequip(struct trp_context *context, struct troupe_actor *self,
    struct troupe_actor *newborn, const struct equipment *done)
{
    if (done->linked) {
        troupe_unlink(self, trp_actor_pid(newborn));
    }
    if (done->monitored) {
        (void)troupe_demonitor(self, done->ref);
    }
    if (done->referred) {
        trp_reference_forget(context, newborn);
    }
}

/* Gives the newborn what its options say, its group last, where others see it; but for its name, for which it gets the
 * room.  `self` NULL: a foreign thread. */
static TRP_NOINLINE int equip(struct trp_context *context, struct troupe_actor *self,
    struct troupe_actor *newborn, const struct troupe_spawn_options *options)
{
    struct equipment done = {.linked = false};
    int error = TROUPE_OK;

    if (options->name != NULL && trp_actor_need_extra(context, newborn) == NULL) {
        return TROUPE_ENOMEM;
    }
    if (options->monitor != NULL) {
        error = trp_monitor_newborn(self, newborn, &done.ref);
        done.monitored = error == TROUPE_OK;
    }
    if (error == TROUPE_OK && options->reference != NULL) {
        error = trp_reference_newborn(context, newborn, &done.reference);
        done.referred = error == TROUPE_OK;
    }
    if (error == TROUPE_OK && options->link) {
        error = trp_link_newborn(self, newborn);
        done.linked = error == TROUPE_OK;
    }
    if (error == TROUPE_OK && options->via != NULL) {
        error = trp_via_enter(context, newborn, options->via, options->name);
    }
    if (error == TROUPE_OK && options->group != NULL) {
        error = trp_group_enroll(context, newborn, options->group);
    }
    if (error < 0) {
        (void)trp_via_release(newborn, UINT_MAX);
        unequip(context, self, newborn, &done);
        return error;
    }
    if (options->monitor != NULL) {
        *options->monitor = done.ref;
    }
    if (options->reference != NULL) {
        *options->reference = done.reference;
    }
    return TROUPE_OK;
}

/* Whether equip() has something to give. */
static inline bool is_equipped(const struct troupe_spawn_options *options)
{
    return options->monitor != NULL || options->link || options->group != NULL ||
           options->name != NULL || options->reference != NULL;
}

/* Makes the actor for which `entry`, if it is not NULL, was reserved. */
static int spawn_as(struct trp_context *context, struct troupe_actor *self,
    const struct troupe_spawn_options *options, struct trp_entry *entry, troupe_pid *out_pid)
{
    struct trp_spawn spawn = {
        .behaviour = options->behaviour,
        .arg = options->arg,
        .arg_size = options->arg_size,
        .pinned = options->pinned,
        .parent = self == NULL ? TROUPE_NOBODY : trp_actor_pid(self),
    };
    struct troupe_actor *newborn;
    int error;

    TROUPE_TRY(trp_actor_spawn(context, &spawn, &newborn));
    error = is_equipped(options) ? equip(context, self, newborn, options) : TROUPE_OK;
    if (error < 0) {
        trp_actor_discard(context, newborn);
        return error;
    }
    if (entry != NULL) {
        trp_registry_commit(entry, newborn);
    }
    /* Before it can run: it may be done before we return. */
    *out_pid = trp_actor_pid(newborn);
    trp_actor_launch(context, newborn);
    return TROUPE_OK;
}

static int reserve_and_spawn(struct trp_context *context, struct troupe_actor *self,
    const struct troupe_spawn_options *options, troupe_pid *out_pid)
{
    struct trp_entry *entry = NULL;
    troupe_pid holder = TROUPE_NOBODY;
    int error = TROUPE_OK;

    if (options->name != NULL && options->via == NULL) {
        error = trp_registry_reserve(
            context->runtime, options->name, options->behaviour->name, &holder, &entry);
    }
    if (error == TROUPE_EEXIST && options->holder != NULL) {
        *options->holder = holder;
    }
    if (error < 0) {
        return error;
    }
    error = spawn_as(context, self, options, entry, out_pid);
    if (error < 0) {
        trp_registry_cancel(entry);
    }
    if (error == TROUPE_EEXIST && options->holder != NULL) {
        *options->holder = troupe_whereis_via(options->via, options->name);
    }
    return error;
}

int troupe_spawn_sized(struct troupe_actor *self, const struct troupe_spawn_options *options,
    size_t options_size, troupe_pid *out_pid)
{
    TRP_INSIDE(self);
    struct troupe_spawn_options own;

    if (!trp_actor_is_mine(self) || out_pid == NULL) {
        return TROUPE_EINVAL;
    }
    TROUPE_TRY(trp_options_read(&own, sizeof own, options, options_size));
    if (!are_options(&own)) {
        return TROUPE_EINVAL;
    }
    return reserve_and_spawn(trp_context_of(self), self, &own, out_pid);
}

int troupe_runtime_spawn_sized(struct troupe_runtime *runtime,
    const struct troupe_spawn_options *options, size_t options_size, troupe_pid *out_pid)
{
    struct troupe_spawn_options own;
    struct trp_visit visit;
    int error;

    if (runtime == NULL || out_pid == NULL) {
        return TROUPE_EINVAL;
    }
    TROUPE_TRY(trp_options_read(&own, sizeof own, options, options_size));
    if (!are_options(&own) || own.link || own.monitor != NULL) {
        return TROUPE_EINVAL;
    }
    TROUPE_TRY(trp_context_enter(runtime, &visit));
    error = trp_runtime_is_stopping(runtime)
                ? TROUPE_ESTOPPED
                : reserve_and_spawn(visit.context, NULL, &own, out_pid);
    trp_context_leave(&visit);
    return error;
}
