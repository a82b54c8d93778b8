/* SPDX-License-Identifier: MIT */
/*
 * machine.h - a state machine: an actor whose handling of events depends on the state it is in.
 *
 * After Erlang/OTP's gen_statem.  A machine is a table of states, each with a function for its events:
 *
 *     enum { OPEN, SHUT };
 *     static const struct troupe_machine_state door_states[] = {
 *         [OPEN] = {.name = "open", .event = open_event},
 *         [SHUT] = {.name = "shut", .event = shut_event},
 *     };
 *     static const struct troupe_machine door = {
 *         TROUPE_MACHINE("door", struct door),
 *         .states = door_states, .state_count = TROUPE_COUNT(door_states),
 *     };
 *
 * It is spawned and supervised by its behaviour, `&door.behaviour`.  Its actor's state, here called data, begins with the
 * user's; capacity, trap_exit and `destroy` are the behaviour's, as with a server (server.h).
 *
 * What the function for an event may return is what a `receive` returns, and TROUPE_POSTPONE.  In what order things
 * happen:
 *
 *   1  an event comes; the event time-out, if one runs, is cancelled
 *   2  the function of the state is called; if it says TROUPE_EUNKNOWN, the machine's own `event`
 *   3  if troupe_machine_next() named another state: the state time-out is cancelled, unless this callback has set it;
 *      then `enter` of the new state is called, before any event
 *   4  next come events inserted by troupe_machine_insert(), in the order of the calls; then, if the state has changed,
 *      those that were postponed, oldest first; then time-outs of 0 ms; then what came meanwhile, and the queue
 *
 * Postponed events are stashed (stash.h): limits.actor_stash bounds them, and one more ends the machine with
 * TROUPE_ELIMIT.  They are tried again only when the state has become another one.
 *
 * With `.behaviour.may_wait = true` `init`, `enter` and the functions for events may call and sleep (fiber.h); no event is
 * handled meanwhile, and no time-out.
 *
 * An exit signal of the parent or of a foreign thread ends also a machine that traps exits.  A machine that fails is
 * reported with its last event, its state and its data (TROUPE_REPORT_CRASH), and sys.h looks into it.
 */
#ifndef TROUPE_MACHINE_H
#define TROUPE_MACHINE_H

#include "troupe/actor.h"

TROUPE_BEGIN_DECLS

/** Returned by a function for events: not in this state; try again in another.  Not by `enter`, `init` or a continuation. */
#define TROUPE_POSTPONE 3

enum troupe_event_kind {
    TROUPE_EVENT_CALL,  /* a request: troupe_reply(), or take it */
    TROUPE_EVENT_CAST,  /* a message that wants no answer */
    TROUPE_EVENT_INFO,  /* a tick of the machine's own, a down notice, an exit signal, readiness */
    TROUPE_EVENT_INNER, /* by troupe_machine_insert(): nobody else can cause one */
    TROUPE_EVENT_TIMEOUT,       /* no event came for so long */
    TROUPE_EVENT_STATE_TIMEOUT, /* it was in this state for so long */
    TROUPE_EVENT_NAMED_TIMEOUT, /* so much time has passed, whatever happened */
};

struct troupe_event {
    enum troupe_event_kind kind;
    struct troupe_message *msg; /* of CALL, CAST, INFO, INNER; otherwise NULL */
    uint32_t name;              /* of NAMED_TIMEOUT */
    void *payload;              /* of the three time-outs: as given when it was set, or updated */
};

/** Handles an event.  `data` is the actor's state. */
typedef int (*troupe_machine_event_fn)(
    struct troupe_actor *self, void *data, const struct troupe_event *event);

/** A state was entered, from state number `from`, or -1: it is the first one.  May set time-outs and send; may not
 * postpone, insert events or change the state.  Returns what a `receive` returns. */
typedef int (*troupe_machine_enter_fn)(struct troupe_actor *self, void *data, int from);

struct troupe_machine_state {
    const char *name;              /* required; for reports and sys */
    troupe_machine_enter_fn enter; /* or NULL */
    troupe_machine_event_fn event; /* or NULL: all events go to the machine's */
};

