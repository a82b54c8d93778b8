/* SPDX-License-Identifier: MIT */
/*
 * machine.c - the state machine: which state has an event, and what happens between two of them.
 *
 * What stands before the queue is in the chains of sched/aside.h: inserted events are inserted there, postponed ones are
 * in the stash and are reopened when the state changes, time-outs of 0 ms are appended.
 *
 * A time-out has a number, new each time that it is set.  Its tick carries that, so a tick that is on its way when its
 * time-out is cancelled or set anew is no event:
 *
 *             set                 tick with its number
 *     IDLE ---------> RUNNING --------------------------> IDLE, and an event
 *      ^                 |
 *      +-----------------+ cancelled, or set anew: another number
 *
 * A tick that became an event may be postponed: then its number is taken away, so that it is one again later,
 * with the payload it had.
 */
#include "sys.h"

#include <string.h>

#include <troupe/machine.h>
#include <troupe/timer.h>

struct timeout {
    struct troupe_timer timer;
    uint64_t number;   /* of this use */
    uint64_t callback; /* the callback that set it */
    void *payload;
    bool runs;
};

/* In the arena; used again for another name when it does not run. */
struct named {
    struct named *next;
    uint32_t name;
    struct timeout timeout;
};

enum place {
    PLACE_OUTSIDE, /* a continuation, or nothing */
    PLACE_EVENT,   /* also init */
    PLACE_ENTER,
};

struct record {
    struct timeout event;
    struct timeout state_timeout;
    struct named *named;
    uint64_t number;   /* of the time-out set last */
    uint64_t callback; /* of the event handled last */
    int state;
    int next;
    enum place place;
    struct trp_sys sys;
};

static_assert(TROUPE_MACHINE_STATE(0) >= sizeof(struct record), "the record fits");

/* What the tick of a time-out says. */
struct due {
    uint64_t number; /* 0: it was an event before, and postponed */
    enum troupe_event_kind kind;
    uint32_t name;
    void *payload; /* once it is an event */
};

static_assert(sizeof(struct due) <= TROUPE_TICK_BODY_MAX, "a tick carries it");

static const struct troupe_type due_type = {"time-out", sizeof(struct due), NULL, false};

static const struct troupe_machine *machine_of(const struct troupe_actor *self)
{
    return trp_container_of(self->behaviour, const struct troupe_machine, behaviour);
}

static struct record *record_of(const struct troupe_actor *self)
{
    return trp_sys_record(self, sizeof(struct record));
}

static bool is_machine(const struct troupe_actor *self)
{
    return trp_actor_is_mine(self) && self->behaviour->receive == troupe_machine_receive;
}

static struct trp_sys_view view_of(struct troupe_actor *self)
{
    const struct troupe_machine *machine = machine_of(self);
    struct record *record = record_of(self);

    return (struct trp_sys_view){
        .sys = &record->sys,
        .state = self->state,
        .state_size = self->behaviour->state_size - TROUPE_MACHINE_STATE(0),
        .state_name = machine->states[record->state].name,
        .format = machine->format,
    };
}

/* ---- time-outs ---- */

/* The one of this name that runs, or one that can; NULL if there is none. */
static struct named *find_named(struct record *record, uint32_t name)
{
    struct named *unused = NULL;

    for (struct named *named = record->named; named != NULL; named = named->next) {
        if (named->name == name && named->timeout.runs) {
            return named;
        }
        if (!named->timeout.runs) {
            unused = named;
        }
    }
    if (unused != NULL) {
        unused->name = name;
    }
    return unused;
}

static struct timeout *find_timeout(
    struct record *record, enum troupe_event_kind kind, uint32_t name)
{
    struct named *named;

    switch (kind) {
    case TROUPE_EVENT_TIMEOUT:
        return &record->event;
    case TROUPE_EVENT_STATE_TIMEOUT:
        return &record->state_timeout;
    default:
        named = find_named(record, name);
        return named != NULL ? &named->timeout : NULL;
    }
}

/* As find_timeout(); one with a name is made if there is none, or NULL without memory. */
static struct timeout *need_timeout(
    struct troupe_actor *self, enum troupe_event_kind kind, uint32_t name)
{
    struct record *record = record_of(self);
    struct timeout *timeout = find_timeout(record, kind, name);
    struct named *named;

    if (timeout != NULL || kind != TROUPE_EVENT_NAMED_TIMEOUT) {
        return timeout;
    }
    named = troupe_arena_alloc(self, sizeof *named);
    if (named == NULL) {
        return NULL;
    }
    *named = (struct named){.next = record->named, .name = name};
    record->named = named;
    return &named->timeout;
}

