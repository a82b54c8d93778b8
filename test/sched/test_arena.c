/* SPDX-License-Identifier: MIT */
/* Arena: allocations do not overlap, and all of them are given back together. */
#include "sched/arena.h"

#include <criterion/criterion.h>

#include "test/support/allocator.h"
#include "test/support/random.h"

enum {
    PIECES = 2000,
};

struct fixture {
    struct test_allocator state;
    struct trp_memory memory;
    struct trp_arena arena;
};

static void start(struct fixture *f)
{
    struct troupe_allocator allocator = test_allocator_of(&f->state);

    memset(&f->state, 0, sizeof f->state);
    trp_memory_init(&f->memory, &allocator, UINT64_C(1) << 32);
    trp_arena_init(&f->arena);
}

static void stop(struct fixture *f)
{
    trp_arena_free(&f->arena, &f->memory);
    cr_assert_eq(f->memory.held, 0);
    cr_assert_eq(f->state.blocks, 0);
    cr_assert_eq(f->state.bytes, 0);
}

Test(arena, takes_no_memory_before_the_first_allocation)
{
    struct fixture f;

    start(&f);
    cr_assert_eq(f.state.calls, 0);
    stop(&f);
    cr_assert_eq(f.state.calls, 0);
}

Test(arena, refuses_nothing_and_more_than_there_is)
{
    struct fixture f;

    start(&f);
    cr_assert_null(trp_arena_alloc(&f.arena, &f.memory, 0));
    cr_assert_null(trp_arena_alloc(&f.arena, &f.memory, SIZE_MAX));
    cr_assert_null(trp_arena_alloc(&f.arena, &f.memory, SIZE_MAX - 15));
    cr_assert_null(trp_arena_alloc(&f.arena, &f.memory, SIZE_MAX / 2));
    cr_assert_eq(f.state.calls, 0);
    stop(&f);
}

Test(arena, small_allocations_share_a_region_of_1_KiB)
{
    struct fixture f;

    start(&f);
    for (unsigned i = 0; i < 9; i++) {
        cr_assert_not_null(trp_arena_alloc(&f.arena, &f.memory, 100));
        cr_assert_eq(f.state.calls, 1);
    }
    cr_assert_eq(f.memory.held, 1024);
    stop(&f);
}

Test(arena, regions_double_up_to_64_KiB)
{
    struct fixture f;
    size_t largest = 0;

    start(&f);
    for (unsigned i = 0; i < 100000; i++) {
        cr_assert_not_null(trp_arena_alloc(&f.arena, &f.memory, 16));
        largest = f.state.last_size > largest ? f.state.last_size : largest;
    }
    cr_assert_eq(largest, 64 * 1024);
    /* 1.6 MB: 1 + 2 + .. + 64 KiB in the first seven, the rest in 64 KiB each. */
    cr_assert_eq(f.state.calls, 7 + 23);
    stop(&f);
}

Test(arena, a_region_grows_to_what_one_allocation_needs)
{
    struct fixture f;

    start(&f);
    cr_assert_not_null(trp_arena_alloc(&f.arena, &f.memory, 5000));
    cr_assert_not_null(trp_arena_alloc(&f.arena, &f.memory, 3000));
    cr_assert_eq(f.memory.held, 8192);
    stop(&f);
}

Test(arena, a_large_allocation_leaves_the_newest_region_in_use)
{
    struct fixture f;
    char *small;
    char *next;

    start(&f);
    small = trp_arena_alloc(&f.arena, &f.memory, 16);
    cr_assert_not_null(trp_arena_alloc(&f.arena, &f.memory, 1 << 20));
    cr_assert_eq(f.state.calls, 2);
    next = trp_arena_alloc(&f.arena, &f.memory, 16);
    cr_assert_eq(next, small + 16);
    cr_assert_eq(f.state.calls, 2);
    stop(&f);
}

Test(arena, after_a_large_first_allocation_regions_start_small)
{
    struct fixture f;

    start(&f);
    cr_assert_not_null(trp_arena_alloc(&f.arena, &f.memory, 1 << 20));
    cr_assert_not_null(trp_arena_alloc(&f.arena, &f.memory, 16));
    cr_assert_eq(f.state.last_size, 1024);
    stop(&f);
}

Test(arena, allocations_are_aligned_and_do_not_overlap)
{
    static unsigned char *pieces[PIECES];
    static size_t sizes[PIECES];
    struct test_random random = test_random_of(test_seed("arena"));
    struct fixture f;

    start(&f);
    for (unsigned i = 0; i < PIECES; i++) {
        sizes[i] = 1 + test_below(&random, test_below(&random, 50) == 0 ? 100000 : 300);
        pieces[i] = trp_arena_alloc(&f.arena, &f.memory, sizes[i]);
        cr_assert_not_null(pieces[i]);
        cr_assert_eq((uintptr_t)pieces[i] % 16, 0);
        memset(pieces[i], (int)(i % 251), sizes[i]);
    }
    for (unsigned i = 0; i < PIECES; i++) {
        for (size_t j = 0; j < sizes[i]; j++) {
            cr_assert_eq(pieces[i][j], i % 251);
        }
    }
    stop(&f);
}

Test(arena, may_be_used_again_after_free)
{
    struct fixture f;

    start(&f);
    for (unsigned i = 0; i < 3; i++) {
        cr_assert_not_null(trp_arena_alloc(&f.arena, &f.memory, 5000));
        trp_arena_free(&f.arena, &f.memory);
        cr_assert_eq(f.memory.held, 0);
    }
    stop(&f);
}

static unsigned alloc_some(struct fixture *f)
{
    static const size_t sizes[] = {16, 900, 600, 100000, 3000, 16, 70000, 60000, 16};
    unsigned done = 0;

    for (unsigned i = 0; i < TROUPE_COUNT(sizes); i++) {
        unsigned char *piece = trp_arena_alloc(&f->arena, &f->memory, sizes[i]);

        if (piece != NULL) {
            memset(piece, 1, sizes[i]);
            done++;
        }
    }
    return done;
}

Test(arena, survives_each_allocation_failing)
{
    struct fixture f;
    uint64_t k = 0;

    do {
        unsigned done;

        k++;
        start(&f);
        f.state.fail_at = k;
        done = alloc_some(&f);
        cr_assert_eq(done, f.state.calls < k ? 9 : 8, "call %d", (int)k);
        cr_assert_eq(f.memory.held, f.state.bytes);
        stop(&f);
    } while (f.state.calls >= k);
    cr_assert_gt(k, 4);
}
