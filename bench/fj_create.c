/* SPDX-License-Identifier: MIT */
/*
 * fj_create.c - actors that are spawned, handle one message and end: a whole life each.
 *
 * A life is over when its state is destroyed.  The counter that all of them take one from is part of the measured
 * work, as a wait group is elsewhere.
 */
#include "crowd.h"

#define ACTORS 1000000U

struct mayfly {
    struct bench_run *run;
    uint64_t handled;
};

static int mayfly_init(struct troupe_actor *self, void *state, const void *arg)
{
    struct mayfly *mayfly = state;

    (void)self;
    /* The run outlives its actors, and its address came through `const void *`. */
    mayfly->run = (struct bench_run *)(uintptr_t)arg;
    return TROUPE_OK;
}

static int mayfly_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct mayfly *mayfly = state;

    (void)self;
    mayfly->handled += troupe_is(msg, &bench_crowd_job);
    return TROUPE_DONE;
}

static void mayfly_destroy(void *state)
{
    struct mayfly *mayfly = state;

    if (mayfly->handled != 1) {
        (void)bench_fail(mayfly->run, "an actor ended without its message");
    }
    bench_part_done(mayfly->run);
}

static const struct troupe_behaviour mayfly_behaviour = {
    .name = "mayfly",
    .state_size = sizeof(struct mayfly),
    .init = mayfly_init,
    .receive = mayfly_receive,
    .destroy = mayfly_destroy,
};

static int start(struct bench_run *run)
{
    /* Nobody tallies: each looks after itself, and the last part is the last one's end. */
    run->expected_count = 0;
    return bench_crowd(run, &mayfly_behaviour, bench_scaled(run, ACTORS));
}

const struct bench_workload bench_fj_create = {
    .name = "fj_create",
    .about = "1 000 000 actors are spawned, handle one message each and end",
    .actors = ACTORS,
    .start = start,
};
