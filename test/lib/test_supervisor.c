/* SPDX-License-Identifier: MIT */
/* Supervisor: children start in order, are restarted by the table, and stop in reverse. */
#include <troupe.h>

#include <criterion/criterion.h>
#include <signal.h>
#include <unistd.h>

#include "test/support/family.h"
#include "test/support/stage.h"

/* ---- start and stop ---- */

Test(supervisor, children_start_left_to_right_and_stop_right_to_left, .timeout = 60)
{
    struct troupe_runtime *runtime = runtime_new(2);
    struct journal journal = JOURNAL_INIT;
    struct actor_card cards[] = THREE_CARDS(&journal);
    struct troupe_child_spec children[] = {spec_of(&cards[0], TROUPE_PERMANENT),
        spec_of(&cards[1], TROUPE_TRANSIENT), spec_of(&cards[2], TROUPE_TEMPORARY)};
    struct troupe_supervisor_spec spec = {.children = children, .child_count = 3};
    struct puppet_notes notes = PUPPET_NOTES_INIT;
    troupe_pid pid = start(runtime, &spec);

    puppet_watch(runtime, pid, &notes);
    cr_assert_eq(troupe_runtime_exit(runtime, pid, TROUPE_EXIT_SHUTDOWN), TROUPE_OK);
    cr_assert_eq(puppet_down_kind(&notes), TROUPE_EXIT_SHUTDOWN);
    cr_assert_str_eq(journal.text, "+a +b +c -c -b -a");
    cr_assert(runtime_ends_clean(runtime));
}

Test(supervisor, an_empty_supervisor_starts_and_stops, .timeout = 60)
{
    struct troupe_runtime *runtime = runtime_new(2);

    (void)start(runtime, &(struct troupe_supervisor_spec){.name = "empty"});
    cr_assert_neq(troupe_runtime_whereis(runtime, "empty"), TROUPE_NOBODY);
    cr_assert(runtime_ends_clean(runtime));
}

Test(supervisor, wrong_arguments_are_refused, .timeout = 60)
{
    struct troupe_runtime *runtime = runtime_new(2);
    static const struct troupe_child_spec nothing = {.id = "x"};
    struct troupe_supervisor_spec wrong = {.children = &nothing, .child_count = 1};
    struct troupe_supervisor_spec good = {0};
    struct troupe_child_answer answer;
    troupe_pid pid = 5;

    cr_assert_eq(troupe_supervisor_start(NULL, &good, 0, &pid), TROUPE_EINVAL);
    cr_assert_eq(troupe_supervisor_start(runtime, NULL, 0, &pid), TROUPE_EINVAL);
    cr_assert_eq(troupe_supervisor_start(runtime, &wrong, 0, &pid), TROUPE_EINVAL);
    cr_assert_eq(troupe_supervisor_start(runtime, &good, -2, &pid), TROUPE_EINVAL);
    cr_assert_eq(troupe_supervisor_start(runtime, &good, 0, NULL), TROUPE_EINVAL);
    cr_assert_eq(pid, 5);
    cr_assert_eq(
        troupe_runtime_child(runtime, TROUPE_NOBODY, TROUPE_CHILD_WHICH, "x", NULL, 0, &answer),
        TROUPE_EINVAL);
    cr_assert_eq(troupe_runtime_child(runtime, 5, TROUPE_CHILD_WHICH, NULL, NULL, 0, &answer),
        TROUPE_EINVAL);
    cr_assert_eq(troupe_runtime_child(runtime, 5, TROUPE_CHILD_START, NULL, &nothing, 0, &answer),
        TROUPE_EINVAL);
    cr_assert_eq(troupe_runtime_child(runtime, 5, TROUPE_CHILD_WHICH, "x", NULL, 1000, &answer),
        TROUPE_EGONE);
    cr_assert(runtime_ends_clean(runtime));
}

Test(supervisor, a_start_that_fails_stops_those_before_it_and_tells_the_code, .timeout = 60)
{
    struct troupe_runtime *runtime = runtime_new(2);
    struct journal journal = JOURNAL_INIT;
    struct actor_card cards[] = THREE_CARDS(&journal);
    struct troupe_child_spec children[] = {spec_of(&cards[0], TROUPE_PERMANENT),
        spec_of(&cards[1], TROUPE_PERMANENT), spec_of(&cards[2], TROUPE_PERMANENT)};
    struct troupe_supervisor_spec spec = {.name = "top", .children = children, .child_count = 3};
    troupe_pid pid = 5;

    cards[2].habits = HABIT_FAIL_INIT;
    for (unsigned i = 0; i < 20; i++) {
        journal.text[0] = '\0';
        cr_assert_eq(troupe_supervisor_start(runtime, &spec, TROUPE_FOREVER, &pid), TROUPE_EPROTO);
        cr_assert_eq(pid, 5);
        cr_assert_str_eq(journal.text, "+a +b -c -b -a");
        /* So it can be tried again at once. */
        cr_assert_eq(troupe_runtime_whereis(runtime, "top"), TROUPE_NOBODY);
    }
    cr_assert_eq(restarts_of(runtime), 0);
    cr_assert(runtime_ends_clean(runtime));
}

Test(supervisor, the_second_with_a_name_does_not_start, .timeout = 60)
{
    struct troupe_runtime *runtime = runtime_new(2);
    struct troupe_supervisor_spec spec = {.name = "top"};
    troupe_pid pid = start(runtime, &spec);
    troupe_pid other;

    cr_assert_eq(troupe_supervisor_start(runtime, &spec, TROUPE_FOREVER, &other), TROUPE_EEXIST);
    cr_assert_eq(troupe_runtime_whereis(runtime, "top"), pid);
    cr_assert(runtime_ends_clean(runtime));
}

Test(supervisor, an_init_that_takes_too_long_is_killed_and_the_start_fails, .timeout = 60)
{
    struct troupe_runtime *runtime = runtime_new(2);
    struct journal journal = JOURNAL_INIT;
    struct latch entered = LATCH_INIT;
    struct latch gate = LATCH_INIT;
    struct actor_card cards[] = THREE_CARDS(&journal);
    struct troupe_child_spec children[] = {
        spec_of(&cards[0], TROUPE_PERMANENT), spec_of(&cards[1], TROUPE_PERMANENT)};
    struct troupe_supervisor_spec spec = {.children = children, .child_count = 2};
    troupe_pid pid;

    cards[1].habits = HABIT_SLOW_INIT;
    cards[1].gate = &gate;
    cards[1].entered = &entered;
    children[1].start_timeout_ms = 20;
    /* It cannot be killed while it blocks its worker, so the start goes on for longer than we wait. */
    cr_assert_eq(troupe_supervisor_start(runtime, &spec, 300, &pid), TROUPE_ETIMEDOUT);
    cr_assert(latch_wait(&entered, 1));
    latch_hit(&gate);
    cr_assert(runtime_ends_clean(runtime));
    cr_assert_str_eq(journal.text, "+a +b -b -a");
}

/* ---- 7.1: what a child's end means ---- */

static void one_end(
    struct troupe_runtime *runtime, enum troupe_restart type, puppet_fn end, bool clean)
{
    struct latch started = LATCH_INIT;
    struct actor_card card = {.id = "one", .started = &started};
    struct troupe_child_spec child = spec_of(&card, type);
    struct troupe_supervisor_spec spec = {.children = &child, .child_count = 1};
    troupe_pid supervisor = start(runtime, &spec);
    uint64_t before = restarts_of(runtime);
    troupe_pid first = card.pid;
    bool again = type == TROUPE_PERMANENT || (type == TROUPE_TRANSIENT && !clean);
    struct puppet_notes notes = PUPPET_NOTES_INIT;

    puppet_watch(runtime, first, &notes);
    puppet_tell(runtime, first, end, NULL, NULL);
    (void)puppet_down_kind(&notes);
    if (again) {
        cr_assert(latch_wait(&started, 2));
        await_state(runtime, supervisor, "one", TROUPE_CHILD_RUNNING);
        cr_assert_neq(which(runtime, supervisor, "one").pid, first);
    } else if (type == TROUPE_TRANSIENT) {
        await_state(runtime, supervisor, "one", TROUPE_CHILD_STOPPED);
        cr_assert_eq(which(runtime, supervisor, "one").pid, TROUPE_NOBODY);
    } else {
        while (which(runtime, supervisor, "one").status != TROUPE_ENOENT) {
        }
    }
    cr_assert_eq(restarts_of(runtime) - before, again ? 1 : 0);
    cr_assert_eq(latch_count(&started), again ? 2 : 1);
    cr_assert_eq(troupe_runtime_exit(runtime, supervisor, TROUPE_EXIT_SHUTDOWN), TROUPE_OK);
    (void)join_kind(runtime, supervisor);
}

Test(supervisor, a_permanent_child_is_restarted_whatever_it_died_of, .timeout = 60)
{
    struct troupe_runtime *runtime = runtime_new(2);

    for (unsigned i = 0; i < TROUPE_COUNT(ends); i++) {
        one_end(runtime, TROUPE_PERMANENT, ends[i].fn, ends[i].clean);
    }
    cr_assert(runtime_ends_clean(runtime));
}

Test(supervisor, a_transient_child_rests_after_normal_and_shutdown_only, .timeout = 60)
{
    struct troupe_runtime *runtime = runtime_new(2);

    for (unsigned i = 0; i < TROUPE_COUNT(ends); i++) {
        one_end(runtime, TROUPE_TRANSIENT, ends[i].fn, ends[i].clean);
    }
    cr_assert(runtime_ends_clean(runtime));
}

Test(supervisor, a_temporary_child_is_forgotten_whatever_it_died_of, .timeout = 60)
{
    struct troupe_runtime *runtime = runtime_new(2);

    for (unsigned i = 0; i < TROUPE_COUNT(ends); i++) {
        one_end(runtime, TROUPE_TEMPORARY, ends[i].fn, ends[i].clean);
    }
    cr_assert(runtime_ends_clean(runtime));
}

/* Not one restart is allowed, so whatever is charged ends the supervisor. */
static struct troupe_supervisor_spec strict_spec(
    const struct troupe_child_spec *children, size_t child_count)
{
    return (struct troupe_supervisor_spec){.children = children,
        .child_count = child_count,
        .intensity = TROUPE_NO_RESTARTS,
        .period_ms = 600000};
}

static void end_and_await(
    struct troupe_runtime *runtime, troupe_pid supervisor, struct actor_card *card, puppet_fn end)
{
    struct puppet_notes notes = PUPPET_NOTES_INIT;
    troupe_pid pid = card->pid;

    puppet_watch(runtime, pid, &notes);
    puppet_tell(runtime, pid, end, NULL, NULL);
    (void)puppet_down_kind(&notes);
    while (which(runtime, supervisor, card->id).pid == pid) {
    }
}

Test(supervisor, ends_that_want_no_restart_are_not_charged, .timeout = 60)
{
    struct troupe_runtime *runtime = runtime_new(2);

    for (unsigned i = 0; i < TROUPE_COUNT(ends); i++) {
        struct actor_card cards[] = THREE_CARDS(NULL);
        struct troupe_child_spec children[] = {
            spec_of(&cards[0], TROUPE_TEMPORARY), spec_of(&cards[1], TROUPE_TRANSIENT)};
        struct troupe_supervisor_spec spec = strict_spec(children, 2);
        troupe_pid supervisor = start(runtime, &spec);

        end_and_await(runtime, supervisor, &cards[0], ends[i].fn);
        if (ends[i].clean) {
            end_and_await(runtime, supervisor, &cards[1], ends[i].fn);
        }
        cr_assert_eq(which(runtime, supervisor, "b").status, TROUPE_OK);
        cr_assert_eq(cards[0].starts + cards[1].starts, 2);
        cr_assert_eq(troupe_runtime_exit(runtime, supervisor, TROUPE_EXIT_SHUTDOWN), TROUPE_OK);
        (void)join_kind(runtime, supervisor);
    }
    cr_assert_eq(restarts_of(runtime), 0);
    cr_assert(runtime_ends_clean(runtime));
}

