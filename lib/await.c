/* SPDX-License-Identifier: MIT */
/*
 * await.c - straight-line code that waits (fiber.h), on the core's two ways to look at a queue (sched/wait.c).
 *
 * Whatever has a time-out, or an answer, is a call's record (call.c) whose continuation writes its outcome into a struct
 * wait on the fiber's stack.  The message that brings it is picked out of the queue, opened, and ended; if the actor ends
 * meanwhile the records end with it, and nobody looks at the stack any more.
 */
#include "await.h"

#include "call.h"
#include "job.h"
#include "tally.h"
#include "watch.h"

#include <string.h>

#include <troupe/call.h>
#include <troupe/fiber.h>
#include <troupe/mailbox.h>

struct wait {
    const struct troupe_job *job;      /* what it waits for, besides the record; or NULL */
    const struct troupe_io *io;        /* the same */
    const struct trp_await_told *told; /* the same */
    uint64_t edge;                     /* of that: number of the record (pressure.h) */
    troupe_ref ref;                    /* of the monitor whose notice it waits for; or 0 */
    const struct trp_timer *record;    /* what it waits for; NULL: nothing but messages */
    uint64_t serial;                   /* of the record */
    bool over;
    int status;

    /* A call's. */
    const struct troupe_type *reply_type; /* NULL: the message itself is wanted */
    void *out_body;
    bool wants_message;

    /* Receiving certain types. */
    const struct troupe_type *const *types;
    size_t count;
};

/* The continuation of all records here. */
static int end_wait(
    struct troupe_actor *self, void *state, void *context, int status, struct troupe_message *reply)
{
    struct wait *wait = context;

    (void)self;
    (void)state;
    wait->over = true;
    wait->status = status;
    if (status != TROUPE_OK || wait->wants_message) {
        return TROUPE_OK;
    }
    if (!troupe_is(reply, wait->reply_type)) {
        wait->status = TROUPE_EPROTO;
    } else if (wait->reply_type->size > 0) {
        memcpy(wait->out_body, troupe_body(reply), wait->reply_type->size);
        /* What it refers to has moved. */
        reply->flags |= TRP_MESSAGE_EMPTIED;
    }
    return TROUPE_OK;
}

static bool is_notice_of(const struct troupe_message *msg, troupe_ref ref)
{
    const struct trp_notice *notice = trp_notice_of(msg);

    return msg->kind == TRP_MESSAGE_NOTICE && notice->kind == TRP_NOTICE_MONITOR &&
           notice->body.down.ref == ref;
}

/* Whether `msg` brings the outcome of the wait's record, of its job, or of its monitor. */
static bool is_outcome(const struct troupe_message *msg, const struct wait *wait)
{
    return (wait->ref != 0 && is_notice_of(msg, wait->ref)) ||
           (wait->record != NULL && trp_call_concerns(msg, wait->record, wait->serial)) ||
           (wait->job != NULL && msg == &wait->job->message) ||
           (wait->io != NULL && trp_io_brings(wait->io, msg)) ||
           (wait->told != NULL && wait->told->matches(msg, wait->told->arg));
}

/* That, or what came too late for a wait before. */
static bool is_due(const struct troupe_message *msg, const void *arg)
{
    return is_outcome(msg, arg) || trp_call_is_stale(msg) || trp_job_is_stale(msg) ||
           trp_io_is_stale(msg);
}

static bool is_wanted(const struct troupe_message *msg, const void *arg)
{
    const struct wait *wait = arg;

    if (is_due(msg, arg)) {
        return true;
    }
    for (size_t i = 0; i < wait->count; i++) {
        if (msg->type == wait->types[i]) {
            return true;
        }
    }
    return false;
}

/* A time-out of its own, unless it may wait for ever. */
static int arm(struct troupe_actor *self, struct wait *wait, uint64_t ms)
{
    struct trp_timer *record;

    TROUPE_TRY(trp_call_open_record(self, end_wait, wait, &record));
    wait->record = record;
    wait->serial = trp_timer_serial(record);
    record->timed = true;
    trp_timer_arm(self, record, ms);
    return TROUPE_OK;
}

/* When `wait_ms` from now are over, or what is handled now is wanted no longer. */
static uint64_t until(struct troupe_actor *self, int wait_ms)
{
    uint64_t deadline_ms = trp_call_deadline(self);
    uint64_t due_ms =
        wait_ms == TROUPE_FOREVER ? TRP_NEVER : trp_timer_due(trp_port_now_ns(), (uint64_t)wait_ms);

    return due_ms < deadline_ms ? due_ms : deadline_ms;
}

