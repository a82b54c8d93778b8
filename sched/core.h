/* SPDX-License-Identifier: MIT */
/*
 * core.h - the seam: all that lib may use of sched beyond the public headers, and what sched asks of lib.
 *
 * Reading order for somebody who writes a lib module: actor.h (the cell and the extra block), message.h,
 * this file.
 *
 * Every function here wants a context (context.h): inside a callback of an actor `self` that is
 * trp_context_of(self); from any other place trp_context_enter().  Both are inside a read section, so a cell
 * that was found stays a cell until the callback returns.
 */
#ifndef TRP_CORE_H
#define TRP_CORE_H

#include "actor.h"
#include "context.h"
#include "memory.h"
#include "message.h"
#include "port.h"
#include "timer.h"

#include <troupe/actor.h>
#include <troupe/runtime.h>

/* ---- finding, making, ending actors ---- */

/** The live actor `pid`, or NULL.  Under reclaim; O(1). */
struct troupe_actor *trp_actor_find(struct troupe_runtime *runtime, troupe_pid pid);

/** The pid of a cell: of who lives in it, or, for the holder of its token, of who has just ended in it. */
static inline troupe_pid trp_actor_pid(const struct troupe_actor *actor)
{
    return (troupe_pid)actor->generation << 28 | actor->slot;
}

/** The context in which a callback of `self` runs. */
static inline struct trp_context *trp_context_of(const struct troupe_actor *self)
{
    return self->context;
}

/** Whether `self` may be used by the caller: not NULL, and its callback is what this thread runs. */
static inline bool trp_actor_is_mine(const struct troupe_actor *self)
{
    return self != NULL && self->context != NULL && self->context->current == self;
}

/**
 * Makes an actor that has a pid and a mailbox but is not queued: the caller holds its token, and may add
 * watchers and names before trp_actor_launch(), or give it up with trp_actor_discard().
 */
struct trp_spawn {
    const struct troupe_behaviour *behaviour;
    const void *arg;
    size_t arg_size;
    troupe_pid parent;
    bool keep_mailbox;
};
TROUPE_CHECKED int trp_actor_spawn(
    struct trp_context *context, const struct trp_spawn *spawn, struct troupe_actor **out_actor);
void trp_actor_launch(struct trp_context *context, struct troupe_actor *actor);
void trp_actor_discard(struct trp_context *context, struct troupe_actor *actor);

/**
 * An actor made with keep_mailbox that ended is RESTARTING: it keeps pid and queue, and nobody has its token.
 * restart runs init again (phase NEW, incarnation one higher); release lets it go for good.  Either takes
 * the token by compare-and-swap, so of several callers one gets TROUPE_OK, others TROUPE_EBUSY.
 */
TROUPE_CHECKED int trp_actor_restart(struct trp_context *context, troupe_pid pid);
TROUPE_CHECKED int trp_actor_release(struct trp_context *context, troupe_pid pid);

/** Sets a signal and makes sure that `actor` looks at it.  Any context. */
void trp_actor_signal(
    struct trp_context *context, struct troupe_actor *actor, enum trp_signal signal);

/**
 * From inside a callback or an `open` hook: records the reason with which `self` ends now.  The first one
 * recorded stands.  Takes over the reference to reason->text.
 */
void trp_actor_set_reason(struct troupe_actor *self, const struct troupe_reason *reason);

/* ---- messages ---- */

/** A PLAIN message from the context's pool.  NULL without memory. */
struct troupe_message *trp_message_new(
    struct trp_context *context, const struct troupe_type *type, size_t size, uint16_t flags);

/**
 * Places a reserved message in the queue of `actor`: never refused.  Any context.  `actor` may have ended
 * meanwhile, as long as its cell is under reclaim: then the message counts as dead and is retired.
 */
void trp_send_reserved(
    struct trp_context *context, struct troupe_actor *actor, struct troupe_message *msg);

/**
 * Admits and places the chain `first` .. `last` of `count` messages that weigh `bytes`, in the queue of the live
 * actor `to`.  TROUPE_EGONE, TROUPE_EFULL, TROUPE_EMSGSIZE: refused, counted so, and still the caller's.
 */
TROUPE_CHECKED int trp_send_charged(struct trp_context *context, troupe_pid to,
    struct troupe_message *first, struct troupe_message *last, uint32_t count, uint64_t bytes);

/** Ends a message that is in no queue: answers an open request with `status`, destroys the body, and gives the block
 * to whose it is. */
void trp_message_dispose(struct trp_context *context, struct troupe_message *msg, int status);

/* ---- memory ---- */

/** Memory of the runtime, for things that no pool block fits. */
struct trp_memory *trp_runtime_memory(struct troupe_runtime *runtime);

/** The limits in force (no zeros). */
const struct troupe_limits *trp_runtime_limits(const struct troupe_runtime *runtime);

