/* SPDX-License-Identifier: MIT */
/*
 * server.h - a server: an actor that keeps a state and answers requests.
 *
 * After Erlang/OTP's gen_server.  A server is a table, of which everything is optional:
 *
 *     static const struct troupe_server_call calls[] = {
 *         {&deposit, &balance, on_deposit},
 *         {&get, &balance, on_get},
 *     };
 *     static const struct troupe_server account = {
 *         TROUPE_SERVER("account", struct account),
 *         .calls = calls, .call_count = TROUPE_COUNT(calls),
 *     };
 *
 * It is spawned and supervised by its behaviour, `&account.behaviour`, and asked as any actor: troupe_server_call() is
 * troupe_request() with a default time-out, a cast is a troupe_send().  Its state begins with the user's, so
 * troupe_state(), continuations and `destroy` get that.  Capacity, trap_exit and `destroy` are the
 * behaviour's: `.behaviour.capacity = 10`.
 *
 * What callbacks return is what a `receive` returns (actor.h).  A positive value that means nothing ends the server with
 * TROUPE_EINVAL and says so.  Beside that:
 *
 *   continue   troupe_server_continue(): a message to itself that is handled before any other, also those that it has
 *              sent itself
 *   idle       troupe_server_idle(): `timeout` is called if no message comes meanwhile
 *   hibernate  troupe_server_hibernate(): `hibernate` gives memory back, until the next message
 *   parent     an exit signal of the parent, or of a foreign thread, ends also a server that traps exits: `terminate`
 *              is called, `info` is not
 *   crash      a server that ends with a reason that is not clean is reported (TROUPE_REPORT_CRASH) with its last message
 *              and its formatted state
 *   sys        it can be suspended, looked into and traced: sys.h
 *
 * With `.behaviour.may_wait = true` its callbacks may call and sleep (fiber.h), but for `terminate`, `hibernate`, `wake` and
 * `format`.  While one waits nothing else is handled, questions of sys.h neither.
 */
#ifndef TROUPE_SERVER_H
#define TROUPE_SERVER_H

#include "troupe/actor.h"
#include "troupe/call.h"
#include "troupe/mailbox.h"

TROUPE_BEGIN_DECLS

/**
 * Answers a request: fills in `answer`, which is zeroed, and returns TROUPE_OK.  If the request was answered by hand
 * (troupe_reply_error()), taken (to be answered later), forwarded or stashed, `answer` is dropped.  Without memory for an
 * answer it is not called, and the request is answered with TROUPE_ENOMEM.
 */
typedef int (*troupe_server_call_fn)(
    struct troupe_actor *self, void *state, struct troupe_message *request, void *answer);

/** Handles a message of a type that has a body: troupe_body(msg). */
typedef int (*troupe_server_cast_fn)(
    struct troupe_actor *self, void *state, struct troupe_message *msg);

struct troupe_server_call {
    const struct troupe_type *question; /* required */
    const struct troupe_type *answer;   /* required; of fixed size */
    troupe_server_call_fn fn;           /* required */
};

struct troupe_server_cast {
    const struct troupe_type *type; /* required */
    troupe_server_cast_fn fn;       /* required */
};

/** A server is static: it must outlive every actor that has it. */
struct troupe_server {
    struct troupe_behaviour behaviour; /* first; made by TROUPE_SERVER() */

    /* Who handles which type; looked through in order.  What is in no table goes to the functions below. */
    const struct troupe_server_call *calls;
    size_t call_count;
    const struct troupe_server_cast *casts;
    size_t cast_count;

    troupe_init_fn init;         /* first */
    troupe_receive_fn call;      /* a request; answers it now, or takes it to answer later */
    troupe_receive_fn cast;      /* a message that wants no answer */
    troupe_receive_fn info;      /* a tick, a down notice, an exit signal, readiness */
    troupe_receive_fn continued; /* of troupe_server_continue() */
    int (*timeout)(struct troupe_actor *self, void *state); /* of troupe_server_idle() */
    void (*hibernate)(void *state);                         /* gives back what can be made again */
    void (*wake)(void *state); /* before the first message after that */
    troupe_terminate_fn terminate;
    /** Writes the state as text of less than `size` bytes, for reports and sys.  Leaves secrets out.  The state may be
     * half changed.  Negative: there is nothing to show; whatever it returns, the server ends as it would have. */
    int (*format)(const void *state, char *text, size_t size);
};

