/* SPDX-License-Identifier: MIT */
/* port.c - Linux.  event.c has the event count. */
#include "port.h"

#include <linux/membarrier.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

uint64_t trp_port_now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
}

uint64_t trp_port_random(void)
{
    uint64_t value = 0;

    if (getrandom(&value, sizeof value, 0) != (ssize_t)sizeof value) {
        value = trp_port_now_ns() * 0x9e3779b97f4a7c15U;
    }
    return value;
}

/* One "quota period" pair from the cgroup's cpu.max, rounded up to whole processors; 0: no quota. */
static unsigned quota_cpus(const char *path)
{
    FILE *file = fopen(path, "re");
    char quota[32];
    char period[32];
    unsigned cpus = 0;

    if (file == NULL) {
        return 0;
    }
    if (fscanf(file, "%31s %31s", quota, period) == 2 && strcmp(quota, "max") != 0) {
        unsigned long period_us = strtoul(period, NULL, 10);

        if (period_us > 0) {
            cpus = (unsigned)((strtoul(quota, NULL, 10) + period_us - 1) / period_us);
        }
    }
    fclose(file);
    return cpus;
}

/* The path of this process in the one hierarchy of cgroup v2, "" if there is none. */
static void cgroup_path(char *out, size_t size)
{
    FILE *file = fopen("/proc/self/cgroup", "re");
    char line[512];

    out[0] = '\0';
    if (file == NULL) {
        return;
    }
    while (fgets(line, sizeof line, file) != NULL) {
        if (strncmp(line, "0::", 3) == 0) {
            line[strcspn(line, "\n")] = '\0';
            snprintf(out, size, "%s", line + 3);
        }
    }
    fclose(file);
}

/* The tightest quota between this process's cgroup and the root; 0: none. */
static unsigned cgroup_cpus(void)
{
    char path[512];
    unsigned least = 0;

    cgroup_path(path, sizeof path);
    for (;;) {
        char name[600];
        unsigned cpus;
        char *slash;

        snprintf(name, sizeof name, "/sys/fs/cgroup%s/cpu.max", path);
        cpus = quota_cpus(name);
        if (cpus > 0 && (least == 0 || cpus < least)) {
            least = cpus;
        }
        slash = strrchr(path, '/');
        if (slash == NULL) {
            return least;
        }
        *slash = '\0';
    }
}

size_t trp_port_page_size(void)
{
    /* POSIX requires it: it does not fail. */
    return (size_t)sysconf(_SC_PAGESIZE);
}

unsigned trp_port_cpus(void)
{
    cpu_set_t set;
    unsigned cpus = 1;
    unsigned quota = cgroup_cpus();

    if (sched_getaffinity(0, sizeof set, &set) == 0) {
        cpus = (unsigned)CPU_COUNT(&set);
    }
    if (quota > 0 && quota < cpus) {
        cpus = quota;
    }
    return cpus > 0 ? cpus : 1;
}

static void *thread_main(void *arg)
{
    struct trp_port_thread *thread = arg;

    thread->run(thread->arg);
    return NULL;
}

int trp_port_thread_start(
    struct trp_port_thread *thread, const char *name, void (*run)(void *arg), void *arg)
{
    sigset_t all;
    sigset_t before;
    int error;

    thread->run = run;
    thread->arg = arg;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    error = pthread_create(&thread->thread, NULL, thread_main, thread);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error != 0) {
        return TROUPE_ESYSTEM;
    }
    thread->started = true;
    pthread_setname_np(thread->thread, name);
    return TROUPE_OK;
}

void trp_port_thread_join(struct trp_port_thread *thread)
{
    if (thread->started) {
        pthread_join(thread->thread, NULL);
        thread->started = false;
    }
}

void trp_port_yield(void)
{
    sched_yield();
}

void trp_port_membarrier_init(void)
{
    syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0);
}

bool trp_port_membarrier(void)
{
    return syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) == 0;
}
