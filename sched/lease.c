/* SPDX-License-Identifier: MIT */
/*
 * lease.c - room that is held in mailboxes of others.  See lease.h.
 */
#include "lease.h"

#include "admit.h"
#include "line.h"
#include "park.h"
#include "place.h"
#include "runtime.h"
#include "seam.h"
#include "worker.h"

/* ---- the list ---- */

/* Under lock. */
static void add_count(struct trp_holding *holding, uint32_t more)
{
    /* relaxed, both: under the lock; others only look whether there is any. */
    uint32_t count = atomic_load_explicit(&holding->lease_count, memory_order_relaxed);

    atomic_store_explicit(&holding->lease_count, count + more, memory_order_relaxed);
}

/* Under lock.  Its room is the caller's to give back, and no name leads to it any more. */
static struct trp_leased take_out(struct trp_holding *holding, struct trp_timer *lease)
{
    trp_list_remove(&lease->entry);
    add_count(holding, UINT32_MAX);
    trp_timer_expire(lease);
    return lease->leased;
}

/* Under lock: the lease that is named, or NULL.  The block is type-stable, and a serial ends before its block does. */
static struct trp_timer *find(const struct troupe_actor *self, const struct troupe_lease *name)
{
    struct trp_timer *lease = name->record;

    return lease != NULL && trp_timer_serial(lease) == name->serial && lease->owner == self ? lease
                                                                                            : NULL;
}

/* Under no lock. */
static void give_back(struct trp_context *context, const struct trp_leased *room)
{
    struct troupe_actor *actor = trp_table_find(&context->runtime->table, room->to);

    /* Of one that has ended there is no room: whoever lives there next begins with all of it. */
    if (actor == NULL || room->count == 0) {
        return;
    }
    trp_admit_give_up(
        actor, trp_pressure_holding(actor), room->count, room->count * room->place_bytes);
    trp_switch();
    trp_line_given_up(context, actor);
}

/* Takes a lease out of the list: its block too is the caller's, unless somebody fires it.  NULL: it is none any more. */
static struct trp_timer *end(struct troupe_actor *self, const struct troupe_lease *name,
    struct trp_leased *out_room, bool *out_firing)
{
    struct trp_extra *extra = trp_actor_extra(self);
    struct trp_timer *lease;

    trp_lock_take(&extra->lock);
    lease = find(self, name);
    if (lease != NULL) {
        *out_room = take_out(trp_pressure_holding(lease->owner), lease);
        /* Under lock: whoever fires it has not looked yet, so it is this lease still. */
        *out_firing = !trp_wheel_cancel(lease);
    }
    trp_lock_give(&extra->lock);
    return lease;
}

/* ---- its beginning ---- */

uint64_t trp_lease_weigh(size_t size)
{
    return trp_admit_weigh_most(size);
}

int trp_lease_open(
    struct troupe_actor *self, const struct trp_leased *wanted, struct trp_timer **out_lease)
{
    const struct trp_holding *holding = trp_pressure_need_holding(trp_context_of(self), self);
    struct trp_timer *lease;

    if (holding == NULL) {
        return TROUPE_ENOMEM;
    }
    /* relaxed: nobody but us makes more of them. */
    if (atomic_load_explicit(&holding->lease_count, memory_order_relaxed) >=
        trp_runtime_limits(self->runtime)->actor_timers) {
        return TROUPE_ELIMIT;
    }
    lease = trp_timer_new(self, TRP_MESSAGE_LAPSE);
    if (lease == NULL) {
        return TROUPE_ENOMEM;
    }
    lease->leased = *wanted;
    *out_lease = lease;
    return TROUPE_OK;
}

void trp_lease_close(struct troupe_actor *self, struct trp_timer *lease)
{
    trp_timer_free(trp_context_of(self), lease);
}

