/* SPDX-License-Identifier: MIT */
#include "report.h"

#include <stdarg.h>
#include <stdio.h>

#include "callout.h"
#include "core.h"
#include "port.h"
#include "runtime.h"

void trp_reporter_init(struct trp_reporter *reporter, troupe_report_fn report, void *context)
{
    reporter->report = report;
    reporter->context = context;
    reporter->second = 0;
    reporter->count = 0;
    reporter->told = 0;
    atomic_init(&reporter->callers, 0);
    atomic_init(&reporter->left_out, 0);
    trp_lock_init(&reporter->lock);
}

void trp_reporter_fini(struct trp_reporter *reporter)
{
    trp_lock_fini(&reporter->lock);
}

/* The callbacks that this thread is in, the last one first: one may do what is reported in turn. */
struct call {
    const struct trp_reporter *reporter;
    const struct call *outer;
};

static TRP_THREAD_LOCAL const struct call *innermost;

static bool is_in_callback(const struct trp_reporter *reporter)
{
    const struct call *call = innermost;

    while (call != NULL && call->reporter != reporter) {
        call = call->outer;
    }
    return call != NULL;
}

static void call_back(struct trp_reporter *reporter, const struct troupe_report *report)
{
    struct call call = {reporter, innermost};

    innermost = &call;
    trp_callouts++;
    reporter->report(reporter->context, report);
    trp_callouts--;
    innermost = call.outer;
}

static void leave_out(struct trp_reporter *reporter)
{
    /* relaxed: a number. */
    atomic_fetch_add_explicit(&reporter->left_out, 1, memory_order_relaxed);
}

/* Waits for its turn.  False: too many do. */
static bool enter(struct trp_reporter *reporter)
{
    /* relaxed, here and in leave(): a number; the lock orders the rest. */
    if (atomic_fetch_add_explicit(&reporter->callers, 1, memory_order_relaxed) >=
        TRP_REPORT_CALLERS) {
        atomic_fetch_sub_explicit(&reporter->callers, 1, memory_order_relaxed);
        return false;
    }
    trp_lock_take(&reporter->lock);
    return true;
}

static void leave(struct trp_reporter *reporter)
{
    trp_lock_give(&reporter->lock);
    /* relaxed: see enter(). */
    atomic_fetch_sub_explicit(&reporter->callers, 1, memory_order_relaxed);
}

/* Under lock.  Which one of this second's reports the next one is. */
static uint32_t count_report(struct trp_reporter *reporter)
{
    uint64_t second = trp_port_now_ns() / 1000000000U;

    if (second != reporter->second) {
        reporter->second = second;
        reporter->count = 0;
    }
    return reporter->count < UINT32_MAX ? ++reporter->count : UINT32_MAX;
}

/* Under lock. */
static void report_text(struct trp_reporter *reporter, const struct troupe_report *event,
    const char *format, va_list args)
{
    struct troupe_report report = *event;
    uint64_t left_out = trp_reporter_left_out(reporter);
    char text[TRP_REPORT_TEXT];

    vsnprintf(text, sizeof text, format, args);
    report.text = text;
    report.dropped = left_out - reporter->told;
    reporter->told = left_out;
    call_back(reporter, &report);
}

/* Under lock. */
static void report_flood(struct trp_reporter *reporter)
{
    struct troupe_report report = {.kind = TROUPE_REPORT_FLOOD,
        .pid = TROUPE_NOBODY,
        .actor = "",
        .text =
            "there are too many reports: until the second is over they are left out and counted"};

    call_back(reporter, &report);
}

static void report_va(struct troupe_runtime *runtime, const struct troupe_report *event,
    const char *format, va_list args)
{
    struct trp_reporter *reporter = &runtime->reporter;
    uint32_t number;

    if (reporter->report == NULL) {
        return;
    }
    /* In the callback we hold the lock already. */
    if (is_in_callback(reporter) || !enter(reporter)) {
        leave_out(reporter);
        return;
    }
    number = count_report(reporter);
    if (number < TRP_REPORT_RATE) {
        report_text(reporter, event, format, args);
    } else {
        leave_out(reporter);
    }
    if (number == TRP_REPORT_RATE) {
        report_flood(reporter);
    }
    leave(reporter);
}

bool trp_report_is_wanted(const struct troupe_runtime *runtime)
{
    return runtime->reporter.report != NULL;
}

void trp_report_event(
    struct troupe_runtime *runtime, const struct troupe_report *event, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    report_va(runtime, event, format, args);
    va_end(args);
}

void trp_report(struct troupe_runtime *runtime, enum troupe_report_kind kind, troupe_pid pid,
    const char *actor, const char *format, ...)
{
    struct troupe_report event = {.kind = kind, .pid = pid, .actor = actor};
    va_list args;

    va_start(args, format);
    report_va(runtime, &event, format, args);
    va_end(args);
}
