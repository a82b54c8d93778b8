/* SPDX-License-Identifier: MIT */
/*
 * Keyspace: every key has its old or its new value, whatever happened to whoever worked on it.
 *
 * The memory hook here counts blocks and bytes, and can be told to leave by longjmp at the k-th
 * allocation or point, or to have no memory at the k-th allocation.  Each operation is tried with
 * every k there is.
 */
#include "../../examples/kv/keyspace.h"

#include <criterion/criterion.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define NOW ((int64_t)1000000)
#define LATER ((int64_t)2000000)

/* Where all memory of a test comes from. */
struct world {
    size_t blocks;
    size_t bytes;
    size_t steps;       /* allocations and points so far */
    size_t allocations; /* so far */
    size_t abandon_at;  /* step that does not return; 0 is none */
    size_t fail_at;     /* allocation that gives nothing; 0 is none */
    char where[32];     /* the last point */
    jmp_buf out;
};

/* Before each block, so that its size is known when it is released. */
union block_header {
    size_t bytes;
    max_align_t align;
};

static void world_step(struct world *world, const char *where)
{
    world->steps++;
    snprintf(world->where, sizeof world->where, "%s", where);
    if (world->steps == world->abandon_at) {
        world->abandon_at = 0;
        longjmp(world->out, 1);
    }
}

static void *world_allocate(void *ctx, size_t bytes)
{
    struct world *world = ctx;
    union block_header *header;

    world_step(world, "allocate");
    world->allocations++;
    if (world->allocations == world->fail_at) {
        return NULL;
    }
    header = malloc(sizeof *header + bytes);
    cr_assert_not_null(header);
    header->bytes = bytes;
    world->blocks++;
    world->bytes += bytes;
    memset(header + 1, 0xa5, bytes);
    return header + 1;
}

static void world_release(void *ctx, void *block)
{
    struct world *world = ctx;
    union block_header *header = block;

    if (header) {
        header--;
        world->blocks--;
        world->bytes -= header->bytes;
        memset(block, 0x5a, header->bytes);
        free(header);
    }
}

static void world_point(void *ctx, const char *where)
{
    world_step(ctx, where);
}

static struct kv_keyspace *make_keyspace(struct world *world, size_t bytes_max)
{
    struct kv_keyspace_options options = {
        .hash_key = {1, 2, 3, 4, 5, 6, 7, 8, 9},
        .bytes_max = bytes_max,
        .memory = {world_allocate, world_release, world_point, world},
    };
    struct kv_keyspace *keyspace = NULL;

    cr_assert_eq(kv_keyspace_create(&options, &keyspace), KV_OK);
    return keyspace;
}

static void end_keyspace(struct world *world, struct kv_keyspace *keyspace)
{
    cr_assert_null(kv_keyspace_check(keyspace), "%s", kv_keyspace_check(keyspace));
    cr_assert_eq(kv_keyspace_bytes(keyspace), world->bytes);
    kv_keyspace_destroy(keyspace);
    cr_assert_eq(world->blocks, 0, "%zu blocks leaked", world->blocks);
}

static int set(struct kv_keyspace *keyspace, const char *key, const char *value, int64_t expire_ms)
{
    return kv_keyspace_set(keyspace, NOW, kv_slice_of(key), kv_slice_of(value), expire_ms);
}

static bool holds(struct kv_keyspace *keyspace, const char *key, const char *value, int64_t expire)
{
    struct kv_keyspace_value found;
    int err = kv_keyspace_peek(keyspace, NOW, kv_slice_of(key), &found);

    if (!value) {
        return err == KV_ENOENT;
    }
    return err == KV_OK && found.bytes.len == strlen(value) &&
           memcmp(found.bytes.data, value, strlen(value)) == 0 && found.expire_ms == expire;
}

/* The other keys, which nothing may happen to. */

static void other_name(size_t i, char key[32], char value[32])
{
    snprintf(key, 32, "other:%zu", i);
    snprintf(value, 32, "value of %zu", i);
}

static int64_t other_expiry(size_t i)
{
    return i % 3 == 0 ? LATER + (int64_t)i : KV_NEVER;
}

static void set_others(struct kv_keyspace *keyspace, size_t count)
{
    char key[32];
    char value[32];
    size_t i;

    for (i = 0; i < count; i++) {
        other_name(i, key, value);
        cr_assert_eq(set(keyspace, key, value, other_expiry(i)), KV_OK);
    }
}

static bool others_hold(struct kv_keyspace *keyspace, size_t count)
{
    char key[32];
    char value[32];
    size_t i;

    for (i = 0; i < count; i++) {
        other_name(i, key, value);
        if (!holds(keyspace, key, value, other_expiry(i))) {
            return false;
        }
    }
    return true;
}

