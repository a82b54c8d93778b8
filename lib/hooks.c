/* SPDX-License-Identifier: MIT */
/*
 * hooks.c - lib's part in an actor's life, in one table.
 *
 * sched calls these at fixed points of a slice and of the exit sequence (sched/core.h says when); here
 * each is handed to the module that cares.
 */
#include "core.h"

#include "call.h"
#include "link.h"
#include "registry.h"

static int hooks_open(struct troupe_actor *self, struct troupe_message *msg)
{
    if (msg->kind == TRP_MESSAGE_NOTICE) {
        return trp_link_open(self, msg);
    }
    return trp_call_open(self, msg);
}

static void hooks_retire(
    struct trp_context *context, struct troupe_actor *self, struct troupe_message *msg)
{
    if (msg->kind == TRP_MESSAGE_NOTICE) {
        trp_link_retire(context, msg);
        return;
    }
    trp_call_retire(context, self, msg);
}

static bool hooks_shutdown(struct troupe_runtime *runtime, troupe_pid pid)
{
    /* One that is gone need not be told.  If memory never comes, troupe_runtime_stop() kills it when half of its time
     * is over. */
    return troupe_runtime_exit(runtime, pid, TROUPE_EXIT_SHUTDOWN) != TROUPE_ENOMEM;
}

const struct trp_hooks trp_hooks = {
    .open = hooks_open,
    .condemns = trp_link_condemns,
    .shutdown = hooks_shutdown,
    .retire = hooks_retire,
    .bounce = trp_call_bounce,
    .started = trp_link_started,
    .bounce_held = trp_call_bounce_held,
    .cancel = trp_call_cancel,
    .release = trp_registry_release,
    .notify = trp_link_notify,
    .create = trp_registry_create,
    .destroy = trp_registry_destroy,
};
