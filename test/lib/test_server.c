/* SPDX-License-Identifier: MIT */
/* Server: rows 5.2 to 5.12 and 2.25 of the contract. */
#include "test/support/clock.h"
#include "test/support/hoard.h"
#include "test/support/stage.h"

#include <troupe/blocking.h>
#include <troupe/server.h>
#include <troupe/stash.h>
#include <troupe/sys.h>

/* ---- a small program: a bank account that is a server ----
 *
 * Compare examples/bank.c, where the same is written as a `receive`. */

struct deposit {
    int cents;
};

struct balance {
    int cents;
};

static const struct troupe_type deposit = TROUPE_TYPE(struct deposit);
static const struct troupe_type get_balance = TROUPE_SIGNAL;
static const struct troupe_type balance = TROUPE_TYPE(struct balance);

struct account {
    struct balance now;
};

static int on_deposit(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    const struct deposit *body = troupe_body(msg);

    TROUPE_CHECK(self, body->cents >= 0);
    ((struct account *)state)->now.cents += body->cents;
    return TROUPE_OK;
}

static int on_get(
    struct troupe_actor *self, void *state, struct troupe_message *request, void *answer)
{
    (void)self;
    (void)request;
    *(struct balance *)answer = ((struct account *)state)->now;
    return TROUPE_OK;
}

static const struct troupe_server_call account_calls[] = {{&get_balance, &balance, on_get}};
static const struct troupe_server_cast account_casts[] = {{&deposit, on_deposit}};
static const struct troupe_server account = {
    TROUPE_SERVER("account", struct account),
    .calls = account_calls,
    .call_count = TROUPE_COUNT(account_calls),
    .casts = account_casts,
    .cast_count = TROUPE_COUNT(account_casts),
    .behaviour.capacity = STAGE_ROOM,
};

struct customer {
    troupe_pid account;
    unsigned outcomes;
    int status;
    int cents;
};

static int on_balance(
    struct troupe_actor *self, void *state, void *context, int status, struct troupe_message *reply)
{
    struct customer *customer = context;

    (void)self;
    (void)state;
    customer->outcomes++;
    customer->status = status;
    if (status == TROUPE_OK) {
        customer->cents = ((const struct balance *)troupe_body(reply))->cents;
    }
    return TROUPE_OK;
}

static int pay_in_and_look(struct troupe_actor *self, void *arg)
{
    struct customer *customer = arg;

    TROUPE_TRY(troupe_server_cast(self, customer->account, &deposit, &(struct deposit){30}));
    TROUPE_TRY(troupe_server_cast(self, customer->account, &deposit, &(struct deposit){12}));
    return troupe_server_call(self, customer->account, &get_balance, NULL, 0, on_balance, customer);
}

Test(server, a_small_program)
{
    struct stage stage;
    struct customer customer = {0};

    stage_open(&stage, TROUPE_NO_THREADS);
    customer.account = stage_spawn(&stage, &account.behaviour, NULL);
    cr_assert_eq(
        stage_do(&stage, stage_spawn(&stage, &stage_puppet, NULL), pay_in_and_look, &customer),
        TROUPE_OK);
    cr_assert_eq(customer.status, TROUPE_OK);
    cr_assert_eq(customer.cents, 42);
    stage_close(&stage);
}

/* ---- a server that does what the test says, and notes what happens ---- */

static const struct troupe_type note = TROUPE_TYPE(char);      /* a cast: one letter */
static const struct troupe_type step = TROUPE_TYPE(char);      /* what it continues with */
static const struct troupe_type ask_number = TROUPE_TYPE(int); /* a call in the table */
static const struct troupe_type ask_other = TROUPE_SIGNAL;     /* a call that is in no table */
static const struct troupe_type number = TROUPE_TYPE(int);
static const struct troupe_type large = {"large", 5000, NULL, false};
static const struct troupe_type ask_large = TROUPE_TYPE(int);
static const struct troupe_type tick = TROUPE_SIGNAL;

enum manner {
    ANSWERS,
    REFUSES,
    HOLDS,
    STASHES,
    FAILS,
    LEAVES,
    RETURNS_NONSENSE,
    IS_DONE,
};

struct diary {
    enum manner manner;
    stage_job_fn on_init;
    char text[128];
    unsigned length;
    bool mute;
    bool has_reason;
    struct troupe_reason reason;
    int result;
    struct troupe_message *held;
};

struct state {
    struct diary *diary;
    int number;
};

static void write_down(struct diary *diary, char c)
{
    cr_assert_lt(diary->length, sizeof diary->text - 1);
    diary->text[diary->length++] = c;
}

static int diary_init(struct troupe_actor *self, void *state, const void *arg)
{
    struct diary *diary = (struct diary *)(uintptr_t)arg;

    ((struct state *)state)->diary = diary;
    ((struct state *)state)->number = 7;
    return diary->on_init != NULL ? diary->on_init(self, NULL) : TROUPE_OK;
}

