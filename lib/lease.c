/* SPDX-License-Identifier: MIT */
/*
 * lease.c - reserving room (include/troupe/lease.h), on the core's leases (sched/lease.h) and the line for room.
 */
#include "await.h"

#include <string.h>

#include <troupe/fiber.h>
#include <troupe/lease.h>
#include <troupe/mailbox.h>

/* ---- reserving ---- */

static bool is_right(const struct troupe_reservation *what)
{
    return trp_pid_is_actor(what->to) && what->count <= TROUPE_CAPACITY_MAX &&
           what->size <= TROUPE_BODY_MAX && what->lease_ms <= TROUPE_LEASE_MAX_MS;
}

/* Whether it may do what `wait_ms` says. */
static bool may_reserve(struct troupe_actor *self, int wait_ms)
{
    return trp_actor_is_mine(self) && wait_ms >= TROUPE_FOREVER &&
           (wait_ms == 0 || troupe_may_wait(self));
}

static uint32_t lease_ms_of(const struct troupe_reservation *what)
{
    return what->lease_ms > 0 ? what->lease_ms : TROUPE_LEASE_DEFAULT_MS;
}

static struct trp_leased room_of(const struct troupe_reservation *what)
{
    return (struct trp_leased){
        .to = what->to,
        .count = what->count > 0 ? what->count : 1,
        .place_bytes = trp_lease_weigh(what->size > 0 ? what->size : TROUPE_BODY_INLINE),
    };
}

/* `waits`: it may wait for what is not there. */
static int reserve(struct troupe_actor *self, const struct troupe_reservation *what, bool waits,
    struct trp_patience *patience, struct troupe_lease *out_lease)
{
    struct trp_leased wanted = room_of(what);
    struct trp_timer *lease;
    int error;

    TROUPE_TRY(trp_lease_open(self, &wanted, &lease));
    error = trp_lease_take(self, lease);
    if (error == TROUPE_EFULL && waits && what->to != trp_actor_pid(self)) {
        TROUPE_TRY(trp_await_room(self, lease, patience));
    } else if (error < 0) {
        trp_lease_close(self, lease);
        return error;
    }
    trp_lease_hold(self, lease, lease_ms_of(what), out_lease);
    return TROUPE_OK;
}

int troupe_reserve(struct troupe_actor *self, const struct troupe_reservation *what, int wait_ms,
    struct troupe_lease *out_lease)
{
    TRP_INSIDE(self);
    struct trp_patience patience = {.wait_ms = wait_ms};
    bool waits = wait_ms != 0;

    if (what == NULL || out_lease == NULL || !may_reserve(self, wait_ms) || !is_right(what)) {
        return TROUPE_EINVAL;
    }
    if (waits) {
        trp_wait_heed(self);
    }
    return reserve(self, what, waits && !trp_pressure_is_holder(self), &patience, out_lease);
}

/* ---- several ---- */

/* The one with the lowest pid of those above `pid`; NULL: there is none. */
static const struct troupe_reservation *next_of(
    const struct troupe_reservation *what, size_t count, troupe_pid pid)
{
    const struct troupe_reservation *next = NULL;

    for (size_t i = 0; i < count; i++) {
        if (what[i].to > pid && (next == NULL || what[i].to < next->to)) {
            next = &what[i];
        }
    }
    return next;
}

/* Each is right, and of another actor. */
static bool are_right(const struct troupe_reservation *what, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (!is_right(&what[i])) {
            return false;
        }
        for (size_t j = 0; j < i; j++) {
            if (what[j].to == what[i].to) {
                return false;
            }
        }
    }
    return true;
}

/* In the order of their pids.  On error some may be held. */
static int reserve_in_order(struct troupe_actor *self, const struct troupe_reservation *what,
    size_t count, bool waits, struct trp_patience *patience, struct troupe_lease *leases)
{
    const struct troupe_reservation *at = next_of(what, count, TROUPE_NOBODY);

    while (at != NULL) {
        TROUPE_TRY(reserve(self, at, waits, patience, &leases[at - what]));
        at = next_of(what, count, at->to);
    }
    return TROUPE_OK;
}

