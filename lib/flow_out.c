/* SPDX-License-Identifier: MIT */
/*
 * flow_out.c - the producer's side of a flow: who has subscribed, what is kept back for whom, and what happens to the slow.
 *
 * An item that is put goes to every tap, all or none: whatever memory that takes is taken first (the taps' drafts), then
 * nothing can fail.  To a tap with credit for all of it a batch goes as one parcel; otherwise each item has a parcel of its
 * own, which waits in the tap, and parcels that wait are merged when credit comes, which needs no memory.
 *
 *            SUBSCRIBE            credit for it, nothing waits: sent
 *     (tap) -----------> OPEN -----------------------------------------> OPEN
 *                         |    otherwise: waits, or by its policy is dropped, or drops another
 *                         |
 *                         +-- CANCEL, its actor ended ---------------------------------------> (gone)
 *                         +-- CUT, or the flow failed: what waits is dropped; END -----------> (gone)
 *                         +-- the flow is completed: what waits is sent against credit; END -> (gone)
 */
#include "await.h"
#include "flow.h"

#include <string.h>

#include <troupe/fiber.h>

static struct trp_tap *tap_of(struct trp_list *link)
{
    return trp_container_of(link, struct trp_tap, link);
}

static struct trp_flow_parcel *parcel_of(const struct troupe_message *word)
{
    return trp_message_body(word);
}

static bool is_end(const struct trp_list *list, const struct trp_list *link)
{
    return list == link;
}

/* ---- finding ---- */

/* The oldest one that takes items. */
static struct trp_outlet *oldest(struct trp_flows *flows)
{
    for (struct trp_list *at = flows->outlet_list.next; !is_end(&flows->outlet_list, at);
         at = at->next) {
        struct trp_outlet *outlet = trp_container_of(at, struct trp_outlet, link);

        if (!outlet->ended) {
            return outlet;
        }
    }
    return NULL;
}

struct trp_outlet *trp_outlet_find(struct trp_flows *flows, uint64_t number)
{
    struct trp_trie *node;

    if (number == 0) {
        return oldest(flows);
    }
    node = trp_trie_find(flows->outlets, trp_trie_mix(number));
    return node != NULL ? trp_container_of(node, struct trp_outlet, node) : NULL;
}

/* That of `self`, which takes items. */
static struct trp_outlet *find_own(struct troupe_actor *self, struct troupe_flow flow)
{
    struct trp_flows *flows = flow.producer == trp_actor_pid(self) ? trp_flow_of(self) : NULL;
    struct trp_outlet *outlet = flows != NULL ? trp_outlet_find(flows, flow.number) : NULL;

    return outlet != NULL && !outlet->ended ? outlet : NULL;
}

static bool is_same_tap(struct trp_trie *node, const void *wanted)
{
    const struct trp_tap *tap = trp_container_of(node, struct trp_tap, node);
    const struct trp_tap *other = wanted;

    return tap->subscriber == other->subscriber && tap->number == other->number;
}

struct trp_tap *trp_tap_find(struct trp_flows *flows, troupe_pid subscriber, uint64_t number)
{
    struct trp_tap wanted = {.subscriber = subscriber, .number = number};
    struct trp_trie *node =
        trp_trie_match(flows->taps, trp_flow_tap_key(subscriber, number), is_same_tap, &wanted);

    return node != NULL ? trp_container_of(node, struct trp_tap, node) : NULL;
}

uint32_t trp_outlet_room(const struct trp_outlet *outlet)
{
    uint32_t room = UINT32_MAX;
    bool waits = false;

    if (outlet->ended) {
        return 0;
    }
    for (struct trp_list *at = outlet->taps.next; !is_end(&outlet->taps, at); at = at->next) {
        const struct trp_tap *tap = tap_of(at);
        uint32_t most = tap->credit + tap->buffer;
        uint32_t more = most > tap->waiting_count ? most - tap->waiting_count : 0;

        if (tap->policy == TROUPE_FLOW_WAIT) {
            waits = true;
            room = more < room ? more : room;
        }
    }
    return waits || outlet->options.policy != TROUPE_FLOW_WAIT ? room : 0;
}

/* ---- the end of a tap, and of an outlet ---- */

