/* SPDX-License-Identifier: MIT */
/*
 * port_sim.c - the twin of port.c and event.c: a virtual clock, one seed, and virtual threads of which one runs.
 *
 * A virtual thread is a ucontext with a stack of its own; number 0 is the thread that began the simulation, number 1
 * ends grace periods, the others are the runtime's.  A thread hands over when it sleeps on an event, when it ends, when
 * it yields, and at one in SWITCH_ODDS of the switch points that it passes; who runs next is one of those that are
 * ready, as the seed says.  When none is ready the clock goes to the next deadline.  Nothing depends on addresses, on
 * the real clock, or on the order of real threads.
 *
 * Stepping workers from a loop, a whole step at a time, was tried first: then nobody ever gets between a worker's
 * search and its registration as parked, and a missing second look is never found.
 */
#include "sim.h"

#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>
#include <unistd.h>

#include "lock.h"
#include "poison.h"
#include "port.h"
#include "reclaim_sim.h"
#include "runtime.h"

#ifdef TRP_ASAN
#include <sanitizer/common_interface_defs.h>
#endif

/** What passes from one switch point to the next on the virtual clock. */
#define STEP_NS 250

/** One in so many switch points hands over. */
#define SWITCH_ODDS 3

#define THREADS_MAX 32
#define STACK_SIZE ((size_t)256 * 1024)

/** All thread-local variables together. */
#define LOCALS_SIZE 64

/** Steps that trp_sim_print() knows of. */
#define HISTORY 64

struct thread {
    ucontext_t context;
    struct trp_event ended;
    const struct trp_event *event; /* it sleeps until this is not `value`; NULL: it is ready */
    uint32_t value;
    uint64_t until_ns; /* or until then */
    void (*run)(void *arg);
    void *arg;
    bool alive;
    char *stack;              /* kept for the next thread with this number; NULL for number 0 */
    char locals[LOCALS_SIZE]; /* its thread-local variables while it does not run */
    void *fake_stack;         /* the address sanitizer's, while it does not run */
    const void *bottom;       /* of its stack, as the address sanitizer says */
    size_t size;
};

/* What can happen in a step. */
enum what {
    WHAT_SLICE = TRP_TRACE_SLICE,
    WHAT_MESSAGE = TRP_TRACE_MESSAGE,
    WHAT_CHOICE,
    WHAT_FAULT,
};

struct step {
    uint64_t number;
    uint64_t now_ns;
    unsigned thread;
    enum what what;
    uint64_t a;
    uint64_t b;
};

static struct {
    struct trp_sim_options options;
    struct troupe_runtime *runtime;
    uint64_t random;
    uint64_t hash;
    uint64_t now_ns;
    uint64_t steps;
    uint64_t faults[TRP_FAULT_COUNT];
    bool stalled;

    unsigned current;
    unsigned previous; /* who ran before: see arrive() */
    unsigned count;    /* of threads that were started, some of them may have ended */

    bool driving; /* thread 0 is in trp_sim_run(), until: */
    uint64_t drive_steps;
    uint64_t drive_ns;
    enum trp_sim_end drive_end;

    uint64_t noted; /* steps ever written into `history` */
    struct step history[HISTORY];
} sim;

/* Beside `sim`, because their stacks outlive a run. */
static struct thread threads[THREADS_MAX];

/* ---- the trace ---- */

/* No default: the compiler tells of one that was forgotten. */
static const char *choice_name(enum trp_choice choice)
{
    switch (choice) {
    case TRP_CHOOSE_THREAD:
        return "thread";
    case TRP_CHOOSE_VICTIM:
        return "victim";
    case TRP_CHOOSE_STEAL:
        return "steal";
    case TRP_CHOOSE_WAKE:
        return "wake";
    case TRP_CHOOSE_LIFO:
        return "lifo";
    case TRP_CHOOSE_SLICE:
        return "slice";
    case TRP_CHOOSE_SHARD:
        return "shard";
    case TRP_CHOOSE_COUNT:
        break;
    }
    return "?";
}

