/* SPDX-License-Identifier: MIT */
/*
 * lanes.h - what stands on a shelf, and what is taken next: by lanes, and within a lane by senders in turn.
 *
 * Messages stand in *lines*, each in the order in which it came.  A line is what one sender has in one lane; without turns by
 * sender all of a lane is one line.  Lines of a lane take turns, one message each.
 *
 *     lane 0   (a) m m m   (b) m            takes a, b, a, a
 *     lane 1   (a) m m m m m m m            only when lane 0 is empty, or has been gone before for long enough
 *
 * Lane 0 goes before lane 1, and so on.  Each lane counts the messages of lanes before it that were taken while something stood
 * in it (`passed`).  At `burst` it is overdue, and of those that are overdue the last one is next.  So no count gets beyond
 * `burst`: one that is overdue grows no further, since what is taken then is of that lane or of one behind it.  With `burst` no
 * less than the number of lanes the first lane keeps over a third of the turns (1 / (1 + 1/n)^(n-1) > 1/e).
 *
 * Where it is full, and displaces, what is new is put in its place first; then the oldest goes of one line after the other until
 * there is room: of the last lane that has something, or, with turns by sender, of whoever has most.  What a line *costs* is
 * its bytes, and for each message a place's part of all bytes.  Lines are sorted by the power of two of that, each of these
 * *levels* is a list, those that came to it first in front; so who has most is found at once, within a factor of two.
 *
 * Nothing here is locked: the shelf is.  All is O(1), with n lanes O(n); a key or a sender is found by hashing.
 *
 * Tried and not used: the longest line exactly, by a list for each length (a few messages that are large would have cost others their
 * places), and deficits in bytes for turns (who handles messages is delayed by a message, not by its bytes).
 */
#ifndef TRP_LANES_H
#define TRP_LANES_H

#include "chain.h"

#include <troupe/overload.h>

/** What it bears, and how. */
struct trp_lanes_spec {
    uint32_t count; /* messages */
    uint64_t bytes;
    uint32_t margin; /* messages above that: there is a place for them */
    uint32_t lanes;  /* at least 1 */
    uint32_t burst;  /* at least 1 */
    bool by_sender;  /* lines of a lane are its senders' */
    bool
        displaces; /* it makes room for what comes; otherwise whoever puts knows that there is some */
    bool conflates; /* what comes takes the place of what has the same key in its lane */
};

/** What is put. */
struct trp_lanes_item {
    struct troupe_message *msg;
    uint64_t key;
    uint32_t lane; /* one that is too high is the last one */
};

/** What had to go for it. */
struct trp_displaced {
    struct trp_chain conflated;
    struct trp_chain oldest;
};

/** A message, and where it stands. */
struct trp_place {
    struct trp_place *next; /* in its line, or among the free ones */
    struct troupe_message *msg;
    struct trp_line *line;
    uint64_t key;
    struct trp_place *chain; /* the next one whose key has the same hash */
};

/** What one sender has in one lane.  In use while something stands in it. */
struct trp_line {
    troupe_pid sender;
    struct trp_place *first;
    struct trp_place *last;
    uint64_t bytes;
    uint32_t count;
    uint16_t lane;
    uint16_t level_of;      /* which level it is in */
    struct trp_list turn;   /* among the lines of its lane; or among the free ones */
    struct trp_list level;  /* among those that cost about as much */
    struct trp_line *chain; /* the next one whose sender has the same hash */
};

/** A power of two for each bit of what a line can cost. */
#define TRP_LEVELS 42

struct trp_lane {
    struct trp_list turns; /* lines in which something stands, the next one first */
    uint32_t count;
    uint32_t passed;        /* of lanes before it, taken while something stood in this one */
    uint64_t levels_used;   /* a bit for each level in which there is a line */
    struct trp_list *level; /* TRP_LEVELS of them; NULL: it is not asked who has most */
};

struct trp_lanes {
    struct trp_lanes_spec spec;
    uint64_t place_cost; /* of one, beside its bytes */
    uint32_t hash_bits;
    struct trp_place **by_key;  /* NULL: nothing conflates */
    struct trp_line **by_owner; /* by sender and lane; NULL: a lane has one line */

    uint32_t count;
    uint64_t bytes;
    struct trp_place *free_places;
    struct trp_list free_lines; /* by sender; otherwise each lane has its own */
    struct trp_line *lines;
    struct trp_lane lane[TROUPE_LANES_MAX];
};

/** Bytes of memory that trp_lanes_init() wants. */
size_t trp_lanes_size(const struct trp_lanes_spec *spec);

/** `memory` is of trp_lanes_size() bytes, zeroed, aligned for anything, and stays the caller's. */
void trp_lanes_init(struct trp_lanes *lanes, const struct trp_lanes_spec *spec, void *memory);

/** Whether `sender` has its share, by sender: what stands in its line is no less than the room that is left, or would not be before the
 * last of `count` more messages of `bytes` in all.  One whose line is empty may have one. */
bool trp_lanes_has_share(const struct trp_lanes *lanes, troupe_pid sender, uint32_t lane,
    uint32_t count, uint64_t bytes);

/** Puts it there; adds to `out_displaced` what had to go, which may be itself. */
void trp_lanes_put(struct trp_lanes *lanes, const struct trp_lanes_item *item,
    struct trp_displaced *out_displaced);

/** The next one; NULL: nothing stands there. */
struct troupe_message *trp_lanes_take(struct trp_lanes *lanes);

#endif
