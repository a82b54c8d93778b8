/* SPDX-License-Identifier: MIT */
/*
 * promise.h - what a user of troupe can rely on: a file for each promise, whose test is named after it.
 *
 *   1  nothing_is_lost_in_silence       test_loss.c       4  a_crash_stays_in_its_actor       test_crash.c
 *   2  everything_has_a_limit           test_limits.c     5  order_is_kept                    test_order.c
 *   3  waiting_never_deadlocks          test_waiting.c    6  idle_is_free_and_busy_is_busy    test_idle.c
 *
 * The seventh, that the same seed is the same run, wants the simulated machine: it is the first test of
 * test/sim/test_sim.c.
 *
 * Each test plays its promise whole, through the public headers, on threads and, where nothing has to wait, without
 * any; the corners are in the tests of each part.  Nobody sleeps for an order: what a test waits for comes, or it fails
 * after a minute.
 */
#ifndef TEST_PROMISE_PROMISE_H
#define TEST_PROMISE_PROMISE_H

#include "test/support/ends.h"
#include "test/support/stage.h"

/** Says no more than that it came. */
static const struct troupe_type receipt = TROUPE_SIGNAL;

/** On how many workers a promise is played. */
static const int ways[] = {TROUPE_NO_THREADS, 2, 4};

/** Has an actor do one more job, after what is queued already. */
static inline int go_on(struct troupe_actor *self, stage_job_fn run, void *arg)
{
    struct stage_job job = {.run = run, .arg = arg};

    return troupe_send(self, troupe_self(self), &stage_job, &job);
}

static inline int do_nothing(struct troupe_actor *self, void *arg)
{
    (void)self;
    (void)arg;
    return TROUPE_OK;
}

/* What came of requests. */
struct outcomes {
    _Atomic unsigned answered;
    _Atomic unsigned unanswered;
    _Atomic unsigned died;
};

static inline int count_outcome(
    struct troupe_actor *self, void *state, void *context, int status, struct troupe_message *reply)
{
    struct outcomes *outcomes = context;

    (void)self;
    (void)state;
    outcomes->answered += status == TROUPE_OK && reply != NULL;
    outcomes->unanswered += status == TROUPE_EUNANSWERED;
    outcomes->died += status == TROUPE_EDIED;
    return TROUPE_OK;
}

#endif
