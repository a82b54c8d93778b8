/* SPDX-License-Identifier: MIT */
/* Topics: everybody gets what is published, nobody is waited for, and who comes late may get the last value. */
#include "test/support/stage.h"

#include <troupe/gate.h>

#define NOTES 64

static _Atomic int64_t alive; /* bodies that were published or copied, and not destroyed */

static void price_destroy(void *body)
{
    cr_assert_neq(*(uint64_t *)body, 0, "destroyed twice");
    *(uint64_t *)body = 0;
    alive--;
}

static int price_copy(void *to, const void *from)
{
    (void)to;
    (void)from;
    alive++;
    return TROUPE_OK;
}

static const struct troupe_type price = TROUPE_TYPE_DESTROY(uint64_t, price_destroy);
static const struct troupe_behaviour prices = TROUPE_TOPIC("prices", .capacity = STAGE_ROOM);

struct reader {
    troupe_pid topic;
    struct troupe_subscribe_options options;
    troupe_subscription subscription;
    uint32_t ask;
    int result;
    uint64_t got[NOTES];
    uint32_t missed[NOTES];
    unsigned count;
    unsigned ends;
    int status;
    uint32_t end_missed;
};

static int on_item(struct troupe_actor *self, void *state, void *context,
    troupe_subscription subscription, struct troupe_message *item)
{
    struct reader *reader = context;

    (void)state;
    cr_assert(troupe_is(item, &price));
    cr_assert_lt(reader->count, NOTES);
    reader->missed[reader->count] = troupe_flow_missed(self, subscription);
    reader->got[reader->count++] = *(const uint64_t *)troupe_body(item);
    return TROUPE_OK;
}

static int on_end(struct troupe_actor *self, void *state, void *context,
    troupe_subscription subscription, int status)
{
    struct reader *reader = context;

    (void)state;
    reader->ends++;
    reader->status = status;
    reader->end_missed = troupe_flow_missed(self, subscription);
    return TROUPE_OK;
}

static int do_subscribe(struct troupe_actor *self, void *arg)
{
    struct reader *reader = arg;

    reader->options.on_item = on_item;
    reader->options.on_end = on_end;
    reader->options.context = reader;
    reader->result =
        troupe_topic_subscribe(self, reader->topic, &reader->options, &reader->subscription);
    return TROUPE_OK;
}

static int do_unsubscribe(struct troupe_actor *self, void *arg)
{
    struct reader *reader = arg;

    reader->result = troupe_topic_unsubscribe(self, reader->subscription);
    return TROUPE_OK;
}

static int do_request(struct troupe_actor *self, void *arg)
{
    struct reader *reader = arg;

    reader->result = troupe_flow_request(self, reader->subscription, reader->ask);
    return TROUPE_OK;
}

struct edition {
    troupe_pid topic;
    uint64_t first;
    uint64_t last;
    int error;
};

static int do_publish(struct troupe_actor *self, void *arg)
{
    struct edition *edition = arg;

    for (uint64_t i = edition->first; i <= edition->last; i++) {
        alive++;
        edition->error = troupe_topic_publish(self, edition->topic, &price, &i);
        if (edition->error < 0) {
            alive--;
            break;
        }
    }
    return TROUPE_OK;
}

static int leave(struct troupe_actor *self, void *arg)
{
    (void)self;
    (void)arg;
    return TROUPE_DONE;
}

/* A stage with a topic and somebody who publishes. */
struct scene {
    struct stage stage;
    troupe_pid topic;
    troupe_pid publisher;
};

static void scene_open(struct scene *scene, const struct troupe_topic_options *options)
{
    stage_open(&scene->stage, TROUPE_NO_THREADS);
    scene->topic = stage_spawn(&scene->stage, &prices, options);
    scene->publisher = stage_spawn(&scene->stage, &stage_puppet, NULL);
    stage_run(&scene->stage);
}

static void scene_close(struct scene *scene)
{
    stage_close(&scene->stage);
    cr_assert_eq(alive, 0, "%lld items were not destroyed", (long long)alive);
}

static troupe_pid subscribe(struct scene *scene, struct reader *reader)
{
    troupe_pid pid = stage_spawn(&scene->stage, &stage_puppet, NULL);

    reader->topic = scene->topic;
    cr_assert_eq(stage_do(&scene->stage, pid, do_subscribe, reader), TROUPE_OK);
    stage_run(&scene->stage);
    return pid;
}

static void publish(struct scene *scene, uint64_t first, uint64_t last)
{
    struct edition edition = {scene->topic, first, last, 0};

    cr_assert_eq(stage_do(&scene->stage, scene->publisher, do_publish, &edition), TROUPE_OK);
    cr_assert_eq(edition.error, TROUPE_OK);
    stage_run(&scene->stage);
}

