/* SPDX-License-Identifier: MIT */
/* Poller: readiness arrives once, merged, and never after a close; nothing of an io is left behind. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <troupe.h>

#include "sched/core.h"
#include "sched/poller.h"
#include "test/support/allocator.h"
#include "test/support/random.h"

/* ---- an actor that is a script: what it does is in the test ---- */

struct script {
    int (*on_init)(struct troupe_actor *self, struct script *script);
    int (*on_ready)(
        struct troupe_actor *self, struct script *script, const struct troupe_ready *ready);
    int ours[4];   /* descriptors adopted in init */
    int theirs[4]; /* their other ends */
    int count;
    struct troupe_io *ios[4];
    unsigned ready;  /* messages of readiness */
    uint32_t events; /* of all of them */
    uint32_t last;   /* of the last one */
    int result;      /* of whatever the test tries */
};

static int script_init(struct troupe_actor *self, void *state, const void *arg)
{
    struct script *script = *(struct script *const *)arg;
    int i;

    *(struct script **)state = script;
    if (script->on_init != NULL) {
        return script->on_init(self, script);
    }
    for (i = 0; i < script->count; i++) {
        TROUPE_TRY(troupe_io_open(self, script->ours[i], &script->ours[i], &script->ios[i]));
    }
    return TROUPE_OK;
}

static int script_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct script *script = *(struct script **)state;
    const struct troupe_ready *ready = troupe_body(msg);

    if (!troupe_is(msg, &troupe_ready)) {
        return TROUPE_DONE; /* told to end */
    }
    script->ready++;
    script->events |= ready->events;
    script->last = ready->events;
    return script->on_ready != NULL ? script->on_ready(self, script, ready) : TROUPE_OK;
}

static const struct troupe_behaviour script_behaviour = {
    .name = "script",
    .state_size = sizeof(struct script *),
    .init = script_init,
    .receive = script_receive,
};

static const struct troupe_type end_now = TROUPE_SIGNAL;

/* ---- a runtime without threads: the test decides when what happens ---- */

struct stage {
    struct test_allocator memory;
    struct troupe_allocator allocator;
    struct troupe_runtime *runtime;
    struct script script;
    troupe_pid pid;
};

static void stage_open(struct stage *stage, uint32_t io_max)
{
    struct troupe_runtime_options options = {
        .workers = TROUPE_NO_THREADS,
        .watchdog_ms = TROUPE_NO_WATCHDOG,
        .limits.actor_ios = io_max,
    };

    memset(stage, 0, sizeof *stage);
    stage->allocator = test_allocator_of(&stage->memory);
    options.allocator = &stage->allocator;
    cr_assert_eq(troupe_runtime_create(&options, &stage->runtime), TROUPE_OK);
    cr_assert_eq(troupe_runtime_start(stage->runtime), TROUPE_OK);
}

static void turn(struct stage *stage)
{
    int wait_ms;
    int i;

    /* A turn looks at the poller at its end; what that brings is done in the next one. */
    for (i = 0; i < 3; i++) {
        cr_assert_eq(troupe_runtime_turn(stage->runtime, 1000, &wait_ms), TROUPE_OK);
    }
}

static void stage_spawn(struct stage *stage)
{
    struct script *script = &stage->script;
    struct troupe_spawn_options options = {
        .behaviour = &script_behaviour, .arg = &script, .arg_size = sizeof script};

    cr_assert_eq(troupe_runtime_spawn(stage->runtime, &options, &stage->pid), TROUPE_OK);
    turn(stage);
}

/* One pair of connected sockets for the actor, more with each call before it is spawned. */
static void add_pair(struct script *script)
{
    int pair[2];

    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
    script->ours[script->count] = pair[0];
    script->theirs[script->count] = pair[1];
    script->count++;
}

/* The writability that each descriptor has at first is told and forgotten. */
static void stage_settle(struct stage *stage)
{
    turn(stage);
    stage->script.ready = 0;
    stage->script.events = 0;
    stage->script.last = 0;
}

