/* SPDX-License-Identifier: MIT */
/*
 * flow_put.c - putting items into a flow, and waiting until there is room for one.
 *
 * An item that is put goes to every tap, all or none: whatever memory that takes is taken first (the taps' drafts), then
 * nothing can fail.  To a tap with credit for all of it a batch goes as one parcel; otherwise each item has a parcel of its
 * own, and may wait in it.  All taps but the last get copies.
 */
#include "await.h"
#include "flow.h"

#include <string.h>

#include <troupe/fiber.h>

static struct trp_tap *tap_of(struct trp_list *link)
{
    return trp_container_of(link, struct trp_tap, link);
}

static bool is_end(const struct trp_list *list, const struct trp_list *link)
{
    return list == link;
}

/* ---- copies ---- */

bool trp_flow_can_copy(const struct troupe_flow_options *options)
{
    return options->type->destroy == NULL || options->copy != NULL ||
           options->type == &troupe_buffer_message;
}

static int copy_refs(const struct trp_outlet *outlet, void *to, const void *from)
{
    if (outlet->options.copy != NULL) {
        int status;

        trp_callouts++;
        status = outlet->options.copy(to, from);
        trp_callouts--;
        return status;
    }
    if (outlet->options.type == &troupe_buffer_message) {
        (void)troupe_buffer_retain(*(struct troupe_buffer *const *)from);
    }
    return TROUPE_OK;
}

struct troupe_message *trp_flow_copy(
    struct trp_flows *flows, const struct trp_outlet *outlet, const struct troupe_message *item)
{
    struct trp_context *context = trp_context_of(flows->self);
    struct troupe_message *second = trp_message_new(context, item->type, item->size, 0);

    if (second == NULL) {
        return NULL;
    }
    memcpy(trp_message_body(second), trp_message_body(item), item->size);
    if (copy_refs(outlet, trp_message_body(second), trp_message_body(item)) != TROUPE_OK) {
        trp_message_free(&context->pool, second);
        return NULL;
    }
    return second;
}

/* ---- putting ---- */

struct put {
    struct troupe_message **items;
    size_t count;
};

struct troupe_message *trp_flow_parcel_new(struct trp_flows *flows, const struct trp_tap *tap)
{
    struct troupe_message *word =
        trp_flow_word(flows->self, &trp_flow_parcel_type, sizeof(struct trp_flow_parcel));

    if (word != NULL) {
        *trp_flow_parcel_of(word) = (struct trp_flow_parcel){.number = tap->number};
    }
    return word;
}

static bool goes_whole(const struct trp_tap *tap, const struct put *put)
{
    return tap->waiting_count == 0 && put->count <= tap->credit;
}

static int draft_parcels(struct trp_flows *flows, struct trp_tap *tap, const struct put *put)
{
    size_t count = goes_whole(tap, put) ? 1 : put->count;

    for (size_t i = 0; i < count; i++) {
        struct troupe_message *word = trp_flow_parcel_new(flows, tap);

        if (word == NULL) {
            return TROUPE_ENOMEM;
        }
        trp_chain_append(&tap->draft, word);
    }
    return TROUPE_OK;
}

void trp_flow_parcel_fill(struct troupe_message *word, struct troupe_message *item)
{
    trp_chain_append(&trp_flow_parcel_of(word)->items, item);
    trp_flow_parcel_of(word)->count++;
}

/* The next parcel of the draft to fill, after `word`; the same one if there is only one. */
static struct troupe_message *parcel_after(struct trp_tap *tap, struct troupe_message *word)
{
    struct trp_node *next;

    if (word == NULL) {
        return tap->draft.first;
    }
    /* relaxed: the draft is ours. */
    next = atomic_load_explicit(&word->node.next, memory_order_relaxed);
    return next != NULL ? trp_message_of(next) : word;
}

static int fill_with_copies(struct trp_flows *flows, struct trp_tap *tap, const struct put *put)
{
    struct troupe_message *word = NULL;

    for (size_t i = 0; i < put->count; i++) {
        struct troupe_message *item = trp_flow_copy(flows, tap->outlet, put->items[i]);

        if (item == NULL) {
            return TROUPE_ENOMEM;
        }
        word = parcel_after(tap, word);
        trp_flow_parcel_fill(word, item);
    }
    return TROUPE_OK;
}

static void fill_with_items(struct trp_tap *tap, const struct put *put)
{
    struct troupe_message *word = NULL;

    for (size_t i = 0; i < put->count; i++) {
        word = parcel_after(tap, word);
        trp_flow_parcel_fill(word, put->items[i]);
    }
}

