/* SPDX-License-Identifier: MIT */
/* Decide: a child's spec may have the last word about its end (semantics 9, directives). */
#include "test/support/nursery.h"

/* ---- a decision that is the same for all, and notes what it was asked ---- */

struct judge {
    enum troupe_directive directive;
    _Atomic unsigned asked;
    struct troupe_reason last; /* without its text */
};

static enum troupe_directive judge(void *context, const struct troupe_reason *reason)
{
    struct judge *judge = context;

    judge->asked++;
    judge->last = *reason;
    judge->last.text = NULL;
    return judge->directive;
}

static struct troupe_child_spec judged(
    struct actor_card *card, enum troupe_restart type, struct judge *by)
{
    struct troupe_child_spec spec = spec_of(card, type);

    spec.decide = judge;
    spec.decide_context = by;
    return spec;
}

static struct troupe_supervisor_spec lenient(const struct troupe_child_spec *child)
{
    return (struct troupe_supervisor_spec){.children = child, .child_count = 1, .intensity = 100};
}

/* ---- directive, type, reason ---- */

enum fate {
    FATE_RESTARTED,
    FATE_RESTS,
    FATE_FORGOTTEN,
    FATE_ESCALATED,
};

static enum fate fate_of(enum troupe_directive directive, enum troupe_restart type, bool clean)
{
    if (directive == TROUPE_DECIDE_ESCALATE) {
        return FATE_ESCALATED;
    }
    if (type == TROUPE_TEMPORARY) {
        return FATE_FORGOTTEN;
    }
    if (directive == TROUPE_DECIDE_STOP) {
        return FATE_RESTS;
    }
    return directive == TROUPE_DECIDE_BY_TYPE && type == TROUPE_TRANSIENT && clean ? FATE_RESTS
                                                                                   : FATE_RESTARTED;
}

static enum fate seen_fate(struct nursery *nursery, const struct actor_card *card)
{
    struct troupe_child_answer answer;

    if (nursery->end.count > 0) {
        return FATE_ESCALATED;
    }
    answer = nursery_which(nursery, card->id);
    if (answer.status == TROUPE_ENOENT) {
        return FATE_FORGOTTEN;
    }
    return answer.state == TROUPE_CHILD_RUNNING ? FATE_RESTARTED : FATE_RESTS;
}

static void one_case(struct nursery *nursery, enum troupe_directive directive,
    enum troupe_restart type, unsigned end)
{
    struct judge by = {.directive = directive};
    struct actor_card card = {.id = "one"};
    struct troupe_child_spec child = judged(&card, type, &by);
    struct troupe_supervisor_spec spec = lenient(&child);
    enum fate expected = fate_of(directive, type, ends[end].clean);

    nursery_begin(nursery, &spec);
    nursery_end(nursery, &card, ends[end].fn);
    cr_assert_eq(seen_fate(nursery, &card), expected, "directive %d type %d end %u: %d",
        (int)directive, (int)type, end, (int)seen_fate(nursery, &card));
    cr_assert_eq(card.starts, expected == FATE_RESTARTED ? 2 : 1);
    cr_assert_eq(by.asked, 1);
    if (expected == FATE_ESCALATED) {
        cr_assert_eq(nursery->end.kind, by.last.kind);
        cr_assert_eq(nursery->end.code, by.last.code);
        cr_assert_eq(stage_reports(&nursery->stage, TROUPE_REPORT_GIVE_UP), 1);
    }
    nursery_end_it(nursery);
    /* What the supervisor stops itself is nobody's decision. */
    cr_assert_eq(by.asked, 1);
}

Test(decide, its_word_goes_before_the_restart_type, .timeout = 60)
{
    struct nursery nursery;

    nursery_build(&nursery, 1);
    for (int directive = TROUPE_DECIDE_BY_TYPE; directive <= TROUPE_DECIDE_ESCALATE; directive++) {
        for (int type = TROUPE_PERMANENT; type <= TROUPE_TEMPORARY; type++) {
            for (unsigned end = 0; end < TROUPE_COUNT(ends); end++) {
                one_case(
                    &nursery, (enum troupe_directive)directive, (enum troupe_restart)type, end);
            }
        }
    }
    nursery_close(&nursery);
}

