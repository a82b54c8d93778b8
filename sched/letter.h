/* SPDX-License-Identifier: MIT */
/*
 * letter.h - messages that are given up are counted by kind, and shown to whoever asked for them.
 *
 * Each message that nobody will handle comes through here once, whole, before it is ended: what a mailbox sheds, and what is
 * left in the queue of an actor that ends.  Who shows it does not hold a lock of ours but that of a foreign thread's context,
 * which may be entered again.
 *
 * What the hook leaves may be sent on, as the body of a message to an actor (troupe_dead_letters_to()): as any message, if there is room
 * for it.  What that actor gives up, and letters that somebody else gives up, are sent to nobody; so sending one leads to no other.
 */
#ifndef TRP_LETTER_H
#define TRP_LETTER_H

#include "context.h"

#include <troupe/overload.h>

/** What was in the queue of `actor`, or on its way there, will not be handled, because that has ended. */
void trp_letter_ended(
    struct trp_context *context, const struct troupe_actor *actor, struct troupe_message *msg);

/** The same of a message to `to`, which leads to nobody. */
void trp_letter_lost(struct trp_context *context, troupe_pid to, struct troupe_message *msg);

/** The mailbox of `actor` gives up `msg`: counts it, and shows it.  The caller ends it. */
void trp_letter_note(struct trp_context *context, struct troupe_actor *actor,
    struct troupe_message *msg, enum troupe_shed kind);

/** The mailbox of `actor` gives up `msg`, which is in no queue: counts it, shows it, and ends it. */
void trp_letter_shed(struct trp_context *context, struct troupe_actor *actor,
    struct troupe_message *msg, enum troupe_shed kind);

#endif
