/* SPDX-License-Identifier: MIT */
/*
 * stage.h - a runtime of which scenarios play the workers: nothing runs in it but what a thread of the scenario calls in
 * the context of one.  For what needs actors and mailboxes; parts of the core that stand alone do without.
 *
 * Its table has a handful of cells instead of whole segments, put there by hand: a run begins with making it, and there
 * are many runs.  It is never destroyed: memory of a run goes with the run.
 */
#ifndef TEST_EXPLORE_STAGE_H
#define TEST_EXPLORE_STAGE_H

#include <string.h>

#include "sched/exit.h"
#include "sched/runtime.h"
#include "sched/shelf.h"
#include "test/explore/explore.h"

/* As grow() in table.c would, but as many cells as may be.  The limit is a small one: a cell that comes back is the
 * next one that is taken when no other is left. */
static inline void stage_cut_cells(struct troupe_runtime *runtime)
{
    struct trp_table *table = &runtime->table;
    uint32_t count = table->limit;
    struct troupe_actor *cells =
        trp_memory_alloc(&runtime->memory, count * sizeof *cells, alignof(struct troupe_actor));

    memset(cells, 0, count * sizeof *cells);
    for (uint32_t i = 0; i < count; i++) {
        cells[i].runtime = runtime;
        cells[i].slot = i;
        cells[i].generation = 100;
    }
    atomic_init(&table->segments[0], cells);
    atomic_init(&table->segment_count, 1);
    table->shared.segment = cells;
    table->shared.segment_left = count;
}

/* Without cells: the first that is taken makes a segment. */
static inline struct troupe_runtime *stage_open_bare(unsigned workers, uint32_t limit)
{
    struct troupe_runtime *runtime = explore_alloc(sizeof *runtime, 128);

    memset(runtime, 0, sizeof *runtime);
    trp_memory_init(&runtime->memory, &explore_allocator, UINT64_MAX);
    runtime->limits = (struct troupe_limits){.actors = limit,
        .actor_timers = 64,
        .actor_watches = 64,
        .actor_ios = 64,
        .names = 64,
        .actor_jobs = 64,
        .actor_aliases = 64};
    runtime->worker_count = workers;
    trp_park_init(&runtime->park);
    explore_check(trp_table_init(&runtime->table, runtime, limit, 1) == TROUPE_OK);
    for (unsigned i = 0; i < workers; i++) {
        runtime->workers[i] = explore_alloc(sizeof *runtime->workers[i], 128);
        trp_worker_init(runtime->workers[i], runtime, i);
    }
    atomic_init(&runtime->running, workers);
    return runtime;
}

static inline struct troupe_runtime *stage_open(unsigned workers, uint32_t cells)
{
    struct troupe_runtime *runtime = stage_open_bare(workers, cells);

    stage_cut_cells(runtime);
    return runtime;
}

/* An actor whose token the caller has. */
static inline struct troupe_actor *stage_spawn(
    struct trp_worker *worker, const struct troupe_behaviour *behaviour)
{
    struct trp_spawn spawn = {.behaviour = behaviour, .parent = TROUPE_NOBODY};
    struct troupe_actor *actor = NULL;

    explore_check(trp_actor_spawn(&worker->context, &spawn, &actor) == TROUPE_OK);
    return actor;
}

/* A slice of `actor` begins on `worker`. */
static inline void stage_enter(struct trp_worker *worker, struct troupe_actor *actor)
{
    actor->context = &worker->context;
    worker->context.current = actor;
    trp_actor_set_phase(actor, TRP_PHASE_RUNNING);
}

/* As trp_worker_open() and what follows it. */
static inline void stage_handle_shelved(struct troupe_actor *actor, struct troupe_message *ticket)
{
    struct troupe_message *msg = trp_shelf_take(ticket);

    if (msg != NULL) {
        (void)actor->receive(actor, actor->state, msg);
        trp_worker_retire(actor->context, actor, msg, TROUPE_EUNANSWERED);
    }
}

static inline void stage_handle(struct troupe_actor *actor, struct troupe_message *msg)
{
    int status = TRP_OPEN_DELIVER;

    if (msg->kind == TRP_MESSAGE_TICKET) {
        stage_handle_shelved(actor, msg);
        return;
    }
    if (msg->kind == TRP_MESSAGE_TICK) {
        status = trp_tick_open(actor, msg) ? TRP_OPEN_DELIVER : TROUPE_OK;
    } else if (msg->kind != TRP_MESSAGE_PLAIN) {
        status = trp_hooks.open(actor, msg);
    }
    if (status == TRP_OPEN_DELIVER) {
        (void)actor->receive(actor, actor->state, msg);
    }
}

/* Receives all that is there, and retires it unless a sender is in the gap. */
static inline void stage_receive(struct troupe_actor *actor)
{
    struct trp_node *spent = NULL;
    struct trp_node *node;

    while ((node = trp_mailbox_pop(&actor->mailbox, &actor->head, &spent)) != NULL) {
        if (spent != NULL) {
            trp_worker_retire(actor->context, actor, trp_message_of(spent), TROUPE_EUNANSWERED);
        }
        stage_handle(actor, trp_message_of(node));
    }
    if (trp_mailbox_detach(&actor->mailbox, &actor->head, &spent) && spent != NULL) {
        trp_worker_retire(actor->context, actor, trp_message_of(spent), TROUPE_EUNANSWERED);
    }
}

/* The slice ends its actor, with all ten steps. */
static inline enum trp_exit_outcome stage_exit(struct troupe_actor *actor)
{
    struct trp_context *context = actor->context;
    struct troupe_reason reason = {.kind = TROUPE_EXIT_SHUTDOWN};
    enum trp_exit_outcome outcome;

    trp_exit_begin(context->worker, actor, &reason);
    while ((outcome = trp_exit_continue(context, actor)) == TRP_EXIT_MORE) {
        explore_yield();
    }
    context->current = NULL;
    return outcome;
}

static inline unsigned stage_count_missing(struct trp_pool *pool, unsigned class)
{
    char *uncut = pool->lists[class].uncut;
    char *slab = (char *)((uintptr_t)uncut & ~(uintptr_t)0xffff);
    unsigned count = 0;

    if (uncut == NULL) {
        return 0;
    }
    while ((char *)trp_pool_alloc(pool, class) < uncut) {
        count++;
    }
    return (unsigned)((size_t)(uncut - slab - TRP_CACHE_LINE) / trp_pool_size(class)) - count;
}

/* The extra blocks of cells whose grace period nobody waited for. */
static inline void stage_free_extras(struct troupe_runtime *runtime)
{
    uint32_t count = trp_table_slots(&runtime->table);

    for (uint32_t slot = 0; slot < count; slot++) {
        struct troupe_actor *cell = trp_table_cell(&runtime->table, slot);

        if (slot < runtime->table.limit && cell != NULL) {
            trp_actor_free_extra(&runtime->workers[0]->context, cell);
        }
    }
}

/* How many blocks of pools somebody still has.  When all is over; no pool can be used afterwards. */
static inline unsigned stage_missing(struct troupe_runtime *runtime)
{
    unsigned missing = 0;

    stage_free_extras(runtime);
    for (unsigned i = 0; i < runtime->worker_count; i++) {
        trp_pool_trim(&runtime->workers[i]->context.pool);
    }
    for (unsigned i = 0; i < runtime->worker_count; i++) {
        for (unsigned c = 0; c < TRP_POOL_CLASSES; c++) {
            missing += stage_count_missing(&runtime->workers[i]->context.pool, c);
        }
    }
    return missing;
}

#endif
