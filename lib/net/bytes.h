/* SPDX-License-Identifier: MIT */
/*
 * bytes.h - a growable run of bytes that is filled at one end and taken at the other.
 *
 * From the runtime's memory, so that it is counted and limited.  One that is empty may be kept for the next
 * bytes or freed: trp_bytes_rest() keeps a small one only.
 */
#ifndef TRP_NET_BYTES_H
#define TRP_NET_BYTES_H

#include "memory.h"

/** An empty buffer larger than this is not kept. */
#define TRP_BYTES_KEEP ((size_t)4096)

/** No buffer holds more than this. */
#define TRP_BYTES_MAX ((size_t)1 << 30)

struct trp_bytes {
    unsigned char *data;
    size_t start; /* of what is there */
    size_t size;  /* of what is there */
    size_t room;  /* bytes of the block */
};

/** What is there; `bytes->size` bytes. */
static inline unsigned char *trp_bytes_head(const struct trp_bytes *bytes)
{
    return bytes->data + bytes->start;
}

/** Makes room for `more` bytes behind what is there; NULL without memory or above TRP_BYTES_MAX. */
unsigned char *trp_bytes_reserve(struct trp_bytes *bytes, struct trp_memory *memory, size_t more);

/** How many bytes the room behind what is there takes now. */
static inline size_t trp_bytes_room(const struct trp_bytes *bytes)
{
    return bytes->room - bytes->start - bytes->size;
}

/** `count` bytes of the room were filled. */
static inline void trp_bytes_fill(struct trp_bytes *bytes, size_t count)
{
    trp_assert(count <= trp_bytes_room(bytes));
    bytes->size += count;
}

/** Takes `count` bytes from the front. */
static inline void trp_bytes_take(struct trp_bytes *bytes, size_t count)
{
    trp_assert(count <= bytes->size);
    bytes->size -= count;
    bytes->start = bytes->size > 0 ? bytes->start + count : 0;
}

/** Gives the block back if it is empty and larger than `keep`. */
void trp_bytes_rest(struct trp_bytes *bytes, struct trp_memory *memory, size_t keep);

/** Gives the block back, whatever is in it. */
void trp_bytes_free(struct trp_bytes *bytes, struct trp_memory *memory);

#endif
