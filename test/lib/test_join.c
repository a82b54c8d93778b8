/* SPDX-License-Identifier: MIT */
/*
 * Join: who waits for an end gets one answer, with the reason and its text: foreign threads, callbacks that wait, and all
 * others in a call.
 */
#include "test/support/clock.h"
#include "test/support/ends.h"
#include "test/support/stage.h"

static const struct troupe_behaviour waiting_puppet = {
    .name = "waiting puppet",
    .receive = stage_puppet_receive,
    .may_wait = true,
    .capacity = STAGE_ROOM,
};

enum { NEVER = -77 };

/* What one that joins was told. */
struct joiner {
    troupe_pid to;
    int ms;
    _Atomic unsigned answers;
    int status;
    enum troupe_exit kind;
    int code;
    char text[32];
    bool ends;                      /* with the answer */
    struct troupe_runtime *runtime; /* of one that is a thread */
};

static void note_answer(struct joiner *joiner, int status, const struct troupe_reason *reason)
{
    joiner->status = status;
    if (reason != NULL) {
        joiner->kind = reason->kind;
        joiner->code = reason->code;
        snprintf(joiner->text, sizeof joiner->text, "%s", troupe_reason_text(reason));
    }
    joiner->answers++;
}

static void check_answer(const struct joiner *joiner)
{
    cr_assert_eq(joiner->answers, 1);
    cr_assert_eq(joiner->status, TROUPE_OK);
    cr_assert_eq(joiner->kind, TROUPE_EXIT_ERROR);
    cr_assert_eq(joiner->code, TROUPE_EPROTO);
    cr_assert_str_eq(joiner->text, "as told");
}

/* ---- ways to join ---- */

static int wait_for(struct troupe_actor *self, void *arg)
{
    struct joiner *joiner = arg;
    struct troupe_reason reason = {.code = NEVER};
    int status = troupe_join_wait(self, joiner->to, joiner->ms, &reason);

    cr_assert_eq(status == TROUPE_OK, reason.code != NEVER);
    note_answer(joiner, status, status == TROUPE_OK ? &reason : NULL);
    if (status == TROUPE_OK) {
        troupe_buffer_release(reason.text);
    }
    return TROUPE_OK;
}

static int on_exit_of(struct troupe_actor *self, void *state, void *context, int status,
    const struct troupe_reason *reason)
{
    struct joiner *joiner = context;

    (void)self;
    (void)state;
    cr_assert_eq(status == TROUPE_OK, reason != NULL);
    note_answer(joiner, status, reason);
    return joiner->ends ? TROUPE_DONE : TROUPE_OK;
}

static int join_then(struct troupe_actor *self, void *arg)
{
    struct joiner *joiner = arg;

    return troupe_join_then(self, joiner->to, joiner->ms, on_exit_of, joiner);
}

struct way {
    const struct troupe_behaviour *behaviour;
    stage_job_fn join;
};

static const struct way ways[] = {{&waiting_puppet, wait_for}, {&stage_roomy, join_then}};

/* One that joins `to`, and has begun to. */
static troupe_pid spawn_joiner(struct stage *stage, const struct way *way, struct joiner *joiner)
{
    troupe_pid pid = stage_spawn(stage, way->behaviour, NULL);

    stage_tell(stage, pid, way->join, joiner);
    if (!stage->threads) {
        stage_run(stage);
    }
    return pid;
}

static void open_frozen(struct stage *stage)
{
    clock_frozen_ns = UINT64_C(1000000000);
    stage_open(stage, TROUPE_NO_THREADS);
}

static void pass(struct stage *stage, uint64_t ms)
{
    clock_frozen_ns += ms * 1000000U;
    stage_run(stage);
}

static void close_frozen(struct stage *stage)
{
    clock_frozen_ns = 0;
    stage_close(stage);
}

/* ---- answers ---- */

Test(join, an_actor_is_told_the_reason_and_its_text, .timeout = 60)
{
    for (unsigned i = 0; i < TROUPE_COUNT(ways) * 2; i++) {
        struct stage stage;
        struct joiner joiner = {.ms = i < TROUPE_COUNT(ways) ? TROUPE_FOREVER : 1000};

        open_frozen(&stage);
        joiner.to = stage_spawn(&stage, &stage_puppet, NULL);
        (void)spawn_joiner(&stage, &ways[i % TROUPE_COUNT(ways)], &joiner);
        pass(&stage, 10);
        cr_assert_eq(joiner.answers, 0);
        stage_tell(&stage, joiner.to, end_with_error, NULL);
        stage_run(&stage);
        check_answer(&joiner);
        cr_assert_lt(stage_run(&stage), 0, "its timer runs on");
        pass(&stage, 5000);
        cr_assert_eq(joiner.answers, 1);
        close_frozen(&stage);
    }
}

