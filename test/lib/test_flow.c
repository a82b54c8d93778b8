/* SPDX-License-Identifier: MIT */
/* Flows: credit, order, ends, slow subscribers, stages; and what items refer to is destroyed once. */
#include "supervisor.h"
#include "test/support/random.h"
#include "test/support/stage.h"

#define NOTES 256

static _Atomic int64_t alive; /* bodies that were put or copied, and not destroyed */
static _Atomic int64_t most_alive;

struct item {
    uint64_t number;
};

static void born(void)
{
    int64_t now = ++alive;

    if (now > most_alive) {
        most_alive = now;
    }
}

static void item_destroy(void *body)
{
    cr_assert_neq(((struct item *)body)->number, 0, "destroyed twice");
    ((struct item *)body)->number = 0;
    alive--;
}

static int item_copy(void *to, const void *from)
{
    (void)to;
    (void)from;
    born();
    return TROUPE_OK;
}

static const struct troupe_type item_type = TROUPE_TYPE_DESTROY(struct item, item_destroy);

/* ---- a producer ---- */

struct source {
    struct troupe_flow_options options;
    struct troupe_flow flow;
    uint64_t next;  /* number of the item put last */
    unsigned count; /* how many to put */
    uint64_t until; /* puts as many as there is room for, up to this number, then ends */
    int status;     /* with which it ends */
    bool eager;     /* on_room puts */
    unsigned rooms; /* calls of on_room */
    uint32_t room;  /* the last one */
    unsigned lefts;
    int left_status;
    uint32_t left;
    struct troupe_flow_facts facts;
};

static int put_one(struct troupe_actor *self, struct source *source)
{
    struct item item = {source->next + 1};
    int error;

    born();
    error = troupe_flow_put(self, source->flow, &item);
    if (error < 0) {
        alive--;
        return error;
    }
    source->next++;
    return TROUPE_OK;
}

static int on_room(
    struct troupe_actor *self, void *state, void *context, struct troupe_flow flow, uint32_t room)
{
    struct source *source = context;

    (void)state;
    cr_assert_eq(flow.number, source->flow.number);
    cr_assert_eq(room, troupe_flow_room(self, flow));
    source->rooms++;
    source->room = room;
    while (source->eager && source->next < source->until && room-- > 0) {
        cr_assert_eq(put_one(self, source), TROUPE_OK);
        if (source->next == source->until) {
            cr_assert_eq(troupe_flow_end(self, flow, source->status), TROUPE_OK);
        }
    }
    return TROUPE_OK;
}

static int on_left(struct troupe_actor *self, void *state, void *context, struct troupe_flow flow,
    troupe_pid subscriber, int status, uint32_t left)
{
    struct source *source = context;

    (void)self;
    (void)state;
    (void)flow;
    cr_assert_neq(subscriber, TROUPE_NOBODY);
    source->lefts++;
    source->left_status = status;
    source->left = left;
    return TROUPE_OK;
}

static int do_offer(struct troupe_actor *self, void *arg)
{
    struct source *source = arg;

    if (source->options.type == NULL) {
        source->options.type = &item_type;
    }
    source->options.on_room = on_room;
    source->options.on_left = on_left;
    source->options.context = source;
    return troupe_flow_offer(self, &source->options, &source->flow);
}

static int do_put(struct troupe_actor *self, void *arg)
{
    struct source *source = arg;

    for (unsigned i = 0; i < source->count; i++) {
        source->status = put_one(self, source);
        if (source->status < 0) {
            break;
        }
    }
    return TROUPE_OK;
}

static int do_end(struct troupe_actor *self, void *arg)
{
    struct source *source = arg;

    return troupe_flow_end(self, source->flow, source->status);
}

static int do_facts(struct troupe_actor *self, void *arg)
{
    struct source *source = arg;

    source->room = troupe_flow_room(self, source->flow);
    source->status = troupe_flow_facts(self, source->flow, &source->facts);
    return TROUPE_OK;
}

/* ---- a subscriber ---- */

struct sink {
    struct source *source;
    struct troupe_flow flow; /* [the source's] */
    struct troupe_subscribe_options options;
    troupe_subscription subscription;
    uint64_t got[NOTES];
    uint32_t missed[NOTES];
    unsigned count;
    unsigned ends;
    int status;
    uint32_t end_missed;
    uint32_t ask; /* for do_request */
    int result;
    unsigned cancel_at; /* cancels in on_item, after so many */
    unsigned fail_at;
};

static int on_item(struct troupe_actor *self, void *state, void *context,
    troupe_subscription subscription, struct troupe_message *item)
{
    struct sink *sink = context;

    (void)state;
    cr_assert(troupe_is(item, sink->source->options.type));
    cr_assert_eq(troupe_sender(item), sink->flow.producer);
    cr_assert_eq(sink->ends, 0, "an item after the end");
    cr_assert_lt(sink->count, NOTES);
    sink->missed[sink->count] = troupe_flow_missed(self, subscription);
    sink->got[sink->count++] = ((struct item *)troupe_body(item))->number;
    if (sink->count == sink->cancel_at) {
        cr_assert_eq(troupe_flow_cancel(self, subscription), TROUPE_OK);
    }
    if (sink->count == sink->fail_at) {
        return troupe_fail(self, -99, "enough");
    }
    return TROUPE_OK;
}

static int on_end(struct troupe_actor *self, void *state, void *context,
    troupe_subscription subscription, int status)
{
    struct sink *sink = context;

    (void)state;
    sink->ends++;
    sink->status = status;
    sink->end_missed = troupe_flow_missed(self, subscription);
    return TROUPE_OK;
}

static int do_subscribe(struct troupe_actor *self, void *arg)
{
    struct sink *sink = arg;

    if (sink->flow.producer == TROUPE_NOBODY) {
        sink->flow = sink->source->flow;
    }
    sink->options.on_item = on_item;
    sink->options.on_end = on_end;
    sink->options.context = sink;
    sink->result = troupe_flow_subscribe(self, sink->flow, &sink->options, &sink->subscription);
    return TROUPE_OK;
}

static int do_request(struct troupe_actor *self, void *arg)
{
    struct sink *sink = arg;

    sink->result = troupe_flow_request(self, sink->subscription, sink->ask);
    return TROUPE_OK;
}

static int do_cancel(struct troupe_actor *self, void *arg)
{
    struct sink *sink = arg;

    sink->result = troupe_flow_cancel(self, sink->subscription);
    return TROUPE_OK;
}

static int leave(struct troupe_actor *self, void *arg)
{
    (void)self;
    (void)arg;
    return TROUPE_DONE;
}

/* A stage, a producer and a subscriber. */
struct pair {
    struct stage stage;
    struct source source;
    struct sink sink;
    troupe_pid producer;
    troupe_pid subscriber;
};

static void subscribe(struct stage *stage, troupe_pid subscriber, struct sink *sink)
{
    cr_assert_eq(stage_do(stage, subscriber, do_subscribe, sink), TROUPE_OK);
    stage_run(stage);
}

static void pair_open(struct pair *pair)
{
    stage_open(&pair->stage, TROUPE_NO_THREADS);
    pair->producer = stage_spawn(&pair->stage, &stage_puppet, NULL);
    pair->subscriber = stage_spawn(&pair->stage, &stage_puppet, NULL);
    cr_assert_eq(stage_do(&pair->stage, pair->producer, do_offer, &pair->source), TROUPE_OK);
    pair->sink.source = &pair->source;
    subscribe(&pair->stage, pair->subscriber, &pair->sink);
    cr_assert_eq(pair->sink.result, TROUPE_OK);
}

static void pair_close(struct pair *pair)
{
    stage_close(&pair->stage);
    cr_assert_eq(alive, 0, "%lld items were not destroyed", (long long)alive);
}

static int put(struct pair *pair, unsigned count)
{
    pair->source.count = count;
    cr_assert_eq(stage_do(&pair->stage, pair->producer, do_put, &pair->source), TROUPE_OK);
    stage_run(&pair->stage);
    return pair->source.status;
}

static void request(struct stage *stage, troupe_pid subscriber, struct sink *sink, uint32_t count)
{
    sink->ask = count;
    cr_assert_eq(stage_do(stage, subscriber, do_request, sink), TROUPE_OK);
    stage_run(stage);
}

static int end(struct pair *pair, int status)
{
    int error;

    pair->source.status = status;
    error = stage_do(&pair->stage, pair->producer, do_end, &pair->source);
    stage_run(&pair->stage);
    return error;
}

static void assert_got(const struct sink *sink, uint64_t first, uint64_t last)
{
    cr_assert_eq(sink->count, last - first + 1, "%u items", sink->count);
    for (unsigned i = 0; i < sink->count; i++) {
        cr_assert_eq(sink->got[i], first + i);
    }
}

/* ---- items, credit and ends ---- */

