/* SPDX-License-Identifier: MIT */
/* Runtime: created, started, turned, stopped and destroyed in every order; its limits; and what a fork leaves of it. */
#include "test/support/stage.h"

#include <dirent.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/wait.h>

static const struct troupe_type number = TROUPE_TYPE(uint64_t);

struct cargo {
    _Atomic unsigned *destroyed;
};

static void cargo_destroy(void *body)
{
    const struct cargo *cargo = body;

    (*cargo->destroyed)++;
}

static const struct troupe_type cargo = TROUPE_TYPE_DESTROY(struct cargo, cargo_destroy);

/* ---- an actor that counts what happens to it ---- */

struct life {
    _Atomic unsigned inits, received, terminated, destroyed;
};

static int living_init(struct troupe_actor *self, void *state, const void *arg)
{
    struct life *life = (struct life *)(uintptr_t)arg;

    (void)self;
    *(struct life **)state = life;
    life->inits++;
    return TROUPE_OK;
}

static int living_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct life *life = *(struct life **)state;
    int status;

    life->received++;
    return stage_is_job(self, msg, &status) ? status : TROUPE_OK;
}

static void living_terminate(
    struct troupe_actor *self, void *state, const struct troupe_reason *reason)
{
    (void)self;
    (void)reason;
    (*(struct life **)state)->terminated++;
}

static void living_destroy(void *state)
{
    (*(struct life **)state)->destroyed++;
}

static const struct troupe_behaviour living = {
    .name = "living",
    .state_size = sizeof(struct life *),
    .init = living_init,
    .receive = living_receive,
    .terminate = living_terminate,
    .destroy = living_destroy,
    .capacity = STAGE_ROOM,
};

/* The same, and does not mind being told to stop. */
static const struct troupe_behaviour stubborn = {
    .name = "stubborn",
    .state_size = sizeof(struct life *),
    .init = living_init,
    .receive = living_receive,
    .terminate = living_terminate,
    .destroy = living_destroy,
    .trap_exit = true,
};

/* ---- create ---- */

Test(runtime, options_out_of_range_are_refused, .timeout = 60)
{
    static const struct troupe_allocator half = {NULL, NULL, NULL};
    static const struct troupe_runtime_options wrong[] = {
        {.workers = -2},
        {.workers = TROUPE_WORKERS_MAX + 1},
        {.workers = 1, .watchdog_ms = -2},
        {.workers = 1, .limits = {.actors = (uint32_t)1 << 28}},
        {.workers = 1, .limits = {.threads = TROUPE_THREADS_MAX + 1}},
        {.workers = 1, .allocator = &half},
    };

    for (size_t i = 0; i < TROUPE_COUNT(wrong); i++) {
        struct troupe_runtime *runtime = (struct troupe_runtime *)(void *)&runtime;

        cr_assert_eq(troupe_runtime_create(&wrong[i], &runtime), TROUPE_EINVAL, "row %zu", i);
        cr_assert_eq((void *)runtime, (void *)&runtime, "untouched on failure");
    }
    cr_assert_eq(troupe_runtime_create(&wrong[0], NULL), TROUPE_EINVAL);
}

Test(runtime, no_options_are_all_defaults, .timeout = 60)
{
    struct troupe_runtime *runtime;

    cr_assert_eq(troupe_runtime_create(NULL, &runtime), TROUPE_OK);
    cr_assert_geq(troupe_runtime_workers(runtime), 1);
    cr_assert_eq(troupe_runtime_destroy(runtime), TROUPE_OK);
    cr_assert_eq(troupe_runtime_destroy(NULL), TROUPE_OK);
    cr_assert_eq(troupe_runtime_workers(NULL), 0);
}

/* A program built with an older header passes less, one with a newer header passes more. */
Test(runtime, options_of_another_size_count_as_far_as_they_are_known, .timeout = 60)
{
    struct {
        struct troupe_runtime_options known;
        char unknown[64];
    } newer = {.known = {.workers = 2}};
    struct troupe_runtime *runtime;

    cr_assert_eq(troupe_runtime_create_sized(&newer.known, sizeof(int), &runtime), TROUPE_OK);
    cr_assert_eq(troupe_runtime_workers(runtime), 2);
    cr_assert_eq(troupe_runtime_destroy(runtime), TROUPE_OK);
    cr_assert_eq(troupe_runtime_create_sized(&newer.known, sizeof newer, &runtime), TROUPE_OK);
    cr_assert_eq(troupe_runtime_destroy(runtime), TROUPE_OK);
    cr_assert_eq(troupe_runtime_create_sized(&newer.known, 0, &runtime), TROUPE_EINVAL);
}

/* What a newer program asks for and this library does not know was ignored; a spawn refuses it. */
Test(runtime, an_option_that_is_not_known_is_refused, .timeout = 60)
{
    struct {
        struct troupe_runtime_options known;
        char unknown[64];
    } newer = {.known = {.workers = 2}, .unknown = {[63] = 1}};
    struct troupe_runtime *runtime;

    cr_assert_eq(troupe_runtime_create_sized(&newer.known, sizeof newer, &runtime), TROUPE_EINVAL);
}