Test(supervisor, the_id_of_a_temporary_child_is_free_after_it_and_that_of_others_is_not,
    .timeout = 60)
{
    struct troupe_runtime *runtime = runtime_new(2);
    struct actor_card cards[] = THREE_CARDS(NULL);
    struct troupe_child_spec children[] = {
        spec_of(&cards[0], TROUPE_TEMPORARY), spec_of(&cards[1], TROUPE_TRANSIENT)};
    struct troupe_supervisor_spec spec = strict_spec(children, 2);
    troupe_pid supervisor = start(runtime, &spec);

    end_and_await(runtime, supervisor, &cards[0], end_with_error);
    end_and_await(runtime, supervisor, &cards[1], end_normally);
    cr_assert_eq(
        ask(runtime, supervisor, TROUPE_CHILD_START, NULL, &children[0]).status, TROUPE_OK);
    cr_assert_eq(
        ask(runtime, supervisor, TROUPE_CHILD_START, NULL, &children[1]).status, TROUPE_EEXIST);
    cr_assert_eq(status_of(runtime, supervisor, TROUPE_CHILD_RESTART, "b"), TROUPE_OK);
    cr_assert_eq(cards[0].starts, 2);
    cr_assert_eq(cards[1].starts, 2);
    cr_assert(runtime_ends_clean(runtime));
}

Test(supervisor, what_it_stops_itself_is_neither_restarted_nor_charged, .timeout = 60)
{
    struct troupe_runtime *runtime = runtime_new(2);
    struct actor_card cards[] = THREE_CARDS(NULL);
    struct troupe_child_spec children[] = {spec_of(&cards[0], TROUPE_PERMANENT),
        spec_of(&cards[1], TROUPE_TRANSIENT), spec_of(&cards[2], TROUPE_TEMPORARY)};
    struct troupe_supervisor_spec spec = strict_spec(children, 3);
    troupe_pid supervisor;

    /* Killed, so that the reason is one that would count. */
    for (unsigned i = 0; i < 3; i++) {
        children[i].shutdown_ms = TROUPE_BRUTAL_KILL;
    }
    supervisor = start(runtime, &spec);
    for (unsigned i = 0; i < 3; i++) {
        cr_assert_eq(
            status_of(runtime, supervisor, TROUPE_CHILD_TERMINATE, cards[i].id), TROUPE_OK);
    }
    cr_assert_eq(which(runtime, supervisor, "a").state, TROUPE_CHILD_STOPPED);
    cr_assert_eq(which(runtime, supervisor, "b").state, TROUPE_CHILD_STOPPED);
    cr_assert_eq(which(runtime, supervisor, "c").status, TROUPE_ENOENT);
    cr_assert_eq(cards[0].starts + cards[1].starts + cards[2].starts, 3);
    cr_assert_eq(restarts_of(runtime), 0);
    cr_assert(runtime_ends_clean(runtime));
}

static int link_and_fail(struct troupe_actor *self, void *arg)
{
    cr_assert_eq(troupe_link(self, *(troupe_pid *)arg), TROUPE_OK);
    return troupe_fail(self, TROUPE_EPROTO, "as told");
}

static int send_exits(struct troupe_actor *self, void *arg)
{
    static const enum troupe_exit kinds[] = {
        TROUPE_EXIT_NORMAL, TROUPE_EXIT_SHUTDOWN, TROUPE_EXIT_NOPROC};

    for (unsigned i = 0; i < TROUPE_COUNT(kinds); i++) {
        cr_assert_eq(troupe_send_exit(self, *(troupe_pid *)arg, kinds[i]), TROUPE_OK);
    }
    return TROUPE_OK;
}

Test(supervisor, an_exit_signal_of_a_stranger_is_ignored, .timeout = 60)
{
    struct troupe_runtime *runtime = runtime_new(2);
    struct actor_card card = {.id = "one"};
    struct troupe_child_spec child = spec_of(&card, TROUPE_PERMANENT);
    struct troupe_supervisor_spec spec = strict_spec(&child, 1);
    troupe_pid supervisor = start(runtime, &spec);
    troupe_pid stranger = puppet_spawn(runtime, &puppet_plain, NULL);
    struct puppet_notes notes = PUPPET_NOTES_INIT;

    puppet_watch(runtime, stranger, &notes);
    puppet_do(runtime, stranger, send_exits, &supervisor);
    puppet_tell(runtime, stranger, link_and_fail, &supervisor, NULL);
    (void)puppet_down_kind(&notes);
    cr_assert_eq(which(runtime, supervisor, "one").state, TROUPE_CHILD_RUNNING);
    cr_assert_eq(card.starts, 1);
    cr_assert(runtime_ends_clean(runtime));
}

Test(supervisor, a_message_it_does_not_know_is_dropped_and_counted, .timeout = 60)
{
    struct troupe_runtime *runtime = runtime_new(2);
    struct actor_card card = {.id = "one"};
    struct troupe_child_spec child = spec_of(&card, TROUPE_PERMANENT);
    struct troupe_supervisor_spec spec = strict_spec(&child, 1);
    troupe_pid supervisor = start(runtime, &spec);
    struct troupe_message *msg;
    struct troupe_books books;

    cr_assert_eq(troupe_message_create(runtime, &puppet_number, 0, &msg), TROUPE_OK);
    cr_assert_eq(troupe_try_send(runtime, supervisor, msg), TROUPE_OK);
    /* Asked behind it. */
    cr_assert_eq(which(runtime, supervisor, "one").state, TROUPE_CHILD_RUNNING);
    cr_assert_eq(troupe_runtime_books(runtime, &books), TROUPE_OK);
    cr_assert_eq(books.unknown, 1);
    cr_assert(runtime_ends_clean(runtime));
}

Test(supervisor, the_end_of_its_parent_stops_it_in_order_and_with_the_same_reason, .timeout = 60)
{
    struct troupe_runtime *runtime = runtime_new(2);
    struct journal journal = JOURNAL_INIT;
    struct actor_card cards[] = THREE_CARDS(&journal);
    struct troupe_child_spec leaves[3];
    struct troupe_supervisor_spec low = {.children = leaves, .child_count = 3};
    struct troupe_child_spec middle = {.id = "low", .tree = &low};
    struct troupe_supervisor_spec top = {.children = &middle, .child_count = 1};
    struct puppet_notes notes = PUPPET_NOTES_INIT;
    troupe_pid supervisor;

    for (unsigned i = 0; i < 3; i++) {
        leaves[i] = spec_of(&cards[i], TROUPE_PERMANENT);
    }
    supervisor = start(runtime, &top);
    puppet_watch(runtime, which(runtime, supervisor, "low").pid, &notes);
    cr_assert_eq(troupe_runtime_exit(runtime, supervisor, TROUPE_EXIT_KILL), TROUPE_OK);
    cr_assert_eq(puppet_down_kind(&notes), TROUPE_EXIT_KILLED);
    cr_assert_str_eq(journal.text, "+a +b +c -c -b -a");
    cr_assert(runtime_ends_clean(runtime));
}

/* ---- strategies ---- */

static const char *group_journal(enum troupe_strategy strategy, struct journal *journal)
{
    struct troupe_runtime *runtime = runtime_new(2);
    struct latch started = LATCH_INIT;
    struct actor_card cards[] = THREE_CARDS(journal);
    struct troupe_child_spec children[3];
    struct troupe_supervisor_spec spec = {
        .strategy = strategy, .children = children, .child_count = 3};
    troupe_pid supervisor;
    unsigned again = strategy == TROUPE_ONE_FOR_ONE ? 1 : strategy == TROUPE_ONE_FOR_ALL ? 3 : 2;

    for (unsigned i = 0; i < 3; i++) {
        cards[i].started = &started;
        children[i] = spec_of(&cards[i], TROUPE_PERMANENT);
    }
    supervisor = start(runtime, &spec);
    puppet_tell(runtime, cards[1].pid, end_with_error, NULL, NULL);
    cr_assert(latch_wait(&started, 3 + again));
    await_state(runtime, supervisor, "c", TROUPE_CHILD_RUNNING);
    cr_assert(runtime_ends_clean(runtime));
    return journal->text;
}

Test(supervisor, one_for_one_restarts_the_one_that_ended, .timeout = 60)
{
    struct journal journal = JOURNAL_INIT;

    cr_assert_str_eq(group_journal(TROUPE_ONE_FOR_ONE, &journal), "+a +b +c -b +b -c -b -a");
}

Test(supervisor, one_for_all_stops_all_in_reverse_and_starts_all_in_order, .timeout = 60)
{
    struct journal journal = JOURNAL_INIT;

    cr_assert_str_eq(
        group_journal(TROUPE_ONE_FOR_ALL, &journal), "+a +b +c -b -c -a +a +b +c -c -b -a");
}

Test(supervisor, rest_for_one_restarts_it_and_those_after_it, .timeout = 60)
{
    struct journal journal = JOURNAL_INIT;

    cr_assert_str_eq(group_journal(TROUPE_REST_FOR_ONE, &journal), "+a +b +c -b -c +b +c -c -b -a");
}

/* A temporary one goes with the group and does not come back; one that rested does. */
Test(supervisor, a_group_restart_forgets_the_temporary_and_starts_the_resting, .timeout = 60)
{
    struct troupe_runtime *runtime = runtime_new(2);
    struct latch started = LATCH_INIT;
    struct actor_card cards[] = THREE_CARDS(NULL);
    struct troupe_child_spec children[] = {spec_of(&cards[0], TROUPE_PERMANENT),
        spec_of(&cards[1], TROUPE_TRANSIENT), spec_of(&cards[2], TROUPE_TEMPORARY)};
    struct troupe_supervisor_spec spec = {
        .strategy = TROUPE_ONE_FOR_ALL, .children = children, .child_count = 3};
    troupe_pid supervisor;

    cards[0].started = &started;
    cards[1].started = &started;
    supervisor = start(runtime, &spec);
    puppet_tell(runtime, cards[1].pid, end_normally, NULL, NULL);
    await_state(runtime, supervisor, "b", TROUPE_CHILD_STOPPED);
    puppet_tell(runtime, cards[0].pid, end_with_error, NULL, NULL);
    cr_assert(latch_wait(&started, 4));
    await_state(runtime, supervisor, "b", TROUPE_CHILD_RUNNING);
    cr_assert_eq(which(runtime, supervisor, "c").status, TROUPE_ENOENT);
    cr_assert_eq(cards[2].starts, 1);
    cr_assert(runtime_ends_clean(runtime));
}

/* ---- intensity ---- */

Test(supervisor, it_gives_up_after_exactly_intensity_restarts, .timeout = 60)
{
    for (int intensity = TROUPE_NO_RESTARTS; intensity <= 3; intensity++) {
        struct troupe_runtime *runtime = runtime_new(2);
        struct latch started = LATCH_INIT;
        struct actor_card card = {.id = "one", .started = &started};
        struct troupe_child_spec child = spec_of(&card, TROUPE_PERMANENT);
        struct troupe_supervisor_spec spec = {
            .children = &child, .child_count = 1, .intensity = intensity, .period_ms = 600000};
        unsigned allowed = intensity == 0 ? 1 : intensity < 0 ? 0 : (unsigned)intensity;
        struct puppet_notes notes = PUPPET_NOTES_INIT;
        troupe_pid supervisor = start(runtime, &spec);

        puppet_watch(runtime, supervisor, &notes);
        for (unsigned i = 0; i <= allowed; i++) {
            cr_assert(latch_wait(&started, i + 1));
            puppet_tell(runtime, card.pid, end_with_error, NULL, NULL);
        }
        cr_assert_eq(puppet_down_kind(&notes), TROUPE_EXIT_SHUTDOWN);
        cr_assert_eq(card.starts, 1 + allowed);
        cr_assert_eq(restarts_of(runtime), allowed);
        cr_assert(runtime_ends_clean(runtime));
    }
}

Test(supervisor, giving_up_stops_the_others_in_reverse_and_is_reported, .timeout = 60)
{
    struct stage stage;
    struct journal journal = JOURNAL_INIT;
    struct actor_card cards[] = THREE_CARDS(&journal);
    struct troupe_child_spec children[3];
    struct troupe_supervisor_spec spec = strict_spec(children, 3);
    struct stage_end end;
    troupe_pid supervisor;

    for (unsigned i = 0; i < 3; i++) {
        children[i] = spec_of(&cards[i], TROUPE_PERMANENT);
    }
    spec.name = "top";
    stage_open(&stage, 2);
    supervisor = start(stage.runtime, &spec);
    stage_watch(&stage, supervisor, &end);
    puppet_tell(stage.runtime, cards[1].pid, end_with_error, NULL, NULL);
    STAGE_AWAIT(&stage, end.count == 1);
    cr_assert_eq(end.kind, TROUPE_EXIT_SHUTDOWN);
    cr_assert_str_eq(journal.text, "+a +b +c -b -c -a");
    cr_assert_eq(stage_reports(&stage, TROUPE_REPORT_GIVE_UP), 1);
    cr_assert_str_eq(stage.actor[TROUPE_REPORT_GIVE_UP], "top");
    cr_assert(strstr(stage.text[TROUPE_REPORT_GIVE_UP], "top.b") != NULL);
    cr_assert(strstr(stage.text[TROUPE_REPORT_RESTART], "is restarted") == NULL, "nobody was: %s",
        stage.text[TROUPE_REPORT_RESTART]);
    stage_close(&stage);
}

