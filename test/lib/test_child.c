/* SPDX-License-Identifier: MIT */
/* Child: specs are checked field by field, and copied whole. */
#include "child.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <troupe/registry.h>

#include "trie.h"

#include "test/support/random.h"

static int receive_nothing(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    (void)self;
    (void)state;
    (void)msg;
    return TROUPE_OK;
}

static int return_at_once(struct troupe_actor *self, const void *arg)
{
    (void)self;
    (void)arg;
    return TROUPE_OK;
}

static const struct troupe_behaviour good = {.name = "good", .receive = receive_nothing};
static const struct troupe_behaviour nameless = {.receive = receive_nothing};
static const struct troupe_behaviour deaf = {.name = "deaf"};
static const struct troupe_behaviour deep = {
    .name = "deep", .receive = receive_nothing, .stack_size = TROUPE_STACK_MAX + 1};

/* ---- checking ---- */

static int check_child(struct troupe_child_spec child, const char **out_text)
{
    struct troupe_supervisor_spec spec = {.name = "top", .children = &child, .child_count = 1};

    return troupe_supervisor_check(&spec, out_text);
}

Test(child, a_good_spec_is_good)
{
    static const struct troupe_child_spec children[] = {
        {.id = "a", .behaviour = &good},
        {.id = "b",
            .behaviour = &good,
            .arg = "x",
            .arg_size = 2,
            .restart = TROUPE_TEMPORARY,
            .shutdown_ms = TROUPE_BRUTAL_KILL,
            .start_timeout_ms = TROUPE_NOW},
        {.id = "c",
            .behaviour = &good,
            .shutdown_ms = TROUPE_FOREVER,
            .start_timeout_ms = TROUPE_FOREVER,
            .keep_mailbox = true},
    };
    struct troupe_supervisor_spec spec = {
        .name = "top", .children = children, .child_count = TROUPE_COUNT(children)};
    const char *text = "untouched";

    cr_assert_eq(troupe_supervisor_check(&spec, &text), TROUPE_OK);
    cr_assert_str_eq(text, "untouched");
    cr_assert_eq(troupe_supervisor_check(&(struct troupe_supervisor_spec){0}, NULL), TROUPE_OK);
}

static enum troupe_directive by_type(void *context, const struct troupe_reason *reason)
{
    (void)context;
    (void)reason;
    return TROUPE_DECIDE_BY_TYPE;
}

static struct troupe_supervisor_spec empty_tree;
static const struct troupe_via empty_via;
static struct troupe_supervisor_spec self_ending_tree = {
    .auto_shutdown = TROUPE_SHUTDOWN_ALL_SIGNIFICANT};

static const struct fault {
    struct troupe_child_spec child;
    const char *field;
} child_faults[] = {
    {{.behaviour = &good}, "id"},
    {{.id = "", .behaviour = &good}, "id"},
    {{.id = "a"}, "behaviour"},
    {{.id = "a", .behaviour = &good, .tree = &empty_tree}, "behaviour"},
    {{.id = "a", .behaviour = &good, .main = return_at_once}, "behaviour, tree, main"},
    {{.id = "a", .tree = &empty_tree, .main = return_at_once}, "behaviour, tree, main"},
    {{.id = "a", .main = return_at_once, .decide = by_type, .may_resume = true}, "may_resume"},
    {{.id = "a", .behaviour = &nameless}, "behaviour"},
    {{.id = "a", .behaviour = &deaf}, "behaviour"},
    {{.id = "a", .behaviour = &deep}, "behaviour"},
    {{.id = "a", .behaviour = &good, .arg_size = 8}, "arg_size"},
    {{.id = "a", .tree = &empty_tree, .arg = "x"}, "arg"},
    {{.id = "a", .behaviour = &good, .restart = (enum troupe_restart)3}, "restart"},
    {{.id = "a", .behaviour = &good, .significant = true, .restart = TROUPE_TEMPORARY},
        "significant"},
    {{.id = "a", .behaviour = &good, .significant = true}, "significant"},
    {{.id = "a", .tree = &self_ending_tree}, "restart"},
    {{.id = "a", .behaviour = &good, .shutdown_ms = -4}, "shutdown_ms"},
    {{.id = "a", .behaviour = &good, .start_timeout_ms = TROUPE_BRUTAL_KILL}, "start_timeout_ms"},
    {{.id = "a", .behaviour = &good, .start_timeout_ms = -4}, "start_timeout_ms"},
    {{.id = "a", .behaviour = &good, .kill_grace_ms = -4}, "kill_grace_ms"},
    {{.id = "a", .behaviour = &good, .kill_grace_ms = TROUPE_BRUTAL_KILL}, "kill_grace_ms"},
    {{.id = "a", .behaviour = &good, .unkillable = (enum troupe_unkillable)3}, "unkillable"},
    {{.id = "a", .behaviour = &good, .may_resume = true}, "may_resume"},
    {{.id = "a", .tree = &empty_tree, .decide = by_type, .may_resume = true}, "may_resume"},
    {{.id = "a", .behaviour = &good, .via = &empty_via}, "via"},
    {{.id = "a", .behaviour = &good, .backoff = {.min_ms = -1}}, "backoff"},
    {{.id = "a", .behaviour = &good, .backoff = {.min_ms = 2, .max_ms = 1}}, "backoff"},
    {{.id = "a", .behaviour = &good, .backoff = {.min_ms = 2, .jitter_percent = 101}}, "backoff"},
    {{.id = "a", .behaviour = &good, .backoff = {.min_ms = 2, .jitter_percent = -2}}, "backoff"},
    {{.id = "a", .behaviour = &good, .backoff = {.min_ms = 2, .reset_ms = -1}}, "backoff"},
};

