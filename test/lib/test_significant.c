/* SPDX-License-Identifier: MIT */
/* Significant: a supervisor ends when its work is done, and not before (semantics 7.8). */
#include "test/support/nursery.h"

/* ---- helpers ---- */

static struct troupe_child_spec significant(struct actor_card *card, enum troupe_restart restart)
{
    struct troupe_child_spec spec = spec_of(card, restart);

    spec.significant = true;
    return spec;
}

static struct troupe_supervisor_spec work_of(enum troupe_auto_shutdown auto_shutdown,
    const struct troupe_child_spec *children, size_t child_count)
{
    return (struct troupe_supervisor_spec){.auto_shutdown = auto_shutdown,
        .children = children,
        .child_count = child_count,
        .intensity = 1000000,
        .period_ms = 600000};
}

/* Ends the child of `card` and waits until its supervisor has made up its mind, or is gone. */
static void end_child(
    struct troupe_runtime *runtime, troupe_pid supervisor, struct actor_card *card, puppet_fn end)
{
    struct puppet_notes notes = PUPPET_NOTES_INIT;
    struct troupe_child_answer answer = {.status = 1};
    troupe_pid pid = card->pid;
    int error;

    puppet_watch(runtime, pid, &notes);
    puppet_tell(runtime, pid, end, NULL, NULL);
    (void)puppet_down_kind(&notes);
    do {
        answer.pid = TROUPE_NOBODY;
        error = troupe_runtime_child(
            runtime, supervisor, TROUPE_CHILD_WHICH, card->id, NULL, LATCH_LIMIT_S * 1000, &answer);
    } while (error == TROUPE_OK && answer.pid == pid);
}

static bool has_ended(struct troupe_runtime *runtime, troupe_pid supervisor)
{
    struct troupe_child_answer answer;
    int error = troupe_runtime_child(
        runtime, supervisor, TROUPE_CHILD_WHICH, "ordinary", NULL, LATCH_LIMIT_S * 1000, &answer);

    return error == TROUPE_EGONE || error == TROUPE_EDIED || error == TROUPE_ENOENT ||
           answer.state == TROUPE_CHILD_STOPPING || answer.state == TROUPE_CHILD_STOPPED;
}

/* Ends with shutdown, for which whoever is linked or watches it is told. */
static void await_end(struct puppet_notes *notes)
{
    cr_assert_eq(puppet_down_kind(notes), TROUPE_EXIT_SHUTDOWN);
}

/* ---- 7.8 as a table: who ends, how, and whether that ends the supervisor ---- */

static void one_case(struct troupe_runtime *runtime, enum troupe_auto_shutdown auto_shutdown,
    bool is_significant, enum troupe_restart type, unsigned end)
{
    struct latch started = LATCH_INIT;
    struct actor_card cards[] = {
        {.id = "ordinary"}, {.id = "worker", .started = &started}, {.id = "helper"}};
    struct troupe_child_spec children[] = {spec_of(&cards[0], TROUPE_PERMANENT),
        spec_of(&cards[1], type), spec_of(&cards[2], TROUPE_PERMANENT)};
    struct troupe_supervisor_spec spec = work_of(auto_shutdown, children, 3);
    struct puppet_notes notes = PUPPET_NOTES_INIT;
    bool again = type == TROUPE_TRANSIENT && !ends[end].clean;
    troupe_pid supervisor;

    children[1].significant = is_significant;
    supervisor = start(runtime, &spec);
    puppet_watch(runtime, supervisor, &notes);
    end_child(runtime, supervisor, &cards[1], ends[end].fn);
    if (is_significant && !again) {
        await_end(&notes);
        return;
    }
    if (again) {
        cr_assert(latch_wait(&started, 2));
    }
    cr_assert_not(has_ended(runtime, supervisor), "auto %d, type %d, end %u", (int)auto_shutdown,
        (int)type, end);
    cr_assert_eq(cards[0].starts, 1);
    cr_assert_eq(troupe_runtime_exit(runtime, supervisor, TROUPE_EXIT_SHUTDOWN), TROUPE_OK);
    await_end(&notes);
}

