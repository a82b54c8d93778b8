/* SPDX-License-Identifier: MIT */
/*
 * send.c - a message's way in: find the actor, admit, push, queue its run slot, wake a worker.
 *
 * Foreign threads and fibers may wait for room, in one line.  A waiter registers (extra->waiters, and the count `waiting`
 * beside the charge), looks once more, and sleeps.  While somebody waits, whoever does not is refused, so nobody barges.
 * The reader, when it has given room back and sees `waiting`, wakes the first; that one takes its room, and wakes the
 * next if there is more.  No wake-up is lost: a waiter registers, meets the reader (trp_mailbox_meet()), then looks at
 * the room; the reader gives room, parks, then reads `waiting`.  Whoever is second at the mailbox's tail knows what
 * the first did.
 *
 * With the option `queue_high` a mailbox has a mark: `charge.cap` is no more than that, so the sender that would pass it is
 * refused at first, looks, and takes its room within the capacity.
 *
 *               first to pass               mark is raised, and it was told
 *     SHORT ------------------> PASSED --------------------------------------> LONG
 *       ^                                                                        |
 *       +------------------------------------------------------------------------+
 *                 the reader has made room down to queue_low
 *
 * The first sender to set PASSED tells of it, raises the mark to the capacity, and sets LONG; then it pushes, so the
 * reader will run.  It alone acts on LONG.  So each is told once, in turn, and nobody takes a lock.
 *
 * An alias (lib/alias.c) names no actor, so it is found where looking for one has failed: what is sent to a pid pays nothing
 * for it.  What comes through one is admitted and pushed under the lock of its owner's extra block.
 */
#include "send.h"

#include <string.h>

#include <troupe/mailbox.h>

#include "callout.h"
#include "core.h"
#include "fiber.h"
#include "letter.h"
#include "overload.h"
#include "priority.h"
#include "runtime.h"
#include "seam.h"
#include "shelf.h"
#include "stamp.h"
#include "worker.h"

/* ---- the one way in ---- */

/* Places a chain that was admitted, or is reserved. */
static void place(struct trp_context *context, struct troupe_actor *actor,
    struct troupe_message *first, struct troupe_message *last)
{
    if (trp_mailbox_push(&actor->mailbox, &first->node, &last->node)) {
        trp_switch();
        trp_worker_schedule(context, actor);
    }
}

void trp_send_reserved(
    struct trp_context *context, struct troupe_actor *actor, struct troupe_message *msg)
{
    trp_count(&context->counters.sent, 1);
    place(context, actor, msg, msg);
}

bool trp_send_first(struct trp_context *context, struct troupe_actor *actor,
    struct troupe_message *msg, uint32_t signals)
{
    struct trp_extra *extra = trp_actor_extra(actor);
    bool placed;

    trp_lock_take(&extra->lock);
    placed = !extra->shut;
    if (placed) {
        trp_priority_push(extra, msg, 1);
    }
    trp_lock_give(&extra->lock);
    if (placed) {
        trp_count(&context->counters.sent, 1);
        trp_actor_signal(context, actor, TRP_SIGNAL_PRIORITY | signals);
    }
    return placed;
}

static void mark_charged(struct troupe_message *first, uint32_t count)
{
    struct troupe_message *msg = first;

    for (;;) {
        msg->flags |= TRP_MESSAGE_CHARGED;
        if (--count == 0) {
            return;
        }
        /* relaxed: the chain is ours until it is pushed. */
        msg = trp_message_of(atomic_load_explicit(&msg->node.next, memory_order_relaxed));
    }
}

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

static uint64_t length_of(const struct troupe_actor *actor)
{
    return trp_charge_queued(&actor->charge) >> 40;
}

/* SHORT -> PASSED -> LONG, if we are the first. */
static void pass_mark(struct troupe_actor *actor)
{
    uint64_t capacity = trp_actor_capacity(actor->behaviour);
    uint64_t length = length_of(actor);

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
    /* release: the mark.  PAIR send.mark: trp_send_made_room(). */
    atomic_fetch_or_explicit(&actor->waiting, TRP_WAITING_LONG, memory_order_release);
}

