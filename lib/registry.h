/* SPDX-License-Identifier: MIT */
/*
 * lib/registry.h - what the rest of lib asks of registry.c.
 */
#ifndef TRP_REGISTRY_H
#define TRP_REGISTRY_H

#include "core.h"

#include <troupe/registry.h>

/** Makes the table of names of `runtime`.  TROUPE_ENOMEM. */
TROUPE_CHECKED int trp_registry_create(struct troupe_runtime *runtime);

/** Frees it, with the names that are left: no actor runs any more. */
void trp_registry_destroy(struct troupe_runtime *runtime);

/**
 * Gives `actor`, whose token the caller holds, a name.  Under reclaim.  Errors as troupe_register(); a NULL
 * name is TROUPE_EINVAL.
 */
TROUPE_CHECKED int trp_registry_claim(struct troupe_actor *actor, const char *name);

/** Frees all names of `actor`.  Its token's holder, under reclaim. */
void trp_registry_release(struct troupe_actor *actor);

/** The name that `actor` got first, or NULL.  Good while it keeps it.  Its token's holder. */
const char *trp_registry_name_of(struct troupe_actor *actor);

/** Whether `name` may be registered at all: not NULL, not empty, not too long. */
bool trp_registry_is_name(const char *name);

#endif
