/* SPDX-License-Identifier: MIT */
/* scenario_group.c - groups: members, watchers, sends to one and to all. */
#include "scenario.h"

#include <stdio.h>

static const struct troupe_type job = TROUPE_TYPE(uint64_t);

/* What a send to a group may give: without a join that failed nobody may be there. */
#define MAY_GROUP (MAY(TROUPE_ENOMEM) | MAY(TROUPE_ENOENT))

struct crew {
    struct scene *scene;
    unsigned got;    /* by all members */
    unsigned joined; /* members that could */
    unsigned answers;
    troupe_ref ref;
    int count; /* of members, as the watcher was told */
};

static int on_job(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct crew *crew = scene_arg(state);
    uint64_t body = 1;

    crew->got++;
    if (troupe_is_request(msg)) {
        (void)WENT(troupe_reply(self, msg, &job, &body), MAY(TROUPE_ENOMEM));
        return TROUPE_OK;
    }
    /* One job in ten is the last one. */
    return troupe_is(msg, &job) && *(const uint64_t *)troupe_body(msg) % 10 == 9 ? TROUPE_DONE
                                                                                 : TROUPE_OK;
}

static int take_part(struct troupe_actor *self, void *arg)
{
    struct crew *crew = arg;

    if (!WENT(troupe_group_join(self, "crew"), MAY(TROUPE_ENOMEM))) {
        return TROUPE_DONE;
    }
    crew->joined++;
    HOLDS(troupe_group_join(self, "crew") == TROUPE_OK);
    HOLDS(troupe_group_leave(self, "crew") == TROUPE_OK);
    return TROUPE_OK;
}

static const struct troupe_behaviour idler;

/* With all that a newborn may have. */
static int bear_member(struct troupe_actor *self, void *arg)
{
    troupe_ref ref;
    troupe_pid pid;
    struct troupe_spawn_options options = {
        .behaviour = &idler, .name = "heir", .link = true, .monitor = &ref, .group = "family"};

    (void)arg;
    if (!WENT(troupe_spawn(self, &options, &pid), MAY(TROUPE_ENOMEM))) {
        HOLDS(troupe_whereis(self, "heir") == TROUPE_NOBODY);
        HOLDS(troupe_group_leave(self, "family") == TROUPE_ENOENT);
    }
    return TROUPE_OK;
}

static int watch(struct troupe_actor *self, void *arg)
{
    struct crew *crew = arg;

    if (!WENT(troupe_group_monitor(self, "crew", &crew->ref), MAY(TROUPE_ENOMEM))) {
        crew->count = -1;
    }
    return TROUPE_OK;
}

static int on_change(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct crew *crew = scene_arg(state);
    struct troupe_group_change changes[2];
    int count;

    if (!troupe_is(msg, &troupe_group_changed)) {
        return TROUPE_EUNKNOWN;
    }
    do {
        count = troupe_group_changes(self, crew->ref, changes, TROUPE_COUNT(changes));
        for (int i = 0; i < count; i++) {
            crew->count += changes[i].event == TROUPE_GROUP_JOINED ? 1 : -1;
        }
    } while (count == (int)TROUPE_COUNT(changes));
    return TROUPE_OK;
}

static int on_answer(
    struct troupe_actor *self, void *state, void *context, int status, struct troupe_message *reply)
{
    struct crew *crew = context;

    (void)self;
    (void)state;
    (void)reply;
    HOLDS(status == TROUPE_OK || status == TROUPE_ENOMEM || fault_has_hit());
    crew->answers++;
    return TROUPE_OK;
}

static int give_orders(struct troupe_actor *self, void *arg)
{
    struct crew *crew = arg;
    unsigned asked = 0;

    for (uint64_t i = 0; i < 16; i++) {
        enum troupe_route route = (enum troupe_route)(i % 4);
        uint64_t body = i % 8;

        (void)WENT(troupe_group_send(self, "crew", route, i, &job, &body), MAY_GROUP);
        asked += WENT(troupe_group_request(
                          self, "crew", route, i, &job, &body, TROUPE_FOREVER, on_answer, crew),
            MAY_GROUP);
    }
    HOLDS(asked <= 16);
    return TROUPE_OK;
}

