/* SPDX-License-Identifier: MIT */
/*
 * net.h - TCP listeners and connections as actors.
 *
 * A listener is a supervisor's child (troupe_listener_behaviour with a troupe_listener_spec as its argument).  It
 * accepts, and spawns one connection actor per client, whose protocol is a table of functions.  When a connection
 * fails, its client is closed and nobody else notices.
 *
 * A request made by a connection (call.h) gets the `struct troupe_connection` as the `state` of its continuation,
 * see troupe_connection_state(); it ends the connection with troupe_connection_close(), not with TROUPE_DONE.
 *
 * Told to shut down (an exit signal), a connection reads no more, waits until no request is in flight,
 * flushes, and ends.  A listener tells all of its connections so, and kills those that take longer than 3 s.
 *
 * Pressure reaches the peer: a connection reads only while its requests in flight are below `max_inflight`
 * and its unsent bytes below `max_unsent`; otherwise bytes stay in the kernel and the peer's sends stall.
 */
#ifndef TROUPE_NET_H
#define TROUPE_NET_H

#include "troupe/actor.h"

TROUPE_BEGIN_DECLS

struct troupe_connection;
struct troupe_stream;

/** Returned by `on_data`: stop feeding me until troupe_connection_resume(). */
#define TROUPE_PAUSE 2

/** A protocol: what a connection actor does with bytes.  Static.  Its functions are callbacks of `self`; on_data is
 * required, others may be NULL. */
struct troupe_protocol {
    const char *name;  /* for the reader */
    size_t state_size; /* zeroed; the `state` of every function here */

    /** The client is there.  `arg` is the listener's.  A negative return, or TROUPE_DONE, closes; TROUPE_PAUSE waits
     * for troupe_connection_resume(). */
    int (*on_open)(struct troupe_actor *self, struct troupe_connection *connection, void *state,
        const void *arg);

    /**
     * Bytes have come.  *in_out_used says how many the protocol took (set to 0 before the call); the rest is given
     * again when more is behind it, or when reading goes on after a limit or a pause had stopped it: then also if
     * nothing is left (`size` 0).  TROUPE_OK wants more; TROUPE_PAUSE waits for troupe_connection_resume();
     * TROUPE_DONE flushes what is unsent and closes; negative fails the actor.
     */
    int (*on_data)(struct troupe_actor *self, struct troupe_connection *connection, void *state,
        const uint8_t *data, size_t size, size_t *in_out_used);

    /** A message that is not the connection's own.  As a `receive`, but TROUPE_DONE flushes first.  NULL: such messages
     * are unknown. */
    int (*on_message)(struct troupe_actor *self, struct troupe_connection *connection, void *state,
        struct troupe_message *msg);

    /**
     * The client closed its sending side, and on_data has seen all that came.  TROUPE_OK stays open, to answer;
     * TROUPE_DONE flushes and closes; negative fails the actor.  NULL waits until no request is in flight, flushes and
     * closes.
     */
    int (*on_end)(struct troupe_actor *self, struct troupe_connection *connection, void *state);

    /** Exactly once after on_open was entered (or would have been): give back what the state owns. */
    void (*destroy)(void *state);
};

/** Argument of a listener.  Zero is the default.  Copied by the supervisor with .arg_size.  "::" is IPv6 alone; who
 * wants both starts two listeners. */
