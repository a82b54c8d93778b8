/* SPDX-License-Identifier: MIT */
/* Sys: looking into a server while it runs.  Rows 2.24 and 5.13 of the contract: handled also when suspended, and not
 * stuck behind a full queue. */
#include "test/support/clock.h"
#include "test/support/stage.h"

#include <troupe/blocking.h>
#include <troupe/server.h>
#include <troupe/sys.h>

static const struct troupe_type add = TROUPE_TYPE(int);
static const struct troupe_type get = TROUPE_SIGNAL;
static const struct troupe_type number = TROUPE_TYPE(int);
static const struct troupe_type tick = TROUPE_SIGNAL;

struct tally {
    int sum;
    int ticks;
    int answers;
};

static int on_add(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    (void)self;
    ((struct tally *)state)->sum += *(const int *)troupe_body(msg);
    return TROUPE_OK;
}

static int on_get(
    struct troupe_actor *self, void *state, struct troupe_message *request, void *answer)
{
    (void)self;
    (void)request;
    *(int *)answer = ((struct tally *)state)->sum;
    return TROUPE_OK;
}

static int on_other(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    int status;

    (void)state;
    return stage_is_job(self, msg, &status) ? TROUPE_OK : TROUPE_EUNKNOWN;
}

static int on_info(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    (void)self;
    ((struct tally *)state)->ticks += troupe_is(msg, &tick);
    return TROUPE_OK;
}

static int tally_format(const void *state, char *text, size_t size)
{
    return snprintf(text, size, "sum %d", ((const struct tally *)state)->sum);
}

static const struct troupe_server_call calls[] = {{&get, &number, on_get}};
static const struct troupe_server_cast casts[] = {{&add, on_add}};
static const struct troupe_server tally = {
    TROUPE_SERVER("tally", struct tally),
    .behaviour.capacity = 4,
    .calls = calls,
    .call_count = TROUPE_COUNT(calls),
    .casts = casts,
    .cast_count = TROUPE_COUNT(casts),
    .cast = on_other,
    .info = on_info,
    .format = tally_format,
};

static const struct troupe_server trapping = {
    TROUPE_SERVER("trapping", struct tally),
    .behaviour.trap_exit = true,
    .casts = casts,
    .cast_count = TROUPE_COUNT(casts),
    .cast = on_other,
    .info = on_info,
};

/* ---- asking from a puppet ---- */

struct asked {
    troupe_pid to;
    struct troupe_sys_question question;
    unsigned outcomes;
    int status;
    struct troupe_sys_answer answer;
};

static int on_answer(
    struct troupe_actor *self, void *state, void *context, int status, struct troupe_message *reply)
{
    struct asked *asked = context;

    (void)self;
    (void)state;
    asked->outcomes++;
    asked->status = status;
    if (reply != NULL) {
        cr_assert(troupe_is(reply, &troupe_sys_answer));
        asked->answer = *(const struct troupe_sys_answer *)troupe_body(reply);
    }
    return TROUPE_OK;
}

static int ask(struct troupe_actor *self, void *arg)
{
    struct asked *asked = arg;

    return troupe_sys(self, asked->to, &asked->question, 5000, on_answer, asked);
}

/* Asks and lets it run; the status of the answer. */
static int sys_do(
    struct stage *stage, troupe_pid to, enum troupe_sys_op op, struct troupe_sys_answer *out_answer)
{
    struct asked asked = {.to = to, .question.op = op};

    cr_assert_eq(stage_do(stage, stage_spawn(stage, &stage_puppet, NULL), ask, &asked), TROUPE_OK);
    cr_assert_eq(asked.outcomes, 1);
    if (out_answer != NULL) {
        *out_answer = asked.answer;
    }
    return asked.status;
}

static int sum_of(struct stage *stage, troupe_pid to)
{
    struct troupe_sys_answer answer;
    int sum = -1;

    cr_assert_eq(sys_do(stage, to, TROUPE_SYS_STATUS, &answer), TROUPE_OK);
    cr_assert_eq(sscanf(answer.text, "sum %d", &sum), 1);
    return sum;
}

