/* SPDX-License-Identifier: MIT */
/* Group: members by their own will and until their end, watched without a gap, served one or all (3.11). */
#include "test/support/stage.h"

#include <pthread.h>

#include <troupe/group.h>
#include <troupe/link.h>
#include <troupe/supervisor.h>

#include "test/support/random.h"

/* ---- members: puppets that count what they get ---- */

struct box {
    troupe_pid pid;
    _Atomic unsigned got;
    uint64_t last;    /* body */
    const void *data; /* of a buffer */
};

static const struct troupe_type number = TROUPE_TYPE(uint64_t);
static const struct troupe_type question = TROUPE_TYPE(uint64_t);

static int member_init(struct troupe_actor *self, void *state, const void *arg)
{
    (void)self;
    *(struct box **)state = (struct box *)(uintptr_t)arg;
    return TROUPE_OK;
}

static int member_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct box *box = *(struct box **)state;
    int status;

    if (stage_is_job(self, msg, &status)) {
        return status;
    }
    if (troupe_is(msg, &number)) {
        box->last = *(const uint64_t *)troupe_body(msg);
        box->got++;
        return TROUPE_OK;
    }
    if (troupe_is(msg, &troupe_buffer_message)) {
        box->data = troupe_buffer_data(*(struct troupe_buffer *const *)troupe_body(msg));
        box->got++;
        return TROUPE_OK;
    }
    if (troupe_is(msg, &question)) {
        box->got++;
        return troupe_reply(self, msg, &number, &box->pid);
    }
    return TROUPE_EUNKNOWN;
}

static const struct troupe_behaviour member = {
    .name = "member",
    .state_size = sizeof(struct box *),
    .init = member_init,
    .receive = member_receive,
    .capacity = STAGE_ROOM,
};

static const struct troupe_behaviour narrow_member = {
    .name = "narrow member",
    .state_size = sizeof(struct box *),
    .init = member_init,
    .receive = member_receive,
    .margin = TROUPE_NO_MARGIN,
    .capacity = 2,
};

static int join_group(struct troupe_actor *self, void *arg)
{
    return troupe_group_join(self, arg);
}

static int leave_group(struct troupe_actor *self, void *arg)
{
    int error = troupe_group_leave(self, arg);

    cr_assert(error == TROUPE_OK || error == TROUPE_ENOENT);
    return error == TROUPE_ENOENT ? TROUPE_EUNKNOWN : TROUPE_OK;
}

static int finish(struct troupe_actor *self, void *arg)
{
    (void)self;
    (void)arg;
    return TROUPE_DONE;
}

static void spawn_members(struct stage *stage, const struct troupe_behaviour *behaviour,
    const char *group, struct box *boxes, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        boxes[i].pid = stage_spawn(stage, behaviour, &boxes[i]);
        cr_assert_eq(
            stage_do(stage, boxes[i].pid, join_group, (void *)(uintptr_t)group), TROUPE_OK);
    }
}

static int member_count(struct stage *stage, const char *group)
{
    static struct troupe_group_member rows[4096];

    return troupe_group_members(stage->runtime, group, 0, rows, TROUPE_COUNT(rows));
}

static char workers[] = "workers";

/* ---- membership ---- */

Test(group, who_joins_twice_has_to_leave_twice_and_is_listed_once, .timeout = 60)
{
    struct stage stage;
    struct box box = {0};

    stage_open(&stage, TROUPE_NO_THREADS);
    spawn_members(&stage, &member, workers, &box, 1);
    cr_assert_eq(stage_do(&stage, box.pid, join_group, workers), TROUPE_OK);
    cr_assert_eq(member_count(&stage, workers), 1);
    cr_assert_eq(stage_do(&stage, box.pid, leave_group, workers), TROUPE_OK);
    cr_assert_eq(member_count(&stage, workers), 1);
    cr_assert_eq(stage_do(&stage, box.pid, leave_group, workers), TROUPE_OK);
    cr_assert_eq(member_count(&stage, workers), 0);
    cr_assert_eq(stage_do(&stage, box.pid, leave_group, workers), TROUPE_EUNKNOWN);
    stage_close(&stage);
}

static int be_refused(struct troupe_actor *self, void *arg)
{
    uint64_t body = 1;

    (void)arg;
    cr_assert_eq(troupe_group_leave(self, workers), TROUPE_ENOENT);
    cr_assert_eq(troupe_group_send(self, workers, TROUPE_RANDOM, 0, &number, &body), TROUPE_ENOENT);
    return TROUPE_OK;
}

Test(group, an_empty_group_is_as_one_that_never_was, .timeout = 60)
{
    struct stage stage;
    struct box box = {0};
    struct troupe_group row;
    uint64_t body = 1;
    troupe_pid pid;

    stage_open(&stage, TROUPE_NO_THREADS);
    for (unsigned round = 0; round < 2; round++) {
        troupe_pid other = stage_spawn(&stage, &stage_puppet, NULL);

        cr_assert_eq(member_count(&stage, workers), 0);
        cr_assert_eq(troupe_groups(stage.runtime, NULL, NULL, &row, 1), 0);
        (void)stage_do(&stage, other, be_refused, NULL);
        cr_assert_eq(
            troupe_group_pick(stage.runtime, workers, TROUPE_BY_KEY, 1, &pid), TROUPE_ENOENT);
        cr_assert_eq(
            troupe_group_send_all(stage.runtime, workers, &number, &body, NULL), TROUPE_ENOENT);
        spawn_members(&stage, &member, workers, &box, 1);
        cr_assert_eq(troupe_groups(stage.runtime, NULL, NULL, &row, 1), 1);
        cr_assert_str_eq(row.name, workers);
        cr_assert_eq(row.members, 1);
        stage_tell(&stage, box.pid, finish, NULL);
        stage_run(&stage);
    }
    stage_close(&stage);
}

Test(group, members_are_listed_in_the_order_of_joins_and_in_pieces, .timeout = 60)
{
    struct stage stage;
    static struct box boxes[300];
    struct troupe_group_member rows[7];
    uint64_t last = 0;
    unsigned found = 0;
    int count;

    stage_open(&stage, TROUPE_NO_THREADS);
    spawn_members(&stage, &member, workers, boxes, TROUPE_COUNT(boxes));
    for (unsigned i = 0; i < TROUPE_COUNT(boxes); i += 2) {
        (void)stage_do(&stage, boxes[i].pid, leave_group, workers);
    }
    do {
        count = troupe_group_members(stage.runtime, workers, last, rows, TROUPE_COUNT(rows));
        for (int i = 0; i < count; i++) {
            cr_assert_gt(rows[i].number, last);
            cr_assert_eq(rows[i].pid, boxes[2 * found + 1].pid);
            last = rows[i].number;
            found++;
        }
    } while (count == (int)TROUPE_COUNT(rows));
    cr_assert_eq(found, TROUPE_COUNT(boxes) / 2);
    stage_close(&stage);
}

