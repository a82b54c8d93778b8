/* SPDX-License-Identifier: MIT */
/*
 * intensity.h - restart intensity: at most so many restarts in a period.
 *
 * One sliding window for all children of a supervisor: a ring of the times of the last attempts, as many as are
 * tolerated.  An attempt is one too many if that many came before it and the oldest of them is within the period; no
 * other one need be looked at, so a charge is O(1) whatever the intensity.  An attempt that is exactly a period old still
 * counts, one that is older does not.
 */
#ifndef TRP_INTENSITY_H
#define TRP_INTENSITY_H

#include "base.h"

struct trp_intensity {
    uint64_t *times; /* ring of `limit`, the caller's memory */
    uint32_t limit;  /* so many attempts are tolerated */
    uint32_t next;   /* written next; when all are in use, the oldest */
    uint32_t count;  /* in use */
    uint64_t period_ns;
};

/** Entries that the memory for `times` must have: one at least, so that there is some. */
static inline size_t trp_intensity_entries(uint32_t limit)
{
    return limit == 0 ? 1 : limit;
}

void trp_intensity_init(
    struct trp_intensity *intensity, uint64_t *times, uint32_t limit, uint64_t period_ns);

/** Notes an attempt at `now_ns`, not before the last one; whether it is one too many. */
TROUPE_CHECKED bool trp_intensity_charge(struct trp_intensity *intensity, uint64_t now_ns);

#endif
