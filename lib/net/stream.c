/* SPDX-License-Identifier: MIT */
/*
 * stream.c - a socket in straight-line code: each call tries, and waits only if there was nothing to do.
 *
 * The io (sched/poller.c) is edge-triggered, and notes its readiness instead of telling it.  A call tries first, and waits for
 * an edge if the kernel said EAGAIN; an edge of before costs one try more, and none is lost, since every wait is
 * followed by a try.
 *
 *           troupe_stream_connect()        readiness, no error
 *    (none) -----------------------> connecting ------------> open ------> closed
 *       |                                |                     ^      troupe_stream_close(), or its actor ends:
 *       |                                +---> closed: error   |      the io is closed, and calls on_close()
 *       +------------------------------------------------------+
 *           trp_stream_adopt(): accepted
 *
 * `unread` is what came behind a delimiter, or before enough had come for somebody who wants exactly so much.
 * Whoever never waits, because its peer is fast, lets others run every TRP_STREAM_SHARE steps.
 */
#include "stream.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "await.h"
#include "bytes.h"

#include <troupe/fiber.h>
#include <troupe/message.h>

/* Steps without a wait until others run. */
#define TRP_STREAM_SHARE 16

/* Looking for a delimiter reads at least so much at a time. */
#define TRP_STREAM_CHUNK ((size_t)4096)

/* As a connection in connection.c does, it waits so long for the client's end. */
#define TRP_STREAM_LINGER_MS 1000

#define TRP_STREAM_BACKLOG 511

#define READABLE ((uint32_t)TROUPE_IO_READ | TROUPE_IO_END | TROUPE_IO_HANGUP)
#define WRITABLE ((uint32_t)TROUPE_IO_WRITE | TROUPE_IO_HANGUP)

struct troupe_stream {
    struct troupe_actor *self;
    struct trp_memory *memory;
    struct troupe_io *io;
    int fd;
    unsigned steps; /* since others ran */
    struct trp_bytes unread;
    char peer[TRP_ADDRESS_TEXT];
};

/* ---- beginning and end ---- */

static void on_close(void *context)
{
    struct troupe_stream *stream = context;

    trp_bytes_free(&stream->unread, stream->memory);
    trp_memory_free(stream->memory, stream, sizeof *stream);
}

int trp_stream_adopt(struct troupe_actor *self, int fd, const union trp_address *peer,
    struct troupe_stream **out_stream)
{
    struct trp_memory *memory = trp_runtime_memory(self->runtime);
    struct troupe_stream *stream = trp_memory_alloc(memory, sizeof *stream, alignof(max_align_t));
    int error;

    if (stream == NULL) {
        return TROUPE_ENOMEM;
    }
    *stream = (struct troupe_stream){.self = self, .memory = memory, .fd = fd};
    trp_address_text(peer, stream->peer);
    error = trp_io_adopt(self, fd, stream, on_close, &stream->io);
    if (error < 0) {
        trp_memory_free(memory, stream, sizeof *stream);
        return error;
    }
    *out_stream = stream;
    return TROUPE_OK;
}

/* The same for one that nobody else has. */
static int adopt_or_close(struct troupe_actor *self, int fd, const union trp_address *peer,
    struct troupe_stream **out_stream)
{
    int error = trp_stream_adopt(self, fd, peer, out_stream);

    if (error < 0) {
        close(fd);
    }
    return error;
}

void troupe_stream_close(struct troupe_actor *self, struct troupe_stream *stream)
{
    TRP_INSIDE(self);
    if (stream == NULL || !trp_actor_is_mine(self) || stream->self != self) {
        return;
    }
    trp_await_forget(self, stream->io);
    troupe_io_close(self, stream->io);
}

static bool is_right(struct troupe_actor *self, const struct troupe_stream *stream, int wait_ms)
{
    return troupe_may_wait(self) && stream != NULL && stream->self == self &&
           wait_ms >= TROUPE_FOREVER;
}

/* ---- one step ---- */

/* What errno says of a call that failed for good. */
static int failure(void)
{
    return errno == ECONNRESET || errno == EPIPE ? TROUPE_ERESET : TROUPE_ESYSTEM;
}

/* After a call that failed: TROUPE_OK, try again. */
static int wait_or_fail(struct troupe_actor *self, struct troupe_stream *stream, uint32_t events,
    struct trp_patience *patience)
{
    if (errno == EINTR) {
        return TROUPE_OK;
    }
    if (errno != EAGAIN) {
        return failure();
    }
    stream->steps = 0;
    return trp_await_ready(self, stream->io, events, patience);
}

/* Before each step. */
static void share(struct troupe_actor *self, struct troupe_stream *stream)
{
    bool is_spent = ++stream->steps >= TRP_STREAM_SHARE;

    if (is_spent) {
        stream->steps = 0;
    }
    trp_await_share(self, is_spent);
}

