/* SPDX-License-Identifier: MIT */
/*
 * poller_io.h - the block that an io is, and the seam between poller.c and the system it asks.
 *
 * poller.c owns the protocol: who sends readiness, when a block may go.  A system knows how to register a
 * descriptor, how to wait, and calls trp_io_notice() for whatever became ready.  Exactly one system is linked:
 * poller_epoll.c, or poller_sim.c under simulation.
 */
#ifndef TRP_POLLER_IO_H
#define TRP_POLLER_IO_H

#include "poller.h"

struct troupe_io {
    struct troupe_message message; /* kind READY; the block's first bytes */
    struct troupe_ready ready;     /* its body; the owner's, from open on */

    /* Set once. */
    int fd;
    struct troupe_actor *owner;
    struct trp_poller *poller;
    struct trp_memory *memory;
    trp_io_close_fn
        on_close; /* of trp_io_adopt(); or NULL: its readiness is a message to the user */

    _Atomic uint32_t word; /* any thread: see poller.c */

    /* The owner's. */
    uint32_t noted;        /* events that were opened, and nobody asked for yet */
    struct trp_list entry; /* in its list of ios */

    struct trp_reclaim reclaim; /* once closed and out of the queue */
};

/**
 * `io` became ready for `events`: sends its message, unless one is on its way or the io is closed.
 *
 * Threads  whoever waits in the poller, online since before the system told it of `io`; or its owner
 */
void trp_io_notice(struct trp_context *context, struct troupe_io *io, uint32_t events);

/* ---- what a system offers ---- */

/** Registers the descriptor of `io`, edge-triggered, for everything.  Any worker.  TROUPE_ESYSTEM. */
TROUPE_CHECKED int trp_poller_add(struct trp_poller *poller, struct troupe_io *io);

/**
 * Closes the descriptor of `io`: no thread that goes online after this call is told of it any more.
 * Any worker.
 */
void trp_poller_remove(struct trp_poller *poller, struct troupe_io *io);

/** poller_sim.c only: `fd` becomes ready for `events`, which the next wait tells its io. */
void trp_poller_sim_feed(struct trp_poller *poller, int fd, uint32_t events);

#endif
