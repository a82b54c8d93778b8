/* SPDX-License-Identifier: MIT */
/* Commands: each answers what redis-server 7.0.15 answered to it, on one shard or on many. */
#include "../../examples/kv/command.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define NOW ((int64_t)1700000000000)
#define SHARDS 5

/* Memory that counts, fails at the k-th allocation and leaves at the k-th step. */
struct world {
    size_t blocks;
    size_t allocations;
    size_t fail_at;
    size_t steps;
    size_t abandon_at;
    jmp_buf out;
};

static void world_step(struct world *world)
{
    world->steps++;
    if (world->steps == world->abandon_at) {
        world->abandon_at = 0;
        longjmp(world->out, 1);
    }
}

static void *world_allocate(void *ctx, size_t bytes)
{
    struct world *world = ctx;

    world_step(world);
    world->allocations++;
    if (world->allocations == world->fail_at) {
        return NULL;
    }
    world->blocks++;
    return malloc(bytes);
}

static void world_release(void *ctx, void *block)
{
    struct world *world = ctx;

    world->blocks -= block ? 1 : 0;
    free(block);
}

static void world_point(void *ctx, const char *where)
{
    (void)where;
    world_step(ctx);
}

/* A server without connections: some shards, one client, and the memory of both. */
struct server {
    struct world world;
    struct kv_memory memory;
    uint32_t shard_count;
    struct kv_keyspace *shards[SHARDS];
    struct kv_command_session session;
    struct kv_bytes out;
    int64_t now_ms;
};

static void server_init(struct server *server, uint32_t shard_count)
{
    struct kv_keyspace_options options = {.hash_key = {7}};
    uint32_t i;

    memset(server, 0, sizeof *server);
    server->memory = (struct kv_memory){world_allocate, world_release, world_point, &server->world};
    server->shard_count = shard_count;
    server->now_ms = NOW;
    options.memory = server->memory;
    for (i = 0; i < shard_count; i++) {
        cr_assert_eq(kv_keyspace_create(&options, &server->shards[i]), KV_OK);
    }
    kv_command_session_init(&server->session, 42);
    kv_bytes_init(&server->out, &server->memory, 0);
}

static void server_fini(struct server *server)
{
    uint32_t i;

    for (i = 0; i < server->shard_count; i++) {
        const char *wrong = kv_keyspace_check(server->shards[i]);

        cr_assert_null(wrong, "%s", wrong);
        kv_keyspace_destroy(server->shards[i]);
    }
    kv_bytes_fini(&server->out);
    cr_assert_eq(server->world.blocks, 0);
}

/* Executes all parts, as shards would, and joins their replies. */
static void serve_shards(struct server *server, const struct kv_command *command, size_t argc,
    const struct kv_slice *argv)
{
    struct kv_command_split split;
    struct kv_bytes parts[SHARDS];
    struct kv_slice replies[SHARDS];
    size_t i;

    cr_assert_eq(kv_command_split(&split, command, argc, argv, server->shard_count, NULL), KV_OK);
    for (i = 0; i < split.part_count; i++) {
        struct kv_command_part *part = &split.parts[i];
        struct kv_command_packed *packed = malloc(kv_command_pack_size(part->argc, part->argv));

        kv_command_pack(part->argc, part->argv, packed);
        kv_bytes_init(&parts[i], NULL, 0);
        cr_assert_eq(kv_command_execute(server->shards[part->shard], server->now_ms,
                         server->session.protocol, packed->argc, packed->argv, &parts[i]),
            KV_OK);
        replies[i] = (struct kv_slice){parts[i].data, parts[i].len};
        free(packed);
    }
    cr_assert_eq(kv_command_join(&split, replies, &server->out), KV_OK);
    for (i = 0; i < split.part_count; i++) {
        kv_bytes_fini(&parts[i]);
    }
    kv_command_split_fini(&split);
    kv_command_split_fini(&split);
}

static void serve(struct server *server, size_t argc, const struct kv_slice *argv)
{
    const struct kv_command *command = kv_command_check(argc, argv, &server->out);

    if (command && command->where == KV_WHERE_CONNECTION) {
        cr_assert_eq(
            kv_command_answer(&server->session, NULL, 0, command, argc, argv, &server->out), KV_OK);
    } else if (command) {
        serve_shards(server, command, argc, argv);
    }
}

/* Serves one command, written as a line, and returns its reply. */
static const char *ask(struct server *server, const char *line)
{
    struct kv_resp resp;
    const struct kv_slice *argv;
    size_t argc = 0;

    cr_assert_eq(kv_resp_init(&resp, NULL, NULL), KV_OK);
    cr_assert_eq(kv_resp_feed(&resp, line, strlen(line)), KV_OK);
    cr_assert_eq(kv_resp_feed(&resp, "\n", 1), KV_OK);
    cr_assert_eq(kv_resp_next(&resp, &argc, &argv), 1, "%s", line);
    kv_bytes_clear(&server->out);
    serve(server, argc, argv);
    cr_assert_eq(kv_resp_reply_length((struct kv_slice){server->out.data, server->out.len}),
        (int64_t)server->out.len, "%s", line);
    cr_assert_eq(kv_bytes_append(&server->out, "", 1), KV_OK);
    kv_resp_fini(&resp);
    return server->out.data;
}

