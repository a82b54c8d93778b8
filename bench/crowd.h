/* SPDX-License-Identifier: MIT */
/*
 * crowd.h - an actor that spawns many others and sends each one message.
 *
 * It spawns a few a turn, then sends "go on" to itself, so that it never holds its worker and those it
 * spawned are run meanwhile.  The members get `run` as the argument of their init, by pointer.
 */
#ifndef BENCH_CROWD_H
#define BENCH_CROWD_H

#include "harness.h"

/** What each member is sent; no body. */
extern const struct troupe_type bench_crowd_job;

/** Starts an actor that spawns `count` actors; each has to report its part done. */
int bench_crowd(struct bench_run *run, const struct troupe_behaviour *member, uint64_t count);

#endif
