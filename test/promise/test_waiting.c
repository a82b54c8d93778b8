/* SPDX-License-Identifier: MIT */
/* Promise 3: waiting never deadlocks. */
#include "test/promise/promise.h"

#define PLAYERS 6U
#define COPIES 3U
#define SENDS_MAX 20000
#define GATES 2U /* foreign threads that send, and wait for room */
#define GATE_SENDS 200U

/* Players pass on whatever comes, several times, to all whom the shape leads to: more than there is room for. */
struct flood {
    struct stage *stage;
    bool (*leads)(unsigned from, unsigned to);
    troupe_pid players[PLAYERS];
    _Atomic int sends_left;
    _Atomic unsigned refused;
    _Atomic unsigned asked;
    _Atomic unsigned gates_open;
    struct outcomes outcomes;
};

struct wave {
    struct flood *flood;
    unsigned to;
};

static const struct troupe_type wave = TROUPE_TYPE(struct wave);

static bool leads_in_a_ring(unsigned from, unsigned to)
{
    return to == (from + 1) % PLAYERS;
}

static bool leads_in_a_star(unsigned from, unsigned to)
{
    return from != to && (from == 0 || to == 0);
}

static bool leads_in_a_pipeline(unsigned from, unsigned to)
{
    return to == from + 1;
}

static bool leads_to_all(unsigned from, unsigned to)
{
    return from != to;
}

/* The last of the copies is a request. */
static void flood_player(struct troupe_actor *self, struct flood *flood, unsigned to)
{
    struct wave body = {flood, to};

    for (unsigned i = 0; i < COPIES && flood->sends_left-- > 0; i++) {
        bool asks = i == COPIES - 1;
        int error = asks ? troupe_request(self, flood->players[to], &wave, &body, TROUPE_FOREVER,
                               count_outcome, &flood->outcomes)
                         : troupe_send(self, flood->players[to], &wave, &body);

        flood->asked += asks && error == TROUPE_OK;
        flood->refused += error == TROUPE_EFULL;
    }
}

static int player_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    const struct wave body = *(const struct wave *)troupe_body(msg);

    (void)state;
    for (unsigned to = 0; to < PLAYERS; to++) {
        if (body.flood->leads(body.to, to)) {
            flood_player(self, body.flood, to);
        }
    }
    return troupe_is_request(msg) ? troupe_reply(self, msg, &receipt, NULL) : TROUPE_OK;
}

static const struct troupe_behaviour player = {
    .name = "player", .receive = player_receive, .capacity = 2};

static int send_and_wait(struct stage *stage, troupe_pid to, const struct troupe_type *type,
    const void *body, int wait_ms)
{
    struct troupe_message *msg = stage_message(stage, type, body);
    int error = troupe_send_wait(stage->runtime, to, msg, wait_ms);

    if (error < 0) {
        troupe_message_destroy(msg);
    }
    return error;
}

/* Foreign threads get on, however full it is in there. */
static void *gate_main(void *arg)
{
    struct flood *flood = arg;
    unsigned sent = 0;

    for (unsigned i = 0; i < GATE_SENDS; i++) {
        unsigned to = i % PLAYERS;
        struct wave body = {flood, to};

        sent += send_and_wait(flood->stage, flood->players[to], &wave, &body, TROUPE_FOREVER) ==
                TROUPE_OK;
    }
    flood->gates_open--;
    return (void *)(uintptr_t)sent;
}

static void play_flood(int workers, bool (*leads)(unsigned from, unsigned to))
{
    static struct flood flood;
    pthread_t gates[GATES];
    struct stage stage;

    memset(&flood, 0, sizeof flood);
    stage_open(&stage, workers);
    flood.stage = &stage;
    flood.leads = leads;
    flood.sends_left = SENDS_MAX;
    flood.gates_open = GATES;
    for (unsigned i = 0; i < PLAYERS; i++) {
        flood.players[i] = stage_spawn(&stage, &player, NULL);
    }
    for (unsigned i = 0; i < GATES; i++) {
        cr_assert_eq(pthread_create(&gates[i], NULL, gate_main, &flood), 0);
    }
    STAGE_AWAIT(&stage, flood.gates_open == 0 && stage_books(&stage).queued == 0);
    STAGE_AWAIT(&stage, flood.outcomes.answered == flood.asked);
    for (unsigned i = 0; i < GATES; i++) {
        void *sent;

        pthread_join(gates[i], &sent);
        cr_assert_eq((uintptr_t)sent, GATE_SENDS);
    }
    cr_assert(stage.threads || flood.refused > 0, "it was never full");
    stage_close(&stage);
}

/* A ring of calls: each holds what it is asked until it has an answer itself, so nobody could ever answer. */
#define CALLERS 3U

struct caller {
    troupe_pid pid;
    struct caller *next;
    int timeout_ms;
    struct troupe_message *held;
    _Atomic unsigned outcomes;
    _Atomic int status;
};

static const struct troupe_type question = TROUPE_TYPE(struct caller *);

static int note_answer(
    struct troupe_actor *self, void *state, void *context, int status, struct troupe_message *reply)
{
    struct caller *caller = context;
    int error = TROUPE_OK;