static struct diary *diary_of(void *state)
{
    return ((struct state *)state)->diary;
}

static int behave(struct troupe_actor *self, struct diary *diary, struct troupe_message *msg)
{
    switch (diary->manner) {
    case REFUSES:
        return troupe_reply_error(self, msg, -99);
    case HOLDS:
        return troupe_take(self, msg, &diary->held);
    case STASHES:
        return troupe_stash(self, msg);
    case FAILS:
        return -55;
    case LEAVES:
        troupe_abandon(self, -56, "left");
    case RETURNS_NONSENSE:
        return 17;
    case IS_DONE:
        return TROUPE_DONE;
    case ANSWERS:
        break;
    }
    return TROUPE_OK;
}

static int on_number(
    struct troupe_actor *self, void *state, struct troupe_message *request, void *answer)
{
    *(int *)answer = 2 * *(const int *)troupe_body(request);
    return behave(self, diary_of(state), request);
}

static int on_large(
    struct troupe_actor *self, void *state, struct troupe_message *request, void *answer)
{
    memset(answer, 1, large.size);
    return behave(self, diary_of(state), request);
}

static int diary_call(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    int seven = 7;

    if (!troupe_is(msg, &ask_other)) {
        return TROUPE_EUNKNOWN;
    }
    write_down(diary_of(state), 'O');
    return troupe_reply(self, msg, &number, &seven);
}

static int diary_cast(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    int status;

    if (stage_is_job(self, msg, &status)) {
        return status;
    }
    if (!troupe_is(msg, &note)) {
        return TROUPE_EUNKNOWN;
    }
    write_down(diary_of(state), *(const char *)troupe_body(msg));
    return TROUPE_OK;
}

static int diary_info(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    (void)self;
    write_down(diary_of(state), troupe_is(msg, &troupe_exited) ? 'E' : 'I');
    return TROUPE_OK;
}

static int diary_continued(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    char c = *(const char *)troupe_body(msg);

    write_down(diary_of(state), c);
    /* 5.7: chains keep the property. */
    return c == 'x' ? troupe_server_continue(self, &step, "y") : TROUPE_OK;
}

static int diary_timeout(struct troupe_actor *self, void *state)
{
    (void)self;
    write_down(diary_of(state), 'T');
    return TROUPE_OK;
}

static void diary_hibernate(void *state)
{
    write_down(diary_of(state), '(');
}

static void diary_wake(void *state)
{
    write_down(diary_of(state), ')');
}

static void diary_terminate(
    struct troupe_actor *self, void *state, const struct troupe_reason *reason)
{
    struct diary *diary = diary_of(state);

    (void)self;
    write_down(diary, '.');
    diary->reason = *reason;
    diary->reason.text = NULL;
}

static int diary_format(const void *state, char *text, size_t size)
{
    const struct state *own = state;

    snprintf(text, size, "number %d", own->number);
    return own->diary->mute ? -1 : TROUPE_OK;
}

static const struct troupe_server_call diary_calls[] = {
    {&ask_number, &number, on_number},
    {&ask_large, &large, on_large},
};

#define DIARY(name)                                                                                \
    TROUPE_SERVER(name, struct state),                                                             \
        .calls = diary_calls, .call_count = TROUPE_COUNT(diary_calls), .init = diary_init,         \
        .call = diary_call, .cast = diary_cast, .info = diary_info, .continued = diary_continued,  \
        .timeout = diary_timeout, .hibernate = diary_hibernate, .wake = diary_wake,                \
        .terminate = diary_terminate, .format = diary_format

static const struct troupe_server plain = {DIARY("diary"), .behaviour.capacity = STAGE_ROOM};
static const struct troupe_server trapping = {DIARY("trapping"), .behaviour.trap_exit = true};
static const struct troupe_server bare = {TROUPE_SERVER("bare", int)};

static void send_notes(struct stage *stage, troupe_pid to, const char *letters)
{
    for (; *letters != '\0'; letters++) {
        stage_send(stage, to, &note, letters);
    }
}

/* ---- calls ---- */

struct asked {
    troupe_pid to;
    const struct troupe_type *type;
    int body;
    unsigned outcomes;
    int status;
    int answer;
};

static int on_answer(
    struct troupe_actor *self, void *state, void *context, int status, struct troupe_message *reply)
{
    struct asked *asked = context;

    (void)self;
    (void)state;
    asked->outcomes++;
    asked->status = status;
    asked->answer = reply != NULL ? *(const int *)troupe_body(reply) : 0;
    return TROUPE_OK;
}

static int call(struct troupe_actor *self, void *arg)
{
    struct asked *asked = arg;

    return troupe_server_call(self, asked->to, asked->type,
        asked->type->size > 0 ? &asked->body : NULL, 0, on_answer, asked);
}

/* Asks in a certain manner; the outcome, if there was one. */
static struct asked ask(struct stage *stage, struct diary *diary, troupe_pid to,
    const struct troupe_type *type, enum manner manner)
{
    struct asked asked = {.to = to, .type = type, .body = 21};

    diary->manner = manner;
    cr_assert_eq(stage_do(stage, stage_spawn(stage, &stage_puppet, NULL), call, &asked), TROUPE_OK);
    return asked;
}

