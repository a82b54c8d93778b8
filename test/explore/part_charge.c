/* SPDX-License-Identifier: MIT */
/*
 * charge: senders take room, the reader gives it back.  Never more is in the mailbox than fits; who is refused has changed
 * nothing; where there is always room nobody is refused, however long it was held up; and at rest `in` and `out` are what
 * was accepted.
 */
#include "sched/charge.h"

#include "test/explore/explore.h"

enum {
    BYTES = 100,
    PLACES = 4,
};

/* Both words are about to wrap. */
#define BEGIN (UINT64_MAX - TRP_CHARGE_ONE - BYTES / 2)

/* A place is written by a sender and read by the reader, which gives it back: room must order both. */
struct mailbox {
    struct trp_charge charge;
    unsigned places[PLACES];
    _Atomic unsigned filled;
};

static struct mailbox *mailbox;

/* Ghosts. */
static unsigned capacity;
static unsigned inside;
static unsigned accepted;
static unsigned refused;
static unsigned senders_left;

static void set_up_with(unsigned count)
{
    mailbox = explore_alloc(sizeof *mailbox, 64);
    capacity = count;
    inside = 0;
    accepted = 0;
    refused = 0;
    senders_left = 2;
    trp_charge_init(&mailbox->charge, count, count * BYTES);
    atomic_init(&mailbox->charge.in, BEGIN);
    atomic_init(&mailbox->charge.out, BEGIN);
    atomic_init(&mailbox->filled, 0);
    for (unsigned i = 0; i < PLACES; i++) {
        mailbox->places[i] = 0;
    }
}

static void set_up_one(void)
{
    set_up_with(1);
}

static void set_up_two(void)
{
    set_up_with(2);
}

EXPLORE_GHOST static void note_taken(int error)
{
    if (error == TROUPE_OK) {
        inside++;
        accepted++;
        explore_check(inside <= capacity);
    } else {
        refused++;
    }
}

EXPLORE_GHOST static void note_given(void)
{
    inside--;
}

EXPLORE_GHOST static void note_end_of_sender(void)
{
    senders_left--;
}

EXPLORE_GHOST static bool is_readable(const void *ignored)
{
    (void)ignored;
    return inside > 0 || senders_left == 0;
}

EXPLORE_GHOST static bool is_over(void)
{
    return senders_left == 0 && inside == 0;
}

static void take_one(void)
{
    int error = trp_charge_take(&mailbox->charge, 1, BYTES);

    note_taken(error);
    if (error == TROUPE_OK) {
        /* With a capacity of one the room is ours alone from here to the reader. */
        if (capacity == 1) {
            mailbox->places[0]++;
        }
        atomic_fetch_add_explicit(&mailbox->filled, 1, memory_order_release);
    } else {
        explore_check(error == TROUPE_EFULL);
    }
}

static void sender(void)
{
    take_one();
    take_one();
    note_end_of_sender();
}

static void batcher(void)
{
    int error = trp_charge_take(&mailbox->charge, 2, 2 * BYTES);

    note_taken(error);
    if (error == TROUPE_OK) {
        note_taken(error);
        atomic_fetch_add_explicit(&mailbox->filled, 2, memory_order_release);
    }
    note_end_of_sender();
}

static void reader(void)
{
    while (!is_over()) {
        explore_await(is_readable, NULL, "a message");
        /* acquire: as a pop. */
        if (atomic_load_explicit(&mailbox->filled, memory_order_acquire) == 0) {
            explore_yield();
            continue;
        }
        atomic_fetch_sub_explicit(&mailbox->filled, 1, memory_order_relaxed);
        if (capacity == 1) {
            mailbox->places[0]++;
        }
        explore_check(trp_charge_queued(&mailbox->charge) >> 40 >= 1);
        note_given();
        trp_charge_give(&mailbox->charge, 1, BYTES);
    }
}

/* A reader that sends to itself: never more than one message, so that one more always fits. */
static void busy_reader(void)
{
    for (unsigned i = 0; i < 3; i++) {
        explore_check(trp_charge_take(&mailbox->charge, 1, BYTES) == TROUPE_OK);
        trp_charge_give(&mailbox->charge, 1, BYTES);
    }
}

static void welcome_sender(void)
{
    explore_check(trp_charge_take(&mailbox->charge, 1, BYTES) == TROUPE_OK);
}

static void check_one_left(void)
{
    explore_check(trp_charge_queued(&mailbox->charge) >> 40 == 1);
}

static void check_at_rest(void)
{
    explore_check(inside == 0);
    explore_check(accepted >= 1);
    explore_check(trp_charge_queued(&mailbox->charge) == 0);
}

static const struct explore_scenario scenarios[] = {
    {.name = "room for one, two senders, the reader",
        .setup = set_up_one,
        .threads = {sender, sender, reader},
        .check = check_at_rest},
    {.name = "room for two, two senders, the reader",
        .setup = set_up_two,
        .threads = {sender, sender, reader},
        .check = check_at_rest},
    {.name = "room for two, a sender, a batch, the reader",
        .setup = set_up_two,
        .threads = {sender, batcher, reader},
        .check = check_at_rest},
    {.name = "room for two, a sender, a reader that sends to itself",
        .setup = set_up_two,
        .threads = {welcome_sender, busy_reader},
        .check = check_one_left},
};

static const struct explore_plant plants[] = {
    {"take adds in two steps", &scenarios[0], "trp_charge_try", EXPLORE_ADD, 0, EXPLORE_TEAR, 0,
        ""},
    {"what was refused is not taken back", &scenarios[0], "trp_charge_try", EXPLORE_SUB, 0,
        EXPLORE_FORGET, 0, "queued"},
    {"take does not acquire the room", &scenarios[0], "trp_charge_take_within", EXPLORE_LOAD, 0,
        EXPLORE_RELAX, 0, "race"},
    {"give does not release the room", &scenarios[0], "trp_charge_give", EXPLORE_STORE, 0,
        EXPLORE_RELAX, 0, "race"},
    {"who finds no room does not look again", &scenarios[3], "trp_charge_take_within", EXPLORE_LOAD,
        1, EXPLORE_LIE, BEGIN, "welcome_sender"},
    {"take does not say what it saw", &scenarios[3], "trp_charge_try", EXPLORE_ADD, 0,
        EXPLORE_RELAX, 0, "welcome_sender"},
    {"the view does not learn what others saw", &scenarios[3], "trp_charge_try", EXPLORE_LOAD, 0,
        EXPLORE_RELAX, 0, "welcome_sender"},
    {"give changes nothing", &scenarios[1], "trp_charge_give", EXPLORE_STORE, 0, EXPLORE_FORGET, 0,
        "queued"},
};

EXPLORE_PART(charge, scenarios, plants);