/** Whether it stops, or has stopped: nobody is spawned from outside any more.  Inside a visit. */
bool trp_runtime_is_stopping(const struct troupe_runtime *runtime);

/** lib's own data of a runtime, one slot a module. */
enum trp_module {
    TRP_MODULE_REGISTRY,
    TRP_MODULE_COUNT,
};
void *trp_runtime_module(const struct troupe_runtime *runtime, enum trp_module module);
void trp_runtime_set_module(struct troupe_runtime *runtime, enum trp_module module, void *data);

/* ---- time, randomness, reports ---- */

/** The clock as the context last read it, in nanoseconds: cheap, up to a few messages old. */
uint64_t trp_context_now(struct trp_context *context);

/** A pseudo-random number from the runtime's seed.  Context's owner. */
uint64_t trp_context_random(struct trp_context *context);

/** Hands a report to the embedder's callback, if there is one and it is not flooded.  printf-like. */
__attribute__((format(printf, 5, 6))) void trp_report(struct troupe_runtime *runtime,
    enum troupe_report_kind kind, troupe_pid pid, const char *actor, const char *format, ...);

/* ---- timers, for lib/call.c and whoever needs a deadline ---- */

/** A timer block for `self`, IDLE, in no list; NULL without memory. */
struct trp_timer *trp_timer_new(struct troupe_actor *self, enum trp_message_kind kind);

/** Arms it `delay_ms` from now on the wheel of the worker that runs `self`. */
void trp_timer_arm(struct troupe_actor *self, struct trp_timer *timer, uint64_t delay_ms);

/** Which use of the block this is; and the end of it: handles and answers that name the old number miss. */
uint64_t trp_timer_serial(const struct trp_timer *timer);
void trp_timer_expire(struct trp_timer *timer);

/** Gives the block back; it is not armed and in no list. */
void trp_timer_free(struct trp_context *context, struct trp_timer *timer);

/* ---- what sched asks of lib ---- */

/** Beyond what a `receive` returns, what `open` may say. */
#define TRP_OPEN_DELIVER 100 /* give it to the behaviour like any message */
#define TRP_OPEN_EXIT 101    /* the actor ends; the reason is set */
#define TRP_OPEN_LATE 102    /* an answer nobody waits for any more */

/** What a callback of the user's returned, so that `open` can return it: no number of ours. */
static inline int trp_open_status(int status)
{
    return status > TROUPE_DONE ? TROUPE_OK : status;
}

/**
 * How lib takes part in an actor's life.  lib/hooks.c defines the one table; sched knows how an actor
 * lives and dies, not who cares.
 */
struct trp_hooks {
    /** A message of kind REPLY, TIMEOUT or NOTICE was dequeued by its running receiver. */
    int (*open)(struct troupe_actor *self, struct troupe_message *msg);

    /** Whether a NOTICE that is still queued is an exit signal that would end `self` now (it does not trap, the link
     * stands, the reason is not normal).  Changes nothing. */
    bool (*condemns)(const struct troupe_actor *self, const struct troupe_message *msg);

    /** The block of a message of kind TIMEOUT or NOTICE is out of every queue.  `self` is the
     * receiver if it is that which retires it, NULL if the message never got there. */
    void (*retire)(
        struct trp_context *context, struct troupe_actor *self, struct troupe_message *msg);

    /** An open request ends without an answer from its receiver: its own block becomes the answer
     * `status`.  The body has been destroyed.  Takes over the block. */
    void (*bounce)(struct trp_context *context, struct troupe_message *request, int status);

    /** init is over with TROUPE_OK; not called if it failed (then the actor exits). */
    void (*started)(struct troupe_actor *self);

    /** Exit step 5: every request that `self` holds is answered with TROUPE_EDIED. */
    void (*bounce_held)(struct troupe_actor *self);

    /** Exit step 6: calls `self` waits for are given up. */
    void (*cancel)(struct troupe_actor *self);

    /** Exit step 7: names become free (not when the mailbox is kept). */
    void (*release)(struct troupe_actor *self);

    /** Exit steps 8 and 9: seals the watchers and tells at most `budget` of them; true when all have been told.
     * When the mailbox is kept the seal is opened again at the end. */
    bool (*notify)(struct troupe_actor *self, const struct troupe_reason *reason, unsigned budget);

    /** The runtime stops: tells `pid` to shut down, in order.  False without memory for it: to be tried again. */
    bool (*shutdown)(struct troupe_runtime *runtime, troupe_pid pid);

    /** A runtime comes into being or goes: lib makes and frees its modules. */
    int (*create)(struct troupe_runtime *runtime);
    void (*destroy)(struct troupe_runtime *runtime);
};
extern const struct trp_hooks trp_hooks;

#endif
