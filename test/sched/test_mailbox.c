/* SPDX-License-Identifier: MIT */
/* Mailbox: every message is taken once, in its sender's order, and there is one token or the bit PARKED. */
#include "sched/mailbox.h"

#include <criterion/criterion.h>
#include <string.h>

#include "test/support/random.h"
#include "test/support/team.h"

struct fixture {
    struct trp_mailbox mailbox;
    struct trp_node *head; /* the holder's */
};

static void start(struct fixture *f)
{
    memset(f, 0xa5, sizeof *f);
    trp_mailbox_init(&f->mailbox, &f->head);
}

/* As a sender that was interrupted between its exchange and its store: returns where the link is missing. */
static struct trp_node *push_half(struct fixture *f, struct trp_node *node)
{
    atomic_store(&node->next, NULL);
    return (struct trp_node *)(atomic_exchange(&f->mailbox.tail, (uintptr_t)node) &
                               ~TRP_MAILBOX_PARKED);
}

static bool push_one(struct fixture *f, struct trp_node *node)
{
    return trp_mailbox_push(&f->mailbox, node, node);
}

static struct trp_node *pop(struct fixture *f, struct trp_node **out_spent)
{
    *out_spent = NULL;
    return trp_mailbox_pop(&f->mailbox, &f->head, out_spent);
}

static bool park(struct fixture *f, struct trp_node **out_spent)
{
    return trp_mailbox_park(&f->mailbox, &f->head, out_spent);
}

static bool detach(struct fixture *f, struct trp_node **out_spent)
{
    return trp_mailbox_detach(&f->mailbox, &f->head, out_spent);
}

/* ---- one thread ---- */

Test(mailbox, is_empty_at_first_and_its_token_is_the_callers)
{
    struct trp_node *spent;
    struct trp_node node;
    struct fixture f;

    start(&f);
    cr_assert_not(trp_mailbox_is_parked(&f.mailbox));
    cr_assert_null(pop(&f, &spent));
    cr_assert_not(push_one(&f, &node), "there is a token already");
    cr_assert_eq(pop(&f, &spent), &node);
}

Test(mailbox, messages_come_in_the_order_of_their_push)
{
    struct trp_node nodes[100];
    struct trp_node *spent;
    struct fixture f;

    start(&f);
    for (unsigned i = 0; i < 100; i++) {
        cr_assert_not(push_one(&f, &nodes[i]));
    }
    for (unsigned i = 0; i < 100; i++) {
        cr_assert_eq(pop(&f, &spent), &nodes[i]);
        cr_assert_eq(spent, i == 0 ? NULL : &nodes[i - 1], "the one before is the caller's now");
    }
    cr_assert_null(pop(&f, &spent));
    cr_assert_null(spent);
}

Test(mailbox, a_chain_is_pushed_whole_and_ends_where_it_was_said_to_end)
{
    struct trp_node nodes[4];
    struct trp_node *spent;
    struct fixture f;

    start(&f);
    cr_assert_not(push_one(&f, &nodes[0]));
    atomic_init(&nodes[1].next, &nodes[2]);
    atomic_init(&nodes[2].next, &nodes[0]); /* no end yet */
    cr_assert_not(trp_mailbox_push(&f.mailbox, &nodes[1], &nodes[2]));
    cr_assert_not(push_one(&f, &nodes[3]));
    for (unsigned i = 0; i < 4; i++) {
        cr_assert_eq(pop(&f, &spent), &nodes[i]);
    }
    cr_assert_null(pop(&f, &spent));
}

Test(mailbox, parks_when_empty_and_the_first_push_alone_makes_a_token)
{
    struct trp_node nodes[2];
    struct trp_node *spent;
    struct fixture f;

    start(&f);
    cr_assert(park(&f, &spent));
    cr_assert_null(spent, "that was the stub");
    cr_assert(trp_mailbox_is_parked(&f.mailbox));
    cr_assert(push_one(&f, &nodes[0]));
    cr_assert_not(trp_mailbox_is_parked(&f.mailbox));
    cr_assert_not(push_one(&f, &nodes[1]));
    cr_assert_eq(pop(&f, &spent), &nodes[0]);
    cr_assert_eq(pop(&f, &spent), &nodes[1]);
}

