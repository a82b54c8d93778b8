/* SPDX-License-Identifier: MIT */
/* scenario_fiber.c - callbacks that wait: main functions, and handlers that call, sleep and yield; and wait for room. */
#include "scenario.h"

#include <string.h>

static const struct troupe_type ask = TROUPE_TYPE(uint64_t);
static const struct troupe_type answer = TROUPE_TYPE(uint64_t);
static const struct troupe_type tell = TROUPE_TYPE(uint64_t);

/** What any wait may give that a fault was in the way of. */
#define MAY_WAIT (MAY(TROUPE_ENOMEM) | MAY(TROUPE_ETIMEDOUT))

/** And a call. */
#define MAY_CALL (MAY_WAIT | MAY_SEND | MAY(TROUPE_EDIED) | MAY(TROUPE_EUNANSWERED))

static struct {
    unsigned done;
    unsigned cleanups;
} fibers;

static int answer_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    uint64_t value;

    (void)state;
    if (!troupe_is(msg, &ask)) {
        return TROUPE_EUNKNOWN;
    }
    value = *(const uint64_t *)troupe_body(msg) + 1;
    (void)WENT(troupe_sleep(self, 1), MAY_WAIT);
    (void)WENT(troupe_reply(self, msg, &answer, &value), MAY(TROUPE_ENOMEM));
    return TROUPE_OK;
}

static const struct troupe_behaviour answering = {
    .name = "answering",
    .receive = answer_receive,
    .may_wait = true,
    .stack_size = 8192,
    .capacity = SCENE_ROOM,
};

static void count(void *arg)
{
    ++*(unsigned *)arg;
}

static void call(struct troupe_actor *self, troupe_pid to)
{
    uint64_t value = 7;
    uint64_t got = 0;
    struct troupe_message *reply;

    if (WENT(troupe_call(self, to, &ask, &value, &answer, &got, 10000), MAY_CALL)) {
        HOLDS(got == 8);
    }
    if (WENT(troupe_call_message(self, to, &ask, &value, TROUPE_FOREVER, &reply), MAY_CALL)) {
        HOLDS(troupe_is(reply, &answer));
        troupe_message_destroy(reply);
    }
}

static void receive(struct troupe_actor *self)
{
    static const struct troupe_type *const types[] = {&ask, &answer};
    uint64_t value = 1;
    struct troupe_message *msg;
    bool told = WENT(troupe_send(self, troupe_self(self), &tell, &value), MAY_SEND);
    bool asked = WENT(troupe_send(self, troupe_self(self), &ask, &value), MAY_SEND);

    if (asked && WENT(troupe_receive_of(self, types, 2, 10000, &msg), MAY_WAIT)) {
        HOLDS(troupe_is(msg, &ask));
        asked = false;
    }
    if (told && WENT(troupe_receive(self, 10000, &msg), MAY_WAIT)) {
        HOLDS(troupe_is(msg, &tell));
    }
    if (!asked) {
        HOLDS(troupe_receive(self, 1, &msg) < 0);
    }
}

static int wait_in_every_way(struct troupe_actor *self, const void *arg)
{
    troupe_pid to = *(const troupe_pid *)arg;

    HOLDS(troupe_may_wait(self));
    (void)WENT(troupe_defer(self, count, &fibers.cleanups), MAY(TROUPE_ENOMEM));
    call(self, to);
    receive(self);
    HOLDS(troupe_yield(self) == TROUPE_OK);
    (void)WENT(troupe_sleep(self, 1), MAY_WAIT);
    fibers.done++;
    /* Until the runtime stops. */
    (void)WENT(troupe_sleep(self, 3600000), MAY_WAIT);
    return TROUPE_OK;
}

static const struct troupe_behaviour waiting = {
    .name = "waiting",
    .main = wait_in_every_way,
    .capacity = SCENE_ROOM,
};

static bool spawn(struct scene *scene, const struct troupe_behaviour *behaviour,
    const troupe_pid *arg, troupe_pid *out_pid)
{
    struct troupe_spawn_options options = {
        .behaviour = behaviour, .arg = arg, .arg_size = arg != NULL ? sizeof *arg : 0};

    return WENT(troupe_runtime_spawn(scene->runtime, &options, out_pid), MAY(TROUPE_ENOMEM));
}

/* ---- room ---- */

static struct {
    bool closed; /* the mailbox that is full is not read */
    unsigned senders;
} room;

static int read_late(struct troupe_actor *self, const void *arg)
{
    (void)arg;
    while (room.closed) {
        if (!WENT(troupe_sleep(self, 1), MAY_WAIT)) {
            return TROUPE_OK;
        }
    }
    for (;;) {
        struct troupe_message *msg;

        if (!WENT(troupe_receive(self, 60000, &msg), MAY_WAIT)) {
            return TROUPE_OK;
        }
    }
}

