/* SPDX-License-Identifier: MIT */
/*
 * Thread: actors with a thread of their own block as they like, hold nobody up, and are actors as any other.
 *
 * Where one blocks, it does so in latch_wait(), of which troupe knows nothing.
 */
#include "sched/core.h"
#include "sched/runtime.h"
#include "test/support/random.h"
#include "test/support/stage.h"

static const struct troupe_type number = TROUPE_TYPE(uint64_t);
static const struct troupe_type other = TROUPE_TYPE(uint64_t);
static const struct troupe_type ask = TROUPE_TYPE(uint64_t);
static const struct troupe_type answer = TROUPE_TYPE(uint64_t);

/* ---- actors ---- */

/* A main function that is the job given to it. */
struct part {
    int (*run)(struct troupe_actor *self, struct part *part);
    struct stage *stage;
    troupe_pid to;
    uint64_t count;
    bool says_good_bye; /* sends `count` in terminate */
    struct latch began;
    struct latch until;
    _Atomic unsigned lives;
    _Atomic unsigned done;
    _Atomic unsigned cleanups;
    _Atomic unsigned terminated;
    _Atomic unsigned destroyed;
    _Atomic int status;
    _Atomic(pthread_t) thread; /* of its last life */
    _Atomic bool elsewhere;    /* something of it ran on another one */
};

#define PART(fn)                                                                                   \
    {                                                                                              \
        .run = (fn), .began = LATCH_INIT, .until = LATCH_INIT                                      \
    }

static void look_where(struct part *part)
{
    if (!pthread_equal(part->thread, pthread_self())) {
        part->elsewhere = true;
    }
}

static void clean_up(void *arg)
{
    struct part *part = arg;

    look_where(part);
    part->cleanups++;
}

static int part_init(struct troupe_actor *self, void *state, const void *arg)
{
    struct part *part = (struct part *)(uintptr_t)arg;

    *(struct part **)state = part;
    part->thread = pthread_self();
    part->lives++;
    return troupe_defer(self, clean_up, part);
}

static int part_main(struct troupe_actor *self, const void *arg)
{
    struct part *part = (struct part *)(uintptr_t)arg;
    int status;

    look_where(part);
    status = part->run(self, part);
    look_where(part);
    part->status = status;
    part->done++;
    return status;
}

static void part_terminate(
    struct troupe_actor *self, void *state, const struct troupe_reason *reason)
{
    struct part *part = *(struct part **)state;

    (void)reason;
    look_where(part);
    if (part->says_good_bye) {
        part->status = troupe_send(self, part->to, &number, &(uint64_t){part->count});
    }
    part->terminated++;
}

static void part_destroy(void *state)
{
    struct part *part = *(struct part **)state;

    /* Without memory for a stack it ends before init. */
    if (part != NULL) {
        look_where(part);
        part->destroyed++;
    }
}

static const struct troupe_behaviour thread = {
    .name = "thread",
    .state_size = sizeof(struct part *),
    .init = part_init,
    .main = part_main,
    .terminate = part_terminate,
    .destroy = part_destroy,
    .thread = true,
    .capacity = STAGE_ROOM,
};

static const struct troupe_behaviour narrow_thread = {.name = "narrow thread",
    .state_size = sizeof(struct part *),
    .init = part_init,
    .main = part_main,
    .thread = true,
    .capacity = 4};

static const struct troupe_behaviour trapping_thread = {.name = "trapping thread",
    .state_size = sizeof(struct part *),
    .init = part_init,
    .main = part_main,
    .trap_exit = true,
    .thread = true};

static troupe_pid play(struct stage *stage, struct part *part)
{
    part->stage = stage;
    return stage_spawn(stage, &thread, part);
}

/* Answers `ask` with the number plus one. */
static int oracle_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    uint64_t value;

    (void)state;
    if (!troupe_is(msg, &ask)) {
        return TROUPE_EUNKNOWN;
    }
    value = *(const uint64_t *)troupe_body(msg) + 1;
    return troupe_reply(self, msg, &answer, &value);
}

static const struct troupe_behaviour oracle = {
    .name = "oracle",
    .receive = oracle_receive,
    .capacity = STAGE_ROOM,
};

/* Keeps what it was asked. */
static int silent_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    return troupe_take(self, msg, state);
}

static void silent_destroy(void *state)
{
    troupe_message_destroy(*(struct troupe_message **)state);
}

static const struct troupe_behaviour silent = {.name = "silent",
    .state_size = sizeof(struct troupe_message *),
    .receive = silent_receive,
    .destroy = silent_destroy};

/* Answers in a main function. */
static int answer_all(struct troupe_actor *self, struct part *part)
{
    for (uint64_t i = 0; i < part->count; i++) {
        struct troupe_message *msg;
        uint64_t value;

        TROUPE_TRY(troupe_receive(self, TROUPE_FOREVER, &msg));
        if (!troupe_is(msg, &ask)) {
            return TROUPE_EPROTO;
        }
        value = *(const uint64_t *)troupe_body(msg) + 1;
        TROUPE_TRY(troupe_reply(self, msg, &answer, &value));
    }
    return TROUPE_OK;
}

/* Blocks until the test says so. */
static int block(struct troupe_actor *self, struct part *part)
{
    (void)self;
    latch_hit(&part->began);
    return latch_wait(&part->until, 1) ? TROUPE_OK : TROUPE_ETIMEDOUT;
}

static int block_then_wait(struct troupe_actor *self, struct part *part)
{
    TROUPE_TRY(block(self, part));
    return troupe_sleep(self, 3600000);
}

