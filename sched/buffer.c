/* SPDX-License-Identifier: MIT */
/* buffer.c - bytes that many messages refer to, counted. */
#include "core.h"
#include "runtime.h"

struct troupe_buffer {
    _Atomic uint64_t references; /* any thread */
    struct trp_memory *memory;   /* set once */
    size_t size;                 /* set once */
    alignas(16) unsigned char data[];
};

int troupe_buffer_create(
    struct troupe_runtime *runtime, size_t size, struct troupe_buffer **out_buffer)
{
    struct troupe_buffer *buffer;

    if (runtime == NULL || out_buffer == NULL || size > TROUPE_BODY_MAX) {
        return TROUPE_EINVAL;
    }
    buffer = trp_memory_alloc(&runtime->memory, sizeof *buffer + size, 16);
    if (buffer == NULL) {
        return TROUPE_ENOMEM;
    }
    atomic_init(&buffer->references, 1);
    buffer->memory = &runtime->memory;
    buffer->size = size;
    *out_buffer = buffer;
    return TROUPE_OK;
}

struct troupe_buffer *troupe_buffer_retain(struct troupe_buffer *buffer)
{
    if (buffer != NULL) {
        /* relaxed: whoever adds a reference has one. */
        atomic_fetch_add_explicit(&buffer->references, 1, memory_order_relaxed);
    }
    return buffer;
}

void troupe_buffer_release(struct troupe_buffer *buffer)
{
    /* acq_rel: every holder's reads come before the last one frees.  PAIR buffer.references: itself. */
    if (buffer != NULL &&
        atomic_fetch_sub_explicit(&buffer->references, 1, memory_order_acq_rel) == 1) {
        trp_memory_free(buffer->memory, buffer, sizeof *buffer + buffer->size);
    }
}

void *troupe_buffer_data(struct troupe_buffer *buffer)
{
    return buffer != NULL ? buffer->data : NULL;
}

size_t troupe_buffer_size(const struct troupe_buffer *buffer)
{
    return buffer != NULL ? buffer->size : 0;
}

static void release_body(void *body)
{
    troupe_buffer_release(*(struct troupe_buffer **)body);
}

const struct troupe_type troupe_buffer_message = {
    "buffer", sizeof(struct troupe_buffer *), release_body, false};
