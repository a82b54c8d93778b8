/* SPDX-License-Identifier: MIT */
/*
 * admit.c - the way into a mailbox: room, marks, weights and stamps.  See admit.h.
 */
#include "admit.h"

#include "callout.h"
#include "core.h"
#include "overload.h"
#include "runtime.h"
#include "shelf.h"
#include "stamp.h"

/* ---- the mark of a long queue ---- */

static void report_queue(
    struct troupe_actor *actor, enum troupe_report_kind kind, uint64_t length, const char *what)
{
    struct troupe_report event = {.kind = kind,
        .pid = trp_actor_pid(actor),
        .actor = actor->behaviour->name,
        .count = length};

    trp_report_event(
        actor->runtime, &event, "has %llu messages queued%s", (unsigned long long)length, what);
}

/* SHORT -> PASSED -> LONG, if we are the first. */
static void pass_mark(struct troupe_actor *actor)
{
    uint64_t capacity = trp_actor_capacity(actor->behaviour);
    uint64_t length = trp_admit_length(actor);

    /* The reader may have made room while we looked. */
    if (length <= actor->runtime->options.queue_high) {
        return;
    }
    /* acquire: the mark that the reader has put back.  PAIR send.mark: fall_below(). */
    if (atomic_fetch_or_explicit(&actor->waiting, TRP_WAITING_PASSED, memory_order_acquire) &
        TRP_WAITING_PASSED) {
        return;
    }
    report_queue(actor, TROUPE_REPORT_QUEUE_LONG, length, "");
    /* relaxed: until LONG only we write it. */
    atomic_store_explicit(&actor->charge.cap, capacity, memory_order_relaxed);
    /* release: the mark.  PAIR send.mark: trp_admit_made_room(). */
    atomic_fetch_or_explicit(&actor->waiting, TRP_WAITING_LONG, memory_order_release);
}

void trp_admit_fall_below(struct troupe_actor *actor)
{
    const struct troupe_runtime *runtime = actor->runtime;
    uint64_t length = trp_admit_length(actor);

    if (length > runtime->options.queue_low) {
        return;
    }
    /* relaxed: since LONG only we write it. */
    atomic_store_explicit(&actor->charge.cap,
        trp_actor_mark(actor, trp_actor_capacity(actor->behaviour)), memory_order_relaxed);
    report_queue(actor, TROUPE_REPORT_QUEUE_SHORT, length, " and no more");
    /* release: the mark.  PAIR send.mark: pass_mark(). */
    atomic_fetch_and_explicit(
        &actor->waiting, ~(TRP_WAITING_PASSED | TRP_WAITING_LONG), memory_order_release);
}

/* Whether there is a mark below the capacity, now. */
static bool has_mark(const struct troupe_actor *actor)
{
    return trp_charge_cap(&actor->charge) < trp_actor_capacity(actor->behaviour);
}

/* There was no room below the mark: takes it above.  `waited`: the caller is the waiter whose turn it is, has the lock, and
 * tells of it without. */
static TRP_NOINLINE int admit_above(
    struct troupe_actor *actor, uint32_t count, uint64_t bytes, bool waited)
{
    int error = TROUPE_EFULL;

    if (has_mark(actor)) {
        error = trp_charge_take_within(
            &actor->charge, trp_actor_capacity(actor->behaviour), count, bytes);
    }
    if (error == TROUPE_OK && !waited) {
        pass_mark(actor);
    }
    return error;
}

/* More than what may be queued without a look, or even than the mailbox takes. */
static TRP_NOINLINE int admit_large(
    struct troupe_actor *actor, uint32_t count, uint64_t bytes, bool waited)
{
    uint64_t capacity = trp_actor_capacity(actor->behaviour);

    if (bytes > (capacity & TRP_CHARGE_BYTES)) {
        return TROUPE_EMSGSIZE;
    }
    if (count > capacity >> 40) {
        return TROUPE_EFULL;
    }
    return admit_above(actor, count, bytes, waited);
}

int trp_admit(struct troupe_actor *actor, uint32_t count, uint64_t bytes, bool waited)
{
    uint64_t cap = trp_charge_cap(&actor->charge);

    if (trp_unlikely(count > cap >> 40 || bytes > (cap & TRP_CHARGE_BYTES))) {
        return admit_large(actor, count, bytes, waited);
    }
    if (!waited && trp_fault(TRP_FAULT_FULL)) {
        return TROUPE_EFULL;
    }
    if (trp_likely(trp_charge_take_within(&actor->charge, cap, count, bytes) == TROUPE_OK)) {
        return TROUPE_OK;
    }
    return admit_above(actor, count, bytes, waited);
}

struct trp_shelf *trp_admit_shelf(struct troupe_actor *actor)
{
    return (trp_admit_waiting(actor) & TRP_WAITING_CARE) != 0 ? trp_actor_overload(actor)->shelf
                                                              : NULL;
}

bool trp_admit_is_displacing(struct troupe_actor *actor)
{
    return trp_admit_shelf(actor) != NULL && trp_overload_displaces(actor->behaviour->overload);
}

uint32_t trp_admit_lane(const struct troupe_actor *actor, const struct troupe_message *msg)
{
    const struct troupe_overload *overload = actor->behaviour->overload;
    uint32_t lane = 0;

    if (overload != NULL && overload->lane != NULL) {
        trp_callouts++;
        lane = overload->lane(msg);
        trp_callouts--;
    }
    return lane;
}

bool trp_admit_bears(
    struct troupe_actor *actor, troupe_pid sender, uint32_t lane, uint32_t count, uint64_t bytes)
{
    return !trp_shelf_has_share(trp_admit_shelf(actor), sender, lane, count, bytes);
}

