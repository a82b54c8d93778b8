/* SPDX-License-Identifier: MIT */
/*
 * Server: troupe-kv from outside.  Whatever a client sends, it gets the reply that Redis gives or a complaint, and the
 * others notice nothing; however the server is started and stopped, it says what is wrong and loses no reply.
 */
#include "exchange.h"
#include "process.h"
#include "talk.h"

#include "resp.h"

#define REPLY_MAX ((size_t)1 << 20)

/* A server with a few shards, so that commands of several keys concern several of them. */
static const struct process_options few_shards = {
    .arguments = {"--port", "0", "--workers", "2", "--shards", "5"},
};

/* A command as clients send it; released by the caller. */
static struct kv_bytes encode(const char *command)
{
    struct kv_resp parser;
    struct kv_bytes bytes;
    const struct kv_slice *argv;
    size_t argc;

    kv_bytes_init(&bytes, NULL, 0);
    cr_assert_eq(kv_resp_init(&parser, NULL, NULL), KV_OK);
    cr_assert_eq(kv_resp_feed(&parser, command, strlen(command)), KV_OK);
    cr_assert_eq(kv_resp_feed(&parser, "\r\n", 2), KV_OK);
    cr_assert_eq(kv_resp_next(&parser, &argc, &argv), 1, "%s", command);
    kv_resp_put_command(&bytes, argc, argv);
    kv_resp_fini(&parser);
    return bytes;
}

/* Reads one reply, whatever it is, as a C string; nothing must come behind it. */
static const char *reply_of(int fd)
{
    static char reply[REPLY_MAX];
    size_t have = 0;
    int64_t length = 0;

    while (length == 0) {
        ssize_t count = recv(fd, reply + have, sizeof reply - 1 - have, 0);

        cr_assert_gt(count, 0, "%.*s", (int)have, reply);
        have += (size_t)count;
        length = kv_resp_reply_length((struct kv_slice){reply, have});
    }
    cr_assert_eq((size_t)length, have, "%s", reply);
    reply[have] = '\0';
    return reply;
}

/* Says something and gives its reply. */
static const char *ask(int fd, const char *command)
{
    talk_put(fd, command);
    talk_put(fd, "\r\n");
    return reply_of(fd);
}

/* ---- what is said in the right way ---- */

static void expect_exchange(int fd, const struct exchange *exchange)
{
    char line[64];
    long wanted;
    long got;

    if (!exchange->ages) {
        talk_expect_bytes(fd, exchange->reply, exchange->reply_len, exchange->command);
        return;
    }
    (void)talk_line(fd, line, sizeof line);
    wanted = strtol(exchange->reply + 1, NULL, 10);
    got = strtol(line + 1, NULL, 10);
    cr_assert(line[0] == ':' && got <= wanted && got > wanted / 4, "%s: %s came, not %s",
        exchange->command, line, exchange->reply);
}

/* Everything in exchange.h, each command when the reply before has come. */
static void say_all(uint16_t port, bool inlined, bool slowly)
{
    int fd = talk_open(port);
    size_t i;

    for (i = 0; i < EXCHANGE_COUNT; i++) {
        struct kv_bytes bytes = encode(exchanges[i].command);

        if (inlined) {
            kv_bytes_clear(&bytes);
            (void)kv_bytes_append(&bytes, exchanges[i].command, strlen(exchanges[i].command));
            (void)kv_bytes_append(&bytes, "\r\n", 2);
        }
        if (slowly) {
            talk_put_slowly(fd, bytes.data, bytes.len);
        } else {
            talk_put_bytes(fd, bytes.data, bytes.len);
        }
        kv_bytes_fini(&bytes);
        expect_exchange(fd, &exchanges[i]);
    }
    talk_expect_end(fd);
}

Test(server, every_command_is_answered_as_redis_does, .timeout = 60)
{
    struct process server;

    process_start(&server, &few_shards);
    say_all(server.port, false, false);
    say_all(server.port, true, false);
    process_stop(&server);
}

Test(server, commands_may_come_one_byte_at_a_time, .timeout = 60)
{
    struct process server;

    process_start(&server, &few_shards);
    say_all(server.port, false, true);
    say_all(server.port, true, true);
    process_stop(&server);
}

Test(server, replies_of_a_pipeline_come_in_the_order_of_its_commands, .timeout = 60)
{
    struct process server;
    struct kv_bytes all;
    size_t i;
    int fd;

    process_start(&server, &few_shards);
    kv_bytes_init(&all, NULL, 0);
    for (i = 0; i < EXCHANGE_COUNT; i++) {
        struct kv_bytes bytes = encode(exchanges[i].command);

        (void)kv_bytes_append(&all, bytes.data, bytes.len);
        kv_bytes_fini(&bytes);
    }
    fd = talk_open(server.port);
    talk_put_bytes(fd, all.data, all.len);
    for (i = 0; i < EXCHANGE_COUNT; i++) {
        expect_exchange(fd, &exchanges[i]);
    }
    talk_expect_end(fd);
    kv_bytes_fini(&all);
    process_stop(&server);
}

