/* SPDX-License-Identifier: MIT */
/*
 * cobwebbed_tree.c - a tree of 200 000 actors that grows unevenly, and is then worked through from the top.
 *
 * A node asks the root whether it may have ten children, and the root tosses a coin for each, until there are as many nodes
 * as there may be.  Threads thus lead from every node to the root beside those of the tree: the cobweb.  Then each node is
 * told to work, passes that on, and sums of what the work led to go up.  All nodes are alive at once.
 */
#include "harness.h"
#include "random.h"
#include "work.h"

#define NODES 200000U
#define CHILDREN 10U
#define STEPS_MIN 400U
#define STEPS_RANGE 201U

static const struct troupe_type go_on = TROUPE_SIGNAL;
static const struct troupe_type ask = TROUPE_SIGNAL;
static const struct troupe_type grow = TROUPE_TYPE(uint64_t); /* body: number of the first child */
static const struct troupe_type traverse = TROUPE_SIGNAL;
static const struct troupe_type sum_type = TROUPE_TYPE(uint64_t);

struct node {
    struct bench_run *run;
    troupe_pid root; /* NOBODY: this is the root */
    troupe_pid parent;
    uint64_t number;
    troupe_pid children[CHILDREN];
    bool is_leaf;
    unsigned left; /* children whose sum has not come */
    uint64_t sum;
};

/* The root is a node, and knows how many there are. */
struct root {
    struct node node; /* first: what a node does gets this */
    struct bench_random random;
    uint64_t nodes;
    uint64_t nodes_max;
    uint64_t open; /* nodes that have not asked */
};

static const struct troupe_behaviour node_behaviour;

static uint64_t work_of(uint64_t number)
{
    return bench_work_from((uint32_t)number, STEPS_MIN + (uint32_t)(number * 7919 % STEPS_RANGE));
}

static int spawn_children(struct troupe_actor *self, struct node *node, uint64_t first)
{
    struct node child = {
        .run = node->run,
        .root = node->root == TROUPE_NOBODY ? troupe_self(self) : node->root,
        .parent = troupe_self(self),
        .is_leaf = true,
    };
    struct troupe_spawn_options options = {
        .behaviour = &node_behaviour, .arg = &child, .arg_size = sizeof child};

    node->is_leaf = false;
    node->left = CHILDREN;
    for (unsigned i = 0; i < CHILDREN; i++) {
        child.number = first + i;
        TROUPE_TRY(troupe_spawn(self, &options, &node->children[i]));
    }
    return TROUPE_OK;
}

/* The work of this node, and then of those below. */
static int work_through(struct troupe_actor *self, struct node *node)
{
    node->sum = work_of(node->number);
    if (node->is_leaf) {
        TROUPE_TRY(troupe_send(self, node->parent, &sum_type, &node->sum));
        return TROUPE_DONE;
    }
    for (unsigned i = 0; i < CHILDREN; i++) {
        TROUPE_TRY(troupe_send(self, node->children[i], &traverse, NULL));
    }
    return TROUPE_OK;
}

/* Whether this was the last child's. */
static bool add(struct node *node, const struct troupe_message *msg)
{
    node->sum += *(const uint64_t *)troupe_body(msg);
    return --node->left == 0;
}

static int node_init(struct troupe_actor *self, void *state, const void *arg)
{
    struct node *node = state;

    *node = *(const struct node *)arg;
    return troupe_send(self, node->root, &ask, NULL);
}

static int node_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct node *node = state;

    if (troupe_is(msg, &grow)) {
        return spawn_children(self, node, *(uint64_t *)troupe_body(msg));
    }
    if (troupe_is(msg, &traverse)) {
        return work_through(self, node);
    }
    if (!add(node, msg)) {
        return TROUPE_OK;
    }
    TROUPE_TRY(troupe_send(self, node->parent, &sum_type, &node->sum));
    return TROUPE_DONE;
}

/* ---- the root ---- */

static int root_init(struct troupe_actor *self, void *state, const void *arg)
{
    (void)self;
    *(struct root *)state = *(const struct root *)arg;
    return TROUPE_OK;
}

/* The number of the first of ten more nodes. */
static uint64_t count_children(struct root *root)
{
    uint64_t first = root->nodes;

    root->nodes += CHILDREN;
    root->open += CHILDREN;
    return first;
}

/* Yes, if there is room and the coin says so, or if nobody else could make the tree grow.  A no is not said. */
static int decide(struct troupe_actor *self, struct root *root, troupe_pid node)
{
    bool has_room = root->nodes + CHILDREN <= root->nodes_max;
    bool is_last = --root->open == 0;
    uint64_t first;

    if (has_room && (is_last || bench_random_below(&root->random, 2) == 0)) {
        first = count_children(root);
        return troupe_send(self, node, &grow, &first);
    }
    return is_last ? work_through(self, &root->node) : TROUPE_OK;
}

static int root_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct root *root = state;

    if (troupe_is(msg, &ask)) {
        return decide(self, root, troupe_sender(msg));
    }
    if (troupe_is(msg, &go_on)) {
        return spawn_children(self, &root->node, count_children(root));
    }
    if (add(&root->node, msg)) {
        bench_tally(root->node.run, root->nodes, root->node.sum);
        bench_part_done(root->node.run);
    }
    return TROUPE_OK;
}

static const struct troupe_behaviour node_behaviour = {
    .name = "node",
    .state_size = sizeof(struct node),
    .init = node_init,
    .receive = node_receive,
};

/* Room for what all nodes ask at once. */
static const struct troupe_behaviour root_behaviour = {
    .name = "root",
    .state_size = sizeof(struct root),
    .init = root_init,
    .receive = root_receive,
    .capacity = TROUPE_CAPACITY_MAX,
    .capacity_bytes = TROUPE_CAPACITY_BYTES_MAX,
};

static int start(struct bench_run *run)
{
    uint64_t tens = (bench_scaled(run, NODES) - 1) / CHILDREN;
    uint64_t grown = tens > 1 ? tens : 1; /* nodes with children */
    uint64_t below = grown * CHILDREN;    /* nodes but the root */
    struct root root = {
        .node = {.run = run},
        .random = bench_random_seeded(1),
        .nodes = 1,
        .nodes_max = below + 1,
    };
    troupe_pid pid;

    run->expected_count = below + 1;
    for (uint64_t number = 0; number <= below; number++) {
        run->expected_sum += work_of(number);
    }
    TROUPE_TRY(bench_spawn(run, &root_behaviour, &root, sizeof root, &pid));
    /* Each is asked about, told and summed up; and all with children but the root may have them. */
    bench_begin(run, 3 * below + grown - 1, 1);
    return bench_signal(run, pid, &go_on);
}

const struct bench_workload bench_cobwebbed_tree = {
    .name = "cobwebbed_tree",
    .about = "an uneven tree of 200 000 actors that ask its root, and are worked through",
    .actors = NODES,
    .start = start,
};
