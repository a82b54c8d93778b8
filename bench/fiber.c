/* SPDX-License-Identifier: MIT */
/*
 * fiber.c - actors that are functions, and handlers that may wait: what their messages, their lives and their waiting cost.
 *
 *   fiber_pingpong  as pingpong, between two functions that wait for each throw
 *   fiber_create    as fj_create: a function that waits for one message and returns
 *   waiting_memory  as idle_memory, of handlers that may wait and have waited once
 *   fiber_memory    functions that wait in their middle, each with a stack of its own
 */
#include "crowd.h"

#define ROUNDS 2000000U
#define LIVES 1000000U
#define HANDLERS 1000000U
#define FIBERS 100000U

static const struct troupe_type serve = TROUPE_TYPE(uint64_t); /* body: how many throws */
static const struct troupe_type ball = TROUPE_TYPE(uint64_t); /* body: throws left after this one */

/* Of this repetition, which has the process to itself. */
static uint64_t resident_before;

/* The run outlives its actors, and its address came through `const void *`. */
static struct bench_run *run_of(const void *arg)
{
    return (struct bench_run *)(uintptr_t)arg;
}

/* ---- fiber_pingpong ---- */

static int play(struct troupe_actor *self, struct bench_run *run, troupe_pid partner)
{
    uint64_t caught = 0;
    uint64_t left;

    do {
        struct troupe_message *msg;
        troupe_pid to = partner;

        TROUPE_TRY(troupe_receive(self, TROUPE_FOREVER, &msg));
        left = *(const uint64_t *)troupe_body(msg);
        if (troupe_is(msg, &ball)) {
            caught++;
            to = troupe_sender(msg);
        }
        if (left > 0) {
            left--;
            TROUPE_TRY(troupe_send(self, to, &ball, &left));
        }
        /* Who threw the last one catches nothing more. */
    } while (left > 0);
    bench_tally(run, caught, 0);
    bench_part_done(run);
    return TROUPE_OK;
}

static int return_throws(struct troupe_actor *self, const void *arg)
{
    return play(self, run_of(arg), TROUPE_NOBODY);
}

static const struct troupe_behaviour partner_behaviour = {.name = "partner", .main = return_throws};

/* Spawns its partner: what a function spawns begins where it is itself, and stays there once it has waited. */
static int serve_throws(struct troupe_actor *self, const void *arg)
{
    struct troupe_spawn_options options = {.behaviour = &partner_behaviour, .arg = arg};
    troupe_pid partner;

    TROUPE_TRY(troupe_spawn(self, &options, &partner));
    return play(self, run_of(arg), partner);
}

static const struct troupe_behaviour server_behaviour = {.name = "server", .main = serve_throws};

static int start_pingpong(struct bench_run *run)
{
    troupe_pid server;
    uint64_t throws = 2 * bench_scaled(run, ROUNDS);

    TROUPE_TRY(bench_spawn(run, &server_behaviour, run, 0, &server));
    run->expected_count = throws;
    bench_begin(run, throws, 2);
    return bench_send(run, server, &serve, throws);
}

const struct bench_workload bench_fiber_pingpong = {
    .name = "fiber_pingpong",
    .about = "1 pair of functions that wait, 2 000 000 round trips",
    .start = start_pingpong,
};

/* ---- fiber_create ---- */

static int live(struct troupe_actor *self, const void *arg)
{
    struct bench_run *run = run_of(arg);
    struct troupe_message *msg;

    TROUPE_TRY(troupe_receive(self, TROUPE_FOREVER, &msg));
    if (!troupe_is(msg, &bench_crowd_job)) {
        return bench_fail(run, "an actor got another message than its own");
    }
    bench_tally(run, 1, 0);
    bench_part_done(run);
    return TROUPE_OK;
}

static const struct troupe_behaviour mayfly = {.name = "mayfly", .main = live};

static int start_create(struct bench_run *run)
{
    uint64_t actors = bench_scaled(run, LIVES);

    run->expected_count = actors;
    return bench_crowd(run, &mayfly, actors);
}

const struct bench_workload bench_fiber_create = {
    .name = "fiber_create",
    .about = "1 000 000 functions are spawned, wait for one message each and return",
    .actors = LIVES,
    .start = start_create,
};

/* ---- waiting_memory, fiber_memory ---- */

struct idler {
    struct bench_run *run;
};

static int idler_init(struct troupe_actor *self, void *state, const void *arg)
{
    (void)self;
    ((struct idler *)state)->run = run_of(arg);
    return TROUPE_OK;
}

static int idler_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    const struct idler *idler = state;

    if (!troupe_is(msg, &bench_crowd_job)) {
        return TROUPE_EUNKNOWN;
    }
    TROUPE_TRY(troupe_yield(self));
    bench_tally(idler->run, 1, 0);
    bench_part_done(idler->run);
    return TROUPE_OK;
}

static const struct troupe_behaviour idler_behaviour = {
    .name = "idler",
    .state_size = sizeof(struct idler),
    .init = idler_init,
    .receive = idler_receive,
    .may_wait = true,
};

static int wait_twice(struct troupe_actor *self, const void *arg)
{
    struct bench_run *run = run_of(arg);
    struct troupe_message *msg;

    TROUPE_TRY(troupe_receive(self, TROUPE_FOREVER, &msg));
    bench_tally(run, 1, 0);
    bench_part_done(run);
    return troupe_receive(self, TROUPE_FOREVER, &msg);
}

static const struct troupe_behaviour sleeper = {
    .name = "sleeper", .main = wait_twice, .stack_size = 8192};

static int start_waiting(struct bench_run *run)
{
    uint64_t actors = bench_scaled(run, HANDLERS);

    run->expected_count = actors;
    resident_before = bench_resident_bytes();
    return bench_crowd(run, &idler_behaviour, actors);
}

static int start_sleeping(struct bench_run *run)
{
    uint64_t actors = bench_scaled(run, FIBERS);

    run->expected_count = actors;
    resident_before = bench_resident_bytes();
    return bench_crowd(run, &sleeper, actors);
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

const struct bench_workload bench_waiting_memory = {
    .name = "waiting_memory",
    .about = "1 000 000 idle handlers that may wait, and have waited once: memory of one",
    .figure = BENCH_BYTES_PER_ACTOR,
    .actors = HANDLERS,
    .start = start_waiting,
    .measure = measure,
};

const struct bench_workload bench_fiber_memory = {
    .name = "fiber_memory",
    .about = "100 000 functions that wait in their middle: memory of one, stack included",
    .figure = BENCH_BYTES_PER_ACTOR,
    .actors = FIBERS,
    .start = start_sleeping,
    .measure = measure,
};
