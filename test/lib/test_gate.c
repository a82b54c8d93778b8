/* SPDX-License-Identifier: MIT */
/* Gate: so much is in the works at a time, no permit is lost on any way that a message may go, and who is refused knows why. */
#include "test/support/clock.h"
#include "test/support/stage.h"

#include <pthread.h>
#include <sys/wait.h>

#include <troupe/call.h>
#include <troupe/gate.h>
#include <troupe/overload.h>
#include <troupe/stash.h>

static const struct troupe_type work = TROUPE_TYPE(uint64_t);
static const struct troupe_type large = TROUPE_BYTES;
static const struct troupe_type result = TROUPE_TYPE(uint64_t);

/* ---- one that works ---- */

struct worker;
typedef int (*work_fn)(
    struct troupe_actor *self, struct worker *worker, struct troupe_message *msg);

struct worker {
    work_fn work;
    struct troupe_gate *gate;
    troupe_pid next;
    unsigned handled;
    uint32_t in_flight; /* seen when it handled something */
    struct troupe_message *held;
    struct troupe_permit permit; /* it sends on with */
    int status;                  /* of what it asked */
};

static int worker_init(struct troupe_actor *self, void *state, const void *arg)
{
    (void)self;
    *(struct worker **)state = (struct worker *)(uintptr_t)arg;
    return TROUPE_OK;
}

static struct troupe_gate_numbers numbers_of(const struct troupe_gate *gate)
{
    struct troupe_gate_numbers numbers;

    cr_assert_eq(troupe_gate_read(gate, &numbers), TROUPE_OK);
    return numbers;
}

static uint32_t in_flight(const struct troupe_gate *gate)
{
    return numbers_of(gate).in_flight;
}

static int worker_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct worker *worker = *(struct worker **)state;
    int status;

    if (stage_is_job(self, msg, &status)) {
        return status;
    }
    worker->handled++;
    worker->in_flight = in_flight(worker->gate);
    return worker->work(self, worker, msg);
}

static const struct troupe_behaviour worker_behaviour = {.name = "worker",
    .state_size = sizeof(struct worker *),
    .init = worker_init,
    .receive = worker_receive};

/* For one that is sent to by a worker, which cannot wait. */
static const struct troupe_behaviour roomy_worker = {.name = "worker",
    .state_size = sizeof(struct worker *),
    .init = worker_init,
    .receive = worker_receive,
    .capacity = STAGE_ROOM};

static int just_work(struct troupe_actor *self, struct worker *worker, struct troupe_message *msg)
{
    (void)self;
    (void)worker;
    (void)msg;
    return TROUPE_OK;
}

static int answer(struct troupe_actor *self, struct worker *worker, struct troupe_message *msg)
{
    TROUPE_TRY(troupe_reply(self, msg, &result, &(uint64_t){7}));
    worker->in_flight = in_flight(worker->gate);
    return TROUPE_OK;
}

static int hold(struct troupe_actor *self, struct worker *worker, struct troupe_message *msg)
{
    return troupe_take(self, msg, &worker->held);
}

static int fail(struct troupe_actor *self, struct worker *worker, struct troupe_message *msg)
{
    (void)worker;
    (void)msg;
    return troupe_fail(self, TROUPE_EPROTO, "as the test wants it");
}

/* ---- the stage ---- */

struct scene {
    struct stage stage;
    struct troupe_gate *gate;
    struct worker worker;
    troupe_pid pid;
    int status; /* outcome of what was asked last */
    unsigned outcomes;
};

static void open_with(struct scene *s, work_fn fn, const struct troupe_gate_options *options)
{
    memset(s, 0, sizeof *s);
    stage_open(&s->stage, TROUPE_NO_THREADS);
    cr_assert_eq(troupe_gate_create(s->stage.runtime, options, &s->gate), TROUPE_OK);
    s->worker = (struct worker){.work = fn, .gate = s->gate};
    s->pid = stage_spawn(&s->stage, &worker_behaviour, &s->worker);
    stage_run(&s->stage);
}

static void open_scene(struct scene *s, work_fn fn)
{
    open_with(s, fn, &(struct troupe_gate_options){.limit = 2});
}

/* Every permit came back. */
static void close_scene(struct scene *s)
{
    cr_assert_eq(in_flight(s->gate), 0, "%u permits were lost", in_flight(s->gate));
    cr_assert_eq(numbers_of(s->gate).bytes, 0);
    troupe_gate_destroy(s->gate);
    stage_close(&s->stage);
}

static int enter(struct scene *s, uint64_t bytes, struct troupe_permit *out_permit)
{
    return troupe_gate_enter(s->gate, &(struct troupe_gate_entry){.bytes = bytes}, out_permit);
}

static struct troupe_permit permit_of(struct scene *s)
{
    struct troupe_permit permit = {0};

    cr_assert_eq(enter(s, 0, &permit), TROUPE_OK);
    return permit;
}

/* A message that was let in. */
static struct troupe_message *admitted(struct scene *s)
{
    struct troupe_message *msg = stage_message(&s->stage, &work, &(uint64_t){41});

    cr_assert_eq(troupe_permit_attach(permit_of(s), &msg), TROUPE_OK);
    cr_assert(troupe_is(msg, &work));
    cr_assert_eq(*(const uint64_t *)troupe_body(msg), 41);
    return msg;
}

static int note(
    struct troupe_actor *self, void *state, void *context, int status, struct troupe_message *reply)
{
    struct scene *s = context;

    (void)self;
    (void)state;
    (void)reply;
    s->status = status;
    s->outcomes++;
    return TROUPE_OK;
}

static int ask(struct troupe_actor *self, void *arg)
{
    struct scene *s = arg;

    return troupe_request_message(self, s->pid, admitted(s), 1000, note, s);
}

static int ask_and_end(struct troupe_actor *self, void *arg)
{
    TROUPE_TRY(ask(self, arg));
    return TROUPE_DONE;
}

/* Somebody asks the worker, with a permit. */
static void let_ask(struct scene *s, stage_job_fn how)
{
    stage_tell(&s->stage, stage_spawn(&s->stage, &stage_puppet, NULL), how, s);
    stage_run(&s->stage);
}

