/* SPDX-License-Identifier: MIT */
/*
 * work.h - work that takes a certain time: a number of steps, not a time by the clock, which would go on while whoever works is off
 * the processor.
 */
#ifndef BENCH_WORK_H
#define BENCH_WORK_H

#include <stdint.h>

/** How many steps take `ns`: measured on a thread alone, and the fastest of several tries is believed. */
uint64_t bench_work_steps(uint64_t ns);

/** Works. */
void bench_work(uint64_t steps);

/** Works, and returns where so many steps lead from `seed`: who has left one out gets somewhere else. */
uint32_t bench_work_from(uint32_t seed, uint32_t steps);

#endif
