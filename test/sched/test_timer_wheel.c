/* SPDX-License-Identifier: MIT */
/* Timer wheel: nothing fires early, nothing is forgotten, and what is due fires in order. */
#include "sched/timer.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <pthread.h>
#include <string.h>

#include "test/support/random.h"

enum {
    FIRED_MAX = 4096,
    NO_LIMIT = 1000000,
};

#define HOUR_MS UINT64_C(3600000)
#define RANGE_MS (UINT64_C(1) << 36)

/* What fired, in order. */
struct log {
    struct trp_timer *timers[FIRED_MAX];
    unsigned count;
    uint64_t now_ms; /* of the advance */
};

static void note(void *context, struct trp_timer *timer)
{
    struct log *log = context;

    cr_assert_eq(timer->state, TRP_TIMER_FIRING);
    cr_assert_leq(timer->due_ms, log->now_ms, "fired early");
    cr_assert_lt(log->count, FIRED_MAX);
    timer->state = TRP_TIMER_IDLE;
    log->timers[log->count++] = timer;
}

static unsigned advance(struct trp_wheel *wheel, struct log *log, uint64_t now_ms, unsigned limit)
{
    unsigned fired;

    log->count = 0;
    log->now_ms = now_ms;
    fired = trp_wheel_advance(wheel, now_ms, limit, note, log);
    cr_assert_eq(fired, log->count);
    trp_wheel_check(wheel);
    return fired;
}

Test(timer_wheel, an_empty_wheel_has_no_deadline)
{
    struct trp_wheel wheel;
    struct log log;

    trp_wheel_init(&wheel, 12345);
    cr_assert_eq(trp_wheel_next(&wheel), TRP_NEVER);
    cr_assert_eq(advance(&wheel, &log, 12345 + HOUR_MS, NO_LIMIT), 0);
    cr_assert_eq(trp_wheel_next(&wheel), TRP_NEVER);
}

struct delay_case {
    uint64_t start_ms;
    uint64_t delay_ms;
};

ParameterizedTestParameters(timer_wheel, fires_at_its_deadline_and_not_before)
{
    static struct delay_case cases[] = {
        {0, 1},
        {0, 63},
        {0, 64},
        {0, 65},
        {63, 1},
        {4095, 1},
        {0, 4096},
        {5, 1000},
        {262143, 1},
        {262143, 262144},
        {999, HOUR_MS},
        {999, 24 * HOUR_MS},
        {RANGE_MS - 1, 1},
        {RANGE_MS - 1, RANGE_MS - 1},
        {0, RANGE_MS - 1},
        {0, RANGE_MS},
        {777, RANGE_MS},
        {777, 3 * RANGE_MS + 5},
        {RANGE_MS * 1000 + 77, RANGE_MS / 2},
    };

    return cr_make_param_array(struct delay_case, cases, TROUPE_COUNT(cases));
}

ParameterizedTest(
    struct delay_case *with, timer_wheel, fires_at_its_deadline_and_not_before, .timeout = 10)
{
    struct trp_timer timer = {.state = TRP_TIMER_IDLE};
    uint64_t due_ms = with->start_ms + with->delay_ms;
    struct trp_wheel wheel;
    struct log log;

    trp_wheel_init(&wheel, with->start_ms);
    cr_assert(trp_wheel_arm(&wheel, &timer, due_ms));
    cr_assert_eq(timer.state, TRP_TIMER_ARMED);
    cr_assert_leq(trp_wheel_next(&wheel), due_ms);
    cr_assert_eq(advance(&wheel, &log, due_ms - 1, NO_LIMIT), 0);
    cr_assert_leq(trp_wheel_next(&wheel), due_ms);
    cr_assert_eq(advance(&wheel, &log, due_ms, NO_LIMIT), 1);
    cr_assert_eq(log.timers[0], &timer);
    cr_assert_eq(trp_wheel_next(&wheel), TRP_NEVER);
}