static unsigned open_descriptors(void)
{
    DIR *directory = opendir("/proc/self/fd");
    unsigned count = 0;

    cr_assert_not_null(directory);
    while (readdir(directory) != NULL) {
        count++;
    }
    closedir(directory);
    return count;
}

Test(runtime, create_without_memory_leaves_no_trace, .timeout = 60)
{
    unsigned descriptors;
    struct stage stage;
    uint64_t failing = 1;
    int error;

    /* What liburcu keeps for good is there afterwards. */
    stage_open(&stage, 2);
    stage_close(&stage);
    descriptors = open_descriptors();
    do {
        memset(&stage, 0, sizeof stage);
        stage.memory.fail_at = failing++;
        error = stage_try_open(&stage, &(struct troupe_runtime_options){.workers = 2});
        cr_assert(error == TROUPE_OK || error == TROUPE_ENOMEM);
        if (error < 0) {
            cr_assert_null(stage.runtime);
            cr_assert_eq(stage.memory.blocks, 0);
            cr_assert_eq(stage.memory.bytes, 0);
            cr_assert_eq(open_descriptors(), descriptors);
        }
    } while (error < 0);
    cr_assert_gt(failing, 4);
    stage_close(&stage);
    cr_assert_eq(open_descriptors(), descriptors);
}

Test(runtime, create_without_descriptors_is_esystem_and_leaves_no_trace, .timeout = 60)
{
    struct rlimit limit;
    struct rlimit none;
    struct stage stage;
    unsigned tries = 0;
    int error;

    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    none = limit;
    for (none.rlim_cur = 3; none.rlim_cur < 40; none.rlim_cur++) {
        memset(&stage, 0, sizeof stage);
        setrlimit(RLIMIT_NOFILE, &none);
        error = stage_try_open(&stage, &(struct troupe_runtime_options){.workers = 1});
        setrlimit(RLIMIT_NOFILE, &limit);
        if (error == TROUPE_OK) {
            stage_close(&stage);
            break;
        }
        tries++;
        cr_assert_eq(error, TROUPE_ESYSTEM);
        cr_assert_eq(stage.memory.blocks, 0);
    }
    cr_assert_gt(tries, 0);
    cr_assert_eq(error, TROUPE_OK, "not even with 40 descriptors");
}

/* ---- states ---- */

static void check_states(int workers)
{
    struct troupe_runtime_options options = {.workers = workers};
    struct troupe_runtime *runtime;

    cr_assert_eq(troupe_runtime_create(&options, &runtime), TROUPE_OK);
    cr_assert_eq(troupe_runtime_stop(runtime, 0), TROUPE_OK, "nothing to stop");
    cr_assert_eq(troupe_runtime_start(runtime), TROUPE_OK);
    cr_assert_eq(troupe_runtime_start(runtime), TROUPE_EBUSY);
    cr_assert_eq(troupe_runtime_destroy(runtime), TROUPE_EBUSY, "it runs");
    cr_assert_eq(troupe_runtime_stop(runtime, 10000), TROUPE_OK);
    cr_assert_eq(troupe_runtime_stop(runtime, 10000), TROUPE_OK, "it was stopped");
    cr_assert_eq(troupe_runtime_start(runtime), TROUPE_EBUSY, "once is all");
    cr_assert_eq(troupe_runtime_destroy(runtime), TROUPE_OK);
}

Test(runtime, it_is_started_once_stopped_often_and_destroyed_at_rest, .timeout = 60)
{
    check_states(2);
    check_states(TROUPE_NO_THREADS);
}

Test(runtime, wrong_waits_are_refused, .timeout = 60)
{
    struct stage stage;

    stage_open(&stage, 1);
    cr_assert_eq(troupe_runtime_stop(stage.runtime, -2), TROUPE_EINVAL);
    cr_assert_eq(troupe_runtime_stop(NULL, 0), TROUPE_EINVAL);
    cr_assert_eq(troupe_runtime_start(NULL), TROUPE_EINVAL);
    stage_close(&stage);
}

static void check_never_started(int workers)
{
    struct stage stage;
    struct life life = {0};
    _Atomic unsigned destroyed = 0;

    memset(&stage, 0, sizeof stage);
    cr_assert_eq(
        stage_try_open(&stage, &(struct troupe_runtime_options){.workers = workers}), TROUPE_OK);
    for (int i = 0; i < 10; i++) {
        troupe_pid pid = stage_spawn(&stage, &living, &life);

        for (int j = 0; j < 10; j++) {
            stage_send(&stage, pid, &cargo, &(struct cargo){&destroyed});
        }
    }
    cr_assert_eq(stage_books(&stage).spawned, 10);
    cr_assert_eq(troupe_runtime_destroy(stage.runtime), TROUPE_OK);
    cr_assert_eq(destroyed, 100);
    cr_assert_eq(life.inits, 0);
    cr_assert_eq(life.destroyed, 0, "init was not entered");
    cr_assert_eq(stage.memory.blocks, 0);
}

