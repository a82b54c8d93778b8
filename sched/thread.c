/* SPDX-License-Identifier: MIT */
/* thread.c - workers that run one actor each: their threads, and the border between troupe and the actor's own code. */
#include "thread.h"

#include "port.h"
#include "reclaim.h"
#include "runtime.h"
#include "worker.h"

/** Steps between two returns to the thread's loop. */
#define RUN_STEPS 1024

/* The worker whose thread this is, if it is a thread actor's. */
static TRP_THREAD_LOCAL struct trp_worker *own;

void trp_threads_init(struct trp_threads *threads)
{
    trp_lock_init(&threads->lock);
    threads->live = 0;
    atomic_init(&threads->made, 0);
    atomic_init(&threads->open, 0);
}

void trp_threads_fini(struct trp_threads *threads)
{
    trp_lock_fini(&threads->lock);
}

unsigned trp_threads_made(const struct troupe_runtime *runtime)
{
    /* acquire: the workers.  PAIR threads.made: release in make_worker(). */
    return atomic_load_explicit(&runtime->thread_actors.made, memory_order_acquire);
}

/* ---- the border ---- */

struct troupe_actor *trp_thread_actor(const struct troupe_runtime *runtime)
{
    return own != NULL && own->runtime == runtime ? own->resident : NULL;
}

bool trp_thread_is_here(void)
{
    return own != NULL;
}

void trp_thread_go_out(struct trp_worker *worker)
{
    if (worker != own || worker->outside) {
        return;
    }
    trp_worker_settle(worker);
    worker->outside = true;
    worker->context.current = NULL;
    trp_worker_set_current(NULL);
    trp_reclaim_leave(worker->was_offline);
}

void trp_thread_come_in(struct trp_worker *worker)
{
    if (worker != own || !worker->outside) {
        return;
    }
    /* Online already: inside another call of this thread's, which calls back. */
    worker->was_offline = trp_reclaim_enter();
    trp_worker_set_current(worker);
    worker->context.current = worker->resident;
    worker->outside = false;
    /* It may have been away for long. */
    worker->now_ns = trp_port_now_ns();
    (void)trp_worker_fire(&worker->context, worker, worker->now_ns);
}

struct trp_worker *trp_thread_enter(const struct troupe_actor *self)
{
    struct trp_worker *worker = own;

    if (worker == NULL || worker->resident != self || !worker->outside) {
        return NULL;
    }
    trp_thread_come_in(worker);
    return worker;
}

/* ---- the thread ---- */

bool trp_thread_is_dismissed(struct trp_worker *worker)
{
    /* acq_rel: we meet who dismisses it: we see that, with all that was done before, or that one comes after our look at the
     * event, and moves it on.  PAIR thread.dismissed: dismiss(). */
    return atomic_fetch_or_explicit(&worker->dismissed, 0, memory_order_acq_rel) != 0;
}

static bool is_open(struct trp_worker *worker)
{
    /* acq_rel: as above.  PAIR threads.open: trp_threads_open(). */
    return atomic_fetch_or_explicit(
               &worker->runtime->thread_actors.open, 0, memory_order_acq_rel) != 0;
}

/* Whether it may begin; false: nobody needs it any more. */
static bool await_start(struct trp_worker *worker)
{
    for (;;) {
        uint32_t value = trp_event_value(&worker->event);

        if (is_open(worker)) {
            return true;
        }
        if (trp_thread_is_dismissed(worker)) {
            return false;
        }
        trp_event_wait(&worker->event, value, TRP_EVENT_FOREVER);
    }
}

static void run(struct trp_worker *worker)
{
    uint64_t until_ns;
    enum trp_step last;

    own = worker;
    worker->was_offline = trp_reclaim_enter();
    trp_worker_begin(worker);
    do {
        last = trp_worker_run(worker, RUN_STEPS, &until_ns);
        if (last == TRP_STEP_IDLE) {
            trp_worker_sleep(worker, until_ns);
        }
    } while (last != TRP_STEP_STOP);
    trp_reclaim_leave(true);
    own = NULL;
}

static void thread_main(void *arg)
{
    struct trp_worker *worker = arg;
    int error = trp_reclaim_attach();

    trp_assert(error == TROUPE_OK);
    trp_context_prefer(worker->index - TRP_THREAD_FIRST);
    if (await_start(worker)) {
        run(worker);
    }
    /* release: all that it did.  PAIR thread.gone: find_free(). */
    atomic_store_explicit(&worker->gone, true, memory_order_release);
    trp_reclaim_detach();
}

/* ---- places ---- */

/* Under lock.  A worker whose thread has ended; with `soon` one that was told to.  Neither needs this lock any more. */
static struct trp_worker *find_free(struct troupe_runtime *runtime, bool soon)
{
    unsigned made = trp_threads_made(runtime);