static int wait_for_ever(struct troupe_actor *self, struct part *part)
{
    struct troupe_message *msg;

    latch_hit(&part->began);
    return troupe_receive(self, TROUPE_FOREVER, &msg);
}

static void await_end(struct stage *stage, struct stage_end *end)
{
    STAGE_AWAIT(stage, end->count == 1);
}

/* Both kinds of runtime. */
static const int kinds[] = {TROUPE_NO_THREADS, 1, 2};

#define FOR_EACH_KIND(i) for (size_t i = 0; i < TROUPE_COUNT(kinds); i++)

/* ---- blocking ---- */

static int end_at_once(struct troupe_actor *self, void *state, const void *arg)
{
    (void)self;
    (void)state;
    (void)arg;
    return TROUPE_DONE;
}

static const struct troupe_behaviour mayfly = {
    .name = "mayfly", .init = end_at_once, .receive = stage_puppet_receive};

/* Memory of actors that have ended comes back: no grace period waits for one that blocks. */
Test(thread, who_blocks_holds_nobody_up, .timeout = 120)
{
    struct part part = PART(block);
    struct stage stage;
    troupe_pid pid;

    stage_open_with(
        &stage, &(struct troupe_runtime_options){.workers = 1, .limits = {.actors = 8}});
    play(&stage, &part);
    cr_assert(latch_wait(&part.began, 1));
    for (unsigned i = 0; i < 100; i++) {
        STAGE_AWAIT(&stage, stage_try_spawn(&stage, &mayfly, NULL, &pid) == TROUPE_OK);
    }
    cr_assert_eq(part.done, 0);
    cr_assert_eq(stage_reports(&stage, TROUPE_REPORT_STUCK), 0);
    latch_hit(&part.until);
    STAGE_AWAIT(&stage, part.done == 1);
    stage_close(&stage);
}

/* Also after it has called: it is outside again as soon as the call returns. */
static int call_then_block(struct troupe_actor *self, struct part *part)
{
    struct troupe_message *msg;
    uint64_t value = 1;

    TROUPE_TRY(troupe_send(self, troupe_self(self), &number, &value));
    TROUPE_TRY(troupe_receive(self, 0, &msg));
    if (troupe_is_alive(troupe_runtime_of(self), part->to)) {
        return TROUPE_EPROTO;
    }
    TROUPE_TRY(troupe_sleep(self, 1));
    return block(self, part);
}

Test(thread, who_blocks_after_a_call_holds_nobody_up, .timeout = 120)
{
    struct part part = PART(call_then_block);
    struct stage stage;
    troupe_pid pid;

    stage_open_with(
        &stage, &(struct troupe_runtime_options){.workers = 1, .limits = {.actors = 8}});
    play(&stage, &part);
    cr_assert(latch_wait(&part.began, 1));
    for (unsigned i = 0; i < 100; i++) {
        STAGE_AWAIT(&stage, stage_try_spawn(&stage, &mayfly, NULL, &pid) == TROUPE_OK);
    }
    latch_hit(&part.until);
    STAGE_AWAIT(&stage, part.done == 1);
    cr_assert_eq(part.status, TROUPE_OK);
    stage_close(&stage);
}

Test(thread, all_its_callbacks_run_on_its_own_thread, .timeout = 60)
{
    FOR_EACH_KIND(i)
    {
        struct part part = PART(block);
        struct stage_end end;
        struct stage stage;

        stage_open(&stage, kinds[i]);
        stage_watch(&stage, play(&stage, &part), &end);
        latch_hit(&part.until);
        await_end(&stage, &end);
        cr_assert_eq(end.kind, TROUPE_EXIT_NORMAL);
        cr_assert_not(part.elsewhere);
        cr_assert_not(pthread_equal(part.thread, pthread_self()));
        cr_assert_eq(part.cleanups, 1);
        cr_assert_eq(part.terminated, 1);
        cr_assert_eq(part.destroyed, 1);
        stage_close(&stage);
    }
}

/* ---- receiving, calling, sleeping ---- */

static int receive_all(struct troupe_actor *self, struct part *part)
{
    for (uint64_t i = 0; i < part->count; i++) {
        struct troupe_message *msg;

        TROUPE_TRY(troupe_receive(self, TROUPE_FOREVER, &msg));
        if (!troupe_is(msg, &number) || *(const uint64_t *)troupe_body(msg) != i) {
            return TROUPE_EPROTO;
        }
    }
    return TROUPE_OK;
}

Test(thread, main_receives_what_was_sent_in_order, .timeout = 60)
{
    FOR_EACH_KIND(i)
    {
        struct part part = PART(receive_all);
        struct stage_end end;
        struct stage stage;
        troupe_pid pid;

        part.count = 1000;
        stage_open(&stage, kinds[i]);
        pid = play(&stage, &part);
        stage_watch(&stage, pid, &end);
        for (uint64_t value = 0; value < part.count; value++) {
            STAGE_AWAIT(&stage, stage_try_send(&stage, pid, &number, &value) == TROUPE_OK);
        }
        await_end(&stage, &end);
        cr_assert_eq(end.kind, TROUPE_EXIT_NORMAL, "%d", end.code);
        stage_close(&stage);
    }
}

