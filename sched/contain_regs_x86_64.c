/* SPDX-License-Identifier: MIT */
#include "contain_regs.h"

#include <ucontext.h>

/* Of the error code of a page fault. */
#define TRAP_PAGE 14
#define ERROR_WRITE 2

/* The direction flag, which is clear when a function is called. */
#define FLAG_DIRECTION 0x400

/* Exceptions of floating-point arithmetic that wait to be heard. */
#define MXCSR_PENDING 0x3f

bool trp_regs_are_known(void)
{
    return true;
}

uintptr_t trp_regs_sp(const void *context)
{
    const ucontext_t *thread = context;

    return (uintptr_t)thread->uc_mcontext.gregs[REG_RSP];
}

void trp_regs_read(const void *context, bool sp_is_good, struct trp_regs *out)
{
    const ucontext_t *thread = context;
    const greg_t *regs = thread->uc_mcontext.gregs;

    out->pc = (uintptr_t)regs[REG_RIP];
    out->sp = (uintptr_t)regs[REG_RSP];
    out->caller = sp_is_good ? *(const uintptr_t *)out->sp : 0;
    out->wrote = regs[REG_TRAPNO] != TRAP_PAGE || (regs[REG_ERR] & ERROR_WRITE) != 0;
}

void trp_regs_land(void *context, uintptr_t sp, void (*landing)(void))
{
    ucontext_t *thread = context;
    greg_t *regs = thread->uc_mcontext.gregs;

    uintptr_t *bottom = (uintptr_t *)((sp & ~(uintptr_t)15) - 8);

    /* As after a call, aligned to 16 less the return address; there backtraces end. */
    *bottom = 0;
    regs[REG_RSP] = (greg_t)(uintptr_t)bottom;
    regs[REG_RBP] = 0;
    regs[REG_RIP] = (greg_t)(uintptr_t)landing;
    regs[REG_EFL] &= ~(greg_t)FLAG_DIRECTION;
    if (thread->uc_mcontext.fpregs != NULL) {
        thread->uc_mcontext.fpregs->swd = 0;
        thread->uc_mcontext.fpregs->mxcsr &= ~(uint32_t)MXCSR_PENDING;
    }
}
