/* SPDX-License-Identifier: MIT */
/*
 * resp.h - the Redis protocol: commands out of a stream of bytes, replies into one.
 *
 * The lowest file of troupe-kv, so the words that all of them share are here as well: error codes,
 * byte slices, the memory hook and the growable buffer.
 *
 * Parsing.  The connection appends whatever it read, in pieces of any size, and takes complete
 * commands out in order:
 *
 *      kv_resp_feed(parser, bytes, count);
 *      while ((err = kv_resp_next(parser, &argc, &argv)) > 0) {
 *          serve(argc, argv);
 *      }
 *      if (err < 0) {
 *          kv_resp_put_error(out, kv_resp_error_text(parser));      and close the connection
 *      }
 *
 * Invariants: the commands depend on the bytes only, never on how they were split.  Every limit is
 * checked on what a client announces, before memory is taken; memory is taken for bytes that have
 * arrived.  Each byte is looked at once, and moved O(1) times.
 *
 * Where Redis does not look (the two bytes after a bulk, the byte after a carriage return) the
 * parser here insists on CR LF and calls anything else a protocol error.
 */
#ifndef KV_RESP_H
#define KV_RESP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** What can go wrong.  0 or a count is success. */
enum kv_err {
    KV_OK = 0,
    KV_ENOMEM = -1,     /* the memory hook gave no memory; nothing was changed */
    KV_EINVAL = -2,     /* a caller's mistake: NULL or a value out of range */
    KV_ENOENT = -3,     /* no such key */
    KV_EPROTOCOL = -4,  /* malformed input; the connection cannot go on */
    KV_EFULL = -5,      /* a limit of a buffer was reached */
    KV_ENOTINT = -6,    /* the value is not a 64-bit decimal integer */
    KV_EOVERFLOW = -7,  /* the sum does not fit in 64 bits */
    KV_EMAXMEMORY = -8, /* the keyspace has reached its maximum of bytes */
    KV_ETOOBIG = -9,    /* a key or value longer than KV_STRING_MAX */
};

/** No key and no value is longer than this: 512 MiB, as in Redis. */
#define KV_STRING_MAX ((size_t)512 << 20)

/** Bytes that somebody else owns.  `data` may be NULL if `len` is 0. */
struct kv_slice {
    const char *data;
    size_t len;
};

/** A slice of a C string, without its terminator.  The string must outlive the slice. */
struct kv_slice kv_slice_of(const char *text);

/** Whether `slice` reads as `text`, letters compared without case (ASCII). */
bool kv_slice_is(struct kv_slice slice, const char *text);

/**
 * Reads a decimal integer as Redis does: no blanks, no plus, no leading zeros, all 64 bits.
 *
 * Errors   KV_ENOTINT  it is anything else
 */
int kv_slice_integer(struct kv_slice slice, int64_t *out_value);

/** Room for any 64-bit integer in decimal. */
#define KV_INTEGER_TEXT_MAX 20

/** Writes `value` in decimal, without terminator, and returns how many bytes that are. */
size_t kv_integer_text(int64_t value, char out_text[KV_INTEGER_TEXT_MAX]);

/**
 * Where memory comes from.  A NULL member means malloc, free and nothing, in this order; so does
 * a NULL `struct kv_memory *` wherever one is asked for.
 *
 * Abandon  `allocate` and `point` may leave by longjmp, and the interrupted code is then never
 *          resumed.  `release` always returns.
 */
struct kv_memory {
    void *(*allocate)(void *ctx, size_t bytes);  /* aligned for anything; NULL if there is none */
    void (*release)(void *ctx, void *block);     /* `block` may be NULL */
    void (*point)(void *ctx, const char *where); /* called at each named place of a change */
    void *ctx;
};

/** Allocates through `memory`, which may be NULL. */
void *kv_memory_allocate(const struct kv_memory *memory, size_t bytes);

