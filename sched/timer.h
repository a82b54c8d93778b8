/* SPDX-License-Identifier: MIT */
/*
 * timer.h - the timer wheel of one worker, and the blocks that are timers.
 *
 * A wheel has 6 levels of 64 slots at 1 ms; level l turns once in 64^(l+1) ms.  Its lock is held for O(1)
 * steps and, when it is advanced, while what is due is taken out; nobody holds it while a tick is sent.
 * Anybody may advance a wheel: its worker between slices, another one that finds it overdue.
 *
 *           arm             advance            tick retired
 *    IDLE --------> ARMED ----------> FIRING -------------> IDLE
 *     ^               |
 *     +---------------+
 *           cancel (true)
 *
 * IDLE -> ARMED and ARMED -> IDLE happen under the lock of the wheel it is in; a timer is linked in a wheel if
 * and only if it is ARMED.  From FIRING on it is a message in its owner's mailbox, or about to be: cancel
 * says false, the tick will arrive.  FIRING ends when the owner retires the tick (or when the cell is drained),
 * and only the owner's side looks at it then.
 *
 * A timer's block is of the stable pool class, so a stale `struct troupe_timer` may be looked at:
 * a serial that has moved on is a miss.
 *
 * Model: test/model/timer.pml.  Interleavings: test/explore/part_timer.c.
 */
#ifndef TRP_TIMER_H
#define TRP_TIMER_H

#include "lock.h"
#include "message.h"

#include <troupe/call.h>
#include <troupe/timer.h>

#define TRP_WHEEL_LEVELS 6
#define TRP_WHEEL_SLOTS 64

/** trp_wheel_next() of an empty wheel. */
#define TRP_NEVER UINT64_MAX

enum trp_timer_state {
    TRP_TIMER_IDLE,   /* its owner may change or free it */
    TRP_TIMER_ARMED,  /* waits in a wheel */
    TRP_TIMER_FIRING, /* is on its way to its owner as a message */
};

/*
 * The number in `serial` moves on in steps of 4.  The bits below are what the sides of a call tell each other (lib/call.c,
 * lib/foreign.c): whoever is asked sets them, by compare-and-swap, as long as the number is that of the request.
 */
#define TRP_SERIAL_BEGUN 1U    /* the request was given to a handler */
#define TRP_SERIAL_ANSWERED 2U /* of a foreign thread's: somebody hands the answer over */
#define TRP_SERIAL_BITS 3U
#define TRP_SERIAL_STEP 4U

/** What a pending call keeps.  The owner's. */
struct trp_asking {
    uint64_t inherited_ms; /* the deadline of what its asker handled then, or TRP_NEVER */
    troupe_pid to;         /* who was asked */
    struct trp_timer *set; /* the set it belongs to, or NULL */
    uint64_t label;        /* in the set */
};

/** What a set of requests keeps (lib/request_set.c).  The owner's. */
struct trp_gathering {
    troupe_set_fn on_outcome;
    uint64_t deadline_ms;
    uint64_t inherited_ms;
    uint32_t left; /* members without an outcome */
    bool closed;   /* it ends with the last of them */
};

/** What a lease keeps: room in another one's mailbox (lease.h).  Under the lock of its owner's extra block. */
struct trp_leased {
    troupe_pid to;
    uint64_t place_bytes; /* that each place weighs */
    uint32_t count;       /* places that are left */
};

/** One timer; also one pending call, whose time-out it is; or a set of them, which is never armed; or a lease. */
struct trp_timer {
    struct troupe_message tick; /* kind TICK or TIMEOUT; the block's first bytes */
    union {
        unsigned char body[TROUPE_TICK_BODY_MAX];
        struct trp_asking asking;
        struct trp_gathering gathering;
        struct trp_leased leased;
    };

    /* The wheel's, under its lock. */
    struct trp_list slot;
    uint64_t due_ms;
    struct trp_wheel *wheel; /* where it was armed last */
    uint8_t state;           /* enum trp_timer_state */
    uint8_t level;
    uint8_t index;

