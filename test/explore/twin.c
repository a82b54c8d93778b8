/* SPDX-License-Identifier: MIT */
/*
 * twin.c - the outside world for sched/: clock, events, locks, grace periods, and the questions of seam.h.
 *
 * An event passes nothing but the wake-up, as event.c says: what is found afterwards must be ordered by itself.  A
 * grace period passes what RCU promises: who was online when something was retired has passed, and what it did
 * before is known to whoever is handed the thing; who comes online later knows that it was retired.
 */
#include "sched/lock.h"
#include "sched/port.h"
#include "sched/reclaim.h"
#include "sched/seam.h"
#include "test/explore/engine.h"

#include <unistd.h>

#define LOCKS 64
#define PENDING 16

#define CALLER ((uintptr_t)__builtin_return_address(0))

struct lock {
    const struct trp_lock *address;
    bool held;
    unsigned holder;
    struct explore_view view;
};

struct pending {
    struct trp_reclaim *reclaim; /* NULL: free */
    unsigned readers;            /* bits of threads that may still look at it */
};

struct sleeper {
    const struct trp_event *event;
    uint32_t value;
};

static struct lock locks[LOCKS];
static struct pending retired[PENDING];
static unsigned unfinished;        /* retired, and `done` has not returned */
static unsigned online;            /* bits of threads */
static struct explore_view passed; /* what readers did */
static struct explore_view begun;  /* what those did who retired something */
static uint64_t random_state;

void explore_twin_begin(void)
{
    for (unsigned i = 0; i < LOCKS; i++) {
        locks[i] = (struct lock){0};
    }
    for (unsigned i = 0; i < PENDING; i++) {
        retired[i] = (struct pending){0};
    }
    unfinished = 0;
    online = 0;
    passed = (struct explore_view){{0}};
    begun = (struct explore_view){{0}};
    random_state = 0;
}

/* ---- locks ---- */

static bool is_forgotten(uintptr_t pc)
{
    explore_plant_note(EXPLORE_LOCK, memory_order_seq_cst, pc);
    return explore_plant_is(EXPLORE_FORGET, pc);
}

static struct lock *lock_of(const struct trp_lock *address)
{
    for (unsigned i = 0; i < LOCKS; i++) {
        if (locks[i].address == address || locks[i].address == NULL) {
            locks[i].address = address;
            return &locks[i];
        }
    }
    explore_give_up("a run has more locks than there is room for");
}

static bool is_free(const void *lock)
{
    return !((const struct lock *)lock)->held;
}

static void hold(struct lock *lock)
{
    lock->held = true;
    lock->holder = explore_self();
    explore_acquire(&lock->view);
}

void trp_lock_take(struct trp_lock *address)
{
    struct lock *lock = lock_of(address);

    if (is_forgotten(CALLER)) {
        return;
    }
    explore_point();
    if (!is_free(lock)) {
        explore_wait(is_free, lock, UINT64_MAX, "a lock");
    }
    hold(lock);
    explore_trace(CALLER, "lock taken");
}

bool trp_lock_try(struct trp_lock *address)
{
    struct lock *lock = lock_of(address);

    if (is_forgotten(CALLER)) {
        return true;
    }
    explore_point();
    if (!is_free(lock)) {
        return false;
    }
    hold(lock);
    return true;
}

void trp_lock_give(struct trp_lock *address)
{
    struct lock *lock = lock_of(address);

    /* Otherwise it was planted that it is not taken. */
    if (lock->held && lock->holder == explore_self()) {
        explore_release(&lock->view);
        lock->held = false;
    }
}

/* ---- the port ---- */

uint64_t trp_port_now_ns(void)
{
    return explore_now_ns();
}

uint64_t trp_port_random(void)
{
    return ++random_state * UINT64_C(0x9e3779b97f4a7c15);
}

