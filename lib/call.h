/* SPDX-License-Identifier: MIT */
/*
 * lib/call.h - what hooks.c asks of call.c: its part in an actor's life, in the words of struct trp_hooks in
 * sched/core.h; and what the other files about calls share with it.
 */
#ifndef TRP_CALL_H
#define TRP_CALL_H

#include "core.h"

/** A message of kind QUESTION, REPLY or TIMEOUT was dequeued by `self`. */
int trp_call_open(struct troupe_actor *self, struct troupe_message *msg);

/** The block of a message of kind TIMEOUT is out of every queue. */
void trp_call_retire(
    struct trp_context *context, struct troupe_actor *self, struct troupe_message *msg);

/** An open request ends without an answer from its receiver. */
void trp_call_bounce(struct trp_context *context, struct troupe_message *request, int status);

/** Exit step 5: every request that `self` holds is answered with TROUPE_EDIED. */
void trp_call_bounce_held(struct troupe_actor *self);

/** Exit step 6: the calls `self` waits for are given up. */
void trp_call_cancel(struct troupe_actor *self);

/* ---- for await.c, request_set.c and foreign.c ---- */

/** A record in the list of `self`, not armed.  TROUPE_ENOMEM, TROUPE_ELIMIT. */
TROUPE_CHECKED int trp_call_open_record(struct troupe_actor *self, troupe_reply_fn on_reply,
    void *context, struct trp_timer **out_record);

/** Its outcome is not wanted any more. */
void trp_call_close_record(struct troupe_actor *self, struct trp_timer *record);

/** As troupe_request(), of one that waits for the answer: `edge` is the number of the record of its wait.  TROUPE_EDEADLK: that
 * would close a ring, and nothing was sent. */
TROUPE_CHECKED int trp_call_request(struct troupe_actor *self, troupe_pid to,
    const struct troupe_type *type, const void *body, int timeout_ms, uint64_t edge,
    troupe_reply_fn on_reply, void *context);

/** The record of the request that `self` made last. */
struct trp_timer *trp_call_newest_record(struct troupe_actor *self);

/** Whether `msg` is the answer to the record, or its time-out. */
bool trp_call_concerns(
    const struct troupe_message *msg, const struct trp_timer *record, uint64_t serial);

/** Whether `msg` is an answer or a time-out that comes too late. */
bool trp_call_is_stale(const struct troupe_message *msg);

/** Until when somebody waits, and what follows from it. */
struct trp_terms {
    uint64_t deadline_ms;  /* of the request; or TRP_NEVER */
    uint64_t inherited_ms; /* of what is handled now; or TRP_NEVER */
    uint32_t flags;        /* enum trp_call_flag */
    bool no_wait;          /* TROUPE_ERESTARTING instead of a wait for the next life */
    bool now;              /* without room it is refused, and its asker not paused for it */
    bool system;           /* reserved, and handled also by one that is suspended: see sys.c */
};

/** Until when what `self` does now is wanted; TRP_NEVER: nobody said. */
uint64_t trp_call_deadline(struct troupe_actor *self);

/** The terms of a request that is made now.  TROUPE_ETIMEDOUT: nobody waits any more for what is handled now. */
TROUPE_CHECKED int trp_call_terms(struct troupe_actor *self,
    const struct troupe_request_options *options, struct trp_terms *out_terms);

/** As troupe_request(), with `now` of the terms. */
TROUPE_CHECKED int trp_call_request_now(struct troupe_actor *self, troupe_pid to,
    const struct troupe_type *type, const void *body, int timeout_ms, troupe_reply_fn on_reply,
    void *context);

/** Sends a request with a copy of `body` for `record`, which stays its caller's if it is refused. */
TROUPE_CHECKED int trp_call_ask(struct troupe_actor *self, troupe_pid to,
    const struct troupe_type *type, const void *body, const struct trp_terms *terms,
    struct trp_timer *record);

/** `record`, which asked in vain, has the outcome `status`, in its turn. */
void trp_call_fail_later(struct troupe_actor *self, struct trp_timer *record, int status);

/** Makes `msg` the request of `record`. */
void trp_call_mark(
    struct troupe_message *msg, const struct trp_timer *record, const struct trp_terms *terms);

/** Sends a request that was marked, of `system` terms: no mailbox is too full for it.  TROUPE_EGONE. */
TROUPE_CHECKED int trp_call_place_system(
    struct trp_context *context, troupe_pid to, struct troupe_message *msg);

/** The outcome of a request that nobody answered in time; `bits` are those of the record's serial when it was given up. */
int trp_call_overdue(struct troupe_runtime *runtime, troupe_pid to, uint64_t bits);

/** request_set.c: a record of a set has its outcome.  Returns what the set's callback returned. */
int trp_request_set_settle(struct troupe_actor *self, const struct trp_asking *asking, int status,
    struct troupe_message *reply);

/** foreign.c: asks from a foreign thread, and waits: the answer, or NULL and *out_error, which troupe_runtime_call_message()
 * would return.  `system`: as in struct trp_terms. */
struct troupe_message *trp_foreign_ask(struct troupe_runtime *runtime, troupe_pid to,
    const struct troupe_type *type, const void *body, bool system, int timeout_ms, int *out_error);

/** foreign.c: hands an answer to the thread that waits for it.  False: nobody does, it is still the caller's. */
bool trp_foreign_answer(struct troupe_message *answer);

#endif