/* A time-out at `due_ms`; none, if that is TRP_NEVER. */
static int arm_until(struct troupe_actor *self, struct wait *wait, uint64_t due_ms)
{
    struct trp_timer *record;

    if (due_ms == TRP_NEVER) {
        return TROUPE_OK;
    }
    TROUPE_TRY(trp_call_open_record(self, end_wait, wait, &record));
    wait->record = record;
    wait->serial = trp_timer_serial(record);
    record->timed = true;
    trp_timer_arm_at(self, record, due_ms);
    return TROUPE_OK;
}

/* Something else came first. */
static void disarm(struct troupe_actor *self, const struct wait *wait)
{
    if (wait->record != NULL && !wait->over) {
        trp_call_close_record(self, (struct trp_timer *)(uintptr_t)wait->record);
    }
}

static void end_message(struct troupe_actor *self, struct troupe_message *msg)
{
    trp_worker_retire(trp_context_of(self), self, msg, TROUPE_EUNANSWERED);
}

/* Waits for the record behind `at`; returns the message that brought its outcome, opened.  Ends what came too late for
 * others: an actor that only ever calls would collect it. */
static struct troupe_message *await(
    struct troupe_actor *self, const struct wait *wait, struct trp_node *at)
{
    for (;;) {
        struct troupe_message *msg = trp_wait_find(self, &at, is_due, wait);
        bool mine = msg != NULL && is_outcome(msg, wait);

        if (msg == NULL) {
            trp_wait_behind(self, at);
            continue;
        }
        (void)trp_wait_deal(self, msg);
        if (mine) {
            return msg;
        }
        end_message(self, msg);
        trp_wait_had_late(self);
    }
}

/* Ends what is behind *at of the wait's time-out and of what came too late for others. */
static void look_for_end(struct troupe_actor *self, const struct wait *wait, struct trp_node **at)
{
    struct troupe_message *msg;

    while (!wait->over && (msg = trp_wait_find(self, at, is_due, wait)) != NULL) {
        bool mine = is_outcome(msg, wait);

        (void)trp_wait_deal(self, msg);
        end_message(self, msg);
        if (!mine) {
            trp_wait_had_late(self);
        }
    }
}

/* After a wait: whether its record still has a message to come. */
static void note_late(
    struct troupe_actor *self, const struct wait *wait, const struct troupe_message *outcome)
{
    /* To a request that was never handled nobody answers. */
    bool may_come =
        wait->status == TROUPE_ETIMEDOUT && (wait->reply_type != NULL || wait->wants_message);

    if (outcome->kind == TRP_MESSAGE_TIMEOUT ? may_come : wait->record->state == TRP_TIMER_FIRING) {
        trp_wait_expects_late(self);
    }
}

bool troupe_may_wait(const struct troupe_actor *self)
{
    TRP_INSIDE(self);
    return trp_wait_may(self);
}

/* ---- receiving ---- */

static int receive_ready(struct troupe_actor *self, int wait_ms, struct troupe_message **out_msg)
{
    if (out_msg == NULL || wait_ms < TROUPE_FOREVER) {
        return TROUPE_EINVAL;
    }
    return trp_wait_may(self) && self->behaviour->main != NULL ? TROUPE_OK : TROUPE_EINVAL;
}

/* Nothing was there: begins to wait.  TROUPE_ETIMEDOUT: it shall not. */
static int begin_wait(struct troupe_actor *self, int wait_ms, struct wait *wait)
{
    if (wait_ms == 0) {
        return TROUPE_ETIMEDOUT;
    }
    return wait_ms == TROUPE_FOREVER ? TROUPE_OK : arm(self, wait, (uint64_t)wait_ms);
}

/* Nothing was there: the next message, or that the time is over. */
static TRP_NOINLINE int receive_in_time(
    struct troupe_actor *self, int wait_ms, struct troupe_message **out_msg)
{
    struct wait wait = {.record = NULL};
    struct troupe_message *msg = NULL;

    TROUPE_TRY(begin_wait(self, wait_ms, &wait));
    while (msg == NULL && !wait.over) {
        trp_wait_behind(self, NULL);
        msg = trp_wait_next(self);
    }
    if (msg == NULL) {
        return wait.status;
    }
    disarm(self, &wait);
    *out_msg = msg;
    return TROUPE_OK;
}

