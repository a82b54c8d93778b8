/* SPDX-License-Identifier: MIT */
/*
 * flow.h - streams of items from one actor to others, over as many hops as one likes, in bounded memory.
 *
 * A *producer* offers a flow; a *subscriber* subscribes to it, and grants *credit*: so many items may be sent to it.  An
 * item is sent against credit only, so it is never refused, and a slow subscriber slows its producer down instead of filling
 * a mailbox.
 *
 *     producer                                                  subscriber
 *       troupe_flow_offer(self, .., &flow)
 *          `flow` is sent to whom it may concern  ------------>  troupe_flow_subscribe(self, flow, .., &subscription)
 *       on_room(.., room)  <---------------------------- credit
 *       troupe_flow_put(self, flow, &item)  ------------------>  on_item(.., item)
 *       troupe_flow_end(self, flow, TROUPE_OK)  -------------->  on_end(.., TROUPE_OK)
 *
 * A flow ends for each subscriber exactly once: completed, failed, cut off, or because its producer ended (TROUPE_EDIED);
 * unless it has cancelled before.  What was sent before the end is handled before it.
 *
 * Items are messages of one type.  What an item refers to is destroyed exactly once, wherever it ends: handled, dropped for
 * a slow subscriber, in flight to one that ended or cancelled, or kept back when the producer ends.
 *
 * Slow subscribers.  A flow with several subscribers gives each of them every item, in order.  What happens to one that has
 * no credit and whose buffer is full is said by `policy`: the producer waits for it, it loses items and is told how many, or
 * it is cut off.
 *
 * Stages.  An actor in the middle subscribes upstream, offers downstream, and ties the two with troupe_flow_pipe(): it gets
 * an item only while downstream takes one.  So credit travels up a pipeline, and a slow sink slows its source, hop by hop.
 *
 * Memory.  A subscriber that is waited for costs at most
 *
 *     window + buffer  items, of its subscription and of its producer's offer
 *
 * and so does one that is not, with its own buffer.  An item is one block (mailbox.h says what a message weighs), and at
 * most one more of 64 bytes with it on its way; credit, and what is set aside for the end, are a few blocks of 64 bytes.  A
 * pipeline's items are at most the sum of this over its subscriptions, plus what its stages keep (troupe_flow_keep()),
 * however fast the source and however slow the sink; with several subscribers the sum is over all of them, and with `retain`
 * one more item.  Items and credit are reserved messages (mailbox.h): they have no part in the capacities of mailboxes,
 * which need no room for them.
 *
 * Flows in a ring hold each other up once all their windows are full: one of the hops then drops, or nothing moves.  Of callbacks
 * that wait, one is told (TROUPE_EDEADLK, fiber.h): who waits for an item waits for the producer, and who waits for room for a
 * subscriber that has no credit, of several for one after the other.  Of handlers none is, as they do not wait; nor is
 * a producer that nobody has subscribed to, since anybody might.
 *
 * Handlers and straight-line code.  A handler has callbacks, which are continuations as in call.h: called between messages,
 * as a callback of `self`, with the actor's state; several items in a row, at most a window, where they came together or
 * waited for room.  A callback that may wait (fiber.h) uses troupe_flow_next() and the _within forms instead; a flow or
 * subscription is used in one of the two ways.  Credit, subscriptions and items come by way of the queue: a main function
 * that neither waits for them nor receives does not see them.
 *
 * Flows and subscriptions belong to an incarnation and end with it.  Their numbers are not used again.
 */
#ifndef TROUPE_FLOW_H
#define TROUPE_FLOW_H

#include "troupe/actor.h"

TROUPE_BEGIN_DECLS

/** Names a flow: copied freely, sent in messages, never dangling.  With number 0 it is the oldest that its producer offers. */
struct troupe_flow {
    troupe_pid producer;
    uint64_t number;
};

/** Names a subscription of one actor.  0 names none. */
typedef uint64_t troupe_subscription;

/** Credit of a subscription that does not say how much, and the most that it may say. */
#define TROUPE_FLOW_WINDOW_DEFAULT 64
#define TROUPE_FLOW_WINDOW_MAX 65536

/** Items kept back for a subscriber that may lose some, where nobody says how many; and the most that may be said. */
#define TROUPE_FLOW_BUFFER_DEFAULT 16
#define TROUPE_FLOW_BUFFER_MAX 65536

/** Subscribers of a flow, where its offer does not say how many. */
#define TROUPE_FLOW_SUBSCRIBERS_DEFAULT 1024

