/* SPDX-License-Identifier: MIT */
/*
 * command.h - what each command of troupe-kv does, and who does it.
 *
 * One table names all commands.  A connection takes a command through these steps:
 *
 *      command = kv_command_check(argc, argv, out)        unknown, or wrong number: answered
 *      KV_WHERE_CONNECTION:  kv_command_answer()          done; INFO and TROUPE.* see there
 *      else:                 kv_command_split()           one part for each shard concerned
 *         each part:           kv_command_pack()            to the shard, in one block
 *                              kv_command_execute()         there: a reply of its own
 *                            kv_command_join()            the replies of the parts make one
 *
 * A shard knows nothing of other shards: a part is an ordinary command with fewer keys, and its
 * reply is an ordinary reply.  Split and join know how keys are spread; a shard that failed is
 * an error reply like any other.
 *
 * Replies are those of Redis 7.0, byte for byte, with these exceptions:
 *
 *      MSET over several shards is done shard by shard, not at once; on one shard it is
 *      a key is gone in the millisecond in which it expires, not after it
 *      HELLO AUTH is refused: there are no users
 *      SCAN's COUNT has a maximum, and a cursor must be digits
 *      names of clients have a maximum length; CLIENT SETINFO is that of Redis 7.2
 *      COMMAND knows our commands only, without subcommands; DOCS has no arguments
 *      without memory for a change the answer is "-OOM out of memory, nothing was changed"
 */
#ifndef KV_COMMAND_H
#define KV_COMMAND_H

#include "keyspace.h"
#include "resp.h"

/** Longest name of a connection, and longest `lib-name` and `lib-ver`. */
#define KV_COMMAND_NAME_MAX 127

/** Room for a cursor in decimal, with terminator. */
#define KV_CURSOR_TEXT_MAX 24

/** Who executes a command. */
enum kv_command_where {
    KV_WHERE_CONNECTION, /* the connection itself, nobody else is asked */
    KV_WHERE_KEY,        /* the shard of its one key */
    KV_WHERE_KEYS,       /* the shards of its keys, each its own */
    KV_WHERE_CURSOR,     /* the shard that its cursor names */
    KV_WHERE_ALL,        /* all shards */
};

/** Which command it is: for a switch. */
enum kv_command_id {
    KV_COMMAND_APPEND,
    KV_COMMAND_CLIENT,
    KV_COMMAND_COMMAND,
    KV_COMMAND_CONFIG,
    KV_COMMAND_DBSIZE,
    KV_COMMAND_DECR,
    KV_COMMAND_DECRBY,
    KV_COMMAND_DEL,
    KV_COMMAND_ECHO,
    KV_COMMAND_EXISTS,
    KV_COMMAND_EXPIRE,
    KV_COMMAND_FLUSHALL,
    KV_COMMAND_GET,
    KV_COMMAND_GETDEL,
    KV_COMMAND_HELLO,
    KV_COMMAND_INCR,
    KV_COMMAND_INCRBY,
    KV_COMMAND_INFO,
    KV_COMMAND_MGET,
    KV_COMMAND_MSET,
    KV_COMMAND_PERSIST,
    KV_COMMAND_PEXPIRE,
    KV_COMMAND_PING,
    KV_COMMAND_PTTL,
    KV_COMMAND_QUIT,
    KV_COMMAND_SCAN,
    KV_COMMAND_SET,
    KV_COMMAND_SETNX,
    KV_COMMAND_STRLEN,
    KV_COMMAND_TROUPE_CRASH,
    KV_COMMAND_TROUPE_TREE,
    KV_COMMAND_TTL,
    KV_COMMAND_TYPE,
    KV_COMMAND_COUNT /* how many there are */
};

