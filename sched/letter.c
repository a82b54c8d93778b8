/* SPDX-License-Identifier: MIT */
/*
 * letter.c - messages that are given up.  See letter.h.
 */
#include "letter.h"

#include <string.h>

#include "callout.h"
#include "core.h"
#include "runtime.h"

/* What is given up in the hook is not shown: it might never end. */
static TRP_THREAD_LOCAL bool is_showing;

/* A letter, and what only we know of it. */
struct letter {
    struct troupe_dead_letter shown;
    struct troupe_runtime *runtime;
    struct troupe_message *msg;
    bool taken;
};

const char *troupe_shed_name(enum troupe_shed kind)
{
    static const char *const names[TROUPE_SHED_KINDS] = {
        [TROUPE_SHED_ENDED] = "ended",
        [TROUPE_SHED_NEWEST] = "newest",
        [TROUPE_SHED_TRANSFORM] = "transform",
        [TROUPE_SHED_EXPIRED] = "expired",
        [TROUPE_SHED_CODEL] = "codel",
        [TROUPE_SHED_OLDEST] = "oldest",
        [TROUPE_SHED_CONFLATED] = "conflated",
    };

    return (unsigned)kind < TROUPE_SHED_KINDS ? names[kind] : "unknown";
}

static void lost_destroy(void *body)
{
    troupe_message_destroy(((struct troupe_lost *)body)->msg);
}

const struct troupe_type troupe_lost = {
    "troupe_lost", sizeof(struct troupe_lost), lost_destroy, false};

/* Whether it is a user's message, whole, that somebody else sent. */
static bool is_letter(const struct troupe_message *msg)
{
    return trp_message_is_sent(msg) &&
           (msg->flags & (TRP_MESSAGE_INNER | TRP_MESSAGE_SYSTEM | TRP_MESSAGE_EMPTIED)) == 0;
}

static void show(struct troupe_runtime *runtime, struct letter *letter)
{
    if (runtime->options.on_dead_letter == NULL || is_showing) {
        return;
    }
    is_showing = true;
    trp_callouts++;
    runtime->options.on_dead_letter(runtime->options.dead_letter_context, &letter->shown);
    trp_callouts--;
    is_showing = false;
}

/* A PLAIN one with the body of `msg`, which has moved. */
static struct troupe_message *move_body(struct trp_context *context, struct troupe_message *msg)
{
    struct troupe_message *copy = trp_message_new(
        context, msg->type, msg->size, msg->size > TROUPE_BODY_INLINE ? TRP_MESSAGE_EXTENDED : 0);

    if (copy == NULL) {
        return NULL;
    }
    memcpy(trp_message_body(copy), trp_message_body(msg), msg->size);
    copy->sender = msg->sender;
    trp_message_set_runtime(copy, context->runtime);
    msg->flags |= TRP_MESSAGE_EMPTIED;
    return copy;
}

/* Whom it is sent to; TROUPE_NOBODY. */
static troupe_pid address_of(const struct letter *letter)
{
    /* relaxed: an address, which is good or is not. */
    troupe_pid to = atomic_load_explicit(&letter->runtime->letters_to, memory_order_relaxed);

    return letter->taken || letter->shown.to == to || letter->msg->type == &troupe_lost
               ? TROUPE_NOBODY
               : to;
}

/* Asked first: where letters are many there is no room for most, and nothing is copied for these. */
static bool has_room(struct trp_context *context, troupe_pid to)
{
    struct troupe_actor *actor = trp_table_find(&context->runtime->table, to);

    return actor != NULL &&
           trp_charge_queued(&actor->charge) >> 40 < trp_actor_capacity(actor->behaviour) >> 40;
}

/* Without memory it goes to nobody. */
static struct troupe_message *envelope(struct trp_context *context, const struct letter *letter)
{
    struct troupe_message *msg =
        trp_message_new(context, &troupe_lost, sizeof(struct troupe_lost), 0);
    struct troupe_message *moved = msg != NULL ? move_body(context, letter->msg) : NULL;

