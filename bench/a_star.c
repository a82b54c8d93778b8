/* SPDX-License-Identifier: MIT */
/*
 * a_star.c - the cheapest way from corner to corner of a grid of 30 by 30 by 30: a guided search by a master and 20 workers.
 *
 * To enter a cell costs 1 to 9.  A worker that is dealt a cell goes on from there, the most promising cell first, until it has
 * gone through 1024; the cells from which it would have gone on it gives back to the master, which deals them.  What a cell has
 * been reached for, all share, and it only ever falls: a cell that somebody has reached for less is left alone, and so is one
 * from which the target cannot be cheaper than it is already.  Jobs come in floods, and most of them are in vain.
 */
#include "harness.h"

#include <stdlib.h>

#define SIDE 30U
#define CELLS 27000U
#define TARGET (CELLS - 1)
#define WAYS 6U
#define WORKERS 20U
#define SEARCHES 40U

/** Cells that a worker goes through for one job. */
#define THRESHOLD 1024U

_Static_assert(CELLS == SIDE * SIDE * SIDE, "a cube");

struct step {
    uint32_t cell;
    uint32_t cost;  /* of the way here */
    uint32_t guess; /* and on to the target, at least */
};

static const struct troupe_type go_on = TROUPE_SIGNAL;
static const struct troupe_type job = TROUPE_TYPE(struct step);
static const struct troupe_type done = TROUPE_SIGNAL;

/* Of this repetition, which has the process to itself.  Where the master starts a search, nobody is at work. */
static uint64_t search_number;
static _Atomic uint32_t best[CELLS];

struct master {
    struct bench_run *run;
    troupe_pid workers[WORKERS];
    uint64_t turn;
    uint64_t open; /* jobs dealt and not done */
    uint64_t searches;
    uint64_t costs; /* of the ways that were found */
};

/* A heap: the least guess is the first.  Each cell that is gone through adds at most its neighbours. */
struct worker {
    struct step steps[WAYS * THRESHOLD + 1];
    unsigned count;
};

/* ---- the grid ---- */

/* Of entering a cell, in this search. */
static uint32_t cost_of(uint64_t search, uint32_t cell)
{
    uint64_t x = search * CELLS + cell + 1;

    x = x * 2654435761U % 4294967291U;
    return 1 + (uint32_t)(x >> 8) % 9;
}

/* At least as many cells are still to be entered. */
static uint32_t distance_of(uint32_t cell)
{
    return 3 * (SIDE - 1) - cell % SIDE - cell / SIDE % SIDE - cell / (SIDE * SIDE);
}

/* The cells beside this one; how many there are. */
static unsigned neighbours_of(uint32_t cell, uint32_t out[WAYS])
{
    unsigned count = 0;

    for (uint32_t apart = 1; apart < CELLS; apart *= SIDE) {
        uint32_t at = cell / apart % SIDE;

        if (at > 0) {
            out[count++] = cell - apart;
        }
        if (at < SIDE - 1) {
            out[count++] = cell + apart;
        }
    }
    return count;
}

/* ---- the workers ---- */

static uint32_t best_of(uint32_t cell)
{
    /* relaxed: a number by itself; one that is out of date costs a step in vain. */
    return atomic_load_explicit(&best[cell], memory_order_relaxed);
}

/* Whether this is less than what it was reached for. */
static bool lower(uint32_t cell, uint32_t cost)
{
    uint32_t before = best_of(cell);

    /* relaxed: a number by itself; the way on from it goes by message. */
    while (cost < before && !atomic_compare_exchange_weak_explicit(&best[cell], &before, cost,
                                memory_order_relaxed, memory_order_relaxed)) {
    }
    return cost < before;
}

static void push(struct worker *worker, struct step step)
{
    unsigned at = worker->count++;

    while (at > 0) {
        unsigned above = (at - 1) / 2;

        if (worker->steps[above].guess <= step.guess) {
            break;
        }
        worker->steps[at] = worker->steps[above];
        at = above;
    }
    worker->steps[at] = step;
}

static struct step pop(struct worker *worker)
{
    struct step first = worker->steps[0];
    struct step last = worker->steps[--worker->count];
    unsigned at = 0;
    unsigned child;

    while ((child = 2 * at + 1) < worker->count) {
        child += child + 1 < worker->count &&
                 worker->steps[child + 1].guess < worker->steps[child].guess;
        if (worker->steps[child].guess >= last.guess) {
            break;
        }
        worker->steps[at] = worker->steps[child];
        at = child;
    }
    worker->steps[at] = last;
    return first;
}

/* Still the best way here, and one that can be better than what there is. */
static bool is_promising(const struct step *step)
{
    return step->cost <= best_of(step->cell) && step->guess < best_of(TARGET);
}

static void go_on_from(struct worker *worker, const struct step *step)
{
    uint32_t cells[WAYS];
    unsigned count = neighbours_of(step->cell, cells);

    for (unsigned i = 0; i < count; i++) {
        uint32_t cost = step->cost + cost_of(search_number, cells[i]);
        struct step next = {cells[i], cost, cost + distance_of(cells[i])};

        if (next.guess < best_of(TARGET) && lower(next.cell, cost) && next.cell != TARGET) {
            push(worker, next);
        }
    }
}

