/* SPDX-License-Identifier: MIT */
/*
 * main.c - runs each scenario again and again, and lets another call fail each time.
 *
 * A scenario is run once without faults and its passes are written down (faults.h).  Then a trial for each pass, for
 * each errno with which its call may fail, and where that says that a resource is used up also with all later calls
 * that want it failing as well.  A trial is a process of its own, so that a crash or a hang says which it was, and what
 * happens once in a process happens in each.  It has to end with the books balanced, every block given back, no
 * descriptor and no thread left, and each error one that its header lists.
 *
 * The shallow run takes of the passes that come by the same calls one, and one more that the seed chooses: every path
 * to every site.  The full one takes all.
 *
 * usage: faults SITES [--full] [--seed N] [--scenario NAME
 *            [--at CALL@FILE:LINE --pass N [--way N] [--lasts RESOURCE]]]
 */
#include <dirent.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "scenario.h"
#include "test/support/random.h"

/** A trial that takes longer hangs. */
#define TRIAL_LIMIT_S 60

#define FDS_MAX 256

/** Trials at the same time: they mostly wait, for grace periods. */
#define LANES 8

/* One trial under way.  Shared by parent and child. */
struct lane {
    struct fault_trial trial;
    const struct scenario *scenario;
    pid_t child; /* 0: none */
    char complaint[400];
    _Atomic bool complained;
};

/* All that parent and children share. */
struct shared {
    struct lane lanes[LANES];
    struct fault_counts counts;
    struct fault_trace trace;
};

static struct shared *shared;

/* The lane of this process, in a child. */
static struct lane *lane;

struct options {
    const char *scenario;     /* or NULL: all */
    struct fault_trial trial; /* this one only, if it has a pass */
    uint64_t seed;
    bool full;
};

static unsigned trials_passed;
static unsigned trials_failed;
static unsigned trials_missed; /* the pass did not come: threads went another way */

static void complain(struct lane *in, const char *format, va_list list)
{
    if (!atomic_exchange(&in->complained, true)) {
        vsnprintf(in->complaint, sizeof in->complaint, format, list);
    }
}

void scene_complain(const char *format, ...)
{
    va_list list;

    va_start(list, format);
    complain(lane, format, list);
    va_end(list);
}

/* ---- what a trial must not leave behind ---- */

/* Which descriptors are open. */
static void list_fds(bool out_open[FDS_MAX])
{
    DIR *dir = opendir("/proc/self/fd");
    struct dirent *entry;

    memset(out_open, 0, FDS_MAX * sizeof *out_open);
    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        int fd = atoi(entry->d_name);

        if (entry->d_name[0] != '.' && fd != dirfd(dir) && fd < FDS_MAX) {
            out_open[fd] = true;
        }
    }
    closedir(dir);
}

/* ---- trials ---- */

static void run_child(void)
{
    bool before[FDS_MAX];
    bool after[FDS_MAX];

    alarm(TRIAL_LIMIT_S);
    list_fds(before);
    fault_begin(&lane->trial);
    lane->scenario->run();
    fault_begin(NULL);
    list_fds(after);
    for (int fd = 0; fd < FDS_MAX; fd++) {
        if (before[fd] != after[fd]) {
            scene_complain("descriptor %d is %s", fd, after[fd] ? "left open" : "closed");
        }
    }
    if (fault_blocks_out() > 0) {
        scene_complain("%zu blocks of malloc are left", fault_blocks_out());
    }
    if (fault_threads_out() > 0) {
        scene_complain("%zu threads were not waited for", fault_threads_out());
    }
    exit(EXIT_SUCCESS);
}

static void print_failure(const struct lane *of)
{
    const struct fault_trial *trial = &of->trial;
    const struct fault_site *site = &fault_sites[trial->site];

    if (trial->pass == 0) {
        printf("not ok: %s, without a fault: %s\n", of->scenario->name, of->complaint);
        return;
    }
    printf("not ok: --scenario %s --at %s@%s --pass %u --way %u --lasts %s: %s: %s\n",
        of->scenario->name, site->call->name, site->where, trial->pass, trial->way,
        fault_resource_names[trial->lasts], strerrorname_np(site->call->ways[trial->way].error),
        of->complaint);
}

static void judge(struct lane *of, int status)
{
    lane = of;
    if (WIFSIGNALED(status)) {
        scene_complain(WTERMSIG(status) == SIGALRM ? "hangs" : "dies of signal %d (%s)",
            WTERMSIG(status), strsignal(WTERMSIG(status)));
    } else if (WEXITSTATUS(status) != EXIT_SUCCESS) {
        scene_complain("ends with status %d", WEXITSTATUS(status));
    }
    if (atomic_load(&of->complained)) {
        trials_failed++;
        print_failure(of);
    } else if (of->trial.pass > 0 && atomic_load(&of->trial.hits) == 0) {
        trials_missed++;
    } else {
        trials_passed++;
    }
}