static void cancel(struct troupe_actor *self, struct timeout *timeout)
{
    if (timeout->runs) {
        timeout->runs = false;
        (void)troupe_timer_cancel(self, timeout->timer);
    }
}

static int set(
    struct troupe_actor *self, struct timeout *timeout, const struct due *due, int64_t timeout_ms)
{
    timeout->timer = (struct troupe_timer){0};
    if (timeout_ms == 0) {
        return trp_aside_append(self, &due_type, due, sizeof *due);
    }
    return troupe_tick_after(self, (uint64_t)timeout_ms, &due_type, due, &timeout->timer);
}

static bool is_timeout(enum troupe_event_kind kind, uint32_t name)
{
    return kind == TROUPE_EVENT_NAMED_TIMEOUT ||
           ((kind == TROUPE_EVENT_TIMEOUT || kind == TROUPE_EVENT_STATE_TIMEOUT) && name == 0);
}

int troupe_machine_timeout(struct troupe_actor *self, enum troupe_event_kind kind, uint32_t name,
    int64_t timeout_ms, void *payload)
{
    struct record *record;
    struct timeout *timeout;
    struct due due;

    if (!is_machine(self) || !is_timeout(kind, name) || timeout_ms < TROUPE_FOREVER ||
        timeout_ms > (int64_t)TROUPE_DELAY_MAX_MS) {
        return TROUPE_EINVAL;
    }
    record = record_of(self);
    timeout = timeout_ms == TROUPE_FOREVER ? find_timeout(record, kind, name)
                                           : need_timeout(self, kind, name);
    if (timeout == NULL) {
        return timeout_ms == TROUPE_FOREVER ? TROUPE_OK : TROUPE_ENOMEM;
    }
    cancel(self, timeout);
    if (timeout_ms == TROUPE_FOREVER) {
        return TROUPE_OK;
    }
    due = (struct due){.number = ++record->number, .kind = kind, .name = name};
    TROUPE_TRY(set(self, timeout, &due, timeout_ms));
    timeout->number = due.number;
    timeout->callback = record->callback;
    timeout->payload = payload;
    timeout->runs = true;
    return TROUPE_OK;
}

int troupe_machine_update(
    struct troupe_actor *self, enum troupe_event_kind kind, uint32_t name, void *payload)
{
    struct timeout *timeout;

    if (!is_machine(self) || !is_timeout(kind, name)) {
        return TROUPE_EINVAL;
    }
    timeout = find_timeout(record_of(self), kind, name);
    if (timeout == NULL || !timeout->runs) {
        return troupe_machine_timeout(self, kind, name, 0, payload);
    }
    timeout->payload = payload;
    return TROUPE_OK;
}

/* Whether a tick is an event: its time-out runs with its number, or it was one before. */
static bool is_due(struct record *record, struct due *due)
{
    struct timeout *timeout;

    if (due->number == 0) {
        return true;
    }
    timeout = find_timeout(record, due->kind, due->name);
    if (timeout == NULL || !timeout->runs || timeout->number != due->number) {
        return false;
    }
    timeout->runs = false;
    due->payload = timeout->payload;
    return true;
}

/* ---- one event ---- */

static bool is_state(const struct troupe_machine *machine, int state)
{
    return state >= 0 && (size_t)state < machine->state_count;
}

static int enter(struct troupe_actor *self, struct record *record, int from)
{
    const struct troupe_machine_state *state = &machine_of(self)->states[record->state];
    int status;

    if (state->enter == NULL) {
        return TROUPE_OK;
    }
    record->place = PLACE_ENTER;
    status = state->enter(self, self->state, from);
    record->place = PLACE_OUTSIDE;
    return trp_sys_status(self, status);
}

static int change(struct troupe_actor *self, struct record *record)
{
    int from = record->state;

    if (record->next == from) {
        return TROUPE_OK;
    }
    record->state = record->next;
    if (record->state_timeout.callback != record->callback) {
        cancel(self, &record->state_timeout);
    }
    trp_aside_reopen(self);
    return enter(self, record, from);
}

static int postpone(
    struct troupe_actor *self, struct troupe_message *msg, const struct troupe_event *event)
{
    int error = trp_aside_stash(self, msg);

    if (error < 0) {
        return troupe_fail(self, error, "an event could not be postponed");
    }
    if (event->msg == NULL) {
        struct due *due = troupe_body(msg);

        due->number = 0;
    }
    return TROUPE_OK;
}