Test(server, a_call_is_answered_by_the_table_or_by_hand)
{
    struct stage stage;
    struct diary diary = {0};
    struct asked asked;
    troupe_pid pid;

    stage_open(&stage, TROUPE_NO_THREADS);
    pid = stage_spawn(&stage, &plain.behaviour, &diary);
    asked = ask(&stage, &diary, pid, &ask_number, ANSWERS);
    cr_assert_eq(asked.status, TROUPE_OK);
    cr_assert_eq(asked.answer, 42);
    asked = ask(&stage, &diary, pid, &ask_number, REFUSES);
    cr_assert_eq(asked.status, -99);
    asked = ask(&stage, &diary, pid, &ask_other, ANSWERS);
    cr_assert_eq(asked.answer, 7);
    asked = ask(&stage, &diary, pid, &ask_large, ANSWERS);
    cr_assert_eq(asked.status, TROUPE_OK);
    cr_assert_eq(asked.answer, 0x01010101);
    asked = ask(&stage, &diary, pid, &note, ANSWERS);
    cr_assert_eq(asked.status, TROUPE_EUNANSWERED);
    stage_close(&stage);
}

static int answer_held(struct troupe_actor *self, void *arg)
{
    struct diary *diary = arg;
    int body = 1;

    TROUPE_TRY(troupe_reply(self, diary->held, &number, &body));
    /* 5.3: the second one is not delivered. */
    diary->result = troupe_reply(self, diary->held, &number, &body);
    troupe_message_destroy(diary->held);
    return TROUPE_OK;
}

static int unstash(struct troupe_actor *self, void *arg)
{
    (void)arg;
    return troupe_unstash(self) == 1 ? TROUPE_OK : TROUPE_ENOENT;
}

/* 5.3: a handler may answer later. */
Test(server, a_call_is_answered_later_once)
{
    struct stage stage;
    struct diary diary = {0};
    struct asked asked = {.type = &ask_number, .body = 21};
    troupe_pid puppet;

    stage_open(&stage, TROUPE_NO_THREADS);
    puppet = stage_spawn(&stage, &stage_puppet, NULL);
    asked.to = stage_spawn(&stage, &plain.behaviour, &diary);
    diary.manner = HOLDS;
    cr_assert_eq(stage_do(&stage, puppet, call, &asked), TROUPE_OK);
    cr_assert_eq(asked.outcomes, 0);
    cr_assert_eq(stage_do(&stage, asked.to, answer_held, &diary), TROUPE_OK);
    cr_assert_eq(asked.outcomes, 1);
    cr_assert_eq(asked.answer, 1);
    cr_assert_eq(diary.result, TROUPE_EINVAL);
    diary.manner = STASHES;
    cr_assert_eq(stage_do(&stage, puppet, call, &asked), TROUPE_OK);
    cr_assert_eq(asked.outcomes, 1);
    diary.manner = ANSWERS;
    cr_assert_eq(stage_do(&stage, asked.to, unstash, NULL), TROUPE_OK);
    cr_assert_eq(asked.outcomes, 2);
    cr_assert_eq(asked.answer, 42);
    stage_close(&stage);
}

/* 5.2: the caller is told at once, not at its time-out; 5.11: also of a bad return value.  An answer that was begun,
 * here of 5000 bytes, is given back however the callback ends: stage_close() counts. */
Test(server, a_server_that_ends_during_a_call_tells_the_caller)
{
    static const struct {
        enum manner manner;
        int status;
        enum troupe_exit kind;
        int code;
    } rows[] = {
        {FAILS, TROUPE_EDIED, TROUPE_EXIT_ERROR, -55},
        {LEAVES, TROUPE_EDIED, TROUPE_EXIT_ERROR, -56},
        {RETURNS_NONSENSE, TROUPE_EDIED, TROUPE_EXIT_ERROR, TROUPE_EINVAL},
        {IS_DONE, TROUPE_OK, TROUPE_EXIT_NORMAL, 0},
    };

    for (size_t i = 0; i < TROUPE_COUNT(rows); i++) {
        struct stage stage;
        struct diary diary = {0};
        struct stage_end end;
        struct asked asked;
        troupe_pid pid;

        stage_open(&stage, TROUPE_NO_THREADS);
        pid = stage_spawn(&stage, &plain.behaviour, &diary);
        stage_watch(&stage, pid, &end);
        asked = ask(&stage, &diary, pid, &ask_large, rows[i].manner);
        cr_assert_eq(asked.outcomes, 1);
        cr_assert_eq(asked.status, rows[i].status, "row %zu: %d", i, asked.status);
        cr_assert_eq(end.kind, rows[i].kind);
        cr_assert_eq(end.code, rows[i].code);
        cr_assert_str_eq(diary.text, ".");
        stage_close(&stage);
    }
}

