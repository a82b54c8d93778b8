/* SPDX-License-Identifier: MIT */
/*
 * program.h - what is simulated, and the world that it lives in.
 *
 * Six small programs, each begun by the foreign thread: pairs that play ping-pong; a full mailbox that the foreign
 * thread waits for; actors that are killed while they work; requests of which some are answered, some are not, and
 * some die with whom they asked; errands with an alias for the answer, whose runners answer, die, or both; a tree of which one child fails now and then, so that all are restarted.
 *
 * Between two things that it does the foreign thread lets the workers run for a while, every other time until all of
 * them sleep: only then does a wake-up matter.
 */
#ifndef TEST_SIM_PROGRAM_H
#define TEST_SIM_PROGRAM_H

#include <criterion/criterion.h>

#include <troupe.h>

#include "runtime.h"
#include "sim.h"
#include "test/support/allocator.h"
#include "test/support/random.h"

#define PAIRS 4
#define ROUNDS 30
#define GUESTS 20
#define FRIENDS 3
#define VISITS 6
#define QUESTIONS 16
#define LOADS 20
#define HOUSES 3
#define TOILERS 8
#define JOBS 6
#define ERRANDS 16
#define ROVERS 4
#define PREEMPT_STEPS 300
#define STEPS_MAX 1000000

static const struct troupe_type ball = TROUPE_TYPE(uint32_t);
static const struct troupe_type load = TROUPE_TYPE(uint32_t);
static const struct troupe_type tick = TROUPE_SIGNAL;

/* ---- the world ---- */

struct world {
    struct troupe_runtime *runtime;
    struct test_allocator memory;
    struct test_random random;
    uint32_t pairs;       /* that began to play */
    uint32_t hits;        /* of all players */
    uint32_t sent;        /* to the host */
    uint32_t greeted;     /* by the host */
    uint32_t asked;       /* requests that were sent */
    uint32_t outcomes;    /* of requests */
    uint32_t sought;      /* calls that were begun by handlers that wait */
    uint32_t found;       /* and came back */
    uint32_t jobs;        /* that were begun */
    uint32_t toils;       /* outcomes of jobs */
    uint32_t dropped;     /* jobs that were given back */
    uint32_t roamed;      /* thread actors that have come to their end */
    uint32_t errands;     /* that were begun */
    uint32_t errand_ends; /* answers and down notices of them */
    bool stalled;
    bool quarrels;
};

static struct world world;

/* What must hold; if it does not, the seed and the last steps say where. */
static void must(bool holds, const char *what)
{
    if (!holds) {
        trp_sim_print(stderr);
        cr_assert_fail("%s", what);
    }
}

/* Lets the others run.  False: a wake-up was lost. */
static bool pause_a_while(void)
{
    bool to_the_end = test_below(&world.random, 2) == 0;
    uint64_t steps = to_the_end ? STEPS_MAX : test_below(&world.random, 60);

    world.stalled = world.stalled || trp_sim_run(steps, 0) == TRP_SIM_STALLED;
    return !world.stalled;
}

static bool pause_to_the_end(void)
{
    world.stalled = world.stalled || trp_sim_run(STEPS_MAX, 0) == TRP_SIM_STALLED;
    return !world.stalled;
}

/* The same, where something never rests. */
static bool pause_for_steps(void)
{
    world.stalled =
        world.stalled || trp_sim_run(test_below(&world.random, 60), 0) == TRP_SIM_STALLED;
    return !world.stalled;
}

static void send_from_outside(troupe_pid to, const struct troupe_type *type, uint32_t number)
{
    struct troupe_message *msg;

    must(troupe_message_create(world.runtime, type, 0, &msg) == TROUPE_OK, "no message");
    *(uint32_t *)troupe_body(msg) = number;
    if (troupe_try_send(world.runtime, to, msg) < 0) {
        troupe_message_destroy(msg);
    }
}

static void send_signal(troupe_pid to, const struct troupe_type *type)
{
    struct troupe_message *msg;

    must(troupe_message_create(world.runtime, type, 0, &msg) == TROUPE_OK, "no message");
    if (troupe_try_send(world.runtime, to, msg) < 0) {
        troupe_message_destroy(msg);
    }
}

/* ---- ping-pong ---- */

struct player {
    troupe_pid peer;
};