Test(supervisor, a_restart_is_reported_with_its_reason, .timeout = 60)
{
    struct stage stage;
    struct actor_card card = {.id = "one"};
    struct troupe_child_spec child = spec_of(&card, TROUPE_PERMANENT);
    struct troupe_supervisor_spec spec = {.name = "top", .children = &child, .child_count = 1};

    stage_open(&stage, 2);
    (void)start(stage.runtime, &spec);
    puppet_tell(stage.runtime, card.pid, end_with_error, NULL, NULL);
    STAGE_AWAIT(&stage, stage_reports(&stage, TROUPE_REPORT_RESTART) == 1);
    cr_assert_str_eq(stage.actor[TROUPE_REPORT_RESTART], "top.one");
    cr_assert(strstr(stage.text[TROUPE_REPORT_RESTART], "as told") != NULL);
    stage_close(&stage);
}

/* Each attempt is charged, also those whose init fails. */
Test(supervisor, starts_that_fail_are_charged_and_tried_again_until_it_gives_up, .timeout = 60)
{
    struct troupe_runtime *runtime = runtime_new(2);
    struct actor_card card = {.id = "one", .habits = HABIT_FAIL_AGAIN};
    struct troupe_child_spec child = spec_of(&card, TROUPE_PERMANENT);
    struct troupe_supervisor_spec spec = {
        .children = &child, .child_count = 1, .intensity = 5, .period_ms = 600000};
    struct puppet_notes notes = PUPPET_NOTES_INIT;
    troupe_pid supervisor = start(runtime, &spec);

    puppet_watch(runtime, supervisor, &notes);
    puppet_tell(runtime, card.pid, end_with_error, NULL, NULL);
    cr_assert_eq(puppet_down_kind(&notes), TROUPE_EXIT_SHUTDOWN);
    cr_assert_eq(card.starts, 1 + 5);
    cr_assert_not(card.twins);
    cr_assert(runtime_ends_clean(runtime));
}

Test(supervisor, a_group_restart_is_charged_once, .timeout = 60)
{
    struct troupe_runtime *runtime = runtime_new(2);
    struct latch started = LATCH_INIT;
    struct actor_card cards[] = THREE_CARDS(NULL);
    struct troupe_child_spec children[3];
    struct troupe_supervisor_spec spec = {.strategy = TROUPE_ONE_FOR_ALL,
        .children = children,
        .child_count = 3,
        .intensity = 2,
        .period_ms = 600000};
    struct puppet_notes notes = PUPPET_NOTES_INIT;
    troupe_pid supervisor;

    for (unsigned i = 0; i < 3; i++) {
        cards[i].started = &started;
        children[i] = spec_of(&cards[i], TROUPE_PERMANENT);
    }
    supervisor = start(runtime, &spec);
    puppet_watch(runtime, supervisor, &notes);
    for (unsigned i = 1; i <= 3; i++) {
        cr_assert(latch_wait(&started, 3 * i));
        puppet_tell(runtime, cards[2].pid, end_with_error, NULL, NULL);
    }
    cr_assert_eq(puppet_down_kind(&notes), TROUPE_EXIT_SHUTDOWN);
    cr_assert_eq(latch_count(&started), 9);
    cr_assert(runtime_ends_clean(runtime));
}

/* In a group, one that fails to start again leaves those before it up, and the group is tried again. */
Test(supervisor, a_group_restart_that_fails_is_tried_again_and_charged, .timeout = 60)
{
    struct troupe_runtime *runtime = runtime_new(2);
    struct actor_card cards[] = THREE_CARDS(NULL);
    struct troupe_child_spec children[3];
    struct troupe_supervisor_spec spec = {.strategy = TROUPE_REST_FOR_ONE,
        .children = children,
        .child_count = 3,
        .intensity = 4,
        .period_ms = 600000};
    struct puppet_notes notes = PUPPET_NOTES_INIT;
    troupe_pid supervisor;

    cards[1].habits = HABIT_FAIL_AGAIN;
    for (unsigned i = 0; i < 3; i++) {
        children[i] = spec_of(&cards[i], TROUPE_PERMANENT);
    }
    supervisor = start(runtime, &spec);
    puppet_watch(runtime, supervisor, &notes);
    puppet_tell(runtime, cards[0].pid, end_with_error, NULL, NULL);
    cr_assert_eq(puppet_down_kind(&notes), TROUPE_EXIT_SHUTDOWN);
    cr_assert_eq(cards[0].starts, 2);
    cr_assert_eq(cards[1].starts, 1 + 4);
    cr_assert_eq(cards[2].starts, 1);
    cr_assert(runtime_ends_clean(runtime));
}

/* One for all: each attempt is one for all. */
Test(supervisor, a_one_for_all_that_fails_is_made_again_from_the_first_child, .timeout = 60)
{
    struct troupe_runtime *runtime = runtime_new(2);
    struct actor_card cards[] = THREE_CARDS(NULL);
    struct troupe_child_spec children[3];
    struct troupe_supervisor_spec spec = {.strategy = TROUPE_ONE_FOR_ALL,
        .children = children,
        .child_count = 3,
        .intensity = 4,
        .period_ms = 600000};
    struct puppet_notes notes = PUPPET_NOTES_INIT;
    troupe_pid supervisor;

    cards[1].habits = HABIT_FAIL_AGAIN;
    for (unsigned i = 0; i < 3; i++) {
        children[i] = spec_of(&cards[i], TROUPE_PERMANENT);
    }
    supervisor = start(runtime, &spec);
    puppet_watch(runtime, supervisor, &notes);
    puppet_tell(runtime, cards[2].pid, end_with_error, NULL, NULL);
    cr_assert_eq(puppet_down_kind(&notes), TROUPE_EXIT_SHUTDOWN);
    cr_assert_eq(cards[0].starts, 1 + 4);
    cr_assert_eq(cards[1].starts, 1 + 4);
    cr_assert_eq(cards[2].starts, 1);
    for (unsigned i = 0; i < 3; i++) {
        cr_assert_not(cards[i].twins);
        cr_assert_eq(cards[i].alive, 0);
    }
    cr_assert(runtime_ends_clean(runtime));
}

Test(supervisor, children_added_later_are_lost_when_their_supervisor_is_restarted, .timeout = 60)
{
    struct troupe_runtime *runtime = runtime_new(2);
    struct latch started = LATCH_INIT;
    struct actor_card cards[] = THREE_CARDS(NULL);
    struct troupe_child_spec leaf = spec_of(&cards[0], TROUPE_PERMANENT);
    struct troupe_child_spec added = spec_of(&cards[1], TROUPE_PERMANENT);
    struct troupe_supervisor_spec low = {.children = &leaf, .child_count = 1};
    struct troupe_child_spec middle = {.id = "low", .tree = &low};
    struct troupe_supervisor_spec top = {.children = &middle, .child_count = 1};
    troupe_pid supervisor;
    troupe_pid first;
    troupe_pid second;

    cards[0].started = &started;
    supervisor = start(runtime, &top);
    first = which(runtime, supervisor, "low").pid;
    cr_assert_eq(ask(runtime, first, TROUPE_CHILD_START, NULL, &added).status, TROUPE_OK);
    cr_assert_eq(troupe_runtime_exit(runtime, first, TROUPE_EXIT_KILL), TROUPE_OK);
    cr_assert(latch_wait(&started, 2));
    await_state(runtime, supervisor, "low", TROUPE_CHILD_RUNNING);
    second = which(runtime, supervisor, "low").pid;
    cr_assert_neq(second, first);
    cr_assert_eq(which(runtime, second, "a").state, TROUPE_CHILD_RUNNING);
    cr_assert_eq(which(runtime, second, "b").status, TROUPE_ENOENT);
    cr_assert_eq(cards[1].starts, 1);
    cr_assert(runtime_ends_clean(runtime));
}

/* Whoever comes after it was down until the next attempt, which is not made any more. */
Test(supervisor, a_group_goes_on_without_one_that_failed_to_start_and_was_terminated, .timeout = 60)
{
    struct troupe_runtime *runtime = runtime_new(2);

    /* Whether it is starting or about to when it is terminated is chance. */
    for (unsigned i = 0; i < 100; i++) {
        struct actor_card cards[] = THREE_CARDS(NULL);
        struct troupe_child_spec children[3];
        struct troupe_supervisor_spec spec = {
            .strategy = i % 2 == 0 ? TROUPE_ONE_FOR_ALL : TROUPE_REST_FOR_ONE,
            .children = children,
            .child_count = 3,
            .intensity = 1000000,
            .period_ms = 600000};
        troupe_pid supervisor;

        cards[1].habits = HABIT_FAIL_AGAIN;
        for (unsigned j = 0; j < 3; j++) {
            children[j] = spec_of(&cards[j], TROUPE_PERMANENT);
        }
        supervisor = start(runtime, &spec);
        puppet_tell(runtime, cards[0].pid, end_with_error, NULL, NULL);
        while (cards[1].starts < 3) {
        }
        cr_assert_eq(status_of(runtime, supervisor, TROUPE_CHILD_TERMINATE, "b"), TROUPE_OK);
        await_state(runtime, supervisor, "c", TROUPE_CHILD_RUNNING);
        cr_assert_eq(which(runtime, supervisor, "a").state, TROUPE_CHILD_RUNNING);
        cr_assert_eq(which(runtime, supervisor, "b").state, TROUPE_CHILD_STOPPED);
        cr_assert_eq(troupe_runtime_exit(runtime, supervisor, TROUPE_EXIT_SHUTDOWN), TROUPE_OK);
        (void)join_kind(runtime, supervisor);
    }
    cr_assert(runtime_ends_clean(runtime));
}

/* The same, where a restart of some that came later is under way: what waited for it starts after that. */
Test(supervisor, a_group_goes_on_without_one_that_was_terminated_while_later_ones_restarted,
    .timeout = 60)
{
    static const char *const ids[] = {"a", "b", "c", "d", "e"};
    struct troupe_runtime *runtime = runtime_new(2);
    struct actor_card cards[TROUPE_COUNT(ids)] = {{0}};
    struct troupe_child_spec children[TROUPE_COUNT(ids)];
    struct troupe_supervisor_spec spec = {
        .strategy = TROUPE_REST_FOR_ONE, .children = children, .child_count = 3, .intensity = 10};
    struct troupe_child_answer answer;
    troupe_pid supervisor;

    for (unsigned i = 0; i < TROUPE_COUNT(ids); i++) {
        cards[i].id = ids[i];
        children[i] = spec_of(&cards[i], TROUPE_PERMANENT);
    }
    cards[1].habits = HABIT_FAIL_AGAIN;
    children[1].backoff = (struct troupe_backoff){.min_ms = 600000, .max_ms = 600000};
    cards[4].habits = HABIT_IGNORE_EXIT;
    children[4].shutdown_ms = TROUPE_FOREVER;
    supervisor = start(runtime, &spec);
    puppet_tell(runtime, cards[0].pid, end_with_error, NULL, NULL);
    while (cards[1].starts < 2) {
    }
    await_state(runtime, supervisor, "b", TROUPE_CHILD_RESTARTING);
    for (unsigned i = 3; i < TROUPE_COUNT(ids); i++) {
        answer = ask(runtime, supervisor, TROUPE_CHILD_START, NULL, &children[i]);
        cr_assert_eq(answer.status, TROUPE_OK);
    }
    puppet_tell(runtime, cards[3].pid, end_with_error, NULL, NULL);
    await_state(runtime, supervisor, "e", TROUPE_CHILD_STOPPING);
    cr_assert_eq(status_of(runtime, supervisor, TROUPE_CHILD_TERMINATE, "b"), TROUPE_OK);
    cards[4].habits = HABIT_NONE;
    puppet_tell(runtime, cards[4].pid, end_normally, NULL, NULL);
    await_state(runtime, supervisor, "e", TROUPE_CHILD_RUNNING);
    await_state(runtime, supervisor, "c", TROUPE_CHILD_RUNNING);
    cr_assert_eq(cards[3].starts, 2);
    cr_assert(runtime_ends_clean(runtime));
}

