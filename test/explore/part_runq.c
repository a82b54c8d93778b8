/* SPDX-License-Identifier: MIT */
/* runq: the owner pushes and pops, thieves steal; every run slot is run once, in the order of one queue. */
#include "sched/runq.h"

#include "test/explore/explore.h"

enum {
    ACTORS = 4,
};

/* Stands for a cell: what is handed over with its run slot. */
struct cargo {
    unsigned number;
    unsigned runs;
};

static struct trp_runq *runqs[3];
static struct cargo *cargo[ACTORS];
static unsigned runs[ACTORS];

static struct troupe_actor *slot_of(unsigned number)
{
    return (struct troupe_actor *)(void *)cargo[number];
}

static void push(struct trp_runq *runq, unsigned number)
{
    cargo[number]->number = number;
    explore_check(trp_runq_push(runq, slot_of(number)));
}

static void run(struct troupe_actor *actor)
{
    struct cargo *one = (struct cargo *)(void *)actor;

    explore_check(one != NULL);
    /* Plain: the queue must have ordered it. */
    one->runs++;
    explore_check(one->number < ACTORS);
    runs[one->number]++;
}

/* Indices are about to wrap. */
static void set_up(void)
{
    for (unsigned i = 0; i < EXPLORE_COUNT(runqs); i++) {
        runqs[i] = explore_alloc(sizeof *runqs[i], 128);
        trp_runq_init(runqs[i]);
        atomic_init(&runqs[i]->head, UINT64_MAX - 1);
        atomic_init(&runqs[i]->tail, UINT64_MAX - 1);
    }
    for (unsigned i = 0; i < ACTORS; i++) {
        cargo[i] = explore_alloc(sizeof *cargo[i], 64);
        *cargo[i] = (struct cargo){0};
        runs[i] = 0;
    }
}

static void run_rest(struct trp_runq *runq)
{
    struct troupe_actor *actor;

    while ((actor = trp_runq_pop(runq)) != NULL) {
        run(actor);
    }
}

static void check_each_once(void)
{
    for (unsigned i = 0; i < EXPLORE_COUNT(runqs); i++) {
        run_rest(runqs[i]);
    }
    for (unsigned i = 0; i < ACTORS; i++) {
        explore_check(runs[i] == 1);
    }
}

static void own(void)
{
    struct troupe_actor *actor;

    push(runqs[0], 0);
    push(runqs[0], 1);
    actor = trp_runq_pop(runqs[0]);
    if (actor != NULL) {
        run(actor);
    }
    push(runqs[0], 2);
    push(runqs[0], 3);
    actor = trp_runq_pop(runqs[0]);
    if (actor != NULL) {
        run(actor);
    }
}

static void steal(unsigned into)
{
    uint32_t count;
    struct troupe_actor *actor = trp_runq_steal(runqs[0], runqs[into], &count);

    explore_check((actor != NULL) == (count > 0));
    if (actor != NULL) {
        run(actor);
    }
    run_rest(runqs[into]);
}

static void thief_1(void)
{
    steal(1);
}

static void thief_2(void)
{
    steal(2);
}

static const struct explore_scenario scenarios[] = {
    {.name = "the owner and two thieves",
        .setup = set_up,
        .threads = {own, thief_1, thief_2},
        .check = check_each_once},
    {.name = "the owner and one thief",
        .setup = set_up,
        .threads = {own, thief_1},
        .check = check_each_once,
        .deviations = 4},
};

static const struct explore_plant plants[] = {
    {"pop does not compare", &scenarios[1], "trp_runq_pop", EXPLORE_SWAP, 0, EXPLORE_BLIND, 0,
        "race"},
    {"steal does not compare", &scenarios[1], "trp_runq_steal", EXPLORE_SWAP, 0, EXPLORE_BLIND, 0,
        "runs[i] == 1"},
    {"push publishes without release", &scenarios[1], "trp_runq_push", EXPLORE_STORE, 1,
        EXPLORE_RELAX, 0, "race"},
    {"steal reads the tail without acquire", &scenarios[1], "copy_half", EXPLORE_LOAD, 0,
        EXPLORE_RELAX, 0, "race"},
};

EXPLORE_PART(runq, scenarios, plants);
