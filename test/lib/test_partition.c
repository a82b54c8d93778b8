/* SPDX-License-Identifier: MIT */
/* Partition: one supervisor that is many (semantics 13, "Partitioned supervisors"). */
#include "child.h"

#include <stdio.h>

#include "test/support/family.h"
#include "test/support/stage.h"

#define PARTS 8

static int idle_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    (void)self;
    (void)state;
    (void)msg;
    return TROUPE_OK;
}

static const struct troupe_behaviour idle = {.name = "idle", .receive = idle_receive};
static const struct troupe_supervisor_spec spread = {.name = "spread", .partitions = PARTS};

static int to_child(struct stage *stage, enum troupe_child_op op, const char *id,
    struct troupe_child_answer *out_answer)
{
    const struct troupe_child_spec spec = {.id = id, .behaviour = &idle};

    return troupe_runtime_partition_child(stage->runtime, "spread", PARTS, op, id,
        op == TROUPE_CHILD_START ? &spec : NULL, TROUPE_FOREVER, out_answer);
}

static struct troupe_children count(struct stage *stage)
{
    struct troupe_children total;

    cr_assert_eq(
        troupe_runtime_partition_count(stage->runtime, "spread", PARTS, TROUPE_FOREVER, &total),
        TROUPE_OK);
    return total;
}

static troupe_pid partition(struct stage *stage, uint64_t key)
{
    troupe_pid pid = TROUPE_NOBODY;

    cr_assert_eq(troupe_partition(stage->runtime, "spread", PARTS, key, &pid), TROUPE_OK);
    return pid;
}

static troupe_pid numbered(struct stage *stage, unsigned index)
{
    char name[32];

    snprintf(name, sizeof name, "spread.%u", index);
    return troupe_runtime_whereis(stage->runtime, name);
}

Test(partition, a_key_leads_to_one_of_so_many_supervisors_and_always_to_the_same, .timeout = 60)
{
    unsigned hits[PARTS] = {0};
    troupe_pid pids[PARTS];
    struct stage stage;

    stage_open(&stage, 2);
    (void)start(stage.runtime, &spread);
    for (unsigned i = 0; i < PARTS; i++) {
        pids[i] = numbered(&stage, i);
        cr_assert_neq(pids[i], TROUPE_NOBODY);
    }
    /* Keys with a step, too. */
    for (uint64_t key = 0; key < 8000; key += PARTS) {
        troupe_pid pid = partition(&stage, key);
        unsigned at = 0;

        cr_assert_eq(partition(&stage, key), pid);
        while (at < PARTS && pids[at] != pid) {
            at++;
        }
        cr_assert_lt(at, PARTS);
        hits[at]++;
    }
    for (unsigned i = 0; i < PARTS; i++) {
        cr_assert(hits[i] > 60 && hits[i] < 250, "partition %u: %u of 1000", i, hits[i]);
    }
    stage_close(&stage);
}

Test(partition, children_are_started_and_found_by_their_ids, .timeout = 60)
{
    struct troupe_child_answer answer;
    struct troupe_children total;
    struct stage stage;
    char id[16];

    stage_open(&stage, 2);
    (void)start(stage.runtime, &spread);
    for (unsigned i = 0; i < 100; i++) {
        snprintf(id, sizeof id, "child %u", i);
        cr_assert_eq(to_child(&stage, TROUPE_CHILD_START, id, &answer), TROUPE_OK);
        cr_assert(troupe_is_alive(stage.runtime, answer.pid));
        cr_assert_eq(to_child(&stage, TROUPE_CHILD_START, id, &answer), TROUPE_EEXIST);
    }
    total = count(&stage);
    cr_assert_eq(total.specs, 100);
    cr_assert_eq(total.active, 100);
    cr_assert_eq(total.workers, 100);
    cr_assert_eq(total.row_count, 0);
    cr_assert_eq(to_child(&stage, TROUPE_CHILD_TERMINATE, "child 7", &answer), TROUPE_OK);
    cr_assert_eq(to_child(&stage, TROUPE_CHILD_WHICH, "child 7", &answer), TROUPE_OK);
    cr_assert_eq(answer.state, TROUPE_CHILD_STOPPED);
    cr_assert_eq(count(&stage).active, 99);
    cr_assert_eq(to_child(&stage, TROUPE_CHILD_RESTART, "child 7", &answer), TROUPE_OK);
    cr_assert_eq(count(&stage).active, 100);
    cr_assert_eq(to_child(&stage, TROUPE_CHILD_TERMINATE, "child 8", &answer), TROUPE_OK);
    cr_assert_eq(to_child(&stage, TROUPE_CHILD_DELETE, "child 8", &answer), TROUPE_OK);
    cr_assert_eq(to_child(&stage, TROUPE_CHILD_WHICH, "child 8", &answer), TROUPE_ENOENT);
    cr_assert_eq(count(&stage).specs, 99);
    stage_close(&stage);
}

