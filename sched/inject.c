/* SPDX-License-Identifier: MIT */
/* inject.c - built without the thread sanitizer: it cannot follow liburcu's queue, so the hand-over is announced. */
#include "inject.h"

#include <urcu/wfcqueue.h>

#include "actor.h"
#include "tsan.h"

static_assert(sizeof(struct cds_wfcq_node) == sizeof(void *), "a cell's `link` is a queue's node");
static_assert(sizeof(struct __cds_wfcq_head) <= 2 * sizeof(void *), "inject.h has room for it");
static_assert(sizeof(struct cds_wfcq_tail) <= sizeof(void *), "inject.h has room for it");

static struct __cds_wfcq_head *head_of(struct trp_inject_shard *shard)
{
    return (struct __cds_wfcq_head *)shard->head;
}

static struct cds_wfcq_tail *tail_of(struct trp_inject_shard *shard)
{
    return (struct cds_wfcq_tail *)shard->tail;
}

void trp_inject_init(struct trp_inject *inject, unsigned shards)
{
    trp_assert(shards >= 1 && shards <= TRP_INJECT_SHARDS);
    inject->count = shards;
    for (unsigned i = 0; i < shards; i++) {
        trp_lock_init(&inject->shards[i].lock);
        __cds_wfcq_init(head_of(&inject->shards[i]), tail_of(&inject->shards[i]));
    }
}

void trp_inject_fini(struct trp_inject *inject)
{
    for (unsigned i = 0; i < inject->count; i++) {
        trp_lock_fini(&inject->shards[i].lock);
    }
}

void trp_inject_push(struct trp_inject *inject, unsigned shard, struct troupe_actor *actor)
{
    struct trp_inject_shard *to = &inject->shards[shard % inject->count];
    struct cds_wfcq_node *node = (struct cds_wfcq_node *)(void *)&actor->link;

    cds_wfcq_node_init(node);
    TRP_TSAN_RELEASE(actor);
    /* Its exchange is a full fence on both sides.  PAIR park.publish: trp_inject_is_empty(). */
    cds_wfcq_enqueue((cds_wfcq_head_ptr_t)head_of(to), tail_of(to), node);
}

static unsigned take_from(struct trp_inject_shard *from, struct troupe_actor **out, unsigned most)
{
    unsigned count = 0;

    if (cds_wfcq_empty((cds_wfcq_head_ptr_t)head_of(from), tail_of(from)) ||
        !trp_lock_try(&from->lock)) {
        return 0;
    }
    while (count < most) {
        struct cds_wfcq_node *node =
            __cds_wfcq_dequeue_nonblocking((cds_wfcq_head_ptr_t)head_of(from), tail_of(from));

        if (node == NULL || node == CDS_WFCQ_WOULDBLOCK) {
            break;
        }
        out[count] = trp_container_of(node, struct troupe_actor, link);
        TRP_TSAN_ACQUIRE(out[count]);
        count++;
    }
    trp_lock_give(&from->lock);
    return count;
}

unsigned trp_inject_take(
    struct trp_inject *inject, unsigned shard, struct troupe_actor **out, unsigned most)
{
    unsigned count = 0;

    for (unsigned i = 0; i < inject->count && count == 0; i++) {
        count = take_from(&inject->shards[(shard + i) % inject->count], out, most);
    }
    return count;
}

bool trp_inject_is_empty(struct trp_inject *inject)
{
    /* seq_cst: after our own registration as parked.  PAIR park.publish: trp_inject_push(). */
    atomic_thread_fence(memory_order_seq_cst);
    for (unsigned i = 0; i < inject->count; i++) {
        struct trp_inject_shard *shard = &inject->shards[i];

        if (!cds_wfcq_empty((cds_wfcq_head_ptr_t)head_of(shard), tail_of(shard))) {
            return false;
        }
    }
    return true;
}
