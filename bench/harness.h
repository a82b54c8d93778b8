/* SPDX-License-Identifier: MIT */
/*
 * harness.h - what every workload shares: a runtime, a clock, and books that are checked.
 *
 * Each repetition is a process of its own, so that none inherits memory, threads or luck from the one before.  In it
 *
 *   start    the workload spawns its actors, says what must come out, starts the clock and sends the first message
 *   wait     the clock stops in the handler of whoever reports the last part done, not when this thread wakes up
 *   measure  what cannot be told from the time alone
 *   check    the runtime is stopped; what the actors counted, and its books, must be as they should be
 *
 * A repetition that fails in any of this says why on stderr, and the program ends with status 1.
 *
 *            start measure   actor's callbacks      -  may overlap
 *   start          X                 -              X  never overlap
 *   callbacks      -                 -
 */
#ifndef BENCH_HARNESS_H
#define BENCH_HARNESS_H

#include <semaphore.h>
#include <stdatomic.h>
#include <troupe.h>

/** What a workload is judged by: the median and the spread are of this. */
enum bench_figure {
    BENCH_NS_PER_MSG,
    BENCH_P50_NS,
    BENCH_BYTES_PER_ACTOR,
    BENCH_EFFICIENCY,
};

struct bench_result {
    uint64_t messages;
    double seconds;
    double p50_ns;          /* with BENCH_P50_NS */
    double p99_ns;          /* with BENCH_P50_NS */
    double bytes_per_actor; /* with BENCH_BYTES_PER_ACTOR */
    double efficiency;      /* with BENCH_EFFICIENCY: ideal time / time */
};

struct bench_run {
    /* Set before start. */
    struct troupe_runtime *runtime;
    double scale;
    unsigned workers;

    /* Set by start, before the clock runs. */
    uint64_t expected_count; /* what the actors' counts add up to */
    uint64_t expected_sum;   /* and their sums */
    uint64_t expected_failures;
    uint64_t expected_handled; /* at least; bench_begin() sets it to the number of messages */
    struct bench_result result;
    uint64_t begin_ns;

    /* Any thread. */
    _Atomic uint64_t parts_left; /* of the work; the clock stops at 0 */
    _Atomic uint64_t count;
    _Atomic uint64_t sum;
    _Atomic bool failed;
    uint64_t end_ns; /* written by whoever does the last part, before `done` */
    sem_t done;
};

struct bench_workload {
    const char *name;
    const char *alias; /* or NULL */
    const char *about; /* one line */
    enum bench_figure figure;
    uint64_t actors; /* alive at once, at scale 1 */
    int (*start)(struct bench_run *run);
    int (*measure)(struct bench_run *run); /* or NULL */
};

/** Repetitions of a series. */
#define BENCH_REPS_MAX 1000

struct bench_options {
    double scale;
    unsigned workers;
    unsigned reps; /* up to BENCH_REPS_MAX */
    bool verbose;
};

/* ---- for main.c ---- */

/** Runs a workload `reps` times and prints the median.  0, or -1: it failed, and stderr says why. */
int bench_series(const struct bench_workload *workload, const struct bench_options *options);

/** What is measured here: processor, compiler, load.  On stderr. */
void bench_print_machine(void);

/* ---- for start and measure, on the main thread ---- */

/** `base` at this run's scale, at least 1. */
uint64_t bench_scaled(const struct bench_run *run, uint64_t base);

/** Spawns an actor whose init gets a copy of `arg`. */
int bench_spawn(struct bench_run *run, const struct troupe_behaviour *behaviour, const void *arg,
    size_t arg_size, troupe_pid *out_pid);

/** Sends `value` to an actor. */
int bench_send(
    struct bench_run *run, troupe_pid to, const struct troupe_type *type, uint64_t value);

/** Sends a message without a body to an actor. */
int bench_signal(struct bench_run *run, troupe_pid to, const struct troupe_type *type);

/** The clock starts: `messages` will be sent, in `parts` of work. */
void bench_begin(struct bench_run *run, uint64_t messages, uint64_t parts);

/** Resident memory of this process, in bytes; 0 if the system does not tell. */
uint64_t bench_resident_bytes(void);

/* ---- for actors ---- */

/** The monotonic clock. */
uint64_t bench_now_ns(void);

/** Another part is done; the last one stops the clock. */
void bench_part_done(struct bench_run *run);

/** Adds what an actor counted, when it is destroyed. */
void bench_tally(struct bench_run *run, uint64_t count, uint64_t sum);

/** Says what went wrong; the repetition fails.  Returns TROUPE_EPROTO, for a handler to return. */
int bench_fail(struct bench_run *run, const char *what);

/* ---- the workloads ---- */

extern const struct bench_workload bench_pingpong;
extern const struct bench_workload bench_pingpong_pairs;
extern const struct bench_workload bench_threadring;
extern const struct bench_workload bench_counting_b;
extern const struct bench_workload bench_counting_u;
extern const struct bench_workload bench_many_to_one_b;
extern const struct bench_workload bench_many_to_one_u;
extern const struct bench_workload bench_fj_throughput_b;
extern const struct bench_workload bench_fj_throughput_u;
extern const struct bench_workload bench_fj_throughput_batch;
extern const struct bench_workload bench_fj_create;
extern const struct bench_workload bench_idle_memory;
extern const struct bench_workload bench_big;
extern const struct bench_workload bench_skynet;
extern const struct bench_workload bench_ask;
extern const struct bench_workload bench_ask_spaced;
extern const struct bench_workload bench_steal;
extern const struct bench_workload bench_chameneos;
extern const struct bench_workload bench_bank;
extern const struct bench_workload bench_dictionary;
extern const struct bench_workload bench_logistic_map;
extern const struct bench_workload bench_radix_sort;
extern const struct bench_workload bench_sieve;
extern const struct bench_workload bench_philosophers;
extern const struct bench_workload bench_bounded_buffer;
extern const struct bench_workload bench_queens;
extern const struct bench_workload bench_sleeping_barber;
extern const struct bench_workload bench_cobwebbed_tree;
extern const struct bench_workload bench_quicksort;
extern const struct bench_workload bench_a_star;
extern const struct bench_workload bench_matrix_multiply;
extern const struct bench_workload bench_link_unlink;
extern const struct bench_workload bench_monitor_demonitor;
extern const struct bench_workload bench_spawn_monitor_exit;
extern const struct bench_workload bench_restart;
extern const struct bench_workload bench_restart_long;
extern const struct bench_workload bench_fiber_pingpong;
extern const struct bench_workload bench_fiber_create;
extern const struct bench_workload bench_waiting_memory;
extern const struct bench_workload bench_fiber_memory;
extern const struct bench_workload bench_flow_pipeline;

#endif
