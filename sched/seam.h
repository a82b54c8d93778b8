/* SPDX-License-Identifier: MIT */
/*
 * seam.h - the questions that simulation answers, and what it takes note of.
 *
 * trp_choose() is asked wherever the scheduler may go more than one way; trp_fault() wherever something
 * may fail on purpose; trp_switch() stands where another thread may get ahead of this one.  In production they are
 * constants and cost nothing; in a build for simulation (TRP_SIMULATION) port_sim.c answers from its seed.
 */
#ifndef TRP_SEAM_H
#define TRP_SEAM_H

#include "base.h"

/** What is being decided. */
enum trp_choice {
    TRP_CHOOSE_THREAD, /* which virtual thread runs next; port_sim.c asks itself */
    TRP_CHOOSE_VICTIM, /* at whom a thief looks first */
    TRP_CHOOSE_STEAL,  /* take what is queued there, or let it be */
    TRP_CHOOSE_WAKE,   /* wake a worker for surplus work, or not */
    TRP_CHOOSE_LIFO,   /* run the LIFO slot, or pass over it */
    TRP_CHOOSE_SLICE,  /* how many messages this slice may handle */
    TRP_CHOOSE_SHARD,  /* which injection shard a worker looks into first */
    TRP_CHOOSE_COUNT,
};

/** What may be made to fail. */
enum trp_fault_point {
    TRP_FAULT_ALLOC,     /* memory */
    TRP_FAULT_FULL,      /* a mailbox says that it is full */
    TRP_FAULT_LOST_WAKE, /* a wake-up that never happens: the bug that simulation must find */
    TRP_FAULT_SYSTEM,    /* a system call */
    TRP_FAULT_COUNT,
};

/** What a simulated run is hashed over. */
enum trp_trace_point {
    TRP_TRACE_SLICE,   /* worker, serial of the actor */
    TRP_TRACE_MESSAGE, /* kind, sender */
};

#ifdef TRP_SIMULATION

/** Adds a step to the hash of this run. */
void trp_trace(enum trp_trace_point point, uint64_t a, uint64_t b);

/** One of 0 .. count-1; `usual` is what production does. */
uint32_t trp_choose(enum trp_choice choice, uint32_t count, uint32_t usual);

/** Whether this one is to fail. */
bool trp_fault(enum trp_fault_point point);

/** A switch point: other threads may run before this returns. */
void trp_switch(void);

#else

static inline void trp_trace(enum trp_trace_point point, uint64_t a, uint64_t b)
{
    (void)point;
    (void)a;
    (void)b;
}

static inline uint32_t trp_choose(enum trp_choice choice, uint32_t count, uint32_t usual)
{
    (void)choice;
    (void)count;
    return usual;
}

static inline bool trp_fault(enum trp_fault_point point)
{
    (void)point;
    return false;
}

static inline void trp_switch(void)
{
}

#endif

#endif
