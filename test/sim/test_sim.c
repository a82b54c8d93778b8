/* SPDX-License-Identifier: MIT */
/*
 * Simulation: the same seed is the same run, other seeds are other runs, no run hangs, and a lost wake-up is found.
 *
 * The program that is simulated, on 4 virtual workers, by a virtual thread that is none of them: pairs that play
 * ping-pong, and a tree of which one child fails now and then, so that all are restarted.  Between two things that it
 * does the foreign thread lets the workers run for a while, every other time until all of them sleep: only then does a
 * wake-up matter.
 *
 * TROUPE_SIM_SEED=N runs that seed alone, and prints every step to standard error.
 */
#include <criterion/criterion.h>
#include <inttypes.h>
#include <signal.h>

#include <troupe.h>

#include "sim.h"
#include "test/support/allocator.h"
#include "test/support/random.h"

#define WORKERS 4
#define SEEDS 100
#define PAIRS 4
#define ROUNDS 30
#define LOADS 20
#define STEPS_MAX 1000000
#define STOPS 60

/** Of 65536 wake-ups, so many are lost where that is planted: about one in a hundred. */
#define LOST_WAKE_ODDS 656

static const struct troupe_type ball = TROUPE_TYPE(uint32_t);
static const struct troupe_type load = TROUPE_TYPE(uint32_t);
static const struct troupe_type tick = TROUPE_SIGNAL;

/* ---- one simulated run ---- */

struct world {
    struct troupe_runtime *runtime;
    struct test_allocator memory;
    struct test_random random;
    uint32_t hits;  /* of all players */
    uint32_t pairs; /* that began to play */
    bool stalled;
};

static struct world world;

/* What must hold; if it does not, the seed and the last steps say where. */
static void must(bool holds, const char *what)
{
    if (!holds) {
        trp_sim_print(stderr);
        cr_assert_fail("%s", what);
    }
}

static void print_and_abort(int signal_number)
{
    trp_sim_print(stderr);
    signal(signal_number, SIG_DFL);
    raise(signal_number);
}

/* Lets the others run.  False: a wake-up was lost. */
static bool pause_a_while(void)
{
    bool to_the_end = test_below(&world.random, 2) == 0;
    uint64_t steps = to_the_end ? STEPS_MAX : test_below(&world.random, 60);

    world.stalled = world.stalled || trp_sim_run(steps, 0) == TRP_SIM_STALLED;
    return !world.stalled;
}

static void send_from_outside(troupe_pid to, const struct troupe_type *type, uint32_t number)
{
    struct troupe_message *msg;

    must(troupe_message_create(world.runtime, type, 0, &msg) == TROUPE_OK, "no message");
    *(uint32_t *)troupe_body(msg) = number;
    if (troupe_try_send(world.runtime, to, msg) < 0) {
        troupe_message_destroy(msg);
    }
}

/* ---- ping-pong ---- */

struct player {
    troupe_pid peer;
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
    const struct player *player = state;
    troupe_pid from = troupe_sender(msg);
    uint32_t left;

    if (!troupe_is(msg, &ball)) {
        return TROUPE_EUNKNOWN;
    }
    left = *(const uint32_t *)troupe_body(msg);
    world.hits++;
    if (left == 0) {
        return TROUPE_OK;
    }
    left--;
    return troupe_send(self, from != TROUPE_NOBODY ? from : player->peer, &ball, &left);
}

static const struct troupe_behaviour player_behaviour = {
    .name = "player",
    .state_size = sizeof(struct player),
    .init = player_init,
    .receive = player_receive,
};

static troupe_pid spawn_player(troupe_pid peer)
{
    struct troupe_spawn_options options = {
        .behaviour = &player_behaviour, .arg = &peer, .arg_size = sizeof peer};
    troupe_pid pid = TROUPE_NOBODY;

    must(troupe_runtime_spawn(world.runtime, &options, &pid) == TROUPE_OK, "no player");
    return pid;
}

