/* SPDX-License-Identifier: MIT */
/*
 * client.c - see client.h: the protocol of a connection, the ring, and requests to shards.
 *
 * A command of one key, by far the most frequent, costs one message to its shard and one back, and no
 * allocation beside: its reply is written to the connection from the message itself when all before it have left.
 *
 * A shard without room.  The request that was refused is kept, the connection pauses, and the parser is not fed, so
 * the command's arguments stay where they are.  After the next reply it is tried again; if none is due, after 1 ms.
 */
#include "client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* An empty buffer or parser larger than this is not kept. */
#define KEEP ((size_t)4096)

#define RETRY_MS 1

static const struct troupe_type client_retry = TROUPE_SIGNAL;

/* ---- the ring ---- */

static int grow(struct kv_client *client)
{
    uint32_t size = client->ring_size > 0 ? client->ring_size * 2 : 2;
    struct kv_place *ring = calloc(size, sizeof *ring);
    uint32_t number;

    if (ring == NULL) {
        return KV_ENOMEM;
    }
    for (number = client->first; number != client->next; number++) {
        ring[number & (size - 1)] = client->ring[number & (client->ring_size - 1)];
    }
    free(client->ring);
    client->ring = ring;
    client->ring_size = size;
    return KV_OK;
}

int kv_client_begin(struct kv_client *client, uint32_t *out_ticket)
{
    struct kv_place *place;

    if (client->next - client->first == client->ring_size && grow(client) != KV_OK) {
        return KV_ENOMEM;
    }
    place = &client->ring[client->next & (client->ring_size - 1)];
    *place = (struct kv_place){0};
    kv_bytes_init(&place->reply, NULL, 0);
    *out_ticket = client->next % KV_PLACES;
    client->next++;
    troupe_connection_begin(client->connection);
    return KV_OK;
}

/* The number of a ticket's place: of those that are out only one has these low bits. */
static uint32_t number_of(const struct kv_client *client, uint32_t ticket)
{
    return client->first + ((ticket - client->first) % KV_PLACES);
}

struct kv_place *kv_client_place(struct kv_client *client, uint32_t ticket)
{
    return &client->ring[number_of(client, ticket) & (client->ring_size - 1)];
}

static void clear_place(struct kv_place *place)
{
    kv_bytes_fini(&place->reply);
    if (place->gather != NULL) {
        place->gather->destroy(place->gather);
        place->gather = NULL;
    }
}

static int write_out(struct troupe_actor *self, struct kv_client *client, struct kv_slice reply)
{
    int error = troupe_connection_write(client->connection, reply.data, reply.len);

    /* A connection that closes sends nothing more; without memory replies would be lost. */
    return error < 0 && error != TROUPE_ECLOSED ? troupe_fail(self, error, "no memory for a reply")
                                                : TROUPE_OK;
}

static void pop(struct kv_client *client)
{
    clear_place(&client->ring[client->first & (client->ring_size - 1)]);
    client->first++;
    troupe_connection_end(client->connection);
}

/* The oldest place has left: so may those behind it that have their replies. */
static int write_next(struct troupe_actor *self, struct kv_client *client)
{
    while (client->first != client->next) {
        struct kv_place *place = &client->ring[client->first & (client->ring_size - 1)];

        if (!place->replied) {
            return TROUPE_OK;
        }
        TROUPE_TRY(write_out(self, client, (struct kv_slice){place->reply.data, place->reply.len}));
        pop(client);
    }
    if (client->ending) {
        troupe_connection_close(client->connection);
    }
    return TROUPE_OK;
}

int kv_client_reply(
    struct troupe_actor *self, struct kv_client *client, uint32_t ticket, struct kv_slice reply)
{
    struct kv_place *place = kv_client_place(client, ticket);

    if (ticket == client->first % KV_PLACES) {
        TROUPE_TRY(write_out(self, client, reply));
        pop(client);
        return write_next(self, client);
    }
    place->replied = true;
    if (kv_bytes_append(&place->reply, reply.data, reply.len) != KV_OK) {
        return troupe_fail(self, TROUPE_ENOMEM, "no memory for a reply");
    }
    return TROUPE_OK;
}

