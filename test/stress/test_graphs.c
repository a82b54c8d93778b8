/* SPDX-License-Identifier: MIT */
/*
 * Stress: whoever waits for room, wherever it leads, waits for something that comes.
 *
 * Nodes stand in a ring, in two camps, each with each, or at random, and their mailboxes hold one to four messages.  Each is an
 * actor of one of four kinds: a handler, one that may wait, a main function on a fiber, one on a thread.  For every message
 * that comes a node sends up to three to its neighbours, and a timer starts it anew when it has been idle: far more than there
 * is room for.  Whoever may wait for room does, without a limit.
 *
 * Checked while it runs: something is handled every five seconds.  Checked at the end: what each node accepted from each is
 * what was sent, in order, each once; the books balance; never was a mailbox fuller than it may be.
 *
 * The order of events is the machine's: a seed repeats what is tried, not when.  TROUPE_GRAPH_MESSAGES is how many are
 * handled in all [200000].
 */
#include <inttypes.h>
#include <stdatomic.h>

#include "test/support/random.h"
#include "test/support/stage.h"

#define NODES_MAX 16
#define SENT_MAX 3
#define TICK_MS 1
#define STILL_MS 5000
#define GRAPHS 16

/* Fails the test wherever it is, on any thread: the process ends there, and nobody runs on. */
#define must(condition)                                                                            \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "graphs: line %d: not so: %s\n", __LINE__, #condition);                \
            _exit(EXIT_FAILURE);                                                                   \
        }                                                                                          \
    } while (0)

/* ---- the world ---- */

enum shape { RING, CAMPS, ALL, ANY, SHAPES };

static const char *const shape_names[SHAPES] = {"ring", "two camps", "each with each", "at random"};

enum kind { HANDLER, WAITER, FIBER, THREAD, KINDS };

/* What the node alone writes, but what is atomic. */
struct node {
    troupe_pid pid;
    unsigned index;
    enum kind kind;
    struct test_random random;
    unsigned neighbours[NODES_MAX];
    unsigned neighbour_count;
    _Atomic uint64_t accepted[NODES_MAX]; /* of what it sent to each */
    _Atomic uint64_t heard[NODES_MAX];    /* of each */
    _Atomic uint64_t refused;
};

static struct {
    struct stage stage;
    struct node nodes[NODES_MAX];
    unsigned count;
    unsigned capacity;
    _Atomic int64_t left;     /* messages that are still to be sent */
    _Atomic unsigned sending; /* nodes that are at it, or wait for room */
    _Atomic uint64_t handled; /* so far */
} world;

struct letter {
    unsigned from;
    uint64_t serial; /* from 1, of those that its sender got accepted here */
};

static const struct troupe_type letter_type = TROUPE_TYPE(struct letter);
static const struct troupe_type tick_type = TROUPE_TYPE(struct letter);

/* ---- nodes ---- */

static int send_one(struct troupe_actor *self, struct node *node, unsigned to)
{
    struct letter letter = {node->index, node->accepted[to] + 1};
    troupe_pid pid = world.nodes[to].pid;
    int error = node->kind == HANDLER
                    ? troupe_send(self, pid, &letter_type, &letter)
                    : troupe_send_within(self, pid, &letter_type, &letter, TROUPE_FOREVER);

    must(error == TROUPE_OK || error == TROUPE_EFULL);
    if (error == TROUPE_OK) {
        node->accepted[to]++;
    } else {
        node->refused++;
    }
    return error;
}

static bool take_one_of_those_left(void)
{
    if (atomic_fetch_sub(&world.left, 1) > 0) {
        return true;
    }
    atomic_fetch_add(&world.left, 1);
    return false;
}

/* Up to three, as long as any are left; so much room there is not. */
static void send_some(struct troupe_actor *self, struct node *node)
{
    uint64_t count = 1 + test_below(&node->random, SENT_MAX);

    atomic_fetch_add(&world.sending, 1);
    while (count-- > 0 && take_one_of_those_left()) {
        uint64_t which = test_below(&node->random, node->neighbour_count);

        if (send_one(self, node, node->neighbours[which]) != TROUPE_OK) {
            atomic_fetch_add(&world.left, 1);
        }
    }
    atomic_fetch_sub(&world.sending, 1);
}

static void hear(struct node *node, struct troupe_message *msg)
{
    const struct letter *letter = troupe_body(msg);

    must(letter->from < world.count);
    must(letter->serial == node->heard[letter->from] + 1);
    node->heard[letter->from]++;
    atomic_fetch_add(&world.handled, 1);
}

static void take(struct troupe_actor *self, struct node *node, struct troupe_message *msg)
{
    if (troupe_is(msg, &letter_type)) {
        hear(node, msg);
    }
    send_some(self, node);
}

static int node_init(struct troupe_actor *self, void *state, const void *arg)
{
    struct troupe_timer timer;
    struct letter letter = {0, 0};

    *(const void **)state = arg;
    return troupe_tick_every(self, TICK_MS, &tick_type, &letter, &timer);
}

static int node_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    take(self, *(struct node **)state, msg);
    return TROUPE_OK;
}

static int node_main(struct troupe_actor *self, const void *arg)
{
    struct node *node = (struct node *)(uintptr_t)arg;

    for (;;) {
        struct troupe_message *msg;
        int error = troupe_receive(self, TICK_MS, &msg);

        if (error == TROUPE_OK) {
            take(self, node, msg);
        } else {
            must(error == TROUPE_ETIMEDOUT);
            send_some(self, node);
        }
    }
}

