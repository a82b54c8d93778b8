/* SPDX-License-Identifier: MIT */
/* tally.c - how many messages an actor handles, of those of which somebody wants to know it. */
#include "tally.h"

void trp_tally_begin(struct troupe_actor *actor)
{
    trp_actor_extra(actor)->tallied = true;
}

static void add_one(struct trp_extra *extra)
{
    /* relaxed, both: a number that only we write, and others look at. */
    uint64_t handled = atomic_load_explicit(&extra->handled, memory_order_relaxed);

    atomic_store_explicit(&extra->handled, handled + 1, memory_order_relaxed);
}

static int receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct trp_extra *extra = trp_actor_extra(self);

    add_one(extra);
    return extra->inner(self, state, msg);
}

void trp_tally_started(struct troupe_actor *self)
{
    struct trp_extra *extra = trp_actor_extra(self);

    /* One that its init has suspended goes uncounted: what is in the cell then is not for us to replace. */
    if (extra != NULL && extra->tallied && self->behaviour->receive != NULL &&
        self->receive != trp_aside_receive) {
        extra->inner = self->receive;
        self->receive = receive;
    }
}

void trp_tally_note(struct troupe_actor *self)
{
    struct trp_extra *extra = trp_actor_extra(self);

    if (extra != NULL && extra->tallied) {
        add_one(extra);
    }
}

uint64_t trp_tally_of(struct troupe_runtime *runtime, troupe_pid pid)
{
    struct troupe_actor *actor = trp_actor_find(runtime, pid);
    struct trp_extra *extra = actor != NULL ? trp_actor_extra(actor) : NULL;

    /* relaxed: a view. */
    return extra != NULL ? atomic_load_explicit(&extra->handled, memory_order_relaxed) : 0;
}

uint64_t trp_tally_end(struct trp_extra *extra)
{
    /* relaxed, both: as in add_one(). */
    uint64_t handled = atomic_load_explicit(&extra->handled, memory_order_relaxed);

    atomic_store_explicit(&extra->handled, 0, memory_order_relaxed);
    return handled;
}
