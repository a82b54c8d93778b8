/* SPDX-License-Identifier: MIT */
/*
 * call.c - request and answer, exactly one outcome each.
 *
 * Who asks keeps a record: a timer block (type-stable) with the continuation, in extra->calls.  The request carries
 * the record's address and serial; so does its answer.  The record ends, and its serial moves on, with the
 * first of: an answer, the time-out, the caller's own end.  Whatever comes later misses.
 *
 * The time-out and the receiver meet in the record's serial, a word that both change by compare-and-swap alone.  The
 * receiver sets BEGUN before the request is given to a handler, and skips it if the number has moved on; the time-out moves
 * the number on, and says from the bit that it found whether the request was, or ever will be, handled.  So nothing is taken
 * out of a queue that has one reader, and yet "not handled" is certain.
 *
 *    n ------------- heard, hear() -------> n BEGUN ---- time-out: TROUPE_ETIMEDOUT ----> n + 1
 *    +-------------- time-out: TROUPE_EEXPIRED; hear() skips it ------------------------> n + 1
 *
 * A request has one deadline, in its extension; so has what is asked on its behalf, by its handler or in a continuation of
 * that: the record remembers it, and its answer brings it (trp_call_deadline()).
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

#include "gate.h"

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

int trp_call_open_record(struct troupe_actor *self, troupe_reply_fn on_reply, void *context,
    struct trp_timer **out_record)
{
    struct trp_extra *extra = trp_actor_need_extra(trp_context_of(self), self);
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
    record->status = TROUPE_ETIMEDOUT;
    record->asking = (struct trp_asking){.inherited_ms = TRP_NEVER};
    trp_list_push(&extra->calls, &record->entry);
    extra->timer_count++;
    *out_record = record;
    return TROUPE_OK;
}

void trp_call_close_record(struct troupe_actor *self, struct trp_timer *record)
{
    spend(self, record);
}

struct trp_timer *trp_call_newest_record(struct troupe_actor *self)
{
    return trp_container_of(trp_actor_extra(self)->calls.prev, struct trp_timer, entry);
}

uint64_t trp_call_deadline(struct troupe_actor *self)
{
    const struct troupe_message *current = self->current;
    /* relaxed: written by the token's holder, whom the caller is. */
    uint8_t phase = atomic_load_explicit(&self->phase, memory_order_relaxed);

    if (current == NULL || phase >= TRP_PHASE_EXITING) {
        return TRP_NEVER;
    }
    switch (current->kind) {
    case TRP_MESSAGE_QUESTION:
    case TRP_MESSAGE_REPLY:
        return trp_message_extension(current)->deadline_ms;
    case TRP_MESSAGE_TIMEOUT:
        return trp_container_of(current, const struct trp_timer, tick)->asking.inherited_ms;
    case TRP_MESSAGE_JOB:
        return trp_container_of(current, const struct troupe_job, message)->inherited_ms;
    default:
        return TRP_NEVER;
    }
}

int trp_call_terms(struct troupe_actor *self, const struct troupe_request_options *options,
    struct trp_terms *out_terms)
{
    static const uint32_t flags[] = {
        [TROUPE_SKIP_EXPIRED] = 0,
        [TROUPE_SKIP_NONE] = TRP_CALL_STEADFAST,
        [TROUPE_SKIP_ORPHANED] = TRP_CALL_SKIP_ORPHAN,
    };
    uint64_t inherited_ms = options->detached ? TRP_NEVER : trp_call_deadline(self);
    uint64_t deadline_ms = inherited_ms;

    if (options->timeout_ms != TROUPE_FOREVER || inherited_ms != TRP_NEVER) {
        uint64_t now_ns = trp_port_now_ns();
        uint64_t own_ms = options->timeout_ms != TROUPE_FOREVER
                              ? trp_timer_due(now_ns, (uint64_t)options->timeout_ms)
                              : TRP_NEVER;

        if (inherited_ms <= now_ns / 1000000U) {
            return TROUPE_ETIMEDOUT;
        }
        deadline_ms = own_ms < inherited_ms ? own_ms : inherited_ms;
    }
    *out_terms = (struct trp_terms){.deadline_ms = deadline_ms,
        .inherited_ms = inherited_ms,
        .flags = flags[options->skip],
        .no_wait = options->no_wait};
    return TROUPE_OK;
}