/* One of each kind for each capacity. */
static struct troupe_behaviour behaviour_of(enum kind kind, unsigned capacity)
{
    struct troupe_behaviour behaviour = {.name = "node", .capacity = capacity};

    if (kind == HANDLER || kind == WAITER) {
        behaviour.state_size = sizeof(struct node *);
        behaviour.init = node_init;
        behaviour.receive = node_receive;
        behaviour.may_wait = kind == WAITER;
    } else {
        behaviour.main = node_main;
        behaviour.thread = kind == THREAD;
    }
    return behaviour;
}

/* ---- graphs ---- */

static bool is_joined(enum shape shape, unsigned from, unsigned to, struct test_random *random)
{
    switch (shape) {
    case RING:
        return to == (from + 1) % world.count;
    case CAMPS:
        return from % 2 != to % 2;
    case ALL:
        return from != to;
    default:
        return from != to && (test_below(random, 3) == 0 || to == (from + 1) % world.count);
    }
}

static void draw(enum shape shape, struct test_random *random)
{
    world.count = 2 + (unsigned)test_below(random, NODES_MAX - 1);
    world.capacity = 1 + (unsigned)test_below(random, 4);
    for (unsigned i = 0; i < world.count; i++) {
        struct node *node = &world.nodes[i];

        node->index = i;
        node->kind = (enum kind)test_below(random, KINDS);
        node->random = test_random_of(test_next(random));
        for (unsigned to = 0; to < world.count; to++) {
            if (is_joined(shape, i, to, random)) {
                node->neighbours[node->neighbour_count++] = to;
            }
        }
    }
}

/* They are spawned before the runtime starts, so that each knows all. */
static void people(const struct troupe_behaviour *kinds)
{
    for (unsigned i = 0; i < world.count; i++) {
        struct node *node = &world.nodes[i];

        node->pid = stage_spawn(&world.stage, &kinds[node->kind], node);
    }
}

/* ---- a round ---- */

static void check_room(void)
{
    for (unsigned i = 0; i < world.count; i++) {
        uint32_t length;

        must(troupe_mailbox_length(world.stage.runtime, world.nodes[i].pid, &length) == TROUPE_OK);
        must(length <= world.capacity + (world.capacity * TROUPE_MARGIN_DEFAULT + 99) / 100);
    }
}

static void print_nodes(void)
{
    for (unsigned i = 0; i < world.count; i++) {
        struct node *node = &world.nodes[i];
        uint64_t heard = 0;
        uint32_t length = 0;

        for (unsigned from = 0; from < world.count; from++) {
            heard += node->heard[from];
        }
        (void)!troupe_mailbox_length(world.stage.runtime, node->pid, &length);
        fprintf(stderr,
            "node %u, kind %d, %u neighbours: heard %" PRIu64 ", refused %" PRIu64 ", %u queued\n",
            i, (int)node->kind, node->neighbour_count, heard, node->refused, length);
    }
}

static bool is_over(void)
{
    uint64_t accepted = 0;

    if (world.left > 0 || world.sending > 0) {
        return false;
    }
    for (unsigned from = 0; from < world.count; from++) {
        for (unsigned to = 0; to < world.count; to++) {
            accepted += world.nodes[from].accepted[to];
        }
    }
    return world.handled == accepted;
}

/* Until all are sent and heard.  False: nothing was handled for some seconds. */
static bool goes_on(void)
{
    uint64_t before = UINT64_MAX;
    unsigned still_ms = 0;

    while (!is_over()) {
        uint64_t handled = world.handled;
        unsigned rounds = 0;

        still_ms = handled == before ? still_ms + 1 : 0;
        before = handled;
        if (still_ms >= STILL_MS) {
            return false;
        }
        check_room();
        (void)stage_wait(&world.stage, &rounds);
    }
    return true;
}

static void check_letters(void)
{
    for (unsigned from = 0; from < world.count; from++) {
        for (unsigned to = 0; to < world.count; to++) {
            must(world.nodes[to].heard[from] == world.nodes[from].accepted[to]);
        }
    }
}

static void run_graph(enum shape shape, int64_t messages, struct test_random *random)
{
    struct troupe_behaviour kinds[KINDS];
    uint64_t seed = test_next(random) | 1;

    memset(&world, 0, sizeof world);
    draw(shape, random);
    world.left = messages;
    for (enum kind kind = 0; kind < KINDS; kind++) {
        kinds[kind] = behaviour_of(kind, world.capacity);
    }
    must(stage_try_open(&world.stage,
             &(struct troupe_runtime_options){.workers = 1 + (int)test_below(random, 3),
                 .seed = seed,
                 .limits = {.threads = NODES_MAX}}) == TROUPE_OK);
    people(kinds);
    must(troupe_runtime_start(world.stage.runtime) == TROUPE_OK);
    if (!goes_on()) {
        fprintf(stderr, "graphs: %s of %u, capacity %u: nothing is handled any more\n",
            shape_names[shape], world.count, world.capacity);
        print_nodes();
        _exit(EXIT_FAILURE);
    }
    check_letters();
    stage_close(&world.stage);
}

Test(graphs, nobody_waits_for_ever_and_each_message_arrives_once_in_order)
{
    const char *wanted = getenv("TROUPE_GRAPH_MESSAGES");
    int64_t messages = wanted != NULL ? strtoll(wanted, NULL, 10) : 200000;
    struct test_random random = test_random_of(test_seed("graphs"));
    int64_t share = messages / GRAPHS;

    for (unsigned i = 0; i < GRAPHS; i++) {
        run_graph((enum shape)(i % SHAPES), share, &random);
    }
}
