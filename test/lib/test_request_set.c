/* SPDX-License-Identifier: MIT */
/* Request set: several requests, one deadline, each outcome once and in the order in which it came.  5.5, 5.6. */
#include "test/support/clock.h"
#include "test/support/stage.h"

#include <troupe/call.h>

static const struct troupe_type ask = TROUPE_TYPE(uint64_t);
static const struct troupe_type answer = TROUPE_TYPE(uint64_t);
static const struct troupe_type none = TROUPE_SIGNAL;

/* ---- those that are asked: each holds its request until it is told to answer ---- */

#define SERVERS 6

struct server {
    struct troupe_message *held;
    _Atomic unsigned asked;
};

static int server_init(struct troupe_actor *self, void *state, const void *arg)
{
    (void)self;
    *(struct server **)state = (struct server *)(uintptr_t)arg;
    return TROUPE_OK;
}

static int server_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct server *server = *(struct server **)state;
    int status;

    if (stage_is_job(self, msg, &status)) {
        return status;
    }
    server->asked++;
    return troupe_take(self, msg, &server->held);
}

static const struct troupe_behaviour server_behaviour = {.name = "server",
    .state_size = sizeof(struct server *),
    .init = server_init,
    .receive = server_receive};

static int answer_held(struct troupe_actor *self, void *arg)
{
    struct server *server = arg;

    TROUPE_TRY(troupe_reply(self, server->held, &answer, &(uint64_t){7}));
    troupe_message_destroy(server->held);
    return TROUPE_OK;
}

static int end(struct troupe_actor *self, void *arg)
{
    (void)self;
    (void)arg;
    return TROUPE_DONE;
}

/* ---- one that asks ---- */

#define NOTES_MAX 16

struct gathering {
    struct troupe_request_set set;
    unsigned count;
    uint64_t label[NOTES_MAX];
    int status[NOTES_MAX];
    uint32_t left[NOTES_MAX];
    int returns;
    bool leaves; /* by troupe_exit() */
    bool cancels, asks_more;
    troupe_pid more;
    int result;
};

static int gather(struct troupe_actor *self, void *state, void *context, uint64_t label, int status,
    struct troupe_message *reply, uint32_t left)
{
    struct gathering *gathering = context;

    (void)state;
    cr_assert_lt(gathering->count, NOTES_MAX);
    cr_assert_eq(reply != NULL, status == TROUPE_OK);
    gathering->label[gathering->count] = label;
    gathering->status[gathering->count] = status;
    gathering->left[gathering->count] = left;
    gathering->count++;
    if (gathering->cancels) {
        gathering->result = troupe_request_set_cancel(self, gathering->set);
    }
    if (gathering->asks_more && gathering->count == 1) {
        gathering->result = troupe_request_set_ask(
            self, gathering->set, 100, gathering->more, &ask, &(uint64_t){1});
        TROUPE_TRY(troupe_request_set_close(self, gathering->set));
    }
    if (gathering->leaves) {
        troupe_exit(self, TROUPE_EXIT_SHUTDOWN);
    }
    return gathering->returns;
}

struct scene {
    struct stage stage;
    struct server servers[SERVERS];
    troupe_pid pids[SERVERS + 1]; /* the last one is nobody */
    troupe_pid asker;
    struct gathering gathering;
    size_t count; /* of pids that are asked */
    int timeout_ms;
    bool keeps_open;
    int result; /* of ask_many() */
};

static void scene_open_with(struct scene *scene, const struct troupe_limits *limits)
{
    struct troupe_runtime_options options = {.workers = TROUPE_NO_THREADS, .limits = *limits};

    memset(scene, 0, sizeof *scene);
    stage_open_with(&scene->stage, &options);
    for (int i = 0; i < SERVERS; i++) {
        scene->pids[i] = stage_spawn(&scene->stage, &server_behaviour, &scene->servers[i]);
    }
    scene->asker = stage_spawn(&scene->stage, &stage_puppet, NULL);
    scene->count = SERVERS;
    scene->timeout_ms = 60000;
    stage_run(&scene->stage);
}