static int release_held(struct troupe_actor *self, void *arg)
{
    struct worker *worker = arg;

    (void)self;
    troupe_message_destroy(worker->held);
    return TROUPE_OK;
}

static int answer_held(struct troupe_actor *self, void *arg)
{
    struct worker *worker = arg;
    int error = troupe_reply(self, worker->held, &result, &(uint64_t){7});

    worker->in_flight = in_flight(worker->gate);
    troupe_message_destroy(worker->held);
    return error;
}

/* ---- how many ---- */

Test(gate, lets_in_as_many_as_its_limit_and_not_one_more, .timeout = 20)
{
    struct scene s;
    struct troupe_permit permits[3];

    open_scene(&s, just_work);
    permits[0] = permit_of(&s);
    permits[1] = permit_of(&s);
    cr_assert_eq(enter(&s, 0, &permits[2]), TROUPE_EFULL);
    troupe_permit_return(permits[0]);
    permits[2] = permit_of(&s);
    cr_assert_eq(enter(&s, 0, &permits[0]), TROUPE_EFULL);
    cr_assert_eq(numbers_of(s.gate).highest, 2);
    cr_assert_eq(numbers_of(s.gate).admitted, 3);
    cr_assert_eq(numbers_of(s.gate).refused, 2);
    cr_assert_eq(numbers_of(s.gate).refused_full, 2);
    troupe_permit_return(permits[1]);
    troupe_permit_return(permits[2]);
    troupe_permit_return((struct troupe_permit){0});
    close_scene(&s);
}

Test(gate, has_16384_permits_unless_told_otherwise, .timeout = 20)
{
    static struct troupe_permit permits[TROUPE_GATE_LIMIT_DEFAULT];
    struct troupe_permit more;
    struct scene s;

    open_with(&s, just_work, NULL);
    for (unsigned i = 0; i < TROUPE_COUNT(permits); i++) {
        permits[i] = permit_of(&s);
    }
    cr_assert_eq(enter(&s, 0, &more), TROUPE_EFULL);
    for (unsigned i = 0; i < TROUPE_COUNT(permits); i++) {
        troupe_permit_return(permits[i]);
    }
    close_scene(&s);
}

Test(gate, what_is_let_in_weighs_no_more_than_its_bytes, .timeout = 20)
{
    struct scene s;
    struct troupe_permit first, second;

    open_with(&s, just_work, &(struct troupe_gate_options){.bytes = 1000});
    cr_assert_eq(enter(&s, 1001, &first), TROUPE_EMSGSIZE);
    cr_assert_eq(enter(&s, 600, &first), TROUPE_OK);
    cr_assert_eq(enter(&s, 401, &second), TROUPE_ELIMIT);
    cr_assert_eq(enter(&s, 400, &second), TROUPE_OK);
    cr_assert_eq(numbers_of(s.gate).bytes, 1000);
    cr_assert_eq(numbers_of(s.gate).refused_bytes, 2);
    troupe_permit_return(first);
    cr_assert_eq(enter(&s, 600, &first), TROUPE_OK);
    troupe_permit_return(first);
    troupe_permit_return(second);
    close_scene(&s);
}

/* ---- a permit on its way ---- */

Test(gate, a_permit_returns_when_its_message_was_handled, .timeout = 20)
{
    struct scene s;

    open_scene(&s, just_work);
    cr_assert_eq(troupe_try_send(s.stage.runtime, s.pid, admitted(&s)), TROUPE_OK);
    cr_assert_eq(in_flight(s.gate), 1);
    stage_run(&s.stage);
    cr_assert_eq(s.worker.handled, 1);
    cr_assert_eq(s.worker.in_flight, 1, "it returned before it was handled");
    close_scene(&s);
}

Test(gate, a_permit_of_a_large_message_and_of_one_filled_later_is_the_same, .timeout = 20)
{
    struct troupe_message *msg;
    struct scene s;

    open_scene(&s, just_work);
    cr_assert_eq(troupe_message_create(s.stage.runtime, &large, 100000, &msg), TROUPE_OK);
    cr_assert_eq(troupe_permit_attach(permit_of(&s), &msg), TROUPE_OK);
    memset(troupe_body(msg), 1, troupe_body_size(msg));
    cr_assert_eq(troupe_try_send(s.stage.runtime, s.pid, msg), TROUPE_OK);
    stage_run(&s.stage);
    cr_assert_eq(s.worker.handled, 1);
    close_scene(&s);
}

Test(gate, a_permit_of_a_request_returns_with_its_answer, .timeout = 20)
{
    struct scene s;

    open_scene(&s, answer);
    let_ask(&s, ask);
    cr_assert_eq(s.status, TROUPE_OK);
    cr_assert_eq(s.outcomes, 1);
    cr_assert_eq(s.worker.in_flight, 0, "it was answered, and is still in the works");
    close_scene(&s);
}

Test(gate, a_permit_of_a_request_that_is_held_is_out_until_it_is_answered, .timeout = 20)
{
    struct scene s;

    open_scene(&s, hold);
    let_ask(&s, ask);
    cr_assert_eq(in_flight(s.gate), 1);
    cr_assert_eq(stage_do(&s.stage, s.pid, answer_held, &s.worker), TROUPE_OK);
    cr_assert_eq(s.worker.in_flight, 0);
    cr_assert_eq(s.outcomes, 1);
    close_scene(&s);
}

Test(gate, a_permit_of_a_message_that_was_taken_returns_when_it_ends, .timeout = 20)
{
    struct scene s;

    open_scene(&s, hold);
    cr_assert_eq(troupe_try_send(s.stage.runtime, s.pid, admitted(&s)), TROUPE_OK);
    stage_run(&s.stage);
    cr_assert_eq(in_flight(s.gate), 1);
    cr_assert_eq(stage_do(&s.stage, s.pid, release_held, &s.worker), TROUPE_OK);
    close_scene(&s);
}

Test(gate, a_permit_of_a_request_without_an_answer_returns, .timeout = 20)
{
    struct scene s;

    open_scene(&s, just_work);
    let_ask(&s, ask);
    cr_assert_eq(s.status, TROUPE_EUNANSWERED);
    close_scene(&s);
}

