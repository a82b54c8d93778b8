/* SPDX-License-Identifier: MIT */
/* scenario_actor.c - runtimes, actors, messages, timers, descriptors, foreign threads. */
#include "scenario.h"

#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static const struct troupe_type ping = TROUPE_SIGNAL;
static const struct troupe_type text = TROUPE_BYTES;
static const struct troupe_type number = TROUPE_TYPE(uint64_t);

/* A runtime for one actor, turned until it rests. */
static void play_alone(const struct scene_part *part)
{
    struct scene scene = {0};

    if (!scene_open(&scene, TROUPE_NO_THREADS)) {
        return;
    }
    (void)scene_play(&scene, part);
    scene_pump(&scene);
    scene_close(&scene);
}

/* ---- runtimes ---- */

/* Everything as it is by default: workers as the system has processors, memory from malloc. */
void scenario_defaults(void)
{
    struct troupe_runtime *runtime;
    struct troupe_books books;

    HOLDS(troupe_version()[0] != '\0' && troupe_strerror(TROUPE_ENOMEM)[0] != '\0');
    if (!WENT(troupe_runtime_create(NULL, &runtime), MAY(TROUPE_ENOMEM) | MAY(TROUPE_ESYSTEM))) {
        return;
    }
    HOLDS(troupe_runtime_workers(runtime) > 0);
    HOLDS(troupe_runtime_fd(runtime) == TROUPE_EINVAL);
    if (WENT(troupe_runtime_start(runtime), MAY(TROUPE_ESYSTEM))) {
        HOLDS(troupe_runtime_start(runtime) == TROUPE_EBUSY);
    }
    if (WENT(troupe_runtime_books(runtime, &books), 0)) {
        HOLDS(books.sent == 0);
    }
    HOLDS(troupe_runtime_stop(runtime, SCENE_WAIT_MS) == TROUPE_OK);
    HOLDS(troupe_runtime_destroy(runtime) == TROUPE_OK);
}

static int end_at_once(struct troupe_actor *self, void *arg)
{
    (void)self;
    (void)arg;
    return TROUPE_DONE;
}

/* A start that failed may be tried again, and what was spawned before runs then. */
void scenario_start(void)
{
    static const struct scene_part part = {.fn = end_at_once};
    struct scene scene = {0};
    struct troupe_runtime_options options = {
        .workers = 3, .watchdog_ms = 1000, .allocator = &scene.allocator};
    troupe_pid pid;

    scene.allocator = test_allocator_of(&scene.memory);
    if (!WENT(troupe_runtime_create(&options, &scene.runtime),
            MAY(TROUPE_ENOMEM) | MAY(TROUPE_ESYSTEM))) {
        scene.runtime = NULL;
        scene_close(&scene);
        return;
    }
    pid = scene_play(&scene, &part);
    if (WENT(troupe_runtime_start(scene.runtime), MAY(TROUPE_ESYSTEM)) ||
        WENT(troupe_runtime_start(scene.runtime), MAY(TROUPE_ESYSTEM))) {
        scene_join(&scene, pid);
    }
    scene_close(&scene);
}

/* Without threads; and one that never starts, with an actor that has a message. */
void scenario_turn(void)
{
    static const struct scene_part part = {.fn = end_at_once};
    struct scene idle = {0};
    struct troupe_runtime_options options = {
        .workers = TROUPE_NO_THREADS, .allocator = &idle.allocator};
    struct troupe_message *msg;

    play_alone(&part);
    idle.allocator = test_allocator_of(&idle.memory);
    if (WENT(troupe_runtime_create(&options, &idle.runtime),
            MAY(TROUPE_ENOMEM) | MAY(TROUPE_ESYSTEM))) {
        troupe_pid pid = scene_play(&idle, &part);

        if (pid != TROUPE_NOBODY &&
            WENT(troupe_message_create(idle.runtime, &ping, 0, &msg), MAY(TROUPE_ENOMEM)) &&
            !WENT(troupe_try_send(idle.runtime, pid, msg), MAY_SEND)) {
            troupe_message_destroy(msg);
        }
        HOLDS(troupe_runtime_destroy(idle.runtime) == TROUPE_OK);
    }
    HOLDS(idle.memory.blocks == 0);
}

static void note_end(struct troupe_actor *self, void *state, const struct troupe_reason *reason)
{
    (void)self;
    (void)reason;
    **(bool **)state = true;
}

static int know_flag(struct troupe_actor *self, void *state, const void *arg)
{
    (void)self;
    *(const void **)state = arg;
    return TROUPE_OK;
}

