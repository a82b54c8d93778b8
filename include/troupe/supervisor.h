/* SPDX-License-Identifier: MIT */
/*
 * supervisor.h - actors that start, watch, restart and stop other actors.
 *
 * After Erlang/OTP, whose rules and defaults hold where nothing else is said.  A supervisor starts its children
 * left to right, each after the one before has finished its init, and stops them right to left.  When a
 * child ends, its restart type and the reason decide:
 *
 *               normal, shutdown     other reasons
 *   permanent   restart              restart
 *   transient   rest, spec kept      restart
 *   temporary   forgotten            forgotten
 *
 * and the strategy decides who is restarted with it.  Each attempt counts; more than `intensity` of them
 * within `period_ms` (one sliding window for all children) and the supervisor gives up: it stops its
 * children and ends with reason shutdown (and code TROUPE_EDIED), which its own supervisor treats by the same table.
 *
 * A child whose init returns TROUPE_IGNORE is not needed: that is no failure.  It rests with its spec, as if it had been
 * terminated, or is forgotten if it is temporary; those after it start, and who asked for it is answered TROUPE_OK without
 * a pid.
 *
 * A child's `decide` has the last word about an end of its own: restart, stop, escalate, or let it go on as it was.
 *
 * What others stop does not count as the end of a significant child: TERMINATE, the restart of a group; nor does
 * TROUPE_IGNORE.
 *
 * A supervisor never blocks: it answers and obeys while a child starts slowly or refuses to stop.  It heeds exit
 * signals of its parent and of foreign threads, and kills; other exit signals are ignored.
 *
 * Restarts, children that could not start or did not stop, and giving up are reported (runtime.h).
 */
#ifndef TROUPE_SUPERVISOR_H
#define TROUPE_SUPERVISOR_H

#include "troupe/actor.h"
#include "troupe/call.h"
#include "troupe/runtime.h"

TROUPE_BEGIN_DECLS

enum troupe_strategy {
    TROUPE_ONE_FOR_ONE,  /* restart the child that ended */
    TROUPE_ONE_FOR_ALL,  /* stop all, then start all */
    TROUPE_REST_FOR_ONE, /* stop and start it and those after it */
    TROUPE_SIMPLE_ONE_FOR_ONE, /* as ONE_FOR_ONE, of many children made from one template: see troupe_child_spawn() */
    TROUPE_POOL, /* the same, of as many as it is told to have, all in one group: see pool.h */
};

/**
 * When a supervisor ends by itself, with reason shutdown, after it has stopped its other children: a significant child
 * has ended by itself and is not restarted (a transient one that ended clean, a temporary one), and
 */
enum troupe_auto_shutdown {
    TROUPE_SHUTDOWN_NEVER,           /* that changes nothing */
    TROUPE_SHUTDOWN_ANY_SIGNIFICANT, /* that is enough */
    TROUPE_SHUTDOWN_ALL_SIGNIFICANT, /* no other significant one runs, or will again without being asked for */
};

enum troupe_restart {
    TROUPE_PERMANENT,
    TROUPE_TRANSIENT,
    TROUPE_TEMPORARY,
};

/** shutdown_ms: kill at once, without asking. */
#define TROUPE_BRUTAL_KILL (-2)

/** shutdown_ms, start_timeout_ms: zero milliseconds, since 0 means the default. */
#define TROUPE_NOW (-3)

/** Most partitions of a supervisor. */
#define TROUPE_PARTITIONS_MAX 4096

/** intensity: not a single restart, since 0 means the default. */
#define TROUPE_NO_RESTARTS (-1)

struct troupe_supervisor_spec;

/** What to do about the end of a child. */
enum troupe_directive {
    TROUPE_DECIDE_BY_TYPE, /* what its restart type says: the table above */
    TROUPE_DECIDE_RESUME,  /* it goes on, if it may; otherwise as RESTART */
    TROUPE_DECIDE_RESTART, /* as of a permanent child; a temporary one is forgotten all the same */
    TROUPE_DECIDE_STOP,    /* as of a transient child that ended clean */
    TROUPE_DECIDE_ESCALATE, /* the supervisor stops its children and ends with this reason: its own decides */
};

