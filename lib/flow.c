/* SPDX-License-Identifier: MIT */
/* flow.c - an actor's flows and subscriptions: where they are, and what is said to them. */
#include "flow.h"

const struct troupe_type trp_flow_subscribe_type = {
    "flow subscribe", sizeof(struct trp_flow_subscribe), NULL, false};
const struct troupe_type trp_flow_credit_type = {
    "flow credit", sizeof(struct trp_flow_credit), NULL, false};
const struct troupe_type trp_flow_cancel_type = {
    "flow cancel", sizeof(struct trp_flow_cancel), NULL, false};
const struct troupe_type trp_flow_parcel_type = {
    "flow items", sizeof(struct trp_flow_parcel), NULL, false};
const struct troupe_type trp_flow_end_type = {"flow end", sizeof(struct trp_flow_end), NULL, false};

/* ---- where they are ---- */

/* A cleanup of the actor's: none of its code runs any more. */
static void end_all(void *arg)
{
    struct trp_flows *flows = arg;
    struct troupe_actor *self = flows->self;
    TRP_INSIDE(self);

    flows->depth = 0;
    trp_inlet_end_all(flows);
    trp_outlet_end_all(flows);
    trp_flow_sweep(flows);
    trp_memory_free(trp_runtime_memory(self->runtime), flows, sizeof *flows);
}

struct trp_flows *trp_flow_of(struct troupe_actor *self)
{
    const struct trp_extra *extra = trp_actor_extra(self);

    for (const struct trp_defer *defer = extra != NULL ? extra->defers : NULL; defer != NULL;
         defer = defer->next) {
        if (defer->fn == end_all) {
            return defer->arg;
        }
    }
    return NULL;
}

static int make(struct troupe_actor *self, struct trp_flows **out_flows)
{
    struct trp_memory *memory = trp_runtime_memory(self->runtime);
    struct trp_flows *flows = trp_memory_alloc(memory, sizeof *flows, alignof(struct trp_flows));
    int error;

    if (flows == NULL) {
        return TROUPE_ENOMEM;
    }
    *flows = (struct trp_flows){.self = self};
    trp_list_init(&flows->outlet_list);
    trp_list_init(&flows->gone_outlets);
    trp_list_init(&flows->gone_inlets);
    error = troupe_defer(self, end_all, flows);
    if (error < 0) {
        trp_memory_free(memory, flows, sizeof *flows);
        return error;
    }
    *out_flows = flows;
    return TROUPE_OK;
}

int trp_flow_need(struct troupe_actor *self, struct trp_flows **out_flows)
{
    struct trp_flows *flows = trp_flow_of(self);

    if (flows == NULL) {
        TROUPE_TRY(make(self, &flows));
    }
    if (flows->count >= trp_runtime_limits(self->runtime)->actor_watches) {
        return TROUPE_ELIMIT;
    }
    *out_flows = flows;
    return TROUPE_OK;
}

uint64_t trp_flow_number(struct trp_flows *flows)
{
    return (uint64_t)troupe_incarnation(flows->self) << 32 | ++flows->serial;
}

void trp_flow_sweep(struct trp_flows *flows)
{
    struct trp_list *link;

    if (flows->depth > 0) {
        return;
    }
    while ((link = trp_list_pop(&flows->gone_inlets)) != NULL) {
        trp_inlet_free(flows, trp_container_of(link, struct trp_inlet, link));
    }
    while ((link = trp_list_pop(&flows->gone_outlets)) != NULL) {
        trp_outlet_free(flows, trp_container_of(link, struct trp_outlet, link));
    }
}

/* ---- words ---- */

struct troupe_message *trp_flow_word(
    struct troupe_actor *self, const struct troupe_type *type, size_t size)
{
    struct troupe_message *word = trp_message_new(trp_context_of(self), type, size, 0);

    if (word != NULL) {
        word->kind = TRP_MESSAGE_FLOW;
        word->sender = trp_actor_pid(self);
    }
    return word;
}

