/* SPDX-License-Identifier: MIT */
/*
 * thread.c - an actor with a thread of its own: it reads from a pipe with read(), which blocks, and tells a counter what it read.
 *
 * The counter is an actor as any other, and runs on a worker.  Whoever writes here is the program's own thread.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <troupe.h>

static const struct troupe_type text = {.name = "text", .variable = true};
static const struct troupe_type end = TROUPE_SIGNAL;

static int counter_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    size_t *bytes = state;

    (void)self;
    if (troupe_is(msg, &text)) {
        *bytes += troupe_body_size(msg);
        return TROUPE_OK;
    }
    if (troupe_is(msg, &end)) {
        printf("%zu bytes\n", *bytes);
        return TROUPE_DONE;
    }
    return TROUPE_EUNKNOWN;
}

static const struct troupe_behaviour counter = {
    .name = "counter", .state_size = sizeof(size_t), .receive = counter_receive};

/* On a thread of its own: nobody else is held up while it waits in read(), or for room in the counter's mailbox. */
static int reader_main(struct troupe_actor *self, const void *arg)
{
    const int *fd = arg;
    troupe_pid to = troupe_whereis(self, "counter");
    char piece[64];
    ssize_t size;

    while ((size = read(*fd, piece, sizeof piece)) > 0) {
        TROUPE_TRY(troupe_send_bytes_within(self, to, &text, piece, (size_t)size, TROUPE_FOREVER));
    }
    return size < 0 ? troupe_fail(self, TROUPE_ESYSTEM, "read")
                    : troupe_send_within(self, to, &end, NULL, TROUPE_FOREVER);
}

static const struct troupe_behaviour reader = {
    .name = "reader", .main = reader_main, .thread = true};

/* Writes a few lines, and closes the pipe. */
static void write_lines(int fd)
{
    static const char line[] = "something to be counted\n";

    for (int i = 0; i < 100; i++) {
        if (write(fd, line, strlen(line)) < 0) {
            break;
        }
    }
    close(fd);
}

int main(void)
{
    struct troupe_spawn_options options = {.behaviour = &counter, .name = "counter"};
    struct troupe_runtime *runtime;
    struct troupe_reason reason;
    troupe_pid pid;
    int pipes[2];

    if (pipe(pipes) != 0 || troupe_runtime_create(NULL, &runtime) < 0) {
        return 1;
    }
    if (troupe_runtime_start(runtime) < 0 || troupe_runtime_spawn(runtime, &options, &pid) < 0) {
        return 1;
    }
    options = (struct troupe_spawn_options){
        .behaviour = &reader, .arg = &pipes[0], .arg_size = sizeof pipes[0]};
    if (troupe_runtime_spawn(runtime, &options, &(troupe_pid){0}) < 0) {
        return 1;
    }
    write_lines(pipes[1]);
    if (troupe_join(runtime, pid, TROUPE_FOREVER, &reason) < 0) {
        return 1;
    }
    close(pipes[0]);
    return troupe_runtime_stop(runtime, 1000) < 0 || troupe_runtime_destroy(runtime) < 0;
}
