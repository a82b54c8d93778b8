/* SPDX-License-Identifier: MIT */
/* Charge: a mailbox never takes more than its capacity, and forgets nothing, however often the words wrap. */
#include "sched/charge.h"

#include <criterion/criterion.h>
#include <signal.h>

#include "test/support/random.h"
#include "test/support/team.h"

#define COUNT_MAX (1u << 23)
#define BYTES_MAX ((uint64_t)1 << 39)

static uint64_t queued(const struct trp_charge *charge, uint64_t *out_bytes)
{
    uint64_t both = trp_charge_queued(charge);

    *out_bytes = both & TRP_CHARGE_BYTES;
    return both >> 40;
}

static void expect(const struct trp_charge *charge, uint64_t count, uint64_t bytes)
{
    uint64_t now_bytes;

    cr_assert_eq(queued(charge, &now_bytes), count);
    cr_assert_eq(now_bytes, bytes);
}

Test(charge, is_empty_at_first)
{
    struct trp_charge charge;

    trp_charge_init(&charge, 1, 1);
    expect(&charge, 0, 0);
}

Test(charge, take_fails_when_there_are_as_many_messages_as_may_be)
{
    struct trp_charge charge;

    trp_charge_init(&charge, 3, 4096);
    for (unsigned i = 0; i < 3; i++) {
        cr_assert_eq(trp_charge_take(&charge, 1, 64), TROUPE_OK);
    }
    cr_assert_eq(trp_charge_take(&charge, 1, 64), TROUPE_EFULL);
    expect(&charge, 3, 192);
    trp_charge_give(&charge, 1, 64);
    cr_assert_eq(trp_charge_take(&charge, 1, 64), TROUPE_OK);
    cr_assert_eq(trp_charge_take(&charge, 1, 0), TROUPE_EFULL, "also without a byte");
}

Test(charge, take_fails_when_there_are_as_many_bytes_as_may_be)
{
    struct trp_charge charge;

    trp_charge_init(&charge, 100, 200);
    cr_assert_eq(trp_charge_take(&charge, 1, 201), TROUPE_EFULL);
    cr_assert_eq(trp_charge_take(&charge, 1, 200), TROUPE_OK);
    cr_assert_eq(trp_charge_take(&charge, 1, 1), TROUPE_EFULL);
    cr_assert_eq(trp_charge_take(&charge, 1, 0), TROUPE_OK, "a message without bytes has room");
    expect(&charge, 2, 200);
}

Test(charge, a_refusal_leaves_no_trace)
{
    struct trp_charge charge;

    trp_charge_init(&charge, 4, 1000);
    cr_assert_eq(trp_charge_take(&charge, 2, 900), TROUPE_OK);
    for (unsigned i = 0; i < 1000; i++) {
        cr_assert_eq(trp_charge_take(&charge, 3, 1), TROUPE_EFULL);
        cr_assert_eq(trp_charge_take(&charge, 1, 101), TROUPE_EFULL);
        expect(&charge, 2, 900);
    }
    cr_assert_eq(trp_charge_take(&charge, 2, 100), TROUPE_OK);
}

Test(charge, a_batch_fits_whole_or_not_at_all)
{
    struct trp_charge charge;

    trp_charge_init(&charge, 10, 1000);
    cr_assert_eq(trp_charge_take(&charge, 11, 10), TROUPE_EFULL);
    cr_assert_eq(trp_charge_take(&charge, 10, 1001), TROUPE_EFULL);
    expect(&charge, 0, 0);
    cr_assert_eq(trp_charge_take(&charge, 10, 1000), TROUPE_OK);
    trp_charge_give(&charge, 10, 1000);
    expect(&charge, 0, 0);
}

Test(charge, fits_looks_at_both_parts)
{
    uint64_t cap = TRP_CHARGE_ONE * 5 | 50;

    cr_assert(trp_charge_fits(cap, cap));
    cr_assert(trp_charge_fits(cap, 0));
    cr_assert_not(trp_charge_fits(cap, TRP_CHARGE_ONE * 6));
    cr_assert_not(trp_charge_fits(cap, TRP_CHARGE_ONE * 4 | 51));
    cr_assert(trp_charge_fits(cap, TRP_CHARGE_ONE * 4 | 50));
}

