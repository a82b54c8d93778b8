/* SPDX-License-Identifier: MIT */
/*
 * many_to_one.c - many actors send to one: senders on all workers meet at one mailbox.
 */
#include "flood.h"

#define PRODUCERS 16U
#define MESSAGES 10000000U

static int start_bounded(struct bench_run *run)
{
    return bench_flood(run, PRODUCERS, bench_scaled(run, MESSAGES), true);
}

static int start_unbounded(struct bench_run *run)
{
    return bench_flood(run, PRODUCERS, bench_scaled(run, MESSAGES), false);
}

const struct bench_workload bench_many_to_one_b = {
    .name = "many_to_one_b",
    .alias = "many_to_one",
    .about = "16 actors to 1, 10 000 000 messages in all, a mailbox for 1024",
    .start = start_bounded,
};

const struct bench_workload bench_many_to_one_u = {
    .name = "many_to_one_u",
    .about = "16 actors to 1, 10 000 000 messages in all, a mailbox for 2^23",
    .start = start_unbounded,
};
