/* SPDX-License-Identifier: MIT */
/*
 * resp.c - the Redis protocol: commands out of a stream of bytes, replies into one.
 *
 * The parser keeps one buffer and five positions in it (drawn in resp.h).  It stops wherever bytes
 * are missing and goes on from there: a line end is searched from `scanned`, a bulk is waited for
 * by its length.  Arguments are recorded as offsets from `start`, so the buffer may move until
 * the command is complete; then the same array is turned into slices in place.
 *
 * What has been taken out is dropped by the next feed, and moved down only if it is at least
 * half of the buffer, so that each byte is moved O(1) times whatever the caller's rhythm is.
 */
#include "resp.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BULK_UNKNOWN SIZE_MAX
#define ARGUMENTS_FIRST ((size_t)8)
#define BYTES_FIRST ((size_t)64)

_Static_assert(sizeof(union kv_resp_argument) == sizeof(struct kv_slice),
    "an array of arguments is read as an array of slices");

/* Slices and numbers. */

struct kv_slice kv_slice_of(const char *text)
{
    return (struct kv_slice){text, text ? strlen(text) : 0};
}

bool kv_slice_is(struct kv_slice slice, const char *text)
{
    size_t i;

    if (!text || strlen(text) != slice.len) {
        return false;
    }
    for (i = 0; i < slice.len; i++) {
        if (tolower((unsigned char)slice.data[i]) != tolower((unsigned char)text[i])) {
            return false;
        }
    }
    return true;
}

int kv_slice_integer(struct kv_slice slice, int64_t *out_value)
{
    bool negative = slice.len > 0 && slice.data[0] == '-';
    uint64_t limit = (uint64_t)INT64_MAX + (negative ? 1 : 0);
    uint64_t value = 0;
    size_t i = negative ? 1 : 0;

    if (!out_value) {
        return KV_EINVAL;
    }
    if (slice.len == 1 && slice.data[0] == '0') {
        *out_value = 0;
        return KV_OK;
    }
    if (i == slice.len || slice.data[i] == '0') {
        return KV_ENOTINT;
    }
    for (; i < slice.len; i++) {
        unsigned digit = (unsigned)(unsigned char)slice.data[i] - '0';

        if (digit > 9 || value > (limit - digit) / 10) {
            return KV_ENOTINT;
        }
        value = value * 10 + digit;
    }
    *out_value = negative ? (int64_t)(0 - value) : (int64_t)value;
    return KV_OK;
}

size_t kv_integer_text(int64_t value, char out_text[KV_INTEGER_TEXT_MAX])
{
    uint64_t rest = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    char digits[KV_INTEGER_TEXT_MAX];
    size_t at = sizeof digits;

    do {
        digits[--at] = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest > 0);
    if (value < 0) {
        digits[--at] = '-';
    }
    memcpy(out_text, digits + at, sizeof digits - at);
    return sizeof digits - at;
}

/* Memory. */

void *kv_memory_allocate(const struct kv_memory *memory, size_t bytes)
{
    if (!memory || !memory->allocate) {
        return malloc(bytes);
    }
    return memory->allocate(memory->ctx, bytes);
}

void kv_memory_release(const struct kv_memory *memory, void *block)
{
    if (!memory || !memory->release) {
        free(block);
        return;
    }
    memory->release(memory->ctx, block);
}

void kv_bytes_init(struct kv_bytes *bytes, const struct kv_memory *memory, size_t max)
{
    *bytes = (struct kv_bytes){.max = max, .memory = memory};
}

void kv_bytes_fini(struct kv_bytes *bytes)
{
    if (!bytes) {
        return;
    }
    kv_memory_release(bytes->memory, bytes->data);
    kv_bytes_init(bytes, bytes->memory, bytes->max);
}

void kv_bytes_clear(struct kv_bytes *bytes)
{
    bytes->len = 0;
    bytes->error = KV_OK;
}

