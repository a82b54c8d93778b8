/* SPDX-License-Identifier: MIT */
/* Call: each request has exactly one outcome, whatever becomes of the one that asks and the one that is asked. */
#include "test/support/clock.h"
#include "test/support/hoard.h"
#include "test/support/random.h"
#include "test/support/stage.h"

#include <troupe/call.h>

struct cargo {
    uint64_t value;
    _Atomic unsigned *destroyed;
};

static void cargo_destroy(void *body)
{
    const struct cargo *cargo = body;

    (*cargo->destroyed)++;
}

static const struct troupe_type ask = TROUPE_TYPE(uint64_t);
static const struct troupe_type answer = TROUPE_TYPE(uint64_t);
static const struct troupe_type ask_cargo = TROUPE_TYPE_DESTROY(struct cargo, cargo_destroy);
static const struct troupe_type ask_nothing = TROUPE_SIGNAL;
static const struct troupe_type bytes = TROUPE_BYTES;

/* ---- one that is asked ---- */

enum manner {
    ANSWERS,       /* with the number asked, plus one */
    ANSWERS_ERROR, /* -77 */
    IGNORES,
    DOES_NOT_KNOW,
    FAILS,
    IS_DONE,
    LEAVES, /* by troupe_exit() */
    HOLDS,
    PASSES_ON, /* to `next` */
    TAKES_AND_PASSES_ON,
    TAKES_AND_DROPS,
};

#define HELD_MAX 16

struct oracle {
    _Atomic enum manner manner;
    troupe_pid next;
    unsigned asked;
    troupe_pid asker;
    struct troupe_message *held[HELD_MAX];
    unsigned held_count;
    int result; /* of the last call */
};

static int oracle_init(struct troupe_actor *self, void *state, const void *arg)
{
    (void)self;
    *(struct oracle **)state = (struct oracle *)(uintptr_t)arg;
    return TROUPE_OK;
}

static int hold(struct troupe_actor *self, struct oracle *oracle, struct troupe_message *msg)
{
    cr_assert_lt(oracle->held_count, HELD_MAX);
    oracle->result = troupe_take(self, msg, &oracle->held[oracle->held_count]);
    oracle->held_count += oracle->result == TROUPE_OK;
    return TROUPE_OK;
}

static int answer_plus_one(struct troupe_actor *self, struct troupe_message *request)
{
    uint64_t value = troupe_body_size(request) >= 8 ? *(const uint64_t *)troupe_body(request) : 0;

    value++;
    return troupe_reply(self, request, &answer, &value);
}

static int oracle_answer(
    struct troupe_actor *self, struct oracle *oracle, struct troupe_message *msg)
{
    switch (atomic_load(&oracle->manner)) {
    case ANSWERS:
        oracle->result = answer_plus_one(self, msg);
        return TROUPE_OK;
    case ANSWERS_ERROR:
        oracle->result = troupe_reply_error(self, msg, -77);
        return TROUPE_OK;
    case IGNORES:
        return TROUPE_OK;
    case DOES_NOT_KNOW:
        return TROUPE_EUNKNOWN;
    case FAILS:
        return -5;
    case IS_DONE:
        return TROUPE_DONE;
    case LEAVES:
        troupe_exit(self, TROUPE_EXIT_SHUTDOWN);
    case HOLDS:
        return hold(self, oracle, msg);
    case PASSES_ON:
        oracle->result = troupe_forward(self, oracle->next, msg);
        return TROUPE_OK;
    case TAKES_AND_PASSES_ON:
        (void)hold(self, oracle, msg);
        cr_assert_gt(oracle->held_count, 0);
        oracle->result =
            troupe_send_message(self, oracle->next, oracle->held[--oracle->held_count]);
        return TROUPE_OK;
    case TAKES_AND_DROPS:
        (void)hold(self, oracle, msg);
        cr_assert_gt(oracle->held_count, 0);
        troupe_message_destroy(oracle->held[--oracle->held_count]);
        return TROUPE_OK;
    }
    return TROUPE_EINVAL;
}

static int oracle_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct oracle *oracle = *(struct oracle **)state;
    int status;

    if (stage_is_job(self, msg, &status)) {
        return status;
    }
    oracle->asked++;
    oracle->asker = troupe_sender(msg);
    return oracle_answer(self, oracle, msg);
}

static const struct troupe_behaviour oracle_behaviour = {
    .name = "oracle",
    .state_size = sizeof(struct oracle *),
    .init = oracle_init,
    .receive = oracle_receive,
};

/* Two messages, and no body of more than a few lines. */
/* For what is asked in advance. */
static const struct troupe_behaviour roomy_oracle = {
    .name = "oracle",
    .state_size = sizeof(struct oracle *),
    .init = oracle_init,
    .receive = oracle_receive,
    .capacity = STAGE_ROOM,
};

static const struct troupe_behaviour small_oracle = {
    .name = "small oracle",
    .state_size = sizeof(struct oracle *),
    .init = oracle_init,
    .receive = oracle_receive,
    .margin = TROUPE_NO_MARGIN,
    .capacity = 2,
    .capacity_bytes = 1024,
};

/* ---- one that asks ---- */

struct outcome {
    _Atomic unsigned count;
    int status;
    bool has_reply;
    uint64_t value;
    troupe_pid sender;
    int returns; /* what the continuation returns */
};

static int note_outcome(
    struct troupe_actor *self, void *state, void *context, int status, struct troupe_message *reply)
{
    struct outcome *outcome = context;

    (void)self;
    (void)state;
    outcome->status = status;
    outcome->has_reply = reply != NULL;
    outcome->sender = troupe_sender(reply);
    outcome->value = troupe_is(reply, &answer) ? *(const uint64_t *)troupe_body(reply) : 0;
    outcome->count++;
    return outcome->returns;
}

struct question {
    troupe_pid to;
    const struct troupe_type *type;
    const void *body;
    int timeout_ms;
    enum troupe_skip skip;
    struct outcome outcome;
    int result; /* of troupe_request_with() */
};

static int put_question(struct troupe_actor *self, void *arg)
{
    struct question *question = arg;

    struct troupe_request_options options = {
        .timeout_ms = question->timeout_ms, .skip = question->skip};

    question->result = troupe_request_with(self, question->to, question->type, question->body,
        &options, note_outcome, &question->outcome);
    return TROUPE_OK;
}

static const uint64_t forty_one = 41;

static struct question question_to(troupe_pid to, int timeout_ms)
{
    return (struct question){
        .to = to, .type = &ask, .body = &forty_one, .timeout_ms = timeout_ms, .result = 1};
}