/* ---- nested ---- */

Test(supervisor, names_follow_the_tree, .timeout = 60)
{
    struct troupe_runtime *runtime = runtime_new(2);
    struct actor_card cards[] = THREE_CARDS(NULL);
    struct troupe_child_spec leaves[] = {spec_of(&cards[1], TROUPE_PERMANENT)};
    struct troupe_supervisor_spec low = {.children = leaves, .child_count = 1};
    struct troupe_child_spec children[] = {
        spec_of(&cards[0], TROUPE_PERMANENT), {.id = "low", .tree = &low}};
    struct troupe_supervisor_spec spec = {.name = "bank", .children = children, .child_count = 2};
    troupe_pid supervisor = start(runtime, &spec);

    cr_assert_eq(troupe_runtime_whereis(runtime, "bank"), supervisor);
    cr_assert_eq(troupe_runtime_whereis(runtime, "bank.a"), cards[0].pid);
    cr_assert_neq(troupe_runtime_whereis(runtime, "bank.low"), TROUPE_NOBODY);
    cr_assert_eq(troupe_runtime_whereis(runtime, "bank.low.b"), cards[1].pid);
    cr_assert(runtime_ends_clean(runtime));
}

Test(supervisor, a_nested_tree_starts_and_stops_in_order, .timeout = 60)
{
    struct troupe_runtime *runtime = runtime_new(2);
    struct journal journal = JOURNAL_INIT;
    struct actor_card cards[] = THREE_CARDS(&journal);
    struct actor_card last = {.id = "d", .journal = &journal};
    struct troupe_child_spec leaves[] = {
        spec_of(&cards[1], TROUPE_PERMANENT), spec_of(&cards[2], TROUPE_PERMANENT)};
    struct troupe_supervisor_spec low = {.children = leaves, .child_count = 2};
    struct troupe_child_spec children[] = {spec_of(&cards[0], TROUPE_PERMANENT),
        {.id = "low", .tree = &low}, spec_of(&last, TROUPE_PERMANENT)};
    struct troupe_supervisor_spec spec = {.children = children, .child_count = 3};

    (void)start(runtime, &spec);
    cr_assert(runtime_ends_clean(runtime));
    cr_assert_str_eq(journal.text, "+a +b +c +d -d -c -b -a");
}

Test(supervisor, a_supervisor_that_gives_up_escalates_to_its_own, .timeout = 60)
{
    struct troupe_runtime *runtime = runtime_new(2);
    struct latch started = LATCH_INIT;
    struct actor_card card = {.id = "one", .started = &started};
    struct troupe_child_spec leaf = spec_of(&card, TROUPE_PERMANENT);
    struct troupe_supervisor_spec low = {
        .children = &leaf, .child_count = 1, .intensity = 1, .period_ms = 600000};
    struct troupe_child_spec middle = {.id = "low", .tree = &low};
    struct troupe_supervisor_spec top = {
        .children = &middle, .child_count = 1, .intensity = 2, .period_ms = 600000};
    struct puppet_notes notes = PUPPET_NOTES_INIT;
    troupe_pid supervisor = start(runtime, &top);

    puppet_watch(runtime, supervisor, &notes);
    /* Two lives below, three supervisors: the products multiply. */
    for (unsigned i = 1; i <= 2 * 3; i++) {
        cr_assert(latch_wait(&started, i));
        puppet_tell(runtime, card.pid, end_with_error, NULL, NULL);
    }
    cr_assert_eq(puppet_down_kind(&notes), TROUPE_EXIT_SHUTDOWN);
    cr_assert_eq(card.starts, 6);
    cr_assert(runtime_ends_clean(runtime));
}

Test(supervisor, a_transient_supervisor_that_gave_up_rests, .timeout = 60)
{
    struct troupe_runtime *runtime = runtime_new(2);
    struct actor_card card = {.id = "one"};
    struct troupe_child_spec leaf = spec_of(&card, TROUPE_PERMANENT);
    struct troupe_supervisor_spec low = {
        .children = &leaf, .child_count = 1, .intensity = TROUPE_NO_RESTARTS};
    struct troupe_child_spec middle = {.id = "low", .tree = &low, .restart = TROUPE_TRANSIENT};
    struct troupe_supervisor_spec top = {.children = &middle, .child_count = 1};
    troupe_pid supervisor = start(runtime, &top);

    puppet_tell(runtime, card.pid, end_with_error, NULL, NULL);
    await_state(runtime, supervisor, "low", TROUPE_CHILD_STOPPED);
    cr_assert(troupe_is_alive(runtime, supervisor));
    cr_assert(runtime_ends_clean(runtime));
}

Test(supervisor, a_nested_start_that_fails_fails_the_whole_with_its_code, .timeout = 60)
{
    struct troupe_runtime *runtime = runtime_new(2);
    struct journal journal = JOURNAL_INIT;
    struct actor_card cards[] = THREE_CARDS(&journal);
    struct troupe_child_spec leaves[] = {
        spec_of(&cards[1], TROUPE_PERMANENT), spec_of(&cards[2], TROUPE_PERMANENT)};
    struct troupe_supervisor_spec low = {.children = leaves, .child_count = 2};
    struct troupe_child_spec children[] = {
        spec_of(&cards[0], TROUPE_PERMANENT), {.id = "low", .tree = &low}};
    struct troupe_supervisor_spec spec = {.children = children, .child_count = 2};
    troupe_pid pid;

    cards[2].habits = HABIT_FAIL_INIT;
    cr_assert_eq(troupe_supervisor_start(runtime, &spec, TROUPE_FOREVER, &pid), TROUPE_EPROTO);
    cr_assert_str_eq(journal.text, "+a +b -c -b -a");
    cr_assert(runtime_ends_clean(runtime));
}

Test(supervisor, children_die_with_a_supervisor_that_is_killed, .timeout = 60)
{
    struct troupe_runtime *runtime = runtime_new(2);
    struct actor_card cards[] = THREE_CARDS(NULL);
    struct troupe_child_spec children[3];
    struct troupe_supervisor_spec spec = {.children = children, .child_count = 3};
    static struct puppet_notes notes[3];
    troupe_pid supervisor;

    for (unsigned i = 0; i < 3; i++) {
        children[i] = spec_of(&cards[i], TROUPE_PERMANENT);
        children[i].keep_mailbox = i == 1;
        notes[i] = (struct puppet_notes)PUPPET_NOTES_INIT;
    }
    supervisor = start(runtime, &spec);
    for (unsigned i = 0; i < 3; i++) {
        puppet_watch(runtime, cards[i].pid, &notes[i]);
    }
    cr_assert_eq(troupe_runtime_exit(runtime, supervisor, TROUPE_EXIT_KILL), TROUPE_OK);
    for (unsigned i = 0; i < 3; i++) {
        cr_assert_eq(puppet_down_kind(&notes[i]), TROUPE_EXIT_KILLED);
    }
    cr_assert(runtime_ends_clean(runtime));
}

/* ---- stopping one child ---- */

Test(supervisor, a_child_that_ignores_its_shutdown_is_killed_in_time, .timeout = 60)
{
    struct troupe_runtime *runtime = runtime_new(2);
    struct actor_card card = {.id = "deaf", .habits = HABIT_IGNORE_EXIT};
    struct troupe_child_spec child = spec_of(&card, TROUPE_PERMANENT);
    struct troupe_supervisor_spec spec = {.children = &child, .child_count = 1};
    struct puppet_notes notes = PUPPET_NOTES_INIT;
    troupe_pid supervisor;

    child.shutdown_ms = 30;
    supervisor = start(runtime, &spec);
    puppet_watch(runtime, card.pid, &notes);
    cr_assert_eq(status_of(runtime, supervisor, TROUPE_CHILD_TERMINATE, "deaf"), TROUPE_OK);
    cr_assert_eq(puppet_down_kind(&notes), TROUPE_EXIT_KILLED);
    cr_assert(runtime_ends_clean(runtime));
}

Test(supervisor, zero_milliseconds_to_stop_are_legal, .timeout = 60)
{
    struct troupe_runtime *runtime = runtime_new(2);
    struct actor_card card = {.id = "deaf", .habits = HABIT_IGNORE_EXIT};
    struct troupe_child_spec child = spec_of(&card, TROUPE_PERMANENT);
    struct troupe_supervisor_spec spec = {.children = &child, .child_count = 1};
    struct puppet_notes notes = PUPPET_NOTES_INIT;
    troupe_pid supervisor;

    child.shutdown_ms = TROUPE_NOW;
    supervisor = start(runtime, &spec);
    puppet_watch(runtime, card.pid, &notes);
    cr_assert_eq(status_of(runtime, supervisor, TROUPE_CHILD_TERMINATE, "deaf"), TROUPE_OK);
    cr_assert_eq(puppet_down_kind(&notes), TROUPE_EXIT_KILLED);
    cr_assert(runtime_ends_clean(runtime));
}

Test(supervisor, one_that_is_killed_for_not_stopping_is_reported, .timeout = 60)
{
    struct stage stage;
    struct actor_card card = {.id = "deaf", .habits = HABIT_IGNORE_EXIT};
    struct troupe_child_spec child = spec_of(&card, TROUPE_PERMANENT);
    struct troupe_supervisor_spec spec = {.name = "top", .children = &child, .child_count = 1};
    troupe_pid supervisor;

    child.shutdown_ms = TROUPE_NOW;
    stage_open(&stage, 2);
    supervisor = start(stage.runtime, &spec);
    cr_assert_eq(status_of(stage.runtime, supervisor, TROUPE_CHILD_TERMINATE, "deaf"), TROUPE_OK);
    cr_assert_eq(stage_reports(&stage, TROUPE_REPORT_UNSTOPPED), 1);
    cr_assert_str_eq(stage.actor[TROUPE_REPORT_UNSTOPPED], "top.deaf");
    stage_close(&stage);
}

/* Asks to stop a child that takes its time, and does not wait for it. */
static void begin_to_stop(struct troupe_runtime *runtime, troupe_pid supervisor, const char *id)
{
    struct troupe_child_answer answer;

    cr_assert_eq(
        troupe_runtime_child(runtime, supervisor, TROUPE_CHILD_TERMINATE, id, NULL, 0, &answer),
        TROUPE_ETIMEDOUT);
    await_state(runtime, supervisor, id, TROUPE_CHILD_STOPPING);
}

Test(supervisor, without_a_limit_it_waits_for_the_child_and_takes_any_reason, .timeout = 60)
{
    struct troupe_runtime *runtime = runtime_new(2);

    for (unsigned i = 0; i < TROUPE_COUNT(ends); i++) {
        struct actor_card card = {.id = "deaf", .habits = HABIT_IGNORE_EXIT};
        struct troupe_child_spec child = spec_of(&card, TROUPE_PERMANENT);
        struct troupe_supervisor_spec spec = strict_spec(&child, 1);
        troupe_pid supervisor;

        child.shutdown_ms = TROUPE_FOREVER;
        supervisor = start(runtime, &spec);
        begin_to_stop(runtime, supervisor, "deaf");
        cr_assert_eq(which(runtime, supervisor, "deaf").pid, card.pid);
        puppet_tell(runtime, card.pid, ends[i].fn, NULL, NULL);
        await_state(runtime, supervisor, "deaf", TROUPE_CHILD_STOPPED);
        cr_assert_eq(card.starts, 1);
        cr_assert_eq(troupe_runtime_exit(runtime, supervisor, TROUPE_EXIT_SHUTDOWN), TROUPE_OK);
        (void)join_kind(runtime, supervisor);
    }
    cr_assert(runtime_ends_clean(runtime));
}

static int unlink_from(struct troupe_actor *self, void *arg)
{
    troupe_unlink(self, *(troupe_pid *)arg);
    return TROUPE_OK;
}

