/* SPDX-License-Identifier: MIT */
/*
 * philosophers.c - 20 philosophers dine, and one waiter gives them their forks: one serves many, who wait for each other.
 *
 * The waiter remembers who is hungry, and looks at both neighbours whenever somebody has put the forks down.
 */
#include "harness.h"

#define SEATS 20U
#define MEALS 50000U

static const struct troupe_type go_on = TROUPE_SIGNAL;
static const struct troupe_type hungry = TROUPE_TYPE(uint64_t); /* body: the seat */
static const struct troupe_type full = TROUPE_TYPE(uint64_t);   /* body: the seat */
static const struct troupe_type eat = TROUPE_SIGNAL;

/* Of this repetition, which has the process to itself: set before the clock runs. */
static troupe_pid philosophers[SEATS];

struct philosopher {
    struct bench_run *run;
    troupe_pid waiter;
    uint64_t seat;
    uint64_t left;
    uint64_t meals;
};

struct waiter {
    struct bench_run *run;
    bool is_hungry[SEATS];
    bool is_taken[SEATS]; /* the fork on the left of that seat */
};

static int philosopher_init(struct troupe_actor *self, void *state, const void *arg)
{
    (void)self;
    *(struct philosopher *)state = *(const struct philosopher *)arg;
    return TROUPE_OK;
}

static int philosopher_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct philosopher *philosopher = state;

    if (troupe_is(msg, &eat)) {
        philosopher->meals++;
        TROUPE_TRY(troupe_send(self, philosopher->waiter, &full, &philosopher->seat));
        if (--philosopher->left == 0) {
            bench_part_done(philosopher->run);
            return TROUPE_OK;
        }
    }
    return troupe_send(self, philosopher->waiter, &hungry, &philosopher->seat);
}

static void philosopher_destroy(void *state)
{
    struct philosopher *philosopher = state;

    bench_tally(philosopher->run, philosopher->meals, 0);
}

static int waiter_init(struct troupe_actor *self, void *state, const void *arg)
{
    struct waiter *waiter = state;

    (void)self;
    /* The run outlives its actors, and its address came through `const void *`. */
    waiter->run = (struct bench_run *)(uintptr_t)arg;
    return TROUPE_OK;
}

/* Both forks to whoever sits there, if hungry and both are there. */
static int serve(struct troupe_actor *self, struct waiter *waiter, uint64_t seat)
{
    uint64_t right = (seat + 1) % SEATS;

    if (!waiter->is_hungry[seat] || waiter->is_taken[seat] || waiter->is_taken[right]) {
        return TROUPE_OK;
    }
    waiter->is_hungry[seat] = false;
    waiter->is_taken[seat] = true;
    waiter->is_taken[right] = true;
    return troupe_send(self, philosophers[seat], &eat, NULL);
}

static int waiter_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct waiter *waiter = state;
    uint64_t seat = *(uint64_t *)troupe_body(msg);
    uint64_t right = (seat + 1) % SEATS;

    if (troupe_is(msg, &hungry)) {
        waiter->is_hungry[seat] = true;
        return serve(self, waiter, seat);
    }
    if (!waiter->is_taken[seat] || !waiter->is_taken[right]) {
        return bench_fail(waiter->run, "a fork was put down that nobody had");
    }
    waiter->is_taken[seat] = false;
    waiter->is_taken[right] = false;
    TROUPE_TRY(serve(self, waiter, (seat + SEATS - 1) % SEATS));
    return serve(self, waiter, right);
}

static const struct troupe_behaviour philosopher_behaviour = {
    .name = "philosopher",
    .state_size = sizeof(struct philosopher),
    .init = philosopher_init,
    .receive = philosopher_receive,
    .destroy = philosopher_destroy,
};

static const struct troupe_behaviour waiter_behaviour = {
    .name = "waiter",
    .state_size = sizeof(struct waiter),
    .init = waiter_init,
    .receive = waiter_receive,
};

static int start(struct bench_run *run)
{
    struct philosopher philosopher = {.run = run, .left = bench_scaled(run, MEALS)};

    TROUPE_TRY(bench_spawn(run, &waiter_behaviour, run, 0, &philosopher.waiter));
    for (unsigned i = 0; i < SEATS; i++) {
        philosopher.seat = i;
        TROUPE_TRY(bench_spawn(
            run, &philosopher_behaviour, &philosopher, sizeof philosopher, &philosophers[i]));
    }
    run->expected_count = SEATS * philosopher.left;
    bench_begin(run, philosopher.left * SEATS * 3, SEATS);
    for (unsigned i = 0; i < SEATS; i++) {
        TROUPE_TRY(bench_signal(run, philosophers[i], &go_on));
    }
    return TROUPE_OK;
}

const struct bench_workload bench_philosophers = {
    .name = "philosophers",
    .about = "20 philosophers and a waiter, 50 000 meals each",
    .start = start,
};
