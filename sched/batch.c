/* SPDX-License-Identifier: MIT */
/*
 * batch.c - several messages in one call.  See batch.h.
 */
#include "batch.h"

#include "contain_seat.h"
#include "core.h"
#include "sojourn.h"
#include "worker.h"

static uint32_t most_of(const struct troupe_behaviour *behaviour)
{
    return behaviour->batch_max > 0 ? behaviour->batch_max : TROUPE_BATCH_MAX;
}

static void add(struct trp_batch *batch, struct troupe_message *msg)
{
    msg->flags |= TRP_MESSAGE_BATCHED;
    batch->msgs[batch->count++] = msg;
}

/* Whether nothing but the queue is to be looked at. */
static bool may_go_on(struct trp_worker *worker, const struct troupe_actor *self)
{
    /* relaxed: one that is seen late is heeded after this batch. */
    return worker->batch.count < most_of(self->behaviour) && worker->handled < worker->limit &&
           atomic_load_explicit(&self->signals, memory_order_relaxed) == 0;
}

/* The next one, out of the queue, if it is for a batch; or NULL. */
static struct troupe_message *pop(struct trp_worker *worker, struct troupe_actor *self)
{
    struct trp_batch *batch = &worker->batch;
    struct trp_node *node = trp_mailbox_behind(self->head);
    struct trp_node *spent = NULL;
    struct troupe_message *msg = node != NULL ? trp_message_of(node) : NULL;

    if (msg == NULL || (msg->kind != TRP_MESSAGE_PLAIN && msg->kind != TRP_MESSAGE_AGED)) {
        return NULL;
    }
    (void)trp_mailbox_pop(&self->mailbox, &self->head, &spent);
    /* Behind the last of the batch there may be some that were shed. */
    if (spent != &batch->msgs[batch->count - 1]->node) {
        trp_worker_retire(&worker->context, self, trp_message_of(spent), TROUPE_EUNANSWERED);
    }
    trp_worker_count_picked(worker, msg);
    return msg;
}

static void gather(struct trp_worker *worker, struct troupe_actor *self)
{
    while (may_go_on(worker, self)) {
        struct troupe_message *msg = pop(worker, self);

        if (msg == NULL) {
            return;
        }
        if (msg->kind == TRP_MESSAGE_PLAIN || trp_sojourn_open(self, msg)) {
            add(&worker->batch, msg);
        }
    }
}

void trp_batch_end(struct troupe_actor *self)
{
    struct trp_worker *worker = self->context->worker;
    struct trp_batch *batch = &worker->batch;

    for (uint32_t i = 0; i < batch->count; i++) {
        struct troupe_message *msg = batch->msgs[i];

        msg->flags &= (uint16_t)~TRP_MESSAGE_BATCHED;
        /* What was kept aside, and came alone, ends there. */
        if (!batch->is_alone && &msg->node != self->head) {
            trp_worker_retire(&worker->context, self, msg, TROUPE_EUNANSWERED);
        }
    }
    batch->count = 0;
}

/* So many more were handled than calls are counted (lib/tally.c). */
static void tally(struct troupe_actor *self, uint32_t more)
{
    struct trp_extra *extra = trp_actor_extra(self);

    if (extra != NULL && extra->tallied) {
        /* relaxed, both: a number that only we write. */
        atomic_store_explicit(&extra->handled,
            atomic_load_explicit(&extra->handled, memory_order_relaxed) + more,
            memory_order_relaxed);
    }
}

static int receive_batch(
    struct trp_worker *worker, struct troupe_actor *self, struct troupe_message *first)
{
    struct trp_batch *batch = &worker->batch;
    int status;

    batch->is_alone = &first->node != self->head;
    add(batch, first);
    if (!batch->is_alone) {
        gather(worker, self);
    }
    self->current = NULL;
    tally(self, batch->count - 1);
    status = self->behaviour->receive_batch(self, self->state, batch->msgs, batch->count);
    trp_batch_end(self);
    return status;
}

int trp_batch_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct trp_worker *worker = self->context->worker;

    if (worker->seat.traces) {
        trp_seat_note(self, msg);
    }
    return msg->kind == TRP_MESSAGE_PLAIN ? receive_batch(worker, self, msg)
                                          : self->behaviour->receive(self, state, msg);
}
