/* SPDX-License-Identifier: MIT */
/* Backoff: a child that fails again and again is restarted ever later (semantics 7.4, 9, trap 11). */
#include "test/support/nursery.h"

/** So often the tests let a child fail at most. */
#define MANY 1000

static struct troupe_child_spec slow(struct actor_card *card, struct troupe_backoff backoff)
{
    struct troupe_child_spec spec = spec_of(card, TROUPE_PERMANENT);

    spec.backoff = backoff;
    return spec;
}

static struct troupe_supervisor_spec patient(
    const struct troupe_child_spec *children, size_t child_count)
{
    return (struct troupe_supervisor_spec){
        .children = children, .child_count = child_count, .intensity = MANY, .period_ms = 600000};
}

/* Lets the child end and says after how many milliseconds it was there again. */
static unsigned delay_after(struct nursery *nursery, struct actor_card *card, puppet_fn end)
{
    unsigned starts = card->starts;
    unsigned delay_ms = 0;

    nursery_end(nursery, card, end);
    while (card->starts == starts) {
        cr_assert(delay_ms < 100000, "it does not come again");
        nursery_pass(nursery, 1);
        delay_ms++;
    }
    return delay_ms;
}

Test(backoff, each_end_doubles_the_delay_up_to_the_largest, .timeout = 60)
{
    static const unsigned expected[] = {10, 20, 40, 80, 100, 100, 100};
    struct actor_card card = {.id = "one"};
    struct troupe_child_spec child =
        slow(&card, (struct troupe_backoff){10, 100, TROUPE_NO_JITTER, 1000});
    struct troupe_supervisor_spec spec = patient(&child, 1);
    struct nursery nursery;

    nursery_open(&nursery, 1, &spec);
    for (unsigned i = 0; i < TROUPE_COUNT(expected); i++) {
        unsigned delay_ms = delay_after(&nursery, &card, i % 2 ? end_normally : end_with_error);

        cr_assert_eq(delay_ms, expected[i], "end %u: %u ms", i, delay_ms);
    }
    nursery_close(&nursery);
}

/* The clock of this test stands still while nothing is said to pass, so the delays are not a matter of luck. */
Test(backoff, starts_that_fail_count_as_ends, .timeout = 60)
{
    static const unsigned expected[] = {10, 20, 40, 80, 160, 320};
    struct actor_card card = {.id = "one", .habits = HABIT_FAIL_AGAIN};
    struct troupe_child_spec child =
        slow(&card, (struct troupe_backoff){10, 1000, TROUPE_NO_JITTER, 1000});
    struct troupe_supervisor_spec spec = patient(&child, 1);
    struct nursery nursery;

    nursery_open(&nursery, 1, &spec);
    cr_assert_eq(delay_after(&nursery, &card, end_with_error), expected[0]);
    for (unsigned i = 1; i < TROUPE_COUNT(expected); i++) {
        nursery_pass(&nursery, expected[i] - 1);
        cr_assert_eq(card.starts, i + 1, "before time %u", i);
        nursery_pass(&nursery, 1);
        cr_assert_eq(card.starts, i + 2, "not in time %u", i);
    }
    nursery_close(&nursery);
}

Test(backoff, one_that_has_run_for_long_enough_begins_again_with_the_least, .timeout = 60)
{
    struct actor_card card = {.id = "one"};
    struct troupe_child_spec child =
        slow(&card, (struct troupe_backoff){10, 80, TROUPE_NO_JITTER, 0});
    struct troupe_supervisor_spec spec = patient(&child, 1);
    struct nursery nursery;

    nursery_open(&nursery, 1, &spec);
    cr_assert_eq(delay_after(&nursery, &card, end_with_error), 10);
    cr_assert_eq(delay_after(&nursery, &card, end_with_error), 20);
    /* One short of half of both. */
    nursery_pass(&nursery, 44);
    cr_assert_eq(delay_after(&nursery, &card, end_with_error), 40);
    nursery_pass(&nursery, 45);
    cr_assert_eq(delay_after(&nursery, &card, end_with_error), 10);
    nursery_close(&nursery);
}

Test(backoff, without_one_it_is_restarted_at_once, .timeout = 60)
{
    struct actor_card card = {.id = "one"};
    struct troupe_child_spec child = spec_of(&card, TROUPE_PERMANENT);
    struct troupe_supervisor_spec spec = patient(&child, 1);
    struct nursery nursery;

    nursery_open(&nursery, 1, &spec);
    cr_assert_eq(delay_after(&nursery, &card, end_with_error), 0);
    nursery_close(&nursery);
}