Test(charge, the_largest_capacity_is_reached_and_kept)
{
    struct trp_charge charge;

    trp_charge_init(&charge, COUNT_MAX, BYTES_MAX);
    cr_assert_eq(trp_charge_take(&charge, COUNT_MAX, BYTES_MAX), TROUPE_OK);
    expect(&charge, COUNT_MAX, BYTES_MAX);
    cr_assert_eq(trp_charge_take(&charge, 1, 0), TROUPE_EFULL);
    cr_assert_eq(trp_charge_take(&charge, 0, 1), TROUPE_EFULL);
    cr_assert_eq(trp_charge_take(&charge, COUNT_MAX - 1, BYTES_MAX - 1), TROUPE_EFULL);
    trp_charge_give(&charge, COUNT_MAX, BYTES_MAX);
    expect(&charge, 0, 0);
}

Test(charge, a_capacity_of_no_messages_is_our_mistake, .signal = SIGABRT)
{
    struct trp_charge charge;

    trp_charge_init(&charge, 0, 1);
}

Test(charge, a_capacity_of_more_messages_than_can_be_counted_is_our_mistake, .signal = SIGABRT)
{
    struct trp_charge charge;

    trp_charge_init(&charge, COUNT_MAX + 1, 1);
}

Test(charge, a_capacity_of_no_bytes_is_our_mistake, .signal = SIGABRT)
{
    struct trp_charge charge;

    trp_charge_init(&charge, 1, 0);
}

Test(charge, a_capacity_of_more_bytes_than_can_be_counted_is_our_mistake, .signal = SIGABRT)
{
    struct trp_charge charge;

    trp_charge_init(&charge, 1, BYTES_MAX + 1);
}

Test(charge, init_empties_what_was_used)
{
    struct trp_charge charge;

    trp_charge_init(&charge, 2, 200);
    cr_assert_eq(trp_charge_take(&charge, 2, 200), TROUPE_OK);
    trp_charge_init(&charge, 1, 100);
    expect(&charge, 0, 0);
    cr_assert_eq(trp_charge_take(&charge, 1, 101), TROUPE_EFULL);
    cr_assert_eq(trp_charge_take(&charge, 1, 100), TROUPE_OK);
}

/* As after so much traffic that the words are about to wrap, the byte part and the whole word. */
static void age(struct trp_charge *charge, uint64_t word)
{
    atomic_store(&charge->in, word);
    atomic_store(&charge->out, word);
}

static void fill_and_empty(struct trp_charge *charge)
{
    for (unsigned i = 0; i < 5; i++) {
        expect(charge, i, i * 20);
        cr_assert_eq(trp_charge_take(charge, 1, 20), TROUPE_OK);
    }
    cr_assert_eq(trp_charge_take(charge, 1, 1), TROUPE_EFULL);
    for (unsigned i = 5; i > 0; i--) {
        expect(charge, i, i * 20);
        trp_charge_give(charge, 1, 20);
    }
    expect(charge, 0, 0);
}

Test(charge, the_words_may_wrap_anywhere)
{
    struct trp_charge charge;

    trp_charge_init(&charge, 5, 100);
    for (uint64_t before = 0; before < 150; before++) {
        age(&charge, UINT64_MAX - before);
        fill_and_empty(&charge);
        age(&charge, TRP_CHARGE_BYTES - before);
        fill_and_empty(&charge);
        age(&charge, (uint64_t)0 - TRP_CHARGE_ONE * before);
        fill_and_empty(&charge);
    }
}

/* Random traffic against plain numbers; the whole 2^64 goes round several times. */
Test(charge, is_what_plain_numbers_say)
{
    struct test_random random = test_random_of(test_seed("charge"));
    uint64_t count = 0;
    uint64_t bytes = 0;
    struct trp_charge charge;

    trp_charge_init(&charge, COUNT_MAX, BYTES_MAX);
    age(&charge, test_next(&random));
    for (unsigned i = 0; i < 100000; i++) {
        uint32_t more = (uint32_t)test_below(&random, COUNT_MAX / 2);
        uint64_t more_bytes = test_below(&random, BYTES_MAX / 2);
        bool fits = count + more <= COUNT_MAX && bytes + more_bytes <= BYTES_MAX;

        cr_assert_eq(trp_charge_take(&charge, more, more_bytes), fits ? TROUPE_OK : TROUPE_EFULL);
        if (fits) {
            count += more;
            bytes += more_bytes;
        } else {
            more = (uint32_t)test_below(&random, count + 1);
            more_bytes = test_below(&random, bytes + 1);
            trp_charge_give(&charge, more, more_bytes);
            count -= more;
            bytes -= more_bytes;
        }
        expect(&charge, count, bytes);
    }
}

/* ---- threads: senders, and a reader that gives back what they report to it ---- */

enum {
    SENDERS = 3,
    TAKES = 100000, /* that succeed, of each sender */
    BYTES = 16,     /* of each message */
};