Test(gate, a_permit_returns_when_its_handler_fails, .timeout = 20)
{
    struct scene s;

    open_scene(&s, fail);
    let_ask(&s, ask);
    cr_assert_eq(s.status, TROUPE_EDIED);
    close_scene(&s);
}

Test(gate, a_permit_returns_when_its_receiver_dies_with_it_queued, .timeout = 20)
{
    struct scene s;

    open_scene(&s, just_work);
    cr_assert_eq(troupe_try_send(s.stage.runtime, s.pid, admitted(&s)), TROUPE_OK);
    cr_assert_eq(troupe_runtime_exit(s.stage.runtime, s.pid, TROUPE_EXIT_KILL), TROUPE_OK);
    stage_run(&s.stage);
    cr_assert_eq(s.worker.handled, 0);
    close_scene(&s);
}

Test(gate, a_permit_returns_when_its_holder_dies, .timeout = 20)
{
    struct scene s;

    open_scene(&s, hold);
    let_ask(&s, ask);
    cr_assert_eq(troupe_runtime_exit(s.stage.runtime, s.pid, TROUPE_EXIT_KILL), TROUPE_OK);
    stage_run(&s.stage);
    cr_assert_eq(s.status, TROUPE_EDIED);
    close_scene(&s);
}

static int ask_and_wait(struct troupe_actor *self, void *arg)
{
    TROUPE_TRY(ask(self, arg));
    clock_skip_ms(2000);
    return TROUPE_OK;
}

Test(gate, a_permit_returns_with_a_request_that_is_skipped_because_its_time_passed, .timeout = 20)
{
    struct scene s;

    open_scene(&s, answer);
    let_ask(&s, ask_and_wait);
    cr_assert_eq(s.worker.handled, 0);
    cr_assert_eq(s.status, TROUPE_EEXPIRED);
    close_scene(&s);
}

Test(gate, a_permit_returns_with_a_request_whose_asker_ended, .timeout = 20)
{
    struct scene s;

    open_scene(&s, answer);
    let_ask(&s, ask_and_end);
    cr_assert_eq(s.outcomes, 0);
    cr_assert_eq(s.worker.handled, 1);
    close_scene(&s);
}

Test(gate, a_permit_returns_with_a_message_that_is_destroyed_or_goes_to_nobody, .timeout = 20)
{
    struct troupe_message *msg;
    struct scene s;

    open_scene(&s, just_work);
    troupe_message_destroy(admitted(&s));
    cr_assert_eq(in_flight(s.gate), 0);
    msg = admitted(&s);
    cr_assert_eq(troupe_try_send(s.stage.runtime, TROUPE_NOBODY, msg), TROUPE_EGONE);
    cr_assert_eq(in_flight(s.gate), 1, "a message that is still the caller's has lost its permit");
    cr_assert_eq(troupe_try_send(s.stage.runtime, s.pid, msg), TROUPE_OK);
    stage_run(&s.stage);
    cr_assert_eq(s.worker.handled, 1);
    close_scene(&s);
}

static int ask_nobody(struct troupe_actor *self, void *arg)
{
    struct scene *s = arg;
    struct troupe_message *msg = admitted(s);

    cr_assert_eq(troupe_request_message(self, TROUPE_NOBODY, msg, 1000, note, s), TROUPE_EGONE);
    cr_assert_eq(in_flight(s->gate), 1);
    return troupe_send_message(self, s->pid, msg);
}

Test(gate, a_permit_stays_with_a_request_that_was_refused, .timeout = 20)
{
    struct scene s;

    open_scene(&s, just_work);
    let_ask(&s, ask_nobody);
    cr_assert_eq(s.worker.handled, 1);
    close_scene(&s);
}

static int forward(struct troupe_actor *self, struct worker *worker, struct troupe_message *msg)
{
    cr_assert_eq(troupe_forward(self, TROUPE_NOBODY, msg), TROUPE_EGONE);
    return troupe_forward(self, worker->next, msg);
}

Test(gate, a_permit_goes_along_when_its_message_is_forwarded, .timeout = 20)
{
    struct scene s;
    struct worker last;

    open_scene(&s, forward);
    last = (struct worker){.work = answer, .gate = s.gate};
    s.worker.next = stage_spawn(&s.stage, &worker_behaviour, &last);
    let_ask(&s, ask);
    cr_assert_eq(s.status, TROUPE_OK);
    last.work = just_work;
    cr_assert_eq(troupe_try_send(s.stage.runtime, s.pid, admitted(&s)), TROUPE_OK);
    stage_run(&s.stage);
    cr_assert_eq(last.handled, 2);
    cr_assert_eq(last.in_flight, 1, "it did not go along");
    close_scene(&s);
}

static int delegate(struct troupe_actor *self, struct worker *worker, struct troupe_message *msg)
{
    cr_assert_eq(troupe_delegate(self, TROUPE_NOBODY, msg, &work, &(uint64_t){1}), TROUPE_EGONE);
    cr_assert_eq(in_flight(worker->gate), 1, "a request that was refused has lost its permit");
    return troupe_delegate(self, worker->next, msg, &work, &(uint64_t){1});
}

Test(gate, a_permit_goes_along_when_the_duty_to_answer_is_passed_on, .timeout = 20)
{
    struct scene s;
    struct worker last;

    open_scene(&s, delegate);
    last = (struct worker){.work = hold, .gate = s.gate};
    s.worker.next = stage_spawn(&s.stage, &worker_behaviour, &last);
    let_ask(&s, ask);
    cr_assert_eq(in_flight(s.gate), 1);
    cr_assert_eq(stage_do(&s.stage, s.worker.next, answer_held, &last), TROUPE_OK);
    cr_assert_eq(s.status, TROUPE_OK);
    close_scene(&s);
}

/* A mailbox of one message, in whose place something smaller is sent. */
static bool to_less(const struct troupe_message *msg, struct troupe_smaller *out_smaller)
{
    out_smaller->type = &work;
    out_smaller->size = sizeof(uint64_t);
    memcpy(out_smaller->body, troupe_body(msg), sizeof(uint64_t));
    return true;
}

