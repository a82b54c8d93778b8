/* SPDX-License-Identifier: MIT */
/* Report: what the embedder is told, how often, and by how many at a time. */
#include "core.h"
#include "test/support/clock.h"
#include "test/support/stage.h"
#include "test/support/team.h"

static const struct troupe_type number = TROUPE_TYPE(uint64_t);

/* ---- a callback that counts ---- */

struct listener {
    pthread_mutex_t mutex;
    struct troupe_runtime *runtime; /* or NULL: the clock is not looked at */
    uint64_t calls, dropped;
    uint64_t floods; /* of `calls` */
    uint64_t first_ns, last_ns;
    _Atomic unsigned inside;
    _Atomic unsigned overlaps;
    char text[300];
};

static void listen(void *context, const struct troupe_report *report)
{
    struct listener *listener = context;

    listener->overlaps += listener->inside++ != 0;
    pthread_mutex_lock(&listener->mutex);
    listener->calls++;
    listener->dropped += report->dropped;
    listener->floods += report->kind == TROUPE_REPORT_FLOOD;
    if (listener->runtime != NULL) {
        listener->last_ns = troupe_now_ns(listener->runtime);
        if (listener->first_ns == 0) {
            listener->first_ns = listener->last_ns;
        }
    }
    snprintf(listener->text, sizeof listener->text, "%s", report->text);
    pthread_mutex_unlock(&listener->mutex);
    listener->inside--;
}

static uint64_t calls_of(struct listener *listener)
{
    uint64_t calls;

    pthread_mutex_lock(&listener->mutex);
    calls = listener->calls;
    pthread_mutex_unlock(&listener->mutex);
    return calls;
}

static struct troupe_runtime *open_with(struct listener *listener, int workers)
{
    struct troupe_runtime_options options = {
        .workers = workers, .report = listen, .report_context = listener};
    struct troupe_runtime *runtime;

    pthread_mutex_init(&listener->mutex, NULL);
    cr_assert_eq(troupe_runtime_create(&options, &runtime), TROUPE_OK);
    cr_assert_eq(troupe_runtime_start(runtime), TROUPE_OK);
    return runtime;
}

static int fail_at_once(struct troupe_actor *self, void *state, const void *arg)
{
    (void)state;
    return troupe_fail(self, TROUPE_EPROTO, arg);
}

static int receive_nothing(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    (void)self;
    (void)state;
    (void)msg;
    return TROUPE_OK;
}

static const struct troupe_behaviour failing = {
    .name = "failing", .init = fail_at_once, .receive = receive_nothing};

static void spawn_failing(struct troupe_runtime *runtime, const char *text)
{
    struct troupe_spawn_options options = {.behaviour = &failing, .arg = text};
    troupe_pid pid;

    cr_assert_eq(troupe_runtime_spawn(runtime, &options, &pid), TROUPE_OK);
}

static void turn_until_idle(struct troupe_runtime *runtime)
{
    int wait_ms;

    do {
        cr_assert_eq(troupe_runtime_turn(runtime, 1000, &wait_ms), TROUPE_OK);
    } while (wait_ms == 0);
}

/* ---- rate ---- */

/* One that gets through says how many did not, so that none is lost. */
Test(report, of_many_reports_a_hundred_a_second_come_and_the_others_are_counted, .timeout = 60)
{
    struct listener listener = {0};
    struct troupe_runtime *runtime = open_with(&listener, TROUPE_NO_THREADS);
    uint64_t reports = 1000;
    uint64_t seconds;

    listener.runtime = runtime;
    for (uint64_t i = 0; i < reports; i++) {
        spawn_failing(runtime, NULL);
        turn_until_idle(runtime);
    }
    /* Seconds are counted by the clock's, so a burst may touch one more at either end. */
    seconds = (listener.last_ns - listener.first_ns) / 1000000000U + 2;
    cr_assert_leq(listener.calls, 100 * seconds);
    cr_assert_geq(listener.calls, 100);
    cr_assert_geq(listener.floods, 1);
    cr_assert_leq(listener.floods, seconds);
    while (listener.calls - listener.floods + listener.dropped < reports) {
        clock_skip_ms(1000);
        spawn_failing(runtime, NULL);
        reports++;
        turn_until_idle(runtime);
    }
    cr_assert_eq(listener.calls - listener.floods + listener.dropped, reports);
    cr_assert_eq(troupe_runtime_stop(runtime, 10000), TROUPE_OK);
    cr_assert_eq(troupe_runtime_destroy(runtime), TROUPE_OK);
}

