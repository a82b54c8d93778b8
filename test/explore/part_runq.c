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

static void pop_one(struct trp_runq *runq)
{
    struct troupe_actor *actor = trp_runq_pop(runq);

    if (actor != NULL) {
        run(actor);
    }
}

static void own(void)
{
    push(runqs[0], 0);
    push(runqs[0], 1);
    pop_one(runqs[0]);
    push(runqs[0], 2);
    push(runqs[0], 3);
    pop_one(runqs[0]);
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

/* Pushes numbers `first` to `last`, runs one, and steals behind the others. */
static void steal_across(unsigned mine, unsigned victim, unsigned first, unsigned last)
{
    struct troupe_actor *actor;
    uint32_t count;

    for (unsigned i = first; i <= last; i++) {
        push(runqs[mine], i);
    }
    pop_one(runqs[mine]);
    actor = trp_runq_steal(runqs[victim], runqs[mine], &count);
    if (actor != NULL) {
        run(actor);
    }
    pop_one(runqs[mine]);
}

static void robber_1(void)
{
    steal_across(0, 1, 0, 2);
}

static void robber_2(void)
{
    steal_across(1, 0, 3, 3);
}

/* Uses each slot that gets free at once. */
static void own_full(void)
{
    unsigned next = TRP_RUNQ_SLOTS;

    for (unsigned i = 0; i < 3; i++) {
        if (next < ACTORS) {
            cargo[next]->number = next;
            next += trp_runq_push(runqs[0], slot_of(next));
        }
        pop_one(runqs[0]);
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

/* From the second one, who may have stolen what it has. */
static void thief_3(void)
{
    uint32_t count;
    struct troupe_actor *actor = trp_runq_steal(runqs[1], runqs[2], &count);

    if (actor != NULL) {
        run(actor);
    }
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
    {.name = "two that steal from each other, and a third",
        .setup = set_up,
        .threads = {robber_1, robber_2, thief_3},
        .check = check_each_once,
        .deviations = 2},
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
    {"steal hands on without release", &scenarios[2], "trp_runq_steal", EXPLORE_STORE, 0,
        EXPLORE_RELAX, 0, "race"},
};

EXPLORE_PART(runq, scenarios, plants);
