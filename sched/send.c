/* SPDX-License-Identifier: MIT */
/*
 * send.c - a message's way in: find the actor, admit, push, queue its run slot, wake a worker.
 *
 * Whether there is room says admit.c; who waits for it stands in the line of line.c; what a policy makes of a message that finds
 * none, overload.c.
 *
 * An alias (lib/alias.c) names no actor, so it is found where looking for one has failed: what is sent to a pid pays nothing
 * for it.  What comes through one is admitted and pushed under the lock of its owner's extra block.
 */
#include <string.h>

#include <troupe/mailbox.h>

#include "admit.h"
#include "callout.h"
#include "core.h"
#include "fiber.h"
#include "letter.h"
#include "line.h"
#include "overload.h"
#include "pause.h"
#include "place.h"
#include "priority.h"
#include "runtime.h"
#include "seam.h"
#include "shelf.h"
#include "stamp.h"
#include "worker.h"

/* ---- the one way in ---- */

/* Places a chain that was admitted, or is reserved. */
static void place(struct trp_context *context, struct troupe_actor *actor,
    struct troupe_message *first, struct troupe_message *last)
{
    if (trp_mailbox_push(&actor->mailbox, &first->node, &last->node)) {
        trp_switch();
        trp_worker_schedule(context, actor);
    }
}

void trp_send_reserved(
    struct trp_context *context, struct troupe_actor *actor, struct troupe_message *msg)
{
    trp_count(&context->counters.sent, 1);
    place(context, actor, msg, msg);
}

bool trp_send_first(struct trp_context *context, struct troupe_actor *actor,
    struct troupe_message *msg, uint32_t signals)
{
    struct trp_extra *extra = trp_actor_extra(actor);
    bool placed;

    trp_lock_take(&extra->lock);
    placed = !extra->shut;
    if (placed) {
        trp_priority_push(extra, msg, 1);
    }
    trp_lock_give(&extra->lock);
    if (placed) {
        trp_count(&context->counters.sent, 1);
        trp_actor_signal(context, actor, TRP_SIGNAL_PRIORITY | signals);
    }
    return placed;
}

static int send_through(struct trp_context *context, troupe_pid alias, struct troupe_message *first,
    uint32_t count, uint64_t bytes, uint64_t room)
{
    struct troupe_actor *actor = trp_table_owner(&context->runtime->table, alias);
    struct trp_extra *extra = actor != NULL ? trp_actor_extra(actor) : NULL;
    struct trp_ring ring;
    struct trp_parcel parcel = {
        .to = alias, .first = first, .count = count, .bytes = bytes, .room = room, .ring = &ring};
    struct troupe_message *behind = NULL;
    int error = TROUPE_EGONE;

    ring.count = 0;

    if (extra != NULL) {
        if (count > 1) {
            /* relaxed: the chain is ours. */
            behind = trp_message_of(atomic_load_explicit(&first->node.next, memory_order_relaxed));
        }
        trp_lock_take(&extra->lock);
        error = trp_place_through(context, actor, extra, &parcel);
        trp_lock_give(&extra->lock);
        trp_pressure_report(context, parcel.ring);
    }
    if (error == TROUPE_OK) {
        /* The reader may be through with it by now: then it tells that the queue is short when it has handled the next one. */
        trp_admit_tell(actor);
        trp_place_followed(context, actor, &parcel);
        trp_place_drop(context, alias, behind, count - parcel.count);
    } else if (error == TROUPE_EGONE) {
        trp_place_drop(context, alias, first, count);
        error = TROUPE_OK;
    } else {
        /* Instead of trp_admit(), which had no right to call anybody. */
        trp_line_look_again(context, actor);
    }
    return error;
}

/* No actor has this pid. */
static TRP_NOINLINE int send_elsewhere(struct trp_context *context, troupe_pid to,
    struct troupe_message *first, uint32_t count, uint64_t bytes, uint64_t room)
{
    return trp_pid_is_alias(to) ? send_through(context, to, first, count, bytes, room)
                                : TROUPE_EGONE;
}

/* ---- the way in for what is charged ---- */

/* What they weigh is added up anew: whoever finds room need not keep it in mind. */
static TRP_NOINLINE int refused(struct trp_context *context, troupe_pid to,
    struct troupe_message *first, struct troupe_message *last, uint32_t count, int error)
{
    struct trp_refused all = {to, first, last, count, trp_admit_weigh(NULL, first, count)};
    struct troupe_actor *actor = trp_table_find(&context->runtime->table, to);

