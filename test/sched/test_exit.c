/* SPDX-License-Identifier: MIT */
/* Exit: every way to end, what runs on it, in which order and how often; and what becomes of what was queued. */
#include "test/support/stage.h"

/* ---- an actor that writes down what is called ---- */

struct diary {
    struct journal words;
    stage_job_fn on_init;
    stage_job_fn on_terminate;
    void *arg;             /* of both */
    enum troupe_exit kind; /* as terminate was told */
    int code;
};

static int diarist_init(struct troupe_actor *self, void *state, const void *arg)
{
    struct diary *diary = (struct diary *)(uintptr_t)arg;

    *(struct diary **)state = diary;
    journal_add(&diary->words, "init");
    return diary->on_init != NULL ? diary->on_init(self, diary->arg) : TROUPE_OK;
}

static int diarist_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct diary *diary = *(struct diary **)state;
    int status;

    journal_add(&diary->words, "receive");
    return stage_is_job(self, msg, &status) ? status : TROUPE_EUNKNOWN;
}

static void diarist_terminate(
    struct troupe_actor *self, void *state, const struct troupe_reason *reason)
{
    struct diary *diary = *(struct diary **)state;

    diary->kind = reason->kind;
    diary->code = reason->code;
    journal_add(&diary->words, "terminate");
    if (diary->on_terminate != NULL) {
        (void)diary->on_terminate(self, diary->arg);
    }
}

static void diarist_destroy(void *state)
{
    struct diary *diary = *(struct diary **)state;

    journal_add(&diary->words, "destroy");
}

static const struct troupe_behaviour diarist = {
    .name = "diarist",
    .state_size = sizeof(struct diary *),
    .init = diarist_init,
    .receive = diarist_receive,
    .terminate = diarist_terminate,
    .destroy = diarist_destroy,
    .capacity = STAGE_ROOM,
};

/* The same with a state outside of the cell. */
static const struct troupe_behaviour big_diarist = {
    .name = "big diarist",
    .state_size = 5000,
    .init = diarist_init,
    .receive = diarist_receive,
    .terminate = diarist_terminate,
    .destroy = diarist_destroy,
};

#define DIARY                                                                                      \
    {                                                                                              \
        .words = JOURNAL_INIT                                                                      \
    }

/* ---- what a job may do ---- */

static int go_on(struct troupe_actor *self, void *arg)
{
    (void)self;
    (void)arg;
    return TROUPE_OK;
}

static int be_done(struct troupe_actor *self, void *arg)
{
    (void)self;
    (void)arg;
    return TROUPE_DONE;
}

static int return_code(struct troupe_actor *self, void *arg)
{
    (void)self;
    return *(int *)arg;
}

static int fail_with_text(struct troupe_actor *self, void *arg)
{
    return troupe_fail(self, *(int *)arg, "so it goes");
}

static int fail_twice(struct troupe_actor *self, void *arg)
{
    (void)arg;
    (void)troupe_fail(self, TROUPE_EINVAL, "the first");
    return troupe_fail(self, TROUPE_EPROTO, "the second");
}

static int fail_and_recover(struct troupe_actor *self, void *arg)
{
    (void)arg;
    (void)troupe_fail(self, TROUPE_EINVAL, "not so bad");
    return TROUPE_OK;
}

static int fail_and_return_another(struct troupe_actor *self, void *arg)
{
    (void)arg;
    (void)troupe_fail(self, TROUPE_EINVAL, "one thing");
    return TROUPE_EPROTO;
}

static void exit_inside(struct troupe_actor *self, const enum troupe_exit *kind)
{
    char room[256];

    memset(room, *kind, sizeof room);
    troupe_exit(self, (enum troupe_exit)room[100]);
}

static int exit_with(struct troupe_actor *self, void *arg)
{
    exit_inside(self, arg);
    cr_assert_fail("troupe_exit() came back");
    return TROUPE_OK;
}

