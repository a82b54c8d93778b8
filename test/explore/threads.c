/* SPDX-License-Identifier: MIT */
/*
 * threads.c - contexts, of which one runs, and the choices between them.
 *
 * Thread 0 is the caller of explore_run(): it sets up, sleeps until the others have ended, and checks.  A thread hands
 * over when it sleeps, ends or yields, and at each point at which the search decides so.  A run that fails is
 * left where it stands: its contexts are made anew for the next one.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>
#include <unistd.h>

#include "test/explore/engine.h"

#define STACK_SIZE ((size_t)256 * 1024)
#define RECLAIMER (EXPLORE_CONTEXTS - 1)

/** All thread-local variables of sched/ together. */
#define LOCALS_SIZE 64

/** A run of more steps than this has no end. */
#define STEPS_MAX 200000

/** One that makes so many steps while others could run waits for them without saying so. */
#define TURN_MAX 2000

struct thread {
    ucontext_t context;
    void (*run)(void *arg);
    void *arg;
    bool alive;
    bool (*ready)(const void *context); /* NULL: it could run */
    const void *waits_for;
    const char *what;
    uint64_t until_ns;
    unsigned step;
    struct explore_view view;
    char locals[LOCALS_SIZE];
};

static char stacks[EXPLORE_CONTEXTS][STACK_SIZE] __attribute__((aligned(64)));
static struct thread threads[EXPLORE_CONTEXTS];
static unsigned current;
static unsigned candidates[EXPLORE_CONTEXTS];
static unsigned steps; /* of this run */
static unsigned turn;  /* steps since another thread ran */
static uint64_t now_ns;
static bool parallel;
static explore_decide_fn decide;
static jmp_buf over;
static char failure[512];

/* The linker's names for the ends of the section of thread-local variables (base.h). */
extern char __start_trp_thread_local[] __attribute__((weak));
extern char __stop_trp_thread_local[] __attribute__((weak));

void explore_fail(const char *format, ...)
{
    va_list list;

    va_start(list, format);
    vsnprintf(failure, sizeof failure, format, list);
    va_end(list);
    longjmp(over, 1);
}

void explore_give_up(const char *format, ...)
{
    va_list list;

    va_start(list, format);
    fputs("explore: ", stderr);
    vfprintf(stderr, format, list);
    fputc('\n', stderr);
    va_end(list);
    _exit(2);
}

/* ---- whose turn it is ---- */

static bool is_ready(const struct thread *thread)
{
    return thread->alive && (thread->ready == NULL || thread->ready(thread->waits_for) ||
                                thread->until_ns <= now_ns);
}

/* All that could run but `but`, in the order of their numbers, behind the first `count` candidates. */
static unsigned list_ready(unsigned but, unsigned count)
{
    for (unsigned i = 0; i < EXPLORE_CONTEXTS; i++) {
        if (i != but && is_ready(&threads[i])) {
            candidates[count++] = i;
        }
    }
    return count;
}

static size_t locals_size(void)
{
    size_t size = (size_t)(__stop_trp_thread_local - __start_trp_thread_local);

    if (size > LOCALS_SIZE) {
        explore_give_up(
            "%zu bytes of thread-local variables are more than there is room for", size);
    }
    return size;
}

static void switch_to(unsigned to)
{
    struct thread *from = &threads[current];

    if (to == current) {
        return;
    }
    explore_trace(0, "thread %u goes on", to);
    memcpy(from->locals, __start_trp_thread_local, locals_size());
    memcpy(__start_trp_thread_local, threads[to].locals, locals_size());
    current = to;
    turn = 0;
    swapcontext(&from->context, &threads[to].context);
}

static void fail_asleep(void)
{
    char text[400];
    size_t used = 0;

    for (unsigned i = 1; i < EXPLORE_CONTEXTS; i++) {
        if (threads[i].alive && i != RECLAIMER && used < sizeof text) {
            used += (size_t)snprintf(
                text + used, sizeof text - used, "; thread %u waits for %s", i, threads[i].what);
        }
    }
    explore_fail("all sleep%s", used > 0 ? text : "");
}

