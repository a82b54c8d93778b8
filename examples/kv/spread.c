/* SPDX-License-Identifier: MIT */
/*
 * spread.c - commands in parts: MSET, MGET, DEL and others with keys of several shards, or for all shards.
 *
 * Each part is an ordinary command to one shard, and atomic there; parts of one command are not atomic together.
 * When all have answered, kv_command_join() makes one reply of theirs.
 */
#include "client.h"

#include <stdlib.h>

struct spread {
    struct kv_gather gather;
    struct kv_command_split split;
    struct kv_bytes *replies; /* one for each part */
    size_t sent;              /* parts: on their way, or given up */
    size_t missing;           /* parts without reply */
};

static void spread_destroy(struct kv_gather *gather)
{
    struct spread *spread = (struct spread *)gather;
    size_t i;

    for (i = 0; spread->replies != NULL && i < spread->split.part_count; i++) {
        kv_bytes_fini(&spread->replies[i]);
    }
    free(spread->replies);
    kv_command_split_fini(&spread->split);
    free(spread);
}

static int reply_error(
    struct troupe_actor *self, struct kv_client *client, uint32_t ticket, const char *text)
{
    kv_bytes_clear(&client->answer);
    kv_resp_put_error(&client->answer, text);
    return kv_client_reply(
        self, client, ticket, (struct kv_slice){client->answer.data, client->answer.len});
}

static int join(struct troupe_actor *self, struct kv_client *client, uint32_t ticket,
    const struct spread *spread)
{
    struct kv_slice *slices = calloc(spread->split.part_count, sizeof *slices);
    int error = KV_ENOMEM;

    kv_bytes_clear(&client->answer);
    if (slices != NULL) {
        for (size_t i = 0; i < spread->split.part_count; i++) {
            slices[i] = (struct kv_slice){spread->replies[i].data, spread->replies[i].len};
        }
        error = kv_command_join(&spread->split, slices, &client->answer);
        free(slices);
    }
    if (error != KV_OK) {
        return reply_error(self, client, ticket,
            error == KV_ENOMEM ? "OOM no memory for the reply" : "ERR shards disagree");
    }
    return kv_client_reply(
        self, client, ticket, (struct kv_slice){client->answer.data, client->answer.len});
}

static int on_part(
    struct troupe_actor *self, void *state, void *context, int status, struct troupe_message *reply)
{
    struct kv_client *client = kv_client_of(state);
    uint32_t ticket = kv_client_context_ticket(context);
    uint32_t part = kv_client_context_number(context);
    struct spread *spread = (struct spread *)kv_client_place(client, ticket)->gather;

    client->asked--;
    spread->missing--;
    if (status == TROUPE_OK) {
        struct kv_replies replies = kv_replies_of(reply);
        struct kv_slice bytes = kv_replies_next(&replies);

        (void)kv_bytes_append(&spread->replies[part], bytes.data, bytes.len);
    } else {
        kv_client_put_failure(&spread->replies[part], spread->split.parts[part].shard, status);
    }
    if (spread->replies[part].error != KV_OK) {
        return troupe_fail(self, TROUPE_ENOMEM, "no memory for a reply");
    }
    if (spread->missing == 0) {
        TROUPE_TRY(join(self, client, ticket, spread));
    }
    return kv_batch_settle(self, client);
}

/* What all parts weigh. */
static size_t weigh(const struct spread *spread)
{
    size_t bytes = 0;

    for (size_t i = 0; i < spread->split.part_count; i++) {
        bytes += kv_packer_size(spread->split.parts[i].argc, spread->split.parts[i].argv);
    }
    return bytes;
}

static int reply_busy(
    struct troupe_actor *self, struct kv_client *client, uint32_t ticket, int error)
{
    kv_bytes_clear(&client->answer);
    kv_client_put_busy(&client->answer, error);
    return kv_client_reply(
        self, client, ticket, (struct kv_slice){client->answer.data, client->answer.len});
}

int kv_spread_resume(struct troupe_actor *self, struct kv_client *client, uint32_t ticket)
{
    struct spread *spread = (struct spread *)kv_client_place(client, ticket)->gather;
    struct troupe_permit permit = {0};

    if (spread->sent == 0 && spread->split.part_count > 0) {
        /* The first part has the permit, for all of them: what has begun is not refused half way. */
        int error = kv_batch_enter(client, weigh(spread), &permit);

        if (error < 0) {
            return reply_busy(self, client, ticket, error);
        }
    }
    while (spread->sent < spread->split.part_count) {
        const struct kv_command_part *part = &spread->split.parts[spread->sent];
        int error = kv_batch_ask(self, client, part->shard, part->argc, part->argv, permit, on_part,
            kv_client_context(ticket, (uint32_t)spread->sent));

        permit = (struct troupe_permit){0};
        if (error == TROUPE_EFULL) {
            return error;
        }
        if (error < 0) {
            kv_client_put_failure(&spread->replies[spread->sent], part->shard, error);
            spread->missing--;
        }
        spread->sent++;
    }
    return spread->missing == 0 ? join(self, client, ticket, spread) : TROUPE_OK;
}

/* Everything that it takes, or NULL. */
static struct spread *create(const struct kv_client *client, const struct kv_command *command,
    size_t argc, const struct kv_slice *argv)
{
    struct spread *spread = calloc(1, sizeof *spread);
    size_t i;

    if (spread == NULL) {
        return NULL;
    }
    spread->gather.destroy = spread_destroy;
    if (kv_command_split(&spread->split, command, argc, argv, client->server->shard_count, NULL) !=
        KV_OK) {
        free(spread);
        return NULL;
    }
    spread->replies = calloc(spread->split.part_count, sizeof *spread->replies);
    if (spread->replies == NULL) {
        spread_destroy(&spread->gather);
        return NULL;
    }
    for (i = 0; i < spread->split.part_count; i++) {
        kv_bytes_init(&spread->replies[i], NULL, 0);
    }
    spread->missing = spread->split.part_count;
    return spread;
}

int kv_spread_begin(struct troupe_actor *self, struct kv_client *client, uint32_t ticket,
    const struct kv_command *command, size_t argc, const struct kv_slice *argv)
{
    struct spread *spread = create(client, command, argc, argv);
    int error;

    if (spread == NULL) {
        return reply_error(self, client, ticket, "OOM no memory for this command");
    }
    kv_client_place(client, ticket)->gather = &spread->gather;
    /* What is stuck came first, and may be for the same shards. */
    error = client->stuck != NULL ? TROUPE_EFULL : kv_spread_resume(self, client, ticket);
    if (error == TROUPE_EFULL) {
        return kv_batch_hold(self, client, NULL, 0, ticket);
    }
    return error;
}