static struct hoard hoard;

static int call_without_memory(struct troupe_actor *self, void *arg)
{
    int error = call(self, arg);

    hoard_fill(&hoard, troupe_runtime_of(self));
    return error;
}

/* The handler is not called if its answer could not be sent. */
Test(server, without_memory_a_call_is_refused_and_changes_nothing)
{
    struct stage stage;
    struct diary diary = {.manner = FAILS};
    struct asked asked = {.type = &ask_number, .body = 21};

    stage_open(&stage, TROUPE_NO_THREADS);
    hoard.memory = &stage.memory;
    asked.to = stage_spawn(&stage, &plain.behaviour, &diary);
    cr_assert_eq(
        stage_do(&stage, stage_spawn(&stage, &stage_puppet, NULL), call_without_memory, &asked),
        TROUPE_OK);
    cr_assert_eq(asked.outcomes, 1);
    cr_assert_eq(asked.status, TROUPE_ENOMEM);
    cr_assert_str_eq(diary.text, "");
    hoard_empty(&hoard);
    stage_close(&stage);
}

/* ---- continue ---- */

static int send_and_continue(struct troupe_actor *self, void *arg)
{
    (void)arg;
    TROUPE_TRY(troupe_send(self, troupe_self(self), &note, "m"));
    TROUPE_TRY(troupe_server_continue(self, &step, "x"));
    return troupe_server_continue(self, &step, "z");
}

/* 5.7: before any other message, including ones the server just sent itself, and those that were queued before. */
Test(server, what_it_continues_with_comes_before_any_message)
{
    struct stage stage;
    struct diary diary = {.on_init = send_and_continue};
    troupe_pid pid;

    stage_open(&stage, TROUPE_NO_THREADS);
    pid = stage_spawn(&stage, &plain.behaviour, &diary);
    send_notes(&stage, pid, "a");
    stage_tell(&stage, pid, send_and_continue, NULL);
    send_notes(&stage, pid, "b");
    stage_run(&stage);
    cr_assert_str_eq(diary.text, "xyzaxyzbmm");
    stage_close(&stage);
}

/* Nobody can forge it: the same type, sent, is a cast. */
Test(server, a_message_of_the_type_it_continues_with_is_no_continuation)
{
    struct stage stage;
    struct diary diary = {0};
    troupe_pid pid;

    stage_open(&stage, TROUPE_NO_THREADS);
    pid = stage_spawn(&stage, &plain.behaviour, &diary);
    stage_send(&stage, pid, &step, "x");
    stage_run(&stage);
    cr_assert_str_eq(diary.text, "");
    cr_assert_eq(stage_books(&stage).unknown, 1);
    stage_close(&stage);
}

/* ---- idle ---- */

static int wait_idle(struct troupe_actor *self, void *arg)
{
    return troupe_server_idle(self, *(int64_t *)arg);
}

static int sys_status(struct troupe_actor *self, void *arg)
{
    struct asked *asked = arg;

    return troupe_sys(self, asked->to, &(struct troupe_sys_question){.op = TROUPE_SYS_STATUS}, 5000,
        on_answer, asked);
}

/* 5.8: cancelled by any message, but not by a system message. */
Test(server, the_idle_timeout_is_ended_by_messages_and_not_by_sys)
{
    struct stage stage;
    struct diary diary = {0};
    struct asked asked = {0};
    int64_t ms = 1000;
    troupe_pid pid;

    stage_open(&stage, TROUPE_NO_THREADS);
    asked.to = pid = stage_spawn(&stage, &plain.behaviour, &diary);
    cr_assert_eq(stage_do(&stage, pid, wait_idle, &ms), TROUPE_OK);
    clock_skip_ms(600);
    send_notes(&stage, pid, "a");
    stage_run(&stage);
    clock_skip_ms(2000);
    stage_run(&stage);
    cr_assert_str_eq(diary.text, "a");
    cr_assert_eq(stage_do(&stage, pid, wait_idle, &ms), TROUPE_OK);
    clock_skip_ms(600);
    cr_assert_eq(
        stage_do(&stage, stage_spawn(&stage, &stage_puppet, NULL), sys_status, &asked), TROUPE_OK);
    cr_assert_eq(asked.outcomes, 1);
    clock_skip_ms(600);
    STAGE_AWAIT(&stage, diary.length == 2);
    cr_assert_str_eq(diary.text, "aT");
    clock_skip_ms(5000);
    stage_run(&stage);
    cr_assert_str_eq(diary.text, "aT");
    stage_close(&stage);
}

