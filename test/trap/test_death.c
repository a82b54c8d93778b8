/* SPDX-License-Identifier: MIT */
/*
 * Trap, death: when an end is told, what is cleaned up by it, whom it takes along, and whether its heir finds the house
 * empty.  The numbers are those of the table in README.md.
 */
#include <criterion/criterion.h>

#include "test/support/ear.h"
#include "test/support/ends.h"
#include "test/support/random.h"

/* ---- 4: told of before the code has stopped; 13: a corpse that still has its name ---- */

#define LIVES 600

static _Atomic unsigned instances, instances_most, lives, taken;
static _Atomic troupe_pid living;
static bool wants_name;

static int gauged_init(struct troupe_actor *self, void *state, const void *arg)
{
    unsigned now = ++instances;
    int error = wants_name ? troupe_register(self, "trap.gauge") : TROUPE_OK;

    (void)state;
    (void)arg;
    if (now > instances_most) {
        instances_most = now;
    }
    taken += error == TROUPE_EEXIST;
    lives++;
    living = troupe_self(self);
    return error;
}

static _Atomic unsigned at_work;

static int gauged_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    (void)self;
    (void)state;
    (void)msg;
    at_work++;
    for (volatile unsigned i = 0; i < 20000; i++) {
    }
    at_work--;
    return TROUPE_OK;
}

static void gauged_destroy(void *state)
{
    (void)state;
    instances--;
}

static const struct troupe_behaviour gauged = {.name = "gauged",
    .state_size = 8,
    .init = gauged_init,
    .receive = gauged_receive,
    .destroy = gauged_destroy};

/* Sends it work, and kills it in the midst of it. */
static void kill_at_work(struct stage *stage)
{
    uint64_t body = 0;
    troupe_pid pid = living;

    for (unsigned i = 0; i < 8; i++) {
        (void)stage_try_send(stage, pid, &ear_number, &body);
    }
    while (at_work == 0 && stage_try_send(stage, pid, &ear_number, &body) != TROUPE_EGONE) {
    }
    /* It has ended if it is killed for the second time. */
    if (troupe_runtime_exit(stage->runtime, pid, TROUPE_EXIT_KILL) < 0) {
        sched_yield();
    }
}

static void kill_many_times(void)
{
    static const struct troupe_child_spec child = {.id = "gauge", .behaviour = &gauged};
    struct troupe_supervisor_spec spec = {
        .intensity = 1 << 20, .period_ms = 1000, .children = &child, .child_count = 1};
    struct stage stage;
    troupe_pid top;

    stage_open(&stage, 2);
    cr_assert_eq(troupe_supervisor_start(stage.runtime, &spec, 10000, &top), TROUPE_OK);
    while (lives < LIVES) {
        kill_at_work(&stage);
        cr_assert(troupe_is_alive(stage.runtime, top), "it gave up");
    }
    stage_close(&stage);
    cr_assert_eq(instances, 0);
}

Test(trap, trap_4_a_life_begins_when_the_code_of_the_last_one_has_stopped, .timeout = 240)
{
    kill_many_times();
    cr_assert_eq(instances_most, 1, "%u lived at once", (unsigned)instances_most);
}

Test(trap, trap_13_the_name_of_the_dead_is_free_when_its_heir_wants_it, .timeout = 240)
{
    wants_name = true;
    kill_many_times();
    cr_assert_eq(taken, 0, "%u found their name taken", (unsigned)taken);
}

/* ---- 6: monitors that race with an end ---- */

#define RACES 100

struct race {
    troupe_ref ref;
    int found;        /* by the flush, or -1 */
    unsigned handled; /* notices */
};

struct racing {
    struct test_random random;
    struct race races[RACES];
    _Atomic unsigned watchers;
    _Atomic unsigned left;
};

static int end_in_init(struct troupe_actor *self, void *state, const void *arg)
{
    (void)self;
    (void)state;
    (void)arg;
    return TROUPE_DONE;
}

static const struct troupe_behaviour brief = {
    .name = "brief", .init = end_in_init, .receive = stage_puppet_receive};

static void flush_one(struct troupe_actor *self, struct race *race)
{
    if (race->found < 0 && race->handled == 0) {
        race->found = troupe_demonitor_flush(self, race->ref, NULL);
        cr_assert_geq(race->found, 0);
    }
}

static void wait_a_little(struct racing *racing)
{
    for (volatile uint64_t i = test_below(&racing->random, 3000); i > 0; i--) {
    }
}

/* Half of them at once, half later. */
static int race_all(struct troupe_actor *self, void *arg)
{
    struct racing *racing = arg;
    struct troupe_spawn_options options = {.behaviour = &brief};
    troupe_pid pids[RACES];

    for (unsigned i = 0; i < RACES; i++) {
        cr_assert_eq(troupe_spawn(self, &options, &pids[i]), TROUPE_OK);
    }
    for (unsigned i = 0; i < RACES; i++) {
        struct race *race = &racing->races[i];

        race->found = -1;
        wait_a_little(racing);
        cr_assert_eq(troupe_monitor(self, pids[i], &race->ref), TROUPE_OK);
        if (i % 2 == 0) {
            wait_a_little(racing);
            flush_one(self, race);
        }
    }
    return TROUPE_OK;
}

