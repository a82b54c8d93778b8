/* SPDX-License-Identifier: MIT */
/*
 * alias.c - addresses that their owner can revoke: who may still come through which.
 *
 * An alias is a pid with another tag (sched/actor.h): the owner's slot, and a number of its own.  Its record stands in
 * a trie of the owner's, by that number, under the lock of the owner's extra block.  A send that finds no actor of that pid
 * looks here (sched/send.c), and places its message under the same lock: so whoever ends an alias knows that nothing
 * comes through it from then on.
 *
 * Numbers.  The aliases of an actor count on from its generation, and when its cell is free the generation goes on by as
 * many (trp_actor_free_extra()): of a slot no number is used twice before 2^32 actors and aliases, whoever they belong to.
 *
 *             new             first message (REPLY), unalias, the monitor's end (DEMONITOR), owner's end
 *   (nothing) ----> STANDS ----------------------------------------------------------------------------> (nothing)
 *                      |
 *                      | first message (REPLY_DEMONITOR)           owner makes or ends a monitor, or ends
 *                      +--------------------------------> ANSWERED --------------------------------------> (nothing)
 *
 * STANDS: in the trie.  ANSWERED: in `answered`.  There its monitor waits to be taken out of the trie of monitors, which belongs
 * to the owner's token; whoever sent the message has taken it out of its subject's list already, as far as that was still
 * possible.  Of the answer and the down notice the one that gets the lock first is told: the answer marks the monitor, so that
 * a notice that is on its way is dropped; the notice ends the alias.
 */
#include "alias.h"

struct trp_alias {
    struct trp_trie node;        /* in the owner's aliases, by the number */
    struct trp_alias *next;      /* in `answered` */
    struct trp_aliased *monitor; /* of REPLY_DEMONITOR */
    uint8_t mode;
    bool priority;
};

static_assert(sizeof(struct trp_alias) <= 64, "an alias is one cache line");

#define SLOT_BITS 28
#define SLOT ((UINT64_C(1) << SLOT_BITS) - 1)

static troupe_pid pid_of(const struct troupe_actor *self, uint32_t number)
{
    return (troupe_pid)TRP_TAG_ALIAS << TRP_TAG_SHIFT | (troupe_pid)number << SLOT_BITS |
           self->slot;
}

static uint32_t number_of(troupe_pid alias)
{
    return (uint32_t)(alias >> SLOT_BITS);
}

bool troupe_is_alias(troupe_pid pid)
{
    return trp_pid_is_alias(pid);
}

/* ---- the trie: under the lock ---- */

static struct trp_alias *find(struct trp_extra *extra, uint32_t number)
{
    struct trp_trie *node = trp_trie_find(extra->aliases, trp_trie_mix(number));

    return node == NULL ? NULL : trp_container_of(node, struct trp_alias, node);
}

/* Not one that stands: an alias may outlast 2^32 others. */
static uint32_t next_number(const struct troupe_actor *self, struct trp_extra *extra)
{
    uint32_t number;

    do {
        number = self->generation + ++extra->alias_serial;
    } while (find(extra, number) != NULL);
    return number;
}

static void enter(struct troupe_actor *self, struct trp_extra *extra, struct trp_alias *alias,
    struct trp_aliased *monitor, uint32_t *out_number)
{
    uint32_t number = next_number(self, extra);

    if (monitor != NULL) {
        monitor->number = number;
    }
    trp_trie_insert(&extra->aliases, &alias->node, trp_trie_mix(number));
    extra->alias_count++;
    *out_number = number;
}

static void leave(struct trp_extra *extra, struct trp_alias *alias)
{
    trp_trie_remove(&extra->aliases, &alias->node);
    extra->alias_count--;
}

static void free_alias(struct trp_context *context, struct trp_alias *alias)
{
    trp_pool_free(&context->pool, alias, trp_pool_class(sizeof *alias));
}

/* ---- making and ending ---- */

int trp_alias_new(struct troupe_actor *self, enum troupe_alias_mode mode, unsigned flags,
    struct trp_aliased *monitor, troupe_pid *out_alias)
{
    struct trp_extra *extra = trp_actor_need_extra(trp_context_of(self), self);
    struct trp_alias *alias;
    uint32_t number = 0;
    bool entered;

    if (extra == NULL) {
        return TROUPE_ENOMEM;
    }
    alias = trp_watch_alloc(trp_context_of(self), sizeof *alias);
    if (alias == NULL) {
        return TROUPE_ENOMEM;
    }
    alias->next = NULL;
    alias->mode = (uint8_t)mode;
    alias->priority = (flags & TROUPE_PRIORITY) != 0;
    alias->monitor = mode == TROUPE_ALIAS_REPLY_DEMONITOR ? monitor : NULL;
    extra->listens = true;
    trp_lock_take(&extra->lock);
    entered = extra->alias_count < trp_runtime_limits(self->runtime)->actor_aliases;
    if (entered) {
        enter(self, extra, alias, monitor, &number);
    }
    trp_lock_give(&extra->lock);
    if (!entered) {
        free_alias(trp_context_of(self), alias);
        return TROUPE_ELIMIT;
    }
    *out_alias = pid_of(self, number);
    return TROUPE_OK;
}

int troupe_alias(
    struct troupe_actor *self, enum troupe_alias_mode mode, unsigned flags, troupe_pid *out_alias)
{
    TRP_INSIDE(self);
    if (!trp_actor_is_mine(self) || out_alias == NULL || (flags & ~TROUPE_PRIORITY) != 0 ||
        (mode != TROUPE_ALIAS_EXPLICIT && mode != TROUPE_ALIAS_REPLY)) {
        return TROUPE_EINVAL;
    }
    return trp_alias_new(self, mode, flags, NULL, out_alias);
}

