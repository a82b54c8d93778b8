/* SPDX-License-Identifier: MIT */
/*
 * search.c - which choices to try, and what is said of a run that failed.
 *
 * Exhaustive: depth first.  A run is repeated with all its choices but the last one that has another answer left, until
 * none has.  A deviation (another thread although this one could go on; a value that is not the newest) costs one, and a
 * run has so many to spend.  Who goes on when one cannot is free, unless the scenario is a program; so is what it asks.
 *
 * Random: after Burckhardt and others (PCT, ASPLOS 2010).  Threads have priorities, the highest one runs, and at a few
 * points, drawn before, the one that runs becomes the lowest.  A bug that needs d such points is found with a chance of
 * at least 1/(n k^(d-1)), n threads, k points.
 *
 * A deviation is told as THREAD.STEP, a sign, and what was chosen.  It names the thread's own step, so it keeps its
 * meaning when others are left out, and that is how a failing run is cut down.
 */
#include <stdlib.h>
#include <string.h>

#include "test/explore/engine.h"

#define CHOICES_MAX 32768
#define DEVIATIONS_MAX 256
#define CHANGES_MAX 8

/** Of a scenario that does not say how many. */
#define DEVIATIONS 3

/** Random runs that come first, so that most shared locations are known before the long search begins. */
#define SCOUTS 200

struct taken {
    enum explore_choice choice;
    unsigned count;
    unsigned chosen;
};

/* `sign`: one of ">/~=", by enum explore_choice. */
struct deviation {
    char sign;
    unsigned thread;
    unsigned step;
    unsigned target;
};

static const char signs[] = {'>', '/', '~', '='};

static struct {
    struct taken taken[CHOICES_MAX];
    unsigned length;
    unsigned at;
    bool next_costs;
} path;

static struct {
    struct deviation list[DEVIATIONS_MAX];
    unsigned count;
} made, wanted;

static struct {
    uint64_t state;
    unsigned priority[EXPLORE_CONTEXTS];
    unsigned changes[CHANGES_MAX];
    unsigned at;      /* THREAD choices so far */
    unsigned longest; /* of a run so far */
} pct;

/* ---- deviations ---- */

static void note(enum explore_choice choice, unsigned chosen)
{
    struct deviation *new = &made.list[made.count];

    if (chosen == 0 || made.count == DEVIATIONS_MAX) {
        return;
    }
    made.count++;
    new->sign = signs[choice];
    explore_where(&new->thread, &new->step);
    new->target = choice <= EXPLORE_NEXT ? explore_candidate(chosen) : chosen;
}

static void print_deviations(char *text, size_t size)
{
    size_t used = 0;

    text[0] = '\0';
    for (unsigned i = 0; i < made.count && used < size; i++) {
        const struct deviation *one = &made.list[i];

        used += (size_t)snprintf(text + used, size - used, "%s%u.%u%c%u", i > 0 ? "," : "",
            one->thread, one->step, one->sign, one->target);
    }
    if (made.count == 0) {
        snprintf(text, size, "-");
    }
}

static bool read_deviations(const char *text)
{
    wanted.count = 0;
    if (strcmp(text, "-") == 0) {
        return true;
    }
    while (wanted.count < DEVIATIONS_MAX) {
        struct deviation *one = &wanted.list[wanted.count];
        int length = 0;

        if (sscanf(text, "%u.%u%c%u%n", &one->thread, &one->step, &one->sign, &one->target,
                &length) != 4) {
            return false;
        }
        wanted.count++;
        text += length;
        if (*text++ != ',') {
            return text[-1] == '\0';
        }
    }
    return false;
}

/* The usual way, but for the deviations that are wanted. */
static unsigned decide_wanted(enum explore_choice choice, unsigned count)
{
    unsigned thread;
    unsigned step;
    unsigned chosen = 0;

    explore_where(&thread, &step);
    for (unsigned i = 0; i < wanted.count; i++) {
        const struct deviation *one = &wanted.list[i];

        if (one->sign != signs[choice] || one->thread != thread || one->step != step) {
            continue;
        }
        if (choice > EXPLORE_NEXT) {
            chosen = one->target < count ? one->target : 0;
        }
        for (unsigned c = 0; choice <= EXPLORE_NEXT && c < count; c++) {
            chosen = explore_candidate(c) == one->target ? c : chosen;
        }
    }
    note(choice, chosen);
    return chosen;
}

