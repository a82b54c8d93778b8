/* SPDX-License-Identifier: MIT */
/*
 * policy.c - whether what a behaviour says of its mailbox makes sense.
 */
#include "policy.h"

#include "name_table.h"

#include <troupe/mailbox.h>

/** Far below what makes a difference of stamps wrap. */
#define AGE_MAX_MS (24U * 60 * 60 * 1000)
#define INTERVAL_MAX_MS (60U * 1000)

static const char *batch_complaint(const struct troupe_behaviour *behaviour)
{
    if (behaviour->receive_batch != NULL && (behaviour->receive == NULL || behaviour->may_wait)) {
        return "behaviour: with receive_batch it needs receive, and may not wait";
    }
    if (behaviour->batch_max > TROUPE_BATCH_MAX) {
        return "behaviour: its batch_max is above TROUPE_BATCH_MAX";
    }
    return NULL;
}

/* What has nothing to do with a mailbox that stands on a shelf. */
static const char *shelf_complaint(const struct troupe_behaviour *behaviour)
{
    const struct troupe_overload *overload = behaviour->overload;

    if (overload->policy == TROUPE_OVERLOAD_CONFLATE && overload->key == NULL) {
        return "behaviour: its overload is to conflate, and has no key";
    }
    if (overload->expire_ms > 0 || overload->codel || overload->aged) {
        return "behaviour: its overload drops the oldest, conflates, has lanes or goes by sender, "
               "where no ages are known";
    }
    if (behaviour->receive == NULL || behaviour->may_wait || behaviour->receive_batch != NULL) {
        return "behaviour: its overload drops the oldest, conflates, has lanes or goes by sender, "
               "for a plain receive only";
    }
    return NULL;
}

static const char *lane_complaint(const struct troupe_overload *overload)
{
    if (overload->lanes == 1 || overload->lanes > TROUPE_LANES_MAX) {
        return "behaviour: the lanes of its overload are one, or more than TROUPE_LANES_MAX";
    }
    if ((overload->lanes > 0) != (overload->lane != NULL)) {
        return "behaviour: its overload has lanes without a lane, or a lane without lanes";
    }
    if (overload->lane_burst > 0 && overload->lane_burst < overload->lanes) {
        return "behaviour: the lane_burst of its overload is less than its lanes";
    }
    if (overload->lane_burst > 0 && overload->lanes == 0) {
        return "behaviour: its overload has a lane_burst and no lanes";
    }
    return NULL;
}

/* Who floods would end it, with room left for others. */
static bool is_at_mercy(const struct troupe_overload *overload)
{
    return overload->by_sender && overload->policy == TROUPE_OVERLOAD_EXIT;
}

static bool is_shelved(const struct troupe_overload *overload)
{
    return overload->policy >= TROUPE_OVERLOAD_DROP_OLDEST || overload->lanes > 0 ||
           overload->by_sender;
}

const char *trp_policy_complaint(const struct troupe_behaviour *behaviour)
{
    const struct troupe_overload *overload = behaviour->overload;

    if (overload == NULL) {
        return batch_complaint(behaviour);
    }
    if ((unsigned)overload->policy > TROUPE_OVERLOAD_CONFLATE) {
        return "behaviour: the policy of its overload is none of enum troupe_overload_policy";
    }
    if (overload->policy == TROUPE_OVERLOAD_TRANSFORM && overload->transform == NULL) {
        return "behaviour: its overload is to transform, and has no transform";
    }
    if (overload->redirect != NULL && !trp_name_is_valid(overload->redirect)) {
        return "behaviour: its overload redirects to what is no valid name";
    }
    if (overload->margin > TROUPE_CAPACITY_MAX / 4) {
        return "behaviour: the margin of its overload is above TROUPE_CAPACITY_MAX / 4";
    }
    if (overload->expire_ms > AGE_MAX_MS) {
        return "behaviour: the expire_ms of its overload is above a day";
    }
    if (overload->codel_target_ms > INTERVAL_MAX_MS ||
        overload->codel_interval_ms > INTERVAL_MAX_MS) {
        return "behaviour: target or interval of its codel is above a minute";
    }
    if (lane_complaint(overload) != NULL) {
        return lane_complaint(overload);
    }
    if (is_at_mercy(overload)) {
        return "behaviour: its overload exits and goes by sender, so that any one of them could "
               "end it";
    }
    return is_shelved(overload) ? shelf_complaint(behaviour) : batch_complaint(behaviour);
}
