/* SPDX-License-Identifier: MIT */
/* Grace: a child that was killed and whose handler does not return is reported, and need not hold its supervisor for ever
 * (semantics 7.5, trap 12). */
#include <troupe.h>

#include <criterion/criterion.h>
#include <signal.h>

#include "test/support/family.h"
#include "test/support/stage.h"

/* ---- a handler that does not return until it is let ---- */

struct stall {
    struct latch entered;
    struct latch gate;
};

static int stall(struct troupe_actor *self, void *arg)
{
    struct stall *stall = arg;

    (void)self;
    latch_hit(&stall->entered);
    cr_assert(latch_wait(&stall->gate, 1));
    return TROUPE_OK;
}

static struct troupe_child_spec grave(struct actor_card *card, enum troupe_unkillable unkillable)
{
    struct troupe_child_spec spec = spec_of(card, TROUPE_PERMANENT);

    spec.shutdown_ms = TROUPE_BRUTAL_KILL;
    spec.kill_grace_ms = 20;
    spec.unkillable = unkillable;
    return spec;
}

/* A stage with threads, and a supervisor of three whose middle one does not return. */
struct scene {
    struct stage stage;
    struct journal journal;
    struct actor_card cards[3];
    struct stall stall;
    struct puppet_notes notes;
    troupe_pid supervisor;
};

static void open_scene(struct scene *scene, enum troupe_unkillable unkillable)
{
    struct troupe_child_spec children[3];
    struct troupe_supervisor_spec spec = {.name = "top", .children = children, .child_count = 3};

    *scene = (struct scene){.journal = JOURNAL_INIT,
        .cards = THREE_CARDS(&scene->journal),
        .stall = {LATCH_INIT, LATCH_INIT},
        .notes = PUPPET_NOTES_INIT};
    stage_open(&scene->stage, 3);
    children[0] = spec_of(&scene->cards[0], TROUPE_PERMANENT);
    children[1] = grave(&scene->cards[1], unkillable);
    children[2] = spec_of(&scene->cards[2], TROUPE_PERMANENT);
    scene->supervisor = start(scene->stage.runtime, &spec);
    puppet_watch(scene->stage.runtime, scene->supervisor, &scene->notes);
    puppet_tell(scene->stage.runtime, scene->cards[1].pid, stall, &scene->stall, NULL);
    cr_assert(latch_wait(&scene->stall.entered, 1));
}

static void close_scene(struct scene *scene)
{
    latch_hit(&scene->stall.gate);
    stage_close(&scene->stage);
}

static void shut(struct scene *scene)
{
    cr_assert_eq(troupe_runtime_exit(scene->stage.runtime, scene->supervisor, TROUPE_EXIT_SHUTDOWN),
        TROUPE_OK);
}

/* ---- wait ---- */

Test(grace, by_default_it_is_reported_and_waited_for, .timeout = 60)
{
    struct scene scene;

    open_scene(&scene, TROUPE_UNKILLABLE_WAIT);
    shut(&scene);
    STAGE_AWAIT(&scene.stage, stage_reports(&scene.stage, TROUPE_REPORT_UNSTOPPED) == 1);
    cr_assert_str_eq(scene.stage.actor[TROUPE_REPORT_UNSTOPPED], "top.b");
    cr_assert_not_null(strstr(scene.stage.text[TROUPE_REPORT_UNSTOPPED], "within 20 ms"));
    cr_assert_eq(scene.notes.downs, 0);
    cr_assert_eq(which(scene.stage.runtime, scene.supervisor, "b").state, TROUPE_CHILD_STOPPING);
    latch_hit(&scene.stall.gate);
    cr_assert_eq(puppet_down_kind(&scene.notes), TROUPE_EXIT_SHUTDOWN);
    cr_assert_str_eq(scene.journal.text, "+a +b +c -c -b -a");
    cr_assert_eq(stage_reports(&scene.stage, TROUPE_REPORT_UNSTOPPED), 1);
    close_scene(&scene);
}

Test(grace, one_that_ends_in_time_is_not_reported, .timeout = 60)
{
    struct stage stage;
    struct actor_card card = {.id = "one"};
    struct troupe_child_spec child = grave(&card, TROUPE_UNKILLABLE_ABORT);
    struct troupe_supervisor_spec spec = {.children = &child, .child_count = 1};
    troupe_pid supervisor;

    child.kill_grace_ms = LATCH_LIMIT_S * 1000;
    stage_open(&stage, 2);
    supervisor = start(stage.runtime, &spec);
    cr_assert_eq(status_of(stage.runtime, supervisor, TROUPE_CHILD_TERMINATE, "one"), TROUPE_OK);
    cr_assert_eq(stage_reports(&stage, TROUPE_REPORT_UNSTOPPED), 0);
    stage_close(&stage);
}

/* ---- orphan ---- */