Test(mailbox, a_chain_pushed_to_a_parked_mailbox_makes_one_token)
{
    struct trp_node nodes[3];
    struct trp_node *spent;
    struct fixture f;

    start(&f);
    cr_assert(park(&f, &spent));
    atomic_init(&nodes[0].next, &nodes[1]);
    cr_assert(trp_mailbox_push(&f.mailbox, &nodes[0], &nodes[1]));
    cr_assert_not(push_one(&f, &nodes[2]));
    for (unsigned i = 0; i < 3; i++) {
        cr_assert_eq(pop(&f, &spent), &nodes[i]);
    }
}

Test(mailbox, a_parked_one_holds_no_message)
{
    struct trp_node *spent;
    struct trp_node node;
    struct fixture f;

    start(&f);
    for (unsigned i = 0; i < 3; i++) {
        /* The same block again, as a pool would give it. */
        cr_assert_eq(push_one(&f, &node), i > 0);
        cr_assert_eq(pop(&f, &spent), &node);
        cr_assert_null(spent);
        cr_assert(park(&f, &spent));
        cr_assert_eq(spent, &node, "given back");
        cr_assert_eq(f.head, &f.mailbox.stub);
        cr_assert_eq(atomic_load(&f.mailbox.tail), (uintptr_t)&f.mailbox.stub | TRP_MAILBOX_PARKED);
        memset(&node, 0xa5, sizeof node);
    }
}

Test(mailbox, a_token_made_without_a_message_finds_none)
{
    struct trp_node *spent;
    struct trp_node node;
    struct fixture f;

    start(&f);
    cr_assert_not(push_one(&f, &node));
    cr_assert_eq(pop(&f, &spent), &node);
    cr_assert(park(&f, &spent));
    cr_assert(trp_mailbox_unpark(&f.mailbox));
    cr_assert_null(pop(&f, &spent), "what was read is not there again");
    cr_assert(park(&f, &spent));
    cr_assert_null(spent);
}

Test(mailbox, does_not_park_while_something_is_unread)
{
    struct trp_node nodes[2];
    struct trp_node *spent = &nodes[0];
    struct fixture f;

    start(&f);
    cr_assert_not(push_one(&f, &nodes[0]));
    cr_assert_not(park(&f, &spent));
    cr_assert_null(spent, "nothing is given back");
    cr_assert_eq(pop(&f, &spent), &nodes[0]);
    cr_assert_not(push_one(&f, &nodes[1]));
    cr_assert_not(park(&f, &spent), "the token stays");
    cr_assert_not(trp_mailbox_is_parked(&f.mailbox));
    cr_assert_eq(pop(&f, &spent), &nodes[1]);
    cr_assert_eq(spent, &nodes[0]);
    cr_assert(park(&f, &spent));
    cr_assert_eq(spent, &nodes[1]);
}

Test(mailbox, unpark_makes_a_token_only_if_there_was_none)
{
    struct trp_node *spent;
    struct trp_node node;
    struct fixture f;

    start(&f);
    cr_assert_not(trp_mailbox_unpark(&f.mailbox), "held");
    cr_assert(park(&f, &spent));
    cr_assert(trp_mailbox_unpark(&f.mailbox));
    cr_assert_not(trp_mailbox_unpark(&f.mailbox));
    cr_assert_not(push_one(&f, &node), "the token was made by unpark");
    cr_assert_not(trp_mailbox_unpark(&f.mailbox));
    cr_assert_eq(pop(&f, &spent), &node);
    cr_assert_not(trp_mailbox_unpark(&f.mailbox));
    cr_assert(park(&f, &spent));
    cr_assert(push_one(&f, &node));
    cr_assert_not(trp_mailbox_unpark(&f.mailbox), "the token was made by push");
}

