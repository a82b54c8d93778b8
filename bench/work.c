/* SPDX-License-Identifier: MIT */
/* work.c - see work.h. */
#include "work.h"

#include "harness.h"

#define CALIBRATION_STEPS 2000000U
#define CALIBRATION_TRIES 20

/* Nobody reads it; the work must not be left out.  Each thread has its own: none waits for another's cache line. */
static _Thread_local volatile uint64_t sink;

void bench_work(uint64_t steps)
{
    uint64_t x = steps;

    for (uint64_t i = 0; i < steps; i++) {
        x = x * 6364136223846793005U + 1442695040888963407U;
    }
    sink = x;
}

/* 32 bits times 17: a number that each of the peers can hold. */
uint32_t bench_work_from(uint32_t seed, uint32_t steps)
{
    uint32_t x = seed;

    for (uint32_t i = 0; i < steps; i++) {
        x = x * 69069U + 1U;
    }
    return x;
}

uint64_t bench_work_steps(uint64_t ns)
{
    uint64_t best_ns = UINT64_MAX;

    for (int i = 0; i < CALIBRATION_TRIES; i++) {
        uint64_t begin_ns = bench_now_ns();
        uint64_t took_ns;

        bench_work(CALIBRATION_STEPS);
        took_ns = bench_now_ns() - begin_ns;
        best_ns = took_ns < best_ns ? took_ns : best_ns;
    }
    return ns * CALIBRATION_STEPS / (best_ns > 0 ? best_ns : 1);
}
