/* SPDX-License-Identifier: MIT */
/* fence.c - a grace period that an actor can look at. */
#include "fence.h"

struct trp_fence {
    struct trp_reclaim reclaim;
    struct trp_memory *memory; /* set once */
    _Atomic uint32_t holds;    /* any thread */
};

void trp_fence_drop(struct trp_fence *fence)
{
    /* acq_rel: the last one frees it when the other is done.  PAIR fence.holds: itself. */
    if (fence != NULL && atomic_fetch_sub_explicit(&fence->holds, 1, memory_order_acq_rel) == 1) {
        trp_memory_free(fence->memory, fence, sizeof *fence);
    }
}

static void fence_done(struct trp_reclaim *reclaim)
{
    trp_fence_drop(trp_container_of(reclaim, struct trp_fence, reclaim));
}

struct trp_fence *trp_fence_begin(struct trp_memory *memory)
{
    struct trp_fence *fence = trp_memory_alloc(memory, sizeof *fence, alignof(struct trp_fence));

    if (fence == NULL) {
        return NULL;
    }
    fence->memory = memory;
    atomic_init(&fence->holds, 2);
    trp_reclaim_later(&fence->reclaim, fence_done);
    return fence;
}

bool trp_fence_is_over(const struct trp_fence *fence)
{
    /* acquire: what readers did in their sections comes before.  PAIR fence.holds: acq_rel in trp_fence_drop(). */
    return atomic_load_explicit(&fence->holds, memory_order_acquire) == 1;
}
