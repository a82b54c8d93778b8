/* SPDX-License-Identifier: MIT */
/* Watchdog: a handler that holds its worker is named, and what it keeps from others goes on without it. */
#include "test/support/stage.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>

static const struct troupe_type number = TROUPE_TYPE(uint64_t);
static const struct troupe_type tick = TROUPE_SIGNAL;

/* Holds its worker until it is let go. */
struct gate {
    struct latch entered;
    struct latch go;
};

#define GATE                                                                                       \
    {                                                                                              \
        LATCH_INIT, LATCH_INIT                                                                     \
    }

static int hold(struct troupe_actor *self, void *arg)
{
    struct gate *gate = arg;

    (void)self;
    latch_hit(&gate->entered);
    return latch_wait(&gate->go, 1) ? TROUPE_OK : TROUPE_ETIMEDOUT;
}

/* Counts what it gets. */
static int counter_init(struct troupe_actor *self, void *state, const void *arg)
{
    (void)self;
    *(struct latch **)state = (struct latch *)(uintptr_t)arg;
    return TROUPE_OK;
}

static int counter_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    int status;

    if (stage_is_job(self, msg, &status)) {
        return status;
    }
    latch_hit(*(struct latch **)state);
    return TROUPE_OK;
}

static const struct troupe_behaviour counter = {
    .name = "counter",
    .state_size = sizeof(struct latch *),
    .init = counter_init,
    .receive = counter_receive,
};

static const struct troupe_behaviour sleeper = {.name = "sleeper", .receive = stage_puppet_receive};

static void open_with_watchdog(struct stage *stage, int workers, int watchdog_ms)
{
    stage_open_with(
        stage, &(struct troupe_runtime_options){.workers = workers, .watchdog_ms = watchdog_ms});
}

/* ---- reports ---- */

/* Whether a thread of this process has the watchdog's name. */
static bool is_watched(void)
{
    DIR *tasks = opendir("/proc/self/task");
    struct dirent *task;
    bool found = false;

    cr_assert_not_null(tasks);
    while ((task = readdir(tasks)) != NULL) {
        char path[300];
        char name[32] = "";
        FILE *file;

        snprintf(path, sizeof path, "/proc/self/task/%s/comm", task->d_name);
        file = fopen(path, "r");
        if (file != NULL) {
            found = (fgets(name, sizeof name, file) != NULL && strstr(name, "watchdog") != NULL) ||
                    found;
            fclose(file);
        }
    }
    closedir(tasks);
    return found;
}

Test(watchdog, a_handler_that_holds_its_worker_is_reported_by_name_once, .timeout = 60)
{
    struct stage stage;
    struct gate gate = GATE;
    struct latch got = LATCH_INIT;
    troupe_pid pid;
    uint64_t until_ns;

    open_with_watchdog(&stage, 2, 5);
    pid = stage_spawn(&stage, &sleeper, NULL);
    stage_tell(&stage, pid, hold, &gate);
    STAGE_AWAIT(&stage, stage_reports(&stage, TROUPE_REPORT_STUCK) > 0);
    cr_assert(is_watched());
    cr_assert_str_eq(stage.actor[TROUPE_REPORT_STUCK], "sleeper");
    cr_assert_eq(stage_books(&stage).stuck, 1);
    /* The other worker works on, and the watchdog looks again and again: every 2.5 ms. */
    until_ns = troupe_now_ns(stage.runtime) + 20000000U;
    for (unsigned i = 1; i <= 20 || troupe_now_ns(stage.runtime) < until_ns; i++) {
        stage_send(&stage, stage_spawn(&stage, &counter, &got), &number, &(uint64_t){i});
        cr_assert(latch_wait(&got, i));
    }
    cr_assert_eq(stage_reports(&stage, TROUPE_REPORT_STUCK), 1, "named more than once");
    latch_hit(&gate.go);
    stage_close(&stage);
}

