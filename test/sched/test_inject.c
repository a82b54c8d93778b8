/* SPDX-License-Identifier: MIT */
/* Injection: each slot is taken once, in its pusher's order, from any shard, and nobody waits for anybody. */
#include "sched/inject.h"

#include <criterion/criterion.h>
#include <signal.h>

#include "sched/actor.h"
#include "test/support/random.h"
#include "test/support/team.h"

static struct troupe_actor *cells(size_t count)
{
    struct troupe_actor *actors =
        aligned_alloc(alignof(struct troupe_actor), count * sizeof *actors);

    cr_assert_not_null(actors);
    memset(actors, 0, count * sizeof *actors);
    for (size_t i = 0; i < count; i++) {
        actors[i].slot = (uint32_t)i;
    }
    return actors;
}

Test(inject, is_empty_at_first)
{
    for (unsigned shards = 1; shards <= TRP_INJECT_SHARDS; shards++) {
        struct troupe_actor *taken[4];
        struct trp_inject inject;

        trp_inject_init(&inject, shards);
        cr_assert(trp_inject_is_empty(&inject));
        for (unsigned i = 0; i < 10; i++) {
            cr_assert_eq(trp_inject_take(&inject, i, taken, 4), 0);
        }
        trp_inject_fini(&inject);
    }
}

Test(inject, no_shard_at_all_is_our_mistake, .signal = SIGABRT)
{
    struct trp_inject inject;

    trp_inject_init(&inject, 0);
}

Test(inject, more_shards_than_there_is_room_for_are_our_mistake, .signal = SIGABRT)
{
    struct trp_inject inject;

    trp_inject_init(&inject, TRP_INJECT_SHARDS + 1);
}

Test(inject, a_shard_gives_in_order_and_as_many_as_are_wanted)
{
    struct troupe_actor *actors = cells(100);
    struct troupe_actor *taken[101];
    struct trp_inject inject;

    trp_inject_init(&inject, 1);
    for (unsigned i = 0; i < 100; i++) {
        trp_inject_push(&inject, 0, &actors[i]);
        cr_assert_not(trp_inject_is_empty(&inject));
    }
    cr_assert_eq(trp_inject_take(&inject, 0, taken, 0), 0);
    cr_assert_eq(trp_inject_take(&inject, 0, taken, 1), 1);
    cr_assert_eq(taken[0], &actors[0]);
    cr_assert_eq(trp_inject_take(&inject, 0, taken, 60), 60);
    for (unsigned i = 0; i < 60; i++) {
        cr_assert_eq(taken[i], &actors[1 + i]);
    }
    cr_assert_eq(trp_inject_take(&inject, 0, taken, 101), 39);
    cr_assert_eq(taken[38], &actors[99]);
    cr_assert(trp_inject_is_empty(&inject));
    trp_inject_fini(&inject);
    free(actors);
}

Test(inject, a_slot_may_be_pushed_again_after_it_was_taken)
{
    struct troupe_actor *actors = cells(2);
    struct troupe_actor *taken[2];
    struct trp_inject inject;

    trp_inject_init(&inject, 1);
    for (unsigned i = 0; i < 10; i++) {
        trp_inject_push(&inject, 0, &actors[i % 2]);
        cr_assert_eq(trp_inject_take(&inject, 0, taken, 2), 1);
        cr_assert_eq(taken[0], &actors[i % 2]);
        actors[i % 2].link = &actors[1]; /* whoever has it may use the link */
    }
    trp_inject_fini(&inject);
    free(actors);
}

Test(inject, a_taker_finds_what_is_in_any_shard)
{
    struct troupe_actor *actors = cells(1);
    struct trp_inject inject;

    trp_inject_init(&inject, 5);
    for (unsigned to = 0; to < 10; to++) {
        for (unsigned from = 0; from < 10; from++) {
            struct troupe_actor *taken[2];

            trp_inject_push(&inject, to, actors);
            cr_assert_not(trp_inject_is_empty(&inject));
            cr_assert_eq(trp_inject_take(&inject, from, taken, 2), 1);
            cr_assert_eq(taken[0], actors);
            cr_assert(trp_inject_is_empty(&inject));
        }
    }
    trp_inject_fini(&inject);
    free(actors);
}

Test(inject, a_taker_looks_into_its_own_shard_first)
{
    struct troupe_actor *actors = cells(4);
    struct trp_inject inject;

    trp_inject_init(&inject, 4);
    for (unsigned i = 0; i < 4; i++) {
        trp_inject_push(&inject, i, &actors[i]);
    }
    for (unsigned i = 4; i-- > 0;) {
        struct troupe_actor *taken[4];

        cr_assert_eq(trp_inject_take(&inject, i, taken, 4), 1);
        cr_assert_eq(taken[0], &actors[i]);
    }
    trp_inject_fini(&inject);
    free(actors);
}

