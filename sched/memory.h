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
};

/** Prepares the account; `allocator` NULL is malloc. */
void trp_memory_init(
    struct trp_memory *memory, const struct troupe_allocator *allocator, uint64_t limit);

/** `size` bytes aligned to `align`, not initialised; NULL if there are none.  Any thread. */
void *trp_memory_alloc(struct trp_memory *memory, size_t size, size_t align);

/** Gives `block` of `size` bytes back; NULL does nothing.  Any thread. */
void trp_memory_free(struct trp_memory *memory, void *block, size_t size);

#endif
