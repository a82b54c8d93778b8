/* SPDX-License-Identifier: MIT */
/* Blocking: threads of the pool start when they are needed, and end when they are not. */
#include "test/support/stage.h"

#include "sched/runtime.h"

struct gate {
    struct latch began;
    struct latch until;
};

static int pass(struct troupe_job *job, void *arg)
{
    struct gate *gate = arg;

    (void)job;
    latch_hit(&gate->began);
    (void)latch_wait(&gate->until, 1);
    return TROUPE_OK;
}

static int passed(struct troupe_actor *self, void *state, void *arg, int status)
{
    (void)self;
    (void)state;
    (void)arg;
    return status;
}

static int submit(struct troupe_actor *self, void *arg)
{
    return troupe_blocking(self, pass, arg, NULL, passed, NULL);
}

static unsigned live(struct stage *stage)
{
    struct trp_blocking *pool = &stage->runtime->blocking;
    unsigned count;

    trp_lock_take(&pool->lock);
    count = pool->live;
    trp_lock_give(&pool->lock);
    return count;
}

static bool somebody_sleeps(struct stage *stage)
{
    struct trp_blocking *pool = &stage->runtime->blocking;
    bool sleeps;

    trp_lock_take(&pool->lock);
    sleeps = !trp_list_is_empty(&pool->sleeping);
    trp_lock_give(&pool->lock);
    return sleeps;
}

Test(blocking, threads_start_as_jobs_need_them_and_no_more_than_allowed, .timeout = 60)
{
    enum { THREADS = 3, JOBS = 6 };
    struct gate gate = {LATCH_INIT, LATCH_INIT};
    struct stage stage;
    troupe_pid pid;

    stage_open_with(
        &stage, &(struct troupe_runtime_options){.workers = 1, .blocking_threads = THREADS});
    pid = stage_spawn(&stage, &stage_puppet, NULL);
    cr_assert_eq(live(&stage), 0);
    for (unsigned i = 0; i < JOBS; i++) {
        cr_assert_eq(stage_do(&stage, pid, submit, &gate), TROUPE_OK);
        cr_assert(latch_wait(&gate.began, i < THREADS ? i + 1 : THREADS));
        cr_assert_eq(live(&stage), i < THREADS ? i + 1 : THREADS);
    }
    latch_hit(&gate.until);
    cr_assert(latch_wait(&gate.began, JOBS));
    STAGE_AWAIT(&stage, trp_blocking_running(&stage.runtime->blocking) == 0);
    stage_close(&stage);
}

Test(blocking, a_thread_that_has_nothing_to_do_takes_the_next_job, .timeout = 60)
{
    struct gate gate = {LATCH_INIT, LATCH_INIT};
    struct stage stage;
    troupe_pid pid;

    latch_hit(&gate.until);
    stage_open(&stage, 1);
    pid = stage_spawn(&stage, &stage_puppet, NULL);
    for (unsigned i = 0; i < 20; i++) {
        cr_assert_eq(stage_do(&stage, pid, submit, &gate), TROUPE_OK);
        cr_assert(latch_wait(&gate.began, i + 1));
        STAGE_AWAIT(&stage, somebody_sleeps(&stage));
    }
    cr_assert_eq(live(&stage), 1);
    stage_close(&stage);
}

Test(blocking, threads_that_are_idle_end_and_start_again, .timeout = 60)
{
    struct gate gate = {LATCH_INIT, LATCH_INIT};
    struct stage stage;
    troupe_pid pid;

    latch_hit(&gate.until);
    stage_open_with(&stage, &(struct troupe_runtime_options){.workers = 1, .blocking_idle_ms = 1});
    pid = stage_spawn(&stage, &stage_puppet, NULL);
    for (unsigned i = 0; i < 5; i++) {
        cr_assert_eq(stage_do(&stage, pid, submit, &gate), TROUPE_OK);
        cr_assert(latch_wait(&gate.began, i + 1));
        STAGE_AWAIT(&stage, live(&stage) == 0);
    }
    stage_close(&stage);
}

Test(blocking, a_runtime_has_a_default_for_all_of_it_and_takes_no_nonsense)
{
    static const struct troupe_runtime_options wrong[] = {{.blocking_threads = -1},
        {.blocking_threads = TROUPE_BLOCKING_THREADS_MAX + 1}, {.blocking_idle_ms = -1}};
    struct troupe_runtime *runtime;

    for (size_t i = 0; i < TROUPE_COUNT(wrong); i++) {
        cr_assert_eq(troupe_runtime_create(&wrong[i], &runtime), TROUPE_EINVAL);
    }
    cr_assert_eq(
        troupe_runtime_create(&(struct troupe_runtime_options){.workers = 1}, &runtime), TROUPE_OK);
    cr_assert(runtime->blocking.thread_max >= 8);
    cr_assert_eq(runtime->blocking.queue_max, 1024);
    cr_assert_eq(runtime->blocking.idle_ns, 10000000000U);
    cr_assert_eq(troupe_runtime_destroy(runtime), TROUPE_OK);
}
