/* SPDX-License-Identifier: MIT */
/*
 * stream.h - what a listener needs of streams.
 */
#ifndef TRP_NET_STREAM_H
#define TRP_NET_STREAM_H

#include "connection.h"

#include <troupe/stream.h>

/** Makes a stream of a connected socket that does not block; on error the descriptor is still the caller's. */
TROUPE_CHECKED int trp_stream_adopt(struct troupe_actor *self, int fd,
    const union trp_address *peer, struct troupe_stream **out_stream);

/** Closes it after what was written has been taken: waits for the other side's end, for a moment. */
void trp_stream_linger(struct troupe_actor *self, struct troupe_stream *stream);

/** Behaviour of a connection with a fiber; its argument is the listener's spec, copied, its first message a trp_adopt. */
extern const struct troupe_behaviour trp_serving_behaviour;

#endif
