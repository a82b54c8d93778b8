/* SPDX-License-Identifier: MIT */
/* scenario_contain.c - actors whose code crashes, on the thread's stack, on their own, and while they end. */
#include "scenario.h"

#include "test/support/crash.h"

static const struct troupe_type now = TROUPE_SIGNAL;

static int crash_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    (void)state;
    (void)msg;
    /* Of what it has, the runtime's is given back. */
    (void)troupe_arena_alloc(self, 1000);
    (void)WENT(troupe_send(self, troupe_self(self), &now, NULL), MAY(TROUPE_ENOMEM));
    crash_by_write();
    return TROUPE_OK;
}

static int crash_main(struct troupe_actor *self, const void *arg)
{
    (void)arg;
    (void)WENT(troupe_sleep(self, 1), MAY(TROUPE_ENOMEM));
    crash_by_recursion();
    return TROUPE_OK;
}

static int end_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    (void)self;
    (void)state;
    (void)msg;
    return TROUPE_DONE;
}

static void crash_destroy(void *state)
{
    (void)state;
    crash_by_read();
}

static const struct troupe_behaviour behaviours[] = {
    {.name = "handler", .receive = crash_receive, .capacity = SCENE_ROOM},
    {.name = "waiting", .receive = crash_receive, .may_wait = true, .capacity = SCENE_ROOM},
    {.name = "fiber", .main = crash_main, .stack_size = 8192},
    {.name = "at the end", .receive = end_receive, .destroy = crash_destroy},
};

/* Whether it was spawned, and will crash. */
static bool spawn(struct scene *scene, const struct troupe_behaviour *behaviour)
{
    struct troupe_spawn_options options = {.behaviour = behaviour};
    struct troupe_message *msg;
    troupe_pid pid;

    if (!WENT(troupe_runtime_spawn(scene->runtime, &options, &pid), MAY(TROUPE_ENOMEM))) {
        return false;
    }
    if (behaviour->main != NULL) {
        return true;
    }
    if (!WENT(troupe_message_create(scene->runtime, &now, 0, &msg), MAY(TROUPE_ENOMEM))) {
        return false;
    }
    if (!WENT(troupe_try_send(scene->runtime, pid, msg), MAY_SEND)) {
        troupe_message_destroy(msg);
        return false;
    }
    return true;
}

void scenario_contain(void)
{
    struct scene scene = {.faults = TROUPE_FAULTS_CONTAIN};
    struct troupe_books books = {0};
    unsigned made = 0;

    if (!scene_open(&scene, TROUPE_NO_THREADS)) {
        return;
    }
    for (size_t i = 0; i < TROUPE_COUNT(behaviours); i++) {
        made += spawn(&scene, &behaviours[i]);
    }
    for (unsigned i = 0; i < 1000 && books.failures < made; i++) {
        scene_pump(&scene);
        HOLDS(troupe_runtime_books(scene.runtime, &books) == TROUPE_OK);
    }
    /* One that finds no stack fails too. */
    HOLDS(books.failures == made);
    scene_close(&scene);
}
