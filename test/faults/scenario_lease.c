/* SPDX-License-Identifier: MIT */
/* scenario_lease.c - room that is held: waited for, used, released, left to its holder's end. */
#include "scenario.h"

#include <string.h>

static const struct troupe_type word = TROUPE_TYPE(uint64_t);

#define MAY_RESERVE (MAY_SEND | MAY(TROUPE_ETIMEDOUT))

static struct {
    troupe_pid first;
    troupe_pid second;
    unsigned done;
} play;

static int take_word(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    (void)self;
    (void)state;
    return troupe_is(msg, &word) ? TROUPE_OK : TROUPE_EUNKNOWN;
}

static const struct troupe_behaviour taking = {
    .name = "taking", .receive = take_word, .capacity = 2};

static void send_all(struct troupe_actor *self, struct troupe_lease *lease)
{
    struct troupe_message *msg;
    uint64_t value = 1;

    (void)WENT(troupe_lease_send(self, lease, &word, &value), MAY_RESERVE);
    (void)WENT(troupe_lease_send_bytes(self, lease, &word, &value, sizeof value), MAY_RESERVE);
    if (WENT(troupe_message_create(troupe_runtime_of(self), &word, 0, &msg), MAY(TROUPE_ENOMEM))) {
        memcpy(troupe_body(msg), &value, sizeof value);
        if (troupe_lease_send_message(self, lease, msg) < 0) {
            troupe_message_destroy(msg);
        }
    }
    troupe_lease_release(self, lease);
}

static int hold_main(struct troupe_actor *self, const void *arg)
{
    struct troupe_reservation what[2] = {{.to = play.second, .count = 2, .lease_ms = 100},
        {.to = play.first, .count = 2, .lease_ms = 100}};
    struct troupe_lease leases[2];

    (void)arg;
    if (WENT(troupe_reserve_all(self, what, 2, 10000, leases), MAY_RESERVE)) {
        send_all(self, &leases[0]);
        send_all(self, &leases[1]);
    }
    if (WENT(troupe_reserve(self, &what[0], 10000, &leases[0]), MAY_RESERVE)) {
        (void)WENT(troupe_sleep(self, 1), MAY(TROUPE_ENOMEM) | MAY(TROUPE_ETIMEDOUT));
    }
    play.done++;
    return TROUPE_OK;
}

static const struct troupe_behaviour holding = {.name = "holding", .main = hold_main};

static bool is_free(struct scene *scene, troupe_pid pid)
{
    struct troupe_mailbox_info info;

    return !WENT(troupe_mailbox_info(scene->runtime, pid, &info), MAY(TROUPE_EGONE)) ||
           (info.length == 0 && info.bytes == 0 && info.waiters == 0);
}

/* Soon nobody holds any of it: a holder that a fault has held up has its lease for a moment longer. */
static void look(struct scene *scene, troupe_pid pid)
{
    uint64_t until_ns = troupe_now_ns(scene->runtime) + UINT64_C(5000000000);

    while (!is_free(scene, pid) && troupe_now_ns(scene->runtime) < until_ns) {
        scene_pump(scene);
    }
    HOLDS(is_free(scene, pid));
}

static bool spawn(
    struct scene *scene, const struct troupe_behaviour *behaviour, troupe_pid *out_pid)
{
    struct troupe_spawn_options options = {.behaviour = behaviour};

    return WENT(troupe_runtime_spawn(scene->runtime, &options, out_pid), MAY(TROUPE_ENOMEM));
}

void scenario_lease(void)
{
    struct scene scene = {0};
    troupe_pid pid;

    memset(&play, 0, sizeof play);
    if (!scene_open(&scene, TROUPE_NO_THREADS)) {
        return;
    }
    if (spawn(&scene, &taking, &play.first) && spawn(&scene, &taking, &play.second)) {
        unsigned count = 0;

        for (unsigned i = 0; i < 2; i++) {
            count += spawn(&scene, &holding, &pid);
        }
        scene_await(&scene, &play.done, count);
        scene_pump(&scene);
        look(&scene, play.first);
        look(&scene, play.second);
    }
    scene_close(&scene);
}
