/* SPDX-License-Identifier: MIT */
/*
 * runq.h - run slots of one worker: the owner pushes at the tail and pops at the head, thieves steal half.
 *
 * A ring of 256 slots.  `tail` is written by the owner alone; `head` moves by compare-and-swap, one
 * for however many slots are taken.  Indices are 64 bits wide and never wrap in practice, so a head that has not
 * moved means that nothing was taken: no ABA.  A thief copies first and swaps then; slots it copied while
 * the owner wrote over them belong to a head that has moved, and the swap fails.
 *
 *            push  pop  steal      -  may overlap
 *    push     X     X     -        X  never overlap: the owner
 *    pop      X     X     -
 *    steal    -     -     -        a thief pushes what it stole into its own ring, as its owner
 *
 * Tried elsewhere and not used: Chase-Lev (the owner pops the newest: unfair, and a fence per pop), ck_ring
 * (one swap per element stolen), BWoS (four lines a block).
 *
 * Models: test/model/runq.pml; steal.pml for workers that rob each other.  Interleavings: test/explore/part_runq.c.
 */
#ifndef TRP_RUNQ_H
#define TRP_RUNQ_H

#include "base.h"

/* Fewer in test/explore, which cannot fill that many. */
#ifndef TRP_RUNQ_SLOTS
#define TRP_RUNQ_SLOTS 256
#endif

struct troupe_actor;

struct trp_runq {
    alignas(128) _Atomic uint64_t head; /* owner and thieves, by compare-and-swap */
    alignas(128) _Atomic uint64_t tail; /* owner */
    _Atomic(struct troupe_actor *) slots[TRP_RUNQ_SLOTS];
};

void trp_runq_init(struct trp_runq *runq);

/** Appends `actor`.  Owner; wait-free.  False: full. */
TROUPE_CHECKED bool trp_runq_push(struct trp_runq *runq, struct troupe_actor *actor);

/** Takes the oldest, or NULL.  Owner; lock-free. */
struct troupe_actor *trp_runq_pop(struct trp_runq *runq);

/**
 * Takes the older half of `victim` (rounded up): returns one and pushes the others to `into`, which the
 * caller owns and which has room for them.  NULL if there is nothing.  Lock-free.  *out_count: how many.
 */
struct troupe_actor *trp_runq_steal(
    struct trp_runq *victim, struct trp_runq *into, uint32_t *out_count);

/** How many slots are queued; a moment's view.  Any thread. */
uint32_t trp_runq_length(const struct trp_runq *runq);

/**
 * Whether there is anything, as the last look before sleeping: in one total order with every push.
 * Any thread.
 */
bool trp_runq_is_empty(const struct trp_runq *runq);

#endif
