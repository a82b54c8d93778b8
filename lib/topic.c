/* SPDX-License-Identifier: MIT */
/* topic.c - a topic: an actor with one flow that waits for nobody. */
#include "flow.h"

#include <troupe/mailbox.h>
#include <troupe/topic.h>

struct topic {
    struct troupe_flow flow;
    const struct troupe_type *type;
};

static_assert(TROUPE_TOPIC_STATE >= sizeof(struct topic), "the record fits");

int troupe_topic_init(struct troupe_actor *self, void *state, const void *arg)
{
    const struct troupe_topic_options *options = arg;
    struct topic *topic = state;
    struct troupe_flow_options offer;

    if (options == NULL || options->type == NULL || options->policy == TROUPE_FLOW_WAIT) {
        return troupe_fail(self, TROUPE_EINVAL,
            "a topic wants struct troupe_topic_options with a type, and waits for nobody");
    }
    offer = (struct troupe_flow_options){
        .type = options->type,
        .policy =
            options->policy != TROUPE_FLOW_DEFAULT ? options->policy : TROUPE_FLOW_DROP_OLDEST,
        .buffer = options->buffer,
        .subscribers_max = options->subscribers_max,
        .copy = options->copy,
        .retain = options->retain,
    };
    topic->type = options->type;
    return troupe_flow_offer(self, &offer, &topic->flow);
}

/* It is the topic's from here on. */
static int pass_on(struct troupe_actor *self, struct topic *topic, struct troupe_message *item)
{
    int error = troupe_flow_put_message(self, topic->flow, item);

    if (error < 0) {
        troupe_message_destroy(item);
    }
    return error;
}

int troupe_topic_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct topic *topic = state;
    struct troupe_message *item;
    int error;

    if (!troupe_is(msg, topic->type) || troupe_is_request(msg)) {
        return TROUPE_EUNKNOWN;
    }
    error = troupe_take(self, msg, &item);
    if (error == TROUPE_OK) {
        error = pass_on(self, topic, item);
    }
    if (error < 0) {
        trp_flow_note_missed(self, topic->flow);
    }
    return TROUPE_OK;
}

/* Of one that is gone the send, or the subscription, says so. */
static bool is_topic(struct troupe_actor *self, troupe_pid pid)
{
    const struct troupe_actor *actor = trp_actor_find(self->runtime, pid);

    return pid != TROUPE_NOBODY &&
           (actor == NULL || actor->behaviour->receive == troupe_topic_receive);
}

int troupe_topic_publish(
    struct troupe_actor *self, troupe_pid topic, const struct troupe_type *type, const void *body)
{
    TRP_INSIDE(self);
    if (!trp_actor_is_mine(self) || !is_topic(self, topic)) {
        return TROUPE_EINVAL;
    }
    return troupe_send(self, topic, type, body);
}

int troupe_topic_subscribe_sized(struct troupe_actor *self, troupe_pid topic,
    const struct troupe_subscribe_options *options, size_t options_size,
    troupe_subscription *out_subscription)
{
    TRP_INSIDE(self);
    struct troupe_flow flow = {.producer = topic};

    if (!trp_actor_is_mine(self) || !is_topic(self, topic)) {
        return TROUPE_EINVAL;
    }
    return troupe_flow_subscribe_sized(self, flow, options, options_size, out_subscription);
}

int troupe_topic_unsubscribe(struct troupe_actor *self, troupe_subscription subscription)
{
    return troupe_flow_cancel(self, subscription);
}
