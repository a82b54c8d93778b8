/* SPDX-License-Identifier: MIT */
/* Ignore: an init that says "not needed" is no failure (semantics 5.1, 7.3). */
#include <troupe.h>

#include <criterion/criterion.h>

#include "test/support/family.h"

/* A supervisor that would end at the first thing that is charged. */
static struct troupe_supervisor_spec strict(
    const struct troupe_child_spec *children, size_t child_count)
{
    return (struct troupe_supervisor_spec){
        .children = children, .child_count = child_count, .intensity = TROUPE_NO_RESTARTS};
}

Test(ignore, those_after_it_start_and_its_spec_is_kept_unless_it_is_temporary, .timeout = 60)
{
    struct troupe_runtime *runtime = runtime_new(2);
    struct journal journal = JOURNAL_INIT;
    struct actor_card cards[] = THREE_CARDS(&journal);
    struct troupe_child_spec children[] = {spec_of(&cards[0], TROUPE_PERMANENT),
        spec_of(&cards[1], TROUPE_TEMPORARY), spec_of(&cards[2], TROUPE_PERMANENT)};
    struct troupe_supervisor_spec spec = strict(children, 3);
    troupe_pid supervisor;

    cards[0].habits = HABIT_NOT_NEEDED;
    cards[1].habits = HABIT_NOT_NEEDED;
    supervisor = start(runtime, &spec);
    cr_assert_eq(which(runtime, supervisor, "a").state, TROUPE_CHILD_STOPPED);
    cr_assert_eq(which(runtime, supervisor, "a").pid, TROUPE_NOBODY);
    cr_assert_eq(which(runtime, supervisor, "b").status, TROUPE_ENOENT);
    cr_assert_eq(which(runtime, supervisor, "c").state, TROUPE_CHILD_RUNNING);
    /* Its state was destroyed like that of any other. */
    cr_assert_str_eq(journal.text, "-a -b +c");
    cr_assert(runtime_ends_clean(runtime));
}

Test(ignore, a_start_asked_for_is_answered_without_a_pid, .timeout = 60)
{
    struct troupe_runtime *runtime = runtime_new(2);
    struct actor_card cards[] = THREE_CARDS(NULL);
    struct troupe_child_spec kept = spec_of(&cards[0], TROUPE_PERMANENT);
    struct troupe_child_spec brief = spec_of(&cards[1], TROUPE_TEMPORARY);
    struct troupe_supervisor_spec spec = strict(NULL, 0);
    troupe_pid supervisor = start(runtime, &spec);
    struct troupe_child_answer answer;

    cards[0].habits = HABIT_NOT_NEEDED;
    cards[1].habits = HABIT_NOT_NEEDED;
    answer = ask(runtime, supervisor, TROUPE_CHILD_START, NULL, &kept);
    cr_assert_eq(answer.status, TROUPE_OK);
    cr_assert_eq(answer.pid, TROUPE_NOBODY);
    cr_assert_eq(answer.state, TROUPE_CHILD_STOPPED);
    cr_assert_eq(ask(runtime, supervisor, TROUPE_CHILD_START, NULL, &brief).status, TROUPE_OK);
    cr_assert_eq(which(runtime, supervisor, "b").status, TROUPE_ENOENT);
    /* The spec is there: it may be started again, also in vain, and at last it runs. */
    cr_assert_eq(ask(runtime, supervisor, TROUPE_CHILD_START, NULL, &kept).status, TROUPE_EEXIST);
    answer = ask(runtime, supervisor, TROUPE_CHILD_RESTART, "a", NULL);
    cr_assert_eq(answer.status, TROUPE_OK);
    cr_assert_eq(answer.pid, TROUPE_NOBODY);
    cards[0].habits = HABIT_NONE;
    answer = ask(runtime, supervisor, TROUPE_CHILD_RESTART, "a", NULL);
    cr_assert_eq(answer.status, TROUPE_OK);
    cr_assert_eq(answer.pid, cards[0].pid);
    cr_assert(runtime_ends_clean(runtime));
}