static int receive_in_every_way(struct troupe_actor *self, struct part *part)
{
    static const struct troupe_type *const types[] = {&other};
    struct troupe_message *msg;
    uint64_t one = 1;
    uint64_t two = 2;

    (void)part;
    if (!troupe_may_wait(self) || troupe_receive(self, 0, &msg) != TROUPE_ETIMEDOUT ||
        troupe_receive(self, 1, &msg) != TROUPE_ETIMEDOUT ||
        troupe_receive_of(self, types, 1, 1, &msg) != TROUPE_ETIMEDOUT) {
        return TROUPE_EPROTO;
    }
    TROUPE_TRY(troupe_send(self, troupe_self(self), &number, &one));
    TROUPE_TRY(troupe_send(self, troupe_self(self), &other, &two));
    TROUPE_TRY(troupe_yield(self));
    TROUPE_TRY(troupe_receive_of(self, types, 1, TROUPE_FOREVER, &msg));
    if (*(const uint64_t *)troupe_body(msg) != 2 || troupe_sender(msg) != troupe_self(self)) {
        return TROUPE_EPROTO;
    }
    TROUPE_TRY(troupe_receive(self, TROUPE_FOREVER, &msg));
    return *(const uint64_t *)troupe_body(msg) == 1 ? TROUPE_OK : TROUPE_EPROTO;
}

static int call_around(struct troupe_actor *self, struct part *part)
{
    struct troupe_message *reply;

    for (uint64_t i = 0; i < 100; i++) {
        uint64_t got = 0;

        TROUPE_TRY(troupe_call(self, part->to, &ask, &i, &answer, &got, 60000));
        if (got != i + 1) {
            return TROUPE_EPROTO;
        }
    }
    TROUPE_TRY(troupe_call_message(self, part->to, &ask, &(uint64_t){1}, TROUPE_FOREVER, &reply));
    troupe_message_destroy(reply);
    return troupe_call(self, troupe_self(self), &ask, &(uint64_t){1}, &answer, &(uint64_t){0}, 1) ==
                   TROUPE_EINVAL
               ? TROUPE_OK
               : TROUPE_EPROTO;
}

/* Not before it is watched. */
static int call_around_later(struct troupe_actor *self, struct part *part)
{
    return latch_wait(&part->until, 1) ? call_around(self, part) : TROUPE_ETIMEDOUT;
}

/* Of nobody who answers. */
static int call_in_vain(struct troupe_actor *self, struct part *part)
{
    uint64_t got;
    int status = troupe_call(self, part->to, &ask, &(uint64_t){1}, &answer, &got, 20);

    return status == TROUPE_ETIMEDOUT ? TROUPE_OK : TROUPE_EPROTO;
}

static int tick_and_sleep(struct troupe_actor *self, struct part *part)
{
    struct troupe_message *msg;
    struct troupe_timer timer;

    (void)part;
    TROUPE_TRY(troupe_tick_after(self, 1, &number, &(uint64_t){7}, &timer));
    TROUPE_TRY(troupe_sleep(self, 5));
    TROUPE_TRY(troupe_receive(self, 60000, &msg));
    return troupe_is(msg, &number) && *(const uint64_t *)troupe_body(msg) == 7 ? TROUPE_OK
                                                                               : TROUPE_EPROTO;
}

static int work_through_job(struct troupe_job *job, void *arg)
{
    (void)job;
    return *(const int *)arg;
}

static int wait_for_a_job(struct troupe_actor *self, struct part *part)
{
    int wanted = 5;
    int status = 0;

    (void)part;
    TROUPE_TRY(troupe_blocking_wait(self, work_through_job, &wanted, NULL, 60000, &status));
    return status == 5 ? TROUPE_OK : TROUPE_EPROTO;
}

/* Names, groups, a child of its own, an arena. */
static int use_the_rest(struct troupe_actor *self, struct part *part)
{
    struct troupe_runtime *runtime = troupe_runtime_of(self);
    struct troupe_spawn_options options = {.behaviour = &oracle, .link = true};
    troupe_pid child;
    uint64_t got = 0;
    troupe_ref ref;

    TROUPE_TRY(troupe_register(self, "a.thread"));
    if (troupe_whereis(self, "a.thread") != troupe_self(self) ||
        troupe_runtime_whereis(runtime, "a.thread") != troupe_self(self)) {
        return TROUPE_EPROTO;
    }
    TROUPE_TRY(troupe_group_join(self, "threads"));
    TROUPE_TRY(troupe_spawn(self, &options, &child));
    TROUPE_TRY(troupe_monitor(self, child, &ref));
    TROUPE_TRY(troupe_call(self, child, &ask, &(uint64_t){1}, &answer, &got, 60000));
    TROUPE_TRY(troupe_demonitor(self, ref));
    troupe_unlink(self, child);
    TROUPE_TRY(troupe_kill(self, child));
    memset(troupe_arena_alloc(self, 100), 1, 100);
    TROUPE_TRY(troupe_group_leave(self, "threads"));
    (void)part;
    return got == 2 ? TROUPE_OK : TROUPE_EPROTO;
}

static void play_through(int workers, int (*run)(struct troupe_actor *self, struct part *part),
    const struct troupe_behaviour *to)
{
    struct part part = PART(run);
    struct stage stage;

    stage_open(&stage, workers);
    part.to = to != NULL ? stage_spawn(&stage, to, NULL) : TROUPE_NOBODY;
    play(&stage, &part);
    STAGE_AWAIT(&stage, part.destroyed == 1);
    cr_assert_eq(part.status, TROUPE_OK, "%s", troupe_strerror(part.status));
    cr_assert_not(part.elsewhere);
    stage_close(&stage);
}

Test(thread, it_receives_in_every_way, .timeout = 60)
{
    FOR_EACH_KIND(i) play_through(kinds[i], receive_in_every_way, NULL);
}

Test(thread, it_calls, .timeout = 60)
{
    FOR_EACH_KIND(i) play_through(kinds[i], call_around, &oracle);
}

