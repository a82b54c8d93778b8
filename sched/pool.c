/* SPDX-License-Identifier: MIT */
/*
 * pool.c - the ways round a pool's lists.  See pool.h.
 *
 * Blocks travel in chains of one class and one owner.  A chain is linked through its first block, so that
 * it goes into an inbox, or on the list of own chains, in one step however long it is:
 *
 *     block 0: entry | rest+count --> block 1: next --> block 2: next --> NULL
 *
 * Blocks are aligned to 64, so the low bits of `rest` say how many blocks there are.  The chain's class is
 * that of its slab.
 *
 * What came home last is used first: it is still in a cache.  With own chains first a one-way stream went
 * round all memory that the pool ever had, 75 ns a block instead of 6.  Placing the slabs' headers in different
 * cache sets was tried, and made no difference that could be measured.
 *
 * A list is never walked twice for the same frees: blocks of this pool leave `older` for `home`, and come
 * back a chain at a time.  So a pool that frees a million of its own looks at each once.
 */
#include "pool.h"

#include <string.h>

enum {
    SLAB_SIZE = 64 * 1024,
    CHAIN_MAX = TRP_CACHE_LINE - 1, /* what the low bits of an address can count */
    OWNERS_MAX = 16,                /* chains under construction */
    CUT_BYTES_MAX = 4096,           /* a slab is cut a page at a time, so that no more is touched */
    CUT_BLOCKS_MAX = 16,
};

struct trp_slab {
    alignas(TRP_CACHE_LINE) struct trp_pool *pool; /* set once */
    struct trp_slab *next;                         /* the owner's list, set once */
    unsigned class;                                /* set once */
};

static_assert(sizeof(struct trp_slab) == TRP_CACHE_LINE, "blocks after the header are aligned");

struct trp_chain {
    struct trp_stack_entry entry; /* of an inbox, or of a pool's list of own chains */
    uintptr_t rest;               /* the second block, plus the number of blocks */
};

static_assert(sizeof(struct trp_chain) <= TRP_POOL_LINKS, "the rest of a free block is left alone");

/* Sorts blocks by owner.  With more owners than places, chains are given away before they are full. */
struct sorter {
    struct trp_pool *pool; /* who sorts */
    unsigned class;
    unsigned used;
    unsigned victim;
    struct {
        struct trp_pool *owner;
        struct trp_block *first;
        unsigned count;
    } places[OWNERS_MAX];
};

const uint16_t trp_pool_sizes[TRP_POOL_CLASSES] = {
    64, 128, 192, 256, 384, 512, 1024, 2048, 4096, 256};

const uint8_t trp_pool_classes[TRP_POOL_BLOCK_MAX / TRP_CACHE_LINE + 1] = {
    [0 ... 1] = 0,
    [2] = 1,
    [3] = 2,
    [4] = 3,
    [5 ... 6] = 4,
    [7 ... 8] = 5,
    [9 ... 16] = 6,
    [17 ... 32] = 7,
    [33 ... 64] = 8,
};

static struct trp_slab *slab_of(void *block)
{
    return (struct trp_slab *)(void *)((char *)block - ((uintptr_t)block & (SLAB_SIZE - 1)));
}

static unsigned chain_count(const struct trp_chain *chain)
{
    return chain->rest & CHAIN_MAX;
}

/* Makes blocks linked by `next` a chain. */
static struct trp_chain *chain_of(struct trp_block *first, unsigned count)
{
    struct trp_block *rest = first->next;
    struct trp_chain *chain = (struct trp_chain *)(void *)first;

    chain->rest = (uintptr_t)rest | count;
    return chain;
}

/* Makes a chain blocks linked by `next` again. */
static struct trp_block *blocks_of(struct trp_chain *chain)
{
    struct trp_block *first = (struct trp_block *)(void *)chain;

    first->next = (struct trp_block *)(chain->rest & ~(uintptr_t)CHAIN_MAX);
    return first;
}

static void push_home(struct trp_pool_list *list, struct trp_chain *chain)
{
    chain->entry.next = list->home == NULL ? NULL : &list->home->entry;
    list->home = chain;
}

static struct trp_chain *pop_home(struct trp_pool_list *list)
{
    struct trp_chain *chain = list->home;
    struct trp_stack_entry *next = chain->entry.next;