static void put(int fd)
{
    cr_assert_eq(send(fd, "x", 1, MSG_NOSIGNAL), 1);
}

/* Ends the actor, then everything; all memory must have come back. */
static void stage_close(struct stage *stage)
{
    struct troupe_message *msg;
    int i;

    if (troupe_is_alive(stage->runtime, stage->pid)) {
        cr_assert_eq(troupe_message_create(stage->runtime, &end_now, 0, &msg), TROUPE_OK);
        cr_assert_eq(troupe_try_send(stage->runtime, stage->pid, msg), TROUPE_OK);
        turn(stage);
    }
    cr_assert_eq(troupe_runtime_stop(stage->runtime, 1000), TROUPE_OK);
    cr_assert_eq(troupe_runtime_destroy(stage->runtime), TROUPE_OK);
    cr_assert_eq(
        stage->memory.blocks, 0, "%llu blocks leaked", (unsigned long long)stage->memory.blocks);
    for (i = 0; i < stage->script.count; i++) {
        close(stage->script.theirs[i]);
    }
}

/* Whether the other end of a descriptor that was ours has seen it closed. */
static bool is_closed(int theirs)
{
    char byte;

    return recv(theirs, &byte, 1, MSG_DONTWAIT) == 0;
}

/* ---- readiness ---- */

Test(poller, readiness_arrives_as_a_message, .timeout = 10)
{
    struct stage stage;

    stage_open(&stage, 0);
    add_pair(&stage.script);
    stage_spawn(&stage);
    cr_assert(stage.script.events & TROUPE_IO_WRITE, "a fresh socket is writable");
    stage_settle(&stage);
    put(stage.script.theirs[0]);
    turn(&stage);
    cr_assert_eq(stage.script.ready, 1);
    cr_assert(stage.script.events & TROUPE_IO_READ);
    cr_assert_eq(stage.script.events & (TROUPE_IO_HANGUP | TROUPE_IO_END), 0);
    stage_close(&stage);
}

static int remember_context(
    struct troupe_actor *self, struct script *script, const struct troupe_ready *ready)
{
    (void)self;
    script->result = ready->context == &script->ours[0] && ready->io == script->ios[0] &&
                     troupe_io_fd(ready->io) == script->ours[0];
    return TROUPE_OK;
}

Test(poller, a_message_names_its_io_and_context, .timeout = 10)
{
    struct stage stage;

    stage_open(&stage, 0);
    add_pair(&stage.script);
    stage.script.on_ready = remember_context;
    stage_spawn(&stage);
    cr_assert_eq(stage.script.result, 1);
    stage_close(&stage);
}

Test(poller, no_change_is_no_message, .timeout = 10)
{
    struct stage stage;

    stage_open(&stage, 0);
    add_pair(&stage.script);
    stage_spawn(&stage);
    stage_settle(&stage);
    put(stage.script.theirs[0]);
    turn(&stage);
    turn(&stage);
    cr_assert_eq(stage.script.ready, 1, "edge-triggered: what was not read is not told again");
    stage_close(&stage);
}

/* A handler that asks for itself: the io is TAKEN then, and retire sends it again. */
static int again_twice(
    struct troupe_actor *self, struct script *script, const struct troupe_ready *ready)
{
    if (script->ready <= 2) {
        troupe_io_again(self, ready->io);
        troupe_io_again(self, ready->io);
    }
    return TROUPE_OK;
}

Test(poller, what_comes_while_a_message_is_handled_is_told_after_it, .timeout = 10)
{
    struct stage stage;

    stage_open(&stage, 0);
    add_pair(&stage.script);
    stage.script.on_ready = again_twice;
    stage_spawn(&stage);
    /* The first message, and one for each of the two that asked twice. */
    cr_assert_eq(stage.script.ready, 3);
    cr_assert_eq(stage.script.last, TROUPE_IO_AGAIN, "nothing but what was asked for");
    stage_close(&stage);
}

