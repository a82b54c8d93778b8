/* SPDX-License-Identifier: MIT */
/*
 * stash.h - putting messages aside until the actor is ready for them.
 *
 * An actor that cannot handle a message yet (it waits for a connection, an answer) stashes it, and unstashes all
 * when it can.  Nothing is copied; a stashed request still waits for its answer.
 *
 * A stashed message counts as queued in the books, but not against the mailbox, whose room it has given back:
 * limits.actor_stash bounds the stash.  When the actor ends, what it stashed ends as what is queued does: requests are
 * answered with TROUPE_EDIED, the rest is counted as dead.  One that keeps its address over a restart begins its next
 * life with what it had stashed, then what it had unstashed and not handled, before its queue; timer ticks and notices
 * belong to the life that ended, and go with it.
 */
#ifndef TROUPE_STASH_H
#define TROUPE_STASH_H

#include "troupe/message.h"

TROUPE_BEGIN_DECLS

/**
 * Puts aside the message that a handler was called with.
 *
 * Threads  the handler of `self`, with the message it was called with; no main function, which has troupe_receive_of()
 * Owns     the stash owns `msg`: it may be read until the handler returns, but no longer answered, taken or sent
 * Errors   TROUPE_ELIMIT  limits.actor_stash messages are stashed: handle it, refuse it, or fail
 *          TROUPE_EINVAL  not the message now handled, or taken before; an answer; readiness of a descriptor; a main
 *                         function
 *          TROUPE_ENOMEM  the first time; on every error the message is still the handler's
 * Cost     O(1), without allocation but for the first time
 */
TROUPE_API TROUPE_CHECKED int troupe_stash(struct troupe_actor *self, struct troupe_message *msg);

/**
 * Has all stashed messages handled next, oldest first, before anything that is queued.  One that is stashed by the
 * handler that calls this stays.  Should the actor fail on the way, the rest is not lost: see above.
 *
 * Threads  a callback of `self`
 * Returns  how many, or TROUPE_EINVAL
 * Cost     O(n) in those stashed
 */
TROUPE_API int troupe_unstash(struct troupe_actor *self);

/** How many messages `self` has stashed; 0 for NULL.  A callback of `self`. */
TROUPE_API uint32_t troupe_stash_length(struct troupe_actor *self);

TROUPE_END_DECLS

#endif
