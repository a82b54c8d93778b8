/* SPDX-License-Identifier: MIT */
/*
 * roster.h - the members of a group, in an array that is read without a lock.
 *
 * Seats are taken in the order of joins and never again: who leaves empties its seat, and whoever walks passes over it.
 * So a walk meets everybody who is there all the while exactly once, can be resumed by the number of a join, and
 * nothing moves under it.  When all seats were taken, or most are empty, the members move to another roster, and the old
 * one waits for a grace period: a walk that is under way there misses who joined since, and may meet who has left.
 *
 * Tried and not used: moving the last member into the seat that became empty.  A walk would meet it twice, or never.
 *
 *   put, leave, move   under the group's lock
 *   all others         any thread, under reclaim
 */
#ifndef TRP_ROSTER_H
#define TRP_ROSTER_H

#include "core.h"

struct trp_member;

struct trp_seat {
    _Atomic troupe_pid pid;    /* TROUPE_NOBODY: empty */
    uint64_t number;           /* of the join, ascending; set before `count` tells of the seat */
    struct trp_member *member; /* under lock */
};

struct trp_roster {
    struct trp_reclaim reclaim;
    struct trp_memory *memory; /* set once */
    uint32_t room;             /* set once: seats */
    uint32_t live;             /* under lock: seats with somebody in them */
    _Atomic uint32_t count;    /* seats ever taken; written under lock */
    struct trp_seat seats[];
};

/** A roster of `room` seats; NULL without memory. */
struct trp_roster *trp_roster_new(struct trp_memory *memory, uint32_t room);

/** Frees one that was never published.  NULL does nothing. */
void trp_roster_free(struct trp_roster *roster);

/** Frees one that nobody can find any more, after a grace period.  NULL does nothing. */
void trp_roster_retire(struct trp_roster *roster);

/** How many seats were taken, empty ones included. */
static inline uint32_t trp_roster_count(const struct trp_roster *roster)
{
    /* acquire: the seats below.  PAIR roster.count: release in trp_roster_put(). */
    return atomic_load_explicit(&roster->count, memory_order_acquire);
}

/** Who sits there, or TROUPE_NOBODY; `at` is below a count that was read. */
static inline troupe_pid trp_roster_pid(const struct trp_roster *roster, uint32_t at)
{
    /* relaxed: written before the count, or emptied since, which may be seen late. */
    return atomic_load_explicit(&roster->seats[at].pid, memory_order_relaxed);
}

/** The first of `count` seats whose join has a number above `number`; `count` if there is none. */
uint32_t trp_roster_after(const struct trp_roster *roster, uint32_t count, uint64_t number);

/** Takes the next seat, of which there is one; which. */
uint32_t trp_roster_put(
    struct trp_roster *roster, troupe_pid pid, uint64_t number, struct trp_member *member);

/** Empties a seat. */
void trp_roster_leave(struct trp_roster *roster, uint32_t at);

/** Whether another seat can be taken; `roster` may be NULL, which has none. */
bool trp_roster_has_room(const struct trp_roster *roster);

/** Whether most seats are empty, and that is worth a move.  NULL is not. */
bool trp_roster_is_sparse(const struct trp_roster *roster);

/** How many seats the next roster should have. */
uint32_t trp_roster_wanted(const struct trp_roster *roster);

#endif
