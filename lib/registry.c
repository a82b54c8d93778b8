/* SPDX-License-Identifier: MIT */
/*
 * registry.c - names to pids.
 *
 * One hash table a runtime: liburcu's rculfhash with the QSBR flavour.  A look-up is lock-free and takes no
 * reference: it happens under reclaim and copies the pid out.  An entry belongs to the actor it names and
 * stands in that actor's list of names, so a name is released by deleting exactly the entry that was
 * added for this actor: the name of a successor cannot be hit.  Names are never iterated.
 *
 * Who gets a name is decided by one call, add_unique; the loser gives its entry up.  Memory of entries is
 * the runtime's, counted and limited; that of the buckets is liburcu's own and grows with the number of names.
 *
 * Hashing is keyed with the runtime's randomness, so that nobody can choose names that collide.
 *
 * Built without the thread sanitizer, which cannot follow rculfhash: an entry is released before it is
 * added, and acquired before a look at its name.
 */
#include "registry.h"

#include <signal.h>
#include <string.h>
#include <urcu-qsbr.h>
#include <urcu/rculfhash.h>

#include <troupe/mailbox.h>

#include "tsan.h"

/** Buckets of a table without names. */
#define REGISTRY_BUCKETS 64

struct trp_registry {
    struct cds_lfht *table;    /* set once */
    struct trp_memory *memory; /* set once */
    uint64_t key;              /* set once: of the hash */
    uint32_t limit;            /* set once: names */
    _Atomic uint32_t count;    /* any thread: names, and those being added */
};

/* One name.  Nothing but `node` and `reclaim` changes after it was added. */
struct entry {
    struct cds_lfht_node node;
    struct trp_list names; /* in the owner's list; its token's holder */
    struct trp_reclaim reclaim;
    struct trp_memory *memory;
    troupe_pid owner;
    uint32_t length;
    char name[];
};

struct wanted {
    const char *name;
    size_t length;
};

bool trp_registry_is_name(const char *name)
{
    return name != NULL && name[0] != '\0' && strnlen(name, TROUPE_NAME_MAX + 1) <= TROUPE_NAME_MAX;
}

static struct trp_registry *registry_of(const struct troupe_runtime *runtime)
{
    return trp_runtime_module(runtime, TRP_MODULE_REGISTRY);
}

/* FNV-1a over a secret start, then mixed: short names, no attacker who sees the hash. */
static unsigned long hash_name(const struct trp_registry *registry, const struct wanted *wanted)
{
    uint64_t hash = registry->key;

    for (size_t i = 0; i < wanted->length; i++) {
        hash = (hash ^ (unsigned char)wanted->name[i]) * UINT64_C(0x100000001b3);
        hash ^= hash >> 29;
    }
    hash = (hash ^ (hash >> 32)) * UINT64_C(0x9e3779b97f4a7c15);
    return (unsigned long)(hash ^ (hash >> 32) ^ registry->key);
}

static int is_wanted(struct cds_lfht_node *node, const void *key)
{
    struct entry *entry = trp_container_of(node, struct entry, node);
    const struct wanted *wanted = key;

    TRP_TSAN_ACQUIRE(entry);
    return entry->length == wanted->length &&
           memcmp(entry->name, wanted->name, wanted->length) == 0;
}

/* The entry of a name, or NULL.  Under reclaim. */
static struct entry *find_entry(const struct trp_registry *registry, const char *name)
{
    struct wanted wanted = {name, strlen(name)};
    struct cds_lfht_iter iter;
    struct cds_lfht_node *node;

    cds_lfht_lookup(registry->table, hash_name(registry, &wanted), is_wanted, &wanted, &iter);
    node = cds_lfht_iter_get_node(&iter);
    return node != NULL ? trp_container_of(node, struct entry, node) : NULL;
}

static void entry_free(struct entry *entry)
{
    trp_memory_free(entry->memory, entry, sizeof *entry + entry->length + 1);
}

static void entry_done(struct trp_reclaim *reclaim)
{
    entry_free(trp_container_of(reclaim, struct entry, reclaim));
}