/* 2.3: one that is gone is told of at once. */
Test(join, of_one_that_is_gone_the_answer_is_noproc, .timeout = 60)
{
    for (unsigned i = 0; i < TROUPE_COUNT(ways) * 2; i++) {
        struct stage stage;
        struct joiner joiner = {.ms = i < TROUPE_COUNT(ways) ? TROUPE_FOREVER : 1000};

        open_frozen(&stage);
        joiner.to = stage_spawn(&stage, &stage_puppet, NULL);
        stage_tell(&stage, joiner.to, end_normally, NULL);
        stage_run(&stage);
        (void)spawn_joiner(&stage, &ways[i % TROUPE_COUNT(ways)], &joiner);
        cr_assert_eq(joiner.answers, 1);
        cr_assert_eq(joiner.status, TROUPE_OK);
        cr_assert_eq(joiner.kind, TROUPE_EXIT_NOPROC);
        close_frozen(&stage);
    }
}

Test(join, after_its_time_an_actor_hears_nothing_more, .timeout = 60)
{
    for (unsigned i = 0; i < TROUPE_COUNT(ways); i++) {
        struct stage stage;
        struct joiner joiner = {.ms = 50};
        struct troupe_info info;

        open_frozen(&stage);
        joiner.to = stage_spawn(&stage, &stage_puppet, NULL);
        (void)spawn_joiner(&stage, &ways[i], &joiner);
        pass(&stage, 49);
        cr_assert_eq(joiner.answers, 0);
        pass(&stage, 2);
        cr_assert_eq(joiner.answers, 1);
        cr_assert_eq(joiner.status, TROUPE_ETIMEDOUT);
        cr_assert_eq(troupe_info(stage.runtime, joiner.to, &info), TROUPE_OK);
        cr_assert_eq(info.watchers, 0);
        stage_tell(&stage, joiner.to, end_normally, NULL);
        stage_run(&stage);
        cr_assert_eq(joiner.answers, 1);
        close_frozen(&stage);
    }
}

static int hold_up(struct troupe_actor *self, void *arg)
{
    (void)self;
    clock_frozen_ns += *(const uint64_t *)arg * 1000000U;
    return TROUPE_OK;
}

static int idle(struct troupe_actor *self, void *arg)
{
    (void)self;
    (void)arg;
    return TROUPE_OK;
}

/* More than a slice handles stands before its time-out, so the other one ends meanwhile: the time-out is opened first, and
 * leaves the answer to the notice behind it. */
Test(join, an_end_that_is_queued_behind_the_timeout_is_the_answer, .timeout = 60)
{
    struct stage stage;
    struct joiner joiner = {.ms = 50};
    troupe_pid pid;

    open_frozen(&stage);
    joiner.to = stage_spawn(&stage, &stage_puppet, NULL);
    pid = spawn_joiner(&stage, &ways[1], &joiner);
    for (unsigned i = 0; i < 70; i++) {
        stage_tell(&stage, pid, idle, NULL);
    }
    stage_tell(&stage, joiner.to, end_with_error, NULL);
    pass(&stage, 100);
    check_answer(&joiner);
    close_frozen(&stage);
}

Test(join, an_end_and_a_timeout_at_once_are_one_answer, .timeout = 60)
{
    for (unsigned i = 0; i < TROUPE_COUNT(ways); i++) {
        for (unsigned order = 0; order < 2; order++) {
            struct stage stage;
            struct joiner joiner = {.ms = 50};
            uint64_t long_ms = 100;

            open_frozen(&stage);
            joiner.to = stage_spawn(&stage, &stage_puppet, NULL);
            (void)spawn_joiner(&stage, &ways[i], &joiner);
            if (order == 0) {
                stage_tell(&stage, joiner.to, end_with_error, NULL);
                clock_frozen_ns += long_ms * 1000000U;
            } else {
                /* Its end is decided when the time is over, and told in the same turn. */
                stage_tell(&stage, joiner.to, hold_up, &long_ms);
                stage_tell(&stage, joiner.to, end_with_error, NULL);
            }
            stage_run(&stage);
            cr_assert_eq(joiner.answers, 1);
            cr_assert(joiner.status == TROUPE_OK || joiner.status == TROUPE_ETIMEDOUT);
            pass(&stage, 1000);
            cr_assert_eq(joiner.answers, 1);
            close_frozen(&stage);
        }
    }
}

Test(join, without_patience_it_says_how_things_are, .timeout = 60)
{
    struct stage stage;
    struct joiner joiner = {.ms = 0};
    troupe_pid asker;

    stage_open(&stage, TROUPE_NO_THREADS);
    joiner.to = stage_spawn(&stage, &stage_puppet, NULL);
    asker = stage_spawn(&stage, &waiting_puppet, NULL);
    cr_assert_eq(stage_do(&stage, asker, wait_for, &joiner), TROUPE_OK);
    cr_assert_eq(joiner.status, TROUPE_ETIMEDOUT);
    stage_tell(&stage, joiner.to, end_normally, NULL);
    stage_run(&stage);
    cr_assert_eq(stage_do(&stage, asker, wait_for, &joiner), TROUPE_OK);
    cr_assert_eq(joiner.status, TROUPE_OK);
    cr_assert_eq(joiner.kind, TROUPE_EXIT_NOPROC);
    stage_close(&stage);
}

