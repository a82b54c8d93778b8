/* SPDX-License-Identifier: MIT */
/*
 * gate.c - a foreign thread waits for what an actor has to say.  See gate.h.
 */
#include "gate.h"

struct trp_gate {
    struct troupe_runtime *runtime; /* set once */
    struct trp_event opened;        /* woken once, when it opens */
    struct trp_lock lock;
    struct trp_outcome outcome; /* under lock */
    bool open;                  /* under lock */
    _Atomic uint32_t holds;     /* any thread */
};

static_assert(sizeof(struct trp_gate) <= 256, "a gate is a small block");

static struct trp_gate *gate_new(struct trp_context *context)
{
    struct trp_gate *gate = trp_pool_alloc(&context->pool, trp_pool_class(sizeof *gate));

    if (gate == NULL) {
        return NULL;
    }
    gate->runtime = context->runtime;
    gate->open = false;
    gate->outcome = (struct trp_outcome){0};
    atomic_init(&gate->holds, 2);
    trp_lock_init(&gate->lock);
    trp_event_init(&gate->opened);
    return gate;
}

int trp_gate_create(struct troupe_runtime *runtime, struct trp_gate **out_gate)
{
    struct trp_visit visit;
    struct trp_gate *gate;

    TROUPE_TRY(trp_context_enter(runtime, &visit));
    /* A worker, of this runtime or another, is in its read section all the time. */
    if (visit.context->worker != NULL || !visit.was_offline) {
        trp_context_leave(&visit);
        return TROUPE_EINVAL;
    }
    gate = gate_new(visit.context);
    trp_context_leave(&visit);
    if (gate == NULL) {
        return TROUPE_ENOMEM;
    }
    *out_gate = gate;
    return TROUPE_OK;
}

void trp_gate_tell(struct trp_gate *gate, const struct trp_outcome *outcome)
{
    bool first;

    trp_lock_take(&gate->lock);
    first = !gate->open;
    if (first) {
        gate->outcome = *outcome;
        gate->open = true;
    }
    trp_lock_give(&gate->lock);
    if (first) {
        trp_event_wake(&gate->opened);
    } else {
        troupe_buffer_release(outcome->reason.text);
    }
}

/* Whether it is open; then *out_outcome is what was told. */
static bool pass(struct trp_gate *gate, struct trp_outcome *out_outcome)
{
    bool open;

    trp_lock_take(&gate->lock);
    open = gate->open;
    if (open) {
        *out_outcome = gate->outcome;
        gate->outcome.reason.text = NULL;
    }
    trp_lock_give(&gate->lock);
    return open;
}

int trp_gate_wait(struct trp_gate *gate, int wait_ms, struct trp_outcome *out_outcome)
{
    uint64_t until_ns =
        wait_ms < 0 ? TRP_EVENT_FOREVER : trp_port_now_ns() + (uint64_t)wait_ms * 1000000U;

    for (;;) {
        uint32_t value = trp_event_value(&gate->opened);

        if (pass(gate, out_outcome)) {
            return TROUPE_OK;
        }
        if (until_ns != TRP_EVENT_FOREVER && trp_port_now_ns() >= until_ns) {
            return TROUPE_ETIMEDOUT;
        }
        trp_event_wait(&gate->opened, value, until_ns);
    }
}

static void gate_free(struct trp_gate *gate)
{
    struct trp_visit visit;

    troupe_buffer_release(gate->outcome.reason.text);
    trp_lock_fini(&gate->lock);
    /* In a forked child the block is lost with everything else. */
    if (trp_context_enter(gate->runtime, &visit) == TROUPE_OK) {
        trp_pool_free(&visit.context->pool, gate, trp_pool_class(sizeof *gate));
        trp_context_leave(&visit);
    }
}

void trp_gate_drop(struct trp_gate *gate)
{
    /* acq_rel: the last one sees all that the other did.  PAIR gate.holds: itself. */
    if (atomic_fetch_sub_explicit(&gate->holds, 1, memory_order_acq_rel) == 1) {
        gate_free(gate);
    }
}
