/* SPDX-License-Identifier: MIT */
/* Pinned: an actor that runs on one worker, whoever else has nothing to do. */
#include "test/support/stage.h"

static const struct troupe_type visit = TROUPE_SIGNAL;
static const struct troupe_type fail = TROUPE_SIGNAL;

/* What an actor notes of where it runs. */
struct place {
    _Atomic unsigned visits;
    _Atomic unsigned inits;
    _Atomic unsigned strays; /* callbacks on another thread than the first one */
    _Atomic pthread_t thread;
};

static void note(struct place *place)
{
    if (place->thread == 0) {
        place->thread = pthread_self();
    } else if (!pthread_equal(place->thread, pthread_self())) {
        place->strays++;
    }
}

static int dweller_init(struct troupe_actor *self, void *state, const void *arg)
{
    struct place *place = (struct place *)(uintptr_t)arg;

    (void)self;
    *(struct place **)state = place;
    note(place);
    place->inits++;
    return TROUPE_OK;
}

static int dweller_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct place *place = *(struct place **)state;

    (void)self;
    note(place);
    if (troupe_is(msg, &fail)) {
        return TROUPE_EPROTO;
    }
    place->visits++;
    return TROUPE_OK;
}

static void dweller_destroy(void *state)
{
    note(*(struct place **)state);
}

/* The same, and it waits in between. */
static int sleeper_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    note(*(struct place **)state);
    TROUPE_TRY(troupe_sleep(self, 1));
    return dweller_receive(self, state, msg);
}

static int sleeper_init(struct troupe_actor *self, void *state, const void *arg)
{
    TROUPE_TRY(troupe_yield(self));
    return dweller_init(self, state, arg);
}

static const struct troupe_behaviour dweller = {
    .name = "dweller",
    .state_size = sizeof(struct place *),
    .init = dweller_init,
    .receive = dweller_receive,
    .destroy = dweller_destroy,
};
static const struct troupe_behaviour sleeper = {
    .name = "sleeper",
    .state_size = sizeof(struct place *),
    .init = sleeper_init,
    .receive = sleeper_receive,
    .destroy = dweller_destroy,
    .may_wait = true,
};

enum { WORKERS = 2, DWELLERS = 8 };

static troupe_pid spawn(
    struct stage *stage, const struct troupe_behaviour *behaviour, const void *arg, bool pinned)
{
    struct troupe_spawn_options options = {.behaviour = behaviour, .arg = arg, .pinned = pinned};
    troupe_pid pid = TROUPE_NOBODY;

    cr_assert_eq(troupe_runtime_spawn(stage->runtime, &options, &pid), TROUPE_OK);
    return pid;
}

static unsigned sum_visits(struct place *places)
{
    unsigned sum = 0;

    for (unsigned i = 0; i < DWELLERS; i++) {
        sum += places[i].visits;
    }
    return sum;
}

/* ---- a worker that is held ---- */

struct siege {
    troupe_pid dwellers[DWELLERS];
    pthread_t thread; /* that is held */
    struct latch held;
    struct latch relieved;
};

/* Holds its worker, after it has made everybody runnable from there. */
static int hold(struct troupe_actor *self, void *arg)
{
    struct siege *siege = arg;

    siege->thread = pthread_self();
    for (unsigned i = 0; i < DWELLERS; i++) {
        TROUPE_TRY(troupe_send(self, siege->dwellers[i], &visit, NULL));
    }
    latch_hit(&siege->held);
    (void)latch_wait(&siege->relieved, 1);
    return TROUPE_OK;
}

static int do_nothing(struct troupe_actor *self, void *arg)
{
    (void)self;
    (void)arg;
    return TROUPE_OK;
}

/* Of `places`, how many live on the thread that is held. */
static unsigned count_held(const struct siege *siege, struct place *places)
{
    unsigned count = 0;

    for (unsigned i = 0; i < DWELLERS; i++) {
        count += pthread_equal(places[i].thread, siege->thread) ? 1 : 0;
    }
    return count;
}

static void check_held(const struct siege *siege, struct place *places)
{
    for (unsigned i = 0; i < DWELLERS; i++) {
        if (pthread_equal(places[i].thread, siege->thread)) {
            cr_assert_eq(places[i].visits, 1, "%u ran elsewhere", i);
        }
    }
}

