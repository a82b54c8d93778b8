/* SPDX-License-Identifier: MIT */
/*
 * Aliases: who comes through which until when, and what becomes of everything else.
 *
 * Most tests are without threads: what is told is queued, and happens in stage_run().
 */
#include <criterion/criterion.h>

#include "child.h"

#include "test/support/ends.h"
#include "test/support/random.h"
#include "test/support/reader.h"

/* What jobs of the owner take and leave. */
struct made {
    enum troupe_alias_mode mode;
    troupe_pid alias;
    troupe_pid watched;
    troupe_ref ref;
    int result;
};

static int make(struct troupe_actor *self, void *arg)
{
    struct made *made = arg;

    return troupe_alias(self, made->mode, 0, &made->alias);
}

static int unalias(struct troupe_actor *self, void *arg)
{
    struct made *made = arg;

    made->result = troupe_unalias(self, made->alias);
    return TROUPE_OK;
}

static int watch(struct troupe_actor *self, void *arg)
{
    struct made *made = arg;

    return troupe_monitor_alias(self, made->watched, made->mode, 0, &made->ref, &made->alias);
}

static int demonitor(struct troupe_actor *self, void *arg)
{
    struct made *made = arg;

    made->result = troupe_demonitor_flush(self, made->ref, NULL);
    return TROUPE_OK;
}

/* A reader that has an alias. */
struct scene {
    struct stage stage;
    struct reader reader;
    troupe_pid owner;
    struct made made;
};

static void open_scene(struct scene *scene, enum troupe_alias_mode mode)
{
    *scene = (struct scene){.made.mode = mode};
    stage_open(&scene->stage, TROUPE_NO_THREADS);
    scene->owner = stage_spawn(&scene->stage, &reader_plain, &scene->reader);
    scene->made.watched = stage_spawn(&scene->stage, &stage_puppet, NULL);
    if (mode == TROUPE_ALIAS_REPLY) {
        cr_assert_eq(stage_do(&scene->stage, scene->owner, make, &scene->made), TROUPE_OK);
    } else {
        cr_assert_eq(stage_do(&scene->stage, scene->owner, watch, &scene->made), TROUPE_OK);
    }
}

static int try_number(struct scene *scene, troupe_pid to, uint64_t value)
{
    return stage_try_send(&scene->stage, to, &reader_number, &value);
}

/* Sends a number through the alias; it never matters whether that leads to anybody. */
static void answer(struct scene *scene, uint64_t value)
{
    cr_assert_eq(try_number(scene, scene->made.alias, value), TROUPE_OK);
}

static uint64_t dead(struct scene *scene)
{
    return stage_books(&scene->stage).dead;
}

static struct troupe_info info_of(struct scene *scene, troupe_pid pid)
{
    struct troupe_info info;

    cr_assert_eq(troupe_info(scene->stage.runtime, pid, &info), TROUPE_OK);
    return info;
}

/* ---- modes ---- */

/* 2.20: explicit, until unalias; dropped before the queue, and counted. */
Test(alias, one_stands_until_its_owner_ends_it, .timeout = 60)
{
    struct scene scene;
    uint64_t before;

    open_scene(&scene, TROUPE_ALIAS_EXPLICIT);
    cr_assert(troupe_is_alias(scene.made.alias));
    cr_assert_not(troupe_is_alias(scene.owner));
    answer(&scene, 1);
    cr_assert_eq(try_number(&scene, scene.owner, 2), TROUPE_OK);
    answer(&scene, 3);
    stage_run(&scene.stage);
    READER_EXPECT(&scene.reader, 1, 2, 3);
    stage_do(&scene.stage, scene.owner, unalias, &scene.made);
    cr_assert_eq(scene.made.result, 1);
    before = dead(&scene);
    answer(&scene, 4);
    cr_assert_eq(dead(&scene), before + 1);
    cr_assert_eq(info_of(&scene, scene.owner).mailbox_length, 0);
    stage_do(&scene.stage, scene.owner, unalias, &scene.made);
    cr_assert_eq(scene.made.result, 0);
    READER_EXPECT(&scene.reader, 1, 2, 3);
    stage_close(&scene.stage);
}

/* 2.20: what is queued already stays. */
Test(alias, what_was_queued_before_it_ended_is_handled, .timeout = 60)
{
    struct scene scene;

    open_scene(&scene, TROUPE_ALIAS_EXPLICIT);
    stage_tell(&scene.stage, scene.owner, unalias, &scene.made);
    answer(&scene, 1);
    stage_run(&scene.stage);
    cr_assert_eq(scene.made.result, 1);
    READER_EXPECT(&scene.reader, 1);
    stage_close(&scene.stage);
}