#define LONG_ROUNDS 4000

/* Commands of one key, of many keys, of all shards, and of none, with replies that tell which is which. */
static void put_round(struct kv_bytes *out, struct kv_bytes *in, int round)
{
    char text[256];
    int length;

    length = snprintf(text, sizeof text,
        "SET k%d %d\r\nECHO %d\r\nGET k%d\r\nMSET a%d x b%d y c%d %d\r\nINCR count\r\n"
        "MGET a%d c%d nothing\r\nTROUPE.NOTHING\r\nDEL a%d b%d k%d\r\n",
        round, 10000 + round, 20000 + round, round, round, round, round, 30000 + round, round,
        round, round, round, round);
    (void)kv_bytes_append(out, text, (size_t)length);
    length = snprintf(text, sizeof text,
        "+OK\r\n$5\r\n%d\r\n$5\r\n%d\r\n+OK\r\n:%d\r\n*3\r\n$1\r\nx\r\n$5\r\n%d\r\n$-1\r\n"
        "-ERR unknown command 'TROUPE.NOTHING', with args beginning with: \r\n:3\r\n",
        20000 + round, 10000 + round, round + 1, 30000 + round);
    (void)kv_bytes_append(in, text, (size_t)length);
}

Test(server, a_pipeline_may_be_longer_than_every_buffer, .timeout = 60)
{
    struct process server;
    struct kv_bytes out;
    struct kv_bytes in;
    char *got;
    int round;
    int fd;

    process_start(&server, &few_shards);
    kv_bytes_init(&out, NULL, 0);
    kv_bytes_init(&in, NULL, 0);
    for (round = 0; round < LONG_ROUNDS; round++) {
        put_round(&out, &in, round);
    }
    got = malloc(in.len);
    cr_assert_not_null(got);
    fd = talk_open(server.port);
    talk_exchange(fd, out.data, out.len, got, in.len);
    cr_assert_eq(memcmp(got, in.data, in.len), 0);
    free(got);
    kv_bytes_fini(&out);
    kv_bytes_fini(&in);
    close(fd);
    process_stop(&server);
}

Test(server, a_command_longer_than_a_batch_keeps_its_place, .timeout = 60)
{
    enum { WORDS = 900 };
    struct process server;
    struct kv_bytes out;
    int i;
    int fd;

    process_start(&server, &few_shards);
    kv_bytes_init(&out, NULL, 0);
    (void)kv_bytes_append(&out, "SET key first\r\nSET key second", 29);
    for (i = 0; i < WORDS; i++) {
        (void)kv_bytes_append(&out, " XX", 3);
    }
    (void)kv_bytes_append(&out, "\r\nGET key\r\nSET key third\r\n", 26);
    fd = talk_open(server.port);
    talk_put_bytes(fd, out.data, out.len);
    talk_expect(fd, "+OK\r\n+OK\r\n$6\r\nsecond\r\n+OK\r\n");
    kv_bytes_fini(&out);
    close(fd);
    process_stop(&server);
}

Test(server, a_client_that_sends_no_more_gets_all_its_replies, .timeout = 60)
{
    enum { COMMANDS = 5000 };
    struct process server;
    struct kv_bytes out;
    char line[64];
    char wanted[64];
    int i;
    int fd;

    process_start(&server, &few_shards);
    kv_bytes_init(&out, NULL, 0);
    for (i = 0; i < COMMANDS; i++) {
        (void)kv_bytes_append(&out, "INCR counter\r\n", 14);
    }
    fd = talk_open(server.port);
    talk_put_bytes(fd, out.data, out.len);
    cr_assert_eq(shutdown(fd, SHUT_WR), 0);
    for (i = 1; i <= COMMANDS; i++) {
        (void)snprintf(wanted, sizeof wanted, ":%d\r\n", i);
        cr_assert_str_eq(talk_line(fd, line, sizeof line), wanted);
    }
    talk_expect_end(fd);
    kv_bytes_fini(&out);
    process_stop(&server);
}