/* Makes the table large and leaves it nearly empty: the next deletion shrinks it. */
static void thin_out(struct kv_keyspace *keyspace)
{
    char key[32];
    int i;

    for (i = 0; i < 300; i++) {
        snprintf(key, sizeof key, "gone:%d", i);
        cr_assert_eq(set(keyspace, key, "x", KV_NEVER), KV_OK);
    }
    kv_keyspace_expire_some(keyspace, NOW, 100000);
    for (i = 0; i < 300; i++) {
        snprintf(key, sizeof key, "gone:%d", i);
        cr_assert_eq(kv_keyspace_delete(keyspace, NOW, kv_slice_of(key)), 1);
    }
}

/* One operation on one key, and what the key has before and after it. */
struct scenario {
    const char *name;
    const char *old_value;
    const char *new_value;
    int64_t old_expire_ms;
    int64_t new_expire_ms;
    bool thinned;
    int (*act)(struct kv_keyspace *keyspace);
};

#define LONG_VALUE                                                                                 \
    "a value that is longer than any room that a short one leaves behind it in its block, "        \
    "since blocks are rounded up"

static int act_set_new(struct kv_keyspace *keyspace)
{
    return set(keyspace, "key", "new", KV_NEVER);
}

static int act_set_long(struct kv_keyspace *keyspace)
{
    return set(keyspace, "key", LONG_VALUE, KV_NEVER);
}

static int act_set_expiry(struct kv_keyspace *keyspace)
{
    return set(keyspace, "key", "new", LATER);
}

static int act_set_long_expiry(struct kv_keyspace *keyspace)
{
    return set(keyspace, "key", LONG_VALUE, LATER);
}

static int act_add(struct kv_keyspace *keyspace)
{
    int64_t sum = 0;

    return kv_keyspace_add(keyspace, NOW, kv_slice_of("key"), 1000000000000, &sum);
}

static int act_append(struct kv_keyspace *keyspace)
{
    size_t len = 0;

    return kv_keyspace_append(keyspace, NOW, kv_slice_of("key"), kv_slice_of("new"), &len);
}

static int act_append_long(struct kv_keyspace *keyspace)
{
    size_t len = 0;

    return kv_keyspace_append(keyspace, NOW, kv_slice_of("key"), kv_slice_of(LONG_VALUE), &len);
}

static int act_delete(struct kv_keyspace *keyspace)
{
    return kv_keyspace_delete(keyspace, NOW, kv_slice_of("key")) == 1 ? KV_OK : KV_ENOENT;
}

static int act_expire(struct kv_keyspace *keyspace)
{
    return kv_keyspace_expire(keyspace, NOW, kv_slice_of("key"), LATER);
}

static int act_expire_past(struct kv_keyspace *keyspace)
{
    return kv_keyspace_expire(keyspace, NOW, kv_slice_of("key"), 5);
}

static int act_move_all(struct kv_keyspace *keyspace)
{
    kv_keyspace_expire_some(keyspace, NOW, 100000);
    return KV_OK;
}

static int act_mset(struct kv_keyspace *keyspace)
{
    int err = kv_keyspace_prepare(keyspace, kv_slice_of("key"), kv_slice_of(LONG_VALUE), KV_NEVER);

    if (err == KV_OK) {
        err = kv_keyspace_prepare(keyspace, kv_slice_of("second"), kv_slice_of("2"), KV_NEVER);
    }
    if (err) {
        kv_keyspace_discard(keyspace);
        return err;
    }
    kv_keyspace_commit(keyspace, NOW);
    return KV_OK;
}

