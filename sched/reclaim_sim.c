/* SPDX-License-Identifier: MIT */
/*
 * reclaim_sim.c - the twin of reclaim.c: a grace period ends when every virtual worker has stepped, or all sleep.
 *
 * The one thread is registered with liburcu as well: lib/registry.c's table is resized by a thread of liburcu's.
 */
#include "reclaim_sim.h"

#include <urcu-qsbr.h>

/** Workers beyond so many share a bit. */
#define BITS 64

/* What lies in a trp_reclaim's opaque words. */
struct pending {
    struct trp_reclaim *next;
    uint64_t passed; /* workers that have stepped since */
};

static_assert(sizeof(struct pending) <= sizeof(((struct trp_reclaim *)0)->opaque), "fits");

static bool attached;
static bool online;
static struct trp_reclaim *first;

static struct pending *pending_of(struct trp_reclaim *reclaim)
{
    return (struct pending *)(void *)reclaim->opaque;
}

int trp_reclaim_attach(void)
{
    if (!attached) {
        rcu_register_thread();
        rcu_thread_offline();
        attached = true;
    }
    return TROUPE_OK;
}

void trp_reclaim_detach(void)
{
}

bool trp_reclaim_enter(void)
{
    bool was_offline = !online;

    if (was_offline) {
        rcu_thread_online();
        online = true;
    }
    return was_offline;
}

void trp_reclaim_leave(bool was_offline)
{
    if (was_offline) {
        rcu_thread_offline();
        online = false;
    }
}

void trp_reclaim_quiescent(void)
{
    rcu_quiescent_state();
}

void trp_reclaim_later(struct trp_reclaim *reclaim, void (*fn)(struct trp_reclaim *reclaim))
{
    struct trp_reclaim **end = &first;

    while (*end != NULL) {
        end = &pending_of(*end)->next;
    }
    reclaim->done = fn;
    *pending_of(reclaim) = (struct pending){NULL, 0};
    *end = reclaim;
}

void trp_reclaim_sim_pass(unsigned index, unsigned count)
{
    uint64_t all = count >= BITS ? UINT64_MAX : ((uint64_t)1 << count) - 1;
    struct trp_reclaim **at = &first;

    while (*at != NULL) {
        struct trp_reclaim *reclaim = *at;

        pending_of(reclaim)->passed |= (uint64_t)1 << index % BITS;
        if (pending_of(reclaim)->passed == all) {
            *at = pending_of(reclaim)->next;
            reclaim->done(reclaim);
        } else {
            at = &pending_of(reclaim)->next;
        }
    }
}

bool trp_reclaim_sim_finish(void)
{
    bool any = first != NULL;

    while (first != NULL) {
        struct trp_reclaim *reclaim = first;

        first = pending_of(reclaim)->next;
        reclaim->done(reclaim);
    }
    return any;
}

void trp_reclaim_barrier(void)
{
    (void)trp_reclaim_sim_finish();
    rcu_barrier();
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
