/* SPDX-License-Identifier: MIT */
/*
 * batch.c - requests to shards: commands that came together go together.
 *
 * The commands of one key that one read brought are staged, then sent, one message to each shard concerned.  Order
 * is kept for each shard, which is all that a client can see.  Places of one message are chained, so that its one
 * answer, or failure, finds them all.  The price: if a shard fails, so does the rest of the message.
 *
 * A shard without room.  The message is held, the connection pauses, and the parser is not fed, so the arguments of
 * a command in parts stay where they are.  After the next reply it is tried again; if none is due, after 1 ms.  What
 * came later waits behind: the list is tried in order, and a command in parts is sent only when it is first.
 *
 * A message wants a permit of the gate before it is made, and has it until it was answered; so has the first of a command in
 * parts, for all of them.  Without one its commands are answered with "-BUSY", in their places.  What is held has its permit:
 * the gate sees how long it waits.
 */
#include "client.h"

#include <stdlib.h>
#include <string.h>

#define RETRY_MS 1

/* What is staged is sent before it holds more bytes: no message is too large for a mailbox. */
#define STAGE_BYTES ((size_t)64 << 10)

const struct troupe_type kv_retry = TROUPE_SIGNAL;

static troupe_pid pid_of(const struct kv_client *client, uint32_t shard)
{
    /* relaxed: a pid is a value; of a shard that has not started it is nobody's. */
    return atomic_load_explicit(&client->server->shards[shard].pid, memory_order_relaxed);
}

/* ---- answers ---- */

/* Takes the first place off a chain: *ticket becomes the next.  Whether there is one. */
static bool unchain(struct kv_client *client, uint32_t *ticket)
{
    const struct kv_place *place = kv_client_place(client, *ticket);

    if (!place->chained) {
        return false;
    }
    *ticket = place->next;
    return true;
}

static int fail_chain(struct troupe_actor *self, struct kv_client *client, uint32_t ticket,
    uint32_t shard, int status)
{
    bool more = true;

    while (more) {
        uint32_t failed = ticket;

        more = unchain(client, &ticket);
        TROUPE_TRY(kv_client_reply_failure(self, client, failed, shard, status));
    }
    return TROUPE_OK;
}

/* The gate did not let them in. */
static int refuse_chain(
    struct troupe_actor *self, struct kv_client *client, uint32_t ticket, int error)
{
    bool more = true;

    while (more) {
        uint32_t refused = ticket;

        more = unchain(client, &ticket);
        kv_bytes_clear(&client->answer);
        kv_client_put_busy(&client->answer, error);
        TROUPE_TRY(kv_client_reply(
            self, client, refused, (struct kv_slice){client->answer.data, client->answer.len}));
    }
    return TROUPE_OK;
}

static int on_replies(
    struct troupe_actor *self, void *state, void *context, int status, struct troupe_message *reply)
{
    struct kv_client *client = kv_client_of(state);
    uint32_t ticket = kv_client_context_ticket(context);
    struct kv_replies replies;

    client->asked--;
    if (status != TROUPE_OK) {
        TROUPE_TRY(fail_chain(self, client, ticket, kv_client_context_number(context), status));
        return kv_batch_settle(self, client);
    }
    replies = kv_replies_of(reply);
    while (replies.count > 0) {
        uint32_t answered = ticket;

        (void)unchain(client, &ticket);
        TROUPE_TRY(kv_client_reply(self, client, answered, kv_replies_next(&replies)));
    }
    return kv_batch_settle(self, client);
}

/* ---- sending ---- */

static int request(struct troupe_actor *self, struct kv_client *client, uint32_t shard,
    struct troupe_message *msg, troupe_reply_fn on_reply, void *context)
{
    int error =
        troupe_request_message(self, pid_of(client, shard), msg, KV_REQUEST_MS, on_reply, context);

    client->asked += error == TROUPE_OK;
    return error;
}

int kv_batch_enter(const struct kv_client *client, size_t bytes, struct troupe_permit *out_permit)
{
    const struct troupe_gate_entry entry = {.bytes = bytes};

    if (client->server->gate == NULL) {
        *out_permit = (struct troupe_permit){0};
        return TROUPE_OK;
    }
    return troupe_gate_enter(client->server->gate, &entry, out_permit);
}

/* A message to fill, that has `permit`, if it is one, which is taken over in any case. */
static int make_message(struct troupe_actor *self, size_t size, struct troupe_permit permit,
    struct troupe_message **out_msg)
{
    struct troupe_message *msg = NULL;
    int error = troupe_message_create(troupe_runtime_of(self), &kv_request, size, &msg);

