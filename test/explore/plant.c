/* SPDX-License-Identifier: MIT */
/*
 * plant.c - which accesses the code has, and what is wrong with one of them.
 */
#include <string.h>

#include "test/explore/engine.h"

#define ACCESSES 2048

/** Of an inline function there are at most so many. */
#define COPIES 32

/* What is wrong with one access, in all copies of its function. */
struct damage {
    uintptr_t pcs[COPIES];
    unsigned count; /* 0: nothing is wrong */
    enum explore_damage by;
    uint64_t value;
};

static struct explore_access accesses[ACCESSES];
static unsigned access_count;
static struct damage damage;

void explore_plant_note(enum explore_operation operation, int order, uintptr_t pc)
{
    unsigned i = 0;

    while (i < access_count && accesses[i].pc != pc) {
        i++;
    }
    if (i == ACCESSES) {
        explore_give_up("the code has more accesses than there is room for");
    }
    if (i == access_count) {
        accesses[access_count++] = (struct explore_access){pc, operation, order};
    }
}

void explore_plant_forget(void)
{
    access_count = 0;
}

unsigned explore_plant_accesses(struct explore_access *out, unsigned most)
{
    for (unsigned i = 0; i < access_count && i < most; i++) {
        out[i] = accesses[i];
    }
    return access_count;
}

static bool is_meant(const struct explore_access *access, const struct explore_plant *by)
{
    return access->operation == by->operation &&
           strcmp(explore_site_at(access->pc)->function, by->function) == 0;
}

static int line_of(const struct explore_access *access)
{
    return explore_site_at(access->pc)->line;
}

/* How many lines of its function have an access that `by` may mean, before the one of `access`. */
static unsigned rank_of(const struct explore_access *access, const struct explore_plant *by)
{
    unsigned rank = 0;

    for (unsigned i = 0; i < access_count; i++) {
        bool counts = is_meant(&accesses[i], by) && line_of(&accesses[i]) < line_of(access);

        /* An inline function is there once for each file that calls it. */
        for (unsigned earlier = 0; counts && earlier < i; earlier++) {
            counts = !is_meant(&accesses[earlier], by) ||
                     line_of(&accesses[earlier]) != line_of(&accesses[i]);
        }
        rank += counts;
    }
    return rank;
}

bool explore_plant_set(const struct explore_plant *plant)
{
    damage.count = 0;
    for (unsigned i = 0; plant != NULL && i < access_count; i++) {
        if (is_meant(&accesses[i], plant) && rank_of(&accesses[i], plant) == plant->number) {
            if (damage.count == COPIES) {
                explore_give_up("%s has more copies than there is room for", plant->function);
            }
            damage.pcs[damage.count++] = accesses[i].pc;
            damage.by = plant->damage;
            damage.value = plant->value;
        }
    }
    return damage.count > 0;
}

void explore_plant_relax(const struct explore_access *access)
{
    damage = (struct damage){.by = EXPLORE_RELAX};
    if (access != NULL) {
        damage.pcs[damage.count++] = access->pc;
        damage.by = access->operation == EXPLORE_FENCE ? EXPLORE_FORGET : EXPLORE_RELAX;
    }
}

bool explore_plant_is(enum explore_damage by, uintptr_t pc)
{
    bool is_here = false;

    for (unsigned i = 0; i < damage.count; i++) {
        is_here = is_here || damage.pcs[i] == pc;
    }
    return is_here && damage.by == by;
}

uint64_t explore_plant_value(void)
{
    return damage.value;
}
