/* SPDX-License-Identifier: MIT */
/*
 * fiber_stack.h - stacks of fibers: cut from large reservations, each with a guard page below it, and used again.
 *
 * A class has so many usable bytes at least, 4 KiB less than a power of four; with pages of 4 KiB that and the guard make
 * 16, 64 and 256 KiB and 1 MiB.  Where pages are larger (16 and 64 KiB on some kernels of aarch64) the guard is one of those,
 * and a stack, guard included, a whole number of them: protection and giving back go by the page.
 *
 * Reserved pages cost nothing until they are touched, and guards are made without
 * a mapping of their own where the kernel can (MADV_GUARD_INSTALL, Linux 6.13), so that a hundred thousand stacks are a
 * few thousand mappings.  Elsewhere each stack costs two mappings, of which a process has 65 530 by default.
 *
 * Memory that stacks have touched stays with them, as long as a worker keeps them for its next fibers; what is more goes to
 * the runtime, and its pages back to the kernel.
 */
#ifndef TRP_FIBER_STACK_H
#define TRP_FIBER_STACK_H

#include "lock.h"
#include "memory.h"

#define TRP_STACK_CLASSES 4

struct trp_fiber;
struct trp_region;

/** A runtime's. */
struct trp_stacks {
    /* Set once. */
    struct trp_memory *memory;
    size_t page; /* bytes of the guard; a stack is a multiple of it */

    struct trp_lock lock;
    struct trp_region *regions;                 /* under lock: all that there are */
    struct trp_fiber *spare[TRP_STACK_CLASSES]; /* under lock */
};

/** `page`: a power of two, and whole pages of the machine. */
void trp_stacks_init(struct trp_stacks *stacks, struct trp_memory *memory, size_t page);

/** Unmaps all.  Nobody runs on any of them. */
void trp_stacks_fini(struct trp_stacks *stacks);

/** The class of stacks with at least `size` usable bytes; TRP_STACK_CLASSES: there is none. */
unsigned trp_stack_class(size_t size);

/** A fiber that nobody uses, and has not begun; NULL without memory.  Any thread; a lock. */
struct trp_fiber *trp_stacks_take(struct trp_stacks *stacks, unsigned class);

/** Gives it back, and what it has touched to the kernel. */
void trp_stacks_give(struct trp_stacks *stacks, struct trp_fiber *fiber);

#endif