/* LONG -> SHORT.  The reader. */
static void fall_below(struct troupe_actor *actor)
{
    const struct troupe_runtime *runtime = actor->runtime;
    uint64_t length = length_of(actor);

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

/* Our charge was taken back.  It may be what the first waiter was refused for, or what made the mailbox look full to the reader
 * when it parked: if somebody waits, looks for both. */
static void look_again(struct trp_context *context, struct troupe_actor *actor)
{
    /* seq_cst: after the charge was taken back.  PAIR actor.waiting. */
    if (trp_actor_waiters(atomic_load_explicit(&actor->waiting, memory_order_seq_cst)) != 0) {
        /* The reader parks, then looks at the charge; we took it back, and meet it.  One of the two sees the other. */
        trp_send_admit(context, actor, trp_mailbox_meet(&actor->mailbox));
    }
}

/* There was no room below the mark: takes it above.  `waited`: the caller is the waiter whose turn it is, has the lock, and
 * tells of it without. */
static TRP_NOINLINE int admit_above(struct trp_context *context, struct troupe_actor *actor,
    uint32_t count, uint64_t bytes, bool waited)
{
    int error = TROUPE_EFULL;

    if (has_mark(actor)) {
        error = trp_charge_take_within(
            &actor->charge, trp_actor_capacity(actor->behaviour), count, bytes);
    }
    if (error == TROUPE_OK && !waited) {
        pass_mark(actor);
    }
    if (error < 0 && !waited) {
        look_again(context, actor);
    }
    return error;
}

/* More than what may be queued without a look, or even than the mailbox takes. */
static TRP_NOINLINE int admit_large(struct trp_context *context, struct troupe_actor *actor,
    uint32_t count, uint64_t bytes, bool waited)
{
    uint64_t capacity = trp_actor_capacity(actor->behaviour);

    if (bytes > (capacity & TRP_CHARGE_BYTES)) {
        return TROUPE_EMSGSIZE;
    }
    if (count > capacity >> 40) {
        return TROUPE_EFULL;
    }
    return admit_above(context, actor, count, bytes, waited);
}

/* Admits `count` messages of `bytes`; whether others wait has been looked at, or the caller is the waiter whose turn it is,
 * `waited`. */
static int admit(struct trp_context *context, struct troupe_actor *actor, uint32_t count,
    uint64_t bytes, bool waited)
{
    uint64_t cap = trp_charge_cap(&actor->charge);

    if (trp_unlikely(count > cap >> 40 || bytes > (cap & TRP_CHARGE_BYTES))) {
        return admit_large(context, actor, count, bytes, waited);
    }
    if (!waited && trp_fault(TRP_FAULT_FULL)) {
        return TROUPE_EFULL;
    }
    if (trp_likely(trp_charge_take_within(&actor->charge, cap, count, bytes) == TROUPE_OK)) {
        return TROUPE_OK;
    }
    return admit_above(context, actor, count, bytes, waited);
}

/* relaxed: a waiter that comes just now may be overtaken once; the bits of the spawn stand. */
static uint32_t waiting_at(const struct troupe_actor *actor)
{
    return atomic_load_explicit(&actor->waiting, memory_order_relaxed);
}

/* Where its messages stand, if it is on a shelf; or NULL. */
static struct trp_shelf *shelf_of(struct troupe_actor *actor)
{
    return (waiting_at(actor) & TRP_WAITING_CARE) != 0 ? trp_actor_overload(actor)->shelf : NULL;
}

/* Whether it has its room on its shelf, and makes some by taking messages out again. */
static bool is_displacing(struct troupe_actor *actor)
{
    return shelf_of(actor) != NULL && trp_overload_displaces(actor->behaviour->overload);
}

/* Whether its senders take turns, and have each a share of its room. */
static bool is_shared(const struct troupe_actor *actor)
{
    const struct troupe_overload *overload = actor->behaviour->overload;

    return overload != NULL && overload->by_sender;
}

static bool is_stamping(struct troupe_actor *actor)
{
    return (waiting_at(actor) & TRP_WAITING_CARE) != 0 && shelf_of(actor) == NULL;
}

/* What a chain will weigh in this mailbox. */
static uint64_t weigh(struct troupe_actor *actor, struct troupe_message *first, uint32_t count)
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

/* Admitted messages get their stamps, if they are to have any. */
static void stamp(struct trp_context *context, struct troupe_actor *actor,
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

/* Somebody waits for room there, or what is sent is to be stamped, or stands on a shelf. */
static bool wants_care(const struct troupe_actor *actor)
{
    return (waiting_at(actor) & (TRP_WAITING_COUNT | TRP_WAITING_CARE)) != 0;
}

/* The lane of its mailbox that a message belongs into.  Under no lock: a function of the user's says so. */
static uint32_t lane_of(const struct troupe_actor *actor, const struct troupe_message *msg)
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

/* Whether a mailbox whose senders have shares bears so much more of this one. */
static bool bears(
    struct troupe_actor *actor, troupe_pid sender, uint32_t lane, uint32_t count, uint64_t bytes)
{
    return !trp_shelf_has_share(shelf_of(actor), sender, lane, count, bytes);
}

static TRP_NOINLINE int admit_with_care(struct trp_context *context, struct troupe_actor *actor,
    struct troupe_message *first, uint32_t count)
{
    uint64_t bytes = weigh(actor, first, count);

    if (bytes > (trp_actor_capacity(actor->behaviour) & TRP_CHARGE_BYTES)) {
        return TROUPE_EMSGSIZE;
    }
    if (trp_unlikely(is_shared(actor))) {
        /* Nobody barges who has less than its share: it is handled in its turn, whoever waits. */
        return bears(actor, first->sender, lane_of(actor, first), count, bytes)
                   ? admit(context, actor, count, bytes, false)
                   : TROUPE_EFULL;
    }
    return trp_actor_waiters(waiting_at(actor)) == 0 ? admit(context, actor, count, bytes, false)
                                                     : TROUPE_EFULL;
}

/* Admits what a policy has made, up to so many messages above the capacity, within its bytes.  Where a policy makes
 * something nobody waits. */
static int admit_into_margin(
    struct troupe_actor *actor, uint32_t margin, uint32_t count, uint64_t bytes)
{
    uint64_t cap = trp_actor_capacity(actor->behaviour) + TRP_CHARGE_ONE * margin;

    return trp_charge_take_within(&actor->charge, cap, count, bytes);
}

/* ---- requests on whose answer somebody waits ---- */

/* One is about to be placed at `actor`: whoever waits for its answer waits for that one from here on.  `out_asker`: under a
 * lock, where a ring is not reported; whose it is, then.  Or NULL.  TROUPE_EDEADLK: that would close a ring. */
static TRP_NOINLINE int point_edge(struct trp_context *context, struct troupe_actor *actor,
    const struct troupe_message *request, uint64_t edge, troupe_pid *out_asker)
{
    struct troupe_actor *asker = trp_table_find(&context->runtime->table, request->sender);
    struct trp_aim receiver = {.to = trp_actor_pid(actor)};
    bool ring = false;
    int error;

    if (asker == NULL) {
        return TROUPE_OK;
    }
    if (out_asker == NULL) {
        return trp_pressure_wait(context, asker, edge, &receiver);
    }
    error = trp_pressure_wait_quietly(context, asker, edge, &receiver, &ring);
    *out_asker = ring ? request->sender : TROUPE_NOBODY;
    return error;
}

/* One that nobody waits for, but which carries a permit, has no edge. */
static inline uint64_t edge_of(const struct troupe_message *msg)
{
    return msg->flags & TRP_MESSAGE_REQUEST ? trp_send_edge(msg) : 0;
}

/* It was admitted: if it is refused now its room was given back. */
static inline int point(struct trp_context *context, struct troupe_actor *actor,
    const struct troupe_message *request, troupe_pid *out_asker)
{
    uint64_t edge = edge_of(request);
    int error;

    if (trp_likely(edge == 0)) {
        return TROUPE_OK;
    }
    error = point_edge(context, actor, request, edge, out_asker);
    if (error < 0) {
        trp_charge_take_back(&actor->charge, 1, trp_message_weight(request));
    }
    return error;
}

/* The same of any message. */
static inline int point_request(struct trp_context *context, struct troupe_actor *actor,
    const struct troupe_message *msg, troupe_pid *out_asker)
{
    return trp_unlikely(msg->kind == TRP_MESSAGE_QUESTION) ? point(context, actor, msg, out_asker)
                                                           : TROUPE_OK;
}

/* The lock was given back. */
static void report_ring(struct trp_context *context, troupe_pid asker)
{
    struct troupe_actor *actor =
        asker != TROUPE_NOBODY ? trp_table_find(&context->runtime->table, asker) : NULL;

    if (actor != NULL) {
        trp_pressure_report(context, actor);
    }
}

/* It was pointed elsewhere, and is refused: whoever tried to send it has it still, and runs.  If it is that one's own its record is
 * about to be closed. */
static TRP_NOINLINE void point_back(
    struct trp_context *context, const struct troupe_message *request)
{
    uint64_t edge = edge_of(request);
    struct troupe_actor *asker =
        edge != 0 ? trp_table_find(&context->runtime->table, request->sender) : NULL;
    struct trp_aim here;

    if (asker == NULL || asker == context->current) {
        return;
    }
    if (context->current == NULL) {
        /* A foreign thread, which nobody follows. */
        trp_pressure_rest(asker, edge);
        return;
    }
    here = (struct trp_aim){.to = trp_actor_pid(context->current)};
    /* It does not wait, so no ring is closed. */
    if (trp_pressure_wait(context, asker, edge, &here) < 0) {
        trp_pressure_rest(asker, edge);
    }
}

/* One in a batch goes where nobody follows it. */
static TRP_NOINLINE void lose_sight(struct trp_context *context, const struct troupe_message *msg)
{
    uint64_t edge = edge_of(msg);
    struct troupe_actor *asker =
        edge != 0 ? trp_table_find(&context->runtime->table, msg->sender) : NULL;

    if (asker != NULL) {
        trp_pressure_rest(asker, edge);
    }
}

/* ---- through an alias ---- */

/* Chains that lead to nobody end here. */
static void drop(
    struct trp_context *context, troupe_pid to, struct troupe_message *first, uint32_t count)
{
    struct troupe_message *msg = first;

    while (count-- > 0) {
        /* relaxed: the chain is ours.  Of the last one it is no message. */
        struct trp_node *next = atomic_load_explicit(&msg->node.next, memory_order_relaxed);

        trp_letter_lost(context, to, msg);
        trp_message_count_dropped(context, msg);
        trp_message_dispose(context, msg, TROUPE_EGONE);
        msg = trp_message_of(next);
    }
}

/* What is sent through an alias, or by somebody who waited for room. */
struct parcel {
    troupe_pid to;
    struct troupe_message *first;
    uint32_t count;
    uint64_t bytes;
    bool waited;     /* by a waiter whose turn it is */
    uint32_t margin; /* by a policy that has made it: so much above the capacity; or 0 */
    uint32_t lane;   /* by a waiter: where it will stand */
    struct trp_passage passage;
    bool scheduled;    /* we own the token: it is to be queued */
    bool signalled;    /* it is to be told that something goes before its queue */
    troupe_pid ringed; /* whose wait closes a ring, which is to be reported; or TROUPE_NOBODY */
};

/* The last one of `count`. */
static struct troupe_message *last_of(struct troupe_message *first, uint32_t count)
{
    struct troupe_message *msg = first;

    while (--count > 0) {
        /* relaxed: the chain is ours. */
        msg = trp_message_of(atomic_load_explicit(&msg->node.next, memory_order_relaxed));
    }
    return msg;
}

/* Under lock, so that whoever ends an alias knows that nothing comes through it from then on.  TROUPE_EGONE: it leads to
 * nobody.  Of one that ends with the first message only that one is placed, and `count` becomes 1. */
static int pass(struct trp_context *context, struct troupe_actor *actor, struct trp_extra *extra,
    struct parcel *parcel)
{
    bool batch = parcel->count > 1;
    struct troupe_message *last;

    if (extra->shut || !trp_hooks.find_alias(extra, parcel->to, &parcel->passage)) {
        return TROUPE_EGONE;
    }
    if (parcel->passage.once) {
        parcel->count = 1;
    }
    /* relaxed: as in admit(), which calls nobody while we have the lock. */
    if (!parcel->waited &&
        trp_actor_waiters(atomic_load_explicit(&actor->waiting, memory_order_relaxed)) != 0) {
        return TROUPE_EFULL;
    }
    parcel->bytes = weigh(actor, parcel->first, parcel->count);
    TROUPE_TRY(parcel->margin > 0
                   ? admit_into_margin(actor, parcel->margin, parcel->count, parcel->bytes)
                   : admit(context, actor, parcel->count, parcel->bytes, true));
    if (!batch) {
        TROUPE_TRY(point_request(context, actor, parcel->first, &parcel->ringed));
    }
    last = last_of(parcel->first, parcel->count);
    stamp(context, actor, &parcel->first, &last, parcel->count);
    mark_charged(parcel->first, parcel->count);
    if (parcel->passage.priority) {
        trp_priority_push(extra, parcel->first, parcel->count);
        parcel->signalled = true;
    } else {
        parcel->scheduled = trp_mailbox_push(&actor->mailbox, &parcel->first->node, &last->node);
    }
    if (parcel->passage.once) {
        trp_hooks.spend_alias(extra, &parcel->passage);
    }
    return TROUPE_OK;
}

/* What follows when the lock was given back. */
static void follow(
    struct trp_context *context, struct troupe_actor *actor, const struct parcel *parcel)
{
    if (parcel->scheduled) {
        trp_worker_schedule(context, actor);
    } else if (parcel->signalled) {
        trp_actor_signal(context, actor, TRP_SIGNAL_PRIORITY);
    }
    if (parcel->passage.once) {
        trp_hooks.follow_alias(context, &parcel->passage);
    }
}

static int send_through(struct trp_context *context, troupe_pid alias, struct troupe_message *first,
    uint32_t count, uint64_t bytes, uint32_t margin)
{
    struct troupe_actor *actor = trp_table_owner(&context->runtime->table, alias);
    struct trp_extra *extra = actor != NULL ? trp_actor_extra(actor) : NULL;
    struct parcel parcel = {
        .to = alias, .first = first, .count = count, .bytes = bytes, .margin = margin};
    struct troupe_message *behind = NULL;
    int error = TROUPE_EGONE;

    if (extra != NULL) {
        if (count > 1) {
            /* relaxed: the chain is ours. */
            behind = trp_message_of(atomic_load_explicit(&first->node.next, memory_order_relaxed));
        }
        trp_lock_take(&extra->lock);
        error = pass(context, actor, extra, &parcel);
        trp_lock_give(&extra->lock);
        report_ring(context, parcel.ringed);
    }
    if (error == TROUPE_OK) {
        /* The reader may be through with it by now: then it tells that the queue is short when it has handled the next one. */
        if (has_mark(actor)) {
            pass_mark(actor);
        }
        follow(context, actor, &parcel);
        drop(context, alias, behind, count - parcel.count);
    } else if (error == TROUPE_EGONE) {
        drop(context, alias, first, count);
        error = TROUPE_OK;
    } else {
        /* Instead of admit(), which had no right to call anybody. */
        look_again(context, actor);
    }
    return error;
}

/* No actor has this pid. */
static TRP_NOINLINE int send_elsewhere(struct trp_context *context, troupe_pid to,
    struct troupe_message *first, uint32_t count, uint64_t bytes, uint32_t margin)
{
    return trp_pid_is_alias(to) ? send_through(context, to, first, count, bytes, margin)
                                : TROUPE_EGONE;
}

/* ---- the way in for what is charged ---- */

/* What they weigh is added up anew: whoever finds room need not keep it in mind. */
static TRP_NOINLINE int refused(struct trp_context *context, troupe_pid to,
    struct troupe_message *first, struct troupe_message *last, uint32_t count, int error)
{
    struct trp_refused all = {to, first, last, count, weigh(NULL, first, count)};

    if (error == TROUPE_EFULL && context->worker != NULL) {
        /* Who found no room ends its slice after this message: the reader gets the processor, and makes room. */
        context->worker->limit = 0;
    }
    if (error == TROUPE_EFULL) {
        error = trp_overload_act(context, &all);
    }
    if (error < 0) {
        trp_count(&context->counters.refused, count);
    }
    return error;
}

/* ---- onto a shelf ---- */

static void shed_all(struct trp_context *context, struct troupe_actor *actor,
    struct trp_chain *chain, enum troupe_shed kind)
{
    struct troupe_message *msg;

    while ((msg = trp_chain_pop(chain)) != NULL) {
        trp_letter_shed(context, actor, msg, kind);
    }
}

static uint64_t key_of(const struct troupe_actor *actor, const struct troupe_message *msg)
{
    const struct troupe_overload *overload = actor->behaviour->overload;
    uint64_t key = 0;

    if (overload->key != NULL) {
        trp_callouts++;
        key = overload->key(msg);
        trp_callouts--;
    }
    return key;
}

static int shelve_one(struct trp_context *context, struct troupe_actor *actor,
    struct trp_shelf *shelf, struct troupe_message *msg)
{
    struct trp_lanes_item item = {msg, key_of(actor, msg), lane_of(actor, msg)};
    struct trp_shelved shelved;

    TROUPE_TRY(trp_shelf_put(shelf, &item, &shelved));
    if (shelved.ticket != NULL) {
        trp_send_reserved(context, actor, shelved.ticket);
    }
    shed_all(context, actor, &shelved.displaced.conflated, TROUPE_SHED_CONFLATED);
    shed_all(context, actor, &shelved.displaced.oldest, TROUPE_SHED_OLDEST);
    return TROUPE_OK;
}

/* One by one.  Returns how many of them; the actor ended before the next one, *out_next. */
static uint32_t shelve_all(struct trp_context *context, struct troupe_actor *actor,
    struct troupe_message *first, uint32_t count, struct troupe_message **out_next)
{
    struct troupe_message *msg = first;

    for (uint32_t i = 0; i < count; i++) {
        /* relaxed: the chain is ours.  Of the last one it is no message. */
        struct trp_node *next = atomic_load_explicit(&msg->node.next, memory_order_relaxed);

        if (shelve_one(context, actor, shelf_of(actor), msg) < 0) {
            *out_next = msg;
            return i;
        }
        msg = trp_message_of(next);
    }
    return count;
}

/* Where there is always room.  TROUPE_EGONE: the actor ended before the first one; what comes after it is lost with those before. */
static int shelve(struct trp_context *context, struct troupe_actor *actor,
    struct troupe_message *first, uint32_t count)
{
    struct troupe_message *next;
    uint32_t shelved;

    if (weigh(NULL, first, count) > (trp_actor_capacity(actor->behaviour) & TRP_CHARGE_BYTES)) {
        return TROUPE_EMSGSIZE;
    }
    shelved = shelve_all(context, actor, first, count, &next);
    if (shelved == 0) {
        return TROUPE_EGONE;
    }
    if (shelved < count) {
        drop(context, trp_actor_pid(actor), next, count - shelved);
    }
    return TROUPE_OK;
}

/* What was admitted and is charged goes where it stands: what comes too late is lost with what was queued. */
static void put_up(struct trp_context *context, struct troupe_actor *actor,
    struct troupe_message *first, struct troupe_message *last, uint32_t count)
{
    troupe_pid to = trp_actor_pid(actor);
    struct troupe_message *next;
    uint32_t shelved;

    if (shelf_of(actor) == NULL) {
        place(context, actor, first, last);
        return;
    }
    shelved = shelve_all(context, actor, first, count, &next);
    if (shelved < count) {
        drop(context, to, next, count - shelved);
    }
}

/* One message that may be a request: pointed first, since it may be answered as soon as it is there. */
static TRP_NOINLINE int shelve_request(
    struct trp_context *context, struct troupe_actor *actor, struct troupe_message *msg)
{
    uint64_t edge = msg->kind == TRP_MESSAGE_QUESTION ? edge_of(msg) : 0;
    int error;

    if (edge != 0) {
        TROUPE_TRY(point_edge(context, actor, msg, edge, NULL));
    }
    error = shelve(context, actor, msg, 1);
    if (error < 0 && edge != 0) {
        point_back(context, msg);
    }
    return error;
}

/* They were admitted. */
static void enter_with_care(struct trp_context *context, struct troupe_actor *actor,
    struct troupe_message *first, struct troupe_message *last, uint32_t count)
{
    stamp(context, actor, &first, &last, count);
    mark_charged(first, count);
    put_up(context, actor, first, last, count);
}

static TRP_NOINLINE int send_with_care(struct trp_context *context, struct troupe_actor *actor,
    struct troupe_message *first, struct troupe_message *last, uint32_t count)
{
    bool displacing = is_displacing(actor);
    int error = displacing ? shelve(context, actor, first, count)
                           : admit_with_care(context, actor, first, count);

    if (error < 0) {
        return refused(context, trp_actor_pid(actor), first, last, count, error);
    }
    if (!displacing) {
        enter_with_care(context, actor, first, last, count);
    }
    return TROUPE_OK;
}

int trp_send_charged(struct trp_context *context, troupe_pid to, struct troupe_message *first,
    struct troupe_message *last, uint32_t count, uint64_t bytes)
{
    struct troupe_actor *actor = trp_table_find(&context->runtime->table, to);
    int error;

    trp_count(&context->counters.sent, count);
    if (trp_unlikely(actor == NULL)) {
        error = send_elsewhere(context, to, first, count, bytes, 0);
        return error < 0 ? refused(context, to, first, last, count, error) : TROUPE_OK;
    }
    if (trp_unlikely(wants_care(actor))) {
        return send_with_care(context, actor, first, last, count);
    }
    error = admit(context, actor, count, bytes, false);
    if (trp_unlikely(error < 0)) {
        return refused(context, trp_actor_pid(actor), first, last, count, error);
    }
    mark_charged(first, count);
    place(context, actor, first, last);
    return TROUPE_OK;
}

int trp_send_again(struct trp_context *context, const struct trp_refused *refused, uint32_t margin)
{
    struct troupe_actor *actor = trp_table_find(&context->runtime->table, refused->to);
    struct troupe_message *first = refused->first;

    if (actor == NULL) {
        return send_elsewhere(context, refused->to, first, refused->count, refused->bytes, margin);
    }
    if (is_displacing(actor)) {
        return refused->count == 1 ? shelve_request(context, actor, first)
                                   : shelve(context, actor, first, refused->count);
    }
    TROUPE_TRY(margin > 0 ? admit_into_margin(
                                actor, margin, refused->count, weigh(actor, first, refused->count))
                          : admit_with_care(context, actor, first, refused->count));
    if (refused->count == 1) {
        int error = point_request(context, actor, first, NULL);

        if (error < 0) {
            look_again(context, actor);
            return error;
        }
    }
    enter_with_care(context, actor, first, refused->last, refused->count);
    return TROUPE_OK;
}

static int point_admitted(
    struct trp_context *context, struct troupe_actor *actor, struct troupe_message *request)
{
    int error = point(context, actor, request, NULL);

    if (error < 0) {
        look_again(context, actor);
    }
    return error;
}

static TRP_NOINLINE int send_request_with_care(
    struct trp_context *context, struct troupe_actor *actor, struct troupe_message *request)
{
    if (is_displacing(actor)) {
        return shelve_request(context, actor, request);
    }
    TROUPE_TRY(admit_with_care(context, actor, request, 1));
    TROUPE_TRY(point_admitted(context, actor, request));
    enter_with_care(context, actor, request, request, 1);
    return TROUPE_OK;
}

static int send_request_plainly(
    struct trp_context *context, struct troupe_actor *actor, struct troupe_message *request)
{
    TROUPE_TRY(admit(context, actor, 1, trp_message_weight(request), false));
    TROUPE_TRY(point_admitted(context, actor, request));
    request->flags |= TRP_MESSAGE_CHARGED;
    place(context, actor, request, request);
    return TROUPE_OK;
}

int trp_send_request(struct trp_context *context, troupe_pid to, struct troupe_message *request)
{
    struct troupe_actor *actor = trp_table_find(&context->runtime->table, to);
    int error;

    trp_count(&context->counters.sent, 1);
    if (trp_unlikely(actor == NULL)) {
        error = send_elsewhere(context, to, request, 1, trp_message_weight(request), 0);
        return error < 0 ? refused(context, to, request, request, 1, error) : TROUPE_OK;
    }
    error = trp_unlikely(wants_care(actor)) ? send_request_with_care(context, actor, request)
                                            : send_request_plainly(context, actor, request);
    if (trp_unlikely(error < 0)) {
        return refused(context, trp_actor_pid(actor), request, request, 1, error);
    }
    return TROUPE_OK;
}

/* One message, request or not. */
static int send_one(struct trp_context *context, troupe_pid to, struct troupe_message *msg)
{
    return trp_unlikely(msg->kind == TRP_MESSAGE_QUESTION)
               ? trp_send_request(context, to, msg)
               : trp_send_charged(context, to, msg, msg, 1, trp_message_weight(msg));
}

/* ---- waiting for room ---- */

/*
 * One waiter, a thread's or a fiber's.  Every arrow is taken under the lock of whom it waits for, so release, time-out,
 * kill and the receiver's end meet there, and one of them comes first:
 *
 *             line_up()                call_first()                  try_as_waiter(): room
 *    OUTSIDE -----------> IN LINE -------------------> CALLED ----------------------------> OUTSIDE, sent
 *                          |   ^                        |  |
 *                          |   +------------------------+  |
 *                          |     line_up(): no room,       |
 *                          |     first in line again       |
 *                          |                               |
 *                          +-------------------------------+--> OUTSIDE, the message is its own again: step_out(), and
 *                             give_up(): time-out, kill         whoever is first now is called
 *
 *    IN LINE ----------------------------> GONE, in no line: its caller is done with it, and nobody else has it
 *             trp_send_release_waiters()
 *
 * IN LINE: in extra->waiters.  CALLED: in no list; extra->waiter_called keeps others from being called.  Both are counted
 * in `waiting`.  One that was called while the actor ends finds no actor, and is GONE as well.
 *
 * A thread sleeps on its event; a fiber's actor is signalled, and looks at `called` again between its last look at its queue
 * and its parking, or when it goes on.  Neither needs memory.
 */

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
        .bytes = trp_message_weight(msg),
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

/* Whether there is room for what it holds, in line, and its sender's share bears it.  If somebody's tentative charge makes it look otherwise, that one looks again. */
static bool fits(struct troupe_actor *actor, const struct trp_waiter *waiter)
{
    uint64_t queued = trp_charge_queued(&actor->charge);
    uint64_t capacity = trp_actor_capacity(actor->behaviour);

    return queued >> 40 < capacity >> 40 &&
           (queued & TRP_CHARGE_BYTES) + waiter->bytes <= (capacity & TRP_CHARGE_BYTES) &&
           (!is_shared(actor) || trp_pid_is_alias(waiter->to) ||
               bears(actor, waiter->sender, waiter->lane, 1, waiter->bytes));
}

/* Under lock.  Calls the first waiter if there is room for it: two that wait in each other's line would wake each other for
 * ever.  It stays counted in `waiting` until it has tried.  One at a time: of two that were called the second might come first. */
static void call_first(
    struct trp_context *context, struct troupe_actor *actor, struct trp_extra *extra)
{
    struct trp_waiter *first = trp_container_of(extra->waiters.next, struct trp_waiter, entry);

    if (!extra->waiter_called && !trp_list_is_empty(&extra->waiters) && fits(actor, first)) {
        trp_list_remove(&first->entry);
        extra->waiter_called = true;
        call(context, first);
    }
}

/* A wake-up costs as much as many messages. */
static bool is_half_empty(const struct troupe_actor *actor)
{
    uint64_t queued = trp_charge_queued(&actor->charge);
    uint64_t capacity = trp_actor_capacity(actor->behaviour);

    return queued >> 40 <= (capacity >> 40) / 2 &&
           (queued & TRP_CHARGE_BYTES) <= (capacity & TRP_CHARGE_BYTES) / 2;
}

void trp_send_admit(struct trp_context *context, struct troupe_actor *actor, bool parked)
{
    struct trp_extra *extra = trp_actor_extra(actor);

    /* Where senders have shares others may keep it more than half full. */
    if (extra == NULL || (!parked && !is_half_empty(actor) && !is_shared(actor))) {
        return;
    }
    /* A waiter that tries just now holds the lock: it is called after it has failed. */
    trp_lock_take(&extra->lock);
    call_first(context, actor, extra);
    trp_lock_give(&extra->lock);
}

void trp_send_made_room(struct trp_context *context, struct troupe_actor *actor, uint64_t given)
{
    /* acquire: the mark that was raised.  PAIR send.mark: pass_mark(). */
    uint32_t waiting = atomic_load_explicit(&actor->waiting, memory_order_acquire);

    if (trp_actor_waiters(waiting) != 0) {
        trp_send_admit(context, actor, false);
    }
    if (waiting & TRP_WAITING_LONG) {
        fall_below(actor);
    }
    if (waiting & TRP_WAITING_METERED) {
        if (actor->behaviour->overload != NULL) {
            trp_overload_note(actor, given);
        }
        (void)trp_actor_meter(actor);
    }
}

void trp_send_release_waiters(struct trp_context *context, struct troupe_actor *actor)
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
    /* relaxed: whoever sees it late refuses once, or calls nobody. */
    atomic_fetch_sub_explicit(&actor->waiting, 1, memory_order_relaxed);
    call_first(context, actor, extra);
}

/* Under lock.  A waiter whose turn it is takes its room; what it sends to a pid is placed without the lock. */
static int enter(struct trp_context *context, struct troupe_actor *actor, struct trp_extra *extra,
    struct parcel *parcel)
{
    struct troupe_message *last = parcel->first;

    if (trp_pid_is_alias(parcel->to)) {
        return pass(context, actor, extra, parcel);
    }
    if (is_shared(actor) && !bears(actor, parcel->first->sender, parcel->lane, 1, parcel->bytes)) {
        return TROUPE_EFULL;
    }
    TROUPE_TRY(admit(context, actor, 1, parcel->bytes, true));
    TROUPE_TRY(point_request(context, actor, parcel->first, &parcel->ringed));
    stamp(context, actor, &parcel->first, &last, 1);
    parcel->first->flags |= TRP_MESSAGE_CHARGED;
    return TROUPE_OK;
}

/* Whose mailbox it is that `to` leads to. */
static troupe_pid receiver_of(struct troupe_runtime *runtime, troupe_pid to)
{
    const struct troupe_actor *owner =
        trp_pid_is_alias(to) ? trp_table_owner(&runtime->table, to) : NULL;

    return owner != NULL ? trp_actor_pid(owner) : to;
}

/* Under lock.  How many places there are, but for the one of a waiter that was called and has not tried. */
static uint64_t places_left(const struct troupe_actor *actor, const struct trp_extra *extra)
{
    uint64_t taken = length_of(actor) + (extra->waiter_called ? 1 : 0);
    uint64_t capacity = trp_actor_capacity(actor->behaviour) >> 40;

    return taken < capacity ? capacity - taken : 0;
}

void trp_send_let_line_be(struct trp_context *context, struct troupe_actor *self)
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
    for (struct trp_list *at = extra->waiters.next; at != &extra->waiters && places > 0;
         at = at->next) {
        rest(context, trp_container_of(at, struct trp_waiter, entry));
        places--;
    }
    trp_lock_give(&extra->lock);
}

