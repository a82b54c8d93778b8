/* SPDX-License-Identifier: MIT */
/*
 * matrix_multiply.c - two matrices of 1024 by 1024: a master deals blocks of the product to 20 workers.
 *
 * A block above 128 by 128 comes back to the master as its four quarters.  A smaller one is multiplied with 128 of the rows that
 * it takes, and comes back for the next 128, so that nobody else adds to it meanwhile.  So there are few jobs, and each takes long.
 *
 * The matrices are shared: two are only read, and whoever has a block's job has the block.
 */
#include "harness.h"

#include <stdlib.h>

#define SIDE 1024U
#define BLOCK 128U /* so large, and smaller, is multiplied; above it is quartered */
#define SIDE_MIN (2 * BLOCK)
#define WORKERS 20U

/* A square of the product. */
struct block {
    uint32_t row;
    uint32_t column;
    uint32_t size;
    uint32_t inner; /* so many products have been added to each place */
};

static const struct troupe_type go_on = TROUPE_SIGNAL;
static const struct troupe_type job = TROUPE_TYPE(struct block);
static const struct troupe_type done = TROUPE_SIGNAL;

/* Of this repetition, which has the process to itself: set before the clock runs. */
static uint32_t side;
static double *left;
static double *right;
static double *product;

struct master {
    struct bench_run *run;
    troupe_pid workers[WORKERS];
    uint64_t turn;
    uint64_t open; /* jobs dealt and not done */
};

static double left_at(uint32_t row, uint32_t column)
{
    return (double)row + column;
}

static double right_at(uint32_t row, uint32_t column)
{
    return (double)column - row;
}

/* What must come out, exactly: with k from 0 to side - 1 the sum of (row + k) * (column - k). */
static double product_at(uint32_t row, uint32_t column)
{
    double n = side;
    double sum = n * (n - 1) / 2;
    double squares = (n - 1) * n * (2 * n - 1) / 6;

    return n * row * column + ((double)column - row) * sum - squares;
}

/* Adds BLOCK products to each place of a small block. */
static void multiply(const struct block *block)
{
    for (uint32_t i = block->row; i < block->row + block->size; i++) {
        double *to = &product[(size_t)i * side + block->column];

        for (uint32_t k = block->inner; k < block->inner + BLOCK; k++) {
            double factor = left[(size_t)i * side + k];
            const double *from = &right[(size_t)k * side + block->column];

            for (uint32_t j = 0; j < block->size; j++) {
                to[j] += factor * from[j];
            }
        }
    }
}

static int quarter(struct troupe_actor *self, troupe_pid master, const struct block *block)
{
    uint32_t half = block->size / 2;

    for (uint32_t i = 0; i < 4; i++) {
        struct block part = {
            .row = block->row + i / 2 * half,
            .column = block->column + i % 2 * half,
            .size = half,
        };

        TROUPE_TRY(troupe_send(self, master, &job, &part));
    }
    return TROUPE_OK;
}

static int worker_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct block block = *(struct block *)troupe_body(msg);
    troupe_pid master = troupe_sender(msg);

    (void)state;
    if (block.size > BLOCK) {
        TROUPE_TRY(quarter(self, master, &block));
        return troupe_send(self, master, &done, NULL);
    }
    multiply(&block);
    block.inner += BLOCK;
    if (block.inner < side) {
        TROUPE_TRY(troupe_send(self, master, &job, &block));
    }
    return troupe_send(self, master, &done, NULL);
}

static int master_init(struct troupe_actor *self, void *state, const void *arg)
{
    (void)self;
    *(struct master *)state = *(const struct master *)arg;
    return TROUPE_OK;
}

static int deal(struct troupe_actor *self, struct master *master, const struct block *block)
{
    troupe_pid worker = master->workers[master->turn++ % WORKERS];

    master->open++;
    return troupe_send(self, worker, &job, block);
}

static int master_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct master *master = state;

    if (troupe_is(msg, &job)) {
        return deal(self, master, troupe_body(msg));
    }
    if (troupe_is(msg, &go_on)) {
        return deal(self, master, &(struct block){.size = side});
    }
    if (--master->open == 0) {
        bench_part_done(master->run);
    }
    return TROUPE_OK;
}

static const struct troupe_behaviour worker_behaviour = {
    .name = "worker",
    .receive = worker_receive,
};

static const struct troupe_behaviour master_behaviour = {
    .name = "master",
    .state_size = sizeof(struct master),
    .init = master_init,
    .receive = master_receive,
};

/* Powers of two: the work grows with the third power of it. */
static uint32_t side_for(double scale)
{
    uint32_t size = SIDE_MIN;

    while (scale * SIDE * SIDE * SIDE >= 8.0 * size * size * size) {
        size *= 2;
    }
    return size;
}

static int create_matrices(void)
{
    left = malloc(sizeof(double) * side * side);
    right = malloc(sizeof(double) * side * side);
    product = calloc((size_t)side * side, sizeof(double));
    if (left == NULL || right == NULL || product == NULL) {
        return TROUPE_ENOMEM;
    }
    for (uint32_t i = 0; i < side; i++) {
        for (uint32_t j = 0; j < side; j++) {
            left[(size_t)i * side + j] = left_at(i, j);
            right[(size_t)i * side + j] = right_at(i, j);
        }
    }
    return TROUPE_OK;
}

static int start(struct bench_run *run)
{
    struct master master = {.run = run};
    uint64_t blocks;
    uint64_t jobs;
    troupe_pid pid;

    side = side_for(run->scale);
    TROUPE_TRY(create_matrices());
    for (unsigned i = 0; i < WORKERS; i++) {
        TROUPE_TRY(bench_spawn(run, &worker_behaviour, NULL, 0, &master.workers[i]));
    }
    TROUPE_TRY(bench_spawn(run, &master_behaviour, &master, sizeof master, &pid));
    blocks = (uint64_t)(side / BLOCK) * (side / BLOCK);
    /* The small ones, each several times, and all above them. */
    jobs = blocks * (side / BLOCK) + (blocks - 1) / 3;
    run->expected_count = (uint64_t)side * side;
    /* Each is dealt and done, and all but the first come from a worker. */
    bench_begin(run, 3 * jobs - 1, 1);
    return bench_signal(run, pid, &go_on);
}

static int look_at_product(struct bench_run *run)
{
    uint64_t right_ones = 0;

    for (uint32_t i = 0; i < side; i++) {
        for (uint32_t j = 0; j < side; j++) {
            right_ones += product[(size_t)i * side + j] == product_at(i, j);
        }
    }
    bench_tally(run, right_ones, 0);
    free(left);
    free(right);
    free(product);
    return TROUPE_OK;
}

const struct bench_workload bench_matrix_multiply = {
    .name = "matrix_multiply",
    .about = "two matrices of 1024 by 1024, in blocks of 128, by 20 workers",
    .start = start,
    .measure = look_at_product,
};
