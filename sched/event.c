/* SPDX-License-Identifier: MIT */
/*
 * event.c - the event count of port.h: Concurrency Kit's ck_ec on a futex.
 *
 * One waiter per event.  Built without the thread sanitizer, which cannot follow ck; nothing but the wake-up
 * itself is passed through an event: what to do is found in queues that order their own contents.
 *
 * ck_ec in multiple-producer mode sleeps 2 ms, 16 ms, 128 ms, ... before it sleeps for good, to survive a
 * producer that dies between its two steps.  Ours do not die: the first such sleep is as long as it can be,
 * 1 s, so that an idle worker wakes once for nothing, not several times.  It takes no notice of the caller's
 * deadline in these sleeps; not_beyond() does.
 */
#include "port.h"

#include <errno.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <ck_ec.h>

static int ec_now(const struct ck_ec_ops *ops, struct timespec *out)
{
    (void)ops;
    return clock_gettime(CLOCK_MONOTONIC, out);
}

static void ec_sleep(const struct ck_ec_wait_state *state, const uint32_t *address,
    uint32_t expected, const struct timespec *deadline)
{
    (void)state;
    /* WAIT_BITSET takes an absolute deadline of the monotonic clock. */
    syscall(SYS_futex, address, FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG, expected, deadline, NULL,
        FUTEX_BITSET_MATCH_ANY);
}

static void ec_sleep64(const struct ck_ec_wait_state *state, const uint64_t *address,
    uint64_t expected, const struct timespec *deadline)
{
    (void)state;
    (void)address;
    (void)expected;
    (void)deadline;
    trp_assert(!"64-bit event counts are not used");
}

static void ec_wake(const struct ck_ec_ops *ops, const uint32_t *address)
{
    (void)ops;
    syscall(SYS_futex, address, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1, NULL, NULL, 0);
}

static void ec_wake64(const struct ck_ec_ops *ops, const uint64_t *address)
{
    (void)ops;
    (void)address;
    trp_assert(!"64-bit event counts are not used");
}

static const struct ck_ec_ops ops = {
    .gettime = ec_now,
    .wait32 = ec_sleep,
    .wait64 = ec_sleep64,
    .wake32 = ec_wake,
    .wake64 = ec_wake64,
    .busy_loop_iter = 1,
    .initial_wait_ns = 4000000000U,
    .wait_scale_factor = 16,
};

static const struct ck_ec_mode mode = {.ops = &ops, .single_producer = false};

static_assert(sizeof(struct trp_event) == sizeof(struct ck_ec32), "an event is a ck_ec32");

static struct ck_ec32 *ec_of(const struct trp_event *event)
{
    return (struct ck_ec32 *)(uintptr_t)event;
}

void trp_event_init(struct trp_event *event)
{
    ck_ec32_init(ec_of(event), 0);
}

uint32_t trp_event_value(const struct trp_event *event)
{
    return ck_ec32_value(ec_of(event));
}

/* No sleep goes beyond the caller's deadline.  Returns 0: wait. */
static int not_beyond(const struct ck_ec_wait_state *state, struct timespec *deadline)
{
    const struct timespec *until = state->data;

    if (until->tv_sec < deadline->tv_sec ||
        (until->tv_sec == deadline->tv_sec && until->tv_nsec < deadline->tv_nsec)) {
        *deadline = *until;
    }
    return 0;
}

void trp_event_wait(struct trp_event *event, uint32_t value, uint64_t until_ns)
{
    struct timespec until = {
        .tv_sec = (time_t)(until_ns / 1000000000U),
        .tv_nsec = (long)(until_ns % 1000000000U),
    };

    /* Returns -1 at the deadline: the caller looks at the clock itself. */
    if (until_ns == TRP_EVENT_FOREVER) {
        (void)ck_ec32_wait(ec_of(event), &mode, value, NULL);
    } else {
        (void)ck_ec32_wait_pred(ec_of(event), &mode, value, not_beyond, &until, &until);
    }
}

void trp_event_wake(struct trp_event *event)
{
    ck_ec32_inc(ec_of(event), &mode);
}
