/* SPDX-License-Identifier: MIT */
#include "table.h"

#include <string.h>

#include "core.h"

static size_t directory_size(const struct trp_table *table)
{
    return ((size_t)table->limit / TRP_TABLE_SEGMENT + 1) * sizeof *table->segments;
}

int trp_table_init(
    struct trp_table *table, struct troupe_runtime *runtime, uint32_t limit, uint64_t seed)
{
    table->runtime = runtime;
    table->memory = NULL;
    table->limit = limit;
    table->seed = seed;
    table->spare = NULL;
    table->shared = (struct trp_cells){0};
    atomic_init(&table->segment_count, 0);
    trp_lock_init(&table->lock);
    table->memory = trp_runtime_memory(runtime);
    table->segments = trp_memory_alloc(table->memory, directory_size(table), TRP_CACHE_LINE);
    if (table->segments == NULL) {
        trp_lock_fini(&table->lock);
        return TROUPE_ENOMEM;
    }
    for (size_t i = 0; i < directory_size(table) / sizeof *table->segments; i++) {
        atomic_init(&table->segments[i], NULL);
    }
    return TROUPE_OK;
}

void trp_table_fini(struct trp_table *table)
{
    /* relaxed, here and below: nobody else is left. */
    uint32_t count = atomic_load_explicit(&table->segment_count, memory_order_relaxed);

    for (uint32_t i = 0; i < count; i++) {
        trp_memory_free(table->memory,
            atomic_load_explicit(&table->segments[i], memory_order_relaxed),
            TRP_TABLE_SEGMENT * sizeof(struct troupe_actor));
    }
    trp_memory_free(table->memory, (void *)(uintptr_t)table->segments, directory_size(table));
    trp_lock_fini(&table->lock);
}

/* A stream of generations that another runtime does not have. */
static uint32_t first_generation(const struct trp_table *table, uint32_t slot)
{
    uint64_t x = table->seed + (uint64_t)slot * 0x9e3779b97f4a7c15U;

    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9U;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebU;
    return (uint32_t)(x >> 32);
}

static void prepare_cell(struct trp_table *table, struct troupe_actor *actor, uint32_t slot)
{
    memset(actor, 0, sizeof *actor);
    atomic_init(&actor->pid, TROUPE_NOBODY);
    atomic_init(&actor->extra, NULL);
    atomic_init(&actor->phase, TRP_PHASE_FREE);
    actor->runtime = table->runtime;
    actor->slot = slot;
    actor->generation = first_generation(table, slot);
}

/* Under lock.  A new segment, its cells being cut by the caller's context. */
static int grow(struct trp_table *table, struct trp_cells *cells)
{
    /* relaxed: written under this lock. */
    uint32_t index = atomic_load_explicit(&table->segment_count, memory_order_relaxed);
    uint32_t first = index * TRP_TABLE_SEGMENT;
    struct troupe_actor *segment;

    if (first >= table->limit) {
        return TROUPE_ELIMIT;
    }
    segment = trp_memory_alloc(
        table->memory, TRP_TABLE_SEGMENT * sizeof *segment, alignof(struct troupe_actor));
    if (segment == NULL) {
        return TROUPE_ENOMEM;
    }
    for (uint32_t i = 0; i < TRP_TABLE_SEGMENT; i++) {
        prepare_cell(table, &segment[i], first + i);
    }
    /* release: the cells.  PAIR table.segment: acquire in trp_table_find(). */
    atomic_store_explicit(&table->segments[index], segment, memory_order_release);
    atomic_store_explicit(&table->segment_count, index + 1, memory_order_release);
    cells->segment = segment;
    cells->segment_left =
        table->limit - first < TRP_TABLE_SEGMENT ? table->limit - first : TRP_TABLE_SEGMENT;
    return TROUPE_OK;
}

static void append(
    struct trp_cells *cells, struct troupe_actor *first, struct troupe_actor *last, uint32_t count)
{
    last->link = NULL;
    if (cells->last != NULL) {
        cells->last->link = first;
    } else {
        cells->first = first;
    }
    cells->last = last;
    cells->count += count;
}

static struct troupe_actor *pop(struct trp_cells *cells)
{
    struct troupe_actor *actor = cells->first;

    if (actor != NULL) {
        cells->first = actor->link;
        if (cells->first == NULL) {
            cells->last = NULL;
        }
        cells->count--;
        actor->link = NULL;
        trp_actor_prefetch(cells->first);
    }
    return actor;
}

/* Under lock.  Takes a bundle that another context had too much of.  It has rested, so it goes before what came back here
 * lately. */
static bool take_bundle(struct trp_table *table, struct trp_cells *cells)
{
    struct troupe_actor *first = table->spare;
    struct troupe_actor *last;

    if (first == NULL) {
        return false;
    }
    table->spare = (struct troupe_actor *)(uintptr_t)first->arg;
    first->arg = NULL;
    last = first;
    while (last->link != NULL) {
        last = last->link;
    }
    last->link = cells->first;
    if (cells->last == NULL) {
        cells->last = last;
    }
    cells->first = first;
    cells->count += TRP_TABLE_BUNDLE;
    return true;
}