/* A stage with an oracle and one who asks it. */
struct scene {
    struct stage stage;
    struct oracle oracle;
    troupe_pid asked;
    troupe_pid asker;
};

static void scene_open(struct scene *scene, enum manner manner)
{
    memset(&scene->oracle, 0, sizeof scene->oracle);
    stage_open(&scene->stage, TROUPE_NO_THREADS);
    scene->oracle.manner = manner;
    scene->asked = stage_spawn(&scene->stage, &oracle_behaviour, &scene->oracle);
    scene->asker = stage_spawn(&scene->stage, &stage_puppet, NULL);
    stage_run(&scene->stage);
}

static void put(struct scene *scene, struct question *question)
{
    (void)stage_do(&scene->stage, scene->asker, put_question, question);
}

/* ---- each outcome ---- */

Test(call, an_answer_comes_to_its_continuation_once, .timeout = 60)
{
    struct scene scene;
    struct question question;

    scene_open(&scene, ANSWERS);
    question = question_to(scene.asked, TROUPE_FOREVER);
    put(&scene, &question);
    cr_assert_eq(question.result, TROUPE_OK);
    cr_assert_eq(question.outcome.count, 1);
    cr_assert_eq(question.outcome.status, TROUPE_OK);
    cr_assert_eq(question.outcome.value, 42);
    cr_assert_eq(question.outcome.sender, scene.asked);
    cr_assert_eq(scene.oracle.asker, scene.asker);
    stage_close(&scene.stage);
    cr_assert_eq(question.outcome.count, 1);
}

Test(call, each_way_not_to_answer_has_its_status, .timeout = 60)
{
    static const struct {
        enum manner manner;
        int status;
    } ways[] = {
        {ANSWERS_ERROR, -77},
        {IGNORES, TROUPE_EUNANSWERED},
        {DOES_NOT_KNOW, TROUPE_EUNANSWERED},
        {TAKES_AND_DROPS, TROUPE_EUNANSWERED},
        {FAILS, TROUPE_EDIED},
        {IS_DONE, TROUPE_EDIED},
        {LEAVES, TROUPE_EDIED},
    };

    for (size_t i = 0; i < TROUPE_COUNT(ways); i++) {
        for (int timed = 0; timed < 2; timed++) {
            struct scene scene;
            struct question question;

            scene_open(&scene, ways[i].manner);
            question = question_to(scene.asked, timed ? 60000 : TROUPE_FOREVER);
            put(&scene, &question);
            cr_assert_eq(question.outcome.count, 1, "way %zu", i);
            cr_assert_eq(
                question.outcome.status, ways[i].status, "way %zu: %d", i, question.outcome.status);
            cr_assert_not(question.outcome.has_reply);
            stage_close(&scene.stage);
            cr_assert_eq(question.outcome.count, 1);
        }
    }
}

static int be_done(struct troupe_actor *self, void *arg)
{
    (void)self;
    (void)arg;
    return TROUPE_DONE;
}

Test(call, requests_queued_and_held_die_with_the_one_asked, .timeout = 60)
{
    struct scene scene;
    struct question held[3];
    struct question queued[3];

    scene_open(&scene, HOLDS);
    for (int i = 0; i < 3; i++) {
        held[i] = question_to(scene.asked, i == 0 ? TROUPE_FOREVER : 60000);
        queued[i] = question_to(scene.asked, i == 0 ? TROUPE_FOREVER : 60000);
        put(&scene, &held[i]);
        cr_assert_eq(held[i].outcome.count, 0);
    }
    for (int i = 0; i < 3; i++) {
        stage_tell(&scene.stage, scene.asker, put_question, &queued[i]);
    }
    /* It ends before it comes to the questions: the asker, in the LIFO slot, or not, runs before that. */
    cr_assert_eq(
        troupe_runtime_exit(scene.stage.runtime, scene.asked, TROUPE_EXIT_SHUTDOWN), TROUPE_OK);
    stage_run(&scene.stage);
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(held[i].outcome.count, 1);
        cr_assert_eq(held[i].outcome.status, TROUPE_EDIED);
        cr_assert(queued[i].result == TROUPE_EGONE || queued[i].outcome.status == TROUPE_EDIED);
        cr_assert_eq(queued[i].outcome.count, queued[i].result == TROUPE_OK);
    }
    stage_close(&scene.stage);
}

/* The oracle's job stands in its queue before the questions, and ends it. */
static int ask_three_of_a_doomed(struct troupe_actor *self, void *arg)
{
    struct question *questions = arg;
    struct stage_job job = {.run = be_done};

    TROUPE_TRY(troupe_send(self, questions[0].to, &stage_job, &job));
    for (int i = 0; i < 3; i++) {
        TROUPE_TRY(put_question(self, &questions[i]));
    }
    return TROUPE_OK;
}

Test(call, a_request_queued_when_the_actor_ends_is_bounced_as_died, .timeout = 60)
{
    struct scene scene;
    struct question questions[3];

    scene_open(&scene, ANSWERS);
    scene.asked = stage_spawn(&scene.stage, &roomy_oracle, &scene.oracle);
    for (int i = 0; i < 3; i++) {
        questions[i] = question_to(scene.asked, 60000);
    }
    cr_assert_eq(stage_do(&scene.stage, scene.asker, ask_three_of_a_doomed, questions), TROUPE_OK);
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(questions[i].result, TROUPE_OK);
        cr_assert_eq(questions[i].outcome.count, 1);
        cr_assert_eq(questions[i].outcome.status, TROUPE_EDIED);
    }
    cr_assert_eq(scene.oracle.asked, 0);
    cr_assert_eq(stage_books(&scene.stage).bounced, 3);
    stage_close(&scene.stage);
}

/* ---- answers that come later ---- */

static int answer_held(struct troupe_actor *self, void *arg)
{
    struct oracle *oracle = arg;
    struct troupe_message *request;

    cr_assert_gt(oracle->held_count, 0);
    request = oracle->held[--oracle->held_count];
    cr_assert(troupe_is_request(request));
    oracle->result = answer_plus_one(self, request);
    cr_assert_not(troupe_is_request(request));
    troupe_message_destroy(request);
    return TROUPE_OK;
}

static int drop_held(struct troupe_actor *self, void *arg)
{
    struct oracle *oracle = arg;

    (void)self;
    cr_assert_gt(oracle->held_count, 0);
    troupe_message_destroy(oracle->held[--oracle->held_count]);
    return TROUPE_OK;
}