/* With the stub as the head, then with a message. */
Test(mailbox, in_the_gap_nothing_is_found_and_the_token_stays)
{
    struct trp_node nodes[2];
    struct trp_node *spent;
    struct fixture f;

    start(&f);
    for (unsigned i = 0; i < 2; i++) {
        struct trp_node *head = f.head;
        struct trp_node *before = push_half(&f, &nodes[i]);

        cr_assert_eq(before, head);
        cr_assert_null(pop(&f, &spent));
        cr_assert_not(park(&f, &spent));
        cr_assert_null(spent);
        cr_assert_eq(f.head, head);
        cr_assert_eq(detach(&f, &spent), i == 0, "the stub is out already");
        cr_assert_null(spent);
        cr_assert_eq(f.head, head);
        atomic_store(&before->next, &nodes[i]);
        cr_assert_eq(pop(&f, &spent), &nodes[i]);
    }
    cr_assert(park(&f, &spent));
    cr_assert_eq(spent, &nodes[1]);
}

Test(mailbox, a_gap_behind_a_whole_message_hides_only_what_comes_after_it)
{
    struct trp_node nodes[3];
    struct trp_node *before;
    struct trp_node *spent;
    struct fixture f;

    start(&f);
    cr_assert_not(push_one(&f, &nodes[0]));
    before = push_half(&f, &nodes[1]);
    cr_assert_not(push_one(&f, &nodes[2]));
    cr_assert_eq(pop(&f, &spent), &nodes[0]);
    cr_assert_null(pop(&f, &spent), "whole, but behind the gap");
    cr_assert_not(park(&f, &spent));
    atomic_store(&before->next, &nodes[1]);
    cr_assert_eq(pop(&f, &spent), &nodes[1]);
    cr_assert_eq(pop(&f, &spent), &nodes[2]);
}

Test(mailbox, detach_gives_the_head_back_and_keeps_the_token)
{
    struct trp_node nodes[2];
    struct trp_node *spent = &nodes[1];
    struct fixture f;

    start(&f);
    cr_assert(detach(&f, &spent));
    cr_assert_null(spent, "there is only the stub");
    cr_assert_not(push_one(&f, &nodes[0]));
    cr_assert_eq(pop(&f, &spent), &nodes[0]);
    cr_assert(detach(&f, &spent));
    cr_assert_eq(spent, &nodes[0]);
    memset(&nodes[0], 0xa5, sizeof nodes[0]);
    cr_assert_not(trp_mailbox_is_parked(&f.mailbox));
    cr_assert_not(push_one(&f, &nodes[1]), "the token is still there");
    cr_assert_eq(pop(&f, &spent), &nodes[1]);
    cr_assert_null(spent, "the first one went before");
    cr_assert(park(&f, &spent));
    cr_assert_eq(spent, &nodes[1]);
}

Test(mailbox, detach_loses_nothing_that_is_behind_the_head)
{
    struct trp_node nodes[3];
    struct trp_node *spent;
    struct fixture f;

    start(&f);
    for (unsigned i = 0; i < 3; i++) {
        cr_assert_not(push_one(&f, &nodes[i]));
    }
    cr_assert_eq(pop(&f, &spent), &nodes[0]);
    cr_assert(detach(&f, &spent));
    cr_assert_eq(spent, &nodes[0]);
    memset(&nodes[0], 0xa5, sizeof nodes[0]);
    cr_assert_not(park(&f, &spent));
    cr_assert_eq(pop(&f, &spent), &nodes[1]);
    cr_assert_eq(pop(&f, &spent), &nodes[2]);
    cr_assert_null(pop(&f, &spent));
}

/* ---- anything, against a list that cannot be wrong ---- */

enum {
    MODEL_NODES = 64,
    MODEL_STEPS = 100000,
};

struct model {
    struct fixture f;
    struct trp_node nodes[MODEL_NODES];
    bool used[MODEL_NODES];      /* in the mailbox, unread or as its head */
    unsigned queue[MODEL_NODES]; /* unread, oldest first */
    unsigned count;
    int head; /* read last and not given back, or -1 */
    bool parked;
};

