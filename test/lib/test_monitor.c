/* SPDX-License-Identifier: MIT */
/*
 * Monitor: one notice each, by pid and by name; what demonitor says and swallows.
 *
 * Without threads: what is told is queued, and happens in stage_run().
 */
#include <criterion/criterion.h>

#include "test/support/ear.h"
#include "test/support/ends.h"

struct watching {
    troupe_pid pid;
    const char *name;
    troupe_ref ref;
    int result;
    struct troupe_reason reason;
};

static int monitor(struct troupe_actor *self, void *arg)
{
    struct watching *watching = arg;

    return troupe_monitor(self, watching->pid, &watching->ref);
}

static int monitor_name(struct troupe_actor *self, void *arg)
{
    struct watching *watching = arg;

    return troupe_monitor_name(self, watching->name, &watching->ref);
}

static int demonitor(struct troupe_actor *self, void *arg)
{
    struct watching *watching = arg;

    watching->result = troupe_demonitor(self, watching->ref);
    return TROUPE_OK;
}

static int flush(struct troupe_actor *self, void *arg)
{
    struct watching *watching = arg;

    watching->result = troupe_demonitor_flush(self, watching->ref, &watching->reason);
    return TROUPE_OK;
}

/* An ear that watches a puppet. */
struct scene {
    struct stage stage;
    struct ear ear;
    struct watching watching;
    troupe_pid watcher;
};

static void open_scene(struct scene *scene)
{
    *scene = (struct scene){0};
    stage_open(&scene->stage, TROUPE_NO_THREADS);
    scene->watcher = stage_spawn(&scene->stage, &ear_plain, &scene->ear);
    scene->watching.pid = stage_spawn(&scene->stage, &stage_puppet, NULL);
    cr_assert_eq(stage_do(&scene->stage, scene->watcher, monitor, &scene->watching), TROUPE_OK);
}

/* The puppet ends with an error, and its notice stands behind `job` in the watcher's queue. */
static void end_before(struct scene *scene, stage_job_fn job)
{
    stage_tell(&scene->stage, scene->watching.pid, end_with_error, NULL);
    stage_tell(&scene->stage, scene->watcher, job, &scene->watching);
    stage_run(&scene->stage);
}

/* 2.8: true means that no notice was or will be delivered. */
Test(monitor, demonitor_says_1_and_no_notice_comes, .timeout = 60)
{
    struct scene scene;

    open_scene(&scene);
    stage_do(&scene.stage, scene.watcher, demonitor, &scene.watching);
    cr_assert_eq(scene.watching.result, 1);
    stage_tell(&scene.stage, scene.watching.pid, end_with_error, NULL);
    stage_run(&scene.stage);
    cr_assert_eq(scene.ear.count, 0);
    stage_do(&scene.stage, scene.watcher, flush, &scene.watching);
    cr_assert_eq(scene.watching.result, TROUPE_FLUSH_NONE);
    stage_close(&scene.stage);
}

/* 2.8: false means that its one notice was queued .. */
Test(monitor, demonitor_says_0_of_a_notice_that_is_queued_and_drops_it, .timeout = 60)
{
    struct scene scene;

    open_scene(&scene);
    end_before(&scene, demonitor);
    cr_assert_eq(scene.watching.result, 0);
    cr_assert_eq(scene.ear.count, 0);
    stage_close(&scene.stage);
}

/* 2.8: .. or handled. */
Test(monitor, demonitor_says_0_of_a_notice_that_was_handled, .timeout = 60)
{
    struct scene scene;

    open_scene(&scene);
    stage_tell(&scene.stage, scene.watching.pid, end_with_error, NULL);
    stage_run(&scene.stage);
    cr_assert_eq(scene.ear.count, 1);
    stage_do(&scene.stage, scene.watcher, demonitor, &scene.watching);
    cr_assert_eq(scene.watching.result, 0);
    stage_do(&scene.stage, scene.watcher, flush, &scene.watching);
    cr_assert_eq(scene.watching.result, TROUPE_FLUSH_NONE);
    stage_close(&scene.stage);
}

