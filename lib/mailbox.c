/* SPDX-License-Identifier: MIT */
/*
 * mailbox.c - a look at a mailbox: by anybody from outside, and by its owner at what is to come.
 *
 * From outside only numbers are read, which others write meanwhile: nobody but the token's holder may follow the queue's list.
 */
#include "core.h"
#include "shelf.h"
#include "stamp.h"

#include <string.h>

#include <troupe/mailbox.h>
#include <troupe/overload.h>

/* ---- from outside ---- */

/* relaxed, all: numbers. */
static void look_at_overload(struct trp_overload *overload, struct troupe_mailbox_info *info)
{
    info->length_max = (uint32_t)atomic_load_explicit(&overload->length_max, memory_order_relaxed);
    info->bytes_max = atomic_load_explicit(&overload->bytes_max, memory_order_relaxed);
    info->redirected = atomic_load_explicit(&overload->redirected, memory_order_relaxed);
    info->transformed = atomic_load_explicit(&overload->transformed, memory_order_relaxed);
    for (unsigned kind = 0; kind < TROUPE_SHED_KINDS; kind++) {
        info->sheds[kind] = atomic_load_explicit(&overload->sheds[kind], memory_order_relaxed);
    }
}

/* How long that is ago. */
static uint32_t age_since(uint32_t stamp_ms)
{
    uint32_t age_ms = (uint32_t)(trp_port_now_ns() / 1000000U) - stamp_ms;

    /* It came after we looked at the clock. */
    return (int32_t)age_ms > 0 ? age_ms : 0;
}

/* `displaces`: what came through an alias, and that alone, is charged instead. */
static void look_at_shelf(struct trp_shelf *shelf, bool displaces, struct troupe_mailbox_info *info)
{
    struct trp_shelf_view view;

    trp_shelf_look(shelf, &view);
    memcpy(info->lanes, view.lanes, sizeof info->lanes);
    if (displaces) {
        info->length += (uint32_t)(view.queued >> 40);
        info->bytes += view.queued & TRP_CHARGE_BYTES;
        info->length_max = (uint32_t)(view.most >> 40);
        info->bytes_max = view.most & TRP_CHARGE_BYTES;
    }
}

static void look_at_mailbox(struct troupe_actor *actor, struct troupe_mailbox_info *info)
{
    uint64_t queued = trp_charge_queued(&actor->charge);
    uint64_t capacity = trp_actor_capacity(actor->behaviour);
    /* relaxed: a number, and what was set at the spawn. */
    uint32_t waiting = atomic_load_explicit(&actor->waiting, memory_order_relaxed);

    *info = (struct troupe_mailbox_info){
        .length = (uint32_t)(queued >> 40),
        .capacity = (uint32_t)(capacity >> 40),
        .bytes = queued & TRP_CHARGE_BYTES,
        .capacity_bytes = capacity & TRP_CHARGE_BYTES,
        .waiters = trp_actor_waiters(waiting),
    };
    if (actor->behaviour->overload != NULL) {
        look_at_overload(trp_actor_overload(actor), info);
    }
    if (actor->behaviour->overload != NULL && trp_actor_overload(actor)->shelf != NULL) {
        look_at_shelf(trp_actor_overload(actor)->shelf,
            trp_overload_displaces(actor->behaviour->overload), info);
    } else if ((waiting & TRP_WAITING_CARE) != 0 && info->length > 0) {
        /* relaxed: a stamp. */
        info->oldest_ms = age_since(
            atomic_load_explicit(&trp_actor_overload(actor)->since_ms, memory_order_relaxed));
    }
}

int troupe_mailbox_info_sized(struct troupe_runtime *runtime, troupe_pid pid,
    struct troupe_mailbox_info *out_info, size_t info_size)
{
    struct trp_visit visit;
    struct troupe_mailbox_info info;
    struct troupe_actor *actor;
    int error = TROUPE_EGONE;

    if (runtime == NULL || !trp_pid_is_actor(pid) || out_info == NULL || info_size == 0) {
        return TROUPE_EINVAL;
    }
    TROUPE_TRY(trp_context_enter(runtime, &visit));
    actor = trp_actor_find(runtime, pid);
    if (actor != NULL) {
        look_at_mailbox(actor, &info);
        error = TROUPE_OK;
    }
    trp_context_leave(&visit);
    if (error == TROUPE_OK) {
        memcpy(out_info, &info, info_size < sizeof info ? info_size : sizeof info);
    }
    return error;
}

/* ---- from inside ---- */

/* The first message in the queue that a user has sent, as far as it is linked; or NULL. */
static const struct troupe_message *first_of(const struct troupe_actor *self)
{
    const struct trp_node *node = trp_mailbox_behind(self->head);

    while (node != NULL) {
        const struct troupe_message *msg =
            trp_container_of(node, const struct troupe_message, node);

        if (trp_message_is_sent(msg)) {
            return msg;
        }
        node = trp_mailbox_behind(node);
    }
    return NULL;
}

bool troupe_peek(struct troupe_actor *self, struct troupe_peek *out_peek)
{
    TRP_INSIDE(self);
    const struct troupe_message *first;

    if (!trp_actor_is_mine(self) || out_peek == NULL) {
        return false;
    }
    first = first_of(self);
    if (first == NULL) {
        return false;
    }
    *out_peek = (struct troupe_peek){
        .type = first->type,
        .sender = first->sender,
        .size = first->size,
        .request = (first->flags & TRP_MESSAGE_REQUEST) != 0,
        .age_ms = -1,
    };
    if (trp_stamp_is_on(first)) {
        out_peek->age_ms = (int)age_since(trp_stamp_of(first));
    }
    return true;
}
