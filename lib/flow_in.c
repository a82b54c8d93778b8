/* SPDX-License-Identifier: MIT */
/*
 * flow_in.c - the subscriber's side of a flow: what has come, what was handled, and the credit for more.
 *
 *                 subscribe               END, or no memory to ask on        the last item was handled
 *     (inlet) ----------------> OPEN ---------------------------------> ENDED ----------------------> on_end --> (gone)
 *                                 |                                       |
 *                                 +---- cancel, the actor ends -----------+--------------------------------> (gone)
 *
 * Items are given out one at a time, whatever parcels they came in.  One that is piped into an outlet stands in its list
 * `ready` while it holds items, and has its turn when that has room.
 *
 * What has gone may have a callback running further up the stack, so it is freed by trp_flow_sweep() only.
 */
#include "await.h"
#include "flow.h"

#include <troupe/fiber.h>

struct trp_inlet *trp_inlet_find(struct trp_flows *flows, uint64_t number)
{
    struct trp_trie *node = trp_trie_find(flows->inlets, trp_trie_mix(number));

    return node != NULL ? trp_container_of(node, struct trp_inlet, node) : NULL;
}

static struct trp_inlet *find_own(struct troupe_actor *self, troupe_subscription subscription)
{
    struct trp_flows *flows = trp_flow_of(self);

    return flows != NULL ? trp_inlet_find(flows, subscription) : NULL;
}

/* ---- the end ---- */

static void remove_inlet(struct trp_flows *flows, struct trp_inlet *inlet)
{
    inlet->gone = true;
    inlet->outlet = NULL;
    trp_trie_remove(&flows->inlets, &inlet->node);
    trp_list_remove(&inlet->piped);
    trp_list_remove(&inlet->ready);
    trp_list_push(&flows->gone_inlets, &inlet->link);
    trp_flow_discard_items(flows->self, &inlet->items);
    inlet->queued = 0;
    flows->count--;
}

static void end_current(struct trp_flows *flows, struct trp_inlet *inlet)
{
    if (inlet->current != NULL) {
        trp_message_dispose(trp_context_of(flows->self), inlet->current, TROUPE_EGONE);
        inlet->current = NULL;
    }
}

void trp_inlet_free(struct trp_flows *flows, struct trp_inlet *inlet)
{
    end_current(flows, inlet);
    trp_flow_discard(flows->self, inlet->credit);
    trp_flow_discard(flows->self, inlet->cancel);
    trp_memory_free(trp_runtime_memory(flows->self->runtime), inlet, sizeof *inlet);
}

static void tell_producer(
    struct trp_flows *flows, struct trp_inlet *inlet, struct troupe_message *word)
{
    trp_flow_send(
        flows->self, inlet->flow.producer, word, trp_flow_up(inlet->number), ++inlet->told);
}

/* The last word to the producer. */
static void say_goodbye(struct trp_flows *flows, struct trp_inlet *inlet, int status)
{
    struct troupe_message *word = inlet->cancel;

    if (!inlet->ended) {
        inlet->ended = true;
        inlet->cancel = NULL;
        *(struct trp_flow_cancel *)trp_message_body(word) =
            (struct trp_flow_cancel){.number = inlet->number, .status = status};
        tell_producer(flows, inlet, word);
    }
}

void trp_inlet_cancel(struct trp_flows *flows, struct trp_inlet *inlet, int status)
{
    say_goodbye(flows, inlet, status);
    remove_inlet(flows, inlet);
}

void trp_inlet_end_all(struct trp_flows *flows)
{
    while (flows->inlets != NULL) {
        struct trp_inlet *inlet = trp_container_of(flows->inlets, struct trp_inlet, node);

        if (inlet->current != NULL && trp_actor_is_crash()) {
            /* It may be half used. */
            inlet->current->flags |= TRP_MESSAGE_EMPTIED;
        }
        trp_inlet_cancel(flows, inlet, TROUPE_EDIED);
    }
}

/* ---- credit ---- */

static struct troupe_message *new_credit(struct troupe_actor *self)
{
    return trp_flow_word(self, &trp_flow_credit_type, sizeof(struct trp_flow_credit));
}

static void send_credit(
    struct trp_flows *flows, struct trp_inlet *inlet, struct troupe_message *word, uint32_t count)
{
    inlet->granted += count;
    *(struct trp_flow_credit *)trp_message_body(word) =
        (struct trp_flow_credit){.number = inlet->number, .count = count};
    tell_producer(flows, inlet, word);
}