static int flush_rest(struct troupe_actor *self, void *arg)
{
    struct racing *racing = arg;

    for (unsigned i = 0; i < RACES; i += 4) {
        flush_one(self, &racing->races[i + 1]);
    }
    return TROUPE_OK;
}

static int racing_init(struct troupe_actor *self, void *state, const void *arg)
{
    (void)self;
    *(struct racing **)state = (struct racing *)(uintptr_t)arg;
    return TROUPE_OK;
}

static int racing_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct racing *racing = *(struct racing **)state;
    int status;

    if (stage_is_job(self, msg, &status)) {
        return status;
    }
    cr_assert(troupe_is(msg, &troupe_down));
    for (unsigned i = 0; i < RACES; i++) {
        racing->races[i].handled +=
            racing->races[i].ref == ((const struct troupe_down *)troupe_body(msg))->ref;
    }
    return TROUPE_OK;
}

static const struct troupe_behaviour racing_behaviour = {
    .name = "racing",
    .state_size = sizeof(struct racing *),
    .init = racing_init,
    .receive = racing_receive,
};

static bool is_settled(const struct racing *racing)
{
    for (unsigned i = 0; i < RACES; i++) {
        if (racing->races[i].found < 0 && racing->races[i].handled == 0) {
            return false;
        }
    }
    return true;
}

static int ask_whether_settled(struct troupe_actor *self, void *arg)
{
    (void)self;
    return is_settled(arg) ? TROUPE_OK : TROUPE_EUNKNOWN;
}

Test(trap, trap_6_a_monitor_that_races_with_an_end_has_one_outcome, .timeout = 240)
{
    struct racing racing = {.random = test_random_of(test_seed("trap_6"))};
    unsigned found[3] = {0};
    struct stage stage;
    troupe_pid pid;

    stage_open(&stage, 2);
    pid = stage_spawn(&stage, &racing_behaviour, &racing);
    for (unsigned round = 0; round < 100; round++) {
        memset(racing.races, 0, sizeof racing.races);
        cr_assert_eq(stage_do(&stage, pid, race_all, &racing), TROUPE_OK);
        cr_assert_eq(stage_do(&stage, pid, flush_rest, &racing), TROUPE_OK);
        STAGE_AWAIT(&stage, stage_do(&stage, pid, ask_whether_settled, &racing) == TROUPE_OK);
        for (unsigned i = 0; i < RACES; i++) {
            const struct race *race = &racing.races[i];

            cr_assert_eq(race->handled, race->found < 0 ? 1 : 0, "found %d, handled %u",
                race->found, race->handled);
            found[race->found < 0 ? 0 : race->found]++;
        }
    }
    fprintf(stderr, "trap_6: %u handled, %u active, %u swallowed\n", found[0], found[1], found[2]);
    stage_close(&stage);
}

/* ---- 7: a handler that is half done ---- */

#define STEPS 8

struct half {
    unsigned at;  /* fails before this step */
    unsigned how; /* 0 .. WAYS-1 */
    unsigned done[STEPS], undone[STEPS];
    unsigned order; /* of the cleanups: the last step that was undone */
    unsigned destroyed;
    bool state_seen; /* by receive, after the failure */
    bool failed;
};

struct step {
    struct half *half;
    unsigned number;
};

enum { WAYS = 6 };

static void undo(void *arg)
{
    struct step *step = arg;

    cr_assert_lt(step->number, step->half->order, "not last in, first out");
    cr_assert_eq(step->half->destroyed, 0);
    step->half->order = step->number;
    step->half->undone[step->number]++;
}

static int fail_somehow(struct troupe_actor *self, struct half *half)
{
    half->failed = true;
    switch (half->how) {
    case 0:
        return troupe_fail(self, TROUPE_EPROTO, "half done");
    case 1:
        troupe_exit(self, TROUPE_EXIT_NORMAL);
    case 2:
        troupe_abandon(self, TROUPE_EPROTO, "half done");
    case 3:
        TROUPE_CHECK(self, half == NULL);
        break;
    case 4:
        cr_assert_eq(troupe_kill(self, troupe_self(self)), TROUPE_OK);
        return TROUPE_OK;
    default:
        break;
    }
    return TROUPE_DONE;
}

static int half_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct half *half = *(struct half **)state;

    (void)msg;
    half->state_seen = half->state_seen || half->failed;
    for (unsigned i = 0; i < STEPS; i++) {
        struct step *step;

        if (i == half->at) {
            return fail_somehow(self, half);
        }
        step = troupe_arena_alloc(self, sizeof *step);
        cr_assert_not_null(step);
        *step = (struct step){half, i};
        half->done[i]++;
        cr_assert_eq(troupe_defer(self, undo, step), TROUPE_OK);
    }
    return fail_somehow(self, half);
}

