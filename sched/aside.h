/* SPDX-License-Identifier: MIT */
/*
 * aside.h - messages that an actor keeps aside: its stash, what it handles before its queue, and what waits while it is
 * suspended.
 *
 * Five chains in the extra block, all of messages that count as queued:
 *
 *   fresh     inserted by the callback that runs: first of all
 *   priority  its receiver has asked for it before the queue (priority.h); behind what was inserted
 *   again     handled before the queue: what was inserted, then what came out of the stash
 *   waiting   came while the actor was suspended; handled behind `again`
 *   stash     put there by the actor, until it says so
 *
 *                            stash                         unstash
 *     being handled -----------------------> STASHED  -----------------> again ----> handled
 *     dequeued, suspended -----------------> WAITING  ---- resume ----------^
 *     trp_aside_insert() ------------------> INNER ---- callback returns ---^
 *     arrived, in extra ---- accept -------> priority ----------------------------------> handled
 *
 * Nothing is copied and no memory is needed.  A message that is dequeued stays in the mailbox's list as its head until
 * the next one is; so it is only marked, and where its block would be ended, trp_aside_keep() puts it into its chain
 * instead.  A stashed message gives its room in the mailbox back: limits.actor_stash bounds the stash.  One that
 * waits keeps it: a suspended actor's mailbox fills up as if nobody read it.
 *
 * While `fresh`, `priority`, `again` or `waiting` have something that is to be handled, a message of theirs was handled last and is not
 * ended (`spent`), or the queue's head is marked, TRP_SIGNAL_AGAIN is set: so the loop that handles messages need not look
 * here.
 * While an actor is suspended its `receive` is trp_aside_receive().
 *
 * Everything here wants the token.
 */
#ifndef TRP_ASIDE_H
#define TRP_ASIDE_H

#include "actor.h"

/** Puts `msg`, which `self` is handling, into the stash.  TROUPE_EINVAL: not the message being handled, taken, an answer or
 * readiness, or in a main function, which gets nothing again; TROUPE_ELIMIT, TROUPE_ENOMEM. */
TROUPE_CHECKED int trp_aside_stash(struct troupe_actor *self, struct troupe_message *msg);

/** All that is in the stash is handled next, oldest first.  Returns how many. */
uint32_t trp_aside_unstash(struct troupe_actor *self);

/** As trp_aside_unstash(), when the callback has returned; a message that it has stashed is the last of them. */
void trp_aside_reopen(struct troupe_actor *self);

/** Has `self` handle a message of its own before anything that is queued, behind others that this callback inserted.
 * TROUPE_ENOMEM. */
TROUPE_CHECKED int trp_aside_insert(
    struct troupe_actor *self, const struct troupe_type *type, const void *body, size_t size);

/** As trp_aside_insert(), but behind everything that was dequeued and is to be handled again, before the queue. */
TROUPE_CHECKED int trp_aside_append(
    struct troupe_actor *self, const struct troupe_type *type, const void *body, size_t size);

/** Suspends `self`, once more: until as many resumes it handles system messages and what commands it to end only.
 * TROUPE_ENOMEM. */
TROUPE_CHECKED int trp_aside_suspend(struct troupe_actor *self);

/** Undoes one suspend; false if there was none. */
bool trp_aside_resume(struct troupe_actor *self);

/** How often it is suspended, and how many messages it has stashed. */
uint32_t trp_aside_suspensions(struct troupe_actor *self);
uint32_t trp_aside_stashed(struct troupe_actor *self);

/** Whether `self` has something to handle when its callback returns; a moment's view. */
bool trp_aside_has_mail(struct troupe_actor *self);

/** The `receive` of a suspended actor, for PLAIN messages: holds all of them. */
int trp_aside_receive(struct troupe_actor *self, void *state, struct troupe_message *msg);

/** The block of `msg`, marked STASHED or WAITING, is out of the mailbox. */
void trp_aside_keep(struct troupe_actor *actor, struct troupe_message *msg);

/** What a suspended actor has dequeued: not handled, and not out of its room. */
void trp_aside_hold(struct troupe_actor *actor, struct troupe_message *msg);

/** The message to be handled before the queue, or NULL; then the signal is cleared.  It is ended by trp_aside_spent(). */
struct troupe_message *trp_aside_take(struct troupe_actor *actor);

/** The message that trp_aside_take() gave last, handled and to be ended; or NULL. */
struct troupe_message *trp_aside_spent(struct troupe_actor *actor);

/** What has arrived to be handled before the queue is there. */
void trp_aside_accept(struct troupe_actor *actor);

/** `msg`, from the shelf (shelf.h), is handled before the queue goes on; NULL: nothing is. */
void trp_aside_shelved(struct troupe_actor *actor, struct troupe_message *msg);

/** The first one of these that matches, taken out; or NULL.  The caller ends it. */
struct troupe_message *trp_aside_pull(
    struct troupe_actor *actor, trp_match_fn matches, const void *arg);

/** Whether one that is suspended handles `msg` nevertheless. */
bool trp_aside_is_heeded(const struct troupe_actor *actor, const struct troupe_message *msg);

/** For the end of an actor: any message of any chain, or NULL. */
struct troupe_message *trp_aside_drain(struct troupe_actor *actor);

/** For an actor that keeps its mailbox: whether the next life handles `msg`, of trp_aside_drain(), before its queue;
 * otherwise the caller ends it. */
bool trp_aside_bequeath(struct troupe_actor *actor, struct troupe_message *msg);

/** The next life begins, not suspended.  Returns the signals that it begins with. */
uint32_t trp_aside_renew(struct troupe_actor *actor);

#endif