static const char *fault_name(enum trp_fault_point point)
{
    switch (point) {
    case TRP_FAULT_ALLOC:
        return "no memory";
    case TRP_FAULT_FULL:
        return "a full mailbox";
    case TRP_FAULT_LOST_WAKE:
        return "a lost wake-up";
    case TRP_FAULT_SYSTEM:
        return "a system call";
    case TRP_FAULT_COUNT:
        break;
    }
    return "?";
}

static void print_step(FILE *to, const struct step *step)
{
    fprintf(to, "step %" PRIu64 " at %" PRIu64 ".%06" PRIu64 " ms, thread %u: ", step->number,
        step->now_ns / 1000000U, step->now_ns % 1000000U, step->thread);
    switch (step->what) {
    case WHAT_SLICE:
        fprintf(to, "worker %" PRIu64 " runs actor %" PRIu64 "\n", step->a, step->b);
        break;
    case WHAT_MESSAGE:
        fprintf(to, "message of kind %" PRIu64 " from %#" PRIx64 "\n", step->a, step->b);
        break;
    case WHAT_CHOICE:
        fprintf(to, "chose %s %" PRIu64 "\n", choice_name((enum trp_choice)step->a), step->b);
        break;
    case WHAT_FAULT:
        fprintf(to, "fault: %s\n", fault_name((enum trp_fault_point)step->a));
        break;
    }
}

static void print_thread(FILE *to, unsigned number)
{
    const struct thread *thread = &threads[number];

    if (!thread->alive) {
        fprintf(to, "thread %u has ended\n", number);
    } else if (thread->event == NULL) {
        fprintf(to, "thread %u runs, or could\n", number);
    } else if (thread->until_ns == TRP_EVENT_FOREVER) {
        fprintf(to, "thread %u sleeps until it is woken\n", number);
    } else {
        fprintf(to, "thread %u sleeps until %" PRIu64 " ms at most\n", number,
            thread->until_ns / 1000000U);
    }
}

void trp_sim_print(FILE *to)
{
    uint64_t first = sim.noted > HISTORY ? sim.noted - HISTORY : 0;

    fprintf(to, "simulation: seed %" PRIu64 ", the last of %" PRIu64 " steps:\n", sim.options.seed,
        sim.steps);
    for (uint64_t i = first; i < sim.noted; i++) {
        print_step(to, &sim.history[i % HISTORY]);
    }
    for (unsigned i = 0; i < sim.count; i++) {
        print_thread(to, i);
    }
    fflush(to);
}

static uint64_t mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9U;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebU;
    return x ^ (x >> 31);
}

static void note(enum what what, uint64_t a, uint64_t b)
{
    struct step *step = &sim.history[sim.noted++ % HISTORY];
    const uint64_t values[] = {(uint64_t)what << 32 | sim.current, a, b};

    *step = (struct step){sim.steps, sim.now_ns, sim.current, what, a, b};
    for (unsigned i = 0; i < sizeof values / sizeof values[0]; i++) {
        sim.hash = mix(sim.hash + 0x9e3779b97f4a7c15U + values[i]);
    }
    if (sim.options.trace != NULL) {
        print_step(sim.options.trace, step);
    }
}

/* However a run fails that way, a trp_assert() of the library's among them: the seed and the last steps are told. */
static void on_abort(int number)
{
    signal(number, SIG_DFL);
    trp_sim_print(stderr);
    raise(number);
}

static TROUPE_NORETURN void give_up(const char *why)
{
    fprintf(stderr, "simulation: %s\n", why);
    abort();
}

/* ---- the seams ---- */

static uint64_t next_random(void)
{
    return mix(sim.random += 0x9e3779b97f4a7c15U);
}

static uint32_t choose(enum trp_choice choice, uint32_t count, uint32_t usual)
{
    uint64_t random = next_random();
    uint32_t chosen = usual;

    /* Mostly as production would, so that runs get somewhere; one time in four anything. */
    if (choice == TRP_CHOOSE_THREAD || random % 4 == 0) {
        chosen = (uint32_t)((random >> 8) % count);
    }
    note(WHAT_CHOICE, choice, chosen);
    return chosen;
}

