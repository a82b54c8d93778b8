/* SPDX-License-Identifier: MIT */
/*
 * sim.h - a runtime on one thread, with a virtual clock and a seed: the same seed is the same run.
 *
 * The library is built a second time with TRP_SIMULATION, port_sim.c, reclaim_sim.c and poller_sim.c.  A runtime is
 * created and started as ever, but its threads do not run: trp_sim_run() steps its workers in an order that the seed
 * decides.  Whatever would make the calling thread wait (stop, join) steps them as well.  Time moves by a
 * microsecond a step, and to the next deadline when every worker sleeps.
 *
 * One simulation at a time in a process, on the thread that began it.
 */
#ifndef TRP_SIM_H
#define TRP_SIM_H

#include "seam.h"

#include <troupe/runtime.h>

struct trp_sim_options {
    uint64_t seed;
    uint32_t fault_odds[TRP_FAULT_COUNT]; /* of 65536 chances to fail, so many do */
};

/** Begins: clock to zero, hash empty. */
void trp_sim_begin(const struct trp_sim_options *options);

/** What trp_sim_run() steps and waiting steps; NULL: nothing.  After troupe_runtime_start(). */
void trp_sim_attach(struct troupe_runtime *runtime);

enum trp_sim_end {
    TRP_SIM_QUIET,   /* every worker sleeps, and no timer will wake one */
    TRP_SIM_STEPS,   /* as many steps as allowed */
    TRP_SIM_STALLED, /* every worker sleeps, and there is work: a wake-up was lost */
};

/** Steps the workers, at most so often. */
enum trp_sim_end trp_sim_run(uint64_t steps);

/** Hash of every step so far: worker, actor, message, choice. */
uint64_t trp_sim_hash(void);

/** How many steps so far. */
uint64_t trp_sim_steps(void);

/** How often a fault was injected. */
uint64_t trp_sim_faults(enum trp_fault_point point);

#endif
