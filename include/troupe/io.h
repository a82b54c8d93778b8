/* SPDX-License-Identifier: MIT */
/*
 * io.h - descriptors whose readiness arrives as messages.
 *
 * An actor adopts a descriptor; from then on each change of readiness arrives as one message of type
 * troupe_ready, merged while one is queued.  The first one tells what it is ready for already.  Readiness is
 * edge-triggered: read or write until EAGAIN, or remember that more is there.  The descriptor is closed when the
 * actor closes it or its incarnation ends.
 *
 * A `struct troupe_io` belongs to the actor that opened it, and is good until it is closed.
 */
#ifndef TROUPE_IO_H
#define TROUPE_IO_H

#include "troupe/message.h"

TROUPE_BEGIN_DECLS

struct troupe_io;

/** What a descriptor became ready for; several together. */
enum troupe_io_event {
    TROUPE_IO_READ = 1,   /* readable, or the peer sent its last byte */
    TROUPE_IO_WRITE = 2,  /* writable */
    TROUPE_IO_HANGUP = 4, /* both directions are closed, or an error is pending */
    TROUPE_IO_END = 8,    /* the peer sent its last byte: read until 0, also after a short read */
    TROUPE_IO_AGAIN = 16, /* nothing changed: troupe_io_again() was called */
};

struct troupe_ready {
    struct troupe_io *io;
    void *context;   /* as given to troupe_io_open() */
    uint32_t events; /* of enum troupe_io_event, all since the last message */
};

/** Type of the readiness message; its body is a struct troupe_ready. */
extern TROUPE_API const struct troupe_type troupe_ready;

/**
 * Adopts `fd`, which must be non-blocking, and watches it for reading, writing and hang-up.
 *
 * Threads  a callback of `self`
 * Owns     on success the descriptor is the io's; on error still the caller's
 * Errors   TROUPE_EINVAL   also for a descriptor without O_NONBLOCK, and one that is not open
 *          TROUPE_ELIMIT   as many as limits.actor_ios
 *          TROUPE_ENOMEM
 *          TROUPE_ESYSTEM  the poller refused it (a regular file, one that is adopted already)
 * Cost     one fcntl, one epoll_ctl
 */
TROUPE_API TROUPE_CHECKED int troupe_io_open(
    struct troupe_actor *self, int fd, void *context, struct troupe_io **out_io);

/** The descriptor of `io`; TROUPE_EINVAL for NULL. */
TROUPE_API int troupe_io_fd(const struct troupe_io *io);

/**
 * Sends `self` a readiness message with TROUPE_IO_AGAIN, merged like any other: to go on after other messages had
 * their turn.
 *
 * Threads  a callback of the actor that opened `io`
 * Cost     needs no memory and is never refused
 */
TROUPE_API void troupe_io_again(struct troupe_actor *self, struct troupe_io *io);

/**
 * Closes the descriptor and forgets `io`.  No readiness of it arrives afterwards.
 *
 * Threads  a callback of the actor that opened it; NULL does nothing
 */
TROUPE_API void troupe_io_close(struct troupe_actor *self, struct troupe_io *io);

TROUPE_END_DECLS

#endif