/* 5.8: with time 0 delivered before messages already queued.  A tick that is queued behind a message says nothing. */
Test(server, an_idle_time_of_0_comes_before_what_is_queued_and_a_late_tick_says_nothing)
{
    struct stage stage;
    struct diary diary = {0};
    int64_t ms = 0;
    troupe_pid pid;

    stage_open(&stage, TROUPE_NO_THREADS);
    pid = stage_spawn(&stage, &plain.behaviour, &diary);
    stage_tell(&stage, pid, wait_idle, &ms);
    send_notes(&stage, pid, "a");
    stage_run(&stage);
    cr_assert_str_eq(diary.text, "Ta");
    ms = 1000;
    cr_assert_eq(stage_do(&stage, pid, wait_idle, &ms), TROUPE_OK);
    send_notes(&stage, pid, "b");
    clock_skip_ms(2000);
    stage_run(&stage);
    cr_assert_str_eq(diary.text, "Tab");
    ms = TROUPE_FOREVER;
    cr_assert_eq(stage_do(&stage, pid, wait_idle, &ms), TROUPE_OK);
    stage_close(&stage);
}

static int sys_op(struct troupe_actor *self, void *arg)
{
    const struct asked *asked = arg;

    return troupe_sys(self, asked->to,
        &(struct troupe_sys_question){.op = (enum troupe_sys_op)asked->body}, 5000, on_answer, arg);
}

/* The tick of a wait that was replaced is in the queue behind what has replaced it. */
Test(server, a_tick_of_an_earlier_wait_does_not_end_the_present_one)
{
    struct stage stage;
    struct diary diary = {0};
    struct asked asked = {.body = TROUPE_SYS_SUSPEND};
    int64_t ms[2] = {1000, 100000};
    troupe_pid puppet;

    stage_open(&stage, TROUPE_NO_THREADS);
    puppet = stage_spawn(&stage, &stage_puppet, NULL);
    asked.to = stage_spawn(&stage, &plain.behaviour, &diary);
    cr_assert_eq(stage_do(&stage, asked.to, wait_idle, &ms[0]), TROUPE_OK);
    cr_assert_eq(stage_do(&stage, puppet, sys_op, &asked), TROUPE_OK);
    stage_tell(&stage, asked.to, wait_idle, &ms[1]);
    stage_run(&stage);
    clock_skip_ms(2000);
    STAGE_AWAIT(&stage, stage_books(&stage).queued == 2);
    asked.body = TROUPE_SYS_RESUME;
    cr_assert_eq(stage_do(&stage, puppet, sys_op, &asked), TROUPE_OK);
    stage_run(&stage);
    cr_assert_str_eq(diary.text, "");
    clock_skip_ms(100000);
    STAGE_AWAIT(&stage, diary.length == 1);
    cr_assert_str_eq(diary.text, "T");
    stage_close(&stage);
}

/* ---- hibernate ---- */

static int hibernate(struct troupe_actor *self, void *arg)
{
    (void)arg;
    return troupe_server_hibernate(self);
}

/* 2.25: until the next message; one that is queued already means no sleep; introspection is no activity. */
Test(server, it_hibernates_until_the_next_message)
{
    struct stage stage;
    struct diary diary = {0};
    struct asked asked = {0};
    troupe_pid puppet;
    troupe_pid pid;

    stage_open(&stage, TROUPE_NO_THREADS);
    puppet = stage_spawn(&stage, &stage_puppet, NULL);
    asked.to = pid = stage_spawn(&stage, &plain.behaviour, &diary);
    stage_tell(&stage, pid, hibernate, NULL);
    send_notes(&stage, pid, "a");
    stage_run(&stage);
    cr_assert_str_eq(diary.text, "a");
    cr_assert_eq(stage_do(&stage, pid, hibernate, NULL), TROUPE_OK);
    cr_assert_str_eq(diary.text, "a(");
    cr_assert_eq(stage_do(&stage, puppet, sys_status, &asked), TROUPE_OK);
    cr_assert_str_eq(diary.text, "a(");
    send_notes(&stage, pid, "bc");
    stage_run(&stage);
    cr_assert_str_eq(diary.text, "a()bc");
    stage_close(&stage);
}

static int answer_later(
    struct troupe_actor *self, void *state, void *context, int status, struct troupe_message *reply)
{
    (void)self;
    (void)context;
    (void)reply;
    cr_assert_eq(status, TROUPE_EDIED);
    write_down(diary_of(state), 'c');
    return TROUPE_OK;
}

static int ask_and_hibernate(struct troupe_actor *self, void *arg)
{
    TROUPE_TRY(troupe_server_call(self, *(troupe_pid *)arg, &tick, NULL, 0, answer_later, NULL));
    return troupe_server_hibernate(self);
}

static int leave(struct troupe_actor *self, void *arg)
{
    (void)self;
    (void)arg;
    return TROUPE_DONE;
}

static int hold(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct troupe_message *held;
    int status;

    (void)state;
    if (stage_is_job(self, msg, &status)) {
        return status;
    }
    return troupe_take(self, msg, &held);
}

