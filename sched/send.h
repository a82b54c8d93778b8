/* SPDX-License-Identifier: MIT */
/*
 * send.h - what the reader owes those who wait for room.  The ways in are in core.h: trp_send_charged(),
 * trp_send_reserved().
 */
#ifndef TRP_SEND_H
#define TRP_SEND_H

#include "context.h"

/** Lets foreign threads in that wait for room.  After room was given back: the reader, `parked` if it has parked, for
 * then nothing is queued whatever the charge says; or whoever took its own charge back. */
void trp_send_admit(struct troupe_actor *actor, bool parked);

/** Wakes all that wait: the actor has ended. */
void trp_send_release_waiters(struct troupe_actor *actor);

#endif
