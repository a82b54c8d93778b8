/* SPDX-License-Identifier: MIT */
/*
 * shorthand.h - behaviours of children that are specified by a main function alone.
 *
 * A behaviour must outlive every actor that has it, and whoever looks at its name, also the watchdog and the user's
 * report callback.  A child spec may go at any time, so such behaviours are the runtime's: one for each function and id,
 * made when it is first needed, kept until the runtime is destroyed.  So that children who are started under ever new
 * ids do not fill the memory, so many are named after their ids; those that come later share one for each function.
 */
#ifndef TRP_SHORTHAND_H
#define TRP_SHORTHAND_H

#include "core.h"

/** So many behaviours are named after an id. */
#define TRP_SHORTHANDS_MAX 4096

/** The name of those beyond. */
#define TRP_SHORTHAND_NAME "main"

/** Makes the table of `runtime`.  TROUPE_ENOMEM. */
TROUPE_CHECKED int trp_shorthand_create(struct troupe_runtime *runtime);

/** Frees it with all behaviours: no actor is left. */
void trp_shorthand_destroy(struct troupe_runtime *runtime);

/** The behaviour of a child `id` with this `main`: takes a lock.  Good as long as the runtime.  TROUPE_ENOMEM. */
TROUPE_CHECKED int trp_shorthand_of(struct troupe_runtime *runtime, troupe_main_fn main,
    const char *id, const struct troupe_behaviour **out_behaviour);

#endif
