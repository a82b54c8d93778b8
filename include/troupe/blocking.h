/* SPDX-License-Identifier: MIT */
/*
 * blocking.h - work that blocks, on threads of its own: files, name lookups, other people's libraries, long computations.
 *
 * A callback that blocks holds its worker.  A *job* is a function and an argument; it runs on a thread of the runtime's
 * blocking pool, never on a worker, and its outcome comes back to the actor that asked for it: exactly one.
 *
 *   done         `on_done` is called with what the function returned
 *   cancelled    `on_done` is called with TROUPE_ECANCELLED: it was cancelled before it began
 *   not started  the call that asked for it returned an error at once; `on_done` is not called
 *   orphaned     the actor has ended: `on_done` is not called, and `destroy` gives back the argument
 *
 * The argument carries what the function needs and what it finds.  It is the runtime's from the call that succeeds on,
 * and the actor's again in `on_done`; if that never comes, `destroy` gets it, once.  A job may outlive its actor, and the
 * frame that asked for it: neither the argument nor what it refers to is on a stack, in the actor's state or in its arena.
 *
 * The pool is bounded (runtime.h): so many threads, which start when they are needed and end when they have had nothing to
 * do for a while, and so many jobs that wait for one, first in, first out.  Also a runtime without threads has it.
 *
 * A job acts for its actor: it knows until when the request that its actor handled is wanted, it is told when its actor has
 * ended or does not want it any more, and what it sends comes from its actor's pid, also what it sends and asks as any thread may (troupe_send_wait(),
 * troupe_runtime_call()).  While its actor waits for it (troupe_blocking_wait()) what it waits for its actor waits for: it closes
 * no ring (fiber.h).  It cannot be stopped from outside: a
 * function that may take long asks troupe_job_is_cancelled() now and then.  troupe_runtime_stop() waits for jobs
 * that have begun as it waits for actors.
 */
#ifndef TROUPE_BLOCKING_H
#define TROUPE_BLOCKING_H

#include "troupe/actor.h"

TROUPE_BEGIN_DECLS

/** A job, as its function sees it: good until that returns, on that thread. */
struct troupe_job;

/** Names one job of an actor.  0 names none. */
typedef uint64_t troupe_job_id;

/** What a job does, on a thread of the pool.  What it returns is `status` of on_done; any value.  It may use whatever any
 * thread may, but must not stop the runtime, which would wait for it. */
typedef int (*troupe_job_fn)(struct troupe_job *job, void *arg);

/** Gives back the argument of a job whose actor has ended, or does not wait for it any more.  Runs on a worker or on a thread
 * of the pool.  Must not block. */
typedef void (*troupe_job_destroy_fn)(void *arg);

/** Told of the outcome, as a `receive` is of a message: a callback of `self`, returns what that may.  `arg` is its own now. */
typedef int (*troupe_job_done_fn)(struct troupe_actor *self, void *state, void *arg, int status);

/**
 * Has `fn` run on a thread of the pool.
 *
 * Threads  a callback of `self`
 * Owns     on success the runtime owns `arg`; on error still the caller
 * Returns  TROUPE_OK; *out_job, if not NULL, names it for troupe_blocking_cancel()
 * Errors   TROUPE_EFULL    all threads are busy, and as many jobs wait as may
 *          TROUPE_ELIMIT   this actor has as many jobs as limits.actor_jobs
 *          TROUPE_ESYSTEM  the pool has no thread, and none could be started
 *          TROUPE_ENOMEM, TROUPE_EINVAL (`fn` and `on_done` are required; `destroy` may be NULL)
 * Order    what the job sent to its actor comes before its outcome; jobs begin in the order in which they were asked for
 * Cost     a lock, one allocation, and a system call to wake a thread, now and then one to start it; the outcome is
 *          never refused, and needs no memory
 */
TROUPE_API TROUPE_CHECKED int troupe_blocking(struct troupe_actor *self, troupe_job_fn fn,
    void *arg, troupe_job_destroy_fn destroy, troupe_job_done_fn on_done, troupe_job_id *out_job);

/**
 * The same, and waits for the outcome; the actor holds no thread meanwhile, and its messages stay in the queue.  An actor
 * that ends does not return from it, and its job is orphaned.
 *
 * Threads  a callback of `self` that may wait: see fiber.h
 * Owns     `arg` is the caller's again, unless it returns TROUPE_ETIMEDOUT: then `destroy` gets it when the job has ended,
 *          or got it already
 * Units    `timeout_ms` > 0, or TROUPE_FOREVER
 * Returns  TROUPE_OK: done; what `fn` returned is in *out_status
 * Errors   TROUPE_ETIMEDOUT: the job is cancelled.  Those of troupe_blocking(); with a time-out TROUPE_ELIMIT also for
 *          limits.actor_timers
 */
TROUPE_API TROUPE_CHECKED int troupe_blocking_wait(struct troupe_actor *self, troupe_job_fn fn,
    void *arg, troupe_job_destroy_fn destroy, int timeout_ms, int *out_status);

/**
 * Cancels a job.  One that has not begun never does: its outcome is TROUPE_ECANCELLED.  One that runs is told so, and its
 * outcome is what it makes of that.
 *
 * Threads  a callback of `self`, whose job it is
 * Errors   TROUPE_ENOENT: it is done, or there is none of this name
 * Cost     O(jobs of this actor)
 */
TROUPE_API int troupe_blocking_cancel(struct troupe_actor *self, troupe_job_id job);

/* ---- inside a job, on its thread ---- */

/** Whether nobody wants it any more: it was cancelled, or its actor has ended.  False for NULL.  One load. */
TROUPE_API bool troupe_job_is_cancelled(const struct troupe_job *job);

/** Milliseconds until nobody wants it any more, as troupe_deadline() was for its actor: 0: that has passed; or
 * TROUPE_FOREVER. */
TROUPE_API int troupe_job_deadline(const struct troupe_job *job);

/** The actor that it acts for; it may have ended. */
TROUPE_API troupe_pid troupe_job_actor(const struct troupe_job *job);

/** The runtime of that actor. */
TROUPE_API struct troupe_runtime *troupe_job_runtime(const struct troupe_job *job);

/**
 * Sends a copy of `body` to `to`, from the actor that the job acts for; waits for room.
 *
 * Owns     as with troupe_send()
 * Units    `wait_ms` in milliseconds; 0 does not wait; there is no TROUPE_FOREVER: a job always has a way out
 * Errors   as troupe_send_wait(); TROUPE_EFULL also if its actor waits for the job (troupe_blocking_wait()), and the wait
 *          would close a ring: see fiber.h
 */
TROUPE_API TROUPE_CHECKED int troupe_job_send(struct troupe_job *job, troupe_pid to,
    const struct troupe_type *type, const void *body, int wait_ms);

TROUPE_END_DECLS

#endif
