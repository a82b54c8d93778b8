/* SPDX-License-Identifier: MIT */
/* scenario_flow.c - flows: a source, a stage, a sink, and straight-line code; and a topic. */
#include "scenario.h"

#include <string.h>

static const struct troupe_type item_type = TROUPE_TYPE(uint64_t);

/* Too large for a pool. */
static const struct troupe_type large_type = {"large", 5000, NULL, false};

/* TROUPE_EINVAL: of a flow that could not be offered nobody is the producer. */
#define MAY_FLOW (MAY(TROUPE_ENOMEM) | MAY(TROUPE_EGONE) | MAY(TROUPE_EINVAL))
/* A put when nobody could subscribe. */
#define MAY_PUT                                                                                    \
    (MAY(TROUPE_ENOMEM) | MAY(TROUPE_EFULL) | MAY(TROUPE_ENOENT) | MAY(TROUPE_ETIMEDOUT))

static struct {
    struct troupe_flow source;
    struct troupe_flow stage;
    struct troupe_flow straight;
    uint64_t next;
    unsigned got;
    unsigned ends;
    unsigned manual;
    unsigned published;
    unsigned straight_got;
    unsigned lefts;
} flows;

#define ITEMS 12

static int stay(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    (void)self;
    (void)state;
    (void)msg;
    return TROUPE_OK;
}

/* ---- source, stage and sink ---- */

static void put_batch(struct troupe_actor *self, struct troupe_flow flow)
{
    struct troupe_message *items[2];
    unsigned count = 0;

    while (count < 2 &&
           WENT(troupe_message_create(troupe_runtime_of(self), &item_type, 0, &items[count]),
               MAY(TROUPE_ENOMEM))) {
        *(uint64_t *)troupe_body(items[count++]) = ++flows.next;
    }
    if (!WENT(troupe_flow_put_batch(self, flow, items, count), MAY_PUT)) {
        while (count > 0) {
            troupe_message_destroy(items[--count]);
        }
    }
}

static int on_room(
    struct troupe_actor *self, void *state, void *context, struct troupe_flow flow, uint32_t room)
{
    (void)state;
    (void)context;
    while (room-- > 1 && flows.next < ITEMS) {
        if (flows.next % 4 == 2) {
            put_batch(self, flow);
            room--;
        } else {
            flows.next++;
            (void)WENT(troupe_flow_put(self, flow, &flows.next), MAY_PUT);
        }
        if (flows.next >= ITEMS) {
            HOLDS(troupe_flow_end(self, flow, TROUPE_OK) == TROUPE_OK);
            return TROUPE_OK;
        }
    }
    return TROUPE_OK;
}

static int on_left(struct troupe_actor *self, void *state, void *context, struct troupe_flow flow,
    troupe_pid subscriber, int status, uint32_t left)
{
    (void)self;
    (void)state;
    (void)context;
    (void)flow;
    (void)subscriber;
    (void)left;
    HOLDS(status == TROUPE_ECANCELLED || status == TROUPE_EDIED);
    flows.lefts++;
    return TROUPE_OK;
}

static int offer(struct troupe_actor *self, void *arg)
{
    struct troupe_flow_options options = {
        .type = &item_type, .buffer = 2, .on_room = on_room, .on_left = on_left};

    (void)arg;
    return WENT(troupe_flow_offer(self, &options, &flows.source), MAY(TROUPE_ENOMEM)) ? TROUPE_OK
                                                                                      : TROUPE_DONE;
}

static int pass_on(struct troupe_actor *self, void *state, void *context,
    troupe_subscription subscription, struct troupe_message *item)
{
    struct troupe_message *mine;

    (void)state;
    (void)context;
    (void)item;
    HOLDS(troupe_flow_room(self, flows.stage) > 0);
    HOLDS(troupe_flow_keep(self, subscription, &mine) == TROUPE_OK);
    if (!WENT(troupe_flow_put_message(self, flows.stage, mine), MAY_PUT)) {
        troupe_message_destroy(mine);
    }
    return TROUPE_OK;
}

