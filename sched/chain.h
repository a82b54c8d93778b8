/* SPDX-License-Identifier: MIT */
/*
 * chain.h - messages that an actor has taken out of its queue and not ended, one behind the other, by the `next` that
 * the mailbox linked them with.  Token's holder.
 */
#ifndef TRP_CHAIN_H
#define TRP_CHAIN_H

#include "message.h"

typedef bool (*trp_match_fn)(const struct troupe_message *msg, const void *arg);

struct trp_chain {
    struct troupe_message *first; /* NULL: empty, and `last` means nothing */
    struct troupe_message *last;
};

static inline void trp_chain_link(struct troupe_message *msg, struct troupe_message *next)
{
    /* relaxed: the message is in no queue, and has one owner. */
    atomic_store_explicit(&msg->node.next, next != NULL ? &next->node : NULL, memory_order_relaxed);
}

static inline void trp_chain_append(struct trp_chain *chain, struct troupe_message *msg)
{
    trp_chain_link(msg, NULL);
    if (chain->first == NULL) {
        chain->first = msg;
    } else {
        trp_chain_link(chain->last, msg);
    }
    chain->last = msg;
}

/** Puts all of `older` before what is in `chain`, and empties it. */
static inline void trp_chain_prepend(struct trp_chain *chain, struct trp_chain *older)
{
    if (older->first == NULL) {
        return;
    }
    trp_chain_link(older->last, chain->first);
    if (chain->first == NULL) {
        chain->last = older->last;
    }
    chain->first = older->first;
    older->first = NULL;
}

/** The oldest one of which `matches` says yes, taken out; or NULL. */
static inline struct troupe_message *trp_chain_pull(
    struct trp_chain *chain, trp_match_fn matches, const void *arg)
{
    struct troupe_message *before = NULL;
    struct troupe_message *msg = chain->first;

    while (msg != NULL) {
        /* relaxed: as above. */
        struct trp_node *node = atomic_load_explicit(&msg->node.next, memory_order_relaxed);
        struct troupe_message *next = node != NULL ? trp_message_of(node) : NULL;

        if (matches(msg, arg)) {
            if (before == NULL) {
                chain->first = next;
            } else {
                trp_chain_link(before, next);
            }
            if (chain->last == msg) {
                chain->last = before;
            }
            return msg;
        }
        before = msg;
        msg = next;
    }
    return NULL;
}

/** The oldest one, or NULL. */
static inline struct troupe_message *trp_chain_pop(struct trp_chain *chain)
{
    struct troupe_message *msg = chain->first;
    struct trp_node *next;

    if (msg == NULL) {
        return NULL;
    }
    /* relaxed: as above. */
    next = atomic_load_explicit(&msg->node.next, memory_order_relaxed);
    chain->first = next != NULL ? trp_message_of(next) : NULL;
    return msg;
}

#endif