ParameterizedTestParameters(timer_wheel, whoever_sleeps_until_next_soon_arrives)
{
    static struct delay_case cases[] = {
        {0, 1},
        {5, 1000},
        {999, HOUR_MS},
        {RANGE_MS - 1, RANGE_MS - 1},
        {777, 3 * RANGE_MS + 5},
    };

    return cr_make_param_array(struct delay_case, cases, TROUPE_COUNT(cases));
}

/* Follows next: it must not be early again and again, nor stand still. */
ParameterizedTest(
    struct delay_case *with, timer_wheel, whoever_sleeps_until_next_soon_arrives, .timeout = 10)
{
    struct trp_timer timers[20];
    uint64_t now_ms = with->start_ms;
    struct trp_wheel wheel;
    struct log log;
    unsigned fired = 0;
    unsigned wakes = 0;

    trp_wheel_init(&wheel, now_ms);
    memset(timers, 0, sizeof timers);
    for (unsigned i = 0; i < 20; i++) {
        trp_wheel_arm(&wheel, &timers[i], now_ms + with->delay_ms + i);
    }
    while (fired < 20) {
        uint64_t next_ms = trp_wheel_next(&wheel);

        cr_assert_neq(next_ms, TRP_NEVER);
        cr_assert(wakes == 0 || next_ms > now_ms, "next stands still");
        now_ms = next_ms;
        fired += advance(&wheel, &log, now_ms, NO_LIMIT);
        wakes++;
    }
    cr_assert_eq(now_ms, with->start_ms + with->delay_ms + 19);
    cr_assert_leq(wakes, 20 + 2 * TRP_WHEEL_LEVELS + 3 * TRP_WHEEL_LEVELS);
}

Test(timer_wheel, next_of_a_few_timers_is_exact)
{
    struct trp_timer timers[3];
    struct trp_wheel wheel;
    struct log log;

    memset(timers, 0, sizeof timers);
    trp_wheel_init(&wheel, 10);
    trp_wheel_arm(&wheel, &timers[0], 50);
    trp_wheel_arm(&wheel, &timers[1], 10007);
    trp_wheel_arm(&wheel, &timers[2], 10009);
    cr_assert_eq(advance(&wheel, &log, 50, NO_LIMIT), 1);
    cr_assert_eq(trp_wheel_next(&wheel), 10007);
}

Test(timer_wheel, arm_says_whether_the_next_deadline_became_earlier)
{
    struct trp_timer timers[4];
    struct trp_wheel wheel;

    memset(timers, 0, sizeof timers);
    trp_wheel_init(&wheel, 1000);
    cr_assert(trp_wheel_arm(&wheel, &timers[0], 5000));
    cr_assert_not(trp_wheel_arm(&wheel, &timers[1], 5000));
    cr_assert_not(trp_wheel_arm(&wheel, &timers[2], 5001));
    cr_assert(trp_wheel_arm(&wheel, &timers[3], 4999));
    cr_assert_eq(trp_wheel_next(&wheel), 4999);
}

Test(timer_wheel, a_deadline_that_has_passed_fires_at_the_next_advance)
{
    struct trp_timer timers[3];
    struct trp_wheel wheel;
    struct log log;

    memset(timers, 0, sizeof timers);
    trp_wheel_init(&wheel, 1000);
    cr_assert(trp_wheel_arm(&wheel, &timers[0], 3));
    cr_assert_not(trp_wheel_arm(&wheel, &timers[1], 1000));
    cr_assert_not(trp_wheel_arm(&wheel, &timers[2], 1001));
    cr_assert_eq(advance(&wheel, &log, 1000, NO_LIMIT), 2);
    cr_assert_eq(log.timers[0], &timers[0]);
    cr_assert_eq(log.timers[1], &timers[1]);
    cr_assert_eq(timers[0].due_ms, 3, "the owner counts periods from it");
}