/* 8.1: that reports are left out is reported itself, when it begins and, with how many, when it is over; the books know them
 * meanwhile. */
Test(report, a_flood_is_reported_when_it_begins_and_counted_when_it_is_over, .timeout = 60)
{
    struct listener listener = {0};
    struct troupe_runtime *runtime;
    struct troupe_books books;

    clock_frozen_ns = UINT64_C(1000000000000000);
    runtime = open_with(&listener, TROUPE_NO_THREADS);
    for (unsigned i = 1; i <= 150; i++) {
        spawn_failing(runtime, NULL);
        turn_until_idle(runtime);
        cr_assert_eq(listener.calls, i < 100 ? i : 100);
        cr_assert_eq(listener.floods, i >= 100);
    }
    cr_assert_eq(listener.dropped, 0);
    cr_assert_eq(troupe_runtime_books(runtime, &books), TROUPE_OK);
    cr_assert_eq(books.unreported, 51);
    clock_frozen_ns += 1000000000;
    spawn_failing(runtime, NULL);
    turn_until_idle(runtime);
    cr_assert_eq(listener.calls, 101);
    cr_assert_eq(listener.floods, 1);
    cr_assert_eq(listener.dropped, 51);
    spawn_failing(runtime, NULL);
    turn_until_idle(runtime);
    cr_assert_eq(listener.calls, 102);
    cr_assert_eq(listener.dropped, 51, "told once");
    cr_assert_eq(troupe_runtime_stop(runtime, 10000), TROUPE_OK);
    cr_assert_eq(troupe_runtime_destroy(runtime), TROUPE_OK);
}

/* ---- a callback that is slow ---- */

enum { CROWD = 8, CROWD_WAITS = 4 };

struct crowd {
    struct troupe_runtime *runtime;
    _Atomic unsigned calls;
    _Atomic unsigned back; /* that did not wait */
};

/* The first call lasts until all are back that need not wait. */
static void dawdle(void *context, const struct troupe_report *report)
{
    struct crowd *crowd = context;

    (void)report;
    if (crowd->calls++ > 0) {
        return;
    }
    for (unsigned ms = 0; crowd->back < CROWD - CROWD_WAITS && ms < 5000; ms++) {
        usleep(1000);
    }
}

static const char *report_once(void *arg, unsigned index)
{
    struct crowd *crowd = arg;

    trp_report(crowd->runtime, TROUPE_REPORT_LIMIT, TROUPE_NOBODY, "", "thread %u", index);
    crowd->back++;
    return NULL;
}

/* 8.3: some wait for their turn, the others go on, and their reports are counted. */
Test(report, a_slow_callback_holds_up_four_threads_and_no_more, .timeout = 60)
{
    struct crowd crowd = {0};
    struct troupe_runtime_options options = {
        .workers = TROUPE_NO_THREADS, .report = dawdle, .report_context = &crowd};
    struct troupe_books books;

    cr_assert_eq(troupe_runtime_create(&options, &crowd.runtime), TROUPE_OK);
    cr_assert_null(team_run(CROWD, report_once, &crowd));
    cr_assert_eq(troupe_runtime_books(crowd.runtime, &books), TROUPE_OK);
    cr_assert_eq(crowd.calls, CROWD_WAITS);
    cr_assert_eq(books.unreported, CROWD - CROWD_WAITS);
    cr_assert_eq(troupe_runtime_destroy(crowd.runtime), TROUPE_OK);
}