static void scene_open(struct scene *scene)
{
    scene_open_with(scene, &(struct troupe_limits){0});
}

static int ask_all(struct troupe_actor *self, void *arg)
{
    struct scene *scene = arg;
    struct gathering *gathering = &scene->gathering;

    TROUPE_TRY(
        troupe_request_set_open(self, scene->timeout_ms, gather, gathering, &gathering->set));
    for (size_t i = 0; i < scene->count; i++) {
        TROUPE_TRY(troupe_request_set_ask(
            self, gathering->set, 10 + i, scene->pids[i], &ask, &(uint64_t){i}));
    }
    return scene->keeps_open ? TROUPE_OK : troupe_request_set_close(self, gathering->set);
}

static int ask_many(struct troupe_actor *self, void *arg)
{
    struct scene *scene = arg;

    scene->result = troupe_request_many(self, scene->pids, scene->count, &ask, &(uint64_t){1},
        scene->timeout_ms, gather, &scene->gathering);
    return TROUPE_OK;
}

static void let_answer(struct scene *scene, int index)
{
    cr_assert_eq(stage_do(&scene->stage, scene->pids[index], answer_held, &scene->servers[index]),
        TROUPE_OK);
}

/* The handle names nothing any more. */
static int check_ended(struct troupe_actor *self, void *arg)
{
    struct troupe_request_set set = *(struct troupe_request_set *)arg;
    uint64_t body = 1;

    cr_assert_eq(
        troupe_request_set_ask(self, set, 0, troupe_self(self), &ask, &body), TROUPE_ENOENT);
    cr_assert_eq(troupe_request_set_close(self, set), TROUPE_ENOENT);
    cr_assert_eq(troupe_request_set_cancel(self, set), TROUPE_ENOENT);
    return TROUPE_OK;
}

static void check_set_ended(struct scene *scene)
{
    cr_assert_eq(
        stage_do(&scene->stage, scene->asker, check_ended, &scene->gathering.set), TROUPE_OK);
}

/* ---- outcomes ---- */

Test(request_set, outcomes_come_in_the_order_of_the_answers_with_their_labels, .timeout = 60)
{
    static const int order[SERVERS] = {3, 0, 5, 1, 4, 2};
    struct scene scene;

    scene_open(&scene);
    cr_assert_eq(stage_do(&scene.stage, scene.asker, ask_all, &scene), TROUPE_OK);
    for (unsigned i = 0; i < SERVERS; i++) {
        cr_assert_eq(scene.gathering.count, i);
        let_answer(&scene, order[i]);
        cr_assert_eq(scene.gathering.count, i + 1);
        cr_assert_eq(scene.gathering.label[i], 10 + (uint64_t)order[i]);
        cr_assert_eq(scene.gathering.status[i], TROUPE_OK);
        cr_assert_eq(scene.gathering.left[i], SERVERS - 1 - i);
    }
    check_set_ended(&scene);
    stage_close(&scene.stage);
    cr_assert_eq(scene.gathering.count, SERVERS);
}

Test(request_set, one_deadline_ends_all_that_are_open_however_late_they_were_asked, .timeout = 60)
{
    struct scene scene;
    uint64_t begin_ns;

    scene_open(&scene);
    scene.timeout_ms = 40000;
    scene.keeps_open = true;
    scene.count = 3;
    begin_ns = troupe_now_ns(scene.stage.runtime);
    cr_assert_eq(stage_do(&scene.stage, scene.asker, ask_all, &scene), TROUPE_OK);
    clock_skip_ms(30000);
    let_answer(&scene, 1);
    scene.gathering.more = scene.pids[4];
    clock_skip_ms(15000);
    STAGE_AWAIT(&scene.stage, scene.gathering.count == 3);
    cr_assert_geq(troupe_now_ns(scene.stage.runtime) - begin_ns, 40000000000);
    cr_assert_eq(scene.gathering.label[0], 11);
    for (int i = 1; i < 3; i++) {
        cr_assert_eq(scene.gathering.status[i], TROUPE_ETIMEDOUT);
    }
    /* 5.6: nothing comes afterwards. */
    let_answer(&scene, 0);
    let_answer(&scene, 2);
    cr_assert_eq(scene.gathering.count, 3);
    cr_assert_eq(stage_books(&scene.stage).late, 2);
    stage_close(&scene.stage);
}

