/* SPDX-License-Identifier: MIT */
/*
 * mailbox: senders push while readers pop and park; whoever unparks it schedules it.  Every message is read once, in its
 * sender's order, nobody holds a token beside another, and an actor that sleeps has nothing to do.  A reader may wait for
 * an answer behind what is queued, and pick it out of the middle: the rest is read in order afterwards.
 */
#include "sched/mailbox.h"

#include "test/explore/explore.h"

enum {
    SENDERS = 2,
    EACH = 2,
};

struct note {
    struct troupe_message message;
    unsigned sender;
    unsigned number;
};

/* What in a cell matters here. */
struct cell {
    struct trp_mailbox mailbox;
    struct trp_node *head;
    _Atomic uint32_t signals;
};

static struct cell *cell;
static _Atomic unsigned *queued; /* run slots of the cell in queues: at most one */

/* Ghosts. */
static unsigned read_of[SENDERS];
static unsigned signals_left;
static unsigned senders_left;
static bool asked;    /* the reader waits for an answer, behind `at` */
static bool answered; /* it has it */
static struct trp_node *at;
static bool stub_only; /* the last node was taken out of the list before parking */

static void set_up(void)
{
    cell = explore_alloc(sizeof *cell, 64);
    queued = explore_alloc(sizeof *queued, 64);
    trp_mailbox_init(&cell->mailbox, &cell->head);
    atomic_init(&cell->signals, 0);
    atomic_init(queued, 0);
    for (unsigned i = 0; i < SENDERS; i++) {
        read_of[i] = 0;
    }
    signals_left = 0;
    senders_left = SENDERS;
    stub_only = false;
    /* It begins parked. */
    explore_check(trp_mailbox_park(&cell->mailbox, &cell->head, &(struct trp_node *){NULL}));
}

/* The reader has the token, and asks. */
static void set_up_waiting(void)
{
    set_up();
    explore_check(trp_mailbox_unpark(&cell->mailbox));
    atomic_init(queued, 1);
    asked = false;
    answered = false;
    at = NULL;
}

static void set_up_stub_only(void)
{
    set_up();
    stub_only = true;
}

static void set_up_signal(void)
{
    set_up();
    signals_left = 1;
    senders_left = 2;
}

/* As a run queue does: release, and acquire in take_token(). */
static void schedule(void)
{
    explore_check(atomic_fetch_add_explicit(queued, 1, memory_order_release) == 0);
}

static bool take_token(void)
{
    unsigned one = 1;

    return atomic_compare_exchange_strong_explicit(
        queued, &one, 0, memory_order_acquire, memory_order_relaxed);
}

EXPLORE_GHOST static void note_end_of_sender(void)
{
    senders_left--;
}

static void send_all(unsigned sender, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        struct note *note = explore_alloc(sizeof *note, 64);

        note->sender = sender;
        note->number = i;
        if (trp_mailbox_push(&cell->mailbox, &note->message.node, &note->message.node)) {
            schedule();
        }
    }
    note_end_of_sender();
}

static void sender_1(void)
{
    send_all(0, EACH);
}

static void sender_2(void)
{
    send_all(1, EACH);
}

static void sender_of_one(void)
{
    send_all(0, 1);
}

/* As whoever kills: sets a bit, then clears PARKED. */
static void signaller(void)
{
    /* release: as trp_actor_signal().  unpark() orders it. */
    atomic_fetch_or_explicit(&cell->signals, 1, memory_order_seq_cst);
    if (trp_mailbox_unpark(&cell->mailbox)) {
        schedule();
    }
    note_end_of_sender();
}

static void read_note(struct trp_node *node)
{
    struct note *note = trp_container_of(node, struct note, message.node);

    explore_check(note->sender < SENDERS);
    explore_check(note->number == read_of[note->sender]);
    read_of[note->sender]++;
}

static void free_node(struct trp_node *node)
{
    if (node != NULL) {
        explore_free(trp_container_of(node, struct note, message.node), sizeof(struct note));
    }
}

static void heed_signals(void)
{
    if (atomic_load_explicit(&cell->signals, memory_order_relaxed) != 0) {
        /* acq_rel: as worker.c. */
        atomic_fetch_and_explicit(&cell->signals, 0, memory_order_acq_rel);
        signals_left--;
    }
}

/* As pause_slice() in worker.c.  True: the token is gone. */
static bool pause(void)
{
    struct trp_node *spent = NULL;

    if (stub_only && trp_mailbox_detach(&cell->mailbox, &cell->head, &spent)) {
        free_node(spent);
    }
    if (!trp_mailbox_park(&cell->mailbox, &cell->head, &spent)) {
        explore_yield();
        return false;
    }
    free_node(spent);
    return atomic_load_explicit(&cell->signals, memory_order_seq_cst) == 0 ||
           !trp_mailbox_unpark(&cell->mailbox);
}

static void run_slice(void)
{
    for (;;) {
        struct trp_node *spent = NULL;
        struct trp_node *node;

        heed_signals();
        node = trp_mailbox_pop(&cell->mailbox, &cell->head, &spent);
        if (node != NULL) {
            free_node(spent);
            read_note(node);
        } else if (pause()) {
            return;
        }
    }
}

/* As trp_wait_find() in wait.c: looks behind `at`, and takes the answer out.  False: it is not there. */
static bool find_answer(void)
{
    struct trp_node *node = trp_mailbox_behind(at);

    while (node != NULL) {
        struct note *note = trp_container_of(node, struct note, message.node);

        if (note->sender == 0) {
            at = node;
            node = trp_mailbox_behind(at);
        } else if (trp_mailbox_pick(&cell->mailbox, at, node)) {
            read_note(node);
            free_node(node);
            return true;
        } else {
            explore_yield();
        }
    }
    return false;
}

