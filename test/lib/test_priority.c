/* SPDX-License-Identifier: MIT */
/*
 * Priority: what a receiver has asked for goes before its queue, in order of arrival; everything else stays where it is.
 *
 * Most tests are without threads: what is told is queued, and happens in stage_run().
 */
#include <criterion/criterion.h>

#include "aside.h"
#include "child.h"

#include "test/support/ends.h"
#include "test/support/reader.h"

#include <troupe/server.h>
#include <troupe/sys.h>

struct scene {
    struct stage stage;
    struct reader reader;
    troupe_pid owner;
    troupe_pid alias; /* of the owner, with priority */
    troupe_pid other;
    unsigned flags; /* for links and monitors */
    troupe_ref ref;
};

static int make(struct troupe_actor *self, void *arg)
{
    struct scene *scene = arg;

    return troupe_alias(self, TROUPE_ALIAS_EXPLICIT, TROUPE_PRIORITY, &scene->alias);
}

static int watch(struct troupe_actor *self, void *arg)
{
    struct scene *scene = arg;

    return troupe_monitor_with(self, scene->other, scene->flags, &scene->ref);
}

static int tie(struct troupe_actor *self, void *arg)
{
    struct scene *scene = arg;

    return troupe_link_with(self, scene->other, scene->flags);
}

static void open_scene(struct scene *scene, const struct troupe_behaviour *behaviour)
{
    *scene = (struct scene){.flags = TROUPE_PRIORITY};
    stage_open(&scene->stage, TROUPE_NO_THREADS);
    scene->owner = stage_spawn(&scene->stage, behaviour, &scene->reader);
    scene->other = stage_spawn(&scene->stage, &stage_puppet, NULL);
    cr_assert_eq(stage_do(&scene->stage, scene->owner, make, scene), TROUPE_OK);
}

static void send_number(struct scene *scene, troupe_pid to, uint64_t value)
{
    stage_send(&scene->stage, to, &reader_number, &value);
}

/* Kills one that traps exits, too. */
static void close_scene(struct scene *scene)
{
    (void)!troupe_runtime_exit(scene->stage.runtime, scene->owner, TROUPE_EXIT_KILL);
    stage_run(&scene->stage);
    stage_close(&scene->stage);
}

/* ---- aliases ---- */

/* 2.21: behind earlier priority messages, before ordinary ones. */
Test(priority, goes_before_the_queue_in_order_of_arrival, .timeout = 60)
{
    struct scene scene;

    open_scene(&scene, &reader_plain);
    send_number(&scene, scene.owner, 1);
    send_number(&scene, scene.alias, 11);
    send_number(&scene, scene.owner, 2);
    send_number(&scene, scene.alias, 12);
    stage_run(&scene.stage);
    READER_EXPECT(&scene.reader, 11, 12, 1, 2);
    /* An idle one wakes up. */
    send_number(&scene, scene.alias, 13);
    stage_run(&scene.stage);
    READER_EXPECT(&scene.reader, 11, 12, 1, 2, 13);
    close_scene(&scene);
}

static int send_to_oneself(struct troupe_actor *self, void *arg)
{
    struct scene *scene = arg;
    uint64_t value = 11;

    return troupe_send(self, scene->alias, &reader_number, &value);
}

Test(priority, one_that_comes_in_a_slice_is_next, .timeout = 60)
{
    struct scene scene;

    open_scene(&scene, &reader_plain);
    send_number(&scene, scene.owner, 1);
    stage_tell(&scene.stage, scene.owner, send_to_oneself, &scene);
    send_number(&scene, scene.owner, 2);
    stage_run(&scene.stage);
    READER_EXPECT(&scene.reader, 1, 11, 2);
    close_scene(&scene);
}

