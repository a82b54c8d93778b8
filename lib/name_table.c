/* SPDX-License-Identifier: MIT */
/*
 * name_table.c - finds a record by its name.
 *
 * liburcu's rculfhash with the QSBR flavour for look-ups, which happen under reclaim; a treap under a lock for lists.
 * The hash is unordered, and a walk through it cannot be resumed when the record it stood at has gone; that is what
 * the treap is for.  Who gets a name is decided by one call, add_unique.
 *
 * Hashing is keyed with the runtime's randomness, so that nobody can choose names that collide.  The memory of
 * buckets is liburcu's own and grows with the number of names.
 *
 * Built without the thread sanitizer, which cannot follow rculfhash: a name is released before it is added, and
 * acquired before a look at its text.
 */
#include "name_table.h"

#include <signal.h>
#include <string.h>
#include <urcu-qsbr.h>
#include <urcu/rculfhash.h>

#include <troupe/registry.h>

#include "tsan.h"

/** Buckets of a table without names. */
#define BUCKETS 64

struct trp_name_table {
    struct cds_lfht *table;    /* set once */
    struct trp_memory *memory; /* set once */
    uint64_t key;              /* set once: of the hash */
    struct trp_lock lock;
    struct trp_name_order *root; /* under lock */
};

struct wanted {
    const char *text;
    size_t length;
};

static_assert(sizeof(struct cds_lfht_node) <= sizeof(((struct trp_name *)0)->node),
    "name_table.h has room for a node");

static struct cds_lfht_node *node_of(struct trp_name *name)
{
    return (struct cds_lfht_node *)(void *)name->node;
}

static struct trp_name *name_of(struct cds_lfht_node *node)
{
    return trp_container_of(node, struct trp_name, node);
}

static struct trp_name *ordered_name(struct trp_name_order *order)
{
    return trp_container_of(order, struct trp_name, order);
}

bool trp_name_is_valid(const char *text)
{
    return text != NULL && text[0] != '\0' && strnlen(text, TROUPE_NAME_MAX + 1) <= TROUPE_NAME_MAX;
}

/* FNV-1a over a secret start, then mixed: short names, no attacker who sees the hash. */
static unsigned long hash_text(const struct trp_name_table *table, const struct wanted *wanted)
{
    uint64_t hash = table->key;

    for (size_t i = 0; i < wanted->length; i++) {
        hash = (hash ^ (unsigned char)wanted->text[i]) * UINT64_C(0x100000001b3);
        hash ^= hash >> 29;
    }
    hash = (hash ^ (hash >> 32)) * UINT64_C(0x9e3779b97f4a7c15);
    return (unsigned long)(hash ^ (hash >> 32) ^ table->key);
}

static int is_wanted(struct cds_lfht_node *node, const void *key)
{
    const struct trp_name *name = name_of(node);
    const struct wanted *wanted = key;

    TRP_TSAN_ACQUIRE(node);
    return name->length == wanted->length &&
           memcmp(name->order.text, wanted->text, wanted->length) == 0;
}

void trp_name_init(struct trp_name *name, const char *text)
{
    cds_lfht_node_init(node_of(name));
    name->order = (struct trp_name_order){.text = text};
    name->length = (uint32_t)strlen(text);
    name->shown = false;
}

/* ---- found ---- */

struct trp_name *trp_name_table_find(const struct trp_name_table *table, const char *text)
{
    struct wanted wanted = {text, strlen(text)};
    struct cds_lfht_iter iter;
    struct cds_lfht_node *node;

    cds_lfht_lookup(table->table, hash_text(table, &wanted), is_wanted, &wanted, &iter);
    node = cds_lfht_iter_get_node(&iter);
    return node != NULL ? name_of(node) : NULL;
}

struct trp_name *trp_name_table_add(struct trp_name_table *table, struct trp_name *name)
{
    struct wanted wanted = {name->order.text, name->length};
    unsigned long hash = hash_text(table, &wanted);

    name->order.priority = hash;
    TRP_TSAN_RELEASE(node_of(name));
    return name_of(cds_lfht_add_unique(table->table, hash, is_wanted, &wanted, node_of(name)));
}

void trp_name_table_remove(struct trp_name_table *table, struct trp_name *name)
{
    int missing = cds_lfht_del(table->table, node_of(name));

    trp_assert(missing == 0);
}

struct trp_name *trp_name_table_first(const struct trp_name_table *table)
{
    struct cds_lfht_iter iter;
    struct cds_lfht_node *node;

    cds_lfht_first(table->table, &iter);
    node = cds_lfht_iter_get_node(&iter);
    return node != NULL ? name_of(node) : NULL;
}

/* ---- listed ---- */