static int sleep_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    (void)self;
    (void)state;
    (void)msg;
    return TROUPE_OK;
}

/* One block that is missing at the wrong moment does not keep an actor from being told to end in order: with
 * TROUPE_FOREVER nobody would end it later. */
void scenario_stop(void)
{
    static const struct troupe_behaviour noting = {
        .name = "noting",
        .state_size = sizeof(bool *),
        .init = know_flag,
        .receive = sleep_receive,
        .terminate = note_end,
    };
    bool told = false;
    struct troupe_spawn_options options = {.behaviour = &noting, .arg = &told};
    struct scene scene = {0};
    troupe_pid pid;

    if (!scene_open(&scene, TROUPE_NO_THREADS)) {
        return;
    }
    if (WENT(troupe_runtime_spawn(scene.runtime, &options, &pid), MAY(TROUPE_ENOMEM))) {
        scene_pump(&scene);
        scene_close(&scene);
        HOLDS(told || fault_is_for_good());
    } else {
        scene_close(&scene);
    }
}

/* ---- actors ---- */

struct large {
    char bytes[500];
};

static unsigned cleanups;

static void count_cleanup(void *arg)
{
    *(unsigned *)arg += 1;
}

static int large_init(struct troupe_actor *self, void *state, const void *arg)
{
    struct large *large = state;

    memcpy(large->bytes, arg, 100);
    HOLDS(troupe_state(self) == state && troupe_incarnation(self) == 0);
    HOLDS(troupe_runtime_of(self) != NULL && troupe_self(self) != TROUPE_NOBODY);
    for (int i = 0; i < 20; i++) {
        if (WENT(troupe_defer(self, count_cleanup, &cleanups), MAY(TROUPE_ENOMEM)) && i % 5 == 0) {
            HOLDS(troupe_undefer(self, count_cleanup, &cleanups) == TROUPE_OK);
        }
    }
    for (size_t size = 16; size < 200000; size *= 3) {
        char *room = troupe_arena_alloc(self, size);

        HOLDS(room != NULL || fault_has_hit());
        if (room != NULL) {
            memset(room, 1, size);
        }
    }
    return TROUPE_OK;
}

/* Ends in the way that the message says. */
static int large_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    (void)state;
    if (!troupe_is(msg, &number)) {
        return TROUPE_EUNKNOWN;
    }
    switch (*(const uint64_t *)troupe_body(msg)) {
    case 0:
        return troupe_fail(self, TROUPE_EPROTO, "because it is told to");
    case 1:
        TROUPE_CHECK(self, msg == NULL);
        return TROUPE_OK;
    case 2:
        troupe_exit(self, TROUPE_EXIT_SHUTDOWN);
    default:
        return TROUPE_DONE;
    }
}

static void large_terminate(
    struct troupe_actor *self, void *state, const struct troupe_reason *reason)
{
    (void)self;
    (void)state;
    HOLDS(troupe_exit_name(reason->kind)[0] != '\0' && troupe_reason_text(reason) != NULL);
    HOLDS(!troupe_reason_is_normal(reason) || troupe_reason_is_clean(reason));
}

static const struct troupe_behaviour large_behaviour = {
    .name = "large",
    .state_size = sizeof(struct large),
    .init = large_init,
    .receive = large_receive,
    .terminate = large_terminate,
};

static int spawn_large(struct troupe_actor *self, void *arg)
{
    static const char given[100];

    (void)arg;
    for (uint64_t way = 0; way < 4; way++) {
        troupe_ref ref;
        struct troupe_spawn_options options = {
            .behaviour = &large_behaviour,
            .arg = given,
            .arg_size = sizeof given,
            .name = way == 0 ? "large" : NULL,
            .link = way == 1,
            .monitor = way == 2 ? &ref : NULL,
        };
        troupe_pid pid;

        if (WENT(troupe_spawn(self, &options, &pid), MAY(TROUPE_ENOMEM))) {
            HOLDS(troupe_is_alive(troupe_runtime_of(self), pid));
            (void)WENT(troupe_send(self, pid, &number, &way), MAY_SEND);
        }
    }
    return TROUPE_OK;
}

static int take_notices(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    (void)self;
    (void)state;
    return troupe_is(msg, &troupe_down) || troupe_is(msg, &troupe_exited) ? TROUPE_OK
                                                                          : TROUPE_EUNKNOWN;
}

