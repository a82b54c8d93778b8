/* SPDX-License-Identifier: MIT */
/*
 * mailbox.h - the one ordered queue of an actor: many senders, one reader, and the PARKED bit.
 *
 * An intrusive list after Vyukov.  `tail` names the newest node and, in its lowest bit, says PARKED: the
 * actor has no run token.  One exchange of that word both pushes and tells the sender whether it
 * must schedule the actor, so there is no second protocol between "I have pushed" and "it sleeps".
 *
 *    PARKED                    tail = stub | PARKED, head = stub; no token exists
 *      | push, unpark            exchange, fetch-and: whoever saw the bit owns the new token
 *    HELD                      exactly one token: in a queue, or with a worker
 *      | park                    compare-and-swap tail: head -> stub | PARKED by the token's holder
 *      | rest                    compare-and-swap tail: at -> at | PARKED: what is up to `at` stays queued
 *    PARKED
 *
 * No wake-up is lost: only a read-modify-write of `tail` clears the bit and makes the token, only the
 * compare-and-swap sets it and ends the token, and that one compares with the last node consumed, so it cannot
 * succeed while a push is not consumed.  All are on one word, hence in one order.
 *
 * The node consumed last stays in the list as its head until the next one is popped, or until park()
 * swings the list back to the stub in the cell: an idle actor holds no message.
 *
 * The gap.  Between a sender's exchange and its store to `next` the list is cut: pop() finds
 * nothing and park() fails.  The reader then keeps its token and goes on with something else.
 *
 *                  push  unpark  reader               -  may overlap
 *    push           -     -       -               X  never overlap: the token's holder only
 *    unpark meet    -     -       -
 *    reader         -     -       X               pop park detach pick rest
 *
 * Model: test/model/mailbox.pml.  Interleavings: test/explore/part_mailbox.c.
 */
#ifndef TRP_MAILBOX_H
#define TRP_MAILBOX_H

#include "message.h"
#include "seam.h"

#define TRP_MAILBOX_PARKED ((uintptr_t)1)

struct trp_mailbox {
    _Atomic uintptr_t tail; /* any thread: newest node | PARKED */
    struct trp_node stub;   /* `next` is written by the sender whose exchange returned the stub */
};

/** An empty mailbox whose token the caller holds. */
static inline void trp_mailbox_init(struct trp_mailbox *mailbox, struct trp_node **out_head)
{
    /* relaxed: nobody else can reach the mailbox. */
    atomic_store_explicit(&mailbox->stub.next, NULL, memory_order_relaxed);
    atomic_store_explicit(&mailbox->tail, (uintptr_t)&mailbox->stub, memory_order_relaxed);
    *out_head = &mailbox->stub;
}

/**
 * Pushes the chain `first` .. `last`, linked by `next`.  Any thread; wait-free.
 *
 * Returns whether the caller now owns the run token and must queue the actor.
 */
static inline TROUPE_CHECKED bool trp_mailbox_push(
    struct trp_mailbox *mailbox, struct trp_node *first, struct trp_node *last)
{
    uintptr_t old;

    /* relaxed: the chain is ours until the exchange. */
    atomic_store_explicit(&last->next, NULL, memory_order_relaxed);
    /* acq_rel.  release: whoever appends behind `last` sees its NULL before storing over it.
     * acquire: we see the `next` = NULL of the node we append to, and, if PARKED was set, all the reader did.
     * PAIR mailbox.tail: this exchange, unpark() and the compare-and-swap in park(). */
    old = atomic_exchange_explicit(&mailbox->tail, (uintptr_t)last, memory_order_acq_rel);
    trp_switch();
    /* release: publishes the messages.  PAIR mailbox.next: acquire in trp_mailbox_pop(). */
    atomic_store_explicit(
        &((struct trp_node *)(old & ~TRP_MAILBOX_PARKED))->next, first, memory_order_release);
    return (old & TRP_MAILBOX_PARKED) != 0;
}