static struct entry *entry_new(
    struct trp_registry *registry, troupe_pid owner, const struct wanted *wanted)
{
    struct entry *entry = trp_memory_alloc(
        registry->memory, sizeof *entry + wanted->length + 1, alignof(struct entry));

    if (entry == NULL) {
        return NULL;
    }
    cds_lfht_node_init(&entry->node);
    trp_list_init(&entry->names);
    entry->memory = registry->memory;
    entry->owner = owner;
    entry->length = (uint32_t)wanted->length;
    memcpy(entry->name, wanted->name, wanted->length + 1);
    return entry;
}

/* Takes an entry out of table and list; it goes when nobody can look at it any more. */
static void entry_delete(struct trp_registry *registry, struct entry *entry)
{
    int missing = cds_lfht_del(registry->table, &entry->node);

    trp_assert(missing == 0);
    trp_list_remove(&entry->names);
    /* relaxed: a number to compare with a limit; nothing is read on the strength of it. */
    atomic_fetch_sub_explicit(&registry->count, 1, memory_order_relaxed);
    trp_reclaim_later(&entry->reclaim, entry_done);
}

/* Adds the entry of `wanted`, unless the name is taken. */
static int add_entry(
    struct trp_registry *registry, struct troupe_actor *actor, const struct wanted *wanted)
{
    struct trp_extra *extra = trp_actor_need_extra(actor);
    struct entry *entry;
    struct entry *holder;
    struct cds_lfht_node *node;

    if (extra == NULL) {
        return TROUPE_ENOMEM;
    }
    entry = entry_new(registry, trp_actor_pid(actor), wanted);
    if (entry == NULL) {
        return TROUPE_ENOMEM;
    }
    TRP_TSAN_RELEASE(entry);
    node = cds_lfht_add_unique(
        registry->table, hash_name(registry, wanted), is_wanted, wanted, &entry->node);
    if (node != &entry->node) {
        holder = trp_container_of(node, struct entry, node);
        entry_free(entry);
        return holder->owner == trp_actor_pid(actor) ? TROUPE_OK : TROUPE_EEXIST;
    }
    trp_list_push(&extra->names, &entry->names);
    return 1;
}

int trp_registry_claim(struct troupe_actor *actor, const char *name)
{
    struct trp_registry *registry = registry_of(actor->runtime);
    struct wanted wanted;
    int added;

    if (!trp_registry_is_name(name)) {
        return TROUPE_EINVAL;
    }
    wanted = (struct wanted){name, strlen(name)};
    /* relaxed: as in entry_delete(). */
    if (atomic_fetch_add_explicit(&registry->count, 1, memory_order_relaxed) >= registry->limit) {
        atomic_fetch_sub_explicit(&registry->count, 1, memory_order_relaxed);
        trp_report(actor->runtime, TROUPE_REPORT_LIMIT, trp_actor_pid(actor),
            actor->behaviour->name, "cannot register \"%s\": the limit of %u names is reached",
            name, registry->limit);
        return TROUPE_ELIMIT;
    }
    added = add_entry(registry, actor, &wanted);
    if (added == 1) {
        return TROUPE_OK;
    }
    /* relaxed: a number. */
    atomic_fetch_sub_explicit(&registry->count, 1, memory_order_relaxed);
    return added;
}

void trp_registry_release(struct troupe_actor *actor)
{
    struct trp_registry *registry = registry_of(actor->runtime);
    struct trp_extra *extra = trp_actor_extra(actor);

    if (extra == NULL) {
        return;
    }
    while (!trp_list_is_empty(&extra->names)) {
        entry_delete(registry, trp_container_of(extra->names.next, struct entry, names));
    }
}

const char *trp_registry_name_of(struct troupe_actor *actor)
{
    struct trp_extra *extra = trp_actor_extra(actor);

    if (extra == NULL || trp_list_is_empty(&extra->names)) {
        return NULL;
    }
    return trp_container_of(extra->names.next, struct entry, names)->name;
}

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
    table = cds_lfht_new(
        REGISTRY_BUCKETS, REGISTRY_BUCKETS, 0, CDS_LFHT_AUTO_RESIZE | CDS_LFHT_ACCOUNTING, NULL);
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

