/* SPDX-License-Identifier: MIT */
/*
 * counting.c - one actor sends to one other as fast as it can.
 *
 * Bounded, the producer is refused again and again, and waits its turn; unbounded, the queue grows as far as
 * the consumer lags behind, and memory with it.
 */
#include "flood.h"

#define MESSAGES 10000000U

static int start_bounded(struct bench_run *run)
{
    return bench_flood(run, 1, bench_scaled(run, MESSAGES), true);
}

static int start_unbounded(struct bench_run *run)
{
    return bench_flood(run, 1, bench_scaled(run, MESSAGES), false);
}

const struct bench_workload bench_counting_b = {
    .name = "counting_b",
    .alias = "counting",
    .about = "1 actor to 1, 10 000 000 messages, a mailbox for 1024",
    .start = start_bounded,
};

const struct bench_workload bench_counting_u = {
    .name = "counting_u",
    .about = "1 actor to 1, 10 000 000 messages, a mailbox for 2^23",
    .start = start_unbounded,
};