static void send_from_outside(struct scene *scene)
{
    struct troupe_buffer *buffer;
    struct troupe_message *msg;
    struct troupe_group_sent sent;
    uint64_t key = troupe_key("key", 3);
    uint64_t last = 9;
    troupe_pid pid;

    (void)WENT(troupe_group_pick(scene->runtime, "crew", TROUPE_LEAST_LOADED, 0, &pid), MAY_GROUP);
    if (WENT(troupe_message_create(scene->runtime, &job, 0, &msg), MAY(TROUPE_ENOMEM))) {
        *(uint64_t *)troupe_body(msg) = 1;
        if (!WENT(troupe_group_try_send(scene->runtime, "crew", TROUPE_BY_KEY, key, msg),
                MAY_GROUP)) {
            troupe_message_destroy(msg);
        }
    }
    if (WENT(troupe_buffer_create(scene->runtime, 5000, &buffer), MAY(TROUPE_ENOMEM))) {
        if (WENT(troupe_group_send_all(
                     scene->runtime, "crew", &troupe_buffer_message, &buffer, &sent),
                MAY_GROUP)) {
            HOLDS(sent.failed == 0 || fault_has_hit());
            HOLDS(sent.full == 0 && sent.gone == 0);
        }
        troupe_buffer_release(buffer);
    }
    /* And that is the end of them. */
    (void)WENT(troupe_group_send_all(scene->runtime, "crew", &job, &last, NULL), MAY_GROUP);
}

void scenario_group(void)
{
    struct crew crew = {0};
    struct scene_part takes_part = {.fn = take_part, .receive = on_job, .arg = &crew};
    struct scene_part watches = {.fn = watch, .receive = on_change, .arg = &crew};
    struct scene_part orders = {.fn = give_orders, .arg = &crew};
    struct scene scene = {.limits = {.groups = 1, .group_members = 6, .actor_groups = 1}};
    struct troupe_group row;
    struct troupe_group_member rows[8];

    if (!scene_open(&scene, TROUPE_NO_THREADS)) {
        return;
    }
    (void)scene_play(&scene, &watches);
    for (unsigned i = 0; i < 6; i++) {
        (void)scene_play(&scene, &takes_part);
    }
    scene_pump(&scene);
    HOLDS(crew.joined == 6 || fault_has_hit());
    HOLDS(crew.count == (int)crew.joined || crew.count < 0 || fault_has_hit());
    HOLDS(troupe_group_members(scene.runtime, "crew", 0, rows, 8) == (int)crew.joined);
    HOLDS(troupe_groups(scene.runtime, "cr", NULL, &row, 1) == (crew.joined > 0));
    (void)scene_play(&scene, &orders);
    scene_pump(&scene);
    send_from_outside(&scene);
    scene_pump(&scene);
    HOLDS(crew.got == 16 + 16 + 1 + 6 + 6 || fault_has_hit());
    HOLDS(troupe_group_members(scene.runtime, "crew", 0, rows, 8) == 0 || fault_has_hit());
    HOLDS(crew.count == 0 || fault_has_hit());
    scene_close(&scene);
}

static int stay(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    (void)self;
    (void)state;
    (void)msg;
    return TROUPE_OK;
}

static const struct troupe_behaviour idler = {.name = "idler", .receive = stay};

#define GROUPS 80

/* Twice, with limits so low that nothing may be left of the first time. */
static int come_and_go(struct troupe_actor *self, void *arg)
{
    char name[16];
    troupe_ref refs[GROUPS];
    unsigned joined = 0;

    (void)arg;
    for (unsigned i = 0; i < GROUPS; i++) {
        snprintf(name, sizeof name, "%u", i / 2);
        if (i % 2 == 0) {
            joined += WENT(troupe_group_join(self, name), MAY(TROUPE_ENOMEM));
        } else if (!WENT(troupe_group_monitor(self, name, &refs[i]), MAY(TROUPE_ENOMEM))) {
            refs[i] = 0;
        }
    }
    for (unsigned i = 0; i < GROUPS; i++) {
        snprintf(name, sizeof name, "%u", i / 2);
        if (i % 2 == 0) {
            joined -= troupe_group_leave(self, name) == TROUPE_OK;
        } else if (refs[i] != 0) {
            HOLDS(troupe_group_demonitor(self, refs[i]) == 1);
        }
    }
    HOLDS(joined == 0);
    return TROUPE_OK;
}

void scenario_group_churn(void)
{
    static const struct scene_part churns = {.fn = come_and_go, .receive = stay};
    static const struct scene_part bears = {.fn = bear_member, .receive = stay};
    struct scene scene = {.limits = {.groups = GROUPS / 2, .actor_groups = GROUPS}};
    struct troupe_group row;

    if (!scene_open(&scene, TROUPE_NO_THREADS)) {
        return;
    }
    for (unsigned i = 0; i < 2; i++) {
        (void)scene_play(&scene, &churns);
        scene_pump(&scene);
        HOLDS(troupe_groups(scene.runtime, NULL, NULL, &row, 1) == 0);
    }
    (void)scene_play(&scene, &bears);
    scene_pump(&scene);
    HOLDS(troupe_groups(scene.runtime, "family", NULL, &row, 1) ==
          (troupe_runtime_whereis(scene.runtime, "heir") != TROUPE_NOBODY));
    scene_close(&scene);
}
