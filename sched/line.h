/* SPDX-License-Identifier: MIT */
/*
 * line.h - the line of those that wait for room in a mailbox.
 *
 * Foreign threads and fibers may wait for room, in one line.  A waiter registers (extra->waiters, and the count `waiting`
 * beside the charge), looks once more, and sleeps.  While somebody waits, whoever does not is refused, so nobody barges.
 * The reader, when it has given room back and sees `waiting`, calls the first; that one takes its room, and calls the
 * next if there is more.  No wake-up is lost: a waiter registers, meets the reader (trp_mailbox_meet()), then looks at
 * the room; the reader gives room, parks, then reads `waiting`.  Whoever is second at the mailbox's tail knows what
 * the first did.
 *
 * One waiter, a thread's or a fiber's.  Every arrow is taken under the lock of whom it waits for, so release, time-out,
 * kill and the receiver's end meet there, and one of them comes first:
 *
 *             line_up()                call_first()                  try_as_waiter(): room
 *    OUTSIDE -----------> IN LINE -------------------> CALLED ----------------------------> OUTSIDE, sent
 *                          |   ^                        |  |
 *                          |   +------------------------+  |
 *                          |     line_up(): no room,       |
 *                          |     first in line again       |
 *                          |                               |
 *                          +-------------------------------+--> OUTSIDE, the message is its own again: step_out(), and
 *                             give_up(): time-out, kill         whoever is first now is called
 *
 *    IN LINE ----------------------------> GONE, in no line: its caller is done with it, and nobody else has it
 *             trp_line_release()
 *
 * IN LINE: in extra->waiters.  CALLED: in no list; extra->waiter_called keeps others from being called.  Both are counted
 * in `waiting`.  One that was called while the actor ends finds no actor, and is GONE as well.
 *
 * A thread sleeps on its event; a fiber's actor is signalled, and looks at `called` again between its last look at its queue
 * and its parking, or when it goes on.  Neither needs memory.
 */
#ifndef TRP_LINE_H
#define TRP_LINE_H

#include "context.h"

struct trp_fiber;
struct trp_stake;

/** Calls the first in line, if there is room for it, and lets some go on that are paused (pause.h), if there is enough.  After room was given back: the reader, `parked` if it has parked, for
 * then nothing is queued whatever the charge says; or whoever took its own charge back. */
void trp_line_call(struct trp_context *context, struct troupe_actor *actor, bool parked);

/** A charge was taken back, or not taken after all.  It may be what the first waiter was refused for, or what made the mailbox look full to the reader
 * when it parked: if somebody waits, looks for both. */
void trp_line_look_again(struct trp_context *context, struct troupe_actor *actor);

/** Room that was leased (lease.h) was given back: lets in who waits. */
void trp_line_given_up(struct trp_context *context, struct troupe_actor *actor);

/** The reader of `actor` has given `given` back, as in the charge, and `waiting` was not 0: lets in who waits, puts back the
 * mark of a queue that is not long any more, and looks at its memory and at how full it was. */
void trp_line_made_room(struct trp_context *context, struct troupe_actor *actor, uint64_t given);

/** The reader `self`, which has given back all its room, is about to wait for somebody.  Whoever has a place in its mailbox, or will
 * when those before it in line have had theirs, does not wait for it any more. */
void trp_line_let_be(struct trp_context *context, struct troupe_actor *self);

/** Wakes all that wait: the actor has ended. */
void trp_line_release(struct trp_context *context, struct troupe_actor *actor);

/** The fiber, which waits for room, will be dropped: it leaves the line, and its message, or its lease, ends with it. */
void trp_line_abandon(struct trp_context *context, struct trp_fiber *fiber);

/** The calling thread waits for room for `msg`, for `stake`.  Returns as troupe_send_wait(), and TROUPE_EDEADLK. */
TROUPE_CHECKED int trp_line_sleep(struct troupe_runtime *runtime, const struct trp_stake *stake,
    troupe_pid to, struct troupe_message *msg, int wait_ms);

#endif
