/* SPDX-License-Identifier: MIT */
/* Pool: blocks are whole and used by one at a time, and those of other pools go home. */
#include "sched/pool.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <signal.h>

#include "test/support/allocator.h"
#include "test/support/random.h"

enum {
    SLAB_SIZE = 64 * 1024,
    POOLS = 24, /* more than a pool sorts into at a time */
};

struct fixture {
    struct test_allocator state;
    struct trp_memory memory;
    struct trp_pool pools[POOLS];
};

static void start(struct fixture *f)
{
    struct troupe_allocator allocator = test_allocator_of(&f->state);

    memset(&f->state, 0, sizeof f->state);
    trp_memory_init(&f->memory, &allocator, UINT64_C(1) << 32);
    for (unsigned i = 0; i < POOLS; i++) {
        trp_pool_init(&f->pools[i], &f->memory);
    }
}

static void stop(struct fixture *f)
{
    for (unsigned i = 0; i < POOLS; i++) {
        trp_pool_check(&f->pools[i]);
    }
    for (unsigned i = 0; i < POOLS; i++) {
        trp_pool_fini(&f->pools[i]);
    }
    cr_assert_eq(f->memory.held, 0);
    cr_assert_eq(f->state.blocks, 0);
}

Test(pool, a_size_gets_the_smallest_class_it_fits_in)
{
    for (size_t size = 0; size <= TRP_POOL_BLOCK_MAX; size++) {
        unsigned class = trp_pool_class(size);

        cr_assert_neq(class, TRP_POOL_STABLE);
        cr_assert_geq(trp_pool_size(class), size);
        cr_assert(class == 0 || trp_pool_size(class - 1) < size);
    }
}

Test(pool, a_size_above_the_largest_class_is_our_mistake, .signal = SIGABRT)
{
    trp_pool_class(TRP_POOL_BLOCK_MAX + 1);
}

Test(pool, takes_no_memory_before_the_first_block)
{
    struct fixture f;

    start(&f);
    cr_assert_eq(f.state.calls, 0);
    stop(&f);
}

Test(pool, blocks_are_aligned_and_do_not_overlap)
{
    static unsigned char *blocks[TRP_POOL_CLASSES][200];
    struct fixture f;

    start(&f);
    for (unsigned c = 0; c < TRP_POOL_CLASSES; c++) {
        for (unsigned i = 0; i < 200; i++) {
            blocks[c][i] = trp_pool_alloc(&f.pools[0], c);
            cr_assert_not_null(blocks[c][i]);
            cr_assert_eq((uintptr_t)blocks[c][i] % TRP_CACHE_LINE, 0);
            memset(blocks[c][i], (int)(c * 25 + i % 25), trp_pool_size(c));
        }
    }
    for (unsigned c = 0; c < TRP_POOL_CLASSES; c++) {
        for (unsigned i = 0; i < 200; i++) {
            for (unsigned j = 0; j < trp_pool_size(c); j++) {
                cr_assert_eq(blocks[c][i][j], c * 25 + i % 25);
            }
        }
    }
    stop(&f);
}

Test(pool, the_block_freed_last_is_used_first)
{
    struct fixture f;
    void *a;
    void *b;

    start(&f);
    a = trp_pool_alloc(&f.pools[0], 0);
    b = trp_pool_alloc(&f.pools[0], 0);
    trp_pool_free(&f.pools[0], a, 0);
    trp_pool_free(&f.pools[0], b, 0);
    cr_assert_eq(trp_pool_alloc(&f.pools[0], 0), b);
    cr_assert_eq(trp_pool_alloc(&f.pools[0], 0), a);
    stop(&f);
}

#ifndef TRP_ASAN

/* Pages of a slab that are no longer what the allocator filled them with. */
static unsigned pages_written(const unsigned char *slab)
{
    unsigned pages = 0;

    for (unsigned page = 0; page < SLAB_SIZE / 4096; page++) {
        for (unsigned i = 0; i < 4096; i++) {
            if (slab[page * 4096 + i] != TEST_PATTERN) {
                pages++;
                break;
            }
        }
    }
    return pages;
}