/** A machine is static: it must outlive every actor that has it. */
struct troupe_machine {
    struct troupe_behaviour behaviour;         /* first; made by TROUPE_MACHINE() */
    const struct troupe_machine_state *states; /* required; a state is its number in this table */
    size_t state_count;
    troupe_init_fn
        init; /* or NULL; troupe_machine_next() names the first state, otherwise it is number 0 */
    troupe_machine_event_fn event; /* what a state does not know; or NULL */
    troupe_terminate_fn terminate; /* or NULL */
    int (*format)(const void *data, char *text, size_t size); /* or NULL; as in server.h */
};

/** Bytes of a state with what the machine needs behind it. */
#define TROUPE_MACHINE_STATE(size) ((((size) + 15) & ~(size_t)15) + 256)

/** The first entry of a struct troupe_machine: its name, and the type of its data.  C++: see TROUPE_SERVER(). */
#define TROUPE_MACHINE(machine_name, data_type)                                                    \
    .behaviour.name = (machine_name),                                                              \
    .behaviour.state_size = TROUPE_MACHINE_STATE(sizeof(data_type)),                               \
    .behaviour.init = troupe_machine_init, .behaviour.receive = troupe_machine_receive,            \
    .behaviour.terminate = troupe_machine_terminate

/* What TROUPE_MACHINE() puts into the behaviour; called by troupe only. */
TROUPE_API int troupe_machine_init(struct troupe_actor *self, void *data, const void *arg);
TROUPE_API int troupe_machine_receive(
    struct troupe_actor *self, void *data, struct troupe_message *msg);
TROUPE_API void troupe_machine_terminate(
    struct troupe_actor *self, void *data, const struct troupe_reason *reason);

/**
 * Names the state that `self` is in when this callback has returned TROUPE_OK or TROUPE_POSTPONE.  Of several calls the
 * last one counts; the state that it is in already is no change.
 *
 * Threads  a function for events, or `init`, of `self`
 * Errors   TROUPE_EINVAL  no machine, or no such state
 *          TROUPE_EBUSY   inside `enter`; in a continuation, which inserts an event instead
 */
TROUPE_API TROUPE_CHECKED int troupe_machine_next(struct troupe_actor *self, int state);

/** The number of the state that `self` is in, while a state is being left the old one; TROUPE_EINVAL for no machine.  A
 * callback of `self`. */
TROUPE_API int troupe_machine_state(const struct troupe_actor *self);

/**
 * Inserts an event of kind INNER with a copy of `body`: it comes before everything that is queued.
 *
 * Threads  a callback of `self`, a machine; continuations too
 * Owns     on success what the body refers to is the runtime's
 * Errors   TROUPE_EINVAL, TROUPE_ENOMEM; TROUPE_EBUSY inside `enter`
 */
TROUPE_API TROUPE_CHECKED int troupe_machine_insert(
    struct troupe_actor *self, const struct troupe_type *type, const void *body);

/**
 * Sets a time-out, or sets it anew.  There is one of kind TIMEOUT, cancelled by any event; one of kind STATE_TIMEOUT,
 * cancelled when the state changes; and one of kind NAMED_TIMEOUT for each name, cancelled by this function only.  One that
 * was cancelled is never delivered, also if it had been due.
 *
 * Threads  a callback of `self`, a machine; continuations too
 * Units    milliseconds, up to TROUPE_DELAY_MAX_MS; TROUPE_FOREVER cancels; 0 comes after the events that are inserted
 *          or tried again now, and before what is queued
 *          `name` is 0 for TIMEOUT and STATE_TIMEOUT
 * Owns     `payload` stays the caller's
 * Errors   TROUPE_EINVAL, TROUPE_ENOMEM, TROUPE_ELIMIT (limits.actor_timers): then it does not run, also if it did
 * Cost     a timer: see troupe_tick_after(); O(n) in the names in use
 */
TROUPE_API TROUPE_CHECKED int troupe_machine_timeout(struct troupe_actor *self,
    enum troupe_event_kind kind, uint32_t name, int64_t timeout_ms, void *payload);

/** Gives a time-out that runs another payload; one that does not run is set to 0 ms.  Errors as above. */
TROUPE_API TROUPE_CHECKED int troupe_machine_update(
    struct troupe_actor *self, enum troupe_event_kind kind, uint32_t name, void *payload);

TROUPE_END_DECLS

#endif