static int join_many(struct troupe_actor *self, void *arg)
{
    char name[32];

    (void)arg;
    for (unsigned i = 0; i < 1000; i++) {
        snprintf(name, sizeof name, "%s %03u", i % 2 == 0 ? "even" : "odd", i);
        cr_assert_eq(troupe_group_join(self, name), TROUPE_OK);
    }
    return TROUPE_OK;
}

Test(group, an_actor_leaves_all_its_groups_when_it_ends, .timeout = 60)
{
    struct stage stage;
    troupe_pid one;
    static struct troupe_group rows[1001];

    stage_open(&stage, TROUPE_NO_THREADS);
    one = stage_spawn(&stage, &stage_puppet, NULL);
    (void)stage_do(&stage, one, join_many, NULL);
    cr_assert_eq(troupe_groups(stage.runtime, NULL, NULL, rows, 1001), 1000);
    cr_assert_eq(troupe_groups(stage.runtime, "odd ", NULL, rows, 1001), 500);
    cr_assert_str_eq(rows[0].name, "odd 001");
    cr_assert_eq(troupe_groups(stage.runtime, "odd ", "odd 993", rows, 1001), 3);
    stage_tell(&stage, one, finish, NULL);
    stage_run(&stage);
    cr_assert_eq(troupe_groups(stage.runtime, NULL, NULL, rows, 1001), 0);
    stage_close(&stage);
}

/* 3.11, 3.8: out of the group before the down notice is there. */
struct mourning {
    struct latch done;
    unsigned left;
    unsigned found; /* still a member when the notice came */
};

static int mortal_init(struct troupe_actor *self, void *state, const void *arg)
{
    (void)state;
    (void)arg;
    TROUPE_TRY(troupe_group_join(self, workers));
    return TROUPE_DONE;
}

static const struct troupe_behaviour mortal = {
    .name = "mortal", .init = mortal_init, .receive = member_receive, .state_size = 8};

static int bear(struct troupe_actor *self, struct mourning *mourning)
{
    troupe_ref ref;
    troupe_pid pid;
    struct troupe_spawn_options options = {.behaviour = &mortal, .monitor = &ref};

    if (mourning->left-- == 0) {
        latch_hit(&mourning->done);
        return TROUPE_DONE;
    }
    return troupe_spawn(self, &options, &pid);
}

static int mourner_init(struct troupe_actor *self, void *state, const void *arg)
{
    *(const void **)state = arg;
    return bear(self, *(struct mourning **)state);
}

static int mourner_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct mourning *mourning = *(struct mourning **)state;
    struct troupe_group_member row;

    if (!troupe_is(msg, &troupe_down)) {
        return TROUPE_EUNKNOWN;
    }
    mourning->found += troupe_group_members(troupe_runtime_of(self), workers, 0, &row, 1) != 0;
    return bear(self, mourning);
}

static const struct troupe_behaviour mourner = {.name = "mourner",
    .state_size = sizeof(void *),
    .init = mourner_init,
    .receive = mourner_receive};

Test(group, who_ends_is_no_member_when_that_is_told, .timeout = 120)
{
    struct stage stage;
    struct mourning mourning = {.done = LATCH_INIT, .left = 20000};

    stage_open(&stage, 2);
    (void)stage_spawn(&stage, &mourner, &mourning);
    cr_assert(latch_wait(&mourning.done, 1));
    cr_assert_eq(mourning.found, 0);
    stage_close(&stage);
}

/* ---- limits ---- */

static int reach_limits(struct troupe_actor *self, void *arg)
{
    struct stage *stage = arg;
    troupe_ref ref;
    troupe_ref other;

    cr_assert_eq(troupe_group_join(self, "a"), TROUPE_OK);
    cr_assert_eq(troupe_group_monitor(self, "b", &ref), TROUPE_OK);
    cr_assert_eq(troupe_group_join(self, "c"), TROUPE_ELIMIT);
    cr_assert_neq(strstr(stage->text[TROUPE_REPORT_LIMIT], "limits.groups"), NULL);
    cr_assert_eq(troupe_group_join(self, "b"), TROUPE_OK);
    cr_assert_eq(troupe_group_monitor(self, "a", &other), TROUPE_ELIMIT);
    cr_assert_neq(strstr(stage->text[TROUPE_REPORT_LIMIT], "limits.actor_groups"), NULL);
    cr_assert_eq(troupe_group_leave(self, "a"), TROUPE_OK);
    cr_assert_eq(troupe_group_monitor(self, "a", &other), TROUPE_OK);
    cr_assert_eq(troupe_group_demonitor(self, other), 1);
    return TROUPE_OK;
}

static int find_room(struct troupe_actor *self, void *arg)
{
    (void)arg;
    cr_assert_eq(troupe_group_join(self, "c"), TROUPE_OK, "the notice of \"a\" is through");
    return TROUPE_OK;
}

static int meet_full_group(struct troupe_actor *self, void *arg)
{
    struct stage *stage = arg;

    cr_assert_eq(troupe_group_join(self, "b"), TROUPE_ELIMIT);
    cr_assert_neq(strstr(stage->text[TROUPE_REPORT_LIMIT], "limits.group_members"), NULL);
    cr_assert_neq(strstr(stage->text[TROUPE_REPORT_LIMIT], "\"b\""), NULL);
    return TROUPE_OK;
}

Test(group, limits_hold_and_room_comes_back, .timeout = 60)
{
    struct stage stage;
    struct troupe_runtime_options options = {.workers = TROUPE_NO_THREADS,
        .limits = {.groups = 2, .group_members = 1, .actor_groups = 3}};
    troupe_pid one;

    stage_open_with(&stage, &options);
    one = stage_spawn(&stage, &stage_puppet, NULL);
    (void)stage_do(&stage, one, reach_limits, &stage);
    (void)stage_do(&stage, one, find_room, NULL);
    (void)stage_do(&stage, stage_spawn(&stage, &stage_puppet, NULL), meet_full_group, &stage);
    stage_close(&stage);
}

