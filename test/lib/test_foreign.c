/* SPDX-License-Identifier: MIT */
/* Foreign: a call from a thread that is no worker has one outcome, within its time, and leaves nothing. */
#include "test/support/hoard.h"
#include "test/support/random.h"
#include "test/support/stage.h"
#include "test/support/team.h"

#include <troupe/call.h>

static const struct troupe_type ask = TROUPE_TYPE(uint64_t);
static const struct troupe_type answer = TROUPE_TYPE(uint64_t);
static const struct troupe_type bytes = TROUPE_BYTES;
static const struct troupe_type none = TROUPE_SIGNAL;

enum manner {
    ANSWERS,
    ANSWERS_BYTES, /* as many as asked */
    ANSWERS_NOTHING,
    ANSWERS_ERROR,
    IGNORES,
    FAILS,
    HOLDS,
    PASSES_ON,
    WAITS, /* until `gate` is open, then answers */
};

struct server {
    _Atomic enum manner manner;
    troupe_pid next;
    _Atomic unsigned handled;
    _Atomic int left_ms;
    troupe_pid asker;
    struct troupe_message *held;
    struct latch *entered, *gate;
};

static int server_init(struct troupe_actor *self, void *state, const void *arg)
{
    (void)self;
    *(struct server **)state = (struct server *)(uintptr_t)arg;
    return TROUPE_OK;
}

static int reply_number(struct troupe_actor *self, struct troupe_message *msg)
{
    uint64_t value = *(const uint64_t *)troupe_body(msg) + 1;

    return troupe_reply(self, msg, &answer, &value);
}

static int reply_bytes(struct troupe_actor *self, struct troupe_message *msg)
{
    size_t size = *(const uint64_t *)troupe_body(msg);
    struct troupe_message *reply;

    TROUPE_TRY(troupe_message_create(troupe_runtime_of(self), &bytes, size, &reply));
    memset(troupe_body(reply), 7, size);
    return troupe_reply_message(self, msg, reply);
}

static int wait_and_reply(
    struct troupe_actor *self, struct server *server, struct troupe_message *msg)
{
    latch_hit(server->entered);
    (void)latch_wait(server->gate, 1);
    return reply_number(self, msg);
}

static int serve(struct troupe_actor *self, struct server *server, struct troupe_message *msg)
{
    switch (atomic_load(&server->manner)) {
    case ANSWERS:
        return reply_number(self, msg);
    case ANSWERS_BYTES:
        return reply_bytes(self, msg);
    case ANSWERS_NOTHING:
        return troupe_reply(self, msg, &none, NULL);
    case ANSWERS_ERROR:
        return troupe_reply_error(self, msg, -77);
    case IGNORES:
        return TROUPE_OK;
    case FAILS:
        return -5;
    case HOLDS:
        return troupe_take(self, msg, &server->held);
    case PASSES_ON:
        return troupe_forward(self, server->next, msg);
    case WAITS:
        return wait_and_reply(self, server, msg);
    }
    return TROUPE_EINVAL;
}

static int server_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct server *server = *(struct server **)state;
    int status;

    if (stage_is_job(self, msg, &status)) {
        return status;
    }
    server->left_ms = troupe_deadline(self);
    server->asker = troupe_sender(msg);
    server->handled++;
    return serve(self, server, msg);
}

static const struct troupe_behaviour server_behaviour = {
    .name = "server",
    .state_size = sizeof(struct server *),
    .init = server_init,
    .receive = server_receive,
    .capacity = STAGE_ROOM,
};

static const struct troupe_behaviour narrow_behaviour = {.name = "narrow server",
    .state_size = sizeof(struct server *),
    .init = server_init,
    .receive = server_receive,
    .capacity = 1};

struct scene {
    struct stage stage;
    struct server server;
    troupe_pid asked;
    struct latch entered, gate;
};

static void scene_open(struct scene *scene, enum manner manner)
{
    static const struct latch latch = LATCH_INIT;

    memset(scene, 0, sizeof *scene);
    stage_open(&scene->stage, 2);
    scene->entered = latch;
    scene->gate = latch;
    scene->server.entered = &scene->entered;
    scene->server.gate = &scene->gate;
    scene->server.manner = manner;
    scene->asked = stage_spawn(&scene->stage, &server_behaviour, &scene->server);
}

static int call(struct scene *scene, int timeout_ms, uint64_t *out_value)
{
    uint64_t body = 41;

    return troupe_runtime_call(
        scene->stage.runtime, scene->asked, &ask, &body, &answer, out_value, timeout_ms);
}

/* ---- outcomes ---- */

