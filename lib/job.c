/* SPDX-License-Identifier: MIT */
/*
 * job.c - an actor's side of its blocking jobs.  The pool's side, and who ends a job: sched/blocking.h.
 *
 * A job is in extra->jobs from when it is asked for until its message is opened, or its actor is through with it.  From when
 * it is asked for on it has all that its outcome takes: its message is in its block, and reserved.  Its argument is the
 * actor's as soon as `destroy` is NULL.
 */
#include "job.h"

#include "call.h"

/* The type of their messages, which no user sees. */
static const struct troupe_type job_done = {"job done", 0, NULL, false};

static struct troupe_job *job_of(struct troupe_message *msg)
{
    return trp_container_of(msg, struct troupe_job, message);
}

static void unlist(struct troupe_actor *self, struct troupe_job *job)
{
    if (!trp_list_is_empty(&job->entry)) {
        trp_list_remove(&job->entry);
        trp_actor_extra(self)->job_count--;
    }
}

/* ---- asking ---- */

static uint64_t deadline_of(uint64_t inherited_ms, int timeout_ms)
{
    uint64_t own_ms = timeout_ms != TROUPE_FOREVER
                          ? trp_timer_due(trp_port_now_ns(), (uint64_t)timeout_ms)
                          : TRP_NEVER;

    return own_ms < inherited_ms ? own_ms : inherited_ms;
}

static void fill(
    struct troupe_actor *self, struct troupe_job *job, const struct trp_job_order *order)
{
    *job = (struct troupe_job){
        .message = {.type = &job_done, .sender = trp_actor_pid(self), .kind = TRP_MESSAGE_JOB},
        .fn = order->fn,
        .arg = order->arg,
        .runtime = self->runtime,
        .pid = trp_actor_pid(self),
        .id = ++trp_actor_extra(self)->job_serial,
        .inherited_ms = trp_call_deadline(self),
        .on_done = order->on_done,
        .destroy = order->destroy,
        .edge = order->edge,
    };
    job->deadline_ms = deadline_of(job->inherited_ms, order->timeout_ms);
    trp_list_init(&job->entry);
}

int trp_job_submit(
    struct troupe_actor *self, const struct trp_job_order *order, struct troupe_job **out_job)
{
    struct trp_extra *extra = trp_actor_need_extra(trp_context_of(self), self);
    struct trp_memory *memory = trp_runtime_memory(self->runtime);
    struct troupe_job *job;
    int error;

    if (extra == NULL) {
        return TROUPE_ENOMEM;
    }
    if (extra->job_count >= trp_runtime_limits(self->runtime)->actor_jobs) {
        return TROUPE_ELIMIT;
    }
    job = trp_memory_alloc(memory, sizeof *job, TRP_CACHE_LINE);
    if (job == NULL) {
        return TROUPE_ENOMEM;
    }
    fill(self, job, order);
    /* Before it can be done. */
    trp_list_push(&extra->jobs, &job->entry);
    extra->job_count++;
    error = trp_blocking_submit(job);
    if (error < 0) {
        unlist(self, job);
        trp_memory_free(memory, job, sizeof *job);
        return error;
    }
    *out_job = job;
    return TROUPE_OK;
}

int troupe_blocking(struct troupe_actor *self, troupe_job_fn fn, void *arg,
    troupe_job_destroy_fn destroy, troupe_job_done_fn on_done, troupe_job_id *out_job)
{
    TRP_INSIDE(self);
    struct troupe_job *job;

    if (!trp_actor_is_mine(self) || fn == NULL || on_done == NULL) {
        return TROUPE_EINVAL;
    }
    TROUPE_TRY(trp_job_submit(
        self, &(struct trp_job_order){fn, arg, destroy, on_done, TROUPE_FOREVER, 0}, &job));
    if (out_job != NULL) {
        /* Its block stays until this callback has returned: it is opened after that. */
        *out_job = job->id;
    }
    return TROUPE_OK;
}

static struct troupe_job *find(struct troupe_actor *self, troupe_job_id id)
{
    struct trp_extra *extra = trp_actor_extra(self);

    if (extra == NULL) {
        return NULL;
    }
    for (struct trp_list *at = extra->jobs.next; at != &extra->jobs; at = at->next) {
        struct troupe_job *job = trp_container_of(at, struct troupe_job, entry);

        if (job->id == id) {
            return job;
        }
    }
    return NULL;
}

int troupe_blocking_cancel(struct troupe_actor *self, troupe_job_id id)
{
    TRP_INSIDE(self);
    struct troupe_job *job;

    if (!trp_actor_is_mine(self)) {
        return TROUPE_EINVAL;
    }
    job = find(self, id);
    if (job == NULL) {
        return TROUPE_ENOENT;
    }
    if (trp_blocking_withdraw(job)) {
        job->status = TROUPE_ECANCELLED;
        trp_send_reserved(trp_context_of(self), self, &job->message);
        return TROUPE_OK;
    }
    return trp_blocking_cancel(job) ? TROUPE_OK : TROUPE_ENOENT;
}

/* ---- outcomes ---- */

int trp_job_open(struct troupe_actor *self, struct troupe_message *msg)
{
    struct troupe_job *job = job_of(msg);
    troupe_job_done_fn on_done = job->on_done;

    if (on_done == NULL) {
        return TRP_OPEN_LATE;
    }
    /* First: the continuation may not come back. */
    unlist(self, job);
    job->on_done = NULL;
    job->destroy = NULL;
    return trp_open_status(on_done(self, self->state, job->arg, job->status));
}

bool trp_job_is_stale(const struct troupe_message *msg)
{
    return msg->kind == TRP_MESSAGE_JOB &&
           trp_container_of(msg, const struct troupe_job, message)->on_done == NULL;
}

void trp_job_retire(struct troupe_actor *self, struct troupe_message *msg)
{
    struct troupe_job *job = job_of(msg);

    if (self != NULL) {
        unlist(self, job);
    }
    trp_blocking_dispose(job);
}

/* ---- nobody waits any more ---- */

bool trp_job_drop(struct troupe_actor *self, struct troupe_job *job)
{
    enum trp_job_state state;

    unlist(self, job);
    job->on_done = NULL;
    state = trp_blocking_orphan(job);
    if (state == TRP_JOB_QUEUED || state == TRP_JOB_LOST) {
        trp_blocking_dispose(job);
    }
    return state == TRP_JOB_DONE;
}

void trp_job_cancel_all(struct troupe_actor *self)
{
    struct trp_extra *extra = trp_actor_extra(self);

    while (!trp_list_is_empty(&extra->jobs)) {
        (void)trp_job_drop(self, trp_container_of(extra->jobs.next, struct troupe_job, entry));
    }
}
