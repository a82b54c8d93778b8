/* SPDX-License-Identifier: MIT */
/*
 * engine.h - what the files of the explorer know of each other.  From the bottom:
 *
 *   sites.c    where in the code an address is
 *   threads.c  contexts, whose turn it is, choices, sleep
 *   trace.c    tells the steps of a run
 *   memory.c   memory of a run; races, and what was freed
 *   plant.c    which accesses there are, and what is wrong with one
 *   atomic.c   what atomic accesses do: histories
 *   calls.c    the sanitizer's calls, which are answered by the three before
 *   twin.c     the outside world for sched/: port.h, lock.h, reclaim.h, seam.h
 *   search.c   which choices to try; shrinks and tells what failed
 *   audit.c    which orders nobody misses
 *   main.c     options, the table of parts, counts
 */
#ifndef TEST_EXPLORE_ENGINE_H
#define TEST_EXPLORE_ENGINE_H

#include <stdarg.h>
#include <stdio.h>

#include "test/explore/explore.h"

/* ---- sites.c ---- */

struct explore_site {
    const char *function;
    const char *file; /* without its folders */
    int line;
    bool is_ours; /* of sched/ or lib/: not a scenario's, and not another library's */
};

/** What is at `pc`, the address that a call returns to.  Kept for ever. */
const struct explore_site *explore_site_at(uintptr_t pc);

/* ---- threads.c ---- */

/** The number of a step of a thread; 0: there was none. */
typedef uint16_t explore_step;

/** What one knows of what the others did: their last steps. */
struct explore_view {
    explore_step steps[EXPLORE_CONTEXTS];
};

static inline void explore_view_join(struct explore_view *into, const struct explore_view *from)
{
    for (unsigned i = 0; i < EXPLORE_CONTEXTS; i++) {
        into->steps[i] = into->steps[i] > from->steps[i] ? into->steps[i] : from->steps[i];
    }
}

/** What is open in a choice. */
enum explore_choice {
    EXPLORE_THREAD, /* who runs; 0: who did */
    EXPLORE_NEXT,   /* who runs, as who did cannot */
    EXPLORE_VALUE,  /* what is read; 0: the newest */
    EXPLORE_OPEN,   /* asked by the scenario or by seam.h */
};

/** Asked at each choice; returns one of 0 .. count-1.  Set by search.c. */
typedef unsigned (*explore_decide_fn)(enum explore_choice choice, unsigned count);

/** One run of a scenario.  Returns NULL, or what failed (until the next run). */
const char *explore_run(const struct explore_scenario *scenario, explore_decide_fn decide);

/** The thread that runs and how many points it has passed: names a choice whatever others do. */
void explore_where(unsigned *out_thread, unsigned *out_step);

/** The `index`-th of the threads that a THREAD or NEXT choice is between, while it is asked. */
unsigned explore_candidate(unsigned index);

/** Whether more than one thread is there; otherwise nothing is open. */
bool explore_is_parallel(void);

/** The explorer itself cannot go on: says why, and ends the program. */
__attribute__((noreturn, format(printf, 1, 2))) void explore_give_up(const char *format, ...);

/** Asks the search. */
unsigned explore_decide(enum explore_choice choice, unsigned count);

/** A place before an access to shared memory: a step, and another thread may run. */
void explore_point(void);

/** A step that is nobody else's business. */
void explore_pass(void);

/** What the thread that runs knows, its own steps included. */
struct explore_view *explore_own_view(void);

/** Whether the thread that runs knows of a step. */
static inline bool explore_knows(unsigned thread, explore_step when)
{
    return explore_own_view()->steps[thread] >= when;
}

/** A step of the thread that runs is over: what it does now nobody knows who does not learn it from now on. */
void explore_tick(void);

/** A hand-over: who acquires knows what those did who released before. */
void explore_release(struct explore_view *to);
void explore_acquire(const struct explore_view *from);

/** Joins what all threads know. */
void explore_views_join(struct explore_view *into);

/** The reclaimer's thread; started when first needed. */
void explore_start_reclaimer(void (*run)(void));

/** A thread that the library starts; returns its number, 0: there is no room. */
unsigned explore_start(void (*run)(void *arg), void *arg);

/** Waits for its end. */
void explore_join(unsigned number);

/** The virtual clock: moves when all sleep, and then to the first of the deadlines. */
uint64_t explore_now_ns(void);