/* Some bytes; at the end TROUPE_ECLOSED. */
static int receive(struct troupe_actor *self, struct troupe_stream *stream, void *buffer,
    size_t size, struct trp_patience *patience, size_t *out_size)
{
    share(self, stream);
    for (;;) {
        ssize_t count = recv(stream->fd, buffer, size, 0);

        if (count > 0) {
            *out_size = (size_t)count;
            return TROUPE_OK;
        }
        if (count == 0) {
            return TROUPE_ECLOSED;
        }
        TROUPE_TRY(wait_or_fail(self, stream, READABLE, patience));
    }
}

/* More of what is kept, at least one byte; room for `more`. */
static int fill(struct troupe_actor *self, struct troupe_stream *stream, size_t more,
    struct trp_patience *patience)
{
    unsigned char *room = trp_bytes_reserve(&stream->unread, stream->memory, more);
    size_t count;

    if (room == NULL) {
        return TROUPE_ENOMEM;
    }
    TROUPE_TRY(receive(self, stream, room, trp_bytes_room(&stream->unread), patience, &count));
    trp_bytes_fill(&stream->unread, count);
    return TROUPE_OK;
}

static void take(struct troupe_stream *stream, void *buffer, size_t size)
{
    if (size > 0) {
        memcpy(buffer, trp_bytes_head(&stream->unread), size);
        trp_bytes_take(&stream->unread, size);
    }
    trp_bytes_rest(&stream->unread, stream->memory, TRP_BYTES_KEEP);
}

/* ---- reading ---- */

int troupe_stream_read(struct troupe_actor *self, struct troupe_stream *stream, void *buffer,
    size_t size, int wait_ms, size_t *out_size)
{
    TRP_INSIDE(self);
    struct trp_patience patience = {.wait_ms = wait_ms};

    if (!is_right(self, stream, wait_ms) || buffer == NULL || size == 0 || out_size == NULL) {
        return TROUPE_EINVAL;
    }
    if (stream->unread.size == 0) {
        return receive(self, stream, buffer, size, &patience, out_size);
    }
    share(self, stream);
    size = size < stream->unread.size ? size : stream->unread.size;
    take(stream, buffer, size);
    *out_size = size;
    return TROUPE_OK;
}

int troupe_stream_read_exactly(
    struct troupe_actor *self, struct troupe_stream *stream, void *buffer, size_t size, int wait_ms)
{
    TRP_INSIDE(self);
    struct trp_patience patience = {.wait_ms = wait_ms};

    if (!is_right(self, stream, wait_ms) || (buffer == NULL && size > 0) || size > TRP_BYTES_MAX) {
        return TROUPE_EINVAL;
    }
    while (stream->unread.size < size) {
        TROUPE_TRY(fill(self, stream, size - stream->unread.size, &patience));
    }
    take(stream, buffer, size);
    return TROUPE_OK;
}

/* How many bytes there are up to the end of the first delimiter; 0: none is there. */
static size_t find(const struct trp_bytes *bytes, const char *delimiter, size_t length, size_t from)
{
    const unsigned char *head;

    if (bytes->size == 0) {
        return 0;
    }
    head = trp_bytes_head(bytes);
    for (size_t i = from; i + length <= bytes->size; i++) {
        if (memcmp(head + i, delimiter, length) == 0) {
            return i + length;
        }
    }
    return 0;
}

int troupe_stream_read_until(struct troupe_actor *self, struct troupe_stream *stream,
    const char *delimiter, size_t max, int wait_ms, const char **out_data, size_t *out_size)
{
    TRP_INSIDE(self);
    struct trp_patience patience = {.wait_ms = wait_ms};
    size_t length = delimiter != NULL ? strlen(delimiter) : 0;
    size_t looked = 0;
    size_t size;

    if (!is_right(self, stream, wait_ms) || length == 0 || max < length || out_data == NULL ||
        out_size == NULL) {
        return TROUPE_EINVAL;
    }
    trp_bytes_rest(&stream->unread, stream->memory, TRP_BYTES_KEEP);
    while ((size = find(&stream->unread, delimiter, length, looked)) == 0) {
        if (stream->unread.size >= max) {
            return TROUPE_EMSGSIZE;
        }
        looked = stream->unread.size >= length ? stream->unread.size - length + 1 : 0;
        TROUPE_TRY(fill(self, stream, TRP_STREAM_CHUNK, &patience));
    }
    if (size > max) {
        return TROUPE_EMSGSIZE;
    }
    *out_data = (const char *)trp_bytes_head(&stream->unread);
    *out_size = size;
    trp_bytes_take(&stream->unread, size);
    return TROUPE_OK;
}

/* ---- writing ---- */

int troupe_stream_write(struct troupe_actor *self, struct troupe_stream *stream, const void *data,
    size_t size, int wait_ms)
{
    TRP_INSIDE(self);
    struct trp_patience patience = {.wait_ms = wait_ms};
    const char *rest = data;

    if (!is_right(self, stream, wait_ms) || (data == NULL && size > 0)) {
        return TROUPE_EINVAL;
    }
    share(self, stream);
    while (size > 0) {
        ssize_t count = send(stream->fd, rest, size, MSG_NOSIGNAL);

        if (count < 0) {
            TROUPE_TRY(wait_or_fail(self, stream, WRITABLE, &patience));
        } else {
            rest += count;
            size -= (size_t)count;
        }
    }
    return TROUPE_OK;
}