void scenario_actor(void)
{
    static const struct scene_part part = {
        .fn = spawn_large, .receive = take_notices, .traps = true};

    play_alone(&part);
}

/* ---- messages ---- */

static struct troupe_message *kept;

/* Sinks all, but keeps one and gives one on. */
static int sink_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    const troupe_pid *next = scene_arg(state);

    (void)troupe_sender(msg);
    HOLDS(troupe_message_type(msg) != NULL);
    if (troupe_is(msg, &ping) && *next != TROUPE_NOBODY) {
        (void)WENT(troupe_forward(self, *next, msg), MAY_SEND);
    } else if (troupe_is(msg, &text) && troupe_body_size(msg) > 1000) {
        struct troupe_message *taken;

        if (WENT(troupe_take(self, msg, &taken), MAY(TROUPE_ENOMEM))) {
            troupe_message_destroy(kept);
            kept = taken;
        }
    }
    return TROUPE_OK;
}

static void send_sizes(struct troupe_actor *self, troupe_pid to)
{
    static const size_t sizes[] = {0, 10, 60, 100, 200, 300, 400, 900, 2000, 4000, 9000, 300000};
    static const char bytes[300000];
    struct troupe_message *msg;

    for (size_t i = 0; i < TROUPE_COUNT(sizes); i++) {
        (void)WENT(troupe_send_bytes(self, to, &text, i > 0 ? bytes : NULL, sizes[i]), MAY_SEND);
        if (WENT(troupe_message_create(troupe_runtime_of(self), &text, sizes[i], &msg),
                MAY(TROUPE_ENOMEM)) &&
            !WENT(troupe_send_message(self, to, msg), MAY_SEND)) {
            troupe_message_destroy(msg);
        }
    }
}

static void send_batch(struct troupe_actor *self, troupe_pid to)
{
    struct troupe_message *batch[8];
    size_t count = 0;

    while (count < TROUPE_COUNT(batch) &&
           WENT(troupe_message_create(troupe_runtime_of(self), &number, 0, &batch[count]),
               MAY(TROUPE_ENOMEM))) {
        *(uint64_t *)troupe_body(batch[count]) = count;
        count++;
    }
    if (!WENT(troupe_send_batch(self, to, batch, count), MAY_SEND)) {
        while (count > 0) {
            troupe_message_destroy(batch[--count]);
        }
    }
}

static void send_buffer(struct troupe_actor *self, troupe_pid to)
{
    struct troupe_buffer *buffer;

    if (!WENT(troupe_buffer_create(troupe_runtime_of(self), 1000, &buffer), MAY(TROUPE_ENOMEM))) {
        return;
    }
    memset(troupe_buffer_data(buffer), 7, troupe_buffer_size(buffer));
    for (int i = 0; i < 3; i++) {
        struct troupe_buffer *shared = troupe_buffer_retain(buffer);

        if (!WENT(troupe_send(self, to, &troupe_buffer_message, &shared), MAY_SEND)) {
            troupe_buffer_release(shared);
        }
    }
    troupe_buffer_release(buffer);
}

static int send_all(struct troupe_actor *self, void *arg)
{
    const troupe_pid *to = arg;
    uint32_t length;

    if (*to == TROUPE_NOBODY) {
        return TROUPE_DONE;
    }
    send_sizes(self, *to);
    send_batch(self, *to);
    send_buffer(self, *to);
    (void)WENT(troupe_send(self, *to, &ping, NULL), MAY_SEND);
    (void)WENT(troupe_mailbox_length(troupe_runtime_of(self), *to, &length), MAY(TROUPE_EGONE));
    return TROUPE_DONE;
}

void scenario_message(void)
{
    troupe_pid nobody = TROUPE_NOBODY;
    troupe_pid last;
    troupe_pid first;
    struct scene_part last_part = {.receive = sink_receive, .arg = &nobody};
    struct scene_part first_part = {.receive = sink_receive, .arg = &last};
    struct scene_part sender = {.fn = send_all, .arg = &first};
    struct scene scene = {0};

    kept = NULL;
    if (!scene_open(&scene, TROUPE_NO_THREADS)) {
        return;
    }
    last = scene_play(&scene, &last_part);
    first = scene_play(&scene, &first_part);
    (void)scene_play(&scene, &sender);
    scene_pump(&scene);
    troupe_message_destroy(kept);
    scene_close(&scene);
}

/* ---- so many that pools and the table grow ---- */

static const struct troupe_behaviour sleeper = {.name = "sleeper", .receive = sleep_receive};

