/* SPDX-License-Identifier: MIT */
/*
 * waits.h - who waits for whom, as a list, as text, as a picture: for whoever wonders why nothing moves.
 *
 * What counts is what closes rings (fiber.h): an actor that waits in a callback, or on its thread, for an answer, for room in a
 * mailbox, for an end, or for a job that does.  An actor waits for one other at a time, so the picture is a set of chains;
 * whoever is waited for by many and waits for nobody is where to look.
 *
 * Nothing here stops anybody.  Each line was true at some moment of the call; together they need not have been.
 */
#ifndef TROUPE_WAITS_H
#define TROUPE_WAITS_H

#include "troupe/message.h"

TROUPE_BEGIN_DECLS

struct troupe_wait {
    troupe_pid pid;    /* who waits */
    troupe_pid to;     /* for whom */
    const char *actor; /* the names of their behaviours; as long-lived as those */
    const char *to_actor;
};

/**
 * Lists who waits.
 *
 * Threads  any
 * Units    at most `most` are written; *out_count is how many there are, which may be more
 * Errors   TROUPE_EINVAL, also if `waits` is NULL and `most` is not 0; TROUPE_EFORKED
 * Cost     O(slots): of as many actors as ever were alive at once
 */
TROUPE_API TROUPE_CHECKED int troupe_waits_list(
    struct troupe_runtime *runtime, struct troupe_wait *waits, size_t most, size_t *out_count);

enum troupe_waits_format {
    TROUPE_WAITS_TEXT,     /* a line each: "clerk (4a0000001) waits for till (4a0000002)" */
    TROUPE_WAITS_GRAPHVIZ, /* for `dot -Tsvg` */
};

/**
 * Writes who waits, with a NUL behind it.
 *
 * Threads  any
 * Units    at most `size` bytes, the NUL included; *out_length, without it, is how many there are, which may be more: then what
 *          did not fit is missing
 * Errors   TROUPE_EINVAL, also if `text` is NULL and `size` is not 0; TROUPE_EFORKED
 * Cost     as troupe_waits_list()
 */
TROUPE_API TROUPE_CHECKED int troupe_waits_write(struct troupe_runtime *runtime,
    enum troupe_waits_format format, char *text, size_t size, size_t *out_length);

TROUPE_END_DECLS

#endif