/* Nothing goes past a bound: what is charged is charged. */
Test(priority, counts_against_the_capacity, .timeout = 60)
{
    struct scene scene;
    uint64_t value = 0;
    uint32_t length;

    open_scene(&scene, &reader_plain);
    for (unsigned i = 0; i < READER_CAPACITY; i++) {
        send_number(&scene, i % 2 == 0 ? scene.alias : scene.owner, i);
    }
    cr_assert_eq(stage_try_send(&scene.stage, scene.alias, &reader_number, &value), TROUPE_EFULL);
    cr_assert_eq(troupe_mailbox_length(scene.stage.runtime, scene.owner, &length), TROUPE_OK);
    cr_assert_eq(length, READER_CAPACITY);
    stage_run(&scene.stage);
    READER_EXPECT(&scene.reader, 0, 2, 4, 6, 1, 3, 5, 7);
    cr_assert_eq(troupe_mailbox_length(scene.stage.runtime, scene.owner, &length), TROUPE_OK);
    cr_assert_eq(length, 0);
    close_scene(&scene);
}

static int send_batch(struct troupe_actor *self, void *arg)
{
    struct scene *scene = arg;
    struct troupe_message *msgs[3];

    for (unsigned i = 0; i < 3; i++) {
        TROUPE_TRY(troupe_message_create(troupe_runtime_of(self), &reader_number, 0, &msgs[i]));
        *(uint64_t *)troupe_body(msgs[i]) = 11 + i;
    }
    return troupe_send_batch(self, scene->alias, msgs, 3);
}

Test(priority, a_batch_stays_in_order, .timeout = 60)
{
    struct scene scene;

    open_scene(&scene, &reader_plain);
    stage_tell(&scene.stage, scene.other, send_batch, &scene);
    stage_tell(&scene.stage, scene.other, send_batch, &scene);
    stage_run(&scene.stage);
    READER_EXPECT(&scene.reader, 11, 12, 13, 11, 12, 13);
    close_scene(&scene);
}

/* ---- notices and signals ---- */

/* 2.21: per monitor, and never without being asked. */
Test(priority, a_notice_goes_before_the_queue_if_its_monitor_says_so, .timeout = 60)
{
    for (unsigned flags = 0; flags <= TROUPE_PRIORITY; flags++) {
        struct scene scene;

        open_scene(&scene, &reader_plain);
        scene.flags = flags;
        cr_assert_eq(stage_do(&scene.stage, scene.owner, watch, &scene), TROUPE_OK);
        stage_tell(&scene.stage, scene.other, end_with_error, NULL);
        /* The puppet runs first, and the reader behind it. */
        send_number(&scene, scene.owner, 1);
        send_number(&scene, scene.owner, 2);
        stage_run(&scene.stage);
        if (flags == TROUPE_PRIORITY) {
            READER_EXPECT(&scene.reader, READER_DOWN, 1, 2);
        } else {
            READER_EXPECT(&scene.reader, 1, 2, READER_DOWN);
        }
        close_scene(&scene);
    }
}

/* 2.21: per link. */
Test(priority, a_signal_that_is_trapped_goes_before_the_queue_if_its_link_says_so, .timeout = 60)
{
    for (unsigned flags = 0; flags <= TROUPE_PRIORITY; flags++) {
        struct scene scene;

        open_scene(&scene, &reader_trapping);
        scene.flags = flags;
        cr_assert_eq(stage_do(&scene.stage, scene.owner, tie, &scene), TROUPE_OK);
        stage_tell(&scene.stage, scene.other, end_with_error, NULL);
        send_number(&scene, scene.owner, 1);
        stage_run(&scene.stage);
        if (flags == TROUPE_PRIORITY) {
            READER_EXPECT(&scene.reader, READER_EXITED, 1);
        } else {
            READER_EXPECT(&scene.reader, 1, READER_EXITED);
        }
        close_scene(&scene);
    }
}