    list->home = next == NULL ? NULL : trp_container_of(next, struct trp_chain, entry);
    return chain;
}

static void take_inbox(struct trp_pool *pool)
{
    struct trp_stack_entry *entry;

    if (trp_stack_is_empty(&pool->inbox)) {
        return;
    }
    entry = trp_stack_take(&pool->inbox);
    while (entry != NULL) {
        struct trp_stack_entry *next = entry->next;
        struct trp_chain *chain = trp_container_of(entry, struct trp_chain, entry);

        push_home(&pool->lists[slab_of(chain)->class], chain);
        entry = next;
    }
}

/* Sends the chain in a place to its owner and leaves the place without blocks. */
static void give_chain(struct sorter *sorter, unsigned place)
{
    struct trp_pool *owner = sorter->places[place].owner;
    struct trp_chain *chain = chain_of(sorter->places[place].first, sorter->places[place].count);

    trp_memory_rest(owner->memory,
        (int64_t)trp_pool_size(sorter->class) * (int64_t)sorter->places[place].count);
    if (owner == sorter->pool) {
        push_home(&owner->lists[sorter->class], chain);
    } else {
        trp_stack_push(&owner->inbox, &chain->entry);
    }
    sorter->places[place].first = NULL;
    sorter->places[place].count = 0;
}

static unsigned find_place(struct sorter *sorter, struct trp_pool *owner)
{
    unsigned place;

    for (place = 0; place < sorter->used; place++) {
        if (sorter->places[place].owner == owner) {
            return place;
        }
    }
    if (place < OWNERS_MAX) {
        sorter->used++;
    } else {
        place = sorter->victim++ % OWNERS_MAX;
        if (sorter->places[place].count > 0) {
            give_chain(sorter, place);
        }
    }
    sorter->places[place].owner = owner;
    sorter->places[place].first = NULL;
    sorter->places[place].count = 0;
    return place;
}

/* Sends blocks linked by `next` to their owners, us among them. */
static void send_home(struct trp_pool *pool, unsigned class, struct trp_block *block)
{
    struct sorter sorter;

    sorter.pool = pool;
    sorter.class = class;
    sorter.used = 0;
    sorter.victim = 0;
    while (block != NULL) {
        struct trp_block *next = block->next;
        struct trp_slab *slab = slab_of(block);
        unsigned place = find_place(&sorter, slab->pool);

        trp_assert(slab->class == class);
        block->next = sorter.places[place].first;
        sorter.places[place].first = block;
        if (++sorter.places[place].count == CHAIN_MAX) {
            give_chain(&sorter, place);
        }
        block = next;
    }
    for (unsigned place = 0; place < sorter.used; place++) {
        if (sorter.places[place].count > 0) {
            give_chain(&sorter, place);
        }
    }
}

/* A new slab to cut blocks of `class` from. */
static bool add_slab(struct trp_pool *pool, unsigned class)
{
    struct trp_pool_list *list = &pool->lists[class];
    struct trp_slab *slab = trp_memory_alloc(pool->memory, SLAB_SIZE, SLAB_SIZE);

    if (slab == NULL) {
        return false;
    }
    /* What was left of the one before is too little for a block. */
    trp_memory_rest(
        pool->memory, SLAB_SIZE - (int64_t)sizeof *slab - (list->uncut_end - list->uncut));
    slab->pool = pool;
    slab->next = pool->slabs;
    slab->class = class;
    pool->slabs = slab;
    list->uncut = (char *)(slab + 1);
    list->uncut_end = (char *)slab + SLAB_SIZE;
    return true;
}

/* Cuts some blocks from the newest slab; they are used in the order of their addresses. */
static bool cut(struct trp_pool *pool, unsigned class)
{
    struct trp_pool_list *list = &pool->lists[class];
    size_t size = trp_pool_size(class);
    struct trp_block **link = &list->free;
    unsigned count = 0;

    if ((size_t)(list->uncut_end - list->uncut) < size && !add_slab(pool, class)) {
        return false;
    }
    do {
        struct trp_block *block = (struct trp_block *)(void *)list->uncut;

        if (class == TRP_POOL_STABLE) {
            memset(block, 0, size);
        }
        trp_pool_poison(block, class);
        *link = block;
        link = &block->next;
        list->uncut += size;
        count++;
    } while (count < CUT_BLOCKS_MAX && (count + 1) * size <= CUT_BYTES_MAX &&
             (size_t)(list->uncut_end - list->uncut) >= size);
    *link = NULL;
    list->count = count;
    trp_memory_rest(pool->memory, -(int64_t)(size * count));
    return true;
}

