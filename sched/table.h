/* SPDX-License-Identifier: MIT */
/*
 * table.h - from pid to actor in two loads; a stale pid finds nothing.
 *
 * pid = 4 tag bits (0), 32 bits of generation, 28 bits of slot.  An alias has another tag, and the number of the alias where
 * the generation would stand, so no cell's `pid` is ever one: trp_table_find() misses, and trp_table_owner() is asked.
 *
 * A directory of segments, each 1024 cells: the cell
 * *is* the actor.  Segments are made as needed and stay while the runtime lives, so whoever reads a cell
 * through a stale pid reads a cell.  The first generation of every cell is random, so the pid of another
 * runtime misses.
 *
 * Free cells lie with the context that will use them (context.h), oldest first, at least TRP_TABLE_REST of them, so
 * that a slot rests before it is used again.  What a context has too many of goes to the table, in bundles.
 * A table with a small limit keeps all free cells itself, under its lock: otherwise one context would have cells to
 * spare while another is told that the limit is reached.
 */
#ifndef TRP_TABLE_H
#define TRP_TABLE_H

#include "actor.h"
#include "context.h"

/* Fewer in test/explore, where each run makes a table. */
#ifndef TRP_TABLE_SEGMENT_BITS
#define TRP_TABLE_SEGMENT_BITS 10
#endif
#define TRP_TABLE_SEGMENT ((uint32_t)1 << TRP_TABLE_SEGMENT_BITS)
#define TRP_TABLE_SLOT_BITS 28

/** A cell rests until so many others of its context have been freed after it. */
#define TRP_TABLE_REST 1024

/** How many cells move between a context and the table at a time. */
#define TRP_TABLE_BUNDLE 512

/** A limit below this is small: contexts might keep as many cells for themselves. */
#define TRP_TABLE_SMALL ((uint32_t)1 << 20)

struct trp_table {
    _Atomic(struct troupe_actor *) *segments; /* set once; entries: written once, under lock */
    struct trp_memory *memory;                /* set once */
    struct troupe_runtime *runtime;           /* set once */
    uint32_t limit;                           /* set once: cells */
    uint64_t seed;                            /* set once: of the first generations */
    struct trp_lock lock;
    struct trp_cells shared;        /* under lock: the free cells, if the limit is small */
    struct troupe_actor *spare;     /* under lock: bundles, linked by the first cell's `arg` */
    _Atomic uint32_t segment_count; /* written under lock */
};

/** TROUPE_ENOMEM. */
TROUPE_CHECKED int trp_table_init(
    struct trp_table *table, struct troupe_runtime *runtime, uint32_t limit, uint64_t seed);
void trp_table_fini(struct trp_table *table);

/** A cell for a new actor, phase FREE; `cells` are the caller's own.  TROUPE_ELIMIT, TROUPE_ENOMEM.  Context's owner. */
TROUPE_CHECKED int trp_table_take(
    struct trp_table *table, struct trp_cells *cells, struct troupe_actor **out_actor);

/** Gives a cell back whose grace period is over.  Context's owner. */
void trp_table_give(struct trp_table *table, struct trp_cells *cells, struct troupe_actor *actor);

/** The pid of the next actor in `actor`. */
troupe_pid trp_table_next_pid(struct troupe_actor *actor);

/** The cell of a slot, whoever lives there; NULL beyond the last segment.  Any thread. */
struct troupe_actor *trp_table_cell(const struct trp_table *table, uint32_t slot);

/** How many slots have cells.  Any thread. */
uint32_t trp_table_slots(const struct trp_table *table);

/** Whoever lives in the slot of `alias`, or NULL.  Under reclaim. */
struct troupe_actor *trp_table_owner(const struct trp_table *table, troupe_pid alias);

/** The live actor `pid`, or NULL, also for an alias.  Under reclaim. */
static inline struct troupe_actor *trp_table_find(const struct trp_table *table, troupe_pid pid)
{
    uint32_t slot = (uint32_t)(pid & (((uint32_t)1 << TRP_TABLE_SLOT_BITS) - 1));
    struct troupe_actor *actor;

    if (trp_unlikely(slot >= table->limit)) {
        return NULL;
    }
    /* acquire: the cells.  PAIR table.segment: release in table.c. */
    actor = atomic_load_explicit(
        &table->segments[slot >> TRP_TABLE_SEGMENT_BITS], memory_order_acquire);
    if (trp_unlikely(actor == NULL)) {
        return NULL;
    }
    actor += slot & (TRP_TABLE_SEGMENT - 1);
    /* The line is about to be written: fetch it so, not shared first. */
    __builtin_prefetch(actor, 1);
    /* acquire: what spawn wrote before it published the pid.  PAIR actor.pid: release in actor.c. */
    if (trp_unlikely(atomic_load_explicit(&actor->pid, memory_order_acquire) != pid ||
                     pid == TROUPE_NOBODY)) {
        return NULL;
    }
    return actor;
}

#endif
