/* SPDX-License-Identifier: MIT */
/*
 * server.c - the server: finds out what a message is and calls who handles it.
 *
 * The state is the user's, then this file's record.  Messages to itself (continue, a time-out of 0 ms) are inserted
 * before everything that is queued (sched/aside.h), so nobody can forge them and none overtakes them.
 *
 * Idle time-outs carry a number.  Whatever ends the wait moves it on, so that a tick that is queued already, or a
 * message that was inserted, says nothing any more.
 */
#include "sys.h"

#include <string.h>

#include <troupe/server.h>
#include <troupe/timer.h>

struct record {
    struct troupe_timer timer;     /* of the idle time-out, if it is above 0 */
    uint64_t idle;                 /* number of the wait */
    bool waits;                    /* for the idle time-out */
    bool tired;                    /* to hibernate when the callback returns */
    bool deferred;                 /* let_go_of_answer() is registered */
    struct troupe_message *answer; /* that a callback fills in, or NULL */
    struct trp_sys sys;
};

static_assert(TROUPE_SERVER_STATE(0) >= sizeof(struct record), "the record fits");

static const struct troupe_type idle_type = TROUPE_TYPE(uint64_t);

static const struct troupe_server *server_of(const struct troupe_actor *self)
{
    return trp_container_of(self->behaviour, const struct troupe_server, behaviour);
}

static struct record *record_of(const struct troupe_actor *self)
{
    return trp_sys_record(self, sizeof(struct record));
}

static struct trp_sys_view view_of(struct troupe_actor *self)
{
    return (struct trp_sys_view){
        .sys = &record_of(self)->sys,
        .state = self->state,
        .state_size = self->behaviour->state_size - TROUPE_SERVER_STATE(0),
        .format = server_of(self)->format,
    };
}

static bool is_server(const struct troupe_actor *self)
{
    return trp_actor_is_mine(self) && self->behaviour->receive == troupe_server_receive;
}

/* ---- idle ---- */

static void end_wait(struct troupe_actor *self, struct record *record)
{
    if (record->waits) {
        record->waits = false;
        record->idle++;
        (void)troupe_timer_cancel(self, record->timer);
    }
}

int troupe_server_idle(struct troupe_actor *self, int64_t idle_ms)
{
    struct record *record;
    int error = TROUPE_OK;

    if (!is_server(self) || server_of(self)->timeout == NULL || idle_ms < TROUPE_FOREVER ||
        idle_ms > (int64_t)TROUPE_DELAY_MAX_MS) {
        return TROUPE_EINVAL;
    }
    record = record_of(self);
    end_wait(self, record);
    record->timer = (struct troupe_timer){0};
    if (idle_ms == 0) {
        error = trp_aside_insert(self, &idle_type, &record->idle, sizeof record->idle);
    } else if (idle_ms > 0) {
        error =
            troupe_tick_after(self, (uint64_t)idle_ms, &idle_type, &record->idle, &record->timer);
    }
    record->waits = error == TROUPE_OK && idle_ms != TROUPE_FOREVER;
    return error;
}

static int time_out(struct troupe_actor *self, struct record *record, struct troupe_message *msg)
{
    if (!record->waits || *(const uint64_t *)troupe_body(msg) != record->idle) {
        return TROUPE_OK;
    }
    record->waits = false;
    record->idle++;
    trp_sys_note(self, &record->sys, msg);
    return server_of(self)->timeout(self, self->state);
}

/* ---- hibernation ---- */

int troupe_server_hibernate(struct troupe_actor *self)
{
    if (!is_server(self) || server_of(self)->hibernate == NULL) {
        return TROUPE_EINVAL;
    }
    record_of(self)->tired = true;
    return TROUPE_OK;
}

static void wake(struct troupe_actor *self, struct record *record)
{
    if (record->sys.hibernates) {
        record->sys.hibernates = false;
        if (server_of(self)->wake != NULL) {
            server_of(self)->wake(self->state);
        }
    }
}

/* Whether something comes that is no message: the continuation of a request or of a job of its own does not wake it. */
static bool awaits_outcomes(struct troupe_actor *self)
{
    const struct trp_extra *extra = trp_actor_extra(self);

    return extra != NULL && (!trp_list_is_empty(&extra->calls) || !trp_list_is_empty(&extra->jobs));
}

/* A callback is over, and returned `status`: hibernates, if it asked for that. */
static void fall_asleep(struct troupe_actor *self, struct record *record, int status)
{
    bool tired = record->tired;

    record->tired = false;
    if (tired && status == TROUPE_OK && !trp_aside_has_mail(self) && !awaits_outcomes(self)) {
        server_of(self)->hibernate(self->state);
        record->sys.hibernates = true;
    }
}

static int conclude(struct troupe_actor *self, struct record *record, int status)
{
    fall_asleep(self, record, status);
    return trp_sys_status(self, status);
}

/* ---- messages ---- */