size_t trp_port_page_size(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

unsigned trp_port_cpus(void)
{
    return 2;
}

int trp_port_thread_start(
    struct trp_port_thread *thread, const char *name, void (*run)(void *arg), void *arg)
{
    unsigned number = explore_start(run, arg);

    (void)name;
    if (number == 0) {
        return TROUPE_ESYSTEM;
    }
    thread->thread = number;
    thread->started = true;
    return TROUPE_OK;
}

void trp_port_thread_join(struct trp_port_thread *thread)
{
    if (thread->started) {
        explore_join((unsigned)thread->thread);
        thread->started = false;
    }
}

void trp_port_yield(void)
{
    explore_yield();
}

bool trp_port_membarrier(void)
{
    explore_point();
    explore_atomic_fence_all();
    return true;
}

void trp_port_membarrier_init(void)
{
}

void trp_event_init(struct trp_event *event)
{
    event->opaque = 0;
}

uint32_t trp_event_value(const struct trp_event *event)
{
    explore_point();
    return event->opaque;
}

static bool has_moved(const void *sleeper)
{
    const struct sleeper *self = sleeper;

    return self->event->opaque != self->value;
}

void trp_event_wait(struct trp_event *event, uint32_t value, uint64_t until_ns)
{
    struct sleeper sleeper = {event, value};

    explore_point();
    explore_wait(has_moved, &sleeper, until_ns, "an event");
}

void trp_event_wake(struct trp_event *event)
{
    explore_point();
    event->opaque++;
    explore_trace(CALLER, "event moved on");
}

/* ---- grace periods ---- */

int trp_reclaim_attach(void)
{
    return TROUPE_OK;
}

void trp_reclaim_detach(void)
{
}

static void pass(void)
{
    explore_release(&passed);
    for (unsigned i = 0; i < PENDING; i++) {
        retired[i].readers &= ~(1U << explore_self());
    }
}

bool trp_reclaim_enter(void)
{
    unsigned bit = 1U << explore_self();
    bool was_offline = (online & bit) == 0;

    if (was_offline) {
        explore_point();
        online |= bit;
        explore_acquire(&begun);
    }
    return was_offline;
}

void trp_reclaim_leave(bool was_offline)
{
    if (was_offline) {
        explore_point();
        online &= ~(1U << explore_self());
        pass();
    }
}

void trp_reclaim_quiescent(void)
{
    explore_point();
    pass();
    explore_acquire(&begun);
}

/* The first that nobody can look at any more, or NULL. */
static struct pending *find_due(void)
{
    for (unsigned i = 0; i < PENDING; i++) {
        if (retired[i].reclaim != NULL && retired[i].readers == 0) {
            return &retired[i];
        }
    }
    return NULL;
}

static bool is_due(const void *ignored)
{
    (void)ignored;
    return find_due() != NULL;
}

static void reclaimer_main(void)
{
    for (;;) {
        struct trp_reclaim *reclaim;

        explore_wait(is_due, NULL, UINT64_MAX, "the end of a grace period");
        reclaim = find_due()->reclaim;
        find_due()->reclaim = NULL;
        explore_acquire(&passed);
        explore_acquire(&begun);
        explore_trace(0, "a grace period is over");
        reclaim->done(reclaim);
        explore_release(&passed);
        unfinished--;
    }
}

void trp_reclaim_later(struct trp_reclaim *reclaim, void (*done)(struct trp_reclaim *reclaim))
{
    unsigned i = 0;

    explore_point();
    while (i < PENDING && retired[i].reclaim != NULL) {
        i++;
    }
    if (i == PENDING) {
        explore_give_up("more is retired than there is room for");
    }
    reclaim->done = done;
    explore_release(&begun);
    retired[i] = (struct pending){reclaim, online};
    unfinished++;
    explore_start_reclaimer(reclaimer_main);
}

static bool is_finished(const void *ignored)
{
    (void)ignored;
    return unfinished == 0;
}

void trp_reclaim_barrier(void)
{
    explore_point();
    explore_wait(is_finished, NULL, UINT64_MAX, "all grace periods");
    explore_acquire(&passed);
}

bool trp_reclaim_is_home(void)
{
    return true;
}

void trp_reclaim_open(void)
{
}

void trp_reclaim_close(void)
{
}

/* ---- seam.h ---- */

uint32_t trp_choose(enum trp_choice choice, uint32_t count, uint32_t usual)
{
    (void)choice;
    (void)count;
    return usual;
}

bool trp_fault(enum trp_fault_point point)
{
    (void)point;
    return false;
}

void trp_trace(enum trp_trace_point point, uint64_t a, uint64_t b)
{
    (void)point;
    (void)a;
    (void)b;
}

/* Every access is a point already. */
void trp_switch(void)
{
}

/* In place of base.c's: see meson.build. */
TROUPE_NORETURN void __wrap_trp_assert_failed(const char *file, int line, const char *condition);

void __wrap_trp_assert_failed(const char *file, int line, const char *condition)
{
    const char *name = file;

    for (const char *at = file; *at != '\0'; at++) {
        name = *at == '/' ? at + 1 : name;
    }
    explore_fail("trp_assert in %s:%d: %s", name, line, condition);
}