int kv_bytes_reserve(struct kv_bytes *bytes, size_t more)
{
    size_t needed;
    size_t cap;
    char *old;
    char *data;

    if (!bytes) {
        return KV_EINVAL;
    }
    needed = bytes->len + more;
    cap = bytes->cap ? bytes->cap : BYTES_FIRST;
    old = bytes->data;
    if (needed < more || needed > SIZE_MAX / 2 || (bytes->max && needed > bytes->max)) {
        return KV_EFULL;
    }
    if (needed <= bytes->cap) {
        return KV_OK;
    }
    while (cap < needed) {
        cap *= 2;
    }
    data = kv_memory_allocate(bytes->memory, cap);
    if (!data) {
        return KV_ENOMEM;
    }
    if (bytes->len > 0) {
        memcpy(data, old, bytes->len);
    }
    bytes->data = data;
    bytes->cap = cap;
    kv_memory_release(bytes->memory, old);
    return KV_OK;
}

int kv_bytes_append(struct kv_bytes *bytes, const void *data, size_t len)
{
    if (!bytes || (!data && len > 0)) {
        return KV_EINVAL;
    }
    if (bytes->error) {
        return bytes->error;
    }
    bytes->error = kv_bytes_reserve(bytes, len);
    if (bytes->error == KV_OK && len > 0) {
        memcpy(bytes->data + bytes->len, data, len);
        bytes->len += len;
    }
    return bytes->error;
}

/* The parser. */

static size_t or_default(size_t value, size_t otherwise)
{
    return value ? value : otherwise;
}

int kv_resp_init(
    struct kv_resp *resp, const struct kv_resp_options *options, const struct kv_memory *memory)
{
    struct kv_resp_options limits = {0};

    if (!resp) {
        return KV_EINVAL;
    }
    if (options) {
        limits = *options;
    }
    limits.argument_count_max = or_default(limits.argument_count_max, KV_RESP_ARGUMENT_COUNT_MAX);
    limits.bulk_max = or_default(limits.bulk_max, KV_RESP_BULK_MAX);
    limits.inline_max = or_default(limits.inline_max, KV_RESP_INLINE_MAX);
    limits.command_max = or_default(limits.command_max, KV_RESP_COMMAND_MAX);
    if (limits.argument_count_max > KV_RESP_ARGUMENT_COUNT_LIMIT ||
        limits.bulk_max > KV_STRING_MAX || limits.command_max < limits.bulk_max ||
        limits.command_max < limits.inline_max || limits.command_max > SIZE_MAX / 8) {
        return KV_EINVAL;
    }
    *resp = (struct kv_resp){.limits = limits, .bulk = BULK_UNKNOWN};
    kv_bytes_init(&resp->input, memory, 0);
    return KV_OK;
}

void kv_resp_fini(struct kv_resp *resp)
{
    if (!resp) {
        return;
    }
    kv_bytes_fini(&resp->input);
    kv_memory_release(resp->input.memory, resp->argument);
    resp->argument = NULL;
    resp->argument_cap = 0;
    resp->argument_count = 0;
}

/* Moves the bytes not taken out yet to the front, if that costs no more than what it frees. */
static void drop_taken(struct kv_resp *resp)
{
    size_t taken = resp->start;
    size_t rest = resp->input.len - taken;

    if (taken == 0 || taken < rest) {
        return;
    }
    memmove(resp->input.data, resp->input.data + taken, rest);
    resp->input.len = rest;
    resp->start = 0;
    resp->at -= taken;
    resp->scanned -= taken;
}

int kv_resp_feed(struct kv_resp *resp, const void *data, size_t len)
{
    size_t rest;
    int err;

    if (!resp || (!data && len > 0)) {
        return KV_EINVAL;
    }
    if (len == 0 || resp->error_text[0]) {
        return KV_OK;
    }
    rest = resp->input.len - resp->start;
    if (len > resp->limits.command_max + KV_RESP_FEED_MAX - rest) {
        return KV_EFULL;
    }
    drop_taken(resp);
    err = kv_bytes_reserve(&resp->input, len);
    if (err) {
        return err;
    }
    memcpy(resp->input.data + resp->input.len, data, len);
    resp->input.len += len;
    return KV_OK;
}

