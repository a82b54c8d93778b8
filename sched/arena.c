/* SPDX-License-Identifier: MIT */
/*
 * arena.c - see arena.h.
 *
 * Memory is cut from the front of the newest region.  When it has no room left the next one is twice as
 * large, or larger if that is what one allocation needs, up to REGION_MAX.  What is larger still gets a region
 * behind the newest, which goes on being used.
 */
#include "arena.h"

#include "poison.h"

enum {
    REGION_MIN = 1024,
    REGION_MAX = 64 * 1024,
    ALIGN = 16,
};

struct trp_arena_region {
    struct trp_arena_region *next; /* older */
    size_t size;                   /* with this header */
};

static_assert(sizeof(struct trp_arena_region) % ALIGN == 0, "what follows a header is aligned");

/* Nobody can have that much, and sums with it do not overflow. */
static const size_t size_max = SIZE_MAX / 4;

static struct trp_arena_region *create_region(struct trp_memory *memory, size_t size)
{
    struct trp_arena_region *region = trp_memory_alloc(memory, size, ALIGN);

    if (region != NULL) {
        region->next = NULL;
        region->size = size;
        TRP_POISON(region + 1, size - sizeof(*region));
    }
    return region;
}

/* The arena has so many bytes more. */
static void account(struct trp_arena *arena, size_t size)
{
    /* relaxed: a number, which only we write. */
    atomic_store_explicit(&arena->size, trp_arena_size(arena) + size, memory_order_relaxed);
}

/* Puts a region behind the newest; in an empty arena it is the newest, and full. */
static void *alloc_alone(struct trp_arena *arena, struct trp_memory *memory, size_t need)
{
    struct trp_arena_region *region = create_region(memory, sizeof(*region) + need);

    if (region == NULL) {
        return NULL;
    }
    account(arena, region->size);
    if (arena->regions == NULL) {
        arena->regions = region;
        arena->used = region->size;
    } else {
        region->next = arena->regions->next;
        arena->regions->next = region;
    }
    return region + 1;
}

/* How large the next region is, so that `need` bytes fit, which are not too many. */
static size_t next_size(const struct trp_arena *arena, size_t need)
{
    size_t size = REGION_MIN;

    /* A region above the maximum stands alone; there was no other before it. */
    if (arena->regions != NULL && arena->regions->size <= REGION_MAX) {
        size = arena->regions->size * 2;
    }
    while (size < need) {
        size *= 2;
    }
    return size < REGION_MAX ? size : REGION_MAX;
}

static bool grow(struct trp_arena *arena, struct trp_memory *memory, size_t need)
{
    struct trp_arena_region *region = create_region(memory, next_size(arena, need));

    if (region == NULL) {
        return false;
    }
    account(arena, region->size);
    region->next = arena->regions;
    arena->regions = region;
    arena->used = sizeof(*region);
    return true;
}

void trp_arena_init(struct trp_arena *arena)
{
    arena->regions = NULL;
    arena->used = 0;
    /* relaxed: a number. */
    atomic_store_explicit(&arena->size, 0, memory_order_relaxed);
}

void *trp_arena_alloc(struct trp_arena *arena, struct trp_memory *memory, size_t size)
{
    size_t need = (size + ALIGN - 1) & ~(size_t)(ALIGN - 1);
    char *place;

    if (size == 0 || size > size_max) {
        return NULL;
    }
    if (arena->regions == NULL || arena->regions->size - arena->used < need) {
        size_t with_header = sizeof(struct trp_arena_region) + need;

        if (with_header > REGION_MAX) {
            place = alloc_alone(arena, memory, need);
            if (place != NULL) {
                TRP_UNPOISON(place, size);
            }
            return place;
        }
        if (!grow(arena, memory, with_header)) {
            return NULL;
        }
    }
    place = (char *)arena->regions + arena->used;
    arena->used += need;
    TRP_UNPOISON(place, size);
    return place;
}

void trp_arena_free(struct trp_arena *arena, struct trp_memory *memory)
{
    struct trp_arena_region *region = arena->regions;

    while (region != NULL) {
        struct trp_arena_region *next = region->next;

        TRP_UNPOISON(region, region->size);
        trp_memory_free(memory, region, region->size);
        region = next;
    }
    trp_arena_init(arena);
}