/* Trap 11: many that failed together do not come back together, and none later than the largest delay. */
Test(backoff, jitter_spreads_the_delays_below_what_they_would_be, .timeout = 60)
{
    unsigned counts[101] = {0};
    unsigned different = 0;
    struct actor_card card = {.id = "one"};
    struct troupe_child_spec child = slow(&card, (struct troupe_backoff){100, 100, 50, 1});
    struct troupe_supervisor_spec spec = patient(&child, 1);
    struct nursery nursery;

    nursery_open(&nursery, 7, &spec);
    for (unsigned i = 0; i < 200; i++) {
        unsigned delay_ms = delay_after(&nursery, &card, end_with_error);

        cr_assert(delay_ms >= 50 && delay_ms <= 100, "%u ms", delay_ms);
        counts[delay_ms]++;
    }
    for (unsigned i = 0; i < TROUPE_COUNT(counts); i++) {
        different += counts[i] > 0;
    }
    cr_assert_geq(different, 25);
    nursery_close(&nursery);
}

/* 7.4: admin requests get in while an attempt waits. */
Test(backoff, meanwhile_requests_are_answered_and_a_stop_cancels_the_attempt, .timeout = 60)
{
    struct actor_card card = {.id = "one"};
    struct troupe_child_spec child =
        slow(&card, (struct troupe_backoff){1000, 1000, TROUPE_NO_JITTER, 0});
    struct troupe_supervisor_spec spec = patient(&child, 1);
    struct nursery_question again = {.op = TROUPE_CHILD_RESTART, .id = "one"};
    struct nursery_question start = {.op = TROUPE_CHILD_START, .spec = &child};
    struct nursery_question delete = {.op = TROUPE_CHILD_DELETE, .id = "one"};
    struct nursery_question stop = {.op = TROUPE_CHILD_TERMINATE, .id = "one"};
    struct nursery nursery;

    nursery_open(&nursery, 1, &spec);
    nursery_end(&nursery, &card, end_with_error);
    nursery_pass(&nursery, 500);
    cr_assert_eq(nursery_which(&nursery, "one").state, TROUPE_CHILD_RESTARTING);
    cr_assert_eq(nursery_which(&nursery, "one").pid, TROUPE_NOBODY);
    nursery_ask(&nursery, &again);
    cr_assert(again.answered && again.answer.status == TROUPE_EBUSY);
    nursery_ask(&nursery, &start);
    cr_assert(start.answered && start.answer.status == TROUPE_EEXIST);
    nursery_ask(&nursery, &delete);
    cr_assert(delete.answered && delete.answer.status == TROUPE_EBUSY);
    nursery_ask(&nursery, &stop);
    cr_assert(stop.answered && stop.answer.status == TROUPE_OK);
    nursery_pass(&nursery, 2000);
    cr_assert_eq(card.starts, 1);
    cr_assert_eq(nursery_which(&nursery, "one").state, TROUPE_CHILD_STOPPED);
    /* One who asks for it does not wait. */
    again.answered = false;
    nursery_ask(&nursery, &again);
    cr_assert(again.answered && again.answer.status == TROUPE_OK);
    cr_assert_eq(card.starts, 2);
    nursery_close(&nursery);
}

/* 7.2: charged when it is made, so that slow attempts are no storm. */
Test(backoff, an_attempt_is_charged_when_it_is_made, .timeout = 60)
{
    struct actor_card card = {.id = "one", .habits = HABIT_FAIL_AGAIN};
    struct troupe_child_spec child =
        slow(&card, (struct troupe_backoff){100, 100, TROUPE_NO_JITTER, 0});
    struct troupe_supervisor_spec spec = patient(&child, 1);
    struct nursery nursery;

    spec.intensity = 2;
    spec.period_ms = 199;
    nursery_open(&nursery, 1, &spec);
    nursery_end(&nursery, &card, end_with_error);
    /* Two attempts are in each period, however often. */
    nursery_pass(&nursery, 2000);
    cr_assert_eq(card.starts, 21);
    cr_assert_eq(nursery.end.count, 0);
    nursery_close(&nursery);

    card.starts = 0;
    spec.period_ms = 200;
    nursery_open(&nursery, 1, &spec);
    nursery_end(&nursery, &card, end_with_error);
    nursery_pass(&nursery, 299);
    cr_assert_eq(nursery.end.count, 0);
    nursery_pass(&nursery, 1);
    cr_assert_eq(nursery.end.count, 1);
    cr_assert_eq(nursery.end.kind, TROUPE_EXIT_SHUTDOWN);
    cr_assert_eq(card.starts, 3);
    nursery_close(&nursery);
}

Test(backoff, a_group_waits_for_its_attempt_and_the_others_run_on, .timeout = 60)
{
    struct journal journal = JOURNAL_INIT;
    struct actor_card cards[] = THREE_CARDS(&journal);
    struct troupe_child_spec children[] = {spec_of(&cards[0], TROUPE_PERMANENT),
        slow(&cards[1], (struct troupe_backoff){50, 50, TROUPE_NO_JITTER, 0}),
        spec_of(&cards[2], TROUPE_PERMANENT)};
    struct troupe_supervisor_spec spec = patient(children, 3);
    struct nursery nursery;

    spec.strategy = TROUPE_ONE_FOR_ALL;
    nursery_open(&nursery, 1, &spec);
    nursery_end(&nursery, &cards[1], end_with_error);
    nursery_pass(&nursery, 49);
    cr_assert_str_eq(journal.text, "+a +b +c -b");
    nursery_pass(&nursery, 1);
    cr_assert_str_eq(journal.text, "+a +b +c -b -c -a +a +b +c");
    nursery_close(&nursery);
}

