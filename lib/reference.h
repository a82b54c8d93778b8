/* SPDX-License-Identifier: MIT */
/*
 * lib/reference.h - what spawn.c and hooks.c ask of reference.c.
 */
#ifndef TRP_REFERENCE_H
#define TRP_REFERENCE_H

#include "watch.h"

/** The first strong reference to an actor that was not launched yet.  TROUPE_ENOMEM. */
TROUPE_CHECKED int trp_reference_newborn(struct trp_context *context, struct troupe_actor *newborn,
    struct troupe_reference **out_reference);

/** Takes it back: the newborn is given up. */
void trp_reference_forget(struct trp_context *context, struct troupe_actor *newborn);

/** One strong reference less, from inside a context. */
void trp_reference_release(struct trp_context *context, struct troupe_reference *reference);

/** The end of `self` is decided: struct trp_hooks.ending in sched/core.h. */
void trp_reference_close(struct troupe_actor *self);

#endif