Test(watchdog, the_next_one_is_reported_too, .timeout = 60)
{
    struct stage stage;
    struct gate gates[3] = {GATE, GATE, GATE};

    open_with_watchdog(&stage, 1, 5);
    for (unsigned i = 0; i < 3; i++) {
        /* An actor each: two messages of one actor may be handled in one slice, which is reported once. */
        stage_tell(&stage, stage_spawn(&stage, &sleeper, NULL), hold, &gates[i]);
        STAGE_AWAIT(&stage, stage_reports(&stage, TROUPE_REPORT_STUCK) == i + 1);
        latch_hit(&gates[i].go);
    }
    stage_close(&stage);
}

Test(watchdog, short_handlers_are_never_reported, .timeout = 60)
{
    struct stage stage;
    struct latch got = LATCH_INIT;
    troupe_pid pid;

    /* So long that no preemption is mistaken for a handler. */
    open_with_watchdog(&stage, 2, 30000);
    pid = stage_spawn(&stage, &counter, &got);
    for (unsigned i = 1; i <= 500; i++) {
        stage_send(&stage, pid, &number, &(uint64_t){i});
        cr_assert(latch_wait(&got, i));
    }
    cr_assert_eq(stage_books(&stage).stuck, 0);
    stage_close(&stage);
}

Test(watchdog, there_is_none_if_it_is_not_wanted, .timeout = 60)
{
    struct stage stage;
    struct gate gate = GATE;
    troupe_pid pid;

    open_with_watchdog(&stage, 1, TROUPE_NO_WATCHDOG);
    pid = stage_spawn(&stage, &sleeper, NULL);
    stage_tell(&stage, pid, hold, &gate);
    cr_assert(latch_wait(&gate.entered, 1));
    cr_assert_not(is_watched());
    cr_assert_eq(stage_books(&stage).stuck, 0);
    latch_hit(&gate.go);
    stage_close(&stage);
}

/* ---- what a stuck worker keeps from others ---- */

struct deputy {
    unsigned count;
    struct latch *got;
    bool heard;
};

/* What it spawns goes into the LIFO slot of this worker, the last one to stay there; and then it waits for all. */
static int spawn_and_wait_for_all(struct troupe_actor *self, void *arg)
{
    struct deputy *deputy = arg;
    struct troupe_spawn_options options = {.behaviour = &counter, .arg = deputy->got};

    for (unsigned i = 0; i < deputy->count; i++) {
        troupe_pid pid;

        TROUPE_TRY(troupe_spawn(self, &options, &pid));
        TROUPE_TRY(troupe_send(self, pid, &number, &(uint64_t){1}));
    }
    deputy->heard = latch_wait(deputy->got, deputy->count);
    return TROUPE_OK;
}

static void check_rescue(int workers)
{
    struct stage stage;
    struct latch got = LATCH_INIT;
    struct deputy deputy = {.got = &got, .count = 1};

    open_with_watchdog(&stage, workers, 5);
    (void)stage_do(&stage, stage_spawn(&stage, &sleeper, NULL), spawn_and_wait_for_all, &deputy);
    cr_assert(deputy.heard, "the one in the LIFO slot did not run");
    /* It is counted after it was worked around. */
    STAGE_AWAIT(&stage, stage_books(&stage).stuck >= 1);
    stage_close(&stage);
}

Test(watchdog, the_lifo_slot_of_a_stuck_worker_is_rescued_by_another, .timeout = 100)
{
    check_rescue(2);
}

Test(watchdog, the_lifo_slot_of_the_only_worker_is_rescued_by_a_spare, .timeout = 100)
{
    check_rescue(1);
}

Test(watchdog, all_that_is_queued_behind_a_stuck_handler_runs, .timeout = 100)
{
    for (int workers = 1; workers <= 2; workers++) {
        struct stage stage;
        struct latch got = LATCH_INIT;
        /* More than a run queue holds. */
        struct deputy deputy = {.got = &got, .count = 1000};

        open_with_watchdog(&stage, workers, 5);
        (void)stage_do(
            &stage, stage_spawn(&stage, &sleeper, NULL), spawn_and_wait_for_all, &deputy);
        cr_assert(deputy.heard, "%u of 1000 ran", latch_count(&got));
        stage_close(&stage);
    }
}

