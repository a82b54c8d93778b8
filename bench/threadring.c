/* SPDX-License-Identifier: MIT */
/*
 * threadring.c - one token goes round a ring of actors: each hop is a cell that left the first cache long ago.
 */
#include "harness.h"

#define ACTORS 1000U
#define HOPS 5000000U

static const struct troupe_type close_ring = TROUPE_TYPE(troupe_pid);
static const struct troupe_type launch = TROUPE_TYPE(uint64_t); /* body: how many hops */
static const struct troupe_type token = TROUPE_TYPE(uint64_t);  /* body: hops left after this one */

struct link {
    struct bench_run *run;
    troupe_pid next;
    uint64_t passed;
};

static int link_init(struct troupe_actor *self, void *state, const void *arg)
{
    (void)self;
    *(struct link *)state = *(const struct link *)arg;
    return TROUPE_OK;
}

static int link_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct link *link = state;
    uint64_t left = *(uint64_t *)troupe_body(msg);

    if (troupe_is(msg, &close_ring)) {
        link->next = left;
        return TROUPE_OK;
    }
    if (troupe_is(msg, &token)) {
        link->passed++;
    }
    if (left == 0) {
        bench_part_done(link->run);
        return TROUPE_OK;
    }
    left--;
    return troupe_send(self, link->next, &token, &left);
}

static void link_destroy(void *state)
{
    struct link *link = state;

    bench_tally(link->run, link->passed, 0);
}

static const struct troupe_behaviour link_behaviour = {
    .name = "link",
    .state_size = sizeof(struct link),
    .init = link_init,
    .receive = link_receive,
    .destroy = link_destroy,
};

static int start(struct bench_run *run)
{
    struct link link = {.run = run};
    uint64_t hops = bench_scaled(run, HOPS);
    troupe_pid last;

    TROUPE_TRY(bench_spawn(run, &link_behaviour, &link, sizeof link, &last));
    link.next = last;
    for (unsigned i = 1; i < ACTORS; i++) {
        TROUPE_TRY(bench_spawn(run, &link_behaviour, &link, sizeof link, &link.next));
    }
    TROUPE_TRY(bench_send(run, last, &close_ring, link.next));
    run->expected_count = hops;
    bench_begin(run, hops, 1);
    return bench_send(run, last, &launch, hops);
}

const struct bench_workload bench_threadring = {
    .name = "threadring",
    .about = "1000 actors in a ring, one token, 5 000 000 hops",
    .start = start,
};