int trp_lease_take(struct troupe_actor *self, struct trp_timer *lease)
{
    struct trp_context *context = trp_context_of(self);
    const struct trp_leased *wanted = &lease->leased;
    struct troupe_actor *actor = trp_table_find(&context->runtime->table, wanted->to);
    struct trp_holding *holding = actor != NULL ? trp_pressure_need_holding(context, actor) : NULL;
    int error;

    if (actor == NULL) {
        return TROUPE_EGONE;
    }
    if (holding == NULL) {
        return TROUPE_ENOMEM;
    }
    if (trp_admit_shelf(actor) != NULL) {
        return TROUPE_EINVAL;
    }
    error =
        trp_admit_lease(actor, holding, wanted->count, wanted->count * wanted->place_bytes, false);
    if (error == TROUPE_EFULL) {
        /* As with a send: the reader gets the processor. */
        context->worker->limit = 0;
    }
    /* Also if it was taken: it is counted as leased a moment later, and meanwhile the mailbox looked too full. */
    trp_line_look_again(context, actor);
    return error;
}

/* Whose wheel it is in: nobody looks at that of a thread that is busy with an actor of its own. */
static struct trp_worker *timekeeper(const struct troupe_actor *self)
{
    struct trp_worker *worker = self->context->worker;

    return worker->index < TRP_THREAD_FIRST ? worker : self->runtime->workers[0];
}

/* Under lock.  Whether its timekeeper has to be told, under no lock. */
static bool arm(struct troupe_actor *self, struct trp_timer *lease, uint64_t lease_ms)
{
    struct trp_worker *worker = timekeeper(self);
    bool earlier = trp_wheel_arm(&worker->wheel, lease, trp_timer_due(trp_port_now_ns(), lease_ms));

    return earlier && worker != self->context->worker;
}

static void tell(struct troupe_actor *self, bool earlier)
{
    if (earlier) {
        trp_park_nudge(&self->runtime->park, timekeeper(self));
    }
}

void trp_lease_hold(struct troupe_actor *self, struct trp_timer *lease, uint64_t lease_ms,
    struct troupe_lease *out_lease)
{
    struct trp_holding *holding = trp_pressure_holding(self);
    struct trp_extra *extra = trp_actor_extra(self);
    bool earlier;

    /* Before it can lapse. */
    *out_lease = (struct troupe_lease){lease, trp_timer_serial(lease), lease->leased.count};
    trp_lock_take(&extra->lock);
    trp_list_push(&holding->leases, &lease->entry);
    add_count(holding, 1);
    earlier = arm(self, lease, lease_ms);
    trp_lock_give(&extra->lock);
    tell(self, earlier);
}

bool trp_lease_renew(struct troupe_actor *self, struct troupe_lease *name, uint64_t lease_ms)
{
    struct trp_extra *extra = trp_actor_extra(self);
    struct trp_timer *lease;
    bool earlier = false;
    bool held;

    trp_lock_take(&extra->lock);
    lease = find(self, name);
    held = lease != NULL && trp_wheel_cancel(lease);
    if (held) {
        earlier = arm(self, lease, lease_ms);
    }
    trp_lock_give(&extra->lock);
    tell(self, earlier);
    return held;
}

/* ---- its use ---- */

/* Under lock: whether `msg` may take a place at `actor`; NULL: that has ended. */
static int check(
    const struct trp_timer *lease, struct troupe_actor *actor, struct troupe_message *msg)
{
    if (actor == NULL) {
        return TROUPE_EGONE;
    }
    return trp_admit_weigh(actor, msg, 1) <= lease->leased.place_bytes ? TROUPE_OK
                                                                       : TROUPE_EMSGSIZE;
}

/* Under lock: takes one place out.  The last one ends the lease: its block, or NULL, is the caller's. */
static struct trp_timer *take_place(struct trp_timer *lease, struct troupe_lease *name)
{
    name->left = --lease->leased.count;
    if (name->left > 0) {
        return NULL;
    }
    (void)take_out(trp_pressure_holding(lease->owner), lease);
    return trp_wheel_cancel(lease) ? lease : NULL;
}