static void drop_waiting(struct trp_flows *flows, struct trp_tap *tap)
{
    struct trp_outlet *outlet = tap->outlet;

    outlet->facts.dropped += tap->waiting_count;
    outlet->facts.buffered -= tap->waiting_count;
    tap->missed = trp_flow_add(tap->missed, tap->waiting_count);
    tap->waiting_count = 0;
    trp_flow_discard_items(trp_context_of(flows->self), &tap->waiting);
}

static void free_tap(struct trp_flows *flows, struct trp_tap *tap)
{
    struct troupe_actor *self = flows->self;

    drop_waiting(flows, tap);
    trp_flow_discard_items(trp_context_of(self), &tap->draft);
    trp_flow_discard(self, tap->end);
    trp_trie_remove(&flows->taps, &tap->node);
    trp_list_remove(&tap->link);
    tap->outlet->facts.subscribers--;
    trp_memory_free(trp_runtime_memory(self->runtime), tap, sizeof *tap);
}

/* The last word to a subscriber. */
static void end_tap(struct trp_flows *flows, struct trp_tap *tap, int status)
{
    struct troupe_message *word = tap->end;

    drop_waiting(flows, tap);
    tap->end = NULL;
    *(struct trp_flow_end *)trp_message_body(word) =
        (struct trp_flow_end){.number = tap->number, .status = status, .missed = tap->missed};
    trp_flow_send(flows->self, tap->subscriber, word);
    free_tap(flows, tap);
}

static void remove_outlet(struct trp_flows *flows, struct trp_outlet *outlet)
{
    outlet->gone = true;
    trp_trie_remove(&flows->outlets, &outlet->node);
    trp_list_remove(&outlet->link);
    trp_list_push(&flows->gone_outlets, &outlet->link);
    flows->count--;
}

void trp_outlet_free(struct trp_flows *flows, struct trp_outlet *outlet)
{
    trp_memory_free(trp_runtime_memory(flows->self->runtime), outlet, sizeof *outlet);
}

static void drop_retained(struct trp_flows *flows, struct trp_outlet *outlet)
{
    if (outlet->retained != NULL) {
        trp_message_dispose(trp_context_of(flows->self), outlet->retained, TROUPE_EGONE);
        outlet->retained = NULL;
    }
}

/* Nobody is piped into it any more. */
static void cancel_inlets(struct trp_flows *flows, struct trp_outlet *outlet)
{
    while (!trp_list_is_empty(&outlet->inlets)) {
        trp_inlet_cancel(flows, trp_container_of(outlet->inlets.next, struct trp_inlet, piped),
            TROUPE_ECANCELLED);
    }
}

void trp_outlet_end(struct trp_flows *flows, struct trp_outlet *outlet, int status)
{
    struct trp_list *next;

    outlet->ended = true;
    drop_retained(flows, outlet);
    for (struct trp_list *at = outlet->taps.next; !is_end(&outlet->taps, at); at = next) {
        struct trp_tap *tap = tap_of(at);

        next = at->next;
        if (status < 0 || tap->waiting_count == 0) {
            end_tap(flows, tap, status);
        }
    }
    cancel_inlets(flows, outlet);
    if (trp_list_is_empty(&outlet->taps)) {
        remove_outlet(flows, outlet);
    }
}

void trp_outlet_end_all(struct trp_flows *flows)
{
    while (!trp_list_is_empty(&flows->outlet_list)) {
        trp_outlet_end(flows, trp_container_of(flows->outlet_list.next, struct trp_outlet, link),
            TROUPE_EDIED);
    }
}

/* ---- what is sent, and what waits ---- */

static void send_parcel(struct trp_flows *flows, struct trp_tap *tap, struct troupe_message *word)
{
    uint32_t count = parcel_of(word)->count;

    trp_assert(count <= tap->credit);
    tap->credit -= count;
    tap->outlet->facts.sent += count;
    trp_flow_send(flows->self, tap->subscriber, word);
}

/* Adds what is in `more`, of one item, to `word`. */
static void merge(struct trp_flows *flows, struct troupe_message *word, struct troupe_message *more)
{
    struct trp_flow_parcel *from = parcel_of(more);

    trp_chain_append(&parcel_of(word)->items, trp_chain_pop(&from->items));
    parcel_of(word)->count++;
    trp_flow_discard(flows->self, more);
}