/* It is not a link that ties them. */
Test(supervisor, a_child_that_unlinks_its_supervisor_is_restarted_and_stopped_all_the_same,
    .timeout = 60)
{
    struct troupe_runtime *runtime = runtime_new(2);
    struct latch started = LATCH_INIT;
    struct actor_card card = {.id = "one", .started = &started};
    struct troupe_child_spec child = spec_of(&card, TROUPE_PERMANENT);
    struct troupe_supervisor_spec spec = {.children = &child, .child_count = 1};
    troupe_pid supervisor = start(runtime, &spec);

    puppet_do(runtime, card.pid, unlink_from, &supervisor);
    puppet_tell(runtime, card.pid, end_with_error, NULL, NULL);
    cr_assert(latch_wait(&started, 2));
    await_state(runtime, supervisor, "one", TROUPE_CHILD_RUNNING);
    puppet_do(runtime, card.pid, unlink_from, &supervisor);
    cr_assert_eq(status_of(runtime, supervisor, TROUPE_CHILD_TERMINATE, "one"), TROUPE_OK);
    cr_assert_eq(card.alive, 0);
    cr_assert(runtime_ends_clean(runtime));
}

Test(supervisor, a_brutal_kill_does_not_ask, .timeout = 60)
{
    struct troupe_runtime *runtime = runtime_new(2);
    struct actor_card card = {.id = "one"};
    struct troupe_child_spec child = spec_of(&card, TROUPE_PERMANENT);
    struct troupe_supervisor_spec spec = {.children = &child, .child_count = 1};
    struct puppet_notes notes = PUPPET_NOTES_INIT;
    troupe_pid supervisor;

    child.shutdown_ms = TROUPE_BRUTAL_KILL;
    supervisor = start(runtime, &spec);
    puppet_watch(runtime, card.pid, &notes);
    cr_assert_eq(status_of(runtime, supervisor, TROUPE_CHILD_TERMINATE, "one"), TROUPE_OK);
    cr_assert_eq(puppet_down_kind(&notes), TROUPE_EXIT_KILLED);
    cr_assert(runtime_ends_clean(runtime));
}

/* ---- 7.7: what one may ask ---- */

struct stage_set {
    struct troupe_runtime *runtime;
    struct actor_card cards[3]; /* running, stopped, restarting */
    struct latch gate;
    struct latch entered;
    troupe_pid supervisor;
};

/* One child runs, one is stopped, one is being started again and takes its time. */
static void set_stage(struct stage_set *set)
{
    struct troupe_child_spec children[3];
    struct troupe_supervisor_spec spec = {.children = children, .child_count = 3};

    *set = (struct stage_set){
        .cards = {{.id = "running"}, {.id = "stopped"}, {.id = "slow"}},
        .gate = LATCH_INIT,
        .entered = LATCH_INIT,
    };
    set->runtime = runtime_new(4);
    for (unsigned i = 0; i < 3; i++) {
        children[i] = spec_of(&set->cards[i], TROUPE_PERMANENT);
        children[i].start_timeout_ms = TROUPE_FOREVER;
    }
    set->cards[2].habits = HABIT_SLOW_INIT;
    set->cards[2].gate = &set->gate;
    set->cards[2].entered = &set->entered;
    latch_hit(&set->gate);
    set->supervisor = start(set->runtime, &spec);
    cr_assert_eq(
        status_of(set->runtime, set->supervisor, TROUPE_CHILD_TERMINATE, "stopped"), TROUPE_OK);
    puppet_tell(set->runtime, set->cards[2].pid, end_with_error, NULL, NULL);
    cr_assert(latch_wait(&set->entered, 2));
}

static void clear_stage(struct stage_set *set)
{
    latch_hit(&set->gate);
    cr_assert(runtime_ends_clean(set->runtime));
}

static int start_again(struct stage_set *set, unsigned index)
{
    struct troupe_child_spec child = spec_of(&set->cards[index], TROUPE_PERMANENT);

    return ask(set->runtime, set->supervisor, TROUPE_CHILD_START, NULL, &child).status;
}

Test(supervisor, start_finds_ids_that_are_taken_in_every_state, .timeout = 60)
{
    static struct stage_set set;
    struct actor_card fresh = {.id = "fresh"};
    struct troupe_child_spec child = spec_of(&fresh, TROUPE_PERMANENT);
    struct troupe_child_answer answer;

    set_stage(&set);
    for (unsigned i = 0; i < 3; i++) {
        cr_assert_eq(start_again(&set, i), TROUPE_EEXIST);
    }
    answer = ask(set.runtime, set.supervisor, TROUPE_CHILD_START, NULL, &child);
    cr_assert_eq(answer.status, TROUPE_OK);
    cr_assert_eq(answer.pid, fresh.pid);
    cr_assert_eq(answer.state, TROUPE_CHILD_RUNNING);
    clear_stage(&set);
}

Test(supervisor, restart_works_on_the_stopped_only, .timeout = 60)
{
    static struct stage_set set;
    struct troupe_child_answer answer;

    set_stage(&set);
    cr_assert_eq(
        status_of(set.runtime, set.supervisor, TROUPE_CHILD_RESTART, "absent"), TROUPE_ENOENT);
    cr_assert_eq(
        status_of(set.runtime, set.supervisor, TROUPE_CHILD_RESTART, "running"), TROUPE_EBUSY);
    cr_assert_eq(
        status_of(set.runtime, set.supervisor, TROUPE_CHILD_RESTART, "slow"), TROUPE_EBUSY);
    answer = ask(set.runtime, set.supervisor, TROUPE_CHILD_RESTART, "stopped", NULL);
    cr_assert_eq(answer.status, TROUPE_OK);
    cr_assert_eq(answer.state, TROUPE_CHILD_RUNNING);
    cr_assert_eq(answer.pid, set.cards[1].pid);
    clear_stage(&set);
}

Test(supervisor, a_restart_asked_for_that_fails_leaves_it_stopped, .timeout = 60)
{
    static struct stage_set set;

    set_stage(&set);
    set.cards[1].habits = HABIT_FAIL_INIT;
    cr_assert_eq(
        status_of(set.runtime, set.supervisor, TROUPE_CHILD_RESTART, "stopped"), TROUPE_EPROTO);
    cr_assert_eq(which(set.runtime, set.supervisor, "stopped").state, TROUPE_CHILD_STOPPED);
    cr_assert_eq(set.cards[1].starts, 2);
    clear_stage(&set);
}

Test(supervisor, terminate_works_in_every_state, .timeout = 60)
{
    static struct stage_set set;

    set_stage(&set);
    cr_assert_eq(
        status_of(set.runtime, set.supervisor, TROUPE_CHILD_TERMINATE, "absent"), TROUPE_ENOENT);
    cr_assert_eq(
        status_of(set.runtime, set.supervisor, TROUPE_CHILD_TERMINATE, "running"), TROUPE_OK);
    cr_assert_eq(
        status_of(set.runtime, set.supervisor, TROUPE_CHILD_TERMINATE, "stopped"), TROUPE_OK);
    latch_hit(&set.gate);
    cr_assert_eq(status_of(set.runtime, set.supervisor, TROUPE_CHILD_TERMINATE, "slow"), TROUPE_OK);
    cr_assert_eq(which(set.runtime, set.supervisor, "running").state, TROUPE_CHILD_STOPPED);
    cr_assert_eq(which(set.runtime, set.supervisor, "slow").state, TROUPE_CHILD_STOPPED);
    for (unsigned i = 0; i < 3; i++) {
        cr_assert_eq(set.cards[i].alive, 0);
    }
    clear_stage(&set);
}

Test(supervisor, delete_works_on_the_stopped_only, .timeout = 60)
{
    static struct stage_set set;

    set_stage(&set);
    cr_assert_eq(
        status_of(set.runtime, set.supervisor, TROUPE_CHILD_DELETE, "absent"), TROUPE_ENOENT);
    cr_assert_eq(
        status_of(set.runtime, set.supervisor, TROUPE_CHILD_DELETE, "running"), TROUPE_EBUSY);
    cr_assert_eq(status_of(set.runtime, set.supervisor, TROUPE_CHILD_DELETE, "slow"), TROUPE_EBUSY);
    cr_assert_eq(status_of(set.runtime, set.supervisor, TROUPE_CHILD_DELETE, "stopped"), TROUPE_OK);
    cr_assert_eq(which(set.runtime, set.supervisor, "stopped").status, TROUPE_ENOENT);
    cr_assert_eq(start_again(&set, 1), TROUPE_OK);
    clear_stage(&set);
}

Test(supervisor, which_tells_pid_and_state, .timeout = 60)
{
    static struct stage_set set;
    struct troupe_child_answer answer;

    set_stage(&set);
    cr_assert_eq(which(set.runtime, set.supervisor, "absent").status, TROUPE_ENOENT);
    answer = which(set.runtime, set.supervisor, "running");
    cr_assert_eq(answer.state, TROUPE_CHILD_RUNNING);
    cr_assert_eq(answer.pid, set.cards[0].pid);
    answer = which(set.runtime, set.supervisor, "stopped");
    cr_assert_eq(answer.state, TROUPE_CHILD_STOPPED);
    cr_assert_eq(answer.pid, TROUPE_NOBODY);
    cr_assert_eq(which(set.runtime, set.supervisor, "slow").state, TROUPE_CHILD_STARTING);
    clear_stage(&set);
}

Test(supervisor, a_start_asked_for_that_fails_saves_nothing, .timeout = 60)
{
    static struct stage_set set;
    struct actor_card bad = {.id = "bad", .habits = HABIT_FAIL_INIT};
    struct troupe_child_spec child = spec_of(&bad, TROUPE_PERMANENT);

    set_stage(&set);
    cr_assert_eq(
        ask(set.runtime, set.supervisor, TROUPE_CHILD_START, NULL, &child).status, TROUPE_EPROTO);
    cr_assert_eq(which(set.runtime, set.supervisor, "bad").status, TROUPE_ENOENT);
    cr_assert_eq(bad.starts, 1);
    clear_stage(&set);
}

/* While it has failed and waits to be tried again: cancelled by terminate. */
Test(supervisor, a_stop_gets_in_while_starts_fail, .timeout = 60)
{
    struct troupe_runtime *runtime = runtime_new(2);
    struct actor_card card = {.id = "one", .habits = HABIT_FAIL_AGAIN};
    struct troupe_child_spec child = spec_of(&card, TROUPE_PERMANENT);
    struct troupe_supervisor_spec spec = {
        .children = &child, .child_count = 1, .intensity = 1000000, .period_ms = 600000};
    troupe_pid supervisor = start(runtime, &spec);

    puppet_tell(runtime, card.pid, end_with_error, NULL, NULL);
    while (card.starts < 5) {
        (void)which(runtime, supervisor, "one");
    }
    cr_assert_eq(status_of(runtime, supervisor, TROUPE_CHILD_TERMINATE, "one"), TROUPE_OK);
    cr_assert_eq(which(runtime, supervisor, "one").state, TROUPE_CHILD_STOPPED);
    cr_assert(runtime_ends_clean(runtime));
}

/* As fast as it can, with nothing in between: whoever asks finds the child starting or about to. */
Test(supervisor, while_starts_fail_the_child_is_not_there_to_be_started_or_deleted, .timeout = 60)
{
    struct troupe_runtime *runtime = runtime_new(2);
    struct actor_card card = {.id = "one", .habits = HABIT_FAIL_AGAIN};
    struct troupe_child_spec child = spec_of(&card, TROUPE_PERMANENT);
    struct troupe_supervisor_spec spec = {
        .children = &child, .child_count = 1, .intensity = 100000000, .period_ms = 600000};
    troupe_pid supervisor = start(runtime, &spec);
    unsigned before;

    puppet_tell(runtime, card.pid, end_with_error, NULL, NULL);
    while (card.starts < 2) {
    }
    for (unsigned i = 0; i < 200; i++) {
        enum troupe_child_state state = which(runtime, supervisor, "one").state;

        cr_assert(state == TROUPE_CHILD_STARTING || state == TROUPE_CHILD_RESTARTING);
        cr_assert_eq(
            ask(runtime, supervisor, TROUPE_CHILD_START, NULL, &child).status, TROUPE_EEXIST);
        cr_assert_eq(status_of(runtime, supervisor, TROUPE_CHILD_RESTART, "one"), TROUPE_EBUSY);
        cr_assert_eq(status_of(runtime, supervisor, TROUPE_CHILD_DELETE, "one"), TROUPE_EBUSY);
    }
    cr_assert_eq(status_of(runtime, supervisor, TROUPE_CHILD_TERMINATE, "one"), TROUPE_OK);
    before = card.starts;
    cr_assert_eq(status_of(runtime, supervisor, TROUPE_CHILD_DELETE, "one"), TROUPE_OK);
    cr_assert_eq(card.starts, before);
    cr_assert(runtime_ends_clean(runtime));
}

