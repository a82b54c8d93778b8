/* SPDX-License-Identifier: MIT */
/*
 * load_connection.c - one connection: its socket, its pipeline, and the check of every reply.
 *
 * Replies come in the order of the commands, so the oldest pending command is the one answered.
 * What may go wrong is told apart here:
 *
 *   wrong     the model allows no such reply (missing and crossed replies show as this as well)
 *   doubled   a reply while no command is pending
 *   missing   no progress for LOAD_STALL_S seconds
 *   closed    the end of the stream, and we had not asked for it
 *
 * Any of these retires the connection: what comes after it would only repeat the same fault.
 *
 * When the server closes a connection that we asked it to crash, replies that came stand.  A
 * command without one was applied or not, unless it was never written to the socket whole.  This
 * takes for granted that no command of the old connection is applied after one of the new: the old
 * one's were in the mailbox of their shard before it was closed, and a mailbox keeps its order.
 */
#include "load_connection.h"

#include "load_generate.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#define SHARD_ERROR "ERR shard"

enum {
    READ_LEN = 128 * 1024,
    VIOLATIONS_SHOWN_MAX = 10,
    SHOWN_BYTES_MAX = 160,
    SLOTS_PER_SHIFT = 64,
};

uint64_t load_random(struct load_run *run, uint64_t bound)
{
    uint64_t mixed = run->random += 0x9e3779b97f4a7c15U; /* splitmix64 */

    mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9U;
    mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111ebU;
    return (mixed ^ (mixed >> 31)) % bound;
}

uint64_t load_clock_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/* Six significant bits: slot = shift * 64 + (latency >> shift), an error of 3 % at most. */
static unsigned latency_slot(uint64_t latency_us)
{
    unsigned shift = latency_us < SLOTS_PER_SHIFT ? 0 : 58 - (unsigned)__builtin_clzll(latency_us);
    unsigned slot = shift * SLOTS_PER_SHIFT + (unsigned)(latency_us >> shift);

    return slot < LOAD_LATENCY_SLOTS ? slot : LOAD_LATENCY_SLOTS - 1;
}

uint64_t load_latency_of_slot(unsigned slot)
{
    uint64_t next = slot % SLOTS_PER_SHIFT + 1;

    return (next << slot / SLOTS_PER_SHIFT) - 1;
}

static struct load_window window_of(
    const struct load_connection *connection, const struct load_command *command)
{
    return (struct load_window){
        .low_ms = command->sent_us / 1000, .high_ms = connection->run->now_us / 1000};
}

static unsigned pending_count(const struct load_connection *connection)
{
    return connection->tail - connection->head;
}

static struct load_command *oldest(struct load_connection *connection)
{
    return pending_count(connection) > 0 ? &connection->pending[connection->head % LOAD_PENDING_MAX]
                                         : NULL;
}

static void pop(struct load_connection *connection)
{
    load_command_fini(oldest(connection));
    connection->head++;
}

void load_connection_init(
    struct load_connection *connection, struct load_run *run, int number, int key_count)
{
    *connection =
        (struct load_connection){.run = run, .number = number, .key_count = key_count, .fd = -1};
    snprintf(connection->prefix, sizeof connection->prefix, "%s:c%d:k", run->prefix, number);
    connection->keys = load_allocate(((size_t)key_count + 1) * sizeof connection->keys[0]);
    for (int i = 0; i < key_count; i++) {
        load_key_init(&connection->keys[i]);
    }
}

/* Closes the socket and forgets what belonged to it, the pending commands included. */
static void shut(struct load_connection *connection)
{
    while (pending_count(connection) > 0) {
        pop(connection);
    }
    if (connection->fd >= 0) {
        close(connection->fd);
    }
    load_bytes_clear(&connection->in);
    load_bytes_clear(&connection->out);
    connection->fd = -1;
    connection->queued = 0;
    connection->sent = 0;
    connection->refill_at = 0;
    connection->crash_end = 0;
    connection->crash_answered = false;
    connection->last_reply_len = 0;
    connection->state = LOAD_CLOSED;
}

