/* SPDX-License-Identifier: MIT */
/*
 * lib/link.h - what spawn.c, notice.c, notify.c and info.c ask of link.c.
 */
#ifndef TRP_LINK_H
#define TRP_LINK_H

#include "watch.h"

/** As troupe_link() to an actor that was not launched yet: it is there, and not linked. */
TROUPE_CHECKED int trp_link_newborn(struct troupe_actor *self, struct troupe_actor *newborn);

/** The end of a link was dequeued by `self`; whether the link still stood at our side.  Now it does not. */
bool trp_link_open(struct troupe_actor *self, struct trp_watch *watch);

/** Whether the link of which `watch` brings the end still stands at our side.  Only we change that from now on. */
bool trp_link_stands(const struct troupe_actor *self, struct trp_watch *watch);

/** Takes both halves out of their lists for the end of the subject of `half`; the other one stays in the peer's trie until
 * the signal is opened or unlinked.  Under both locks.  False: the peer is not told, so that one is out as well, and both
 * references to the block are the caller's. */
bool trp_link_leave(struct trp_watch *half);

/** Lets go of links whose signals are on their way to `self`: they will miss.  By one that is sealed, and of
 * whose links none is active.  What is left of the budget. */
unsigned trp_link_end_all(struct troupe_actor *self, unsigned budget);

#endif