/* The worker is held until the watchdog has said so, and everybody whose home is elsewhere has run. */
static void besiege(const struct troupe_behaviour *behaviour)
{
    struct place places[DWELLERS] = {{0}};
    struct siege siege = {.held = LATCH_INIT, .relieved = LATCH_INIT};
    struct stage stage;
    troupe_pid holder;
    unsigned held;

    stage_open(&stage, WORKERS);
    for (unsigned i = 0; i < DWELLERS; i++) {
        siege.dwellers[i] = spawn(&stage, behaviour, &places[i], true);
        stage_send(&stage, siege.dwellers[i], &visit, NULL);
    }
    holder = spawn(&stage, &stage_puppet, NULL, true);
    STAGE_AWAIT(&stage, sum_visits(places) == DWELLERS);
    stage_tell(&stage, holder, hold, &siege);
    cr_assert(latch_wait(&siege.held, 1));
    held = count_held(&siege, places);
    cr_assert_eq(held, DWELLERS / WORKERS);
    STAGE_AWAIT(&stage, sum_visits(places) == 2 * DWELLERS - held);
    /* A spare worker runs, and looks for work. */
    STAGE_AWAIT(&stage, stage_reports(&stage, TROUPE_REPORT_STUCK) > 0);
    for (unsigned i = 0; i < 50; i++) {
        stage_do(&stage, spawn(&stage, &stage_puppet, NULL, false), do_nothing, NULL);
    }
    check_held(&siege, places);
    latch_hit(&siege.relieved);
    STAGE_AWAIT(&stage, sum_visits(places) == 2 * DWELLERS);
    for (unsigned i = 0; i < DWELLERS; i++) {
        cr_assert_eq(places[i].strays, 0);
    }
    stage_close(&stage);
    for (unsigned i = 0; i < DWELLERS; i++) {
        cr_assert_eq(places[i].strays, 0, "its destroy ran elsewhere");
    }
}

Test(pinned, an_actor_waits_for_its_home_while_others_are_idle, .timeout = 60)
{
    besiege(&dweller);
}

Test(pinned, an_actor_that_has_waited_in_a_callback_still_has_its_home, .timeout = 60)
{
    besiege(&sleeper);
}

/* ---- where ---- */

Test(pinned, homes_are_given_in_turn, .timeout = 60)
{
    struct place places[DWELLERS] = {{0}};
    struct stage stage;
    unsigned same = 0;

    stage_open(&stage, WORKERS);
    for (unsigned i = 0; i < DWELLERS; i++) {
        stage_send(&stage, spawn(&stage, &dweller, &places[i], true), &visit, NULL);
    }
    STAGE_AWAIT(&stage, sum_visits(places) == DWELLERS);
    for (unsigned i = 0; i < DWELLERS; i++) {
        same += pthread_equal(places[i].thread, places[i % WORKERS].thread) ? 1 : 0;
    }
    cr_assert_eq(same, DWELLERS);
    cr_assert(!pthread_equal(places[0].thread, places[1].thread));
    stage_close(&stage);
}

Test(pinned, a_runtime_without_threads_has_one_home, .timeout = 60)
{
    struct place places[DWELLERS] = {{0}};
    struct stage stage;

    stage_open(&stage, TROUPE_NO_THREADS);
    for (unsigned i = 0; i < DWELLERS; i++) {
        stage_send(&stage, spawn(&stage, &dweller, &places[i], true), &visit, NULL);
    }
    stage_run(&stage);
    cr_assert_eq(sum_visits(places), DWELLERS);
    stage_close(&stage);
}

Test(pinned, a_child_that_keeps_its_pid_keeps_its_home, .timeout = 60)
{
    enum { LIVES = 40 };
    struct place place = {0};
    struct troupe_child_spec child = {.id = "dweller",
        .behaviour = &dweller,
        .arg = &place,
        .keep_mailbox = true,
        .pinned = true};
    struct troupe_supervisor_spec spec = {
        .name = "t", .intensity = LIVES, .children = &child, .child_count = 1};
    struct stage stage;
    troupe_pid top;
    troupe_pid pid;

    stage_open(&stage, WORKERS);
    cr_assert_eq(troupe_supervisor_start(stage.runtime, &spec, 10000, &top), TROUPE_OK);
    pid = troupe_runtime_whereis(stage.runtime, "t.dweller");
    for (unsigned i = 0; i < LIVES; i++) {
        stage_send(&stage, pid, &fail, NULL);
    }
    STAGE_AWAIT(&stage, place.inits == LIVES + 1);
    cr_assert_eq(place.strays, 0);
    stage_close(&stage);
}
