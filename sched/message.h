/* SPDX-License-Identifier: MIT */
/*
 * message.h - a message's header, and the blocks that messages are made of.
 *
 * A message is one block: a header of 32 bytes, for requests and answers an extension of 48 more, then
 * the body.  Up to 32 bytes of body fit in one cache line; of a request or an answer 48 in two.
 *
 *   0  node.next   the mailbox's
 *   8  type        identity, destructor
 *  16  sender      who sent it
 *  24  size 4, block 1, kind 1, flags 2
 *  32  [extension: call, serial, held or status, deadline, flags, permit, stamp]  body
 *
 * A message that carries a permit of a gate (METERED) is a QUESTION, whether anybody waits for an answer or not: so it leaves
 * by the way of requests, where it is seen, and other messages need not ask.
 */
#ifndef TRP_MESSAGE_H
#define TRP_MESSAGE_H

#include "base.h"
#include "callout.h"
#include "pool.h"

#include <troupe/message.h>

/** What a mailbox links. */
struct trp_node {
    _Atomic(struct trp_node *) next;
};

/** Who acts on a message when it is dequeued, and who gets its block back.  What stands together is asked for together on
 * the way of every message. */
enum trp_message_kind {
    TRP_MESSAGE_PLAIN,    /* a user's message: block from the pools */
    TRP_MESSAGE_QUESTION, /* a user's message that was sent as a request: block from the pools */
    TRP_MESSAGE_REPLY,    /* an answer: block from the pools; call.c finds whose */
    TRP_MESSAGE_TICK,     /* the block is a timer (timer.h) */
    TRP_MESSAGE_READY,    /* the block is an io (poller.h) */
    TRP_MESSAGE_TIMEOUT,  /* the block is a pending call whose time has passed (timer.h) */
    TRP_MESSAGE_NOTICE,   /* the block is a watch: a down notice or an exit signal (lib/watch.h) */
    TRP_MESSAGE_CHANGE,   /* the block is a watch of a group (lib/group.c) */
    TRP_MESSAGE_JOB,      /* the block is a blocking job that is over (blocking.h) */
    TRP_MESSAGE_TICKET,   /* the block stands for a message on a shelf (shelf.h) */
    TRP_MESSAGE_AGED,     /* as PLAIN, which it becomes when it is opened: with a stamp (stamp.h) */
    TRP_MESSAGE_FLOW,     /* a word between flows (lib/flow.h): block from the pools */
    TRP_MESSAGE_LAPSE, /* never sent: the block is a lease (lease.h), which lapses when its timer fires */
    TRP_MESSAGE_RING, /* the block is the timer of a pause (pause.h): never sent */
};

enum trp_message_flag {
    TRP_MESSAGE_CHARGED = 1,   /* counts against the mailbox it is in */
    TRP_MESSAGE_REFUSED = 2,   /* a request that carries its answer, an error */
    TRP_MESSAGE_REQUEST = 4,   /* somebody waits for an answer to it */
    TRP_MESSAGE_EMPTIED = 8,   /* its body moved on, or was destroyed */
    TRP_MESSAGE_EXTENDED = 16, /* an extension stands between header and body */
    TRP_MESSAGE_STASHED = 32,  /* its handler has stashed it: see aside.h */
    TRP_MESSAGE_WAITING = 64,  /* came while its receiver was suspended: see aside.h */
    TRP_MESSAGE_SYSTEM = 128,  /* a QUESTION of lib/sys.c: handled also by one that is suspended */
    TRP_MESSAGE_INNER = 256,   /* from the actor to itself (aside.h): no send makes one */
    TRP_MESSAGE_OPENED = 512,  /* a NOTICE that is handled again: the runtime's part is over */
    TRP_MESSAGE_PRIORITY =
        1024, /* a NOTICE that its receiver wants before the queue: see priority.h */
    TRP_MESSAGE_STAMPED = 2048, /* not opened yet, and it says when it was sent: see stamp.h */
    TRP_MESSAGE_BATCHED = 4096, /* one of several in the hands of a callback: see batch.h */
    TRP_MESSAGE_METERED = 8192, /* its extension has a permit (lib/gate.c), which ends with it */
};

