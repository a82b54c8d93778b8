/* SPDX-License-Identifier: MIT */
/* scenario_pool.c - pools that grow, shrink and are drained, and children that are spread over partitions. */
#include "scenario.h"

/** What starting a tree may give. */
#define MAY_START (MAY(TROUPE_ENOMEM) | MAY(TROUPE_ESYSTEM))

/** What asking a pool may give that a fault may have ended, or have kept from waiting for its members. */
#define MAY_ASK                                                                                    \
    (MAY_SEND | MAY(TROUPE_EDIED) | MAY(TROUPE_EUNANSWERED) | MAY(TROUPE_ESTOPPED) |               \
        MAY(TROUPE_ETIMEDOUT) | MAY(TROUPE_EBUSY) | MAY(TROUPE_ENOENT))

static const struct troupe_type work = TROUPE_TYPE(uint64_t);
static const struct troupe_type die = TROUPE_SIGNAL;

static int member_init(struct troupe_actor *self, void *state, const void *arg)
{
    (void)state;
    (void)arg;
    if (troupe_arena_alloc(self, 100) == NULL) {
        return troupe_fail(self, TROUPE_ENOMEM, "no memory for a member");
    }
    return TROUPE_OK;
}

static int member_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    uint64_t *handled = state;

    if (troupe_is(msg, &die)) {
        return troupe_fail(self, TROUPE_EPROTO, "as it was told");
    }
    ++*handled;
    return TROUPE_OK;
}

static const struct troupe_behaviour member = {
    .name = "member",
    .state_size = sizeof(uint64_t),
    .init = member_init,
    .receive = member_receive,
    .capacity = SCENE_ROOM,
};

/* ---- partitions ---- */

static int on_child(
    struct troupe_actor *self, void *state, void *context, int status, struct troupe_message *reply)
{
    (void)self;
    (void)state;
    (void)context;
    HOLDS(status != TROUPE_OK || troupe_is(reply, &troupe_child_answer));
    return TROUPE_DONE;
}

static int ask_which(struct troupe_actor *self, void *arg)
{
    (void)arg;
    return WENT(troupe_partition_child(self, "spread", 2, TROUPE_CHILD_WHICH, "a", NULL,
                    TROUPE_FOREVER, on_child, NULL),
               MAY_SEND | MAY(TROUPE_ENOENT))
               ? TROUPE_OK
               : TROUPE_DONE;
}

void scenario_partitions(void)
{
    const struct troupe_supervisor_spec spec = {.name = "spread", .partitions = 2};
    const struct troupe_child_spec child = {.id = "a", .behaviour = &member};
    struct scene scene = {0};
    struct scene_part asks = {.fn = ask_which};
    struct troupe_child_answer answer;
    struct troupe_children total;
    troupe_pid pid;

    if (!scene_open(&scene, 1)) {
        return;
    }
    if (WENT(troupe_supervisor_start(scene.runtime, &spec, SCENE_WAIT_MS, &pid), MAY_START)) {
        (void)WENT(troupe_runtime_partition_child(scene.runtime, "spread", 2, TROUPE_CHILD_START,
                       NULL, &child, SCENE_WAIT_MS, &answer),
            MAY_ASK);
        (void)WENT(troupe_partition(scene.runtime, "spread", 2, 1, &pid), MAY(TROUPE_ENOENT));
        (void)WENT(
            troupe_runtime_partition_count(scene.runtime, "spread", 2, SCENE_WAIT_MS, &total),
            MAY_ASK);
        scene_join(&scene, scene_play(&scene, &asks));
    }
    scene_close(&scene);
}

/* ---- a pool ---- */

static void give(struct scene *scene, const struct troupe_type *type)
{
    struct troupe_message *msg;

    if (!WENT(troupe_message_create(scene->runtime, type, 0, &msg), MAY(TROUPE_ENOMEM))) {
        return;
    }
    if (type->size > 0) {
        *(uint64_t *)troupe_body(msg) = 1;
    }
    if (!WENT(troupe_group_try_send(scene->runtime, "pool", TROUPE_ROUND_ROBIN, 0, msg),
            MAY_SEND | MAY(TROUPE_ENOENT))) {
        troupe_message_destroy(msg);
    }
}

static bool resize(struct scene *scene, troupe_pid pool, uint32_t size)
{
    struct troupe_pool_answer answer;

    return WENT(troupe_runtime_pool_resize(
                    scene->runtime, pool, size, SCENE_WAIT_MS, SCENE_WAIT_MS, &answer),
        MAY_ASK);
}

struct asking {
    troupe_pid pool;
    unsigned told;
};

static int on_answer(
    struct troupe_actor *self, void *state, void *context, int status, struct troupe_message *reply)
{
    struct asking *asking = context;

    (void)self;
    (void)state;
    HOLDS(status != TROUPE_OK || troupe_is(reply, &troupe_pool_answer));
    return ++asking->told == 2 ? TROUPE_DONE : TROUPE_OK;
}

static int ask(struct troupe_actor *self, void *arg)
{
    struct asking *asking = arg;

    if (!WENT(troupe_pool_resize(self, asking->pool, 2, 0, TROUPE_FOREVER, on_answer, asking),
            MAY_SEND) ||
        !WENT(troupe_pool_look(self, asking->pool, TROUPE_FOREVER, on_answer, asking), MAY_SEND)) {
        return TROUPE_DONE;
    }
    return TROUPE_OK;
}

void scenario_pool(void)
{
    const struct troupe_child_spec template = {
        .id = "member", .behaviour = &member, .keep_mailbox = true};
    const struct troupe_supervisor_spec spec = {.name = "pool",
        .strategy = TROUPE_POOL,
        .pool_size = 2,
        .children = &template,
        .child_count = 1,
        .intensity = 10};
    struct scene scene = {0};
    struct asking asking = {0};
    struct scene_part asks = {.fn = ask, .arg = &asking};
    struct troupe_pool_answer answer;

    if (!scene_open(&scene, 1)) {
        return;
    }
    if (WENT(troupe_supervisor_start(scene.runtime, &spec, SCENE_WAIT_MS, &asking.pool),
            MAY_START)) {
        (void)resize(&scene, asking.pool, 4);
        for (unsigned i = 0; i < 8; i++) {
            give(&scene, &work);
        }
        give(&scene, &die);
        (void)resize(&scene, asking.pool, 1);
        (void)WENT(
            troupe_runtime_pool_look(scene.runtime, asking.pool, SCENE_WAIT_MS, &answer), MAY_ASK);
        scene_join(&scene, scene_play(&scene, &asks));
        (void)resize(&scene, asking.pool, 0);
    }
    scene_close(&scene);
}