static const struct scenario scenarios[] = {
    {"set new", NULL, "new", KV_NEVER, KV_NEVER, false, act_set_new},
    {"set new, thinned", NULL, "new", KV_NEVER, KV_NEVER, true, act_set_new},
    {"set same size", "old", "new", KV_NEVER, KV_NEVER, false, act_set_new},
    {"set bigger", "old", LONG_VALUE, KV_NEVER, KV_NEVER, false, act_set_long},
    {"set smaller", LONG_VALUE LONG_VALUE, "new", KV_NEVER, KV_NEVER, false, act_set_new},
    {"set takes the expiry away", "old", "new", LATER, KV_NEVER, false, act_set_new},
    {"set with expiry, new", NULL, "new", KV_NEVER, LATER, false, act_set_expiry},
    {"set with expiry, same size", "old", "new", KV_NEVER, LATER, false, act_set_expiry},
    {"set with expiry, bigger", "old", LONG_VALUE, KV_NEVER, LATER, false, act_set_long_expiry},
    {"set over one that expired", "", "new", NOW - 1, KV_NEVER, false, act_set_new},
    {"add, new", NULL, "1000000000000", KV_NEVER, KV_NEVER, false, act_add},
    {"add, in place", "100000000000000", "101000000000000", LATER, LATER, false, act_add},
    {"add, longer", "7", "1000000000007", LATER, LATER, false, act_add},
    {"append, new", NULL, "new", KV_NEVER, KV_NEVER, false, act_append},
    {"append", "o", "onew", LATER, LATER, false, act_append},
    {"append, longer", "o", "o" LONG_VALUE, LATER, LATER, false, act_append_long},
    {"delete", "old", NULL, KV_NEVER, KV_NEVER, false, act_delete},
    {"delete, thinned", "old", NULL, LATER, KV_NEVER, true, act_delete},
    {"expire", "old", "old", KV_NEVER, LATER, false, act_expire},
    {"expire in the past", "old", NULL, KV_NEVER, KV_NEVER, false, act_expire_past},
    {"move all keys", "old", "old", LATER, LATER, false, act_move_all},
    {"move all keys, thinned", "old", "old", LATER, LATER, true, act_move_all},
    {"mset", "old", LONG_VALUE, KV_NEVER, KV_NEVER, false, act_mset},
    {"mset, new", NULL, LONG_VALUE, KV_NEVER, KV_NEVER, false, act_mset},
};

#define SCENARIO_COUNT (sizeof scenarios / sizeof scenarios[0])

/* How many other keys there are: before, at and after each doubling, and amid moving. */
static const size_t other_counts[] = {0, 1, 14, 15, 16, 17, 18, 24, 30, 31, 32, 33, 40};

#define OTHER_COUNTS (sizeof other_counts / sizeof other_counts[0])

static struct kv_keyspace *set_the_scene(
    struct world *world, const struct scenario *scenario, size_t others)
{
    struct kv_keyspace *keyspace = make_keyspace(world, 0);

    if (scenario->thinned) {
        thin_out(keyspace);
    }
    set_others(keyspace, others);
    if (scenario->old_value) {
        cr_assert_eq(set(keyspace, "key", scenario->old_value, scenario->old_expire_ms), KV_OK);
    }
    return keyspace;
}

static bool is_old(struct kv_keyspace *keyspace, const struct scenario *scenario)
{
    const char *value = scenario->old_expire_ms <= NOW ? NULL : scenario->old_value;

    return holds(keyspace, "key", value, scenario->old_expire_ms);
}

static bool is_new(struct kv_keyspace *keyspace, const struct scenario *scenario)
{
    return holds(keyspace, "key", scenario->new_value, scenario->new_expire_ms);
}

/* Abandons the scenario at its k-th step: false if it has fewer. */
static bool abandon_at(const struct scenario *scenario, size_t others, size_t k)
{
    struct world world = {0};
    struct kv_keyspace *keyspace = set_the_scene(&world, scenario, others);
    volatile bool abandoned = true;
    const char *wrong;

    world.abandon_at = world.steps + k;
    if (setjmp(world.out) == 0) {
        cr_assert_eq(scenario->act(keyspace), KV_OK);
        abandoned = false;
    }
    world.abandon_at = 0;
    kv_keyspace_recover(keyspace);
    wrong = kv_keyspace_check(keyspace);
    cr_assert_null(
        wrong, "%s, %zu others, step %zu (%s): %s", scenario->name, others, k, world.where, wrong);
    cr_assert_eq(kv_keyspace_bytes(keyspace), world.bytes, "%s at %s", scenario->name, world.where);
    cr_assert(is_new(keyspace, scenario) || (abandoned && is_old(keyspace, scenario)),
        "%s, %zu others, step %zu (%s): neither old nor new", scenario->name, others, k,
        world.where);
    cr_assert(others_hold(keyspace, others), "%s, %zu others, step %zu (%s): another key changed",
        scenario->name, others, k, world.where);
    cr_assert_eq(kv_keyspace_recover(keyspace), 0);
    cr_assert_eq(set(keyspace, "key", "usable", KV_NEVER), KV_OK);
    end_keyspace(&world, keyspace);
    return abandoned;
}

Test(keyspace, an_abandoned_change_is_done_or_undone, .timeout = 60)
{
    size_t s;
    size_t o;
    size_t k;

    for (s = 0; s < SCENARIO_COUNT; s++) {
        size_t steps = 0;

        for (o = 0; o < OTHER_COUNTS; o++) {
            for (k = 1; abandon_at(&scenarios[s], other_counts[o], k); k++) {
                steps++;
            }
        }
        cr_assert_gt(steps, 10, "%s was abandoned at %zu steps only", scenarios[s].name, steps);
    }
}

