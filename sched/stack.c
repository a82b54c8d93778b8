/* SPDX-License-Identifier: MIT */
/*
 * stack.c - ck_stack, wrapped.  See stack.h.
 *
 * Always built without the thread sanitizer; in a build that has it, with TRP_TSAN.  ck's fences order
 * stores with stores when pushing and loads with what follows when taking.  A block that is handed over may
 * have been read last, so a release fence is added: it costs nothing on x86-64.
 */
#include "stack.h"

#include <ck_pr.h>
#include <ck_stack.h>

#include "tsan.h"

static_assert(sizeof(struct ck_stack) <= sizeof(struct trp_stack), "a ck_stack must fit");
static_assert(alignof(struct ck_stack) <= alignof(struct trp_stack), "a ck_stack must be aligned");
static_assert(
    sizeof(struct ck_stack_entry) == sizeof(struct trp_stack_entry), "entries must be the same");

static struct ck_stack *ck_of(struct trp_stack *stack)
{
    return (struct ck_stack *)(void *)stack->opaque;
}

#ifdef TRP_TSAN

static void acquire_all(struct trp_stack_entry *entry)
{
    for (; entry != NULL; entry = entry->next) {
        TRP_TSAN_ACQUIRE(entry);
    }
}

#else

static void acquire_all(struct trp_stack_entry *entry)
{
    (void)entry;
}

#endif

void trp_stack_init(struct trp_stack *stack)
{
    ck_stack_init(ck_of(stack));
}

void trp_stack_push(struct trp_stack *stack, struct trp_stack_entry *entry)
{
    TRP_TSAN_RELEASE(entry);
    /* release: we are done with all that is handed over, reads included.
     * PAIR stack.head: acquire in trp_stack_take(). */
    atomic_thread_fence(memory_order_release);
    ck_stack_push_upmc(ck_of(stack), (struct ck_stack_entry *)(void *)entry);
}

struct trp_stack_entry *trp_stack_take(struct trp_stack *stack)
{
    void *first = ck_stack_batch_pop_upmc(ck_of(stack));

    /* acquire: whoever pushed these is done with them.
     * PAIR stack.head: release in trp_stack_push(). */
    atomic_thread_fence(memory_order_acquire);
    acquire_all(first);
    return first;
}

bool trp_stack_is_empty(const struct trp_stack *stack)
{
    struct ck_stack *ck = ck_of((struct trp_stack *)(uintptr_t)stack);

    return ck_pr_load_ptr(&ck->head) == NULL;
}