/* Its own clock ends its waits. */
Test(thread, its_call_times_out, .timeout = 60)
{
    FOR_EACH_KIND(i) play_through(kinds[i], call_in_vain, &silent);
}

Test(thread, it_sleeps_and_has_timers, .timeout = 60)
{
    FOR_EACH_KIND(i) play_through(kinds[i], tick_and_sleep, NULL);
}

Test(thread, it_waits_for_jobs, .timeout = 60)
{
    FOR_EACH_KIND(i) play_through(kinds[i], wait_for_a_job, NULL);
}

Test(thread, it_has_names_groups_links_monitors_and_children, .timeout = 60)
{
    FOR_EACH_KIND(i) play_through(kinds[i], use_the_rest, NULL);
}

/* Another thread actor, a fiber's worth of requests, and a foreign thread ask it. */
Test(thread, it_is_called, .timeout = 60)
{
    struct part server = PART(answer_all);
    struct part client = PART(call_around_later);
    struct stage_end end;
    struct stage stage;
    uint64_t got = 0;
    int status;

    server.count = 102;
    stage_open(&stage, 2);
    client.to = play(&stage, &server);
    stage_watch(&stage, play(&stage, &client), &end);
    latch_hit(&client.until);
    await_end(&stage, &end);
    cr_assert_eq(end.kind, TROUPE_EXIT_NORMAL, "%d", end.code);
    status =
        troupe_runtime_call(stage.runtime, client.to, &ask, &(uint64_t){1}, &answer, &got, 60000);
    cr_assert_eq(
        status, TROUPE_OK, "%s, %s", troupe_strerror(status), troupe_strerror(server.status));
    cr_assert_eq(got, 2);
    STAGE_AWAIT(&stage, server.done == 1);
    stage_close(&stage);
}

/* Somebody may wait for the room that it gives back, however long it then blocks. */
static int receive_two_then_block(struct troupe_actor *self, struct part *part)
{
    struct troupe_message *msg;

    latch_hit(&part->began);
    if (!latch_wait(&part->until, 1)) {
        return TROUPE_ETIMEDOUT;
    }
    for (unsigned i = 0; i < 2; i++) {
        TROUPE_TRY(troupe_receive(self, TROUPE_FOREVER, &msg));
    }
    latch_hit(&part->began);
    return latch_wait(&part->until, 2) ? TROUPE_OK : TROUPE_ETIMEDOUT;
}

Test(thread, what_it_received_makes_room_before_it_blocks_again, .timeout = 60)
{
    struct part part = PART(receive_two_then_block);
    struct stage stage;
    uint64_t value = 1;
    troupe_pid pid;

    part.stage = &stage;
    stage_open(&stage, 1);
    pid = stage_spawn(&stage, &narrow_thread, &part);
    cr_assert(latch_wait(&part.began, 1));
    for (unsigned i = 0; i < 4; i++) {
        stage_send(&stage, pid, &number, &value);
    }
    cr_assert_eq(stage_try_send(&stage, pid, &number, &value), TROUPE_EFULL);
    latch_hit(&part.until);
    cr_assert(latch_wait(&part.began, 2));
    stage_send(&stage, pid, &number, &value);
    stage_send(&stage, pid, &number, &value);
    cr_assert_eq(stage_try_send(&stage, pid, &number, &value), TROUPE_EFULL);
    latch_hit(&part.until);
    STAGE_AWAIT(&stage, part.done == 1);
    stage_close(&stage);
}

/* ---- waiting for room ---- */

static int send_with_patience(struct troupe_actor *self, struct part *part)
{
    struct troupe_runtime *runtime = troupe_runtime_of(self);

    for (uint64_t i = 0; i < part->count; i++) {
        struct troupe_message *msg;
        int error;

        TROUPE_TRY(troupe_message_create(runtime, &number, 0, &msg));
        *(uint64_t *)troupe_body(msg) = i;
        error = troupe_send_wait(runtime, part->to, msg, 60000);
        if (error < 0) {
            troupe_message_destroy(msg);
            return error;
        }
    }
    return TROUPE_OK;
}

static int receive_from(struct troupe_actor *self, struct part *part)
{
    if (!latch_wait(&part->until, 1)) {
        return TROUPE_ETIMEDOUT;
    }
    for (uint64_t i = 0; i < part->count; i++) {
        struct troupe_message *msg;

        TROUPE_TRY(troupe_receive(self, TROUPE_FOREVER, &msg));
        if (troupe_sender(msg) != part->to || *(const uint64_t *)troupe_body(msg) != i) {
            return TROUPE_EPROTO;
        }
    }
    return TROUPE_OK;
}

Test(thread, it_waits_for_room_in_another_ones_mailbox, .timeout = 60)
{
    struct part sender = PART(send_with_patience);
    struct part receiver = PART(receive_from);
    struct stage_end end;
    struct stage stage;

    sender.count = 500;
    receiver.count = 500;
    stage_open(&stage, 2);
    sender.stage = &stage;
    receiver.stage = &stage;
    sender.to = stage_spawn(&stage, &narrow_thread, &receiver);
    stage_watch(&stage, sender.to, &end);
    receiver.to = stage_spawn(&stage, &narrow_thread, &sender);
    latch_hit(&receiver.until);
    await_end(&stage, &end);
    cr_assert_eq(end.kind, TROUPE_EXIT_NORMAL, "%d", end.code);
    STAGE_AWAIT(&stage, sender.done == 1);
    cr_assert_eq(sender.status, TROUPE_OK);
    stage_close(&stage);
}