static int ask_late(struct troupe_actor *self, void *arg)
{
    struct scene *scene = arg;

    return troupe_request_set_ask(
        self, scene->gathering.set, 99, scene->pids[5], &ask, &(uint64_t){1});
}

Test(request_set, one_that_is_asked_late_has_what_is_left, .timeout = 60)
{
    struct scene scene;

    scene_open(&scene);
    scene.timeout_ms = 100000;
    scene.keeps_open = true;
    scene.count = 0;
    cr_assert_eq(stage_do(&scene.stage, scene.asker, ask_all, &scene), TROUPE_OK);
    clock_skip_ms(60000);
    cr_assert_eq(stage_do(&scene.stage, scene.asker, ask_late, &scene), TROUPE_OK);
    cr_assert_eq(scene.servers[5].asked, 1);
    clock_skip_ms(50000);
    STAGE_AWAIT(&scene.stage, scene.gathering.count == 1);
    cr_assert_eq(scene.gathering.label[0], 99);
    /* After the deadline it is not even handled. */
    cr_assert_eq(stage_do(&scene.stage, scene.asker, ask_late, &scene), TROUPE_OK);
    STAGE_AWAIT(&scene.stage, scene.gathering.count == 2);
    cr_assert_eq(scene.gathering.status[1], TROUPE_EEXPIRED, "%d", scene.gathering.status[1]);
    cr_assert_eq(scene.servers[5].asked, 1);
    stage_close(&scene.stage);
}

Test(request_set, who_is_gone_or_dies_is_an_outcome, .timeout = 60)
{
    struct scene scene;

    scene_open(&scene);
    scene.pids[1] = TROUPE_NOBODY;
    scene.count = 3;
    cr_assert_eq(stage_do(&scene.stage, scene.asker, ask_all, &scene), TROUPE_OK);
    cr_assert_eq(scene.gathering.count, 1);
    cr_assert_eq(scene.gathering.label[0], 11);
    cr_assert_eq(scene.gathering.status[0], TROUPE_EGONE);
    cr_assert_eq(scene.gathering.left[0], 2);
    (void)stage_do(&scene.stage, scene.pids[2], end, NULL);
    cr_assert_eq(scene.gathering.count, 2);
    cr_assert_eq(scene.gathering.label[1], 12);
    cr_assert_eq(scene.gathering.status[1], TROUPE_EDIED);
    let_answer(&scene, 0);
    cr_assert_eq(scene.gathering.count, 3);
    cr_assert_eq(scene.gathering.left[2], 0);
    check_set_ended(&scene);
    stage_close(&scene.stage);
}

Test(request_set, many_are_asked_the_same_and_some_answer, .timeout = 60)
{
    struct scene scene;
    unsigned answered = 0;

    scene_open(&scene);
    scene.count = SERVERS + 1;
    scene.timeout_ms = 20;
    (void)stage_do(&scene.stage, scene.asker, ask_many, &scene);
    cr_assert_eq(scene.result, TROUPE_OK);
    cr_assert_eq(scene.gathering.count, 1, "who is nobody");
    cr_assert_eq(scene.gathering.label[0], SERVERS);
    for (int i = 0; i < 3; i++) {
        let_answer(&scene, i);
    }
    clock_skip_ms(30);
    STAGE_AWAIT(&scene.stage, scene.gathering.count == SERVERS + 1);
    for (int i = 0; i < SERVERS + 1; i++) {
        answered += scene.gathering.status[i] == TROUPE_OK;
        cr_assert_eq(scene.gathering.left[i], (uint32_t)(SERVERS - i));
    }
    /* The three of them may have been late on a slow machine: then they timed out. */
    cr_assert_leq(answered, 3);
    stage_close(&scene.stage);
    cr_assert_eq(scene.gathering.count, SERVERS + 1);
}