Test(flow, items_come_in_order_and_the_end_once_behind_them, .timeout = 20)
{
    struct pair pair = {.source = {.eager = true, .until = 200}};

    pair_open(&pair);
    assert_got(&pair.sink, 1, 200);
    cr_assert_eq(pair.sink.ends, 1);
    cr_assert_eq(pair.sink.status, TROUPE_OK);
    cr_assert_eq(end(&pair, TROUPE_OK), TROUPE_ENOENT);
    cr_assert_eq(pair.sink.ends, 1);
    pair_close(&pair);
}

Test(flow, an_error_is_told_as_the_producer_says_it, .timeout = 20)
{
    struct pair pair = {.source = {.status = 0}};

    pair_open(&pair);
    cr_assert_eq(put(&pair, 3), TROUPE_OK);
    cr_assert_eq(end(&pair, -77), TROUPE_OK);
    assert_got(&pair.sink, 1, 3);
    cr_assert_eq(pair.sink.ends, 1);
    cr_assert_eq(pair.sink.status, -77);
    pair_close(&pair);
}

Test(flow, no_item_is_sent_without_credit_and_put_says_that_it_is_full, .timeout = 20)
{
    struct pair pair = {.sink = {.options = {.window = 8, .manual = true}}};

    pair_open(&pair);
    cr_assert_eq(put(&pair, 1), TROUPE_EFULL);
    request(&pair.stage, pair.subscriber, &pair.sink, 3);
    cr_assert_eq(pair.source.room, 3);
    cr_assert_eq(put(&pair, 5), TROUPE_EFULL);
    assert_got(&pair.sink, 1, 3);
    request(&pair.stage, pair.subscriber, &pair.sink, 8);
    cr_assert_eq(pair.sink.result, TROUPE_OK);
    cr_assert_eq(put(&pair, 9), TROUPE_EFULL);
    assert_got(&pair.sink, 1, 11);
    pair_close(&pair);
}

Test(flow, credit_is_granted_again_half_a_window_at_a_time, .timeout = 20)
{
    struct pair pair = {.sink = {.options = {.window = 4}}};

    pair_open(&pair);
    cr_assert_eq(pair.source.room, 4);
    cr_assert_eq(put(&pair, 1), TROUPE_OK);
    cr_assert_eq(pair.source.rooms, 1);
    cr_assert_eq(put(&pair, 1), TROUPE_OK);
    cr_assert_eq(pair.source.rooms, 2);
    cr_assert_eq(pair.source.room, 4);
    pair_close(&pair);
}

Test(flow, a_request_of_0_too_much_or_after_the_end_is_refused_and_harms_nobody, .timeout = 20)
{
    struct pair pair = {.sink = {.options = {.window = 4, .manual = true}}};
    struct sink automatic = {.source = &pair.source};
    troupe_pid other;

    pair_open(&pair);
    request(&pair.stage, pair.subscriber, &pair.sink, 0);
    cr_assert_eq(pair.sink.result, TROUPE_EINVAL);
    request(&pair.stage, pair.subscriber, &pair.sink, 5);
    cr_assert_eq(pair.sink.result, TROUPE_ELIMIT);
    request(&pair.stage, pair.subscriber, &pair.sink, 4);
    cr_assert_eq(pair.sink.result, TROUPE_OK);
    request(&pair.stage, pair.subscriber, &pair.sink, 1);
    cr_assert_eq(pair.sink.result, TROUPE_ELIMIT);
    request(&pair.stage, pair.subscriber, &pair.sink, UINT32_MAX);
    cr_assert_eq(pair.sink.result, TROUPE_ELIMIT);
    cr_assert_eq(pair.source.room, 4);
    cr_assert_eq(put(&pair, 4), TROUPE_OK);
    assert_got(&pair.sink, 1, 4);
    cr_assert_eq(stage_do(&pair.stage, pair.subscriber, do_cancel, &pair.sink), TROUPE_OK);
    cr_assert_eq(pair.sink.result, TROUPE_OK);
    request(&pair.stage, pair.subscriber, &pair.sink, 1);
    cr_assert_eq(pair.sink.result, TROUPE_ENOENT);
    cr_assert_eq(stage_do(&pair.stage, pair.subscriber, do_cancel, &pair.sink), TROUPE_OK);
    cr_assert_eq(pair.sink.result, TROUPE_ENOENT);
    cr_assert_eq(pair.source.lefts, 1);
    cr_assert_eq(pair.source.left_status, TROUPE_ECANCELLED);
    other = stage_spawn(&pair.stage, &stage_puppet, NULL);
    subscribe(&pair.stage, other, &automatic);
    request(&pair.stage, other, &automatic, 1);
    cr_assert_eq(automatic.result, TROUPE_EINVAL);
    pair_close(&pair);
}

Test(flow, whoever_cancels_gets_nothing_more_and_what_is_on_its_way_is_destroyed, .timeout = 20)
{
    struct pair pair = {.sink = {.cancel_at = 2}};

    pair_open(&pair);
    cr_assert_eq(put(&pair, 6), TROUPE_OK);
    assert_got(&pair.sink, 1, 2);
    cr_assert_eq(pair.sink.ends, 0);
    cr_assert_eq(pair.source.lefts, 1);
    cr_assert_eq(pair.source.left, 0);
    cr_assert_eq(alive, 0);
    cr_assert_eq(put(&pair, 1), TROUPE_EFULL);
    pair_close(&pair);
}

static int do_kill(struct troupe_actor *self, void *arg)
{
    return troupe_kill(self, *(const troupe_pid *)arg);
}

Test(flow, a_producer_that_ends_or_is_killed_ends_it_once_behind_its_items, .timeout = 20)
{
    for (int killed = 0; killed < 2; killed++) {
        struct pair pair = {.source = {.options = {.buffer = 4}},
            .sink = {.options = {.window = 2, .manual = true}}};

        pair_open(&pair);
        request(&pair.stage, pair.subscriber, &pair.sink, 2);
        cr_assert_eq(put(&pair, 5), TROUPE_OK);
        if (killed) {
            cr_assert_eq(
                stage_do(&pair.stage, pair.subscriber, do_kill, &pair.producer), TROUPE_OK);
        } else {
            stage_tell(&pair.stage, pair.producer, leave, NULL);
        }
        stage_run(&pair.stage);
        assert_got(&pair.sink, 1, 2);
        cr_assert_eq(pair.sink.ends, 1);
        cr_assert_eq(pair.sink.status, TROUPE_EDIED);
        cr_assert_eq(pair.sink.end_missed, 3);
        pair_close(&pair);
    }
}

Test(flow, a_subscriber_that_fails_is_told_of_and_takes_nothing_along, .timeout = 20)
{
    struct pair pair = {.sink = {.fail_at = 3}};
    struct sink other = {.source = &pair.source};

    pair.source.options.copy = item_copy;
    pair_open(&pair);
    subscribe(&pair.stage, stage_spawn(&pair.stage, &stage_puppet, NULL), &other);
    cr_assert_eq(put(&pair, 6), TROUPE_OK);
    cr_assert_eq(pair.sink.count, 3);
    cr_assert_eq(pair.source.lefts, 1);
    cr_assert_eq(pair.source.left_status, TROUPE_EDIED);
    cr_assert_eq(pair.source.left, 1);
    assert_got(&other, 1, 6);
    cr_assert_eq(alive, 0);
    pair_close(&pair);
}

Test(flow, whoever_subscribes_to_what_is_not_there_is_told_so_once, .timeout = 20)
{
    struct pair pair = {.sink = {.cancel_at = 0}};
    struct sink sinks[3] = {
        {.source = &pair.source}, {.source = &pair.source}, {.source = &pair.source}};

    pair_open(&pair);
    /* No such flow. */
    sinks[0].flow = (struct troupe_flow){pair.producer, 99};
    subscribe(&pair.stage, pair.subscriber, &sinks[0]);
    cr_assert_eq(sinks[0].result, TROUPE_OK);
    cr_assert_eq(sinks[0].status, TROUPE_ENOENT);
    /* No flows at all. */
    sinks[1].flow = (struct troupe_flow){pair.subscriber, 0};
    subscribe(&pair.stage, stage_spawn(&pair.stage, &stage_puppet, NULL), &sinks[1]);
    cr_assert_eq(sinks[1].status, TROUPE_ENOENT);
    cr_assert_eq(sinks[1].ends, 1);
    /* It ends before it comes to it. */
    sinks[2].flow = (struct troupe_flow){pair.producer, 0};
    stage_tell(&pair.stage, pair.producer, leave, NULL);
    stage_tell(&pair.stage, pair.subscriber, do_subscribe, &sinks[2]);
    stage_run(&pair.stage);
    if (sinks[2].result == TROUPE_OK) {
        cr_assert_eq(sinks[2].ends, 1);
        cr_assert_eq(sinks[2].status, TROUPE_EGONE);
    } else {
        cr_assert_eq(sinks[2].result, TROUPE_EGONE);
    }
    /* It has. */
    subscribe(&pair.stage, pair.subscriber, &sinks[2]);
    cr_assert_eq(sinks[2].result, TROUPE_EGONE);
    pair_close(&pair);
}

