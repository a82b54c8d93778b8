/* SPDX-License-Identifier: MIT */
/* Deadline: who waits until when, what is not handled for want of time, and the duty to answer that goes on. */
#include "test/support/clock.h"
#include "test/support/random.h"
#include "test/support/stage.h"

#include <troupe/call.h>
#include <troupe/fiber.h>
#include <troupe/supervisor.h>

#include "core.h"

static const struct troupe_type ask = TROUPE_TYPE(uint64_t);
static const struct troupe_type answer = TROUPE_TYPE(uint64_t);
static const struct troupe_type other = TROUPE_TYPE(uint32_t);

/* ---- one that is asked ---- */

struct server;
typedef int (*serve_fn)(
    struct troupe_actor *self, struct server *server, struct troupe_message *msg);

struct server {
    serve_fn serve;
    troupe_pid next; /* whom it asks in turn */
    _Atomic unsigned handled;
    int left_ms; /* troupe_deadline() of the request handled last */
    int later_ms, latest_ms;
    bool awaited, still_awaited;
    const struct troupe_type *type;
    troupe_pid asker;
    struct troupe_message *held;
    struct troupe_request_options options; /* of what it asks */
    int result;
    unsigned outcomes;
    int status;
    bool stops;
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
    server->left_ms = troupe_deadline(self);
    server->awaited = troupe_is_awaited(msg);
    server->type = troupe_message_type(msg);
    server->asker = troupe_sender(msg);
    server->handled++;
    return server->serve(self, server, msg);
}

static const struct troupe_behaviour server_behaviour = {
    .name = "server",
    .state_size = sizeof(struct server *),
    .init = server_init,
    .receive = server_receive,
    .capacity = STAGE_ROOM,
};

static int serve_answer(
    struct troupe_actor *self, struct server *server, struct troupe_message *msg)
{
    (void)server;
    return troupe_reply(self, msg, &answer, &(uint64_t){7});
}

static int serve_hold(struct troupe_actor *self, struct server *server, struct troupe_message *msg)
{
    return troupe_take(self, msg, &server->held);
}

/* ---- one that asks ---- */

struct outcome {
    _Atomic unsigned count;
    int status;
    uint64_t value;
    troupe_pid sender;
};

static int note_outcome(
    struct troupe_actor *self, void *state, void *context, int status, struct troupe_message *reply)
{
    struct outcome *outcome = context;

    (void)self;
    (void)state;
    outcome->status = status;
    outcome->value = reply != NULL ? *(const uint64_t *)troupe_body(reply) : 0;
    outcome->sender = troupe_sender(reply);
    outcome->count++;
    return TROUPE_OK;
}

struct question {
    troupe_pid to;
    struct troupe_request_options options;
    uint64_t
        first_ms; /* so much time passes before it is looked at: a message of its own, in front of it */
    bool ends; /* the asker ends at once */
    struct outcome outcome;
    int result;
};

static int let_pass(struct troupe_actor *self, void *arg)
{
    (void)self;
    clock_skip_ms(*(const uint64_t *)arg);
    return TROUPE_OK;
}

static int put(struct troupe_actor *self, void *arg)
{
    struct question *question = arg;

    if (question->first_ms > 0) {
        struct stage_job job = {.run = let_pass, .arg = &question->first_ms};

        TROUPE_TRY(troupe_send(self, question->to, &stage_job, &job));
    }
    question->result = troupe_request_with(self, question->to, &ask, &(uint64_t){41},
        &question->options, note_outcome, &question->outcome);
    return question->ends ? TROUPE_DONE : TROUPE_OK;
}

/* A stage with one who asks and one who is asked. */
struct scene {
    struct stage stage;
    struct server server, next;
    troupe_pid asker, asked, last;
};

static void scene_open(struct scene *scene, serve_fn serve)
{
    memset(scene, 0, sizeof *scene);
    stage_open(&scene->stage, TROUPE_NO_THREADS);
    scene->server.serve = serve;
    scene->next.serve = serve_answer;
    scene->last = stage_spawn(&scene->stage, &server_behaviour, &scene->next);
    scene->server.next = scene->last;
    scene->asked = stage_spawn(&scene->stage, &server_behaviour, &scene->server);
    scene->asker = stage_spawn(&scene->stage, &stage_puppet, NULL);
    stage_run(&scene->stage);
}

static void ask_in(struct scene *scene, struct question *question)
{
    question->to = scene->asked;
    stage_tell(&scene->stage, scene->asker, put, question);
    stage_run(&scene->stage);
}

