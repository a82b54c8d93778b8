/* SPDX-License-Identifier: MIT */
/*
 * Simulation: the same seed is the same run, other seeds are other runs, no run hangs, and a lost wake-up is found.
 *
 * The programs of program.h run on 4 virtual workers.  TROUPE_SIM_SEED=N runs that seed alone, and prints every step to
 * standard error.
 */
#include <criterion/criterion.h>
#include <inttypes.h>

#include "program.h"

#define WORKERS 4
#define SEEDS 100
#define STOPS 15
#define QUARRELS 3

/** Of 65536 wake-ups, so many are lost where that is planted: about one in a hundred. */
#define LOST_WAKE_ODDS 656

/* ---- from the beginning to the end ---- */

struct run {
    uint64_t hash;
    uint64_t steps;
    uint64_t restarts;
    bool stalled;
};

static struct troupe_books read_books(void)
{
    struct troupe_books books = {0};

    must(troupe_runtime_books(world.runtime, &books) == TROUPE_OK, "no books");
    return books;
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
        .blocking_threads = 3,
        .blocking_queue = 20,
        .blocking_idle_ms = 5,
    };

    world = (struct world){.random = test_random_of(seed)};
    options.fault_odds[TRP_FAULT_LOST_WAKE] = lost_wake_odds;
    trp_sim_begin(&options);
    must(troupe_runtime_create(&runtime_options, &world.runtime) == TROUPE_OK, "no runtime");
    trp_sim_attach(world.runtime);
    must(troupe_runtime_start(world.runtime) == TROUPE_OK, "no start");
}

/* After the tree has stopped nothing ticks any more: all sleep for good, and everything has come to its end. */
static void finish(void)
{
    enum trp_sim_end end = trp_sim_run(STEPS_MAX, 10000);

    if (world.stalled || end == TRP_SIM_STALLED) {
        must(trp_sim_faults(TRP_FAULT_LOST_WAKE) > 0, "all sleep, and there is work");
        world.stalled = true;
        return;
    }
    must(end == TRP_SIM_QUIET, "there is no end to it");
    must(read_books().queued == 0, "a message is nowhere");
    must(world.hits == PAIRS * ROUNDS, "a ball was lost");
    must(world.greeted == GUESTS + FRIENDS * VISITS, "a guest was lost");
    must(world.asked > 0 && world.outcomes == world.asked, "a request has no outcome, or two");
    must(world.errands == ERRANDS && world.errand_ends == world.errands,
        "an errand has no end, or two");
    must(world.sought == QUESTIONS && world.found == world.sought, "a call does not return");
}

/* What raced into an actor that had ended may still be queued after the stop; destroy frees it. */
static void close_world(void)
{
    struct troupe_books books;

    trp_sim_mend();
    must(troupe_runtime_stop(world.runtime, 10000) == TROUPE_OK, "the runtime does not stop");
    books = read_books();
    must(books.spawned == books.exited, "an actor is nowhere");
    trp_sim_attach(NULL);
    must(troupe_runtime_destroy(world.runtime) == TROUPE_OK, "the runtime stays");
    must(world.memory.blocks == 0, "memory was not given back");
}

static struct run simulate(uint64_t seed, uint32_t lost_wake_odds)
{
    struct run run;

    open_world(seed, lost_wake_odds);
    play();
    crowd();
    hunt();
    ask();
    run_errands();
    seek();
    dig();
    finish();
    run = (struct run){
        .hash = trp_sim_hash(),
        .steps = trp_sim_steps(),
        .restarts = read_books().restarts,
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
            (void)trp_sim_run(test_below(&world.random, 60), 0);
            close_world();
        }
    }
}

/* What went wrong: the next life of a child that keeps its mailbox had been asked for, the last one was still on its way
 * out, and the supervisor told it to stop.  Nobody heard, and no second notice came: the group waited for ever. */
Test(sim, a_stop_between_two_lives_is_heard, .timeout = 100)
{
    for (uint64_t seed = first_seed(); seed <= last_seed(); seed++) {
        for (uint64_t i = 0; i < QUARRELS; i++) {
            open_world(seed * QUARRELS + i, 0);
            quarrel();
            close_world();
        }
    }
}

static struct run simulate_threads(uint64_t seed)
{
    struct run run;

    open_world(seed, 0);
    rove();
    run = (struct run){.hash = trp_sim_hash(), .steps = trp_sim_steps()};
    close_world();
    return run;
}

Test(sim, thread_actors_run_on_virtual_threads, .timeout = 60)
{
    uint64_t hashes[SEEDS];
    unsigned count = 0;

    for (uint64_t seed = first_seed(); seed <= last_seed() && count < 30; seed++) {
        struct run first = simulate_threads(seed);
        struct run second = simulate_threads(seed);

        cr_assert_eq(first.hash, second.hash, "seed %" PRIu64 " does not replay", seed);
        cr_assert_eq(first.steps, second.steps, "seed %" PRIu64 " does not replay", seed);
        hashes[count++] = first.hash;
    }
    cr_assert_eq(count_different(hashes, count), count, "seeds make no difference");
}

static struct run simulate_jobs(uint64_t seed)
{
    struct run run;

    open_world(seed, 0);
    labour();
    run = (struct run){.hash = trp_sim_hash(), .steps = trp_sim_steps()};
    must(world.toils > 0 && world.dropped > 0, "all went one way");
    close_world();
    return run;
}

Test(sim, jobs_run_on_virtual_threads_and_each_has_one_end, .timeout = 60)
{
    uint64_t hashes[SEEDS];
    unsigned count = 0;

    for (uint64_t seed = first_seed(); seed <= last_seed(); seed++) {
        struct run first = simulate_jobs(seed);
        struct run second = simulate_jobs(seed);

        cr_assert_eq(first.hash, second.hash, "seed %" PRIu64 " does not replay", seed);
        cr_assert_eq(first.steps, second.steps, "seed %" PRIu64 " does not replay", seed);
        hashes[count++] = first.hash;
    }
    cr_assert_geq(count_different(hashes, count), count * 95 / 100);
}

Test(sim, a_planted_lost_wake_up_is_found_within_a_hundred_seeds, .timeout = 60)
{
    unsigned found = 0;
    unsigned first = 0;

    for (uint64_t seed = first_seed(); seed <= last_seed(); seed++) {
        struct run run = simulate(seed, LOST_WAKE_ODDS);

        if (run.stalled) {
            found++;
            first = first > 0 ? first : (unsigned)seed;
        }
    }
    cr_log_info(
        "one wake-up in a hundred lost: %u of %u seeds hang, the first is %u", found, SEEDS, first);
    cr_assert_gt(found, 0);
}