static int subscribe_then_kill(struct troupe_actor *self, void *arg)
{
    struct sink *sink = arg;

    cr_assert_eq(do_subscribe(self, sink), TROUPE_OK);
    return troupe_kill(self, sink->source->flow.producer);
}

Test(flow, a_subscription_that_its_producer_did_not_live_to_see_ends, .timeout = 20)
{
    struct pair pair = {.sink = {.cancel_at = 0}};
    struct sink sink = {.source = &pair.source};

    pair_open(&pair);
    cr_assert_eq(stage_do(&pair.stage, pair.subscriber, subscribe_then_kill, &sink), TROUPE_OK);
    stage_run(&pair.stage);
    cr_assert_eq(sink.result, TROUPE_OK);
    cr_assert_eq(sink.ends, 1);
    cr_assert_eq(sink.status, TROUPE_EGONE);
    pair_close(&pair);
}

static int do_nonsense(struct troupe_actor *self, void *arg)
{
    struct source *source = arg;
    struct troupe_flow flow;
    struct troupe_flow_options options = {.type = NULL};
    struct troupe_subscribe_options subscribe_options = {.on_end = on_end};
    struct troupe_flow_facts facts;
    struct troupe_message *msg;
    troupe_subscription subscription;
    struct item item = {1};

    cr_assert_eq(troupe_flow_offer(self, &options, &flow), TROUPE_EINVAL);
    options = (struct troupe_flow_options){.type = &item_type, .retain = true};
    cr_assert_eq(troupe_flow_offer(self, &options, &flow), TROUPE_EINVAL);
    options =
        (struct troupe_flow_options){.type = &item_type, .buffer = TROUPE_FLOW_BUFFER_MAX + 1};
    cr_assert_eq(troupe_flow_offer(self, &options, &flow), TROUPE_EINVAL);
    options =
        (struct troupe_flow_options){.type = &item_type, .policy = (enum troupe_flow_policy)9};
    cr_assert_eq(troupe_flow_offer(self, &options, &flow), TROUPE_EINVAL);
    cr_assert_eq(troupe_flow_offer(self, NULL, &flow), TROUPE_EINVAL);
    cr_assert_eq(troupe_flow_subscribe(self, source->flow, NULL, &subscription), TROUPE_EINVAL);
    flow = (struct troupe_flow){.producer = TROUPE_NOBODY};
    cr_assert_eq(troupe_flow_subscribe(self, flow, NULL, &subscription), TROUPE_EINVAL);
    cr_assert_eq(
        troupe_flow_subscribe(self, flow, &subscribe_options, &subscription), TROUPE_EINVAL);
    cr_assert_eq(troupe_flow_put(self, flow, &item), TROUPE_ENOENT);
    cr_assert_eq(troupe_flow_put(self, source->flow, NULL), TROUPE_EFULL);
    cr_assert_eq(troupe_flow_end(self, source->flow, 1), TROUPE_EINVAL);
    cr_assert_eq(troupe_flow_end(self, flow, 0), TROUPE_ENOENT);
    cr_assert_eq(troupe_flow_facts(self, flow, &facts), TROUPE_ENOENT);
    cr_assert_eq(troupe_flow_room(self, flow), 0);
    cr_assert_eq(troupe_flow_next(self, 7, 0, &msg), TROUPE_ENOENT);
    cr_assert_eq(troupe_flow_keep(self, 7, &msg), TROUPE_ENOENT);
    cr_assert_eq(troupe_flow_pipe(self, 7, source->flow), TROUPE_ENOENT);
    cr_assert_eq(troupe_flow_missed(self, 7), 0);
    cr_assert_eq(troupe_flow_put_within(self, source->flow, &item, 5), TROUPE_EINVAL);
    cr_assert_eq(troupe_message_create(troupe_runtime_of(self), &stage_job, 0, &msg), TROUPE_OK);
    cr_assert_eq(troupe_flow_put_message(self, source->flow, msg), TROUPE_EINVAL);
    troupe_message_destroy(msg);
    return TROUPE_OK;
}

Test(flow, what_makes_no_sense_is_refused, .timeout = 20)
{
    struct stage stage;
    struct source source = {.count = 0};
    troupe_pid producer;

    stage_open(&stage, TROUPE_NO_THREADS);
    producer = stage_spawn(&stage, &stage_puppet, NULL);
    cr_assert_eq(stage_do(&stage, producer, do_offer, &source), TROUPE_OK);
    cr_assert_eq(stage_do(&stage, producer, do_nonsense, &source), TROUPE_OK);
    stage_close(&stage);
}

/* ---- several subscribers ---- */

Test(flow, the_slowest_is_waited_for_and_all_get_everything, .timeout = 20)
{
    struct pair pair = {.source = {.options = {.copy = item_copy, .buffer = 2}},
        .sink = {.options = {.window = 16}}};
    struct sink slow = {.source = &pair.source, .options = {.window = 16, .manual = true}};
    struct sink last = {.source = &pair.source};
    troupe_pid other;

    pair_open(&pair);
    other = stage_spawn(&pair.stage, &stage_puppet, NULL);
    subscribe(&pair.stage, other, &slow);
    subscribe(&pair.stage, stage_spawn(&pair.stage, &stage_puppet, NULL), &last);
    cr_assert_eq(put(&pair, 5), TROUPE_EFULL);
    assert_got(&pair.sink, 1, 2);
    assert_got(&last, 1, 2);
    cr_assert_eq(slow.count, 0);
    request(&pair.stage, other, &slow, 3);
    assert_got(&slow, 1, 2);
    cr_assert_eq(pair.source.room, 3);
    cr_assert_eq(put(&pair, 5), TROUPE_EFULL);
    assert_got(&pair.sink, 1, 5);
    assert_got(&slow, 1, 3);
    pair_close(&pair);
}

/* The subscriber had credit for `credit` items and a buffer of 3, of 10 items. */
static void overrun(struct pair *pair, enum troupe_flow_policy policy, uint32_t credit)
{
    pair->source.options.policy = policy;
    pair->source.options.buffer = 3;
    pair->sink.options = (struct troupe_subscribe_options){.window = 32, .manual = true};
    pair_open(pair);
    request(&pair->stage, pair->subscriber, &pair->sink, credit);
    cr_assert_eq(put(pair, 10), TROUPE_OK);
    assert_got(&pair->sink, 1, credit);
}

Test(flow, drop_oldest_loses_what_has_waited_longest_and_tells_in_its_place, .timeout = 20)
{
    struct pair pair = {.sink = {.ends = 0}};

    overrun(&pair, TROUPE_FLOW_DROP_OLDEST, 2);
    request(&pair.stage, pair.subscriber, &pair.sink, 10);
    cr_assert_eq(pair.sink.count, 5);
    cr_assert_eq(pair.sink.got[2], 8);
    cr_assert_eq(pair.sink.missed[2], 5);
    cr_assert_eq(pair.sink.got[4], 10);
    cr_assert_eq(pair.sink.missed[4], 0);
    cr_assert_eq(stage_do(&pair.stage, pair.producer, do_facts, &pair.source), TROUPE_OK);
    cr_assert_eq(pair.source.facts.put, 10);
    cr_assert_eq(pair.source.facts.sent, 5);
    cr_assert_eq(pair.source.facts.dropped, 5);
    cr_assert_eq(pair.source.facts.buffered, 0);
    cr_assert_eq(pair.source.room, UINT32_MAX);
    pair_close(&pair);
}

Test(flow, drop_newest_loses_what_comes_and_tells_before_the_next_one, .timeout = 20)
{
    struct pair pair = {.sink = {.ends = 0}};

    overrun(&pair, TROUPE_FLOW_DROP_NEWEST, 2);
    request(&pair.stage, pair.subscriber, &pair.sink, 10);
    assert_got(&pair.sink, 1, 5);
    cr_assert_eq(put(&pair, 1), TROUPE_OK);
    cr_assert_eq(pair.sink.got[5], 11);
    cr_assert_eq(pair.sink.missed[5], 5);
    pair_close(&pair);
}

Test(flow, what_was_lost_last_is_told_with_the_end, .timeout = 20)
{
    struct pair pair = {.sink = {.ends = 0}};

    overrun(&pair, TROUPE_FLOW_DROP_NEWEST, 2);
    cr_assert_eq(end(&pair, TROUPE_OK), TROUPE_OK);
    cr_assert_eq(pair.sink.ends, 0);
    request(&pair.stage, pair.subscriber, &pair.sink, 10);
    assert_got(&pair.sink, 1, 5);
    cr_assert_eq(pair.sink.ends, 1);
    cr_assert_eq(pair.sink.status, TROUPE_OK);
    cr_assert_eq(pair.sink.end_missed, 5);
    pair_close(&pair);
}

