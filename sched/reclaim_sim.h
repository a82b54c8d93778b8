/* SPDX-License-Identifier: MIT */
/*
 * reclaim_sim.h - the virtual thread that stands for liburcu's.
 */
#ifndef TRP_RECLAIM_SIM_H
#define TRP_RECLAIM_SIM_H

#include "reclaim.h"

/** Hands back what was retired when its grace period is over; never returns.  `ignored` as for any thread. */
void trp_reclaim_sim_main(void *ignored);

#endif