Test(call, a_request_that_is_held_can_be_answered_later, .timeout = 60)
{
    struct scene scene;
    struct question question;

    scene_open(&scene, HOLDS);
    question = question_to(scene.asked, 60000);
    put(&scene, &question);
    cr_assert_eq(question.outcome.count, 0);
    (void)stage_do(&scene.stage, scene.asked, answer_held, &scene.oracle);
    cr_assert_eq(scene.oracle.result, TROUPE_OK);
    cr_assert_eq(question.outcome.count, 1);
    cr_assert_eq(question.outcome.value, 42);
    stage_close(&scene.stage);
}

Test(call, a_request_that_is_held_and_dropped_is_unanswered, .timeout = 60)
{
    struct scene scene;
    struct question question;

    scene_open(&scene, HOLDS);
    question = question_to(scene.asked, TROUPE_FOREVER);
    put(&scene, &question);
    (void)stage_do(&scene.stage, scene.asked, drop_held, &scene.oracle);
    cr_assert_eq(question.outcome.count, 1);
    cr_assert_eq(question.outcome.status, TROUPE_EUNANSWERED);
    stage_close(&scene.stage);
}

Test(call, a_request_dropped_by_another_thread_is_unanswered, .timeout = 60)
{
    struct scene scene;
    struct question question;

    scene_open(&scene, HOLDS);
    question = question_to(scene.asked, TROUPE_FOREVER);
    put(&scene, &question);
    /* No handler runs: this thread may end what the oracle keeps. */
    troupe_message_destroy(scene.oracle.held[0]);
    stage_run(&scene.stage);
    cr_assert_eq(question.outcome.count, 1);
    cr_assert_eq(question.outcome.status, TROUPE_EUNANSWERED);
    stage_close(&scene.stage);
}

Test(call, a_request_times_out_never_early_and_its_late_answer_is_counted, .timeout = 60)
{
    struct scene scene;
    struct question question;
    uint64_t begin_ns;

    scene_open(&scene, HOLDS);
    question = question_to(scene.asked, 30);
    question.skip = TROUPE_SKIP_NONE;
    begin_ns = troupe_now_ns(scene.stage.runtime);
    put(&scene, &question);
    STAGE_AWAIT(&scene.stage, question.outcome.count > 0);
    cr_assert_geq(troupe_now_ns(scene.stage.runtime) - begin_ns, 30000000);
    cr_assert_eq(question.outcome.status, TROUPE_ETIMEDOUT);
    cr_assert_not(question.outcome.has_reply);
    (void)stage_do(&scene.stage, scene.asked, answer_held, &scene.oracle);
    cr_assert_eq(scene.oracle.result, TROUPE_OK, "nobody waits any more, which is no error");
    cr_assert_eq(question.outcome.count, 1);
    cr_assert_eq(stage_books(&scene.stage).late, 1);
    cr_assert_eq(stage_books(&scene.stage).dead, 1);
    stage_close(&scene.stage);
}

Test(call, a_request_that_timed_out_can_still_be_dropped_and_held_to_the_end, .timeout = 60)
{
    struct scene scene;
    struct question questions[2];

    scene_open(&scene, HOLDS);
    for (int i = 0; i < 2; i++) {
        questions[i] = question_to(scene.asked, 1);
        questions[i].skip = TROUPE_SKIP_NONE;
        put(&scene, &questions[i]);
    }
    STAGE_AWAIT(&scene.stage, questions[0].outcome.count > 0 && questions[1].outcome.count > 0);
    (void)stage_do(&scene.stage, scene.asked, drop_held, &scene.oracle);
    stage_close(&scene.stage);
    cr_assert_eq(questions[0].outcome.count, 1);
    cr_assert_eq(questions[1].outcome.count, 1);
}

/* ---- who may answer, and how often ---- */

struct attempts {
    int first, second, third, of_plain;
    bool before, after;
};

static int try_answers(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct attempts *attempts = *(struct attempts **)state;

    if (!troupe_is_request(msg)) {
        attempts->of_plain = answer_plus_one(self, msg);
        return TROUPE_OK;
    }
    attempts->before = troupe_is_request(msg);
    attempts->first = answer_plus_one(self, msg);
    attempts->after = troupe_is_request(msg);
    attempts->second = answer_plus_one(self, msg);
    attempts->third = troupe_reply_error(self, msg, -1);
    return TROUPE_OK;
}

static const struct troupe_behaviour eager = {
    .name = "eager", .state_size = sizeof(void *), .init = oracle_init, .receive = try_answers};

Test(call, a_request_is_answered_once_and_a_plain_message_never, .timeout = 60)
{
    struct stage stage;
    struct attempts attempts = {0};
    struct question question;
    troupe_pid asker;

    stage_open(&stage, TROUPE_NO_THREADS);
    question = question_to(stage_spawn(&stage, &eager, &attempts), 60000);
    asker = stage_spawn(&stage, &stage_puppet, NULL);
    (void)stage_do(&stage, asker, put_question, &question);
    cr_assert(attempts.before);
    cr_assert_not(attempts.after);
    cr_assert_eq(attempts.first, TROUPE_OK);
    cr_assert_eq(attempts.second, TROUPE_EINVAL);
    cr_assert_eq(attempts.third, TROUPE_EINVAL);
    cr_assert_eq(question.outcome.count, 1);
    stage_send(&stage, question.to, &ask, &forty_one);
    stage_run(&stage);
    cr_assert_eq(attempts.of_plain, TROUPE_EINVAL);
    cr_assert_not(troupe_is_request(NULL));
    stage_close(&stage);
}

static int reply_with_message(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    size_t size = *(const size_t *)*(void **)state;
    struct troupe_message *reply;

    TROUPE_TRY(troupe_message_create(troupe_runtime_of(self), &bytes, size, &reply));
    memset(troupe_body(reply), 7, size);
    return troupe_reply_message(self, msg, reply);
}

static const struct troupe_behaviour mover = {.name = "mover",
    .state_size = sizeof(void *),
    .init = oracle_init,
    .receive = reply_with_message};

struct sized_answer {
    size_t size;
    unsigned count;
    bool intact;
    struct troupe_message *kept;
    int take_result;
};

static int keep_answer(
    struct troupe_actor *self, void *state, void *context, int status, struct troupe_message *reply)
{
    struct sized_answer *sized = context;
    const unsigned char *body = troupe_body(reply);

    (void)state;
    sized->count++;
    sized->intact = status == TROUPE_OK && troupe_body_size(reply) == sized->size;
    for (size_t i = 0; sized->intact && i < sized->size; i++) {
        sized->intact = body[i] == 7;
    }
    sized->take_result = troupe_take(self, reply, &sized->kept);
    return TROUPE_OK;
}

struct sized_question {
    troupe_pid to;
    struct sized_answer *sized;
};

