/* SPDX-License-Identifier: MIT */
#include "fiber_stack.h"

#include <string.h>
#include <sys/mman.h>

#include "fiber.h"
#include "poison.h"
#include "seam.h"

/** Of one region.  Many, so that reserving is rare; few, so that a small program reserves little. */
#define REGION_STACKS 64

/* Newer than some headers. */
#define GUARD_INSTALL 102

struct trp_region {
    struct trp_region *next;
    char *base;
    size_t stack_size; /* guard included */
    struct trp_fiber fibers[REGION_STACKS];
};

/* What actor.h promises is that of the largest class. */
#define CLASS_BYTES(class) (((size_t)16384 << (2 * (class))) - 4096)

static_assert(CLASS_BYTES(TRP_STACK_CLASSES - 1) == TROUPE_STACK_MAX, "as actor.h says");
static_assert(CLASS_BYTES(1) == TROUPE_STACK_DEFAULT, "or it takes a larger one");

/* Guard included. */
static size_t size_of(const struct trp_stacks *stacks, unsigned class)
{
    return (CLASS_BYTES(class) + 2 * stacks->page - 1) & ~(stacks->page - 1);
}

unsigned trp_stack_class(size_t size)
{
    unsigned class = 0;

    while (class < TRP_STACK_CLASSES && CLASS_BYTES(class) < size) {
        class ++;
    }
    return class;
}

void trp_stacks_init(struct trp_stacks *stacks, struct trp_memory *memory, size_t page)
{
    trp_assert(page > 0 && (page & (page - 1)) == 0);
    memset(stacks, 0, sizeof *stacks);
    stacks->memory = memory;
    stacks->page = page;
    trp_lock_init(&stacks->lock);
}

void trp_stacks_fini(struct trp_stacks *stacks)
{
    while (stacks->regions != NULL) {
        struct trp_region *region = stacks->regions;
        size_t size = region->stack_size * REGION_STACKS;

        stacks->regions = region->next;
        for (unsigned i = 0; i < REGION_STACKS; i++) {
            trp_fiber_fini(&region->fibers[i]);
        }
        TRP_UNPOISON(region->base, size);
        (void)munmap(region->base, size);
        trp_memory_free(stacks->memory, region, sizeof *region);
    }
    trp_lock_fini(&stacks->lock);
}

/* Makes the lowest page of a stack untouchable. */
static bool guard(char *stack, size_t page)
{
    return madvise(stack, page, GUARD_INSTALL) == 0 || mprotect(stack, page, PROT_NONE) == 0;
}

/* Address space for the stacks of one region, guarded; NULL if there is none. */
static char *reserve(size_t stack_size, size_t page)
{
    size_t size = stack_size * REGION_STACKS;
    char *base;

    if (trp_fault(TRP_FAULT_ALLOC)) {
        return NULL;
    }
    base = mmap(NULL, size, PROT_READ | PROT_WRITE,
        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
    if (base == MAP_FAILED) {
        return NULL;
    }
    /* A huge page would make each stack resident as a whole; refused where there are none. */
    (void)madvise(base, size, MADV_NOHUGEPAGE);
    for (unsigned i = 0; i < REGION_STACKS; i++) {
        if (!guard(base + i * stack_size, page)) {
            (void)munmap(base, size);
            return NULL;
        }
    }
    return base;
}

/* Under lock.  Makes the spare fibers of a class, which has none. */
static bool add_region(struct trp_stacks *stacks, unsigned class)
{
    struct trp_region *region = trp_memory_alloc(stacks->memory, sizeof *region, TRP_CACHE_LINE);

    if (region == NULL) {
        return false;
    }
    region->stack_size = size_of(stacks, class);
    region->base = reserve(region->stack_size, stacks->page);
    if (region->base == NULL) {
        trp_memory_free(stacks->memory, region, sizeof *region);
        return false;
    }
    for (unsigned i = 0; i < REGION_STACKS; i++) {
        struct trp_fiber *fiber = &region->fibers[i];

        trp_fiber_init(fiber, class, region->base + i * region->stack_size + stacks->page,
            region->stack_size - stacks->page);
        fiber->next = stacks->spare[class];
        stacks->spare[class] = fiber;
    }
    region->next = stacks->regions;
    stacks->regions = region;
    return true;
}

struct trp_fiber *trp_stacks_take(struct trp_stacks *stacks, unsigned class)
{
    struct trp_fiber *fiber = NULL;

    trp_lock_take(&stacks->lock);
    if (stacks->spare[class] != NULL || add_region(stacks, class)) {
        fiber = stacks->spare[class];
        stacks->spare[class] = fiber->next;
    }
    trp_lock_give(&stacks->lock);
    return fiber;
}

void trp_stacks_give(struct trp_stacks *stacks, struct trp_fiber *fiber)
{
    trp_fiber_reset(fiber);
    (void)madvise(fiber->stack, fiber->size, MADV_DONTNEED);
    trp_lock_take(&stacks->lock);
    fiber->next = stacks->spare[fiber->class];
    stacks->spare[fiber->class] = fiber;
    trp_lock_give(&stacks->lock);
}
