/* SPDX-License-Identifier: MIT */
/*
 * shard.h - the actor that serves one shard, and the messages that it takes.
 *
 * A command travels as one message: its arguments behind one another, lengths first.  No pointers are in it,
 * so it may be moved.
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

/** A command to execute; answered with a kv_reply.  See kv_shard_pack(). */
extern const struct troupe_type kv_request;

/** The answer: bytes of the Redis protocol. */
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

/** Bytes of body for a command. */
size_t kv_shard_pack_size(size_t argc, const struct kv_slice *argv);

/** Writes a command into a body of that size; `protocol` is 2 or 3. */
void kv_shard_pack(int protocol, size_t argc, const struct kv_slice *argv, void *out_body);

#endif