    if (error == TROUPE_OK && permit.gate != NULL) {
        error = troupe_permit_attach(permit, &msg);
    }
    if (error < 0) {
        troupe_message_destroy(msg);
        troupe_permit_return(permit);
        return error;
    }
    *out_msg = msg;
    return TROUPE_OK;
}

static size_t single_size(size_t argc, const struct kv_slice *argv)
{
    return KV_PACKER_HEAD + kv_packer_size(argc, argv);
}

/* A message of one command. */
static int make_single(struct troupe_actor *self, const struct kv_client *client, size_t argc,
    const struct kv_slice *argv, struct troupe_permit permit, struct troupe_message **out_msg)
{
    struct kv_packer packer;

    TROUPE_TRY(make_message(self, single_size(argc, argv), permit, out_msg));
    packer = kv_packer_begin(troupe_body(*out_msg), client->session.protocol, 1, (uint32_t)argc);
    kv_packer_add(&packer, argc, argv);
    return TROUPE_OK;
}

int kv_batch_ask(struct troupe_actor *self, struct kv_client *client, uint32_t shard, size_t argc,
    const struct kv_slice *argv, struct troupe_permit permit, troupe_reply_fn on_reply,
    void *context)
{
    struct troupe_message *msg;
    int error;

    TROUPE_TRY(make_single(self, client, argc, argv, permit, &msg));
    error = request(self, client, shard, msg, on_reply, context);
    if (error < 0) {
        troupe_message_destroy(msg);
    }
    return error;
}

/* Sends a message of commands whose places are chained from `ticket` on, and owns it. */
static int send_chain(struct troupe_actor *self, struct kv_client *client, uint32_t shard,
    uint32_t ticket, struct troupe_message *msg)
{
    /* What is stuck came first, and may be for the same shard. */
    int error = client->stuck != NULL ? TROUPE_EFULL
                                      : request(self, client, shard, msg, on_replies,
                                            kv_client_context(ticket, shard));

    if (error == TROUPE_EFULL) {
        return kv_batch_hold(self, client, msg, shard, ticket);
    }
    if (error < 0) {
        troupe_message_destroy(msg);
        return fail_chain(self, client, ticket, shard, error);
    }
    return TROUPE_OK;
}

/* Counts what is staged for the shard of command `first`, and chains its places. */
static size_t chain(struct kv_client *client, const struct kv_stage *stage, uint32_t first,
    uint32_t *out_count, uint32_t *out_arguments)
{
    const struct kv_staged *last = NULL;
    size_t size = KV_PACKER_HEAD;
    uint32_t i;

    *out_count = 0;
    *out_arguments = 0;
    for (i = first; i < stage->count; i++) {
        const struct kv_staged *staged = &stage->commands[i];

        if (staged->shard != stage->commands[first].shard) {
            continue;
        }
        if (last != NULL) {
            struct kv_place *place = kv_client_place(client, last->ticket);

            place->chained = true;
            place->next = staged->ticket;
        }
        last = staged;
        size += kv_packer_size(staged->argc, &stage->slices[staged->first]);
        *out_arguments += staged->argc;
        ++*out_count;
    }
    return size;
}

/* Packs what is staged for the shard of command `first`. */
static void pack(const struct kv_client *client, const struct kv_stage *stage, uint32_t first,
    uint32_t count, uint32_t argument_count, void *body)
{
    struct kv_packer packer =
        kv_packer_begin(body, client->session.protocol, count, argument_count);
    uint32_t i;

    for (i = first; i < stage->count; i++) {
        const struct kv_staged *staged = &stage->commands[i];

        if (staged->shard == stage->commands[first].shard) {
            kv_packer_add(&packer, staged->argc, &stage->slices[staged->first]);
        }
    }
}

/* It is sent, or was answered. */
static void mark_sent(struct kv_stage *stage, uint32_t shard)
{
    for (uint32_t i = 0; i < stage->count; i++) {
        if (stage->commands[i].shard == shard) {
            stage->commands[i].shard = KV_STAGED_SENT;
        }
    }
}

static int send_shard(
    struct troupe_actor *self, struct kv_client *client, struct kv_stage *stage, uint32_t first)
{
    uint32_t shard = stage->commands[first].shard;
    uint32_t ticket = stage->commands[first].ticket;
    struct troupe_message *msg;
    uint32_t count;
    uint32_t argument_count;
    size_t size = chain(client, stage, first, &count, &argument_count);
    struct troupe_permit permit;
    int error = kv_batch_enter(client, size, &permit);

    if (error < 0) {
        mark_sent(stage, shard);
        return refuse_chain(self, client, ticket, error);
    }
    error = make_message(self, size, permit, &msg);
    if (error < 0) {
        return troupe_fail(self, error, "no memory for a command");
    }
    pack(client, stage, first, count, argument_count, troupe_body(msg));
    mark_sent(stage, shard);
    return send_chain(self, client, shard, ticket, msg);
}

