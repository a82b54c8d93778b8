/* SPDX-License-Identifier: MIT */
/*
 * via.c - names in registries of the user's.
 *
 * Who has which name is the registry's business; here is only noted, in a list of the actor's, what was entered, so that its
 * end takes back exactly that, before anybody is told of it, and without memory.
 */
#include "via.h"

#include <string.h>

#include <troupe/mailbox.h>

#include "name_table.h"

struct trp_via_entry {
    struct trp_via_entry *next; /* in extra->vias; its token's holder */
    struct troupe_via via;
    size_t size; /* of this block */
    char name[];
};

bool trp_via_is_valid(const struct troupe_via *via)
{
    return via != NULL && via->ops != NULL && via->ops->enter != NULL && via->ops->leave != NULL &&
           via->ops->whereis != NULL;
}

static void entry_free(struct troupe_actor *actor, struct trp_via_entry *entry)
{
    trp_memory_free(trp_runtime_memory(actor->runtime), entry, entry->size);
}

/* What `enter` says is an error of its, or none. */
static int entered(int status)
{
    return status > 0 ? TROUPE_OK : status;
}

int trp_via_enter(struct trp_context *context, struct troupe_actor *actor,
    const struct troupe_via *via, const char *name)
{
    struct trp_extra *extra = trp_actor_need_extra(context, actor);
    size_t size = sizeof(struct trp_via_entry) + strlen(name) + 1;
    struct trp_via_entry *entry = extra != NULL
                                      ? trp_memory_alloc(trp_runtime_memory(actor->runtime), size,
                                            alignof(struct trp_via_entry))
                                      : NULL;
    int error;

    if (entry == NULL) {
        return TROUPE_ENOMEM;
    }
    entry->via = *via;
    entry->size = size;
    memcpy(entry->name, name, size - sizeof(struct trp_via_entry));
    error = entered(via->ops->enter(via->context, entry->name, trp_actor_pid(actor)));
    if (error < 0) {
        entry_free(actor, entry);
        return error;
    }
    entry->next = extra->vias;
    extra->vias = entry;
    return TROUPE_OK;
}

/* Takes the entry at `*at` back. */
static void take_back(struct troupe_actor *actor, struct trp_via_entry **at)
{
    struct trp_via_entry *entry = *at;

    *at = entry->next;
    entry->via.ops->leave(entry->via.context, entry->name, trp_actor_pid(actor));
    entry_free(actor, entry);
}

unsigned trp_via_release(struct troupe_actor *actor, unsigned budget)
{
    struct trp_extra *extra = trp_actor_extra(actor);

    while (extra != NULL && extra->vias != NULL && budget > 0) {
        take_back(actor, &extra->vias);
        budget--;
    }
    return budget;
}

/* ---- public ---- */

static bool is_same(
    const struct trp_via_entry *entry, const struct troupe_via *via, const char *name)
{
    return entry->via.ops == via->ops && entry->via.context == via->context &&
           strcmp(entry->name, name) == 0;
}

int troupe_register_via(struct troupe_actor *self, const struct troupe_via *via, const char *name)
{
    TRP_INSIDE(self);
    if (!trp_actor_is_mine(self) || !trp_via_is_valid(via) || !trp_name_is_valid(name)) {
        return TROUPE_EINVAL;
    }
    return trp_via_enter(trp_context_of(self), self, via, name);
}

int troupe_unregister_via(struct troupe_actor *self, const struct troupe_via *via, const char *name)
{
    TRP_INSIDE(self);
    struct trp_extra *extra;

    if (!trp_actor_is_mine(self) || !trp_via_is_valid(via) || !trp_name_is_valid(name)) {
        return TROUPE_EINVAL;
    }
    extra = trp_actor_extra(self);
    for (struct trp_via_entry **at = extra != NULL ? &extra->vias : NULL; at != NULL && *at != NULL;
         at = &(*at)->next) {
        if (is_same(*at, via, name)) {
            take_back(self, at);
            return TROUPE_OK;
        }
    }
    return TROUPE_ENOENT;
}

troupe_pid troupe_whereis_via(const struct troupe_via *via, const char *name)
{
    if (!trp_via_is_valid(via) || !trp_name_is_valid(name)) {
        return TROUPE_NOBODY;
    }
    return via->ops->whereis(via->context, name);
}

int troupe_send_via(struct troupe_actor *self, const struct troupe_via *via, const char *name,
    const struct troupe_type *type, const void *body)
{
    TRP_INSIDE(self);
    troupe_pid to;

    if (!trp_actor_is_mine(self) || !trp_via_is_valid(via) || !trp_name_is_valid(name) ||
        type == NULL) {
        return TROUPE_EINVAL;
    }
    if (via->ops->send != NULL) {
        return entered(via->ops->send(via->context, self, name, type, body));
    }
    to = via->ops->whereis(via->context, name);
    return to != TROUPE_NOBODY ? troupe_send(self, to, type, body) : TROUPE_ENOENT;
}