static unsigned model_free_node(const struct model *m)
{
    for (unsigned i = 0; i < MODEL_NODES; i++) {
        if (!m->used[i]) {
            return i;
        }
    }
    return MODEL_NODES;
}

static void model_push(struct model *m, unsigned count)
{
    struct trp_node *first = NULL;
    struct trp_node *last = NULL;

    for (unsigned i = 0; i < count; i++) {
        unsigned n = model_free_node(m);

        if (n == MODEL_NODES) {
            break;
        }
        m->used[n] = true;
        m->queue[m->count++] = n;
        if (last != NULL) {
            atomic_store(&last->next, &m->nodes[n]);
        }
        first = first == NULL ? &m->nodes[n] : first;
        last = &m->nodes[n];
    }
    if (first != NULL) {
        cr_assert_eq(trp_mailbox_push(&m->f.mailbox, first, last), m->parked);
        m->parked = false;
    }
}

/* `spent` is the head that the model knows, and is free now. */
static void model_give_back(struct model *m, const struct trp_node *spent)
{
    cr_assert_eq(spent, m->head < 0 ? NULL : &m->nodes[m->head]);
    if (m->head >= 0) {
        memset(&m->nodes[m->head], 0xa5, sizeof m->nodes[0]);
        m->used[m->head] = false;
        m->head = -1;
    }
}

static void model_pop(struct model *m)
{
    struct trp_node *spent;
    struct trp_node *node = pop(&m->f, &spent);

    if (m->count == 0) {
        cr_assert_null(node);
        return;
    }
    cr_assert_eq(node, &m->nodes[m->queue[0]]);
    model_give_back(m, spent);
    m->head = (int)m->queue[0];
    m->count--;
    memmove(m->queue, m->queue + 1, m->count * sizeof m->queue[0]);
}

static void model_park(struct model *m)
{
    struct trp_node *spent;

    cr_assert_eq(park(&m->f, &spent), m->count == 0);
    if (m->count == 0) {
        model_give_back(m, spent);
        m->parked = true;
    }
}

static void model_detach(struct model *m)
{
    struct trp_node *spent;

    cr_assert(detach(&m->f, &spent), "there is no gap with one thread");
    model_give_back(m, spent);
}

/* `eagerness`: of the senders, 0 .. 9. */
static void model_step(struct model *m, struct test_random *random, uint64_t eagerness)
{
    uint64_t what = test_below(random, 10);

    if (test_below(random, 10) < eagerness) {
        model_push(m, 1 + (unsigned)test_below(random, 3));
    } else if (what < 3) {
        cr_assert_eq(trp_mailbox_unpark(&m->f.mailbox), m->parked);
        m->parked = false;
    } else if (m->parked) {
        cr_assert(trp_mailbox_is_parked(&m->f.mailbox));
    } else if (what < 8) {
        model_pop(m);
    } else if (what == 8) {
        model_park(m);
    } else {
        model_detach(m);
    }
}

Test(mailbox, does_what_a_simple_list_does, .timeout = 60)
{
    struct test_random random = test_random_of(test_seed("mailbox"));
    static struct model m = {.head = -1};
    uint64_t eagerness = 0;

    start(&m.f);
    for (unsigned i = 0; i < MODEL_STEPS; i++) {
        if (i % 50 == 0) {
            eagerness = test_below(&random, 7);
        }
        model_step(&m, &random, eagerness);
    }
}

/* ---- threads ----
 *
 * Senders push, a signaller unparks, and readers share the actor by its token: a flag that whoever owns a new token
 * raises, and whichever reader takes it down runs a slice, as workers do.
 */

enum {
    SENDERS = 2,
    READERS = 2,
    MESSAGES = 30000, /* of each sender */
    SIGNALS = 20000,
    SLICE = 16,
    SENT_AHEAD_MAX = 64, /* of a sender, so that the mailbox runs empty and parks often */
};

struct letter {
    struct trp_node node;
    uint32_t sender;
    uint32_t number;
};