static void send_add(struct stage *stage, troupe_pid to, int value)
{
    stage_send(stage, to, &add, &value);
}

/* ---- suspend and resume ---- */

Test(sys, a_suspended_server_handles_nothing_until_it_is_resumed_as_often)
{
    struct stage stage;
    struct troupe_sys_answer answer;
    troupe_pid pid;

    stage_open(&stage, TROUPE_NO_THREADS);
    pid = stage_spawn(&stage, &tally.behaviour, NULL);
    send_add(&stage, pid, 1);
    cr_assert_eq(sys_do(&stage, pid, TROUPE_SYS_SUSPEND, &answer), TROUPE_OK);
    cr_assert_eq(answer.suspensions, 1);
    cr_assert_eq(sys_do(&stage, pid, TROUPE_SYS_SUSPEND, NULL), TROUPE_OK);
    send_add(&stage, pid, 10);
    stage_run(&stage);
    cr_assert_eq(sum_of(&stage, pid), 1);
    cr_assert_eq(sys_do(&stage, pid, TROUPE_SYS_RESUME, &answer), TROUPE_OK);
    cr_assert_eq(answer.suspensions, 1);
    cr_assert_eq(sum_of(&stage, pid), 1);
    cr_assert_eq(stage_books(&stage).queued, 1);
    cr_assert_eq(sys_do(&stage, pid, TROUPE_SYS_RESUME, NULL), TROUPE_OK);
    cr_assert_eq(sum_of(&stage, pid), 11);
    cr_assert_eq(sys_do(&stage, pid, TROUPE_SYS_RESUME, NULL), TROUPE_EBUSY);
    stage_close(&stage);
}

/* 5.13: not an ordinary message behind a full queue.  What a suspended server has dequeued keeps its room. */
Test(sys, questions_are_answered_behind_a_full_mailbox_that_stays_bounded)
{
    struct stage stage;
    troupe_pid pid;
    int one = 1;

    stage_open(&stage, TROUPE_NO_THREADS);
    pid = stage_spawn(&stage, &tally.behaviour, NULL);
    cr_assert_eq(sys_do(&stage, pid, TROUPE_SYS_SUSPEND, NULL), TROUPE_OK);
    for (unsigned i = 0; i < 4; i++) {
        send_add(&stage, pid, 1);
        stage_run(&stage);
    }
    cr_assert_eq(stage_try_send(&stage, pid, &add, &one), TROUPE_EFULL);
    cr_assert_eq(sum_of(&stage, pid), 0);
    cr_assert_eq(sys_do(&stage, pid, TROUPE_SYS_RESUME, NULL), TROUPE_OK);
    cr_assert_eq(sum_of(&stage, pid), 4);
    for (unsigned i = 0; i < 4; i++) {
        send_add(&stage, pid, 1);
    }
    cr_assert_eq(stage_try_send(&stage, pid, &add, &one), TROUPE_EFULL);
    cr_assert_eq(sum_of(&stage, pid), 8);
    stage_close(&stage);
}

struct own {
    int status;
    unsigned count;
};

static int note_own(
    struct troupe_actor *self, void *state, void *context, int status, struct troupe_message *reply)
{
    struct own *own = context;

    (void)self;
    (void)reply;
    ((struct tally *)state)->answers++;
    own->status = status;
    own->count++;
    return TROUPE_OK;
}

struct request_of {
    troupe_pid to;
    struct own own;
};

static int request_and_tick(struct troupe_actor *self, void *arg)
{
    struct request_of *request = arg;

    TROUPE_TRY(troupe_tick_after(self, 1000, &tick, NULL, NULL));
    return troupe_request(self, request->to, &get, NULL, 60000, note_own, &request->own);
}

