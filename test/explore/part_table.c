/* SPDX-License-Identifier: MIT */
/*
 * table: senders look pids up while actors end, their cells rest, and others are born in them.  A message is handled by
 * whom it was sent to, or disposed of, once; a pid finds its own actor, whole, or nobody; a cell has one taker.
 */
#include "test/explore/stage.h"

enum {
    WORKERS = 3, /* one for each thread */
    LETTERS = 2,
};

struct letter {
    troupe_pid to;
    unsigned number;
};

static struct troupe_runtime *runtime;
static struct troupe_actor *cell;

/* Ghosts.  They pass a pid on without passing on what its actor is. */
static troupe_pid old_pid;
static troupe_pid new_pid;
static unsigned sent[LETTERS];
static unsigned ended[LETTERS]; /* handled or not, its body was destroyed */

static void letter_destroy(void *body)
{
    const struct letter *letter = body;

    explore_check(letter->number < LETTERS);
    ended[letter->number]++;
}

static const struct troupe_type letter_type = TROUPE_TYPE_DESTROY(struct letter, letter_destroy);

static int receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    const struct letter *letter = troupe_body(msg);

    (void)state;
    explore_check(letter->to == troupe_self(self));
    return TROUPE_OK;
}

static const struct troupe_behaviour behaviour = {.name = "reader", .receive = receive};

/* As lib sends a notice: without admission, which is the charge's part. */
static void send(struct trp_worker *worker, troupe_pid to, unsigned number)
{
    bool was_offline = trp_reclaim_enter();
    struct troupe_message *msg =
        trp_message_create(&worker->context.pool, &letter_type, sizeof(struct letter), 0);
    struct troupe_actor *actor = trp_actor_find(runtime, to);

    sent[number]++;
    *(struct letter *)troupe_body(msg) = (struct letter){to, number};
    if (actor != NULL) {
        /* Plain: whoever was found is whole. */
        explore_check(actor->behaviour == &behaviour);
        trp_send_reserved(&worker->context, actor, msg);
    } else {
        trp_message_dispose(&worker->context, msg, TROUPE_EGONE);
    }
    trp_reclaim_leave(was_offline);
}

/* ---- an end, and a birth in the same cell ---- */

static void forget(void)
{
    old_pid = TROUPE_NOBODY;
    new_pid = TROUPE_NOBODY;
    for (unsigned i = 0; i < LETTERS; i++) {
        sent[i] = 0;
        ended[i] = 0;
    }
}

static void set_up(void)
{
    forget();
    runtime = stage_open(WORKERS, 1);
    cell = stage_spawn(runtime->workers[0], &behaviour);
    old_pid = trp_actor_pid(cell);
    new_pid = old_pid + ((troupe_pid)1 << TRP_TABLE_SLOT_BITS);
}

EXPLORE_GHOST static bool has_come_home(const void *stack)
{
    return *(void *const *)stack != NULL;
}

static enum trp_phase phase_of(const struct troupe_actor *actor)
{
    /* relaxed: of our own cell. */
    return atomic_load_explicit(&actor->phase, memory_order_relaxed);
}

static void end(void)
{
    struct trp_worker *worker = runtime->workers[0];
    bool was_offline = trp_reclaim_enter();

    stage_enter(worker, cell);
    stage_exit(cell);
    trp_exit_flush(&worker->context, true);
    explore_check(trp_actor_find(runtime, old_pid) == NULL);
    trp_reclaim_leave(was_offline);
}

static void end_and_spawn(void)
{
    struct trp_worker *worker = runtime->workers[0];
    bool was_offline;

    end();
    explore_await(has_come_home, &worker->returned, "the cell");
    was_offline = trp_reclaim_enter();
    while (phase_of(cell) != TRP_PHASE_FREE) {
        trp_worker_take_returned(worker);
    }
    explore_check(stage_spawn(worker, &behaviour) == cell);
    explore_check(trp_actor_find(runtime, old_pid) == NULL);
    explore_check(trp_actor_find(runtime, new_pid) == cell);
    stage_enter(worker, cell);
    stage_receive(cell);
    trp_reclaim_leave(was_offline);
}