uint32_t trp_choose(enum trp_choice choice, uint32_t count, uint32_t usual)
{
    uint32_t chosen = choose(choice, count, usual);

    trp_switch();
    return chosen;
}

bool trp_fault(enum trp_fault_point point)
{
    uint32_t odds = sim.options.fault_odds[point];

    if (odds == 0 || next_random() % 65536 >= odds) {
        return false;
    }
    sim.faults[point]++;
    note(WHAT_FAULT, point, 0);
    return true;
}

void trp_trace(enum trp_trace_point point, uint64_t a, uint64_t b)
{
    note((enum what)point, a, b);
    trp_switch();
}

/* ---- whose turn it is ---- */

static bool is_ready(const struct thread *thread)
{
    return thread->alive && (thread->event == NULL || thread->event->opaque != thread->value ||
                                thread->until_ns <= sim.now_ns);
}

static unsigned list_ready(unsigned *out)
{
    unsigned count = 0;

    for (unsigned i = sim.driving ? 1 : 0; i < sim.count; i++) {
        if (is_ready(&threads[i])) {
            out[count++] = i;
        }
    }
    return count;
}

/* When the first of those that sleep wants to be woken. */
static uint64_t next_deadline(void)
{
    uint64_t until_ns = TRP_EVENT_FOREVER;

    for (unsigned i = sim.driving ? 1 : 0; i < sim.count; i++) {
        if (threads[i].alive && threads[i].until_ns < until_ns) {
            until_ns = threads[i].until_ns;
        }
    }
    return until_ns;
}

/* Whether an actor waits for that worker, and none other may run it; one that has not begun sleeps until the start. */
static bool has_pinned(const struct trp_worker *worker)
{
    /* relaxed: there is one thread at a time. */
    return worker->pinned_first != NULL ||
           atomic_load_explicit(&worker->arrived, memory_order_relaxed) != NULL;
}

static bool is_thread_left(const struct troupe_runtime *runtime)
{
    unsigned count = trp_threads_made(runtime);

    /* relaxed: as above. */
    if (atomic_load_explicit(&runtime->thread_actors.open, memory_order_relaxed) == 0) {
        return false;
    }
    for (unsigned i = 0; i < count; i++) {
        if (has_pinned(runtime->workers[TRP_THREAD_FIRST + i])) {
            return true;
        }
    }
    return false;
}

/* All sleep: whether there is something that one of the workers should have been woken for. */
static bool is_work_left(void)
{
    struct troupe_runtime *runtime = sim.runtime;
    unsigned count;

    if (runtime == NULL) {
        return false;
    }
    if (!trp_inject_is_empty(&runtime->inject)) {
        return true;
    }
    /* relaxed, here and below: there is one thread at a time. */
    count = atomic_load_explicit(&runtime->running, memory_order_relaxed);
    for (unsigned i = 0; i < count; i++) {
        struct trp_worker *worker = runtime->workers[i];

        if (!trp_runq_is_empty(&worker->runq) || has_pinned(worker) ||
            /* relaxed: as above. */
            atomic_load_explicit(&worker->lifo, memory_order_relaxed) != NULL) {
            return true;
        }
    }
    return is_thread_left(runtime);
}

/* Whether trp_sim_run() returns, `ready` others being ready. */
static bool is_drive_over(unsigned ready)
{
    if (sim.stalled) {
        sim.drive_end = TRP_SIM_STALLED;
        return true;
    }
    if (sim.steps >= sim.drive_steps) {
        sim.drive_end = TRP_SIM_STEPS;
        return true;
    }
    sim.drive_end = TRP_SIM_QUIET;
    return ready == 0 && next_deadline() > sim.drive_ns;
}