/** What becomes of an item for a subscriber that has no credit and whose buffer is full. */
enum troupe_flow_policy {
    TROUPE_FLOW_DEFAULT,     /* of an offer: WAIT; of a subscription: as the offer */
    TROUPE_FLOW_WAIT,        /* the producer waits: it has no room, whatever the others have */
    TROUPE_FLOW_DROP_OLDEST, /* the oldest one in the buffer goes; without a buffer the new one */
    TROUPE_FLOW_DROP_NEWEST, /* the new one goes */
    TROUPE_FLOW_CUT, /* the subscription ends with TROUPE_EFULL, what was in its buffer is lost */
};

/** There is room: `room` items may be put now.  Called whenever room was made from outside.  Returns what a `receive` returns. */
typedef int (*troupe_flow_room_fn)(
    struct troupe_actor *self, void *state, void *context, struct troupe_flow flow, uint32_t room);

/** A subscriber has left: it cancelled (`status` TROUPE_ECANCELLED) or ended (TROUPE_EDIED); `left` others are there.  Those that
 * are cut off, or that an end reaches, are not told of.  Returns what a `receive` returns. */
typedef int (*troupe_flow_left_fn)(struct troupe_actor *self, void *state, void *context,
    struct troupe_flow flow, troupe_pid subscriber, int status, uint32_t left);

/** Makes the body at `to`, which is the bytes of `from`, a second one: what it refers to has one more owner, or is copied.  Anything
 * but TROUPE_OK: it could not.  Must return, and must not use flows. */
typedef int (*troupe_flow_copy_fn)(void *to, const void *from);

/** An item.  It is lent until the callback returns, unless troupe_flow_keep() makes it the actor's.  Returns what a `receive`
 * returns. */
typedef int (*troupe_flow_item_fn)(struct troupe_actor *self, void *state, void *context,
    troupe_subscription subscription, struct troupe_message *item);

/** The end, behind the last item: TROUPE_OK: completed; TROUPE_EDIED: the producer ended; TROUPE_EGONE, TROUPE_ENOENT: no such producer,
 * or flow; TROUPE_EFULL: cut off; TROUPE_ELIMIT: too many subscribers; TROUPE_EBUSY: items cannot be copied, and somebody else has
 * them; TROUPE_EINVAL: the offer does not allow this policy or buffer; TROUPE_ENOMEM: nothing could be asked for any more; or what the producer
 * says.  The subscription is no more.  Returns what a `receive` returns. */
typedef int (*troupe_flow_end_fn)(struct troupe_actor *self, void *state, void *context,
    troupe_subscription subscription, int status);

struct troupe_flow_options {
    const struct troupe_type *type; /* of the items; required; must outlive the runtime */
    enum troupe_flow_policy policy; /* [WAIT] */
    /** Items kept back for each subscriber that has no credit [WAIT: none; otherwise TROUPE_FLOW_BUFFER_DEFAULT]; the most that
     * a subscription may ask for. */
    uint32_t buffer;
    uint32_t subscribers_max;    /* [TROUPE_FLOW_SUBSCRIBERS_DEFAULT] */
    troupe_flow_copy_fn copy;    /* for a type with `destroy` and more than one subscriber */
    bool retain;                 /* the last item is kept for whoever comes late and asks for it */
    troupe_flow_room_fn on_room; /* or NULL */
    troupe_flow_left_fn on_left; /* or NULL */
    void *context;               /* for the callbacks */
};

struct troupe_subscribe_options {
    /** Credit: at most so many items on their way, waiting here and being handled [TROUPE_FLOW_WINDOW_DEFAULT]. */
    uint32_t window;
    /** Credit is granted by troupe_flow_request() only; otherwise all of it at once, and again as items are handled, half a
     * window at a time. */
    bool manual;
    enum troupe_flow_policy policy; /* [the offer's] WAIT only where the offer waits */
    uint32_t buffer;                /* [the offer's] no more than that */
    bool retained;                  /* begin with the item put last, if the flow retains it */
    troupe_flow_item_fn on_item;    /* NULL: items are taken with troupe_flow_next() */
    troupe_flow_end_fn on_end;      /* with on_item; or NULL */
    void *context;                  /* for the callbacks */
};

/**
 * Offers a flow.
 *
 * Threads  a callback of `self`, as for all of these
 * Errors   TROUPE_EINVAL  no type; a value out of range; `retain` of a type that cannot be copied
 *          TROUPE_ENOMEM
 *          TROUPE_ELIMIT  `self` has as many flows and subscriptions as limits.actor_watches says
 * Cost     two blocks from the allocator, the first time one more; the first time a cleanup (troupe_defer())
 */