Test(report, calls_come_one_at_a_time, .timeout = 60)
{
    struct listener listener = {0};
    struct troupe_runtime *runtime = open_with(&listener, 3);
    struct troupe_books books = {0};

    for (int i = 0; i < 300; i++) {
        spawn_failing(runtime, "together");
    }
    while (books.failures < 300) {
        cr_assert_eq(troupe_runtime_books(runtime, &books), TROUPE_OK);
        sched_yield();
    }
    cr_assert_eq(troupe_runtime_stop(runtime, 10000), TROUPE_OK);
    cr_assert_gt(calls_of(&listener), 0);
    cr_assert_eq(listener.overlaps, 0);
    cr_assert_eq(troupe_runtime_destroy(runtime), TROUPE_OK);
}

/* ---- what is said ---- */

Test(report, a_failure_names_actor_code_and_text, .timeout = 60)
{
    struct stage stage;
    struct stage_end end;
    troupe_pid pid;

    stage_open(&stage, TROUPE_NO_THREADS);
    pid = stage_spawn(&stage, &failing, "the text");
    stage_watch(&stage, pid, &end);
    stage_run(&stage);
    cr_assert_eq(stage_reports(&stage, TROUPE_REPORT_FAILURE), 1);
    cr_assert_str_eq(stage.actor[TROUPE_REPORT_FAILURE], "failing");
    cr_assert_not_null(strstr(stage.text[TROUPE_REPORT_FAILURE], "the text"));
    cr_assert_not_null(strstr(stage.text[TROUPE_REPORT_FAILURE], troupe_strerror(TROUPE_EPROTO)));
    stage_close(&stage);
}

Test(report, a_long_text_is_cut_to_one_line, .timeout = 60)
{
    struct listener listener = {0};
    struct troupe_runtime *runtime = open_with(&listener, TROUPE_NO_THREADS);
    static char text[100000];

    memset(text, 'x', sizeof text - 1);
    spawn_failing(runtime, text);
    turn_until_idle(runtime);
    cr_assert_eq(listener.calls, 1);
    cr_assert_gt(strlen(listener.text), 100);
    cr_assert_lt(strlen(listener.text), sizeof listener.text - 1);
    cr_assert_eq(troupe_runtime_stop(runtime, 10000), TROUPE_OK);
    cr_assert_eq(troupe_runtime_destroy(runtime), TROUPE_OK);
}

static int leave(struct troupe_actor *self, void *arg)
{
    troupe_exit(self, *(enum troupe_exit *)arg);
}

Test(report, only_what_is_not_clean_is_a_failure, .timeout = 60)
{
    static enum troupe_exit kinds[] = {TROUPE_EXIT_NORMAL, TROUPE_EXIT_SHUTDOWN, TROUPE_EXIT_KILL};
    struct stage stage;

    stage_open(&stage, TROUPE_NO_THREADS);
    for (unsigned i = 0; i < TROUPE_COUNT(kinds); i++) {
        stage_tell(&stage, stage_spawn(&stage, &stage_puppet, NULL), leave, &kinds[i]);
        stage_run(&stage);
        cr_assert_eq(stage_reports(&stage, TROUPE_REPORT_FAILURE), i == 2, "kind %u", i);
    }
    cr_assert_eq(stage_books(&stage).failures, 1);
    stage_close(&stage);
}

static int go_at_once(struct troupe_actor *self, void *arg)
{
    (void)self;
    (void)arg;
    return TROUPE_DONE;
}

Test(report, dead_letters_name_whom_they_were_for, .timeout = 60)
{
    struct stage stage;
    troupe_pid pid;

    stage_open(&stage, TROUPE_NO_THREADS);
    pid = stage_spawn(&stage, &stage_roomy, NULL);
    stage_tell(&stage, pid, go_at_once, NULL);
    stage_send(&stage, pid, &number, &(uint64_t){1});
    stage_send(&stage, pid, &number, &(uint64_t){2});
    stage_run(&stage);
    cr_assert_eq(stage_reports(&stage, TROUPE_REPORT_DEAD_LETTERS), 1);
    cr_assert_str_eq(stage.actor[TROUPE_REPORT_DEAD_LETTERS], "puppet");
    cr_assert_not_null(strstr(stage.text[TROUPE_REPORT_DEAD_LETTERS], "2 messages"));
    stage_close(&stage);
}

