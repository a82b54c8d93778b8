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
#include "aside.h"
#include "blocking.h"
#include "context.h"
#include "memory.h"
#include "message.h"
#include "poller.h"
#include "port.h"
#include "pressure.h"
#include "thread.h"
#include "timer.h"

#include <troupe/actor.h>
#include <troupe/io.h>
#include <troupe/lease.h>
#include <troupe/runtime.h>

struct trp_watch;

/* ---- finding, making, ending actors ---- */

/** The live actor `pid`, or NULL.  Under reclaim; O(1). */
struct troupe_actor *trp_actor_find(struct troupe_runtime *runtime, troupe_pid pid);

/** To look at all: whoever lives in `slot`, and its pid, or NULL; and how many slots there are by now.  Under reclaim; O(1). */
struct troupe_actor *trp_actor_at(
    struct troupe_runtime *runtime, uint32_t slot, troupe_pid *out_pid);
uint32_t trp_actor_slots(const struct troupe_runtime *runtime);

/** Whether `pid`, which lived in `actor` when it was found, lives: its exit is not decided, no kill was sent, and it is not
 * between two lives.  Any thread, under reclaim; a moment's view. */
bool trp_actor_is_alive(const struct troupe_actor *actor, troupe_pid pid);

/** The pid of a cell: of who lives in it, or, for the holder of its token, of who has just ended in it. */
static inline troupe_pid trp_actor_pid(const struct troupe_actor *actor)
{
    return (troupe_pid)actor->generation << 28 | actor->slot;
}

/** Whether `pid` is that of `self`, or an alias of its. */
static inline bool trp_actor_is_at(const struct troupe_actor *self, troupe_pid pid)
{
    return pid == trp_actor_pid(self) ||
           (trp_pid_is_alias(pid) && (uint32_t)(pid & ((1U << 28) - 1)) == self->slot);
}

