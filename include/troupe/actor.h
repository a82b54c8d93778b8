/* SPDX-License-Identifier: MIT */
/*
 * actor.h - behaviours, spawning, and how an actor ends.
 *
 * An actor is a state and a behaviour: a table of functions that troupe calls, one at a time, never two at
 * once.  `self` is given to each of them and is good only until it returns; to keep an address, keep the pid.
 * A function marked `a callback of self` is for use inside one of these calls, and in the continuations of
 * call.h, by the thread that runs it.
 *
 *   init       first, before any message; a negative return ends the actor at once, as do TROUPE_DONE and TROUPE_IGNORE
 *   receive    once per message.  TROUPE_OK goes on; TROUPE_DONE ends the actor with reason normal;
 *              TROUPE_EUNKNOWN says "not mine": counted, and the actor goes on; any other negative value is a
 *              failure and ends the actor with that code.  Other positive values are troupe's own: not to be used
 *   terminate  when the actor ends by its own doing or by an exit signal (not when killed, and not when init
 *              failed): say good-bye; sends made here are delivered
 *   destroy    exactly once on every path after init was entered: give back what the state owns
 *
 * A failure leaves a state that may be half changed: `receive` never sees it again, `terminate` and `destroy` do.
 * A callback holds its worker: one that computes or waits for long is reported (STUCK), and others run elsewhere.
 */
#ifndef TROUPE_ACTOR_H
#define TROUPE_ACTOR_H

#include "troupe/message.h"

TROUPE_BEGIN_DECLS

/** Returned by `receive` or `init`: this was the last message, end with reason normal. */
#define TROUPE_DONE 1

/** Returned by `init`: not needed, which is no failure.  The actor ends at once, with reason normal and this code; its
 * supervisor lets it rest (supervisor.h). */
#define TROUPE_IGNORE 2

/**
 * Why an actor ended, after Erlang/OTP.  Two questions have two answers: links spread every
 * reason but NORMAL; a transient child is restarted after every reason but NORMAL and SHUTDOWN.
 */
enum troupe_exit {
    TROUPE_EXIT_NORMAL,   /* done */
    TROUPE_EXIT_SHUTDOWN, /* told to stop, in order */
    TROUPE_EXIT_KILLED,   /* by troupe_kill(): could not be trapped */
    TROUPE_EXIT_KILL,     /* chose the reason kill itself, or a linked actor did: can be trapped */
    TROUPE_EXIT_NOPROC,   /* the actor linked or monitored was not there */
    TROUPE_EXIT_ERROR,    /* failed: `code` and the text say how */
};

/** A reason, copied by value.  The text, if any, is shared and counted: whoever keeps a copy beyond the callback that
 * it was given to retains it (troupe_buffer_retain()), and releases it in the end. */
struct troupe_reason {
    enum troupe_exit kind;
    int code;                   /* with ERROR a troupe_err or a code of the user's; with NORMAL
                                   TROUPE_IGNORE if init said so; with SHUTDOWN TROUPE_EDIED of a
                                   supervisor that gave up; otherwise 0 */
    struct troupe_buffer *text; /* or NULL; ends in a NUL byte */
};

/** What was said about the failure; "" if nothing was.  Good as long as the reason is. */
TROUPE_API const char *troupe_reason_text(const struct troupe_reason *reason);

/** The kind as a word: "normal", "shutdown", "killed", "kill", "noproc", "error". */
TROUPE_API const char *troupe_exit_name(enum troupe_exit kind);

/** Whether a linked actor survives this reason: only NORMAL. */
TROUPE_API bool troupe_reason_is_normal(const struct troupe_reason *reason);

/** Whether a transient child rests after this reason: NORMAL or SHUTDOWN. */
TROUPE_API bool troupe_reason_is_clean(const struct troupe_reason *reason);

typedef int (*troupe_init_fn)(struct troupe_actor *self, void *state, const void *arg);
typedef int (*troupe_receive_fn)(
    struct troupe_actor *self, void *state, struct troupe_message *msg);
