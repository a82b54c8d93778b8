/* SPDX-License-Identifier: MIT */
/*
 * load_wire.c - byte buffers, the encoder of commands and the parser of replies.
 *
 * The parser is strict on purpose.  It starts from the first byte of a reply each time more has
 * arrived; that costs a look at a few headers, never at the content of a bulk string.
 */
#include "load_wire.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

enum {
    LINE_MAX_LEN = 64 * 1024,
    BULK_MAX_LEN = 512 * 1024 * 1024,
};

static void out_of_memory(size_t size)
{
    fprintf(stderr, "kv-load: no memory for %zu bytes\n", size);
    exit(EXIT_FAILURE);
}

void *load_allocate(size_t size)
{
    void *data = calloc(1, size);

    if (data == NULL) {
        out_of_memory(size);
    }
    return data;
}

void *load_reallocate(void *data, size_t size)
{
    void *moved = realloc(data, size);

    if (moved == NULL) {
        out_of_memory(size);
    }
    return moved;
}

char *load_bytes_reserve(struct load_bytes *bytes, size_t room)
{
    if (bytes->start > 0 && bytes->start + bytes->len + room > bytes->cap) {
        memmove(bytes->data, bytes->data + bytes->start, bytes->len);
        bytes->start = 0;
    }
    if (bytes->len + room > bytes->cap) {
        bytes->cap = 2 * (bytes->len + room);
        bytes->data = load_reallocate(bytes->data, bytes->cap);
    }
    return bytes->data + bytes->start + bytes->len;
}

void load_bytes_append(struct load_bytes *bytes, const void *data, size_t len)
{
    char *to = load_bytes_reserve(bytes, len);

    if (len > 0) {
        memcpy(to, data, len);
    }
    bytes->len += len;
}

void load_bytes_consume(struct load_bytes *bytes, size_t len)
{
    bytes->start += len;
    bytes->len -= len;
    if (bytes->len == 0) {
        bytes->start = 0;
    }
}

void load_bytes_clear(struct load_bytes *bytes)
{
    bytes->start = 0;
    bytes->len = 0;
}

void load_bytes_fini(struct load_bytes *bytes)
{
    free(bytes->data);
    *bytes = (struct load_bytes){0};
}

void load_wire_put_command(struct load_bytes *bytes, int argc)
{
    char header[32];
    int len = snprintf(header, sizeof header, "*%d\r\n", argc);

    load_bytes_append(bytes, header, (size_t)len);
}

void load_wire_put_argument(struct load_bytes *bytes, const void *data, size_t len)
{
    char header[32];
    int header_len = snprintf(header, sizeof header, "$%zu\r\n", len);

    load_bytes_append(bytes, header, (size_t)header_len);
    load_bytes_append(bytes, data, len);
    load_bytes_append(bytes, "\r\n", 2);
}

void load_wire_put_text(struct load_bytes *bytes, const char *text)
{
    load_wire_put_argument(bytes, text, strlen(text));
}

void load_wire_put_number(struct load_bytes *bytes, long long number)
{
    char text[32];

    snprintf(text, sizeof text, "%lld", number);
    load_wire_put_text(bytes, text);
}

bool load_wire_parse_number(const char *data, size_t len, long long *out_number)
{
    bool negative = len > 0 && data[0] == '-';
    size_t at = negative ? 1 : 0;
    unsigned long long limit = negative ? (unsigned long long)LLONG_MAX + 1 : LLONG_MAX;
    unsigned long long number = 0;

    if (at == len || (data[at] == '0' && len > 1)) {
        return false;
    }
    for (; at < len; at++) {
        unsigned digit = (unsigned)(unsigned char)data[at] - '0';

        if (digit > 9 || number > (limit - digit) / 10) {
            return false;
        }
        number = number * 10 + digit;
    }
    *out_number = negative ? (long long)(0 - number) : (long long)number;
    return true;
}

/* The line at `data`: `out_len` without its end, `out_used` with it. */
static enum load_parse parse_line(const char *data, size_t len, size_t *out_len, size_t *out_used)
{
    const char *end = memchr(data, '\r', len);

