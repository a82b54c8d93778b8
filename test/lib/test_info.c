/* SPDX-License-Identifier: MIT */
/* Info: what somebody else sees of an actor: 2.19. */
#include <criterion/criterion.h>

#include "test/support/ear.h"
#include "test/support/ends.h"

static struct troupe_info info_of(struct stage *stage, troupe_pid pid)
{
    struct troupe_info info;

    memset(&info, 0xee, sizeof info);
    cr_assert_eq(troupe_info(stage->runtime, pid, &info), TROUPE_OK);
    return info;
}

static int take_names(struct troupe_actor *self, void *arg)
{
    (void)arg;
    TROUPE_TRY(troupe_register(self, "first"));
    TROUPE_TRY(troupe_register(self, "second"));
    return TROUPE_OK;
}

static int give_first_name_up(struct troupe_actor *self, void *arg)
{
    (void)arg;
    return troupe_unregister(self, "first");
}

static int link_to(struct troupe_actor *self, void *arg)
{
    return troupe_link(self, *(const troupe_pid *)arg);
}

static int monitor(struct troupe_actor *self, void *arg)
{
    troupe_ref ref;

    return troupe_monitor(self, *(const troupe_pid *)arg, &ref);
}

static int use_arena(struct troupe_actor *self, void *arg)
{
    (void)arg;
    return troupe_arena_alloc(self, 100 * 1024) == NULL ? TROUPE_ENOMEM : TROUPE_OK;
}

Test(info, a_plain_actor_is_a_cell_and_nothing_else, .timeout = 60)
{
    struct stage stage;
    struct troupe_info info;
    troupe_pid pid;

    stage_open(&stage, TROUPE_NO_THREADS);
    pid = stage_spawn(&stage, &stage_puppet, NULL);
    info = info_of(&stage, pid);
    cr_assert_eq(info.state, TROUPE_ACTOR_STARTING);
    stage_run(&stage);
    info = info_of(&stage, pid);
    cr_assert_eq(info.pid, pid);
    cr_assert_eq(info.parent, TROUPE_NOBODY);
    cr_assert_str_eq(info.behaviour, "puppet");
    cr_assert_str_eq(info.name, "");
    cr_assert_eq(info.state, TROUPE_ACTOR_IDLE);
    cr_assert_eq(info.incarnation, 0);
    cr_assert_eq(info.mailbox_length, 0);
    cr_assert_eq(info.mailbox_bytes, 0);
    cr_assert_eq(info.mailbox_capacity, TROUPE_CAPACITY_DEFAULT);
    cr_assert_eq(info.links + info.monitors + info.watchers, 0);
    cr_assert_eq(info.memory, 256);
    stage_close(&stage);
}

Test(info, the_name_is_the_oldest_that_is_left, .timeout = 60)
{
    struct stage stage;
    troupe_pid pid;

    stage_open(&stage, TROUPE_NO_THREADS);
    pid = stage_spawn(&stage, &stage_puppet, NULL);
    cr_assert_eq(stage_do(&stage, pid, take_names, NULL), TROUPE_OK);
    cr_assert_str_eq(info_of(&stage, pid).name, "first");
    cr_assert_eq(stage_do(&stage, pid, give_first_name_up, NULL), TROUPE_OK);
    cr_assert_str_eq(info_of(&stage, pid).name, "second");
    stage_close(&stage);
}

Test(info, what_is_queued_is_counted, .timeout = 60)
{
    struct stage stage;
    struct troupe_info info;
    struct ear ear = {0};
    troupe_pid pid;

    stage_open(&stage, TROUPE_NO_THREADS);
    pid = stage_spawn(&stage, &ear_plain, &ear);
    stage_run(&stage);
    for (uint64_t i = 0; i < 5; i++) {
        stage_send(&stage, pid, &ear_number, &i);
    }
    info = info_of(&stage, pid);
    cr_assert_eq(info.state, TROUPE_ACTOR_BUSY);
    cr_assert_eq(info.mailbox_length, 5);
    cr_assert_eq(info.mailbox_bytes, 5 * 64);
    stage_run(&stage);
    info = info_of(&stage, pid);
    cr_assert_eq(info.state, TROUPE_ACTOR_IDLE);
    cr_assert_eq(info.mailbox_length, 0);
    stage_close(&stage);
}