static int ask_message_of_size(struct troupe_actor *self, void *arg)
{
    struct sized_question *question = arg;
    struct troupe_message *msg;

    TROUPE_TRY(troupe_message_create(troupe_runtime_of(self), &bytes, question->sized->size, &msg));
    memset(troupe_body(msg), 7, question->sized->size);
    return troupe_request_message(self, question->to, msg, 60000, keep_answer, question->sized);
}

Test(call, questions_and_answers_of_every_size_move, .timeout = 60)
{
    static const size_t sizes[] = {
        0, 1, 31, 32, 33, 64, 65, 128, 1000, 4016, 4017, 4032, 4033, 4096, 5000, 100000};

    for (size_t i = 0; i < TROUPE_COUNT(sizes); i++) {
        struct stage stage;
        size_t size = sizes[i];
        struct sized_answer sized = {.size = size};
        struct sized_question question = {.sized = &sized};
        troupe_pid asker;

        stage_open(&stage, TROUPE_NO_THREADS);
        question.to = stage_spawn(&stage, &mover, &size);
        asker = stage_spawn(&stage, &stage_puppet, NULL);
        cr_assert_eq(stage_do(&stage, asker, ask_message_of_size, &question), TROUPE_OK);
        cr_assert_eq(sized.count, 1);
        cr_assert(sized.intact, "%zu bytes", size);
        cr_assert_eq(sized.take_result, TROUPE_OK, "an answer can be kept");
        cr_assert_eq(troupe_body_size(sized.kept), size);
        cr_assert_not(troupe_is_request(sized.kept));
        troupe_message_destroy(sized.kept);
        stage_close(&stage);
    }
}

/* ---- requests that go on ---- */

static void check_passing_on(enum manner manner)
{
    struct scene scene;
    struct oracle last = {.manner = ANSWERS};
    struct question question;

    scene_open(&scene, manner);
    scene.oracle.next = stage_spawn(&scene.stage, &oracle_behaviour, &last);
    question = question_to(scene.asked, 60000);
    put(&scene, &question);
    cr_assert_eq(scene.oracle.result, TROUPE_OK);
    cr_assert_eq(last.asker, scene.asker, "it still names who asked");
    cr_assert_eq(question.outcome.count, 1);
    cr_assert_eq(question.outcome.value, 42);
    cr_assert_eq(question.outcome.sender, scene.oracle.next);
    /* Where it went to died with it. */
    last.manner = HOLDS;
    question = question_to(scene.asked, TROUPE_FOREVER);
    put(&scene, &question);
    cr_assert_eq(question.outcome.count, 0);
    (void)stage_do(&scene.stage, scene.oracle.next, be_done, NULL);
    cr_assert_eq(question.outcome.count, 1);
    cr_assert_eq(question.outcome.status, TROUPE_EDIED);
    stage_close(&scene.stage);
}

Test(call, a_forwarded_request_is_answered_to_whoever_asked, .timeout = 60)
{
    check_passing_on(PASSES_ON);
}

Test(call, a_request_taken_and_sent_on_is_answered_to_whoever_asked, .timeout = 60)
{
    check_passing_on(TAKES_AND_PASSES_ON);
}

Test(call, a_request_whose_forwarding_is_refused_ends_with_its_handler, .timeout = 60)
{
    struct scene scene;
    struct question question;

    scene_open(&scene, PASSES_ON);
    question = question_to(scene.asked, TROUPE_FOREVER);
    put(&scene, &question);
    cr_assert_eq(scene.oracle.result, TROUPE_EGONE);
    cr_assert_eq(question.outcome.count, 1);
    cr_assert_eq(question.outcome.status, TROUPE_EUNANSWERED);
    stage_close(&scene.stage);
}

Test(call, a_held_request_whose_sending_is_refused_can_still_be_answered, .timeout = 60)
{
    struct scene scene;
    struct question question;

    scene_open(&scene, TAKES_AND_PASSES_ON);
    question = question_to(scene.asked, TROUPE_FOREVER);
    put(&scene, &question);
    cr_assert_eq(scene.oracle.result, TROUPE_EGONE);
    cr_assert_eq(question.outcome.count, 0);
    scene.oracle.held_count++;
    (void)stage_do(&scene.stage, scene.asked, answer_held, &scene.oracle);
    cr_assert_eq(question.outcome.count, 1);
    cr_assert_eq(question.outcome.value, 42);
    stage_close(&scene.stage);
}

/* ---- requests that are refused ---- */

Test(call, a_request_that_is_refused_has_no_outcome_and_leaves_nothing, .timeout = 60)
{
    struct scene scene;
    _Atomic unsigned destroyed = 0;
    struct cargo body = {1, &destroyed};
    struct question question;

    scene_open(&scene, ANSWERS);
    question = question_to(TROUPE_NOBODY, 10);
    question.type = &ask_cargo;
    question.body = &body;
    put(&scene, &question);
    cr_assert_eq(question.result, TROUPE_EGONE);
    cr_assert_eq(destroyed, 0, "what the body refers to is still the caller's");
    question.type = &ask_nothing;
    put(&scene, &question);
    cr_assert_eq(question.result, TROUPE_EINVAL, "a body where the type has none");
    question.type = &ask;
    question.body = NULL;
    put(&scene, &question);
    cr_assert_eq(question.result, TROUPE_EINVAL, "no body where the type has one");
    cr_assert_eq(question.outcome.count, 0);
    stage_close(&scene.stage);
    cr_assert_eq(question.outcome.count, 0);
    cr_assert_eq(destroyed, 0);
}

static int ask_until_full(struct troupe_actor *self, void *arg)
{
    struct question *questions = arg;

    for (int i = 0; i < 3; i++) {
        TROUPE_TRY(put_question(self, &questions[i]));
    }
    return TROUPE_OK;
}

Test(call, a_request_to_a_full_mailbox_is_refused_and_one_too_large_too, .timeout = 60)
{
    struct stage stage;
    struct oracle oracle = {.manner = ANSWERS};
    static const struct troupe_type huge = {"huge", 5000, NULL, false};
    static const char zeros[5000];
    struct question questions[3];
    struct question large;
    troupe_pid asker;
    troupe_pid asked;

    stage_open(&stage, TROUPE_NO_THREADS);
    asked = stage_spawn(&stage, &small_oracle, &oracle);
    asker = stage_spawn(&stage, &stage_puppet, NULL);
    stage_run(&stage);
    for (int i = 0; i < 3; i++) {
        questions[i] = question_to(asked, 60000);
    }
    (void)stage_do(&stage, asker, ask_until_full, questions);
    cr_assert_eq(questions[0].outcome.value, 42);
    cr_assert_eq(questions[1].outcome.value, 42);
    cr_assert_eq(questions[2].result, TROUPE_EFULL);
    cr_assert_eq(questions[2].outcome.count, 0);
    large = question_to(asked, 60000);
    large.type = &huge;
    large.body = zeros;
    (void)stage_do(&stage, asker, put_question, &large);
    cr_assert_eq(large.result, TROUPE_EMSGSIZE);
    stage_close(&stage);
}