/** Whether what is sent to `to` comes to `self`: its pid, or an alias of its own. */
static inline bool trp_actor_is_reached_by(const struct troupe_actor *self, troupe_pid to)
{
    return to == trp_actor_pid(self) ||
           (trp_pid_is_alias(to) && (to & ((UINT64_C(1) << 28) - 1)) == self->slot);
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

/** Whether `msg` is in the hands of the callback of `self`: borrowed, until that returns. */
static inline bool trp_actor_has_in_hand(
    const struct troupe_actor *self, const struct troupe_message *msg)
{
    return msg == self->current || (msg->flags & TRP_MESSAGE_BATCHED) != 0;
}

/* What a thread actor's call of troupe ends with. */
static inline void trp_actor_go_out(struct trp_worker *const *entered)
{
    if (trp_unlikely(*entered != NULL)) {
        trp_thread_go_out(*entered);
    }
}

/* What any actor's call of troupe begins with. */
static inline struct trp_worker *trp_actor_come_in(const struct troupe_actor *self)
{
    return trp_likely(self == NULL || trp_actor_is_mine(self)) ? NULL : trp_thread_enter(self);
}

/**
 * The first line of every public function of `self`: its thread, if it has one of its own, comes inside (thread.h), until the
 * function returns.  Of other actors, and in calls within calls, it does nothing.
 */
#define TRP_INSIDE(self)                                                                           \
    __attribute__((cleanup(trp_actor_go_out))) struct trp_worker *const trp_entered =              \
        trp_actor_come_in(self);                                                                   \
    (void)trp_entered

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
    bool pinned;
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

/** Sets signals (enum trp_signal) and makes sure that `actor` looks at them.  Any context. */
void trp_actor_signal(struct trp_context *context, struct troupe_actor *actor, uint32_t signals);

/**
 * From inside a callback or an `open` hook: records the reason with which `self` ends now.  The first one
 * recorded stands.  Takes over the reference to reason->text.
 */
void trp_actor_set_reason(struct troupe_actor *self, const struct troupe_reason *reason);

/** Ends `self`, in whose callback this is called, with `reason`, whose text is taken over: as troupe_exit() does. */
TROUPE_NORETURN void trp_actor_exit(struct troupe_actor *self, const struct troupe_reason *reason);

/**
 * Ends `self`, in whose callback a memory fault happened, with TROUPE_ECRASHED: as troupe_abandon() does, but none of its
 * callbacks runs any more, and the body of the message in hand is not destroyed.
 */
TROUPE_NORETURN void trp_actor_crash(struct troupe_actor *self, const char *text);

/** Whether the actor that ends here and now crashed: no code of its user's may be called. */
bool trp_actor_is_crash(void);

/**
 * Calls `fn(arg)`, a part of the user's code inside `self` that may end without ending the actor: troupe_exit() and
 * troupe_abandon() come back here.
 *
 * Returns what `fn` did, or TRP_OPEN_EXIT if it did not come back.  *out_reason is why, with a text that the caller
 * releases: of a failure what was recorded for it, otherwise NORMAL.
 */
int trp_actor_guard(
    struct troupe_actor *self, int (*fn)(void *arg), void *arg, struct troupe_reason *out_reason);

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
 * actor `to`, or of whom the alias `to` leads to.  TROUPE_EGONE, TROUPE_EFULL, TROUPE_EMSGSIZE: refused, counted so, and
 * still the caller's.  An alias that leads to nobody refuses nothing: the messages end here, and count as dead.
 */
TROUPE_CHECKED int trp_send_charged(struct trp_context *context, troupe_pid to,
    struct troupe_message *first, struct troupe_message *last, uint32_t count, uint64_t bytes);

/** The same of one request.  TROUPE_EDEADLK: whoever waits for its answer (pressure.h) would wait in a ring; refused as well. */
TROUPE_CHECKED int trp_send_request(
    struct trp_context *context, troupe_pid to, struct troupe_message *request);

/** The same, by a callback of `self`, which may be paused for it (pause.h). */
TROUPE_CHECKED int trp_send_request_by(
    struct troupe_actor *self, troupe_pid to, struct troupe_message *request);

/** As troupe_send_bytes() and troupe_send_message(), but `self` neither waits nor is paused. */
TROUPE_CHECKED int trp_send_bytes_now(struct troupe_actor *self, troupe_pid to,
    const struct troupe_type *type, const void *body, size_t size);
TROUPE_CHECKED int trp_send_message_now(
    struct troupe_actor *self, troupe_pid to, struct troupe_message *msg);

/** One more try of what was refused: uncounted, and without a policy.  `room`: within so much, as in the charge, and whoever waits for
 * room; 0: within the capacity.  Errors as trp_send_charged(). */
struct trp_refused;
TROUPE_CHECKED int trp_send_again(
    struct trp_context *context, const struct trp_refused *refused, uint64_t room);

/** Of a wait that is an actor's, whoever does the waiting: the owner, and the number of its record (pressure.h), or 0. */
struct trp_stake {
    troupe_pid owner;
    uint64_t edge;
};

/** That of the job which this thread runs, if its actor is one of `runtime`; otherwise of nobody. */
struct trp_stake trp_blocking_stake(const struct troupe_runtime *runtime);

/** As troupe_send_wait(), from a thread that acts for the actor stake->owner, or for nobody. */
TROUPE_CHECKED int trp_send_wait_as(struct troupe_runtime *runtime, const struct trp_stake *stake,
    troupe_pid to, struct troupe_message *msg, int wait_ms);

/**
 * One that waits for room, on its stack: see line.h.
 */
struct trp_waiter {
    /* Its own. */
    troupe_pid to;
    troupe_pid at; /* at whose mailbox: if `to` is an alias, its owner when the wait began */
    struct troupe_message *msg; /* NULL: it wants the room itself, for later: see lease.h */
    struct trp_timer *lease;    /* then, whose room that will be */
    uint64_t
        bytes; /* that it weighs: once it is sent it may be gone before its waiter has left the line */
    uint32_t places;        /* how many it takes */
    struct trp_stake stake; /* whose wait it is; edge 0: of nobody that others could wait for */
    bool registered;        /* counted in `waiting`, and in the list or called */

    /* Under the lock of the extra block of `to`. */
    struct trp_list entry;
    troupe_pid sender; /* whose share it is, where senders have shares: as `bytes`; see lanes.h */
    uint32_t lane;     /* and where */
    struct troupe_actor
        *sleeper; /* whose fiber it is; NULL: a thread's, which sleeps on its event */
    bool pointed; /* its record leads to whoever it waits for */

    /* It is this one's turn, or the actor has ended: the caller's last touch. */
    _Atomic bool called;
};

/** The fiber of `self` begins to wait for room for `msg`, which nobody else has from here on; `edge` is the number of the
 * record of its wait, or 0. */
void trp_line_begin(struct troupe_actor *self, struct trp_waiter *waiter, troupe_pid to,
    struct troupe_message *msg, uint64_t edge);

/** The same for the room that `lease` wants (trp_lease_open()), which belongs to the waiter until that is over. */
void trp_line_begin_lease(
    struct troupe_actor *self, struct trp_waiter *waiter, struct trp_timer *lease, uint64_t edge);

/**
 * One look of the waiter's fiber whether it is let in; `last`: it waits no longer.
 *
 * Returns TROUPE_EFULL: it waits on, its actor will be signalled (TRP_SIGNAL_ROOM).  Otherwise it is over: TROUPE_OK, the
 * message is sent; or the message is the caller's again: TROUPE_ETIMEDOUT, if it was the last look; TROUPE_EGONE;
 * TROUPE_ENOMEM; TROUPE_EDEADLK: to wait would close a ring.
 */
TROUPE_CHECKED int trp_line_go_on(struct troupe_actor *self, struct trp_waiter *waiter, bool last);

/* ---- room that is held in mailboxes of others (lease.h), for lib/lease.c ---- */

/** What a place for a message with `size` bytes of body weighs. */
uint64_t trp_lease_weigh(size_t size);

/**
 * A lease of `self`, which has no room yet, in no list: the caller's.
 *
 * Returns TROUPE_ELIMIT: it has as many as timers may be; TROUPE_ENOMEM.
 */
TROUPE_CHECKED int trp_lease_open(
    struct troupe_actor *self, const struct trp_leased *wanted, struct trp_timer **out_lease);

/** One that has no room is given up. */
void trp_lease_close(struct troupe_actor *self, struct trp_timer *lease);

/** Takes its room, if it is there and nobody waits for some.  TROUPE_EFULL; TROUPE_EGONE; TROUPE_EMSGSIZE: there never will be as much;
 * TROUPE_EINVAL: a mailbox of that kind is never full; TROUPE_ENOMEM. */
TROUPE_CHECKED int trp_lease_take(struct troupe_actor *self, struct trp_timer *lease);

/** It has its room, for `lease_ms` from now: it is the library's from here on, and *out_lease names it. */
void trp_lease_hold(struct troupe_actor *self, struct trp_timer *lease, uint64_t lease_ms,
    struct troupe_lease *out_lease);

/** It is held for `lease_ms` from now.  False: it has lapsed. */
bool trp_lease_renew(struct troupe_actor *self, struct troupe_lease *name, uint64_t lease_ms);

/** Sends `msg`, no request, which takes one of its places.  TROUPE_ETIMEDOUT: it has lapsed, or was used up; TROUPE_EMSGSIZE;
 * TROUPE_EGONE.  The message is still the caller's then. */
TROUPE_CHECKED int trp_lease_send(
    struct troupe_actor *self, struct troupe_lease *name, struct troupe_message *msg);

/** Gives back what is left of it. */
void trp_lease_release(struct troupe_actor *self, struct troupe_lease *name);

/** Places a reserved message that goes before the queue (priority.h) of one that has asked for that, and sets `signals`.
 * False: `actor` ends, and the message is still the caller's. */
TROUPE_CHECKED bool trp_send_first(struct trp_context *context, struct troupe_actor *actor,
    struct troupe_message *msg, uint32_t signals);

/** Counts a message that will not be handled: a request as bounced, any other as dead. */
void trp_message_count_dropped(struct trp_context *context, const struct troupe_message *msg);

/** The permit that `msg` carries goes back. */
void trp_message_return_permit(struct trp_context *context, struct troupe_message *msg);

/** The same, if it carries one: `msg` ends, or has its answer.  Any context. */
static inline void trp_message_end_permit(struct trp_context *context, struct troupe_message *msg)
{
    if (trp_unlikely((msg->flags & TRP_MESSAGE_METERED) != 0)) {
        trp_message_return_permit(context, msg);
    }
}

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
    TRP_MODULE_GROUPS,
    TRP_MODULE_SHORTHANDS,
    TRP_MODULE_GATES,
    TRP_MODULE_COUNT,
};
void *trp_runtime_module(const struct troupe_runtime *runtime, enum trp_module module);
void trp_runtime_set_module(struct troupe_runtime *runtime, enum trp_module module, void *data);