    if (error == TROUPE_EFULL && context->worker != NULL) {
        /* Who found no room ends its slice after this message: the reader gets the processor, and makes room. */
        context->worker->limit = 0;
    }
    if (actor != NULL) {
        trp_line_look_again(context, actor);
    }
    if (error == TROUPE_EFULL) {
        error = trp_overload_act(context, &all);
    }
    if (error < 0) {
        trp_count(&context->counters.refused, count);
    }
    return error;
}

/* ---- with care ---- */

/* One message that may be a request: pointed first, since it may be answered as soon as it is there. */
static TRP_NOINLINE int shelve_request(
    struct trp_context *context, struct troupe_actor *actor, struct troupe_message *msg)
{
    uint64_t edge = msg->kind == TRP_MESSAGE_QUESTION ? trp_place_edge(msg) : 0;
    int error;

    if (edge != 0) {
        TROUPE_TRY(trp_place_point_edge(context, actor, msg, edge, NULL));
    }
    error = trp_place_shelve(context, actor, msg, 1);
    if (error < 0 && edge != 0) {
        trp_place_point_back(context, msg);
    }
    return error;
}

/* They were admitted. */
static void enter_with_care(struct trp_context *context, struct troupe_actor *actor,
    struct troupe_message *first, struct troupe_message *last, uint32_t count)
{
    trp_admit_stamp(context, actor, &first, &last, count);
    trp_place_mark(first, count);
    trp_place_put_up(context, actor, first, last, count);
}

static TRP_NOINLINE int send_with_care(struct trp_context *context, struct troupe_actor *actor,
    struct troupe_message *first, struct troupe_message *last, uint32_t count)
{
    if (trp_admit_is_displacing(actor)) {
        return trp_place_shelve(context, actor, first, count);
    }
    TROUPE_TRY(trp_admit_with_care(actor, first, count));
    enter_with_care(context, actor, first, last, count);
    return TROUPE_OK;
}

/* A try.  On error they have been counted as sent, and nothing else. */
static int try_charged(struct trp_context *context, troupe_pid to, struct troupe_message *first,
    struct troupe_message *last, uint32_t count, uint64_t bytes)
{
    struct troupe_actor *actor = trp_table_find(&context->runtime->table, to);
    int error;

    trp_count(&context->counters.sent, count);
    if (trp_unlikely(actor == NULL)) {
        return send_elsewhere(context, to, first, count, bytes, 0);
    }
    if (trp_unlikely(trp_admit_wants_care(actor))) {
        return send_with_care(context, actor, first, last, count);
    }
    error = trp_admit(actor, count, bytes, false);
    if (trp_unlikely(error < 0)) {
        return error;
    }
    trp_place_mark(first, count);
    place(context, actor, first, last);
    return TROUPE_OK;
}

int trp_send_charged(struct trp_context *context, troupe_pid to, struct troupe_message *first,
    struct troupe_message *last, uint32_t count, uint64_t bytes)
{
    int error = try_charged(context, to, first, last, count, bytes);

    return trp_unlikely(error < 0) ? refused(context, to, first, last, count, error) : error;
}

/* It is charged, and whoever waits for its answer waits for `actor`. */
static int admit_again(struct trp_context *context, struct troupe_actor *actor,
    const struct trp_refused *refused, uint64_t room)
{
    struct troupe_message *first = refused->first;

    TROUPE_TRY(room > 0 ? trp_place_admit_within(actor, room, refused->count,
                              trp_admit_weigh(actor, first, refused->count))
                        : trp_admit_with_care(actor, first, refused->count));
    return refused->count == 1 ? trp_place_point(context, actor, first, NULL) : TROUPE_OK;
}

int trp_send_again(struct trp_context *context, const struct trp_refused *refused, uint64_t room)
{
    struct troupe_actor *actor = trp_table_find(&context->runtime->table, refused->to);
    struct troupe_message *first = refused->first;
    int error;

    if (actor == NULL) {
        return send_elsewhere(context, refused->to, first, refused->count, refused->bytes, room);
    }
    if (trp_admit_is_displacing(actor)) {
        return refused->count == 1 ? shelve_request(context, actor, first)
                                   : trp_place_shelve(context, actor, first, refused->count);
    }
    error = admit_again(context, actor, refused, room);
    if (error < 0) {
        trp_line_look_again(context, actor);
        return error;
    }
    enter_with_care(context, actor, first, refused->last, refused->count);
    return TROUPE_OK;
}