Test(server, protocol_3_is_spoken_when_asked_for, .timeout = 60)
{
    struct process server;
    const char *hello;
    char line[128];
    int fd;

    process_start(&server, &few_shards);
    fd = talk_open(server.port);
    hello = ask(fd, "HELLO 2");
    cr_assert_eq(strncmp(hello, "*14\r\n$6\r\nserver\r\n", 17), 0, "%s", hello);
    talk(fd, "GET nothing", "$-1\r\n");
    hello = ask(fd, "HELLO 3 SETNAME tester");
    cr_assert_eq(strncmp(hello, "%7\r\n$6\r\nserver\r\n", 16), 0, "%s", hello);
    cr_assert_not_null(strstr(hello, "$5\r\nproto\r\n:3\r\n"));
    talk(fd, "GET nothing", "_\r\n");
    talk(fd, "MGET nothing", "*1\r\n_\r\n");
    talk(fd, "CLIENT GETNAME", "$6\r\ntester\r\n");
    talk(fd, "CONFIG GET appendonly", "%1\r\n$10\r\nappendonly\r\n$2\r\nno\r\n");
    cr_assert_eq(ask(fd, "INFO")[0], '=');
    cr_assert_eq(ask(fd, "TROUPE.TREE")[0], '=');
    cr_assert_eq(ask(fd, "COMMAND DOCS")[0], '%');
    hello = ask(fd, "HELLO 2");
    cr_assert_eq(strncmp(hello, "*14\r\n", 5), 0, "%s", hello);
    talk(fd, "GET nothing", "$-1\r\n");
    close(fd);
    /* In a pipeline, what comes before is answered as before. */
    fd = talk_open(server.port);
    talk_put(fd, "GET nothing\r\nHELLO 3\r\nGET nothing\r\n");
    talk_expect(fd, "$-1\r\n%7\r\n");
    do {
        (void)talk_line(fd, line, sizeof line);
    } while (strcmp(line, "_\r\n") != 0);
    close(fd);
    process_stop(&server);
}

static long number_after(const char *text, const char *name)
{
    const char *at = strstr(text, name);

    cr_assert_not_null(at, "%s is not in %s", name, text);
    return strtol(at + strlen(name), NULL, 10);
}

Test(server, commands_about_the_server_tell_of_this_one, .timeout = 60)
{
    struct process server;
    const char *reply;
    char port[32];
    char line[64];
    int fd;

    process_start(&server, &few_shards);
    fd = talk_open(server.port);
    talk(fd, "CLIENT ID", ":1\r\n");
    talk(fd, "CLIENT SETINFO LIB-NAME test", "+OK\r\n");
    talk(fd, "CONFIG GET maxclients", "*2\r\n$10\r\nmaxclients\r\n$5\r\n10000\r\n");
    (void)snprintf(port, sizeof port, "%u", server.port);
    (void)snprintf(line, sizeof line, "*2\r\n$4\r\nport\r\n$%zu\r\n%s\r\n", strlen(port), port);
    talk(fd, "CONFIG GET port", line);
    talk(fd, "SET key value PX 60000", "+OK\r\n");
    cr_assert(number_after(ask(fd, "PTTL key"), ":") > 15000);
    reply = ask(fd, "INFO");
    (void)snprintf(port, sizeof port, "tcp_port:%u\r\n", server.port);
    cr_assert_not_null(strstr(reply, port), "%s", reply);
    cr_assert_eq(number_after(reply, "process_id:"), server.pid);
    cr_assert_eq(number_after(reply, "connected_clients:"), 1);
    cr_assert_not_null(strstr(reply, "db0:keys=1,expires=1,"), "%s", reply);
    reply = ask(fd, "INFO clients");
    cr_assert_not_null(strstr(reply, "connected_clients:1\r\n"));
    cr_assert_null(strstr(reply, "tcp_port"));
    cr_assert_eq(ask(fd, "COMMAND COUNT")[0], ':');
    cr_assert_not_null(strstr(ask(fd, "COMMAND INFO get"), "$3\r\nget\r\n:2\r\n"));
    cr_assert_not_null(strstr(ask(fd, "COMMAND"), "$11\r\ntroupe.tree\r\n"));
    close(fd);
    process_stop(&server);
}

Test(server, a_scan_finds_every_key_of_every_shard, .timeout = 60)
{
    enum { KEYS = 300 };
    struct process server;
    bool seen[KEYS] = {false};
    char command[64] = "SCAN 0";
    unsigned i;
    int fd;

    process_start(&server, &few_shards);
    fd = talk_open(server.port);
    for (i = 0; i < KEYS; i++) {
        (void)snprintf(command, sizeof command, "SET key:%u x", i);
        talk(fd, command, "+OK\r\n");
    }
    (void)snprintf(command, sizeof command, "SCAN 0 COUNT 7");
    while (strcmp(command, "SCAN 0 COUNT 7 ") != 0) {
        const char *reply = ask(fd, command);
        const char *key;
        unsigned long long cursor;

        cr_assert_eq(sscanf(reply, "*2\r\n$%*u\r\n%llu", &cursor), 1, "%s", reply);
        for (key = strstr(reply, "key:"); key != NULL; key = strstr(key + 1, "key:")) {
            cr_assert(sscanf(key, "key:%u", &i) == 1 && i < KEYS);
            seen[i] = true;
        }
        (void)snprintf(command, sizeof command, "SCAN %llu COUNT 7%s", cursor, cursor ? "" : " ");
    }
    for (i = 0; i < KEYS; i++) {
        cr_assert(seen[i], "key:%u was not found", i);
    }
    close(fd);
    process_stop(&server);
}