void load_connection_fini(struct load_connection *connection)
{
    shut(connection);
    for (int i = 0; i < connection->key_count; i++) {
        load_key_fini(&connection->keys[i]);
    }
    free(connection->keys);
    load_bytes_fini(&connection->in);
    load_bytes_fini(&connection->out);
}

/* Reporting. */

static void judge_items(FILE *to, const struct load_connection *connection,
    const struct load_command *command, const struct load_reply *reply)
{
    struct load_command none = {0};

    if (reply->item.type != '*') {
        load_generate_judge(
            to, connection, command != NULL ? command : &none, reply->item.data, reply->item.len);
        return;
    }
    for (int i = 0; i < reply->item.number; i++) {
        struct load_command one = {.key_count = 1};

        if (command != NULL && i < command->key_count) {
            one.keys[0] = command->keys[i];
        }
        load_generate_judge(to, connection, &one, reply->elements[i].data, reply->elements[i].len);
    }
}

static void print_reply(
    FILE *to, const struct load_connection *connection, const struct load_reply *reply)
{
    fputs("  came      ", to);
    load_wire_print(to, reply->raw, reply->raw_len, SHOWN_BYTES_MAX);
    fputs("\n  before it ", to);
    load_wire_print(to, connection->last_reply, connection->last_reply_len, LOAD_LAST_REPLY_MAX);
    if (connection->last_reply_len > 0 && connection->last_reply_len < LOAD_LAST_REPLY_MAX &&
        connection->last_reply_len == reply->raw_len &&
        memcmp(connection->last_reply, reply->raw, reply->raw_len) == 0) {
        fputs("\n  DOUBLED? It is the same reply again.", to);
    }
    fputs("\n", to);
}

static void print_violation(FILE *to, const struct load_connection *connection,
    const struct load_command *command, const struct load_reply *reply, const char *what)
{
    const struct load_run *run = connection->run;

    fprintf(to, "violation %llu after %.3f s: %s\n", (unsigned long long)run->violations,
        (double)(run->now_us - run->start_us) / 1e6, what);
    fprintf(to, "  on        connection %d%s, local port %d, %u commands pending\n",
        connection->number, connection->key_count == 0 ? " (control)" : "", connection->port,
        pending_count(connection));
    if (command != NULL) {
        fputs("  sent      ", to);
        load_command_print(to, command, connection->prefix);
        fputs("\n  expected  ", to);
        load_model_explain(to, connection->keys, command, reply, window_of(connection, command));
        fputs("\n", to);
    }
    if (reply != NULL) {
        print_reply(to, connection, reply);
        judge_items(to, connection, command, reply);
    }
}

void load_connection_violate(struct load_connection *connection, const struct load_command *command,
    const struct load_reply *reply, const char *what)
{
    if (++connection->run->violations <= VIOLATIONS_SHOWN_MAX) {
        print_violation(stderr, connection, command, reply, what);
    }
    shut(connection);
    connection->state = LOAD_RETIRED;
}

/* Opening. */

static void watch(struct load_connection *connection, int operation, bool writing)
{
    struct epoll_event event = {
        .events = writing ? EPOLLIN | EPOLLOUT : EPOLLIN, .data.ptr = connection};

    connection->writing = writing;
    if (epoll_ctl(connection->run->epoll_fd, operation, connection->fd, &event) != 0) {
        load_connection_violate(connection, NULL, NULL, strerror(errno));
    }
}

static void learn_port(struct load_connection *connection)
{
    union {
        struct sockaddr any;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
    } own = {0};
    socklen_t len = sizeof own;

    if (getsockname(connection->fd, &own.any, &len) == 0) {
        connection->port =
            ntohs(own.any.sa_family == AF_INET6 ? own.in6.sin6_port : own.in.sin_port);
    }
}

static void refused(struct load_connection *connection, int error)
{
    char what[160];

    snprintf(what, sizeof what, "the server takes no connection (%s)", strerror(error));
    load_connection_violate(connection, NULL, NULL, what);
}

