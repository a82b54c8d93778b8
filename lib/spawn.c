/* SPDX-License-Identifier: MIT */
/*
 * spawn.c - the public ways to make an actor.
 *
 * The core makes a cell that nobody runs yet; here it gets its name, its monitor and its link, and only then its
 * first run slot, so that none of them can come too late.  Whatever fails, the cell is given back and nothing
 * is left: the name is released, the monitor taken back.
 */
#include "core.h"

#include "link.h"
#include "registry.h"

#include <troupe/mailbox.h>

static bool is_behaviour(const struct troupe_behaviour *behaviour)
{
    return behaviour != NULL && behaviour->name != NULL && behaviour->receive != NULL &&
           behaviour->capacity <= TROUPE_CAPACITY_MAX &&
           behaviour->capacity_bytes <= TROUPE_CAPACITY_BYTES_MAX;
}

static bool are_options(const struct troupe_spawn_options *options)
{
    return is_behaviour(options->behaviour) && (options->arg_size == 0 || options->arg != NULL) &&
           options->arg_size <= UINT32_MAX &&
           (options->name == NULL || trp_registry_is_name(options->name));
}

/* Gives the newborn what its options say.  `self` NULL: a foreign thread. */
static int equip(struct troupe_actor *self, struct troupe_actor *newborn,
    const struct troupe_spawn_options *options)
{
    troupe_ref ref;

    if (options->name != NULL) {
        TROUPE_TRY(trp_registry_claim(newborn, options->name));
    }
    if (options->monitor != NULL) {
        TROUPE_TRY(trp_link_monitor_newborn(self, newborn, &ref));
    }
    if (options->link) {
        int error = trp_link_newborn(self, newborn);

        if (error < 0) {
            if (options->monitor != NULL) {
                (void)troupe_demonitor(self, ref);
            }
            return error;
        }
    }
    if (options->monitor != NULL) {
        *options->monitor = ref;
    }
    return TROUPE_OK;
}

static int spawn(struct trp_context *context, struct troupe_actor *self,
    const struct troupe_spawn_options *options, troupe_pid *out_pid)
{
    struct trp_spawn spawn = {
        .behaviour = options->behaviour,
        .arg = options->arg,
        .arg_size = options->arg_size,
        .parent = self == NULL ? TROUPE_NOBODY : trp_actor_pid(self),
    };
    struct troupe_actor *newborn;
    int error;

    TROUPE_TRY(trp_actor_spawn(context, &spawn, &newborn));
    error = equip(self, newborn, options);
    if (error < 0) {
        trp_registry_release(newborn);
        trp_actor_discard(context, newborn);
        return error;
    }
    /* Before it can run: it may be done before we return. */
    *out_pid = trp_actor_pid(newborn);
    trp_actor_launch(context, newborn);
    return TROUPE_OK;
}

int troupe_spawn_sized(struct troupe_actor *self, const struct troupe_spawn_options *options,
    size_t options_size, troupe_pid *out_pid)
{
    struct troupe_spawn_options own;

    if (!trp_actor_is_mine(self) || out_pid == NULL) {
        return TROUPE_EINVAL;
    }
    TROUPE_TRY(trp_options_read(&own, sizeof own, options, options_size));
    if (!are_options(&own)) {
        return TROUPE_EINVAL;
    }
    return spawn(trp_context_of(self), self, &own, out_pid);
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
    error = trp_runtime_is_stopping(runtime) ? TROUPE_ESTOPPED
                                             : spawn(visit.context, NULL, &own, out_pid);
    trp_context_leave(&visit);
    return error;
}