Test(priority, a_link_may_be_given_it_later, .timeout = 60)
{
    struct scene scene;

    open_scene(&scene, &reader_trapping);
    scene.flags = 0;
    cr_assert_eq(stage_do(&scene.stage, scene.owner, tie, &scene), TROUPE_OK);
    scene.flags = TROUPE_PRIORITY;
    cr_assert_eq(stage_do(&scene.stage, scene.owner, tie, &scene), TROUPE_OK);
    stage_tell(&scene.stage, scene.other, end_with_error, NULL);
    send_number(&scene, scene.owner, 1);
    stage_run(&scene.stage);
    READER_EXPECT(&scene.reader, READER_EXITED, 1);
    close_scene(&scene);
}

Test(priority, notices_and_messages_keep_the_order_of_their_arrival, .timeout = 60)
{
    struct scene scene;

    open_scene(&scene, &reader_plain);
    cr_assert_eq(stage_do(&scene.stage, scene.owner, watch, &scene), TROUPE_OK);
    /* The puppet runs first, when the number has arrived. */
    stage_tell(&scene.stage, scene.other, end_with_error, NULL);
    send_number(&scene, scene.owner, 1);
    send_number(&scene, scene.alias, 11);
    stage_run(&scene.stage);
    READER_EXPECT(&scene.reader, 11, READER_DOWN, 1);
    close_scene(&scene);
}

/* An exit signal that is not trapped ends its receiver wherever it stands; what stands before it is dropped. */
Test(priority, a_signal_that_ends_its_receiver_drops_what_stands_before_it, .timeout = 60)
{
    struct scene scene;

    open_scene(&scene, &reader_plain);
    cr_assert_eq(stage_do(&scene.stage, scene.owner, tie, &scene), TROUPE_OK);
    stage_tell(&scene.stage, scene.other, end_with_error, NULL);
    send_number(&scene, scene.alias, 11);
    send_number(&scene, scene.owner, 1);
    stage_run(&scene.stage);
    cr_assert_eq(scene.reader.count, 0);
    cr_assert_not(troupe_is_alive(scene.stage.runtime, scene.owner));
    cr_assert_eq(stage_books(&scene.stage).dead, 2);
    stage_close(&scene.stage);
}

Test(priority, a_link_with_nobody_is_told_of_before_the_queue, .timeout = 60)
{
    struct scene scene;

    open_scene(&scene, &reader_trapping);
    stage_tell(&scene.stage, scene.other, end_normally, NULL);
    stage_run(&scene.stage);
    stage_tell(&scene.stage, scene.owner, tie, &scene);
    stage_tell(&scene.stage, scene.owner, watch, &scene);
    send_number(&scene, scene.owner, 1);
    stage_run(&scene.stage);
    READER_EXPECT(&scene.reader, READER_EXITED, READER_DOWN, 1);
    cr_assert_eq(scene.reader.kind, TROUPE_EXIT_NOPROC);
    close_scene(&scene);
}

/* ---- trap 1 ---- */

static int answer_and_end(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    uint64_t value = 7;

    (void)state;
    TROUPE_TRY(troupe_reply(self, msg, &reader_number, &value));
    return TROUPE_DONE;
}

static const struct troupe_behaviour answers_once = {
    .name = "answers once", .receive = answer_and_end};

static int note_answer(
    struct troupe_actor *self, void *state, void *context, int status, struct troupe_message *reply)
{
    struct scene *scene = context;

    (void)self;
    (void)state;
    cr_assert_eq(status, TROUPE_OK);
    reader_note(&scene->reader, reply);
    return TROUPE_OK;
}

static int watch_and_ask(struct troupe_actor *self, void *arg)
{
    struct scene *scene = arg;
    uint64_t value = 0;

    TROUPE_TRY(watch(self, scene));
    return troupe_request(
        self, scene->other, &reader_number, &value, TROUPE_FOREVER, note_answer, scene);
}