    if (end == NULL || end + 1 == data + len) {
        return len > LINE_MAX_LEN ? LOAD_PARSE_MALFORMED : LOAD_PARSE_PARTIAL;
    }
    if (end[1] != '\n') {
        return LOAD_PARSE_MALFORMED;
    }
    *out_len = (size_t)(end - data);
    *out_used = *out_len + 2;
    return LOAD_PARSE_COMPLETE;
}

/* The content of a bulk string whose header said item->number, `used` bytes into `data`. */
static enum load_parse parse_bulk(
    const char *data, size_t len, size_t *used, struct load_item *item)
{
    if (item->number == -1) {
        item->null = true;
        return LOAD_PARSE_COMPLETE;
    }
    if (item->number < 0 || item->number > BULK_MAX_LEN) {
        return LOAD_PARSE_MALFORMED;
    }
    item->data = data + *used;
    item->len = (size_t)item->number;
    if (len - *used < item->len + 2) {
        return LOAD_PARSE_PARTIAL;
    }
    *used += item->len + 2;
    return memcmp(item->data + item->len, "\r\n", 2) == 0 ? LOAD_PARSE_COMPLETE
                                                          : LOAD_PARSE_MALFORMED;
}

/* One item; of an array, only its header. */
static enum load_parse parse_item(
    const char *data, size_t len, size_t *out_used, struct load_item *item)
{
    size_t line_len;
    enum load_parse parsed;

    *item = (struct load_item){0};
    if (len == 0) {
        return LOAD_PARSE_PARTIAL;
    }
    if (strchr("+-:$*", data[0]) == NULL || data[0] == '\0') {
        return LOAD_PARSE_MALFORMED;
    }
    parsed = parse_line(data, len, &line_len, out_used);
    if (parsed != LOAD_PARSE_COMPLETE) {
        return parsed;
    }
    item->type = data[0];
    item->data = data + 1;
    item->len = line_len - 1;
    if (item->type == '+' || item->type == '-') {
        return LOAD_PARSE_COMPLETE;
    }
    if (!load_wire_parse_number(item->data, item->len, &item->number)) {
        return LOAD_PARSE_MALFORMED;
    }
    return item->type == '$' ? parse_bulk(data, len, out_used, item) : LOAD_PARSE_COMPLETE;
}

static enum load_parse parse_elements(
    const char *data, size_t len, size_t *used, struct load_reply *reply)
{
    if (reply->item.number < 0 || reply->item.number > LOAD_KEYS_MAX) {
        reply->item.null = reply->item.number == -1;
        return reply->item.null ? LOAD_PARSE_COMPLETE : LOAD_PARSE_MALFORMED;
    }
    for (int i = 0; i < reply->item.number; i++) {
        size_t element_used;
        enum load_parse parsed =
            parse_item(data + *used, len - *used, &element_used, &reply->elements[i]);

        if (parsed != LOAD_PARSE_COMPLETE) {
            return parsed;
        }
        if (reply->elements[i].type != '$') {
            return LOAD_PARSE_MALFORMED;
        }
        *used += element_used;
    }
    return LOAD_PARSE_COMPLETE;
}

enum load_parse load_wire_parse(const char *data, size_t len, struct load_reply *out)
{
    struct load_reply reply = {0};
    size_t used = 0;
    enum load_parse parsed = parse_item(data, len, &used, &reply.item);

    if (parsed == LOAD_PARSE_COMPLETE && reply.item.type == '*') {
        parsed = parse_elements(data, len, &used, &reply);
    }
    if (parsed == LOAD_PARSE_COMPLETE) {
        reply.raw = data;
        reply.raw_len = used;
        *out = reply;
    }
    return parsed;
}

static void print_byte(FILE *to, unsigned char byte)
{
    if (byte == '\r') {
        fputs("\\r", to);
    } else if (byte == '\n') {
        fputs("\\n", to);
    } else if (byte == '"' || byte == '\\') {
        fprintf(to, "\\%c", byte);
    } else if (byte < ' ' || byte > '~') {
        fprintf(to, "\\x%02x", byte);
    } else {
        fputc(byte, to);
    }
}

void load_wire_print(FILE *to, const char *data, size_t len, size_t shown_max)
{
    fputc('"', to);
    for (size_t i = 0; i < len && i < shown_max; i++) {
        print_byte(to, (unsigned char)data[i]);
    }
    fputc('"', to);
    if (len > shown_max) {
        fprintf(to, "... (%zu bytes)", len);
    }
}