Test(grace, an_orphan_does_not_hold_up_the_end_of_its_supervisor, .timeout = 60)
{
    struct scene scene;

    open_scene(&scene, TROUPE_UNKILLABLE_ORPHAN);
    shut(&scene);
    cr_assert_eq(puppet_down_kind(&scene.notes), TROUPE_EXIT_SHUTDOWN);
    /* In order all the same; and nobody has ended whose handler runs (trap 4). */
    cr_assert_str_eq(scene.journal.text, "+a +b +c -c -a");
    cr_assert_eq(scene.cards[1].alive, 1);
    cr_assert_eq(stage_reports(&scene.stage, TROUPE_REPORT_UNSTOPPED), 1);
    close_scene(&scene);
    cr_assert_eq(scene.cards[1].alive, 0);
}

Test(grace, who_asks_for_the_end_of_an_orphan_is_told_and_no_twin_is_started, .timeout = 60)
{
    struct scene scene;
    struct troupe_runtime *runtime;

    open_scene(&scene, TROUPE_UNKILLABLE_ORPHAN);
    runtime = scene.stage.runtime;
    cr_assert_eq(
        status_of(runtime, scene.supervisor, TROUPE_CHILD_TERMINATE, "b"), TROUPE_ETIMEDOUT);
    cr_assert_eq(which(runtime, scene.supervisor, "b").state, TROUPE_CHILD_STOPPING);
    /* Once more: at once. */
    cr_assert_eq(
        status_of(runtime, scene.supervisor, TROUPE_CHILD_TERMINATE, "b"), TROUPE_ETIMEDOUT);
    cr_assert_eq(status_of(runtime, scene.supervisor, TROUPE_CHILD_RESTART, "b"), TROUPE_EBUSY);
    cr_assert_eq(status_of(runtime, scene.supervisor, TROUPE_CHILD_DELETE, "b"), TROUPE_EBUSY);
    cr_assert_eq(scene.cards[1].starts, 1);
    latch_hit(&scene.stall.gate);
    await_state(runtime, scene.supervisor, "b", TROUPE_CHILD_STOPPED);
    cr_assert_eq(status_of(runtime, scene.supervisor, TROUPE_CHILD_RESTART, "b"), TROUPE_OK);
    cr_assert_not(scene.cards[1].twins);
    close_scene(&scene);
}

Test(grace, a_first_start_that_cannot_be_killed_fails_in_time, .timeout = 60)
{
    struct stage stage;
    struct latch gate = LATCH_INIT;
    struct actor_card cards[] = THREE_CARDS(NULL);
    struct troupe_child_spec children[] = {
        spec_of(&cards[0], TROUPE_PERMANENT), grave(&cards[1], TROUPE_UNKILLABLE_ORPHAN)};
    struct troupe_supervisor_spec spec = {.children = children, .child_count = 2};
    troupe_pid pid;

    cards[1].habits = HABIT_SLOW_INIT;
    cards[1].gate = &gate;
    children[1].start_timeout_ms = 20;
    stage_open(&stage, 3);
    cr_assert_eq(troupe_supervisor_start(stage.runtime, &spec, LATCH_LIMIT_S * 1000, &pid),
        TROUPE_ETIMEDOUT);
    cr_assert_eq(cards[0].alive, 0);
    latch_hit(&gate);
    stage_close(&stage);
}

/* 5.1: who asked is told in time; the spec is not saved, and the id is free when the orphan has ended. */
Test(grace, a_start_asked_for_that_cannot_be_killed_saves_nothing, .timeout = 60)
{
    struct stage stage;
    struct latch gate = LATCH_INIT;
    struct actor_card card = {.id = "late", .habits = HABIT_SLOW_INIT, .gate = &gate};
    struct troupe_child_spec late = grave(&card, TROUPE_UNKILLABLE_ORPHAN);
    struct troupe_supervisor_spec spec = {0};
    troupe_pid supervisor;

    late.start_timeout_ms = 20;
    stage_open(&stage, 3);
    supervisor = start(stage.runtime, &spec);
    cr_assert_eq(
        ask(stage.runtime, supervisor, TROUPE_CHILD_START, NULL, &late).status, TROUPE_ETIMEDOUT);
    cr_assert_eq(
        ask(stage.runtime, supervisor, TROUPE_CHILD_START, NULL, &late).status, TROUPE_EEXIST);
    latch_hit(&gate);
    STAGE_AWAIT(&stage, which(stage.runtime, supervisor, "late").status == TROUPE_ENOENT);
    cr_assert_eq(card.starts, 1);
    stage_close(&stage);
}

/* ---- abort ---- */

Test(grace, with_abort_the_process_ends, .timeout = 60, .signal = SIGABRT)
{
    struct scene scene;

    open_scene(&scene, TROUPE_UNKILLABLE_ABORT);
    shut(&scene);
    (void)puppet_down_kind(&scene.notes);
}