static int player_init(struct troupe_actor *self, void *state, const void *arg)
{
    struct player *player = state;

    (void)self;
    player->peer = *(const troupe_pid *)arg;
    return TROUPE_OK;
}

static int player_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    const struct player *player = state;
    troupe_pid from = troupe_sender(msg);
    uint32_t left;

    if (!troupe_is(msg, &ball)) {
        return TROUPE_EUNKNOWN;
    }
    left = *(const uint32_t *)troupe_body(msg);
    world.hits++;
    if (left == 0) {
        return TROUPE_OK;
    }
    left--;
    return troupe_send(self, from != TROUPE_NOBODY ? from : player->peer, &ball, &left);
}

static const struct troupe_behaviour player_behaviour = {
    .name = "player",
    .state_size = sizeof(struct player),
    .init = player_init,
    .receive = player_receive,
    .capacity = 2, /* the ball may come back before the turn in which it was hit ends */
};

static troupe_pid spawn_player(troupe_pid peer)
{
    struct troupe_spawn_options options = {
        .behaviour = &player_behaviour, .arg = &peer, .arg_size = sizeof peer};
    troupe_pid pid = TROUPE_NOBODY;

    must(troupe_runtime_spawn(world.runtime, &options, &pid) == TROUPE_OK, "no player");
    return pid;
}

/* Begins one pair after the other. */
static void play(void)
{
    while (world.pairs < PAIRS && pause_a_while()) {
        troupe_pid second = spawn_player(TROUPE_NOBODY);
        troupe_pid first = spawn_player(second);

        world.pairs++;
        send_from_outside(first, &ball, ROUNDS - 1);
    }
}

/* ---- a mailbox that is full ---- */

static int host_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    (void)self;
    (void)state;
    if (!troupe_is(msg, &load)) {
        return TROUPE_EUNKNOWN;
    }
    world.greeted++;
    return TROUPE_OK;
}

static const struct troupe_behaviour host_behaviour = {
    .name = "host", .receive = host_receive, .capacity = 2};

/* A friend waits for room in the same line, for as long as it takes or in many short waits. */
static int visit(struct troupe_actor *self, const void *arg)
{
    troupe_pid host = *(const troupe_pid *)arg;

    for (uint32_t i = 0; i < VISITS; i++) {
        int wait_ms = i % 2 == 0 ? TROUPE_FOREVER : 1;
        int error;

        do {
            error = troupe_send_within(self, host, &load, &i, wait_ms);
        } while (error == TROUPE_ETIMEDOUT);
        TROUPE_TRY(error);
    }
    return TROUPE_OK;
}

static const struct troupe_behaviour friend_behaviour = {.name = "friend", .main = visit};

static void invite(troupe_pid host)
{
    struct troupe_spawn_options options = {
        .behaviour = &friend_behaviour, .arg = &host, .arg_size = sizeof host};
    troupe_pid pid = TROUPE_NOBODY;

    for (unsigned i = 0; i < FRIENDS; i++) {
        must(troupe_runtime_spawn(world.runtime, &options, &pid) == TROUPE_OK, "no friend");
    }
}

/* Waits for room again and again; it comes at once, or a wake-up was lost. */
static void crowd(void)
{
    struct troupe_spawn_options options = {.behaviour = &host_behaviour};
    troupe_pid host = TROUPE_NOBODY;

    must(troupe_runtime_spawn(world.runtime, &options, &host) == TROUPE_OK, "no host");
    invite(host);
    while (world.sent < GUESTS && !world.stalled) {
        struct troupe_message *msg;

        must(troupe_message_create(world.runtime, &load, 0, &msg) == TROUPE_OK, "no message");
        *(uint32_t *)troupe_body(msg) = world.sent;
        if (troupe_send_wait(world.runtime, host, msg, 1000) < 0) {
            troupe_message_destroy(msg);
            must(!pause_a_while(), "there is room, and nobody was told");
            return;
        }
        world.sent++;
        if (test_below(&world.random, 4) == 0) {
            pause_a_while();
        }
    }
}

/* ---- kills ---- */

static int guest_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    (void)self;
    (void)state;
    return troupe_is(msg, &load) ? TROUPE_OK : TROUPE_EUNKNOWN;
}

static const struct troupe_behaviour guest_behaviour = {.name = "guest", .receive = guest_receive};