/** Releases what kv_memory_allocate() gave. */
void kv_memory_release(const struct kv_memory *memory, void *block);

/**
 * A growable buffer.  Its fields may be read; `len` may be lowered to cut off the end.
 *
 * Errors are sticky: after the first failure `error` is set, nothing more is appended, and what
 * had been appended stays.  So a reply is built without looking, and `error` is looked at once.
 *
 * Abandon  growing never loses the old block: a buffer that is kept where it outlives a longjmp
 *          can be used or released after it
 */
struct kv_bytes {
    char *data;
    size_t len;
    size_t cap;
    size_t max;                     /* never holds more than this; 0 sets no limit */
    int error;                      /* KV_OK, KV_ENOMEM or KV_EFULL */
    const struct kv_memory *memory; /* borrowed; NULL for malloc */
};

/** Makes an empty buffer, without allocation.  `memory` is borrowed; `max` 0 sets no limit. */
void kv_bytes_init(struct kv_bytes *bytes, const struct kv_memory *memory, size_t max);

/** Releases the block and leaves an empty buffer that may be used again. */
void kv_bytes_fini(struct kv_bytes *bytes);

/** Forgets content and error, keeps the block. */
void kv_bytes_clear(struct kv_bytes *bytes);

/**
 * Makes room for `more` bytes, so that appending these cannot fail.  Does not set `error`.
 *
 * Errors   KV_ENOMEM  no memory
 *          KV_EFULL   it would hold more than `max`
 */
int kv_bytes_reserve(struct kv_bytes *bytes, size_t more);

/** Appends `len` bytes.  Returns `bytes->error`. */
int kv_bytes_append(struct kv_bytes *bytes, const void *data, size_t len);

/** Limits of a parser; a zero means the default. */
struct kv_resp_options {
    size_t argument_count_max; /* arguments of a command, its name included; 1024 */
    size_t bulk_max;           /* bytes of one argument; 1 MiB, at most KV_STRING_MAX */
    size_t inline_max;         /* bytes of a line; 64 KiB */
    size_t command_max;        /* bytes of a whole command as it is sent; 16 MiB */
};

/** The defaults, and the most that `argument_count_max` can be. */
#define KV_RESP_ARGUMENT_COUNT_MAX ((size_t)1024)
#define KV_RESP_ARGUMENT_COUNT_LIMIT ((size_t)1024 * 1024)
#define KV_RESP_BULK_MAX ((size_t)1 << 20)
#define KV_RESP_INLINE_MAX ((size_t)64 << 10)
#define KV_RESP_COMMAND_MAX ((size_t)16 << 20)

/** Once kv_resp_next() returned 0, a feed of this many bytes is never KV_EFULL. */
#define KV_RESP_FEED_MAX ((size_t)64 << 10)

/** One argument: an offset into the buffer until its command is complete, a slice from then on. */
union kv_resp_argument {
    struct {
        size_t at;
        size_t len;
    } span;
    struct kv_slice slice;
};

/**
 * A parser.  To embed in the state of a connection; all fields are the parser's own.
 *
 *      input   | taken already |  the command being read  | not yet looked at |
 *              0               start        at       scanned                  len
 */
struct kv_resp {
    struct kv_resp_options limits; /* set once, no zeros in it */
    struct kv_bytes input;         /* what was fed, from some byte on */
    size_t start;                  /* first byte of the command being read */
    size_t at;                     /* first byte of the item being read */
    size_t scanned;                /* no line end between `at` and here */
    size_t missing;                /* arguments still to come; 0 between commands */
    size_t bulk;                   /* bytes of the bulk being read, SIZE_MAX before its header */
    union kv_resp_argument *argument;
    size_t argument_count;
    size_t argument_cap;
    char error_text[80]; /* empty while all is well */
};

/**
 * Makes a parser, without allocation.  `options` may be NULL; `memory` is borrowed and may be NULL.
 *
 * Errors   KV_EINVAL  a limit larger than allowed, or command_max smaller than bulk_max
 */