/* Sends on what it was asked, to where there is no room; then it still holds it. */
static int wait_in_vain(struct troupe_actor *self, struct part *part)
{
    struct troupe_runtime *runtime = troupe_runtime_of(self);
    struct troupe_message *request;
    struct troupe_message *msg;
    uint64_t value = 3;

    TROUPE_TRY(troupe_receive(self, TROUPE_FOREVER, &msg));
    TROUPE_TRY(troupe_take(self, msg, &request));
    if (troupe_send_wait(runtime, part->to, request, 1) != TROUPE_ETIMEDOUT ||
        troupe_send_wait(runtime, part->to, request, 0) != TROUPE_ETIMEDOUT ||
        troupe_try_send(runtime, part->to, request) != TROUPE_EFULL) {
        return TROUPE_EPROTO;
    }
    while (troupe_send(self, troupe_self(self), &number, &value) == TROUPE_OK) {
    }
    if (troupe_send_wait(runtime, troupe_self(self), request, TROUPE_FOREVER) != TROUPE_EFULL) {
        return TROUPE_EPROTO;
    }
    /* Ends with it: whoever asked is told. */
    return TROUPE_OK;
}

Test(thread, what_it_could_not_send_is_still_its_own, .timeout = 60)
{
    struct part full = PART(block);
    struct part part = PART(wait_in_vain);
    struct stage stage;
    uint64_t value = 1;
    troupe_pid pid;

    stage_open(&stage, 1);
    full.stage = &stage;
    part.stage = &stage;
    part.to = stage_spawn(&stage, &narrow_thread, &full);
    while (stage_try_send(&stage, part.to, &number, &value) == TROUPE_OK) {
    }
    pid = stage_spawn(&stage, &narrow_thread, &part);
    cr_assert_eq(troupe_runtime_call(stage.runtime, pid, &ask, &value, &answer, &value, 60000),
        TROUPE_EDIED);
    cr_assert_eq(part.status, TROUPE_OK);
    latch_hit(&full.until);
    stage_close(&stage);
}

/* ---- how it ends ---- */

Test(thread, an_exit_signal_ends_it_where_it_waits, .timeout = 60)
{
    FOR_EACH_KIND(i)
    {
        struct part part = PART(block_then_wait);
        struct stage_end end;
        struct stage stage;
        troupe_pid pid;

        stage_open(&stage, kinds[i]);
        pid = play(&stage, &part);
        stage_watch(&stage, pid, &end);
        cr_assert(latch_wait(&part.began, 1));
        cr_assert(troupe_is_alive(stage.runtime, pid));
        cr_assert_eq(troupe_runtime_exit(stage.runtime, pid, TROUPE_EXIT_SHUTDOWN), TROUPE_OK);
        /* It blocks, and knows nothing of it. */
        cr_assert_eq(end.count, 0);
        latch_hit(&part.until);
        await_end(&stage, &end);
        cr_assert_eq(end.kind, TROUPE_EXIT_SHUTDOWN);
        cr_assert_eq(part.done, 0);
        cr_assert_eq(part.cleanups, 1);
        cr_assert_eq(part.terminated, 1);
        cr_assert_not(part.elsewhere);
        cr_assert_not(troupe_is_alive(stage.runtime, pid));
        stage_close(&stage);
    }
}

static int fail(struct troupe_actor *self, struct part *part)
{
    (void)part;
    return troupe_fail(self, TROUPE_EPROTO, "as told");
}

static int leave_from_deep(struct troupe_actor *self, struct part *part)
{
    (void)part;
    troupe_abandon(self, TROUPE_EPROTO, "as told");
}

Test(thread, an_error_is_told_with_its_text, .timeout = 60)
{
    static int (*const runs[])(struct troupe_actor *, struct part *) = {fail, leave_from_deep};

    for (size_t i = 0; i < TROUPE_COUNT(runs); i++) {
        struct part part = PART(runs[i]);
        struct stage_end end;
        struct stage stage;

        stage_open(&stage, 1);
        part.stage = &stage;
        stage_watch(&stage, play(&stage, &part), &end);
        /* The witness may come too late. */
        await_end(&stage, &end);
        cr_assert(end.kind == TROUPE_EXIT_NOPROC ||
                  (end.kind == TROUPE_EXIT_ERROR && end.code == TROUPE_EPROTO &&
                      strcmp(end.text, "as told") == 0));
        STAGE_AWAIT(&stage, stage_reports(&stage, TROUPE_REPORT_FAILURE) == 1);
        cr_assert_not_null(strstr(stage.text[TROUPE_REPORT_FAILURE], "as told"));
        cr_assert_eq(part.destroyed, 1);
        cr_assert_not(part.elsewhere);
        stage_close(&stage);
    }
}

/* A kill is taken where it waits; whoever asks knows at once. */
Test(thread, a_kill_ends_it_where_it_waits, .timeout = 60)
{
    static int (*const runs[])(struct troupe_actor *, struct part *) = {
        wait_for_ever, block_then_wait};

    for (size_t i = 0; i < TROUPE_COUNT(runs); i++) {
        struct part part = PART(runs[i]);
        struct stage_end end;
        struct stage stage;
        troupe_pid pid;

        stage_open(&stage, 2);
        pid = play(&stage, &part);
        stage_watch(&stage, pid, &end);
        cr_assert(latch_wait(&part.began, 1));
        cr_assert_eq(troupe_runtime_exit(stage.runtime, pid, TROUPE_EXIT_KILL), TROUPE_OK);
        cr_assert_not(troupe_is_alive(stage.runtime, pid));
        latch_hit(&part.until);
        await_end(&stage, &end);
        cr_assert_eq(end.kind, TROUPE_EXIT_KILLED);
        cr_assert_eq(part.done, 0);
        cr_assert_eq(part.terminated, 0);
        cr_assert_eq(part.cleanups, 1);
        cr_assert_eq(part.destroyed, 1);
        cr_assert_not(part.elsewhere);
        stage_close(&stage);
    }
}

