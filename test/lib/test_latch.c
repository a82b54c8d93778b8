/* SPDX-License-Identifier: MIT */
/* latch: a thread waits for what an actor has to say, and either may leave first. */
#include "latch.h"
#include "test/support/allocator.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <string.h>

#include <troupe/runtime.h>

static struct troupe_runtime *open_runtime(void)
{
    struct troupe_runtime_options options = {.workers = TROUPE_NO_THREADS};
    struct troupe_runtime *runtime;

    cr_assert_eq(troupe_runtime_create(&options, &runtime), TROUPE_OK);
    return runtime;
}

static struct trp_latch *latch_of(struct troupe_runtime *runtime)
{
    struct trp_latch *latch;

    cr_assert_eq(trp_latch_create(runtime, &latch), TROUPE_OK);
    return latch;
}

Test(latch, one_that_nobody_opens_times_out)
{
    struct troupe_runtime *runtime = open_runtime();
    struct trp_latch *latch = latch_of(runtime);
    struct trp_outcome outcome;

    cr_assert_eq(trp_latch_wait(latch, 0, &outcome), TROUPE_ETIMEDOUT);
    cr_assert_eq(trp_latch_wait(latch, 1, &outcome), TROUPE_ETIMEDOUT);
    trp_latch_drop(latch);
    trp_latch_drop(latch);
    cr_assert_eq(troupe_runtime_destroy(runtime), TROUPE_OK);
}

Test(latch, the_first_word_stands)
{
    struct troupe_runtime *runtime = open_runtime();
    struct trp_latch *latch = latch_of(runtime);
    struct trp_outcome outcome = {.status = 7};

    trp_latch_tell(latch, &outcome);
    outcome.status = 8;
    trp_latch_tell(latch, &outcome);
    cr_assert_eq(trp_latch_wait(latch, TROUPE_FOREVER, &outcome), TROUPE_OK);
    cr_assert_eq(outcome.status, 7);
    trp_latch_drop(latch);
    trp_latch_drop(latch);
    cr_assert_eq(troupe_runtime_destroy(runtime), TROUPE_OK);
}

/* Large enough for a block of its own. */
#define TEXT ((size_t)100000)

static struct trp_outcome with_text(struct troupe_runtime *runtime)
{
    struct trp_outcome outcome = {.reason = {.kind = TROUPE_EXIT_ERROR, .code = -1}};

    cr_assert_eq(troupe_buffer_create(runtime, TEXT, &outcome.reason.text), TROUPE_OK);
    return outcome;
}

Test(latch, a_text_that_nobody_waits_for_is_given_back)
{
    struct test_allocator memory = {0};
    struct troupe_allocator allocator = test_allocator_of(&memory);
    struct troupe_runtime_options options = {.workers = TROUPE_NO_THREADS, .allocator = &allocator};
    struct troupe_runtime *runtime;
    struct trp_outcome first;
    struct trp_outcome second;
    struct trp_latch *latch;
    uint64_t blocks;

    cr_assert_eq(troupe_runtime_create(&options, &runtime), TROUPE_OK);
    latch = latch_of(runtime);
    blocks = memory.blocks;
    first = with_text(runtime);
    second = with_text(runtime);
    cr_assert_eq(memory.blocks, blocks + 2);
    trp_latch_drop(latch);
    trp_latch_tell(latch, &first);
    trp_latch_tell(latch, &second);
    cr_assert_eq(memory.blocks, blocks + 1, "the second one");
    trp_latch_drop(latch);
    cr_assert_eq(memory.blocks, blocks, "the first one");
    cr_assert_eq(troupe_runtime_destroy(runtime), TROUPE_OK);
}

struct teller {
    struct trp_latch *latch;
    int status;
};

static void *tell(void *arg)
{
    const struct teller *teller = arg;
    struct trp_outcome outcome = {.status = teller->status};

    trp_latch_tell(teller->latch, &outcome);
    trp_latch_drop(teller->latch);
    return NULL;
}

/* Whoever drops last frees: under the sanitizers this is where a hold too few shows. */
Test(latch, who_waits_hears_of_it_whoever_is_first, .timeout = 60)
{
    struct troupe_runtime *runtime = open_runtime();

    for (int i = 1; i <= 500; i++) {
        struct teller teller = {latch_of(runtime), i};
        struct trp_outcome outcome;
        pthread_t thread;

        cr_assert_eq(pthread_create(&thread, NULL, tell, &teller), 0);
        cr_assert_eq(trp_latch_wait(teller.latch, TROUPE_FOREVER, &outcome), TROUPE_OK);
        cr_assert_eq(outcome.status, i);
        trp_latch_drop(teller.latch);
        cr_assert_eq(pthread_join(thread, NULL), 0);
    }
    cr_assert_eq(troupe_runtime_destroy(runtime), TROUPE_OK);
}
