/* SPDX-License-Identifier: MIT */
/* Park: who may search, who sleeps in the poller, who is woken, and that no wake-up is lost. */
#include "sched/park.h"

#include <criterion/criterion.h>
#include <poll.h>
#include <signal.h>

#include "sched/runtime.h"
#include "test/support/random.h"
#include "test/support/team.h"

enum {
    WORKERS = 8,
};

/* Of the runtime: its memory, its poller and its park; the workers are stepped by the test. */
struct fixture {
    struct troupe_runtime *runtime;
    struct trp_park *park;
    struct trp_worker *workers[WORKERS];
    uint32_t events[WORKERS]; /* values when a test looked last */
};

static void *zeroed(size_t size)
{
    void *memory = aligned_alloc(256, (size + 255) & ~(size_t)255);

    cr_assert_not_null(memory);
    memset(memory, 0, size);
    return memory;
}

static void start(struct fixture *f, unsigned joined)
{
    memset(f, 0, sizeof *f);
    f->runtime = zeroed(sizeof *f->runtime);
    trp_memory_init(&f->runtime->memory, NULL, UINT64_MAX);
    cr_assert_eq(trp_poller_create(&f->runtime->memory, &f->runtime->poller), TROUPE_OK);
    f->park = &f->runtime->park;
    trp_park_init(f->park);
    for (unsigned i = 0; i < WORKERS; i++) {
        f->workers[i] = zeroed(sizeof *f->workers[i]);
        trp_worker_init(f->workers[i], f->runtime, i);
        f->events[i] = trp_event_value(&f->workers[i]->event);
    }
    for (unsigned i = 0; i < joined; i++) {
        trp_park_join(f->park);
    }
}

static void stop(struct fixture *f)
{
    for (unsigned i = 0; i < WORKERS; i++) {
        trp_pool_fini(&f->workers[i]->context.pool);
        free(f->workers[i]);
    }
    trp_park_fini(f->park);
    trp_poller_destroy(f->runtime->poller, &f->runtime->memory);
    free(f->runtime);
}

static uint32_t searching(const struct fixture *f)
{
    return (uint32_t)(atomic_load(&f->park->word) >> 32);
}

static bool enter(struct fixture *f, unsigned i, bool was_searching, bool wants_poller)
{
    return trp_park_enter(f->park, f->workers[i], was_searching, wants_poller);
}

static bool leave(struct fixture *f, unsigned i)
{
    return trp_park_leave(f->park, f->workers[i]);
}

/* Whether the event of worker `i` has moved on since the last look. */
static bool is_rung(struct fixture *f, unsigned i)
{
    uint32_t value = trp_event_value(&f->workers[i]->event);
    bool rung = value != f->events[i];

    f->events[i] = value;
    return rung;
}

static bool poller_is_woken(const struct fixture *f)
{
    struct pollfd pollfd = {.fd = trp_poller_fd(f->runtime->poller), .events = POLLIN};

    return poll(&pollfd, 1, 0) == 1;
}

/* ---- searching ---- */

Test(park, half_of_those_awake_may_search)
{
    for (unsigned awake = 1; awake <= WORKERS; awake++) {
        struct fixture f;

        start(&f, awake);
        for (unsigned i = 0; i < (awake + 1) / 2; i++) {
            cr_assert(trp_park_search(f.park), "%u of %u", i, awake);
        }
        cr_assert_not(trp_park_search(f.park));
        cr_assert_eq(searching(&f), (awake + 1) / 2);
        stop(&f);
    }
}

Test(park, those_that_sleep_do_not_make_room_for_searchers)
{
    struct fixture f;

    start(&f, 4);
    for (unsigned i = 0; i < 3; i++) {
        (void)enter(&f, i, false, false);
    }
    cr_assert(trp_park_search(f.park));
    cr_assert_not(trp_park_search(f.park));
    stop(&f);
}

Test(park, the_last_searcher_that_finds_something_is_told_so)
{
    struct fixture f;

    start(&f, 5);
    for (unsigned i = 0; i < 3; i++) {
        cr_assert(trp_park_search(f.park));
    }
    cr_assert_not(trp_park_found(f.park));
    cr_assert_not(trp_park_found(f.park));
    cr_assert(trp_park_found(f.park));
    cr_assert_eq(searching(&f), 0);
    stop(&f);
}

