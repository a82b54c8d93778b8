/* SPDX-License-Identifier: MIT */
/* intensity.c - restart intensity: see intensity.h. */
#include "intensity.h"

void trp_intensity_init(
    struct trp_intensity *intensity, uint64_t *times, uint32_t limit, uint64_t period_ns)
{
    *intensity = (struct trp_intensity){.times = times, .limit = limit, .period_ns = period_ns};
}

/* Forgets what is older than a period. */
static void forget(struct trp_intensity *intensity, uint64_t now_ns)
{
    while (intensity->count > 0 &&
           now_ns - intensity->times[intensity->first] > intensity->period_ns) {
        intensity->first = intensity->first == intensity->limit ? 0 : intensity->first + 1;
        intensity->count--;
    }
}

bool trp_intensity_charge(struct trp_intensity *intensity, uint64_t now_ns)
{
    uint64_t size = trp_intensity_entries(intensity->limit);

    forget(intensity, now_ns);
    if (intensity->count == size) {
        /* Asked again after it said no: the oldest gives way. */
        intensity->first = intensity->first == intensity->limit ? 0 : intensity->first + 1;
        intensity->count--;
    }
    intensity->times[(intensity->first + (uint64_t)intensity->count) % size] = now_ns;
    intensity->count++;
    return intensity->count > intensity->limit;
}