/* Also when a callback did not come back, because it called troupe_exit(). */
static void let_go_of_answer(void *arg)
{
    struct record *record = arg;

    troupe_message_destroy(record->answer);
    record->answer = NULL;
}

/* An answer to fill in, which becomes the reply without further memory. */
static int make_answer(
    struct troupe_actor *self, struct record *record, const struct troupe_type *type)
{
    struct troupe_message *answer;

    if (!record->deferred) {
        TROUPE_TRY(troupe_defer(self, let_go_of_answer, record));
        record->deferred = true;
    }
    answer = trp_message_new(trp_context_of(self), type, type->size, TRP_MESSAGE_EXTENDED);
    if (answer == NULL) {
        return TROUPE_ENOMEM;
    }
    trp_message_set_runtime(answer, self->runtime);
    memset(trp_message_body(answer), 0, type->size);
    /* Until it is sent it refers to nothing. */
    answer->flags |= TRP_MESSAGE_EMPTIED;
    record->answer = answer;
    return TROUPE_OK;
}

static int answer_call(
    struct troupe_actor *self, const struct troupe_server_call *call, struct troupe_message *msg)
{
    struct record *record = record_of(self);
    int status = make_answer(self, record, call->answer);
    int replied;

    if (status < 0) {
        return troupe_reply_error(self, msg, status);
    }
    status = call->fn(self, self->state, msg, trp_message_body(record->answer));
    if (status < 0 || status > TROUPE_DONE || self->taken || !troupe_is_request(msg)) {
        let_go_of_answer(record);
        return status;
    }
    record->answer->flags &= (uint16_t)~TRP_MESSAGE_EMPTIED;
    replied = troupe_reply_message(self, msg, record->answer);
    trp_assert(replied == TROUPE_OK);
    record->answer = NULL;
    return status;
}

static int receive_call(struct troupe_actor *self, struct troupe_message *msg)
{
    const struct troupe_server *server = server_of(self);

    for (size_t i = 0; i < server->call_count; i++) {
        if (server->calls[i].question == msg->type) {
            return answer_call(self, &server->calls[i], msg);
        }
    }
    return server->call != NULL ? server->call(self, self->state, msg) : TROUPE_EUNKNOWN;
}

static int receive_cast(struct troupe_actor *self, struct troupe_message *msg)
{
    const struct troupe_server *server = server_of(self);

    for (size_t i = 0; i < server->cast_count; i++) {
        if (server->casts[i].type == msg->type) {
            return server->casts[i].fn(self, self->state, msg);
        }
    }
    return server->cast != NULL ? server->cast(self, self->state, msg) : TROUPE_EUNKNOWN;
}

static int receive_info(struct troupe_actor *self, struct troupe_message *msg)
{
    const struct troupe_server *server = server_of(self);

    trp_sys_obey(self, msg);
    return server->info != NULL ? server->info(self, self->state, msg) : TROUPE_EUNKNOWN;
}

static int receive_sent(struct troupe_actor *self, struct troupe_message *msg)
{
    if (msg->flags & TRP_MESSAGE_INNER) {
        return server_of(self)->continued(self, self->state, msg);
    }
    return troupe_is_request(msg) ? receive_call(self, msg) : receive_cast(self, msg);
}

int troupe_server_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct record *record = record_of(self);
    int status;

    (void)state;
    if (msg->flags & TRP_MESSAGE_SYSTEM) {
        struct trp_sys_view view = view_of(self);

        return trp_sys_receive(self, &view, msg);
    }
    if (msg->type == &idle_type) {
        wake(self, record);
        return conclude(self, record, time_out(self, record, msg));
    }
    wake(self, record);
    if ((msg->flags & TRP_MESSAGE_INNER) == 0) {
        end_wait(self, record);
    }
    trp_sys_note(self, &record->sys, msg);
    status = trp_message_is_sent(msg) ? receive_sent(self, msg) : receive_info(self, msg);
    return conclude(self, record, status);
}

int troupe_server_continue(
    struct troupe_actor *self, const struct troupe_type *type, const void *body)
{
    if (!is_server(self) || server_of(self)->continued == NULL || type == NULL ||
        (body != NULL) != (type->size > 0)) {
        return TROUPE_EINVAL;
    }
    return trp_aside_insert(self, type, body, type->size);
}

/* ---- life ---- */

int troupe_server_init(struct troupe_actor *self, void *state, const void *arg)
{
    const struct troupe_server *server = server_of(self);
    struct record *record = record_of(self);
    int status = TROUPE_OK;

    trp_sys_begin(self, &record->sys);
    if (server->init != NULL) {
        status = server->init(self, state, arg);
    }
    fall_asleep(self, record, status);
    return trp_sys_init_status(self, status);
}

void troupe_server_terminate(
    struct troupe_actor *self, void *state, const struct troupe_reason *reason)
{
    const struct troupe_server *server = server_of(self);
    struct trp_sys_view view = view_of(self);

    trp_sys_report(self, &view, reason);
    if (server->terminate != NULL) {
        server->terminate(self, state, reason);
    }
}
