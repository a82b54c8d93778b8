/* SPDX-License-Identifier: MIT */
/*
 * stack.h - many push, one takes everything.  Concurrency Kit's ck_stack behind three calls.
 *
 * Only push and take-all are offered: they have no ABA problem, and ck 0.7.1's single pop is wrong beside its
 * take-all.  The thread sanitizer cannot follow ck, so stack.c is built without it and announces the
 * hand-over itself.
 */
#ifndef TRP_STACK_H
#define TRP_STACK_H

#include "base.h"

struct trp_stack_entry {
    struct trp_stack_entry *next;
};

struct trp_stack {
    void *opaque[2];
};

void trp_stack_init(struct trp_stack *stack);

/** Any thread; lock-free.  What was written to the entry's owner before is seen by whoever takes it. */
void trp_stack_push(struct trp_stack *stack, struct trp_stack_entry *entry);

/** All entries, newest first, linked by `next`; NULL if there are none.  Any thread; wait-free. */
struct trp_stack_entry *trp_stack_take(struct trp_stack *stack);

/** Whether a take would find something.  Any thread; one load. */
bool trp_stack_is_empty(const struct trp_stack *stack);

#endif