Test(timer_wheel, of_those_due_together_the_first_armed_fires_first)
{
    struct trp_timer timers[40];
    struct trp_wheel wheel;
    struct log log;

    memset(timers, 0, sizeof timers);
    trp_wheel_init(&wheel, 0);
    /* Two deadlines by turns; half of the timers are armed when the wheel has come nearer. */
    for (unsigned i = 0; i < 40; i++) {
        struct trp_timer tick = {.state = TRP_TIMER_IDLE};

        if (i == 20) {
            trp_wheel_arm(&wheel, &tick, 299990);
            cr_assert_eq(advance(&wheel, &log, 299990, NO_LIMIT), 1);
        }
        trp_wheel_arm(&wheel, &timers[i], 300000 + i % 2);
    }
    cr_assert_eq(advance(&wheel, &log, 400000, NO_LIMIT), 40);
    for (unsigned i = 0; i < 40; i++) {
        cr_assert_eq(log.timers[i], &timers[i < 20 ? 2 * i : 2 * (i - 20) + 1]);
    }
}

Test(timer_wheel, a_cancelled_timer_does_not_fire)
{
    struct trp_timer timers[2];
    struct trp_wheel wheel;
    struct log log;

    memset(timers, 0, sizeof timers);
    trp_wheel_init(&wheel, 0);
    trp_wheel_arm(&wheel, &timers[0], 100);
    trp_wheel_arm(&wheel, &timers[1], 200);
    cr_assert(trp_wheel_cancel(&timers[0]));
    cr_assert_eq(timers[0].state, TRP_TIMER_IDLE);
    cr_assert_not(trp_wheel_cancel(&timers[0]));
    cr_assert_eq(advance(&wheel, &log, 1000, NO_LIMIT), 1);
    cr_assert_eq(log.timers[0], &timers[1]);
    cr_assert_not(trp_wheel_cancel(&timers[1]));
}

Test(timer_wheel, cancel_of_a_timer_never_armed_says_no)
{
    struct trp_timer timer = {.state = TRP_TIMER_IDLE};

    cr_assert_not(trp_wheel_cancel(&timer));
}

Test(timer_wheel, cancel_of_the_last_timer_leaves_no_deadline)
{
    struct trp_timer timer = {.state = TRP_TIMER_IDLE};
    struct trp_wheel wheel;

    trp_wheel_init(&wheel, 0);
    trp_wheel_arm(&wheel, &timer, HOUR_MS);
    cr_assert(trp_wheel_cancel(&timer));
    cr_assert_eq(trp_wheel_next(&wheel), TRP_NEVER);
}

Test(timer_wheel, cancel_finds_the_wheel_the_timer_is_in)
{
    struct trp_timer timer = {.state = TRP_TIMER_IDLE};
    struct trp_wheel wheels[2];
    struct log log;

    trp_wheel_init(&wheels[0], 0);
    trp_wheel_init(&wheels[1], 0);
    trp_wheel_arm(&wheels[0], &timer, 10);
    cr_assert_eq(advance(&wheels[0], &log, 10, NO_LIMIT), 1);
    trp_wheel_arm(&wheels[1], &timer, 20);
    cr_assert(trp_wheel_cancel(&timer));
    cr_assert_eq(advance(&wheels[1], &log, 20, NO_LIMIT), 0);
    trp_wheel_check(&wheels[0]);
}

Test(timer_wheel, beyond_the_limit_timers_stay_due_and_in_order)
{
    struct trp_timer timers[10];
    struct trp_wheel wheel;
    struct log log;

    memset(timers, 0, sizeof timers);
    trp_wheel_init(&wheel, 0);
    for (unsigned i = 0; i < 10; i++) {
        trp_wheel_arm(&wheel, &timers[i], 100 + i / 4);
    }
    for (unsigned first = 0; first < 10; first += 3) {
        unsigned expected = first + 3 <= 10 ? 3 : 10 - first;

        cr_assert_leq(trp_wheel_next(&wheel), 5000);
        cr_assert_eq(advance(&wheel, &log, 5000, 3), expected);
        for (unsigned i = 0; i < expected; i++) {
            cr_assert_eq(log.timers[i], &timers[first + i]);
        }
    }
    cr_assert_eq(trp_wheel_next(&wheel), TRP_NEVER);
}