/* 2.20: reply, deactivated by the first message through it; a late reply never reaches the next request. */
Test(alias, one_for_a_reply_ends_with_the_first_message, .timeout = 60)
{
    struct scene scene;
    struct made next = {.mode = TROUPE_ALIAS_REPLY};

    open_scene(&scene, TROUPE_ALIAS_REPLY);
    answer(&scene, 1);
    answer(&scene, 2);
    stage_run(&scene.stage);
    cr_assert_eq(stage_do(&scene.stage, scene.owner, make, &next), TROUPE_OK);
    cr_assert_neq(next.alias, scene.made.alias);
    answer(&scene, 3);
    cr_assert_eq(try_number(&scene, next.alias, 4), TROUPE_OK);
    stage_run(&scene.stage);
    READER_EXPECT(&scene.reader, 1, 4);
    stage_do(&scene.stage, scene.owner, unalias, &next);
    cr_assert_eq(next.result, 0);
    stage_close(&scene.stage);
}

/* 2.20: demonitor, dies with the monitor: that is taken back .. */
Test(alias, one_that_goes_with_a_monitor_ends_when_that_is_taken_back, .timeout = 60)
{
    struct scene scene;

    open_scene(&scene, TROUPE_ALIAS_DEMONITOR);
    answer(&scene, 1);
    answer(&scene, 2);
    stage_do(&scene.stage, scene.owner, demonitor, &scene.made);
    cr_assert_eq(scene.made.result, TROUPE_FLUSH_ACTIVE);
    answer(&scene, 3);
    stage_run(&scene.stage);
    READER_EXPECT(&scene.reader, 1, 2);
    stage_close(&scene.stage);
}

/* 2.20: .. or tells of the end: nothing enters the queue behind the notice, handled or not. */
Test(alias, nothing_comes_through_behind_the_down_notice, .timeout = 60)
{
    static const enum troupe_alias_mode modes[] = {
        TROUPE_ALIAS_DEMONITOR, TROUPE_ALIAS_REPLY_DEMONITOR};

    for (size_t i = 0; i < TROUPE_COUNT(modes); i++) {
        struct scene scene;

        open_scene(&scene, modes[i]);
        stage_tell(&scene.stage, scene.made.watched, end_with_error, NULL);
        stage_run(&scene.stage);
        answer(&scene, 1);
        stage_run(&scene.stage);
        READER_EXPECT(&scene.reader, READER_DOWN);
        stage_do(&scene.stage, scene.owner, unalias, &scene.made);
        cr_assert_eq(scene.made.result, 0);
        stage_close(&scene.stage);
    }
}

Test(alias, an_explicit_one_outlives_its_monitor, .timeout = 60)
{
    struct scene scene;

    open_scene(&scene, TROUPE_ALIAS_EXPLICIT);
    stage_tell(&scene.stage, scene.made.watched, end_with_error, NULL);
    stage_run(&scene.stage);
    answer(&scene, 1);
    stage_do(&scene.stage, scene.owner, demonitor, &scene.made);
    answer(&scene, 2);
    stage_run(&scene.stage);
    READER_EXPECT(&scene.reader, READER_DOWN, 1, 2);
    stage_close(&scene.stage);
}

/* 2.20: reply_demonitor, the first reply also removes the monitor. */
Test(alias, an_answer_ends_its_monitor, .timeout = 60)
{
    struct scene scene;

    open_scene(&scene, TROUPE_ALIAS_REPLY_DEMONITOR);
    cr_assert_eq(info_of(&scene, scene.made.watched).watchers, 1);
    cr_assert_eq(info_of(&scene, scene.owner).monitors, 1);
    answer(&scene, 1);
    cr_assert_eq(info_of(&scene, scene.made.watched).watchers, 0);
    cr_assert_eq(info_of(&scene, scene.owner).monitors, 0);
    answer(&scene, 2);
    stage_tell(&scene.stage, scene.made.watched, end_with_error, NULL);
    stage_run(&scene.stage);
    READER_EXPECT(&scene.reader, 1);
    stage_do(&scene.stage, scene.owner, demonitor, &scene.made);
    cr_assert_eq(scene.made.result, TROUPE_FLUSH_NONE);
    stage_close(&scene.stage);
}

/* The owner may have ended it itself: then it is a monitor like any other. */
Test(alias, a_monitor_stays_when_only_its_alias_is_ended, .timeout = 60)
{
    struct scene scene;

    open_scene(&scene, TROUPE_ALIAS_REPLY_DEMONITOR);
    stage_do(&scene.stage, scene.owner, unalias, &scene.made);
    cr_assert_eq(scene.made.result, 1);
    answer(&scene, 1);
    stage_tell(&scene.stage, scene.made.watched, end_with_error, NULL);
    stage_run(&scene.stage);
    READER_EXPECT(&scene.reader, READER_DOWN);
    stage_close(&scene.stage);
}

static int ask_often(struct troupe_actor *self, void *arg)
{
    struct made *made = arg;

    /* More than the limit: those that were answered do not count. */
    for (unsigned i = 0; i < 5; i++) {
        uint64_t value = i;

        TROUPE_TRY(watch(self, made));
        TROUPE_TRY(troupe_send(self, made->alias, &reader_number, &value));
    }
    return TROUPE_OK;
}