/* What comes while it is suspended is handled afterwards, whatever it is. */
Test(sys, answers_and_ticks_wait_as_well)
{
    struct stage stage;
    struct request_of request = {0};
    struct troupe_sys_answer answer;
    troupe_pid pid;

    stage_open(&stage, TROUPE_NO_THREADS);
    pid = stage_spawn(&stage, &tally.behaviour, NULL);
    request.to = stage_spawn(&stage, &tally.behaviour, NULL);
    cr_assert_eq(sys_do(&stage, request.to, TROUPE_SYS_SUSPEND, NULL), TROUPE_OK);
    cr_assert_eq(stage_do(&stage, pid, request_and_tick, &request), TROUPE_OK);
    cr_assert_eq(sys_do(&stage, pid, TROUPE_SYS_SUSPEND, NULL), TROUPE_OK);
    cr_assert_eq(sys_do(&stage, request.to, TROUPE_SYS_RESUME, NULL), TROUPE_OK);
    clock_skip_ms(2000);
    STAGE_AWAIT(&stage, stage_books(&stage).queued == 2);
    cr_assert_eq(request.own.count, 0);
    cr_assert_eq(sys_do(&stage, pid, TROUPE_SYS_STATUS, &answer), TROUPE_OK);
    cr_assert_eq(answer.notices, 0);
    cr_assert_eq(sys_do(&stage, pid, TROUPE_SYS_RESUME, NULL), TROUPE_OK);
    cr_assert_eq(sys_do(&stage, pid, TROUPE_SYS_STATUS, &answer), TROUPE_OK);
    cr_assert_eq(answer.notices, 1);
    cr_assert_eq(request.own.count, 1);
    cr_assert_eq(request.own.status, TROUPE_OK);
    stage_close(&stage);
}

struct errand {
    struct latch until;
    unsigned outcomes;
    unsigned destroyed;
};

static int run_errand(struct troupe_job *job, void *arg)
{
    (void)job;
    return latch_wait(&((struct errand *)arg)->until, 1) ? TROUPE_OK : TROUPE_ETIMEDOUT;
}

static int end_errand(struct troupe_actor *self, void *state, void *arg, int status)
{
    (void)self;
    (void)state;
    ((struct errand *)arg)->outcomes++;
    return status;
}

static void destroy_errand(void *arg)
{
    ((struct errand *)arg)->destroyed++;
}

static int begin_errand(struct troupe_actor *self, void *arg)
{
    return troupe_blocking(self, run_errand, arg, destroy_errand, end_errand, NULL);
}

/* A server whose job ends while it is suspended. */
static troupe_pid spawn_with_outcome(struct stage *stage, struct errand *errand)
{
    troupe_pid pid = stage_spawn(stage, &tally.behaviour, NULL);

    cr_assert_eq(stage_do(stage, pid, begin_errand, errand), TROUPE_OK);
    cr_assert_eq(sys_do(stage, pid, TROUPE_SYS_SUSPEND, NULL), TROUPE_OK);
    latch_hit(&errand->until);
    STAGE_AWAIT(stage, stage_books(stage).queued == 1);
    stage_run(stage);
    cr_assert_eq(errand->outcomes + errand->destroyed, 0);
    return pid;
}

/* The outcome of a job waits as well, and has one end in any case. */
Test(sys, the_outcome_of_a_job_waits_and_is_given_back_if_its_actor_ends, .timeout = 60)
{
    struct stage stage;
    struct errand errand = {.until = LATCH_INIT};
    troupe_pid pid;

    stage_open(&stage, TROUPE_NO_THREADS);
    pid = spawn_with_outcome(&stage, &errand);
    cr_assert_eq(sys_do(&stage, pid, TROUPE_SYS_RESUME, NULL), TROUPE_OK);
    cr_assert_eq(errand.outcomes, 1);
    cr_assert_eq(errand.destroyed, 0);

    errand = (struct errand){.until = LATCH_INIT};
    pid = spawn_with_outcome(&stage, &errand);
    cr_assert_eq(troupe_runtime_exit(stage.runtime, pid, TROUPE_EXIT_KILL), TROUPE_OK);
    stage_run(&stage);
    cr_assert_eq(errand.outcomes, 0);
    cr_assert_eq(errand.destroyed, 1);
    stage_close(&stage);
}

