/* SPDX-License-Identifier: MIT */
/*
 * watchdog.c - one thread that looks, a few hundred times a second while anybody works, and not at all otherwise.
 *
 * A worker counts a beat when a slice begins and another when it ends.  One whose count is odd and has not moved for
 * watchdog_ms is stuck in a handler: it is reported by name, once; what it holds that nobody else may touch, its LIFO
 * slot, is taken over; its timers are fired; and if there is work that nobody does, another worker is woken,
 * or a spare one started.  A spare retires when no worker is stuck any more.
 *
 * It is also the backstop of two rules of thumb: that work queued behind short slices is not worth waking anybody
 * for, and that a worker which runs looks at the poller soon.
 */
#include "runtime.h"

#include "port.h"

/** Looks in a row at which nobody worked before the watchdog sleeps until somebody does. */
#define QUIET_LOOKS 20

static void report_stuck(struct troupe_runtime *runtime, struct trp_worker *worker, uint64_t ms)
{
    /* relaxed: names for a report; the slice may just have ended. */
    const char *name = atomic_load_explicit(&worker->behaviour, memory_order_relaxed);
    troupe_pid pid = atomic_load_explicit(&worker->behaviour_pid, memory_order_relaxed);

    atomic_fetch_add_explicit(&runtime->watchdog.stuck, 1, memory_order_relaxed);
    trp_report(runtime, TROUPE_REPORT_STUCK, pid, name != NULL ? name : "",
        "a handler has held worker %u for %llu ms", worker->index, (unsigned long long)ms);
}

/* What a stuck worker keeps from others. */
static void take_over(struct troupe_runtime *runtime, struct trp_worker *worker, uint64_t now_ns)
{
    struct trp_visit visit;
    struct troupe_actor *actor;

    if (trp_context_enter(runtime, &visit) < 0) {
        return;
    }
    actor = trp_worker_rescue(worker);
    if (actor != NULL) {
        trp_worker_schedule(visit.context, actor);
    }
    trp_worker_fire(visit.context, worker, now_ns);
    trp_context_leave(&visit);
}

/* Slices of a worker that has work queued take longer than its average says, which it corrects every 16 only: thieves
 * shall know. */
static void raise_slice(struct trp_worker *worker, uint64_t slice_ns)
{
    /* relaxed: an estimate; its owner has the last word.  PAIR worker.slice_ns. */
    if (trp_runq_length(&worker->runq) > 0 &&
        atomic_load_explicit(&worker->slice_ns, memory_order_relaxed) < slice_ns) {
        atomic_store_explicit(&worker->slice_ns, slice_ns, memory_order_relaxed);
    }
}

/* Whether worker `i` has been in one slice for watchdog_ms. */
static bool is_stuck(struct troupe_runtime *runtime, unsigned i, uint64_t now_ns, bool *out_active)
{
    struct trp_watchdog *dog = &runtime->watchdog;
    /* relaxed: compared with what it was at the last look, no more. */
    uint64_t beats = atomic_load_explicit(&runtime->workers[i]->beats, memory_order_relaxed);
    uint64_t since_ns = now_ns - dog->since_ns[i];

    if (beats != dog->seen[i] || beats % 2 == 0) {
        if (beats % 2 != 0 && dog->since_ns[i] != 0) {
            raise_slice(runtime->workers[i], since_ns / ((beats - dog->seen[i]) / 2 + 1));
        }
        *out_active = *out_active || beats != dog->seen[i];
        dog->seen[i] = beats;
        dog->since_ns[i] = now_ns;
        dog->reported[i] = false;
        return false;
    }
    *out_active = true;
    raise_slice(runtime->workers[i], since_ns);
    return since_ns >= (uint64_t)runtime->options.watchdog_ms * 1000000U;
}

static bool is_work_queued(struct troupe_runtime *runtime)
{
    unsigned count = trp_runtime_running(runtime);

    if (!trp_inject_is_empty(&runtime->inject)) {
        return true;
    }
    for (unsigned i = 0; i < count; i++) {
        if (trp_runq_length(&runtime->workers[i]->runq) > 0) {
            return true;
        }
    }
    return false;
}

static void retire_spares(struct troupe_runtime *runtime)
{
    unsigned count = trp_runtime_running(runtime);

    for (unsigned i = runtime->worker_count; i < count; i++) {
        struct trp_worker *spare = runtime->workers[i];

        /* acq_rel: for form.  The spare is told in time because the nudge takes the park lock after this, and the spare
         * takes it, to park, before it looks. */
        if (!atomic_exchange_explicit(&spare->retire, true, memory_order_acq_rel)) {
            trp_park_nudge(&runtime->park, spare);
        }
    }
}

bool trp_watchdog_look(struct troupe_runtime *runtime, uint64_t now_ns)
{
    unsigned count = trp_runtime_running(runtime);
    unsigned stuck = 0;
    bool active = false;

    for (unsigned i = 0; i < count; i++) {
        struct trp_watchdog *dog = &runtime->watchdog;

        if (!is_stuck(runtime, i, now_ns, &active)) {
            continue;
        }
        stuck++;
        take_over(runtime, runtime->workers[i], now_ns);
        if (!dog->reported[i]) {
            dog->reported[i] = true;
            report_stuck(runtime, runtime->workers[i], (now_ns - dog->since_ns[i]) / 1000000U);
        }
    }
    if (active && (is_work_queued(runtime) || !trp_park_polls(&runtime->park)) &&
        !trp_park_wake(&runtime->park) && stuck > 0 && is_work_queued(runtime) &&
        trp_park_parked(&runtime->park) == 0) {
        (void)trp_runtime_start_spare(runtime);
    }
    if (stuck == 0) {
        retire_spares(runtime);
    }
    return active;
}

/* Sleeps until somebody works again, unless somebody does already. */
static void sleep_deeply(struct troupe_runtime *runtime, uint32_t value)
{
    struct trp_watchdog *dog = &runtime->watchdog;

    /* relaxed: the lock in trp_park_all_sleep() comes between this and our look; a worker that wakes takes the
     * same lock, then looks at `asleep`.  One of us sees the other.  seq_cst: as in trp_watchdog_main(). */
    atomic_store_explicit(&dog->asleep, true, memory_order_relaxed);
    if (trp_park_all_sleep(&runtime->park) &&
        !atomic_load_explicit(&runtime->stop, memory_order_seq_cst)) {
        trp_event_wait(&dog->event, value, TRP_EVENT_FOREVER);
    }
    atomic_store_explicit(&dog->asleep, false, memory_order_relaxed);
}

void trp_watchdog_main(void *arg)
{
    struct troupe_runtime *runtime = arg;
    uint64_t period_ns = (uint64_t)runtime->options.watchdog_ms * 500000U;
    unsigned quiet = 0;

    /* seq_cst, here and below, where it comes after the event's value: who stops sets `stop`, then wakes the event.
     * PAIR runtime.stop. */
    while (!atomic_load_explicit(&runtime->stop, memory_order_seq_cst)) {
        uint32_t value = trp_event_value(&runtime->watchdog.event);

        quiet = trp_watchdog_look(runtime, trp_port_now_ns()) ? 0 : quiet + 1;
        if (atomic_load_explicit(&runtime->stop, memory_order_seq_cst)) {
            break;
        }
        if (quiet < QUIET_LOOKS) {
            trp_event_wait(&runtime->watchdog.event, value, trp_port_now_ns() + period_ns);
        } else {
            sleep_deeply(runtime, value);
            quiet = 0;
        }
    }
    trp_reclaim_detach();
}