/* ---- requests ---- */

void kv_client_put_failure(struct kv_bytes *out, uint32_t shard, int status)
{
    char text[128];

    switch (status) {
    case TROUPE_EDIED:
        (void)snprintf(text, sizeof text,
            "ERR shard %u failed while it served this command; it may or may not have been applied",
            shard);
        break;
    case TROUPE_ETIMEDOUT:
        (void)snprintf(text, sizeof text,
            "ERR shard %u did not answer in time; this command may or may not have been applied",
            shard);
        break;
    case TROUPE_ENOMEM:
    case TROUPE_ELIMIT:
        (void)snprintf(text, sizeof text, "OOM shard %u or its client has no memory left", shard);
        break;
    default:
        (void)snprintf(text, sizeof text, "ERR shard %u: %s", shard, troupe_strerror(status));
        break;
    }
    kv_resp_put_error(out, text);
}

int kv_client_ask(struct troupe_actor *self, struct kv_client *client, uint32_t shard, size_t argc,
    const struct kv_slice *argv, troupe_reply_fn on_reply, void *context,
    struct troupe_message **out_message)
{
    /* relaxed: a pid is a value; of a shard that has not started it is nobody's. */
    troupe_pid pid = atomic_load_explicit(&client->server->shards[shard].pid, memory_order_relaxed);
    struct troupe_message *msg;
    int error;

    TROUPE_TRY(troupe_message_create(
        troupe_runtime_of(self), &kv_request, kv_shard_pack_size(argc, argv), &msg));
    kv_shard_pack(client->session.protocol, argc, argv, troupe_body(msg));
    error = troupe_request_message(self, pid, msg, KV_REQUEST_MS, on_reply, context);
    if (error == TROUPE_EFULL && out_message != NULL) {
        *out_message = msg;
    } else if (error < 0) {
        troupe_message_destroy(msg);
    }
    client->asked += error == TROUPE_OK;
    return error;
}

/* A shard's answer to a command of one key. */
static int on_reply(
    struct troupe_actor *self, void *state, void *context, int status, struct troupe_message *reply)
{
    struct kv_client *client = kv_client_of(state);
    uint32_t ticket = kv_client_context_ticket(context);

    client->asked--;
    if (status == TROUPE_OK) {
        struct kv_slice bytes = {troupe_body(reply), troupe_body_size(reply)};

        TROUPE_TRY(kv_client_reply(self, client, ticket, bytes));
    } else {
        kv_bytes_clear(&client->answer);
        kv_client_put_failure(&client->answer, kv_client_context_number(context), status);
        TROUPE_TRY(kv_client_reply(
            self, client, ticket, (struct kv_slice){client->answer.data, client->answer.len}));
    }
    return kv_client_settle(self, client);
}

/* A request that never left is answered in its place. */
static int reply_failure(
    struct troupe_actor *self, struct kv_client *client, uint32_t ticket, uint32_t shard, int error)
{
    kv_bytes_clear(&client->answer);
    kv_client_put_failure(&client->answer, shard, error);
    return kv_client_reply(
        self, client, ticket, (struct kv_slice){client->answer.data, client->answer.len});
}

static int begin_key(struct troupe_actor *self, struct kv_client *client, uint32_t ticket,
    const struct kv_command *command, size_t argc, const struct kv_slice *argv)
{
    uint32_t shard = kv_command_shard(argv[command->first_key], client->server->shard_count);
    int error = kv_client_ask(self, client, shard, argc, argv, on_reply,
        kv_client_context(ticket, shard), &client->stuck_message);

    if (error == TROUPE_EFULL) {
        client->stuck = true;
        client->stuck_shard = shard;
        client->stuck_ticket = ticket;
        return TROUPE_OK;
    }
    return error < 0 ? reply_failure(self, client, ticket, shard, error) : TROUPE_OK;
}

/* ---- stuck ---- */