/** Sleeps until ready(context), or until the clock says `until_ns` (UINT64_MAX: never does). */
void explore_wait(
    bool (*ready)(const void *context), const void *context, uint64_t until_ns, const char *what);

/* ---- trace.c ---- */

/** Steps are told to this file; NULL: to nobody. */
void explore_trace_to(FILE *to);
__attribute__((format(printf, 2, 3))) void explore_trace(uintptr_t pc, const char *format, ...);
void explore_trace_list(uintptr_t pc, const char *format, va_list list);

const char *explore_operation_name(enum explore_operation operation);
const char *explore_order_name(int order);

/* ---- memory.c ---- */

void explore_memory_begin(void);

/** A plain access from `pc`, and an atomic one: looks for races and for memory that was freed. */
void explore_memory_plain(uintptr_t address, size_t size, bool writes, uintptr_t pc);
void explore_memory_atomic(uintptr_t address, size_t size, bool writes, uintptr_t pc);

/** Touching these bytes is a finding, or no longer. */
void explore_memory_poison(const void *block, size_t size);
void explore_memory_unpoison(const void *block, size_t size);

/* ---- plant.c ---- */

/** An access that was passed since explore_plant_forget(). */
struct explore_access {
    uintptr_t pc;
    enum explore_operation operation;
    int order;
};

void explore_plant_forget(void);
void explore_plant_note(enum explore_operation operation, int order, uintptr_t pc);

/** Writes at most `most` of them to `out`; returns how many there are. */
unsigned explore_plant_accesses(struct explore_access *out, unsigned most);

/** One access is damaged from here on, of those that were passed; NULL: none.  False: there is no such access. */
bool explore_plant_set(const struct explore_plant *plant);

/** An access has no order from here on, a fence is not there; NULL: all are as they are. */
void explore_plant_relax(const struct explore_access *access);

/** Whether that is what is wrong with the access at `pc`, and the value of a lie. */
bool explore_plant_is(enum explore_damage by, uintptr_t pc);
uint64_t explore_plant_value(void);

/* ---- atomic.c ---- */

void explore_atomic_begin(void);

/** Locations that more than one thread touches, found since the last call: then what was tried may be incomplete. */
bool explore_atomic_learnt(void);

/** Forgets which locations are shared: another scenario begins. */
void explore_atomic_forget(void);

/** Takes every location for a shared one, so that a schedule is understood whatever was learnt. */
void explore_atomic_suspect_all(bool on);

uint64_t explore_atomic_load(uintptr_t address, size_t size, int order, uintptr_t pc);
void explore_atomic_store(uintptr_t address, size_t size, uint64_t value, int order, uintptr_t pc);
uint64_t explore_atomic_modify(enum explore_operation operation, uintptr_t address, size_t size,
    uint64_t operand, int order, uintptr_t pc);

/** A compare-and-swap; *expected becomes what was there if it was another value. */
bool explore_atomic_swap(uintptr_t address, size_t size, uint64_t *expected, uint64_t desired,
    int order, int otherwise, uintptr_t pc);
void explore_atomic_fence(int order, uintptr_t pc);

/** All threads pass a seq_cst fence, where they stand. */
void explore_atomic_fence_all(void);

/* ---- twin.c ---- */

void explore_twin_begin(void);

/* ---- search.c ---- */

struct explore_bounds {
    unsigned deviations; /* exhaustively, if the scenario does not say fewer; 0: as it says */
    uint64_t most;       /* runs, at which the exhaustive search gives up; 0: none */
    uint64_t random;     /* runs after it */
    uint64_t seed;
};

struct explore_result {
    uint64_t exhaustive; /* runs */
    uint64_t random;
    bool complete; /* all of up to that many deviations were tried */
    bool failed;
    char what[512];
    char schedule[4096]; /* for explore_replay() */
};

/** How many deviations of a scenario are tried. */
unsigned explore_deviations(
    const struct explore_scenario *scenario, const struct explore_bounds *bounds);

void explore_search(const struct explore_scenario *scenario, const struct explore_bounds *bounds,
    struct explore_result *out_result);

/** Runs a schedule once more, telling its steps.  Returns what failed, or NULL. */
const char *explore_replay(
    const struct explore_scenario *scenario, const char *schedule, FILE *trace);

/* ---- audit.c ---- */

/** Says of each order in the part's code whether a scenario misses it. */
void explore_audit(const struct explore_part *part, const struct explore_bounds *bounds);

#endif