static int again_when_writable(
    struct troupe_actor *self, struct script *script, const struct troupe_ready *ready)
{
    if (ready->io == script->ios[1]) {
        troupe_io_again(self, script->ios[0]);
    }
    return TROUPE_OK;
}

Test(poller, an_io_at_rest_is_told_of_by_again, .timeout = 10)
{
    struct stage stage;

    stage_open(&stage, 0);
    add_pair(&stage.script);
    add_pair(&stage.script);
    stage_spawn(&stage);
    stage_settle(&stage);
    stage.script.on_ready = again_when_writable;
    put(stage.script.theirs[1]);
    turn(&stage);
    cr_assert_eq(stage.script.ready, 2, "the one that was written to, and the one asked for");
    cr_assert_eq(stage.script.last, TROUPE_IO_AGAIN);
    stage_close(&stage);
}

Test(poller, the_last_byte_is_an_event_of_its_own, .timeout = 10)
{
    struct stage stage;

    stage_open(&stage, 0);
    add_pair(&stage.script);
    stage_spawn(&stage);
    stage_settle(&stage);
    cr_assert_eq(shutdown(stage.script.theirs[0], SHUT_WR), 0);
    turn(&stage);
    cr_assert(stage.script.events & TROUPE_IO_END);
    cr_assert(stage.script.events & TROUPE_IO_READ, "a read finds it");
    cr_assert_eq(stage.script.events & TROUPE_IO_HANGUP, 0, "one direction is open");
    stage_close(&stage);
}

Test(poller, a_peer_that_is_gone_is_a_hangup, .timeout = 10)
{
    struct stage stage;

    stage_open(&stage, 0);
    add_pair(&stage.script);
    stage_spawn(&stage);
    stage_settle(&stage);
    close(stage.script.theirs[0]);
    stage.script.theirs[0] = -1;
    turn(&stage);
    cr_assert(stage.script.events & TROUPE_IO_HANGUP);
    stage_close(&stage);
}

/* ---- closing ---- */

/* The first to hear of its readiness closes all others, whose messages are queued behind. */
static int close_others(
    struct troupe_actor *self, struct script *script, const struct troupe_ready *ready)
{
    int i;

    for (i = 0; i < script->count; i++) {
        if (script->ios[i] != ready->io) {
            troupe_io_close(self, script->ios[i]);
        }
    }
    return TROUPE_OK;
}

Test(poller, a_message_that_is_queued_when_its_io_closes_is_not_handled, .timeout = 10)
{
    struct stage stage;
    int i;

    stage_open(&stage, 0);
    for (i = 0; i < 4; i++) {
        add_pair(&stage.script);
    }
    stage_spawn(&stage);
    stage_settle(&stage);
    stage.script.on_ready = close_others;
    for (i = 0; i < 4; i++) {
        put(stage.script.theirs[i]);
    }
    turn(&stage);
    cr_assert_eq(stage.script.ready, 1, "three were closed while they were queued");
    stage_close(&stage);
}

static int close_itself(
    struct troupe_actor *self, struct script *script, const struct troupe_ready *ready)
{
    (void)script;
    troupe_io_close(self, ready->io);
    return TROUPE_OK;
}

Test(poller, an_io_may_be_closed_in_its_own_message, .timeout = 10)
{
    struct stage stage;

    stage_open(&stage, 0);
    add_pair(&stage.script);
    stage.script.on_ready = close_itself;
    stage_spawn(&stage);
    turn(&stage);
    cr_assert_eq(stage.script.ready, 1);
    cr_assert(is_closed(stage.script.theirs[0]));
    stage_close(&stage);
}