struct exchange {
    const char *line;
    const char *reply;
};

#define SYNTAX "-ERR syntax error\r\n"
#define NOT_INTEGER "-ERR value is not an integer or out of range\r\n"
#define SET_TIME "-ERR invalid expire time in 'set' command\r\n"
#define NO_MIX "-ERR NX and XX, GT or LT options at the same time are not compatible\r\n"

static const struct exchange strings[] = {
    {"SET a b", "+OK\r\n"},
    {"get a", "$1\r\nb\r\n"},
    {"GET nothing", "$-1\r\n"},
    {"SET a b x", SYNTAX},
    {"SET a b EX", SYNTAX},
    {"SET a b EX 0", SET_TIME},
    {"SET a b EX -1", SET_TIME},
    {"SET a b EX x", NOT_INTEGER},
    {"SET a b EX 9223372036854775", SET_TIME},
    {"SET a b EX 9223372036854776", SET_TIME},
    {"SET a b PX 9223372036854775807", SET_TIME},
    {"SET a b EX 10 PX 5", SYNTAX},
    {"SET a b NX XX", SYNTAX},
    {"SET a b KEEPTTL EX 5", SYNTAX},
    {"SET a b EX 5 EX 6", "+OK\r\n"},
    {"TTL a", ":6\r\n"},
    {"SET a c keepttl get", "$1\r\nb\r\n"},
    {"PTTL a", ":6000\r\n"},
    {"SET a d", "+OK\r\n"},
    {"TTL a", ":-1\r\n"},
    {"SET a e NX", "$-1\r\n"},
    {"SET a e NX GET", "$1\r\nd\r\n"},
    {"GET a", "$1\r\nd\r\n"},
    {"SET new b XX", "$-1\r\n"},
    {"SET new b XX GET", "$-1\r\n"},
    {"SET new b NX GET", "$-1\r\n"},
    {"GET new", "$1\r\nb\r\n"},
    {"SET a b PXAT 1700000001500", "+OK\r\n"},
    {"TTL a", ":2\r\n"},
    {"PTTL a", ":1500\r\n"},
    {"SET a b EXAT 1700000002", "+OK\r\n"},
    {"PTTL a", ":2000\r\n"},
    {"SET a b EXAT 1", "+OK\r\n"},
    {"GET a", "$-1\r\n"},
    {"SETNX a b", ":1\r\n"},
    {"SETNX a c", ":0\r\n"},
    {"GETDEL a", "$1\r\nb\r\n"},
    {"GETDEL a", "$-1\r\n"},
    {"APPEND a 12", ":2\r\n"},
    {"APPEND a 345", ":5\r\n"},
    {"STRLEN a", ":5\r\n"},
    {"STRLEN nothing", ":0\r\n"},
    {"TYPE a", "+string\r\n"},
    {"TYPE nothing", "+none\r\n"},
    {"GET a b", "-ERR wrong number of arguments for 'get' command\r\n"},
    {"SET a", "-ERR wrong number of arguments for 'set' command\r\n"},
    {"MSET a b c", "-ERR wrong number of arguments for 'mset' command\r\n"},
    {"foo bar 'b az'", "-ERR unknown command 'foo', with args beginning with: 'bar' 'b az' \r\n"},
    {"foo \"a\\r\\nb\"", "-ERR unknown command 'foo', with args beginning with: 'a  b' \r\n"},
    {"''", "-ERR unknown command '', with args beginning with: \r\n"},
};

static const struct exchange integers[] = {
    {"INCR n", ":1\r\n"},
    {"INCRBY n 9223372036854775806", ":9223372036854775807\r\n"},
    {"INCR n", "-ERR increment or decrement would overflow\r\n"},
    {"DECRBY n -9223372036854775808", "-ERR decrement would overflow\r\n"},
    {"INCRBY n x", NOT_INTEGER},
    {"DECRBY n 01", NOT_INTEGER},
    {"SET n -9223372036854775808", "+OK\r\n"},
    {"DECR n", "-ERR increment or decrement would overflow\r\n"},
    {"SET n ' 1'", "+OK\r\n"},
    {"INCR n", NOT_INTEGER},
    {"SET n 9", "+OK\r\n"},
    {"DECRBY n 10", ":-1\r\n"},
    {"DECR fresh", ":-1\r\n"},
    {"GET n", "$2\r\n-1\r\n"},
};

