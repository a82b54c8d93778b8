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

/** A name that is taken for an actor that is about to have it. */
struct trp_entry;

/** Who has the name, or TROUPE_NOBODY.  Under reclaim. */
troupe_pid trp_registry_whereis(const struct troupe_runtime *runtime, const char *name);

/**
 * Takes the valid name `text`, for an actor of `behaviour` that may not have been made yet.  Ends with commit or
 * cancel.  Under reclaim.
 *
 * Errors   TROUPE_EEXIST  *out_holder has it; TROUPE_NOBODY: it is reserved
 *          TROUPE_ELIMIT, TROUPE_ENOMEM
 */
TROUPE_CHECKED int trp_registry_reserve(struct troupe_runtime *runtime, const char *text,
    const char *behaviour, troupe_pid *out_holder, struct trp_entry **out_entry);

/** Gives it to `actor`, whose token the caller holds and which has an extra block: it leads there from now on. */
void trp_registry_commit(struct trp_entry *entry, struct troupe_actor *actor);

/** Gives it up; NULL does nothing. */
void trp_registry_cancel(struct trp_entry *entry);

/** Frees names of `actor`, at most `budget`; what is left of that.  Its token's holder, under reclaim. */
unsigned trp_registry_release(struct troupe_actor *actor, unsigned budget);

/** The name that `actor` got first, or NULL.  Good while it keeps it.  Its token's holder. */
const char *trp_registry_name_of(struct troupe_actor *actor);

/** Copies the oldest name into `out`, of TROUPE_NAME_MAX + 1 bytes; "" if there is none.  Under the lock of `extra`. */
void trp_registry_copy_name(struct trp_extra *extra, char *out);

#endif
