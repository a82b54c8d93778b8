/* SPDX-License-Identifier: MIT */
/*
 * line.c - waiting for room: the line at a mailbox.  See line.h.
 */
#include "line.h"

#include "admit.h"
#include "fiber.h"
#include "overload.h"
#include "pause.h"
#include "place.h"
#include "runtime.h"

/* A thread's. */
struct sleeper {
    struct trp_waiter waiter;
    struct trp_event event;
};

static void init_waiter(struct trp_waiter *waiter, struct troupe_actor *sleeper, troupe_pid to,
    struct troupe_message *msg, const struct trp_stake *stake)
{
    *waiter = (struct trp_waiter){.to = to,
        .msg = msg,
        .bytes = msg != NULL ? trp_message_weight(msg) : 0,
        .places = 1,
        .stake = *stake,
        .sleeper = sleeper};
    trp_list_init(&waiter->entry);
}

/* Under lock: it waits for nobody from here on. */
static void rest(struct trp_context *context, struct trp_waiter *waiter)
{
    struct troupe_actor *owner;

    if (!waiter->pointed) {
        return;
    }
    waiter->pointed = false;
    owner = trp_table_find(&context->runtime->table, waiter->stake.owner);
    if (owner != NULL) {
        trp_pressure_rest(owner, waiter->stake.edge);
    }
}

/* Under lock. */
static void call(struct trp_context *context, struct trp_waiter *waiter)
{
    struct troupe_actor *sleeper = waiter->sleeper;

    /* First: what the reader does next sees that it waits no longer. */
    rest(context, waiter);
    if (sleeper == NULL) {
        trp_event_wake(&trp_container_of(waiter, struct sleeper, waiter)->event);
    }
    /* release: we are done with the waiter, which lies on its stack.
     * PAIR waiter.called: is_called(), outlive_caller(). */
    atomic_store_explicit(&waiter->called, true, memory_order_release);
    if (sleeper != NULL) {
        /* Its cell stays a cell, even if it has seen `called` meanwhile, and ended. */
        trp_actor_signal(context, sleeper, TRP_SIGNAL_ROOM);
    }
}

/* Whether it counts on a place: it does not wait any more for the reader, who may wait for it. */
static bool is_granted(const struct trp_waiter *waiter)
{
    return waiter->stake.edge != 0 && !waiter->pointed;
}

/* Whether there is room for what it holds, and its sender's share bears it.  If somebody's tentative charge makes it look otherwise, that
 * one looks again. */
static bool fits(struct troupe_actor *actor, const struct trp_waiter *waiter, uint64_t limit)
{
    uint64_t queued = trp_charge_queued(&actor->charge);

    return (queued >> 40) + waiter->places <= limit >> 40 &&
           (queued & TRP_CHARGE_BYTES) + waiter->bytes <= (limit & TRP_CHARGE_BYTES) &&
           (!trp_admit_is_shared(actor) || trp_pid_is_alias(waiter->to) ||
               trp_admit_bears(actor, waiter->sender, waiter->lane, 1, waiter->bytes));
}

/* Handlers may have gone into the margin meanwhile; then one that counts on a place has it there. */
static uint64_t limit_of(const struct troupe_actor *actor, const struct trp_waiter *waiter)
{
    return is_granted(waiter) && waiter->msg != NULL ? trp_actor_hard(actor->behaviour)
                                                     : trp_actor_capacity(actor->behaviour);
}

/* Under lock.  Calls the first waiter if there is room for it: two that wait in each other's line would wake each other for
 * ever.  It stays counted in `waiting` until it has tried.  One at a time: of two that were called the second might come first. */
static void call_first(
    struct trp_context *context, struct troupe_actor *actor, struct trp_extra *extra)
{
    struct trp_waiter *first = trp_container_of(extra->waiters.next, struct trp_waiter, entry);

    if (!extra->waiter_called && !trp_list_is_empty(&extra->waiters) &&
        fits(actor, first, limit_of(actor, first))) {
        trp_list_remove(&first->entry);
        extra->waiter_called = true;
        call(context, first);
    }
}