Test(decide, an_escalation_is_decided_upon_by_the_next_supervisor, .timeout = 60)
{
    struct judge by = {.directive = TROUPE_DECIDE_ESCALATE};
    struct actor_card cards[] = {{.id = "leaf"}, {.id = "other"}};
    struct troupe_child_spec leaves[] = {
        judged(&cards[0], TROUPE_PERMANENT, &by), spec_of(&cards[1], TROUPE_PERMANENT)};
    struct troupe_supervisor_spec low = {.children = leaves, .child_count = 2};
    struct troupe_child_spec middle = {.id = "low", .tree = &low, .restart = TROUPE_TRANSIENT};
    struct troupe_supervisor_spec top = lenient(&middle);
    struct nursery nursery;

    nursery_open(&nursery, 1, &top);
    nursery_end(&nursery, &cards[0], end_with_error);
    cr_assert_eq(cards[0].starts, 2);
    cr_assert_eq(cards[1].starts, 2);
    /* A clean one is no reason to start a transient supervisor again. */
    nursery_end(&nursery, &cards[0], end_normally);
    cr_assert_eq(nursery_which(&nursery, "low").state, TROUPE_CHILD_STOPPED);
    cr_assert_eq(cards[1].alive, 0);
    nursery_close(&nursery);
}

Test(decide, one_that_is_stopped_by_decision_has_done_its_work, .timeout = 60)
{
    struct judge by = {.directive = TROUPE_DECIDE_STOP};
    struct actor_card card = {.id = "one"};
    struct troupe_child_spec child = judged(&card, TROUPE_TRANSIENT, &by);
    struct troupe_supervisor_spec spec = lenient(&child);
    struct nursery nursery;

    child.significant = true;
    spec.auto_shutdown = TROUPE_SHUTDOWN_ALL_SIGNIFICANT;
    nursery_open(&nursery, 1, &spec);
    nursery_end(&nursery, &card, end_with_error);
    cr_assert_eq(nursery.end.count, 1);
    cr_assert_eq(nursery.end.kind, TROUPE_EXIT_SHUTDOWN);
    nursery_close(&nursery);
}

/* ---- resume ---- */

static int abandon(struct troupe_actor *self, void *arg)
{
    (void)arg;
    troupe_abandon(self, TROUPE_EPROTO, "from deep inside");
}

static void send_number(struct nursery *nursery, struct actor_card *card)
{
    static const uint64_t number = 1;

    stage_send(&nursery->stage, card->pid, &puppet_number, &number);
    nursery_run(nursery);
}

Test(decide, one_that_resumes_goes_on_with_its_state_and_its_mailbox, .timeout = 60)
{
    for (int keeps = 0; keeps < 2; keeps++) {
        struct judge by = {.directive = TROUPE_DECIDE_RESUME};
        struct actor_card card = {.id = "one"};
        struct troupe_child_spec child = judged(&card, TROUPE_PERMANENT, &by);
        struct troupe_supervisor_spec spec = lenient(&child);
        struct stage_end end;
        struct nursery nursery;
        troupe_pid pid;

        child.may_resume = true;
        child.keep_mailbox = keeps == 1;
        nursery_open(&nursery, 1, &spec);
        pid = card.pid;
        stage_watch(&nursery.stage, pid, &end);
        nursery_end(&nursery, &card, end_with_error);
        send_number(&nursery, &card);
        cr_assert_eq(by.asked, 1);
        cr_assert_eq(by.last.code, TROUPE_EPROTO);
        cr_assert_eq(card.starts, 1);
        cr_assert_eq(card.handled, 1);
        cr_assert_eq(end.count, 0);
        cr_assert_eq(stage_reports(&nursery.stage, TROUPE_REPORT_FAILURE), 1);
        cr_assert_not_null(strstr(nursery.stage.text[TROUPE_REPORT_FAILURE], "as told"));
        cr_assert_eq(stage_books(&nursery.stage).failures, 0);
        /* Whatever is no error of a handler ends it; and its next life may resume as well. */
        nursery_end(&nursery, &card, abandon);
        cr_assert_eq(card.starts, 2);
        nursery_end(&nursery, &card, end_by_own_kill);
        cr_assert_eq(card.starts, 3);
        nursery_end(&nursery, &card, end_with_error);
        cr_assert_eq(card.starts, 3);
        cr_assert_eq(nursery_which(&nursery, "one").state, TROUPE_CHILD_RUNNING);
        nursery_close(&nursery);
    }
}

Test(decide, without_its_promise_nobody_resumes, .timeout = 60)
{
    struct judge by = {.directive = TROUPE_DECIDE_RESUME};
    struct actor_card card = {.id = "one"};
    struct troupe_child_spec child = judged(&card, TROUPE_PERMANENT, &by);
    struct troupe_supervisor_spec spec = lenient(&child);
    struct nursery nursery;

    nursery_open(&nursery, 1, &spec);
    nursery_end(&nursery, &card, end_with_error);
    cr_assert_eq(card.starts, 2);
    nursery_close(&nursery);
}
