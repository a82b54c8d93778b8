/* SPDX-License-Identifier: MIT */
/*
 * connection.c - one client: bytes in, bytes out, limits in between, and an orderly end.
 *
 * Reading.  While nothing stops it (below), a turn reads until the kernel has no more, or until its share is used
 * up; then it asks to be told again, behind whatever else waits for the actor and the worker.  Bytes are read into
 * the worker's stack and given to on_data there; only what it leaves is kept.  A connection that has
 * nothing unread holds no read buffer.
 *
 * What stops reading: `paused`, max_inflight, max_unsent, or one of the endings.  When the last give left
 * it stopped, it is `stalled`: the protocol may have left bytes that it could take, so once nothing
 * stops it any more on_data is called before anything is read.
 *
 * Writing.  troupe_connection_write() appends; the turn ends with one send(2) for all.  From a continuation,
 * which runs outside of our receive, it asks for a turn, which then comes behind all replies that are queued: they
 * leave together.
 *
 * Ends:
 *
 *             troupe_connection_close(), TROUPE_DONE              all sent              nothing unread, or drained
 *     OPEN ----------------------------------------> CLOSING ------------> LINGERING -------------------> over
 *      |                                                ^
 *      | exit signal; end of input                      | nothing in flight
 *      +--------------------> DRAINING -----------------+
 *
 *     any ----------------> LOST                an error of the descriptor: over at the end of the turn
 *            hang-up
 *
 * LINGERING: closing a socket with bytes unread makes the kernel send a reset, which can overtake what we sent
 * last.  So we send our end, and read and forget until the client's end has come, for a second at most.
 */
#include "connection.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bytes.h"
#include "core.h"

#include <troupe/io.h>
#include <troupe/link.h>
#include <troupe/mailbox.h>
#include <troupe/timer.h>

/* Bytes read at a time, on the worker's stack. */
#define TRP_CONNECTION_CHUNK ((size_t)64 << 10)

/* A turn's share, in reads and in bytes. */
#define TRP_CONNECTION_READS 16
#define TRP_CONNECTION_SHARE ((size_t)256 << 10)

/* Reading behind bytes that were left asks for at least so many. */
#define TRP_CONNECTION_MORE ((size_t)16 << 10)

/* While it closes: ends when for so long no byte has been taken by the client. */
#define TRP_CONNECTION_FLUSH_MS 10000

/* Waits so long for the client's end. */
#define TRP_CONNECTION_LINGER_MS 1000

enum connection_phase {
    CONNECTION_OPEN,
    CONNECTION_DRAINING,  /* reads no more; closes when nothing is in flight */
    CONNECTION_CLOSING,   /* flushes */
    CONNECTION_LINGERING, /* sent its end; waits for the client's */
    CONNECTION_LOST,      /* nothing can be read or sent */
};

struct troupe_connection {
    /* Set once, when the descriptor is adopted. */
    struct troupe_actor *self;
    struct trp_memory *memory;
    const struct troupe_protocol *protocol;
    void *state; /* the protocol's */
    struct troupe_io *io;
    int fd;
    uint64_t id;
    char peer[TRP_ADDRESS_TEXT];

    /* From the listener's spec. */
    const void *arg;
    uint32_t max_inflight;
    uint32_t max_unsent;
    uint32_t max_unread;
    int idle_timeout_ms;

    enum connection_phase phase;
    uint32_t inflight;
    bool opened;   /* on_open was entered */
    bool inside;   /* our receive runs, and ends with a turn */
    bool asked;    /* a turn was asked for */
    bool readable; /* the last read did not find the end of what is there */
    bool end_seen; /* the client's end is there: read until 0, also after a short read */
    bool ended;    /* it was read */
    bool writable; /* the last send was taken whole */
    bool paused;
    bool stalled; /* see above */

    struct trp_bytes unread;
    struct trp_bytes unsent;

    uint64_t touched_ns; /* when the last byte came or went */
    struct troupe_timer timer;
};

static void adopt_destroy(void *body)
{
    struct trp_adopt *adopt = body;

    if (adopt->fd >= 0) {
        close(adopt->fd);
    }
}

