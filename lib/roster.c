/* SPDX-License-Identifier: MIT */
/* roster.c - the members of a group, in an array that is read without a lock. */
#include "roster.h"

/** Seats of the first roster. */
#define ROOM_MIN 4

/** One with fewer seats taken is not sparse, however empty. */
#define SPARSE_MIN 64

static size_t size_of(uint32_t room)
{
    return sizeof(struct trp_roster) + (size_t)room * sizeof(struct trp_seat);
}

struct trp_roster *trp_roster_new(struct trp_memory *memory, uint32_t room)
{
    struct trp_roster *roster = trp_memory_alloc(memory, size_of(room), alignof(struct trp_roster));

    if (roster == NULL) {
        return NULL;
    }
    roster->memory = memory;
    roster->room = room;
    roster->live = 0;
    atomic_init(&roster->count, 0);
    return roster;
}

void trp_roster_free(struct trp_roster *roster)
{
    if (roster != NULL) {
        trp_memory_free(roster->memory, roster, size_of(roster->room));
    }
}

static void roster_done(struct trp_reclaim *reclaim)
{
    trp_roster_free(trp_container_of(reclaim, struct trp_roster, reclaim));
}

void trp_roster_retire(struct trp_roster *roster)
{
    if (roster != NULL) {
        trp_reclaim_later(&roster->reclaim, roster_done);
    }
}

/* Under lock. */
static uint32_t own_count(const struct trp_roster *roster)
{
    /* relaxed: its writer holds the lock. */
    return atomic_load_explicit(&roster->count, memory_order_relaxed);
}

uint32_t trp_roster_after(const struct trp_roster *roster, uint32_t count, uint64_t number)
{
    uint32_t low = 0;

    while (low < count) {
        uint32_t middle = low + (count - low) / 2;

        if (roster->seats[middle].number > number) {
            count = middle;
        } else {
            low = middle + 1;
        }
    }
    return low;
}

uint32_t trp_roster_put(
    struct trp_roster *roster, troupe_pid pid, uint64_t number, struct trp_member *member)
{
    uint32_t at = own_count(roster);
    struct trp_seat *seat = &roster->seats[at];

    trp_assert(at < roster->room);
    seat->number = number;
    seat->member = member;
    /* relaxed: published by the count. */
    atomic_store_explicit(&seat->pid, pid, memory_order_relaxed);
    /* release: the seat.  PAIR roster.count: acquire in trp_roster_count(). */
    atomic_store_explicit(&roster->count, at + 1, memory_order_release);
    roster->live++;
    return at;
}

void trp_roster_leave(struct trp_roster *roster, uint32_t at)
{
    /* relaxed: whoever sees it late meets a member that has left just now. */
    atomic_store_explicit(&roster->seats[at].pid, TROUPE_NOBODY, memory_order_relaxed);
    roster->seats[at].member = NULL;
    roster->live--;
}

bool trp_roster_has_room(const struct trp_roster *roster)
{
    return roster != NULL && own_count(roster) < roster->room;
}

bool trp_roster_is_sparse(const struct trp_roster *roster)
{
    return roster != NULL && own_count(roster) >= SPARSE_MIN &&
           roster->live < own_count(roster) / 4;
}

uint32_t trp_roster_wanted(const struct trp_roster *roster)
{
    uint32_t live = roster != NULL ? roster->live : 0;

    return live < ROOM_MIN / 2 ? ROOM_MIN : 2 * live;
}