Test(runtime, destroyed_without_a_start_its_actors_and_messages_go_with_it, .timeout = 60)
{
    check_never_started(2);
    check_never_started(TROUPE_NO_THREADS);
}

Test(runtime, what_was_spawned_and_sent_before_the_start_runs_after_it, .timeout = 60)
{
    struct stage stage;
    struct life life = {0};
    troupe_pid pid;

    memset(&stage, 0, sizeof stage);
    cr_assert_eq(stage_try_open(&stage, &(struct troupe_runtime_options){.workers = 2}), TROUPE_OK);
    pid = stage_spawn(&stage, &living, &life);
    stage_send(&stage, pid, &number, &(uint64_t){1});
    cr_assert_eq(life.inits, 0);
    cr_assert_eq(troupe_runtime_start(stage.runtime), TROUPE_OK);
    STAGE_AWAIT(&stage, life.received == 1);
    stage_close(&stage);
    cr_assert_eq(life.terminated, 1);
    cr_assert_eq(life.destroyed, 1);
}

static void check_after_stop(int workers)
{
    struct stage stage;
    struct life life = {0};
    _Atomic unsigned destroyed = 0;
    struct troupe_spawn_options options = {.behaviour = &living, .arg = &life};
    struct troupe_message *msg;
    troupe_pid pid;
    int error;

    stage_open(&stage, workers);
    cr_assert_eq(troupe_runtime_stop(stage.runtime, 10000), TROUPE_OK);
    /* Nobody runs any more: what comes now is refused, or goes with the runtime. */
    error = troupe_runtime_spawn(stage.runtime, &options, &pid);
    cr_assert(error == TROUPE_OK || error == TROUPE_ESTOPPED);
    msg = stage_message(&stage, &cargo, &(struct cargo){&destroyed});
    if (error < 0 || troupe_try_send(stage.runtime, pid, msg) < 0) {
        troupe_message_destroy(msg);
    }
    cr_assert_eq(troupe_runtime_destroy(stage.runtime), TROUPE_OK);
    cr_assert_eq(destroyed, 1);
    cr_assert_eq(life.inits, 0);
    cr_assert_eq(stage.memory.blocks, 0);
}

Test(runtime, what_comes_after_the_stop_leaves_nothing, .timeout = 60)
{
    check_after_stop(2);
    check_after_stop(TROUPE_NO_THREADS);
}

/* ---- from inside a handler ---- */

struct inside {
    int stop, destroy, turn, start;
};

static int call_from_inside(struct troupe_actor *self, void *arg)
{
    struct inside *inside = arg;
    struct troupe_runtime *runtime = troupe_runtime_of(self);
    int wait_ms;

    inside->stop = troupe_runtime_stop(runtime, 0);
    inside->destroy = troupe_runtime_destroy(runtime);
    inside->turn = troupe_runtime_turn(runtime, 0, &wait_ms);
    inside->start = troupe_runtime_start(runtime);
    troupe_detach();
    return TROUPE_OK;
}

Test(runtime, a_handler_can_neither_stop_nor_turn_nor_destroy_it, .timeout = 60)
{
    for (int threads = 0; threads < 2; threads++) {
        struct stage stage;
        struct inside inside = {0};

        stage_open(&stage, threads ? 1 : TROUPE_NO_THREADS);
        (void)stage_do(&stage, stage_spawn(&stage, &stage_puppet, NULL), call_from_inside, &inside);
        cr_assert_eq(inside.stop, TROUPE_EINVAL);
        cr_assert_eq(inside.destroy, TROUPE_EBUSY);
        cr_assert_eq(inside.turn, threads ? TROUPE_EINVAL : TROUPE_EBUSY);
        cr_assert_eq(inside.start, TROUPE_EBUSY);
        stage_close(&stage);
    }
}

/* ---- stop ---- */

Test(runtime, stop_tells_actors_and_kills_those_that_do_not_mind, .timeout = 60)
{
    struct stage stage;
    struct life polite = {0};
    struct life rude = {0};

    stage_open(&stage, 2);
    for (int i = 0; i < 50; i++) {
        (void)stage_spawn(&stage, &living, &polite);
        (void)stage_spawn(&stage, &stubborn, &rude);
    }
    /* One that is told before its init is over has nothing to terminate. */
    STAGE_AWAIT(&stage, polite.inits == 50 && rude.inits == 50);
    cr_assert_eq(troupe_runtime_stop(stage.runtime, 2000), TROUPE_OK);
    cr_assert_eq(polite.terminated, 50);
    cr_assert_eq(rude.received, 50, "each was told once, and killed in the end: %u", rude.received);
    cr_assert_eq(rude.terminated, 0, "killed");
    cr_assert_eq(rude.destroyed, 50);
    cr_assert_eq(polite.destroyed, 50);
    stage_close(&stage);
}

struct gate {
    struct latch entered;
    struct latch go;
};

static int pass_gate(struct troupe_actor *self, void *arg)
{
    struct gate *gate = arg;

    (void)self;
    latch_hit(&gate->entered);
    return latch_wait(&gate->go, 1) ? TROUPE_OK : TROUPE_ETIMEDOUT;
}

