/* SPDX-License-Identifier: MIT */
/* runq: the owner pushes and pops, thieves steal; every run slot is run once, in the order of one queue. */
#include "sched/runq.h"

#include "test/explore/explore.h"

enum {
    ACTORS = 6,
};

/* Stands for a cell: what is handed over with its run slot. */
struct cargo {
    unsigned number;
    unsigned runs;
};

static struct trp_runq *runqs[3];
static struct cargo *cargo[ACTORS];

/* Ghosts. */
static unsigned runs[ACTORS];
static unsigned pushed;

static struct troupe_actor *slot_of(unsigned number)
{
    return (struct troupe_actor *)(void *)cargo[number];
}

/* Numbers are given out by one thread, or from two ends. */
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
static void set_up_with(unsigned count)
{
    pushed = count;
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

static void set_up(void)
{
    set_up_with(4);
}

/* Both may steal from each other, and each has two. */
static void set_up_two(void)
{
    set_up_with(4);
    push(runqs[0], 0);
    push(runqs[0], 1);
    push(runqs[1], 2);
    push(runqs[1], 3);
}

/* No slot is free. */
static void set_up_full(void)
{
    set_up_with(6);
    for (unsigned i = 0; i < TRP_RUNQ_SLOTS; i++) {
        push(runqs[0], i);
    }
    explore_check(!trp_runq_push(runqs[0], slot_of(4)));
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
        explore_check(runs[i] == (i < pushed));
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

/* Takes one of its own, then steals into the room that this made. */
static void steal_across(unsigned own_one, unsigned victim)
{
    struct troupe_actor *actor = trp_runq_pop(runqs[own_one]);
    uint32_t count;

    if (actor != NULL) {
        run(actor);
    }
    actor = trp_runq_steal(runqs[victim], runqs[own_one], &count);
    if (actor != NULL) {
        run(actor);
    }
    actor = trp_runq_pop(runqs[own_one]);
    if (actor != NULL) {
        run(actor);
    }
}

static void robber_1(void)
{
    steal_across(0, 1);
}

static void robber_2(void)
{
    steal_across(1, 0);
}

/* Uses each slot that gets free at once. */
static void own_full(void)
{
    unsigned next = TRP_RUNQ_SLOTS;

    for (unsigned i = 0; i < 3; i++) {
        struct troupe_actor *actor;

        if (next < ACTORS) {
            cargo[next]->number = next;
            next += trp_runq_push(runqs[0], slot_of(next));
        }
        actor = trp_runq_pop(runqs[0]);
        if (actor != NULL) {
            run(actor);
        }
    }
    while (next < ACTORS) {
        push(runqs[0], next++);
    }
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
    {.name = "two that steal from each other",
        .setup = set_up_two,
        .threads = {robber_1, robber_2},
        .check = check_each_once},
    {.name = "the owner of a full queue and two thieves",
        .setup = set_up_full,
        .threads = {own_full, thief_1, thief_2},
        .check = check_each_once,
        .deviations = 2},
};

static const struct explore_plant plants[] = {
    {"pop does not compare", &scenarios[1], "trp_runq_pop", EXPLORE_SWAP, 0, EXPLORE_BLIND, 0,
        "race"},
    {"steal does not compare", &scenarios[1], "trp_runq_steal", EXPLORE_SWAP, 0, EXPLORE_BLIND, 0,
        ""},
    {"push publishes without release", &scenarios[1], "trp_runq_push", EXPLORE_STORE, 1,
        EXPLORE_RELAX, 0, "race"},
    {"push does not wait until a slot has been read", &scenarios[3], "trp_runq_push", EXPLORE_LOAD,
        1, EXPLORE_LIE, 0, ""},
    {"steal reads the tail without acquire", &scenarios[1], "copy_half", EXPLORE_LOAD, 0,
        EXPLORE_RELAX, 0, "race"},
};

EXPLORE_PART(runq, scenarios, plants);
