/* SPDX-License-Identifier: MIT */
/*
 * logistic_map.c - 150 series ask a computer each for their next term, x = r x (1 - x): many calls side by side.
 */
#include "harness.h"

#define SERIES 150U
#define TERMS 10000U

static const struct troupe_type go_on = TROUPE_SIGNAL;
static const struct troupe_type term = TROUPE_TYPE(double);

struct computer {
    double rate;
};

struct series {
    struct bench_run *run;
    troupe_pid computer;
    double rate;
    double x;
    uint64_t terms;
    uint64_t left;
};

static double rate_of(unsigned series)
{
    return 3.46 + 0.0025 * series;
}

static double next_of(double rate, double x)
{
    return rate * x * (1 - x);
}

static int computer_init(struct troupe_actor *self, void *state, const void *arg)
{
    (void)self;
    *(struct computer *)state = *(const struct computer *)arg;
    return TROUPE_OK;
}

static int computer_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    const struct computer *computer = state;
    double x = next_of(computer->rate, *(double *)troupe_body(msg));

    return troupe_reply(self, msg, &term, &x);
}

static int series_init(struct troupe_actor *self, void *state, const void *arg)
{
    (void)self;
    *(struct series *)state = *(const struct series *)arg;
    return TROUPE_OK;
}

static int on_term(struct troupe_actor *self, void *state, void *context, int status,
    struct troupe_message *reply);

static int ask(struct troupe_actor *self, struct series *series)
{
    return troupe_request(self, series->computer, &term, &series->x, TROUPE_FOREVER, on_term, NULL);
}

static int on_term(
    struct troupe_actor *self, void *state, void *context, int status, struct troupe_message *reply)
{
    struct series *series = state;

    (void)context;
    TROUPE_TRY(status);
    series->x = *(double *)troupe_body(reply);
    if (--series->left == 0) {
        bench_part_done(series->run);
        return TROUPE_OK;
    }
    return ask(self, series);
}

static int series_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    (void)msg;
    return ask(self, state);
}

/* Whether all terms came from the right computer, in order. */
static void series_destroy(void *state)
{
    struct series *series = state;
    double x = series->rate / 10;

    for (uint64_t i = 0; i < series->terms; i++) {
        x = next_of(series->rate, x);
    }
    bench_tally(series->run, !(x < series->x) && !(x > series->x), 0);
}

static const struct troupe_behaviour computer_behaviour = {
    .name = "computer",
    .state_size = sizeof(struct computer),
    .init = computer_init,
    .receive = computer_receive,
};

static const struct troupe_behaviour series_behaviour = {
    .name = "series",
    .state_size = sizeof(struct series),
    .init = series_init,
    .receive = series_receive,
    .destroy = series_destroy,
};

static int start(struct bench_run *run)
{
    uint64_t terms = bench_scaled(run, TERMS);
    troupe_pid pids[SERIES];

    for (unsigned i = 0; i < SERIES; i++) {
        struct computer computer = {.rate = rate_of(i)};
        struct series series = {.run = run,
            .rate = computer.rate,
            .x = computer.rate / 10,
            .terms = terms,
            .left = terms};

        TROUPE_TRY(
            bench_spawn(run, &computer_behaviour, &computer, sizeof computer, &series.computer));
        TROUPE_TRY(bench_spawn(run, &series_behaviour, &series, sizeof series, &pids[i]));
    }
    run->expected_count = SERIES;
    bench_begin(run, terms * SERIES * 2, SERIES);
    for (unsigned i = 0; i < SERIES; i++) {
        TROUPE_TRY(bench_signal(run, pids[i], &go_on));
    }
    return TROUPE_OK;
}

const struct bench_workload bench_logistic_map = {
    .name = "logistic_map",
    .about = "150 series of 10 000 terms, each asked of a computer",
    .start = start,
};