static int become_stage(struct troupe_actor *self, void *arg)
{
    struct troupe_flow_options options = {.type = &item_type};
    struct troupe_subscribe_options subscribe = {.window = 4, .on_item = pass_on};
    struct troupe_flow_facts facts;
    troupe_subscription subscription;

    (void)arg;
    if (!WENT(troupe_flow_offer(self, &options, &flows.stage), MAY(TROUPE_ENOMEM)) ||
        !WENT(troupe_flow_subscribe(self, flows.source, &subscribe, &subscription), MAY_FLOW)) {
        return TROUPE_DONE;
    }
    HOLDS(troupe_flow_pipe(self, subscription, flows.stage) == TROUPE_OK);
    HOLDS(troupe_flow_facts(self, flows.stage, &facts) == TROUPE_OK && facts.put == 0);
    return TROUPE_OK;
}

static int on_item(struct troupe_actor *self, void *state, void *context,
    troupe_subscription subscription, struct troupe_message *item)
{
    (void)state;
    HOLDS(troupe_is(item, &item_type));
    HOLDS(troupe_flow_missed(self, subscription) == 0);
    ++*(unsigned *)context;
    return TROUPE_OK;
}

static int on_end(struct troupe_actor *self, void *state, void *context,
    troupe_subscription subscription, int status)
{
    (void)self;
    (void)state;
    (void)context;
    (void)subscription;
    HOLDS(status == TROUPE_OK || fault_has_hit());
    flows.ends++;
    return TROUPE_OK;
}

static int drink(struct troupe_actor *self, void *arg)
{
    struct troupe_subscribe_options options = {
        .window = 3, .on_item = on_item, .on_end = on_end, .context = arg};
    struct troupe_subscribe_options manual = {
        .window = 2, .manual = true, .on_item = on_item, .context = &flows.manual};
    troupe_subscription subscription;
    troupe_subscription other;

    if (!WENT(troupe_flow_subscribe(self, flows.stage, &options, &subscription), MAY_FLOW)) {
        return TROUPE_DONE;
    }
    if (WENT(troupe_flow_subscribe(self, flows.stage, &manual, &other), MAY_FLOW)) {
        (void)WENT(troupe_flow_request(self, other, 1), MAY(TROUPE_ENOMEM));
        HOLDS(troupe_flow_cancel(self, other) == TROUPE_OK);
    }
    return TROUPE_OK;
}

/* ---- straight-line code ---- */

static int put_straight(struct troupe_actor *self, const void *arg)
{
    struct troupe_flow_options options = {.type = &item_type};
    struct troupe_message *item;
    uint64_t body = 1;

    (void)arg;
    if (!WENT(troupe_flow_offer(self, &options, &flows.straight), MAY(TROUPE_ENOMEM))) {
        return TROUPE_OK;
    }
    (void)WENT(troupe_flow_put_within(self, flows.straight, &body, 50), MAY_PUT);
    if (WENT(troupe_message_create(troupe_runtime_of(self), &item_type, 0, &item),
            MAY(TROUPE_ENOMEM))) {
        *(uint64_t *)troupe_body(item) = 2;
        if (!WENT(troupe_flow_put_message_within(self, flows.straight, item, 50), MAY_PUT)) {
            troupe_message_destroy(item);
        }
    }
    HOLDS(troupe_flow_end(self, flows.straight, TROUPE_OK) == TROUPE_OK);
    return TROUPE_OK;
}

static int take_straight(struct troupe_actor *self, const void *arg)
{
    struct troupe_subscribe_options options = {.window = 1};
    troupe_subscription subscription;
    struct troupe_message *item;
    int status;

    (void)arg;
    if (!WENT(troupe_flow_subscribe(self, flows.straight, &options, &subscription), MAY_FLOW)) {
        return TROUPE_OK;
    }
    while ((status = troupe_flow_next(self, subscription, 100, &item)) == TROUPE_OK) {
        flows.straight_got++;
    }
    HOLDS(status == TROUPE_DONE || fault_has_hit());
    return TROUPE_OK;
}

static const struct troupe_behaviour putting = {.name = "putting", .main = put_straight};
static const struct troupe_behaviour taking = {.name = "taking", .main = take_straight};

static void spawn(struct scene *scene, const struct troupe_behaviour *behaviour, const void *arg)
{
    struct troupe_spawn_options options = {.behaviour = behaviour, .arg = arg};
    troupe_pid pid;

    (void)WENT(troupe_runtime_spawn(scene->runtime, &options, &pid), MAY(TROUPE_ENOMEM));
}

