/* SPDX-License-Identifier: MIT */
/*
 * aside.c - messages that an actor keeps aside.  See aside.h.
 */
#include "aside.h"

#include <string.h>

#include "core.h"
#include "priority.h"
#include "runtime.h"
#include "worker.h"

static struct trp_aside *aside_of(struct troupe_actor *actor)
{
    struct trp_extra *extra = trp_actor_extra(actor);

    return extra != NULL ? &extra->aside : NULL;
}

/* Of one that has some for sure: it has set TRP_SIGNAL_AGAIN, or marked a message. */
static struct trp_aside *own_aside(struct troupe_actor *actor)
{
    return &trp_actor_extra(actor)->aside;
}

/* relaxed, both: our own signal, which nobody else sets; what others set is kept. */
static void set_again(struct troupe_actor *actor)
{
    atomic_fetch_or_explicit(&actor->signals, (uint32_t)TRP_SIGNAL_AGAIN, memory_order_relaxed);
}

static void clear_again(struct troupe_actor *actor)
{
    atomic_fetch_and_explicit(&actor->signals, ~(uint32_t)TRP_SIGNAL_AGAIN, memory_order_relaxed);
}

/* The message being handled is marked: it counts as queued again, and is to be taken out of the queue's list. */
static void put_back(struct troupe_actor *self)
{
    self->context->worker->unhandled++;
    set_again(self);
}

/* ---- stash ---- */

static bool is_stashable(const struct troupe_actor *self, const struct troupe_message *msg)
{
    if (msg == NULL || msg != self->current || self->taken || self->behaviour->main != NULL) {
        return false;
    }
    return trp_message_is_sent(msg) || msg->kind == TRP_MESSAGE_TICK ||
           msg->kind == TRP_MESSAGE_NOTICE || msg->kind == TRP_MESSAGE_CHANGE;
}

int trp_aside_stash(struct troupe_actor *self, struct troupe_message *msg)
{
    struct trp_extra *extra;

    if (!is_stashable(self, msg)) {
        return TROUPE_EINVAL;
    }
    extra = trp_actor_need_extra(self->context, self);
    if (extra == NULL) {
        return TROUPE_ENOMEM;
    }
    if (extra->aside.stash_count >= self->runtime->limits.actor_stash) {
        return TROUPE_ELIMIT;
    }
    extra->aside.stash_count++;
    self->taken = true;
    /* A tick is opened again, since its timer may be cancelled meanwhile, and a request, since nobody may wait for it any
     * more; a notice can be opened but once. */
    msg->flags &= (uint16_t)~TRP_MESSAGE_CHARGED;
    msg->flags |= TRP_MESSAGE_STASHED | (msg->kind == TRP_MESSAGE_NOTICE ? TRP_MESSAGE_OPENED : 0);
    put_back(self);
    return TROUPE_OK;
}

uint32_t trp_aside_unstash(struct troupe_actor *self)
{
    struct trp_aside *aside = aside_of(self);
    uint32_t count = 0;

    if (aside == NULL || aside->stash.first == NULL) {
        return 0;
    }
    /* What is marked STASHED but is still being handled stays. */
    for (const struct troupe_message *msg = aside->stash.first; msg != NULL; count++) {
        /* relaxed: see chain.h. */
        struct trp_node *next = atomic_load_explicit(&msg->node.next, memory_order_relaxed);

        msg = next != NULL ? trp_message_of(next) : NULL;
    }
    aside->stash_count -= count;
    trp_chain_prepend(&aside->again, &aside->stash);
    set_again(self);
    return count;
}

void trp_aside_reopen(struct troupe_actor *self)
{
    struct trp_aside *aside = aside_of(self);

    if (aside != NULL && aside->stash_count > 0) {
        aside->reopened = 1;
        set_again(self);
    }
}

uint32_t trp_aside_stashed(struct troupe_actor *self)
{
    const struct trp_aside *aside = aside_of(self);

    return aside != NULL ? aside->stash_count : 0;
}

/* ---- messages of the actor's own ---- */