Test(join, what_the_call_returns_is_what_a_handler_returns, .timeout = 60)
{
    struct stage stage;
    struct joiner joiner = {.ms = TROUPE_FOREVER, .ends = true};
    troupe_pid pid;

    stage_open(&stage, TROUPE_NO_THREADS);
    joiner.to = stage_spawn(&stage, &stage_puppet, NULL);
    pid = spawn_joiner(&stage, &ways[1], &joiner);
    stage_tell(&stage, joiner.to, end_normally, NULL);
    stage_run(&stage);
    cr_assert_eq(joiner.answers, 1);
    cr_assert_not(troupe_is_alive(stage.runtime, pid));
    stage_close(&stage);
}

Test(join, an_actor_that_ends_is_told_nothing, .timeout = 60)
{
    for (unsigned i = 0; i < TROUPE_COUNT(ways); i++) {
        struct stage stage;
        struct joiner joiner = {.ms = 50};
        troupe_pid pid;

        open_frozen(&stage);
        joiner.to = stage_spawn(&stage, &stage_puppet, NULL);
        pid = spawn_joiner(&stage, &ways[i], &joiner);
        cr_assert_eq(troupe_runtime_exit(stage.runtime, pid, TROUPE_EXIT_KILL), TROUPE_OK);
        stage_run(&stage);
        stage_tell(&stage, joiner.to, end_normally, NULL);
        pass(&stage, 100);
        cr_assert_eq(joiner.answers, 0);
        close_frozen(&stage);
    }
}

/* ---- limits ---- */

static int over_limit(struct troupe_actor *self, void *arg)
{
    struct joiner *joiner = arg;
    troupe_ref ref;

    /* A watch is free, a timer is not: the watch is taken back. */
    for (unsigned i = 0; i < 2; i++) {
        cr_assert_eq(join_then(self, joiner), i == 0 ? TROUPE_OK : TROUPE_ELIMIT);
    }
    cr_assert_eq(troupe_monitor(self, joiner->to, &ref), TROUPE_OK);
    cr_assert_eq(troupe_monitor(self, joiner->to, &ref), TROUPE_ELIMIT);
    return TROUPE_OK;
}

Test(join, a_join_that_is_refused_leaves_nothing, .timeout = 60)
{
    struct stage stage;
    struct troupe_runtime_options options = {
        .workers = TROUPE_NO_THREADS, .limits = {.actor_timers = 1, .actor_watches = 2}};
    struct joiner joiner = {.ms = 100000};

    stage_open_with(&stage, &options);
    joiner.to = stage_spawn(&stage, &stage_puppet, NULL);
    cr_assert_eq(
        stage_do(&stage, stage_spawn(&stage, &stage_puppet, NULL), over_limit, &joiner), TROUPE_OK);
    cr_assert_eq(joiner.answers, 0);
    stage_close(&stage);
}

/* ---- any number ---- */

enum { JOINERS = 8 };

static void *join_from_thread(void *arg)
{
    struct joiner *joiner = arg;
    struct troupe_reason reason;
    int status = troupe_join(joiner->runtime, joiner->to, LATCH_LIMIT_S * 1000, &reason);

    note_answer(joiner, status, status == TROUPE_OK ? &reason : NULL);
    if (status == TROUPE_OK) {
        troupe_buffer_release(reason.text);
    }
    return NULL;
}

/* Of those that joined in time each is told the reason; the rest that it is gone. */
Test(join, any_number_joins_and_each_is_answered_once, .timeout = 60)
{
    struct stage stage;
    struct joiner joiners[3][JOINERS];
    pthread_t threads[JOINERS];
    struct troupe_info info;
    troupe_pid pid;

    memset(joiners, 0, sizeof joiners);
    stage_open(&stage, 2);
    pid = stage_spawn(&stage, &stage_puppet, NULL);
    for (unsigned i = 0; i < JOINERS; i++) {
        for (unsigned j = 0; j < 3; j++) {
            joiners[j][i].to = pid;
            joiners[j][i].ms = i % 2 == 0 ? TROUPE_FOREVER : LATCH_LIMIT_S * 1000;
        }
        (void)spawn_joiner(&stage, &ways[0], &joiners[0][i]);
        (void)spawn_joiner(&stage, &ways[1], &joiners[1][i]);
        joiners[2][i].runtime = stage.runtime;
        cr_assert_eq(pthread_create(&threads[i], NULL, join_from_thread, &joiners[2][i]), 0);
    }
    STAGE_AWAIT(&stage,
        troupe_info(stage.runtime, pid, &info) == TROUPE_OK && info.watchers == 3 * JOINERS);
    stage_tell(&stage, pid, end_with_error, NULL);
    for (unsigned i = 0; i < JOINERS; i++) {
        pthread_join(threads[i], NULL);
        STAGE_AWAIT(&stage, joiners[0][i].answers > 0 && joiners[1][i].answers > 0);
        for (unsigned j = 0; j < 3; j++) {
            check_answer(&joiners[j][i]);
        }
    }
    stage_close(&stage);
}
