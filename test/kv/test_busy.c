/* SPDX-License-Identifier: MIT */
/*
 * Busy: whoever asks for more than the server takes on is told so at once, and what it asked was not applied; what was let in
 * is answered; and nothing is counted twice or for ever.
 *
 * The shards put aside what comes, so that it stays where it is for as long as the test likes.
 */
#include "test/support/stage.h"

#include "client.h"
#include "talk.h"

#include <troupe/stash.h>

#define SHARDS 3

static const char busy[] =
    "-BUSY too many commands are being served; this one was not applied, try again later\r\n";

static const struct troupe_type go_on = TROUPE_SIGNAL;
static _Atomic bool holding;

static int shard_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    if (troupe_is(msg, &go_on)) {
        return troupe_unstash(self) < 0 ? TROUPE_EBUSY : TROUPE_OK;
    }
    return holding ? troupe_stash(self, msg) : kv_shard_behaviour.receive(self, state, msg);
}

struct kv {
    struct stage stage;
    struct kv_server server;
    struct troupe_behaviour shard; /* kv_shard_behaviour, but that it may hold what comes */
};

/* A server on a port of its own that takes on `request_max` requests. */
static void kv_open(struct kv *kv, uint32_t request_max)
{
    static const char *const ids[SHARDS] = {"0", "1", "2"};
    struct troupe_child_spec children[SHARDS + 2] = {{.id = NULL}};
    const struct troupe_supervisor_spec tree = {
        .name = "kv", .children = children, .child_count = TROUPE_COUNT(children)};
    const struct troupe_listener_spec listener = {
        .protocol = &kv_protocol,
        .arg = &kv->server,
        .max_inflight = KV_PLACES,
        .out_port = &kv->server.bound_port,
    };
    troupe_pid top;

    memset(kv, 0, sizeof *kv);
    kv->server.host = "127.0.0.1";
    kv->server.client_max = 100;
    kv->server.shard_count = SHARDS;
    kv->server.request_max = request_max;
    cr_assert_eq(kv_shards_create(&kv->server), KV_OK);
    kv->shard = kv_shard_behaviour;
    kv->shard.receive = shard_receive;
    children[0].id = "gate";
    children[0].behaviour = &kv_gate_behaviour;
    children[0].arg = &kv->server;
    children[0].restart = TROUPE_TRANSIENT;
    for (unsigned i = 0; i < SHARDS; i++) {
        children[i + 1].id = ids[i];
        children[i + 1].behaviour = &kv->shard;
        children[i + 1].arg = &kv->server.shards[i];
        children[i + 1].keep_mailbox = true;
    }
    children[SHARDS + 1].id = "listener";
    children[SHARDS + 1].behaviour = &troupe_listener_behaviour;
    children[SHARDS + 1].arg = &listener;
    children[SHARDS + 1].arg_size = sizeof listener;
    stage_open(&kv->stage, 2);
    cr_assert_eq(
        troupe_supervisor_start(kv->stage.runtime, &tree, LATCH_LIMIT_S * 1000, &top), TROUPE_OK);
    cr_assert_not_null(kv->server.gate);
}

static uint32_t in_flight(const struct kv *kv)
{
    struct troupe_gate_numbers numbers;

    cr_assert_eq(troupe_gate_read(kv->server.gate, &numbers), TROUPE_OK);
    return numbers.in_flight;
}

static void kv_close(struct kv *kv)
{
    STAGE_AWAIT(&kv->stage, in_flight(kv) == 0);
    stage_close(&kv->stage);
    kv_shards_destroy(&kv->server);
}

static void hold_shards(void)
{
    holding = true;
}

static void let_shards_go_on(struct kv *kv)
{
    holding = false;
    for (unsigned i = 0; i < SHARDS; i++) {
        stage_send(&kv->stage, kv->server.shards[i].pid, &go_on, NULL);
    }
}

/* A client whose command is in the works. */
static int open_waiting(struct kv *kv, const char *command, uint32_t expected)
{
    int fd = talk_open(kv->server.bound_port);

    talk_put(fd, command);
    STAGE_AWAIT(&kv->stage, in_flight(kv) == expected);
    return fd;
}

