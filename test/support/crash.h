/* SPDX-License-Identifier: MIT */
/*
 * crash.h - for tests: ways in which code crashes, which neither compilers nor sanitizers see coming.
 */
#ifndef TEST_CRASH_H
#define TEST_CRASH_H

#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define CRASHES __attribute__((noinline, unused, no_sanitize("address", "thread", "undefined")))

/* What a crash that is not contained comes to after us is the system's default, not a report of a sanitizer's: those are
 * findings to whoever runs the tests. */
#define CRASH_OPTIONS "handle_segv=0:handle_sigbus=0:handle_sigfpe=0:handle_sigill=0:handle_abort=0"
#define CRASH_EXPORTED                                                                             \
    __attribute__((visibility("default"), no_sanitize("address", "thread", "undefined")))

CRASH_EXPORTED const char *__asan_default_options(void);
CRASH_EXPORTED const char *__tsan_default_options(void);
CRASH_EXPORTED const char *__ubsan_default_options(void);

CRASH_EXPORTED const char *__asan_default_options(void)
{
    return CRASH_OPTIONS;
}

CRASH_EXPORTED const char *__tsan_default_options(void)
{
    return CRASH_OPTIONS;
}

CRASH_EXPORTED const char *__ubsan_default_options(void)
{
    return CRASH_OPTIONS;
}

/** What crashes from here on is meant to: who looks for crashes (test/faults/famine) is not told. */
static inline void crash_is_meant(void)
{
    static const int signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};

    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) {
        (void)signal(signals[i], SIG_DFL);
    }
}

/** Where nothing is; its value is not known to the compiler. */
static volatile uintptr_t crash_nowhere __attribute__((unused)) = 0;

/** A sum of what was read, so that it is. */
static volatile int crash_sink __attribute__((unused));

static CRASHES void crash_by_read(void)
{
    crash_sink = *(volatile int *)(crash_nowhere + 16);
}

static CRASHES void crash_by_write(void)
{
    *(volatile int *)(crash_nowhere + 32) = 1;
}

static CRASHES void crash_by_call(void)
{
    ((void (*)(void))crash_nowhere)();
    crash_sink = 1;
}

/* A page of a file that has none. */
static CRASHES void crash_by_bus(void)
{
    int fd = memfd_create("crash", MFD_CLOEXEC);
    volatile int *page = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);

    close(fd);
    crash_sink = *page;
}

/* A read of memory that there is not, far from NULL. */
static CRASHES void crash_by_far_read(void)
{
    void *page = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    crash_sink = *(volatile int *)page;
}

/* A write to memory that there is not, far from NULL. */
static CRASHES void crash_by_wild_write(void)
{
    void *page = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    *(volatile int *)page = 1;
}

static CRASHES int crash_deeper(volatile int *from, unsigned left)
{
    volatile int frame[64];

    frame[left % 64] = from != NULL ? from[0] : (int)left;
    return left == 0 ? frame[0] : crash_deeper(frame, left - 1) + frame[1];
}

/* A hundred million frames of 256 bytes. */
static CRASHES void crash_by_recursion(void)
{
    crash_sink = crash_deeper(NULL, 100000000);
}

#ifdef __x86_64__

static CRASHES void crash_by_division(void)
{
    crash_sink = crash_sink / (int)crash_nowhere;
}

static CRASHES void crash_by_instruction(void)
{
    __asm__ volatile("ud2");
}

/* The processor does not say which one it was. */
static CRASHES void crash_by_no_address(void)
{
    crash_sink = *(volatile int *)(crash_nowhere + 0xdead000000000000U);
}

#endif

/* In the C library. */
static CRASHES void crash_by_strlen(void)
{
    crash_sink = (int)strlen((const char *)(crash_nowhere + 8));
}

#endif
