/* SPDX-License-Identifier: MIT */
/*
 * harness.c - one repetition in a process of its own, and a series of them.
 *
 * The parent never makes a runtime: it forks, reads one bench_result from a pipe, and prints.  An alarm ends a
 * repetition that hangs, which is what a lost message or a lost wake-up looks like from here.
 */
#include "harness.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/** Seconds a repetition may take: so much, and as much again for each unit of scale. */
#define LIMIT_S 60.0

/** How long the runtime may take to stop. */
#define STOP_MS 30000

/** How often, a millisecond apart, the books are looked at until the last slice is in them. */
#define SETTLE_TRIES 5000

/* ---- for start, measure and actors ---- */

uint64_t bench_now_ns(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
}

uint64_t bench_scaled(const struct bench_run *run, uint64_t base)
{
    double scaled = (double)base * run->scale;

    return scaled < 1 ? 1 : (uint64_t)scaled;
}

int bench_spawn(struct bench_run *run, const struct troupe_behaviour *behaviour, const void *arg,
    size_t arg_size, troupe_pid *out_pid)
{
    struct troupe_spawn_options options = {
        .behaviour = behaviour, .arg = arg, .arg_size = arg_size};

    return troupe_runtime_spawn(run->runtime, &options, out_pid);
}

static int send_bytes(struct bench_run *run, troupe_pid to, const struct troupe_type *type,
    const void *body, size_t size)
{
    struct troupe_message *msg;
    int error;

    TROUPE_TRY(troupe_message_create(run->runtime, type, 0, &msg));
    if (size > 0) {
        memcpy(troupe_body(msg), body, size);
    }
    error = troupe_try_send(run->runtime, to, msg);
    if (error < 0) {
        troupe_message_destroy(msg);
    }
    return error;
}

int bench_send(struct bench_run *run, troupe_pid to, const struct troupe_type *type, uint64_t value)
{
    return send_bytes(run, to, type, &value, sizeof value);
}

int bench_signal(struct bench_run *run, troupe_pid to, const struct troupe_type *type)
{
    return send_bytes(run, to, type, NULL, 0);
}

void bench_begin(struct bench_run *run, uint64_t messages, uint64_t parts)
{
    run->result.messages = messages;
    run->expected_handled = messages;
    /* relaxed: the first message publishes it. */
    atomic_store_explicit(&run->parts_left, parts, memory_order_relaxed);
    run->begin_ns = bench_now_ns();
}

void bench_part_done(struct bench_run *run)
{
    /* acq_rel: the main thread sees what every part did.  PAIR bench.parts: this, by the others; then the semaphore. */
    if (atomic_fetch_sub_explicit(&run->parts_left, 1, memory_order_acq_rel) == 1) {
        run->end_ns = bench_now_ns();
        (void)sem_post(&run->done);
    }
}

void bench_tally(struct bench_run *run, uint64_t count, uint64_t sum)
{
    /* relaxed: read after the workers have been joined. */
    atomic_fetch_add_explicit(&run->count, count, memory_order_relaxed);
    atomic_fetch_add_explicit(&run->sum, sum, memory_order_relaxed);
}

int bench_fail(struct bench_run *run, const char *what)
{
    fprintf(stderr, "troupe-bench: %s\n", what);
    /* relaxed: the semaphore publishes it. */
    atomic_store_explicit(&run->failed, true, memory_order_relaxed);
    (void)sem_post(&run->done);
    return TROUPE_EPROTO;
}