/* ---- an address that is kept ---- */

struct keeper {
    unsigned lives;
    unsigned notices; /* of the present life */
    unsigned changes; /* that there were to read */
    troupe_ref ref;
};

static int keeper_init(struct troupe_actor *self, void *state, const void *arg)
{
    struct keeper *keeper = *(struct keeper *const *)arg;

    *(struct keeper **)state = keeper;
    keeper->notices = 0;
    if (keeper->lives++ == 0) {
        TROUPE_TRY(troupe_group_monitor(self, "watched", &keeper->ref));
        TROUPE_TRY(troupe_group_join(self, workers));
    }
    return troupe_group_join(self, workers);
}

static int fail_now(struct troupe_actor *self, void *arg)
{
    (void)arg;
    return troupe_fail(self, TROUPE_EPROTO, "on purpose");
}

static int keeper_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct keeper *keeper = *(struct keeper **)state;
    struct troupe_group_change change;
    int status;

    if (stage_is_job(self, msg, &status)) {
        return status;
    }
    if (troupe_is(msg, &troupe_group_changed)) {
        keeper->notices++;
        cr_assert_eq(((const struct troupe_group_changed *)troupe_body(msg))->ref, keeper->ref);
        keeper->changes += (unsigned)troupe_group_changes(self, keeper->ref, &change, 1);
        return TROUPE_OK;
    }
    return TROUPE_EUNKNOWN;
}

static const struct troupe_behaviour keeper_behaviour = {.name = "keeper",
    .state_size = sizeof(struct keeper *),
    .init = keeper_init,
    .receive = keeper_receive};

static int forget_monitor(struct troupe_actor *self, void *arg)
{
    const struct keeper *keeper = arg;
    struct troupe_group_change change;

    cr_assert_eq(troupe_group_changes(self, keeper->ref, &change, 1), TROUPE_ENOENT);
    cr_assert_eq(troupe_group_demonitor(self, keeper->ref), 0);
    return TROUPE_OK;
}

Test(group, who_keeps_its_address_stays_a_member_and_its_monitors_end, .timeout = 60)
{
    struct stage stage;
    struct keeper keeper = {0};
    struct keeper *arg = &keeper;
    struct box box = {0};
    struct troupe_child_spec child = {.id = "keeper",
        .behaviour = &keeper_behaviour,
        .arg = &arg,
        .arg_size = sizeof arg,
        .keep_mailbox = true};
    struct troupe_supervisor_spec spec = {.name = "top", .children = &child, .child_count = 1};
    troupe_pid supervisor;
    troupe_pid pid;

    stage_open(&stage, 2);
    cr_assert_eq(troupe_supervisor_start(stage.runtime, &spec, 10000, &supervisor), TROUPE_OK);
    pid = troupe_runtime_whereis(stage.runtime, "top.keeper");
    stage_tell(&stage, pid, fail_now, NULL);
    (void)stage_do(&stage, pid, forget_monitor, &keeper);
    cr_assert_eq(keeper.lives, 2);
    cr_assert_eq(member_count(&stage, workers), 1);
    spawn_members(&stage, &member, "watched", &box, 1);
    (void)stage_do(&stage, pid, forget_monitor, &keeper);
    cr_assert_eq(keeper.notices, 0, "the monitor ended with the life that made it");
    /* Twice in the first life, once in the second: that counts once. */
    cr_assert_eq(stage_do(&stage, pid, leave_group, workers), TROUPE_OK);
    cr_assert_eq(member_count(&stage, workers), 0);
    stage_close(&stage);
}

/* ---- made as members ---- */

Test(group, who_is_spawned_into_a_group_is_there_before_its_init, .timeout = 60)
{
    struct stage stage;
    struct box box = {0};
    struct troupe_spawn_options options = {.behaviour = &member, .arg = &box, .group = workers};
    uint64_t body = 7;
    struct troupe_message *msg;
    troupe_pid pid;

    stage_open(&stage, TROUPE_NO_THREADS);
    cr_assert_eq(troupe_runtime_spawn(stage.runtime, &options, &box.pid), TROUPE_OK);
    cr_assert_eq(troupe_group_pick(stage.runtime, workers, TROUPE_RANDOM, 0, &pid), TROUPE_OK);
    cr_assert_eq(pid, box.pid);
    msg = stage_message(&stage, &number, &body);
    cr_assert_eq(troupe_group_try_send(stage.runtime, workers, TROUPE_RANDOM, 0, msg), TROUPE_OK);
    stage_run(&stage);
    cr_assert_eq(box.last, 7);
    cr_assert_eq(stage_do(&stage, box.pid, leave_group, workers), TROUPE_OK);
    cr_assert_eq(member_count(&stage, workers), 0);
    stage_close(&stage);
}

struct wish {
    struct box box;
    troupe_ref ref;
    troupe_pid pid;
};

static int spawn_tied(struct troupe_actor *self, void *arg)
{
    struct wish *wish = arg;
    struct troupe_spawn_options options = {.behaviour = &member,
        .arg = &wish->box,
        .name = "tied",
        .link = true,
        .monitor = &wish->ref,
        .group = workers};

    cr_assert_eq(troupe_spawn(self, &options, &wish->pid), TROUPE_ELIMIT);
    cr_assert_eq(wish->ref, 77, "untouched");
    cr_assert_eq(wish->pid, 78, "untouched");
    return TROUPE_OK;
}

Test(group, a_spawn_that_finds_no_room_in_its_group_leaves_nothing, .timeout = 60)
{
    struct stage stage;
    struct troupe_runtime_options options = {
        .workers = TROUPE_NO_THREADS, .limits.group_members = 1};
    struct wish wish = {.ref = 77, .pid = 78};
    struct box box = {0};
    troupe_pid spawner;

    stage_open_with(&stage, &options);
    spawn_members(&stage, &member, workers, &box, 1);
    spawner = stage_spawn(&stage, &stage_puppet, NULL);
    for (unsigned i = 0; i < 3; i++) {
        (void)stage_do(&stage, spawner, spawn_tied, &wish);
        stage_run(&stage);
        cr_assert_eq(member_count(&stage, workers), 1);
        cr_assert_eq(troupe_runtime_whereis(stage.runtime, "tied"), TROUPE_NOBODY);
        cr_assert(troupe_is_alive(stage.runtime, spawner), "no link was left");
    }
    stage_close(&stage);
}

#define CREW 4

