/* SPDX-License-Identifier: MIT */
/*
 * fiber.h - callbacks that may wait: each runs on a stack of its own, and is left in the middle when it waits.
 *
 * A fiber is a stack, and the one callback that runs on it.  It belongs to an actor only as long as that callback lasts: an
 * actor between two messages has none.  A fiber that was left holds its actor, suspended, on its worker (actor.home):
 * compilers keep addresses of thread-local variables across the switch, so it must go on where it began.
 *
 *            begin             the callback returns             given back
 *    IDLE ----------> RUNNING ------------------------> RETURNED ----------> IDLE
 *                      |   ^
 *                      |   | resume
 *                      +-> WAITING    its token is given up, until something comes behind `at`
 *                      +-> YIELDED    keeps its token: queued again
 *                      +-> SIGNALLED  a cancellation point saw a signal: the worker looks at it
 *                      |
 *                      +-> QUIT       by troupe_exit(), or told so when it is dropped: its stack begins anew ----> IDLE
 *
 * A dropped fiber is not unwound: what its frames own is given back by the actor's deferred cleanups, or not at all.
 *
 * Only the worker's thread touches a fiber.  A spare worker that retires stays until none waits there (is_told_to_stop() in
 * worker.c); what it has cached goes back when it leaves.  Stacks: fiber_stack.h.  The switch itself: fiber_switch.h.
 */
#ifndef TRP_FIBER_H
#define TRP_FIBER_H

#include "actor.h"
#include "fiber_stack.h"

struct trp_fiber_host;
struct trp_worker;

enum trp_fiber_state {
    TRP_FIBER_IDLE,
    TRP_FIBER_RUNNING,
    TRP_FIBER_RETURNED,
    TRP_FIBER_QUIT,
    TRP_FIBER_WAITING,
    TRP_FIBER_YIELDED,
    TRP_FIBER_SIGNALLED,
};

enum trp_callback {
    TRP_CALLBACK_INIT,
    TRP_CALLBACK_RECEIVE,
    TRP_CALLBACK_MAIN,
};

/** What C++ keeps for each thread, and each stack needs for itself. */
struct trp_exceptions {
    void *caught;
    unsigned uncaught;
};

struct trp_fiber {
    /* Set once. */
    char *stack; /* its lowest usable byte */
    size_t size;
    unsigned class;

    struct trp_fiber *next; /* of those that nobody uses */
    void *here;             /* where it goes on; NULL: its stack has not begun */
    enum trp_fiber_state state;
    bool dropped;                /* when it goes on it quits */
    struct trp_fiber_host *host; /* RUNNING: who entered it */

    /* The callback. */
    struct troupe_actor *actor;
    enum trp_callback callback;
    struct troupe_message *message; /* RECEIVE: its argument */
    int status;                     /* RETURNED: what it returned */

    /* While it is left. */
    struct trp_node *at;            /* the last node of the queue that it has looked at */
    struct troupe_message *current; /* the actor's */
    enum trp_phase phase;           /* the actor's */

    uint32_t late;               /* messages that may come too late for waits before: see wait.c */
    bool opening;                /* on its stack a continuation runs, which may not wait */
    bool has_reason;             /* what the callback recorded, */
    struct troupe_reason reason; /* before it was left */
    struct troupe_message *picked; /* out of the middle of the queue, and not ended yet */
    struct trp_waiter *waiter;     /* on its stack: it waits for room, see line.h; or NULL */
    struct trp_exceptions exceptions;
    void *fake_stack; /* the address sanitizer's */
    void *tsan;       /* the thread sanitizer's */
};

/** A worker's part. */
struct trp_fiber_host {
    void *here;              /* where the worker goes on */
    struct trp_fiber *fiber; /* that runs, or NULL */
    struct trp_fiber *cached[TRP_STACK_CLASSES];
    unsigned cached_count[TRP_STACK_CLASSES];
    uint32_t suspended; /* actors that must go on here */
    struct trp_exceptions exceptions;
    void *fake_stack;   /* the address sanitizer's, */
    const void *bottom; /* and what it says of the thread's stack */
    size_t size;
    void *tsan;
};

/** Whether callbacks of this behaviour run on fibers. */
static inline bool trp_fiber_is_wanted(const struct troupe_behaviour *behaviour)
{
    return behaviour->may_wait || behaviour->main != NULL;
}

/** Returned instead of a callback's status: it has been left in the middle, and is the actor's `fiber`. */
#define TRP_FIBER_LEFT 103

/**
 * Runs a callback of `actor`, whose slice this is, on a fiber.  Returns its status; TROUPE_ENOMEM without a stack;
 * TRP_FIBER_LEFT; or TRP_OPEN_EXIT if it ended its actor, whose reason is set.
 */
int trp_fiber_begin(
    struct troupe_actor *actor, enum trp_callback callback, struct troupe_message *msg);

/** What `actor->receive` is, of behaviours that may wait. */
int trp_fiber_receive(struct troupe_actor *actor, void *state, struct troupe_message *msg);

/* The one that an actor has goes on in three steps, of which the second, trp_cross_in(), is a part of the caller: see
 * fiber_cross.h. */

/** The one that `actor` has, about to go on. */
struct trp_fiber *trp_fiber_take_up(struct troupe_actor *actor);

/** It came back.  Returns as trp_fiber_begin() does. */
int trp_fiber_conclude(struct trp_fiber *fiber);

/** Drops the one that `actor` has: its callback never goes on. */
void trp_fiber_drop(struct troupe_actor *actor);

/** A worker leaves for good: others, and the kernel, get what it keeps. */
void trp_fiber_leave_host(struct trp_worker *worker);

/* ---- on a fiber ---- */

/** Leaves it: WAITING, YIELDED or SIGNALLED.  May not come back. */
void trp_fiber_leave(struct trp_fiber *fiber, enum trp_fiber_state state);

/** Ends the actor's callback, whose reason is set. */
TROUPE_NORETURN void trp_fiber_quit(struct trp_fiber *fiber);

/* ---- for fiber_stack.c ---- */

void trp_fiber_init(struct trp_fiber *fiber, unsigned class, char *stack, size_t size);
void trp_fiber_fini(struct trp_fiber *fiber);

/** Its stack begins anew. */
void trp_fiber_reset(struct trp_fiber *fiber);

#endif