/* Whether `pid` is between two lives.  A moment's view. */
static bool is_restarting(struct troupe_runtime *runtime, troupe_pid pid)
{
    const struct troupe_actor *actor = trp_actor_find(runtime, pid);
    /* relaxed: a view. */
    uint8_t phase =
        actor != NULL ? atomic_load_explicit(&actor->phase, memory_order_relaxed) : TRP_PHASE_FREE;

    return phase == TRP_PHASE_RESTARTING || phase == TRP_PHASE_EXITING_RESTART;
}

void trp_call_mark(
    struct troupe_message *msg, const struct trp_timer *record, const struct trp_terms *terms)
{
    struct trp_extension *extension = trp_message_extension(msg);

    extension->call = (void *)(uintptr_t)record;
    extension->serial = trp_timer_serial(record);
    extension->deadline_ms = terms->deadline_ms;
    extension->flags = terms->flags;
    trp_list_init(&extension->held);
    msg->kind = TRP_MESSAGE_QUESTION;
    msg->flags |= TRP_MESSAGE_REQUEST | (terms->system ? TRP_MESSAGE_SYSTEM : 0);
}

int trp_call_place_system(struct trp_context *context, troupe_pid to, struct troupe_message *msg)
{
    struct troupe_actor *actor = trp_actor_find(context->runtime, to);

    if (actor != NULL) {
        trp_send_reserved(context, actor, msg);
        return TROUPE_OK;
    }
    trp_count(&context->counters.sent, 1);
    trp_count(&context->counters.refused, 1);
    return TROUPE_EGONE;
}

/* Sends `msg`, which has an extension, as a request of `record`; refused, both are as they were. */
static int ask(struct troupe_actor *self, troupe_pid to, struct troupe_message *msg,
    struct trp_timer *record, const struct trp_terms *terms)
{
    int error;

    if (terms->no_wait && is_restarting(self->runtime, to)) {
        return TROUPE_ERESTARTING;
    }
    trp_call_mark(msg, record, terms);
    if (terms->flags & TRP_CALL_STEADFAST) {
        /* It may be handled at any time: as if it had begun.  relaxed: nobody else has seen the request. */
        atomic_store_explicit(
            &record->serial, trp_timer_serial(record) | TRP_SERIAL_BEGUN, memory_order_relaxed);
    }
    record->asking.inherited_ms = terms->inherited_ms;
    record->asking.to = to;
    msg->sender = trp_actor_pid(self);
    if (terms->system) {
        error = trp_call_place_system(trp_context_of(self), to, msg);
    } else if (terms->now) {
        error = trp_send_request(trp_context_of(self), to, msg);
    } else {
        error = trp_send_request_by(self, to, msg);
    }
    if (error < 0) {
        msg->flags &= (uint16_t)~TRP_MESSAGE_REQUEST;
        msg->kind = trp_message_kind_unasked(msg);
        return error;
    }
    if (terms->deadline_ms != TRP_NEVER) {
        record->timed = true;
        trp_timer_arm_at(self, record, terms->deadline_ms);
    }
    return TROUPE_OK;
}

int trp_call_ask(struct troupe_actor *self, troupe_pid to, const struct troupe_type *type,
    const void *body, const struct trp_terms *terms, struct trp_timer *record)
{
    struct troupe_message *msg =
        trp_message_new(trp_context_of(self), type, type->size, TRP_MESSAGE_EXTENDED);
    int error;

    if (msg == NULL) {
        return TROUPE_ENOMEM;
    }
    if (body != NULL) {
        memcpy(trp_message_body(msg), body, type->size);
    }
    error = ask(self, to, msg, record, terms);
    if (error < 0) {
        trp_message_free(&trp_context_of(self)->pool, msg);
    }
    return error;
}

static bool is_asking_right(struct troupe_actor *self, int timeout_ms, troupe_reply_fn on_reply)
{
    return trp_actor_is_mine(self) && on_reply != NULL &&
           (timeout_ms > 0 || timeout_ms == TROUPE_FOREVER);
}