/* The intensity is each one's own. */
Test(partition, one_that_gives_up_is_restarted_and_the_others_go_on, .timeout = 60)
{
    const struct troupe_child_spec child = {.id = "first", .behaviour = &puppet_plain};
    const struct troupe_supervisor_spec spec = {.name = "spread",
        .partitions = PARTS,
        .intensity = 1,
        .children = &child,
        .child_count = 1};
    troupe_pid before[PARTS];
    struct stage stage;
    troupe_pid broken;
    unsigned changed = 0;

    stage_open(&stage, 2);
    (void)start(stage.runtime, &spec);
    for (unsigned i = 0; i < PARTS; i++) {
        before[i] = numbered(&stage, i);
    }
    broken = before[3];
    /* Once is forgiven, the second time is one too many for this partition alone. */
    for (unsigned n = 0; n < 2; n++) {
        troupe_pid victim = troupe_runtime_whereis(stage.runtime, "spread.3.first");

        puppet_tell(stage.runtime, victim, end_with_error, NULL, NULL);
        STAGE_AWAIT(
            &stage, troupe_runtime_whereis(stage.runtime, "spread.3.first") != victim &&
                        troupe_runtime_whereis(stage.runtime, "spread.3.first") != TROUPE_NOBODY);
    }
    STAGE_AWAIT(&stage, troupe_runtime_whereis(stage.runtime, "spread.3") != broken);
    STAGE_AWAIT(&stage, troupe_runtime_whereis(stage.runtime, "spread.3") != TROUPE_NOBODY);
    for (uint64_t key = 0; key < 1000; key++) {
        troupe_pid pid = partition(&stage, key);
        bool known = false;

        for (unsigned i = 0; i < PARTS; i++) {
            known = known || pid == before[i];
        }
        changed += known ? 0 : 1;
        cr_assert_neq(pid, broken);
    }
    /* The keys of one of eight. */
    cr_assert(changed > 60 && changed < 250, "%u", changed);
    cr_assert_eq(stage_reports(&stage, TROUPE_REPORT_GIVE_UP), 1);
    stage_close(&stage);
}

Test(partition, a_partitioned_supervisor_may_stand_in_a_tree, .timeout = 60)
{
    const struct troupe_child_spec leaf = {.id = "leaf", .behaviour = &idle};
    const struct troupe_supervisor_spec inner = {
        .partitions = 3, .children = &leaf, .child_count = 1};
    const struct troupe_child_spec child = {.id = "inner", .tree = &inner};
    const struct troupe_supervisor_spec top = {.name = "top", .children = &child, .child_count = 1};
    struct troupe_children total;
    struct stage stage;

    stage_open(&stage, 2);
    (void)start(stage.runtime, &top);
    cr_assert_neq(troupe_runtime_whereis(stage.runtime, "top.inner.2.leaf"), TROUPE_NOBODY);
    cr_assert_eq(
        troupe_runtime_partition_count(stage.runtime, "top.inner", 3, TROUPE_FOREVER, &total),
        TROUPE_OK);
    cr_assert_eq(total.workers, 3);
    stage_close(&stage);
}

static _Atomic int told;

static int on_started(
    struct troupe_actor *self, void *state, void *context, int status, struct troupe_message *reply)
{
    (void)self;
    (void)state;
    (void)context;
    cr_assert_eq(status, TROUPE_OK);
    told = 1 + ((const struct troupe_child_answer *)troupe_body(reply))->status;
    return TROUPE_OK;
}

