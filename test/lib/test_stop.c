/* SPDX-License-Identifier: MIT */
/*
 * Stop: an order to end, behind what is queued or before it; what a supervisor then does.
 *
 * Without threads: what is told is queued, and happens in stage_run().
 */
#include "test/support/ear.h"
#include "test/support/ends.h"
#include "test/support/nursery.h"

#include <troupe/server.h>
#include <troupe/sys.h>

struct scene {
    struct stage stage;
    struct ear ear;
    struct stage_end end;
    troupe_pid pid;
};

static void send_numbers(struct scene *scene, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        stage_send(&scene->stage, scene->pid, &ear_number, &i);
    }
}

/* An actor that has begun, and is watched. */
static void open_scene(struct scene *scene, const struct troupe_behaviour *behaviour)
{
    *scene = (struct scene){0};
    stage_open(&scene->stage, TROUPE_NO_THREADS);
    scene->pid = stage_spawn(&scene->stage, behaviour, &scene->ear);
    stage_watch(&scene->stage, scene->pid, &scene->end);
    stage_run(&scene->stage);
}

static int stop(struct scene *scene, enum troupe_stop how)
{
    return troupe_stop(scene->stage.runtime, scene->pid, how);
}

Test(stop, drain_handles_what_was_sent_before_and_nothing_after, .timeout = 60)
{
    struct scene scene;

    open_scene(&scene, &ear_plain);
    send_numbers(&scene, 3);
    cr_assert_eq(stop(&scene, TROUPE_STOP_DRAIN), TROUPE_OK);
    send_numbers(&scene, 2);
    stage_run(&scene.stage);
    cr_assert_eq(scene.end.count, 1);
    cr_assert_eq(scene.end.kind, TROUPE_EXIT_NORMAL);
    cr_assert_eq(scene.ear.numbers, 3);
    cr_assert_eq(stage_books(&scene.stage).dead, 2);
    stage_close(&scene.stage);
}

Test(stop, now_overtakes_what_is_queued, .timeout = 60)
{
    struct scene scene;

    open_scene(&scene, &ear_plain);
    send_numbers(&scene, 3);
    cr_assert_eq(stop(&scene, TROUPE_STOP_NOW), TROUPE_OK);
    stage_run(&scene.stage);
    cr_assert_eq(scene.end.count, 1);
    cr_assert_eq(scene.end.kind, TROUPE_EXIT_SHUTDOWN);
    cr_assert_eq(scene.ear.numbers, 0);
    cr_assert_eq(stage_books(&scene.stage).dead, 3);
    stage_close(&scene.stage);
}

/* It is passed over: the actor ends for the reason of the signal, which does not wait for what the order waits for. */
Test(stop, an_exit_signal_overtakes_a_drain, .timeout = 60)
{
    struct scene scene;

    open_scene(&scene, &ear_plain);
    send_numbers(&scene, 3);
    cr_assert_eq(stop(&scene, TROUPE_STOP_DRAIN), TROUPE_OK);
    cr_assert_eq(stop(&scene, TROUPE_STOP_NOW), TROUPE_OK);
    stage_run(&scene.stage);
    cr_assert_eq(scene.end.kind, TROUPE_EXIT_SHUTDOWN);
    cr_assert_eq(scene.ear.numbers, 0);
    stage_close(&scene.stage);
}

static int stop_self(struct troupe_actor *self, void *arg)
{
    struct scene *scene = arg;
    uint64_t number = 0;

    cr_assert_eq(troupe_send(self, troupe_self(self), &ear_number, &number), TROUPE_OK);
    return stop(scene, TROUPE_STOP_DRAIN);
}

Test(stop, an_actor_may_drain_itself, .timeout = 60)
{
    struct scene scene;

    open_scene(&scene, &ear_plain);
    stage_tell(&scene.stage, scene.pid, stop_self, &scene);
    stage_run(&scene.stage);
    cr_assert_eq(scene.end.count, 1);
    cr_assert_eq(scene.ear.numbers, 1);
    stage_close(&scene.stage);
}

