/* SPDX-License-Identifier: MIT */
/*
 * registry.c - names to pids.
 *
 * One table of names a runtime (name_table.h).  A look-up is lock-free and takes no reference: it happens under reclaim
 * and copies the pid out.  An entry belongs to the actor it names and stands in that actor's list of names, so a
 * name is released by deleting exactly the entry that was added for this actor: the name of a successor cannot be hit.
 *
 *             reserve              commit                 release
 *    (free) ----------> RESERVED ---------> OWNED by a pid --------> (grace period)
 *                           |                                          ^
 *                           +------------------------------------------+
 *                                             cancel
 *
 * Who gets a name is decided when it is reserved, before the actor that shall have it is made: a spawn that loses makes
 * no actor, and one that fails later has not been seen under its name.  While it is RESERVED nobody else gets it, and
 * it leads to nobody.
 *
 * Memory of entries is the runtime's, counted and limited.
 */
#include "registry.h"

#include <string.h>

#include <troupe/mailbox.h>

#include "name_table.h"

struct trp_registry {
    struct trp_name_table *table; /* set once */
    struct trp_memory *memory;    /* set once */
    uint32_t limit;               /* set once: names */
    _Atomic uint32_t count;       /* any thread: names, and those being added */
};

/* One name. */
struct trp_entry {
    struct trp_name name;
    struct trp_list names; /* in the owner's list, under its extra's lock */
    struct trp_reclaim reclaim;
    struct trp_registry *registry; /* set once */
    struct trp_memory *memory;     /* set once */
    _Atomic troupe_pid owner;      /* any thread; written once, TROUPE_NOBODY before */
    char text[];
};

static struct trp_registry *registry_of(const struct troupe_runtime *runtime)
{
    return trp_runtime_module(runtime, TRP_MODULE_REGISTRY);
}

static struct trp_entry *entry_of(const struct trp_name *name)
{
    return trp_container_of(name, struct trp_entry, name);
}

static struct trp_entry *listed_entry(struct trp_list *names)
{
    return trp_container_of(names, struct trp_entry, names);
}

static troupe_pid owner_of(const struct trp_entry *entry)
{
    /* acquire: who has the pid finds the actor.  PAIR entry.owner: release in trp_registry_commit(). */
    return atomic_load_explicit(&entry->owner, memory_order_acquire);
}

/* ---- entries ---- */

static void entry_free(struct trp_entry *entry)
{
    trp_memory_free(entry->memory, entry, sizeof *entry + entry->name.length + 1);
}

static void entry_done(struct trp_reclaim *reclaim)
{
    entry_free(trp_container_of(reclaim, struct trp_entry, reclaim));
}

static struct trp_entry *entry_new(struct trp_registry *registry, const char *text)
{
    size_t length = strlen(text);
    struct trp_entry *entry =
        trp_memory_alloc(registry->memory, sizeof *entry + length + 1, alignof(struct trp_entry));

    if (entry == NULL) {
        return NULL;
    }
    memcpy(entry->text, text, length + 1);
    trp_name_init(&entry->name, entry->text);
    trp_list_init(&entry->names);
    entry->registry = registry;
    entry->memory = registry->memory;
    atomic_init(&entry->owner, TROUPE_NOBODY);
    return entry;
}

static void uncount(struct trp_registry *registry)
{
    /* relaxed: a number to compare with a limit; nothing is read on the strength of it. */
    atomic_fetch_sub_explicit(&registry->count, 1, memory_order_relaxed);
}

/* Takes an entry, which is in nobody's list, out of the table; it goes when nobody can look at it any more. */
static void entry_delete(struct trp_entry *entry)
{
    struct trp_registry *registry = entry->registry;

    trp_name_table_hide(registry->table, &entry->name);
    trp_name_table_remove(registry->table, &entry->name);
    uncount(registry);
    trp_reclaim_later(&entry->reclaim, entry_done);
}

/* The same with one that `extra` owns.  Its token's holder. */
static void entry_release(struct trp_extra *extra, struct trp_entry *entry)
{
    trp_lock_take(&extra->lock);
    trp_list_remove(&entry->names);
    trp_lock_give(&extra->lock);
    entry_delete(entry);
}

/* ---- reserve, commit, cancel ---- */

/* Adds an entry for `text`, unless the name is taken; then *out_holder is who has it. */
static int add_entry(struct trp_registry *registry, const char *text, troupe_pid *out_holder,
    struct trp_entry **out_entry)
{
    struct trp_entry *entry = entry_new(registry, text);
    struct trp_name *name;

    if (entry == NULL) {
        return TROUPE_ENOMEM;
    }
    name = trp_name_table_add(registry->table, &entry->name);
    if (name != &entry->name) {
        *out_holder = owner_of(entry_of(name));
        entry_free(entry);
        return TROUPE_EEXIST;
    }
    *out_entry = entry;
    return TROUPE_OK;
}