/** Clears PARKED without a message.  Any thread; wait-free.  Returns as trp_mailbox_push() does. */
static inline TROUPE_CHECKED bool trp_mailbox_unpark(struct trp_mailbox *mailbox)
{
    /* seq_cst: what the caller set (a signal bit) must not pass this; with the reader's park(), then look at
     * the signals, at least one of the two sees the other.
     * PAIR mailbox.tail, PAIR actor.signals. */
    uintptr_t old =
        atomic_fetch_and_explicit(&mailbox->tail, ~TRP_MAILBOX_PARKED, memory_order_seq_cst);

    return (old & TRP_MAILBOX_PARKED) != 0;
}

/**
 * Takes the next node; it becomes the head and stays linked until the next pop or park.
 *
 * Token's holder.  Returns NULL if there is none, or in the gap.  *out_spent is the node that was the
 * head, now the caller's to free, or NULL if that was the stub.
 */
static inline struct trp_node *trp_mailbox_pop(
    struct trp_mailbox *mailbox, struct trp_node **head, struct trp_node **out_spent)
{
    struct trp_node *old = *head;
    /* acquire: the message's contents.  PAIR mailbox.next: release in trp_mailbox_push(). */
    struct trp_node *node = atomic_load_explicit(&old->next, memory_order_acquire);

    if (node == NULL) {
        return NULL;
    }
    *head = node;
    *out_spent = old != &mailbox->stub ? old : NULL;
    return node;
}

/**
 * Parks if nothing was pushed since the last pop.  Token's holder.
 *
 * Returns true if parked: the token is gone and only atomics of the cell may be touched.  *out_spent is
 * then the node that was the head, or NULL.  False: more is there, or in the gap; the token stays.
 */
static inline TROUPE_CHECKED bool trp_mailbox_park(
    struct trp_mailbox *mailbox, struct trp_node **head, struct trp_node **out_spent)
{
    struct trp_node *old = *head;
    uintptr_t expected = (uintptr_t)old;

    if (old != &mailbox->stub) {
        /* relaxed: the stub is out of the list, so no sender knows of it until the swap. */
        atomic_store_explicit(&mailbox->stub.next, NULL, memory_order_relaxed);
    }
    /* Before the swap: afterwards another worker may already run this actor. */
    *head = &mailbox->stub;
    *out_spent = old != &mailbox->stub ? old : NULL;
    /* seq_cst: release of all we did to whoever takes the token; and our later look at the signals must not
     * pass this.  PAIR mailbox.tail, PAIR actor.signals. */
    if (atomic_compare_exchange_strong_explicit(&mailbox->tail, &expected,
            (uintptr_t)&mailbox->stub | TRP_MAILBOX_PARKED, memory_order_seq_cst,
            memory_order_relaxed /* failed: nothing was learnt */)) {
        return true;
    }
    *head = old;
    *out_spent = NULL;
    return false;
}

/**
 * Takes the head out of the list without parking, so that its block can be used.  Token's holder.
 *
 * Returns true, with *out_spent the node that was the head, or NULL if that was the stub already.  False: in the
 * gap; try again later.
 */
static inline TROUPE_CHECKED bool trp_mailbox_detach(
    struct trp_mailbox *mailbox, struct trp_node **head, struct trp_node **out_spent)
{
    struct trp_node *old = *head;
    struct trp_node *next;
    uintptr_t expected = (uintptr_t)old;

    *out_spent = NULL;
    if (old == &mailbox->stub) {
        return true;
    }
    /* acquire: the message behind it.  PAIR mailbox.next: release in trp_mailbox_push(). */
    next = atomic_load_explicit(&old->next, memory_order_acquire);
    /* relaxed: the stub is out of the list, so no sender knows of it. */
    atomic_store_explicit(&mailbox->stub.next, next, memory_order_relaxed);
    /* acq_rel: as the exchange in trp_mailbox_push().  PAIR mailbox.tail. */
    if (next == NULL &&
        !atomic_compare_exchange_strong_explicit(&mailbox->tail, &expected,
            (uintptr_t)&mailbox->stub, memory_order_acq_rel, memory_order_relaxed)) {
        return false;
    }
    *head = &mailbox->stub;
    *out_spent = old;
    return true;
}

