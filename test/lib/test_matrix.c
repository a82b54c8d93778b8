/* SPDX-License-Identifier: MIT */
/*
 * Matrix: the tables of semantics 1.1, 7.1, 7.7 and 7.8, every row with every strategy, restart type and place.
 *
 * Each case says from the table alone what must be afterwards, and a supervisor on a stage without threads is asked what
 * is.  So a case takes microseconds, and no case depends on luck.
 */
#include "test/support/nursery.h"

static const char *const ids[] = {"a", "b", "c", "d"};

#define CHILDREN TROUPE_COUNT(ids)

/* What is known of one child from outside. */
struct seen {
    bool exists;
    enum troupe_child_state state;
    unsigned starts;
};

static struct seen look(struct nursery *nursery, struct actor_card *card)
{
    struct troupe_child_answer answer = nursery_which(nursery, card->id);

    cr_assert_eq(answer.pid != TROUPE_NOBODY, answer.status == TROUPE_OK &&
                                                  answer.state != TROUPE_CHILD_STOPPED &&
                                                  answer.state != TROUPE_CHILD_RESTARTING);
    return (struct seen){
        .exists = answer.status == TROUPE_OK, .state = answer.state, .starts = card->starts};
}

/* 7.1: whether a child of this type is restarted after this end. */
static bool is_restarted(enum troupe_restart type, unsigned end)
{
    return type == TROUPE_PERMANENT || (type == TROUPE_TRANSIENT && !ends[end].clean);
}

static void ask_status(
    struct nursery *nursery, enum troupe_child_op op, const char *id, int expected)
{
    struct nursery_question question = {.op = op, .id = id};

    nursery_ask(nursery, &question);
    cr_assert(question.answered);
    cr_assert_eq(question.answer.status, expected, "operation %d of %s: %d", (int)op, id,
        question.answer.status);
}

/* ---- 1.1 and 7.1: reason, type, strategy, place ---- */

struct end_case {
    enum troupe_strategy strategy;
    enum troupe_restart type;
    unsigned place; /* of the child that ends */
    unsigned end;
    bool strict; /* not one restart is allowed */
};

/* The others: one permanent, one temporary, and a transient one that was terminated. */
static enum troupe_restart type_of(const struct end_case *now, unsigned index)
{
    static const enum troupe_restart others[] = {
        TROUPE_PERMANENT, TROUPE_TEMPORARY, TROUPE_TRANSIENT};

    if (index == now->place) {
        return now->type;
    }
    return others[index < now->place ? index : index - 1];
}

static bool was_stopped(const struct end_case *now, unsigned index)
{
    return index != now->place && type_of(now, index) == TROUPE_TRANSIENT;
}

/* Whether the restart of the child that ended takes this one with it. */
static bool is_in_group(const struct end_case *now, unsigned index)
{
    return index == now->place || now->strategy == TROUPE_ONE_FOR_ALL ||
           (now->strategy == TROUPE_REST_FOR_ONE && index > now->place);
}

static struct seen expected_of(const struct end_case *now, unsigned index)
{
    enum troupe_restart type = type_of(now, index);
    bool again = is_restarted(now->type, now->end);
    struct seen seen = {true, TROUPE_CHILD_RUNNING, 1};

    if (was_stopped(now, index)) {
        seen.state = TROUPE_CHILD_STOPPED;
    }
    if (again && is_in_group(now, index)) {
        /* 7.4: all but temporary ones, also those that had been stopped. */
        seen = (struct seen){true, TROUPE_CHILD_RUNNING, 2};
        if (type == TROUPE_TEMPORARY) {
            seen = (struct seen){false, TROUPE_CHILD_STOPPED, 1};
        }
    } else if (index == now->place) {
        seen.exists = type != TROUPE_TEMPORARY;
        seen.state = TROUPE_CHILD_STOPPED;
    }
    return seen;
}

