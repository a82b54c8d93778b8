/* SPDX-License-Identifier: MIT */
/*
 * call.h - asking an actor something, and answering.
 *
 * troupe_request() sends a request and returns; the answer comes later as a call of the continuation,
 * in the asking actor, between two of its messages.  A foreign thread waits: troupe_runtime_call().  Each request has
 * exactly one outcome; a later answer never arrives, it is dropped and counted (books.late):
 *
 *   status TROUPE_OK            `reply` is the answer, borrowed until the continuation returns
 *   status TROUPE_EEXPIRED      the time allowed passed before the actor came to the request: it was not handled and will not
 *                               be.  Safe to ask again, or somebody else
 *   status TROUPE_ERESTARTING   the same, and the actor is between two lives at its stable address
 *   status TROUPE_ETIMEDOUT     the time passed while the actor, or whom it passed the request on to, had it: it may have been
 *                               handled, wholly, in part, or yet to come
 *   status TROUPE_EDIED         the actor died with the request queued (it was not handled), being handled, or held (it may
 *                               have been, in part)
 *   status TROUPE_EOVERLOAD     the actor's mailbox gave the request up (overload.h): it was not handled and will not be
 *   status TROUPE_EUNANSWERED   the actor let the request go without an answer: it did what it wanted with it
 *   any other negative status   what the actor gave to troupe_reply_error()
 *
 * A request that is refused has no outcome but the error returned, and nothing was sent: TROUPE_EFULL (no room),
 * TROUPE_EGONE (not running: no actor has this pid), TROUPE_EMSGSIZE, TROUPE_ERESTARTING (if it was not to wait for a next
 * life), TROUPE_ETIMEDOUT (nobody waits any more for what is being handled now).
 *
 * One deadline, for admission and answer.  What a handler asks while it handles a request, and what the continuations of that
 * ask in turn, ends at that request's deadline if not before: nobody works longer than somebody waits.  A request whose time
 * has passed is not handled at all, unless it says otherwise: it is taken out of the queue in its turn, and counted
 * (books.skipped).
 *
 * Whatever is not TROUPE_OK comes with a NULL reply, and needs no memory that was not set aside when the request was
 * made; an answer with a body does, and whoever answers learns if there is none.  If the asking actor ends first its
 * continuations are not called; what it asked is handled all the same, as long as there is time.
 */
#ifndef TROUPE_CALL_H
#define TROUPE_CALL_H

#include "troupe/message.h"

TROUPE_BEGIN_DECLS

/** Called once per request, with its outcome, as a callback of `self`.  `state` is the actor's, `context` what was
 * given to troupe_request().  Returns what a `receive` returns. */
typedef int (*troupe_reply_fn)(struct troupe_actor *self, void *state, void *context, int status,
    struct troupe_message *reply);

/**
 * Sends a request with a copy of `body`.
 *
 * Threads  a callback of `self`
 * Owns     `context` stays the caller's; what the body refers to as with troupe_send()
 * Units    `timeout_ms` > 0, or TROUPE_FOREVER
 * Errors   as troupe_send(); also TROUPE_ELIMIT (limits.actor_timers), and TROUPE_ETIMEDOUT: no time is left for what is
 *          handled now.  On error the continuation is not called
 * Order    with the caller's other sends to `to`
 * Cost     beyond a send a block from a pool and, with a time-out, a timer: see troupe_tick_after()
 */
TROUPE_API TROUPE_CHECKED int troupe_request(struct troupe_actor *self, troupe_pid to,
    const struct troupe_type *type, const void *body, int timeout_ms, troupe_reply_fn on_reply,
    void *context);

/** What timeout_ms of 0 means in struct troupe_request_options. */
#define TROUPE_REQUEST_TIMEOUT_DEFAULT_MS 5000

/** When the actor that is asked skips a request instead of handling it. */
enum troupe_skip {
    TROUPE_SKIP_EXPIRED,  /* its time has passed, or its asker gave it up otherwise and lives */
    TROUPE_SKIP_NONE,     /* never: its time-out is always TROUPE_ETIMEDOUT */
    TROUPE_SKIP_ORPHANED, /* also if its asker has ended */
};

struct troupe_request_options {
    int timeout_ms; /* > 0, or TROUPE_FOREVER [TROUPE_REQUEST_TIMEOUT_DEFAULT_MS] */
    enum troupe_skip skip;
    bool detached; /* its own time counts alone, not what is left for the request handled now */
    bool
        no_wait; /* TROUPE_ERESTARTING if `to` is between two lives now, instead of waiting for the next */
};

