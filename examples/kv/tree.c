/* SPDX-License-Identifier: MIT */
/*
 * tree.c - TROUPE.TREE: walks the supervision tree from its root, one question at a time.
 *
 * A client of protocol 3 gets one text, one of protocol 2 an array of lines, which is what redis-cli shows best.
 */
#include "client.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Levels of supervisors, and children of one that are shown. */
#define DEPTH_MAX 8
#define ROWS_MAX 4096

#define WALK_MS 2000

/* The children of one supervisor, in order. */
struct level {
    struct troupe_child_info *rows;
    uint32_t count;
    uint32_t next;
};

struct walk {
    struct kv_gather gather;
    int protocol; /* when it was asked */
    uint32_t line_count;
    struct kv_bytes lines; /* each ends in a line feed */
    uint32_t depth;
    struct level levels[DEPTH_MAX];
    troupe_pid asked; /* the supervisor asked last */
};

static int step(struct troupe_actor *self, struct kv_client *client, uint32_t ticket);

static void walk_destroy(struct kv_gather *gather)
{
    struct walk *walk = (struct walk *)gather;
    uint32_t i;

    for (i = 0; i < walk->depth; i++) {
        free(walk->levels[i].rows);
    }
    kv_bytes_fini(&walk->lines);
    free(walk);
}

static void put_line(struct walk *walk, const char *id, troupe_pid pid, const char *what,
    const char *state, uint32_t mailbox, uint64_t restarts)
{
    char line[256];
    int indent = (int)walk->depth * 2;
    int length = snprintf(line, sizeof line,
        "%*s%-*s %-10s pid %016" PRIx64 "  %-10s  mailbox %" PRIu32 "  restarts %" PRIu64 "\n",
        indent, "", 18 - indent, id, what, pid, state, mailbox, restarts);

    if (length > 0 && (size_t)length < sizeof line) {
        (void)kv_bytes_append(&walk->lines, line, (size_t)length);
        walk->line_count++;
    }
}

static const char *state_name(enum troupe_child_state state)
{
    switch (state) {
    case TROUPE_CHILD_RUNNING:
        return "running";
    case TROUPE_CHILD_STOPPED:
        return "stopped";
    case TROUPE_CHILD_STARTING:
        return "starting";
    case TROUPE_CHILD_RESTARTING:
        return "restarting";
    case TROUPE_CHILD_STOPPING:
        return "stopping";
    }
    return "unknown";
}

static void put_row(struct walk *walk, const struct troupe_child_info *row)
{
    put_line(walk, row->id, row->pid, row->is_supervisor ? "supervisor" : "worker",
        state_name(row->state), row->mailbox_length, row->restart_count);
}

static void put_array(const struct walk *walk, struct kv_bytes *out)
{
    const char *line = walk->lines.data;
    const char *end = line + walk->lines.len;

    kv_resp_put_array(out, walk->line_count);
    while (line < end) {
        const char *feed = memchr(line, '\n', (size_t)(end - line));

        kv_resp_put_bulk(out, (struct kv_slice){line, (size_t)(feed - line)});
        line = feed + 1;
    }
}

static int complete(
    struct troupe_actor *self, struct kv_client *client, uint32_t ticket, const struct walk *walk)
{
    kv_bytes_clear(&client->answer);
    if (walk->protocol >= 3) {
        kv_resp_put_verbatim(
            &client->answer, walk->protocol, (struct kv_slice){walk->lines.data, walk->lines.len});
    } else {
        put_array(walk, &client->answer);
    }
    if (walk->lines.error != KV_OK || client->answer.error != KV_OK) {
        return troupe_fail(self, TROUPE_ENOMEM, "no memory for a reply");
    }
    return kv_client_reply(
        self, client, ticket, (struct kv_slice){client->answer.data, client->answer.len});
}

/* A supervisor told of its children: one level deeper. */
static bool push(struct walk *walk, const struct troupe_children *children)
{
    struct level *level = &walk->levels[walk->depth];
    size_t size = children->row_count * sizeof *level->rows;

    *level = (struct level){.rows = malloc(size > 0 ? size : 1), .count = children->row_count};
    if (level->rows == NULL) {
        return false;
    }
    memcpy(level->rows, children->rows, size);
    walk->depth++;
    return true;
}

static int on_children(
    struct troupe_actor *self, void *state, void *context, int status, struct troupe_message *reply)
{
    struct kv_client *client = kv_client_of(state);
    uint32_t ticket = kv_client_context_ticket(context);
    struct walk *walk = (struct walk *)kv_client_place(client, ticket)->gather;

    client->asked--;
    if (status == TROUPE_OK) {
        const struct troupe_children *children = troupe_body(reply);

        if (walk->depth == 0) {
            put_line(walk, "kv", walk->asked, "supervisor", "running", 0, 0);
        }
        if (!push(walk, children)) {
            return troupe_fail(self, TROUPE_ENOMEM, "no memory for a reply");
        }
    }
    /* A supervisor that does not answer is shown without children. */
    TROUPE_TRY(step(self, client, ticket));
    return kv_batch_settle(self, client);
}

/* Whether the question is on its way. */
static bool ask(
    struct troupe_actor *self, struct kv_client *client, uint32_t ticket, troupe_pid supervisor)
{
    struct walk *walk = (struct walk *)kv_client_place(client, ticket)->gather;

    walk->asked = supervisor;
    if (troupe_children(self, supervisor, 0, ROWS_MAX, WALK_MS, on_children,
            kv_client_context(ticket, 0)) < 0) {
        return false;
    }
    client->asked++;
    return true;
}

/* Goes on to the next supervisor, or to the end. */
static int step(struct troupe_actor *self, struct kv_client *client, uint32_t ticket)
{
    struct walk *walk = (struct walk *)kv_client_place(client, ticket)->gather;

    while (walk->depth > 0) {
        struct level *level = &walk->levels[walk->depth - 1];
        const struct troupe_child_info *row;

        if (level->next == level->count) {
            free(level->rows);
            walk->depth--;
            continue;
        }
        row = &level->rows[level->next++];
        put_row(walk, row);
        if (row->is_supervisor && row->pid != TROUPE_NOBODY && walk->depth < DEPTH_MAX &&
            ask(self, client, ticket, row->pid)) {
            return TROUPE_OK;
        }
    }
    return complete(self, client, ticket, walk);
}

int kv_tree_begin(struct troupe_actor *self, struct kv_client *client, uint32_t ticket)
{
    struct walk *walk = calloc(1, sizeof *walk);

    if (walk == NULL) {
        return troupe_fail(self, TROUPE_ENOMEM, "no memory for a command");
    }
    walk->gather.destroy = walk_destroy;
    walk->protocol = client->session.protocol;
    kv_bytes_init(&walk->lines, NULL, 0);
    kv_client_place(client, ticket)->gather = &walk->gather;
    if (ask(self, client, ticket, troupe_whereis(self, "kv"))) {
        return TROUPE_OK;
    }
    return complete(self, client, ticket, walk);
}