/* ---- a reader that waits for something behind messages that it leaves where they are ---- */

/** The newest node: what is pushed from here on stands behind it.  Token's holder. */
static inline struct trp_node *trp_mailbox_newest(const struct trp_mailbox *mailbox)
{
    /* acquire: its `next`, which we shall read, is NULL until somebody links to it.  Whatever answers what we do next is pushed
     * later: the exchanges of one word have one order.  PAIR mailbox.tail: the exchange in trp_mailbox_push(). */
    uintptr_t tail = atomic_load_explicit(&mailbox->tail, memory_order_acquire);

    return (struct trp_node *)(tail & ~TRP_MAILBOX_PARKED);
}

/** The node behind `at`; NULL: there is none, or in the gap.  Token's holder. */
static inline struct trp_node *trp_mailbox_behind(const struct trp_node *at)
{
    /* acquire: the message's contents.  PAIR mailbox.next: release in trp_mailbox_push(). */
    return atomic_load_explicit(&at->next, memory_order_acquire);
}

/**
 * Takes `node`, which is behind `at`, out of the list.  Token's holder.  False: it is the newest, and in the gap; try again
 * later.
 */
static inline TROUPE_CHECKED bool trp_mailbox_pick(
    struct trp_mailbox *mailbox, struct trp_node *at, struct trp_node *node)
{
    struct trp_node *next = trp_mailbox_behind(node);
    uintptr_t expected = (uintptr_t)node;

    /* relaxed: `at` has been linked, so no sender writes it; if it becomes the newest, the swap publishes it. */
    atomic_store_explicit(&at->next, next, memory_order_relaxed);
    /* acq_rel: as the exchange in trp_mailbox_push().  PAIR mailbox.tail. */
    if (next == NULL && !atomic_compare_exchange_strong_explicit(&mailbox->tail, &expected,
                            (uintptr_t)at, memory_order_acq_rel, memory_order_relaxed)) {
        /* relaxed: as above. */
        atomic_store_explicit(&at->next, node, memory_order_relaxed);
        return false;
    }
    return true;
}

/**
 * Parks with what is queued up to `at`, if nothing was pushed behind it.  Token's holder.
 *
 * Returns true if parked: the token is gone, as in trp_mailbox_park().  False: more is there, or in the gap.
 */
static inline TROUPE_CHECKED bool trp_mailbox_rest(struct trp_mailbox *mailbox, struct trp_node *at)
{
    uintptr_t expected = (uintptr_t)at;

    /* seq_cst: as in trp_mailbox_park().  PAIR mailbox.tail, PAIR actor.signals. */
    return atomic_compare_exchange_strong_explicit(&mailbox->tail, &expected,
        (uintptr_t)at | TRP_MAILBOX_PARKED, memory_order_seq_cst,
        memory_order_relaxed /* failed: nothing was learnt */);
}

/**
 * Meets the reader: all that it did before it parked is known from here on, or it parks later and then knows what the
 * caller did before.  Returns whether it has parked.  Any thread; wait-free; changes nothing.
 */
static inline bool trp_mailbox_meet(struct trp_mailbox *mailbox)
{
    /* acq_rel: one of two read-modify-writes of a word is the later one, and acquires what the other released.
     * PAIR mailbox.tail: the compare-and-swap in trp_mailbox_park(). */
    return (atomic_fetch_or_explicit(&mailbox->tail, 0, memory_order_acq_rel) &
               TRP_MAILBOX_PARKED) != 0;
}

/** Whether PARKED is set.  Any thread; a moment's view. */
static inline bool trp_mailbox_is_parked(const struct trp_mailbox *mailbox)
{
    /* relaxed: a view, not a promise. */
    return (atomic_load_explicit(&mailbox->tail, memory_order_relaxed) & TRP_MAILBOX_PARKED) != 0;
}

#endif
