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
 * children and ends with reason shutdown, which its own supervisor treats by the same table.
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

/** intensity: not a single restart, since 0 means the default. */
#define TROUPE_NO_RESTARTS (-1)

struct troupe_supervisor_spec;

/** What a child is and how it is kept.  Copied whole, strings and arguments included. */
struct troupe_child_spec {
    const char *id;                            /* required, unique among its siblings */
    const struct troupe_behaviour *behaviour;  /* either this ... */
    const struct troupe_supervisor_spec *tree; /* ... or this: a supervisor as child */
    const void *arg;                           /* given to init at every start; not with a tree */
    size_t arg_size; /* so many bytes of arg are copied; 0: the pointer, which must last */
    enum troupe_restart restart; /* [permanent] */
    int shutdown_ms; /* [5000; for a supervisor TROUPE_FOREVER] or TROUPE_BRUTAL_KILL, TROUPE_NOW,
                                    TROUPE_FOREVER; then it is killed */
    int start_timeout_ms; /* for init to finish [5000] or TROUPE_FOREVER; then it is killed */
    bool keep_mailbox;    /* its pid, names and queued messages outlive a restart */
};

struct troupe_supervisor_spec {
    const char *name; /* registered, and the first part of its children's names; NULL: no names.
                         Of a child supervisor the name is its parent's and its id, and this is NULL */
    enum troupe_strategy strategy;
    int intensity;                            /* [1] or TROUPE_NO_RESTARTS */
    int period_ms;                            /* [5000] */
    const struct troupe_child_spec *children; /* started in this order */
    size_t child_count;
    size_t child_max; /* with those added later [1 048 576] */
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
 * Returns  TROUPE_OK after a signal, or after the tree ended normally.  Otherwise the error with which the tree ended;
 *          TROUPE_EDIED if it had no code, as when a supervisor gave up (its reason is shutdown, and a report,
 *          GIVE_UP, says why).  A program that wants to end raises SIGTERM
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
                                    *   TROUPE_ESTOPPED the supervisor is ending                  *
                                    *   other           its init failed so, or was stopped        */
    troupe_pid pid;                /* of the child, or TROUPE_NOBODY */
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

/** As troupe_child(), from any thread but a worker's, waiting up to `wait_ms` for the answer.  Returns its status;
 * *out_answer is filled whenever the supervisor answered, also with an error.  out_answer may be NULL.  Somebody must
 * run the runtime: see troupe_join(). */
TROUPE_API TROUPE_CHECKED int troupe_runtime_child(struct troupe_runtime *runtime,
    troupe_pid supervisor, enum troupe_child_op op, const char *id,
    const struct troupe_child_spec *spec, int wait_ms, struct troupe_child_answer *out_answer);

/** One row of a supervisor's children, in start order. */
struct troupe_child_info {
    char id[64];    /* cut if longer */
    troupe_pid pid; /* TROUPE_NOBODY while it does not run */
    enum troupe_child_state state;
    enum troupe_restart restart;
    bool is_supervisor;
    uint32_t mailbox_length;
    uint64_t restart_count;
};

/** Body of the answer to troupe_children(). */
__extension__ struct troupe_children {
    uint32_t specs, active, supervisors, workers; /* as count_children in OTP */
    uint64_t restart_count;                       /* of all its children, since it started */
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