static const struct exchange expiries[] = {
    {"EXPIRE nothing 10", ":0\r\n"},
    {"TTL nothing", ":-2\r\n"},
    {"PTTL nothing", ":-2\r\n"},
    {"SET a b", "+OK\r\n"},
    {"EXPIRE a x", NOT_INTEGER},
    {"EXPIRE a 9223372036854775807", "-ERR invalid expire time in 'expire' command\r\n"},
    {"EXPIRE a -9223372036854775808", "-ERR invalid expire time in 'expire' command\r\n"},
    {"PEXPIRE a 9223372036854775807", "-ERR invalid expire time in 'pexpire' command\r\n"},
    {"EXPIRE a 1 FOO", "-ERR Unsupported option FOO\r\n"},
    {"EXPIRE a 1 NX XX", NO_MIX},
    {"EXPIRE nothing 1 NX LT", NO_MIX},
    {"EXPIRE a 1 GT LT", "-ERR GT and LT options at the same time are not compatible\r\n"},
    {"EXPIRE a 100 GT", ":0\r\n"},
    {"EXPIRE a 100 XX", ":0\r\n"},
    {"EXPIRE a 100 LT", ":1\r\n"},
    {"EXPIRE a 200 gt", ":1\r\n"},
    {"EXPIRE a 200 GT", ":0\r\n"},
    {"EXPIRE a 300 LT", ":0\r\n"},
    {"EXPIRE a 200 NX", ":0\r\n"},
    {"PEXPIRE a 1499", ":1\r\n"},
    {"TTL a", ":1\r\n"},
    {"PERSIST a", ":1\r\n"},
    {"PERSIST a", ":0\r\n"},
    {"PERSIST nothing", ":0\r\n"},
    {"PEXPIRE a -9223372036854775808", ":1\r\n"},
    {"EXISTS a", ":0\r\n"},
    {"SET a b", "+OK\r\n"},
    {"EXPIRE a 0", ":1\r\n"},
    {"DBSIZE", ":0\r\n"},
};

static const struct exchange many_keys[] = {
    {"MSET a 1 b 2 c 3 d 4 e 5 a 6", "+OK\r\n"},
    {"MGET a b nothing c d e a", "*7\r\n$1\r\n6\r\n$1\r\n2\r\n$-1\r\n$1\r\n3\r\n$1\r\n4\r\n"
                                 "$1\r\n5\r\n$1\r\n6\r\n"},
    {"EXISTS a b b nothing", ":3\r\n"},
    {"DBSIZE", ":5\r\n"},
    {"DEL a b b nothing", ":2\r\n"},
    {"DBSIZE", ":3\r\n"},
    {"FLUSHALL x", SYNTAX},
    {"FLUSHALL ASYNC x", SYNTAX},
    {"FLUSHALL async", "+OK\r\n"},
    {"DBSIZE", ":0\r\n"},
    {"MGET a", "*1\r\n$-1\r\n"},
    {"FLUSHALL", "+OK\r\n"},
    {"SCAN x", "-ERR invalid cursor\r\n"},
    {"SCAN 18446744073709551616", "-ERR invalid cursor\r\n"},
    {"SCAN 0 COUNT", SYNTAX},
    {"SCAN 0 COUNT 0", SYNTAX},
    {"SCAN 0 COUNT x", NOT_INTEGER},
    {"SCAN 0 FOO a", SYNTAX},
};

static const struct exchange connections[] = {
    {"PING", "+PONG\r\n"},
    {"ping 'a b'", "$3\r\na b\r\n"},
    {"PING a b", "-ERR wrong number of arguments for 'ping' command\r\n"},
    {"ECHO ''", "$0\r\n\r\n"},
    {"CLIENT", "-ERR wrong number of arguments for 'client' command\r\n"},
    {"CLIENT FOO", "-ERR unknown subcommand 'FOO'. Try CLIENT HELP.\r\n"},
    {"CLIENT ID", ":42\r\n"},
    {"CLIENT ID x", "-ERR wrong number of arguments for 'client|id' command\r\n"},
    {"CLIENT GETNAME", "$-1\r\n"},
    {"CLIENT SETNAME 'a b'",
        "-ERR Client names cannot contain spaces, newlines or special characters.\r\n"},
    {"CLIENT SETNAME abc", "+OK\r\n"},
    {"CLIENT GETNAME", "$3\r\nabc\r\n"},
    {"CLIENT SETINFO lib-name x", "+OK\r\n"},
    {"CONFIG GET save", "*2\r\n$4\r\nsave\r\n$0\r\n\r\n"},
    {"CONFIG GET save appendonly",
        "*4\r\n$10\r\nappendonly\r\n$2\r\nno\r\n$4\r\nsave\r\n$0\r\n\r\n"},
    {"CONFIG GET S*V?", "*2\r\n$4\r\nsave\r\n$0\r\n\r\n"},
    {"CONFIG GET nope", "*0\r\n"},
    {"CONFIG GET", "-ERR wrong number of arguments for 'config|get' command\r\n"},
    {"CONFIG FOO", "-ERR unknown subcommand 'FOO'. Try CONFIG HELP.\r\n"},
    {"CONFIG SET a b", "-ERR Unknown option or number of arguments for CONFIG SET - 'a'\r\n"},
    {"COMMAND COUNT", ":33\r\n"},
    {"COMMAND COUNT x", "-ERR wrong number of arguments for 'command|count' command\r\n"},
    {"COMMAND FOO", "-ERR unknown subcommand 'FOO'. Try COMMAND HELP.\r\n"},
    {"COMMAND DOCS nope", "*0\r\n"},
    {"COMMAND GETKEYS mset a b c d", "*2\r\n$1\r\na\r\n$1\r\nc\r\n"},
    {"COMMAND GETKEYS get", "-ERR wrong number of arguments for 'command|getkeys' command\r\n"},
    {"COMMAND INFO nope ping",
        "*2\r\n$-1\r\n*10\r\n$4\r\nping\r\n:-1\r\n*1\r\n+fast\r\n:0\r\n:0\r\n:0\r\n*2\r\n+@fast\r\n"
        "+@connection\r\n*2\r\n$25\r\nrequest_policy:all_shards\r\n$29\r\n"
        "response_policy:all_succeeded\r\n*0\r\n*0\r\n"},
    {"COMMAND INFO GET",
        "*1\r\n*10\r\n$3\r\nget\r\n:2\r\n*2\r\n+readonly\r\n+fast\r\n:1\r\n:1\r\n:1\r\n*3\r\n"
        "+@read\r\n+@string\r\n+@fast\r\n*0\r\n*1\r\n*6\r\n$5\r\nflags\r\n*2\r\n+RO\r\n+access\r\n"
        "$12\r\nbegin_search\r\n*4\r\n$4\r\ntype\r\n$5\r\nindex\r\n$4\r\nspec\r\n*2\r\n$5\r\nindex"
        "\r\n:1\r\n$9\r\nfind_keys\r\n*4\r\n$4\r\ntype\r\n$5\r\nrange\r\n$4\r\nspec\r\n*6\r\n$7\r\n"
        "lastkey\r\n:0\r\n$7\r\nkeystep\r\n:1\r\n$5\r\nlimit\r\n:0\r\n*0\r\n"},
    {"HELLO 4", "-NOPROTO unsupported protocol version\r\n"},
    {"HELLO x", "-ERR Protocol version is not an integer or out of range\r\n"},
    {"HELLO 3 AUTH a b", "-WRONGPASS invalid username-password pair or user is disabled.\r\n"},
    {"HELLO 3 foo", "-ERR Syntax error in HELLO option 'foo'\r\n"},
    {"HELLO 3 SETNAME", "-ERR Syntax error in HELLO option 'SETNAME'\r\n"},
    {"CLIENT GETNAME", "$3\r\nabc\r\n"},
    {"HELLO 3 SETNAME ''",
        "%7\r\n$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n$6\r\n7.0.15\r\n$5\r\nproto\r\n:"
        "3\r\n"
        "$2\r\nid\r\n:42\r\n$4\r\nmode\r\n$10\r\nstandalone\r\n$4\r\nrole\r\n$6\r\nmaster\r\n"
        "$7\r\nmodules\r\n*0\r\n"},
    {"CLIENT GETNAME", "_\r\n"},
    {"GET nothing", "_\r\n"},
    {"MGET nothing else", "*2\r\n_\r\n_\r\n"},
    {"CONFIG GET save", "%1\r\n$4\r\nsave\r\n$0\r\n\r\n"},
    {"HELLO 2",
        "*14\r\n$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n$6\r\n7.0.15\r\n$5\r\nproto\r\n:"
        "2\r\n"
        "$2\r\nid\r\n:42\r\n$4\r\nmode\r\n$10\r\nstandalone\r\n$4\r\nrole\r\n$6\r\nmaster\r\n"
        "$7\r\nmodules\r\n*0\r\n"},
    {"GET nothing", "$-1\r\n"},
    {"QUIT now", "+OK\r\n"},
};

