/* SPDX-License-Identifier: MIT */
/*
 * contain_regs.h - the registers of an interrupted thread: contain_regs_x86_64.c, contain_regs_aarch64.c, and
 * contain_regs_other.c for processors where we do not know them.
 */
#ifndef TRP_CONTAIN_REGS_H
#define TRP_CONTAIN_REGS_H

#include "base.h"

struct trp_regs {
    uintptr_t pc;
    uintptr_t sp;
    uintptr_t
        caller; /* where a function that has just been called returns to; 0: sp leads nowhere */
    bool wrote; /* a fault of memory was by a write, or may have been */
};

/** Whether the others do anything. */
bool trp_regs_are_known(void);

/** Reads them from a signal handler's third argument.  `sp_is_good`: the stack may be read at the stack pointer. */
void trp_regs_read(const void *context, bool sp_is_good, struct trp_regs *out);

/** The stack pointer alone. */
uintptr_t trp_regs_sp(const void *context);

/** When the signal handler returns, the thread calls `landing`, which does not return, on the stack below `sp`. */
void trp_regs_land(void *context, uintptr_t sp, void (*landing)(void));

#endif