/* It has its room. */
static void push(struct trp_context *context, struct troupe_actor *actor,
    const struct trp_leased *room, struct troupe_message *msg)
{
    struct trp_parcel parcel = {.to = room->to, .first = msg, .count = 1, .waited = true};
    struct trp_holding *holding = trp_pressure_holding(actor);
    struct troupe_message *last = msg;
    bool lighter = trp_admit_use(actor, holding, room->place_bytes, trp_admit_weigh(actor, msg, 1));

    trp_admit_stamp(context, actor, &parcel.first, &last, 1);
    parcel.first->flags |= TRP_MESSAGE_CHARGED;
    trp_place_entered(context, actor, &parcel);
    if (lighter) {
        trp_line_given_up(context, actor);
    }
}

int trp_lease_send(struct troupe_actor *self, struct troupe_lease *name, struct troupe_message *msg)
{
    struct trp_context *context = trp_context_of(self);
    struct trp_extra *extra = trp_actor_extra(self);
    struct troupe_actor *actor = NULL;
    struct trp_timer *over = NULL;
    int error = TROUPE_ETIMEDOUT;
    struct trp_timer *lease;
    struct trp_leased room;

    if (extra == NULL) {
        return error;
    }
    trp_lock_take(&extra->lock);
    lease = find(self, name);
    if (lease != NULL) {
        room = lease->leased;
        actor = trp_table_find(&context->runtime->table, room.to);
        error = check(lease, actor, msg);
        over = error == TROUPE_OK ? take_place(lease, name) : NULL;
    }
    trp_lock_give(&extra->lock);
    if (over != NULL) {
        trp_timer_free(context, over);
    }
    if (error == TROUPE_OK) {
        trp_place_let_go(msg, trp_actor_pid(self));
        push(context, actor, &room, msg);
    } else if (error == TROUPE_EGONE) {
        trp_count(&context->counters.sent, 1);
        trp_count(&context->counters.refused, 1);
    }
    return error;
}

/* ---- its end ---- */

void trp_lease_release(struct troupe_actor *self, struct troupe_lease *name)
{
    struct trp_context *context = trp_context_of(self);
    struct trp_timer *lease;
    struct trp_leased room;
    bool firing = false;

    name->left = 0;
    if (trp_actor_extra(self) == NULL) {
        return;
    }
    lease = end(self, name, &room, &firing);
    if (lease == NULL) {
        return;
    }
    if (!firing) {
        trp_timer_free(context, lease);
    }
    give_back(context, &room);
}

void trp_lease_lapse(struct trp_context *context, struct trp_timer *lease)
{
    struct trp_extra *extra = trp_actor_extra(lease->owner);
    struct trp_leased room = {.count = 0};

    trp_lock_take(&extra->lock);
    if (!trp_list_is_empty(&lease->entry)) {
        room = take_out(trp_pressure_holding(lease->owner), lease);
    }
    trp_lock_give(&extra->lock);
    /* It is in no list, and fired: nobody else comes to it. */
    trp_timer_free(context, lease);
    give_back(context, &room);
}

/* The first one of its list; {0}: it is empty. */
static struct troupe_lease first_of(struct trp_extra *extra, const struct trp_holding *holding)
{
    struct troupe_lease name = {.record = NULL};

    trp_lock_take(&extra->lock);
    if (!trp_list_is_empty(&holding->leases)) {
        struct trp_timer *first = trp_container_of(holding->leases.next, struct trp_timer, entry);

        name = (struct troupe_lease){first, trp_timer_serial(first), 0};
    }
    trp_lock_give(&extra->lock);
    return name;
}

void trp_lease_end_all(struct troupe_actor *self)
{
    const struct trp_holding *holding = trp_pressure_holding(self);

    while (holding != NULL && trp_pressure_is_holder(self)) {
        struct troupe_lease first = first_of(trp_actor_extra(self), holding);

        trp_lease_release(self, &first);
    }
}