static int crew_member_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    (void)state;
    if (troupe_is(msg, &question)) {
        troupe_pid pid = troupe_self(self);

        return troupe_reply(self, msg, &number, &pid);
    }
    return troupe_is(msg, &number) ? troupe_fail(self, TROUPE_EPROTO, "as it was told")
                                   : TROUPE_EUNKNOWN;
}

static const struct troupe_behaviour crew_member = {
    .name = "crew member",
    .receive = crew_member_receive,
    .capacity = STAGE_ROOM,
};

/* Has one of the crew fail, unless nobody is there. */
static int fail_one(struct stage *stage)
{
    uint64_t body = 1;
    struct troupe_message *msg = stage_message(stage, &number, &body);
    int error = troupe_group_try_send(stage->runtime, workers, TROUPE_ROUND_ROBIN, 0, msg);

    if (error < 0) {
        troupe_message_destroy(msg);
    }
    return error;
}

/* Supervised children of one group are a pool: one that fails is replaced, and jobs go to the others meanwhile. */
static void keep_whole(bool keep_mailbox)
{
    static const char *const ids[CREW] = {"0", "1", "2", "3"};
    struct troupe_child_spec children[CREW];
    struct troupe_supervisor_spec spec = {
        .name = "crew", .children = children, .child_count = CREW, .intensity = 1000};
    struct stage stage;
    troupe_pid supervisor;

    for (unsigned i = 0; i < CREW; i++) {
        children[i] = (struct troupe_child_spec){.id = ids[i],
            .behaviour = &crew_member,
            .keep_mailbox = keep_mailbox,
            .group = workers};
    }
    stage_open(&stage, 2);
    cr_assert_eq(troupe_supervisor_start(stage.runtime, &spec, 10000, &supervisor), TROUPE_OK);
    cr_assert_eq(member_count(&stage, workers), CREW);
    for (unsigned i = 0; i < 200; i++) {
        int error;

        /* Without addresses that last all four may be between two lives. */
        STAGE_AWAIT(&stage, (error = fail_one(&stage)) != TROUPE_ENOENT || keep_mailbox);
        cr_assert_eq(error, TROUPE_OK, "%s", troupe_strerror(error));
    }
    STAGE_AWAIT(&stage, stage_books(&stage).queued == 0);
    STAGE_AWAIT(&stage, member_count(&stage, workers) == CREW);
    cr_assert_gt(stage_books(&stage).restarts, 0);
    stage_close(&stage);
}

Test(group, supervised_children_of_one_group_are_a_pool_that_stays_whole, .timeout = 120)
{
    keep_whole(false);
    keep_whole(true);
}

Test(group, a_child_spec_with_a_wrong_group_is_told_what_is_wrong, .timeout = 60)
{
    struct troupe_child_spec child = {.id = "a", .behaviour = &crew_member, .group = ""};
    struct troupe_supervisor_spec spec = {.children = &child, .child_count = 1};
    const char *text = NULL;

    cr_assert_eq(troupe_supervisor_check(&spec, &text), TROUPE_EINVAL);
    cr_assert_str_eq(text, "group: empty, or longer than TROUPE_NAME_MAX");
}

/* ---- watching ---- */

#define SEEN_MAX 64

/* A watcher keeps the set of members as it is told. */
struct watcher {
    const char *group;
    troupe_ref ref;
    uint32_t piece; /* changes read at once; 0: reads nothing */
    bool joins;     /* itself, after it has read what its first notice is about */
    bool rereads;   /* after that */
    _Atomic unsigned notices;
    unsigned resets;
    unsigned crimes; /* changes that do not fit what was told before */
    unsigned count;
    troupe_pid seen[SEEN_MAX];
};

static int find_seen(const struct watcher *watcher, troupe_pid pid)
{
    for (unsigned i = 0; i < watcher->count; i++) {
        if (watcher->seen[i] == pid) {
            return (int)i;
        }
    }
    return -1;
}

static void apply(struct watcher *watcher, const struct troupe_group_change *change)
{
    int at = find_seen(watcher, change->pid);

    switch (change->event) {
    case TROUPE_GROUP_RESET:
        watcher->crimes += change->pid != TROUPE_NOBODY;
        watcher->resets++;
        watcher->count = 0;
        break;
    case TROUPE_GROUP_JOINED:
        watcher->crimes += at >= 0 || watcher->count == SEEN_MAX;
        watcher->seen[watcher->count++ % SEEN_MAX] = change->pid;
        break;
    default:
        watcher->crimes += at < 0;
        if (at >= 0) {
            watcher->seen[at] = watcher->seen[--watcher->count];
        }
    }
}

static int read_changes(struct troupe_actor *self, void *arg)
{
    struct watcher *watcher = arg;
    struct troupe_group_change changes[SEEN_MAX];
    uint32_t piece = watcher->piece > 0 ? watcher->piece : SEEN_MAX;
    int count;

    do {
        count = troupe_group_changes(self, watcher->ref, changes, piece);
        cr_assert_geq(count, 0);
        for (int i = 0; i < count; i++) {
            apply(watcher, &changes[i]);
        }
    } while (count == (int)piece);
    return TROUPE_OK;
}

static int watcher_init(struct troupe_actor *self, void *state, const void *arg)
{
    struct watcher *watcher = (struct watcher *)(uintptr_t)arg;

    *(struct watcher **)state = watcher;
    return troupe_group_monitor(self, watcher->group, &watcher->ref);
}

static int watcher_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct watcher *watcher = *(struct watcher **)state;
    int status;

    if (stage_is_job(self, msg, &status)) {
        return status;
    }
    if (!troupe_is(msg, &troupe_group_changed)) {
        return TROUPE_EUNKNOWN;
    }
    if (watcher->piece > 0) {
        (void)read_changes(self, watcher);
    }
    if (++watcher->notices == 1 && watcher->joins) {
        TROUPE_TRY(troupe_group_join(self, watcher->group));
        return watcher->rereads ? read_changes(self, watcher) : TROUPE_OK;
    }
    return TROUPE_OK;
}

static const struct troupe_behaviour watcher_behaviour = {.name = "watcher",
    .state_size = sizeof(struct watcher *),
    .init = watcher_init,
    .receive = watcher_receive};