/** Bytes of a state with what the server needs behind it. */
#define TROUPE_SERVER_STATE(size) ((((size) + 15) & ~(size_t)15) + 128)

/** The first entry of a struct troupe_server: its name, and the type of its state.  C++ has no designators like these: there
 * the fields that they name are assigned. */
#define TROUPE_SERVER(server_name, state_type)                                                     \
    .behaviour.name = (server_name),                                                               \
    .behaviour.state_size = TROUPE_SERVER_STATE(sizeof(state_type)),                               \
    .behaviour.init = troupe_server_init, .behaviour.receive = troupe_server_receive,              \
    .behaviour.terminate = troupe_server_terminate

/* What TROUPE_SERVER() puts into the behaviour; called by troupe only. */
TROUPE_API int troupe_server_init(struct troupe_actor *self, void *state, const void *arg);
TROUPE_API int troupe_server_receive(
    struct troupe_actor *self, void *state, struct troupe_message *msg);
TROUPE_API void troupe_server_terminate(
    struct troupe_actor *self, void *state, const struct troupe_reason *reason);

/** Asks a server, or any actor: troupe_request(), with TROUPE_REQUEST_TIMEOUT_DEFAULT_MS if `timeout_ms` is 0. */
static inline TROUPE_CHECKED int troupe_server_call(struct troupe_actor *self, troupe_pid to,
    const struct troupe_type *type, const void *body, int timeout_ms, troupe_reply_fn on_reply,
    void *context)
{
    return troupe_request(self, to, type, body,
        timeout_ms == 0 ? TROUPE_REQUEST_TIMEOUT_DEFAULT_MS : timeout_ms, on_reply, context);
}

/** Tells a server, or any actor: troupe_send(). */
static inline TROUPE_CHECKED int troupe_server_cast(
    struct troupe_actor *self, troupe_pid to, const struct troupe_type *type, const void *body)
{
    return troupe_send(self, to, type, body);
}

/**
 * Has `continued` called with a copy of `body` when this callback returns, before any other message.  Several come in
 * the order of the calls; one that is asked for by `continued` comes before those that are still to come.  Nobody
 * else can cause such a call.
 *
 * Threads  a callback of `self`, a server, init and continuations included
 * Owns     on success what the body refers to is the runtime's
 * Errors   TROUPE_EINVAL (also if the server has no `continued`), TROUPE_ENOMEM
 */
TROUPE_API TROUPE_CHECKED int troupe_server_continue(
    struct troupe_actor *self, const struct troupe_type *type, const void *body);

/**
 * Has `timeout` called if no message comes within `idle_ms`.  Any message ends the wait, but for questions of sys.h; so
 * do TROUPE_FOREVER and the next call of this function.  Answers to requests of its own, outcomes of its jobs (blocking.h),
 * and what it continues with, are no messages in this sense.  0: `timeout` is called before anything that is queued.
 *
 * Threads  a callback of `self`, a server
 * Units    milliseconds, up to TROUPE_DELAY_MAX_MS
 * Errors   TROUPE_EINVAL (also if the server has no `timeout`), TROUPE_ENOMEM, TROUPE_ELIMIT (limits.actor_timers); then
 *          it waits for nothing
 * Cost     a timer: see troupe_tick_after(); with the next message one more lock
 */
TROUPE_API TROUPE_CHECKED int troupe_server_idle(struct troupe_actor *self, int64_t idle_ms);

/**
 * Has `hibernate` called when this callback returns, unless a message is there already, or the answer to a request of its
 * own, or the outcome of a job, is still to come; then nothing happens.  `wake` is called before the next message.  Questions of sys.h do not wake
 * it: they, and `format`, see the state as `hibernate` left it.
 *
 * Threads  a callback of `self`, a server, but not a continuation
 * Errors   TROUPE_EINVAL (also if the server has no `hibernate`)
 */
TROUPE_API TROUPE_CHECKED int troupe_server_hibernate(struct troupe_actor *self);

TROUPE_END_DECLS

#endif
