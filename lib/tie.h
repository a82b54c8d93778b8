/* SPDX-License-Identifier: MIT */
/*
 * lib/tie.h - what a supervisor and one life of a child have.
 *
 * A *tie* is what a supervisor and one life of a child have: a down notice for the supervisor, an exit signal for the
 * child, and the note that says that the child's init is over; one block, so that a restart needs no other.
 * A tie names its owner, the supervisor's own record, so that a notice leads to it at once.
 */
#ifndef TRP_TIE_H
#define TRP_TIE_H

#include "watch.h"

/* ---- the supervisor ---- */

/** Body of the note that a child's init is over.  Sent to its supervisor only. */
extern const struct troupe_type trp_child_started;

/** A tie in nobody's use; NULL without memory.  Its maker holds it until trp_tie_free(). */
struct trp_tie *trp_tie_new(struct trp_context *context);

/** Gives the maker's hold up: notices that are still on their way are dropped when they arrive.  The tie may be
 * in use; NULL does nothing. */
void trp_tie_free(struct trp_context *context, struct trp_tie *tie);

/** Forgets the owner: notices that are still on their way are dropped when they arrive. */
void trp_tie_disown(struct trp_tie *tie);

/** Whether all its notices have come back, so that it may be used again. */
bool trp_tie_is_idle(const struct trp_tie *tie);

/**
 * Ties `child`, which is not running (just spawned, or RESTARTING), to `self`.
 *
 * Errors   TROUPE_ENOMEM; the tie is idle
 */
TROUPE_CHECKED int trp_tie_bind(
    struct troupe_actor *self, struct troupe_actor *child, struct trp_tie *tie, void *owner);

/** Undoes trp_tie_bind() before the child ran. */
void trp_tie_unbind(struct troupe_actor *self, struct troupe_actor *child, struct trp_tie *tie);

/** Tells the supervisor of `self` that it has started.  Done after init, but for a supervisor, which calls this when
 * its children have started. */
void trp_tie_announce(struct troupe_actor *self);

/** How many messages the life handled that `tie` told the end of, if it was tallied. */
uint64_t trp_tie_handled(const struct trp_tie *tie);

/** The owner of the tie that `msg`, a troupe_down or trp_child_started, belongs to; NULL if that was given up or
 * `msg` belongs to no tie. */
void *trp_tie_owner(const struct troupe_message *msg);

/* ---- notice.c, notify.c ---- */

/** A notice of a tie was dequeued: the supervisor is told if it still cares. */
int trp_tie_open(struct trp_notice *notice);

/** init of `self` is over: its supervisor, if it has one, is told. */
void trp_tie_started(struct troupe_actor *self);

/** The note of `extra` that was not sent, if there is one, will not be: init failed. */
void trp_tie_drop_note(struct trp_context *context, struct trp_extra *extra);

#endif
