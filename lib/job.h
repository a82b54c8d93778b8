/* SPDX-License-Identifier: MIT */
/*
 * lib/job.h - what hooks.c and await.c ask of job.c: an actor's side of its blocking jobs.  Their life: sched/blocking.h.
 */
#ifndef TRP_JOB_H
#define TRP_JOB_H

#include "core.h"

/** A message of kind JOB was dequeued by `self`. */
int trp_job_open(struct troupe_actor *self, struct troupe_message *msg);

/** The block of a message of kind JOB is out of every queue. */
void trp_job_retire(struct troupe_actor *self, struct troupe_message *msg);

/** Exit step 6: nobody waits for the jobs of `self` any more. */
void trp_job_cancel_all(struct troupe_actor *self);

/* ---- for await.c ---- */

struct trp_job_order {
    troupe_job_fn fn;
    void *arg;
    troupe_job_destroy_fn destroy; /* or NULL */
    troupe_job_done_fn on_done;
    int timeout_ms; /* of whoever waits for it, or TROUPE_FOREVER */
    uint64_t edge;  /* number of the record of that wait (pressure.h), or 0 */
};

/** Makes a job, lists and queues it.  TROUPE_ENOMEM, TROUPE_ELIMIT, TROUPE_EFULL, TROUPE_ESYSTEM: there is none. */
TROUPE_CHECKED int trp_job_submit(
    struct troupe_actor *self, const struct trp_job_order *order, struct troupe_job **out_job);

/** Nobody waits for it any more.  Whether its message comes all the same. */
bool trp_job_drop(struct troupe_actor *self, struct troupe_job *job);

/** Whether `msg` is a job that comes too late. */
bool trp_job_is_stale(const struct troupe_message *msg);

#endif
