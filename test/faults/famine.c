/* SPDX-License-Identifier: MIT */
/*
 * famine.c - for programs as they are, by LD_PRELOAD: the k-th allocation of a process fails.
 *
 * The library's own allocator and that of the tests (test/support/allocator.h) end in one of the two functions below.
 * Criterion runs each test in a process of its own, so k counts within one test.
 *
 *     FAMINE_AT=K       the allocation that fails, from 1; without it none does
 *     FAMINE_LASTS=1    and so do all after it
 *     FAMINE_LOG=FILE   each process adds `failed PROGRAM` at its first that fails, and `died PROGRAM HOW`: ABRT or FAULT
 *
 * Criterion tells of a test that a signal has ended.  It cannot tell of a program that the test has started, nor of a
 * test that is to end by one signal and ends by another: for these there is `died`.
 */
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static unsigned long fail_at;
static bool lasts;
static const char *log_path;
static char program[400]; /* its file: in its arguments a test has another name */
static _Atomic unsigned long calls;

_Noreturn void criterion_abort_test(void);

/* Opens the file each time, as tests count their descriptors; and calls only what a signal handler may. */
static void note(const char *what, const char *how)
{
    char line[512] = "";
    int fd;

    if (log_path == NULL || (fd = open(log_path, O_WRONLY | O_APPEND | O_CLOEXEC)) < 0) {
        return;
    }
    strncat(line, what, 16);
    strncat(line, program, 400);
    strncat(line, how, 16);
    strncat(line, "\n", 2);
    (void)!write(fd, line, strlen(line));
    close(fd);
}

/* Once: what the signal does by default comes next. */
static void on_death(int number)
{
    note("died ", number == SIGABRT ? " ABRT" : " FAULT");
    (void)raise(number);
}

__attribute__((constructor)) static void begin(void)
{
    static const int deadly[] = {SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGSEGV};
    const char *at = getenv("FAMINE_AT");

    fail_at = at != NULL ? strtoul(at, NULL, 10) : 0;
    (void)!readlink("/proc/self/exe", program, sizeof program - 1);
    lasts = getenv("FAMINE_LASTS") != NULL;
    log_path = getenv("FAMINE_LOG");
    for (size_t i = 0; log_path != NULL && i < sizeof deadly / sizeof *deadly; i++) {
        sigaction(deadly[i],
            &(struct sigaction){.sa_handler = on_death, .sa_flags = (int)SA_RESETHAND}, NULL);
    }
}

/* Whether this allocation is one that fails. */
static bool is_refused(void)
{
    unsigned long call = atomic_fetch_add(&calls, 1) + 1;

    if (fail_at == 0 || call < fail_at || (call > fail_at && !lasts)) {
        return false;
    }
    if (call == fail_at) {
        note("failed ", "");
    }
    return true;
}

void *aligned_alloc(size_t align, size_t size)
{
    if (is_refused()) {
        errno = ENOMEM;
        return NULL;
    }
    return memalign(align, size);
}

int posix_memalign(void **out_memory, size_t align, size_t size)
{
    void *memory = is_refused() ? NULL : memalign(align, size);

    if (memory == NULL) {
        return ENOMEM;
    }
    *out_memory = memory;
    return 0;
}

/*
 * Criterion's, by which an assertion that fails leaves its test: as the process ends, workers run on, with what the
 * test had on its stack.  Here nobody runs on.
 */
_Noreturn void criterion_abort_test(void)
{
    _exit(EXIT_FAILURE);
}
