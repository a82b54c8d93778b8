/* SPDX-License-Identifier: MIT */
/* Roster: seats in the order of joins; who is there is found, and who left is not. */
#include "roster.h"

#include <criterion/criterion.h>

#include "test/support/random.h"

#define JOINS_MAX 4096

static bool present[JOINS_MAX + 1]; /* by number; the pid is the number */
static uint32_t seat_of[JOINS_MAX + 1];

static void check(const struct trp_roster *roster, uint64_t last_number)
{
    uint32_t count = trp_roster_count(roster);
    uint32_t at = 0;
    uint32_t live = 0;

    for (uint64_t number = 1; number <= last_number; number++) {
        if (present[number]) {
            at = trp_roster_after(roster, count, number - 1);
            cr_assert_eq(trp_roster_pid(roster, at), number);
            cr_assert_eq(at, seat_of[number]);
            live++;
        }
    }
    cr_assert_eq(roster->live, live);
    cr_assert_eq(trp_roster_after(roster, count, last_number), count);
}

/* As group.c does. */
static struct trp_roster *move(struct trp_memory *memory, struct trp_roster *old)
{
    struct trp_roster *fresh = trp_roster_new(memory, trp_roster_wanted(old));

    cr_assert_not_null(fresh, "no memory");
    for (uint32_t at = 0; old != NULL && at < trp_roster_count(old); at++) {
        troupe_pid pid = trp_roster_pid(old, at);

        if (pid != TROUPE_NOBODY) {
            seat_of[pid] = trp_roster_put(fresh, pid, old->seats[at].number, NULL);
        }
    }
    trp_roster_free(old);
    return fresh;
}

Test(roster, everybody_who_is_there_is_found_by_number, .timeout = 60)
{
    struct test_random random = test_random_of(test_seed("roster"));
    struct trp_roster *roster = NULL;
    struct trp_memory memory;
    uint64_t last_number = 0;

    trp_memory_init(&memory, NULL, UINT64_MAX);
    while (last_number < JOINS_MAX) {
        uint64_t number = 1 + test_below(&random, last_number + 1);
        bool grows = last_number % 1024 < 512;

        if (number <= last_number && present[number] && test_below(&random, 4) < (grows ? 1 : 3)) {
            trp_roster_leave(roster, seat_of[number]);
            present[number] = false;
        } else if (grows || test_below(&random, 4) == 0) {
            if (!trp_roster_has_room(roster)) {
                roster = move(&memory, roster);
            }
            last_number++;
            present[last_number] = true;
            seat_of[last_number] = trp_roster_put(roster, last_number, last_number, NULL);
        }
        if (trp_roster_is_sparse(roster)) {
            roster = move(&memory, roster);
        }
        if (roster != NULL && test_below(&random, 16) == 0) {
            check(roster, last_number);
            cr_assert_leq(trp_roster_count(roster), 4 * roster->live + 64);
        }
    }
    trp_roster_free(roster);
}