/* Kills one guest after the other while it eats. */
static void hunt(void)
{
    struct troupe_spawn_options options = {.behaviour = &guest_behaviour};

    for (unsigned i = 0; i < GUESTS && !world.stalled; i++) {
        troupe_pid pid = TROUPE_NOBODY;
        int error;

        must(troupe_runtime_spawn(world.runtime, &options, &pid) == TROUPE_OK, "no guest");
        send_from_outside(pid, &load, i);
        (void)trp_sim_run(test_below(&world.random, 30), 0);
        error = troupe_runtime_exit(world.runtime, pid, TROUPE_EXIT_KILL);
        must(error == TROUPE_OK, "the guest is gone before");
        error = troupe_join(world.runtime, pid, 1000, NULL);
        must(error == TROUPE_OK || !pause_a_while(), "a killed guest eats on");
    }
}

/* ---- errands ---- */

struct errand {
    troupe_pid reply_to;
    uint32_t kind;
};

static const struct troupe_type errand = TROUPE_TYPE(struct errand);

/* Answers, fails, does one after the other, or lives on; twice is once. */
static int runner_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    const struct errand *order = troupe_body(msg);

    (void)state;
    if (order->kind % 4 != 1) {
        TROUPE_TRY(troupe_send(self, order->reply_to, &load, &order->kind));
        TROUPE_TRY(troupe_send(self, order->reply_to, &load, &order->kind));
    }
    return order->kind % 4 == 3 ? TROUPE_OK : TROUPE_EPROTO;
}

static const struct troupe_behaviour runner_behaviour = {
    .name = "runner", .receive = runner_receive};

static int send_runner(struct troupe_actor *self, uint32_t kind)
{
    static const unsigned flags[] = {
        0, TROUPE_PRIORITY, TROUPE_PRIORITY_DOWN, TROUPE_PRIORITY | TROUPE_PRIORITY_DOWN};
    struct troupe_spawn_options options = {.behaviour = &runner_behaviour};
    struct errand order = {.kind = kind};
    troupe_pid runner;
    troupe_ref ref;

    TROUPE_TRY(troupe_spawn(self, &options, &runner));
    TROUPE_TRY(troupe_monitor_alias(
        self, runner, TROUPE_ALIAS_REPLY_DEMONITOR, flags[kind / 4 % 4], &ref, &order.reply_to));
    TROUPE_TRY(troupe_send(self, runner, &errand, &order));
    world.errands++;
    return TROUPE_OK;
}

/* Sends a runner for each number from outside; of what comes of it only one thing is told. */
static int master_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    (void)state;
    if (troupe_is(msg, &tick)) {
        return send_runner(self, (uint32_t)test_below(&world.random, 16));
    }
    world.errand_ends++;
    return TROUPE_OK;
}

static const struct troupe_behaviour master_behaviour = {
    .name = "master",
    .receive = master_receive,
    .capacity = 3 * ERRANDS,
};

static void run_errands(void)
{
    struct troupe_spawn_options options = {.behaviour = &master_behaviour};
    troupe_pid master = TROUPE_NOBODY;

    must(troupe_runtime_spawn(world.runtime, &options, &master) == TROUPE_OK, "no master");
    for (unsigned i = 0; i < ERRANDS && pause_a_while(); i++) {
        send_signal(master, &tick);
        /* Nothing else wakes the master for the sake of the last one. */
        if (test_below(&world.random, 2) == 0 && pause_to_the_end()) {
            must(world.errand_ends == world.errands, "all sleep, and an errand has no end");
        }
    }
}

/* ---- requests ---- */

struct oracle {
    struct troupe_message *held;
};

/* Answers what it held before; of four questions it answers one, refuses one, forgets one, and holds one. */
static int oracle_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct oracle *oracle = state;

    if (!troupe_is(msg, &load)) {
        return TROUPE_EUNKNOWN;
    }
    if (oracle->held != NULL) {
        TROUPE_TRY(troupe_reply(self, oracle->held, &load, troupe_body(oracle->held)));
        troupe_message_destroy(oracle->held);
        oracle->held = NULL;
    }
    switch (*(const uint32_t *)troupe_body(msg) % 4) {
    case 0:
        return troupe_reply(self, msg, &load, troupe_body(msg));
    case 1:
        return troupe_reply_error(self, msg, TROUPE_EPROTO);
    case 2:
        return troupe_take(self, msg, &oracle->held);
    default:
        return TROUPE_OK;
    }
}

