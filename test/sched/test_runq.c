/* SPDX-License-Identifier: MIT */
/* Run queue: first in, first out; thieves take the older half; each slot is taken once. */
#include "sched/runq.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <sched.h>
#include <signal.h>

#include "test/support/random.h"
#include "test/support/team.h"

/* The queue does not look into what it holds: slots are numbers here, from 1. */
static struct troupe_actor *slot(uintptr_t number)
{
    return (struct troupe_actor *)number;
}

static uintptr_t number_of(const struct troupe_actor *actor)
{
    return (uintptr_t)actor;
}

/* An empty queue through which `passed` slots have gone. */
static void start_at(struct trp_runq *runq, uint64_t passed)
{
    trp_runq_init(runq);
    atomic_store(&runq->head, passed);
    atomic_store(&runq->tail, passed);
}

static void push_numbers(struct trp_runq *runq, uintptr_t first, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        cr_assert(trp_runq_push(runq, slot(first + i)));
    }
}

static void expect_numbers(struct trp_runq *runq, uintptr_t first, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        cr_assert_eq(number_of(trp_runq_pop(runq)), first + i);
    }
}

Test(runq, is_empty_at_first)
{
    struct trp_runq runq;

    trp_runq_init(&runq);
    cr_assert_null(trp_runq_pop(&runq));
    cr_assert(trp_runq_is_empty(&runq));
    cr_assert_eq(trp_runq_length(&runq), 0);
}

Test(runq, the_oldest_comes_first)
{
    struct trp_runq runq;

    trp_runq_init(&runq);
    push_numbers(&runq, 1, 100);
    cr_assert_eq(trp_runq_length(&runq), 100);
    expect_numbers(&runq, 1, 50);
    push_numbers(&runq, 101, 10);
    cr_assert_eq(trp_runq_length(&runq), 60);
    cr_assert_not(trp_runq_is_empty(&runq));
    expect_numbers(&runq, 51, 60);
    cr_assert_null(trp_runq_pop(&runq));
    cr_assert(trp_runq_is_empty(&runq));
}

Test(runq, takes_as_many_as_it_has_slots_and_not_one_more)
{
    struct trp_runq runq;

    trp_runq_init(&runq);
    push_numbers(&runq, 1, TRP_RUNQ_SLOTS);
    cr_assert_not(trp_runq_push(&runq, slot(999)));
    cr_assert_eq(trp_runq_length(&runq), TRP_RUNQ_SLOTS);
    expect_numbers(&runq, 1, 1);
    cr_assert(trp_runq_push(&runq, slot(TRP_RUNQ_SLOTS + 1)));
    cr_assert_not(trp_runq_push(&runq, slot(999)));
    expect_numbers(&runq, 2, TRP_RUNQ_SLOTS);
    cr_assert_null(trp_runq_pop(&runq));
}

/* Where the index meets the end of the ring, of 32 bits, and of 64. */
ParameterizedTestParameters(runq, goes_round)
{
    static uint64_t passed[] = {0, 1, 255, 256, 1000, UINT32_MAX - 100, UINT64_MAX - 100};

    return cr_make_param_array(uint64_t, passed, sizeof passed / sizeof passed[0]);
}

ParameterizedTest(uint64_t *passed, runq, goes_round)
{
    struct trp_runq runq;
    uintptr_t in = 1;
    uintptr_t out = 1;

    start_at(&runq, *passed);
    for (unsigned round = 0; round < 20; round++) {
        push_numbers(&runq, in, 200);
        in += 200;
        expect_numbers(&runq, out, 199);
        out += 199;
        cr_assert_eq(trp_runq_length(&runq), in - out);
    }
    expect_numbers(&runq, out, (unsigned)(in - out));
    cr_assert(trp_runq_is_empty(&runq));
}

/* ---- stealing, one thread ---- */

/* A thief with `kept` slots of its own takes from a victim with `count`, at all these places of the ring. */
static void steal_from(uint64_t passed, uint64_t thief_passed, unsigned count, unsigned kept)
{
    unsigned half = count - count / 2;
    uint32_t stolen = 999;
    struct trp_runq victim;
    struct trp_runq thief;
    struct troupe_actor *one;

    start_at(&victim, passed);
    start_at(&thief, thief_passed);
    push_numbers(&victim, 1, count);
    push_numbers(&thief, 1001, kept);
    one = trp_runq_steal(&victim, &thief, &stolen);
    cr_assert_eq(stolen, half);
    if (count == 0) {
        cr_assert_null(one);
        return;
    }
    cr_assert_eq(trp_runq_length(&victim), count - half);
    cr_assert_eq(trp_runq_length(&thief), kept + half - 1);
    expect_numbers(&victim, half + 1, count - half);
    expect_numbers(&thief, 1001, kept);
    expect_numbers(&thief, 1, half - 1);
    cr_assert_eq(number_of(one), half, "it is one of those taken, and no other has it");
    cr_assert_null(trp_runq_pop(&thief));
    cr_assert_null(trp_runq_pop(&victim));
}