/** Of a message whose block is not ended where it leaves the queue, but kept. */
#define TRP_MESSAGE_ASIDE (TRP_MESSAGE_STASHED | TRP_MESSAGE_WAITING)

/** `block` of a message whose memory came straight from the allocator. */
#define TRP_BLOCK_LARGE 0xff

struct troupe_message {
    struct trp_node node;
    const struct troupe_type *type;
    troupe_pid sender;
    uint32_t size;  /* of the body */
    uint8_t block;  /* pool class, or TRP_BLOCK_LARGE */
    uint8_t kind;   /* enum trp_message_kind */
    uint16_t flags; /* enum trp_message_flag */
};

static_assert(sizeof(struct troupe_message) == 32, "a header is half a cache line");

/** Whether a user sent it: no tick, notice or the like. */
static inline bool trp_message_is_sent(const struct troupe_message *msg)
{
    return msg->kind == TRP_MESSAGE_PLAIN || msg->kind == TRP_MESSAGE_QUESTION ||
           msg->kind == TRP_MESSAGE_AGED;
}

/** How a request is to be treated (lib/call.c).  Its answer has the same flags. */
enum trp_call_flag {
    TRP_CALL_FOREIGN = 1,     /* asked by a foreign thread: see lib/foreign.c */
    TRP_CALL_STEADFAST = 2,   /* handled whoever still waits */
    TRP_CALL_SKIP_ORPHAN = 4, /* not handled if its asker has ended */
    TRP_CALL_HEARD = 8,       /* it was given to a handler */
};

/** Ties a request and its answer to the pending call of whoever asked. */
struct trp_extension {
    void *call;      /* the record, type-stable: see timer.h */
    uint64_t serial; /* which use of the record; another one is a late answer */
    union {
        struct trp_list held; /* of a request that was taken: the list of its holder */
        int32_t status;       /* of an answer: TROUPE_OK, or why there is none */
    };
    uint64_t
        deadline_ms; /* until when what is asked on behalf of this message is wanted; TRP_NEVER */
    uint32_t flags : 4;   /* enum trp_call_flag */
    uint32_t permit : 28; /* of one that is METERED: see lib/gate.c */
    uint32_t stamp_ms;    /* of one that is STAMPED: see stamp.h */
};

static_assert(sizeof(struct trp_extension) == (size_t)TRP_MESSAGE_EXTENDED * 3,
    "trp_message_body() multiplies the flag");

static inline struct trp_extension *trp_message_extension(const struct troupe_message *msg)
{
    return (struct trp_extension *)((char *)(uintptr_t)msg + sizeof(struct troupe_message));
}

static inline void *trp_message_body(const struct troupe_message *msg)
{
    /* Three times the flag's value is the extension's size. */
    return (char *)(uintptr_t)msg + sizeof(struct troupe_message) +
           (size_t)(msg->flags & TRP_MESSAGE_EXTENDED) * 3;
}

static inline struct troupe_message *trp_message_of(struct trp_node *node)
{
    return trp_container_of(node, struct troupe_message, node);
}

/** The kind of `msg`, which somebody sent, when nobody waits for an answer to it. */
static inline uint8_t trp_message_kind_unasked(const struct troupe_message *msg)
{
    return msg->flags & TRP_MESSAGE_METERED ? TRP_MESSAGE_QUESTION : TRP_MESSAGE_PLAIN;
}

/** `msg`, of which nobody has seen the extension, is no request: what stands there says so. */
static inline void trp_message_set_unasked(struct troupe_message *msg, uint64_t deadline_ms)
{
    struct trp_extension *extension = trp_message_extension(msg);

    extension->call = NULL;
    extension->serial = 0;
    extension->deadline_ms = deadline_ms;
    extension->flags = 0;
    trp_list_init(&extension->held);
}