    /* The owner's. */
    struct trp_list entry; /* in the owner's list of timers or of calls */
    _Atomic uint64_t
        serial; /* moves on at each use of the block; read through stale handles; see above */
    struct troupe_actor *owner;
    uint32_t incarnation; /* of the owner when it was armed */
    bool cancelled;       /* periodic, cancelled while its tick is queued */
    uint64_t period_ms;   /* 0: once */
    uint64_t missed;      /* ticks left out since the last one */
    uint64_t missed_told; /* what the tick that is queued says */

    /* A pending call's. */
    bool timed; /* it was armed, or is on its way: otherwise it waits for ever */
    int status; /* its outcome, if it is its time-out that brings it */
    troupe_reply_fn on_reply;
    void *context;
    _Atomic uint64_t
        edge; /* number of the record of whoever waits for the answer (pressure.h), or 0; read through stale requests */
};

static_assert(sizeof(struct trp_timer) <= 256, "a timer is one block of the stable class");

struct trp_context;

struct trp_wheel {
    struct trp_lock lock;
    uint64_t now_ms;                 /* under lock: everything due before has been taken out */
    uint64_t bits[TRP_WHEEL_LEVELS]; /* under lock: slots that are not empty */
    _Atomic uint64_t next_ms; /* written under lock, read by anybody: no timer is due earlier */
    _Atomic bool advancing;   /* one thread at a time takes out and fires */
    struct trp_list slots[TRP_WHEEL_LEVELS][TRP_WHEEL_SLOTS]; /* under lock */
};

void trp_wheel_init(struct trp_wheel *wheel, uint64_t now_ms);

/** Puts an IDLE timer into `wheel`, due at `due_ms` (before the wheel's time: counts as due at that
 * time, at the next advance).  Returns whether the wheel's next deadline became earlier. */
bool trp_wheel_arm(struct trp_wheel *wheel, struct trp_timer *timer, uint64_t due_ms);

/** Takes an ARMED timer out of whichever wheel it is in, leaving it IDLE.  False: it was not armed. */
bool trp_wheel_cancel(struct trp_timer *timer);

/** Whether a timer is ARMED; then *out_due_ms is when it is due. */
bool trp_wheel_due(struct trp_timer *timer, uint64_t *out_due_ms);

/** When the next timer may be due, in ms; never later than it is; TRP_NEVER if there is none.  Any thread. */
uint64_t trp_wheel_next(const struct trp_wheel *wheel);

typedef void (*trp_wheel_fire_fn)(void *context, struct trp_timer *timer);

/**
 * Takes out all that is due at `now_ms`, leaves it FIRING and calls `fire` for each, in the order in
 * which they are due and of those due together in the order in which they were armed, outside the lock.
 * Another thread that is advancing this wheel, or `fire` itself, makes it return 0 at once; until then
 * trp_wheel_next() may say a time that has passed.  At most `limit` are fired; the rest stays due.
 * Returns how many were fired.
 */
unsigned trp_wheel_advance(struct trp_wheel *wheel, uint64_t now_ms, unsigned limit,
    trp_wheel_fire_fn fire, void *context);

/* ---- the owner's side (timer.c) ---- */

/** A tick was dequeued by its owner: whether it is to be handled. */
bool trp_tick_open(struct troupe_actor *self, struct troupe_message *tick);

/** The block of a TICK is out of the queue.  `self` NULL: its owner has ended. */
void trp_tick_retire(
    struct trp_context *context, struct troupe_actor *self, struct troupe_message *tick);

/** Exit step 6: no timer of `self` fires any more, or its tick is in the queue and will be drained. */
void trp_tick_cancel_all(struct troupe_actor *self);

/** Checks the wheel's invariants; for tests. */
void trp_wheel_check(struct trp_wheel *wheel);

#endif