/** One row of the table.  Words in a list have single blanks between them; NULL is no word. */
struct kv_command {
    const char *name; /* in lower case */
    enum kv_command_id id;
    enum kv_command_where where;
    int arity;         /* with the name; -n means at least n */
    const char *flags; /* as COMMAND reports them: "write denyoom" */
    int first_key;     /* position in argv, 0 if it has no keys */
    int last_key;      /* -1 is the last argument */
    int key_step;
    const char *categories; /* "@write @string @slow" */
    const char *tips;       /* "request_policy:multi_shard" */
    const char *key_flags;  /* what becomes of its keys: "RW access update" */
    const char *key_notes;  /* and a remark on that; NULL for most */
    const char *summary;    /* the next four are for COMMAND DOCS */
    const char *since;
    const char *group;
    const char *complexity;
};

/** The command of this name, without regard to case; NULL if there is none. */
const struct kv_command *kv_command_find(struct kv_slice name);

/** The table's row `index` below KV_COMMAND_COUNT, which is also its id; else NULL. */
const struct kv_command *kv_command_at(size_t index);

/**
 * Finds the command of `argv[0]` and checks the number of its arguments.  If there is no such
 * command or the number is wrong, appends the error and returns NULL.
 */
const struct kv_command *kv_command_check(
    size_t argc, const struct kv_slice *argv, struct kv_bytes *out);

/* The shard's side. */

/**
 * Executes one command, or one part of it, on the keys of one shard and appends its reply.
 *
 * For all commands but those of KV_WHERE_CONNECTION.  Whatever is wrong with the command is
 * answered, as unknown names and missing memory are: without memory for a change the answer is
 * "-OOM ..." and nothing has changed.
 *
 * Abandon  nothing is held outside of the keyspace and `out`
 * Errors   KV_ENOMEM, KV_EFULL  no room in `out` even for an error: it is as before, and so are
 *                               the keys
 */
int kv_command_execute(struct kv_keyspace *keyspace, int64_t now_ms, int protocol, size_t argc,
    const struct kv_slice *argv, struct kv_bytes *out);

/** A command in one block that can be handed on: `argv` points into the block itself. */
struct kv_command_packed {
    size_t argc;
    struct kv_slice argv[]; /* the bytes of all arguments follow the last */
};

/** Bytes of block that kv_command_pack() needs. */
size_t kv_command_pack_size(size_t argc, const struct kv_slice *argv);

/** Copies a command into a block of that size, aligned for pointers.  It must not be moved. */
void kv_command_pack(
    size_t argc, const struct kv_slice *argv, struct kv_command_packed *out_packed);

/* The connection's side: spreading over shards. */

/**
 * The shard of a key, below `shard_count`: CRC16 as in Redis Cluster, so that keys with the same
 * `{tag}` live together.
 */
uint32_t kv_command_shard(struct kv_slice key, uint32_t shard_count);

/** One shard's share of a command. */
struct kv_command_part {
    uint32_t shard;
    size_t argc;
    const struct kv_slice *argv;
};

/**
 * A command spread over shards.  Fields may be read.
 *
 * The slices of the parts point to what the command's did.  While parts are on their way only
 * kv_command_join() needs the split, and it does not look at the slices.
 */
struct kv_command_split {
    const struct kv_command *command;
    uint32_t shard_count;
    size_t part_count;             /* at least 1 */
    struct kv_command_part *parts; /* in order of shards */
    size_t key_count;              /* of KV_WHERE_KEYS, else 0 */
    uint32_t *key_part;            /* which part has the i-th key */
    size_t *reply_at;              /* kv_command_join() at work: how far it is in each reply */
    void *block;                   /* the one block that all this is in; NULL if none is needed */
    const struct kv_memory *memory;
    struct kv_command_part one; /* the part of a command that goes to one shard only */
};

/**
 * Splits a command that passed kv_command_check() and is not KV_WHERE_CONNECTION.  A command of one
 * key takes no memory.  `memory` is borrowed and may be NULL.
 *
 * The split must not be moved: its parts may point into it.
 *
 * Errors   KV_ENOMEM  no memory
 *          KV_EINVAL  NULL, no shards, or a command that is not split
 */
int kv_command_split(struct kv_command_split *split, const struct kv_command *command, size_t argc,
    const struct kv_slice *argv, uint32_t shard_count, const struct kv_memory *memory);

