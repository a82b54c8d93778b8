/* SPDX-License-Identifier: MIT */
/*
 * batch.h - several messages in one call of a behaviour's receive_batch.
 *
 * The first message of a batch comes as any other.  Those behind it are popped as long as they are PLAIN, there is no signal to
 * heed, and the slice has some left.  What is popped over is not ended, as it is elsewhere, but kept in the worker's list until
 * the callback is over, on whatever way; the last one is the queue's head, and ends as that.
 *
 * A message of a batch is marked BATCHED: in hand, as `current` is of other callbacks.
 */
#ifndef TRP_BATCH_H
#define TRP_BATCH_H

#include "actor.h"

/** The `receive` of an actor whose behaviour has a receive_batch. */
int trp_batch_receive(struct troupe_actor *self, void *state, struct troupe_message *msg);

/** Ends what is left of the batch of a callback that did not return, if it had one. */
void trp_batch_end(struct troupe_actor *self);

#endif
