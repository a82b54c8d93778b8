/* SPDX-License-Identifier: MIT */
/*
 * random.h - numbers that look random and are the same in each run: splitmix64.
 */
#ifndef BENCH_RANDOM_H
#define BENCH_RANDOM_H

#include <stdint.h>

struct bench_random {
    uint64_t state;
};

static inline struct bench_random bench_random_seeded(uint64_t seed)
{
    return (struct bench_random){.state = seed};
}

static inline uint64_t bench_random_next(struct bench_random *random)
{
    uint64_t x = random->state += 0x9e3779b97f4a7c15U;

    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9U;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebU;
    return x ^ (x >> 31);
}

/** One of 0 to `limit` - 1; `limit` is far below 2^64, so that none is noticeably favoured. */
static inline uint64_t bench_random_below(struct bench_random *random, uint64_t limit)
{
    return bench_random_next(random) % limit;
}

#endif
