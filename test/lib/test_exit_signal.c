/* SPDX-License-Identifier: MIT */
/*
 * Exit signal: the matrix of reasons, senders, and whether exits are trapped; which of two decides.
 *
 * Without threads: what is told is queued, and happens in stage_run().
 */
#include <criterion/criterion.h>

#include "test/support/ear.h"
#include "test/support/ends.h"

static int nothing(struct troupe_actor *self, void *arg)
{
    (void)self;
    (void)arg;
    return TROUPE_OK;
}

/* ---- 2.9: sent with troupe_send_exit() ---- */

struct sending {
    troupe_pid to;
    enum troupe_exit kind;
};

static int send_exit(struct troupe_actor *self, void *arg)
{
    const struct sending *sending = arg;

    return troupe_send_exit(self, sending->to, sending->kind);
}

static int send_exit_to_itself(struct troupe_actor *self, void *arg)
{
    return troupe_send_exit(self, troupe_self(self), *(const enum troupe_exit *)arg);
}

enum outcome {
    LIVES, /* and is not told */
    TOLD,  /* as a message, and lives */
    DIES,  /* of the reason that was sent */
    KILLED,
};

struct row {
    enum troupe_exit kind;
    enum outcome plain, trapping;           /* sent by another */
    enum outcome own_plain, own_trapping;   /* by itself */
    enum outcome link_plain, link_trapping; /* with this reason a linked actor ended */
};

/* KILL that a linked actor chose itself can be trapped and stays KILL; KILLED can be sent, and is no kill. */
static const struct row rows[] = {
    {TROUPE_EXIT_NORMAL, LIVES, TOLD, DIES, TOLD, LIVES, TOLD},
    {TROUPE_EXIT_SHUTDOWN, DIES, TOLD, DIES, TOLD, DIES, TOLD},
    {TROUPE_EXIT_KILLED, DIES, TOLD, DIES, TOLD, DIES, TOLD},
    {TROUPE_EXIT_KILL, KILLED, KILLED, KILLED, KILLED, DIES, TOLD},
    {TROUPE_EXIT_NOPROC, DIES, TOLD, DIES, TOLD, DIES, TOLD},
};

struct scene {
    struct stage stage;
    struct ear ear;
    struct stage_end end;
    troupe_pid target, other;
};

static void open_scene(struct scene *scene, bool trapping)
{
    *scene = (struct scene){0};
    stage_open(&scene->stage, TROUPE_NO_THREADS);
    scene->target = stage_spawn(&scene->stage, trapping ? &ear_trapping : &ear_plain, &scene->ear);
    scene->other = stage_spawn(&scene->stage, &stage_puppet, NULL);
    stage_watch(&scene->stage, scene->target, &scene->end);
}

/* What has come of a signal `kind` from `from`. */
static void close_scene(
    struct scene *scene, enum outcome outcome, enum troupe_exit kind, troupe_pid from, bool linked)
{
    bool dies = outcome == DIES || outcome == KILLED;

    stage_run(&scene->stage);
    cr_assert_eq(scene->end.count, dies ? 1 : 0, "kind %d", kind);
    cr_assert_eq(troupe_is_alive(scene->stage.runtime, scene->target), !dies);
    cr_assert_eq(scene->ear.count, outcome == TOLD ? 1 : 0, "kind %d", kind);
    if (dies) {
        cr_assert_eq(scene->end.kind, outcome == KILLED ? TROUPE_EXIT_KILLED : kind);
    }
    if (outcome == TOLD) {
        cr_assert_not(scene->ear.notes[0].is_down);
        cr_assert_eq(scene->ear.notes[0].kind, kind);
        cr_assert_eq(scene->ear.notes[0].pid, from);
        cr_assert_eq(scene->ear.notes[0].linked, linked);
    }
    ear_close(&scene->stage, scene->target);
    stage_close(&scene->stage);
}