/* ---- out of time in the queue ---- */

Test(deadline, a_request_whose_time_passed_in_the_queue_is_not_handled, .timeout = 60)
{
    struct scene scene;
    struct question question = {.options = {.timeout_ms = 20}, .first_ms = 50};

    scene_open(&scene, serve_answer);
    ask_in(&scene, &question);
    cr_assert_eq(question.result, TROUPE_OK);
    cr_assert_eq(question.outcome.count, 1);
    cr_assert_eq(question.outcome.status, TROUPE_EEXPIRED, "%d", question.outcome.status);
    cr_assert_eq(scene.server.handled, 0);
    cr_assert_eq(stage_books(&scene.stage).skipped, 1);
    stage_close(&scene.stage);
    cr_assert_eq(question.outcome.count, 1);
}

struct gatekeeper {
    struct latch *entered, *released;
};

static int wait_at_gate(struct troupe_actor *self, void *arg)
{
    const struct gatekeeper *gate = arg;

    (void)self;
    latch_hit(gate->entered);
    cr_assert(latch_wait(gate->released, 1));
    return TROUPE_OK;
}

/* The asker gives up first, on another worker, while the one asked is busy: it was promised that nothing happens. */
Test(deadline, a_request_that_was_given_up_is_skipped_by_a_busy_actor, .timeout = 60)
{
    struct stage stage;
    struct latch entered = LATCH_INIT;
    struct latch released = LATCH_INIT;
    struct gatekeeper gate = {&entered, &released};
    struct server server = {.serve = serve_answer};
    struct question question = {.options = {.timeout_ms = 5}};
    troupe_pid asker;

    stage_open(&stage, 2);
    question.to = stage_spawn(&stage, &server_behaviour, &server);
    asker = stage_spawn(&stage, &stage_puppet, NULL);
    stage_tell(&stage, question.to, wait_at_gate, &gate);
    cr_assert(latch_wait(&entered, 1));
    cr_assert_eq(stage_do(&stage, asker, put, &question), TROUPE_OK);
    STAGE_AWAIT(&stage, question.outcome.count > 0);
    cr_assert_eq(question.outcome.status, TROUPE_EEXPIRED);
    latch_hit(&released);
    STAGE_AWAIT(&stage, stage_books(&stage).skipped > 0);
    cr_assert_eq(server.handled, 0);
    cr_assert_eq(stage_books(&stage).late, 0, "nobody was told of what nobody waits for");
    stage_close(&stage);
    cr_assert_eq(question.outcome.count, 1);
}

Test(deadline, a_request_not_to_be_skipped_is_handled_late_and_timed_out, .timeout = 60)
{
    struct scene scene;
    struct question question = {
        .options = {.timeout_ms = 20, .skip = TROUPE_SKIP_NONE}, .first_ms = 50};

    scene_open(&scene, serve_answer);
    ask_in(&scene, &question);
    STAGE_AWAIT(&scene.stage, question.outcome.count > 0);
    cr_assert_eq(scene.server.handled, 1);
    /* The answer came before the asker saw its time-out, or after it: one of the two. */
    cr_assert(question.outcome.status == TROUPE_OK || question.outcome.status == TROUPE_ETIMEDOUT);
    stage_close(&scene.stage);
    cr_assert_eq(question.outcome.count, 1);
}

Test(deadline, a_request_that_was_begun_times_out_as_such, .timeout = 60)
{
    struct scene scene;
    struct question question = {.options = {.timeout_ms = 20000}};

    scene_open(&scene, serve_hold);
    ask_in(&scene, &question);
    cr_assert_eq(scene.server.handled, 1);
    cr_assert(troupe_is_awaited(scene.server.held));
    clock_skip_ms(50000);
    STAGE_AWAIT(&scene.stage, question.outcome.count > 0);
    cr_assert_eq(question.outcome.status, TROUPE_ETIMEDOUT);
    cr_assert(troupe_is_request(scene.server.held));
    cr_assert_not(troupe_is_awaited(scene.server.held));
    stage_close(&scene.stage);
}

static int pass_on_late(
    struct troupe_actor *self, struct server *server, struct troupe_message *msg)
{
    struct stage_job job = {.run = let_pass, .arg = &(uint64_t){0}};
    static uint64_t long_ms = 400;

    job.arg = &long_ms;
    TROUPE_TRY(troupe_send(self, server->next, &stage_job, &job));
    return troupe_forward(self, server->next, msg);
}