static int insert(struct troupe_actor *self, const struct troupe_type *type, const void *body,
    size_t size, bool first)
{
    struct trp_extra *extra = trp_actor_need_extra(self->context, self);
    struct troupe_message *msg;

    if (extra == NULL) {
        return TROUPE_ENOMEM;
    }
    msg = trp_message_create(&self->context->pool, type, size, TRP_MESSAGE_INNER);
    if (msg == NULL) {
        return TROUPE_ENOMEM;
    }
    if (size > 0) {
        memcpy(trp_message_body(msg), body, size);
    }
    msg->sender = trp_actor_pid(self);
    trp_count(&self->context->counters.sent, 1);
    trp_chain_append(first ? &extra->aside.fresh : &extra->aside.again, msg);
    set_again(self);
    return TROUPE_OK;
}

int trp_aside_insert(
    struct troupe_actor *self, const struct troupe_type *type, const void *body, size_t size)
{
    return insert(self, type, body, size, true);
}

int trp_aside_append(
    struct troupe_actor *self, const struct troupe_type *type, const void *body, size_t size)
{
    return insert(self, type, body, size, false);
}

bool trp_aside_has_mail(struct troupe_actor *self)
{
    const struct trp_aside *aside = aside_of(self);

    /* relaxed, both: whether there is one, no more. */
    return (atomic_load_explicit(&self->signals, memory_order_relaxed) & TRP_SIGNAL_PRIORITY) !=
               0 ||
           (self->head != NULL &&
               atomic_load_explicit(&self->head->next, memory_order_relaxed) != NULL) ||
           (aside != NULL && (aside->fresh.first != NULL || aside->priority.first != NULL ||
                                 aside->again.first != NULL || aside->reopened != 0 ||
                                 aside->waiting.first != NULL));
}

/* ---- suspended ---- */

int trp_aside_suspend(struct troupe_actor *self)
{
    struct trp_extra *extra = trp_actor_need_extra(self->context, self);

    if (extra == NULL) {
        return TROUPE_ENOMEM;
    }
    if (extra->aside.suspensions == UINT32_MAX >> 1) {
        return TROUPE_ELIMIT;
    }
    if (extra->aside.suspensions++ == 0) {
        extra->aside.receive = self->receive;
        self->receive = trp_aside_receive;
    }
    return TROUPE_OK;
}

bool trp_aside_resume(struct troupe_actor *self)
{
    struct trp_aside *aside = aside_of(self);

    if (aside == NULL || aside->suspensions == 0) {
        return false;
    }
    aside->suspensions--;
    if (aside->suspensions == 0) {
        self->receive = aside->receive;
        /* Cleared again if there is nothing. */
        set_again(self);
    }
    return true;
}

uint32_t trp_aside_suspensions(struct troupe_actor *self)
{
    const struct trp_aside *aside = aside_of(self);

    return aside != NULL ? aside->suspensions : 0;
}

void trp_aside_hold(struct troupe_actor *actor, struct troupe_message *msg)
{
    struct trp_worker *worker = actor->context->worker;

    if (msg->flags & TRP_MESSAGE_CHARGED) {
        worker->charged--;
        worker->charged_bytes -= trp_message_weight(msg);
    }
    msg->flags |= TRP_MESSAGE_WAITING;
    put_back(actor);
}

int trp_aside_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    (void)state;
    trp_aside_hold(self, msg);
    return TROUPE_OK;
}

/* ---- the worker's side ---- */

void trp_aside_keep(struct troupe_actor *actor, struct troupe_message *msg)
{
    struct trp_aside *aside = own_aside(actor);
    bool stashed = (msg->flags & TRP_MESSAGE_STASHED) != 0;

    msg->flags &= (uint16_t)~TRP_MESSAGE_ASIDE;
    trp_chain_append(stashed ? &aside->stash : &aside->waiting, msg);
}

void trp_aside_accept(struct troupe_actor *actor)
{
    trp_priority_accept(actor);
    if (own_aside(actor)->priority.first != NULL) {
        set_again(actor);
    }
}