/* Under lock, which keeps it from being called: it waits for `actor`.  Not if there is a place for each of the `ahead` that are
 * before it in line, and for it: they go on by themselves. */
static void aim(struct trp_context *context, struct troupe_actor *actor,
    const struct trp_extra *extra, struct trp_waiter *waiter, uint32_t ahead)
{
    struct trp_aim aim = {.to = trp_actor_pid(actor)};
    struct troupe_actor *owner;

    if (waiter->stake.edge == 0 || waiter->pointed ||
        (fits(actor, waiter) && ahead < places_left(actor, extra))) {
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

/* One try.  TROUPE_EFULL: registered, wait.  TROUPE_EDEADLK: it is a request on whose answer somebody waits in a ring. */
static int try_as_waiter(struct trp_context *context, struct trp_waiter *waiter)
{
    struct troupe_actor *actor = trp_actor_find(context->runtime, waiter->at);
    struct trp_extra *extra = actor != NULL ? trp_actor_need_extra(context, actor) : NULL;
    struct parcel parcel = {.to = waiter->to, .first = waiter->msg, .count = 1, .waited = true};
    int error = TROUPE_EFULL;
    bool waited; /* in line, as before, and nobody has called it */
    bool first;
    uint32_t lane;

    if (actor == NULL) {
        return TROUPE_EGONE;
    }
    if (extra == NULL) {
        return TROUPE_ENOMEM;
    }
    lane = is_shared(actor) ? lane_of(actor, waiter->msg) : 0;
    trp_lock_take(&extra->lock);
    /* Under lock: whoever gives room reads them of one that is in line. */
    waiter->bytes = weigh(actor, waiter->msg, 1);
    waiter->sender = waiter->msg->sender;
    waiter->lane = lane;
    parcel.bytes = waiter->bytes;
    parcel.lane = lane;
    /* relaxed: under the lock, as its writer is. */
    waited = waiter->registered && !atomic_load_explicit(&waiter->called, memory_order_relaxed);
    first = line_up(actor, extra, waiter);
    if (first) {
        error = enter(context, actor, extra, &parcel);
    }
    /* seq_cst: after line_up() has registered us; the exit clears the pid, then looks at `waiting`.  One of the two sees
     * the other.  PAIR actor.waiting: seal(). */
    if (atomic_load_explicit(&actor->pid, memory_order_seq_cst) != waiter->at &&
        error == TROUPE_EFULL) {
        error = TROUPE_EGONE;
    }
    if (error == TROUPE_EFULL && !waited) {
        /* relaxed: under the lock, under which all of them register. */
        uint32_t line =
            trp_actor_waiters(atomic_load_explicit(&actor->waiting, memory_order_relaxed));

        aim(context, actor, extra, waiter, first ? 0 : line - 1);
    }
    trp_lock_give(&extra->lock);
    report_ring(context, parcel.ringed);
    if (error == TROUPE_OK) {
        if (has_mark(actor)) {
            pass_mark(actor);
        }
        trp_count(&context->counters.sent, 1);
        if (trp_pid_is_alias(waiter->to)) {
            follow(context, actor, &parcel);
        } else {
            put_up(context, actor, parcel.first, parcel.first, 1);
        }
    }
    if (error != TROUPE_EFULL) {
        /* There may be more room, or none ever.  After place(): the next one's message must not come before ours. */
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
    trp_count(&context->counters.sent, 1);
    if (error == TROUPE_EGONE && trp_pid_is_alias(waiter->to)) {
        drop(context, waiter->to, waiter->msg, 1);
        return TROUPE_OK;
    }
    trp_count(&context->counters.refused, 1);
    return error;
}

/* ---- threads that wait ---- */

static int wait_for_room(struct troupe_runtime *runtime, const struct trp_stake *stake,
    troupe_pid to, struct troupe_message *msg, int wait_ms)
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

/* ---- public ---- */

static bool is_body_right(const struct troupe_type *type, const void *body, size_t size)
{
    return type != NULL && (body != NULL) == (size > 0) && size >= type->size &&
           (size == type->size || type->variable) && size <= TROUPE_BODY_MAX;
}

/* `self` is the caller's. */
TRP_INLINE int send_bytes(struct troupe_actor *self, troupe_pid to, const struct troupe_type *type,
    const void *body, size_t size)
{
    struct trp_context *context;
    struct troupe_message *msg;
    int error;

    if (trp_unlikely(!is_body_right(type, body, size))) {
        return TROUPE_EINVAL;
    }
    context = trp_context_of(self);
    msg = trp_message_create(&context->pool, type, size, 0);
    if (trp_unlikely(msg == NULL)) {
        return TROUPE_ENOMEM;
    }
    msg->sender = trp_actor_pid(self);
    if (size > 0) {
        memcpy(trp_message_body(msg), body, size);
    }
    error = trp_send_charged(context, to, msg, msg, 1, trp_message_weight(msg));
    if (trp_unlikely(error < 0)) {
        trp_message_free(&context->pool, msg);
    }
    return error;
}

/* It is not the caller's, or the caller comes from outside: apart, so that others need not ask when they return. */
static TRP_NOINLINE int send_from_outside(struct troupe_actor *self, troupe_pid to,
    const struct troupe_type *type, const void *body, size_t size)
{
    TRP_INSIDE(self);

    return trp_actor_is_mine(self) ? send_bytes(self, to, type, body, size) : TROUPE_EINVAL;
}

int troupe_send_bytes(struct troupe_actor *self, troupe_pid to, const struct troupe_type *type,
    const void *body, size_t size)
{
    return trp_likely(trp_actor_is_mine(self)) ? send_bytes(self, to, type, body, size)
                                               : send_from_outside(self, to, type, body, size);
}

int troupe_send(
    struct troupe_actor *self, troupe_pid to, const struct troupe_type *type, const void *body)
{
    return troupe_send_bytes(self, to, type, body, type != NULL ? type->size : 0);
}

/* A message that its user owned is about to go. */
static void let_go(struct troupe_message *msg, troupe_pid sender)
{
    if (trp_message_is_held(msg)) {
        trp_list_remove(&trp_message_extension(msg)->held);
    }
    if ((msg->flags & TRP_MESSAGE_REQUEST) == 0) {
        msg->sender = sender;
    }
}

/* It was refused: as it was before. */
static void take_back(
    struct trp_context *context, struct trp_list *held, struct troupe_message *msg)
{
    msg->flags &= (uint16_t)~TRP_MESSAGE_CHARGED;
    trp_message_set_runtime(msg, context->runtime);
    if (trp_message_is_held(msg) && held != NULL) {
        trp_list_push(held, &trp_message_extension(msg)->held);
    }
}

/* It was not sent.  A request on whose answer somebody waits in a ring is answered so: then it is over. */
static int conclude(
    struct trp_context *context, struct trp_list *held, struct troupe_message *msg, int error)
{
    if (error == TROUPE_EDEADLK) {
        trp_message_dispose(context, msg, error);
        return TROUPE_OK;
    }
    take_back(context, held, msg);
    return error;
}

static struct trp_list *held_of(struct troupe_actor *self)
{
    struct trp_extra *extra = self != NULL ? trp_actor_extra(self) : NULL;

    return extra != NULL ? &extra->held : NULL;
}

static int send_owned(struct troupe_actor *self, troupe_pid to, struct troupe_message *msg)
{
    struct trp_context *context = trp_context_of(self);
    int error = send_one(context, to, msg);

    return trp_unlikely(error < 0) ? conclude(context, held_of(self), msg, error) : error;
}

int troupe_send_message(struct troupe_actor *self, troupe_pid to, struct troupe_message *msg)
{
    TRP_INSIDE(self);
    if (!trp_actor_is_mine(self) || msg == NULL || trp_actor_has_in_hand(self, msg)) {
        return TROUPE_EINVAL;
    }
    let_go(msg, trp_actor_pid(self));
    return send_owned(self, to, msg);
}

/* Undoes troupe_take(): the handler's message has its body and its caller again. */
static void give_back(
    struct troupe_actor *self, struct troupe_message *msg, struct troupe_message *copy)
{
    struct trp_context *context = trp_context_of(self);

    /* What the type allows to be moved there may be moved back. */
    memcpy(trp_message_body(msg), trp_message_body(copy), copy->size);
    msg->flags &= (uint16_t)~TRP_MESSAGE_EMPTIED;
    if (copy->flags & TRP_MESSAGE_REQUEST) {
        trp_list_remove(&trp_message_extension(copy)->held);
        msg->flags |= TRP_MESSAGE_REQUEST;
    }
    trp_message_move_permit(copy, msg);
    self->taken = false;
    trp_message_free(&context->pool, copy);
}

int troupe_forward(struct troupe_actor *self, troupe_pid to, struct troupe_message *msg)
{
    TRP_INSIDE(self);
    struct troupe_message *copy;
    int error = troupe_take(self, msg, &copy);

    if (error < 0) {
        return error;
    }
    let_go(copy, copy->sender);
    error = send_owned(self, to, copy);
    if (error < 0) {
        give_back(self, msg, copy);
    }
    return error;
}

/* ---- fibers that wait ---- */

void trp_send_begin_wait(struct troupe_actor *self, struct trp_waiter *waiter, troupe_pid to,
    struct troupe_message *msg, uint64_t edge)
{
    struct trp_stake stake = {.owner = trp_actor_pid(self), .edge = edge};

    init_waiter(waiter, self, to, msg, &stake);
    waiter->at = receiver_of(self->runtime, to);
    let_go(msg, trp_actor_pid(self));
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
    if (error < 0) {
        take_back(trp_context_of(self), held_of(self), waiter->msg);
    }
    return error;
}

/* Whether there is something to try: it is new, or it was called. */
static bool has_a_turn(const struct trp_waiter *waiter)
{
    /* acquire: if the actor has ended, its pid is gone.  PAIR waiter.called: call(). */
    return !waiter->registered || atomic_load_explicit(&waiter->called, memory_order_acquire);
}

int trp_send_go_on_waiting(struct troupe_actor *self, struct trp_waiter *waiter, bool last)
{
    struct trp_context *context = trp_context_of(self);
    int error = has_a_turn(waiter) ? try_to_enter(context, waiter) : TROUPE_EFULL;

    if (error == TROUPE_EFULL && last) {
        error = give_up(context, waiter);
    }
    return error == TROUPE_EFULL ? error : end_wait(self, waiter, error);
}

void trp_send_abandon(struct trp_context *context, struct trp_fiber *fiber)
{
    struct trp_waiter *waiter = fiber->waiter;

    fiber->waiter = NULL;
    if (waiter->registered) {
        (void)give_up(context, waiter);
    }
    if (waiter->registered) {
        outlive_caller(waiter);
    }
    trp_message_dispose(context, waiter->msg, TROUPE_EDIED);
}

/* Links `count` messages into a chain and adds up their weight. */
static uint64_t chain(struct trp_context *context, struct troupe_message **msgs, size_t count)
{
    troupe_pid sender = trp_actor_pid(context->current);
    uint64_t bytes = 0;

    for (size_t i = 0; i < count; i++) {
        if (trp_unlikely(trp_message_is_held(msgs[i]))) {
            lose_sight(context, msgs[i]);
        }
        let_go(msgs[i], sender);
        bytes += trp_message_weight(msgs[i]);
        /* relaxed: the push publishes them. */
        atomic_store_explicit(
            &msgs[i]->node.next, i + 1 < count ? &msgs[i + 1]->node : NULL, memory_order_relaxed);
    }
    return bytes;
}

int troupe_send_batch(
    struct troupe_actor *self, troupe_pid to, struct troupe_message **msgs, size_t count)
{
    TRP_INSIDE(self);
    struct trp_context *context;
    uint64_t bytes;
    int error;

    if (!trp_actor_is_mine(self) || (msgs == NULL && count > 0) || count > TROUPE_CAPACITY_MAX) {
        return TROUPE_EINVAL;
    }
    for (size_t i = 0; i < count; i++) {
        if (msgs[i] == NULL || trp_actor_has_in_hand(self, msgs[i])) {
            return TROUPE_EINVAL;
        }
    }
    if (count == 0) {
        return TROUPE_OK;
    }
    context = trp_context_of(self);
    bytes = chain(context, msgs, count);
    error = trp_send_charged(context, to, msgs[0], msgs[count - 1], (uint32_t)count, bytes);
    for (size_t i = 0; error < 0 && i < count; i++) {
        take_back(context, held_of(self), msgs[i]);
        if (trp_unlikely(trp_message_is_held(msgs[i]))) {
            point_back(context, msgs[i]);
        }
    }
    return error;
}

/* Who sends from here: the actor whose callback this is, if it is one of this runtime. */
static struct troupe_actor *sender_here(struct trp_context *context)
{
    return context->current;
}

/* A thread that is no actor's brings more, and memory runs out: what is there already comes first. */
static bool is_too_much(const struct trp_visit *visit, troupe_pid sender)
{
    return visit->context->worker == NULL && sender == TROUPE_NOBODY &&
           trp_memory_pressure(&visit->context->runtime->memory) >= TRP_PRESSURE_OUTSIDE;
}

/* `sender`: of one who is not an actor here. */
static int try_send_as(
    struct troupe_runtime *runtime, troupe_pid sender, troupe_pid to, struct troupe_message *msg)
{
    TRP_INSIDE(trp_thread_actor(runtime));
    struct trp_visit visit;
    struct troupe_actor *self;
    int error;

    error = trp_context_enter(runtime, &visit);
    if (error < 0) {
        return error;
    }
    self = sender_here(visit.context);
    if (self != NULL && trp_actor_has_in_hand(self, msg)) {
        trp_context_leave(&visit);
        return TROUPE_EINVAL;
    }
    if (trp_unlikely(is_too_much(&visit, sender))) {
        trp_count(&visit.context->counters.sent, 1);
        trp_count(&visit.context->counters.refused, 1);
        trp_context_leave(&visit);
        return TROUPE_ENOMEM;
    }
    let_go(msg, self != NULL ? trp_actor_pid(self) : sender);
    error = send_one(visit.context, to, msg);
    if (error < 0) {
        error = conclude(visit.context, held_of(self), msg, error);
    }
    trp_context_leave(&visit);
    return error;
}

int troupe_try_send(struct troupe_runtime *runtime, troupe_pid to, struct troupe_message *msg)
{
    return msg != NULL ? try_send_as(runtime, TROUPE_NOBODY, to, msg) : TROUPE_EINVAL;
}

/* Of a wait on the thread of an actor, outside. */
static int open_stake(struct troupe_actor *self, struct trp_stake *out_stake)
{
    TRP_INSIDE(self);

    /* It gave back all its room when it went outside. */
    trp_send_let_line_be(trp_context_of(self), self);
    out_stake->owner = trp_actor_pid(self);
    return trp_pressure_open(trp_context_of(self), self, &out_stake->edge);
}

/* As a foreign thread, but in the name of its actor, outside. */
static int wait_on_thread(
    struct troupe_actor *self, troupe_pid to, struct troupe_message *msg, int wait_ms)
{
    struct trp_stake stake;
    struct trp_list *held;
    int error;

    TROUPE_TRY(open_stake(self, &stake));
    let_go(msg, trp_actor_pid(self));
    error = wait_for_room(self->runtime, &stake, to, msg, wait_ms);
    trp_pressure_close(self);
    held = held_of(self);
    if (error < 0) {
        trp_message_set_runtime(msg, self->runtime);
    }
    if (error < 0 && trp_message_is_held(msg) && held != NULL) {
        trp_list_push(held, &trp_message_extension(msg)->held);
    }
    return error;
}

/* It may not wait: what it is told is that there is no room. */
static int unless_ring(int error)
{
    return error == TROUPE_EDEADLK ? TROUPE_EFULL : error;
}

int trp_send_wait_as(struct troupe_runtime *runtime, const struct trp_stake *stake, troupe_pid to,
    struct troupe_message *msg, int wait_ms)
{
    struct troupe_actor *self = trp_thread_actor(runtime);
    int error = try_send_as(runtime, stake->owner, to, msg);

    if (error != TROUPE_EFULL || wait_ms == 0) {
        return error == TROUPE_EFULL ? TROUPE_ETIMEDOUT : error;
    }
    if (self == NULL) {
        error = unless_ring(wait_for_room(runtime, stake, to, msg, wait_ms));
        if (error < 0) {
            trp_message_set_runtime(msg, runtime);
        }
        return error;
    }
    return to != trp_actor_pid(self) ? unless_ring(wait_on_thread(self, to, msg, wait_ms))
                                     : TROUPE_EFULL;
}

int troupe_send_wait(
    struct troupe_runtime *runtime, troupe_pid to, struct troupe_message *msg, int wait_ms)
{
    if (msg == NULL || wait_ms < TROUPE_FOREVER || trp_worker_current() != NULL) {
        return TROUPE_EINVAL;
    }
    return trp_send_wait_as(runtime, &(struct trp_stake){.edge = 0}, to, msg, wait_ms);
}
