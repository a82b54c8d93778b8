/* SPDX-License-Identifier: MIT */
/*
 * plant.c - which accesses the code has, and what is wrong with one of them.
 */
#include <string.h>

#include "test/explore/engine.h"

#define ACCESSES 512

/* What is wrong with one access, if `pc` is not 0. */
struct damage {
    uintptr_t pc;
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
    if (i == access_count && access_count < ACCESSES) {
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

/* By lines: compilers lay code out as they like. */
static bool is_before(const struct explore_access *a, const struct explore_access *b)
{
    int difference = explore_site_at(a->pc)->line - explore_site_at(b->pc)->line;

    return difference < 0 || (difference == 0 && a->pc < b->pc);
}

/* How many accesses that `by` may mean stand before `access` in its function. */
static unsigned rank_of(const struct explore_access *access, const struct explore_plant *by)
{
    unsigned rank = 0;

    for (unsigned i = 0; i < access_count; i++) {
        rank += is_meant(&accesses[i], by) && is_before(&accesses[i], access);
    }
    return rank;
}

bool explore_plant_set(const struct explore_plant *new)
{
    damage = (struct damage){0};
    for (unsigned i = 0; new != NULL &&i < access_count; i++) {
        if (is_meant(&accesses[i], new) && rank_of(&accesses[i], new) == new->number) {
            damage = (struct damage){accesses[i].pc, new->damage, new->value};
        }
    }
    return damage.pc != 0;
}

void explore_plant_relax(uintptr_t pc)
{
    damage = (struct damage){pc, EXPLORE_RELAX, 0};
}

bool explore_plant_is(enum explore_damage by, uintptr_t pc)
{
    return damage.pc == pc && damage.by == by;
}

uint64_t explore_plant_value(void)
{
    return damage.value;
}