/* All of them are there: their time begins.  TROUPE_ETIMEDOUT: that of one was over. */
static int renew(struct troupe_actor *self, const struct troupe_reservation *what, size_t count,
    struct troupe_lease *leases)
{
    for (size_t i = 0; i < count; i++) {
        if (!trp_lease_renew(self, &leases[i], lease_ms_of(&what[i]))) {
            return TROUPE_ETIMEDOUT;
        }
    }
    return TROUPE_OK;
}

int troupe_reserve_all(struct troupe_actor *self, const struct troupe_reservation *what,
    size_t count, int wait_ms, struct troupe_lease *out_leases)
{
    TRP_INSIDE(self);
    struct trp_patience patience = {.wait_ms = wait_ms};
    struct troupe_lease leases[TROUPE_RESERVE_MAX] = {{NULL, 0, 0}};
    bool waits = wait_ms != 0;
    int error;

    if (what == NULL || out_leases == NULL || count == 0 || count > TROUPE_RESERVE_MAX ||
        !may_reserve(self, wait_ms) || !are_right(what, count)) {
        return TROUPE_EINVAL;
    }
    if (waits) {
        trp_wait_heed(self);
    }
    waits = waits && !trp_pressure_is_holder(self);
    error = reserve_in_order(self, what, count, waits, &patience, leases);
    if (error == TROUPE_OK) {
        error = renew(self, what, count, leases);
    }
    if (error < 0) {
        for (size_t i = 0; i < count; i++) {
            trp_lease_release(self, &leases[i]);
        }
        return error;
    }
    memcpy(out_leases, leases, count * sizeof *leases);
    return TROUPE_OK;
}

/* ---- sending ---- */

int troupe_lease_send_message(
    struct troupe_actor *self, struct troupe_lease *lease, struct troupe_message *msg)
{
    TRP_INSIDE(self);
    int error;

    if (!trp_actor_is_mine(self) || lease == NULL || msg == NULL ||
        trp_actor_has_in_hand(self, msg) || (msg->flags & TRP_MESSAGE_REQUEST) != 0) {
        return TROUPE_EINVAL;
    }
    error = trp_lease_send(self, lease, msg);
    if (error < 0) {
        trp_message_set_runtime(msg, self->runtime);
    }
    return error;
}

static bool is_body_right(const struct troupe_type *type, const void *body, size_t size)
{
    return type != NULL && (body != NULL) == (size > 0) && size >= type->size &&
           (size == type->size || type->variable) && size <= TROUPE_BODY_MAX;
}

int troupe_lease_send_bytes(struct troupe_actor *self, struct troupe_lease *lease,
    const struct troupe_type *type, const void *body, size_t size)
{
    TRP_INSIDE(self);
    struct troupe_message *msg;
    int error;

    if (!trp_actor_is_mine(self) || lease == NULL || !is_body_right(type, body, size)) {
        return TROUPE_EINVAL;
    }
    msg = trp_message_new(trp_context_of(self), type, size, 0);
    if (msg == NULL) {
        return TROUPE_ENOMEM;
    }
    if (size > 0) {
        memcpy(trp_message_body(msg), body, size);
    }
    error = trp_lease_send(self, lease, msg);
    if (error < 0) {
        trp_message_free(&trp_context_of(self)->pool, msg);
    }
    return error;
}

int troupe_lease_send(struct troupe_actor *self, struct troupe_lease *lease,
    const struct troupe_type *type, const void *body)
{
    TRP_INSIDE(self);
    return troupe_lease_send_bytes(self, lease, type, body, type != NULL ? type->size : 0);
}

void troupe_lease_release(struct troupe_actor *self, struct troupe_lease *lease)
{
    TRP_INSIDE(self);
    if (trp_actor_is_mine(self) && lease != NULL) {
        trp_lease_release(self, lease);
    }
}