static const char *run_wanted(const struct explore_scenario *scenario)
{
    const char *what;

    made.count = 0;
    explore_atomic_suspect_all(true);
    what = explore_run(scenario, decide_wanted);
    explore_atomic_suspect_all(false);
    return what;
}

/* Whether two findings begin the same: up to the first number, thread or line, in them. */
static bool is_same(const char *a, const char *b)
{
    size_t length = strcspn(a, "0123456789");

    return length == strcspn(b, "0123456789") && strncmp(a, b, length) == 0;
}

/* Leaves out one deviation after the other for as long as the run fails the same way without it. */
static void shrink(const struct explore_scenario *scenario, const char *what)
{
    bool shorter = true;

    while (shorter) {
        shorter = false;
        for (unsigned i = 0; i < wanted.count; i++) {
            struct deviation left_out = wanted.list[i];
            const char *now;

            wanted.count--;
            memmove(
                &wanted.list[i], &wanted.list[i + 1], (wanted.count - i) * sizeof wanted.list[0]);
            now = run_wanted(scenario);
            if (now != NULL && is_same(now, what)) {
                shorter = true;
                i--;
                continue;
            }
            memmove(
                &wanted.list[i + 1], &wanted.list[i], (wanted.count - i) * sizeof wanted.list[0]);
            wanted.list[i] = left_out;
            wanted.count++;
        }
    }
}

/* The run that was logged has failed. */
static void tell(
    const struct explore_scenario *scenario, const char *what, struct explore_result *out_result)
{
    out_result->failed = true;
    snprintf(out_result->what, sizeof out_result->what, "%s", what);
    wanted = made;
    shrink(scenario, out_result->what);
    what = run_wanted(scenario);
    if (what != NULL && is_same(what, out_result->what)) {
        snprintf(out_result->what, sizeof out_result->what, "%s", what);
    }
    print_deviations(out_result->schedule, sizeof out_result->schedule);
}

const char *explore_replay(
    const struct explore_scenario *scenario, const char *schedule, FILE *trace)
{
    const char *what;

    if (!read_deviations(schedule)) {
        return "this is not a schedule";
    }
    explore_trace_to(trace);
    what = run_wanted(scenario);
    explore_trace_to(NULL);
    return what;
}

/* ---- at random ---- */