/* Runs the scenario without memory at its k-th allocation: false if it makes fewer. */
static bool fail_at(const struct scenario *scenario, size_t others, size_t k)
{
    struct world world = {0};
    struct kv_keyspace *keyspace = set_the_scene(&world, scenario, others);
    bool reached;
    int err;

    world.fail_at = world.allocations + k;
    err = scenario->act(keyspace);
    reached = world.allocations >= world.fail_at;
    world.fail_at = 0;
    cr_assert(err == KV_OK || (err == KV_ENOMEM && reached));
    cr_assert(err ? is_old(keyspace, scenario) : is_new(keyspace, scenario),
        "%s, %zu others, allocation %zu: answered %d", scenario->name, others, k, err);
    cr_assert(others_hold(keyspace, others));
    cr_assert_eq(kv_keyspace_recover(keyspace), 0);
    end_keyspace(&world, keyspace);
    return reached;
}

Test(keyspace, without_memory_nothing_changes, .timeout = 60)
{
    size_t failures = 0;
    size_t s;
    size_t o;
    size_t k;

    for (s = 0; s < SCENARIO_COUNT; s++) {
        for (o = 0; o < OTHER_COUNTS; o++) {
            for (k = 1; fail_at(&scenarios[s], other_counts[o], k); k++) {
                failures++;
            }
        }
    }
    cr_assert_gt(failures, SCENARIO_COUNT);
}

Test(keyspace, create_without_memory_says_so)
{
    struct world world = {.fail_at = 1};
    struct kv_keyspace_options options = {
        .memory = {world_allocate, world_release, world_point, &world}};
    struct kv_keyspace *keyspace = NULL;

    cr_assert_eq(kv_keyspace_create(&options, &keyspace), KV_ENOMEM);
    cr_assert_null(keyspace);
    cr_assert_eq(kv_keyspace_create(NULL, &keyspace), KV_EINVAL);
    cr_assert_eq(kv_keyspace_create(&options, NULL), KV_EINVAL);
}

/* Abandons a flush at its k-th step: false if it has fewer. */
static bool abandon_flush_at(size_t k)
{
    struct world world = {0};
    struct kv_keyspace *keyspace = make_keyspace(&world, 0);
    volatile bool abandoned = true;
    size_t count;

    set_others(keyspace, 20);
    world.abandon_at = world.steps + k;
    if (setjmp(world.out) == 0) {
        kv_keyspace_flush(keyspace);
        abandoned = false;
    }
    world.abandon_at = 0;
    kv_keyspace_recover(keyspace);
    count = kv_keyspace_count(keyspace);
    cr_assert(count == 0 || (abandoned && count == 20 && others_hold(keyspace, 20)));
    end_keyspace(&world, keyspace);
    return abandoned;
}

Test(keyspace, an_abandoned_flush_leaves_all_or_nothing)
{
    size_t k = 1;

    while (abandon_flush_at(k)) {
        k++;
    }
    cr_assert_eq(k, 3, "there are two points");
}

Test(keyspace, a_flush_takes_no_time_and_gives_memory_back_piece_by_piece)
{
    struct world world = {0};
    struct kv_keyspace *keyspace = make_keyspace(&world, 0);
    size_t empty = kv_keyspace_bytes(keyspace);
    size_t before;
    int rounds = 0;

    set_others(keyspace, 1000);
    before = world.blocks;
    kv_keyspace_flush(keyspace);
    cr_assert_eq(world.blocks, before, "the flush itself releases nothing");
    cr_assert_eq(kv_keyspace_count(keyspace), 0);
    cr_assert_eq(kv_keyspace_next_expiry(keyspace), KV_NEVER);
    cr_assert(holds(keyspace, "other:1", NULL, 0));
    cr_assert_geq(world.blocks, before - 10, "and an operation no more than a few blocks");
    cr_assert_eq(set(keyspace, "key", "new", KV_NEVER), KV_OK);
    kv_keyspace_flush(keyspace);
    while (kv_keyspace_busy(keyspace)) {
        kv_keyspace_expire_some(keyspace, NOW, 100);
        rounds++;
    }
    cr_assert_geq(rounds, 10);
    cr_assert_eq(kv_keyspace_bytes(keyspace), empty);
    end_keyspace(&world, keyspace);
}

