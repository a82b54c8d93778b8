/* SPDX-License-Identifier: MIT */
/* scenario_overload.c - full mailboxes with each policy, and dead letters. */
#include "scenario.h"

#include <string.h>

static const struct troupe_type number = TROUPE_TYPE(uint64_t);
static const struct troupe_type bytes = TROUPE_BYTES;

#define ROOM 2
#define SENT 5

static int take_note(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    (void)self;
    (void)state;
    return troupe_is(msg, &number) || troupe_is(msg, &bytes) || troupe_is(msg, &troupe_lost)
               ? TROUPE_OK
               : TROUPE_EUNKNOWN;
}

static int take_batch(
    struct troupe_actor *self, void *state, struct troupe_message **msgs, size_t count)
{
    struct troupe_peek peek;
    struct troupe_message *msg;

    (void)state;
    HOLDS(!troupe_peek(self, &peek) || peek.type == &bytes);
    if (count > 1 && WENT(troupe_take(self, msgs[0], &msg), MAY(TROUPE_ENOMEM))) {
        troupe_message_destroy(msg);
    }
    return TROUPE_OK;
}

static bool to_number(const struct troupe_message *msg, struct troupe_smaller *out_smaller)
{
    uint64_t size = troupe_body_size(msg);

    out_smaller->type = &number;
    out_smaller->size = sizeof size;
    memcpy(out_smaller->body, &size, sizeof size);
    return true;
}

static const struct troupe_overload drops = {.policy = TROUPE_OVERLOAD_DROP_NEWEST};
static const struct troupe_overload shrinks = {
    .policy = TROUPE_OVERLOAD_TRANSFORM, .transform = to_number};
static const struct troupe_overload redirects = {.policy = TROUPE_OVERLOAD_REDIRECT};
static const struct troupe_overload ages = {
    .policy = TROUPE_OVERLOAD_DROP_NEWEST, .expire_ms = 60000, .codel = true};
static uint64_t key_of(const struct troupe_message *msg)
{
    return troupe_body_size(msg) % 2;
}

static const struct troupe_overload displaces = {.policy = TROUPE_OVERLOAD_DROP_OLDEST};
static const struct troupe_overload conflates = {.policy = TROUPE_OVERLOAD_CONFLATE, .key = key_of};
static uint32_t lane_of(const struct troupe_message *msg)
{
    return troupe_body_size(msg) > TROUPE_BODY_INLINE;
}

static const struct troupe_overload urgent = {.lanes = 2, .lane = lane_of};
static const struct troupe_overload shares = {
    .policy = TROUPE_OVERLOAD_DROP_OLDEST, .lanes = 2, .lane = lane_of, .by_sender = true};
static const struct troupe_overload shrinks_fairly = {
    .policy = TROUPE_OVERLOAD_TRANSFORM, .transform = to_number, .by_sender = true};
static const struct troupe_overload exits = {.policy = TROUPE_OVERLOAD_EXIT};

struct post {
    struct scene *scene;
    unsigned shown;
    troupe_pid spill;
    troupe_pid letters;
};

/* Every other one is kept for a moment. */
static void open_letter(void *context, const struct troupe_dead_letter *letter)
{
    struct post *post = context;
    struct troupe_message *msg;

    HOLDS(strcmp(troupe_shed_name(letter->kind), "unknown") != 0);
    if (post->shown++ % 2 == 0 && WENT(troupe_dead_letter_take(letter, &msg), MAY(TROUPE_ENOMEM))) {
        troupe_message_destroy(msg);
    }
}

static int redirect_init(struct troupe_actor *self, void *state, const void *arg)
{
    const struct post *post = arg;

    (void)state;
    (void)WENT(troupe_overload_redirect(self, post->spill), 0);
    return TROUPE_OK;
}

/* Sends so many that there is no room for all. */
static void flood(struct post *post, troupe_pid pid, unsigned may)
{
    for (unsigned i = 0; i < SENT; i++) {
        struct troupe_message *msg;
        int error;

        /* Some leave no room for a stamp in their block. */
        size_t size = i % 2 == 0 ? 5000 : TROUPE_BODY_INLINE;

        if (!WENT(troupe_message_create(post->scene->runtime, &bytes, size, &msg),
                MAY(TROUPE_ENOMEM))) {
            continue;
        }
        error = troupe_try_send(post->scene->runtime, pid, msg);
        if (error < 0) {
            HOLDS((may & MAY(error)) != 0);
            troupe_message_destroy(msg);
        }
    }
}

#define SMALL(policy, first)                                                                       \
    {                                                                                              \
        .name = "small", .init = (first), .receive = take_note, .capacity = ROOM,                  \
        .overload = (policy)                                                                       \
    }

static const struct troupe_behaviour plain = SMALL(NULL, NULL);
static const struct troupe_behaviour batching = {.name = "small",
    .receive = take_note,
    .receive_batch = take_batch,
    .capacity = ROOM,
    .overload = &drops};