const struct troupe_type trp_adopt = TROUPE_TYPE_DESTROY(struct trp_adopt, adopt_destroy);

/* The tick of the one timer: idle, flush or linger, as the phase says. */
static const struct troupe_type connection_late = TROUPE_SIGNAL;

static uint64_t now_ns(const struct troupe_connection *connection)
{
    return trp_context_now(trp_context_of(connection->self));
}

/* A turn comes: at the end of our receive, or as a message behind those that are queued. */
static void ask(struct troupe_connection *connection)
{
    if (!connection->inside && !connection->asked) {
        connection->asked = true;
        troupe_io_again(connection->self, connection->io);
    }
}

static bool may_read(const struct troupe_connection *connection)
{
    return connection->phase == CONNECTION_OPEN && !connection->ended && !connection->paused &&
           connection->inflight < connection->max_inflight &&
           connection->unsent.size < connection->max_unsent;
}

static void touch(struct troupe_connection *connection)
{
    connection->touched_ns = now_ns(connection);
}

/* ---- the one timer ---- */

static int limit_ms(const struct troupe_connection *connection)
{
    switch (connection->phase) {
    case CONNECTION_CLOSING:
        return TRP_CONNECTION_FLUSH_MS;
    case CONNECTION_LINGERING:
        return TRP_CONNECTION_LINGER_MS;
    default:
        return connection->idle_timeout_ms;
    }
}

/* Without memory for a timer nothing would end the connection: then it ends now. */
static int arm(struct troupe_connection *connection, uint64_t delay_ms)
{
    (void)troupe_timer_cancel(connection->self, connection->timer);
    return troupe_tick_after(
        connection->self, delay_ms, &connection_late, NULL, &connection->timer);
}

static void enter(struct troupe_connection *connection, enum connection_phase phase)
{
    connection->phase = phase;
    if (phase == CONNECTION_CLOSING || phase == CONNECTION_LINGERING) {
        touch(connection);
        if (arm(connection, (uint64_t)limit_ms(connection)) < 0) {
            connection->phase = CONNECTION_LOST;
        }
    }
}

/* Reads and writes only note the time; whoever is late is found here. */
static int on_late(struct troupe_connection *connection)
{
    uint64_t quiet_ms = (now_ns(connection) - connection->touched_ns) / 1000000;
    int limit = limit_ms(connection);

    if (limit <= 0) {
        return TROUPE_OK;
    }
    if (connection->phase == CONNECTION_OPEN && connection->inflight > 0) {
        return arm(connection, (uint64_t)limit); /* it is we who are slow */
    }
    if (quiet_ms + 1 >= (uint64_t)limit) {
        return TROUPE_DONE;
    }
    return arm(connection, (uint64_t)limit - quiet_ms);
}

/* ---- reading ---- */

static int keep(struct troupe_connection *connection, const unsigned char *data, size_t size)
{
    unsigned char *room;

    if (size == 0) {
        return TROUPE_OK;
    }
    room = trp_bytes_reserve(&connection->unread, connection->memory, size);
    if (room == NULL) {
        return troupe_fail(connection->self, TROUPE_ENOMEM, "no memory for bytes of the client");
    }
    memcpy(room, data, size);
    trp_bytes_fill(&connection->unread, size);
    return TROUPE_OK;
}

/* What on_data returned becomes the connection's state. */
static int follow(struct troupe_connection *connection, int result)
{
    if (result < 0) {
        return result;
    }
    if (result == TROUPE_PAUSE) {
        connection->paused = true;
    }
    if (result == TROUPE_DONE) {
        troupe_connection_close(connection);
    }
    connection->stalled = !may_read(connection);
    return TROUPE_OK;
}

/* Gives the protocol `size` bytes, which are not in our buffer, and keeps what it leaves. */
static int give_fresh(struct troupe_connection *connection, const unsigned char *data, size_t size)
{
    size_t used = 0;
    int result = connection->protocol->on_data(
        connection->self, connection, connection->state, data, size, &used);

    if (used > size) {
        return troupe_fail(connection->self, TROUPE_EINVAL, "on_data took more than there is");
    }
    TROUPE_TRY(follow(connection, result));
    return keep(connection, data + used, size - used);
}