/* The same, if it is time to. */
static void call_line(struct trp_context *context, struct troupe_actor *actor, bool parked)
{
    struct trp_extra *extra = trp_actor_extra(actor);

    /* Where senders have shares others may keep it more than half full. */
    if (extra == NULL ||
        (!parked && !trp_admit_is_half_empty(actor) && !trp_admit_is_shared(actor))) {
        return;
    }
    /* A waiter that tries just now holds the lock: it is called after it has failed. */
    trp_lock_take(&extra->lock);
    call_first(context, actor, extra);
    trp_lock_give(&extra->lock);
}

void trp_line_call(struct trp_context *context, struct troupe_actor *actor, bool parked)
{
    /* Not older than what the caller read. */
    uint32_t waiting = trp_admit_waiting(actor);

    if (waiting & TRP_WAITING_PAUSED) {
        trp_pause_release(context, actor, parked);
    }
    if (trp_actor_waiters(waiting) != 0) {
        call_line(context, actor, parked);
    }
}

void trp_line_look_again(struct trp_context *context, struct troupe_actor *actor)
{
    /* seq_cst: after the charge was taken back.  PAIR actor.waiting. */
    if ((atomic_load_explicit(&actor->waiting, memory_order_seq_cst) & TRP_WAITING_LINE) != 0) {
        /* The reader parks, then looks at the charge; we took it back, and meet it.  One of the two sees the other. */
        trp_line_call(context, actor, trp_mailbox_meet(&actor->mailbox));
    }
}

void trp_line_given_up(struct trp_context *context, struct troupe_actor *actor)
{
    struct trp_extra *extra = trp_actor_extra(actor);
    /* Whoever registers after this finds the room; who registered before is seen.  PAIR mailbox.tail: line_up(). */
    bool parked = trp_mailbox_meet(&actor->mailbox);

    if (trp_admit_waiting(actor) & TRP_WAITING_PAUSED) {
        trp_pause_release(context, actor, parked);
    }
    if (trp_actor_waiters(trp_admit_waiting(actor)) == 0) {
        return;
    }
    /* Whether the reader runs or not: it may have nothing to give back. */
    trp_lock_take(&extra->lock);
    call_first(context, actor, extra);
    trp_lock_give(&extra->lock);
}

void trp_line_made_room(struct trp_context *context, struct troupe_actor *actor, uint64_t given)
{
    /* acquire: the mark that was raised.  PAIR send.mark: pass_mark(). */
    uint32_t waiting = atomic_load_explicit(&actor->waiting, memory_order_acquire);

    if (waiting & TRP_WAITING_LINE) {
        trp_line_call(context, actor, false);
    }
    if (waiting & TRP_WAITING_LONG) {
        trp_admit_fall_below(actor);
    }
    if (waiting & TRP_WAITING_METERED) {
        if (actor->behaviour->overload != NULL) {
            trp_overload_note(actor, given);
        }
        (void)trp_actor_meter(actor);
    }
}

void trp_line_release(struct trp_context *context, struct troupe_actor *actor)
{
    struct trp_extra *extra = trp_actor_extra(actor);
    struct trp_list *entry;

    if (extra == NULL) {
        return;
    }
    trp_lock_take(&extra->lock);
    while ((entry = trp_list_pop(&extra->waiters)) != NULL) {
        call(context, trp_container_of(entry, struct trp_waiter, entry));
    }
    trp_lock_give(&extra->lock);
    trp_pause_release_all(context, actor);
}

/* Under lock.  Of the places that are wanted, those beyond one for each that waits. */
static uint32_t wanted_more(struct troupe_actor *actor)
{
    const struct trp_holding *holding = trp_pressure_holding(actor);

    return holding != NULL ? holding->waiter_more : 0;
}

/* Under lock. */
static void want_more(struct troupe_actor *actor, uint32_t more)
{
    if (more != 0) {
        trp_pressure_holding(actor)->waiter_more += more;
    }
}

/* Under lock.  Puts the waiter in the list: who is new behind all others, who was called and finds no room before them.
 * Returns whether it may try now: it was called, or nobody waits besides it. */
