/* SPDX-License-Identifier: MIT */
/*
 * report.h - what the embedder is told: one call at a time, so many in a second, the rest counted.
 */
#ifndef TRP_REPORT_H
#define TRP_REPORT_H

#include "lock.h"

#include <troupe/runtime.h>

/** Reports in a second. */
#define TRP_REPORT_RATE 100

/** Longest text, with its NUL. */
#define TRP_REPORT_TEXT 256

struct trp_reporter {
    troupe_report_fn report; /* set once; or NULL */
    void *context;           /* set once */
    struct trp_lock lock;
    uint64_t second;  /* under lock */
    uint32_t count;   /* under lock: in that second */
    uint64_t dropped; /* under lock: since the last one that got through */
};

void trp_reporter_init(struct trp_reporter *reporter, troupe_report_fn report, void *context);
void trp_reporter_fini(struct trp_reporter *reporter);

#endif
