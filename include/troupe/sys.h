/* SPDX-License-Identifier: MIT */
/*
 * sys.h - looking into a server, a state machine or an event manager while it runs.
 *
 * After Erlang/OTP's sys.  A question is a request that no mailbox is too full for.  It takes its turn in the
 * queue, so it sees what the same sender's earlier messages did; one that is suspended answers at once.
 *
 * A *suspended* actor handles nothing but these questions.  It still ends: by a kill, by an exit signal that it does not
 * trap, and by one of its parent.  What comes meanwhile waits, in order and within the mailbox's capacity; answers to its
 * own requests, outcomes of its jobs and ticks wait as well.  Suspensions are counted; after as many resumes it goes on.
 */
#ifndef TROUPE_SYS_H
#define TROUPE_SYS_H

#include "troupe/call.h"
#include "troupe/runtime.h"

TROUPE_BEGIN_DECLS

/** Messages that a trace remembers. */
#define TROUPE_SYS_EVENTS 32

/** Bytes of a formatted state, with its final NUL. */
#define TROUPE_SYS_TEXT 256

enum troupe_sys_op {
    TROUPE_SYS_STATUS,  /* nothing but the answer */
    TROUPE_SYS_SUSPEND, /* once more */
    TROUPE_SYS_RESUME,  /* once; TROUPE_EBUSY: not suspended */
    TROUPE_SYS_INSPECT, /* calls `fn` with the state, to read; TROUPE_EBUSY: it has none */
    TROUPE_SYS_REPLACE, /* calls `fn` with a copy of the state, which becomes the state if `fn` does not fail */
    TROUPE_SYS_TRACE,   /* remembers messages from now on; those of before are forgotten */
    TROUPE_SYS_UNTRACE, /* no longer */
    TROUPE_SYS_STOP,    /* ends when it has answered, with reason normal; `terminate` is called */
};

/**
 * Called in the actor, between two messages.  Negative: the answer is this error; a REPLACE has then left the state as it
 * was, byte for byte, and `fn` gives back what it allocated.  Must not end the actor, nor wait.
 *
 * `arg` must outlive the outcome; after TROUPE_ETIMEDOUT, when the question may still be answered, the actor.
 */
typedef int (*troupe_sys_fn)(void *state, void *arg);

struct troupe_sys_question {
    enum troupe_sys_op op;
    troupe_sys_fn fn; /* INSPECT, REPLACE: required; otherwise NULL */
    void *arg;
};

/** A message that was handled. */
struct troupe_sys_event {
    const char *type;  /* name of its type */
    troupe_pid sender; /* or TROUPE_NOBODY */
    uint64_t at_ns;    /* the runtime's clock */
    bool request;
};

/** Body of every answer. */
struct troupe_sys_answer {
    const char *behaviour; /* its name */
    const char *state;     /* of a machine: the name of its state; otherwise NULL */
    troupe_pid parent;     /* who spawned it, or TROUPE_NOBODY */
    uint32_t incarnation;  /* which life of its pid */
    uint32_t suspensions;  /* 0: it runs */
    uint32_t stashed;      /* messages in its stash, or postponed */
    bool hibernates;       /* since its last message: see troupe_server_hibernate() */
    uint64_t since_ns;     /* when init was entered */
    uint64_t requests;     /* handled, each with the number before */
    uint64_t messages;     /* other messages of users */
    uint64_t notices;      /* ticks, down notices, exit signals, readiness */
    uint64_t inner;        /* what it told itself: continue, inserted events, time-outs */
    uint32_t event_count;  /* of `events` */
    struct troupe_sys_event events[TROUPE_SYS_EVENTS]; /* the last ones, oldest first */
    char text
        [TROUPE_SYS_TEXT]; /* the state, by the behaviour's `format`; "" without one, or if it failed */
};
extern TROUPE_API const struct troupe_type troupe_sys_answer;

/**
 * Asks `pid`.  The answer, of type troupe_sys_answer, comes as that of a request.
 *
 * Threads  a callback of `self`
 * Errors   as troupe_request() without TROUPE_EFULL and TROUPE_EMSGSIZE; TROUPE_EINVAL also if `pid` is no server, state
 *          machine or event manager, or for a question without the `fn` that it needs
 *          The status of the answer may be TROUPE_ENOMEM (a REPLACE had no memory for the copy; a SUSPEND or TRACE for its
 *          record; any answer for itself), TROUPE_EBUSY, or what `fn` returned
 */
TROUPE_API TROUPE_CHECKED int troupe_sys(struct troupe_actor *self, troupe_pid pid,
    const struct troupe_sys_question *question, int timeout_ms, troupe_reply_fn on_reply,
    void *context);

/**
 * As troupe_sys(), from a foreign thread, which waits for the answer.
 *
 * Threads  as troupe_runtime_call()
 * Units    `timeout_ms` in milliseconds, above 0, or TROUPE_FOREVER; `out_answer` may be NULL
 * Errors   as troupe_runtime_call() without TROUPE_EFULL, TROUPE_EMSGSIZE and TROUPE_EPROTO, and the statuses of above
 */
TROUPE_API TROUPE_CHECKED int troupe_runtime_sys(struct troupe_runtime *runtime, troupe_pid pid,
    const struct troupe_sys_question *question, int timeout_ms,
    struct troupe_sys_answer *out_answer);

TROUPE_END_DECLS

#endif
