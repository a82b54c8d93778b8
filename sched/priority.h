/* SPDX-License-Identifier: MIT */
/*
 * priority.h - messages that go before the queue because their receiver has asked for it, for one alias, link or monitor.
 *
 * The queue of an actor is one and ordered, and stays so.  A priority message goes past it, into a chain of the extra block,
 * under its lock, by whoever sends it; TRP_SIGNAL_PRIORITY says that there is one.  At the next message boundary the
 * receiver takes what has arrived (accept) behind what it has not handled yet, and handles that before the queue
 * (aside.h), so priority messages keep the order in which they arrived.
 *
 *     sender: push, signal -----> extra->arrived -----> accept -----> aside.priority -----> handled
 *                                  under lock          receiver          receiver
 *
 * Who never asks for any has no chain to look at, and a message without priority passes nothing of this.  Charged ones
 * are admitted as any other, and keep their room until they were handled.
 *
 * Who never asked (`listens`) has no door.  When the owner of one ends the door is shut (`shut` in the extra block), which
 * ends its aliases too: what is pushed later finds that out under the lock, and what was pushed before is drained with what is
 * kept aside.  So nothing is left there for the time after the grace period.  A next life at the same address opens it again.
 */
#ifndef TRP_PRIORITY_H
#define TRP_PRIORITY_H

#include "actor.h"

/** Appends `count` messages, linked by `next`, and sets nothing.  Under the lock of `extra`, which is not shut.  Then, under no
 * lock, trp_actor_signal(). */
void trp_priority_push(struct trp_extra *extra, struct troupe_message *first, uint32_t count);

/** What has arrived is the receiver's.  Token's holder. */
void trp_priority_accept(struct troupe_actor *actor);

/** The actor ends: nothing arrives any more, and no alias leads to it; what has arrived is accepted.  Token's holder. */
void trp_priority_shut(struct troupe_actor *actor);

/** The next life begins.  Whoever has the token. */
void trp_priority_open(struct troupe_actor *actor);

#endif