static int link_then_block(struct troupe_actor *self, struct part *part)
{
    struct troupe_message *msg;

    TROUPE_TRY(troupe_link(self, part->to));
    TROUPE_TRY(block(self, part));
    TROUPE_TRY(troupe_receive(self, 60000, &msg));
    return troupe_is(msg, &troupe_exited) ? TROUPE_OK : TROUPE_EPROTO;
}

static int end_badly(struct troupe_actor *self, void *arg)
{
    (void)arg;
    return troupe_fail(self, TROUPE_EPROTO, "as told");
}

/* Trapped or not, the exit of whom it is linked with comes while it blocks. */
Test(thread, exit_signals_reach_it, .timeout = 60)
{
    static const struct troupe_behaviour *const behaviours[] = {&thread, &trapping_thread};

    for (size_t i = 0; i < TROUPE_COUNT(behaviours); i++) {
        struct part part = PART(link_then_block);
        struct stage_end end;
        struct stage stage;

        stage_open(&stage, 1);
        part.stage = &stage;
        part.to = stage_spawn(&stage, &stage_puppet, NULL);
        stage_watch(&stage, stage_spawn(&stage, behaviours[i], &part), &end);
        cr_assert(latch_wait(&part.began, 1));
        stage_tell(&stage, part.to, end_badly, NULL);
        STAGE_AWAIT(&stage, !troupe_is_alive(stage.runtime, part.to));
        latch_hit(&part.until);
        await_end(&stage, &end);
        cr_assert_eq(end.kind, i == 0 ? TROUPE_EXIT_ERROR : TROUPE_EXIT_NORMAL);
        cr_assert_eq(part.done, i);
        stage_close(&stage);
    }
}

Test(thread, what_it_says_at_its_end_arrives_before_the_notice, .timeout = 60)
{
    struct part listener = PART(receive_all);
    struct part part = PART(wait_for_ever);
    struct stage_end end;
    struct stage stage;

    listener.count = 1;
    part.says_good_bye = true;
    stage_open(&stage, 1);
    part.to = play(&stage, &listener);
    stage_watch(&stage, play(&stage, &part), &end);
    cr_assert(latch_wait(&part.began, 1));
    cr_assert_eq(troupe_runtime_exit(stage.runtime, end.pid, TROUPE_EXIT_SHUTDOWN), TROUPE_OK);
    await_end(&stage, &end);
    STAGE_AWAIT(&stage, listener.done == 1);
    cr_assert_eq(listener.status, TROUPE_OK);
    stage_close(&stage);
}

/* ---- the runtime ---- */

static int try_to_stop(struct troupe_actor *self, struct part *part)
{
    int ignored;

    (void)part;
    troupe_detach();
    return troupe_runtime_stop(troupe_runtime_of(self), 0) == TROUPE_EINVAL &&
                   troupe_runtime_turn(troupe_runtime_of(self), 0, &ignored) < 0 &&
                   troupe_runtime_destroy(troupe_runtime_of(self)) == TROUPE_EBUSY
               ? TROUPE_OK
               : TROUPE_EPROTO;
}

Test(thread, it_cannot_stop_the_runtime_that_waits_for_it, .timeout = 60)
{
    FOR_EACH_KIND(i) play_through(kinds[i], try_to_stop, NULL);
}

Test(thread, one_that_does_not_come_back_is_reported_by_stop, .timeout = 60)
{
    FOR_EACH_KIND(i)
    {
        struct part part = PART(block);
        struct stage stage;

        stage_open(&stage, kinds[i]);
        play(&stage, &part);
        cr_assert(latch_wait(&part.began, 1));
        cr_assert_eq(troupe_runtime_stop(stage.runtime, 20), TROUPE_ETIMEDOUT);
        cr_assert_eq(stage_reports(&stage, TROUPE_REPORT_UNSTOPPED), 1);
        cr_assert_str_eq(stage.actor[TROUPE_REPORT_UNSTOPPED], "thread");
        latch_hit(&part.until);
        stage_close(&stage);
    }
}

Test(thread, it_does_not_begin_before_the_runtime_starts, .timeout = 60)
{
    struct part part = PART(wait_for_ever);
    struct stage stage = {.runtime = NULL};
    uint64_t value = 1;
    troupe_pid pid;

    cr_assert_eq(stage_try_open(&stage, &(struct troupe_runtime_options){.workers = 1}), TROUPE_OK);
    pid = play(&stage, &part);
    stage_send(&stage, pid, &number, &value);
    usleep(10000);
    cr_assert_eq(part.lives, 0);
    cr_assert_eq(troupe_runtime_start(stage.runtime), TROUPE_OK);
    STAGE_AWAIT(&stage, part.done == 1);
    stage_close(&stage);
}

Test(thread, of_a_runtime_that_never_starts_it_never_begins, .timeout = 60)
{
    struct part part = PART(wait_for_ever);
    struct stage stage = {.runtime = NULL};
    uint64_t value = 1;

    cr_assert_eq(stage_try_open(&stage, &(struct troupe_runtime_options){.workers = 1}), TROUPE_OK);
    stage_send(&stage, play(&stage, &part), &number, &value);
    cr_assert_eq(troupe_runtime_destroy(stage.runtime), TROUPE_OK);
    cr_assert_eq(stage.memory.blocks, 0);
    cr_assert_eq(part.lives, 0);
}