static void request(struct scene *scene, troupe_pid pid, struct reader *reader, uint32_t count)
{
    reader->ask = count;
    cr_assert_eq(stage_do(&scene->stage, pid, do_request, reader), TROUPE_OK);
    stage_run(&scene->stage);
}

Test(topic, all_subscribers_get_what_is_published_in_order, .timeout = 20)
{
    const struct troupe_topic_options options = {.type = &price, .copy = price_copy};
    struct reader readers[3] = {{.count = 0}};
    struct scene scene;

    scene_open(&scene, &options);
    publish(&scene, 1, 5);
    for (unsigned i = 0; i < 3; i++) {
        subscribe(&scene, &readers[i]);
    }
    publish(&scene, 6, 20);
    for (unsigned i = 0; i < 3; i++) {
        cr_assert_eq(readers[i].count, 15);
        for (unsigned j = 0; j < 15; j++) {
            cr_assert_eq(readers[i].got[j], 6 + j);
            cr_assert_eq(readers[i].missed[j], 0);
        }
    }
    scene_close(&scene);
}

Test(topic, a_slow_subscriber_holds_neither_the_publisher_nor_the_others, .timeout = 20)
{
    const struct troupe_topic_options options = {.type = &price, .copy = price_copy, .buffer = 4};
    struct reader fast = {.count = 0};
    struct reader oldest = {.options = {.manual = true}};
    struct reader newest = {
        .options = {.manual = true, .policy = TROUPE_FLOW_DROP_NEWEST, .buffer = 2}};
    struct reader cut = {.options = {.manual = true, .policy = TROUPE_FLOW_CUT}};
    troupe_pid slow[2];
    struct scene scene;

    scene_open(&scene, &options);
    subscribe(&scene, &fast);
    slow[0] = subscribe(&scene, &oldest);
    slow[1] = subscribe(&scene, &newest);
    subscribe(&scene, &cut);
    publish(&scene, 1, 30);
    cr_assert_eq(fast.count, 30);
    cr_assert_eq(cut.ends, 1);
    cr_assert_eq(cut.status, TROUPE_EFULL);
    cr_assert_eq(cut.end_missed, 5);
    request(&scene, slow[0], &oldest, 10);
    cr_assert_eq(oldest.count, 4);
    cr_assert_eq(oldest.got[0], 27);
    cr_assert_eq(oldest.missed[0], 26);
    cr_assert_eq(oldest.missed[1], 0);
    request(&scene, slow[1], &newest, 10);
    cr_assert_eq(newest.count, 2);
    cr_assert_eq(newest.got[1], 2);
    publish(&scene, 31, 31);
    cr_assert_eq(newest.got[2], 31);
    cr_assert_eq(newest.missed[2], 28);
    cr_assert_eq(oldest.got[4], 31);
    cr_assert_eq(oldest.missed[4], 0);
    scene_close(&scene);
}

Test(topic, who_comes_late_gets_the_last_value_if_it_asks, .timeout = 20)
{
    const struct troupe_topic_options options = {
        .type = &price, .copy = price_copy, .retain = true};
    struct reader early = {.options = {.retained = true}};
    struct reader late = {.options = {.retained = true}};
    struct reader later = {.options = {.retained = true, .manual = true}};
    struct reader other = {.count = 0};
    troupe_pid pid;
    struct scene scene;

    scene_open(&scene, &options);
    subscribe(&scene, &early);
    publish(&scene, 1, 7);
    subscribe(&scene, &late);
    pid = subscribe(&scene, &later);
    subscribe(&scene, &other);
    cr_assert_eq(early.count, 7);
    cr_assert_eq(late.count, 1);
    cr_assert_eq(late.got[0], 7);
    cr_assert_eq(other.count, 0);
    publish(&scene, 8, 8);
    cr_assert_eq(late.got[1], 8);
    cr_assert_eq(other.got[0], 8);
    request(&scene, pid, &later, 5);
    cr_assert_eq(later.count, 2);
    cr_assert_eq(later.got[0], 7);
    scene_close(&scene);
}

Test(topic, who_has_unsubscribed_gets_nothing_more, .timeout = 20)
{
    const struct troupe_topic_options options = {.type = &price};
    struct reader reader = {.count = 0};
    troupe_pid pid;
    struct scene scene;

    scene_open(&scene, &options);
    pid = subscribe(&scene, &reader);
    publish(&scene, 1, 2);
    cr_assert_eq(stage_do(&scene.stage, pid, do_unsubscribe, &reader), TROUPE_OK);
    cr_assert_eq(reader.result, TROUPE_OK);
    publish(&scene, 3, 4);
    cr_assert_eq(reader.count, 2);
    cr_assert_eq(reader.ends, 0);
    cr_assert_eq(stage_do(&scene.stage, pid, do_unsubscribe, &reader), TROUPE_OK);
    cr_assert_eq(reader.result, TROUPE_ENOENT);
    scene_close(&scene);
}