/* Waits for one trial to end; NULL: none is under way. */
static struct lane *reap(void)
{
    int status;
    pid_t child = wait(&status);

    for (size_t i = 0; i < LANES && child > 0; i++) {
        if (shared->lanes[i].child == child) {
            shared->lanes[i].child = 0;
            judge(&shared->lanes[i], status);
            return &shared->lanes[i];
        }
    }
    return NULL;
}

static struct lane *free_lane(void)
{
    for (size_t i = 0; i < LANES; i++) {
        if (shared->lanes[i].child == 0) {
            return &shared->lanes[i];
        }
    }
    return reap();
}

/* Begins a trial; its `trial` says what to do. */
static void launch(const struct scenario *scenario, const struct fault_trial *trial)
{
    struct lane *in = free_lane();
    pid_t child;

    *in = (struct lane){.trial = *trial, .scenario = scenario};
    in->trial.counts = &shared->counts;
    fflush(NULL);
    child = fork();
    if (child == 0) {
        lane = in;
        run_child();
    }
    if (child < 0) {
        perror("faults");
        exit(2);
    }
    in->child = child;
}

/* Fails a pass of a site in every way. */
static void launch_ways(const struct scenario *scenario, int site, unsigned pass, bool full)
{
    const struct fault_way *ways = fault_sites[site].call->ways;
    struct fault_trial trial = {.site = site, .pass = pass};

    if (fault_sites[site].call->follows) {
        return;
    }
    for (trial.way = 0; ways[trial.way].error != 0; trial.way++) {
        trial.lasts = FAULT_NOTHING;
        launch(scenario, &trial);
        trial.lasts = ways[trial.way].resource;
        if (trial.lasts != FAULT_NOTHING &&
            (full || !scenario->waits || trial.lasts != FAULT_MEMORY)) {
            launch(scenario, &trial);
        }
    }
}

/* One pass of the run that was traced. */
struct step {
    uint16_t site;
    unsigned pass;
    bool chosen;
};

/* Passes by the same calls, and which of them a shallow run takes beside the first. */
struct path {
    uint32_t hash;
    uint16_t site;
    unsigned count;
    unsigned second; /* index of its step */
};

static size_t find_path(const struct path *paths, size_t count, uint16_t site, uint32_t hash)
{
    size_t i = 0;

    while (i < count && (paths[i].hash != hash || paths[i].site != site)) {
        i++;
    }
    return i;
}

/* Makes steps of the trace; the shallow run's are chosen. */
static void read_trace(struct step *out_steps, unsigned count, struct test_random *random)
{
    static unsigned passes[FAULT_SITES_MAX];
    struct path *paths = calloc(count + 1, sizeof *paths);
    size_t path_count = 0;

    memset(passes, 0, sizeof passes);
    for (unsigned i = 0; i < count; i++) {
        uint16_t site = shared->trace.site[i];
        size_t at = find_path(paths, path_count, site, shared->trace.path[i]);

        out_steps[i] = (struct step){site, ++passes[site], at == path_count};
        if (at == path_count) {
            paths[path_count++] =
                (struct path){.hash = shared->trace.path[i], .site = site, .second = i};
        }
        /* Each of the later ones is as likely as the others. */
        if (paths[at].count++ > 0 && test_below(random, paths[at].count - 1) == 0) {
            paths[at].second = i;
        }
    }
    for (size_t i = 0; i < path_count; i++) {
        out_steps[paths[i].second].chosen = true;
    }
    free(paths);
}

static void run_scenario(
    const struct scenario *scenario, const struct options *options, struct test_random *random)
{
    const struct fault_trial plain = {.trace = &shared->trace};
    unsigned before = trials_failed;
    struct lane *done;
    struct step *steps;
    unsigned count;

    launch(scenario, &plain);
    done = reap();
    if (done == NULL || trials_failed > before) {
        return;
    }
    count = atomic_load(&done->trial.pass_count);
    count = count < FAULT_PASSES_MAX ? count : FAULT_PASSES_MAX;
    steps = calloc(count + 1, sizeof *steps);
    read_trace(steps, count, random);
    for (unsigned i = 0; i < count; i++) {
        if (options->full || steps[i].chosen) {
            launch_ways(scenario, steps[i].site, steps[i].pass, options->full);
        }
    }
    while (reap() != NULL) {
    }
    free(steps);
}

