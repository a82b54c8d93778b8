/* SPDX-License-Identifier: MIT */
/*
 * contain_seat.h - a worker's part of crash containment (contain.h): its alternate stack, and what it has handled lately.
 *
 * Handlers are noted only where faults are contained: then trp_seat_receive() stands between a slice and the behaviour.
 * Elsewhere a slice knows nothing of it.
 */
#ifndef TRP_CONTAIN_SEAT_H
#define TRP_CONTAIN_SEAT_H

#include <pthread.h>

#include "base.h"

#include <troupe/actor.h>

/** Messages that a worker remembers. */
#define TRP_SEAT_TRACE 16

/** Bytes of a reason's text, or of a line. */
#define TRP_SEAT_TEXT 256

/** A message that was given to a handler. */
struct trp_seat_entry {
    troupe_pid pid;
    const char *behaviour;
    const char *type;
};

struct trp_seat {
    bool traces; /* set once: faults are contained */

    /* Whoever starts its thread. */
    char *
        alternate; /* stack for signal handlers, with a page that cannot be touched below; or NULL */

    /* Owner. */
    bool taken;       /* by `thread` */
    bool uses;        /* `alternate` is that thread's */
    pthread_t thread; /* whose signals find us */

    /* Owner, its signal handler too. */
    bool faulting; /* it is in the signal handler: another fault is not for us */
    char text[TRP_SEAT_TEXT];
    uint32_t traced; /* entries written; the last ones are there */
    struct trp_seat_entry trace[TRP_SEAT_TRACE];
};

/** Notes that `self` handles `msg`, for whoever asks what happened before a fault. */
void trp_seat_note(const struct troupe_actor *self, const struct troupe_message *msg);

/** What `actor->receive` is where faults are contained: notes the message, and gives it to the behaviour. */
int trp_seat_receive(struct troupe_actor *self, void *state, struct troupe_message *msg);

#endif
