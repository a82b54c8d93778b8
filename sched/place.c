/* SPDX-License-Identifier: MIT */
/*
 * place.c - into a mailbox: what was admitted is pointed, stamped and pushed.  See place.h.
 */
#include "place.h"

#include "admit.h"
#include "callout.h"
#include "letter.h"
#include "priority.h"
#include "runtime.h"
#include "seam.h"
#include "shelf.h"
#include "worker.h"

/* ---- requests on whose answer somebody waits ---- */

uint64_t trp_place_edge(const struct troupe_message *request)
{
    return request->flags & TRP_MESSAGE_REQUEST ? trp_send_edge(request) : 0;
}

int trp_place_point_edge(struct trp_context *context, struct troupe_actor *actor,
    const struct troupe_message *request, uint64_t edge, struct trp_ring *out_ring)
{
    struct troupe_actor *asker = trp_table_find(&context->runtime->table, request->sender);
    struct trp_aim receiver = {.to = trp_actor_pid(actor)};

    if (asker == NULL) {
        return TROUPE_OK;
    }
    return out_ring == NULL ? trp_pressure_wait(context, asker, edge, &receiver)
                            : trp_pressure_wait_quietly(context, asker, edge, &receiver, out_ring);
}

int trp_place_point_request(struct trp_context *context, struct troupe_actor *actor,
    const struct troupe_message *request, struct trp_ring *out_ring)
{
    uint64_t edge = trp_place_edge(request);
    int error;

    if (trp_likely(edge == 0)) {
        return TROUPE_OK;
    }
    error = trp_place_point_edge(context, actor, request, edge, out_ring);
    if (error < 0) {
        trp_charge_take_back(&actor->charge, 1, trp_message_weight(request));
    }
    return error;
}

void trp_place_point_back(struct trp_context *context, const struct troupe_message *request)
{
    uint64_t edge = trp_place_edge(request);
    struct troupe_actor *asker =
        edge != 0 ? trp_table_find(&context->runtime->table, request->sender) : NULL;
    struct trp_aim here;

    if (asker == NULL || asker == context->current) {
        return;
    }
    if (context->current == NULL) {
        /* A foreign thread, which nobody follows. */
        trp_pressure_rest(asker, edge);
        return;
    }
    here = (struct trp_aim){.to = trp_actor_pid(context->current)};
    /* It does not wait, so no ring is closed. */
    if (trp_pressure_wait(context, asker, edge, &here) < 0) {
        trp_pressure_rest(asker, edge);
    }
}

void trp_place_lose_sight(struct trp_context *context, const struct troupe_message *msg)
{
    uint64_t edge = trp_place_edge(msg);
    struct troupe_actor *asker =
        edge != 0 ? trp_table_find(&context->runtime->table, msg->sender) : NULL;

    if (asker != NULL) {
        trp_pressure_rest(asker, edge);
    }
}

/* ---- through an alias ---- */

void trp_place_drop(
    struct trp_context *context, troupe_pid to, struct troupe_message *first, uint32_t count)
{
    struct troupe_message *msg = first;

    while (count-- > 0) {
        /* relaxed: the chain is ours.  Of the last one it is no message. */
        struct trp_node *next = atomic_load_explicit(&msg->node.next, memory_order_relaxed);

        trp_letter_lost(context, to, msg);
        trp_message_count_dropped(context, msg);
        trp_message_dispose(context, msg, TROUPE_EGONE);
        msg = trp_message_of(next);
    }
}

/* ---- onto a shelf ---- */

static void push(struct trp_context *context, struct troupe_actor *actor,
    struct troupe_message *first, struct troupe_message *last)
{
    if (trp_mailbox_push(&actor->mailbox, &first->node, &last->node)) {
        trp_switch();
        trp_worker_schedule(context, actor);
    }
}

static void shed_all(struct trp_context *context, struct troupe_actor *actor,
    struct trp_chain *chain, enum troupe_shed kind)
{
    struct troupe_message *msg;

    while ((msg = trp_chain_pop(chain)) != NULL) {
        trp_letter_shed(context, actor, msg, kind);
    }
}

static uint64_t key_of(const struct troupe_actor *actor, const struct troupe_message *msg)
{
    const struct troupe_overload *overload = actor->behaviour->overload;
    uint64_t key = 0;

    if (overload->key != NULL) {
        trp_callouts++;
        key = overload->key(msg);
        trp_callouts--;
    }
    return key;
}

