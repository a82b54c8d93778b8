/* SPDX-License-Identifier: MIT */
/*
 * main.c - explores every part, and looks whether each planted bug is found.
 */
#include <getopt.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "test/explore/engine.h"

static const struct explore_part *const parts[] = {
    &explore_mailbox,
    &explore_charge,
    &explore_runq,
    &explore_inject,
    &explore_table,
    &explore_pause,
    &explore_pool,
    &explore_timer,
    &explore_monitor,
    &explore_alias,
    &explore_call,
    &explore_blocking,
    &explore_room,
    &explore_lease,
    &explore_pressure,
    &explore_reference,
    &explore_gate,
    &explore_worker,
    &explore_thread,
};

/** Runs at random until a planted bug counts as not found. */
#define PLANT_RANDOM 20000

/** Of a run that failed the last ones are told; --replay tells all. */
#define STEPS_TOLD 100

static const char usage[] =
    "usage: explore [options] [PART...]     all parts\n"
    "\n"
    "  -d, --deviations N   tries runs of at most N deviations, also where "
    "a scenario wants more (mostly 3)\n"
    "  -m, --most N         at most so many runs of a scenario in order; "
    "not to be through is a failure; 0: no limit\n"
    "  -r, --random N       and so many at random (2000)\n"
    "  -s, --seed N         of those (1)\n"
    "  -n, --only TEXT      scenarios and plants whose name has it\n"
    "  -p, --share I/N      only the I-th of N shares of all this, I from 1\n"
    "  -w, --replay S       runs the schedule S of the scenario that "
    "--only names, and tells its steps\n"
    "  -t, --tap            as the Test Anything Protocol\n"
    "  -a, --audit          takes away the order of one access after the "
    "other, and says which nobody misses\n"
    "  -l, --list           names all scenarios and plants\n";

static struct {
    struct explore_bounds bounds;
    const char *only;
    unsigned share; /* counted from 0 */
    unsigned shares;
    const char *replay;
    bool tap;
    bool list;
    bool audit;
} options = {.bounds = {.random = 2000, .seed = 1}, .shares = 1};

static struct {
    unsigned passed;
    unsigned failed;
    unsigned plants;
    unsigned found;
    uint64_t in_order;
    uint64_t at_random;
} counts;

static bool is_wanted(const char *name)
{
    return options.only == NULL || strstr(name, options.only) != NULL;
}

/* Whether the scenario or plant that comes next is to be run: it is in our share. */
static bool is_ours(const char *name)
{
    static unsigned number;

    return number++ % options.shares == options.share && is_wanted(name);
}

__attribute__((format(printf, 2, 3))) static void say(bool good, const char *format, ...)
{
    va_list list;
    unsigned number;

    counts.passed += good;
    counts.failed += !good;
    number = counts.passed + counts.failed;
    if (options.tap) {
        printf("%sok %u - ", good ? "" : "not ", number);
    } else {
        printf("%s", good ? "" : "FAILED: ");
    }
    va_start(list, format);
    vprintf(format, list);
    va_end(list);
    printf("\n");
    fflush(stdout);
}

/* The end of `text`, which is what matters. */
static const char *last_lines(const char *text, size_t length)
{
    const char *from = text + length;

    for (unsigned lines = 0; from > text && (lines <= STEPS_TOLD || from[-1] != '\n'); from--) {
        lines += from[-1] == '\n';
    }
    return from;
}

/* How it came to that, step by step. */
static void tell_steps(const struct explore_scenario *scenario, const char *schedule)
{
    FILE *to = options.tap ? stderr : stdout;
    char *text = NULL;
    size_t length = 0;
    FILE *steps = open_memstream(&text, &length);

    if (steps != NULL) {
        (void)explore_replay(scenario, schedule, steps);
        fclose(steps);
        fputs(last_lines(text, length), to);
        free(text);
    }
    fprintf(to, "  again: explore --only '%s' --replay '%s'\n", scenario->name, schedule);
}

static bool does_fail_again(
    const struct explore_scenario *scenario, const struct explore_result *result)
{
    const char *again = explore_replay(scenario, result->schedule, NULL);

    return again != NULL && strcmp(again, result->what) == 0;
}