static const struct troupe_behaviour oracle_behaviour = {
    .name = "oracle", .state_size = sizeof(struct oracle), .receive = oracle_receive};

static int on_outcome(
    struct troupe_actor *self, void *state, void *context, int status, struct troupe_message *reply)
{
    (void)self;
    (void)state;
    (void)context;
    (void)status;
    (void)reply;
    world.outcomes++;
    return TROUPE_OK;
}

struct pilgrim {
    troupe_pid oracle;
};

static int pilgrim_init(struct troupe_actor *self, void *state, const void *arg)
{
    struct pilgrim *pilgrim = state;

    (void)self;
    pilgrim->oracle = *(const troupe_pid *)arg;
    return TROUPE_OK;
}

/* Passes the question on, with a time limit that is long enough now and then. */
static int pilgrim_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    const struct pilgrim *pilgrim = state;
    uint32_t question;

    if (!troupe_is(msg, &load)) {
        return TROUPE_EUNKNOWN;
    }
    question = *(const uint32_t *)troupe_body(msg);
    if (troupe_request(self, pilgrim->oracle, &load, &question, 1 + (int)(question % 3), on_outcome,
            NULL) == TROUPE_OK) {
        world.asked++;
    }
    return TROUPE_OK;
}

static const struct troupe_behaviour pilgrim_behaviour = {
    .name = "pilgrim",
    .state_size = sizeof(struct pilgrim),
    .init = pilgrim_init,
    .receive = pilgrim_receive,
};

/* Two ask one, who is killed in the middle of it. */
static void ask(void)
{
    struct troupe_spawn_options oracle_options = {.behaviour = &oracle_behaviour};
    troupe_pid oracle = TROUPE_NOBODY;
    struct troupe_spawn_options options = {
        .behaviour = &pilgrim_behaviour, .arg = &oracle, .arg_size = sizeof oracle};
    troupe_pid pilgrims[2] = {TROUPE_NOBODY, TROUPE_NOBODY};

    must(troupe_runtime_spawn(world.runtime, &oracle_options, &oracle) == TROUPE_OK, "no oracle");
    for (unsigned i = 0; i < TROUPE_COUNT(pilgrims); i++) {
        must(
            troupe_runtime_spawn(world.runtime, &options, &pilgrims[i]) == TROUPE_OK, "no pilgrim");
    }
    for (uint32_t i = 0; i < QUESTIONS && pause_a_while(); i++) {
        send_from_outside(pilgrims[i % 2], &load, (uint32_t)test_below(&world.random, 12));
        if (i == QUESTIONS * 3 / 4) {
            must(troupe_runtime_exit(world.runtime, oracle, TROUPE_EXIT_KILL) == TROUPE_OK, "gone");
        }
    }
}

/* ---- callbacks that wait ---- */

static int seeker_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    const struct pilgrim *seeker = state;
    uint32_t question;
    uint32_t answer;
    int status;

    if (!troupe_is(msg, &load)) {
        return TROUPE_EUNKNOWN;
    }
    question = *(const uint32_t *)troupe_body(msg);
    world.sought++;
    status = troupe_call(
        self, seeker->oracle, &load, &question, &load, &answer, 1 + (int)(question % 3));
    must(status != TROUPE_OK || answer == question, "the answer to another question");
    must(troupe_sleep(self, question % 2) == TROUPE_OK, "no sleep");
    must(*(const uint32_t *)troupe_body(msg) == question, "the message is another one");
    world.found++;
    return TROUPE_OK;
}

static const struct troupe_behaviour seeker_behaviour = {
    .name = "seeker",
    .state_size = sizeof(struct pilgrim),
    .init = pilgrim_init,
    .receive = seeker_receive,
    .may_wait = true,
    .capacity = QUESTIONS,
};

/* Hears ticks before loads, for ever. */
static int dwell(struct troupe_actor *self, const void *arg)
{
    static const struct troupe_type *const first[] = {&tick};

    (void)arg;
    TROUPE_TRY(troupe_tick_every(self, 2, &tick, NULL, NULL));
    for (;;) {
        struct troupe_message *msg;
        int error = troupe_receive_of(self, first, 1, 1, &msg);

        if (error == TROUPE_OK || error == TROUPE_ETIMEDOUT) {
            error = troupe_receive(self, 1, &msg);
        }
        if (error != TROUPE_OK && error != TROUPE_ETIMEDOUT) {
            return error;
        }
        TROUPE_TRY(troupe_yield(self));
    }
}

