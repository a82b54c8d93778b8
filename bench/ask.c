/* SPDX-License-Identifier: MIT */
/*
 * ask.c - one actor asks another, again and again: the time from the request to its answer.
 *
 * Each call has a time-out, as calls should.  Spaced, the caller works for a while between two calls, and so finds
 * out what it costs to ask somebody who has been idle.  A call includes one reading of the clock.
 */
#include "harness.h"

#include <stdlib.h>

#define CALLS 200000U
#define SPACED_CALLS 20000U
#define SPACE_NS 100000U
#define TIMEOUT_MS 10000

static const struct troupe_type go_on = TROUPE_TYPE(uint64_t);
static const struct troupe_type question = TROUPE_TYPE(uint64_t);
static const struct troupe_type answer = TROUPE_TYPE(uint64_t);

/* Of this repetition, which has the process to itself.  Written by the asker, then read after its last part. */
static uint32_t *latencies_ns;

struct asker {
    struct bench_run *run;
    troupe_pid oracle;
    uint64_t calls;
    uint64_t answered;
    uint64_t asked_ns;
    uint64_t space_ns;
};

struct oracle {
    struct bench_run *run;
    uint64_t answered;
    uint64_t sum;
};

static int oracle_init(struct troupe_actor *self, void *state, const void *arg)
{
    (void)self;
    *(struct oracle *)state = *(const struct oracle *)arg;
    return TROUPE_OK;
}

static int oracle_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct oracle *oracle = state;
    uint64_t value = *(uint64_t *)troupe_body(msg);

    oracle->answered++;
    oracle->sum += value;
    value++;
    return troupe_reply(self, msg, &answer, &value);
}

static void oracle_destroy(void *state)
{
    struct oracle *oracle = state;

    bench_tally(oracle->run, oracle->answered, oracle->sum);
}

static int on_answer(struct troupe_actor *self, void *state, void *context, int status,
    struct troupe_message *reply);

static int ask(struct troupe_actor *self, struct asker *asker)
{
    asker->asked_ns = bench_now_ns();
    return troupe_request(
        self, asker->oracle, &question, &asker->answered, TIMEOUT_MS, on_answer, NULL);
}

/* Works for so long, by the clock. */
static void work(uint64_t from_ns, uint64_t for_ns)
{
    while (bench_now_ns() - from_ns < for_ns) {
    }
}

static int on_answer(
    struct troupe_actor *self, void *state, void *context, int status, struct troupe_message *reply)
{
    struct asker *asker = state;
    uint64_t now_ns = bench_now_ns();
    uint64_t latency_ns = now_ns - asker->asked_ns;

    (void)context;
    TROUPE_TRY(status);
    latencies_ns[asker->answered++] = latency_ns < UINT32_MAX ? (uint32_t)latency_ns : UINT32_MAX;
    if (*(uint64_t *)troupe_body(reply) != asker->answered) {
        return bench_fail(asker->run, "the answer belongs to another question");
    }
    if (asker->answered == asker->calls) {
        bench_part_done(asker->run);
        return TROUPE_OK;
    }
    if (asker->space_ns > 0) {
        work(now_ns, asker->space_ns);
    }
    return ask(self, asker);
}

static int asker_init(struct troupe_actor *self, void *state, const void *arg)
{
    (void)self;
    *(struct asker *)state = *(const struct asker *)arg;
    return TROUPE_OK;
}

static int asker_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    return troupe_is(msg, &go_on) ? ask(self, state) : TROUPE_EUNKNOWN;
}

static const struct troupe_behaviour oracle_behaviour = {
    .name = "oracle",
    .state_size = sizeof(struct oracle),
    .init = oracle_init,
    .receive = oracle_receive,
    .destroy = oracle_destroy,
};

static const struct troupe_behaviour asker_behaviour = {
    .name = "asker",
    .state_size = sizeof(struct asker),
    .init = asker_init,
    .receive = asker_receive,
};

static int start(struct bench_run *run, uint64_t calls, uint64_t space_ns)
{
    struct oracle oracle = {.run = run};
    struct asker asker = {.run = run, .calls = calls, .space_ns = space_ns};
    troupe_pid pid;

    latencies_ns = malloc(calls * sizeof *latencies_ns);
    if (latencies_ns == NULL) {
        return TROUPE_ENOMEM;
    }
    /* So that no page is touched for the first time while the clock runs. */
    for (uint64_t i = 0; i < calls; i++) {
        latencies_ns[i] = UINT32_MAX;
    }
    TROUPE_TRY(bench_spawn(run, &oracle_behaviour, &oracle, sizeof oracle, &asker.oracle));
    TROUPE_TRY(bench_spawn(run, &asker_behaviour, &asker, sizeof asker, &pid));
    run->expected_count = calls;
    run->expected_sum = calls * (calls - 1) / 2;
    bench_begin(run, calls, 1);
    return bench_send(run, pid, &go_on, 0);
}

static int start_ask(struct bench_run *run)
{
    return start(run, bench_scaled(run, CALLS), 0);
}

static int start_ask_spaced(struct bench_run *run)
{
    return start(run, bench_scaled(run, SPACED_CALLS), SPACE_NS);
}

static int compare(const void *a, const void *b)
{
    uint32_t left = *(const uint32_t *)a;
    uint32_t right = *(const uint32_t *)b;

    return (left > right) - (left < right);
}

static int measure(struct bench_run *run)
{
    uint64_t count = run->result.messages;
    uint64_t median = (count - 1) / 2;
    uint64_t late = (count - 1) * 99 / 100;

    qsort(latencies_ns, count, sizeof *latencies_ns, compare);
    run->result.p50_ns = latencies_ns[median];
    run->result.p99_ns = latencies_ns[late];
    free(latencies_ns);
    latencies_ns = NULL;
    return TROUPE_OK;
}

const struct bench_workload bench_ask = {
    .name = "ask",
    .about = "200 000 calls with a time-out, one after the other",
    .figure = BENCH_P50_NS,
    .start = start_ask,
    .measure = measure,
};

const struct bench_workload bench_ask_spaced = {
    .name = "ask_spaced",
    .about = "20 000 calls with a time-out, 100 us of work between two",
    .figure = BENCH_P50_NS,
    .start = start_ask_spaced,
    .measure = measure,
};