/* 2.25: a continuation does not find a state that was given back: no sleep while an answer is still to come. */
Test(server, it_does_not_hibernate_while_an_answer_is_to_come)
{
    static const struct troupe_behaviour holder = {.name = "holder", .receive = hold};
    struct stage stage;
    struct diary diary = {0};
    troupe_pid to;
    troupe_pid pid;

    stage_open(&stage, TROUPE_NO_THREADS);
    to = stage_spawn(&stage, &holder, NULL);
    pid = stage_spawn(&stage, &plain.behaviour, &diary);
    cr_assert_eq(stage_do(&stage, pid, ask_and_hibernate, &to), TROUPE_OK);
    (void)stage_do(&stage, to, leave, NULL);
    cr_assert_eq(stage_do(&stage, pid, hibernate, NULL), TROUPE_OK);
    cr_assert_str_eq(diary.text, "c(");
    stage_close(&stage);
}

static int wait_outside(struct troupe_job *job, void *arg)
{
    (void)job;
    return latch_wait(arg, 1) ? TROUPE_OK : TROUPE_ETIMEDOUT;
}

static int note_job(struct troupe_actor *self, void *state, void *arg, int status)
{
    (void)self;
    (void)arg;
    cr_assert_eq(status, TROUPE_OK);
    write_down(diary_of(state), 'j');
    return TROUPE_OK;
}

static int block_and_hibernate(struct troupe_actor *self, void *arg)
{
    TROUPE_TRY(troupe_blocking(self, wait_outside, arg, NULL, note_job, NULL));
    return troupe_server_hibernate(self);
}

/* The same of a job. */
Test(server, it_does_not_hibernate_while_a_job_of_its_own_is_not_over, .timeout = 60)
{
    struct stage stage;
    struct diary diary = {0};
    struct latch until = LATCH_INIT;
    troupe_pid pid;

    stage_open(&stage, TROUPE_NO_THREADS);
    pid = stage_spawn(&stage, &plain.behaviour, &diary);
    cr_assert_eq(stage_do(&stage, pid, block_and_hibernate, &until), TROUPE_OK);
    cr_assert_str_eq(diary.text, "");
    latch_hit(&until);
    STAGE_AWAIT(&stage, diary.length > 0);
    cr_assert_eq(stage_do(&stage, pid, hibernate, NULL), TROUPE_OK);
    cr_assert_str_eq(diary.text, "j(");
    stage_close(&stage);
}

/* ---- init ---- */

static int say_ignore(struct troupe_actor *self, void *arg)
{
    (void)self;
    (void)arg;
    return TROUPE_IGNORE;
}

/* 5.1: "ignore" is no error, and no number that means nothing. */
Test(server, an_init_may_say_that_it_is_not_needed)
{
    struct stage stage;
    struct diary diary = {.on_init = say_ignore};
    struct stage_end end;

    stage_open(&stage, TROUPE_NO_THREADS);
    stage_watch(&stage, stage_spawn(&stage, &plain.behaviour, &diary), &end);
    STAGE_AWAIT(&stage, end.count == 1);
    cr_assert_eq(stage_reports(&stage, TROUPE_REPORT_FAILURE), 0);
    cr_assert_str_eq(diary.text, "");
    stage_close(&stage);
}

/* ---- exits ---- */

static int send_shutdown(struct troupe_actor *self, void *arg)
{
    return troupe_send_exit(self, *(troupe_pid *)arg, TROUPE_EXIT_SHUTDOWN);
}

/* 5.10: terminate is called when the parent says so to one that traps, and `info` is not; other exits are messages. */
Test(server, one_that_traps_obeys_its_parent_only)
{
    struct stage stage;
    struct diary diary = {0};
    struct stage_end end;
    troupe_pid pid;

    stage_open(&stage, TROUPE_NO_THREADS);
    pid = stage_spawn(&stage, &trapping.behaviour, &diary);
    stage_watch(&stage, pid, &end);
    cr_assert_eq(
        stage_do(&stage, stage_spawn(&stage, &stage_puppet, NULL), send_shutdown, &pid), TROUPE_OK);
    cr_assert_str_eq(diary.text, "E");
    cr_assert_eq(troupe_runtime_exit(stage.runtime, pid, TROUPE_EXIT_SHUTDOWN), TROUPE_OK);
    stage_run(&stage);
    cr_assert_str_eq(diary.text, "E.");
    cr_assert_eq(diary.reason.kind, TROUPE_EXIT_SHUTDOWN);
    cr_assert_eq(end.kind, TROUPE_EXIT_SHUTDOWN);
    stage_close(&stage);
}

/* 5.10: run once when a callback asks to stop, and when it fails in whatever way. */
Test(server, terminate_is_called_once_however_a_callback_ends_it)
{
    static const enum manner manners[] = {IS_DONE, FAILS, LEAVES, RETURNS_NONSENSE};
    static const int codes[] = {0, -55, -56, TROUPE_EINVAL};
    struct stage stage;

    stage_open(&stage, TROUPE_NO_THREADS);
    for (unsigned i = 0; i < TROUPE_COUNT(manners); i++) {
        struct diary diary = {0};
        troupe_pid pid = stage_spawn(&stage, &plain.behaviour, &diary);

        (void)ask(&stage, &diary, pid, &ask_number, manners[i]);
        cr_assert_str_eq(diary.text, ".");
        cr_assert_eq(diary.reason.code, codes[i]);
        cr_assert_eq(diary.reason.kind, codes[i] == 0 ? TROUPE_EXIT_NORMAL : TROUPE_EXIT_ERROR);
    }
    stage_close(&stage);
}