/* ---- limits ---- */

Test(thread, there_are_no_more_than_the_limit_says, .timeout = 60)
{
    struct part parts[3] = {PART(block), PART(block), PART(block)};
    struct stage stage;
    troupe_pid pid;

    stage_open_with(
        &stage, &(struct troupe_runtime_options){.workers = 1, .limits = {.threads = 2}});
    play(&stage, &parts[0]);
    play(&stage, &parts[1]);
    cr_assert_eq(stage_try_spawn(&stage, &thread, &parts[2], &pid), TROUPE_ELIMIT);
    cr_assert_eq(stage_reports(&stage, TROUPE_REPORT_LIMIT), 1);
    cr_assert_not_null(strstr(stage.text[TROUPE_REPORT_LIMIT], "limits.threads"));
    latch_hit(&parts[0].until);
    STAGE_AWAIT(&stage, stage_try_spawn(&stage, &thread, &parts[2], &pid) == TROUPE_OK);
    latch_hit(&parts[1].until);
    latch_hit(&parts[2].until);
    stage_close(&stage);
}

/* Who was told of an end may spawn the next one at once; and a thread that has ended is another one's place. */
Test(thread, one_that_has_ended_is_in_nobodys_way, .timeout = 120)
{
    struct stage stage;

    stage_open_with(
        &stage, &(struct troupe_runtime_options){.workers = 2, .limits = {.threads = 1}});
    for (unsigned i = 0; i < 200; i++) {
        struct part part = PART(wait_for_ever);
        struct stage_end end;
        troupe_pid pid = play(&stage, &part);

        stage_watch(&stage, pid, &end);
        stage_send(&stage, pid, &number, &(uint64_t){1});
        await_end(&stage, &end);
    }
    cr_assert_leq(trp_threads_made(stage.runtime), 2);
    stage_close(&stage);
}

Test(thread, a_spawn_without_memory_leaves_nothing, .timeout = 60)
{
    unsigned failed = 0;

    for (uint64_t k = 1;; k++) {
        struct part part = PART(block);
        struct stage stage;
        troupe_pid pid;
        int error;

        stage_open(&stage, 1);
        test_allocator_fail_mine(k);
        error = stage_try_spawn(&stage, &thread, &part, &pid);
        test_allocator_fail_mine(0);
        latch_hit(&part.until);
        cr_assert(error == TROUPE_OK || error == TROUPE_ENOMEM);
        stage_close(&stage);
        if (error == TROUPE_OK) {
            break;
        }
        failed++;
        cr_assert_eq(part.lives, 0);
    }
    cr_assert_geq(failed, 1);
}

/* A name that is taken: the thread that was started for nothing ends. */
Test(thread, a_spawn_that_fails_late_leaves_nothing, .timeout = 60)
{
    struct part parts[2] = {PART(block), PART(block)};
    struct troupe_spawn_options options = {.behaviour = &thread, .name = "one"};
    struct stage stage;
    troupe_pid pid;
    unsigned failed = 0;

    stage_open_with(
        &stage, &(struct troupe_runtime_options){.workers = 1, .limits = {.threads = 2}});
    options.arg = &parts[0];
    cr_assert_eq(troupe_runtime_spawn(stage.runtime, &options, &pid), TROUPE_OK);
    options.arg = &parts[1];
    cr_assert_eq(troupe_runtime_spawn(stage.runtime, &options, &pid), TROUPE_EEXIST);
    options.name = "two";
    options.group = "some";
    for (uint64_t k = 1; k < 20; k++) {
        int error;

        test_allocator_fail_mine(k);
        error = troupe_runtime_spawn(stage.runtime, &options, &pid);
        test_allocator_fail_mine(0);
        if (error == TROUPE_OK) {
            break;
        }
        cr_assert_eq(error, TROUPE_ENOMEM, "%d", error);
        failed++;
    }
    cr_assert_geq(failed, 3);
    cr_assert(latch_wait(&parts[1].began, 1));
    cr_assert_eq(parts[1].lives, 1);
    latch_hit(&parts[0].until);
    latch_hit(&parts[1].until);
    stage_close(&stage);
}

/* ---- supervisors ---- */

/* Fails when it gets a number, until it has lived so often. */
static int fail_at_a_number(struct troupe_actor *self, struct part *part)
{
    struct troupe_message *msg;

    latch_hit(&part->began);
    TROUPE_TRY(troupe_receive(self, TROUPE_FOREVER, &msg));
    return part->lives < part->count ? TROUPE_EPROTO : TROUPE_OK;
}

static troupe_pid supervise(struct stage *stage, const struct troupe_child_spec *child)
{
    struct troupe_supervisor_spec spec = {
        .name = "top", .intensity = 100, .children = child, .child_count = 1};
    troupe_pid supervisor;

    cr_assert_eq(troupe_supervisor_start(stage->runtime, &spec, 60000, &supervisor), TROUPE_OK);
    return supervisor;
}

