/* SPDX-License-Identifier: MIT */
/*
 * blocking: jobs are over while their actor ends, cancels them, or lives on under the same pid.  Each argument goes one way,
 * once: to its actor with an outcome, or to be given back; nobody looks at a job after it was disposed of.
 */
#include "test/explore/stage.h"

enum { JOBS = 2, RESULT = 7 };

static struct troupe_runtime *runtime;
static struct troupe_actor *actor;
static troupe_job_id ids[JOBS];

/* Ghosts. */
static unsigned runs;
static unsigned outcomes;
static unsigned given_back;
static int last_outcome;

EXPLORE_GHOST static void note_run(void)
{
    runs++;
}

EXPLORE_GHOST static void note_outcome(int status)
{
    outcomes++;
    last_outcome = status;
}

EXPLORE_GHOST static void note_given_back(void)
{
    given_back++;
}

static int run(struct troupe_job *job, void *arg)
{
    (void)job;
    *(int *)arg = RESULT;
    note_run();
    return RESULT;
}

static void give_back(void *arg)
{
    note_given_back();
    explore_check(*(int *)arg == RESULT || *(int *)arg == 0);
    explore_free(arg, sizeof(int));
}

static int on_done(struct troupe_actor *self, void *state, void *arg, int status)
{
    (void)self;
    (void)state;
    explore_check(*(int *)arg == (status == RESULT ? RESULT : 0));
    explore_check(status == RESULT || status == TROUPE_ECANCELLED);
    explore_free(arg, sizeof(int));
    note_outcome(status);
    return TROUPE_OK;
}

static int receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    (void)self;
    (void)state;
    (void)msg;
    explore_fail("a job that is over is no message of the user's");
}

static const struct troupe_behaviour behaviour = {.name = "actor", .receive = receive};

/* ---- setups ---- */

static void submit(unsigned number)
{
    int *arg = explore_alloc(sizeof *arg, sizeof *arg);

    *arg = 0;
    explore_check(troupe_blocking(actor, run, arg, give_back, on_done, &ids[number]) == TROUPE_OK);
}

/* One job; the pool counts on threads that scenarios play. */
static void set_up(void)
{
    runtime = stage_open(1, 2);
    runs = 0;
    outcomes = 0;
    given_back = 0;
    runtime->shard_count = 1;
    trp_lock_init(&runtime->shards[0].lock);
    runtime->shards[0].context.runtime = runtime;
    trp_pool_init(&runtime->shards[0].context.pool, &runtime->memory);
    explore_check(trp_blocking_init(&runtime->blocking, runtime, 1, 4, 1000) == TROUPE_OK);
    runtime->blocking.live = 1;
    actor = stage_spawn(runtime->workers[0], &behaviour);
    stage_enter(runtime->workers[0], actor);
    submit(0);
}

static void set_up_two(void)
{
    set_up();
    submit(1);
}

static void set_up_kept(void)
{
    set_up();
    actor->keep_mailbox = true;
}

/* ---- threads ---- */

/* As a thread of the pool does. */
static void work(void)
{
    struct trp_blocking *pool = &runtime->blocking;
    struct troupe_job *job;

    trp_lock_take(&pool->lock);
    job = trp_blocking_take(pool);
    trp_lock_give(&pool->lock);
    if (job != NULL) {
        trp_blocking_run(job);
    }
}

static void end_actor(void)
{
    bool was_offline = trp_reclaim_enter();

    stage_exit(actor);
    trp_exit_flush(&runtime->workers[0]->context, true);
    trp_reclaim_leave(was_offline);
}

static void cancel(void)
{
    bool was_offline = trp_reclaim_enter();

    (void)troupe_blocking_cancel(actor, ids[0]);
    stage_receive(actor);
    (void)troupe_blocking_cancel(actor, ids[0]);
    trp_reclaim_leave(was_offline);
}

static void cancel_and_end(void)
{
    cancel();
    end_actor();
}

/* ---- what must hold ---- */

static void check_ended(void)
{
    trp_worker_take_returned(runtime->workers[0]);
    explore_check(outcomes == 0 && given_back == 1);
}

static void check_cancelled(void)
{
    cancel();
    explore_check(outcomes == 1 && given_back == 0);
    explore_check(runs == (last_outcome == RESULT));
}

static void check_two(void)
{
    trp_worker_take_returned(runtime->workers[0]);
    explore_check(outcomes + given_back == 2);
}

/* The next life finds what is queued, and is told of nothing. */
static void check_kept(void)
{
    stage_enter(runtime->workers[0], actor);
    stage_receive(actor);
    explore_check(outcomes == 0 && given_back == 1);
}

static const struct explore_scenario scenarios[] = {
    {.name = "a job is over while its actor ends",
        .setup = set_up,
        .threads = {work, end_actor},
        .check = check_ended},
    {.name = "a job is over while its actor cancels it",
        .setup = set_up,
        .threads = {work, cancel},
        .check = check_cancelled},
    {.name = "a job is over while its actor ends, and lives on",
        .setup = set_up_kept,
        .threads = {work, end_actor},
        .check = check_kept},
    {.name = "two jobs, one is cancelled, and their actor ends",
        .setup = set_up_two,
        .threads = {work, work, cancel_and_end},
        .check = check_two,
        .deviations = 2},
};

static const struct explore_plant plants[] = {
    {"who finishes does not see that it was orphaned", &scenarios[0], "leave_running", EXPLORE_SWAP,
        0, EXPLORE_BLIND, 0, "check_ended"},
    {"who orphans does not see that it is over", &scenarios[0], "trp_blocking_orphan", EXPLORE_SWAP,
        0, EXPLORE_BLIND, 0, "check_ended"},
    {"what a job did is not handed over", &scenarios[0], "leave_running", EXPLORE_SWAP, 0,
        EXPLORE_RELAX, 0, "race"},
    {"an orphan is left to its thread without release", &scenarios[0], "trp_blocking_orphan",
        EXPLORE_SWAP, 0, EXPLORE_RELAX, 0, "race"},
    {"who withdraws a job keeps nobody out", &scenarios[1], "trp_blocking_withdraw", EXPLORE_LOCK,
        0, EXPLORE_FORGET, 0, "race"},
};

EXPLORE_PART(blocking, scenarios, plants);
