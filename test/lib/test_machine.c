/* SPDX-License-Identifier: MIT */
/* State machine: rows 5.14 to 5.16 of the contract. */
#include "test/support/clock.h"
#include "test/support/random.h"
#include "test/support/stage.h"

#include <troupe/machine.h>
#include <troupe/sys.h>

/* ---- a small program: a door that can be locked ---- */

enum { OPEN, SHUT, LOCKED };

static const struct troupe_type push = TROUPE_SIGNAL;
static const struct troupe_type turn_key = TROUPE_SIGNAL;

struct door {
    unsigned rang;
};

static int open_event(struct troupe_actor *self, void *data, const struct troupe_event *event)
{
    (void)data;
    return troupe_is(event->msg, &push) ? troupe_machine_next(self, SHUT) : TROUPE_POSTPONE;
}

static int shut_event(struct troupe_actor *self, void *data, const struct troupe_event *event)
{
    (void)data;
    return troupe_machine_next(self, troupe_is(event->msg, &push) ? OPEN : LOCKED);
}

static int locked_enter(struct troupe_actor *self, void *data, int from)
{
    (void)data;
    (void)from;
    return troupe_machine_timeout(self, TROUPE_EVENT_STATE_TIMEOUT, 0, 1000, NULL);
}

static int locked_event(struct troupe_actor *self, void *data, const struct troupe_event *event)
{
    if (event->kind == TROUPE_EVENT_STATE_TIMEOUT || troupe_is(event->msg, &turn_key)) {
        return troupe_machine_next(self, SHUT);
    }
    ((struct door *)data)->rang++;
    return TROUPE_OK;
}

static const struct troupe_machine_state door_states[] = {
    [OPEN] = {.name = "open", .event = open_event},
    [SHUT] = {.name = "shut", .event = shut_event},
    [LOCKED] = {.name = "locked", .enter = locked_enter, .event = locked_event},
};
static const struct troupe_machine door = {
    TROUPE_MACHINE("door", struct door),
    .states = door_states,
    .state_count = TROUPE_COUNT(door_states),
};

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
        asked->answer = *(const struct troupe_sys_answer *)troupe_body(reply);
    }
    return TROUPE_OK;
}

static int ask(struct troupe_actor *self, void *arg)
{
    struct asked *asked = arg;

    return troupe_sys(self, asked->to, &asked->question, 5000, on_answer, asked);
}

static struct troupe_sys_answer sys_do(struct stage *stage, troupe_pid to, enum troupe_sys_op op)
{
    struct asked asked = {.to = to, .question.op = op};

    cr_assert_eq(stage_do(stage, stage_spawn(stage, &stage_puppet, NULL), ask, &asked), TROUPE_OK);
    cr_assert_eq(asked.status, TROUPE_OK);
    return asked.answer;
}

static const char *state_of(struct stage *stage, troupe_pid to)
{
    return sys_do(stage, to, TROUPE_SYS_STATUS).state;
}

Test(machine, a_small_program)
{
    struct stage stage;
    troupe_pid pid;

    stage_open(&stage, TROUPE_NO_THREADS);
    pid = stage_spawn(&stage, &door.behaviour, NULL);
    cr_assert_str_eq(state_of(&stage, pid), "open");
    stage_send(&stage, pid, &turn_key, NULL); /* waits until the door is shut */
    cr_assert_str_eq(state_of(&stage, pid), "open");
    stage_send(&stage, pid, &push, NULL);
    cr_assert_str_eq(state_of(&stage, pid), "locked");
    stage_send(&stage, pid, &push, NULL);
    cr_assert_str_eq(state_of(&stage, pid), "locked");
    clock_skip_ms(1100);
    STAGE_AWAIT(&stage, strcmp(state_of(&stage, pid), "shut") == 0);
    stage_close(&stage);
}

/* ---- a machine that does what its events say, and notes what happens ---- */

#define STATES 3

struct timing {
    enum troupe_event_kind kind; /* 0: none */
    uint32_t name;
    int64_t ms;
    char payload;
    bool update;
};

struct order {
    char name;
    char next;            /* '0' to '2'; 0: stay */
    const char *postpone; /* in these states, nothing else is done */
    const char *inserts;  /* events of these names */
    struct timing timings[2];
    int status;
};