static void explore_scenario(const struct explore_part *part, const struct explore_scenario *one)
{
    struct explore_result result;

    explore_search(one, &options.bounds, &result);
    counts.in_order += result.exhaustive;
    counts.at_random += result.random;
    if (result.failed) {
        say(false, "%s: %s: %s%s", part->name, one->name, result.what,
            does_fail_again(one, &result) ? "" : " (and not when it is replayed)");
        tell_steps(one, result.schedule);
    } else if (!result.complete) {
        say(false, "%s: %s: not through after %" PRIu64 " interleavings", part->name, one->name,
            result.exhaustive);
    } else {
        say(true,
            "%s: %s: %" PRIu64 " interleavings of at most %u deviations, %" PRIu64 " at random",
            part->name, one->name, result.exhaustive, explore_deviations(one, &options.bounds),
            result.random);
    }
}

/* Runs without it, so that its accesses are known. */
static bool plant(const struct explore_plant *plant)
{
    struct explore_bounds bounds = {.deviations = 1, .random = 200, .seed = options.bounds.seed};
    struct explore_result result;

    explore_search(plant->scenario, &bounds, &result);
    return explore_plant_set(plant);
}

/* Fewer deviations first: most are found by one or two. */
static void find_plant(const struct explore_plant *plant, struct explore_result *out_result)
{
    struct explore_bounds bounds = options.bounds;
    unsigned most = explore_deviations(plant->scenario, &options.bounds);

    bounds.random = 0;
    for (bounds.deviations = 1; bounds.deviations <= most; bounds.deviations++) {
        explore_search(plant->scenario, &bounds, out_result);
        counts.in_order += out_result->exhaustive;
        if (out_result->failed) {
            return;
        }
    }
    bounds.random = PLANT_RANDOM;
    bounds.most = 1;
    explore_search(plant->scenario, &bounds, out_result);
    counts.at_random += out_result->random;
}

static void explore_plant(const struct explore_part *part, const struct explore_plant *one)
{
    struct explore_result result;
    bool fails_again;

    counts.plants++;
    if (!plant(one)) {
        say(false, "%s: planted: %s: no such access in %s", part->name, one->name, one->function);
        return;
    }
    find_plant(one, &result);
    fails_again = result.failed && does_fail_again(one->scenario, &result);
    (void)explore_plant_set(NULL);
    if (!result.failed) {
        say(false, "%s: planted: %s: not found", part->name, one->name);
    } else if (!fails_again) {
        say(false, "%s: planted: %s: found by %s, which does not fail again", part->name, one->name,
            result.schedule);
    } else if (strstr(result.what, one->seen) == NULL) {
        say(false, "%s: planted: %s: found for another reason: %s", part->name, one->name,
            result.what);
    } else {
        counts.found++;
        say(true, "%s: planted: %s: found by %s: %s", part->name, one->name, result.schedule,
            result.what);
    }
}

static void explore_part(const struct explore_part *part)
{
    for (unsigned i = 0; i < part->scenario_count; i++) {
        if (is_ours(part->scenarios[i].name)) {
            explore_scenario(part, &part->scenarios[i]);
        }
    }
    for (unsigned i = 0; i < part->plant_count; i++) {
        if (is_ours(part->plants[i].name)) {
            explore_plant(part, &part->plants[i]);
        }
    }
}

static void list_part(const struct explore_part *part)
{
    for (unsigned i = 0; i < part->scenario_count; i++) {
        printf("%s: %s\n", part->name, part->scenarios[i].name);
    }
    for (unsigned i = 0; i < part->plant_count; i++) {
        printf("%s: planted: %s\n", part->name, part->plants[i].name);
    }
}

static void look_at(const struct explore_part *part)
{
    if (options.list) {
        list_part(part);
    } else if (options.audit) {
        explore_audit(part, &options.bounds);
    } else {
        explore_part(part);
    }
}

static int replay_one(const struct explore_part *part, const struct explore_scenario *scenario)
{
    const char *what;

    printf("%s: %s\n", part->name, scenario->name);
    what = explore_replay(scenario, options.replay, stdout);
    printf("%s\n", what != NULL ? what : "nothing failed");
    return what != NULL;
}

