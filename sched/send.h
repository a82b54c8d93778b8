/* SPDX-License-Identifier: MIT */
/*
 * send.h - what the reader, and the end, owe those who wait for room.  The ways in are in core.h: trp_send_charged(),
 * trp_send_reserved().
 */
#ifndef TRP_SEND_H
#define TRP_SEND_H

#include "context.h"

struct trp_fiber;

/** Lets those in that wait for room.  After room was given back: the reader, `parked` if it has parked, for
 * then nothing is queued whatever the charge says; or whoever took its own charge back. */
void trp_send_admit(struct trp_context *context, struct troupe_actor *actor, bool parked);

/** The reader `self`, which has given back all its room, is about to wait for somebody.  Whoever has a place in its mailbox, or will
 * when those before it in line have had theirs, does not wait for it any more. */
void trp_send_let_line_be(struct trp_context *context, struct troupe_actor *self);

/** The reader of `actor` has given `given` back, as in the charge, and `waiting` was not 0: lets in who waits, puts back the
 * mark of a queue that is not long any more, and looks at its memory and at how full it was. */
void trp_send_made_room(struct trp_context *context, struct troupe_actor *actor, uint64_t given);

/** Wakes all that wait: the actor has ended. */
void trp_send_release_waiters(struct trp_context *context, struct troupe_actor *actor);

/** The fiber, which waits for room, will be dropped: it leaves the line, and its message ends with it. */
void trp_send_abandon(struct trp_context *context, struct trp_fiber *fiber);

#endif