Test(alias, monitors_that_were_answered_do_not_add_up, .timeout = 60)
{
    struct scene scene = {.made.mode = TROUPE_ALIAS_REPLY_DEMONITOR};

    stage_open_with(&scene.stage, &(struct troupe_runtime_options){.workers = TROUPE_NO_THREADS,
                                      .limits = {.actor_watches = 1, .actor_aliases = 1}});
    scene.made.watched = stage_spawn(&scene.stage, &stage_puppet, NULL);
    scene.owner = stage_spawn(&scene.stage, &reader_trapping, &scene.reader);
    cr_assert_eq(stage_do(&scene.stage, scene.owner, ask_often, &scene.made), TROUPE_OK);
    cr_assert_eq(info_of(&scene, scene.made.watched).watchers, 0);
    cr_assert_eq(info_of(&scene, scene.owner).monitors, 0);
    READER_EXPECT(&scene.reader, 0, 1, 2, 3, 4);
    stage_close(&scene.stage);
}

/* ---- who is gone ---- */

Test(alias, that_of_a_monitor_of_nobody_has_ended_unless_it_is_explicit, .timeout = 60)
{
    struct scene scene;

    open_scene(&scene, TROUPE_ALIAS_REPLY);
    stage_tell(&scene.stage, scene.made.watched, end_normally, NULL);
    stage_run(&scene.stage);
    scene.made.mode = TROUPE_ALIAS_REPLY_DEMONITOR;
    cr_assert_eq(stage_do(&scene.stage, scene.owner, watch, &scene.made), TROUPE_OK);
    answer(&scene, 1);
    scene.made.mode = TROUPE_ALIAS_EXPLICIT;
    cr_assert_eq(stage_do(&scene.stage, scene.owner, watch, &scene.made), TROUPE_OK);
    answer(&scene, 2);
    stage_run(&scene.stage);
    READER_EXPECT(&scene.reader, READER_DOWN, READER_DOWN, 2);
    cr_assert_eq(scene.reader.kind, TROUPE_EXIT_NOPROC);
    stage_close(&scene.stage);
}

Test(alias, one_ends_with_its_owner, .timeout = 60)
{
    struct scene scene;
    uint64_t before;

    open_scene(&scene, TROUPE_ALIAS_EXPLICIT);
    stage_tell(&scene.stage, scene.owner, end_normally, NULL);
    stage_run(&scene.stage);
    before = dead(&scene);
    answer(&scene, 1);
    cr_assert_eq(dead(&scene), before + 1);
    /* The pid itself still refuses. */
    cr_assert_eq(try_number(&scene, scene.owner, 1), TROUPE_EGONE);
    stage_close(&scene.stage);
}

/* 2.20: a slot that is used again needs a generation. */
Test(alias, the_next_actor_in_the_slot_has_other_aliases, .timeout = 60)
{
    struct scene scene = {.made.mode = TROUPE_ALIAS_EXPLICIT};
    struct made next = {.mode = TROUPE_ALIAS_EXPLICIT};
    uint64_t slot = ((uint64_t)1 << 28) - 1;

    stage_open_with(&scene.stage,
        &(struct troupe_runtime_options){.workers = TROUPE_NO_THREADS, .limits.actors = 1});
    for (unsigned round = 0; round < 20; round++) {
        unsigned rounds = 0;
        struct made last = next;

        while (stage_try_spawn(&scene.stage, &reader_plain, &scene.reader, &scene.owner) < 0) {
            cr_assert(stage_wait(&scene.stage, &rounds));
        }
        /* So many as the generation would have to count for none of them to be the same. */
        for (unsigned i = 0; i < 3; i++) {
            cr_assert_eq(stage_do(&scene.stage, scene.owner, make, &next), TROUPE_OK);
            cr_assert_neq(next.alias, last.alias);
        }
        cr_assert_eq(next.alias & slot, scene.owner & slot);
        if (round > 0) {
            scene.made = last;
            answer(&scene, 1);
        }
        stage_run(&scene.stage);
        cr_assert_eq(scene.reader.count, 0);
        scene.made = next;
        answer(&scene, 2);
        stage_run(&scene.stage);
        READER_EXPECT(&scene.reader, 2);
        scene.reader.count = 0;
        stage_tell(&scene.stage, scene.owner, end_normally, NULL);
        stage_run(&scene.stage);
    }
    stage_close(&scene.stage);
}

