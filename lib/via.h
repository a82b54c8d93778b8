/* SPDX-License-Identifier: MIT */
/*
 * lib/via.h - names that an actor has in registries of the user's: what spawn.c, life.c and hooks.c ask of via.c.
 */
#ifndef TRP_VIA_H
#define TRP_VIA_H

#include "core.h"

#include <troupe/registry.h>

/** Whether `via` has what is required. */
bool trp_via_is_valid(const struct troupe_via *via);

/** Gives `actor`, whose token the caller holds, the valid name `name` in `via`.  What its `enter` says; TROUPE_ENOMEM. */
TROUPE_CHECKED int trp_via_enter(struct trp_context *context, struct troupe_actor *actor,
    const struct troupe_via *via, const char *name);

/** Takes names of `actor` back, at most `budget`; what is left of that.  Its token's holder. */
unsigned trp_via_release(struct troupe_actor *actor, unsigned budget);

#endif
