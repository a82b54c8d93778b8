/* SPDX-License-Identifier: MIT */
/*
 * trie.h - finds a record by a 64-bit key, without memory of its own.
 *
 * A binary trie through the records themselves.  A record at depth d agrees with the path from the root in the
 * first d bits of its key; it may be any record that does, so a new one becomes a leaf, and to take one out
 * any leaf below it takes its place.  Keys must be well mixed (trp_trie_mix()): then n records lie about log2(n) deep.
 *
 * Equal keys are allowed: they lie on one path, and trp_trie_match() tells them apart.  No order can be read off a
 * trie: what is iterated is kept in a list beside it.
 */
#ifndef TRP_TRIE_H
#define TRP_TRIE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct trp_trie {
    struct trp_trie *child[2];
    uint64_t key;
};

/** Spreads numbers that are close together over all bits.  Different numbers stay different. */
static inline uint64_t trp_trie_mix(uint64_t number)
{
    number += UINT64_C(0x9e3779b97f4a7c15);
    number = (number ^ (number >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    number = (number ^ (number >> 27)) * UINT64_C(0x94d049bb133111eb);
    return number ^ (number >> 31);
}

typedef bool (*trp_trie_same_fn)(struct trp_trie *node, const void *wanted);

/** The record with `key` of which `same` says yes, or NULL. */
static inline struct trp_trie *trp_trie_match(
    struct trp_trie *root, uint64_t key, trp_trie_same_fn same, const void *wanted)
{
    struct trp_trie *node = root;
    uint64_t bits = key;

    while (node != NULL && !(node->key == key && same(node, wanted))) {
        node = node->child[bits >> 63];
        bits <<= 1;
    }
    return node;
}

/** The record with `key`, or NULL. */
static inline struct trp_trie *trp_trie_find(struct trp_trie *root, uint64_t key)
{
    struct trp_trie *node = root;
    uint64_t bits = key;

    while (node != NULL && node->key != key) {
        node = node->child[bits >> 63];
        bits <<= 1;
    }
    return node;
}

static inline void trp_trie_insert(struct trp_trie **root, struct trp_trie *node, uint64_t key)
{
    struct trp_trie **place = root;
    uint64_t bits = key;

    node->child[0] = NULL;
    node->child[1] = NULL;
    node->key = key;
    while (*place != NULL) {
        place = &(*place)->child[bits >> 63];
        bits <<= 1;
    }
    *place = node;
}

/** Takes `node` out, which is in the trie. */
static inline void trp_trie_remove(struct trp_trie **root, struct trp_trie *node)
{
    struct trp_trie **place = root;
    struct trp_trie **leaf_place;
    struct trp_trie *leaf;
    uint64_t bits = node->key;

    while (*place != node) {
        place = &(*place)->child[bits >> 63];
        bits <<= 1;
    }
    leaf_place = place;
    while ((*leaf_place)->child[0] != NULL || (*leaf_place)->child[1] != NULL) {
        leaf_place = &(*leaf_place)->child[(*leaf_place)->child[0] == NULL];
    }
    leaf = *leaf_place;
    *leaf_place = NULL;
    if (leaf != node) {
        leaf->child[0] = node->child[0];
        leaf->child[1] = node->child[1];
        *place = leaf;
    }
}

#endif