/* ---- how a set ends ---- */

Test(request_set, a_set_without_requests_ends_when_it_is_closed, .timeout = 60)
{
    struct scene scene;

    scene_open(&scene);
    scene.count = 0;
    cr_assert_eq(stage_do(&scene.stage, scene.asker, ask_all, &scene), TROUPE_OK);
    check_set_ended(&scene);
    cr_assert_eq(scene.gathering.count, 0);
    stage_close(&scene.stage);
}

static int cancel_set(struct troupe_actor *self, void *arg)
{
    return troupe_request_set_cancel(self, *(struct troupe_request_set *)arg);
}

Test(request_set, a_set_that_is_cancelled_tells_no_more, .timeout = 60)
{
    struct scene scene;

    scene_open(&scene);
    scene.keeps_open = true;
    scene.pids[1] = TROUPE_NOBODY;
    cr_assert_eq(stage_do(&scene.stage, scene.asker, ask_all, &scene), TROUPE_OK);
    let_answer(&scene, 3);
    cr_assert_eq(scene.gathering.count, 2);
    cr_assert_eq(stage_do(&scene.stage, scene.asker, cancel_set, &scene.gathering.set), TROUPE_OK);
    check_set_ended(&scene);
    let_answer(&scene, 0);
    let_answer(&scene, 5);
    cr_assert_eq(scene.gathering.count, 2);
    cr_assert_eq(stage_books(&scene.stage).late, 2);
    stage_close(&scene.stage);
    cr_assert_eq(scene.gathering.count, 2);
}

Test(request_set, a_set_can_be_cancelled_by_its_callback, .timeout = 60)
{
    struct scene scene;

    for (int keeps_open = 0; keeps_open < 2; keeps_open++) {
        scene_open(&scene);
        scene.keeps_open = keeps_open;
        scene.gathering.cancels = true;
        cr_assert_eq(stage_do(&scene.stage, scene.asker, ask_all, &scene), TROUPE_OK);
        let_answer(&scene, 2);
        cr_assert_eq(scene.gathering.result, TROUPE_OK);
        let_answer(&scene, 3);
        cr_assert_eq(scene.gathering.count, 1);
        stage_close(&scene.stage);
    }
}

/* A refusal is on its way when the set is cancelled: its block comes back later, and tells nobody. */
static int ask_nobody_and_cancel(struct troupe_actor *self, void *arg)
{
    struct scene *scene = arg;

    TROUPE_TRY(ask_all(self, scene));
    return troupe_request_set_cancel(self, scene->gathering.set);
}

Test(request_set, a_set_cancelled_at_once_tells_nothing, .timeout = 60)
{
    struct scene scene;

    scene_open(&scene);
    scene.pids[0] = TROUPE_NOBODY;
    scene.pids[3] = TROUPE_NOBODY;
    cr_assert_eq(stage_do(&scene.stage, scene.asker, ask_nobody_and_cancel, &scene), TROUPE_OK);
    cr_assert_eq(scene.gathering.count, 0);
    check_set_ended(&scene);
    stage_close(&scene.stage);
    cr_assert_eq(scene.gathering.count, 0);
}

Test(request_set, a_callback_may_ask_more_and_close, .timeout = 60)
{
    struct scene scene;

    scene_open(&scene);
    scene.keeps_open = true;
    scene.count = 2;
    scene.gathering.asks_more = true;
    scene.gathering.more = scene.pids[4];
    cr_assert_eq(stage_do(&scene.stage, scene.asker, ask_all, &scene), TROUPE_OK);
    let_answer(&scene, 0);
    cr_assert_eq(scene.gathering.result, TROUPE_OK);
    let_answer(&scene, 1);
    let_answer(&scene, 4);
    cr_assert_eq(scene.gathering.count, 3);
    cr_assert_eq(scene.gathering.label[2], 100);
    cr_assert_eq(scene.gathering.left[2], 0);
    check_set_ended(&scene);
    stage_close(&scene.stage);
}