struct moved_question {
    troupe_pid to;
    struct troupe_message *msg;
    struct outcome outcome;
    int result;
};

static int put_moved_question(struct troupe_actor *self, void *arg)
{
    struct moved_question *question = arg;

    question->result = troupe_request_message(
        self, question->to, question->msg, 60000, note_outcome, &question->outcome);
    return TROUPE_OK;
}

Test(call, a_message_refused_as_request_is_the_callers_as_before, .timeout = 60)
{
    struct scene scene;
    _Atomic unsigned destroyed = 0;
    struct moved_question question = {0};

    scene_open(&scene, IGNORES);
    question.msg = stage_message(&scene.stage, &ask_cargo, &(struct cargo){3, &destroyed});
    (void)stage_do(&scene.stage, scene.asker, put_moved_question, &question);
    cr_assert_eq(question.result, TROUPE_EGONE);
    cr_assert_eq(question.outcome.count, 0);
    cr_assert_eq(destroyed, 0);
    cr_assert_not(troupe_is_request(question.msg));
    cr_assert_eq(((struct cargo *)troupe_body(question.msg))->value, 3);
    question.to = scene.asked;
    (void)stage_do(&scene.stage, scene.asker, put_moved_question, &question);
    cr_assert_eq(question.result, TROUPE_OK);
    cr_assert_eq(question.outcome.count, 1);
    cr_assert_eq(question.outcome.status, TROUPE_EUNANSWERED);
    cr_assert_eq(destroyed, 1);
    stage_close(&scene.stage);
}

Test(call, pending_requests_are_limited_and_the_limit_recovers, .timeout = 60)
{
    struct scene scene;
    struct question questions[4];

    memset(&scene.oracle, 0, sizeof scene.oracle);
    stage_open_with(&scene.stage, &(struct troupe_runtime_options){
                                      .workers = TROUPE_NO_THREADS, .limits = {.actor_timers = 3}});
    scene.oracle.manner = HOLDS;
    scene.asked = stage_spawn(&scene.stage, &oracle_behaviour, &scene.oracle);
    scene.asker = stage_spawn(&scene.stage, &stage_puppet, NULL);
    for (int i = 0; i < 4; i++) {
        questions[i] = question_to(scene.asked, 60000);
        put(&scene, &questions[i]);
        cr_assert_eq(questions[i].result, i < 3 ? TROUPE_OK : TROUPE_ELIMIT);
    }
    (void)stage_do(&scene.stage, scene.asked, answer_held, &scene.oracle);
    put(&scene, &questions[3]);
    cr_assert_eq(questions[3].result, TROUPE_OK, "one was answered: there is room for one");
    stage_close(&scene.stage);
}

/* ---- the one who asks ends, or decides in its continuation ---- */

Test(call, answers_to_one_that_ended_are_late_and_its_continuations_do_not_run, .timeout = 60)
{
    struct scene scene;
    struct question questions[3];

    scene_open(&scene, HOLDS);
    for (int i = 0; i < 3; i++) {
        questions[i] = question_to(scene.asked, i == 0 ? TROUPE_FOREVER : 20000);
        put(&scene, &questions[i]);
    }
    (void)stage_do(&scene.stage, scene.asker, be_done, NULL);
    (void)stage_do(&scene.stage, scene.asked, answer_held, &scene.oracle);
    (void)stage_do(&scene.stage, scene.asked, drop_held, &scene.oracle);
    cr_assert_eq(stage_books(&scene.stage).late, 2);
    clock_skip_ms(25000);
    stage_run(&scene.stage);
    stage_close(&scene.stage);
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(questions[i].outcome.count, 0);
    }
}

struct late_asker {
    troupe_pid to;
    struct outcome outcome;
    int result;
};

static void ask_in_terminate(
    struct troupe_actor *self, void *state, const struct troupe_reason *reason)
{
    struct late_asker *asker = *(struct late_asker **)state;

    (void)reason;
    asker->result = troupe_request(
        self, asker->to, &ask, &forty_one, TROUPE_FOREVER, note_outcome, &asker->outcome);
}

static const struct troupe_behaviour late_asker = {
    .name = "late asker",
    .state_size = sizeof(void *),
    .init = oracle_init,
    .receive = stage_puppet_receive,
    .terminate = ask_in_terminate,
};

Test(call, a_request_made_in_terminate_is_asked_and_its_answer_is_late, .timeout = 60)
{
    struct scene scene;
    struct late_asker asker = {.result = 1};
    troupe_pid pid;

    scene_open(&scene, ANSWERS);
    asker.to = scene.asked;
    pid = stage_spawn(&scene.stage, &late_asker, &asker);
    stage_tell(&scene.stage, pid, be_done, NULL);
    stage_run(&scene.stage);
    cr_assert_eq(asker.result, TROUPE_OK);
    cr_assert_eq(scene.oracle.asked, 1);
    cr_assert_eq(asker.outcome.count, 0);
    cr_assert_eq(stage_books(&scene.stage).late, 1);
    stage_close(&scene.stage);
}

static void check_continuation(int returns, enum troupe_exit kind, int code, bool ends)
{
    struct scene scene;
    struct question question;
    struct stage_end end;

    scene_open(&scene, ANSWERS);
    stage_watch(&scene.stage, scene.asker, &end);
    question = question_to(scene.asked, 60000);
    question.outcome.returns = returns;
    put(&scene, &question);
    stage_run(&scene.stage);
    cr_assert_eq(question.outcome.count, 1);
    cr_assert_eq(end.count, ends, "returned %d", returns);
    if (ends) {
        cr_assert_eq(end.kind, kind);
        cr_assert_eq(end.code, code);
    }
    cr_assert_eq(troupe_is_alive(scene.stage.runtime, scene.asker), !ends);
    stage_close(&scene.stage);
}

Test(call, what_a_continuation_returns_counts_like_what_a_handler_returns, .timeout = 60)
{
    check_continuation(TROUPE_OK, 0, 0, false);
    check_continuation(TROUPE_EUNKNOWN, 0, 0, false);
    check_continuation(TROUPE_DONE, TROUPE_EXIT_NORMAL, 0, true);
    check_continuation(-1234, TROUPE_EXIT_ERROR, -1234, true);
}

