/* SPDX-License-Identifier: MIT */
/*
 * stamp.h - when a message was sent, of those to mailboxes that want to know.
 *
 * Four bytes of milliseconds: in the extension, where a message has one, otherwise behind its body, where the block has that
 * much to spare.  One without either moves into another block when it is sent, with an extension.  So no header grows, and what
 * is sent to other mailboxes pays nothing.
 *
 * A PLAIN message with a stamp is of kind AGED until it is opened: then whoever takes it out of the queue has to look.  A
 * request has a look coming anyway.
 *
 * What a message weighs with its stamp is known before it gets one (trp_stamp_weight()), and is what the mailbox is charged.
 * Without memory for another block it goes without a stamp, and never seems old; what it was charged too much is given back.
 */
#ifndef TRP_STAMP_H
#define TRP_STAMP_H

#include "charge.h"
#include "message.h"

/** What `msg`, which has no stamp, will weigh with one. */
uint32_t trp_stamp_weight(const struct troupe_message *msg);

/**
 * Stamps a chain that was admitted at these weights.  It may have another first and last one afterwards.
 */
void trp_stamp_chain(struct trp_pool *pool, struct trp_charge *charge, uint32_t now_ms,
    struct troupe_message **first, struct troupe_message **last, uint32_t count);

/** Whether it has a stamp. */
static inline bool trp_stamp_is_on(const struct troupe_message *msg)
{
    return (msg->flags & TRP_MESSAGE_STAMPED) != 0;
}

/** The stamp of one that has one. */
uint32_t trp_stamp_of(const struct troupe_message *msg);

/** Milliseconds of the clock, as stamps have them: they wrap, so only differences mean something. */
static inline uint32_t trp_stamp_ms(uint64_t now_ns)
{
    return (uint32_t)(now_ns / 1000000U);
}

#endif