static int abandon(struct troupe_actor *self, void *arg)
{
    troupe_abandon(self, *(int *)arg, "given up");
}

static int check_that_fails(struct troupe_actor *self, void *arg)
{
    TROUPE_CHECK(self, arg == self);
    return TROUPE_OK;
}

static int kill_oneself(struct troupe_actor *self, void *arg)
{
    (void)arg;
    return troupe_kill(self, troupe_self(self));
}

/* Spawns a diarist, has it run `job`, and says how it ended. */
static struct stage_end end_of(const struct troupe_behaviour *behaviour, struct diary *diary,
    stage_job_fn job, void *arg, struct troupe_books *out_books)
{
    struct stage stage;
    struct stage_end end;
    troupe_pid pid;

    stage_open(&stage, TROUPE_NO_THREADS);
    pid = stage_spawn(&stage, behaviour, diary);
    stage_watch(&stage, pid, &end);
    stage_tell(&stage, pid, job, arg);
    stage_run(&stage);
    cr_assert_eq(end.count, 1);
    cr_assert_not(troupe_is_alive(stage.runtime, pid));
    if (out_books != NULL) {
        *out_books = stage_books(&stage);
    }
    stage_close(&stage);
    return end;
}

/* ---- each way to end ---- */

Test(exit, done_ends_with_reason_normal, .timeout = 60)
{
    struct diary diary = DIARY;
    struct troupe_books books;
    struct stage_end end = end_of(&diarist, &diary, be_done, NULL, &books);

    cr_assert_eq(end.kind, TROUPE_EXIT_NORMAL);
    cr_assert_eq(end.code, 0);
    cr_assert_str_eq(diary.words.text, "init receive terminate destroy");
    cr_assert_eq(diary.kind, TROUPE_EXIT_NORMAL);
    cr_assert_eq(books.failures, 0);
}

Test(exit, a_negative_return_is_a_failure_with_that_code, .timeout = 60)
{
    struct diary diary = DIARY;
    struct troupe_books books;
    int code = -1234;
    struct stage_end end = end_of(&diarist, &diary, return_code, &code, &books);

    cr_assert_eq(end.kind, TROUPE_EXIT_ERROR);
    cr_assert_eq(end.code, code);
    cr_assert_str_eq(end.text, "");
    cr_assert_str_eq(diary.words.text, "init receive terminate destroy");
    cr_assert_eq(diary.code, code);
    cr_assert_eq(books.failures, 1);
}

Test(exit, a_state_outside_of_the_cell_ends_the_same, .timeout = 60)
{
    struct diary diary = DIARY;
    int code = -1234;
    struct stage_end end = end_of(&big_diarist, &diary, return_code, &code, NULL);

    cr_assert_eq(end.code, code);
    cr_assert_str_eq(diary.words.text, "init receive terminate destroy");
}

Test(exit, fail_tells_its_code_and_text, .timeout = 60)
{
    struct diary diary = DIARY;
    int code = TROUPE_EPROTO;
    struct stage_end end = end_of(&diarist, &diary, fail_with_text, &code, NULL);

    cr_assert_eq(end.kind, TROUPE_EXIT_ERROR);
    cr_assert_eq(end.code, code);
    cr_assert_str_eq(end.text, "so it goes");
}

Test(exit, fail_with_a_code_that_is_none_counts_as_einval, .timeout = 60)
{
    struct diary diary = DIARY;
    int code = 7;
    struct stage_end end = end_of(&diarist, &diary, fail_with_text, &code, NULL);

    cr_assert_eq(end.code, TROUPE_EINVAL);
}

Test(exit, of_two_failures_the_one_returned_counts, .timeout = 60)
{
    struct diary diary = DIARY;
    struct stage_end end = end_of(&diarist, &diary, fail_twice, NULL, NULL);

    cr_assert_eq(end.code, TROUPE_EPROTO);
    cr_assert_str_eq(end.text, "the second");
}