static uint64_t next_random(void)
{
    uint64_t x = pct.state += UINT64_C(0x9e3779b97f4a7c15);

    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

/* The candidate of the highest priority. */
static unsigned first_in_line(unsigned count)
{
    unsigned best = 0;

    for (unsigned i = 1; i < count; i++) {
        if (pct.priority[explore_candidate(i)] > pct.priority[explore_candidate(best)]) {
            best = i;
        }
    }
    return best;
}

static unsigned choose_thread(enum explore_choice choice, unsigned count)
{
    if (choice == EXPLORE_THREAD) {
        pct.at++;
        for (unsigned i = 0; i < CHANGES_MAX; i++) {
            if (pct.changes[i] == pct.at) {
                pct.priority[explore_candidate(0)] = i;
            }
        }
    }
    return first_in_line(count);
}

static unsigned decide_randomly(enum explore_choice choice, unsigned count)
{
    unsigned chosen = 0;

    if (choice <= EXPLORE_NEXT) {
        chosen = choose_thread(choice, count);
    } else if (choice == EXPLORE_OPEN || next_random() % 4 == 0) {
        chosen = (unsigned)(next_random() % count);
    }
    note(choice, chosen);
    return chosen;
}

static const char *run_randomly(const struct explore_scenario *scenario)
{
    unsigned changes = (unsigned)(next_random() % CHANGES_MAX);
    const char *what;

    for (unsigned i = 0; i < EXPLORE_CONTEXTS; i++) {
        pct.priority[i] = CHANGES_MAX + (unsigned)(next_random() % 1000);
    }
    for (unsigned i = 0; i < CHANGES_MAX; i++) {
        pct.changes[i] = i < changes ? 1 + (unsigned)(next_random() % (pct.longest + 1)) : 0;
    }
    pct.at = 0;
    made.count = 0;
    what = explore_run(scenario, decide_randomly);
    pct.longest = pct.at > pct.longest ? pct.at : pct.longest;
    return what;
}

static bool search_randomly(
    const struct explore_scenario *scenario, uint64_t runs, struct explore_result *out_result)
{
    for (uint64_t i = 0; i < runs; i++) {
        const char *what = run_randomly(scenario);

        out_result->random++;
        if (what != NULL) {
            tell(scenario, what, out_result);
            return true;
        }
    }
    return false;
}

/* ---- exhaustively ---- */

static unsigned cost(const struct taken *taken)
{
    return taken->chosen > 0 &&
           (taken->choice == EXPLORE_THREAD || taken->choice == EXPLORE_VALUE ||
               (taken->choice == EXPLORE_NEXT && path.next_costs));
}

static unsigned decide_in_order(enum explore_choice choice, unsigned count)
{
    struct taken *taken = &path.taken[path.at];

    if (path.at == path.length) {
        if (path.length == CHOICES_MAX) {
            explore_give_up("a run has more choices than there is room for");
        }
        path.length++;
        *taken = (struct taken){choice, count, 0};
    } else if (taken->choice != choice || taken->count != count) {
        explore_give_up("the same choices led to another run");
    }
    path.at++;
    note(choice, taken->chosen);
    return taken->chosen;
}

/* To the next run that has at most `most` deviations; false: there is none. */
static bool go_on(unsigned most)
{
    unsigned spent = 0;

    for (unsigned i = 0; i < path.length; i++) {
        spent += cost(&path.taken[i]);
    }
    while (path.length > 0) {
        struct taken *last = &path.taken[path.length - 1];

        spent -= cost(last);
        last->chosen++;
        if (last->chosen < last->count && spent + cost(last) <= most) {
            return true;
        }
        path.length--;
    }
    return false;
}

static bool search_in_order(const struct explore_scenario *scenario, unsigned deviations,
    uint64_t most, struct explore_result *out_result)
{
    path.length = 0;
    path.next_costs = scenario->is_program;
    for (;;) {
        const char *what;

        if (most != 0 && out_result->exhaustive == most) {
            return false;
        }
        path.at = 0;
        made.count = 0;
        what = explore_run(scenario, decide_in_order);
        out_result->exhaustive++;
        if (what != NULL) {
            tell(scenario, what, out_result);
            return true;
        }
        if (explore_atomic_learnt()) {
            /* There were points that nobody saw: again from the start. */
            path.length = 0;
            out_result->exhaustive = 0;
        } else if (!go_on(deviations)) {
            out_result->complete = true;
            return false;
        }
    }
}

unsigned explore_deviations(
    const struct explore_scenario *scenario, const struct explore_bounds *bounds)
{
    unsigned own = scenario->deviations != 0 ? scenario->deviations : DEVIATIONS;

    return bounds->deviations != 0 && bounds->deviations < own ? bounds->deviations : own;
}

void explore_search(const struct explore_scenario *scenario, const struct explore_bounds *bounds,
    struct explore_result *out_result)
{
    unsigned deviations = explore_deviations(scenario, bounds);
    uint64_t scouts = bounds->random < SCOUTS ? bounds->random : SCOUTS;

    memset(out_result, 0, sizeof *out_result);
    memset(&pct, 0, sizeof pct);
    pct.state = bounds->seed;
    explore_atomic_forget();
    if (search_randomly(scenario, scouts, out_result)) {
        return;
    }
    (void)explore_atomic_learnt();
    if (search_in_order(scenario, deviations, bounds->most, out_result)) {
        return;
    }
    (void)search_randomly(scenario, bounds->random - scouts, out_result);
}