/* ---- parking ---- */

Test(park, a_worker_that_leaves_by_itself_was_not_woken)
{
    struct fixture f;

    start(&f, 2);
    cr_assert_not(trp_park_has(f.park, f.workers[0]));
    (void)enter(&f, 0, false, false);
    cr_assert_eq(trp_park_parked(f.park), 1);
    cr_assert(trp_park_has(f.park, f.workers[0]));
    cr_assert_not(trp_park_has(f.park, f.workers[1]));
    cr_assert_not(leave(&f, 0));
    cr_assert_eq(trp_park_parked(f.park), 0);
    cr_assert_not(trp_park_has(f.park, f.workers[0]));
    cr_assert_eq(searching(&f), 0, "it is not counted as searching");
    cr_assert_not(is_rung(&f, 0));
    stop(&f);
}

Test(park, a_searcher_that_parks_does_not_search_any_more)
{
    struct fixture f;

    start(&f, 2);
    cr_assert(trp_park_search(f.park));
    (void)enter(&f, 0, true, false);
    cr_assert_eq(searching(&f), 0);
    cr_assert_eq(trp_park_parked(f.park), 1);
    stop(&f);
}

Test(park, to_park_twice_is_our_mistake, .signal = SIGABRT)
{
    struct fixture f;

    start(&f, 1);
    (void)enter(&f, 0, false, false);
    (void)enter(&f, 0, false, false);
}

Test(park, one_at_a_time_sleeps_in_the_poller_and_only_who_wants_to)
{
    struct fixture f;

    start(&f, 4);
    cr_assert_not(trp_park_polls(f.park));
    cr_assert_not(enter(&f, 0, false, false));
    cr_assert_not(trp_park_polls(f.park));
    cr_assert(enter(&f, 1, false, true));
    cr_assert(trp_park_polls(f.park));
    cr_assert_not(enter(&f, 2, false, true));
    cr_assert_not(leave(&f, 2));
    cr_assert(trp_park_polls(f.park));
    cr_assert_not(leave(&f, 1));
    cr_assert_not(trp_park_polls(f.park));
    cr_assert(enter(&f, 2, false, true), "the place is free again");
    stop(&f);
}

Test(park, all_sleep_when_as_many_are_parked_as_run)
{
    struct fixture f;

    start(&f, 2);
    cr_assert_not(trp_park_all_sleep(f.park));
    (void)enter(&f, 0, false, false);
    cr_assert_not(trp_park_all_sleep(f.park));
    (void)enter(&f, 1, false, true);
    cr_assert(trp_park_all_sleep(f.park));
    trp_park_join(f.park);
    cr_assert_not(trp_park_all_sleep(f.park), "there is a third one");
    trp_park_part(f.park);
    cr_assert(trp_park_all_sleep(f.park));
    cr_assert(trp_park_wake(f.park));
    cr_assert_not(trp_park_all_sleep(f.park));
    stop(&f);
}

/* ---- waking ---- */

Test(park, without_a_sleeper_nobody_is_woken)
{
    struct fixture f;

    start(&f, 2);
    cr_assert_not(trp_park_wants_wake(f.park));
    cr_assert_not(trp_park_wake(f.park));
    for (unsigned i = 0; i < WORKERS; i++) {
        cr_assert_not(is_rung(&f, i));
    }
    stop(&f);
}

Test(park, while_somebody_searches_nobody_is_woken)
{
    struct fixture f;

    start(&f, 2);
    (void)enter(&f, 0, false, false);
    cr_assert(trp_park_search(f.park));
    cr_assert_not(trp_park_wants_wake(f.park));
    cr_assert_not(trp_park_wake(f.park));
    cr_assert_not(is_rung(&f, 0));
    cr_assert(trp_park_found(f.park));
    cr_assert(trp_park_wants_wake(f.park));
    cr_assert(trp_park_wake(f.park));
    stop(&f);
}

