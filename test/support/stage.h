/* SPDX-License-Identifier: MIT */
/*
 * stage.h - a runtime for a test, its memory counted and its reports noted, and puppets: actors that do what the
 * test tells them to, in the order in which it does.
 *
 * Most tests open a stage without threads: nothing happens but in stage_run(), on the test's own thread, so order is
 * what the test says and assertions stand inside handlers too.  stage_close() checks for every test what always has to
 * hold: the books balance, all actors ended, and every byte went back to the allocator.
 */
#ifndef TEST_STAGE_H
#define TEST_STAGE_H

#include <criterion/criterion.h>
#include <unistd.h>

#include <troupe.h>

#include "test/support/allocator.h"
#include "test/support/latch.h"

/** Messages.  For behaviours that several are sent to before they run: a test that is about more than one message says so, and
 * holds also where a mailbox takes one by default. */
#define STAGE_ROOM 1024

/** Kinds of reports. */
#define STAGE_KINDS (TROUPE_REPORT_FLOOD + 1)

struct stage {
    struct troupe_runtime *runtime;
    bool threads;
    struct test_allocator memory;
    struct troupe_allocator allocator;
    pthread_mutex_t mutex;
    unsigned reports[STAGE_KINDS]; /* by kind */
    char text[STAGE_KINDS][256];   /* the last one of each kind */
    char actor[STAGE_KINDS][64];
    char child[STAGE_KINDS][64];
    struct troupe_reason reason[STAGE_KINDS]; /* without its text */
    struct troupe_report facts[STAGE_KINDS];  /* its pointers lead nowhere */
    void (*on_report)(struct stage *stage);   /* after each; or NULL */
};

static inline void stage_report(void *context, const struct troupe_report *report)
{
    struct stage *stage = context;

    pthread_mutex_lock(&stage->mutex);
    stage->reports[report->kind]++;
    snprintf(stage->text[report->kind], sizeof stage->text[0], "%s", report->text);
    snprintf(stage->actor[report->kind], sizeof stage->actor[0], "%s", report->actor);
    snprintf(stage->child[report->kind], sizeof stage->child[0], "%s",
        report->child != NULL ? report->child : "");
    stage->facts[report->kind] = *report;
    stage->reason[report->kind] =
        report->reason != NULL ? *report->reason : (struct troupe_reason){0};
    stage->reason[report->kind].text = NULL;
    pthread_mutex_unlock(&stage->mutex);
    if (stage->on_report != NULL) {
        stage->on_report(stage);
    }
}

static inline unsigned stage_reports(struct stage *stage, enum troupe_report_kind kind)
{
    unsigned count;

    pthread_mutex_lock(&stage->mutex);
    count = stage->reports[kind];
    pthread_mutex_unlock(&stage->mutex);
    return count;
}

/** Creates the runtime and starts it; what `options` says of reports and memory is replaced. */
static inline int stage_try_open(struct stage *stage, const struct troupe_runtime_options *options)
{
    struct troupe_runtime_options own = *options;

    pthread_mutex_init(&stage->mutex, NULL);
    stage->allocator = test_allocator_of(&stage->memory);
    stage->threads = own.workers != TROUPE_NO_THREADS;
    own.report = stage_report;
    own.report_context = stage;
    own.allocator = &stage->allocator;
    return troupe_runtime_create(&own, &stage->runtime);
}

static inline void stage_open_with(
    struct stage *stage, const struct troupe_runtime_options *options)
{
    memset(stage, 0, sizeof *stage);
    cr_assert_eq(stage_try_open(stage, options), TROUPE_OK);
    cr_assert_eq(troupe_runtime_start(stage->runtime), TROUPE_OK);
}

/** `workers`: so many threads, or TROUPE_NO_THREADS. */
static inline void stage_open(struct stage *stage, int workers)
{
    stage_open_with(stage, &(struct troupe_runtime_options){.workers = workers});
}