int troupe_stream_end(struct troupe_actor *self, struct troupe_stream *stream)
{
    TRP_INSIDE(self);
    if (!is_right(self, stream, 0)) {
        return TROUPE_EINVAL;
    }
    if (shutdown(stream->fd, SHUT_WR) == 0) {
        return TROUPE_OK;
    }
    return errno == ENOTCONN ? TROUPE_ERESET : failure();
}

void trp_stream_linger(struct troupe_actor *self, struct troupe_stream *stream)
{
    struct trp_patience patience = {.wait_ms = TRP_STREAM_LINGER_MS};

    if (troupe_stream_end(self, stream) == TROUPE_OK) {
        char bytes[TRP_STREAM_CHUNK / 4];
        size_t count;
        int status;

        do {
            status = receive(self, stream, bytes, sizeof bytes, &patience, &count);
        } while (status == TROUPE_OK);
    }
    troupe_stream_close(self, stream);
}

/* ---- connecting, accepting ---- */

static int await_connected(
    struct troupe_actor *self, struct troupe_stream *stream, struct trp_patience *patience)
{
    int error = 0;
    socklen_t size = sizeof error;

    TROUPE_TRY(trp_await_ready(self, stream->io, WRITABLE, patience));
    if (getsockopt(stream->fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0) {
        return TROUPE_ESYSTEM;
    }
    errno = error;
    return error == 0 ? TROUPE_OK : TROUPE_ESYSTEM;
}

/* A stream of a socket that connects, or has. */
static int begin_to_connect(struct troupe_actor *self, const union trp_address *address,
    struct troupe_stream **out_stream, bool *out_pending)
{
    int fd = trp_address_socket(address);

    if (fd < 0) {
        return TROUPE_ESYSTEM;
    }
    *out_pending = connect(fd, &address->any, trp_address_size(address)) < 0;
    if (*out_pending && errno != EINPROGRESS && errno != EINTR) {
        int error = errno;

        close(fd);
        errno = error;
        return TROUPE_ESYSTEM;
    }
    return adopt_or_close(self, fd, address, out_stream);
}

int troupe_stream_connect(struct troupe_actor *self, const char *host, uint16_t port, int wait_ms,
    struct troupe_stream **out_stream)
{
    TRP_INSIDE(self);
    struct trp_patience patience = {.wait_ms = wait_ms};
    struct troupe_stream *stream;
    union trp_address address;
    bool pending;
    int error;

    if (!troupe_may_wait(self) || wait_ms < TROUPE_FOREVER || host == NULL || port == 0 ||
        out_stream == NULL || !trp_address_parse(host, port, &address)) {
        return TROUPE_EINVAL;
    }
    TROUPE_TRY(begin_to_connect(self, &address, &stream, &pending));
    error = pending ? await_connected(self, stream, &patience) : TROUPE_OK;
    if (error < 0) {
        int number = errno;

        troupe_stream_close(self, stream);
        errno = number;
        return error;
    }
    *out_stream = stream;
    return TROUPE_OK;
}

int troupe_stream_listen(
    struct troupe_actor *self, const char *host, uint16_t port, struct troupe_stream **out_stream)
{
    TRP_INSIDE(self);
    union trp_address address;
    int fd;

    if (!troupe_may_wait(self) || host == NULL || out_stream == NULL ||
        !trp_address_parse(host, port, &address)) {
        return TROUPE_EINVAL;
    }
    fd = trp_address_listen(&address, TRP_STREAM_BACKLOG);
    return fd >= 0 ? adopt_or_close(self, fd, &address, out_stream) : TROUPE_ESYSTEM;
}

int troupe_stream_accept(struct troupe_actor *self, struct troupe_stream *listening, int wait_ms,
    struct troupe_stream **out_stream)
{
    TRP_INSIDE(self);
    struct trp_patience patience = {.wait_ms = wait_ms};

    if (!is_right(self, listening, wait_ms) || out_stream == NULL) {
        return TROUPE_EINVAL;
    }
    share(self, listening);
    for (;;) {
        union trp_address peer = {0};
        socklen_t size = sizeof peer;
        int fd = accept4(listening->fd, &peer.any, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);

        if (fd >= 0) {
            trp_address_hurry(fd);
            return adopt_or_close(self, fd, &peer, out_stream);
        }
        if (errno != ECONNABORTED) {
            TROUPE_TRY(wait_or_fail(self, listening, READABLE, &patience));
        }
    }
}

uint16_t troupe_stream_port(const struct troupe_stream *stream)
{
    return stream != NULL ? trp_address_port(stream->fd) : 0;
}

const char *troupe_stream_peer(const struct troupe_stream *stream)
{
    return stream != NULL ? stream->peer : "";
}