/* Who runs next.  Lets time pass if nobody can. */
static unsigned next_thread(void)
{
    unsigned ready[THREADS_MAX];

    for (;;) {
        unsigned count = list_ready(ready);
        uint64_t until_ns;

        sim.stalled = sim.stalled || (count == 0 && is_work_left());
        if (sim.driving && is_drive_over(count)) {
            return 0;
        }
        if (count > 0) {
            return count == 1 ? ready[0] : ready[choose(TRP_CHOOSE_THREAD, count, 0)];
        }
        until_ns = next_deadline();
        if (until_ns == TRP_EVENT_FOREVER) {
            give_up(sim.stalled ? "all sleep, and there is work" : "all sleep, and nothing is due");
        }
        sim.now_ns = until_ns;
    }
}

/* ---- from one thread to another ---- */

/* The linker's names for the ends of the section of thread-local variables. */
extern char locals_begin[] __asm__("__start_trp_thread_local");
extern char locals_end[] __asm__("__stop_trp_thread_local");

static size_t locals_size(void)
{
    size_t size = (uintptr_t)locals_end - (uintptr_t)locals_begin;

    trp_assert(size <= LOCALS_SIZE);
    return size;
}

#ifdef TRP_ASAN

static void depart(struct thread *from, const struct thread *to)
{
    /* A thread that has ended gives its fake stack back. */
    __sanitizer_start_switch_fiber(from->alive ? &from->fake_stack : NULL, to->bottom, to->size);
}

static void arrive(struct thread *at, struct thread *from)
{
    __sanitizer_finish_switch_fiber(at->fake_stack, &from->bottom, &from->size);
}

#else

static void depart(struct thread *from, const struct thread *to)
{
    (void)from;
    (void)to;
}

static void arrive(struct thread *at, struct thread *from)
{
    (void)at;
    (void)from;
}

#endif

static void switch_to(unsigned to)
{
    struct thread *from = &threads[sim.current];

    memcpy(from->locals, locals_begin, locals_size());
    memcpy(locals_begin, threads[to].locals, locals_size());
    sim.previous = sim.current;
    sim.current = to;
    depart(from, &threads[to]);
    swapcontext(&from->context, &threads[to].context);
    arrive(from, &threads[sim.previous]);
}

/* Whoever's turn it is runs; returns when it is this thread's again. */
static void hand_over(void)
{
    unsigned to = next_thread();

    if (to != sim.current) {
        switch_to(to);
    }
}

static void pass_step(void)
{
    sim.steps++;
    sim.now_ns += STEP_NS;
    if (sim.options.steps_max != 0 && sim.steps > sim.options.steps_max) {
        give_up("no end in sight");
    }
}

void trp_switch(void)
{
    pass_step();
    if (next_random() % SWITCH_ODDS == 0) {
        hand_over();
    }
}

/* There is one thread: a lock that is taken is one whose holder others got ahead of. */

bool trp_lock_try(struct trp_lock *lock)
{
    return pthread_mutex_trylock(&lock->mutex) == 0;
}

void trp_lock_take(struct trp_lock *lock)
{
    trp_switch();
    while (!trp_lock_try(lock)) {
        trp_port_yield();
    }
}

void trp_lock_give(struct trp_lock *lock)
{
    int error = pthread_mutex_unlock(&lock->mutex);

    trp_assert(error == 0);
    trp_switch();
}

static void thread_main(void)
{
    struct thread *self = &threads[sim.current];

    arrive(self, &threads[sim.previous]);
    self->run(self->arg);
    self->alive = false;
    self->ended.opaque++;
    hand_over();
}

/* A number that nobody has now; THREADS_MAX: none. */
static unsigned free_number(void)
{
    unsigned number = 1;

    while (number < sim.count && threads[number].alive) {
        number++;
    }
    return number;
}

static void prepare_context(struct thread *thread)
{
    getcontext(&thread->context);
    thread->context.uc_stack.ss_sp = thread->stack;
    thread->context.uc_stack.ss_size = STACK_SIZE;
    makecontext(&thread->context, thread_main, 0);
}

