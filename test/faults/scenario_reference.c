/* SPDX-License-Identifier: MIT */
/* scenario_reference.c - references that own, orders to end, waiting for an end, connections of one direction. */
#include "scenario.h"

#include <string.h>

/** What a watch, or a wait for one, may give. */
#define MAY_WATCH MAY(TROUPE_ENOMEM)

static struct {
    unsigned done;
    unsigned joined;
    unsigned answered;
    struct troupe_reference *own;
} play;

static int stay(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    (void)self;
    (void)state;
    (void)msg;
    return TROUPE_OK;
}

static const struct troupe_behaviour stays = {.name = "stays", .receive = stay};

static int on_exit_of(struct troupe_actor *self, void *state, void *context, int status,
    const struct troupe_reason *reason)
{
    (void)self;
    (void)state;
    (void)context;
    HOLDS(status == TROUPE_OK && reason->kind == TROUPE_EXIT_NORMAL);
    play.answered++;
    return TROUPE_OK;
}

/* Everything that leaves the actor alive. */
static void juggle(struct troupe_actor *self, troupe_pid pid, struct troupe_reference *reference,
    struct troupe_weak_reference *weak)
{
    struct troupe_reference *more = NULL;

    HOLDS(troupe_reference_pid(reference) == pid && troupe_weak_pid(weak) == pid);
    HOLDS(troupe_weak_retain(weak) == weak);
    troupe_weak_release(weak);
    HOLDS(troupe_reference_retain(reference) == reference);
    troupe_reference_release(reference);
    HOLDS(troupe_weak_upgrade(weak, &more) == TROUPE_OK);
    if (!WENT(troupe_send(self, pid, &troupe_reference_message, &more), MAY_SEND)) {
        troupe_reference_release(more);
    }
}

/* One direction after the other; nothing is left. */
static void connect_for_a_while(struct troupe_actor *self, troupe_pid pid)
{
    if (WENT(troupe_connect(self, pid, TROUPE_NOTIFY), MAY_WATCH)) {
        HOLDS(troupe_connected(self, pid) == TROUPE_NOTIFY);
        (void)WENT(troupe_connect(self, pid, TROUPE_MONITOR), MAY_WATCH);
        HOLDS(troupe_disconnect(self, pid, TROUPE_NOTIFY) == TROUPE_OK);
        HOLDS(troupe_disconnect(self, pid, TROUPE_MONITOR) == TROUPE_OK);
        HOLDS(troupe_connected(self, pid) == 0);
    }
}

static void join(struct troupe_actor *self, troupe_pid pid)
{
    int error = troupe_join_wait(self, pid, 0, NULL);

    HOLDS(error == TROUPE_ETIMEDOUT || (error == TROUPE_ENOMEM && fault_has_hit()));
    play.joined += WENT(troupe_join_then(self, pid, SCENE_WAIT_MS, on_exit_of, NULL), MAY_WATCH);
    play.joined += WENT(troupe_join_then(self, pid, TROUPE_FOREVER, on_exit_of, NULL), MAY_WATCH);
}

/* Waits for the end, and hears of it as often as it joined. */
static void await_end(struct troupe_actor *self, troupe_pid pid, struct troupe_weak_reference *weak)
{
    struct troupe_reason reason;
    struct troupe_reference *none;
    struct troupe_message *msg;

    if (!WENT(troupe_join_wait(self, pid, SCENE_WAIT_MS, &reason), MAY_WATCH)) {
        return;
    }
    HOLDS(reason.kind == TROUPE_EXIT_NORMAL || reason.kind == TROUPE_EXIT_NOPROC);
    troupe_buffer_release(reason.text);
    HOLDS(troupe_weak_upgrade(weak, &none) == TROUPE_EGONE);
    HOLDS(troupe_receive(self, 0, &msg) == TROUPE_ETIMEDOUT);
    HOLDS(play.answered == play.joined);
}

static int hold(struct troupe_actor *self, const void *arg)
{
    struct troupe_reference *reference = NULL;
    struct troupe_spawn_options options = {.behaviour = &stays, .reference = &reference};
    struct troupe_weak_reference *weak;
    troupe_pid pid;

    (void)arg;
    if (WENT(troupe_spawn(self, &options, &pid), MAY(TROUPE_ENOMEM))) {
        weak = troupe_reference_downgrade(reference);
        juggle(self, pid, reference, weak);
        connect_for_a_while(self, pid);
        join(self, pid);
        troupe_reference_release(reference);
        await_end(self, pid, weak);
        troupe_weak_release(weak);
    }
    play.done++;
    return TROUPE_OK;
}

static const struct troupe_behaviour holds = {.name = "holds", .main = hold};

static int create(struct troupe_actor *self, void *arg)
{
    (void)arg;
    (void)WENT(troupe_reference_create(self, &play.own), MAY(TROUPE_ENOMEM));
    return TROUPE_OK;
}

static troupe_pid spawn(struct scene *scene, const struct troupe_behaviour *behaviour)
{
    struct troupe_spawn_options options = {.behaviour = behaviour};
    troupe_pid pid;

    return WENT(troupe_runtime_spawn(scene->runtime, &options, &pid), MAY(TROUPE_ENOMEM))
               ? pid
               : TROUPE_NOBODY;
}

static void spawn_and_stop(struct scene *scene, enum troupe_stop how)
{
    troupe_pid pid = spawn(scene, &stays);

    if (pid != TROUPE_NOBODY && WENT(troupe_stop(scene->runtime, pid, how), MAY_SEND)) {
        scene_pump(scene);
        HOLDS(!troupe_is_alive(scene->runtime, pid));
    }
}

void scenario_reference(void)
{
    static const struct scene_part creates = {.fn = create, .receive = stay};
    struct scene scene = {0};
    troupe_pid pid;

    memset(&play, 0, sizeof play);
    if (!scene_open(&scene, TROUPE_NO_THREADS)) {
        return;
    }
    if (spawn(&scene, &holds) != TROUPE_NOBODY) {
        scene_await(&scene, &play.done, 1);
    }
    spawn_and_stop(&scene, TROUPE_STOP_DRAIN);
    spawn_and_stop(&scene, TROUPE_STOP_NOW);
    pid = scene_play(&scene, &creates);
    scene_pump(&scene);
    if (play.own != NULL) {
        troupe_reference_release(play.own);
        scene_pump(&scene);
        HOLDS(!troupe_is_alive(scene.runtime, pid));
    }
    scene_close(&scene);
}
