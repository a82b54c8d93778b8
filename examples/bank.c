/* SPDX-License-Identifier: MIT */
/*
 * bank.c - a supervision tree: an account, and a teller who uses it.
 *
 * The account fails when it is given a negative deposit.  Its supervisor starts it again, at the same address and with
 * the messages that were still queued; what it had in its state is gone, as after any failure.  The teller
 * notices none of it but the balance.
 */
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include <troupe.h>

/* A message type is an object: its address is its identity.  In a larger program these stand in a header. */
struct deposit {
    int64_t cents;
};
struct balance {
    int64_t cents;
    uint32_t incarnation;
};
static const struct troupe_type deposit = TROUPE_TYPE(struct deposit);
static const struct troupe_type get_balance = TROUPE_SIGNAL;
static const struct troupe_type balance = TROUPE_TYPE(struct balance);

/* ---- the account: one function per message, its state, nothing else ---- */

struct account {
    int64_t cents;
};

static int account_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct account *account = state;

    if (troupe_is(msg, &deposit)) {
        const struct deposit *body = troupe_body(msg);

        if (body->cents < 0) {
            return troupe_fail(
                self, TROUPE_EINVAL, "negative deposit"); /* the supervisor decides */
        }
        account->cents += body->cents;
        return TROUPE_OK;
    }
    if (troupe_is(msg, &get_balance)) {
        struct balance now = {.cents = account->cents, .incarnation = troupe_incarnation(self)};

        return troupe_reply(self, msg, &balance, &now);
    }
    return TROUPE_EUNKNOWN; /* counted; the actor goes on */
}

static const struct troupe_behaviour account_behaviour = {
    .name = "account",
    .state_size = sizeof(struct account),
    .receive = account_receive,
};

/* ---- the teller: asks, and goes on in a continuation ---- */

static int teller_deposit(struct troupe_actor *self, int64_t cents)
{
    return troupe_send_name(self, "bank.account", &deposit, &(struct deposit){.cents = cents});
}

static int teller_ask(struct troupe_actor *self, troupe_reply_fn on_reply)
{
    return troupe_request(
        self, troupe_whereis(self, "bank.account"), &get_balance, NULL, 1000, on_reply, NULL);
}

static int teller_print(int status, struct troupe_message *reply)
{
    const struct balance *now;

    if (status < 0) {
        return status;
    }
    now = troupe_body(reply);
    printf("balance %lld, life %u of the account\n", (long long)now->cents, now->incarnation);
    return TROUPE_OK;
}

static int teller_done(
    struct troupe_actor *self, void *state, void *context, int status, struct troupe_message *reply)
{
    (void)self;
    (void)state;
    (void)context;
    TROUPE_TRY(teller_print(status, reply));
    kill(getpid(), SIGTERM); /* the end of this program: troupe_run() stops the tree and returns */
    return TROUPE_DONE;
}

/* The bad deposit costs the account its life; the good one behind it is still queued, and waits. */
static int teller_provoke(
    struct troupe_actor *self, void *state, void *context, int status, struct troupe_message *reply)
{
    (void)state;
    (void)context;
    TROUPE_TRY(teller_print(status, reply));
    TROUPE_TRY(teller_deposit(self, -1));
    TROUPE_TRY(teller_deposit(self, 7));
    return teller_ask(self, teller_done);
}

static int teller_init(struct troupe_actor *self, void *state, const void *arg)
{
    (void)state;
    (void)arg;
    for (int i = 0; i < 100; i++) {
        TROUPE_TRY(teller_deposit(self, 5));
    }
    return teller_ask(self, teller_provoke);
}

static int teller_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    (void)self;
    (void)state;
    (void)msg;
    return TROUPE_EUNKNOWN;
}

static const struct troupe_behaviour teller_behaviour = {
    .name = "teller",
    .init = teller_init,
    .receive = teller_receive,
};

/* ---- the tree: children are named after it, "bank.account" and "bank.teller" ---- */

static const struct troupe_child_spec children[] = {
    {.id = "account", .behaviour = &account_behaviour, .keep_mailbox = true},
    {.id = "teller", .behaviour = &teller_behaviour, .restart = TROUPE_TRANSIENT},
};

static const struct troupe_supervisor_spec bank = {
    .name = "bank",
    .strategy = TROUPE_ONE_FOR_ONE,
    .intensity = 3,
    .period_ms = 5000,
    .children = children,
    .child_count = TROUPE_COUNT(children),
};

static void print_report(void *context, const struct troupe_report *report)
{
    (void)context;
    printf("report: %s: %s\n", report->actor, report->text);
}

int main(void)
{
    struct troupe_runtime_options options = {.report = print_report};
    int error = troupe_run(&options, &bank); /* until the tree ends, or SIGINT or SIGTERM */

    if (error < 0) {
        fprintf(stderr, "bank: %s\n", troupe_strerror(error));
        return 1;
    }
    return 0;
}