/* As by troupe_runtime_stop(): by nobody, with SHUTDOWN, in its turn. */
Test(stop, who_traps_exits_is_told_in_its_turn, .timeout = 60)
{
    static const enum troupe_stop hows[] = {TROUPE_STOP_DRAIN, TROUPE_STOP_NOW};

    for (unsigned i = 0; i < TROUPE_COUNT(hows); i++) {
        struct scene scene;

        open_scene(&scene, &ear_trapping);
        send_numbers(&scene, 3);
        cr_assert_eq(stop(&scene, hows[i]), TROUPE_OK);
        send_numbers(&scene, 2);
        stage_run(&scene.stage);
        cr_assert_eq(scene.end.count, 0);
        cr_assert_eq(scene.ear.count, 1);
        cr_assert_eq(scene.ear.numbers, 5);
        cr_assert_eq(scene.ear.numbers_at_first, 3);
        cr_assert_eq(scene.ear.notes[0].pid, TROUPE_NOBODY);
        cr_assert_eq(scene.ear.notes[0].kind, TROUPE_EXIT_SHUTDOWN);
        cr_assert_not(scene.ear.notes[0].linked);
        ear_close(&scene.stage, scene.pid);
        stage_close(&scene.stage);
    }
}

static int link_to(struct troupe_actor *self, void *arg)
{
    return troupe_link(self, *(const troupe_pid *)arg);
}

/* 2.9: normal is not spread, shutdown is. */
Test(stop, links_survive_a_drain_only, .timeout = 60)
{
    for (unsigned i = 0; i < 2; i++) {
        struct scene scene;
        troupe_pid other;

        open_scene(&scene, &ear_plain);
        other = stage_spawn(&scene.stage, &stage_puppet, NULL);
        cr_assert_eq(stage_do(&scene.stage, other, link_to, &scene.pid), TROUPE_OK);
        cr_assert_eq(stop(&scene, i == 0 ? TROUPE_STOP_DRAIN : TROUPE_STOP_NOW), TROUPE_OK);
        stage_run(&scene.stage);
        cr_assert_eq(scene.end.count, 1);
        cr_assert_eq(troupe_is_alive(scene.stage.runtime, other), i == 0);
        stage_close(&scene.stage);
    }
}

Test(stop, who_is_not_there_cannot_be_stopped, .timeout = 60)
{
    struct scene scene;

    open_scene(&scene, &ear_plain);
    cr_assert_eq(stop(&scene, TROUPE_STOP_NOW), TROUPE_OK);
    stage_run(&scene.stage);
    cr_assert_eq(stop(&scene, TROUPE_STOP_DRAIN), TROUPE_EGONE);
    cr_assert_eq(stop(&scene, TROUPE_STOP_NOW), TROUPE_EGONE);
    stage_close(&scene.stage);
}

/* ---- requests ---- */

static int first_status;
static int last_status;

static int on_reply(
    struct troupe_actor *self, void *state, void *context, int status, struct troupe_message *reply)
{
    (void)self;
    (void)state;
    (void)reply;
    *(int *)context = status;
    return TROUPE_OK;
}

static int ask_stop_ask(struct troupe_actor *self, void *arg)
{
    struct scene *scene = arg;
    uint64_t number = 0;

    TROUPE_TRY(troupe_request(
        self, scene->pid, &ear_number, &number, TROUPE_FOREVER, on_reply, &first_status));
    TROUPE_TRY(stop(scene, TROUPE_STOP_DRAIN));
    return troupe_request(
        self, scene->pid, &ear_number, &number, TROUPE_FOREVER, on_reply, &last_status);
}

Test(stop, requests_behind_a_drain_are_answered_with_an_error, .timeout = 60)
{
    struct scene scene;

    open_scene(&scene, &ear_plain);
    stage_tell(&scene.stage, stage_spawn(&scene.stage, &stage_puppet, NULL), ask_stop_ask, &scene);
    stage_run(&scene.stage);
    cr_assert_eq(scene.ear.numbers, 1);
    cr_assert_eq(first_status, TROUPE_EUNANSWERED);
    cr_assert_eq(last_status, TROUPE_EDIED);
    stage_close(&scene.stage);
}

/* ---- functions that wait ---- */

static const struct troupe_type other_number = TROUPE_TYPE(uint64_t);
static unsigned received;
static unsigned picked;

static int count_main(struct troupe_actor *self, const void *arg)
{
    static const struct troupe_type *const types[] = {&other_number};
    struct troupe_message *msg;

    (void)arg;
    TROUPE_TRY(troupe_receive_of(self, types, 1, TROUPE_FOREVER, &msg));
    picked++;
    for (;;) {
        TROUPE_TRY(troupe_receive(self, TROUPE_FOREVER, &msg));
        received++;
    }
}

