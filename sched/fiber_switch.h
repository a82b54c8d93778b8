/* SPDX-License-Identifier: MIT */
/*
 * fiber_switch.h - from one stack to another: saves what a function may expect to keep, and nothing else.
 *
 * fiber_switch_x86_64.S and fiber_switch_aarch64.S for their processors: callee-saved registers and the modes of
 * floating-point arithmetic.  fiber_switch_ucontext.c elsewhere, a system call slower.  A stack pointer stands for all that
 * was saved, since that lies on the stack.
 */
#ifndef TRP_FIBER_SWITCH_H
#define TRP_FIBER_SWITCH_H

#include <stddef.h>

/** Prepares the stack of `size` bytes at `stack`, so that the first switch to the result calls entry(arg), which must not
 * return. */
void *trp_fiber_prepare(char *stack, size_t size, void (*entry)(void *arg), void *arg);

/** Goes on at `to`, and leaves in *out_here where a later switch comes back. */
void trp_fiber_switch(void **out_here, void *to);

#endif
