/* SPDX-License-Identifier: MIT */
/*
 * Connect: links of one direction, after async-backplane: who is told of whose end, and how one becomes another.
 *
 * Without threads: what is told is queued, and happens in stage_run().
 */
#include "test/support/ear.h"
#include "test/support/ends.h"

struct scene {
    struct stage stage;
    struct ear ears[2];
    troupe_pid pids[2]; /* the first one connects */
    troupe_pid to;      /* of the order that is given now */
    enum troupe_mode mode;
};

static void open_scene(struct scene *scene, bool trapping)
{
    *scene = (struct scene){0};
    stage_open(&scene->stage, TROUPE_NO_THREADS);
    for (unsigned i = 0; i < 2; i++) {
        scene->pids[i] =
            stage_spawn(&scene->stage, trapping ? &ear_trapping : &ear_plain, &scene->ears[i]);
    }
    stage_run(&scene->stage);
}

static void close_scene(struct scene *scene)
{
    for (unsigned i = 0; i < 2; i++) {
        ear_close(&scene->stage, scene->pids[i]);
    }
    stage_close(&scene->stage);
}

static int do_connect(struct troupe_actor *self, void *arg)
{
    struct scene *scene = arg;

    return troupe_connect(self, scene->to, scene->mode);
}

static int do_disconnect(struct troupe_actor *self, void *arg)
{
    struct scene *scene = arg;

    return troupe_disconnect(self, scene->to, scene->mode);
}

static int do_ask(struct troupe_actor *self, void *arg)
{
    struct scene *scene = arg;
    int mode = troupe_connected(self, scene->to);

    cr_assert_geq(mode, 0);
    scene->mode = (enum troupe_mode)mode;
    return TROUPE_OK;
}

/* Has `who` do something about the other one. */
static int order(struct scene *scene, unsigned who, stage_job_fn fn, enum troupe_mode mode)
{
    scene->to = scene->pids[1 - who];
    scene->mode = mode;
    return stage_do(&scene->stage, scene->pids[who], fn, scene);
}

static enum troupe_mode mode_of(struct scene *scene, unsigned who)
{
    cr_assert_eq(order(scene, who, do_ask, 0), TROUPE_OK);
    return scene->mode;
}

/* What the other one sees. */
static enum troupe_mode reverse(enum troupe_mode mode)
{
    return ((mode & TROUPE_MONITOR) != 0 ? (unsigned)TROUPE_NOTIFY : 0U) |
           ((mode & TROUPE_NOTIFY) != 0 ? (unsigned)TROUPE_MONITOR : 0U);
}

/* Whether the other one is told when `who` ends, if the first has `mode`. */
static bool is_told(enum troupe_mode mode, unsigned who)
{
    return (mode & (who == 0 ? TROUPE_NOTIFY : TROUPE_MONITOR)) != 0;
}

static const struct {
    stage_job_fn fn;
    enum troupe_exit kind;
} ways[] = {
    {end_normally, TROUPE_EXIT_NORMAL},
    {end_shutdown, TROUPE_EXIT_SHUTDOWN},
    {end_kill, TROUPE_EXIT_KILL},
    {end_noproc, TROUPE_EXIT_NOPROC},
    {end_with_error, TROUPE_EXIT_ERROR},
};

static void check_end(enum troupe_mode mode, unsigned who, unsigned way, bool trapping)
{
    struct scene scene;
    bool told = is_told(mode, who);
    bool dies = told && !trapping && ways[way].kind != TROUPE_EXIT_NORMAL;
    struct ear *ear = &scene.ears[1 - who];

    open_scene(&scene, trapping);
    cr_assert_eq(order(&scene, 0, do_connect, mode), TROUPE_OK);
    stage_tell(&scene.stage, scene.pids[who], ways[way].fn, NULL);
    stage_run(&scene.stage);
    cr_assert_eq(troupe_is_alive(scene.stage.runtime, scene.pids[1 - who]), !dies,
        "mode %d who %u way %u trapping %d", (int)mode, who, way, trapping);
    cr_assert_eq(ear->count, told && trapping ? 1 : 0);
    if (ear->count == 1) {
        cr_assert_eq(ear->notes[0].pid, scene.pids[who]);
        cr_assert_eq(ear->notes[0].kind, ways[way].kind);
        cr_assert(ear->notes[0].linked);
        cr_assert_str_eq(ear->notes[0].text, ways[way].kind == TROUPE_EXIT_ERROR ? "as told" : "");
    }
    if (!dies) {
        cr_assert_eq(mode_of(&scene, 1 - who), 0, "it is gone with its end");
    }
    close_scene(&scene);
}

/* B3, B9, B12: mode, who ends, why, whether exits are trapped. */
Test(connect, the_matrix_of_modes_and_ends, .timeout = 60)
{
    for (enum troupe_mode mode = TROUPE_MONITOR; mode <= TROUPE_PEER; mode++) {
        for (unsigned i = 0; i < TROUPE_COUNT(ways) * 4; i++) {
            check_end(mode, i % 2, i / 4, i / 2 % 2);
        }
    }
}