Test(foreign, a_call_brings_the_answer, .timeout = 60)
{
    struct scene scene;
    uint64_t value = 0;

    scene_open(&scene, ANSWERS);
    cr_assert_eq(call(&scene, TROUPE_FOREVER, &value), TROUPE_OK);
    cr_assert_eq(value, 42);
    cr_assert_eq(scene.server.asker, TROUPE_NOBODY);
    cr_assert_eq(scene.server.left_ms, TROUPE_FOREVER);
    cr_assert_eq(call(&scene, 60000, &value), TROUPE_OK);
    cr_assert(scene.server.left_ms > 0 && scene.server.left_ms <= 60001);
    stage_close(&scene.stage);
}

Test(foreign, answers_of_every_size_become_the_callers, .timeout = 60)
{
    static const uint64_t sizes[] = {0, 1, 32, 48, 49, 1000, 4016, 4017, 100000};
    struct scene scene;

    scene_open(&scene, ANSWERS_BYTES);
    for (size_t i = 0; i < TROUPE_COUNT(sizes); i++) {
        struct troupe_message *reply = NULL;

        cr_assert_eq(troupe_runtime_call_message(
                         scene.stage.runtime, scene.asked, &ask, &sizes[i], 60000, &reply),
            TROUPE_OK);
        cr_assert(troupe_is(reply, &bytes));
        cr_assert_eq(troupe_body_size(reply), sizes[i]);
        cr_assert_eq(troupe_sender(reply), scene.asked);
        cr_assert_not(troupe_is_request(reply));
        for (size_t at = 0; at < sizes[i]; at++) {
            cr_assert_eq(((unsigned char *)troupe_body(reply))[at], 7);
        }
        /* It can be sent on. */
        if (i % 2 == 0) {
            atomic_store(&scene.server.manner, IGNORES);
            cr_assert_eq(troupe_try_send(scene.stage.runtime, scene.asked, reply), TROUPE_OK);
            STAGE_AWAIT(&scene.stage, stage_books(&scene.stage).queued == 0);
            atomic_store(&scene.server.manner, ANSWERS_BYTES);
        } else {
            troupe_message_destroy(reply);
        }
    }
    stage_close(&scene.stage);
}

Test(foreign, each_way_not_to_answer_has_its_status, .timeout = 60)
{
    static const struct {
        enum manner manner;
        int status;
    } ways[] = {
        {ANSWERS_NOTHING, TROUPE_EPROTO},
        {ANSWERS_ERROR, -77},
        {IGNORES, TROUPE_EUNANSWERED},
        {FAILS, TROUPE_EDIED},
    };

    for (size_t i = 0; i < TROUPE_COUNT(ways); i++) {
        struct scene scene;
        uint64_t value = 5;

        scene_open(&scene, ways[i].manner);
        cr_assert_eq(call(&scene, i % 2 ? 60000 : TROUPE_FOREVER, &value), ways[i].status);
        cr_assert_eq(value, 5);
        stage_close(&scene.stage);
    }
}

Test(foreign, a_call_to_nobody_is_refused_at_once, .timeout = 60)
{
    struct scene scene;
    uint64_t value;

    scene_open(&scene, ANSWERS);
    scene.asked = TROUPE_NOBODY;
    cr_assert_eq(call(&scene, TROUPE_FOREVER, &value), TROUPE_EGONE);
    stage_close(&scene.stage);
}

static int drop_held(struct troupe_actor *self, void *arg)
{
    struct server *server = arg;
    int error = reply_number(self, server->held);

    troupe_message_destroy(server->held);
    return error;
}

Test(foreign, one_that_has_it_too_long_is_timed_out_and_its_answer_late, .timeout = 60)
{
    struct scene scene;
    uint64_t value = 5;
    uint64_t begin_ns;
    int status;

    scene_open(&scene, HOLDS);
    do {
        begin_ns = troupe_now_ns(scene.stage.runtime);
        status = call(&scene, 20, &value);
    } while (status == TROUPE_EEXPIRED); /* nobody had the time to hear it */
    cr_assert_eq(status, TROUPE_ETIMEDOUT);
    cr_assert_geq(troupe_now_ns(scene.stage.runtime) - begin_ns, 20000000);
    cr_assert_eq(stage_do(&scene.stage, scene.asked, drop_held, &scene.server), TROUPE_OK);
    cr_assert_eq(stage_books(&scene.stage).late, 1);
    cr_assert_eq(value, 5);
    stage_close(&scene.stage);
}

struct caller {
    struct scene *scene;
    int timeout_ms;
    int result;
    uint64_t value;
};

