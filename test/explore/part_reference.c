/* SPDX-License-Identifier: MIT */
/*
 * reference: strong references to an actor are released while others upgrade weak ones, and while it ends.  The last release
 * tells it, once; nobody is upgraded after that, nor after its exit was decided; every block comes back.
 */
#include "test/explore/stage.h"

#include "lib/reference.h"

enum { WORKERS = 3 }; /* the actor is on the first */

static struct troupe_runtime *runtime;
static struct troupe_actor *actor;
static troupe_pid pid;
static struct troupe_reference *reference;

/* Ghosts. */
static bool ended;    /* the actor has */
static bool upgraded; /* somebody was, and holds a strong reference */

EXPLORE_GHOST static void note_end(void)
{
    ended = true;
}

EXPLORE_GHOST static bool has_ended(void)
{
    return ended;
}

EXPLORE_GHOST static void note_upgrade(void)
{
    upgraded = true;
}

static int receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    (void)self;
    (void)state;
    (void)msg;
    explore_fail("an order is not for the handler");
}

static const struct troupe_behaviour behaviour = {.name = "referred", .receive = receive};

static struct trp_context *context_of(unsigned worker)
{
    return &runtime->workers[worker]->context;
}

/* ---- setups ---- */

/* One strong reference, one weak one. */
static void set_up(void)
{
    runtime = stage_open(WORKERS, 1);
    actor = stage_spawn(runtime->workers[0], &behaviour);
    pid = trp_actor_pid(actor);
    ended = false;
    upgraded = false;
    explore_check(trp_reference_newborn(context_of(0), actor, &reference) == TROUPE_OK);
    explore_check(troupe_reference_downgrade(reference) != NULL);
}

static void set_up_two(void)
{
    set_up();
    explore_check(troupe_reference_retain(reference) == reference);
}

/* ---- threads ---- */

static void release(unsigned worker)
{
    bool was_offline = trp_reclaim_enter();

    trp_reference_release(context_of(worker), reference);
    trp_reclaim_leave(was_offline);
}

static void release_on_second(void)
{
    release(1);
}

static void release_on_third(void)
{
    release(2);
}

static void end(void)
{
    bool was_offline = trp_reclaim_enter();

    stage_enter(runtime->workers[0], actor);
    stage_exit(actor);
    note_end();
    trp_exit_flush(context_of(0), true);
    trp_reclaim_leave(was_offline);
}

static void upgrade(void)
{
    bool was_over = has_ended();
    struct troupe_reference *more = NULL;
    int error = troupe_weak_upgrade((struct troupe_weak_reference *)(void *)reference, &more);

    explore_check(error == TROUPE_OK || error == TROUPE_EGONE);
    explore_check(error != TROUPE_OK || !was_over);
    if (error == TROUPE_OK) {
        note_upgrade();
    }
}

static void upgrade_and_release(void)
{
    struct troupe_reference *more = NULL;

    if (troupe_weak_upgrade((struct troupe_weak_reference *)(void *)reference, &more) ==
        TROUPE_OK) {
        release(2);
    }
}

/* ---- checks ---- */

/* Whether the actor was told to end since the last time. */
static bool is_told(void)
{
    struct trp_worker *worker = runtime->workers[0];
    bool was_offline = trp_reclaim_enter();
    bool told;

    stage_enter(worker, actor);
    stage_receive(actor);
    told = worker->has_reason;
    worker->has_reason = false;
    worker->context.current = NULL;
    trp_reclaim_leave(was_offline);
    return told;
}

/* The weak one goes, and the actor if it lives: then nothing is left. */
static void check_nothing_left(void)
{
    trp_worker_take_returned(runtime->workers[0]);
    if (trp_actor_find(runtime, pid) != NULL) {
        end();
        trp_worker_take_returned(runtime->workers[0]);
    }
    trp_watch_drop(context_of(0), &reference->order.notice);
    explore_check(stage_missing(runtime) == 0);
}

static void check_told(void)
{
    explore_check(is_told());
    explore_check(!is_told());
    check_nothing_left();
}

/* Whoever was upgraded keeps it alive until then. */
static void check_upgraded(void)
{
    explore_check(is_told() == !upgraded);
    if (upgraded) {
        release(1);
        explore_check(is_told());
    }
    check_nothing_left();
}

static void check_ended(void)
{
    if (upgraded) {
        release(1);
    }
    check_nothing_left();
}

static void check_held(void)
{
    release(1);
    check_ended();
}

static const struct explore_scenario scenarios[] = {
    {.name = "two release the last two",
        .setup = set_up_two,
        .threads = {release_on_second, release_on_third},
        .check = check_told},
    {.name = "the last one is released, somebody upgrades",
        .setup = set_up,
        .threads = {release_on_second, upgrade},
        .check = check_upgraded},
    {.name = "the last one is released, somebody upgrades for a while",
        .setup = set_up,
        .threads = {release_on_second, upgrade_and_release},
        .check = check_told},
    {.name = "the actor ends, somebody upgrades",
        .setup = set_up,
        .threads = {end, upgrade},
        .check = check_held},
    {.name = "the actor ends, the last one is released",
        .setup = set_up,
        .threads = {end, release_on_second},
        .check = check_ended},
    {.name = "the actor ends, the last one is released, somebody upgrades",
        .setup = set_up,
        .threads = {end, release_on_second, upgrade},
        .check = check_ended,
        .deviations = 2},
};

static const struct explore_plant plants[] = {
    {"a reference is released in two steps", &scenarios[0], "count_down", EXPLORE_SUB, 0,
        EXPLORE_TEAR, 0, "is_told"},
    {"an upgrade does not compare", &scenarios[1], "upgrade", EXPLORE_SWAP, 0, EXPLORE_BLIND, 0,
        "is_told"},
    {"the exit does not close", &scenarios[3], "close_all", EXPLORE_OR, 0, EXPLORE_FORGET, 0,
        "was_over"},
    {"the last two holders of the block let go in two steps", &scenarios[4], "trp_watch_drop",
        EXPLORE_SUB, 0, EXPLORE_TEAR, 0, "stage_missing"},
};

EXPLORE_PART(reference, scenarios, plants);
