/* SPDX-License-Identifier: MIT */
/* scenario_net.c - a listener, its connections, and clients over loopback. */
#include "scenario.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define MAY_START (MAY(TROUPE_ENOMEM) | MAY(TROUPE_ESYSTEM) | MAY(TROUPE_EINVAL))
#define MAY_WRITE (MAY(TROUPE_ENOMEM) | MAY(TROUPE_ECLOSED))

/** More than a socket's buffers take, so that writing goes on later. */
#define MUCH (12u << 20)

/*
 * The protocol: lines.  "e.." is sent back, "b" brings MUCH bytes, "r" asks the listener for its numbers and brings
 * "n\n" when they have come, "p" stops reading until a tick has come, "q" ends.
 */
struct line_state {
    struct troupe_connection *connection;
    uint64_t lines;
    char rest[100];
};

static const struct troupe_type go_on = TROUPE_SIGNAL;
static _Atomic uint64_t listener_pid;
static _Atomic bool said_it_all; /* by the client whose last word is 'q' */

static int on_numbers(
    struct troupe_actor *self, void *state, void *context, int status, struct troupe_message *reply)
{
    struct troupe_connection *connection = state;

    (void)self;
    (void)context;
    HOLDS(status != TROUPE_OK || troupe_is(reply, &troupe_listener_numbers));
    HOLDS(troupe_connection_state(connection) != NULL);
    troupe_connection_end(connection);
    if (!WENT(troupe_connection_write(connection, "n\n", 2), MAY_WRITE)) {
        troupe_connection_close(connection);
    }
    return TROUPE_OK;
}

static int ask_numbers(struct troupe_actor *self, struct troupe_connection *connection)
{
    if (WENT(troupe_request(
                 self, listener_pid, &troupe_listener_ask, NULL, TROUPE_FOREVER, on_numbers, NULL),
            MAY_SEND)) {
        troupe_connection_begin(connection);
        return TROUPE_OK;
    }
    return TROUPE_DONE;
}

static int write_much(struct troupe_connection *connection)
{
    void *room;

    if (!WENT(troupe_connection_reserve(connection, MUCH, &room), MAY_WRITE)) {
        return TROUPE_DONE;
    }
    memset(room, 'b', MUCH - 1);
    ((char *)room)[MUCH - 1] = '\n';
    troupe_connection_commit(connection, MUCH);
    HOLDS(troupe_connection_is_full(connection));
    return TROUPE_OK;
}

static int obey(struct troupe_actor *self, struct troupe_connection *connection,
    const uint8_t *line, size_t size)
{
    switch (line[0]) {
    case 'b':
        return write_much(connection);
    case 'r':
        return ask_numbers(self, connection);
    case 'p':
        return WENT(troupe_tick_after(self, 1, &go_on, NULL, NULL), MAY(TROUPE_ENOMEM))
                   ? TROUPE_PAUSE
                   : TROUPE_DONE;
    case 'q':
        /* So that something is unread when the connection ends, however slow its client is. */
        while (!said_it_all) {
            sched_yield();
        }
        return TROUPE_DONE;
    default:
        return WENT(troupe_connection_write(connection, line, size), MAY_WRITE) ? TROUPE_OK
                                                                                : TROUPE_DONE;
    }
}

static int line_open(
    struct troupe_actor *self, struct troupe_connection *connection, void *state, const void *arg)
{
    struct line_state *lines = state;

    (void)self;
    (void)arg;
    lines->connection = connection;
    HOLDS(troupe_connection_id(connection) > 0 && troupe_connection_peer(connection)[0] != '\0');
    return TROUPE_OK;
}

static int line_data(struct troupe_actor *self, struct troupe_connection *connection, void *state,
    const uint8_t *data, size_t size, size_t *out_used)
{
    struct line_state *lines = state;

    while (*out_used < size && !troupe_connection_is_full(connection)) {
        const uint8_t *line = data + *out_used;
        const uint8_t *end = memchr(line, '\n', size - *out_used);
        int result;

        if (end == NULL) {
            return TROUPE_OK;
        }
        *out_used += (size_t)(end - line) + 1;
        lines->lines++;
        result = obey(self, connection, line, (size_t)(end - line) + 1);
        if (result != TROUPE_OK) {
            return result;
        }
    }
    return TROUPE_OK;
}

static int line_message(struct troupe_actor *self, struct troupe_connection *connection,
    void *state, struct troupe_message *msg)
{
    (void)self;
    (void)state;
    if (!troupe_is(msg, &go_on)) {
        return TROUPE_EUNKNOWN;
    }
    troupe_connection_resume(connection);
    return TROUPE_OK;
}

static int line_end(struct troupe_actor *self, struct troupe_connection *connection, void *state)
{
    (void)self;
    (void)connection;
    (void)state;
    return TROUPE_DONE;
}

static const struct troupe_protocol lines = {
    .name = "lines",
    .state_size = sizeof(struct line_state),
    .on_open = line_open,
    .on_data = line_data,
    .on_message = line_message,
    .on_end = line_end,
};