static const char *call_in_thread(void *arg, unsigned index)
{
    struct caller *caller = (struct caller *)arg + index;

    caller->result = call(caller->scene, caller->timeout_ms, &caller->value);
    return NULL;
}

static void *caller_main(void *arg)
{
    (void)call_in_thread(arg, 0);
    return NULL;
}

/* Has the server wait in a handler, on behalf of a thread of its own. */
static pthread_t occupy(struct scene *scene, struct caller *caller)
{
    pthread_t thread;

    *caller = (struct caller){.scene = scene, .timeout_ms = TROUPE_FOREVER};
    cr_assert_eq(pthread_create(&thread, NULL, caller_main, caller), 0);
    cr_assert(latch_wait(&scene->entered, 1));
    return thread;
}

Test(foreign, one_that_did_not_come_to_it_never_will, .timeout = 60)
{
    struct scene scene;
    struct caller first;
    pthread_t thread;
    uint64_t value = 5;

    scene_open(&scene, WAITS);
    thread = occupy(&scene, &first);
    cr_assert_eq(call(&scene, 20, &value), TROUPE_EEXPIRED);
    latch_hit(&scene.gate);
    cr_assert_eq(pthread_join(thread, NULL), 0);
    cr_assert_eq(first.result, TROUPE_OK);
    cr_assert_eq(first.value, 42);
    STAGE_AWAIT(&scene.stage, stage_books(&scene.stage).skipped == 1);
    cr_assert_eq(scene.server.handled, 1);
    stage_close(&scene.stage);
}

Test(foreign, the_time_counts_for_room_as_well, .timeout = 60)
{
    struct scene scene;
    struct caller first;
    pthread_t thread;
    uint64_t value = 5;

    scene_open(&scene, WAITS);
    scene.asked = stage_spawn(&scene.stage, &narrow_behaviour, &scene.server);
    thread = occupy(&scene, &first);
    /* The one being handled takes all the room there is. */
    cr_assert_eq(call(&scene, 20, &value), TROUPE_EFULL);
    latch_hit(&scene.gate);
    cr_assert_eq(pthread_join(thread, NULL), 0);
    cr_assert_eq(scene.server.handled, 1);
    latch_hit(&scene.gate);
    cr_assert_eq(call(&scene, 60000, &value), TROUPE_OK, "there is room again");
    stage_close(&scene.stage);
}

static int end(struct troupe_actor *self, void *arg)
{
    (void)self;
    (void)arg;
    return TROUPE_DONE;
}

Test(foreign, it_waits_for_room_and_is_answered, .timeout = 60)
{
    struct scene scene;
    struct caller callers[9];

    scene_open(&scene, ANSWERS);
    scene.asked = stage_spawn(&scene.stage, &narrow_behaviour, &scene.server);
    for (int i = 0; i < 9; i++) {
        callers[i] = (struct caller){.scene = &scene, .timeout_ms = 60000};
    }
    cr_assert_null(team_run(9, call_in_thread, callers));
    for (int i = 0; i < 9; i++) {
        cr_assert_eq(callers[i].result, TROUPE_OK);
        cr_assert_eq(callers[i].value, 42);
    }
    stage_close(&scene.stage);
}

Test(foreign, a_request_passed_on_is_answered_to_the_thread, .timeout = 60)
{
    struct scene scene;
    struct server last = {.manner = ANSWERS};
    uint64_t value = 0;

    scene_open(&scene, PASSES_ON);
    scene.server.next = stage_spawn(&scene.stage, &server_behaviour, &last);
    cr_assert_eq(call(&scene, 60000, &value), TROUPE_OK);
    cr_assert_eq(value, 42);
    cr_assert(last.left_ms > 0);
    cr_assert_eq(stage_do(&scene.stage, scene.server.next, end, NULL), TROUPE_DONE);
    STAGE_AWAIT(&scene.stage, !troupe_is_alive(scene.stage.runtime, scene.server.next));
    cr_assert_lt(call(&scene, 60000, &value), 0, "nobody is left to answer");
    stage_close(&scene.stage);
}

Test(foreign, a_stop_answers_all_that_wait, .timeout = 60)
{
    struct scene scene;
    struct caller caller;
    pthread_t thread;

    scene_open(&scene, HOLDS);
    caller = (struct caller){.scene = &scene, .timeout_ms = TROUPE_FOREVER};
    cr_assert_eq(pthread_create(&thread, NULL, caller_main, &caller), 0);
    STAGE_AWAIT(&scene.stage, scene.server.handled > 0);
    cr_assert_eq(troupe_runtime_stop(scene.stage.runtime, 10000), TROUPE_OK);
    cr_assert_eq(pthread_join(thread, NULL), 0);
    cr_assert_eq(caller.result, TROUPE_EDIED);
    stage_close(&scene.stage);
}