static int request_with(struct troupe_actor *self, troupe_pid to, const struct troupe_type *type,
    const void *body, const struct troupe_request_options *options, bool now,
    troupe_reply_fn on_reply, void *context)
{
    struct trp_terms terms;
    struct trp_timer *record;
    int error;

    if (!is_asking_right(self, options->timeout_ms, on_reply) || type == NULL ||
        (body != NULL) != (type->size > 0)) {
        return TROUPE_EINVAL;
    }
    TROUPE_TRY(trp_call_terms(self, options, &terms));
    terms.now = now;
    TROUPE_TRY(trp_call_open_record(self, on_reply, context, &record));
    error = trp_call_ask(self, to, type, body, &terms, record);
    if (error < 0) {
        spend(self, record);
    }
    return error;
}

/* It is not the caller's, or the caller comes from outside: apart, so that others need not ask when they return. */
static TRP_NOINLINE int request_from_outside(struct troupe_actor *self, troupe_pid to,
    const struct troupe_type *type, const void *body, const struct troupe_request_options *options,
    troupe_reply_fn on_reply, void *context)
{
    TRP_INSIDE(self);

    return request_with(self, to, type, body, options, false, on_reply, context);
}

int troupe_request(struct troupe_actor *self, troupe_pid to, const struct troupe_type *type,
    const void *body, int timeout_ms, troupe_reply_fn on_reply, void *context)
{
    struct troupe_request_options options = {.timeout_ms = timeout_ms};

    if (trp_unlikely(!trp_actor_is_mine(self))) {
        return request_from_outside(self, to, type, body, &options, on_reply, context);
    }
    return request_with(self, to, type, body, &options, false, on_reply, context);
}

int trp_call_request_now(struct troupe_actor *self, troupe_pid to, const struct troupe_type *type,
    const void *body, int timeout_ms, troupe_reply_fn on_reply, void *context)
{
    struct troupe_request_options options = {.timeout_ms = timeout_ms};

    return request_with(self, to, type, body, &options, true, on_reply, context);
}

int trp_call_request(struct troupe_actor *self, troupe_pid to, const struct troupe_type *type,
    const void *body, int timeout_ms, uint64_t edge, troupe_reply_fn on_reply, void *context)
{
    struct troupe_request_options options = {.timeout_ms = timeout_ms};
    struct trp_terms terms;
    struct trp_timer *record;
    int error;

    if (!is_asking_right(self, timeout_ms, on_reply) || type == NULL ||
        (body != NULL) != (type->size > 0)) {
        return TROUPE_EINVAL;
    }
    TROUPE_TRY(trp_call_terms(self, &options, &terms));
    TROUPE_TRY(trp_call_open_record(self, on_reply, context, &record));
    /* release: as in trp_timer_create().  PAIR timer.edge: trp_send_edge(). */
    atomic_store_explicit(&record->edge, edge, memory_order_release);
    error = trp_call_ask(self, to, type, body, &terms, record);
    if (error < 0) {
        spend(self, record);
    }
    return error;
}

/* What was given, with defaults; TROUPE_EINVAL. */
static int read_options(const struct troupe_request_options *given, size_t size,
    struct troupe_request_options *out_options)
{
    struct troupe_request_options options = {0};

    if (given != NULL && trp_options_read(&options, sizeof options, given, size) < 0) {
        return TROUPE_EINVAL;
    }
    if ((unsigned)options.skip > TROUPE_SKIP_ORPHANED || options.timeout_ms < TROUPE_FOREVER) {
        return TROUPE_EINVAL;
    }
    if (options.timeout_ms == 0) {
        options.timeout_ms = TROUPE_REQUEST_TIMEOUT_DEFAULT_MS;
    }
    *out_options = options;
    return TROUPE_OK;
}

