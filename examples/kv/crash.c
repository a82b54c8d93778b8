/* SPDX-License-Identifier: MIT */
/*
 * crash.c - TROUPE.CRASH CONNECTION, SHARD n, and SHARD n AT point [count].
 *
 * The last form lets the shard go on, and fails it when it comes to the place of that name for the count-th time
 * (the first, if not given): inside of a later command.  "*" is any place, "allocate" every allocation; the names
 * of others are in keyspace.c.
 */
#include "client.h"

#include <string.h>

static int on_crash(
    struct troupe_actor *self, void *state, void *context, int status, struct troupe_message *reply)
{
    struct kv_client *client = kv_client_of(state);
    struct kv_slice bytes;

    client->asked--;
    kv_bytes_clear(&client->answer);
    if (status == TROUPE_OK) {
        struct kv_replies replies = kv_replies_of(reply);

        bytes = kv_replies_next(&replies);
    } else {
        kv_client_put_failure(&client->answer, kv_client_context_number(context), status);
        bytes = (struct kv_slice){client->answer.data, client->answer.len};
    }
    TROUPE_TRY(kv_client_reply(self, client, kv_client_context_ticket(context), bytes));
    return kv_batch_settle(self, client);
}

/* Reads "AT point [count]"; false if it is something else. */
static bool parse_at(size_t argc, const struct kv_slice *argv, struct kv_crash *crash)
{
    int64_t count = 1;

    if (argc < 2 || argc > 3 || !kv_slice_is(argv[0], "AT") || argv[1].len >= sizeof crash->point) {
        return false;
    }
    if (argc == 3 &&
        (kv_slice_integer(argv[2], &count) != KV_OK || count < 1 || count > INT32_MAX)) {
        return false;
    }
    memcpy(crash->point, argv[1].data, argv[1].len);
    crash->after = (uint32_t)count;
    return true;
}

static int crash_shard(struct troupe_actor *self, struct kv_client *client, uint32_t ticket,
    uint32_t shard, const struct kv_crash *crash)
{
    /* relaxed: a pid is a value. */
    troupe_pid pid = atomic_load_explicit(&client->server->shards[shard].pid, memory_order_relaxed);
    int error = troupe_request(
        self, pid, &kv_crash, crash, KV_REQUEST_MS, on_crash, kv_client_context(ticket, shard));

    if (error < 0) {
        kv_client_put_failure(&client->answer, shard, error);
        return kv_client_reply(
            self, client, ticket, (struct kv_slice){client->answer.data, client->answer.len});
    }
    client->asked++;
    return TROUPE_OK;
}

int kv_crash_begin(struct troupe_actor *self, struct kv_client *client, uint32_t ticket,
    size_t argc, const struct kv_slice *argv)
{
    struct kv_crash crash = {.after = 0};
    enum kv_command_crash target;
    uint32_t shard;

    kv_bytes_clear(&client->answer);
    if (argc > 3 && !parse_at(argc - 3, argv + 3, &crash)) {
        kv_resp_put_error(&client->answer,
            "ERR syntax error, try TROUPE.CRASH CONNECTION | SHARD n [AT point [count]]");
    } else if (kv_command_crash_target(argc > 3 ? 3 : argc, argv, client->server->shard_count,
                   &client->answer, &target, &shard) == KV_OK) {
        if (target == KV_CRASH_CONNECTION) {
            return troupe_fail(self, TROUPE_ECHECK, "crashed on purpose");
        }
        return crash_shard(self, client, ticket, shard, &crash);
    }
    return kv_client_reply(
        self, client, ticket, (struct kv_slice){client->answer.data, client->answer.len});
}