Test(monitor, a_flush_tells_the_reason_that_it_swallowed, .timeout = 60)
{
    struct scene scene;

    open_scene(&scene);
    end_before(&scene, flush);
    cr_assert_eq(scene.watching.result, TROUPE_FLUSH_TOLD);
    cr_assert_eq(scene.watching.reason.kind, TROUPE_EXIT_ERROR);
    cr_assert_eq(scene.watching.reason.code, TROUPE_EPROTO);
    /* The reference is ours: the notice has gone. */
    cr_assert_str_eq(troupe_reason_text(&scene.watching.reason), "as told");
    troupe_buffer_release(scene.watching.reason.text);
    cr_assert_eq(scene.ear.count, 0);
    stage_close(&scene.stage);
}

static int flush_thrice(struct troupe_actor *self, void *arg)
{
    struct watching *watching = arg;
    troupe_ref ref;

    /* Of one that is there, and of one that is not. */
    cr_assert_eq(troupe_monitor(self, watching->pid, &ref), TROUPE_OK);
    cr_assert_eq(troupe_demonitor_flush(self, ref, NULL), TROUPE_FLUSH_ACTIVE);
    cr_assert_eq(troupe_monitor(self, 12345, &ref), TROUPE_OK);
    cr_assert_eq(troupe_demonitor_flush(self, ref, &watching->reason), TROUPE_FLUSH_TOLD);
    cr_assert_eq(watching->reason.kind, TROUPE_EXIT_NOPROC);
    cr_assert_eq(troupe_demonitor_flush(self, ref, &watching->reason), TROUPE_FLUSH_NONE);
    cr_assert_eq(troupe_demonitor_flush(self, 0, NULL), TROUPE_FLUSH_NONE);
    return TROUPE_OK;
}

Test(monitor, a_flush_says_what_it_found, .timeout = 60)
{
    struct scene scene;

    open_scene(&scene);
    cr_assert_eq(stage_do(&scene.stage, scene.watcher, flush_thrice, &scene.watching), TROUPE_OK);
    cr_assert_eq(scene.ear.count, 0);
    stage_close(&scene.stage);
}

/* 2.8: an unknown ref of one's own is no matter, that of another is an error. */
Test(monitor, a_ref_of_another_actor_is_an_error, .timeout = 60)
{
    struct scene scene;
    struct ear other_ear = {0};
    troupe_pid other;

    open_scene(&scene);
    other = stage_spawn(&scene.stage, &ear_plain, &other_ear);
    stage_do(&scene.stage, other, demonitor, &scene.watching);
    cr_assert_eq(scene.watching.result, TROUPE_EINVAL);
    stage_do(&scene.stage, other, flush, &scene.watching);
    cr_assert_eq(scene.watching.result, TROUPE_EINVAL);
    /* It still stands. */
    stage_tell(&scene.stage, scene.watching.pid, end_with_error, NULL);
    stage_run(&scene.stage);
    cr_assert_eq(scene.ear.count, 1);
    cr_assert_eq(scene.ear.notes[0].ref, scene.watching.ref);
    stage_close(&scene.stage);
}

/* ---- by name: 2.7 ---- */

static int take_name(struct troupe_actor *self, void *arg)
{
    return troupe_register(self, arg);
}

static int give_name_up(struct troupe_actor *self, void *arg)
{
    return troupe_unregister(self, arg);
}

Test(monitor, by_name_the_notice_tells_the_name_and_who_had_it, .timeout = 60)
{
    struct scene scene;
    struct watching named = {.name = "the.server"};

    open_scene(&scene);
    cr_assert_eq(stage_do(&scene.stage, scene.watching.pid, take_name, "the.server"), TROUPE_OK);
    cr_assert_eq(stage_do(&scene.stage, scene.watcher, monitor_name, &named), TROUPE_OK);
    stage_tell(&scene.stage, scene.watching.pid, end_with_error, NULL);
    stage_run(&scene.stage);
    /* That by pid has no name. */
    cr_assert_eq(scene.ear.count, 2);
    cr_assert_eq(scene.ear.notes[0].ref, scene.watching.ref);
    cr_assert_str_eq(scene.ear.notes[0].name, "-");
    cr_assert_eq(scene.ear.notes[1].ref, named.ref);
    cr_assert_eq(scene.ear.notes[1].pid, scene.watching.pid);
    cr_assert_eq(scene.ear.notes[1].kind, TROUPE_EXIT_ERROR);
    cr_assert_str_eq(scene.ear.notes[1].text, "as told");
    cr_assert_str_eq(scene.ear.notes[1].name, "the.server");
    stage_close(&scene.stage);
}