EXPLORE_GHOST static void note_asked(void)
{
    asked = true;
}

EXPLORE_GHOST static bool is_asked(const void *ignored)
{
    (void)ignored;
    return asked;
}

static void answerer(void)
{
    explore_await(is_asked, NULL, "a question");
    send_all(1, 1);
}

/* As a fiber that calls (await.c), and the worker that it leaves (rest_slice() in worker.c). */
static void wait_slice(void)
{
    if (at == NULL) {
        at = trp_mailbox_newest(&cell->mailbox);
        note_asked();
    }
    while (!answered) {
        answered = find_answer();
        if (!answered && trp_mailbox_rest(&cell->mailbox, at)) {
            return;
        }
        if (!answered) {
            explore_yield();
        }
    }
    run_slice();
}

EXPLORE_GHOST static bool is_turn(const void *ignored)
{
    (void)ignored;
    return *(unsigned *)(uintptr_t)queued > 0 || senders_left == 0;
}

EXPLORE_GHOST static bool is_over(void)
{
    return senders_left == 0 && *(unsigned *)(uintptr_t)queued == 0;
}

static void worker(void)
{
    while (!is_over()) {
        explore_await(is_turn, NULL, "a run slot");
        if (take_token()) {
            run_slice();
        }
    }
}

static void waiting_worker(void)
{
    while (!is_over()) {
        explore_await(is_turn, NULL, "a run slot");
        if (take_token()) {
            wait_slice();
        }
    }
}

static void check_answered(void)
{
    while (take_token()) {
        wait_slice();
    }
    explore_check(answered);
    explore_check(read_of[0] == EACH);
    explore_check(read_of[1] == 1);
    explore_check(trp_mailbox_is_parked(&cell->mailbox));
    explore_check(cell->head == &cell->mailbox.stub);
}

static void check_all_read(void)
{
    while (take_token()) {
        run_slice();
    }
    explore_check(read_of[0] == EACH);
    explore_check(read_of[1] == EACH);
    explore_check(trp_mailbox_is_parked(&cell->mailbox));
    explore_check(cell->head == &cell->mailbox.stub);
}

static void check_signal(void)
{
    while (take_token()) {
        run_slice();
    }
    explore_check(read_of[0] == 1);
    explore_check(signals_left == 0);
    explore_check(trp_mailbox_is_parked(&cell->mailbox));
}

static const struct explore_scenario scenarios[] = {
    {.name = "two senders, a worker",
        .setup = set_up,
        .threads = {sender_1, sender_2, worker},
        .check = check_all_read},
    {.name = "two senders, two workers",
        .setup = set_up,
        .threads = {sender_1, sender_2, worker, worker},
        .check = check_all_read,
        .deviations = 2},
    {.name = "two senders, a worker that detaches",
        .setup = set_up_stub_only,
        .threads = {sender_1, sender_2, worker},
        .check = check_all_read},
    {.name = "a sender, a signal, a worker",
        .setup = set_up_signal,
        .threads = {sender_of_one, signaller, worker},
        .check = check_signal,
        .deviations = 4},
    {.name = "a sender, one that answers, a worker that waits for the answer",
        .setup = set_up_waiting,
        .threads = {sender_1, answerer, waiting_worker},
        .check = check_answered},
};

static const struct explore_plant plants[] = {
    {"push takes the tail in two steps", &scenarios[0], "trp_mailbox_push", EXPLORE_EXCHANGE, 0,
        EXPLORE_TEAR, 0, ""},
    {"push links without release", &scenarios[0], "trp_mailbox_push", EXPLORE_STORE, 1,
        EXPLORE_RELAX, 0, "race"},
    {"pop does not acquire", &scenarios[0], "trp_mailbox_pop", EXPLORE_LOAD, 0, EXPLORE_RELAX, 0,
        "race"},
    {"park does not compare", &scenarios[0], "trp_mailbox_park", EXPLORE_SWAP, 0, EXPLORE_BLIND, 0,
        ""},
    {"park does not release", &scenarios[1], "trp_mailbox_park", EXPLORE_SWAP, 0, EXPLORE_RELAX, 0,
        "race"},
    {"push does not acquire what the reader did", &scenarios[1], "trp_mailbox_push",
        EXPLORE_EXCHANGE, 0, EXPLORE_RELAX, 0, ""},
    {"no look at the signals after parking", &scenarios[3], "pause", EXPLORE_LOAD, 0, EXPLORE_LIE,
        0, "signals_left == 0"},
    {"unpark clears the bit in two steps", &scenarios[3], "trp_mailbox_unpark", EXPLORE_AND, 0,
        EXPLORE_TEAR, 0, ""},
    {"who asks does not acquire the newest node", &scenarios[4], "trp_mailbox_newest", EXPLORE_LOAD,
        0, EXPLORE_RELAX, 0, ""},
    {"a reader that looks ahead does not acquire", &scenarios[4], "trp_mailbox_behind",
        EXPLORE_LOAD, 0, EXPLORE_RELAX, 0, "race"},
    {"who picks the newest does not compare", &scenarios[4], "trp_mailbox_pick", EXPLORE_SWAP, 0,
        EXPLORE_BLIND, 0, ""},
    {"who rests does not compare", &scenarios[4], "trp_mailbox_rest", EXPLORE_SWAP, 0,
        EXPLORE_BLIND, 0, ""},
};

EXPLORE_PART(mailbox, scenarios, plants);