Test(significant, ends_its_supervisor_only_by_itself_for_good_and_where_that_is_wanted,
    .timeout = 120)
{
    static const enum troupe_restart types[] = {TROUPE_TRANSIENT, TROUPE_TEMPORARY};
    struct troupe_runtime *runtime = runtime_new(2);

    for (unsigned end = 0; end < TROUPE_COUNT(ends); end++) {
        for (unsigned type = 0; type < TROUPE_COUNT(types); type++) {
            one_case(runtime, TROUPE_SHUTDOWN_NEVER, false, types[type], end);
            one_case(runtime, TROUPE_SHUTDOWN_ANY_SIGNIFICANT, false, types[type], end);
            one_case(runtime, TROUPE_SHUTDOWN_ALL_SIGNIFICANT, false, types[type], end);
            one_case(runtime, TROUPE_SHUTDOWN_ANY_SIGNIFICANT, true, types[type], end);
            one_case(runtime, TROUPE_SHUTDOWN_ALL_SIGNIFICANT, true, types[type], end);
        }
    }
    cr_assert(runtime_ends_clean(runtime));
}

Test(significant, what_others_stop_ends_nothing, .timeout = 60)
{
    struct troupe_runtime *runtime = runtime_new(2);

    for (int strategy = TROUPE_ONE_FOR_ONE; strategy <= TROUPE_REST_FOR_ONE; strategy++) {
        struct latch started = LATCH_INIT;
        struct actor_card cards[] = {{.id = "ordinary"}, {.id = "first", .started = &started},
            {.id = "worker"}, {.id = "brief"}};
        struct troupe_child_spec children[] = {spec_of(&cards[0], TROUPE_PERMANENT),
            spec_of(&cards[1], TROUPE_PERMANENT), significant(&cards[2], TROUPE_TRANSIENT),
            significant(&cards[3], TROUPE_TEMPORARY)};
        struct troupe_supervisor_spec spec = work_of(TROUPE_SHUTDOWN_ANY_SIGNIFICANT, children, 4);
        troupe_pid supervisor;

        spec.strategy = (enum troupe_strategy)strategy;
        /* So that the reason is one that would count. */
        children[2].shutdown_ms = TROUPE_BRUTAL_KILL;
        children[3].shutdown_ms = TROUPE_BRUTAL_KILL;
        supervisor = start(runtime, &spec);
        end_child(runtime, supervisor, &cards[1], end_with_error);
        cr_assert(latch_wait(&started, 2));
        await_state(runtime, supervisor, "worker", TROUPE_CHILD_RUNNING);
        cr_assert_eq(status_of(runtime, supervisor, TROUPE_CHILD_TERMINATE, "worker"), TROUPE_OK);
        cr_assert_not(has_ended(runtime, supervisor), "strategy %d", strategy);
        cr_assert_eq(cards[2].starts, strategy == TROUPE_ONE_FOR_ONE ? 1 : 2);
        cr_assert_eq(troupe_runtime_exit(runtime, supervisor, TROUPE_EXIT_SHUTDOWN), TROUPE_OK);
        (void)join_kind(runtime, supervisor);
    }
    cr_assert(runtime_ends_clean(runtime));
}

/* ---- any and all ---- */

Test(significant, any_is_the_first_and_the_others_stop_in_reverse, .timeout = 60)
{
    struct troupe_runtime *runtime = runtime_new(2);
    struct journal journal = JOURNAL_INIT;
    struct actor_card cards[] = THREE_CARDS(&journal);
    struct troupe_child_spec children[] = {significant(&cards[0], TROUPE_TRANSIENT),
        significant(&cards[1], TROUPE_TRANSIENT), spec_of(&cards[2], TROUPE_PERMANENT)};
    struct troupe_supervisor_spec spec = work_of(TROUPE_SHUTDOWN_ANY_SIGNIFICANT, children, 3);
    struct puppet_notes notes = PUPPET_NOTES_INIT;
    troupe_pid supervisor = start(runtime, &spec);

    puppet_watch(runtime, supervisor, &notes);
    puppet_tell(runtime, cards[1].pid, end_normally, NULL, NULL);
    await_end(&notes);
    cr_assert_str_eq(journal.text, "+a +b +c -b -c -a");
    cr_assert(runtime_ends_clean(runtime));
}