Test(poller, an_actor_that_ends_closes_its_descriptors, .timeout = 10)
{
    struct stage stage;
    struct troupe_message *msg;

    stage_open(&stage, 0);
    add_pair(&stage.script);
    add_pair(&stage.script);
    stage_spawn(&stage);
    cr_assert(!is_closed(stage.script.theirs[0]));
    cr_assert_eq(troupe_message_create(stage.runtime, &end_now, 0, &msg), TROUPE_OK);
    cr_assert_eq(troupe_try_send(stage.runtime, stage.pid, msg), TROUPE_OK);
    turn(&stage);
    cr_assert(is_closed(stage.script.theirs[0]));
    cr_assert(is_closed(stage.script.theirs[1]));
    stage_close(&stage);
}

static int fail_at_once(
    struct troupe_actor *self, struct script *script, const struct troupe_ready *ready)
{
    (void)script;
    (void)ready;
    return troupe_fail(self, TROUPE_EPROTO, "on purpose");
}

Test(poller, an_actor_that_fails_with_messages_queued_leaves_nothing, .timeout = 10)
{
    struct stage stage;
    int i;

    stage_open(&stage, 0);
    for (i = 0; i < 4; i++) {
        add_pair(&stage.script);
    }
    stage_spawn(&stage);
    stage_settle(&stage);
    stage.script.on_ready = fail_at_once;
    for (i = 0; i < 4; i++) {
        put(stage.script.theirs[i]);
    }
    turn(&stage);
    cr_assert_eq(stage.script.ready, 1);
    for (i = 0; i < 4; i++) {
        cr_assert(is_closed(stage.script.theirs[i]) || errno == ECONNRESET);
    }
    stage_close(&stage); /* counts the blocks */
}

/* ---- errors ---- */

static int try_nonsense(struct troupe_actor *self, struct script *script)
{
    struct troupe_io *io = NULL;
    int blocking[2];

    cr_assert_eq(troupe_io_open(NULL, script->ours[0], NULL, &io), TROUPE_EINVAL);
    cr_assert_eq(troupe_io_open(self, script->ours[0], NULL, NULL), TROUPE_EINVAL);
    cr_assert_eq(troupe_io_open(self, -1, NULL, &io), TROUPE_EINVAL);
    cr_assert_eq(troupe_io_open(self, 1 << 20, NULL, &io), TROUPE_EINVAL);
    cr_assert_eq(pipe(blocking), 0);
    cr_assert_eq(
        troupe_io_open(self, blocking[0], NULL, &io), TROUPE_EINVAL, "it would hold a worker");
    close(blocking[0]);
    close(blocking[1]);
    cr_assert_eq(troupe_io_fd(NULL), TROUPE_EINVAL);
    troupe_io_close(self, NULL);
    troupe_io_again(self, NULL);
    cr_assert_null(io, "untouched on failure");
    return TROUPE_OK;
}

Test(poller, nonsense_is_refused, .timeout = 10)
{
    struct stage stage;

    stage_open(&stage, 0);
    add_pair(&stage.script);
    stage.script.on_init = try_nonsense;
    stage_spawn(&stage);
    cr_assert(troupe_is_alive(stage.runtime, stage.pid));
    close(stage.script.ours[0]);
    stage_close(&stage);
}

static int try_regular_file(struct troupe_actor *self, struct script *script)
{
    struct troupe_io *io;
    int fd = open("/proc/self/exe", O_RDONLY | O_NONBLOCK | O_CLOEXEC);

    cr_assert_geq(fd, 0);
    script->result = troupe_io_open(self, fd, NULL, &io);
    cr_assert_eq(fcntl(fd, F_GETFD), FD_CLOEXEC, "still open, and ours");
    close(fd);
    return TROUPE_OK;
}

Test(poller, a_descriptor_that_cannot_be_polled_stays_the_callers, .timeout = 10)
{
    struct stage stage;

    stage_open(&stage, 0);
    stage.script.on_init = try_regular_file;
    stage_spawn(&stage);
    cr_assert_eq(stage.script.result, TROUPE_ESYSTEM);
    stage_close(&stage);
}