/* Values that the library uses between its own files meant something else when a continuation returned them. */
Test(call, a_positive_value_from_a_continuation_means_to_go_on, .timeout = 60)
{
    for (int value = 2; value < 200; value++) {
        check_continuation(value, 0, 0, false);
    }
}

struct chain {
    troupe_pid to;
    unsigned left;
    unsigned done;
};

static int ask_again(
    struct troupe_actor *self, void *state, void *context, int status, struct troupe_message *reply)
{
    struct chain *chain = context;

    (void)state;
    (void)reply;
    chain->done += status == TROUPE_OK;
    if (chain->left == 0) {
        return TROUPE_OK;
    }
    chain->left--;
    return troupe_request(self, chain->to, &ask, &forty_one, 60000, ask_again, chain);
}

static int begin_chain(struct troupe_actor *self, void *arg)
{
    return ask_again(self, NULL, arg, -1, NULL);
}

Test(call, a_continuation_may_ask_again, .timeout = 60)
{
    struct scene scene;
    struct chain chain = {.left = 1000};

    scene_open(&scene, ANSWERS);
    chain.to = scene.asked;
    (void)stage_do(&scene.stage, scene.asker, begin_chain, &chain);
    cr_assert_eq(chain.done, 1000);
    stage_close(&scene.stage);
}

/* One who asks itself: its own handler answers, and then its continuation runs. */
static int ask_oneself(struct troupe_actor *self, void *arg)
{
    struct question *question = arg;

    question->to = troupe_self(self);
    return put_question(self, question);
}

Test(call, an_actor_may_ask_itself, .timeout = 60)
{
    struct scene scene;
    struct question question;

    scene_open(&scene, ANSWERS);
    scene.asked = stage_spawn(&scene.stage, &roomy_oracle, &scene.oracle);
    question = question_to(TROUPE_NOBODY, TROUPE_FOREVER);
    (void)stage_do(&scene.stage, scene.asked, ask_oneself, &question);
    cr_assert_eq(question.outcome.count, 1);
    cr_assert_eq(question.outcome.value, 42);
    /* And if it ends before it comes to it, nobody is told: the continuation's actor is gone. */
    scene.oracle.manner = FAILS;
    question = question_to(TROUPE_NOBODY, TROUPE_FOREVER);
    (void)stage_do(&scene.stage, scene.asked, ask_oneself, &question);
    cr_assert_eq(question.outcome.count, 0);
    stage_close(&scene.stage);
}

/* ---- order ---- */

struct order_log {
    troupe_pid to;
    unsigned count;
    uint64_t value[8];
};

static int log_reply(
    struct troupe_actor *self, void *state, void *context, int status, struct troupe_message *reply)
{
    struct order_log *log = context;

    (void)self;
    (void)state;
    (void)status;
    log->value[log->count++] = *(const uint64_t *)troupe_body(reply);
    return TROUPE_OK;
}

static int log_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct order_log *log = *(struct order_log **)state;
    int status;

    if (stage_is_job(self, msg, &status)) {
        return status;
    }
    log->value[log->count++] = *(const uint64_t *)troupe_body(msg);
    return TROUPE_OK;
}

static int ask_in_order(struct troupe_actor *self, void *arg)
{
    struct order_log *log = arg;

    return troupe_request(self, log->to, &ask, &(uint64_t){1}, 60000, log_reply, log);
}

/* Sends 10, answers with 2, sends 30. */
static int wrap_answer(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    troupe_pid asker = troupe_sender(msg);

    (void)state;
    TROUPE_TRY(troupe_send(self, asker, &ask, &(uint64_t){10}));
    TROUPE_TRY(answer_plus_one(self, msg));
    return troupe_send(self, asker, &ask, &(uint64_t){30});
}

Test(call, an_answer_keeps_its_place_among_other_messages, .timeout = 60)
{
    struct stage stage;
    struct order_log log = {0};
    static const struct troupe_behaviour wrapper = {.name = "wrapper", .receive = wrap_answer};
    static const struct troupe_behaviour logger = {
        .name = "logger",
        .state_size = sizeof(void *),
        .init = oracle_init,
        .receive = log_receive,
        .capacity = STAGE_ROOM,
    };

    stage_open(&stage, TROUPE_NO_THREADS);
    log.to = stage_spawn(&stage, &wrapper, NULL);
    (void)stage_do(&stage, stage_spawn(&stage, &logger, &log), ask_in_order, &log);
    cr_assert_eq(log.count, 3);
    cr_assert_eq(log.value[0], 10);
    cr_assert_eq(log.value[1], 2);
    cr_assert_eq(log.value[2], 30);
    stage_close(&stage);
}

/* ---- bodies with a destructor ---- */

Test(call, the_body_of_a_request_is_destroyed_once_on_every_path, .timeout = 60)
{
    static const enum manner manners[] = {ANSWERS, ANSWERS_ERROR, IGNORES, DOES_NOT_KNOW, FAILS,
        IS_DONE, LEAVES, HOLDS, TAKES_AND_DROPS, PASSES_ON, TAKES_AND_PASSES_ON};

    for (size_t i = 0; i < TROUPE_COUNT(manners); i++) {
        struct scene scene;
        struct oracle last = {.manner = ANSWERS};
        _Atomic unsigned destroyed = 0;
        struct cargo body = {1, &destroyed};
        struct question question;

        scene_open(&scene, manners[i]);
        scene.oracle.next = stage_spawn(&scene.stage, &oracle_behaviour, &last);
        question = question_to(scene.asked, 60000);
        question.type = &ask_cargo;
        question.body = &body;
        put(&scene, &question);
        cr_assert_eq(question.result, TROUPE_OK);
        stage_close(&scene.stage);
        cr_assert_eq(destroyed, 1, "manner %d: %u", (int)manners[i], destroyed);
    }
}

static int reply_cargo_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct cargo *body = *(struct cargo **)state;

    return troupe_reply(self, msg, &ask_cargo, body);
}

Test(call, the_body_of_an_answer_is_destroyed_once_also_if_nobody_waits, .timeout = 60)
{
    static const struct troupe_behaviour giver = {.name = "giver",
        .state_size = sizeof(void *),
        .init = oracle_init,
        .receive = reply_cargo_receive};

    for (int gone = 0; gone < 2; gone++) {
        struct stage stage;
        _Atomic unsigned destroyed = 0;
        struct cargo body = {1, &destroyed};
        struct question question;
        troupe_pid asker;

        stage_open(&stage, TROUPE_NO_THREADS);
        question = question_to(stage_spawn(&stage, &giver, &body), 60000);
        asker = stage_spawn(&stage, &stage_roomy, NULL);
        stage_tell(&stage, asker, put_question, &question);
        if (gone) {
            stage_tell(&stage, asker, be_done, NULL);
        }
        stage_run(&stage);
        cr_assert_eq(question.outcome.count, !gone);
        cr_assert_eq(destroyed, 1);
        stage_close(&stage);
        cr_assert_eq(destroyed, 1);
    }
}