/* Makes room for one more argument, or for `count` in all. */
static int reserve_arguments(struct kv_resp *resp, size_t count)
{
    size_t cap = resp->argument_cap ? resp->argument_cap : ARGUMENTS_FIRST;
    union kv_resp_argument *old = resp->argument;
    union kv_resp_argument *argument;

    if (count <= resp->argument_cap) {
        return KV_OK;
    }
    while (cap < count) {
        cap *= 2;
    }
    argument = kv_memory_allocate(resp->input.memory, cap * sizeof *argument);
    if (!argument) {
        return KV_ENOMEM;
    }
    if (resp->argument_count > 0) {
        memcpy(argument, old, resp->argument_count * sizeof *argument);
    }
    resp->argument = argument;
    resp->argument_cap = cap;
    kv_memory_release(resp->input.memory, old);
    return KV_OK;
}

static int protocol_error(struct kv_resp *resp, const char *text)
{
    snprintf(resp->error_text, sizeof resp->error_text, "ERR Protocol error: %s", text);
    return KV_EPROTOCOL;
}

/* The next item begins at `at`. */
static void advance(struct kv_resp *resp, size_t at)
{
    resp->at = at;
    resp->scanned = at;
}

/* A complete line at `at`: 1 and where its LF is, 0 if more bytes are needed, or an error. */
static int find_line(struct kv_resp *resp, const char *too_big, size_t *out_end)
{
    size_t stop = resp->input.len;
    size_t line_max = resp->limits.inline_max + strlen("\r\n");
    const char *end = NULL;

    if (stop - resp->at > line_max) {
        stop = resp->at + line_max;
    }
    if (stop > resp->scanned) {
        end = memchr(resp->input.data + resp->scanned, '\n', stop - resp->scanned);
    }
    if (end) {
        *out_end = (size_t)(end - resp->input.data);
        return 1;
    }
    resp->scanned = stop;
    return stop - resp->at == line_max ? protocol_error(resp, too_big) : 0;
}

/* The number in a line of one type byte, digits, CR LF: 1 if it is complete, 0, or an error. */
static int read_header(struct kv_resp *resp, const char *too_big, const char *invalid,
    int64_t *out_value, size_t *out_next)
{
    struct kv_slice digits;
    size_t end = 0;
    int found = find_line(resp, too_big, &end);

    if (found <= 0) {
        return found;
    }
    if (end - resp->at < 2 || resp->input.data[end - 1] != '\r') {
        return protocol_error(resp, invalid);
    }
    digits.data = resp->input.data + resp->at + 1;
    digits.len = end - 1 - (resp->at + 1);
    if (kv_slice_integer(digits, out_value)) {
        return protocol_error(resp, invalid);
    }
    *out_next = end + 1;
    return 1;
}

/* `*count`: 1 if it has been read; a count of none leaves `missing` at 0. */
static int read_count(struct kv_resp *resp)
{
    static const char invalid[] = "invalid multibulk length";
    int64_t count = 0;
    size_t next = 0;
    int found = read_header(resp, "too big mbulk count string", invalid, &count, &next);

    if (found <= 0) {
        return found;
    }
    if (count > (int64_t)resp->limits.argument_count_max) {
        return protocol_error(resp, invalid);
    }
    advance(resp, next);
    if (count <= 0) {
        resp->start = next;
        return 1;
    }
    resp->missing = (size_t)count;
    return 1;
}

static int report_type(struct kv_resp *resp, char byte)
{
    char text[] = "expected '$', got ' '";

    if (byte != '\0' && byte != '\r' && byte != '\n') {
        text[strlen(text) - 2] = byte;
    }
    return protocol_error(resp, text);
}

/* `$length`: 1 if it has been read. */
static int read_length(struct kv_resp *resp)
{
    static const char invalid[] = "invalid bulk length";
    int64_t len = 0;
    size_t next = 0;
    int found;

    if (resp->at == resp->input.len) {
        return 0;
    }
    if (resp->input.data[resp->at] != '$') {
        return report_type(resp, resp->input.data[resp->at]);
    }
    found = read_header(resp, "too big bulk count string", invalid, &len, &next);
    if (found <= 0) {
        return found;
    }
    if (len < 0 || len > (int64_t)resp->limits.bulk_max) {
        return protocol_error(resp, invalid);
    }
    if (next - resp->start + (size_t)len + strlen("\r\n") > resp->limits.command_max) {
        return protocol_error(resp, "too big command");
    }
    advance(resp, next);
    resp->bulk = (size_t)len;
    return 1;
}