Test(keyspace, expired_keys_are_gone_at_once_and_swept_later)
{
    struct world world = {0};
    struct kv_keyspace *keyspace = make_keyspace(&world, 0);
    struct kv_keyspace_value value;
    struct kv_keyspace_numbers numbers;
    char key[32];
    int i;

    for (i = 0; i < 100; i++) {
        snprintf(key, sizeof key, "key:%d", i);
        cr_assert_eq(set(keyspace, key, "x", i % 2 ? NOW + 1000 + i : KV_NEVER), KV_OK);
    }
    cr_assert_eq(kv_keyspace_next_expiry(keyspace), NOW + 1001);
    cr_assert_eq(kv_keyspace_expire_some(keyspace, NOW, 100000), 0);
    cr_assert_eq(kv_keyspace_get(keyspace, NOW + 1001, kv_slice_of("key:1"), &value), KV_ENOENT);
    cr_assert_eq(kv_keyspace_get(keyspace, NOW + 1001, kv_slice_of("key:3"), &value), KV_OK);
    cr_assert_eq(kv_keyspace_count(keyspace), 99);
    cr_assert_eq(kv_keyspace_expire_some(keyspace, NOW + 1049, 100000), 24);
    cr_assert_eq(kv_keyspace_next_expiry(keyspace), NOW + 1051);
    cr_assert_eq(kv_keyspace_expire_some(keyspace, NOW + 5000, 100000), 25);
    cr_assert_eq(kv_keyspace_next_expiry(keyspace), KV_NEVER);
    kv_keyspace_count_all(keyspace, &numbers);
    cr_assert_eq(numbers.count, 50);
    cr_assert_eq(numbers.expiring, 0);
    cr_assert_eq(numbers.expired, 50);
    cr_assert_eq(numbers.hits, 1);
    cr_assert_eq(numbers.misses, 1);
    end_keyspace(&world, keyspace);
}

Test(keyspace, a_sweep_keeps_to_its_budget_and_gets_round)
{
    struct world world = {0};
    struct kv_keyspace *keyspace = make_keyspace(&world, 0);
    size_t expired = 0;
    char key[32];
    int rounds = 0;
    int i;

    for (i = 0; i < 2000; i++) {
        snprintf(key, sizeof key, "key:%d", i);
        cr_assert_eq(set(keyspace, key, "x", NOW + 1), KV_OK);
    }
    while (kv_keyspace_next_expiry(keyspace) <= NOW + 1) {
        size_t now = kv_keyspace_expire_some(keyspace, NOW + 1, 50);

        cr_assert_leq(now, 80, "a budget of 50 may be passed by the rest of one bucket");
        expired += now;
        rounds++;
    }
    cr_assert_eq(expired, 2000);
    cr_assert_gt(rounds, 25);
    end_keyspace(&world, keyspace);
}

Test(keyspace, an_abandoned_sweep_goes_on)
{
    struct world world = {0};
    struct kv_keyspace *keyspace = make_keyspace(&world, 0);
    volatile size_t abandoned = 0;
    char key[32];
    int i;

    set_others(keyspace, 40);
    for (i = 0; i < 100; i++) {
        snprintf(key, sizeof key, "key:%d", i);
        cr_assert_eq(set(keyspace, key, "x", NOW + 1), KV_OK);
    }
    while (kv_keyspace_next_expiry(keyspace) <= NOW + 1) {
        world.abandon_at = world.steps + 7;
        if (setjmp(world.out) == 0) {
            kv_keyspace_expire_some(keyspace, NOW + 1, 100000);
            break;
        }
        abandoned++;
        kv_keyspace_recover(keyspace);
        cr_assert_null(kv_keyspace_check(keyspace), "%s", kv_keyspace_check(keyspace));
    }
    world.abandon_at = 0;
    kv_keyspace_recover(keyspace);
    cr_assert_gt(abandoned, 20);
    cr_assert_eq(kv_keyspace_count(keyspace), 40);
    cr_assert(others_hold(keyspace, 40));
    end_keyspace(&world, keyspace);
}

Test(keyspace, above_its_maximum_it_refuses_and_keeps_what_it_has)
{
    struct world world = {0};
    struct kv_keyspace *keyspace = make_keyspace(&world, 8000);
    char key[32];
    int err = KV_OK;
    int i;

    for (i = 0; i < 1000 && err == KV_OK; i++) {
        snprintf(key, sizeof key, "key:%d", i);
        err = set(keyspace, key, "some value", KV_NEVER);
    }
    cr_assert_eq(err, KV_EMAXMEMORY);
    cr_assert_leq(world.bytes, 8000);
    cr_assert(holds(keyspace, "key:0", "some value", KV_NEVER));
    cr_assert(holds(keyspace, key, NULL, 0), "the one refused");
    cr_assert_eq(kv_keyspace_delete(keyspace, NOW, kv_slice_of("key:0")), 1);
    cr_assert_eq(set(keyspace, key, "some value", KV_NEVER), KV_OK, "there is room again");
    kv_keyspace_flush(keyspace);
    cr_assert_eq(set(keyspace, key, "some value", KV_NEVER), KV_OK, "a flush makes room at once");
    cr_assert_not(kv_keyspace_full(keyspace));
    kv_keyspace_limit(keyspace, 10);
    cr_assert(kv_keyspace_full(keyspace));
    kv_keyspace_limit(keyspace, 0);
    cr_assert_not(kv_keyspace_full(keyspace));
    end_keyspace(&world, keyspace);
}