void scenario_flow(void)
{
    struct scene_part offers = {.fn = offer, .receive = stay};
    struct scene_part passes = {.fn = become_stage, .receive = stay};
    struct scene_part drinks = {.fn = drink, .receive = stay, .arg = &flows.got};
    struct scene scene = {.watchdog_ms = 0};

    memset(&flows, 0, sizeof flows);
    if (!scene_open(&scene, TROUPE_NO_THREADS)) {
        return;
    }
    (void)scene_play(&scene, &offers);
    scene_pump(&scene);
    (void)scene_play(&scene, &passes);
    scene_pump(&scene);
    (void)scene_play(&scene, &drinks);
    scene_pump(&scene);
    HOLDS(flows.got == ITEMS || fault_has_hit());
    HOLDS(flows.ends == 1 || fault_has_hit());
    HOLDS(flows.manual == 0);
    scene_close(&scene);
}

void scenario_flow_straight(void)
{
    struct scene scene = {.watchdog_ms = 0};

    memset(&flows, 0, sizeof flows);
    if (!scene_open(&scene, TROUPE_NO_THREADS)) {
        return;
    }
    spawn(&scene, &putting, NULL);
    scene_pump(&scene);
    spawn(&scene, &taking, NULL);
    scene_await(&scene, &flows.straight_got, 2);
    HOLDS(flows.straight_got == 2 || fault_has_hit());
    scene_close(&scene);
}

/* ---- a topic ---- */

static const struct troupe_behaviour topic = TROUPE_TOPIC("topic");
static const struct troupe_topic_options topic_options = {.type = &large_type, .retain = true};

static int on_large(struct troupe_actor *self, void *state, void *context,
    troupe_subscription subscription, struct troupe_message *item)
{
    (void)context;
    (void)state;
    (void)subscription;
    (void)self;
    HOLDS(troupe_is(item, &large_type));
    flows.got++;
    return TROUPE_OK;
}

static int subscribe(struct troupe_actor *self, void *arg)
{
    struct troupe_subscribe_options options = {.on_item = on_large, .retained = true};
    troupe_subscription subscription;
    troupe_subscription other;

    if (!WENT(
            troupe_topic_subscribe(self, *(troupe_pid *)arg, &options, &subscription), MAY_FLOW)) {
        return TROUPE_DONE;
    }
    if (WENT(troupe_topic_subscribe(self, *(troupe_pid *)arg, &options, &other), MAY_FLOW)) {
        HOLDS(troupe_topic_unsubscribe(self, other) == TROUPE_OK);
    }
    return TROUPE_OK;
}

static int publish(struct troupe_actor *self, void *arg)
{
    static const char body[5000] = "x";

    flows.published +=
        WENT(troupe_topic_publish(self, *(troupe_pid *)arg, &large_type, body), MAY_FLOW);
    return TROUPE_DONE;
}

void scenario_topic(void)
{
    struct troupe_spawn_options options = {.behaviour = &topic, .arg = &topic_options};
    troupe_pid pid = TROUPE_NOBODY;
    struct scene_part subscribes = {.fn = subscribe, .receive = stay, .arg = &pid};
    struct scene_part publishes = {.fn = publish, .receive = stay, .arg = &pid};
    struct scene scene = {.watchdog_ms = 0};

    memset(&flows, 0, sizeof flows);
    if (!scene_open(&scene, TROUPE_NO_THREADS)) {
        return;
    }
    if (WENT(troupe_runtime_spawn(scene.runtime, &options, &pid), MAY(TROUPE_ENOMEM))) {
        scene_pump(&scene);
        for (unsigned i = 0; i < 2; i++) {
            (void)scene_play(&scene, &subscribes);
            scene_pump(&scene);
            (void)scene_play(&scene, &publishes);
            scene_pump(&scene);
        }
        (void)scene_play(&scene, &subscribes);
        scene_pump(&scene);
        /* 1 to one, 1 that is retained to the second, 1 to both, 1 retained to the third. */
        HOLDS(flows.got == 5 || fault_has_hit());
        HOLDS(flows.published == 2 || fault_has_hit());
    }
    scene_close(&scene);
}