/* Trap 1, 2.21: a down notice overtakes the answer of a call that succeeded only if it was asked to. */
Test(priority, a_notice_overtakes_an_answer_only_if_it_was_asked_to, .timeout = 60)
{
    for (unsigned i = 0; i < 200; i++) {
        struct scene scene = {.flags = i % 2};

        stage_open(&scene.stage, TROUPE_NO_THREADS);
        scene.owner = stage_spawn(&scene.stage, &reader_plain, &scene.reader);
        scene.other = stage_spawn(&scene.stage, &answers_once, NULL);
        cr_assert_eq(stage_do(&scene.stage, scene.owner, watch_and_ask, &scene), TROUPE_OK);
        stage_run(&scene.stage);
        if (scene.flags == TROUPE_PRIORITY) {
            READER_EXPECT(&scene.reader, READER_DOWN, 7);
        } else {
            READER_EXPECT(&scene.reader, 7, READER_DOWN);
        }
        stage_close(&scene.stage);
    }
}

/* ---- what else goes before the queue ---- */

static int insert_two(struct troupe_actor *self, void *arg)
{
    uint64_t value = 5;

    TROUPE_TRY(send_to_oneself(self, arg));
    TROUPE_TRY(trp_aside_insert(self, &reader_number, &value, sizeof value));
    value = 6;
    return trp_aside_insert(self, &reader_number, &value, sizeof value);
}

/* A callback's own messages are part of what it began. */
Test(priority, comes_behind_what_the_callback_has_inserted, .timeout = 60)
{
    struct scene scene;

    open_scene(&scene, &reader_plain);
    stage_tell(&scene.stage, scene.owner, insert_two, &scene);
    send_number(&scene, scene.owner, 1);
    stage_run(&scene.stage);
    READER_EXPECT(&scene.reader, 5, 6, 11, 1);
    close_scene(&scene);
}

/* Stashes numbers below 100 until one of 100 comes. */
static int stashing_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct reader *reader = *(struct reader **)state;
    int status;

    if (stage_is_job(self, msg, &status)) {
        return status;
    }
    if (reader->kind == TROUPE_EXIT_NORMAL && *(const uint64_t *)troupe_body(msg) < 100) {
        return troupe_stash(self, msg);
    }
    if (*(const uint64_t *)troupe_body(msg) == 100) {
        reader->kind = TROUPE_EXIT_SHUTDOWN;
        cr_assert_eq(troupe_unstash(self), 2);
    }
    reader_note(reader, msg);
    return TROUPE_OK;
}

static const struct troupe_behaviour stashing = {
    .name = "stashing",
    .state_size = sizeof(struct reader *),
    .init = reader_init,
    .receive = stashing_receive,
    .capacity = READER_CAPACITY,
};

Test(priority, is_stashed_like_any_other_and_goes_before_what_was, .timeout = 60)
{
    struct scene scene;

    open_scene(&scene, &stashing);
    send_number(&scene, scene.alias, 11);
    send_number(&scene, scene.owner, 1);
    stage_run(&scene.stage);
    cr_assert_eq(scene.reader.count, 0);
    send_number(&scene, scene.alias, 100);
    send_number(&scene, scene.alias, 101);
    send_number(&scene, scene.owner, 2);
    stage_run(&scene.stage);
    READER_EXPECT(&scene.reader, 100, 101, 11, 1, 2);
    close_scene(&scene);
}

/* ---- the end ---- */

static int end_life(struct troupe_actor *self, void *arg)
{
    struct scene *scene = arg;

    TROUPE_TRY(send_to_oneself(self, arg));
    scene->ref = 1;
    return TROUPE_DONE;
}

Test(priority, what_is_left_at_the_end_is_dead, .timeout = 60)
{
    struct scene scene;
    uint64_t dead;

    open_scene(&scene, &reader_plain);
    dead = stage_books(&scene.stage).dead;
    stage_tell(&scene.stage, scene.owner, end_life, &scene);
    send_number(&scene, scene.owner, 1);
    stage_run(&scene.stage);
    cr_assert_eq(scene.reader.count, 0);
    cr_assert_eq(stage_books(&scene.stage).dead, dead + 2);
    stage_close(&scene.stage);
}