Test(group, a_watcher_is_told_of_all_members_and_then_of_changes, .timeout = 60)
{
    for (uint32_t piece = 1; piece < 12; piece++) {
        struct stage stage;
        struct box boxes[10] = {0};
        struct watcher watcher = {.group = workers, .piece = piece};

        stage_open(&stage, TROUPE_NO_THREADS);
        spawn_members(&stage, &member, workers, boxes, 8);
        (void)stage_spawn(&stage, &watcher_behaviour, &watcher);
        stage_run(&stage);
        cr_assert_eq(watcher.count, 8);
        cr_assert_eq(watcher.notices, 1);
        (void)stage_do(&stage, boxes[3].pid, leave_group, workers);
        cr_assert_lt(find_seen(&watcher, boxes[3].pid), 0);
        spawn_members(&stage, &member, workers, &boxes[8], 2);
        cr_assert_eq(watcher.count, 9);
        stage_tell(&stage, boxes[8].pid, finish, NULL);
        stage_run(&stage);
        cr_assert_eq(watcher.count, 8);
        (void)stage_do(&stage, boxes[3].pid, join_group, workers);
        cr_assert_geq(find_seen(&watcher, boxes[3].pid), 0);
        cr_assert_eq(watcher.notices, 6);
        cr_assert_eq(watcher.crimes, 0);
        cr_assert_eq(watcher.resets, 0);
        stage_close(&stage);
    }
}

Test(group, a_group_that_is_not_there_can_be_watched, .timeout = 60)
{
    struct stage stage;
    struct box box = {0};
    struct watcher watcher = {.group = workers, .piece = 4};

    stage_open(&stage, TROUPE_NO_THREADS);
    (void)stage_spawn(&stage, &watcher_behaviour, &watcher);
    stage_run(&stage);
    cr_assert_eq(watcher.notices, 1);
    cr_assert_eq(watcher.count, 0);
    spawn_members(&stage, &member, workers, &box, 1);
    cr_assert_eq(watcher.count, 1);
    stage_tell(&stage, box.pid, finish, NULL);
    stage_run(&stage);
    cr_assert_eq(watcher.count, 0);
    stage_close(&stage);
}

static int come_and_go(struct troupe_actor *self, void *arg)
{
    for (unsigned i = *(unsigned *)arg; i > 0; i--) {
        cr_assert_eq(troupe_group_join(self, workers), TROUPE_OK);
        cr_assert_eq(troupe_group_leave(self, workers), TROUPE_OK);
    }
    return TROUPE_OK;
}

/* The notice is being handled, so it cannot be sent: it is when that is over. */
Test(group, what_changes_while_a_notice_is_handled_has_a_notice_of_its_own, .timeout = 60)
{
    struct stage stage;
    struct watcher watcher = {.group = workers, .piece = 4, .joins = true};

    stage_open(&stage, TROUPE_NO_THREADS);
    (void)stage_spawn(&stage, &watcher_behaviour, &watcher);
    stage_run(&stage);
    cr_assert_eq(watcher.notices, 2);
    cr_assert_eq(watcher.count, 1);
    stage_close(&stage);
}

Test(group, what_was_read_while_a_notice_is_handled_has_none_of_its_own, .timeout = 60)
{
    struct stage stage;
    struct watcher watcher = {.group = workers, .piece = 4, .joins = true, .rereads = true};

    stage_open(&stage, TROUPE_NO_THREADS);
    (void)stage_spawn(&stage, &watcher_behaviour, &watcher);
    stage_run(&stage);
    cr_assert_eq(watcher.notices, 1);
    cr_assert_eq(watcher.count, 1);
    stage_close(&stage);
}

Test(group, a_watcher_that_is_slow_has_one_notice_and_begins_anew, .timeout = 60)
{
    struct stage stage;
    struct box boxes[3] = {0};
    struct watcher watcher = {.group = workers};
    unsigned rounds = 1000;
    troupe_pid pid;

    stage_open(&stage, TROUPE_NO_THREADS);
    spawn_members(&stage, &member, workers, boxes, 3);
    pid = stage_spawn(&stage, &watcher_behaviour, &watcher);
    stage_run(&stage);
    (void)stage_do(&stage, pid, read_changes, &watcher);
    cr_assert_eq(watcher.count, 3);
    (void)stage_do(&stage, boxes[0].pid, leave_group, workers);
    cr_assert_eq(watcher.notices, 2);
    /* In one turn of another. */
    (void)stage_do(&stage, stage_spawn(&stage, &stage_puppet, NULL), come_and_go, &rounds);
    cr_assert_eq(watcher.notices, 3);
    cr_assert_eq(watcher.resets, 0);
    (void)stage_do(&stage, pid, read_changes, &watcher);
    cr_assert_eq(watcher.resets, 1);
    cr_assert_eq(watcher.count, 2);
    cr_assert_eq(watcher.crimes, 0);
    rounds = 256;
    (void)stage_do(&stage, stage_spawn(&stage, &stage_puppet, NULL), come_and_go, &rounds);
    (void)stage_do(&stage, pid, read_changes, &watcher);
    cr_assert_eq(watcher.resets, 1, "so many are remembered");
    cr_assert_eq(watcher.count, 2);
    (void)stage_do(&stage, boxes[1].pid, leave_group, workers);
    (void)stage_do(&stage, stage_spawn(&stage, &stage_puppet, NULL), come_and_go, &rounds);
    (void)stage_do(&stage, pid, read_changes, &watcher);
    cr_assert_eq(watcher.resets, 2, "and not one more");
    cr_assert_eq(watcher.count, 1);
    stage_close(&stage);
}

static int end_monitor(struct troupe_actor *self, void *arg)
{
    struct watcher *watcher = arg;

    /* So that a notice is queued. */
    cr_assert_eq(troupe_group_join(self, workers), TROUPE_OK);
    cr_assert_eq(troupe_group_demonitor(self, watcher->ref), 1);
    cr_assert_eq(troupe_group_demonitor(self, watcher->ref), 0);
    return TROUPE_OK;
}

Test(group, after_demonitor_no_notice_is_handled, .timeout = 60)
{
    struct stage stage;
    struct watcher watcher = {.group = workers, .piece = 1};
    troupe_pid pid;

    stage_open(&stage, TROUPE_NO_THREADS);
    pid = stage_spawn(&stage, &watcher_behaviour, &watcher);
    stage_run(&stage);
    cr_assert_eq(watcher.notices, 1);
    (void)stage_do(&stage, pid, end_monitor, &watcher);
    (void)stage_do(&stage, pid, leave_group, workers);
    stage_run(&stage);
    cr_assert_eq(watcher.notices, 1);
    stage_close(&stage);
}

/* ---- watching while many come and go ---- */

#define DANCERS 12
#define WATCHERS 3

