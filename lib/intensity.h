/* SPDX-License-Identifier: MIT */
/*
 * intensity.h - restart intensity: at most so many restarts in a period.
 *
 * One sliding window for all children of a supervisor: a ring of the times of the last attempts.  An attempt
 * that is exactly a period old still counts, one that is older does not.  The ring holds one more than the
 * intensity, which is as many as are ever looked at.
 */
#ifndef TRP_INTENSITY_H
#define TRP_INTENSITY_H

#include "base.h"

struct trp_intensity {
    uint64_t *times; /* ring of limit + 1, the caller's memory */
    uint32_t limit;  /* so many attempts are tolerated */
    uint32_t first;  /* the oldest */
    uint32_t count;  /* at most limit + 1 */
    uint64_t period_ns;
};

/** Entries that the memory for `times` must have. */
static inline size_t trp_intensity_entries(uint32_t limit)
{
    return (size_t)limit + 1;
}

void trp_intensity_init(
    struct trp_intensity *intensity, uint64_t *times, uint32_t limit, uint64_t period_ns);

/** Notes an attempt at `now_ns`, not before the last one; whether it is one too many. */
TROUPE_CHECKED bool trp_intensity_charge(struct trp_intensity *intensity, uint64_t now_ns);

#endif