    for (unsigned i = 0; i < made; i++) {
        struct trp_worker *worker = runtime->workers[TRP_THREAD_FIRST + i];

        /* acquire: what its thread did.  PAIR thread.gone: thread_main(). */
        if (atomic_load_explicit(&worker->gone, memory_order_acquire) ||
            /* relaxed: to join it is to know what it did. */
            (soon && atomic_load_explicit(&worker->dismissed, memory_order_relaxed) != 0)) {
            trp_port_thread_join(&worker->thread);
            return worker;
        }
    }
    return NULL;
}

/* Under lock. */
static int make_worker(struct troupe_runtime *runtime, struct trp_worker **out_worker)
{
    unsigned made = trp_threads_made(runtime);
    struct trp_worker *worker;

    if (made >= 2 * runtime->limits.threads) {
        return TROUPE_ELIMIT;
    }
    worker = trp_memory_alloc(&runtime->memory, sizeof *worker, 128);
    if (worker == NULL) {
        return TROUPE_ENOMEM;
    }
    trp_worker_init(worker, runtime, TRP_THREAD_FIRST + made);
    runtime->workers[TRP_THREAD_FIRST + made] = worker;
    /* release: the worker.  PAIR threads.made: trp_threads_made(). */
    atomic_store_explicit(&runtime->thread_actors.made, made + 1, memory_order_release);
    *out_worker = worker;
    return TROUPE_OK;
}

/* Under lock. */
static int take_locked(struct troupe_runtime *runtime, struct trp_worker **out_worker)
{
    struct trp_worker *worker;

    if (runtime->thread_actors.live >= runtime->limits.threads) {
        return TROUPE_ELIMIT;
    }
    worker = find_free(runtime, trp_threads_made(runtime) >= 2 * runtime->limits.threads);
    if (worker == NULL) {
        TROUPE_TRY(make_worker(runtime, &worker));
    }
    worker->resident = NULL;
    worker->outside = false;
    worker->released = false;
    /* relaxed, both: its next thread begins after this. */
    atomic_store_explicit(&worker->dismissed, 0, memory_order_relaxed);
    atomic_store_explicit(&worker->gone, false, memory_order_relaxed);
    if (trp_port_thread_start(&worker->thread, "troupe-actor", thread_main, worker) < 0) {
        /* relaxed: the lock hands it to whoever takes it next.  PAIR thread.gone. */
        atomic_store_explicit(&worker->gone, true, memory_order_relaxed);
        return TROUPE_ESYSTEM;
    }
    runtime->thread_actors.live++;
    *out_worker = worker;
    return TROUPE_OK;
}

int trp_thread_take(struct troupe_runtime *runtime, struct trp_worker **out_worker)
{
    int error;

    trp_lock_take(&runtime->thread_actors.lock);
    error = take_locked(runtime, out_worker);
    trp_lock_give(&runtime->thread_actors.lock);
    return error;
}

void trp_thread_release(struct trp_worker *worker)
{
    struct trp_threads *threads = &worker->runtime->thread_actors;

    trp_lock_take(&threads->lock);
    if (!worker->released) {
        worker->released = true;
        threads->live--;
    }
    trp_lock_give(&threads->lock);
}

static void dismiss(struct trp_worker *worker)
{
    /* acq_rel: what was done for its actor; we meet its thread, then wake it.
     * PAIR thread.dismissed: trp_thread_is_dismissed(). */
    (void)atomic_fetch_or_explicit(&worker->dismissed, 1, memory_order_acq_rel);
    trp_event_wake(&worker->event);
}

void trp_thread_dismiss(struct trp_worker *worker)
{
    trp_thread_release(worker);
    dismiss(worker);
}

void trp_threads_open(struct troupe_runtime *runtime)
{
    unsigned made;

    /* acq_rel: the runtime has started; we meet each thread, then wake it.  PAIR threads.open: is_open(). */
    (void)atomic_fetch_or_explicit(&runtime->thread_actors.open, 1, memory_order_acq_rel);
    /* One that is made just now starts its thread after this lock, and sees that. */
    trp_lock_take(&runtime->thread_actors.lock);
    made = trp_threads_made(runtime);
    trp_lock_give(&runtime->thread_actors.lock);
    for (unsigned i = 0; i < made; i++) {
        trp_event_wake(&runtime->workers[TRP_THREAD_FIRST + i]->event);
    }
}

void trp_threads_close(struct troupe_runtime *runtime)
{
    unsigned made = trp_threads_made(runtime);

    for (unsigned i = 0; i < made; i++) {
        struct trp_worker *worker = runtime->workers[TRP_THREAD_FIRST + i];

        dismiss(worker);
        trp_port_thread_join(&worker->thread);
    }
}