static bool line_up(struct troupe_actor *actor, struct trp_extra *extra, struct trp_waiter *waiter)
{
    /* relaxed, here and below: under the lock, as its writer is. */
    bool called = atomic_load_explicit(&waiter->called, memory_order_relaxed);
    bool first;

    if (waiter->registered && !called) {
        return false;
    }
    atomic_store_explicit(&waiter->called, false, memory_order_relaxed);
    if (waiter->registered) {
        extra->waiter_called = false;
        trp_list_push(extra->waiters.next, &waiter->entry);
        return true;
    }
    trp_list_push(&extra->waiters, &waiter->entry);
    waiter->registered = true;
    want_more(actor, waiter->places - 1);
    /* seq_cst: registered before the look at the pid.  PAIR actor.waiting: seal().  Before the look at the room we meet
     * the reader: a seq_cst add does not keep the load of `out`, which is none, from giving an old value. */
    first =
        trp_actor_waiters(atomic_fetch_add_explicit(&actor->waiting, 1, memory_order_seq_cst)) == 0;
    (void)trp_mailbox_meet(&actor->mailbox);
    return first;
}

/* Under lock.  Leaves; the next one may look, if it is not somebody else's turn. */
static void step_out(struct trp_context *context, struct troupe_actor *actor,
    struct trp_extra *extra, struct trp_waiter *waiter)
{
    /* relaxed: under the lock. */
    if (atomic_load_explicit(&waiter->called, memory_order_relaxed)) {
        extra->waiter_called = false;
    }
    rest(context, waiter);
    trp_list_remove(&waiter->entry);
    waiter->registered = false;
    want_more(actor, 1 - waiter->places);
    /* relaxed: whoever sees it late refuses once, or calls nobody. */
    atomic_fetch_sub_explicit(&actor->waiting, 1, memory_order_relaxed);
    call_first(context, actor, extra);
}

/* Whose mailbox it is that `to` leads to. */
static troupe_pid receiver_of(struct troupe_runtime *runtime, troupe_pid to)
{
    const struct troupe_actor *owner =
        trp_pid_is_alias(to) ? trp_table_owner(&runtime->table, to) : NULL;

    return owner != NULL ? trp_actor_pid(owner) : to;
}

/* Under lock.  How many places all want that wait. */
static uint64_t places_wanted(struct troupe_actor *actor)
{
    /* relaxed: under the lock, under which all of them register. */
    uint32_t line = trp_actor_waiters(atomic_load_explicit(&actor->waiting, memory_order_relaxed));

    return (uint64_t)line + wanted_more(actor);
}

/* Under lock.  How many of them the one wants that was called: that one is in no list. */
static uint64_t places_called(struct troupe_actor *actor, struct trp_extra *extra)
{
    uint64_t places = places_wanted(actor);

    if (!extra->waiter_called) {
        return 0;
    }
    if (wanted_more(actor) == 0) {
        return 1;
    }
    for (struct trp_list *at = extra->waiters.next; at != &extra->waiters; at = at->next) {
        places -= trp_container_of(at, struct trp_waiter, entry)->places;
    }
    return places;
}

/* Under lock.  How many places there are, but for those of a waiter that was called and has not tried. */
static uint64_t places_left(struct troupe_actor *actor, struct trp_extra *extra)
{
    uint64_t taken = trp_admit_length(actor) + places_called(actor, extra);
    uint64_t capacity = trp_actor_capacity(actor->behaviour) >> 40;

    return trp_admit_less(capacity, taken);
}

void trp_line_let_be(struct trp_context *context, struct troupe_actor *self)
{
    struct trp_extra *extra = trp_actor_extra(self);
    uint64_t places;

    /* Who registers after this finds the room that was given back.  PAIR mailbox.tail: line_up(). */
    (void)trp_mailbox_meet(&self->mailbox);
    /* relaxed: those who registered before are seen. */
    if (trp_actor_waiters(atomic_load_explicit(&self->waiting, memory_order_relaxed)) == 0 ||
        extra == NULL) {
        return;
    }
    trp_lock_take(&extra->lock);
    call_first(context, self, extra);
    places = places_left(self, extra);
    for (struct trp_list *at = extra->waiters.next; at != &extra->waiters; at = at->next) {
        struct trp_waiter *waiter = trp_container_of(at, struct trp_waiter, entry);

        if (waiter->places > places || !fits(self, waiter, trp_actor_capacity(self->behaviour))) {
            break;
        }
        rest(context, waiter);
        places -= waiter->places;
    }
    trp_lock_give(&extra->lock);
}

