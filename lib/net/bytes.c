/* SPDX-License-Identifier: MIT */
/*
 * bytes.c - see bytes.h.  Growing doubles, so each byte is moved O(1) times; a buffer that is at least half
 * taken is moved to its front instead.
 */
#include "bytes.h"

#include <string.h>

#define TRP_BYTES_ALIGN 16

/* Least room of a buffer. */
#define TRP_BYTES_MIN ((size_t)512)

static bool grow(struct trp_bytes *bytes, struct trp_memory *memory, size_t need)
{
    size_t room = bytes->room > 0 ? bytes->room : TRP_BYTES_MIN;
    unsigned char *data;

    while (room < need) {
        room *= 2;
    }
    data = trp_memory_alloc(memory, room, TRP_BYTES_ALIGN);
    if (data == NULL) {
        return false;
    }
    if (bytes->size > 0) {
        memcpy(data, trp_bytes_head(bytes), bytes->size);
    }
    trp_memory_free(memory, bytes->data, bytes->room);
    bytes->data = data;
    bytes->start = 0;
    bytes->room = room;
    return true;
}

unsigned char *trp_bytes_reserve(struct trp_bytes *bytes, struct trp_memory *memory, size_t more)
{
    if (more > TRP_BYTES_MAX || bytes->size > TRP_BYTES_MAX - more) {
        return NULL;
    }
    if (trp_bytes_room(bytes) < more || bytes->data == NULL) {
        if (bytes->data != NULL && bytes->size + more <= bytes->room &&
            bytes->start >= bytes->size) {
            memmove(bytes->data, trp_bytes_head(bytes), bytes->size);
            bytes->start = 0;
        } else if (!grow(bytes, memory, bytes->size + more)) {
            return NULL;
        }
    }
    return trp_bytes_head(bytes) + bytes->size;
}

void trp_bytes_rest(struct trp_bytes *bytes, struct trp_memory *memory, size_t keep)
{
    if (bytes->size == 0 && bytes->room > keep) {
        trp_bytes_free(bytes, memory);
    }
}

void trp_bytes_free(struct trp_bytes *bytes, struct trp_memory *memory)
{
    trp_memory_free(memory, bytes->data, bytes->room);
    *bytes = (struct trp_bytes){0};
}
