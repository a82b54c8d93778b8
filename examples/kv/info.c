/* SPDX-License-Identifier: MIT */
/*
 * info.c - INFO: asks the listener and every shard for its numbers, and answers when all have told.
 */
#include "client.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The number that stands for the listener where others are shards. */
#define LISTENER (UINT32_MAX / KV_PLACES)

struct info {
    struct kv_gather gather;
    struct kv_command_info numbers;
    uint32_t missing;
    int error;             /* of whoever did not answer */
    uint32_t silent;       /* who that was */
    int protocol;          /* when it was asked */
    size_t argc;           /* the sections asked for */
    struct kv_slice *argv; /* with the bytes behind, in the same block */
};

static void info_destroy(struct kv_gather *gather)
{
    struct info *info = (struct info *)gather;

    free(info->argv);
    free(info);
}

static void add(struct kv_keyspace_numbers *sum, const struct kv_keyspace_numbers *numbers)
{
    sum->count += numbers->count;
    sum->expiring += numbers->expiring;
    sum->bytes += numbers->bytes;
    sum->expired += numbers->expired;
    sum->hits += numbers->hits;
    sum->misses += numbers->misses;
    sum->recoveries += numbers->recoveries;
}

static int complete(
    struct troupe_actor *self, struct kv_client *client, uint32_t ticket, const struct info *info)
{
    kv_bytes_clear(&client->answer);
    if (info->error != TROUPE_OK) {
        kv_client_put_failure(&client->answer, info->silent, info->error);
    } else if (kv_command_put_info(&info->numbers, info->protocol, info->argc, info->argv,
                   &client->answer) != KV_OK) {
        return troupe_fail(self, TROUPE_ENOMEM, "no memory for a reply");
    }
    return kv_client_reply(
        self, client, ticket, (struct kv_slice){client->answer.data, client->answer.len});
}

static void note(struct info *info, uint32_t who, int status, const struct troupe_message *reply)
{
    info->missing--;
    if (status != TROUPE_OK) {
        info->error = status;
        info->silent = who;
    } else if (who == LISTENER) {
        const struct troupe_listener_numbers *numbers = troupe_body(reply);

        info->numbers.client_count = numbers->connections;
        info->numbers.connection_count = numbers->accepted;
        info->numbers.refused_count = numbers->refused + numbers->shed;
        info->numbers.connection_crashes = numbers->failed;
    } else {
        add(&info->numbers.keys, troupe_body(reply));
    }
}

static int on_numbers(
    struct troupe_actor *self, void *state, void *context, int status, struct troupe_message *reply)
{
    struct kv_client *client = kv_client_of(state);
    uint32_t ticket = kv_client_context_ticket(context);
    struct info *info = (struct info *)kv_client_place(client, ticket)->gather;

    client->asked--;
    note(info, kv_client_context_number(context), status, reply);
    if (info->missing == 0) {
        TROUPE_TRY(complete(self, client, ticket, info));
    }
    return kv_batch_settle(self, client);
}

static void ask(struct troupe_actor *self, struct kv_client *client, uint32_t ticket,
    struct info *info, uint32_t who)
{
    const struct troupe_type *question = &troupe_listener_ask;
    troupe_pid pid;
    int error;

    if (who == LISTENER) {
        pid = troupe_whereis(self, "kv.listener");
    } else {
        question = &kv_ask_numbers;
        /* relaxed: a pid is a value. */
        pid = atomic_load_explicit(&client->server->shards[who].pid, memory_order_relaxed);
    }
    info->missing++;
    error = troupe_request(
        self, pid, question, NULL, KV_REQUEST_MS, on_numbers, kv_client_context(ticket, who));
    if (error < 0) {
        note(info, who, error, NULL);
    } else {
        client->asked++;
    }
}

/* Copies the arguments: the parser's do not last. */
static bool copy_arguments(struct info *info, size_t argc, const struct kv_slice *argv)
{
    size_t size = argc * sizeof *argv;
    char *bytes;
    size_t i;

    for (i = 0; i < argc; i++) {
        size += argv[i].len;
    }
    info->argv = malloc(size);
    if (info->argv == NULL) {
        return false;
    }
    info->argc = argc;
    bytes = (char *)(info->argv + argc);
    for (i = 0; i < argc; i++) {
        if (argv[i].len > 0) {
            memcpy(bytes, argv[i].data, argv[i].len);
        }
        info->argv[i] = (struct kv_slice){bytes, argv[i].len};
        bytes += argv[i].len;
    }
    return true;
}

static void fill_in(struct info *info, const struct kv_server *server)
{
    struct troupe_gate_numbers gate;
    uint32_t i;

    if (server->gate != NULL && troupe_gate_read(server->gate, &gate) == TROUPE_OK) {
        info->numbers.busy_count = gate.refused;
        info->numbers.request_count = gate.in_flight;
        info->numbers.request_highest = gate.highest;
    }
    info->numbers.version = troupe_version();
    info->numbers.process_id = (uint64_t)getpid();
    info->numbers.port = server->bound_port;
    info->numbers.uptime_ms = (uint64_t)(kv_now_ms() - server->started_ms);
    info->numbers.shard_count = server->shard_count;
    info->numbers.worker_count = server->worker_count;
    /* relaxed: numbers. */
    info->numbers.command_count =
        atomic_load_explicit(&server->command_count, memory_order_relaxed);
    for (i = 0; i < server->shard_count; i++) {
        info->numbers.shard_restarts +=
            atomic_load_explicit(&server->shards[i].restarts, memory_order_relaxed);
    }
}

int kv_info_begin(struct troupe_actor *self, struct kv_client *client, uint32_t ticket, size_t argc,
    const struct kv_slice *argv)
{
    struct info *info = calloc(1, sizeof *info);
    uint32_t i;

    if (info == NULL) {
        return troupe_fail(self, TROUPE_ENOMEM, "no memory for a command");
    }
    info->gather.destroy = info_destroy;
    kv_client_place(client, ticket)->gather = &info->gather;
    if (!copy_arguments(info, argc, argv)) {
        return troupe_fail(self, TROUPE_ENOMEM, "no memory for a command");
    }
    info->protocol = client->session.protocol;
    fill_in(info, client->server);
    ask(self, client, ticket, info, LISTENER);
    for (i = 0; i < client->server->shard_count; i++) {
        ask(self, client, ticket, info, i);
    }
    return info->missing == 0 ? complete(self, client, ticket, info) : TROUPE_OK;
}
