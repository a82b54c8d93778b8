/* SPDX-License-Identifier: MIT */
/*
 * lib/group.h - a group, and what hooks.c, route.c and whoever makes actors ask of group.c.
 */
#ifndef TRP_GROUP_H
#define TRP_GROUP_H

#include "name_table.h"
#include "roster.h"

#include <troupe/group.h>

struct trp_left;

struct trp_group {
    /* Set once. */
    struct trp_name name;
    struct trp_groups *groups;
    struct trp_memory *memory;
    uint64_t number; /* of this group: none other ever has it */
    struct trp_reclaim reclaim;

    /* Under lock. */
    struct trp_lock lock;
    bool gone;            /* it was found empty: out of the table, nobody may enter it any more */
    uint32_t holds;       /* watches, and whoever has given the lock for a moment */
    uint64_t last_number; /* of joins */
    struct trp_list watchers;
    uint32_t watcher_count;
    struct trp_left *left; /* who left, the last ones; from the first watch on */
    uint64_t left_count;   /* how many were entered there */

    /* Any thread, under reclaim. */
    _Atomic(struct trp_roster *) roster; /* written under lock; NULL before the first join */
    _Atomic uint32_t member_count;       /* written under lock; a view */
    alignas(TRP_CACHE_LINE) _Atomic uint32_t turn; /* of round robin */
    char text[];
};

/** Makes the table of groups of `runtime`.  TROUPE_ENOMEM. */
TROUPE_CHECKED int trp_group_create(struct troupe_runtime *runtime);

/** Frees it: no actor is left, so there are no groups. */
void trp_group_destroy(struct troupe_runtime *runtime);

/** The group `text`, or NULL.  Under reclaim; lock-free. */
struct trp_group *trp_group_find(const struct troupe_runtime *runtime, const char *text);

/** Its members, or NULL.  Under reclaim. */
static inline const struct trp_roster *trp_group_roster(struct trp_group *group)
{
    /* acquire: its fields and seats.  PAIR group.roster: release in publish(). */
    return atomic_load_explicit(&group->roster, memory_order_acquire);
}

/**
 * Makes `actor`, whose token the caller holds, a member of the group `text`, in which it is not yet.  Under reclaim.
 * TROUPE_ELIMIT, TROUPE_ENOMEM.
 */
TROUPE_CHECKED int trp_group_enroll(
    struct trp_context *context, struct troupe_actor *actor, const char *text);

/**
 * Gives up the seat of `pid`, another actor's, in the group `text`: whoever sends to the group from now on passes it over,
 * and it is listed no more.  It stays a member in its own books until it ends or leaves.  Who began to send before may
 * still reach it, until a grace period is over.  False: it has no seat there.  Under reclaim.
 */
bool trp_group_dismiss(struct trp_context *context, troupe_pid pid, const char *text);

/** A message of kind CHANGE was dequeued by `self`. */
int trp_group_open(struct troupe_actor *self, struct troupe_message *msg);

/** The block of a message of kind CHANGE is out of every queue. */
void trp_group_retire(struct trp_context *context, struct troupe_message *msg);

/** Exit step 6: ends the monitors of `self`. */
void trp_group_cancel(struct troupe_actor *self);

/** Exit step 7: leaves groups, at most `budget`; what is left of that. */
unsigned trp_group_release(struct troupe_actor *self, unsigned budget);

#endif
