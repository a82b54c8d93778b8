/* SPDX-License-Identifier: MIT */
/* shorthand.c - behaviours of children that are specified by a main function alone: a trie of them under a lock. */
#include "shorthand.h"

#include <string.h>

#include "child.h"
#include "trie.h"

struct entry {
    struct troupe_behaviour behaviour;
    struct trp_trie node; /* keyed by function and name */
    size_t size;          /* of this block */
    char name[];
};

struct shorthands {
    struct trp_memory *memory; /* set once */
    struct trp_lock lock;
    struct trp_trie *entries; /* under lock */
    unsigned count;           /* the same */
};

struct wanted {
    troupe_main_fn main;
    const char *name;
};

static uint64_t hash_of(const struct wanted *wanted)
{
    return trp_trie_mix(trp_child_hash(wanted->name) ^ (uint64_t)(uintptr_t)wanted->main);
}

static bool is_wanted(struct trp_trie *node, const void *arg)
{
    const struct entry *entry = trp_container_of(node, struct entry, node);
    const struct wanted *wanted = arg;

    return entry->behaviour.main == wanted->main && strcmp(entry->name, wanted->name) == 0;
}

/* Under lock. */
static struct entry *find(const struct shorthands *all, const struct wanted *wanted)
{
    struct trp_trie *node = trp_trie_match(all->entries, hash_of(wanted), is_wanted, wanted);

    return node != NULL ? trp_container_of(node, struct entry, node) : NULL;
}

/* Under lock; NULL without memory. */
static struct entry *add(struct shorthands *all, const struct wanted *wanted)
{
    size_t size = sizeof(struct entry) + strlen(wanted->name) + 1;
    struct entry *entry = trp_memory_alloc(all->memory, size, alignof(struct entry));

    if (entry == NULL) {
        return NULL;
    }
    memset(entry, 0, size);
    memcpy(entry->name, wanted->name, size - sizeof(struct entry));
    entry->size = size;
    entry->behaviour.name = entry->name;
    entry->behaviour.main = wanted->main;
    trp_trie_insert(&all->entries, &entry->node, hash_of(wanted));
    all->count++;
    return entry;
}

int trp_shorthand_of(struct troupe_runtime *runtime, troupe_main_fn main, const char *id,
    const struct troupe_behaviour **out_behaviour)
{
    struct shorthands *all = trp_runtime_module(runtime, TRP_MODULE_SHORTHANDS);
    struct wanted wanted = {main, id};
    struct entry *entry;

    trp_lock_take(&all->lock);
    entry = find(all, &wanted);
    if (entry == NULL && all->count >= TRP_SHORTHANDS_MAX) {
        wanted.name = TRP_SHORTHAND_NAME;
        entry = find(all, &wanted);
    }
    if (entry == NULL) {
        entry = add(all, &wanted);
    }
    trp_lock_give(&all->lock);
    if (entry == NULL) {
        return TROUPE_ENOMEM;
    }
    *out_behaviour = &entry->behaviour;
    return TROUPE_OK;
}

int trp_shorthand_create(struct troupe_runtime *runtime)
{
    struct trp_memory *memory = trp_runtime_memory(runtime);
    struct shorthands *all = trp_memory_alloc(memory, sizeof *all, alignof(struct shorthands));

    if (all == NULL) {
        return TROUPE_ENOMEM;
    }
    memset(all, 0, sizeof *all);
    all->memory = memory;
    trp_lock_init(&all->lock);
    trp_runtime_set_module(runtime, TRP_MODULE_SHORTHANDS, all);
    return TROUPE_OK;
}

void trp_shorthand_destroy(struct troupe_runtime *runtime)
{
    struct shorthands *all = trp_runtime_module(runtime, TRP_MODULE_SHORTHANDS);

    if (all == NULL) {
        return;
    }
    while (all->entries != NULL) {
        struct entry *entry = trp_container_of(all->entries, struct entry, node);

        trp_trie_remove(&all->entries, &entry->node);
        trp_memory_free(all->memory, entry, entry->size);
    }
    trp_lock_fini(&all->lock);
    trp_memory_free(all->memory, all, sizeof *all);
    trp_runtime_set_module(runtime, TRP_MODULE_SHORTHANDS, NULL);
}