Test(pool, one_block_costs_two_pages_of_a_slab)
{
    for (unsigned c = 0; c < TRP_POOL_CLASSES; c++) {
        struct fixture f;
        unsigned char *block;

        start(&f);
        block = trp_pool_alloc(&f.pools[0], c);
        cr_assert_not_null(block);
        cr_assert_leq(pages_written(block - (uintptr_t)block % SLAB_SIZE), 2, "class %u", c);
        cr_assert_eq(f.state.calls, 1);
        stop(&f);
    }
}

#endif

/* Takes `count` blocks of `class` from `from` and gives them to `to`. */
static void carry(struct trp_pool *from, struct trp_pool *to, unsigned class, unsigned count)
{
    void **blocks = malloc(count * sizeof(*blocks));

    for (unsigned i = 0; i < count; i++) {
        blocks[i] = trp_pool_alloc(from, class);
        cr_assert_not_null(blocks[i]);
    }
    for (unsigned i = 0; i < count; i++) {
        trp_pool_free(to, blocks[i], class);
    }
    free(blocks);
    trp_pool_check(from);
    trp_pool_check(to);
}

Test(pool, own_blocks_are_used_again_however_many)
{
    struct fixture f;
    uint64_t held;

    start(&f);
    carry(&f.pools[0], &f.pools[0], 1, 10000);
    held = f.memory.held;
    for (unsigned i = 0; i < 5; i++) {
        carry(&f.pools[0], &f.pools[0], 1, 10000);
    }
    cr_assert_eq(f.memory.held, held);
    stop(&f);
}

Test(pool, a_one_way_stream_does_not_grow)
{
    struct fixture f;
    uint64_t held;

    start(&f);
    carry(&f.pools[0], &f.pools[1], 0, 1000);
    held = f.memory.held;
    for (unsigned i = 0; i < 100; i++) {
        carry(&f.pools[0], &f.pools[1], 0, 700);
    }
    cr_assert_leq(f.memory.held, held + SLAB_SIZE);
    stop(&f);
}

/* With a million own blocks freed before, a pool must not hold on to as many of others. */
Test(pool, own_blocks_do_not_make_room_for_those_of_others)
{
    struct fixture f;
    uint64_t held;

    start(&f);
    carry(&f.pools[1], &f.pools[1], 0, 20000);
    carry(&f.pools[0], &f.pools[1], 0, 500);
    held = f.memory.held;
    for (unsigned i = 0; i < 40; i++) {
        carry(&f.pools[0], &f.pools[1], 0, 500);
    }
    cr_assert_leq(f.memory.held, held + SLAB_SIZE);
    stop(&f);
}

Test(pool, at_most_a_cache_of_blocks_is_held_back)
{
    struct fixture f;
    unsigned held_back = 0;
    unsigned home = 0;

    start(&f);
    carry(&f.pools[0], &f.pools[1], 0, 5000);
    f.state.fail_at = 1;
    f.state.fail_for_good = true;
    while (trp_pool_alloc(&f.pools[1], 0) != NULL) {
        held_back++;
    }
    while (trp_pool_alloc(&f.pools[0], 0) != NULL) {
        home++;
    }
    cr_assert_leq(held_back, TRP_POOL_CACHE);
    cr_assert_geq(home + held_back, 5000);
    stop(&f);
}

Test(pool, trim_sends_all_blocks_of_others_home)
{
    struct fixture f;
    unsigned home = 0;

    start(&f);
    for (unsigned c = 0; c < TRP_POOL_CLASSES; c++) {
        carry(&f.pools[0], &f.pools[1], c, 200);
    }
    trp_pool_trim(&f.pools[1]);
    trp_pool_trim(&f.pools[0]);
    trp_pool_check(&f.pools[0]);
    cr_assert(trp_stack_is_empty(&f.pools[0].inbox));
    f.state.fail_at = 1;
    f.state.fail_for_good = true;
    for (unsigned c = 0; c < TRP_POOL_CLASSES; c++) {
        cr_assert_null(trp_pool_alloc(&f.pools[1], c), "all went home");
        for (home = 0; trp_pool_alloc(&f.pools[0], c) != NULL; home++) {
        }
        cr_assert_geq(home, 200);
    }
    stop(&f);
}