/** Ends all actors, checks the books, frees the runtime, checks its memory. */
static inline void stage_close(struct stage *stage)
{
    cr_assert(runtime_ends_clean(stage->runtime));
    cr_assert_eq(stage->memory.blocks, 0, "%llu blocks were not given back",
        (unsigned long long)stage->memory.blocks);
    cr_assert_eq(stage->memory.bytes, 0);
    pthread_mutex_destroy(&stage->mutex);
}

/** Without threads: runs until there is nothing to do but wait; how long, in ms. */
static inline int stage_run(struct stage *stage)
{
    int wait_ms;

    do {
        cr_assert_eq(troupe_runtime_turn(stage->runtime, 1000, &wait_ms), TROUPE_OK);
    } while (wait_ms == 0);
    return wait_ms;
}

/** Lets a millisecond pass, and a runtime without threads run; false after a minute of it. */
static inline bool stage_wait(struct stage *stage, unsigned *rounds)
{
    usleep(1000);
    if (!stage->threads) {
        stage_run(stage);
    }
    return ++*rounds < 60000;
}

/** Waits until `condition` holds, at most a minute. */
#define STAGE_AWAIT(stage, condition)                                                              \
    do {                                                                                           \
        unsigned stage_rounds = 0;                                                                 \
        while (!(condition)) {                                                                     \
            cr_assert(stage_wait((stage), &stage_rounds), "in vain: %s", #condition);              \
        }                                                                                          \
    } while (0)

static inline struct troupe_books stage_books(struct stage *stage)
{
    struct troupe_books books;

    cr_assert_eq(troupe_runtime_books(stage->runtime, &books), TROUPE_OK);
    return books;
}

static inline int stage_try_spawn(struct stage *stage, const struct troupe_behaviour *behaviour,
    const void *arg, troupe_pid *out_pid)
{
    struct troupe_spawn_options options = {.behaviour = behaviour, .arg = arg};

    return troupe_runtime_spawn(stage->runtime, &options, out_pid);
}

static inline troupe_pid stage_spawn(
    struct stage *stage, const struct troupe_behaviour *behaviour, const void *arg)
{
    troupe_pid pid = TROUPE_NOBODY;

    cr_assert_eq(stage_try_spawn(stage, behaviour, arg, &pid), TROUPE_OK);
    return pid;
}

static inline struct troupe_message *stage_message(
    struct stage *stage, const struct troupe_type *type, const void *body)
{
    struct troupe_message *msg = NULL;

    cr_assert_eq(troupe_message_create(stage->runtime, type, 0, &msg), TROUPE_OK);
    if (type->size > 0) {
        memcpy(troupe_body(msg), body, type->size);
    }
    return msg;
}

/** Sends a copy of `body`; a message that is refused is ended. */
static inline int stage_try_send(
    struct stage *stage, troupe_pid to, const struct troupe_type *type, const void *body)
{
    struct troupe_message *msg = stage_message(stage, type, body);
    int error = troupe_try_send(stage->runtime, to, msg);

    if (error < 0) {
        troupe_message_destroy(msg);
    }
    return error;
}

/** Moves `msg` to `to`, waiting for room where there is none: what was sent before is handled first then. */
static inline int stage_put(struct stage *stage, troupe_pid to, struct troupe_message *msg)
{
    int error = troupe_try_send(stage->runtime, to, msg);

    if (error != TROUPE_EFULL) {
        return error;
    }
    if (stage->threads) {
        return troupe_send_wait(stage->runtime, to, msg, LATCH_LIMIT_S * 1000);
    }
    stage_run(stage);
    return troupe_try_send(stage->runtime, to, msg);
}

static inline void stage_send(
    struct stage *stage, troupe_pid to, const struct troupe_type *type, const void *body)
{
    cr_assert_eq(stage_put(stage, to, stage_message(stage, type, body)), TROUPE_OK);
}

/* ---- puppets ---- */

typedef int (*stage_job_fn)(struct troupe_actor *self, void *arg);

struct stage_job {
    stage_job_fn run;
    void *arg;
    int *result;        /* or NULL */
    struct latch *done; /* or NULL: hit when the job has returned */
};

static const struct troupe_type stage_job = TROUPE_TYPE(struct stage_job);

/** Whether `msg` is a job; then it is done, and *out_status is what it returned. */
static inline bool stage_is_job(
    struct troupe_actor *self, struct troupe_message *msg, int *out_status)
{
    struct stage_job job;

    if (!troupe_is(msg, &stage_job)) {
        return false;
    }
    job = *(const struct stage_job *)troupe_body(msg);
    *out_status = job.run(self, job.arg);
    if (job.result != NULL) {
        *job.result = *out_status;
    }
    if (job.done != NULL) {
        latch_hit(job.done);
    }
    return true;
}

static inline int stage_puppet_receive(
    struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    int status;

    (void)state;
    return stage_is_job(self, msg, &status) ? status : TROUPE_EUNKNOWN;
}

static const struct troupe_behaviour stage_puppet = {
    .name = "puppet", .receive = stage_puppet_receive};

/** One that can be told several things before it runs. */
static const struct troupe_behaviour stage_roomy __attribute__((unused)) = {
    .name = "puppet", .receive = stage_puppet_receive, .capacity = STAGE_ROOM};

/** Tells a puppet, or whoever calls stage_is_job(), what to do; it does so when it runs. */
static inline void stage_tell(struct stage *stage, troupe_pid puppet, stage_job_fn run, void *arg)
{
    struct stage_job job = {.run = run, .arg = arg};

    stage_send(stage, puppet, &stage_job, &job);
}

/** The same, and waits until it is done; what it returned.  Not for a job that does not return. */
static inline int stage_do(struct stage *stage, troupe_pid puppet, stage_job_fn run, void *arg)
{
    struct latch done = LATCH_INIT;
    int result = TROUPE_ESTOPPED;
    struct stage_job job = {run, arg, &result, &done};

    stage_send(stage, puppet, &stage_job, &job);
    if (!stage->threads) {
        stage_run(stage);
    }
    cr_assert(latch_wait(&done, 1), "the puppet did not do it");
    return result;
}

/* ---- how an actor ended ---- */

struct stage_end {
    troupe_pid pid;
    _Atomic bool watched;
    _Atomic unsigned count; /* of notices */
    enum troupe_exit kind;
    int code;
    char text[128];
};

static inline int stage_witness_init(struct troupe_actor *self, void *state, const void *arg)
{
    struct stage_end *end = *(struct stage_end *const *)arg;
    troupe_ref ref;

    *(struct stage_end **)state = end;
    TROUPE_TRY(troupe_monitor(self, end->pid, &ref));
    end->watched = true;
    return TROUPE_OK;
}

static inline int stage_witness_receive(
    struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct stage_end *end = *(struct stage_end **)state;
    const struct troupe_down *down = troupe_body(msg);

    (void)self;
    if (!troupe_is(msg, &troupe_down)) {
        return TROUPE_EUNKNOWN;
    }
    end->kind = down->reason.kind;
    end->code = down->reason.code;
    snprintf(end->text, sizeof end->text, "%s", troupe_reason_text(&down->reason));
    end->count++;
    return TROUPE_DONE;
}

static const struct troupe_behaviour stage_witness = {
    .name = "witness",
    .state_size = sizeof(struct stage_end *),
    .init = stage_witness_init,
    .receive = stage_witness_receive,
};

/** From now on `end` learns how `pid` ends. */
static inline void stage_watch(struct stage *stage, troupe_pid pid, struct stage_end *end)
{
    struct stage_end **arg = &end;
    struct troupe_spawn_options options = {
        .behaviour = &stage_witness, .arg = arg, .arg_size = sizeof *arg};
    troupe_pid witness;

    *end = (struct stage_end){.pid = pid};
    cr_assert_eq(troupe_runtime_spawn(stage->runtime, &options, &witness), TROUPE_OK);
    STAGE_AWAIT(stage, end->watched);
}

#endif