static int shelve_one(struct trp_context *context, struct troupe_actor *actor,
    struct trp_shelf *shelf, struct troupe_message *msg)
{
    struct trp_lanes_item item = {msg, key_of(actor, msg), trp_admit_lane(actor, msg)};
    struct trp_shelved shelved;

    TROUPE_TRY(trp_shelf_put(shelf, &item, &shelved));
    if (shelved.ticket != NULL) {
        trp_send_reserved(context, actor, shelved.ticket);
    }
    shed_all(context, actor, &shelved.displaced.conflated, TROUPE_SHED_CONFLATED);
    shed_all(context, actor, &shelved.displaced.oldest, TROUPE_SHED_OLDEST);
    return TROUPE_OK;
}

/* One by one.  Returns how many of them; the actor ended before the next one, *out_next. */
static uint32_t shelve_all(struct trp_context *context, struct troupe_actor *actor,
    struct troupe_message *first, uint32_t count, struct troupe_message **out_next)
{
    struct troupe_message *msg = first;

    for (uint32_t i = 0; i < count; i++) {
        /* relaxed: the chain is ours.  Of the last one it is no message. */
        struct trp_node *next = atomic_load_explicit(&msg->node.next, memory_order_relaxed);

        if (shelve_one(context, actor, trp_admit_shelf(actor), msg) < 0) {
            *out_next = msg;
            return i;
        }
        msg = trp_message_of(next);
    }
    return count;
}

int trp_place_shelve(struct trp_context *context, struct troupe_actor *actor,
    struct troupe_message *first, uint32_t count)
{
    struct troupe_message *next;
    uint32_t shelved;

    if (trp_admit_weigh(NULL, first, count) >
        (trp_actor_capacity(actor->behaviour) & TRP_CHARGE_BYTES)) {
        return TROUPE_EMSGSIZE;
    }
    shelved = shelve_all(context, actor, first, count, &next);
    if (shelved == 0) {
        return TROUPE_EGONE;
    }
    if (shelved < count) {
        trp_place_drop(context, trp_actor_pid(actor), next, count - shelved);
    }
    return TROUPE_OK;
}

void trp_place_put_up(struct trp_context *context, struct troupe_actor *actor,
    struct troupe_message *first, struct troupe_message *last, uint32_t count)
{
    troupe_pid to = trp_actor_pid(actor);
    struct troupe_message *next;
    uint32_t shelved;

    if (trp_admit_shelf(actor) == NULL) {
        push(context, actor, first, last);
        return;
    }
    shelved = shelve_all(context, actor, first, count, &next);
    if (shelved < count) {
        trp_place_drop(context, to, next, count - shelved);
    }
}

/* The last one of `count`. */
static struct troupe_message *last_of(struct troupe_message *first, uint32_t count)
{
    struct troupe_message *msg = first;

    while (--count > 0) {
        /* relaxed: the chain is ours. */
        msg = trp_message_of(atomic_load_explicit(&msg->node.next, memory_order_relaxed));
    }
    return msg;
}

/* Under lock.  What those in line hold that count on a place, as in the charge: who was called, and who does not wait any more for the
 * reader. */
static uint64_t sum_granted(const struct trp_extra *extra)
{
    uint64_t sum = extra->waiter_called ? TRP_CHARGE_ONE : 0;

    for (const struct trp_list *at = extra->waiters.next; at != &extra->waiters; at = at->next) {
        const struct trp_waiter *waiter = trp_container_of(at, const struct trp_waiter, entry);

        if (waiter->pointed) {
            break;
        }
        sum += waiter->stake.edge != 0 ? TRP_CHARGE_ONE * waiter->places + waiter->bytes : 0;
    }
    return sum;
}

/* Under lock. */
static int admit_within(struct troupe_actor *actor, struct trp_extra *extra, uint64_t room,
    uint32_t count, uint64_t bytes)
{
    uint64_t granted = sum_granted(extra);

    return trp_charge_fits(room, granted)
               ? trp_charge_take_within(&actor->charge, room - granted, count, bytes)
               : TROUPE_EFULL;
}

int trp_place_admit_within(
    struct troupe_actor *actor, uint64_t room, uint32_t count, uint64_t bytes)
{
    struct trp_extra *extra = trp_actor_extra(actor);
    int error;

    if (extra == NULL) {
        return trp_charge_take_within(&actor->charge, room, count, bytes);
    }
    trp_lock_take(&extra->lock);
    error = admit_within(actor, extra, room, count, bytes);
    trp_lock_give(&extra->lock);
    return error;
}