Test(park, who_is_woken_searches_and_learns_of_it)
{
    struct fixture f;

    start(&f, 2);
    (void)enter(&f, 0, false, false);
    (void)enter(&f, 1, false, false);
    cr_assert(trp_park_wake(f.park));
    cr_assert_eq(searching(&f), 1);
    cr_assert_eq(trp_park_parked(f.park), 1);
    cr_assert_not(trp_park_wake(f.park), "one searches: that is enough");
    cr_assert(is_rung(&f, 1));
    cr_assert_not(is_rung(&f, 0));
    cr_assert_not(trp_park_has(f.park, f.workers[1]), "off the list, although it may sleep still");
    cr_assert(leave(&f, 1));
    cr_assert_eq(searching(&f), 1, "still, until it says what it found");
    cr_assert(trp_park_found(f.park));
    cr_assert_not(leave(&f, 0));
    stop(&f);
}

Test(park, a_waker_that_is_faster_than_a_time_out_has_woken)
{
    struct fixture f;

    start(&f, 1);
    (void)enter(&f, 0, false, false);
    cr_assert(trp_park_wake(f.park));
    /* It was about to leave by itself. */
    cr_assert(leave(&f, 0));
    (void)enter(&f, 0, true, false);
    cr_assert_not(leave(&f, 0), "a wake-up counts once");
    cr_assert_eq(atomic_load(&f.park->word), 0);
    stop(&f);
}

Test(park, who_parked_last_is_woken_first_and_the_pollers_sleeper_last)
{
    static const unsigned order[] = {3, 2, 0, 1};
    struct fixture f;

    start(&f, 4);
    for (unsigned i = 0; i < 4; i++) {
        cr_assert_eq(enter(&f, i, false, i == 1), i == 1);
    }
    for (unsigned i = 0; i < 4; i++) {
        cr_assert_not(poller_is_woken(&f));
        cr_assert(trp_park_wake(f.park));
        cr_assert(order[i] == 1 || is_rung(&f, order[i]));
        cr_assert(leave(&f, order[i]));
        cr_assert(trp_park_found(f.park));
    }
    cr_assert(poller_is_woken(&f), "where that one sleeps");
    cr_assert_not(trp_park_polls(f.park));
    cr_assert_not(trp_park_wants_wake(f.park));
    stop(&f);
}

Test(park, a_nudge_rings_and_changes_nothing)
{
    struct fixture f;

    start(&f, 3);
    trp_park_nudge(f.park, f.workers[0]);
    cr_assert_not(is_rung(&f, 0), "it does not sleep");
    (void)enter(&f, 0, false, false);
    (void)enter(&f, 1, false, true);
    trp_park_nudge(f.park, f.workers[0]);
    cr_assert(is_rung(&f, 0));
    cr_assert_not(is_rung(&f, 1));
    cr_assert_eq(searching(&f), 0);
    cr_assert_eq(trp_park_parked(f.park), 2);
    cr_assert_not(leave(&f, 0), "as after a time-out");
    cr_assert_not(poller_is_woken(&f));
    trp_park_nudge(f.park, f.workers[1]);
    cr_assert(poller_is_woken(&f));
    cr_assert_not(leave(&f, 1));
    stop(&f);
}

Test(park, wake_all_wakes_all_also_beside_searchers)
{
    struct fixture f;

    start(&f, 5);
    cr_assert(trp_park_search(f.park));
    for (unsigned i = 0; i < 4; i++) {
        (void)enter(&f, i, false, i == 2);
    }
    trp_park_wake_all(f.park);
    cr_assert_eq(trp_park_parked(f.park), 0);
    cr_assert_eq(searching(&f), 5);
    for (unsigned i = 0; i < 4; i++) {
        cr_assert(i == 2 || is_rung(&f, i));
        cr_assert(leave(&f, i));
        cr_assert_not(trp_park_found(f.park));
    }
    cr_assert(poller_is_woken(&f));
    cr_assert(trp_park_found(f.park));
    trp_park_wake_all(f.park);
    cr_assert_eq(atomic_load(&f.park->word), 0);
    stop(&f);
}

