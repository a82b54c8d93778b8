/* SPDX-License-Identifier: MIT */
/*
 * topic.h - publish and subscribe: an actor that passes what is published on to whoever has subscribed, and waits for nobody.
 *
 * A topic is a behaviour,
 *
 *     static const struct troupe_behaviour prices = TROUPE_TOPIC("prices");
 *     static const struct troupe_topic_options options = {.type = &price, .retain = true};
 *
 *     troupe_spawn(self, (&(struct troupe_spawn_options){.behaviour = &prices, .arg = &options, .name = "prices"}), &pid)
 *
 * spawned, named and supervised as any other.  It takes items of one type, and puts them into a flow (flow.h) with a buffer
 * for each subscriber.  One that is slow loses what its buffer does not hold, by the policy that it chose or the topic's,
 * and is told how many, in their place among the others; or it is cut off.  So it costs the topic a bounded buffer, and
 * publishers and other subscribers nothing.
 *
 * Publishers that are faster than the topic meet its mailbox, as they would any other's: it is bounded, and says
 * TROUPE_EFULL.
 *
 * Memory.  A subscriber's window and buffer, as in flow.h; one more item with `retain`; and what the mailbox holds.
 *
 * A subscription ends with the topic (TROUPE_EDIED), also if that is restarted: whoever is told so may subscribe again.
 */
#ifndef TROUPE_TOPIC_H
#define TROUPE_TOPIC_H

#include "troupe/flow.h"

TROUPE_BEGIN_DECLS

/** The argument of a topic: a pointer to these, good until its init has run, or a copy (`arg_size`). */
struct troupe_topic_options {
    const struct troupe_type *type; /* of the items; required; must outlive the runtime */
    enum troupe_flow_policy
        policy;               /* of subscriptions that do not choose [DROP_OLDEST]; not WAIT */
    uint32_t buffer;          /* for each subscriber, at most [TROUPE_FLOW_BUFFER_DEFAULT] */
    uint32_t subscribers_max; /* [TROUPE_FLOW_SUBSCRIBERS_DEFAULT] */
    bool retain;              /* the last item is kept for whoever comes late and asks for it */
    troupe_flow_copy_fn copy; /* for a type with `destroy`, unless that is troupe_buffer_message */
};

/** Bytes of a topic's state. */
#define TROUPE_TOPIC_STATE 64

/** A behaviour that is a topic of this name.  Other fields may follow: TROUPE_TOPIC("prices", .capacity = 100). */
#define TROUPE_TOPIC(...)                                                                          \
    {                                                                                              \
        .state_size = TROUPE_TOPIC_STATE, .init = troupe_topic_init,                               \
        .receive = troupe_topic_receive, .name = __VA_ARGS__                                       \
    }

/* What TROUPE_TOPIC() puts into the behaviour; called by troupe only.  Options that make no sense end the topic at once, with
 * TROUPE_EINVAL. */
TROUPE_API int troupe_topic_init(struct troupe_actor *self, void *state, const void *arg);
TROUPE_API int troupe_topic_receive(
    struct troupe_actor *self, void *state, struct troupe_message *msg);

/**
 * Publishes a copy of `body`: all who have subscribed by the time the topic comes to it get it.  From other threads, and with a message
 * that is moved: troupe_try_send() to the topic.
 *
 * Threads  a callback of `self`
 * Owns     as troupe_send()
 * Errors   as troupe_send(); TROUPE_EINVAL also for what is no topic.  What is not of the topic's type it does not know
 *          (TROUPE_EUNKNOWN).  An item for which the topic finds no memory counts as missed by all
 * Order    each subscriber gets what one publisher sends in that order, and all get everything in the same order
 * Cost     a send; the topic copies the item for each subscriber but one
 */
TROUPE_API TROUPE_CHECKED int troupe_topic_publish(
    struct troupe_actor *self, troupe_pid topic, const struct troupe_type *type, const void *body);

/**
 * Subscribes to a topic.  Items come to on_item, or to troupe_flow_next(); troupe_flow_missed() says how many were lost before one.
 * With `retained` the first item is the one that was published last.
 *
 * Errors   as troupe_flow_subscribe(); TROUPE_EINVAL also for what is no topic
 */
#define troupe_topic_subscribe(self, topic, options, out_subscription)                             \
    troupe_topic_subscribe_sized(                                                                  \
        (self), (topic), (options), sizeof(struct troupe_subscribe_options), (out_subscription))
TROUPE_API TROUPE_CHECKED int troupe_topic_subscribe_sized(struct troupe_actor *self,
    troupe_pid topic, const struct troupe_subscribe_options *options, size_t options_size,
    troupe_subscription *out_subscription);

/** Ends a subscription, as troupe_flow_cancel(). */
TROUPE_API int troupe_topic_unsubscribe(
    struct troupe_actor *self, troupe_subscription subscription);

TROUPE_END_DECLS

#endif
