/* SPDX-License-Identifier: MIT */
/*
 * latch.h - for tests: threads wait until something has happened so many times, with a limit.
 *
 * And: a log of words in the order in which they were written, and the wait for a quiet runtime.
 */
#ifndef TRP_TEST_LATCH_H
#define TRP_TEST_LATCH_H

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <troupe.h>

/** Nothing in these tests takes that long, not even under a sanitizer on a busy machine. */
#define LATCH_LIMIT_S 60

struct latch {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    unsigned count;
};

/* clang-format off */
#define LATCH_INIT {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0}
/* clang-format on */

static inline void latch_hit(struct latch *latch)
{
    pthread_mutex_lock(&latch->mutex);
    latch->count++;
    pthread_cond_broadcast(&latch->changed);
    pthread_mutex_unlock(&latch->mutex);
}

static inline unsigned latch_count(struct latch *latch)
{
    unsigned count;

    pthread_mutex_lock(&latch->mutex);
    count = latch->count;
    pthread_mutex_unlock(&latch->mutex);
    return count;
}

/** Waits until the latch was hit `count` times in all; false after LATCH_LIMIT_S. */
static inline bool latch_wait(struct latch *latch, unsigned count)
{
    struct timespec limit;
    int error = 0;
    bool reached;

    clock_gettime(CLOCK_REALTIME, &limit);
    limit.tv_sec += LATCH_LIMIT_S;
    pthread_mutex_lock(&latch->mutex);
    while (latch->count < count && error != ETIMEDOUT) {
        error = pthread_cond_timedwait(&latch->changed, &latch->mutex, &limit);
    }
    reached = latch->count >= count;
    pthread_mutex_unlock(&latch->mutex);
    return reached;
}

/** Words in order, separated by blanks. */
struct journal {
    pthread_mutex_t mutex;
    char text[4096];
};

/* clang-format off */
#define JOURNAL_INIT {PTHREAD_MUTEX_INITIALIZER, ""}
/* clang-format on */

static inline void journal_add(struct journal *journal, const char *word)
{
    pthread_mutex_lock(&journal->mutex);
    if (strlen(journal->text) + strlen(word) + 2 < sizeof journal->text) {
        if (journal->text[0] != '\0') {
            strcat(journal->text, " ");
        }
        strcat(journal->text, word);
    }
    pthread_mutex_unlock(&journal->mutex);
}

static inline bool books_balance(const struct troupe_books *books)
{
    return books->queued == 0 && books->sent == books->handled + books->refused + books->shed +
                                                    books->dead + books->bounced;
}

/** Stops a runtime and checks that nothing was lost; prints the books if something was. */
static inline bool runtime_ends_clean(struct troupe_runtime *runtime)
{
    struct troupe_books books;
    bool balanced;
    int stopped = troupe_runtime_stop(runtime, 20000);

    if (troupe_runtime_books(runtime, &books) < 0) {
        return false;
    }
    balanced = stopped == TROUPE_OK && books_balance(&books) && books.spawned == books.exited;
    if (!balanced) {
        fprintf(stderr,
            "stop %d sent %llu handled %llu refused %llu shed %llu dead %llu bounced %llu queued "
            "%llu "
            "spawned %llu exited %llu\n",
            stopped, (unsigned long long)books.sent, (unsigned long long)books.handled,
            (unsigned long long)books.refused, (unsigned long long)books.shed,
            (unsigned long long)books.dead, (unsigned long long)books.bounced,
            (unsigned long long)books.queued, (unsigned long long)books.spawned,
            (unsigned long long)books.exited);
    }
    return troupe_runtime_destroy(runtime) == TROUPE_OK && balanced;
}

#endif