int troupe_receive(struct troupe_actor *self, int wait_ms, struct troupe_message **out_msg)
{
    TRP_INSIDE(self);
    struct troupe_message *msg;

    TROUPE_TRY(receive_ready(self, wait_ms, out_msg));
    msg = wait_ms == TROUPE_FOREVER ? trp_wait_for_next(self) : trp_wait_next(self);
    if (msg == NULL) {
        TROUPE_TRY(receive_in_time(self, wait_ms, &msg));
    }
    trp_tally_note(self);
    *out_msg = msg;
    return TROUPE_OK;
}

/* The first message behind *at that is wanted; NULL: none is there now, or the time is over. */
static struct troupe_message *find_wanted(
    struct troupe_actor *self, struct wait *wait, struct trp_node **at)
{
    for (;;) {
        struct troupe_message *msg = trp_wait_find_priority(self, is_wanted, wait);

        if (msg != NULL) {
            if (trp_wait_receive(self, msg)) {
                return msg;
            }
            continue;
        }
        msg = trp_wait_find(self, at, is_wanted, wait);
        if (msg == NULL) {
            return NULL;
        }
        if (is_due(msg, wait)) {
            bool mine = is_outcome(msg, wait);

            (void)trp_wait_deal(self, msg);
            end_message(self, msg);
            if (!mine) {
                trp_wait_had_late(self);
            }
        } else if (trp_wait_receive(self, msg)) {
            return msg;
        }
        if (wait->over) {
            return NULL;
        }
    }
}

int troupe_receive_of(struct troupe_actor *self, const struct troupe_type *const *types,
    size_t count, int wait_ms, struct troupe_message **out_msg)
{
    TRP_INSIDE(self);
    struct wait wait = {.types = types, .count = count};
    struct troupe_message *msg;
    struct trp_node *at;

    if (types == NULL || count == 0) {
        return TROUPE_EINVAL;
    }
    TROUPE_TRY(receive_ready(self, wait_ms, out_msg));
    at = trp_wait_begin(self);
    msg = find_wanted(self, &wait, &at);
    if (msg == NULL) {
        TROUPE_TRY(begin_wait(self, wait_ms, &wait));
    }
    while (msg == NULL && !wait.over) {
        trp_wait_behind(self, at);
        msg = find_wanted(self, &wait, &at);
    }
    if (msg == NULL) {
        return wait.status;
    }
    disarm(self, &wait);
    trp_tally_note(self);
    *out_msg = msg;
    return TROUPE_OK;
}

/* ---- rings ---- */

/* Whose wait would have closed a ring may have to fail for it. */
static int unless_it_fails(struct troupe_actor *self, int status)
{
    if (status == TROUPE_EDEADLK) {
        trp_pressure_give_in(self);
    }
    return status;
}

/* ---- calling ---- */

static int ask(struct troupe_actor *self, troupe_pid to, const struct troupe_type *type,
    const void *body, int timeout_ms, struct wait *wait, struct troupe_message **out_outcome)
{
    struct trp_node *from;
    uint64_t edge;
    int error;

    if (!troupe_may_wait(self) || trp_actor_is_at(self, to)) {
        return TROUPE_EINVAL;
    }
    from = trp_wait_from(self);
    TROUPE_TRY(trp_wait_open(self, &edge));
    error = trp_call_request(self, to, type, body, timeout_ms, edge, end_wait, wait);
    if (error < 0) {
        trp_pressure_close(self);
        return error;
    }
    wait->record = trp_call_newest_record(self);
    wait->serial = trp_timer_serial(wait->record);
    *out_outcome = await(self, wait, from);
    trp_pressure_close(self);
    note_late(self, wait, *out_outcome);
    return wait->status;
}

int troupe_call(struct troupe_actor *self, troupe_pid to, const struct troupe_type *type,
    const void *body, const struct troupe_type *reply_type, void *out_body, int timeout_ms)
{
    TRP_INSIDE(self);
    struct wait wait = {.reply_type = reply_type, .out_body = out_body};
    struct troupe_message *outcome = NULL;
    int status;

    if (reply_type == NULL || reply_type->variable ||
        (out_body != NULL) != (reply_type->size > 0)) {
        return TROUPE_EINVAL;
    }
    status = ask(self, to, type, body, timeout_ms, &wait, &outcome);
    if (outcome != NULL) {
        end_message(self, outcome);
    }
    return unless_it_fails(self, status);
}