/** Releases what the split holds.  Calling it twice does no harm. */
void kv_command_split_fini(struct kv_command_split *split);

/**
 * Appends the reply of the whole command.  `replies[i]` is the complete reply of `parts[i]`.
 *
 * Sums are added, values put in the order of their keys, a cursor is made to name its shard, and
 * if any reply is an error the first one, in order of parts, is the reply.
 *
 * Errors   KV_EPROTOCOL  a reply is not what such a part answers; nothing was appended
 *          KV_ENOMEM, KV_EFULL  no room in `out`; nothing was appended
 */
int kv_command_join(
    const struct kv_command_split *split, const struct kv_slice *replies, struct kv_bytes *out);

/* The connection's side: commands of its own. */

/** What a connection remembers of its client.  To embed; kv_command_session_init() first. */
struct kv_command_session {
    uint64_t id;  /* of this connection, for CLIENT ID and HELLO */
    int protocol; /* 2 or 3 */
    bool closing; /* QUIT was answered: close when the reply is out */
    char name[KV_COMMAND_NAME_MAX + 1];
    char lib_name[KV_COMMAND_NAME_MAX + 1];
    char lib_version[KV_COMMAND_NAME_MAX + 1];
};

/** A new connection: protocol 2, no name. */
void kv_command_session_init(struct kv_command_session *session, uint64_t id);

/** One setting that CONFIG GET shows. */
struct kv_command_setting {
    const char *name;
    const char *value;
};

/** What CONFIG GET knows without being told: save "", appendonly "no". */
extern const struct kv_command_setting kv_command_settings_default[2];

/**
 * Answers PING, ECHO, HELLO, CLIENT, COMMAND, CONFIG and QUIT.  `settings` are shown by CONFIG GET
 * beside the defaults and may be NULL if there are none.
 *
 * INFO and TROUPE.* are the caller's, see below: KV_EINVAL, and nothing is appended.
 *
 * Errors   KV_ENOMEM, KV_EFULL  no room in `out`; it is as before
 */
int kv_command_answer(struct kv_command_session *session, const struct kv_command_setting *settings,
    size_t setting_count, const struct kv_command *command, size_t argc,
    const struct kv_slice *argv, struct kv_bytes *out);

/** Numbers for INFO.  Those of the shards are sums. */
struct kv_command_info {
    const char *version; /* of troupe-kv */
    uint64_t process_id;
    uint32_t port;
    uint64_t uptime_ms;
    uint64_t client_count;     /* connected now */
    uint64_t connection_count; /* since start */
    uint64_t command_count;    /* since start */
    uint64_t refused_count;    /* connections refused, since start */
    uint64_t busy_count;       /* requests that the gate refused, since start */
    uint64_t request_count;    /* requests in the works now */
    uint64_t request_highest;  /* most of them at a time */
    uint32_t shard_count;
    uint32_t worker_count;
    uint64_t shard_restarts;     /* shard actors restarted, since start */
    uint64_t connection_crashes; /* connection actors that crashed, since start */
    struct kv_keyspace_numbers keys;
    size_t bytes_max; /* 0 is no limit */
};

/**
 * Appends the answer of INFO: the sections named in `argv`, all if there are none.  Sections:
 * server, clients, memory, stats, keyspace, troupe.
 *
 * Errors   KV_ENOMEM, KV_EFULL  no room in `out`; it is as before
 */
int kv_command_put_info(const struct kv_command_info *info, int protocol, size_t argc,
    const struct kv_slice *argv, struct kv_bytes *out);

/** What TROUPE.CRASH is to crash. */
enum kv_command_crash {
    KV_CRASH_CONNECTION, /* the connection that asks */
    KV_CRASH_SHARD,      /* a shard */
};

/**
 * Reads TROUPE.CRASH CONNECTION | SHARD n.  KV_OK, or appends the error and returns KV_EINVAL.
 */
int kv_command_crash_target(size_t argc, const struct kv_slice *argv, uint32_t shard_count,
    struct kv_bytes *out, enum kv_command_crash *out_target, uint32_t *out_shard);

#endif