struct office {
    struct fixture f;
    _Atomic int tokens;       /* queued: 0 or 1 */
    _Atomic int holders;      /* readers inside a slice: 0 or 1 */
    _Atomic uint32_t signals; /* as the actor's: set, then unpark */
    _Atomic uint32_t signals_seen;
    _Atomic uint32_t read[SENDERS];
    _Atomic bool over;
    _Atomic unsigned parks;
    _Atomic unsigned senders_left;
    _Atomic(const char *) complaint;
};

static void complain(struct office *office, const char *text)
{
    atomic_store(&office->complaint, text);
    atomic_store(&office->over, true);
}

static void give_token(struct office *office)
{
    if (atomic_fetch_add(&office->tokens, 1) != 0) {
        complain(office, "two tokens are queued");
    }
}

static void look_at_signals(struct office *office)
{
    if (atomic_exchange(&office->signals, 0) != 0) {
        atomic_fetch_add(&office->signals_seen, 1);
    }
}

static void read_letter(struct office *office, const struct letter *letter)
{
    if (letter->number != atomic_load(&office->read[letter->sender])) {
        complain(office, "a letter is lost, twice there, or out of order");
    }
    atomic_store(&office->read[letter->sender], letter->number + 1);
}

static void free_letter(struct trp_node *node)
{
    if (node != NULL) {
        free(trp_container_of(node, struct letter, node));
    }
}

/* True: parked, the token is gone.  As pause_slice() in worker.c. */
static bool pause_reading(struct office *office)
{
    struct trp_node *spent = NULL;

    if ((office->f.head != &office->f.mailbox.stub && office->signals_seen % 2 == 0) &&
        detach(&office->f, &spent)) {
        free_letter(spent);
    }
    /* Nobody but atomics after a park that succeeds: the next holder may be there already. */
    atomic_fetch_sub(&office->holders, 1);
    if (park(&office->f, &spent)) {
        free_letter(spent);
        atomic_fetch_add(&office->parks, 1);
        if (atomic_load_explicit(&office->signals, memory_order_seq_cst) != 0 &&
            trp_mailbox_unpark(&office->f.mailbox)) {
            give_token(office);
        }
        return true;
    }
    atomic_fetch_add(&office->holders, 1);
    return false;
}

static void read_slice(struct office *office)
{
    if (atomic_fetch_add(&office->holders, 1) != 0) {
        complain(office, "two readers hold the token");
    }
    for (unsigned i = 0; i < SLICE; i++) {
        struct trp_node *spent = NULL;
        struct trp_node *node;

        look_at_signals(office);
        node = pop(&office->f, &spent);
        if (node == NULL) {
            if (pause_reading(office)) {
                return;
            }
            continue;
        }
        free_letter(spent);
        read_letter(office, trp_container_of(node, struct letter, node));
    }
    atomic_fetch_sub(&office->holders, 1);
    give_token(office);
}

static void read_until_over(struct office *office)
{
    unsigned spins = 0;

    while (!atomic_load(&office->over)) {
        int one = 1;

        if (atomic_compare_exchange_strong(&office->tokens, &one, 0)) {
            read_slice(office);
        } else {
            team_pause(&spins);
        }
    }
}

static struct letter *write_letter(unsigned sender, uint32_t number)
{
    struct letter *letter = malloc(sizeof *letter);

    letter->sender = sender;
    letter->number = number;
    return letter;
}

/* Singly and in chains of three. */
static void send_letters(struct office *office, unsigned sender)
{
    unsigned spins = 0;
    uint32_t number = 0;

    while (number < MESSAGES && !atomic_load(&office->over)) {
        struct letter *first = write_letter(sender, number++);
        struct letter *last = first;

        while (number % 7 < 3 && number < MESSAGES) {
            struct letter *next = write_letter(sender, number++);

            atomic_init(&last->node.next, &next->node);
            last = next;
        }
        if (trp_mailbox_push(&office->f.mailbox, &first->node, &last->node)) {
            give_token(office);
        }
        while (number - atomic_load(&office->read[sender]) > number % SENT_AHEAD_MAX &&
               !atomic_load(&office->over)) {
            team_pause(&spins);
        }
    }
}