/**
 * Decides what to do about the end of a child that ran; starts that fail are always tried again, and what the supervisor
 * stops itself is nobody's decision.
 *
 * RESUME needs may_resume in the child's spec, and a handler that returned an error: then the message is dropped, the
 * failure is reported, and the child goes on with the state that it has.  A handler that fails has commonly changed its
 * state by half, which is why a failure ends an actor; may_resume is the promise of a behaviour that it returns errors only
 * where its state is whole.  Whatever ends an actor otherwise (troupe_exit(), TROUPE_CHECK, a signal) ends it here too.
 *
 * Threads  the supervisor's callback; with may_resume first the child's, at the same time as those of other children
 * Limits   must not block, and must say the same whenever it is asked about the same reason
 * Owns     `reason` and its text are good until it returns
 */
typedef enum troupe_directive (*troupe_decide_fn)(
    void *context, const struct troupe_reason *reason);

/** backoff.jitter_percent: none, since 0 means the default. */
#define TROUPE_NO_JITTER (-1)

/**
 * How long a supervisor waits before it restarts a child: min_ms after the first end, twice as long after each one
 * that follows, max_ms at most; each delay is shortened by a random part of up to jitter_percent of it, so that many that
 * failed together do not come back together.  Once the child has run for reset_ms it begins with min_ms again.  Starts that
 * fail count as ends.  Meanwhile the child is RESTARTING, the others run, and the supervisor answers and obeys; each
 * attempt is charged when it is made.
 */
struct troupe_backoff {
    int min_ms;         /* 0: no delay at all, and the other fields mean nothing */
    int max_ms;         /* [30 000, or min_ms if that is more] */
    int jitter_percent; /* [20] or TROUPE_NO_JITTER; at most 100 */
    int reset_ms;       /* [half of min_ms + max_ms] */
};

/** What to do with a child that was killed and whose handler does not return (kill_grace_ms). */
enum troupe_unkillable {
    TROUPE_UNKILLABLE_WAIT, /* wait on, as OTP does */
    TROUPE_UNKILLABLE_ORPHAN, /* do not wait for it: the supervisor's end goes on without it, requests about it are
                                 answered TROUPE_ETIMEDOUT.  It keeps its pid and its names until it ends, and nobody is
                                 started in its place before that */
    TROUPE_UNKILLABLE_ABORT, /* abort the process */
};

/** What a child is and how it is kept.  Copied whole, strings and arguments included. */
struct troupe_child_spec {
    const char *id;                            /* required, unique among its siblings */
    const struct troupe_behaviour *behaviour;  /* either this ... */
    const struct troupe_supervisor_spec *tree; /* ... or this: a supervisor as child ... */
    troupe_main_fn
        main; /* ... or this: a function that waits (fiber.h), whose behaviour is named after the id (of the
                            first 4096 such ids of a runtime; "main" after that) and has all defaults */
    const void *arg; /* given to init, or main, at every start; not with a tree */
    size_t arg_size; /* so many bytes of arg are copied; 0: the pointer, which must last */
    enum troupe_restart restart; /* [permanent] */
    int shutdown_ms; /* [5000; for a supervisor TROUPE_FOREVER] or TROUPE_BRUTAL_KILL, TROUPE_NOW,
                                    TROUPE_FOREVER; then it is killed */
    int start_timeout_ms; /* for init to finish [5000] or TROUPE_FOREVER; then it is killed */
    int kill_grace_ms;    /* after a kill; then it is reported, and `unkillable` says what else
                             [5000] or TROUPE_NOW, TROUPE_FOREVER */
    enum troupe_unkillable unkillable;
    struct troupe_backoff backoff; /* zero: restarted at once */
    troupe_decide_fn decide;       /* [the table above] */
    void *decide_context;
    bool may_resume;   /* see troupe_decide_fn; not without decide, nor of a supervisor */
    bool keep_mailbox; /* its pid, names, groups and queued messages outlive a restart */
    const char *group; /* a member from before its init, at every start; NULL: no group (group.h) */
    const struct troupe_via
        *via; /* the registry in which it has its name, which is its id if its supervisor has none
                                     [the runtime's]: see registry.h; not of a supervisor */
    bool significant; /* for auto_shutdown, where that is not NEVER; not permanent */
    bool
        pinned; /* runs on one worker (actor.h): with keep_mailbox for good, otherwise each life on the next one */
};