Test(inject, a_taker_passes_by_where_another_takes)
{
    struct troupe_actor *actors = cells(2);
    struct troupe_actor *taken[2];
    struct trp_inject inject;

    trp_inject_init(&inject, 2);
    trp_inject_push(&inject, 0, &actors[0]);
    trp_lock_take(&inject.shards[0].lock);
    cr_assert_eq(trp_inject_take(&inject, 0, taken, 2), 0);
    cr_assert_not(trp_inject_is_empty(&inject), "it is there all the same");
    trp_inject_push(&inject, 1, &actors[1]);
    cr_assert_eq(trp_inject_take(&inject, 0, taken, 2), 1);
    cr_assert_eq(taken[0], &actors[1]);
    trp_lock_give(&inject.shards[0].lock);
    cr_assert_eq(trp_inject_take(&inject, 0, taken, 2), 1);
    cr_assert_eq(taken[0], &actors[0]);
    trp_inject_fini(&inject);
    free(actors);
}

/* A pusher that stopped between its exchange of the tail and its store of the link: done by hand. */
Test(inject, a_push_that_is_half_done_stops_a_taker_but_does_not_hold_it)
{
    struct troupe_actor *actors = cells(3);
    struct troupe_actor *taken[3];
    struct trp_inject inject;
    void **before;

    trp_inject_init(&inject, 1);
    trp_inject_push(&inject, 0, &actors[0]);
    before = inject.shards[0].tail[0];
    actors[1].link = NULL;
    inject.shards[0].tail[0] = &actors[1].link;
    trp_inject_push(&inject, 0, &actors[2]);
    /* The first one may or may not be had: its link is what is missing. */
    for (unsigned i = 0; i < 3; i++) {
        cr_assert_eq(trp_inject_take(&inject, 0, taken, 3), 0);
        cr_assert_not(trp_inject_is_empty(&inject));
    }
    *before = &actors[1].link;
    cr_assert_eq(trp_inject_take(&inject, 0, taken, 3), 3);
    for (unsigned i = 0; i < 3; i++) {
        cr_assert_eq(taken[i], &actors[i]);
    }
    trp_inject_fini(&inject);
    free(actors);
}

/* ---- threads ---- */

enum {
    PUSHERS = 3,
    TAKERS = 2,
    PUSHES = 40000, /* of each pusher */
};

struct mill {
    struct trp_inject inject;
    struct troupe_actor *actors;
    _Atomic uint8_t taken[PUSHERS * PUSHES];
    _Atomic uint32_t count;
    bool ordered; /* one taker: it sees each pusher's order */
};

static const char *push_all(struct mill *mill, unsigned index)
{
    for (unsigned i = 0; i < PUSHES; i++) {
        struct troupe_actor *actor = &mill->actors[index * PUSHES + i];

        /* Plain: the hand-over publishes it. */
        actor->serial = (uint64_t)~actor->slot;
        trp_inject_push(&mill->inject, index, actor);
    }
    return NULL;
}

static const char *note_taken(struct mill *mill, const struct troupe_actor *actor, uint32_t *next)
{
    uint32_t pusher = actor->slot / PUSHES;

    if (actor->serial != (uint64_t)~actor->slot) {
        return "what was written before the push is not there";
    }
    if (atomic_fetch_add(&mill->taken[actor->slot], 1) != 0) {
        return "taken twice";
    }
    if (mill->ordered && actor->slot % PUSHES != next[pusher]++) {
        return "out of order";
    }
    atomic_fetch_add(&mill->count, 1);
    return NULL;
}

static const char *take_all(struct mill *mill, unsigned index)
{
    struct test_random random = test_random_of(index);
    uint32_t next[PUSHERS] = {0};
    unsigned spins = 0;

    while (atomic_load(&mill->count) < PUSHERS * PUSHES) {
        struct troupe_actor *taken[16];
        unsigned most = 1 + (unsigned)test_below(&random, 16);
        unsigned count = trp_inject_take(
            &mill->inject, (unsigned)test_below(&random, TRP_INJECT_SHARDS), taken, most);

        if (count > most) {
            return "more than was wanted";
        }
        for (unsigned i = 0; i < count; i++) {
            const char *complaint = note_taken(mill, taken[i], next);

            if (complaint != NULL) {
                return complaint;
            }
        }
        if (count == 0) {
            team_pause(&spins);
        }
    }
    return NULL;
}

static const char *work(void *arg, unsigned index)
{
    return index < PUSHERS ? push_all(arg, index) : take_all(arg, index);
}

static void mill_with(unsigned shards, unsigned takers)
{
    static struct mill mill;
    const char *complaint;

    memset(&mill, 0, sizeof mill);
    trp_inject_init(&mill.inject, shards);
    mill.actors = cells(PUSHERS * PUSHES);
    mill.ordered = takers == 1;
    complaint = team_run(PUSHERS + takers, work, &mill);
    cr_assert_null(complaint, "%s", complaint);
    cr_assert(trp_inject_is_empty(&mill.inject));
    for (unsigned i = 0; i < PUSHERS * PUSHES; i++) {
        cr_assert_eq(mill.taken[i], 1);
    }
    trp_inject_fini(&mill.inject);
    free(mill.actors);
}

Test(inject, one_taker_gets_all_in_the_order_of_each_pusher, .timeout = 60)
{
    mill_with(1, 1);
    mill_with(2, 1);
}

Test(inject, takers_get_each_slot_once, .timeout = 60)
{
    mill_with(1, TAKERS);
    mill_with(3, TAKERS);
}
