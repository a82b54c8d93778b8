/* SPDX-License-Identifier: MIT */
/*
 * priority.c - messages that go before the queue.  See priority.h.
 */
#include "priority.h"

void trp_priority_push(struct trp_extra *extra, struct troupe_message *first, uint32_t count)
{
    struct troupe_message *msg = first;

    while (count-- > 0) {
        /* relaxed: the chain is the caller's.  Of the last one it is no message. */
        struct trp_node *next = atomic_load_explicit(&msg->node.next, memory_order_relaxed);

        trp_chain_append(&extra->arrived, msg);
        msg = trp_message_of(next);
    }
}

/* Under lock. */
static void take_arrived(struct trp_extra *extra)
{
    trp_chain_prepend(&extra->arrived, &extra->aside.priority);
    extra->aside.priority = extra->arrived;
    extra->arrived.first = NULL;
}

void trp_priority_accept(struct troupe_actor *actor)
{
    struct trp_extra *extra = trp_actor_extra(actor);

    trp_lock_take(&extra->lock);
    take_arrived(extra);
    trp_lock_give(&extra->lock);
}

void trp_priority_shut(struct troupe_actor *actor)
{
    struct trp_extra *extra = trp_actor_extra(actor);

    if (extra->listens) {
        trp_lock_take(&extra->lock);
        extra->shut = true;
        take_arrived(extra);
        trp_lock_give(&extra->lock);
    }
}

void trp_priority_open(struct troupe_actor *actor)
{
    struct trp_extra *extra = trp_actor_extra(actor);

    if (extra != NULL && extra->listens) {
        trp_lock_take(&extra->lock);
        extra->shut = false;
        trp_lock_give(&extra->lock);
    }
}