struct shop {
    struct trp_charge charge;
    uint32_t capacity;
    bool may_refuse;         /* false: there is always room, so that a refusal is wrong */
    _Atomic uint64_t pushed; /* messages the reader may give back */
    _Atomic uint32_t
        held; /* taken and not yet given back: less than what is charged, at any time */
    _Atomic unsigned senders_left;
    _Atomic uint64_t refused;
};

static const char *sell(struct shop *shop, struct test_random *random)
{
    uint32_t left = TAKES;
    unsigned spins = 0;

    while (left > 0) {
        uint32_t count = 1 + (uint32_t)test_below(random, 3);

        if (trp_charge_take(&shop->charge, count, count * BYTES) < 0) {
            atomic_fetch_add(&shop->refused, 1);
            team_pause(&spins);
            if (!shop->may_refuse) {
                return "refused although there was room";
            }
            continue;
        }
        if (atomic_fetch_add(&shop->held, count) + count > shop->capacity) {
            return "took more than the capacity";
        }
        atomic_fetch_add(&shop->pushed, count);
        left -= count < left ? count : left;
    }
    return NULL;
}

static const char *give_back(struct shop *shop)
{
    unsigned spins = 0;

    while (atomic_load(&shop->senders_left) > 0 || atomic_load(&shop->pushed) > 0) {
        uint32_t count = (uint32_t)atomic_exchange(&shop->pushed, 0);

        if (count > 0) {
            atomic_fetch_sub(&shop->held, count);
            trp_charge_give(&shop->charge, count, (uint64_t)count * BYTES);
        } else {
            team_pause(&spins);
        }
    }
    return NULL;
}

static const char *trade(void *arg, unsigned index)
{
    struct shop *shop = arg;
    struct test_random random = test_random_of(index);
    const char *complaint;

    if (index == SENDERS) {
        return give_back(shop);
    }
    complaint = sell(shop, &random);
    atomic_fetch_sub(&shop->senders_left, 1);
    return complaint;
}

/* `capacity`: how many messages fit, as `count` and `bytes` say. */
static void trade_with(uint32_t count, uint64_t bytes, uint32_t capacity, bool may_refuse)
{
    static struct shop shop;
    const char *complaint;

    trp_charge_init(&shop.charge, count, bytes);
    age(&shop.charge, UINT64_MAX - 1000);
    shop.capacity = capacity;
    shop.may_refuse = may_refuse;
    shop.senders_left = SENDERS;
    complaint = team_run(SENDERS + 1, trade, &shop);
    cr_assert_null(complaint, "%s", complaint);
    expect(&shop.charge, 0, 0);
    cr_assert_eq(shop.refused > 0, may_refuse, "it was never full: no test");
}

Test(charge, threads_never_hold_more_messages_than_the_capacity, .timeout = 60)
{
    trade_with(7, BYTES_MAX, 7, true);
}

Test(charge, threads_never_hold_more_bytes_than_the_capacity, .timeout = 60)
{
    trade_with(COUNT_MAX, 7 * BYTES, 7, true);
}

/* `out` read after `in` had moved might have overtaken it: then the difference wraps, and room looks like none. */
Test(charge, with_room_for_all_a_reader_that_is_fast_makes_nobody_refused, .timeout = 60)
{
    trade_with(COUNT_MAX, BYTES_MAX, COUNT_MAX, false);
}

/* Room for one message is a lock: whoever took it gives it back before anybody else can take it. */

enum {
    LOCKERS = 2,
    LOCKS = 150000,
};

struct cell {
    struct trp_charge charge;
    _Atomic unsigned inside;
};

static const char *lock_and_unlock(void *arg, unsigned index)
{
    struct cell *cell = arg;
    unsigned spins = 0;

    (void)index;
    for (unsigned i = 0; i < LOCKS; i++) {
        while (trp_charge_take(&cell->charge, 1, 1) < 0) {
            team_pause(&spins);
        }
        if (atomic_fetch_add(&cell->inside, 1) != 0) {
            return "two took the room of one";
        }
        atomic_fetch_sub(&cell->inside, 1);
        trp_charge_give(&cell->charge, 1, 1);
    }
    return NULL;
}

Test(charge, of_two_that_want_the_last_room_one_gets_it, .timeout = 60)
{
    static struct cell cell;
    const char *complaint;

    trp_charge_init(&cell.charge, 1, 1);
    complaint = team_run(LOCKERS, lock_and_unlock, &cell);
    cr_assert_null(complaint, "%s", complaint);
    expect(&cell.charge, 0, 0);
}
