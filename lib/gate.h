/* SPDX-License-Identifier: MIT */
/*
 * lib/gate.h - what hooks.c and call.c ask of gate.c: permits that messages carry, as numbers that fit in a message.
 */
#ifndef TRP_GATE_H
#define TRP_GATE_H

#include "core.h"

/** The runtime's table of gates.  TROUPE_ENOMEM. */
TROUPE_CHECKED int trp_gates_create(struct troupe_runtime *runtime);

/** Frees it with the gates that are left; no message has a permit any more. */
void trp_gates_destroy(struct troupe_runtime *runtime);

/** What `permit` was given for begins: a message with it came to its handler.  Any thread; more than once is once. */
void trp_gate_begin_permit(struct troupe_runtime *runtime, uint32_t permit);

/** Somebody who had `permit` has it no more.  Any thread. */
void trp_gate_return_permit(struct troupe_runtime *runtime, uint32_t permit);

#endif
