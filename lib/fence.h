/* SPDX-License-Identifier: MIT */
/*
 * fence.h - a grace period that an actor can look at: whether everybody who was inside a read section when it began has
 * left it since.
 *
 * A block with two holders, whoever looks and reclaim.h; the second one to let go frees it.
 */
#ifndef TRP_FENCE_H
#define TRP_FENCE_H

#include "core.h"

struct trp_fence;

/** Begins a grace period; NULL without memory.  Under reclaim. */
struct trp_fence *trp_fence_begin(struct trp_memory *memory);

/** Whether it is over. */
bool trp_fence_is_over(const struct trp_fence *fence);

/** Lets it go, over or not.  NULL does nothing. */
void trp_fence_drop(struct trp_fence *fence);

#endif