static const struct troupe_type order = TROUPE_TYPE(struct order);
static const struct troupe_type inner = TROUPE_TYPE(char);

/* What happened, two letters each: the state, or `>` at the entry of it; and the name of the event, or the payload of
 * a time-out, or the state before. */
struct diary {
    char text[1024];
    size_t length;
    struct timing on_enter[STATES];
    char inner_postponed_in; /* a state */
    char timeouts_postponed_in;
    int enter_result;
    bool terminated;
};

static const char payloads[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";

static void write_down(struct diary *diary, char first, char second)
{
    cr_assert_lt(diary->length, sizeof diary->text - 4);
    diary->text[diary->length++] = first;
    diary->text[diary->length++] = second;
    diary->text[diary->length++] = ' ';
}

static struct diary *diary_of(void *data)
{
    return *(struct diary **)data;
}

static int set_timing(struct troupe_actor *self, const struct timing *timing)
{
    void *payload = (void *)(uintptr_t)strchr(payloads, timing->payload);

    if (timing->kind == 0) {
        return TROUPE_OK;
    }
    return timing->update
               ? troupe_machine_update(self, timing->kind, timing->name, payload)
               : troupe_machine_timeout(self, timing->kind, timing->name, timing->ms, payload);
}

static int follow(struct troupe_actor *self, const struct order *what, char state)
{
    if (what->postpone != NULL && strchr(what->postpone, state) != NULL) {
        return TROUPE_POSTPONE;
    }
    for (const char *c = what->inserts; c != NULL && *c != '\0'; c++) {
        TROUPE_TRY(troupe_machine_insert(self, &inner, c));
    }
    for (unsigned i = 0; i < TROUPE_COUNT(what->timings); i++) {
        TROUPE_TRY(set_timing(self, &what->timings[i]));
    }
    if (what->next != 0) {
        TROUPE_TRY(troupe_machine_next(self, what->next - '0'));
    }
    return what->status;
}

static int any_event(struct troupe_actor *self, void *data, const struct troupe_event *event)
{
    struct diary *diary = diary_of(data);
    char state = (char)('0' + troupe_machine_state(self));
    int status;

    switch (event->kind) {
    case TROUPE_EVENT_TIMEOUT:
    case TROUPE_EVENT_STATE_TIMEOUT:
    case TROUPE_EVENT_NAMED_TIMEOUT:
        cr_assert_null(event->msg);
        write_down(diary, state, *(const char *)event->payload);
        return diary->timeouts_postponed_in == state ? TROUPE_POSTPONE : TROUPE_OK;
    case TROUPE_EVENT_INNER:
        write_down(diary, state, *(const char *)troupe_body(event->msg));
        return diary->inner_postponed_in == state ? TROUPE_POSTPONE : TROUPE_OK;
    case TROUPE_EVENT_CAST:
        if (stage_is_job(self, event->msg, &status)) {
            return status;
        }
        if (troupe_is(event->msg, &order)) {
            write_down(diary, state, ((const struct order *)troupe_body(event->msg))->name);
            return follow(self, troupe_body(event->msg), state);
        }
        return TROUPE_EUNKNOWN;
    default:
        return TROUPE_EUNKNOWN;
    }
}

static int any_enter(struct troupe_actor *self, void *data, int from)
{
    struct diary *diary = diary_of(data);
    int state = troupe_machine_state(self);

    write_down(diary, '>', (char)('0' + state));
    if (from == -1) {
        /* 5.15: may not change state or insert. */
        diary->enter_result = troupe_machine_next(self, 1) == TROUPE_EBUSY &&
                              troupe_machine_insert(self, &inner, "!") == TROUPE_EBUSY;
    }
    return set_timing(self, &diary->on_enter[state]);
}

static int diary_init(struct troupe_actor *self, void *data, const void *arg)
{
    (void)self;
    *(const void **)data = arg;
    return TROUPE_OK;
}

static void diary_terminate(
    struct troupe_actor *self, void *data, const struct troupe_reason *reason)
{
    (void)self;
    (void)reason;
    diary_of(data)->terminated = true;
}

static int diary_format(const void *data, char *text, size_t size)
{
    (void)data;
    return snprintf(text, size, "a diary");
}

static const struct troupe_machine_state diary_states[STATES] = {
    {.name = "zero", .enter = any_enter},
    {.name = "one", .enter = any_enter, .event = any_event},
    {.name = "two", .enter = any_enter, .event = any_event},
};
/* State zero has no function of its own: its events go to the machine's. */
static const struct troupe_machine machine = {
    TROUPE_MACHINE("machine", struct diary *),
    .states = diary_states,
    .state_count = STATES,
    .init = diary_init,
    .event = any_event,
    .terminate = diary_terminate,
    .format = diary_format,
};

static void send_order(struct stage *stage, troupe_pid to, const struct order *what)
{
    stage_send(stage, to, &order, what);
}

#define ORDER(stage, to, ...) send_order((stage), (to), &(struct order){__VA_ARGS__})

/* ---- postponing ---- */

/* 5.14: retried, oldest first, only when the state value changes. */
Test(machine, postponed_events_are_retried_oldest_first_when_the_state_changes)
{
    struct stage stage;
    struct diary diary = {0};
    troupe_pid pid;

    stage_open(&stage, TROUPE_NO_THREADS);
    pid = stage_spawn(&stage, &machine.behaviour, &diary);
    ORDER(&stage, pid, .name = 'a', .postpone = "0");
    ORDER(&stage, pid, .name = 'b', .postpone = "01");
    ORDER(&stage, pid, .name = 'c', .postpone = "0");
    ORDER(&stage, pid, .name = 'd', .next = '0'); /* no other state: nothing is tried again */
    ORDER(&stage, pid, .name = 'e', .next = '1');
    ORDER(&stage, pid, .name = 'f', .next = '2');
    stage_run(&stage);
    cr_assert_str_eq(diary.text, ">0 0a 0b 0c 0d 0e >1 1a 1b 1c 1f >2 2b ");
    cr_assert_eq(diary.enter_result, 1);
    stage_close(&stage);
}

static int postpone_and_leave(
    struct troupe_actor *self, void *data, const struct troupe_event *event)
{
    struct diary *diary = diary_of(data);

    write_down(diary, (char)('0' + troupe_machine_state(self)),
        ((const struct order *)troupe_body(event->msg))->name);
    if (troupe_machine_state(self) == 0) {
        TROUPE_TRY(troupe_machine_next(self, 1));
        return TROUPE_POSTPONE;
    }
    return TROUPE_OK;
}

static const struct troupe_machine_state leaving_states[] = {
    {.name = "zero", .event = postpone_and_leave},
    {.name = "one", .event = postpone_and_leave},
};
static const struct troupe_machine leaving = {
    TROUPE_MACHINE("leaving", struct diary *),
    .states = leaving_states,
    .state_count = TROUPE_COUNT(leaving_states),
    .init = diary_init,
};

/* It is tried again in the new state, before what is queued behind it. */
Test(machine, an_event_may_be_postponed_by_the_callback_that_changes_the_state)
{
    struct stage stage;
    struct diary diary = {0};
    troupe_pid pid;

    stage_open(&stage, TROUPE_NO_THREADS);
    pid = stage_spawn(&stage, &leaving.behaviour, &diary);
    ORDER(&stage, pid, .name = 'a');
    ORDER(&stage, pid, .name = 'b');
    stage_run(&stage);
    cr_assert_str_eq(diary.text, "0a 1a 1b ");
    stage_close(&stage);
}

/* 5.14: bounded, overflow is an error. */
Test(machine, postponing_has_a_limit)
{
    struct stage stage;
    struct diary diary = {0};
    struct stage_end end;
    troupe_pid pid;

    stage_open_with(&stage,
        &(struct troupe_runtime_options){.workers = TROUPE_NO_THREADS, .limits.actor_stash = 3});
    pid = stage_spawn(&stage, &machine.behaviour, &diary);
    stage_watch(&stage, pid, &end);
    for (unsigned i = 0; i < 3; i++) {
        ORDER(&stage, pid, .name = 'a', .postpone = "0");
    }
    stage_run(&stage);
    cr_assert_eq(end.count, 0);
    cr_assert_eq(sys_do(&stage, pid, TROUPE_SYS_STATUS).stashed, 3);
    ORDER(&stage, pid, .name = 'b', .postpone = "0");
    stage_run(&stage);
    cr_assert_eq(end.count, 1);
    cr_assert_eq(end.code, TROUPE_ELIMIT);
    cr_assert_str_eq(end.text, "an event could not be postponed");
    cr_assert(strstr(stage.text[TROUPE_REPORT_CRASH], "in zero; state: a diary") != NULL, "%s",
        stage.text[TROUPE_REPORT_CRASH]);
    stage_close(&stage);
}

/* ---- inserted events ---- */

/* 5.15: before everything queued, in list order, also before what is tried again; and before the new state's first
 * event its entry. */
Test(machine, inserted_events_come_first_in_order)
{
    struct stage stage;
    struct diary diary = {0};
    troupe_pid pid;

    stage_open(&stage, TROUPE_NO_THREADS);
    pid = stage_spawn(&stage, &machine.behaviour, &diary);
    ORDER(&stage, pid, .name = 'p', .postpone = "0");
    ORDER(&stage, pid, .name = 'a', .inserts = "xyz", .next = '1');
    ORDER(&stage, pid, .name = 'b');
    stage_run(&stage);
    cr_assert_str_eq(diary.text, ">0 0p 0a >1 1x 1y 1z 1p 1b ");
    stage_close(&stage);
}

/* 5.15: impossible to forge from outside; they may be postponed like others. */
Test(machine, inner_events_cannot_be_forged_and_can_be_postponed)
{
    struct stage stage;
    struct diary diary = {.inner_postponed_in = '0'};
    troupe_pid pid;

    stage_open(&stage, TROUPE_NO_THREADS);
    pid = stage_spawn(&stage, &machine.behaviour, &diary);
    stage_send(&stage, pid, &inner, "f");
    ORDER(&stage, pid, .name = 'a', .inserts = "xy");
    ORDER(&stage, pid, .name = 'b', .next = '1');
    stage_run(&stage);
    cr_assert_str_eq(diary.text, ">0 0a 0x 0y 0b >1 1x 1y ");
    cr_assert_eq(stage_books(&stage).unknown, 1);
    stage_close(&stage);
}

/* ---- time-outs ---- */

#define EVENT(time, letter)                                                                        \
    {                                                                                              \
        .kind = TROUPE_EVENT_TIMEOUT, .ms = (time), .payload = (letter)                            \
    }
#define STATE(time, letter)                                                                        \
    {                                                                                              \
        .kind = TROUPE_EVENT_STATE_TIMEOUT, .ms = (time), .payload = (letter)                      \
    }
#define NAMED(number, time, letter)                                                                \
    {                                                                                              \
        .kind = TROUPE_EVENT_NAMED_TIMEOUT, .name = (number), .ms = (time), .payload = (letter)    \
    }

/* What happens until nothing is left to wait for. */
static void settle(struct stage *stage, uint64_t ms)
{
    stage_run(stage);
    /* Ticks are due at whole milliseconds. */
    clock_skip_ms(ms + 2);
    stage_run(stage);
}

/* 5.16: one event timeout, cancelled by any event. */
Test(machine, the_event_timeout_is_cancelled_by_any_event)
{
    struct stage stage;
    struct diary diary = {0};
    troupe_pid pid;

    stage_open(&stage, TROUPE_NO_THREADS);
    pid = stage_spawn(&stage, &machine.behaviour, &diary);
    ORDER(&stage, pid, .name = 'a', .timings = {EVENT(100, 'T')});
    settle(&stage, 200);
    cr_assert_str_eq(diary.text, ">0 0a 0T ");
    ORDER(&stage, pid, .name = 'b', .timings = {EVENT(100, 'T')});
    ORDER(&stage, pid, .name = 'c');
    settle(&stage, 200);
    /* By inserted and postponed events too. */
    ORDER(&stage, pid, .name = 'd', .timings = {EVENT(100, 'T')}, .inserts = "x");
    settle(&stage, 200);
    ORDER(&stage, pid, .name = 'p', .postpone = "0");
    ORDER(&stage, pid, .name = 'e', .timings = {EVENT(100, 'T')}, .next = '1');
    settle(&stage, 200);
    cr_assert_str_eq(diary.text, ">0 0a 0T 0b 0c 0d 0x 0p 0e >1 1p ");
    /* Not by questions. */
    ORDER(&stage, pid, .name = 'f', .timings = {EVENT(100, 'U')});
    (void)sys_do(&stage, pid, TROUPE_SYS_STATUS);
    settle(&stage, 200);
    cr_assert_str_eq(diary.text, ">0 0a 0T 0b 0c 0d 0x 0p 0e >1 1p 1f 1U ");
    stage_close(&stage);
}

/* 5.16: a tick that is in the mailbox already when its time-out is cancelled is not delivered. */
Test(machine, a_tick_on_its_way_is_not_delivered_after_a_cancel)
{
    struct stage stage;
    struct diary diary = {0};
    troupe_pid pid;

    stage_open(&stage, TROUPE_NO_THREADS);
    pid = stage_spawn(&stage, &machine.behaviour, &diary);
    ORDER(&stage, pid, .name = 'a', .timings = {NAMED(1, 100, 'N'), NAMED(2, 100, 'M')});
    stage_run(&stage);
    (void)sys_do(&stage, pid, TROUPE_SYS_SUSPEND);
    ORDER(
        &stage, pid, .name = 'b', .timings = {NAMED(1, TROUPE_FOREVER, 'x'), NAMED(2, 5000, 'O')});
    settle(&stage, 200);
    cr_assert_eq(stage_books(&stage).queued, 3);
    (void)sys_do(&stage, pid, TROUPE_SYS_RESUME);
    settle(&stage, 200);
    cr_assert_str_eq(diary.text, ">0 0a 0b ");
    settle(&stage, 5000);
    cr_assert_str_eq(diary.text, ">0 0a 0b 0O ");
    stage_close(&stage);
}

/* 5.16: one state timeout, cancelled by a state change; set by the callback that changes the state it is the new
 * state's. */
Test(machine, the_state_timeout_is_cancelled_by_a_change_of_state_only)
{
    struct stage stage;
    struct diary diary = {.on_enter[2] = STATE(100, 'E')};
    troupe_pid pid;

    stage_open(&stage, TROUPE_NO_THREADS);
    pid = stage_spawn(&stage, &machine.behaviour, &diary);
    ORDER(&stage, pid, .name = 'a', .timings = {STATE(100, 'S')});
    ORDER(&stage, pid, .name = 'b');
    settle(&stage, 200);
    cr_assert_str_eq(diary.text, ">0 0a 0b 0S ");
    ORDER(&stage, pid, .name = 'c', .timings = {STATE(100, 'S')});
    ORDER(&stage, pid, .name = 'd', .next = '1');
    settle(&stage, 200);
    cr_assert_str_eq(diary.text, ">0 0a 0b 0S 0c 0d >1 ");
    ORDER(&stage, pid, .name = 'e', .next = '0', .timings = {STATE(100, 'Z')});
    settle(&stage, 200);
    cr_assert_str_eq(diary.text, ">0 0a 0b 0S 0c 0d >1 1e >0 0Z ");
    ORDER(&stage, pid, .name = 'f', .next = '2');
    settle(&stage, 200);
    cr_assert_str_eq(diary.text, ">0 0a 0b 0S 0c 0d >1 1e >0 0Z 0f >2 2E ");
    stage_close(&stage);
}

/* 5.16: any number of named ones, never cancelled by themselves; set again replaces. */
Test(machine, named_timeouts_are_never_cancelled_by_themselves)
{
    struct stage stage;
    struct diary diary = {0};
    troupe_pid pid;

    stage_open(&stage, TROUPE_NO_THREADS);
    pid = stage_spawn(&stage, &machine.behaviour, &diary);
    ORDER(&stage, pid, .name = 'a', .timings = {NAMED(1, 300, 'N'), NAMED(2, 100, 'M')});
    ORDER(&stage, pid, .name = 'b', .next = '1', .timings = {NAMED(3, 200, 'O')});
    ORDER(&stage, pid, .name = 'c', .next = '2', .timings = {NAMED(2, 400, 'P')});
    for (unsigned i = 0; i < 5; i++) {
        settle(&stage, 100);
    }
    cr_assert_str_eq(diary.text, ">0 0a 0b >1 1c >2 2O 2N 2P ");
    stage_close(&stage);
}

/* 5.16: an update of one that does not run fires at once; of one that does it changes the payload. */
Test(machine, an_update_changes_the_payload_or_fires_at_once)
{
    struct stage stage;
    struct diary diary = {0};
    troupe_pid pid;

    stage_open(&stage, TROUPE_NO_THREADS);
    pid = stage_spawn(&stage, &machine.behaviour, &diary);
    ORDER(&stage, pid, .name = 'a', .timings = {NAMED(1, 100, 'N')});
    ORDER(&stage, pid, .name = 'b',
        .timings = {{.kind = TROUPE_EVENT_NAMED_TIMEOUT, .name = 1, .payload = 'O', .update = true},
            {.kind = TROUPE_EVENT_NAMED_TIMEOUT, .name = 2, .payload = 'P', .update = true}});
    ORDER(&stage, pid, .name = 'c');
    settle(&stage, 200);
    cr_assert_str_eq(diary.text, ">0 0a 0b 0P 0c 0O ");
    stage_close(&stage);
}

/* 5.16: time 0 after events that are inserted or tried again, before what was not received yet; in the order in which
 * they were set; and cancelled as others are. */
Test(machine, a_timeout_of_0_comes_between_inserted_and_queued_events)
{
    struct stage stage;
    struct diary diary = {0};
    troupe_pid pid;

    stage_open(&stage, TROUPE_NO_THREADS);
    pid = stage_spawn(&stage, &machine.behaviour, &diary);
    ORDER(&stage, pid, .name = 'p', .postpone = "0");
    ORDER(&stage, pid, .name = 'a', .next = '1', .inserts = "x",
        .timings = {NAMED(1, 0, 'N'), STATE(0, 'S')});
    ORDER(&stage, pid, .name = 'b', .timings = {EVENT(0, 'T')});
    ORDER(&stage, pid, .name = 'c', .inserts = "y", .timings = {EVENT(0, 'U')});
    ORDER(&stage, pid, .name = 'd', .timings = {NAMED(1, 0, 'V'), NAMED(1, TROUPE_FOREVER, 'V')});
    stage_run(&stage);
    cr_assert_str_eq(diary.text, ">0 0p 0a >1 1x 1p 1N 1S 1b 1T 1c 1y 1d ");
    stage_close(&stage);
}

/* It was an event; its time-out may have been set again since. */
Test(machine, a_timeout_can_be_postponed)
{
    struct stage stage;
    struct diary diary = {.timeouts_postponed_in = '0'};
    troupe_pid pid;

    stage_open(&stage, TROUPE_NO_THREADS);
    pid = stage_spawn(&stage, &machine.behaviour, &diary);
    ORDER(&stage, pid, .name = 'a', .timings = {NAMED(1, 100, 'N'), NAMED(2, 0, 'M')});
    settle(&stage, 200);
    cr_assert_str_eq(diary.text, ">0 0a 0M 0N ");
    ORDER(&stage, pid, .name = 'b', .timings = {NAMED(1, 5000, 'O')});
    ORDER(&stage, pid, .name = 'c', .next = '1');
    stage_run(&stage);
    cr_assert_str_eq(diary.text, ">0 0a 0M 0N 0b 0c >1 1M 1N ");
    stage_close(&stage);
}

/* 5.16: an event that is tried again cancels the event time-out as well, also one that was such a time-out. */
Test(machine, a_timeout_that_is_tried_again_cancels_the_event_timeout)
{
    struct stage stage;
    struct diary diary = {.timeouts_postponed_in = '0'};
    troupe_pid pid;

    stage_open(&stage, TROUPE_NO_THREADS);
    pid = stage_spawn(&stage, &machine.behaviour, &diary);
    ORDER(&stage, pid, .name = 'a', .timings = {EVENT(0, 'T')});
    stage_run(&stage);
    ORDER(&stage, pid, .name = 'b', .next = '1', .timings = {EVENT(100, 'U')});
    settle(&stage, 200);
    cr_assert_str_eq(diary.text, ">0 0a 0T 0b >1 1T ");
    stage_close(&stage);
}

/* ---- against a model ---- */

/* Random orders that postpone, insert and change the state, beside a straightforward model of the rules. */
struct model {
    char queue[512][8]; /* name, next, postpone in .., '\0' */
    char text[1024];
    int state;
};

static void model_note(struct model *model, char first, char second)
{
    size_t length = strlen(model->text);

    model->text[length] = first;
    model->text[length + 1] = second;
    model->text[length + 2] = ' ';
}

static void model_run(struct model *model, const struct order *orders, unsigned count)
{
    int later[64];
    unsigned later_count = 0;
    int todo[256];
    unsigned first = 128;
    unsigned last = 128;

    model_note(model, '>', '0');
    for (unsigned i = 0; i < count; i++) {
        todo[last++] = (int)i;
    }
    while (first < last) {
        int at = todo[first++];
        char state = (char)('0' + model->state);

        if (at < 0) {
            model_note(model, state, (char)-at);
            continue;
        }
        model_note(model, state, orders[at].name);
        if (orders[at].postpone != NULL && strchr(orders[at].postpone, state) != NULL) {
            later[later_count++] = at;
            continue;
        }
        if (orders[at].next != 0 && orders[at].next != state) {
            model->state = orders[at].next - '0';
            model_note(model, '>', orders[at].next);
            while (later_count > 0) {
                todo[--first] = later[--later_count];
            }
        }
        for (size_t i = orders[at].inserts != NULL ? strlen(orders[at].inserts) : 0; i-- > 0;) {
            todo[--first] = -orders[at].inserts[i];
        }
    }
}

Test(machine, random_orders_do_as_the_model_says, .timeout = 60)
{
    static const char *const postpones[] = {NULL, NULL, "0", "1", "2", "01", "02", "12"};
    static const char *const inserts[] = {NULL, NULL, NULL, "x", "xy"};
    struct test_random random = test_random_of(test_seed("machine"));

    for (unsigned round = 0; round < 200; round++) {
        struct stage stage;
        struct diary diary = {0};
        struct model model = {0};
        struct order orders[26] = {0};
        troupe_pid pid;

        stage_open(&stage, TROUPE_NO_THREADS);
        pid = stage_spawn(&stage, &machine.behaviour, &diary);
        for (unsigned i = 0; i < TROUPE_COUNT(orders); i++) {
            orders[i].name = (char)('a' + i);
            orders[i].next = "\00012"[test_below(&random, 3)];
            orders[i].next = test_below(&random, 3) == 0 ? '0' : orders[i].next;
            orders[i].postpone = postpones[test_below(&random, TROUPE_COUNT(postpones))];
            orders[i].inserts = inserts[test_below(&random, TROUPE_COUNT(inserts))];
            send_order(&stage, pid, &orders[i]);
            if (test_below(&random, 4) == 0) {
                stage_run(&stage);
            }
        }
        stage_run(&stage);
        model_run(&model, orders, TROUPE_COUNT(orders));
        cr_assert_str_eq(diary.text, model.text);
        stage_close(&stage);
    }
}

/* ---- the rest ---- */

static int leave_enter(struct troupe_actor *self, void *data, int from)
{
    (void)self;
    (void)data;
    (void)from;
    return TROUPE_POSTPONE;
}

static const struct troupe_machine_state wrong_states[] = {{.name = "wrong", .enter = leave_enter}};
static const struct troupe_machine wrong = {
    TROUPE_MACHINE("wrong", int), .states = wrong_states, .state_count = 1};
static const struct troupe_machine stateless = {TROUPE_MACHINE("stateless", int)};

/* 5.15: an entry may not postpone. */
Test(machine, one_without_states_or_whose_entry_postpones_fails)
{
    struct stage stage;

    stage_open(&stage, TROUPE_NO_THREADS);
    (void)stage_spawn(&stage, &wrong.behaviour, NULL);
    stage_run(&stage);
    cr_assert_eq(stage_reports(&stage, TROUPE_REPORT_FAILURE), 1);
    cr_assert(strstr(stage.text[TROUPE_REPORT_FAILURE], "means nothing") != NULL);
    (void)stage_spawn(&stage, &stateless.behaviour, NULL);
    stage_run(&stage);
    cr_assert(strstr(stage.text[TROUPE_REPORT_FAILURE], "without states") != NULL);
    stage_close(&stage);
}

Test(machine, it_ends_when_its_event_says_so)
{
    struct stage stage;
    struct diary diary = {0};
    struct stage_end end;
    troupe_pid pid;

    stage_open(&stage, TROUPE_NO_THREADS);
    pid = stage_spawn(&stage, &machine.behaviour, &diary);
    stage_watch(&stage, pid, &end);
    ORDER(&stage, pid, .name = 'a', .next = '1', .status = TROUPE_DONE);
    stage_run(&stage);
    cr_assert_eq(end.kind, TROUPE_EXIT_NORMAL);
    cr_assert(diary.terminated);
    cr_assert_eq(stage_reports(&stage, TROUPE_REPORT_CRASH), 0);
    stage_close(&stage);
}

/* ---- a machine that may wait (fiber.h) ---- */

static int dream_event(struct troupe_actor *self, void *data, const struct troupe_event *event)
{
    char name = event->msg != NULL ? ((const struct order *)troupe_body(event->msg))->name : 'T';

    write_down(diary_of(data), '0', name);
    if (name == 'p') {
        return TROUPE_POSTPONE;
    }
    TROUPE_TRY(troupe_machine_timeout(self, TROUPE_EVENT_NAMED_TIMEOUT, 1, 0, NULL));
    TROUPE_TRY(troupe_sleep(self, 100));
    write_down(diary_of(data), '.', '.');
    return troupe_machine_next(self, 1);
}

static int woken_enter(struct troupe_actor *self, void *data, int from)
{
    (void)from;
    write_down(diary_of(data), '>', '1');
    return troupe_sleep(self, 100);
}

static int woken_event(struct troupe_actor *self, void *data, const struct troupe_event *event)
{
    (void)self;
    write_down(diary_of(data), '1',
        event->msg != NULL ? ((const struct order *)troupe_body(event->msg))->name : 'T');
    return TROUPE_OK;
}

static const struct troupe_machine_state dream_states[] = {
    {.name = "dreams", .event = dream_event},
    {.name = "woken", .enter = woken_enter, .event = woken_event},
};
static const struct troupe_machine dreamer = {
    TROUPE_MACHINE("dreamer", struct diary *),
    .behaviour.may_wait = true,
    .states = dream_states,
    .state_count = TROUPE_COUNT(dream_states),
    .init = diary_init,
};

/* 5.14 to 5.16 keep their order around a callback that waits: nothing is handled in its middle. */
Test(machine, one_that_may_wait_handles_nothing_in_the_middle, .timeout = 60)
{
    struct stage stage;
    struct diary diary = {0};
    troupe_pid pid;

    stage_open(&stage, TROUPE_NO_THREADS);
    pid = stage_spawn(&stage, &dreamer.behaviour, &diary);
    ORDER(&stage, pid, .name = 'p');
    ORDER(&stage, pid, .name = 'a');
    stage_run(&stage);
    ORDER(&stage, pid, .name = 'b');
    stage_run(&stage);
    cr_assert_str_eq(diary.text, "0p 0a ");
    settle(&stage, 200);
    cr_assert_str_eq(diary.text, "0p 0a .. >1 ");
    settle(&stage, 200);
    cr_assert_str_eq(diary.text, "0p 0a .. >1 1p 1T 1b ");
    stage_close(&stage);
}

/* 5.1: an init may say that it is not needed; TROUPE_POSTPONE is another number. */
static int ignore_init(struct troupe_actor *self, void *data, const void *arg)
{
    (void)self;
    (void)data;
    (void)arg;
    return TROUPE_IGNORE;
}

Test(machine, an_init_may_say_that_it_is_not_needed)
{
    static const struct troupe_machine idle = {
        TROUPE_MACHINE("idle", int),
        .states = dream_states,
        .state_count = TROUPE_COUNT(dream_states),
        .init = ignore_init,
    };
    struct stage stage;
    troupe_pid pid;

    stage_open(&stage, TROUPE_NO_THREADS);
    pid = stage_spawn(&stage, &idle.behaviour, NULL);
    STAGE_AWAIT(&stage, !troupe_is_alive(stage.runtime, pid));
    cr_assert_eq(stage_reports(&stage, TROUPE_REPORT_FAILURE), 0);
    stage_close(&stage);
}