Test(child, each_wrong_field_of_a_child_is_named)
{
    for (unsigned i = 0; i < TROUPE_COUNT(child_faults); i++) {
        const char *text = "";

        cr_assert_eq(check_child(child_faults[i].child, &text), TROUPE_EINVAL, "fault %u", i);
        cr_assert_eq(strncmp(text, child_faults[i].field, strlen(child_faults[i].field)), 0,
            "fault %u: %s", i, text);
        cr_assert_eq(check_child(child_faults[i].child, NULL), TROUPE_EINVAL);
    }
}

static const struct troupe_child_spec two_children[] = {
    {.id = "a", .behaviour = &good}, {.id = "b", .behaviour = &good}};

static const struct supervisor_case {
    struct troupe_supervisor_spec spec;
    const char *field;
} supervisor_faults[] = {
    {{.strategy = (enum troupe_strategy)(TROUPE_POOL + 1)}, "strategy"},
    {{.strategy = TROUPE_SIMPLE_ONE_FOR_ONE}, "child_count"},
    {{.strategy = TROUPE_SIMPLE_ONE_FOR_ONE, .children = two_children, .child_count = 2},
        "child_count"},
    {{.strategy = TROUPE_SIMPLE_ONE_FOR_ONE,
         .auto_shutdown = TROUPE_SHUTDOWN_ANY_SIGNIFICANT,
         .children = two_children,
         .child_count = 1},
        "auto_shutdown"},
    {{.auto_shutdown = (enum troupe_auto_shutdown)3}, "auto_shutdown"},
    {{.partitions = 2}, "partitions"},
    {{.name = "a", .partitions = TROUPE_PARTITIONS_MAX + 1}, "partitions"},
    {{.name = "a", .partitions = 2, .auto_shutdown = TROUPE_SHUTDOWN_ANY_SIGNIFICANT},
        "auto_shutdown"},
    {{.pool_size = 2}, "pool_size"},
    {{.strategy = TROUPE_POOL}, "child_count"},
    {{.intensity = -2}, "intensity"},
    {{.period_ms = -1}, "period_ms"},
    {{.child_count = 1}, "children"},
    {{.name = ""}, "name"},
};

Test(child, each_wrong_field_of_a_supervisor_is_named)
{
    const char *text = "";

    for (unsigned i = 0; i < TROUPE_COUNT(supervisor_faults); i++) {
        cr_assert_eq(troupe_supervisor_check(&supervisor_faults[i].spec, &text), TROUPE_EINVAL);
        cr_assert_eq(strncmp(text, supervisor_faults[i].field, strlen(supervisor_faults[i].field)),
            0, "fault %u: %s", i, text);
    }
    cr_assert_eq(troupe_supervisor_check(NULL, &text), TROUPE_EINVAL);
}

/* Semantics section 6: only where its end can end the supervisor, and of a child that can end for good. */
Test(child, significant_is_for_children_that_end_under_supervisors_that_then_do)
{
    struct troupe_child_spec child = {.id = "a", .behaviour = &good, .significant = true};
    struct troupe_supervisor_spec spec = {.children = &child, .child_count = 1};

    for (int type = TROUPE_PERMANENT; type <= TROUPE_TEMPORARY; type++) {
        for (int when = TROUPE_SHUTDOWN_NEVER; when <= TROUPE_SHUTDOWN_ALL_SIGNIFICANT; when++) {
            bool right = type != TROUPE_PERMANENT && when != TROUPE_SHUTDOWN_NEVER;
            const char *text = "";

            child.restart = (enum troupe_restart)type;
            spec.auto_shutdown = (enum troupe_auto_shutdown)when;
            cr_assert_eq(troupe_supervisor_check(&spec, &text), right ? TROUPE_OK : TROUPE_EINVAL);
            cr_assert(right || strncmp(text, "significant", 11) == 0, "%s", text);
        }
    }
}

