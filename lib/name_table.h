/* SPDX-License-Identifier: MIT */
/*
 * name_table.h - finds a record by its name: lock-free by the whole name, or one after the other in order.
 *
 * Of the names of actors (registry.c) and of groups (group.c).  A record embeds a trp_name and is *added*: then it is
 * found, and nobody else can add one with that text.  Once it is *shown* it is also listed.  It goes the other way,
 * hidden, then removed, and its memory waits for a grace period (reclaim.h), since a look-up takes no reference.
 *
 *            add            show              hide            remove
 *    (free) -----> FOUND --------> LISTED --------> FOUND --------> (grace period)
 *
 * A look-up is lock-free; to show, to hide and to list takes the table's lock, for at most TRP_NAME_PIECE names at a time.
 * Under it nothing is sent and nothing allocated, so it may be taken inside any other lock of lib.
 */
#ifndef TRP_NAME_TABLE_H
#define TRP_NAME_TABLE_H

#include "core.h"
#include "name_order.h"

/** Names looked at while the lock is held. */
#define TRP_NAME_PIECE 64

struct trp_name {
    alignas(16) void *node[2];   /* liburcu's */
    struct trp_name_order order; /* under the table's lock; its text is set once */
    uint32_t length;             /* set once */
    bool shown;                  /* under the table's lock */
};

struct trp_name_table;

/** Whether `text` may be a name at all: not NULL, not empty, not longer than TROUPE_NAME_MAX. */
bool trp_name_is_valid(const char *text);

/** An empty table.  TROUPE_ENOMEM. */
TROUPE_CHECKED int trp_name_table_create(
    struct troupe_runtime *runtime, struct trp_name_table **out_table);

/** Frees it; it is empty.  NULL does nothing.  The caller, if under reclaim, is not meanwhile. */
void trp_name_table_destroy(struct trp_name_table *table);

/** Prepares a name that is in no table; `text` lives as long as it does, and is valid. */
void trp_name_init(struct trp_name *name, const char *text);

/** The name `text`, or NULL.  Under reclaim; lock-free. */
struct trp_name *trp_name_table_find(const struct trp_name_table *table, const char *text);

/** Adds `name`; returns it, or the one that has its text.  Under reclaim; lock-free. */
struct trp_name *trp_name_table_add(struct trp_name_table *table, struct trp_name *name);

/** Takes `name` out, which is hidden.  Under reclaim; lock-free. */
void trp_name_table_remove(struct trp_name_table *table, struct trp_name *name);

/** Takes one that is left, or returns NULL: when nobody uses the table any more.  Under reclaim. */
struct trp_name *trp_name_table_first(const struct trp_name_table *table);

/** From now on `name`, which was added, is listed; not listed any more.  Nothing happens if it is so already. */
void trp_name_table_show(struct trp_name_table *table, struct trp_name *name);
void trp_name_table_hide(struct trp_name_table *table, struct trp_name *name);

/** Which names: those that begin with `prefix` and are behind `after`.  NULL: any. */
struct trp_name_range {
    const char *prefix;
    const char *after;
};

/** Whether a range that a user gave is one. */
bool trp_name_range_is_valid(const struct trp_name_range *range);

/** Writes what it wants to know of a name that is shown as element `at` of `out`.  Under the table's lock. */
typedef void (*trp_name_write_fn)(const struct trp_name *name, void *out, uint32_t at);

/** Writes up to `max` shown names of `range`, in order; how many.  Under reclaim. */
uint32_t trp_name_table_list(struct trp_name_table *table, const struct trp_name_range *range,
    trp_name_write_fn write, void *out, uint32_t max);

#endif