/* As much of what waits as there is credit for; as few parcels as there are gaps. */
static void send_waiting(struct trp_flows *flows, struct trp_tap *tap)
{
    while (tap->waiting_count > 0 && tap->credit > 0) {
        struct troupe_message *word = trp_chain_pop(&tap->waiting);
        struct troupe_message *next = tap->waiting.first;

        while (
            next != NULL && parcel_of(word)->count < tap->credit && parcel_of(next)->missed == 0) {
            merge(flows, word, trp_chain_pop(&tap->waiting));
            next = tap->waiting.first;
        }
        tap->waiting_count -= parcel_of(word)->count;
        tap->outlet->facts.buffered -= parcel_of(word)->count;
        send_parcel(flows, tap, word);
    }
}

static void keep_waiting(struct trp_tap *tap, struct troupe_message *word)
{
    parcel_of(word)->missed = tap->missed;
    tap->missed = 0;
    trp_chain_append(&tap->waiting, word);
    tap->waiting_count++;
    tap->outlet->facts.buffered++;
}

static void drop_newest(struct trp_flows *flows, struct trp_tap *tap, struct troupe_message *word)
{
    tap->missed = trp_flow_add(tap->missed, 1);
    tap->outlet->facts.dropped++;
    trp_flow_discard(flows->self, word);
}

/* The gap that it leaves is before the next one that waits, or before what comes. */
static void drop_oldest(struct trp_flows *flows, struct trp_tap *tap)
{
    struct troupe_message *word = trp_chain_pop(&tap->waiting);
    uint32_t missed = trp_flow_add(parcel_of(word)->missed, 1);
    uint32_t *before =
        tap->waiting.first != NULL ? &parcel_of(tap->waiting.first)->missed : &tap->missed;

    *before = trp_flow_add(*before, missed);
    tap->waiting_count--;
    tap->outlet->facts.buffered--;
    tap->outlet->facts.dropped++;
    trp_flow_discard(flows->self, word);
}

/* There is neither credit nor room.  False: the tap is gone. */
static bool refuse(struct trp_flows *flows, struct trp_tap *tap, struct troupe_message *word)
{
    if (tap->policy == TROUPE_FLOW_CUT) {
        drop_newest(flows, tap, word);
        end_tap(flows, tap, TROUPE_EFULL);
        return false;
    }
    if (tap->policy == TROUPE_FLOW_DROP_OLDEST && tap->waiting_count > 0) {
        drop_oldest(flows, tap);
        keep_waiting(tap, word);
    } else {
        drop_newest(flows, tap, word);
    }
    return true;
}

/* False: the tap is gone. */
static bool accept(struct trp_flows *flows, struct trp_tap *tap, struct troupe_message *word)
{
    if (tap->waiting_count == 0 && parcel_of(word)->count <= tap->credit) {
        parcel_of(word)->missed = tap->missed;
        tap->missed = 0;
        send_parcel(flows, tap, word);
        return true;
    }
    if (tap->waiting_count < tap->buffer || tap->policy == TROUPE_FLOW_WAIT) {
        keep_waiting(tap, word);
        return true;
    }
    return refuse(flows, tap, word);
}

/* ---- copies ---- */

static bool can_copy(const struct troupe_flow_options *options)
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

static struct troupe_message *copy(
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

/* An empty parcel at the end of the tap's draft. */
static int draft_parcel(struct trp_flows *flows, struct trp_tap *tap)
{
    struct troupe_message *word =
        trp_flow_word(flows->self, &trp_flow_parcel_type, sizeof(struct trp_flow_parcel));

    if (word == NULL) {
        return TROUPE_ENOMEM;
    }
    *parcel_of(word) = (struct trp_flow_parcel){.number = tap->number};
    trp_chain_append(&tap->draft, word);
    return TROUPE_OK;
}

static bool goes_whole(const struct trp_tap *tap, const struct put *put)
{
    return tap->waiting_count == 0 && put->count <= tap->credit;
}

static int draft_parcels(struct trp_flows *flows, struct trp_tap *tap, const struct put *put)
{
    size_t count = goes_whole(tap, put) ? 1 : put->count;

    for (size_t i = 0; i < count; i++) {
        TROUPE_TRY(draft_parcel(flows, tap));
    }
    return TROUPE_OK;
}

static void fill(struct troupe_message *word, struct troupe_message *item)
{
    trp_chain_append(&parcel_of(word)->items, item);
    parcel_of(word)->count++;
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
        struct troupe_message *item = copy(flows, tap->outlet, put->items[i]);

        if (item == NULL) {
            return TROUPE_ENOMEM;
        }
        word = parcel_after(tap, word);
        fill(word, item);
    }
    return TROUPE_OK;
}