/* Gives the protocol what is in our buffer. */
static int give_kept(struct troupe_connection *connection)
{
    static const unsigned char nothing[1];
    const unsigned char *data =
        connection->unread.size > 0 ? trp_bytes_head(&connection->unread) : nothing;
    size_t used = 0;
    int result = connection->protocol->on_data(
        connection->self, connection, connection->state, data, connection->unread.size, &used);

    if (used > connection->unread.size) {
        return troupe_fail(connection->self, TROUPE_EINVAL, "on_data took more than there is");
    }
    trp_bytes_take(&connection->unread, used);
    trp_bytes_rest(&connection->unread, connection->memory, 0);
    return follow(connection, result);
}

static int input_ended(struct troupe_connection *connection)
{
    int result;

    connection->ended = true;
    connection->readable = false;
    if (connection->protocol->on_end == NULL) {
        enter(connection, CONNECTION_DRAINING);
        return TROUPE_OK;
    }
    result = connection->protocol->on_end(connection->self, connection, connection->state);
    if (result == TROUPE_DONE) {
        troupe_connection_close(connection);
    }
    return result < 0 ? result : TROUPE_OK;
}

/* What one recv(2) of at most `room` bytes found: a count, or 0 if there is nothing to give. */
static size_t found(struct troupe_connection *connection, ssize_t count, size_t room)
{
    if (count < 0) {
        if (errno == EAGAIN) {
            connection->readable = false;
        } else if (errno != EINTR) {
            enter(connection, CONNECTION_LOST);
        }
        return 0;
    }
    touch(connection);
    /* What comes after a short read is an edge of its own; only an end may be there already. */
    if ((size_t)count < room && !connection->end_seen) {
        connection->readable = false;
    }
    return (size_t)count;
}

/* Reads behind what the protocol left. */
static int read_behind(struct troupe_connection *connection, size_t *out_count)
{
    struct trp_bytes *unread = &connection->unread;
    size_t room = unread->size > TRP_CONNECTION_MORE ? unread->size : TRP_CONNECTION_MORE;
    unsigned char *data;
    ssize_t count;

    if (unread->size >= connection->max_unread) {
        return troupe_fail(
            connection->self, TROUPE_ELIMIT, "the client sent more than max_unread bytes");
    }
    if (room > connection->max_unread - unread->size) {
        room = connection->max_unread - unread->size;
    }
    data = trp_bytes_reserve(unread, connection->memory, room);
    if (data == NULL) {
        return troupe_fail(connection->self, TROUPE_ENOMEM, "no memory for bytes of the client");
    }
    count = recv(connection->fd, data, room, MSG_DONTWAIT);
    *out_count = found(connection, count, room);
    if (*out_count > 0) {
        trp_bytes_fill(unread, *out_count);
        return give_kept(connection);
    }
    return count == 0 ? input_ended(connection) : TROUPE_OK;
}

static int read_fresh(struct troupe_connection *connection, unsigned char *chunk, size_t *out_count)
{
    ssize_t count = recv(connection->fd, chunk, TRP_CONNECTION_CHUNK, MSG_DONTWAIT);

    *out_count = found(connection, count, TRP_CONNECTION_CHUNK);
    if (*out_count > 0) {
        return give_fresh(connection, chunk, *out_count);
    }
    return count == 0 ? input_ended(connection) : TROUPE_OK;
}

static int read_turn(struct troupe_connection *connection)
{
    unsigned char chunk[TRP_CONNECTION_CHUNK];
    size_t share = TRP_CONNECTION_SHARE;
    int reads = 0;

    while (may_read(connection) && (connection->stalled || connection->readable)) {
        size_t count = 0;

        if (connection->stalled) {
            TROUPE_TRY(give_kept(connection));
            continue;
        }
        if (reads++ == TRP_CONNECTION_READS || share == 0) {
            break; /* the turn's end asks for another */
        }
        if (connection->unread.size > 0) {
            TROUPE_TRY(read_behind(connection, &count));
        } else {
            TROUPE_TRY(read_fresh(connection, chunk, &count));
        }
        share -= count < share ? count : share;
    }
    return TROUPE_OK;
}

