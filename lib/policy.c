/* SPDX-License-Identifier: MIT */
/*
 * policy.c - whether what a behaviour says of its mailbox makes sense.
 */
#include "policy.h"

#include "name_table.h"

#include <troupe/mailbox.h>

const char *trp_policy_complaint(const struct troupe_behaviour *behaviour)
{
    const struct troupe_overload *overload = behaviour->overload;

    if (overload == NULL) {
        return NULL;
    }
    if ((unsigned)overload->policy > TROUPE_OVERLOAD_EXIT) {
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
    return NULL;
}