Test(timer_wheel, an_older_clock_does_no_harm)
{
    struct trp_timer timers[3];
    struct trp_wheel wheel;
    struct log log;

    memset(timers, 0, sizeof timers);
    trp_wheel_init(&wheel, 0);
    trp_wheel_arm(&wheel, &timers[0], 100);
    cr_assert_eq(advance(&wheel, &log, 500, NO_LIMIT), 1);
    trp_wheel_arm(&wheel, &timers[1], 510);
    trp_wheel_arm(&wheel, &timers[2], 300);
    cr_assert_eq(advance(&wheel, &log, 400, NO_LIMIT), 1);
    cr_assert_eq(log.timers[0], &timers[2]);
    cr_assert_eq(wheel.now_ms, 500);
    cr_assert_eq(advance(&wheel, &log, 509, NO_LIMIT), 0);
    cr_assert_eq(advance(&wheel, &log, 510, NO_LIMIT), 1);
}

/* Fires a timer, and from there arms it anew and tries to advance the same wheel. */
struct again {
    struct trp_wheel *wheel;
    unsigned fired;
    unsigned nested;
};

static void arm_again(void *context, struct trp_timer *timer)
{
    struct again *again = context;

    again->fired++;
    timer->state = TRP_TIMER_IDLE;
    trp_wheel_arm(again->wheel, timer, timer->due_ms);
    again->nested += trp_wheel_advance(again->wheel, 1000, NO_LIMIT, arm_again, again);
}

Test(timer_wheel, fire_may_arm_but_not_advance, .timeout = 10)
{
    struct trp_timer timer = {.state = TRP_TIMER_IDLE};
    struct again again = {0};
    struct trp_wheel wheel;

    trp_wheel_init(&wheel, 0);
    again.wheel = &wheel;
    trp_wheel_arm(&wheel, &timer, 10);
    for (unsigned i = 1; i <= 3; i++) {
        cr_assert_eq(trp_wheel_advance(&wheel, 1000, NO_LIMIT, arm_again, &again), 1);
        cr_assert_eq(again.fired, i);
        cr_assert_eq(again.nested, 0);
        cr_assert_eq(timer.state, TRP_TIMER_ARMED);
    }
}

/*
 * The reference: an array of what is armed.
 */
enum {
    TIMERS = 300,
    STEPS = 4000,
};

struct model {
    struct trp_wheel wheel;
    struct log log;
    struct test_random random;
    uint64_t now_ms;
    struct trp_timer timers[TIMERS];
    bool armed[TIMERS];
    uint64_t due_ms[TIMERS]; /* as it counts: not before the wheel's time when it was armed */
};

/* A number with a random count of bits: near and far alike. */
static uint64_t any_span(struct model *model, unsigned bits_max)
{
    return test_next(&model->random) >> (63 - test_below(&model->random, bits_max));
}

static void model_arm(struct model *model, unsigned i)
{
    uint64_t due_ms = model->now_ms + any_span(model, 38);

    if (test_below(&model->random, 20) == 0) {
        due_ms = model->now_ms / 2;
    } else if (test_below(&model->random, 3) == 0) {
        due_ms = model->due_ms[test_below(&model->random, TIMERS)];
    }
    trp_wheel_arm(&model->wheel, &model->timers[i], due_ms);
    model->armed[i] = true;
    model->due_ms[i] = due_ms > model->wheel.now_ms ? due_ms : model->wheel.now_ms;
    cr_assert_leq(trp_wheel_next(&model->wheel), due_ms);
}

/* The armed timer that fires first, or TIMERS. */
static unsigned model_first(const struct model *model)
{
    unsigned first = TIMERS;

    for (unsigned i = 0; i < TIMERS; i++) {
        if (model->armed[i] && (first == TIMERS || model->due_ms[i] < model->due_ms[first])) {
            first = i;
        }
    }
    return first;
}

/* Of those due together any may be first: beyond the ring the order of arming is not kept. */
static void model_fired(struct model *model, struct trp_timer *timer, uint64_t now_ms)
{
    unsigned i = (unsigned)(timer - model->timers);
    unsigned first = model_first(model);

    cr_assert(model->armed[i], "fired without being armed");
    cr_assert_leq(model->due_ms[i], now_ms);
    cr_assert_eq(model->due_ms[i], model->due_ms[first], "fired before one that is due earlier");
    model->armed[i] = false;
}