static int half_init(struct troupe_actor *self, void *state, const void *arg)
{
    (void)self;
    *(struct half **)state = (struct half *)(uintptr_t)arg;
    return TROUPE_OK;
}

static void half_destroy(void *state)
{
    (*(struct half **)state)->destroyed++;
}

static const struct troupe_behaviour half_behaviour = {
    .name = "half",
    .state_size = sizeof(struct half *),
    .init = half_init,
    .receive = half_receive,
    .destroy = half_destroy,
    .capacity = STAGE_ROOM,
};

Test(trap, trap_7_what_was_done_is_undone_once_and_the_state_destroyed_once, .timeout = 60)
{
    struct stage stage;
    uint64_t body = 0;

    stage_open(&stage, TROUPE_NO_THREADS);
    for (unsigned i = 0; i < (STEPS + 1) * WAYS; i++) {
        struct half half = {.at = i / WAYS, .how = i % WAYS, .order = STEPS};
        troupe_pid pid = stage_spawn(&stage, &half_behaviour, &half);

        stage_send(&stage, pid, &ear_number, &body);
        stage_send(&stage, pid, &ear_number, &body);
        stage_run(&stage);
        cr_assert_not(troupe_is_alive(stage.runtime, pid));
        cr_assert_eq(half.destroyed, 1, "step %u, way %u", half.at, half.how);
        cr_assert_not(half.state_seen);
        for (unsigned step = 0; step < STEPS; step++) {
            cr_assert_eq(half.done[step], step < half.at ? 1 : 0);
            cr_assert_eq(half.undone[step], half.done[step]);
        }
    }
    stage_close(&stage);
}

/* ---- 10: kill and normal, each with its own rule ---- */

struct rule {
    stage_job_fn end;
    enum troupe_exit kind;
    bool peer_lives, child_rests;
};

static const struct rule rules[] = {
    {end_normally, TROUPE_EXIT_NORMAL, true, true},
    {end_shutdown, TROUPE_EXIT_SHUTDOWN, false, true},
    {end_kill, TROUPE_EXIT_KILL, false, false},
    {end_by_own_kill, TROUPE_EXIT_KILLED, false, false},
    {end_noproc, TROUPE_EXIT_NOPROC, false, false},
    {end_with_error, TROUPE_EXIT_ERROR, false, false},
};

static int link_to(struct troupe_actor *self, void *arg)
{
    return troupe_link(self, *(const troupe_pid *)arg);
}

/* A peer of a peer, so that a reason that changes on its way is seen. */
static void check_peers(const struct rule *rule)
{
    struct stage stage;
    struct stage_end end;
    troupe_pid pids[3];

    stage_open(&stage, TROUPE_NO_THREADS);
    for (unsigned i = 0; i < TROUPE_COUNT(pids); i++) {
        pids[i] = stage_spawn(&stage, &stage_puppet, NULL);
        if (i > 0) {
            cr_assert_eq(stage_do(&stage, pids[i], link_to, &pids[i - 1]), TROUPE_OK);
        }
    }
    stage_watch(&stage, pids[2], &end);
    stage_tell(&stage, pids[0], rule->end, NULL);
    stage_run(&stage);
    cr_assert_eq(end.count, rule->peer_lives ? 0 : 1, "kind %d", rule->kind);
    if (!rule->peer_lives) {
        cr_assert_eq(end.kind, rule->kind);
    }
    stage_close(&stage);
}

static void check_transient(const struct rule *rule)
{
    static const struct troupe_child_spec child = {
        .id = "child", .behaviour = &stage_puppet, .restart = TROUPE_TRANSIENT};
    struct troupe_supervisor_spec spec = {
        .name = "trap", .intensity = 5, .children = &child, .child_count = 1};
    struct troupe_child_answer which;
    struct stage stage;
    troupe_pid top;
    troupe_pid first;

    stage_open(&stage, 1);
    cr_assert_eq(troupe_supervisor_start(stage.runtime, &spec, 10000, &top), TROUPE_OK);
    first = troupe_runtime_whereis(stage.runtime, "trap.child");
    stage_tell(&stage, first, rule->end, NULL);
    do {
        cr_assert_eq(troupe_runtime_child(
                         stage.runtime, top, TROUPE_CHILD_WHICH, "child", NULL, 10000, &which),
            TROUPE_OK);
    } while (which.pid == first || which.state == TROUPE_CHILD_RESTARTING);
    cr_assert_eq(which.state == TROUPE_CHILD_STOPPED, rule->child_rests, "kind %d: state %d",
        rule->kind, which.state);
    stage_close(&stage);
}

Test(trap, trap_10_whether_a_peer_lives_and_whether_a_child_rests_are_two_questions, .timeout = 60)
{
    for (unsigned i = 0; i < TROUPE_COUNT(rules); i++) {
        check_peers(&rules[i]);
        check_transient(&rules[i]);
    }
}
