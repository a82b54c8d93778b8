/* SPDX-License-Identifier: MIT */
/*
 * fiber_cross.h - both sides of a switch, as parts of those who cross.
 *
 * What lies between a switch and the code that waits for its end is paid for twice: the processor predicts where a function
 * returns to by who called on this thread, and after a switch it is wrong once for each function that returns from then
 * on.  So what crosses is a part of its caller.
 */
#ifndef TRP_FIBER_CROSS_H
#define TRP_FIBER_CROSS_H

#include <errno.h>

#include "fiber.h"
#include "fiber_switch.h"
#include "poison.h"

/* ---- what must be told of a switch ---- */

/* The C++ runtime's, if there is one. */
extern struct trp_exceptions *trp_cross_exceptions(void) __asm__("__cxa_get_globals")
    __attribute__((weak));

static inline void trp_cross_swap_exceptions(
    struct trp_exceptions *out, const struct trp_exceptions *in)
{
    if (trp_cross_exceptions != NULL) {
        struct trp_exceptions *globals = trp_cross_exceptions();

        *out = *globals;
        *globals = *in;
    }
}

#ifdef TRP_ASAN

#include <sanitizer/common_interface_defs.h>

static inline void trp_cross_announce(void **fake_stack, const void *bottom, size_t size)
{
    __sanitizer_start_switch_fiber(fake_stack, bottom, size);
}

static inline void trp_cross_arrived(void *fake_stack, const void **bottom, size_t *size)
{
    __sanitizer_finish_switch_fiber(fake_stack, bottom, size);
}

#else

static inline void trp_cross_announce(void **fake_stack, const void *bottom, size_t size)
{
    (void)fake_stack;
    (void)bottom;
    (void)size;
}

static inline void trp_cross_arrived(void *fake_stack, const void **bottom, size_t *size)
{
    (void)fake_stack;
    (void)bottom;
    (void)size;
}

#endif

#ifdef TRP_TSAN

void *__tsan_get_current_fiber(void);
void *__tsan_create_fiber(unsigned flags);
void __tsan_destroy_fiber(void *fiber);
void __tsan_switch_to_fiber(void *fiber, unsigned flags);

/* The switch itself, which the thread sanitizer must not see half of. */
#define TRP_UNSEEN __attribute__((no_sanitize("thread")))

static TRP_UNSEEN inline void trp_cross_switch(void **out_here, void *to, void *tsan)
{
    __tsan_switch_to_fiber(tsan, 0);
    trp_fiber_switch(out_here, to);
}

static inline void trp_cross_know_host(struct trp_fiber_host *host)
{
    host->tsan = __tsan_get_current_fiber();
}

static inline void trp_cross_know_fiber(struct trp_fiber *fiber)
{
    if (fiber->tsan == NULL) {
        fiber->tsan = __tsan_create_fiber(0);
    }
}

static inline void trp_cross_forget(struct trp_fiber *fiber)
{
    if (fiber->tsan != NULL) {
        __tsan_destroy_fiber(fiber->tsan);
        fiber->tsan = NULL;
    }
}

#else

static inline void trp_cross_switch(void **out_here, void *to, void *tsan)
{
    (void)tsan;
    trp_fiber_switch(out_here, to);
}

static inline void trp_cross_know_host(struct trp_fiber_host *host)
{
    (void)host;
}

static inline void trp_cross_know_fiber(struct trp_fiber *fiber)
{
    (void)fiber;
}

static inline void trp_cross_forget(struct trp_fiber *fiber)
{
    (void)fiber;
}

#endif

/* ---- both sides of the switch ---- */

/** The worker's side: runs the fiber until it leaves. */
TRP_INLINE void trp_cross_in(struct trp_fiber_host *host, struct trp_fiber *fiber)
{
    trp_assert(host->fiber == NULL);
    host->fiber = fiber;
    fiber->host = host;
    fiber->state = TRP_FIBER_RUNNING;
    trp_cross_know_host(host);
    trp_cross_know_fiber(fiber);
    trp_cross_swap_exceptions(&host->exceptions, &fiber->exceptions);
    trp_cross_announce(&host->fake_stack, fiber->stack, fiber->size);
    trp_cross_switch(&host->here, fiber->here, fiber->tsan);
    trp_cross_arrived(host->fake_stack, NULL, NULL);
    trp_cross_swap_exceptions(&fiber->exceptions, &host->exceptions);
    host->fiber = NULL;
}

/** The fiber's side: comes back when the worker enters it again. */
TRP_INLINE void trp_cross_out(struct trp_fiber *fiber, enum trp_fiber_state state)
{
    struct trp_fiber_host *host = fiber->host;

    fiber->state = state;
    /* One that quits has no use for its frames any more. */
    trp_cross_announce(
        state == TRP_FIBER_QUIT ? NULL : &fiber->fake_stack, host->bottom, host->size);
    trp_cross_switch(&fiber->here, host->here, host->tsan);
    /* The worker's host may be on another thread now only if the fiber is dropped. */
    host = fiber->host;
    trp_cross_arrived(fiber->fake_stack, &host->bottom, &host->size);
}

/** Leaves it as trp_fiber_leave() does. */
TRP_INLINE void trp_cross_leave(struct trp_fiber *fiber, enum trp_fiber_state state)
{
    int error = errno;

    trp_cross_out(fiber, state);
    if (trp_unlikely(fiber->dropped)) {
        trp_fiber_quit(fiber);
    }
    errno = error;
}

#endif