Test(exit_signal, the_matrix_of_signals_from_others, .timeout = 60)
{
    for (unsigned i = 0; i < 2 * TROUPE_COUNT(rows); i++) {
        const struct row *row = &rows[i / 2];
        struct scene scene;
        struct sending sending;

        open_scene(&scene, i % 2);
        sending = (struct sending){scene.target, row->kind};
        cr_assert_eq(stage_do(&scene.stage, scene.other, send_exit, &sending), TROUPE_OK);
        close_scene(&scene, i % 2 ? row->trapping : row->plain, row->kind, scene.other, false);
    }
}

Test(exit_signal, the_matrix_of_signals_to_oneself, .timeout = 60)
{
    for (unsigned i = 0; i < 2 * TROUPE_COUNT(rows); i++) {
        const struct row *row = &rows[i / 2];
        enum troupe_exit kind = row->kind;
        struct scene scene;

        open_scene(&scene, i % 2);
        stage_tell(&scene.stage, scene.target, send_exit_to_itself, &kind);
        close_scene(
            &scene, i % 2 ? row->own_trapping : row->own_plain, row->kind, scene.target, false);
    }
}

/* As by another that is no actor. */
Test(exit_signal, the_matrix_of_signals_from_foreign_threads, .timeout = 60)
{
    for (unsigned i = 0; i < 2 * TROUPE_COUNT(rows); i++) {
        const struct row *row = &rows[i / 2];
        struct scene scene;

        open_scene(&scene, i % 2);
        cr_assert_eq(troupe_runtime_exit(scene.stage.runtime, scene.target, row->kind), TROUPE_OK);
        close_scene(&scene, i % 2 ? row->trapping : row->plain, row->kind, TROUPE_NOBODY, false);
    }
}

/* ---- 2.10: by a link ---- */

static int link_to(struct troupe_actor *self, void *arg)
{
    return troupe_link(self, *(const troupe_pid *)arg);
}

static int end_as_told(struct troupe_actor *self, void *arg)
{
    troupe_exit(self, *(const enum troupe_exit *)arg);
}

Test(exit_signal, the_matrix_of_signals_by_links, .timeout = 60)
{
    for (unsigned i = 0; i < 2 * TROUPE_COUNT(rows); i++) {
        const struct row *row = &rows[i / 2];
        enum troupe_exit kind = row->kind;
        struct scene scene;

        open_scene(&scene, i % 2);
        cr_assert_eq(stage_do(&scene.stage, scene.target, link_to, &scene.other), TROUPE_OK);
        if (kind == TROUPE_EXIT_KILLED) {
            cr_assert_eq(
                troupe_runtime_exit(scene.stage.runtime, scene.other, TROUPE_EXIT_KILL), TROUPE_OK);
        } else {
            stage_tell(&scene.stage, scene.other, end_as_told, &kind);
        }
        close_scene(
            &scene, i % 2 ? row->link_trapping : row->link_plain, row->kind, scene.other, true);
    }
}

/* ---- 2.11: trapping is asked when the signal is taken ---- */

static int trap(struct troupe_actor *self, void *arg)
{
    cr_assert_eq(troupe_trap_exit(self, *(const bool *)arg), !*(const bool *)arg);
    return TROUPE_OK;
}

/* The signal is in the queue when trapping is turned on or off: before it, so that the turn comes first. */
Test(exit_signal, trapping_counts_when_the_signal_is_taken_not_when_it_was_sent, .timeout = 60)
{
    for (unsigned on = 0; on < 2; on++) {
        struct scene scene;
        bool turn = on;

        open_scene(&scene, !on);
        stage_tell(&scene.stage, scene.target, trap, &turn);
        if (on) {
            /* One that does not trap would pull its queue up to the signal: it must be trapping by then. */
            stage_run(&scene.stage);
        }
        cr_assert_eq(
            troupe_runtime_exit(scene.stage.runtime, scene.target, TROUPE_EXIT_NOPROC), TROUPE_OK);
        close_scene(&scene, on ? TOLD : DIES, TROUPE_EXIT_NOPROC, TROUPE_NOBODY, false);
    }
}