/* ---- writing ---- */

static void flush(struct troupe_connection *connection)
{
    struct trp_bytes *unsent = &connection->unsent;

    while (unsent->size > 0 && connection->writable && connection->phase != CONNECTION_LOST) {
        size_t size = unsent->size;
        ssize_t count =
            send(connection->fd, trp_bytes_head(unsent), size, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (count >= 0) {
            touch(connection);
            trp_bytes_take(unsent, (size_t)count);
            /* Taken in part: the kernel says when there is room again. */
            connection->writable = (size_t)count == size;
        } else if (errno == EAGAIN) {
            connection->writable = false;
        } else if (errno != EINTR) {
            enter(connection, CONNECTION_LOST);
        }
    }
    trp_bytes_rest(unsent, connection->memory, TRP_BYTES_KEEP);
}

/* ---- ending ---- */

/* Reads and forgets.  Whether the client's end, or an error, has come. */
static bool forget_input(struct troupe_connection *connection)
{
    unsigned char chunk[TRP_CONNECTION_CHUNK];
    int reads;

    for (reads = 0; reads < TRP_CONNECTION_READS; reads++) {
        ssize_t count = recv(connection->fd, chunk, sizeof chunk, MSG_DONTWAIT);

        if (count == 0 || (count < 0 && errno != EAGAIN && errno != EINTR)) {
            return true;
        }
        if (count < 0 && errno == EAGAIN) {
            connection->readable = false;
            return false;
        }
    }
    connection->readable = true;
    return false;
}

/* All is sent.  Whether the connection is over; if not, it lingers. */
static bool finish(struct troupe_connection *connection)
{
    unsigned char byte;

    if (connection->phase == CONNECTION_LINGERING) {
        return forget_input(connection);
    }
    if (connection->ended || shutdown(connection->fd, SHUT_WR) < 0) {
        return true;
    }
    if (recv(connection->fd, &byte, sizeof byte, MSG_DONTWAIT) <= 0) {
        return true; /* nothing is unread: no reset */
    }
    enter(connection, CONNECTION_LINGERING);
    return connection->phase == CONNECTION_LOST || forget_input(connection);
}

static bool wants_to_read(const struct troupe_connection *connection)
{
    return may_read(connection) && (connection->stalled || connection->readable);
}

/* What every message ends with: reads, writes, and says whether the connection goes on. */
static int turn(struct troupe_connection *connection)
{
    if (wants_to_read(connection)) {
        TROUPE_TRY(read_turn(connection));
    }
    flush(connection);
    if (connection->phase == CONNECTION_DRAINING && connection->inflight == 0) {
        enter(connection, CONNECTION_CLOSING);
    }
    if (connection->phase == CONNECTION_LOST) {
        return TROUPE_DONE;
    }
    if (connection->phase >= CONNECTION_CLOSING && connection->unsent.size == 0 &&
        finish(connection)) {
        return TROUPE_DONE;
    }
    connection->inside = false;
    if (wants_to_read(connection) ||
        (connection->phase == CONNECTION_LINGERING && connection->readable)) {
        ask(connection);
    }
    return TROUPE_OK;
}

/* ---- messages ---- */

static int open_protocol(struct troupe_connection *connection)
{
    const struct troupe_protocol *protocol = connection->protocol;

    if (protocol->state_size > 0) {
        connection->state =
            trp_memory_alloc(connection->memory, protocol->state_size, TRP_CACHE_LINE);
        if (connection->state == NULL) {
            return troupe_fail(connection->self, TROUPE_ENOMEM, "no memory for the protocol");
        }
        memset(connection->state, 0, protocol->state_size);
    }
    connection->opened = true;
    if (protocol->on_open != NULL) {
        int result =
            protocol->on_open(connection->self, connection, connection->state, connection->arg);

        if (result < 0 || result == TROUPE_DONE) {
            troupe_connection_close(connection);
        }
        connection->paused = result == TROUPE_PAUSE;
    }
    return TROUPE_OK;
}

static int on_adopt(struct troupe_connection *connection, struct trp_adopt *adopt)
{
    int error = troupe_io_open(connection->self, adopt->fd, NULL, &connection->io);

    if (error < 0) {
        return troupe_fail(connection->self, error, "the poller did not take the connection");
    }
    connection->fd = adopt->fd;
    adopt->fd = -1;
    connection->id = adopt->id;
    trp_address_text(&adopt->peer, connection->peer);
    connection->readable = true;
    connection->writable = true;
    touch(connection);
    if (connection->idle_timeout_ms > 0) {
        TROUPE_TRY(arm(connection, (uint64_t)connection->idle_timeout_ms));
    }
    return open_protocol(connection);
}

static void on_ready(struct troupe_connection *connection, uint32_t events)
{
    connection->asked = false;
    if (events & (TROUPE_IO_READ | TROUPE_IO_END)) {
        connection->readable = true;
    }
    if (events & TROUPE_IO_END) {
        connection->end_seen = true;
    }
    if (events & TROUPE_IO_WRITE) {
        connection->writable = true;
    }
    if (events & TROUPE_IO_HANGUP) {
        enter(connection, CONNECTION_LOST);
    }
}

static int on_other(struct troupe_connection *connection, struct troupe_message *msg)
{
    int result;

    if (connection->protocol->on_message == NULL || !connection->opened) {
        return TROUPE_EUNKNOWN;
    }
    result = connection->protocol->on_message(connection->self, connection, connection->state, msg);
    if (result == TROUPE_DONE) {
        troupe_connection_close(connection);
        return TROUPE_OK;
    }
    return result;
}

/* Told to shut down, or the listener has ended: nobody would watch over a flush then. */
static int on_exited(struct troupe_connection *connection, struct troupe_message *msg)
{
    const struct troupe_exited *exited = troupe_body(msg);

    if (exited->linked && exited->pid != connection->self->parent) {
        return on_other(connection, msg); /* a link of the protocol's */
    }
    if (exited->linked || connection->io == NULL) {
        return TROUPE_DONE;
    }
    if (connection->phase == CONNECTION_OPEN && exited->reason.kind != TROUPE_EXIT_NORMAL) {
        enter(connection, CONNECTION_DRAINING);
    }
    return TROUPE_OK;
}

static int handle(struct troupe_connection *connection, struct troupe_message *msg)
{
    if (troupe_is(msg, &troupe_ready)) {
        const struct troupe_ready *ready = troupe_body(msg);

        if (ready->io == connection->io) {
            on_ready(connection, ready->events);
            return TROUPE_OK;
        }
        return on_other(connection, msg);
    }
    if (troupe_is(msg, &connection_late)) {
        return on_late(connection);
    }
    if (troupe_is(msg, &troupe_exited)) {
        return on_exited(connection, msg);
    }
    if (troupe_is(msg, &trp_adopt) && connection->io == NULL) {
        return on_adopt(connection, troupe_body(msg));
    }
    return on_other(connection, msg);
}

static int connection_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct troupe_connection *connection = state;
    int result;

    (void)self;
    connection->inside = true;
    result = handle(connection, msg);
    if (result == TROUPE_DONE || (result < 0 && result != TROUPE_EUNKNOWN)) {
        return result;
    }
    if (connection->io != NULL) {
        int ended = turn(connection);

        if (ended != TROUPE_OK) {
            return ended;
        }
    }
    connection->inside = false;
    return result;
}

