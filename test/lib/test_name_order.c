/* SPDX-License-Identifier: MIT */
/* Name order: what was put in comes out sorted, from anywhere on. */
#include "name_order.h"

#include <criterion/criterion.h>
#include <stdio.h>

#include "test/support/random.h"

#define NODES 400

struct node {
    struct trp_name_order order;
    char text[8];
    bool in;
};

static struct node nodes[NODES];

/* nodes[] is sorted: the first one that is in, from number `from` on. */
static struct trp_name_order *expected(unsigned from)
{
    while (from < NODES && !nodes[from].in) {
        from++;
    }
    return from < NODES ? &nodes[from].order : NULL;
}

static unsigned depth(const struct trp_name_order *root)
{
    unsigned left = root == NULL ? 0 : depth(root->child[0]);
    unsigned right = root == NULL ? 0 : depth(root->child[1]);

    return root == NULL ? 0 : 1 + (left > right ? left : right);
}

Test(name_order, it_is_a_sorted_list_whatever_comes_and_goes, .timeout = 60)
{
    struct test_random random = test_random_of(test_seed("name_order"));
    struct trp_name_order *root = NULL;

    for (unsigned i = 0; i < NODES; i++) {
        snprintf(nodes[i].text, sizeof nodes[i].text, "%03u", i);
    }
    for (unsigned round = 0; round < 100000; round++) {
        unsigned i = (unsigned)(test_next(&random) % NODES);

        if (nodes[i].in) {
            trp_name_order_remove(&root, &nodes[i].order);
        } else {
            nodes[i].order = (struct trp_name_order){
                .text = nodes[i].text, .priority = test_next(&random) % 1000};
            trp_name_order_insert(&root, &nodes[i].order);
        }
        nodes[i].in = !nodes[i].in;
        cr_assert_eq(trp_name_order_find(root, nodes[i].text, false), expected(i));
        cr_assert_eq(trp_name_order_find(root, nodes[i].text, true), expected(i + 1));
        i = (unsigned)(test_next(&random) % NODES);
        cr_assert_eq(trp_name_order_find(root, nodes[i].text, true), expected(i + 1));
    }
    cr_assert_eq(trp_name_order_find(root, "", false), expected(0));
    cr_assert_null(trp_name_order_find(root, "999", true));
}

Test(name_order, names_that_come_in_order_do_not_make_it_deep, .timeout = 60)
{
    struct test_random random = test_random_of(test_seed("name_order"));
    struct trp_name_order *root = NULL;

    for (unsigned i = 0; i < NODES; i++) {
        snprintf(nodes[i].text, sizeof nodes[i].text, "%03u", i);
        nodes[i].order =
            (struct trp_name_order){.text = nodes[i].text, .priority = test_next(&random)};
        trp_name_order_insert(&root, &nodes[i].order);
    }
    cr_assert_lt(depth(root), 60);
}