struct troupe_supervisor_spec {
    const char *name; /* registered, and the first part of its children's names; NULL: no names.
                         Of a child supervisor the name is its parent's and its id, and this is NULL */
    enum troupe_strategy strategy;
    /* If not NEVER, this supervisor as a child of another is transient or temporary. */
    enum troupe_auto_shutdown auto_shutdown;
    int intensity;                            /* [1] or TROUPE_NO_RESTARTS; takes 8 bytes each */
    int period_ms;                            /* [5000] */
    const struct troupe_child_spec *children; /* started in this order; or the template */
    size_t child_count;
    size_t child_max;   /* with those added later [1 048 576] */
    uint32_t pool_size; /* POOL: how many it begins with [one for each worker of the runtime] */
    uint32_t
        partitions; /* so many supervisors of this spec, children spread over them by key: see partition.h
                            [0: one that is not partitioned]; it has a name then, and no auto_shutdown */
};

/**
 * Checks a spec and starts nothing.  If it is wrong *out_text, unless out_text is NULL, says which field and why, in
 * static text.
 *
 * Threads  any
 * Errors   TROUPE_EINVAL  also for a tree with more than 32 levels
 */
TROUPE_API TROUPE_CHECKED int troupe_supervisor_check(
    const struct troupe_supervisor_spec *spec, const char **out_text);

/**
 * Starts a supervisor as the top of a tree and waits until all its children have started.
 *
 * Threads  any but a worker's (TROUPE_EINVAL); if the runtime has not started, it is started first.  Not for one
 *          without threads, which nobody would turn
 * Owns     the spec is copied; behaviours, and arguments with an arg_size of 0, must last
 * Units    `wait_ms` in milliseconds, or TROUPE_FOREVER
 * Errors   the code of the init that failed, after everything started before it was stopped;
 *          TROUPE_EEXIST     the name is taken
 *          TROUPE_ETIMEDOUT  it is then told to stop, and may still be stopping
 *          TROUPE_ESTOPPED   the runtime stops, or has been stopped
 *          TROUPE_EINVAL, TROUPE_ENOMEM, TROUPE_ELIMIT, TROUPE_ESYSTEM
 */
TROUPE_API TROUPE_CHECKED int troupe_supervisor_start(struct troupe_runtime *runtime,
    const struct troupe_supervisor_spec *spec, int wait_ms, troupe_pid *out_pid);

/**
 * Runs a program: creates a runtime, starts the tree, waits until it ends or the process gets SIGINT or SIGTERM,
 * stops it in order, and destroys everything.
 *
 * Threads  the main thread, before others exist: SIGINT and SIGTERM are blocked while it runs, and those that come
 *          meanwhile are taken.  Not without threads (TROUPE_EINVAL)
 * Returns  TROUPE_OK after a signal, and when the tree ended because its work was done (auto_shutdown), or normally.
 *          Otherwise the error with which it ended; TROUPE_EDIED if it had no code, or gave up (a report, GIVE_UP, says
 *          why).  A program that wants to end has a significant child, or says kill(getpid(), SIGTERM): raise() tells
 *          the calling thread alone, which does not listen
 * Errors   TROUPE_ETIMEDOUT  a minute after it was told to stop a handler still had not returned: threads of the
 *                            runtime still run, and all that is left to do is to end the process
 *          TROUPE_EINVAL (a wrong spec), TROUPE_ENOMEM, TROUPE_ESYSTEM
 */
