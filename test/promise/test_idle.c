/* SPDX-License-Identifier: MIT */
/* Promise 6: idle is free, busy is busy. */
#include <poll.h>

#include "test/promise/promise.h"

#define IDLERS 1000U

static uint64_t cpu_ns(void)
{
    struct timespec used;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    return (uint64_t)used.tv_sec * 1000000000U + (uint64_t)used.tv_nsec;
}

/* TEST_SCALE is how much slower than usual everything may be. */
static uint64_t scaled(uint64_t ns)
{
    const char *scale = getenv("TEST_SCALE");

    return scale != NULL && atoi(scale) > 1 ? ns * (uint64_t)atoi(scale) : ns;
}

static int arm_far_timer(struct troupe_actor *self, void *arg)
{
    (void)arg;
    return troupe_tick_after(self, TROUPE_DELAY_MAX_MS, &receipt, NULL, NULL);
}

/* A second in which nobody has anything to do, though all have timers. */
static void play_idle(int workers)
{
    struct troupe_books before;
    struct troupe_books after;
    struct stage stage;
    uint64_t used_ns;

    stage_open(&stage, workers);
    for (unsigned i = 0; i < IDLERS; i++) {
        troupe_pid idler = stage_spawn(&stage, &stage_puppet, NULL);

        cr_assert_eq(stage_do(&stage, idler, arm_far_timer, NULL), TROUPE_OK);
    }
    before = stage_books(&stage);
    used_ns = cpu_ns();
    sleep(1);
    used_ns = cpu_ns() - used_ns;
    after = stage_books(&stage);
    /* A worker may still have been about to end the turn of a job. */
    cr_assert_leq(after.slices, before.slices + (unsigned)workers, "somebody ran");
    cr_assert_lt(used_ns, scaled(5000000), "it used %u us", (unsigned)(used_ns / 1000));
    stage_close(&stage);
}

/* Without threads its owner may sleep: a turn says until when, and the descriptor does not wake it. */
static void play_idle_turns(void)
{
    struct pollfd poll_fd = {.events = POLLIN};
    struct stage stage;
    int wait_ms;

    stage_open(&stage, TROUPE_NO_THREADS);
    poll_fd.fd = troupe_runtime_fd(stage.runtime);
    wait_ms = stage_run(&stage);
    cr_assert_eq(wait_ms, TROUPE_FOREVER);
    (void)stage_do(&stage, stage_spawn(&stage, &stage_puppet, NULL), arm_far_timer, NULL);
    wait_ms = stage_run(&stage);
    cr_assert(wait_ms > 1000 || wait_ms == TROUPE_FOREVER, "%d ms", wait_ms);
    cr_assert_eq(poll(&poll_fd, 1, 0), 0);
    stage_close(&stage);
}

struct meeting {
    unsigned size;
    struct latch here;
    _Atomic unsigned met;
};

/* Returns when all are in their handlers at the same time. */
static int meet(struct troupe_actor *self, void *arg)
{
    struct meeting *meeting = arg;

    (void)self;
    latch_hit(&meeting->here);
    meeting->met += latch_wait(&meeting->here, meeting->size);
    return TROUPE_OK;
}

/* The others are queued where this one runs, and goes on running. */
static int call_meeting(struct troupe_actor *self, void *arg)
{
    struct meeting *meeting = arg;
    struct troupe_spawn_options options = {.behaviour = &stage_puppet};
    struct stage_job job = {.run = meet, .arg = meeting};

    for (unsigned i = 1; i < meeting->size; i++) {
        troupe_pid pid;

        TROUPE_TRY(troupe_spawn(self, &options, &pid));
        TROUPE_TRY(troupe_send(self, pid, &stage_job, &job));
    }
    return meet(self, meeting);
}

static void play_busy(int workers)
{
    struct meeting meeting = {.size = (unsigned)workers, .here = LATCH_INIT};
    struct stage stage;

    stage_open(&stage, workers);
    stage_tell(&stage, stage_spawn(&stage, &stage_puppet, NULL), call_meeting, &meeting);
    STAGE_AWAIT(&stage, meeting.met == meeting.size);
    stage_close(&stage);
}

Test(promise, idle_is_free_and_busy_is_busy, .timeout = 120)
{
    play_idle(2);
    play_idle_turns();
    play_busy(2);
    play_busy(4);
}