static TRP_NOINLINE int send_request_with_care(
    struct trp_context *context, struct troupe_actor *actor, struct troupe_message *request)
{
    if (trp_admit_is_displacing(actor)) {
        return shelve_request(context, actor, request);
    }
    TROUPE_TRY(trp_admit_with_care(actor, request, 1));
    TROUPE_TRY(trp_place_point_request(context, actor, request, NULL));
    enter_with_care(context, actor, request, request, 1);
    return TROUPE_OK;
}

static int send_request_plainly(
    struct trp_context *context, struct troupe_actor *actor, struct troupe_message *request)
{
    TROUPE_TRY(trp_admit(actor, 1, trp_message_weight(request), false));
    TROUPE_TRY(trp_place_point_request(context, actor, request, NULL));
    request->flags |= TRP_MESSAGE_CHARGED;
    place(context, actor, request, request);
    return TROUPE_OK;
}

/* The same of a request. */
static int try_request(struct trp_context *context, troupe_pid to, struct troupe_message *request)
{
    struct troupe_actor *actor = trp_table_find(&context->runtime->table, to);

    trp_count(&context->counters.sent, 1);
    if (trp_unlikely(actor == NULL)) {
        return send_elsewhere(context, to, request, 1, trp_message_weight(request), 0);
    }
    return trp_unlikely(trp_admit_wants_care(actor))
               ? send_request_with_care(context, actor, request)
               : send_request_plainly(context, actor, request);
}

int trp_send_request(struct trp_context *context, troupe_pid to, struct troupe_message *request)
{
    int error = try_request(context, to, request);

    return trp_unlikely(error < 0) ? refused(context, to, request, request, 1, error) : error;
}

/* One message, request or not. */
static int try_one(struct trp_context *context, troupe_pid to, struct troupe_message *msg)
{
    return trp_unlikely(msg->kind == TRP_MESSAGE_QUESTION)
               ? try_request(context, to, msg)
               : try_charged(context, to, msg, msg, 1, trp_message_weight(msg));
}

static int send_one(struct trp_context *context, troupe_pid to, struct troupe_message *msg)
{
    int error = try_one(context, to, msg);

    return trp_unlikely(error < 0) ? refused(context, to, msg, msg, 1, error) : error;
}

/* ---- by a callback that may be paused for it ---- */

/* Whose mailbox it is that `to` leads to; NULL: nobody's any more. */
static struct troupe_actor *receiver_of(struct trp_context *context, troupe_pid to)
{
    struct trp_table *table = &context->runtime->table;

    return trp_pid_is_alias(to) ? trp_table_owner(table, to) : trp_table_find(table, to);
}

/* Whether its callback handles messages, and may not wait itself. */
static bool is_handler(const struct troupe_actor *self)
{
    /* relaxed: we hold the token. */
    return atomic_load_explicit(&self->phase, memory_order_relaxed) == TRP_PHASE_RUNNING &&
           !trp_fiber_is_wanted(self->behaviour);
}

/* What found no room within the capacity goes into the margin, and `self` will be paused for it: see pause.h. */
static int press(
    struct trp_context *context, struct troupe_actor *self, const struct trp_refused *refused)
{
    struct troupe_actor *actor = receiver_of(context, refused->to);
    bool pauses = actor != self && !self->behaviour->never_paused && !trp_pressure_is_holder(self);
    uint64_t hard;
    int error;

    if (actor == NULL || !is_handler(self)) {
        return TROUPE_EFULL;
    }
    hard = trp_actor_hard(actor->behaviour);
    if (hard == trp_actor_capacity(actor->behaviour)) {
        return TROUPE_EFULL;
    }
    if (pauses) {
        TROUPE_TRY(trp_pause_allows(context, self, actor, refused->count));
    }
    error = trp_send_again(context, refused, hard);
    if (error == TROUPE_OK && pauses) {
        trp_pause_note(self, actor, refused->count);
    }
    return error;
}

/* They were refused with `error`, which is what stays of it. */
static TRP_NOINLINE int insist(struct trp_context *context, troupe_pid to,
    struct troupe_message *first, struct troupe_message *last, uint32_t count, int error)
{
    struct trp_refused all = {to, first, last, count, trp_admit_weigh(NULL, first, count)};

    if (error == TROUPE_EFULL) {
        error = press(context, context->current, &all);
    }
    return error < 0 ? refused(context, to, first, last, count, error) : error;
}