static void check_end(struct nursery *nursery, const struct end_case *now, struct actor_card *cards)
{
    for (unsigned i = 0; i < CHILDREN; i++) {
        struct seen expected = expected_of(now, i);
        struct seen seen = look(nursery, &cards[i]);

        cr_assert(seen.exists == expected.exists && seen.starts == expected.starts &&
                      (!seen.exists || seen.state == expected.state),
            "strategy %d type %d place %u end %u, child %u: exists %d state %d starts %u",
            (int)now->strategy, (int)now->type, now->place, now->end, i, seen.exists,
            (int)seen.state, seen.starts);
        cr_assert_not(cards[i].twins);
    }
}

static void run_end(struct nursery *nursery, const struct end_case *now)
{
    struct actor_card cards[CHILDREN];
    struct troupe_child_spec children[CHILDREN];
    struct troupe_supervisor_spec spec = {.strategy = now->strategy,
        .children = children,
        .child_count = CHILDREN,
        .intensity = now->strict ? TROUPE_NO_RESTARTS : 1,
        .period_ms = 600000};
    bool again = is_restarted(now->type, now->end);

    memset(cards, 0, sizeof cards);
    for (unsigned i = 0; i < CHILDREN; i++) {
        cards[i].id = ids[i];
        children[i] = spec_of(&cards[i], type_of(now, i));
    }
    nursery_begin(nursery, &spec);
    for (unsigned i = 0; i < CHILDREN; i++) {
        if (was_stopped(now, i)) {
            ask_status(nursery, TROUPE_CHILD_TERMINATE, ids[i], TROUPE_OK);
        }
    }
    nursery_end(nursery, &cards[now->place], ends[now->end].fn);
    if (now->strict && again) {
        /* 7.2: charged, so it gives up, with shutdown. */
        cr_assert_eq(nursery->end.count, 1);
        cr_assert_eq(nursery->end.kind, TROUPE_EXIT_SHUTDOWN);
        cr_assert_eq(stage_reports(&nursery->stage, TROUPE_REPORT_GIVE_UP), 1);
    } else {
        cr_assert_eq(nursery->end.count, 0, "it is not charged");
        check_end(nursery, now, cards);
        /* A group is one restart of each of its children, and one attempt. */
        cr_assert_eq(stage_reports(&nursery->stage, TROUPE_REPORT_RESTART), again ? 1 : 0);
    }
    nursery_end_it(nursery);
}

Test(matrix, of_reasons_types_strategies_and_places, .timeout = 120)
{
    struct nursery nursery;
    struct end_case now;
    unsigned count = 0;

    nursery_build(&nursery, 1);
    for (int strategy = TROUPE_ONE_FOR_ONE; strategy <= TROUPE_REST_FOR_ONE; strategy++) {
        for (int type = TROUPE_PERMANENT; type <= TROUPE_TEMPORARY; type++) {
            for (unsigned rest = 0; rest < CHILDREN * TROUPE_COUNT(ends) * 2; rest++) {
                now.strategy = (enum troupe_strategy)strategy;
                now.type = (enum troupe_restart)type;
                now.place = rest % CHILDREN;
                now.end = rest / CHILDREN % TROUPE_COUNT(ends);
                now.strict = rest / CHILDREN / TROUPE_COUNT(ends) == 1;
                run_end(&nursery, &now);
                count++;
            }
        }
    }
    cr_assert_eq(count, 432);
    nursery_close(&nursery);
}

/* ---- 7.7: operation and state, type, strategy ---- */

enum kept {
    KEPT_ABSENT,
    KEPT_RUNNING,
    KEPT_STOPPED,    /* terminated */
    KEPT_RESTED,     /* ended by itself, and is not restarted: transient only */
    KEPT_RESTARTING, /* waits for its next attempt */
    KEPT_STOPPING,   /* told to stop, and does not */
    KEPT_COUNT,
};

/* What the operation says, and what is with the child after it. */
struct outcome {
    int status;
    bool later; /* not answered yet */
    struct seen after;
};

#define GONE                                                                                       \
    {                                                                                              \
        false, TROUPE_CHILD_STOPPED, 1                                                             \
    }

