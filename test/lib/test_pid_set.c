/* SPDX-License-Identifier: MIT */
/* pid_set: membership, against a plain array of what should be in it. */
#include "net/pid_set.h"
#include "test/support/allocator.h"
#include "test/support/random.h"

#include <criterion/criterion.h>

struct fixture {
    struct test_allocator state;
    struct trp_memory memory;
    struct trp_pid_set set;
};

static void start(struct fixture *f)
{
    struct troupe_allocator allocator;

    *f = (struct fixture){0};
    allocator = test_allocator_of(&f->state);
    trp_memory_init(&f->memory, &allocator, UINT64_C(1) << 32);
}

static void stop(struct fixture *f)
{
    trp_pid_set_free(&f->set, &f->memory);
    cr_assert_eq(f->state.blocks, 0);
}

Test(pid_set, nothing_is_in_an_empty_one)
{
    struct fixture f;

    start(&f);
    cr_assert_not(trp_pid_set_remove(&f.set, 1));
    cr_assert_eq(trp_pid_set_reserve(&f.set, &f.memory), TROUPE_OK);
    cr_assert_not(trp_pid_set_remove(&f.set, 1));
    cr_assert_not(trp_pid_set_remove(&f.set, TROUPE_NOBODY));
    stop(&f);
}

Test(pid_set, what_was_added_is_there_until_it_is_removed_once)
{
    enum { PIDS = 300, ROUNDS = 100000 };
    struct fixture f;
    bool in[PIDS] = {false};
    size_t count = 0;
    struct test_random random = test_random_of(test_seed("pid_set"));

    start(&f);
    for (int i = 0; i < ROUNDS; i++) {
        size_t which = test_below(&random, PIDS);
        /* Slots are dense, generations are not. */
        troupe_pid pid = (troupe_pid)(which * 7919 + 1) << 28 | which;

        if (in[which]) {
            cr_assert(trp_pid_set_remove(&f.set, pid), "lost");
            count--;
        } else {
            cr_assert_not(trp_pid_set_remove(&f.set, pid), "it is not there");
            cr_assert_eq(trp_pid_set_reserve(&f.set, &f.memory), TROUPE_OK);
            trp_pid_set_add(&f.set, pid);
            count++;
        }
        in[which] = !in[which];
        cr_assert_eq(f.set.count, count);
    }
    stop(&f);
}

Test(pid_set, without_memory_it_stays_as_it_was)
{
    struct fixture f;
    troupe_pid pid = 1;

    start(&f);
    f.state.fail_at = 1;
    cr_assert_eq(trp_pid_set_reserve(&f.set, &f.memory), TROUPE_ENOMEM);
    f.state.fail_at = 0;
    while (f.set.count == 0 || (f.set.count + 1) * 2 <= f.set.slot_count) {
        cr_assert_eq(trp_pid_set_reserve(&f.set, &f.memory), TROUPE_OK);
        trp_pid_set_add(&f.set, pid++);
    }
    f.state.fail_at = f.state.calls + 1;
    cr_assert_eq(trp_pid_set_reserve(&f.set, &f.memory), TROUPE_ENOMEM);
    while (pid > 1) {
        cr_assert(trp_pid_set_remove(&f.set, --pid));
    }
    stop(&f);
}