/* The exchange gives these replies, on one shard and on several. */
static void expect_exchange(const struct exchange *exchange, size_t count)
{
    static const uint32_t shard_counts[] = {1, 2, SHARDS};
    size_t s;
    size_t i;

    for (s = 0; s < 3; s++) {
        struct server server;

        server_init(&server, shard_counts[s]);
        for (i = 0; i < count; i++) {
            const char *reply = ask(&server, exchange[i].line);

            cr_assert_str_eq(reply, exchange[i].reply, "%s answers %s", exchange[i].line, reply);
        }
        server_fini(&server);
    }
}

#define EXPECT(exchange) expect_exchange(exchange, sizeof exchange / sizeof exchange[0])

Test(command, strings_answer_as_redis_does)
{
    EXPECT(strings);
}

Test(command, integers_answer_as_redis_does)
{
    EXPECT(integers);
}

Test(command, expiries_answer_as_redis_does)
{
    EXPECT(expiries);
}

Test(command, many_keys_answer_as_redis_does_on_any_number_of_shards)
{
    EXPECT(many_keys);
}

Test(command, connections_answer_as_redis_does)
{
    EXPECT(connections);
}

Test(command, a_key_is_gone_when_its_time_has_come)
{
    struct server server;

    server_init(&server, 2);
    ask(&server, "SET a b PX 10");
    server.now_ms += 9;
    cr_assert_str_eq(ask(&server, "PTTL a"), ":1\r\n");
    server.now_ms += 1;
    cr_assert_str_eq(ask(&server, "GET a"), "$-1\r\n");
    cr_assert_str_eq(ask(&server, "PTTL a"), ":-2\r\n");
    server_fini(&server);
}

Test(command, quit_asks_for_the_connection_to_be_closed)
{
    struct server server;

    server_init(&server, 1);
    ask(&server, "PING");
    cr_assert_not(server.session.closing);
    ask(&server, "QUIT");
    cr_assert(server.session.closing);
    server_fini(&server);
}

/* The table. */

