/* SPDX-License-Identifier: MIT */
/*
 * exit.h - the ten steps of dying.  exit.c tells them in order.
 */
#ifndef TRP_EXIT_H
#define TRP_EXIT_H

#include "context.h"

/** Why, and how far, an actor is on its way out.  Lives in the cell's own state, which has been destroyed. */
struct trp_last {
    struct troupe_reason reason;
    uint8_t step;
};

static_assert(sizeof(struct trp_last) <= TRP_STATE_INLINE, "fits where the state was");

/** Notices and messages dealt with in one turn of an exit. */
#define TRP_EXIT_BUDGET 256

/**
 * Begins the exit of the actor whose slice this is.  Takes over the reason's text.
 *
 * A killed actor, and one whose init failed, is not asked to terminate; one whose init was never entered has
 * nothing to destroy.
 */
void trp_exit_begin(
    struct trp_worker *worker, struct troupe_actor *actor, const struct troupe_reason *decided);

enum trp_exit_outcome {
    TRP_EXIT_MORE,    /* the budget is used up: queue the slot again */
    TRP_EXIT_OVER,    /* the token is gone */
    TRP_EXIT_RESTART, /* a new incarnation is to start: queue the slot */
};

/** Goes on with it. */
enum trp_exit_outcome trp_exit_continue(struct trp_context *context, struct troupe_actor *actor);

/** Frees a cell that was spawned and never launched, or gets it there: phase DEAD, watchers told or none. */
void trp_exit_bury(struct trp_context *context, struct troupe_actor *actor);

/** A bundle of cells has come back from its grace period (worker.returned): disposes of messages that raced in, and frees
 * the cells.  Context's owner. */
void trp_exit_take_bundle(struct trp_context *context, struct trp_stack_entry *entry);

/** Sends the context's zombies to their grace period.  `force`: also a few young ones. */
void trp_exit_flush(struct trp_context *context, bool force);

#endif
