/* SPDX-License-Identifier: MIT */
/*
 * clock.h - a clock that a test moves: time need not be slept away, and what depends on it happens just as written.
 *
 * For one file of a test program.  The function below stands before the C library's, also for the library under test.
 */
#ifndef TEST_CLOCK_H
#define TEST_CLOCK_H

#include <stdatomic.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static _Atomic uint64_t clock_frozen_ns; /* 0: time passes */
static _Atomic uint64_t clock_ahead_ns;  /* of the machine's, while time passes */
static _Atomic uint64_t clock_stride_ns; /* so much more has passed whenever somebody looks */

int clock_gettime(clockid_t clock, struct timespec *out_now)
{
    uint64_t now_ns = clock_frozen_ns;

    if (clock != CLOCK_MONOTONIC) {
        return (int)syscall(SYS_clock_gettime, clock, out_now);
    }
    if (now_ns == 0) {
        clock_ahead_ns += clock_stride_ns;
        if (syscall(SYS_clock_gettime, clock, out_now) != 0) {
            return -1;
        }
        now_ns =
            (uint64_t)out_now->tv_sec * 1000000000U + (uint64_t)out_now->tv_nsec + clock_ahead_ns;
    }
    out_now->tv_sec = (time_t)(now_ns / 1000000000U);
    out_now->tv_nsec = (long)(now_ns % 1000000000U);
    return 0;
}

/** So much time has passed. */
static inline void clock_skip_ms(uint64_t ms)
{
    clock_ahead_ns += ms * 1000000U;
}

#endif
