/* SPDX-License-Identifier: MIT */
/*
 * quicksort.c - 1 000 000 numbers are sorted by actors: each splits what it gets and spawns two for the parts.
 *
 * The numbers stay where they are.  A message says which of them belong to whoever has it, and that it is done with them gives
 * them back.  2048 and fewer are sorted by the actor that has them.
 */
#include "harness.h"
#include "random.h"

#include <stdlib.h>

#define NUMBERS 1000000U
#define BITS 60U
#define ALONE 2048 /* so many, or fewer, are not split */
#define FEW 16     /* so many, or fewer, are put in order one by one */

struct slice {
    uint64_t *numbers;
    int64_t count;
};

static const struct troupe_type sort = TROUPE_TYPE(struct slice);
static const struct troupe_type sorted = TROUPE_SIGNAL;

/* Of this repetition, which has the process to itself. */
static struct slice all;

struct sorter {
    struct bench_run *run;
    troupe_pid parent; /* NOBODY: of all numbers */
    unsigned left;     /* parts that are not sorted */
};

static const struct troupe_behaviour sorter_behaviour;

static void swap(uint64_t *a, uint64_t *b)
{
    uint64_t kept = *a;

    *a = *b;
    *b = kept;
}

static uint64_t median_of(uint64_t a, uint64_t b, uint64_t c)
{
    uint64_t low = a < b ? a : b;
    uint64_t high = a < b ? b : a;

    if (c < low) {
        return low;
    }
    return c > high ? high : c;
}

/* None of the first part is above a number of the second one.  What is between the two is where it belongs. */
static void split(struct slice whole, struct slice parts[2])
{
    uint64_t *n = whole.numbers;
    uint64_t pivot = median_of(n[0], n[whole.count / 2], n[whole.count - 1]);
    int64_t low = 0;
    int64_t high = whole.count - 1;

    while (low <= high) {
        while (n[low] < pivot) {
            low++;
        }
        while (n[high] > pivot) {
            high--;
        }
        if (low <= high) {
            swap(&n[low++], &n[high--]);
        }
    }
    parts[0] = (struct slice){n, high + 1};
    parts[1] = (struct slice){n + low, whole.count - low};
}

static void sort_few(struct slice slice)
{
    for (int64_t i = 1; i < slice.count; i++) {
        for (int64_t j = i; j > 0 && slice.numbers[j] < slice.numbers[j - 1]; j--) {
            swap(&slice.numbers[j], &slice.numbers[j - 1]);
        }
    }
}

static void sort_alone(struct slice slice)
{
    struct slice parts[2];

    if (slice.count <= FEW) {
        sort_few(slice);
        return;
    }
    split(slice, parts);
    sort_alone(parts[0]);
    sort_alone(parts[1]);
}

static int sorter_init(struct troupe_actor *self, void *state, const void *arg)
{
    (void)self;
    *(struct sorter *)state = *(const struct sorter *)arg;
    return TROUPE_OK;
}

static int spawn_for(struct troupe_actor *self, struct sorter *sorter, const struct slice *part)
{
    struct sorter child = {.run = sorter->run, .parent = troupe_self(self)};
    struct troupe_spawn_options options = {
        .behaviour = &sorter_behaviour, .arg = &child, .arg_size = sizeof child};
    troupe_pid pid;

    TROUPE_TRY(troupe_spawn(self, &options, &pid));
    sorter->left++;
    return troupe_send(self, pid, &sort, part);
}

/* All of it is in order: gives it back. */
static int finish(struct troupe_actor *self, struct sorter *sorter)
{
    if (sorter->parent == TROUPE_NOBODY) {
        bench_part_done(sorter->run);
        return TROUPE_DONE;
    }
    TROUPE_TRY(troupe_send(self, sorter->parent, &sorted, NULL));
    return TROUPE_DONE;
}

static int sorter_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct sorter *sorter = state;
    struct slice parts[2];
    struct slice slice;

    if (troupe_is(msg, &sorted)) {
        return --sorter->left == 0 ? finish(self, sorter) : TROUPE_OK;
    }
    slice = *(struct slice *)troupe_body(msg);
    if (slice.count <= ALONE) {
        sort_alone(slice);
        return finish(self, sorter);
    }
    split(slice, parts);
    TROUPE_TRY(spawn_for(self, sorter, &parts[0]));
    return spawn_for(self, sorter, &parts[1]);
}

static const struct troupe_behaviour sorter_behaviour = {
    .name = "sorter",
    .state_size = sizeof(struct sorter),
    .init = sorter_init,
    .receive = sorter_receive,
};

static int start(struct bench_run *run)
{
    struct sorter sorter = {.run = run, .parent = TROUPE_NOBODY};
    struct bench_random random = bench_random_seeded(1);
    struct troupe_message *msg;
    troupe_pid pid;

    all.count = (int64_t)bench_scaled(run, NUMBERS);
    all.numbers = malloc((size_t)all.count * sizeof *all.numbers);
    if (all.numbers == NULL) {
        return TROUPE_ENOMEM;
    }
    for (int64_t i = 0; i < all.count; i++) {
        all.numbers[i] = bench_random_next(&random) >> (64 - BITS);
        run->expected_sum += all.numbers[i];
    }
    run->expected_count = (uint64_t)all.count;
    TROUPE_TRY(bench_spawn(run, &sorter_behaviour, &sorter, sizeof sorter, &pid));
    TROUPE_TRY(troupe_message_create(run->runtime, &sort, 0, &msg));
    *(struct slice *)troupe_body(msg) = all;
    bench_begin(run, (uint64_t)all.count, 1);
    /* Numbers, not messages: of those there are two for an actor. */
    run->expected_handled = 1;
    return troupe_try_send(run->runtime, pid, msg);
}

static int look_at_them(struct bench_run *run)
{
    uint64_t sum = 0;

    for (int64_t i = 0; i < all.count; i++) {
        sum += all.numbers[i];
        if (i > 0 && all.numbers[i] < all.numbers[i - 1]) {
            return bench_fail(run, "the numbers are not sorted");
        }
    }
    bench_tally(run, (uint64_t)all.count, sum);
    free(all.numbers);
    return TROUPE_OK;
}

const struct bench_workload bench_quicksort = {
    .name = "quicksort",
    .about = "1 000 000 numbers, sorted in place by actors that split them down to 2048",
    .start = start,
    .measure = look_at_them,
};