struct troupe_listener_spec {
    const char *host; /* numeric IPv4 or IPv6 address [127.0.0.1]; must last */
    uint16_t port;    /* 0: any; see out_port */
    int backlog;      /* [511] */
    const struct troupe_protocol *protocol; /* this, or serve */
    const void *arg;                        /* for on_open and serve; must last */
    uint32_t max_connections; /* [10 000]; one more is accepted, told `refusal` and closed */
    const char *refusal;      /* sent to a client above the limit; NULL: nothing */
    uint32_t max_inflight;    /* requests of one connection [64] */
    uint32_t max_unsent;      /* bytes of one connection that the kernel has not taken [1 MiB] */
    uint32_t max_unread;      /* bytes that on_data did not take [64 MiB]; more fails it */
    int idle_timeout_ms; /* closed after so long without a byte and without a request in flight [never] */
    uint16_t *out_port; /* NULL, or where init stores the bound port, atomically; must last */
    /**
     * Instead of a protocol: serves a client in straight-line code (stream.h), in an actor of its own whose main function
     * it is (fiber.h).  When it returns TROUPE_OK or more, what it wrote is let through, and the stream closed, unless it
     * did so itself; negative fails the actor.  Told to shut down it ends at its next cancellation point.  Limits of
     * requests, bytes and idle time are its own affair; max_connections and refusal hold.
     */
    int (*serve)(struct troupe_actor *self, struct troupe_stream *stream, const void *arg);
};

/** A request of this type to a listener is answered with a troupe_listener_numbers. */
extern TROUPE_API const struct troupe_type troupe_listener_ask;

/** What a listener has seen; since its start, but for `connections`. */
struct troupe_listener_numbers {
    uint64_t connections; /* now */
    uint64_t accepted;    /* became connections */
    uint64_t refused;     /* above max_connections, or above another limit of the runtime */
    uint64_t shed;        /* closed at once, for want of descriptors */
    uint64_t failed;      /* connections that ended with a reason that is not clean */
};
extern TROUPE_API const struct troupe_type troupe_listener_numbers;

/** Behaviour of a listener; its init binds and listens, and fails with TROUPE_ESYSTEM and a text that says why. */
extern TROUPE_API const struct troupe_behaviour troupe_listener_behaviour;

/*
 * The functions below are for callbacks of the connection's own actor, continuations included.
 */

/** Appends bytes to what goes to the client; written when the callback returns, and when writable.  On error nothing
 * was appended: TROUPE_ENOMEM, TROUPE_ECLOSED (it is closing), TROUPE_EINVAL.  Not limited: who writes looks at
 * troupe_connection_is_full(). */
TROUPE_API TROUPE_CHECKED int troupe_connection_write(
    struct troupe_connection *connection, const void *data, size_t size);

/** Reserves `size` bytes to fill at *out_data, then troupe_connection_commit() with how many were filled, before
 * anything else is written.  Errors as troupe_connection_write(). */
TROUPE_API TROUPE_CHECKED int troupe_connection_reserve(
    struct troupe_connection *connection, size_t size, void **out_data);
TROUPE_API void troupe_connection_commit(struct troupe_connection *connection, size_t size);

/** Counts one request in flight; from max_inflight on nothing is read. */
TROUPE_API void troupe_connection_begin(struct troupe_connection *connection);

/** One request in flight less. */
TROUPE_API void troupe_connection_end(struct troupe_connection *connection);

/** Whether reading is stopped: by a limit, a pause, or because it closes.  Then on_data leaves the rest. */
TROUPE_API bool troupe_connection_is_full(const struct troupe_connection *connection);

/** Ends a pause: on_data is called again soon with what is there. */
TROUPE_API void troupe_connection_resume(struct troupe_connection *connection);

/** Flushes what is unsent and then ends the actor with reason normal; at the latest when the client has taken nothing
 * for 10 s. */
TROUPE_API void troupe_connection_close(struct troupe_connection *connection);

/** The protocol's state of `connection`: for continuations. */
TROUPE_API void *troupe_connection_state(struct troupe_connection *connection);

/** Number of the connection, counted from 1 by its listener. */
TROUPE_API uint64_t troupe_connection_id(const struct troupe_connection *connection);

/** Address of the peer as text, "127.0.0.1:4711" or "[::1]:4711".  Good as long as the connection. */
TROUPE_API const char *troupe_connection_peer(const struct troupe_connection *connection);

TROUPE_END_DECLS

#endif