/** As troupe_request(), with options; NULL means all defaults. */
#define troupe_request_with(self, to, type, body, options, on_reply, context)                      \
    troupe_request_with_sized((self), (to), (type), (body), (options),                             \
        sizeof(struct troupe_request_options), (on_reply), (context))
TROUPE_API TROUPE_CHECKED int troupe_request_with_sized(struct troupe_actor *self, troupe_pid to,
    const struct troupe_type *type, const void *body, const struct troupe_request_options *options,
    size_t options_size, troupe_reply_fn on_reply, void *context);

/** As troupe_request(), with a message that is moved: one with at most TROUPE_BODY_INLINE bytes of body into another
 * block.  On error it is still the caller's.  TROUPE_EINVAL for a request, and for the message being handled. */
TROUPE_API TROUPE_CHECKED int troupe_request_message(struct troupe_actor *self, troupe_pid to,
    struct troupe_message *msg, int timeout_ms, troupe_reply_fn on_reply, void *context);

/**
 * Answers a request with a copy of `body`.  The request is spent, not freed: a handler's own message ends
 * with the handler, a taken one with troupe_message_destroy().
 *
 * Threads  a callback of the actor that handles or holds `request`
 * Errors   TROUPE_EINVAL  not a request, or answered before
 *          TROUPE_ENOMEM  not answered yet: troupe_reply_error() always can
 *          TROUPE_OK also if nobody waits any more: the answer is dropped and counted
 * Order    with other messages from this actor to the one that asked
 * Cost     as a send, but nothing is admitted: an answer is never refused
 */
TROUPE_API TROUPE_CHECKED int troupe_reply(struct troupe_actor *self,
    struct troupe_message *request, const struct troupe_type *type, const void *body);

/** As troupe_reply(), with a message that is moved.  On error it is still the caller's. */
TROUPE_API TROUPE_CHECKED int troupe_reply_message(
    struct troupe_actor *self, struct troupe_message *request, struct troupe_message *reply);

/** Answers a request with an error, a negative `status` of the enum or the user's own.  Needs no memory; without any
 * the answer leaves when the request ends. */
TROUPE_API TROUPE_CHECKED int troupe_reply_error(
    struct troupe_actor *self, struct troupe_message *request, int status);

/** Whether `msg` is a request that still wants an answer.  False for NULL. */
TROUPE_API bool troupe_is_request(const struct troupe_message *msg);

/** Whether somebody still waits for the answer to `msg`: false once its asker gave up or ended, and for what is no request.
 * A moment's view.  For work that takes long: whoever handles or holds it.  O(1). */
TROUPE_API bool troupe_is_awaited(const struct troupe_message *msg);

/**
 * How much time is left for what `self` does now: until the deadline of the request that it handles and has not answered, or
 * on whose behalf the outcome came that it handles.
 *
 * Threads  a callback of `self`
 * Returns  milliseconds, rounded down; 0: it has passed; TROUPE_FOREVER: there is no deadline
 */
TROUPE_API int troupe_deadline(struct troupe_actor *self);

/**
 * Passes the duty to answer `request` on to `to`, with a changed body: `to` gets a request of `type`, from whoever asked and
 * with what is left of its time, and answers to that one.  `request` is spent, as by a reply.  With its body as it is,
 * troupe_forward() does so, and for a request that was taken troupe_send_message().
 *
 * Threads  a callback of the actor that handles or holds `request`
 * Owns     bodies as with troupe_send()
 * Errors   as troupe_send(); TROUPE_EINVAL also for what is no request, or answered.  `request` still wants its answer
 */
TROUPE_API TROUPE_CHECKED int troupe_delegate(struct troupe_actor *self, troupe_pid to,
    struct troupe_message *request, const struct troupe_type *type, const void *body);

/** As troupe_delegate(), with a message that is moved.  On error it is still the caller's. */
TROUPE_API TROUPE_CHECKED int troupe_delegate_message(struct troupe_actor *self, troupe_pid to,
    struct troupe_message *request, struct troupe_message *msg);

/*
 * Sets: several requests under one deadline, with labels; outcomes in the order in which they come, each exactly once.
 */

/** Names a set.  {0} names none. */
struct troupe_request_set {
    void *set;
    uint64_t serial;
};

/** Called once for each request of a set, with its label and outcome, as a callback of `self`.  `left` more of those that
 * were asked so far have no outcome yet: 0 is the last.  Returns what a `receive` returns. */
typedef int (*troupe_set_fn)(struct troupe_actor *self, void *state, void *context, uint64_t label,
    int status, struct troupe_message *reply, uint32_t left);