Test(runtime, one_that_does_not_end_is_named_and_stop_can_be_called_again, .timeout = 60)
{
    struct stage stage;
    struct life life = {0};
    struct gate gate = {LATCH_INIT, LATCH_INIT};
    troupe_pid pid;

    stage_open(&stage, 2);
    pid = stage_spawn(&stage, &living, &life);
    stage_tell(&stage, pid, pass_gate, &gate);
    cr_assert(latch_wait(&gate.entered, 1));
    cr_assert_eq(troupe_runtime_stop(stage.runtime, 50), TROUPE_ETIMEDOUT);
    cr_assert_eq(stage_reports(&stage, TROUPE_REPORT_UNSTOPPED), 1);
    cr_assert_str_eq(stage.actor[TROUPE_REPORT_UNSTOPPED], "living");
    cr_assert_eq(troupe_runtime_destroy(stage.runtime), TROUPE_EBUSY);
    latch_hit(&gate.go);
    cr_assert_eq(troupe_runtime_stop(stage.runtime, TROUPE_FOREVER), TROUPE_OK);
    stage_close(&stage);
    cr_assert_eq(life.destroyed, 1);
}

static void *stop_it(void *arg)
{
    struct troupe_runtime *runtime = arg;

    return troupe_runtime_stop(runtime, 20000) == TROUPE_OK ? arg : NULL;
}

Test(runtime, several_threads_may_stop_it_at_once, .timeout = 60)
{
    struct stage stage;
    struct life life = {0};
    pthread_t threads[4];

    stage_open(&stage, 2);
    for (int i = 0; i < 1000; i++) {
        (void)stage_spawn(&stage, &living, &life);
    }
    for (int i = 0; i < 4; i++) {
        cr_assert_eq(pthread_create(&threads[i], NULL, stop_it, stage.runtime), 0);
    }
    for (int i = 0; i < 4; i++) {
        void *result;

        pthread_join(threads[i], &result);
        cr_assert_not_null(result);
    }
    stage_close(&stage);
    cr_assert_eq(life.destroyed, life.inits);
}

/* Spawns a successor as it ends: at stop there is always one more, until it is forbidden or killed in time. */
struct hydra {
    _Atomic unsigned heads;
};

static const struct troupe_behaviour hydra_behaviour;

static void hydra_terminate(
    struct troupe_actor *self, void *state, const struct troupe_reason *reason)
{
    struct hydra *hydra = *(struct hydra **)state;
    struct troupe_spawn_options options = {.behaviour = &hydra_behaviour, .arg = hydra};
    troupe_pid pid;

    (void)reason;
    if (hydra->heads < 50) {
        hydra->heads += troupe_spawn(self, &options, &pid) == TROUPE_OK;
    }
}

static const struct troupe_behaviour hydra_behaviour = {
    .name = "hydra",
    .state_size = sizeof(struct hydra *),
    .init = living_init,
    .receive = living_receive,
    .terminate = hydra_terminate,
};

Test(runtime, stop_also_ends_those_that_are_spawned_while_it_waits, .timeout = 60)
{
    struct stage stage;
    /* living_init counts an init at the place of `heads`. */
    struct hydra hydra = {0};

    stage_open(&stage, 2);
    (void)stage_spawn(&stage, &hydra_behaviour, &hydra);
    STAGE_AWAIT(&stage, hydra.heads == 1);
    cr_assert_eq(troupe_runtime_stop(stage.runtime, 4000), TROUPE_OK);
    cr_assert_gt(hydra.heads, 1);
    stage_close(&stage);
}

/* ---- without threads ---- */

Test(runtime, turn_needs_a_started_runtime_without_threads, .timeout = 60)
{
    struct stage stage;
    int wait_ms = 4711;

    memset(&stage, 0, sizeof stage);
    cr_assert_eq(
        stage_try_open(&stage, &(struct troupe_runtime_options){.workers = TROUPE_NO_THREADS}),
        TROUPE_OK);
    cr_assert_eq(troupe_runtime_turn(stage.runtime, 0, &wait_ms), TROUPE_ESTOPPED);
    cr_assert_eq(troupe_runtime_start(stage.runtime), TROUPE_OK);
    cr_assert_eq(troupe_runtime_turn(stage.runtime, -1, &wait_ms), TROUPE_EINVAL);
    cr_assert_eq(troupe_runtime_turn(stage.runtime, 0, NULL), TROUPE_EINVAL);
    cr_assert_eq(troupe_runtime_turn(NULL, 0, &wait_ms), TROUPE_EINVAL);
    cr_assert_eq(wait_ms, 4711, "untouched on failure");
    cr_assert_eq(troupe_runtime_workers(stage.runtime), 1);
    cr_assert_eq(troupe_runtime_turn(stage.runtime, 0, &wait_ms), TROUPE_OK);
    cr_assert_eq(wait_ms, TROUPE_FOREVER);
    cr_assert_eq(troupe_runtime_stop(stage.runtime, 1000), TROUPE_OK);
    cr_assert_eq(troupe_runtime_turn(stage.runtime, 0, &wait_ms), TROUPE_ESTOPPED);
    stage_close(&stage);
}