/* Grants again what was handled, when that is half a window.  Without memory it is tried again with the next item; when there
 * is no next one to come the subscription ends: it would wait for ever. */
static void renew(struct trp_flows *flows, struct trp_inlet *inlet)
{
    uint32_t window = inlet->options.window;
    struct troupe_message *word = inlet->credit;

    if (inlet->owed < (window + 1) / 2) {
        return;
    }
    if (word == NULL) {
        word = new_credit(flows->self);
    }
    if (word != NULL) {
        send_credit(flows, inlet, word, inlet->owed);
        inlet->owed = 0;
        inlet->credit = new_credit(flows->self);
    } else if (inlet->granted == 0 && inlet->queued == 0) {
        say_goodbye(flows, inlet, TROUPE_ECANCELLED);
        inlet->status = TROUPE_ENOMEM;
    }
}

/* ---- one item ---- */

static struct troupe_message *lend(struct trp_inlet *inlet)
{
    struct troupe_message *item = trp_chain_pop(&inlet->items);

    trp_assert(item != NULL);
    inlet->queued--;
    inlet->missed = (uint32_t)item->sender;
    item->sender = inlet->flow.producer;
    trp_message_set_runtime(item, NULL);
    inlet->current = item;
    inlet->lent = true;
    return item;
}

static void give_back(struct trp_flows *flows, struct trp_inlet *inlet)
{
    if (!inlet->lent) {
        return;
    }
    inlet->lent = false;
    inlet->missed = 0;
    end_current(flows, inlet);
    if (!inlet->gone && !inlet->ended && !inlet->options.manual) {
        inlet->owed++;
        renew(flows, inlet);
    }
}

static int deliver(struct trp_flows *flows, struct trp_inlet *inlet)
{
    struct troupe_actor *self = flows->self;
    struct troupe_message *item = lend(inlet);
    int status =
        inlet->options.on_item(self, self->state, inlet->options.context, inlet->number, item);

    give_back(flows, inlet);
    return trp_flow_status(status);
}

/* What ends with the inlet. */
static void end_outlet(struct trp_flows *flows, struct trp_outlet *outlet, int status)
{
    if (outlet != NULL && !outlet->ended && (status < 0 || trp_list_is_empty(&outlet->inlets))) {
        trp_outlet_end(flows, outlet, status);
    }
}

/* Its last item was handled, if it is so. */
static int conclude(struct trp_flows *flows, struct trp_inlet *inlet)
{
    struct troupe_actor *self = flows->self;
    struct trp_outlet *outlet;
    int status = TROUPE_OK;

    if (inlet->gone || !inlet->ended || inlet->queued > 0) {
        return TROUPE_OK;
    }
    inlet->missed = inlet->end_missed;
    if (inlet->options.on_end != NULL) {
        status = trp_flow_status(inlet->options.on_end(
            self, self->state, inlet->options.context, inlet->number, inlet->status));
    }
    if (inlet->gone) {
        return status;
    }
    outlet = inlet->outlet;
    remove_inlet(flows, inlet);
    end_outlet(flows, outlet, inlet->status);
    return status;
}

/* ---- in their turn ---- */

static void set_ready(struct trp_inlet *inlet)
{
    if (inlet->queued > 0 && inlet->outlet != NULL && trp_list_is_empty(&inlet->ready)) {
        trp_list_push(&inlet->outlet->ready, &inlet->ready);
    }
}

int trp_inlet_pump(struct trp_flows *flows, struct trp_outlet *outlet)
{
    int status = TROUPE_OK;

    while (status == TROUPE_OK && !outlet->ended && !trp_list_is_empty(&outlet->ready) &&
           trp_outlet_room(outlet) > 0) {
        struct trp_inlet *inlet =
            trp_container_of(trp_list_pop(&outlet->ready), struct trp_inlet, ready);

        status = deliver(flows, inlet);
        if (!inlet->gone) {
            set_ready(inlet);
        }
        if (status == TROUPE_OK) {
            status = conclude(flows, inlet);
        }
    }
    return status;
}

