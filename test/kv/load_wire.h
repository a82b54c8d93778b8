/* SPDX-License-Identifier: MIT */
/*
 * load_wire.h - what kv-load writes and reads: byte buffers and the Redis protocol, version 2.
 *
 * A reply is parsed in place: its items point into the bytes that were given, and are gone when
 * those move.  Only the shapes that kv-load's commands are answered with are accepted: a single
 * item, or a flat array of bulk strings.  Anything else is malformed, which is a violation.
 */
#ifndef LOAD_WIRE_H
#define LOAD_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

enum {
    LOAD_KEYS_MAX = 8, /* keys in one command, and so elements in one reply */
};

/** `len` bytes at `data + start`; those before were consumed. */
struct load_bytes {
    char *data;
    size_t start;
    size_t len;
    size_t cap;
};

/** One value of a reply; `data` has the text of + and -, and the content of $. */
struct load_item {
    char type; /* one of + - : $ * */
    bool null; /* $-1 or *-1 */
    long long number;
    const char *data;
    size_t len;
};

/** One whole reply, and for an array its elements. */
struct load_reply {
    struct load_item item;
    struct load_item elements[LOAD_KEYS_MAX];
    const char *raw;
    size_t raw_len;
};

enum load_parse {
    LOAD_PARSE_PARTIAL,
    LOAD_PARSE_COMPLETE,
    LOAD_PARSE_MALFORMED,
};

/** Memory of `size` bytes, all zero.  Ends the program with a message when there is none. */
void *load_allocate(size_t size);

/** Resizes `data` to `size` bytes.  Ends the program with a message when there is no memory. */
void *load_reallocate(void *data, size_t size);

/** Room for at least `room` bytes behind the content; returns where they start. */
char *load_bytes_reserve(struct load_bytes *bytes, size_t room);

/** Appends `len` bytes. */
void load_bytes_append(struct load_bytes *bytes, const void *data, size_t len);

/** Drops the first `len` bytes. */
void load_bytes_consume(struct load_bytes *bytes, size_t len);

/** Drops the content, keeps the memory. */
void load_bytes_clear(struct load_bytes *bytes);

/** Frees the memory. */
void load_bytes_fini(struct load_bytes *bytes);

/** Starts a command of `argc` arguments, each put by load_wire_put_argument(). */
void load_wire_put_command(struct load_bytes *bytes, int argc);

/** Puts the next argument of a command. */
void load_wire_put_argument(struct load_bytes *bytes, const void *data, size_t len);

/** Puts the next argument of a command, a string. */
void load_wire_put_text(struct load_bytes *bytes, const char *text);

/** Puts the next argument of a command, a decimal number. */
void load_wire_put_number(struct load_bytes *bytes, long long number);

/** Reads the first reply of `data`.  `out` is filled only when it is complete. */
enum load_parse load_wire_parse(const char *data, size_t len, struct load_reply *out);

/** Reads a decimal number as Redis does: no sign but -, no leading zeros, no spaces, 64 bits. */
bool load_wire_parse_number(const char *data, size_t len, long long *out_number);

/** Prints bytes so that a person can read them, at most `shown_max` of them. */
void load_wire_print(FILE *to, const char *data, size_t len, size_t shown_max);

#endif