Test(pool, blocks_of_many_owners_find_their_way)
{
    enum {
        CLASS = 8,
        COUNT = 15, /* all blocks of a slab */
    };
    void *blocks[POOLS][COUNT];
    struct fixture f;

    start(&f);
    for (unsigned i = 0; i < COUNT; i++) {
        for (unsigned owner = 0; owner < POOLS; owner++) {
            blocks[owner][i] = trp_pool_alloc(&f.pools[owner], CLASS);
        }
    }
    cr_assert_eq(f.state.calls, POOLS);
    for (unsigned i = 0; i < COUNT; i++) {
        for (unsigned owner = 0; owner < POOLS; owner++) {
            trp_pool_free(&f.pools[0], blocks[owner][i], CLASS);
        }
    }
    trp_pool_trim(&f.pools[0]);
    f.state.fail_at = 1;
    f.state.fail_for_good = true;
    for (unsigned owner = 0; owner < POOLS; owner++) {
        /* The check sees to it that what came home is its pool's. */
        trp_pool_trim(&f.pools[owner]);
        trp_pool_check(&f.pools[owner]);
        for (unsigned i = 0; i < COUNT; i++) {
            cr_assert_not_null(trp_pool_alloc(&f.pools[owner], CLASS));
        }
        cr_assert_null(trp_pool_alloc(&f.pools[owner], CLASS));
    }
    stop(&f);
}

Test(pool, a_stable_block_is_zero_when_it_is_new)
{
    static const unsigned char zero[256];
    struct fixture f;

    start(&f);
    for (unsigned i = 0; i < 1000; i++) {
        unsigned char *block = trp_pool_alloc(&f.pools[0], TRP_POOL_STABLE);

        cr_assert_not_null(block);
        /* The first word has linked it in the list. */
        cr_assert_eq(memcmp(block + TRP_POOL_LINKS, zero, 256 - TRP_POOL_LINKS), 0);
    }
    stop(&f);
}

Test(pool, a_stable_block_keeps_what_stands_behind_its_links)
{
    enum {
        COUNT = 1000,
    };
    static unsigned char *blocks[COUNT];
    struct fixture f;

    start(&f);
    for (unsigned i = 0; i < COUNT; i++) {
        blocks[i] = trp_pool_alloc(&f.pools[0], TRP_POOL_STABLE);
        cr_assert_not_null(blocks[i]);
        memset(blocks[i], (int)(1 + i % 200), 256);
    }
    for (unsigned i = 0; i < COUNT; i++) {
        trp_pool_free(&f.pools[1], blocks[i], TRP_POOL_STABLE);
    }
    trp_pool_trim(&f.pools[1]);
    trp_pool_trim(&f.pools[0]);
    /* They are free, and may be read all the same. */
    for (unsigned i = 0; i < COUNT; i++) {
        for (unsigned j = TRP_POOL_LINKS; j < 256; j++) {
            cr_assert_eq(blocks[i][j], 1 + i % 200);
        }
    }
    stop(&f);
}

Test(pool, a_block_given_back_as_another_class_is_our_mistake, .signal = SIGABRT)
{
    struct fixture f;
    void *block;

    start(&f);
    block = trp_pool_alloc(&f.pools[0], 1);
    cr_assert_not_null(block);
    trp_pool_free(&f.pools[0], block, 0);
    trp_pool_trim(&f.pools[0]);
}

#ifdef TRP_ASAN
Test(pool, a_free_block_is_poisoned)
{
    struct fixture f;
    char *block;

    start(&f);
    block = trp_pool_alloc(&f.pools[0], 3);
    cr_assert_not(__asan_address_is_poisoned(block + 255));
    trp_pool_free(&f.pools[0], block, 3);
    cr_assert(__asan_address_is_poisoned(block + TRP_POOL_LINKS));
    cr_assert(__asan_address_is_poisoned(block + 255));
    cr_assert_eq(trp_pool_alloc(&f.pools[0], 3), block);
    cr_assert_not(__asan_address_is_poisoned(block + 255));
    stop(&f);
}
#endif