/* The bytes of a bulk and CR LF: 1 if they have been read. */
static int read_bulk(struct kv_resp *resp)
{
    size_t end = resp->at + resp->bulk;
    int err;

    if (resp->input.len < end + strlen("\r\n")) {
        return 0;
    }
    if (memcmp(resp->input.data + end, "\r\n", strlen("\r\n")) != 0) {
        return protocol_error(resp, "expected CRLF after bulk");
    }
    err = reserve_arguments(resp, resp->argument_count + 1);
    if (err) {
        return err;
    }
    resp->argument[resp->argument_count].span.at = resp->at - resp->start;
    resp->argument[resp->argument_count].span.len = resp->bulk;
    resp->argument_count++;
    advance(resp, end + strlen("\r\n"));
    resp->bulk = BULK_UNKNOWN;
    resp->missing--;
    return 1;
}

/* Reading and writing positions in a line of words; words are unquoted in place. */
struct words {
    const char *from;
    const char *end;
    char *to;
};

static int hex_value(char digit)
{
    int c = tolower((unsigned char)digit);

    return isdigit(c) ? c - '0' : c - 'a' + 10;
}

/* What follows a backslash between double quotes. */
static void take_escape(struct words *words)
{
    static const char names[] = "nrtba";
    static const char bytes[] = "\n\r\t\b\a";
    const char *from = words->from;
    const char *name;
    char byte = from[0];

    if (words->end - from >= 3 && from[0] == 'x' && isxdigit((unsigned char)from[1]) &&
        isxdigit((unsigned char)from[2])) {
        *words->to++ = (char)(hex_value(from[1]) * 16 + hex_value(from[2]));
        words->from += 3;
        return;
    }
    name = memchr(names, byte, strlen(names));
    if (name) {
        byte = bytes[name - names];
    }
    *words->to++ = byte;
    words->from++;
}

/* A quoted run up to its closing quote, which must end the word.  False if it does not. */
static bool take_quoted(struct words *words, char quote)
{
    while (words->from < words->end) {
        char byte = *words->from++;

        if (byte == quote) {
            return words->from == words->end || isspace((unsigned char)*words->from);
        }
        if (byte == '\\' && words->from < words->end && quote == '"') {
            take_escape(words);
        } else if (byte == '\\' && words->from < words->end && *words->from == '\'') {
            *words->to++ = *words->from++;
        } else {
            *words->to++ = byte;
        }
    }
    return false;
}

/* One word.  False if its quotes are not balanced. */
static bool take_word(struct words *words)
{
    while (words->from < words->end && !memchr(" \n\r\t", *words->from, 4)) {
        char byte = *words->from++;

        if (byte == '"' || byte == '\'') {
            return take_quoted(words, byte);
        }
        *words->to++ = byte;
    }
    return true;
}

/* Cuts the line between `at` and `end` into arguments. */
static int split_line(struct kv_resp *resp, size_t end)
{
    char *line = resp->input.data + resp->start;
    struct words words = {line, resp->input.data + end, line};

    for (;;) {
        char *word = words.to;

        while (words.from < words.end && isspace((unsigned char)*words.from)) {
            words.from++;
        }
        if (words.from == words.end) {
            return 1;
        }
        if (resp->argument_count == resp->limits.argument_count_max) {
            return protocol_error(resp, "too many arguments in request");
        }
        if (!take_word(&words)) {
            return protocol_error(resp, "unbalanced quotes in request");
        }
        resp->argument[resp->argument_count].span.at = (size_t)(word - line);
        resp->argument[resp->argument_count].span.len = (size_t)(words.to - word);
        resp->argument_count++;
    }
}

/* A line of words: 1 if it has been read, with no arguments if it was blank. */
static int read_line(struct kv_resp *resp)
{
    size_t end = 0;
    size_t stop;
    size_t count_max;
    int found = find_line(resp, "too big inline request", &end);

    if (found <= 0) {
        return found;
    }
    stop = end > resp->at && resp->input.data[end - 1] == '\r' ? end - 1 : end;
    count_max = (stop - resp->at + 1) / 2;
    if (count_max > resp->limits.argument_count_max) {
        count_max = resp->limits.argument_count_max;
    }
    found = reserve_arguments(resp, count_max);
    if (found < 0) {
        return found;
    }
    found = split_line(resp, stop);
    if (found < 0) {
        return found;
    }
    advance(resp, end + 1);
    if (resp->argument_count == 0) {
        resp->start = resp->at;
    }
    return 1;
}