Test(exit, a_code_that_was_not_recorded_comes_without_its_text, .timeout = 60)
{
    struct diary diary = DIARY;
    struct stage_end end = end_of(&diarist, &diary, fail_and_return_another, NULL, NULL);

    cr_assert_eq(end.code, TROUPE_EPROTO);
    cr_assert_str_eq(end.text, "");
}

Test(exit, exit_ends_from_deep_inside_with_its_kind, .timeout = 60)
{
    static enum troupe_exit kinds[] = {TROUPE_EXIT_NORMAL, TROUPE_EXIT_SHUTDOWN, TROUPE_EXIT_KILLED,
        TROUPE_EXIT_KILL, TROUPE_EXIT_NOPROC};

    for (size_t i = 0; i < TROUPE_COUNT(kinds); i++) {
        struct diary diary = DIARY;
        struct stage_end end = end_of(&diarist, &diary, exit_with, &kinds[i], NULL);

        cr_assert_eq(end.kind, kinds[i]);
        cr_assert_eq(end.code, 0);
        cr_assert(strncmp(diary.words.text, "init receive", 12) == 0);
        cr_assert_not_null(strstr(diary.words.text, "destroy"));
    }
}

Test(exit, abandon_ends_with_its_code_and_text, .timeout = 60)
{
    struct diary diary = DIARY;
    int code = -77;
    struct stage_end end = end_of(&diarist, &diary, abandon, &code, NULL);

    cr_assert_eq(end.kind, TROUPE_EXIT_ERROR);
    cr_assert_eq(end.code, -77);
    cr_assert_str_eq(end.text, "given up");
    cr_assert_str_eq(diary.words.text, "init receive terminate destroy");
}

Test(exit, a_failed_check_says_where_and_what, .timeout = 60)
{
    struct diary diary = DIARY;
    struct stage_end end = end_of(&diarist, &diary, check_that_fails, NULL, NULL);

    cr_assert_eq(end.code, TROUPE_ECHECK);
    cr_assert_not_null(strstr(end.text, "test_exit.c:"));
    cr_assert_not_null(strstr(end.text, "arg == self"));
}

Test(exit, a_killed_actor_is_not_asked_to_terminate, .timeout = 60)
{
    struct diary diary = DIARY;
    struct stage_end end = end_of(&diarist, &diary, kill_oneself, NULL, NULL);

    cr_assert_eq(end.kind, TROUPE_EXIT_KILLED);
    cr_assert_str_eq(diary.words.text, "init receive destroy");
}

Test(exit, a_handler_that_recovers_from_its_failure_goes_on, .timeout = 60)
{
    struct stage stage;
    struct diary diary = DIARY;
    struct stage_end end;
    int code = -5;
    troupe_pid pid;

    stage_open(&stage, TROUPE_NO_THREADS);
    pid = stage_spawn(&stage, &diarist, &diary);
    stage_watch(&stage, pid, &end);
    stage_tell(&stage, pid, fail_and_recover, NULL);
    stage_run(&stage);
    cr_assert(troupe_is_alive(stage.runtime, pid));
    stage_tell(&stage, pid, return_code, &code);
    stage_run(&stage);
    cr_assert_eq(end.code, -5);
    cr_assert_str_eq(end.text, "", "the reason that was withdrawn came back");
    stage_close(&stage);
}

/* The reason lay with the worker and was taken for the next actor's. */
Test(exit, a_message_not_known_leaves_no_reason_to_the_next_actor, .timeout = 60)
{
    struct stage stage;
    struct diary diaries[2] = {DIARY, DIARY};
    struct stage_end end;
    int unknown = TROUPE_EUNKNOWN;
    troupe_pid pids[2];

    stage_open(&stage, TROUPE_NO_THREADS);
    pids[0] = stage_spawn(&stage, &diarist, &diaries[0]);
    pids[1] = stage_spawn(&stage, &diarist, &diaries[1]);
    stage_watch(&stage, pids[1], &end);
    stage_tell(&stage, pids[0], fail_with_text, &unknown);
    stage_run(&stage);
    cr_assert(troupe_is_alive(stage.runtime, pids[0]), "EUNKNOWN is no failure");
    cr_assert_eq(troupe_runtime_exit(stage.runtime, pids[1], TROUPE_EXIT_SHUTDOWN), TROUPE_OK);
    stage_run(&stage);
    cr_assert_eq(end.count, 1);
    cr_assert_eq(end.kind, TROUPE_EXIT_SHUTDOWN);
    stage_close(&stage);
}