Test(runtime, one_with_threads_has_no_turns_and_no_descriptor, .timeout = 60)
{
    struct stage stage;
    int wait_ms;

    stage_open(&stage, 1);
    cr_assert_eq(troupe_runtime_turn(stage.runtime, 0, &wait_ms), TROUPE_EINVAL);
    cr_assert_eq(troupe_runtime_fd(stage.runtime), TROUPE_EINVAL);
    cr_assert_eq(troupe_runtime_fd(NULL), TROUPE_EINVAL);
    stage_close(&stage);
}

static bool is_readable(int fd, int wait_ms)
{
    struct pollfd entry = {.fd = fd, .events = POLLIN};

    return poll(&entry, 1, wait_ms) == 1;
}

struct foreigner {
    struct stage *stage;
    troupe_pid to;
};

static void *send_from_outside(void *arg)
{
    struct foreigner *foreigner = arg;

    return stage_try_send(foreigner->stage, foreigner->to, &number, &(uint64_t){1}) == TROUPE_OK
               ? arg
               : NULL;
}

Test(runtime, its_descriptor_is_readable_when_there_is_something_to_do, .timeout = 60)
{
    struct stage stage;
    struct life life = {0};
    struct foreigner foreigner = {.stage = &stage};
    pthread_t thread;
    void *result;
    int fd;

    stage_open(&stage, TROUPE_NO_THREADS);
    fd = troupe_runtime_fd(stage.runtime);
    cr_assert_geq(fd, 0);
    foreigner.to = stage_spawn(&stage, &living, &life);
    stage_run(&stage);
    stage_run(&stage);
    for (unsigned round = 1; round <= 100; round++) {
        cr_assert_not(is_readable(fd, 0), "round %u: nothing to do", round);
        if (round % 2 == 0) {
            stage_send(&stage, foreigner.to, &number, &(uint64_t){1});
        } else {
            cr_assert_eq(pthread_create(&thread, NULL, send_from_outside, &foreigner), 0);
            cr_assert(is_readable(fd, 30000), "round %u", round);
            pthread_join(thread, &result);
            cr_assert_not_null(result);
        }
        cr_assert(is_readable(fd, 0), "round %u", round);
        cr_assert_eq(stage_run(&stage), TROUPE_FOREVER);
        cr_assert_eq(life.received, round);
    }
    stage_close(&stage);
}

/* Before the first turn too: whoever polls first must not sleep. */
Test(runtime, its_descriptor_is_readable_before_the_first_turn, .timeout = 60)
{
    struct stage stage;
    struct life life = {0};

    stage_open(&stage, TROUPE_NO_THREADS);
    (void)stage_spawn(&stage, &living, &life);
    cr_assert(is_readable(troupe_runtime_fd(stage.runtime), 0));
    stage_run(&stage);
    cr_assert_eq(life.inits, 1);
    /* It may say so once more, and not for ever. */
    stage_run(&stage);
    cr_assert_not(is_readable(troupe_runtime_fd(stage.runtime), 0));
    stage_close(&stage);
}

static const struct troupe_type tick = TROUPE_SIGNAL;

static int tick_soon(struct troupe_actor *self, void *arg)
{
    return troupe_tick_after(self, *(uint64_t *)arg, &tick, NULL, NULL);
}

Test(runtime, a_turn_says_how_long_its_timers_leave, .timeout = 60)
{
    struct stage stage;
    struct life life = {0};
    uint64_t delay_ms = 10000;
    int wait_ms;
    troupe_pid pid;

    stage_open(&stage, TROUPE_NO_THREADS);
    pid = stage_spawn(&stage, &living, &life);
    stage_tell(&stage, pid, tick_soon, &delay_ms);
    wait_ms = stage_run(&stage);
    cr_assert_gt(wait_ms, 0);
    cr_assert_leq(wait_ms, 10001);
    delay_ms = 30;
    stage_tell(&stage, pid, tick_soon, &delay_ms);
    wait_ms = stage_run(&stage);
    cr_assert_leq(wait_ms, 31);
    /* Whoever sleeps as long as he is told finds the tick due. */
    while (life.received < 3) {
        cr_assert_not(is_readable(troupe_runtime_fd(stage.runtime), wait_ms));
        wait_ms = stage_run(&stage);
    }
    stage_close(&stage);
}

static int work_for_ever(struct troupe_actor *self, void *arg)
{
    struct stage_job job = {.run = work_for_ever, .arg = arg};
    struct life *life = arg;

    life->received++;
    return troupe_send(self, troupe_self(self), &stage_job, &job);
}

