/* SPDX-License-Identifier: MIT */
/*
 * shelf.h - the second kind of mailbox: a bounded ring under a lock, out of which a sender can take what stands there longest.
 *
 * The queue (mailbox.h) has one reader, so no sender can take a message out of it again.  Where the newest is worth more than
 * the oldest, messages stand on a shelf instead, and the queue has *tickets* for them, one for each: small nodes that were made
 * with the shelf.  Whoever comes to a ticket takes the oldest message from the shelf.
 *
 *                      put: there is room         push           opened
 *     free tickets -------------------------> out ------> queued --------> takes the oldest message
 *          ^                                                                    |
 *          +-------------------------- retired ---------------------------------+
 *
 * When one message displaces another no ticket is needed: there is one for the other.  So a message is never later than it would
 * have been in the queue, and nothing that its sender sends afterwards, a notice of its end included, overtakes it; it may itself
 * come before a signal or an answer that was sent before it, since it takes over the place of one that was older.
 *
 * There are at least as many tickets in the queue as messages on the shelf, and at most as many as it has room for; two more may
 * be opened and not retired.
 *
 * Tried and not used: one ticket for all (a notice would overtake what was put behind it), and leaving displaced messages in the queue,
 * empty (a receiver that does not run would have any number of them).
 */
#ifndef TRP_SHELF_H
#define TRP_SHELF_H

#include "chain.h"
#include "lock.h"
#include "memory.h"
#include "message.h"

struct trp_shelf;

/** An empty shelf for `count` messages of `bytes` in all.  `conflates`: a message displaces one with the same key.
 * TROUPE_ENOMEM. */
TROUPE_CHECKED int trp_shelf_create(struct trp_memory *memory, uint32_t count, uint64_t bytes,
    bool conflates, struct trp_shelf **out_shelf);

/** Frees it; all of its tickets have come back, and it is empty.  NULL does nothing. */
void trp_shelf_destroy(struct trp_shelf *shelf, struct trp_memory *memory);

/** What put did. */
struct trp_shelved {
    struct troupe_message *ticket; /* to be pushed into the queue, or NULL */
    struct trp_chain conflated;    /* displaced: the caller ends them */
    struct trp_chain oldest;       /* the same */
};

/** Puts `msg`, which weighs no more than the shelf bears, on it.  Any thread; O(1), with keys O(messages on it).
 * TROUPE_EGONE: it is shut. */
TROUPE_CHECKED int trp_shelf_put(struct trp_shelf *shelf, struct troupe_message *msg, uint64_t key,
    struct trp_shelved *out_shelved);

/** `ticket` is opened: the oldest message, or NULL: it was displaced, and not replaced.  Token's holder. */
struct troupe_message *trp_shelf_take(struct troupe_message *ticket);

/** A ticket is out of the queue, opened or not.  Whoever retires it. */
void trp_shelf_give(struct troupe_message *ticket);

/** The oldest message of one that is shut from now on; or NULL.  Token's holder. */
struct troupe_message *trp_shelf_drain(struct trp_shelf *shelf);

/** How much is on it, `count << 40 | bytes`, and the most that was.  Any thread; a moment's view. */
uint64_t trp_shelf_queued(struct trp_shelf *shelf, uint64_t *out_most);

#endif