static int spawn_crowd(struct troupe_actor *self, void *arg)
{
    (void)arg;
    for (int i = 0; i < 2100; i++) {
        struct troupe_spawn_options options = {.behaviour = &sleeper};
        troupe_pid pid;

        if (WENT(troupe_spawn(self, &options, &pid), MAY(TROUPE_ENOMEM))) {
            (void)WENT(troupe_send(self, pid, &ping, NULL), MAY_SEND);
        }
    }
    return TROUPE_DONE;
}

void scenario_crowd(void)
{
    static const struct scene_part part = {.fn = spawn_crowd};

    play_alone(&part);
}

/* ---- timers ---- */

struct ticking {
    struct troupe_timer every;
    unsigned ticks;
};

static int arm_timers(struct troupe_actor *self, void *arg)
{
    struct ticking *ticking = arg;
    uint64_t body = 1;
    uint64_t left_ms;
    struct troupe_timer timer;

    if (WENT(troupe_tick_after(self, 100000, &number, &body, &timer), MAY(TROUPE_ENOMEM))) {
        HOLDS(troupe_timer_left(self, timer, &left_ms) == TROUPE_OK && left_ms > 0);
        HOLDS(troupe_timer_cancel(self, timer) == TROUPE_OK);
        HOLDS(troupe_timer_left(self, timer, &left_ms) == TROUPE_ENOENT);
        HOLDS(troupe_timer_cancel(self, timer) == TROUPE_ENOENT);
    }
    (void)WENT(troupe_tick_after(self, 50000, &number, &body, NULL), MAY(TROUPE_ENOMEM));
    (void)WENT(troupe_tick_after(self, 1, &number, &body, NULL), MAY(TROUPE_ENOMEM));
    if (!WENT(troupe_tick_every(self, 1, &ping, NULL, &ticking->every), MAY(TROUPE_ENOMEM))) {
        ticking->every = (struct troupe_timer){0};
    }
    return TROUPE_OK;
}

static int count_ticks(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct ticking *ticking = scene_arg(state);

    (void)troupe_tick_missed(msg);
    if (troupe_is(msg, &ping) && ++ticking->ticks == 2) {
        HOLDS(troupe_timer_cancel(self, ticking->every) == TROUPE_OK);
    }
    return TROUPE_OK;
}

void scenario_timer(void)
{
    struct ticking ticking = {0};
    struct scene_part part = {.fn = arm_timers, .receive = count_ticks, .arg = &ticking};
    struct scene scene = {.limits.actor_timers = 3}; /* as many as arm_timers() makes */

    if (!scene_open(&scene, TROUPE_NO_THREADS)) {
        return;
    }
    (void)scene_play(&scene, &part);
    scene_await(&scene, &ticking.ticks, 2);
    scene_close(&scene);
}

/* ---- descriptors ---- */

struct watching {
    struct troupe_io *io;
    int mine; /* the end that the actor adopts; -1: it did */
    int other;
    unsigned ready;
};

static bool adopt(struct troupe_actor *self, struct watching *watching)
{
    return WENT(troupe_io_open(self, watching->mine, watching, &watching->io),
        MAY(TROUPE_ENOMEM) | MAY(TROUPE_ESYSTEM) | MAY(TROUPE_EINVAL));
}

/* A second attempt finds nothing of the first one. */
static int watch(struct troupe_actor *self, void *arg)
{
    struct watching *watching = arg;

    if (adopt(self, watching) || adopt(self, watching)) {
        HOLDS(troupe_io_fd(watching->io) == watching->mine);
        watching->mine = -1;
        HOLDS(write(watching->other, "x", 1) == 1);
    }
    return TROUPE_OK;
}

static int on_ready(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct watching *watching = scene_arg(state);
    const struct troupe_ready *ready = troupe_body(msg);
    char byte;

    if (!troupe_is(msg, &troupe_ready)) {
        return TROUPE_EUNKNOWN;
    }
    HOLDS(ready->context == watching);
    watching->ready++;
    if (ready->events & TROUPE_IO_AGAIN) {
        troupe_io_close(self, watching->io);
        return TROUPE_DONE;
    }
    if ((ready->events & TROUPE_IO_READ) && read(troupe_io_fd(ready->io), &byte, 1) == 1) {
        troupe_io_again(self, ready->io);
    }
    return TROUPE_OK;
}

