/* SPDX-License-Identifier: MIT */
/*
 * hoard.h - for tests: takes all the memory that a message could be made of, and gives it back.
 *
 * Pools cut many blocks from one allocation, so that "the next allocation fails" is not enough to see what happens
 * when a message cannot be made.  Blocks come from the pool of whoever fills the hoard: do it in the handler that is to
 * run without memory.
 */
#ifndef TEST_HOARD_H
#define TEST_HOARD_H

#include <criterion/criterion.h>

#include <troupe.h>

#include "test/support/allocator.h"

#define HOARD_MAX 16384

struct hoard {
    struct test_allocator *memory;
    struct troupe_message *msgs[HOARD_MAX];
    unsigned count;
};

static const struct troupe_type hoard_bytes = TROUPE_BYTES;

/** From now on no message of up to 1 KiB can be made in this context, and nothing else allocated. */
static inline void hoard_fill(struct hoard *hoard, struct troupe_runtime *runtime)
{
    static const size_t sizes[] = {8, 48, 100, 160, 256, 400, 900};

    hoard->memory->fail_for_good = true;
    hoard->memory->fail_at = 1;
    for (size_t i = 0; i < TROUPE_COUNT(sizes); i++) {
        while (troupe_message_create(runtime, &hoard_bytes, sizes[i], &hoard->msgs[hoard->count]) ==
               TROUPE_OK) {
            hoard->count++;
            cr_assert_lt(hoard->count, HOARD_MAX);
        }
    }
}

/** There is memory again. */
static inline void hoard_empty(struct hoard *hoard)
{
    hoard->memory->fail_at = 0;
    while (hoard->count > 0) {
        troupe_message_destroy(hoard->msgs[--hoard->count]);
    }
}

#endif