Test(flow, who_is_cut_off_is_told_so_and_how_much_it_lost, .timeout = 20)
{
    struct pair pair = {.sink = {.ends = 0}};

    overrun(&pair, TROUPE_FLOW_CUT, 2);
    cr_assert_eq(pair.sink.ends, 1);
    cr_assert_eq(pair.sink.status, TROUPE_EFULL);
    cr_assert_eq(pair.sink.end_missed, 4);
    request(&pair.stage, pair.subscriber, &pair.sink, 1);
    cr_assert_eq(pair.sink.result, TROUPE_ENOENT);
    pair_close(&pair);
}

Test(flow, a_subscriber_may_choose_to_lose_items_of_a_flow_that_waits, .timeout = 20)
{
    struct pair pair = {.source = {.options = {.copy = item_copy}}, .sink = {.ends = 0}};
    struct sink lossy = {.source = &pair.source,
        .options = {.window = 8, .manual = true, .policy = TROUPE_FLOW_DROP_NEWEST}};
    struct sink greedy = {.source = &pair.source, .options = {.buffer = 1}};

    pair_open(&pair);
    subscribe(&pair.stage, stage_spawn(&pair.stage, &stage_puppet, NULL), &lossy);
    cr_assert_eq(put(&pair, 20), TROUPE_OK);
    assert_got(&pair.sink, 1, 20);
    cr_assert_eq(lossy.count, 0);
    subscribe(&pair.stage, stage_spawn(&pair.stage, &stage_puppet, NULL), &greedy);
    cr_assert_eq(greedy.status, TROUPE_EINVAL);
    pair_close(&pair);
}

Test(flow, no_subscriber_makes_a_flow_wait_that_waits_for_nobody, .timeout = 20)
{
    struct pair pair = {.source = {.options = {.policy = TROUPE_FLOW_CUT}},
        .sink = {.options = {.policy = TROUPE_FLOW_WAIT}}};

    pair_open(&pair);
    cr_assert_eq(pair.sink.status, TROUPE_EINVAL);
    cr_assert_eq(put(&pair, 100), TROUPE_OK);
    cr_assert_eq(alive, 0);
    pair_close(&pair);
}

Test(flow, what_cannot_be_copied_has_one_subscriber_and_too_many_are_refused, .timeout = 20)
{
    struct pair pair = {.sink = {.ends = 0}};
    struct sink second = {.source = &pair.source};
    struct source limited = {.options = {.copy = item_copy, .subscribers_max = 1}};
    struct sink third = {.source = &limited};
    struct sink fourth = {.source = &limited};
    troupe_pid other;

    pair_open(&pair);
    other = stage_spawn(&pair.stage, &stage_puppet, NULL);
    subscribe(&pair.stage, other, &second);
    cr_assert_eq(second.status, TROUPE_EBUSY);
    cr_assert_eq(stage_do(&pair.stage, pair.producer, do_offer, &limited), TROUPE_OK);
    subscribe(&pair.stage, other, &third);
    subscribe(&pair.stage, other, &fourth);
    cr_assert_eq(third.ends, 0);
    cr_assert_eq(fourth.status, TROUPE_ELIMIT);
    pair_close(&pair);
}

static int do_subscribe_bare(struct troupe_actor *self, void *arg)
{
    struct sink *sink = arg;

    return troupe_flow_subscribe(self, sink->source->flow, &sink->options, &sink->subscription);
}

/* Takes what is here, until it is told that there is no more, or none yet. */
static int do_take(struct troupe_actor *self, void *arg)
{
    struct sink *sink = arg;
    struct troupe_message *item;

    while ((sink->status = troupe_flow_next(self, sink->subscription, 0, &item)) == TROUPE_OK) {
        sink->missed[sink->count] = troupe_flow_missed(self, sink->subscription);
        sink->got[sink->count++] = ((struct item *)troupe_body(item))->number;
    }
    sink->end_missed = troupe_flow_missed(self, sink->subscription);
    return TROUPE_OK;
}

Test(flow, who_takes_items_is_told_what_it_has_lost_in_its_place_and_at_the_end, .timeout = 20)
{
    struct stage stage;
    struct source source = {
        .count = 5, .options = {.policy = TROUPE_FLOW_DROP_NEWEST, .buffer = 1}};
    struct sink sink = {.source = &source, .options = {.window = 8, .manual = true}};
    troupe_pid producer, taker;

    stage_open(&stage, TROUPE_NO_THREADS);
    producer = stage_spawn(&stage, &stage_puppet, NULL);
    taker = stage_spawn(&stage, &stage_puppet, NULL);
    cr_assert_eq(stage_do(&stage, producer, do_offer, &source), TROUPE_OK);
    cr_assert_eq(stage_do(&stage, taker, do_subscribe_bare, &sink), TROUPE_OK);
    stage_run(&stage);
    request(&stage, taker, &sink, 2);
    cr_assert_eq(stage_do(&stage, producer, do_put, &source), TROUPE_OK);
    stage_run(&stage);
    cr_assert_eq(stage_do(&stage, taker, do_take, &sink), TROUPE_OK);
    assert_got(&sink, 1, 2);
    cr_assert_eq(sink.status, TROUPE_ETIMEDOUT);
    request(&stage, taker, &sink, 2);
    cr_assert_eq(stage_do(&stage, producer, do_put, &source), TROUPE_OK);
    source.status = TROUPE_OK;
    cr_assert_eq(stage_do(&stage, producer, do_end, &source), TROUPE_OK);
    request(&stage, taker, &sink, 4);
    cr_assert_eq(stage_do(&stage, taker, do_take, &sink), TROUPE_OK);
    /* 4 and 5 were lost; 6 went, 7 waited; 8 to 10 were lost. */
    cr_assert_eq(sink.count, 5);
    cr_assert_eq(sink.got[3], 6);
    cr_assert_eq(sink.missed[3], 2);
    cr_assert_eq(sink.missed[4], 0);
    cr_assert_eq(sink.status, TROUPE_DONE);
    cr_assert_eq(sink.end_missed, 3);
    cr_assert_eq(stage_do(&stage, taker, do_take, &sink), TROUPE_OK);
    cr_assert_eq(sink.status, TROUPE_ENOENT);
    stage_close(&stage);
    cr_assert_eq(alive, 0);
}

/* ---- the end and what is kept back ---- */

Test(flow, a_completed_flow_gives_out_its_buffer_and_a_failed_one_drops_it, .timeout = 20)
{
    for (int failed = 0; failed < 2; failed++) {
        struct pair pair = {.source = {.options = {.buffer = 5}},
            .sink = {.options = {.window = 4, .manual = true}}};

        pair_open(&pair);
        cr_assert_eq(put(&pair, 5), TROUPE_OK);
        cr_assert_eq(end(&pair, failed ? -5 : TROUPE_OK), TROUPE_OK);
        cr_assert_eq(pair.sink.ends, failed ? 1 : 0);
        cr_assert_eq(alive, failed ? 0 : 5);
        if (!failed) {
            request(&pair.stage, pair.subscriber, &pair.sink, 4);
            cr_assert_eq(pair.sink.ends, 0);
            request(&pair.stage, pair.subscriber, &pair.sink, 4);
            assert_got(&pair.sink, 1, 5);
        }
        cr_assert_eq(pair.sink.ends, 1);
        cr_assert_eq(pair.sink.end_missed, failed ? 5 : 0);
        pair_close(&pair);
    }
}

static int do_put_batch(struct troupe_actor *self, void *arg)
{
    struct source *source = arg;
    struct troupe_message *items[8];
    int error;

    for (unsigned i = 0; i < source->count; i++) {
        cr_assert_eq(
            troupe_message_create(troupe_runtime_of(self), &item_type, 0, &items[i]), TROUPE_OK);
        ((struct item *)troupe_body(items[i]))->number = source->next + 1 + i;
        born();
    }
    error = troupe_flow_put_batch(self, source->flow, items, source->count);
    if (error < 0) {
        for (unsigned i = 0; i < source->count; i++) {
            troupe_message_destroy(items[i]);
        }
    } else {
        source->next += source->count;
    }
    source->status = error;
    return TROUPE_OK;
}

Test(flow, a_batch_is_one_message_and_goes_whole_or_not_at_all, .timeout = 20)
{
    struct pair pair = {.sink = {.options = {.window = 10, .manual = true}}};
    uint64_t sent;

    pair_open(&pair);
    request(&pair.stage, pair.subscriber, &pair.sink, 9);
    pair.source.count = 8;
    sent = stage_books(&pair.stage).sent;
    cr_assert_eq(stage_do(&pair.stage, pair.producer, do_put_batch, &pair.source), TROUPE_OK);
    stage_run(&pair.stage);
    assert_got(&pair.sink, 1, 8);
    /* The order to the puppet, and the batch. */
    cr_assert_eq(stage_books(&pair.stage).sent - sent, 2);
    pair.source.count = 2;
    cr_assert_eq(stage_do(&pair.stage, pair.producer, do_put_batch, &pair.source), TROUPE_OK);
    cr_assert_eq(pair.source.status, TROUPE_EFULL);
    stage_run(&pair.stage);
    cr_assert_eq(pair.sink.count, 8);
    pair_close(&pair);
}