/* Makes one of our own chains the list: one that came home lately, if there is one. */
static bool take_chain(struct trp_pool *pool, unsigned class)
{
    struct trp_pool_list *list = &pool->lists[class];

    take_inbox(pool);
    if (list->home == NULL) {
        return false;
    }
    list->count = chain_count(list->home);
    list->free = blocks_of(pop_home(list));
    trp_memory_rest(pool->memory, -(int64_t)trp_pool_size(class) * (int64_t)list->count);
    return true;
}

void trp_pool_init(struct trp_pool *pool, struct trp_memory *memory)
{
    for (unsigned c = 0; c < TRP_POOL_CLASSES; c++) {
        pool->lists[c] = (struct trp_pool_list){0};
    }
    pool->memory = memory;
    pool->slabs = NULL;
    trp_stack_init(&pool->inbox);
}

void trp_pool_fini(struct trp_pool *pool)
{
    struct trp_slab *slab = pool->slabs;

    while (slab != NULL) {
        struct trp_slab *next = slab->next;

        TRP_UNPOISON(slab, SLAB_SIZE);
        trp_memory_free(pool->memory, slab, SLAB_SIZE);
        slab = next;
    }
    trp_pool_init(pool, pool->memory);
}

void *trp_pool_refill(struct trp_pool *pool, unsigned class)
{
    struct trp_pool_list *list = &pool->lists[class];

    if (list->older != NULL) {
        list->free = list->older;
        list->count = list->older_count;
        list->older = NULL;
        list->older_count = 0;
    } else if (!take_chain(pool, class) && !cut(pool, class)) {
        return NULL;
    }
    return trp_pool_pop(list, class);
}

void trp_pool_spill(struct trp_pool *pool, unsigned class)
{
    struct trp_pool_list *list = &pool->lists[class];
    struct trp_block *older = list->older;

    list->older = list->free;
    list->older_count = list->count;
    list->free = NULL;
    list->count = 0;
    send_home(pool, class, older);
}

void trp_pool_trim(struct trp_pool *pool)
{
    take_inbox(pool);
    for (unsigned c = 0; c < TRP_POOL_CLASSES; c++) {
        struct trp_pool_list *list = &pool->lists[c];

        send_home(pool, c, list->older);
        send_home(pool, c, list->free);
        list->older = NULL;
        list->older_count = 0;
        list->free = NULL;
        list->count = 0;
    }
}

static void check_blocks(struct trp_block *block, unsigned class, unsigned count)
{
    for (; block != NULL; block = block->next) {
        trp_assert((uintptr_t)block % TRP_CACHE_LINE == 0);
        trp_assert(slab_of(block)->class == class);
        trp_assert(count > 0);
        count--;
    }
    trp_assert(count == 0);
}

static void check_home(struct trp_pool *pool, unsigned class)
{
    struct trp_stack_entry *entry = &pool->lists[class].home->entry;

    while (entry != NULL) {
        struct trp_chain *chain = trp_container_of(entry, struct trp_chain, entry);
        struct trp_block *rest = (struct trp_block *)(chain->rest & ~(uintptr_t)CHAIN_MAX);

        trp_assert(slab_of(chain)->pool == pool);
        trp_assert(slab_of(chain)->class == class);
        check_blocks(rest, class, chain_count(chain) - 1);
        for (; rest != NULL; rest = rest->next) {
            trp_assert(slab_of(rest)->pool == pool);
        }
        entry = entry->next;
    }
}

void trp_pool_check(struct trp_pool *pool)
{
    for (unsigned c = 0; c < TRP_POOL_CLASSES; c++) {
        struct trp_pool_list *list = &pool->lists[c];

        trp_assert(list->count < TRP_POOL_CACHE / 2);
        trp_assert(list->older_count <= TRP_POOL_CACHE / 2);
        check_blocks(list->free, c, list->count);
        check_blocks(list->older, c, list->older_count);
        if (list->home != NULL) {
            check_home(pool, c);
        }
    }
}