Test(runq, a_thief_takes_the_older_half_rounded_up)
{
    for (unsigned count = 0; count <= TRP_RUNQ_SLOTS; count++) {
        steal_from(0, 0, count, 0);
    }
}

Test(runq, what_is_stolen_goes_behind_what_the_thief_has)
{
    for (unsigned kept = 0; kept <= TRP_RUNQ_SLOTS / 2; kept++) {
        steal_from(0, 0, TRP_RUNQ_SLOTS, kept);
    }
}

Test(runq, stealing_goes_round_the_ends_of_both_rings)
{
    for (unsigned place = 0; place < TRP_RUNQ_SLOTS; place++) {
        steal_from(place, 0, 100, 3);
        steal_from(0, place, 100, 3);
        steal_from(UINT32_MAX - place, UINT32_MAX - 77, 256, 100);
    }
}

Test(runq, a_thief_without_room_for_half_a_ring_is_our_mistake, .signal = SIGABRT)
{
    struct trp_runq victim;
    struct trp_runq thief;
    uint32_t stolen;

    trp_runq_init(&victim);
    trp_runq_init(&thief);
    push_numbers(&thief, 1, TRP_RUNQ_SLOTS / 2 + 1);
    (void)trp_runq_steal(&victim, &thief, &stolen);
}

/* ---- threads: an owner, and thieves that run what they steal ---- */

enum {
    THIEVES = 2,
    PUSHES = 200000,
};

struct den {
    struct trp_runq queues[1 + THIEVES]; /* the owner's first */
    _Atomic uint8_t seen[PUSHES + 1];
    _Atomic uint32_t run; /* in all */
    _Atomic uint32_t stolen;
    _Atomic bool wrong;
};

static void run(struct den *den, const struct troupe_actor *actor)
{
    uintptr_t number = number_of(actor);

    if (number < 1 || number > PUSHES || atomic_fetch_add(&den->seen[number], 1) != 0) {
        atomic_store(&den->wrong, true);
    }
    atomic_fetch_add(&den->run, 1);
}

/* In bursts; what does not fit the owner runs itself, and some of the rest. */
static const char *own(struct den *den)
{
    struct test_random random = test_random_of(1);
    uintptr_t next = 1;

    while (next <= PUSHES) {
        uint64_t burst = test_below(&random, 40);
        uint64_t runs = test_below(&random, 30);

        for (uint64_t i = 0; i < burst && next <= PUSHES; i++) {
            if (!trp_runq_push(&den->queues[0], slot(next))) {
                run(den, slot(next));
            }
            next++;
        }
        for (uint64_t i = 0; i < runs; i++) {
            struct troupe_actor *actor = trp_runq_pop(&den->queues[0]);

            if (actor != NULL) {
                run(den, actor);
            }
        }
        if (test_below(&random, 8) == 0) {
            sched_yield();
        }
    }
    return NULL;
}

/* Steals from the owner and from the other thief, at times while it has something itself. */
static const char *thieve(struct den *den, unsigned index)
{
    struct trp_runq *mine = &den->queues[index];
    struct test_random random = test_random_of(index + 1);
    unsigned spins = 0;

    while (atomic_load(&den->run) < PUSHES && !atomic_load(&den->wrong)) {
        struct trp_runq *victim =
            &den->queues[test_below(&random, 4) == 0 ? 1 + index % THIEVES : 0];
        uint64_t keep = test_below(&random, TRP_RUNQ_SLOTS / 2);
        uint32_t count = 0;
        struct troupe_actor *actor = trp_runq_steal(victim, mine, &count);

        if ((actor == NULL) != (count == 0)) {
            return "the count does not fit what was returned";
        }
        if (count == 0) {
            keep = 0;
            team_pause(&spins);
        }
        atomic_fetch_add(&den->stolen, count);
        if (actor != NULL) {
            run(den, actor);
        }
        while (trp_runq_length(mine) > keep && (actor = trp_runq_pop(mine)) != NULL) {
            run(den, actor);
        }
    }
    return NULL;
}

static const char *live(void *arg, unsigned index)
{
    return index == 0 ? own(arg) : thieve(arg, index);
}

