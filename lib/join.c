/* SPDX-License-Identifier: MIT */
/*
 * join.c - a foreign thread waits for the end of an actor, or an actor is told of it in a call of its own.
 *
 * For a thread a helper actor monitors the pid and opens a latch (latch.h) on which the thread waits.  It traps exits so that it
 * outlasts the actor it watches when the runtime is stopped; a thread that waited in vain sends it an exit
 * NORMAL, which is its word for "nobody waits".
 *
 * An actor has a monitor of its own, and with a time-out the record of a call (call.c) as its clock.  Each of the two ends the
 * other; if both are on their way it is the notice that counts.  How a callback waits is in await.c.
 */
#include "call.h"
#include "latch.h"
#include "monitor.h"

#include <troupe/mailbox.h>

/* For a result that changes nothing here. */
static void ignore(int result)
{
    (void)result;
}

struct join {
    struct trp_latch *latch;
    troupe_pid pid;
};

static int join_init(struct troupe_actor *self, void *state, const void *arg)
{
    struct join *join = state;
    struct trp_outcome outcome = {0};
    troupe_ref ref;

    *join = *(const struct join *)arg;
    outcome.status = troupe_monitor(self, join->pid, &ref);
    if (outcome.status < 0) {
        trp_latch_tell(join->latch, &outcome);
        return TROUPE_DONE;
    }
    return TROUPE_OK;
}

static int join_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct join *join = state;

    (void)self;
    if (troupe_is(msg, &troupe_down)) {
        const struct troupe_down *down = troupe_body(msg);
        struct trp_outcome outcome = {.reason = trp_reason_copy(&down->reason)};

        trp_latch_tell(join->latch, &outcome);
        return TROUPE_DONE;
    }
    if (troupe_is(msg, &troupe_exited)) {
        const struct troupe_exited *exited = troupe_body(msg);

        return exited->reason.kind == TROUPE_EXIT_NORMAL ? TROUPE_DONE : TROUPE_OK;
    }
    return TROUPE_EUNKNOWN;
}

static void join_destroy(void *state)
{
    struct join *join = state;
    struct trp_outcome outcome = {.status = TROUPE_ESTOPPED};

    /* Nothing happens if it was told before. */
    trp_latch_tell(join->latch, &outcome);
    trp_latch_drop(join->latch);
}

static const struct troupe_behaviour join_behaviour = {
    .name = "troupe_join",
    .state_size = sizeof(struct join),
    .init = join_init,
    .receive = join_receive,
    .destroy = join_destroy,
    .trap_exit = true,
    .never_paused = true,
};

int troupe_join(
    struct troupe_runtime *runtime, troupe_pid pid, int wait_ms, struct troupe_reason *out_reason)
{
    struct join join = {.pid = pid};
    struct trp_outcome outcome;
    troupe_pid helper;
    int error;

    if (runtime == NULL || !trp_pid_is_actor(pid) || wait_ms < TROUPE_FOREVER) {
        return TROUPE_EINVAL;
    }
    TROUPE_TRY(trp_latch_create(runtime, &join.latch));
    error = troupe_runtime_spawn(runtime,
        (&(struct troupe_spawn_options){
            .behaviour = &join_behaviour, .arg = &join, .arg_size = sizeof join}),
        &helper);
    if (error < 0) {
        trp_latch_drop(join.latch); /* for the helper */
        trp_latch_drop(join.latch);
        return error;
    }
    error = trp_latch_wait(join.latch, wait_ms, &outcome);
    trp_latch_drop(join.latch);
    if (error < 0) {
        ignore(troupe_runtime_exit(runtime, helper, TROUPE_EXIT_NORMAL));
        return error;
    }
    if (outcome.status == TROUPE_OK && out_reason != NULL) {
        *out_reason = outcome.reason;
    } else {
        troupe_buffer_release(outcome.reason.text);
    }
    return outcome.status;
}

/* ---- told in a call ---- */

/* The time is over. */
static int on_time(
    struct troupe_actor *self, void *state, void *context, int status, struct troupe_message *reply)
{
    struct trp_join *join = context;
    troupe_exit_fn on_exit = join->on_exit;
    void *arg = join->context;

    (void)status;
    (void)reply;
    join->record = NULL;
    if (!trp_monitor_give_up(self, join)) {
        return TROUPE_OK; /* its notice is queued */
    }
    return on_exit(self, state, arg, TROUPE_ETIMEDOUT, NULL);
}

static int limit_time(struct troupe_actor *self, struct trp_join *join, uint64_t ms)
{
    TROUPE_TRY(trp_call_open_record(self, on_time, join, &join->record));
    join->record->timed = true;
    trp_timer_arm(self, join->record, ms);
    return TROUPE_OK;
}

int troupe_join_then(struct troupe_actor *self, troupe_pid pid, int timeout_ms,
    troupe_exit_fn on_exit, void *context)
{
    TRP_INSIDE(self);
    struct trp_join *join;
    int error;

    if (!trp_actor_is_mine(self) || !trp_pid_is_actor(pid) || pid == trp_actor_pid(self) ||
        on_exit == NULL || (timeout_ms <= 0 && timeout_ms != TROUPE_FOREVER)) {
        return TROUPE_EINVAL;
    }
    TROUPE_TRY(trp_monitor_join(self, pid, on_exit, context, &join));
    if (timeout_ms == TROUPE_FOREVER) {
        return TROUPE_OK;
    }
    error = limit_time(self, join, (uint64_t)timeout_ms);
    if (error < 0) {
        (void)troupe_demonitor(self, join->watch.notice.body.down.ref);
    }
    return error;
}