static int fail_after_sending(struct troupe_actor *self, void *arg)
{
    TROUPE_TRY(send_to_oneself(self, arg));
    return TROUPE_EPROTO;
}

Test(priority, the_next_life_at_the_address_handles_what_is_left_before_its_queue, .timeout = 60)
{
    struct reader reader = {0};
    struct scene scene;
    struct troupe_child_spec child = {
        .id = "reader", .behaviour = &reader_plain, .arg = &reader, .keep_mailbox = true};
    struct troupe_supervisor_spec spec = {
        .name = "top", .intensity = 9, .children = &child, .child_count = 1};
    struct troupe_spawn_options options;
    troupe_pid supervisor;

    open_scene(&scene, &reader_plain);
    cr_assert_eq(trp_supervisor_options(scene.stage.runtime, &spec, NULL, &options), TROUPE_OK);
    cr_assert_eq(troupe_runtime_spawn(scene.stage.runtime, &options, &supervisor), TROUPE_OK);
    trp_supervisor_options_free(scene.stage.runtime, &options);
    stage_run(&scene.stage);
    scene.owner = troupe_runtime_whereis(scene.stage.runtime, "top.reader");
    for (unsigned life = 0; life < 3; life++) {
        cr_assert_eq(stage_do(&scene.stage, scene.owner, make, &scene), TROUPE_OK);
        stage_tell(&scene.stage, scene.owner, fail_after_sending, &scene);
        send_number(&scene, scene.owner, life);
        stage_run(&scene.stage);
    }
    READER_EXPECT(&reader, 11, 0, 11, 1, 11, 2);
    stage_close(&scene.stage);
}

/* ---- callbacks that wait ---- */

static int read_main(struct troupe_actor *self, const void *arg)
{
    static const struct troupe_type *const wanted[] = {&reader_number};
    struct scene *scene = (struct scene *)(uintptr_t)arg;

    TROUPE_TRY(make(self, scene));
    for (unsigned i = 0;; i++) {
        struct troupe_message *msg;

        if (i % 2 == 0) {
            TROUPE_TRY(troupe_receive(self, TROUPE_FOREVER, &msg));
        } else {
            TROUPE_TRY(troupe_receive_of(self, wanted, 1, TROUPE_FOREVER, &msg));
        }
        reader_note(&scene->reader, msg);
        if (scene->reader.notes[scene->reader.count - 1] == 99) {
            return TROUPE_OK;
        }
        if (scene->reader.notes[scene->reader.count - 1] == 98) {
            /* Others come meanwhile. */
            TROUPE_TRY(troupe_yield(self));
        }
    }
}

static const struct troupe_behaviour reads = {
    .name = "reads",
    .main = read_main,
    .capacity = READER_CAPACITY,
};

Test(priority, a_main_function_receives_it_first, .timeout = 60)
{
    struct scene scene = {.flags = 0};

    stage_open(&scene.stage, TROUPE_NO_THREADS);
    scene.owner = stage_spawn(&scene.stage, &reads, &scene);
    stage_run(&scene.stage);
    /* One that waits is woken by it; then twice with something in the queue, once for each way to receive. */
    send_number(&scene, scene.alias, 11);
    stage_run(&scene.stage);
    for (unsigned i = 0; i < 2; i++) {
        send_number(&scene, scene.owner, 1);
        send_number(&scene, scene.owner, 2);
        send_number(&scene, scene.alias, 12);
        stage_run(&scene.stage);
    }
    send_number(&scene, scene.owner, 99);
    stage_run(&scene.stage);
    READER_EXPECT(&scene.reader, 11, 12, 1, 2, 12, 1, 2, 99);
    stage_close(&scene.stage);
}