static int open_one_too_many(struct troupe_actor *self, struct script *script)
{
    TROUPE_TRY(troupe_io_open(self, script->ours[0], NULL, &script->ios[0]));
    TROUPE_TRY(troupe_io_open(self, script->ours[1], NULL, &script->ios[1]));
    script->result = troupe_io_open(self, script->ours[2], NULL, &script->ios[2]);
    troupe_io_close(self, script->ios[0]);
    return troupe_io_open(self, script->ours[2], NULL, &script->ios[2]);
}

Test(poller, an_actor_has_no_more_descriptors_than_the_limit, .timeout = 10)
{
    struct stage stage;
    int i;

    stage_open(&stage, 2);
    for (i = 0; i < 3; i++) {
        add_pair(&stage.script);
    }
    stage.script.on_init = open_one_too_many;
    stage_spawn(&stage);
    cr_assert_eq(stage.script.result, TROUPE_ELIMIT);
    cr_assert(troupe_is_alive(stage.runtime, stage.pid), "one closed makes room for one");
    stage_close(&stage);
}

static int open_or_clean_up(struct troupe_actor *self, struct script *script)
{
    script->result = troupe_io_open(self, script->ours[0], NULL, &script->ios[0]);
    if (script->result < 0) {
        cr_assert_eq(script->result, TROUPE_ENOMEM);
        close(script->ours[0]);
    }
    return TROUPE_OK;
}

Test(poller, an_open_without_memory_leaves_no_trace, .timeout = 20)
{
    unsigned failures = 0;
    uint64_t k;

    for (k = 1; k < 100; k++) {
        struct stage stage;
        struct script *script;
        struct troupe_spawn_options options = {
            .behaviour = &script_behaviour, .arg = &script, .arg_size = sizeof script};

        stage_open(&stage, 0);
        add_pair(&stage.script);
        stage.script.on_init = open_or_clean_up;
        script = &stage.script;
        cr_assert_eq(troupe_runtime_spawn(stage.runtime, &options, &stage.pid), TROUPE_OK);
        stage.memory.fail_at = stage.memory.calls + k;
        turn(&stage);
        stage.memory.fail_at = 0;
        failures += stage.script.result < 0;
        if (stage.script.result == TROUPE_OK) {
            k = 100; /* no allocation is left to fail */
        }
        stage_close(&stage);
    }
    cr_assert_geq(failures, 1, "the block itself can fail");
}

/* ---- the wait ---- */

struct sleeper {
    struct trp_memory memory;
    struct trp_poller *poller;
    pthread_barrier_t ready;
};

static void *sleep_for_ever(void *arg)
{
    struct sleeper *sleeper = arg;

    cr_assert_eq(trp_reclaim_attach(), TROUPE_OK);
    pthread_barrier_wait(&sleeper->ready);
    cr_assert_eq(trp_poller_wait(sleeper->poller, NULL, TROUPE_FOREVER), 0);
    trp_reclaim_detach();
    return NULL;
}

Test(poller, a_wake_ends_the_wait_that_goes_on_or_the_next, .timeout = 20)
{
    struct sleeper sleeper;
    int round;

    trp_memory_init(&sleeper.memory, NULL, UINT64_MAX);
    cr_assert_eq(trp_poller_create(&sleeper.memory, &sleeper.poller), TROUPE_OK);
    pthread_barrier_init(&sleeper.ready, NULL, 2);
    for (round = 0; round < 200; round++) {
        pthread_t thread;

        cr_assert_eq(pthread_create(&thread, NULL, sleep_for_ever, &sleeper), 0);
        pthread_barrier_wait(&sleeper.ready);
        trp_poller_wake(sleeper.poller);
        pthread_join(thread, NULL);
    }
    pthread_barrier_destroy(&sleeper.ready);
    trp_poller_destroy(sleeper.poller, &sleeper.memory);
    trp_poller_destroy(NULL, &sleeper.memory);
    cr_assert_eq(sleeper.memory.held, 0);
}

/* ---- stress: echoers that open, echo and close, on two workers ---- */

enum {
    ECHOERS = 16,
    ROUNDS = 400,
};

