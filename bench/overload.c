/* SPDX-License-Identifier: MIT */
/*
 * overload.c - troupe-overload: what becomes of work when more of it comes than can be done.
 *
 * One actor does work that takes a fixed time; a foreign thread offers it at random moments, so many times as often as the actor
 * could do it, and does not wait for anything.  In front of the actor stands a gate, and once, for comparison, none.  A row is
 * a runtime of its own; its first half second is not counted.
 *
 * Exit status: 0 all went well, 1 a row failed, 2 the command line is wrong (nothing was run).
 */
#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <troupe.h>

#define NS_PER_S 1000000000U
#define SERVICE_NS 50000U
#define TARGET_US 300U
#define LIMIT 1024U
#define SETTLE_NS (NS_PER_S / 2)
#define WANTED_NS 20000000U /* what is done later than this after it was offered is of no use */
#define SECONDS_DEFAULT 2U
#define SECONDS_MAX 600U
#define STOP_MS 60000

/* Times, in buckets of 1/32 of a power of two: 3 % wide. */
#define FINE 32U
#define BUCKETS (64U * FINE)

struct times {
    uint64_t counts[BUCKETS];
    uint64_t count;
};

struct row {
    double factor; /* of the capacity */
    bool gated;
    /* What came out. */
    double per_sec; /* done, and in time */
    uint64_t offered;
    uint64_t refused;
    uint64_t p50_ns;
    uint64_t p99_ns;
    uint64_t refuse_p99_ns;
    uint64_t rss_bytes; /* growth */
};

/* A row as it runs. */
struct play {
    struct troupe_runtime *runtime;
    struct troupe_gate *gate; /* or NULL */
    troupe_pid pid;
    double per_ns; /* offered */
    uint64_t count_from_ns;
    uint64_t end_ns;
    uint64_t offered;
    uint64_t refused;
    struct times refusals; /* the generator's */
    struct times done;     /* the actor's */
    uint64_t in_time;      /* the actor's */
    int error;
};

static const struct troupe_type work = TROUPE_TYPE(uint64_t);

/* Of work that takes SERVICE_NS. */
static uint64_t steps;

static uint64_t now_ns(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

/* ---- times ---- */

static unsigned bucket_of(uint64_t ns)
{
    unsigned power;

    if (ns < FINE) {
        return (unsigned)ns;
    }
    power = 63 - (unsigned)__builtin_clzll(ns);
    return (power - 4) * FINE + (unsigned)((ns >> (power - 5)) - FINE);
}

/* The largest time of a bucket. */
static uint64_t time_of(unsigned bucket)
{
    if (bucket < FINE) {
        return bucket;
    }
    return ((uint64_t)(bucket % FINE + FINE + 1) << (bucket / FINE - 1)) - 1;
}

static void add_time(struct times *times, uint64_t ns)
{
    times->counts[bucket_of(ns)]++;
    times->count++;
}

static uint64_t percentile(const struct times *times, double part)
{
    uint64_t rank = (uint64_t)((double)times->count * part);
    uint64_t seen = 0;

    for (unsigned i = 0; i < BUCKETS; i++) {
        seen += times->counts[i];
        if (seen > rank) {
            return time_of(i);
        }
    }
    return 0;
}

/* ---- the work ---- */

static uint64_t do_steps(uint64_t count)
{
    uint64_t x = count;

    for (uint64_t i = 0; i < count; i++) {
        x = x * 6364136223846793005U + 1442695040888963407U;
        __asm__ volatile("" : "+r"(x));
    }
    return x;
}

/* The fastest of many tries: without what else the machine does. */
static void calibrate(void)
{
    uint64_t least_ns = UINT64_MAX;
    const uint64_t count = 100000;

    for (unsigned i = 0; i < 100; i++) {
        uint64_t start_ns = now_ns();
        uint64_t ns;

        (void)do_steps(count);
        ns = now_ns() - start_ns;
        least_ns = ns < least_ns ? ns : least_ns;
    }
    steps = count * SERVICE_NS / (least_ns > 0 ? least_ns : 1);
}

static int server_init(struct troupe_actor *self, void *state, const void *arg)
{
    (void)self;
    *(struct play **)state = (struct play *)(uintptr_t)arg;
    return TROUPE_OK;
}

static int server_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct play *play = *(struct play **)state;
    uint64_t end_ns;

    (void)self;
    if (!troupe_is(msg, &work)) {
        return TROUPE_EUNKNOWN;
    }
    (void)do_steps(steps);
    end_ns = now_ns();
    if (end_ns >= play->count_from_ns && end_ns < play->end_ns) {
        uint64_t ns = end_ns - *(const uint64_t *)troupe_body(msg);

        add_time(&play->done, ns);
        play->in_time += ns <= WANTED_NS;
    }
    return TROUPE_OK;
}