/* ---- time, randomness, reports ---- */

/** The clock as the context last read it, in nanoseconds: cheap, up to a few messages old. */
uint64_t trp_context_now(struct trp_context *context);

/** A pseudo-random number from the runtime's seed.  Context's owner. */
uint64_t trp_context_random(struct trp_context *context);

/** Whether there is a callback for reports: without one, whoever has to look for what it would say need not. */
bool trp_report_is_wanted(const struct troupe_runtime *runtime);

/** Hands a report to the embedder's callback, if there is one and it is not flooded: the facts of `event`, of which `text`
 * and `dropped` are not looked at, and a text.  printf-like. */
__attribute__((format(printf, 3, 4))) void trp_report_event(
    struct troupe_runtime *runtime, const struct troupe_report *event, const char *format, ...);

/** The same, of one without further facts. */
__attribute__((format(printf, 5, 6))) void trp_report(struct troupe_runtime *runtime,
    enum troupe_report_kind kind, troupe_pid pid, const char *actor, const char *format, ...);

/* ---- timers, for lib/call.c and whoever needs a deadline ---- */

/** A timer block for `self`, IDLE, in no list; NULL without memory. */
struct trp_timer *trp_timer_new(struct troupe_actor *self, enum trp_message_kind kind);

/** The same for nobody in particular: it is never armed. */
struct trp_timer *trp_timer_create(struct trp_context *context, enum trp_message_kind kind);