typedef int (*troupe_receive_batch_fn)(
    struct troupe_actor *self, void *state, struct troupe_message **msgs, size_t count);
typedef void (*troupe_terminate_fn)(
    struct troupe_actor *self, void *state, const struct troupe_reason *reason);
typedef void (*troupe_destroy_fn)(void *state);
typedef void (*troupe_defer_fn)(void *arg);
typedef int (*troupe_main_fn)(struct troupe_actor *self, const void *arg);

/** Most messages of a batch. */
#define TROUPE_BATCH_MAX 64

/** Bytes of stack of a callback that may wait, where its behaviour says nothing, and the most it may say. */
#define TROUPE_STACK_DEFAULT 61440
#define TROUPE_STACK_MAX 1044480

struct troupe_overload;

/**
 * A behaviour is static: it must outlive every actor that has it.
 *
 * An actor of `memory_max` that has more bytes than that in its state, its copied argument, its arena and its mailbox is
 * reported (LIMIT) and killed.  This is looked at when it allocates from its arena, which then gives NULL, and whenever room
 * in its mailbox comes back; so what is queued while it does not run is bounded by `capacity_bytes`.  Answers, ticks and
 * notices do not count; nor what it allocates elsewhere.
 */
struct troupe_behaviour {
    const char *name;              /* required; for reports */
    size_t state_size;             /* bytes, zeroed before init; up to 64 cost nothing extra */
    troupe_init_fn init;           /* or NULL */
    troupe_receive_fn receive;     /* required, unless there is main */
    troupe_terminate_fn terminate; /* or NULL */
    troupe_destroy_fn destroy;     /* or NULL */
    uint32_t capacity;             /* messages; 0: TROUPE_CAPACITY_DEFAULT */
    uint64_t capacity_bytes;       /* 0: TROUPE_CAPACITY_BYTES_DEFAULT; at least 64 a message */
    uint32_t margin;               /* messages above that, for handlers: see mailbox.h */
    bool never_paused;             /* when it sends into margins: see mailbox.h */
    bool trap_exit;                /* exit signals arrive as messages: see link.h */
    bool may_wait;                 /* init and receive may wait: see fiber.h */
    troupe_main_fn main;           /* instead of receive: see fiber.h */
    bool thread;                   /* with main: it has a thread of its own, see below */
    size_t stack_size;   /* of callbacks that may wait, in bytes; 0: TROUPE_STACK_DEFAULT, with
                            `thread` TROUPE_STACK_MAX */
    uint64_t memory_max; /* bytes; 0: no limit.  See below */
    const struct troupe_overload
        *overload;                         /* what a full mailbox does; NULL: it refuses.  As static
                                               as this: see overload.h */
    troupe_receive_batch_fn receive_batch; /* or NULL: see below */
    uint32_t
        batch_max; /* messages of a batch; at most TROUPE_BATCH_MAX, which is also what 0 says */
};

/*
 * A behaviour with a `receive_batch` gets there whatever is sent to it and is no request, several messages at once: those that
 * are queued one behind the other when it comes to the first of them, in the order in which they were sent.  `receive`, which it
 * has as well, gets requests, ticks, notices and readiness, each in its turn.  A batch is never waited for: it may be one
 * message, and is no longer than what is left of the turn.
 *
 * All of a batch is borrowed until the callback returns: `msgs` and what it points to.  Each message of it may be kept with
 * troupe_take() or sent on with troupe_forward(), once; none may be stashed.  A result that is negative, or TROUPE_DONE, counts for
 * all of it: then all were handled.  A kill or an exit signal that comes meanwhile is heeded after the batch.  Such a behaviour has no
 * `main`, and its callbacks do not wait.
 */

struct troupe_via;