/* Takes all the memory that the put needs.  On error nothing has happened. */
static int draft(struct trp_flows *flows, struct trp_outlet *outlet, const struct put *put)
{
    int error = TROUPE_OK;

    for (struct trp_list *at = outlet->taps.next; !is_end(&outlet->taps, at); at = at->next) {
        error = draft_parcels(flows, tap_of(at), put);
        if (error == TROUPE_OK && !is_end(&outlet->taps, at->next)) {
            error = fill_with_copies(flows, tap_of(at), put);
        }
        if (error < 0) {
            break;
        }
    }
    for (struct trp_list *at = outlet->taps.next; error < 0 && !is_end(&outlet->taps, at);
         at = at->next) {
        trp_flow_discard_parcels(flows->self, &tap_of(at)->draft);
    }
    return error;
}

/* The last tap has the items themselves; without any they end. */
static void hand_over(struct trp_flows *flows, struct trp_outlet *outlet, const struct put *put)
{
    if (!trp_list_is_empty(&outlet->taps)) {
        fill_with_items(tap_of(outlet->taps.prev), put);
        return;
    }
    for (size_t i = 0; i < put->count; i++) {
        trp_message_dispose(trp_context_of(flows->self), put->items[i], TROUPE_EGONE);
    }
}

static void commit(struct trp_flows *flows, struct trp_outlet *outlet)
{
    struct trp_list *next;

    for (struct trp_list *at = outlet->taps.next; !is_end(&outlet->taps, at); at = next) {
        struct trp_tap *tap = tap_of(at);
        struct troupe_message *word;

        next = at->next;
        while ((word = trp_chain_pop(&tap->draft)) != NULL && trp_tap_accept(flows, tap, word)) {
        }
    }
}

static int put_all(struct trp_flows *flows, struct trp_outlet *outlet, const struct put *put)
{
    struct troupe_message *retained = NULL;
    int error;

    if (put->count > trp_outlet_room(outlet)) {
        return TROUPE_EFULL;
    }
    if (outlet->options.retain) {
        retained = trp_flow_copy(flows, outlet, put->items[put->count - 1]);
        if (retained == NULL) {
            return TROUPE_ENOMEM;
        }
    }
    error = draft(flows, outlet, put);
    if (error < 0) {
        if (retained != NULL) {
            trp_message_dispose(trp_context_of(flows->self), retained, TROUPE_EGONE);
        }
        return error;
    }
    if (retained != NULL) {
        trp_outlet_forget(flows, outlet);
        outlet->retained = retained;
    }
    outlet->facts.put += put->count;
    hand_over(flows, outlet, put);
    commit(flows, outlet);
    return TROUPE_OK;
}

/* Whether `self` owns the message, and may put it here. */
static bool is_item(const struct troupe_actor *self, const struct trp_outlet *outlet,
    const struct troupe_message *msg)
{
    return msg != NULL && msg != self->current && msg->kind == trp_message_kind_unasked(msg) &&
           (msg->flags & TRP_MESSAGE_REQUEST) == 0 && msg->type == outlet->options.type &&
           trp_message_runtime(msg) == self->runtime;
}

/* On error the items are the caller's again: they were in no chain. */
int troupe_flow_put_batch(
    struct troupe_actor *self, struct troupe_flow flow, struct troupe_message **items, size_t count)
{
    TRP_INSIDE(self);
    struct trp_outlet *outlet;

    if (!trp_actor_is_mine(self) || (items == NULL && count > 0)) {
        return TROUPE_EINVAL;
    }
    outlet = trp_outlet_find_own(self, flow);
    if (outlet == NULL) {
        return TROUPE_ENOENT;
    }
    for (size_t i = 0; i < count; i++) {
        if (!is_item(self, outlet, items[i])) {
            return TROUPE_EINVAL;
        }
    }
    return count > 0 ? put_all(trp_flow_of(self), outlet, &(struct put){items, count}) : TROUPE_OK;
}

int troupe_flow_put_message(
    struct troupe_actor *self, struct troupe_flow flow, struct troupe_message *item)
{
    return troupe_flow_put_batch(self, flow, &item, 1);
}

/* A message of the flow's type with these bytes. */
static int make_item(struct troupe_actor *self, struct trp_outlet *outlet, const void *body,
    struct troupe_message **out_item)
{
    const struct troupe_type *type = outlet->options.type;
    struct troupe_message *item;

    if ((body != NULL) != (type->size > 0)) {
        return TROUPE_EINVAL;
    }
    item = trp_message_new(trp_context_of(self), type, type->size, 0);
    if (item == NULL) {
        return TROUPE_ENOMEM;
    }
    if (body != NULL) {
        memcpy(trp_message_body(item), body, type->size);
    }
    *out_item = item;
    return TROUPE_OK;
}

