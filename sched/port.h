/* SPDX-License-Identifier: MIT */
/*
 * port.h - the only door to the outside world besides the poller: time, randomness, processors, threads, sleep.
 *
 * port.c asks Linux; port_sim.c, its twin, has a virtual clock, a seed, and virtual threads, of which one runs at a
 * time.
 */
#ifndef TRP_PORT_H
#define TRP_PORT_H

#include <ck_pr.h>
#include <pthread.h>

#include "base.h"

struct trp_port_thread {
    pthread_t thread;
    void (*run)(void *arg);
    void *arg;
    bool started;
};

/** Monotonic nanoseconds. */
uint64_t trp_port_now_ns(void);

/** A number nobody can guess; under simulation the next one of the seed. */
uint64_t trp_port_random(void);

/** How many threads may run at a time: cpuset and cgroup quota together, at least 1. */
unsigned trp_port_cpus(void);

/** Bytes of a page of memory. */
size_t trp_port_page_size(void);

/** Starts a thread that blocks all signals.  TROUPE_ESYSTEM. */
TROUPE_CHECKED int trp_port_thread_start(
    struct trp_port_thread *thread, const char *name, void (*run)(void *arg), void *arg);

/** Waits for it to end. */
void trp_port_thread_join(struct trp_port_thread *thread);

/** Gives the processor away for a moment. */
void trp_port_yield(void);

/** Tells the processor that this is a loop that waits. */
static inline void trp_port_pause(void)
{
    ck_pr_stall();
}

/** Makes every running thread of the process pass a full fence.  False where the kernel cannot. */
bool trp_port_membarrier(void);

/** Prepares trp_port_membarrier(); cheap to repeat. */
void trp_port_membarrier_init(void);

/*
 * An event count: sleep until somebody says so, without losing the word.
 *
 *   value = trp_event_value(e);  look whether there is something to do;  trp_event_wait(e, value, until)
 *
 * returns at once if trp_event_wake() came after the value was read.  Concurrency Kit's ck_ec.
 */
struct trp_event {
    uint32_t opaque;
};

void trp_event_init(struct trp_event *event);
uint32_t trp_event_value(const struct trp_event *event);

/** Sleeps while the value is `value`, at most until `until_ns` (TRP_EVENT_FOREVER). */
void trp_event_wait(struct trp_event *event, uint32_t value, uint64_t until_ns);

/** Moves the value on and wakes the sleeper.  Any thread. */
void trp_event_wake(struct trp_event *event);

#define TRP_EVENT_FOREVER UINT64_MAX

#endif
