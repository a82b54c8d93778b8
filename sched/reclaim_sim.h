/* SPDX-License-Identifier: MIT */
/*
 * reclaim_sim.h - grace periods that the simulation ends.
 */
#ifndef TRP_RECLAIM_SIM_H
#define TRP_RECLAIM_SIM_H

#include "reclaim.h"

/** Worker `index` of `count` has stepped: what every worker has passed since it was retired is done. */
void trp_reclaim_sim_pass(unsigned index, unsigned count);

/** Everybody sleeps: all that was retired is done.  Whether there was anything. */
bool trp_reclaim_sim_finish(void);

#endif