/* B4: modes are added by one call and taken away by the other, from either side; each sees the same. */
Test(connect, modes_are_added_and_taken_away, .timeout = 60)
{
    for (unsigned before = 0; before <= TROUPE_PEER; before++) {
        for (unsigned i = 0; i < 12; i++) {
            struct scene scene;
            enum troupe_mode mode = (enum troupe_mode)(i % 3 + 1);
            unsigned who = i / 3 % 2;
            bool adds = i >= 6;
            enum troupe_mode own = who == 0 ? mode : reverse(mode);
            unsigned after = adds ? before | (unsigned)own : before & ~(unsigned)own;

            open_scene(&scene, true);
            if (before != 0) {
                cr_assert_eq(order(&scene, 0, do_connect, (enum troupe_mode)before), TROUPE_OK);
            }
            cr_assert_eq(order(&scene, who, adds ? do_connect : do_disconnect, mode), TROUPE_OK);
            cr_assert_eq(mode_of(&scene, 0), after, "before %u mode %d who %u adds %d", before,
                (int)mode, who, adds);
            cr_assert_eq(mode_of(&scene, 1), reverse((enum troupe_mode)after));
            stage_tell(&scene.stage, scene.pids[0], end_normally, NULL);
            stage_run(&scene.stage);
            cr_assert_eq(scene.ears[1].count, is_told((enum troupe_mode)after, 0) ? 1 : 0);
            close_scene(&scene);
        }
    }
}

static int do_link(struct troupe_actor *self, void *arg)
{
    return troupe_link(self, ((struct scene *)arg)->to);
}

static int do_unlink(struct troupe_actor *self, void *arg)
{
    troupe_unlink(self, ((struct scene *)arg)->to);
    return TROUPE_OK;
}

/* 2.1: at most one link joins two actors. */
Test(connect, a_link_is_a_connection_of_both_directions, .timeout = 60)
{
    struct scene scene;
    struct troupe_info info;

    open_scene(&scene, true);
    cr_assert_eq(order(&scene, 0, do_connect, TROUPE_NOTIFY), TROUPE_OK);
    cr_assert_eq(order(&scene, 0, do_link, 0), TROUPE_OK);
    cr_assert_eq(mode_of(&scene, 0), TROUPE_PEER);
    cr_assert_eq(troupe_info(scene.stage.runtime, scene.pids[0], &info), TROUPE_OK);
    cr_assert_eq(info.links, 1);
    cr_assert_eq(order(&scene, 1, do_disconnect, TROUPE_MONITOR), TROUPE_OK);
    cr_assert_eq(mode_of(&scene, 0), TROUPE_MONITOR);
    cr_assert_eq(order(&scene, 0, do_unlink, 0), TROUPE_OK);
    cr_assert_eq(mode_of(&scene, 0), 0);
    cr_assert_eq(mode_of(&scene, 1), 0);
    close_scene(&scene);
}

/* B5: a notice towards one that is gone is nobody's loss; to be told of it is answered at once. */
Test(connect, with_one_that_is_gone, .timeout = 60)
{
    for (unsigned i = 0; i < 6; i++) {
        enum troupe_mode mode = (enum troupe_mode)(i % 3 + 1);
        bool trapping = i >= 3;
        bool heard = mode != TROUPE_NOTIFY;
        struct scene scene;

        open_scene(&scene, trapping);
        stage_tell(&scene.stage, scene.pids[1], end_normally, NULL);
        stage_run(&scene.stage);
        cr_assert_eq(
            order(&scene, 0, do_connect, mode), heard && !trapping ? TROUPE_EGONE : TROUPE_OK);
        cr_assert_eq(scene.ears[0].count, heard && trapping ? 1 : 0);
        if (scene.ears[0].count == 1) {
            cr_assert_eq(scene.ears[0].notes[0].kind, TROUPE_EXIT_NOPROC);
        }
        close_scene(&scene);
    }
}

struct late {
    struct scene *scene;
    enum troupe_mode mode;
};

/* In one callback, while the exit signal of the other is queued behind it. */
static int disconnect_late(struct troupe_actor *self, void *arg)
{
    const struct late *late = arg;

    return troupe_disconnect(self, late->scene->pids[1], late->mode);
}

/* As unlink does (2.6): what is queued does not count any more; but only if it was MONITOR that was taken away. */
Test(connect, what_was_taken_away_is_not_told_any_more, .timeout = 60)
{
    for (enum troupe_mode mode = TROUPE_MONITOR; mode <= TROUPE_PEER; mode++) {
        struct scene scene;
        struct late late = {.scene = &scene, .mode = mode};

        open_scene(&scene, true);
        cr_assert_eq(order(&scene, 0, do_connect, TROUPE_PEER), TROUPE_OK);
        /* Its end is told before the other one runs. */
        stage_tell(&scene.stage, scene.pids[1], end_normally, NULL);
        stage_tell(&scene.stage, scene.pids[0], disconnect_late, &late);
        stage_run(&scene.stage);
        cr_assert_eq(scene.ears[0].count, mode == TROUPE_NOTIFY ? 1 : 0, "mode %d", (int)mode);
        close_scene(&scene);
    }
}

/* Chains of faults (B9): it goes on in the direction of the modes only. */
Test(connect, a_fault_goes_where_it_is_told, .timeout = 60)
{
    enum { LENGTH = 6, FAILS = 3 };
    struct scene scene = {0};
    struct ear ears[LENGTH] = {{0}};
    troupe_pid pids[LENGTH];

    stage_open(&scene.stage, TROUPE_NO_THREADS);
    for (unsigned i = 0; i < LENGTH; i++) {
        pids[i] = stage_spawn(&scene.stage, &ear_plain, &ears[i]);
        if (i > 0) {
            scene.to = pids[i - 1];
            scene.mode = TROUPE_MONITOR;
            cr_assert_eq(stage_do(&scene.stage, pids[i], do_connect, &scene), TROUPE_OK);
        }
    }
    stage_tell(&scene.stage, pids[FAILS], end_with_error, NULL);
    stage_run(&scene.stage);
    for (unsigned i = 0; i < LENGTH; i++) {
        cr_assert_eq(troupe_is_alive(scene.stage.runtime, pids[i]), i < FAILS, "%u", i);
    }
    stage_close(&scene.stage);
}