static const struct troupe_overload shrinks = {
    .policy = TROUPE_OVERLOAD_TRANSFORM, .transform = to_less};
static const struct troupe_behaviour shrinking_worker = {.name = "shrinking worker",
    .state_size = sizeof(struct worker *),
    .init = worker_init,
    .receive = worker_receive,
    .capacity = 1,
    .overload = &shrinks};

static int hold_request(
    struct troupe_actor *self, struct worker *worker, struct troupe_message *msg)
{
    return troupe_is_request(msg) ? hold(self, worker, msg) : TROUPE_OK;
}

static int fill_and_ask(struct troupe_actor *self, void *arg)
{
    struct scene *s = arg;

    TROUPE_TRY(troupe_send(self, s->pid, &work, &(uint64_t){1}));
    return ask(self, arg);
}

Test(gate, a_permit_goes_along_when_its_message_is_transformed, .timeout = 20)
{
    struct scene s;

    open_scene(&s, just_work);
    s.pid = stage_spawn(&s.stage, &shrinking_worker, &s.worker);
    stage_run(&s.stage);
    stage_send(&s.stage, s.pid, &work, &(uint64_t){1});
    cr_assert_eq(troupe_try_send(s.stage.runtime, s.pid, admitted(&s)), TROUPE_OK);
    cr_assert_eq(in_flight(s.gate), 1);
    /* It has no room either. */
    cr_assert_eq(troupe_try_send(s.stage.runtime, s.pid, admitted(&s)), TROUPE_OK);
    cr_assert_eq(in_flight(s.gate), 1);
    stage_run(&s.stage);
    cr_assert_eq(s.worker.handled, 2);
    cr_assert_eq(s.worker.in_flight, 1, "it did not go along");
    cr_assert_eq(in_flight(s.gate), 0);
    s.worker.work = hold_request;
    let_ask(&s, fill_and_ask);
    cr_assert_eq(s.worker.in_flight, 1, "it did not go along with the request");
    cr_assert_eq(stage_do(&s.stage, s.pid, answer_held, &s.worker), TROUPE_OK);
    cr_assert_eq(s.status, TROUPE_OK);
    close_scene(&s);
}

#define SHEDDING(policy)                                                                           \
    {                                                                                              \
        .name = "shedding worker", .state_size = sizeof(struct worker *), .init = worker_init,     \
        .receive = worker_receive, .capacity = 1, .overload = (policy)                             \
    }

static const struct troupe_overload drops_newest = {.policy = TROUPE_OVERLOAD_DROP_NEWEST};
static const struct troupe_overload drops_oldest = {.policy = TROUPE_OVERLOAD_DROP_OLDEST};
static const struct troupe_overload expires = {
    .policy = TROUPE_OVERLOAD_DROP_NEWEST, .expire_ms = 1};
static const struct troupe_behaviour shedding[] = {
    SHEDDING(&drops_newest), SHEDDING(&drops_oldest), SHEDDING(&expires)};

static int ask_twice(struct troupe_actor *self, void *arg)
{
    TROUPE_TRY(ask(self, arg));
    usleep(3000);
    return ask(self, arg);
}

Test(gate, a_permit_returns_with_what_a_mailbox_sheds, .timeout = 20)
{
    for (size_t i = 0; i < TROUPE_COUNT(shedding); i++) {
        unsigned handled = i == 2 ? 0 : 1;
        struct scene s;

        open_scene(&s, just_work);
        s.pid = stage_spawn(&s.stage, &shedding[i], &s.worker);
        stage_run(&s.stage);
        cr_assert_eq(troupe_try_send(s.stage.runtime, s.pid, admitted(&s)), TROUPE_OK);
        usleep(3000);
        cr_assert_eq(troupe_try_send(s.stage.runtime, s.pid, admitted(&s)), TROUPE_OK);
        cr_assert_eq(in_flight(s.gate), 1);
        stage_run(&s.stage);
        cr_assert_eq(s.worker.handled, handled);
        cr_assert_eq(in_flight(s.gate), 0);
        s.worker.work = answer;
        let_ask(&s, ask_twice);
        cr_assert_eq(s.worker.handled, 2 * handled);
        cr_assert_eq(s.outcomes, 2);
        close_scene(&s);
    }
}

static int put_off(struct troupe_actor *self, struct worker *worker, struct troupe_message *msg)
{
    worker->work = just_work;
    return troupe_stash(self, msg);
}

static int unstash(struct troupe_actor *self, void *arg)
{
    (void)arg;
    return troupe_unstash(self) == 1 ? TROUPE_OK : TROUPE_EPROTO;
}

Test(gate, a_permit_is_out_while_its_message_is_stashed, .timeout = 20)
{
    struct scene s;

    open_scene(&s, put_off);
    cr_assert_eq(troupe_try_send(s.stage.runtime, s.pid, admitted(&s)), TROUPE_OK);
    stage_run(&s.stage);
    cr_assert_eq(in_flight(s.gate), 1);
    cr_assert_eq(stage_do(&s.stage, s.pid, unstash, NULL), TROUPE_OK);
    stage_run(&s.stage);
    cr_assert_eq(s.worker.handled, 2);
    close_scene(&s);
}

static int pass_on(struct troupe_actor *self, struct worker *worker, struct troupe_message *msg)
{
    struct troupe_message *derived;

    TROUPE_TRY(troupe_message_create(troupe_runtime_of(self), &work, 0, &derived));
    *(uint64_t *)troupe_body(derived) = 1;
    cr_assert_eq(troupe_permit_inherit(self, msg, &msg), TROUPE_EINVAL);
    TROUPE_TRY(troupe_permit_inherit(self, msg, &derived));
    TROUPE_TRY(troupe_send_message(self, worker->next, derived));
    return TROUPE_OK;
}