/* 2.24: a suspended one still accepts signals and can be killed. */
Test(sys, a_suspended_server_can_be_killed_and_takes_exit_signals)
{
    struct stage stage;
    struct stage_end killed;
    struct stage_end stopped;
    troupe_pid pid[2];

    stage_open(&stage, TROUPE_NO_THREADS);
    for (unsigned i = 0; i < 2; i++) {
        pid[i] = stage_spawn(&stage, &tally.behaviour, NULL);
        stage_watch(&stage, pid[i], i == 0 ? &killed : &stopped);
        cr_assert_eq(sys_do(&stage, pid[i], TROUPE_SYS_SUSPEND, NULL), TROUPE_OK);
        send_add(&stage, pid[i], 1);
        stage_run(&stage);
    }
    cr_assert_eq(troupe_runtime_exit(stage.runtime, pid[0], TROUPE_EXIT_KILL), TROUPE_OK);
    cr_assert_eq(troupe_runtime_exit(stage.runtime, pid[1], TROUPE_EXIT_SHUTDOWN), TROUPE_OK);
    stage_run(&stage);
    cr_assert_eq(killed.count, 1);
    cr_assert_eq(killed.kind, TROUPE_EXIT_KILLED);
    cr_assert_eq(stopped.count, 1);
    cr_assert_eq(stopped.kind, TROUPE_EXIT_SHUTDOWN);
    cr_assert_eq(stage_books(&stage).dead, 2);
    stage_close(&stage);
}

static int send_shutdown(struct troupe_actor *self, void *arg)
{
    return troupe_send_exit(self, *(troupe_pid *)arg, TROUPE_EXIT_SHUTDOWN);
}

/* 5.13: an exit signal of the parent is handled also when suspended; one of somebody else waits if it is trapped. */
Test(sys, one_that_traps_obeys_its_parent_while_it_is_suspended)
{
    struct stage stage;
    struct stage_end end;
    troupe_pid pid;

    stage_open(&stage, TROUPE_NO_THREADS);
    pid = stage_spawn(&stage, &trapping.behaviour, NULL);
    stage_watch(&stage, pid, &end);
    cr_assert_eq(sys_do(&stage, pid, TROUPE_SYS_SUSPEND, NULL), TROUPE_OK);
    cr_assert_eq(
        stage_do(&stage, stage_spawn(&stage, &stage_puppet, NULL), send_shutdown, &pid), TROUPE_OK);
    stage_run(&stage);
    cr_assert_eq(end.count, 0);
    cr_assert_eq(troupe_runtime_exit(stage.runtime, pid, TROUPE_EXIT_SHUTDOWN), TROUPE_OK);
    stage_run(&stage);
    cr_assert_eq(end.count, 1);
    cr_assert_eq(end.kind, TROUPE_EXIT_SHUTDOWN);
    stage_close(&stage);
}

/* ---- state ---- */

static int read_sum(void *state, void *arg)
{
    *(int *)arg = ((const struct tally *)state)->sum;
    return TROUPE_OK;
}

static int set_sum(void *state, void *arg)
{
    ((struct tally *)state)->sum = *(int *)arg;
    return ((struct tally *)state)->sum < 0 ? -1234 : TROUPE_OK;
}