/* Under lock.  Whether it stands behind one that waits for the reader: then so does it, whatever it holds. */
static bool is_behind_one_that_waits(const struct trp_extra *extra, const struct trp_waiter *waiter)
{
    const struct trp_list *before = waiter->entry.prev;

    return before != &extra->waiters &&
           trp_container_of(before, const struct trp_waiter, entry)->pointed;
}

/* Under lock, which keeps it from being called: it waits for `actor`.  Not if there are the places
 * `ahead` that those before it in line want, and its own: they go on by themselves. */
static void aim(struct trp_context *context, struct troupe_actor *actor, struct trp_extra *extra,
    struct trp_waiter *waiter, uint64_t ahead)
{
    struct trp_aim aim = {.to = trp_actor_pid(actor)};
    struct troupe_actor *owner;

    /* A lease counts on no place: what handlers put into the margin may take it. */
    if (waiter->stake.edge == 0 || waiter->pointed ||
        (waiter->msg != NULL && fits(actor, waiter, trp_actor_capacity(actor->behaviour)) &&
            ahead + waiter->places <= places_left(actor, extra) &&
            !is_behind_one_that_waits(extra, waiter))) {
        return;
    }
    owner = trp_table_find(&context->runtime->table, waiter->stake.owner);
    if (owner != NULL) {
        trp_pressure_point(owner, waiter->stake.edge, &aim);
        waiter->pointed = true;
    }
}

/* Under no lock.  TROUPE_EDEADLK: it shall not wait. */
static int look(struct trp_context *context, const struct trp_waiter *waiter)
{
    struct troupe_actor *owner = waiter->stake.edge != 0
                                     ? trp_table_find(&context->runtime->table, waiter->stake.owner)
                                     : NULL;

    return owner != NULL ? trp_pressure_look(context, owner, waiter->stake.edge) : TROUPE_OK;
}

/* Under lock: what it weighs there. */
static uint64_t weigh(struct troupe_actor *actor, const struct trp_waiter *waiter)
{
    return waiter->msg != NULL ? trp_admit_weigh(actor, waiter->msg, 1) : waiter->bytes;
}

/* Under lock.  It is its turn: its message takes its room, or it does itself. */
static int enter(struct trp_context *context, struct troupe_actor *actor, struct trp_extra *extra,
    const struct trp_waiter *waiter, struct trp_parcel *parcel)
{
    return waiter->msg != NULL ? trp_place_enter(context, actor, extra, parcel)
                               : trp_admit_lease(actor, trp_pressure_holding(actor), waiter->places,
                                     waiter->bytes, true);
}

/* One try.  TROUPE_EFULL: registered, wait.  TROUPE_EDEADLK: it is a request on whose answer somebody waits in a ring. */
static int try_as_waiter(struct trp_context *context, struct trp_waiter *waiter)
{
    struct troupe_actor *actor = trp_actor_find(context->runtime, waiter->at);
    struct trp_extra *extra = actor != NULL ? trp_actor_need_extra(context, actor) : NULL;
    struct trp_ring ring;
    struct trp_parcel parcel = {
        .to = waiter->to, .first = waiter->msg, .count = 1, .waited = true, .ring = &ring};
    int error = TROUPE_EFULL;
    bool waited; /* in line, as before, and nobody has called it */
    bool first;
    uint32_t lane;

    ring.count = 0;
    if (actor == NULL) {
        return TROUPE_EGONE;
    }
    if (extra == NULL) {
        return TROUPE_ENOMEM;
    }
    lane =
        trp_admit_is_shared(actor) && waiter->msg != NULL ? trp_admit_lane(actor, waiter->msg) : 0;
    trp_lock_take(&extra->lock);
    /* Under lock: whoever gives room reads them of one that is in line. */
    waiter->bytes = weigh(actor, waiter);
    waiter->sender = waiter->msg != NULL ? waiter->msg->sender : TROUPE_NOBODY;
    waiter->lane = lane;
    parcel.bytes = waiter->bytes;
    parcel.lane = lane;
    /* relaxed: under the lock, as its writer is. */
    waited = waiter->registered && !atomic_load_explicit(&waiter->called, memory_order_relaxed);
    if (waiter->registered && !waited) {
        /* It was called: the place that it counts on may be in the margin by now. */
        parcel.room = trp_actor_hard(actor->behaviour);
    }
    first = line_up(actor, extra, waiter);
    if (first) {
        error = enter(context, actor, extra, waiter, &parcel);
    }
    /* seq_cst: after line_up() has registered us; the exit clears the pid, then looks at `waiting`.  One of the two sees
     * the other.  PAIR actor.waiting: seal(). */
    if (atomic_load_explicit(&actor->pid, memory_order_seq_cst) != waiter->at &&
        error == TROUPE_EFULL) {
        error = TROUPE_EGONE;
    }
    if (error == TROUPE_EFULL && !waited) {
        aim(context, actor, extra, waiter, first ? 0 : places_wanted(actor) - waiter->places);
    }
    trp_lock_give(&extra->lock);
    if (error == TROUPE_OK && waiter->msg != NULL) {
        trp_place_entered(context, actor, &parcel);
    } else if (first) {
        /* A charge that was not taken after all, or room that is leased, which is counted a moment later. */
        trp_line_look_again(context, actor);
    }
    if (error != TROUPE_EFULL) {
        /* There may be more room, or none ever.  After trp_place(): the next one's message must not come before ours. */
        trp_lock_take(&extra->lock);
        step_out(context, actor, extra, waiter);
        trp_lock_give(&extra->lock);
    }
    return error;
}

