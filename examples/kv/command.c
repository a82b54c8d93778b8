/* SPDX-License-Identifier: MIT */
/*
 * command.c - what each command of troupe-kv does, and who does it.
 *
 * In order: the table and looking it up; the shard's side, one function a command; spreading over
 * shards; the commands of a connection.
 *
 * A command on the shard's side changes keys only when its reply is certain: at least
 * REPLY_SMALL bytes are set aside in the output before it begins, which is enough for each
 * reply that a change can have, and a value that is given back is written before the change.
 * Nothing is allocated here, so a command that is abandoned leaves nothing behind.
 */
#include "command.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define REPLY_SMALL 128
#define ERROR_TEXT_MAX 384
#define UNKNOWN_SHOWN 128 /* bytes of an unknown command, and of its arguments, that are shown */
#define SCAN_COUNT 10
#define SCAN_COUNT_MAX 4096
#define REDIS_VERSION "7.0.15" /* whose replies these are */

static const char error_syntax[] = "ERR syntax error";
static const char error_integer[] = "ERR value is not an integer or out of range";
static const char error_name[] =
    "ERR Client names cannot contain spaces, newlines or special characters.";

/* The table, in alphabetical order: the index of a row is its id. */

static const struct kv_command commands[KV_COMMAND_COUNT] = {
    {
        .name = "append",
        .id = KV_COMMAND_APPEND,
        .where = KV_WHERE_KEY,
        .arity = 3,
        .flags = "write denyoom fast",
        .first_key = 1,
        .last_key = 1,
        .key_step = 1,
        .categories = "@write @string @fast",
        .key_flags = "RW insert",
        .summary = "Append a value to a key",
        .since = "2.0.0",
        .group = "string",
        .complexity = "O(1)",
    },
    {
        .name = "client",
        .id = KV_COMMAND_CLIENT,
        .where = KV_WHERE_CONNECTION,
        .arity = -2,
        .categories = "@slow",
        .summary = "A container for client connection commands",
        .since = "2.4.0",
        .group = "connection",
        .complexity = "Depends on subcommand",
    },
    {
        .name = "command",
        .id = KV_COMMAND_COMMAND,
        .where = KV_WHERE_CONNECTION,
        .arity = -1,
        .flags = "loading stale",
        .categories = "@slow @connection",
        .tips = "nondeterministic_output_order",
        .summary = "Get array of Redis command details",
        .since = "2.8.13",
        .group = "server",
        .complexity = "O(N) where N is the total number of Redis commands",
    },
    {
        .name = "config",
        .id = KV_COMMAND_CONFIG,
        .where = KV_WHERE_CONNECTION,
        .arity = -2,
        .categories = "@slow",
        .summary = "A container for server configuration commands",
        .since = "2.0.0",
        .group = "server",
        .complexity = "Depends on subcommand",
    },
    {
        .name = "dbsize",
        .id = KV_COMMAND_DBSIZE,
        .where = KV_WHERE_ALL,
        .arity = 1,
        .flags = "readonly fast",
        .categories = "@keyspace @read @fast",
        .tips = "request_policy:all_shards response_policy:agg_sum",
        .summary = "Return the number of keys in the selected database",
        .since = "1.0.0",
        .group = "server",
        .complexity = "O(1)",
    },
    {
        .name = "decr",
        .id = KV_COMMAND_DECR,
        .where = KV_WHERE_KEY,
        .arity = 2,
        .flags = "write denyoom fast",
        .first_key = 1,
        .last_key = 1,
        .key_step = 1,
        .categories = "@write @string @fast",
        .key_flags = "RW access update",
        .summary = "Decrement the integer value of a key by one",
        .since = "1.0.0",
        .group = "string",
        .complexity = "O(1)",
    },
    {
        .name = "decrby",
        .id = KV_COMMAND_DECRBY,
        .where = KV_WHERE_KEY,
        .arity = 3,
        .flags = "write denyoom fast",
        .first_key = 1,
        .last_key = 1,
        .key_step = 1,
        .categories = "@write @string @fast",
        .key_flags = "RW access update",
        .summary = "Decrement the integer value of a key by the given number",
        .since = "1.0.0",
        .group = "string",
        .complexity = "O(1)",
    },
    {
        .name = "del",
        .id = KV_COMMAND_DEL,
        .where = KV_WHERE_KEYS,
        .arity = -2,
        .flags = "write",
        .first_key = 1,
        .last_key = -1,
        .key_step = 1,
        .categories = "@keyspace @write @slow",
        .tips = "request_policy:multi_shard response_policy:agg_sum",
        .key_flags = "RM delete",
        .summary = "Delete a key",
        .since = "1.0.0",
        .group = "generic",
        .complexity = "O(N) where N is the number of keys that will be removed",
    },
    {
        .name = "echo",
        .id = KV_COMMAND_ECHO,
        .where = KV_WHERE_CONNECTION,
        .arity = 2,
        .flags = "loading stale fast",
        .categories = "@fast @connection",
        .summary = "Echo the given string",
        .since = "1.0.0",
        .group = "connection",
        .complexity = "O(1)",
    },
    {
        .name = "exists",
        .id = KV_COMMAND_EXISTS,
        .where = KV_WHERE_KEYS,
        .arity = -2,
        .flags = "readonly fast",
        .first_key = 1,
        .last_key = -1,
        .key_step = 1,
        .categories = "@keyspace @read @fast",
        .tips = "request_policy:multi_shard response_policy:agg_sum",
        .key_flags = "RO",
        .summary = "Determine if a key exists",
        .since = "1.0.0",
        .group = "generic",
        .complexity = "O(N) where N is the number of keys to check",
    },
    {
        .name = "expire",
        .id = KV_COMMAND_EXPIRE,
        .where = KV_WHERE_KEY,
        .arity = -3,
        .flags = "write fast",
        .first_key = 1,
        .last_key = 1,
        .key_step = 1,
        .categories = "@keyspace @write @fast",
        .key_flags = "RW update",
        .summary = "Set a key's time to live in seconds",
        .since = "1.0.0",
        .group = "generic",
        .complexity = "O(1)",
    },
    {
        .name = "flushall",
        .id = KV_COMMAND_FLUSHALL,
        .where = KV_WHERE_ALL,
        .arity = -1,
        .flags = "write",
        .categories = "@keyspace @write @slow @dangerous",
        .tips = "request_policy:all_shards response_policy:all_succeeded",
        .summary = "Remove all keys from all databases",
        .since = "1.0.0",
        .group = "server",
        .complexity = "O(N) where N is the total number of keys in all databases",
    },
    {
        .name = "get",
        .id = KV_COMMAND_GET,
        .where = KV_WHERE_KEY,
        .arity = 2,
        .flags = "readonly fast",
        .first_key = 1,
        .last_key = 1,
        .key_step = 1,
        .categories = "@read @string @fast",
        .key_flags = "RO access",
        .summary = "Get the value of a key",
        .since = "1.0.0",
        .group = "string",
        .complexity = "O(1)",
    },
    {
        .name = "getdel",
        .id = KV_COMMAND_GETDEL,
        .where = KV_WHERE_KEY,
        .arity = 2,
        .flags = "write fast",
        .first_key = 1,
        .last_key = 1,
        .key_step = 1,
        .categories = "@write @string @fast",
        .key_flags = "RW access delete",
        .summary = "Get the value of a key and delete the key",
        .since = "6.2.0",
        .group = "string",
        .complexity = "O(1)",
    },
    {
        .name = "hello",
        .id = KV_COMMAND_HELLO,
        .where = KV_WHERE_CONNECTION,
        .arity = -1,
        .flags = "noscript loading stale fast no_auth allow_busy",
        .categories = "@fast @connection",
        .summary = "Handshake with Redis",
        .since = "6.0.0",
        .group = "connection",
        .complexity = "O(1)",
    },
    {
        .name = "incr",
        .id = KV_COMMAND_INCR,
        .where = KV_WHERE_KEY,
        .arity = 2,
        .flags = "write denyoom fast",
        .first_key = 1,
        .last_key = 1,
        .key_step = 1,
        .categories = "@write @string @fast",
        .key_flags = "RW access update",
        .summary = "Increment the integer value of a key by one",
        .since = "1.0.0",
        .group = "string",
        .complexity = "O(1)",
    },
    {
        .name = "incrby",
        .id = KV_COMMAND_INCRBY,
        .where = KV_WHERE_KEY,
        .arity = 3,
        .flags = "write denyoom fast",
        .first_key = 1,
        .last_key = 1,
        .key_step = 1,
        .categories = "@write @string @fast",
        .key_flags = "RW access update",
        .summary = "Increment the integer value of a key by the given amount",
        .since = "1.0.0",
        .group = "string",
        .complexity = "O(1)",
    },
    {
        .name = "info",
        .id = KV_COMMAND_INFO,
        .where = KV_WHERE_CONNECTION,
        .arity = -1,
        .flags = "loading stale",
        .categories = "@slow @dangerous",
        .tips = "nondeterministic_output request_policy:all_shards response_policy:special",
        .summary = "Get information and statistics about the server",
        .since = "1.0.0",
        .group = "server",
        .complexity = "O(1)",
    },
    {
        .name = "mget",
        .id = KV_COMMAND_MGET,
        .where = KV_WHERE_KEYS,
        .arity = -2,
        .flags = "readonly fast",
        .first_key = 1,
        .last_key = -1,
        .key_step = 1,
        .categories = "@read @string @fast",
        .tips = "request_policy:multi_shard",
        .key_flags = "RO access",
        .summary = "Get the values of all the given keys",
        .since = "1.0.0",
        .group = "string",
        .complexity = "O(N) where N is the number of keys to retrieve",
    },
    {
        .name = "mset",
        .id = KV_COMMAND_MSET,
        .where = KV_WHERE_KEYS,
        .arity = -3,
        .flags = "write denyoom",
        .first_key = 1,
        .last_key = -1,
        .key_step = 2,
        .categories = "@write @string @slow",
        .tips = "request_policy:multi_shard response_policy:all_succeeded",
        .key_flags = "OW update",
        .summary = "Set multiple keys to multiple values",
        .since = "1.0.1",
        .group = "string",
        .complexity = "O(N) where N is the number of keys to set",
    },
    {
        .name = "persist",
        .id = KV_COMMAND_PERSIST,
        .where = KV_WHERE_KEY,
        .arity = 2,
        .flags = "write fast",
        .first_key = 1,
        .last_key = 1,
        .key_step = 1,
        .categories = "@keyspace @write @fast",
        .key_flags = "RW update",
        .summary = "Remove the expiration from a key",
        .since = "2.2.0",
        .group = "generic",
        .complexity = "O(1)",
    },
    {
        .name = "pexpire",
        .id = KV_COMMAND_PEXPIRE,
        .where = KV_WHERE_KEY,
        .arity = -3,
        .flags = "write fast",
        .first_key = 1,
        .last_key = 1,
        .key_step = 1,
        .categories = "@keyspace @write @fast",
        .key_flags = "RW update",
        .summary = "Set a key's time to live in milliseconds",
        .since = "2.6.0",
        .group = "generic",
        .complexity = "O(1)",
    },
    {
        .name = "ping",
        .id = KV_COMMAND_PING,
        .where = KV_WHERE_CONNECTION,
        .arity = -1,
        .flags = "fast",
        .categories = "@fast @connection",
        .tips = "request_policy:all_shards response_policy:all_succeeded",
        .summary = "Ping the server",
        .since = "1.0.0",
        .group = "connection",
        .complexity = "O(1)",
    },
    {
        .name = "pttl",
        .id = KV_COMMAND_PTTL,
        .where = KV_WHERE_KEY,
        .arity = 2,
        .flags = "readonly fast",
        .first_key = 1,
        .last_key = 1,
        .key_step = 1,
        .categories = "@keyspace @read @fast",
        .tips = "nondeterministic_output",
        .key_flags = "RO access",
        .summary = "Get the time to live for a key in milliseconds",
        .since = "2.6.0",
        .group = "generic",
        .complexity = "O(1)",
    },
    {
        .name = "quit",
        .id = KV_COMMAND_QUIT,
        .where = KV_WHERE_CONNECTION,
        .arity = -1,
        .flags = "noscript loading stale fast no_auth allow_busy",
        .categories = "@fast @connection",
        .summary = "Close the connection",
        .since = "1.0.0",
        .group = "connection",
        .complexity = "O(1)",
    },
    {
        .name = "scan",
        .id = KV_COMMAND_SCAN,
        .where = KV_WHERE_CURSOR,
        .arity = -2,
        .flags = "readonly",
        .categories = "@keyspace @read @slow",
        .tips = "nondeterministic_output request_policy:special",
        .summary = "Incrementally iterate the keys space",
        .since = "2.8.0",
        .group = "generic",
        .complexity = "O(1) for every call",
    },
    {
        .name = "set",
        .id = KV_COMMAND_SET,
        .where = KV_WHERE_KEY,
        .arity = -3,
        .flags = "write denyoom",
        .first_key = 1,
        .last_key = 1,
        .key_step = 1,
        .categories = "@write @string @slow",
        .key_flags = "RW access update variable_flags",
        .key_notes = "RW and ACCESS due to the optional `GET` argument",
        .summary = "Set the string value of a key",
        .since = "1.0.0",
        .group = "string",
        .complexity = "O(1)",
    },
    {
        .name = "setnx",
        .id = KV_COMMAND_SETNX,
        .where = KV_WHERE_KEY,
        .arity = 3,
        .flags = "write denyoom fast",
        .first_key = 1,
        .last_key = 1,
        .key_step = 1,
        .categories = "@write @string @fast",
        .key_flags = "OW insert",
        .summary = "Set the value of a key, only if the key does not exist",
        .since = "1.0.0",
        .group = "string",
        .complexity = "O(1)",
    },
    {
        .name = "strlen",
        .id = KV_COMMAND_STRLEN,
        .where = KV_WHERE_KEY,
        .arity = 2,
        .flags = "readonly fast",
        .first_key = 1,
        .last_key = 1,
        .key_step = 1,
        .categories = "@read @string @fast",
        .key_flags = "RO",
        .summary = "Get the length of the value stored in a key",
        .since = "2.2.0",
        .group = "string",
        .complexity = "O(1)",
    },
    {
        .name = "troupe.crash",
        .id = KV_COMMAND_TROUPE_CRASH,
        .where = KV_WHERE_CONNECTION,
        .arity = -2,
        .flags = "admin",
        .categories = "@admin @slow @dangerous",
        .tips = "nondeterministic_output",
        .summary = "Crashes an actor of the server, to see it recover.",
        .since = "0.1.0",
        .group = "server",
        .complexity = "O(1)",
    },
    {
        .name = "troupe.tree",
        .id = KV_COMMAND_TROUPE_TREE,
        .where = KV_WHERE_CONNECTION,
        .arity = 1,
        .flags = "admin",
        .categories = "@admin @slow",
        .tips = "nondeterministic_output",
        .summary = "Shows the supervision tree.",
        .since = "0.1.0",
        .group = "server",
        .complexity = "O(N) where N is the number of actors",
    },
    {
        .name = "ttl",
        .id = KV_COMMAND_TTL,
        .where = KV_WHERE_KEY,
        .arity = 2,
        .flags = "readonly fast",
        .first_key = 1,
        .last_key = 1,
        .key_step = 1,
        .categories = "@keyspace @read @fast",
        .tips = "nondeterministic_output",
        .key_flags = "RO access",
        .summary = "Get the time to live for a key in seconds",
        .since = "1.0.0",
        .group = "generic",
        .complexity = "O(1)",
    },
    {
        .name = "type",
        .id = KV_COMMAND_TYPE,
        .where = KV_WHERE_KEY,
        .arity = 2,
        .flags = "readonly fast",
        .first_key = 1,
        .last_key = 1,
        .key_step = 1,
        .categories = "@keyspace @read @fast",
        .key_flags = "RO",
        .summary = "Determine the type stored at key",
        .since = "1.0.0",
        .group = "generic",
        .complexity = "O(1)",
    },
};