/* Of the scenario, or of the planted bug, with this name. */
static int replay(void)
{
    for (unsigned p = 0; options.only != NULL && p < EXPLORE_COUNT(parts); p++) {
        const struct explore_part *part = parts[p];

        for (unsigned i = 0; i < part->scenario_count; i++) {
            if (strcmp(part->scenarios[i].name, options.only) == 0) {
                return replay_one(part, &part->scenarios[i]);
            }
        }
        for (unsigned i = 0; i < part->plant_count; i++) {
            if (strcmp(part->plants[i].name, options.only) == 0) {
                return plant(&part->plants[i]) ? replay_one(part, part->plants[i].scenario) : 2;
            }
        }
    }
    fprintf(stderr,
        "explore: --replay wants --only and the whole name of a scenario or a planted bug\n");
    return 2;
}

static bool is_named(const struct explore_part *part, int argc, char **argv)
{
    for (int i = optind; i < argc; i++) {
        if (strcmp(argv[i], part->name) == 0) {
            return true;
        }
    }
    return optind == argc;
}

static uint64_t number(const char *text)
{
    char *end;
    uint64_t value = strtoull(text, &end, 10);

    if (*text == '\0' || *end != '\0') {
        fprintf(stderr, "explore: '%s' is not a number\n\n%s", text, usage);
        exit(2);
    }
    return value;
}

static void read_share(const char *text)
{
    if (sscanf(text, "%u/%u", &options.share, &options.shares) != 2 || options.share-- < 1 ||
        options.share >= options.shares) {
        fprintf(stderr, "explore: '%s' is not a share, as 1/2 is\n\n%s", text, usage);
        exit(2);
    }
}

static void read_options(int argc, char **argv)
{
    static const struct option longs[] = {
        {"deviations", required_argument, NULL, 'd'},
        {"most", required_argument, NULL, 'm'},
        {"random", required_argument, NULL, 'r'},
        {"seed", required_argument, NULL, 's'},
        {"only", required_argument, NULL, 'n'},
        {"share", required_argument, NULL, 'p'},
        {"replay", required_argument, NULL, 'w'},
        {"tap", no_argument, NULL, 't'},
        {"list", no_argument, NULL, 'l'},
        {"audit", no_argument, NULL, 'a'},
        {NULL, 0, NULL, 0},
    };
    int option;

    while ((option = getopt_long(argc, argv, "d:m:r:s:n:p:w:tla", longs, NULL)) != -1) {
        switch (option) {
        case 'd':
            options.bounds.deviations = (unsigned)number(optarg);
            break;
        case 'm':
            options.bounds.most = number(optarg);
            break;
        case 'r':
            options.bounds.random = number(optarg);
            break;
        case 's':
            options.bounds.seed = number(optarg);
            break;
        case 'n':
            options.only = optarg;
            break;
        case 'p':
            read_share(optarg);
            break;
        case 'w':
            options.replay = optarg;
            break;
        case 't':
            options.tap = true;
            break;
        case 'l':
            options.list = true;
            break;
        case 'a':
            options.audit = true;
            break;
        default:
            fputs(usage, stderr);
            exit(2);
        }
    }
}

static void print_counts(void)
{
    printf("%s%" PRIu64 " interleavings in order, %" PRIu64
           " at random; %u planted bugs found of %u\n",
        options.tap ? "# " : "counts: ", counts.in_order, counts.at_random, counts.found,
        counts.plants);
    if (options.tap) {
        printf("1..%u\n", counts.passed + counts.failed);
    } else {
        printf("%u passed, %u failed\n", counts.passed, counts.failed);
    }
}

int main(int argc, char **argv)
{
    read_options(argc, argv);
    if (options.replay != NULL) {
        return replay();
    }
    for (unsigned i = 0; i < EXPLORE_COUNT(parts); i++) {
        if (is_named(parts[i], argc, argv)) {
            look_at(parts[i]);
        }
    }
    if (options.list || options.audit) {
        return 0;
    }
    print_counts();
    return counts.failed > 0 || counts.passed == 0;
}