#define troupe_flow_offer(self, options, out_flow)                                                 \
    troupe_flow_offer_sized((self), (options), sizeof(struct troupe_flow_options), (out_flow))
TROUPE_API TROUPE_CHECKED int troupe_flow_offer_sized(struct troupe_actor *self,
    const struct troupe_flow_options *options, size_t options_size, struct troupe_flow *out_flow);

/**
 * Puts a copy of `body` into a flow of `self`: for each of its subscribers.  Never waits.
 *
 * Owns     on success what `body` refers to is the flow's; on error still the caller's
 * Errors   TROUPE_EFULL   no room: somebody is waited for; or nobody has subscribed to a flow that waits.  See on_room
 *          TROUPE_ENOENT  `self` has no such flow, or it has ended
 *          TROUPE_ENOMEM  nobody has it
 *          TROUPE_EINVAL  a body where the type has none, or none where it has
 * Order    each subscriber gets items in the order in which they were put
 * Cost     two blocks from a pool and a reserved send for each subscriber
 */
TROUPE_API TROUPE_CHECKED int troupe_flow_put(
    struct troupe_actor *self, struct troupe_flow flow, const void *body);

/** As troupe_flow_put(), and moves `item`, a message that `self` owns: no byte is copied for the last subscriber.  On error it is
 * still the caller's.  TROUPE_EINVAL: of another type, a request, the message being handled, or an item that is only lent. */
TROUPE_API TROUPE_CHECKED int troupe_flow_put_message(
    struct troupe_actor *self, struct troupe_flow flow, struct troupe_message *item);

/** As troupe_flow_put_message(), of `count` items together: all or none; to who has the credit they go as one message. */
TROUPE_API TROUPE_CHECKED int troupe_flow_put_batch(struct troupe_actor *self,
    struct troupe_flow flow, struct troupe_message **items, size_t count);

/**
 * As troupe_flow_put(), and waits for room; messages, but for those of this flow, stay in the queue.
 *
 * Threads  a callback of `self` that may wait; a flow without callbacks, and into which nothing is piped (TROUPE_EINVAL)
 * Units    `wait_ms` in milliseconds; 0 does not wait; TROUPE_FOREVER: but never longer than whoever asked for what is handled now
 *          waits (troupe_deadline())
 * Errors   as troupe_flow_put(), but TROUPE_ETIMEDOUT instead of TROUPE_EFULL; TROUPE_ELIMIT (limits.actor_timers);
 *          TROUPE_EDEADLK: a subscriber that has no credit waits for `self`, if by way of others (fiber.h); nothing was put
 * Cost     as troupe_flow_put() while there is room; otherwise a look at everything that is queued, and switches of stacks
 */
TROUPE_API TROUPE_CHECKED int troupe_flow_put_within(
    struct troupe_actor *self, struct troupe_flow flow, const void *body, int wait_ms);

/** As troupe_flow_put_within(), and moves `item` as troupe_flow_put_message() does.  Until there is room it is the caller's. */
TROUPE_API TROUPE_CHECKED int troupe_flow_put_message_within(
    struct troupe_actor *self, struct troupe_flow flow, struct troupe_message *item, int wait_ms);

/** How many items can be put now: the least that anybody who is waited for can take; of a flow that waits for nobody UINT32_MAX.  0
 * also if `self` has no such flow.  O(subscribers). */
TROUPE_API uint32_t troupe_flow_room(struct troupe_actor *self, struct troupe_flow flow);

/**
 * Ends a flow of `self`.  Completed (TROUPE_OK), each subscriber gets what is in its buffer as it grants credit, then the end; failed
 * (a negative `status`), what is in the buffers is dropped.
 *
 * Errors   TROUPE_ENOENT; TROUPE_EINVAL: a positive status
 */
TROUPE_API int troupe_flow_end(struct troupe_actor *self, struct troupe_flow flow, int status);

/** What a flow has seen.  Buffered: for all subscribers together.  dropped: for slow subscribers, or in buffers when they or the
 * flow ended. */
struct troupe_flow_facts {
    uint32_t subscribers;
    uint32_t buffered;
    uint64_t put;     /* items, each once */
    uint64_t sent;    /* to subscribers, each for each */
    uint64_t dropped; /* the same */
};

/** The facts of a flow of `self`.  TROUPE_ENOENT; also when all that it had is sent after its end. */
TROUPE_API TROUPE_CHECKED int troupe_flow_facts(
    struct troupe_actor *self, struct troupe_flow flow, struct troupe_flow_facts *out_facts);