static void fill_with_items(struct trp_tap *tap, const struct put *put)
{
    struct troupe_message *word = NULL;

    for (size_t i = 0; i < put->count; i++) {
        word = parcel_after(tap, word);
        fill(word, put->items[i]);
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
        trp_flow_discard_items(trp_context_of(flows->self), &tap_of(at)->draft);
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
        while ((word = trp_chain_pop(&tap->draft)) != NULL && accept(flows, tap, word)) {
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
        retained = copy(flows, outlet, put->items[put->count - 1]);
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
        drop_retained(flows, outlet);
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
    return msg != NULL && msg != self->current && msg->kind == TRP_MESSAGE_PLAIN &&
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
    outlet = find_own(self, flow);
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
    if (type->size > 0) {
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
    outlet = find_own(self, flow);
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
    struct trp_outlet *outlet = trp_actor_is_mine(self) ? find_own(self, flow) : NULL;

    return outlet != NULL ? trp_outlet_room(outlet) : 0;
}

void trp_flow_note_missed(struct troupe_actor *self, struct troupe_flow flow)
{
    struct trp_outlet *outlet = find_own(self, flow);

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

/* Until the flow has room. */
static int await_room(struct troupe_actor *self, struct troupe_flow flow, int wait_ms)
{
    struct trp_patience patience = {.wait_ms = wait_ms};
    struct room_wait wait = {.outlet = find_own(self, flow), .flows = trp_flow_of(self)};
    struct trp_await_told told = {concerns_room, has_room, &wait};

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

/* ---- what subscribers say ---- */

/* There may be room that was not there before. */
static int tell_room(struct trp_flows *flows, struct trp_outlet *outlet)
{
    struct troupe_actor *self = flows->self;
    int status = trp_inlet_pump(flows, outlet);
    uint32_t room;

    if (status != TROUPE_OK || outlet->gone || outlet->options.on_room == NULL) {
        return status;
    }
    room = trp_outlet_room(outlet);
    if (room == 0) {
        return TROUPE_OK;
    }
    return trp_flow_status(outlet->options.on_room(self, self->state, outlet->options.context,
        (struct troupe_flow){trp_actor_pid(self), outlet->number}, room));
}

/* Whom an outlet that has ended had to wait for. */
static void end_drained(struct trp_flows *flows, struct trp_outlet *outlet)
{
    if (outlet->ended && !outlet->gone && trp_list_is_empty(&outlet->taps)) {
        remove_outlet(flows, outlet);
    }
}

int trp_outlet_open_credit(struct trp_flows *flows, struct troupe_message *msg)
{
    const struct trp_flow_credit *credit = trp_message_body(msg);
    struct trp_tap *tap = trp_tap_find(flows, msg->sender, credit->number);
    struct trp_outlet *outlet;

    if (tap == NULL) {
        /* It has met the end on its way. */
        return TROUPE_OK;
    }
    outlet = tap->outlet;
    tap->credit += credit->count;
    trp_assert(tap->credit <= tap->window);
    send_waiting(flows, tap);
    if (!outlet->ended) {
        return tell_room(flows, outlet);
    }
    if (tap->waiting_count == 0) {
        end_tap(flows, tap, TROUPE_OK);
        end_drained(flows, outlet);
    }
    return TROUPE_OK;
}

static int tell_left(
    struct trp_flows *flows, struct trp_outlet *outlet, troupe_pid subscriber, int status)
{
    struct troupe_actor *self = flows->self;

    if (outlet->options.on_left == NULL) {
        return TROUPE_OK;
    }
    return trp_flow_status(outlet->options.on_left(self, self->state, outlet->options.context,
        (struct troupe_flow){trp_actor_pid(self), outlet->number}, subscriber, status,
        outlet->facts.subscribers));
}

int trp_outlet_open_cancel(struct trp_flows *flows, struct troupe_message *msg)
{
    const struct trp_flow_cancel *cancel = trp_message_body(msg);
    struct trp_tap *tap = trp_tap_find(flows, msg->sender, cancel->number);
    struct trp_outlet *outlet;
    int status;

    if (tap == NULL) {
        return TROUPE_OK;
    }
    outlet = tap->outlet;
    free_tap(flows, tap);
    if (outlet->ended) {
        end_drained(flows, outlet);
        return TROUPE_OK;
    }
    status = tell_left(flows, outlet, msg->sender, cancel->status);
    return status == TROUPE_OK && !outlet->gone ? tell_room(flows, outlet) : status;
}

/* Why a wish cannot be granted. */
static int check(const struct trp_outlet *outlet, const struct trp_flow_subscribe *wish)
{
    if (outlet == NULL || outlet->ended) {
        return TROUPE_ENOENT;
    }
    if (outlet->facts.subscribers >= outlet->options.subscribers_max) {
        return TROUPE_ELIMIT;
    }
    if (outlet->facts.subscribers > 0 && !can_copy(&outlet->options)) {
        return TROUPE_EBUSY;
    }
    if (wish->policy == TROUPE_FLOW_WAIT && outlet->options.policy != TROUPE_FLOW_WAIT) {
        return TROUPE_EINVAL;
    }
    return wish->buffer > outlet->options.buffer ? TROUPE_EINVAL : TROUPE_OK;
}

/* A tap that nobody knows yet. */
static struct trp_tap *new_tap(struct trp_flows *flows, struct trp_outlet *outlet,
    troupe_pid subscriber, const struct trp_flow_subscribe *wish)
{
    struct trp_memory *memory = trp_runtime_memory(flows->self->runtime);
    struct trp_tap *tap = trp_memory_alloc(memory, sizeof *tap, alignof(struct trp_tap));

    if (tap == NULL) {
        return NULL;
    }
    *tap = (struct trp_tap){.outlet = outlet,
        .subscriber = subscriber,
        .number = wish->number,
        .window = wish->window,
        .credit = wish->credit,
        .buffer = wish->buffer != 0 ? wish->buffer : outlet->options.buffer,
        .policy = wish->policy != TROUPE_FLOW_DEFAULT ? (enum troupe_flow_policy)wish->policy
                                                      : outlet->options.policy,
        .end = trp_flow_word(flows->self, &trp_flow_end_type, sizeof(struct trp_flow_end))};
    if (tap->end == NULL) {
        trp_memory_free(memory, tap, sizeof *tap);
        return NULL;
    }
    return tap;
}

static void enter_tap(struct trp_flows *flows, struct trp_tap *tap)
{
    trp_trie_insert(&flows->taps, &tap->node, trp_flow_tap_key(tap->subscriber, tap->number));
    trp_list_push(&tap->outlet->taps, &tap->link);
    tap->outlet->facts.subscribers++;
}

/* The item put last is the first that a new tap gets. */
static int give_retained(struct trp_flows *flows, struct trp_tap *tap)
{
    struct troupe_message *item;
    struct troupe_message *word;

    if (tap->outlet->retained == NULL) {
        return TROUPE_OK;
    }
    TROUPE_TRY(draft_parcel(flows, tap));
    item = copy(flows, tap->outlet, tap->outlet->retained);
    word = trp_chain_pop(&tap->draft);
    if (item == NULL) {
        trp_flow_discard(flows->self, word);
        return TROUPE_ENOMEM;
    }
    fill(word, item);
    if (tap->credit > 0) {
        send_parcel(flows, tap, word);
    } else {
        keep_waiting(tap, word);
    }
    return TROUPE_OK;
}

static int admit(struct trp_flows *flows, struct trp_outlet *outlet, troupe_pid subscriber,
    const struct trp_flow_subscribe *wish)
{
    struct trp_tap *tap;
    int error;

    TROUPE_TRY(check(outlet, wish));
    tap = new_tap(flows, outlet, subscriber, wish);
    if (tap == NULL) {
        return TROUPE_ENOMEM;
    }
    enter_tap(flows, tap);
    error = wish->retained ? give_retained(flows, tap) : TROUPE_OK;
    if (error < 0) {
        free_tap(flows, tap);
    }
    return error;
}

int trp_outlet_open_subscribe(struct trp_flows *flows, struct troupe_message *msg)
{
    struct trp_flow_subscribe *wish = trp_message_body(msg);
    struct trp_outlet *outlet = trp_outlet_find(flows, wish->flow);
    int error = admit(flows, outlet, msg->sender, wish);

    if (error < 0) {
        /* trp_flow_retire() tells it. */
        wish->status = (int16_t)error;
        return TROUPE_OK;
    }
    wish->number = 0;
    return tell_room(flows, outlet);
}

/* ---- offering ---- */

/* Fills in what was not said.  TROUPE_EINVAL. */
static int complete(struct troupe_flow_options *options)
{
    if (options->type == NULL || options->type->size > TROUPE_BODY_MAX ||
        (unsigned)options->policy > TROUPE_FLOW_CUT || options->buffer > TROUPE_FLOW_BUFFER_MAX ||
        (options->retain && !can_copy(options))) {
        return TROUPE_EINVAL;
    }
    if (options->policy == TROUPE_FLOW_DEFAULT) {
        options->policy = TROUPE_FLOW_WAIT;
    }
    if (options->buffer == 0 && options->policy != TROUPE_FLOW_WAIT) {
        options->buffer = TROUPE_FLOW_BUFFER_DEFAULT;
    }
    if (options->subscribers_max == 0) {
        options->subscribers_max = TROUPE_FLOW_SUBSCRIBERS_DEFAULT;
    }
    return TROUPE_OK;
}

int troupe_flow_offer_sized(struct troupe_actor *self, const struct troupe_flow_options *options,
    size_t options_size, struct troupe_flow *out_flow)
{
    TRP_INSIDE(self);
    struct troupe_flow_options own;
    struct trp_flows *flows;
    struct trp_outlet *outlet;

    if (!trp_actor_is_mine(self) || options == NULL || out_flow == NULL) {
        return TROUPE_EINVAL;
    }
    TROUPE_TRY(trp_options_read(&own, sizeof own, options, options_size));
    TROUPE_TRY(complete(&own));
    TROUPE_TRY(trp_flow_need(self, &flows));
    outlet = trp_memory_alloc(
        trp_runtime_memory(self->runtime), sizeof *outlet, alignof(struct trp_outlet));
    if (outlet == NULL) {
        return TROUPE_ENOMEM;
    }
    *outlet = (struct trp_outlet){.number = trp_flow_number(flows), .options = own};
    trp_list_init(&outlet->taps);
    trp_list_init(&outlet->inlets);
    trp_list_init(&outlet->ready);
    trp_trie_insert(&flows->outlets, &outlet->node, trp_trie_mix(outlet->number));
    trp_list_push(&flows->outlet_list, &outlet->link);
    flows->count++;
    *out_flow = (struct troupe_flow){trp_actor_pid(self), outlet->number};
    return TROUPE_OK;
}

int troupe_flow_end(struct troupe_actor *self, struct troupe_flow flow, int status)
{
    TRP_INSIDE(self);
    struct trp_outlet *outlet;
    struct trp_flows *flows;

    if (!trp_actor_is_mine(self) || status > TROUPE_OK) {
        return TROUPE_EINVAL;
    }
    outlet = find_own(self, flow);
    if (outlet == NULL) {
        return TROUPE_ENOENT;
    }
    flows = trp_flow_of(self);
    trp_outlet_end(flows, outlet, status);
    trp_flow_sweep(flows);
    return TROUPE_OK;
}

int troupe_flow_facts(
    struct troupe_actor *self, struct troupe_flow flow, struct troupe_flow_facts *out_facts)
{
    TRP_INSIDE(self);
    struct trp_flows *flows;
    struct trp_outlet *outlet;

    if (!trp_actor_is_mine(self) || out_facts == NULL) {
        return TROUPE_EINVAL;
    }
    flows = flow.producer == trp_actor_pid(self) ? trp_flow_of(self) : NULL;
    outlet = flows != NULL ? trp_outlet_find(flows, flow.number) : NULL;
    if (outlet == NULL) {
        return TROUPE_ENOENT;
    }
    *out_facts = outlet->facts;
    return TROUPE_OK;
}