static int call_state(
    struct troupe_actor *self, struct record *record, const struct troupe_event *event)
{
    const struct troupe_machine *machine = machine_of(self);
    troupe_machine_event_fn fn = machine->states[record->state].event;
    int status = fn != NULL ? fn(self, self->state, event) : TROUPE_EUNKNOWN;

    if (status == TROUPE_EUNKNOWN && machine->event != NULL) {
        record->next = record->state;
        status = machine->event(self, self->state, event);
    }
    return status;
}

static int handle(
    struct troupe_actor *self, struct troupe_message *msg, const struct troupe_event *event)
{
    struct record *record = record_of(self);
    int status;

    /* One that is the event itself runs no more. */
    cancel(self, &record->event);
    record->callback++;
    record->next = record->state;
    record->place = PLACE_EVENT;
    status = call_state(self, record, event);
    record->place = PLACE_OUTSIDE;
    if (status == TROUPE_POSTPONE) {
        status = postpone(self, msg, event);
    }
    if (status != TROUPE_OK) {
        return trp_sys_status(self, status);
    }
    return change(self, record);
}

static enum troupe_event_kind kind_of(const struct troupe_message *msg)
{
    if (!trp_message_is_sent(msg)) {
        return TROUPE_EVENT_INFO;
    }
    if (msg->flags & TRP_MESSAGE_INNER) {
        return TROUPE_EVENT_INNER;
    }
    return troupe_is_request(msg) ? TROUPE_EVENT_CALL : TROUPE_EVENT_CAST;
}

static int receive_due(struct troupe_actor *self, struct record *record, struct troupe_message *msg)
{
    struct due *due = troupe_body(msg);
    struct troupe_event event = {.kind = due->kind, .name = due->name};

    if (!is_due(record, due)) {
        return TROUPE_OK;
    }
    event.payload = due->payload;
    trp_sys_note(self, &record->sys, msg);
    return handle(self, msg, &event);
}

int troupe_machine_receive(struct troupe_actor *self, void *data, struct troupe_message *msg)
{
    struct record *record = record_of(self);
    struct troupe_event event = {.kind = kind_of(msg), .msg = msg};

    (void)data;
    if (msg->flags & TRP_MESSAGE_SYSTEM) {
        struct trp_sys_view view = view_of(self);

        return trp_sys_receive(self, &view, msg);
    }
    if (msg->type == &due_type) {
        return receive_due(self, record, msg);
    }
    trp_sys_note(self, &record->sys, msg);
    trp_sys_obey(self, msg);
    return handle(self, msg, &event);
}

/* ---- what callbacks may do ---- */

int troupe_machine_next(struct troupe_actor *self, int state)
{
    if (!is_machine(self) || !is_state(machine_of(self), state)) {
        return TROUPE_EINVAL;
    }
    if (record_of(self)->place != PLACE_EVENT) {
        return TROUPE_EBUSY;
    }
    record_of(self)->next = state;
    return TROUPE_OK;
}

int troupe_machine_state(const struct troupe_actor *self)
{
    return is_machine(self) ? record_of(self)->state : TROUPE_EINVAL;
}

int troupe_machine_insert(
    struct troupe_actor *self, const struct troupe_type *type, const void *body)
{
    if (!is_machine(self) || type == NULL || (body != NULL) != (type->size > 0)) {
        return TROUPE_EINVAL;
    }
    if (record_of(self)->place == PLACE_ENTER) {
        return TROUPE_EBUSY;
    }
    return trp_aside_insert(self, type, body, type->size);
}

/* ---- life ---- */

int troupe_machine_init(struct troupe_actor *self, void *data, const void *arg)
{
    const struct troupe_machine *machine = machine_of(self);
    struct record *record = record_of(self);
    int status = TROUPE_OK;

    trp_sys_begin(self, &record->sys);
    if (machine->states == NULL || machine->state_count == 0) {
        return troupe_fail(self, TROUPE_EINVAL, "a machine without states");
    }
    record->place = PLACE_EVENT;
    if (machine->init != NULL) {
        status = machine->init(self, data, arg);
    }
    record->place = PLACE_OUTSIDE;
    if (status != TROUPE_OK) {
        return trp_sys_init_status(self, status);
    }
    record->state = record->next;
    return enter(self, record, -1);
}

void troupe_machine_terminate(
    struct troupe_actor *self, void *data, const struct troupe_reason *reason)
{
    const struct troupe_machine *machine = machine_of(self);
    struct trp_sys_view view = view_of(self);

    trp_sys_report(self, &view, reason);
    if (machine->terminate != NULL) {
        machine->terminate(self, data, reason);
    }
}