Test(runtime, a_turn_ends_when_its_budget_does, .timeout = 60)
{
    struct stage stage;
    struct life life = {0};
    unsigned before;
    int wait_ms;

    stage_open(&stage, TROUPE_NO_THREADS);
    stage_tell(&stage, stage_spawn(&stage, &stage_roomy, NULL), work_for_ever, &life);
    for (int budget_ms = 0; budget_ms < 3; budget_ms++) {
        before = life.received;
        cr_assert_eq(troupe_runtime_turn(stage.runtime, budget_ms, &wait_ms), TROUPE_OK);
        cr_assert_eq(wait_ms, 0, "there is more to do");
        cr_assert_gt(life.received, before, "it came no further with %d ms", budget_ms);
    }
    stage_close(&stage);
}

/* ---- several ---- */

Test(runtime, several_live_side_by_side_and_each_ends_alone, .timeout = 60)
{
    struct stage stages[4];
    struct life lives[4] = {0};
    troupe_pid pids[4];

    for (int i = 0; i < 4; i++) {
        stage_open(&stages[i], i % 2 == 0 ? 1 : TROUPE_NO_THREADS);
        pids[i] = stage_spawn(&stages[i], &living, &lives[i]);
    }
    for (int i = 0; i < 4; i++) {
        for (int j = 0; j < 4; j++) {
            cr_assert_eq(troupe_is_alive(stages[i].runtime, pids[j]), i == j,
                "the pid of runtime %d in runtime %d", j, i);
        }
    }
    stage_close(&stages[0]);
    stage_close(&stages[1]);
    stage_send(&stages[2], pids[2], &number, &(uint64_t){1});
    stage_send(&stages[3], pids[3], &number, &(uint64_t){1});
    STAGE_AWAIT(&stages[2], lives[2].received == 1);
    STAGE_AWAIT(&stages[3], lives[3].received == 1);
    stage_close(&stages[3]);
    stage_close(&stages[2]);
}

Test(runtime, runtimes_come_and_go, .timeout = 120)
{
    unsigned descriptors = 0;

    for (int i = 0; i < 60; i++) {
        struct stage stage;
        struct life life = {0};

        stage_open(&stage, i % 3 == 0 ? TROUPE_NO_THREADS : i % 3);
        for (int j = 0; j < 20; j++) {
            stage_send(&stage, stage_spawn(&stage, &living, &life), &number, &(uint64_t){1});
        }
        stage_close(&stage);
        if (i == 5) {
            descriptors = open_descriptors();
        }
    }
    cr_assert_eq(open_descriptors(), descriptors);
}

/* ---- limits ---- */

Test(runtime, actors_are_limited_reported_and_the_limit_recovers, .timeout = 60)
{
    struct stage stage;
    struct life life = {0};
    troupe_pid pids[8];
    troupe_pid more = 4711;

    stage_open_with(&stage,
        &(struct troupe_runtime_options){.workers = TROUPE_NO_THREADS, .limits = {.actors = 8}});
    for (int i = 0; i < 8; i++) {
        pids[i] = stage_spawn(&stage, &living, &life);
    }
    cr_assert_eq(stage_try_spawn(&stage, &living, &life, &more), TROUPE_ELIMIT);
    cr_assert_eq(more, 4711, "untouched on failure");
    cr_assert_gt(stage_reports(&stage, TROUPE_REPORT_LIMIT), 0);
    for (int round = 0; round < 20; round++) {
        troupe_pid old = pids[round % 8];

        cr_assert_eq(troupe_runtime_exit(stage.runtime, old, TROUPE_EXIT_SHUTDOWN), TROUPE_OK);
        STAGE_AWAIT(&stage, stage_try_spawn(&stage, &living, &life, &pids[round % 8]) == TROUPE_OK);
        cr_assert_eq(stage_try_spawn(&stage, &living, &life, &more), TROUPE_ELIMIT);
    }
    stage_close(&stage);
    cr_assert_eq(life.destroyed, life.inits);
}

Test(runtime, memory_is_limited_and_the_limit_recovers, .timeout = 60)
{
    struct stage stage;
    struct troupe_buffer *buffers[64];
    struct troupe_buffer *more = NULL;
    unsigned count = 0;

    stage_open_with(&stage, &(struct troupe_runtime_options){
                                .workers = TROUPE_NO_THREADS, .limits = {.memory = 16 << 20}});
    while (
        count < 64 && troupe_buffer_create(stage.runtime, 1 << 20, &buffers[count]) == TROUPE_OK) {
        count++;
    }
    cr_assert_gt(count, 8);
    cr_assert_lt(count, 16);
    cr_assert_leq(stage_books(&stage).memory, 16 << 20);
    cr_assert_eq(troupe_buffer_create(stage.runtime, 1 << 20, &more), TROUPE_ENOMEM);
    cr_assert_null(more);
    troupe_buffer_release(buffers[--count]);
    cr_assert_eq(troupe_buffer_create(stage.runtime, 1 << 20, &buffers[count]), TROUPE_OK);
    for (unsigned i = 0; i <= count; i++) {
        troupe_buffer_release(buffers[i]);
    }
    stage_close(&stage);
}

