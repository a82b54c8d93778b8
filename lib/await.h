/* SPDX-License-Identifier: MIT */
/*
 * lib/await.h - waiting in straight-line code: for readiness, for net/stream.c, and for what a flow brings.  All of it in a
 * callback that may wait.
 */
#ifndef TRP_AWAIT_H
#define TRP_AWAIT_H

#include "core.h"

/** How long something of several steps may wait in all.  Made with `wait_ms` alone: the clock is asked at the first wait. */
struct trp_patience {
    int wait_ms; /* as given: 0, more, or TROUPE_FOREVER */
    bool begun;
    uint64_t until_ms; /* or TRP_NEVER; never later than who asked for what is handled now waits */
};

/** Waits until `io`, which found nothing to do, has one of `events` noted.  TROUPE_ETIMEDOUT; TROUPE_ENOMEM, TROUPE_ELIMIT:
 * with a limit. */
TROUPE_CHECKED int trp_await_ready(struct troupe_actor *self, struct troupe_io *io, uint32_t events,
    struct trp_patience *patience);

/** What is told by messages that lib opens. */
struct trp_await_told {
    trp_match_fn matches;             /* whether a message has to do with it */
    bool (*is_over)(const void *arg); /* whether there is nothing to wait for any more */
    /* for which word of a flow it waits, if there is one that nobody but its sender can make it do without (pressure.h) */
    bool (*aim)(const void *arg, struct trp_aim *out_aim);
    const void *arg;
};

/** Waits until `told` is over, and opens what has to do with it, whatever was queued before included.  No callback of the
 * user's may come of that.  TROUPE_ETIMEDOUT; TROUPE_EDEADLK: that would close a ring; TROUPE_ENOMEM; TROUPE_ELIMIT: with a limit. */
TROUPE_CHECKED int trp_await_told(
    struct troupe_actor *self, const struct trp_await_told *told, struct trp_patience *patience);

/** Stands in line until `lease` (trp_lease_open()), whose room was not there, has it.  TROUPE_EFULL: that would close a ring;
 * TROUPE_ETIMEDOUT; TROUPE_EGONE; TROUPE_ENOMEM, TROUPE_ELIMIT.  On error, and if the actor
 * is dropped meanwhile, the lease ends. */
TROUPE_CHECKED int trp_await_room(
    struct troupe_actor *self, struct trp_timer *lease, struct trp_patience *patience);

/** A step that did not have to wait: a cancellation point, and if its share `is_spent` others run. */
void trp_await_share(struct troupe_actor *self, bool is_spent);

/** `io` is about to be closed: its message, if one is queued, will be ended when it is met. */
void trp_await_forget(struct troupe_actor *self, const struct troupe_io *io);

/** As troupe_send_message_within(), of a message that was refused for want of room: for trp_hooks.wait_for_room. */
TROUPE_CHECKED int trp_await_send(
    struct troupe_actor *self, troupe_pid to, struct troupe_message *msg);

#endif