Test(gate, a_derived_message_shares_the_permit_and_the_last_one_returns_it, .timeout = 20)
{
    struct scene s;
    struct worker last;

    open_scene(&s, pass_on);
    last = (struct worker){.work = hold, .gate = s.gate};
    s.worker.next = stage_spawn(&s.stage, &worker_behaviour, &last);
    cr_assert_eq(troupe_try_send(s.stage.runtime, s.pid, admitted(&s)), TROUPE_OK);
    stage_run(&s.stage);
    cr_assert_eq(last.in_flight, 1, "a share is not another permit");
    cr_assert_eq(in_flight(s.gate), 1, "it returned with the first of two");
    cr_assert_eq(stage_do(&s.stage, s.worker.next, release_held, &last), TROUPE_OK);
    close_scene(&s);
}

Test(gate, a_message_without_a_permit_has_none_to_share, .timeout = 20)
{
    struct scene s;
    struct worker last;

    open_scene(&s, pass_on);
    last = (struct worker){.work = just_work, .gate = s.gate};
    s.worker.next = stage_spawn(&s.stage, &worker_behaviour, &last);
    stage_send(&s.stage, s.pid, &work, &(uint64_t){1});
    stage_run(&s.stage);
    cr_assert_eq(last.handled, 1);
    cr_assert_eq(numbers_of(s.gate).admitted, 0);
    close_scene(&s);
}

static int answer_with_permit(
    struct troupe_actor *self, struct worker *worker, struct troupe_message *msg)
{
    struct troupe_message *reply;

    TROUPE_TRY(troupe_message_create(troupe_runtime_of(self), &result, 0, &reply));
    *(uint64_t *)troupe_body(reply) = 7;
    TROUPE_TRY(troupe_permit_inherit(self, msg, &reply));
    TROUPE_TRY(troupe_reply_message(self, msg, reply));
    worker->in_flight = in_flight(worker->gate);
    return TROUPE_OK;
}

Test(gate, an_answer_may_have_the_permit_until_it_was_read, .timeout = 20)
{
    struct scene s;

    open_scene(&s, answer_with_permit);
    let_ask(&s, ask);
    cr_assert_eq(s.status, TROUPE_OK);
    cr_assert_eq(s.worker.in_flight, 1);
    close_scene(&s);
}

Test(gate, a_message_has_one_permit_and_a_request_that_was_taken_gets_none, .timeout = 20)
{
    struct troupe_message *msg;
    struct troupe_permit permit;
    struct scene s;

    open_scene(&s, hold);
    msg = admitted(&s);
    permit = permit_of(&s);
    cr_assert_eq(troupe_permit_attach(permit, &msg), TROUPE_EINVAL);
    cr_assert_eq(troupe_permit_attach(permit, NULL), TROUPE_EINVAL);
    cr_assert_eq(troupe_permit_attach((struct troupe_permit){0}, &msg), TROUPE_EINVAL);
    troupe_message_destroy(msg);
    troupe_permit_return(permit);
    let_ask(&s, ask);
    permit = permit_of(&s);
    cr_assert_eq(troupe_permit_attach(permit, &s.worker.held), TROUPE_EINVAL);
    troupe_permit_return(permit);
    cr_assert_eq(stage_do(&s.stage, s.pid, answer_held, &s.worker), TROUPE_OK);
    close_scene(&s);
}

/* ---- time ---- */

Test(gate, work_that_is_too_old_is_refused, .timeout = 20)
{
    struct troupe_permit permit;
    struct scene s;

    open_with(&s, just_work, &(struct troupe_gate_options){.age_max_ms = 500});
    cr_assert_eq(troupe_gate_enter(s.gate, &(struct troupe_gate_entry){.age_ms = 500}, &permit),
        TROUPE_EEXPIRED);
    cr_assert_eq(troupe_gate_enter(s.gate,
                     &(struct troupe_gate_entry){.age_ms = 100, .timeout_ms = 100}, &permit),
        TROUPE_EEXPIRED);
    cr_assert_eq(troupe_gate_enter(
                     s.gate, &(struct troupe_gate_entry){.age_ms = 99, .timeout_ms = 100}, &permit),
        TROUPE_OK);
    cr_assert_eq(numbers_of(s.gate).refused_expired, 2);
    troupe_permit_return(permit);
    close_scene(&s);
}

/* One piece of work that waits for so long before it begins; its permit stays out. */
static struct troupe_permit wait_at(struct scene *s, uint64_t us)
{
    struct troupe_permit permit = permit_of(s);

    clock_frozen_ns += us * 1000U;
    troupe_permit_begin(permit);
    return permit;
}

Test(gate, work_that_would_wait_longer_than_somebody_waits_for_it_is_refused, .timeout = 20)
{
    struct troupe_gate_entry entry = {.timeout_ms = 40};
    struct troupe_permit permit, more;
    struct scene s;

    clock_frozen_ns = UINT64_C(1000000000000);
    open_with(&s, just_work, NULL);
    for (unsigned i = 0; i < 100; i++) {
        troupe_permit_return(wait_at(&s, 50000));
    }
    cr_assert_geq(numbers_of(s.gate).delay_us, 45000);
    /* When nobody is in the way what others waited is no matter. */
    cr_assert_eq(troupe_gate_enter(s.gate, &entry, &permit), TROUPE_OK);
    cr_assert_eq(troupe_gate_enter(s.gate, &entry, &more), TROUPE_EEXPIRED);
    entry.timeout_ms = 60;
    cr_assert_eq(troupe_gate_enter(s.gate, &entry, &more), TROUPE_OK);
    troupe_permit_return(more);
    troupe_permit_return(permit);
    close_scene(&s);
}

/* For `ms` there are `count` pieces of work in flight, each of which waits for `us`. */
static unsigned load(struct scene *s, unsigned ms, unsigned count, uint64_t us)
{
    static struct troupe_permit permits[64];
    uint64_t end_ns = clock_frozen_ns + ms * UINT64_C(1000000);
    unsigned most = 0;

    while (clock_frozen_ns < end_ns) {
        unsigned in = 0;

        while (in < count && enter(s, 0, &permits[in]) == TROUPE_OK) {
            in++;
        }
        clock_frozen_ns += us * 1000U;
        for (unsigned i = 0; i < in; i++) {
            troupe_permit_begin(permits[i]);
        }
        for (unsigned i = 0; i < in; i++) {
            troupe_permit_return(permits[i]);
        }
        most = in > most ? in : most;
    }
    return most;
}