/* ---- init ---- */

static void check_failed_init(int status, enum troupe_exit kind, int code, const char *words)
{
    struct stage stage;
    struct diary diary = DIARY;
    struct stage_end end;
    troupe_pid pid;

    diary.on_init = return_code;
    diary.arg = &status;
    stage_open(&stage, TROUPE_NO_THREADS);
    pid = stage_spawn(&stage, &diarist, &diary);
    /* The witness runs after the actor was queued, and before it if it overtakes: both are told. */
    stage_tell(&stage, pid, go_on, NULL);
    stage_watch(&stage, pid, &end);
    stage_run(&stage);
    cr_assert_eq(end.count, 1);
    cr_assert(end.kind == kind || end.kind == TROUPE_EXIT_NOPROC);
    if (end.kind == kind) {
        cr_assert_eq(end.code, code);
    }
    cr_assert_str_eq(diary.words.text, words);
    cr_assert_eq(stage_books(&stage).failures, kind == TROUPE_EXIT_ERROR);
    cr_assert_eq(stage_books(&stage).dead, 1, "the message that was waiting is a dead letter");
    stage_close(&stage);
}

Test(exit, an_actor_whose_init_fails_is_destroyed_and_not_terminated, .timeout = 60)
{
    check_failed_init(-42, TROUPE_EXIT_ERROR, -42, "init destroy");
}

/* conclude() took it for "not mine", and the actor ended with whatever reason lay around. */
Test(exit, an_init_that_returns_eunknown_has_failed, .timeout = 60)
{
    check_failed_init(TROUPE_EUNKNOWN, TROUPE_EXIT_ERROR, TROUPE_EUNKNOWN, "init destroy");
}

Test(exit, an_init_that_is_done_ends_the_actor_in_order, .timeout = 60)
{
    check_failed_init(TROUPE_DONE, TROUPE_EXIT_NORMAL, 0, "init terminate destroy");
}

Test(exit, a_failure_in_init_comes_with_its_text, .timeout = 60)
{
    struct stage stage;
    struct diary diary = DIARY;
    int code = TROUPE_EPROTO;

    diary.on_init = fail_with_text;
    diary.arg = &code;
    stage_open(&stage, TROUPE_NO_THREADS);
    (void)stage_spawn(&stage, &diarist, &diary);
    stage_run(&stage);
    cr_assert_eq(stage_reports(&stage, TROUPE_REPORT_FAILURE), 1);
    cr_assert_not_null(strstr(stage.text[TROUPE_REPORT_FAILURE], "so it goes"));
    cr_assert_str_eq(stage.actor[TROUPE_REPORT_FAILURE], "diarist");
    stage_close(&stage);
}

Test(exit, exit_in_init_ends_the_actor, .timeout = 60)
{
    struct stage stage;
    struct diary diary = DIARY;
    enum troupe_exit kind = TROUPE_EXIT_SHUTDOWN;
    troupe_pid pid;

    diary.on_init = exit_with;
    diary.arg = &kind;
    stage_open(&stage, TROUPE_NO_THREADS);
    pid = stage_spawn(&stage, &diarist, &diary);
    stage_run(&stage);
    cr_assert_not(troupe_is_alive(stage.runtime, pid));
    cr_assert_str_eq(diary.words.text, "init destroy");
    cr_assert_eq(stage_books(&stage).failures, 0);
    stage_close(&stage);
}

