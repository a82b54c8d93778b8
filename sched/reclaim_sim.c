/* SPDX-License-Identifier: MIT */
/*
 * reclaim_sim.c - the twin of reclaim.c: readers are virtual threads, each a bit, and what is retired waits for the
 * bits that were online then.  A virtual thread of its own hands it back, some time after the last of them has passed.
 *
 * The one thread there is is registered with liburcu as well, because lib/name_table.c's table is resized by a thread of
 * liburcu's: it is online while any virtual thread is, and quiescent when the only one that is says so.
 */
#include "reclaim_sim.h"

#include <urcu-qsbr.h>

#include "port.h"
#include "seam.h"

/* What lies in a trp_reclaim's opaque words. */
struct pending {
    struct trp_reclaim *next;
    uint64_t readers; /* online when it was retired, and neither quiescent nor offline since */
};

static_assert(sizeof(struct pending) <= sizeof(((struct trp_reclaim *)0)->opaque), "fits");

static TRP_THREAD_LOCAL uint64_t own; /* the bit of this thread, 0: not attached */

static bool registered;           /* with liburcu */
static uint64_t attached;         /* bits in use */
static uint64_t online;           /* bits of those that may hold a pointer to a cell */
static struct trp_reclaim *first; /* retired and not taken yet, oldest first */
static uint64_t unfinished;       /* retired, `done` has not returned yet */
static struct trp_event due;      /* something may be handed back */
static struct trp_event finished; /* something was */

static struct pending *pending_of(struct trp_reclaim *reclaim)
{
    return (struct pending *)(void *)reclaim->opaque;
}

int trp_reclaim_attach(void)
{
    if (!registered) {
        rcu_register_thread();
        rcu_thread_offline();
        registered = true;
    }
    if (own == 0) {
        trp_assert(attached != UINT64_MAX);
        own = ~attached & (attached + 1);
        attached |= own;
    }
    return TROUPE_OK;
}

/* This thread holds no pointer to a cell now. */
static void pass(void)
{
    bool any = false;

    for (struct trp_reclaim *at = first; at != NULL; at = pending_of(at)->next) {
        pending_of(at)->readers &= ~own;
        any = any || pending_of(at)->readers == 0;
    }
    if (any) {
        trp_event_wake(&due);
    }
}

void trp_reclaim_detach(void)
{
    trp_reclaim_leave((online & own) != 0);
    attached &= ~own;
    own = 0;
}

bool trp_reclaim_enter(void)
{
    bool was_offline = (online & own) == 0;

    trp_assert(own != 0);
    if (online == 0) {
        rcu_thread_online();
    }
    online |= own;
    return was_offline;
}

void trp_reclaim_leave(bool was_offline)
{
    if (was_offline) {
        online &= ~own;
        if (online == 0) {
            rcu_thread_offline();
        }
        /* Last, because others may run, and retire something, before it returns. */
        pass();
    }
}

void trp_reclaim_quiescent(void)
{
    pass();
    if (online == own) {
        rcu_quiescent_state();
    }
    trp_switch();
}

void trp_reclaim_later(struct trp_reclaim *reclaim, void (*fn)(struct trp_reclaim *reclaim))
{
    struct trp_reclaim **end = &first;

    while (*end != NULL) {
        end = &pending_of(*end)->next;
    }
    reclaim->done = fn;
    *pending_of(reclaim) = (struct pending){NULL, online};
    *end = reclaim;
    unfinished++;
    if (online == 0) {
        trp_event_wake(&due);
    }
}

/* The oldest one that nobody can hold any more, or NULL. */
static struct trp_reclaim *take(void)
{
    struct trp_reclaim **at = &first;
    struct trp_reclaim *reclaim;

    while (*at != NULL && pending_of(*at)->readers != 0) {
        at = &pending_of(*at)->next;
    }
    reclaim = *at;
    if (reclaim != NULL) {
        *at = pending_of(reclaim)->next;
    }
    return reclaim;
}

void trp_reclaim_sim_main(void *ignored)
{
    (void)ignored;
    for (;;) {
        uint32_t value = trp_event_value(&due);
        struct trp_reclaim *reclaim = take();

        if (reclaim == NULL) {
            trp_event_wait(&due, value, TRP_EVENT_FOREVER);
            continue;
        }
        reclaim->done(reclaim);
        unfinished--;
        trp_event_wake(&finished);
    }
}

void trp_reclaim_barrier(void)
{
    for (;;) {
        uint32_t value = trp_event_value(&finished);

        if (unfinished == 0) {
            return;
        }
        trp_event_wait(&finished, value, TRP_EVENT_FOREVER);
    }
}

bool trp_reclaim_is_home(void)
{
    return true;
}

void trp_reclaim_open(void)
{
}

void trp_reclaim_close(void)
{
}