/* It is out until the last one who has the item itself, and no copy, is done with it. */
Test(topic, a_message_that_was_let_in_by_a_gate_is_published_as_any_other, .timeout = 20)
{
    const struct troupe_topic_options options = {.type = &price, .copy = price_copy};
    struct reader readers[2] = {{.count = 0}, {.options = {.manual = true}}};
    struct troupe_gate_numbers numbers;
    struct troupe_message *msg;
    struct troupe_permit permit;
    struct troupe_gate *gate;
    troupe_pid pid;
    struct scene scene;

    scene_open(&scene, &options);
    cr_assert_eq(troupe_gate_create(scene.stage.runtime, NULL, &gate), TROUPE_OK);
    subscribe(&scene, &readers[0]);
    pid = subscribe(&scene, &readers[1]);
    alive++;
    msg = stage_message(&scene.stage, &price, &(uint64_t){5});
    cr_assert_eq(troupe_gate_enter(gate, NULL, &permit), TROUPE_OK);
    cr_assert_eq(troupe_permit_attach(permit, &msg), TROUPE_OK);
    cr_assert_eq(troupe_try_send(scene.stage.runtime, scene.topic, msg), TROUPE_OK);
    stage_run(&scene.stage);
    cr_assert_eq(readers[0].count, 1);
    cr_assert_eq(readers[0].got[0], 5);
    cr_assert_eq(readers[1].count, 0);
    cr_assert_eq(troupe_gate_read(gate, &numbers), TROUPE_OK);
    cr_assert_eq(numbers.in_flight, 1);
    request(&scene, pid, &readers[1], 1);
    cr_assert_eq(readers[1].count, 1);
    cr_assert_eq(readers[1].missed[0], 0);
    cr_assert_eq(troupe_gate_read(gate, &numbers), TROUPE_OK);
    cr_assert_eq(numbers.in_flight, 0);
    troupe_gate_destroy(gate);
    scene_close(&scene);
}

static int do_kill(struct troupe_actor *self, void *arg)
{
    return troupe_kill(self, *(const troupe_pid *)arg);
}

Test(topic, its_end_ends_every_subscription_and_a_subscriber_that_dies_is_forgotten, .timeout = 20)
{
    const struct troupe_topic_options options = {.type = &price, .copy = price_copy};
    struct reader readers[2] = {{.count = 0}};
    troupe_pid pid;
    struct scene scene;

    scene_open(&scene, &options);
    subscribe(&scene, &readers[0]);
    pid = subscribe(&scene, &readers[1]);
    stage_tell(&scene.stage, pid, leave, NULL);
    stage_run(&scene.stage);
    publish(&scene, 1, 3);
    cr_assert_eq(readers[0].count, 3);
    cr_assert_eq(readers[1].count, 0);
    cr_assert_eq(stage_do(&scene.stage, scene.publisher, do_kill, &scene.topic), TROUPE_OK);
    stage_run(&scene.stage);
    cr_assert_eq(readers[0].ends, 1);
    cr_assert_eq(readers[0].status, TROUPE_EDIED);
    cr_assert_eq(readers[1].ends, 0);
    scene_close(&scene);
}

static int do_nonsense(struct troupe_actor *self, void *arg)
{
    const troupe_pid *pids = arg;
    troupe_subscription subscription;
    uint64_t body = 1;

    cr_assert_eq(troupe_topic_publish(self, pids[1], &price, &body), TROUPE_EINVAL);
    cr_assert_eq(troupe_topic_publish(self, TROUPE_NOBODY, &price, &body), TROUPE_EINVAL);
    cr_assert_eq(troupe_topic_subscribe(self, pids[1], NULL, &subscription), TROUPE_EINVAL);
    cr_assert_eq(troupe_topic_publish(self, pids[0], &stage_job, NULL), TROUPE_EINVAL);
    return TROUPE_OK;
}

Test(topic, what_is_no_topic_or_no_item_of_it_is_refused, .timeout = 20)
{
    const struct troupe_topic_options options = {.type = &price};
    const struct troupe_topic_options waits = {.type = &price, .policy = TROUPE_FLOW_WAIT};
    struct reader reader = {.options = {.policy = TROUPE_FLOW_WAIT}};
    static const struct troupe_type other = TROUPE_TYPE(char);
    troupe_pid pids[2];
    struct stage_end end;
    struct scene scene;

    scene_open(&scene, &options);
    subscribe(&scene, &reader);
    cr_assert_eq(reader.status, TROUPE_EINVAL);
    pids[0] = scene.topic;
    pids[1] = stage_spawn(&scene.stage, &stage_puppet, NULL);
    cr_assert_eq(stage_do(&scene.stage, scene.publisher, do_nonsense, pids), TROUPE_OK);
    stage_send(&scene.stage, scene.topic, &other, "x");
    stage_run(&scene.stage);
    cr_assert_eq(stage_books(&scene.stage).unknown, 1);
    pids[0] = stage_spawn(&scene.stage, &prices, &waits);
    stage_watch(&scene.stage, pids[0], &end);
    STAGE_AWAIT(&scene.stage, end.count == 1);
    cr_assert_eq(stage_reports(&scene.stage, TROUPE_REPORT_FAILURE), 1);
    scene_close(&scene);
}