struct dance {
    struct test_random random;
    struct latch done;
};

static int dance(struct troupe_actor *self, void *arg)
{
    struct dance *steps = arg;

    for (unsigned i = 0; i < 200; i++) {
        bool join = test_below(&steps->random, 2) == 0;
        int error = join ? troupe_group_join(self, workers) : troupe_group_leave(self, workers);

        cr_assert(error == TROUPE_OK || (!join && error == TROUPE_ENOENT));
    }
    return TROUPE_OK;
}

static bool agrees(struct stage *stage, const struct watcher *watcher)
{
    struct troupe_group_member rows[SEEN_MAX];
    int count = troupe_group_members(stage->runtime, workers, 0, rows, SEEN_MAX);

    for (int i = 0; i < count; i++) {
        if (find_seen(watcher, rows[i].pid) < 0) {
            return false;
        }
    }
    return count == (int)watcher->count;
}

Test(group, what_watchers_were_told_of_is_what_is_there, .timeout = 120)
{
    struct stage stage;
    uint64_t seed = test_seed("group");
    static struct dance dances[DANCERS];
    static struct watcher watchers[WATCHERS];
    troupe_pid dancers[DANCERS];
    troupe_pid pids[WATCHERS];

    stage_open(&stage, 3);
    for (unsigned i = 0; i < DANCERS; i++) {
        dances[i] = (struct dance){test_random_of(seed + i), LATCH_INIT};
        dancers[i] = stage_spawn(&stage, &stage_puppet, NULL);
    }
    for (unsigned i = 0; i < WATCHERS; i++) {
        watchers[i] = (struct watcher){.group = workers, .piece = 1 + i * 5};
        pids[i] = stage_spawn(&stage, &watcher_behaviour, &watchers[i]);
    }
    for (unsigned round = 0; round < 30; round++) {
        unsigned dying = round % DANCERS;

        for (unsigned i = 0; i < DANCERS; i++) {
            struct stage_job job = {dance, &dances[i], NULL, &dances[i].done};

            stage_send(&stage, dancers[i], &stage_job, &job);
        }
        stage_tell(&stage, dancers[dying], finish, NULL);
        for (unsigned i = 0; i < DANCERS; i++) {
            cr_assert(latch_wait(&dances[i].done, round + 1));
        }
        cr_assert_eq(troupe_join(stage.runtime, dancers[dying], TROUPE_FOREVER, NULL), TROUPE_OK);
        dancers[dying] = stage_spawn(&stage, &stage_puppet, NULL);
        for (unsigned i = 0; i < WATCHERS; i++) {
            STAGE_AWAIT(&stage, (stage_do(&stage, pids[i], read_changes, &watchers[i]), true) &&
                                    agrees(&stage, &watchers[i]));
            cr_assert_eq(watchers[i].crimes, 0);
        }
    }
    stage_close(&stage);
}

/* ---- to one ---- */

struct sending {
    enum troupe_route route;
    uint64_t key;
    unsigned count;
    int result; /* of the last one */
};

static int send_some(struct troupe_actor *self, void *arg)
{
    struct sending *sending = arg;

    sending->result = TROUPE_OK;
    for (uint64_t i = 0; i < sending->count && sending->result == TROUPE_OK; i++) {
        sending->result =
            troupe_group_send(self, workers, sending->route, sending->key, &number, &i);
    }
    return TROUPE_OK;
}

Test(group, round_robin_gives_each_member_as_many, .timeout = 60)
{
    struct stage stage;
    struct box boxes[5] = {0};
    struct sending sending = {.route = TROUPE_ROUND_ROBIN, .count = 50};

    stage_open(&stage, TROUPE_NO_THREADS);
    spawn_members(&stage, &member, workers, boxes, 5);
    (void)stage_do(&stage, stage_spawn(&stage, &stage_puppet, NULL), send_some, &sending);
    stage_run(&stage);
    for (unsigned i = 0; i < 5; i++) {
        cr_assert_eq(boxes[i].got, 10);
    }
    stage_close(&stage);
}

Test(group, at_random_each_member_gets_some, .timeout = 60)
{
    struct stage stage;
    struct box boxes[8] = {0};
    struct sending sending = {.route = TROUPE_RANDOM, .count = 800};
    struct troupe_runtime_options options = {.workers = TROUPE_NO_THREADS, .seed = 5};

    stage_open_with(&stage, &options);
    spawn_members(&stage, &member, workers, boxes, 8);
    (void)stage_do(&stage, boxes[2].pid, leave_group, workers);
    (void)stage_do(&stage, stage_spawn(&stage, &stage_puppet, NULL), send_some, &sending);
    stage_run(&stage);
    for (unsigned i = 0; i < 8; i++) {
        cr_assert_eq(boxes[i].got == 0, i == 2);
        cr_assert_lt(boxes[i].got, 200);
    }
    stage_close(&stage);
}

static int compare_loads(struct troupe_actor *self, void *arg)
{
    struct box *boxes = arg;
    uint64_t body = 1;
    unsigned longer = 0;

    /* Nobody else runs until we return: what we send stays queued. */
    for (unsigned i = 0; i < 500; i++) {
        cr_assert_eq(troupe_send(self, boxes[0].pid, &number, &body), TROUPE_OK);
    }
    for (unsigned i = 0; i < 400; i++) {
        troupe_pid pid;

        cr_assert_eq(
            troupe_group_pick(troupe_runtime_of(self), workers, TROUPE_LEAST_LOADED, 0, &pid),
            TROUPE_OK);
        longer += pid == boxes[0].pid;
    }
    /* Only when both throws hit it: one time in four. */
    cr_assert_gt(longer, 50);
    cr_assert_lt(longer, 150);
    return TROUPE_OK;
}

Test(group, of_two_the_one_with_fewer_messages_is_taken, .timeout = 60)
{
    struct stage stage;
    struct box boxes[2] = {0};
    struct troupe_runtime_options options = {.workers = TROUPE_NO_THREADS, .seed = 3};

    stage_open_with(&stage, &options);
    spawn_members(&stage, &member, workers, boxes, 2);
    (void)stage_do(&stage, stage_spawn(&stage, &stage_puppet, NULL), compare_loads, boxes);
    stage_close(&stage);
}

#define KEYS 4000

static void pick_all(struct stage *stage, troupe_pid *out_pids)
{
    for (uint64_t key = 0; key < KEYS; key++) {
        cr_assert_eq(troupe_group_pick(stage->runtime, workers, TROUPE_BY_KEY, key, &out_pids[key]),
            TROUPE_OK);
    }
}