/* A group restart of all three: `a` takes its time to start again, so `b` and `c` are down and will come. */
static troupe_pid set_group(struct troupe_runtime *runtime, enum troupe_strategy strategy,
    struct actor_card cards[3], struct latch *gate)
{
    struct troupe_child_spec children[3];
    struct troupe_supervisor_spec spec = {
        .strategy = strategy, .children = children, .child_count = 3, .intensity = 10};
    troupe_pid supervisor;

    for (unsigned i = 0; i < 3; i++) {
        children[i] = spec_of(&cards[i], TROUPE_PERMANENT);
        children[i].start_timeout_ms = TROUPE_FOREVER;
    }
    cards[0].habits = HABIT_SLOW_INIT;
    cards[0].gate = gate;
    latch_hit(gate);
    supervisor = start(runtime, &spec);
    puppet_tell(runtime, cards[0].pid, end_with_error, NULL, NULL);
    while (cards[0].starts < 2) {
    }
    return supervisor;
}

Test(supervisor, one_that_waits_for_its_turn_in_a_group_is_restarting, .timeout = 60)
{
    struct troupe_runtime *runtime = runtime_new(4);
    struct latch gate = LATCH_INIT;
    struct actor_card cards[] = THREE_CARDS(NULL);
    troupe_pid supervisor = set_group(runtime, TROUPE_ONE_FOR_ALL, cards, &gate);
    struct troupe_child_spec again = spec_of(&cards[1], TROUPE_PERMANENT);
    struct troupe_child_answer answer = which(runtime, supervisor, "b");

    cr_assert_eq(answer.state, TROUPE_CHILD_RESTARTING);
    cr_assert_eq(answer.pid, TROUPE_NOBODY);
    answer = ask(runtime, supervisor, TROUPE_CHILD_START, NULL, &again);
    cr_assert_eq(answer.status, TROUPE_EEXIST);
    cr_assert_eq(answer.pid, TROUPE_NOBODY);
    cr_assert_eq(status_of(runtime, supervisor, TROUPE_CHILD_RESTART, "b"), TROUPE_EBUSY);
    cr_assert_eq(status_of(runtime, supervisor, TROUPE_CHILD_DELETE, "b"), TROUPE_EBUSY);
    /* Cancels. */
    cr_assert_eq(status_of(runtime, supervisor, TROUPE_CHILD_TERMINATE, "b"), TROUPE_OK);
    cr_assert_eq(which(runtime, supervisor, "b").state, TROUPE_CHILD_STOPPED);
    latch_hit(&gate);
    await_state(runtime, supervisor, "c", TROUPE_CHILD_RUNNING);
    cr_assert_eq(which(runtime, supervisor, "b").state, TROUPE_CHILD_STOPPED);
    cr_assert_eq(cards[1].starts, 1);
    cr_assert_eq(cards[2].starts, 2);
    cr_assert(runtime_ends_clean(runtime));
}

/* Adds `child` while another one of its group fails to start again and again: at once, if no attempt is under way just
 * then, else not before that one is up.  So it is withdrawn and added again until it runs. */
static void add_between_attempts(
    struct troupe_runtime *runtime, troupe_pid supervisor, const struct troupe_child_spec *child)
{
    struct troupe_child_answer answer;

    while (troupe_runtime_child(
               runtime, supervisor, TROUPE_CHILD_START, NULL, child, 500, &answer) != TROUPE_OK) {
        cr_assert_eq(status_of(runtime, supervisor, TROUPE_CHILD_TERMINATE, child->id), TROUPE_OK);
    }
}

/* A rest-for-one group of `count` out of three, of which `c` ends only when it is told to. */
static troupe_pid start_rest_for_one(struct troupe_runtime *runtime, struct actor_card cards[3],
    struct troupe_child_spec children[3], unsigned count)
{
    struct troupe_supervisor_spec spec = {.strategy = TROUPE_REST_FOR_ONE,
        .children = children,
        .child_count = count,
        .intensity = 1000000,
        .period_ms = 600000};

    for (unsigned i = 0; i < 3; i++) {
        children[i] = spec_of(&cards[i], TROUPE_PERMANENT);
    }
    children[2].shutdown_ms = TROUPE_FOREVER;
    cards[2].habits = HABIT_IGNORE_EXIT;
    return start(runtime, &spec);
}

/* Lets `c` stop, for which a restart of all three waits. */
static void let_c_stop(
    struct troupe_runtime *runtime, troupe_pid supervisor, struct actor_card cards[3])
{
    cards[2].habits = HABIT_NONE;
    puppet_tell(runtime, cards[2].pid, end_normally, NULL, NULL);
    await_state(runtime, supervisor, "c", TROUPE_CHILD_RUNNING);
    cr_assert_eq(which(runtime, supervisor, "a").state, TROUPE_CHILD_RUNNING);
    cr_assert_eq(which(runtime, supervisor, "b").state, TROUPE_CHILD_RUNNING);
}

/* `a` ends while the next attempt of `b` is due: it must not make the restart of three one of two. */
Test(supervisor, a_group_restart_outlasts_the_attempt_of_a_later_one, .timeout = 60)
{
    struct troupe_runtime *runtime = runtime_new(2);
    struct actor_card cards[] = THREE_CARDS(NULL);
    struct troupe_child_spec children[3];
    troupe_pid supervisor;
    uint64_t begin_ns;

    cards[1].habits = HABIT_FAIL_AGAIN;
    supervisor = start_rest_for_one(runtime, cards, children, 2);
    puppet_tell(runtime, cards[1].pid, end_with_error, NULL, NULL);
    while (cards[1].starts < 3) {
    }
    add_between_attempts(runtime, supervisor, &children[2]);
    puppet_tell(runtime, cards[0].pid, end_with_error, NULL, NULL);
    await_state(runtime, supervisor, "c", TROUPE_CHILD_STOPPING);
    /* An attempt is made every millisecond or two: there is time for one. */
    begin_ns = troupe_now_ns(runtime);
    while (troupe_now_ns(runtime) - begin_ns < 10000000U) {
        cr_assert_eq(which(runtime, supervisor, "c").state, TROUPE_CHILD_STOPPING);
    }
    cards[1].habits = HABIT_NONE;
    let_c_stop(runtime, supervisor, cards);
    cr_assert(runtime_ends_clean(runtime));
}

/* The same, where `b` was stopped and started again by request in the meantime, and then ends, or not. */
Test(supervisor, a_group_restart_outlasts_the_end_of_one_that_was_started_meanwhile, .timeout = 60)
{
    for (unsigned i = 0; i < 2; i++) {
        struct troupe_runtime *runtime = runtime_new(2);
        struct actor_card cards[] = THREE_CARDS(NULL);
        struct troupe_child_spec children[3];
        troupe_pid supervisor = start_rest_for_one(runtime, cards, children, 3);

        puppet_tell(runtime, cards[0].pid, end_with_error, NULL, NULL);
        await_state(runtime, supervisor, "c", TROUPE_CHILD_STOPPING);
        cr_assert_eq(status_of(runtime, supervisor, TROUPE_CHILD_TERMINATE, "b"), TROUPE_OK);
        cr_assert_eq(status_of(runtime, supervisor, TROUPE_CHILD_RESTART, "b"), TROUPE_OK);
        if (i == 1) {
            puppet_tell(runtime, cards[1].pid, end_with_error, NULL, NULL);
            await_state(runtime, supervisor, "b", TROUPE_CHILD_RESTARTING);
        }
        let_c_stop(runtime, supervisor, cards);
        cr_assert_eq(cards[1].starts, 3);
        cr_assert(runtime_ends_clean(runtime));
    }
}

/* And on the way up: `c` is started by request while `a` takes its time, and ends before `b` had its turn. */
Test(supervisor, a_group_restart_outlasts_the_end_of_one_that_was_started_before_its_turn,
    .timeout = 60)
{
    struct troupe_runtime *runtime = runtime_new(4);
    struct latch gate = LATCH_INIT;
    struct actor_card cards[] = THREE_CARDS(NULL);
    troupe_pid supervisor = set_group(runtime, TROUPE_REST_FOR_ONE, cards, &gate);

    cr_assert_eq(status_of(runtime, supervisor, TROUPE_CHILD_TERMINATE, "c"), TROUPE_OK);
    cr_assert_eq(status_of(runtime, supervisor, TROUPE_CHILD_RESTART, "c"), TROUPE_OK);
    puppet_tell(runtime, cards[2].pid, end_with_error, NULL, NULL);
    await_state(runtime, supervisor, "c", TROUPE_CHILD_RESTARTING);
    latch_hit(&gate);
    await_state(runtime, supervisor, "c", TROUPE_CHILD_RUNNING);
    cr_assert_eq(which(runtime, supervisor, "b").state, TROUPE_CHILD_RUNNING);
    cr_assert_eq(cards[1].starts, 2);
    cr_assert_eq(cards[2].starts, 3);
    cr_assert(runtime_ends_clean(runtime));
}

Test(supervisor, a_child_added_while_a_group_restarts_has_its_turn_after_it, .timeout = 60)
{
    struct troupe_runtime *runtime = runtime_new(4);
    struct latch gate = LATCH_INIT;
    struct journal journal = JOURNAL_INIT;
    struct actor_card cards[] = THREE_CARDS(&journal);
    struct actor_card last = {.id = "d", .journal = &journal};
    troupe_pid supervisor = set_group(runtime, TROUPE_ONE_FOR_ALL, cards, &gate);
    struct troupe_child_spec child = spec_of(&last, TROUPE_PERMANENT);
    struct troupe_child_answer answer;

    cr_assert_eq(
        troupe_runtime_child(runtime, supervisor, TROUPE_CHILD_START, NULL, &child, 0, &answer),
        TROUPE_ETIMEDOUT);
    await_state(runtime, supervisor, "d", TROUPE_CHILD_RESTARTING);
    latch_hit(&gate);
    await_state(runtime, supervisor, "d", TROUPE_CHILD_RUNNING);
    cr_assert(runtime_ends_clean(runtime));
    cr_assert_str_eq(journal.text, "+a +b +c -a -c -b +a +b +c +d -d -c -b -a");
}

Test(supervisor, a_child_added_later_is_the_last_to_start_and_the_first_to_stop, .timeout = 60)
{
    struct troupe_runtime *runtime = runtime_new(2);
    struct journal journal = JOURNAL_INIT;
    struct latch started = LATCH_INIT;
    struct actor_card cards[] = THREE_CARDS(&journal);
    struct troupe_child_spec children[3];
    struct troupe_supervisor_spec spec = {
        .strategy = TROUPE_ONE_FOR_ALL, .children = children, .child_count = 2};
    troupe_pid supervisor;

    for (unsigned i = 0; i < 3; i++) {
        cards[i].started = &started;
        children[i] = spec_of(&cards[i], TROUPE_PERMANENT);
    }
    supervisor = start(runtime, &spec);
    cr_assert_eq(
        ask(runtime, supervisor, TROUPE_CHILD_START, NULL, &children[2]).status, TROUPE_OK);
    puppet_tell(runtime, cards[0].pid, end_with_error, NULL, NULL);
    cr_assert(latch_wait(&started, 6));
    await_state(runtime, supervisor, "c", TROUPE_CHILD_RUNNING);
    cr_assert(runtime_ends_clean(runtime));
    cr_assert_str_eq(journal.text, "+a +b +c -a -c -b +a +b +c -c -b -a");
}

/* It cannot be killed before its init is over, and then it is too late for it. */
Test(supervisor, a_start_asked_for_that_takes_too_long_is_killed_and_fails, .timeout = 60)
{
    struct stage stage;
    struct latch gate = LATCH_INIT;
    struct actor_card card = {.id = "slow", .habits = HABIT_SLOW_INIT, .gate = &gate};
    struct troupe_child_spec child = spec_of(&card, TROUPE_PERMANENT);
    struct troupe_supervisor_spec spec = strict_spec(NULL, 0);
    struct troupe_child_answer answer;
    troupe_pid supervisor;

    child.start_timeout_ms = TROUPE_NOW;
    stage_open(&stage, 2);
    supervisor = start(stage.runtime, &spec);
    cr_assert_eq(troupe_runtime_child(
                     stage.runtime, supervisor, TROUPE_CHILD_START, NULL, &child, 0, &answer),
        TROUPE_ETIMEDOUT);
    STAGE_AWAIT(&stage, stage_reports(&stage, TROUPE_REPORT_UNSTOPPED) == 1);
    cr_assert_eq(which(stage.runtime, supervisor, "slow").state, TROUPE_CHILD_STOPPING);
    latch_hit(&gate);
    while (which(stage.runtime, supervisor, "slow").status != TROUPE_ENOENT) {
    }
    cr_assert_eq(card.starts, 1);
    cr_assert_eq(card.alive, 0);
    stage_close(&stage);
}

