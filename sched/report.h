/* SPDX-License-Identifier: MIT */
/*
 * report.h - what the embedder is told: one call at a time, so many in a second, the rest counted.
 *
 * Who watches must not slow down what it watches, so there is a ladder, each step of which looks at a number or two:
 *
 *   nobody is in the callback              the caller goes in
 *   fewer than TRP_REPORT_CALLERS are      it waits for its turn
 *   or wait for their turn
 *   as many are, or it was called          the report is left out, before anything is formatted, and counted
 *   TRP_REPORT_RATE times this second
 *
 * The last call of such a second says that reports are left out (FLOOD); the first one after that says how many.
 */
#ifndef TRP_REPORT_H
#define TRP_REPORT_H

#include "lock.h"

#include <troupe/runtime.h>

/** Calls in a second, of which the last one says that there is more to say. */
#define TRP_REPORT_RATE 100

/** Threads that are in the callback, or wait for their turn. */
#define TRP_REPORT_CALLERS 4

/** Longest text, with its NUL. */
#define TRP_REPORT_TEXT 256

struct trp_reporter {
    troupe_report_fn report; /* set once; or NULL */
    void *context;           /* set once */
    struct trp_lock lock;
    uint64_t second;           /* under lock */
    uint32_t count;            /* under lock: in that second, those left out included */
    uint64_t told;             /* under lock: of `left_out` */
    _Atomic uint32_t callers;  /* any thread */
    _Atomic uint64_t left_out; /* any thread */
};

/** Reports left out since the start.  Any thread. */
static inline uint64_t trp_reporter_left_out(const struct trp_reporter *reporter)
{
    /* relaxed: a number. */
    return atomic_load_explicit(&reporter->left_out, memory_order_relaxed);
}

void trp_reporter_init(struct trp_reporter *reporter, troupe_report_fn report, void *context);
void trp_reporter_fini(struct trp_reporter *reporter);

#endif
