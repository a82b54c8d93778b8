/* SPDX-License-Identifier: MIT */
/*
 * call: a request comes to its handler while its asker gives it up, ends, or waits on a thread of its own.  One outcome each;
 * what was told as expired is not handled; what one asked that ended is.
 */
#include <troupe/call.h>

#include "test/explore/stage.h"

enum {
    ASKER,
    ASKED,
    ACTORS, /* each on a worker of its own */
};

static struct troupe_runtime *runtime;
static struct troupe_actor *actors[ACTORS];

/* Ghosts. */
static unsigned handled;
static unsigned outcomes;
static int outcome;
static bool ended; /* the asker */

static const struct troupe_type question = TROUPE_TYPE(uint64_t);

EXPLORE_GHOST static void note_handled(void)
{
    handled++;
}

EXPLORE_GHOST static void note_outcome(int status)
{
    outcome = status;
    outcomes++;
}

EXPLORE_GHOST static bool is_handled(void)
{
    return handled > 0;
}

static int receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    (void)state;
    note_handled();
    return troupe_reply(self, msg, &question, &(uint64_t){7});
}

static const struct troupe_behaviour behaviour = {.name = "asked", .receive = receive};

static int on_reply(
    struct troupe_actor *self, void *state, void *context, int status, struct troupe_message *reply)
{
    (void)self;
    (void)state;
    (void)context;
    explore_check((status == TROUPE_OK) == (reply != NULL));
    note_outcome(status);
    return TROUPE_OK;
}

static void open_stage(void)
{
    runtime = stage_open(ACTORS, ACTORS);
    handled = 0;
    outcomes = 0;
    outcome = 1;
    ended = false;
    for (unsigned i = 0; i < ACTORS; i++) {
        actors[i] = stage_spawn(runtime->workers[i], &behaviour);
        stage_enter(runtime->workers[i], actors[i]);
    }
}

static void set_up(void)
{
    open_stage();
    explore_check(troupe_request(actors[ASKER], trp_actor_pid(actors[ASKED]), &question,
                      &(uint64_t){1}, 5, on_reply, NULL) == TROUPE_OK);
}

/* ---- what they do ---- */

static void take_turn(unsigned number)
{
    bool was_offline = trp_reclaim_enter();

    stage_enter(runtime->workers[number], actors[number]);
    stage_receive(actors[number]);
    trp_reclaim_leave(was_offline);
}

/* The asker's worker finds its time-out due; by the clock of others it is not yet. */
static void time_out(void)
{
    bool was_offline = trp_reclaim_enter();
    struct trp_worker *worker = runtime->workers[ASKER];

    (void)trp_worker_fire(&worker->context, worker, UINT64_C(3600000000000));
    trp_reclaim_leave(was_offline);
    take_turn(ASKER);
}

static void hear(void)
{
    take_turn(ASKED);
}

static void end_asker(void)
{
    bool was_offline = trp_reclaim_enter();

    stage_enter(runtime->workers[ASKER], actors[ASKER]);
    stage_exit(actors[ASKER]);
    trp_exit_flush(&runtime->workers[ASKER]->context, true);
    ended = true;
    trp_reclaim_leave(was_offline);
}

static void end(unsigned number)
{
    stage_enter(runtime->workers[number], actors[number]);
    stage_exit(actors[number]);
}

/* What is left is received; then nothing is. */
static void check(void)
{
    take_turn(ASKED);
    take_turn(ASKER);
    explore_check(outcomes == 1);
    explore_check(
        outcome == TROUPE_OK || outcome == TROUPE_ETIMEDOUT || outcome == TROUPE_EEXPIRED);
    explore_check(handled == (outcome != TROUPE_EEXPIRED));
    end(ASKER);
    end(ASKED);
    explore_check(stage_missing(runtime) == 0);
}

static void check_orphan(void)
{
    explore_check(ended);
    take_turn(ASKED);
    explore_check(handled == 1);
    explore_check(outcomes == 0);
    end(ASKED);
    trp_worker_take_returned(runtime->workers[ASKER]);
    explore_check(stage_missing(runtime) == 0);
}

/* ---- a foreign thread ---- */

static void set_up_foreign(void)
{
    open_stage();
    runtime->shard_count = 1;
    trp_lock_init(&runtime->shards[0].lock);
    runtime->shards[0].context.runtime = runtime;
    trp_pool_init(&runtime->shards[0].context.pool, &runtime->memory);
}

static void call(void)
{
    uint64_t value = 0;

    note_outcome(troupe_runtime_call(runtime, trp_actor_pid(actors[ASKED]), &question,
        &(uint64_t){1}, &question, &value, TROUPE_FOREVER));
    explore_check(value == 7);
}

static void hear_when_it_comes(void)
{
    while (!is_handled()) {
        hear();
        explore_yield();
    }
}

static void check_foreign(void)
{
    explore_check(outcomes == 1 && outcome == TROUPE_OK);
    explore_check(handled == 1);
    end(ASKER);
    end(ASKED);
}

static const struct explore_scenario scenarios[] = {
    {.name = "a request is heard while its time-out comes",
        .setup = set_up,
        .threads = {time_out, hear},
        .check = check,
        .deviations = 4},
    {.name = "a request is heard while its asker ends",
        .setup = set_up,
        .threads = {end_asker, hear},
        .check = check_orphan},
    {.name = "a foreign thread waits while it is answered",
        .setup = set_up_foreign,
        .threads = {call, hear_when_it_comes},
        .check = check_foreign},
};

static const struct explore_plant plants[] = {
    {"whoever hears a request reads before it writes", &scenarios[0], "hear", EXPLORE_SWAP, 0,
        EXPLORE_TEAR, 0,
        "Segmentation fault"}, /* the number went back: the answer finds no continuation */
    {"whoever gives up reads before it writes", &scenarios[0], "revoke", EXPLORE_SWAP, 0,
        EXPLORE_TEAR, 0, "check"},
    {"an end is not known to who finds a call given up", &scenarios[1], "hear", EXPLORE_LOAD, 0,
        EXPLORE_RELAX, 0, "check_orphan"},
    {"an end is not said by who gives its calls up", &scenarios[1], "trp_timer_expire",
        EXPLORE_STORE, 0, EXPLORE_RELAX, 0, "check_orphan"},
    {"a thread does not meet who answers", &scenarios[2], "is_answered", EXPLORE_OR, 0,
        EXPLORE_TEAR, 0, "sleep"},
};

EXPLORE_PART(call, scenarios, plants);
