/* SPDX-License-Identifier: MIT */
/*
 * lib/link.h - what hooks.c, spawn.c and the supervisor ask of link.c.
 */
#ifndef TRP_LINK_H
#define TRP_LINK_H

#include "core.h"

#include <troupe/link.h>

/* ---- an actor's life: struct trp_hooks in sched/core.h ---- */

/** A message of kind NOTICE was dequeued by `self`. */
int trp_link_open(struct troupe_actor *self, struct troupe_message *msg);

/** Whether a queued NOTICE is an exit signal that would end `self` now. */
bool trp_link_condemns(const struct troupe_actor *self, const struct troupe_message *msg);

/** The block of a message of kind NOTICE is out of every queue. */
void trp_link_retire(struct trp_context *context, struct troupe_message *msg);

/** init of `self` is over: its supervisor, if it has one, is told. */
void trp_link_started(struct troupe_actor *self);

/** Exit steps 8 and 9. */
bool trp_link_notify(
    struct troupe_actor *self, const struct troupe_reason *reason, unsigned budget);

/* ---- spawn.c ---- */

/** As troupe_link() to an actor that was not launched yet: it is there, and not linked. */
TROUPE_CHECKED int trp_link_newborn(struct troupe_actor *self, struct troupe_actor *newborn);

/** As troupe_monitor() of an actor that was not launched yet. */
TROUPE_CHECKED int trp_link_monitor_newborn(
    struct troupe_actor *self, struct troupe_actor *newborn, troupe_ref *out_ref);

/* ---- supervisor ----
 *
 * A *tie* is what a supervisor and one life of a child have: a down notice for the supervisor, an exit signal for the
 * child, and the note that says that the child's init is over; one block, so that a restart needs no other.
 * A tie names its owner, the supervisor's own record, so that a notice leads to it at once.
 */
struct trp_tie;

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

/** The owner of the tie that `msg`, a troupe_down or trp_child_started, belongs to; NULL if that was given up or
 * `msg` belongs to no tie. */
void *trp_tie_owner(const struct troupe_message *msg);

#endif