/* ---- what is not ---- */

/* One complaint, and the end; `other` is served before and after. */
static void complain(uint16_t port, int other, const struct complaint *complaint, bool slowly)
{
    int fd = talk_open(port);

    talk(other, "PING before", "$6\r\nbefore\r\n");
    if (slowly) {
        size_t i;

        /* The server may close before all is sent. */
        for (i = 0; complaint->bytes[i] != '\0'; i++) {
            (void)send(fd, complaint->bytes + i, 1, MSG_NOSIGNAL);
        }
    } else {
        talk_put(fd, complaint->bytes);
    }
    talk_expect_bytes(fd, complaint->reply, strlen(complaint->reply), complaint->bytes);
    talk_expect_end(fd);
    talk(other, "GET witness", "$5\r\nalive\r\n");
}

Test(server, what_is_no_command_is_complained_about_and_closes, .timeout = 60)
{
    struct process server;
    size_t i;
    int other;

    process_start(&server, &few_shards);
    other = talk_open(server.port);
    talk(other, "SET witness alive", "+OK\r\n");
    for (i = 0; i < COMPLAINT_COUNT; i++) {
        complain(server.port, other, &complaints[i], false);
        complain(server.port, other, &complaints[i], true);
    }
    cr_assert_not_null(strstr(ask(other, "INFO troupe"), "connection_crashes:0\r\n"));
    close(other);
    process_stop(&server);
}

Test(server, a_line_that_is_too_long_is_complained_about, .timeout = 60)
{
    static const char *const heads[] = {"", "*", "*1\r\n$"};
    static const char *const replies[] = {
        "-ERR Protocol error: too big inline request\r\n",
        "-ERR Protocol error: too big mbulk count string\r\n",
        "-ERR Protocol error: too big bulk count string\r\n",
    };
    static char line[80000];
    struct process server;
    size_t i;

    memset(line, '1', sizeof line - 1);
    process_start(&server, &few_shards);
    for (i = 0; i < sizeof heads / sizeof *heads; i++) {
        int fd = talk_open(server.port);

        talk_put(fd, heads[i]);
        talk_put(fd, line);
        talk_expect(fd, replies[i]);
        talk_expect_end(fd);
    }
    process_stop(&server);
}

Test(server, commands_before_the_bad_one_are_answered_and_those_behind_it_are_not, .timeout = 60)
{
    struct process server;
    int fd;

    process_start(&server, &few_shards);
    fd = talk_open(server.port);
    talk_put(fd, "SET a 1\r\nSET b 2\r\nMGET a b\r\nPING\r\n*1\r\n!\r\nSET a 3\r\n");
    talk_expect(fd, "+OK\r\n+OK\r\n*2\r\n$1\r\n1\r\n$1\r\n2\r\n+PONG\r\n"
                    "-ERR Protocol error: expected '$', got '!'\r\n");
    talk_expect_end(fd);
    fd = talk_open(server.port);
    talk_put(fd, "GET a\r\nQUIT\r\nSET a 3\r\n");
    talk_expect(fd, "$1\r\n1\r\n+OK\r\n");
    talk_expect_end(fd);
    fd = talk_open(server.port);
    talk(fd, "GET a", "$1\r\n1\r\n");
    close(fd);
    process_stop(&server);
}

/* What the server held at most, and has mapped to be written to; in KiB. */
struct memory {
    long peak;
    long mapped;
};

static struct memory memory_of(const struct process *server)
{
    return (struct memory){process_kib(server, "VmHWM"), process_kib(server, "VmData")};
}

static void expect_growth_below(
    const struct process *server, const struct memory *before, long kib, const char *what)
{
    struct memory now = memory_of(server);

    cr_assert(now.peak - before->peak < kib && now.mapped - before->mapped < kib,
        "%s: %ld KiB more in use, %ld more mapped", what, now.peak - before->peak,
        now.mapped - before->mapped);
}

/* What is announced is at least 256 MiB.  What a busy machine adds is less than half of it: a worker that stands in for
 * one that seems to be held maps 8 MiB for its stack, and more with the address sanitizer. */