Test(command, the_table_is_sorted_and_each_command_is_found_in_any_case)
{
    char upper[32];
    size_t i;
    size_t k;

    for (i = 0; i < KV_COMMAND_COUNT; i++) {
        const struct kv_command *command = kv_command_at(i);

        cr_assert_eq(command->id, i);
        cr_assert(i == 0 || strcmp(kv_command_at(i - 1)->name, command->name) < 0);
        for (k = 0; k <= strlen(command->name); k++) {
            upper[k] = (char)(command->name[k] - (command->name[k] >= 'a' ? 32 : 0));
        }
        cr_assert_eq(kv_command_find(kv_slice_of(upper)), command);
        cr_assert_eq(kv_command_find(kv_slice_of(command->name)), command);
    }
    cr_assert_null(kv_command_at(KV_COMMAND_COUNT));
    cr_assert_null(kv_command_find(kv_slice_of("ge")));
    cr_assert_null(kv_command_find(kv_slice_of("gets")));
    cr_assert_null(kv_command_find(kv_slice_of("")));
}

/* Shards. */

Test(command, keys_spread_as_in_redis_cluster)
{
    /* CLUSTER KEYSLOT of each */
    cr_assert_eq(kv_command_shard(kv_slice_of("foo"), 16384), 12182);
    cr_assert_eq(kv_command_shard(kv_slice_of("123456789"), 16384), 12739);
    cr_assert_eq(kv_command_shard(kv_slice_of("{user1000}.following"), 16384),
        kv_command_shard(kv_slice_of("user1000"), 16384));
    cr_assert_eq(kv_command_shard(kv_slice_of("foo{}{bar}"), 16384), 8363);
    cr_assert_eq(kv_command_shard(kv_slice_of("foo{{bar}}zap"), 16384),
        kv_command_shard(kv_slice_of("{bar"), 16384));
    cr_assert_eq(kv_command_shard(kv_slice_of("foo"), 7), 12182 % 7);
    cr_assert_eq(kv_command_shard(kv_slice_of("foo"), 1), 0);
    cr_assert_eq(kv_command_shard((struct kv_slice){NULL, 0}, 3), 0);
}

Test(command, a_split_gives_each_shard_its_own_keys)
{
    struct kv_slice argv[] = {kv_slice_of("MSET"), kv_slice_of("a"), kv_slice_of("1"),
        kv_slice_of("b"), kv_slice_of("2"), kv_slice_of("c"), kv_slice_of("3"), kv_slice_of("a"),
        kv_slice_of("4")};
    struct kv_command_split split;
    size_t keys = 0;
    size_t i;
    size_t k;

    cr_assert_eq(kv_command_split(&split, kv_command_find(argv[0]), 9, argv, 4, NULL), KV_OK);
    cr_assert_eq(split.key_count, 4);
    cr_assert_eq(split.part_count, 3, "a, b and c are on different shards of four");
    for (i = 0; i < split.part_count; i++) {
        cr_assert(i == 0 || split.parts[i - 1].shard < split.parts[i].shard);
        cr_assert(kv_slice_is(split.parts[i].argv[0], "MSET"));
        for (k = 1; k < split.parts[i].argc; k += 2) {
            cr_assert_eq(kv_command_shard(split.parts[i].argv[k], 4), split.parts[i].shard);
            keys++;
        }
    }
    cr_assert_eq(keys, 4);
    kv_command_split_fini(&split);
}

Test(command, a_split_of_nonsense_is_refused)
{
    struct kv_slice argv[] = {kv_slice_of("GET"), kv_slice_of("a"), kv_slice_of("b")};
    const struct kv_command *get = kv_command_find(argv[0]);
    struct kv_command_split split;

    cr_assert_eq(kv_command_split(NULL, get, 2, argv, 3, NULL), KV_EINVAL);
    cr_assert_eq(kv_command_split(&split, NULL, 2, argv, 3, NULL), KV_EINVAL);
    cr_assert_eq(kv_command_split(&split, get, 2, NULL, 3, NULL), KV_EINVAL);
    cr_assert_eq(kv_command_split(&split, get, 2, argv, 0, NULL), KV_EINVAL);
    cr_assert_eq(kv_command_split(&split, get, 3, argv, 3, NULL), KV_EINVAL);
    cr_assert_eq(
        kv_command_split(&split, kv_command_at(KV_COMMAND_PING), 1, argv, 3, NULL), KV_EINVAL);
    kv_command_split_fini(NULL);
}

Test(command, a_split_without_memory_says_so_and_a_single_key_needs_none)
{
    struct world world = {.fail_at = 1};
    struct kv_memory memory = {world_allocate, world_release, NULL, &world};
    struct kv_slice argv[] = {kv_slice_of("DEL"), kv_slice_of("a"), kv_slice_of("b")};
    const struct kv_command *del = kv_command_find(argv[0]);
    struct kv_command_split split;

    cr_assert_eq(kv_command_split(&split, del, 2, argv, 3, &memory), KV_OK);
    kv_command_split_fini(&split);
    cr_assert_eq(kv_command_split(&split, del, 3, argv, 3, &memory), KV_ENOMEM);
    kv_command_split_fini(&split);
    cr_assert_eq(world.blocks, 0);
}