TROUPE_API TROUPE_CHECKED int troupe_run(
    const struct troupe_runtime_options *options, const struct troupe_supervisor_spec *spec);

/** What to do to a child. */
enum troupe_child_op {
    TROUPE_CHILD_START,     /* add `spec` as the last child and start it; a failure saves nothing */
    TROUPE_CHILD_TERMINATE, /* stop it, keep its spec (not of a temporary one) */
    TROUPE_CHILD_RESTART,   /* start one that is stopped */
    TROUPE_CHILD_DELETE,    /* forget the spec of one that is stopped */
    TROUPE_CHILD_WHICH,     /* what is with it */
};

enum troupe_child_state {
    TROUPE_CHILD_RUNNING,
    TROUPE_CHILD_STOPPED,    /* the spec is kept, nobody runs */
    TROUPE_CHILD_STARTING,   /* init has not finished */
    TROUPE_CHILD_RESTARTING, /* ended, and will be started again */
    TROUPE_CHILD_STOPPING,   /* told to stop, not ended yet */
};

/** Body of the answer to troupe_child(). */
struct troupe_child_answer {
    int status;                    /* TROUPE_OK, or:                                              *
                                    *   TROUPE_ENOENT   no such id                                *
                                    *   TROUPE_EEXIST   START: the id runs, or its spec is kept   *
                                    *   TROUPE_EBUSY    RESTART, DELETE: it runs or is restarting *
                                    *   TROUPE_ELIMIT   START: child_max                          *
                                    *   TROUPE_EINVAL   START: significant, where that never      *
                                    *                   ends the supervisor; or its children have *
                                    *                   no ids, since it is a simple_one_for_one  *
                                    *   TROUPE_ESTOPPED the supervisor is ending                  *
                                    *   TROUPE_ETIMEDOUT it was killed, and did not end           *
                                    *   other           its init failed so, or was stopped        */
    troupe_pid pid;                /* of the child, or TROUPE_NOBODY, also if it is not needed */
    enum troupe_child_state state; /* after the operation, where the spec exists */
};
extern TROUPE_API const struct troupe_type troupe_child_answer;

/**
 * Asks a supervisor to do something to a child; the answer is a troupe_child_answer.
 *
 * Threads  a callback of `self`
 * Units    `id` is needed by all but START, `spec` by START; both are copied
 * Errors   as troupe_request(); TROUPE_EINVAL also for a wrong spec
 * Order    START and RESTART are answered when init is over, TERMINATE when the child has ended
 */
TROUPE_API TROUPE_CHECKED int troupe_child(struct troupe_actor *self, troupe_pid supervisor,
    enum troupe_child_op op, const char *id, const struct troupe_child_spec *spec, int timeout_ms,
    troupe_reply_fn on_reply, void *context);

/** As troupe_child(), from any thread but a worker's, waiting up to `wait_ms` for the answer; what the supervisor has not
 * heard by then it does not do.  0 does not wait: TROUPE_ETIMEDOUT, and it is done all the same.  Returns its status;
 * *out_answer is filled whenever the supervisor answered, also with an error.  out_answer may be NULL.  Somebody must
 * run the runtime: see troupe_join(). */
TROUPE_API TROUPE_CHECKED int troupe_runtime_child(struct troupe_runtime *runtime,
    troupe_pid supervisor, enum troupe_child_op op, const char *id,
    const struct troupe_child_spec *spec, int wait_ms, struct troupe_child_answer *out_answer);

