/* SPDX-License-Identifier: MIT */
/*
 * call.c - request and answer, exactly one outcome each.
 *
 * Who asks keeps a record: a timer block (type-stable) with the continuation, in extra->calls.  The request carries
 * the record's address and serial; so does its answer.  The record ends, and its serial moves on, with the
 * first of: an answer, the time-out, the caller's own end.  Whatever comes later misses.
 *
 *    WAITING --- answer opened, the timer was cancelled or never armed ----> free
 *       |------- answer opened, the time-out is on its way ----------------> SPENT --- retired ---> free
 *       |------- time-out opened ------------------------------------------> SPENT --- retired ---> free
 *       +------- caller ends: as an answer, without the continuation
 *
 * WAITING: in extra->calls.  SPENT: in no list, on_reply is NULL.
 *
 * A request never ends in silence: where its block ends without an answer, the block itself becomes
 * one (trp_call_bounce), so that "it died" needs no memory.
 */
#include "call.h"

#include <string.h>

#include <troupe/call.h>

/* The type of answers that carry a status only. */
static const struct troupe_type no_answer = {"no answer", 0, NULL, true};

static struct trp_timer *record_of(struct troupe_message *timeout)
{
    return trp_container_of(timeout, struct trp_timer, tick);
}

static void unlist(struct troupe_actor *self, struct trp_timer *record)
{
    trp_list_remove(&record->entry);
    trp_actor_extra(self)->timer_count--;
}

/* The record has its outcome: nothing finds it any more.  Its block is free now, or with its time-out. */
static void spend(struct troupe_actor *self, struct trp_timer *record)
{
    unlist(self, record);
    record->on_reply = NULL;
    if (!record->timed || trp_wheel_cancel(record)) {
        trp_timer_free(trp_context_of(self), record);
    } else {
        trp_timer_expire(record);
    }
}

/* ---- asking ---- */

static int make_record(struct troupe_actor *self, troupe_reply_fn on_reply, void *context,
    struct trp_timer **out_record)
{
    struct trp_extra *extra = trp_actor_need_extra(self);
    struct trp_timer *record;

    if (extra == NULL) {
        return TROUPE_ENOMEM;
    }
    if (extra->timer_count >= trp_runtime_limits(self->runtime)->actor_timers) {
        return TROUPE_ELIMIT;
    }
    record = trp_timer_new(self, TRP_MESSAGE_TIMEOUT);
    if (record == NULL) {
        return TROUPE_ENOMEM;
    }
    record->tick.type = &no_answer;
    record->on_reply = on_reply;
    record->context = context;
    trp_list_push(&extra->calls, &record->entry);
    extra->timer_count++;
    *out_record = record;
    return TROUPE_OK;
}

/* Sends `msg`, which has an extension, as a request of `record`. */
static int ask(struct troupe_actor *self, troupe_pid to, struct troupe_message *msg,
    struct trp_timer *record, int timeout_ms)
{
    struct trp_extension *extension = trp_message_extension(msg);
    int error;

    extension->call = record;
    extension->serial = trp_timer_serial(record);
    msg->flags |= TRP_MESSAGE_REQUEST;
    msg->sender = trp_actor_pid(self);
    error = trp_send_charged(trp_context_of(self), to, msg, msg, 1, trp_message_weight(msg));
    if (error < 0) {
        msg->flags &= (uint16_t)~TRP_MESSAGE_REQUEST;
        spend(self, record);
        return error;
    }
    if (timeout_ms != TROUPE_FOREVER) {
        record->timed = true;
        trp_timer_arm(self, record, (uint64_t)timeout_ms);
    }
    return TROUPE_OK;
}

static bool is_asking_right(struct troupe_actor *self, int timeout_ms, troupe_reply_fn on_reply)
{
    return trp_actor_is_mine(self) && on_reply != NULL &&
           (timeout_ms > 0 || timeout_ms == TROUPE_FOREVER);
}

int troupe_request(struct troupe_actor *self, troupe_pid to, const struct troupe_type *type,
    const void *body, int timeout_ms, troupe_reply_fn on_reply, void *context)
{
    struct trp_timer *record;
    struct troupe_message *msg;
    int error;

    if (!is_asking_right(self, timeout_ms, on_reply) || type == NULL ||
        (body != NULL) != (type->size > 0)) {
        return TROUPE_EINVAL;
    }
    error = make_record(self, on_reply, context, &record);
    if (error < 0) {
        return error;
    }
    msg = trp_message_new(trp_context_of(self), type, type->size, TRP_MESSAGE_EXTENDED);
    if (msg == NULL) {
        spend(self, record);
        return TROUPE_ENOMEM;
    }
    if (body != NULL) {
        memcpy(trp_message_body(msg), body, type->size);
    }
    error = ask(self, to, msg, record, timeout_ms);
    if (error < 0) {
        trp_message_free(&trp_context_of(self)->pool, msg);
    }
    return error;
}