Test(monitor, by_name_who_has_it_is_looked_up_once, .timeout = 60)
{
    struct scene scene;
    struct watching named = {.name = "the.server"};
    troupe_pid heir;

    open_scene(&scene);
    heir = stage_spawn(&scene.stage, &stage_puppet, NULL);
    cr_assert_eq(stage_do(&scene.stage, scene.watching.pid, take_name, "the.server"), TROUPE_OK);
    cr_assert_eq(stage_do(&scene.stage, scene.watcher, monitor_name, &named), TROUPE_OK);
    cr_assert_eq(stage_do(&scene.stage, scene.watching.pid, give_name_up, "the.server"), TROUPE_OK);
    cr_assert_eq(stage_do(&scene.stage, heir, take_name, "the.server"), TROUPE_OK);
    stage_tell(&scene.stage, heir, end_normally, NULL);
    stage_run(&scene.stage);
    cr_assert_eq(scene.ear.count, 0);
    stage_tell(&scene.stage, scene.watching.pid, end_normally, NULL);
    stage_run(&scene.stage);
    cr_assert_eq(scene.ear.count, 2);
    cr_assert_str_eq(scene.ear.notes[1].name, "the.server");
    stage_close(&scene.stage);
}

Test(monitor, by_a_name_that_nobody_has_noproc_comes_at_once, .timeout = 60)
{
    struct scene scene;
    struct watching named = {.name = "nobody.has.it"};

    open_scene(&scene);
    cr_assert_eq(stage_do(&scene.stage, scene.watcher, monitor_name, &named), TROUPE_OK);
    cr_assert_eq(scene.ear.count, 1);
    cr_assert_eq(scene.ear.notes[0].ref, named.ref);
    cr_assert_eq(scene.ear.notes[0].pid, TROUPE_NOBODY);
    cr_assert_eq(scene.ear.notes[0].kind, TROUPE_EXIT_NOPROC);
    cr_assert_str_eq(scene.ear.notes[0].name, "nobody.has.it");
    stage_close(&scene.stage);
}

static int monitor_own_name(struct troupe_actor *self, void *arg)
{
    troupe_ref ref;

    TROUPE_TRY(troupe_register(self, arg));
    return troupe_monitor_name(self, arg, &ref);
}

Test(monitor, nobody_monitors_itself_by_name, .timeout = 60)
{
    struct scene scene;

    open_scene(&scene);
    cr_assert_eq(stage_do(&scene.stage, scene.watcher, monitor_own_name, "me"), TROUPE_EINVAL);
    cr_assert_eq(scene.ear.count, 0);
    stage_close(&scene.stage);
}

/* The names are of all lengths: the blocks that they share with their watches are too. */
Test(monitor, names_of_every_length_are_told, .timeout = 60)
{
    struct scene scene;
    char name[TROUPE_NAME_MAX + 1];

    open_scene(&scene);
    for (unsigned length = 1; length <= TROUPE_NAME_MAX; length++) {
        struct watching named = {.name = name};

        memset(name, 'x', length);
        name[length] = '\0';
        scene.ear.count = 0;
        cr_assert_eq(stage_do(&scene.stage, scene.watcher, monitor_name, &named), TROUPE_OK);
        cr_assert_eq(scene.ear.count, 1);
        cr_assert_eq(strncmp(scene.ear.notes[0].name, name, sizeof scene.ear.notes[0].name - 1), 0);
    }
    stage_close(&scene.stage);
}
