/* SPDX-License-Identifier: MIT */
/*
 * thread.h - thread actors: each has a worker of its own, which runs it and nobody else.
 *
 * To everybody else such an actor is one that is pinned, and has a fiber: it is scheduled, waits, is signalled and ends as those
 * are, by the same code.  What differs is below: its worker is in no list of workers, so nobody steals from it, wakes it for
 * something else, or watches how long it takes; it searches for nothing, and sleeps on its own event.  What it makes runnable
 * goes to the injection queue.
 *
 * Its main function may block for as long as it likes, so it must not keep others from ending a grace period: between two
 * calls of troupe the thread is OUTSIDE, offline and no worker to whoever asks.  A public function of `self` comes in, and goes
 * out again when it returns (TRP_INSIDE()).  One that forgets to finds an actor that is not its caller's: TROUPE_EINVAL.
 *
 *                 main or init begins, a call returns
 *      INSIDE ----------------------------------------> OUTSIDE        offline; worker.context.current is NULL
 *        ^                                                 |
 *        +-------------------------------------------------+
 *                 a call of `self` begins, main or init returns
 *
 * A wait leaves the fiber INSIDE, and goes on INSIDE.  So does whatever ends the actor's callback in the middle.
 *
 * Workers of threads stand behind those of the runtime in its array, from TRP_THREAD_FIRST on, and stay there until the runtime
 * is destroyed; a thread ends with its actor, and its worker serves the next one:
 *
 *             take                 dismiss                  its thread leaves
 *    FREE ------------> OCCUPIED ------------> DISMISSED ---------------------> FREE, `gone`: to be joined by who takes it next
 *
 * OCCUPIED from before the actor has a pid until it is buried, over restarts that keep its pid.  limits.threads counts those
 * that are not released: an actor that tells of its end does not stand in the way of who takes its place.  So there may be more
 * threads for a moment, for which there are twice as many places.
 *
 * Interleavings: test/explore/part_thread.c.
 */
#ifndef TRP_THREAD_H
#define TRP_THREAD_H

#include "lock.h"

#include <troupe/runtime.h>

struct troupe_actor;
struct trp_worker;

/** Most places for threads. */
#define TRP_THREAD_PLACES (2 * TROUPE_THREADS_MAX)

struct trp_threads {
    struct trp_lock lock;
    unsigned live;         /* under lock: taken and not released */
    _Atomic unsigned made; /* workers made so far, changed under lock */
    _Atomic uint32_t open; /* the runtime has started: they may run */
};

void trp_threads_init(struct trp_threads *threads);
void trp_threads_fini(struct trp_threads *threads);

/** The runtime has started: whoever was spawned before begins. */
void trp_threads_open(struct troupe_runtime *runtime);

/** No actor is left, or none has begun: ends all threads.  Whoever starts and stops; not online. */
void trp_threads_close(struct troupe_runtime *runtime);

/** How many workers were made for threads so far: those from TRP_THREAD_FIRST on.  Any thread. */
unsigned trp_threads_made(const struct troupe_runtime *runtime);

/**
 * A worker with a thread of its own, which sleeps until its actor is scheduled.  TROUPE_ELIMIT, TROUPE_ENOMEM, TROUPE_ESYSTEM:
 * there is nothing.
 */
TROUPE_CHECKED int trp_thread_take(struct troupe_runtime *runtime, struct trp_worker **out_worker);

/** It counts no more. */
void trp_thread_release(struct trp_worker *worker);

/** Its actor is over: the thread ends. */
void trp_thread_dismiss(struct trp_worker *worker);

/** Whether it is; on its thread, after it has read its event: if not, that is moved on afterwards. */
bool trp_thread_is_dismissed(struct trp_worker *worker);

/** The actor whose thread this is, if it is of `runtime`, or NULL. */
struct troupe_actor *trp_thread_actor(const struct troupe_runtime *runtime);

/** Whether this thread is a thread actor's. */
bool trp_thread_is_here(void);

/** INSIDE -> OUTSIDE; of another worker's, or on another thread, nothing. */
void trp_thread_go_out(struct trp_worker *worker);

/** OUTSIDE -> INSIDE, or stays inside. */
void trp_thread_come_in(struct trp_worker *worker);

/** Comes in for `self`, if this is its thread and it is OUTSIDE: its worker, otherwise NULL. */
struct trp_worker *trp_thread_enter(const struct troupe_actor *self);

#endif