/* As 7.7, but for STOPPING, which OTP does not show: whoever asks there waits. */
static const struct outcome outcomes[KEPT_COUNT][TROUPE_CHILD_WHICH + 1] =
    {
        [KEPT_ABSENT] =
            {
                [TROUPE_CHILD_START] = {TROUPE_OK, false, {true, TROUPE_CHILD_RUNNING, 1}},
                [TROUPE_CHILD_TERMINATE] = {TROUPE_ENOENT, false, {false, TROUPE_CHILD_STOPPED, 0}},
                [TROUPE_CHILD_RESTART] = {TROUPE_ENOENT, false, {false, TROUPE_CHILD_STOPPED, 0}},
                [TROUPE_CHILD_DELETE] = {TROUPE_ENOENT, false, {false, TROUPE_CHILD_STOPPED, 0}},
                [TROUPE_CHILD_WHICH] = {TROUPE_ENOENT, false, {false, TROUPE_CHILD_STOPPED, 0}},
            },
        [KEPT_RUNNING] =
            {
                [TROUPE_CHILD_START] = {TROUPE_EEXIST, false, {true, TROUPE_CHILD_RUNNING, 1}},
                [TROUPE_CHILD_TERMINATE] = {TROUPE_OK, false, {true, TROUPE_CHILD_STOPPED, 1}},
                [TROUPE_CHILD_RESTART] = {TROUPE_EBUSY, false, {true, TROUPE_CHILD_RUNNING, 1}},
                [TROUPE_CHILD_DELETE] = {TROUPE_EBUSY, false, {true, TROUPE_CHILD_RUNNING, 1}},
                [TROUPE_CHILD_WHICH] = {TROUPE_OK, false, {true, TROUPE_CHILD_RUNNING, 1}},
            },
        [KEPT_STOPPED] =
            {
                [TROUPE_CHILD_START] = {TROUPE_EEXIST, false, {true, TROUPE_CHILD_STOPPED, 1}},
                [TROUPE_CHILD_TERMINATE] = {TROUPE_OK, false, {true, TROUPE_CHILD_STOPPED, 1}},
                [TROUPE_CHILD_RESTART] = {TROUPE_OK, false, {true, TROUPE_CHILD_RUNNING, 2}},
                [TROUPE_CHILD_DELETE] = {TROUPE_OK, false, GONE},
                [TROUPE_CHILD_WHICH] = {TROUPE_OK, false, {true, TROUPE_CHILD_STOPPED, 1}},
            },
        [KEPT_RESTED] =
            {
                [TROUPE_CHILD_START] = {TROUPE_EEXIST, false, {true, TROUPE_CHILD_STOPPED, 1}},
                [TROUPE_CHILD_TERMINATE] = {TROUPE_OK, false, {true, TROUPE_CHILD_STOPPED, 1}},
                [TROUPE_CHILD_RESTART] = {TROUPE_OK, false, {true, TROUPE_CHILD_RUNNING, 2}},
                [TROUPE_CHILD_DELETE] = {TROUPE_OK, false, GONE},
                [TROUPE_CHILD_WHICH] = {TROUPE_OK, false, {true, TROUPE_CHILD_STOPPED, 1}},
            },
        [KEPT_RESTARTING] =
            {
                [TROUPE_CHILD_START] = {TROUPE_EEXIST, false, {true, TROUPE_CHILD_RESTARTING, 1}},
                [TROUPE_CHILD_TERMINATE] = {TROUPE_OK, false, {true, TROUPE_CHILD_STOPPED, 1}},
                [TROUPE_CHILD_RESTART] = {TROUPE_EBUSY, false, {true, TROUPE_CHILD_RESTARTING, 1}},
                [TROUPE_CHILD_DELETE] = {TROUPE_EBUSY, false, {true, TROUPE_CHILD_RESTARTING, 1}},
                [TROUPE_CHILD_WHICH] = {TROUPE_OK, false, {true, TROUPE_CHILD_RESTARTING, 1}},
            },
        [KEPT_STOPPING] =
            {
                [TROUPE_CHILD_START] = {TROUPE_EEXIST, false, {true, TROUPE_CHILD_STOPPING, 1}},
                [TROUPE_CHILD_TERMINATE] = {TROUPE_OK, true, {true, TROUPE_CHILD_STOPPING, 1}},
                [TROUPE_CHILD_RESTART] = {TROUPE_EBUSY, false, {true, TROUPE_CHILD_STOPPING, 1}},
                [TROUPE_CHILD_DELETE] = {TROUPE_EBUSY, false, {true, TROUPE_CHILD_STOPPING, 1}},
                [TROUPE_CHILD_WHICH] = {TROUPE_OK, false, {true, TROUPE_CHILD_STOPPING, 1}},
            },
};