/* What is asked of it meanwhile is answered; nothing is begun any more. */
Test(supervisor, while_it_ends_it_only_answers_questions, .timeout = 60)
{
    struct troupe_runtime *runtime = runtime_new(2);
    struct actor_card cards[] = {{.id = "deaf", .habits = HABIT_IGNORE_EXIT}, {.id = "b"}};
    struct troupe_child_spec children[] = {
        spec_of(&cards[0], TROUPE_PERMANENT), spec_of(&cards[1], TROUPE_PERMANENT)};
    struct troupe_supervisor_spec spec = strict_spec(children, 1);
    troupe_pid supervisor;

    children[0].shutdown_ms = TROUPE_FOREVER;
    supervisor = start(runtime, &spec);
    cr_assert_eq(troupe_runtime_exit(runtime, supervisor, TROUPE_EXIT_SHUTDOWN), TROUPE_OK);
    cr_assert_eq(which(runtime, supervisor, "deaf").state, TROUPE_CHILD_STOPPING);
    cr_assert_eq(
        ask(runtime, supervisor, TROUPE_CHILD_START, NULL, &children[1]).status, TROUPE_ESTOPPED);
    cr_assert_eq(status_of(runtime, supervisor, TROUPE_CHILD_TERMINATE, "deaf"), TROUPE_ESTOPPED);
    cr_assert_eq(status_of(runtime, supervisor, TROUPE_CHILD_RESTART, "deaf"), TROUPE_ESTOPPED);
    cr_assert_eq(status_of(runtime, supervisor, TROUPE_CHILD_DELETE, "deaf"), TROUPE_ESTOPPED);
    puppet_tell(runtime, cards[0].pid, end_normally, NULL, NULL);
    (void)join_kind(runtime, supervisor);
    cr_assert_eq(cards[1].starts, 0);
    cr_assert(runtime_ends_clean(runtime));
}

struct asking {
    struct latch done;
    troupe_pid supervisor;
    int status;
};

static int on_asked(
    struct troupe_actor *self, void *state, void *context, int status, struct troupe_message *reply)
{
    struct asking *asking = context;

    (void)self;
    (void)state;
    (void)reply;
    asking->status = status;
    latch_hit(&asking->done);
    return TROUPE_OK;
}

static int ask_to_terminate(struct troupe_actor *self, void *arg)
{
    struct asking *asking = arg;

    return troupe_child(self, asking->supervisor, TROUPE_CHILD_TERMINATE, "deaf", NULL,
        TROUPE_FOREVER, on_asked, asking);
}

Test(supervisor, who_waits_for_a_supervisor_that_dies_is_told_and_a_dead_one_is_gone, .timeout = 60)
{
    struct troupe_runtime *runtime = runtime_new(2);
    struct actor_card card = {.id = "deaf", .habits = HABIT_IGNORE_EXIT};
    struct troupe_child_spec child = spec_of(&card, TROUPE_PERMANENT);
    struct troupe_supervisor_spec spec = strict_spec(&child, 1);
    struct asking asking = {.done = LATCH_INIT};
    struct troupe_child_answer answer;

    child.shutdown_ms = TROUPE_FOREVER;
    asking.supervisor = start(runtime, &spec);
    puppet_do(runtime, puppet_spawn(runtime, &puppet_plain, NULL), ask_to_terminate, &asking);
    await_state(runtime, asking.supervisor, "deaf", TROUPE_CHILD_STOPPING);
    cr_assert_eq(troupe_runtime_exit(runtime, asking.supervisor, TROUPE_EXIT_KILL), TROUPE_OK);
    cr_assert(latch_wait(&asking.done, 1));
    cr_assert_eq(asking.status, TROUPE_EDIED);
    for (int op = TROUPE_CHILD_START; op <= TROUPE_CHILD_WHICH; op++) {
        cr_assert_eq(troupe_runtime_child(runtime, asking.supervisor, (enum troupe_child_op)op,
                         "deaf", op == TROUPE_CHILD_START ? &child : NULL, 60000, &answer),
            TROUPE_EGONE);
    }
    /* Its supervisor is no more, and it ignores what it is told. */
    puppet_tell(runtime, card.pid, end_normally, NULL, NULL);
    cr_assert(runtime_ends_clean(runtime));
}

struct counting {
    struct latch done;
    troupe_pid supervisor;
    int status;
    uint32_t specs, active, supervisors, workers, row_count;
    uint64_t restart_count;
    struct troupe_child_info rows[8];
};

static int on_children(
    struct troupe_actor *self, void *state, void *context, int status, struct troupe_message *reply)
{
    struct counting *counting = context;

    (void)self;
    (void)state;
    counting->status = status;
    if (status == TROUPE_OK) {
        const struct troupe_children *list = troupe_body(reply);

        cr_assert(troupe_is(reply, &troupe_children_answer));
        counting->specs = list->specs;
        counting->active = list->active;
        counting->supervisors = list->supervisors;
        counting->workers = list->workers;
        counting->row_count = list->row_count;
        counting->restart_count = list->restart_count;
        memcpy(counting->rows, list->rows, list->row_count * sizeof list->rows[0]);
    }
    latch_hit(&counting->done);
    return TROUPE_OK;
}

static int ask_children(struct troupe_actor *self, void *arg)
{
    struct counting *counting = arg;

    return troupe_children(self, counting->supervisor, 1, 8, TROUPE_FOREVER, on_children, counting);
}

Test(supervisor, children_are_listed_in_start_order_and_counted, .timeout = 60)
{
    static struct stage_set set;
    struct counting counting = {.done = LATCH_INIT};
    struct troupe_supervisor_spec low = {0};
    struct troupe_child_spec child = {.id = "low", .tree = &low};

    set_stage(&set);
    cr_assert_eq(
        ask(set.runtime, set.supervisor, TROUPE_CHILD_START, NULL, &child).status, TROUPE_OK);
    counting.supervisor = set.supervisor;
    puppet_tell(
        set.runtime, puppet_spawn(set.runtime, &puppet_plain, NULL), ask_children, &counting, NULL);
    cr_assert(latch_wait(&counting.done, 1));
    cr_assert_eq(counting.status, TROUPE_OK);
    cr_assert_eq(counting.specs, 4);
    cr_assert_eq(counting.active, 3);
    cr_assert_eq(counting.supervisors, 1);
    cr_assert_eq(counting.workers, 3);
    cr_assert_eq(counting.restart_count, 1);
    cr_assert_eq(counting.row_count, 3);
    cr_assert_str_eq(counting.rows[0].id, "stopped");
    cr_assert_str_eq(counting.rows[1].id, "slow");
    cr_assert_eq(counting.rows[1].restart_count, 1);
    cr_assert_str_eq(counting.rows[2].id, "low");
    cr_assert(counting.rows[2].is_supervisor);
    clear_stage(&set);
}

/* ---- the parent's end, from any state ---- */

Test(supervisor, it_obeys_its_stop_while_a_child_starts_slowly, .timeout = 60)
{
    struct troupe_runtime *runtime = runtime_new(4);
    struct journal journal = JOURNAL_INIT;
    struct latch gate = LATCH_INIT;
    struct latch entered = LATCH_INIT;
    struct actor_card cards[] = THREE_CARDS(&journal);
    struct troupe_child_spec children[] = {spec_of(&cards[0], TROUPE_PERMANENT),
        spec_of(&cards[1], TROUPE_PERMANENT), spec_of(&cards[2], TROUPE_PERMANENT)};
    struct troupe_supervisor_spec spec = {.children = children, .child_count = 3};
    troupe_pid pid;

    cards[1].habits = HABIT_SLOW_INIT;
    cards[1].gate = &gate;
    cards[1].entered = &entered;
    /* Gives up at once, and tells it to stop. */
    cr_assert_eq(troupe_supervisor_start(runtime, &spec, 0, &pid), TROUPE_ETIMEDOUT);
    if (latch_wait(&entered, 0)) {
        latch_hit(&gate);
    }
    cr_assert(runtime_ends_clean(runtime));
    cr_assert_eq(cards[2].starts, 0);
    cr_assert_eq(cards[0].alive + cards[1].alive, 0);
}

/* 7.6: there is nothing to stop of one that is about to be started again. */
Test(supervisor, it_obeys_its_stop_while_starts_fail, .timeout = 60)
{
    struct troupe_runtime *runtime = runtime_new(2);
    struct journal journal = JOURNAL_INIT;
    struct actor_card cards[] = THREE_CARDS(NULL);
    struct troupe_child_spec children[3];
    struct troupe_supervisor_spec spec = {
        .children = children, .child_count = 3, .intensity = 100000000, .period_ms = 600000};
    struct puppet_notes notes = PUPPET_NOTES_INIT;
    troupe_pid supervisor;

    cards[0].journal = &journal;
    cards[1].habits = HABIT_FAIL_AGAIN;
    cards[2].journal = &journal;
    for (unsigned i = 0; i < 3; i++) {
        children[i] = spec_of(&cards[i], TROUPE_PERMANENT);
    }
    supervisor = start(runtime, &spec);
    puppet_watch(runtime, supervisor, &notes);
    puppet_tell(runtime, cards[1].pid, end_with_error, NULL, NULL);
    while (cards[1].starts < 5) {
    }
    cr_assert_eq(troupe_runtime_exit(runtime, supervisor, TROUPE_EXIT_SHUTDOWN), TROUPE_OK);
    cr_assert_eq(puppet_down_kind(&notes), TROUPE_EXIT_SHUTDOWN);
    cr_assert_str_eq(journal.text, "+a +c -c -a");
    cr_assert_eq(cards[1].alive, 0);
    cr_assert(runtime_ends_clean(runtime));
}

/* ---- a new life ---- */

static int fail_when_told(struct troupe_actor *self, void *arg)
{
    struct latch *gate = arg;

    cr_assert(latch_wait(gate, 1));
    return troupe_fail(self, TROUPE_EPROTO, "as told");
}

static void send_number(struct troupe_runtime *runtime, troupe_pid pid)
{
    struct troupe_message *msg;

    cr_assert_eq(troupe_message_create(runtime, &puppet_number, 0, &msg), TROUPE_OK);
    *(uint64_t *)troupe_body(msg) = 1;
    cr_assert_eq(troupe_try_send(runtime, pid, msg), TROUPE_OK);
}

Test(supervisor, a_restarted_child_has_a_new_pid_and_an_empty_mailbox, .timeout = 60)
{
    struct troupe_runtime *runtime = runtime_new(2);
    struct latch started = LATCH_INIT;
    struct latch gate = LATCH_INIT;
    struct latch reached = LATCH_INIT;
    struct actor_card card = {.id = "one", .started = &started};
    struct troupe_child_spec child = spec_of(&card, TROUPE_PERMANENT);
    struct troupe_supervisor_spec spec = {.name = "top", .children = &child, .child_count = 1};
    struct puppet_notes notes = PUPPET_NOTES_INIT;
    troupe_pid supervisor;
    troupe_pid first;
    troupe_pid second;

    child.behaviour = &roomy_child;
    supervisor = start(runtime, &spec);
    first = card.pid;
    puppet_tell(runtime, first, fail_when_told, &gate, NULL);
    for (unsigned i = 0; i < 10; i++) {
        send_number(runtime, first);
    }
    latch_hit(&gate);
    cr_assert(latch_wait(&started, 2));
    await_state(runtime, supervisor, "one", TROUPE_CHILD_RUNNING);
    second = which(runtime, supervisor, "one").pid;
    cr_assert_neq(second, first);
    cr_assert_eq(troupe_runtime_whereis(runtime, "top.one"), second);
    cr_assert_not(troupe_is_alive(runtime, first));
    send_number(runtime, second);
    puppet_watch(runtime, second, &notes);
    puppet_tell(runtime, second, end_normally, NULL, &reached);
    (void)puppet_down_kind(&notes);
    cr_assert_eq(card.handled, 1);
    cr_assert(runtime_ends_clean(runtime));
}

