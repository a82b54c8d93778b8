/* SPDX-License-Identifier: MIT */
/*
 * pool: blocks of one pool are freed in others while their owner allocates.  No block is had by two, what was written
 * before it was freed comes before what is written afterwards, and in the end every block is there once.
 */
#include "sched/pool.h"

#include "test/explore/explore.h"

enum {
    POOLS = 3,
    BLOCKS = 3,
    CLASS = 8, /* cut one at a time, so that an empty list is looked round at once */
};

/* What a user has of a block; the first words are the pool's while it is free. */
struct cargo {
    unsigned char links[TRP_POOL_LINKS];
    unsigned user;
    _Atomic unsigned serial; /* of a stable block */
};

static struct trp_memory *memory;
static struct trp_pool *pools[POOLS];
static unsigned class;

/* Blocks that are known from the beginning, and what must be true of them. */
static struct cargo *blocks[BLOCKS];
static bool used[BLOCKS];
static unsigned serials[BLOCKS];

/* Its number, or BLOCKS if it is another one. */
static unsigned number_of(const struct cargo *cargo)
{
    unsigned number = 0;

    while (number < BLOCKS && blocks[number] != cargo) {
        number++;
    }
    return number;
}

static unsigned serial_of(struct cargo *cargo)
{
    /* relaxed: as of a timer, through a stale handle. */
    return atomic_load_explicit(&cargo->serial, memory_order_relaxed);
}

static struct cargo *take(unsigned pool)
{
    struct cargo *cargo = trp_pool_alloc(pools[pool], class);
    unsigned number = number_of(cargo);

    explore_check(cargo != NULL);
    if (number < BLOCKS) {
        explore_check(!used[number]);
        used[number] = true;
        explore_check(class != TRP_POOL_STABLE || serial_of(cargo) == serials[number]);
    }
    /* Plain: who had it must be done with it. */
    cargo->user = explore_self();
    return cargo;
}

static void give(unsigned pool, struct cargo *cargo)
{
    unsigned number = number_of(cargo);

    if (number < BLOCKS) {
        explore_check(used[number]);
        used[number] = false;
    }
    cargo->user = 0;
    trp_pool_free(pools[pool], cargo, class);
}

/* What `pool` has of others; twice, because a list is put aside first. */
static void send_home(unsigned pool)
{
    trp_pool_spill(pools[pool], class);
    trp_pool_spill(pools[pool], class);
}

/* ---- setup and check ---- */

static void make_pools(unsigned its_class)
{
    class = its_class;
    memory = explore_alloc(sizeof *memory, 64);
    trp_memory_init(memory, &explore_allocator, UINT64_MAX);
    for (unsigned i = 0; i < POOLS; i++) {
        pools[i] = explore_alloc(sizeof *pools[i], 64);
        trp_pool_init(pools[i], memory);
    }
    for (unsigned i = 0; i < BLOCKS; i++) {
        blocks[i] = NULL;
    }
}

static void make_block(unsigned number, unsigned pool)
{
    blocks[number] = take(pool);
    used[number] = true;
    serials[number] = 0;
}

static void set_up(void)
{
    make_pools(CLASS);
    make_block(0, 0);
    make_block(1, 0);
    make_block(2, 0);
}

static void set_up_crosswise(void)
{
    make_pools(CLASS);
    make_block(0, 0);
    make_block(1, 0);
    make_block(2, 1);
}

/* With no block left that was cut: the next one comes home, or is new. */
static void set_up_stable(void)
{
    make_pools(TRP_POOL_STABLE);
    make_block(0, 0);
    make_block(1, 0);
    make_block(2, 0);
    while (pools[0]->lists[class].free != NULL) {
        (void)take(0);
    }
}

/* Has every block that `pool` ever cut and that is free, each once. */
static void take_all(unsigned pool)
{
    const char *uncut = pools[pool]->lists[class].uncut;

    while (uncut != NULL && (const char *)take(pool) < uncut) {
    }
}

static void check(void)
{
    for (unsigned i = 0; i < POOLS; i++) {
        trp_pool_check(pools[i]);
        trp_pool_trim(pools[i]);
    }
    for (unsigned i = 0; i < POOLS; i++) {
        take_all(i);
    }
    for (unsigned i = 0; i < BLOCKS; i++) {
        explore_check(used[i]);
    }
}

/* ---- threads ---- */

static void own(void)
{
    struct cargo *one = take(0);
    struct cargo *two = take(0);

    give(0, one);
    one = take(0);
    give(0, two);
    give(0, one);
}

static void free_two(void)
{
    give(1, blocks[0]);
    give(1, blocks[1]);
    send_home(1);
}

static void free_one(void)
{
    give(2, blocks[2]);
    trp_pool_trim(pools[2]);
}

static void take_one_for_two(void)
{
    struct cargo *one;

    give(0, blocks[2]);
    send_home(0);
    one = take(0);
    give(0, one);
}

static void take_two_for_one(void)
{
    free_two();
    (void)take(1);
    (void)take(1);
}

/* Uses a stable block once more: stale handles miss from now on. */
static void expire(unsigned number)
{
    serials[number]++;
    /* relaxed: as of a timer. */
    atomic_store_explicit(&blocks[number]->serial, serials[number], memory_order_relaxed);
}

static void own_stable(void)
{
    for (unsigned i = 0; i < 2; i++) {
        unsigned number = number_of(take(0));

        if (number < BLOCKS) {
            expire(number);
        }
    }
}

static void free_stable(void)
{
    expire(0);
    give(1, blocks[0]);
    trp_pool_trim(pools[1]);
}

/* Has a handle to a block, whoever uses it or none: a number comes back, which never goes back. */
static void look_stale(void)
{
    unsigned first = serial_of(blocks[0]);
    unsigned second = serial_of(blocks[0]);

    explore_check(first <= second && second <= 2);
}

static const struct explore_scenario scenarios[] = {
    {.name = "the owner allocates while two free",
        .setup = set_up,
        .threads = {own, free_two, free_one},
        .check = check,
        .deviations = 4},
    {.name = "two free each other's blocks",
        .setup = set_up_crosswise,
        .threads = {take_one_for_two, take_two_for_one},
        .check = check,
        .deviations = 5},
    {.name = "a stable block is looked at",
        .setup = set_up_stable,
        .threads = {own_stable, free_stable, look_stale},
        .check = check,
        .deviations = 4},
};

static const struct explore_plant plants[] = {
    {"a chain is pushed before it names the next", &scenarios[0], "ck_stack_push_upmc",
        EXPLORE_FENCE, 0, EXPLORE_FORGET, 0, "race"},
    {"a push forgets who came between", &scenarios[0], "instead_swap", EXPLORE_SWAP, 0,
        EXPLORE_BLIND, 0, "used[i]"},
    {"a push looks and swaps in two steps", &scenarios[0], "instead_swap", EXPLORE_SWAP, 0,
        EXPLORE_TEAR, 0, "used[i]"},
    {"an inbox is taken in two steps", &scenarios[0], "ck_stack_batch_pop_upmc", EXPLORE_EXCHANGE,
        0, EXPLORE_TEAR, 0, "used[i]"},
};

EXPLORE_PART(pool, scenarios, plants);
