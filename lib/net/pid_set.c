/* SPDX-License-Identifier: MIT */
/*
 * pid_set.c - see pid_set.h.
 */
#include "pid_set.h"

#define TRP_PID_SET_MIN ((size_t)64)
#define TRP_PID_SET_ALIGN 16

/* Where `pid` would stand if nothing was in its way: slots of cells are dense, so mix them. */
static size_t home_of(const struct trp_pid_set *set, troupe_pid pid)
{
    return (size_t)((pid * UINT64_C(0x9e3779b97f4a7c15)) >> 32) & (set->slot_count - 1);
}

static size_t next_of(const struct trp_pid_set *set, size_t slot)
{
    return (slot + 1) & (set->slot_count - 1);
}

int trp_pid_set_reserve(struct trp_pid_set *set, struct trp_memory *memory)
{
    struct trp_pid_set larger = {.slot_count = set->slot_count * 2};
    size_t i;

    if ((set->count + 1) * 2 <= set->slot_count) {
        return TROUPE_OK;
    }
    if (larger.slot_count == 0) {
        larger.slot_count = TRP_PID_SET_MIN;
    }
    larger.slots =
        trp_memory_alloc(memory, larger.slot_count * sizeof *larger.slots, TRP_PID_SET_ALIGN);
    if (larger.slots == NULL) {
        return TROUPE_ENOMEM;
    }
    for (i = 0; i < larger.slot_count; i++) {
        larger.slots[i] = TROUPE_NOBODY;
    }
    for (i = 0; i < set->slot_count; i++) {
        if (set->slots[i] != TROUPE_NOBODY) {
            trp_pid_set_add(&larger, set->slots[i]);
        }
    }
    trp_pid_set_free(set, memory);
    *set = larger;
    return TROUPE_OK;
}

void trp_pid_set_add(struct trp_pid_set *set, troupe_pid pid)
{
    size_t slot = home_of(set, pid);

    trp_assert(pid != TROUPE_NOBODY);
    trp_assert((set->count + 1) * 2 <= set->slot_count);
    while (set->slots[slot] != TROUPE_NOBODY) {
        slot = next_of(set, slot);
    }
    set->slots[slot] = pid;
    set->count++;
}

/* Closes the hole at `hole`: moves back whoever stands behind it further from home than it is. */
static void close_hole(struct trp_pid_set *set, size_t hole)
{
    size_t mask = set->slot_count - 1;
    size_t slot;

    for (slot = next_of(set, hole); set->slots[slot] != TROUPE_NOBODY; slot = next_of(set, slot)) {
        size_t from_home = (slot - home_of(set, set->slots[slot])) & mask;
        size_t from_hole = (slot - hole) & mask;

        if (from_home >= from_hole) {
            set->slots[hole] = set->slots[slot];
            hole = slot;
        }
    }
    set->slots[hole] = TROUPE_NOBODY;
}

bool trp_pid_set_remove(struct trp_pid_set *set, troupe_pid pid)
{
    size_t slot;

    if (set->count == 0 || pid == TROUPE_NOBODY) {
        return false;
    }
    for (slot = home_of(set, pid); set->slots[slot] != pid; slot = next_of(set, slot)) {
        if (set->slots[slot] == TROUPE_NOBODY) {
            return false;
        }
    }
    close_hole(set, slot);
    set->count--;
    return true;
}

void trp_pid_set_free(struct trp_pid_set *set, struct trp_memory *memory)
{
    trp_memory_free(memory, set->slots, set->slot_count * sizeof *set->slots);
    *set = (struct trp_pid_set){0};
}