int kv_batch_flush(struct troupe_actor *self, struct kv_client *client, struct kv_stage *stage)
{
    uint32_t i;

    for (i = 0; i < stage->count; i++) {
        if (stage->commands[i].shard != KV_STAGED_SENT) {
            TROUPE_TRY(send_shard(self, client, stage, i));
        }
    }
    stage->count = 0;
    stage->slice_count = 0;
    stage->bytes = 0;
    return TROUPE_OK;
}

/* A command that is too long to be staged; what was staged before it has been sent. */
static int send_single(struct troupe_actor *self, struct kv_client *client, uint32_t shard,
    uint32_t ticket, size_t argc, const struct kv_slice *argv)
{
    struct troupe_message *msg;
    struct troupe_permit permit;
    int error = kv_batch_enter(client, single_size(argc, argv), &permit);

    if (error < 0) {
        return refuse_chain(self, client, ticket, error);
    }
    error = make_single(self, client, argc, argv, permit, &msg);
    if (error < 0) {
        return troupe_fail(self, error, "no memory for a command");
    }
    return send_chain(self, client, shard, ticket, msg);
}

int kv_batch_add(struct troupe_actor *self, struct kv_client *client, struct kv_stage *stage,
    uint32_t ticket, uint32_t shard, size_t argc, const struct kv_slice *argv)
{
    size_t size = kv_packer_size(argc, argv);

    if (stage->count == KV_BATCH_MAX || stage->bytes + size > STAGE_BYTES ||
        argc > TROUPE_COUNT(stage->slices) - stage->slice_count) {
        TROUPE_TRY(kv_batch_flush(self, client, stage));
    }
    if (argc > TROUPE_COUNT(stage->slices)) {
        return send_single(self, client, shard, ticket, argc, argv);
    }
    stage->commands[stage->count++] =
        (struct kv_staged){ticket, shard, (uint32_t)argc, stage->slice_count};
    memcpy(&stage->slices[stage->slice_count], argv, argc * sizeof *argv);
    stage->slice_count += (uint32_t)argc;
    stage->bytes += size;
    return TROUPE_OK;
}

/* ---- what is stuck ---- */

int kv_batch_hold(struct troupe_actor *self, struct kv_client *client,
    struct troupe_message *message, uint32_t shard, uint32_t ticket)
{
    struct kv_stuck *stuck = malloc(sizeof *stuck);
    struct kv_stuck **last = &client->stuck;

    if (stuck == NULL) {
        troupe_message_destroy(message);
        return troupe_fail(self, TROUPE_ENOMEM, "no memory for a command");
    }
    *stuck = (struct kv_stuck){NULL, message, shard, ticket};
    while (*last != NULL) {
        last = &(*last)->next;
    }
    *last = stuck;
    return TROUPE_OK;
}

void kv_batch_drop(struct kv_client *client)
{
    while (client->stuck != NULL) {
        struct kv_stuck *stuck = client->stuck;

        client->stuck = stuck->next;
        troupe_message_destroy(stuck->message);
        free(stuck);
    }
}

/* TROUPE_EFULL: still no room.  Otherwise it is out of the list, sent or answered. */
static int send_first(struct troupe_actor *self, struct kv_client *client)
{
    struct kv_stuck *stuck = client->stuck;
    struct kv_stuck first = *stuck;
    int error;

    if (first.message == NULL) {
        error = kv_spread_resume(self, client, first.ticket);
    } else {
        error = request(self, client, first.shard, first.message, on_replies,
            kv_client_context(first.ticket, first.shard));
    }
    if (error == TROUPE_EFULL) {
        return error;
    }
    client->stuck = first.next;
    free(stuck);
    if (error < 0 && first.message != NULL) {
        troupe_message_destroy(first.message);
        return fail_chain(self, client, first.ticket, first.shard, error);
    }
    return error;
}

int kv_batch_settle(struct troupe_actor *self, struct kv_client *client)
{
    struct troupe_timer timer;
    int error = TROUPE_OK;

    if (client->stuck == NULL) {
        return TROUPE_OK;
    }
    while (client->stuck != NULL && error == TROUPE_OK) {
        error = send_first(self, client);
    }
    if (error == TROUPE_OK) {
        troupe_connection_resume(client->connection);
        return TROUPE_OK;
    }
    if (error == TROUPE_EFULL && client->asked == 0 && !client->retrying) {
        TROUPE_TRY(troupe_tick_after(self, RETRY_MS, &kv_retry, NULL, &timer));
        client->retrying = true;
    }
    return error == TROUPE_EFULL ? TROUPE_OK : error;
}