/* ---- clients ---- */

static int connect_to(const char *host, uint16_t port)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    bool is_v6 = inet_pton(AF_INET, host, &v4.sin_addr) != 1;
    int fd = socket(is_v6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int error;

    if (is_v6) {
        (void)inet_pton(AF_INET6, host, &v6.sin6_addr);
        error = connect(fd, (const struct sockaddr *)&v6, sizeof v6);
    } else {
        error = connect(fd, (const struct sockaddr *)&v4, sizeof v4);
    }
    HOLDS(error == 0 || fault_has_hit());
    return fd;
}

/* Says something, and reads until `wanted` bytes or the end have come.  After a fault nothing need come. */
static void talk(int fd, const char *said, size_t wanted)
{
    static char bytes[1 << 16];
    size_t count = 0;
    int waits = 0;

    if (send(fd, said, strlen(said), MSG_NOSIGNAL) < 0) {
        HOLDS(fault_has_hit());
        return;
    }
    while (count < wanted && waits < (fault_has_hit() ? 10 : SCENE_WAIT_MS / 20)) {
        struct pollfd pollfd = {.fd = fd, .events = POLLIN};
        ssize_t size;

        if (poll(&pollfd, 1, 20) <= 0) {
            waits++;
            continue;
        }
        size = recv(fd, bytes, sizeof bytes, 0);
        if (size <= 0) {
            break;
        }
        count += (size_t)size;
    }
    HOLDS(count == wanted || fault_has_hit());
}

/* Waits until the other side has closed. */
static void await_end(int fd)
{
    static char bytes[1 << 16];
    struct pollfd pollfd = {.fd = fd, .events = POLLIN};
    int waits = fault_has_hit() ? 10 : SCENE_WAIT_MS / 20;
    ssize_t size = 1;

    while (waits > 0 && size > 0) {
        if (poll(&pollfd, 1, 20) > 0) {
            size = recv(fd, bytes, sizeof bytes, 0);
        } else {
            waits--;
        }
    }
    HOLDS(size <= 0 || fault_has_hit());
}

/* The last word, and so much after it that the connection has to wait for our end.  What does not fit in the sockets' buffers
 * is left out. */
static void say_more_than_is_read(int fd)
{
    static char bytes[400000] = "q\n";
    size_t said = 0;
    ssize_t size;

    do {
        size = send(fd, bytes + said, sizeof bytes - said, MSG_NOSIGNAL | MSG_DONTWAIT);
        said += size > 0 ? (size_t)size : 0;
    } while (size > 0 && said < sizeof bytes);
    HOLDS(said > 100000 || fault_has_hit());
    said_it_all = true;
}

static troupe_pid start_listener(struct scene *scene, const struct troupe_listener_spec *listener)
{
    const struct troupe_child_spec children[] = {
        {.id = "listener",
            .behaviour = &troupe_listener_behaviour,
            .arg = listener,
            .arg_size = sizeof *listener},
    };
    const struct troupe_supervisor_spec spec = {
        .name = "net", .children = children, .child_count = TROUPE_COUNT(children)};
    troupe_pid supervisor;

    if (!WENT(troupe_supervisor_start(scene->runtime, &spec, SCENE_WAIT_MS, &supervisor),
            MAY_START)) {
        return TROUPE_NOBODY;
    }
    listener_pid = troupe_runtime_whereis(scene->runtime, "net.listener");
    return supervisor;
}

void scenario_net(void)
{
    _Alignas(8) uint16_t port = 0;
    const struct troupe_listener_spec listener = {
        .protocol = &lines, .out_port = &port, .idle_timeout_ms = 60000};
    struct scene scene = {0};

    if (!scene_open(&scene, 1)) {
        return;
    }
    if (start_listener(&scene, &listener) != TROUPE_NOBODY && port != 0) {
        int fd = connect_to("127.0.0.1", port);
        int staying = connect_to("127.0.0.1", port);

        talk(staying, "e1\n", 3);
        talk(fd, "e1\nhalf of a li", 3);
        talk(fd, "ne\np\nr\n", strlen("half of a line\nn\n"));
        talk(fd, "b\n", MUCH);
        say_more_than_is_read(fd);
        await_end(fd);
        close(fd);
        fd = connect_to("127.0.0.1", port);
        talk(fd, "e1\n", 3);
        HOLDS(shutdown(fd, SHUT_WR) == 0 || fault_has_hit());
        await_end(fd);
        close(fd);
        scene_close(&scene);
        close(staying);
    } else {
        scene_close(&scene);
    }
}

