/* SPDX-License-Identifier: MIT */
/*
 * tally.h - how many messages an actor handles, of those of which somebody wants to know it.
 *
 * An actor that is tallied has another `receive` in its cell, which counts and calls the one that was there; a main counts
 * what it receives.  So those that are not tallied pay nothing.  The count is of one life: its end hands it over in the
 * tie to the supervisor.
 */
#ifndef TRP_TALLY_H
#define TRP_TALLY_H

#include "core.h"

/** From its init on what `actor` handles is counted.  Its token's holder, before it runs; it has an extra block. */
void trp_tally_begin(struct troupe_actor *actor);

/** init of `self` is over. */
void trp_tally_started(struct troupe_actor *self);

/** A main has received a message. */
void trp_tally_note(struct troupe_actor *self);

/** How many `pid` has handled in this life so far; 0 for one that is not tallied, or gone.  Any thread, under reclaim. */
uint64_t trp_tally_of(struct troupe_runtime *runtime, troupe_pid pid);

/** Ends the count of a life: how many it was.  The token's holder. */
uint64_t trp_tally_end(struct trp_extra *extra);

#endif