Test(sys, the_state_can_be_read_and_replaced_and_a_failing_replace_leaves_it)
{
    struct stage stage;
    struct asked asked = {.question = {TROUPE_SYS_REPLACE, set_sum, NULL}};
    int value = 42;
    troupe_pid puppet;

    stage_open(&stage, TROUPE_NO_THREADS);
    puppet = stage_spawn(&stage, &stage_puppet, NULL);
    asked.to = stage_spawn(&stage, &tally.behaviour, NULL);
    asked.question.arg = &value;
    cr_assert_eq(stage_do(&stage, puppet, ask, &asked), TROUPE_OK);
    cr_assert_eq(asked.status, TROUPE_OK);
    cr_assert_str_eq(asked.answer.text, "sum 42");
    value = -1;
    cr_assert_eq(stage_do(&stage, puppet, ask, &asked), TROUPE_OK);
    cr_assert_eq(asked.status, -1234);
    asked.question.op = TROUPE_SYS_INSPECT;
    asked.question.fn = read_sum;
    cr_assert_eq(stage_do(&stage, puppet, ask, &asked), TROUPE_OK);
    cr_assert_eq(asked.status, TROUPE_OK);
    cr_assert_eq(value, 42);
    stage_close(&stage);
}

/* It takes its turn: it sees what was sent before it. */
Test(sys, a_question_sees_what_its_sender_did_before)
{
    struct stage stage;
    troupe_pid pid;

    stage_open(&stage, TROUPE_NO_THREADS);
    pid = stage_spawn(&stage, &tally.behaviour, NULL);
    send_add(&stage, pid, 5);
    cr_assert_eq(sum_of(&stage, pid), 5);
    stage_close(&stage);
}

/* ---- trace and statistics ---- */

Test(sys, the_trace_has_the_last_messages_and_the_books_all)
{
    struct stage stage;
    struct request_of request = {0};
    struct troupe_sys_answer answer;
    troupe_pid pid;

    stage_open(&stage, TROUPE_NO_THREADS);
    pid = stage_spawn(&stage, &tally.behaviour, NULL);
    request.to = pid;
    cr_assert_eq(sys_do(&stage, pid, TROUPE_SYS_TRACE, &answer), TROUPE_OK);
    cr_assert_eq(answer.event_count, 0);
    for (int i = 0; i < TROUPE_SYS_EVENTS + 3; i++) {
        send_add(&stage, pid, i);
        stage_run(&stage);
    }
    cr_assert_eq(stage_do(&stage, pid, request_and_tick, &request), TROUPE_OK);
    cr_assert_eq(sys_do(&stage, pid, TROUPE_SYS_STATUS, &answer), TROUPE_OK);
    cr_assert_str_eq(answer.behaviour, "tally");
    cr_assert_eq(answer.messages, TROUPE_SYS_EVENTS + 4);
    cr_assert_eq(answer.requests, 1);
    cr_assert_eq(answer.event_count, TROUPE_SYS_EVENTS);
    cr_assert_str_eq(answer.events[0].type, "int");
    cr_assert_leq(answer.events[0].at_ns, answer.events[TROUPE_SYS_EVENTS - 1].at_ns);
    cr_assert_eq(sys_do(&stage, pid, TROUPE_SYS_UNTRACE, &answer), TROUPE_OK);
    cr_assert_eq(answer.event_count, 0);
    stage_close(&stage);
}

/* ---- who is asked ---- */

static int ask_result(struct troupe_actor *self, void *arg)
{
    struct asked *asked = arg;

    asked->status = troupe_sys(self, asked->to, &asked->question, 5000, on_answer, asked);
    return TROUPE_OK;
}

Test(sys, an_actor_that_is_no_server_is_not_asked)
{
    struct stage stage;
    struct asked asked = {.question.op = TROUPE_SYS_SUSPEND};
    troupe_pid puppet;

    stage_open(&stage, TROUPE_NO_THREADS);
    puppet = stage_spawn(&stage, &stage_puppet, NULL);
    asked.to = puppet;
    (void)stage_do(&stage, puppet, ask_result, &asked);
    cr_assert_eq(asked.status, TROUPE_EINVAL);
    asked.to = puppet + 1;
    (void)stage_do(&stage, puppet, ask_result, &asked);
    cr_assert_eq(asked.status, TROUPE_EGONE);
    cr_assert_eq(asked.outcomes, 0);
    stage_close(&stage);
}