void load_connection_open(struct load_connection *connection)
{
    struct load_run *run = connection->run;
    int yes = 1;

    connection->state = LOAD_CONNECTING;
    connection->progress_us = run->now_us;
    connection->fd = socket(run->address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (connection->fd < 0) {
        load_connection_violate(connection, NULL, NULL, strerror(errno));
        return;
    }
    setsockopt(connection->fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    if (connect(connection->fd, (struct sockaddr *)&run->address, run->address_len) != 0 &&
        errno != EINPROGRESS) {
        refused(connection, errno);
        return;
    }
    watch(connection, EPOLL_CTL_ADD, true);
}

static void opened(struct load_connection *connection)
{
    int error = 0;
    socklen_t len = sizeof error;

    getsockopt(connection->fd, SOL_SOCKET, SO_ERROR, &error, &len);
    if (error != 0) {
        refused(connection, error);
        return;
    }
    learn_port(connection);
    connection->state = LOAD_OPEN;
    connection->progress_us = connection->run->now_us;
    load_connection_refill(connection);
}

/* Writing. */

/* A broken socket is found out by reading, after the replies that were still under way. */
static void flush(struct load_connection *connection)
{
    struct load_bytes *out = &connection->out;

    while (out->len > 0) {
        ssize_t sent = send(connection->fd, out->data + out->start, out->len, MSG_NOSIGNAL);

        if (sent < 0 && errno == EINTR) {
            continue;
        }
        if (sent < 0 && errno != EAGAIN) {
            load_bytes_clear(out);
        }
        if (sent < 0) {
            break;
        }
        connection->sent += (uint64_t)sent;
        load_bytes_consume(out, (size_t)sent);
    }
    if (connection->writing != (out->len > 0)) {
        watch(connection, EPOLL_CTL_MOD, out->len > 0);
    }
}

static void put(struct load_connection *connection, struct load_command command)
{
    size_t len = connection->out.len;

    if (pending_count(connection) == 0) {
        connection->progress_us = connection->run->now_us;
    }
    load_command_encode(&command, connection->prefix, &connection->out);
    connection->queued += connection->out.len - len;
    command.wire_end = connection->queued;
    command.sent_us = connection->run->now_us;
    if (command.op == LOAD_CRASH_CONNECTION) {
        connection->crash_end = command.wire_end;
    }
    connection->pending[connection->tail++ % LOAD_PENDING_MAX] = command;
}

void load_connection_send(struct load_connection *connection, struct load_command command)
{
    put(connection, command);
    flush(connection);
}

/* The next keys, each by a GET and a TTL or by a DEL. */
static void refill_keys(struct load_connection *connection, enum load_op op, enum load_op op_also)
{
    while (connection->next_key < connection->key_count &&
           pending_count(connection) + 2 <= LOAD_DEPTH_MAX) {
        int key = connection->next_key++;

        put(connection, (struct load_command){.op = op, .key_count = 1, .keys = {key}});
        if (op_also != op) {
            put(connection, (struct load_command){.op = op_also, .key_count = 1, .keys = {key}});
        }
    }
}

static bool may_issue(struct load_run *run)
{
    return !run->stopping && (run->operation_max == 0 || run->issued < run->operation_max);
}

/* TTL is asked at once after EXPIRE, if there is room. */
static void issue(struct load_connection *connection)
{
    struct load_command command = load_generate_command(connection);

    put(connection, command);
    connection->run->issued++;
    if (command.op == LOAD_EXPIRE && pending_count(connection) < LOAD_DEPTH_MAX) {
        put(connection,
            (struct load_command){.op = LOAD_TTL, .key_count = 1, .keys = {command.keys[0]}});
        connection->run->issued++;
    }
}

/* To a random depth, and not again before the pipeline has fallen to a random level below it. */
static void refill_load(struct load_connection *connection)
{
    struct load_run *run = connection->run;
    unsigned depth = 1 + (unsigned)load_random(run, LOAD_DEPTH_MAX);
    unsigned crash_at = connection->crash_wanted ? (unsigned)load_random(run, depth) : UINT_MAX;

    if (pending_count(connection) > connection->refill_at || connection->crash_end != 0) {
        return;
    }
    connection->refill_at = (unsigned)load_random(run, depth);
    while (pending_count(connection) < depth && may_issue(run)) {
        if (connection->crash_wanted && pending_count(connection) >= crash_at) {
            put(connection, (struct load_command){.op = LOAD_CRASH_CONNECTION});
            connection->crash_wanted = false;
        }
        issue(connection);
    }
}

void load_connection_refill(struct load_connection *connection)
{
    if (connection->state != LOAD_OPEN || connection->quit) {
        return;
    }
    switch (connection->run->phase) {
    case LOAD_PHASE_SETUP:
    case LOAD_PHASE_DELETE:
        refill_keys(connection, LOAD_DEL, LOAD_DEL);
        break;
    case LOAD_PHASE_LOAD:
        if (connection->key_count > 0) {
            refill_load(connection);
        }
        break;
    case LOAD_PHASE_VERIFY:
        refill_keys(connection, LOAD_GET, LOAD_TTL);
        break;
    case LOAD_PHASE_QUIT:
        if (pending_count(connection) == 0) {
            put(connection, (struct load_command){.op = LOAD_QUIT});
        }
        break;
    }
    flush(connection);
}

/* Reading. */

static bool is_shard_error(const struct load_command *command, const struct load_reply *reply)
{
    return reply->item.type == '-' && reply->item.len >= sizeof SHARD_ERROR - 1 &&
           memcmp(reply->item.data, SHARD_ERROR, sizeof SHARD_ERROR - 1) == 0 &&
           (command->key_count > 0 || command->op == LOAD_DBSIZE);
}

/* A shard failed under the command: it counts as applied or not, and without load is sent again. */
static void answer_crashed(struct load_connection *connection, struct load_command *command,
    const struct load_reply *reply)
{
    struct load_run *run = connection->run;

    if (run->last_crash_us == 0) {
        load_connection_violate(
            connection, command, reply, "a shard failed, and we had crashed none");
        return;
    }
    if (run->now_us - run->last_crash_us > LOAD_STALL_S * 1000000ULL) {
        load_connection_violate(
            connection, command, reply, "a shard still fails, long after the last crash");
        return;
    }
    run->crash_errors++;
    load_model_branch(connection->keys, command, window_of(connection, command));
    if (run->phase != LOAD_PHASE_LOAD || command->op == LOAD_DBSIZE) {
        struct load_command again = {.op = command->op,
            .key_count = command->key_count,
            .keys = {command->keys[0]},
            .amount = command->amount};

        put(connection, again);
    }
}

static void count_latency(struct load_run *run, const struct load_command *command)
{
    if (run->phase == LOAD_PHASE_LOAD && command->op < LOAD_DBSIZE) {
        run->answered++;
        run->latency[latency_slot(run->now_us - command->sent_us)]++;
    }
}

static void answer(struct load_connection *connection, const struct load_reply *reply)
{
    struct load_command *command = oldest(connection);

    if (command == NULL) {
        load_connection_violate(
            connection, NULL, reply, "DOUBLED: a reply while no command is pending");
        return;
    }
    if (connection->crash_answered) {
        load_connection_violate(
            connection, NULL, reply, "a reply after the error that ended the connection");
        return;
    }
    if (command->op == LOAD_CRASH_CONNECTION && reply->item.type == '-') {
        connection->crash_answered = true;
    } else if (is_shard_error(command, reply)) {
        answer_crashed(connection, command, reply);
    } else if (command->op == LOAD_CRASH_CONNECTION || !load_model_settle(connection->keys, command,
                                                           reply, window_of(connection, command))) {
        load_connection_violate(connection, command, reply, "a wrong reply");
    }
    if (connection->state != LOAD_OPEN) {
        return;
    }
    if (command->op == LOAD_DBSIZE && reply->item.type == ':') {
        connection->run->dbsize = reply->item.number;
    }
    connection->run->shard_crashes += command->op == LOAD_CRASH_SHARD;
    connection->quit = command->op == LOAD_QUIT;
    if (!connection->crash_answered) {
        count_latency(connection->run, command);
        pop(connection);
    }
}

/* Checks every whole reply that has come. */
static void answer_all(struct load_connection *connection)
{
    struct load_bytes *in = &connection->in;

    while (connection->state == LOAD_OPEN && in->len > 0) {
        struct load_reply reply;
        enum load_parse parsed = load_wire_parse(in->data + in->start, in->len, &reply);

        if (parsed == LOAD_PARSE_PARTIAL) {
            break;
        }
        if (parsed == LOAD_PARSE_MALFORMED) {
            reply = (struct load_reply){
                .item.type = '+', .raw = in->data + in->start, .raw_len = in->len};
            load_connection_violate(
                connection, oldest(connection), &reply, "what came is no reply");
            return;
        }
        answer(connection, &reply);
        if (connection->state != LOAD_OPEN) {
            return;
        }
        connection->last_reply_len =
            reply.raw_len < LOAD_LAST_REPLY_MAX ? reply.raw_len : LOAD_LAST_REPLY_MAX;
        memcpy(connection->last_reply, reply.raw, connection->last_reply_len);
        load_bytes_consume(in, reply.raw_len);
    }
}

/* The server closed the connection, as we asked it to. */
static void crashed(struct load_connection *connection)
{
    struct load_command *command;

    connection->run->connection_crashes++;
    connection->run->reconnects++;
    while ((command = oldest(connection)) != NULL) {
        if (command->wire_end <= connection->sent) {
            load_model_branch(connection->keys, command, window_of(connection, command));
        }
        pop(connection);
    }
    shut(connection);
    load_connection_open(connection);
}

static void closed(struct load_connection *connection, const char *how)
{
    char what[160];

    if (connection->quit && connection->in.len == 0) {
        shut(connection);
        connection->state = LOAD_DONE;
    } else if (connection->crash_end != 0 && connection->sent >= connection->crash_end) {
        crashed(connection);
    } else {
        snprintf(what, sizeof what, "the server closed the connection (%s)", how);
        load_connection_violate(connection, oldest(connection), NULL, what);
    }
}

static void receive(struct load_connection *connection)
{
    struct load_bytes *in = &connection->in;
    char *room = load_bytes_reserve(in, READ_LEN);
    ssize_t len = recv(connection->fd, room, READ_LEN, 0);

    if (len < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (len <= 0) {
        closed(connection, len == 0 ? "end of stream" : strerror(errno));
        return;
    }
    connection->progress_us = connection->run->now_us;
    in->len += (size_t)len;
    answer_all(connection);
    load_connection_refill(connection);
}

void load_connection_ready(struct load_connection *connection, uint32_t events)
{
    if (connection->state == LOAD_CONNECTING) {
        opened(connection);
        return;
    }
    if ((events & EPOLLOUT) != 0) {
        flush(connection);
    }
    if (connection->state == LOAD_OPEN && (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) {
        receive(connection);
    }
}

/* Waiting. */

bool load_connection_is_idle(const struct load_connection *connection)
{
    if (connection->state == LOAD_RETIRED || connection->state == LOAD_DONE) {
        return true;
    }
    return connection->state == LOAD_OPEN && connection->run->phase != LOAD_PHASE_QUIT &&
           pending_count(connection) == 0 && connection->next_key == connection->key_count;
}

void load_connection_check_stall(struct load_connection *connection)
{
    bool waits =
        connection->state == LOAD_CONNECTING ||
        (connection->state == LOAD_OPEN && (pending_count(connection) > 0 || connection->quit));

    if (waits && connection->run->now_us - connection->progress_us > LOAD_STALL_S * 1000000ULL) {
        load_connection_violate(connection, oldest(connection), NULL,
            connection->crash_end != 0 || connection->quit
                ? "HANGS: the server does not close the connection"
                : "HANGS: a reply is MISSING");
    }
}