/* ---- without memory ---- */

struct poor {
    struct hoard hoard;
    int reply, reply_error, take;
    bool takes;
    struct troupe_message *kept;
};

/* Refuses its request with -88 when there is no memory left for anything. */
static int refuse_without_memory(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct poor *poor = *(struct poor **)state;

    hoard_fill(&poor->hoard, troupe_runtime_of(self));
    poor->reply = answer_plus_one(self, msg);
    cr_assert(troupe_is_request(msg), "it was not answered yet");
    poor->reply_error = troupe_reply_error(self, msg, -88);
    cr_assert_not(troupe_is_request(msg));
    cr_assert_eq(troupe_reply_error(self, msg, -89), TROUPE_EINVAL, "it was answered");
    hoard_empty(&poor->hoard);
    cr_assert_eq(answer_plus_one(self, msg), TROUPE_EINVAL, "it was answered");
    if (poor->takes) {
        poor->take = troupe_take(self, msg, &poor->kept);
        cr_assert_not(troupe_is_request(poor->kept), "it was answered before it was taken");
        troupe_message_destroy(poor->kept);
    }
    return TROUPE_OK;
}

static const struct troupe_behaviour poor_behaviour = {.name = "poor",
    .state_size = sizeof(void *),
    .init = oracle_init,
    .receive = refuse_without_memory};

static void check_refusal_without_memory(bool takes)
{
    struct stage stage;
    static struct poor poor;
    struct question question;
    troupe_pid asker;

    memset(&poor, 0, sizeof poor);
    poor.takes = takes;
    stage_open(&stage, TROUPE_NO_THREADS);
    poor.hoard.memory = &stage.memory;
    question = question_to(stage_spawn(&stage, &poor_behaviour, &poor), 60000);
    asker = stage_spawn(&stage, &stage_puppet, NULL);
    (void)stage_do(&stage, asker, put_question, &question);
    cr_assert_eq(poor.reply, TROUPE_ENOMEM);
    cr_assert_eq(poor.reply_error, TROUPE_OK);
    cr_assert_eq(poor.take, TROUPE_OK);
    cr_assert_eq(question.outcome.count, 1);
    cr_assert_eq(question.outcome.status, -88, "%d", question.outcome.status);
    stage_close(&stage);
}

Test(call, an_error_can_be_answered_without_memory, .timeout = 60)
{
    check_refusal_without_memory(false);
}

/* The copy was a request again: the caller was told that it went unanswered. */
Test(call, a_request_answered_without_memory_stays_answered_when_it_is_taken, .timeout = 60)
{
    check_refusal_without_memory(true);
}

static int refuse_held_without_memory(struct troupe_actor *self, void *arg)
{
    struct poor *poor = arg;

    hoard_fill(&poor->hoard, troupe_runtime_of(self));
    poor->reply_error = troupe_reply_error(self, poor->kept, -88);
    hoard_empty(&poor->hoard);
    cr_assert_not(troupe_is_request(poor->kept));
    troupe_message_destroy(poor->kept);
    return TROUPE_OK;
}

Test(call, a_held_request_can_be_refused_without_memory, .timeout = 60)
{
    struct scene scene;
    static struct poor poor;
    struct question question;

    scene_open(&scene, HOLDS);
    poor.hoard.memory = &scene.stage.memory;
    question = question_to(scene.asked, 60000);
    put(&scene, &question);
    poor.kept = scene.oracle.held[0];
    (void)stage_do(&scene.stage, scene.asked, refuse_held_without_memory, &poor);
    cr_assert_eq(poor.reply_error, TROUPE_OK);
    cr_assert_eq(question.outcome.count, 1);
    cr_assert_eq(question.outcome.status, -88);
    stage_close(&scene.stage);
}

/* Tries `job` of the asker with each allocation failing in turn, on a fresh runtime each time. */
static void check_each_failure(bool moves)
{
    _Atomic unsigned destroyed = 0;
    struct cargo body = {1, &destroyed};
    uint64_t failing = 1;
    bool failed;

    do {
        struct scene scene;
        struct question question;
        struct moved_question moved = {0};
        uint64_t before;
        int result;

        scene_open(&scene, ANSWERS);
        destroyed = 0;
        question = question_to(scene.asked, 60000);
        question.type = &ask_cargo;
        question.body = &body;
        moved.to = scene.asked;
        moved.msg = stage_message(&scene.stage, &ask_cargo, &body);
        stage_tell(&scene.stage, scene.asker, moves ? put_moved_question : put_question,
            moves ? (void *)&moved : (void *)&question);
        before = scene.stage.memory.calls;
        scene.stage.memory.fail_at = before + failing;
        stage_run(&scene.stage);
        failed = atomic_load(&scene.stage.memory.calls) >= before + failing;
        scene.stage.memory.fail_at = 0;
        result = moves ? moved.result : question.result;
        cr_assert(result == TROUPE_OK || result == TROUPE_ENOMEM);
        cr_assert_eq(atomic_load(moves ? &moved.outcome.count : &question.outcome.count),
            result == TROUPE_OK);
        if (!moves || result < 0) {
            troupe_message_destroy(moved.msg);
            destroyed--;
        }
        stage_close(&scene.stage);
        cr_assert_eq(destroyed, result == TROUPE_OK);
        failing++;
    } while (failed);
    cr_assert_gt(failing, 3, "nothing was allocated: the test tests nothing");
}

Test(call, a_request_without_memory_leaves_no_trace, .timeout = 60)
{
    check_each_failure(false);
}

Test(call, a_moved_request_without_memory_leaves_no_trace, .timeout = 60)
{
    check_each_failure(true);
}

/* ---- everything at once ---- */

#define ASKERS 8
#define ROUNDS 3000

static const struct troupe_type crowd_begin = TROUPE_SIGNAL;

struct crowd {
    troupe_pid asked[4];
    _Atomic uint64_t accepted, refused, outcomes, answered, timed_out, died, unanswered;
    _Atomic uint64_t double_outcomes;
    _Atomic unsigned ready; /* askers that are through */
};

struct crowd_asker {
    struct crowd *crowd;
    struct test_random random;
    unsigned sent, open;
    unsigned char seen[ROUNDS];
};

