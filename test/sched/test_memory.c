/* SPDX-License-Identifier: MIT */
/* Memory: every byte is counted, the limit holds, and a failure leaves no trace. */
#include "sched/memory.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>

#include "test/support/allocator.h"

Test(memory, counts_what_is_held)
{
    struct trp_memory memory;
    void *a;
    void *b;

    trp_memory_init(&memory, NULL, 1 << 20);
    a = trp_memory_alloc(&memory, 100, 16);
    b = trp_memory_alloc(&memory, 1000, 64);
    cr_assert_not_null(a);
    cr_assert_not_null(b);
    cr_assert_eq(memory.held, 1100);
    trp_memory_free(&memory, a, 100);
    cr_assert_eq(memory.held, 1000);
    trp_memory_free(&memory, b, 1000);
    cr_assert_eq(memory.held, 0);
}

Test(memory, free_of_null_does_nothing)
{
    struct test_allocator state = {0};
    struct troupe_allocator allocator = test_allocator_of(&state);
    struct trp_memory memory;

    trp_memory_init(&memory, &allocator, 1000);
    trp_memory_free(&memory, NULL, 100);
    cr_assert_eq(memory.held, 0);
    cr_assert_eq(state.bytes, 0);
}

Test(memory, gives_up_to_its_limit_and_not_a_byte_more)
{
    struct trp_memory memory;
    void *most;

    trp_memory_init(&memory, NULL, 1000);
    cr_assert_null(trp_memory_alloc(&memory, 1001, 16));
    cr_assert_eq(memory.held, 0);
    most = trp_memory_alloc(&memory, 1000, 16);
    cr_assert_not_null(most);
    cr_assert_null(trp_memory_alloc(&memory, 1, 16));
    cr_assert_eq(memory.held, 1000);
    trp_memory_free(&memory, most, 1000);
    most = trp_memory_alloc(&memory, 1000, 16);
    cr_assert_not_null(most, "what was given back may be taken again");
    trp_memory_free(&memory, most, 1000);
}

Test(memory, beyond_the_limit_the_allocator_is_not_asked)
{
    struct test_allocator state = {0};
    struct troupe_allocator allocator = test_allocator_of(&state);
    struct trp_memory memory;

    trp_memory_init(&memory, &allocator, 1000);
    cr_assert_null(trp_memory_alloc(&memory, 1001, 16));
    cr_assert_eq(state.calls, 0);
}

Test(memory, asks_the_embedders_allocator)
{
    struct test_allocator state = {0};
    struct troupe_allocator allocator = test_allocator_of(&state);
    struct trp_memory memory;
    void *block;

    trp_memory_init(&memory, &allocator, 1 << 20);
    block = trp_memory_alloc(&memory, 192, 64);
    cr_assert_not_null(block);
    cr_assert_eq(state.last_size, 192);
    cr_assert_eq(state.last_align, 64);
    cr_assert_eq(state.bytes, 192);
    trp_memory_free(&memory, block, 192);
    cr_assert_eq(state.bytes, 0);
    cr_assert_eq(state.blocks, 0);
}

Test(memory, a_failed_allocation_is_not_counted)
{
    struct test_allocator state = {.fail_at = 2};
    struct troupe_allocator allocator = test_allocator_of(&state);
    struct trp_memory memory;
    void *first;
    void *third;

    trp_memory_init(&memory, &allocator, 1 << 20);
    first = trp_memory_alloc(&memory, 10, 16);
    cr_assert_not_null(first);
    cr_assert_null(trp_memory_alloc(&memory, 20, 16));
    cr_assert_eq(memory.held, 10);
    third = trp_memory_alloc(&memory, 30, 16);
    cr_assert_not_null(third);
    cr_assert_eq(memory.held, 40);
    trp_memory_free(&memory, first, 10);
    trp_memory_free(&memory, third, 30);
}

ParameterizedTestParameters(memory, malloc_gives_any_alignment)
{
    static size_t aligns[] = {1, 8, 16, 64, 4096, 65536};

    return cr_make_param_array(size_t, aligns, TROUPE_COUNT(aligns));
}

ParameterizedTest(size_t *align, memory, malloc_gives_any_alignment)
{
    struct trp_memory memory;

    trp_memory_init(&memory, NULL, 1 << 20);
    for (size_t size = 1; size <= 300; size += 23) {
        void *block = trp_memory_alloc(&memory, size, *align);

        cr_assert_not_null(block);
        cr_assert_eq((uintptr_t)block % *align, 0);
        memset(block, 1, size);
        trp_memory_free(&memory, block, size);
    }
    cr_assert_eq(memory.held, 0);
}

Test(memory, what_rests_is_held_and_not_used)
{
    struct trp_memory memory;
    void *block;

    trp_memory_init(&memory, NULL, 1000);
    block = trp_memory_alloc(&memory, 900, 16);
    cr_assert_not_null(block);
    cr_assert_eq(trp_memory_used(&memory), 900);
    trp_memory_rest(&memory, 300);
    cr_assert_eq(trp_memory_used(&memory), 600);
    cr_assert_eq(memory.held, 900);
    trp_memory_rest(&memory, -100);
    cr_assert_eq(trp_memory_used(&memory), 700);
    /* Two of whom one has not said yet what became of the same blocks. */
    trp_memory_rest(&memory, 1000);
    cr_assert_eq(trp_memory_used(&memory), 0);
    trp_memory_free(&memory, block, 900);
}

Test(memory, pressure_begins_at_four_fifths_and_is_worse_at_nine_tenths)
{
    struct trp_memory memory;
    void *block;

    trp_memory_init(&memory, NULL, 1000);
    block = trp_memory_alloc(&memory, 1000, 16);
    cr_assert_not_null(block);
    trp_memory_rest(&memory, 201);
    cr_assert_eq(trp_memory_pressure(&memory), TRP_PRESSURE_NONE);
    trp_memory_rest(&memory, -1);
    cr_assert_eq(trp_memory_pressure(&memory), TRP_PRESSURE_GATES);
    trp_memory_rest(&memory, -99);
    cr_assert_eq(trp_memory_pressure(&memory), TRP_PRESSURE_GATES);
    trp_memory_rest(&memory, -1);
    cr_assert_eq(trp_memory_pressure(&memory), TRP_PRESSURE_OUTSIDE);
    trp_memory_free(&memory, block, 1000);
}