struct echo_arg {
    int fd;
    int unused;
};

/* Echoes until the end, then closes by itself or by ending, whichever its number says. */
static int echo_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    const struct troupe_ready *ready = troupe_body(msg);
    char bytes[64];
    ssize_t count;

    (void)state;
    if (!troupe_is(msg, &troupe_ready)) {
        return TROUPE_EUNKNOWN;
    }
    while ((count = recv(troupe_io_fd(ready->io), bytes, sizeof bytes, 0)) > 0) {
        if (send(troupe_io_fd(ready->io), bytes, (size_t)count, MSG_NOSIGNAL) != count) {
            return TROUPE_DONE;
        }
    }
    if (count == 0 || (errno != EAGAIN && errno != EINTR)) {
        if (troupe_self(self) & 1) {
            troupe_io_close(self, ready->io);
        }
        return TROUPE_DONE;
    }
    return TROUPE_OK;
}

static int echo_init(struct troupe_actor *self, void *state, const void *arg)
{
    const struct echo_arg *echo = arg;
    struct troupe_io *io;

    (void)state;
    return troupe_io_open(self, echo->fd, NULL, &io);
}

static const struct troupe_behaviour echo_behaviour = {
    .name = "echo",
    .state_size = 8,
    .init = echo_init,
    .receive = echo_receive,
};

/* Sends `size` bytes and reads them back; blocking, with no end of patience but the test's. */
static void exchange(int fd, size_t size)
{
    char out[64];
    char in[64];
    size_t have = 0;

    memset(out, 'e', sizeof out);
    cr_assert_eq(write(fd, out, size), (ssize_t)size);
    while (have < size) {
        ssize_t count = read(fd, in + have, size - have);

        cr_assert_gt(count, 0);
        have += (size_t)count;
    }
    cr_assert_eq(memcmp(in, out, size), 0);
}

static int spawn_echo(struct troupe_runtime *runtime)
{
    struct echo_arg arg = {0};
    struct troupe_spawn_options options = {
        .behaviour = &echo_behaviour, .arg = &arg, .arg_size = sizeof arg};
    troupe_pid pid;
    int pair[2];

    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    cr_assert_eq(fcntl(pair[0], F_SETFL, O_NONBLOCK), 0);
    arg.fd = pair[0];
    cr_assert_eq(troupe_runtime_spawn(runtime, &options, &pid), TROUPE_OK);
    return pair[1];
}

Test(poller, descriptors_that_come_and_go_under_load_lose_no_byte_and_no_block, .timeout = 120)
{
    struct test_random random = test_random_of(test_seed("poller"));
    struct test_allocator memory = {0};
    struct troupe_allocator allocator = test_allocator_of(&memory);
    struct troupe_runtime_options options = {
        .workers = 2, .watchdog_ms = TROUPE_NO_WATCHDOG, .allocator = &allocator};
    struct troupe_runtime *runtime;
    int fds[ECHOERS];
    int round;
    int i;

    cr_assert_eq(troupe_runtime_create(&options, &runtime), TROUPE_OK);
    cr_assert_eq(troupe_runtime_start(runtime), TROUPE_OK);
    for (i = 0; i < ECHOERS; i++) {
        fds[i] = spawn_echo(runtime);
    }
    for (round = 0; round < ROUNDS * ECHOERS; round++) {
        i = (int)test_below(&random, ECHOERS);
        exchange(fds[i], 1 + test_below(&random, 64));
        if (test_below(&random, 4) == 0) {
            close(fds[i]);
            fds[i] = spawn_echo(runtime);
        }
    }
    for (i = 0; i < ECHOERS; i++) {
        close(fds[i]);
    }
    cr_assert_eq(troupe_runtime_stop(runtime, 10000), TROUPE_OK);
    cr_assert_eq(troupe_runtime_destroy(runtime), TROUPE_OK);
    cr_assert_eq(memory.blocks, 0, "%llu blocks leaked", (unsigned long long)memory.blocks);
}