static int admit(
    struct troupe_actor *actor, struct trp_extra *extra, const struct trp_parcel *parcel)
{
    if (parcel->room > 0) {
        return parcel->waited
                   ? trp_charge_take_within(
                         &actor->charge, parcel->room, parcel->count, parcel->bytes)
                   : admit_within(actor, extra, parcel->room, parcel->count, parcel->bytes);
    }
    if (!parcel->waited && trp_actor_waiters(trp_admit_waiting(actor)) != 0) {
        return TROUPE_EFULL;
    }
    return trp_admit(actor, parcel->count, parcel->bytes, true);
}

int trp_place_through(struct trp_context *context, struct troupe_actor *actor,
    struct trp_extra *extra, struct trp_parcel *parcel)
{
    bool batch = parcel->count > 1;
    struct troupe_message *last;

    if (extra->shut || !trp_hooks.find_alias(extra, parcel->to, &parcel->passage)) {
        return TROUPE_EGONE;
    }
    if (parcel->passage.once) {
        parcel->count = 1;
    }
    parcel->bytes = trp_admit_weigh(actor, parcel->first, parcel->count);
    TROUPE_TRY(admit(actor, extra, parcel));
    if (!batch) {
        TROUPE_TRY(trp_place_point(context, actor, parcel->first, parcel->ring));
    }
    last = last_of(parcel->first, parcel->count);
    trp_admit_stamp(context, actor, &parcel->first, &last, parcel->count);
    trp_place_mark(parcel->first, parcel->count);
    if (parcel->passage.priority) {
        trp_priority_push(extra, parcel->first, parcel->count);
        parcel->signalled = true;
    } else {
        parcel->scheduled = trp_mailbox_push(&actor->mailbox, &parcel->first->node, &last->node);
    }
    if (parcel->passage.once) {
        trp_hooks.spend_alias(extra, &parcel->passage);
    }
    return TROUPE_OK;
}

void trp_place_followed(
    struct trp_context *context, struct troupe_actor *actor, const struct trp_parcel *parcel)
{
    if (parcel->scheduled) {
        trp_worker_schedule(context, actor);
    } else if (parcel->signalled) {
        trp_actor_signal(context, actor, TRP_SIGNAL_PRIORITY);
    }
    if (parcel->passage.once) {
        trp_hooks.follow_alias(context, &parcel->passage);
    }
}

int trp_place_enter(struct trp_context *context, struct troupe_actor *actor,
    struct trp_extra *extra, struct trp_parcel *parcel)
{
    struct troupe_message *last = parcel->first;

    if (trp_pid_is_alias(parcel->to)) {
        return trp_place_through(context, actor, extra, parcel);
    }
    if (trp_admit_is_shared(actor) &&
        !trp_admit_bears(actor, parcel->first->sender, parcel->lane, 1, parcel->bytes)) {
        return TROUPE_EFULL;
    }
    TROUPE_TRY(admit(actor, extra, parcel));
    TROUPE_TRY(trp_place_point(context, actor, parcel->first, parcel->ring));
    trp_admit_stamp(context, actor, &parcel->first, &last, 1);
    parcel->first->flags |= TRP_MESSAGE_CHARGED;
    return TROUPE_OK;
}

void trp_place_entered(
    struct trp_context *context, struct troupe_actor *actor, const struct trp_parcel *parcel)
{
    trp_pressure_report(context, parcel->ring);
    trp_admit_tell(actor);
    trp_count(&context->counters.sent, 1);
    if (trp_pid_is_alias(parcel->to)) {
        trp_place_followed(context, actor, parcel);
    } else {
        trp_place_put_up(context, actor, parcel->first, parcel->first, 1);
    }
}

/* ---- messages that their user owned ---- */

static struct trp_list *held_of(struct troupe_actor *self)
{
    struct trp_extra *extra = self != NULL ? trp_actor_extra(self) : NULL;

    return extra != NULL ? &extra->held : NULL;
}

void trp_place_let_go(struct troupe_message *msg, troupe_pid sender)
{
    if (trp_message_is_held(msg)) {
        trp_list_remove(&trp_message_extension(msg)->held);
    }
    if ((msg->flags & TRP_MESSAGE_REQUEST) == 0) {
        msg->sender = sender;
    }
}

void trp_place_take_back(
    struct troupe_runtime *runtime, struct troupe_actor *self, struct troupe_message *msg)
{
    struct trp_list *held = held_of(self);

    msg->flags &= (uint16_t)~TRP_MESSAGE_CHARGED;
    trp_message_set_runtime(msg, runtime);
    if (trp_message_is_held(msg) && held != NULL) {
        trp_list_push(held, &trp_message_extension(msg)->held);
    }
}