static const struct troupe_behaviour counting = {
    .name = "counting",
    .main = count_main,
    .capacity = STAGE_ROOM,
};

/* What is received in order comes to the order; a selective receive passes it over. */
Test(stop, a_function_that_waits_drains_in_receive, .timeout = 60)
{
    struct scene scene;

    received = picked = 0;
    open_scene(&scene, &counting);
    send_numbers(&scene, 2);
    cr_assert_eq(stop(&scene, TROUPE_STOP_DRAIN), TROUPE_OK);
    send_numbers(&scene, 2);
    stage_run(&scene.stage);
    cr_assert_eq(scene.end.count, 0);
    stage_send(&scene.stage, scene.pid, &other_number, &(uint64_t){0});
    stage_run(&scene.stage);
    cr_assert_eq(scene.end.count, 1);
    cr_assert_eq(scene.end.kind, TROUPE_EXIT_NORMAL);
    cr_assert_eq(picked, 1);
    cr_assert_eq(received, 2);
    stage_close(&scene.stage);
}

Test(stop, a_function_that_waits_ends_at_once_with_now, .timeout = 60)
{
    struct scene scene;

    received = picked = 0;
    open_scene(&scene, &counting);
    send_numbers(&scene, 2);
    cr_assert_eq(stop(&scene, TROUPE_STOP_NOW), TROUPE_OK);
    stage_run(&scene.stage);
    cr_assert_eq(scene.end.kind, TROUPE_EXIT_SHUTDOWN);
    cr_assert_eq(picked + received, 0);
    stage_close(&scene.stage);
}

/* ---- suspended ---- */

static unsigned cast_count;

static int on_cast(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    (void)self;
    (void)state;
    (void)msg;
    cast_count++;
    return TROUPE_OK;
}

static const struct troupe_server_cast casts[] = {{&ear_number, on_cast}};
static const struct troupe_server server = {
    TROUPE_SERVER("server", uint64_t),
    .casts = casts,
    .cast_count = TROUPE_COUNT(casts),
    .behaviour.capacity = STAGE_ROOM,
};

struct sys_order {
    troupe_pid to;
    enum troupe_sys_op op;
};

static int tell_sys(struct troupe_actor *self, void *arg)
{
    const struct sys_order *order = arg;
    struct troupe_sys_question question = {.op = order->op};

    return troupe_sys(self, order->to, &question, TROUPE_FOREVER, on_reply, &first_status);
}

Test(stop, one_that_is_suspended_drains_when_it_is_resumed, .timeout = 60)
{
    struct scene scene;
    struct sys_order order = {.op = TROUPE_SYS_SUSPEND};
    struct troupe_spawn_options options;
    troupe_pid asker;

    cast_count = 0;
    scene = (struct scene){0};
    stage_open(&scene.stage, TROUPE_NO_THREADS);
    options = (struct troupe_spawn_options){.behaviour = &server.behaviour};
    cr_assert_eq(troupe_runtime_spawn(scene.stage.runtime, &options, &scene.pid), TROUPE_OK);
    stage_watch(&scene.stage, scene.pid, &scene.end);
    asker = stage_spawn(&scene.stage, &stage_puppet, NULL);
    order.to = scene.pid;
    cr_assert_eq(stage_do(&scene.stage, asker, tell_sys, &order), TROUPE_OK);
    send_numbers(&scene, 3);
    cr_assert_eq(stop(&scene, TROUPE_STOP_DRAIN), TROUPE_OK);
    stage_run(&scene.stage);
    cr_assert_eq(scene.end.count, 0);
    order.op = TROUPE_SYS_RESUME;
    cr_assert_eq(stage_do(&scene.stage, asker, tell_sys, &order), TROUPE_OK);
    stage_run(&scene.stage);
    cr_assert_eq(scene.end.count, 1);
    cr_assert_eq(scene.end.kind, TROUPE_EXIT_NORMAL);
    cr_assert_eq(cast_count, 3);
    stage_close(&scene.stage);
}

/* ---- children ---- */

struct child_case {
    enum troupe_restart type;
    enum troupe_stop how;
    bool kept;
};