/* ---- all of it ---- */

static uint64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static unsigned count_sites(const _Atomic unsigned *counts)
{
    unsigned count = 0;

    for (size_t i = 0; i < fault_site_count; i++) {
        count += atomic_load(&counts[i]) > 0;
    }
    return count;
}

static void print_unfailed(void)
{
    for (size_t i = 0; i < fault_site_count; i++) {
        if (atomic_load(&shared->counts.failed[i]) == 0) {
            printf("not ok: %s@%s was never made to fail%s\n", fault_sites[i].call->name,
                fault_sites[i].where,
                atomic_load(&shared->counts.reached[i]) == 0 ? ", nor reached" : "");
        }
    }
}

/* "call@file:line"; -1: no such site. */
static int site_of(const char *text)
{
    for (size_t i = 0; i < fault_site_count; i++) {
        size_t length = strlen(fault_sites[i].call->name);

        if (strncmp(text, fault_sites[i].call->name, length) == 0 && text[length] == '@' &&
            strcmp(text + length + 1, fault_sites[i].where) == 0) {
            return (int)i;
        }
    }
    return -1;
}

static enum fault_resource resource_of(const char *name)
{
    enum fault_resource resource = 0;

    while (resource < FAULT_RESOURCES && strcmp(fault_resource_names[resource], name) != 0) {
        resource++;
    }
    return resource;
}

/* Takes one option and its value.  How many words that is; 0: none of ours. */
static int read_option(const char *word, const char *value, struct options *out)
{
    if (strcmp(word, "--full") == 0) {
        out->full = true;
        return 1;
    }
    if (strcmp(word, "--seed") == 0) {
        out->seed = strtoull(value, NULL, 10);
    } else if (strcmp(word, "--scenario") == 0) {
        out->scenario = value;
    } else if (strcmp(word, "--at") == 0) {
        out->trial.site = site_of(value);
    } else if (strcmp(word, "--pass") == 0) {
        out->trial.pass = (unsigned)strtoul(value, NULL, 10);
    } else if (strcmp(word, "--way") == 0) {
        out->trial.way = (unsigned)strtoul(value, NULL, 10);
    } else if (strcmp(word, "--lasts") == 0) {
        out->trial.lasts = resource_of(value);
    } else {
        return 0;
    }
    return 2;
}

/* After the list of sites has been read. */
static bool read_options(int count, char **words, struct options *out)
{
    *out = (struct options){.seed = 1};
    for (int i = 2; i < count;) {
        int taken = read_option(words[i], i + 1 < count ? words[i + 1] : "", out);

        if (taken == 0) {
            return false;
        }
        i += taken;
    }
    return out->trial.site >= 0 && out->trial.way < FAULT_WAYS_MAX - 1 &&
           out->trial.lasts < FAULT_RESOURCES;
}

static void run_one(
    const struct scenario *scenario, const struct options *options, struct test_random *random)
{
    unsigned before = trials_passed + trials_failed;
    uint64_t begin_ns = now_ns();

    if (options->trial.pass > 0) {
        launch(scenario, &options->trial);
        (void)reap();
    } else {
        run_scenario(scenario, options, random);
    }
    printf("%-12s %5u trials %6.2f s\n", scenario->name, trials_passed + trials_failed - before,
        (double)(now_ns() - begin_ns) / 1e9);
}

static void run_all(const struct options *options)
{
    struct test_random random = test_random_of(options->seed);

    for (size_t i = 0; i < scenario_count; i++) {
        if (options->scenario == NULL || strcmp(options->scenario, scenarios[i].name) == 0) {
            run_one(&scenarios[i], options, &random);
        }
    }
}

int main(int count, char **words)
{
    struct options options;
    unsigned failed;

    if (count < 2 || !fault_read_sites(words[1]) || !read_options(count, words, &options)) {
        fprintf(stderr, "usage: faults SITES [--full] [--seed N] [--scenario NAME "
                        "[--at CALL@FILE:LINE --pass N [--way N] [--lasts RESOURCE]]]\n");
        return 2;
    }
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED) {
        perror("faults");
        return 2;
    }
    run_all(&options);
    failed = count_sites(shared->counts.failed);
    printf("counts: %u of %zu sites failed, %u reached; seed %llu; %u trials did not come to their "
           "pass\n",
        failed, fault_site_count, count_sites(shared->counts.reached),
        (unsigned long long)options.seed, trials_missed);
    if (options.scenario == NULL) {
        print_unfailed();
        trials_failed += (unsigned)fault_site_count - failed;
    }
    printf("%u passed, %u failed\n", trials_passed, trials_failed);
    return trials_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
