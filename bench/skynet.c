/* SPDX-License-Identifier: MIT */
/*
 * skynet.c - a tree of actors, ten children each, whose leaves are numbered and send their numbers up to be summed.
 *
 * A leaf does all it has to in its init.  The tree has as many leaves as the greatest power of ten within the scale.
 */
#include "harness.h"

#define LEAVES 1000000U
#define CHILDREN 10U

static const struct troupe_type sum_type = TROUPE_TYPE(uint64_t);

struct node {
    struct bench_run *run;
    troupe_pid parent;
    uint64_t number; /* of its first leaf */
    uint64_t leaves;
    uint64_t sum;
    unsigned left; /* children that have not answered */
};

static int spawn_children(struct troupe_actor *self, const struct node *node);

static int node_init(struct troupe_actor *self, void *state, const void *arg)
{
    struct node *node = state;

    *node = *(const struct node *)arg;
    if (node->leaves == 1) {
        TROUPE_TRY(troupe_send(self, node->parent, &sum_type, &node->number));
        return TROUPE_DONE;
    }
    return spawn_children(self, node);
}

static int node_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct node *node = state;

    node->sum += *(uint64_t *)troupe_body(msg);
    if (--node->left > 0) {
        return TROUPE_OK;
    }
    TROUPE_TRY(troupe_send(self, node->parent, &sum_type, &node->sum));
    return TROUPE_DONE;
}

static const struct troupe_behaviour node_behaviour = {
    .name = "node",
    .state_size = sizeof(struct node),
    .init = node_init,
    .receive = node_receive,
};

static int spawn_children(struct troupe_actor *self, const struct node *node)
{
    uint64_t share = node->leaves / CHILDREN;
    struct node child = {
        .run = node->run, .parent = troupe_self(self), .leaves = share, .left = CHILDREN};
    struct troupe_spawn_options options = {
        .behaviour = &node_behaviour, .arg = &child, .arg_size = sizeof child};

    for (unsigned i = 0; i < CHILDREN; i++) {
        troupe_pid pid;

        child.number = node->number + i * share;
        TROUPE_TRY(troupe_spawn(self, &options, &pid));
    }
    return TROUPE_OK;
}

/* ---- the one above the root ---- */

static int top_init(struct troupe_actor *self, void *state, const void *arg)
{
    (void)self;
    *(struct node *)state = *(const struct node *)arg;
    return TROUPE_OK;
}

/* The first message starts the tree, the second one is its sum. */
static int top_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct node *top = state;
    struct node root = *top;
    struct troupe_spawn_options options = {
        .behaviour = &node_behaviour, .arg = &root, .arg_size = sizeof root};
    troupe_pid pid;

    if (troupe_is(msg, &sum_type)) {
        bench_tally(top->run, 1, *(uint64_t *)troupe_body(msg));
        bench_part_done(top->run);
        return TROUPE_OK;
    }
    root.parent = troupe_self(self);
    return troupe_spawn(self, &options, &pid);
}

static const struct troupe_behaviour top_behaviour = {
    .name = "top",
    .state_size = sizeof(struct node),
    .init = top_init,
    .receive = top_receive,
};

static int start(struct bench_run *run)
{
    static const struct troupe_type go_on = TROUPE_SIGNAL;
    struct node top = {.run = run, .leaves = CHILDREN, .left = CHILDREN};
    uint64_t actors = 1 + CHILDREN;
    troupe_pid pid;

    while (top.leaves * CHILDREN <= bench_scaled(run, LEAVES)) {
        top.leaves *= CHILDREN;
        actors += top.leaves;
    }
    TROUPE_TRY(bench_spawn(run, &top_behaviour, &top, sizeof top, &pid));
    run->expected_count = 1;
    run->expected_sum = top.leaves * (top.leaves - 1) / 2;
    bench_begin(run, actors, 1);
    return bench_signal(run, pid, &go_on);
}

const struct bench_workload bench_skynet = {
    .name = "skynet",
    .about = "a tree of actors with 1 000 000 leaves, ten children each, summed up",
    .actors = LEAVES + LEAVES / 9,
    .start = start,
};