Test(group, when_one_leaves_only_its_keys_move_and_to_all_others, .timeout = 60)
{
    struct stage stage;
    struct box boxes[8] = {0};
    static troupe_pid before[KEYS];
    static troupe_pid after[KEYS];
    unsigned moved[8] = {0};
    unsigned had = 0;

    stage_open(&stage, TROUPE_NO_THREADS);
    spawn_members(&stage, &member, workers, boxes, 8);
    pick_all(&stage, before);
    pick_all(&stage, after);
    cr_assert_arr_eq(before, after, sizeof before);
    (void)stage_do(&stage, boxes[5].pid, leave_group, workers);
    pick_all(&stage, after);
    for (unsigned key = 0; key < KEYS; key++) {
        if (before[key] != boxes[5].pid) {
            cr_assert_eq(after[key], before[key]);
            continue;
        }
        had++;
        for (unsigned i = 0; i < 8; i++) {
            moved[i] += after[key] == boxes[i].pid;
        }
    }
    cr_assert_gt(had, KEYS / 16);
    cr_assert_lt(had, KEYS / 4);
    for (unsigned i = 0; i < 8; i++) {
        cr_assert_eq(moved[i] == 0, i == 5);
    }
    (void)stage_do(&stage, boxes[5].pid, join_group, workers);
    pick_all(&stage, after);
    cr_assert_arr_eq(before, after, sizeof before, "and they come back");
    stage_close(&stage);
}

Test(group, a_key_from_bytes_is_the_same_in_every_run, .timeout = 60)
{
    cr_assert_eq(troupe_key("", 0), troupe_key(NULL, 0));
    cr_assert_neq(troupe_key("a", 1), troupe_key("b", 1));
    cr_assert_neq(troupe_key("a", 1), troupe_key("a", 2));
    cr_assert_eq(troupe_key("troupe", 6), UINT64_C(0xf53eb1f6af92e5bb));
}

static int take_many_names(struct troupe_actor *self, void *arg)
{
    char name[32];

    (void)arg;
    for (unsigned i = 0; i < 20000; i++) {
        snprintf(name, sizeof name, "name %u", i);
        cr_assert_eq(troupe_register(self, name), TROUPE_OK);
    }
    return TROUPE_OK;
}

/* One that is dying, its pid withdrawn and its seat not yet, is passed over. */
Test(group, a_message_goes_to_nobody_only_if_nobody_is_there, .timeout = 60)
{
    static const enum troupe_route routes[] = {
        TROUPE_ROUND_ROBIN, TROUPE_RANDOM, TROUPE_LEAST_LOADED, TROUPE_BY_KEY};
    struct stage stage;
    struct box boxes[2] = {0};
    struct troupe_group_sent sent;
    uint64_t body = 1;
    troupe_pid pid;
    int wait_ms;

    stage_open(&stage, TROUPE_NO_THREADS);
    spawn_members(&stage, &member, workers, boxes, 2);
    (void)stage_do(&stage, boxes[0].pid, take_many_names, NULL);
    stage_tell(&stage, boxes[0].pid, finish, NULL);
    /* A few slices: it is busy with its names. */
    cr_assert_eq(troupe_runtime_turn(stage.runtime, 0, &wait_ms), TROUPE_OK);
    cr_assert_not(troupe_is_alive(stage.runtime, boxes[0].pid));
    cr_assert_eq(member_count(&stage, workers), 2, "still in its seat");
    for (uint64_t i = 0; i < 400; i++) {
        cr_assert_eq(troupe_group_pick(stage.runtime, workers, routes[i % 4], i, &pid), TROUPE_OK);
        cr_assert_eq(pid, boxes[1].pid);
    }
    cr_assert_eq(troupe_group_send_all(stage.runtime, workers, &number, &body, &sent), TROUPE_OK);
    cr_assert_eq(sent.sent, 1);
    cr_assert_eq(sent.gone, 1);
    stage_run(&stage);
    cr_assert_eq(member_count(&stage, workers), 1);
    stage_close(&stage);
}

Test(group, members_without_room_are_passed_over_but_not_by_key, .timeout = 60)
{
    struct stage stage;
    struct box boxes[3] = {0};
    struct sending sending = {.route = TROUPE_ROUND_ROBIN, .count = 7};
    troupe_pid sender;

    stage_open(&stage, TROUPE_NO_THREADS);
    spawn_members(&stage, &narrow_member, workers, boxes, 3);
    sender = stage_spawn(&stage, &stage_puppet, NULL);
    (void)stage_do(&stage, sender, send_some, &sending);
    cr_assert_eq(sending.result, TROUPE_EFULL, "three times two, and one more");
    stage_run(&stage);
    cr_assert_eq(boxes[0].got + boxes[1].got + boxes[2].got, 6);
    sending = (struct sending){.route = TROUPE_LEAST_LOADED, .count = 6};
    (void)stage_do(&stage, sender, send_some, &sending);
    cr_assert_eq(sending.result, TROUPE_OK);
    stage_run(&stage);
    sending = (struct sending){.route = TROUPE_BY_KEY, .key = 9, .count = 3};
    (void)stage_do(&stage, sender, send_some, &sending);
    cr_assert_eq(sending.result, TROUPE_EFULL, "two are all that one takes");
    stage_run(&stage);
    stage_close(&stage);
}

static int on_answer(
    struct troupe_actor *self, void *state, void *context, int status, struct troupe_message *reply)
{
    (void)self;
    (void)state;
    cr_assert_eq(status, TROUPE_OK);
    *(uint64_t *)context = *(const uint64_t *)troupe_body(reply);
    return TROUPE_OK;
}

static int ask_group(struct troupe_actor *self, void *arg)
{
    uint64_t body = 1;

    return troupe_group_request(
        self, workers, TROUPE_BY_KEY, 7, &question, &body, 1000, on_answer, arg);
}

Test(group, one_member_is_asked_and_answers, .timeout = 60)
{
    struct stage stage;
    struct box boxes[3] = {0};
    troupe_pid pid;
    uint64_t answer = 0;

    stage_open(&stage, TROUPE_NO_THREADS);
    spawn_members(&stage, &member, workers, boxes, 3);
    cr_assert_eq(troupe_group_pick(stage.runtime, workers, TROUPE_BY_KEY, 7, &pid), TROUPE_OK);
    cr_assert_eq(
        stage_do(&stage, stage_spawn(&stage, &stage_puppet, NULL), ask_group, &answer), TROUPE_OK);
    stage_run(&stage);
    cr_assert_eq(answer, pid);
    stage_close(&stage);
}

