/* SPDX-License-Identifier: MIT */
/* intensity.c - restart intensity: see intensity.h. */
#include "intensity.h"

void trp_intensity_init(
    struct trp_intensity *intensity, uint64_t *times, uint32_t limit, uint64_t period_ns)
{
    *intensity = (struct trp_intensity){.times = times, .limit = limit, .period_ns = period_ns};
}

bool trp_intensity_charge(struct trp_intensity *intensity, uint64_t now_ns)
{
    bool is_full = intensity->count == intensity->limit;
    bool is_too_many =
        is_full && (intensity->limit == 0 ||
                       now_ns - intensity->times[intensity->next] <= intensity->period_ns);

    if (intensity->limit > 0) {
        intensity->times[intensity->next] = now_ns;
        intensity->next = intensity->next + 1 == intensity->limit ? 0 : intensity->next + 1;
    }
    intensity->count += is_full ? 0 : 1;
    return is_too_many;
}