Test(busy, a_command_above_the_limit_is_refused_at_once_and_was_not_applied, .timeout = 60)
{
    struct kv kv;
    int first;
    int second;

    kv_open(&kv, 1);
    hold_shards();
    first = open_waiting(&kv, "SET a 1\r\n", 1);
    second = talk_open(kv.server.bound_port);
    talk_put(second, "SET a 2\r\n");
    talk_expect(second, busy);
    let_shards_go_on(&kv);
    talk_expect(first, "+OK\r\n");
    STAGE_AWAIT(&kv.stage, in_flight(&kv) == 0);
    talk_put(second, "GET a\r\n");
    talk_expect(second, "$1\r\n1\r\n");
    close(first);
    close(second);
    kv_close(&kv);
}

Test(busy, replies_keep_their_order_when_some_are_refused, .timeout = 60)
{
    struct kv kv;
    int fd;

    kv_open(&kv, 1);
    hold_shards();
    fd = open_waiting(&kv, "SET a 1\r\n", 1);
    talk_put(fd, "SET a 2\r\nAPPEND a 3\r\nECHO x\r\n");
    talk_put(fd, "ECHO y\r\n");
    STAGE_AWAIT(&kv.stage, atomic_load(&kv.server.command_count) == 5);
    let_shards_go_on(&kv);
    talk_expect(fd, "+OK\r\n");
    talk_expect(fd, busy);
    talk_expect(fd, busy);
    talk_expect(fd, "$1\r\nx\r\n$1\r\ny\r\n");
    close(fd);
    kv_close(&kv);
}

Test(busy, a_command_in_parts_is_let_in_whole_or_not_at_all, .timeout = 60)
{
    struct kv kv;
    int first;
    int second;

    kv_open(&kv, 1);
    hold_shards();
    first = open_waiting(&kv, "MSET a 1 b 1 c 1 d 1 e 1 f 1\r\n", 1);
    second = talk_open(kv.server.bound_port);
    talk_put(second, "MSET a 2 b 2 c 2 d 2 e 2 f 2\r\n");
    talk_expect(second, busy);
    let_shards_go_on(&kv);
    talk_expect(first, "+OK\r\n");
    STAGE_AWAIT(&kv.stage, in_flight(&kv) == 0);
    talk_put(second, "MGET a f\r\n");
    talk_expect(second, "*2\r\n$1\r\n1\r\n$1\r\n1\r\n");
    close(first);
    close(second);
    kv_close(&kv);
}

Test(busy, a_client_that_leaves_gives_its_permits_back, .timeout = 60)
{
    struct kv kv;
    int fd;

    kv_open(&kv, 2);
    hold_shards();
    fd = open_waiting(&kv, "SET a 1\r\n", 1);
    close(fd);
    fd = open_waiting(&kv, "MSET a 1 b 1 c 1 d 1\r\n", 2);
    close(fd);
    let_shards_go_on(&kv);
    kv_close(&kv);
}

Test(busy, info_is_not_refused_and_counts_who_was, .timeout = 60)
{
    char text[8192];
    ssize_t count;
    struct kv kv;
    int first;
    int second;

    kv_open(&kv, 1);
    hold_shards();
    first = open_waiting(&kv, "SET a 1\r\n", 1);
    second = talk_open(kv.server.bound_port);
    talk_put(second, "GET a\r\n");
    talk_expect(second, busy);
    talk_put(second, "INFO\r\n");
    let_shards_go_on(&kv);
    count = recv(second, text, sizeof text - 1, 0);
    cr_assert_gt(count, 0);
    text[count] = '\0';
    cr_assert_not_null(strstr(text, "rejected_requests:1\r\n"), "%s", text);
    cr_assert_not_null(strstr(text, "requests_in_flight_highest:1\r\n"), "%s", text);
    talk_expect(first, "+OK\r\n");
    close(first);
    close(second);
    kv_close(&kv);
}
