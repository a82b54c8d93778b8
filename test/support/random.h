/* SPDX-License-Identifier: MIT */
/*
 * random.h - numbers for tests that try many things, repeatable by the seed that they print.
 *
 * Set TROUPE_TEST_SEED to repeat a run.
 */
#ifndef TEST_RANDOM_H
#define TEST_RANDOM_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

struct test_random {
    uint64_t state;
};

/** A generator with a given seed; several threads take different ones. */
static inline struct test_random test_random_of(uint64_t seed)
{
    return (struct test_random){seed};
}

/** A seed from the environment or the clock; prints it. */
static inline uint64_t test_seed(const char *test)
{
    const char *wanted = getenv("TROUPE_TEST_SEED");
    struct timespec now;
    uint64_t seed;

    clock_gettime(CLOCK_REALTIME, &now);
    seed = (uint64_t)now.tv_sec * 1000000007u + (uint64_t)now.tv_nsec;
    if (wanted != NULL) {
        seed = strtoull(wanted, NULL, 10);
    }
    fprintf(stderr, "%s: TROUPE_TEST_SEED=%llu\n", test, (unsigned long long)seed);
    return seed;
}

/** The next number (splitmix64). */
static inline uint64_t test_next(struct test_random *random)
{
    uint64_t z = random->state += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

/** One of 0 .. count-1. */
static inline uint64_t test_below(struct test_random *random, uint64_t count)
{
    return test_next(random) % count;
}

#endif
