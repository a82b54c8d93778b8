/* SPDX-License-Identifier: MIT */
/* Fiber stack: as large as asked for, each with a guard below it, whatever the size of a page. */
#include "sched/fiber_stack.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "sched/fiber.h"
#include "test/support/allocator.h"

#include <troupe/actor.h>

struct fixture {
    struct test_allocator state;
    struct trp_memory memory;
    struct trp_stacks stacks;
    int sink[2]; /* a pipe */
};

static void start(struct fixture *f, size_t page)
{
    struct troupe_allocator allocator = test_allocator_of(&f->state);

    memset(f, 0, sizeof *f);
    trp_memory_init(&f->memory, &allocator, UINT64_C(1) << 32);
    trp_stacks_init(&f->stacks, &f->memory, page);
    cr_assert_eq(pipe2(f->sink, O_CLOEXEC), 0);
}

static void stop(struct fixture *f)
{
    trp_stacks_fini(&f->stacks);
    cr_assert_eq(f->state.blocks, 0);
    close(f->sink[0]);
    close(f->sink[1]);
}

/* Whether a byte may be read: the kernel says so, where we would fault. */
static bool is_readable(struct fixture *f, const char *at)
{
    char byte;

    if (write(f->sink[1], at, 1) == 1) {
        cr_assert_eq(read(f->sink[0], &byte, 1), 1);
        return true;
    }
    cr_assert_eq(errno, EFAULT);
    return false;
}

/* What kernels for 64 bits have.  The larger ones can be tried on a machine with smaller ones: they are several of those. */
static const size_t pages[] = {4096, 16384, 65536};

#define FOR_EACH_PAGE(i)                                                                           \
    for (size_t i = 0; i < TROUPE_COUNT(pages); i++)                                               \
        if (pages[i] % (size_t)sysconf(_SC_PAGESIZE) == 0)

Test(fiber_stack, each_has_a_guard_of_one_page_and_is_whole_pages, .timeout = 60)
{
    FOR_EACH_PAGE(p)
    {
        for (unsigned class = 0; class < TRP_STACK_CLASSES; class ++) {
            struct trp_fiber *fiber;
            struct fixture f;

            start(&f, pages[p]);
            /* Two, side by side: the guard of one is above the other. */
            for (unsigned i = 0; i < 2; i++) {
                fiber = trp_stacks_take(&f.stacks, class);
                cr_assert_not_null(fiber);
                cr_assert_eq(fiber->size % pages[p], 0);
                cr_assert_not(is_readable(&f, fiber->stack - 1));
                cr_assert_not(is_readable(&f, fiber->stack - pages[p]));
                fiber->stack[0] = 1;
                fiber->stack[fiber->size - 1] = 1;
                cr_assert(is_readable(&f, fiber->stack));
            }
            stop(&f);
        }
    }
}

Test(fiber_stack, what_is_asked_for_is_there_without_the_guard, .timeout = 60)
{
    static const size_t sizes[] = {
        1, 12288, 12289, TROUPE_STACK_DEFAULT, TROUPE_STACK_DEFAULT + 1, 258048, TROUPE_STACK_MAX};
    static const unsigned classes[] = {0, 0, 1, 1, 2, 2, 3};

    FOR_EACH_PAGE(p)
    {
        struct fixture f;

        start(&f, pages[p]);
        for (size_t i = 0; i < TROUPE_COUNT(sizes); i++) {
            unsigned class = trp_stack_class(sizes[i]);
            struct trp_fiber *fiber;

            cr_assert_eq(class, classes[i], "size %zu", sizes[i]);
            fiber = trp_stacks_take(&f.stacks, class);
            cr_assert_not_null(fiber);
            cr_assert_geq(fiber->size, sizes[i]);
        }
        stop(&f);
    }
    cr_assert_eq(trp_stack_class(TROUPE_STACK_MAX + 1), TRP_STACK_CLASSES);
}

/* madvise() refuses what does not begin with a page. */
Test(fiber_stack, what_was_touched_goes_back_to_the_kernel, .timeout = 60)
{
    FOR_EACH_PAGE(p)
    {
        struct trp_fiber *fiber;
        struct trp_fiber *again;
        struct fixture f;

        start(&f, pages[p]);
        fiber = trp_stacks_take(&f.stacks, 1);
        cr_assert_not_null(fiber);
        memset(fiber->stack, 0x5a, fiber->size);
        trp_stacks_give(&f.stacks, fiber);
        again = trp_stacks_take(&f.stacks, 1);
        cr_assert_eq(again, fiber, "the last one given back is taken first");
        for (size_t i = 0; i < fiber->size; i++) {
            cr_assert_eq(fiber->stack[i], 0);
        }
        stop(&f);
    }
}
