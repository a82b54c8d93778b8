/* SPDX-License-Identifier: MIT */
/*
 * flood.c - see flood.h.
 *
 * Each producer sends 1, 2, 3 and so on: the consumer's sum tells a lost or doubled number from a late one.  With a
 * single producer it also sees that none overtakes another.
 */
#include "flood.h"

/** Numbers sent in a turn. */
#define TURN 64U

static const struct troupe_type go_on = TROUPE_TYPE(uint64_t);
static const struct troupe_type number = TROUPE_TYPE(uint64_t);

struct producer {
    struct bench_run *run;
    troupe_pid consumer;
    uint64_t next;
    uint64_t last;
};

struct consumer {
    struct bench_run *run;
    uint64_t left;
    uint64_t count;
    uint64_t sum;
    bool ordered; /* there is one producer */
};

static int producer_init(struct troupe_actor *self, void *state, const void *arg)
{
    (void)self;
    *(struct producer *)state = *(const struct producer *)arg;
    return TROUPE_OK;
}

static int producer_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct producer *producer = state;
    uint64_t nothing = 0;

    (void)msg;
    for (unsigned i = 0; i < TURN; i++) {
        int error = troupe_send(self, producer->consumer, &number, &producer->next);

        if (error == TROUPE_EFULL) {
            break;
        }
        TROUPE_TRY(error);
        if (producer->next++ == producer->last) {
            return TROUPE_DONE;
        }
    }
    return troupe_send(self, troupe_self(self), &go_on, &nothing);
}

static int consumer_init(struct troupe_actor *self, void *state, const void *arg)
{
    (void)self;
    *(struct consumer *)state = *(const struct consumer *)arg;
    return TROUPE_OK;
}

static int consumer_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct consumer *consumer = state;
    uint64_t value = *(uint64_t *)troupe_body(msg);

    (void)self;
    consumer->count++;
    consumer->sum += value;
    if (consumer->ordered && value != consumer->count) {
        return bench_fail(consumer->run, "a number overtook another");
    }
    if (--consumer->left == 0) {
        bench_part_done(consumer->run);
    }
    return TROUPE_OK;
}

static void consumer_destroy(void *state)
{
    struct consumer *consumer = state;

    bench_tally(consumer->run, consumer->count, consumer->sum);
}

static const struct troupe_behaviour producer_behaviour = {
    .name = "producer",
    .state_size = sizeof(struct producer),
    .init = producer_init,
    .receive = producer_receive,
};

static const struct troupe_behaviour consumer_bounded = {
    .name = "consumer",
    .state_size = sizeof(struct consumer),
    .init = consumer_init,
    .receive = consumer_receive,
    .destroy = consumer_destroy,
    .capacity = TROUPE_CAPACITY_DEFAULT,
};

static const struct troupe_behaviour consumer_unbounded = {
    .name = "consumer",
    .state_size = sizeof(struct consumer),
    .init = consumer_init,
    .receive = consumer_receive,
    .destroy = consumer_destroy,
    .capacity = TROUPE_CAPACITY_MAX,
    .capacity_bytes = TROUPE_CAPACITY_BYTES_MAX,
};

int bench_flood(struct bench_run *run, unsigned producers, uint64_t total, bool bounded)
{
    uint64_t each = total / producers > 0 ? total / producers : 1;
    struct consumer consumer = {.run = run, .left = each * producers, .ordered = producers == 1};
    struct producer producer = {.run = run, .next = 1, .last = each};
    troupe_pid pids[BENCH_PRODUCERS_MAX];

    TROUPE_TRY(bench_spawn(run, bounded ? &consumer_bounded : &consumer_unbounded, &consumer,
        sizeof consumer, &producer.consumer));
    for (unsigned i = 0; i < producers; i++) {
        TROUPE_TRY(bench_spawn(run, &producer_behaviour, &producer, sizeof producer, &pids[i]));
    }
    run->expected_count = each * producers;
    run->expected_sum = each * (each + 1) / 2 * producers;
    bench_begin(run, each * producers, 1);
    for (unsigned i = 0; i < producers; i++) {
        TROUPE_TRY(bench_send(run, pids[i], &go_on, 0));
    }
    return TROUPE_OK;
}
