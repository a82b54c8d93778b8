/* SPDX-License-Identifier: MIT */
/*
 * sim.h - a runtime on one thread, with a virtual clock and a seed: the same seed is the same run.
 *
 * The library is built a second time with TRP_SIMULATION, port_sim.c, reclaim_sim.c and poller_sim.c.  A runtime is
 * created, started, used and destroyed as ever, but its threads are virtual: one runs at a time, and the seed
 * decides which, at every switch point.  The thread that began the simulation is one of them: foreign to the runtime,
 * and interrupted as the others are.  Time moves a little at every switch point, and to the next deadline when all
 * sleep.
 *
 * Switch points are every lock, every sleep, every question asked of the seed, every slice and message, and each
 * trp_switch() (seam.h).  Between two of them a thread is alone, and memory is sequentially consistent: what two
 * threads may do to each other there is for test/model and test/explore.  One simulation at a time in a process.
 */
#ifndef TRP_SIM_H
#define TRP_SIM_H

#include <stdio.h>

#include "seam.h"

#include <troupe/runtime.h>

struct trp_sim_options {
    uint64_t seed;
    uint64_t steps_max; /* a run that takes more has no end: aborts; 0: no limit */
    uint32_t fault_odds[TRP_FAULT_COUNT]; /* of 65536 chances to fail, so many do */
    FILE *trace;                          /* every step is printed there; NULL: nowhere */
};

/** Begins: clock to a second, hash empty; virtual threads of a run before are forgotten.  From here on an abort prints
 * the seed and the last steps. */
void trp_sim_begin(const struct trp_sim_options *options);

/** The runtime that is looked at when all sleep; NULL: none.  After create, and before destroy. */
void trp_sim_attach(struct troupe_runtime *runtime);

enum trp_sim_end {
    TRP_SIM_QUIET,   /* all sleep, and nothing is due */
    TRP_SIM_STEPS,   /* as many steps as allowed */
    TRP_SIM_STALLED, /* all sleep, and a run slot is queued: a wake-up was lost */
};

/** Lets the others run: at most `steps`, and until all sleep and nothing is due for `ms` milliseconds from now. */
enum trp_sim_end trp_sim_run(uint64_t steps, uint64_t ms);

/** Ends a stall, so that the runtime can be stopped: no faults from here on, and all workers look again. */
void trp_sim_mend(void);

/** Hash of every step so far: thread, actor, message, choice. */
uint64_t trp_sim_hash(void);

/** How many steps so far. */
uint64_t trp_sim_steps(void);

/** How often a fault was injected. */
uint64_t trp_sim_faults(enum trp_fault_point point);

/** Prints the seed, the last steps, and which thread sleeps. */
void trp_sim_print(FILE *to);

#endif