static int connection_init(struct troupe_actor *self, void *state, const void *arg)
{
    struct troupe_connection *connection = state;
    const struct troupe_listener_spec *spec = arg;

    connection->self = self;
    connection->memory = trp_runtime_memory(troupe_runtime_of(self));
    connection->protocol = spec->protocol;
    connection->arg = spec->arg;
    connection->fd = -1;
    connection->max_inflight = spec->max_inflight;
    connection->max_unsent = spec->max_unsent;
    connection->max_unread = spec->max_unread;
    connection->idle_timeout_ms = spec->idle_timeout_ms;
    return TROUPE_OK;
}

/* Whatever the end is: the replies that are there leave, if the kernel takes them. */
static void connection_terminate(
    struct troupe_actor *self, void *state, const struct troupe_reason *reason)
{
    struct troupe_connection *connection = state;

    (void)self;
    (void)reason;
    if (connection->io != NULL && connection->phase != CONNECTION_LOST) {
        connection->writable = true;
        flush(connection);
    }
}

static void connection_destroy(void *state)
{
    struct troupe_connection *connection = state;

    if (connection->opened && connection->protocol->destroy != NULL && !trp_actor_is_crash()) {
        connection->protocol->destroy(connection->state);
    }
    if (connection->protocol != NULL) {
        trp_memory_free(connection->memory, connection->state, connection->protocol->state_size);
        trp_bytes_free(&connection->unread, connection->memory);
        trp_bytes_free(&connection->unsent, connection->memory);
    }
}