static void send_to_old(void)
{
    send(runtime->workers[1], old_pid, 0);
}

static void send_to_old_too(void)
{
    send(runtime->workers[2], old_pid, 1);
}

static void send_to_new(void)
{
    send(runtime->workers[2], new_pid, 1);
}

static void check_letters(void)
{
    for (unsigned i = 0; i < LETTERS; i++) {
        explore_check(ended[i] == sent[i]);
    }
    explore_check(stage_missing(runtime) == 0);
}

static void check_end(void)
{
    trp_worker_take_returned(runtime->workers[0]);
    explore_check(phase_of(cell) == TRP_PHASE_FREE);
    check_letters();
}

static void check_spawn(void)
{
    stage_enter(runtime->workers[0], cell);
    stage_receive(cell);
    stage_exit(cell);
    check_letters();
}

/* ---- a new segment ---- */

static void set_up_bare(void)
{
    forget();
    runtime = stage_open_bare(WORKERS, 1);
    cell = NULL;
}

static void spawn_first(void)
{
    cell = stage_spawn(runtime->workers[0], &behaviour);
    new_pid = trp_actor_pid(cell);
}

/* Was told a pid, and nothing else. */
static void find_first(void)
{
    troupe_pid pid = new_pid;

    if (pid != TROUPE_NOBODY) {
        send(runtime->workers[1], pid, 0);
    }
}

/* As the stop of a runtime, which tells everybody. */
static void look_at_all(void)
{
    struct troupe_actor *first = trp_table_cell(&runtime->table, 0);

    if (first != NULL) {
        explore_check(first->slot == 0);
        explore_check(first->runtime == runtime);
        /* relaxed: the table has to say what is behind it. */
        send(runtime->workers[2], atomic_load_explicit(&first->pid, memory_order_relaxed), 1);
    }
}

static void check_first(void)
{
    stage_enter(runtime->workers[0], cell);
    stage_receive(cell);
    stage_exit(cell);
    check_letters();
}

/* ---- free cells ---- */

static struct trp_table *table;
static struct trp_cells *stocks[WORKERS]; /* of contexts */
static struct troupe_actor *bundle;
static struct troupe_actor *taken[WORKERS]; /* ghost */

static void set_up_stocks(uint32_t limit)
{
    runtime = limit < TRP_TABLE_SMALL ? stage_open(0, limit) : stage_open_bare(0, limit);
    table = &runtime->table;
    for (unsigned i = 0; i < WORKERS; i++) {
        stocks[i] = explore_alloc(sizeof *stocks[i], 64);
        *stocks[i] = (struct trp_cells){0};
        taken[i] = NULL;
    }
}

static void set_up_shared(void)
{
    set_up_stocks(2);
}

/* The first context has one cell less than it takes to give a bundle away, and there is none beside. */
static void set_up_bundle(void)
{
    set_up_stocks(TRP_TABLE_SMALL);
    atomic_init(&table->segment_count, TRP_TABLE_SMALL / TRP_TABLE_SEGMENT);
    bundle = explore_alloc((TRP_TABLE_BUNDLE + 1) * sizeof *bundle, alignof(struct troupe_actor));
    for (unsigned i = 0; i < TRP_TABLE_BUNDLE; i++) {
        bundle[i].arg = NULL;
        bundle[i].link = &bundle[i + 1];
    }
    bundle[TRP_TABLE_BUNDLE].link = NULL;
    stocks[0]->first = &bundle[0];
    stocks[0]->last = &bundle[TRP_TABLE_BUNDLE - 1];
    /* Those that are left when the bundle is gone are not there: nobody asks for them. */
    stocks[0]->count = TRP_TABLE_REST + 2 * TRP_TABLE_BUNDLE - 1;
}