static int wait_long(struct troupe_actor *self, void *arg)
{
    struct scene *scene = arg;

    scene->ref = 1;
    TROUPE_TRY(troupe_sleep(self, scene->flags == 0 ? 1 : 3600000));
    scene->ref = 2;
    return TROUPE_OK;
}

static const struct troupe_behaviour waiting_reader = {
    .name = "waiting reader",
    .state_size = sizeof(struct reader *),
    .init = reader_init,
    .receive = reader_receive,
    .may_wait = true,
    .capacity = READER_CAPACITY,
};

Test(priority, a_handler_that_waits_gets_it_when_it_has_returned, .timeout = 60)
{
    struct scene scene;

    open_scene(&scene, &waiting_reader);
    scene.flags = 0;
    stage_tell(&scene.stage, scene.owner, wait_long, &scene);
    (void)stage_run(&scene.stage);
    send_number(&scene, scene.owner, 1);
    send_number(&scene, scene.alias, 11);
    STAGE_AWAIT(&scene.stage, scene.reader.count == 2);
    READER_EXPECT(&scene.reader, 11, 1);
    cr_assert_eq(scene.ref, 2);
    close_scene(&scene);
}

Test(priority, a_signal_ends_a_handler_that_waits, .timeout = 60)
{
    struct scene scene;

    open_scene(&scene, &waiting_reader);
    cr_assert_eq(stage_do(&scene.stage, scene.owner, tie, &scene), TROUPE_OK);
    stage_tell(&scene.stage, scene.owner, wait_long, &scene);
    stage_run(&scene.stage);
    send_number(&scene, scene.alias, 11);
    stage_tell(&scene.stage, scene.other, end_with_error, NULL);
    stage_run(&scene.stage);
    cr_assert_eq(scene.ref, 1);
    cr_assert_eq(scene.reader.count, 0);
    cr_assert_not(troupe_is_alive(scene.stage.runtime, scene.owner));
    stage_close(&scene.stage);
}

/* ---- one that is suspended ---- */

static int serve(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    return reader_receive(self, state, msg);
}

static const struct troupe_server served = {
    TROUPE_SERVER("served", struct reader *),
    .init = reader_init,
    .cast = serve,
    .info = serve,
    .behaviour.capacity = READER_CAPACITY,
};

static int no_answer(
    struct troupe_actor *self, void *state, void *context, int status, struct troupe_message *reply)
{
    (void)self;
    (void)state;
    (void)context;
    (void)reply;
    cr_assert_eq(status, TROUPE_OK);
    return TROUPE_OK;
}

static int suspend_it(struct troupe_actor *self, void *arg)
{
    struct scene *scene = arg;
    struct troupe_sys_question question = {.op = TROUPE_SYS_SUSPEND};

    return troupe_sys(self, scene->owner, &question, 1000, no_answer, NULL);
}

static int resume_it(struct troupe_actor *self, void *arg)
{
    struct scene *scene = arg;
    struct troupe_sys_question question = {.op = TROUPE_SYS_RESUME};

    return troupe_sys(self, scene->owner, &question, 1000, no_answer, NULL);
}

Test(priority, one_that_is_suspended_gets_it_first_when_it_goes_on, .timeout = 60)
{
    struct scene scene = {.flags = TROUPE_PRIORITY};

    stage_open(&scene.stage, TROUPE_NO_THREADS);
    scene.owner = stage_spawn(&scene.stage, &served.behaviour, &scene.reader);
    scene.other = stage_spawn(&scene.stage, &stage_puppet, NULL);
    cr_assert_eq(stage_do(&scene.stage, scene.owner, make, &scene), TROUPE_OK);
    cr_assert_eq(stage_do(&scene.stage, scene.other, suspend_it, &scene), TROUPE_OK);
    send_number(&scene, scene.owner, 1);
    stage_run(&scene.stage);
    send_number(&scene, scene.alias, 11);
    stage_run(&scene.stage);
    cr_assert_eq(scene.reader.count, 0);
    cr_assert_eq(stage_do(&scene.stage, scene.other, resume_it, &scene), TROUPE_OK);
    READER_EXPECT(&scene.reader, 11, 1);
    stage_close(&scene.stage);
}

