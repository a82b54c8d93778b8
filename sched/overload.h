/* SPDX-License-Identifier: MIT */
/*
 * overload.h - what a behaviour's policy makes of messages that its mailbox has no room for.
 *
 * send.c comes here where it would refuse, and nowhere else, so a mailbox with room pays nothing for having a policy, and one
 * without a policy two loads when it refuses.  What the policy needs was set aside at the spawn, behind the extra block
 * (struct trp_overload in actor.h).
 *
 *                            no room
 *     trp_send_charged() ------------> trp_overload_act() ---- REJECT ------> refused
 *                                        |      |    |    ---- EXIT --------> refused, and its receiver is signalled
 *                                        |      |    +-------- REDIRECT ----> another mailbox: queued there, or refused
 *                                        |      +------------- TRANSFORM ---> this mailbox, into its margin; or shed
 *                                        +-------------------- DROP_NEWEST -> shed
 *
 * A second try (trp_send_again()) knows no policy, so nothing goes round in circles.
 */
#ifndef TRP_OVERLOAD_H
#define TRP_OVERLOAD_H

#include "context.h"

#include <troupe/overload.h>

/** Messages, linked by `next`, that were sent together and refused. */
struct trp_refused {
    troupe_pid to;
    struct troupe_message *first;
    struct troupe_message *last;
    uint32_t count;
    uint64_t bytes;
};

/** TROUPE_OK: they are dealt with, whatever that means.  Still the sender's: TROUPE_EFULL; TROUPE_EDEADLK, of one request on whose
 * answer somebody would wait in a ring where the policy has it go.  Under no lock. */
TROUPE_CHECKED int trp_overload_act(struct trp_context *context, const struct trp_refused *refused);

/** The reader gives back `given` of its room, as in the charge: notes how full the mailbox has been.  `actor` has a policy. */
void trp_overload_note(struct troupe_actor *actor, uint64_t given);

/** Records that `actor`, whose slice this is, ends because of its full mailbox. */
void trp_overload_fail(struct troupe_actor *actor);

/** The next life begins: what the last one said is forgotten.  Whoever has the token. */
void trp_overload_renew(struct troupe_actor *actor);

#endif
