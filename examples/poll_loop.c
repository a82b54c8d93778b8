/* SPDX-License-Identifier: MIT */
/*
 * poll_loop.c - a runtime without threads, inside a program that has a poll() loop of its own.
 *
 * Lines from standard input go to an actor as messages; a timer of its own tells it, once a second, to say how many
 * came.  Everything runs on this one thread.  Ends at the end of the input.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <troupe.h>

static const struct troupe_type line = TROUPE_BYTES;
static const struct troupe_type second = TROUPE_SIGNAL;

struct counter {
    unsigned lines;
    size_t bytes;
};

static int counter_init(struct troupe_actor *self, void *state, const void *arg)
{
    struct troupe_timer timer;

    (void)state;
    (void)arg;
    return troupe_tick_every(self, 1000, &second, NULL, &timer);
}

static int counter_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct counter *counter = state;

    (void)self;
    if (troupe_is(msg, &line)) {
        counter->lines++;
        counter->bytes += troupe_body_size(msg);
        return TROUPE_OK;
    }
    if (troupe_is(msg, &second)) {
        printf("%u lines, %zu bytes so far\n", counter->lines, counter->bytes);
        return TROUPE_OK;
    }
    return TROUPE_EUNKNOWN;
}

static void counter_terminate(
    struct troupe_actor *self, void *state, const struct troupe_reason *reason)
{
    const struct counter *counter = state;

    (void)self;
    printf("%u lines, %zu bytes in all; ended with %s\n", counter->lines, counter->bytes,
        troupe_exit_name(reason->kind));
}

static const struct troupe_behaviour counter_behaviour = {
    .name = "counter",
    .state_size = sizeof(struct counter),
    .init = counter_init,
    .receive = counter_receive,
    .terminate = counter_terminate,
};

/* Sends one line.  A full mailbox is no error here: turns empty it, and the line is sent again. */
static int send_line(struct troupe_runtime *runtime, troupe_pid to, const char *text, size_t length)
{
    struct troupe_message *msg;
    int error;

    TROUPE_TRY(troupe_message_create(runtime, &line, length, &msg));
    memcpy(troupe_body(msg), text, length);
    error = troupe_try_send(runtime, to, msg);
    while (error == TROUPE_EFULL) {
        int wait_ms;

        error = troupe_runtime_turn(runtime, 10, &wait_ms);
        if (error == TROUPE_OK) {
            error = troupe_try_send(runtime, to, msg);
        }
    }
    if (error < 0) {
        troupe_message_destroy(msg);
    }
    return error;
}

/* Sends what one read gives, cut at line ends.  1: there may be more; 0: the input has ended. */
static int read_lines(struct troupe_runtime *runtime, troupe_pid to)
{
    char bytes[4096];
    ssize_t size = read(STDIN_FILENO, bytes, sizeof bytes);
    const char *at = bytes;

    if (size < 0) {
        return errno == EINTR ? 1 : TROUPE_ESYSTEM;
    }
    while (at < bytes + size) {
        const char *end = memchr(at, '\n', (size_t)(bytes + size - at));
        size_t length = end != NULL ? (size_t)(end - at) + 1 : (size_t)(bytes + size - at);

        TROUPE_TRY(send_line(runtime, to, at, length));
        at += length;
    }
    return size > 0;
}

/* The loop that the program would have anyway, with one descriptor and one call more. */
static int loop(struct troupe_runtime *runtime, troupe_pid counter)
{
    struct pollfd fds[2] = {
        {.fd = troupe_runtime_fd(runtime), .events = POLLIN},
        {.fd = STDIN_FILENO, .events = POLLIN},
    };
    int more = 1;

    while (more > 0) {
        int wait_ms;

        TROUPE_TRY(troupe_runtime_turn(runtime, 10, &wait_ms));
        if (poll(fds, TROUPE_COUNT(fds), wait_ms) < 0) {
            if (errno != EINTR) {
                return TROUPE_ESYSTEM;
            }
            continue;
        }
        if (fds[1].revents != 0) {
            more = read_lines(runtime, counter);
        }
    }
    return more;
}

static int run(struct troupe_runtime *runtime)
{
    struct troupe_spawn_options options = {.behaviour = &counter_behaviour};
    troupe_pid counter;
    int error;
    int stopped;

    TROUPE_TRY(troupe_runtime_spawn(runtime, &options, &counter));
    TROUPE_TRY(troupe_runtime_start(runtime));
    error = loop(runtime, counter);
    stopped = troupe_runtime_stop(runtime, 1000);
    return error < 0 ? error : stopped;
}

int main(void)
{
    struct troupe_runtime_options options = {.workers = TROUPE_NO_THREADS};
    struct troupe_runtime *runtime;
    int error = troupe_runtime_create(&options, &runtime);

    if (error == TROUPE_OK) {
        int destroyed;

        error = run(runtime);
        destroyed = troupe_runtime_destroy(runtime);
        error = error < 0 ? error : destroyed;
    }
    if (error < 0) {
        fprintf(stderr, "poll_loop: %s\n", troupe_strerror(error));
        return 1;
    }
    return 0;
}
