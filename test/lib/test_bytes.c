/* SPDX-License-Identifier: MIT */
/* bytes: what is put in at one end comes out at the other, whatever is moved meanwhile. */
#include "net/bytes.h"
#include "test/support/allocator.h"
#include "test/support/random.h"

#include <criterion/criterion.h>

struct fixture {
    struct test_allocator state;
    struct trp_memory memory;
    struct trp_bytes bytes;
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
    trp_bytes_free(&f->bytes, &f->memory);
    cr_assert_eq(f->state.blocks, 0);
}

Test(bytes, what_goes_in_comes_out_in_order)
{
    struct fixture f;
    unsigned char in = 0;
    unsigned char out = 0;
    struct test_random random = test_random_of(test_seed("bytes"));

    start(&f);
    for (int i = 0; i < 20000; i++) {
        size_t more = test_below(&random, 700);
        size_t less;
        unsigned char *room = trp_bytes_reserve(&f.bytes, &f.memory, more);

        cr_assert_not_null(room);
        cr_assert_geq(trp_bytes_room(&f.bytes), more);
        for (size_t k = 0; k < more; k++) {
            room[k] = in++;
        }
        trp_bytes_fill(&f.bytes, more);
        less = test_below(&random, f.bytes.size + 1);
        for (size_t k = 0; k < less; k++) {
            cr_assert_eq(trp_bytes_head(&f.bytes)[k], out++);
        }
        trp_bytes_take(&f.bytes, less);
    }
    stop(&f);
}

Test(bytes, without_memory_it_stays_as_it_was)
{
    struct fixture f;

    start(&f);
    cr_assert_not_null(trp_bytes_reserve(&f.bytes, &f.memory, 1));
    trp_bytes_head(&f.bytes)[0] = 'x';
    trp_bytes_fill(&f.bytes, 1);
    f.state.fail_at = f.state.calls + 1;
    cr_assert_null(trp_bytes_reserve(&f.bytes, &f.memory, 100000));
    cr_assert_eq(f.bytes.size, 1);
    cr_assert_eq(trp_bytes_head(&f.bytes)[0], 'x');
    stop(&f);
}

Test(bytes, none_is_larger_than_its_limit)
{
    struct fixture f;

    start(&f);
    cr_assert_null(trp_bytes_reserve(&f.bytes, &f.memory, TRP_BYTES_MAX + 1));
    cr_assert_not_null(trp_bytes_reserve(&f.bytes, &f.memory, 1));
    trp_bytes_fill(&f.bytes, 1);
    cr_assert_null(trp_bytes_reserve(&f.bytes, &f.memory, TRP_BYTES_MAX));
    cr_assert_null(trp_bytes_reserve(&f.bytes, &f.memory, SIZE_MAX));
    stop(&f);
}

Test(bytes, an_empty_one_keeps_a_small_block_only)
{
    struct fixture f;

    start(&f);
    cr_assert_not_null(trp_bytes_reserve(&f.bytes, &f.memory, 1));
    trp_bytes_rest(&f.bytes, &f.memory, TRP_BYTES_KEEP);
    cr_assert_eq(f.state.blocks, 1);
    cr_assert_not_null(trp_bytes_reserve(&f.bytes, &f.memory, TRP_BYTES_KEEP + 1));
    trp_bytes_fill(&f.bytes, 1);
    trp_bytes_rest(&f.bytes, &f.memory, TRP_BYTES_KEEP);
    cr_assert_eq(f.state.blocks, 1, "something is in it");
    trp_bytes_take(&f.bytes, 1);
    trp_bytes_rest(&f.bytes, &f.memory, TRP_BYTES_KEEP);
    cr_assert_eq(f.state.blocks, 0);
    stop(&f);
}