static const struct troupe_behaviour hermit_behaviour = {.name = "hermit", .main = dwell};

/* Some ask, and wait; one only waits, and is killed while it does. */
static void seek(void)
{
    struct troupe_spawn_options oracle_options = {.behaviour = &oracle_behaviour};
    struct troupe_spawn_options hermit_options = {.behaviour = &hermit_behaviour};
    troupe_pid oracle = TROUPE_NOBODY;
    struct troupe_spawn_options options = {
        .behaviour = &seeker_behaviour, .arg = &oracle, .arg_size = sizeof oracle};
    troupe_pid seekers[3] = {TROUPE_NOBODY, TROUPE_NOBODY, TROUPE_NOBODY};
    troupe_pid hermit = TROUPE_NOBODY;

    must(troupe_runtime_spawn(world.runtime, &oracle_options, &oracle) == TROUPE_OK, "no oracle");
    must(troupe_runtime_spawn(world.runtime, &hermit_options, &hermit) == TROUPE_OK, "no hermit");
    for (unsigned i = 0; i < TROUPE_COUNT(seekers); i++) {
        must(troupe_runtime_spawn(world.runtime, &options, &seekers[i]) == TROUPE_OK, "no seeker");
    }
    for (uint32_t i = 0; i < QUESTIONS && pause_for_steps(); i++) {
        send_from_outside(
            seekers[i % TROUPE_COUNT(seekers)], &load, (uint32_t)test_below(&world.random, 12));
        send_from_outside(hermit, &load, i);
    }
    must(troupe_runtime_exit(world.runtime, hermit, TROUPE_EXIT_KILL) == TROUPE_OK, "no hermit");
}

/* ---- a tree with a child that fails ---- */

static int miner_init(struct troupe_actor *self, void *state, const void *arg)
{
    (void)state;
    (void)arg;
    return troupe_tick_every(self, 3, &tick, NULL, NULL);
}

static int miner_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    (void)state;
    if (troupe_is(msg, &tick)) {
        return TROUPE_OK;
    }
    if (!troupe_is(msg, &load)) {
        return TROUPE_EUNKNOWN;
    }
    return *(const uint32_t *)troupe_body(msg) % 3 == 0
               ? troupe_fail(self, TROUPE_EPROTO, "struck water")
               : TROUPE_OK;
}

static const struct troupe_behaviour miner_behaviour = {
    .name = "miner", .init = miner_init, .receive = miner_receive};

static const struct troupe_child_spec miners[] = {
    {.id = "stable", .behaviour = &miner_behaviour, .keep_mailbox = true},
    {.id = "fresh", .behaviour = &miner_behaviour},
    {.id = "resting", .behaviour = &miner_behaviour, .restart = TROUPE_TRANSIENT},
};

static const struct troupe_supervisor_spec mine = {
    .name = "mine",
    .strategy = TROUPE_ONE_FOR_ALL,
    .intensity = 1000,
    .period_ms = 1000,
    .children = miners,
    .child_count = TROUPE_COUNT(miners),
};

/* Gives the miners work that they fail at, then tells the tree to stop. */
static void dig(void)
{
    static const char *const names[] = {"mine.stable", "mine.fresh", "mine.resting"};
    troupe_pid top = TROUPE_NOBODY;
    int error;

    if (world.stalled) {
        return;
    }
    error = troupe_supervisor_start(world.runtime, &mine, 1000, &top);
    if (!pause_a_while()) {
        return;
    }
    must(error == TROUPE_OK, "the tree does not start");
    for (uint32_t i = 1; i <= LOADS; i++) {
        troupe_pid pid = troupe_runtime_whereis(
            world.runtime, names[test_below(&world.random, TROUPE_COUNT(names))]);

        if (pid != TROUPE_NOBODY) {
            send_from_outside(pid, &load, i);
        }
        if (!pause_a_while()) {
            return;
        }
    }
    must(troupe_runtime_exit(world.runtime, top, TROUPE_EXIT_SHUTDOWN) == TROUPE_OK, "no tree");
}