/* 2.20: aliases belong to an incarnation, as monitors do; what is queued is the next one's, as what was sent to the pid. */
Test(alias, one_ends_with_an_incarnation_that_keeps_its_address, .timeout = 60)
{
    struct reader reader = {0};
    struct scene scene;
    struct troupe_child_spec child = {
        .id = "reader", .behaviour = &reader_plain, .arg = &reader, .keep_mailbox = true};
    struct troupe_supervisor_spec spec = {.name = "top", .children = &child, .child_count = 1};
    struct troupe_spawn_options options;
    troupe_pid supervisor;

    open_scene(&scene, TROUPE_ALIAS_REPLY);
    cr_assert_eq(trp_supervisor_options(scene.stage.runtime, &spec, NULL, &options), TROUPE_OK);
    cr_assert_eq(troupe_runtime_spawn(scene.stage.runtime, &options, &supervisor), TROUPE_OK);
    trp_supervisor_options_free(scene.stage.runtime, &options);
    stage_run(&scene.stage);
    scene.owner = troupe_runtime_whereis(scene.stage.runtime, "top.reader");
    scene.made.mode = TROUPE_ALIAS_EXPLICIT;
    cr_assert_eq(stage_do(&scene.stage, scene.owner, make, &scene.made), TROUPE_OK);
    stage_tell(&scene.stage, scene.owner, end_with_error, NULL);
    answer(&scene, 1);
    stage_run(&scene.stage);
    cr_assert_eq(info_of(&scene, scene.owner).incarnation, 1);
    answer(&scene, 2);
    stage_run(&scene.stage);
    READER_EXPECT(&reader, 1);
    /* And the new one may have some. */
    cr_assert_eq(stage_do(&scene.stage, scene.owner, make, &scene.made), TROUPE_OK);
    answer(&scene, 3);
    stage_run(&scene.stage);
    READER_EXPECT(&reader, 1, 3);
    stage_close(&scene.stage);
}

/* ---- every way to send ---- */

struct delivery {
    troupe_pid to;
    struct troupe_message *kept;
};

static int send_all(struct troupe_actor *self, void *arg)
{
    struct delivery *delivery = arg;
    struct troupe_message *msgs[3];
    uint64_t value = 1;

    TROUPE_TRY(troupe_send(self, delivery->to, &reader_number, &value));
    value = 2;
    TROUPE_TRY(troupe_send_bytes(self, delivery->to, &reader_number, &value, sizeof value));
    for (unsigned i = 0; i < 3; i++) {
        TROUPE_TRY(troupe_message_create(troupe_runtime_of(self), &reader_number, 0, &msgs[i]));
        *(uint64_t *)troupe_body(msgs[i]) = 3 + i;
    }
    TROUPE_TRY(troupe_send_message(self, delivery->to, msgs[0]));
    return troupe_send_batch(self, delivery->to, &msgs[1], 2);
}

Test(alias, every_function_that_sends_takes_one, .timeout = 60)
{
    struct scene scene;
    struct delivery delivery;
    struct troupe_message *msg;
    uint64_t value = 6;

    open_scene(&scene, TROUPE_ALIAS_EXPLICIT);
    delivery.to = scene.made.alias;
    cr_assert_eq(stage_do(&scene.stage, scene.made.watched, send_all, &delivery), TROUPE_OK);
    answer(&scene, 6);
    value = 7;
    msg = stage_message(&scene.stage, &reader_number, &value);
    cr_assert_eq(troupe_send_wait(scene.stage.runtime, scene.made.alias, msg, 0), TROUPE_OK);
    stage_run(&scene.stage);
    READER_EXPECT(&scene.reader, 1, 2, 3, 4, 5, 6, 7);
    /* And all of them are dropped in the same way. */
    stage_do(&scene.stage, scene.owner, unalias, &scene.made);
    cr_assert_eq(stage_do(&scene.stage, scene.made.watched, send_all, &delivery), TROUPE_OK);
    msg = stage_message(&scene.stage, &reader_number, &value);
    cr_assert_eq(troupe_send_wait(scene.stage.runtime, scene.made.alias, msg, 0), TROUPE_OK);
    stage_run(&scene.stage);
    cr_assert_eq(scene.reader.count, 7);
    stage_close(&scene.stage);
}

static int send_batch(struct troupe_actor *self, void *arg)
{
    struct delivery *delivery = arg;
    struct troupe_message *msgs[3];

    for (unsigned i = 0; i < 3; i++) {
        TROUPE_TRY(troupe_message_create(troupe_runtime_of(self), &reader_number, 0, &msgs[i]));
        *(uint64_t *)troupe_body(msgs[i]) = i;
    }
    return troupe_send_batch(self, delivery->to, msgs, 3);
}

Test(alias, of_a_batch_one_for_a_reply_takes_the_first, .timeout = 60)
{
    struct scene scene;
    struct delivery delivery;
    uint64_t before;

    open_scene(&scene, TROUPE_ALIAS_REPLY);
    delivery.to = scene.made.alias;
    before = dead(&scene);
    cr_assert_eq(stage_do(&scene.stage, scene.made.watched, send_batch, &delivery), TROUPE_OK);
    READER_EXPECT(&scene.reader, 0);
    cr_assert_eq(dead(&scene), before + 2);
    stage_close(&scene.stage);
}

static int pass_on(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    return troupe_forward(self, **(troupe_pid **)state, msg);
}

static const struct troupe_behaviour forwarder = {
    .name = "forwarder",
    .state_size = sizeof(struct reader *),
    .init = reader_init,
    .receive = pass_on,
    .capacity = STAGE_ROOM,
};

