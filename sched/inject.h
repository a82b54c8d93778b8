/* SPDX-License-Identifier: MIT */
/*
 * inject.h - run slots that did not come from the worker that will run them: from foreign threads, and from a
 * run queue that was full.
 *
 * One to eight shards, each liburcu's wfcqueue: pushing is wait-free; taking happens under a try-lock, with
 * the calls that do not block (the others sleep 10 ms when a push is half done).  A pusher stays with its
 * shard; a worker looks into all, starting at its own.
 */
#ifndef TRP_INJECT_H
#define TRP_INJECT_H

#include "base.h"
#include "lock.h"

#define TRP_INJECT_SHARDS 8

struct troupe_actor;

struct trp_inject_shard {
    alignas(128) void *head[2]; /* takers, under lock: struct __cds_wfcq_head */
    struct trp_lock lock;
    alignas(128) void *tail[1]; /* any thread: struct cds_wfcq_tail */
};

struct trp_inject {
    unsigned count; /* set once */
    struct trp_inject_shard shards[TRP_INJECT_SHARDS];
};

void trp_inject_init(struct trp_inject *inject, unsigned shards);
void trp_inject_fini(struct trp_inject *inject);

/** Appends `actor`, whose token the caller gives away.  Any thread; wait-free.  The push is done before anything
 * the caller looks at afterwards (PAIR park.publish). */
void trp_inject_push(struct trp_inject *inject, unsigned shard, struct troupe_actor *actor);

/** Takes up to `most` into `out`, from `shard` or the ones after it; how many.  Never waits: another taker or a
 * half-done push makes it return what it has. */
unsigned trp_inject_take(
    struct trp_inject *inject, unsigned shard, struct troupe_actor **out, unsigned most);

/** As the last look before sleeping: in one total order with every push (PAIR park.publish). */
bool trp_inject_is_empty(struct trp_inject *inject);

#endif