Test(exit, one_killed_before_init_runs_nothing, .timeout = 60)
{
    struct stage stage;
    struct diary diary = DIARY;
    troupe_pid pid;

    stage_open(&stage, TROUPE_NO_THREADS);
    pid = stage_spawn(&stage, &diarist, &diary);
    stage_tell(&stage, pid, go_on, NULL);
    cr_assert(troupe_is_alive(stage.runtime, pid));
    cr_assert_eq(troupe_runtime_exit(stage.runtime, pid, TROUPE_EXIT_KILL), TROUPE_OK);
    cr_assert_not(troupe_is_alive(stage.runtime, pid), "a kill was sent");
    stage_run(&stage);
    cr_assert_str_eq(diary.words.text, "");
    cr_assert_eq(stage_books(&stage).exited, 1);
    cr_assert_eq(stage_books(&stage).dead, 1);
    stage_close(&stage);
}

/* ---- terminate ---- */

struct farewell {
    troupe_pid to;
    int heard;
};

static int hear(struct troupe_actor *self, void *arg)
{
    struct farewell *farewell = arg;

    (void)self;
    farewell->heard++;
    return TROUPE_OK;
}

static int say_farewell(struct troupe_actor *self, void *arg)
{
    struct farewell *farewell = arg;
    struct stage_job job = {.run = hear, .arg = farewell};

    return troupe_send(self, farewell->to, &stage_job, &job);
}

Test(exit, what_terminate_sends_is_delivered, .timeout = 60)
{
    struct stage stage;
    struct diary diary = DIARY;
    struct farewell farewell = {0};
    troupe_pid pid;

    diary.on_terminate = say_farewell;
    diary.arg = &farewell;
    stage_open(&stage, TROUPE_NO_THREADS);
    farewell.to = stage_spawn(&stage, &stage_puppet, NULL);
    pid = stage_spawn(&stage, &diarist, &diary);
    stage_tell(&stage, pid, be_done, NULL);
    stage_run(&stage);
    cr_assert_eq(farewell.heard, 1);
    stage_close(&stage);
}

Test(exit, exit_inside_terminate_changes_neither_reason_nor_order, .timeout = 60)
{
    struct diary diary = DIARY;
    enum troupe_exit kind = TROUPE_EXIT_NORMAL;
    int code = -9;
    struct stage_end end;

    diary.on_terminate = exit_with;
    diary.arg = &kind;
    end = end_of(&diarist, &diary, return_code, &code, NULL);
    cr_assert_eq(end.kind, TROUPE_EXIT_ERROR);
    cr_assert_eq(end.code, -9);
    cr_assert_str_eq(diary.words.text, "init receive terminate destroy");
}

static int use_everything(struct troupe_actor *self, void *arg)
{
    struct troupe_timer timer;
    static const struct troupe_type tick = TROUPE_SIGNAL;

    (void)arg;
    cr_assert_not_null(troupe_arena_alloc(self, 10000));
    cr_assert_eq(troupe_tick_after(self, 1, &tick, NULL, &timer), TROUPE_OK);
    cr_assert_eq(troupe_tick_every(self, 1, &tick, NULL, NULL), TROUPE_OK);
    return troupe_send(self, troupe_self(self), &tick, NULL);
}

Test(exit, what_terminate_begins_is_given_back, .timeout = 60)
{
    struct diary diary = DIARY;

    diary.on_terminate = use_everything;
    (void)end_of(&diarist, &diary, be_done, NULL, NULL);
    cr_assert_str_eq(diary.words.text, "init receive terminate destroy");
}

/* ---- deferred cleanups ---- */

struct cleanup {
    struct diary *diary;
    const char *word;
};

static void clean_up(void *arg)
{
    const struct cleanup *cleanup = arg;

    journal_add(&cleanup->diary->words, cleanup->word);
}