struct buffers {
    troupe_pid topic;
    troupe_subscription subscription;
    unsigned count;
    struct troupe_buffer *seen;
};

static int on_buffer(struct troupe_actor *self, void *state, void *context,
    troupe_subscription subscription, struct troupe_message *item)
{
    struct buffers *buffers = context;

    (void)self;
    (void)state;
    (void)subscription;
    buffers->seen = *(struct troupe_buffer **)troupe_body(item);
    buffers->count++;
    return TROUPE_OK;
}

static int do_subscribe_buffers(struct troupe_actor *self, void *arg)
{
    struct buffers *buffers = arg;
    struct troupe_subscribe_options options = {.on_item = on_buffer, .context = buffers};

    return troupe_topic_subscribe(self, buffers->topic, &options, &buffers->subscription);
}

static int do_publish_buffer(struct troupe_actor *self, void *arg)
{
    const troupe_pid *topic = arg;
    struct troupe_buffer *buffer;

    cr_assert_eq(troupe_buffer_create(troupe_runtime_of(self), 1000, &buffer), TROUPE_OK);
    return troupe_topic_publish(self, *topic, &troupe_buffer_message, &buffer);
}

Test(topic, shared_buffers_are_shared_by_all, .timeout = 20)
{
    const struct troupe_topic_options options = {.type = &troupe_buffer_message, .retain = true};
    struct buffers buffers[2] = {{.count = 0}};
    struct scene scene;

    scene_open(&scene, &options);
    for (unsigned i = 0; i < 2; i++) {
        buffers[i].topic = scene.topic;
        cr_assert_eq(stage_do(&scene.stage, stage_spawn(&scene.stage, &stage_puppet, NULL),
                         do_subscribe_buffers, &buffers[i]),
            TROUPE_OK);
    }
    stage_run(&scene.stage);
    cr_assert_eq(
        stage_do(&scene.stage, scene.publisher, do_publish_buffer, &scene.topic), TROUPE_OK);
    stage_run(&scene.stage);
    cr_assert_eq(buffers[0].count, 1);
    cr_assert_eq(buffers[1].count, 1);
    cr_assert_eq(buffers[0].seen, buffers[1].seen);
    scene_close(&scene);
}

static const struct troupe_type large = {"large", 5000, NULL, false};

static int do_publish_large(struct troupe_actor *self, void *arg)
{
    static const char body[5000] = "x";

    return troupe_topic_publish(self, *(const troupe_pid *)arg, &large, body);
}

static int on_large(struct troupe_actor *self, void *state, void *context,
    troupe_subscription subscription, struct troupe_message *item)
{
    struct reader *reader = context;

    (void)state;
    (void)item;
    reader->missed[reader->count++] = troupe_flow_missed(self, subscription);
    return TROUPE_OK;
}

static int do_subscribe_large(struct troupe_actor *self, void *arg)
{
    struct reader *reader = arg;
    struct troupe_subscribe_options options = {.on_item = on_large, .context = reader};

    return troupe_topic_subscribe(self, reader->topic, &options, &reader->subscription);
}

Test(topic, an_item_without_memory_counts_as_missed, .timeout = 20)
{
    const struct troupe_topic_options options = {.type = &large};
    struct reader reader = {.count = 0};
    struct scene scene;

    scene_open(&scene, &options);
    reader.topic = scene.topic;
    cr_assert_eq(stage_do(&scene.stage, stage_spawn(&scene.stage, &stage_puppet, NULL),
                     do_subscribe_large, &reader),
        TROUPE_OK);
    stage_run(&scene.stage);
    /* One allocation for the message, the next one is the topic's. */
    scene.stage.memory.fail_at = scene.stage.memory.calls + 2;
    cr_assert_eq(
        stage_do(&scene.stage, scene.publisher, do_publish_large, &scene.topic), TROUPE_OK);
    stage_run(&scene.stage);
    scene.stage.memory.fail_at = 0;
    cr_assert_eq(reader.count, 0);
    cr_assert_eq(
        stage_do(&scene.stage, scene.publisher, do_publish_large, &scene.topic), TROUPE_OK);
    stage_run(&scene.stage);
    cr_assert_eq(reader.count, 1);
    cr_assert_eq(reader.missed[0], 1);
    scene_close(&scene);
}
