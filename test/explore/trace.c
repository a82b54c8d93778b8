/* SPDX-License-Identifier: MIT */
/*
 * trace.c - tells what happens in a run, step by step: THREAD.STEP, what was done, and where in the code.
 */
#include <stdatomic.h>

#include "test/explore/engine.h"

static FILE *trace;

void explore_trace_to(FILE *to)
{
    trace = to;
}

void explore_trace_list(uintptr_t pc, const char *format, va_list list)
{
    const struct explore_site *site;
    unsigned thread;
    unsigned number;

    if (trace == NULL || !explore_is_parallel()) {
        return;
    }
    explore_where(&thread, &number);
    fprintf(trace, "  %u.%-3u ", thread, number);
    vfprintf(trace, format, list);
    if (pc != 0) {
        site = explore_site_at(pc);
        fprintf(trace, "   %s, %s:%d", site->function, site->file, site->line);
    }
    fputc('\n', trace);
}

void explore_trace(uintptr_t pc, const char *format, ...)
{
    va_list list;

    va_start(list, format);
    explore_trace_list(pc, format, list);
    va_end(list);
}

const char *explore_operation_name(enum explore_operation operation)
{
    static const char *const names[EXPLORE_OPERATIONS] = {"load", "store", "exchange",
        "compare-and-swap", "add", "sub", "and", "or", "fence", "lock"};

    return names[operation];
}

const char *explore_order_name(int order)
{
    static const char *const names[] = {
        "relaxed", "consume", "acquire", "release", "acq_rel", "seq_cst"};

    return names[order];
}
