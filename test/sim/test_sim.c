/* SPDX-License-Identifier: MIT */
/*
 * Simulation: the same seed is the same run, other seeds are other runs, and a lost wake-up is found.
 *
 * The program that is simulated: pairs that play ping-pong, started from outside so that the injection queue and
 * parking take part; and a tree whose worker fails now and then and is restarted.
 */
#include <criterion/criterion.h>

#include <troupe.h>

#include "sim.h"

#define WORKERS 4
#define SEEDS 100
#define PAIRS 6
#define ROUNDS 40
#define STEPS_MAX 200000

static const struct troupe_type ball = TROUPE_TYPE(uint32_t);
static const struct troupe_type work = TROUPE_TYPE(uint32_t);
static const struct troupe_type tick = TROUPE_SIGNAL;

/* ---- ping-pong ---- */

struct player {
    troupe_pid peer;
    uint32_t hits;
};

static int player_init(struct troupe_actor *self, void *state, const void *arg)
{
    struct player *player = state;

    (void)self;
    player->peer = *(const troupe_pid *)arg;
    return TROUPE_OK;
}

static int player_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct player *player = state;
    uint32_t left;

    if (!troupe_is(msg, &ball)) {
        return TROUPE_EUNKNOWN;
    }
    left = *(const uint32_t *)troupe_body(msg);
    player->hits++;
    if (left == 0) {
        return TROUPE_OK;
    }
    left--;
    return troupe_send(self,
        troupe_sender(msg) != TROUPE_NOBODY ? troupe_sender(msg) : player->peer, &ball, &left);
}

static const struct troupe_behaviour player_behaviour = {
    .name = "player",
    .state_size = sizeof(struct player),
    .init = player_init,
    .receive = player_receive,
};

static troupe_pid spawn_player(struct troupe_runtime *runtime, troupe_pid peer)
{
    struct troupe_spawn_options options = {
        .behaviour = &player_behaviour, .arg = &peer, .arg_size = sizeof peer};
    troupe_pid pid;

    cr_assert_eq(troupe_runtime_spawn(runtime, &options, &pid), TROUPE_OK);
    return pid;
}

static void serve_from_outside(
    struct troupe_runtime *runtime, troupe_pid to, const struct troupe_type *type, uint32_t count)
{
    struct troupe_message *msg;

    cr_assert_eq(troupe_message_create(runtime, type, 0, &msg), TROUPE_OK);
    *(uint32_t *)troupe_body(msg) = count;
    cr_assert_eq(troupe_try_send(runtime, to, msg), TROUPE_OK);
}

/* Begins one pair after the other, a few steps apart, so that workers sleep in between. */
static void play(struct troupe_runtime *runtime)
{
    for (unsigned i = 0; i < PAIRS; i++) {
        troupe_pid second = spawn_player(runtime, TROUPE_NOBODY);
        troupe_pid first = spawn_player(runtime, second);

        serve_from_outside(runtime, first, &ball, ROUNDS);
        if (trp_sim_run(50) == TRP_SIM_STALLED) {
            return;
        }
    }
}

/* ---- a tree with a worker that fails ---- */

static int miner_init(struct troupe_actor *self, void *state, const void *arg)
{
    (void)state;
    (void)arg;
    return troupe_tick_every(self, 3, &tick, NULL, NULL);
}

static int miner_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    (void)state;
    if (troupe_is(msg, &tick)) {
        return TROUPE_OK;
    }
    if (!troupe_is(msg, &work)) {
        return TROUPE_EUNKNOWN;
    }
    return *(const uint32_t *)troupe_body(msg) % 3 == 0
        ? troupe_fail(self, TROUPE_EPROTO, "struck water")
        : TROUPE_OK;
}

static const struct troupe_behaviour miner_behaviour = {
    .name = "miner", .init = miner_init, .receive = miner_receive};

static const struct troupe_child_spec miners[] = {
    {.id = "stable", .behaviour = &miner_behaviour, .keep_mailbox = true},
    {.id = "fresh", .behaviour = &miner_behaviour},
    {.id = "resting", .behaviour = &miner_behaviour, .restart = TROUPE_TRANSIENT},
};

static const struct troupe_supervisor_spec mine = {
    .name = "mine",
    .strategy = TROUPE_ONE_FOR_ALL,
    .intensity = 1000,
    .period_ms = 1000,
    .children = miners,
    .child_count = TROUPE_COUNT(miners),
};

