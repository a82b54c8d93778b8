/* SPDX-License-Identifier: MIT */
/*
 * memory.h - all memory of a runtime: the embedder's allocator, counted, limited, and failing on demand.
 */
#ifndef TRP_MEMORY_H
#define TRP_MEMORY_H

#include "base.h"

#include <troupe/runtime.h>

struct trp_memory {
    struct troupe_allocator allocator; /* set once */
    uint64_t limit;                    /* set once */
    _Atomic uint64_t held;             /* any thread */
    _Atomic uint64_t resting;          /* any thread: of `held`, what lies free in pools */
};

/**
 * How near the limit the runtime is.  Each step includes those before it.
 *
 *   below 80 %   all is well
 *   from 80 %    gates let nobody in (lib/gate.c)
 *   from 90 %    charged messages from foreign threads are refused (send.c)
 *   at 100 %     there is no more memory, for whoever asks; what is reserved has its own
 */
enum trp_pressure {
    TRP_PRESSURE_NONE,
    TRP_PRESSURE_GATES,
    TRP_PRESSURE_OUTSIDE,
};

/** Prepares the account; `allocator` NULL is malloc. */
void trp_memory_init(
    struct trp_memory *memory, const struct troupe_allocator *allocator, uint64_t limit);

/** `size` bytes aligned to `align`, not initialised; NULL if there are none.  Any thread. */
void *trp_memory_alloc(struct trp_memory *memory, size_t size, size_t align);

/** Gives `block` of `size` bytes back; NULL does nothing.  Any thread. */
void trp_memory_free(struct trp_memory *memory, void *block, size_t size);

/** `bytes` that are held go to rest in a pool, or come from there (then it is less than 0).  A pool says so when a whole list of
 * blocks does, so nobody pays for a message.  Any thread. */
void trp_memory_rest(struct trp_memory *memory, int64_t bytes);

/** Bytes that are used: what is held, without what rests.  The few blocks that each pool has at hand count as used.  A moment's
 * view; any thread. */
uint64_t trp_memory_used(const struct trp_memory *memory);

/** A moment's view, of two loads; any thread. */
enum trp_pressure trp_memory_pressure(const struct trp_memory *memory);

#endif