/* The word number `count` of `flow` was sent. */
static void note_told(
    struct troupe_actor *self, struct troupe_actor *to, uint64_t flow, uint32_t count)
{
    if (trp_unlikely(trp_pressure_told(to, trp_actor_pid(self), flow, count))) {
        trp_actor_signal(trp_context_of(self), to, TRP_SIGNAL_ROOM);
    }
}

void trp_flow_send(struct troupe_actor *self, troupe_pid to, struct troupe_message *word,
    uint64_t flow, uint32_t count)
{
    struct troupe_actor *actor = trp_actor_find(self->runtime, to);

    if (actor == NULL) {
        trp_flow_discard(self, word);
        return;
    }
    trp_send_reserved(trp_context_of(self), actor, word);
    note_told(self, actor, flow, count);
}

static void discard_items(struct trp_context *context, struct trp_chain *chain)
{
    struct troupe_message *item;

    while ((item = trp_chain_pop(chain)) != NULL) {
        trp_message_dispose(context, item, TROUPE_EGONE);
    }
}

void trp_flow_discard_items(struct troupe_actor *self, struct trp_chain *chain)
{
    discard_items(trp_context_of(self), chain);
}

void trp_flow_discard_parcels(struct troupe_actor *self, struct trp_chain *chain)
{
    struct troupe_message *word;

    while ((word = trp_chain_pop(chain)) != NULL) {
        trp_flow_discard(self, word);
    }
}

void trp_flow_discard(struct troupe_actor *self, struct troupe_message *word)
{
    if (word != NULL) {
        trp_flow_retire(trp_context_of(self), self, word);
    }
}

/* Nobody has taken it: it becomes the answer, and the first word that comes back.  False: nobody waits for that either. */
static bool refuse(
    struct trp_context *context, struct troupe_actor *self, struct troupe_message *msg)
{
    struct trp_flow_subscribe wish = *(const struct trp_flow_subscribe *)trp_message_body(msg);
    struct troupe_actor *asker = trp_actor_find(context->runtime, msg->sender);

    if (asker == NULL || wish.number == 0) {
        return false;
    }
    msg->type = &trp_flow_end_type;
    *(struct trp_flow_end *)trp_message_body(msg) = (struct trp_flow_end){
        .number = wish.number, .status = wish.status < 0 ? wish.status : TROUPE_EGONE};
    trp_send_reserved(context, asker, msg);
    if (self != NULL) {
        note_told(self, asker, trp_flow_down(wish.number), 1);
    }
    return true;
}

void trp_flow_retire(
    struct trp_context *context, struct troupe_actor *self, struct troupe_message *msg)
{
    if (msg->type == &trp_flow_subscribe_type && refuse(context, self, msg)) {
        return;
    }
    if (msg->type == &trp_flow_parcel_type) {
        struct trp_flow_parcel *parcel = trp_message_body(msg);

        discard_items(context, &parcel->items);
    }
    trp_message_free(&context->pool, msg);
}

static int hear(struct trp_flows *flows, struct troupe_message *msg)
{
    if (msg->type == &trp_flow_parcel_type) {
        return trp_inlet_open_parcel(flows, msg);
    }
    if (msg->type == &trp_flow_end_type) {
        return trp_inlet_open_end(flows, msg);
    }
    if (msg->type == &trp_flow_credit_type) {
        return trp_outlet_open_credit(flows, msg);
    }
    if (msg->type == &trp_flow_cancel_type) {
        return trp_outlet_open_cancel(flows, msg);
    }
    return trp_outlet_open_subscribe(flows, msg);
}

int trp_flow_open(struct troupe_actor *self, struct troupe_message *msg)
{
    struct trp_flows *flows = trp_flow_of(self);
    int status;

    if (flows == NULL) {
        if (msg->type == &trp_flow_subscribe_type) {
            ((struct trp_flow_subscribe *)trp_message_body(msg))->status = TROUPE_ENOENT;
            return TROUPE_OK;
        }
        return msg->type == &trp_flow_parcel_type ? TRP_OPEN_LATE : TROUPE_OK;
    }
    flows->depth++;
    status = hear(flows, msg);
    flows->depth--;
    trp_flow_sweep(flows);
    return status;
}
