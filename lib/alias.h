/* SPDX-License-Identifier: MIT */
/*
 * lib/alias.h - what monitor.c, watch.c, notify.c and the hooks ask of alias.c.
 */
#ifndef TRP_ALIAS_H
#define TRP_ALIAS_H

#include "watch.h"

#include <troupe/alias.h>

/** Makes an alias of `self`.  `monitor`: that it goes with, which gets its number; or NULL.  TROUPE_ELIMIT, TROUPE_ENOMEM. */
TROUPE_CHECKED int trp_alias_new(struct troupe_actor *self, enum troupe_alias_mode mode,
    unsigned flags, struct trp_aliased *monitor, troupe_pid *out_alias);

/** The alias of `self` with this number ends, if it stands. */
bool trp_alias_end(struct troupe_actor *self, uint32_t number);

/** Whether there is one whose monitor is over and not taken out. */
static inline bool trp_alias_has_answered(const struct trp_extra *extra)
{
    /* relaxed: one that comes just now is found the next time. */
    return atomic_load_explicit(&extra->answered, memory_order_relaxed) != NULL;
}

/** A monitor whose alias was answered through, to be taken out by the caller, its watcher.  There is one. */
struct trp_aliased *trp_alias_take_answered(struct troupe_actor *self);

/** A notice is about to be sent to `watcher`: ends the alias that ends with it.  False: its monitor ended before. */
bool trp_alias_admits(
    struct trp_context *context, struct troupe_actor *watcher, struct trp_notice *notice);

/** For the end of `self`, to which no alias leads any more: frees at most so many.  What is left of the budget. */
unsigned trp_alias_end_all(struct troupe_actor *self, unsigned budget);

/** The hooks. */
bool trp_alias_find(struct trp_extra *extra, troupe_pid alias, struct trp_passage *out_passage);
void trp_alias_spend(struct trp_extra *extra, struct trp_passage *passage);
void trp_alias_follow(struct trp_context *context, const struct trp_passage *passage);

#endif