/*
 * A thread actor (`thread`, with `main`) has an OS thread of its own: its main function, and `init`, may block there for as long
 * as they like: in a library, a file, a device, a computation.  To others, and in its own code, it is an actor as any other: the
 * same pid, mailbox, links, names and supervisors, and every function for a callback of `self` that may wait (fiber.h).
 *
 * It is killed, or ended by an exit signal, in the calls that wait.  One that blocks in something else is not interrupted: who
 * tells it to shut down waits for it, and says so when its time is over (UNSTOPPED), as of a handler that does not return.  Its
 * end runs on its own thread: `terminate`, deferred cleanups and `destroy`, which may block as well.  The thread ends with the
 * actor.  A child that is restarted gets a new one; with keep_mailbox it lives on on the same one.
 *
 * What it makes runnable is run by the workers: a message costs a wake-up each way if the other side sleeps, some ten
 * microseconds.  Between two calls of troupe its thread is as a foreign one: functions of a runtime that are for any thread but
 * a worker's may be called there, but for those that stop it.  Thread-local variables are its own; its stack is that of
 * fiber.h, of TROUPE_STACK_MAX bytes unless the behaviour says less.
 *
 * Limits: limits.threads; spawning one more is TROUPE_ELIMIT.
 */

/** Names one monitor.  0 names none. */
typedef uint64_t troupe_ref;

struct troupe_reference;

struct troupe_spawn_options {
    const struct troupe_behaviour *behaviour; /* required */
    const void *arg;                          /* given to init */
    size_t arg_size;  /* so many bytes of `arg` are copied at spawn; 0: the pointer is passed on */
    const char *name; /* registered before init runs; NULL: no name */
    bool link;        /* linked to the spawner from its first instruction */
    bool pinned;      /* runs on one worker for life: see below */
    troupe_ref *monitor; /* the ref of a monitor by the spawner from its first instruction */
    const char *group;   /* a member before init runs: see group.h; NULL: no group */
    troupe_pid *holder;  /* written on TROUPE_EEXIST: who has the name; TROUPE_NOBODY: one that is
                            being spawned just now and has no address yet */
    struct troupe_reference **reference; /* the first strong reference, which is the caller's: the
                                            actor ends when the last is gone: see reference.h */
    const struct troupe_via
        *via; /* the registry in which `name` is taken [the runtime's]: see registry.h */
};

/*
 * A pinned actor is for what belongs to a thread: a library that must be called by the thread that it was opened on,
 * a thread-local variable.  Which worker is its home is decided at the spawn, the workers in turn; all its callbacks run
 * there, over restarts that keep its pid too, and it is not stolen.  So nobody takes it over while another handler
 * holds that worker, and many pinned actors with little to do are better off when they are not.
 */

/**
 * Spawns an actor.  It runs after the caller's callback returns, or on another worker at once;
 * messages sent before it runs are kept.
 *
 * Threads  a callback of `self`
 * Errors   TROUPE_ELIMIT  as many actors, names, watches or members as the runtime allows
 *          TROUPE_EEXIST  the name is taken: see `holder`
 *          TROUPE_ESYSTEM no thread could be started, for one that has its own
 *          TROUPE_ENOMEM, TROUPE_EINVAL; nothing was spawned, and nobody was seen under the name
 * Cost     O(1); up to 64 bytes of state, an argument that is not copied, and neither name, link nor monitor: no
 *          allocation and no lock, but for one new block of 1024 actors now and then (with limits.actors below
 *          2^20: one lock)
 */
#define troupe_spawn(self, options, out_pid)                                                       \
    troupe_spawn_sized((self), (options), sizeof(struct troupe_spawn_options), (out_pid))
TROUPE_API TROUPE_CHECKED int troupe_spawn_sized(struct troupe_actor *self,
    const struct troupe_spawn_options *options, size_t options_size, troupe_pid *out_pid);

/** As troupe_spawn(), from any thread.  Its spawner is nobody: `link` and `monitor` are TROUPE_EINVAL, and
 * troupe_runtime_stop() tells it first.  TROUPE_ESTOPPED while the runtime stops and after it: nobody would run it. */
#define troupe_runtime_spawn(runtime, options, out_pid)                                            \
    troupe_runtime_spawn_sized((runtime), (options), sizeof(struct troupe_spawn_options), (out_pid))
