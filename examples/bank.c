/* SPDX-License-Identifier: MIT */
/*
 * bank.c - a supervision tree: an account, and a teller who uses it.
 *
 * The account fails when it is given a negative deposit.  Its supervisor starts it again, at the same address and with the
 * messages that were still queued; its state is gone, as after any failure.  The teller notices but the balance.
 */
#include <stdio.h>

#include <troupe.h>

/* A message type is an object: its address is its identity.  In a larger program these stand in a header. */
struct balance {
    int64_t cents;
    uint32_t incarnation;
};
static const struct troupe_type deposit = TROUPE_TYPE(int64_t);
static const struct troupe_type get_balance = TROUPE_SIGNAL;
static const struct troupe_type balance = TROUPE_TYPE(struct balance);

/* The account: one function per message, its state, nothing else. */
struct account {
    int64_t cents;
};

static int account_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct account *account = state;

    if (troupe_is(msg, &deposit)) {
        int64_t cents = *(const int64_t *)troupe_body(msg);

        if (cents < 0) {
            return troupe_fail(self, TROUPE_EINVAL, "negative deposit");
        }
        account->cents += cents;
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
    .capacity = 128, /* a teller does not wait for room */
};

static int teller_deposit(struct troupe_actor *self, int64_t cents)
{
    return troupe_send_name(self, "bank.account", &deposit, &cents);
}

static int teller_print(struct troupe_actor *self)
{
    troupe_pid to = troupe_whereis(self, "bank.account");
    struct balance now;

    TROUPE_TRY(troupe_call(self, to, &get_balance, NULL, &balance, &now, 1000));
    printf("balance %lld, life %u of the account\n", (long long)now.cents, now.incarnation);
    return TROUPE_OK;
}

/* The teller: a function that asks and waits.  The bad deposit costs the account its life; the good one behind it is still queued, and waits. */
static int teller_main(struct troupe_actor *self, const void *arg)
{
    (void)arg;
    for (int i = 0; i < 100; i++) {
        TROUPE_TRY(teller_deposit(self, 5));
    }
    TROUPE_TRY(teller_print(self));
    TROUPE_TRY(teller_deposit(self, -1));
    TROUPE_TRY(teller_deposit(self, 7));
    return teller_print(self);
}

static const struct troupe_behaviour teller = {.name = "teller", .main = teller_main};

/* The tree.  Children are named after it: "bank.account".  When the teller is done, so is the bank. */
static const struct troupe_child_spec children[] = {
    {.id = "account", .behaviour = &account_behaviour, .keep_mailbox = true},
    {.id = "teller", .behaviour = &teller, .restart = TROUPE_TRANSIENT, .significant = true},
};
static const struct troupe_supervisor_spec bank = {.name = "bank",
    .children = children,
    .child_count = TROUPE_COUNT(children),
    .auto_shutdown = TROUPE_SHUTDOWN_ANY_SIGNIFICANT};

static void print_report(void *context, const struct troupe_report *report)
{
    (void)context;
    printf("report: %s: %s\n", report->actor, report->text);
}

int main(void)
{
    return troupe_run(&(struct troupe_runtime_options){.report = print_report}, &bank) < 0;
}
