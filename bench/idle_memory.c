/* SPDX-License-Identifier: MIT */
/*
 * idle_memory.c - what an actor weighs that has handled a message and waits for the next.
 *
 * The growth of resident memory from the started runtime to the crowd at rest, by the number of actors.  All that
 * grew is counted: cells, their table, the pools that the messages came from.
 */
#include "crowd.h"

#define ACTORS 1000000U

struct idler {
    struct bench_run *run;
    uint64_t handled;
};

/* Of this repetition, which has the process to itself. */
static uint64_t resident_before;

static int idler_init(struct troupe_actor *self, void *state, const void *arg)
{
    struct idler *idler = state;

    (void)self;
    /* The run outlives its actors, and its address came through `const void *`. */
    idler->run = (struct bench_run *)(uintptr_t)arg;
    return TROUPE_OK;
}

static int idler_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct idler *idler = state;

    (void)self;
    if (!troupe_is(msg, &bench_crowd_job)) {
        return TROUPE_EUNKNOWN;
    }
    idler->handled++;
    bench_part_done(idler->run);
    return TROUPE_OK;
}

static void idler_destroy(void *state)
{
    struct idler *idler = state;

    bench_tally(idler->run, idler->handled, 0);
}

static const struct troupe_behaviour idler_behaviour = {
    .name = "idler",
    .state_size = sizeof(struct idler),
    .init = idler_init,
    .receive = idler_receive,
    .destroy = idler_destroy,
};

static int start(struct bench_run *run)
{
    uint64_t actors = bench_scaled(run, ACTORS);

    run->expected_count = actors;
    resident_before = bench_resident_bytes();
    return bench_crowd(run, &idler_behaviour, actors);
}

static int measure(struct bench_run *run)
{
    uint64_t resident = bench_resident_bytes();

    if (resident_before == 0 || resident < resident_before) {
        return TROUPE_ESYSTEM;
    }
    run->result.bytes_per_actor =
        (double)(resident - resident_before) / (double)run->result.messages;
    return TROUPE_OK;
}

const struct bench_workload bench_idle_memory = {
    .name = "idle_memory",
    .about = "1 000 000 idle actors, each has handled one message: memory of one",
    .figure = BENCH_BYTES_PER_ACTOR,
    .actors = ACTORS,
    .start = start,
    .measure = measure,
};