static const struct troupe_behaviour server = {
    .name = "server",
    .state_size = sizeof(struct play *),
    .init = server_init,
    .receive = server_receive,
    .capacity = TROUPE_CAPACITY_MAX,
    .capacity_bytes = TROUPE_CAPACITY_BYTES_MAX,
};

/* ---- who offers it ---- */

/* Whether it is let in. */
static bool enter(struct play *play, uint64_t start_ns, struct troupe_permit *out_permit)
{
    if (play->gate == NULL) {
        *out_permit = (struct troupe_permit){0};
        return true;
    }
    if (troupe_gate_enter(play->gate, NULL, out_permit) == TROUPE_OK) {
        return true;
    }
    if (start_ns >= play->count_from_ns) {
        add_time(&play->refusals, now_ns() - start_ns);
        play->refused++;
    }
    return false;
}

static int offer(struct play *play)
{
    uint64_t start_ns = now_ns();
    struct troupe_message *msg = NULL;
    struct troupe_permit permit;
    int error;

    play->offered += start_ns >= play->count_from_ns;
    if (!enter(play, start_ns, &permit)) {
        return TROUPE_OK;
    }
    error = troupe_message_create(play->runtime, &work, 0, &msg);
    if (error == TROUPE_OK && permit.gate != NULL) {
        error = troupe_permit_attach(permit, &msg);
    }
    if (error < 0) {
        troupe_message_destroy(msg);
        troupe_permit_return(permit);
        return error;
    }
    *(uint64_t *)troupe_body(msg) = start_ns;
    error = troupe_try_send(play->runtime, play->pid, msg);
    if (error < 0) {
        troupe_message_destroy(msg);
    }
    return error;
}

static void *generate(void *arg)
{
    struct play *play = arg;
    unsigned short seed[3] = {1, 2, 3};
    double next_ns = (double)now_ns();

    while (play->error == TROUPE_OK && now_ns() < play->end_ns) {
        /* Independent of each other, as those of many clients are. */
        next_ns += -log(1 - erand48(seed)) / play->per_ns;
        while ((double)now_ns() < next_ns) {
        }
        play->error = offer(play);
    }
    return NULL;
}

/* ---- a row ---- */