/* The last sender waits until nothing moves any more, and ends it. */
static void close_office(struct office *office)
{
    unsigned spins = 0;

    while (!atomic_load(&office->over)) {
        if (trp_mailbox_is_parked(&office->f.mailbox) && atomic_load(&office->signals) == 0) {
            atomic_store(&office->over, true);
        }
        team_pause(&spins);
    }
}

static void send_signals(struct office *office)
{
    unsigned spins = 0;

    for (unsigned i = 0; i < SIGNALS && !atomic_load(&office->over); i++) {
        atomic_fetch_or_explicit(&office->signals, 1, memory_order_seq_cst);
        if (trp_mailbox_unpark(&office->f.mailbox)) {
            give_token(office);
        }
        team_pause(&spins);
    }
}

static const char *work(void *arg, unsigned index)
{
    struct office *office = arg;

    if (index < READERS) {
        read_until_over(office);
        return atomic_load(&office->complaint);
    }
    if (index < READERS + SENDERS) {
        send_letters(office, index - READERS);
    } else {
        send_signals(office);
    }
    if (atomic_fetch_sub(&office->senders_left, 1) == 1) {
        close_office(office);
    }
    return atomic_load(&office->complaint);
}

Test(mailbox, threads_lose_no_letter_no_signal_and_no_token, .timeout = 100)
{
    static struct office office;
    const char *complaint;
    struct trp_node *spent;

    start(&office.f);
    cr_assert(park(&office.f, &spent));
    office.senders_left = SENDERS + 1;
    complaint = team_run(READERS + SENDERS + 1, work, &office);
    cr_assert_null(complaint, "%s", complaint);
    for (unsigned i = 0; i < SENDERS; i++) {
        cr_assert_eq(office.read[i], MESSAGES);
    }
    cr_assert_eq(office.signals, 0);
    cr_assert_gt(office.signals_seen, 0);
    cr_assert_eq(office.tokens, 0, "it is parked, so nobody holds a token");
    cr_assert_gt(office.parks, 100, "parking was not much of a test");
}

/*
 * One sender, one reader, one letter at a time: each push meets a reader that is about to park.
 */
enum {
    ROUNDS = 200000,
};

static void send_one_by_one(struct office *office)
{
    static struct letter letters[2];
    unsigned spins = 0;

    for (uint32_t i = 0; i < ROUNDS; i++) {
        struct letter *letter = &letters[i % 2];

        letter->number = i;
        if (trp_mailbox_push(&office->f.mailbox, &letter->node, &letter->node)) {
            give_token(office);
        }
        while (atomic_load(&office->read[0]) == i && !atomic_load(&office->over)) {
            team_pause(&spins);
        }
    }
}

static void read_one_by_one(struct office *office)
{
    bool held = false;
    unsigned spins = 0;
    uint32_t read = 0;

    while (read < ROUNDS && !atomic_load(&office->over)) {
        struct trp_node *spent;
        struct trp_node *node = held ? pop(&office->f, &spent) : NULL;

        if (node != NULL) {
            read_letter(office, trp_container_of(node, struct letter, node));
            read++;
        } else if (held) {
            held = !park(&office->f, &spent);
        } else {
            held = atomic_exchange(&office->tokens, 0) != 0;
            team_pause(&spins);
        }
    }
}

static const char *work_one_by_one(void *arg, unsigned index)
{
    struct office *office = arg;

    if (index == 0) {
        send_one_by_one(office);
    } else {
        read_one_by_one(office);
    }
    return atomic_load(&office->complaint);
}

Test(mailbox, a_push_and_a_park_at_the_same_time_agree_on_the_token, .timeout = 100)
{
    static struct office office;
    const char *complaint;
    struct trp_node *spent;

    start(&office.f);
    cr_assert(park(&office.f, &spent));
    complaint = team_run(2, work_one_by_one, &office);
    cr_assert_null(complaint, "%s", complaint);
    cr_assert_eq(office.read[0], ROUNDS);
}