/* 5.10: not run on kill. */
Test(server, a_kill_calls_nobody)
{
    struct stage stage;
    struct diary diary = {0};
    troupe_pid pid;

    stage_open(&stage, TROUPE_NO_THREADS);
    pid = stage_spawn(&stage, &plain.behaviour, &diary);
    stage_run(&stage);
    cr_assert_eq(troupe_runtime_exit(stage.runtime, pid, TROUPE_EXIT_KILL), TROUPE_OK);
    stage_run(&stage);
    cr_assert_str_eq(diary.text, "");
    cr_assert_eq(stage_reports(&stage, TROUPE_REPORT_CRASH), 0);
    stage_close(&stage);
}

/* 5.12: for abnormal reasons only, with the last message and the formatted state. */
Test(server, a_failure_is_reported_with_the_last_message_and_the_state)
{
    struct stage stage;
    struct diary diary = {0};
    troupe_pid pid;

    stage_open(&stage, TROUPE_NO_THREADS);
    pid = stage_spawn(&stage, &plain.behaviour, &diary);
    (void)ask(&stage, &diary, pid, &ask_number, FAILS);
    cr_assert_eq(stage_reports(&stage, TROUPE_REPORT_CRASH), 1);
    cr_assert(strstr(stage.text[TROUPE_REPORT_CRASH], "last message int from ") != NULL, "%s",
        stage.text[TROUPE_REPORT_CRASH]);
    cr_assert(strstr(stage.text[TROUPE_REPORT_CRASH], "number 7") != NULL);
    cr_assert_str_eq(stage.actor[TROUPE_REPORT_CRASH], "diary");
    pid = stage_spawn(&stage, &plain.behaviour, &diary);
    (void)ask(&stage, &diary, pid, &ask_number, IS_DONE);
    pid = stage_spawn(&stage, &plain.behaviour, &diary);
    stage_run(&stage);
    cr_assert_eq(troupe_runtime_exit(stage.runtime, pid, TROUPE_EXIT_SHUTDOWN), TROUPE_OK);
    stage_run(&stage);
    cr_assert_eq(stage_reports(&stage, TROUPE_REPORT_CRASH), 1);
    stage_close(&stage);
}

/* 5.12: a failing formatter changes nothing. */
Test(server, a_failing_formatter_changes_nothing)
{
    struct stage stage;
    struct diary diary = {.mute = true};
    struct stage_end end;
    troupe_pid pid;

    stage_open(&stage, TROUPE_NO_THREADS);
    pid = stage_spawn(&stage, &plain.behaviour, &diary);
    stage_watch(&stage, pid, &end);
    (void)ask(&stage, &diary, pid, &ask_number, FAILS);
    cr_assert_eq(end.code, -55);
    cr_assert_str_eq(diary.text, ".");
    cr_assert(strstr(stage.text[TROUPE_REPORT_CRASH], "not shown") != NULL);
    cr_assert(strstr(stage.text[TROUPE_REPORT_CRASH], "number") == NULL);
    stage_close(&stage);
}

/* ---- the rest ---- */

static int arm_tick(struct troupe_actor *self, void *arg)
{
    (void)arg;
    return troupe_tick_after(self, 0, &tick, NULL, NULL);
}

Test(server, ticks_go_to_info)
{
    struct stage stage;
    struct diary diary = {0};
    troupe_pid pid;

    stage_open(&stage, TROUPE_NO_THREADS);
    pid = stage_spawn(&stage, &plain.behaviour, &diary);
    cr_assert_eq(stage_do(&stage, pid, arm_tick, NULL), TROUPE_OK);
    STAGE_AWAIT(&stage, diary.length == 1);
    cr_assert_str_eq(diary.text, "I");
    stage_close(&stage);
}

static int misuse(struct troupe_actor *self, void *arg)
{
    (void)arg;
    cr_expect_eq(troupe_server_continue(self, &step, "x"), TROUPE_EINVAL);
    cr_expect_eq(troupe_server_idle(self, 1), TROUPE_EINVAL);
    cr_expect_eq(troupe_server_hibernate(self), TROUPE_EINVAL);
    return TROUPE_OK;
}

Test(server, a_server_without_callbacks_knows_nothing_and_lives)
{
    struct stage stage;
    struct diary diary = {0};
    struct asked asked;
    troupe_pid pid;

    stage_open(&stage, TROUPE_NO_THREADS);
    pid = stage_spawn(&stage, &bare.behaviour, NULL);
    asked = ask(&stage, &diary, pid, &ask_number, ANSWERS);
    cr_assert_eq(asked.status, TROUPE_EUNANSWERED);
    send_notes(&stage, pid, "a");
    stage_run(&stage);
    cr_assert(troupe_is_alive(stage.runtime, pid));
    cr_assert_eq(stage_books(&stage).unknown, 2);
    cr_assert_eq(
        stage_do(&stage, stage_spawn(&stage, &stage_puppet, NULL), misuse, NULL), TROUPE_OK);
    stage_close(&stage);
}