Test(group, a_message_is_moved_to_a_member_from_any_thread, .timeout = 60)
{
    struct stage stage;
    struct box box = {0};
    uint64_t body = 42;
    struct troupe_message *msg;

    stage_open(&stage, TROUPE_NO_THREADS);
    msg = stage_message(&stage, &number, &body);
    cr_assert_eq(troupe_group_try_send(stage.runtime, workers, TROUPE_RANDOM, 0, msg),
        TROUPE_ENOENT, "it is still ours");
    spawn_members(&stage, &member, workers, &box, 1);
    cr_assert_eq(troupe_group_try_send(stage.runtime, workers, TROUPE_RANDOM, 0, msg), TROUPE_OK);
    stage_run(&stage);
    cr_assert_eq(box.last, 42);
    stage_close(&stage);
}

/* ---- to all ---- */

Test(group, all_members_get_one_each_and_those_without_room_are_counted, .timeout = 60)
{
    struct stage stage;
    struct box wide[3] = {0};
    struct box narrow = {0};
    struct troupe_group_sent sent;
    uint64_t body = 5;

    stage_open(&stage, TROUPE_NO_THREADS);
    spawn_members(&stage, &member, workers, wide, 3);
    spawn_members(&stage, &narrow_member, workers, &narrow, 1);
    (void)stage_do(&stage, wide[1].pid, join_group, workers);
    for (unsigned i = 0; i < 3; i++) {
        cr_assert_eq(
            troupe_group_send_all(stage.runtime, workers, &number, &body, &sent), TROUPE_OK);
        cr_assert_eq(sent.sent, i < 2 ? 4 : 3);
        cr_assert_eq(sent.full, i < 2 ? 0 : 1);
        cr_assert_eq(sent.gone + sent.failed, 0);
    }
    stage_run(&stage);
    cr_assert_eq(wide[0].got, 3);
    cr_assert_eq(wide[1].got, 3, "who joined twice is served once");
    cr_assert_eq(narrow.got, 2);
    cr_assert_eq(narrow.last, 5);
    stage_close(&stage);
}

Test(group, bytes_to_all_are_shared, .timeout = 60)
{
    struct stage stage;
    struct box boxes[5] = {0};
    struct troupe_group_sent sent;
    struct troupe_buffer *buffer;
    uint64_t held;
    static const struct troupe_type owning =
        TROUPE_TYPE_DESTROY(uint64_t, (troupe_body_destroy_fn)(uintptr_t)1);
    uint64_t body = 1;

    stage_open(&stage, TROUPE_NO_THREADS);
    spawn_members(&stage, &member, workers, boxes, 4);
    spawn_members(&stage, &narrow_member, workers, &boxes[4], 1);
    cr_assert_eq(troupe_buffer_create(stage.runtime, 100000, &buffer), TROUPE_OK);
    for (unsigned i = 0; i < 3; i++) {
        cr_assert_eq(
            troupe_group_send_all(stage.runtime, workers, &troupe_buffer_message, &buffer, &sent),
            TROUPE_OK);
    }
    cr_assert_eq(sent.sent, 4);
    cr_assert_eq(sent.full, 1);
    stage_run(&stage);
    for (unsigned i = 0; i < 5; i++) {
        cr_assert_eq(boxes[i].got, i < 4 ? 3 : 2);
        cr_assert_eq(boxes[i].data, troupe_buffer_data(buffer));
    }
    held = stage.memory.bytes;
    troupe_buffer_release(buffer);
    cr_assert_leq(stage.memory.bytes + 100000, held, "ours was the last reference to it");
    cr_assert_eq(troupe_group_send_all(stage.runtime, workers, &owning, &body, &sent),
        TROUPE_EINVAL, "what it refers to cannot be given to many");
    stage_close(&stage);
}

/* ---- sending while members end ---- */

struct storm {
    struct stage *stage;
    _Atomic bool over;
    _Atomic unsigned lost;    /* sends that found nobody */
    _Atomic unsigned partial; /* sends to all that left the one out who stays */
};

static void *send_to_group(void *arg)
{
    static const enum troupe_route routes[] = {
        TROUPE_ROUND_ROBIN, TROUPE_RANDOM, TROUPE_LEAST_LOADED, TROUPE_BY_KEY};
    struct storm *storm = arg;
    struct troupe_group_sent sent;

    for (uint64_t i = 0; !storm->over; i++) {
        struct troupe_message *msg = stage_message(storm->stage, &number, &i);
        int error = troupe_group_try_send(storm->stage->runtime, workers, routes[i % 4], i, msg);

        if (error < 0) {
            troupe_message_destroy(msg);
            storm->lost += error != TROUPE_EFULL;
        }
        if (i % 64 == 0) {
            error = troupe_group_send_all(storm->stage->runtime, workers, &number, &i, &sent);
            storm->partial += error != TROUPE_OK || sent.sent + sent.full == 0;
        }
    }
    return NULL;
}

static int short_lived_init(struct troupe_actor *self, void *state, const void *arg)
{
    *(const void **)state = arg;
    return troupe_group_join(self, workers);
}

static int short_lived_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    (void)self;
    (void)state;
    (void)msg;
    return TROUPE_DONE;
}

static const struct troupe_behaviour short_lived = {.name = "short-lived",
    .state_size = sizeof(void *),
    .init = short_lived_init,
    .receive = short_lived_receive};

Test(group, while_one_member_stays_no_message_finds_nobody, .timeout = 120)
{
    struct stage stage;
    static struct box box;
    static struct storm storm;
    pthread_t threads[2];

    storm.stage = &stage;
    stage_open(&stage, 2);
    spawn_members(&stage, &member, workers, &box, 1);
    for (unsigned i = 0; i < 2; i++) {
        pthread_create(&threads[i], NULL, send_to_group, &storm);
    }
    for (unsigned i = 0; i < 5000; i++) {
        (void)stage_spawn(&stage, &short_lived, NULL);
    }
    STAGE_AWAIT(&stage, box.got > 100);
    storm.over = true;
    for (unsigned i = 0; i < 2; i++) {
        pthread_join(threads[i], NULL);
    }
    cr_assert_eq(storm.lost, 0);
    cr_assert_eq(storm.partial, 0);
    stage_close(&stage);
}
