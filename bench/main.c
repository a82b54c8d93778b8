/* SPDX-License-Identifier: MIT */
/*
 * main.c - troupe-bench: what is asked for on the command line, one workload after the other.
 *
 * Exit status: 0 all went well, 1 a workload failed, 2 the command line is wrong (nothing was run).
 */
#include "harness.h"

#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SCALE_MAX 100.0

static const struct bench_workload *const workloads[] = {
    &bench_pingpong,
    &bench_pingpong_pairs,
    &bench_threadring,
    &bench_counting_b,
    &bench_counting_u,
    &bench_many_to_one_b,
    &bench_many_to_one_u,
    &bench_fj_throughput_b,
    &bench_fj_throughput_u,
    &bench_fj_throughput_batch,
    &bench_fj_create,
    &bench_idle_memory,
    &bench_big,
    &bench_skynet,
    &bench_ask,
    &bench_ask_spaced,
    &bench_steal,
    &bench_chameneos,
    &bench_bank,
    &bench_dictionary,
    &bench_logistic_map,
    &bench_radix_sort,
    &bench_sieve,
    &bench_philosophers,
    &bench_bounded_buffer,
    &bench_queens,
    &bench_sleeping_barber,
    &bench_cobwebbed_tree,
    &bench_quicksort,
    &bench_a_star,
    &bench_matrix_multiply,
    &bench_link_unlink,
    &bench_monitor_demonitor,
    &bench_spawn_monitor_exit,
    &bench_restart,
    &bench_restart_long,
    &bench_fiber_pingpong,
    &bench_fiber_create,
    &bench_waiting_memory,
    &bench_fiber_memory,
    &bench_flow_pipeline,
};

static const char usage_text[] =
    "usage: troupe-bench [options]               run workloads, all of them unless told which\n"
    "       troupe-bench [options] WORKLOAD [SCALE]\n"
    "\n"
    "  --list                 list the workloads\n"
    "  --workload NAME[,...]  run these\n"
    "  --scale X              so many times as much work (default 1)\n"
    "  --workers N            worker threads (default 2)\n"
    "  --reps N               repetitions; the median is printed (default 5)\n"
    "  --verbose              print each repetition, too\n"
    "  --help                 print this\n";

/* What the command line asks for. */
struct request {
    struct bench_options options;
    const struct bench_workload *chosen[TROUPE_COUNT(workloads)]; /* each at most once */
    size_t count;
    bool list;
    bool help;
};

static const struct bench_workload *find(const char *name, size_t length)
{
    for (size_t i = 0; i < TROUPE_COUNT(workloads); i++) {
        const struct bench_workload *workload = workloads[i];

        if ((strlen(workload->name) == length && memcmp(workload->name, name, length) == 0) ||
            (workload->alias != NULL && strlen(workload->alias) == length &&
                memcmp(workload->alias, name, length) == 0)) {
            return workload;
        }
    }
    return NULL;
}

static bool is_chosen(const struct request *request, const struct bench_workload *workload)
{
    for (size_t i = 0; i < request->count; i++) {
        if (request->chosen[i] == workload) {
            return true;
        }
    }
    return false;
}

/* Each of the names, separated by commas, once. */
static bool choose(struct request *request, const char *names)
{
    for (;;) {
        size_t length = strcspn(names, ",");
        const struct bench_workload *workload = find(names, length);

        if (workload == NULL) {
            fprintf(stderr, "troupe-bench: no workload is called \"%.*s\"; --list names them\n",
                (int)length, names);
            return false;
        }
        if (!is_chosen(request, workload)) {
            request->chosen[request->count++] = workload;
        }
        if (names[length] == '\0') {
            return true;
        }
        names += length + 1;
    }
}

static bool read_count(const char *what, const char *text, unsigned max, unsigned *out)
{
    char *end;
    unsigned long value;

    errno = 0;
    value = strtoul(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0 || value < 1 || value > max) {
        fprintf(stderr, "troupe-bench: %s must be a whole number from 1 to %u, not \"%s\"\n", what,
            max, text);
        return false;
    }
    *out = (unsigned)value;
    return true;
}

static bool read_scale(const char *text, double *out)
{
    char *end;
    double value = strtod(text, &end);

    if (end == text || *end != '\0' || !isfinite(value) || value <= 0 || value > SCALE_MAX) {
        fprintf(stderr,
            "troupe-bench: the scale must be a number above 0 and at most %g, not \"%s\"\n",
            SCALE_MAX, text);
        return false;
    }
    *out = value;
    return true;
}

static bool read_option(struct request *request, int option, const char *value)
{
    switch (option) {
    case 'l':
        request->list = true;
        return true;
    case 'h':
        request->help = true;
        return true;
    case 'v':
        request->options.verbose = true;
        return true;
    case 'w':
        return choose(request, value);
    case 's':
        return read_scale(value, &request->options.scale);
    case 'n':
        return read_count(
            "the number of workers", value, TROUPE_WORKERS_MAX, &request->options.workers);
    case 'r':
        return read_count(
            "the number of repetitions", value, BENCH_REPS_MAX, &request->options.reps);
    default:
        fputs(usage_text, stderr);
        return false;
    }
}

/* WORKLOAD [SCALE] behind the options. */
static bool read_short_form(struct request *request, int count, char **words)
{
    if (count == 0) {
        return true;
    }
    if (count > 2 || request->count > 0) {
        fputs(usage_text, stderr);
        return false;
    }
    return choose(request, words[0]) &&
           (count == 1 || read_scale(words[1], &request->options.scale));
}

static bool read_arguments(struct request *request, int argc, char **argv)
{
    static const struct option options[] = {
        {"list", no_argument, NULL, 'l'},
        {"workload", required_argument, NULL, 'w'},
        {"scale", required_argument, NULL, 's'},
        {"workers", required_argument, NULL, 'n'},
        {"reps", required_argument, NULL, 'r'},
        {"verbose", no_argument, NULL, 'v'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    int option;

    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (!read_option(request, option, optarg)) {
            return false;
        }
    }
    return read_short_form(request, argc - optind, argv + optind);
}

static void list(void)
{
    for (size_t i = 0; i < TROUPE_COUNT(workloads); i++) {
        printf("%-18s %s\n", workloads[i]->name, workloads[i]->about);
    }
}

static int run(const struct request *request)
{
    int status = 0;

    bench_print_machine();
    for (size_t i = 0; i < request->count; i++) {
        if (bench_series(request->chosen[i], &request->options) < 0) {
            status = 1;
        }
    }
    return status;
}

int main(int argc, char **argv)
{
    struct request request = {.options = {.scale = 1, .workers = 2, .reps = 5}};

    if (!read_arguments(&request, argc, argv)) {
        return 2;
    }
    if (request.help) {
        fputs(usage_text, stdout);
        return 0;
    }
    if (request.list) {
        list();
        return 0;
    }
    if (request.count == 0) {
        memcpy(request.chosen, workloads, sizeof request.chosen);
        request.count = TROUPE_COUNT(workloads);
    }
    return run(&request);
}
