/* SPDX-License-Identifier: MIT */
/*
 * listener.c - binds, listens, accepts, and looks after its connections.
 *
 * A listener traps exits and is linked to each of its connections.  So it is told of the end of each, survives
 * it, and takes all of them with it if it is killed.
 *
 * A client on its way: accept4 -> spawn -> a message with the descriptor.  At each step the descriptor belongs to
 * one party, which closes it: this turn, then the message, then the connection.
 *
 * Out of descriptors.  A client that cannot be accepted would wait in the kernel, and no edge would tell of it
 * again.  So a spare descriptor is held: it is closed, the client accepted and closed at once, the spare
 * opened again.  If even that fails, a timer looks again.
 *
 *             exit signal                     no connection left
 *    OPEN ----------------> STOPPING --------------------------> over
 *                              | late: kills those that are left
 *                              +----+
 */
#include "connection.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core.h"
#include "pid_set.h"
#include "stream.h"

#include <troupe/call.h>
#include <troupe/io.h>
#include <troupe/link.h>
#include <troupe/mailbox.h>
#include <troupe/timer.h>

/* Clients accepted in one turn. */
#define TRP_LISTENER_BATCH 64

/* Looks again so long after a failure that no edge ends. */
#define TRP_LISTENER_RETRY_MS 100

/* Connections that take longer to shut down are killed. */
#define TRP_LISTENER_STOP_MS 3000

#define TRP_LISTENER_BACKLOG 511
#define TRP_LISTENER_CONNECTIONS 10000
#define TRP_LISTENER_INFLIGHT 64
#define TRP_LISTENER_UNSENT ((uint32_t)1 << 20)
#define TRP_LISTENER_UNREAD ((uint32_t)64 << 20)

struct listener {
    struct trp_memory *memory;
    struct troupe_listener_spec spec; /* without zeros */
    struct troupe_io *io;
    int fd;
    int spare_fd; /* or -1 */
    bool stopping;
    bool retrying;  /* the retry timer is armed */
    bool in_want;   /* of descriptors or memory, and reported */
    bool in_excess; /* above max_connections, and reported */
    uint64_t last_id;
    struct trp_pid_set connections;
    struct troupe_listener_numbers numbers;
};

const struct troupe_type troupe_listener_ask = TROUPE_SIGNAL;
const struct troupe_type troupe_listener_numbers = TROUPE_TYPE(struct troupe_listener_numbers);

static const struct troupe_type listener_retry = TROUPE_SIGNAL;
static const struct troupe_type listener_late = TROUPE_SIGNAL;

/* ---- binding ---- */

/* Fails the listener with "cannot listen on 127.0.0.1:6380: Address already in use". */
static int fail(struct troupe_actor *self, const char *where, const char *why)
{
    char text[256];

    (void)snprintf(text, sizeof text, "cannot listen on %s: %s", where, why);
    return troupe_fail(self, TROUPE_ESYSTEM, text);
}

static int fail_errno(struct troupe_actor *self, const union trp_address *address)
{
    char where[TRP_ADDRESS_TEXT];
    char why[128];

    trp_address_text(address, where);
    return fail(self, where, strerror_r(errno, why, sizeof why));
}

static void tell_port(const struct listener *listener)
{
    uint16_t port = listener->spec.out_port != NULL ? trp_address_port(listener->fd) : 0;

    if (port != 0) {
        /* release: whoever reads the port may connect.  Its reader is the embedder. */
        __atomic_store_n(listener->spec.out_port, port, __ATOMIC_RELEASE);
    }
}