/* Begins one pair after the other. */
static void play(void)
{
    while (world.pairs < PAIRS && pause_a_while()) {
        troupe_pid second = spawn_player(TROUPE_NOBODY);
        troupe_pid first = spawn_player(second);

        world.pairs++;
        send_from_outside(first, &ball, ROUNDS - 1);
    }
}

/* ---- a tree with a child that fails ---- */

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
    if (!troupe_is(msg, &load)) {
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

/* Gives the miners work that they fail at, then tells the tree to stop. */
static void dig(void)
{
    static const char *const names[] = {"mine.stable", "mine.fresh", "mine.resting"};
    troupe_pid top = TROUPE_NOBODY;
    int error;

    if (world.stalled) {
        return;
    }
    error = troupe_supervisor_start(world.runtime, &mine, 1000, &top);
    if (!pause_a_while()) {
        return;
    }
    must(error == TROUPE_OK, "the tree does not start");
    for (uint32_t i = 1; i <= LOADS; i++) {
        troupe_pid pid = troupe_runtime_whereis(
            world.runtime, names[test_below(&world.random, TROUPE_COUNT(names))]);

        if (pid != TROUPE_NOBODY) {
            send_from_outside(pid, &load, i);
        }
        if (!pause_a_while()) {
            return;
        }
    }
    must(troupe_runtime_exit(world.runtime, top, TROUPE_EXIT_SHUTDOWN) == TROUPE_OK, "no tree");
}

/* ---- from the beginning to the end ---- */

struct run {
    uint64_t hash;
    uint64_t steps;
    uint64_t faults;
    uint64_t restarts;
    bool stalled;
};

static void check_books(void)
{
    struct troupe_books books;

    must(troupe_runtime_books(world.runtime, &books) == TROUPE_OK, "no books");
    must(books.queued == 0, "messages are nowhere");
    must(books.spawned == books.exited, "actors are nowhere");
}

static void open_world(uint64_t seed, uint32_t lost_wake_odds)
{
    struct trp_sim_options options = {
        .seed = seed,
        .steps_max = STEPS_MAX,
        .trace = getenv("TROUPE_SIM_SEED") != NULL ? stderr : NULL,
    };
    struct troupe_allocator allocator = test_allocator_of(&world.memory);
    struct troupe_runtime_options runtime_options = {
        .workers = WORKERS,
        .watchdog_ms = TROUPE_NO_WATCHDOG,
        .seed = seed + 1,
        .allocator = &allocator,
    };

    world = (struct world){.random = test_random_of(seed)};
    options.fault_odds[TRP_FAULT_LOST_WAKE] = lost_wake_odds;
    signal(SIGABRT, print_and_abort);
    trp_sim_begin(&options);
    must(troupe_runtime_create(&runtime_options, &world.runtime) == TROUPE_OK, "no runtime");
    trp_sim_attach(world.runtime);
    must(troupe_runtime_start(world.runtime) == TROUPE_OK, "no start");
}

/* After the tree has stopped nothing ticks any more: all sleep for good, and every ball was played. */
static void finish(void)
{
    enum trp_sim_end end = trp_sim_run(STEPS_MAX, 10000);

    if (world.stalled || end == TRP_SIM_STALLED) {
        world.stalled = true;
        return;
    }
    must(end == TRP_SIM_QUIET, "there is no end to it");
    must(world.hits == PAIRS * ROUNDS, "a ball was lost");
}

static void close_world(void)
{
    trp_sim_mend();
    must(troupe_runtime_stop(world.runtime, 10000) == TROUPE_OK, "the runtime does not stop");
    check_books();
    trp_sim_attach(NULL);
    must(troupe_runtime_destroy(world.runtime) == TROUPE_OK, "the runtime stays");
    must(world.memory.blocks == 0, "memory was not given back");
}

static struct run simulate(uint64_t seed, uint32_t lost_wake_odds)
{
    struct troupe_books books;
    struct run run;

    open_world(seed, lost_wake_odds);
    play();
    dig();
    finish();
    must(troupe_runtime_books(world.runtime, &books) == TROUPE_OK, "no books");
    run = (struct run){
        .hash = trp_sim_hash(),
        .steps = trp_sim_steps(),
        .faults = trp_sim_faults(TRP_FAULT_LOST_WAKE),
        .restarts = books.restarts,
        .stalled = world.stalled,
    };
    close_world();
    return run;
}

/* ---- many runs ---- */

/* The seeds to try: 1 to SEEDS, or the one that was asked for. */
static uint64_t first_seed(void)
{
    const char *wanted = getenv("TROUPE_SIM_SEED");

    return wanted != NULL ? strtoull(wanted, NULL, 10) : 1;
}

static uint64_t last_seed(void)
{
    return getenv("TROUPE_SIM_SEED") != NULL ? first_seed() : SEEDS;
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

static unsigned count_different(uint64_t *hashes, unsigned count)
{
    unsigned different = 1;

    qsort(hashes, count, sizeof hashes[0], compare);
    for (unsigned i = 1; i < count; i++) {
        different += hashes[i] != hashes[i - 1];
    }
    return different;
}

Test(sim, the_same_seed_is_the_same_run_with_and_without_faults, .timeout = 60)
{
    for (uint64_t seed = first_seed(); seed <= last_seed() && seed < first_seed() + 20; seed++) {
        uint32_t odds = seed % 2 == 0 ? LOST_WAKE_ODDS : 0;
        struct run first = simulate(seed, odds);
        struct run second = simulate(seed, odds);

        cr_assert_eq(first.hash, second.hash, "seed %" PRIu64 " does not replay", seed);
        cr_assert_eq(first.steps, second.steps, "seed %" PRIu64 " does not replay", seed);
    }
}

Test(sim, a_hundred_seeds_are_at_least_ninety_five_runs_and_none_hangs, .timeout = 60)
{
    uint64_t hashes[SEEDS];
    uint64_t restarts = 0;
    uint64_t steps = 0;
    unsigned count = 0;
    unsigned different;

    for (uint64_t seed = first_seed(); seed <= last_seed(); seed++) {
        struct run run = simulate(seed, 0);

        cr_assert_not(run.stalled, "seed %" PRIu64 " hangs", seed);
        hashes[count++] = run.hash;
        restarts += run.restarts;
        steps += run.steps;
    }
    different = count_different(hashes, count);
    cr_log_info("%u seeds: %u different runs, %" PRIu64 " restarts, %" PRIu64 " steps", count,
        different, restarts, steps);
    cr_assert_geq(different, count * 95 / 100);
    cr_assert_gt(restarts, 0);
}

/* What went wrong: a worker that was woken while it was on its way into the poller took with it the wake-up of the next
 * one on its way there, who then slept while the runtime waited for its end. */
Test(sim, a_runtime_stops_whoever_is_on_the_way_to_sleep, .timeout = 60)
{
    for (uint64_t seed = first_seed(); seed <= last_seed(); seed++) {
        for (uint64_t i = 0; i < STOPS; i++) {
            open_world(seed * STOPS + i, 0);
            send_from_outside(spawn_player(TROUPE_NOBODY), &ball, 0);
            (void)trp_sim_run(i, 0);
            close_world();
        }
    }
}

Test(sim, a_planted_lost_wake_up_is_found_within_a_hundred_seeds, .timeout = 60)
{
    unsigned found = 0;
    unsigned first = 0;

    for (uint64_t seed = first_seed(); seed <= last_seed(); seed++) {
        struct run run = simulate(seed, LOST_WAKE_ODDS);

        if (run.stalled) {
            cr_assert_gt(run.faults, 0, "seed %" PRIu64 " hangs by itself", seed);
            found++;
            first = first > 0 ? first : (unsigned)seed;
        }
    }
    cr_log_info("one wake-up in a hundred lost: %u of %u seeds hang, the first is %u", found, SEEDS,
        first);
    cr_assert_gt(found, 0);
}
