/* SPDX-License-Identifier: MIT */
/*
 * pid_set.h - a set of pids: which connections a listener has.
 *
 * Open addressing, linear probing, at most half full; a removal moves later ones of the same run back, so
 * there are no tombstones.
 */
#ifndef TRP_NET_PID_SET_H
#define TRP_NET_PID_SET_H

#include "memory.h"

#include <troupe/message.h>

struct trp_pid_set {
    troupe_pid *slots; /* TROUPE_NOBODY: free */
    size_t slot_count; /* 0 or a power of two */
    size_t count;
};

/** Makes sure that one more trp_pid_set_add() finds room.  TROUPE_ENOMEM. */
TROUPE_CHECKED int trp_pid_set_reserve(struct trp_pid_set *set, struct trp_memory *memory);

/** Adds `pid`, which is not there yet; room was reserved. */
void trp_pid_set_add(struct trp_pid_set *set, troupe_pid pid);

/** Takes `pid` out; false if it was not there. */
bool trp_pid_set_remove(struct trp_pid_set *set, troupe_pid pid);

void trp_pid_set_free(struct trp_pid_set *set, struct trp_memory *memory);

#endif
