/* SPDX-License-Identifier: MIT */
/*
 * lib/monitor.h - what spawn.c, notice.c and notify.c ask of monitor.c.
 */
#ifndef TRP_MONITOR_H
#define TRP_MONITOR_H

#include "watch.h"

/** As troupe_monitor() of an actor that was not launched yet. */
TROUPE_CHECKED int trp_monitor_newborn(
    struct troupe_actor *self, struct troupe_actor *newborn, troupe_ref *out_ref);

/** As troupe_monitor(), of which `on_exit` is told instead of `receive`. */
TROUPE_CHECKED int trp_monitor_join(struct troupe_actor *self, troupe_pid pid,
    troupe_exit_fn on_exit, void *context, struct trp_join **out_join);

/** Takes such a monitor back, whose block is then gone; false: its notice is queued. */
bool trp_monitor_give_up(struct troupe_actor *self, struct trp_join *join);

/** The notice of a monitor was dequeued by `self`: TRP_OPEN_DELIVER, TROUPE_OK if it was taken back, or what `on_exit`
 * says. */
int trp_monitor_open(struct troupe_actor *self, struct trp_watch *watch);

/** Ends the monitors that `self` made, at most `budget`; what is left of it. */
unsigned trp_monitor_end_all(struct troupe_actor *self, unsigned budget);

#endif