int trp_registry_create(struct troupe_runtime *runtime)
{
    struct trp_memory *memory = trp_runtime_memory(runtime);
    struct trp_registry *registry =
        trp_memory_alloc(memory, sizeof *registry, alignof(struct trp_registry));
    int error;

    if (registry == NULL) {
        return TROUPE_ENOMEM;
    }
    registry->memory = memory;
    registry->limit = trp_runtime_limits(runtime)->names;
    atomic_init(&registry->count, 0);
    error = draw_key(runtime, &registry->key);
    if (error < 0) {
        goto fail_free;
    }
    registry->table = table_new();
    if (registry->table == NULL) {
        error = TROUPE_ENOMEM;
        goto fail_free;
    }
    trp_runtime_set_module(runtime, TRP_MODULE_REGISTRY, registry);
    return TROUPE_OK;

fail_free:
    trp_memory_free(memory, registry, sizeof *registry);
    return error;
}

void trp_registry_destroy(struct troupe_runtime *runtime)
{
    struct trp_registry *registry = registry_of(runtime);
    struct cds_lfht_iter iter;
    struct cds_lfht_node *node;
    bool was_offline;

    if (registry == NULL || trp_reclaim_attach() < 0) {
        return;
    }
    was_offline = trp_reclaim_enter();
    cds_lfht_for_each(registry->table, &iter, node)
    {
        struct entry *entry = trp_container_of(node, struct entry, node);

        /* The list it was in went with its actor. */
        trp_list_init(&entry->names);
        entry_delete(registry, entry);
    }
    trp_reclaim_leave(was_offline);
    /* Entries give memory back to the runtime: not after it is gone. */
    if (was_offline) {
        trp_reclaim_barrier();
    }
    (void)cds_lfht_destroy(registry->table, NULL);
    trp_memory_free(registry->memory, registry, sizeof *registry);
    trp_runtime_set_module(runtime, TRP_MODULE_REGISTRY, NULL);
}

int troupe_register(struct troupe_actor *self, const char *name)
{
    if (!trp_actor_is_mine(self)) {
        return TROUPE_EINVAL;
    }
    return trp_registry_claim(self, name);
}

int troupe_unregister(struct troupe_actor *self, const char *name)
{
    struct trp_registry *registry;
    struct entry *entry;

    if (!trp_actor_is_mine(self) || !trp_registry_is_name(name)) {
        return TROUPE_EINVAL;
    }
    registry = registry_of(self->runtime);
    entry = find_entry(registry, name);
    if (entry == NULL || entry->owner != trp_actor_pid(self)) {
        return TROUPE_ENOENT;
    }
    entry_delete(registry, entry);
    return TROUPE_OK;
}

/* Under reclaim. */
static troupe_pid look_up(const struct troupe_runtime *runtime, const char *name)
{
    const struct entry *entry = find_entry(registry_of(runtime), name);

    return entry == NULL ? TROUPE_NOBODY : entry->owner;
}

troupe_pid troupe_whereis(struct troupe_actor *self, const char *name)
{
    if (!trp_actor_is_mine(self) || !trp_registry_is_name(name)) {
        return TROUPE_NOBODY;
    }
    return look_up(self->runtime, name);
}

troupe_pid troupe_runtime_whereis(struct troupe_runtime *runtime, const char *name)
{
    troupe_pid pid;
    bool was_offline;

    if (runtime == NULL || !trp_registry_is_name(name) || trp_reclaim_attach() < 0) {
        return TROUPE_NOBODY;
    }
    /* No context: nothing is counted or allocated, so no lock is needed either. */
    was_offline = trp_reclaim_enter();
    pid = look_up(runtime, name);
    trp_reclaim_leave(was_offline);
    return pid;
}

int troupe_send_name(
    struct troupe_actor *self, const char *name, const struct troupe_type *type, const void *body)
{
    troupe_pid pid;

    if (!trp_actor_is_mine(self) || !trp_registry_is_name(name)) {
        return TROUPE_EINVAL;
    }
    pid = look_up(self->runtime, name);
    if (pid == TROUPE_NOBODY) {
        return TROUPE_ENOENT;
    }
    return troupe_send(self, pid, type, body);
}