Test(child, two_children_with_one_id_are_refused_in_small_and_large_trees)
{
    static struct troupe_child_spec children[1000];
    static char ids[1000][16];

    for (unsigned count = 2; count <= 1000; count *= 10) {
        struct troupe_supervisor_spec spec = {.children = children, .child_count = count};

        for (unsigned i = 0; i < count; i++) {
            snprintf(ids[i], sizeof ids[i], "child %u", i);
            children[i] = (struct troupe_child_spec){.id = ids[i], .behaviour = &good};
        }
        cr_assert_eq(troupe_supervisor_check(&spec, NULL), TROUPE_OK);
        children[count - 1].id = "child 0";
        cr_assert_eq(troupe_supervisor_check(&spec, NULL), TROUPE_EINVAL);
    }
}

Test(child, more_children_than_child_max_are_refused)
{
    static const struct troupe_child_spec children[] = {
        {.id = "a", .behaviour = &good}, {.id = "b", .behaviour = &good}};
    struct troupe_supervisor_spec spec = {.children = children, .child_count = 2, .child_max = 1};

    cr_assert_eq(troupe_supervisor_check(&spec, NULL), TROUPE_EINVAL);
    spec.child_max = 2;
    cr_assert_eq(troupe_supervisor_check(&spec, NULL), TROUPE_OK);
}

Test(child, a_fault_deep_in_the_tree_is_found)
{
    static const struct troupe_child_spec leaf = {.id = "leaf"};
    static const struct troupe_supervisor_spec low = {.children = &leaf, .child_count = 1};
    static const struct troupe_child_spec middle = {.id = "low", .tree = &low};
    static const struct troupe_supervisor_spec top = {.children = &middle, .child_count = 1};

    cr_assert_eq(troupe_supervisor_check(&top, NULL), TROUPE_EINVAL);
}

Test(child, a_child_supervisor_has_no_name_of_its_own)
{
    static const struct troupe_supervisor_spec low = {.name = "mine"};

    cr_assert_eq(
        check_child((struct troupe_child_spec){.id = "a", .tree = &low}, NULL), TROUPE_EINVAL);
}

Test(child, a_tree_that_contains_itself_is_refused)
{
    static struct troupe_child_spec child = {.id = "again"};
    static struct troupe_supervisor_spec spec = {.children = &child, .child_count = 1};
    const char *text = "";

    child.tree = &spec;
    cr_assert_eq(troupe_supervisor_check(&spec, &text), TROUPE_EINVAL);
    cr_assert_eq(strncmp(text, "tree", 4), 0);
}

Test(child, names_that_grow_too_long_on_the_way_down_are_refused)
{
    char id[TROUPE_NAME_MAX + 1];

    memset(id, 'x', sizeof id);
    id[TROUPE_NAME_MAX - 4] = '\0'; /* "top." and this are exactly the longest name */
    cr_assert_eq(
        check_child((struct troupe_child_spec){.id = id, .behaviour = &good}, NULL), TROUPE_OK);
    id[TROUPE_NAME_MAX - 4] = 'x';
    id[TROUPE_NAME_MAX - 3] = '\0';
    cr_assert_eq(
        check_child((struct troupe_child_spec){.id = id, .behaviour = &good}, NULL), TROUPE_EINVAL);
}

/* ---- plans ---- */

static struct trp_plan *plan_new(const struct troupe_supervisor_spec *spec)
{
    size_t size = trp_plan_size(spec);
    struct trp_plan *plan = aligned_alloc(16, size);

    cr_assert_not_null(plan);
    trp_plan_write(plan, spec);
    cr_assert_eq(plan->size, size);
    return plan;
}

Test(child, a_plan_holds_defaults_ids_and_arguments_of_its_own)
{
    char id[] = "first";
    int arg = 42;
    struct troupe_child_spec children[] = {
        {.id = id, .behaviour = &good, .arg = &arg, .arg_size = sizeof arg},
        {.id = "second",
            .behaviour = &good,
            .arg = &arg,
            .shutdown_ms = TROUPE_NOW,
            .start_timeout_ms = 7,
            .restart = TROUPE_TRANSIENT,
            .keep_mailbox = true},
    };
    struct troupe_supervisor_spec spec = {.children = children, .child_count = 2, .intensity = 9};
    struct trp_plan *plan = plan_new(&spec);

    memset(id, 'z', sizeof id - 1);
    arg = 0;
    memset(children, 0, sizeof children);
    cr_assert_eq(plan->child_count, 2);
    cr_assert_eq(plan->intensity, 9);
    cr_assert_eq(plan->period_ns, 5000000000U);
    cr_assert_str_eq(trp_plan_id(plan, &plan->children[0]), "first");
    cr_assert_eq(plan->children[0].arg_size, sizeof arg);
    cr_assert_eq(*(int *)(void *)((char *)plan + plan->children[0].arg_at), 42);
    cr_assert_eq(plan->children[0].shutdown_ms, 5000);
    cr_assert_eq(plan->children[0].start_timeout_ms, 5000);
    cr_assert_eq(plan->children[1].arg, (const void *)&arg);
    cr_assert_eq(plan->children[1].arg_at, 0);
    cr_assert_eq(plan->children[1].shutdown_ms, 0);
    cr_assert_eq(plan->children[1].start_timeout_ms, 7);
    cr_assert_eq(plan->children[1].restart, TROUPE_TRANSIENT);
    cr_assert(plan->children[1].keep_mailbox);
    free(plan);
}