Test(significant, all_waits_for_the_last_one, .timeout = 60)
{
    struct troupe_runtime *runtime = runtime_new(2);
    struct actor_card cards[] = {{.id = "ordinary"}, {.id = "one"}, {.id = "two"}, {.id = "three"}};
    struct troupe_child_spec children[] = {spec_of(&cards[0], TROUPE_PERMANENT),
        significant(&cards[1], TROUPE_TRANSIENT), significant(&cards[2], TROUPE_TEMPORARY),
        significant(&cards[3], TROUPE_TRANSIENT)};
    struct troupe_supervisor_spec spec = work_of(TROUPE_SHUTDOWN_ALL_SIGNIFICANT, children, 4);
    struct puppet_notes notes = PUPPET_NOTES_INIT;
    troupe_pid supervisor = start(runtime, &spec);

    puppet_watch(runtime, supervisor, &notes);
    end_child(runtime, supervisor, &cards[1], end_normally);
    cr_assert_not(has_ended(runtime, supervisor));
    end_child(runtime, supervisor, &cards[2], end_with_error);
    cr_assert_not(has_ended(runtime, supervisor));
    puppet_tell(runtime, cards[3].pid, end_shutdown, NULL, NULL);
    await_end(&notes);
    cr_assert(runtime_ends_clean(runtime));
}

Test(significant, of_all_one_that_is_restarting_is_at_work_and_one_that_was_stopped_is_not,
    .timeout = 60)
{
    struct troupe_runtime *runtime = runtime_new(2);
    struct actor_card cards[] = {{.id = "ordinary"}, {.id = "one"},
        {.id = "two", .habits = HABIT_FAIL_AGAIN}, {.id = "six"}};
    struct troupe_child_spec children[] = {spec_of(&cards[0], TROUPE_PERMANENT),
        significant(&cards[1], TROUPE_TRANSIENT), significant(&cards[2], TROUPE_TRANSIENT)};
    struct troupe_child_spec later = significant(&cards[3], TROUPE_TEMPORARY);
    struct troupe_supervisor_spec spec = work_of(TROUPE_SHUTDOWN_ALL_SIGNIFICANT, children, 3);
    struct puppet_notes notes = PUPPET_NOTES_INIT;
    troupe_pid supervisor = start(runtime, &spec);

    puppet_watch(runtime, supervisor, &notes);
    /* From now on `two` tries to start, and fails, for ever. */
    end_child(runtime, supervisor, &cards[2], end_with_error);
    end_child(runtime, supervisor, &cards[1], end_normally);
    cr_assert_not(has_ended(runtime, supervisor));
    cr_assert_eq(status_of(runtime, supervisor, TROUPE_CHILD_TERMINATE, "two"), TROUPE_OK);
    cr_assert_not(has_ended(runtime, supervisor));
    /* One that comes later and goes is now the last. */
    cr_assert_eq(ask(runtime, supervisor, TROUPE_CHILD_START, NULL, &later).status, TROUPE_OK);
    cr_assert_not(has_ended(runtime, supervisor));
    puppet_tell(runtime, cards[3].pid, end_normally, NULL, NULL);
    await_end(&notes);
    cr_assert(runtime_ends_clean(runtime));
}

Test(significant, one_that_is_not_needed_ends_nothing, .timeout = 60)
{
    struct troupe_runtime *runtime = runtime_new(2);
    struct actor_card cards[] = {{.id = "ordinary"}, {.id = "one", .habits = HABIT_NOT_NEEDED}};
    struct troupe_child_spec children[] = {
        spec_of(&cards[0], TROUPE_PERMANENT), significant(&cards[1], TROUPE_TRANSIENT)};
    struct troupe_supervisor_spec spec = work_of(TROUPE_SHUTDOWN_ANY_SIGNIFICANT, children, 2);
    troupe_pid supervisor = start(runtime, &spec);

    cr_assert_not(has_ended(runtime, supervisor));
    cr_assert(runtime_ends_clean(runtime));
}