Test(command, the_error_of_one_part_is_the_reply_of_the_whole)
{
    struct kv_slice argv[] = {kv_slice_of("DEL"), kv_slice_of("a"), kv_slice_of("b")};
    struct kv_slice replies[] = {kv_slice_of(":1\r\n"), kv_slice_of("-ERR shard 2 failed\r\n")};
    struct kv_slice broken[] = {kv_slice_of(":1\r\n"), kv_slice_of(":1")};
    struct kv_slice mixed[] = {kv_slice_of(":1\r\n"), kv_slice_of("+OK\r\n")};
    struct kv_command_split split;
    struct kv_bytes out;

    kv_bytes_init(&out, NULL, 0);
    cr_assert_eq(kv_command_split(&split, kv_command_find(argv[0]), 3, argv, 4, NULL), KV_OK);
    cr_assert_eq(split.part_count, 2);
    cr_assert_eq(kv_command_join(&split, replies, &out), KV_OK);
    cr_assert_arr_eq(out.data, replies[1].data, replies[1].len);
    kv_bytes_clear(&out);
    cr_assert_eq(kv_command_join(&split, broken, &out), KV_EPROTOCOL);
    cr_assert_eq(kv_command_join(&split, mixed, &out), KV_EPROTOCOL);
    cr_assert_eq(out.len, 0);
    kv_command_split_fini(&split);
    kv_bytes_fini(&out);
}

/* Follows the cursors of SCAN to the end and counts keys. */
static size_t scan_all(struct server *server, const char *options)
{
    char line[100] = "SCAN 0";
    size_t count = 0;
    uint64_t cursor = 0;
    int rounds = 0;

    do {
        size_t len = 0;
        size_t found = 0;

        snprintf(line, sizeof line, "SCAN %" PRIu64 " %s", cursor, options);
        cr_assert_eq(sscanf(ask(server, line), "*2\r\n$%zu\r\n%" SCNu64 "\r\n*%zu\r\n", &len,
                         &cursor, &found),
            3);
        count += found;
        cr_assert_lt(++rounds, 10000);
    } while (cursor != 0);
    return count;
}

Test(command, a_scan_goes_through_all_shards_once)
{
    struct server server;
    char line[40];
    uint32_t shards;
    int i;

    for (shards = 1; shards <= SHARDS; shards++) {
        server_init(&server, shards);
        for (i = 0; i < 300; i++) {
            snprintf(line, sizeof line, "SET key:%d x", i);
            ask(&server, line);
        }
        for (i = 0; i < (int)shards; i++) {
            kv_keyspace_expire_some(server.shards[i], NOW, 100000);
        }
        cr_assert_eq(scan_all(&server, ""), 300);
        cr_assert_eq(scan_all(&server, "COUNT 1000"), 300);
        cr_assert_eq(scan_all(&server, "COUNT 1"), 300);
        cr_assert_eq(scan_all(&server, "MATCH key:1?"), 10);
        cr_assert_eq(scan_all(&server, "match *[4-5]7 type string"), 6);
        cr_assert_eq(scan_all(&server, "TYPE hash"), 0);
        server_fini(&server);
    }
}

struct glob_case {
    const char *pattern;
    const char *key;
    bool matches;
};

Test(command, patterns_match_as_in_redis)
{
    static const struct glob_case cases[] = {
        {"*", "abc", true},
        {"a*c", "abc", true},
        {"a*c", "abcd", false},
        {"**b**", "abc", true},
        {"a?c", "abc", true},
        {"a?c", "ac", false},
        {"[abc]x", "bx", true},
        {"[^abc]x", "bx", false},
        {"[a-c]x", "bx", true},
        {"[c-a]x", "bx", true},
        {"[a-c", "b", true},
        {"a\\\\*c", "a*c", true},
        {"a\\\\*c", "abc", false},
        {"[\\\\]]", "]", true},
        {"abc", "ABC", false},
        {"a*a*a*a*a*a*a*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false},
    };
    size_t i;

    for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct server server;
        char line[200];

        server_init(&server, 1);
        snprintf(line, sizeof line, "SET \"%s\" x", cases[i].key);
        ask(&server, line);
        snprintf(line, sizeof line, "MATCH \"%s\"", cases[i].pattern);
        cr_assert_eq(scan_all(&server, line), cases[i].matches ? 1 : 0, "%s %s", cases[i].pattern,
            cases[i].key);
        server_fini(&server);
    }
}

/* Trouble. */

/* Commands that change something, each with what GET a answers before and after. */
struct change {
    const char *line;
    const char *after;
};

#define LONG_TEXT "a text that is long enough to need a block of its own, whatever was there before"
#define OLD "$1\r\n1\r\n"

static const struct change changes[] = {
    {"SET a 2", "$1\r\n2\r\n"},
    {"SET a '" LONG_TEXT "'", "$80\r\n" LONG_TEXT "\r\n"},
    {"SET a '" LONG_TEXT "' GET", "$80\r\n" LONG_TEXT "\r\n"},
    {"GETDEL a", "$-1\r\n"},
    {"MSET other 1 a 2", "$1\r\n2\r\n"},
    {"DEL a", "$-1\r\n"},
    {"INCR a", "$1\r\n2\r\n"},
    {"INCRBY a 9000000000000000000", "$19\r\n9000000000000000001\r\n"},
    {"DECR a", "$1\r\n0\r\n"},
    {"APPEND a 2", "$2\r\n12\r\n"},
    {"APPEND a '" LONG_TEXT "'", "$81\r\n1" LONG_TEXT "\r\n"},
    {"EXPIRE a 0", "$-1\r\n"},
    {"FLUSHALL", "$-1\r\n"},
};

#define CHANGES (sizeof changes / sizeof changes[0])

