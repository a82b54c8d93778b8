/* SPDX-License-Identifier: MIT */
#include "runq.h"

void trp_runq_init(struct trp_runq *runq)
{
    atomic_init(&runq->head, 0);
    atomic_init(&runq->tail, 0);
    for (unsigned i = 0; i < TRP_RUNQ_SLOTS; i++) {
        atomic_init(&runq->slots[i], NULL);
    }
}

static _Atomic(struct troupe_actor *) *slot_at(struct trp_runq *runq, uint64_t index)
{
    return &runq->slots[index % TRP_RUNQ_SLOTS];
}

bool trp_runq_push(struct trp_runq *runq, struct troupe_actor *actor)
{
    /* relaxed: only we write it. */
    uint64_t tail = atomic_load_explicit(&runq->tail, memory_order_relaxed);
    /* acquire: whoever moved the head has read the slots we may write over.
     * PAIR runq.head: release of the swaps in pop and steal. */
    uint64_t head = atomic_load_explicit(&runq->head, memory_order_acquire);

    if (tail - head >= TRP_RUNQ_SLOTS) {
        return false;
    }
    /* relaxed: the tail publishes it. */
    atomic_store_explicit(slot_at(runq, tail), actor, memory_order_relaxed);
    /* seq_cst: release of the slot and of the actor to thieves (PAIR runq.tail); and the store must not pass our
     * later look at who is parked: see park.h (PAIR park.publish). */
    atomic_store_explicit(&runq->tail, tail + 1, memory_order_seq_cst);
    return true;
}

struct troupe_actor *trp_runq_pop(struct trp_runq *runq)
{
    /* relaxed: only we write it. */
    uint64_t tail = atomic_load_explicit(&runq->tail, memory_order_relaxed);
    /* relaxed: the swap decides. */
    uint64_t head = atomic_load_explicit(&runq->head, memory_order_relaxed);

    while (head != tail) {
        /* relaxed: we wrote it ourselves. */
        struct troupe_actor *actor =
            atomic_load_explicit(slot_at(runq, head), memory_order_relaxed);

        /* acq_rel: the slot has been read before anybody may write over it: us, so this is for form.
         * PAIR runq.head: acquire in push. */
        if (atomic_compare_exchange_weak_explicit(
                &runq->head, &head, head + 1, memory_order_acq_rel, memory_order_relaxed)) {
            return actor;
        }
    }
    return NULL;
}

/* Copies the older half of `victim` behind `tail` of `into`; returns how many, or 0 when empty. */
static uint32_t copy_half(
    struct trp_runq *victim, uint64_t head, struct trp_runq *into, uint64_t tail)
{
    /* acquire: the slots and the actors in them.  PAIR runq.tail: push. */
    uint64_t end = atomic_load_explicit(&victim->tail, memory_order_acquire);
    uint64_t count = end - head;

    /* A head read long before the tail: the swap would fail. */
    if (count > TRP_RUNQ_SLOTS) {
        return 0;
    }
    count -= count / 2;
    for (uint64_t i = 0; i < count; i++) {
        /* relaxed, both: a slot that changes under us belongs to a head that moved; nobody looks at ours before
         * our tail moves. */
        atomic_store_explicit(slot_at(into, tail + i),
            atomic_load_explicit(slot_at(victim, head + i), memory_order_relaxed),
            memory_order_relaxed);
    }
    return (uint32_t)count;
}

struct troupe_actor *trp_runq_steal(
    struct trp_runq *victim, struct trp_runq *into, uint32_t *out_count)
{
    /* relaxed: ours. */
    uint64_t tail = atomic_load_explicit(&into->tail, memory_order_relaxed);
    /* acquire: not to read a tail older than this head.  PAIR runq.head. */
    uint64_t head = atomic_load_explicit(&victim->head, memory_order_acquire);

    trp_assert(trp_runq_length(into) <= TRP_RUNQ_SLOTS / 2);
    for (;;) {
        uint32_t count = copy_half(victim, head, into, tail);

        if (count == 0) {
            *out_count = 0;
            return NULL;
        }
        /* acq_rel.  release: the slots have been read (PAIR runq.head: acquire in push).  acquire: for the
         * next round. */
        if (atomic_compare_exchange_strong_explicit(
                &victim->head, &head, head + count, memory_order_acq_rel, memory_order_acquire)) {
            *out_count = count;
            /* seq_cst: as in push. PAIR runq.tail, PAIR park.publish. */
            atomic_store_explicit(&into->tail, tail + count - 1, memory_order_seq_cst);
            /* relaxed: we wrote it ourselves. */
            return atomic_load_explicit(slot_at(into, tail + count - 1), memory_order_relaxed);
        }
    }
}

uint32_t trp_runq_length(const struct trp_runq *runq)
{
    /* relaxed: a view.  `head` first, so that it is never ahead. */
    uint64_t head = atomic_load_explicit(&runq->head, memory_order_relaxed);
    uint64_t tail = atomic_load_explicit(&runq->tail, memory_order_relaxed);
    uint64_t length = tail - head;

    return length <= TRP_RUNQ_SLOTS ? (uint32_t)length : TRP_RUNQ_SLOTS;
}

bool trp_runq_is_empty(const struct trp_runq *runq)
{
    /* seq_cst: after our own registration as parked.  PAIR park.publish: push. */
    uint64_t head = atomic_load_explicit(&runq->head, memory_order_seq_cst);
    uint64_t tail = atomic_load_explicit(&runq->tail, memory_order_seq_cst);

    return head == tail;
}
