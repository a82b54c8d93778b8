/* SPDX-License-Identifier: MIT */
/*
 * serving.c - one client, and one fiber that serves it from its first byte to its last: what a listener with `serve` makes.
 *
 * Its first message brings the descriptor, as that of a connection does (connection.c).  When `serve` has returned, what it
 * wrote is let through before the descriptor is closed.
 */
#include "core.h"
#include "stream.h"

#include <troupe/fiber.h>
#include <troupe/message.h>

/* The stream of the client whom the message brings. */
static int adopt(
    struct troupe_actor *self, struct troupe_message *msg, struct troupe_stream **out_stream)
{
    struct trp_adopt *adopt = troupe_body(msg);

    TROUPE_TRY(trp_stream_adopt(self, adopt->fd, &adopt->peer, out_stream));
    adopt->fd = -1;
    return TROUPE_OK;
}

static int serving_main(struct troupe_actor *self, const void *arg)
{
    const struct troupe_listener_spec *spec = arg;
    static const struct troupe_type *const first[] = {&trp_adopt};
    struct troupe_stream *stream;
    struct troupe_message *msg;
    int status;

    TROUPE_TRY(troupe_receive_of(self, first, 1, TROUPE_FOREVER, &msg));
    TROUPE_TRY(adopt(self, msg, &stream));
    status = spec->serve(self, stream, spec->arg);
    if (status >= 0 && trp_io_is_open(self, stream)) {
        trp_stream_linger(self, stream);
    }
    return status;
}

const struct troupe_behaviour trp_serving_behaviour = {.name = "connection", .main = serving_main};