/* Whoever passed it on had it, so it is no EEXPIRED; but the next one does not begin. */
Test(deadline, a_request_passed_on_too_late_is_not_handled_and_timed_out, .timeout = 60)
{
    struct scene scene;
    struct question question = {.options = {.timeout_ms = 300}};

    scene_open(&scene, pass_on_late);
    ask_in(&scene, &question);
    STAGE_AWAIT(&scene.stage, question.outcome.count > 0);
    cr_assert_eq(scene.server.handled, 1);
    cr_assert_eq(scene.next.handled, 0);
    cr_assert_eq(question.outcome.status, TROUPE_ETIMEDOUT, "%d", question.outcome.status);
    cr_assert_eq(stage_books(&scene.stage).skipped, 1);
    stage_close(&scene.stage);
}

static void check_orphan(enum troupe_skip skip, uint64_t first_ms, unsigned handled)
{
    struct scene scene;
    struct question question = {
        .options = {.timeout_ms = 20, .skip = skip}, .first_ms = first_ms, .ends = true};

    scene_open(&scene, serve_answer);
    ask_in(&scene, &question);
    cr_assert_eq(question.result, TROUPE_OK);
    cr_assert_eq(scene.server.handled, handled, "skip %d: %u", (int)skip, scene.server.handled);
    cr_assert_not(scene.server.awaited);
    cr_assert_eq(question.outcome.count, 0);
    cr_assert_eq(stage_books(&scene.stage).skipped, 1 - handled);
    stage_close(&scene.stage);
}

Test(deadline, what_one_asked_that_ended_is_handled_unless_it_said_otherwise, .timeout = 60)
{
    check_orphan(TROUPE_SKIP_EXPIRED, 0, 1);
    check_orphan(TROUPE_SKIP_NONE, 0, 1);
    check_orphan(TROUPE_SKIP_ORPHANED, 0, 0);
    check_orphan(TROUPE_SKIP_EXPIRED, 50, 0);
    check_orphan(TROUPE_SKIP_NONE, 50, 1);
    check_orphan(TROUPE_SKIP_ORPHANED, 50, 0);
}

#define SKIPPED_MANY 500

static int put_many(struct troupe_actor *self, void *arg)
{
    struct question *questions = arg;

    for (int i = 0; i < SKIPPED_MANY; i++) {
        TROUPE_TRY(put(self, &questions[i]));
    }
    return TROUPE_OK;
}

Test(deadline, many_that_are_skipped_do_not_make_a_slice_longer, .timeout = 60)
{
    static struct question questions[SKIPPED_MANY];
    struct scene scene;
    uint64_t before;

    scene_open(&scene, serve_answer);
    for (int i = 0; i < SKIPPED_MANY; i++) {
        questions[i] = (struct question){.to = scene.asked, .options = {.timeout_ms = 20}};
    }
    questions[0].first_ms = 50;
    before = stage_books(&scene.stage).slices;
    cr_assert_eq(stage_do(&scene.stage, scene.asker, put_many, questions), TROUPE_OK);
    cr_assert_eq(scene.server.handled, 0);
    cr_assert_eq(stage_books(&scene.stage).skipped, SKIPPED_MANY);
    cr_assert_geq(stage_books(&scene.stage).slices - before, SKIPPED_MANY / 64,
        "slices end as if they had been handled");
    stage_close(&scene.stage);
}

/* ---- what is left goes to whoever is asked in turn ---- */

static int note_nested(
    struct troupe_actor *self, void *state, void *context, int status, struct troupe_message *reply)
{
    struct server *server = context;

    (void)state;
    (void)reply;
    server->outcomes++;
    server->status = status;
    server->latest_ms = troupe_deadline(self);
    return TROUPE_OK;
}

static int ask_next(struct troupe_actor *self, struct server *server)
{
    return troupe_request_with(
        self, server->next, &ask, &(uint64_t){1}, &server->options, note_nested, server);
}

static int serve_by_asking(
    struct troupe_actor *self, struct server *server, struct troupe_message *msg)
{
    TROUPE_TRY(troupe_take(self, msg, &server->held));
    server->later_ms = troupe_deadline(self);
    server->result = ask_next(self, server);
    return TROUPE_OK;
}