/* The first deadline of those that sleep. */
static uint64_t next_deadline(void)
{
    uint64_t until_ns = UINT64_MAX;

    for (unsigned i = 0; i < EXPLORE_CONTEXTS; i++) {
        if (threads[i].alive && threads[i].until_ns < until_ns) {
            until_ns = threads[i].until_ns;
        }
    }
    return until_ns;
}

/* The thread that runs cannot go on. */
static void hand_over(void)
{
    unsigned count = list_ready(EXPLORE_CONTEXTS, 0);

    if (count == 0) {
        if (next_deadline() == UINT64_MAX) {
            fail_asleep();
        }
        now_ns = next_deadline();
        count = list_ready(EXPLORE_CONTEXTS, 0);
    }
    switch_to(candidates[count == 1 ? 0 : decide(EXPLORE_NEXT, count)]);
}

unsigned explore_candidate(unsigned index)
{
    return candidates[index];
}

void explore_yield(void)
{
    threads[current].step++;
    for (unsigned i = 1; i < EXPLORE_CONTEXTS; i++) {
        unsigned to = (current + i) % EXPLORE_CONTEXTS;

        if (is_ready(&threads[to])) {
            switch_to(to);
            return;
        }
    }
}

void explore_pass(void)
{
    if (!parallel) {
        return;
    }
    threads[current].step++;
    if (++steps > STEPS_MAX) {
        explore_fail("no end after %u steps", steps);
    }
    if (++turn > TURN_MAX) {
        turn = 0;
        explore_yield();
    }
}

void explore_point(void)
{
    unsigned count;

    explore_pass();
    if (!parallel) {
        return;
    }
    candidates[0] = current;
    count = list_ready(current, 1);
    if (count > 1) {
        switch_to(candidates[decide(EXPLORE_THREAD, count)]);
    }
}

void explore_wait(
    bool (*ready)(const void *context), const void *context, uint64_t until_ns, const char *what)
{
    struct thread *self = &threads[current];

    self->step++;
    self->ready = ready;
    self->waits_for = context;
    self->until_ns = until_ns;
    self->what = what;
    while (!is_ready(self)) {
        hand_over();
    }
    self->ready = NULL;
    self->until_ns = UINT64_MAX;
}

void explore_await(bool (*ready)(const void *context), const void *context, const char *what)
{
    explore_wait(ready, context, UINT64_MAX, what);
}

unsigned explore_decide(enum explore_choice choice, unsigned count)
{
    if (!parallel || count == 1) {
        return 0;
    }
    threads[current].step++;
    return decide(choice, count);
}

unsigned explore_choose(unsigned count)
{
    return explore_decide(EXPLORE_OPEN, count);
}

bool explore_is_parallel(void)
{
    return parallel;
}

unsigned explore_self(void)
{
    return current;
}

void explore_where(unsigned *out_thread, unsigned *out_step)
{
    *out_thread = current;
    *out_step = threads[current].step;
}

uint64_t explore_now_ns(void)
{
    return now_ns;
}

/* ---- what is known ---- */

struct explore_view *explore_own_view(void)
{
    return &threads[current].view;
}

void explore_tick(void)
{
    if (++threads[current].view.steps[current] == (explore_step)-1) {
        explore_fail("no end: thread %u is out of numbers for its steps", current);
    }
}

void explore_release(struct explore_view *to)
{
    explore_view_join(to, &threads[current].view);
    explore_tick();
}

void explore_acquire(const struct explore_view *from)
{
    explore_view_join(&threads[current].view, from);
}

void explore_views_join(struct explore_view *into)
{
    for (unsigned i = 0; i < EXPLORE_CONTEXTS; i++) {
        explore_view_join(into, &threads[i].view);
    }
}

/* ---- a run ---- */

static void thread_main(void)
{
    threads[current].run(threads[current].arg);
    threads[current].alive = false;
    hand_over();
}