Test(keyspace, numbers_do_not_overflow_and_text_is_no_number)
{
    struct world world = {0};
    struct kv_keyspace *keyspace = make_keyspace(&world, 0);
    struct kv_slice key = kv_slice_of("key");
    int64_t sum = 77;

    cr_assert_eq(set(keyspace, "key", "9223372036854775807", LATER), KV_OK);
    cr_assert_eq(kv_keyspace_add(keyspace, NOW, key, 1, &sum), KV_EOVERFLOW);
    cr_assert_eq(kv_keyspace_add(keyspace, NOW, key, INT64_MIN, &sum), KV_OK);
    cr_assert_eq(sum, -1);
    cr_assert(holds(keyspace, "key", "-1", LATER));
    cr_assert_eq(set(keyspace, "key", "10 ", KV_NEVER), KV_OK);
    cr_assert_eq(kv_keyspace_add(keyspace, NOW, key, 1, &sum), KV_ENOTINT);
    cr_assert_eq(sum, -1, "untouched on failure");
    end_keyspace(&world, keyspace);
}

Test(keyspace, appending_bytewise_takes_few_allocations)
{
    struct world world = {0};
    struct kv_keyspace *keyspace = make_keyspace(&world, 0);
    size_t before = world.allocations;
    size_t len = 0;
    int i;

    for (i = 0; i < 100000; i++) {
        cr_assert_eq(
            kv_keyspace_append(keyspace, NOW, kv_slice_of("key"), kv_slice_of("x"), &len), KV_OK);
    }
    cr_assert_eq(len, 100000);
    cr_assert_leq(world.allocations - before, 25);
    end_keyspace(&world, keyspace);
}

Test(keyspace, keys_are_bytes)
{
    struct world world = {0};
    struct kv_keyspace *keyspace = make_keyspace(&world, 0);
    struct kv_slice empty = {NULL, 0};
    struct kv_slice zeros = {"\0\0", 2};
    struct kv_keyspace_value value;

    cr_assert_eq(kv_keyspace_set(keyspace, NOW, empty, zeros, KV_NEVER), KV_OK);
    cr_assert_eq(kv_keyspace_set(keyspace, NOW, zeros, empty, KV_NEVER), KV_OK);
    cr_assert_eq(kv_keyspace_get(keyspace, NOW, empty, &value), KV_OK);
    cr_assert_eq(value.bytes.len, 2);
    cr_assert_eq(kv_keyspace_get(keyspace, NOW, zeros, &value), KV_OK);
    cr_assert_eq(value.bytes.len, 0);
    cr_assert_eq(kv_keyspace_count(keyspace), 2);
    end_keyspace(&world, keyspace);
}

Test(keyspace, what_is_missing_is_refused)
{
    struct world world = {0};
    struct kv_keyspace *keyspace = make_keyspace(&world, 0);
    struct kv_slice key = kv_slice_of("key");
    struct kv_slice nothing = {NULL, 3};
    struct kv_slice huge = {"x", KV_STRING_MAX + 1};
    struct kv_keyspace_value value;
    int64_t sum;
    size_t len;

    cr_assert_eq(kv_keyspace_get(NULL, NOW, key, &value), KV_EINVAL);
    cr_assert_eq(kv_keyspace_get(keyspace, NOW, nothing, &value), KV_EINVAL);
    cr_assert_eq(kv_keyspace_get(keyspace, NOW, key, NULL), KV_EINVAL);
    cr_assert_eq(kv_keyspace_set(keyspace, NOW, key, nothing, KV_NEVER), KV_EINVAL);
    cr_assert_eq(kv_keyspace_set(keyspace, NOW, key, key, -1), KV_EINVAL);
    cr_assert_eq(kv_keyspace_set(keyspace, NOW, key, huge, KV_NEVER), KV_ETOOBIG);
    cr_assert_eq(kv_keyspace_append(keyspace, NOW, key, huge, &len), KV_ETOOBIG);
    cr_assert_eq(kv_keyspace_prepare(keyspace, huge, key, KV_NEVER), KV_ETOOBIG);
    cr_assert_eq(kv_keyspace_add(keyspace, NOW, key, 1, NULL), KV_EINVAL);
    cr_assert_eq(kv_keyspace_add(NULL, NOW, key, 1, &sum), KV_EINVAL);
    cr_assert_eq(kv_keyspace_delete(NULL, NOW, key), KV_EINVAL);
    cr_assert_eq(kv_keyspace_expire(NULL, NOW, key, 1), KV_EINVAL);
    cr_assert_eq(kv_keyspace_recover(NULL), KV_EINVAL);
    cr_assert_not_null(kv_keyspace_check(NULL));
    kv_keyspace_destroy(NULL);
    end_keyspace(&world, keyspace);
}