Test(deadline, nested_requests_have_what_is_left, .timeout = 60)
{
    struct scene scene;
    struct question question = {.options = {.timeout_ms = 1000}};

    scene_open(&scene, serve_by_asking);
    scene.server.options.timeout_ms = TROUPE_FOREVER;
    ask_in(&scene, &question);
    cr_assert_eq(scene.server.result, TROUPE_OK);
    cr_assert(scene.server.left_ms > 0 && scene.server.left_ms <= 1001);
    cr_assert(scene.server.later_ms > 0 && scene.server.later_ms <= 1001, "also when it was taken");
    cr_assert(scene.next.left_ms > 0 && scene.next.left_ms <= 1001, "%d", scene.next.left_ms);
    cr_assert(scene.server.latest_ms > 0 && scene.server.latest_ms <= 1001,
        "also in the continuation: %d", scene.server.latest_ms);
    stage_close(&scene.stage);
}

Test(deadline, a_shorter_time_of_ones_own_counts_and_ends_with_it, .timeout = 60)
{
    struct scene scene;
    struct question question = {.options = {.timeout_ms = 1000000}};

    scene_open(&scene, serve_by_asking);
    scene.server.options.timeout_ms = 100000;
    ask_in(&scene, &question);
    cr_assert(scene.next.left_ms > 0 && scene.next.left_ms <= 100001, "%d", scene.next.left_ms);
    cr_assert(scene.server.latest_ms > 100001 && scene.server.latest_ms <= 1000001,
        "what is left for whoever asked first: %d", scene.server.latest_ms);
    stage_close(&scene.stage);
}

Test(deadline, the_time_out_of_a_nested_request_has_what_is_left_too, .timeout = 60)
{
    struct scene scene;
    struct question question = {.options = {.timeout_ms = 1000000}};

    scene_open(&scene, serve_by_asking);
    scene.next.serve = serve_hold;
    scene.server.options.timeout_ms = 100000;
    ask_in(&scene, &question);
    clock_skip_ms(200000);
    STAGE_AWAIT(&scene.stage, scene.server.outcomes > 0);
    cr_assert_eq(scene.server.status, TROUPE_ETIMEDOUT);
    cr_assert(scene.server.latest_ms > 100001 && scene.server.latest_ms <= 1000001);
    stage_close(&scene.stage);
}

Test(deadline, a_detached_request_has_its_own_time, .timeout = 60)
{
    struct scene scene;
    struct question question = {.options = {.timeout_ms = 1000}};

    scene_open(&scene, serve_by_asking);
    scene.server.options.timeout_ms = TROUPE_FOREVER;
    scene.server.options.detached = true;
    ask_in(&scene, &question);
    cr_assert_eq(scene.next.left_ms, TROUPE_FOREVER);
    cr_assert_eq(scene.server.latest_ms, TROUPE_FOREVER);
    stage_close(&scene.stage);
}

static int serve_too_slowly(
    struct troupe_actor *self, struct server *server, struct troupe_message *msg)
{
    clock_skip_ms(50000);
    server->later_ms = troupe_deadline(self);
    server->still_awaited = troupe_is_awaited(msg);
    server->result = ask_next(self, server);
    return TROUPE_OK;
}

Test(deadline, who_has_no_time_left_asks_nobody, .timeout = 60)
{
    struct scene scene;
    struct question question = {.options = {.timeout_ms = 20000}};

    scene_open(&scene, serve_too_slowly);
    ask_in(&scene, &question);
    cr_assert_eq(scene.server.later_ms, 0);
    cr_assert_eq(scene.server.result, TROUPE_ETIMEDOUT);
    cr_assert_eq(scene.next.handled, 0);
    cr_assert_eq(scene.server.outcomes, 0);
    stage_close(&scene.stage);
}

static int serve_then_ask(
    struct troupe_actor *self, struct server *server, struct troupe_message *msg)
{
    struct troupe_message *request = msg;

    if (server->stops) {
        TROUPE_TRY(troupe_take(self, msg, &request));
    }
    TROUPE_TRY(troupe_reply(self, request, &answer, &(uint64_t){7}));
    server->later_ms = troupe_deadline(self);
    server->result = ask_next(self, server);
    if (server->stops) {
        troupe_message_destroy(request);
    }
    return TROUPE_OK;
}

Test(deadline, after_the_answer_there_is_no_deadline, .timeout = 60)
{
    for (int takes = 0; takes < 2; takes++) {
        struct scene scene;
        struct question question = {.options = {.timeout_ms = 1000}};

        scene_open(&scene, serve_then_ask);
        scene.server.stops = takes;
        scene.server.options.timeout_ms = TROUPE_FOREVER;
        ask_in(&scene, &question);
        cr_assert_eq(question.outcome.value, 7);
        cr_assert_eq(scene.server.later_ms, TROUPE_FOREVER);
        cr_assert_eq(scene.next.left_ms, TROUPE_FOREVER);
        stage_close(&scene.stage);
    }
}

