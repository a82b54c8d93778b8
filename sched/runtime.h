/* SPDX-License-Identifier: MIT */
/*
 * runtime.h - what a runtime is made of.
 */
#ifndef TRP_RUNTIME_H
#define TRP_RUNTIME_H

#include "blocking.h"
#include "core.h"
#include "inject.h"
#include "park.h"
#include "poller.h"
#include "report.h"
#include "table.h"
#include "thread.h"
#include "worker.h"

/** Most shards for foreign threads. */
#define TRP_SHARDS_MAX 8

enum trp_runtime_state {
    TRP_RUNTIME_CREATED,
    TRP_RUNTIME_STARTED,
    TRP_RUNTIME_STOPPED,
};

struct trp_watchdog {
    struct trp_port_thread thread;
    struct trp_event event;
    _Atomic bool asleep;                                    /* deeply: nobody has run for a while */
    uint64_t seen[TROUPE_WORKERS_MAX + TRP_SPARES_MAX];     /* watchdog: beats at its last look */
    uint64_t since_ns[TROUPE_WORKERS_MAX + TRP_SPARES_MAX]; /* watchdog: when they last changed */
    bool reported[TROUPE_WORKERS_MAX + TRP_SPARES_MAX];     /* watchdog */
    _Atomic uint64_t stuck;                                 /* handlers reported */
};

struct troupe_runtime {
    /* Set once. */
    struct troupe_runtime_options options;
    struct troupe_limits limits;
    struct trp_memory memory;
    struct trp_table table;
    struct trp_poller *poller;
    void *modules[TRP_MODULE_COUNT];
    unsigned worker_count; /* those that were asked for */
    unsigned worker_max;   /* with spares */
    unsigned shard_count;
    bool threads; /* false: turned by its owner */

    /* Under `lock`, by whoever starts and stops. */
    struct trp_lock lock;
    enum trp_runtime_state state;

    /* Any thread. */
    _Atomic unsigned running; /* workers made so far: 0 .. running - 1 may be looked at */
    _Atomic bool stop;        /* workers end */
    _Atomic bool stopping;    /* somebody waits for actors to end */
    struct trp_event stopped; /* an actor ended while somebody waits */
    _Atomic uint64_t serial;  /* spawns by foreign threads */
    _Atomic unsigned homes;   /* given to pinned actors, in turn */
    _Atomic bool polling;     /* somebody looks at the poller */
    /* Whom dead letters are sent to (letter.h); TROUPE_NOBODY. */
    _Atomic(troupe_pid) letters_to;
    struct trp_reporter reporter;
    struct trp_park park;
    struct trp_inject inject;
    struct trp_stacks stacks;
    struct trp_blocking blocking;
    struct trp_threads thread_actors; /* those of actors that have one each */
    struct trp_watchdog watchdog;
    struct trp_shard shards[TRP_SHARDS_MAX];
    struct trp_worker *workers[TRP_THREAD_FIRST + TRP_THREAD_PLACES];
};

/** How many workers were made so far: workers[0] up to that one may be looked at.  Any thread. */
static inline unsigned trp_runtime_running(const struct troupe_runtime *runtime)
{
    /* acquire: the workers.  PAIR runtime.running: release in make_worker(). */
    return atomic_load_explicit(&runtime->running, memory_order_acquire);
}

/** Starts a spare worker, if there may be one more.  Watchdog. */
bool trp_runtime_start_spare(struct troupe_runtime *runtime);

/** The watchdog's thread; `arg` is the runtime. */
void trp_watchdog_main(void *arg);

/** One look at all workers; returns whether any of them was active.  Also a step of simulation. */
bool trp_watchdog_look(struct troupe_runtime *runtime, uint64_t now_ns);

/** A worker runs again: the watchdog, if it sleeps deeply, shall look. */
static inline void trp_watchdog_rouse(struct troupe_runtime *runtime)
{
    /* relaxed: seen late, the watchdog sleeps a little longer; the worker asks at every wake-up. */
    if (trp_unlikely(atomic_load_explicit(&runtime->watchdog.asleep, memory_order_relaxed))) {
        atomic_store_explicit(&runtime->watchdog.asleep, false, memory_order_relaxed);
        trp_event_wake(&runtime->watchdog.event);
    }
}

#endif