/* Scanning. */

#define SCANNED 500

static void mark_seen(void *ctx, struct kv_slice key, const struct kv_keyspace_value *value)
{
    char *seen = ctx;
    char text[32] = "";
    int i;

    (void)value;
    memcpy(text, key.data, key.len < sizeof text ? key.len : sizeof text - 1);
    if (sscanf(text, "stays:%d", &i) == 1) {
        seen[i] = 1;
    }
}

/* Scans while `churn` other keys come and then go; all keys that stay are seen. */
static void scan_while_changing(int churn)
{
    struct world world = {0};
    struct kv_keyspace *keyspace = make_keyspace(&world, 0);
    char seen[SCANNED] = {0};
    char key[32];
    uint64_t cursor = 0;
    int steps = 0;
    int i;

    for (i = 0; i < SCANNED; i++) {
        snprintf(key, sizeof key, "stays:%d", i);
        cr_assert_eq(set(keyspace, key, "x", KV_NEVER), KV_OK);
    }
    do {
        cursor = kv_keyspace_scan(keyspace, NOW, cursor, mark_seen, seen);
        for (i = 0; i < 40; i++, steps++) {
            snprintf(key, sizeof key, "churn:%d", steps % churn);
            if (steps / churn % 2 == 0) {
                cr_assert_eq(set(keyspace, key, "x", KV_NEVER), KV_OK);
            } else {
                kv_keyspace_delete(keyspace, NOW, kv_slice_of(key));
            }
        }
    } while (cursor != 0);
    for (i = 0; i < SCANNED; i++) {
        cr_assert(seen[i], "stays:%d was not seen with a churn of %d", i, churn);
    }
    end_keyspace(&world, keyspace);
}

Test(keyspace, a_scan_sees_every_key_that_stays_while_the_table_grows_and_shrinks)
{
    int churn;

    for (churn = 1; churn < 20000; churn = churn * 2 + 1) {
        scan_while_changing(churn);
    }
}

static void count_visit(void *ctx, struct kv_slice key, const struct kv_keyspace_value *value)
{
    (void)key;
    (void)value;
    ++*(int *)ctx;
}

Test(keyspace, a_scan_at_rest_sees_each_key_once_and_none_that_expired)
{
    struct world world = {0};
    struct kv_keyspace *keyspace = make_keyspace(&world, 0);
    uint64_t cursor = 0;
    int count = 0;

    set_others(keyspace, 100);
    cr_assert_eq(set(keyspace, "gone", "x", NOW + 1), KV_OK);
    kv_keyspace_expire_some(keyspace, NOW, 100000);
    do {
        cursor = kv_keyspace_scan(keyspace, NOW + 1, cursor, count_visit, &count);
    } while (cursor != 0);
    cr_assert_eq(count, 100);
    cr_assert_eq(kv_keyspace_scan(keyspace, NOW, 0, NULL, NULL), 0);
    end_keyspace(&world, keyspace);
}

/* All operations at random, against a model, with abandonment and lack of memory. */

#define MODEL_KEYS 300
#define MODEL_VALUE 200

struct model_key {
    bool exists;
    char value[MODEL_VALUE + 1];
    int64_t expire_ms;
};

struct game {
    struct world world;
    struct kv_keyspace *keyspace;
    struct model_key keys[MODEL_KEYS];
    uint64_t random;
    int64_t now_ms;
};

static uint64_t draw(struct game *game, uint64_t below)
{
    game->random ^= game->random << 13;
    game->random ^= game->random >> 7;
    game->random ^= game->random << 17;
    return game->random % below;
}

static void game_key(size_t i, char name[32])
{
    snprintf(name, 32, "k%zu", i);
}

static bool matches(struct game *game, size_t i, const struct model_key *expected)
{
    struct kv_keyspace_value found;
    char name[32];
    bool alive = expected->exists && expected->expire_ms > game->now_ms;

    game_key(i, name);
    if (kv_keyspace_peek(game->keyspace, game->now_ms, kv_slice_of(name), &found)) {
        return !alive;
    }
    return alive && found.bytes.len == strlen(expected->value) &&
           memcmp(found.bytes.data, expected->value, found.bytes.len) == 0 &&
           found.expire_ms == expected->expire_ms;
}