struct given {
    struct latch *started;
    char text[32];
};

static int given_init(struct troupe_actor *self, void *state, const void *arg)
{
    const struct given *given = arg;

    (void)self;
    (void)state;
    cr_assert_str_eq(given->text, "as it was");
    latch_hit(given->started);
    return TROUPE_OK;
}

static const struct troupe_behaviour given_behaviour = {.name = "given",
    .state_size = sizeof(struct puppet),
    .init = given_init,
    .receive = puppet_receive};

Test(supervisor, each_life_begins_with_the_argument_as_it_was_copied, .timeout = 60)
{
    for (unsigned kept = 0; kept < 2; kept++) {
        struct troupe_runtime *runtime = runtime_new(2);
        struct latch started = LATCH_INIT;
        struct given given = {&started, "as it was"};
        struct troupe_child_spec child = {.id = "one",
            .behaviour = &given_behaviour,
            .arg = &given,
            .arg_size = sizeof given,
            .keep_mailbox = kept == 1};
        struct troupe_supervisor_spec spec = {.children = &child, .child_count = 1};
        troupe_pid supervisor = start(runtime, &spec);

        snprintf(given.text, sizeof given.text, "otherwise");
        puppet_tell(runtime, which(runtime, supervisor, "one").pid, end_with_error, NULL, NULL);
        cr_assert(latch_wait(&started, 2));
        cr_assert(runtime_ends_clean(runtime));
    }
}

/* ---- stable addresses ---- */

Test(supervisor, a_kept_mailbox_keeps_pid_name_and_messages_over_a_restart, .timeout = 60)
{
    struct troupe_runtime *runtime = runtime_new(2);
    struct latch started = LATCH_INIT;
    struct latch gate = LATCH_INIT;
    struct actor_card card = {.id = "one", .started = &started};
    struct troupe_child_spec child = spec_of(&card, TROUPE_PERMANENT);
    struct troupe_supervisor_spec spec = {.name = "top", .children = &child, .child_count = 1};
    struct puppet_notes notes = PUPPET_NOTES_INIT;
    struct puppet_notes later = PUPPET_NOTES_INIT;
    troupe_pid supervisor;
    troupe_pid pid;
    struct latch reached = LATCH_INIT;

    child.behaviour = &roomy_child;
    child.keep_mailbox = true;
    supervisor = start(runtime, &spec);
    pid = card.pid;
    puppet_watch(runtime, pid, &notes);
    puppet_tell(runtime, pid, fail_when_told, &gate, NULL);
    for (unsigned i = 0; i < 10; i++) {
        send_number(runtime, pid);
    }
    latch_hit(&gate);
    cr_assert(latch_wait(&started, 2));
    cr_assert_eq(card.pid, pid);
    cr_assert_eq(troupe_runtime_whereis(runtime, "top.one"), pid);
    cr_assert_eq(puppet_down_kind(&notes), TROUPE_EXIT_ERROR);
    await_state(runtime, supervisor, "one", TROUPE_CHILD_RUNNING);
    cr_assert_eq(which(runtime, supervisor, "one").pid, pid);
    /* Behind the ten. */
    puppet_watch(runtime, pid, &later);
    puppet_tell(runtime, pid, end_normally, NULL, &reached);
    cr_assert_eq(puppet_down_kind(&later), TROUPE_EXIT_NORMAL);
    cr_assert_eq(card.handled, 10);
    cr_assert_not(card.twins);
    cr_assert(runtime_ends_clean(runtime));
}

Test(supervisor, a_kept_mailbox_goes_when_its_child_is_not_to_live_again, .timeout = 60)
{
    struct troupe_runtime *runtime = runtime_new(2);
    struct actor_card cards[] = THREE_CARDS(NULL);
    struct troupe_child_spec children[] = {spec_of(&cards[0], TROUPE_TRANSIENT),
        spec_of(&cards[1], TROUPE_PERMANENT), spec_of(&cards[2], TROUPE_TEMPORARY)};
    struct troupe_supervisor_spec spec = {.children = children, .child_count = 3};
    troupe_pid supervisor;
    troupe_pid pids[3];

    for (unsigned i = 0; i < 3; i++) {
        children[i].keep_mailbox = true;
    }
    supervisor = start(runtime, &spec);
    for (unsigned i = 0; i < 3; i++) {
        pids[i] = cards[i].pid;
    }
    puppet_tell(runtime, pids[0], end_normally, NULL, NULL);
    await_state(runtime, supervisor, "a", TROUPE_CHILD_STOPPED);
    cr_assert_eq(status_of(runtime, supervisor, TROUPE_CHILD_TERMINATE, "b"), TROUPE_OK);
    cr_assert_eq(status_of(runtime, supervisor, TROUPE_CHILD_TERMINATE, "c"), TROUPE_OK);
    for (unsigned i = 0; i < 3; i++) {
        cr_assert_not(troupe_is_alive(runtime, pids[i]));
    }
    cr_assert_eq(status_of(runtime, supervisor, TROUPE_CHILD_RESTART, "b"), TROUPE_OK);
    cr_assert_neq(cards[1].pid, pids[1]);
    cr_assert(runtime_ends_clean(runtime));
}

Test(supervisor, many_restarts_in_place_never_overlap, .timeout = 240)
{
    struct troupe_runtime *runtime = runtime_new(2);
    struct latch started = LATCH_INIT;
    struct actor_card card = {.id = "one", .started = &started};
    struct troupe_child_spec child = spec_of(&card, TROUPE_PERMANENT);
    struct troupe_supervisor_spec spec = {
        .name = "top", .children = &child, .child_count = 1, .intensity = 1000000};
    troupe_pid pid;

    for (unsigned kept = 0; kept < 2; kept++) {
        troupe_pid supervisor;

        child.keep_mailbox = kept == 1;
        started.count = 0;
        card.starts = 0;
        supervisor = start(runtime, &spec);
        for (unsigned i = 1; i <= 5000; i++) {
            cr_assert(latch_wait(&started, i));
            pid = card.pid;
            cr_assert_eq(troupe_runtime_exit(runtime, pid, TROUPE_EXIT_KILL), TROUPE_OK);
        }
        cr_assert(latch_wait(&started, 5001));
        cr_assert_not(card.twins);
        cr_assert_eq(troupe_runtime_exit(runtime, supervisor, TROUPE_EXIT_SHUTDOWN), TROUPE_OK);
        (void)join_kind(runtime, supervisor);
        while (troupe_runtime_whereis(runtime, "top") != TROUPE_NOBODY) {
        }
    }
    cr_assert(runtime_ends_clean(runtime));
}

/* ---- many ---- */

/* Of processors: what else the machine does is not counted. */
static double seconds_of(unsigned count)
{
    struct troupe_runtime *runtime = runtime_new(2);
    struct troupe_child_spec *children = calloc(count, sizeof *children);
    char(*ids)[24] = calloc(count, sizeof *ids);
    struct troupe_supervisor_spec spec = {.children = children, .child_count = count};
    struct timespec begin;
    struct timespec end;

    for (unsigned i = 0; i < count; i++) {
        snprintf(ids[i], sizeof ids[i], "child %u", i);
        children[i] = (struct troupe_child_spec){
            .id = ids[i], .behaviour = &puppet_plain, .restart = TROUPE_TRANSIENT};
    }
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &begin);
    (void)start(runtime, &spec);
    cr_assert(runtime_ends_clean(runtime));
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &end);
    free(children);
    free(ids);
    return (double)(end.tv_sec - begin.tv_sec) + (double)(end.tv_nsec - begin.tv_nsec) / 1e9;
}

/* The thread sanitizer is too slow for so many. */
#ifdef TRP_TSAN
#define MANY 10000
#else
#define MANY 100000
#endif

Test(supervisor, a_hundred_thousand_children_start_and_stop_in_linear_time, .timeout = 240)
{
    double small = seconds_of(MANY / 10);
    double large = seconds_of(MANY);

    fprintf(stderr, "supervisor: %d children %.3f s, %d children %.3f s\n", MANY / 10, small, MANY,
        large);
    /* Ten times as many: ten times as long, and some for caches.  Were each to look at all, a hundred times. */
    cr_assert_lt(large, small * 10 * 4 + 1);
}

/* ---- a whole program ---- */

static int raise_sigterm(struct troupe_actor *self, void *state, const void *arg)
{
    (void)self;
    (void)state;
    (void)arg;
    kill(getpid(), SIGTERM);
    return TROUPE_OK;
}

static const struct troupe_behaviour stopper = {
    .name = "stopper", .init = raise_sigterm, .receive = puppet_receive, .state_size = 8};

Test(supervisor, run_stops_in_order_on_a_signal, .timeout = 60)
{
    struct journal journal = JOURNAL_INIT;
    struct actor_card cards[] = THREE_CARDS(&journal);
    struct troupe_child_spec children[] = {spec_of(&cards[0], TROUPE_PERMANENT),
        spec_of(&cards[1], TROUPE_PERMANENT), {.id = "stopper", .behaviour = &stopper}};
    struct troupe_supervisor_spec spec = {.name = "top", .children = children, .child_count = 3};
    struct troupe_runtime_options options = {.workers = 2};

    cr_assert_eq(troupe_run(&options, &spec), TROUPE_OK);
    cr_assert_str_eq(journal.text, "+a +b -b -a");
}

static void raise_again(void *state)
{
    (void)state;
    kill(getpid(), SIGTERM);
}

static const struct troupe_behaviour insistent = {.name = "insistent",
    .init = raise_sigterm,
    .destroy = raise_again,
    .receive = puppet_receive,
    .state_size = 8};

/* What went wrong: who asked twice was killed at the end, before main() went on. */
Test(supervisor, run_takes_signals_that_come_while_it_stops, .timeout = 60)
{
    struct troupe_child_spec child = {.id = "insistent", .behaviour = &insistent};
    struct troupe_supervisor_spec spec = {.name = "top", .children = &child, .child_count = 1};
    struct troupe_runtime_options options = {.workers = 2};

    cr_assert_eq(troupe_run(&options, &spec), TROUPE_OK);
}

Test(supervisor, run_returns_the_code_of_a_start_that_failed, .timeout = 60)
{
    struct actor_card card = {.id = "one", .habits = HABIT_FAIL_INIT};
    struct troupe_child_spec child = spec_of(&card, TROUPE_PERMANENT);
    struct troupe_supervisor_spec spec = {.children = &child, .child_count = 1};
    struct troupe_runtime_options options = {.workers = 2};

    cr_assert_eq(troupe_run(&options, &spec), TROUPE_EPROTO);
    cr_assert_eq(troupe_run(&options, NULL), TROUPE_EINVAL);
}

static int done_at_once(struct troupe_actor *self, void *state, const void *arg)
{
    (void)self;
    (void)state;
    (void)arg;
    return troupe_fail(self, TROUPE_EPROTO, "first and last");
}

static int count_then_fail(struct troupe_actor *self, void *state, const void *arg)
{
    static _Atomic unsigned starts;

    return ++starts == 1 ? TROUPE_DONE : done_at_once(self, state, arg);
}

static const struct troupe_behaviour brief = {
    .name = "brief", .init = count_then_fail, .receive = puppet_receive, .state_size = 8};

Test(supervisor, run_says_that_its_tree_gave_up, .timeout = 60)
{
    struct troupe_child_spec child = {.id = "brief", .behaviour = &brief};
    struct troupe_supervisor_spec spec = {
        .children = &child, .child_count = 1, .intensity = TROUPE_NO_RESTARTS};

    /* Its reason is shutdown, which is clean, but nobody had asked for it. */
    cr_assert_eq(troupe_run(NULL, &spec), TROUPE_EDIED);
}

Test(supervisor, run_is_content_with_a_tree_whose_work_is_done, .timeout = 60)
{
    struct troupe_child_spec child = {
        .id = "brief", .behaviour = &brief, .restart = TROUPE_TEMPORARY, .significant = true};
    struct troupe_supervisor_spec spec = {
        .children = &child, .child_count = 1, .auto_shutdown = TROUPE_SHUTDOWN_ANY_SIGNIFICANT};

    cr_assert_eq(troupe_run(NULL, &spec), TROUPE_OK);
}
