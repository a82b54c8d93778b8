/* SPDX-License-Identifier: MIT */
/*
 * park.h - who searches, who sleeps, who is woken.  The argument is in PARKING.md.
 *
 * One word, `searching << 32 | parked`, and the list of parked workers, both written under one lock; a
 * submitter reads the word without it.  Parking costs a system call anyway, so a lock costs nothing there, and
 * makes every transition whole: whoever takes a worker off the list counts it as searching in the same step.
 *
 *              search            found
 *    RUNNING ---------> SEARCHING ----> RUNNING
 *       |                  |   ^
 *       | enter            |   | leave, after somebody's wake
 *       +------> PARKED <--+   |
 *                  |  +--------+
 *                  +-----------------> RUNNING   leave, after a time-out, or if one's own second look found work
 */
#ifndef TRP_PARK_H
#define TRP_PARK_H

#include "base.h"
#include "lock.h"

struct trp_worker;

struct trp_park {
    struct trp_lock lock;
    struct trp_list parked;    /* under lock: newest first */
    struct trp_worker *poller; /* under lock: the parked worker that sleeps in the poller */
    uint32_t workers;          /* under lock: that run */
    alignas(128) _Atomic uint64_t word; /* written under lock, read by anybody */
};

/** A worker's part. */
struct trp_parker {
    struct trp_list entry; /* under lock: in `parked` */
    bool listed;           /* under lock */
};

void trp_park_init(struct trp_park *park);
void trp_park_fini(struct trp_park *park);

/** One worker more, or one less. */
void trp_park_join(struct trp_park *park);
void trp_park_part(struct trp_park *park);

/** A running worker wants to search.  False: enough do. */
TROUPE_CHECKED bool trp_park_search(struct trp_park *park);

/** A searching worker found work and runs.  True: it was the last that searched. */
bool trp_park_found(struct trp_park *park);

/**
 * Registers `worker` as parked.  From here on it may be woken; it must look at every queue once more
 * before it sleeps.  True: it shall sleep in the poller.
 */
TROUPE_CHECKED bool trp_park_enter(
    struct trp_park *park, struct trp_worker *worker, bool was_searching, bool wants_poller);

/** After sleeping, or instead of it.  True: somebody woke the worker and counts it as searching. */
bool trp_park_leave(struct trp_park *park, struct trp_worker *worker);

/** Wakes one worker, if one sleeps and none searches.  True: one was woken.  Any thread, after it has published
 * work with a seq_cst store or a fenced push (PAIR park.publish). */
bool trp_park_wake(struct trp_park *park);

/** Makes `worker` look again if it is parked; it is not counted as searching, as after a time-out. */
void trp_park_nudge(struct trp_park *park, struct trp_worker *worker);

/** Whether `worker` is parked; a moment's view, in the order of the list's lock.  Any thread. */
bool trp_park_has(struct trp_park *park, const struct trp_worker *worker);

/** Wakes all, to see that the runtime stops. */
void trp_park_wake_all(struct trp_park *park);

/** Whether a wake would wake anybody: one load, any thread.  A moment's view, unless the caller has published
 * as above. */
bool trp_park_wants_wake(const struct trp_park *park);

/** Whether any worker is parked: one load, any thread, after the caller has published as above. */
bool trp_park_any(const struct trp_park *park);

/** Whether every worker is parked: exact, in one order with every enter and leave. */
bool trp_park_all_sleep(struct trp_park *park);

/** How many are parked, and whether the poller has a sleeper; a moment's view. */
uint32_t trp_park_parked(const struct trp_park *park);
bool trp_park_polls(struct trp_park *park);

#endif
