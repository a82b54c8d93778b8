/* SPDX-License-Identifier: MIT */
/*
 * instead.h - included before everything else in the files of sched/ that are explored: the explorer's poison, and the
 * primitives of Concurrency Kit and liburcu as atomic accesses of C, which the compiler instruments.
 *
 * What the C library writes and reads is announced as well.
 *
 * The orders are those that both promise: ck's compare-and-swap has none but what its fences add, liburcu's exchange
 * is a full fence on both sides.
 */
#ifndef TEST_EXPLORE_INSTEAD_H
#define TEST_EXPLORE_INSTEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include <ck_pr.h>
#include <urcu/system.h>
#include <urcu/uatomic.h>

/* In place of sched/poison.h. */
#define TRP_POISON_H
#define TRP_POISON(memory, size) explore_memory_poison(memory, size)
#define TRP_UNPOISON(memory, size) explore_memory_unpoison(memory, size)

void explore_memory_poison(const void *block, size_t size);
void explore_memory_unpoison(const void *block, size_t size);
void explore_yield(void);

void *explore_memset(void *to, int byte, size_t size);
void *explore_memcpy(void *to, const void *from, size_t size);

#define memset explore_memset
#define memcpy explore_memcpy

#undef ck_pr_stall
#undef ck_pr_load_ptr
#undef ck_pr_fas_ptr
#undef ck_pr_cas_ptr_value
#undef ck_pr_fence_store
#undef ck_pr_fence_load
#define ck_pr_stall() explore_yield()
#define ck_pr_fence_store() __atomic_thread_fence(__ATOMIC_RELEASE)
#define ck_pr_fence_load() __atomic_thread_fence(__ATOMIC_ACQUIRE)
#define ck_pr_load_ptr(from) __atomic_load_n(from, __ATOMIC_RELAXED)
#define ck_pr_fas_ptr(into, value) __atomic_exchange_n(into, value, __ATOMIC_RELAXED)
#define ck_pr_cas_ptr_value(at, expected, desired, out)                                            \
    instead_swap((void **)(at), expected, desired, (void **)(out))

static inline bool instead_swap(void **at, void *expected, void *desired, void **out)
{
    bool done = __atomic_compare_exchange_n(
        at, &expected, desired, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);

    *out = expected;
    return done;
}

#undef CMM_LOAD_SHARED
#undef CMM_STORE_SHARED
#undef uatomic_xchg
#define CMM_LOAD_SHARED(from) __atomic_load_n(&(from), __ATOMIC_ACQUIRE)
#define CMM_STORE_SHARED(to, value) __atomic_store_n(&(to), value, __ATOMIC_RELEASE)
#define uatomic_xchg(at, value)                                                                    \
    __extension__({                                                                                \
        __typeof__(*(at)) instead_old;                                                             \
        __atomic_thread_fence(__ATOMIC_SEQ_CST);                                                   \
        instead_old = __atomic_exchange_n(at, value, __ATOMIC_SEQ_CST);                            \
        __atomic_thread_fence(__ATOMIC_SEQ_CST);                                                   \
        instead_old;                                                                               \
    })

#endif