/* Returns the thread's number, 0 if there is no room. */
static unsigned start_thread(void (*run)(void *arg), void *arg)
{
    unsigned number = free_number();
    struct thread *thread = &threads[number];
    char *stack;

    if (number == THREADS_MAX) {
        return 0;
    }
    stack = thread->stack != NULL ? thread->stack : malloc(STACK_SIZE);
    if (stack == NULL) {
        return 0;
    }
    /* Frames of a thread that never returned from them. */
    TRP_UNPOISON(stack, STACK_SIZE);
    *thread = (struct thread){.run = run, .arg = arg, .alive = true, .stack = stack};
    thread->bottom = stack;
    thread->size = STACK_SIZE;
    thread->until_ns = TRP_EVENT_FOREVER;
    trp_event_init(&thread->ended);
    prepare_context(thread);
    if (number == sim.count) {
        sim.count++;
    }
    return number;
}

/* ---- sim.h ---- */

void trp_sim_begin(const struct trp_sim_options *options)
{
    unsigned reclaimer;

    memset(&sim, 0, sizeof sim);
    sim.options = *options;
    sim.random = options->seed;
    sim.now_ns = 1000000000U;
    sim.count = 1;
    threads[0].alive = true;
    threads[0].event = NULL;
    threads[0].until_ns = TRP_EVENT_FOREVER;
    for (unsigned i = 1; i < THREADS_MAX; i++) {
        threads[i].alive = false;
    }
    reclaimer = start_thread(trp_reclaim_sim_main, NULL);
    trp_assert(reclaimer == 1);
    signal(SIGABRT, on_abort);
}

void trp_sim_attach(struct troupe_runtime *runtime)
{
    sim.runtime = runtime;
}

enum trp_sim_end trp_sim_run(uint64_t steps, uint64_t ms)
{
    trp_assert(sim.current == 0);
    sim.driving = true;
    sim.drive_steps = sim.steps + steps;
    sim.drive_ns = sim.now_ns + ms * 1000000U;
    hand_over();
    sim.driving = false;
    return sim.drive_end;
}

void trp_sim_mend(void)
{
    memset(sim.options.fault_odds, 0, sizeof sim.options.fault_odds);
    sim.stalled = false;
    if (sim.runtime != NULL) {
        trp_park_wake_all(&sim.runtime->park);
    }
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

/* ---- the port ---- */

uint64_t trp_port_now_ns(void)
{
    return sim.now_ns;
}

uint64_t trp_port_random(void)
{
    return next_random();
}

/* The machine's: the memory is real. */
size_t trp_port_page_size(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

unsigned trp_port_cpus(void)
{
    return 4;
}

int trp_port_thread_start(
    struct trp_port_thread *thread, const char *name, void (*run)(void *arg), void *arg)
{
    unsigned number = trp_fault(TRP_FAULT_SYSTEM) ? 0 : start_thread(run, arg);

    (void)name;
    if (number == 0) {
        return TROUPE_ESYSTEM;
    }
    thread->run = run;
    thread->arg = arg;
    thread->thread = number;
    thread->started = true;
    return TROUPE_OK;
}

void trp_port_thread_join(struct trp_port_thread *thread)
{
    if (thread->started) {
        struct thread *other = &threads[thread->thread];

        /* Moves on once. */
        trp_event_wait(&other->ended, 0, TRP_EVENT_FOREVER);
        thread->started = false;
    }
}

void trp_port_yield(void)
{
    pass_step();
    hand_over();
}

void trp_port_membarrier_init(void)
{
}

bool trp_port_membarrier(void)
{
    return true;
}

/* ---- event counts ---- */

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
    struct thread *self = &threads[sim.current];

    pass_step();
    self->event = event;
    self->value = value;
    self->until_ns = until_ns;
    while (!is_ready(self)) {
        hand_over();
    }
    self->event = NULL;
    self->until_ns = TRP_EVENT_FOREVER;
}

void trp_event_wake(struct trp_event *event)
{
    trp_switch();
    event->opaque++;
}
