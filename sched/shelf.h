/* SPDX-License-Identifier: MIT */
/*
 * shelf.h - the second kind of mailbox: a bounded ring under a lock, out of which a sender can take what stands there longest.
 *
 * The queue (mailbox.h) has one reader and one order, so no sender can take a message out of it again, and nothing that comes
 * later is handled first.  Where the newest is worth more than the oldest, or a mailbox has lanes, or senders take turns, messages
 * stand on a shelf instead, and the queue has *tickets* for them, one for each: small nodes that were made
 * with the shelf.  Whoever comes to a ticket takes the next message from the shelf; which one that is, lanes.h says.
 *
 *                      put: there is room         push           opened
 *     free tickets -------------------------> out ------> queued --------> takes the next message
 *          ^                                                                    |
 *          +-------------------------- retired ---------------------------------+
 *
 * When one message displaces another no ticket is needed: there is one for the other.  So without lanes and turns a message is
 * never later than it would have been in the queue, and nothing that its sender sends afterwards, a notice of its end included,
 * overtakes it; it may itself come before a signal or an answer that was sent before it, since it takes over the place of one that was
 * older.  With lanes or turns a ticket may be opened for a message that came later.
 *
 * Where a policy displaces, the shelf has the room, and is never full.  Otherwise the charge has it (charge.h): a message is admitted
 * as to any mailbox, by whoever waits for room too, is charged, and then put on the shelf, which bears all that is charged.
 *
 * There are at least as many tickets in the queue as messages on the shelf, and at most as many as it has room for; two more may
 * be opened and not retired.
 *
 * Tried and not used: one ticket for all (a notice would overtake what was put behind it), and leaving displaced messages in the queue,
 * empty (a receiver that does not run would have any number of them).
 */
#ifndef TRP_SHELF_H
#define TRP_SHELF_H

#include "lanes.h"
#include "lock.h"
#include "memory.h"

struct trp_shelf;

/** An empty shelf.  TROUPE_ENOMEM. */
TROUPE_CHECKED int trp_shelf_create(
    struct trp_memory *memory, const struct trp_lanes_spec *spec, struct trp_shelf **out_shelf);

/** Frees it; all of its tickets have come back, and it is empty.  NULL does nothing. */
void trp_shelf_destroy(struct trp_shelf *shelf, struct trp_memory *memory);

/** What put did. */
struct trp_shelved {
    struct troupe_message *ticket;  /* to be pushed into the queue, or NULL */
    struct trp_displaced displaced; /* the caller ends them */
};

/** Puts `item` on it, which the charge has admitted, or, where it displaces, weighs no more than it bears.  Any thread; O(1), with n
 * lanes O(n).  TROUPE_EGONE: it is shut. */
TROUPE_CHECKED int trp_shelf_put(
    struct trp_shelf *shelf, const struct trp_lanes_item *item, struct trp_shelved *out_shelved);

/** trp_lanes_has_share().  Any thread; a moment's view. */
bool trp_shelf_has_share(
    struct trp_shelf *shelf, troupe_pid sender, uint32_t lane, uint32_t count, uint64_t bytes);

/** `ticket` is opened: the next message, or NULL: it was displaced, and not replaced.  Token's holder. */
struct troupe_message *trp_shelf_take(struct troupe_message *ticket);

/** A ticket is out of the queue, opened or not.  Whoever retires it. */
void trp_shelf_give(struct troupe_message *ticket);

/** The next message of one that is shut from now on; or NULL.  Token's holder. */
struct troupe_message *trp_shelf_drain(struct trp_shelf *shelf);

/** How full it is. */
struct trp_shelf_view {
    uint64_t queued; /* `count << 40 | bytes` */
    uint64_t most;   /* the same, of the most that was */
    uint32_t lanes[TROUPE_LANES_MAX];
};

/** Any thread; a moment's view. */
void trp_shelf_look(struct trp_shelf *shelf, struct trp_shelf_view *out_view);

#endif
