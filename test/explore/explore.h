/* SPDX-License-Identifier: MIT */
/*
 * explore.h - runs a few threads through every interleaving that matters, with the memory of the C standard.
 *
 * The files of sched/ are built once more as the thread sanitizer wants them (`-fsanitize=thread`, of the compiler only):
 * before each access to memory stands a call, which calls.c answers instead of the sanitizer's library.  So every
 * atomic access is a place where another thread may run, every plain one is checked for races, and the code that is
 * explored is the code that ships: as in simulation, with small queues and tables, and with poison, ck and liburcu as
 * instead.h has them.
 *
 * Threads are contexts on one thread of the system (threads.c).  Of what happens in a run only *choices* are open: which
 * thread goes on before an access to shared memory, and which of the values that the order of an access allows is
 * read: one that is older than the newest, unless something says that this thread must know better.  A choice that
 * is not the usual one is a *deviation*; search.c tries all runs of up to so many deviations, one after the other, and
 * then random ones of any number.  What fails is cut down to the deviations that it needs, told step by step, and can
 * be run again.
 *
 * A *plant* is one access of that code changed for the worse while it runs (plant.c): the search must find it.
 *
 * What it cannot see: reads from the future (load buffering); stores in another order than that in which they ran;
 * values more than eight stores old; compare-and-swaps that fail for no reason, or on an old value; a deadline that
 * passes although somebody could run, or a sleep that ends for no reason; races on the stacks of threads and on static
 * variables; and what more threads or longer queues would do.
 */
#ifndef TEST_EXPLORE_H
#define TEST_EXPLORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <troupe/runtime.h>

#define EXPLORE_THREADS 6

/** All contexts: 0 sets up and checks, then the threads of the scenario and those that the library starts, and one that
 * ends grace periods. */
#define EXPLORE_CONTEXTS (EXPLORE_THREADS + 2)

/** A few threads and what must hold when they are through.  Every run begins with setup(), in memory that is new. */
struct explore_scenario {
    const char *name;
    void (*setup)(void);
    void (*threads[4])(void); /* up to the first NULL */
    void (*check)(void);      /* when all have ended */
    unsigned deviations;      /* so many are tried exhaustively; 0: 3 */
    bool is_program; /* threads often wait for each other: who goes on then is a deviation too */
};

/** What an access does. */
enum explore_operation {
    EXPLORE_LOAD,
    EXPLORE_STORE,
    EXPLORE_EXCHANGE,
    EXPLORE_SWAP, /* compare-and-swap */
    EXPLORE_ADD,
    EXPLORE_SUB,
    EXPLORE_AND,
    EXPLORE_OR,
    EXPLORE_FENCE,
    EXPLORE_LOCK,
    EXPLORE_OPERATIONS,
};

enum explore_damage {
    EXPLORE_RELAX,  /* it has no order */
    EXPLORE_TEAR,   /* it reads, and writes later */
    EXPLORE_BLIND,  /* a compare-and-swap does not compare */
    EXPLORE_FORGET, /* it does not happen; of a lock: nobody is kept out */
    EXPLORE_LIE,    /* a load gives `value` */
};

/** One access that is changed for the worse: `operation` in `function`, in the `number`-th line that has one. */
struct explore_plant {
    const char *name;
    const struct explore_scenario *scenario; /* that finds it */
    const char *function;
    enum explore_operation operation;
    unsigned number;
    enum explore_damage damage;
    uint64_t value;
    const char *seen; /* what the finding must have in it */
};

struct explore_part {
    const char *name;
    const struct explore_scenario *scenarios;
    unsigned scenario_count;
    const struct explore_plant *plants;
    unsigned plant_count;
};

extern const struct explore_part explore_mailbox;
extern const struct explore_part explore_charge;
extern const struct explore_part explore_runq;
extern const struct explore_part explore_inject;
extern const struct explore_part explore_worker;
extern const struct explore_part explore_table;
extern const struct explore_part explore_pause;
extern const struct explore_part explore_pool;
extern const struct explore_part explore_timer;
extern const struct explore_part explore_monitor;
extern const struct explore_part explore_alias;
extern const struct explore_part explore_call;
extern const struct explore_part explore_blocking;
extern const struct explore_part explore_room;
extern const struct explore_part explore_lease;
extern const struct explore_part explore_pressure;
extern const struct explore_part explore_reference;
extern const struct explore_part explore_gate;
extern const struct explore_part explore_thread;

/* ---- for scenarios ---- */

/** Memory of this run, filled with 0xa5; what is freed is not used again, and touching it is a finding. */
void *explore_alloc(size_t size, size_t align);
void explore_free(void *block, size_t size);

/** The two, for whoever takes an allocator. */
extern const struct troupe_allocator explore_allocator;

/** One of 0 .. count-1, each of which is tried.  For what a scenario leaves open. */
unsigned explore_choose(unsigned count);

/** Sleeps until ready(context), which must not touch memory of the library's. */
void explore_await(bool (*ready)(const void *context), const void *context, const char *what);

/** Which thread runs: 1 for the first of the scenario. */
unsigned explore_self(void);

/** Lets others run; for loops that wait. */
void explore_yield(void);

/** A function that notes or compares what threads did and is no part of what they do: nothing in it is a point, a race or
 * a step.  Its notes are outside of explore_alloc()'s memory. */
#define EXPLORE_GHOST __attribute__((no_sanitize("thread"), noinline))

/** This run has failed; does not return. */
__attribute__((noreturn, format(printf, 1, 2))) void explore_fail(const char *format, ...);

#define explore_check(condition)                                                                   \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            explore_fail("%s:%d: %s", __func__, __LINE__, #condition);                             \
        }                                                                                          \
    } while (0)

#define EXPLORE_COUNT(array) (sizeof(array) / sizeof((array)[0]))

#define EXPLORE_PART(part, its_scenarios, its_plants)                                              \
    const struct explore_part explore_##part = {.name = #part,                                     \
        .scenarios = (its_scenarios),                                                              \
        .scenario_count = EXPLORE_COUNT(its_scenarios),                                            \
        .plants = (its_plants),                                                                    \
        .plant_count = EXPLORE_COUNT(its_plants)}

#endif
