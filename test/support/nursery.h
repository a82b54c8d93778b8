/* SPDX-License-Identifier: MIT */
/*
 * nursery.h - for tests of supervisors in which time matters: a stage without threads, a clock that the test moves, and a
 * supervisor on it.  Nothing happens but in nursery_run() and nursery_pass(), so what a supervisor does at which
 * millisecond is what the test says.
 */
#ifndef TEST_NURSERY_H
#define TEST_NURSERY_H

#include "child.h"

#include "test/support/clock.h"
#include "test/support/family.h"
#include "test/support/stage.h"

struct nursery {
    struct stage stage;
    troupe_pid supervisor;
    troupe_pid asker;
    struct stage_end end; /* of the supervisor */
};

static inline void nursery_run(struct nursery *nursery)
{
    (void)stage_run(&nursery->stage);
}

/** So many milliseconds pass, one after the other. */
static inline void nursery_pass(struct nursery *nursery, unsigned ms)
{
    for (unsigned i = 0; i < ms; i++) {
        clock_frozen_ns += 1000000U;
        nursery_run(nursery);
    }
}

/** A supervisor on a stage that is there. */
static inline void nursery_begin(struct nursery *nursery, const struct troupe_supervisor_spec *spec)
{
    struct troupe_spawn_options options;

    /* So many reports a second are let through. */
    clock_frozen_ns += UINT64_C(1000000000);
    memset(nursery->stage.reports, 0, sizeof nursery->stage.reports);
    cr_assert_eq(troupe_supervisor_check(spec, NULL), TROUPE_OK);
    cr_assert_eq(trp_supervisor_options(nursery->stage.runtime, spec, NULL, &options), TROUPE_OK);
    cr_assert_eq(
        troupe_runtime_spawn(nursery->stage.runtime, &options, &nursery->supervisor), TROUPE_OK);
    trp_supervisor_options_free(nursery->stage.runtime, &options);
    stage_watch(&nursery->stage, nursery->supervisor, &nursery->end);
    nursery_run(nursery);
}

/** Lets it end, within ten seconds. */
static inline void nursery_end_it(struct nursery *nursery)
{
    int error =
        troupe_runtime_exit(nursery->stage.runtime, nursery->supervisor, TROUPE_EXIT_SHUTDOWN);

    cr_assert(error == TROUPE_OK || error == TROUPE_EGONE);
    for (unsigned i = 0; i < 10000 && nursery->end.count == 0; i++) {
        nursery_pass(nursery, 1);
    }
    cr_assert_eq(nursery->end.count, 1);
}

/** A stage without a supervisor. */
static inline void nursery_build(struct nursery *nursery, uint64_t seed)
{
    struct troupe_runtime_options runtime = {.workers = TROUPE_NO_THREADS, .seed = seed};

    memset(nursery, 0, sizeof *nursery);
    clock_frozen_ns = UINT64_C(1000000000);
    stage_open_with(&nursery->stage, &runtime);
    nursery->asker = stage_spawn(&nursery->stage, &stage_puppet, NULL);
}

static inline void nursery_open(
    struct nursery *nursery, uint64_t seed, const struct troupe_supervisor_spec *spec)
{
    nursery_build(nursery, seed);
    nursery_begin(nursery, spec);
}

static inline void nursery_close(struct nursery *nursery)
{
    /* To stop takes as long as it takes. */
    clock_frozen_ns = 0;
    stage_close(&nursery->stage);
}

/** Has the child of `card` end. */
static inline void nursery_end(struct nursery *nursery, struct actor_card *card, puppet_fn end)
{
    puppet_tell(nursery->stage.runtime, card->pid, end, NULL, NULL);
    nursery_run(nursery);
}

struct nursery_question {
    struct nursery *nursery;
    enum troupe_child_op op;
    const char *id;
    const struct troupe_child_spec *spec;
    struct troupe_child_answer answer;
    bool answered;
};

static inline int nursery_on_answer(
    struct troupe_actor *self, void *state, void *context, int status, struct troupe_message *reply)
{
    struct nursery_question *question = context;

    (void)self;
    (void)state;
    question->answered = true;
    question->answer.status = status;
    if (status == TROUPE_OK) {
        question->answer = *(const struct troupe_child_answer *)troupe_body(reply);
    }
    return TROUPE_OK;
}

static inline int nursery_put(struct troupe_actor *self, void *arg)
{
    struct nursery_question *question = arg;

    return troupe_child(self, question->nursery->supervisor, question->op, question->id,
        question->spec, TROUPE_FOREVER, nursery_on_answer, question);
}

/** Asks, and lets happen what happens at once. */
static inline void nursery_ask(struct nursery *nursery, struct nursery_question *question)
{
    question->nursery = nursery;
    stage_tell(&nursery->stage, nursery->asker, nursery_put, question);
    nursery_run(nursery);
}

static inline struct troupe_child_answer nursery_which(struct nursery *nursery, const char *id)
{
    struct nursery_question question = {.op = TROUPE_CHILD_WHICH, .id = id};

    nursery_ask(nursery, &question);
    cr_assert(question.answered, "it does not answer");
    return question.answer;
}

#endif