const struct troupe_behaviour trp_connection_behaviour = {
    .name = "connection",
    .state_size = sizeof(struct troupe_connection),
    .init = connection_init,
    .receive = connection_receive,
    .terminate = connection_terminate,
    .destroy = connection_destroy,
    .trap_exit = true,
};

/* ---- for protocols ---- */

int troupe_connection_reserve(struct troupe_connection *connection, size_t size, void **out_data)
{
    unsigned char *room;

    if (connection == NULL || out_data == NULL) {
        return TROUPE_EINVAL;
    }
    if (connection->phase >= CONNECTION_CLOSING) {
        return TROUPE_ECLOSED;
    }
    room = trp_bytes_reserve(&connection->unsent, connection->memory, size);
    if (room == NULL) {
        return TROUPE_ENOMEM;
    }
    *out_data = room;
    return TROUPE_OK;
}

void troupe_connection_commit(struct troupe_connection *connection, size_t size)
{
    if (connection == NULL || size == 0 || size > trp_bytes_room(&connection->unsent)) {
        return;
    }
    trp_bytes_fill(&connection->unsent, size);
    ask(connection);
}

int troupe_connection_write(struct troupe_connection *connection, const void *data, size_t size)
{
    void *room;

    if (connection == NULL || (data == NULL && size > 0)) {
        return TROUPE_EINVAL;
    }
    if (size > 0) {
        TROUPE_TRY(troupe_connection_reserve(connection, size, &room));
        memcpy(room, data, size);
        troupe_connection_commit(connection, size);
    }
    return TROUPE_OK;
}

void troupe_connection_begin(struct troupe_connection *connection)
{
    if (connection != NULL) {
        connection->inflight++;
    }
}

void troupe_connection_end(struct troupe_connection *connection)
{
    if (connection == NULL || connection->inflight == 0) {
        return;
    }
    connection->inflight--;
    if (connection->inflight == 0 || connection->inflight + 1 == connection->max_inflight) {
        ask(connection); /* it may drain, or read on */
    }
}

bool troupe_connection_is_full(const struct troupe_connection *connection)
{
    return connection == NULL || !may_read(connection);
}

void troupe_connection_resume(struct troupe_connection *connection)
{
    if (connection != NULL && connection->paused) {
        connection->paused = false;
        connection->stalled = true;
        ask(connection);
    }
}

void troupe_connection_close(struct troupe_connection *connection)
{
    if (connection != NULL && connection->phase <= CONNECTION_DRAINING) {
        enter(connection, CONNECTION_CLOSING);
        ask(connection);
    }
}

void *troupe_connection_state(struct troupe_connection *connection)
{
    return connection != NULL ? connection->state : NULL;
}

uint64_t troupe_connection_id(const struct troupe_connection *connection)
{
    return connection != NULL ? connection->id : 0;
}

const char *troupe_connection_peer(const struct troupe_connection *connection)
{
    return connection != NULL ? connection->peer : "";
}