static uint64_t resident(void)
{
    FILE *file = fopen("/proc/self/statm", "r");
    unsigned long size = 0;
    unsigned long pages = 0;

    if (file != NULL) {
        if (fscanf(file, "%lu %lu", &size, &pages) != 2) {
            pages = 0;
        }
        (void)fclose(file);
    }
    return (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

static int open_play(struct play *play, const struct row *row)
{
    struct troupe_runtime_options options = {.workers = 1};
    struct troupe_gate_options gate = {.limit = LIMIT, .target_us = TARGET_US};
    struct troupe_spawn_options spawn = {.behaviour = &server, .arg = play};
    int error;

    TROUPE_TRY(troupe_runtime_create(&options, &play->runtime));
    error = troupe_runtime_start(play->runtime);
    if (error == TROUPE_OK && row->gated) {
        error = troupe_gate_create(play->runtime, &gate, &play->gate);
    }
    if (error == TROUPE_OK) {
        error = troupe_runtime_spawn(play->runtime, &spawn, &play->pid);
    }
    return error;
}

static int close_play(struct play *play)
{
    int error = TROUPE_OK;

    if (play->runtime == NULL) {
        return TROUPE_OK;
    }
    if (play->pid != TROUPE_NOBODY &&
        troupe_runtime_exit(play->runtime, play->pid, TROUPE_EXIT_KILL) < 0) {
        fprintf(stderr, "troupe-overload: what is queued will take long\n");
    }
    error = troupe_runtime_stop(play->runtime, STOP_MS);
    troupe_gate_destroy(play->gate);
    (void)troupe_runtime_destroy(play->runtime);
    return error;
}

static void note(struct row *row, const struct play *play, unsigned seconds)
{
    row->per_sec = (double)play->in_time / seconds;
    row->offered = play->offered;
    row->refused = play->refused;
    row->p50_ns = percentile(&play->done, 0.5);
    row->p99_ns = percentile(&play->done, 0.99);
    row->refuse_p99_ns = percentile(&play->refusals, 0.99);
}

static int run_row(struct row *row, unsigned seconds)
{
    struct play *play = calloc(1, sizeof *play);
    uint64_t before = resident();
    pthread_t thread;
    int error;

    if (play == NULL) {
        return TROUPE_ENOMEM;
    }
    error = open_play(play, row);
    if (error == TROUPE_OK) {
        play->per_ns = row->factor / SERVICE_NS;
        play->count_from_ns = now_ns() + SETTLE_NS;
        play->end_ns = play->count_from_ns + (uint64_t)seconds * NS_PER_S;
        error = pthread_create(&thread, NULL, generate, play) == 0 ? TROUPE_OK : TROUPE_ESYSTEM;
    }
    if (error == TROUPE_OK) {
        (void)pthread_join(thread, NULL);
        error = play->error;
        row->rss_bytes = resident() - before;
    }
    if (error == TROUPE_OK) {
        error = close_play(play);
    } else {
        (void)close_play(play);
    }
    note(row, play, seconds);
    free(play);
    return error;
}

/* ---- what is printed ---- */

/* As README.md says: the permits, the messages that have one, and what pools and stacks of two threads take. */
static uint64_t bound_bytes(void)
{
    return (uint64_t)LIMIT * (32 + 128) + (UINT64_C(2) << 20);
}

static void print_words(const struct row *row, const struct row *unloaded, double peak)
{
    printf("workload=overload peer=troupe gate=%s offered=%.1f per_sec=%.0f goodput=%.3f "
           "p50_ns=%llu p99_ns=%llu p99_ratio=%.2f refused=%.3f refuse_p99_ns=%llu "
           "rss_bytes=%llu bound_bytes=%llu workers=1\n",
        row->gated ? "yes" : "no", row->factor, row->per_sec, row->per_sec / peak,
        (unsigned long long)row->p50_ns, (unsigned long long)row->p99_ns,
        (double)row->p99_ns / (double)unloaded->p99_ns,
        row->offered > 0 ? (double)row->refused / (double)row->offered : 0.0,
        (unsigned long long)row->refuse_p99_ns, (unsigned long long)row->rss_bytes,
        (unsigned long long)bound_bytes());
    (void)fflush(stdout);
}

static void print_table(
    const struct row *rows, size_t count, const struct row *unloaded, double peak)
{
    fprintf(stderr, "\n%8s %5s %9s %8s %9s %9s %7s %8s %11s %9s\n", "offered", "gate", "done/s",
        "of peak", "p50 us", "p99 us", "x idle", "refused", "refusal us", "RSS KiB");
    for (size_t i = 0; i < count; i++) {
        const struct row *row = &rows[i];

        fprintf(stderr, "%7.1fx %5s %9.0f %7.1f%% %9.1f %9.1f %7.2f %7.1f%% %11.1f %9llu\n",
            row->factor, row->gated ? "yes" : "no", row->per_sec, row->per_sec / peak * 100,
            (double)row->p50_ns / 1000, (double)row->p99_ns / 1000,
            (double)row->p99_ns / (double)unloaded->p99_ns,
            row->offered > 0 ? (double)row->refused / (double)row->offered * 100 : 0.0,
            (double)row->refuse_p99_ns / 1000, (unsigned long long)(row->rss_bytes / 1024));
    }
    fprintf(stderr,
        "\nWork takes %u us; the gate has %u permits and a target of %u us.  Done: within %u ms.  "
        "Refusal: "
        "p99 of the time to say no.  RSS: growth, of at most %llu KiB with the gate.\n",
        SERVICE_NS / 1000, LIMIT, TARGET_US, WANTED_NS / 1000000,
        (unsigned long long)(bound_bytes() / 1024));
}

static bool read_seconds(int argc, char **argv, unsigned *out_seconds)
{
    char *end;
    unsigned long value;

    *out_seconds = SECONDS_DEFAULT;
    if (argc == 1) {
        return true;
    }
    errno = 0;
    value = strtoul(argv[1], &end, 10);
    if (argc > 2 || errno != 0 || argv[1][0] < '0' || argv[1][0] > '9' || *end != '\0' ||
        value < 1 || value > SECONDS_MAX) {
        fprintf(stderr,
            "usage: troupe-overload [SECONDS]     each row takes so long [%u], from 1 to %u\n",
            SECONDS_DEFAULT, SECONDS_MAX);
        return false;
    }
    *out_seconds = (unsigned)value;
    return true;
}

int main(int argc, char **argv)
{
    struct row rows[] = {
        {.factor = 0.3, .gated = true},
        {.factor = 1, .gated = true},
        {.factor = 2, .gated = true},
        {.factor = 5, .gated = true},
        {.factor = 10, .gated = true},
        {.factor = 2, .gated = false},
    };
    double peak = 0;
    unsigned seconds;

    if (!read_seconds(argc, argv, &seconds)) {
        return 2;
    }
    calibrate();
    for (size_t i = 0; i < TROUPE_COUNT(rows); i++) {
        int error = run_row(&rows[i], seconds);

        if (error < 0) {
            fprintf(stderr, "troupe-overload: %.1fx: %s\n", rows[i].factor, troupe_strerror(error));
            return 1;
        }
        peak = rows[i].per_sec > peak ? rows[i].per_sec : peak;
    }
    for (size_t i = 0; i < TROUPE_COUNT(rows); i++) {
        print_words(&rows[i], &rows[0], peak);
    }
    print_table(rows, TROUPE_COUNT(rows), &rows[0], peak);
    return 0;
}