static void open_with_target(struct scene *s)
{
    clock_frozen_ns = UINT64_C(1000000000000);
    open_with(s, just_work,
        &(struct troupe_gate_options){.limit = 64, .target_us = 1000, .interval_ms = 100});
}

Test(gate, while_work_waits_longer_than_the_target_fewer_are_let_in, .timeout = 20)
{
    struct scene s;

    open_with_target(&s);
    load(&s, 350, 64, 4000);
    cr_assert_leq(numbers_of(s.gate).window, 16, "%u", numbers_of(s.gate).window);
    cr_assert_gt(numbers_of(s.gate).refused_busy, 0);
    cr_assert_eq(numbers_of(s.gate).refused_full, 0);
    close_scene(&s);
}

Test(gate, the_window_is_never_smaller_than_two_for_each_worker, .timeout = 20)
{
    struct scene s;

    open_with_target(&s);
    load(&s, 1000, 64, 90000);
    cr_assert_eq(numbers_of(s.gate).window, 2);
    close_scene(&s);
}

Test(gate, when_work_waits_no_longer_more_are_let_in_again, .timeout = 20)
{
    struct scene s;

    open_with_target(&s);
    load(&s, 1000, 64, 90000);
    load(&s, 5000, 64, 500);
    cr_assert_eq(numbers_of(s.gate).window, 64);
    cr_assert_eq(load(&s, 10, 64, 500), 64);
    close_scene(&s);
}

Test(gate, a_burst_that_is_worked_off_does_no_harm, .timeout = 20)
{
    struct scene s;

    open_with_target(&s);
    for (unsigned i = 0; i < 20; i++) {
        load(&s, 40, 64, 20000);
        load(&s, 10, 1, 100);
    }
    cr_assert_eq(numbers_of(s.gate).window, 64);
    cr_assert_eq(numbers_of(s.gate).refused, 0);
    close_scene(&s);
}

Test(gate, nobody_is_let_in_if_nothing_that_waits_was_begun_for_an_interval, .timeout = 20)
{
    struct troupe_permit first, more;
    struct scene s;

    open_with_target(&s);
    first = permit_of(&s);
    clock_frozen_ns += 99 * UINT64_C(1000000);
    more = permit_of(&s);
    clock_frozen_ns += 1 * UINT64_C(1000000);
    cr_assert_eq(enter(&s, 0, &(struct troupe_permit){0}), TROUPE_EBUSY);
    troupe_permit_begin(first);
    troupe_permit_return(permit_of(&s));
    troupe_permit_return(first);
    troupe_permit_return(more);
    /* Nothing waits: then it does not matter how long ago that was. */
    clock_frozen_ns += 1000 * UINT64_C(1000000);
    troupe_permit_return(permit_of(&s));
    close_scene(&s);
}

Test(gate, the_delay_ends_when_the_message_comes_to_its_handler, .timeout = 20)
{
    struct scene s;

    clock_frozen_ns = UINT64_C(1000000000000);
    open_scene(&s, hold);
    cr_assert_eq(troupe_try_send(s.stage.runtime, s.pid, admitted(&s)), TROUPE_OK);
    clock_frozen_ns += 8000000;
    stage_run(&s.stage);
    cr_assert_eq(numbers_of(s.gate).delay_us, 1000, "an eighth of 8 ms");
    clock_frozen_ns += 8000000;
    cr_assert_eq(stage_do(&s.stage, s.pid, release_held, &s.worker), TROUPE_OK);
    cr_assert_eq(numbers_of(s.gate).delay_us, 1000, "it was measured twice");
    close_scene(&s);
}

/* ---- memory ---- */

enum { MEMORY_MAX = 64 << 20, PIECE = 1 << 20 };

Test(gate, nobody_is_let_in_when_the_runtime_uses_four_fifths_of_its_memory, .timeout = 20)
{
    struct troupe_runtime_options options = {
        .workers = TROUPE_NO_THREADS, .limits = {.memory = MEMORY_MAX}};
    struct troupe_message *msgs[64];
    struct troupe_message *small;
    struct troupe_permit permit;
    struct troupe_gate *gate;
    struct stage stage;
    troupe_pid pid;
    unsigned count = 0;
    int error = TROUPE_OK;

    stage_open_with(&stage, &options);
    cr_assert_eq(troupe_gate_create(stage.runtime, NULL, &gate), TROUPE_OK);
    pid = stage_spawn(&stage, &stage_puppet, NULL);
    while (stage_books(&stage).memory < MEMORY_MAX / 10 * 8) {
        cr_assert_eq(troupe_gate_enter(gate, NULL, &permit), TROUPE_OK);
        troupe_permit_return(permit);
        cr_assert_eq(
            troupe_message_create(stage.runtime, &large, PIECE, &msgs[count++]), TROUPE_OK);
    }
    cr_assert_eq(troupe_gate_enter(gate, NULL, &permit), TROUPE_ENOMEM);
    cr_assert_eq(numbers_of(gate).refused_memory, 1);
    /* A foreign thread may still send; from nine tenths on it may not. */
    small = stage_message(&stage, &work, &(uint64_t){1});
    cr_assert_eq(troupe_try_send(stage.runtime, TROUPE_NOBODY, small), TROUPE_EGONE);
    while (stage_books(&stage).memory < MEMORY_MAX / 10 * 9) {
        cr_assert_eq(
            troupe_message_create(stage.runtime, &large, PIECE, &msgs[count++]), TROUPE_OK);
    }
    cr_assert_eq(troupe_try_send(stage.runtime, pid, small), TROUPE_ENOMEM);
    cr_assert_eq(troupe_send_wait(stage.runtime, pid, small, 1000), TROUPE_ENOMEM);
    /* At the limit nobody gets any more, and what is reserved arrives. */
    while (error == TROUPE_OK) {
        error = troupe_message_create(stage.runtime, &large, PIECE, &msgs[count]);
        count += error == TROUPE_OK;
    }
    cr_assert_eq(error, TROUPE_ENOMEM);
    cr_assert_eq(troupe_runtime_exit(stage.runtime, pid, TROUPE_EXIT_KILL), TROUPE_OK);
    stage_run(&stage);
    cr_assert_not(troupe_is_alive(stage.runtime, pid));
    troupe_message_destroy(small);
    while (count > 0) {
        troupe_message_destroy(msgs[--count]);
    }
    cr_assert_eq(troupe_gate_enter(gate, NULL, &permit), TROUPE_OK);
    troupe_permit_return(permit);
    troupe_gate_destroy(gate);
    stage_close(&stage);
}

