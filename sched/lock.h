/* SPDX-License-Identifier: MIT */
/*
 * lock.h - a lock for short, rare things: a wheel, a list of watchers, who is parked.
 *
 * A pthread mutex: fair enough, known to every sanitizer, and it sleeps when its holder was preempted.
 * Nothing on the way of a message takes one.
 *
 * In simulation its holder may be a virtual thread that others got ahead of, so a taker lets others run until
 * the lock is free; before a lock is taken and after it was given are switch points.
 */
#ifndef TRP_LOCK_H
#define TRP_LOCK_H

#include <pthread.h>

#include "base.h"
#include "seam.h"

struct trp_lock {
    pthread_mutex_t mutex;
};

static inline void trp_lock_init(struct trp_lock *lock)
{
    /* As pthread_mutex_init() would with default attributes, without a call. */
    lock->mutex = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
}

static inline void trp_lock_fini(struct trp_lock *lock)
{
    pthread_mutex_destroy(&lock->mutex);
}

#ifdef TRP_SIMULATION

/* In port_sim.c, and in the interleaving explorer's twin of it. */
void trp_lock_take(struct trp_lock *lock);
bool trp_lock_try(struct trp_lock *lock);
void trp_lock_give(struct trp_lock *lock);

#else

static inline void trp_lock_take(struct trp_lock *lock)
{
    int error = pthread_mutex_lock(&lock->mutex);

    trp_assert(error == 0);
}

static inline bool trp_lock_try(struct trp_lock *lock)
{
    return pthread_mutex_trylock(&lock->mutex) == 0;
}

static inline void trp_lock_give(struct trp_lock *lock)
{
    int error = pthread_mutex_unlock(&lock->mutex);

    trp_assert(error == 0);
}

#endif

#endif