static void model_advance(struct model *model)
{
    uint64_t now_ms = model->now_ms + any_span(model, 38);
    unsigned limit =
        test_below(&model->random, 3) == 0 ? 1 + test_below(&model->random, 5) : NO_LIMIT;
    unsigned first;

    if (test_below(&model->random, 2) == 0) {
        now_ms = trp_wheel_next(&model->wheel);
        now_ms = now_ms == TRP_NEVER || now_ms < model->now_ms ? model->now_ms : now_ms;
    }
    model->now_ms = now_ms;
    advance(&model->wheel, &model->log, now_ms, limit);
    for (unsigned i = 0; i < model->log.count; i++) {
        model_fired(model, model->log.timers[i], now_ms);
    }
    first = model_first(model);
    cr_assert(model->log.count == limit || first == TIMERS || model->due_ms[first] > now_ms,
        "did not fire though it was due");
    cr_assert(first == TIMERS || trp_wheel_next(&model->wheel) <= model->due_ms[first]);
    cr_assert(model->log.count == limit || trp_wheel_next(&model->wheel) > now_ms);
}

static void model_step(struct model *model)
{
    unsigned i = (unsigned)test_below(&model->random, TIMERS);
    bool armed = model->armed[i];

    switch (test_below(&model->random, 8)) {
    case 0:
        model_advance(model);
        return;
    case 1:
    case 2:
        cr_assert_eq(trp_wheel_cancel(&model->timers[i]), armed);
        model->armed[i] = false;
        return;
    default:
        if (!armed) {
            model_arm(model, i);
        }
        return;
    }
}

Test(timer_wheel, does_what_a_sorted_list_does, .timeout = 120)
{
    static struct model model;
    uint64_t seed = test_seed("timer_wheel");

    for (unsigned run = 0; run < 20; run++) {
        memset(&model, 0, sizeof model);
        model.random = test_random_of(seed + run);
        model.now_ms = any_span(&model, 41);
        trp_wheel_init(&model.wheel, model.now_ms);
        for (unsigned step = 0; step < STEPS; step++) {
            model_step(&model);
        }
    }
}

/* Ties among timers within the ring, near and far, in random steps. */
Test(timer_wheel, ties_keep_the_order_of_arming, .timeout = 60)
{
    static struct trp_timer timers[1000];
    struct test_random random = test_random_of(test_seed("timer_wheel ties"));
    uint64_t now_ms = 0;
    unsigned armed = 0;
    unsigned fired = 0;
    struct trp_wheel wheel;
    struct log log;

    memset(timers, 0, sizeof timers);
    trp_wheel_init(&wheel, 0);
    while (armed < 1000) {
        uint64_t due_ms = 1000000 + 100 * test_below(&random, 3);

        /* Only `serial` is ours to use here: the place in the order of arming. */
        timers[armed].serial = armed;
        trp_wheel_arm(&wheel, &timers[armed++], due_ms);
        if (test_below(&random, 10) == 0 && now_ms < 990000) {
            struct trp_timer tick = {.state = TRP_TIMER_IDLE};

            now_ms += test_below(&random, 990000 - now_ms) / 8;
            trp_wheel_arm(&wheel, &tick, now_ms);
            cr_assert_eq(advance(&wheel, &log, now_ms, NO_LIMIT), 1);
        }
    }
    fired = advance(&wheel, &log, 2000000, NO_LIMIT);
    cr_assert_eq(fired, 1000);
    for (unsigned i = 1; i < fired; i++) {
        struct trp_timer *a = log.timers[i - 1];
        struct trp_timer *b = log.timers[i];

        cr_assert(a->due_ms < b->due_ms || (a->due_ms == b->due_ms && a->serial < b->serial));
    }
}

/*
 * One thread arms and cancels, two advance: each arming ends once, by a cancel that said true or by
 * firing.  Cancels and firings of a timer together are as many as its armings.
 */