#define ANNOUNCERS 256
#define ANNOUNCERS_KIB (128 * 1024L)

/* Each announces something large, and sends the beginning.  That PING is answered says that it was read. */
static void announce(const struct process *server, const char *bytes, const char *reply)
{
    struct memory before = memory_of(server);
    int fds[ANNOUNCERS];
    int i;

    for (i = 0; i < ANNOUNCERS; i++) {
        fds[i] = talk_open(server->port);
        talk_put(fds[i], "PING\r\n");
        talk_expect(fds[i], "+PONG\r\n");
    }
    for (i = 0; i < ANNOUNCERS; i++) {
        talk_put(fds[i], bytes);
        talk_expect(fds[i], reply);
    }
    expect_growth_below(server, &before, ANNOUNCERS_KIB, bytes);
    for (i = 0; i < ANNOUNCERS; i++) {
        close(fds[i]);
    }
}

Test(server, memory_is_taken_for_what_comes_and_not_for_what_is_announced, .timeout = 60)
{
    struct process server;

    process_start(&server, &few_shards);
    announce(&server, "*1\r\n$536870912\r\nx", "-ERR Protocol error: invalid bulk length\r\n");
    announce(&server, "*1048576\r\n$4\r\n", "-ERR Protocol error: invalid multibulk length\r\n");
    announce(&server, "PING\r\n*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n$1048576\r\nx", "+PONG\r\n");
    announce(&server, "PING\r\n*1024\r\n$4\r\nMGET\r\n$1048576\r\nx", "+PONG\r\n");
    process_stop(&server);
}

/* What may be on its way to one that does not read: 64 replies of 64 KiB, some of them copied, and max_unsent. */
#define NO_READER_KIB (128 * 1024L)

Test(server, one_that_does_not_read_stops_only_itself, .timeout = 60)
{
    static char value[64 << 10];
    static char head[64];
    struct process server;
    struct memory before;
    ssize_t count = 1;
    size_t sent = 0;
    int length;
    int other;
    int fd;

    process_start(&server, &few_shards);
    memset(value, 'v', sizeof value);
    other = talk_open(server.port);
    length = snprintf(head, sizeof head, "*3\r\n$3\r\nSET\r\n$3\r\nbig\r\n$%zu\r\n", sizeof value);
    talk_put_bytes(other, head, (size_t)length);
    talk_put_bytes(other, value, sizeof value);
    talk(other, "", "+OK\r\n");
    before = memory_of(&server);
    fd = talk_open(server.port);
    /* As much as the system takes, but at most what would be 64 GiB of replies. */
    while (count > 0 && sent < ((size_t)9 << 20)) {
        struct pollfd ready = {.fd = fd, .events = POLLOUT};

        count =
            poll(&ready, 1, 200) == 1 ? send(fd, "GET big\r\n", 9, MSG_NOSIGNAL | MSG_DONTWAIT) : 0;
        sent += count > 0 ? (size_t)count : 0;
        if (sent % (9 << 10) == 0) {
            talk(other, "PING", "+PONG\r\n");
        }
    }
    talk(other, "PING", "+PONG\r\n");
    expect_growth_below(&server, &before, NO_READER_KIB, "unread replies");
    close(fd);
    talk(other, "STRLEN big", ":65536\r\n");
    close(other);
    process_stop(&server);
}

/* ---- crashes ---- */

Test(server, a_shard_that_crashes_keeps_its_keys_and_everybody_is_served_on, .timeout = 60)
{
    struct process server;
    char command[64];
    const char *tree;
    unsigned i;
    int fd;
    int other;

    process_start(&server, &few_shards);
    fd = talk_open(server.port);
    other = talk_open(server.port);
    talk(fd, "MSET a 1 b 2 c 3 d 4 e 5 f 6 g 7", "+OK\r\n");
    for (i = 0; i < 5; i++) {
        (void)snprintf(command, sizeof command, "TROUPE.CRASH SHARD %u", i);
        talk(fd, command, "+OK\r\n");
        talk(fd, "MGET a b c d e f g",
            "*7\r\n$1\r\n1\r\n$1\r\n2\r\n$1\r\n3\r\n$1\r\n4\r\n$1\r\n5\r\n$1\r\n6\r\n$1\r\n7\r\n");
        talk(other, "DBSIZE", ":7\r\n");
    }
    tree = ask(fd, "TROUPE.TREE");
    for (i = 0; strstr(tree, "restarts 1\r\n") != NULL; i++) {
        tree = strstr(tree, "restarts 1\r\n") + 1;
    }
    cr_assert_eq(i, 5, "%u shards were restarted once", i);
    talk(fd, "TROUPE.CRASH SHARD 5", "-ERR no such shard\r\n");
    close(fd);
    close(other);
    process_stop(&server);
}