static void take(unsigned number)
{
    struct troupe_actor *actor = NULL;
    int error = trp_table_take(table, stocks[number], &actor);

    explore_check(error == TROUPE_OK || error == TROUPE_ELIMIT);
    explore_check((error == TROUPE_OK) == (actor != NULL));
    if (actor != NULL) {
        for (unsigned i = 0; i < WORKERS; i++) {
            explore_check(taken[i] != actor);
        }
        /* Plain: whoever had it is done with it. */
        actor->serial = explore_self();
        taken[number] = actor;
    }
}

static void give(unsigned number)
{
    struct troupe_actor *actor = taken[number];

    taken[number] = NULL;
    if (actor != NULL) {
        actor->serial = 0;
        trp_table_give(table, stocks[number], actor);
    }
}

static void take_and_give(void)
{
    take(0);
    give(0);
    take(0);
}

static void take_second(void)
{
    take(1);
    give(1);
}

static void take_third(void)
{
    take(2);
}

static void check_shared(void)
{
    give(0);
    give(2);
    for (unsigned i = 0; i < 2; i++) {
        take(i);
        explore_check(taken[i] != NULL);
    }
    take(2);
    explore_check(taken[2] == NULL);
}

static void give_bundle(void)
{
    trp_table_give(table, stocks[0], &bundle[TRP_TABLE_BUNDLE]);
}

static void check_bundle(void)
{
    unsigned takers = (taken[1] != NULL) + (taken[2] != NULL);

    explore_check(takers <= 1);
    explore_check((table->spare != NULL) == (takers == 0));
    explore_check(stocks[1]->count + stocks[2]->count == takers * (TRP_TABLE_BUNDLE - 1));
}

static void take_bundle(void)
{
    take(1);
}

static const struct explore_scenario scenarios[] = {
    {.name = "one sends to an actor that ends",
        .setup = set_up,
        .threads = {end, send_to_old},
        .check = check_end,
        .deviations = 4},
    {.name = "two send to an actor that ends",
        .setup = set_up,
        .threads = {end, send_to_old, send_to_old_too},
        .check = check_end,
        .deviations = 2},
    {.name = "one is born in the cell of another, and both are sent to",
        .setup = set_up,
        .threads = {end_and_spawn, send_to_old, send_to_new},
        .check = check_spawn,
        .deviations = 2},
    {.name = "the first of a segment is sent to",
        .setup = set_up_bare,
        .threads = {spawn_first, find_first, look_at_all},
        .check = check_first,
        .deviations = 2},
    {.name = "cells of a small table are taken and given",
        .setup = set_up_shared,
        .threads = {take_and_give, take_second, take_third},
        .check = check_shared,
        .deviations = 6},
    {.name = "a bundle of cells is given, and two want it",
        .setup = set_up_bundle,
        .threads = {give_bundle, take_bundle, take_third},
        .check = check_bundle,
        .deviations = 6},
};

static const struct explore_plant plants[] = {
    {"a newborn is published before it is whole", &scenarios[2], "trp_actor_spawn", EXPLORE_STORE,
        3, EXPLORE_RELAX, 0, "race"},
    {"a pid is read without acquire", &scenarios[2], "trp_table_find", EXPLORE_LOAD, 1,
        EXPLORE_RELAX, 0, "race"},
    {"the seal leaves the pid", &scenarios[2], "seal", EXPLORE_STORE, 0, EXPLORE_FORGET, 0,
        "trp_actor_find"},
    {"a segment is published before its cells", &scenarios[3], "grow", EXPLORE_STORE, 0,
        EXPLORE_RELAX, 0, "race"},
    {"a segment is found without acquire", &scenarios[3], "trp_table_find", EXPLORE_LOAD, 0,
        EXPLORE_RELAX, 0, "race"},
    {"the number of segments is published before them", &scenarios[3], "grow", EXPLORE_STORE, 1,
        EXPLORE_RELAX, 0, "race"},
    {"cells are taken without the lock", &scenarios[4], "take_shared", EXPLORE_LOCK, 0,
        EXPLORE_FORGET, 0, "race"},
    {"a bundle is given without the lock", &scenarios[5], "trp_table_give", EXPLORE_LOCK, 0,
        EXPLORE_FORGET, 0, "race"},
};

EXPLORE_PART(table, scenarios, plants);