static int defer_three(struct troupe_actor *self, void *arg)
{
    struct cleanup *cleanups = arg;

    for (int i = 0; i < 3; i++) {
        TROUPE_TRY(troupe_defer(self, clean_up, &cleanups[i]));
    }
    return TROUPE_OK;
}

static int take_back_the_second(struct troupe_actor *self, void *arg)
{
    struct cleanup *cleanups = arg;

    cr_assert_eq(troupe_undefer(self, clean_up, &cleanups[1]), TROUPE_OK);
    cr_assert_eq(troupe_undefer(self, clean_up, &cleanups[1]), TROUPE_ENOENT);
    return TROUPE_OK;
}

static void check_cleanups(stage_job_fn last, void *arg, bool undefer, const char *words)
{
    struct stage stage;
    struct diary diary = DIARY;
    struct cleanup cleanups[3] = {{&diary, "one"}, {&diary, "two"}, {&diary, "three"}};
    troupe_pid pid;

    diary.on_init = defer_three;
    diary.arg = cleanups;
    stage_open(&stage, TROUPE_NO_THREADS);
    pid = stage_spawn(&stage, &diarist, &diary);
    if (undefer) {
        stage_tell(&stage, pid, take_back_the_second, cleanups);
    }
    stage_tell(&stage, pid, last, arg);
    stage_run(&stage);
    cr_assert_str_eq(diary.words.text, words);
    stage_close(&stage);
}

Test(exit, cleanups_run_last_first_between_terminate_and_destroy, .timeout = 60)
{
    check_cleanups(be_done, NULL, false, "init receive terminate three two one destroy");
}

Test(exit, cleanups_run_when_the_actor_is_killed, .timeout = 60)
{
    check_cleanups(kill_oneself, NULL, false, "init receive three two one destroy");
}

Test(exit, cleanups_run_after_exit_from_deep_inside, .timeout = 60)
{
    enum troupe_exit kind = TROUPE_EXIT_SHUTDOWN;

    check_cleanups(exit_with, &kind, false, "init receive terminate three two one destroy");
}

Test(exit, a_cleanup_taken_back_does_not_run, .timeout = 60)
{
    check_cleanups(be_done, NULL, true, "init receive receive terminate three one destroy");
}

/* ---- what was queued ---- */

struct cargo {
    _Atomic unsigned *destroyed;
};

static void cargo_destroy(void *body)
{
    const struct cargo *cargo = body;

    (*cargo->destroyed)++;
}

static const struct troupe_type cargo = TROUPE_TYPE_DESTROY(struct cargo, cargo_destroy);

/* So many that steps 5 to 9 need several turns. */
#define MANY 1000

static void check_queue_ends(stage_job_fn job, void *arg, bool kill)
{
    struct stage stage;
    struct diary diary = DIARY;
    _Atomic unsigned destroyed = 0;
    troupe_pid pid;

    stage_open(&stage, TROUPE_NO_THREADS);
    pid = stage_spawn(&stage, &diarist, &diary);
    if (job != NULL) {
        stage_tell(&stage, pid, job, arg);
    }
    for (int i = 0; i < MANY; i++) {
        stage_send(&stage, pid, &cargo, &(struct cargo){&destroyed});
    }
    if (kill) {
        cr_assert_eq(troupe_runtime_exit(stage.runtime, pid, TROUPE_EXIT_KILL), TROUPE_OK);
    }
    stage_run(&stage);
    cr_assert_eq(destroyed, MANY);
    cr_assert_eq(stage_books(&stage).dead, MANY);
    cr_assert_gt(stage_reports(&stage, TROUPE_REPORT_DEAD_LETTERS), 0);
    stage_close(&stage);
}

Test(exit, messages_behind_the_last_are_dead_letters_and_destroyed_once, .timeout = 60)
{
    int code = -3;

    check_queue_ends(be_done, NULL, false);
    check_queue_ends(return_code, &code, false);
}

Test(exit, messages_of_a_killed_actor_are_dead_letters_and_destroyed_once, .timeout = 60)
{
    check_queue_ends(NULL, NULL, true);
}