static void dig(struct troupe_runtime *runtime)
{
    static const char *const names[] = {"mine.stable", "mine.fresh", "mine.resting"};
    troupe_pid top;

    cr_assert_eq(troupe_supervisor_start(runtime, &mine, 1000, &top), TROUPE_OK);
    for (uint32_t i = 1; i <= 30; i++) {
        troupe_pid pid = troupe_runtime_whereis(runtime, names[i % TROUPE_COUNT(names)]);

        if (pid != TROUPE_NOBODY && troupe_is_alive(runtime, pid)) {
            serve_from_outside(runtime, pid, &work, i);
        }
        if (trp_sim_run(20) == TRP_SIM_STALLED) {
            return;
        }
    }
}

/* ---- one simulated run ---- */

struct run {
    enum trp_sim_end end;
    uint64_t hash;
    uint64_t faults;
    uint64_t restarts;
};

static void check_books(struct troupe_runtime *runtime)
{
    struct troupe_books books;

    cr_assert_eq(troupe_runtime_books(runtime, &books), TROUPE_OK);
    cr_assert_eq(books.sent,
        books.handled + books.refused + books.shed + books.dead + books.bounced + books.queued);
    cr_assert_eq(books.queued, 0, "%lu messages are nowhere", (unsigned long)books.queued);
    cr_assert_eq(books.spawned, books.exited);
}

static struct run simulate(uint64_t seed, uint32_t lost_wake_odds)
{
    struct trp_sim_options options = {.seed = seed};
    struct troupe_runtime_options runtime_options = {
        .workers = WORKERS, .watchdog_ms = TROUPE_NO_WATCHDOG, .seed = seed + 1};
    struct troupe_runtime *runtime;
    struct troupe_books books;
    struct run run = {0};

    options.fault_odds[TRP_FAULT_LOST_WAKE] = lost_wake_odds;
    trp_sim_begin(&options);
    cr_assert_eq(troupe_runtime_create(&runtime_options, &runtime), TROUPE_OK);
    cr_assert_eq(troupe_runtime_start(runtime), TROUPE_OK);
    trp_sim_attach(runtime);
    play(runtime);
    if (lost_wake_odds == 0) {
        dig(runtime);
    }
    run.end = trp_sim_run(lost_wake_odds == 0 ? 3000 : STEPS_MAX);
    run.hash = trp_sim_hash();
    run.faults = trp_sim_faults(TRP_FAULT_LOST_WAKE);
    cr_assert_eq(troupe_runtime_books(runtime, &books), TROUPE_OK);
    run.restarts = books.restarts;
    if (run.end == TRP_SIM_STALLED) {
        /* Found: nothing more can be done in a world that stands still. */
        return run;
    }
    cr_assert_eq(troupe_runtime_stop(runtime, 10000), TROUPE_OK);
    check_books(runtime);
    trp_sim_attach(NULL);
    cr_assert_eq(troupe_runtime_destroy(runtime), TROUPE_OK);
    return run;
}

Test(sim, the_same_seed_is_the_same_run, .timeout = 60)
{
    for (uint64_t seed = 1; seed <= 10; seed++) {
        struct run first = simulate(seed, 0);
        struct run second = simulate(seed, 0);

        cr_assert_eq(first.hash, second.hash, "seed %lu does not replay", (unsigned long)seed);
        cr_assert_gt(first.restarts, 0, "seed %lu: nothing was restarted", (unsigned long)seed);
    }
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

Test(sim, a_hundred_seeds_are_at_least_ninety_five_different_runs, .timeout = 120)
{
    uint64_t hashes[SEEDS];
    unsigned different = 1;

    for (unsigned i = 0; i < SEEDS; i++) {
        hashes[i] = simulate(1000 + i, 0).hash;
    }
    qsort(hashes, SEEDS, sizeof hashes[0], compare);
    for (unsigned i = 1; i < SEEDS; i++) {
        different += hashes[i] != hashes[i - 1];
    }
    cr_log_info("%u seeds, %u different runs", SEEDS, different);
    cr_assert_geq(different, 95);
}

Test(sim, no_run_stalls_while_no_wake_up_is_lost, .timeout = 120)
{
    for (unsigned seed = 1; seed <= SEEDS; seed++) {
        cr_assert_neq(simulate(seed, 0).end, TRP_SIM_STALLED, "seed %u stalls", seed);
    }
}

Test(sim, a_lost_wake_up_is_found_within_a_hundred_seeds, .timeout = 120)
{
    unsigned found = 0;
    unsigned first = 0;

    for (unsigned seed = 1; seed <= SEEDS; seed++) {
        struct run run = simulate(seed, 6554);

        if (run.end == TRP_SIM_STALLED) {
            cr_assert_gt(run.faults, 0);
            found++;
            first = first > 0 ? first : seed;
        }
    }
    cr_log_info("lost wake-ups planted at 1 in 10: %u of %u seeds stall, the first is %u", found,
        SEEDS, first);
    cr_assert_gt(found, 0);
}