    (void)state;
    (void)reply;
    if (caller->held != NULL) {
        error = troupe_reply(self, caller->held, &receipt, NULL);
        troupe_message_destroy(caller->held);
        caller->held = NULL;
    }
    caller->status = status;
    caller->outcomes++;
    return error;
}

static int caller_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct caller *caller;
    int status;

    (void)state;
    if (stage_is_job(self, msg, &status)) {
        return status;
    }
    caller = *(struct caller *const *)troupe_body(msg);
    return caller->outcomes > 0 ? troupe_reply(self, msg, &receipt, NULL)
                                : troupe_take(self, msg, &caller->held);
}

static const struct troupe_behaviour caller_behaviour = {
    .name = "caller",
    .receive = caller_receive,
    .capacity = CALLERS,
};

static int ask_next(struct troupe_actor *self, void *arg)
{
    struct caller *caller = arg;

    return troupe_request(
        self, caller->next->pid, &question, &caller->next, caller->timeout_ms, note_answer, caller);
}

/* Only the first one's patience is limited: it hears so, answers, and that undoes the whole ring. */
static void play_ring_of_calls(int workers)
{
    struct caller callers[CALLERS] = {{.timeout_ms = 20}};
    struct stage stage;

    stage_open(&stage, workers);
    for (unsigned i = 0; i < CALLERS; i++) {
        callers[i].pid = stage_spawn(&stage, &caller_behaviour, NULL);
        callers[i].next = &callers[(i + 1) % CALLERS];
        callers[i].timeout_ms = i == 0 ? 20 : TROUPE_FOREVER;
    }
    for (unsigned i = 0; i < CALLERS; i++) {
        stage_tell(&stage, callers[i].pid, ask_next, &callers[i]);
    }
    for (unsigned i = 0; i < CALLERS; i++) {
        STAGE_AWAIT(&stage, callers[i].outcomes == 1);
        cr_assert_eq(callers[i].status, i == 0 ? TROUPE_ETIMEDOUT : TROUPE_OK);
    }
    stage_close(&stage);
}

/* Foreign threads wait at an actor that handles some, and ends. */
#define WAITERS 6U
#define WAITERS_HANDLED 3U

struct counter {
    struct stage *stage;
    troupe_pid pid;
    struct latch go;
    unsigned handled;
    _Atomic unsigned sent;
    _Atomic unsigned gone;
};

static const struct troupe_type coin = TROUPE_TYPE(struct counter *);

/* An actor itself cannot wait: it would keep its worker from everybody else. */
static int hold_counter(struct troupe_actor *self, void *arg)
{
    struct counter *counter = arg;
    int error = send_and_wait(counter->stage, troupe_self(self), &coin, &counter, TROUPE_FOREVER);

    return latch_wait(&counter->go, 1) && error == TROUPE_EINVAL ? TROUPE_OK : TROUPE_ECHECK;
}

static int counter_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    int status;

    (void)state;
    if (stage_is_job(self, msg, &status)) {
        return status;
    }
    return ++(*(struct counter *const *)troupe_body(msg))->handled == WAITERS_HANDLED ? TROUPE_DONE
                                                                                      : TROUPE_OK;
}

static const struct troupe_behaviour counter_behaviour = {
    .name = "counter", .receive = counter_receive, .capacity = 1};

static void *wait_at_counter(void *arg)
{
    struct counter *counter = arg;
    int error = send_and_wait(counter->stage, counter->pid, &coin, &counter, TROUPE_FOREVER);

    counter->sent += error == TROUPE_OK;
    counter->gone += error == TROUPE_EGONE;
    return NULL;
}

static void play_counter(int workers)
{
    struct counter counter = {.go = LATCH_INIT};
    struct counter *body = &counter;
    pthread_t waiters[WAITERS];
    struct stage stage;

    stage_open(&stage, workers);
    counter.stage = &stage;
    counter.pid = stage_spawn(&stage, &counter_behaviour, NULL);
    stage_tell(&stage, counter.pid, hold_counter, &counter);
    for (unsigned i = 0; i < WAITERS; i++) {
        cr_assert_eq(pthread_create(&waiters[i], NULL, wait_at_counter, &counter), 0);
    }
    /* Who waits was refused first. */
    STAGE_AWAIT(&stage, stage_books(&stage).refused == WAITERS);
    cr_assert_eq(send_and_wait(&stage, counter.pid, &coin, &body, 10), TROUPE_ETIMEDOUT);
    latch_hit(&counter.go);
    for (unsigned i = 0; i < WAITERS; i++) {
        pthread_join(waiters[i], NULL);
    }
    cr_assert_eq(counter.sent + counter.gone, WAITERS);
    cr_assert(counter.sent >= WAITERS_HANDLED && counter.gone > 0);
    stage_close(&stage);
    cr_assert_eq(counter.handled, WAITERS_HANDLED);
}

Test(promise, waiting_never_deadlocks, .timeout = 120)
{
    for (unsigned i = 0; i < TROUPE_COUNT(ways); i++) {
        play_flood(ways[i], leads_in_a_ring);
        play_flood(ways[i], leads_in_a_star);
        play_flood(ways[i], leads_in_a_pipeline);
        play_flood(ways[i], leads_to_all);
        play_ring_of_calls(ways[i]);
    }
    play_counter(2);
}
