/* SPDX-License-Identifier: MIT */
/*
 * echo_fiber.c - an echo server with a fiber for each client, and a client to go with it.
 *
 * The listener accepts, and has each client served by an actor of its own, which is a plain loop: read a line, write it back.
 * If one fails, its client is closed and nobody else notices.  The client is a child of the same tree, and the tree ends
 * with it; an argument is a port to serve until SIGTERM, without that client.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <troupe.h>

#define WAIT_MS 5000
#define LINE_MAX_SIZE 1000

static _Alignas(8) uint16_t port; /* the listener's */

static int serve(struct troupe_actor *self, struct troupe_stream *stream, const void *arg)
{
    (void)arg;
    for (;;) {
        const char *line;
        size_t size;
        int error = troupe_stream_read_until(
            self, stream, "\n", LINE_MAX_SIZE, TROUPE_FOREVER, &line, &size);

        if (error == TROUPE_ECLOSED) {
            return TROUPE_OK;
        }
        if (error < 0) {
            return troupe_fail(self, error, "while waiting for a line");
        }
        TROUPE_TRY(troupe_stream_write(self, stream, line, size, WAIT_MS));
    }
}

/* Whoever talks to the server does so in a straight line as well. */
static int talk(struct troupe_actor *self, const void *arg)
{
    static const char *const lines[] = {"hello\n", "a line at a time\n", "goodbye\n"};
    struct troupe_stream *stream;

    (void)arg;
    TROUPE_TRY(troupe_stream_connect(self, "127.0.0.1", port, WAIT_MS, &stream));
    for (size_t i = 0; i < TROUPE_COUNT(lines); i++) {
        const char *echo;
        size_t size;

        TROUPE_TRY(troupe_stream_write(self, stream, lines[i], strlen(lines[i]), WAIT_MS));
        TROUPE_TRY(
            troupe_stream_read_until(self, stream, "\n", LINE_MAX_SIZE, WAIT_MS, &echo, &size));
        printf("%.*s", (int)size, echo);
    }
    return TROUPE_OK;
}

static const struct troupe_behaviour talker = {.name = "talker", .main = talk};

int main(int argc, char **argv)
{
    const struct troupe_listener_spec listener = {
        .serve = serve, .port = (uint16_t)(argc > 1 ? atoi(argv[1]) : 0), .out_port = &port};
    const struct troupe_child_spec children[] = {
        {.id = "listener",
            .behaviour = &troupe_listener_behaviour,
            .arg = &listener,
            .arg_size = sizeof listener},
        {.id = "talker", .behaviour = &talker, .restart = TROUPE_TRANSIENT, .significant = true},
    };
    const struct troupe_supervisor_spec tree = {.name = "echo",
        .children = children,
        .child_count = argc > 1 ? 1 : 2,
        .auto_shutdown = TROUPE_SHUTDOWN_ANY_SIGNIFICANT};

    return troupe_run(NULL, &tree) == TROUPE_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}
