/* SPDX-License-Identifier: MIT */
/*
 * pipeline.c - 200 sources, three stages, a slow sink: whether the sink is ever kept waiting, and how much is on its way.
 *
 * The figure is the part of the time in which the sink works: the rest it waits for items, or handles them.  So it is compared with
 * its own rate on the same machine at the same time.  A put that is refused, or more items on their way than the windows allow, fails the
 * repetition: the memory of a pipeline does not depend on how much goes through it.
 */
#include "harness.h"
#include "work.h"

#define SOURCES 200U
#define STAGES 3U /* between the sources and the sink */
#define ITEMS 20000U
#define WORK_NS 50000U
#define WINDOW 4U /* of each source */
#define WIDE 64U  /* of each hop behind the first stage */
#define IN_FLIGHT_MAX (SOURCES * WINDOW + STAGES * WIDE)

static const struct troupe_type number = TROUPE_TYPE(uint64_t);

/* Of this repetition, which has the process to itself: set before the clock runs. */
static uint64_t work_steps;
static _Atomic uint64_t put_count;
static uint64_t busy_ns; /* the sink's; read when it has done its last part */

struct source {
    struct bench_run *run;
    uint64_t left;
};

/* A stage, or with `is_sink` the sink. */
struct stage {
    struct bench_run *run;
    const troupe_pid *from;
    unsigned from_count;
    bool is_sink;
    struct troupe_flow flow;
    uint64_t count;
    uint64_t sum;
};

static int on_room(
    struct troupe_actor *self, void *state, void *context, struct troupe_flow flow, uint32_t room)
{
    struct source *source = state;

    (void)context;
    while (room-- > 0 && source->left > 0) {
        uint64_t value = source->left--;

        /* relaxed: a number, compared with another one that is later. */
        atomic_fetch_add_explicit(&put_count, 1, memory_order_relaxed);
        if (troupe_flow_put(self, flow, &value) < 0) {
            return bench_fail(source->run, "a source was refused");
        }
    }
    return source->left > 0 ? TROUPE_OK : troupe_flow_end(self, flow, TROUPE_OK);
}

static int source_init(struct troupe_actor *self, void *state, const void *arg)
{
    struct troupe_flow_options offer = {.type = &number, .on_room = on_room};
    struct troupe_flow flow;

    *(struct source *)state = *(const struct source *)arg;
    return troupe_flow_offer(self, &offer, &flow);
}

static int idle(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    (void)self;
    (void)state;
    (void)msg;
    return TROUPE_EUNKNOWN;
}

static int drink(struct stage *stage, uint64_t value)
{
    uint64_t begin_ns = bench_now_ns();

    bench_work(work_steps);
    busy_ns += bench_now_ns() - begin_ns;
    stage->count++;
    stage->sum += value;
    /* relaxed: see on_room(). */
    if (atomic_load_explicit(&put_count, memory_order_relaxed) - stage->count > IN_FLIGHT_MAX) {
        return bench_fail(stage->run, "more on their way than the windows allow");
    }
    bench_part_done(stage->run);
    return TROUPE_OK;
}

static int on_item(struct troupe_actor *self, void *state, void *context,
    troupe_subscription subscription, struct troupe_message *item)
{
    struct stage *stage = state;
    struct troupe_message *mine;

    (void)context;
    if (stage->is_sink) {
        return drink(stage, *(const uint64_t *)troupe_body(item));
    }
    TROUPE_TRY(troupe_flow_keep(self, subscription, &mine));
    return troupe_flow_put_message(self, stage->flow, mine) < 0
               ? bench_fail(stage->run, "a stage was refused")
               : TROUPE_OK;
}

static int stage_init(struct troupe_actor *self, void *state, const void *arg)
{
    struct stage *stage = state;
    struct troupe_flow_options offer = {.type = &number};
    struct troupe_subscribe_options options = {.on_item = on_item};
    troupe_subscription subscription;

    *stage = *(const struct stage *)arg;
    options.window = stage->from_count > 1 ? WINDOW : WIDE;
    if (!stage->is_sink) {
        TROUPE_TRY(troupe_flow_offer(self, &offer, &stage->flow));
    }
    for (unsigned i = 0; i < stage->from_count; i++) {
        TROUPE_TRY(troupe_flow_subscribe(
            self, (struct troupe_flow){.producer = stage->from[i]}, &options, &subscription));
        if (!stage->is_sink) {
            TROUPE_TRY(troupe_flow_pipe(self, subscription, stage->flow));
        }
    }
    return TROUPE_OK;
}

static void stage_destroy(void *state)
{
    const struct stage *stage = state;

    bench_tally(stage->run, stage->count, stage->sum);
}

static const struct troupe_behaviour source_behaviour = {
    .name = "source", .state_size = sizeof(struct source), .init = source_init, .receive = idle};
static const struct troupe_behaviour stage_behaviour = {.name = "stage",
    .state_size = sizeof(struct stage),
    .init = stage_init,
    .receive = idle,
    .destroy = stage_destroy};

static int start(struct bench_run *run)
{
    static troupe_pid sources[SOURCES];
    static troupe_pid stages[STAGES + 1];
    uint64_t each = bench_scaled(run, ITEMS / SOURCES);

    work_steps = bench_work_steps(WORK_NS);
    run->expected_count = each * SOURCES;
    run->expected_sum = SOURCES * (each * (each + 1) / 2);
    for (unsigned i = 0; i < SOURCES; i++) {
        struct source source = {run, each};

        TROUPE_TRY(bench_spawn(run, &source_behaviour, &source, sizeof source, &sources[i]));
    }
    bench_begin(run, each * SOURCES, each * SOURCES);
    /* A batch of items is one message. */
    run->expected_handled = 0;
    for (unsigned i = 0; i <= STAGES; i++) {
        struct stage stage = {.run = run,
            .from = i > 0 ? &stages[i - 1] : sources,
            .from_count = i > 0 ? 1 : SOURCES,
            .is_sink = i == STAGES};

        TROUPE_TRY(bench_spawn(run, &stage_behaviour, &stage, sizeof stage, &stages[i]));
    }
    return TROUPE_OK;
}

static int measure(struct bench_run *run)
{
    run->result.efficiency = (double)busy_ns / 1e9 / run->result.seconds;
    return TROUPE_OK;
}

const struct bench_workload bench_flow_pipeline = {
    .name = "flow_pipeline",
    .about = "200 flows into one, five stages, a sink that takes 50 us: its own time / time",
    .figure = BENCH_EFFICIENCY,
    .actors = SOURCES + STAGES + 1,
    .start = start,
    .measure = measure,
};