/* ---- a server that may wait (fiber.h) ---- */

struct relay {
    struct diary *diary;
    troupe_pid next;
};

static int relay_init(struct troupe_actor *self, void *state, const void *arg)
{
    (void)self;
    *(struct relay *)state = *(const struct relay *)arg;
    return TROUPE_OK;
}

/* Waits in the middle, with a message to itself before its queue. */
static int on_relay(
    struct troupe_actor *self, void *state, struct troupe_message *request, void *answer)
{
    struct relay *relay = state;

    TROUPE_TRY(troupe_server_continue(self, &step, "c"));
    TROUPE_TRY(
        troupe_call(self, relay->next, &ask_number, troupe_body(request), &number, answer, 5000));
    write_down(relay->diary, 'r');
    return TROUPE_OK;
}

static const struct troupe_server_call relay_calls[] = {{&ask_number, &number, on_relay}};
static const struct troupe_server relay_server = {
    TROUPE_SERVER("relay", struct relay),
    .behaviour.may_wait = true,
    .calls = relay_calls,
    .call_count = TROUPE_COUNT(relay_calls),
    .init = relay_init,
    .cast = diary_cast,
    .continued = diary_continued,
};

Test(server, one_that_may_wait_waits_and_goes_on_with_what_stands_before_its_queue, .timeout = 60)
{
    struct stage stage;
    struct diary diary = {0};
    struct diary other = {0};
    struct relay relay = {.diary = &diary};
    struct asked asked = {.type = &ask_number, .body = 21};
    struct asked sys = {.body = TROUPE_SYS_SUSPEND};
    troupe_pid puppet;

    stage_open(&stage, TROUPE_NO_THREADS);
    puppet = stage_spawn(&stage, &stage_puppet, NULL);
    relay.next = stage_spawn(&stage, &plain.behaviour, &other);
    asked.to = stage_spawn(&stage, &relay_server.behaviour, &relay);
    sys.to = relay.next;
    cr_assert_eq(stage_do(&stage, puppet, sys_op, &sys), TROUPE_OK);
    stage_tell(&stage, puppet, call, &asked);
    stage_run(&stage);
    send_notes(&stage, asked.to, "n");
    stage_run(&stage);
    cr_assert_eq(asked.outcomes, 0);
    sys.body = TROUPE_SYS_RESUME;
    cr_assert_eq(stage_do(&stage, puppet, sys_op, &sys), TROUPE_OK);
    cr_assert_eq(asked.outcomes, 1);
    cr_assert_eq(asked.answer, 42);
    cr_assert_str_eq(diary.text, "rcn");
    /* And suspended itself it answers afterwards. */
    sys.to = asked.to;
    sys.body = TROUPE_SYS_SUSPEND;
    cr_assert_eq(stage_do(&stage, puppet, sys_op, &sys), TROUPE_OK);
    stage_tell(&stage, puppet, call, &asked);
    stage_run(&stage);
    cr_assert_eq(asked.outcomes, 1);
    sys.body = TROUPE_SYS_RESUME;
    cr_assert_eq(stage_do(&stage, puppet, sys_op, &sys), TROUPE_OK);
    cr_assert_eq(asked.outcomes, 2);
    cr_assert_str_eq(diary.text, "rcnrc");
    stage_close(&stage);
}

static const struct troupe_server trapping_and_waiting = {
    DIARY("waiting"), .behaviour.trap_exit = true, .behaviour.may_wait = true};

/* 5.10: the parent's exit ends it also where its callbacks run on stacks of their own, suspended or not. */
Test(server, one_that_may_wait_and_traps_obeys_its_parent, .timeout = 60)
{
    struct stage stage;

    stage_open(&stage, TROUPE_NO_THREADS);
    for (int suspended = 0; suspended <= 1; suspended++) {
        struct diary diary = {0};
        struct asked sys = {.body = TROUPE_SYS_SUSPEND};
        struct stage_end end;

        sys.to = stage_spawn(&stage, &trapping_and_waiting.behaviour, &diary);
        stage_watch(&stage, sys.to, &end);
        if (suspended) {
            troupe_pid puppet = stage_spawn(&stage, &stage_puppet, NULL);

            cr_assert_eq(stage_do(&stage, puppet, sys_op, &sys), TROUPE_OK);
        }
        cr_assert_eq(troupe_runtime_exit(stage.runtime, sys.to, TROUPE_EXIT_SHUTDOWN), TROUPE_OK);
        stage_run(&stage);
        cr_assert_eq(end.count, 1);
        cr_assert_eq(end.kind, TROUPE_EXIT_SHUTDOWN);
        cr_assert_str_eq(diary.text, ".");
    }
    stage_close(&stage);
}
