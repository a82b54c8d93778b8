/* SPDX-License-Identifier: MIT */
/* name_order.c - names in order. */
#include "name_order.h"

#include <string.h>

/* Which child of `node` the path to `text` goes through. */
static unsigned side_of(const struct trp_name_order *node, const char *text)
{
    return strcmp(node->text, text) < 0 ? 1 : 0;
}

/* Divides what hangs on `tree` into what is before `text` and what is behind it. */
static void split(struct trp_name_order *tree, const char *text, struct trp_name_order *out[2])
{
    struct trp_name_order **before = &out[0];
    struct trp_name_order **behind = &out[1];

    while (tree != NULL) {
        if (side_of(tree, text) == 1) {
            *before = tree;
            before = &tree->child[1];
            tree = tree->child[1];
        } else {
            *behind = tree;
            behind = &tree->child[0];
            tree = tree->child[0];
        }
    }
    *before = NULL;
    *behind = NULL;
}

/* Joins two trees, of which all of `before` is before all of `behind`, at *place. */
static void merge(
    struct trp_name_order **place, struct trp_name_order *before, struct trp_name_order *behind)
{
    while (before != NULL && behind != NULL) {
        if (before->priority >= behind->priority) {
            *place = before;
            place = &before->child[1];
            before = before->child[1];
        } else {
            *place = behind;
            place = &behind->child[0];
            behind = behind->child[0];
        }
    }
    *place = before != NULL ? before : behind;
}

void trp_name_order_insert(struct trp_name_order **root, struct trp_name_order *node)
{
    struct trp_name_order **place = root;

    while (*place != NULL && (*place)->priority >= node->priority) {
        place = &(*place)->child[side_of(*place, node->text)];
    }
    split(*place, node->text, node->child);
    *place = node;
}

void trp_name_order_remove(struct trp_name_order **root, struct trp_name_order *node)
{
    struct trp_name_order **place = root;

    while (*place != node) {
        place = &(*place)->child[side_of(*place, node->text)];
    }
    merge(place, node->child[0], node->child[1]);
}

struct trp_name_order *trp_name_order_find(
    struct trp_name_order *root, const char *text, bool beyond)
{
    struct trp_name_order *best = NULL;

    while (root != NULL) {
        int order = strcmp(root->text, text);

        if (order > 0 || (order == 0 && !beyond)) {
            best = root;
            root = root->child[0];
        } else {
            root = root->child[1];
        }
    }
    return best;
}
