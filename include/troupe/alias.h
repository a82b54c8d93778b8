/* SPDX-License-Identifier: MIT */
/*
 * alias.h - addresses that their owner can revoke.
 *
 * After Erlang/OTP.  An alias is one more address of an actor: a troupe_pid, to which every function that sends can send, from
 * any thread.  Its owner gives it to others instead of its pid, as the address for an answer, and takes it back when it does
 * not want that any more: what is sent through it later is dropped before it enters the queue.  So an answer that
 * comes too late never reaches whoever asks next.
 *
 *     actor                                           another one, or a protocol that knows nothing of calls
 *       troupe_monitor_alias(.., &ref, &alias)
 *       question {.reply_to = alias} ------------------>  works
 *       gets the answer, or the down notice <-----------  troupe_send(self, question->reply_to, &answer, ..)
 *
 * Nothing is refused for an alias that has been revoked: the send says TROUPE_OK, the message ends and counts as dead, and a
 * request is answered with TROUPE_EGONE.  Otherwise a send through an alias is one to its owner: the same queue, the same
 * order, the same capacity, unless the owner has asked for priority.  What was queued when the alias ended stays queued.
 *
 * An alias belongs to an incarnation and ends with it.  A number that was an alias is not one again until its slot has seen
 * 2^32 aliases and actors, as with pids.
 *
 * It is an address to send to, and nothing else: whatever watches, ends or asks about an actor (link.h, info.h, sys.h,
 * troupe_mailbox_length(), troupe_names_of()) says TROUPE_EINVAL to an alias, and troupe_is_alive() false.
 */
#ifndef TROUPE_ALIAS_H
#define TROUPE_ALIAS_H

#include "troupe/link.h"

TROUPE_BEGIN_DECLS

/** When an alias ends, unless its owner does so before. */
enum troupe_alias_mode {
    TROUPE_ALIAS_EXPLICIT,        /* never */
    TROUPE_ALIAS_REPLY,           /* with the first message that comes through it */
    TROUPE_ALIAS_DEMONITOR,       /* with its monitor: that is taken back, or tells of its end */
    TROUPE_ALIAS_REPLY_DEMONITOR, /* the same; and the first message ends both */
};

/**
 * Makes an alias of `self`: EXPLICIT, or REPLY.  With TROUPE_PRIORITY (link.h) in `flags` what comes through it goes before the
 * queue; whoever sends has no say in that.
 *
 * Threads  a callback of `self`
 * Errors   TROUPE_ELIMIT (limits.actor_aliases), TROUPE_ENOMEM; TROUPE_EINVAL: another `mode` or flag
 * Cost     O(1): one lock, one small block; to send through it costs a lock and a search more than to send to the pid
 */
TROUPE_API TROUPE_CHECKED int troupe_alias(
    struct troupe_actor *self, enum troupe_alias_mode mode, unsigned flags, troupe_pid *out_alias);

/**
 * Ends an alias of `self`: after this call nothing enters the queue through it.  A monitor that it was made with stays.
 *
 * Threads  a callback of `self`
 * Returns  1: it stood.  0: it had ended
 * Errors   TROUPE_EINVAL  no alias, or another actor's
 */
TROUPE_API int troupe_unalias(struct troupe_actor *self, troupe_pid alias);

/**
 * As troupe_monitor(), and makes an alias that goes with the monitor: EXPLICIT, DEMONITOR or REPLY_DEMONITOR.  In `flags`
 * TROUPE_PRIORITY is for what comes through the alias, TROUPE_PRIORITY_DOWN for the down notice.
 *
 * Order    of an answer through a REPLY_DEMONITOR alias and the down notice `self` gets exactly one, whichever is first;
 *          through a DEMONITOR alias nothing enters the queue behind the down notice
 * Errors   as troupe_monitor() and troupe_alias().  Of one that is gone the notice comes at once, and the alias has ended,
 *          unless it is EXPLICIT
 */
TROUPE_API TROUPE_CHECKED int troupe_monitor_alias(struct troupe_actor *self, troupe_pid pid,
    enum troupe_alias_mode mode, unsigned flags, troupe_ref *out_ref, troupe_pid *out_alias);

/** Whether `pid` is, or was, an alias, and no actor's own pid.  Any thread; looks at the number only. */
TROUPE_API bool troupe_is_alias(troupe_pid pid);

TROUPE_END_DECLS

#endif