/* `msg`, or a copy of it with an extension. */
static struct troupe_message *extended(struct troupe_actor *self, struct troupe_message *msg)
{
    struct troupe_message *copy;

    if (msg->flags & TRP_MESSAGE_EXTENDED) {
        return msg;
    }
    copy = trp_message_new(trp_context_of(self), msg->type, msg->size, TRP_MESSAGE_EXTENDED);
    if (copy != NULL) {
        memcpy(trp_message_body(copy), trp_message_body(msg), msg->size);
    }
    return copy;
}

int troupe_request_message(struct troupe_actor *self, troupe_pid to, struct troupe_message *msg,
    int timeout_ms, troupe_reply_fn on_reply, void *context)
{
    struct trp_timer *record;
    struct troupe_message *request;
    int error;

    if (!is_asking_right(self, timeout_ms, on_reply) || msg == NULL || msg == self->current ||
        (msg->flags & TRP_MESSAGE_REQUEST)) {
        return TROUPE_EINVAL;
    }
    error = make_record(self, on_reply, context, &record);
    if (error < 0) {
        return error;
    }
    request = extended(self, msg);
    if (request == NULL) {
        spend(self, record);
        return TROUPE_ENOMEM;
    }
    error = ask(self, to, request, record, timeout_ms);
    if (error < 0) {
        if (request != msg) {
            trp_message_free(&trp_context_of(self)->pool, request);
        }
        trp_message_set_runtime(msg, self->runtime);
        msg->flags &= (uint16_t)~TRP_MESSAGE_CHARGED;
    } else if (request != msg) {
        trp_message_free(&trp_context_of(self)->pool, msg);
    }
    return error;
}

/* ---- answering ---- */

bool troupe_is_request(const struct troupe_message *msg)
{
    return msg != NULL && (msg->flags & TRP_MESSAGE_REQUEST) &&
           (msg->flags & TRP_MESSAGE_REFUSED) == 0;
}

static bool is_answering_right(struct troupe_actor *self, const struct troupe_message *request)
{
    return trp_actor_is_mine(self) && troupe_is_request(request);
}

/* The request has its answer. */
static void close_request(struct troupe_actor *self, struct troupe_message *request)
{
    if (request != self->current) {
        trp_list_remove(&trp_message_extension(request)->held);
    }
    request->flags &= (uint16_t)~TRP_MESSAGE_REQUEST;
}

/* To whoever asked; nobody waits for it if that one is gone. */
static void deliver(struct trp_context *context, troupe_pid to, struct troupe_message *answer)
{
    struct troupe_actor *caller = trp_actor_find(context->runtime, to);

    answer->kind = TRP_MESSAGE_REPLY;
    if (caller != NULL) {
        trp_send_reserved(context, caller, answer);
        return;
    }
    trp_count(&context->counters.sent, 1);
    trp_count(&context->counters.dead, 1);
    trp_count(&context->counters.late, 1);
    trp_message_empty(answer);
    trp_message_free(&context->pool, answer);
}

static void answer_with(struct troupe_actor *self, struct troupe_message *request,
    struct troupe_message *answer, int status)
{
    struct trp_extension *from = trp_message_extension(request);
    struct trp_extension *to = trp_message_extension(answer);

    to->call = from->call;
    to->serial = from->serial;
    to->status = status;
    answer->sender = trp_actor_pid(self);
    close_request(self, request);
    deliver(trp_context_of(self), request->sender, answer);
}

int troupe_reply(struct troupe_actor *self, struct troupe_message *request,
    const struct troupe_type *type, const void *body)
{
    struct troupe_message *answer;

    if (!is_answering_right(self, request) || type == NULL || (body != NULL) != (type->size > 0)) {
        return TROUPE_EINVAL;
    }
    answer = trp_message_new(trp_context_of(self), type, type->size, TRP_MESSAGE_EXTENDED);
    if (answer == NULL) {
        return TROUPE_ENOMEM;
    }
    if (body != NULL) {
        memcpy(trp_message_body(answer), body, type->size);
    }
    answer_with(self, request, answer, TROUPE_OK);
    return TROUPE_OK;
}