/* Whether a child of this type can be in that state. */
static bool can_be(enum troupe_restart type, enum kept kept)
{
    switch (kept) {
    case KEPT_STOPPED:
        return type != TROUPE_TEMPORARY;
    case KEPT_RESTED:
        return type == TROUPE_TRANSIENT;
    case KEPT_RESTARTING:
        return type != TROUPE_TEMPORARY;
    default:
        return true;
    }
}

/* Brings the child "b" there.  What is asked for meanwhile outlives this in `question`. */
static void bring_to(struct nursery *nursery, struct actor_card *card, enum kept kept,
    struct nursery_question *question)
{
    switch (kept) {
    case KEPT_STOPPED:
        ask_status(nursery, TROUPE_CHILD_TERMINATE, "b", TROUPE_OK);
        break;
    case KEPT_RESTED:
        nursery_end(nursery, card, end_normally);
        break;
    case KEPT_RESTARTING:
        nursery_end(nursery, card, end_with_error);
        break;
    case KEPT_STOPPING:
        *question = (struct nursery_question){.op = TROUPE_CHILD_TERMINATE, .id = "b"};
        nursery_ask(nursery, question);
        cr_assert_not(question->answered);
        break;
    default:
        break;
    }
}

/* 7.7 is of children that are kept: of a temporary one nothing is left after TERMINATE. */
static struct outcome outcome_of(enum troupe_restart type, enum kept kept, enum troupe_child_op op)
{
    struct outcome outcome = outcomes[kept][op];

    if (type == TROUPE_TEMPORARY && op == TROUPE_CHILD_TERMINATE && kept == KEPT_RUNNING) {
        outcome.after = (struct seen)GONE;
    }
    return outcome;
}

static void run_ask(struct nursery *nursery, enum troupe_strategy strategy,
    enum troupe_restart type, enum kept kept, enum troupe_child_op op)
{
    struct actor_card cards[3] = {{.id = "a"}, {.id = "b"}, {.id = "c"}};
    struct troupe_child_spec child = spec_of(&cards[1], type);
    struct troupe_child_spec children[] = {
        spec_of(&cards[0], TROUPE_PERMANENT), child, spec_of(&cards[2], TROUPE_PERMANENT)};
    struct troupe_supervisor_spec spec = {
        .strategy = strategy, .children = children, .child_count = 3};
    struct nursery_question question = {.op = op, .id = "b", .spec = &child};
    struct outcome expected = outcome_of(type, kept, op);
    struct nursery_question before;
    struct seen seen;

    children[1].backoff = (struct troupe_backoff){1000, 1000, TROUPE_NO_JITTER, 0};
    if (kept == KEPT_STOPPING) {
        cards[1].habits = HABIT_IGNORE_EXIT;
    }
    if (kept == KEPT_ABSENT) {
        children[1] = children[2];
        spec.child_count = 2;
    }
    nursery_begin(nursery, &spec);
    bring_to(nursery, &cards[1], kept, &before);
    nursery_ask(nursery, &question);
    seen = look(nursery, &cards[1]);
    cr_assert(question.answered != expected.later &&
                  (expected.later || question.answer.status == expected.status) &&
                  seen.exists == expected.after.exists && seen.starts == expected.after.starts &&
                  (!seen.exists || seen.state == expected.after.state),
        "strategy %d type %d kept %d operation %d: status %d exists %d state %d starts %u",
        (int)strategy, (int)type, (int)kept, (int)op, question.answer.status, seen.exists,
        (int)seen.state, seen.starts);
    /* Nobody else has to do with it. */
    cr_assert(cards[0].starts == 1 && cards[2].starts == 1);
    cr_assert_eq(nursery->end.count, 0);
    /* Whoever waits for the end of one that does not obey is answered when it is killed. */
    nursery_pass(nursery, kept == KEPT_STOPPING ? 5001 : 0);
    cr_assert(question.answered);
    cr_assert(!expected.later || question.answer.status == expected.status);
    nursery_end_it(nursery);
}