static int note_deadline(struct troupe_actor *self, void *arg)
{
    *(int *)arg = troupe_deadline(self);
    return TROUPE_OK;
}

Test(deadline, outside_of_a_request_there_is_none, .timeout = 60)
{
    struct scene scene;
    struct question question = {.options = {.timeout_ms = TROUPE_FOREVER}};
    int left_ms = 5;

    scene_open(&scene, serve_answer);
    cr_assert_eq(stage_do(&scene.stage, scene.asker, note_deadline, &left_ms), TROUPE_OK);
    cr_assert_eq(left_ms, TROUPE_FOREVER);
    cr_assert_eq(troupe_deadline(NULL), TROUPE_FOREVER);
    cr_assert_not(troupe_is_awaited(NULL));
    ask_in(&scene, &question);
    cr_assert_eq(scene.server.left_ms, TROUPE_FOREVER);
    cr_assert(scene.server.awaited);
    stage_close(&scene.stage);
}

Test(deadline, options_have_defaults, .timeout = 60)
{
    struct scene scene;
    struct question question = {.options = {0}};

    scene_open(&scene, serve_answer);
    ask_in(&scene, &question);
    cr_assert_eq(question.outcome.status, TROUPE_OK);
    cr_assert(scene.server.left_ms > TROUPE_REQUEST_TIMEOUT_DEFAULT_MS / 2 &&
              scene.server.left_ms <= TROUPE_REQUEST_TIMEOUT_DEFAULT_MS + 1);
    stage_close(&scene.stage);
}

/* ---- between two lives ---- */

static int fail(struct troupe_actor *self, void *arg)
{
    (void)self;
    (void)arg;
    return -1;
}

static troupe_pid spawn_lasting(struct scene *scene)
{
    const void *arg = &scene->server;
    struct trp_spawn spawn = {.behaviour = &server_behaviour, .arg = arg, .keep_mailbox = true};
    struct troupe_actor *actor;
    struct trp_visit visit;

    cr_assert_eq(trp_context_enter(scene->stage.runtime, &visit), TROUPE_OK);
    cr_assert_eq(trp_actor_spawn(visit.context, &spawn, &actor), TROUPE_OK);
    trp_actor_launch(visit.context, actor);
    trp_context_leave(&visit);
    return trp_actor_pid(actor);
}

static void begin_next_life(struct scene *scene, bool restart)
{
    struct trp_visit visit;

    cr_assert_eq(trp_context_enter(scene->stage.runtime, &visit), TROUPE_OK);
    cr_assert_eq(restart ? trp_actor_restart(visit.context, scene->asked)
                         : trp_actor_release(visit.context, scene->asked),
        TROUPE_OK);
    trp_context_leave(&visit);
    stage_run(&scene->stage);
}

Test(deadline, between_two_lives_a_request_waits_or_is_refused_as_it_asked, .timeout = 60)
{
    struct scene scene;
    struct question waits = {.options = {.timeout_ms = TROUPE_FOREVER}};
    struct question in_vain = {.options = {.timeout_ms = 20}};
    struct question refused = {.options = {.no_wait = true}};

    scene_open(&scene, serve_answer);
    scene.asked = spawn_lasting(&scene);
    stage_run(&scene.stage);
    ask_in(&scene, &refused);
    cr_assert_eq(refused.outcome.status, TROUPE_OK, "it lives");
    stage_tell(&scene.stage, scene.asked, fail, NULL);
    stage_run(&scene.stage);
    ask_in(&scene, &waits);
    ask_in(&scene, &in_vain);
    ask_in(&scene, &refused);
    cr_assert_eq(refused.result, TROUPE_ERESTARTING);
    cr_assert_eq(refused.outcome.count, 1, "that of before");
    clock_skip_ms(50);
    STAGE_AWAIT(&scene.stage, in_vain.outcome.count > 0);
    cr_assert_eq(in_vain.outcome.status, TROUPE_ERESTARTING, "%d", in_vain.outcome.status);
    cr_assert_eq(waits.outcome.count, 0);
    begin_next_life(&scene, true);
    cr_assert_eq(waits.outcome.status, TROUPE_OK);
    cr_assert_eq(scene.server.handled, 2, "the first, and the one that waited");
    cr_assert_eq(stage_books(&scene.stage).skipped, 1);
    stage_tell(&scene.stage, scene.asked, fail, NULL);
    stage_run(&scene.stage);
    begin_next_life(&scene, false);
    stage_close(&scene.stage);
}