int trp_send_request_by(struct troupe_actor *self, troupe_pid to, struct troupe_message *request)
{
    struct trp_context *context = trp_context_of(self);
    int error = try_request(context, to, request);

    return trp_unlikely(error < 0) ? insist(context, to, request, request, 1, error) : error;
}

/* Whether `to` ends because of what it had no room for. */
static bool is_condemned(struct trp_context *context, troupe_pid to)
{
    const struct troupe_actor *actor = receiver_of(context, to);

    return actor != NULL && actor->behaviour->overload != NULL &&
           actor->behaviour->overload->policy == TROUPE_OVERLOAD_EXIT;
}

/* Whether `self`, which was refused with `error`, waits.  Who holds room never does: others may wait for that. */
static bool shall_wait(struct troupe_actor *self, troupe_pid to, int error)
{
    return error == TROUPE_EFULL && trp_wait_may(self) && !trp_actor_is_reached_by(self, to) &&
           !trp_pressure_is_holder(self) && !is_condemned(trp_context_of(self), to);
}

/* ---- public ---- */

static bool is_body_right(const struct troupe_type *type, const void *body, size_t size)
{
    return type != NULL && (body != NULL) == (size > 0) && size >= type->size &&
           (size == type->size || type->variable) && size <= TROUPE_BODY_MAX;
}

/* Refused with `error`: with patience it waits, or will be paused. */
static TRP_NOINLINE int not_sent(
    struct troupe_actor *self, troupe_pid to, struct troupe_message *msg, int error, bool patient)
{
    struct trp_context *context = trp_context_of(self);

    error = patient ? insist(context, to, msg, msg, 1, error)
                    : refused(context, to, msg, msg, 1, error);
    if (patient && shall_wait(self, to, error)) {
        error = trp_hooks.wait_for_room(self, to, msg);
    }
    if (error < 0) {
        trp_message_free(&trp_context_of(self)->pool, msg);
    }
    return error;
}

/* `self` is the caller's. */
TRP_INLINE int send_bytes(struct troupe_actor *self, troupe_pid to, const struct troupe_type *type,
    const void *body, size_t size, bool patient)
{
    struct trp_context *context;
    struct troupe_message *msg;
    int error;

    if (trp_unlikely(!is_body_right(type, body, size))) {
        return TROUPE_EINVAL;
    }
    context = trp_context_of(self);
    msg = trp_message_create(&context->pool, type, size, 0);
    if (trp_unlikely(msg == NULL)) {
        return TROUPE_ENOMEM;
    }
    msg->sender = trp_actor_pid(self);
    if (size > 0) {
        memcpy(trp_message_body(msg), body, size);
    }
    error = try_charged(context, to, msg, msg, 1, trp_message_weight(msg));
    return trp_unlikely(error < 0) ? not_sent(self, to, msg, error, patient) : error;
}

/* It is not the caller's, or the caller comes from outside: apart, so that others need not ask when they return. */
static TRP_NOINLINE int send_from_outside(struct troupe_actor *self, troupe_pid to,
    const struct troupe_type *type, const void *body, size_t size)
{
    TRP_INSIDE(self);

    return trp_actor_is_mine(self) ? send_bytes(self, to, type, body, size, true) : TROUPE_EINVAL;
}

int troupe_send_bytes(struct troupe_actor *self, troupe_pid to, const struct troupe_type *type,
    const void *body, size_t size)
{
    return trp_likely(trp_actor_is_mine(self)) ? send_bytes(self, to, type, body, size, true)
                                               : send_from_outside(self, to, type, body, size);
}

int trp_send_bytes_now(struct troupe_actor *self, troupe_pid to, const struct troupe_type *type,
    const void *body, size_t size)
{
    return send_bytes(self, to, type, body, size, false);
}

int troupe_send(
    struct troupe_actor *self, troupe_pid to, const struct troupe_type *type, const void *body)
{
    return troupe_send_bytes(self, to, type, body, type != NULL ? type->size : 0);
}

/* It was not sent.  A request on whose answer somebody waits in a ring is answered so: then it is over. */
static int conclude(
    struct trp_context *context, struct troupe_actor *self, struct troupe_message *msg, int error)
{
    if (error == TROUPE_EDEADLK) {
        trp_message_dispose(context, msg, error);
        return TROUPE_OK;
    }
    trp_place_take_back(context->runtime, self, msg);
    return error;
}

/* With patience it waits, or will be paused. */
static int send_owned(
    struct troupe_actor *self, troupe_pid to, struct troupe_message *msg, bool patient)
{
    struct trp_context *context = trp_context_of(self);
    int error = try_one(context, to, msg);

