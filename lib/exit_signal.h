/* SPDX-License-Identifier: MIT */
/*
 * lib/exit_signal.h - what notice.c asks of exit_signal.c: what an exit signal does to whom it reaches.
 */
#ifndef TRP_EXIT_SIGNAL_H
#define TRP_EXIT_SIGNAL_H

#include "watch.h"

/** Whether an exit signal ends one that does not trap: not with reason normal, unless it is its own, or an order. */
bool trp_exit_signal_is_deadly(const struct troupe_actor *self, const struct trp_notice *notice);

/** Makes `watch`, which is of kind SENT, an order to `actor`: to end when it comes to it. */
void trp_exit_signal_write_order(struct trp_watch *watch, const struct troupe_actor *actor);

/** Whether a server, or another behaviour of ours, obeys it though it traps exits: it is its parent's, the runtime's that
 * stops, or a foreign thread's. */
bool trp_exit_signal_is_command(
    const struct troupe_actor *self, const struct troupe_exited *exited);

/** Whether a signal that was sent by itself was sent to this incarnation. */
bool trp_exit_signal_is_meant_for(const struct trp_watch *watch, const struct troupe_actor *self);

/**
 * Dismisses `pid`: an order, of `from`, with reason shutdown.  If requests that `pid` took are open when it has handled what is queued
 * before, or answers or jobs that it waits for are still to come, it has no effect, and trp_exit_signal_is_deferred() says
 * that it is to be sent again.
 *
 * Errors   TROUPE_EGONE   also of one that is ending, or between two lives
 *          TROUPE_ENOMEM
 */
TROUPE_CHECKED int trp_exit_signal_dismiss(
    struct trp_context *context, troupe_pid from, troupe_pid pid);

/** Whether a dismissal had no effect on `pid`; asked once, it says so once.  Any thread, under reclaim. */
bool trp_exit_signal_is_deferred(struct troupe_runtime *runtime, troupe_pid pid);

/** Whether a signal that was sent by itself still counts, and, if it is a dismissal, finds nothing open. */
bool trp_exit_signal_has_its_turn(const struct trp_watch *watch, struct troupe_actor *self);

/** An exit signal has reached `self`: delivered, without effect, or its end. */
int trp_exit_signal_open(struct troupe_actor *self, struct trp_notice *notice);

#endif
