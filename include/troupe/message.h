/* SPDX-License-Identifier: MIT */
/*
 * message.h - message types and messages: what is sent, and who owns it when.
 *
 * A message has a type and a body.  A type is an object: its address is its identity, so a protocol
 * declares its types `extern const struct troupe_type` in a header and defines each one once.
 *
 * Ownership.  A message belongs to one party at a time: to the caller from troupe_message_create()
 * until a send succeeds, to the runtime while it is queued and handled, to the caller again when a
 * send fails.  A handler borrows the message it is called with; troupe_take() makes it its own.
 *
 * Bodies are moved as bytes: a body must not hold a pointer into itself.  What a body refers to (an
 * allocation, a descriptor) belongs to the message once it is sent; the type's `destroy` gives it
 * back when the message ends, on every path: handled, shed, dead-lettered or drained from an actor that died.
 */
#ifndef TROUPE_MESSAGE_H
#define TROUPE_MESSAGE_H

#include "troupe/base.h"

TROUPE_BEGIN_DECLS

/**
 * Names an actor of one runtime: copied freely, compared with ==, never dangling.  Of an actor that
 * is gone it is a harmless miss.
 */
typedef uint64_t troupe_pid;

/** No actor has this pid. */
#define TROUPE_NOBODY ((troupe_pid)0)

struct troupe_actor;
struct troupe_buffer;
struct troupe_message;
struct troupe_runtime;

/** Gives back what a body refers to, not the body itself.  Runs on whichever thread ends the message: any worker, or a
 * foreign thread inside a function of the runtime.  Must not block, nor call into another runtime: two
 * threads that do so crosswise would wait for each other. */
typedef void (*troupe_body_destroy_fn)(void *body);

struct troupe_type {
    const char *name;               /* for reports and traces */
    size_t size;                    /* bytes of a body; the least if `variable`; 0: no body */
    troupe_body_destroy_fn destroy; /* or NULL */
    bool variable;                  /* bodies may be longer than `size` */
};

/* clang-format off */
/** A type whose body is a `type`. */
#define TROUPE_TYPE(type) {#type, sizeof(type), NULL, false}

/** A type whose body is a `type`, which `destroy_fn` gives back. */
#define TROUPE_TYPE_DESTROY(type, destroy_fn) {#type, sizeof(type), destroy_fn, false}

/** A type without a body. */
#define TROUPE_SIGNAL {"signal", 0, NULL, false}

/** A type whose bodies are bytes, of any length. */
#define TROUPE_BYTES {"bytes", 0, NULL, true}
/* clang-format on */

/** Bodies of at most so many bytes travel in the message's one cache line (of a request or answer: in two). */
#define TROUPE_BODY_INLINE 32

/** No body is longer than this. */
#define TROUPE_BODY_MAX ((size_t)1 << 30)

/**
 * Creates a message to fill and move with troupe_send_message().
 *
 * Threads  any; on a worker it comes from that worker's cache, elsewhere a lock is taken
 * Owns     the caller owns the message until a send succeeds or troupe_message_destroy()
 * Units    `size` in bytes; 0 is `type->size`.  The body is not initialised
 * Errors   TROUPE_EINVAL  size below type->size, above it for a type of fixed size, above TROUPE_BODY_MAX
 *          TROUPE_ENOMEM
 * Cost     O(1); bodies of up to 4016 bytes come from a pool of blocks, larger ones from the allocator
 */
TROUPE_API TROUPE_CHECKED int troupe_message_create(struct troupe_runtime *runtime,
    const struct troupe_type *type, size_t size, struct troupe_message **out_msg);

/**
 * Ends a message the caller owns; its body is destroyed.  NULL does nothing.  A request that ends
 * like this without an answer tells its caller TROUPE_EUNANSWERED.
 *
 * Threads  any; a request that was taken: a callback of the actor that took it
 */
TROUPE_API void troupe_message_destroy(struct troupe_message *msg);

/** Whether `msg` is of `type`.  False for NULL. */
TROUPE_API bool troupe_is(const struct troupe_message *msg, const struct troupe_type *type);

/** The type of `msg`. */
TROUPE_API const struct troupe_type *troupe_message_type(const struct troupe_message *msg);

/** The body of `msg`, aligned for any type, to read; to fill, if the caller owns the message. */
TROUPE_API void *troupe_body(const struct troupe_message *msg);

/** The length of the body of `msg`, in bytes. */
TROUPE_API size_t troupe_body_size(const struct troupe_message *msg);

/** Who sent `msg`; TROUPE_NOBODY for a foreign thread or the runtime itself. */
TROUPE_API troupe_pid troupe_sender(const struct troupe_message *msg);

/**
 * Keeps the message a handler was called with: to answer a request later, to store it, or to send
 * it on.  The handler's own `msg` may still be read until it returns, but no longer answered or sent.
 *
 * Threads  the handler of `self`, with the message it was called with
 * Owns     the actor owns *out_msg; ends with a send, a reply or troupe_message_destroy().  A request
 *          that the actor still holds when it dies is answered with TROUPE_EDIED
 * Errors   TROUPE_EINVAL  not the message now handled, or taken before
 *          TROUPE_ENOMEM  the message is still the handler's
 * Cost     a copy of the body's bytes; what they refer to moves
 */
TROUPE_API TROUPE_CHECKED int troupe_take(
    struct troupe_actor *self, struct troupe_message *msg, struct troupe_message **out_msg);

/*
 * Shared buffers: bytes that many messages refer to, counted, and not written after the first send.  Their memory is
 * their runtime's: the last reference is released before the runtime is destroyed.
 */

/** Creates a buffer of `size` bytes, not initialised, with one reference.  Any thread.  TROUPE_EINVAL above
 * TROUPE_BODY_MAX, TROUPE_ENOMEM. */
TROUPE_API TROUPE_CHECKED int troupe_buffer_create(
    struct troupe_runtime *runtime, size_t size, struct troupe_buffer **out_buffer);

/** Adds a reference to one that the caller has, and returns `buffer`.  Any thread; one atomic. */
TROUPE_API struct troupe_buffer *troupe_buffer_retain(struct troupe_buffer *buffer);

/** Drops a reference; the last one frees the buffer.  Any thread; NULL does nothing. */
TROUPE_API void troupe_buffer_release(struct troupe_buffer *buffer);

/** The bytes of `buffer`. */
TROUPE_API void *troupe_buffer_data(struct troupe_buffer *buffer);

/** The length of `buffer`, in bytes. */
TROUPE_API size_t troupe_buffer_size(const struct troupe_buffer *buffer);

/** A type whose body is one `struct troupe_buffer *`; the message has one reference, released when it ends. */
extern TROUPE_API const struct troupe_type troupe_buffer_message;

TROUPE_END_DECLS

#endif
