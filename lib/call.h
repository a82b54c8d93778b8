/* SPDX-License-Identifier: MIT */
/*
 * lib/call.h - what hooks.c asks of call.c: its part in an actor's life.  The words are those of
 * struct trp_hooks in sched/core.h.
 */
#ifndef TRP_CALL_H
#define TRP_CALL_H

#include "core.h"

/** A message of kind REPLY or TIMEOUT was dequeued by `self`. */
int trp_call_open(struct troupe_actor *self, struct troupe_message *msg);

/** The block of a message of kind TIMEOUT is out of every queue. */
void trp_call_retire(
    struct trp_context *context, struct troupe_actor *self, struct troupe_message *msg);

/** An open request ends without an answer from its receiver. */
void trp_call_bounce(struct trp_context *context, struct troupe_message *request, int status);

/** Exit step 5: every request that `self` holds is answered with TROUPE_EDIED. */
void trp_call_bounce_held(struct troupe_actor *self);

/** Exit step 6: the calls `self` waits for are given up. */
void trp_call_cancel(struct troupe_actor *self);

#endif
