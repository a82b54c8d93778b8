/* SPDX-License-Identifier: MIT */
/*
 * team.h - for tests: some threads that start together, and what they have to complain about.
 *
 * A member returns NULL, or in one sentence what went wrong; the test asserts on its own thread.
 */
#ifndef TEST_TEAM_H
#define TEST_TEAM_H

#include <pthread.h>
#include <sched.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#define TEAM_MAX 16

/** What member `index` of the team does. */
typedef const char *(*team_fn)(void *arg, unsigned index);

struct team_member {
    pthread_t thread;
    pthread_barrier_t *start;
    team_fn run;
    void *arg;
    unsigned index;
};

static inline void *team_main(void *member_arg)
{
    struct team_member *member = member_arg;

    (void)pthread_barrier_wait(member->start);
    return (void *)(uintptr_t)member->run(member->arg, member->index);
}

/** Runs `run(arg, 0 .. count-1)` in as many threads, waits for all; returns the first complaint, or NULL. */
static inline const char *team_run(unsigned count, team_fn run, void *arg)
{
    struct team_member members[TEAM_MAX];
    pthread_barrier_t start;
    const char *complaint = NULL;

    pthread_barrier_init(&start, NULL, count);
    for (unsigned i = 0; i < count; i++) {
        members[i] = (struct team_member){.start = &start, .run = run, .arg = arg, .index = i};
        if (pthread_create(&members[i].thread, NULL, team_main, &members[i]) != 0) {
            /* Those that wait at the barrier cannot be called back. */
            abort();
        }
    }
    for (unsigned i = 0; i < count; i++) {
        void *said;

        pthread_join(members[i].thread, &said);
        complaint = complaint == NULL ? said : complaint;
    }
    pthread_barrier_destroy(&start);
    return complaint;
}

/** For loops that wait for another thread: spins, so as to meet it closely, and at times lets it run. */
static inline void team_pause(unsigned *spins)
{
    if (++*spins % 128 == 0) {
        sched_yield();
    }
}

#endif
