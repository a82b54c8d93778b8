/* SPDX-License-Identifier: MIT */
/*
 * allocator.h - an allocator for tests: it counts, fills memory with a pattern, checks what it gets back,
 * and fails at the k-th allocation.
 *
 * To try each allocation failing in turn: for k = 1, 2, .. set `fail_at` = k, do it, and stop when `calls`
 * stays below k.  Beside other threads, whose allocations it is not meant for: test_allocator_fail_mine(k).
 */
#ifndef TEST_ALLOCATOR_H
#define TEST_ALLOCATOR_H

#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <troupe/runtime.h>

#define TEST_PATTERN 0xa5

struct test_allocator {
    _Atomic uint64_t calls;   /* allocations asked for */
    _Atomic uint64_t blocks;  /* now out */
    _Atomic uint64_t bytes;   /* now out, as the sizes given say */
    _Atomic uint64_t fail_at; /* this call fails; 0: none does */
    bool fail_for_good;       /* and all after it */
    _Atomic size_t last_size; /* of the last call */
    _Atomic size_t last_align;
};

/* So many allocations of this thread from now on, the last one fails; 0: none does. */
static _Thread_local uint64_t test_allocator_mine;

/** The k-th allocation of this thread from now on fails, and none of another thread; 0: none does. */
static inline void test_allocator_fail_mine(uint64_t k)
{
    test_allocator_mine = k;
}

static inline bool test_allocator_fails(struct test_allocator *state, uint64_t call)
{
    if (test_allocator_mine > 0 && --test_allocator_mine == 0) {
        return true;
    }
    if (state->fail_at == 0) {
        return false;
    }
    return call == state->fail_at || (state->fail_for_good && call > state->fail_at);
}

static inline void *test_allocate(void *context, size_t size, size_t align)
{
    struct test_allocator *state = context;
    void *memory;

    state->last_size = size;
    state->last_align = align;
    if (test_allocator_fails(state, ++state->calls)) {
        return NULL;
    }
    if (posix_memalign(&memory, align < sizeof(void *) ? sizeof(void *) : align, size) != 0) {
        return NULL;
    }
    memset(memory, TEST_PATTERN, size);
    state->blocks++;
    state->bytes += size;
    return memory;
}

static inline void test_release(void *context, void *memory, size_t size)
{
    struct test_allocator *state = context;

    state->blocks--;
    state->bytes -= size;
    free(memory);
}

/** `state` as a runtime takes it. */
static inline struct troupe_allocator test_allocator_of(struct test_allocator *state)
{
    return (struct troupe_allocator){test_allocate, test_release, state};
}

#endif
