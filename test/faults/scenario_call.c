/* SPDX-License-Identifier: MIT */
/* scenario_call.c - requests with options, passed on, in sets; calls from foreign threads. */
#include "scenario.h"

#include <string.h>

static const struct troupe_type question = TROUPE_TYPE(uint64_t);
static const struct troupe_type riddle = TROUPE_BYTES;

enum how {
    HOW_REPLY,
    HOW_DELEGATE,
    HOW_DELEGATE_MESSAGE,
    HOW_NOTHING,
    HOW_COUNT,
};

static int reply(struct troupe_actor *self, struct troupe_message *msg)
{
    uint64_t body = 42;

    if (WENT(troupe_reply(self, msg, &question, &body), MAY(TROUPE_ENOMEM))) {
        return TROUPE_OK;
    }
    return troupe_reply_error(self, msg, TROUPE_ENOMEM);
}

static int reply_all(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    (void)state;
    return troupe_is_request(msg) ? reply(self, msg) : TROUPE_EUNKNOWN;
}

static void delegate_message(
    struct troupe_actor *self, troupe_pid next, struct troupe_message *msg, size_t size)
{
    struct troupe_message *sent;

    if (!WENT(troupe_message_create(troupe_runtime_of(self), &riddle, size, &sent),
            MAY(TROUPE_ENOMEM))) {
        return;
    }
    memset(troupe_body(sent), 1, size);
    if (!WENT(troupe_delegate_message(self, next, msg, sent), MAY_SEND)) {
        troupe_message_destroy(sent);
    }
}

/* What cannot be passed on goes without an answer. */
static int pass_on(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    const troupe_pid *next = scene_arg(state);

    if (!troupe_is_request(msg)) {
        return TROUPE_EUNKNOWN;
    }
    HOLDS(troupe_is_awaited(msg));
    HOLDS(troupe_deadline(self) != 0);
    switch (*(const uint64_t *)troupe_body(msg)) {
    case HOW_REPLY:
        return reply(self, msg);
    case HOW_DELEGATE:
        (void)WENT(troupe_delegate(self, *next, msg, &question, &(uint64_t){HOW_REPLY}), MAY_SEND);
        return TROUPE_OK;
    case HOW_DELEGATE_MESSAGE:
        delegate_message(self, *next, msg, 8);
        if (troupe_is_request(msg)) {
            delegate_message(self, *next, msg, 500);
        }
        return TROUPE_OK;
    default:
        return TROUPE_OK;
    }
}

struct asking {
    troupe_pid to;
    unsigned asked;
    unsigned told;
};

static int on_outcome(
    struct troupe_actor *self, void *state, void *context, int status, struct troupe_message *msg)
{
    struct asking *asking = context;

    (void)self;
    (void)state;
    HOLDS((status == TROUPE_OK) == (msg != NULL));
    asking->told++;
    return TROUPE_OK;
}

static int on_member(struct troupe_actor *self, void *state, void *context, uint64_t label,
    int status, struct troupe_message *msg, uint32_t left)
{
    HOLDS(label <= HOW_COUNT && left <= HOW_COUNT);
    return on_outcome(self, state, context, status, msg);
}

static int on_cancelled(struct troupe_actor *self, void *state, void *context, uint64_t label,
    int status, struct troupe_message *msg, uint32_t left)
{
    (void)self;
    (void)state;
    (void)context;
    (void)label;
    (void)status;
    (void)msg;
    (void)left;
    HOLDS(!"a set that was cancelled tells nothing");
    return TROUPE_OK;
}

static void ask_set(struct troupe_actor *self, struct asking *asking)
{
    struct troupe_request_set set;

    if (!WENT(troupe_request_set_open(self, 100000, on_member, asking, &set), MAY(TROUPE_ENOMEM))) {
        return;
    }
    for (uint64_t how = 0; how <= HOW_COUNT; how++) {
        /* The last one is asked of nobody. */
        troupe_pid to = how < HOW_COUNT ? asking->to : TROUPE_NOBODY;

        asking->asked +=
            WENT(troupe_request_set_ask(self, set, how, to, &question, &how), MAY(TROUPE_ENOMEM));
    }
    HOLDS(troupe_request_set_close(self, set) == TROUPE_OK);
}