Test(flow, what_waits_is_sent_together_when_credit_comes, .timeout = 20)
{
    struct pair pair = {
        .source = {.options = {.buffer = 6}}, .sink = {.options = {.window = 10, .manual = true}}};
    uint64_t sent;

    pair_open(&pair);
    pair.source.count = 6;
    cr_assert_eq(stage_do(&pair.stage, pair.producer, do_put_batch, &pair.source), TROUPE_OK);
    cr_assert_eq(pair.source.status, TROUPE_OK);
    sent = stage_books(&pair.stage).sent;
    request(&pair.stage, pair.subscriber, &pair.sink, 5);
    assert_got(&pair.sink, 1, 5);
    /* The order, the credit and one parcel. */
    cr_assert_eq(stage_books(&pair.stage).sent - sent, 3);
    pair_close(&pair);
}

/* ---- items in the subscriber's hands ---- */

struct keeper {
    struct sink sink;
    struct troupe_message *kept[4];
    unsigned count;
};

static int on_item_keep(struct troupe_actor *self, void *state, void *context,
    troupe_subscription subscription, struct troupe_message *item)
{
    struct keeper *keeper = context;
    struct troupe_message *second;

    (void)state;
    cr_assert_eq(troupe_flow_keep(self, subscription, &keeper->kept[keeper->count]), TROUPE_OK);
    cr_assert_eq(keeper->kept[keeper->count++], item);
    cr_assert_eq(troupe_flow_keep(self, subscription, &second), TROUPE_ENOENT);
    return TROUPE_OK;
}

static int do_subscribe_keeper(struct troupe_actor *self, void *arg)
{
    struct keeper *keeper = arg;
    struct troupe_subscribe_options options = {.on_item = on_item_keep, .context = keeper};

    return troupe_flow_subscribe(
        self, keeper->sink.source->flow, &options, &keeper->sink.subscription);
}

Test(flow, an_item_that_is_kept_is_the_actors_until_it_is_destroyed, .timeout = 20)
{
    struct stage stage;
    struct source source = {.count = 4};
    struct keeper keeper = {.sink = {.source = &source}};
    troupe_pid producer;

    stage_open(&stage, TROUPE_NO_THREADS);
    producer = stage_spawn(&stage, &stage_puppet, NULL);
    cr_assert_eq(stage_do(&stage, producer, do_offer, &source), TROUPE_OK);
    cr_assert_eq(
        stage_do(&stage, stage_spawn(&stage, &stage_puppet, NULL), do_subscribe_keeper, &keeper),
        TROUPE_OK);
    stage_run(&stage);
    cr_assert_eq(stage_do(&stage, producer, do_put, &source), TROUPE_OK);
    stage_run(&stage);
    cr_assert_eq(keeper.count, 4);
    cr_assert_eq(alive, 4);
    for (unsigned i = 0; i < 4; i++) {
        cr_assert_eq(((struct item *)troupe_body(keeper.kept[i]))->number, i + 1);
        troupe_message_destroy(keeper.kept[i]);
    }
    cr_assert_eq(alive, 0);
    stage_close(&stage);
}

/* ---- stages ---- */

#define HOPS 4

/* A stage that passes items on, but for those that `drops` divides. */
struct hop {
    struct troupe_flow from[2];
    unsigned from_count;
    uint32_t window;
    uint32_t buffer;
    uint64_t drops;
    bool twice; /* puts each item twice */
    troupe_subscription subscription[2];
    struct troupe_flow flow;
    unsigned full;
};

static int hop_on_item(struct troupe_actor *self, void *state, void *context,
    troupe_subscription subscription, struct troupe_message *item)
{
    struct hop *hop = context;
    uint64_t number = ((struct item *)troupe_body(item))->number;
    struct troupe_message *mine;

    (void)state;
    if (hop->drops > 0 && number % hop->drops == 0) {
        return TROUPE_OK;
    }
    cr_assert_eq(troupe_flow_put_message(self, hop->flow, item), TROUPE_EINVAL, "it is only lent");
    cr_assert_eq(troupe_flow_keep(self, subscription, &mine), TROUPE_OK);
    if (troupe_flow_put_message(self, hop->flow, mine) < 0) {
        hop->full++;
        troupe_message_destroy(mine);
    }
    if (hop->twice) {
        struct item second = {number};

        born();
        cr_assert_eq(troupe_flow_put(self, hop->flow, &second), TROUPE_OK);
    }
    return TROUPE_OK;
}

static int do_hop(struct troupe_actor *self, void *arg)
{
    struct hop *hop = arg;
    struct troupe_flow_options offer = {.type = &item_type, .buffer = hop->buffer};
    struct troupe_subscribe_options options = {
        .window = hop->window, .on_item = hop_on_item, .context = hop};

    cr_assert_eq(troupe_flow_offer(self, &offer, &hop->flow), TROUPE_OK);
    for (unsigned i = 0; i < hop->from_count; i++) {
        cr_assert_eq(
            troupe_flow_subscribe(self, hop->from[i], &options, &hop->subscription[i]), TROUPE_OK);
        cr_assert_eq(troupe_flow_pipe(self, hop->subscription[i], hop->flow), TROUPE_OK);
        cr_assert_eq(troupe_flow_pipe(self, hop->subscription[i], hop->flow), TROUPE_EBUSY);
    }
    return TROUPE_OK;
}

Test(
    flow, a_pipeline_holds_no_more_items_than_its_windows_and_buffers_and_loses_none, .timeout = 60)
{
    struct stage stage;
    struct source source = {.eager = true, .until = 200, .options = {.buffer = 3}};
    struct hop hops[HOPS] = {
        {.window = 5}, {.window = 2, .buffer = 4}, {.window = 1}, {.window = 7}};
    struct sink sink = {.source = &source, .options = {.window = 2, .manual = true}};
    /* Source to first hop: window 5 and buffer 3, and so on. */
    int64_t formula = (5 + 3) + (2 + 0) + (1 + 4) + (7 + 0) + (2 + 0);
    troupe_pid last;

    stage_open(&stage, TROUPE_NO_THREADS);
    cr_assert_eq(
        stage_do(&stage, stage_spawn(&stage, &stage_puppet, NULL), do_offer, &source), TROUPE_OK);
    hops[0].from[0] = source.flow;
    for (unsigned i = 0; i < HOPS; i++) {
        hops[i].from_count = 1;
        cr_assert_eq(stage_do(&stage, stage_spawn(&stage, &stage_puppet, NULL), do_hop, &hops[i]),
            TROUPE_OK);
        if (i + 1 < HOPS) {
            hops[i + 1].from[0] = hops[i].flow;
        }
    }
    last = stage_spawn(&stage, &stage_puppet, NULL);
    sink.flow = hops[HOPS - 1].flow;
    subscribe(&stage, last, &sink);
    cr_assert_eq(sink.count, 0);
    while (sink.ends == 0) {
        unsigned before = sink.count;

        cr_assert_leq(alive, formula);
        request(&stage, last, &sink, 1);
        cr_assert_leq(sink.count, before + 1);
    }
    cr_assert_leq(most_alive, formula);
    cr_assert_geq(most_alive, formula / 2, "the source ran ahead of the sink by %lld only",
        (long long)most_alive);
    assert_got(&sink, 1, 200);
    cr_assert_eq(sink.status, TROUPE_OK);
    for (unsigned i = 0; i < HOPS; i++) {
        cr_assert_eq(hops[i].full, 0);
    }
    stage_close(&stage);
    cr_assert_eq(alive, 0);
}

Test(flow, a_stage_may_drop_items_and_make_more_of_them, .timeout = 20)
{
    struct stage stage;
    struct source source = {.eager = true, .until = 90};
    struct hop filter = {.from_count = 1, .window = 3, .drops = 3};
    struct hop doubler = {.from_count = 1, .window = 4, .buffer = 1, .twice = true};
    struct sink sink = {.source = &source, .options = {.window = 3}};

    stage_open(&stage, TROUPE_NO_THREADS);
    cr_assert_eq(
        stage_do(&stage, stage_spawn(&stage, &stage_puppet, NULL), do_offer, &source), TROUPE_OK);
    filter.from[0] = source.flow;
    cr_assert_eq(
        stage_do(&stage, stage_spawn(&stage, &stage_puppet, NULL), do_hop, &filter), TROUPE_OK);
    doubler.from[0] = filter.flow;
    cr_assert_eq(
        stage_do(&stage, stage_spawn(&stage, &stage_puppet, NULL), do_hop, &doubler), TROUPE_OK);
    sink.flow = doubler.flow;
    subscribe(&stage, stage_spawn(&stage, &stage_puppet, NULL), &sink);
    cr_assert_eq(sink.count, 120);
    for (unsigned i = 0; i < 120; i++) {
        cr_assert_eq(sink.got[i], i / 4 * 3 + 1 + i / 2 % 2);
    }
    cr_assert_eq(sink.ends, 1);
    stage_close(&stage);
    cr_assert_eq(alive, 0);
}