static void start(unsigned number, void (*run)(void *arg), void *arg)
{
    struct thread *thread = &threads[number];

    thread->run = run;
    thread->arg = arg;
    thread->alive = true;
    thread->view = threads[current].view;
    thread->view.steps[number] = 1;
    getcontext(&thread->context);
    thread->context.uc_stack.ss_sp = stacks[number];
    thread->context.uc_stack.ss_size = STACK_SIZE;
    makecontext(&thread->context, thread_main, 0);
}

/* A thread without an argument. */
static void run_plain(void *run)
{
    (*(void (**)(void))run)();
}

void explore_start_reclaimer(void (*run)(void))
{
    static void (*main)(void);

    if (!threads[RECLAIMER].alive) {
        main = run;
        start(RECLAIMER, run_plain, &main);
        explore_tick();
    }
}

unsigned explore_start(void (*run)(void *arg), void *arg)
{
    unsigned number = 1;

    while (number < RECLAIMER && threads[number].run != NULL) {
        number++;
    }
    if (number == RECLAIMER) {
        return 0;
    }
    start(number, run, arg);
    explore_tick();
    return number;
}

static bool has_ended(const void *thread)
{
    return !((const struct thread *)thread)->alive;
}

void explore_join(unsigned number)
{
    explore_point();
    explore_wait(has_ended, &threads[number], UINT64_MAX, "the end of a thread");
    explore_acquire(&threads[number].view);
}

/* All of the scenario's threads have ended, and the reclaimer has nothing left to do. */
static bool is_through(const void *ignored)
{
    (void)ignored;
    for (unsigned i = 1; i < RECLAIMER; i++) {
        if (threads[i].alive) {
            return false;
        }
    }
    return !is_ready(&threads[RECLAIMER]);
}

static void begin(explore_decide_fn how)
{
    memset(threads, 0, sizeof threads);
    for (unsigned i = 0; i < EXPLORE_CONTEXTS; i++) {
        threads[i].until_ns = UINT64_MAX;
    }
    memset(__start_trp_thread_local, 0, locals_size());
    threads[0].alive = true;
    threads[0].view.steps[0] = 1;
    current = 0;
    steps = 0;
    turn = 0;
    now_ns = UINT64_C(1000000000);
    parallel = false;
    decide = how;
    explore_memory_begin();
    explore_atomic_begin();
    explore_twin_begin();
}

static void go_through(const struct explore_scenario *scenario)
{
    scenario->setup();
    explore_tick();
    for (unsigned i = 0; i < EXPLORE_COUNT(scenario->threads) && scenario->threads[i] != NULL;
         i++) {
        (void)explore_start(run_plain, (void *)(uintptr_t)&scenario->threads[i]);
    }
    parallel = true;
    explore_wait(is_through, NULL, UINT64_MAX, "the others");
    parallel = false;
    for (unsigned i = 1; i < EXPLORE_CONTEXTS; i++) {
        explore_acquire(&threads[i].view);
    }
    scenario->check();
}

static void on_crash(int number)
{
    explore_fail("signal %d: %s", number, strsignal(number));
}

/* A planted bug may well follow a pointer to nowhere. */
static void catch_crashes(void)
{
    static char stack[64 * 1024];
    stack_t alternate = {.ss_sp = stack, .ss_size = sizeof stack};
    struct sigaction action = {.sa_handler = on_crash, .sa_flags = SA_ONSTACK | SA_NODEFER};

    sigaltstack(&alternate, NULL);
    sigaction(SIGSEGV, &action, NULL);
    sigaction(SIGBUS, &action, NULL);
    sigaction(SIGFPE, &action, NULL);
    sigaction(SIGABRT, &action, NULL);
}

const char *explore_run(const struct explore_scenario *scenario, explore_decide_fn how)
{
    static bool prepared;

    if (!prepared) {
        prepared = true;
        catch_crashes();
    }
    begin(how);
    if (setjmp(over) != 0) {
        parallel = false;
        return failure;
    }
    go_through(scenario);
    return NULL;
}