    if (trp_likely(error == TROUPE_OK)) {
        return error;
    }
    error = patient ? insist(context, to, msg, msg, 1, error)
                    : refused(context, to, msg, msg, 1, error);
    error = error < 0 ? conclude(context, self, msg, error) : error;
    return patient && shall_wait(self, to, error) ? trp_hooks.wait_for_room(self, to, msg) : error;
}

int trp_send_message_now(struct troupe_actor *self, troupe_pid to, struct troupe_message *msg)
{
    if (msg == NULL || trp_actor_has_in_hand(self, msg)) {
        return TROUPE_EINVAL;
    }
    trp_place_let_go(msg, trp_actor_pid(self));
    return send_owned(self, to, msg, false);
}

int troupe_send_message(struct troupe_actor *self, troupe_pid to, struct troupe_message *msg)
{
    TRP_INSIDE(self);
    if (!trp_actor_is_mine(self) || msg == NULL || trp_actor_has_in_hand(self, msg)) {
        return TROUPE_EINVAL;
    }
    trp_place_let_go(msg, trp_actor_pid(self));
    return send_owned(self, to, msg, true);
}

/* Undoes troupe_take(): the handler's message has its body and its caller again. */
static void give_back(
    struct troupe_actor *self, struct troupe_message *msg, struct troupe_message *copy)
{
    struct trp_context *context = trp_context_of(self);

    /* What the type allows to be moved there may be moved back. */
    memcpy(trp_message_body(msg), trp_message_body(copy), copy->size);
    msg->flags &= (uint16_t)~TRP_MESSAGE_EMPTIED;
    if (copy->flags & TRP_MESSAGE_REQUEST) {
        trp_list_remove(&trp_message_extension(copy)->held);
        msg->flags |= TRP_MESSAGE_REQUEST;
    }
    trp_message_move_permit(copy, msg);
    self->taken = false;
    trp_message_free(&context->pool, copy);
}

int troupe_forward(struct troupe_actor *self, troupe_pid to, struct troupe_message *msg)
{
    TRP_INSIDE(self);
    struct troupe_message *copy;
    int error = troupe_take(self, msg, &copy);

    if (error < 0) {
        return error;
    }
    trp_place_let_go(copy, copy->sender);
    error = send_owned(self, to, copy, true);
    if (error < 0) {
        give_back(self, msg, copy);
    }
    return error;
}

/* Links `count` messages into a chain and adds up their weight. */
static uint64_t chain(struct trp_context *context, struct troupe_message **msgs, size_t count)
{
    troupe_pid sender = trp_actor_pid(context->current);
    uint64_t bytes = 0;

    for (size_t i = 0; i < count; i++) {
        if (trp_unlikely(trp_message_is_held(msgs[i]))) {
            trp_place_lose_sight(context, msgs[i]);
        }
        trp_place_let_go(msgs[i], sender);
        bytes += trp_message_weight(msgs[i]);
        /* relaxed: the push publishes them. */
        atomic_store_explicit(
            &msgs[i]->node.next, i + 1 < count ? &msgs[i + 1]->node : NULL, memory_order_relaxed);
    }
    return bytes;
}

int troupe_send_batch(
    struct troupe_actor *self, troupe_pid to, struct troupe_message **msgs, size_t count)
{
    TRP_INSIDE(self);
    struct trp_context *context;
    uint64_t bytes;
    int error;

    if (!trp_actor_is_mine(self) || (msgs == NULL && count > 0) || count > TROUPE_CAPACITY_MAX) {
        return TROUPE_EINVAL;
    }
    for (size_t i = 0; i < count; i++) {
        if (msgs[i] == NULL || trp_actor_has_in_hand(self, msgs[i])) {
            return TROUPE_EINVAL;
        }
    }
    if (count == 0) {
        return TROUPE_OK;
    }
    context = trp_context_of(self);
    bytes = chain(context, msgs, count);
    error = try_charged(context, to, msgs[0], msgs[count - 1], (uint32_t)count, bytes);
    if (trp_unlikely(error < 0)) {
        error = insist(context, to, msgs[0], msgs[count - 1], (uint32_t)count, error);
    }
    for (size_t i = 0; error < 0 && i < count; i++) {
        trp_place_take_back(context->runtime, self, msgs[i]);
        if (trp_unlikely(trp_message_is_held(msgs[i]))) {
            trp_place_point_back(context, msgs[i]);
        }
    }
    return error;
}

