/* SPDX-License-Identifier: MIT */
/* Intensity: exactly so many attempts in a sliding period, and not one more. */
#include "intensity.h"

#include <criterion/criterion.h>
#include <stdlib.h>

#include "test/support/random.h"

#define PERIOD 1000

Test(intensity, none_allowed_says_no_at_the_first)
{
    struct trp_intensity intensity;
    uint64_t times[1];

    trp_intensity_init(&intensity, times, 0, PERIOD);
    cr_assert(trp_intensity_charge(&intensity, 5));
    cr_assert(trp_intensity_charge(&intensity, 5 + 10 * PERIOD));
}

Test(intensity, so_many_are_tolerated_and_the_next_is_not)
{
    struct trp_intensity intensity;
    uint64_t times[4];

    trp_intensity_init(&intensity, times, 3, PERIOD);
    cr_assert_not(trp_intensity_charge(&intensity, 100));
    cr_assert_not(trp_intensity_charge(&intensity, 100));
    cr_assert_not(trp_intensity_charge(&intensity, 101));
    cr_assert(trp_intensity_charge(&intensity, 102));
}

Test(intensity, an_attempt_exactly_a_period_old_still_counts)
{
    struct trp_intensity intensity;
    uint64_t times[2];

    trp_intensity_init(&intensity, times, 1, PERIOD);
    cr_assert_not(trp_intensity_charge(&intensity, 100));
    cr_assert(trp_intensity_charge(&intensity, 100 + PERIOD));
}

Test(intensity, an_older_one_does_not)
{
    struct trp_intensity intensity;
    uint64_t times[2];

    trp_intensity_init(&intensity, times, 1, PERIOD);
    cr_assert_not(trp_intensity_charge(&intensity, 100));
    cr_assert_not(trp_intensity_charge(&intensity, 100 + PERIOD + 1));
    cr_assert(trp_intensity_charge(&intensity, 100 + PERIOD + 2));
}

Test(intensity, the_window_slides_and_does_not_tumble)
{
    struct trp_intensity intensity;
    uint64_t times[3];

    trp_intensity_init(&intensity, times, 2, PERIOD);
    /* Two late in one period and one early in the next are three in a period. */
    cr_assert_not(trp_intensity_charge(&intensity, 900));
    cr_assert_not(trp_intensity_charge(&intensity, 950));
    cr_assert(trp_intensity_charge(&intensity, 1100));
}

/* 7.2: O(1), so a million and more charges under the largest intensity take no time worth speaking of; each looks at one
 * entry.  The ring is exactly as long as it was promised: the sanitizer would see one entry too many. */
Test(intensity, a_large_intensity_costs_no_more_than_a_small_one, .timeout = 20)
{
    const uint32_t limit = 1048576;
    uint64_t *times = malloc(trp_intensity_entries(limit) * sizeof *times);
    struct trp_intensity intensity;

    cr_assert_not_null(times);
    trp_intensity_init(&intensity, times, limit, UINT64_C(1) << 40);
    for (uint32_t i = 0; i < limit; i++) {
        cr_assert_not(trp_intensity_charge(&intensity, i));
    }
    cr_assert(trp_intensity_charge(&intensity, limit));
    /* All are too old now: none has to be thrown away one by one. */
    cr_assert_not(trp_intensity_charge(&intensity, UINT64_C(1) << 42));
    free(times);
}

/* Against a list that forgets nothing. */
Test(intensity, agrees_with_a_plain_count_of_the_period)
{
    struct test_random random = test_random_of(test_seed("intensity"));

    for (unsigned round = 0; round < 200; round++) {
        uint32_t limit = (uint32_t)(test_next(&random) % 6);
        uint64_t times[6 + 1];
        uint64_t all[300];
        struct trp_intensity intensity;
        uint64_t now = 0;

        trp_intensity_init(&intensity, times, limit, PERIOD);
        for (unsigned i = 0; i < TROUPE_COUNT(all); i++) {
            unsigned within = 0;

            now += test_next(&random) % (PERIOD / 2);
            all[i] = now;
            for (unsigned j = 0; j <= i; j++) {
                within += now - all[j] <= PERIOD;
            }
            cr_assert_eq(trp_intensity_charge(&intensity, now), within > limit, "attempt %u", i);
        }
    }
}
