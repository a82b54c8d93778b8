/* SPDX-License-Identifier: MIT */
#include "contain_regs.h"

#include <asm/sigcontext.h>
#include <ucontext.h>

/* Of the syndrome of a fault of data. */
#define CLASS_SHIFT 26
#define CLASS_DATA_LOWER 0x24
#define CLASS_DATA_SAME 0x25
#define SYNDROME_WRITE 0x40

bool trp_regs_are_known(void)
{
    return true;
}

uintptr_t trp_regs_sp(const void *context)
{
    const ucontext_t *thread = context;

    return (uintptr_t)thread->uc_mcontext.sp;
}

/* Whether the fault was by a write; one that the kernel says nothing of may have been. */
static bool is_write(const ucontext_t *thread)
{
    const unsigned char *at = thread->uc_mcontext.__reserved;
    const unsigned char *end = at + sizeof thread->uc_mcontext.__reserved;

    while (at + sizeof(struct _aarch64_ctx) <= end) {
        const struct _aarch64_ctx *head = (const void *)at;

        if (head->magic == ESR_MAGIC) {
            uint64_t syndrome = ((const struct esr_context *)(const void *)at)->esr;
            unsigned class = (unsigned)(syndrome >> CLASS_SHIFT) & 0x3f;

            return (class == CLASS_DATA_LOWER || class == CLASS_DATA_SAME) &&
                   (syndrome & SYNDROME_WRITE) != 0;
        }
        if (head->magic == 0 || head->size == 0) {
            return true;
        }
        at += head->size;
    }
    return true;
}

void trp_regs_read(const void *context, bool sp_is_good, struct trp_regs *out)
{
    const ucontext_t *thread = context;

    (void)sp_is_good;
    out->pc = (uintptr_t)thread->uc_mcontext.pc;
    out->sp = (uintptr_t)thread->uc_mcontext.sp;
    out->caller = (uintptr_t)thread->uc_mcontext.regs[30];
    out->wrote = is_write(thread);
}

void trp_regs_land(void *context, uintptr_t sp, void (*landing)(void))
{
    ucontext_t *thread = context;

    thread->uc_mcontext.sp = sp & ~(uintptr_t)15;
    thread->uc_mcontext.pc = (uintptr_t)landing;
    thread->uc_mcontext.regs[29] = 0;
    thread->uc_mcontext.regs[30] = 0;
}