Test(child, no_restarts_is_not_the_default)
{
    struct trp_plan *plan =
        plan_new(&(struct troupe_supervisor_spec){.intensity = TROUPE_NO_RESTARTS});

    cr_assert_eq(plan->intensity, 0);
    free(plan);
    plan = plan_new(&(struct troupe_supervisor_spec){0});
    cr_assert_eq(plan->intensity, 1);
    free(plan);
}

Test(child, the_plan_of_a_child_supervisor_can_be_cut_out_and_read)
{
    static const struct troupe_child_spec leaves[] = {
        {.id = "x", .behaviour = &good}, {.id = "y", .behaviour = &good}};
    static const struct troupe_supervisor_spec low = {
        .strategy = TROUPE_ONE_FOR_ALL, .children = leaves, .child_count = 2};
    static const struct troupe_child_spec children[] = {
        {.id = "before", .behaviour = &good},
        {.id = "low", .tree = &low},
        {.id = "after", .behaviour = &good},
    };
    struct troupe_supervisor_spec top = {.children = children, .child_count = 3};
    struct trp_plan *plan = plan_new(&top);
    size_t size = plan->children[1].arg_size;
    struct trp_plan *cut = aligned_alloc(16, size);

    cr_assert_not_null(cut);
    memcpy(cut, (char *)plan + plan->children[1].arg_at, size);
    cr_assert_eq(plan->children[1].behaviour, &trp_supervisor_behaviour);
    cr_assert_eq(plan->children[1].shutdown_ms, TROUPE_FOREVER);
    cr_assert_str_eq(trp_plan_id(plan, &plan->children[2]), "after");
    free(plan);
    cr_assert_eq(cut->size, size);
    cr_assert_eq(cut->strategy, TROUPE_ONE_FOR_ALL);
    cr_assert_str_eq(trp_plan_id(cut, &cut->children[0]), "x");
    cr_assert_str_eq(trp_plan_id(cut, &cut->children[1]), "y");
    free(cut);
}

/* ---- the trie that finds children and watches ---- */

struct leaf {
    struct trp_trie node;
    bool in;
};

Test(child, the_trie_finds_what_is_in_and_nothing_else)
{
    static struct leaf leaves[500];
    struct test_random random = test_random_of(test_seed("trie"));
    struct trp_trie *root = NULL;

    for (unsigned step = 0; step < 100000; step++) {
        unsigned i = (unsigned)(test_next(&random) % TROUPE_COUNT(leaves));
        uint64_t key = trp_trie_mix(i);
        struct trp_trie *found = trp_trie_find(root, key);

        cr_assert_eq(found, leaves[i].in ? &leaves[i].node : NULL);
        if (leaves[i].in) {
            trp_trie_remove(&root, &leaves[i].node);
        } else {
            trp_trie_insert(&root, &leaves[i].node, key);
        }
        leaves[i].in = !leaves[i].in;
    }
}

static bool is_wanted(struct trp_trie *node, const void *wanted)
{
    return node == wanted;
}

Test(child, the_trie_tells_equal_keys_apart)
{
    struct trp_trie nodes[100];
    struct trp_trie *root = NULL;

    for (unsigned i = 0; i < TROUPE_COUNT(nodes); i++) {
        trp_trie_insert(&root, &nodes[i], i % 2 == 0 ? 7 : UINT64_MAX);
    }
    for (unsigned i = 0; i < TROUPE_COUNT(nodes); i++) {
        cr_assert_eq(
            trp_trie_match(root, i % 2 == 0 ? 7 : UINT64_MAX, is_wanted, &nodes[i]), &nodes[i]);
        trp_trie_remove(&root, &nodes[i]);
        cr_assert_null(trp_trie_match(root, i % 2 == 0 ? 7 : UINT64_MAX, is_wanted, &nodes[i]));
    }
    cr_assert_null(root);
}
