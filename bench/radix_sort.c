/* SPDX-License-Identifier: MIT */
/*
 * radix_sort.c - numbers go through 60 actors, one for each bit, and come out sorted: a pipeline that fills up.
 *
 * Each passes on the numbers without its bit as they come, and keeps the others until it has seen all.  Mailboxes are of
 * the largest capacity.
 */
#include "harness.h"
#include "random.h"

#include <stdlib.h>

#define BITS 60U
#define NUMBERS 100000U
#define TURN 64U

static const struct troupe_type go_on = TROUPE_SIGNAL;
static const struct troupe_type number = TROUPE_TYPE(uint64_t);

struct stage {
    struct bench_run *run;
    troupe_pid next; /* NOBODY: there is no number to pass on, but to look at */
    uint64_t mask;
    uint64_t left; /* numbers to come */
    uint64_t *kept;
    uint64_t kept_count;
    uint64_t sent; /* of those kept */
};

/* The last one looks whether they are in order; the first one makes them. */
struct end {
    struct bench_run *run;
    troupe_pid next;
    struct bench_random random;
    uint64_t left;
    uint64_t last;
    uint64_t count;
    uint64_t sum;
};

static uint64_t draw(struct bench_random *random)
{
    return bench_random_next(random) >> (64 - BITS);
}

static int stage_init(struct troupe_actor *self, void *state, const void *arg)
{
    struct stage *stage = state;

    (void)self;
    *stage = *(const struct stage *)arg;
    stage->kept = malloc(stage->left * sizeof *stage->kept);
    return stage->kept == NULL ? TROUPE_ENOMEM : TROUPE_OK;
}

/* Those that were kept, a few a turn. */
static int send_kept(struct troupe_actor *self, struct stage *stage)
{
    for (unsigned i = 0; i < TURN && stage->sent < stage->kept_count; i++) {
        TROUPE_TRY(troupe_send(self, stage->next, &number, &stage->kept[stage->sent++]));
    }
    return stage->sent == stage->kept_count ? TROUPE_DONE
                                            : troupe_send(self, troupe_self(self), &go_on, NULL);
}

static int stage_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct stage *stage = state;
    uint64_t value;

    if (troupe_is(msg, &go_on)) {
        return send_kept(self, stage);
    }
    value = *(uint64_t *)troupe_body(msg);
    if ((value & stage->mask) == 0) {
        TROUPE_TRY(troupe_send(self, stage->next, &number, &value));
    } else {
        stage->kept[stage->kept_count++] = value;
    }
    return --stage->left == 0 ? send_kept(self, stage) : TROUPE_OK;
}

static void stage_destroy(void *state)
{
    free(((struct stage *)state)->kept);
}

static int end_init(struct troupe_actor *self, void *state, const void *arg)
{
    (void)self;
    *(struct end *)state = *(const struct end *)arg;
    return TROUPE_OK;
}

static int source_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct end *source = state;

    (void)msg;
    for (unsigned i = 0; i < TURN && source->left > 0; i++, source->left--) {
        uint64_t value = draw(&source->random);

        TROUPE_TRY(troupe_send(self, source->next, &number, &value));
    }
    return source->left == 0 ? TROUPE_DONE : troupe_send(self, troupe_self(self), &go_on, NULL);
}

static int sink_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct end *sink = state;
    uint64_t value = *(uint64_t *)troupe_body(msg);

    (void)self;
    if (value < sink->last) {
        return bench_fail(sink->run, "the numbers are not sorted");
    }
    sink->last = value;
    sink->sum += value;
    sink->count++;
    if (--sink->left == 0) {
        bench_part_done(sink->run);
    }
    return TROUPE_OK;
}

static void sink_destroy(void *state)
{
    struct end *sink = state;

    bench_tally(sink->run, sink->count, sink->sum);
}

static const struct troupe_behaviour stage_behaviour = {
    .name = "stage",
    .state_size = sizeof(struct stage),
    .init = stage_init,
    .receive = stage_receive,
    .destroy = stage_destroy,
    .capacity = TROUPE_CAPACITY_MAX,
    .capacity_bytes = TROUPE_CAPACITY_BYTES_MAX,
};

static const struct troupe_behaviour sink_behaviour = {
    .name = "sink",
    .state_size = sizeof(struct end),
    .init = end_init,
    .receive = sink_receive,
    .destroy = sink_destroy,
    .capacity = TROUPE_CAPACITY_MAX,
    .capacity_bytes = TROUPE_CAPACITY_BYTES_MAX,
};

static const struct troupe_behaviour source_behaviour = {
    .name = "source",
    .state_size = sizeof(struct end),
    .init = end_init,
    .receive = source_receive,
};

static uint64_t sum_of(uint64_t count)
{
    struct bench_random random = bench_random_seeded(1);
    uint64_t sum = 0;

    for (uint64_t i = 0; i < count; i++) {
        sum += draw(&random);
    }
    return sum;
}

static int start(struct bench_run *run)
{
    uint64_t numbers = bench_scaled(run, NUMBERS);
    struct end end = {.run = run, .random = bench_random_seeded(1), .left = numbers};
    struct stage stage = {.run = run, .left = numbers};
    troupe_pid pid;

    TROUPE_TRY(bench_spawn(run, &sink_behaviour, &end, sizeof end, &stage.next));
    for (unsigned bit = BITS; bit > 0; bit--) {
        stage.mask = (uint64_t)1 << (bit - 1);
        TROUPE_TRY(bench_spawn(run, &stage_behaviour, &stage, sizeof stage, &pid));
        stage.next = pid;
    }
    end.next = stage.next;
    TROUPE_TRY(bench_spawn(run, &source_behaviour, &end, sizeof end, &pid));
    run->expected_count = numbers;
    run->expected_sum = sum_of(numbers);
    bench_begin(run, (BITS + 1) * numbers, 1);
    return bench_signal(run, pid, &go_on);
}

const struct bench_workload bench_radix_sort = {
    .name = "radix_sort",
    .about = "100 000 numbers of 60 bits go through an actor for each bit",
    .start = start,
};
