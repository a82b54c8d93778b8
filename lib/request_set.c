/* SPDX-License-Identifier: MIT */
/*
 * request_set.c - several requests with one deadline and one callback.
 *
 * A set is a record in its asker's list of calls, like the calls themselves (call.c), but never armed: it keeps the callback,
 * the deadline and how many outcomes are to come.  Each member is a call of its own, with a timer of its own at the set's
 * deadline, and names the set.  A set ends with the last outcome after it was closed, when it is cancelled, or with its
 * actor: then the members, which are in the same list, end as well, and nobody looks at the set.
 *
 * What is refused (full, gone, between two lives) has an outcome like the rest: the member's own block, which is set aside for
 * its time-out, brings it.
 */
#include "call.h"

#include <troupe/call.h>

/* Marks the records of members, whose outcomes go to their set; never called. */
static int member(
    struct troupe_actor *self, void *state, void *context, int status, struct troupe_message *reply)
{
    (void)self;
    (void)state;
    (void)context;
    (void)reply;
    trp_assert(!"outcomes of a set are settled by the set");
    return status;
}

/* The set that `handle` names, or NULL. */
static struct trp_timer *set_of(struct troupe_actor *self, struct troupe_request_set handle)
{
    struct trp_timer *set = handle.set;

    /* The block is type-stable: see troupe_timer_cancel(). */
    if (set == NULL || trp_timer_serial(set) != handle.serial || set->owner != self ||
        set->incarnation != troupe_incarnation(self)) {
        return NULL;
    }
    return set;
}

int troupe_request_set_open(struct troupe_actor *self, int timeout_ms, troupe_set_fn on_outcome,
    void *context, struct troupe_request_set *out_set)
{
    TRP_INSIDE(self);
    struct troupe_request_options options = {.timeout_ms = timeout_ms};
    struct trp_terms terms;
    struct trp_timer *set;

    if (!trp_actor_is_mine(self) || on_outcome == NULL || out_set == NULL ||
        (timeout_ms <= 0 && timeout_ms != TROUPE_FOREVER)) {
        return TROUPE_EINVAL;
    }
    TROUPE_TRY(trp_call_terms(self, &options, &terms));
    TROUPE_TRY(trp_call_open_record(self, NULL, context, &set));
    set->gathering = (struct trp_gathering){.on_outcome = on_outcome,
        .deadline_ms = terms.deadline_ms,
        .inherited_ms = terms.inherited_ms};
    *out_set = (struct troupe_request_set){set, trp_timer_serial(set)};
    return TROUPE_OK;
}

/* Errors that are outcomes: what the one asked, or its mailbox, has to say. */
static bool is_outcome(int error)
{
    return error == TROUPE_EGONE || error == TROUPE_EFULL || error == TROUPE_EMSGSIZE;
}

static int ask(struct troupe_actor *self, struct trp_timer *set, uint64_t label, troupe_pid to,
    const struct troupe_type *type, const void *body)
{
    struct trp_terms terms = {
        .deadline_ms = set->gathering.deadline_ms, .inherited_ms = set->gathering.inherited_ms};
    struct trp_timer *record;
    int error;

    TROUPE_TRY(trp_call_open_record(self, member, NULL, &record));
    record->asking.set = set;
    record->asking.label = label;
    error = trp_call_ask(self, to, type, body, &terms, record);
    if (is_outcome(error)) {
        trp_call_fail_later(self, record, error);
    } else if (error < 0) {
        trp_call_close_record(self, record);
        return error;
    }
    set->gathering.left++;
    return TROUPE_OK;
}

int troupe_request_set_ask(struct troupe_actor *self, struct troupe_request_set handle,
    uint64_t label, troupe_pid to, const struct troupe_type *type, const void *body)
{
    TRP_INSIDE(self);
    struct trp_timer *set;

    if (!trp_actor_is_mine(self) || type == NULL || type->destroy != NULL ||
        (body != NULL) != (type->size > 0)) {
        return TROUPE_EINVAL;
    }
    set = set_of(self, handle);
    if (set == NULL || set->gathering.closed) {
        return TROUPE_ENOENT;
    }
    return ask(self, set, label, to, type, body);
}

int troupe_request_set_close(struct troupe_actor *self, struct troupe_request_set handle)
{
    TRP_INSIDE(self);
    struct trp_timer *set;

    if (!trp_actor_is_mine(self)) {
        return TROUPE_EINVAL;
    }
    set = set_of(self, handle);
    if (set == NULL || set->gathering.closed) {
        return TROUPE_ENOENT;
    }
    set->gathering.closed = true;
    if (set->gathering.left == 0) {
        trp_call_close_record(self, set);
    }
    return TROUPE_OK;
}

static bool is_member(const struct trp_timer *record, const struct trp_timer *set)
{
    return record->on_reply == member && record->asking.set == set;
}

int troupe_request_set_cancel(struct troupe_actor *self, struct troupe_request_set handle)
{
    TRP_INSIDE(self);
    struct trp_list *calls;
    struct trp_list *entry;
    struct trp_timer *set;

    if (!trp_actor_is_mine(self)) {
        return TROUPE_EINVAL;
    }
    set = set_of(self, handle);
    if (set == NULL) {
        return TROUPE_ENOENT;
    }
    calls = &trp_actor_extra(self)->calls;
    entry = calls->next;
    while (set->gathering.left > 0) {
        struct trp_timer *record = trp_container_of(entry, struct trp_timer, entry);

        trp_assert(entry != calls);
        entry = entry->next;
        if (is_member(record, set)) {
            trp_call_close_record(self, record);
            set->gathering.left--;
        }
    }
    trp_call_close_record(self, set);
    return TROUPE_OK;
}

int trp_request_set_settle(struct troupe_actor *self, const struct trp_asking *asking, int status,
    struct troupe_message *reply)
{
    struct trp_timer *set = asking->set;
    troupe_set_fn on_outcome = set->gathering.on_outcome;
    void *context = set->context;
    uint32_t left = --set->gathering.left;

    /* First: the callback may not come back. */
    if (left == 0 && set->gathering.closed) {
        trp_call_close_record(self, set);
    }
    return on_outcome(self, self->state, context, asking->label, status, reply, left);
}

int troupe_request_many(struct troupe_actor *self, const troupe_pid *pids, size_t count,
    const struct troupe_type *type, const void *body, int timeout_ms, troupe_set_fn on_outcome,
    void *context)
{
    TRP_INSIDE(self);
    struct troupe_request_set set;

    if (pids == NULL || count == 0 || type == NULL || type->destroy != NULL ||
        (body != NULL) != (type->size > 0)) {
        return TROUPE_EINVAL;
    }
    TROUPE_TRY(troupe_request_set_open(self, timeout_ms, on_outcome, context, &set));
    for (size_t i = 0; i < count; i++) {
        int error = troupe_request_set_ask(self, set, i, pids[i], type, body);

        if (error < 0) {
            (void)troupe_request_set_cancel(self, set);
            return error;
        }
    }
    return troupe_request_set_close(self, set);
}