Test(server, thousands_of_crashes_at_once_do_not_end_it, .timeout = 60)
{
    enum { CRASHES = 5000 };
    static const char crash[] = "TROUPE.CRASH SHARD 0\r\n";
    struct process server;
    struct kv_bytes out;
    struct kv_bytes in;
    char *got;
    int i;
    int fd;

    process_start(&server, &few_shards);
    fd = talk_open(server.port);
    talk(fd, "MSET a 1 b 2 c 3 d 4 e 5 f 6 g 7", "+OK\r\n");
    kv_bytes_init(&out, NULL, 0);
    kv_bytes_init(&in, NULL, 0);
    for (i = 0; i < CRASHES; i++) {
        (void)kv_bytes_append(&out, crash, sizeof crash - 1);
        (void)kv_bytes_append(&in, "+OK\r\n", 5);
    }
    got = malloc(in.len);
    cr_assert_not_null(got);
    talk_exchange(fd, out.data, out.len, got, in.len);
    cr_assert_eq(memcmp(got, in.data, in.len), 0, "%.*s", 200, got);
    talk(fd, "EXISTS a b c d e f g", ":7\r\n");
    cr_assert_eq(number_after(ask(fd, "INFO troupe"), "shard_restarts:"), CRASHES);
    free(got);
    kv_bytes_fini(&out);
    kv_bytes_fini(&in);
    close(fd);
    process_stop(&server);
}

Test(server, a_crash_inside_of_a_command_costs_that_command_only, .timeout = 60)
{
    struct process server;
    char line[256];
    int fd;
    int other;

    process_start(&server,
        &(struct process_options){.arguments = {"--port", "0", "--workers", "2", "--shards", "1"}});
    fd = talk_open(server.port);
    other = talk_open(server.port);
    talk(fd, "SET old value", "+OK\r\n");
    talk(fd, "TROUPE.CRASH SHARD 0 AT set.linked", "+OK\r\n");
    talk_put(other, "SET new value\r\n");
    (void)talk_line(other, line, sizeof line);
    cr_assert_eq(strncmp(line, "-ERR shard 0 failed", 19), 0, "%s", line);
    talk(other, "GET new", "$5\r\nvalue\r\n");
    talk(fd, "GET old", "$5\r\nvalue\r\n");
    talk(fd, "TROUPE.CRASH SHARD 0 AT set.ready", "+OK\r\n");
    talk_put(other, "SET newer value\r\n");
    (void)talk_line(other, line, sizeof line);
    cr_assert_eq(strncmp(line, "-ERR shard 0 failed", 19), 0, "%s", line);
    talk(other, "GET newer", "$-1\r\n");
    talk(fd, "DBSIZE", ":2\r\n");
    close(fd);
    close(other);
    process_stop(&server);
}

Test(server, a_connection_that_crashes_takes_nobody_with_it, .timeout = 60)
{
    struct process server;
    char byte;
    int fd;
    int other;

    process_start(&server, &few_shards);
    fd = talk_open(server.port);
    other = talk_open(server.port);
    talk(fd, "SET key value", "+OK\r\n");
    /* Its requests are on their way when it crashes. */
    talk_put(fd, "SET key other\r\nMGET a b c d e f\r\nINFO\r\nTROUPE.CRASH CONNECTION\r\n");
    while (recv(fd, &byte, 1, 0) > 0) {
    }
    close(fd);
    talk(other, "GET key", "$5\r\nother\r\n");
    /* The descriptor is closed before the listener hears of the end. */
    while (strstr(ask(other, "INFO troupe"), "connection_crashes:1\r\n") == NULL) {
    }
    close(other);
    process_stop(&server);
}

/* ---- the end ---- */

Test(server, told_to_stop_it_sends_the_replies_that_are_due, .timeout = 60)
{
    enum { COMMANDS = 64 }; /* as many as are taken at a time */
    struct process server;
    struct kv_bytes out;
    char line[64];
    char wanted[64];
    int i;
    int fd;
    int idle;

    process_start(&server, &few_shards);
    idle = talk_open(server.port);
    talk(idle, "PING", "+PONG\r\n");
    fd = talk_open(server.port);
    kv_bytes_init(&out, NULL, 0);
    for (i = 0; i < COMMANDS; i++) {
        (void)kv_bytes_append(&out, "INCR counter\r\n", 14);
    }
    talk_put_bytes(fd, out.data, out.len);
    kv_bytes_fini(&out);
    for (i = 1; i <= COMMANDS; i++) {
        (void)snprintf(wanted, sizeof wanted, ":%d\r\n", i);
        cr_assert_str_eq(talk_line(fd, line, sizeof line), wanted);
        if (i == 1) {
            /* The others were taken with it. */
            cr_assert_eq(kill(server.pid, SIGTERM), 0);
        }
    }
    talk_expect_end(fd);
    talk_expect_end(idle);
    cr_assert_eq(process_wait(&server), EXIT_SUCCESS, "%s", server.text);
}