bool trp_alias_end(struct troupe_actor *self, uint32_t number)
{
    struct trp_extra *extra = trp_actor_extra(self);
    struct trp_alias *alias;

    if (extra == NULL) {
        return false;
    }
    trp_lock_take(&extra->lock);
    alias = find(extra, number);
    if (alias != NULL) {
        leave(extra, alias);
    }
    trp_lock_give(&extra->lock);
    if (alias != NULL) {
        free_alias(trp_context_of(self), alias);
    }
    return alias != NULL;
}

int troupe_unalias(struct troupe_actor *self, troupe_pid alias)
{
    TRP_INSIDE(self);
    if (!trp_actor_is_mine(self) || !trp_pid_is_alias(alias) || (alias & SLOT) != self->slot) {
        return TROUPE_EINVAL;
    }
    return trp_alias_end(self, number_of(alias));
}

/* ---- a message comes through ---- */

bool trp_alias_find(struct trp_extra *extra, troupe_pid alias, struct trp_passage *out_passage)
{
    struct trp_alias *found = find(extra, number_of(alias));

    if (found == NULL) {
        return false;
    }
    *out_passage = (struct trp_passage){.alias = found,
        .once = found->mode == TROUPE_ALIAS_REPLY || found->mode == TROUPE_ALIAS_REPLY_DEMONITOR,
        .priority = found->priority};
    return true;
}

static void put_answered(struct trp_extra *extra, struct trp_alias *alias)
{
    /* relaxed, both: under the lock.  Its owner looks without it, and takes it if there is anything. */
    alias->next = atomic_load_explicit(&extra->answered, memory_order_relaxed);
    atomic_store_explicit(&extra->answered, alias, memory_order_relaxed);
    extra->answered_count++;
}

void trp_alias_spend(struct trp_extra *extra, struct trp_passage *passage)
{
    struct trp_alias *alias = passage->alias;

    leave(extra, alias);
    if (alias->monitor == NULL) {
        return;
    }
    alias->monitor->is_answered = true;
    passage->monitor = &alias->monitor->watch;
    passage->alias = NULL;
    /* For trp_alias_follow().  relaxed: the owner has one until it takes the record out of `answered`, under the lock. */
    atomic_fetch_add_explicit(&passage->monitor->notice.refs, 1, memory_order_relaxed);
    put_answered(extra, alias);
}

void trp_alias_follow(struct trp_context *context, const struct trp_passage *passage)
{
    struct trp_watch *monitor = passage->monitor;

    if (passage->alias != NULL) {
        free_alias(context, passage->alias);
    }
    if (monitor != NULL) {
        if (trp_watch_take_back(monitor)) {
            trp_watch_drop(context, &monitor->notice);
        }
        trp_watch_drop(context, &monitor->notice);
    }
}

/* Under the lock.  The newest one that was answered through, or NULL. */
static struct trp_alias *pop_answered(struct trp_extra *extra)
{
    /* relaxed, both: as in put_answered(). */
    struct trp_alias *alias = atomic_load_explicit(&extra->answered, memory_order_relaxed);

    if (alias != NULL) {
        atomic_store_explicit(&extra->answered, alias->next, memory_order_relaxed);
        extra->answered_count--;
    }
    return alias;
}

struct trp_aliased *trp_alias_take_answered(struct troupe_actor *self)
{
    struct trp_extra *extra = trp_actor_extra(self);
    struct trp_aliased *monitor;
    struct trp_alias *alias;

    trp_lock_take(&extra->lock);
    alias = pop_answered(extra);
    trp_lock_give(&extra->lock);
    /* Only we take one out. */
    monitor = alias->monitor;
    free_alias(trp_context_of(self), alias);
    return monitor;
}

/* ---- the monitor tells of its end ---- */

bool trp_alias_admits(
    struct trp_context *context, struct troupe_actor *watcher, struct trp_notice *notice)
{
    const struct trp_aliased *monitor = trp_notice_aliased(notice);
    struct trp_alias *alias = NULL;
    struct trp_extra *extra;
    bool is_answered;

    if (monitor == NULL) {
        return true;
    }
    extra = trp_actor_extra(watcher);
    trp_lock_take(&extra->lock);
    is_answered = monitor->is_answered;
    if (!is_answered && monitor->ends_alias && !extra->shut) {
        alias = find(extra, monitor->number);
    }
    if (alias != NULL) {
        leave(extra, alias);
    }
    trp_lock_give(&extra->lock);
    if (alias != NULL) {
        free_alias(context, alias);
    }
    return !is_answered;
}

/* ---- the owner's end: it is shut (sched/priority.h) ---- */

/* Under the lock. */
static struct trp_alias *pop_any(struct trp_extra *extra)
{
    struct trp_alias *alias;

    if (extra->aliases == NULL) {
        return pop_answered(extra);
    }
    alias = trp_container_of(extra->aliases, struct trp_alias, node);
    leave(extra, alias);
    return alias;
}

unsigned trp_alias_end_all(struct troupe_actor *self, unsigned budget)
{
    struct trp_extra *extra = trp_actor_extra(self);

    while (budget > 0 && extra->listens) {
        struct trp_alias *alias;

        trp_lock_take(&extra->lock);
        alias = pop_any(extra);
        trp_lock_give(&extra->lock);
        if (alias == NULL) {
            return budget;
        }
        free_alias(trp_context_of(self), alias);
        budget--;
    }
    return budget;
}