Test(runtime, the_books_know_the_memory_that_is_held, .timeout = 60)
{
    struct stage stage;
    uint64_t before;
    struct troupe_buffer *buffer;

    stage_open(&stage, TROUPE_NO_THREADS);
    before = stage_books(&stage).memory;
    cr_assert_eq(troupe_buffer_create(stage.runtime, 1 << 20, &buffer), TROUPE_OK);
    cr_assert_geq(stage_books(&stage).memory, before + (1 << 20));
    troupe_buffer_release(buffer);
    cr_assert_eq(stage_books(&stage).memory, before);
    cr_assert_eq(troupe_runtime_books(stage.runtime, NULL), TROUPE_EINVAL);
    cr_assert_eq(troupe_runtime_books(NULL, &(struct troupe_books){0}), TROUPE_EINVAL);
    stage_close(&stage);
}

/* ---- fork ---- */

/* What went wrong in the child: the line, or 0. */
#define CHILD_CHECK(condition)                                                                     \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            return __LINE__;                                                                       \
        }                                                                                          \
    } while (0)

static int use_in_child(struct stage *stage, troupe_pid pid, struct troupe_message *msg)
{
    struct troupe_runtime *runtime = stage->runtime;
    struct troupe_spawn_options options = {.behaviour = &stage_puppet};
    struct troupe_runtime *another;
    struct troupe_books books;
    struct troupe_message *made;
    troupe_pid spawned;
    uint32_t length;
    int wait_ms;

    CHILD_CHECK(troupe_attach() == TROUPE_EFORKED);
    CHILD_CHECK(troupe_runtime_create(NULL, &another) == TROUPE_EFORKED);
    CHILD_CHECK(troupe_runtime_start(runtime) == TROUPE_EFORKED);
    CHILD_CHECK(troupe_runtime_stop(runtime, 0) == TROUPE_EFORKED);
    CHILD_CHECK(troupe_runtime_destroy(runtime) == TROUPE_EFORKED);
    CHILD_CHECK(troupe_runtime_books(runtime, &books) == TROUPE_EFORKED);
    if (!stage->threads) {
        CHILD_CHECK(troupe_runtime_turn(runtime, 0, &wait_ms) == TROUPE_EFORKED);
        CHILD_CHECK(troupe_runtime_fd(runtime) == TROUPE_EFORKED);
    }
    CHILD_CHECK(troupe_runtime_spawn(runtime, &options, &spawned) == TROUPE_EFORKED);
    CHILD_CHECK(troupe_message_create(runtime, &number, 0, &made) == TROUPE_EFORKED);
    CHILD_CHECK(troupe_try_send(runtime, pid, msg) == TROUPE_EFORKED);
    CHILD_CHECK(troupe_send_wait(runtime, pid, msg, TROUPE_FOREVER) == TROUPE_EFORKED);
    CHILD_CHECK(troupe_mailbox_length(runtime, pid, &length) == TROUPE_EFORKED);
    CHILD_CHECK(troupe_runtime_exit(runtime, pid, TROUPE_EXIT_KILL) == TROUPE_EFORKED);
    CHILD_CHECK(troupe_join(runtime, pid, TROUPE_FOREVER, NULL) == TROUPE_EFORKED);
    CHILD_CHECK(!troupe_is_alive(runtime, pid));
    CHILD_CHECK(troupe_runtime_whereis(runtime, "anybody") == TROUPE_NOBODY);
    troupe_message_destroy(msg);
    troupe_detach();
    return 0;
}

static int wait_for_child(pid_t child)
{
    int status = 0;

    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert(WIFEXITED(status), "the child was ended by signal %d", WTERMSIG(status));
    return WEXITSTATUS(status);
}

static void check_fork(int workers)
{
    struct stage stage;
    struct life life = {0};
    _Atomic unsigned destroyed = 0;
    struct troupe_message *msg;
    troupe_pid pid;
    pid_t child;

    stage_open(&stage, workers);
    pid = stage_spawn(&stage, &living, &life);
    msg = stage_message(&stage, &cargo, &(struct cargo){&destroyed});
    child = fork();
    if (child == 0) {
        int line = use_in_child(&stage, pid, msg);

        if (line != 0) {
            fprintf(stderr, "in the child: line %d\n", line);
        }
        _exit(line == 0 ? 0 : 1);
    }
    cr_assert_eq(wait_for_child(child), 0);
    /* The parent goes on. */
    cr_assert_eq(troupe_try_send(stage.runtime, pid, msg), TROUPE_OK);
    STAGE_AWAIT(&stage, destroyed == 1);
    stage_close(&stage);
}

Test(runtime, a_forked_child_is_told_so_and_touches_nothing, .timeout = 60)
{
    check_fork(2);
    check_fork(TROUPE_NO_THREADS);
}

/* The thread sanitizer gives up when a forked child starts a thread with the number of one that its parent had. */
#ifndef TRP_TSAN
Test(runtime, a_child_forked_when_no_runtime_existed_may_have_its_own, .timeout = 60)
{
    struct stage stage;
    struct life life = {0};
    pid_t child;

    stage_open(&stage, 2);
    stage_close(&stage);
    child = fork();
    if (child == 0) {
        stage_open(&stage, 2);
        stage_send(&stage, stage_spawn(&stage, &living, &life), &number, &(uint64_t){1});
        STAGE_AWAIT(&stage, life.received == 1);
        stage_close(&stage);
        _exit(0);
    }
    cr_assert_eq(wait_for_child(child), 0);
    stage_open(&stage, 1);
    stage_close(&stage);
}
#endif