/* The start of a command, of either kind: 1 if it has been read. */
static int read_start(struct kv_resp *resp)
{
    resp->start = resp->at;
    resp->argument_count = 0;
    if (resp->at == resp->input.len) {
        return 0;
    }
    return resp->input.data[resp->at] == '*' ? read_count(resp) : read_line(resp);
}

/* The command is complete: its offsets become slices. */
static const struct kv_slice *finish(struct kv_resp *resp)
{
    const char *base = resp->input.data + resp->start;
    size_t i;

    for (i = 0; i < resp->argument_count; i++) {
        size_t at = resp->argument[i].span.at;
        size_t len = resp->argument[i].span.len;

        resp->argument[i].slice.data = base + at;
        resp->argument[i].slice.len = len;
    }
    resp->start = resp->at;
    return &resp->argument[0].slice;
}

int kv_resp_next(struct kv_resp *resp, size_t *out_argc, const struct kv_slice **out_argv)
{
    if (!resp || !out_argc || !out_argv) {
        return KV_EINVAL;
    }
    if (resp->error_text[0]) {
        return KV_EPROTOCOL;
    }
    for (;;) {
        int step;

        if (resp->missing == 0) {
            step = read_start(resp);
        } else if (resp->bulk == BULK_UNKNOWN) {
            step = read_length(resp);
        } else {
            step = read_bulk(resp);
        }
        if (step <= 0) {
            return step;
        }
        if (resp->missing == 0 && resp->argument_count > 0) {
            *out_argc = resp->argument_count;
            *out_argv = finish(resp);
            return 1;
        }
    }
}

const char *kv_resp_error_text(const struct kv_resp *resp)
{
    return resp ? resp->error_text : "";
}

size_t kv_resp_held(const struct kv_resp *resp)
{
    return resp ? resp->input.cap + resp->argument_cap * sizeof *resp->argument : 0;
}

void kv_resp_trim(struct kv_resp *resp)
{
    if (!resp || resp->start != resp->input.len) {
        return;
    }
    kv_resp_fini(resp);
    resp->start = 0;
    advance(resp, 0);
}

/* Replies. */

/* A type byte, a number, CR LF. */
static void put_header(struct kv_bytes *out, char type, int64_t value)
{
    char line[1 + KV_INTEGER_TEXT_MAX + 2];
    size_t len;

    line[0] = type;
    len = 1 + kv_integer_text(value, line + 1);
    line[len++] = '\r';
    line[len++] = '\n';
    kv_bytes_append(out, line, len);
}

static void put_block(struct kv_bytes *out, char type, const char *prefix, struct kv_slice value)
{
    put_header(out, type, (int64_t)(strlen(prefix) + value.len));
    kv_bytes_append(out, prefix, strlen(prefix));
    kv_bytes_append(out, value.data, value.len);
    kv_bytes_append(out, "\r\n", 2);
}

void kv_resp_put_simple(struct kv_bytes *out, const char *text)
{
    kv_bytes_append(out, "+", 1);
    kv_bytes_append(out, text, strlen(text));
    kv_bytes_append(out, "\r\n", 2);
}

void kv_resp_put_error(struct kv_bytes *out, const char *text)
{
    kv_resp_put_error_slice(out, kv_slice_of(text));
}

void kv_resp_put_error_slice(struct kv_bytes *out, struct kv_slice text)
{
    size_t from;

    kv_bytes_append(out, "-", 1);
    from = out->len;
    if (kv_bytes_append(out, text.data, text.len) == KV_OK) {
        for (size_t i = from; i < out->len; i++) {
            if (out->data[i] == '\r' || out->data[i] == '\n') {
                out->data[i] = ' ';
            }
        }
    }
    kv_bytes_append(out, "\r\n", 2);
}

void kv_resp_put_integer(struct kv_bytes *out, int64_t value)
{
    put_header(out, ':', value);
}

