/* SPDX-License-Identifier: MIT */
/*
 * arena.h - memory of one incarnation of an actor, freed whole.
 *
 * Regions that grow (1 KiB, doubling to 64 KiB), from the runtime's memory; an allocation larger than a
 * region gets one of its own.  Only the token holder touches an arena.
 */
#ifndef TRP_ARENA_H
#define TRP_ARENA_H

#include "memory.h"

struct trp_arena {
    struct trp_arena_region *regions; /* newest first */
    size_t used;                      /* bytes of the newest region */
    _Atomic size_t size;              /* of all regions; others look at it */
};

void trp_arena_init(struct trp_arena *arena);

/** `size` bytes, aligned to 16, not initialised; NULL without memory or for 0. */
void *trp_arena_alloc(struct trp_arena *arena, struct trp_memory *memory, size_t size);

/** Frees everything; the arena is empty and may be used again. */
void trp_arena_free(struct trp_arena *arena, struct trp_memory *memory);

/** Bytes of all regions.  Any thread; a moment's view. */
static inline size_t trp_arena_size(const struct trp_arena *arena)
{
    /* relaxed: a number. */
    return atomic_load_explicit(&arena->size, memory_order_relaxed);
}

#endif