/* It waits no longer.  TROUPE_EGONE: the actor has ended. */
static int give_up(struct trp_context *context, struct trp_waiter *waiter)
{
    struct troupe_actor *actor = trp_actor_find(context->runtime, waiter->at);
    struct trp_extra *extra = actor != NULL ? trp_actor_extra(actor) : NULL;

    if (extra == NULL) {
        return TROUPE_EGONE;
    }
    trp_lock_take(&extra->lock);
    step_out(context, actor, extra, waiter);
    trp_lock_give(&extra->lock);
    return TROUPE_ETIMEDOUT;
}

/* One try of whoever has something to try.  TROUPE_EDEADLK: it may not wait, because that would close a ring, and is not in
 * line any more; a request that may not be sent there for that reason is answered so, and that counts as sent. */
static int try_to_enter(struct trp_context *context, struct trp_waiter *waiter)
{
    int error = try_as_waiter(context, waiter);

    if (error == TROUPE_EDEADLK) {
        trp_message_dispose(context, waiter->msg, error);
        return TROUPE_OK;
    }
    if (error == TROUPE_EFULL && look(context, waiter) < 0) {
        return give_up(context, waiter) == TROUPE_EGONE ? TROUPE_EGONE : TROUPE_EDEADLK;
    }
    return error;
}

/* Whoever ends the actor still has to let go of the waiter. */
static void outlive_caller(struct trp_waiter *waiter)
{
    /* acquire: the caller is done.  PAIR waiter.called: call(). */
    while (!atomic_load_explicit(&waiter->called, memory_order_acquire)) {
        trp_port_yield();
    }
}

/* There is nobody to wait for.  Through an alias that refuses nothing. */
static int end_in_vain(struct trp_context *context, const struct trp_waiter *waiter, int error)
{
    if (waiter->msg == NULL) {
        return error;
    }
    trp_count(&context->counters.sent, 1);
    if (error == TROUPE_EGONE && trp_pid_is_alias(waiter->to)) {
        trp_place_drop(context, waiter->to, waiter->msg, 1);
        return TROUPE_OK;
    }
    trp_count(&context->counters.refused, 1);
    return error;
}

/* ---- threads that wait ---- */

/* Whether it waits for an actor that holds room (lease.h), and so does not wait for other room. */
static bool is_for_holder(struct trp_context *context, const struct trp_stake *stake)
{
    struct troupe_actor *owner =
        stake->edge != 0 ? trp_table_find(&context->runtime->table, stake->owner) : NULL;

    return owner != NULL && trp_pressure_is_holder(owner);
}

int trp_line_sleep(struct troupe_runtime *runtime, const struct trp_stake *stake, troupe_pid to,
    struct troupe_message *msg, int wait_ms)
{
    uint64_t until_ns = wait_ms == TROUPE_FOREVER
                            ? TRP_EVENT_FOREVER
                            : trp_port_now_ns() + (uint64_t)wait_ms * 1000000U;
    struct sleeper sleeper;