Test(deadline, who_gave_up_what_was_not_handled_gets_no_late_answer, .timeout = 60)
{
    struct scene scene;
    struct question in_vain = {.options = {.timeout_ms = 20}};

    scene_open(&scene, serve_answer);
    scene.asked = spawn_lasting(&scene);
    stage_tell(&scene.stage, scene.asked, fail, NULL);
    stage_run(&scene.stage);
    ask_in(&scene, &in_vain);
    clock_skip_ms(50);
    STAGE_AWAIT(&scene.stage, in_vain.outcome.count > 0);
    begin_next_life(&scene, false);
    cr_assert_eq(stage_books(&scene.stage).bounced, 1);
    cr_assert_eq(stage_books(&scene.stage).late, 0);
    stage_close(&scene.stage);
    cr_assert_eq(in_vain.outcome.count, 1);
}

/* It was asked with a time of a millisecond, and was not heard when that was over. */
Test(deadline, what_is_asked_of_a_supervisor_without_waiting_is_done, .timeout = 60)
{
    static const struct troupe_child_spec child = {.id = "one", .behaviour = &stage_puppet};
    static const struct troupe_supervisor_spec spec = {.children = &child, .child_count = 1};
    struct troupe_child_answer child_is = {.state = TROUPE_CHILD_RUNNING};
    struct stage stage;
    troupe_pid supervisor;
    int status;

    stage_open_with(
        &stage, &(struct troupe_runtime_options){.workers = 1, .watchdog_ms = TROUPE_NO_WATCHDOG});
    cr_assert_eq(
        troupe_supervisor_start(stage.runtime, &spec, TROUPE_FOREVER, &supervisor), TROUPE_OK);
    clock_stride_ns = 5000000;
    status = troupe_runtime_child(
        stage.runtime, supervisor, TROUPE_CHILD_TERMINATE, "one", NULL, 0, NULL);
    /* It may be quicker than our look. */
    cr_assert(status == TROUPE_ETIMEDOUT || status == TROUPE_OK, "%d", status);
    while (child_is.state != TROUPE_CHILD_STOPPED) {
        cr_assert_eq(troupe_runtime_child(stage.runtime, supervisor, TROUPE_CHILD_WHICH, "one",
                         NULL, TROUPE_FOREVER, &child_is),
            TROUPE_OK);
    }
    clock_stride_ns = 0;
    stage_close(&stage);
}

/* ---- handlers that wait ---- */

static int serve_by_calling(
    struct troupe_actor *self, struct server *server, struct troupe_message *msg)
{
    uint64_t value = 0;

    server->result =
        troupe_call(self, server->next, &ask, &(uint64_t){1}, &answer, &value, TROUPE_FOREVER);
    server->later_ms = troupe_deadline(self);
    return troupe_reply(self, msg, &answer, &value);
}

static const struct troupe_behaviour waiting_server = {.name = "waiting server",
    .state_size = sizeof(struct server *),
    .init = server_init,
    .receive = server_receive,
    .may_wait = true};

Test(deadline, a_call_that_waits_has_what_is_left_and_no_more, .timeout = 60)
{
    for (int holds = 0; holds < 2; holds++) {
        struct scene scene;
        struct question question = {.options = {.timeout_ms = 1000}};

        scene_open(&scene, serve_by_calling);
        scene.asked = stage_spawn(&scene.stage, &waiting_server, &scene.server);
        scene.next.serve = holds ? serve_hold : serve_answer;
        ask_in(&scene, &question);
        cr_assert(scene.next.left_ms > 0 && scene.next.left_ms <= 1001, "%d", scene.next.left_ms);
        if (holds) {
            clock_skip_ms(2000);
        }
        STAGE_AWAIT(&scene.stage, question.outcome.count > 0);
        cr_assert_eq(question.outcome.status, holds ? TROUPE_ETIMEDOUT : TROUPE_OK);
        stage_run(&scene.stage);
        cr_assert_eq(scene.server.result, holds ? TROUPE_ETIMEDOUT : TROUPE_OK);
        stage_close(&scene.stage);
    }
}

/* ---- the duty to answer goes on ---- */

static int serve_by_delegating(
    struct troupe_actor *self, struct server *server, struct troupe_message *msg)
{
    struct troupe_message *request = msg;

    if (server->stops) {
        TROUPE_TRY(troupe_take(self, msg, &request));
    }
    server->result = troupe_delegate(self, server->next, request, &other, &(uint32_t){9});
    server->still_awaited = troupe_is_request(request);
    if (server->result < 0) {
        TROUPE_TRY(troupe_reply_error(self, request, server->result));
    }
    if (server->stops) {
        troupe_message_destroy(request);
    }
    return TROUPE_OK;
}