Test(alias, a_message_is_forwarded_to_one, .timeout = 60)
{
    struct scene scene;
    troupe_pid forwarding;

    open_scene(&scene, TROUPE_ALIAS_REPLY);
    forwarding = stage_spawn(&scene.stage, &forwarder, &scene.made.alias);
    cr_assert_eq(try_number(&scene, forwarding, 1), TROUPE_OK);
    cr_assert_eq(try_number(&scene, forwarding, 2), TROUPE_OK);
    stage_run(&scene.stage);
    READER_EXPECT(&scene.reader, 1);
    stage_close(&scene.stage);
}

/* ---- a full mailbox ---- */

Test(alias, what_is_refused_for_want_of_room_did_not_come_through, .timeout = 60)
{
    struct scene scene;

    open_scene(&scene, TROUPE_ALIAS_REPLY);
    for (unsigned i = 0; i < READER_CAPACITY; i++) {
        cr_assert_eq(try_number(&scene, scene.owner, i), TROUPE_OK);
    }
    cr_assert_eq(try_number(&scene, scene.made.alias, 100), TROUPE_EFULL);
    stage_run(&scene.stage);
    answer(&scene, 101);
    answer(&scene, 102);
    stage_run(&scene.stage);
    cr_assert_eq(scene.reader.count, READER_CAPACITY + 1);
    cr_assert_eq(scene.reader.notes[READER_CAPACITY], 101);
    stage_close(&scene.stage);
}

/* A thread that waits for room. */
struct waiting {
    struct scene *scene;
    pthread_t thread;
    uint64_t value;
    int wait_ms;
    int result;
};

static void *wait_for_room(void *arg)
{
    struct waiting *waiting = arg;
    struct scene *scene = waiting->scene;
    struct troupe_message *msg = stage_message(&scene->stage, &reader_number, &waiting->value);

    waiting->result =
        troupe_send_wait(scene->stage.runtime, scene->made.alias, msg, waiting->wait_ms);
    if (waiting->result < 0) {
        troupe_message_destroy(msg);
    }
    return NULL;
}

/* Fills the mailbox, behind `job`, and has two threads wait. */
static void have_two_wait(struct scene *scene, stage_job_fn job, struct waiting *waiting)
{
    unsigned rounds = 0;

    stage_tell(&scene->stage, scene->owner, job, &scene->made);
    for (unsigned i = 1; i < READER_CAPACITY; i++) {
        cr_assert_eq(try_number(scene, scene->owner, i), TROUPE_OK);
    }
    for (unsigned i = 0; i < 2; i++) {
        waiting[i] = (struct waiting){.scene = scene, .value = 100 + i, .wait_ms = TROUPE_FOREVER};
        cr_assert_eq(pthread_create(&waiting[i].thread, NULL, wait_for_room, &waiting[i]), 0);
    }
    /* Each has been refused once. */
    while (stage_books(&scene->stage).refused < 2) {
        cr_assert_lt(++rounds, 60000);
        usleep(1000);
    }
}

static void let_them_in(struct scene *scene, struct waiting *waiting)
{
    for (unsigned i = 0; i < 2; i++) {
        unsigned rounds = 0;

        while (pthread_tryjoin_np(waiting[i].thread, NULL) != 0) {
            cr_assert(stage_wait(&scene->stage, &rounds));
        }
        cr_assert_eq(waiting[i].result, TROUPE_OK);
    }
    stage_run(&scene->stage);
}

static int do_nothing(struct troupe_actor *self, void *arg)
{
    (void)self;
    (void)arg;
    return TROUPE_OK;
}

Test(alias, threads_wait_for_room_behind_one, .timeout = 60)
{
    struct scene scene;
    struct waiting waiting[2];

    open_scene(&scene, TROUPE_ALIAS_REPLY);
    have_two_wait(&scene, do_nothing, waiting);
    let_them_in(&scene, waiting);
    /* The second found that it had ended. */
    cr_assert_eq(scene.reader.count, READER_CAPACITY);
    cr_assert_geq(scene.reader.notes[READER_CAPACITY - 1], 100);
    stage_close(&scene.stage);
}

Test(alias, one_that_ends_while_a_thread_waits_behind_it_drops_what_that_sends, .timeout = 60)
{
    static const stage_job_fn stops[] = {unalias, end_normally};

    for (size_t i = 0; i < TROUPE_COUNT(stops); i++) {
        struct scene scene;
        struct waiting waiting[2];

        open_scene(&scene, TROUPE_ALIAS_REPLY);
        have_two_wait(&scene, stops[i], waiting);
        let_them_in(&scene, waiting);
        cr_assert_eq(scene.reader.count, i == 0 ? READER_CAPACITY - 1 : 0);
        stage_close(&scene.stage);
    }
}

Test(alias, a_thread_that_waits_in_vain_keeps_its_message, .timeout = 60)
{
    struct scene scene;
    struct waiting waiting = {.scene = &scene, .value = 100, .wait_ms = 20};

    open_scene(&scene, TROUPE_ALIAS_REPLY);
    for (unsigned i = 0; i < READER_CAPACITY; i++) {
        cr_assert_eq(try_number(&scene, scene.owner, i), TROUPE_OK);
    }
    (void)wait_for_room(&waiting);
    cr_assert_eq(waiting.result, TROUPE_ETIMEDOUT);
    stage_run(&scene.stage);
    answer(&scene, 101);
    stage_run(&scene.stage);
    cr_assert_eq(scene.reader.notes[READER_CAPACITY], 101);
    stage_close(&scene.stage);
}