int trp_registry_reserve(struct troupe_runtime *runtime, const char *text, const char *behaviour,
    troupe_pid *out_holder, struct trp_entry **out_entry)
{
    struct trp_registry *registry = registry_of(runtime);
    int error;

    /* relaxed: as in uncount(). */
    if (atomic_fetch_add_explicit(&registry->count, 1, memory_order_relaxed) >= registry->limit) {
        uncount(registry);
        trp_report(runtime, TROUPE_REPORT_LIMIT, TROUPE_NOBODY, behaviour,
            "cannot register \"%s\": the limit of %u names is reached", text, registry->limit);
        return TROUPE_ELIMIT;
    }
    error = add_entry(registry, text, out_holder, out_entry);
    if (error < 0) {
        uncount(registry);
    }
    return error;
}

void trp_registry_commit(struct trp_entry *entry, struct troupe_actor *actor)
{
    struct trp_extra *extra = trp_actor_extra(actor);

    trp_assert(extra != NULL);
    /* release: the pid leads to the actor.  PAIR entry.owner: acquire in owner_of(). */
    atomic_store_explicit(&entry->owner, trp_actor_pid(actor), memory_order_release);
    trp_lock_take(&extra->lock);
    trp_list_push(&extra->names, &entry->names);
    trp_lock_give(&extra->lock);
    trp_name_table_show(entry->registry->table, &entry->name);
}

void trp_registry_cancel(struct trp_entry *entry)
{
    if (entry != NULL) {
        entry_delete(entry);
    }
}

unsigned trp_registry_release(struct troupe_actor *actor, unsigned budget)
{
    struct trp_extra *extra = trp_actor_extra(actor);

    if (extra == NULL) {
        return budget;
    }
    /* Only we change the list, so it may be looked at without its lock. */
    while (budget > 0 && !trp_list_is_empty(&extra->names)) {
        entry_release(extra, listed_entry(extra->names.next));
        budget--;
    }
    return budget;
}

const char *trp_registry_name_of(struct troupe_actor *actor)
{
    struct trp_extra *extra = trp_actor_extra(actor);

    if (extra == NULL || trp_list_is_empty(&extra->names)) {
        return NULL;
    }
    return listed_entry(extra->names.next)->text;
}

void trp_registry_copy_name(struct trp_extra *extra, char *out)
{
    out[0] = '\0';
    if (!trp_list_is_empty(&extra->names)) {
        const struct trp_entry *first = listed_entry(extra->names.next);

        memcpy(out, first->text, first->name.length + 1);
    }
}

/* ---- create and destroy ---- */

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
    error = trp_name_table_create(runtime, &registry->table);
    if (error < 0) {
        trp_memory_free(memory, registry, sizeof *registry);
        return error;
    }
    trp_runtime_set_module(runtime, TRP_MODULE_REGISTRY, registry);
    return TROUPE_OK;
}

void trp_registry_destroy(struct troupe_runtime *runtime)
{
    struct trp_registry *registry = registry_of(runtime);
    struct trp_name *name;
    bool was_offline;

    if (registry == NULL || trp_reclaim_attach() < 0) {
        return;
    }
    was_offline = trp_reclaim_enter();
    while ((name = trp_name_table_first(registry->table)) != NULL) {
        /* The list it was in went with its actor. */
        entry_delete(entry_of(name));
    }
    trp_reclaim_leave(was_offline);
    /* Entries give memory back to the runtime: not after it is gone. */
    if (was_offline) {
        trp_reclaim_barrier();
    }
    trp_name_table_destroy(registry->table);
    trp_memory_free(registry->memory, registry, sizeof *registry);
    trp_runtime_set_module(runtime, TRP_MODULE_REGISTRY, NULL);
}

/* ---- public ---- */

int troupe_register(struct troupe_actor *self, const char *name)
{
    TRP_INSIDE(self);
    struct trp_entry *entry;
    troupe_pid holder;
    int error;

    if (!trp_actor_is_mine(self) || !trp_name_is_valid(name)) {
        return TROUPE_EINVAL;
    }
    if (trp_actor_need_extra(trp_context_of(self), self) == NULL) {
        return TROUPE_ENOMEM;
    }
    error = trp_registry_reserve(self->runtime, name, self->behaviour->name, &holder, &entry);
    if (error == TROUPE_EEXIST && holder == trp_actor_pid(self)) {
        return TROUPE_OK;
    }
    if (error < 0) {
        return error;
    }
    trp_registry_commit(entry, self);
    return TROUPE_OK;
}

