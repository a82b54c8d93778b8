/* SPDX-License-Identifier: MIT */
/*
 * port_sim.c - the twin of port.c and event.c: a virtual clock, one seed, threads that do not run.
 */
#include "sim.h"

#include "port.h"
#include "reclaim_sim.h"
#include "runtime.h"

/** What a step takes on the virtual clock. */
#define STEP_NS 1000

static struct {
    struct trp_sim_options options;
    struct troupe_runtime *runtime;
    uint64_t random;
    uint64_t hash;
    uint64_t now_ns;
    uint64_t steps;
    uint64_t faults[TRP_FAULT_COUNT];
    uint64_t until_ns[TROUPE_WORKERS_MAX]; /* of workers that sleep */
    bool stalled;
} sim;

static uint64_t mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9U;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebU;
    return x ^ (x >> 31);
}

static void note(uint64_t value)
{
    sim.hash = mix(sim.hash + 0x9e3779b97f4a7c15U + value);
}

static uint64_t next_random(void)
{
    return mix(sim.random += 0x9e3779b97f4a7c15U);
}

void trp_sim_begin(const struct trp_sim_options *options)
{
    sim.options = *options;
    sim.runtime = NULL;
    sim.random = options->seed;
    sim.hash = 0;
    sim.now_ns = 1000000000U;
    sim.steps = 0;
    sim.stalled = false;
    for (unsigned i = 0; i < TRP_FAULT_COUNT; i++) {
        sim.faults[i] = 0;
    }
}

void trp_sim_attach(struct troupe_runtime *runtime)
{
    sim.runtime = runtime;
}

uint64_t trp_sim_hash(void)
{
    return sim.hash;
}

uint64_t trp_sim_steps(void)
{
    return sim.steps;
}

uint64_t trp_sim_faults(enum trp_fault_point point)
{
    return sim.faults[point];
}

/* ---- the seams ---- */

uint32_t trp_choose(enum trp_choice choice, uint32_t count, uint32_t usual)
{
    uint64_t random = next_random();
    uint32_t chosen = usual;

    /* Mostly as production would, so that runs get somewhere; one time in four anything. */
    if (choice == TRP_CHOOSE_WORKER || random % 4 == 0) {
        chosen = (uint32_t)((random >> 8) % count);
    }
    note((uint64_t)choice << 32 | chosen);
    return chosen;
}

bool trp_fault(enum trp_fault_point point)
{
    uint32_t odds = sim.options.fault_odds[point];

    if (odds == 0 || next_random() % 65536 >= odds) {
        return false;
    }
    sim.faults[point]++;
    note(0x10000 + (uint64_t)point);
    return true;
}

void trp_trace(enum trp_trace_point point, uint64_t a, uint64_t b)
{
    note((uint64_t)point);
    note(a);
    note(b);
}

/* ---- stepping ---- */

/* Whether worker `i` would run if it were a thread. */
static bool is_awake(unsigned i)
{
    const struct trp_worker *worker = sim.runtime->workers[i];

    return worker->mode != TRP_WORKER_PARKED || !worker->parker.listed ||
        !trp_stack_is_empty(&worker->returned) ||
        trp_event_value(&worker->event) != worker->event_value || sim.until_ns[i] <= sim.now_ns;
}

static unsigned list_awake(unsigned *out)
{
    unsigned count = 0;

    for (unsigned i = 0; i < sim.runtime->worker_count; i++) {
        if (is_awake(i)) {
            out[count++] = i;
        }
    }
    return count;
}

static void step(unsigned i)
{
    struct trp_worker *worker = sim.runtime->workers[i];
    bool was_offline = trp_reclaim_enter();

    sim.steps++;
    sim.now_ns += STEP_NS;
    sim.until_ns[i] = TRP_NEVER;
    (void)trp_worker_step(worker, &sim.until_ns[i]);
    trp_reclaim_leave(was_offline);
    trp_reclaim_sim_pass(i, sim.runtime->worker_count);
}

/* Moves the clock to the next deadline.  False: there is none. */
static bool sleep_until_due(uint64_t limit_ns)
{
    uint64_t until_ns = limit_ns;

    for (unsigned i = 0; i < sim.runtime->worker_count; i++) {
        if (sim.until_ns[i] < until_ns) {
            until_ns = sim.until_ns[i];
        }
    }
    if (until_ns == TRP_NEVER) {
        return false;
    }
    if (until_ns > sim.now_ns) {
        sim.now_ns = until_ns;
    }
    return true;
}

static bool is_work_left(void)
{
    if (!trp_inject_is_empty(&sim.runtime->inject)) {
        return true;
    }
    for (unsigned i = 0; i < sim.runtime->worker_count; i++) {
        if (!trp_runq_is_empty(&sim.runtime->workers[i]->runq)) {
            return true;
        }
    }
    return false;
}

/* One step of whoever the seed says, or time passes.  False: neither can be. */
static bool advance(uint64_t limit_ns)
{
    unsigned awake[TROUPE_WORKERS_MAX];
    unsigned count = list_awake(awake);

    if (count > 0) {
        step(awake[trp_choose(TRP_CHOOSE_WORKER, count, 0)]);
        return true;
    }
    if (trp_reclaim_sim_finish()) {
        return true;
    }
    sim.stalled = sim.stalled || is_work_left();
    return !sim.stalled && sleep_until_due(limit_ns);
}

enum trp_sim_end trp_sim_run(uint64_t steps)
{
    uint64_t end = sim.steps + steps;

    while (sim.steps < end) {
        if (!advance(TRP_NEVER)) {
            return sim.stalled ? TRP_SIM_STALLED : TRP_SIM_QUIET;
        }
    }
    return TRP_SIM_STEPS;
}

/* ---- the port ---- */

uint64_t trp_port_now_ns(void)
{
    return sim.now_ns;
}

uint64_t trp_port_random(void)
{
    return next_random();
}

unsigned trp_port_cpus(void)
{
    return 4;
}

int trp_port_thread_start(
    struct trp_port_thread *thread, const char *name, void (*run)(void *arg), void *arg)
{
    (void)name;
    thread->run = run;
    thread->arg = arg;
    thread->started = true;
    return trp_fault(TRP_FAULT_SYSTEM) ? TROUPE_ESYSTEM : TROUPE_OK;
}

void trp_port_thread_join(struct trp_port_thread *thread)
{
    thread->started = false;
}

void trp_port_yield(void)
{
}

void trp_port_membarrier_init(void)
{
}

bool trp_port_membarrier(void)
{
    return true;
}

/* ---- event counts: whoever waits steps the others ---- */

void trp_event_init(struct trp_event *event)
{
    event->opaque = 0;
}

uint32_t trp_event_value(const struct trp_event *event)
{
    return event->opaque;
}

void trp_event_wait(struct trp_event *event, uint32_t value, uint64_t until_ns)
{
    while (event->opaque == value && sim.now_ns < until_ns) {
        if (sim.runtime == NULL || !advance(until_ns)) {
            /* Nothing will happen any more: a thread would sleep for ever. */
            trp_assert(until_ns != TRP_EVENT_FOREVER);
            sim.now_ns = until_ns;
        }
    }
}

void trp_event_wake(struct trp_event *event)
{
    event->opaque++;
}