/** Arms it `delay_ms` from now on the wheel of the worker that runs `self`. */
void trp_timer_arm(struct troupe_actor *self, struct trp_timer *timer, uint64_t delay_ms);

/** Arms it to be due at `due_ms`, which was computed by trp_timer_due(). */
void trp_timer_arm_at(struct troupe_actor *self, struct trp_timer *timer, uint64_t due_ms);

/** When `delay_ms` from `now_ns` is over, in whole ms of the clock: rounded up, so that nothing fires early. */
uint64_t trp_timer_due(uint64_t now_ns, uint64_t delay_ms);

/** Which use of the block this is; and the end of it: handles and answers that name the old number miss. */
uint64_t trp_timer_serial(const struct trp_timer *timer);
void trp_timer_expire(struct trp_timer *timer);

/** Whom `pid` waits for just now (pressure.h), or TROUPE_NOBODY.  A moment's view.  Any thread, under reclaim. */
troupe_pid trp_pressure_awaited(struct troupe_runtime *runtime, troupe_pid pid);

/** Of a request, or of its answer: the number of the record of whoever waits for that (pressure.h); 0: nobody does, or not any
 * more. */
static inline uint64_t trp_send_edge(const struct troupe_message *msg)
{
    const struct trp_extension *extension = trp_message_extension(msg);
    const struct trp_timer *pending = extension->call;
    /* acquire: if it is the number of another use of the block, its serial has moved on.
     * PAIR timer.edge: trp_timer_create(), ask() in call.c. */
    uint64_t number = atomic_load_explicit(&pending->edge, memory_order_acquire);

    return trp_likely(number == 0) || trp_timer_serial(pending) != extension->serial ? 0 : number;
}

/* Of pause.h, for those below it.  Any context, under reclaim. */

/** Somebody has set a signal of `actor`, which is not parked: if it is paused it looks at it. */
void trp_pause_wake(struct trp_context *context, struct troupe_actor *actor);

/** `actor` stands in a ring of waits, in which it is paused: it goes on. */
void trp_pause_break(struct trp_context *context, struct troupe_actor *actor);

/** Gives back what hangs on `edge`: nobody can reach it any more. */
void trp_pause_free(struct trp_context *context, struct trp_edge *edge);

/** Gives the block back; it is not armed and in no list. */
void trp_timer_free(struct trp_context *context, struct trp_timer *timer);

/* ---- blocking jobs: the actor's side of blocking.h, for lib/job.c ---- */

/** Queues a job, all of which is set.  TROUPE_EFULL, TROUPE_ESYSTEM: it is still the caller's. */
TROUPE_CHECKED int trp_blocking_submit(struct troupe_job *job);

/** Takes one back that has not begun: DONE, and the caller's.  False: it has begun. */
bool trp_blocking_withdraw(struct troupe_job *job);

/** Tells one that is not queued that nobody wants it.  False: it is over. */
bool trp_blocking_cancel(struct troupe_job *job);

/** Its actor is through with a job, which is out of its list.  Returns the state that it was in.  QUEUED, LOST: it is the
 * caller's, to be disposed of.  RUNNING: its thread's.  DONE: a message, on its way to the actor or in its queue. */
enum trp_job_state trp_blocking_orphan(struct troupe_job *job);

/** Gives back its argument, unless `destroy` is NULL, and its block. */
void trp_blocking_dispose(struct troupe_job *job);

/* ---- waiting, in a callback that may (fiber.h) ---- */

/** The fiber on which the caller runs as a callback of `self`; NULL: it may not wait, nor call what follows. */
struct trp_fiber;
struct trp_fiber *trp_fiber_here(const struct troupe_actor *self);