Test(backoff, a_kept_mailbox_is_read_when_the_child_is_back, .timeout = 60)
{
    static const uint64_t number = 1;
    struct actor_card card = {.id = "one"};
    struct troupe_child_spec child =
        slow(&card, (struct troupe_backoff){50, 50, TROUPE_NO_JITTER, 0});
    struct troupe_supervisor_spec spec = patient(&child, 1);
    struct nursery nursery;

    child.keep_mailbox = true;
    nursery_open(&nursery, 1, &spec);
    nursery_end(&nursery, &card, end_with_error);
    stage_send(&nursery.stage, card.pid, &puppet_number, &number);
    nursery_pass(&nursery, 49);
    cr_assert_eq(card.handled, 0);
    nursery_pass(&nursery, 1);
    cr_assert_eq(card.handled, 1);
    nursery_close(&nursery);
}

Test(backoff, the_supervisor_stops_without_waiting_for_an_attempt, .timeout = 60)
{
    struct actor_card card = {.id = "one"};
    struct troupe_child_spec child =
        slow(&card, (struct troupe_backoff){1000, 1000, TROUPE_NO_JITTER, 0});
    struct troupe_supervisor_spec spec = patient(&child, 1);
    struct nursery nursery;

    nursery_open(&nursery, 1, &spec);
    nursery_end(&nursery, &card, end_with_error);
    cr_assert_eq(
        troupe_runtime_exit(nursery.stage.runtime, nursery.supervisor, TROUPE_EXIT_SHUTDOWN),
        TROUPE_OK);
    nursery_pass(&nursery, 1);
    cr_assert_eq(nursery.end.count, 1);
    cr_assert_eq(card.starts, 1);
    nursery_close(&nursery);
}

Test(backoff, the_report_says_when, .timeout = 60)
{
    struct actor_card card = {.id = "one"};
    struct troupe_child_spec child =
        slow(&card, (struct troupe_backoff){25, 50, TROUPE_NO_JITTER, 0});
    struct troupe_supervisor_spec spec = patient(&child, 1);
    struct nursery nursery;

    nursery_open(&nursery, 1, &spec);
    nursery_end(&nursery, &card, end_with_error);
    cr_assert_eq(stage_reports(&nursery.stage, TROUPE_REPORT_RESTART), 1);
    cr_assert_not_null(strstr(nursery.stage.text[TROUPE_REPORT_RESTART], "in 25 ms"));
    nursery_close(&nursery);
}

/* ---- a flood of requests: trap 12 ---- */

struct flood {
    struct nursery *nursery;
    unsigned asked;
    unsigned answered;
    int refused; /* how the last one was */
};

static int on_flood(
    struct troupe_actor *self, void *state, void *context, int status, struct troupe_message *reply)
{
    struct flood *flood = context;

    (void)self;
    (void)state;
    (void)reply;
    cr_assert_eq(status, TROUPE_OK);
    flood->answered++;
    return TROUPE_OK;
}

static int ask_until_refused(struct troupe_actor *self, void *arg)
{
    struct flood *flood = arg;

    for (;;) {
        flood->refused = troupe_child(self, flood->nursery->supervisor, TROUPE_CHILD_WHICH, "one",
            NULL, TROUPE_FOREVER, on_flood, flood);
        if (flood->refused < 0) {
            return TROUPE_OK;
        }
        flood->asked++;
    }
}

/* What is asked is bounded and the rest refused at once; the notice of an end always has room, so the child lives again
 * when the supervisor has come to it, and every question is answered. */
Test(backoff, a_flood_of_requests_is_bounded_and_no_restart_is_lost, .timeout = 60)
{
    static struct nursery nursery;
    struct troupe_runtime_options options = {
        .workers = TROUPE_NO_THREADS, .limits = {.actor_timers = 200000}};
    struct actor_card card = {.id = "one"};
    struct troupe_child_spec child = spec_of(&card, TROUPE_PERMANENT);
    struct troupe_supervisor_spec spec = {.children = &child, .child_count = 1};
    struct flood flood = {.nursery = &nursery};

    clock_frozen_ns = UINT64_C(1000000000);
    stage_open_with(&nursery.stage, &options);
    nursery.asker = stage_spawn(&nursery.stage, &stage_puppet, NULL);
    nursery_begin(&nursery, &spec);
    stage_tell(&nursery.stage, nursery.asker, ask_until_refused, &flood);
    puppet_tell(nursery.stage.runtime, card.pid, end_with_error, NULL, NULL);
    nursery_run(&nursery);
    cr_assert_eq(flood.refused, TROUPE_EFULL);
    cr_assert_geq(flood.asked, 1000);
    cr_assert_leq(flood.asked, 65536 + TROUPE_PAUSE_BURST);
    cr_assert_eq(flood.answered, flood.asked);
    cr_assert_eq(card.starts, 2);
    nursery_close(&nursery);
}