/* Sends what was refused; TROUPE_EFULL if there still is no room. */
static int send_stuck(struct troupe_actor *self, struct kv_client *client)
{
    uint32_t shard = client->stuck_shard;
    troupe_pid pid;
    int error;

    if (client->stuck_message == NULL) {
        return kv_spread_resume(self, client, client->stuck_ticket);
    }
    /* relaxed: as in kv_client_ask(). */
    pid = atomic_load_explicit(&client->server->shards[shard].pid, memory_order_relaxed);
    error = troupe_request_message(self, pid, client->stuck_message, KV_REQUEST_MS, on_reply,
        kv_client_context(client->stuck_ticket, shard));
    if (error == TROUPE_EFULL) {
        return error;
    }
    if (error < 0) {
        troupe_message_destroy(client->stuck_message);
        client->stuck_message = NULL;
        return reply_failure(self, client, client->stuck_ticket, shard, error);
    }
    client->stuck_message = NULL;
    client->asked++;
    return TROUPE_OK;
}

int kv_client_settle(struct troupe_actor *self, struct kv_client *client)
{
    struct troupe_timer timer;
    int error;

    if (!client->stuck) {
        return TROUPE_OK;
    }
    error = send_stuck(self, client);
    if (error == TROUPE_OK) {
        client->stuck = false;
        troupe_connection_resume(client->connection);
        return TROUPE_OK;
    }
    if (error != TROUPE_EFULL) {
        return error;
    }
    if (client->asked == 0 && !client->retrying) {
        TROUPE_TRY(troupe_tick_after(self, RETRY_MS, &client_retry, NULL, &timer));
        client->retrying = true;
    }
    return TROUPE_OK;
}

/* ---- commands ---- */

/* An answer that is ready: behind those that are not. */
static int answer_now(struct troupe_actor *self, struct kv_client *client)
{
    struct kv_slice bytes = {client->answer.data, client->answer.len};
    uint32_t ticket;

    if (client->answer.error != KV_OK) {
        return troupe_fail(self, TROUPE_ENOMEM, "no memory for a reply");
    }
    if (client->first == client->next) {
        return write_out(self, client, bytes);
    }
    if (kv_client_begin(client, &ticket) != KV_OK) {
        return troupe_fail(self, TROUPE_ENOMEM, "no memory for a reply");
    }
    return kv_client_reply(self, client, ticket, bytes);
}

static int begin(struct troupe_actor *self, struct kv_client *client,
    const struct kv_command *command, size_t argc, const struct kv_slice *argv)
{
    uint32_t ticket;

    if (kv_client_begin(client, &ticket) != KV_OK) {
        return troupe_fail(self, TROUPE_ENOMEM, "no memory for a command");
    }
    switch (command->id) {
    case KV_COMMAND_INFO:
        return kv_info_begin(self, client, ticket, argc, argv);
    case KV_COMMAND_TROUPE_TREE:
        return kv_tree_begin(self, client, ticket);
    case KV_COMMAND_TROUPE_CRASH:
        return kv_crash_begin(self, client, ticket, argc, argv);
    default:
        break;
    }
    if (command->where == KV_WHERE_KEY) {
        return begin_key(self, client, ticket, command, argc, argv);
    }
    return kv_spread_begin(self, client, ticket, command, argc, argv);
}

static bool is_answered_here(const struct kv_command *command)
{
    return command->where == KV_WHERE_CONNECTION && command->id != KV_COMMAND_INFO &&
           command->id != KV_COMMAND_TROUPE_TREE && command->id != KV_COMMAND_TROUPE_CRASH;
}

static int on_command(
    struct troupe_actor *self, struct kv_client *client, size_t argc, const struct kv_slice *argv)
{
    const struct kv_command *command;

    kv_bytes_clear(&client->answer);
    command = kv_command_check(argc, argv, &client->answer);
    if (command == NULL) {
        return answer_now(self, client);
    }
    if (!is_answered_here(command)) {
        return begin(self, client, command, argc, argv);
    }
    (void)kv_command_answer(&client->session, client->server->settings,
        TROUPE_COUNT(client->server->settings), command, argc, argv, &client->answer);
    TROUPE_TRY(answer_now(self, client));
    client->ending = client->session.closing;
    return TROUPE_OK;
}

