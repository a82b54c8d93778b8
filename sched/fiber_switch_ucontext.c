/* SPDX-License-Identifier: MIT */
/*
 * fiber_switch_ucontext.c - for processors without a switch of their own.  What was saved is a ucontext_t on the stack that
 * was left; each switch costs a system call for the signal mask.
 */
#include "fiber_switch.h"

#include <stdint.h>
#include <ucontext.h>

#include "base.h"

/* On the stack that is prepared, above what entry() uses. */
struct start {
    ucontext_t context;
    void (*entry)(void *arg);
    void *arg;
};

/* makecontext() passes on ints. */
static void boot(unsigned high, unsigned low)
{
    const struct start *start = (const struct start *)(uintptr_t)((uint64_t)high << 32 | low);

    start->entry(start->arg);
}

void *trp_fiber_prepare(char *stack, size_t size, void (*entry)(void *arg), void *arg)
{
    size_t room = (size - sizeof(struct start)) & ~(size_t)63;
    struct start *start = (struct start *)(void *)(stack + room);
    uint64_t address = (uintptr_t)start;
    int error = getcontext(&start->context);

    trp_assert(error == 0);
    start->entry = entry;
    start->arg = arg;
    start->context.uc_stack.ss_sp = stack;
    start->context.uc_stack.ss_size = room;
    start->context.uc_link = NULL;
    makecontext(
        &start->context, (void (*)(void))boot, 2, (unsigned)(address >> 32), (unsigned)address);
    return &start->context;
}

void trp_fiber_switch(void **out_here, void *to)
{
    ucontext_t here;

    *out_here = &here;
    (void)swapcontext(&here, to);
}