int troupe_flow_put(struct troupe_actor *self, struct troupe_flow flow, const void *body)
{
    TRP_INSIDE(self);
    struct trp_outlet *outlet;
    struct troupe_message *item;
    int error;

    if (!trp_actor_is_mine(self)) {
        return TROUPE_EINVAL;
    }
    outlet = trp_outlet_find_own(self, flow);
    if (outlet == NULL) {
        return TROUPE_ENOENT;
    }
    if (trp_outlet_room(outlet) == 0) {
        return TROUPE_EFULL;
    }
    TROUPE_TRY(make_item(self, outlet, body, &item));
    error = put_all(trp_flow_of(self), outlet, &(struct put){&item, 1});
    if (error < 0) {
        /* What it refers to is the caller's. */
        trp_message_free(&trp_context_of(self)->pool, item);
    }
    return error;
}

uint32_t troupe_flow_room(struct troupe_actor *self, struct troupe_flow flow)
{
    TRP_INSIDE(self);
    struct trp_outlet *outlet = trp_actor_is_mine(self) ? trp_outlet_find_own(self, flow) : NULL;

    return outlet != NULL ? trp_outlet_room(outlet) : 0;
}

void trp_flow_note_missed(struct troupe_actor *self, struct troupe_flow flow)
{
    struct trp_outlet *outlet = trp_outlet_find_own(self, flow);

    if (outlet == NULL) {
        return;
    }
    for (struct trp_list *at = outlet->taps.next; !is_end(&outlet->taps, at); at = at->next) {
        tap_of(at)->missed = trp_flow_add(tap_of(at)->missed, 1);
        outlet->facts.dropped++;
    }
}

/* ---- waiting for room ---- */

struct room_wait {
    struct trp_flows *flows;
    struct trp_outlet *outlet;
};

static bool concerns_room(const struct troupe_message *msg, const void *arg)
{
    const struct room_wait *wait = arg;
    const struct trp_tap *tap;

    if (msg->kind != TRP_MESSAGE_FLOW) {
        return false;
    }
    if (msg->type == &trp_flow_subscribe_type) {
        const struct trp_flow_subscribe *wish = trp_message_body(msg);

        return trp_outlet_find(wait->flows, wish->flow) == wait->outlet;
    }
    if (msg->type != &trp_flow_credit_type && msg->type != &trp_flow_cancel_type) {
        return false;
    }
    /* The number comes first in both. */
    tap = trp_tap_find(wait->flows, msg->sender, *(const uint64_t *)trp_message_body(msg));
    return tap != NULL && tap->outlet == wait->outlet;
}

static bool has_room(const void *arg)
{
    return trp_outlet_room(((const struct room_wait *)arg)->outlet) > 0;
}

/* A subscriber without which there is none.  Without any, anybody might subscribe. */
static bool aim_at_subscriber(const void *arg, struct trp_aim *out_aim)
{
    const struct trp_tap *tap = trp_outlet_awaited(((const struct room_wait *)arg)->outlet);

    if (tap == NULL) {
        return false;
    }
    *out_aim = (struct trp_aim){
        .to = tap->subscriber, .flow = trp_flow_up(tap->number), .heard = tap->heard};
    return true;
}

/* Until the flow has room. */
static int await_room(struct troupe_actor *self, struct troupe_flow flow, int wait_ms)
{
    struct trp_patience patience = {.wait_ms = wait_ms};
    struct room_wait wait = {.outlet = trp_outlet_find_own(self, flow), .flows = trp_flow_of(self)};
    struct trp_await_told told = {concerns_room, has_room, aim_at_subscriber, &wait};

    if (wait.outlet == NULL) {
        return TROUPE_ENOENT;
    }
    if (wait.outlet->options.on_room != NULL || wait.outlet->options.on_left != NULL ||
        !trp_list_is_empty(&wait.outlet->inlets)) {
        return TROUPE_EINVAL;
    }
    if (has_room(&wait)) {
        trp_await_share(self, false);
        return TROUPE_OK;
    }
    return trp_await_told(self, &told, &patience);
}

int troupe_flow_put_within(
    struct troupe_actor *self, struct troupe_flow flow, const void *body, int wait_ms)
{
    TRP_INSIDE(self);
    if (!troupe_may_wait(self) || wait_ms < TROUPE_FOREVER) {
        return TROUPE_EINVAL;
    }
    TROUPE_TRY(await_room(self, flow, wait_ms));
    return troupe_flow_put(self, flow, body);
}

int troupe_flow_put_message_within(
    struct troupe_actor *self, struct troupe_flow flow, struct troupe_message *item, int wait_ms)
{
    TRP_INSIDE(self);
    if (!troupe_may_wait(self) || item == NULL || wait_ms < TROUPE_FOREVER) {
        return TROUPE_EINVAL;
    }
    TROUPE_TRY(await_room(self, flow, wait_ms));
    return troupe_flow_put_message(self, flow, item);
}
