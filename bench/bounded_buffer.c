/* SPDX-License-Identifier: MIT */
/*
 * bounded_buffer.c - 40 producers and 40 consumers with a buffer for 50 items between them, which is an actor.
 *
 * A producer makes its next item when it is told that there is room for it; a consumer says when it wants the next one.
 */
#include "harness.h"

#define SIDE 40U /* so many producers, and so many consumers */
#define ROOM 50U
#define ITEMS 25000U /* of a producer */

static const struct troupe_type room = TROUPE_SIGNAL; /* a producer asks for it, and is given it */
static const struct troupe_type item = TROUPE_TYPE(uint64_t);
static const struct troupe_type want = TROUPE_SIGNAL;

struct producer {
    troupe_pid buffer;
    uint64_t next;
    uint64_t last;
};

struct consumer {
    struct bench_run *run;
    troupe_pid buffer;
    uint64_t count;
    uint64_t sum;
};

/* Three queues.  Each party is in one of them at most once, and an item needs room. */
struct buffer {
    struct bench_run *run;
    uint64_t wants_left; /* the clock stops at the last one */
    uint64_t items[ROOM];
    unsigned first_item;
    unsigned item_count;
    unsigned promised; /* room for items that producers are making */
    troupe_pid producers[SIDE];
    unsigned producer_count;
    troupe_pid consumers[SIDE];
    unsigned consumer_count;
};

static int producer_init(struct troupe_actor *self, void *state, const void *arg)
{
    struct producer *producer = state;

    *producer = *(const struct producer *)arg;
    return troupe_send(self, producer->buffer, &room, NULL);
}

/* There is room for one, and then room for the next one is asked for. */
static int producer_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct producer *producer = state;

    (void)msg;
    TROUPE_TRY(troupe_send(self, producer->buffer, &item, &producer->next));
    if (producer->next++ == producer->last) {
        return TROUPE_DONE;
    }
    return troupe_send(self, producer->buffer, &room, NULL);
}

static int consumer_init(struct troupe_actor *self, void *state, const void *arg)
{
    struct consumer *consumer = state;

    *consumer = *(const struct consumer *)arg;
    return troupe_send(self, consumer->buffer, &want, NULL);
}

static int consumer_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct consumer *consumer = state;

    consumer->count++;
    consumer->sum += *(uint64_t *)troupe_body(msg);
    return troupe_send(self, consumer->buffer, &want, NULL);
}

static void consumer_destroy(void *state)
{
    struct consumer *consumer = state;

    bench_tally(consumer->run, consumer->count, consumer->sum);
}

static int buffer_init(struct troupe_actor *self, void *state, const void *arg)
{
    (void)self;
    *(struct buffer *)state = *(const struct buffer *)arg;
    return TROUPE_OK;
}

/* Promises room to a producer that waits, if there is some. */
static int promise(struct troupe_actor *self, struct buffer *buffer)
{
    if (buffer->producer_count == 0 || buffer->item_count + buffer->promised == ROOM) {
        return TROUPE_OK;
    }
    buffer->promised++;
    return troupe_send(self, buffer->producers[--buffer->producer_count], &room, NULL);
}

/* The oldest item to a consumer that waits; then there is room. */
static int hand_over(struct troupe_actor *self, struct buffer *buffer)
{
    if (buffer->consumer_count == 0 || buffer->item_count == 0) {
        return TROUPE_OK;
    }
    TROUPE_TRY(troupe_send(self, buffer->consumers[--buffer->consumer_count], &item,
        &buffer->items[buffer->first_item]));
    buffer->first_item = (buffer->first_item + 1) % ROOM;
    buffer->item_count--;
    return promise(self, buffer);
}

static int put(struct troupe_actor *self, struct buffer *buffer, uint64_t value)
{
    if (buffer->promised == 0) {
        return bench_fail(buffer->run, "an item came that there was no room for");
    }
    buffer->promised--;
    buffer->items[(buffer->first_item + buffer->item_count++) % ROOM] = value;
    return hand_over(self, buffer);
}

static int buffer_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct buffer *buffer = state;

    if (troupe_is(msg, &item)) {
        return put(self, buffer, *(uint64_t *)troupe_body(msg));
    }
    if (troupe_is(msg, &room)) {
        buffer->producers[buffer->producer_count++] = troupe_sender(msg);
        return promise(self, buffer);
    }
    buffer->consumers[buffer->consumer_count++] = troupe_sender(msg);
    if (--buffer->wants_left == 0) {
        bench_part_done(buffer->run);
    }
    return hand_over(self, buffer);
}

static const struct troupe_behaviour producer_behaviour = {
    .name = "producer",
    .state_size = sizeof(struct producer),
    .init = producer_init,
    .receive = producer_receive,
};

static const struct troupe_behaviour consumer_behaviour = {
    .name = "consumer",
    .state_size = sizeof(struct consumer),
    .init = consumer_init,
    .receive = consumer_receive,
    .destroy = consumer_destroy,
};

static const struct troupe_behaviour buffer_behaviour = {
    .name = "buffer",
    .state_size = sizeof(struct buffer),
    .init = buffer_init,
    .receive = buffer_receive,
};

static int start(struct bench_run *run)
{
    uint64_t each = bench_scaled(run, ITEMS);
    /* A consumer says first that it wants one, and then behind each. */
    struct buffer buffer = {.run = run, .wants_left = SIDE * each + SIDE};
    struct producer producer = {.next = 1, .last = each};
    struct consumer consumer = {.run = run};
    troupe_pid pid;

    run->expected_count = SIDE * each;
    run->expected_sum = SIDE * (each * (each + 1) / 2);
    bench_begin(run, each * SIDE * 5, 1);
    TROUPE_TRY(bench_spawn(run, &buffer_behaviour, &buffer, sizeof buffer, &producer.buffer));
    consumer.buffer = producer.buffer;
    for (unsigned i = 0; i < SIDE; i++) {
        TROUPE_TRY(bench_spawn(run, &consumer_behaviour, &consumer, sizeof consumer, &pid));
        TROUPE_TRY(bench_spawn(run, &producer_behaviour, &producer, sizeof producer, &pid));
    }
    return TROUPE_OK;
}

const struct bench_workload bench_bounded_buffer = {
    .name = "bounded_buffer",
    .about = "40 producers, 40 consumers, a buffer for 50 items, 25 000 items each",
    .start = start,
};
