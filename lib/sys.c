/* SPDX-License-Identifier: MIT */
/*
 * sys.c - looking into servers, state machines and event managers.
 *
 * A question is a request of flag SYSTEM: reserved, and handled also by an actor that is suspended (sched/aside.h).  Who
 * can answer is known by its `receive`; nobody else is asked, so no user's handler ever sees one.
 */
#include "sys.h"

#include <string.h>

#include <troupe/events.h>
#include <troupe/machine.h>
#include <troupe/server.h>

#include "call.h"
#include "exit_signal.h"

struct trp_sys_ring {
    uint64_t count; /* so many were written */
    struct troupe_sys_event events[TROUPE_SYS_EVENTS];
};

const struct troupe_type troupe_sys_answer = TROUPE_TYPE(struct troupe_sys_answer);
static const struct troupe_type question_type = TROUPE_TYPE(struct troupe_sys_question);

/* ---- books and trace ---- */

void trp_sys_begin(struct troupe_actor *self, struct trp_sys *sys)
{
    sys->since_ns = trp_context_now(trp_context_of(self));
}

static void trace(
    struct troupe_actor *self, struct trp_sys_ring *ring, const struct troupe_message *msg)
{
    ring->events[ring->count++ % TROUPE_SYS_EVENTS] = (struct troupe_sys_event){
        .type = msg->type->name,
        .sender = msg->sender,
        .at_ns = trp_context_now(trp_context_of(self)),
        .request = troupe_is_request(msg),
    };
}

void trp_sys_note(struct troupe_actor *self, struct trp_sys *sys, const struct troupe_message *msg)
{
    sys->last_type = msg->type->name;
    sys->last_sender = msg->sender;
    if (!trp_message_is_sent(msg)) {
        sys->notices++;
    } else if (msg->flags & TRP_MESSAGE_INNER) {
        sys->inner++;
    } else if (msg->flags & TRP_MESSAGE_REQUEST) {
        sys->requests++;
    } else {
        sys->messages++;
    }
    if (sys->traces) {
        trace(self, sys->ring, msg);
    }
}

static int begin_trace(struct troupe_actor *self, struct trp_sys *sys)
{
    if (sys->ring == NULL) {
        sys->ring = troupe_arena_alloc(self, sizeof *sys->ring);
    }
    if (sys->ring == NULL) {
        return TROUPE_ENOMEM;
    }
    sys->ring->count = 0;
    sys->traces = true;
    return TROUPE_OK;
}

static void copy_events(struct troupe_sys_answer *answer, const struct trp_sys_ring *ring)
{
    uint64_t first = ring->count > TROUPE_SYS_EVENTS ? ring->count - TROUPE_SYS_EVENTS : 0;

    for (uint64_t i = first; i < ring->count; i++) {
        answer->events[answer->event_count++] = ring->events[i % TROUPE_SYS_EVENTS];
    }
}

/* ---- what callbacks return, and who is obeyed ---- */

int trp_sys_status(struct troupe_actor *self, int status)
{
    if (status <= TROUPE_DONE) {
        return status;
    }
    return troupe_fail(self, TROUPE_EINVAL, "a callback returned a number that means nothing");
}

void trp_sys_obey(struct troupe_actor *self, const struct troupe_message *msg)
{
    const struct troupe_exited *exited = trp_message_body(msg);

    if (msg->kind == TRP_MESSAGE_NOTICE && troupe_is(msg, &troupe_exited) &&
        trp_exit_signal_is_command(self, exited)) {
        struct troupe_reason reason = trp_reason_copy(&exited->reason);

        trp_actor_exit(self, &reason);
    }
}

/* ---- the state as text ---- */

static void format(const struct trp_sys_view *view, char *text, size_t size)
{
    text[0] = '\0';
    if (view->format == NULL || view->format(view->state, text, size) < 0) {
        text[0] = '\0';
    }
    text[size - 1] = '\0';
}

void trp_sys_report(
    struct troupe_actor *self, const struct trp_sys_view *view, const struct troupe_reason *reason)
{
    const struct trp_sys *sys = view->sys;
    struct troupe_report event = {.kind = TROUPE_REPORT_CRASH,
        .pid = trp_actor_pid(self),
        .actor = self->behaviour->name,
        .reason = reason};
    char text[TROUPE_SYS_TEXT];

    if (troupe_reason_is_clean(reason)) {
        return;
    }
    format(view, text, sizeof text);
    trp_report_event(self->runtime, &event, "last message %s from %016llx%s%s; state: %s",
        sys->last_type != NULL ? sys->last_type : "none", (unsigned long long)sys->last_sender,
        view->state_name != NULL ? ", in " : "", view->state_name != NULL ? view->state_name : "",
        text[0] != '\0' ? text : "not shown");
}

/* ---- answering ---- */

static int replace(
    struct troupe_actor *self, const struct trp_sys_view *view, troupe_sys_fn fn, void *arg)
{
    struct trp_memory *memory = trp_runtime_memory(self->runtime);
    void *copy = view->state_size > 0 ? trp_memory_alloc(memory, view->state_size, 16) : NULL;
    int status;

    if (copy == NULL) {
        return view->state_size > 0 ? TROUPE_ENOMEM : TROUPE_EBUSY;
    }
    memcpy(copy, view->state, view->state_size);
    status = fn(copy, arg);
    if (status >= 0) {
        memcpy(view->state, copy, view->state_size);
    }
    trp_memory_free(memory, copy, view->state_size);
    return status;
}