/* Gives out what is here, as far as it may. */
static int give_out(struct trp_flows *flows, struct trp_inlet *inlet)
{
    int status = TROUPE_OK;

    if (inlet->options.on_item == NULL) {
        return TROUPE_OK;
    }
    while (status == TROUPE_OK && inlet->queued > 0 && inlet->outlet == NULL) {
        status = deliver(flows, inlet);
    }
    if (status == TROUPE_OK && inlet->outlet != NULL) {
        struct trp_outlet *outlet = inlet->outlet;

        set_ready(inlet);
        status = trp_inlet_pump(flows, outlet);
    }
    return status == TROUPE_OK ? conclude(flows, inlet) : status;
}

/* ---- what the producer says ---- */

/* While an item is here its sender, whom we know, is how many were missed before it. */
static void take_in(struct trp_inlet *inlet, struct trp_flow_parcel *parcel)
{
    uint32_t missed = parcel->missed;
    struct troupe_message *item;

    while ((item = trp_chain_pop(&parcel->items)) != NULL) {
        item->sender = missed;
        missed = 0;
        trp_chain_append(&inlet->items, item);
    }
    trp_assert(inlet->granted >= parcel->count);
    inlet->granted -= parcel->count;
    inlet->queued += parcel->count;
}

int trp_inlet_open_parcel(struct trp_flows *flows, struct troupe_message *msg)
{
    struct trp_flow_parcel *parcel = trp_message_body(msg);
    struct trp_inlet *inlet = trp_inlet_find(flows, parcel->number);

    if (inlet == NULL) {
        return TRP_OPEN_LATE;
    }
    inlet->heard++;
    take_in(inlet, parcel);
    return give_out(flows, inlet);
}

int trp_inlet_open_end(struct trp_flows *flows, struct troupe_message *msg)
{
    const struct trp_flow_end *end = trp_message_body(msg);
    struct trp_inlet *inlet = trp_inlet_find(flows, end->number);

    if (inlet == NULL || inlet->ended) {
        return TROUPE_OK;
    }
    inlet->heard++;
    inlet->ended = true;
    inlet->status = end->status;
    inlet->end_missed = end->missed;
    return give_out(flows, inlet);
}

/* ---- subscribing ---- */

static int complete(struct troupe_subscribe_options *options)
{
    if (options->window == 0) {
        options->window = TROUPE_FLOW_WINDOW_DEFAULT;
    }
    if (options->window > TROUPE_FLOW_WINDOW_MAX || options->buffer > TROUPE_FLOW_BUFFER_MAX ||
        (unsigned)options->policy > TROUPE_FLOW_CUT ||
        (options->on_end != NULL && options->on_item == NULL)) {
        return TROUPE_EINVAL;
    }
    return TROUPE_OK;
}

static struct troupe_message *question(struct troupe_actor *self, const struct trp_inlet *inlet)
{
    const struct troupe_subscribe_options *options = &inlet->options;
    struct troupe_message *word =
        trp_flow_word(self, &trp_flow_subscribe_type, sizeof(struct trp_flow_subscribe));

    if (word != NULL) {
        *(struct trp_flow_subscribe *)trp_message_body(word) =
            (struct trp_flow_subscribe){.number = inlet->number,
                .flow = inlet->flow.number,
                .credit = inlet->granted,
                .window = options->window,
                .buffer = options->buffer,
                .policy = (uint8_t)options->policy,
                .retained = options->retained};
    }
    return word;
}

/* Takes all that it will need until its end.  TROUPE_ENOMEM: some of it is there. */
static int equip(
    struct troupe_actor *self, struct trp_inlet *inlet, struct troupe_message **out_ask)
{
    *out_ask = question(self, inlet);
    inlet->cancel = trp_flow_word(self, &trp_flow_cancel_type, sizeof(struct trp_flow_cancel));
    inlet->credit = inlet->options.manual ? NULL : new_credit(self);
    return *out_ask != NULL && inlet->cancel != NULL &&
                   (inlet->credit != NULL || inlet->options.manual)
               ? TROUPE_OK
               : TROUPE_ENOMEM;
}

