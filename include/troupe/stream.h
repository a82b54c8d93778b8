/* SPDX-License-Identifier: MIT */
/*
 * stream.h - connections in straight-line code: connect, accept, read and write, and wait for each.
 *
 * A stream is a connected socket of one actor, whose callbacks may wait (fiber.h).  While one of them waits for bytes other
 * actors run, and the actor's own messages stay in its queue.  One actor for each client is natural: a listener (net.h) with
 * `serve` makes one, and calls it with its stream.
 *
 * Every function with a `wait_ms` is a cancellation point.  It waits so many milliseconds in all; 0: what is possible now, and
 * others run; TROUPE_FOREVER; but never longer than whoever asked for what is handled now waits (troupe_deadline()).
 *
 * Common errors:
 *   TROUPE_ECLOSED    the other side has closed, and all that it sent was read
 *   TROUPE_ERESET     the connection was reset: what was on its way is lost
 *   TROUPE_ETIMEDOUT  neither, in that time
 *   TROUPE_ESYSTEM    errno says what the system said
 *   TROUPE_ENOMEM, TROUPE_ELIMIT (limits.actor_timers): waiting with a limit takes a timer; and room for what is kept
 *   TROUPE_EINVAL     NULL where something is required; a stream of another actor; where one may not wait
 *
 * A stream is closed by troupe_stream_close(), or when its actor ends.  What was written before is still sent; but bytes that
 * came and were not read make the kernel reset the connection, which can overtake what was written last.
 */
#ifndef TROUPE_STREAM_H
#define TROUPE_STREAM_H

#include "troupe/actor.h"

TROUPE_BEGIN_DECLS

struct troupe_stream;

/**
 * Connects to `host`, a numeric IPv4 or IPv6 address.
 *
 * Threads  a callback of `self` that may wait
 * Errors   the common ones; TROUPE_ESYSTEM, errno ECONNREFUSED: nobody listens there; TROUPE_ELIMIT: also limits.actor_ios
 */
TROUPE_API TROUPE_CHECKED int troupe_stream_connect(struct troupe_actor *self, const char *host,
    uint16_t port, int wait_ms, struct troupe_stream **out_stream);

/**
 * Listens on `host`, a numeric address, and `port`, or 0 for any.  The stream is for troupe_stream_accept() alone; who wants
 * limits, and an actor for each client, uses a listener (net.h).
 *
 * Threads  a callback of `self` that may wait
 */
TROUPE_API TROUPE_CHECKED int troupe_stream_listen(
    struct troupe_actor *self, const char *host, uint16_t port, struct troupe_stream **out_stream);

/** The port that `stream` is bound to on our side; 0 for NULL. */
TROUPE_API uint16_t troupe_stream_port(const struct troupe_stream *stream);

/** Waits for a client.  Its stream is `self`'s as well.  Errors: the common ones; errno EMFILE: no descriptor is left. */
TROUPE_API TROUPE_CHECKED int troupe_stream_accept(struct troupe_actor *self,
    struct troupe_stream *listening, int wait_ms, struct troupe_stream **out_stream);

/** Waits for bytes, and reads up to `size` > 0 of them: *out_size is at least 1. */
TROUPE_API TROUPE_CHECKED int troupe_stream_read(struct troupe_actor *self,
    struct troupe_stream *stream, void *buffer, size_t size, int wait_ms, size_t *out_size);

/** Reads exactly `size` bytes.  On error nothing was taken: what has come stays to be read. */
TROUPE_API TROUPE_CHECKED int troupe_stream_read_exactly(struct troupe_actor *self,
    struct troupe_stream *stream, void *buffer, size_t size, int wait_ms);

/**
 * Reads up to the first `delimiter`, a text such as "\r\n", and with it.
 *
 * Owns     *out_data is the stream's, *out_size bytes, good until the next call that reads from it
 * Errors   the common ones; TROUPE_EMSGSIZE: no delimiter within `max` bytes.  On error nothing was taken
 */
TROUPE_API TROUPE_CHECKED int troupe_stream_read_until(struct troupe_actor *self,
    struct troupe_stream *stream, const char *delimiter, size_t max, int wait_ms,
    const char **out_data, size_t *out_size);

/** Writes all of `size` bytes, waiting while the kernel takes no more.  After an error nobody knows how many were sent. */
TROUPE_API TROUPE_CHECKED int troupe_stream_write(struct troupe_actor *self,
    struct troupe_stream *stream, const void *data, size_t size, int wait_ms);

/** Says that nothing more will be written; reading goes on.  TROUPE_ERESET, TROUPE_ESYSTEM, TROUPE_EINVAL. */
TROUPE_API TROUPE_CHECKED int troupe_stream_end(
    struct troupe_actor *self, struct troupe_stream *stream);

/** Closes it.  A callback of its actor; NULL does nothing. */
TROUPE_API void troupe_stream_close(struct troupe_actor *self, struct troupe_stream *stream);

/** Address of the other side as text, "127.0.0.1:4711" or "[::1]:4711"; of one that listens, its own.  Good as long as the
 * stream. */
TROUPE_API const char *troupe_stream_peer(const struct troupe_stream *stream);

TROUPE_END_DECLS

#endif