Test(flow, several_flows_into_one_take_turns_and_it_completes_with_the_last, .timeout = 20)
{
    struct stage stage;
    struct source sources[2] = {{.eager = true, .until = 10}, {.eager = true, .until = 40}};
    struct hop hop = {.from_count = 2, .window = 20};
    struct sink sink = {.source = &sources[0], .options = {.window = 1}};
    troupe_pid last;
    unsigned of_first = 0;

    stage_open(&stage, TROUPE_NO_THREADS);
    sources[1].next = 0;
    for (unsigned i = 0; i < 2; i++) {
        cr_assert_eq(
            stage_do(&stage, stage_spawn(&stage, &stage_puppet, NULL), do_offer, &sources[i]),
            TROUPE_OK);
        hop.from[i] = sources[i].flow;
    }
    cr_assert_eq(
        stage_do(&stage, stage_spawn(&stage, &stage_puppet, NULL), do_hop, &hop), TROUPE_OK);
    stage_run(&stage);
    last = stage_spawn(&stage, &stage_puppet, NULL);
    sink.flow = hop.flow;
    subscribe(&stage, last, &sink);
    cr_assert_eq(sink.count, 50);
    /* 1 1 2 2 3 3 .. */
    for (unsigned i = 0; i < 10; i++) {
        of_first += sink.got[i] == i / 2 + 1;
    }
    cr_assert_eq(of_first, 10);
    cr_assert_eq(sink.ends, 1);
    cr_assert_eq(sink.status, TROUPE_OK);
    stage_close(&stage);
    cr_assert_eq(alive, 0);
}

Test(flow, a_stage_fails_with_what_it_is_fed_by_and_lets_the_others_go, .timeout = 20)
{
    struct stage stage;
    struct source sources[2] = {
        {.eager = true, .until = 5, .status = -8}, {.eager = true, .until = 500}};
    struct hop hop = {.from_count = 2, .window = 4};
    struct sink sink = {.source = &sources[0], .options = {.window = 50}};

    stage_open(&stage, TROUPE_NO_THREADS);
    for (unsigned i = 0; i < 2; i++) {
        cr_assert_eq(
            stage_do(&stage, stage_spawn(&stage, &stage_puppet, NULL), do_offer, &sources[i]),
            TROUPE_OK);
        hop.from[i] = sources[i].flow;
    }
    cr_assert_eq(
        stage_do(&stage, stage_spawn(&stage, &stage_puppet, NULL), do_hop, &hop), TROUPE_OK);
    sink.flow = hop.flow;
    subscribe(&stage, stage_spawn(&stage, &stage_puppet, NULL), &sink);
    cr_assert_eq(sink.ends, 1);
    cr_assert_eq(sink.status, -8);
    cr_assert_eq(sources[1].lefts, 1);
    cr_assert_lt(sources[1].next, 500);
    stage_close(&stage);
    cr_assert_eq(alive, 0);
}

/* ---- callbacks that wait ---- */

struct walk {
    struct troupe_flow flow;
    _Atomic bool offered;
    uint64_t until;
    uint32_t window;
    int wait_ms;
    unsigned got;
    bool naps; /* with the first item in its hands, for an hour */
    int status;
    int error;
};

static int walk_producer(struct troupe_actor *self, const void *arg)
{
    struct walk *walk = *(struct walk *const *)arg;
    struct troupe_flow_options options = {.type = &item_type};

    TROUPE_TRY(troupe_flow_offer(self, &options, &walk->flow));
    walk->offered = true;
    for (uint64_t i = 1; i <= walk->until; i++) {
        struct item item = {i};

        born();
        walk->error = troupe_flow_put_within(self, walk->flow, &item, walk->wait_ms);
        if (walk->error < 0) {
            alive--;
            return TROUPE_OK;
        }
    }
    return troupe_flow_end(self, walk->flow, TROUPE_OK);
}

static int walk_consumer(struct troupe_actor *self, const void *arg)
{
    struct walk *walk = *(struct walk *const *)arg;
    struct troupe_subscribe_options options = {.window = walk->window};
    troupe_subscription subscription;
    struct troupe_message *item;

    TROUPE_TRY(troupe_flow_subscribe(self, walk->flow, &options, &subscription));
    while (
        (walk->status = troupe_flow_next(self, subscription, walk->wait_ms, &item)) == TROUPE_OK) {
        walk->got++;
        cr_assert_eq(((struct item *)troupe_body(item))->number, walk->got);
        if (walk->naps) {
            TROUPE_TRY(troupe_sleep(self, 3600000));
        }
    }
    return walk->status == TROUPE_DONE ? TROUPE_OK : walk->status;
}

static const struct troupe_behaviour walking_producer = {.name = "producer", .main = walk_producer};
static const struct troupe_behaviour walking_consumer = {.name = "consumer", .main = walk_consumer};
static const struct troupe_behaviour thread_producer = {
    .name = "producer", .main = walk_producer, .thread = true};
static const struct troupe_behaviour thread_consumer = {
    .name = "consumer", .main = walk_consumer, .thread = true};

static troupe_pid walker(
    struct stage *stage, const struct troupe_behaviour *behaviour, struct walk *walk)
{
    struct troupe_spawn_options options = {
        .behaviour = behaviour, .arg = &walk, .arg_size = sizeof(struct walk *)};
    troupe_pid pid;

    cr_assert_eq(troupe_runtime_spawn(stage->runtime, &options, &pid), TROUPE_OK);
    return pid;
}

Test(flow, straight_line_code_puts_and_takes_and_waits_for_the_other, .timeout = 60)
{
    struct stage stage;
    struct walk walk = {.until = 1000, .window = 3, .wait_ms = TROUPE_FOREVER};

    stage_open(&stage, TROUPE_NO_THREADS);
    walker(&stage, &walking_producer, &walk);
    stage_run(&stage);
    walker(&stage, &walking_consumer, &walk);
    stage_run(&stage);
    cr_assert_eq(walk.got, 1000);
    cr_assert_eq(walk.status, TROUPE_DONE);
    stage_close(&stage);
    cr_assert_eq(alive, 0);
    cr_assert_leq(most_alive, 4);
}

Test(flow, fibers_and_threads_of_their_own_do_so_on_several_workers, .timeout = 60)
{
    static const struct troupe_behaviour *const pairs[][2] = {
        {&walking_producer, &walking_consumer}, {&thread_producer, &walking_consumer},
        {&walking_producer, &thread_consumer}, {&thread_producer, &thread_consumer}};

    for (unsigned i = 0; i < TROUPE_COUNT(pairs); i++) {
        struct stage stage;
        struct walk walk = {.until = 2000, .window = 16, .wait_ms = TROUPE_FOREVER};
        struct stage_end end_of;

        stage_open(&stage, 2);
        walker(&stage, pairs[i][0], &walk);
        STAGE_AWAIT(&stage, walk.offered);
        stage_watch(&stage, walker(&stage, pairs[i][1], &walk), &end_of);
        STAGE_AWAIT(&stage, end_of.count == 1);
        cr_assert_eq(walk.got, 2000);
        cr_assert_eq(walk.status, TROUPE_DONE);
        stage_close(&stage);
        cr_assert_eq(alive, 0);
    }
}

Test(flow, who_waits_for_room_or_an_item_in_vain_is_told_when_its_time_is_over, .timeout = 60)
{
    struct stage stage;
    struct walk puts = {.until = 3, .window = 2, .wait_ms = 5};
    struct source source = {.count = 0};
    struct walk takes = {.window = 2, .wait_ms = 5};
    unsigned rounds = 0;

    stage_open(&stage, TROUPE_NO_THREADS);
    walker(&stage, &walking_producer, &puts);
    while (puts.error == 0) {
        cr_assert(stage_wait(&stage, &rounds));
    }
    cr_assert_eq(puts.error, TROUPE_ETIMEDOUT);
    cr_assert_eq(
        stage_do(&stage, stage_spawn(&stage, &stage_puppet, NULL), do_offer, &source), TROUPE_OK);
    takes.flow = source.flow;
    walker(&stage, &walking_consumer, &takes);
    while (takes.status == 0) {
        cr_assert(stage_wait(&stage, &rounds));
    }
    cr_assert_eq(takes.status, TROUPE_ETIMEDOUT);
    stage_close(&stage);
    cr_assert_eq(alive, 0);
}