/* ---- requests ---- */

struct asking {
    troupe_pid to;
    int status;
    unsigned outcomes;
    uint64_t value;
};

static int note_outcome(
    struct troupe_actor *self, void *state, void *context, int status, struct troupe_message *reply)
{
    struct asking *asking = context;

    (void)self;
    (void)state;
    asking->outcomes++;
    asking->status = status;
    asking->value = reply != NULL ? *(const uint64_t *)troupe_body(reply) : 0;
    return TROUPE_OK;
}

static int ask(struct troupe_actor *self, void *arg)
{
    struct asking *asking = arg;
    uint64_t value = 20;

    return troupe_request(
        self, asking->to, &reader_number, &value, TROUPE_FOREVER, note_outcome, asking);
}

static int reply_more(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    uint64_t value;
    int status;

    (void)state;
    if (stage_is_job(self, msg, &status)) {
        return status;
    }
    value = *(const uint64_t *)troupe_body(msg) + 1;
    return troupe_reply(self, msg, &reader_number, &value);
}

static const struct troupe_behaviour replier = {.name = "replier", .receive = reply_more};

/* One outcome, through whichever. */
Test(alias, a_request_through_one_that_ended_is_answered_at_once, .timeout = 60)
{
    struct scene scene;
    struct asking asking[2];

    open_scene(&scene, TROUPE_ALIAS_REPLY);
    scene.owner = stage_spawn(&scene.stage, &replier, NULL);
    cr_assert_eq(stage_do(&scene.stage, scene.owner, make, &scene.made), TROUPE_OK);
    for (unsigned i = 0; i < 2; i++) {
        asking[i] = (struct asking){.to = scene.made.alias};
        cr_assert_eq(stage_do(&scene.stage, scene.made.watched, ask, &asking[i]), TROUPE_OK);
        cr_assert_eq(asking[i].outcomes, 1);
    }
    cr_assert_eq(asking[0].status, TROUPE_OK);
    cr_assert_eq(asking[0].value, 21);
    cr_assert_eq(asking[1].status, TROUPE_EGONE);
    stage_close(&scene.stage);
}

/* ---- it is an address to send to, and nothing else ---- */

static int misuse(struct troupe_actor *self, void *arg)
{
    struct made *made = arg;
    struct troupe_runtime *runtime = troupe_runtime_of(self);
    struct troupe_info info;
    struct troupe_name name;
    troupe_pid alias = made->alias;
    troupe_ref ref;
    size_t count;
    uint32_t length;

    cr_expect_eq(troupe_monitor(self, alias, &ref), TROUPE_EINVAL);
    cr_expect_eq(troupe_monitor_alias(self, alias, TROUPE_ALIAS_EXPLICIT, 0, &ref, &made->alias),
        TROUPE_EINVAL);
    cr_expect_eq(troupe_link(self, alias), TROUPE_EINVAL);
    cr_expect_eq(troupe_unlink_flush(self, alias, NULL), TROUPE_EINVAL);
    cr_expect_eq(troupe_send_exit(self, alias, TROUPE_EXIT_SHUTDOWN), TROUPE_EINVAL);
    cr_expect_eq(troupe_runtime_exit(runtime, alias, TROUPE_EXIT_KILL), TROUPE_EINVAL);
    cr_expect_eq(troupe_kill(self, alias), TROUPE_EINVAL);
    cr_expect_eq(troupe_info(runtime, alias, &info), TROUPE_EINVAL);
    cr_expect_eq(troupe_info_links(runtime, alias, NULL, 0, &count), TROUPE_EINVAL);
    cr_expect_eq(troupe_mailbox_length(runtime, alias, &length), TROUPE_EINVAL);
    cr_expect_eq(troupe_names_of(runtime, alias, 0, &name, 1), TROUPE_EINVAL);
    cr_expect_not(troupe_is_alive(runtime, alias));
    return TROUPE_OK;
}

Test(alias, nobody_is_watched_ended_or_asked_about_through_one, .timeout = 60)
{
    struct scene scene;

    open_scene(&scene, TROUPE_ALIAS_REPLY);
    stage_do(&scene.stage, scene.made.watched, misuse, &scene.made);
    cr_assert_eq(troupe_join(scene.stage.runtime, scene.made.alias, 0, NULL), TROUPE_EINVAL);
    /* And it has not ended of it. */
    answer(&scene, 1);
    stage_run(&scene.stage);
    READER_EXPECT(&scene.reader, 1);
    stage_close(&scene.stage);
}

