/* SPDX-License-Identifier: MIT */
/*
 * pool.h - blocks in size classes, taken and given in 2 ns.
 *
 * Each worker has a pool; foreign threads share some under a lock (context.h).  A pool has lists of
 * free blocks per class and nobody else touches them.  Blocks are cut from slabs of 64 KiB, aligned to their
 * size, whose header names the pool that owns them; a block given to another pool is used there, and when that
 * pool has too many it sends those it has had longest home, sorted into chains, one push each.
 *
 * Slabs live as long as the runtime.  A class that is *stable* never serves as another class, so a
 * pointer into it may be read when stale, to find that a serial number has moved on.
 *
 * Blocks are aligned to 64 bytes.  While a block is free its first TRP_POOL_LINKS bytes are the pool's; the
 * others are poisoned under the address sanitizer, unless the class is stable.
 *
 *              alloc free trim   inbox push (another pool's free)
 *   alloc        X    X    X         -           X never overlap: one thread, or under a lock
 *   free         X    X    X         -           - may overlap
 */
#ifndef TRP_POOL_H
#define TRP_POOL_H

#include "base.h"
#include "memory.h"
#include "poison.h"
#include "stack.h"

/** Classes: 64 128 192 256 384 512 1024 2048 4096, and one of 256 bytes that is stable. */
#define TRP_POOL_CLASSES 10
#define TRP_POOL_STABLE 9
#define TRP_POOL_BLOCK_MAX 4096

/** A pool keeps at most so many free blocks of a class that may be other pools'. */
#define TRP_POOL_CACHE 256

/** So many bytes at the start of a free block are the pool's. */
#define TRP_POOL_LINKS 16

struct trp_block {
    struct trp_block *next;
};

/* `free` and `older` hold blocks of any pool, each up to half of TRP_POOL_CACHE.  When `free` is full it
 * becomes `older`, and what was `older` is sorted: own blocks go to `home`, the others to their pools. */
struct trp_pool_list {
    struct trp_block *free;  /* owner: newest first */
    uint32_t count;          /* owner: of `free` */
    uint32_t older_count;    /* owner */
    struct trp_block *older; /* owner */
    struct trp_chain *home;  /* owner: chains of own blocks */
    char *uncut;             /* owner: the rest of the newest slab */
    char *uncut_end;         /* owner */
};

struct trp_pool {
    struct trp_pool_list lists[TRP_POOL_CLASSES];   /* owner */
    struct trp_memory *memory;                      /* set once */
    struct trp_slab *slabs;                         /* owner: all slabs of this pool */
    alignas(TRP_CACHE_LINE) struct trp_stack inbox; /* any thread pushes, the owner takes all */
};

extern const uint16_t trp_pool_sizes[TRP_POOL_CLASSES];

/* By size in cache lines, rounded up. */
extern const uint8_t trp_pool_classes[TRP_POOL_BLOCK_MAX / TRP_CACHE_LINE + 1];

static inline uint32_t trp_pool_size(unsigned class)
{
    return trp_pool_sizes[class];
}

/** The smallest class (not the stable one) for `size` bytes, which is at most TRP_POOL_BLOCK_MAX. */
static inline unsigned trp_pool_class(size_t size)
{
    trp_assert(size <= TRP_POOL_BLOCK_MAX);
    return trp_pool_classes[(size + TRP_CACHE_LINE - 1) / TRP_CACHE_LINE];
}

void trp_pool_init(struct trp_pool *pool, struct trp_memory *memory);

/** Frees all slabs: when no block of any pool of this runtime is used any more. */
void trp_pool_fini(struct trp_pool *pool);

/** The way round an empty list: blocks put aside, the inbox, own blocks, else a new slab.  NULL without
 * memory. */
void *trp_pool_refill(struct trp_pool *pool, unsigned class);

/** Puts a full list aside; sends what was there home. */
void trp_pool_spill(struct trp_pool *pool, unsigned class);

/** The address sanitizer is told that a block is used, or free.  Nothing without it. */
static inline void trp_pool_unpoison(void *block, unsigned class)
{
    TRP_UNPOISON(block, trp_pool_size(class));
}

static inline void trp_pool_poison(void *block, unsigned class)
{
    if (class != TRP_POOL_STABLE) {
        TRP_POISON((char *)block + TRP_POOL_LINKS, trp_pool_size(class) - TRP_POOL_LINKS);
    }
}

/** The next block of a list that has one. */
static inline void *trp_pool_pop(struct trp_pool_list *list, unsigned class)
{
    struct trp_block *block = list->free;

    list->free = block->next;
    list->count--;
    trp_pool_unpoison(block, class);
    return block;
}

/** A block of `class`, or NULL without memory.  A stable class keeps what stood in the block beyond the
 * first TRP_POOL_LINKS bytes; all of it was zero when the block was cut. */
static inline void *trp_pool_alloc(struct trp_pool *pool, unsigned class)
{
    struct trp_pool_list *list = &pool->lists[class];

    if (trp_unlikely(list->free == NULL)) {
        return trp_pool_refill(pool, class);
    }
    return trp_pool_pop(list, class);
}

/** Gives a block back, whichever pool of the same runtime it came from. */
static inline void trp_pool_free(struct trp_pool *pool, void *memory, unsigned class)
{
    struct trp_pool_list *list = &pool->lists[class];
    struct trp_block *block = memory;

    block->next = list->free;
    list->free = block;
    trp_pool_poison(block, class);
    if (trp_unlikely(++list->count == TRP_POOL_CACHE / 2)) {
        trp_pool_spill(pool, class);
    }
}

/** Before its worker sleeps: takes the inbox in and sends blocks of other pools home. */
void trp_pool_trim(struct trp_pool *pool);

/** Checks the pool's invariants; for tests, by whoever may call trp_pool_trim(). */
void trp_pool_check(struct trp_pool *pool);

#endif
