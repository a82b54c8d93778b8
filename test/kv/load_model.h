/* SPDX-License-Identifier: MIT */
/*
 * load_model.h - what kv-load knows of its keys, and which replies that allows.
 *
 * A key is a set of possible states, one of which is the truth.  Without crashes it has exactly
 * one.  A command with a reply is applied to every state; states that would have been answered
 * otherwise are struck out, and if none is left the reply was wrong (load_model_settle).  A command
 * that a crash left without an outcome adds to each state what it would have made of it
 * (load_model_branch).  Keys are independent of one another, also within MSET and DEL: what is
 * known of several keys together is kept only per key.  That may allow a reply too many, never one
 * too few.
 *
 * A key is touched by one connection only, in the order of its commands.
 */
#ifndef LOAD_MODEL_H
#define LOAD_MODEL_H

#include "load_wire.h"

#include <stdint.h>

enum load_op {
    LOAD_SET,
    LOAD_GET,
    LOAD_GETDEL,
    LOAD_DEL,
    LOAD_EXISTS,
    LOAD_INCR,
    LOAD_DECRBY,
    LOAD_APPEND,
    LOAD_STRLEN,
    LOAD_MSET,
    LOAD_MGET,
    LOAD_EXPIRE,
    LOAD_TTL,
    LOAD_PERSIST,
    LOAD_TYPE,
    LOAD_ECHO,
    LOAD_PING,
    LOAD_DBSIZE,
    LOAD_QUIT,
    LOAD_CRASH_SHARD,
    LOAD_CRASH_CONNECTION, /* its reply, if any, is no matter of the model */
};

/** Bytes that are never changed, shared by commands and states. */
struct load_value {
    unsigned refs;
    size_t len;
    char bytes[];
};

/** One thing that a key may be. */
struct load_state {
    struct load_value *value; /* NULL: there is no such key */
    bool expires;
    uint64_t deadline_low_ms; /* if it expires, then between these two */
    uint64_t deadline_high_ms;
};

struct load_key {
    struct load_state *states;
    int state_count;
    int state_cap;
    bool unread; /* since its last change or crash, no GET or MGET was sent */
};

struct load_command {
    enum load_op op;
    int key_count;
    int keys[LOAD_KEYS_MAX];                  /* numbers of the connection's keys */
    struct load_value *values[LOAD_KEYS_MAX]; /* of keys[i]; ECHO and PING use the first */
    long long amount;  /* SET: PX in ms or 0; DECRBY; EXPIRE: seconds; a shard; DBSIZE: at most */
    int place;         /* a shard's crash: at so many-th place where it can crash; 0: at once */
    bool only_new;     /* SET NX */
    bool only_old;     /* SET XX */
    bool want_old;     /* SET GET */
    uint64_t sent_us;  /* when it was put into the buffer of its connection */
    uint64_t wire_end; /* where it ends in the stream of bytes of its connection */
};

/** When a command may have been served. */
struct load_window {
    uint64_t low_ms;
    uint64_t high_ms;
};

/** A new value with `len` bytes still to be filled in, taken once. */
struct load_value *load_value_create(size_t len);

/** Takes one more reference; NULL stays NULL. */
struct load_value *load_value_take(struct load_value *value);

/** Gives one reference back; the last frees it.  NULL is fine. */
void load_value_give(struct load_value *value);

/** A key of which only this is known: it may exist or not.  DEL settles it. */
void load_key_init(struct load_key *key);

/** Frees the states of a key. */
void load_key_fini(struct load_key *key);

/** Gives back the values of a command. */
void load_command_fini(struct load_command *command);

/** Whether a command of this kind may change its keys. */
bool load_op_mutates(enum load_op op);

/** Appends the command to `bytes`; key number k is named `<prefix>k`. */
void load_command_encode(
    const struct load_command *command, const char *prefix, struct load_bytes *bytes);

/** Prints the command, long arguments cut. */
void load_command_print(FILE *to, const struct load_command *command, const char *prefix);

/**
 * Applies `command` and strikes out the states that `reply` rules out.  False if it rules out all:
 * the reply is wrong, and at least one key is left as it was, for load_model_explain().
 */
bool load_model_settle(struct load_key *keys, const struct load_command *command,
    const struct load_reply *reply, struct load_window window);

/** The command may have been applied to each of its keys, or not. */
void load_model_branch(
    struct load_key *keys, const struct load_command *command, struct load_window window);

/**
 * Prints which replies to `command` the model allows, and where a value that came in `reply` (NULL
 * if none did) departs from them.
 */
void load_model_explain(FILE *to, const struct load_key *keys, const struct load_command *command,
    const struct load_reply *reply, struct load_window window);

#endif