/**
 * Opens a set: its deadline is `timeout_ms` from now, for all that is asked in it, or that of the request handled now if that
 * is earlier.  Counts as one request (limits.actor_timers) until it ends: with the last outcome after it was closed, when it
 * is cancelled, or with `self`.
 *
 * Threads  a callback of `self`, as for all of these
 * Owns     `context` stays the caller's
 * Units    `timeout_ms` > 0, or TROUPE_FOREVER
 * Errors   TROUPE_EINVAL, TROUPE_ENOMEM, TROUPE_ELIMIT, TROUPE_ETIMEDOUT, as troupe_request()
 */
TROUPE_API TROUPE_CHECKED int troupe_request_set_open(struct troupe_actor *self, int timeout_ms,
    troupe_set_fn on_outcome, void *context, struct troupe_request_set *out_set);

/**
 * Asks `to` in the set.  What refuses the request is an outcome like the others: TROUPE_EGONE, TROUPE_EFULL and
 * TROUPE_EMSGSIZE come to the set's callback, not from here.
 *
 * Owns     as troupe_request(); types whose bodies must be destroyed are TROUPE_EINVAL, since nobody could tell
 * Errors   TROUPE_ENOENT  the set is closed or has ended
 *          TROUPE_EINVAL, TROUPE_ENOMEM, TROUPE_ELIMIT; there is no outcome
 */
TROUPE_API TROUPE_CHECKED int troupe_request_set_ask(struct troupe_actor *self,
    struct troupe_request_set set, uint64_t label, troupe_pid to, const struct troupe_type *type,
    const void *body);

/** No more will be asked: the set ends with its last outcome; at once, if there is none to come.  TROUPE_ENOENT. */
TROUPE_API TROUPE_CHECKED int troupe_request_set_close(
    struct troupe_actor *self, struct troupe_request_set set);

/** Gives up all that has no outcome yet, and ends the set: its callback is not called any more.  TROUPE_ENOENT: it has ended.
 * O(n) in the requests that `self` waits for. */
TROUPE_API int troupe_request_set_cancel(struct troupe_actor *self, struct troupe_request_set set);

/**
 * Asks `count` actors the same, as a set that is closed: labels are 0 .. count - 1.  Each has an outcome by the deadline, and
 * nothing comes after it.
 *
 * Errors   as troupe_request_set_ask(); TROUPE_EINVAL also for a `count` of 0.  On error there are no outcomes, though some
 *          may have been asked
 */
TROUPE_API TROUPE_CHECKED int troupe_request_many(struct troupe_actor *self, const troupe_pid *pids,
    size_t count, const struct troupe_type *type, const void *body, int timeout_ms,
    troupe_set_fn on_outcome, void *context);

/*
 * From foreign threads.
 */

/**
 * Asks `to` with a copy of `body`, and waits for room in its mailbox and for the answer, which must be of type `reply_type`;
 * its body is copied to `out_body`.
 *
 * Threads  any but a worker's (TROUPE_EINVAL): a callback asks with troupe_request().  Of a runtime without threads not the
 *          one that turns it, which would wait for itself
 * Owns     what `body` refers to is the runtime's once the request was sent, that is unless the error is one of those marked
 *          *; what the body of the answer refers to is the caller's
 * Units    `timeout_ms` > 0 in milliseconds, for room and answer together, or TROUPE_FOREVER.  reply_type->size bytes at
 *          `out_body`, which is NULL if that is 0; `reply_type` is not variable
 * Returns  TROUPE_OK: answered
 * Errors   TROUPE_EFULL *   no room in all that time
 *          TROUPE_EGONE *   not running, or ended while we waited for room
 *          TROUPE_EINVAL *, TROUPE_ENOMEM *, TROUPE_EMSGSIZE *, TROUPE_EFORKED *
 *          TROUPE_EPROTO    the answer is of another type, and was dropped
 *          the outcomes at the top of this file
 * Cost     two visits from outside, see troupe_try_send(), two blocks from a pool, and a system call to sleep
 */
TROUPE_API TROUPE_CHECKED int troupe_runtime_call(struct troupe_runtime *runtime, troupe_pid to,
    const struct troupe_type *type, const void *body, const struct troupe_type *reply_type,
    void *out_body, int timeout_ms);

/** As troupe_runtime_call(), for an answer of any type and size: *out_reply is the caller's, to be sent on or ended with
 * troupe_message_destroy(). */
TROUPE_API TROUPE_CHECKED int troupe_runtime_call_message(struct troupe_runtime *runtime,
    troupe_pid to, const struct troupe_type *type, const void *body, int timeout_ms,
    struct troupe_message **out_reply);

TROUPE_END_DECLS

#endif
