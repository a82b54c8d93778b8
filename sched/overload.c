/* SPDX-License-Identifier: MIT */
/*
 * overload.c - policies of full mailboxes.  See overload.h.
 */
#include "overload.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "callout.h"
#include "core.h"
#include "letter.h"
#include "runtime.h"
#include "table.h"

/* relaxed: a number. */
static void count(_Atomic uint64_t *number, uint64_t more)
{
    atomic_fetch_add_explicit(number, more, memory_order_relaxed);
}

/* Takes the first message out of the chain; the last one of it names none. */
static struct troupe_message *next_of(struct trp_refused *refused)
{
    struct troupe_message *msg = refused->first;

    /* relaxed: the chain is ours. */
    refused->first = trp_message_of(atomic_load_explicit(&msg->node.next, memory_order_relaxed));
    return msg;
}

/* ---- redirect ---- */

static troupe_pid target_of(struct trp_context *context, struct troupe_actor *actor)
{
    /* relaxed: an address, which is good or is not. */
    troupe_pid to =
        atomic_load_explicit(&trp_actor_overload(actor)->redirect, memory_order_relaxed);
    const char *name = actor->behaviour->overload->redirect;

    if (to == TROUPE_NOBODY && name != NULL) {
        to = trp_hooks.whereis(context->runtime, name);
    }
    return to != trp_actor_pid(actor) ? to : TROUPE_NOBODY;
}

/* All of them or none. */
static int redirect(
    struct trp_context *context, struct troupe_actor *actor, const struct trp_refused *refused)
{
    struct trp_refused again = *refused;
    int error = TROUPE_EFULL;

    again.to = target_of(context, actor);
    if (again.to != TROUPE_NOBODY) {
        error = trp_send_again(context, &again, 0);
    }
    if (error < 0) {
        return error == TROUPE_EDEADLK ? error : TROUPE_EFULL;
    }
    count(&trp_actor_overload(actor)->redirected, refused->count);
    return TROUPE_OK;
}

/* ---- transform ---- */

static bool is_body_right(const struct troupe_smaller *smaller)
{
    const struct troupe_type *type = smaller->type;

    return type != NULL && smaller->size <= TROUPE_SMALLER_MAX && smaller->size >= type->size &&
           (smaller->size == type->size || type->variable);
}

static bool transform(const struct troupe_actor *actor, const struct troupe_message *msg,
    struct troupe_smaller *out_smaller)
{
    bool made;

    out_smaller->type = NULL;
    out_smaller->size = 0;
    trp_callouts++;
    made = actor->behaviour->overload->transform(msg, out_smaller);
    trp_callouts--;
    return made && is_body_right(out_smaller);
}

/* What ties a request to whoever asked. */
static void inherit(struct troupe_message *msg, const struct troupe_message *from)
{
    msg->sender = from->sender;
    if (from->flags & TRP_MESSAGE_REQUEST) {
        *trp_message_extension(msg) = *trp_message_extension(from);
        trp_list_init(&trp_message_extension(msg)->held);
        msg->kind = from->kind;
        msg->flags |= TRP_MESSAGE_REQUEST;
    } else if (from->flags & TRP_MESSAGE_METERED) {
        trp_message_set_unasked(msg, trp_message_extension(from)->deadline_ms);
    }
}

/* A message of `smaller` in place of `msg`; NULL without memory. */
static struct troupe_message *make(struct trp_context *context, const struct troupe_message *msg,
    const struct troupe_smaller *smaller)
{
    bool extended = (msg->flags & (TRP_MESSAGE_REQUEST | TRP_MESSAGE_METERED)) != 0;
    struct troupe_message *made =
        trp_message_new(context, smaller->type, smaller->size, extended ? TRP_MESSAGE_EXTENDED : 0);

    if (made != NULL) {
        memcpy(trp_message_body(made), smaller->body, smaller->size);
        inherit(made, msg);
    }
    return made;
}

/* The capacity, and messages above it for what was made. */
static uint64_t with_margin(const struct troupe_behaviour *behaviour)
{
    return trp_actor_capacity(behaviour) + TRP_CHARGE_ONE * trp_actor_margin(behaviour);
}

/* `made`, which is in the place of `msg`, has no room either: what it refers to is its own. */
static void unmake(
    struct trp_context *context, struct troupe_message *made, struct troupe_message *msg)
{
    trp_message_move_permit(made, msg);
    trp_message_empty(made);
    trp_message_free(&context->pool, made);
}

/* Sends something smaller in place of `msg`, which ends.  TROUPE_EFULL, TROUPE_EDEADLK: it is as it was. */
static int shrink(struct trp_context *context, struct troupe_actor *actor, troupe_pid to,
    struct troupe_message *msg)
{
    struct troupe_smaller smaller;
    struct troupe_message *made;
    struct trp_refused again = {.to = to, .count = 1};
    int error;

    if (!transform(actor, msg, &smaller)) {
        return TROUPE_EFULL;
    }
    made = make(context, msg, &smaller);
    if (made == NULL) {
        return TROUPE_EFULL;
    }
    trp_message_move_permit(msg, made);
    again.first = made;
    again.last = made;
    again.bytes = trp_message_weight(made);
    error = trp_send_again(context, &again, with_margin(actor->behaviour));
    if (error < 0) {
        unmake(context, made, msg);
        return error == TROUPE_EDEADLK ? error : TROUPE_EFULL;
    }
    /* Whoever asked will hear of the other one. */
    msg->flags &= (uint16_t)~TRP_MESSAGE_REQUEST;
    trp_message_empty(msg);
    trp_message_free(&context->pool, msg);
    count(&trp_actor_overload(actor)->transformed, 1);
    return TROUPE_OK;
}

