/* SPDX-License-Identifier: MIT */
/*
 * lease.h - room that an actor holds in the mailbox of another one, for messages that are yet to come.
 *
 * The room is charged when the lease begins (trp_admit_lease()), so nobody else takes it, and who holds it sends into it without
 * asking.  A place is either counted in the lease, or with whoever has taken it out: one who sends pushes a message that
 * has it, all others give it back.
 *
 * A lease is a block of a timer, whose time is when it lapses:
 *
 *             open               hold                 release, the last place was used, the holder ends
 *    (no) ----------> WANTING ----------> HELD ------------------------------------------------------> (gone)
 *                        |                 |
 *                        +----> (gone)     +----> LAPSING ----> (gone): its block is that of whoever fires
 *                         close       its timer fires
 *
 * WANTING: its owner's, or that of the waiter in line.  HELD: in its holder's list (struct trp_holding), and in a wheel.  LAPSING: out of
 * the wheel, still in the list.  Whoever takes it out of the list, under the lock of the holder's extra block, gives its room
 * back, once; and ends its serial, so that the names of it that are left miss.  Of one that is taken out of the list while it lapses
 * the block is left to whoever fires it, who finds it in no list.
 *
 * Why a timer: an abandoned lease holds up those that wait in line, who only sleep, so nobody who is refused may come by to look
 * at it.  Why not a message to its holder: that may compute, sleep or block.  Whoever fires the wheel, of whichever worker, gives
 * the room back itself.  That of a thread actor is in the wheel of the first worker: nobody looks at that of a busy thread.
 *
 * Nobody closes a ring by it: a holder does not begin to wait for other room (trp_pressure_is_holder()), but for what it gets together
 * in the order of pids; and what it waits for otherwise, a call for example, cannot outlast the lease that others wait for.
 *
 * One lock at a time: the holder's, for its lease, then the receiver's, to call who waits.
 *
 * Interleavings: test/explore/part_lease.c.
 */
#ifndef TRP_LEASE_H
#define TRP_LEASE_H

#include "core.h"

/** The timer of a lease has fired.  Whoever fires it, under reclaim. */
void trp_lease_lapse(struct trp_context *context, struct trp_timer *lease);

/** Exit step 6: what `self` holds is given back. */
void trp_lease_end_all(struct troupe_actor *self);

#endif