/* ---- a group whose children fail while it is restarted ---- */

bool __real_trp_notify_watchers(
    struct troupe_actor *actor, const struct troupe_reason *reason, unsigned budget);
bool __wrap_trp_notify_watchers(
    struct troupe_actor *actor, const struct troupe_reason *reason, unsigned budget);

/* While they quarrel, who has told of its end is often preempted for long before it has ended. */
bool __wrap_trp_notify_watchers(
    struct troupe_actor *actor, const struct troupe_reason *reason, unsigned budget)
{
    bool told = __real_trp_notify_watchers(actor, reason, budget);

    if (told && world.quarrels && test_below(&world.random, 2) == 0) {
        for (unsigned steps = 0; steps < PREEMPT_STEPS; steps++) {
            trp_switch();
        }
    }
    return told;
}

#define HEIR(name, wait_ms)                                                                        \
    {                                                                                              \
        .id = (name), .behaviour = &miner_behaviour, .keep_mailbox = true,                         \
        .shutdown_ms = (wait_ms)                                                                   \
    }

static const struct troupe_child_spec heirs[] = {
    HEIR("first", TROUPE_FOREVER),
    HEIR("second", TROUPE_BRUTAL_KILL),
    HEIR("third", TROUPE_FOREVER),
    HEIR("fourth", TROUPE_BRUTAL_KILL),
    HEIR("fifth", TROUPE_FOREVER),
    HEIR("sixth", TROUPE_BRUTAL_KILL),
};

#define HEIRS TROUPE_COUNT(heirs)

static const struct troupe_supervisor_spec house = {
    .strategy = TROUPE_REST_FOR_ONE,
    .intensity = 1000,
    .period_ms = 1000,
    .children = heirs,
    .child_count = HEIRS,
};

/* The child at `index` of `top`, which must be running. */
static troupe_pid heir(troupe_pid top, unsigned index)
{
    struct troupe_child_answer answer = {0};

    must(troupe_runtime_child(world.runtime, top, TROUPE_CHILD_WHICH, heirs[index].id, NULL, 1000,
             &answer) == TROUPE_OK &&
             answer.state == TROUPE_CHILD_RUNNING,
        heirs[index].id);
    return answer.pid;
}

/* Work at which all fail is queued for many lives: an earlier one fails while a later one is about to begin its next.
 * In several houses, so that no worker sleeps. */
static void quarrel(void)
{
    troupe_pid tops[HOUSES];
    troupe_pid pids[HEIRS][HOUSES];

    world.quarrels = true;
    for (unsigned i = 0; i < HOUSES; i++) {
        must(troupe_supervisor_start(world.runtime, &house, 1000, &tops[i]) == TROUPE_OK,
            "no house");
        for (unsigned j = 0; j < HEIRS; j++) {
            pids[j][i] = heir(tops[i], j);
        }
    }
    for (unsigned i = 0; i < LOADS * HEIRS * HOUSES; i++) {
        send_from_outside(pids[i / HOUSES % HEIRS][i % HOUSES], &load, 3);
    }
    (void)trp_sim_run(STEPS_MAX, 100);
    for (unsigned i = 0; i < HOUSES * HEIRS; i++) {
        (void)heir(tops[i % HOUSES], i / HOUSES);
    }
}

/* ---- jobs ---- */

static int toil(struct troupe_job *job, void *arg)
{
    uint32_t value = 0;

    (void)arg;
    for (unsigned i = 0; i < 3; i++) {
        int error = troupe_job_send(job, troupe_job_actor(job), &load, &value, 1);

        must(error == TROUPE_OK || error == TROUPE_EGONE || error == TROUPE_ETIMEDOUT,
            "a job sends");
        trp_switch();
    }
    return troupe_job_is_cancelled(job) ? TROUPE_EDIED : TROUPE_OK;
}

static void count_dropped(void *arg)
{
    (void)arg;
    world.dropped++;
}

/* Every fifth outcome is the end of its actor. */
static int on_toil(struct troupe_actor *self, void *state, void *arg, int status)
{
    (void)self;
    (void)state;
    (void)arg;
    (void)status;
    world.toils++;
    return world.toils % 5 == 0 ? TROUPE_EPROTO : TROUPE_OK;
}