static const struct troupe_behaviour dropping = SMALL(&drops, NULL);
static const struct troupe_behaviour shrinking = SMALL(&shrinks, NULL);
static const struct troupe_behaviour redirecting = SMALL(&redirects, redirect_init);
static const struct troupe_behaviour ageing = SMALL(&ages, NULL);
static const struct troupe_behaviour displacing = SMALL(&displaces, NULL);
static const struct troupe_behaviour conflating = SMALL(&conflates, NULL);
static const struct troupe_behaviour with_lanes = SMALL(&urgent, NULL);
static const struct troupe_behaviour sharing = SMALL(&shares, NULL);
static const struct troupe_behaviour shrinking_fairly = SMALL(&shrinks_fairly, NULL);
static const struct troupe_behaviour exiting = SMALL(&exits, NULL);

/* Fills a mailbox before its actor has begun, and after. */
static void fill(struct post *post, const struct troupe_behaviour *behaviour, unsigned may)
{
    struct troupe_spawn_options options = {.behaviour = behaviour, .arg = post};
    struct troupe_mailbox_info info;
    troupe_pid pid;

    if (!WENT(troupe_runtime_spawn(post->scene->runtime, &options, &pid), MAY(TROUPE_ENOMEM))) {
        return;
    }
    flood(post, pid, may | MAY(TROUPE_EGONE));
    if (WENT(troupe_mailbox_info(post->scene->runtime, pid, &info), MAY(TROUPE_EGONE))) {
        HOLDS(info.length <= ROOM + 1);
        HOLDS(info.redirected == 0 || behaviour == &redirecting);
    }
    scene_pump(post->scene);
    flood(post, pid, may | MAY(TROUPE_EGONE));
    scene_pump(post->scene);
}

/* ---- a handler that is paused ---- */

/* Sends more than `plain` has room for, each time it is told to. */
static int pour(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    const troupe_pid *to = state;
    bool took = false;

    (void)msg;
    for (uint64_t i = 0; i < SENT; i++) {
        int error = troupe_send(self, *to, &number, &i);

        took = took || error == TROUPE_OK;
        HOLDS(error == TROUPE_OK || error == TROUPE_EFULL || error == TROUPE_ENOMEM ||
              error == TROUPE_EGONE);
    }
    HOLDS(took || !troupe_pressure(self));
    return TROUPE_OK;
}

static const struct troupe_behaviour marginal = {
    .name = "marginal", .receive = take_note, .capacity = ROOM, .margin = 1};

static int pour_init(struct troupe_actor *self, void *state, const void *arg)
{
    (void)self;
    *(troupe_pid *)state = *(const troupe_pid *)arg;
    return TROUPE_OK;
}

static const struct troupe_behaviour pouring = {
    .name = "pouring", .state_size = sizeof(troupe_pid), .init = pour_init, .receive = pour};

static void pause_some(struct post *post)
{
    struct troupe_spawn_options options = {.behaviour = &marginal};
    troupe_pid pid;

    if (!WENT(troupe_runtime_spawn(post->scene->runtime, &options, &pid), MAY(TROUPE_ENOMEM))) {
        return;
    }
    options =
        (struct troupe_spawn_options){.behaviour = &pouring, .arg = &pid, .arg_size = sizeof pid};
    for (unsigned i = 0; i < 2; i++) {
        troupe_pid source;

        if (WENT(troupe_runtime_spawn(post->scene->runtime, &options, &source),
                MAY(TROUPE_ENOMEM))) {
            flood(post, source, MAY(TROUPE_EFULL));
        }
    }
    scene_pump(post->scene);
}

void scenario_overload(void)
{
    struct post post = {0};
    struct scene scene = {.on_dead_letter = open_letter, .dead_letter_context = &post};
    struct troupe_spawn_options options = {.behaviour = &plain};

    post.scene = &scene;
    if (!scene_open(&scene, TROUPE_NO_THREADS)) {
        return;
    }
    (void)WENT(troupe_runtime_spawn(scene.runtime, &options, &post.spill), MAY(TROUPE_ENOMEM));
    (void)WENT(troupe_runtime_spawn(scene.runtime, &options, &post.letters), MAY(TROUPE_ENOMEM));
    (void)WENT(troupe_dead_letters_to(scene.runtime, post.letters), 0);
    fill(&post, &dropping, 0);
    fill(&post, &batching, 0);
    fill(&post, &shrinking, 0);
    fill(&post, &ageing, 0);
    fill(&post, &displacing, 0);
    fill(&post, &conflating, 0);
    fill(&post, &with_lanes, MAY(TROUPE_EFULL));
    fill(&post, &sharing, 0);
    fill(&post, &shrinking_fairly, 0);
    fill(&post, &redirecting, MAY(TROUPE_EFULL));
    fill(&post, &exiting, MAY(TROUPE_EFULL));
    fill(&post, &plain, MAY(TROUPE_EFULL));
    pause_some(&post);
    HOLDS(post.shown > 0 || fault_has_hit());
    scene_close(&scene);
}