/* One random operation on one key: what it does to the model is in `*key`.  Returns its error. */
static int play(struct game *game, size_t i, struct model_key *key, uint64_t action, uint64_t dice)
{
    char name[32];
    char text[MODEL_VALUE + 1];
    struct kv_slice slice;
    size_t len = 0;
    int64_t sum = 0;
    int err;

    game_key(i, name);
    slice = kv_slice_of(name);
    if (key->expire_ms <= game->now_ms) {
        key->exists = false;
    }
    switch (action) {
    case 0:
    case 1:
        memset(text, 'a' + (char)(dice % 26), sizeof text);
        text[dice % MODEL_VALUE] = '\0';
        key->exists = true;
        key->expire_ms = dice % 3 ? KV_NEVER : game->now_ms + 1 + (int64_t)(dice % 500);
        strcpy(key->value, text);
        return kv_keyspace_set(
            game->keyspace, game->now_ms, slice, kv_slice_of(text), key->expire_ms);
    case 2:
        key->exists = false;
        err = kv_keyspace_delete(game->keyspace, game->now_ms, slice);
        return err < 0 ? err : KV_OK;
    case 3:
        if (!key->exists || strlen(key->value) + 5 >= MODEL_VALUE) {
            return KV_OK;
        }
        strcat(key->value, "12345");
        return kv_keyspace_append(game->keyspace, game->now_ms, slice, kv_slice_of("12345"), &len);
    case 4:
        if (!key->exists) {
            key->exists = true;
            key->expire_ms = KV_NEVER;
            snprintf(key->value, sizeof key->value, "%d", (int)dice);
            return kv_keyspace_add(game->keyspace, game->now_ms, slice, (int64_t)dice, &sum);
        }
        return KV_OK;
    default:
        if (!key->exists) {
            return KV_OK;
        }
        key->expire_ms = dice % 2 ? KV_NEVER : game->now_ms + 1 + (int64_t)(dice % 500);
        return kv_keyspace_expire(game->keyspace, game->now_ms, slice, key->expire_ms);
    }
}

/* What is played in one round. */
struct turn {
    size_t key;
    uint64_t action;
    uint64_t dice;
};

/* Plays and returns the error, or recovers and returns 1 if that was abandoned. */
__attribute__((noinline)) static int play_or_recover(
    struct game *game, const struct turn *turn, struct model_key *after)
{
    if (setjmp(game->world.out) != 0) {
        kv_keyspace_recover(game->keyspace);
        return 1;
    }
    return play(game, turn->key, after, turn->action, turn->dice);
}

/* One round: an operation that may be abandoned or find no memory. */
static void play_round(struct game *game)
{
    struct turn turn = {draw(game, MODEL_KEYS), draw(game, 6), draw(game, 1000)};
    struct model_key after = game->keys[turn.key];
    int err;

    game->world.abandon_at = draw(game, 3) ? 0 : game->world.steps + 1 + draw(game, 6);
    game->world.fail_at = draw(game, 8) ? 0 : game->world.allocations + 1;
    err = play_or_recover(game, &turn, &after);
    game->world.abandon_at = 0;
    game->world.fail_at = 0;
    cr_assert(err == KV_OK || err == 1 || err == KV_ENOMEM);
    cr_assert((err != KV_ENOMEM && matches(game, turn.key, &after)) ||
                  (err != KV_OK && matches(game, turn.key, &game->keys[turn.key])),
        "action %d answered %d, last at %s", (int)turn.action, err, game->world.where);
    if (matches(game, turn.key, &after)) {
        game->keys[turn.key] = after;
    }
}

static uint64_t seed_of_the_day(void)
{
    const char *text = getenv("KV_TEST_SEED");
    uint64_t seed = text ? strtoull(text, NULL, 10) : (uint64_t)time(NULL);

    seed = seed ? seed : 1;
    fprintf(stderr, "KV_TEST_SEED=%llu\n", (unsigned long long)seed);
    return seed;
}

Test(keyspace, any_sequence_of_operations_agrees_with_a_model, .timeout = 120)
{
    static struct game game;
    int round;
    size_t i;

    game.random = seed_of_the_day() * UINT64_C(0x9e3779b97f4a7c15) | 1;
    game.keyspace = make_keyspace(&game.world, 0);
    game.now_ms = NOW;
    for (round = 0; round < 60000; round++) {
        play_round(&game);
        game.now_ms += (int64_t)draw(&game, 3);
        if (round % 50 == 0) {
            kv_keyspace_expire_some(game.keyspace, game.now_ms, draw(&game, 200));
        }
        if (round % 200 == 0) {
            const char *wrong = kv_keyspace_check(game.keyspace);

            cr_assert_null(wrong, "round %d: %s", round, wrong);
            cr_assert_eq(kv_keyspace_bytes(game.keyspace), game.world.bytes);
        }
    }
    for (i = 0; i < MODEL_KEYS; i++) {
        cr_assert(matches(&game, i, &game.keys[i]));
    }
    end_keyspace(&game.world, game.keyspace);
}