/* ---- anything, against what every worker knows of itself ---- */

enum mode {
    RUNNING,
    SEARCHING,
    PARKED,
    WOKEN, /* counted as searching, and does not know it yet */
};

struct model {
    struct fixture f;
    enum mode mode[WORKERS];
    int polls; /* who, or -1 */
};

static uint32_t count_of(const struct model *m, enum mode mode)
{
    uint32_t count = 0;

    for (unsigned i = 0; i < WORKERS; i++) {
        count += m->mode[i] == mode;
    }
    return count;
}

static void model_wake(struct model *m)
{
    bool expected = count_of(m, PARKED) > 0 && count_of(m, SEARCHING) + count_of(m, WOKEN) == 0;
    unsigned woken = 0;

    cr_assert_eq(trp_park_wants_wake(m->f.park), expected);
    cr_assert_eq(trp_park_wake(m->f.park), expected);
    for (unsigned i = 0; i < WORKERS; i++) {
        if (m->mode[i] == PARKED && !m->f.workers[i]->parker.listed) {
            cr_assert((int)i != m->polls || count_of(m, PARKED) == 1, "others sleep cheaper");
            m->mode[i] = WOKEN;
            m->polls = (int)i == m->polls ? -1 : m->polls;
            woken++;
        }
    }
    cr_assert_eq(woken, expected ? 1 : 0);
}

static void model_search(struct model *m, unsigned i)
{
    uint32_t now = count_of(m, SEARCHING) + count_of(m, WOKEN);
    bool may = 2 * now < WORKERS - count_of(m, PARKED);

    cr_assert_eq(trp_park_search(m->f.park), may);
    m->mode[i] = may ? SEARCHING : RUNNING;
}

static void model_enter(struct model *m, unsigned i, bool wants_poller)
{
    bool polls = wants_poller && m->polls < 0;

    cr_assert_eq(enter(&m->f, i, m->mode[i] == SEARCHING, wants_poller), polls);
    m->polls = polls ? (int)i : m->polls;
    m->mode[i] = PARKED;
}

static void model_leave(struct model *m, unsigned i)
{
    bool woken = m->mode[i] == WOKEN;

    cr_assert_eq(leave(&m->f, i), woken);
    m->polls = m->polls == (int)i ? -1 : m->polls;
    m->mode[i] = woken ? SEARCHING : RUNNING;
}

static void model_step(struct model *m, struct test_random *random)
{
    unsigned i = (unsigned)test_below(random, WORKERS);

    if (test_below(random, 4) == 0) {
        model_wake(m);
    } else if (m->mode[i] == PARKED || m->mode[i] == WOKEN) {
        model_leave(m, i);
    } else if (test_below(random, 2) == 0) {
        model_enter(m, i, test_below(random, 2) == 0);
    } else if (m->mode[i] == SEARCHING) {
        bool last = count_of(m, SEARCHING) + count_of(m, WOKEN) == 1;

        cr_assert_eq(trp_park_found(m->f.park), last);
        m->mode[i] = RUNNING;
    } else {
        model_search(m, i);
    }
}

Test(park, counts_what_workers_do_whatever_they_do)
{
    struct test_random random = test_random_of(test_seed("park"));
    struct model m = {.polls = -1};

    start(&m.f, WORKERS);
    for (unsigned step = 0; step < 20000; step++) {
        model_step(&m, &random);
        cr_assert_eq(trp_park_parked(m.f.park), count_of(&m, PARKED));
        cr_assert_eq(searching(&m.f), count_of(&m, SEARCHING) + count_of(&m, WOKEN));
        cr_assert_eq(trp_park_polls(m.f.park), m.polls >= 0);
        cr_assert_eq(trp_park_all_sleep(m.f.park), count_of(&m, PARKED) == WORKERS);
    }
    stop(&m.f);
}

/* ---- threads: workers that sleep as worker.c says, producers that wait until all is done ---- */

enum {
    THREADS = 3,
    PRODUCERS = 2,
    ORDERS = 20000, /* of each producer */
};

