/* SPDX-License-Identifier: MIT */
/*
 * Client: when shards have no room, connections wait and every reply still comes, in order; and who leaves while it
 * waits leaves nothing behind.
 *
 * The shards here are those of the server, but for their mailboxes, which take next to nothing.
 */
#include "test/support/stage.h"

#include "client.h"
#include "talk.h"

#define SHARDS 3

struct kv {
    struct stage stage;
    struct kv_server server;
    struct troupe_behaviour shard; /* kv_shard_behaviour with a small capacity */
    troupe_pid top;
};

static void start_tree(struct kv *kv)
{
    static const char *const ids[SHARDS] = {"0", "1", "2"};
    const struct troupe_listener_spec listener = {
        .protocol = &kv_protocol,
        .arg = &kv->server,
        .max_inflight = KV_PLACES,
        .out_port = &kv->server.bound_port,
    };
    struct troupe_child_spec children[SHARDS + 1] = {{.id = NULL}};
    const struct troupe_supervisor_spec tree = {
        .name = "kv", .intensity = 1000, .children = children, .child_count = SHARDS + 1};
    size_t i;

    for (i = 0; i < SHARDS; i++) {
        children[i].id = ids[i];
        children[i].behaviour = &kv->shard;
        children[i].arg = &kv->server.shards[i];
        children[i].keep_mailbox = true;
    }
    children[SHARDS].id = "listener";
    children[SHARDS].behaviour = &troupe_listener_behaviour;
    children[SHARDS].arg = &listener;
    children[SHARDS].arg_size = sizeof listener;
    cr_assert_eq(troupe_supervisor_start(kv->stage.runtime, &tree, LATCH_LIMIT_S * 1000, &kv->top),
        TROUPE_OK);
}

/* A server on a port of its own, whose shards have room for `capacity` messages. */
static void kv_open(struct kv *kv, uint32_t capacity)
{
    memset(kv, 0, sizeof *kv);
    kv->server.host = "127.0.0.1";
    kv->server.client_max = 100;
    kv->server.shard_count = SHARDS;
    cr_assert_eq(kv_shards_create(&kv->server), KV_OK);
    kv->shard = kv_shard_behaviour;
    kv->shard.capacity = capacity;
    stage_open(&kv->stage, 2);
    start_tree(kv);
}

static void kv_close(struct kv *kv)
{
    stage_close(&kv->stage);
    kv_shards_destroy(&kv->server);
}

/* ---- one client ---- */

#define ROUNDS 120
#define PAD 3000
#define LARGE 30000 /* three of them are more than one message takes */

struct script {
    uint16_t port;
    int number;
    struct kv_bytes out;
    struct kv_bytes in; /* what has to come */
    char *got;
    bool is_right;
};