/* Who sends from here: the actor whose callback this is, if it is one of this runtime. */
static struct troupe_actor *sender_here(struct trp_context *context)
{
    return context->current;
}

/* A thread that is no actor's brings more, and memory runs out: what is there already comes first. */
static bool is_too_much(const struct trp_visit *visit, troupe_pid sender)
{
    return visit->context->worker == NULL && sender == TROUPE_NOBODY &&
           trp_memory_pressure(&visit->context->runtime->memory) >= TRP_PRESSURE_OUTSIDE;
}

/* `sender`: of one who is not an actor here. */
static int try_send_as(
    struct troupe_runtime *runtime, troupe_pid sender, troupe_pid to, struct troupe_message *msg)
{
    TRP_INSIDE(trp_thread_actor(runtime));
    struct trp_visit visit;
    struct troupe_actor *self;
    int error;

    error = trp_context_enter(runtime, &visit);
    if (error < 0) {
        return error;
    }
    self = sender_here(visit.context);
    if (self != NULL && trp_actor_has_in_hand(self, msg)) {
        trp_context_leave(&visit);
        return TROUPE_EINVAL;
    }
    if (trp_unlikely(is_too_much(&visit, sender))) {
        trp_count(&visit.context->counters.sent, 1);
        trp_count(&visit.context->counters.refused, 1);
        trp_context_leave(&visit);
        return TROUPE_ENOMEM;
    }
    trp_place_let_go(msg, self != NULL ? trp_actor_pid(self) : sender);
    error = send_one(visit.context, to, msg);
    if (error < 0) {
        error = conclude(visit.context, self, msg, error);
    }
    trp_context_leave(&visit);
    return error;
}

int troupe_try_send(struct troupe_runtime *runtime, troupe_pid to, struct troupe_message *msg)
{
    return msg != NULL ? try_send_as(runtime, trp_blocking_stake(runtime).owner, to, msg)
                       : TROUPE_EINVAL;
}

/* Of a wait on the thread of an actor, outside. */
static int open_stake(struct troupe_actor *self, struct trp_stake *out_stake)
{
    TRP_INSIDE(self);

    /* It gave back all its room when it went outside. */
    trp_line_let_be(trp_context_of(self), self);
    out_stake->owner = trp_actor_pid(self);
    return trp_pressure_open(trp_context_of(self), self, &out_stake->edge);
}

/* As a foreign thread, but in the name of its actor, outside. */
static int wait_on_thread(
    struct troupe_actor *self, troupe_pid to, struct troupe_message *msg, int wait_ms)
{
    struct trp_stake stake;
    int error;

    TROUPE_TRY(open_stake(self, &stake));
    trp_place_let_go(msg, trp_actor_pid(self));
    error = trp_line_sleep(self->runtime, &stake, to, msg, wait_ms);
    trp_pressure_close(self);
    if (error < 0) {
        trp_place_take_back(self->runtime, self, msg);
    }
    return error;
}

/* It may not wait: what it is told is that there is no room. */
static int unless_ring(int error)
{
    return error == TROUPE_EDEADLK ? TROUPE_EFULL : error;
}

int trp_send_wait_as(struct troupe_runtime *runtime, const struct trp_stake *stake, troupe_pid to,
    struct troupe_message *msg, int wait_ms)
{
    struct troupe_actor *self = trp_thread_actor(runtime);
    int error = try_send_as(runtime, stake->owner, to, msg);

    if (error != TROUPE_EFULL || wait_ms == 0) {
        return error == TROUPE_EFULL ? TROUPE_ETIMEDOUT : error;
    }
    if (self == NULL) {
        error = unless_ring(trp_line_sleep(runtime, stake, to, msg, wait_ms));
        if (error < 0) {
            trp_message_set_runtime(msg, runtime);
        }
        return error;
    }
    return to != trp_actor_pid(self) ? unless_ring(wait_on_thread(self, to, msg, wait_ms))
                                     : TROUPE_EFULL;
}

int troupe_send_wait(
    struct troupe_runtime *runtime, troupe_pid to, struct troupe_message *msg, int wait_ms)
{
    struct trp_stake stake = trp_blocking_stake(runtime);

    if (msg == NULL || wait_ms < TROUPE_FOREVER || trp_worker_current() != NULL) {
        return TROUPE_EINVAL;
    }
    return trp_send_wait_as(runtime, &stake, to, msg, wait_ms);
}