int troupe_reply_message(
    struct troupe_actor *self, struct troupe_message *request, struct troupe_message *reply)
{
    struct troupe_message *answer;

    if (!is_answering_right(self, request) || reply == NULL || reply == self->current ||
        (reply->flags & TRP_MESSAGE_REQUEST)) {
        return TROUPE_EINVAL;
    }
    answer = extended(self, reply);
    if (answer == NULL) {
        return TROUPE_ENOMEM;
    }
    if (answer != reply) {
        trp_message_free(&trp_context_of(self)->pool, reply);
    }
    answer_with(self, request, answer, TROUPE_OK);
    return TROUPE_OK;
}

int troupe_reply_error(struct troupe_actor *self, struct troupe_message *request, int status)
{
    struct troupe_message *answer;

    if (!is_answering_right(self, request) || status >= 0) {
        return TROUPE_EINVAL;
    }
    answer = trp_message_new(trp_context_of(self), &no_answer, 0, TRP_MESSAGE_EXTENDED);
    if (answer == NULL) {
        /* Its own block will be the answer, when the request ends. */
        if (request != self->current) {
            trp_list_remove(&trp_message_extension(request)->held);
        }
        trp_message_extension(request)->status = status;
        request->flags |= TRP_MESSAGE_REFUSED;
        return TROUPE_OK;
    }
    answer_with(self, request, answer, status);
    return TROUPE_OK;
}

void trp_call_bounce(struct trp_context *context, struct troupe_message *request, int status)
{
    struct trp_extension *extension = trp_message_extension(request);

    extension->status = request->flags & TRP_MESSAGE_REFUSED ? extension->status : status;
    request->type = &no_answer;
    request->flags = TRP_MESSAGE_EXTENDED | TRP_MESSAGE_EMPTIED;
    deliver(context, request->sender, request);
}

/* ---- outcomes ---- */

static int conclude(struct troupe_actor *self, struct troupe_message *answer)
{
    const struct trp_extension *extension = trp_message_extension(answer);
    struct trp_timer *record = extension->call;
    troupe_reply_fn on_reply;
    void *context;

    if (trp_timer_serial(record) != extension->serial) {
        return TRP_OPEN_LATE;
    }
    on_reply = record->on_reply;
    context = record->context;
    /* First: the continuation may not come back. */
    spend(self, record);
    return trp_open_status(on_reply(self, self->state, context, extension->status,
        extension->status == TROUPE_OK ? answer : NULL));
}

static int give_up(struct troupe_actor *self, struct trp_timer *record)
{
    troupe_reply_fn on_reply = record->on_reply;

    if (on_reply == NULL) {
        return TROUPE_OK;
    }
    unlist(self, record);
    record->on_reply = NULL;
    trp_timer_expire(record);
    return trp_open_status(on_reply(self, self->state, record->context, TROUPE_ETIMEDOUT, NULL));
}

int trp_call_open(struct troupe_actor *self, struct troupe_message *msg)
{
    if (msg->kind == TRP_MESSAGE_REPLY) {
        return conclude(self, msg);
    }
    return give_up(self, record_of(msg));
}

void trp_call_retire(
    struct trp_context *context, struct troupe_actor *self, struct troupe_message *msg)
{
    struct trp_timer *record = record_of(msg);

    if (self != NULL && !trp_list_is_empty(&record->entry)) {
        unlist(self, record);
    }
    record->state = TRP_TIMER_IDLE;
    trp_timer_free(context, record);
}

/* ---- the end of one side ---- */

void trp_call_bounce_held(struct troupe_actor *self)
{
    struct trp_extra *extra = trp_actor_extra(self);
    struct trp_list *entry;

    if (extra == NULL) {
        return;
    }
    while ((entry = trp_list_pop(&extra->held)) != NULL) {
        struct trp_extension *extension = trp_container_of(entry, struct trp_extension, held);
        struct troupe_message *request =
            (struct troupe_message *)(void *)((char *)extension - sizeof(struct troupe_message));

        trp_message_dispose(trp_context_of(self), request, TROUPE_EDIED);
    }
}

void trp_call_cancel(struct troupe_actor *self)
{
    struct trp_extra *extra = trp_actor_extra(self);

    while (extra != NULL && !trp_list_is_empty(&extra->calls)) {
        spend(self, trp_container_of(extra->calls.next, struct trp_timer, entry));
    }
}