/* Also one that keeps its address: its name is free after that. */
Test(ignore, a_restart_that_is_not_needed_lets_it_rest, .timeout = 60)
{
    for (int keeps = 0; keeps < 2; keeps++) {
        struct troupe_runtime *runtime = runtime_new(2);
        struct actor_card card = {.id = "one"};
        struct troupe_child_spec child = spec_of(&card, TROUPE_PERMANENT);
        struct troupe_supervisor_spec spec = {.name = "top", .children = &child, .child_count = 1};
        troupe_pid supervisor;

        child.keep_mailbox = keeps == 1;
        supervisor = start(runtime, &spec);
        card.habits = HABIT_NOT_NEEDED;
        puppet_tell(runtime, card.pid, end_with_error, NULL, NULL);
        await_state(runtime, supervisor, "one", TROUPE_CHILD_STOPPED);
        cr_assert_eq(card.starts, 2);
        cr_assert_eq(troupe_runtime_whereis(runtime, "top.one"), TROUPE_NOBODY);
        card.habits = HABIT_NONE;
        cr_assert_eq(status_of(runtime, supervisor, TROUPE_CHILD_RESTART, "one"), TROUPE_OK);
        cr_assert_eq(troupe_runtime_whereis(runtime, "top.one"), card.pid);
        cr_assert(runtime_ends_clean(runtime));
    }
}

Test(ignore, a_group_restart_goes_on_past_it, .timeout = 60)
{
    struct troupe_runtime *runtime = runtime_new(2);
    struct latch started = LATCH_INIT;
    struct actor_card cards[] = THREE_CARDS(NULL);
    struct troupe_child_spec children[] = {spec_of(&cards[0], TROUPE_PERMANENT),
        spec_of(&cards[1], TROUPE_PERMANENT), spec_of(&cards[2], TROUPE_PERMANENT)};
    struct troupe_supervisor_spec spec = {
        .strategy = TROUPE_ONE_FOR_ALL, .children = children, .child_count = 3};
    troupe_pid supervisor;

    cards[2].started = &started;
    supervisor = start(runtime, &spec);
    cards[1].habits = HABIT_NOT_NEEDED;
    puppet_tell(runtime, cards[0].pid, end_with_error, NULL, NULL);
    cr_assert(latch_wait(&started, 2));
    cr_assert_eq(which(runtime, supervisor, "b").state, TROUPE_CHILD_STOPPED);
    cr_assert_eq(which(runtime, supervisor, "a").state, TROUPE_CHILD_RUNNING);
    cr_assert(runtime_ends_clean(runtime));
}

static int ignore_init(struct troupe_actor *self, void *state, const void *arg)
{
    (void)self;
    (void)state;
    (void)arg;
    return TROUPE_IGNORE;
}

static void no_farewell(struct troupe_actor *self, void *state, const struct troupe_reason *reason)
{
    (void)self;
    (void)state;
    (void)reason;
    cr_assert_fail("it never ran");
}

static const struct troupe_behaviour ignoring = {
    .name = "ignoring", .init = ignore_init, .receive = puppet_receive, .terminate = no_farewell};

static int spawn_ignoring(struct troupe_actor *self, void *arg)
{
    troupe_ref ref;
    troupe_pid pid;

    (void)arg;
    return troupe_spawn(
        self, (&(struct troupe_spawn_options){.behaviour = &ignoring, .monitor = &ref}), &pid);
}

Test(ignore, whoever_watches_learns_that_it_was_not_needed, .timeout = 60)
{
    struct troupe_runtime *runtime = runtime_new(2);
    struct puppet_notes notes = PUPPET_NOTES_INIT;

    puppet_do(runtime, puppet_spawn(runtime, &puppet_plain, &notes), spawn_ignoring, NULL);
    cr_assert_eq(puppet_down_kind(&notes), TROUPE_EXIT_NORMAL);
    cr_assert_eq(notes.down[0].reason.code, TROUPE_IGNORE);
    cr_assert(runtime_ends_clean(runtime));
}