static void one_shard(struct server *server)
{
    char line[40];
    int i;

    server_init(server, 1);
    ask(server, "SET a 1");
    for (i = 0; i < 15; i++) {
        snprintf(line, sizeof line, "SET filler:%d %d", i, i);
        ask(server, line);
    }
}

/* Executes a line directly on the shard, the output having to allocate as well. */
static int execute_line(struct server *server, const char *line)
{
    struct kv_resp resp;
    const struct kv_slice *argv;
    size_t argc = 0;
    int err;

    cr_assert_eq(kv_resp_init(&resp, NULL, NULL), KV_OK);
    cr_assert_eq(kv_resp_feed(&resp, line, strlen(line)), KV_OK);
    cr_assert_eq(kv_resp_feed(&resp, "\n", 1), KV_OK);
    cr_assert_eq(kv_resp_next(&resp, &argc, &argv), 1);
    kv_bytes_fini(&server->out);
    if (setjmp(server->world.out) == 0) {
        err = kv_command_execute(server->shards[0], NOW, 2, argc, argv, &server->out);
    } else {
        err = 1;
    }
    kv_resp_fini(&resp);
    return err;
}

/* Without memory at the k-th allocation: false if the command makes fewer. */
static bool starve(const struct change *change, size_t k)
{
    struct server server;
    bool reached;
    bool failed;
    const char *value;
    int err;

    one_shard(&server);
    server.world.fail_at = server.world.allocations + k;
    err = execute_line(&server, change->line);
    reached = server.world.allocations >= server.world.fail_at;
    server.world.fail_at = 0;
    failed = err == KV_ENOMEM || strncmp(server.out.data, "-OOM ", 5) == 0;
    cr_assert(err == KV_OK || (err == KV_ENOMEM && server.out.len == 0));
    cr_assert(reached || !failed);
    value = ask(&server, "GET a");
    cr_assert_str_eq(value, failed ? OLD : change->after, "%s without allocation %zu has %s",
        change->line, k, value);
    server_fini(&server);
    return reached;
}

Test(command, without_memory_a_command_says_so_and_changes_nothing)
{
    size_t starved = 0;
    size_t i;
    size_t k;

    for (i = 0; i < CHANGES; i++) {
        for (k = 1; starve(&changes[i], k); k++) {
            starved++;
        }
    }
    cr_assert_geq(starved, CHANGES + 5, "each output allocates, and so do some changes");
}

/* Abandons the command at its k-th step: false if it has fewer. */
static bool abandon(const struct change *change, size_t k)
{
    struct server server;
    const char *value;
    int err;

    one_shard(&server);
    server.world.abandon_at = server.world.steps + k;
    err = execute_line(&server, change->line);
    server.world.abandon_at = 0;
    kv_keyspace_recover(server.shards[0]);
    cr_assert_null(kv_keyspace_check(server.shards[0]));
    value = ask(&server, "GET a");
    cr_assert(strcmp(value, change->after) == 0 || (err == 1 && strcmp(value, OLD) == 0),
        "%s abandoned at %zu has %s", change->line, k, value);
    cr_assert_str_eq(ask(&server, "INCR a2"), ":1\r\n");
    server_fini(&server);
    return err == 1;
}

Test(command, an_abandoned_command_is_done_or_not_and_leaks_nothing)
{
    size_t abandoned = 0;
    size_t i;
    size_t k;

    for (i = 0; i < CHANGES; i++) {
        for (k = 1; abandon(&changes[i], k); k++) {
            abandoned++;
        }
    }
    cr_assert_geq(abandoned, 3 * CHANGES);
}

Test(command, an_output_without_room_for_the_value_says_so_and_keeps_it)
{
    struct server server;

    one_shard(&server);
    ask(&server, "SET a '" LONG_TEXT LONG_TEXT LONG_TEXT "'");
    server.out.max = 150;
    cr_assert_eq(execute_line(&server, "GETDEL a"), KV_OK);
    cr_assert_eq(strncmp(server.out.data, "-OOM ", 5), 0);
    cr_assert_eq(execute_line(&server, "SET a b GET"), KV_OK);
    cr_assert_eq(strncmp(server.out.data, "-OOM ", 5), 0);
    server.out.max = 0;
    cr_assert_str_eq(ask(&server, "STRLEN a"), ":240\r\n");
    server_fini(&server);
}

Test(command, above_its_maximum_a_shard_refuses_what_may_grow)
{
    static const char oom[] = "-OOM command not allowed when used memory > 'maxmemory'.\r\n";
    struct server server;

    one_shard(&server);
    kv_keyspace_limit(server.shards[0], 1);
    cr_assert_str_eq(ask(&server, "SET a 2"), oom);
    cr_assert_str_eq(ask(&server, "INCR a"), oom);
    cr_assert_str_eq(ask(&server, "GET a"), OLD);
    cr_assert_str_eq(ask(&server, "DEL a"), ":1\r\n");
    kv_keyspace_limit(server.shards[0], kv_keyspace_bytes(server.shards[0]) + 10);
    cr_assert_str_eq(ask(&server, "SET a 2"), oom);
    server_fini(&server);
}

