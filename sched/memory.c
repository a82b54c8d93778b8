/* SPDX-License-Identifier: MIT */
#include "memory.h"

#include "callout.h"
#include "seam.h"

static void *default_allocate(void *context, size_t size, size_t align)
{
    (void)context;
    /* aligned_alloc wants a multiple of the alignment. */
    return aligned_alloc(align, (size + align - 1) & ~(align - 1));
}

static void default_release(void *context, void *memory, size_t size)
{
    (void)context;
    (void)size;
    free(memory);
}

void trp_memory_init(
    struct trp_memory *memory, const struct troupe_allocator *allocator, uint64_t limit)
{
    static const struct troupe_allocator standard = {default_allocate, default_release, NULL};

    memory->allocator = allocator != NULL ? *allocator : standard;
    memory->limit = limit;
    atomic_init(&memory->held, 0);
    atomic_init(&memory->resting, 0);
}

void *trp_memory_alloc(struct trp_memory *memory, size_t size, size_t align)
{
    /* relaxed, here and below: a count; it publishes nothing. */
    uint64_t held = atomic_fetch_add_explicit(&memory->held, size, memory_order_relaxed);
    void *block = NULL;

    /* No object is larger than half of the address space: also keeps the sum from wrapping. */
    if (size <= PTRDIFF_MAX && held + size <= memory->limit && !trp_fault(TRP_FAULT_ALLOC)) {
        trp_callouts++;
        block = memory->allocator.allocate(memory->allocator.context, size, align);
        trp_callouts--;
    }
    if (block == NULL) {
        /* relaxed: a count. */
        atomic_fetch_sub_explicit(&memory->held, size, memory_order_relaxed);
    }
    return block;
}

void trp_memory_free(struct trp_memory *memory, void *block, size_t size)
{
    if (block == NULL) {
        return;
    }
    trp_callouts++;
    memory->allocator.release(memory->allocator.context, block, size);
    trp_callouts--;
    /* relaxed: a count. */
    atomic_fetch_sub_explicit(&memory->held, size, memory_order_relaxed);
}

void trp_memory_rest(struct trp_memory *memory, int64_t bytes)
{
    /* relaxed: a count.  It may be a little below 0 while two pools say what became of the same blocks. */
    atomic_fetch_add_explicit(&memory->resting, (uint64_t)bytes, memory_order_relaxed);
}

uint64_t trp_memory_used(const struct trp_memory *memory)
{
    /* relaxed, both: numbers, of two moments. */
    int64_t used = (int64_t)(atomic_load_explicit(&memory->held, memory_order_relaxed) -
                             atomic_load_explicit(&memory->resting, memory_order_relaxed));

    return used > 0 ? (uint64_t)used : 0;
}

enum trp_pressure trp_memory_pressure(const struct trp_memory *memory)
{
    uint64_t used = trp_memory_used(memory);

    if (used < memory->limit / 10 * 8) {
        return TRP_PRESSURE_NONE;
    }
    return used < memory->limit / 10 * 9 ? TRP_PRESSURE_GATES : TRP_PRESSURE_OUTSIDE;
}
