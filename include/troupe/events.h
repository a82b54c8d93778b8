/* SPDX-License-Identifier: MIT */
/*
 * events.h - an event manager: an actor that tells events to handlers, which come and go.
 *
 * After Erlang/OTP's gen_event.  A manager is a behaviour,
 *
 *     static const struct troupe_behaviour alarms = TROUPE_EVENTS("alarms");
 *
 * spawned and supervised as any other.  An event is a message: troupe_send() to the manager, and every handler gets it, in
 * the order in which the handlers were added.  A request is an event too; it is answered when all handlers have
 * had it, with a troupe_events_told, unless one of them has answered or taken it.  Ticks, down notices, exit signals and
 * readiness go to the handlers' `info`.
 *
 * A handler is a table of functions and a state of its own.  It runs inside the manager: `self` is the manager, and
 * while it runs nobody else is told.  One that fails, by what it returns or by troupe_abandon(), is removed and reported
 * (TROUPE_REPORT_CRASH) with the event and its formatted state; the manager and the other handlers live on.  A
 * continuation of a request, or of a job, that a handler makes gets the manager's state: what it needs is in its `context`
 * or argument, and must outlive the handler.
 *
 * A manager may not wait (`may_wait` ends it at once): a handler that waited would keep events from all others.
 *
 * A handler is known by its table and a number, so that one table can be used more than once.
 *
 * A *supervised* handler belongs to the actor that added it.  When that actor ends, the handler is removed.  When the
 * handler is removed for any other reason, that actor gets a troupe_handler_gone: once, reserved, without memory.
 *
 * An exit signal of the parent or of a foreign thread ends also a manager that traps exits.  sys.h can suspend and trace a
 * manager; the formatted state is the names of its handlers, and there is nothing to inspect or replace (TROUPE_EBUSY).
 */
#ifndef TROUPE_EVENTS_H
#define TROUPE_EVENTS_H

#include "troupe/actor.h"
#include "troupe/call.h"

TROUPE_BEGIN_DECLS

/** Why a handler ended. */
enum troupe_handler_end {
    TROUPE_HANDLER_DONE,    /* it returned TROUPE_DONE */
    TROUPE_HANDLER_FAILED,  /* the reason says how */
    TROUPE_HANDLER_REMOVED, /* by troupe_events_remove() */
    TROUPE_HANDLER_SWAPPED, /* another one has taken over */
    TROUPE_HANDLER_ORPHAN,  /* supervised, and who had added it has ended, for this reason */
    TROUPE_HANDLER_STOPPED, /* the manager ends, for this reason */
};

/** A handler is static: it must outlive every manager that has it. */
struct troupe_handler {
    const char *name;  /* required; for reports */
    size_t state_size; /* bytes, zeroed before init */
    /** First.  `old` is the state of the handler that this one takes over from in a swap, otherwise NULL.  Negative: it
     * is not added, and who asked is told so. */
    int (*init)(struct troupe_actor *self, void *state, const void *arg, void *old);
    /** An event.  TROUPE_OK, TROUPE_EUNKNOWN (also if it has no such function): it stays.  TROUPE_DONE: it is removed. */
    troupe_receive_fn event;
    troupe_receive_fn info; /* as `event`, for what is not sent by users */
    /** Whenever it ends after an init that succeeded, but not when the manager is killed. */
    void (*terminate)(struct troupe_actor *self, void *state, enum troupe_handler_end end,
        const struct troupe_reason *reason);
    troupe_destroy_fn destroy; /* exactly once after init was entered; must return */
    int (*format)(const void *state, char *text, size_t size); /* as in server.h */
};

/** Which handler. */
struct troupe_handler_id {
    const struct troupe_handler *handler; /* required */
    uint64_t number;
};

/** Body of the message to whoever supervised a handler. */
struct troupe_handler_gone {
    troupe_pid manager;
    struct troupe_handler_id id;
    enum troupe_handler_end end;
    enum troupe_exit kind; /* of the reason */
    int code;
};
extern TROUPE_API const struct troupe_type troupe_handler_gone;

/** The answer to a request that was an event, and to those below.  Without a body. */
extern TROUPE_API const struct troupe_type troupe_events_told;

/** Bytes of a manager's state. */
#define TROUPE_EVENTS_STATE 192

/** A behaviour that is an event manager of this name.  Other fields may follow: TROUPE_EVENTS("bus", .capacity = 100). */
#define TROUPE_EVENTS(...)                                                                         \
    {                                                                                              \
        .state_size = TROUPE_EVENTS_STATE, .init = troupe_events_init,                             \
        .receive = troupe_events_receive, .terminate = troupe_events_terminate,                    \
        .destroy = troupe_events_destroy, .name = __VA_ARGS__                                      \
    }

/* What TROUPE_EVENTS() puts into the behaviour; called by troupe only. */
TROUPE_API int troupe_events_init(struct troupe_actor *self, void *state, const void *arg);
TROUPE_API int troupe_events_receive(
    struct troupe_actor *self, void *state, struct troupe_message *msg);
TROUPE_API void troupe_events_terminate(
    struct troupe_actor *self, void *state, const struct troupe_reason *reason);
TROUPE_API void troupe_events_destroy(void *state);

struct troupe_handler_options {
    struct troupe_handler_id id;
    const void *arg; /* given to init */
    size_t arg_size; /* so many bytes of `arg` are copied; 0: the pointer is passed on */
    bool supervised; /* by the actor that adds it */
};

/**
 * Adds a handler behind all others.  The answer, of type troupe_events_told, comes when its init is over.
 *
 * Threads  a callback of `self`
 * Errors   as troupe_request(); TROUPE_EINVAL also if `manager` is no event manager.  The status of the answer may be
 *          TROUPE_EEXIST (it has this handler), TROUPE_ENOMEM, TROUPE_ELIMIT (watches of a supervised one), or what init
 *          returned
 */
TROUPE_API TROUPE_CHECKED int troupe_events_add(struct troupe_actor *self, troupe_pid manager,
    const struct troupe_handler_options *options, int timeout_ms, troupe_reply_fn on_reply,
    void *context);

/** Removes a handler: its `terminate` is called, then the answer comes.  Errors as above; TROUPE_ENOENT. */
TROUPE_API TROUPE_CHECKED int troupe_events_remove(struct troupe_actor *self, troupe_pid manager,
    struct troupe_handler_id id, int timeout_ms, troupe_reply_fn on_reply, void *context);

/** Puts a handler in the place of handler `old`: its init gets the old one's state to take over from; then the old one's
 * `terminate` is called.  If init fails the old one stays.  No event is lost, and none is told to both.  Errors as above;
 * TROUPE_ENOENT. */
TROUPE_API TROUPE_CHECKED int troupe_events_swap(struct troupe_actor *self, troupe_pid manager,
    struct troupe_handler_id old, const struct troupe_handler_options *options, int timeout_ms,
    troupe_reply_fn on_reply, void *context);

TROUPE_END_DECLS

#endif