/* ---- one by one ---- */

/* Of a batch there may be room for some. */
static bool fits_alone(struct trp_context *context, troupe_pid to, struct troupe_message *msg)
{
    struct trp_refused again = {
        .to = to, .first = msg, .last = msg, .count = 1, .bytes = trp_message_weight(msg)};

    return trp_send_again(context, &again, 0) == TROUPE_OK;
}

/* TROUPE_EDEADLK: a single one, by which a ring would be closed. */
static int transform_each(
    struct trp_context *context, struct troupe_actor *actor, struct trp_refused refused)
{
    for (uint32_t i = 0; i < refused.count; i++) {
        struct troupe_message *msg = next_of(&refused);
        int error = TROUPE_OK;

        if (refused.count == 1 || !fits_alone(context, refused.to, msg)) {
            error = shrink(context, actor, refused.to, msg);
        }
        if (error == TROUPE_EDEADLK && refused.count == 1) {
            return error;
        }
        if (error < 0) {
            trp_letter_shed(context, actor, msg, TROUPE_SHED_TRANSFORM);
        }
    }
    return TROUPE_OK;
}

static void drop_each(
    struct trp_context *context, struct troupe_actor *actor, struct trp_refused refused)
{
    for (uint32_t i = 0; i < refused.count; i++) {
        struct troupe_message *msg = next_of(&refused);

        if (refused.count == 1 || !fits_alone(context, refused.to, msg)) {
            trp_letter_shed(context, actor, msg, TROUPE_SHED_NEWEST);
        }
    }
}

/* ---- exit ---- */

static void condemn(struct trp_context *context, struct troupe_actor *actor)
{
    /* relaxed: seen late it is set once more. */
    if ((atomic_load_explicit(&actor->signals, memory_order_relaxed) & TRP_SIGNAL_OVERLOAD) == 0) {
        trp_actor_signal(context, actor, TRP_SIGNAL_OVERLOAD);
    }
}

void trp_overload_fail(struct troupe_actor *actor)
{
    uint64_t capacity = trp_actor_capacity(actor->behaviour);
    char text[128];

    snprintf(text, sizeof text,
        "its mailbox had no room for a message: it takes %" PRIu64 " messages, %" PRIu64 " bytes",
        capacity >> 40, capacity & TRP_CHARGE_BYTES);
    (void)troupe_fail(actor, TROUPE_EOVERLOAD, text);
}

/* ---- all together ---- */

/* Whose mailbox it is; NULL: nobody's any more. */
static struct troupe_actor *receiver_of(struct trp_context *context, troupe_pid to)
{
    struct trp_table *table = &context->runtime->table;

    return trp_pid_is_alias(to) ? trp_table_owner(table, to) : trp_table_find(table, to);
}

int trp_overload_act(struct trp_context *context, const struct trp_refused *refused)
{
    struct troupe_actor *actor = receiver_of(context, refused->to);

    if (actor == NULL || actor->behaviour->overload == NULL) {
        return TROUPE_EFULL;
    }
    switch (actor->behaviour->overload->policy) {
    case TROUPE_OVERLOAD_DROP_NEWEST:
        drop_each(context, actor, *refused);
        return TROUPE_OK;
    case TROUPE_OVERLOAD_TRANSFORM:
        return transform_each(context, actor, *refused);
    case TROUPE_OVERLOAD_REDIRECT:
        return redirect(context, actor, refused);
    case TROUPE_OVERLOAD_EXIT:
        condemn(context, actor);
        return TROUPE_EFULL;
    default:
        return TROUPE_EFULL;
    }
}

/* relaxed, all: written by the token's holder alone, and a number to others. */
static void raise(_Atomic uint64_t *most, uint64_t now)
{
    if (now > atomic_load_explicit(most, memory_order_relaxed)) {
        atomic_store_explicit(most, now, memory_order_relaxed);
    }
}

void trp_overload_note(struct troupe_actor *actor, uint64_t given)
{
    struct trp_overload *overload = trp_actor_overload(actor);
    uint64_t queued = trp_charge_queued(&actor->charge) + given;

    raise(&overload->length_max, queued >> 40);
    raise(&overload->bytes_max, queued & TRP_CHARGE_BYTES);
}

void trp_overload_renew(struct troupe_actor *actor)
{
    if (actor->behaviour->overload != NULL) {
        /* relaxed: an address. */
        atomic_store_explicit(
            &trp_actor_overload(actor)->redirect, TROUPE_NOBODY, memory_order_relaxed);
    }
}

/* ---- public ---- */

int troupe_overload_redirect(struct troupe_actor *self, troupe_pid to)
{
    TRP_INSIDE(self);

    if (!trp_actor_is_mine(self) || self->behaviour->overload == NULL ||
        self->behaviour->overload->policy != TROUPE_OVERLOAD_REDIRECT ||
        (to != TROUPE_NOBODY && !trp_pid_is_actor(to)) || to == trp_actor_pid(self)) {
        return TROUPE_EINVAL;
    }
    /* relaxed: an address, which is good or is not. */
    atomic_store_explicit(&trp_actor_overload(self)->redirect, to, memory_order_relaxed);
    return TROUPE_OK;
}
