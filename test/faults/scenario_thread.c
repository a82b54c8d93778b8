/* SPDX-License-Identifier: MIT */
/* scenario_thread.c - actors with threads of their own: they wait, call, and are called; a supervisor has one. */
#include "scenario.h"

#include <string.h>

static const struct troupe_type ask = TROUPE_TYPE(uint64_t);
static const struct troupe_type answer = TROUPE_TYPE(uint64_t);
static const struct troupe_type done = TROUPE_SIGNAL;

/** What spawning one may give that a fault was in the way of. */
#define MAY_SPAWN (MAY(TROUPE_ENOMEM) | MAY(TROUPE_ESYSTEM))

/** And what any wait may. */
#define MAY_WAIT (MAY(TROUPE_ENOMEM) | MAY(TROUPE_ETIMEDOUT))

static struct {
    unsigned done; /* messages, of the one that counts */
} threads;

static int count_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    (void)self;
    (void)state;
    threads.done += troupe_is(msg, &done);
    return TROUPE_OK;
}

static const struct troupe_behaviour counting = {.name = "counting", .receive = count_receive};

static int answer_main(struct troupe_actor *self, const void *arg)
{
    (void)arg;
    for (;;) {
        struct troupe_message *msg;
        uint64_t value;

        TROUPE_TRY(troupe_receive(self, TROUPE_FOREVER, &msg));
        if (troupe_is(msg, &ask)) {
            value = *(const uint64_t *)troupe_body(msg) + 1;
            (void)WENT(troupe_reply(self, msg, &answer, &value), MAY(TROUPE_ENOMEM));
        }
    }
}

static const struct troupe_behaviour answering = {
    .name = "answering thread",
    .main = answer_main,
    .thread = true,
    .capacity = SCENE_ROOM,
};

struct asking {
    troupe_pid server;
    troupe_pid counter;
};

static int ask_main(struct troupe_actor *self, const void *arg)
{
    const struct asking *asking = arg;
    uint64_t value = 7;
    uint64_t got = 0;
    struct troupe_message *msg;

    if (WENT(troupe_call(self, asking->server, &ask, &value, &answer, &got, 10000),
            MAY_WAIT | MAY_SEND | MAY(TROUPE_EDIED) | MAY(TROUPE_EUNANSWERED))) {
        HOLDS(got == 8);
    }
    (void)WENT(troupe_sleep(self, 1), MAY_WAIT);
    if (WENT(troupe_message_create(troupe_runtime_of(self), &done, 0, &msg), MAY(TROUPE_ENOMEM)) &&
        !WENT(troupe_send_wait(troupe_runtime_of(self), asking->counter, msg, 10000), MAY_SEND)) {
        troupe_message_destroy(msg);
    }
    return TROUPE_OK;
}

static const struct troupe_behaviour asker = {
    .name = "asking thread", .main = ask_main, .thread = true};

static bool spawn(struct scene *scene, const struct troupe_behaviour *behaviour,
    const struct asking *arg, troupe_pid *out_pid)
{
    struct troupe_spawn_options options = {
        .behaviour = behaviour, .arg = arg, .arg_size = arg != NULL ? sizeof *arg : 0};

    return WENT(troupe_runtime_spawn(scene->runtime, &options, out_pid), MAY_SPAWN);
}

void scenario_thread(void)
{
    struct scene scene = {0};
    struct asking asking;
    unsigned made = 0;
    troupe_pid pid;

    memset(&threads, 0, sizeof threads);
    if (!scene_open(&scene, TROUPE_NO_THREADS)) {
        return;
    }
    if (spawn(&scene, &counting, NULL, &asking.counter) &&
        spawn(&scene, &answering, NULL, &asking.server)) {
        made += spawn(&scene, &asker, &asking, &pid);
        made += spawn(&scene, &asker, &asking, &pid);
        scene_await(&scene, &threads.done, made);
    }
    scene_close(&scene);
}