/** Whether `self` may wait here.  Not in a continuation, which may run on a fiber as well. */
bool trp_wait_may(const struct troupe_actor *self);

/** `self` is about to wait for somebody else: a record for it, as trp_pressure_open() makes it, and whoever waits for room that
 * it has made is let in. */
TROUPE_CHECKED int trp_wait_open(struct troupe_actor *self, uint64_t *out_edge);

/** No more than a cancellation point. */
void trp_wait_heed(struct troupe_actor *self);

/** Lets others run. */
void trp_wait_yield(struct troupe_actor *self);

/** Ends what was received last.  Returns where to look for the first message that is queued. */
struct trp_node *trp_wait_begin(struct troupe_actor *self);

/** Waits until something comes behind `at`, or for no reason at all.  NULL: behind what was popped last, which ends. */
void trp_wait_behind(struct troupe_actor *self, struct trp_node *at);

/** The next message that is for the user; it is current until the next one.  NULL: none is there now. */
struct troupe_message *trp_wait_next(struct troupe_actor *self);

/** The same, and waits until there is one. */
struct troupe_message *trp_wait_for_next(struct troupe_actor *self);

/**
 * The first message behind *at that matches, out of the queue, counted as handled, not opened; the caller ends it with
 * trp_worker_retire() or trp_wait_receive().  *at moves on to the last one that was looked at.  NULL: none is there now.
 */
struct troupe_message *trp_wait_find(
    struct troupe_actor *self, struct trp_node **at, trp_match_fn matches, const void *arg);

/** The same of those that go before the queue (priority.h), of which none is passed over for good. */
struct troupe_message *trp_wait_find_priority(
    struct troupe_actor *self, trp_match_fn matches, const void *arg);

/** Where to begin to look for the outcome of what `self` is about to do: behind what is queued now; or at its head, as long
 * as answers and time-outs that come too late for a wait before may stand there. */
struct trp_node *trp_wait_from(struct troupe_actor *self);
void trp_wait_expects_late(struct troupe_actor *self);
void trp_wait_had_late(struct troupe_actor *self);

/** One that was found becomes current until the next one.  False: it was not for the user, and has ended. */
bool trp_wait_receive(struct troupe_actor *self, struct troupe_message *msg);

/** The same of a message that a fiber has come upon: what that runs may not wait. */
int trp_wait_deal(struct troupe_actor *self, struct troupe_message *msg);

/** Opens a message: TRP_OPEN_DELIVER, or what became of it. */
int trp_worker_open(struct troupe_actor *actor, struct troupe_message *msg);

/** Ends a message that left the queue of `self`; a request without an answer gets `status`. */
void trp_worker_retire(struct trp_context *context, struct troupe_actor *actor,
    struct troupe_message *msg, int status);

/** Where to begin to look for readiness of `io`, as trp_wait_from(). */
struct trp_node *trp_wait_from_io(struct troupe_actor *self, const struct troupe_io *io);

/* ---- descriptors whose readiness is waited for, and not told as a message ---- */

/** As troupe_io_open(); its messages are noted, and never seen by the user. */
TROUPE_CHECKED int trp_io_adopt(struct troupe_actor *self, int fd, void *context,
    trp_io_close_fn on_close, struct troupe_io **out_io);

/** Whether `msg` is the readiness of some such io; of this one; of one that is closed. */
bool trp_io_is_noted(const struct troupe_message *msg);
bool trp_io_brings(const struct troupe_io *io, const struct troupe_message *msg);
bool trp_io_is_stale(const struct troupe_message *msg);

/** Whether its message is in the owner's queue.  Owner; if not, it will stand behind what is the newest message now. */
bool trp_io_is_queued(const struct troupe_io *io);

/** Whether `self` has an io that was adopted with this context, and not closed.  O(its ios). */
bool trp_io_is_open(struct troupe_actor *self, const void *context);

/** Which of `events` were noted; forgets them. */
uint32_t trp_io_take_noted(struct troupe_io *io, uint32_t events);

/* ---- what sched asks of lib ---- */

/** Beyond what a `receive` returns, what `open` may say. */
#define TRP_OPEN_DELIVER 100 /* give it to the behaviour like any message */
#define TRP_OPEN_EXIT 101    /* the actor ends; the reason is set */
#define TRP_OPEN_LATE 102    /* an answer nobody waits for any more */
#define TRP_OPEN_SKIP 103    /* a request whose caller gave up: not handled */