static void ask_and_cancel(struct troupe_actor *self, struct asking *asking)
{
    struct troupe_request_set set;

    if (!WENT(troupe_request_set_open(self, TROUPE_FOREVER, on_cancelled, asking, &set),
            MAY(TROUPE_ENOMEM))) {
        return;
    }
    for (uint64_t how = 0; how < HOW_COUNT; how++) {
        (void)WENT(troupe_request_set_ask(self, set, how, asking->to, &question, &how),
            MAY(TROUPE_ENOMEM));
    }
    HOLDS(troupe_request_set_cancel(self, set) == TROUPE_OK);
}

static int ask_all(struct troupe_actor *self, void *arg)
{
    static const struct troupe_request_options options = {.skip = TROUPE_SKIP_NONE};
    struct asking *asking = arg;
    troupe_pid twice[2] = {asking->to, asking->to};

    if (asking->to == TROUPE_NOBODY) {
        return TROUPE_DONE;
    }
    for (uint64_t how = 0; how < HOW_COUNT; how++) {
        asking->asked += WENT(
            troupe_request_with(self, asking->to, &question, &how, &options, on_outcome, asking),
            MAY_SEND);
    }
    ask_set(self, asking);
    ask_and_cancel(self, asking);
    if (WENT(troupe_request_many(
                 self, twice, 2, &question, &(uint64_t){HOW_REPLY}, 100000, on_member, asking),
            MAY(TROUPE_ENOMEM))) {
        asking->asked += 2;
    }
    return TROUPE_OK;
}

void scenario_ask(void)
{
    struct asking asking = {0};
    troupe_pid last;
    static const struct scene_part answers_all = {.receive = reply_all};
    struct scene_part passes_on = {.receive = pass_on, .arg = &last};
    struct scene_part asks = {.fn = ask_all, .arg = &asking};
    struct scene scene = {0};

    if (!scene_open(&scene, TROUPE_NO_THREADS)) {
        return;
    }
    last = scene_play(&scene, &answers_all);
    asking.to = scene_play(&scene, &passes_on);
    (void)scene_play(&scene, &asks);
    scene_pump(&scene);
    scene_await(&scene, &asking.told, asking.asked);
    HOLDS(asking.told == asking.asked);
    scene_close(&scene);
}

/* ---- from a foreign thread ---- */

#define MAY_CALL (MAY_SEND | MAY(TROUPE_EUNANSWERED) | MAY(TROUPE_EDIED))

void scenario_thread_call(void)
{
    troupe_pid last;
    static const struct scene_part answers_all = {.receive = reply_all};
    struct scene_part passes_on = {.receive = pass_on, .arg = &last};
    struct scene scene = {0};
    troupe_pid to;

    if (!scene_open(&scene, 1)) {
        return;
    }
    last = scene_play(&scene, &answers_all);
    to = scene_play(&scene, &passes_on);
    for (uint64_t how = 0; to != TROUPE_NOBODY && how < HOW_NOTHING; how++) {
        struct troupe_message *answer;
        uint64_t value = 0;

        if (WENT(troupe_runtime_call(
                     scene.runtime, to, &question, &how, &question, &value, SCENE_WAIT_MS),
                MAY_CALL)) {
            HOLDS(value == 42);
        }
        if (WENT(troupe_runtime_call_message(
                     scene.runtime, to, &question, &how, TROUPE_FOREVER, &answer),
                MAY_CALL)) {
            HOLDS(troupe_is(answer, &question));
            troupe_message_destroy(answer);
        }
    }
    scene_close(&scene);
}