/* The entry of a name, or NULL.  Under reclaim. */
static struct trp_entry *find_entry(const struct troupe_runtime *runtime, const char *text)
{
    struct trp_name *name = trp_name_table_find(registry_of(runtime)->table, text);

    return name == NULL ? NULL : entry_of(name);
}

int troupe_unregister(struct troupe_actor *self, const char *name)
{
    TRP_INSIDE(self);
    struct trp_entry *entry;

    if (!trp_actor_is_mine(self) || !trp_name_is_valid(name)) {
        return TROUPE_EINVAL;
    }
    entry = find_entry(self->runtime, name);
    if (entry == NULL || owner_of(entry) != trp_actor_pid(self)) {
        return TROUPE_ENOENT;
    }
    entry_release(trp_actor_extra(self), entry);
    return TROUPE_OK;
}

troupe_pid trp_registry_whereis(const struct troupe_runtime *runtime, const char *name)
{
    const struct trp_entry *entry = find_entry(runtime, name);

    return entry == NULL ? TROUPE_NOBODY : owner_of(entry);
}

troupe_pid troupe_whereis(struct troupe_actor *self, const char *name)
{
    TRP_INSIDE(self);
    if (!trp_actor_is_mine(self) || !trp_name_is_valid(name)) {
        return TROUPE_NOBODY;
    }
    return trp_registry_whereis(self->runtime, name);
}

troupe_pid troupe_runtime_whereis(struct troupe_runtime *runtime, const char *name)
{
    troupe_pid pid;
    bool was_offline;

    if (runtime == NULL || !trp_name_is_valid(name) || trp_reclaim_attach() < 0) {
        return TROUPE_NOBODY;
    }
    /* No context: nothing is counted or allocated, so no lock is needed either. */
    was_offline = trp_reclaim_enter();
    pid = trp_registry_whereis(runtime, name);
    trp_reclaim_leave(was_offline);
    return pid;
}

int troupe_send_name(
    struct troupe_actor *self, const char *name, const struct troupe_type *type, const void *body)
{
    TRP_INSIDE(self);
    troupe_pid pid;

    if (!trp_actor_is_mine(self) || !trp_name_is_valid(name)) {
        return TROUPE_EINVAL;
    }
    pid = trp_registry_whereis(self->runtime, name);
    if (pid == TROUPE_NOBODY) {
        return TROUPE_ENOENT;
    }
    return troupe_send(self, pid, type, body);
}

/* ---- lists ---- */

static void write_row(const struct trp_name *name, void *out, uint32_t at)
{
    struct troupe_name *row = (struct troupe_name *)out + at;

    memcpy(row->name, name->order.text, name->length + 1);
    row->pid = owner_of(entry_of(name));
}

int troupe_names(struct troupe_runtime *runtime, const char *prefix, const char *after,
    struct troupe_name *out_names, uint32_t max)
{
    struct trp_name_range range = {prefix, after};
    bool was_offline;
    uint32_t count;

    if (runtime == NULL || (out_names == NULL && max > 0) || max > INT32_MAX ||
        !trp_name_range_is_valid(&range)) {
        return TROUPE_EINVAL;
    }
    TROUPE_TRY(trp_reclaim_attach());
    was_offline = trp_reclaim_enter();
    count = trp_name_table_list(registry_of(runtime)->table, &range, write_row, out_names, max);
    trp_reclaim_leave(was_offline);
    return (int)count;
}

/* Under the lock of `extra`. */
static uint32_t write_names(
    const struct trp_extra *extra, uint32_t first, struct troupe_name *out_names, uint32_t max)
{
    uint32_t seen = 0;
    uint32_t count = 0;

    for (struct trp_list *at = extra->names.next; at != &extra->names && count < max;
         at = at->next) {
        if (seen++ >= first) {
            write_row(&listed_entry(at)->name, out_names, count++);
        }
    }
    return count;
}

int troupe_names_of(struct troupe_runtime *runtime, troupe_pid pid, uint32_t first,
    struct troupe_name *out_names, uint32_t max)
{
    struct troupe_actor *actor;
    struct trp_extra *extra;
    bool was_offline;
    uint32_t count = 0;

    if (runtime == NULL || (out_names == NULL && max > 0) || max > INT32_MAX ||
        trp_pid_is_alias(pid)) {
        return TROUPE_EINVAL;
    }
    TROUPE_TRY(trp_reclaim_attach());
    was_offline = trp_reclaim_enter();
    actor = trp_actor_find(runtime, pid);
    extra = actor != NULL ? trp_actor_extra(actor) : NULL;
    if (extra != NULL) {
        trp_lock_take(&extra->lock);
        count = write_names(extra, first, out_names, max);
        trp_lock_give(&extra->lock);
    }
    trp_reclaim_leave(was_offline);
    return actor == NULL ? TROUPE_EGONE : (int)count;
}