/* ---- a callback that uses the runtime ---- */

struct logger {
    struct troupe_runtime *runtime;
    troupe_pid to;
    _Atomic unsigned sent;
};

static void pass_on(void *context, const struct troupe_report *report)
{
    struct logger *logger = context;
    struct troupe_message *msg;

    if (report->kind != TROUPE_REPORT_FAILURE ||
        troupe_message_create(logger->runtime, &number, 0, &msg) < 0) {
        return;
    }
    *(uint64_t *)troupe_body(msg) = report->pid;
    if (troupe_try_send(logger->runtime, logger->to, msg) < 0) {
        troupe_message_destroy(msg);
        return;
    }
    logger->sent++;
}

static void check_logger(int workers)
{
    struct logger logger = {0};
    struct troupe_runtime_options options = {
        .workers = workers, .report = pass_on, .report_context = &logger};
    static const struct troupe_behaviour quiet = {.name = "quiet", .receive = receive_nothing};
    struct troupe_spawn_options spawn = {.behaviour = &quiet};
    struct troupe_books books;

    cr_assert_eq(troupe_runtime_create(&options, &logger.runtime), TROUPE_OK);
    cr_assert_eq(troupe_runtime_start(logger.runtime), TROUPE_OK);
    cr_assert_eq(troupe_runtime_spawn(logger.runtime, &spawn, &logger.to), TROUPE_OK);
    for (int i = 0; i < 50; i++) {
        spawn_failing(logger.runtime, NULL);
    }
    /* A failure is in the books before its report is out, and what is sent after a stop is refused. */
    while (logger.sent < 50) {
        if (workers == TROUPE_NO_THREADS) {
            turn_until_idle(logger.runtime);
        }
    }
    cr_assert_eq(troupe_runtime_stop(logger.runtime, 10000), TROUPE_OK);
    cr_assert_eq(logger.sent, 50);
    cr_assert_eq(troupe_runtime_books(logger.runtime, &books), TROUPE_OK);
    cr_assert_eq(books.failures, 50);
    cr_assert(books_balance(&books));
    cr_assert_eq(troupe_runtime_destroy(logger.runtime), TROUPE_OK);
}

Test(report, a_callback_may_send_to_an_actor, .timeout = 60)
{
    check_logger(2);
    check_logger(TROUPE_NO_THREADS);
}

/* A callback that asks for what is refused would be told of it inside itself. */
struct greedy {
    struct troupe_runtime *runtime;
    unsigned calls;
    int error;
};

static void spawn_more(void *context, const struct troupe_report *report)
{
    struct greedy *greedy = context;
    struct troupe_spawn_options options = {.behaviour = &failing};
    troupe_pid pid;

    greedy->calls++;
    if (report->kind == TROUPE_REPORT_LIMIT && greedy->calls < 3) {
        greedy->error = troupe_runtime_spawn(greedy->runtime, &options, &pid);
    }
}

Test(report, a_report_inside_a_report_does_not_wait_for_itself, .timeout = 10)
{
    struct greedy greedy = {0};
    struct troupe_runtime_options options = {.workers = TROUPE_NO_THREADS,
        .report = spawn_more,
        .report_context = &greedy,
        .limits = {.actors = 1}};
    struct troupe_spawn_options spawn = {.behaviour = &failing};
    troupe_pid pid;

    cr_assert_eq(troupe_runtime_create(&options, &greedy.runtime), TROUPE_OK);
    cr_assert_eq(troupe_runtime_spawn(greedy.runtime, &spawn, &pid), TROUPE_OK);
    cr_assert_eq(troupe_runtime_spawn(greedy.runtime, &spawn, &pid), TROUPE_ELIMIT);
    cr_assert_eq(greedy.error, TROUPE_ELIMIT);
    cr_assert_eq(greedy.calls, 1);
    cr_assert_eq(troupe_runtime_destroy(greedy.runtime), TROUPE_OK);
}