/* One client is allowed, by IPv6 if there is that; a second one is told so. */
void scenario_net_limits(void)
{
    _Alignas(8) uint16_t port = 0;
    struct troupe_listener_spec listener = {.host = "::1",
        .protocol = &lines,
        .out_port = &port,
        .max_connections = 1,
        .refusal = "full\n"};
    int probe = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in6 any = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    struct scene scene = {0};

    if (probe < 0 || bind(probe, (const struct sockaddr *)&any, sizeof any) < 0) {
        listener.host = "127.0.0.1";
    }
    close(probe);
    if (!scene_open(&scene, 1)) {
        return;
    }
    if (start_listener(&scene, &listener) != TROUPE_NOBODY && port != 0) {
        int first = connect_to(listener.host, port);
        int second;

        talk(first, "e1\n", 3);
        second = connect_to(listener.host, port);
        talk(second, "", 5);
        await_end(second);
        close(first);
        close(second);
    }
    scene_close(&scene);
}

/* ---- streams ---- */

/** What waiting for bytes may give that a fault was in the way of. */
#define MAY_STREAM                                                                                 \
    (MAY(TROUPE_ENOMEM) | MAY(TROUPE_ESYSTEM) | MAY(TROUPE_ERESET) | MAY(TROUPE_ECLOSED) |         \
        MAY(TROUPE_ETIMEDOUT) | MAY(TROUPE_EINVAL))

static unsigned talks;

static int echo_lines(struct troupe_actor *self, struct troupe_stream *stream, const void *arg)
{
    const char *line;
    size_t size;

    (void)arg;
    while (troupe_stream_read_until(self, stream, "\n", 100, SCENE_WAIT_MS, &line, &size) ==
           TROUPE_OK) {
        if (!WENT(troupe_stream_write(self, stream, line, size, SCENE_WAIT_MS), MAY_STREAM)) {
            return TROUPE_OK;
        }
    }
    return TROUPE_OK;
}

static bool talk_by_stream(struct troupe_actor *self, struct troupe_stream *stream)
{
    char bytes[4];
    size_t size;

    HOLDS(troupe_stream_peer(stream)[0] != '\0');
    return WENT(troupe_stream_write(self, stream, "abc\nd\n", 6, 10000), MAY_STREAM) &&
           WENT(troupe_stream_read_exactly(self, stream, bytes, 4, 10000), MAY_STREAM) &&
           WENT(troupe_stream_read(self, stream, bytes, 1, 10000, &size), MAY_STREAM) &&
           WENT(troupe_stream_end(self, stream), MAY_STREAM);
}

static void talk_to_listener(struct troupe_actor *self, uint16_t port)
{
    struct troupe_stream *stream;

    if (WENT(troupe_stream_connect(self, "127.0.0.1", port, 10000, &stream), MAY_STREAM)) {
        (void)talk_by_stream(self, stream);
        troupe_stream_close(self, stream);
    }
}

/* Both ends of a connection are one fiber's. */
static void talk_to_oneself(struct troupe_actor *self)
{
    struct troupe_stream *listening;
    struct troupe_stream *here;
    struct troupe_stream *there;
    uint16_t port;

    if (!WENT(troupe_stream_listen(self, "127.0.0.1", 0, &listening), MAY_STREAM)) {
        return;
    }
    port = troupe_stream_port(listening);
    if (port != 0 &&
        WENT(troupe_stream_connect(self, "127.0.0.1", port, 10000, &here), MAY_STREAM)) {
        if (WENT(troupe_stream_accept(self, listening, fault_has_hit() ? 100 : 10000, &there),
                MAY_STREAM)) {
            (void)WENT(troupe_stream_write(self, there, "x", 1, 10000), MAY_STREAM);
            troupe_stream_close(self, there);
        }
        troupe_stream_close(self, here);
    }
    HOLDS(port != 0 || fault_has_hit());
    troupe_stream_close(self, listening);
}

static int talk_main(struct troupe_actor *self, const void *arg)
{
    talk_to_listener(self, *(const uint16_t *)arg);
    talk_to_oneself(self);
    talks++;
    return TROUPE_OK;
}

static const struct troupe_behaviour talking = {.name = "talking", .main = talk_main};

void scenario_stream(void)
{
    _Alignas(8) uint16_t port = 0;
    const struct troupe_listener_spec listener = {.serve = echo_lines, .out_port = &port};
    const struct troupe_spawn_options listening = {
        .behaviour = &troupe_listener_behaviour, .arg = &listener, .arg_size = sizeof listener};
    struct scene scene = {0};
    troupe_pid pid;

    talks = 0;
    if (!scene_open(&scene, TROUPE_NO_THREADS)) {
        return;
    }
    if (WENT(troupe_runtime_spawn(scene.runtime, &listening, &pid), MAY(TROUPE_ENOMEM))) {
        scene_pump(&scene);
    }
    if (port != 0) {
        const struct troupe_spawn_options options = {
            .behaviour = &talking, .arg = &port, .arg_size = sizeof port};

        if (WENT(troupe_runtime_spawn(scene.runtime, &options, &pid), MAY(TROUPE_ENOMEM))) {
            scene_await(&scene, &talks, 1);
        }
    }
    scene_close(&scene);
}
