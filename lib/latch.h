/* SPDX-License-Identifier: MIT */
/*
 * latch.h - a foreign thread waits for what an actor has to say.
 *
 * Two parties hold a latch, the thread that waits and the actor that tells; each drops it once, whenever it is
 * done, and the second one frees it: the thread may give up waiting at any time, the actor may end without a
 * word (its destroy tells and drops).  The latch opens once; what is told later is let go.
 *
 * A latch is a pool block: should its actor never run, because the runtime was never started, it goes with the
 * runtime's pools.
 */
#ifndef TRP_LATCH_H
#define TRP_LATCH_H

#include "core.h"

#include <troupe/supervisor.h>

/** What was told. */
struct trp_outcome {
    int status;
    struct troupe_reason reason; /* owns its text */
    struct troupe_child_answer answer;
};

struct trp_latch;

/** A latch that is shut, held twice.  TROUPE_EINVAL on a worker's thread, which must not wait; TROUPE_ENOMEM. */
TROUPE_CHECKED int trp_latch_create(struct troupe_runtime *runtime, struct trp_latch **out_gate);

/** Opens the latch with `outcome`, whose text it takes over; lets go of the text if it was open before. */
void trp_latch_tell(struct trp_latch *latch, const struct trp_outcome *outcome);

/** Waits until it is open.  The waiting thread gets the text.  TROUPE_ETIMEDOUT. */
TROUPE_CHECKED int trp_latch_wait(
    struct trp_latch *latch, int wait_ms, struct trp_outcome *out_outcome);

/** Gives up one of the two holds. */
void trp_latch_drop(struct trp_latch *latch);

#endif