/* It would have been stopped a moment later, and it comes again. */
Test(significant, one_that_ends_while_its_group_is_restarted_ends_nothing, .timeout = 60)
{
    struct actor_card cards[] = {
        {.id = "worker"}, {.id = "failing"}, {.id = "slow", .habits = HABIT_IGNORE_EXIT}};
    struct troupe_child_spec children[] = {significant(&cards[0], TROUPE_TRANSIENT),
        spec_of(&cards[1], TROUPE_PERMANENT), spec_of(&cards[2], TROUPE_PERMANENT)};
    struct troupe_supervisor_spec spec = work_of(TROUPE_SHUTDOWN_ANY_SIGNIFICANT, children, 3);
    struct nursery nursery;

    spec.strategy = TROUPE_ONE_FOR_ALL;
    children[2].shutdown_ms = 100;
    nursery_open(&nursery, 1, &spec);
    nursery_end(&nursery, &cards[1], end_with_error);
    nursery_end(&nursery, &cards[0], end_normally);
    cr_assert_eq(nursery.end.count, 0);
    nursery_pass(&nursery, 100);
    cr_assert_eq(nursery.end.count, 0);
    cr_assert_eq(cards[0].starts, 2);
    nursery_close(&nursery);
}

/* ---- up the tree, at the start, and later ---- */

Test(significant, the_end_of_the_work_goes_up_the_tree, .timeout = 60)
{
    struct troupe_runtime *runtime = runtime_new(2);
    struct actor_card cards[] = {{.id = "worker"}, {.id = "ordinary"}};
    struct troupe_child_spec leaf = significant(&cards[0], TROUPE_TRANSIENT);
    struct troupe_supervisor_spec low = work_of(TROUPE_SHUTDOWN_ANY_SIGNIFICANT, &leaf, 1);
    struct troupe_child_spec children[] = {spec_of(&cards[1], TROUPE_PERMANENT),
        {.id = "low", .tree = &low, .restart = TROUPE_TRANSIENT, .significant = true}};
    struct troupe_supervisor_spec top = work_of(TROUPE_SHUTDOWN_ALL_SIGNIFICANT, children, 2);
    struct puppet_notes notes = PUPPET_NOTES_INIT;
    troupe_pid supervisor = start(runtime, &top);

    puppet_watch(runtime, supervisor, &notes);
    puppet_tell(runtime, cards[0].pid, end_normally, NULL, NULL);
    await_end(&notes);
    cr_assert_eq(cards[1].alive, 0);
    cr_assert(runtime_ends_clean(runtime));
}

static int be_done(struct troupe_actor *self, void *state, const void *arg)
{
    (void)self;
    (void)state;
    (void)arg;
    return TROUPE_DONE;
}

static const struct troupe_behaviour brief_behaviour = {
    .name = "brief", .init = be_done, .receive = child_receive};

/* As in OTP, where the end waits in the mailbox until all have started. */
Test(significant, work_that_ends_while_others_start_ends_the_supervisor_after_that, .timeout = 60)
{
    struct troupe_runtime *runtime = runtime_new(2);
    struct latch entered = LATCH_INIT;
    struct actor_card card = {.id = "ordinary", .entered = &entered};
    struct troupe_child_spec children[] = {{.id = "brief",
                                               .behaviour = &brief_behaviour,
                                               .restart = TROUPE_TEMPORARY,
                                               .significant = true},
        spec_of(&card, TROUPE_PERMANENT)};
    struct troupe_supervisor_spec spec = work_of(TROUPE_SHUTDOWN_ANY_SIGNIFICANT, children, 2);

    for (unsigned i = 0; i < 20; i++) {
        troupe_pid supervisor = start(runtime, &spec);
        enum troupe_exit kind = join_kind(runtime, supervisor);

        cr_assert(kind == TROUPE_EXIT_SHUTDOWN || kind == TROUPE_EXIT_NOPROC);
        cr_assert_eq(latch_count(&entered), i + 1);
        cr_assert_eq(card.alive, 0);
    }
    cr_assert(runtime_ends_clean(runtime));
}

Test(significant, one_added_where_it_means_nothing_is_refused, .timeout = 60)
{
    struct troupe_runtime *runtime = runtime_new(2);
    struct actor_card card = {.id = "late"};
    struct troupe_child_spec late = significant(&card, TROUPE_TEMPORARY);
    struct troupe_supervisor_spec spec = work_of(TROUPE_SHUTDOWN_NEVER, NULL, 0);
    troupe_pid supervisor = start(runtime, &spec);

    cr_assert_eq(ask(runtime, supervisor, TROUPE_CHILD_START, NULL, &late).status, TROUPE_EINVAL);
    cr_assert_eq(which(runtime, supervisor, "late").status, TROUPE_ENOENT);
    cr_assert_eq(card.starts, 0);
    cr_assert(runtime_ends_clean(runtime));
}