Test(info, links_monitors_and_watchers_are_told_apart, .timeout = 60)
{
    struct stage stage;
    struct troupe_info info;
    troupe_pid pids[5];
    troupe_pid told[5] = {0};
    size_t count;

    stage_open(&stage, TROUPE_NO_THREADS);
    for (unsigned i = 0; i < TROUPE_COUNT(pids); i++) {
        pids[i] = stage_spawn(&stage, &stage_puppet, NULL);
    }
    cr_assert_eq(stage_do(&stage, pids[0], link_to, &pids[1]), TROUPE_OK);
    cr_assert_eq(stage_do(&stage, pids[2], link_to, &pids[0]), TROUPE_OK);
    cr_assert_eq(stage_do(&stage, pids[0], monitor, &pids[1]), TROUPE_OK);
    cr_assert_eq(stage_do(&stage, pids[3], monitor, &pids[0]), TROUPE_OK);
    cr_assert_eq(stage_do(&stage, pids[4], monitor, &pids[0]), TROUPE_OK);
    cr_assert_eq(stage_do(&stage, pids[4], monitor, &pids[0]), TROUPE_OK);
    info = info_of(&stage, pids[0]);
    cr_assert_eq(info.links, 2);
    cr_assert_eq(info.monitors, 1);
    cr_assert_eq(info.watchers, 3);
    cr_assert_eq(troupe_info_links(stage.runtime, pids[0], told, 5, &count), TROUPE_OK);
    cr_assert_eq(count, 2);
    cr_assert(told[0] == pids[1] && told[1] == pids[2]);
    cr_assert_eq(troupe_info_watchers(stage.runtime, pids[0], told, 2, &count), TROUPE_OK);
    cr_assert_eq(count, 3);
    cr_assert(told[0] == pids[3] && told[1] == pids[4] && told[2] == 0);
    /* From the other side. */
    info = info_of(&stage, pids[1]);
    cr_assert(info.links == 1 && info.monitors == 0 && info.watchers == 1);
    /* And when they have ended. */
    stage_tell(&stage, pids[4], end_normally, NULL);
    stage_tell(&stage, pids[1], end_normally, NULL);
    stage_run(&stage);
    info = info_of(&stage, pids[0]);
    cr_assert(info.links == 1 && info.monitors == 0 && info.watchers == 1);
    stage_close(&stage);
}

Test(info, memory_counts_state_argument_and_arena, .timeout = 60)
{
    static const struct troupe_behaviour large = {
        .name = "large", .state_size = 5000, .receive = stage_puppet_receive};
    char arg[300] = "";
    struct troupe_spawn_options options = {.behaviour = &large, .arg = arg, .arg_size = sizeof arg};
    struct stage stage;
    uint64_t before;
    troupe_pid pid;

    stage_open(&stage, TROUPE_NO_THREADS);
    cr_assert_eq(troupe_runtime_spawn(stage.runtime, &options, &pid), TROUPE_OK);
    cr_assert_eq(info_of(&stage, pid).memory, 256 + 5000 + 300);
    before = info_of(&stage, pid).memory;
    cr_assert_eq(stage_do(&stage, pid, use_arena, NULL), TROUPE_OK);
    cr_assert_geq(info_of(&stage, pid).memory, before + 100 * 1024);
    stage_close(&stage);
}

static int kill_and_look(struct troupe_actor *self, void *arg)
{
    struct troupe_info info;
    size_t count;
    troupe_pid pid = *(const troupe_pid *)arg;

    cr_assert_eq(troupe_info(troupe_runtime_of(self), pid, &info), TROUPE_OK);
    cr_assert_eq(troupe_kill(self, pid), TROUPE_OK);
    cr_assert_eq(troupe_info_links(troupe_runtime_of(self), pid, NULL, 0, &count), TROUPE_EGONE);
    return troupe_info(troupe_runtime_of(self), pid, &info);
}

/* 2.19: from the moment of the kill, before the actor has heard of it. */
Test(info, one_that_ends_has_no_info, .timeout = 60)
{
    struct stage stage;
    struct troupe_info info = {.links = 77};
    troupe_pid pids[2];

    stage_open(&stage, TROUPE_NO_THREADS);
    pids[0] = stage_spawn(&stage, &stage_puppet, NULL);
    pids[1] = stage_spawn(&stage, &stage_puppet, NULL);
    cr_assert_eq(stage_do(&stage, pids[0], kill_and_look, &pids[1]), TROUPE_EGONE);
    stage_run(&stage);
    cr_assert_eq(troupe_info(stage.runtime, pids[1], &info), TROUPE_EGONE);
    cr_assert_eq(info.links, 77);
    stage_close(&stage);
}

struct stuck {
    struct latch entered, open;
};

static int get_stuck(struct troupe_actor *self, void *arg)
{
    struct stuck *stuck = arg;

    (void)self;
    latch_hit(&stuck->entered);
    cr_assert(latch_wait(&stuck->open, 1));
    return TROUPE_OK;
}

/* 2.19: its handler need not return for it. */
Test(info, one_that_is_stuck_is_seen_like_any_other, .timeout = 60)
{
    struct stuck stuck = {LATCH_INIT, LATCH_INIT};
    struct stage stage;
    struct troupe_info info;
    troupe_pid pid;

    stage_open(&stage, 1);
    pid = stage_spawn(&stage, &stage_roomy, NULL);
    stage_tell(&stage, pid, get_stuck, &stuck);
    stage_tell(&stage, pid, take_names, NULL);
    cr_assert(latch_wait(&stuck.entered, 1));
    info = info_of(&stage, pid);
    cr_assert_eq(info.state, TROUPE_ACTOR_BUSY);
    cr_assert_eq(info.mailbox_length, 2);
    latch_hit(&stuck.open);
    stage_close(&stage);
}

