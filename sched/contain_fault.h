/* SPDX-License-Identifier: MIT */
/*
 * contain_fault.h - a fault of an actor's code, and how it is put into words.
 *
 * All of it runs in a signal handler: it allocates nothing, takes no lock, and calls only what a signal handler may.
 */
#ifndef TRP_CONTAIN_FAULT_H
#define TRP_CONTAIN_FAULT_H

#include "contain_regs.h"

struct troupe_actor;
struct trp_worker;

struct trp_fault {
    int signal;
    struct trp_worker *worker;
    struct troupe_actor *actor;
    struct trp_regs regs;
    uintptr_t
        code; /* where the instruction stands that did it; of a call to nowhere, where that stands */
    uintptr_t address;   /* SIGSEGV, SIGBUS: of memory */
    bool has_address;    /* which the processor has told */
    bool overflow;       /* it is in the guard below the stack */
    bool on_fiber;       /* the stack is one of fiber_stack.h; otherwise the thread's */
    size_t stack_size;   /* of that stack */
    const char *refusal; /* why it is not contained; NULL: it is */
};

/** What happened, for a reason's text. */
void trp_fault_describe(const struct trp_fault *fault, char *text, size_t size);

/** Whose fault it was, what it was doing, why the process does not go on, and what the worker did before: on standard
 * error. */
void trp_fault_tell(const struct trp_fault *fault);

#endif