Test(exit, an_exit_signal_overtakes_what_is_queued_and_nothing_is_lost, .timeout = 60)
{
    struct stage stage;
    struct diary diary = DIARY;
    struct stage_end end;
    _Atomic unsigned destroyed = 0;
    troupe_pid pid;

    stage_open(&stage, TROUPE_NO_THREADS);
    pid = stage_spawn(&stage, &diarist, &diary);
    stage_watch(&stage, pid, &end);
    for (int i = 0; i < 10; i++) {
        stage_send(&stage, pid, &cargo, &(struct cargo){&destroyed});
    }
    cr_assert_eq(troupe_runtime_exit(stage.runtime, pid, TROUPE_EXIT_SHUTDOWN), TROUPE_OK);
    for (int i = 0; i < 10; i++) {
        stage_send(&stage, pid, &cargo, &(struct cargo){&destroyed});
    }
    stage_run(&stage);
    cr_assert_eq(end.kind, TROUPE_EXIT_SHUTDOWN);
    cr_assert_str_eq(diary.words.text, "init terminate destroy");
    cr_assert_eq(destroyed, 20);
    cr_assert_eq(stage_books(&stage).dead, 20);
    stage_close(&stage);
}

static int fail_in_turn(struct troupe_actor *self, void *arg)
{
    struct cargo *body = arg;
    int error = troupe_send(self, troupe_self(self), &cargo, body);

    return error < 0 ? error : troupe_fail(self, -1, "after a send to myself");
}

Test(exit, what_an_actor_sent_to_itself_ends_with_it, .timeout = 60)
{
    struct diary diary = DIARY;
    _Atomic unsigned destroyed = 0;
    struct cargo body = {&destroyed};
    struct troupe_books books;

    (void)end_of(&diarist, &diary, fail_in_turn, &body, &books);
    cr_assert_eq(destroyed, 1);
    cr_assert_eq(books.dead, 1);
}

Test(exit, sends_to_one_that_ended_are_refused, .timeout = 60)
{
    struct stage stage;
    struct diary diary = DIARY;
    troupe_pid pid;

    stage_open(&stage, TROUPE_NO_THREADS);
    pid = stage_spawn(&stage, &diarist, &diary);
    stage_tell(&stage, pid, be_done, NULL);
    stage_run(&stage);
    cr_assert_eq(
        stage_try_send(&stage, pid, &stage_job, &(struct stage_job){.run = go_on}), TROUPE_EGONE);
    cr_assert_eq(stage_books(&stage).refused, 1);
    stage_close(&stage);
}

/* ---- a slot that is used again ---- */

Test(exit, an_old_pid_never_reaches_a_new_actor, .timeout = 60)
{
    struct stage stage;
    struct diary diary = DIARY;
    troupe_pid old[64];
    unsigned reused = 0;

    memset(&stage, 0, sizeof stage);
    /* Few cells, so that each serves many actors. */
    stage_open_with(&stage,
        &(struct troupe_runtime_options){.workers = TROUPE_NO_THREADS, .limits = {.actors = 4}});
    for (size_t i = 0; i < TROUPE_COUNT(old); i++) {
        STAGE_AWAIT(&stage, stage_try_spawn(&stage, &diarist, &diary, &old[i]) == TROUPE_OK);
        for (size_t j = 0; j < i; j++) {
            cr_assert_neq(old[j], old[i]);
            reused += (old[j] & 0xfffffff) == (old[i] & 0xfffffff);
            cr_assert_not(troupe_is_alive(stage.runtime, old[j]));
            cr_assert_eq(
                stage_try_send(&stage, old[j], &stage_job, &(struct stage_job){.run = go_on}),
                TROUPE_EGONE);
        }
        stage_tell(&stage, old[i], be_done, NULL);
        stage_run(&stage);
    }
    cr_assert_gt(reused, 0);
    stage_close(&stage);
}
