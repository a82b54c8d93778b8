/* SPDX-License-Identifier: MIT */
/*
 * engine.h - what the files of the explorer know of each other.  From the bottom:
 *
 *   sites.c    where in the code an address is
 *   threads.c  contexts, whose turn it is, choices, sleep
 *   memory.c   what accesses do: the sanitizer's calls, histories, races, plants
 *   twin.c     the outside world for sched/: port.h, lock.h, reclaim.h, seam.h
 *   search.c   which choices to try; shrinks and tells what failed
 *   main.c     options, the table of parts, counts
 */
#ifndef TEST_EXPLORE_ENGINE_H
#define TEST_EXPLORE_ENGINE_H

#include <stdatomic.h>
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

/** What one knows of what the others did: counts of their steps. */
struct explore_view {
    uint16_t steps[EXPLORE_CONTEXTS];
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

/** Asks the search. */
unsigned explore_decide(enum explore_choice choice, unsigned count);

/** A place before an access to shared memory: a step, and another thread may run. */
void explore_point(void);

/** A step that is nobody else's business. */
void explore_pass(void);

/** What the thread that runs knows, its own steps included. */
struct explore_view *explore_own_view(void);

/** A step of the thread that runs is over: what it does now nobody knows who does not learn it from now on. */
void explore_tick(void);

/** A hand-over: who acquires knows what those did who released before. */
void explore_release(struct explore_view *to);
void explore_acquire(const struct explore_view *from);

/** All threads pass a full fence, where they stand. */
void explore_fence_all(void);

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

/* ---- memory.c ---- */

void explore_memory_begin(void);

/** Locations that more than one thread touches, found since the last call: then what was tried may be incomplete. */
bool explore_memory_learnt(void);

/** Forgets which locations are shared: another scenario begins. */
void explore_memory_forget(void);

/** Takes every location for a shared one, so that a schedule is understood whatever was learnt. */
void explore_memory_suspect_all(bool on);

/** An access that was passed since explore_memory_forget(). */
struct explore_access {
    uintptr_t pc;
    enum explore_operation operation;
    int order;
};

/** Writes at most `most` of them to `out`; returns how many there are. */
unsigned explore_memory_accesses(struct explore_access *out, unsigned most);

/** One access is damaged from here on, of those that were passed; NULL: none.  False: there is no such access. */
bool explore_memory_plant(const struct explore_plant *plant);

/** The access at `pc` has no order from here on; 0: all have their own. */
void explore_memory_relax(uintptr_t pc);

/** Of what operation, and of what order. */
const char *explore_operation_name(enum explore_operation operation);
const char *explore_order_name(int order);

/** Whether a lock taken from `pc` is to be left out. */
bool explore_memory_spoils_lock(uintptr_t pc);

/** Steps are told to this file; NULL: to nobody. */
void explore_trace_to(FILE *to);
__attribute__((format(printf, 2, 3))) void explore_trace(uintptr_t pc, const char *format, ...);

/** Touching these bytes is a finding, or no longer. */
void explore_memory_poison(const void *block, size_t size);
void explore_memory_unpoison(const void *block, size_t size);

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
    char schedule[512]; /* for explore_replay() */
};

/** How many deviations of a scenario are tried. */
unsigned explore_deviations(
    const struct explore_scenario *scenario, const struct explore_bounds *bounds);

void explore_search(const struct explore_scenario *scenario, const struct explore_bounds *bounds,
    struct explore_result *out_result);

/** Runs a schedule once more, telling its steps.  Returns what failed, or NULL. */
const char *explore_replay(
    const struct explore_scenario *scenario, const char *schedule, FILE *trace);

#endif