void kv_resp_put_bulk(struct kv_bytes *out, struct kv_slice value)
{
    put_block(out, '$', "", value);
}

void kv_resp_put_text(struct kv_bytes *out, const char *text)
{
    kv_resp_put_bulk(out, kv_slice_of(text));
}

void kv_resp_put_null(struct kv_bytes *out, int protocol)
{
    const char *text = protocol >= 3 ? "_\r\n" : "$-1\r\n";

    kv_bytes_append(out, text, strlen(text));
}

void kv_resp_put_array(struct kv_bytes *out, size_t count)
{
    put_header(out, '*', (int64_t)count);
}

void kv_resp_put_map(struct kv_bytes *out, int protocol, size_t count)
{
    if (protocol >= 3) {
        put_header(out, '%', (int64_t)count);
    } else {
        put_header(out, '*', (int64_t)count * 2);
    }
}

void kv_resp_put_set(struct kv_bytes *out, int protocol, size_t count)
{
    put_header(out, protocol >= 3 ? '~' : '*', (int64_t)count);
}

void kv_resp_put_double(struct kv_bytes *out, int protocol, double value)
{
    char text[40];

    snprintf(text, sizeof text, "%.17g", value);
    if (protocol < 3) {
        kv_resp_put_text(out, text);
        return;
    }
    kv_bytes_append(out, ",", 1);
    kv_bytes_append(out, text, strlen(text));
    kv_bytes_append(out, "\r\n", 2);
}

void kv_resp_put_bool(struct kv_bytes *out, int protocol, bool value)
{
    if (protocol < 3) {
        kv_resp_put_integer(out, value ? 1 : 0);
        return;
    }
    kv_bytes_append(out, value ? "#t\r\n" : "#f\r\n", 4);
}

void kv_resp_put_verbatim(struct kv_bytes *out, int protocol, struct kv_slice text)
{
    if (protocol < 3) {
        kv_resp_put_bulk(out, text);
        return;
    }
    put_block(out, '=', "txt:", text);
}

void kv_resp_put_command(struct kv_bytes *out, size_t argc, const struct kv_slice *argv)
{
    size_t i;

    kv_resp_put_array(out, argc);
    for (i = 0; i < argc; i++) {
        kv_resp_put_bulk(out, argv[i]);
    }
}

/* The item at `at`, without the items that it opens: where the next begins, 0 or an error. */
static int64_t item_end(struct kv_slice bytes, size_t at, uint64_t *out_opened)
{
    const char *line = bytes.data + at;
    const char *end = memchr(line, '\n', bytes.len - at);
    struct kv_slice digits;
    int64_t value = 0;
    size_t next;

    *out_opened = 0;
    if (!end) {
        return 0;
    }
    next = (size_t)(end - bytes.data) + 1;
    if (end - line < 2 || end[-1] != '\r') {
        return KV_EPROTOCOL;
    }
    if (memchr("+-:,#_(", line[0], 7)) {
        return (int64_t)next;
    }
    digits = (struct kv_slice){line + 1, (size_t)(end - line) - 2};
    if (!memchr("$=!*~>%", line[0], 7) || kv_slice_integer(digits, &value) || value < -1 ||
        value > INT32_MAX) {
        return KV_EPROTOCOL;
    }
    if (!memchr("$=!", line[0], 3)) {
        *out_opened = value < 0 ? 0 : (uint64_t)value * (line[0] == '%' ? 2 : 1);
        return (int64_t)next;
    }
    if (value < 0) {
        return (int64_t)next;
    }
    if (bytes.len - next < (size_t)value + 2) {
        return 0;
    }
    next += (size_t)value + 2;
    return memcmp(bytes.data + next - 2, "\r\n", 2) == 0 ? (int64_t)next : KV_EPROTOCOL;
}

int64_t kv_resp_reply_length(struct kv_slice bytes)
{
    uint64_t missing = 1;
    size_t at = 0;

    while (missing > 0) {
        uint64_t opened = 0;
        int64_t next;

        if (at == bytes.len) {
            return 0;
        }
        next = item_end(bytes, at, &opened);
        if (next <= 0) {
            return next;
        }
        at = (size_t)next;
        missing += opened - 1;
    }
    return (int64_t)at;
}
