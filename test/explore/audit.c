/* SPDX-License-Identifier: MIT */
/*
 * audit.c - takes the order of one access after the other away, and says whether a scenario misses it.
 *
 * What is not missed is no proof that it is not needed: the scenarios may not come to where it matters, and stores that
 * would be seen in another order are out of reach (atomic.c).  It is a question to whoever wrote the order.
 */
#include <stdatomic.h>

#include "test/explore/engine.h"

#define ACCESSES_MAX 512

static bool has_order(const struct explore_access *access)
{
    return access->order != memory_order_relaxed && access->operation <= EXPLORE_FENCE &&
           explore_site_at(access->pc)->is_ours;
}

/* All accesses with an order in `part`'s scenarios, but those of the scenarios themselves and of other libraries. */
static unsigned list_accesses(
    const struct explore_part *part, uint64_t seed, struct explore_access *out)
{
    struct explore_access passed[ACCESSES_MAX];
    unsigned count = 0;

    for (unsigned i = 0; i < part->scenario_count; i++) {
        struct explore_bounds bounds = {.deviations = 1, .random = 500, .seed = seed};
        struct explore_result result;
        unsigned found;

        explore_search(&part->scenarios[i], &bounds, &result);
        found = explore_plant_accesses(passed, ACCESSES_MAX);
        for (unsigned p = 0; p < found && count < ACCESSES_MAX; p++) {
            bool known = !has_order(&passed[p]);

            for (unsigned c = 0; c < count; c++) {
                known = known || out[c].pc == passed[p].pc;
            }
            if (!known) {
                out[count++] = passed[p];
            }
        }
    }
    return count;
}

static bool is_missed(const struct explore_part *part, const struct explore_bounds *bounds,
    struct explore_result *out_result)
{
    for (unsigned i = 0; i < part->scenario_count; i++) {
        explore_search(&part->scenarios[i], bounds, out_result);
        if (out_result->failed) {
            return true;
        }
    }
    return false;
}

void explore_audit(const struct explore_part *part, const struct explore_bounds *bounds)
{
    struct explore_access accesses[ACCESSES_MAX];
    unsigned count = list_accesses(part, bounds->seed, accesses);

    for (unsigned i = 0; i < count; i++) {
        const struct explore_site *site = explore_site_at(accesses[i].pc);
        struct explore_result result;
        bool missed;

        explore_plant_relax(&accesses[i]);
        missed = is_missed(part, bounds, &result);
        explore_plant_relax(NULL);
        printf("%s: %s:%d %s: %s %s: %s\n", part->name, site->file, site->line, site->function,
            explore_operation_name(accesses[i].operation), explore_order_name(accesses[i].order),
            missed ? result.what : "not missed");
        fflush(stdout);
    }
}
