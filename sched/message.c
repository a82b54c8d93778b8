/* SPDX-License-Identifier: MIT */
#include "message.h"

#include <string.h>

#include "core.h"
#include "runtime.h"

struct troupe_message *trp_message_new(
    struct trp_context *context, const struct troupe_type *type, size_t size, uint16_t flags)
{
    return trp_message_create(&context->pool, type, size, flags);
}

void trp_message_count_dropped(struct trp_context *context, const struct troupe_message *msg)
{
    if (msg->flags & TRP_MESSAGE_REQUEST) {
        trp_count(&context->counters.bounced, 1);
    } else {
        trp_count(&context->counters.dead, 1);
    }
}

void trp_message_return_permit(struct trp_context *context, struct troupe_message *msg)
{
    msg->flags &= (uint16_t)~TRP_MESSAGE_METERED;
    trp_hooks.return_permit(context->runtime, trp_message_extension(msg)->permit);
}

void trp_message_dispose(struct trp_context *context, struct troupe_message *msg, int status)
{
    trp_message_empty(msg);
    trp_message_end_permit(context, msg);
    if (msg->flags & TRP_MESSAGE_REQUEST) {
        trp_hooks.bounce(context, msg, status);
    } else {
        trp_message_free(&context->pool, msg);
    }
}

/* ---- public ---- */

int troupe_message_create(struct troupe_runtime *runtime, const struct troupe_type *type,
    size_t size, struct troupe_message **out_msg)
{
    struct trp_visit visit;
    struct troupe_message *msg;
    int error;

    if (type == NULL || out_msg == NULL) {
        return TROUPE_EINVAL;
    }
    if (size == 0) {
        size = type->size;
    }
    if (size < type->size || (size > type->size && !type->variable) || size > TROUPE_BODY_MAX) {
        return TROUPE_EINVAL;
    }
    error = trp_context_enter(runtime, &visit);
    if (error < 0) {
        return error;
    }
    /* Beyond one cache line it may become a request without being copied. */
    msg = trp_message_create(
        &visit.context->pool, type, size, size > TROUPE_BODY_INLINE ? TRP_MESSAGE_EXTENDED : 0);
    trp_context_leave(&visit);
    if (msg == NULL) {
        return TROUPE_ENOMEM;
    }
    trp_message_set_runtime(msg, runtime);
    *out_msg = msg;
    return TROUPE_OK;
}

void troupe_message_destroy(struct troupe_message *msg)
{
    struct trp_visit visit;

    if (msg == NULL) {
        return;
    }
    if (trp_context_enter(trp_message_runtime(msg), &visit) < 0) {
        return;
    }
    if (trp_message_is_held(msg)) {
        trp_list_remove(&trp_message_extension(msg)->held);
    }
    trp_message_dispose(visit.context, msg, TROUPE_EUNANSWERED);
    trp_context_leave(&visit);
}

bool troupe_is(const struct troupe_message *msg, const struct troupe_type *type)
{
    return msg != NULL && msg->type == type;
}

const struct troupe_type *troupe_message_type(const struct troupe_message *msg)
{
    return msg != NULL ? msg->type : NULL;
}

void *troupe_body(const struct troupe_message *msg)
{
    return msg != NULL ? trp_message_body(msg) : NULL;
}

size_t troupe_body_size(const struct troupe_message *msg)
{
    return msg != NULL ? msg->size : 0;
}

troupe_pid troupe_sender(const struct troupe_message *msg)
{
    return msg != NULL ? msg->sender : TROUPE_NOBODY;
}

/* A copy in a block of its own; what the body refers to has moved to it. */
static struct troupe_message *move_out(struct trp_context *context, struct troupe_message *msg)
{
    struct troupe_message *copy =
        trp_message_new(context, msg->type, msg->size, msg->flags & TRP_MESSAGE_EXTENDED);

    if (copy == NULL) {
        return NULL;
    }
    memcpy(trp_message_body(copy), trp_message_body(msg), msg->size);
    copy->sender = msg->sender;
    /* One that carries its own answer, for want of memory, stays: it is no request any more. */
    if ((msg->flags & (TRP_MESSAGE_REQUEST | TRP_MESSAGE_REFUSED)) == TRP_MESSAGE_REQUEST) {
        const struct trp_extension *from = trp_message_extension(msg);
        struct trp_extension *to = trp_message_extension(copy);

        to->call = from->call;
        to->serial = from->serial;
        to->deadline_ms = from->deadline_ms;
        to->flags = from->flags;
        copy->kind = TRP_MESSAGE_QUESTION;
        copy->flags |= TRP_MESSAGE_REQUEST;
        msg->flags &= (uint16_t)~TRP_MESSAGE_REQUEST;
    } else if (msg->flags & TRP_MESSAGE_METERED) {
        trp_message_set_unasked(copy, trp_message_extension(msg)->deadline_ms);
    }
    trp_message_move_permit(msg, copy);
    trp_message_set_runtime(copy, context->runtime);
    msg->flags |= TRP_MESSAGE_EMPTIED;
    return copy;
}

/* In hand, and not taken before. */
static bool may_be_taken(const struct troupe_actor *self, const struct troupe_message *msg)
{
    if (msg->flags & TRP_MESSAGE_BATCHED) {
        return (msg->flags & TRP_MESSAGE_EMPTIED) == 0;
    }
    return self->current == msg && !self->taken;
}

int troupe_take(
    struct troupe_actor *self, struct troupe_message *msg, struct troupe_message **out_msg)
{
    TRP_INSIDE(self);
    struct trp_extra *extra;
    struct troupe_message *copy;

    if (!trp_actor_is_mine(self) || msg == NULL || out_msg == NULL || !may_be_taken(self, msg)) {
        return TROUPE_EINVAL;
    }
    extra = trp_actor_need_extra(self->context, self);
    if (extra == NULL) {
        return TROUPE_ENOMEM;
    }
    copy = move_out(trp_context_of(self), msg);
    if (copy == NULL) {
        return TROUPE_ENOMEM;
    }
    if (copy->flags & TRP_MESSAGE_REQUEST) {
        trp_list_push(&extra->held, &trp_message_extension(copy)->held);
    }
    self->taken = true;
    *out_msg = copy;
    return TROUPE_OK;
}
