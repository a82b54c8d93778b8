/* SPDX-License-Identifier: MIT */
/*
 * name_order.h - names in order, without memory of their own.
 *
 * A treap through the records themselves: sorted by text from left to right, by priority from the root down.  Priorities
 * are keyed hashes, so nobody can choose names that make it deep: n names lie about 2 log2(n) deep.  Whoever
 * lists in pieces goes on after the last name it has seen, whatever came or went meanwhile.
 *
 * No lock: name_table.c has one.
 */
#ifndef TRP_NAME_ORDER_H
#define TRP_NAME_ORDER_H

#include "base.h"

struct trp_name_order {
    struct trp_name_order *child[2]; /* before it, behind it */
    const char *text;                /* ends in a NUL; set once */
    uint64_t priority;               /* set once */
};

/** Puts `node`, whose text is not there yet, in its place. */
void trp_name_order_insert(struct trp_name_order **root, struct trp_name_order *node);

/** Takes `node` out, which is there. */
void trp_name_order_remove(struct trp_name_order **root, struct trp_name_order *node);

/** The first one whose text is `text` or behind it; `beyond`: behind it.  NULL if there is none. */
struct trp_name_order *trp_name_order_find(
    struct trp_name_order *root, const char *text, bool beyond);

#endif
