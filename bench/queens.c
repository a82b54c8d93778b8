/* SPDX-License-Identifier: MIT */
/*
 * queens.c - all ways to put 10 queens on a board: a master deals boards to 20 workers, which find more to deal.
 *
 * A board with fewer than 4 queens goes back to the master with one more on each square that is safe; others are searched
 * by the worker that has them.  So there are few long jobs and many short ones, and they make each other.
 */
#include "harness.h"

#define SIZE 10U
#define SOLUTIONS 724U
#define SHALLOW 4U
#define WORKERS 20U
#define SEARCHES 40U

struct board {
    uint8_t column[SIZE]; /* of the queen in each row so far */
    uint8_t rows;
};

static const struct troupe_type go_on = TROUPE_SIGNAL;
static const struct troupe_type job = TROUPE_TYPE(struct board);
static const struct troupe_type found =
    TROUPE_TYPE(uint64_t); /* body: solutions; and the job is done */

struct master {
    struct bench_run *run;
    troupe_pid workers[WORKERS];
    uint64_t turn;
    uint64_t open; /* jobs dealt and not done */
    uint64_t solutions;
    uint64_t searches;
};

static bool is_safe(const struct board *board, unsigned column)
{
    for (unsigned row = 0; row < board->rows; row++) {
        unsigned apart = board->rows - row;
        unsigned other = board->column[row];

        if (other == column || other + apart == column || column + apart == other) {
            return false;
        }
    }
    return true;
}

static struct board with_queen(const struct board *board, unsigned column)
{
    struct board more = *board;

    more.column[more.rows++] = (uint8_t)column;
    return more;
}

/* How many solutions begin like this. */
static uint64_t search(const struct board *board)
{
    uint64_t solutions = 0;

    if (board->rows == SIZE) {
        return 1;
    }
    for (unsigned column = 0; column < SIZE; column++) {
        if (is_safe(board, column)) {
            struct board more = with_queen(board, column);

            solutions += search(&more);
        }
    }
    return solutions;
}

static int worker_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    const struct board *board = troupe_body(msg);
    troupe_pid master = troupe_sender(msg);
    uint64_t solutions = 0;

    (void)state;
    if (board->rows >= SHALLOW) {
        solutions = search(board);
        return troupe_send(self, master, &found, &solutions);
    }
    for (unsigned column = 0; column < SIZE; column++) {
        if (is_safe(board, column)) {
            struct board more = with_queen(board, column);

            TROUPE_TRY(troupe_send(self, master, &job, &more));
        }
    }
    return troupe_send(self, master, &found, &solutions);
}

static int master_init(struct troupe_actor *self, void *state, const void *arg)
{
    (void)self;
    *(struct master *)state = *(const struct master *)arg;
    return TROUPE_OK;
}

static int deal(struct troupe_actor *self, struct master *master, const struct board *board)
{
    troupe_pid worker = master->workers[master->turn++ % WORKERS];

    master->open++;
    return troupe_send(self, worker, &job, board);
}

static int start_searches(struct troupe_actor *self, struct master *master)
{
    struct board empty = {.rows = 0};

    for (uint64_t i = 0; i < master->searches; i++) {
        TROUPE_TRY(deal(self, master, &empty));
    }
    return TROUPE_OK;
}

static int master_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct master *master = state;

    if (troupe_is(msg, &job)) {
        return deal(self, master, troupe_body(msg));
    }
    if (troupe_is(msg, &go_on)) {
        return start_searches(self, master);
    }
    master->solutions += *(uint64_t *)troupe_body(msg);
    if (--master->open == 0) {
        bench_part_done(master->run);
    }
    return TROUPE_OK;
}

static void master_destroy(void *state)
{
    struct master *master = state;

    bench_tally(master->run, master->solutions, 0);
}

/* Room for all jobs of many searches. */
static const struct troupe_behaviour worker_behaviour = {
    .name = "worker",
    .receive = worker_receive,
    .capacity = TROUPE_CAPACITY_MAX,
    .capacity_bytes = TROUPE_CAPACITY_BYTES_MAX,
};

static const struct troupe_behaviour master_behaviour = {
    .name = "master",
    .state_size = sizeof(struct master),
    .init = master_init,
    .receive = master_receive,
    .destroy = master_destroy,
    .capacity = TROUPE_CAPACITY_MAX,
    .capacity_bytes = TROUPE_CAPACITY_BYTES_MAX,
};

/* How many boards of one search are dealt. */
static uint64_t jobs_from(const struct board *board)
{
    uint64_t jobs = 1;

    for (unsigned column = 0; column < SIZE && board->rows < SHALLOW; column++) {
        if (is_safe(board, column)) {
            struct board more = with_queen(board, column);

            jobs += jobs_from(&more);
        }
    }
    return jobs;
}

static int start(struct bench_run *run)
{
    struct board empty = {.rows = 0};
    struct master master = {.run = run, .searches = bench_scaled(run, SEARCHES)};
    uint64_t jobs = master.searches * jobs_from(&empty);
    troupe_pid pid;

    for (unsigned i = 0; i < WORKERS; i++) {
        TROUPE_TRY(bench_spawn(run, &worker_behaviour, NULL, 0, &master.workers[i]));
    }
    TROUPE_TRY(bench_spawn(run, &master_behaviour, &master, sizeof master, &pid));
    run->expected_count = SOLUTIONS * master.searches;
    /* Each job is dealt and done, and all but the first come from a worker. */
    bench_begin(run, 3 * jobs - master.searches, 1);
    return bench_signal(run, pid, &go_on);
}

const struct bench_workload bench_queens = {
    .name = "queens",
    .about = "40 searches for all ways to put 10 queens on a board, by 20 workers",
    .start = start,
};