static int call_oneself(struct troupe_actor *self, const void *arg)
{
    int *result = (int *)(uintptr_t)arg;
    troupe_pid alias;
    uint64_t value = 0;

    TROUPE_TRY(troupe_alias(self, TROUPE_ALIAS_REPLY, 0, &alias));
    *result =
        troupe_call(self, alias, &reader_number, &value, &reader_number, &value, TROUPE_FOREVER);
    return TROUPE_OK;
}

static const struct troupe_behaviour narcissus = {.name = "narcissus", .main = call_oneself};

Test(alias, a_call_to_oneself_through_one_is_refused, .timeout = 60)
{
    struct stage stage;
    int result = TROUPE_OK;

    stage_open(&stage, TROUPE_NO_THREADS);
    (void)stage_spawn(&stage, &narcissus, &result);
    stage_run(&stage);
    cr_assert_eq(result, TROUPE_EINVAL);
    stage_close(&stage);
}

/* ---- limits and memory ---- */

Test(alias, as_many_stand_as_the_limit_allows, .timeout = 60)
{
    struct scene scene = {.made.mode = TROUPE_ALIAS_EXPLICIT};

    stage_open_with(&scene.stage,
        &(struct troupe_runtime_options){.workers = TROUPE_NO_THREADS, .limits.actor_aliases = 2});
    scene.owner = stage_spawn(&scene.stage, &reader_trapping, &scene.reader);
    scene.made.watched = stage_spawn(&scene.stage, &stage_puppet, NULL);
    cr_assert_eq(stage_do(&scene.stage, scene.made.watched, make, &scene.made), TROUPE_OK);
    cr_assert_eq(stage_do(&scene.stage, scene.made.watched, make, &scene.made), TROUPE_OK);
    stage_do(&scene.stage, scene.made.watched, unalias, &scene.made);
    cr_assert_eq(stage_do(&scene.stage, scene.made.watched, make, &scene.made), TROUPE_OK);
    /* The error ends it, and with it all its aliases. */
    cr_assert_eq(stage_do(&scene.stage, scene.made.watched, make, &scene.made), TROUPE_ELIMIT);
    stage_close(&scene.stage);
}

Test(alias, without_memory_nothing_is_left_behind, .timeout = 60)
{
    bool failed = true;

    for (uint64_t k = 1; failed; k++) {
        struct scene scene = {.made.mode = TROUPE_ALIAS_REPLY_DEMONITOR};
        int error;

        stage_open(&scene.stage, TROUPE_NO_THREADS);
        scene.owner = stage_spawn(&scene.stage, &reader_plain, &scene.reader);
        scene.made.watched = stage_spawn(&scene.stage, &stage_puppet, NULL);
        stage_do(&scene.stage, scene.owner, do_nothing, NULL);
        scene.stage.memory.calls = 0;
        scene.stage.memory.fail_at = k;
        error = stage_do(&scene.stage, scene.owner, watch, &scene.made);
        failed = scene.stage.memory.calls >= k;
        scene.stage.memory.fail_at = 0;
        cr_assert_eq(error, failed ? TROUPE_ENOMEM : TROUPE_OK);
        if (error == TROUPE_OK) {
            cr_assert_eq(info_of(&scene, scene.made.watched).watchers, 1);
        } else {
            cr_assert_eq(info_of(&scene, scene.made.watched).watchers, 0);
        }
        stage_close(&scene.stage);
    }
}

/* ---- threads ---- */

#define ROUNDS 3000

/* Gives many an alias, one after the other, and ends it while they send. */
struct giver {
    _Atomic troupe_pid alias;
    _Atomic unsigned round; /* of that alias */
    _Atomic bool over;
    uint64_t late; /* came after it was ended */
    uint64_t came;
    uint64_t came_before; /* the round */
};

static const struct troupe_type round_over = TROUPE_TYPE(uint64_t);

static int begin_round(struct troupe_actor *self, struct giver *giver)
{
    uint64_t round = giver->round;
    troupe_pid alias = giver->alias;

    if (alias != TROUPE_NOBODY && giver->came == giver->came_before) {
        /* Not yet: somebody shall be at it. */
        return troupe_send(self, troupe_self(self), &round_over, &round);
    }
    giver->came_before = giver->came;
    if (alias != TROUPE_NOBODY) {
        cr_assert_eq(troupe_unalias(self, alias), 1);
        giver->round = (unsigned)round + 1;
    }
    if (round == ROUNDS) {
        giver->over = true;
        return TROUPE_OK;
    }
    TROUPE_TRY(troupe_alias(self, TROUPE_ALIAS_EXPLICIT, 0, &alias));
    giver->alias = alias;
    return troupe_send(self, troupe_self(self), &round_over, &round);
}

static int giver_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct giver *giver = *(struct giver **)state;
    uint64_t round = *(const uint64_t *)troupe_body(msg);

    if (troupe_is(msg, &round_over)) {
        int error = begin_round(self, giver);

        cr_assert(error == TROUPE_OK);
        return error;
    }
    giver->came++;
    /* What was sent through an alias of a round before must stand before the mark of that. */
    giver->late += round + 1 < giver->round;
    return TROUPE_OK;
}

