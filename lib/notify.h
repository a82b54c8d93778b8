/* SPDX-License-Identifier: MIT */
/*
 * lib/notify.h - what hooks.c asks of notify.c.
 */
#ifndef TRP_NOTIFY_H
#define TRP_NOTIFY_H

#include "core.h"

/** Exit steps 8 and 9: struct trp_hooks.notify in sched/core.h. */
bool trp_notify_watchers(
    struct troupe_actor *self, const struct troupe_reason *reason, unsigned budget);

#endif
