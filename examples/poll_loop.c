/* SPDX-License-Identifier: MIT */
/*
 * poll_loop.c - a runtime without threads, inside a program that has a poll() loop of its own.
 *
 * What comes on standard input goes to an actor, which says once a second how much that was.  All on this one thread.
 */
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <troupe.h>
#include <unistd.h>

static const struct troupe_type chunk = TROUPE_BYTES;
static const struct troupe_type second = TROUPE_SIGNAL;

static int counter_init(struct troupe_actor *self, void *state, const void *arg)
{
    (void)state;
    (void)arg;
    return troupe_tick_every(self, 1000, &second, NULL, NULL);
}

static int counter_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    size_t *bytes = state;

    (void)self;
    if (troupe_is(msg, &chunk)) {
        *bytes += troupe_body_size(msg);
    } else {
        printf("%zu bytes so far\n", *bytes);
    }
    return TROUPE_OK;
}

static void counter_destroy(void *state)
{
    printf("%zu bytes in all\n", *(size_t *)state);
}

static const struct troupe_behaviour counter = {.name = "counter",
    .state_size = sizeof(size_t),
    .init = counter_init,
    .receive = counter_receive,
    .destroy = counter_destroy};

/* Sends what one read gives: never too much, since turns empty the mailbox.  1: there may be more; 0: the input has ended. */
static int pass_on(struct troupe_runtime *runtime, troupe_pid to)
{
    struct troupe_message *msg;
    char bytes[4096];
    ssize_t size = read(STDIN_FILENO, bytes, sizeof bytes);

    if (size <= 0) {
        return size < 0 ? TROUPE_ESYSTEM : 0;
    }
    TROUPE_TRY(troupe_message_create(runtime, &chunk, (size_t)size, &msg));
    memcpy(troupe_body(msg), bytes, (size_t)size);
    if (troupe_try_send(runtime, to, msg) == TROUPE_OK) {
        return 1;
    }
    troupe_message_destroy(msg);
    return TROUPE_EFULL;
}

/* The loop that the program would have anyway, with one descriptor and one call more. */
static int loop(struct troupe_runtime *runtime)
{
    struct troupe_spawn_options options = {.behaviour = &counter};
    struct pollfd fds[] = {{troupe_runtime_fd(runtime), POLLIN, 0}, {STDIN_FILENO, POLLIN, 0}};
    troupe_pid pid;
    int wait_ms, more = 1;

    TROUPE_TRY(troupe_runtime_spawn(runtime, &options, &pid));
    TROUPE_TRY(troupe_runtime_start(runtime));
    while (more > 0) {
        TROUPE_TRY(troupe_runtime_turn(runtime, 10, &wait_ms));
        if (poll(fds, 2, wait_ms) > 0 && fds[1].revents != 0) {
            more = pass_on(runtime, pid);
        }
    }
    return more < 0 ? more : troupe_runtime_stop(runtime, 1000);
}

int main(void)
{
    struct troupe_runtime_options options = {.workers = TROUPE_NO_THREADS};
    struct troupe_runtime *runtime;
    int error = troupe_runtime_create(&options, &runtime);

    if (error == TROUPE_OK) {
        error = loop(runtime);
        (void)troupe_runtime_destroy(runtime);
    }
    if (error < 0) {
        fprintf(stderr, "poll_loop: %s\n", troupe_strerror(error));
    }
    return error < 0;
}
