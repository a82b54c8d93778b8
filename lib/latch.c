/* SPDX-License-Identifier: MIT */
/*
 * latch.c - a foreign thread waits for what an actor has to say.  See latch.h.
 */
#include "latch.h"

struct trp_latch {
    struct troupe_runtime *runtime; /* set once */
    struct trp_event opened;        /* woken once, when it opens */
    struct trp_lock lock;
    struct trp_outcome outcome; /* under lock */
    bool open;                  /* under lock */
    _Atomic uint32_t holds;     /* any thread */
};

static_assert(sizeof(struct trp_latch) <= 256, "a latch is a small block");

static struct trp_latch *latch_new(struct trp_context *context)
{
    struct trp_latch *latch = trp_pool_alloc(&context->pool, trp_pool_class(sizeof *latch));

    if (latch == NULL) {
        return NULL;
    }
    latch->runtime = context->runtime;
    latch->open = false;
    latch->outcome = (struct trp_outcome){0};
    atomic_init(&latch->holds, 2);
    trp_lock_init(&latch->lock);
    trp_event_init(&latch->opened);
    return latch;
}

int trp_latch_create(struct troupe_runtime *runtime, struct trp_latch **out_gate)
{
    struct trp_visit visit;
    struct trp_latch *latch;

    TROUPE_TRY(trp_context_enter(runtime, &visit));
    /* A worker, of this runtime or another, is in its read section all the time. */
    if (visit.context->worker != NULL || !visit.was_offline) {
        trp_context_leave(&visit);
        return TROUPE_EINVAL;
    }
    latch = latch_new(visit.context);
    trp_context_leave(&visit);
    if (latch == NULL) {
        return TROUPE_ENOMEM;
    }
    *out_gate = latch;
    return TROUPE_OK;
}

void trp_latch_tell(struct trp_latch *latch, const struct trp_outcome *outcome)
{
    bool first;

    trp_lock_take(&latch->lock);
    first = !latch->open;
    if (first) {
        latch->outcome = *outcome;
        latch->open = true;
    }
    trp_lock_give(&latch->lock);
    if (first) {
        trp_event_wake(&latch->opened);
    } else {
        troupe_buffer_release(outcome->reason.text);
    }
}

/* Whether it is open; then *out_outcome is what was told. */
static bool pass(struct trp_latch *latch, struct trp_outcome *out_outcome)
{
    bool open;

    trp_lock_take(&latch->lock);
    open = latch->open;
    if (open) {
        *out_outcome = latch->outcome;
        latch->outcome.reason.text = NULL;
    }
    trp_lock_give(&latch->lock);
    return open;
}

int trp_latch_wait(struct trp_latch *latch, int wait_ms, struct trp_outcome *out_outcome)
{
    uint64_t until_ns =
        wait_ms < 0 ? TRP_EVENT_FOREVER : trp_port_now_ns() + (uint64_t)wait_ms * 1000000U;

    for (;;) {
        uint32_t value = trp_event_value(&latch->opened);

        if (pass(latch, out_outcome)) {
            return TROUPE_OK;
        }
        if (until_ns != TRP_EVENT_FOREVER && trp_port_now_ns() >= until_ns) {
            return TROUPE_ETIMEDOUT;
        }
        trp_event_wait(&latch->opened, value, until_ns);
    }
}

static void latch_free(struct trp_latch *latch)
{
    struct trp_visit visit;

    troupe_buffer_release(latch->outcome.reason.text);
    trp_lock_fini(&latch->lock);
    /* In a forked child the block is lost with everything else. */
    if (trp_context_enter(latch->runtime, &visit) == TROUPE_OK) {
        trp_pool_free(&visit.context->pool, latch, trp_pool_class(sizeof *latch));
        trp_context_leave(&visit);
    }
}

void trp_latch_drop(struct trp_latch *latch)
{
    /* acq_rel: the last one sees all that the other did.  PAIR latch.holds: itself. */
    if (atomic_fetch_sub_explicit(&latch->holds, 1, memory_order_acq_rel) == 1) {
        latch_free(latch);
    }
}