int troupe_call_message(struct troupe_actor *self, troupe_pid to, const struct troupe_type *type,
    const void *body, int timeout_ms, struct troupe_message **out_reply)
{
    TRP_INSIDE(self);
    struct wait wait = {.wants_message = true};
    struct troupe_message *outcome = NULL;
    int status;

    if (out_reply == NULL) {
        return TROUPE_EINVAL;
    }
    status = ask(self, to, type, body, timeout_ms, &wait, &outcome);
    if (status == TROUPE_OK) {
        outcome->kind = trp_message_kind_unasked(outcome);
        trp_message_set_runtime(outcome, self->runtime);
        *out_reply = outcome;
    } else if (outcome != NULL) {
        end_message(self, outcome);
    }
    return unless_it_fails(self, status);
}

/* The job, or the end, came first. */
static void end_time(struct troupe_actor *self, const struct wait *wait)
{
    disarm(self, wait);
    if (wait->record != NULL && wait->record->state == TRP_TIMER_FIRING) {
        trp_wait_expects_late(self);
    }
}

/* ---- joining ---- */

/* Waits no longer: the monitor ends, and its notice with it. */
static int end_join(struct troupe_actor *self, troupe_ref ref, struct troupe_reason *out_reason)
{
    return troupe_demonitor_flush(self, ref, out_reason) == TROUPE_FLUSH_TOLD ? TROUPE_OK
                                                                              : TROUPE_ETIMEDOUT;
}

/* Waits for the notice of `wait->ref`. */
static int await_end(struct troupe_actor *self, struct wait *wait, struct trp_node *from,
    struct troupe_reason *out_reason)
{
    struct troupe_message *outcome = await(self, wait, from);
    int status = TROUPE_OK;

    trp_pressure_close(self);
    if (outcome->kind != TRP_MESSAGE_NOTICE) {
        status = end_join(self, wait->ref, out_reason);
    } else {
        end_time(self, wait);
        if (out_reason != NULL) {
            *out_reason = trp_reason_copy(&trp_notice_of(outcome)->body.down.reason);
        }
    }
    end_message(self, outcome);
    return status;
}

/* The life of `pid` that its end is that of; 0: it has none. */
static uint32_t life_of(struct troupe_actor *self, troupe_pid pid)
{
    const struct troupe_actor *actor = trp_actor_find(self->runtime, pid);

    return actor != NULL ? troupe_incarnation(actor) + 1 : 0;
}

/* Waits for the end of one that `self` has just begun to monitor, unless that closes a ring. */
static int begin_join(struct troupe_actor *self, const struct trp_aim *aim)
{
    uint64_t edge;
    int error;

    TROUPE_TRY(trp_wait_open(self, &edge));
    error = trp_pressure_wait(trp_context_of(self), self, edge, aim);
    if (error < 0) {
        trp_pressure_close(self);
    }
    return error;
}

int troupe_join_wait(
    struct troupe_actor *self, troupe_pid pid, int wait_ms, struct troupe_reason *out_reason)
{
    TRP_INSIDE(self);
    struct wait wait = {.record = NULL};
    struct trp_aim aim = {.to = pid};
    struct trp_node *from;
    int error;

    if (!troupe_may_wait(self) || wait_ms < TROUPE_FOREVER) {
        return TROUPE_EINVAL;
    }
    from = trp_wait_from(self);
    /* First: of a life that ends before it is monitored nothing else is waited for. */
    aim.life = life_of(self, pid);
    TROUPE_TRY(troupe_monitor(self, pid, &wait.ref));
    if (wait_ms == 0) {
        return end_join(self, wait.ref, out_reason);
    }
    error = begin_join(self, &aim);
    if (error == TROUPE_OK && wait_ms != TROUPE_FOREVER) {
        error = arm(self, &wait, (uint64_t)wait_ms);
        if (error < 0) {
            trp_pressure_close(self);
        }
    }
    if (error < 0) {
        (void)troupe_demonitor(self, wait.ref);
        return unless_it_fails(self, error);
    }
    return await_end(self, &wait, from, out_reason);
}

/* ---- jobs ---- */