static void live_often(bool keep_mailbox)
{
    struct part part = PART(fail_at_a_number);
    struct troupe_child_spec child = {.id = "child",
        .behaviour = &thread,
        .arg = &part,
        .restart = TROUPE_TRANSIENT,
        .keep_mailbox = keep_mailbox};
    struct stage stage;
    pthread_t thread_of_first;

    part.count = 4;
    stage_open_with(
        &stage, &(struct troupe_runtime_options){.workers = 1, .limits = {.threads = 1}});
    supervise(&stage, &child);
    thread_of_first = part.thread;
    for (unsigned life = 1; life <= 4; life++) {
        cr_assert(latch_wait(&part.began, life));
        STAGE_AWAIT(
            &stage, stage_try_send(&stage, troupe_runtime_whereis(stage.runtime, "top.child"),
                        &number, &(uint64_t){1}) == TROUPE_OK);
    }
    STAGE_AWAIT(&stage, part.destroyed == 4);
    cr_assert_eq(part.lives, 4);
    cr_assert_eq(part.cleanups, 4);
    cr_assert_not(part.elsewhere);
    if (keep_mailbox) {
        cr_assert(pthread_equal(thread_of_first, part.thread));
        cr_assert_eq(trp_threads_made(stage.runtime), 1);
    }
    stage_close(&stage);
}

Test(thread, its_supervisor_gives_it_a_new_life, .timeout = 60)
{
    live_often(false);
}

Test(thread, with_its_mailbox_it_keeps_its_thread, .timeout = 60)
{
    live_often(true);
}

/* As any child that does not heed: killed when its time is over, and gone when it comes back. */
Test(thread, a_child_that_blocks_is_waited_for, .timeout = 60)
{
    struct part part = PART(block_then_wait);
    struct troupe_child_spec child = {.id = "child",
        .behaviour = &thread,
        .arg = &part,
        .restart = TROUPE_PERMANENT,
        .shutdown_ms = 10};
    struct stage_end end;
    struct stage stage;
    troupe_pid supervisor;

    stage_open(&stage, 1);
    supervisor = supervise(&stage, &child);
    stage_watch(&stage, supervisor, &end);
    cr_assert(latch_wait(&part.began, 1));
    cr_assert_eq(troupe_runtime_exit(stage.runtime, supervisor, TROUPE_EXIT_SHUTDOWN), TROUPE_OK);
    /* Its time is over. */
    STAGE_AWAIT(&stage, stage_reports(&stage, TROUPE_REPORT_UNSTOPPED) == 1);
    latch_hit(&part.until);
    await_end(&stage, &end);
    cr_assert_eq(part.destroyed, 1);
    cr_assert_eq(part.done, 0);
    stage_close(&stage);
}

Test(thread, a_spec_says_what_is_wrong, .timeout = 60)
{
    static const struct troupe_behaviour wrong = {
        .name = "wrong", .receive = stage_puppet_receive, .thread = true};
    struct troupe_child_spec child = {.id = "child", .behaviour = &wrong};
    struct troupe_supervisor_spec spec = {.name = "top", .children = &child, .child_count = 1};
    const char *fault = NULL;
    struct stage stage;
    troupe_pid pid;

    stage_open(&stage, 1);
    cr_assert_eq(troupe_supervisor_check(&spec, &fault), TROUPE_EINVAL);
    cr_assert_not_null(strstr(fault, "thread"));
    cr_assert_eq(stage_try_spawn(&stage, &wrong, NULL, &pid), TROUPE_EINVAL);
    stage_close(&stage);
}

/* ---- all at once ---- */

/* Passes numbers around, sleeps or blocks a little, as the number says; ends with it. */
static int pass_on(struct troupe_actor *self, struct part *part)
{
    for (;;) {
        struct troupe_message *msg;
        uint64_t value;

        TROUPE_TRY(troupe_receive(self, TROUPE_FOREVER, &msg));
        value = *(const uint64_t *)troupe_body(msg);
        if (value % 7 == 0) {
            usleep(100);
        }
        if (value % 5 == 0) {
            TROUPE_TRY(troupe_sleep(self, 1));
        }
        if (value > 0) {
            value--;
            part->status = troupe_send(self, part->to, &number, &value);
        } else {
            part->done++;
        }
    }
}

Test(thread, rings_of_threads_and_kills_lose_nothing, .timeout = 120)
{
    enum { THREADS = 6, ROUNDS = 5 };
    struct test_random random = test_random_of(test_seed("thread"));
    struct stage stage;

    stage_open(&stage, 2);
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct part parts[THREADS] = {PART(pass_on), PART(pass_on), PART(pass_on), PART(pass_on),
            PART(pass_on), PART(pass_on)};
        struct stage_end ends[THREADS];
        uint64_t value = 100;

        for (unsigned i = 0; i < THREADS; i++) {
            parts[i].to = i > 0 ? ends[i - 1].pid : TROUPE_NOBODY;
            stage_watch(&stage, play(&stage, &parts[i]), &ends[i]);
        }
        for (unsigned i = 0; i < THREADS; i++) {
            stage_send(&stage, ends[i].pid, &number, &value);
        }
        for (unsigned i = 0; i < THREADS; i++) {
            unsigned victim = (unsigned)test_below(&random, THREADS);
            int error = troupe_runtime_exit(stage.runtime, ends[victim].pid,
                test_below(&random, 2) == 0 ? TROUPE_EXIT_KILL : TROUPE_EXIT_SHUTDOWN);

            cr_assert(error == TROUPE_OK || error == TROUPE_EGONE);
        }
        for (unsigned i = 0; i < THREADS; i++) {
            int error = troupe_runtime_exit(stage.runtime, ends[i].pid, TROUPE_EXIT_KILL);

            cr_assert(error == TROUPE_OK || error == TROUPE_EGONE);
            await_end(&stage, &ends[i]);
            cr_assert_eq(parts[i].destroyed, parts[i].lives);
            cr_assert_not(parts[i].elsewhere);
        }
    }
    stage_close(&stage);
}