static int toiler_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    troupe_job_id id = 0;

    (void)state;
    if (!troupe_is(msg, &tick)) {
        return TROUPE_OK;
    }
    for (unsigned i = 0; i < JOBS; i++) {
        if (troupe_blocking(self, toil, NULL, count_dropped, on_toil, &id) == TROUPE_OK) {
            world.jobs++;
        }
    }
    (void)troupe_blocking_cancel(self, id);
    return TROUPE_OK;
}

static const struct troupe_behaviour toiler_behaviour = {
    .name = "toiler", .receive = toiler_receive, .capacity = 8};

/* Their threads are virtual as well. */
static void labour(void)
{
    struct troupe_spawn_options options = {.behaviour = &toiler_behaviour};

    for (unsigned i = 0; i < TOILERS; i++) {
        struct troupe_message *msg;
        troupe_pid pid;

        options.pinned = i % 2 == 0;
        must(troupe_runtime_spawn(world.runtime, &options, &pid) == TROUPE_OK, "no toiler");
        must(troupe_message_create(world.runtime, &tick, 0, &msg) == TROUPE_OK, "no message");
        must(troupe_try_send(world.runtime, pid, msg) == TROUPE_OK, "it is not told");
        (void)trp_sim_run(test_below(&world.random, 200), 0);
    }
    (void)trp_sim_run(STEPS_MAX, 100);
    must(world.toils + world.dropped == world.jobs, "a job has no end, or two");
}

/* ---- thread actors ---- */

/* Hears so many loads, asks what each comes to, and ends. */
static int roam(struct troupe_actor *self, const void *arg)
{
    troupe_pid oracle = *(const troupe_pid *)arg;

    for (unsigned i = 0; i < LOADS; i++) {
        struct troupe_message *msg;
        uint32_t question;
        uint32_t answer;
        int status;

        TROUPE_TRY(troupe_receive(self, TROUPE_FOREVER, &msg));
        question = *(const uint32_t *)troupe_body(msg);
        status =
            troupe_call(self, oracle, &load, &question, &load, &answer, 1 + (int)(question % 3));
        must(status != TROUPE_OK || answer == question, "the answer to another question");
        must(troupe_sleep(self, question % 2) == TROUPE_OK, "no sleep");
    }
    world.roamed++;
    return TROUPE_OK;
}

static const struct troupe_behaviour rover_behaviour = {
    .name = "rover", .main = roam, .thread = true, .capacity = 2 * LOADS, .stack_size = 60000};

static void send_loads(const troupe_pid *rovers)
{
    for (unsigned i = 0; i < ROVERS * LOADS; i++) {
        send_from_outside(rovers[i % ROVERS], &load, (uint32_t)test_below(&world.random, 12));
        if (i % 7 == 0) {
            (void)trp_sim_run(test_below(&world.random, 200), 0);
        }
    }
}

/* Threads of their own, virtual as well; one of them is killed on its way, in every round. */
static void rove(void)
{
    struct troupe_spawn_options options = {.behaviour = &oracle_behaviour};
    troupe_pid rovers[ROVERS];
    troupe_pid oracle;

    must(troupe_runtime_spawn(world.runtime, &options, &oracle) == TROUPE_OK, "no oracle");
    options = (struct troupe_spawn_options){
        .behaviour = &rover_behaviour, .arg = &oracle, .arg_size = sizeof oracle};
    for (unsigned round = 1; round <= 3; round++) {
        for (unsigned i = 0; i < ROVERS; i++) {
            must(
                troupe_runtime_spawn(world.runtime, &options, &rovers[i]) == TROUPE_OK, "no rover");
        }
        (void)trp_sim_run(test_below(&world.random, 400), 0);
        must(troupe_runtime_exit(world.runtime, rovers[0], TROUPE_EXIT_KILL) == TROUPE_OK,
            "no kill");
        send_loads(rovers);
        (void)trp_sim_run(STEPS_MAX, 1000);
        must(world.roamed == round * (ROVERS - 1), "a rover did not come home");
        for (unsigned i = 0; i < ROVERS; i++) {
            must(!troupe_is_alive(world.runtime, rovers[i]), "a rover does not end");
        }
    }
    must(trp_threads_made(world.runtime) <= ROVERS + 1, "a thread stays");
}

#endif
