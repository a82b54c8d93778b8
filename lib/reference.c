/* SPDX-License-Identifier: MIT */
/*
 * reference.c - strong and weak references: the actor ends when nobody needs it.
 *
 * One block for each life that has references (watch.h): the order to end, ready to be sent, and one word, which decides all
 * that could race:
 *
 *      bits 1..63  how many strong references there are        bit 0  CLOSED: the exit is decided
 *
 *    OPEN 1..n -- retain, upgrade, release --> OPEN 1..n       whoever retains has one, so there is no way back from none
 *    OPEN 1    -- release -----------------> OPEN 0            whoever did it sends the order
 *    OPEN n    -- exit step 1 -------------> CLOSED n          nobody is upgraded from here on
 *    CLOSED n  -- retain, release ---------> CLOSED 0          nobody is told
 *
 * An upgrade is a compare-and-swap that goes from OPEN 1..n only: it meets the last release and the exit in the one word, so it
 * comes before them and counts, or after them and fails.  Nothing is looked up, and nothing is locked.
 *
 * The last release against the exit: the order may be on its way when the exit is decided, or find another life at the same
 * pid.  It is an order to one incarnation, and misses like every exit signal (exit_signal.c).  The other way round the release
 * finds CLOSED.  It was made with the block, so it needs no memory.
 *
 * Who holds the block is counted in the order's `refs`: the strong references together are one holder, and become the order.
 */
#include "reference.h"

#include "exit_signal.h"

#define CLOSED UINT64_C(1)
#define ONE UINT64_C(2)

/* ---- making ---- */

int trp_reference_newborn(struct trp_context *context, struct troupe_actor *newborn,
    struct troupe_reference **out_reference)
{
    struct trp_extra *extra = trp_actor_need_extra(context, newborn);
    struct troupe_reference *reference;

    if (extra == NULL) {
        return TROUPE_ENOMEM;
    }
    reference = trp_watch_alloc(context, sizeof *reference);
    if (reference == NULL) {
        return TROUPE_ENOMEM;
    }
    trp_watch_init(&reference->order, TRP_NOTICE_SENT, TRP_SIDE_REFERENCE, 2);
    trp_exit_signal_write_order(&reference->order, newborn);
    reference->order.watcher = trp_actor_pid(newborn);
    reference->runtime = newborn->runtime;
    atomic_init(&reference->strong, ONE);
    extra->reference = reference;
    *out_reference = reference;
    return TROUPE_OK;
}

/* One strong reference more, unless there is none, or they are closed. */
static bool upgrade(struct troupe_reference *reference)
{
    /* relaxed: the swap decides. */
    uint64_t word = atomic_load_explicit(&reference->strong, memory_order_relaxed);

    do {
        if (word < ONE || (word & CLOSED) != 0) {
            return false;
        }
        /* relaxed: of the block only what was set before it was given out is read; who comes first is all that counts. */
    } while (!atomic_compare_exchange_weak_explicit(
        &reference->strong, &word, word + ONE, memory_order_relaxed, memory_order_relaxed));
    return true;
}

int troupe_reference_create(struct troupe_actor *self, struct troupe_reference **out_reference)
{
    TRP_INSIDE(self);
    struct trp_extra *extra;

    if (!trp_actor_is_mine(self) || out_reference == NULL) {
        return TROUPE_EINVAL;
    }
    /* relaxed: its own. */
    if (atomic_load_explicit(&self->phase, memory_order_relaxed) >= TRP_PHASE_EXITING) {
        return TROUPE_EGONE;
    }
    extra = trp_actor_extra(self);
    if (extra == NULL || extra->reference == NULL) {
        return trp_reference_newborn(trp_context_of(self), self, out_reference);
    }
    if (!upgrade(extra->reference)) {
        return TROUPE_EGONE;
    }
    *out_reference = extra->reference;
    return TROUPE_OK;
}

/* ---- strong ---- */

struct troupe_reference *troupe_reference_retain(struct troupe_reference *reference)
{
    if (reference != NULL) {
        /* relaxed: whoever adds a reference has one. */
        atomic_fetch_add_explicit(&reference->strong, ONE, memory_order_relaxed);
    }
    return reference;
}