Test(gate, memory_that_lies_free_in_pools_is_not_used, .timeout = 60)
{
    struct troupe_runtime_options options = {
        .workers = TROUPE_NO_THREADS, .limits = {.memory = MEMORY_MAX}};
    struct troupe_message *first = NULL;
    struct troupe_permit permit;
    struct troupe_gate *gate;
    struct stage stage;

    stage_open_with(&stage, &options);
    cr_assert_eq(troupe_gate_create(stage.runtime, NULL, &gate), TROUPE_OK);
    while (troupe_gate_enter(gate, NULL, &permit) == TROUPE_OK) {
        struct troupe_message *msg = NULL;

        troupe_permit_return(permit);
        cr_assert_eq(troupe_message_create(stage.runtime, &large, 1000, &msg), TROUPE_OK);
        *(struct troupe_message **)troupe_body(msg) = first;
        first = msg;
    }
    while (first != NULL) {
        struct troupe_message *next = *(struct troupe_message **)troupe_body(first);

        troupe_message_destroy(first);
        first = next;
    }
    cr_assert_geq(stage_books(&stage).memory, MEMORY_MAX / 10 * 8, "it is still held");
    cr_assert_eq(troupe_gate_enter(gate, NULL, &permit), TROUPE_OK);
    troupe_permit_return(permit);
    troupe_gate_destroy(gate);
    stage_close(&stage);
}

/* ---- its end ---- */

Test(gate, permits_that_are_out_outlast_their_gate, .timeout = 20)
{
    struct troupe_message *msg;
    struct troupe_permit permit;
    struct scene s;
    uint64_t blocks;

    open_scene(&s, just_work);
    msg = admitted(&s);
    permit = permit_of(&s);
    blocks = s.stage.memory.blocks;
    troupe_gate_destroy(s.gate);
    troupe_permit_return(permit);
    cr_assert_eq(s.stage.memory.blocks, blocks, "it was freed with a permit out");
    s.worker.gate = NULL;
    troupe_message_destroy(msg);
    cr_assert_eq(s.stage.memory.blocks, blocks - 1, "it was not freed");
    stage_close(&s.stage);
}

Test(gate, one_that_is_left_goes_with_its_runtime, .timeout = 20)
{
    struct troupe_permit permit;
    struct troupe_gate *gate;
    struct stage stage;

    stage_open(&stage, TROUPE_NO_THREADS);
    cr_assert_eq(troupe_gate_create(stage.runtime, NULL, &gate), TROUPE_OK);
    cr_assert_eq(troupe_gate_enter(gate, NULL, &permit), TROUPE_OK);
    stage_close(&stage);
}

Test(gate, a_runtime_has_255_and_then_says_so, .timeout = 20)
{
    struct troupe_gate *gates[TROUPE_GATES_MAX];
    struct troupe_gate *more;
    struct troupe_message *msg;
    struct troupe_permit permit;
    struct stage stage;

    stage_open(&stage, TROUPE_NO_THREADS);
    for (unsigned i = 0; i < TROUPE_GATES_MAX; i++) {
        struct troupe_gate_options options = {.limit = i + 1};

        cr_assert_eq(troupe_gate_create(stage.runtime, &options, &gates[i]), TROUPE_OK);
    }
    cr_assert_eq(troupe_gate_create(stage.runtime, NULL, &more), TROUPE_ELIMIT);
    /* The last permit of each finds its gate. */
    for (unsigned i = 0; i < TROUPE_GATES_MAX; i++) {
        for (unsigned j = 0; j <= i; j++) {
            cr_assert_eq(troupe_gate_enter(gates[i], NULL, &permit), TROUPE_OK);
            msg = stage_message(&stage, &work, &(uint64_t){1});
            cr_assert_eq(troupe_permit_attach(permit, &msg), TROUPE_OK);
            cr_assert_eq(in_flight(gates[i]), 1);
            troupe_message_destroy(msg);
            cr_assert_eq(in_flight(gates[i]), 0);
        }
        troupe_gate_destroy(gates[i]);
    }
    cr_assert_eq(troupe_gate_create(stage.runtime, NULL, &more), TROUPE_OK);
    troupe_gate_destroy(more);
    stage_close(&stage);
}

/* ---- mistakes, and want of memory ---- */

Test(gate, what_is_out_of_range_is_refused, .timeout = 20)
{
    struct troupe_gate_numbers numbers;
    struct troupe_permit permit;
    struct troupe_gate *gate;
    struct stage stage;

    stage_open(&stage, TROUPE_NO_THREADS);
    cr_assert_eq(troupe_gate_create(NULL, NULL, &gate), TROUPE_EINVAL);
    cr_assert_eq(troupe_gate_create(stage.runtime, NULL, NULL), TROUPE_EINVAL);
    cr_assert_eq(troupe_gate_create(stage.runtime,
                     &(struct troupe_gate_options){.limit = TROUPE_GATE_LIMIT_MAX + 1}, &gate),
        TROUPE_EINVAL);
    cr_assert_eq(troupe_gate_create(stage.runtime,
                     &(struct troupe_gate_options){.bytes = (UINT64_C(1) << 39) + 1}, &gate),
        TROUPE_EINVAL);
    cr_assert_eq(troupe_gate_create(stage.runtime, NULL, &gate), TROUPE_OK);
    cr_assert_eq(troupe_gate_enter(NULL, NULL, &permit), TROUPE_EINVAL);
    cr_assert_eq(troupe_gate_enter(gate, NULL, NULL), TROUPE_EINVAL);
    cr_assert_eq(troupe_gate_read(NULL, &numbers), TROUPE_EINVAL);
    cr_assert_eq(troupe_gate_read(gate, NULL), TROUPE_EINVAL);
    troupe_gate_destroy(NULL);
    troupe_gate_destroy(gate);
    stage_close(&stage);
}