    if (moved == NULL && msg != NULL) {
        trp_message_free(&context->pool, msg);
    }
    if (moved == NULL) {
        return NULL;
    }
    *(struct troupe_lost *)trp_message_body(msg) = (struct troupe_lost){.kind = letter->shown.kind,
        .request = letter->shown.request,
        .to = letter->shown.to,
        .actor = letter->shown.actor,
        .msg = moved};
    return msg;
}

static TRP_NOINLINE void post(struct trp_context *context, const struct letter *letter)
{
    troupe_pid to = address_of(letter);
    struct troupe_message *msg;

    if (to == TROUPE_NOBODY || !has_room(context, to)) {
        return;
    }
    msg = envelope(context, letter);
    if (msg != NULL && trp_send_charged(context, to, msg, msg, 1, trp_message_weight(msg)) < 0) {
        trp_message_empty(msg);
        trp_message_free(&context->pool, msg);
    }
}

static void offer(struct trp_context *context, troupe_pid to, const char *actor,
    struct troupe_message *msg, enum troupe_shed kind)
{
    struct letter letter = {
        .shown = {.kind = kind,
            .request = trp_message_is_held(msg),
            .to = to,
            .actor = actor,
            .msg = msg},
        .runtime = context->runtime,
        .msg = msg,
    };

    trp_count(&context->counters.sheds[kind], 1);
    show(context->runtime, &letter);
    post(context, &letter);
}

void trp_letter_ended(
    struct trp_context *context, const struct troupe_actor *actor, struct troupe_message *msg)
{
    if (is_letter(msg)) {
        offer(context, trp_actor_pid(actor), actor->behaviour->name, msg, TROUPE_SHED_ENDED);
    }
}

void trp_letter_lost(struct trp_context *context, troupe_pid to, struct troupe_message *msg)
{
    if (is_letter(msg)) {
        offer(context, to, "", msg, TROUPE_SHED_ENDED);
    }
}

void trp_letter_note(struct trp_context *context, struct troupe_actor *actor,
    struct troupe_message *msg, enum troupe_shed kind)
{
    /* relaxed: a number. */
    atomic_fetch_add_explicit(&trp_actor_overload(actor)->sheds[kind], 1, memory_order_relaxed);
    trp_count(&context->counters.shed, 1);
    offer(context, trp_actor_pid(actor), actor->behaviour->name, msg, kind);
}

void trp_letter_shed(struct trp_context *context, struct troupe_actor *actor,
    struct troupe_message *msg, enum troupe_shed kind)
{
    trp_letter_note(context, actor, msg, kind);
    trp_message_dispose(context, msg, TROUPE_EOVERLOAD);
}

int troupe_dead_letter_take(
    const struct troupe_dead_letter *letter, struct troupe_message **out_msg)
{
    struct letter *own = trp_container_of(letter, struct letter, shown);
    struct troupe_message *copy;
    struct trp_visit visit;

    if (letter == NULL || out_msg == NULL || own->taken) {
        return TROUPE_EINVAL;
    }
    TROUPE_TRY(trp_context_enter(own->runtime, &visit));
    copy = move_body(visit.context, own->msg);
    trp_context_leave(&visit);
    if (copy == NULL) {
        return TROUPE_ENOMEM;
    }
    own->taken = true;
    *out_msg = copy;
    return TROUPE_OK;
}

int troupe_dead_letters_to(struct troupe_runtime *runtime, troupe_pid to)
{
    struct trp_visit visit;
    int error = TROUPE_OK;

    if (runtime == NULL || (to != TROUPE_NOBODY && !trp_pid_is_actor(to))) {
        return TROUPE_EINVAL;
    }
    TROUPE_TRY(trp_context_enter(runtime, &visit));
    if (to != TROUPE_NOBODY && trp_table_find(&runtime->table, to) == NULL) {
        error = TROUPE_EGONE;
    }
    trp_context_leave(&visit);
    if (error == TROUPE_OK) {
        /* relaxed: an address, which is good or is not. */
        atomic_store_explicit(&runtime->letters_to, to, memory_order_relaxed);
    }
    return error;
}
