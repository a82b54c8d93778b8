/* SPDX-License-Identifier: MIT */
/*
 * test_worker.c - what a worker leaves behind when it goes.
 *
 * No thread runs: the test makes the steps of two workers itself, so each order of events happens just as written.
 */
#include "runtime.h"

#include <criterion/criterion.h>
#include <troupe/timer.h>

/* A step has an end, so this many are enough for any of them to come to rest. */
#define STEPS_MAX 1000

static int receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    (void)self;
    (void)state;
    (void)msg;
    return TROUPE_OK;
}

static int count_start(struct troupe_actor *self, void *state, const void *arg)
{
    unsigned *started = (unsigned *)(uintptr_t)arg;

    (void)self;
    (void)state;
    ++*started;
    return TROUPE_OK;
}

static const struct troupe_behaviour starter = {
    .name = "starter", .init = count_start, .receive = receive};

/* Steps a worker until it sleeps or has gone; how it ended. */
static enum trp_step rest(struct trp_worker *worker)
{
    for (unsigned i = 0; i < STEPS_MAX; i++) {
        uint64_t until_ns;
        enum trp_step step = trp_worker_run(worker, 1, &until_ns);

        if (step != TRP_STEP_RAN) {
            return step;
        }
    }
    cr_assert_fail("a worker with nothing to do does not rest");
    return TRP_STEP_RAN;
}

/* Two workers, asleep; the second one is woken first. */
static struct troupe_runtime *two_asleep(void)
{
    struct troupe_runtime_options options = {.workers = 2};
    struct troupe_runtime *runtime;

    cr_assert_eq(troupe_runtime_create(&options, &runtime), TROUPE_OK);
    (void)trp_reclaim_enter();
    for (unsigned i = 0; i < 2; i++) {
        trp_park_join(&runtime->park);
        cr_assert_eq(rest(runtime->workers[i]), TRP_STEP_IDLE);
    }
    trp_reclaim_leave(true);
    return runtime;
}

/* A wake-up goes to a spare worker that the watchdog has just retired.  It used to take the wake-up with it: whoever
 * published the work saw a searcher, and nobody looked. */
Test(worker, a_retired_spare_passes_its_wake_up_on, .timeout = 20)
{
    struct troupe_runtime *runtime = two_asleep();
    struct trp_worker *stays = runtime->workers[0];
    struct trp_worker *goes = runtime->workers[1];
    unsigned started = 0;
    troupe_pid pid;

    atomic_store(&goes->retire, true);
    cr_assert_eq(
        troupe_runtime_spawn(runtime,
            (&(struct troupe_spawn_options){.behaviour = &starter, .arg = &started}), &pid),
        TROUPE_OK);
    cr_assert(stays->parker.listed);
    cr_assert_not(goes->parker.listed, "the test is about the one that was woken");

    (void)trp_reclaim_enter();
    cr_assert_eq(rest(goes), TRP_STEP_STOP);
    cr_expect_not(stays->parker.listed, "work is queued and everybody else sleeps");
    cr_assert_eq(rest(stays), TRP_STEP_IDLE);
    cr_assert_eq(started, 1);
    trp_reclaim_leave(true);

    atomic_store(&goes->retire, false);
    cr_assert_eq(troupe_runtime_destroy(runtime), TROUPE_OK);
}

/* What a spare had in its LIFO slot when it was retired is queued where others may take it, and they are told. */
Test(worker, a_retired_spare_hands_over_its_lifo_slot, .timeout = 20)
{
    struct troupe_runtime *runtime = two_asleep();
    struct trp_worker *stays = runtime->workers[0];
    struct trp_worker *goes = runtime->workers[1];
    const struct trp_spawn spawn = {.behaviour = &starter, .arg = &(unsigned){0}};
    unsigned *started = (unsigned *)(uintptr_t)spawn.arg;
    struct troupe_actor *actor;

    (void)trp_reclaim_enter();
    cr_assert_eq(trp_actor_spawn(&goes->context, &spawn, &actor), TROUPE_OK);
    trp_actor_launch(&goes->context, actor);
    cr_assert(stays->parker.listed, "one in the LIFO slot is its worker's own");

    atomic_store(&goes->retire, true);
    cr_assert_eq(rest(goes), TRP_STEP_STOP);
    cr_expect_not(stays->parker.listed, "work is queued and everybody else sleeps");
    cr_assert_eq(rest(stays), TRP_STEP_IDLE);
    cr_assert_eq(*started, 1);
    trp_reclaim_leave(true);

    atomic_store(&goes->retire, false);
    cr_assert_eq(troupe_runtime_destroy(runtime), TROUPE_OK);
}

static int arm_timer(struct troupe_actor *self, void *state, const void *arg)
{
    static const struct troupe_type tick = TROUPE_SIGNAL;

    (void)state;
    (void)arg;
    return troupe_tick_after(self, 50, &tick, NULL, NULL);
}

static const struct troupe_behaviour sleeper = {
    .name = "sleeper", .init = arm_timer, .receive = receive};

/* Nobody looks at the timers of a worker that has gone, when all others sleep.  So one that is retired stays until its
 * last timer has fired. */
Test(worker, a_retired_spare_stays_as_long_as_it_has_timers, .timeout = 20)
{
    struct troupe_runtime *runtime = two_asleep();
    struct trp_worker *stays = runtime->workers[0];
    struct trp_worker *goes = runtime->workers[1];
    const struct trp_spawn spawn = {.behaviour = &sleeper};
    struct troupe_books books;
    struct troupe_actor *actor;

    (void)trp_reclaim_enter();
    cr_assert_eq(trp_actor_spawn(&goes->context, &spawn, &actor), TROUPE_OK);
    trp_actor_launch(&goes->context, actor);
    cr_assert_eq(rest(goes), TRP_STEP_IDLE);

    atomic_store(&goes->retire, true);
    cr_assert_eq(rest(goes), TRP_STEP_IDLE, "a timer is left");
    while (trp_wheel_next(&goes->wheel) > trp_port_now_ns() / 1000000U) {
        trp_port_yield();
    }
    cr_assert_eq(rest(goes), TRP_STEP_STOP, "none is left");
    cr_assert_eq(rest(stays), TRP_STEP_IDLE);
    trp_reclaim_leave(true);
    cr_assert_eq(troupe_runtime_books(runtime, &books), TROUPE_OK);
    cr_assert_eq(books.handled, 1, "the tick");

    atomic_store(&goes->retire, false);
    cr_assert_eq(troupe_runtime_destroy(runtime), TROUPE_OK);
}

/* Of those that sleep one sleeps in the poller.  When that is a spare, and it goes, another one takes its place: nobody
 * would hear of a descriptor, and the watchdog sleeps when nobody works. */
Test(worker, a_retired_spare_that_slept_in_the_poller_leaves_its_place_to_another, .timeout = 20)
{
    struct troupe_runtime *runtime = two_asleep();
    struct trp_worker *goes = runtime->workers[0];
    struct trp_worker *stays = runtime->workers[1];

    cr_assert(goes->polls, "the first to sleep");
    cr_assert_not(stays->polls);

    (void)trp_reclaim_enter();
    atomic_store(&goes->retire, true);
    cr_assert_eq(rest(goes), TRP_STEP_STOP);
    cr_expect_not(stays->parker.listed, "nobody is in the poller");
    cr_assert_eq(rest(stays), TRP_STEP_IDLE);
    cr_assert(stays->polls);
    trp_reclaim_leave(true);

    atomic_store(&goes->retire, false);
    cr_assert_eq(troupe_runtime_destroy(runtime), TROUPE_OK);
}