/* Takes complete commands out while the connection has room for their replies. */
static int take_commands(struct troupe_actor *self, struct kv_client *client)
{
    const struct kv_slice *argv;
    size_t argc;
    uint64_t count = 0;
    int got = 0;

    while (!client->stuck && !client->ending && !troupe_connection_is_full(client->connection)) {
        got = kv_resp_next(&client->parser, &argc, &argv);
        if (got <= 0) {
            break;
        }
        count++;
        TROUPE_TRY(on_command(self, client, argc, argv));
    }
    /* relaxed: a number. */
    atomic_fetch_add_explicit(&client->server->command_count, count, memory_order_relaxed);
    if (got == KV_ENOMEM) {
        return troupe_fail(self, TROUPE_ENOMEM, "no memory for a command");
    }
    if (got < 0) {
        kv_bytes_clear(&client->answer);
        kv_resp_put_error(&client->answer, kv_resp_error_text(&client->parser));
        TROUPE_TRY(answer_now(self, client));
        client->ending = true;
    }
    return TROUPE_OK;
}

/* What is held between two bursts of commands is small. */
static void shrink(struct kv_client *client)
{
    if (client->first == client->next) {
        if (kv_resp_held(&client->parser) > KEEP) {
            kv_resp_trim(&client->parser);
        }
        if (client->ring_size * sizeof *client->ring > KEEP) {
            free(client->ring);
            client->ring = NULL;
            client->ring_size = 0;
        }
    }
    if (client->answer.cap > KEEP) {
        kv_bytes_fini(&client->answer);
    }
}

/* ---- the protocol ---- */

static int client_open(
    struct troupe_actor *self, struct troupe_connection *connection, void *state, const void *arg)
{
    struct kv_client *client = state;

    (void)self;
    client->server = (struct kv_server *)(uintptr_t)arg; /* main's, which may write */
    client->connection = connection;
    kv_command_session_init(&client->session, troupe_connection_id(connection));
    kv_bytes_init(&client->answer, NULL, 0);
    return kv_resp_init(&client->parser, NULL, NULL) == KV_OK ? TROUPE_OK : TROUPE_ENOMEM;
}

static int client_data(struct troupe_actor *self, struct troupe_connection *connection, void *state,
    const uint8_t *data, size_t size, size_t *in_out_used)
{
    struct kv_client *client = state;

    (void)connection;
    if (size > KV_RESP_FEED_MAX) {
        size = KV_RESP_FEED_MAX;
    }
    if (size > 0 && !client->ending && kv_resp_feed(&client->parser, data, size) != KV_OK) {
        return troupe_fail(self, TROUPE_ENOMEM, "no memory for a command");
    }
    *in_out_used = size;
    TROUPE_TRY(take_commands(self, client));
    while (client->stuck) {
        TROUPE_TRY(kv_client_settle(self, client));
        if (client->stuck) {
            return TROUPE_PAUSE;
        }
        TROUPE_TRY(take_commands(self, client));
    }
    if (client->ending) {
        /* If some are waiting, the last reply closes. */
        return client->first == client->next ? TROUPE_DONE : TROUPE_PAUSE;
    }
    shrink(client);
    return TROUPE_OK;
}

static int client_message(struct troupe_actor *self, struct troupe_connection *connection,
    void *state, struct troupe_message *msg)
{
    struct kv_client *client = state;

    (void)connection;
    if (!troupe_is(msg, &client_retry)) {
        return TROUPE_EUNKNOWN;
    }
    client->retrying = false;
    return kv_client_settle(self, client);
}

static void client_destroy(void *state)
{
    struct kv_client *client = state;

    while (client->first != client->next) {
        clear_place(&client->ring[client->first++ & (client->ring_size - 1)]);
    }
    free(client->ring);
    troupe_message_destroy(client->stuck_message);
    kv_bytes_fini(&client->answer);
    kv_resp_fini(&client->parser);
}

const struct troupe_protocol kv_protocol = {
    .name = "kv",
    .state_size = sizeof(struct kv_client),
    .on_open = client_open,
    .on_data = client_data,
    .on_message = client_message,
    .destroy = client_destroy,
};