/** The permit of `from` is that of `to`, which has an extension, from here on. */
static inline void trp_message_move_permit(struct troupe_message *from, struct troupe_message *to)
{
    if (from->flags & TRP_MESSAGE_METERED) {
        trp_message_extension(to)->permit = trp_message_extension(from)->permit;
        from->flags &= (uint16_t)~TRP_MESSAGE_METERED;
        to->flags |= TRP_MESSAGE_METERED;
        to->kind = TRP_MESSAGE_QUESTION;
    }
}

/** Whether `msg`, which its user owns, is a request in its holder's list: one that was taken, and not answered, also not
 * with an error that waits in it. */
static inline bool trp_message_is_held(const struct troupe_message *msg)
{
    return (msg->flags & (TRP_MESSAGE_REQUEST | TRP_MESSAGE_REFUSED)) == TRP_MESSAGE_REQUEST;
}

/* While a message is in no queue its `next` is free: there a message that a user owns names its runtime. */

static inline void trp_message_set_runtime(
    struct troupe_message *msg, struct troupe_runtime *runtime)
{
    /* relaxed: the message has one owner. */
    atomic_store_explicit(
        &msg->node.next, (struct trp_node *)(void *)runtime, memory_order_relaxed);
}

static inline struct troupe_runtime *trp_message_runtime(const struct troupe_message *msg)
{
    /* relaxed: as above. */
    return (struct troupe_runtime *)(void *)atomic_load_explicit(
        &msg->node.next, memory_order_relaxed);
}

/** Bytes before the body. */
static inline size_t trp_message_head(uint16_t flags)
{
    return sizeof(struct troupe_message) +
           (flags & TRP_MESSAGE_EXTENDED ? sizeof(struct trp_extension) : 0);
}

/** A message with room for `size` bytes of body, from `pool`; NULL without memory. */
static inline struct troupe_message *trp_message_create(
    struct trp_pool *pool, const struct troupe_type *type, size_t size, uint16_t flags)
{
    size_t whole = trp_message_head(flags) + size;
    struct troupe_message *msg;
    unsigned block = TRP_BLOCK_LARGE;

    if (trp_likely(whole <= TRP_POOL_BLOCK_MAX)) {
        block = trp_pool_class(whole);
        msg = trp_pool_alloc(pool, block);
    } else {
        /* There an extension is nothing, and nobody needs another block for what it would have in one. */
        flags |= TRP_MESSAGE_EXTENDED;
        msg = trp_memory_alloc(pool->memory, trp_message_head(flags) + size, TRP_CACHE_LINE);
    }
    if (trp_unlikely(msg == NULL)) {
        return NULL;
    }
    msg->type = type;
    msg->sender = TROUPE_NOBODY;
    msg->size = (uint32_t)size;
    msg->block = (uint8_t)block;
    msg->kind = TRP_MESSAGE_PLAIN;
    msg->flags = flags;
    return msg;
}

/** Destroys the body, if it is still there.  The block stays. */
static inline void trp_message_empty(struct troupe_message *msg)
{
    if (msg->type->destroy != NULL && (msg->flags & TRP_MESSAGE_EMPTIED) == 0) {
        trp_callouts++;
        msg->type->destroy(trp_message_body(msg));
        trp_callouts--;
    }
    msg->flags |= TRP_MESSAGE_EMPTIED;
}

/** Gives the block of a PLAIN, QUESTION or REPLY message back.  Does not look at the body. */
static inline void trp_message_free(struct trp_pool *pool, struct troupe_message *msg)
{
    if (trp_likely(msg->block != TRP_BLOCK_LARGE)) {
        trp_pool_free(pool, msg, msg->block);
    } else {
        trp_memory_free(pool->memory, msg, trp_message_head(msg->flags) + msg->size);
    }
}

/** What a message weighs in the charge: the bytes of its block. */
static inline uint32_t trp_message_weight(const struct troupe_message *msg)
{
    if (trp_unlikely(msg->block == TRP_BLOCK_LARGE)) {
        return msg->size + 64;
    }
    return trp_pool_size(msg->block);
}

#endif