enum {
    STRESS_TIMERS = 64,
    STRESS_ROUNDS = 30000,
    STRESS_THREADS = 2,
};

struct stress {
    struct trp_wheel wheel;
    _Atomic uint64_t clock_ms;
    _Atomic bool stop;
    struct trp_timer timers[STRESS_TIMERS];
    _Atomic unsigned fired[STRESS_TIMERS]; /* by the threads that advance */
};

static void count_fired(void *context, struct trp_timer *timer)
{
    struct stress *stress = context;

    cr_assert_eq(timer->state, TRP_TIMER_FIRING);
    cr_assert_leq(timer->due_ms, atomic_load(&stress->clock_ms), "fired early");
    /* The tick: from here on the timer is its owner's. */
    atomic_fetch_add(&stress->fired[timer - stress->timers], 1);
}

static void *advance_until_stopped(void *argument)
{
    struct stress *stress = argument;

    while (!atomic_load(&stress->stop)) {
        trp_wheel_advance(
            &stress->wheel, atomic_fetch_add(&stress->clock_ms, 1) + 1, 16, count_fired, stress);
    }
    return NULL;
}

/* What the owner knows of one timer. */
struct owned {
    bool armed;
    unsigned armings;
    unsigned cancels;
};

/* Whether the tick of its last arming has come; makes the timer IDLE then. */
static bool retire(struct stress *stress, struct owned *owned, unsigned i)
{
    unsigned ends = atomic_load(&stress->fired[i]) + owned->cancels;

    cr_assert_leq(ends, owned->armings, "two outcomes");
    if (!owned->armed || ends < owned->armings) {
        return false;
    }
    stress->timers[i].state = TRP_TIMER_IDLE;
    owned->armed = false;
    return true;
}

static void stress_step(struct stress *stress, struct owned *owned, struct test_random *random)
{
    unsigned i = (unsigned)test_below(random, STRESS_TIMERS);

    retire(stress, &owned[i], i);
    if (!owned[i].armed) {
        uint64_t due_ms = atomic_load(&stress->clock_ms) + test_below(random, 300);

        owned[i].armed = true;
        owned[i].armings++;
        trp_wheel_arm(&stress->wheel, &stress->timers[i], due_ms);
    } else if (test_below(random, 2) == 0 && trp_wheel_cancel(&stress->timers[i])) {
        owned[i].cancels++;
        owned[i].armed = false;
        cr_assert_eq(atomic_load(&stress->fired[i]) + owned[i].cancels, owned[i].armings);
    }
}

Test(timer_wheel, each_arming_has_one_outcome_among_threads, .timeout = 120)
{
    static struct stress stress;
    static struct owned owned[STRESS_TIMERS];
    struct test_random random = test_random_of(test_seed("timer_wheel threads"));
    pthread_t threads[STRESS_THREADS];
    unsigned cancelled = 0;
    unsigned fired = 0;

    trp_wheel_init(&stress.wheel, 0);
    for (unsigned i = 0; i < STRESS_THREADS; i++) {
        cr_assert_eq(pthread_create(&threads[i], NULL, advance_until_stopped, &stress), 0);
    }
    for (unsigned round = 0; round < STRESS_ROUNDS; round++) {
        stress_step(&stress, owned, &random);
    }
    for (unsigned i = 0; i < STRESS_TIMERS; i++) {
        while (owned[i].armed) {
            retire(&stress, &owned[i], i);
        }
    }
    atomic_store(&stress.stop, true);
    for (unsigned i = 0; i < STRESS_THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    trp_wheel_check(&stress.wheel);
    cr_assert_eq(trp_wheel_next(&stress.wheel), TRP_NEVER);
    for (unsigned i = 0; i < STRESS_TIMERS; i++) {
        cr_assert_eq(stress.fired[i] + owned[i].cancels, owned[i].armings);
        cancelled += owned[i].cancels;
        fired += stress.fired[i];
    }
    cr_assert_gt(cancelled, 0);
    cr_assert_gt(fired, 0);
}
