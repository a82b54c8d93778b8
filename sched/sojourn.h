/* SPDX-License-Identifier: MIT */
/*
 * sojourn.h - messages that have waited too long, by the rules of their receiver's behaviour.
 *
 * A message that is stamped (stamp.h) is looked at when it is opened: it has waited longer than `expire_ms`, or it is the turn
 * of one to go because the queue has been standing for a while (CoDel, after Nichols and Jacobson).  That says how long those
 * wait who get through, whatever the length of the queue, and leaves a queue alone that is long only now and then:
 *
 *                  waited >= target                     so for an interval
 *     GOOD ----------------------------> SUSPECT ---------------------------> SHEDDING: one now, the n-th one
 *       ^  <----------------------------    |                                    |      interval / sqrt(n) after
 *       |         waited < target, or nobody behind it                           |      the one before
 *       +------------------------------------------------------------------------+
 *
 * SUSPECT: `above_ms` is set.  All of it is the token's holder's.
 */
#ifndef TRP_SOJOURN_H
#define TRP_SOJOURN_H

#include "actor.h"

/** Opens `msg`, which `self` has dequeued and which is stamped.  False: it is shed; it was shown and counted, and ends as one
 * that was handled, a request with the answer that says why. */
bool trp_sojourn_open(struct troupe_actor *self, struct troupe_message *msg);

#endif