static bool is_stamping(struct troupe_actor *actor)
{
    return (trp_admit_waiting(actor) & TRP_WAITING_CARE) != 0 && trp_admit_shelf(actor) == NULL;
}

uint64_t trp_admit_weigh(struct troupe_actor *actor, struct troupe_message *first, uint32_t count)
{
    bool stamping = actor != NULL && is_stamping(actor);
    struct troupe_message *msg = first;
    uint64_t bytes = 0;

    for (;;) {
        bytes += stamping ? trp_stamp_weight(msg) : trp_message_weight(msg);
        if (--count == 0) {
            return bytes;
        }
        /* relaxed: the chain is ours. */
        msg = trp_message_of(atomic_load_explicit(&msg->node.next, memory_order_relaxed));
    }
}

void trp_admit_stamp(struct trp_context *context, struct troupe_actor *actor,
    struct troupe_message **first, struct troupe_message **last, uint32_t count)
{
    uint32_t now_ms;

    if (!is_stamping(actor)) {
        return;
    }
    now_ms = trp_stamp_ms(trp_port_now_ns());
    trp_stamp_chain(&context->pool, &actor->charge, now_ms, first, last, count);
    if (trp_mailbox_is_parked(&actor->mailbox)) {
        /* relaxed: a number.  Nothing is queued that is older. */
        atomic_store_explicit(&trp_actor_overload(actor)->since_ms, now_ms, memory_order_relaxed);
    }
}

int trp_admit_with_care(struct troupe_actor *actor, struct troupe_message *first, uint32_t count)
{
    uint64_t bytes = trp_admit_weigh(actor, first, count);

    if (bytes > (trp_actor_capacity(actor->behaviour) & TRP_CHARGE_BYTES)) {
        return TROUPE_EMSGSIZE;
    }
    if (trp_unlikely(trp_admit_is_shared(actor))) {
        /* Nobody barges who has less than its share: it is handled in its turn, whoever waits. */
        return trp_admit_bears(actor, first->sender, trp_admit_lane(actor, first), count, bytes)
                   ? trp_admit(actor, count, bytes, false)
                   : TROUPE_EFULL;
    }
    return trp_actor_waiters(trp_admit_waiting(actor)) == 0 ? trp_admit(actor, count, bytes, false)
                                                            : TROUPE_EFULL;
}

/* ---- room for what is yet to come ---- */

uint64_t trp_admit_weigh_most(size_t size)
{
    size_t whole = trp_message_head(TRP_MESSAGE_EXTENDED) + size;

    if (whole <= TRP_POOL_BLOCK_MAX) {
        return trp_pool_size(trp_pool_class(whole));
    }
    /* Without an extension it may fit the largest block still. */
    return size + 64 > TRP_POOL_BLOCK_MAX ? size + 64 : TRP_POOL_BLOCK_MAX;
}

int trp_admit_lease(struct troupe_actor *actor, struct trp_holding *holding, uint32_t count,
    uint64_t bytes, bool waited)
{
    uint64_t capacity = trp_actor_capacity(actor->behaviour);

    if (count > capacity >> 40 || bytes > (capacity & TRP_CHARGE_BYTES)) {
        return TROUPE_EMSGSIZE;
    }
    if (!waited &&
        (trp_actor_waiters(trp_admit_waiting(actor)) != 0 || trp_fault(TRP_FAULT_FULL))) {
        return TROUPE_EFULL;
    }
    /* The mark of a long queue says nothing of it: nothing is queued. */
    TROUPE_TRY(trp_charge_take_within(&actor->charge, capacity, count, bytes));
    /* relaxed: a number, of what the charge decides. */
    atomic_fetch_add_explicit(
        &holding->leased, TRP_CHARGE_ONE * count + bytes, memory_order_relaxed);
    return TROUPE_OK;
}

bool trp_admit_use(
    struct troupe_actor *actor, struct trp_holding *holding, uint64_t place_bytes, uint64_t bytes)
{
    trp_assert(bytes <= place_bytes);
    /* relaxed: a number. */
    atomic_fetch_sub_explicit(&holding->leased, TRP_CHARGE_ONE + place_bytes, memory_order_relaxed);
    if (bytes == place_bytes) {
        return false;
    }
    trp_charge_take_back(&actor->charge, 0, place_bytes - bytes);
    return true;
}

void trp_admit_give_up(
    struct troupe_actor *actor, struct trp_holding *holding, uint32_t count, uint64_t bytes)
{
    /* relaxed: a number. */
    atomic_fetch_sub_explicit(
        &holding->leased, TRP_CHARGE_ONE * count + bytes, memory_order_relaxed);
    trp_charge_take_back(&actor->charge, count, bytes);
}

void trp_admit_tell(struct troupe_actor *actor)
{
    if (has_mark(actor)) {
        pass_mark(actor);
    }
}

/* Whether half of what is not leased is free.  What is leased may be given back just now. */
static bool is_half_free(uint64_t capacity, uint64_t queued, uint64_t leased)
{
    return trp_admit_less(capacity, queued) >= (trp_admit_less(capacity, leased) + 1) / 2;
}

bool trp_admit_is_half_empty(struct troupe_actor *actor)
{
    uint64_t leased = trp_admit_leased(trp_pressure_holding(actor));
    uint64_t queued = trp_charge_queued(&actor->charge);
    uint64_t capacity = trp_actor_capacity(actor->behaviour);

    return is_half_free(capacity >> 40, queued >> 40, leased >> 40) &&
           is_half_free(
               capacity & TRP_CHARGE_BYTES, queued & TRP_CHARGE_BYTES, leased & TRP_CHARGE_BYTES);
}