/* That the job is done is seen by its message. */
static int end_job(struct troupe_actor *self, void *state, void *arg, int status)
{
    (void)self;
    (void)state;
    (void)arg;
    (void)status;
    return TROUPE_OK;
}

static bool is_job_right(struct troupe_actor *self, troupe_job_fn fn, int timeout_ms)
{
    return troupe_may_wait(self) && fn != NULL && (timeout_ms > 0 || timeout_ms == TROUPE_FOREVER);
}

int troupe_blocking_wait(struct troupe_actor *self, troupe_job_fn fn, void *arg,
    troupe_job_destroy_fn destroy, int timeout_ms, int *out_status)
{
    TRP_INSIDE(self);
    struct wait wait = {.record = NULL};
    struct troupe_message *outcome;
    struct troupe_job *job;
    struct trp_node *from;
    uint64_t edge;
    int error;

    if (!is_job_right(self, fn, timeout_ms) || out_status == NULL) {
        return TROUPE_EINVAL;
    }
    from = trp_wait_from(self);
    TROUPE_TRY(trp_wait_open(self, &edge));
    if (timeout_ms != TROUPE_FOREVER) {
        error = arm(self, &wait, (uint64_t)timeout_ms);
        if (error < 0) {
            trp_pressure_close(self);
            return error;
        }
    }
    error = trp_job_submit(
        self, &(struct trp_job_order){fn, arg, destroy, end_job, timeout_ms, edge}, &job);
    if (error < 0) {
        trp_pressure_close(self);
        end_time(self, &wait);
        return error;
    }
    wait.job = job;
    outcome = await(self, &wait, from);
    trp_pressure_close(self);
    if (outcome == &job->message) {
        end_time(self, &wait);
        *out_status = job->status;
    } else {
        error = TROUPE_ETIMEDOUT;
        if (trp_job_drop(self, job)) {
            trp_wait_expects_late(self);
        }
    }
    end_message(self, outcome);
    return error;
}

/* ---- sending ---- */

static bool is_sending_right(struct troupe_actor *self, int wait_ms)
{
    return troupe_may_wait(self) && wait_ms >= TROUPE_FOREVER;
}

/* Until it is let in, or its time is over. */
static int stand_in_line(
    struct troupe_actor *self, struct wait *wait, struct trp_waiter *waiter, struct trp_node *at)
{
    int error;

    for (;;) {
        /* First: what ends here may be a signal that was heeded, and the one that we are called by with it. */
        look_for_end(self, wait, &at);
        error = trp_line_go_on(self, waiter, wait->over);
        if (error != TROUPE_EFULL) {
            break;
        }
        trp_wait_behind(self, at);
    }
    trp_pressure_close(self);
    if (!wait->over) {
        end_time(self, wait);
    }
    return error;
}

/* Sends `msg` when there is room.  The caller has been refused, and has looked at everything else. */
static int wait_for_room(
    struct troupe_actor *self, troupe_pid to, struct troupe_message *msg, int wait_ms)
{
    struct wait wait = {.record = NULL};
    struct trp_node *at = trp_wait_from(self);
    struct trp_waiter waiter;
    uint64_t edge;
    int error;

    TROUPE_TRY(trp_wait_open(self, &edge));
    error = arm_until(self, &wait, until(self, wait_ms));
    if (error < 0) {
        trp_pressure_close(self);
        return error;
    }
    trp_line_begin(self, &waiter, to, msg, edge);
    return stand_in_line(self, &wait, &waiter, at);
}

/* It may not wait because that would close a ring: then there is no room for it. */
static int unless_ring(struct troupe_actor *self, int error)
{
    return unless_it_fails(self, error) == TROUPE_EDEADLK ? TROUPE_EFULL : error;
}

int trp_await_send(struct troupe_actor *self, troupe_pid to, struct troupe_message *msg)
{
    return unless_ring(self, wait_for_room(self, to, msg, TROUPE_SEND_WAIT_MS));
}

/* The clock is asked once for all waits of one patience. */
static uint64_t until_of(struct troupe_actor *self, struct trp_patience *patience)
{
    if (!patience->begun) {
        patience->begun = true;
        patience->until_ms = until(self, patience->wait_ms);
    }
    return patience->until_ms;
}

static int await_room(
    struct troupe_actor *self, struct trp_timer *lease, struct trp_patience *patience)
{
    struct wait wait = {.record = NULL};
    struct trp_node *at = trp_wait_from(self);
    struct trp_waiter waiter;
    uint64_t edge;
    int error;