/* Three numbers before the order, two behind it. */
static void stop_child(struct nursery *nursery, struct actor_card *card, enum troupe_stop how)
{
    uint64_t number = 0;

    for (unsigned i = 0; i < 3; i++) {
        stage_send(&nursery->stage, card->pid, &puppet_number, &number);
    }
    cr_assert_eq(troupe_stop(nursery->stage.runtime, card->pid, how), TROUPE_OK);
    for (unsigned i = 0; i < 2; i++) {
        stage_send(&nursery->stage, card->pid, &puppet_number, &number);
    }
    nursery_run(nursery);
}

static void check_child(struct actor_card *card, const struct child_case *now, troupe_pid before)
{
    bool again = now->type == TROUPE_PERMANENT;
    unsigned handled = now->how == TROUPE_STOP_DRAIN ? 3 : 0;

    if (again && now->kept) {
        /* With NOW what stood before the order was overtaken, and has ended; what stood behind it has not. */
        handled += 2;
        cr_assert_eq(card->pid, before);
    }
    cr_assert_eq(card->starts, again ? 2 : 1, "type %d how %d", (int)now->type, (int)now->how);
    cr_assert_eq(card->alive, again ? 1 : 0);
    cr_assert_eq(card->handled, handled, "type %d how %d kept %d: %u", (int)now->type,
        (int)now->how, now->kept, card->handled);
}

/* 1.1, 7.1: both are clean ends. */
Test(stop, a_child_that_was_stopped_is_restarted_if_it_is_permanent, .timeout = 60)
{
    for (unsigned i = 0; i < 12; i++) {
        struct child_case now = {
            .type = (enum troupe_restart)(i % 3), .how = i / 3 % 2, .kept = i >= 6};
        struct nursery nursery;
        struct actor_card card = {.id = "a"};
        struct troupe_child_spec child = spec_of(&card, now.type);
        struct troupe_supervisor_spec spec = {.children = &child, .child_count = 1};
        troupe_pid before;

        child.behaviour = &roomy_child;
        child.keep_mailbox = now.kept;
        nursery_open(&nursery, 1, &spec);
        before = card.pid;
        stop_child(&nursery, &card, now.how);
        check_child(&card, &now, before);
        nursery_end_it(&nursery);
        nursery_close(&nursery);
    }
}

static unsigned nuisance;

static int stop_twice(struct troupe_actor *self, void *arg)
{
    struct troupe_runtime *runtime = troupe_runtime_of(self);

    (void)arg;
    nuisance++;
    TROUPE_TRY(troupe_stop(runtime, troupe_self(self), TROUPE_STOP_DRAIN));
    return troupe_stop(runtime, troupe_self(self), TROUPE_STOP_DRAIN);
}

/* The second order reaches the next life, for which it was not. */
Test(stop, an_order_is_for_one_life, .timeout = 60)
{
    struct nursery nursery;
    struct actor_card card = {.id = "a"};
    struct troupe_child_spec child = spec_of(&card, TROUPE_PERMANENT);
    struct troupe_supervisor_spec spec = {.children = &child, .child_count = 1};

    child.keep_mailbox = true;
    nuisance = 0;
    nursery_open(&nursery, 1, &spec);
    nursery_end(&nursery, &card, stop_twice);
    cr_assert_eq(nuisance, 1);
    cr_assert_eq(card.starts, 2);
    cr_assert_eq(card.alive, 1);
    nursery_end_it(&nursery);
    nursery_close(&nursery);
}

/* It tells its children, and waits for them. */
Test(stop, a_supervisor_that_is_stopped_ends_its_children_first, .timeout = 60)
{
    static const enum troupe_stop hows[] = {TROUPE_STOP_DRAIN, TROUPE_STOP_NOW};

    for (unsigned i = 0; i < TROUPE_COUNT(hows); i++) {
        struct nursery nursery;
        struct actor_card card = {.id = "a"};
        struct troupe_child_spec child = spec_of(&card, TROUPE_PERMANENT);
        struct troupe_supervisor_spec spec = {.children = &child, .child_count = 1};

        nursery_open(&nursery, 1, &spec);
        cr_assert_eq(troupe_stop(nursery.stage.runtime, nursery.supervisor, hows[i]), TROUPE_OK);
        nursery_run(&nursery);
        cr_assert_eq(nursery.end.count, 1);
        cr_assert_eq(nursery.end.kind, TROUPE_EXIT_SHUTDOWN);
        cr_assert_eq(card.alive, 0);
        cr_assert_eq(card.starts, 1);
        nursery_close(&nursery);
    }
}