/**
 * Subscribes to a flow.  Whatever comes of it is told by on_end, or by troupe_flow_next(): also that there is no such flow.  Options
 * of NULL are all defaults.
 *
 * Errors   TROUPE_EGONE   no actor has the producer's pid any more
 *          TROUPE_EINVAL  one's own flow, a value out of range, on_end without on_item
 *          TROUPE_ENOMEM, TROUPE_ELIMIT, as for troupe_flow_offer()
 * Cost     a block from the allocator, three from a pool, and a reserved send
 */
#define troupe_flow_subscribe(self, flow, options, out_subscription)                               \
    troupe_flow_subscribe_sized(                                                                   \
        (self), (flow), (options), sizeof(struct troupe_subscribe_options), (out_subscription))
TROUPE_API TROUPE_CHECKED int troupe_flow_subscribe_sized(struct troupe_actor *self,
    struct troupe_flow flow, const struct troupe_subscribe_options *options, size_t options_size,
    troupe_subscription *out_subscription);

/**
 * Grants credit for `count` more items, of a subscription with `manual`.
 *
 * Errors   TROUPE_ELIMIT  more than the window, with what is granted, waits or is being handled: nothing was granted
 *          TROUPE_ENOENT  no such subscription: never made, cancelled, or at its end
 *          TROUPE_EINVAL  a count of 0; not `manual`
 *          TROUPE_ENOMEM
 */
TROUPE_API TROUPE_CHECKED int troupe_flow_request(
    struct troupe_actor *self, troupe_subscription subscription, uint32_t count);

/**
 * Waits for the next item.  It is lent until this is called again for the same subscription, whatever comes of that call, or the
 * subscription ends.  Messages, but for those of this subscription, stay in the queue.
 *
 * Threads  any callback of `self` with a `wait_ms` of 0: what is here; one that may wait with any.  A subscription without on_item
 * Units    `wait_ms` in milliseconds, or TROUPE_FOREVER, as troupe_flow_put_within()
 * Returns  TROUPE_OK: an item.  TROUPE_DONE: completed, there are no more; the subscription is no more
 * Errors   TROUPE_ETIMEDOUT  none yet
 *          TROUPE_ENOENT     no such subscription
 *          TROUPE_EDEADLK    the producer waits for `self`, if by way of others (fiber.h); the subscription stands as before
 *          TROUPE_ENOMEM     to wait
 *          TROUPE_ELIMIT     (limits.actor_timers) with a time-out
 *          TROUPE_EINVAL     may not wait, or has on_item
 *          otherwise         how the flow ended, as in troupe_flow_end_fn; the subscription is no more
 * Cost     while items are here that of a call; otherwise a look at everything that is queued, and switches of stacks
 */
TROUPE_API TROUPE_CHECKED int troupe_flow_next(struct troupe_actor *self,
    troupe_subscription subscription, int wait_ms, struct troupe_message **out_item);

/** Makes the item that is lent the caller's, to be sent or put on, or ended with troupe_message_destroy().  Its credit is granted
 * again all the same.  TROUPE_ENOENT: no such subscription, or none is lent. */
TROUPE_API TROUPE_CHECKED int troupe_flow_keep(
    struct troupe_actor *self, troupe_subscription subscription, struct troupe_message **out_item);

/** How many items were lost to the subscriber just before the one that is lent; or before the end, in on_end, and when
 * troupe_flow_next() has told of it, until it tells of another one's.  0 also without such a subscription. */
TROUPE_API uint32_t troupe_flow_missed(struct troupe_actor *self, troupe_subscription subscription);

/** Ends a subscription: no callback of it is called any more, what waits here or comes later is destroyed.  TROUPE_ENOENT. */
TROUPE_API int troupe_flow_cancel(struct troupe_actor *self, troupe_subscription subscription);

/**
 * Makes `self` a stage: items of `subscription` come to its on_item only while `flow` has room.  Several subscriptions may be piped into
 * one flow: they take turns.  When the last of them completes the flow is completed; when one fails the flow fails with it, and the
 * others are cancelled; after on_end, which may have ended it otherwise.  When the flow ends first they are cancelled.
 *
 * An on_item that puts more than one item needs a `buffer` in the flow's offer: troupe_flow_room() is at least 1 when it is called.
 *
 * Errors   TROUPE_ENOENT  no such subscription or flow of `self`
 *          TROUPE_EINVAL  a subscription without on_item
 *          TROUPE_EBUSY   it is piped already
 */
TROUPE_API TROUPE_CHECKED int troupe_flow_pipe(
    struct troupe_actor *self, troupe_subscription subscription, struct troupe_flow flow);

TROUPE_END_DECLS

#endif