    TROUPE_TRY(trp_wait_open(self, &edge));
    error = arm_until(self, &wait, until_of(self, patience));
    if (error < 0) {
        trp_pressure_close(self);
        return error;
    }
    trp_line_begin_lease(self, &waiter, lease, edge);
    return stand_in_line(self, &wait, &waiter, at);
}

int trp_await_room(
    struct troupe_actor *self, struct trp_timer *lease, struct trp_patience *patience)
{
    int error = await_room(self, lease, patience);

    if (error < 0) {
        /* First: the actor may fail for it. */
        trp_lease_close(self, lease);
    }
    return unless_ring(self, error);
}

/* Whether one that was refused with *in_out_error waits; if not, what to say is there. */
static bool shall_wait(struct troupe_actor *self, troupe_pid to, int wait_ms, int *in_out_error)
{
    if (*in_out_error != TROUPE_EFULL || trp_actor_is_reached_by(self, to) ||
        (wait_ms != 0 && trp_pressure_is_holder(self))) {
        return false;
    }
    if (wait_ms == 0) {
        /* Who asks again and again must not keep the reader from running. */
        trp_wait_yield(self);
        *in_out_error = TROUPE_ETIMEDOUT;
    }
    return wait_ms != 0;
}

int troupe_send_message_within(
    struct troupe_actor *self, troupe_pid to, struct troupe_message *msg, int wait_ms)
{
    TRP_INSIDE(self);
    int error;

    if (!is_sending_right(self, wait_ms)) {
        return TROUPE_EINVAL;
    }
    trp_wait_heed(self);
    error = trp_send_message_now(self, to, msg);
    return shall_wait(self, to, wait_ms, &error)
               ? unless_ring(self, wait_for_room(self, to, msg, wait_ms))
               : error;
}

static int wait_with_copy(struct troupe_actor *self, troupe_pid to, const struct troupe_type *type,
    const void *body, size_t size, int wait_ms)
{
    struct troupe_message *msg = trp_message_new(trp_context_of(self), type, size, 0);
    int error;

    if (msg == NULL) {
        return TROUPE_ENOMEM;
    }
    if (size > 0) {
        memcpy(trp_message_body(msg), body, size);
    }
    msg->sender = trp_actor_pid(self);
    error = wait_for_room(self, to, msg, wait_ms);
    if (error < 0) {
        trp_message_free(&trp_context_of(self)->pool, msg);
    }
    return error;
}

int troupe_send_bytes_within(struct troupe_actor *self, troupe_pid to,
    const struct troupe_type *type, const void *body, size_t size, int wait_ms)
{
    TRP_INSIDE(self);
    int error;

    if (!is_sending_right(self, wait_ms)) {
        return TROUPE_EINVAL;
    }
    trp_wait_heed(self);
    error = trp_send_bytes_now(self, to, type, body, size);
    return shall_wait(self, to, wait_ms, &error)
               ? unless_ring(self, wait_with_copy(self, to, type, body, size, wait_ms))
               : error;
}

int troupe_send_within(struct troupe_actor *self, troupe_pid to, const struct troupe_type *type,
    const void *body, int wait_ms)
{
    TRP_INSIDE(self);
    return troupe_send_bytes_within(self, to, type, body, type != NULL ? type->size : 0, wait_ms);
}

/* ---- readiness ---- */

/* One that shall not wait. */
static int look_once(struct troupe_actor *self)
{
    trp_wait_yield(self);
    return TROUPE_ETIMEDOUT;
}

int trp_await_ready(
    struct troupe_actor *self, struct troupe_io *io, uint32_t events, struct trp_patience *patience)
{
    struct wait wait = {.io = io};
    struct trp_node *at;
    uint32_t ready;

    if (patience->wait_ms == 0) {
        return look_once(self);
    }
    TROUPE_TRY(arm_until(self, &wait, until_of(self, patience)));
    at = trp_wait_from_io(self, io);
    for (;;) {
        look_for_end(self, &wait, &at);
        ready = trp_io_take_noted(io, events);
        if (ready != 0 || wait.over) {
            break;
        }
        trp_wait_behind(self, at);
    }
    if (!wait.over) {
        end_time(self, &wait);
    }
    return ready != 0 ? TROUPE_OK : wait.status;
}