Test(flow, one_that_is_killed_while_it_waits_or_has_an_item_in_hand_leaves_nothing_behind,
    .timeout = 60)
{
    struct stage stage;
    struct walk walk = {.until = 10, .window = 2, .wait_ms = TROUPE_FOREVER};
    struct source source = {.count = 1};
    struct walk takes = {.window = 2, .wait_ms = TROUPE_FOREVER, .naps = true};
    troupe_pid producer, consumer, puppet;

    stage_open(&stage, TROUPE_NO_THREADS);
    puppet = stage_spawn(&stage, &stage_puppet, NULL);
    producer = walker(&stage, &walking_producer, &walk);
    stage_run(&stage);
    cr_assert_eq(stage_do(&stage, puppet, do_offer, &source), TROUPE_OK);
    takes.flow = source.flow;
    consumer = walker(&stage, &walking_consumer, &takes);
    stage_run(&stage);
    cr_assert_eq(stage_do(&stage, puppet, do_put, &source), TROUPE_OK);
    stage_run(&stage);
    cr_assert_eq(takes.got, 1);
    /* It sleeps, and the item is lent. */
    cr_assert_eq(alive, 2);
    cr_assert_eq(stage_do(&stage, puppet, do_kill, &producer), TROUPE_OK);
    cr_assert_eq(stage_do(&stage, puppet, do_kill, &consumer), TROUPE_OK);
    stage_run(&stage);
    cr_assert_eq(source.left_status, TROUPE_EDIED);
    alive--; /* the body that the producer was about to put is its own */
    cr_assert_eq(alive, 0);
    stage_close(&stage);
}

/* ---- lives of an actor ---- */

static int fail(struct troupe_actor *self, void *arg)
{
    (void)arg;
    return troupe_fail(self, -44, "told to");
}

Test(flow, it_ends_with_an_incarnation_and_the_next_one_at_its_address_gets_none_of_its_items,
    .timeout = 20)
{
    struct stage stage;
    struct source source = {.count = 2};
    struct sink sink = {.source = &source};
    struct sink again = {.source = &source};
    struct troupe_child_spec child = {
        .id = "sink", .behaviour = &stage_puppet, .keep_mailbox = true};
    struct troupe_supervisor_spec spec = {.name = "top", .children = &child, .child_count = 1};
    struct troupe_spawn_options options;
    troupe_pid producer, supervisor, subscriber;

    stage_open(&stage, TROUPE_NO_THREADS);
    cr_assert_eq(trp_supervisor_options(stage.runtime, &spec, NULL, &options), TROUPE_OK);
    cr_assert_eq(troupe_runtime_spawn(stage.runtime, &options, &supervisor), TROUPE_OK);
    trp_supervisor_options_free(stage.runtime, &options);
    producer = stage_spawn(&stage, &stage_puppet, NULL);
    cr_assert_eq(stage_do(&stage, producer, do_offer, &source), TROUPE_OK);
    subscriber = troupe_runtime_whereis(stage.runtime, "top.sink");
    subscribe(&stage, subscriber, &sink);
    /* The items come behind what it fails of. */
    stage_tell(&stage, producer, do_put, &source);
    stage_tell(&stage, subscriber, fail, NULL);
    stage_run(&stage);
    cr_assert_eq(source.status, TROUPE_OK);
    cr_assert_eq(sink.count, 0);
    cr_assert_eq(source.left_status, TROUPE_EDIED);
    cr_assert_eq(troupe_runtime_whereis(stage.runtime, "top.sink"), subscriber);
    cr_assert_eq(alive, 0);
    subscribe(&stage, subscriber, &again);
    cr_assert_neq(again.subscription, sink.subscription);
    cr_assert_eq(stage_do(&stage, producer, do_put, &source), TROUPE_OK);
    stage_run(&stage);
    assert_got(&again, 3, 4);
    cr_assert_eq(sink.count, 0);
    stage_close(&stage);
}

static const struct troupe_server server = {
    TROUPE_SERVER("server", uint64_t), .cast = stage_puppet_receive};

struct order_to_server {
    troupe_pid pid;
    enum troupe_sys_op op;
};

static int on_answer(
    struct troupe_actor *self, void *state, void *context, int status, struct troupe_message *reply)
{
    (void)self;
    (void)state;
    (void)context;
    (void)reply;
    cr_assert_eq(status, TROUPE_OK);
    return TROUPE_OK;
}

static int do_order(struct troupe_actor *self, void *arg)
{
    const struct order_to_server *order = arg;
    struct troupe_sys_question question = {.op = order->op};

    return troupe_sys(self, order->pid, &question, TROUPE_FOREVER, on_answer, NULL);
}

Test(flow, one_that_is_suspended_gets_its_items_when_it_goes_on_or_loses_them_when_it_ends,
    .timeout = 20)
{
    for (int killed = 0; killed < 2; killed++) {
        struct stage stage;
        struct source source = {.count = 3};
        struct sink sink = {.source = &source};
        struct order_to_server order = {.op = TROUPE_SYS_SUSPEND};
        troupe_pid producer;

        alive = 0;
        stage_open(&stage, TROUPE_NO_THREADS);
        producer = stage_spawn(&stage, &stage_puppet, NULL);
        order.pid = stage_spawn(&stage, &server.behaviour, NULL);
        cr_assert_eq(stage_do(&stage, producer, do_offer, &source), TROUPE_OK);
        subscribe(&stage, order.pid, &sink);
        cr_assert_eq(stage_do(&stage, producer, do_order, &order), TROUPE_OK);
        stage_run(&stage);
        cr_assert_eq(stage_do(&stage, producer, do_put, &source), TROUPE_OK);
        stage_run(&stage);
        cr_assert_eq(sink.count, 0);
        cr_assert_eq(alive, 3);
        if (killed) {
            cr_assert_eq(stage_do(&stage, producer, do_kill, &order.pid), TROUPE_OK);
            stage_run(&stage);
            cr_assert_eq(sink.count, 0);
            cr_assert_eq(source.left_status, TROUPE_EDIED);
        } else {
            order.op = TROUPE_SYS_RESUME;
            cr_assert_eq(stage_do(&stage, producer, do_order, &order), TROUPE_OK);
            stage_run(&stage);
            assert_got(&sink, 1, 3);
        }
        cr_assert_eq(alive, 0);
        stage_close(&stage);
    }
}

/* ---- without memory ---- */

struct trial {
    struct stage *stage;
    struct source *source;
    struct sink *sink;
    int status;
};

static int offer_without_memory(struct troupe_actor *self, void *arg)
{
    struct trial *trial = arg;

    for (uint64_t k = 1;; k++) {
        trial->stage->memory.fail_at = trial->stage->memory.calls + k;
        trial->status = do_offer(self, trial->source);
        if (trial->stage->memory.calls < trial->stage->memory.fail_at) {
            break;
        }
        cr_assert(trial->status == TROUPE_ENOMEM || trial->status == TROUPE_OK);
        if (trial->status == TROUPE_OK) {
            break;
        }
    }
    trial->stage->memory.fail_at = 0;
    return TROUPE_OK;
}

static int subscribe_without_memory(struct troupe_actor *self, void *arg)
{
    struct trial *trial = arg;
    unsigned failures = 0;

    for (uint64_t k = 1;; k++) {
        trial->stage->memory.fail_at = trial->stage->memory.calls + k;
        cr_assert_eq(do_subscribe(self, trial->sink), TROUPE_OK);
        if (trial->sink->result == TROUPE_OK) {
            break;
        }
        failures++;
        cr_assert_eq(trial->sink->result, TROUPE_ENOMEM);
    }
    trial->stage->memory.fail_at = 0;
    cr_assert_gt(failures, 0);
    return TROUPE_OK;
}

Test(flow, an_offer_or_subscription_without_memory_leaves_no_trace, .timeout = 20)
{
    struct stage stage;
    struct source source = {.count = 3};
    struct sink sink = {.source = &source};
    struct trial trial = {&stage, &source, &sink, TROUPE_ENOMEM};
    troupe_pid producer;

    stage_open(&stage, TROUPE_NO_THREADS);
    producer = stage_spawn(&stage, &stage_puppet, NULL);
    cr_assert_eq(stage_do(&stage, producer, offer_without_memory, &trial), TROUPE_OK);
    cr_assert_eq(trial.status, TROUPE_OK);
    cr_assert_eq(stage_do(&stage, stage_spawn(&stage, &stage_puppet, NULL),
                     subscribe_without_memory, &trial),
        TROUPE_OK);
    stage_run(&stage);
    cr_assert_eq(stage_do(&stage, producer, do_put, &source), TROUPE_OK);
    stage_run(&stage);
    assert_got(&sink, 1, 3);
    stage_close(&stage);
    cr_assert_eq(alive, 0);
}

static const struct troupe_type large_type = {"large", 5000, NULL, false};

static int put_large(struct troupe_actor *self, void *arg)
{
    struct trial *trial = arg;
    static const char body[5000] = "x";

    for (uint64_t k = 1;; k++) {
        trial->stage->memory.fail_at = trial->stage->memory.calls + k;
        trial->status = troupe_flow_put(self, trial->source->flow, body);
        trial->stage->memory.fail_at = 0;
        if (trial->status == TROUPE_OK) {
            cr_assert_gt(k, 3, "three bodies were allocated");
            return TROUPE_OK;
        }
        cr_assert_eq(trial->status, TROUPE_ENOMEM);
        cr_assert_eq(
            troupe_flow_facts(self, trial->source->flow, &trial->source->facts), TROUPE_OK);
        cr_assert_eq(trial->source->facts.put, 0);
    }
}

