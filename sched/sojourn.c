/* SPDX-License-Identifier: MIT */
/*
 * sojourn.c - messages that have waited too long.  See sojourn.h.
 */
#include "sojourn.h"

#include "core.h"
#include "letter.h"
#include "stamp.h"
#include "worker.h"

/** Defaults of a behaviour that says no more than `codel`. */
#define TARGET_MS 10
#define INTERVAL_MS 100

static uint32_t target_of(const struct troupe_overload *overload)
{
    return overload->codel_target_ms > 0 ? overload->codel_target_ms : TARGET_MS;
}

static uint32_t interval_of(const struct troupe_overload *overload)
{
    return overload->codel_interval_ms > 0 ? overload->codel_interval_ms : INTERVAL_MS;
}

/* Rounded down, by Newton. */
static uint32_t square_root(uint64_t x)
{
    uint64_t root = x;
    uint64_t next = (x + 1) / 2;

    while (next < root) {
        root = next;
        next = (root + x / root) / 2;
    }
    return (uint32_t)root;
}

/* How long after the n-th one the next one goes. */
static uint32_t pause_after(uint32_t interval_ms, uint32_t n)
{
    uint32_t pause_ms = square_root((uint64_t)interval_ms * interval_ms / n);

    return pause_ms > 0 ? pause_ms : 1;
}

/* Differences, because stamps wrap. */
static bool is_due(uint32_t now_ms, uint32_t at_ms)
{
    return (int32_t)(now_ms - at_ms) >= 0;
}

/* Whether it is this one's turn to go.  `waited_ms`: for so long it was queued; `last`: nothing is behind it. */
static bool codel(struct trp_codel *state, const struct troupe_overload *overload, uint32_t now_ms,
    uint32_t waited_ms, bool last)
{
    uint32_t interval_ms = interval_of(overload);

    if (waited_ms < target_of(overload) || last) {
        state->is_above = false;
        state->is_shedding = false;
        return false;
    }
    if (!state->is_above) {
        state->is_above = true;
        state->next_ms = now_ms + interval_ms;
        return false;
    }
    if (!is_due(now_ms, state->next_ms)) {
        return false;
    }
    state->count = state->is_shedding && state->count < UINT32_MAX ? state->count + 1 : 1;
    state->next_ms =
        (state->is_shedding ? state->next_ms : now_ms) + pause_after(interval_ms, state->count);
    state->is_shedding = true;
    return true;
}

/* It ends as one that was handled. */
static void shed(struct troupe_actor *self, struct troupe_message *msg, enum troupe_shed kind)
{
    self->context->worker->unhandled++;
    trp_letter_note(self->context, self, msg, kind);
    if (msg->flags & TRP_MESSAGE_REQUEST) {
        trp_message_extension(msg)->status =
            kind == TROUPE_SHED_EXPIRED ? TROUPE_EEXPIRED : TROUPE_EOVERLOAD;
        msg->flags |= TRP_MESSAGE_REFUSED;
    }
}

bool trp_sojourn_open(struct troupe_actor *self, struct troupe_message *msg)
{
    struct trp_overload *state = trp_actor_overload(self);
    const struct troupe_overload *overload = self->behaviour->overload;
    uint32_t now_ms = trp_stamp_ms(trp_port_now_ns());
    uint32_t sent_ms = trp_stamp_of(msg);
    uint32_t waited_ms = is_due(now_ms, sent_ms) ? now_ms - sent_ms : 0;
    bool last = trp_mailbox_behind(self->head) == NULL;
    bool sheds;

    if (msg->kind == TRP_MESSAGE_AGED) {
        msg->kind = TRP_MESSAGE_PLAIN;
    }
    msg->flags &= (uint16_t)~TRP_MESSAGE_STAMPED;
    /* relaxed: a number. */
    atomic_store_explicit(&state->since_ms, sent_ms, memory_order_relaxed);
    if (msg->flags & TRP_MESSAGE_SYSTEM) {
        return true;
    }
    /* Asked in any case: it has to know of all that went through. */
    sheds = overload->codel && codel(&state->codel, overload, now_ms, waited_ms, last);
    if (overload->expire_ms > 0 && waited_ms >= overload->expire_ms) {
        shed(self, msg, TROUPE_SHED_EXPIRED);
        return false;
    }
    if (sheds) {
        shed(self, msg, TROUPE_SHED_CODEL);
    }
    return !sheds;
}
