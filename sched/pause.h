/* SPDX-License-Identifier: MIT */
/*
 * pause.h - a handler that sends more than its receiver takes is paused.
 *
 * A handler cannot wait in the middle.  What it sends to a mailbox that is at its capacity goes into the margin above it, and when
 * the handler has returned its actor is *paused*: nobody runs it until the receiver has fallen to half of its capacity, or ends, or
 * for pause_max_ms.  Its own mailbox fills up meanwhile, so pressure goes on to whoever sends to it.
 *
 * Who is paused stands in the line of its receiver, and its token is in its record.  Whoever takes it out does so by one
 * compare-and-swap of `state`, and the reader, a signal, the timer and a ring race there:
 *
 *              line_up()              trp_pause_rest()
 *       OUT -------------> LINED -------------------------> ASLEEP
 *        ^                 |   ^                            |  |  |
 *        |   reader, end   |   +-------- a signal ----------+  |  |     from ASLEEP the token comes with it
 *        +-----------------+-----------------------------------+  |
 *        |                 | the timer, or a ring: give_way()     |
 *        |                 v                                      |
 *        +--- leave() --- EXPIRED, BROKEN <-----------------------+
 *
 * OUT: in no line.  All other states: in the line of `at[0]`, under the lock of that one's extra block; whoever takes it out of the
 * line sets OUT, the reader and the end under that lock.  LINED, EXPIRED, BROKEN: its owner has the token, and looks at the state
 * before it handles anything.
 *
 * No release is lost: it stands in line, sets TRP_WAITING_PAUSED, meets the reader (trp_mailbox_meet()), then looks at the room; the
 * reader gives room, parks, then reads `waiting`: as in line.h.
 *
 * A pause is an edge as any other wait (pressure.h), but a courtesy: nobody needs it.  So in a ring in which somebody is paused that one
 * goes on, early, and nobody is told of a ring; a pause that would close one does not begin.  To end one is always right, so
 * this needs no victim.  What is sent into the margin is bounded by the margin: then it is TROUPE_EFULL.
 *
 * Model: test/model/pause.pml.  Interleavings: test/explore/part_pause.c.
 */
#ifndef TRP_PAUSE_H
#define TRP_PAUSE_H

#include "pressure.h"

struct trp_timer;

/** Receivers whose margins one callback may use, and that one remembers as stuck. */
#define TRP_PAUSE_MARKS 16
#define TRP_PAUSE_STUCK 4

enum trp_pause_state {
    TRP_PAUSE_OUT,     /* in no line */
    TRP_PAUSE_LINED,   /* in line, and awake */
    TRP_PAUSE_ASLEEP,  /* in line, and its token is here */
    TRP_PAUSE_EXPIRED, /* in line, awake: it took too long */
    TRP_PAUSE_BROKEN,  /* in line, awake: it was in a ring */
};

/** Who took too long. */
struct trp_stuck {
    troupe_pid pid;
    uint64_t out; /* of its charge, then */
};

/** What an actor that has ever used a margin has, as long as its extra block. */
struct trp_pause {
    _Atomic uint32_t state;
    _Atomic bool rung;          /* the timer's last touch */
    struct trp_list entry;      /* under the lock of whom it is paused on */
    struct troupe_actor *actor; /* whose it is.  Set once */

    /* Its owner's. */
    struct trp_timer *timer;
    uint64_t edge;  /* number of the record of its wait, while it stands in line */
    bool stands;    /* it was lined up at at[0], and has not been taken note of that being over */
    uint32_t burst; /* messages in margins, since it was paused last */
    uint32_t count;
    troupe_pid at[TRP_PAUSE_MARKS]; /* whose margins it used */
    uint32_t stuck_count;
    struct trp_stuck stuck[TRP_PAUSE_STUCK];
};

/**
 * Whether `self`, in a callback, may send `count` messages into the margin of `actor`.  TROUPE_EFULL: it has used so much of
 * margins, or that one took too long before; or there is no memory.
 */
TROUPE_CHECKED int trp_pause_allows(struct trp_context *context, struct troupe_actor *self,
    struct troupe_actor *actor, uint32_t count);

/** It has: it will be paused. */
void trp_pause_note(struct troupe_actor *self, struct troupe_actor *actor, uint32_t count);

/** `self`, which was marked, is between two messages.  True: it is to be paused, and stands in line.  False: not, or not any more. */
bool trp_pause_is_due(struct trp_context *context, struct troupe_actor *self);

/** Leaves the token of `self`, for which it is due, in its record.  False: it is the caller's still. */
bool trp_pause_rest(struct troupe_actor *self);

/** `self` ends: it is paused no longer, and stands in no line. */
void trp_pause_end(struct trp_context *context, struct troupe_actor *self);

/** The reader of `actor` has given room back, or has `parked`: some of those that are paused on it go on, or all. */
void trp_pause_release(struct trp_context *context, struct troupe_actor *actor, bool parked);

/** The same, all: it has ended. */
void trp_pause_release_all(struct trp_context *context, struct troupe_actor *actor);

/** The time of a pause is over. */
void trp_pause_ring(struct trp_context *context, struct trp_timer *timer);

#endif
