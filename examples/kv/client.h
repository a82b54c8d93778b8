/* SPDX-License-Identifier: MIT */
/*
 * client.h - one client of the server: what a connection actor remembers between two commands.
 *
 * Commands are answered in the order in which they came, though shards answer in any.  So each command that cannot
 * be answered at once has a place in a ring; replies that come early wait there.
 *
 *         first                                    next
 *           | waiting | replied | waiting | replied |
 *
 * A place is named by a ticket, the low bits of its number: it stays the same when the ring grows, which it does
 * from nothing to KV_PLACES, the most requests that a connection has in flight.
 */
#ifndef KV_CLIENT_H
#define KV_CLIENT_H

#include "shard.h"

/** Places of the ring; a power of two. */
#define KV_PLACES 64

/** The protocol that connections of the server speak; the listener's `arg` is the struct kv_server. */
extern const struct troupe_protocol kv_protocol;

/** What gathers the parts of an answer. */
struct kv_gather {
    /** Frees it, whole or not. */
    void (*destroy)(struct kv_gather *gather);
};

struct kv_place {
    bool replied;
    bool chained; /* `next` was sent in the same message */
    uint32_t next;
    struct kv_bytes reply;    /* once replied */
    struct kv_gather *gather; /* or NULL */
};

/** A request that was refused for want of room, and is to be sent again before anything else. */
struct kv_stuck {
    struct kv_stuck *next;
    struct troupe_message *message; /* or NULL: a command in parts */
    uint32_t shard;
    uint32_t ticket;
};

/** Commands of one key that came together, before they are sent.  Their bytes are the parser's. */
struct kv_stage {
    uint32_t count;
    uint32_t slice_count;
    size_t bytes;
    struct kv_staged {
        uint32_t ticket;
        uint32_t shard; /* or KV_STAGED_SENT */
        uint32_t argc;
        uint32_t first; /* of its arguments in `slices` */
    } commands[KV_BATCH_MAX];
    struct kv_slice slices[KV_BATCH_MAX * 4];
};

#define KV_STAGED_SENT UINT32_MAX

struct kv_client {
    struct kv_server *server;
    struct troupe_connection *connection;
    struct kv_command_session session;
    struct kv_resp parser;
    struct kv_bytes answer; /* of a command answered at once; empty between commands */

    struct kv_place *ring;
    uint32_t ring_size; /* 0 or a power of two */
    uint32_t first;     /* number of the oldest place */
    uint32_t next;      /* number of the place to be given out next */

    uint32_t asked;         /* requests on their way */
    bool ending;            /* closes when the ring is empty */
    bool retrying;          /* a tick will try again what is stuck */
    struct kv_stuck *stuck; /* oldest first */
};

/** The client of a connection. */
static inline struct kv_client *kv_client_of(struct troupe_connection *connection)
{
    return troupe_connection_state(connection);
}

/** A place at the end of the ring; *out_ticket names it.  Counts as a request in flight.  KV_ENOMEM. */
int kv_client_begin(struct kv_client *client, uint32_t *out_ticket);

/** The place of a ticket. */
struct kv_place *kv_client_place(struct kv_client *client, uint32_t ticket);

/**
 * The reply of a place: goes out when all before it have.  Frees the place's gather.
 *
 * Returns what a continuation returns
 */
int kv_client_reply(
    struct troupe_actor *self, struct kv_client *client, uint32_t ticket, struct kv_slice reply);

/** The place is answered with what is wrong with its shard. */
int kv_client_reply_failure(struct troupe_actor *self, struct kv_client *client, uint32_t ticket,
    uint32_t shard, int error);

/** What to answer, as "-BUSY ...", if the gate let a command not in, with `error`. */
void kv_client_put_busy(struct kv_bytes *out, int error);

/** What to answer, as "-ERR ...", if a shard's outcome was `status`. */
void kv_client_put_failure(struct kv_bytes *out, uint32_t shard, int status);

/*
 * Commands whose answer is gathered.  Each begins its requests and calls kv_client_reply() in the end.  A negative
 * return: the place has been replied to, or the actor has to fail with it.
 */

/** spread.c: a command in parts, for several shards.  `argv` as long as the client is stuck. */
int kv_spread_begin(struct troupe_actor *self, struct kv_client *client, uint32_t ticket,
    const struct kv_command *command, size_t argc, const struct kv_slice *argv);

/** Sends the parts that have not been sent; TROUPE_EFULL: a shard has no room. */
int kv_spread_resume(struct troupe_actor *self, struct kv_client *client, uint32_t ticket);

/** info.c: INFO. */
int kv_info_begin(struct troupe_actor *self, struct kv_client *client, uint32_t ticket, size_t argc,
    const struct kv_slice *argv);

/** tree.c: TROUPE.TREE. */
int kv_tree_begin(struct troupe_actor *self, struct kv_client *client, uint32_t ticket);

/** crash.c: TROUPE.CRASH. */
int kv_crash_begin(struct troupe_actor *self, struct kv_client *client, uint32_t ticket,
    size_t argc, const struct kv_slice *argv);

/*
 * batch.c: requests to shards.
 */

/** Adds a command of one key to those that are sent together by kv_batch_flush(). */
int kv_batch_add(struct troupe_actor *self, struct kv_client *client, struct kv_stage *stage,
    uint32_t ticket, uint32_t shard, size_t argc, const struct kv_slice *argv);

/** Sends all that is staged, one message to each shard.  What is refused is stuck. */
int kv_batch_flush(struct troupe_actor *self, struct kv_client *client, struct kv_stage *stage);

/** Asks the gate for what weighs `bytes`.  Errors: see kv_client_put_busy(). */
int kv_batch_enter(const struct kv_client *client, size_t bytes, struct troupe_permit *out_permit);

/** Sends one command to a shard, with a permit or {0}, which is taken over in any case.  Errors: see
 * kv_client_put_failure(). */
int kv_batch_ask(struct troupe_actor *self, struct kv_client *client, uint32_t shard, size_t argc,
    const struct kv_slice *argv, struct troupe_permit permit, troupe_reply_fn on_reply,
    void *context);

/** Remembers a request, or with NULL a command in parts, to be sent when there is room. */
int kv_batch_hold(struct troupe_actor *self, struct kv_client *client,
    struct troupe_message *message, uint32_t shard, uint32_t ticket);

/** Forgets what is stuck. */
void kv_batch_drop(struct kv_client *client);

/** The context of a continuation: a ticket, and a number beside it. */
static inline void *kv_client_context(uint32_t ticket, uint32_t number)
{
    return (void *)(uintptr_t)(ticket | (uintptr_t)number * KV_PLACES);
}

static inline uint32_t kv_client_context_ticket(const void *context)
{
    return (uint32_t)((uintptr_t)context % KV_PLACES);
}

static inline uint32_t kv_client_context_number(const void *context)
{
    return (uint32_t)((uintptr_t)context / KV_PLACES);
}

/** A tick that tries again what is stuck. */
extern const struct troupe_type kv_retry;

/**
 * To be called at the end of every continuation: what is stuck is tried again, now, or if no reply is due in a
 * moment.  Returns as a continuation.
 */
int kv_batch_settle(struct troupe_actor *self, struct kv_client *client);

#endif
