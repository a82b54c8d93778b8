/* SPDX-License-Identifier: MIT */
/*
 * client.c - see client.h: the protocol of a connection, and the ring.
 *
 * A command of one key, by far the most frequent, costs a part of a message to its shard and back, and no
 * allocation beside: its reply is written to the connection from the message itself when all before it have left.
 */
#include "client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* An empty buffer or parser larger than this is not kept. */
#define KEEP ((size_t)4096)

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

void kv_client_put_busy(struct kv_bytes *out, int error)
{
    char text[128];

    switch (error) {
    case TROUPE_EFULL:
        (void)snprintf(text, sizeof text,
            "BUSY too many commands are being served; this one was not applied, try again later");
        break;
    case TROUPE_EBUSY:
        (void)snprintf(text, sizeof text,
            "BUSY commands wait too long; this one was not applied, try again later");
        break;
    default:
        (void)snprintf(text, sizeof text, "BUSY %s; this command was not applied, try again later",
            troupe_strerror(error));
        break;
    }
    kv_resp_put_error(out, text);
}

int kv_client_reply_failure(
    struct troupe_actor *self, struct kv_client *client, uint32_t ticket, uint32_t shard, int error)
{
    kv_bytes_clear(&client->answer);
    kv_client_put_failure(&client->answer, shard, error);
    return kv_client_reply(
        self, client, ticket, (struct kv_slice){client->answer.data, client->answer.len});
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

static int begin(struct troupe_actor *self, struct kv_client *client, struct kv_stage *stage,
    const struct kv_command *command, size_t argc, const struct kv_slice *argv)
{
    uint32_t ticket;

    if (kv_client_begin(client, &ticket) != KV_OK) {
        return troupe_fail(self, TROUPE_ENOMEM, "no memory for a command");
    }
    if (command->where == KV_WHERE_KEY) {
        return kv_batch_add(self, client, stage, ticket,
            kv_command_shard(argv[command->first_key], client->server->shard_count), argc, argv);
    }
    /* What was staged came first, and may be for the same shards. */
    TROUPE_TRY(kv_batch_flush(self, client, stage));
    switch (command->id) {
    case KV_COMMAND_INFO:
        return kv_info_begin(self, client, ticket, argc, argv);
    case KV_COMMAND_TROUPE_TREE:
        return kv_tree_begin(self, client, ticket);
    case KV_COMMAND_TROUPE_CRASH:
        return kv_crash_begin(self, client, ticket, argc, argv);
    default:
        return kv_spread_begin(self, client, ticket, command, argc, argv);
    }
}

static bool is_answered_here(const struct kv_command *command)
{
    return command->where == KV_WHERE_CONNECTION && command->id != KV_COMMAND_INFO &&
           command->id != KV_COMMAND_TROUPE_TREE && command->id != KV_COMMAND_TROUPE_CRASH;
}

/* The answer of a command that asks nobody else. */
static void answer_here(struct kv_client *client, const struct kv_command *command, size_t argc,
    const struct kv_slice *argv)
{
    const struct kv_server *server = client->server;
    char client_max[16] = "";
    char port[8] = "";
    const struct kv_command_setting settings[] = {{"maxclients", client_max}, {"port", port}};

    if (command->id == KV_COMMAND_CONFIG) {
        (void)snprintf(client_max, sizeof client_max, "%u", server->client_max);
        (void)snprintf(port, sizeof port, "%u", server->bound_port);
    }
    (void)kv_command_answer(
        &client->session, settings, TROUPE_COUNT(settings), command, argc, argv, &client->answer);
}

/* A browser that a web page made speak to us begins so.  As Redis does: nothing that it says is executed. */
static bool is_http(struct kv_slice name)
{
    return kv_slice_is(name, "POST") || kv_slice_is(name, "Host:");
}

static int on_command(struct troupe_actor *self, struct kv_client *client, struct kv_stage *stage,
    size_t argc, const struct kv_slice *argv)
{
    const struct kv_command *command;

    if (is_http(argv[0])) {
        client->ending = true;
        return TROUPE_OK;
    }
    kv_bytes_clear(&client->answer);
    command = kv_command_check(argc, argv, &client->answer);
    if (command == NULL) {
        return answer_now(self, client);
    }
    if (!is_answered_here(command)) {
        return begin(self, client, stage, command, argc, argv);
    }
    if (command->id == KV_COMMAND_HELLO) {
        /* What was staged came before, and is answered in the protocol of before. */
        TROUPE_TRY(kv_batch_flush(self, client, stage));
    }
    answer_here(client, command, argc, argv);
    TROUPE_TRY(answer_now(self, client));
    client->ending = client->session.closing;
    return TROUPE_OK;
}

/* Takes complete commands out while the connection has room for their replies. */
static int take_commands(struct troupe_actor *self, struct kv_client *client)
{
    const struct kv_slice *argv;
    struct kv_stage stage;
    size_t argc;
    uint64_t count = 0;
    int got = 0;

    stage.count = 0;
    stage.slice_count = 0;
    stage.bytes = 0;
    while (client->stuck == NULL && !client->ending &&
           !troupe_connection_is_full(client->connection)) {
        got = kv_resp_next(&client->parser, &argc, &argv);
        if (got <= 0) {
            break;
        }
        count++;
        TROUPE_TRY(on_command(self, client, &stage, argc, argv));
    }
    TROUPE_TRY(kv_batch_flush(self, client, &stage));
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
    while (client->stuck != NULL) {
        TROUPE_TRY(kv_batch_settle(self, client));
        if (client->stuck != NULL) {
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
    if (!troupe_is(msg, &kv_retry)) {
        return TROUPE_EUNKNOWN;
    }
    client->retrying = false;
    return kv_batch_settle(self, client);
}

static void client_destroy(void *state)
{
    struct kv_client *client = state;

    while (client->first != client->next) {
        clear_place(&client->ring[client->first++ & (client->ring_size - 1)]);
    }
    free(client->ring);
    kv_batch_drop(client);
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