    trp_event_init(&sleeper.event);
    init_waiter(&sleeper.waiter, NULL, to, msg, stake);
    for (;;) {
        uint32_t value = trp_event_value(&sleeper.event);
        struct trp_visit visit;
        int error = trp_context_enter(runtime, &visit);

        if (error < 0) {
            return error;
        }
        if (sleeper.waiter.at == TROUPE_NOBODY) {
            sleeper.waiter.at = receiver_of(runtime, to);
        }
        if (!sleeper.waiter.registered && is_for_holder(visit.context, stake)) {
            trp_context_leave(&visit);
            return TROUPE_EFULL;
        }
        error = try_to_enter(visit.context, &sleeper.waiter);
        if (error == TROUPE_EFULL && until_ns != TRP_EVENT_FOREVER &&
            trp_port_now_ns() >= until_ns) {
            error = give_up(visit.context, &sleeper.waiter);
        }
        if (error < 0 && error != TROUPE_EFULL) {
            error = end_in_vain(visit.context, &sleeper.waiter, error);
        }
        trp_context_leave(&visit);
        if (error != TROUPE_EFULL) {
            if (sleeper.waiter.registered) {
                outlive_caller(&sleeper.waiter);
            }
            return error;
        }
        trp_event_wait(&sleeper.event, value, until_ns);
    }
}

/* ---- fibers that wait ---- */

void trp_line_begin(struct troupe_actor *self, struct trp_waiter *waiter, troupe_pid to,
    struct troupe_message *msg, uint64_t edge)
{
    struct trp_stake stake = {.owner = trp_actor_pid(self), .edge = edge};

    init_waiter(waiter, self, to, msg, &stake);
    waiter->at = receiver_of(self->runtime, to);
    trp_place_let_go(msg, msg->sender);
    trp_fiber_here(self)->waiter = waiter;
}

void trp_line_begin_lease(
    struct troupe_actor *self, struct trp_waiter *waiter, struct trp_timer *lease, uint64_t edge)
{
    struct trp_stake stake = {.owner = trp_actor_pid(self), .edge = edge};
    const struct trp_leased *wanted = &lease->leased;

    init_waiter(waiter, self, wanted->to, NULL, &stake);
    waiter->at = wanted->to;
    waiter->lease = lease;
    waiter->places = wanted->count;
    waiter->bytes = wanted->count * wanted->place_bytes;
    trp_fiber_here(self)->waiter = waiter;
}

/* Its message is sent, or its own again. */
static int end_wait(struct troupe_actor *self, struct trp_waiter *waiter, int error)
{
    if (waiter->registered) {
        outlive_caller(waiter);
    }
    trp_fiber_here(self)->waiter = NULL;
    if (error < 0) {
        error = end_in_vain(trp_context_of(self), waiter, error);
    }
    if (error < 0 && waiter->msg != NULL) {
        trp_place_take_back(self->runtime, self, waiter->msg);
    }
    return error;
}

/* Whether there is something to try: it is new, or it was called. */
static bool has_a_turn(const struct trp_waiter *waiter)
{
    /* acquire: if the actor has ended, its pid is gone.  PAIR waiter.called: call(). */
    return !waiter->registered || atomic_load_explicit(&waiter->called, memory_order_acquire);
}

int trp_line_go_on(struct troupe_actor *self, struct trp_waiter *waiter, bool last)
{
    struct trp_context *context = trp_context_of(self);
    int error = has_a_turn(waiter) ? try_to_enter(context, waiter) : TROUPE_EFULL;

    if (error == TROUPE_EFULL && last) {
        error = give_up(context, waiter);
    }
    return error == TROUPE_EFULL ? error : end_wait(self, waiter, error);
}

void trp_line_abandon(struct trp_context *context, struct trp_fiber *fiber)
{
    struct trp_waiter *waiter = fiber->waiter;

    fiber->waiter = NULL;
    if (waiter->registered) {
        (void)give_up(context, waiter);
    }
    if (waiter->registered) {
        outlive_caller(waiter);
    }
    if (waiter->msg != NULL) {
        trp_message_dispose(context, waiter->msg, TROUPE_EDIED);
    } else {
        trp_timer_free(context, waiter->lease);
    }
}