void trp_aside_shelved(struct troupe_actor *actor, struct troupe_message *msg)
{
    if (msg != NULL) {
        trp_chain_append(&own_aside(actor)->priority, msg);
        set_again(actor);
    }
}

struct troupe_message *trp_aside_pull(
    struct troupe_actor *actor, trp_match_fn matches, const void *arg)
{
    struct trp_aside *aside = aside_of(actor);

    return aside != NULL ? trp_chain_pull(&aside->priority, matches, arg) : NULL;
}

bool trp_aside_is_heeded(const struct troupe_actor *actor, const struct troupe_message *msg)
{
    return (msg->flags & TRP_MESSAGE_SYSTEM) != 0 ||
           (msg->kind == TRP_MESSAGE_NOTICE && trp_hooks.commands(actor, msg));
}

static bool is_heeded(const struct troupe_message *msg, const void *actor)
{
    return trp_aside_is_heeded(actor, msg);
}

/* The next one of an actor that is not suspended.  What its own callbacks inserted is part of what they began. */
static struct troupe_message *take_next(struct trp_aside *aside)
{
    struct troupe_message *msg = NULL;

    trp_chain_prepend(&aside->again, &aside->fresh);
    if (aside->again.first == NULL || (aside->again.first->flags & TRP_MESSAGE_INNER) == 0) {
        msg = trp_chain_pop(&aside->priority);
    }
    if (msg == NULL) {
        msg = trp_chain_pop(&aside->again);
    }
    return msg != NULL ? msg : trp_chain_pop(&aside->waiting);
}

struct troupe_message *trp_aside_take(struct troupe_actor *actor)
{
    struct trp_aside *aside = own_aside(actor);

    if (aside->reopened != 0) {
        trp_chain_prepend(&aside->again, &aside->stash);
        aside->stash_count = 0;
        aside->reopened = 0;
    }
    aside->spent = aside->suspensions == 0 ? take_next(aside)
                                           : trp_chain_pull(&aside->priority, is_heeded, actor);
    if (aside->spent == NULL) {
        clear_again(actor);
    }
    return aside->spent;
}

struct troupe_message *trp_aside_spent(struct troupe_actor *actor)
{
    struct trp_aside *aside = aside_of(actor);
    struct troupe_message *spent = aside != NULL ? aside->spent : NULL;

    if (spent != NULL) {
        aside->spent = NULL;
    }
    return spent;
}

/* ---- the end of a life ---- */

struct troupe_message *trp_aside_drain(struct troupe_actor *actor)
{
    struct trp_aside *aside = aside_of(actor);
    struct troupe_message *msg;

    if (aside == NULL) {
        return NULL;
    }
    /* In the order in which they came, but for what was inserted, which ends here. */
    trp_chain_prepend(&aside->again, &aside->stash);
    trp_chain_prepend(&aside->again, &aside->priority);
    trp_chain_prepend(&aside->again, &aside->fresh);
    aside->stash_count = 0;
    aside->reopened = 0;
    msg = trp_chain_pop(&aside->again);
    return msg != NULL ? msg : trp_chain_pop(&aside->waiting);
}

bool trp_aside_bequeath(struct troupe_actor *actor, struct troupe_message *msg)
{
    struct trp_aside *aside = own_aside(actor);

    /* A ticket stands for one that is sent. */
    if ((!trp_message_is_sent(msg) && msg->kind != TRP_MESSAGE_TICKET) ||
        (msg->flags & (TRP_MESSAGE_INNER | TRP_MESSAGE_SYSTEM))) {
        return false;
    }
    trp_chain_append(&aside->bequest, msg);
    return true;
}

uint32_t trp_aside_renew(struct troupe_actor *actor)
{
    struct trp_aside *aside = aside_of(actor);

    if (aside == NULL) {
        return 0;
    }
    aside->suspensions = 0;
    trp_chain_prepend(&aside->again, &aside->bequest);
    return aside->again.first != NULL ? (uint32_t)TRP_SIGNAL_AGAIN : 0;
}
