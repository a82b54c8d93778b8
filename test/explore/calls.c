/* SPDX-License-Identifier: MIT */
/*
 * calls.c - the calls that `-fsanitize=thread` puts before each access, of gcc and of clang, as the sanitizer's library
 * declares them.  The address that each returns to says where in the code the access is.
 */
#include <string.h>

#include "test/explore/engine.h"

#define PC ((uintptr_t)__builtin_return_address(0))

void __tsan_init(void);
void __tsan_func_entry(void *pc);
void __tsan_func_exit(void);

void __tsan_init(void)
{
}

void __tsan_func_entry(void *pc)
{
    (void)pc;
}

void __tsan_func_exit(void)
{
}

#define PLAIN(name, size, writes)                                                                  \
    void name(const void *address);                                                                \
    void name(const void *address)                                                                 \
    {                                                                                              \
        explore_memory_plain((uintptr_t)address, size, writes, PC);                                \
    }

#define PLAIN_SIZE(size)                                                                           \
    PLAIN(__tsan_read##size, size, false)                                                          \
    PLAIN(__tsan_write##size, size, true)                                                          \
    PLAIN(__tsan_unaligned_read##size, size, false)                                                \
    PLAIN(__tsan_unaligned_write##size, size, true)                                                \
    PLAIN(__tsan_volatile_read##size, size, false)                                                 \
    PLAIN(__tsan_volatile_write##size, size, true)

PLAIN_SIZE(1)
PLAIN_SIZE(2)
PLAIN_SIZE(4)
PLAIN_SIZE(8)
PLAIN_SIZE(16)

void __tsan_read_range(const void *address, unsigned long size);
void __tsan_write_range(const void *address, unsigned long size);

void __tsan_read_range(const void *address, unsigned long size)
{
    explore_memory_plain((uintptr_t)address, size, false, PC);
}

void __tsan_write_range(const void *address, unsigned long size)
{
    explore_memory_plain((uintptr_t)address, size, true, PC);
}

#define MODIFY(bits, name, operation)                                                              \
    uint##bits##_t __tsan_atomic##bits##_##name(                                                   \
        volatile void *address, uint##bits##_t operand, int order);                                \
    uint##bits##_t __tsan_atomic##bits##_##name(                                                   \
        volatile void *address, uint##bits##_t operand, int order)                                 \
    {                                                                                              \
        return (uint##bits##_t)explore_atomic_modify(                                              \
            operation, (uintptr_t)address, (bits) / 8, operand, order, PC);                        \
    }

#define SWAP(bits, name)                                                                           \
    bool __tsan_atomic##bits##_##name(volatile void *address, uint##bits##_t *expected,            \
        uint##bits##_t desired, int order, int otherwise);                                         \
    bool __tsan_atomic##bits##_##name(volatile void *address, uint##bits##_t *expected,            \
        uint##bits##_t desired, int order, int otherwise)                                          \
    {                                                                                              \
        uint64_t was = *expected;                                                                  \
        bool done = explore_atomic_swap(                                                           \
            (uintptr_t)address, (bits) / 8, &was, desired, order, otherwise, PC);                  \
                                                                                                   \
        *expected = (uint##bits##_t)was;                                                           \
        return done;                                                                               \
    }

/* clang's: returns what was there. */
#define SWAP_VALUE(bits)                                                                           \
    uint##bits##_t __tsan_atomic##bits##_compare_exchange_val(volatile void *address,              \
        uint##bits##_t expected, uint##bits##_t desired, int order, int otherwise);                \
    uint##bits##_t __tsan_atomic##bits##_compare_exchange_val(volatile void *address,              \
        uint##bits##_t expected, uint##bits##_t desired, int order, int otherwise)                 \
    {                                                                                              \
        uint64_t was = expected;                                                                   \
                                                                                                   \
        (void)explore_atomic_swap(                                                                 \
            (uintptr_t)address, (bits) / 8, &was, desired, order, otherwise, PC);                  \
        return (uint##bits##_t)was;                                                                \
    }

#define ATOMIC(bits)                                                                               \
    uint##bits##_t __tsan_atomic##bits##_load(const volatile void *address, int order);            \
    uint##bits##_t __tsan_atomic##bits##_load(const volatile void *address, int order)             \
    {                                                                                              \
        return (uint##bits##_t)explore_atomic_load((uintptr_t)address, (bits) / 8, order, PC);     \
    }                                                                                              \
    void __tsan_atomic##bits##_store(volatile void *address, uint##bits##_t value, int order);     \
    void __tsan_atomic##bits##_store(volatile void *address, uint##bits##_t value, int order)      \
    {                                                                                              \
        explore_atomic_store((uintptr_t)address, (bits) / 8, value, order, PC);                    \
    }                                                                                              \
    MODIFY(bits, exchange, EXPLORE_EXCHANGE)                                                       \
    MODIFY(bits, fetch_add, EXPLORE_ADD)                                                           \
    MODIFY(bits, fetch_sub, EXPLORE_SUB)                                                           \
    MODIFY(bits, fetch_and, EXPLORE_AND)                                                           \
    MODIFY(bits, fetch_or, EXPLORE_OR)                                                             \
    SWAP(bits, compare_exchange_strong)                                                            \
    SWAP(bits, compare_exchange_weak)                                                              \
    SWAP_VALUE(bits)

ATOMIC(8)
ATOMIC(16)
ATOMIC(32)
ATOMIC(64)

void __tsan_atomic_thread_fence(int order);
void __tsan_atomic_signal_fence(int order);

/* For the compiler alone. */
void __tsan_atomic_signal_fence(int order)
{
    (void)order;
}

void __tsan_atomic_thread_fence(int order)
{
    explore_atomic_fence(order, PC);
}

/* ---- the C library, as instead.h calls it ---- */

void *explore_memset(void *to, int byte, size_t size);
void *explore_memcpy(void *to, const void *from, size_t size);

void *explore_memset(void *to, int byte, size_t size)
{
    explore_memory_plain((uintptr_t)to, size, true, PC);
    return memset(to, byte, size);
}

void *explore_memcpy(void *to, const void *from, size_t size)
{
    explore_memory_plain((uintptr_t)from, size, false, PC);
    explore_memory_plain((uintptr_t)to, size, true, PC);
    return memcpy(to, from, size);
}
