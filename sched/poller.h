/* SPDX-License-Identifier: MIT */
/*
 * poller.h - descriptors whose readiness becomes messages; one poller a runtime.
 *
 * One thread at a time waits in the poller: a parked worker that owns it, or, without waiting, a worker between two
 * slices.  Each descriptor is registered once, edge-triggered, for everything; no call is made to re-arm it.
 * The message is part of the io's block, so readiness is never refused and merges while one is queued:
 *
 *   `word` = events | QUEUED.  The poller sets events and QUEUED, and sends the message if QUEUED was not
 *   set.  The owner takes the events when it opens the message, leaving QUEUED; when the block is out of the queue
 *   (retire) it clears QUEUED, unless events have come meanwhile: then it sends the message again.
 *
 * An io belongs to its actor's cell, which outlives it; after close its block rests for a grace period,
 * because the poller may hold it in a batch of events.
 *
 * poller.c is what all systems share, poller_epoll.c asks Linux, poller_sim.c is the twin without a system.
 */
#ifndef TRP_POLLER_H
#define TRP_POLLER_H

#include "context.h"
#include "message.h"

#include <troupe/io.h>

struct trp_poller;

/** The poller of a runtime: set once, before anything runs.  Defined beside the runtime. */
struct trp_poller *trp_runtime_poller(const struct troupe_runtime *runtime);

/** Opens the poller.  TROUPE_ENOMEM, TROUPE_ESYSTEM. */
TROUPE_CHECKED int trp_poller_create(struct trp_memory *memory, struct trp_poller **out_poller);

/** Closes it; no io is open any more.  NULL does nothing. */
void trp_poller_destroy(struct trp_poller *poller, struct trp_memory *memory);

/**
 * Waits for readiness until `timeout_ms` (0: looks once; TROUPE_FOREVER) or trp_poller_wake(), and sends what came, at
 * most one batch.  One thread at a time: see park.c.  The caller is offline while it waits if it may wait, and
 * online again when messages are sent.  Returns how many descriptors were ready, or 0.
 */
int trp_poller_wait(struct trp_poller *poller, struct trp_context *context, int timeout_ms);

/** Ends the wait that is going on, or the next one.  Any thread; one write(2). */
void trp_poller_wake(struct trp_poller *poller);

/** A descriptor that is readable when a wait would return at once. */
int trp_poller_fd(const struct trp_poller *poller);

/** Whether any descriptor is registered (besides the poller's own).  Any thread; a moment's view. */
bool trp_poller_has_ios(const struct trp_poller *poller);

/** What the owner of an io had to do with it (core.h, trp_io_adopt()): called once, when it is closed or the owner's
 * incarnation ends. */
typedef void (*trp_io_close_fn)(void *context);

/* ---- the worker's side ---- */

/** A READY message was dequeued: fills in its body.  False: nothing to tell any more. */
bool trp_io_open(const struct troupe_actor *self, struct troupe_message *msg);

/** The block of a READY message is out of the queue; see above.  `self` NULL: it never got to its owner. */
void trp_io_retire(
    struct trp_context *context, struct troupe_actor *self, struct troupe_message *msg);

/** Exit step 6: closes all ios of `self`. */
void trp_io_close_all(struct troupe_actor *self);

#endif