Test(runq, owner_and_thieves_run_each_slot_once, .timeout = 60)
{
    static struct den den;
    const char *complaint;

    /* Near the end of 32 bits, so that the threads pass it. */
    for (unsigned i = 0; i <= THIEVES; i++) {
        start_at(&den.queues[i], UINT32_MAX - 20000);
    }
    complaint = team_run(1 + THIEVES, live, &den);
    cr_assert_null(complaint, "%s", complaint);
    cr_assert_not(den.wrong, "a slot was run twice, or never pushed");
    for (unsigned i = 1; i <= PUSHES; i++) {
        cr_assert_eq(den.seen[i], 1);
    }
    cr_assert_gt(den.stolen, 1000, "hardly anything was stolen: no test");
    for (unsigned i = 0; i <= THIEVES; i++) {
        cr_assert(trp_runq_is_empty(&den.queues[i]));
    }
}

/* One slot at a time: owner and thief always want the same one. */

enum {
    ROUNDS = 3000000,
};

struct duel {
    struct trp_runq owner;
    struct trp_runq thief;
    _Atomic uintptr_t taken; /* the number taken last: they go up */
    _Atomic bool over;
    _Atomic bool wrong;
};

/* Whoever takes a number takes the one after that taken last. */
static void score(struct duel *duel, const struct troupe_actor *actor)
{
    if (atomic_exchange(&duel->taken, number_of(actor)) != number_of(actor) - 1) {
        atomic_store(&duel->wrong, true);
    }
}

static const char *own_one_by_one(struct duel *duel)
{
    unsigned spins = 0;

    for (uintptr_t i = 1; i <= ROUNDS && !atomic_load(&duel->wrong); i++) {
        struct troupe_actor *actor;

        if (!trp_runq_push(&duel->owner, slot(i))) {
            return "full";
        }
        actor = trp_runq_pop(&duel->owner);
        if (actor != NULL) {
            score(duel, actor);
        }
        while (atomic_load(&duel->taken) != i && !atomic_load(&duel->wrong)) {
            team_pause(&spins);
        }
    }
    atomic_store(&duel->over, true);
    return NULL;
}

static const char *thieve_one_by_one(struct duel *duel)
{
    while (!atomic_load(&duel->over)) {
        uint32_t count;
        struct troupe_actor *actor = trp_runq_steal(&duel->owner, &duel->thief, &count);

        if (actor != NULL) {
            score(duel, actor);
        }
    }
    return NULL;
}

static const char *live_one_by_one(void *arg, unsigned index)
{
    return index == 0 ? own_one_by_one(arg) : thieve_one_by_one(arg);
}

Test(runq, of_two_that_want_the_last_slot_one_gets_it, .timeout = 100)
{
    static struct duel duel;
    const char *complaint;

    trp_runq_init(&duel.owner);
    trp_runq_init(&duel.thief);
    complaint = team_run(2, live_one_by_one, &duel);
    cr_assert_null(complaint, "%s", complaint);
    cr_assert_not(duel.wrong, "both got it, or none");
    cr_assert_eq(duel.taken, ROUNDS);
}

/* What a thief takes it may read, and what the owner wrote before is there: the queue publishes. */
struct parcel {
    uint64_t number;
    uint64_t inverse;
};

struct courier {
    struct trp_runq queue;
    struct trp_runq stolen;
    struct parcel parcels[1000];
};

static const char *hand_over(struct courier *courier)
{
    unsigned spins = 0;

    for (uint64_t i = 0; i < 1000; i++) {
        courier->parcels[i] = (struct parcel){i, ~i};
        while (
            !trp_runq_push(&courier->queue, (struct troupe_actor *)(void *)&courier->parcels[i])) {
            team_pause(&spins);
        }
    }
    return NULL;
}

static const char *receive(struct courier *courier)
{
    uint32_t delivered = 0;
    unsigned spins = 0;

    while (delivered < 1000) {
        uint32_t count;
        struct troupe_actor *actor = trp_runq_steal(&courier->queue, &courier->stolen, &count);

        while (actor != NULL) {
            const struct parcel *parcel = (const struct parcel *)(const void *)actor;

            if (parcel->number != ~parcel->inverse) {
                return "the contents are not there yet";
            }
            delivered++;
            actor = trp_runq_pop(&courier->stolen);
        }
        team_pause(&spins);
    }
    return NULL;
}

static const char *deliver(void *arg, unsigned index)
{
    return index == 0 ? hand_over(arg) : receive(arg);
}

Test(runq, a_thief_sees_what_was_written_before_the_push, .timeout = 60)
{
    static struct courier courier;
    const char *complaint;

    trp_runq_init(&courier.queue);
    trp_runq_init(&courier.stolen);
    complaint = team_run(2, deliver, &courier);
    cr_assert_null(complaint, "%s", complaint);
}
