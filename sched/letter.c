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