/* ---- threads ---- */

#define SENDERS 2
#define EACH 20000

/* Counts from each sender and by each way; they have to come in order. */
struct crowd {
    troupe_pid pid;
    _Atomic troupe_pid alias;
    struct latch ready;
    _Atomic uint64_t seen[SENDERS][2];
    bool disorder;
};

static int crowd_init(struct troupe_actor *self, void *state, const void *arg)
{
    struct crowd *crowd = (struct crowd *)(uintptr_t)arg;
    troupe_pid alias;

    *(struct crowd **)state = crowd;
    TROUPE_TRY(troupe_alias(self, TROUPE_ALIAS_EXPLICIT, TROUPE_PRIORITY, &alias));
    crowd->alias = alias;
    latch_hit(&crowd->ready);
    return TROUPE_OK;
}

static int crowd_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct crowd *crowd = *(struct crowd **)state;
    const uint64_t *word = troupe_body(msg);
    _Atomic uint64_t *seen = &crowd->seen[*word >> 62][*word >> 61 & 1];
    uint64_t number = *word & ((UINT64_C(1) << 61) - 1);

    (void)self;
    crowd->disorder = crowd->disorder || *seen + 1 != number;
    *seen = number;
    return TROUPE_OK;
}

static const struct troupe_behaviour crowd_behaviour = {
    .name = "crowd",
    .state_size = sizeof(struct crowd *),
    .init = crowd_init,
    .receive = crowd_receive,
    .capacity = 64,
};

struct shouter {
    struct stage *stage;
    struct crowd *crowd;
    uint64_t index;
    pthread_t thread;
};

/* Every now and then it waits until all it has sent was handled: whoever slept through one would sleep for ever. */
static void *shout(void *arg)
{
    struct shouter *shouter = arg;
    struct crowd *crowd = shouter->crowd;

    for (uint64_t i = 0; i < EACH; i++) {
        uint64_t way = i & 1;
        uint64_t word = shouter->index << 62 | way << 61 | (i / 2 + 1);
        struct troupe_message *msg = stage_message(shouter->stage, &reader_number, &word);

        cr_assert_eq(troupe_send_wait(shouter->stage->runtime, way == 1 ? crowd->alias : crowd->pid,
                         msg, TROUPE_FOREVER),
            TROUPE_OK);
        while (i % 16 < 2 && crowd->seen[shouter->index][way] != i / 2 + 1) {
            sched_yield();
        }
    }
    return NULL;
}

Test(priority, from_many_threads_none_is_lost_and_each_keeps_its_order, .timeout = 120)
{
    struct stage stage;
    struct crowd crowd = {.ready = LATCH_INIT};
    struct shouter shouters[SENDERS];

    stage_open(&stage, 2);
    crowd.pid = stage_spawn(&stage, &crowd_behaviour, &crowd);
    cr_assert(latch_wait(&crowd.ready, 1));
    for (unsigned i = 0; i < SENDERS; i++) {
        shouters[i] = (struct shouter){.stage = &stage, .crowd = &crowd, .index = i};
        cr_assert_eq(pthread_create(&shouters[i].thread, NULL, shout, &shouters[i]), 0);
    }
    for (unsigned i = 0; i < SENDERS; i++) {
        cr_assert_eq(pthread_join(shouters[i].thread, NULL), 0);
    }
    for (unsigned i = 0; i < SENDERS; i++) {
        STAGE_AWAIT(&stage, crowd.seen[i][0] == EACH / 2);
        STAGE_AWAIT(&stage, crowd.seen[i][1] == EACH / 2);
    }
    stage_close(&stage);
    cr_assert_not(crowd.disorder);
}