/* From cells in stock, or a new segment of which some are left; at the limit also those that should still rest. */
static struct troupe_actor *take_from(struct trp_cells *cells)
{
    if (cells->count > TRP_TABLE_REST || cells->segment_left == 0) {
        return pop(cells);
    }
    cells->segment_left--;
    return cells->segment++;
}

static bool is_low(const struct trp_cells *cells)
{
    return cells->count <= TRP_TABLE_REST && cells->segment_left == 0;
}

static int take_shared(struct trp_table *table, struct troupe_actor **out_actor)
{
    struct troupe_actor *actor;
    int error = TROUPE_OK;

    trp_lock_take(&table->lock);
    if (is_low(&table->shared)) {
        error = grow(table, &table->shared);
    }
    actor = take_from(&table->shared);
    trp_lock_give(&table->lock);
    if (actor == NULL) {
        return error;
    }
    *out_actor = actor;
    return TROUPE_OK;
}

int trp_table_take(
    struct trp_table *table, struct trp_cells *cells, struct troupe_actor **out_actor)
{
    if (table->limit < TRP_TABLE_SMALL) {
        return take_shared(table, out_actor);
    }
    if (is_low(cells)) {
        int error = TROUPE_OK;

        trp_lock_take(&table->lock);
        if (!take_bundle(table, cells)) {
            error = grow(table, cells);
        }
        trp_lock_give(&table->lock);
        if (error < 0 && cells->count == 0) {
            return error;
        }
        /* At the limit, or without memory, a slot rests for a shorter time. */
    }
    *out_actor = take_from(cells);
    return TROUPE_OK;
}

/* Cuts the oldest bundle off. */
static struct troupe_actor *cut_bundle(struct trp_cells *cells)
{
    struct troupe_actor *first = cells->first;
    struct troupe_actor *last = first;

    for (uint32_t i = 1; i < TRP_TABLE_BUNDLE; i++) {
        last = last->link;
        trp_assert(last != NULL);
    }
    cells->first = last->link;
    cells->count -= TRP_TABLE_BUNDLE;
    last->link = NULL;
    return first;
}

void trp_table_give(struct trp_table *table, struct trp_cells *cells, struct troupe_actor *actor)
{
    if (table->limit < TRP_TABLE_SMALL) {
        trp_lock_take(&table->lock);
        append(&table->shared, actor, actor, 1);
        trp_lock_give(&table->lock);
        return;
    }
    append(cells, actor, actor, 1);
    if (cells->count >= TRP_TABLE_REST + 2 * TRP_TABLE_BUNDLE) {
        struct troupe_actor *bundle = cut_bundle(cells);

        trp_lock_take(&table->lock);
        bundle->arg = table->spare;
        table->spare = bundle;
        trp_lock_give(&table->lock);
    }
}

troupe_pid trp_table_next_pid(struct troupe_actor *actor)
{
    troupe_pid pid;

    actor->generation++;
    pid = (troupe_pid)actor->generation << TRP_TABLE_SLOT_BITS | actor->slot;
    if (pid == TROUPE_NOBODY) {
        actor->generation++;
        pid = (troupe_pid)actor->generation << TRP_TABLE_SLOT_BITS | actor->slot;
    }
    return pid;
}

struct troupe_actor *trp_table_owner(const struct trp_table *table, troupe_pid alias)
{
    uint32_t slot = (uint32_t)(alias & (((uint32_t)1 << TRP_TABLE_SLOT_BITS) - 1));
    struct troupe_actor *actor = slot < table->limit ? trp_table_cell(table, slot) : NULL;

    /* acquire: what spawn wrote; and whoever is found here was not sealed before our read section began, so neither the cell
     * nor what hangs on it goes before that ends.  PAIR actor.pid: release in actor.c. */
    if (actor == NULL || atomic_load_explicit(&actor->pid, memory_order_acquire) == TROUPE_NOBODY) {
        return NULL;
    }
    return actor;
}

uint32_t trp_table_slots(const struct trp_table *table)
{
    /* acquire: the segments.  PAIR table.segment. */
    return atomic_load_explicit(&table->segment_count, memory_order_acquire) * TRP_TABLE_SEGMENT;
}

struct troupe_actor *trp_table_cell(const struct trp_table *table, uint32_t slot)
{
    struct troupe_actor *segment;

    if (slot >= trp_table_slots(table)) {
        return NULL;
    }
    /* relaxed: trp_table_slots() has acquired it. */
    segment = atomic_load_explicit(
        &table->segments[slot >> TRP_TABLE_SEGMENT_BITS], memory_order_relaxed);
    return &segment[slot & (TRP_TABLE_SEGMENT - 1)];
}