uint64_t bench_resident_bytes(void)
{
    FILE *file = fopen("/proc/self/statm", "r");
    uint64_t size;
    uint64_t resident = 0;

    if (file == NULL) {
        return 0;
    }
    if (fscanf(file, "%" SCNu64 " %" SCNu64, &size, &resident) != 2) {
        resident = 0;
    }
    (void)fclose(file);
    return resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* ---- one repetition ---- */

/* An actor that fails would let us wait in vain. */
/* Where failures are the workload, the books count them. */
static void on_report(void *context, const struct troupe_report *report)
{
    const struct bench_run *run = context;

    if (report->kind == TROUPE_REPORT_LIMIT ||
        (report->kind == TROUPE_REPORT_FAILURE && run->expected_failures == 0)) {
        fprintf(stderr, "troupe-bench: actor \"%s\"\n", report->actor);
        (void)bench_fail(context, report->text);
    }
}

static int create_runtime(const struct bench_workload *workload, struct bench_run *run)
{
    uint64_t actors = (uint64_t)((double)workload->actors * run->scale) + 65536;
    struct troupe_runtime_options options = {
        .workers = (int)run->workers,
        .report = on_report,
        .report_context = run,
        .limits = {.actors = actors < 1U << 22 ? 0 : (uint32_t)actors},
    };

    TROUPE_TRY(troupe_runtime_create(&options, &run->runtime));
    return troupe_runtime_start(run->runtime);
}

static void wait_until_done(struct bench_run *run)
{
    while (sem_wait(&run->done) != 0 && errno == EINTR) {
    }
}

static bool is_equal(const char *what, uint64_t is, uint64_t expected)
{
    if (is != expected) {
        fprintf(
            stderr, "troupe-bench: %s: %" PRIu64 ", expected %" PRIu64 "\n", what, is, expected);
    }
    return is == expected;
}

static int read_books(struct bench_run *run, struct troupe_books *out_books)
{
    int error = troupe_runtime_books(run->runtime, out_books);

    if (error < 0) {
        fprintf(stderr, "troupe-bench: no books: %s\n", troupe_strerror(error));
    }
    return error;
}

/* What was sent and has not become something.  Not `queued`, which the library may work out by subtraction. */
static uint64_t unaccounted(const struct troupe_books *books)
{
    return books->sent - books->handled - books->refused - books->shed - books->dead -
           books->bounced;
}

/* The work is done, and soon nothing runs: what no workload does has not happened.  Looked at before the stop, whose
 * signals may well reach actors that are just ending. */
static bool has_settled(struct bench_run *run)
{
    struct troupe_books books;
    bool right;

    for (unsigned tries = 0;; tries++) {
        if (read_books(run, &books) < 0) {
            return false;
        }
        if (tries == SETTLE_TRIES || unaccounted(&books) == 0) {
            break;
        }
        (void)nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    right = is_equal("messages unaccounted for at rest", unaccounted(&books), 0);
    right &= is_equal("messages shed", books.shed, 0);
    right &= is_equal("dead letters", books.dead, 0);
    right &= is_equal("requests bounced", books.bounced, 0);
    right &= is_equal("messages unknown", books.unknown, 0);
    right &= is_equal("actors failed", books.failures, run->expected_failures);
    if (books.handled < run->expected_handled) {
        right = is_equal("messages handled, at least", books.handled, run->expected_handled);
    }
    return right;
}

/* The runtime is stopped: everything that was sent has become something, and everybody has gone. */
static bool is_right(struct bench_run *run)
{
    struct troupe_books books;
    bool right;

    if (read_books(run, &books) < 0) {
        return false;
    }
    right = is_equal("messages unaccounted for in the end", unaccounted(&books), 0);
    right &= is_equal("messages left in queues", books.queued, 0);
    right &= is_equal("actors ended", books.exited, books.spawned);
    right &= is_equal("counted by the actors", run->count, run->expected_count);
    right &= is_equal("summed up by the actors", run->sum, run->expected_sum);
    return right && !run->failed;
}

/* Everything between the clock's start and the runtime's end.  False: failed, and said so. */
static bool run_workload(const struct bench_workload *workload, struct bench_run *run)
{
    int error = workload->start(run);

    if (error < 0) {
        fprintf(stderr, "troupe-bench: cannot start: %s\n", troupe_strerror(error));
        return false;
    }
    wait_until_done(run);
    if (run->failed) {
        return false;
    }
    run->result.seconds = (double)(run->end_ns - run->begin_ns) / 1e9;
    error = workload->measure != NULL ? workload->measure(run) : TROUPE_OK;
    if (error < 0) {
        fprintf(stderr, "troupe-bench: cannot measure: %s\n", troupe_strerror(error));
        return false;
    }
    if (!has_settled(run)) {
        return false;
    }
    error = troupe_runtime_stop(run->runtime, STOP_MS);
    if (error < 0) {
        fprintf(stderr, "troupe-bench: cannot stop: %s\n", troupe_strerror(error));
        return false;
    }
    return is_right(run);
}

/* In a process of its own.  Returns its exit status. */
static int repeat_once(
    const struct bench_workload *workload, const struct bench_options *options, int out)
{
    struct bench_run run = {.scale = options->scale, .workers = options->workers};
    int error;

    (void)alarm((unsigned)(LIMIT_S + LIMIT_S * options->scale));
    if (sem_init(&run.done, 0, 0) != 0) {
        perror("troupe-bench: semaphore");
        return 1;
    }
    error = create_runtime(workload, &run);
    if (error < 0) {
        fprintf(stderr, "troupe-bench: no runtime: %s\n", troupe_strerror(error));
        return 1;
    }
    if (!run_workload(workload, &run)) {
        return 1;
    }
    error = troupe_runtime_destroy(run.runtime);
    if (error < 0) {
        fprintf(stderr, "troupe-bench: cannot destroy: %s\n", troupe_strerror(error));
        return 1;
    }
    (void)sem_destroy(&run.done);
    return write(out, &run.result, sizeof run.result) == (ssize_t)sizeof run.result ? 0 : 1;
}

/* ---- a series ---- */

/* Reads what a repetition hands over, and waits for its end. */
static int collect(const char *name, int in, pid_t child, struct bench_result *out_result)
{
    struct bench_result result;
    ssize_t length = read(in, &result, sizeof result);
    int status;

    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    if (WIFSIGNALED(status)) {
        fprintf(stderr, "troupe-bench: %s: %s\n", name,
            WTERMSIG(status) == SIGALRM ? "did not finish in time" : strsignal(WTERMSIG(status)));
        return -1;
    }
    if (WEXITSTATUS(status) != 0 || length != (ssize_t)sizeof result) {
        fprintf(stderr, "troupe-bench: %s: failed\n", name);
        return -1;
    }
    *out_result = result;
    return 0;
}

static int repeat(const struct bench_workload *workload, const struct bench_options *options,
    struct bench_result *out_result)
{
    int ends[2];
    pid_t child;
    int error;

    if (pipe(ends) != 0) {
        perror("troupe-bench: pipe");
        return -1;
    }
    /* What is buffered must not be written twice. */
    (void)fflush(NULL);
    child = fork();
    if (child == 0) {
        int status = repeat_once(workload, options, ends[1]);

        if (status != 0) {
            /* Workers may still run. */
            _exit(status);
        }
        exit(0);
    }
    (void)close(ends[1]);
    if (child < 0) {
        perror("troupe-bench: fork");
        error = -1;
    } else {
        error = collect(workload->name, ends[0], child, out_result);
    }
    (void)close(ends[0]);
    return error;
}

static double ns_per_msg(const struct bench_result *result)
{
    return result->seconds * 1e9 / (double)result->messages;
}

static double figure_of(enum bench_figure figure, const struct bench_result *result)
{
    switch (figure) {
    case BENCH_P50_NS:
        return result->p50_ns;
    case BENCH_BYTES_PER_ACTOR:
        return result->bytes_per_actor;
    case BENCH_EFFICIENCY:
        return result->efficiency;
    default:
        return ns_per_msg(result);
    }
}

/* A line without its end. */
static void print_result(const struct bench_workload *workload, const struct bench_result *result)
{
    printf("workload=%s peer=troupe msgs=%" PRIu64 " secs=%.6f per_sec=%.0f ns_per_msg=%.1f",
        workload->name, result->messages, result->seconds,
        (double)result->messages / result->seconds, ns_per_msg(result));
    switch (workload->figure) {
    case BENCH_P50_NS:
        printf(" p50_ns=%.0f p99_ns=%.0f", result->p50_ns, result->p99_ns);
        break;
    case BENCH_BYTES_PER_ACTOR:
        printf(" bytes_per_actor=%.1f", result->bytes_per_actor);
        break;
    case BENCH_EFFICIENCY:
        printf(" efficiency=%.3f", result->efficiency);
        break;
    default:
        break;
    }
}

/* Sorted by insertion: a series is short. */
static void insert(enum bench_figure figure, struct bench_result *results, unsigned count,
    const struct bench_result *result)
{
    unsigned at = count;

    while (at > 0 && figure_of(figure, &results[at - 1]) > figure_of(figure, result)) {
        results[at] = results[at - 1];
        at--;
    }
    results[at] = *result;
}

int bench_series(const struct bench_workload *workload, const struct bench_options *options)
{
    /* Not from the heap: each repetition's process would inherit it, and be told that it leaks. */
    static struct bench_result results[BENCH_REPS_MAX];
    struct bench_result result;

    for (unsigned i = 0; i < options->reps; i++) {
        if (repeat(workload, options, &result) < 0) {
            return -1;
        }
        insert(workload->figure, results, i, &result);
        if (options->verbose) {
            print_result(workload, &result);
            printf(" rep=%u workers=%u\n", i + 1, options->workers);
        }
    }
    print_result(workload, &results[(options->reps - 1) / 2]);
    printf(" spread=%.4g..%.4g workers=%u\n", figure_of(workload->figure, &results[0]),
        figure_of(workload->figure, &results[options->reps - 1]), options->workers);
    (void)fflush(stdout);
    return 0;
}

/* The first "model name" of /proc/cpuinfo, or "unknown processor". */
static void read_processor(char *name, size_t size)
{
    FILE *file = fopen("/proc/cpuinfo", "r");
    char line[256];

    (void)snprintf(name, size, "unknown processor");
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        const char *value = strchr(line, ':');

        if (strncmp(line, "model name", 10) == 0 && value != NULL && value[1] != '\0') {
            (void)snprintf(name, size, "%.*s", (int)strcspn(value + 2, "\n"), value + 2);
            break;
        }
    }
    if (file != NULL) {
        (void)fclose(file);
    }
}

void bench_print_machine(void)
{
    char processor[128];
    double load = 0;

    read_processor(processor, sizeof processor);
    (void)getloadavg(&load, 1);
    fprintf(stderr, "# troupe %s; %s, %ld online; compiler %s; load before %.2f\n",
        troupe_version(), processor, sysconf(_SC_NPROCESSORS_ONLN), __VERSION__, load);
}
