/* SPDX-License-Identifier: MIT */
/* brood.c - the children of a supervisor, in order and by key: see supervisor.h. */
#include "supervisor.h"

struct trp_child *trp_brood_next(const struct trp_supervisor *sup, const struct trp_child *child)
{
    return child->entry.next == &sup->children
               ? NULL
               : trp_container_of(child->entry.next, struct trp_child, entry);
}

struct trp_child *trp_brood_previous(
    const struct trp_supervisor *sup, const struct trp_child *child)
{
    return child->entry.prev == &sup->children
               ? NULL
               : trp_container_of(child->entry.prev, struct trp_child, entry);
}

struct trp_child *trp_brood_first(const struct trp_supervisor *sup)
{
    return trp_list_is_empty(&sup->children)
               ? NULL
               : trp_container_of(sup->children.next, struct trp_child, entry);
}

struct trp_child *trp_brood_last(const struct trp_supervisor *sup)
{
    return trp_list_is_empty(&sup->children)
               ? NULL
               : trp_container_of(sup->children.prev, struct trp_child, entry);
}

struct trp_child *trp_brood_numbered(struct trp_supervisor *sup, uint64_t number)
{
    struct trp_trie *node = trp_trie_find(sup->by_number, trp_trie_mix(number));

    return node == NULL ? NULL : trp_container_of(node, struct trp_child, by_number);
}

struct trp_child *trp_brood_find_pid(struct trp_supervisor *sup, troupe_pid pid)
{
    struct trp_trie *node = trp_trie_find(sup->by_id, trp_trie_mix(pid));

    return node == NULL ? NULL : trp_container_of(node, struct trp_child, by_id);
}

void trp_brood_note_pid(struct trp_supervisor *sup, struct trp_child *child)
{
    if (child->keyed) {
        trp_trie_remove(&sup->by_id, &child->by_id);
    }
    trp_trie_insert(&sup->by_id, &child->by_id, trp_trie_mix(child->pid));
    child->keyed = true;
}

void trp_brood_add(struct trp_supervisor *sup, struct trp_child *child)
{
    child->number = ++sup->next_number;
    trp_list_push(&sup->children, &child->entry);
    if (!trp_supervisor_is_simple(sup)) {
        trp_trie_insert(&sup->by_id, &child->by_id, trp_child_hash(trp_child_id(child)));
        child->keyed = true;
    }
    trp_trie_insert(&sup->by_number, &child->by_number, trp_trie_mix(child->number));
    sup->child_count++;
}

void trp_brood_remove(struct trp_supervisor *sup, struct trp_child *child)
{
    trp_assert(trp_list_is_empty(&child->requests));
    trp_crew_left(sup, child);
    if (sup->cursor == child) {
        sup->cursor = trp_sweep_next(sup);
    }
    if (sup->from == child) {
        sup->from = trp_brood_next(sup, child);
    }
    trp_life_set_state(sup, child, TROUPE_CHILD_STOPPED);
    trp_life_let_go(sup, child);
    trp_life_untie(sup, child);
    trp_list_remove(&child->entry);
    if (child->keyed) {
        trp_trie_remove(&sup->by_id, &child->by_id);
    }
    trp_trie_remove(&sup->by_number, &child->by_number);
    sup->child_count--;
    trp_child_destroy(sup->memory, child);
}
