/* SPDX-License-Identifier: MIT */
/*
 * base.h - what every file here may use: asserts, container_of, the cache line, a list.
 */
#ifndef TRP_BASE_H
#define TRP_BASE_H

#include <assert.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <troupe/base.h>

/** What two cores hand to each other at a time. */
#define TRP_CACHE_LINE 64

/* Our own mistakes stop the program where they are seen.  On in every build: the tests of a branch
 * that is predicted cost less than a broken promise. */
#define trp_assert(condition)                                                                      \
    do {                                                                                           \
        if (__builtin_expect(!(condition), 0)) {                                                   \
            trp_assert_failed(__FILE__, __LINE__, #condition);                                     \
        }                                                                                          \
    } while (0)

/** Writes what failed to standard error with one write(2) and aborts. */
TROUPE_NORETURN void trp_assert_failed(const char *file, int line, const char *condition);

/**
 * Copies an option struct of a caller who may know fewer fields than we, which are zero then, or more, which must be.
 * `known` is the size of ours.
 */
TROUPE_CHECKED int trp_options_read(void *out_own, size_t known, const void *given, size_t size);

/** Kept out of its callers: they are called often, this is not. */
#define TRP_NOINLINE __attribute__((noinline))

/** Part of its callers, of which one is called very often. */
#define TRP_INLINE static inline __attribute__((always_inline))

#define trp_likely(x) __builtin_expect(!!(x), 1)
#define trp_unlikely(x) __builtin_expect(!!(x), 0)

#define trp_container_of(pointer, type, member)                                                    \
    ((type *)((uintptr_t)(pointer)-offsetof(type, member)))

#ifdef TRP_SIMULATION
/** A variable of a virtual thread, zero at first: port_sim.c exchanges all of this section when it switches. */
#define TRP_THREAD_LOCAL __attribute__((section("trp_thread_local")))
#else
/** A thread-local variable without a call, also in the shared library. */
#define TRP_THREAD_LOCAL _Thread_local __attribute__((tls_model("initial-exec")))
#endif

/* A doubly linked list through its elements; an element that is in no list points to itself. */
struct trp_list {
    struct trp_list *next;
    struct trp_list *prev;
};

static inline void trp_list_init(struct trp_list *list)
{
    list->next = list;
    list->prev = list;
}

static inline bool trp_list_is_empty(const struct trp_list *list)
{
    return list->next == list;
}

/** Puts `entry` before `list`: at the end, if `list` is the head. */
static inline void trp_list_push(struct trp_list *list, struct trp_list *entry)
{
    entry->next = list;
    entry->prev = list->prev;
    list->prev->next = entry;
    list->prev = entry;
}

/** Takes `entry` out; does nothing if it is in no list. */
static inline void trp_list_remove(struct trp_list *entry)
{
    entry->prev->next = entry->next;
    entry->next->prev = entry->prev;
    trp_list_init(entry);
}

/** Takes the first entry out, or returns NULL. */
static inline struct trp_list *trp_list_pop(struct trp_list *list)
{
    struct trp_list *entry = list->next;

    if (entry == list) {
        return NULL;
    }
    trp_list_remove(entry);
    return entry;
}

/** Moves all of `from` to the empty head `to`. */
static inline void trp_list_move(struct trp_list *to, struct trp_list *from)
{
    trp_list_init(to);
    if (!trp_list_is_empty(from)) {
        to->next = from->next;
        to->prev = from->prev;
        to->next->prev = to;
        to->prev->next = to;
        trp_list_init(from);
    }
}

#endif