Test(pool, survives_each_allocation_failing)
{
    struct fixture f;
    uint64_t k = 0;

    do {
        unsigned failures = 0;

        k++;
        start(&f);
        f.state.fail_at = k;
        for (unsigned i = 0; i < 5000; i++) {
            failures += trp_pool_alloc(&f.pools[0], i % TRP_POOL_CLASSES) == NULL;
        }
        cr_assert_eq(failures, f.state.calls < k ? 0 : 1, "call %d", (int)k);
        cr_assert_eq(f.memory.held, f.state.bytes);
        stop(&f);
    } while (f.state.calls >= k);
    cr_assert_gt(k, TRP_POOL_CLASSES);
}

/*
 * Any pool allocates, any other frees; each block carries a mark that nobody else may touch.
 */
enum {
    LIVE_MAX = 3000,
    STEPS = 60000,
};

struct live {
    unsigned char *block;
    unsigned class;
    unsigned char mark;
};

static void check_mark(const struct live *live)
{
    for (unsigned i = 0; i < trp_pool_size(live->class); i++) {
        cr_assert_eq(live->block[i], live->mark, "somebody else has this block");
    }
}

static void random_step(
    struct fixture *f, struct test_random *random, struct live *live, unsigned *count)
{
    struct trp_pool *pool = &f->pools[test_below(random, test_below(random, 2) == 0 ? 3 : POOLS)];
    unsigned i = (unsigned)test_below(random, LIVE_MAX);

    if (test_below(random, 2000) == 0) {
        trp_pool_trim(pool);
        trp_pool_check(pool);
    } else if (i < *count) {
        check_mark(&live[i]);
        trp_pool_free(pool, live[i].block, live[i].class);
        live[i] = live[--*count];
    } else {
        struct live *new = &live[(*count)++];

        new->class =
            (unsigned)test_below(random, test_below(random, 2) == 0 ? 1 : TRP_POOL_CLASSES);
        new->mark = (unsigned char)test_below(random, 256);
        new->block = trp_pool_alloc(pool, new->class);
        cr_assert_not_null(new->block);
        memset(new->block, new->mark, trp_pool_size(new->class));
    }
}

Test(pool, a_block_has_one_user_whatever_pools_it_went_through, .timeout = 60)
{
    static struct live live[LIVE_MAX];
    struct test_random random = test_random_of(test_seed("pool"));
    unsigned count = 0;
    struct fixture f;

    start(&f);
    for (unsigned step = 0; step < STEPS; step++) {
        random_step(&f, &random, live, &count);
    }
    for (unsigned i = 0; i < count; i++) {
        check_mark(&live[i]);
    }
    stop(&f);
}

/*
 * Threads with a pool each pass blocks to the next one, which frees them into its own.
 */
enum {
    THREADS = 3,
    PASSES = 60000,
    IN_FLIGHT_MAX = 500,
};

struct passed {
    struct trp_stack_entry entry;
    uint64_t number;
    uint64_t inverse;
};

struct passer {
    pthread_t thread;
    struct trp_pool *pool;
    struct trp_stack *in;
    struct trp_stack *out;
    _Atomic unsigned *in_flight;  /* in `in`, not yet taken */
    _Atomic unsigned *out_flight; /* in `out` */
    unsigned class;
};

static unsigned free_all(struct passer *passer)
{
    struct trp_stack_entry *entry = trp_stack_take(passer->in);
    unsigned count = 0;

    while (entry != NULL) {
        struct trp_stack_entry *next = entry->next;
        struct passed *passed = trp_container_of(entry, struct passed, entry);

        cr_assert_eq(passed->number, ~passed->inverse);
        passed->inverse = passed->number;
        trp_pool_free(passer->pool, passed, passer->class);
        count++;
        entry = next;
    }
    atomic_fetch_sub(passer->in_flight, count);
    return count;
}