Test(deadline, a_delegated_request_has_another_body_the_same_asker_and_its_time, .timeout = 60)
{
    for (int takes = 0; takes < 2; takes++) {
        struct scene scene;
        struct question question = {.options = {.timeout_ms = 1000}};

        scene_open(&scene, serve_by_delegating);
        scene.server.stops = takes;
        ask_in(&scene, &question);
        cr_assert_eq(scene.server.result, TROUPE_OK);
        cr_assert_not(scene.server.still_awaited, "it is spent here");
        cr_assert_eq(scene.next.type, &other);
        cr_assert_eq(scene.next.asker, scene.asker);
        cr_assert(scene.next.left_ms > 0 && scene.next.left_ms <= 1001);
        cr_assert_eq(question.outcome.count, 1);
        cr_assert_eq(question.outcome.value, 7);
        cr_assert_eq(question.outcome.sender, scene.last);
        stage_close(&scene.stage);
    }
}

Test(deadline, a_delegation_that_is_refused_leaves_the_request, .timeout = 60)
{
    for (int takes = 0; takes < 2; takes++) {
        struct scene scene;
        struct question question = {.options = {.timeout_ms = 1000}};

        scene_open(&scene, serve_by_delegating);
        scene.server.stops = takes;
        scene.server.next = TROUPE_NOBODY;
        ask_in(&scene, &question);
        cr_assert_eq(scene.server.result, TROUPE_EGONE);
        cr_assert(scene.server.still_awaited);
        cr_assert_eq(question.outcome.count, 1);
        cr_assert_eq(question.outcome.status, TROUPE_EGONE, "what it answered");
        stage_close(&scene.stage);
    }
}

static int serve_by_delegating_message(
    struct troupe_actor *self, struct server *server, struct troupe_message *msg)
{
    struct troupe_message *sent;

    TROUPE_TRY(troupe_message_create(troupe_runtime_of(self), &other, 0, &sent));
    *(uint32_t *)troupe_body(sent) = 9;
    server->result = troupe_delegate_message(self, server->next, msg, sent);
    if (server->result < 0) {
        cr_assert_not(troupe_is_request(sent), "it is a plain message, and ours");
        troupe_message_destroy(sent);
    }
    return TROUPE_OK;
}

Test(deadline, a_message_takes_the_place_of_a_request_or_stays_the_callers, .timeout = 60)
{
    for (int gone = 0; gone < 2; gone++) {
        struct scene scene;
        struct question question = {.options = {.timeout_ms = 1000}};

        scene_open(&scene, serve_by_delegating_message);
        scene.server.next = gone ? TROUPE_NOBODY : scene.last;
        ask_in(&scene, &question);
        cr_assert_eq(scene.server.result, gone ? TROUPE_EGONE : TROUPE_OK);
        cr_assert_eq(scene.next.handled, !gone);
        cr_assert_eq(question.outcome.status, gone ? TROUPE_EUNANSWERED : TROUPE_OK);
        stage_close(&scene.stage);
    }
}

/* 5.3: taken by one, given to a second, taken there, and answered by a third, later. */
static int take_and_give(
    struct troupe_actor *self, struct server *server, struct troupe_message *msg)
{
    struct troupe_message *taken;

    TROUPE_TRY(troupe_take(self, msg, &taken));
    server->result = troupe_send_message(self, server->next, taken);
    return server->result;
}

static int give_held(struct troupe_actor *self, void *arg)
{
    struct server *server = arg;

    return troupe_send_message(self, server->next, server->held);
}

Test(deadline, a_request_is_answered_by_whoever_it_was_given_to_last, .timeout = 60)
{
    struct scene scene;
    struct server third = {.serve = serve_answer};
    struct question question = {.options = {.timeout_ms = 1000}};

    scene_open(&scene, take_and_give);
    scene.next.serve = serve_hold;
    scene.next.next = stage_spawn(&scene.stage, &server_behaviour, &third);
    ask_in(&scene, &question);
    cr_assert_eq(question.outcome.count, 0);
    cr_assert_eq(stage_do(&scene.stage, scene.last, give_held, &scene.next), TROUPE_OK);
    cr_assert_eq(question.outcome.count, 1);
    cr_assert_eq(question.outcome.value, 7);
    cr_assert_eq(question.outcome.sender, scene.next.next);
    cr_assert_eq(third.asker, scene.asker);
    cr_assert(third.left_ms > 0 && third.left_ms <= 1001);
    stage_close(&scene.stage);
}

