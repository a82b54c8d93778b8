/* SPDX-License-Identifier: MIT */
/*
 * stash.c - the stash as a user sees it.  What it is made of is in sched/aside.c.
 */
#include "core.h"

#include <troupe/stash.h>

int troupe_stash(struct troupe_actor *self, struct troupe_message *msg)
{
    TRP_INSIDE(self);
    return trp_actor_is_mine(self) ? trp_aside_stash(self, msg) : TROUPE_EINVAL;
}

int troupe_unstash(struct troupe_actor *self)
{
    TRP_INSIDE(self);
    return trp_actor_is_mine(self) ? (int)trp_aside_unstash(self) : TROUPE_EINVAL;
}

uint32_t troupe_stash_length(struct troupe_actor *self)
{
    TRP_INSIDE(self);
    return trp_actor_is_mine(self) ? trp_aside_stashed(self) : 0;
}