Test(command, execute_refuses_what_is_missing)
{
    struct server server;
    struct kv_slice argv[] = {kv_slice_of("PING")};
    struct kv_bytes out;

    server_init(&server, 1);
    kv_bytes_init(&out, NULL, 0);
    cr_assert_eq(kv_command_execute(NULL, NOW, 2, 1, argv, &out), KV_EINVAL);
    cr_assert_eq(kv_command_execute(server.shards[0], NOW, 2, 0, argv, &out), KV_EINVAL);
    cr_assert_eq(kv_command_execute(server.shards[0], NOW, 2, 1, NULL, &out), KV_EINVAL);
    cr_assert_eq(kv_command_execute(server.shards[0], NOW, 2, 1, argv, NULL), KV_EINVAL);
    cr_assert_eq(kv_command_execute(server.shards[0], NOW, 2, 1, argv, &out), KV_OK);
    cr_assert_eq(strncmp(out.data, "-ERR this command is not", 20), 0);
    kv_bytes_fini(&out);
    server_fini(&server);
}

/* The caller's own. */

Test(command, info_has_the_sections_asked_for)
{
    struct kv_command_info info = {.version = "1", .shard_count = 4, .keys = {.count = 3}};
    struct kv_slice argv[] = {kv_slice_of("INFO"), kv_slice_of("keyspace"), kv_slice_of("CLIENTS")};
    static const char clients_and_keyspace[] =
        "$78\r\n# Clients\r\nconnected_clients:0\r\n\r\n"
        "# Keyspace\r\ndb0:keys=3,expires=0,avg_ttl=0\r\n\r\n";
    struct kv_bytes out;

    kv_bytes_init(&out, NULL, 0);
    cr_assert_eq(kv_command_put_info(&info, 2, 3, argv, &out), KV_OK);
    cr_assert_eq(out.len, strlen(clients_and_keyspace), "%.*s", (int)out.len, out.data);
    cr_assert_arr_eq(out.data, clients_and_keyspace, out.len);
    kv_bytes_clear(&out);
    cr_assert_eq(kv_command_put_info(&info, 3, 1, argv, &out), KV_OK);
    kv_bytes_append(&out, "", 1);
    cr_assert_eq(out.data[0], '=');
    cr_assert_not_null(strstr(out.data, "# Server\r\nredis_version:7.0.15\r\n"));
    cr_assert_not_null(strstr(out.data, "shards:4\r\n"));
    cr_assert_eq(kv_command_put_info(NULL, 2, 1, argv, &out), KV_EINVAL);
    kv_bytes_fini(&out);
}

Test(command, settings_of_the_caller_stand_before_the_defaults)
{
    struct kv_command_setting settings[] = {{"maxmemory", "100"}, {"save", "never"}};
    struct kv_slice argv[] = {kv_slice_of("CONFIG"), kv_slice_of("GET"), kv_slice_of("*")};
    static const char all[] = "*6\r\n$9\r\nmaxmemory\r\n$3\r\n100\r\n$4\r\nsave\r\n$5\r\nnever\r\n"
                              "$10\r\nappendonly\r\n$2\r\nno\r\n";
    struct kv_command_session session;
    struct kv_bytes out;

    kv_bytes_init(&out, NULL, 0);
    kv_command_session_init(&session, 1);
    cr_assert_eq(
        kv_command_answer(&session, settings, 2, kv_command_find(argv[0]), 3, argv, &out), KV_OK);
    cr_assert_eq(out.len, strlen(all), "%.*s", (int)out.len, out.data);
    cr_assert_arr_eq(out.data, all, out.len);
    out.max = out.len + 10;
    cr_assert_eq(kv_command_answer(&session, settings, 2, kv_command_find(argv[0]), 3, argv, &out),
        KV_EFULL);
    cr_assert_eq(out.len, strlen(all), "as it was");
    cr_assert_eq(
        kv_command_answer(&session, NULL, 0, kv_command_at(KV_COMMAND_INFO), 1, argv, &out),
        KV_EINVAL);
    kv_bytes_fini(&out);
}

Test(command, crash_names_a_connection_or_a_shard)
{
    struct kv_slice argv[] = {kv_slice_of("TROUPE.CRASH"), kv_slice_of("shard"), kv_slice_of("2")};
    struct kv_slice connection[] = {kv_slice_of("TROUPE.CRASH"), kv_slice_of("connection")};
    enum kv_command_crash target = KV_CRASH_CONNECTION;
    uint32_t shard = 9;
    struct kv_bytes out;

    kv_bytes_init(&out, NULL, 0);
    cr_assert_eq(kv_command_crash_target(3, argv, 3, &out, &target, &shard), KV_OK);
    cr_assert_eq(target, KV_CRASH_SHARD);
    cr_assert_eq(shard, 2);
    cr_assert_eq(kv_command_crash_target(2, connection, 3, &out, &target, &shard), KV_OK);
    cr_assert_eq(target, KV_CRASH_CONNECTION);
    cr_assert_eq(out.len, 0);
    cr_assert_eq(kv_command_crash_target(3, argv, 2, &out, &target, &shard), KV_EINVAL);
    cr_assert_eq(strncmp(out.data, "-ERR no such shard\r\n", 20), 0);
    kv_bytes_clear(&out);
    cr_assert_eq(kv_command_crash_target(2, argv, 2, &out, &target, &shard), KV_EINVAL);
    cr_assert_eq(strncmp(out.data, "-ERR syntax error\r\n", 19), 0);
    kv_bytes_fini(&out);
}