static void add(struct kv_bytes *bytes, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void add(struct kv_bytes *bytes, const char *format, ...)
{
    char text[LARGE + 256];
    va_list arguments;
    int length;

    va_start(arguments, format);
    length = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    cr_assert(length >= 0 && (size_t)length < sizeof text);
    cr_assert_eq(kv_bytes_append(bytes, text, (size_t)length), KV_OK);
}

/*
 * Commands of one key, which go together; large ones, so that a batch is more than one message; commands of many keys
 * and of all shards; and such as are answered at once.  Each needs what was sent before it.
 */
static void add_round(struct script *script, int round)
{
    struct kv_bytes *out = &script->out;
    struct kv_bytes *in = &script->in;
    int n = script->number;

    add(out, "SET %d:a %d\r\nAPPEND %d:a x\r\nGET %d:a\r\n", n, 1000 + round, n, n);
    add(in, "+OK\r\n:5\r\n$5\r\n%dx\r\n", 1000 + round);
    add(out, "MSET %d:b %d %d:c 2 %d:d 3\r\nINCR %d:b\r\nMGET %d:d %d:b\r\n", n, 1000 + round, n, n,
        n, n, n);
    add(in, "+OK\r\n:%d\r\n*2\r\n$1\r\n3\r\n$4\r\n%d\r\n", 1001 + round, 1001 + round);
    add(out, "SET %d:e %0*d\r\nSTRLEN %d:e\r\nDEL %d:e %d:c\r\n", n, PAD, round, n, n, n);
    add(in, "+OK\r\n:%d\r\n:2\r\n", PAD);
    add(out, "ECHO %d\r\nEXISTS %d:a %d:b %d:c %d:d %d:e\r\nGET %d:c\r\n", 5000 + round, n, n, n, n,
        n, n);
    add(in, "$4\r\n%d\r\n:3\r\n$-1\r\n", 5000 + round);
}

/* Each message for the same key, and the last one counts. */
static void add_large_round(struct script *script)
{
    int n = script->number;
    int i;

    for (i = 0; i < 8; i++) {
        add(&script->out, "SET %d:f %0*d\r\n", n, LARGE + i, i);
        add(&script->in, "+OK\r\n");
    }
    add(&script->out, "STRLEN %d:f\r\n", n);
    add(&script->in, ":%d\r\n", LARGE + i - 1);
}

static void script_init(struct script *script, const struct kv *kv, int number)
{
    int round;

    *script = (struct script){.port = kv->server.bound_port, .number = number};
    kv_bytes_init(&script->out, NULL, 0);
    kv_bytes_init(&script->in, NULL, 0);
    for (round = 0; round < ROUNDS; round++) {
        add_round(script, round);
        if (round % 10 == 0) {
            add_large_round(script);
        }
    }
    script->got = malloc(script->in.len);
    cr_assert_not_null(script->got);
}

static void script_fini(struct script *script)
{
    kv_bytes_fini(&script->out);
    kv_bytes_fini(&script->in);
    free(script->got);
}

static void *script_run(void *arg)
{
    struct script *script = arg;
    int fd = talk_open(script->port);

    talk_exchange(fd, script->out.data, script->out.len, script->got, script->in.len);
    close(fd);
    script->is_right = memcmp(script->got, script->in.data, script->in.len) == 0;
    return NULL;
}

/* ---- the tests ---- */

#define CLIENTS 6

static void run_clients(struct kv *kv)
{
    struct script scripts[CLIENTS];
    pthread_t threads[CLIENTS];
    int i;

    for (i = 0; i < CLIENTS; i++) {
        script_init(&scripts[i], kv, i);
    }
    for (i = 0; i < CLIENTS; i++) {
        cr_assert_eq(pthread_create(&threads[i], NULL, script_run, &scripts[i]), 0);
    }
    for (i = 0; i < CLIENTS; i++) {
        cr_assert_eq(pthread_join(threads[i], NULL), 0);
        cr_assert(scripts[i].is_right, "client %d got: %.300s", i, scripts[i].got);
        script_fini(&scripts[i]);
    }
}

Test(client, without_room_in_a_shard_every_reply_comes_and_in_order, .timeout = 100)
{
    struct kv kv;

    kv_open(&kv, 1);
    run_clients(&kv);
    cr_assert_gt(stage_books(&kv.stage).refused, 100, "there was always room: nothing was tried");
    kv_close(&kv);
}

Test(client, one_that_leaves_while_it_waits_leaves_nothing_behind, .timeout = 100)
{
    struct kv kv;
    int i;

    kv_open(&kv, 1);
    for (i = 0; i < 60; i++) {
        struct script script;
        int fd = talk_open(kv.server.bound_port);

        script_init(&script, &kv, i);
        /* Some end in the middle of a command, some with a reset, for their replies are not read. */
        talk_put_bytes(fd, script.out.data, (size_t)(50000 + 1000 * i));
        close(fd);
        script_fini(&script);
    }
    run_clients(&kv);
    kv_close(&kv);
}

Test(client, stopped_while_clients_wait_it_ends_in_order, .timeout = 100)
{
    struct kv kv;
    struct script script;
    int fds[8];
    char byte;
    size_t i;

    kv_open(&kv, 1);
    script_init(&script, &kv, 0);
    for (i = 0; i < TROUPE_COUNT(fds); i++) {
        fds[i] = talk_open(kv.server.bound_port);
        talk_put_bytes(fds[i], script.out.data, 100000);
        talk_get(fds[i], &byte, 1);
    }
    kv_close(&kv);
    for (i = 0; i < TROUPE_COUNT(fds); i++) {
        close(fds[i]);
    }
    script_fini(&script);
}