Test(matrix, of_operations_states_types_and_strategies, .timeout = 120)
{
    struct nursery nursery;
    unsigned count = 0;

    nursery_build(&nursery, 1);
    for (int strategy = TROUPE_ONE_FOR_ONE; strategy <= TROUPE_REST_FOR_ONE; strategy++) {
        for (int type = TROUPE_PERMANENT; type <= TROUPE_TEMPORARY; type++) {
            for (unsigned rest = 0; rest < KEPT_COUNT * (TROUPE_CHILD_WHICH + 1); rest++) {
                enum kept kept = (enum kept)(rest % KEPT_COUNT);

                if (can_be((enum troupe_restart)type, kept)) {
                    run_ask(&nursery, (enum troupe_strategy)strategy, (enum troupe_restart)type,
                        kept, (enum troupe_child_op)(rest / KEPT_COUNT));
                    count++;
                }
            }
        }
    }
    cr_assert_eq(count, 3 * 5 * (5 + 6 + 3));
    nursery_close(&nursery);
}

/* ---- 7.8: when, type, reason, and what the other significant one does ---- */

/* Where a second significant child is when the first one ends. */
static const enum kept others[] = {KEPT_RUNNING, KEPT_STOPPED, KEPT_RESTARTING};

static void run_work(struct nursery *nursery, enum troupe_auto_shutdown when,
    enum troupe_restart type, unsigned end, enum kept other, enum troupe_strategy strategy)
{
    struct actor_card cards[3] = {{.id = "a"}, {.id = "b"}, {.id = "c"}};
    struct troupe_child_spec children[] = {spec_of(&cards[0], type),
        spec_of(&cards[1], TROUPE_TRANSIENT), spec_of(&cards[2], TROUPE_PERMANENT)};
    struct troupe_supervisor_spec spec = {.strategy = strategy,
        .auto_shutdown = when,
        .children = children,
        .child_count = 3,
        .intensity = 10};
    bool works_on = other != KEPT_STOPPED;
    bool expected =
        !is_restarted(type, end) && (when == TROUPE_SHUTDOWN_ANY_SIGNIFICANT ||
                                        (when == TROUPE_SHUTDOWN_ALL_SIGNIFICANT && !works_on));

    children[0].significant = when != TROUPE_SHUTDOWN_NEVER;
    children[1].significant = when != TROUPE_SHUTDOWN_NEVER;
    children[1].backoff = (struct troupe_backoff){1000, 1000, TROUPE_NO_JITTER, 0};
    nursery_begin(nursery, &spec);
    bring_to(nursery, &cards[1], other, NULL);
    cr_assert_eq(nursery->end.count, 0, "the end of the other one did it");
    nursery_end(nursery, &cards[0], ends[end].fn);
    cr_assert_eq(nursery->end.count, expected ? 1 : 0,
        "when %d type %d end %u other %d strategy %d", (int)when, (int)type, end, (int)other,
        (int)strategy);
    cr_assert(!expected || nursery->end.kind == TROUPE_EXIT_SHUTDOWN);
    cr_assert_eq(stage_reports(&nursery->stage, TROUPE_REPORT_GIVE_UP), 0);
    nursery_end_it(nursery);
}

Test(matrix, of_significant_children, .timeout = 120)
{
    struct nursery nursery;

    nursery_build(&nursery, 1);
    for (int when = TROUPE_SHUTDOWN_NEVER; when <= TROUPE_SHUTDOWN_ALL_SIGNIFICANT; when++) {
        for (int type = TROUPE_TRANSIENT; type <= TROUPE_TEMPORARY; type++) {
            for (unsigned rest = 0; rest < TROUPE_COUNT(ends) * TROUPE_COUNT(others) * 3; rest++) {
                run_work(&nursery, (enum troupe_auto_shutdown)when, (enum troupe_restart)type,
                    rest % TROUPE_COUNT(ends), others[rest / TROUPE_COUNT(ends) % 3],
                    (enum troupe_strategy)(rest / TROUPE_COUNT(ends) / 3));
            }
        }
    }
    nursery_close(&nursery);
}