/**
 * Starts another child of a simple_one_for_one supervisor; the answer is a troupe_child_answer.
 *
 * The children of such a supervisor have the spec of its template, and neither ids nor names: they are known by their
 * pids.  One that ends and is not restarted is forgotten, whatever its restart type, as is one whose init fails or says
 * that it is not needed.  When the supervisor ends all are told to stop at the same time, in no particular order, and
 * share one shutdown_ms, after which those that are left are killed.
 *
 * Threads  a callback of `self`
 * Owns     `extra` is copied.  init gets as its argument the bytes of the template's, if it has an arg_size, and
 *          behind them these, at each start; without `extra`, the template's argument as it is
 * Errors   as troupe_request(); in the answer
 *          TROUPE_ELIMIT  child_max
 *          TROUPE_EINVAL  it is no simple_one_for_one; or `extra` cannot be put behind the template's argument, which is
 *                         a pointer or a tree
 *          other          its init failed so, or was stopped
 * Order    answered when init is over
 * Cost     O(1), however many there are
 */
TROUPE_API TROUPE_CHECKED int troupe_child_spawn(struct troupe_actor *self, troupe_pid supervisor,
    const void *extra, size_t extra_size, int timeout_ms, troupe_reply_fn on_reply, void *context);

/**
 * Stops a child of a simple_one_for_one supervisor; the answer is a troupe_child_answer.  One that waits to be
 * restarted is known by its last pid, and is not restarted.
 *
 * Threads  a callback of `self`
 * Errors   as troupe_request(); in the answer
 *          TROUPE_ENOENT  `pid` lives, and is no child of this supervisor; one that is dead is TROUPE_OK
 *          TROUPE_EINVAL  it is no simple_one_for_one
 * Order    answered when it has ended
 * Cost     O(1), however many there are
 */
TROUPE_API TROUPE_CHECKED int troupe_child_terminate(struct troupe_actor *self,
    troupe_pid supervisor, troupe_pid pid, int timeout_ms, troupe_reply_fn on_reply, void *context);

/** As troupe_child_spawn() and troupe_child_terminate(), from any thread but a worker's: see troupe_runtime_child(). */
TROUPE_API TROUPE_CHECKED int troupe_runtime_child_spawn(struct troupe_runtime *runtime,
    troupe_pid supervisor, const void *extra, size_t extra_size, int wait_ms,
    struct troupe_child_answer *out_answer);
TROUPE_API TROUPE_CHECKED int troupe_runtime_child_terminate(struct troupe_runtime *runtime,
    troupe_pid supervisor, troupe_pid pid, int wait_ms, struct troupe_child_answer *out_answer);

/** One row of a supervisor's children, in start order. */
struct troupe_child_info {
    char id[64];    /* cut if longer; "" of a simple_one_for_one */
    troupe_pid pid; /* TROUPE_NOBODY while it does not run */
    enum troupe_child_state state;
    enum troupe_restart restart;
    bool is_supervisor;
    uint32_t mailbox_length;
    uint64_t restart_count;
};

/** Body of the answer to troupe_children(). */
__extension__ struct troupe_children {
    /* As count_children in OTP.  Of a simple_one_for_one: 1; those that live; and those and the ones that will again. */
    uint32_t specs, active, supervisors, workers;
    uint64_t restart_count; /* of all its children, since it started */
    uint32_t row_count;
    struct troupe_child_info rows[];
};
extern TROUPE_API const struct troupe_type troupe_children_answer;

/**
 * Asks a supervisor for all its children, `limit` rows at most from row `first` on; the answer is a
 * troupe_children, of type troupe_children_answer.  The numbers are of all children, whatever the rows.
 *
 * Threads  a callback of `self`
 * Errors   as troupe_request()
 * Cost     the supervisor goes through all of its children
 */
TROUPE_API TROUPE_CHECKED int troupe_children(struct troupe_actor *self, troupe_pid supervisor,
    uint32_t first, uint32_t limit, int timeout_ms, troupe_reply_fn on_reply, void *context);

TROUPE_END_DECLS

#endif
