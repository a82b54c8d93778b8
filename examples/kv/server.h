/* SPDX-License-Identifier: MIT */
/*
 * server.h - what main, the shards and the connections of troupe-kv share.
 *
 *                        kv                       one_for_one
 *        ________________|______________________
 *       |          |             |              |
 *     gate      shards        listener       herald          says that the server is ready, and ends
 *             one_for_one        |
 *              0 1 2 .. n-1   a connection per client
 *
 * The gate is what requests to shards pass (troupe/gate.h): whoever is not let in is told so at once, "-BUSY".  Its actor
 * makes it, and ends.
 *
 * One server a process.  main makes it before the runtime starts and frees it after the runtime has gone, so
 * every actor may look at it, whichever of its lives it is in.
 */
#ifndef KV_SERVER_H
#define KV_SERVER_H

#include <stdatomic.h>

#include <troupe.h>

#include "command.h"

/** Longest name of a place where a shard can be made to crash, with its NUL. */
#define KV_POINT_MAX 32

/** Most commands in one message to a shard. */
#define KV_BATCH_MAX 64

/** How long a connection waits for a shard. */
#define KV_REQUEST_MS 10000

/** One shard: what outlives its actor.  Only the actor that runs touches what is not atomic. */
struct kv_shard {
    uint32_t index;
    struct kv_memory memory; /* its hooks, which crash on demand */
    struct kv_keyspace *keyspace;
    struct kv_bytes reply;     /* of the commands being executed */
    _Atomic troupe_pid pid;    /* written by the actor's init, read by connections */
    _Atomic uint64_t restarts; /* lives after the first */
    bool has_lived;

    struct troupe_actor *self;   /* while one of its callbacks runs */
    char crash_at[KV_POINT_MAX]; /* name of a place, or "*" for any */
    uint32_t crash_after;        /* at the so many-th visit; 0: not at all */
};

struct kv_server {
    /* Set once. */
    const char *host;
    uint16_t port;
    uint32_t worker_count;
    uint32_t shard_count;
    uint32_t client_max;
    uint32_t request_max; /* in the works at a time */
    uint32_t
        wait_max_ms; /* that requests wait for their shards before some are refused; 0: any time */
    int64_t started_ms; /* by kv_now_ms() */
    struct kv_shard *shards;

    /* Made by kv_gate_behaviour, before there are connections; NULL: everybody is let in. */
    struct troupe_gate *gate;

    /* Any connection. */
    _Atomic uint64_t command_count;

    uint16_t bound_port; /* written by the listener */
};

/** gate.c: makes the gate of the struct kv_server that is its argument, and ends. */
extern const struct troupe_behaviour kv_gate_behaviour;

/** Milliseconds since 1970, a little late (the clock's tick): nothing expires early. */
int64_t kv_now_ms(void);

#endif