static int count_item(struct troupe_actor *self, void *state, void *context,
    troupe_subscription subscription, struct troupe_message *item)
{
    (void)self;
    (void)state;
    (void)subscription;
    cr_assert(troupe_is(item, &large_type));
    ++*(unsigned *)context;
    return TROUPE_OK;
}

struct order {
    struct troupe_flow flow;
    unsigned count;
};

static int do_subscribe_counting(struct troupe_actor *self, void *arg)
{
    struct order *order = arg;
    struct troupe_subscribe_options options = {.on_item = count_item, .context = &order->count};
    troupe_subscription subscription;

    return troupe_flow_subscribe(self, order->flow, &options, &subscription);
}

Test(flow, a_put_without_memory_reaches_all_or_nobody, .timeout = 20)
{
    struct stage stage;
    struct source source = {.options = {.type = &large_type}};
    struct order orders[3] = {{.count = 0}};
    struct trial trial = {&stage, &source, NULL, 0};
    troupe_pid producer;

    stage_open(&stage, TROUPE_NO_THREADS);
    producer = stage_spawn(&stage, &stage_puppet, NULL);
    cr_assert_eq(stage_do(&stage, producer, do_offer, &source), TROUPE_OK);
    for (unsigned i = 0; i < 3; i++) {
        orders[i].flow = source.flow;
        cr_assert_eq(stage_do(&stage, stage_spawn(&stage, &stage_puppet, NULL),
                         do_subscribe_counting, &orders[i]),
            TROUPE_OK);
    }
    stage_run(&stage);
    cr_assert_eq(stage_do(&stage, producer, put_large, &trial), TROUPE_OK);
    stage_run(&stage);
    for (unsigned i = 0; i < 3; i++) {
        cr_assert_eq(orders[i].count, 1);
    }
    stage_close(&stage);
}

/* ---- many at random ---- */

#define SOURCES 4U
#define STAGES 3U
#define SINKS 3U

static struct {
    struct stage *stage;
    _Atomic unsigned living; /* actors of the storm */
    _Atomic uint64_t items;  /* that were handled */
} storm;

struct role {
    unsigned index;
    uint64_t seed;
    uint32_t lifetime; /* events until it dies, in one way or another */
};

struct actor {
    struct role role;
    struct test_random random;
    struct troupe_flow flow;
    bool dead;
};

static uint64_t draw(struct actor *actor, uint64_t below)
{
    actor->random.state =
        actor->random.state * UINT64_C(6364136223846793005) + 1442695040888963407U;
    return (actor->random.state >> 33) % below;
}

/* Dies at random: what it returns ends it, or not. */
static int live_on(struct troupe_actor *self, struct actor *actor)
{
    if (actor->role.lifetime-- > 1) {
        return TROUPE_OK;
    }
    actor->role.lifetime = 1;
    switch (draw(actor, 4)) {
    case 0:
        return TROUPE_DONE;
    case 1:
        return troupe_fail(self, -50, "at random");
    case 2:
        troupe_exit(self, TROUPE_EXIT_SHUTDOWN);
    default:
        return troupe_kill(self, troupe_self(self));
    }
}

static int storm_item(struct troupe_actor *self, void *state, void *context,
    troupe_subscription subscription, struct troupe_message *item)
{
    struct actor *actor = state;
    struct troupe_message *mine;

    (void)context;
    (void)item;
    storm.items++;
    if (actor->role.index >= SOURCES && actor->role.index < SOURCES + STAGES &&
        draw(actor, 4) > 0 && troupe_flow_keep(self, subscription, &mine) == TROUPE_OK &&
        troupe_flow_put_message(self, actor->flow, mine) < 0) {
        troupe_message_destroy(mine);
    }
    return live_on(self, actor);
}

static int storm_end(struct troupe_actor *self, void *state, void *context,
    troupe_subscription subscription, int status)
{
    (void)context;
    (void)subscription;
    (void)status;
    return live_on(self, state);
}

static int storm_room(
    struct troupe_actor *self, void *state, void *context, struct troupe_flow flow, uint32_t room)
{
    struct actor *actor = state;

    (void)context;
    for (uint32_t i = 0; i < room && i < 16; i++) {
        struct item item = {i + 1};

        born();
        if (troupe_flow_put(self, flow, &item) < 0) {
            alive--;
            break;
        }
    }
    if (draw(actor, 50) == 0) {
        (void)troupe_flow_end(self, flow, draw(actor, 2) == 0 ? TROUPE_OK : -3);
    }
    return live_on(self, actor);
}

static void storm_subscribe(
    struct troupe_actor *self, struct actor *actor, struct troupe_flow flow, bool piped)
{
    struct troupe_subscribe_options options = {.window = 1 + (uint32_t)draw(actor, 9),
        .policy = (enum troupe_flow_policy)draw(actor, 5),
        .on_item = storm_item,
        .on_end = storm_end};
    troupe_subscription subscription;

    if (flow.producer == TROUPE_NOBODY ||
        troupe_flow_subscribe(self, flow, &options, &subscription) < 0) {
        return;
    }
    if (piped && troupe_flow_pipe(self, subscription, actor->flow) < 0) {
        /* Its flow has ended. */
        (void)troupe_flow_cancel(self, subscription);
    }
}

static int storm_init(struct troupe_actor *self, void *state, const void *arg)
{
    struct actor *actor = state;
    struct troupe_flow_options offer = {.type = &item_type, .copy = item_copy};

    actor->role = *(const struct role *)arg;
    actor->random = test_random_of(actor->role.seed);
    storm.living++;
    offer.buffer = (uint32_t)draw(actor, 4);
    offer.policy = draw(actor, 3) == 0 ? TROUPE_FLOW_DROP_OLDEST : TROUPE_FLOW_WAIT;
    if (actor->role.index < SOURCES) {
        offer.policy = TROUPE_FLOW_WAIT;
        offer.on_room = storm_room;
    }
    if (actor->role.index < SOURCES + STAGES) {
        TROUPE_TRY(troupe_flow_offer(self, &offer, &actor->flow));
    }
    return TROUPE_OK;
}

/* What it is to be fed by, when all are there. */
struct feed {
    struct troupe_flow flows[4];
    unsigned count;
};
static const struct troupe_type feed_type = TROUPE_TYPE(struct feed);

static int storm_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct actor *actor = state;

    if (troupe_is(msg, &feed_type)) {
        const struct feed *feed = troupe_body(msg);

        for (unsigned i = 0; i < feed->count; i++) {
            storm_subscribe(self, actor, feed->flows[i], actor->role.index < SOURCES + STAGES);
        }
    }
    return TROUPE_OK;
}

static void storm_destroy(void *state)
{
    (void)state;
    storm.living--;
}

static const struct troupe_behaviour storm_actor = {.name = "storm",
    .state_size = sizeof(struct actor),
    .init = storm_init,
    .receive = storm_receive,
    .destroy = storm_destroy};

static void storm_feed(troupe_pid to, const struct feed *feed)
{
    (void)stage_try_send(storm.stage, to, &feed_type, feed);
}

static void storm_round(uint64_t seed)
{
    troupe_pid pids[SOURCES + STAGES + SINKS];

    for (unsigned i = 0; i < SOURCES + STAGES + SINKS; i++) {
        struct role role = {i, seed + i, 20 + (uint32_t)((seed >> 8) + i * 37) % 400};
        struct troupe_spawn_options options = {
            .behaviour = &storm_actor, .arg = &role, .arg_size = sizeof role};

        cr_assert_eq(troupe_runtime_spawn(storm.stage->runtime, &options, &pids[i]), TROUPE_OK);
    }
    for (unsigned i = SOURCES; i < SOURCES + STAGES + SINKS; i++) {
        struct feed feed = {.count = 3};
        unsigned below = i < SOURCES + STAGES ? i : SOURCES + STAGES;

        for (unsigned j = 0; j < feed.count; j++) {
            feed.flows[j].producer = pids[(seed * 31 + i * 7 + j * 13) % below];
        }
        storm_feed(pids[i], &feed);
    }
}

static void storm_run(int workers, unsigned rounds)
{
    uint64_t seed = test_seed("flow storm");
    struct stage stage;

    stage_open(&stage, workers);
    storm.stage = &stage;
    for (unsigned i = 0; i < rounds; i++) {
        storm_round(seed + i * 1000003U);
        if (i % 8 == 7) {
            /* Those that starve stay until the end. */
            unsigned waits = 0;

            while (storm.living > 60 && waits < 50) {
                (void)stage_wait(&stage, &waits);
            }
        }
        if (!stage.threads) {
            stage_run(&stage);
        }
    }
    stage_close(&stage);
    cr_assert_gt(storm.items, rounds * 10, "it was no storm");
    cr_assert_eq(alive, 0, "%lld items were not destroyed", (long long)alive);
    cr_assert_eq(storm.living, 0);
}

Test(flow, items_balance_whoever_dies_when, .timeout = 120)
{
    storm_run(TROUPE_NO_THREADS, 200);
    storm_run(2, 200);
}