Test(gate, without_memory_there_is_no_gate_and_no_trace, .timeout = 20)
{
    struct troupe_gate *gate = NULL;
    struct stage stage;
    uint64_t blocks;

    stage_open(&stage, TROUPE_NO_THREADS);
    blocks = stage.memory.blocks;
    test_allocator_fail_mine(1);
    cr_assert_eq(troupe_gate_create(stage.runtime, NULL, &gate), TROUPE_ENOMEM);
    cr_assert_null(gate);
    cr_assert_eq(stage.memory.blocks, blocks);
    stage_close(&stage);
}

Test(gate, a_forked_child_is_let_in_nowhere, .timeout = 20)
{
    struct troupe_permit permit;
    struct scene s;
    pid_t child;
    int status = 0;

    open_scene(&s, just_work);
    permit = permit_of(&s);
    child = fork();
    cr_assert_geq(child, 0);
    if (child == 0) {
        struct troupe_permit more;
        int error = enter(&s, 0, &more);

        troupe_permit_return(permit);
        _exit(error == TROUPE_EFORKED && in_flight(s.gate) == 1 ? 0 : 1);
    }
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    troupe_permit_return(permit);
    close_scene(&s);
}

/* ---- many at once ---- */

enum { THREADS = 4, ROUNDS = 20000, LIMIT = 3 };

struct crowd {
    struct troupe_gate *gate;
    _Atomic unsigned inside;
    _Atomic unsigned most;
    _Atomic unsigned refused;
};

static void *crowd_main(void *arg)
{
    struct crowd *crowd = arg;

    for (unsigned i = 0; i < ROUNDS; i++) {
        struct troupe_gate_entry entry = {.bytes = i % 7};
        struct troupe_permit permit;
        unsigned inside;

        if (troupe_gate_enter(crowd->gate, &entry, &permit) != TROUPE_OK) {
            crowd->refused++;
            continue;
        }
        inside = ++crowd->inside;
        if (inside > crowd->most) {
            crowd->most = inside;
        }
        crowd->inside--;
        troupe_permit_return(permit);
    }
    return NULL;
}

Test(gate, threads_that_enter_at_once_are_never_more_than_its_limit, .timeout = 120)
{
    struct troupe_gate_options options = {.limit = LIMIT, .target_us = 1000000};
    struct crowd crowd = {0};
    struct troupe_gate_numbers numbers;
    pthread_t threads[THREADS];
    struct stage stage;

    stage_open(&stage, 1);
    cr_assert_eq(troupe_gate_create(stage.runtime, &options, &crowd.gate), TROUPE_OK);
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_create(&threads[i], NULL, crowd_main, &crowd);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    numbers = numbers_of(crowd.gate);
    cr_assert_leq(crowd.most, LIMIT);
    cr_assert_leq(numbers.highest, LIMIT);
    cr_assert_eq(numbers.in_flight, 0);
    cr_assert_eq(numbers.bytes, 0);
    cr_assert_eq(numbers.refused, crowd.refused);
    cr_assert_eq(numbers.admitted + numbers.refused, THREADS * ROUNDS);
    troupe_gate_destroy(crowd.gate);
    stage_close(&stage);
}

/* ---- threads that bring work to actors ---- */

struct flow {
    struct scene *s;
    unsigned sent;
    bool failed;
};

static void *bring(void *arg)
{
    struct flow *flow = arg;
    struct troupe_runtime *runtime = flow->s->stage.runtime;

    for (unsigned i = 0; i < ROUNDS; i++) {
        struct troupe_message *msg = NULL;
        struct troupe_permit permit;

        if (troupe_gate_enter(flow->s->gate, NULL, &permit) != TROUPE_OK) {
            continue;
        }
        if (troupe_message_create(runtime, &work, 0, &msg) != TROUPE_OK ||
            troupe_permit_attach(permit, &msg) != TROUPE_OK) {
            troupe_message_destroy(msg);
            troupe_permit_return(permit);
            flow->failed = true;
            return NULL;
        }
        *(uint64_t *)troupe_body(msg) = i;
        if (troupe_send_wait(runtime, flow->s->pid, msg, LATCH_LIMIT_S * 1000) == TROUPE_OK) {
            flow->sent++;
        } else {
            troupe_message_destroy(msg);
        }
    }
    return NULL;
}

static int share(struct troupe_actor *self, struct worker *worker, struct troupe_message *msg)
{
    if (worker->in_flight > LIMIT) {
        return troupe_fail(self, TROUPE_EPROTO, "too many were let in");
    }
    return pass_on(self, worker, msg);
}

Test(gate, what_threads_bring_to_workers_is_never_more_than_its_limit, .timeout = 120)
{
    struct troupe_gate_options options = {.limit = LIMIT, .target_us = 1000000};
    struct flow flows[THREADS];
    pthread_t threads[THREADS];
    struct worker last;
    struct scene s;
    unsigned sent = 0;

    memset(&s, 0, sizeof s);
    stage_open(&s.stage, 2);
    cr_assert_eq(troupe_gate_create(s.stage.runtime, &options, &s.gate), TROUPE_OK);
    last = (struct worker){.work = just_work, .gate = s.gate};
    s.worker = (struct worker){.work = share, .gate = s.gate};
    s.worker.next = stage_spawn(&s.stage, &roomy_worker, &last);
    s.pid = stage_spawn(&s.stage, &worker_behaviour, &s.worker);
    for (unsigned i = 0; i < THREADS; i++) {
        flows[i] = (struct flow){.s = &s};
        pthread_create(&threads[i], NULL, bring, &flows[i]);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        cr_assert_not(flows[i].failed);
        sent += flows[i].sent;
    }
    STAGE_AWAIT(&s.stage, in_flight(s.gate) == 0);
    cr_assert_leq(numbers_of(s.gate).highest, LIMIT);
    cr_assert_eq(numbers_of(s.gate).admitted, sent);
    troupe_gate_destroy(s.gate);
    stage_close(&s.stage);
    cr_assert_eq(s.worker.handled, sent);
    cr_assert_eq(last.handled, sent);
}
