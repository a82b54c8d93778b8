/* SPDX-License-Identifier: MIT */
/*
 * hooks.c - lib's part in an actor's life, in one table.
 *
 * sched calls these at fixed points of a slice and of the exit sequence (sched/core.h says when); here
 * each is handed to the module that cares.
 */
#include "core.h"

#include "alias.h"
#include "await.h"
#include "call.h"
#include "flow.h"
#include "gate.h"
#include "group.h"
#include "job.h"
#include "notice.h"
#include "notify.h"
#include "reference.h"
#include "registry.h"
#include "shorthand.h"
#include "tie.h"
#include "via.h"

static int hooks_open(struct troupe_actor *self, struct troupe_message *msg)
{
    switch (msg->kind) {
    case TRP_MESSAGE_NOTICE:
        return trp_notice_open(self, msg);
    case TRP_MESSAGE_CHANGE:
        return trp_group_open(self, msg);
    case TRP_MESSAGE_JOB:
        return trp_job_open(self, msg);
    case TRP_MESSAGE_FLOW:
        return trp_flow_open(self, msg);
    default:
        return trp_call_open(self, msg);
    }
}

static void hooks_retire(
    struct trp_context *context, struct troupe_actor *self, struct troupe_message *msg)
{
    switch (msg->kind) {
    case TRP_MESSAGE_NOTICE:
        trp_notice_retire(context, msg);
        break;
    case TRP_MESSAGE_CHANGE:
        trp_group_retire(context, msg);
        break;
    case TRP_MESSAGE_JOB:
        trp_job_retire(self, msg);
        break;
    case TRP_MESSAGE_FLOW:
        trp_flow_retire(context, self, msg);
        break;
    default:
        trp_call_retire(context, self, msg);
    }
}

/* Most actors have no extra block, and so none of what ends here. */

static void hooks_cancel(struct troupe_actor *self)
{
    if (trp_actor_extra(self) != NULL) {
        trp_call_cancel(self);
        trp_job_cancel_all(self);
        trp_group_cancel(self);
    }
}

static bool hooks_shutdown(struct troupe_runtime *runtime, troupe_pid pid)
{
    /* One that is gone need not be told.  If memory never comes, troupe_runtime_stop() kills it when half of its time
     * is over. */
    return troupe_runtime_exit(runtime, pid, TROUPE_EXIT_SHUTDOWN) != TROUPE_ENOMEM;
}

static bool hooks_release(struct troupe_actor *self, unsigned budget)
{
    return trp_actor_extra(self) == NULL ||
           trp_group_release(self, trp_via_release(self, trp_registry_release(self, budget))) > 0;
}

static int hooks_create(struct troupe_runtime *runtime)
{
    int error;

    TROUPE_TRY(trp_registry_create(runtime));
    error = trp_group_create(runtime);
    if (error == TROUPE_OK) {
        error = trp_shorthand_create(runtime);
    }
    if (error == TROUPE_OK) {
        error = trp_gates_create(runtime);
    }
    if (error < 0) {
        trp_shorthand_destroy(runtime);
        trp_group_destroy(runtime);
        trp_registry_destroy(runtime);
    }
    return error;
}

static void hooks_destroy(struct troupe_runtime *runtime)
{
    trp_gates_destroy(runtime);
    trp_shorthand_destroy(runtime);
    trp_group_destroy(runtime);
    trp_registry_destroy(runtime);
}

const struct trp_hooks trp_hooks = {
    .open = hooks_open,
    .condemns = trp_notice_condemns,
    .commands = trp_notice_commands,
    .shutdown = hooks_shutdown,
    .retire = hooks_retire,
    .bounce = trp_call_bounce,
    .return_permit = trp_gate_return_permit,
    .started = trp_tie_started,
    .ending = trp_reference_close,
    .bounce_held = trp_call_bounce_held,
    .cancel = hooks_cancel,
    .release = hooks_release,
    .notify = trp_notify_watchers,
    .find_alias = trp_alias_find,
    .spend_alias = trp_alias_spend,
    .follow_alias = trp_alias_follow,
    .wait_for_room = trp_await_send,
    .whereis = trp_registry_whereis,
    .create = hooks_create,
    .destroy = hooks_destroy,
};