/* ---- trap 9: an answer exactly at the deadline ---- */

#define ROUNDS 1500

static const struct troupe_type stay_awake = TROUPE_SIGNAL;

struct race {
    troupe_pid to;
    struct test_random random;
    unsigned rounds;
    unsigned answered, timed_out, expired, other, doubled;
    bool open;
    _Atomic bool over;
    _Atomic unsigned handled;
};

static int race_outcome(struct troupe_actor *self, void *state, void *context, int status,
    struct troupe_message *reply);

/* The answer is to come up to 50 us before the time is over, or 200 us after it: its worker looks at its timers now and
 * then. */
static int race_ask(struct troupe_actor *self, struct race *race)
{
    uint64_t until_ns = (troupe_now_ns(troupe_runtime_of(self)) / 1000000U + 2) * 1000000U - 50000 +
                        test_below(&race->random, 250000);

    race->open = true;
    return troupe_request(self, race->to, &ask, &until_ns, 1, race_outcome, race);
}

static int race_outcome(
    struct troupe_actor *self, void *state, void *context, int status, struct troupe_message *reply)
{
    struct race *race = context;

    (void)state;
    race->doubled += !race->open;
    race->open = false;
    race->answered += status == TROUPE_OK && reply != NULL;
    race->timed_out += status == TROUPE_ETIMEDOUT;
    race->expired += status == TROUPE_EEXPIRED;
    race->other += status != TROUPE_OK && status != TROUPE_ETIMEDOUT && status != TROUPE_EEXPIRED;
    if (++race->rounds == ROUNDS) {
        race->over = true;
        return TROUPE_OK;
    }
    return race_ask(self, race);
}

/* Neither side rests, so that each has a worker, and time-outs fire when they are due. */
static int go_on(struct troupe_actor *self, const struct race *race)
{
    return race->over ? TROUPE_OK : troupe_send(self, troupe_self(self), &stay_awake, NULL);
}

static int racer_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct race *race = *(struct race **)state;

    if (!troupe_is(msg, &stay_awake)) {
        return TROUPE_EUNKNOWN;
    }
    if (race->rounds == 0 && !race->open) {
        TROUPE_TRY(race_ask(self, race));
    }
    return go_on(self, race);
}

static const struct troupe_behaviour racer = {
    .name = "racer",
    .state_size = sizeof(struct race *),
    .init = server_init,
    .receive = racer_receive,
    .capacity = STAGE_ROOM,
};

static int opponent_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct race *race = *(struct race **)state;
    uint64_t until_ns;

    if (troupe_is(msg, &stay_awake)) {
        return go_on(self, race);
    }
    race->handled++;
    until_ns = *(const uint64_t *)troupe_body(msg);
    while (troupe_now_ns(troupe_runtime_of(self)) < until_ns) {
    }
    return troupe_reply(self, msg, &answer, &until_ns);
}

static const struct troupe_behaviour opponent = {
    .name = "opponent",
    .state_size = sizeof(struct race *),
    .init = server_init,
    .receive = opponent_receive,
    .capacity = STAGE_ROOM,
};

Test(deadline, an_answer_at_the_deadline_is_one_outcome_and_no_stray_message, .timeout = 120)
{
    struct stage stage;
    static struct race race;
    struct troupe_books books;

    stage_open(&stage, 2);
    race.random =
        test_random_of(test_seed("an_answer_at_the_deadline_is_one_outcome_and_no_stray_message"));
    race.to = stage_spawn(&stage, &opponent, &race);
    stage_send(&stage, race.to, &stay_awake, NULL);
    stage_send(&stage, stage_spawn(&stage, &racer, &race), &stay_awake, NULL);
    STAGE_AWAIT(&stage, race.over);
    cr_assert_eq(race.doubled, 0);
    cr_assert_eq(race.other, 0);
    cr_assert_eq(race.answered + race.timed_out + race.expired, ROUNDS);
    STAGE_AWAIT(&stage, stage_books(&stage).queued == 0);
    books = stage_books(&stage);
    fprintf(stderr, "answered %u timed out %u expired %u late %llu\n", race.answered,
        race.timed_out, race.expired, (unsigned long long)books.late);
    cr_assert_eq(race.handled, ROUNDS - race.expired, "what expired was not handled");
    cr_assert_eq(books.unknown, 0, "no stray message came to the asker");
    stage_close(&stage);
}