Test(watchdog, as_many_handlers_may_be_stuck_as_there_are_workers_and_work_goes_on, .timeout = 100)
{
    struct stage stage;
    struct gate gates[3] = {GATE, GATE, GATE};
    struct latch got = LATCH_INIT;

    open_with_watchdog(&stage, 2, 5);
    for (int i = 0; i < 3; i++) {
        stage_tell(&stage, stage_spawn(&stage, &sleeper, NULL), hold, &gates[i]);
        cr_assert(latch_wait(&gates[i].entered, 1), "handler %d did not run", i);
    }
    for (unsigned i = 1; i <= 100; i++) {
        stage_send(&stage, stage_spawn(&stage, &counter, &got), &number, &(uint64_t){i});
        cr_assert(latch_wait(&got, i), "message %u", i);
    }
    for (int i = 0; i < 3; i++) {
        latch_hit(&gates[i].go);
    }
    stage_close(&stage);
}

static int ticker_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct latch *got = *(struct latch **)state;
    int status;

    if (stage_is_job(self, msg, &status)) {
        return status;
    }
    latch_hit(got);
    return troupe_is(msg, &number) ? troupe_tick_after(self, 20, &tick, NULL, NULL) : TROUPE_OK;
}

static const struct troupe_behaviour ticker = {
    .name = "ticker",
    .state_size = sizeof(struct latch *),
    .init = counter_init,
    .receive = ticker_receive,
};

Test(watchdog, timers_of_a_stuck_worker_fire, .timeout = 100)
{
    struct stage stage;
    struct gate gate = GATE;
    struct latch got = LATCH_INIT;

    /* One worker: the tick is armed on the wheel of the one that is held then. */
    open_with_watchdog(&stage, 1, 5);
    stage_send(&stage, stage_spawn(&stage, &ticker, &got), &number, &(uint64_t){1});
    cr_assert(latch_wait(&got, 1));
    stage_tell(&stage, stage_spawn(&stage, &sleeper, NULL), hold, &gate);
    cr_assert(latch_wait(&gate.entered, 1));
    cr_assert(latch_wait(&got, 2), "the tick did not come");
    latch_hit(&gate.go);
    stage_close(&stage);
}

/* ---- spares ---- */

Test(watchdog, spares_come_and_go, .timeout = 100)
{
    struct stage stage;
    struct latch got = LATCH_INIT;
    /* Each handler has its own: it may still be in there when the next one comes. */
    struct gate gates[10];

    open_with_watchdog(&stage, 1, 5);
    for (unsigned round = 1; round <= 10; round++) {
        struct gate *gate = &gates[round - 1];

        *gate = (struct gate)GATE;
        stage_tell(&stage, stage_spawn(&stage, &sleeper, NULL), hold, gate);
        cr_assert(latch_wait(&gate->entered, 1));
        stage_send(&stage, stage_spawn(&stage, &counter, &got), &number, &(uint64_t){1});
        cr_assert(latch_wait(&got, round), "round %u", round);
        latch_hit(&gate->go);
        cr_assert_eq(troupe_runtime_workers(stage.runtime), 1, "spares are nobody's business");
    }
    stage_close(&stage);
}

Test(watchdog, a_runtime_that_had_spares_stops_while_a_handler_is_stuck, .timeout = 100)
{
    struct stage stage;
    struct gate gate = GATE;
    struct latch got = LATCH_INIT;

    open_with_watchdog(&stage, 1, 5);
    stage_tell(&stage, stage_spawn(&stage, &sleeper, NULL), hold, &gate);
    cr_assert(latch_wait(&gate.entered, 1));
    stage_send(&stage, stage_spawn(&stage, &counter, &got), &number, &(uint64_t){1});
    cr_assert(latch_wait(&got, 1));
    cr_assert_eq(troupe_runtime_stop(stage.runtime, 100), TROUPE_ETIMEDOUT);
    cr_assert_eq(stage_reports(&stage, TROUPE_REPORT_UNSTOPPED), 1);
    cr_assert_str_eq(stage.actor[TROUPE_REPORT_UNSTOPPED], "sleeper");
    latch_hit(&gate.go);
    stage_close(&stage);
}