static int subscribe(struct trp_flows *flows, struct troupe_flow flow,
    const struct troupe_subscribe_options *options, struct trp_inlet **out_inlet)
{
    struct troupe_actor *self = flows->self;
    struct troupe_message *ask;
    struct trp_inlet *inlet = trp_memory_alloc(
        trp_runtime_memory(self->runtime), sizeof *inlet, alignof(struct trp_inlet));

    if (inlet == NULL) {
        return TROUPE_ENOMEM;
    }
    *inlet = (struct trp_inlet){.number = trp_flow_number(flows),
        .flow = flow,
        .options = *options,
        .granted = options->manual ? 0 : options->window};
    trp_list_init(&inlet->link);
    trp_list_init(&inlet->piped);
    trp_list_init(&inlet->ready);
    if (equip(self, inlet, &ask) < 0) {
        if (ask != NULL) {
            /* Nobody is to be told. */
            ((struct trp_flow_subscribe *)trp_message_body(ask))->number = 0;
            trp_flow_discard(self, ask);
        }
        trp_inlet_free(flows, inlet);
        return TROUPE_ENOMEM;
    }
    trp_trie_insert(&flows->inlets, &inlet->node, trp_trie_mix(inlet->number));
    flows->count++;
    trp_flow_send(self, flow.producer, ask, trp_flow_up(inlet->number), 0);
    *out_inlet = inlet;
    return TROUPE_OK;
}

int troupe_flow_subscribe_sized(struct troupe_actor *self, struct troupe_flow flow,
    const struct troupe_subscribe_options *options, size_t options_size,
    troupe_subscription *out_subscription)
{
    TRP_INSIDE(self);
    struct troupe_subscribe_options own = {0};
    struct trp_flows *flows;
    struct trp_inlet *inlet;

    if (!trp_actor_is_mine(self) || out_subscription == NULL || !trp_pid_is_actor(flow.producer) ||
        flow.producer == trp_actor_pid(self)) {
        return TROUPE_EINVAL;
    }
    if (options != NULL) {
        TROUPE_TRY(trp_options_read(&own, sizeof own, options, options_size));
    }
    TROUPE_TRY(complete(&own));
    if (trp_actor_find(self->runtime, flow.producer) == NULL) {
        return TROUPE_EGONE;
    }
    TROUPE_TRY(trp_flow_need(self, &flows));
    TROUPE_TRY(subscribe(flows, flow, &own, &inlet));
    *out_subscription = inlet->number;
    return TROUPE_OK;
}

int troupe_flow_request(struct troupe_actor *self, troupe_subscription subscription, uint32_t count)
{
    TRP_INSIDE(self);
    struct trp_inlet *inlet;
    struct troupe_message *word;

    if (!trp_actor_is_mine(self) || count == 0) {
        return TROUPE_EINVAL;
    }
    inlet = find_own(self, subscription);
    if (inlet == NULL || inlet->ended) {
        return TROUPE_ENOENT;
    }
    if (!inlet->options.manual) {
        return TROUPE_EINVAL;
    }
    if (count > inlet->options.window - inlet->granted - inlet->queued - (inlet->lent ? 1 : 0)) {
        return TROUPE_ELIMIT;
    }
    word = new_credit(self);
    if (word == NULL) {
        return TROUPE_ENOMEM;
    }
    send_credit(trp_flow_of(self), inlet, word, count);
    return TROUPE_OK;
}

int troupe_flow_keep(
    struct troupe_actor *self, troupe_subscription subscription, struct troupe_message **out_item)
{
    TRP_INSIDE(self);
    struct trp_inlet *inlet;

    if (!trp_actor_is_mine(self) || out_item == NULL) {
        return TROUPE_EINVAL;
    }
    inlet = find_own(self, subscription);
    if (inlet == NULL || inlet->current == NULL) {
        return TROUPE_ENOENT;
    }
    trp_message_set_runtime(inlet->current, self->runtime);
    *out_item = inlet->current;
    inlet->current = NULL;
    return TROUPE_OK;
}

uint32_t troupe_flow_missed(struct troupe_actor *self, troupe_subscription subscription)
{
    TRP_INSIDE(self);
    struct trp_flows *flows = trp_actor_is_mine(self) ? trp_flow_of(self) : NULL;
    const struct trp_inlet *inlet;

    if (flows == NULL) {
        return 0;
    }
    inlet = trp_inlet_find(flows, subscription);
    if (inlet != NULL) {
        return inlet->missed;
    }
    return subscription != 0 && subscription == flows->ended ? flows->ended_missed : 0;
}