/* One less; the word before that. */
static uint64_t count_down(struct troupe_reference *reference)
{
    /* acq_rel: what the others sent before they released theirs is in the queue before the order that the last one sends.
     * PAIR reference.strong: itself. */
    return atomic_fetch_sub_explicit(&reference->strong, ONE, memory_order_acq_rel);
}

/* There is none any more. */
static void end_strong(
    struct trp_context *context, struct troupe_reference *reference, uint64_t before)
{
    if (before & CLOSED) {
        trp_watch_drop(context, &reference->order.notice);
    } else {
        trp_notice_dispatch(context, &reference->order.notice, reference->order.watcher, false);
    }
}

void trp_reference_release(struct trp_context *context, struct troupe_reference *reference)
{
    uint64_t before = count_down(reference);

    if (before < 2 * ONE) {
        end_strong(context, reference, before);
    }
}

void troupe_reference_release(struct troupe_reference *reference)
{
    struct trp_visit visit;
    uint64_t before;

    if (reference == NULL) {
        return;
    }
    before = count_down(reference);
    /* In a forked child nobody can be told, and the block is lost with everything else. */
    if (before < 2 * ONE && trp_context_enter(reference->runtime, &visit) == TROUPE_OK) {
        end_strong(visit.context, reference, before);
        trp_context_leave(&visit);
    }
}

troupe_pid troupe_reference_pid(const struct troupe_reference *reference)
{
    return reference != NULL ? reference->order.watcher : TROUPE_NOBODY;
}

/* ---- weak: the same block ---- */

static struct troupe_reference *block_of(const struct troupe_weak_reference *weak)
{
    return (struct troupe_reference *)(uintptr_t)weak;
}

struct troupe_weak_reference *troupe_weak_retain(struct troupe_weak_reference *weak)
{
    if (weak != NULL) {
        /* relaxed: whoever adds a holder is one. */
        atomic_fetch_add_explicit(&block_of(weak)->order.notice.refs, 1, memory_order_relaxed);
    }
    return weak;
}

struct troupe_weak_reference *troupe_reference_downgrade(struct troupe_reference *reference)
{
    return troupe_weak_retain((struct troupe_weak_reference *)(void *)reference);
}

void troupe_weak_release(struct troupe_weak_reference *weak)
{
    struct trp_visit visit;

    if (weak != NULL && trp_context_enter(block_of(weak)->runtime, &visit) == TROUPE_OK) {
        trp_watch_drop(visit.context, &block_of(weak)->order.notice);
        trp_context_leave(&visit);
    }
}

int troupe_weak_upgrade(struct troupe_weak_reference *weak, struct troupe_reference **out_reference)
{
    if (weak == NULL || out_reference == NULL) {
        return TROUPE_EINVAL;
    }
    if (!upgrade(block_of(weak))) {
        return TROUPE_EGONE;
    }
    *out_reference = block_of(weak);
    return TROUPE_OK;
}

troupe_pid troupe_weak_pid(const struct troupe_weak_reference *weak)
{
    return weak != NULL ? block_of(weak)->order.watcher : TROUPE_NOBODY;
}

/* ---- in a message ---- */

static void release_body(void *body)
{
    troupe_reference_release(*(struct troupe_reference **)body);
}

const struct troupe_type troupe_reference_message = {
    "reference", sizeof(struct troupe_reference *), release_body, false};

/* ---- the actor's side ---- */

/* Closes them, and lets go of the block. */
static void close_all(struct trp_context *context, struct trp_extra *extra)
{
    struct troupe_reference *reference = extra->reference;

    if (reference == NULL) {
        return;
    }
    extra->reference = NULL;
    /* relaxed: whoever is refused learns nothing else. */
    atomic_fetch_or_explicit(&reference->strong, CLOSED, memory_order_relaxed);
    trp_watch_drop(context, &reference->order.notice);
}

void trp_reference_close(struct troupe_actor *self)
{
    close_all(trp_context_of(self), trp_actor_extra(self));
}

void trp_reference_forget(struct trp_context *context, struct troupe_actor *newborn)
{
    struct trp_extra *extra = trp_actor_extra(newborn);
    struct troupe_reference *reference = extra->reference;

    close_all(context, extra);
    trp_reference_release(context, reference);
}