/* ---- what lib is told ---- */

/* Opens what is behind *at until it is over, or nothing is there. */
static bool look_for_told(struct troupe_actor *self, const struct wait *wait, struct trp_node **at)
{
    const struct trp_await_told *told = wait->told;
    struct troupe_message *msg;

    while (!wait->over && !told->is_over(told->arg) &&
           (msg = trp_wait_find(self, at, is_due, wait)) != NULL) {
        bool mine = is_outcome(msg, wait);

        (void)trp_wait_deal(self, msg);
        end_message(self, msg);
        if (!mine) {
            trp_wait_had_late(self);
        }
    }
    return told->is_over(told->arg);
}

/* Nothing is there up to `at`: from here on everybody can see whom it waits for.  TROUPE_EDEADLK; TROUPE_EBUSY: something has
 * come meanwhile. */
static int publish(
    struct troupe_actor *self, const struct wait *wait, const struct trp_node *at, uint64_t *word)
{
    struct trp_aim aim;

    if (*word != 0 && trp_pressure_stands(self, *word)) {
        return TROUPE_OK;
    }
    if (!wait->told->aim(wait->told->arg, &aim)) {
        return TROUPE_OK;
    }
    *word = trp_pressure_aim(self, wait->edge, &aim);
    (void)trp_mailbox_meet(&self->mailbox);
    if (trp_mailbox_newest(&self->mailbox) != at) {
        return TROUPE_OK;
    }
    return trp_pressure_stand(self, *word)
               ? trp_pressure_look(trp_context_of(self), self, wait->edge)
               : TROUPE_EBUSY;
}

/* Until it is over, or its time is.  TROUPE_EDEADLK. */
static int follow_told(struct troupe_actor *self, struct wait *wait, struct trp_node *at)
{
    uint64_t word = 0;

    while (!look_for_told(self, wait, &at) && !wait->over) {
        int error = publish(self, wait, at, &word);

        if (error == TROUPE_EDEADLK) {
            return error;
        }
        if (error == TROUPE_OK) {
            trp_wait_behind(self, at);
        }
    }
    return TROUPE_OK;
}

int trp_await_told(
    struct troupe_actor *self, const struct trp_await_told *told, struct trp_patience *patience)
{
    struct wait wait = {.told = told};
    struct trp_node *at = self->head;
    bool over = look_for_told(self, &wait, &at);
    int error;

    if (!over && patience->wait_ms == 0) {
        /* Who asks again and again must not keep others from running. */
        trp_wait_yield(self);
        return look_for_told(self, &wait, &at) ? TROUPE_OK : TROUPE_ETIMEDOUT;
    }
    if (over) {
        return TROUPE_OK;
    }
    TROUPE_TRY(trp_wait_open(self, &wait.edge));
    error = arm_until(self, &wait, until(self, patience->wait_ms));
    if (error == TROUPE_OK) {
        error = follow_told(self, &wait, at);
    }
    trp_pressure_close(self);
    if (!wait.over) {
        end_time(self, &wait);
    }
    if (error < 0) {
        return unless_it_fails(self, error);
    }
    return told->is_over(told->arg) ? TROUPE_OK : wait.status;
}

void trp_await_share(struct troupe_actor *self, bool is_spent)
{
    if (is_spent) {
        trp_wait_yield(self);
    } else {
        trp_wait_heed(self);
    }
}

void trp_await_forget(struct troupe_actor *self, const struct troupe_io *io)
{
    if (troupe_may_wait(self) && trp_io_is_queued(io)) {
        trp_wait_expects_late(self);
    }
}

/* ---- time ---- */

int troupe_sleep(struct troupe_actor *self, uint64_t ms)
{
    TRP_INSIDE(self);
    struct wait wait = {.record = NULL};
    struct trp_node *from;

    if (!troupe_may_wait(self) || ms > TROUPE_DELAY_MAX_MS) {
        return TROUPE_EINVAL;
    }
    from = trp_wait_from(self);
    TROUPE_TRY(arm(self, &wait, ms));
    end_message(self, await(self, &wait, from));
    return TROUPE_OK;
}

int troupe_yield(struct troupe_actor *self)
{
    TRP_INSIDE(self);
    if (!troupe_may_wait(self)) {
        return TROUPE_EINVAL;
    }
    trp_wait_yield(self);
    return TROUPE_OK;
}