/* 32 replies of 256 KiB: far more than the system buffers. */
#define LARGE_SIZE ((size_t)256 << 10)
#define LARGE_COUNT 32

Test(server, told_to_stop_it_waits_for_a_client_that_is_still_reading, .timeout = 60)
{
    struct process server;
    struct kv_bytes bytes;
    char *value = calloc(1, LARGE_SIZE + 2);
    char head[64];
    size_t length;
    int i;
    int fd;

    process_start(&server, &few_shards);
    cr_assert_not_null(value);
    kv_bytes_init(&bytes, NULL, 0);
    fd = talk_open(server.port);
    length =
        (size_t)snprintf(head, sizeof head, "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$%zu\r\n", LARGE_SIZE);
    memset(value, 'v', LARGE_SIZE);
    memcpy(value + LARGE_SIZE, "\r\n", 2);
    talk_put_bytes(fd, head, length);
    talk_put_bytes(fd, value, LARGE_SIZE + 2);
    talk_expect(fd, "+OK\r\n");
    for (i = 0; i < LARGE_COUNT; i++) {
        (void)kv_bytes_append(&bytes, "GET k\r\n", 7);
    }
    talk_put_bytes(fd, bytes.data, bytes.len);
    kv_bytes_clear(&bytes);
    kv_resp_put_bulk(&bytes, (struct kv_slice){value, LARGE_SIZE});
    /* All were taken together, so all are on their way when the first byte is there. */
    talk_get(fd, head, 1);
    cr_assert_eq(kill(server.pid, SIGTERM), 0);
    talk_expect_bytes(fd, bytes.data + 1, bytes.len - 1, "the first");
    for (i = 1; i < LARGE_COUNT; i++) {
        talk_expect_bytes(fd, bytes.data, bytes.len, "another");
    }
    talk_expect_end(fd);
    cr_assert_eq(process_wait(&server), EXIT_SUCCESS, "%s", server.text);
    kv_bytes_fini(&bytes);
    free(value);
}

Test(server, an_interrupt_stops_it_as_well, .timeout = 60)
{
    struct process server;

    process_start(&server, &few_shards);
    cr_assert_eq(kill(server.pid, SIGINT), 0);
    cr_assert_eq(process_wait(&server), EXIT_SUCCESS, "%s", server.text);
}

/* ---- the beginning ---- */

/* It does not start, ends with a failure, and says why: one of its lines has `message`. */
static void expect_no_start(const struct process_options *options, const char *message)
{
    struct process server;

    process_spawn(&server, getenv("TROUPE_KV"), options);
    cr_assert_not(process_is_ready(&server));
    cr_assert_eq(process_wait(&server), EXIT_FAILURE, "%s", server.text);
    cr_assert_not_null(strstr(server.text, message), "%s", server.text);
}

Test(server, a_port_in_use_is_said_and_left_to_who_has_it, .timeout = 60)
{
    struct process server;
    char port[8];
    char message[128];

    process_start(&server, &few_shards);
    (void)snprintf(port, sizeof port, "%u", server.port);
    (void)snprintf(
        message, sizeof message, "cannot listen on 127.0.0.1:%s: Address already in use", port);
    expect_no_start(&(struct process_options){.arguments = {"--port", port}}, message);
    cr_assert(talk_is_served(server.port));
    process_stop(&server);
}

Test(server, a_port_without_permission_is_said, .timeout = 60)
{
    expect_no_start(&(struct process_options){.arguments = {"--port", "80"}, .may_not_bind = true},
        "cannot listen on 127.0.0.1:80: Permission denied");
}

Test(server, an_address_that_is_not_ours_is_said, .timeout = 60)
{
    expect_no_start(&(struct process_options){.arguments = {"--bind", "192.0.2.1", "--port", "0"}},
        "cannot listen on 192.0.2.1:0: Cannot assign requested address");
    expect_no_start(&(struct process_options){.arguments = {"--bind", "localhost"}},
        "cannot listen on localhost: not a numeric IPv4 or IPv6 address");
}