int kv_resp_init(
    struct kv_resp *resp, const struct kv_resp_options *options, const struct kv_memory *memory);

/** Releases what the parser holds. */
void kv_resp_fini(struct kv_resp *resp);

/**
 * Appends bytes as they arrived.  Ends the validity of all slices taken out before.
 *
 * Errors   KV_EFULL   commands have to be taken out first; nothing was appended
 *          KV_ENOMEM  no memory; nothing was appended
 */
int kv_resp_feed(struct kv_resp *resp, const void *data, size_t len);

/**
 * Takes the next complete command out: 1 if there was one, 0 if more bytes are needed.
 *
 * Owns     the array belongs to the parser until the next call of this function; the bytes that it
 *          points to until the next kv_resp_feed() or kv_resp_trim().  `*out_argc` is at least 1
 * Errors   KV_EPROTOCOL  the bytes are no command; kv_resp_error_text() says why, and it stays so
 *          KV_ENOMEM     no memory for the array; the command is still there
 */
int kv_resp_next(struct kv_resp *resp, size_t *out_argc, const struct kv_slice **out_argv);

/** What is wrong with the input, as Redis words it, to be sent as an error; "" if nothing is. */
const char *kv_resp_error_text(const struct kv_resp *resp);

/** Bytes held: at most four times command_max and a feed, and a few dozen for each argument. */
size_t kv_resp_held(const struct kv_resp *resp);

/** Releases all memory if no byte waits in the parser: for connections that fall idle. */
void kv_resp_trim(struct kv_resp *resp);

/*
 * Replies.  Each function appends one item to `out`; see kv_bytes for what becomes of errors.
 * `protocol` is 2 or 3.
 */

/** `+text`.  `text` must not hold CR or LF. */
void kv_resp_put_simple(struct kv_bytes *out, const char *text);

/** `-text`, with the error's code as first word.  CR and LF become blanks. */
void kv_resp_put_error(struct kv_bytes *out, const char *text);

/** The same for text that need not be a C string. */
void kv_resp_put_error_slice(struct kv_bytes *out, struct kv_slice text);

/** `:value`. */
void kv_resp_put_integer(struct kv_bytes *out, int64_t value);

/** `$len` and the bytes. */
void kv_resp_put_bulk(struct kv_bytes *out, struct kv_slice value);

/** A C string as a bulk. */
void kv_resp_put_text(struct kv_bytes *out, const char *text);

/** Nothing: `$-1`, or `_`. */
void kv_resp_put_null(struct kv_bytes *out, int protocol);

/** Opens an array: `count` items follow. */
void kv_resp_put_array(struct kv_bytes *out, size_t count);

/** Opens a map: `count` pairs follow, key before value.  A flat array in protocol 2. */
void kv_resp_put_map(struct kv_bytes *out, int protocol, size_t count);

/** Opens a set: `count` items follow.  An array in protocol 2. */
void kv_resp_put_set(struct kv_bytes *out, int protocol, size_t count);

/** `,value`, or the number as a bulk in protocol 2. */
void kv_resp_put_double(struct kv_bytes *out, int protocol, double value);

/** `#t` or `#f`, or 1 or 0 in protocol 2. */
void kv_resp_put_bool(struct kv_bytes *out, int protocol, bool value);

/** Text for people: `=len` and `txt:`, or a bulk in protocol 2. */
void kv_resp_put_verbatim(struct kv_bytes *out, int protocol, struct kv_slice text);

/** A command as a client sends it: an array of bulks. */
void kv_resp_put_command(struct kv_bytes *out, size_t argc, const struct kv_slice *argv);

/**
 * Length of the first complete reply in `bytes`, or 0 if it is not complete.  For whoever joins
 * or forwards replies made by the functions above.
 *
 * Errors   KV_EPROTOCOL  it is no reply
 */
int64_t kv_resp_reply_length(struct kv_slice bytes);

#endif