static int perform(struct troupe_actor *self, const struct trp_sys_view *view,
    const struct troupe_sys_question *question)
{
    switch (question->op) {
    case TROUPE_SYS_SUSPEND:
        return trp_aside_suspend(self);
    case TROUPE_SYS_RESUME:
        return trp_aside_resume(self) ? TROUPE_OK : TROUPE_EBUSY;
    case TROUPE_SYS_INSPECT:
        return view->state_size > 0 ? question->fn(view->state, question->arg) : TROUPE_EBUSY;
    case TROUPE_SYS_REPLACE:
        return replace(self, view, question->fn, question->arg);
    case TROUPE_SYS_TRACE:
        return begin_trace(self, view->sys);
    case TROUPE_SYS_UNTRACE:
        view->sys->traces = false;
        return TROUPE_OK;
    case TROUPE_SYS_STATUS:
    case TROUPE_SYS_STOP:
        return TROUPE_OK;
    }
    return TROUPE_EINVAL;
}

static void fill_in(
    struct troupe_actor *self, const struct trp_sys_view *view, struct troupe_sys_answer *answer)
{
    const struct trp_sys *sys = view->sys;

    *answer = (struct troupe_sys_answer){
        .behaviour = self->behaviour->name,
        .state = view->state_name,
        .parent = self->parent,
        .incarnation = troupe_incarnation(self),
        .suspensions = trp_aside_suspensions(self),
        .stashed = trp_aside_stashed(self),
        .hibernates = sys->hibernates,
        .since_ns = sys->since_ns,
        .requests = sys->requests,
        .messages = sys->messages,
        .notices = sys->notices,
        .inner = sys->inner,
    };
    if (sys->traces) {
        copy_events(answer, sys->ring);
    }
    format(view, answer->text, sizeof answer->text);
}

int trp_sys_receive(
    struct troupe_actor *self, const struct trp_sys_view *view, struct troupe_message *msg)
{
    const struct troupe_sys_question *question = troupe_body(msg);
    struct troupe_message *answer;
    int status;

    /* First what may fail: what was done is also told. */
    answer = trp_message_new(trp_context_of(self), &troupe_sys_answer,
        sizeof(struct troupe_sys_answer), TRP_MESSAGE_EXTENDED);
    if (answer == NULL) {
        return troupe_reply_error(self, msg, TROUPE_ENOMEM);
    }
    status = perform(self, view, question);
    if (status < 0) {
        trp_message_free(&trp_context_of(self)->pool, answer);
        return troupe_reply_error(self, msg, status);
    }
    fill_in(self, view, troupe_body(answer));
    status = troupe_reply_message(self, msg, answer);
    return status == TROUPE_OK && question->op == TROUPE_SYS_STOP ? TROUPE_DONE : status;
}

/* ---- asking ---- */

static bool is_right(const struct troupe_sys_question *question, int timeout_ms)
{
    bool wants_fn;

    if (question == NULL || (unsigned)question->op > TROUPE_SYS_STOP ||
        (timeout_ms <= 0 && timeout_ms != TROUPE_FOREVER)) {
        return false;
    }
    wants_fn = question->op == TROUPE_SYS_INSPECT || question->op == TROUPE_SYS_REPLACE;
    return wants_fn == (question->fn != NULL);
}

/* One that is gone is asked all the same: whoever sends says so. */
static bool can_answer(struct troupe_runtime *runtime, troupe_pid pid)
{
    const struct troupe_actor *actor = trp_actor_find(runtime, pid);

    return actor == NULL || actor->behaviour->receive == troupe_server_receive ||
           actor->behaviour->receive == troupe_machine_receive ||
           actor->behaviour->receive == troupe_events_receive;
}

int troupe_sys(struct troupe_actor *self, troupe_pid pid,
    const struct troupe_sys_question *question, int timeout_ms, troupe_reply_fn on_reply,
    void *context)
{
    TRP_INSIDE(self);
    struct troupe_request_options options = {.timeout_ms = timeout_ms};
    struct trp_terms terms;
    struct trp_timer *record;
    int error;

    if (!trp_actor_is_mine(self) || !is_right(question, timeout_ms) || on_reply == NULL ||
        !trp_pid_is_actor(pid) || !can_answer(self->runtime, pid)) {
        return TROUPE_EINVAL;
    }
    TROUPE_TRY(trp_call_terms(self, &options, &terms));
    terms.system = true;
    TROUPE_TRY(trp_call_open_record(self, on_reply, context, &record));
    error = trp_call_ask(self, pid, &question_type, question, &terms, record);
    if (error < 0) {
        trp_call_close_record(self, record);
    }
    return error;
}

static int check_foreign(struct troupe_runtime *runtime, troupe_pid pid)
{
    struct trp_visit visit;
    bool can;

    TROUPE_TRY(trp_context_enter(runtime, &visit));
    can = can_answer(runtime, pid);
    trp_context_leave(&visit);
    return can ? TROUPE_OK : TROUPE_EINVAL;
}

int troupe_runtime_sys(struct troupe_runtime *runtime, troupe_pid pid,
    const struct troupe_sys_question *question, int timeout_ms,
    struct troupe_sys_answer *out_answer)
{
    struct troupe_message *answer;
    int error;

    if (runtime == NULL || !trp_pid_is_actor(pid) || !is_right(question, timeout_ms)) {
        return TROUPE_EINVAL;
    }
    TROUPE_TRY(check_foreign(runtime, pid));
    answer = trp_foreign_ask(runtime, pid, &question_type, question, true, timeout_ms, &error);
    if (answer == NULL) {
        return error;
    }
    if (out_answer != NULL) {
        memcpy(out_answer, troupe_body(answer), sizeof *out_answer);
    }
    troupe_message_destroy(answer);
    return TROUPE_OK;
}