static int put_start(struct troupe_actor *self, void *arg)
{
    const struct troupe_child_spec spec = {.id = "mine", .behaviour = &idle};

    (void)arg;
    return troupe_partition_child(
        self, "spread", PARTS, TROUPE_CHILD_START, NULL, &spec, TROUPE_FOREVER, on_started, NULL);
}

Test(partition, an_actor_asks_in_one_call_too, .timeout = 60)
{
    struct troupe_child_answer answer;
    struct stage stage;

    stage_open(&stage, 2);
    (void)start(stage.runtime, &spread);
    cr_assert_eq(
        stage_do(&stage, stage_spawn(&stage, &stage_puppet, NULL), put_start, NULL), TROUPE_OK);
    STAGE_AWAIT(&stage, told == 1);
    cr_assert_eq(to_child(&stage, TROUPE_CHILD_WHICH, "mine", &answer), TROUPE_OK);
    stage_close(&stage);
}

Test(partition, one_that_is_not_there_is_said_so, .timeout = 60)
{
    struct troupe_child_answer answer;
    struct stage stage;
    troupe_pid pid;

    stage_open(&stage, 2);
    cr_assert_eq(troupe_partition(stage.runtime, "spread", PARTS, 1, &pid), TROUPE_ENOENT);
    cr_assert_eq(to_child(&stage, TROUPE_CHILD_START, "a", &answer), TROUPE_ENOENT);
    stage_close(&stage);
}

/* ---- many ---- */

#define STARTERS 64
#define EACH 1563

static _Atomic unsigned answered;

struct starter {
    uint64_t begun;
    uint64_t first;
};

static int start_next(struct troupe_actor *self, struct starter *starter);

static int on_spawned(
    struct troupe_actor *self, void *state, void *context, int status, struct troupe_message *reply)
{
    (void)context;
    cr_assert_eq(status, TROUPE_OK);
    cr_assert_eq(((const struct troupe_child_answer *)troupe_body(reply))->status, TROUPE_OK);
    answered++;
    return start_next(self, state);
}

static int start_next(struct troupe_actor *self, struct starter *starter)
{
    troupe_pid pid;

    if (starter->begun == EACH) {
        return TROUPE_DONE;
    }
    TROUPE_TRY(troupe_partition(
        troupe_runtime_of(self), "spread", PARTS, starter->first + starter->begun++, &pid));
    return troupe_child_spawn(self, pid, NULL, 0, TROUPE_FOREVER, on_spawned, NULL);
}

static int starter_init(struct troupe_actor *self, void *state, const void *arg)
{
    struct starter *starter = state;

    starter->first = *(const uint64_t *)arg;
    return start_next(self, starter);
}

static const struct troupe_behaviour starter = {.name = "starter",
    .state_size = sizeof(struct starter),
    .init = starter_init,
    .receive = idle_receive};

Test(partition, a_hundred_thousand_children_are_spread_over_them, .timeout = 120)
{
    const struct troupe_child_spec template = {.id = "any", .behaviour = &idle};
    const struct troupe_supervisor_spec spec = {.name = "spread",
        .partitions = PARTS,
        .strategy = TROUPE_SIMPLE_ONE_FOR_ONE,
        .children = &template,
        .child_count = 1};
    struct troupe_children total;
    struct stage stage;

    stage_open(&stage, 2);
    (void)start(stage.runtime, &spec);
    for (uint64_t i = 0; i < STARTERS; i++) {
        uint64_t first = i * EACH;
        troupe_pid pid;

        cr_assert_eq(troupe_runtime_spawn(stage.runtime,
                         (&(struct troupe_spawn_options){
                             .behaviour = &starter, .arg = &first, .arg_size = sizeof first}),
                         &pid),
            TROUPE_OK);
    }
    STAGE_AWAIT(&stage, answered == STARTERS * EACH);
    total = count(&stage);
    cr_assert_eq(total.active, STARTERS * EACH);
    cr_assert_eq(total.specs, PARTS);
    stage_close(&stage);
}