static int worker_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct worker *worker = state;
    troupe_pid master = troupe_sender(msg);

    push(worker, *(struct step *)troupe_body(msg));
    for (unsigned i = 0; i < THRESHOLD && worker->count > 0; i++) {
        struct step step = pop(worker);

        if (is_promising(&step)) {
            go_on_from(worker, &step);
        }
    }
    while (worker->count > 0) {
        struct step step = worker->steps[--worker->count];

        if (is_promising(&step)) {
            TROUPE_TRY(troupe_send(self, master, &job, &step));
        }
    }
    return troupe_send(self, master, &done, NULL);
}

/* ---- the master ---- */

static int master_init(struct troupe_actor *self, void *state, const void *arg)
{
    (void)self;
    *(struct master *)state = *(const struct master *)arg;
    return TROUPE_OK;
}

static int deal(struct troupe_actor *self, struct master *master, const struct step *step)
{
    troupe_pid worker = master->workers[master->turn++ % WORKERS];

    master->open++;
    return troupe_send(self, worker, &job, step);
}

static int start_search(struct troupe_actor *self, struct master *master)
{
    struct step first = {.cell = 0, .cost = 0, .guess = distance_of(0)};

    search_number = master->searches;
    for (uint32_t cell = 0; cell < CELLS; cell++) {
        /* relaxed: the message with the first job publishes them. */
        atomic_store_explicit(&best[cell], cell == 0 ? 0 : UINT32_MAX, memory_order_relaxed);
    }
    return deal(self, master, &first);
}

static int master_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct master *master = state;

    if (troupe_is(msg, &job)) {
        return deal(self, master, troupe_body(msg));
    }
    if (troupe_is(msg, &done)) {
        if (--master->open > 0) {
            return TROUPE_OK;
        }
        master->costs += best_of(TARGET);
        if (--master->searches == 0) {
            bench_part_done(master->run);
            return TROUPE_OK;
        }
    }
    return start_search(self, master);
}

static void master_destroy(void *state)
{
    struct master *master = state;

    bench_tally(master->run, 0, master->costs);
}

/* Room for all jobs that there can be at once. */
static const struct troupe_behaviour worker_behaviour = {
    .name = "worker",
    .state_size = sizeof(struct worker),
    .receive = worker_receive,
    .capacity = TROUPE_CAPACITY_MAX,
    .capacity_bytes = TROUPE_CAPACITY_BYTES_MAX,
};

static const struct troupe_behaviour master_behaviour = {
    .name = "master",
    .state_size = sizeof(struct master),
    .init = master_init,
    .receive = master_receive,
    .destroy = master_destroy,
    .capacity = TROUPE_CAPACITY_MAX,
    .capacity_bytes = TROUPE_CAPACITY_BYTES_MAX,
};

/* Whether the cell can be entered for less from one of its neighbours. */
static bool is_improved(uint64_t search, uint32_t cell, uint32_t *costs)
{
    uint32_t cells[WAYS];
    unsigned count = neighbours_of(cell, cells);
    uint32_t before = costs[cell];

    for (unsigned i = 0; i < count; i++) {
        uint32_t cost = costs[cells[i]] + cost_of(search, cell);

        costs[cell] = cost < costs[cell] ? cost : costs[cell];
    }
    return costs[cell] < before;
}

/* What the cheapest way costs, found the ordinary way: until no cell can be entered for less. */
static uint32_t foresee(uint64_t search, uint32_t *costs)
{
    bool is_changed = true;

    for (uint32_t cell = 0; cell < CELLS; cell++) {
        costs[cell] = cell == 0 ? 0 : UINT32_MAX / 2;
    }
    while (is_changed) {
        is_changed = false;
        for (uint32_t cell = 1; cell < CELLS; cell++) {
            is_changed |= is_improved(search, cell, costs);
        }
    }
    return costs[TARGET];
}

static int start(struct bench_run *run)
{
    struct master master = {.run = run, .searches = bench_scaled(run, SEARCHES)};
    uint32_t *costs = malloc(CELLS * sizeof *costs);
    troupe_pid pid;

    if (costs == NULL) {
        return TROUPE_ENOMEM;
    }
    for (uint64_t search = 1; search <= master.searches; search++) {
        run->expected_sum += foresee(search, costs);
    }
    free(costs);
    for (unsigned i = 0; i < WORKERS; i++) {
        TROUPE_TRY(bench_spawn(run, &worker_behaviour, NULL, 0, &master.workers[i]));
    }
    TROUPE_TRY(bench_spawn(run, &master_behaviour, &master, sizeof master, &pid));
    bench_begin(run, master.searches * CELLS, 1);
    /* Cells, not messages: of those there are more or fewer, as it happens. */
    run->expected_handled = 3 * master.searches - 1;
    return bench_signal(run, pid, &go_on);
}

const struct bench_workload bench_a_star = {
    .name = "a_star",
    .about = "40 guided searches through a grid of 30 by 30 by 30, by 20 workers",
    .start = start,
};
