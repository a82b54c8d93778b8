/* SPDX-License-Identifier: MIT */
/*
 * call.h - asking an actor something, and answering.
 *
 * troupe_request() sends a request and returns; the answer comes later as a call of the continuation,
 * in the asking actor, between two of its messages.  Each request has exactly one outcome:
 *
 *   status TROUPE_OK           `reply` is the answer, borrowed until the continuation returns
 *   status TROUPE_ETIMEDOUT    the time allowed has passed; a late answer is dropped and counted
 *   status TROUPE_EDIED        the actor died with the request queued, being handled or held
 *   status TROUPE_EUNANSWERED  the actor let the request go without an answer
 *   any other negative status  what the actor gave to troupe_reply_error()
 *
 * Whatever is not TROUPE_OK comes with a NULL reply, and needs no memory that was not set aside when the request was
 * made; an answer with a body does, and whoever answers learns if there is none.  If the asking actor ends first its
 * continuations are not called.
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
 * Errors   as troupe_send(); also TROUPE_ELIMIT (limits.actor_timers).  On error the continuation is not called
 * Order    with the caller's other sends to `to`
 * Cost     beyond a send a block from a pool and, with a time-out, a timer: see troupe_tick_after()
 */
TROUPE_API TROUPE_CHECKED int troupe_request(struct troupe_actor *self, troupe_pid to,
    const struct troupe_type *type, const void *body, int timeout_ms, troupe_reply_fn on_reply,
    void *context);

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

TROUPE_END_DECLS

#endif
