/* SPDX-License-Identifier: MIT */
/*
 * blocking.h - the blocking pool: threads that run what would hold a worker, and the queue of jobs that wait for one.
 *
 * A job is one block, made when it is asked for; its message, by which it comes back to its actor, is in it.  The actor's
 * side (lib/job.c) lists it in extra->jobs until it is opened; the pool has it meanwhile.  Each may be through with it
 * first, since a job outlives its actor and an actor its job; who comes second disposes of it.  `word` decides:
 *
 *              take                    finish, its actor is there
 *    QUEUED ---------> RUNNING -----------------------------------> DONE        a message, and its receiver's
 *      |                |   |       finish, its actor is not there
 *      |                |   +-------------------------------------> LOST        its actor's, which is about to end it
 *      |                |  orphan
 *      |                +-----------------------------------------> ORPHANED    its thread's, which disposes of it
 *      |  withdraw
 *      +----------------------------------------------------------> DONE        the caller's: to be told, or disposed of
 *
 * QUEUED is left under the pool's lock, RUNNING by compare-and-swap.  The bit CANCELLED is set in any state by the actor, and
 * changes none.  An actor that has ended passes exit step 6 after its pid is gone, and there orphans all that it
 * lists; so who finishes and does not find it has that step still to come, or was orphaned by it.
 *
 * Interleavings: test/explore/part_blocking.c.
 */
#ifndef TRP_BLOCKING_H
#define TRP_BLOCKING_H

#include "lock.h"
#include "message.h"
#include "port.h"

#include <troupe/blocking.h>

enum trp_job_state {
    TRP_JOB_QUEUED,
    TRP_JOB_RUNNING,
    TRP_JOB_DONE,
    TRP_JOB_LOST,
    TRP_JOB_ORPHANED,
};

#define TRP_JOB_STATE 7U
#define TRP_JOB_CANCELLED 8U

struct troupe_job {
    struct troupe_message message; /* kind JOB; the pool's until it is DONE */

    /* Set once. */
    troupe_job_fn fn;
    void *arg;
    struct troupe_runtime *runtime;
    troupe_pid pid;         /* of its actor */
    troupe_job_id id;       /* among those of its actor */
    uint64_t deadline_ms;   /* until when it is wanted, or TRP_NEVER */
    uint64_t edge;          /* number of the record of its actor's wait for it (pressure.h), or 0 */
    uint64_t inherited_ms;  /* what is asked in its continuation has this deadline, or TRP_NEVER */
    struct trp_list queued; /* under the pool's lock */
    _Atomic uint32_t word;  /* see above */
    int status;             /* its thread's, until it is DONE or LOST */

    /* The actor's; its thread's when it is ORPHANED. */
    struct trp_list entry;      /* of extra->jobs */
    troupe_job_done_fn on_done; /* NULL: nobody waits for it any more */
    troupe_job_destroy_fn destroy;
};

struct trp_blocking;

/** One thread, or room for it. */
struct trp_blocking_thread {
    struct trp_blocking *pool; /* set once */
    struct trp_event event;    /* where it sleeps */
    struct trp_list entry;     /* under lock: of `sleeping`, or of none */
    bool live;                 /* under lock: it takes jobs */
    struct trp_port_thread
        port; /* under lock; of one that is not live: to be joined, if it was ever started */
};

struct trp_blocking {
    /* Set once. */
    struct troupe_runtime *runtime;
    struct trp_blocking_thread *threads;
    unsigned thread_max;
    uint32_t queue_max; /* of those that wait when all threads run one */
    uint64_t idle_ns;   /* a thread that had nothing to do for so long ends */

    /* Under lock. */
    struct trp_lock lock;
    struct trp_list queue; /* oldest first */
    uint32_t queued;
    unsigned live;
    unsigned running;         /* threads that run a job */
    struct trp_list sleeping; /* threads that have nothing to do; who came last is called first */
    bool closed;              /* who has nothing to do ends */
};

/** Sizes are not zero.  TROUPE_ENOMEM. */
TROUPE_CHECKED int trp_blocking_init(struct trp_blocking *pool, struct troupe_runtime *runtime,
    unsigned thread_max, uint32_t queue_max, uint64_t idle_ns);

/** After trp_blocking_close(). */
void trp_blocking_fini(struct trp_blocking *pool);

/** Jobs that run.  Any thread. */
unsigned trp_blocking_running(struct trp_blocking *pool);

/** Ends all threads, when their jobs have; nobody submits any more.  Whoever starts and stops; not online. */
void trp_blocking_close(struct trp_blocking *pool);

/* ---- a job's way; core.h has the actor's side ---- */

/** The next job, RUNNING; NULL: there is none.  Under lock. */
struct troupe_job *trp_blocking_take(struct trp_blocking *pool);

/** Runs one that was taken, and hands it on.  Not online. */
void trp_blocking_run(struct troupe_job *job);

#endif