TROUPE_API TROUPE_CHECKED int troupe_runtime_spawn_sized(struct troupe_runtime *runtime,
    const struct troupe_spawn_options *options, size_t options_size, troupe_pid *out_pid);

/** The pid of `self`. */
TROUPE_API troupe_pid troupe_self(const struct troupe_actor *self);

/** The runtime of `self`. */
TROUPE_API struct troupe_runtime *troupe_runtime_of(const struct troupe_actor *self);

/** The state of `self`: what its callbacks get. */
TROUPE_API void *troupe_state(struct troupe_actor *self);

/** Which life of its pid this is: 0, and one more after each restart that kept the address. */
TROUPE_API uint32_t troupe_incarnation(const struct troupe_actor *self);

/**
 * Whether `pid` lives: false from the moment its exit is decided or a kill was sent, and also between two lives of one
 * that keeps its address.  A moment's view.
 *
 * Threads  any
 */
TROUPE_API bool troupe_is_alive(struct troupe_runtime *runtime, troupe_pid pid);

/**
 * Records why the actor is about to fail and returns `code`, for `return troupe_fail(...)`.  A callback that then
 * returns something else has changed its mind: the record is forgotten.
 *
 * Threads  a callback of `self`
 * Units    `code` negative; a code that is not negative counts as TROUPE_EINVAL
 * Owns     `text` is copied; if there is no memory for it the reason goes without
 */
TROUPE_API int troupe_fail(struct troupe_actor *self, int code, const char *text);

/**
 * Ends the actor now, from however deep in its callback, with reason `kind` (not ERROR: use
 * troupe_fail(), or TROUPE_CHECK).  Deferred cleanups run.  Frames of C++ in between are not unwound, and locks
 * that they hold stay locked.  Inside `terminate`, a cleanup or `destroy` it ends that function only.
 *
 * Threads  a callback of `self`; anywhere else, or with another `kind`, the process is aborted
 */
TROUPE_API TROUPE_NORETURN void troupe_exit(struct troupe_actor *self, enum troupe_exit kind);

/** Ends the actor now with reason ERROR, as troupe_exit() does; `code` and `text` as for troupe_fail(). */
TROUPE_API TROUPE_NORETURN void troupe_abandon(
    struct troupe_actor *self, int code, const char *text);

#define TROUPE_CHECK_TEXT(x) TROUPE_CHECK_TEXT_(x)
#define TROUPE_CHECK_TEXT_(x) #x

/** Ends the actor with TROUPE_ECHECK unless `condition` holds.  Hides control flow: does not return. */
#define TROUPE_CHECK(self, condition)                                                              \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            troupe_abandon(                                                                        \
                (self), TROUPE_ECHECK, __FILE__ ":" TROUPE_CHECK_TEXT(__LINE__) ": " #condition);  \
        }                                                                                          \
    } while (0)

/**
 * Registers a cleanup that runs when the actor ends, last in, first out, after `terminate` and
 * before `destroy`.
 *
 * Threads  a callback of `self`
 * Errors   TROUPE_ENOMEM: nothing was registered; the caller cleans up itself
 */
TROUPE_API TROUPE_CHECKED int troupe_defer(
    struct troupe_actor *self, troupe_defer_fn fn, void *arg);

/** Takes the newest cleanup with this `fn` and `arg` back without running it.  A callback of `self`.  O(n) in those
 * registered since.  TROUPE_ENOENT. */
TROUPE_API int troupe_undefer(struct troupe_actor *self, troupe_defer_fn fn, const void *arg);

/**
 * Allocates from the actor's arena: freed whole when this incarnation ends, never singly.
 *
 * Threads  a callback of `self`
 * Returns  NULL without memory, above memory_max (the actor is then killed), or for size 0; aligned to 16; not initialised
 */
TROUPE_API void *troupe_arena_alloc(struct troupe_actor *self, size_t size);

TROUPE_END_DECLS

#endif