static int open_spare(void)
{
    return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static void set_defaults(struct troupe_listener_spec *spec)
{
    spec->host = spec->host != NULL ? spec->host : "127.0.0.1";
    spec->backlog = spec->backlog > 0 ? spec->backlog : TRP_LISTENER_BACKLOG;
    spec->max_connections =
        spec->max_connections > 0 ? spec->max_connections : TRP_LISTENER_CONNECTIONS;
    spec->max_inflight = spec->max_inflight > 0 ? spec->max_inflight : TRP_LISTENER_INFLIGHT;
    spec->max_unsent = spec->max_unsent > 0 ? spec->max_unsent : TRP_LISTENER_UNSENT;
    spec->max_unread = spec->max_unread > 0 ? spec->max_unread : TRP_LISTENER_UNREAD;
}

/* One of the two. */
static bool has_protocol(const struct troupe_listener_spec *spec)
{
    return spec->protocol != NULL ? spec->protocol->on_data != NULL && spec->serve == NULL
                                  : spec->serve != NULL;
}

static int listener_init(struct troupe_actor *self, void *state, const void *arg)
{
    struct listener *listener = state;
    union trp_address address;
    int error;

    listener->spare_fd = -1;
    listener->memory = trp_runtime_memory(troupe_runtime_of(self));
    if (arg == NULL) {
        return troupe_fail(self, TROUPE_EINVAL, "a listener needs a troupe_listener_spec");
    }
    listener->spec = *(const struct troupe_listener_spec *)arg;
    set_defaults(&listener->spec);
    if (!has_protocol(&listener->spec) || listener->spec.idle_timeout_ms < 0) {
        return troupe_fail(
            self, TROUPE_EINVAL, "a listener needs a protocol with on_data, or serve");
    }
    if (!trp_address_parse(listener->spec.host, listener->spec.port, &address)) {
        return fail(self, listener->spec.host, "not a numeric IPv4 or IPv6 address");
    }
    listener->fd = trp_address_listen(&address, listener->spec.backlog);
    if (listener->fd < 0) {
        return fail_errno(self, &address);
    }
    error = troupe_io_open(self, listener->fd, NULL, &listener->io);
    if (error < 0) {
        close(listener->fd);
        return troupe_fail(self, error, "the poller did not take the listening socket");
    }
    listener->spare_fd = open_spare();
    tell_port(listener);
    return TROUPE_OK;
}

/* ---- accepting ---- */

/* Said once per time of want, which ends when a client gets in. */
static void report_want(struct troupe_actor *self, struct listener *listener, const char *what)
{
    if (!listener->in_want) {
        listener->in_want = true;
        trp_report(troupe_runtime_of(self), TROUPE_REPORT_LIMIT, troupe_self(self), "listener",
            "%s: clients are turned away", what);
    }
}

/* A client may be waiting, and no edge will tell of it again: looks by itself. */
static void look_again(struct troupe_actor *self, struct listener *listener)
{
    struct troupe_timer timer;

    if (!listener->retrying) {
        listener->retrying = troupe_tick_after(self, TRP_LISTENER_RETRY_MS, &listener_retry, NULL,
                                 &timer) == TROUPE_OK;
    }
}

/* Lets one client in and closes it; what accept4 said, as errno, or 0 if there was one. */
static int shed(struct listener *listener)
{
    int error = 0;
    int fd;

    if (listener->spare_fd < 0) {
        listener->spare_fd = open_spare();
    }
    if (listener->spare_fd < 0) {
        return errno;
    }
    close(listener->spare_fd);
    fd = accept4(listener->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
        close(fd);
        listener->numbers.shed++;
    } else {
        error = errno;
    }
    listener->spare_fd = open_spare();
    return error;
}

/* No descriptor is left, which accept4 says also if nobody is waiting.  Whether to try the next client. */
static bool on_no_descriptor(struct troupe_actor *self, struct listener *listener)
{
    int error = shed(listener);

    if (error == EAGAIN) {
        return false;
    }
    report_want(self, listener, "out of descriptors");
    if (error != 0) {
        look_again(self, listener);
    }
    return error == 0;
}

static void refuse(struct troupe_actor *self, struct listener *listener, int fd)
{
    const char *text = listener->spec.refusal;

    if (text != NULL) {
        (void)send(fd, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT);
    }
    close(fd);
    listener->numbers.refused++;
    if (!listener->in_excess) {
        listener->in_excess = true;
        trp_report(troupe_runtime_of(self), TROUPE_REPORT_LIMIT, troupe_self(self), "listener",
            "%u connections are as many as are allowed: more are refused",
            listener->spec.max_connections);
    }
}

static void kill_connection(struct troupe_actor *self, troupe_pid pid)
{
    if (troupe_kill(self, pid) < 0) {
        return; /* it has ended by itself, and we are about to be told */
    }
}

/* Hands `fd` to a connection of its own; on error it is still the caller's. */
static int start_connection(
    struct troupe_actor *self, struct listener *listener, int fd, const union trp_address *peer)
{
    struct troupe_spawn_options options = {
        .behaviour =
            listener->spec.serve != NULL ? &trp_serving_behaviour : &trp_connection_behaviour,
        .arg = &listener->spec,
        .arg_size = sizeof listener->spec,
        .link = true,
    };
    struct trp_adopt adopt = {.fd = fd, .id = listener->last_id + 1, .peer = *peer};
    troupe_pid pid;
    int error;

    TROUPE_TRY(trp_pid_set_reserve(&listener->connections, listener->memory));
    TROUPE_TRY(troupe_spawn(self, &options, &pid));
    /* From here on its end is told, and counted there. */
    trp_pid_set_add(&listener->connections, pid);
    error = troupe_send(self, pid, &trp_adopt, &adopt);
    if (error < 0) {
        kill_connection(self, pid);
        return error;
    }
    listener->last_id++;
    listener->numbers.accepted++;
    return TROUPE_OK;
}

static void admit(
    struct troupe_actor *self, struct listener *listener, int fd, const union trp_address *peer)
{
    if (listener->connections.count >= listener->spec.max_connections) {
        refuse(self, listener, fd);
        return;
    }
    trp_address_hurry(fd);
    if (start_connection(self, listener, fd, peer) < 0) {
        close(fd);
        listener->numbers.refused++;
        report_want(self, listener, "no memory, or no actor, for a connection");
        return;
    }
    listener->in_excess = false;
    listener->in_want = false;
}

/* After a failed accept: whether to try the next one. */
static bool go_on(struct troupe_actor *self, struct listener *listener, int error)
{
    switch (error) {
    case EAGAIN:
        return false;
    case EMFILE:
    case ENFILE:
        return on_no_descriptor(self, listener);
    case ENOBUFS:
    case ENOMEM:
        report_want(self, listener, "the system is out of memory for sockets");
        look_again(self, listener);
        return false;
    default:
        return true; /* this client has gone, or its network has an error: see accept(2) */
    }
}

static void accept_some(struct troupe_actor *self, struct listener *listener)
{
    int count;

    for (count = 0; count < TRP_LISTENER_BATCH; count++) {
        union trp_address peer = {0};
        socklen_t size = sizeof peer;
        int fd = accept4(listener->fd, &peer.any, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);

        if (fd >= 0) {
            admit(self, listener, fd, &peer);
        } else if (!go_on(self, listener, errno)) {
            return;
        }
    }
    troupe_io_again(self, listener->io);
}

/* ---- stopping ---- */

static int over(struct troupe_actor *self, const struct listener *listener)
{
    if (listener->stopping && listener->connections.count == 0) {
        troupe_exit(self, TROUPE_EXIT_SHUTDOWN);
    }
    return TROUPE_OK;
}

static void kill_all(struct troupe_actor *self, const struct listener *listener)
{
    size_t i;

    for (i = 0; i < listener->connections.slot_count; i++) {
        if (listener->connections.slots[i] != TROUPE_NOBODY) {
            kill_connection(self, listener->connections.slots[i]);
        }
    }
}

static void stop_all(struct troupe_actor *self, const struct listener *listener)
{
    size_t i;

    for (i = 0; i < listener->connections.slot_count; i++) {
        troupe_pid pid = listener->connections.slots[i];

        if (pid != TROUPE_NOBODY && troupe_send_exit(self, pid, TROUPE_EXIT_SHUTDOWN) < 0) {
            kill_connection(self, pid);
        }
    }
}

static int stop(struct troupe_actor *self, struct listener *listener)
{
    struct troupe_timer timer;

    if (listener->stopping) {
        return TROUPE_OK;
    }
    listener->stopping = true;
    troupe_io_close(self, listener->io);
    listener->io = NULL;
    if (listener->connections.count > 0) {
        stop_all(self, listener);
        if (troupe_tick_after(self, TRP_LISTENER_STOP_MS, &listener_late, NULL, &timer) < 0) {
            kill_all(self, listener); /* without memory for a timer nobody would */
        }
    }
    return over(self, listener);
}

static int on_exited(
    struct troupe_actor *self, struct listener *listener, const struct troupe_exited *exited)
{
    if (trp_pid_set_remove(&listener->connections, exited->pid)) {
        if (!troupe_reason_is_clean(&exited->reason)) {
            listener->numbers.failed++;
        }
        return over(self, listener);
    }
    return exited->reason.kind == TROUPE_EXIT_NORMAL ? TROUPE_OK : stop(self, listener);
}

/* ---- messages ---- */

static int listener_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct listener *listener = state;

    if (troupe_is(msg, &troupe_exited)) {
        return on_exited(self, listener, troupe_body(msg));
    }
    if (troupe_is(msg, &listener_late)) {
        kill_all(self, listener);
        return TROUPE_OK;
    }
    if (troupe_is(msg, &troupe_listener_ask) && troupe_is_request(msg)) {
        listener->numbers.connections = listener->connections.count;
        if (troupe_reply(self, msg, &troupe_listener_numbers, &listener->numbers) < 0) {
            return troupe_reply_error(self, msg, TROUPE_ENOMEM); /* no reason to end */
        }
        return TROUPE_OK;
    }
    if (troupe_is(msg, &listener_retry)) {
        listener->retrying = false;
    } else if (!troupe_is(msg, &troupe_ready)) {
        return TROUPE_EUNKNOWN;
    }
    if (!listener->stopping) {
        accept_some(self, listener);
    }
    return TROUPE_OK;
}

static void listener_destroy(void *state)
{
    struct listener *listener = state;

    if (listener->spare_fd >= 0) {
        close(listener->spare_fd);
    }
    trp_pid_set_free(&listener->connections, listener->memory);
}

const struct troupe_behaviour troupe_listener_behaviour = {
    .name = "listener",
    .state_size = sizeof(struct listener),
    .init = listener_init,
    .receive = listener_receive,
    .destroy = listener_destroy,
    .trap_exit = true,
};