int troupe_flow_cancel(struct troupe_actor *self, troupe_subscription subscription)
{
    TRP_INSIDE(self);
    struct trp_inlet *inlet;
    struct trp_flows *flows;

    if (!trp_actor_is_mine(self)) {
        return TROUPE_EINVAL;
    }
    inlet = find_own(self, subscription);
    if (inlet == NULL) {
        return TROUPE_ENOENT;
    }
    flows = trp_flow_of(self);
    trp_inlet_cancel(flows, inlet, TROUPE_ECANCELLED);
    trp_flow_sweep(flows);
    return TROUPE_OK;
}

int troupe_flow_pipe(
    struct troupe_actor *self, troupe_subscription subscription, struct troupe_flow flow)
{
    TRP_INSIDE(self);
    struct trp_inlet *inlet;
    struct trp_outlet *outlet;

    if (!trp_actor_is_mine(self)) {
        return TROUPE_EINVAL;
    }
    inlet = find_own(self, subscription);
    if (inlet == NULL || flow.producer != trp_actor_pid(self)) {
        return TROUPE_ENOENT;
    }
    outlet = trp_outlet_find(trp_flow_of(self), flow.number);
    if (outlet == NULL || outlet->ended) {
        return TROUPE_ENOENT;
    }
    if (inlet->options.on_item == NULL) {
        return TROUPE_EINVAL;
    }
    if (inlet->outlet != NULL) {
        return TROUPE_EBUSY;
    }
    inlet->outlet = outlet;
    trp_list_push(&outlet->inlets, &inlet->piped);
    set_ready(inlet);
    return TROUPE_OK;
}

/* ---- taking ---- */

static bool concerns(const struct troupe_message *msg, const void *arg)
{
    const struct trp_inlet *inlet = arg;

    /* The number comes first in both. */
    return msg->kind == TRP_MESSAGE_FLOW &&
           (msg->type == &trp_flow_parcel_type || msg->type == &trp_flow_end_type) &&
           *(const uint64_t *)trp_message_body(msg) == inlet->number;
}

static bool has_come(const void *arg)
{
    const struct trp_inlet *inlet = arg;

    return inlet->queued > 0 || inlet->ended;
}

/* The producer alone says more. */
static bool aim_at_producer(const void *arg, struct trp_aim *out_aim)
{
    const struct trp_inlet *inlet = arg;

    *out_aim = (struct trp_aim){
        .to = inlet->flow.producer, .flow = trp_flow_down(inlet->number), .heard = inlet->heard};
    return true;
}

static int await_item(struct troupe_actor *self, struct trp_inlet *inlet, int wait_ms)
{
    struct trp_patience patience = {.wait_ms = wait_ms};
    struct trp_await_told told = {concerns, has_come, aim_at_producer, inlet};

    if (has_come(inlet)) {
        if (trp_wait_may(self)) {
            trp_await_share(self, false);
        }
        return TROUPE_OK;
    }
    if (trp_wait_may(self)) {
        return trp_await_told(self, &told, &patience);
    }
    return wait_ms == 0 ? TROUPE_ETIMEDOUT : TROUPE_EINVAL;
}

/* Nothing more will come: the subscription goes. */
static int finish(struct trp_flows *flows, struct trp_inlet *inlet)
{
    int status = inlet->status;

    flows->ended = inlet->number;
    flows->ended_missed = inlet->end_missed;
    remove_inlet(flows, inlet);
    trp_flow_sweep(flows);
    return status == TROUPE_OK ? TROUPE_DONE : status;
}

int troupe_flow_next(struct troupe_actor *self, troupe_subscription subscription, int wait_ms,
    struct troupe_message **out_item)
{
    TRP_INSIDE(self);
    struct trp_flows *flows;
    struct trp_inlet *inlet;

    if (!trp_actor_is_mine(self) || out_item == NULL || wait_ms < TROUPE_FOREVER) {
        return TROUPE_EINVAL;
    }
    inlet = find_own(self, subscription);
    if (inlet == NULL) {
        return TROUPE_ENOENT;
    }
    if (inlet->options.on_item != NULL) {
        return TROUPE_EINVAL;
    }
    flows = trp_flow_of(self);
    give_back(flows, inlet);
    TROUPE_TRY(await_item(self, inlet, wait_ms));
    if (inlet->queued == 0) {
        return finish(flows, inlet);
    }
    *out_item = lend(inlet);
    return TROUPE_OK;
}