struct plant {
    struct fixture f;
    _Atomic uint32_t orders; /* not yet taken: the queue */
    _Atomic uint32_t done;
    _Atomic uint32_t given;
    _Atomic unsigned producers_left;
    _Atomic unsigned sleeps;
    _Atomic bool stop;
};

static bool take_order(struct plant *plant)
{
    uint32_t orders = atomic_load(&plant->orders);

    while (orders > 0) {
        if (atomic_compare_exchange_weak(&plant->orders, &orders, orders - 1)) {
            return true;
        }
    }
    return false;
}

/* As park() in worker.c: registers, looks once more, sleeps; returns whether somebody woke it. */
static bool sleep_if_idle(struct plant *plant, struct trp_worker *worker, bool was_searching)
{
    worker->event_value = trp_event_value(&worker->event);
    worker->polls = trp_park_enter(plant->f.park, worker, was_searching, true);
    if (atomic_load(&plant->orders) == 0 && !atomic_load(&plant->stop)) {
        atomic_fetch_add(&plant->sleeps, 1);
        trp_worker_sleep(worker, TRP_EVENT_FOREVER);
    }
    worker->polls = false;
    return trp_park_leave(plant->f.park, worker);
}

static const char *serve(struct plant *plant, struct trp_worker *worker)
{
    bool is_searching = false;

    if (trp_reclaim_attach() < 0) {
        return "no thread of ours";
    }
    (void)trp_reclaim_enter();
    while (!atomic_load(&plant->stop)) {
        bool took;

        is_searching = is_searching || trp_park_search(plant->f.park);
        took = is_searching && take_order(plant);
        if (took) {
            is_searching = false;
            if (trp_park_found(plant->f.park) && atomic_load(&plant->orders) > 0) {
                (void)trp_park_wake(plant->f.park);
            }
            atomic_fetch_add(&plant->done, 1);
        } else {
            is_searching = sleep_if_idle(plant, worker, is_searching);
        }
        trp_reclaim_quiescent();
    }
    if (is_searching) {
        (void)trp_park_found(plant->f.park);
    }
    trp_park_part(plant->f.park);
    trp_reclaim_leave(true);
    return NULL;
}

static const char *produce(struct plant *plant, unsigned index)
{
    struct test_random random = test_random_of(index);
    unsigned spins = 0;

    for (unsigned i = 0; i < ORDERS; i++) {
        atomic_fetch_add(&plant->given, 1);
        atomic_fetch_add_explicit(&plant->orders, 1, memory_order_seq_cst);
        (void)trp_park_wake(plant->f.park);
        if (test_below(&random, 4) != 0) {
            continue;
        }
        /* Nobody asks for anything: whoever was not woken sleeps for ever, and so do we. */
        while (atomic_load(&plant->done) != atomic_load(&plant->given) &&
               atomic_load(&plant->producers_left) == PRODUCERS) {
            team_pause(&spins);
        }
    }
    if (atomic_fetch_sub(&plant->producers_left, 1) == 1) {
        while (atomic_load(&plant->done) != PRODUCERS * ORDERS) {
            team_pause(&spins);
        }
        atomic_store_explicit(&plant->stop, true, memory_order_seq_cst);
        trp_park_wake_all(plant->f.park);
    }
    return NULL;
}

static const char *work(void *arg, unsigned index)
{
    struct plant *plant = arg;

    return index < THREADS ? serve(plant, plant->f.workers[index]) : produce(plant, index);
}

Test(park, no_wake_up_is_lost, .timeout = 100)
{
    static struct plant plant;
    const char *complaint;

    start(&plant.f, THREADS);
    plant.producers_left = PRODUCERS;
    complaint = team_run(THREADS + PRODUCERS, work, &plant);
    cr_assert_null(complaint, "%s", complaint);
    cr_assert_eq(plant.done, PRODUCERS * ORDERS);
    cr_assert_eq(atomic_load(&plant.f.park->word), 0, "nobody is counted who is gone");
    cr_assert_eq(plant.f.park->workers, 0);
    cr_assert_gt(plant.sleeps, 100, "hardly anybody slept: no test");
    stop(&plant.f);
}