static const struct troupe_behaviour giver_behaviour = {.name = "giver",
    .state_size = sizeof(struct reader *),
    .init = reader_init,
    .receive = giver_receive,
    .capacity = 1 << 16};

struct sender {
    struct stage *stage;
    struct giver *giver;
    pthread_t thread;
};

/* A few in each round, so that there is room for the marks. */
static void *send_rounds(void *arg)
{
    struct sender *sender = arg;
    troupe_pid last = TROUPE_NOBODY;
    unsigned left = 0;

    while (!sender->giver->over) {
        /* The alias first: the round is that of it or the next one. */
        troupe_pid alias = sender->giver->alias;
        uint64_t round = sender->giver->round;

        left = alias != last ? 16 : left;
        last = alias;
        if (left > 0 && alias != TROUPE_NOBODY && sender->giver->alias == alias) {
            (void)stage_try_send(sender->stage, alias, &reader_number, &round);
            left--;
        }
    }
    return NULL;
}

/* 2.20, trap 9: when troupe_unalias() has returned nothing enters the queue any more.  A message that does stands behind the
 * mark of the next round. */
Test(alias, nothing_comes_through_one_after_its_end, .timeout = 120)
{
    struct stage stage;
    struct giver giver = {.alias = TROUPE_NOBODY};
    struct sender senders[2];
    uint64_t begin = 0;
    troupe_pid pid;

    stage_open(&stage, 2);
    pid = stage_spawn(&stage, &giver_behaviour, &giver);
    for (unsigned i = 0; i < 2; i++) {
        senders[i] = (struct sender){.stage = &stage, .giver = &giver};
        cr_assert_eq(pthread_create(&senders[i].thread, NULL, send_rounds, &senders[i]), 0);
    }
    stage_send(&stage, pid, &round_over, &begin);
    for (unsigned i = 0; i < 2; i++) {
        cr_assert_eq(pthread_join(senders[i].thread, NULL), 0);
    }
    stage_close(&stage);
    cr_assert_gt(giver.came, 0);
    cr_assert_eq(giver.late, 0, "%llu of %llu came late", (unsigned long long)giver.late,
        (unsigned long long)giver.came);
}

/* Asks one that answers and dies, or dies and lets somebody else answer. */
struct race {
    struct latch done;
    troupe_pid alias, ref_of;
    troupe_ref ref;
    unsigned downs, answers;
};

static int race_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct race *race = *(struct race **)state;
    int status;

    if (stage_is_job(self, msg, &status)) {
        return status;
    }
    race->downs += troupe_is(msg, &troupe_down);
    race->answers += troupe_is(msg, &reader_number);
    latch_hit(&race->done);
    return TROUPE_OK;
}

static const struct troupe_behaviour racer = {
    .name = "racer",
    .state_size = sizeof(struct reader *),
    .init = reader_init,
    .receive = race_receive,
    .capacity = STAGE_ROOM,
};

static int begin_race(struct troupe_actor *self, void *arg)
{
    struct race *race = arg;

    return troupe_monitor_alias(
        self, race->ref_of, TROUPE_ALIAS_REPLY_DEMONITOR, 0, &race->ref, &race->alias);
}

static int demonitor_race(struct troupe_actor *self, void *arg)
{
    struct race *race = arg;

    return troupe_demonitor(self, race->ref);
}

/* 2.20: reply_demonitor gives exactly one of the two, whoever is first. */
Test(alias, of_an_answer_and_the_end_exactly_one_is_told, .timeout = 120)
{
    struct stage stage;
    struct race race = {.done = LATCH_INIT};
    struct test_random random = test_random_of(test_seed("alias"));
    unsigned answers = 0;
    troupe_pid owner;

    stage_open(&stage, 2);
    owner = stage_spawn(&stage, &racer, &race);
    for (unsigned i = 0; i < 2000; i++) {
        uint64_t value = i;

        race.downs = 0;
        race.answers = 0;
        race.ref_of = stage_spawn(&stage, &stage_puppet, NULL);
        cr_assert_eq(stage_do(&stage, owner, begin_race, &race), TROUPE_OK);
        stage_tell(&stage, race.ref_of, end_normally, NULL);
        for (uint64_t pauses = test_below(&random, 400); pauses > 0; pauses--) {
            __asm__ volatile("" ::: "memory");
        }
        cr_assert_eq(stage_try_send(&stage, race.alias, &reader_number, &value), TROUPE_OK);
        cr_assert(latch_wait(&race.done, i + 1));
        /* Also when all is over: the job stands behind whatever else may come. */
        cr_assert_eq(
            troupe_join(stage.runtime, race.ref_of, LATCH_LIMIT_S * 1000, NULL), TROUPE_OK);
        cr_assert_eq(stage_do(&stage, owner, demonitor_race, &race), 0);
        cr_assert_eq(
            race.downs + race.answers, 1, "%u notices, %u answers", race.downs, race.answers);
        answers += race.answers;
    }
    fprintf(stderr, "%u of 2000 were answers\n", answers);
    stage_close(&stage);
}
