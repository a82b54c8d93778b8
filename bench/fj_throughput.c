/* SPDX-License-Identifier: MIT */
/*
 * fj_throughput.c - one actor deals numbers to 64 others in turn: fan-out.
 *
 *   _b, _u   each number is a send of its own; a turn gives one to each member
 *   _batch   64 numbers are made, then sent to one member together; the next turn is the next member's
 *
 * Each member gets 1, 2, 3 and so on, and so sees a number that is lost, doubled or overtaken.
 */
#include "harness.h"

#define MEMBERS 64U
#define EACH 100000U
#define BATCH 64U

static const struct troupe_type go_on = TROUPE_SIGNAL;
static const struct troupe_type number = TROUPE_TYPE(uint64_t);

struct member {
    struct bench_run *run;
    uint64_t last;
    uint64_t count;
    uint64_t sum;
};

/* Of this repetition, which has the process to itself: `start` writes what is dealt, then only the dealer does. */
static struct {
    troupe_pid members[MEMBERS];
    uint64_t next[MEMBERS]; /* what each gets next */
    uint64_t last;
    unsigned turn;                       /* whose turn it is */
    struct troupe_message *batch[BATCH]; /* made and not sent yet */
    unsigned held;                       /* so many */
} deal;

static int member_init(struct troupe_actor *self, void *state, const void *arg)
{
    (void)self;
    *(struct member *)state = *(const struct member *)arg;
    return TROUPE_OK;
}

static int member_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct member *member = state;
    uint64_t value = *(uint64_t *)troupe_body(msg);

    (void)self;
    member->count++;
    member->sum += value;
    if (value != member->count) {
        return bench_fail(member->run, "a number overtook another");
    }
    if (value == member->last) {
        bench_part_done(member->run);
    }
    return TROUPE_OK;
}

static void member_destroy(void *state)
{
    struct member *member = state;

    bench_tally(member->run, member->count, member->sum);
}

/* All get as many, so whoever's turn it is and has had all is the first one again. */
static bool is_dealt(void)
{
    return deal.next[deal.turn] > deal.last;
}

/* 64 numbers, from where the last turn stopped.  A refused one is sent again in the next turn. */
static int dealer_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    (void)state;
    (void)msg;
    for (unsigned i = 0; i < MEMBERS && !is_dealt(); i++) {
        int error = troupe_send(self, deal.members[deal.turn], &number, &deal.next[deal.turn]);

        if (error == TROUPE_EFULL) {
            break;
        }
        TROUPE_TRY(error);
        deal.next[deal.turn]++;
        deal.turn = (deal.turn + 1) % MEMBERS;
    }
    return is_dealt() ? TROUPE_DONE : troupe_send(self, troupe_self(self), &go_on, NULL);
}

/* Fills the batch for the member whose turn it is. */
static int make_batch(struct troupe_actor *self)
{
    while (deal.held < BATCH && deal.next[deal.turn] <= deal.last) {
        struct troupe_message *msg;

        TROUPE_TRY(troupe_message_create(troupe_runtime_of(self), &number, 0, &msg));
        *(uint64_t *)troupe_body(msg) = deal.next[deal.turn]++;
        deal.batch[deal.held++] = msg;
    }
    return TROUPE_OK;
}

/* A refused batch is kept for the next turn. */
static int batcher_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    int error;

    (void)state;
    (void)msg;
    TROUPE_TRY(make_batch(self));
    error = troupe_send_batch(self, deal.members[deal.turn], deal.batch, deal.held);
    if (error < 0 && error != TROUPE_EFULL) {
        return error;
    }
    if (error == TROUPE_OK) {
        deal.held = 0;
        deal.turn = (deal.turn + 1) % MEMBERS;
    }
    return deal.held == 0 && is_dealt() ? TROUPE_DONE
                                        : troupe_send(self, troupe_self(self), &go_on, NULL);
}

static const struct troupe_behaviour member_bounded = {
    .name = "member",
    .state_size = sizeof(struct member),
    .init = member_init,
    .receive = member_receive,
    .destroy = member_destroy,
    .capacity = TROUPE_CAPACITY_DEFAULT,
};

static const struct troupe_behaviour member_unbounded = {
    .name = "member",
    .state_size = sizeof(struct member),
    .init = member_init,
    .receive = member_receive,
    .destroy = member_destroy,
    .capacity = TROUPE_CAPACITY_MAX,
    .capacity_bytes = TROUPE_CAPACITY_BYTES_MAX,
};

static const struct troupe_behaviour dealer = {.name = "dealer", .receive = dealer_receive};
static const struct troupe_behaviour batcher = {.name = "batcher", .receive = batcher_receive};

static int start(struct bench_run *run, const struct troupe_behaviour *member_behaviour,
    const struct troupe_behaviour *dealer_behaviour)
{
    struct member member = {.run = run, .last = bench_scaled(run, EACH)};
    troupe_pid pid;

    deal.last = member.last;
    for (unsigned i = 0; i < MEMBERS; i++) {
        deal.next[i] = 1;
        TROUPE_TRY(bench_spawn(run, member_behaviour, &member, sizeof member, &deal.members[i]));
    }
    TROUPE_TRY(bench_spawn(run, dealer_behaviour, NULL, 0, &pid));
    run->expected_count = MEMBERS * member.last;
    run->expected_sum = MEMBERS * (member.last * (member.last + 1) / 2);
    bench_begin(run, MEMBERS * member.last, MEMBERS);
    return bench_signal(run, pid, &go_on);
}

static int start_bounded(struct bench_run *run)
{
    return start(run, &member_bounded, &dealer);
}

static int start_unbounded(struct bench_run *run)
{
    return start(run, &member_unbounded, &dealer);
}

static int start_batch(struct bench_run *run)
{
    return start(run, &member_unbounded, &batcher);
}

const struct bench_workload bench_fj_throughput_b = {
    .name = "fj_throughput_b",
    .alias = "fj_throughput",
    .about = "1 actor to 64 in turn, 100 000 messages each, mailboxes for 1024",
    .start = start_bounded,
};

const struct bench_workload bench_fj_throughput_u = {
    .name = "fj_throughput_u",
    .about = "1 actor to 64 in turn, 100 000 messages each, mailboxes for 2^23",
    .start = start_unbounded,
};

const struct bench_workload bench_fj_throughput_batch = {
    .name = "fj_throughput_batch",
    .about = "as fj_throughput_u, 64 messages in one send",
    .start = start_batch,
};