/* ---- who may not wait ---- */

static int call_in_handler(struct troupe_actor *self, void *arg)
{
    uint64_t body = 1;

    return troupe_runtime_call(
        troupe_runtime_of(self), *(troupe_pid *)arg, &ask, &body, &answer, &body, 10);
}

Test(foreign, a_handler_never_waits_not_even_for_itself, .timeout = 60)
{
    struct scene scene;
    troupe_pid puppet;
    struct stage_end ended;

    scene_open(&scene, ANSWERS);
    puppet = stage_spawn(&scene.stage, &stage_puppet, NULL);
    stage_watch(&scene.stage, puppet, &ended);
    cr_assert_eq(stage_do(&scene.stage, puppet, call_in_handler, &puppet), TROUPE_EINVAL);
    cr_assert_eq(scene.server.handled, 0);
    stage_close(&scene.stage);
}

/* ---- without memory ---- */

Test(foreign, a_call_without_memory_leaves_nothing, .timeout = 60)
{
    static struct hoard hoard;
    struct scene scene;
    uint64_t value = 5;
    unsigned refused = 0;

    scene_open(&scene, ANSWERS);
    hoard.memory = &scene.stage.memory;
    hoard_fill(&hoard, scene.stage.runtime);
    for (int i = 0; i < 1000; i++) {
        int result = call(&scene, 60000, &value);

        refused += result == TROUPE_ENOMEM;
        cr_assert(result == TROUPE_OK || result == TROUPE_ENOMEM || result == TROUPE_EDIED ||
                  result == TROUPE_EGONE);
    }
    cr_assert_gt(refused, 0);
    hoard_empty(&hoard);
    stage_close(&scene.stage);
}

/* ---- trap 9: an answer exactly at the deadline ---- */

#define THREADS 3
#define ROUNDS 1500

struct race {
    struct scene scene;
    struct test_random random[THREADS];
    _Atomic unsigned answered, timed_out, expired, other;
};

static int serve_race(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct server *server = *(struct server **)state;
    uint64_t until_ns = *(const uint64_t *)troupe_body(msg);

    server->handled++;
    while (troupe_now_ns(troupe_runtime_of(self)) < until_ns) {
    }
    return troupe_reply(self, msg, &answer, &until_ns);
}

static const struct troupe_behaviour racer = {
    .name = "racer",
    .state_size = sizeof(struct server *),
    .init = server_init,
    .receive = serve_race,
    .capacity = STAGE_ROOM,
};

/* Asks to be answered just when the time is over, or a little before or after it. */
static const char *race_member(void *arg, unsigned index)
{
    struct race *race = arg;
    struct troupe_runtime *runtime = race->scene.stage.runtime;

    for (unsigned i = 0; i < ROUNDS; i++) {
        uint64_t until_ns = (troupe_now_ns(runtime) / 1000000U + 2) * 1000000U - 20000 +
                            test_below(&race->random[index], 40000);
        uint64_t value = 0;
        int status =
            troupe_runtime_call(runtime, race->scene.asked, &ask, &until_ns, &answer, &value, 1);

        race->answered += status == TROUPE_OK;
        race->timed_out += status == TROUPE_ETIMEDOUT;
        race->expired += status == TROUPE_EEXPIRED;
        race->other +=
            status != TROUPE_OK && status != TROUPE_ETIMEDOUT && status != TROUPE_EEXPIRED;
        if ((status == TROUPE_OK) != (value == until_ns)) {
            return "an answer to another question";
        }
    }
    return NULL;
}

Test(foreign, an_answer_at_the_deadline_is_one_outcome, .timeout = 120)
{
    static struct race race;
    uint64_t seed = test_seed("an_answer_at_the_deadline_is_one_outcome");

    scene_open(&race.scene, ANSWERS);
    race.scene.asked = stage_spawn(&race.scene.stage, &racer, &race.scene.server);
    for (unsigned i = 0; i < THREADS; i++) {
        race.random[i] = test_random_of(seed + i);
    }
    cr_assert_null(team_run(THREADS, race_member, &race));
    fprintf(stderr, "answered %u timed out %u expired %u late %llu\n", race.answered,
        race.timed_out, race.expired, (unsigned long long)stage_books(&race.scene.stage).late);
    cr_assert_eq(race.other, 0);
    STAGE_AWAIT(&race.scene.stage, stage_books(&race.scene.stage).queued == 0);
    cr_assert_eq(race.scene.server.handled, THREADS * ROUNDS - race.expired);
    stage_close(&race.scene.stage);
}