/* What is queued behind a signal that condemns comes too late to save anybody. */
Test(exit_signal, trapping_turned_on_later_does_not_save_the_condemned, .timeout = 60)
{
    struct scene scene;
    bool on = true;

    open_scene(&scene, false);
    cr_assert_eq(
        troupe_runtime_exit(scene.stage.runtime, scene.target, TROUPE_EXIT_NOPROC), TROUPE_OK);
    stage_tell(&scene.stage, scene.target, trap, &on);
    close_scene(&scene, DIES, TROUPE_EXIT_NOPROC, TROUPE_NOBODY, false);
}

/* ---- 2.12: the first reason stands ---- */

Test(exit_signal, of_two_signals_the_first_decides, .timeout = 60)
{
    static const enum troupe_exit kinds[] = {
        TROUPE_EXIT_SHUTDOWN, TROUPE_EXIT_NOPROC, TROUPE_EXIT_KILLED};

    for (unsigned i = 0; i < TROUPE_COUNT(kinds); i++) {
        enum troupe_exit second = kinds[(i + 1) % TROUPE_COUNT(kinds)];
        struct scene scene;

        open_scene(&scene, false);
        cr_assert_eq(troupe_runtime_exit(scene.stage.runtime, scene.target, kinds[i]), TROUPE_OK);
        cr_assert_eq(troupe_runtime_exit(scene.stage.runtime, scene.target, second), TROUPE_OK);
        close_scene(&scene, DIES, kinds[i], TROUPE_NOBODY, false);
    }
}

static int end_with_a_signal_queued(struct troupe_actor *self, void *arg)
{
    (void)arg;
    cr_assert_eq(troupe_send_exit(self, troupe_self(self), TROUPE_EXIT_NOPROC), TROUPE_OK);
    troupe_exit(self, TROUPE_EXIT_SHUTDOWN);
}

Test(exit_signal, who_ends_by_itself_before_it_takes_a_signal_keeps_its_reason, .timeout = 60)
{
    struct scene scene;

    open_scene(&scene, false);
    stage_tell(&scene.stage, scene.target, end_with_a_signal_queued, NULL);
    close_scene(&scene, DIES, TROUPE_EXIT_SHUTDOWN, TROUPE_NOBODY, false);
}

static int fail_and_change_its_mind(struct troupe_actor *self, void *arg)
{
    (void)arg;
    (void)troupe_fail(self, TROUPE_EPROTO, "not so");
    return nothing(self, NULL);
}

/* A failure that was taken back is no reason: the signal that comes later gives its own. */
Test(exit_signal, a_failure_taken_back_leaves_the_reason_to_the_signal, .timeout = 60)
{
    struct scene scene;

    open_scene(&scene, false);
    cr_assert_eq(stage_do(&scene.stage, scene.target, fail_and_change_its_mind, NULL), TROUPE_OK);
    cr_assert_eq(
        troupe_runtime_exit(scene.stage.runtime, scene.target, TROUPE_EXIT_SHUTDOWN), TROUPE_OK);
    close_scene(&scene, DIES, TROUPE_EXIT_SHUTDOWN, TROUPE_NOBODY, false);
}

/* ---- 2.18 ---- */

static int kill_and_ask(struct troupe_actor *self, void *arg)
{
    troupe_pid target = *(const troupe_pid *)arg;

    cr_assert(troupe_is_alive(troupe_runtime_of(self), target));
    cr_assert_eq(troupe_kill(self, target), TROUPE_OK);
    return troupe_is_alive(troupe_runtime_of(self), target) ? TROUPE_EBUSY : TROUPE_OK;
}

/* Before the target has run. */
Test(exit_signal, who_was_killed_is_not_alive_from_then_on, .timeout = 60)
{
    struct scene scene;

    open_scene(&scene, true);
    cr_assert_eq(stage_do(&scene.stage, scene.other, kill_and_ask, &scene.target), TROUPE_OK);
    close_scene(&scene, KILLED, TROUPE_EXIT_KILL, TROUPE_NOBODY, false);
}