static const struct troupe_behaviour late_reader = {
    .name = "late reader", .main = read_late, .capacity = 1};

static void send_message(struct troupe_actor *self, troupe_pid to)
{
    struct troupe_message *msg;

    if (WENT(troupe_message_create(troupe_runtime_of(self), &tell, 0, &msg), MAY(TROUPE_ENOMEM)) &&
        !WENT(troupe_send_message_within(self, to, msg, 60000), MAY_WAIT | MAY_SEND)) {
        troupe_message_destroy(msg);
    }
}

static int send_in_every_way(struct troupe_actor *self, const void *arg)
{
    troupe_pid to = *(const troupe_pid *)arg;
    uint64_t value = 1;

    (void)WENT(troupe_send_within(self, to, &tell, &value, TROUPE_FOREVER), MAY_WAIT | MAY_SEND);
    (void)WENT(troupe_send_within(self, to, &tell, &value, 60000), MAY_WAIT | MAY_SEND);
    (void)WENT(troupe_send_bytes_within(self, to, &tell, &value, sizeof value, 60000),
        MAY_WAIT | MAY_SEND);
    send_message(self, to);
    room.senders++;
    return TROUPE_OK;
}

static const struct troupe_behaviour sending = {.name = "sending", .main = send_in_every_way};

void scenario_room(void)
{
    struct scene scene = {0};
    troupe_pid reader;
    troupe_pid pid;
    unsigned made = 0;

    room.closed = true;
    room.senders = 0;
    if (!scene_open(&scene, TROUPE_NO_THREADS)) {
        return;
    }
    if (spawn(&scene, &late_reader, NULL, &reader)) {
        while (made < 3 && spawn(&scene, &sending, &reader, &pid)) {
            made++;
        }
        scene_pump(&scene);
        room.closed = false;
        scene_await(&scene, &room.senders, made);
        /* Some are left in line when the runtime stops. */
        room.closed = true;
    }
    scene_close(&scene);
}

/* ---- a ring ---- */

static struct {
    troupe_pid caller;
    unsigned over;
} ring;

/* Asks back, instead of answering. */
static int ask_back(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    uint64_t value = 1;
    int status;

    (void)state;
    if (!troupe_is(msg, &ask)) {
        return TROUPE_EUNKNOWN;
    }
    status = troupe_call(self, ring.caller, &ask, &value, &answer, &value, 10000);
    HOLDS(status == TROUPE_EDEADLK || status == TROUPE_ENOMEM);
    HOLDS(status != TROUPE_EDEADLK || troupe_deadlock_text(self)[0] != '\0' || fault_has_hit());
    (void)WENT(troupe_reply(self, msg, &answer, &value), MAY(TROUPE_ENOMEM));
    return TROUPE_OK;
}

static const struct troupe_behaviour asking_back = {
    .name = "asking back", .receive = ask_back, .may_wait = true, .stack_size = 8192};

static int call_and_join(struct troupe_actor *self, const void *arg)
{
    troupe_pid to = *(const troupe_pid *)arg;
    uint64_t value = 7;

    ring.caller = troupe_self(self);
    (void)WENT(troupe_call(self, to, &ask, &value, &answer, &value, 10000), MAY_CALL);
    HOLDS(troupe_join_wait(self, to, 1, NULL) == TROUPE_ETIMEDOUT || fault_has_hit());
    ring.over = 1;
    return TROUPE_OK;
}

static const struct troupe_behaviour calling = {.name = "calling", .main = call_and_join};

void scenario_ring(void)
{
    struct scene scene = {0};
    troupe_pid server;
    troupe_pid pid;

    memset(&ring, 0, sizeof ring);
    if (!scene_open(&scene, TROUPE_NO_THREADS)) {
        return;
    }
    if (spawn(&scene, &asking_back, NULL, &server) && spawn(&scene, &calling, &server, &pid)) {
        scene_await(&scene, &ring.over, 1);
    }
    scene_close(&scene);
}

/* More than a worker keeps, and than one region has. */
#define FIBERS 70

void scenario_fiber(void)
{
    struct scene scene = {0};
    troupe_pid server;
    troupe_pid pid;
    unsigned made = 0;

    memset(&fibers, 0, sizeof fibers);
    if (!scene_open(&scene, TROUPE_NO_THREADS)) {
        return;
    }
    if (spawn(&scene, &answering, NULL, &server)) {
        while (made < FIBERS && spawn(&scene, &waiting, &server, &pid)) {
            made++;
        }
        scene_await(&scene, &fibers.done, made);
    }
    scene_close(&scene);
    HOLDS(fibers.cleanups == made || fault_has_hit());
}