void scenario_io(void)
{
    struct watching closing = {0};
    struct watching staying = {0};
    struct scene_part closes = {.fn = watch, .receive = on_ready, .arg = &closing};
    struct scene_part stays = {.fn = watch, .arg = &staying};
    struct scene scene = {.limits.actor_ios = 1};
    int pair[4];

    if (!scene_open(&scene, TROUPE_NO_THREADS)) {
        return;
    }
    HOLDS(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) == 0);
    HOLDS(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair + 2) == 0);
    closing.mine = pair[0];
    closing.other = pair[1];
    staying.mine = pair[2];
    staying.other = pair[3];
    (void)scene_play(&scene, &closes);
    (void)scene_play(&scene, &stays);
    scene_await(&scene, &closing.ready, 2);
    scene_close(&scene);
    for (int i = 0; i < 4; i++) {
        if (i % 2 != 0 || (i == 0 ? closing.mine : staying.mine) >= 0) {
            close(pair[i]);
        }
    }
}

/* ---- foreign threads ---- */

struct visiting {
    struct scene *scene;
    troupe_pid to;
};

/* More than the mailbox takes, so that it waits for room; and does not say that it goes. */
static void *visit(void *arg)
{
    struct visiting *visiting = arg;
    struct troupe_runtime *runtime = visiting->scene->runtime;

    (void)WENT(troupe_attach(), 0);
    for (int i = 0; i < 50; i++) {
        struct troupe_message *msg;

        if (!WENT(troupe_message_create(runtime, &text, 100, &msg), MAY(TROUPE_ENOMEM))) {
            continue;
        }
        if (!WENT(troupe_send_wait(runtime, visiting->to, msg, SCENE_WAIT_MS), MAY_SEND)) {
            troupe_message_destroy(msg);
        }
    }
    HOLDS(troupe_runtime_whereis(runtime, "nobody") == TROUPE_NOBODY);
    return NULL;
}

static const struct troupe_behaviour narrow = {
    .name = "narrow", .receive = sleep_receive, .capacity = 2};

static void end_narrow(struct scene *scene, troupe_pid pid)
{
    uint32_t length;

    (void)WENT(troupe_mailbox_length(scene->runtime, pid, &length), MAY_SEND);
    if (WENT(troupe_runtime_exit(scene->runtime, pid, TROUPE_EXIT_SHUTDOWN), MAY_SEND) ||
        WENT(troupe_runtime_exit(scene->runtime, pid, TROUPE_EXIT_KILL), MAY(TROUPE_EGONE))) {
        scene_join(scene, pid);
    }
    HOLDS(!troupe_is_alive(scene->runtime, pid) || fault_has_hit());
}

void scenario_foreign(void)
{
    struct scene scene = {0};
    struct visiting visiting = {.scene = &scene};
    struct troupe_spawn_options options = {.behaviour = &narrow};
    pthread_t threads[2];

    if (!scene_open(&scene, 1)) {
        return;
    }
    if (WENT(troupe_runtime_spawn(scene.runtime, &options, &visiting.to), MAY(TROUPE_ENOMEM))) {
        for (size_t i = 0; i < TROUPE_COUNT(threads); i++) {
            HOLDS(pthread_create(&threads[i], NULL, visit, &visiting) == 0);
        }
        for (size_t i = 0; i < TROUPE_COUNT(threads); i++) {
            HOLDS(pthread_join(threads[i], NULL) == 0);
        }
        end_narrow(&scene, visiting.to);
    }
    scene_close(&scene);
    troupe_detach();
}

/* ---- a handler that holds its worker ---- */

static int hold(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct scene *scene = scene_arg(state);
    uint64_t until_ns = troupe_now_ns(scene->runtime) + 40000000u;

    (void)self;
    (void)msg;
    while (troupe_now_ns(scene->runtime) < until_ns) {
        usleep(1000);
    }
    return TROUPE_DONE;
}

static int call_holder(struct troupe_actor *self, void *arg)
{
    (void)arg;
    return WENT(troupe_send(self, troupe_self(self), &ping, NULL), MAY_SEND) ? TROUPE_OK
                                                                             : TROUPE_DONE;
}

/* The watchdog starts another worker, or cannot. */
void scenario_watchdog(void)
{
    struct scene scene = {.watchdog_ms = 2};
    struct scene_part holds = {.fn = call_holder, .receive = hold, .arg = &scene};
    static const struct scene_part waits = {.fn = end_at_once};
    troupe_pid holder;

    if (!scene_open(&scene, 1)) {
        return;
    }
    holder = scene_play(&scene, &holds);
    scene_join(&scene, scene_play(&scene, &waits));
    scene_join(&scene, holder);
    scene_close(&scene);
}
