/* SPDX-License-Identifier: MIT */
/*
 * stamp.c - when a message was sent.  See stamp.h.
 */
#include "stamp.h"

#include <string.h>

/* Where a stamp behind the body begins, counted from the header. */
static size_t offset_of(const struct troupe_message *msg)
{
    size_t end = sizeof *msg + msg->size;

    return (end + sizeof(uint32_t) - 1) & ~(sizeof(uint32_t) - 1);
}

static bool is_extended(const struct troupe_message *msg)
{
    return (msg->flags & TRP_MESSAGE_EXTENDED) != 0;
}

/* A large one always has an extension: see trp_message_create(). */
static bool has_space(const struct troupe_message *msg)
{
    return is_extended(msg) || offset_of(msg) + sizeof(uint32_t) <= trp_pool_size(msg->block);
}

static uint32_t *place_of(const struct troupe_message *msg)
{
    return is_extended(msg) ? &trp_message_extension(msg)->stamp_ms
                            : (uint32_t *)(void *)((char *)(uintptr_t)msg + offset_of(msg));
}

uint32_t trp_stamp_weight(const struct troupe_message *msg)
{
    size_t whole = trp_message_head(TRP_MESSAGE_EXTENDED) + msg->size;

    if (has_space(msg)) {
        return trp_message_weight(msg);
    }
    return whole <= TRP_POOL_BLOCK_MAX ? trp_pool_size(trp_pool_class(whole)) : msg->size + 64;
}

uint32_t trp_stamp_of(const struct troupe_message *msg)
{
    return *place_of(msg);
}

/* `msg` in a block with an extension; NULL without memory.  Only a PLAIN one may have none. */
static struct troupe_message *move(struct trp_pool *pool, struct troupe_message *msg)
{
    struct troupe_message *moved =
        trp_message_create(pool, msg->type, msg->size, TRP_MESSAGE_EXTENDED);

    if (moved == NULL) {
        return NULL;
    }
    memcpy(trp_message_body(moved), trp_message_body(msg), msg->size);
    moved->sender = msg->sender;
    moved->flags |= msg->flags;
    trp_message_free(pool, msg);
    return moved;
}

/* What is queued in place of `msg`. */
static struct troupe_message *stamp(
    struct trp_pool *pool, struct trp_charge *charge, uint32_t now_ms, struct troupe_message *msg)
{
    struct troupe_message *stamped = has_space(msg) ? msg : move(pool, msg);

    if (stamped == NULL) {
        /* seq_cst: as in trp_charge_try(). */
        atomic_fetch_sub_explicit(
            &charge->in, trp_stamp_weight(msg) - trp_message_weight(msg), memory_order_seq_cst);
        return msg;
    }
    *place_of(stamped) = now_ms;
    stamped->flags |= TRP_MESSAGE_STAMPED;
    if (stamped->kind == TRP_MESSAGE_PLAIN) {
        stamped->kind = TRP_MESSAGE_AGED;
    }
    return stamped;
}

void trp_stamp_chain(struct trp_pool *pool, struct trp_charge *charge, uint32_t now_ms,
    struct troupe_message **first, struct troupe_message **last, uint32_t count)
{
    struct troupe_message *msg = *first;
    struct troupe_message *before = NULL;

    while (count-- > 0) {
        /* relaxed, both: the chain is ours until it is pushed.  Of the last one it is no message. */
        struct trp_node *next = atomic_load_explicit(&msg->node.next, memory_order_relaxed);
        struct troupe_message *stamped = stamp(pool, charge, now_ms, msg);

        if (before == NULL) {
            *first = stamped;
        } else {
            atomic_store_explicit(&before->node.next, &stamped->node, memory_order_relaxed);
        }
        before = stamped;
        msg = trp_message_of(next);
    }
    *last = before;
}
