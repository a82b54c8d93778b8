/* SPDX-License-Identifier: MIT */
/*
 * lib/notice.h - what hooks.c asks of notice.c: struct trp_hooks in sched/core.h.
 */
#ifndef TRP_NOTICE_H
#define TRP_NOTICE_H

#include "watch.h"

/** A message of kind NOTICE was dequeued by `self`. */
int trp_notice_open(struct troupe_actor *self, struct troupe_message *msg);

/** Whether a queued NOTICE is an exit signal that would end `self` now. */
bool trp_notice_condemns(const struct troupe_actor *self, const struct troupe_message *msg);

/** Whether a dequeued NOTICE is heeded by `self` though it is suspended. */
bool trp_notice_commands(const struct troupe_actor *self, const struct troupe_message *msg);

#endif
