/* SPDX-License-Identifier: MIT */
/*
 * restart.c - a child fails, its supervisor starts the next one, which fails in turn.
 *
 *   restart       from the first failure on
 *   restart_long  after a million of them, all within the supervisor's period
 *
 * From crash to running again: a child sends itself a message as soon as it runs, and fails at it.
 */
#include "harness.h"

#define RESTARTS 200000U
#define BEFORE 1000000U
#define PERIOD_MS 3600000

static const struct troupe_type fail = TROUPE_SIGNAL;

/* The tree outlives start(), and each repetition has the process to itself. */
static struct {
    struct bench_run *run;
    uint64_t warm_up; /* failures that are not measured */
    uint64_t wanted;
    uint64_t failures;
} series;

static int child_init(struct troupe_actor *self, void *state, const void *arg)
{
    (void)state;
    (void)arg;
    return troupe_send(self, troupe_self(self), &fail, NULL);
}

/* One life at a time, so the numbers have one writer at a time, too. */
static int child_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    (void)self;
    (void)state;
    (void)msg;
    if (series.failures == series.warm_up) {
        series.run->begin_ns = bench_now_ns();
    }
    if (series.failures == series.warm_up + series.wanted) {
        bench_tally(series.run, series.failures, 0);
        bench_part_done(series.run);
        return TROUPE_OK;
    }
    series.failures++;
    return TROUPE_ECHECK;
}

static const struct troupe_behaviour child = {
    .name = "child", .init = child_init, .receive = child_receive};

static const struct troupe_child_spec children[] = {{.id = "child", .behaviour = &child}};

static int start(struct bench_run *run, uint64_t warm_up)
{
    uint64_t wanted = bench_scaled(run, RESTARTS);
    struct troupe_supervisor_spec tree = {
        .intensity = (int)(warm_up + wanted),
        .period_ms = PERIOD_MS,
        .children = children,
        .child_count = TROUPE_COUNT(children),
    };
    troupe_pid supervisor;

    series.run = run;
    series.warm_up = warm_up;
    series.wanted = wanted;
    run->expected_count = warm_up + wanted;
    run->expected_failures = warm_up + wanted;
    bench_begin(run, wanted, 1);
    return troupe_supervisor_start(run->runtime, &tree, TROUPE_FOREVER, &supervisor);
}

static int start_short(struct bench_run *run)
{
    return start(run, 0);
}

static int start_long(struct bench_run *run)
{
    return start(run, bench_scaled(run, BEFORE));
}

const struct bench_workload bench_restart = {
    .name = "restart",
    .about = "200 000 times a child fails and is started again",
    .start = start_short,
};

const struct bench_workload bench_restart_long = {
    .name = "restart_long",
    .about = "the same, when its supervisor has done so a million times before",
    .start = start_long,
};