/** What a callback of the user's returned, so that `open` can return it: no number of ours. */
static inline int trp_open_status(int status)
{
    return status > TROUPE_DONE ? TROUPE_OK : status;
}

/** What comes through an alias, and what becomes of that. */
struct trp_passage {
    struct trp_alias *alias;
    struct trp_watch *monitor; /* that ends with it */
    bool once;                 /* it ends with the first message */
    bool priority;             /* what comes through goes before the queue */
};

/**
 * How lib takes part in an actor's life.  lib/hooks.c defines the one table; sched knows how an actor
 * lives and dies, not who cares.
 */
struct trp_hooks {
    /** A message of kind QUESTION, REPLY, TIMEOUT, NOTICE, CHANGE, JOB or FLOW was dequeued by its running receiver. */
    int (*open)(struct troupe_actor *self, struct troupe_message *msg);

    /** Whether a NOTICE that is still queued is an exit signal that would end `self` now (it does not trap, the link
     * stands, the reason is not normal).  Changes nothing. */
    bool (*condemns)(const struct troupe_actor *self, const struct troupe_message *msg);

    /** Whether a NOTICE that was dequeued is heeded by one that is suspended: an exit signal that ends it, or, if it traps
     * exits, one of its parent's or the runtime's.  Changes nothing. */
    bool (*commands)(const struct troupe_actor *self, const struct troupe_message *msg);

    /** The block of a message of kind TIMEOUT, NOTICE, CHANGE, JOB or FLOW is out of every queue.  `self` is the
     * receiver if it is that which retires it, NULL if the message never got there. */
    void (*retire)(
        struct trp_context *context, struct troupe_actor *self, struct troupe_message *msg);

    /** An open request ends without an answer from its receiver: its own block becomes the answer
     * `status`.  The body has been destroyed.  Takes over the block. */
    void (*bounce)(struct trp_context *context, struct troupe_message *request, int status);

    /** A message that carried this permit of a gate ends, or has its answer. */
    void (*return_permit)(struct troupe_runtime *runtime, uint32_t permit);

    /** init is over with TROUPE_OK; not called if it failed (then the actor exits). */
    void (*started)(struct troupe_actor *self);

    /** Exit step 1: the end of `self`, which has an extra block, is decided; terminate and destroy are yet to come. */
    void (*ending)(struct troupe_actor *self);

    /** Exit step 5: every request that `self` holds is answered with TROUPE_EDIED. */
    void (*bounce_held)(struct troupe_actor *self);

    /** Exit step 6: calls and jobs that `self` waits for are given up, and its monitors of groups. */
    void (*cancel)(struct troupe_actor *self);

    /** Exit step 7: at most `budget` names become free, or groups are left; true when none is left (not called when the
     * mailbox is kept). */
    bool (*release)(struct troupe_actor *self, unsigned budget);

    /** Exit steps 8 and 9: seals the watchers and tells at most `budget` of them; true when all have been told.
     * When the mailbox is kept the seal is opened again at the end. */
    bool (*notify)(struct troupe_actor *self, const struct troupe_reason *reason, unsigned budget);

    /** Under the lock of `extra`: whether `alias` leads to the actor whose that is, and how. */
    bool (*find_alias)(struct trp_extra *extra, troupe_pid alias, struct trp_passage *out_passage);

    /** Under the same lock, still: the message through one that ends with it was placed.  The alias ends. */
    void (*spend_alias)(struct trp_extra *extra, struct trp_passage *passage);

    /** After that, under no lock: what else ends with it. */
    void (*follow_alias)(struct trp_context *context, const struct trp_passage *passage);

    /** A callback of `self` that may wait was refused for want of room: it waits, for TROUPE_SEND_WAIT_MS at most.  Errors as
     * troupe_send_message_within(). */
    int (*wait_for_room)(struct troupe_actor *self, troupe_pid to, struct troupe_message *msg);

    /** Who has the name, under reclaim; or TROUPE_NOBODY. */
    troupe_pid (*whereis)(const struct troupe_runtime *runtime, const char *name);

    /** The runtime stops: tells `pid` to shut down, in order.  False without memory for it: to be tried again. */
    bool (*shutdown)(struct troupe_runtime *runtime, troupe_pid pid);

    /** A runtime comes into being or goes: lib makes and frees its modules. */
    int (*create)(struct troupe_runtime *runtime);
    void (*destroy)(struct troupe_runtime *runtime);
};
extern const struct trp_hooks trp_hooks;

#endif