/* ---- spawning while it stops ---- */

Test(runtime, once_it_was_stopped_nobody_is_spawned_or_waited_for_from_outside, .timeout = 60)
{
    struct stage stage;
    struct life life = {0};
    struct troupe_spawn_options options = {.behaviour = &living, .arg = &life};
    troupe_pid pid;
    troupe_pid late = TROUPE_NOBODY;

    stage_open(&stage, 2);
    pid = stage_spawn(&stage, &living, &life);
    cr_assert_eq(troupe_runtime_stop(stage.runtime, 20000), TROUPE_OK);
    cr_assert_eq(troupe_runtime_spawn(stage.runtime, &options, &late), TROUPE_ESTOPPED);
    cr_assert_eq(late, TROUPE_NOBODY);
    /* Without the check this waited for a helper that nobody ran. */
    cr_assert_eq(troupe_join(stage.runtime, pid, TROUPE_FOREVER, NULL), TROUPE_ESTOPPED);
    stage_close(&stage);
}

struct heir {
    _Atomic unsigned *terminated;
    unsigned heirs; /* how many come after it */
};

static int heir_init(struct troupe_actor *self, void *state, const void *arg)
{
    (void)self;
    *(struct heir *)state = *(const struct heir *)arg;
    return TROUPE_OK;
}

static int heir_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    (void)self;
    (void)state;
    (void)msg;
    return TROUPE_EUNKNOWN;
}

static void heir_terminate(
    struct troupe_actor *self, void *state, const struct troupe_reason *reason);

static const struct troupe_behaviour heir_behaviour = {
    .name = "heir",
    .state_size = sizeof(struct heir),
    .init = heir_init,
    .receive = heir_receive,
    .terminate = heir_terminate,
};

static void heir_terminate(
    struct troupe_actor *self, void *state, const struct troupe_reason *reason)
{
    struct heir next = *(struct heir *)state;
    struct troupe_spawn_options options = {
        .behaviour = &heir_behaviour, .arg = &next, .arg_size = sizeof next};
    troupe_pid pid;

    cr_assert_eq(reason->kind, TROUPE_EXIT_SHUTDOWN);
    (*next.terminated)++;
    if (next.heirs > 0) {
        next.heirs--;
        cr_assert_eq(troupe_spawn(self, &options, &pid), TROUPE_OK);
    }
}

/* It was told once only, and whoever came later was killed when half of the time was over. */
Test(runtime, who_is_spawned_while_it_stops_is_told_to_end_as_all_others, .timeout = 60)
{
    struct stage stage;
    _Atomic unsigned terminated = 0;
    struct heir first = {&terminated, 20};
    struct troupe_spawn_options options = {
        .behaviour = &heir_behaviour, .arg = &first, .arg_size = sizeof first};
    troupe_pid pid;

    stage_open(&stage, 2);
    cr_assert_eq(troupe_runtime_spawn(stage.runtime, &options, &pid), TROUPE_OK);
    cr_assert_eq(troupe_runtime_stop(stage.runtime, 20000), TROUPE_OK);
    /* One that is told before its init has no heirs; one that is killed is a failure. */
    cr_assert_leq(terminated, 21);
    cr_assert_eq(stage_books(&stage).failures, 0);
    stage_close(&stage);
}

/* ---- attach, detach ---- */

static void *attach_and_send(void *arg)
{
    struct foreigner *foreigner = arg;

    for (int i = 0; i < 100; i++) {
        if (i % 3 == 0 && troupe_attach() != TROUPE_OK) {
            return NULL;
        }
        if (send_from_outside(foreigner) == NULL) {
            return NULL;
        }
        if (i % 2 == 0) {
            troupe_detach();
            troupe_detach();
        }
    }
    return arg;
}

Test(runtime, threads_attach_and_detach_as_they_like, .timeout = 60)
{
    struct stage stage;
    struct life life = {0};
    struct foreigner foreigner = {.stage = &stage};
    pthread_t threads[4];

    stage_open(&stage, 2);
    foreigner.to = stage_spawn(&stage, &living, &life);
    for (int round = 0; round < 5; round++) {
        for (int i = 0; i < 4; i++) {
            cr_assert_eq(pthread_create(&threads[i], NULL, attach_and_send, &foreigner), 0);
        }
        for (int i = 0; i < 4; i++) {
            void *result;

            pthread_join(threads[i], &result);
            cr_assert_not_null(result);
        }
        /* Its mailbox has room for two rounds. */
        STAGE_AWAIT(&stage, life.received == 400U * (unsigned)(round + 1));
    }
    troupe_detach();
    cr_assert_eq(troupe_attach(), TROUPE_OK);
    stage_close(&stage);
}