Test(server, options_that_make_no_sense_are_said, .timeout = 60)
{
    static const char *const options[][3] = {
        {"--port", "65536", "--port wants a number from 0 to 65535, not '65536'"},
        {"--port", "", "--port wants a number from 0 to 65535, not ''"},
        {"--port", "80 ", "--port wants a number from 0 to 65535, not '80 '"},
        {"--workers", "0", "--workers wants a number from 1"},
        {"--shards", "-1", "--shards wants a number from 1"},
        {"--max-clients", "18446744073709551616", "--max-clients wants a number from 1"},
        {"--max-requests", "0", "--max-requests wants a number from 1 to 262144"},
        {"--max-wait", "-1", "--max-wait wants a number from 0 to 3600000"},
        {"--nonsense", NULL, "Try 'troupe-kv --help'"},
        {"nonsense", NULL, "what is 'nonsense'?"},
        {"--port", NULL, "Try 'troupe-kv --help'"},
    };
    size_t i;

    for (i = 0; i < sizeof options / sizeof *options; i++) {
        expect_no_start(
            &(struct process_options){.arguments = {options[i][0], options[i][1]}}, options[i][2]);
    }
}

Test(server, help_is_given, .timeout = 60)
{
    struct process server;
    char line[256];
    bool said_port = false;

    process_spawn(&server, getenv("TROUPE_KV"), &(struct process_options){.arguments = {"--help"}});
    while (process_line(&server, line, sizeof line)) {
        said_port = said_port || strstr(line, "--port PORT") != NULL;
    }
    cr_assert(said_port);
    cr_assert_eq(process_wait(&server), EXIT_SUCCESS);
    cr_assert_str_eq(server.text, "");
}

/* ---- too few descriptors, too many clients ---- */

Test(server, with_too_few_descriptors_to_start_it_says_so, .timeout = 60)
{
    struct process server;
    rlim_t descriptors = 4; /* less would not even load a program */
    bool started = false;

    while (!started) {
        cr_assert_lt(descriptors, 64, "it never starts");
        process_spawn(&server, getenv("TROUPE_KV"),
            &(struct process_options){
                .arguments = {"--port", "0", "--workers", "2"}, .descriptors = descriptors});
        started = process_is_ready(&server);
        if (!started) {
            cr_assert_eq(process_wait(&server), EXIT_FAILURE, "with %d descriptors: %s",
                (int)descriptors, server.text);
            cr_assert_not_null(strstr(server.text, "troupe-kv: "), "with %d descriptors: \"%s\"",
                (int)descriptors, server.text);
        }
        descriptors++;
    }
    cr_assert_gt(descriptors, 5, "it always starts: nothing was tried");
    process_stop(&server);
}

#define CROWD 60

Test(server, out_of_descriptors_it_sheds_clients_and_recovers, .timeout = 60)
{
    struct process server;
    int fds[CROWD];
    unsigned count = 0;
    unsigned tries = 0;
    char reply[7];

    process_start(&server, &(struct process_options){
                               .arguments = {"--port", "0", "--workers", "2"}, .descriptors = 40});
    do {
        cr_assert_lt(count, CROWD, "nobody was shed");
        fds[count] = talk_open(server.port);
        (void)send(fds[count], "PING\r\n", 6, MSG_NOSIGNAL);
    } while (recv(fds[count], reply, sizeof reply, MSG_WAITALL) == sizeof reply && ++count > 0);
    close(fds[count]);
    cr_assert_gt(count, 8);
    cr_assert_not(talk_is_served(server.port));
    talk(fds[0], "PING", "+PONG\r\n");
    talk(fds[count - 1], "PING", "+PONG\r\n");
    cr_assert_not_null(strstr(process_messages(&server), "out of descriptors"), "%s", server.text);
    cr_assert_geq(number_after(ask(fds[0], "INFO"), "rejected_connections:"), 2);
    close(fds[0]);
    /* The server sees its end a moment later. */
    while (!talk_is_served(server.port)) {
        cr_assert_lt(++tries, 10000U, "it does not recover");
        usleep(1000);
    }
    while (count > 1) {
        close(fds[--count]);
    }
    process_stop(&server);
}

Test(server, clients_above_the_limit_are_told_so, .timeout = 60)
{
    struct process server;
    unsigned tries = 0;
    int first;
    int second;
    int third;

    process_start(
        &server, &(struct process_options){.arguments = {"--port", "0", "--max-clients", "2"}});
    first = talk_open(server.port);
    talk(first, "PING", "+PONG\r\n");
    second = talk_open(server.port);
    talk(second, "PING", "+PONG\r\n");
    third = talk_open(server.port);
    talk_expect(third, "-ERR max number of clients reached\r\n");
    talk_expect_end(third);
    talk(first, "PING", "+PONG\r\n");
    close(second);
    while (!talk_is_served(server.port)) {
        cr_assert_lt(++tries, 10000U, "it does not recover");
        usleep(1000);
    }
    close(first);
    process_stop(&server);
}
