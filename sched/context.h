/* SPDX-License-Identifier: MIT */
/*
 * context.h - whoever acts: a worker, or a foreign thread for the length of one call.
 *
 * A context has a pool, counters and a stock of free cells that nobody else touches.  A worker is one; for
 * foreign threads there are a few shards, each under a lock that is held while its context is in use.
 */
#ifndef TRP_CONTEXT_H
#define TRP_CONTEXT_H

#include "actor.h"
#include "lock.h"
#include "pool.h"

#include <troupe/overload.h>

/* Written by their context alone, read by whoever asks for the books: relaxed, they publish nothing, but for `exited`. */
struct trp_counters {
    _Atomic uint64_t sent, handled, refused, shed, dead, bounced;
    _Atomic uint64_t unknown, late, skipped, spawned, exited, failures, restarts;
    _Atomic uint64_t slices, steals, parks, wakes;
    _Atomic uint64_t sheds[TROUPE_SHED_KINDS];
};

/** Adds to a counter of one's own context. */
static inline void trp_count(_Atomic uint64_t *counter, uint64_t more)
{
    /* relaxed: written by us alone, and a number to those who read it. */
    atomic_store_explicit(
        counter, atomic_load_explicit(counter, memory_order_relaxed) + more, memory_order_relaxed);
}

/** Counts an end: whoever sees it sees that actor's spawn counted too, and all that it spawned. */
static inline void trp_count_exited(struct trp_counters *counters)
{
    /* relaxed: written by us alone. */
    uint64_t exited = atomic_load_explicit(&counters->exited, memory_order_relaxed);

    /* release: what was counted before.  PAIR books.exited: add_counters(). */
    atomic_store_explicit(&counters->exited, exited + 1, memory_order_release);
}

/** Free cells, oldest first, so that a slot rests as long as possible before it is used again. */
struct trp_cells {
    struct troupe_actor *first;
    struct troupe_actor *last;
    uint32_t count;
    struct troupe_actor *segment; /* being cut up */
    uint32_t segment_left;
};

/** Cells of actors that ended here, on their way to one common grace period. */
struct trp_zombies {
    struct troupe_actor *first;
    struct troupe_actor *last;
    uint32_t count;
    uint64_t since_ns; /* when the first one came */
};

struct trp_context {
    struct troupe_runtime *runtime; /* set once */
    struct trp_worker *worker;      /* set once; NULL for a shard of foreign threads */
    struct troupe_actor *current;   /* whose slice runs here */
    bool queues; /* set once: what it makes runnable goes into its worker's queue, not to all */
    struct trp_pool pool;
    uint64_t edges; /* number of the last record that was opened here: see pressure.h */
    struct trp_cells cells;
    struct trp_zombies zombies;
    struct trp_counters counters;
};

/** A context for foreign threads. */
struct trp_shard {
    alignas(128) struct trp_lock lock;
    struct trp_context context; /* under lock */
    struct trp_shard *outer; /* under lock: that its holder had locked before, of another runtime */
};

/** What trp_context_enter() has to undo. */
struct trp_visit {
    struct trp_context *context;
    struct trp_shard *shard; /* NULL on a worker of this runtime, and inside another visit */
    bool was_offline;
};

/**
 * The calling thread's context in `runtime`: its worker's, or a shard that stays locked until
 * trp_context_leave().  Enters a read section as well.  Visits nest: a body's `destroy`, or a report, may call us again.
 * TROUPE_EFORKED, TROUPE_EINVAL for NULL.
 */
TROUPE_CHECKED int trp_context_enter(struct troupe_runtime *runtime, struct trp_visit *out_visit);

void trp_context_leave(struct trp_visit *visit);

/** Which of the shards this thread uses from now on, modulo their number: of threads of our own, whose runs must be the same
 * for the same seed.  Others take them in turn. */
void trp_context_prefer(unsigned shard);

#endif
