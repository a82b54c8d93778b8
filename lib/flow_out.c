/* SPDX-License-Identifier: MIT */
/*
 * flow_out.c - the producer's side of a flow: who has subscribed, what is kept back for whom, and what happens to the slow.
 *
 * What is put (flow_put.c) is sent against credit, or waits in the tap, in a parcel of its own; parcels that wait are merged
 * when credit comes, which needs no memory.
 *
 *            SUBSCRIBE            credit for it, nothing waits: sent
 *     (tap) -----------> OPEN -----------------------------------------> OPEN
 *                         |    otherwise: waits, or by its policy is dropped, or drops another
 *                         |
 *                         +-- CANCEL, its actor ended ---------------------------------------> (gone)
 *                         +-- CUT, or the flow failed: what waits is dropped; END -----------> (gone)
 *                         +-- the flow is completed: what waits is sent against credit; END -> (gone)
 */
#include "flow.h"

static struct trp_tap *tap_of(struct trp_list *link)
{
    return trp_container_of(link, struct trp_tap, link);
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

struct trp_outlet *trp_outlet_find_own(struct troupe_actor *self, struct troupe_flow flow)
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

/* How many items a tap that is waited for takes now. */
static uint32_t room_of(const struct trp_tap *tap)
{
    uint32_t most = tap->credit + tap->buffer;

    return most > tap->waiting_count ? most - tap->waiting_count : 0;
}

const struct trp_tap *trp_outlet_awaited(const struct trp_outlet *outlet)
{
    for (struct trp_list *at = outlet->taps.next; !is_end(&outlet->taps, at); at = at->next) {
        const struct trp_tap *tap = tap_of(at);

        if (tap->policy == TROUPE_FLOW_WAIT && room_of(tap) == 0) {
            return tap;
        }
    }
    return NULL;
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

        if (tap->policy == TROUPE_FLOW_WAIT) {
            uint32_t more = room_of(tap);

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
    trp_flow_discard_parcels(flows->self, &tap->waiting);
}

static void free_tap(struct trp_flows *flows, struct trp_tap *tap)
{
    struct troupe_actor *self = flows->self;

    drop_waiting(flows, tap);
    trp_flow_discard_parcels(self, &tap->draft);
    trp_flow_discard(self, tap->end);
    trp_trie_remove(&flows->taps, &tap->node);
    trp_list_remove(&tap->link);
    tap->outlet->facts.subscribers--;
    trp_memory_free(trp_runtime_memory(self->runtime), tap, sizeof *tap);
}

static void tell_subscriber(
    struct trp_flows *flows, struct trp_tap *tap, struct troupe_message *word)
{
    trp_flow_send(flows->self, tap->subscriber, word, trp_flow_down(tap->number), ++tap->told);
}

/* The last word to a subscriber. */
static void end_tap(struct trp_flows *flows, struct trp_tap *tap, int status)
{
    struct troupe_message *word = tap->end;

    drop_waiting(flows, tap);
    tap->end = NULL;
    *(struct trp_flow_end *)trp_message_body(word) =
        (struct trp_flow_end){.number = tap->number, .status = status, .missed = tap->missed};
    tell_subscriber(flows, tap, word);
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

void trp_outlet_forget(struct trp_flows *flows, struct trp_outlet *outlet)
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
    trp_outlet_forget(flows, outlet);
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
    uint32_t count = trp_flow_parcel_of(word)->count;

    trp_assert(count <= tap->credit);
    tap->credit -= count;
    tap->outlet->facts.sent += count;
    tell_subscriber(flows, tap, word);
}

/* Adds what is in `more`, of one item, to `word`. */
static void merge(struct trp_flows *flows, struct troupe_message *word, struct troupe_message *more)
{
    struct trp_flow_parcel *from = trp_flow_parcel_of(more);

    trp_flow_parcel_fill(word, trp_chain_pop(&from->items));
    trp_flow_discard(flows->self, more);
}

/* As much of what waits as there is credit for; as few parcels as there are gaps. */
static void send_waiting(struct trp_flows *flows, struct trp_tap *tap)
{
    struct troupe_message *word;

    while (tap->credit > 0 && (word = trp_chain_pop(&tap->waiting)) != NULL) {
        struct troupe_message *next = tap->waiting.first;

        while (next != NULL && trp_flow_parcel_of(word)->count < tap->credit &&
               trp_flow_parcel_of(next)->missed == 0) {
            merge(flows, word, trp_chain_pop(&tap->waiting));
            next = tap->waiting.first;
        }
        tap->waiting_count -= trp_flow_parcel_of(word)->count;
        tap->outlet->facts.buffered -= trp_flow_parcel_of(word)->count;
        send_parcel(flows, tap, word);
    }
}

static void keep_waiting(struct trp_tap *tap, struct troupe_message *word)
{
    trp_flow_parcel_of(word)->missed = tap->missed;
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

/* The gap that the oldest one leaves is before the next one that waits, or before what comes. */
static void drop_oldest(struct trp_flows *flows, struct trp_tap *tap, struct troupe_message *oldest)
{
    uint32_t missed = trp_flow_add(trp_flow_parcel_of(oldest)->missed, 1);
    uint32_t *before =
        tap->waiting.first != NULL ? &trp_flow_parcel_of(tap->waiting.first)->missed : &tap->missed;

    *before = trp_flow_add(*before, missed);
    tap->waiting_count--;
    tap->outlet->facts.buffered--;
    tap->outlet->facts.dropped++;
    trp_flow_discard(flows->self, oldest);
}

/* There is neither credit nor room.  False: the tap is gone. */
static bool refuse(struct trp_flows *flows, struct trp_tap *tap, struct troupe_message *word)
{
    struct troupe_message *victim = NULL;

    if (tap->policy == TROUPE_FLOW_CUT) {
        drop_newest(flows, tap, word);
        end_tap(flows, tap, TROUPE_EFULL);
        return false;
    }
    if (tap->policy == TROUPE_FLOW_DROP_OLDEST) {
        victim = trp_chain_pop(&tap->waiting);
    }
    if (victim != NULL) {
        drop_oldest(flows, tap, victim);
        keep_waiting(tap, word);
    } else {
        drop_newest(flows, tap, word);
    }
    return true;
}

bool trp_tap_accept(struct trp_flows *flows, struct trp_tap *tap, struct troupe_message *word)
{
    if (tap->waiting_count == 0 && trp_flow_parcel_of(word)->count <= tap->credit) {
        trp_flow_parcel_of(word)->missed = tap->missed;
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
    tap->heard++;
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
    if (outlet->facts.subscribers > 0 && !trp_flow_can_copy(&outlet->options)) {
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
    word = trp_flow_parcel_new(flows, tap);
    if (word == NULL) {
        return TROUPE_ENOMEM;
    }
    item = trp_flow_copy(flows, tap->outlet, tap->outlet->retained);
    if (item == NULL) {
        trp_flow_discard(flows->self, word);
        return TROUPE_ENOMEM;
    }
    trp_flow_parcel_fill(word, item);
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
        (options->retain && !trp_flow_can_copy(options))) {
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
    outlet = trp_outlet_find_own(self, flow);
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