/* Less, equal or greater than 0, as `name` sorts before, at or after the row's name. */
static int compare_name(struct kv_slice name, const char *other)
{
    size_t i;

    for (i = 0; i < name.len && other[i]; i++) {
        unsigned char byte = (unsigned char)name.data[i];
        /* As in the C locale, and without a call. */
        int difference = (byte >= 'A' && byte <= 'Z' ? byte | 32 : byte) - other[i];

        if (difference != 0) {
            return difference;
        }
    }
    return i < name.len ? 1 : -(int)(unsigned char)other[i];
}

const struct kv_command *kv_command_find(struct kv_slice name)
{
    size_t low = 0;
    size_t high = KV_COMMAND_COUNT;

    while (low < high) {
        size_t middle = (low + high) / 2;
        int order = compare_name(name, commands[middle].name);

        if (order == 0) {
            return &commands[middle];
        }
        if (order < 0) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return NULL;
}

const struct kv_command *kv_command_at(size_t index)
{
    return index < KV_COMMAND_COUNT ? &commands[index] : NULL;
}

/* Whether `word` is in a list of words separated by single blanks. */
static bool has_word(const char *list, const char *word)
{
    size_t len = strlen(word);
    const char *at = list;

    while (at && *at) {
        size_t word_len = strcspn(at, " ");

        if (word_len == len && memcmp(at, word, len) == 0) {
            return true;
        }
        at += word_len + (at[word_len] ? 1 : 0);
    }
    return false;
}

/* Bytes of a slice up to a NUL and up to `max`: what an error shows of it. */
static int shown(struct kv_slice slice, size_t max)
{
    return (int)(slice.len > 0 ? strnlen(slice.data, slice.len < max ? slice.len : max) : 0);
}

static void put_unknown(struct kv_bytes *out, size_t argc, const struct kv_slice *argv)
{
    char text[ERROR_TEXT_MAX];
    char arguments[UNKNOWN_SHOWN + 8] = "";
    size_t len = 0;
    size_t i;

    for (i = 1; i < argc && len < UNKNOWN_SHOWN; i++) {
        len += (size_t)snprintf(arguments + len, sizeof arguments - len, "'%.*s' ",
            shown(argv[i], UNKNOWN_SHOWN - len), argv[i].data ? argv[i].data : "");
    }
    snprintf(text, sizeof text, "ERR unknown command '%.*s', with args beginning with: %s",
        shown(argv[0], UNKNOWN_SHOWN), argv[0].data ? argv[0].data : "", arguments);
    kv_resp_put_error(out, text);
}

/* `name` is that of a command, or `command|subcommand`. */
static void put_wrong_number(struct kv_bytes *out, const char *name)
{
    char text[ERROR_TEXT_MAX];

    snprintf(text, sizeof text, "ERR wrong number of arguments for '%.100s' command", name);
    kv_resp_put_error(out, text);
}

static bool is_right_number(int arity, size_t argc)
{
    return arity >= 0 ? argc == (size_t)arity : argc >= (size_t)-arity;
}

/* Whether each key has what belongs to it: MSET wants pairs. */
static bool is_whole(const struct kv_command *command, size_t argc)
{
    return command->key_step < 2 || (argc - 1) % (size_t)command->key_step == 0;
}

const struct kv_command *kv_command_check(
    size_t argc, const struct kv_slice *argv, struct kv_bytes *out)
{
    const struct kv_command *command;

    if (argc == 0 || !argv || !out) {
        return NULL;
    }
    command = kv_command_find(argv[0]);
    if (!command) {
        put_unknown(out, argc, argv);
        return NULL;
    }
    if (!is_right_number(command->arity, argc) || !is_whole(command, argc)) {
        put_wrong_number(out, command->name);
        return NULL;
    }
    return command;
}

/* The shard's side. */

/* One command being executed. */
struct call {
    struct kv_keyspace *keyspace;
    int64_t now_ms;
    int protocol;
    const struct kv_command *command;
    size_t argc;
    const struct kv_slice *argv;
    struct kv_bytes *out;
    size_t mark; /* where the reply begins in `out` */
};

typedef void (*execute_fn)(struct call *call);

static const char *text_of(int err)
{
    switch (err) {
    case KV_EMAXMEMORY:
        return "OOM command not allowed when used memory > 'maxmemory'.";
    case KV_ENOTINT:
        return error_integer;
    case KV_EOVERFLOW:
        return "ERR increment or decrement would overflow";
    case KV_ETOOBIG:
        return "ERR string exceeds maximum allowed size (proto-max-bulk-len)";
    default:
        return "OOM out of memory, nothing was changed";
    }
}

/* Replaces whatever has been written of the reply by an error. */
static void fail(struct call *call, const char *text)
{
    call->out->len = call->mark;
    call->out->error = KV_OK;
    kv_resp_put_error(call->out, text);
}

static void fail_time(struct call *call)
{
    char text[REPLY_SMALL];

    snprintf(text, sizeof text, "ERR invalid expire time in '%s' command", call->command->name);
    fail(call, text);
}

static void put_null(struct call *call)
{
    kv_resp_put_null(call->out, call->protocol);
}

/* Appends a key's value, or null. */
static void put_value_of(struct call *call, struct kv_slice key)
{
    struct kv_keyspace_value value;

    if (kv_keyspace_get(call->keyspace, call->now_ms, key, &value) == KV_OK) {
        kv_resp_put_bulk(call->out, value.bytes);
    } else {
        put_null(call);
    }
}

static bool exists(struct call *call, struct kv_slice key)
{
    struct kv_keyspace_value value;

    return kv_keyspace_peek(call->keyspace, call->now_ms, key, &value) == KV_OK;
}

static void execute_get(struct call *call)
{
    put_value_of(call, call->argv[1]);
}

static void execute_getdel(struct call *call)
{
    put_value_of(call, call->argv[1]);
    if (call->out->error == KV_OK) {
        kv_keyspace_delete(call->keyspace, call->now_ms, call->argv[1]);
    }
}

/* The options of SET. */
enum {
    SET_NX = 1 << 0,
    SET_XX = 1 << 1,
    SET_GET = 1 << 2,
    SET_KEEPTTL = 1 << 3,
    SET_EX = 1 << 4,
    SET_PX = 1 << 5,
    SET_EXAT = 1 << 6,
    SET_PXAT = 1 << 7,
    SET_TIME = SET_EX | SET_PX | SET_EXAT | SET_PXAT,
};

/* An option, what it cannot stand beside, and whether a time follows. */
struct set_option {
    const char *name;
    unsigned flag;
    unsigned excludes;
    bool has_time;
};

static const struct set_option set_options[] = {
    {"NX", SET_NX, SET_XX, false},
    {"XX", SET_XX, SET_NX, false},
    {"GET", SET_GET, 0, false},
    {"KEEPTTL", SET_KEEPTTL, SET_TIME, false},
    {"EX", SET_EX, SET_KEEPTTL | (SET_TIME & ~SET_EX), true},
    {"PX", SET_PX, SET_KEEPTTL | (SET_TIME & ~SET_PX), true},
    {"EXAT", SET_EXAT, SET_KEEPTTL | (SET_TIME & ~SET_EXAT), true},
    {"PXAT", SET_PXAT, SET_KEEPTTL | (SET_TIME & ~SET_PXAT), true},
};

static const struct set_option *find_set_option(struct kv_slice word)
{
    size_t i;

    for (i = 0; i < sizeof set_options / sizeof set_options[0]; i++) {
        if (kv_slice_is(word, set_options[i].name)) {
            return &set_options[i];
        }
    }
    return NULL;
}

/* Reads the options; `*out_time` is the argument with the time, or untouched.  False: answered. */
static bool read_set_options(struct call *call, unsigned *out_flags, struct kv_slice *out_time)
{
    unsigned flags = 0;
    size_t i;

    for (i = 3; i < call->argc; i++) {
        const struct set_option *option = find_set_option(call->argv[i]);

        if (!option || flags & option->excludes || (option->has_time && i + 1 == call->argc)) {
            fail(call, error_syntax);
            return false;
        }
        flags |= option->flag;
        if (option->has_time) {
            *out_time = call->argv[++i];
        }
    }
    *out_flags = flags;
    return true;
}

/* The time at which the value of a SET expires.  False: answered. */
static bool read_set_time(
    struct call *call, unsigned flags, struct kv_slice text, int64_t *out_expire_ms)
{
    int64_t time;

    if (kv_slice_integer(text, &time)) {
        fail(call, error_integer);
        return false;
    }
    if (time <= 0 || (flags & (SET_EX | SET_EXAT) && time > INT64_MAX / 1000)) {
        fail_time(call);
        return false;
    }
    time *= (flags & (SET_EX | SET_EXAT)) ? 1000 : 1;
    if (flags & (SET_EX | SET_PX) && time > INT64_MAX - call->now_ms) {
        fail_time(call);
        return false;
    }
    time += (flags & (SET_EX | SET_PX)) ? call->now_ms : 0;
    *out_expire_ms = time < KV_NEVER ? time : KV_NEVER - 1;
    return true;
}

static void set_and_answer(struct call *call, unsigned flags, int64_t expire_ms)
{
    int err =
        kv_keyspace_set(call->keyspace, call->now_ms, call->argv[1], call->argv[2], expire_ms);

    if (err) {
        fail(call, text_of(err));
    } else if (!(flags & SET_GET)) {
        kv_resp_put_simple(call->out, "OK");
    }
}

static void execute_set(struct call *call)
{
    struct kv_keyspace_value old = {{NULL, 0}, KV_NEVER};
    struct kv_slice time = {NULL, 0};
    int64_t expire_ms = KV_NEVER;
    unsigned flags = 0;
    bool found;

    if (!read_set_options(call, &flags, &time) ||
        (flags & SET_TIME && !read_set_time(call, flags, time, &expire_ms))) {
        return;
    }
    if (flags == 0) {
        set_and_answer(call, flags, KV_NEVER);
        return;
    }
    if (flags & SET_GET) {
        put_value_of(call, call->argv[1]);
    }
    found = kv_keyspace_peek(call->keyspace, call->now_ms, call->argv[1], &old) == KV_OK;
    if (call->out->error || (flags & SET_NX && found) || (flags & SET_XX && !found)) {
        if (!(flags & SET_GET)) {
            put_null(call);
        }
        return;
    }
    set_and_answer(call, flags, flags & SET_KEEPTTL ? old.expire_ms : expire_ms);
}

static void execute_setnx(struct call *call)
{
    int err;

    if (exists(call, call->argv[1])) {
        kv_resp_put_integer(call->out, 0);
        return;
    }
    err = kv_keyspace_set(call->keyspace, call->now_ms, call->argv[1], call->argv[2], KV_NEVER);
    if (err) {
        fail(call, text_of(err));
        return;
    }
    kv_resp_put_integer(call->out, 1);
}

static void execute_mset(struct call *call)
{
    size_t i;

    for (i = 1; i < call->argc; i += 2) {
        int err = kv_keyspace_prepare(call->keyspace, call->argv[i], call->argv[i + 1], KV_NEVER);

        if (err) {
            kv_keyspace_discard(call->keyspace);
            fail(call, text_of(err));
            return;
        }
    }
    kv_keyspace_commit(call->keyspace, call->now_ms);
    kv_resp_put_simple(call->out, "OK");
}

static void execute_mget(struct call *call)
{
    size_t i;

    kv_resp_put_array(call->out, call->argc - 1);
    for (i = 1; i < call->argc && call->out->error == KV_OK; i++) {
        put_value_of(call, call->argv[i]);
    }
}

static void execute_del(struct call *call)
{
    int64_t count = 0;
    size_t i;

    for (i = 1; i < call->argc; i++) {
        count += kv_keyspace_delete(call->keyspace, call->now_ms, call->argv[i]);
    }
    kv_resp_put_integer(call->out, count);
}

static void execute_exists(struct call *call)
{
    int64_t count = 0;
    size_t i;

    for (i = 1; i < call->argc; i++) {
        count += exists(call, call->argv[i]) ? 1 : 0;
    }
    kv_resp_put_integer(call->out, count);
}

static void add_and_answer(struct call *call, int64_t delta)
{
    int64_t sum = 0;
    int err = kv_keyspace_add(call->keyspace, call->now_ms, call->argv[1], delta, &sum);

    if (err) {
        fail(call, text_of(err));
        return;
    }
    kv_resp_put_integer(call->out, sum);
}

static void execute_incr(struct call *call)
{
    add_and_answer(call, 1);
}

static void execute_decr(struct call *call)
{
    add_and_answer(call, -1);
}

static void execute_incrby(struct call *call)
{
    int64_t delta = 0;

    if (kv_slice_integer(call->argv[2], &delta)) {
        fail(call, error_integer);
        return;
    }
    add_and_answer(call, delta);
}

static void execute_decrby(struct call *call)
{
    int64_t delta = 0;

    if (kv_slice_integer(call->argv[2], &delta)) {
        fail(call, error_integer);
        return;
    }
    if (delta == INT64_MIN) {
        fail(call, "ERR decrement would overflow");
        return;
    }
    add_and_answer(call, -delta);
}

static void execute_append(struct call *call)
{
    size_t len = 0;
    int err = kv_keyspace_append(call->keyspace, call->now_ms, call->argv[1], call->argv[2], &len);

    if (err) {
        fail(call, text_of(err));
        return;
    }
    kv_resp_put_integer(call->out, (int64_t)len);
}

static void execute_strlen(struct call *call)
{
    struct kv_keyspace_value value = {{NULL, 0}, KV_NEVER};

    kv_keyspace_get(call->keyspace, call->now_ms, call->argv[1], &value);
    kv_resp_put_integer(call->out, (int64_t)value.bytes.len);
}

/* The conditions of EXPIRE. */
enum {
    EXPIRE_NX = 1 << 0,
    EXPIRE_XX = 1 << 1,
    EXPIRE_GT = 1 << 2,
    EXPIRE_LT = 1 << 3,
};

/* False: answered. */
static bool read_expire_options(struct call *call, unsigned *out_flags)
{
    static const char *const names[] = {"NX", "XX", "GT", "LT"};
    char text[ERROR_TEXT_MAX];
    unsigned flags = 0;
    size_t i;
    size_t k;

    for (i = 3; i < call->argc; i++) {
        for (k = 0; k < 4 && !kv_slice_is(call->argv[i], names[k]); k++) {
        }
        if (k == 4) {
            snprintf(text, sizeof text, "ERR Unsupported option %.*s",
                shown(call->argv[i], UNKNOWN_SHOWN), call->argv[i].data);
            fail(call, text);
            return false;
        }
        flags |= 1U << k;
    }
    if (flags & EXPIRE_NX && flags & ~(unsigned)EXPIRE_NX) {
        fail(call, "ERR NX and XX, GT or LT options at the same time are not compatible");
        return false;
    }
    if (flags & EXPIRE_GT && flags & EXPIRE_LT) {
        fail(call, "ERR GT and LT options at the same time are not compatible");
        return false;
    }
    *out_flags = flags;
    return true;
}

/* The time at which a key is to expire, the argument being in units of `unit_ms`. */
static bool read_expire_time(struct call *call, int64_t unit_ms, int64_t *out_expire_ms)
{
    int64_t time;

    if (kv_slice_integer(call->argv[2], &time)) {
        fail(call, error_integer);
        return false;
    }
    if (time > INT64_MAX / unit_ms || time < INT64_MIN / unit_ms ||
        time * unit_ms > INT64_MAX - call->now_ms) {
        fail_time(call);
        return false;
    }
    time = time * unit_ms + call->now_ms;
    *out_expire_ms = time < KV_NEVER ? time : KV_NEVER - 1;
    return true;
}

/* Whether the conditions allow to replace one expiry by another; none is the latest. */
static bool may_expire(unsigned flags, int64_t old_ms, int64_t new_ms)
{
    return !((flags & EXPIRE_NX && old_ms != KV_NEVER) ||
             (flags & EXPIRE_XX && old_ms == KV_NEVER) || (flags & EXPIRE_GT && new_ms <= old_ms) ||
             (flags & EXPIRE_LT && new_ms >= old_ms));
}

static void expire_and_answer(struct call *call, int64_t unit_ms)
{
    struct kv_keyspace_value value;
    int64_t expire_ms = 0;
    unsigned flags = 0;

    if (!read_expire_options(call, &flags) || !read_expire_time(call, unit_ms, &expire_ms)) {
        return;
    }
    if (kv_keyspace_peek(call->keyspace, call->now_ms, call->argv[1], &value) ||
        !may_expire(flags, value.expire_ms, expire_ms)) {
        kv_resp_put_integer(call->out, 0);
        return;
    }
    kv_keyspace_expire(call->keyspace, call->now_ms, call->argv[1], expire_ms);
    kv_resp_put_integer(call->out, 1);
}

static void execute_expire(struct call *call)
{
    expire_and_answer(call, 1000);
}

static void execute_pexpire(struct call *call)
{
    expire_and_answer(call, 1);
}

/* The rest of a key's life in units of `unit_ms`, rounded; -1 if it has no end, -2 without key. */
static void put_rest(struct call *call, int64_t unit_ms)
{
    struct kv_keyspace_value value;
    int64_t rest_ms;

    if (kv_keyspace_get(call->keyspace, call->now_ms, call->argv[1], &value)) {
        kv_resp_put_integer(call->out, -2);
        return;
    }
    if (value.expire_ms == KV_NEVER) {
        kv_resp_put_integer(call->out, -1);
        return;
    }
    rest_ms = value.expire_ms - call->now_ms;
    kv_resp_put_integer(
        call->out, rest_ms / unit_ms + (rest_ms % unit_ms * 2 >= unit_ms && unit_ms > 1 ? 1 : 0));
}

static void execute_ttl(struct call *call)
{
    put_rest(call, 1000);
}

static void execute_pttl(struct call *call)
{
    put_rest(call, 1);
}

static void execute_persist(struct call *call)
{
    struct kv_keyspace_value value;

    if (kv_keyspace_peek(call->keyspace, call->now_ms, call->argv[1], &value) ||
        value.expire_ms == KV_NEVER) {
        kv_resp_put_integer(call->out, 0);
        return;
    }
    kv_keyspace_expire(call->keyspace, call->now_ms, call->argv[1], KV_NEVER);
    kv_resp_put_integer(call->out, 1);
}

static void execute_type(struct call *call)
{
    kv_resp_put_simple(call->out, exists(call, call->argv[1]) ? "string" : "none");
}

static void execute_dbsize(struct call *call)
{
    kv_resp_put_integer(call->out, (int64_t)kv_keyspace_count(call->keyspace));
}

static void execute_flushall(struct call *call)
{
    bool known = call->argc == 1 || (call->argc == 2 && (kv_slice_is(call->argv[1], "SYNC") ||
                                                            kv_slice_is(call->argv[1], "ASYNC")));

    if (!known) {
        fail(call, error_syntax);
        return;
    }
    kv_keyspace_flush(call->keyspace);
    kv_resp_put_simple(call->out, "OK");
}

/* A position in a pattern and in the text that it is compared with. */
struct match {
    const char *pattern;
    const char *pattern_end;
    bool without_case; /* of letters */
};

static int fold(const struct match *match, char byte)
{
    return match->without_case ? tolower((unsigned char)byte) : (unsigned char)byte;
}

/* A set in brackets, `pattern` being after the opening one: whether it has `byte`. */
static bool take_set(struct match *match, char byte)
{
    const char *at = match->pattern;
    const char *end = match->pattern_end;
    bool negated = at < end && *at == '^';
    bool found = false;
    int c = fold(match, byte);

    for (at += negated ? 1 : 0; at < end && *at != ']'; at++) {
        int low;
        int high;

        if (*at == '\\' && end - at >= 2) {
            at++;
            found = found || *at == byte;
            continue;
        }
        low = high = fold(match, *at);
        if (end - at >= 3 && at[1] == '-') {
            at += 2;
            high = fold(match, *at);
        }
        found = found || (c >= low && c <= high) || (c >= high && c <= low);
    }
    match->pattern = at < end ? at + 1 : at;
    return found != negated;
}

/* One item of the pattern that is no star: whether it agrees with `byte`. */
static bool take_item(struct match *match, char byte)
{
    char item = *match->pattern++;

    if (item == '?') {
        return true;
    }
    if (item == '[') {
        return take_set(match, byte);
    }
    if (item == '\\' && match->pattern < match->pattern_end) {
        item = *match->pattern++;
    }
    return fold(match, item) == fold(match, byte);
}

/*
 * Whether `text` is matched by a glob pattern as Redis has it.  Only the last star is ever tried
 * again, so the time is O(pattern * text), whatever the pattern is.
 */
static bool is_match(struct kv_slice pattern, struct kv_slice text, bool without_case)
{
    const char *first = pattern.data ? pattern.data : "";
    struct match match = {first, first + pattern.len, without_case};
    const char *at = text.data;
    const char *end = text.data + text.len;
    const char *star = NULL; /* in the pattern, after the last star */
    const char *from = NULL; /* where in the text the rest after the star is tried */

    while (at < end) {
        if (match.pattern < match.pattern_end && *match.pattern == '*') {
            star = ++match.pattern;
            from = at;
        } else if (match.pattern < match.pattern_end && take_item(&match, *at)) {
            at++;
        } else if (star) {
            match.pattern = star;
            at = ++from;
        } else {
            return false;
        }
    }
    while (match.pattern < match.pattern_end && *match.pattern == '*') {
        match.pattern++;
    }
    return match.pattern == match.pattern_end;
}

/* A SCAN: what it asks for, and what it has found. */
struct scan {
    struct kv_bytes *out;
    struct kv_slice pattern;
    bool has_pattern;
    bool wants_strings; /* false: a type was named that no key has */
    int64_t count;
    size_t found;
};

static void scan_visit(void *ctx, struct kv_slice key, const struct kv_keyspace_value *value)
{
    struct scan *scan = ctx;

    (void)value;
    if (scan->wants_strings && (!scan->has_pattern || is_match(scan->pattern, key, false))) {
        kv_resp_put_bulk(scan->out, key);
        scan->found++;
    }
}

/* False: answered. */
static bool read_scan_options(struct call *call, struct scan *scan)
{
    size_t i;

    for (i = 2; i < call->argc; i += 2) {
        struct kv_slice value = {NULL, 0};
        bool has_value = i + 1 < call->argc;

        if (has_value) {
            value = call->argv[i + 1];
        }
        if (has_value && kv_slice_is(call->argv[i], "COUNT")) {
            if (kv_slice_integer(value, &scan->count)) {
                fail(call, error_integer);
                return false;
            }
        } else if (has_value && kv_slice_is(call->argv[i], "MATCH")) {
            scan->pattern = value;
            scan->has_pattern = true;
        } else if (has_value && kv_slice_is(call->argv[i], "TYPE")) {
            scan->wants_strings = kv_slice_is(value, "string");
        } else {
            fail(call, error_syntax);
            return false;
        }
        if (scan->count < 1) {
            fail(call, error_syntax);
            return false;
        }
    }
    return true;
}

/* Digits only, all 64 bits; nothing is 0, as for Redis. */
static bool read_cursor(struct kv_slice text, uint64_t *out_cursor)
{
    uint64_t cursor = 0;
    size_t i;

    for (i = 0; i < text.len; i++) {
        unsigned digit = (unsigned)(unsigned char)text.data[i] - '0';

        if (digit > 9 || cursor > (UINT64_MAX - digit) / 10) {
            return false;
        }
        cursor = cursor * 10 + digit;
    }
    *out_cursor = cursor;
    return true;
}

/* Appends what comes before the keys of a SCAN's reply. */
static void put_scan_header(struct kv_bytes *out, uint64_t cursor, size_t found)
{
    char text[24];

    snprintf(text, sizeof text, "%" PRIu64, cursor);
    kv_resp_put_array(out, 2);
    kv_resp_put_text(out, text);
    kv_resp_put_array(out, found);
}

/* The header is known last: it is written behind the keys and then put before them. */
static void put_scan_reply(struct call *call, uint64_t cursor, size_t found)
{
    struct kv_bytes *out = call->out;
    size_t keys_len = out->len - call->mark;
    char header[64];
    size_t header_len;

    put_scan_header(out, cursor, found);
    if (out->error) {
        return;
    }
    header_len = out->len - call->mark - keys_len;
    memcpy(header, out->data + call->mark + keys_len, header_len);
    memmove(out->data + call->mark + header_len, out->data + call->mark, keys_len);
    memcpy(out->data + call->mark, header, header_len);
}

static void execute_scan(struct call *call)
{
    struct scan scan = {.out = call->out, .count = SCAN_COUNT, .wants_strings = true};
    uint64_t cursor = 0;
    int64_t steps;

    if (!read_cursor(call->argv[1], &cursor)) {
        fail(call, "ERR invalid cursor");
        return;
    }
    if (!read_scan_options(call, &scan)) {
        return;
    }
    if (scan.count > SCAN_COUNT_MAX) {
        scan.count = SCAN_COUNT_MAX;
    }
    steps = scan.count * 10;
    do {
        cursor = kv_keyspace_scan(call->keyspace, call->now_ms, cursor, scan_visit, &scan);
        steps--;
    } while (cursor != 0 && steps > 0 && scan.found < (size_t)scan.count);
    put_scan_reply(call, cursor, scan.found);
}

static const execute_fn executors[KV_COMMAND_COUNT] = {
    [KV_COMMAND_APPEND] = execute_append,
    [KV_COMMAND_DBSIZE] = execute_dbsize,
    [KV_COMMAND_DECR] = execute_decr,
    [KV_COMMAND_DECRBY] = execute_decrby,
    [KV_COMMAND_DEL] = execute_del,
    [KV_COMMAND_EXISTS] = execute_exists,
    [KV_COMMAND_EXPIRE] = execute_expire,
    [KV_COMMAND_FLUSHALL] = execute_flushall,
    [KV_COMMAND_GET] = execute_get,
    [KV_COMMAND_GETDEL] = execute_getdel,
    [KV_COMMAND_INCR] = execute_incr,
    [KV_COMMAND_INCRBY] = execute_incrby,
    [KV_COMMAND_MGET] = execute_mget,
    [KV_COMMAND_MSET] = execute_mset,
    [KV_COMMAND_PERSIST] = execute_persist,
    [KV_COMMAND_PEXPIRE] = execute_pexpire,
    [KV_COMMAND_PTTL] = execute_pttl,
    [KV_COMMAND_SCAN] = execute_scan,
    [KV_COMMAND_SET] = execute_set,
    [KV_COMMAND_SETNX] = execute_setnx,
    [KV_COMMAND_STRLEN] = execute_strlen,
    [KV_COMMAND_TTL] = execute_ttl,
    [KV_COMMAND_TYPE] = execute_type,
};

/* Executes a command that was found; the reply may have failed. */
static void execute(struct call *call)
{
    execute_fn executor = executors[call->command->id];

    if (!executor) {
        fail(call, "ERR this command is not executed by a shard");
    } else if (has_word(call->command->flags, "denyoom") && kv_keyspace_full(call->keyspace)) {
        fail(call, text_of(KV_EMAXMEMORY));
    } else {
        executor(call);
    }
}

int kv_command_execute(struct kv_keyspace *keyspace, int64_t now_ms, int protocol, size_t argc,
    const struct kv_slice *argv, struct kv_bytes *out)
{
    struct call call = {keyspace, now_ms, protocol, NULL, argc, argv, out, 0};
    int err;

    if (!keyspace || argc == 0 || !argv || !out || now_ms < 0) {
        return KV_EINVAL;
    }
    err = out->error ? out->error : kv_bytes_reserve(out, REPLY_SMALL);
    if (err) {
        return err;
    }
    call.mark = out->len;
    call.command = kv_command_check(argc, argv, out);
    if (call.command) {
        execute(&call);
    }
    if (out->error) {
        fail(&call, text_of(KV_ENOMEM));
    }
    return KV_OK;
}

/* One block for a command. */

size_t kv_command_pack_size(size_t argc, const struct kv_slice *argv)
{
    size_t size = sizeof(struct kv_command_packed) + argc * sizeof *argv;
    size_t i;

    for (i = 0; i < argc; i++) {
        size += argv[i].len;
    }
    return size;
}

void kv_command_pack(size_t argc, const struct kv_slice *argv, struct kv_command_packed *out_packed)
{
    char *bytes = (char *)&out_packed->argv[argc];
    size_t i;

    out_packed->argc = argc;
    for (i = 0; i < argc; i++) {
        if (argv[i].len > 0) {
            memcpy(bytes, argv[i].data, argv[i].len);
        }
        out_packed->argv[i] = (struct kv_slice){bytes, argv[i].len};
        bytes += argv[i].len;
    }
}

/* Spreading over shards. */

/* CRC16 of XMODEM, a byte at a time. */
static uint16_t crc16(const char *bytes, size_t len)
{
    static const uint16_t table[256] = {0x0000, 0x1021, 0x2042, 0x3063, 0x4084, 0x50a5, 0x60c6,
        0x70e7, 0x8108, 0x9129, 0xa14a, 0xb16b, 0xc18c, 0xd1ad, 0xe1ce, 0xf1ef, 0x1231, 0x0210,
        0x3273, 0x2252, 0x52b5, 0x4294, 0x72f7, 0x62d6, 0x9339, 0x8318, 0xb37b, 0xa35a, 0xd3bd,
        0xc39c, 0xf3ff, 0xe3de, 0x2462, 0x3443, 0x0420, 0x1401, 0x64e6, 0x74c7, 0x44a4, 0x5485,
        0xa56a, 0xb54b, 0x8528, 0x9509, 0xe5ee, 0xf5cf, 0xc5ac, 0xd58d, 0x3653, 0x2672, 0x1611,
        0x0630, 0x76d7, 0x66f6, 0x5695, 0x46b4, 0xb75b, 0xa77a, 0x9719, 0x8738, 0xf7df, 0xe7fe,
        0xd79d, 0xc7bc, 0x48c4, 0x58e5, 0x6886, 0x78a7, 0x0840, 0x1861, 0x2802, 0x3823, 0xc9cc,
        0xd9ed, 0xe98e, 0xf9af, 0x8948, 0x9969, 0xa90a, 0xb92b, 0x5af5, 0x4ad4, 0x7ab7, 0x6a96,
        0x1a71, 0x0a50, 0x3a33, 0x2a12, 0xdbfd, 0xcbdc, 0xfbbf, 0xeb9e, 0x9b79, 0x8b58, 0xbb3b,
        0xab1a, 0x6ca6, 0x7c87, 0x4ce4, 0x5cc5, 0x2c22, 0x3c03, 0x0c60, 0x1c41, 0xedae, 0xfd8f,
        0xcdec, 0xddcd, 0xad2a, 0xbd0b, 0x8d68, 0x9d49, 0x7e97, 0x6eb6, 0x5ed5, 0x4ef4, 0x3e13,
        0x2e32, 0x1e51, 0x0e70, 0xff9f, 0xefbe, 0xdfdd, 0xcffc, 0xbf1b, 0xaf3a, 0x9f59, 0x8f78,
        0x9188, 0x81a9, 0xb1ca, 0xa1eb, 0xd10c, 0xc12d, 0xf14e, 0xe16f, 0x1080, 0x00a1, 0x30c2,
        0x20e3, 0x5004, 0x4025, 0x7046, 0x6067, 0x83b9, 0x9398, 0xa3fb, 0xb3da, 0xc33d, 0xd31c,
        0xe37f, 0xf35e, 0x02b1, 0x1290, 0x22f3, 0x32d2, 0x4235, 0x5214, 0x6277, 0x7256, 0xb5ea,
        0xa5cb, 0x95a8, 0x8589, 0xf56e, 0xe54f, 0xd52c, 0xc50d, 0x34e2, 0x24c3, 0x14a0, 0x0481,
        0x7466, 0x6447, 0x5424, 0x4405, 0xa7db, 0xb7fa, 0x8799, 0x97b8, 0xe75f, 0xf77e, 0xc71d,
        0xd73c, 0x26d3, 0x36f2, 0x0691, 0x16b0, 0x6657, 0x7676, 0x4615, 0x5634, 0xd94c, 0xc96d,
        0xf90e, 0xe92f, 0x99c8, 0x89e9, 0xb98a, 0xa9ab, 0x5844, 0x4865, 0x7806, 0x6827, 0x18c0,
        0x08e1, 0x3882, 0x28a3, 0xcb7d, 0xdb5c, 0xeb3f, 0xfb1e, 0x8bf9, 0x9bd8, 0xabbb, 0xbb9a,
        0x4a75, 0x5a54, 0x6a37, 0x7a16, 0x0af1, 0x1ad0, 0x2ab3, 0x3a92, 0xfd2e, 0xed0f, 0xdd6c,
        0xcd4d, 0xbdaa, 0xad8b, 0x9de8, 0x8dc9, 0x7c26, 0x6c07, 0x5c64, 0x4c45, 0x3ca2, 0x2c83,
        0x1ce0, 0x0cc1, 0xef1f, 0xff3e, 0xcf5d, 0xdf7c, 0xaf9b, 0xbfba, 0x8fd9, 0x9ff8, 0x6e17,
        0x7e36, 0x4e55, 0x5e74, 0x2e93, 0x3eb2, 0x0ed1, 0x1ef0};
    uint16_t crc = 0;
    size_t i;

    for (i = 0; i < len; i++) {
        crc = (uint16_t)(crc << 8 ^ table[crc >> 8 ^ (unsigned char)bytes[i]]);
    }
    return crc;
}

/* What decides about a key's shard: what stands in its first braces, if that is anything. */
static struct kv_slice tag_of(struct kv_slice key)
{
    const char *open = key.len > 0 ? memchr(key.data, '{', key.len) : NULL;
    const char *close;

    if (!open) {
        return key;
    }
    close = memchr(open, '}', key.len - (size_t)(open - key.data));
    if (!close || close == open + 1) {
        return key;
    }
    return (struct kv_slice){open + 1, (size_t)(close - open) - 1};
}

uint32_t kv_command_shard(struct kv_slice key, uint32_t shard_count)
{
    struct kv_slice tag;

    if (shard_count < 2) {
        return 0;
    }
    tag = tag_of(key);
    return (crc16(tag.data, tag.len) & 16383U) % shard_count;
}

/* The command goes to one shard as it is. */
static int split_none(
    struct kv_command_split *split, uint32_t shard, size_t argc, const struct kv_slice *argv)
{
    split->one = (struct kv_command_part){shard, argc, argv};
    split->parts = &split->one;
    split->part_count = 1;
    return KV_OK;
}

/* The command goes to all shards as it is. */
static int split_all(struct kv_command_split *split, size_t argc, const struct kv_slice *argv)
{
    uint32_t shard;

    split->block = kv_memory_allocate(split->memory, split->shard_count * sizeof *split->parts);
    if (!split->block) {
        return KV_ENOMEM;
    }
    split->parts = split->block;
    split->part_count = split->shard_count;
    for (shard = 0; shard < split->shard_count; shard++) {
        split->parts[shard] = (struct kv_command_part){shard, argc, argv};
    }
    return KV_OK;
}

/* The command goes to the shard that its cursor names, with the cursor that this shard knows. */
static int split_cursor(struct kv_command_split *split, size_t argc, const struct kv_slice *argv)
{
    struct kv_slice *copy;
    char *text;
    uint64_t cursor = 0;
    int len;

    if (!read_cursor(argv[1], &cursor)) {
        return split_none(split, 0, argc, argv); /* that shard will say what is wrong */
    }
    split->block = kv_memory_allocate(split->memory, argc * sizeof *copy + KV_CURSOR_TEXT_MAX);
    if (!split->block) {
        return KV_ENOMEM;
    }
    copy = split->block;
    text = (char *)(copy + argc);
    memcpy(copy, argv, argc * sizeof *copy);
    len = snprintf(text, KV_CURSOR_TEXT_MAX, "%" PRIu64, cursor / split->shard_count);
    copy[1] = (struct kv_slice){text, (size_t)len};
    return split_none(split, (uint32_t)(cursor % split->shard_count), argc, copy);
}

/* Carves the block of a command of many keys. */
static int allocate_parts(struct kv_command_split *split, size_t slice_count,
    struct kv_slice **out_slices, uint32_t **out_shard_part)
{
    size_t part_max = split->shard_count < split->key_count ? split->shard_count : split->key_count;
    size_t bytes = slice_count * sizeof(struct kv_slice) + part_max * sizeof *split->parts +
                   part_max * sizeof *split->reply_at +
                   (split->key_count + split->shard_count) * sizeof(uint32_t);

    split->block = kv_memory_allocate(split->memory, bytes);
    if (!split->block) {
        return KV_ENOMEM;
    }
    *out_slices = split->block;
    split->parts = (struct kv_command_part *)(*out_slices + slice_count);
    split->reply_at = (size_t *)(split->parts + part_max);
    split->key_part = (uint32_t *)(split->reply_at + part_max);
    *out_shard_part = split->key_part + split->key_count;
    return KV_OK;
}

/* Finds each key's shard, and how many keys each shard has. */
static void count_keys(
    struct kv_command_split *split, const struct kv_slice *argv, size_t step, uint32_t *out_counts)
{
    size_t i;

    memset(out_counts, 0, split->shard_count * sizeof *out_counts);
    for (i = 0; i < split->key_count; i++) {
        uint32_t shard = kv_command_shard(argv[1 + i * step], split->shard_count);

        split->key_part[i] = shard;
        out_counts[shard]++;
    }
}

/* Makes a part of each shard that has keys, and replaces the shard's count by the part's index. */
static void open_parts(struct kv_command_split *split, struct kv_slice name, size_t step,
    struct kv_slice *slices, uint32_t *shard_part)
{
    uint32_t shard;

    for (shard = 0; shard < split->shard_count; shard++) {
        size_t count = shard_part[shard];

        if (count > 0) {
            slices[0] = name;
            shard_part[shard] = (uint32_t)split->part_count;
            split->parts[split->part_count++] = (struct kv_command_part){shard, 1, slices};
            slices += 1 + count * step;
        }
    }
}

/* The command goes to the shards of its keys; each gets its keys and what belongs to them. */
static int split_keys(struct kv_command_split *split, size_t argc, const struct kv_slice *argv)
{
    size_t step = (size_t)split->command->key_step;
    size_t count = (argc - 1) / step;
    struct kv_slice *slices = NULL;
    uint32_t *shard_part = NULL;
    size_t i;
    int err;

    if (count == 1 || split->shard_count == 1) {
        return split_none(split, kv_command_shard(argv[1], split->shard_count), argc, argv);
    }
    split->key_count = count;
    err = allocate_parts(split,
        argc - 1 + (count < split->shard_count ? count : split->shard_count), &slices, &shard_part);
    if (err) {
        split->key_count = 0;
        return err;
    }
    count_keys(split, argv, step, shard_part);
    open_parts(split, argv[0], step, slices, shard_part);
    for (i = 0; i < count; i++) {
        struct kv_command_part *part = &split->parts[shard_part[split->key_part[i]]];
        struct kv_slice *to = slices + (part->argv - slices) + part->argc;

        memcpy(to, argv + 1 + i * step, step * sizeof *to);
        part->argc += step;
        split->key_part[i] = shard_part[split->key_part[i]];
    }
    return KV_OK;
}

int kv_command_split(struct kv_command_split *split, const struct kv_command *command, size_t argc,
    const struct kv_slice *argv, uint32_t shard_count, const struct kv_memory *memory)
{
    if (!split || !command || !argv || shard_count == 0 || !is_right_number(command->arity, argc) ||
        !is_whole(command, argc)) {
        return KV_EINVAL;
    }
    *split =
        (struct kv_command_split){.command = command, .shard_count = shard_count, .memory = memory};
    switch (command->where) {
    case KV_WHERE_KEY:
        return split_none(split, kv_command_shard(argv[1], shard_count), argc, argv);
    case KV_WHERE_KEYS:
        return split_keys(split, argc, argv);
    case KV_WHERE_CURSOR:
        return split_cursor(split, argc, argv);
    case KV_WHERE_ALL:
        return shard_count == 1 ? split_none(split, 0, argc, argv) : split_all(split, argc, argv);
    default:
        return KV_EINVAL;
    }
}

void kv_command_split_fini(struct kv_command_split *split)
{
    if (split) {
        kv_memory_release(split->memory, split->block);
        *split = (struct kv_command_split){.memory = split->memory};
    }
}

/* The number in an integer reply. */
static int read_integer_reply(struct kv_slice reply, int64_t *out_value)
{
    struct kv_slice digits = {reply.data + 1, reply.len - 3};

    if (reply.len < 4 || reply.data[0] != ':' || kv_slice_integer(digits, out_value)) {
        return KV_EPROTOCOL;
    }
    return KV_OK;
}

static int join_sum(
    const struct kv_command_split *split, const struct kv_slice *replies, struct kv_bytes *out)
{
    int64_t sum = 0;
    size_t i;

    for (i = 0; i < split->part_count; i++) {
        int64_t value = 0;

        if (read_integer_reply(replies[i], &value) || __builtin_add_overflow(sum, value, &sum)) {
            return KV_EPROTOCOL;
        }
    }
    kv_resp_put_integer(out, sum);
    return out->error;
}

/* All say the same: the first is the reply. */
static int join_same(
    const struct kv_command_split *split, const struct kv_slice *replies, struct kv_bytes *out)
{
    size_t i;

    for (i = 0; i < split->part_count; i++) {
        if (replies[i].data[0] != '+') {
            return KV_EPROTOCOL;
        }
    }
    return kv_bytes_append(out, replies[0].data, replies[0].len);
}

/* Where the first item of an array reply begins, or 0 if it is no array. */
static size_t array_begin(struct kv_slice reply)
{
    const char *end = memchr(reply.data, '\n', reply.len);

    return reply.data[0] == '*' && end ? (size_t)(end - reply.data) + 1 : 0;
}

/* The values in the order of their keys. */
static int join_values(
    const struct kv_command_split *split, const struct kv_slice *replies, struct kv_bytes *out)
{
    size_t i;

    for (i = 0; i < split->part_count; i++) {
        split->reply_at[i] = array_begin(replies[i]);
        if (split->reply_at[i] == 0) {
            return KV_EPROTOCOL;
        }
    }
    kv_resp_put_array(out, split->key_count);
    for (i = 0; i < split->key_count; i++) {
        size_t part = split->key_part[i];
        size_t at = split->reply_at[part];
        struct kv_slice rest = {replies[part].data + at, replies[part].len - at};
        int64_t len = kv_resp_reply_length(rest);

        if (len <= 0) {
            return KV_EPROTOCOL;
        }
        kv_bytes_append(out, rest.data, (size_t)len);
        split->reply_at[part] += (size_t)len;
    }
    return out->error;
}

/* The shard's cursor becomes one that names the shard, or the next shard. */
static int join_cursor(
    const struct kv_command_split *split, struct kv_slice reply, struct kv_bytes *out)
{
    static const char prefix[] = "*2\r\n$";
    uint32_t shard = split->parts[0].shard;
    uint64_t cursor = 0;
    struct kv_slice text;
    const char *line;
    int64_t len;
    char joined[KV_CURSOR_TEXT_MAX];

    if (reply.len < sizeof prefix || memcmp(reply.data, prefix, strlen(prefix)) != 0) {
        return KV_EPROTOCOL;
    }
    line = memchr(reply.data + strlen(prefix), '\n', reply.len - strlen(prefix));
    len = kv_resp_reply_length((struct kv_slice){reply.data + 4, reply.len - 4});
    if (!line || len <= 0) {
        return KV_EPROTOCOL;
    }
    text.data = line + 1;
    text.len = (size_t)(reply.data + 4 + len - 2 - text.data);
    if (!read_cursor(text, &cursor) || cursor > UINT64_MAX / split->shard_count - 1) {
        return KV_EPROTOCOL;
    }
    if (cursor != 0) {
        cursor = cursor * split->shard_count + shard;
    } else {
        cursor = shard + 1 < split->shard_count ? shard + 1 : 0;
    }
    snprintf(joined, sizeof joined, "%" PRIu64, cursor);
    kv_resp_put_array(out, 2);
    kv_resp_put_text(out, joined);
    return kv_bytes_append(out, reply.data + 4 + len, reply.len - 4 - (size_t)len);
}

static int join(
    const struct kv_command_split *split, const struct kv_slice *replies, struct kv_bytes *out)
{
    size_t i;

    for (i = 0; i < split->part_count; i++) {
        if (replies[i].len == 0 || !replies[i].data ||
            kv_resp_reply_length(replies[i]) != (int64_t)replies[i].len) {
            return KV_EPROTOCOL;
        }
    }
    for (i = 0; i < split->part_count; i++) {
        if (replies[i].data[0] == '-') {
            return kv_bytes_append(out, replies[i].data, replies[i].len);
        }
    }
    if (split->command->where == KV_WHERE_CURSOR) {
        return join_cursor(split, replies[0], out);
    }
    if (split->part_count == 1) {
        return kv_bytes_append(out, replies[0].data, replies[0].len);
    }
    switch (split->command->id) {
    case KV_COMMAND_MGET:
        return join_values(split, replies, out);
    case KV_COMMAND_MSET:
    case KV_COMMAND_FLUSHALL:
        return join_same(split, replies, out);
    default:
        return join_sum(split, replies, out);
    }
}

int kv_command_join(
    const struct kv_command_split *split, const struct kv_slice *replies, struct kv_bytes *out)
{
    size_t mark;
    int err;

    if (!split || !split->command || !replies || !out) {
        return KV_EINVAL;
    }
    if (out->error) {
        return out->error;
    }
    mark = out->len;
    err = join(split, replies, out);
    if (err) {
        out->len = mark;
        out->error = KV_OK;
    }
    return err;
}

/* The commands of a connection. */

const struct kv_command_setting kv_command_settings_default[2] = {
    {"appendonly", "no"},
    {"save", ""},
};

/* One command being answered. */
struct talk {
    struct kv_command_session *session;
    const struct kv_command_setting *settings;
    size_t setting_count;
    const struct kv_command *command;
    size_t argc;
    const struct kv_slice *argv;
    struct kv_bytes *out;
};

/* A command within a command. */
struct subcommand {
    const char *name; /* in lower case */
    int arity;        /* with both names */
    void (*answer)(struct talk *talk);
};

void kv_command_session_init(struct kv_command_session *session, uint64_t id)
{
    *session = (struct kv_command_session){.id = id, .protocol = 2};
}

/* Calls the subcommand that argv[1] names. */
static void answer_subcommand(struct talk *talk, const struct subcommand *subcommands, size_t count)
{
    struct kv_slice name = talk->argv[1];
    char text[ERROR_TEXT_MAX];
    char upper[32];
    size_t i;

    for (i = 0; i < count; i++) {
        if (!kv_slice_is(name, subcommands[i].name)) {
            continue;
        }
        if (is_right_number(subcommands[i].arity, talk->argc)) {
            subcommands[i].answer(talk);
            return;
        }
        snprintf(text, sizeof text, "%s|%s", talk->command->name, subcommands[i].name);
        put_wrong_number(talk->out, text);
        return;
    }
    for (i = 0; talk->command->name[i] && i + 1 < sizeof upper; i++) {
        upper[i] = (char)toupper((unsigned char)talk->command->name[i]);
    }
    upper[i] = '\0';
    snprintf(text, sizeof text, "ERR unknown subcommand '%.*s'. Try %s HELP.",
        shown(name, UNKNOWN_SHOWN), name.data ? name.data : "", upper);
    kv_resp_put_error(talk->out, text);
}

static void put_ok(struct talk *talk)
{
    kv_resp_put_simple(talk->out, "OK");
}

static void put_lines(struct talk *talk, const char *const *lines, size_t count)
{
    size_t i;

    kv_resp_put_array(talk->out, count);
    for (i = 0; i < count; i++) {
        kv_resp_put_simple(talk->out, lines[i]);
    }
}

static void answer_ping(struct talk *talk)
{
    if (talk->argc > 2) {
        put_wrong_number(talk->out, talk->command->name);
    } else if (talk->argc == 2) {
        kv_resp_put_bulk(talk->out, talk->argv[1]);
    } else {
        kv_resp_put_simple(talk->out, "PONG");
    }
}

static void answer_echo(struct talk *talk)
{
    kv_resp_put_bulk(talk->out, talk->argv[1]);
}

static void answer_quit(struct talk *talk)
{
    talk->session->closing = true;
    put_ok(talk);
}

/* Whether this may be a name: visible ASCII without blanks. */
static bool is_name(struct kv_slice name)
{
    size_t i;

    for (i = 0; i < name.len; i++) {
        if (name.data[i] < '!' || name.data[i] > '~') {
            return false;
        }
    }
    return true;
}

/* Why this cannot be the connection's name, or NULL. */
static const char *wrong_name(struct kv_slice name)
{
    if (!is_name(name)) {
        return error_name;
    }
    return name.len > KV_COMMAND_NAME_MAX ? "ERR Client names cannot be longer than 127 bytes"
                                          : NULL;
}

static void keep_name(char *to, struct kv_slice name)
{
    if (name.len > 0) {
        memcpy(to, name.data, name.len);
    }
    to[name.len] = '\0';
}

/* Reads what follows the version; the name is untouched if none is given.  False: answered. */
static bool read_hello_options(struct talk *talk, struct kv_slice *out_name)
{
    char text[ERROR_TEXT_MAX];
    size_t i;

    for (i = 2; i < talk->argc; i++) {
        size_t more = talk->argc - 1 - i;

        if (kv_slice_is(talk->argv[i], "AUTH") && more >= 2) {
            kv_resp_put_error(
                talk->out, "WRONGPASS invalid username-password pair or user is disabled.");
            return false;
        }
        if (!kv_slice_is(talk->argv[i], "SETNAME") || more < 1) {
            snprintf(text, sizeof text, "ERR Syntax error in HELLO option '%.*s'",
                shown(talk->argv[i], UNKNOWN_SHOWN), talk->argv[i].data);
            kv_resp_put_error(talk->out, text);
            return false;
        }
        *out_name = talk->argv[++i];
        if (wrong_name(*out_name)) {
            kv_resp_put_error(talk->out, wrong_name(*out_name));
            return false;
        }
    }
    return true;
}

static void put_hello(struct talk *talk)
{
    struct kv_bytes *out = talk->out;

    kv_resp_put_map(out, talk->session->protocol, 7);
    kv_resp_put_text(out, "server");
    kv_resp_put_text(out, "redis");
    kv_resp_put_text(out, "version");
    kv_resp_put_text(out, REDIS_VERSION);
    kv_resp_put_text(out, "proto");
    kv_resp_put_integer(out, talk->session->protocol);
    kv_resp_put_text(out, "id");
    kv_resp_put_integer(out, (int64_t)talk->session->id);
    kv_resp_put_text(out, "mode");
    kv_resp_put_text(out, "standalone");
    kv_resp_put_text(out, "role");
    kv_resp_put_text(out, "master");
    kv_resp_put_text(out, "modules");
    kv_resp_put_array(out, 0);
}

static void answer_hello(struct talk *talk)
{
    struct kv_slice name = {NULL, 0};
    int64_t protocol = talk->session->protocol;

    if (talk->argc > 1 && kv_slice_integer(talk->argv[1], &protocol)) {
        kv_resp_put_error(talk->out, "ERR Protocol version is not an integer or out of range");
        return;
    }
    if (protocol < 2 || protocol > 3) {
        kv_resp_put_error(talk->out, "NOPROTO unsupported protocol version");
        return;
    }
    if (!read_hello_options(talk, &name)) {
        return;
    }
    if (name.data) {
        keep_name(talk->session->name, name);
    }
    talk->session->protocol = (int)protocol;
    put_hello(talk);
}

static void answer_client_getname(struct talk *talk)
{
    if (talk->session->name[0]) {
        kv_resp_put_text(talk->out, talk->session->name);
    } else {
        kv_resp_put_null(talk->out, talk->session->protocol);
    }
}

static void answer_client_setname(struct talk *talk)
{
    const char *wrong = wrong_name(talk->argv[2]);

    if (wrong) {
        kv_resp_put_error(talk->out, wrong);
        return;
    }
    keep_name(talk->session->name, talk->argv[2]);
    put_ok(talk);
}

static void answer_client_id(struct talk *talk)
{
    kv_resp_put_integer(talk->out, (int64_t)talk->session->id);
}

static void answer_client_setinfo(struct talk *talk)
{
    bool is_lib_name = kv_slice_is(talk->argv[2], "LIB-NAME");
    char text[ERROR_TEXT_MAX];

    if (!is_lib_name && !kv_slice_is(talk->argv[2], "LIB-VER")) {
        snprintf(text, sizeof text, "ERR Unrecognized option '%.*s'",
            shown(talk->argv[2], UNKNOWN_SHOWN), talk->argv[2].data ? talk->argv[2].data : "");
        kv_resp_put_error(talk->out, text);
        return;
    }
    if (!is_name(talk->argv[3]) || talk->argv[3].len > KV_COMMAND_NAME_MAX) {
        snprintf(text, sizeof text, "ERR %s cannot contain spaces, newlines or special characters.",
            is_lib_name ? "lib-name" : "lib-ver");
        kv_resp_put_error(talk->out, text);
        return;
    }
    keep_name(is_lib_name ? talk->session->lib_name : talk->session->lib_version, talk->argv[3]);
    put_ok(talk);
}

static void answer_client_help(struct talk *talk)
{
    static const char *const lines[] = {
        "CLIENT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
        "GETNAME",
        "    Return the name of the current connection.",
        "ID",
        "    Return the ID of the current connection.",
        "SETINFO (LIB-NAME|LIB-VER) <value>",
        "    Note which client library this is.",
        "SETNAME <name>",
        "    Assign the name <name> to the current connection.",
        "HELP",
        "    Print this help.",
    };

    put_lines(talk, lines, sizeof lines / sizeof lines[0]);
}

static void answer_client(struct talk *talk)
{
    static const struct subcommand subcommands[] = {
        {"getname", 2, answer_client_getname},
        {"help", 2, answer_client_help},
        {"id", 2, answer_client_id},
        {"setinfo", 4, answer_client_setinfo},
        {"setname", 3, answer_client_setname},
    };

    answer_subcommand(talk, subcommands, sizeof subcommands / sizeof subcommands[0]);
}

static size_t count_settings(const struct talk *talk)
{
    return talk->setting_count +
           sizeof kv_command_settings_default / sizeof kv_command_settings_default[0];
}

/* The i-th setting: the caller's, then the defaults. */
static const struct kv_command_setting *setting_at(const struct talk *talk, size_t i)
{
    return i < talk->setting_count ? &talk->settings[i]
                                   : &kv_command_settings_default[i - talk->setting_count];
}

/* Whether an earlier setting has the same name as the i-th. */
static bool is_hidden(const struct talk *talk, size_t i)
{
    const char *name = setting_at(talk, i)->name;
    size_t k;

    for (k = 0; k < i; k++) {
        if (strcmp(setting_at(talk, k)->name, name) == 0) {
            return true;
        }
    }
    return false;
}

/* Whether CONFIG GET asks for the i-th setting. */
static bool is_wanted(const struct talk *talk, size_t i)
{
    struct kv_slice name = kv_slice_of(setting_at(talk, i)->name);
    size_t k;

    for (k = 2; k < talk->argc; k++) {
        if (is_match(talk->argv[k], name, true)) {
            return !is_hidden(talk, i);
        }
    }
    return false;
}

static void answer_config_get(struct talk *talk)
{
    size_t count = 0;
    size_t i;

    for (i = 0; i < count_settings(talk); i++) {
        count += is_wanted(talk, i) ? 1 : 0;
    }
    kv_resp_put_map(talk->out, talk->session->protocol, count);
    for (i = 0; i < count_settings(talk); i++) {
        if (is_wanted(talk, i)) {
            kv_resp_put_text(talk->out, setting_at(talk, i)->name);
            kv_resp_put_text(talk->out, setting_at(talk, i)->value);
        }
    }
}

static void answer_config_set(struct talk *talk)
{
    char text[ERROR_TEXT_MAX];

    snprintf(text, sizeof text, "ERR Unknown option or number of arguments for CONFIG SET - '%.*s'",
        shown(talk->argv[2], UNKNOWN_SHOWN), talk->argv[2].data ? talk->argv[2].data : "");
    kv_resp_put_error(talk->out, text);
}

static void answer_config_help(struct talk *talk)
{
    static const char *const lines[] = {
        "CONFIG <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
        "GET <pattern>",
        "    Return parameters matching the glob-like <pattern> and their values.",
        "HELP",
        "    Print this help.",
    };

    put_lines(talk, lines, sizeof lines / sizeof lines[0]);
}

static void answer_config(struct talk *talk)
{
    static const struct subcommand subcommands[] = {
        {"get", -3, answer_config_get},
        {"help", 2, answer_config_help},
        {"set", -4, answer_config_set},
    };

    answer_subcommand(talk, subcommands, sizeof subcommands / sizeof subcommands[0]);
}

static size_t count_words(const char *list)
{
    size_t count = list && *list ? 1 : 0;
    const char *at;

    for (at = list; at && *at; at++) {
        count += *at == ' ' ? 1 : 0;
    }
    return count;
}

/* A list of words as a set of simple strings, or of bulks. */
static void put_words(struct talk *talk, const char *list, bool simple)
{
    const char *at = list ? list : "";

    kv_resp_put_set(talk->out, talk->session->protocol, count_words(list));
    while (*at) {
        size_t len = strcspn(at, " ");

        if (simple) {
            kv_bytes_append(talk->out, "+", 1);
            kv_bytes_append(talk->out, at, len);
            kv_bytes_append(talk->out, "\r\n", 2);
        } else {
            kv_resp_put_bulk(talk->out, (struct kv_slice){at, len});
        }
        at += len + (at[len] ? 1 : 0);
    }
}

/* Where the keys of a command are, as Redis 7 tells it. */
static void put_key_specs(struct talk *talk, const struct kv_command *command)
{
    int protocol = talk->session->protocol;
    struct kv_bytes *out = talk->out;

    kv_resp_put_set(out, protocol, command->first_key ? 1 : 0);
    if (!command->first_key) {
        return;
    }
    kv_resp_put_map(out, protocol, command->key_notes ? 4 : 3);
    if (command->key_notes) {
        kv_resp_put_text(out, "notes");
        kv_resp_put_text(out, command->key_notes);
    }
    kv_resp_put_text(out, "flags");
    put_words(talk, command->key_flags, true);
    kv_resp_put_text(out, "begin_search");
    kv_resp_put_map(out, protocol, 2);
    kv_resp_put_text(out, "type");
    kv_resp_put_text(out, "index");
    kv_resp_put_text(out, "spec");
    kv_resp_put_map(out, protocol, 1);
    kv_resp_put_text(out, "index");
    kv_resp_put_integer(out, command->first_key);
    kv_resp_put_text(out, "find_keys");
    kv_resp_put_map(out, protocol, 2);
    kv_resp_put_text(out, "type");
    kv_resp_put_text(out, "range");
    kv_resp_put_text(out, "spec");
    kv_resp_put_map(out, protocol, 3);
    kv_resp_put_text(out, "lastkey");
    kv_resp_put_integer(out, command->last_key > 0 ? 0 : command->last_key);
    kv_resp_put_text(out, "keystep");
    kv_resp_put_integer(out, command->key_step);
    kv_resp_put_text(out, "limit");
    kv_resp_put_integer(out, 0);
}

static void put_command_info(struct talk *talk, const struct kv_command *command)
{
    struct kv_bytes *out = talk->out;

    if (!command) {
        kv_resp_put_null(out, talk->session->protocol);
        return;
    }
    kv_resp_put_array(out, 10);
    kv_resp_put_text(out, command->name);
    kv_resp_put_integer(out, command->arity);
    put_words(talk, command->flags, true);
    kv_resp_put_integer(out, command->first_key);
    kv_resp_put_integer(out, command->last_key);
    kv_resp_put_integer(out, command->key_step);
    put_words(talk, command->categories, true);
    put_words(talk, command->tips, false);
    put_key_specs(talk, command);
    kv_resp_put_set(out, talk->session->protocol, 0);
}

static void put_command_infos(struct talk *talk)
{
    size_t i;

    kv_resp_put_array(talk->out, KV_COMMAND_COUNT);
    for (i = 0; i < KV_COMMAND_COUNT; i++) {
        put_command_info(talk, &commands[i]);
    }
}

static void answer_command_info(struct talk *talk)
{
    size_t i;

    if (talk->argc == 2) {
        put_command_infos(talk);
        return;
    }
    kv_resp_put_array(talk->out, talk->argc - 2);
    for (i = 2; i < talk->argc; i++) {
        put_command_info(talk, kv_command_find(talk->argv[i]));
    }
}

static void put_command_docs(struct talk *talk, const struct kv_command *command)
{
    struct kv_bytes *out = talk->out;

    kv_resp_put_text(out, command->name);
    kv_resp_put_map(out, talk->session->protocol, command->complexity ? 4 : 3);
    kv_resp_put_text(out, "summary");
    kv_resp_put_text(out, command->summary);
    kv_resp_put_text(out, "since");
    kv_resp_put_text(out, command->since);
    kv_resp_put_text(out, "group");
    kv_resp_put_text(out, command->group);
    if (command->complexity) {
        kv_resp_put_text(out, "complexity");
        kv_resp_put_text(out, command->complexity);
    }
}

static void answer_command_docs(struct talk *talk)
{
    size_t count = 0;
    size_t i;

    if (talk->argc == 2) {
        kv_resp_put_map(talk->out, talk->session->protocol, KV_COMMAND_COUNT);
        for (i = 0; i < KV_COMMAND_COUNT; i++) {
            put_command_docs(talk, &commands[i]);
        }
        return;
    }
    for (i = 2; i < talk->argc; i++) {
        count += kv_command_find(talk->argv[i]) ? 1 : 0;
    }
    kv_resp_put_map(talk->out, talk->session->protocol, count);
    for (i = 2; i < talk->argc; i++) {
        const struct kv_command *command = kv_command_find(talk->argv[i]);

        if (command) {
            put_command_docs(talk, command);
        }
    }
}

static void answer_command_count(struct talk *talk)
{
    kv_resp_put_integer(talk->out, KV_COMMAND_COUNT);
}

static void answer_command_list(struct talk *talk)
{
    size_t i;

    kv_resp_put_set(talk->out, talk->session->protocol, KV_COMMAND_COUNT);
    for (i = 0; i < KV_COMMAND_COUNT; i++) {
        kv_resp_put_text(talk->out, commands[i].name);
    }
}

static void answer_command_getkeys(struct talk *talk)
{
    const struct kv_command *command = kv_command_find(talk->argv[2]);
    size_t argc = talk->argc - 2;
    size_t last;
    size_t step;
    size_t i;

    if (!command) {
        kv_resp_put_error(talk->out, "ERR Invalid command specified");
        return;
    }
    if (!command->first_key) {
        kv_resp_put_error(talk->out, "ERR The command has no key arguments");
        return;
    }
    if (!is_right_number(command->arity, argc)) {
        kv_resp_put_error(talk->out, "ERR Invalid number of arguments specified for command");
        return;
    }
    last = command->last_key < 0 ? argc - 1 : (size_t)command->last_key;
    step = (size_t)command->key_step;
    kv_resp_put_array(talk->out, (last - (size_t)command->first_key) / step + 1);
    for (i = (size_t)command->first_key; i <= last; i += step) {
        kv_resp_put_bulk(talk->out, talk->argv[2 + i]);
    }
}

static void answer_command_help(struct talk *talk)
{
    static const char *const lines[] = {
        "COMMAND <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
        "(no subcommand)",
        "    Return details about all commands.",
        "COUNT",
        "    Return the total number of commands in this server.",
        "LIST",
        "    Return a list of all commands in this server.",
        "INFO [<command-name> ...]",
        "    Return details about multiple commands, or all.",
        "DOCS [<command-name> ...]",
        "    Return documentation details about multiple commands, or all.",
        "GETKEYS <full-command>",
        "    Return the keys from a full command.",
        "HELP",
        "    Print this help.",
    };

    put_lines(talk, lines, sizeof lines / sizeof lines[0]);
}

static void answer_command(struct talk *talk)
{
    static const struct subcommand subcommands[] = {
        {"count", 2, answer_command_count},
        {"docs", -2, answer_command_docs},
        {"getkeys", -4, answer_command_getkeys},
        {"help", 2, answer_command_help},
        {"info", -2, answer_command_info},
        {"list", 2, answer_command_list},
    };

    if (talk->argc == 1) {
        put_command_infos(talk);
        return;
    }
    answer_subcommand(talk, subcommands, sizeof subcommands / sizeof subcommands[0]);
}

typedef void (*answer_fn)(struct talk *talk);

static const answer_fn answerers[KV_COMMAND_COUNT] = {
    [KV_COMMAND_CLIENT] = answer_client,
    [KV_COMMAND_COMMAND] = answer_command,
    [KV_COMMAND_CONFIG] = answer_config,
    [KV_COMMAND_ECHO] = answer_echo,
    [KV_COMMAND_HELLO] = answer_hello,
    [KV_COMMAND_PING] = answer_ping,
    [KV_COMMAND_QUIT] = answer_quit,
};

/* The reply from `mark` on is complete, or gone. */
static int settle(struct kv_bytes *out, size_t mark)
{
    int err = out->error;

    if (err) {
        out->len = mark;
        out->error = KV_OK;
    }
    return err;
}

int kv_command_answer(struct kv_command_session *session, const struct kv_command_setting *settings,
    size_t setting_count, const struct kv_command *command, size_t argc,
    const struct kv_slice *argv, struct kv_bytes *out)
{
    struct talk talk = {session, settings, setting_count, command, argc, argv, out};
    size_t mark;

    if (!session || !command || !argv || !out || (!settings && setting_count > 0) ||
        !answerers[command->id] || !is_right_number(command->arity, argc)) {
        return KV_EINVAL;
    }
    if (out->error) {
        return out->error;
    }
    mark = out->len;
    answerers[command->id](&talk);
    return settle(out, mark);
}

/* INFO. */

/* Text of bounded length; what does not fit is cut off. */
struct text {
    char bytes[4096];
    size_t len;
};

static void put_line(struct text *text, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void put_line(struct text *text, const char *format, ...)
{
    size_t room = sizeof text->bytes - text->len;
    va_list arguments;
    int len;

    va_start(arguments, format);
    len = vsnprintf(text->bytes + text->len, room, format, arguments);
    va_end(arguments);
    if (len >= 0 && (size_t)len + 2 < room) {
        memcpy(text->bytes + text->len + len, "\r\n", 2);
        text->len += (size_t)len + 2;
    }
}

static void info_server(struct text *text, const struct kv_command_info *info)
{
    put_line(text, "# Server");
    put_line(text, "redis_version:" REDIS_VERSION);
    put_line(text, "redis_mode:standalone");
    put_line(text, "troupe_kv_version:%.64s", info->version ? info->version : "");
    put_line(text, "process_id:%" PRIu64, info->process_id);
    put_line(text, "tcp_port:%" PRIu32, info->port);
    put_line(text, "uptime_in_seconds:%" PRIu64, info->uptime_ms / 1000);
    put_line(text, "uptime_in_days:%" PRIu64, info->uptime_ms / 86400000);
}

static void info_clients(struct text *text, const struct kv_command_info *info)
{
    put_line(text, "# Clients");
    put_line(text, "connected_clients:%" PRIu64, info->client_count);
}

static void info_memory(struct text *text, const struct kv_command_info *info)
{
    put_line(text, "# Memory");
    put_line(text, "used_memory:%zu", info->keys.bytes);
    put_line(text, "maxmemory:%zu", info->bytes_max);
    put_line(text, "maxmemory_policy:noeviction");
}

static void info_stats(struct text *text, const struct kv_command_info *info)
{
    put_line(text, "# Stats");
    put_line(text, "total_connections_received:%" PRIu64, info->connection_count);
    put_line(text, "total_commands_processed:%" PRIu64, info->command_count);
    put_line(text, "rejected_connections:%" PRIu64, info->refused_count);
    put_line(text, "rejected_requests:%" PRIu64, info->busy_count);
    put_line(text, "expired_keys:%" PRIu64, info->keys.expired);
    put_line(text, "keyspace_hits:%" PRIu64, info->keys.hits);
    put_line(text, "keyspace_misses:%" PRIu64, info->keys.misses);
}

static void info_keyspace(struct text *text, const struct kv_command_info *info)
{
    put_line(text, "# Keyspace");
    if (info->keys.count > 0) {
        put_line(text, "db0:keys=%zu,expires=%zu,avg_ttl=0", info->keys.count, info->keys.expiring);
    }
}

static void info_troupe(struct text *text, const struct kv_command_info *info)
{
    put_line(text, "# Troupe");
    put_line(text, "shards:%" PRIu32, info->shard_count);
    put_line(text, "workers:%" PRIu32, info->worker_count);
    put_line(text, "requests_in_flight:%" PRIu64, info->request_count);
    put_line(text, "requests_in_flight_highest:%" PRIu64, info->request_highest);
    put_line(text, "shard_restarts:%" PRIu64, info->shard_restarts);
    put_line(text, "connection_crashes:%" PRIu64, info->connection_crashes);
    put_line(text, "keyspace_recoveries:%" PRIu64, info->keys.recoveries);
}

struct info_section {
    const char *name;
    void (*write)(struct text *text, const struct kv_command_info *info);
};

/* Whether INFO asks for this section. */
static bool is_section_wanted(const char *name, size_t argc, const struct kv_slice *argv)
{
    size_t i;

    for (i = 1; i < argc; i++) {
        if (kv_slice_is(argv[i], name) || kv_slice_is(argv[i], "all") ||
            kv_slice_is(argv[i], "default") || kv_slice_is(argv[i], "everything")) {
            return true;
        }
    }
    return argc == 1;
}

int kv_command_put_info(const struct kv_command_info *info, int protocol, size_t argc,
    const struct kv_slice *argv, struct kv_bytes *out)
{
    static const struct info_section sections[] = {
        {"server", info_server},
        {"clients", info_clients},
        {"memory", info_memory},
        {"stats", info_stats},
        {"keyspace", info_keyspace},
        {"troupe", info_troupe},
    };
    struct text text = {.len = 0};
    size_t mark;
    size_t i;

    if (!info || argc == 0 || !argv || !out) {
        return KV_EINVAL;
    }
    if (out->error) {
        return out->error;
    }
    for (i = 0; i < sizeof sections / sizeof sections[0]; i++) {
        if (is_section_wanted(sections[i].name, argc, argv)) {
            if (text.len > 0) {
                put_line(&text, "%s", "");
            }
            sections[i].write(&text, info);
        }
    }
    mark = out->len;
    kv_resp_put_verbatim(out, protocol, (struct kv_slice){text.bytes, text.len});
    return settle(out, mark);
}

/* TROUPE.CRASH. */

int kv_command_crash_target(size_t argc, const struct kv_slice *argv, uint32_t shard_count,
    struct kv_bytes *out, enum kv_command_crash *out_target, uint32_t *out_shard)
{
    int64_t shard = 0;

    if (!argv || !out || !out_target || !out_shard) {
        return KV_EINVAL;
    }
    if (argc == 2 && kv_slice_is(argv[1], "CONNECTION")) {
        *out_target = KV_CRASH_CONNECTION;
        return KV_OK;
    }
    if (argc != 3 || !kv_slice_is(argv[1], "SHARD")) {
        kv_resp_put_error(out, error_syntax);
        return KV_EINVAL;
    }
    if (kv_slice_integer(argv[2], &shard) || shard < 0 || shard >= shard_count) {
        kv_resp_put_error(out, "ERR no such shard");
        return KV_EINVAL;
    }
    *out_target = KV_CRASH_SHARD;
    *out_shard = (uint32_t)shard;
    return KV_OK;
}