void trp_name_table_show(struct trp_name_table *table, struct trp_name *name)
{
    trp_lock_take(&table->lock);
    if (!name->shown) {
        name->shown = true;
        trp_name_order_insert(&table->root, &name->order);
    }
    trp_lock_give(&table->lock);
}

void trp_name_table_hide(struct trp_name_table *table, struct trp_name *name)
{
    trp_lock_take(&table->lock);
    if (name->shown) {
        name->shown = false;
        trp_name_order_remove(&table->root, &name->order);
    }
    trp_lock_give(&table->lock);
}

bool trp_name_range_is_valid(const struct trp_name_range *range)
{
    return (range->prefix == NULL ||
               strnlen(range->prefix, TROUPE_NAME_MAX + 1) <= TROUPE_NAME_MAX) &&
           (range->after == NULL || strnlen(range->after, TROUPE_NAME_MAX + 1) <= TROUPE_NAME_MAX);
}

/* The next name of `range` behind `last`, or its first one if that is NULL.  Under lock. */
static struct trp_name *next_listed(
    struct trp_name_table *table, const struct trp_name_range *range, const struct trp_name *last)
{
    const char *prefix = range->prefix != NULL ? range->prefix : "";
    const char *after = last != NULL ? last->order.text : range->after;
    struct trp_name_order *found;

    if (after == NULL || strcmp(after, prefix) < 0) {
        found = trp_name_order_find(table->root, prefix, false);
    } else {
        found = trp_name_order_find(table->root, after, true);
    }
    if (found == NULL || strncmp(found->text, prefix, strlen(prefix)) != 0) {
        return NULL;
    }
    return ordered_name(found);
}

uint32_t trp_name_table_list(struct trp_name_table *table, const struct trp_name_range *range,
    trp_name_write_fn write, void *out, uint32_t max)
{
    struct trp_name *last = NULL;
    uint32_t count = 0;
    bool more = true;

    while (more && count < max) {
        trp_lock_take(&table->lock);
        for (unsigned i = 0; i < TRP_NAME_PIECE && more && count < max; i++) {
            struct trp_name *name = next_listed(table, range, last);

            more = name != NULL;
            if (more) {
                write(name, out, count++);
                last = name;
            }
        }
        /* `last` may be hidden and removed now; under reclaim its text stays. */
        trp_lock_give(&table->lock);
    }
    return count;
}

/* ---- create and destroy ---- */

/* rculfhash starts a thread that resizes tables: it must not take the signals of the program. */
static struct cds_lfht *table_new(void)
{
    struct cds_lfht *table;
    sigset_t all;
    sigset_t before;

    sigfillset(&all);
    if (pthread_sigmask(SIG_SETMASK, &all, &before) != 0) {
        return NULL;
    }
    table = cds_lfht_new(BUCKETS, BUCKETS, 0, CDS_LFHT_AUTO_RESIZE | CDS_LFHT_ACCOUNTING, NULL);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return table;
}

/* A secret of this runtime, from its seed. */
static int draw_key(struct troupe_runtime *runtime, uint64_t *out_key)
{
    struct trp_visit visit;

    TROUPE_TRY(trp_context_enter(runtime, &visit));
    *out_key = trp_context_random(visit.context);
    trp_context_leave(&visit);
    return TROUPE_OK;
}

int trp_name_table_create(struct troupe_runtime *runtime, struct trp_name_table **out_table)
{
    struct trp_memory *memory = trp_runtime_memory(runtime);
    struct trp_name_table *table =
        trp_memory_alloc(memory, sizeof *table, alignof(struct trp_name_table));
    int error;

    if (table == NULL) {
        return TROUPE_ENOMEM;
    }
    table->memory = memory;
    table->root = NULL;
    error = draw_key(runtime, &table->key);
    if (error < 0) {
        goto fail_free;
    }
    table->table = table_new();
    if (table->table == NULL) {
        error = TROUPE_ENOMEM;
        goto fail_free;
    }
    trp_lock_init(&table->lock);
    *out_table = table;
    return TROUPE_OK;

fail_free:
    trp_memory_free(memory, table, sizeof *table);
    return error;
}

/* Waits for the thread that resizes it.  Not online meanwhile: that thread may wait for us, to shrink it. */
static void table_free(struct cds_lfht *table)
{
    bool was_offline = trp_reclaim_enter();

    trp_reclaim_leave(true);
    (void)cds_lfht_destroy(table, NULL);
    if (!was_offline) {
        (void)trp_reclaim_enter();
    }
}

void trp_name_table_destroy(struct trp_name_table *table)
{
    if (table == NULL) {
        return;
    }
    trp_lock_fini(&table->lock);
    table_free(table->table);
    trp_memory_free(table->memory, table, sizeof *table);
}