static void check_end_of_asker(int returns, bool leaves)
{
    struct scene scene;

    for (int gone = 0; gone < 2; gone++) {
        scene_open(&scene);
        scene.gathering.returns = returns;
        scene.gathering.leaves = leaves;
        if (gone) {
            scene.pids[0] = TROUPE_NOBODY;
            scene.pids[1] = TROUPE_NOBODY;
        }
        cr_assert_eq(stage_do(&scene.stage, scene.asker, ask_all, &scene), TROUPE_OK);
        let_answer(&scene, 2);
        let_answer(&scene, 3);
        cr_assert_eq(scene.gathering.count, 1);
        cr_assert_not(troupe_is_alive(scene.stage.runtime, scene.asker));
        stage_close(&scene.stage);
        cr_assert_eq(scene.gathering.count, 1);
    }
}

Test(request_set, a_set_ends_with_its_actor, .timeout = 60)
{
    check_end_of_asker(TROUPE_DONE, false);
    check_end_of_asker(-5, false);
    check_end_of_asker(TROUPE_OK, true);
}

/* ---- limits ---- */

Test(request_set, a_set_and_its_requests_are_limited, .timeout = 60)
{
    struct scene scene;

    scene_open_with(&scene, &(struct troupe_limits){.actor_timers = 4});
    (void)stage_do(&scene.stage, scene.asker, ask_many, &scene);
    cr_assert_eq(scene.result, TROUPE_ELIMIT);
    cr_assert_eq(scene.gathering.count, 0, "on error there are no outcomes");
    cr_assert_eq(stage_books(&scene.stage).skipped, 3, "those that were asked before are given up");
    scene.count = 3;
    (void)stage_do(&scene.stage, scene.asker, ask_many, &scene);
    cr_assert_eq(scene.result, TROUPE_OK);
    for (int i = 0; i < 3; i++) {
        let_answer(&scene, i);
    }
    cr_assert_eq(scene.gathering.count, 3);
    stage_close(&scene.stage);
}

static void destroy_nothing(void *body)
{
    (void)body;
}

static int check_arguments(struct troupe_actor *self, void *arg)
{
    static const struct troupe_type destroyed = TROUPE_TYPE_DESTROY(uint64_t, destroy_nothing);
    struct scene *scene = arg;
    struct troupe_request_set set;
    uint64_t body = 1;

    cr_assert_eq(troupe_request_set_open(self, 10, gather, NULL, &set), TROUPE_OK);
    cr_assert_eq(
        troupe_request_set_ask(self, set, 1, scene->pids[0], &destroyed, &body), TROUPE_EINVAL);
    cr_assert_eq(troupe_request_set_ask(self, set, 1, scene->pids[0], &none, &body), TROUPE_EINVAL);
    cr_assert_eq(troupe_request_set_close(self, set), TROUPE_OK);
    cr_assert_eq(troupe_request_set_close(self, (struct troupe_request_set){0}), TROUPE_ENOENT);
    return TROUPE_OK;
}

Test(request_set, what_cannot_be_asked_is_refused, .timeout = 60)
{
    struct scene scene;

    scene_open(&scene);
    cr_assert_eq(stage_do(&scene.stage, scene.asker, check_arguments, &scene), TROUPE_OK);
    cr_assert_eq(scene.servers[0].asked, 0);
    stage_close(&scene.stage);
}

static int check_others(struct troupe_actor *self, void *arg)
{
    return check_ended(self, arg);
}

Test(request_set, a_handle_means_nothing_to_another_actor, .timeout = 60)
{
    struct scene scene;

    scene_open(&scene);
    scene.keeps_open = true;
    cr_assert_eq(stage_do(&scene.stage, scene.asker, ask_all, &scene), TROUPE_OK);
    cr_assert_eq(
        stage_do(&scene.stage, scene.pids[0], check_others, &scene.gathering.set), TROUPE_OK);
    let_answer(&scene, 1);
    cr_assert_eq(scene.gathering.count, 1);
    stage_close(&scene.stage);
}
