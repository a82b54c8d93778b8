/* SPDX-License-Identifier: MIT */
#include "report.h"

#include <stdarg.h>
#include <stdio.h>

#include "core.h"
#include "port.h"
#include "runtime.h"

void trp_reporter_init(struct trp_reporter *reporter, troupe_report_fn report, void *context)
{
    reporter->report = report;
    reporter->context = context;
    reporter->second = 0;
    reporter->count = 0;
    reporter->dropped = 0;
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
    reporter->report(reporter->context, report);
    innermost = call.outer;
}

/* Under lock.  Whether one more may be made now. */
static bool may_report(struct trp_reporter *reporter)
{
    uint64_t second = trp_port_now_ns() / 1000000000U;

    if (second != reporter->second) {
        reporter->second = second;
        reporter->count = 0;
    }
    if (reporter->count >= TRP_REPORT_RATE) {
        reporter->dropped++;
        return false;
    }
    reporter->count++;
    return true;
}

void trp_report(struct troupe_runtime *runtime, enum troupe_report_kind kind, troupe_pid pid,
    const char *actor, const char *format, ...)
{
    struct trp_reporter *reporter = &runtime->reporter;
    struct troupe_report report = {.kind = kind, .pid = pid, .actor = actor};
    char text[TRP_REPORT_TEXT];

    if (reporter->report == NULL) {
        return;
    }
    if (is_in_callback(reporter)) {
        /* We hold the lock already. */
        reporter->dropped++;
        return;
    }
    trp_lock_take(&reporter->lock);
    if (may_report(reporter)) {
        va_list args;

        va_start(args, format);
        vsnprintf(text, sizeof text, format, args);
        va_end(args);
        report.text = text;
        report.dropped = reporter->dropped;
        reporter->dropped = 0;
        call_back(reporter, &report);
    }
    trp_lock_give(&reporter->lock);
}