static int crowd_more(struct troupe_actor *self, struct crowd_asker *asker);

static int crowd_outcome(
    struct troupe_actor *self, void *state, void *context, int status, struct troupe_message *reply)
{
    struct crowd_asker *asker = *(struct crowd_asker **)state;
    struct crowd *crowd = asker->crowd;
    size_t number = (size_t)(uintptr_t)context;

    crowd->outcomes++;
    crowd->double_outcomes += asker->seen[number]++ != 0;
    crowd->answered += status == TROUPE_OK && reply != NULL;
    crowd->timed_out += status == TROUPE_ETIMEDOUT;
    crowd->died += status == TROUPE_EDIED;
    crowd->unanswered += status == TROUPE_EUNANSWERED;
    asker->open--;
    return crowd_more(self, asker);
}

/* Keeps up to sixteen requests in the air. */
static int crowd_more(struct troupe_actor *self, struct crowd_asker *asker)
{
    struct crowd *crowd = asker->crowd;

    while (asker->sent < ROUNDS && asker->open < 16) {
        uint64_t dice = test_next(&asker->random);
        int timeout_ms = dice % 3 == 0 ? TROUPE_FOREVER : (int)(1 + dice / 3 % 3);
        int error = troupe_request(self, crowd->asked[dice / 16 % 4], &ask, &dice, timeout_ms,
            crowd_outcome, (void *)(uintptr_t)asker->sent);

        asker->sent++;
        asker->open += error == TROUPE_OK;
        crowd->accepted += error == TROUPE_OK;
        crowd->refused += error < 0;
    }
    crowd->ready += asker->sent == ROUNDS && asker->open == 0;
    return TROUPE_OK;
}

static int crowd_asker_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    return troupe_is(msg, &crowd_begin) ? crowd_more(self, *(struct crowd_asker **)state)
                                        : TROUPE_EUNKNOWN;
}

static const struct troupe_behaviour crowd_asker = {.name = "crowd asker",
    .state_size = sizeof(void *),
    .init = oracle_init,
    .receive = crowd_asker_receive};

/* Answers, refuses, drops, passes on, or holds what it is asked and answers that at the next tick. */
struct crowd_oracle {
    struct crowd *crowd;
    struct troupe_message *held[64];
    unsigned held_count;
};

static int crowd_oracle_init(struct troupe_actor *self, void *state, const void *arg)
{
    struct crowd_oracle *oracle = state;

    oracle->crowd = (struct crowd *)(uintptr_t)arg;
    return troupe_tick_every(self, 1, &ask_nothing, NULL, NULL);
}

static int crowd_release(struct troupe_actor *self, struct crowd_oracle *oracle)
{
    while (oracle->held_count > 0) {
        struct troupe_message *request = oracle->held[--oracle->held_count];
        uint64_t value = 1;

        if (oracle->held_count % 2 == 0) {
            TROUPE_TRY(troupe_reply(self, request, &answer, &value));
        }
        troupe_message_destroy(request);
    }
    return TROUPE_OK;
}

/* The number in a request always names the same next one, which answers it itself. */
static int pass_to(struct troupe_actor *self, troupe_pid next, struct troupe_message *msg)
{
    if (next != troupe_self(self) && troupe_forward(self, next, msg) == TROUPE_OK) {
        return TROUPE_OK;
    }
    return answer_plus_one(self, msg);
}

static int crowd_oracle_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct crowd_oracle *oracle = state;
    uint64_t dice;

    if (troupe_is(msg, &ask_nothing)) {
        return crowd_release(self, oracle);
    }
    dice = *(const uint64_t *)troupe_body(msg) >> 32;
    switch (dice % 6) {
    case 0:
        return troupe_reply_error(self, msg, -77);
    case 1:
        return TROUPE_OK;
    case 2:
        if (oracle->held_count < TROUPE_COUNT(oracle->held)) {
            return troupe_take(self, msg, &oracle->held[oracle->held_count++]);
        }
        return TROUPE_OK;
    case 3:
        return pass_to(self, oracle->crowd->asked[dice / 6 % 4], msg);
    default:
        return answer_plus_one(self, msg);
    }
}

static void crowd_oracle_destroy(void *state)
{
    struct crowd_oracle *oracle = state;

    while (oracle->held_count > 0) {
        troupe_message_destroy(oracle->held[--oracle->held_count]);
    }
}

static const struct troupe_behaviour crowd_oracle = {
    .name = "crowd oracle",
    .state_size = sizeof(struct crowd_oracle),
    .init = crowd_oracle_init,
    .receive = crowd_oracle_receive,
    .destroy = crowd_oracle_destroy,
    .capacity = STAGE_ROOM,
};

Test(call, of_many_requests_each_has_one_outcome, .timeout = 120)
{
    struct stage stage;
    static struct crowd crowd;
    static struct crowd_asker askers[ASKERS];
    uint64_t seed = test_seed("of_many_requests_each_has_one_outcome");

    stage_open(&stage, 3);
    for (int i = 0; i < 4; i++) {
        crowd.asked[i] = stage_spawn(&stage, &crowd_oracle, &crowd);
    }
    for (int i = 0; i < ASKERS; i++) {
        askers[i].crowd = &crowd;
        askers[i].random = test_random_of(seed + (uint64_t)i);
        stage_send(&stage, stage_spawn(&stage, &crowd_asker, &askers[i]), &crowd_begin, NULL);
    }
    /* Half way one of those asked is killed. */
    STAGE_AWAIT(&stage, crowd.outcomes > ASKERS * ROUNDS / 4);
    cr_assert_eq(troupe_runtime_exit(stage.runtime, crowd.asked[1], TROUPE_EXIT_KILL), TROUPE_OK);
    STAGE_AWAIT(&stage, crowd.ready >= ASKERS);
    cr_assert_eq(crowd.outcomes, crowd.accepted);
    cr_assert_eq(crowd.double_outcomes, 0);
    cr_assert_eq(crowd.accepted + crowd.refused, (uint64_t)ASKERS * ROUNDS);
    cr_assert_gt(crowd.answered, 0);
    cr_assert_gt(crowd.unanswered, 0);
    stage_close(&stage);
    cr_assert_eq(crowd.outcomes, crowd.accepted);
    fprintf(stderr, "answered %llu timed out %llu died %llu unanswered %llu refused %llu\n",
        (unsigned long long)crowd.answered, (unsigned long long)crowd.timed_out,
        (unsigned long long)crowd.died, (unsigned long long)crowd.unanswered,
        (unsigned long long)crowd.refused);
}