/* 5.13: terminate; the answer comes first.  Also of one that is suspended, whose mailbox ends with it. */
Test(sys, it_ends_when_it_is_told_to_stop)
{
    struct stage stage;
    struct troupe_sys_answer answer;
    struct stage_end end;
    troupe_pid pid;

    stage_open(&stage, TROUPE_NO_THREADS);
    pid = stage_spawn(&stage, &tally.behaviour, NULL);
    stage_watch(&stage, pid, &end);
    cr_assert_eq(sys_do(&stage, pid, TROUPE_SYS_SUSPEND, NULL), TROUPE_OK);
    send_add(&stage, pid, 1);
    cr_assert_eq(sys_do(&stage, pid, TROUPE_SYS_STOP, &answer), TROUPE_OK);
    cr_assert_str_eq(answer.text, "sum 0");
    cr_assert_eq(end.count, 1);
    cr_assert_eq(end.kind, TROUPE_EXIT_NORMAL);
    cr_assert_eq(stage_books(&stage).dead, 1);
    stage_close(&stage);
}

static int spawn_tally(struct troupe_actor *self, void *arg)
{
    return troupe_spawn(self, (&(struct troupe_spawn_options){.behaviour = &tally.behaviour}), arg);
}

/* 5.17: who made it, what it is, and which life this is. */
Test(sys, the_status_tells_where_an_actor_comes_from)
{
    struct stage stage;
    struct troupe_sys_answer answer;
    troupe_pid parent;
    troupe_pid pid;

    stage_open(&stage, TROUPE_NO_THREADS);
    parent = stage_spawn(&stage, &stage_puppet, NULL);
    cr_assert_eq(stage_do(&stage, parent, spawn_tally, &pid), TROUPE_OK);
    cr_assert_eq(sys_do(&stage, pid, TROUPE_SYS_STATUS, &answer), TROUPE_OK);
    cr_assert_eq(answer.parent, parent);
    cr_assert_str_eq(answer.behaviour, "tally");
    cr_assert_eq(answer.incarnation, 0);
    stage_close(&stage);
}

Test(sys, a_foreign_thread_asks_and_waits)
{
    struct stage stage;
    struct troupe_sys_question question = {.op = TROUPE_SYS_SUSPEND};
    struct troupe_sys_answer answer;
    struct stage_end end;
    troupe_pid pid;
    int two = 2;

    stage_open(&stage, 2);
    pid = stage_spawn(&stage, &tally.behaviour, NULL);
    cr_assert_eq(troupe_runtime_sys(stage.runtime, pid, &question, 5000, NULL), TROUPE_OK);
    stage_send(&stage, pid, &add, &two);
    question.op = TROUPE_SYS_STATUS;
    cr_assert_eq(troupe_runtime_sys(stage.runtime, pid, &question, 5000, &answer), TROUPE_OK);
    cr_assert_eq(answer.suspensions, 1);
    cr_assert_str_eq(answer.text, "sum 0");
    question.op = TROUPE_SYS_RESUME;
    cr_assert_eq(troupe_runtime_sys(stage.runtime, pid, &question, 5000, &answer), TROUPE_OK);
    cr_assert_eq(troupe_runtime_sys(stage.runtime, pid, &question, 5000, &answer), TROUPE_EBUSY);
    question.op = TROUPE_SYS_STATUS;
    cr_assert_eq(troupe_runtime_sys(stage.runtime, pid, &question, 5000, &answer), TROUPE_OK);
    cr_assert_str_eq(answer.text, "sum 2");
    stage_watch(&stage, pid, &end);
    cr_assert_eq(troupe_runtime_exit(stage.runtime, pid, TROUPE_EXIT_KILL), TROUPE_OK);
    /* From the kill on it is not alive; only once others are told of its end is it gone. */
    STAGE_AWAIT(&stage, end.count == 1);
    cr_assert_eq(troupe_runtime_sys(stage.runtime, pid, &question, 5000, &answer), TROUPE_EGONE);
    stage_close(&stage);
}
