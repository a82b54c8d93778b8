/* SPDX-License-Identifier: MIT */
/*
 * bank.c - a teller has 1000 accounts transfer money to each other: a request within a request, from many to many.
 *
 * The account that pays asks the other to take the money, and tells the teller when it has.  1000 transfers are under
 * way; another begins whenever one is done.
 */
#include "harness.h"
#include "random.h"

#define ACCOUNTS 1000U
#define TRANSFERS 500000U
#define UNDER_WAY 1000U
#define AMOUNT_MAX 1000U

static const struct troupe_type go_on = TROUPE_SIGNAL;
static const struct troupe_type deposit = TROUPE_TYPE(uint64_t);
static const struct troupe_type taken = TROUPE_SIGNAL;
static const struct troupe_type done = TROUPE_SIGNAL;

struct order {
    troupe_pid to;
    uint64_t amount;
};

static const struct troupe_type transfer = TROUPE_TYPE(struct order);

/* Of this repetition, which has the process to itself: set before the clock runs. */
static troupe_pid accounts[ACCOUNTS];

struct account {
    struct bench_run *run;
    troupe_pid teller; /* of the last order */
    uint64_t balance;  /* modulo 2^64: there is credit */
    uint64_t deposits;
};

struct teller {
    struct bench_run *run;
    struct bench_random random;
    uint64_t to_begin;
    uint64_t left;
};

static int account_init(struct troupe_actor *self, void *state, const void *arg)
{
    (void)self;
    *(struct account *)state = *(const struct account *)arg;
    return TROUPE_OK;
}

static int on_taken(
    struct troupe_actor *self, void *state, void *context, int status, struct troupe_message *reply)
{
    const struct account *account = state;

    (void)context;
    (void)reply;
    TROUPE_TRY(status);
    return troupe_send(self, account->teller, &done, NULL);
}

static int account_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct account *account = state;
    const struct order *order = troupe_body(msg);

    if (troupe_is(msg, &deposit)) {
        account->balance += *(const uint64_t *)troupe_body(msg);
        account->deposits++;
        return troupe_reply(self, msg, &taken, NULL);
    }
    account->teller = troupe_sender(msg);
    account->balance -= order->amount;
    return troupe_request(
        self, order->to, &deposit, &order->amount, TROUPE_FOREVER, on_taken, NULL);
}

static void account_destroy(void *state)
{
    struct account *account = state;

    bench_tally(account->run, account->deposits, account->balance);
}

static int teller_init(struct troupe_actor *self, void *state, const void *arg)
{
    (void)self;
    *(struct teller *)state = *(const struct teller *)arg;
    return TROUPE_OK;
}

/* From one account to another one. */
static int begin_transfer(struct troupe_actor *self, struct teller *teller)
{
    uint64_t from = bench_random_below(&teller->random, ACCOUNTS);
    uint64_t to = bench_random_below(&teller->random, ACCOUNTS - 1);
    struct order order = {
        .to = accounts[to + (to >= from)],
        .amount = 1 + bench_random_below(&teller->random, AMOUNT_MAX),
    };

    teller->to_begin--;
    return troupe_send(self, accounts[from], &transfer, &order);
}

static int teller_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct teller *teller = state;

    if (troupe_is(msg, &done)) {
        if (--teller->left == 0) {
            bench_part_done(teller->run);
        }
        return teller->to_begin > 0 ? begin_transfer(self, teller) : TROUPE_OK;
    }
    for (unsigned i = 0; i < UNDER_WAY && teller->to_begin > 0; i++) {
        TROUPE_TRY(begin_transfer(self, teller));
    }
    return TROUPE_OK;
}

/* Room for all that can be under way, on its way to be paid and to be taken. */
static const struct troupe_behaviour account_behaviour = {
    .name = "account",
    .state_size = sizeof(struct account),
    .init = account_init,
    .receive = account_receive,
    .destroy = account_destroy,
    .capacity = 2 * UNDER_WAY,
};

static const struct troupe_behaviour teller_behaviour = {
    .name = "teller",
    .state_size = sizeof(struct teller),
    .init = teller_init,
    .receive = teller_receive,
    .capacity = 2 * UNDER_WAY,
};

static int start(struct bench_run *run)
{
    uint64_t transfers = bench_scaled(run, TRANSFERS);
    struct account account = {.run = run};
    struct teller teller = {
        .run = run,
        .random = bench_random_seeded(1),
        .to_begin = transfers,
        .left = transfers,
    };
    troupe_pid pid;

    for (unsigned i = 0; i < ACCOUNTS; i++) {
        TROUPE_TRY(bench_spawn(run, &account_behaviour, &account, sizeof account, &accounts[i]));
    }
    TROUPE_TRY(bench_spawn(run, &teller_behaviour, &teller, sizeof teller, &pid));
    run->expected_count = transfers;
    run->expected_sum = 0;
    bench_begin(run, 4 * transfers, 1);
    return bench_signal(run, pid, &go_on);
}

const struct bench_workload bench_bank = {
    .name = "bank",
    .about = "500 000 transfers between 1000 accounts, 1000 at a time",
    .start = start,
};
