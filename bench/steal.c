/* SPDX-License-Identifier: MIT */
/*
 * steal.c - one actor spawns many jobs of 20 us: how well the other workers take their share.
 *
 * Ideal is the work divided by the workers that can run at once.
 */
#include "crowd.h"
#include "work.h"

#include <unistd.h>

#define JOBS 100000U
#define JOB_NS 20000U

struct job {
    struct bench_run *run;
    uint64_t handled;
};

/* Of this repetition, which has the process to itself: set before the clock runs. */
static uint64_t job_steps;

static int job_init(struct troupe_actor *self, void *state, const void *arg)
{
    struct job *job = state;

    (void)self;
    /* The run outlives its actors, and its address came through `const void *`. */
    job->run = (struct bench_run *)(uintptr_t)arg;
    return TROUPE_OK;
}

static int job_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct job *job = state;

    (void)self;
    job->handled += troupe_is(msg, &bench_crowd_job);
    bench_work(job_steps);
    bench_part_done(job->run);
    return TROUPE_DONE;
}

static void job_destroy(void *state)
{
    struct job *job = state;

    bench_tally(job->run, job->handled, 0);
}

static const struct troupe_behaviour job_behaviour = {
    .name = "job",
    .state_size = sizeof(struct job),
    .init = job_init,
    .receive = job_receive,
    .destroy = job_destroy,
};

static int start(struct bench_run *run)
{
    uint64_t jobs = bench_scaled(run, JOBS);

    job_steps = bench_work_steps(JOB_NS);
    run->expected_count = jobs;
    return bench_crowd(run, &job_behaviour, jobs);
}

static int measure(struct bench_run *run)
{
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    double lanes = online > 0 && (unsigned)online < run->workers ? (double)online : run->workers;

    run->result.efficiency =
        (double)run->result.messages * JOB_NS / 1e9 / lanes / run->result.seconds;
    return TROUPE_OK;
}

const struct bench_workload bench_steal = {
    .name = "steal",
    .about = "one actor spawns 100 000 jobs of 20 us: ideal time / time",
    .figure = BENCH_EFFICIENCY,
    .actors = JOBS,
    .start = start,
    .measure = measure,
};
