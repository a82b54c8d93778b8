/* SPDX-License-Identifier: MIT */
/* Facts: what a supervisor reports is in fields, not only in a text (semantics 7.9). */
#include "test/support/nursery.h"

static struct troupe_supervisor_spec named(const struct troupe_child_spec *child)
{
    return (struct troupe_supervisor_spec){
        .name = "top", .children = child, .child_count = 1, .intensity = 2, .period_ms = 3000};
}

Test(facts, a_restart_names_the_child_its_reason_its_number_and_its_delay, .timeout = 60)
{
    struct actor_card card = {.id = "one"};
    struct troupe_child_spec child = spec_of(&card, TROUPE_PERMANENT);
    struct troupe_supervisor_spec spec = named(&child);
    struct nursery nursery;
    const struct troupe_report *facts = &nursery.stage.facts[TROUPE_REPORT_RESTART];
    const struct troupe_reason *reason = &nursery.stage.reason[TROUPE_REPORT_RESTART];
    troupe_pid pid;

    child.backoff = (struct troupe_backoff){40, 80, TROUPE_NO_JITTER, 10000};
    nursery_open(&nursery, 1, &spec);
    for (unsigned i = 1; i <= 2; i++) {
        pid = card.pid;
        nursery_end(&nursery, &card, end_with_error);
        cr_assert_eq(facts->pid, pid);
        cr_assert_str_eq(nursery.stage.actor[TROUPE_REPORT_RESTART], "top.one");
        cr_assert_eq(reason->kind, TROUPE_EXIT_ERROR);
        cr_assert_eq(reason->code, TROUPE_EPROTO);
        cr_assert_eq(facts->count, i);
        cr_assert_eq(facts->time_ms, 40 * i);
        nursery_pass(&nursery, 40 * i);
    }
    cr_assert_eq(nursery.stage.reason[TROUPE_REPORT_FAILURE].code, TROUPE_EPROTO);
    nursery_close(&nursery);
}

Test(facts, giving_up_names_the_child_and_the_limit, .timeout = 60)
{
    struct actor_card card = {.id = "one"};
    struct troupe_child_spec child = spec_of(&card, TROUPE_PERMANENT);
    struct troupe_supervisor_spec spec = named(&child);
    struct nursery nursery;
    const struct troupe_report *facts = &nursery.stage.facts[TROUPE_REPORT_GIVE_UP];

    nursery_open(&nursery, 1, &spec);
    for (unsigned i = 0; i < 3; i++) {
        nursery_end(&nursery, &card, end_normally);
    }
    cr_assert_eq(nursery.end.count, 1);
    cr_assert_eq(facts->pid, nursery.supervisor);
    cr_assert_str_eq(nursery.stage.actor[TROUPE_REPORT_GIVE_UP], "top");
    cr_assert_str_eq(nursery.stage.child[TROUPE_REPORT_GIVE_UP], "top.one");
    cr_assert_eq(nursery.stage.reason[TROUPE_REPORT_GIVE_UP].kind, TROUPE_EXIT_NORMAL);
    cr_assert_eq(facts->count, 3);
    cr_assert_eq(facts->time_ms, 3000);
    nursery_close(&nursery);
}

Test(facts, a_start_that_fails_is_a_reason_and_no_number, .timeout = 60)
{
    struct actor_card card = {.id = "one", .habits = HABIT_FAIL_INIT};
    struct troupe_child_spec child = spec_of(&card, TROUPE_PERMANENT);
    struct troupe_supervisor_spec spec = named(&child);
    struct nursery nursery;

    nursery_open(&nursery, 1, &spec);
    cr_assert_eq(nursery.end.count, 1);
    cr_assert_str_eq(nursery.stage.child[TROUPE_REPORT_GIVE_UP], "top.one");
    cr_assert_eq(nursery.stage.reason[TROUPE_REPORT_GIVE_UP].code, TROUPE_EPROTO);
    cr_assert_eq(nursery.stage.facts[TROUPE_REPORT_GIVE_UP].count, 0);
    nursery_close(&nursery);
}

Test(facts, one_that_did_not_stop_had_so_much_time, .timeout = 60)
{
    struct actor_card card = {.id = "one", .habits = HABIT_IGNORE_EXIT};
    struct troupe_child_spec child = spec_of(&card, TROUPE_PERMANENT);
    struct troupe_supervisor_spec spec = named(&child);
    struct nursery nursery;
    const struct troupe_report *facts = &nursery.stage.facts[TROUPE_REPORT_UNSTOPPED];

    child.shutdown_ms = 70;
    nursery_open(&nursery, 1, &spec);
    nursery_end_it(&nursery);
    cr_assert_eq(facts->pid, card.pid);
    cr_assert_eq(facts->count, 1);
    cr_assert_eq(facts->time_ms, 70);
    nursery_close(&nursery);
}
