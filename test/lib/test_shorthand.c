/* SPDX-License-Identifier: MIT */
/* Shorthand: a child that is specified by a main function alone (DESIGN section 2, the teller). */
#include "shorthand.h"

#include <stdio.h>

#include "test/support/family.h"
#include "test/support/stage.h"

static const struct troupe_type stop = TROUPE_SIGNAL;
static const struct troupe_type fail = TROUPE_SIGNAL;

static _Atomic unsigned begun;
static _Atomic uint64_t told; /* the argument of the life that began last */
static _Atomic troupe_pid teller;

/* Ends when it is told to, in either way. */
static int teller_main(struct troupe_actor *self, const void *arg)
{
    struct troupe_message *msg;

    told = arg != NULL ? *(const uint64_t *)arg : 0;
    teller = troupe_self(self);
    begun++;
    for (;;) {
        TROUPE_TRY(troupe_receive(self, TROUPE_FOREVER, &msg));
        if (troupe_is(msg, &stop)) {
            return TROUPE_OK;
        }
        if (troupe_is(msg, &fail)) {
            return troupe_fail(self, TROUPE_EPROTO, "as it was told");
        }
    }
}

static int other_main(struct troupe_actor *self, const void *arg)
{
    return teller_main(self, arg);
}

static void check_name(struct stage *stage, troupe_pid pid, const char *behaviour, const char *name)
{
    struct troupe_info info;

    cr_assert_eq(troupe_info(stage->runtime, pid, &info), TROUPE_OK);
    cr_assert_str_eq(info.behaviour, behaviour);
    cr_assert_str_eq(info.name, name);
}

Test(shorthand, a_child_is_its_main_and_is_named_after_its_id, .timeout = 60)
{
    const uint64_t seven = 7;
    const struct troupe_child_spec children[] = {
        {.id = "teller", .main = teller_main, .arg = &seven, .arg_size = sizeof seven},
    };
    const struct troupe_supervisor_spec spec = {
        .name = "bank", .children = children, .child_count = TROUPE_COUNT(children)};
    struct stage stage;

    begun = 0;
    stage_open(&stage, 2);
    (void)start(stage.runtime, &spec);
    STAGE_AWAIT(&stage, begun == 1);
    cr_assert_eq(told, 7);
    check_name(&stage, teller, "teller", "bank.teller");
    /* Anew from the top, with its argument, when it failed. */
    told = 0;
    stage_send(&stage, teller, &fail, NULL);
    STAGE_AWAIT(&stage, begun == 2);
    cr_assert_eq(told, 7);
    check_name(&stage, teller, "teller", "bank.teller");
    cr_assert_eq(stage_reports(&stage, TROUPE_REPORT_FAILURE), 1);
    cr_assert_str_eq(stage.actor[TROUPE_REPORT_FAILURE], "teller");
    stage_close(&stage);
}

Test(shorthand, one_that_has_returned_is_a_child_that_ended_normally, .timeout = 60)
{
    const struct troupe_child_spec child = {
        .id = "teller", .main = teller_main, .restart = TROUPE_TRANSIENT};
    const struct troupe_supervisor_spec spec = {.children = &child, .child_count = 1};
    struct stage stage;
    troupe_pid supervisor;

    begun = 0;
    stage_open(&stage, 2);
    supervisor = start(stage.runtime, &spec);
    STAGE_AWAIT(&stage, begun == 1);
    stage_send(&stage, teller, &stop, NULL);
    await_state(stage.runtime, supervisor, "teller", TROUPE_CHILD_STOPPED);
    cr_assert_eq(begun, 1);
    stage_close(&stage);
}

Test(shorthand, one_may_be_added_while_the_supervisor_runs, .timeout = 60)
{
    const struct troupe_supervisor_spec spec = {.name = "bank"};
    struct troupe_child_spec added = {.id = "late", .main = teller_main};
    struct stage stage;
    troupe_pid supervisor;

    begun = 0;
    stage_open(&stage, 2);
    supervisor = start(stage.runtime, &spec);
    cr_assert_eq(
        ask(stage.runtime, supervisor, TROUPE_CHILD_START, NULL, &added).status, TROUPE_OK);
    STAGE_AWAIT(&stage, begun == 1);
    memset(&added, 0, sizeof added);
    check_name(&stage, teller, "late", "bank.late");
    stage_close(&stage);
}

Test(shorthand, a_function_and_an_id_have_one_behaviour)
{
    const struct troupe_behaviour *one;
    const struct troupe_behaviour *again;
    const struct troupe_behaviour *other;
    char id[] = "a";
    struct stage stage;

    stage_open(&stage, TROUPE_NO_THREADS);
    cr_assert_eq(trp_shorthand_of(stage.runtime, teller_main, id, &one), TROUPE_OK);
    cr_assert_str_eq(one->name, "a");
    cr_assert_eq(one->main, teller_main);
    cr_assert_eq(trp_shorthand_of(stage.runtime, teller_main, "a", &again), TROUPE_OK);
    cr_assert_eq(again, one);
    cr_assert_eq(trp_shorthand_of(stage.runtime, other_main, "a", &other), TROUPE_OK);
    cr_assert_neq(other, one);
    cr_assert_eq(other->main, other_main);
    /* The id was copied. */
    id[0] = 'b';
    cr_assert_str_eq(one->name, "a");
    stage_close(&stage);
}

Test(shorthand, ever_new_ids_do_not_fill_the_memory)
{
    const struct troupe_behaviour *behaviour;
    const struct troupe_behaviour *late;
    struct stage stage;
    char id[16];
    uint64_t blocks;

    stage_open(&stage, TROUPE_NO_THREADS);
    for (unsigned i = 0; i < TRP_SHORTHANDS_MAX; i++) {
        snprintf(id, sizeof id, "%u", i);
        cr_assert_eq(trp_shorthand_of(stage.runtime, teller_main, id, &behaviour), TROUPE_OK);
        cr_assert_str_eq(behaviour->name, id);
    }
    cr_assert_eq(trp_shorthand_of(stage.runtime, teller_main, "late", &late), TROUPE_OK);
    cr_assert_str_eq(late->name, TRP_SHORTHAND_NAME);
    cr_assert_eq(late->main, teller_main);
    blocks = stage.memory.blocks;
    cr_assert_eq(trp_shorthand_of(stage.runtime, teller_main, "later", &behaviour), TROUPE_OK);
    cr_assert_eq(behaviour, late);
    cr_assert_eq(stage.memory.blocks, blocks);
    /* Those that were there keep theirs. */
    cr_assert_eq(trp_shorthand_of(stage.runtime, teller_main, "0", &behaviour), TROUPE_OK);
    cr_assert_str_eq(behaviour->name, "0");
    stage_close(&stage);
}

Test(shorthand, without_memory_nothing_is_left)
{
    const struct troupe_behaviour *behaviour = NULL;
    struct stage stage;

    stage_open(&stage, TROUPE_NO_THREADS);
    stage.memory.fail_at = stage.memory.calls + 1;
    cr_assert_eq(trp_shorthand_of(stage.runtime, teller_main, "a", &behaviour), TROUPE_ENOMEM);
    cr_assert_null(behaviour);
    cr_assert_eq(trp_shorthand_of(stage.runtime, teller_main, "a", &behaviour), TROUPE_OK);
    cr_assert_str_eq(behaviour->name, "a");
    stage_close(&stage);
}
