/* SPDX-License-Identifier: MIT */
/* inject: foreign threads push run slots, workers take them.  Each is taken once, with all that was done before. */
#include "sched/inject.h"

#include "sched/actor.h"
#include "test/explore/explore.h"

enum {
    ACTORS = 4,
};

static struct trp_inject *inject;
static struct troupe_actor *actors[ACTORS];

/* Ghosts. */
static unsigned taken[ACTORS];
static unsigned pushers_left;

static void set_up_with(unsigned shards)
{
    inject = explore_alloc(sizeof *inject, 64);
    trp_inject_init(inject, shards);
    pushers_left = 2;
    for (unsigned i = 0; i < ACTORS; i++) {
        actors[i] = explore_alloc(sizeof *actors[i], 64);
        actors[i]->slot = i;
        taken[i] = 0;
    }
}

static void set_up(void)
{
    set_up_with(1);
}

static void set_up_shards(void)
{
    set_up_with(2);
}

EXPLORE_GHOST static void note_end_of_pusher(void)
{
    pushers_left--;
}

EXPLORE_GHOST static bool is_over(void)
{
    return pushers_left == 0;
}

static void push_two(unsigned first)
{
    for (unsigned i = first; i < first + 2; i++) {
        /* Plain: the queue must order it. */
        actors[i]->slot = i;
        trp_inject_push(inject, i, actors[i]);
    }
    note_end_of_pusher();
}

static void pusher_1(void)
{
    push_two(0);
}

static void pusher_2(void)
{
    push_two(2);
}

static void take(unsigned most)
{
    struct troupe_actor *out[ACTORS];
    unsigned count = trp_inject_take(inject, explore_self(), out, most);

    for (unsigned i = 0; i < count; i++) {
        /* Whoever runs it writes to it. */
        explore_check(out[i]->slot < ACTORS);
        taken[out[i]->slot]++;
        out[i]->slot = out[i]->slot;
        out[i]->generation = 0;
    }
}

static void taker(void)
{
    take(1);
    take(2);
}

static void check_each_once(void)
{
    explore_check(is_over());
    take(ACTORS);
    take(ACTORS);
    explore_check(trp_inject_is_empty(inject));
    for (unsigned i = 0; i < ACTORS; i++) {
        explore_check(taken[i] == 1);
    }
}

static const struct explore_scenario scenarios[] = {
    {.name = "two that push, one that takes",
        .setup = set_up,
        .threads = {pusher_1, pusher_2, taker},
        .check = check_each_once},
    {.name = "one shard, one that pushes, two that take",
        .setup = set_up,
        .threads = {pusher_1, taker, taker, pusher_2},
        .check = check_each_once,
        .deviations = 2},
    {.name = "two shards, two that push, two that take",
        .setup = set_up_shards,
        .threads = {pusher_1, pusher_2, taker, taker},
        .check = check_each_once,
        .deviations = 2},
};

static const struct explore_plant plants[] = {
    {"takers do not keep each other out", &scenarios[1], "take_from", EXPLORE_LOCK, 0,
        EXPLORE_FORGET, 0, ""},
    {"a push takes the tail in two steps", &scenarios[0], "___cds_wfcq_append", EXPLORE_EXCHANGE, 0,
        EXPLORE_TEAR, 0, ""},
};

EXPLORE_PART(inject, scenarios, plants);
