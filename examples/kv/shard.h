/* SPDX-License-Identifier: MIT */
/*
 * shard.h - the actor that serves one shard, and the messages that it takes.
 *
 * Commands travel in messages, those of one client for one shard that came together in one: all lengths first, then
 * all bytes.  No pointers are in it, so it may be moved.
 */
#ifndef KV_SHARD_H
#define KV_SHARD_H

#include "server.h"

/** Behaviour of a shard; its argument is its struct kv_shard. */
extern const struct troupe_behaviour kv_shard_behaviour;

/** Makes the shards of `server`: keyspaces and all.  KV_ENOMEM: nothing was made. */
int kv_shards_create(struct kv_server *server);

/** Frees them; when no actor runs any more. */
void kv_shards_destroy(struct kv_server *server);

/** Commands to execute, in order; answered with a kv_reply.  See kv_packer_begin(). */
extern const struct troupe_type kv_request;

/** The answer: as many replies, bytes of the Redis protocol.  See kv_replies_next(). */
extern const struct troupe_type kv_reply;

/** Asks for the shard's struct kv_keyspace_numbers. */
extern const struct troupe_type kv_ask_numbers;
extern const struct troupe_type kv_numbers;

/** Crashes the shard: at once if `after` is 0, else at the so many-th visit of `point`.  Answered with a
 * kv_reply before. */
struct kv_crash {
    char point[KV_POINT_MAX];
    uint32_t after;
};
extern const struct troupe_type kv_crash;

/** What one command adds to the body of a request, in bytes. */
size_t kv_packer_size(size_t argc, const struct kv_slice *argv);

/** Bytes of body before the first command. */
#define KV_PACKER_HEAD (3 * sizeof(uint32_t))

/** Writes commands into the body of a request. */
struct kv_packer {
    uint32_t *word;
    char *byte;
};

/** Begins with a body for `count` commands that have `argument_count` arguments in all. */
struct kv_packer kv_packer_begin(void *body, int protocol, uint32_t count, uint32_t argument_count);

/** Adds the next command. */
void kv_packer_add(struct kv_packer *packer, size_t argc, const struct kv_slice *argv);

/** Reads the replies of a kv_reply. */
struct kv_replies {
    uint32_t count; /* still to come */
    const uint32_t *length;
    const char *byte;
};

struct kv_replies kv_replies_of(const struct troupe_message *reply);

/** The next one; `replies->count` was not 0. */
struct kv_slice kv_replies_next(struct kv_replies *replies);

#endif