int troupe_request_with_sized(struct troupe_actor *self, troupe_pid to,
    const struct troupe_type *type, const void *body, const struct troupe_request_options *given,
    size_t options_size, troupe_reply_fn on_reply, void *context)
{
    TRP_INSIDE(self);
    struct troupe_request_options options;

    TROUPE_TRY(read_options(given, options_size, &options));
    return request_with(self, to, type, body, &options, false, on_reply, context);
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

/* What was sent in place of `msg` was refused: `msg` is its user's as before. */
static void restore(
    struct troupe_actor *self, struct troupe_message *msg, struct troupe_message *sent)
{
    if (sent != msg) {
        trp_message_free(&trp_context_of(self)->pool, sent);
    }
    trp_message_set_runtime(msg, self->runtime);
    msg->flags &= (uint16_t)~TRP_MESSAGE_CHARGED;
}

int troupe_request_message(struct troupe_actor *self, troupe_pid to, struct troupe_message *msg,
    int timeout_ms, troupe_reply_fn on_reply, void *context)
{
    TRP_INSIDE(self);
    struct troupe_request_options options = {.timeout_ms = timeout_ms};
    struct trp_terms terms;
    struct trp_timer *record;
    struct troupe_message *request;
    int error;

    if (!is_asking_right(self, timeout_ms, on_reply) || msg == NULL ||
        trp_actor_has_in_hand(self, msg) || (msg->flags & TRP_MESSAGE_REQUEST)) {
        return TROUPE_EINVAL;
    }
    TROUPE_TRY(trp_call_terms(self, &options, &terms));
    TROUPE_TRY(trp_call_open_record(self, on_reply, context, &record));
    request = extended(self, msg);
    if (request == NULL) {
        spend(self, record);
        return TROUPE_ENOMEM;
    }
    error = ask(self, to, request, record, &terms);
    if (error < 0) {
        spend(self, record);
        restore(self, msg, request);
    } else if (request != msg) {
        trp_message_free(&trp_context_of(self)->pool, msg);
    }
    return error;
}

/* ---- answering ---- */

/* Whether it has no answer yet, not even one that waits in it. */
static bool is_open(const struct troupe_message *msg)
{
    return (msg->flags & (TRP_MESSAGE_REQUEST | TRP_MESSAGE_REFUSED)) == TRP_MESSAGE_REQUEST;
}

bool troupe_is_request(const struct troupe_message *msg)
{
    return msg != NULL && is_open(msg);
}

bool troupe_is_awaited(const struct troupe_message *msg)
{
    const struct trp_extension *extension;

    if (msg == NULL || !is_open(msg)) {
        return false;
    }
    extension = trp_message_extension(msg);
    return trp_timer_serial(extension->call) == extension->serial;
}

int troupe_deadline(struct troupe_actor *self)
{
    TRP_INSIDE(self);
    uint64_t deadline_ms = trp_actor_is_mine(self) ? trp_call_deadline(self) : TRP_NEVER;
    uint64_t now_ms;

    if (deadline_ms == TRP_NEVER) {
        return TROUPE_FOREVER;
    }
    now_ms = trp_port_now_ns() / 1000000U;
    if (deadline_ms <= now_ms) {
        return 0;
    }
    return deadline_ms - now_ms < INT32_MAX ? (int)(deadline_ms - now_ms) : INT32_MAX;
}

static bool is_answering_right(struct troupe_actor *self, const struct troupe_message *request)
{
    return trp_actor_is_mine(self) && troupe_is_request(request);
}

/* The request has its answer: what is asked from here on is not on its behalf.  It may have been taken by the handler
 * that runs. */
static void end_behalf(struct troupe_actor *self, struct troupe_message *request)
{
    struct trp_extension *extension = trp_message_extension(request);
    const struct troupe_message *current = self->current;

    if (request != current) {
        trp_list_remove(&extension->held);
    }
    extension->deadline_ms = TRP_NEVER;
    if (current != NULL && current->kind == TRP_MESSAGE_QUESTION) {
        struct trp_extension *handled = trp_message_extension(current);

        if (handled->call == extension->call && handled->serial == extension->serial) {
            handled->deadline_ms = TRP_NEVER;
        }
    }
}

/* The request has its answer. */
static void close_request(struct troupe_actor *self, struct troupe_message *request)
{
    end_behalf(self, request);
    request->flags &= (uint16_t)~TRP_MESSAGE_REQUEST;
    trp_message_end_permit(trp_context_of(self), request);
}

/* To whoever asked; nobody waits for it if that one is gone. */
static void deliver(struct trp_context *context, troupe_pid to, struct troupe_message *answer)
{
    bool foreign = (trp_message_extension(answer)->flags & TRP_CALL_FOREIGN) != 0;
    /* Of a foreign thread: that for which it acts, if it does. */
    struct troupe_actor *caller = trp_actor_find(context->runtime, to);

    answer->kind = TRP_MESSAGE_REPLY;
    if (caller != NULL) {
        uint64_t edge = trp_send_edge(answer);

        if (trp_unlikely(edge != 0)) {
            /* First: what whoever answers does next sees that this one waits no longer. */
            trp_pressure_rest(caller, edge);
        }
        if (trp_likely(!foreign)) {
            trp_send_reserved(context, caller, answer);
            return;
        }
    }
    trp_count(&context->counters.sent, 1);
    if (foreign && trp_foreign_answer(answer)) {
        trp_count(&context->counters.handled, 1);
        return;
    }
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
    to->flags = from->flags;
    to->status = status;
    answer->sender = trp_actor_pid(self);
    close_request(self, request);
    deliver(trp_context_of(self), request->sender, answer);
}

TRP_INLINE int reply_with(struct troupe_actor *self, struct troupe_message *request,
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

/* As request_from_outside(). */
static TRP_NOINLINE int reply_from_outside(struct troupe_actor *self,
    struct troupe_message *request, const struct troupe_type *type, const void *body)
{
    TRP_INSIDE(self);

    return reply_with(self, request, type, body);
}

int troupe_reply(struct troupe_actor *self, struct troupe_message *request,
    const struct troupe_type *type, const void *body)
{
    return trp_likely(trp_actor_is_mine(self)) ? reply_with(self, request, type, body)
                                               : reply_from_outside(self, request, type, body);
}

int troupe_reply_message(
    struct troupe_actor *self, struct troupe_message *request, struct troupe_message *reply)
{
    TRP_INSIDE(self);
    struct troupe_message *answer;

    if (!is_answering_right(self, request) || reply == NULL || trp_actor_has_in_hand(self, reply) ||
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
    TRP_INSIDE(self);
    struct troupe_message *answer;

    if (!is_answering_right(self, request) || status >= 0) {
        return TROUPE_EINVAL;
    }
    answer = trp_message_new(trp_context_of(self), &no_answer, 0, TRP_MESSAGE_EXTENDED);
    if (answer == NULL) {
        /* Its own block will be the answer, when the request ends. */
        end_behalf(self, request);
        trp_message_extension(request)->status = status;
        request->flags |= TRP_MESSAGE_REFUSED;
        return TROUPE_OK;
    }
    answer_with(self, request, answer, status);
    return TROUPE_OK;
}

/* ---- passing the duty to answer on ---- */

/* Sends `msg`, which has an extension, in place of `request`; refused, both are as they were. */
static int delegate(struct troupe_actor *self, troupe_pid to, struct troupe_message *request,
    struct troupe_message *msg)
{
    const struct trp_extension *from = trp_message_extension(request);
    struct trp_extension *extension = trp_message_extension(msg);
    /* One of its own stays with it, and that of the request goes back. */
    bool inherits = (msg->flags & TRP_MESSAGE_METERED) == 0;
    int error;

    extension->call = from->call;
    extension->serial = from->serial;
    extension->deadline_ms = from->deadline_ms;
    extension->flags = from->flags;
    trp_list_init(&extension->held);
    msg->sender = request->sender;
    msg->kind = TRP_MESSAGE_QUESTION;
    msg->flags |= TRP_MESSAGE_REQUEST;
    if (inherits) {
        trp_message_move_permit(request, msg);
    }
    error = trp_send_request_by(self, to, msg);
    if (error == TROUPE_EDEADLK) {
        /* Whoever asked is told. */
        trp_message_dispose(trp_context_of(self), msg, error);
    } else if (error < 0) {
        if (inherits) {
            trp_message_move_permit(msg, request);
        }
        msg->flags &= (uint16_t)~TRP_MESSAGE_REQUEST;
        msg->kind = trp_message_kind_unasked(msg);
        return error;
    }
    close_request(self, request);
    return TROUPE_OK;
}

int troupe_delegate(struct troupe_actor *self, troupe_pid to, struct troupe_message *request,
    const struct troupe_type *type, const void *body)
{
    TRP_INSIDE(self);
    struct troupe_message *msg;
    int error;

    if (!is_answering_right(self, request) || type == NULL || (body != NULL) != (type->size > 0)) {
        return TROUPE_EINVAL;
    }
    msg = trp_message_new(trp_context_of(self), type, type->size, TRP_MESSAGE_EXTENDED);
    if (msg == NULL) {
        return TROUPE_ENOMEM;
    }
    if (body != NULL) {
        memcpy(trp_message_body(msg), body, type->size);
    }
    error = delegate(self, to, request, msg);
    if (error < 0) {
        trp_message_free(&trp_context_of(self)->pool, msg);
    }
    return error;
}

int troupe_delegate_message(struct troupe_actor *self, troupe_pid to,
    struct troupe_message *request, struct troupe_message *msg)
{
    TRP_INSIDE(self);
    struct troupe_message *sent;
    int error;

    if (!is_answering_right(self, request) || msg == NULL || trp_actor_has_in_hand(self, msg) ||
        (msg->flags & TRP_MESSAGE_REQUEST)) {
        return TROUPE_EINVAL;
    }
    sent = extended(self, msg);
    if (sent == NULL) {
        return TROUPE_ENOMEM;
    }
    error = delegate(self, to, request, sent);
    if (error < 0) {
        restore(self, msg, sent);
    } else if (sent != msg) {
        trp_message_free(&trp_context_of(self)->pool, msg);
    }
    return error;
}

void trp_call_bounce(struct trp_context *context, struct troupe_message *request, int status)
{
    struct trp_extension *extension = trp_message_extension(request);

    if ((extension->flags & TRP_CALL_HEARD) == 0 &&
        trp_timer_serial(extension->call) != extension->serial) {
        /* Given up before it was heard of: nobody waits, and nobody expects a late answer. */
        trp_message_free(&context->pool, request);
        return;
    }
    extension->status = request->flags & TRP_MESSAGE_REFUSED ? extension->status : status;
    request->type = &no_answer;
    request->flags = TRP_MESSAGE_EXTENDED | TRP_MESSAGE_EMPTIED;
    deliver(context, request->sender, request);
}

/* ---- outcomes ---- */

struct outcome {
    troupe_reply_fn on_reply;
    void *context;
    struct trp_asking asking;
    int status;
};

static struct outcome outcome_of(const struct trp_timer *record, int status)
{
    return (struct outcome){record->on_reply, record->context, record->asking, status};
}

static int tell(
    struct troupe_actor *self, const struct outcome *outcome, struct troupe_message *reply)
{
    if (outcome->asking.set != NULL) {
        return trp_open_status(
            trp_request_set_settle(self, &outcome->asking, outcome->status, reply));
    }
    return trp_open_status(
        outcome->on_reply(self, self->state, outcome->context, outcome->status, reply));
}

static int conclude(struct troupe_actor *self, struct troupe_message *answer)
{
    struct trp_extension *extension = trp_message_extension(answer);
    struct trp_timer *record = extension->call;
    struct outcome outcome;

    if (trp_timer_serial(record) != extension->serial) {
        return TRP_OPEN_LATE;
    }
    outcome = outcome_of(record, extension->status);
    /* What the continuation asks is on behalf of whatever this was asked for. */
    extension->deadline_ms = record->asking.inherited_ms;
    /* First: the continuation may not come back. */
    spend(self, record);
    return tell(self, &outcome, extension->status == TROUPE_OK ? answer : NULL);
}

/* Moves the record's number on; returns the bits that stood there. */
static uint64_t revoke(struct trp_timer *record)
{
    /* relaxed, all: who comes first at this word decides, and nothing else is learnt from it.  PAIR call.begun: hear(). */
    uint64_t word = atomic_load_explicit(&record->serial, memory_order_relaxed);
    uint64_t next;

    do {
        next = (word & ~(uint64_t)TRP_SERIAL_BITS) + TRP_SERIAL_STEP;
    } while (!atomic_compare_exchange_weak_explicit(
        &record->serial, &word, next, memory_order_relaxed, memory_order_relaxed));
    return word & TRP_SERIAL_BITS;
}

int trp_call_overdue(struct troupe_runtime *runtime, troupe_pid to, uint64_t bits)
{
    /* To nobody: a record whose time is all that it is about. */
    if ((bits & TRP_SERIAL_BEGUN) || to == TROUPE_NOBODY) {
        return TROUPE_ETIMEDOUT;
    }
    return is_restarting(runtime, to) ? TROUPE_ERESTARTING : TROUPE_EEXPIRED;
}

static int give_up(struct troupe_actor *self, struct trp_timer *record)
{
    struct outcome outcome = outcome_of(record, record->status);
    uint64_t bits;

    if (outcome.on_reply == NULL) {
        return TROUPE_OK;
    }
    unlist(self, record);
    record->on_reply = NULL;
    bits = revoke(record);
    if (outcome.status == TROUPE_ETIMEDOUT) {
        outcome.status = trp_call_overdue(self->runtime, record->asking.to, bits);
    }
    return tell(self, &outcome, NULL);
}

void trp_call_fail_later(struct troupe_actor *self, struct trp_timer *record, int status)
{
    record->status = status;
    record->timed = true;
    record->state = TRP_TIMER_FIRING;
    trp_send_reserved(trp_context_of(self), self, &record->tick);
}

/* ---- the receiver's side of giving up ---- */

/* By the clock itself: what a context remembers of it is as old as the handlers before us took. */
static bool is_over(uint64_t deadline_ms)
{
    return deadline_ms != TRP_NEVER && deadline_ms <= trp_port_now_ns() / 1000000U;
}

/* Whether the asker of `request`, whose record moved on, might count on its not being handled: it lives, or its time has
 * passed.  Otherwise it has ended, which takes nothing back. */
static bool is_given_up(struct troupe_actor *self, const struct troupe_message *request)
{
    const struct trp_extension *extension = trp_message_extension(request);

    return (extension->flags & (TRP_CALL_FOREIGN | TRP_CALL_SKIP_ORPHAN)) != 0 ||
           trp_actor_find(self->runtime, request->sender) != NULL ||
           is_over(extension->deadline_ms);
}

/* Its time has passed, whether its asker knows or not: it ends with the answer that says so. */
static int refuse_late(struct troupe_message *request, uint64_t word)
{
    trp_message_extension(request)->status =
        word & TRP_SERIAL_BEGUN ? TROUPE_ETIMEDOUT : TROUPE_EEXPIRED;
    request->flags |= TRP_MESSAGE_REFUSED;
    return TRP_OPEN_SKIP;
}

/* A request comes to its handler. */
static int hear(struct troupe_actor *self, struct troupe_message *request)
{
    struct trp_extension *extension = trp_message_extension(request);
    struct trp_timer *record = extension->call;
    uint64_t word;

    if (trp_unlikely((request->flags & TRP_MESSAGE_METERED) != 0)) {
        trp_gate_begin_permit(self->runtime, extension->permit);
    }
    if (!is_open(request) || (extension->flags & TRP_CALL_STEADFAST)) {
        extension->flags |= TRP_CALL_HEARD;
        return TRP_OPEN_DELIVER;
    }
    /* acquire: if its asker has ended, that is known from here on.  PAIR call.ended: release in trp_timer_expire(). */
    word = atomic_load_explicit(&record->serial, memory_order_acquire);
    do {
        if ((word & ~(uint64_t)TRP_SERIAL_BITS) != extension->serial) {
            if (!is_given_up(self, request)) {
                return TRP_OPEN_DELIVER;
            }
            /* Nobody is to be told. */
            request->flags &= (uint16_t)~TRP_MESSAGE_REQUEST;
            return TRP_OPEN_SKIP;
        }
        if (is_over(extension->deadline_ms)) {
            return refuse_late(request, word);
        }
        /* acquire: as above, if it failed; and see revoke().  PAIR call.begun. */
    } while ((word & TRP_SERIAL_BEGUN) == 0 &&
             !atomic_compare_exchange_weak_explicit(&record->serial, &word, word | TRP_SERIAL_BEGUN,
                 memory_order_acquire, memory_order_acquire));
    extension->flags |= TRP_CALL_HEARD;
    return TRP_OPEN_DELIVER;
}

bool trp_call_concerns(
    const struct troupe_message *msg, const struct trp_timer *record, uint64_t serial)
{
    if (msg->kind == TRP_MESSAGE_REPLY) {
        const struct trp_extension *extension = trp_message_extension(msg);

        return extension->call == record && extension->serial == serial;
    }
    return msg->kind == TRP_MESSAGE_TIMEOUT && &record->tick == msg &&
           trp_timer_serial(record) == serial;
}

bool trp_call_is_stale(const struct troupe_message *msg)
{
    if (msg->kind == TRP_MESSAGE_REPLY) {
        const struct trp_extension *extension = trp_message_extension(msg);

        return trp_timer_serial(extension->call) != extension->serial;
    }
    return msg->kind == TRP_MESSAGE_TIMEOUT &&
           trp_container_of(msg, const struct trp_timer, tick)->on_reply == NULL;
}

int trp_call_open(struct troupe_actor *self, struct troupe_message *msg)
{
    switch (msg->kind) {
    case TRP_MESSAGE_QUESTION:
        return hear(self, msg);
    case TRP_MESSAGE_REPLY:
        return conclude(self, msg);
    default:
        return give_up(self, record_of(msg));
    }
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