static void *pass(void *argument)
{
    struct passer *passer = argument;
    unsigned received = 0;
    unsigned sent = 0;

    while (sent < PASSES || received < PASSES) {
        if (sent < PASSES && atomic_load(passer->out_flight) < IN_FLIGHT_MAX) {
            struct passed *passed = trp_pool_alloc(passer->pool, passer->class);

            cr_assert_not_null(passed);
            passed->number = sent++;
            passed->inverse = ~passed->number;
            atomic_fetch_add(passer->out_flight, 1);
            trp_stack_push(passer->out, &passed->entry);
        } else {
            received += free_all(passer);
            trp_pool_trim(passer->pool);
        }
    }
    trp_pool_trim(passer->pool);
    return NULL;
}

static void pass_round(unsigned class)
{
    struct passer passers[THREADS];
    struct trp_stack stacks[THREADS];
    _Atomic unsigned flights[THREADS];
    struct fixture f;

    start(&f);
    for (unsigned i = 0; i < THREADS; i++) {
        trp_stack_init(&stacks[i]);
        atomic_init(&flights[i], 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        unsigned next = (i + 1) % THREADS;

        passers[i].pool = &f.pools[i];
        passers[i].in = &stacks[i];
        passers[i].in_flight = &flights[i];
        passers[i].out = &stacks[next];
        passers[i].out_flight = &flights[next];
        passers[i].class = class;
        cr_assert_eq(pthread_create(&passers[i].thread, NULL, pass, &passers[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(passers[i].thread, NULL);
    }
    /* What is in flight or cached, not what was passed. */
    cr_assert_lt(f.memory.held, THREADS * 20 * SLAB_SIZE);
    stop(&f);
}

Test(pool, blocks_go_round_among_threads, .timeout = 120)
{
    pass_round(0);
}

Test(pool, stable_blocks_go_round_among_threads, .timeout = 120)
{
    pass_round(TRP_POOL_STABLE);
}

/* What pools may have at hand that counts as used. */
static uint64_t at_hand(void)
{
    uint64_t bytes = 0;

    for (unsigned c = 0; c < TRP_POOL_CLASSES; c++) {
        bytes += (uint64_t)TRP_POOL_CACHE * trp_pool_size(c);
    }
    return bytes;
}

/* Many of one pool, of which another one frees half. */
static void use_and_free(struct fixture *f, unsigned class)
{
    enum { COUNT = 5000 };
    static void *blocks[COUNT];
    uint64_t out = (uint64_t)COUNT * trp_pool_size(class);

    for (unsigned i = 0; i < COUNT; i++) {
        blocks[i] = trp_pool_alloc(&f->pools[0], class);
        cr_assert_not_null(blocks[i]);
    }
    cr_assert_geq(trp_memory_used(&f->memory), out);
    cr_assert_leq(trp_memory_used(&f->memory), out + f->memory.held / 12 + 2 * at_hand());
    for (unsigned i = 0; i < COUNT; i++) {
        trp_pool_free(&f->pools[i % 2], blocks[i], class);
    }
    cr_assert_leq(trp_memory_used(&f->memory), f->memory.held / 12 + 2 * at_hand());
}

/* A stream from one pool to another: used is what is on its way, whoever's blocks they are, and in the end nothing. */
Test(pool, blocks_that_came_back_rest_wherever_they_were_freed)
{
    struct fixture f;
    uint64_t slabs;

    start(&f);
    for (unsigned c = 0; c < TRP_POOL_CLASSES; c++) {
        /* From new slabs, then from what came home. */
        use_and_free(&f, c);
        use_and_free(&f, c);
    }
    trp_pool_trim(&f.pools[1]);
    trp_pool_trim(&f.pools[0]);
    /* But for headers of slabs, and what is left of each: a fifteenth of the worst. */
    slabs = f.memory.held / SLAB_SIZE;
    cr_assert_leq(trp_memory_used(&f.memory), slabs * TRP_POOL_BLOCK_MAX);
    stop(&f);
}