/* Many look while actors take names, link, monitor and end: for the sanitizers. */
struct crowd {
    struct stage *stage;
    troupe_pid pids[16];
    _Atomic bool stop;
};

static int fuss(struct troupe_actor *self, void *arg)
{
    struct crowd *crowd = arg;
    troupe_pid other = crowd->pids[troupe_self(self) % TROUPE_COUNT(crowd->pids)];
    troupe_ref ref;
    int error = take_names(self, NULL);

    cr_assert(error == TROUPE_OK || error == TROUPE_EEXIST);
    if (other != troupe_self(self)) {
        TROUPE_TRY(troupe_monitor(self, other, &ref));
        error = troupe_link(self, other);
        cr_assert(error == TROUPE_OK || error == TROUPE_EGONE);
        cr_assert_geq(troupe_unlink_flush(self, other, NULL), 0);
        cr_assert_geq(troupe_demonitor(self, ref), 0);
    }
    (void)troupe_unregister(self, "first");
    (void)troupe_unregister(self, "second");
    return TROUPE_OK;
}

static void *look(void *arg)
{
    struct crowd *crowd = arg;
    struct troupe_info info;
    troupe_pid told[4];
    size_t count;

    for (unsigned i = 0; !crowd->stop; i++) {
        troupe_pid pid = crowd->pids[i % TROUPE_COUNT(crowd->pids)];

        if (troupe_info(crowd->stage->runtime, pid, &info) == TROUPE_OK) {
            cr_assert_str_eq(info.behaviour, "puppet");
            cr_assert(info.name[0] == '\0' || strcmp(info.name, "first") == 0 ||
                      strcmp(info.name, "second") == 0);
        }
        cr_assert_neq(
            troupe_info_links(crowd->stage->runtime, pid, told, 4, &count), TROUPE_EINVAL);
        cr_assert_neq(
            troupe_info_watchers(crowd->stage->runtime, pid, told, 4, &count), TROUPE_EINVAL);
    }
    return NULL;
}

Test(info, many_may_look_while_it_changes, .timeout = 120)
{
    struct crowd crowd = {0};
    struct stage stage;
    pthread_t looker;

    stage_open(&stage, 2);
    crowd.stage = &stage;
    for (unsigned i = 0; i < TROUPE_COUNT(crowd.pids); i++) {
        crowd.pids[i] = stage_spawn(&stage, &stage_puppet, NULL);
    }
    cr_assert_eq(pthread_create(&looker, NULL, look, &crowd), 0);
    for (unsigned round = 0; round < 300; round++) {
        for (unsigned i = 0; i < TROUPE_COUNT(crowd.pids); i++) {
            (void)stage_do(&stage, crowd.pids[i], fuss, &crowd);
        }
    }
    for (unsigned i = 0; i < TROUPE_COUNT(crowd.pids); i++) {
        stage_tell(&stage, crowd.pids[i], end_with_error, NULL);
    }
    /* Also while they are buried. */
    STAGE_AWAIT(&stage, stage_books(&stage).exited == TROUPE_COUNT(crowd.pids));
    crowd.stop = true;
    cr_assert_eq(pthread_join(looker, NULL), 0);
    stage_close(&stage);
}

/* ---- ancestry ---- */

static int spawn_child(struct troupe_actor *self, void *arg)
{
    return troupe_spawn(self, (&(struct troupe_spawn_options){.behaviour = &stage_puppet}), arg);
}

static int leave(struct troupe_actor *self, void *arg)
{
    (void)self;
    (void)arg;
    return TROUPE_DONE;
}

/* 5.17: from parent to parent up to whom a thread spawned; also when one of them has ended. */
Test(info, an_actor_s_ancestors_are_found_up_to_the_first, .timeout = 60)
{
    enum { GENERATIONS = 5 };
    struct stage stage;
    troupe_pid pids[GENERATIONS];

    stage_open(&stage, TROUPE_NO_THREADS);
    pids[0] = stage_spawn(&stage, &stage_puppet, NULL);
    for (unsigned i = 1; i < GENERATIONS; i++) {
        cr_assert_eq(stage_do(&stage, pids[i - 1], spawn_child, &pids[i]), TROUPE_OK);
    }
    stage_run(&stage);
    for (unsigned i = GENERATIONS - 1; i > 0; i--) {
        cr_assert_eq(info_of(&stage, pids[i]).parent, pids[i - 1], "generation %u", i);
    }
    cr_assert_eq(info_of(&stage, pids[0]).parent, TROUPE_NOBODY);
    stage_tell(&stage, pids[1], leave, NULL);
    stage_run(&stage);
    cr_assert_eq(info_of(&stage, pids[2]).parent, pids[1], "its parent has ended");
    stage_close(&stage);
}
