/* SPDX-License-Identifier: MIT */
/*
 * runtime.c - start-up and shutdown, step by step; turns for runtimes without threads; the books.
 *
 * Model of the shutdown: test/model/shutdown.pml.
 */
#include "runtime.h"

#include <string.h>

#include <troupe/mailbox.h>

#include "contain.h"
#include "exit.h"
#include "port.h"

/** Steps of a worker between two returns to its loop, and of a turn between two looks at its budget. */
#define RUN_STEPS 1024
#define TURN_STEPS 16

/* ---- limits and options ---- */

static uint32_t or_default(uint32_t value, uint32_t standard)
{
    return value > 0 ? value : standard;
}

static void set_limits(struct troupe_limits *limits, const struct troupe_limits *asked)
{
    limits->actors = or_default(asked->actors, 4194304);
    limits->actor_timers = or_default(asked->actor_timers, 65536);
    limits->actor_watches = or_default(asked->actor_watches, 1048576);
    limits->actor_ios = or_default(asked->actor_ios, 65536);
    limits->names = or_default(asked->names, 1048576);
    limits->groups = or_default(asked->groups, 1048576);
    limits->group_members = or_default(asked->group_members, 1048576);
    limits->actor_groups = or_default(asked->actor_groups, 65536);
    limits->actor_stash = or_default(asked->actor_stash, 1024);
    limits->actor_jobs = or_default(asked->actor_jobs, 1024);
    limits->threads = or_default(asked->threads, 256);
    limits->actor_aliases = or_default(asked->actor_aliases, 1U << 20);
    limits->memory = asked->memory > 0 ? asked->memory : (uint64_t)1 << 40;
}

static bool are_options_right(const struct troupe_runtime_options *options)
{
    const struct troupe_allocator *allocator = options->allocator;

    return options->workers >= TROUPE_NO_THREADS && options->workers <= TROUPE_WORKERS_MAX &&
           options->watchdog_ms >= TROUPE_NO_WATCHDOG &&
           (unsigned)options->faults <= TROUPE_FAULTS_LEAVE &&
           (unsigned)options->on_ring <= TROUPE_RING_FAIL &&
           options->limits.actors < (uint32_t)1 << 28 &&
           options->limits.threads <= TROUPE_THREADS_MAX && options->blocking_threads >= 0 &&
           options->blocking_threads <= TROUPE_BLOCKING_THREADS_MAX &&
           options->blocking_idle_ms >= 0 && options->pause_max_ms >= 0 &&
           options->queue_low <= options->queue_high &&
           (allocator == NULL || (allocator->allocate != NULL && allocator->release != NULL));
}

static void set_blocking(struct troupe_runtime_options *options, unsigned cpus)
{
    if (options->blocking_threads == 0) {
        unsigned count = cpus > 2 ? 4 * cpus : 8;

        options->blocking_threads =
            count < TROUPE_BLOCKING_THREADS_MAX ? (int)count : TROUPE_BLOCKING_THREADS_MAX;
    }
    options->blocking_queue = or_default(options->blocking_queue, 1024);
    if (options->blocking_idle_ms == 0) {
        options->blocking_idle_ms = 10000;
    }
}

static void set_options(
    struct troupe_runtime *runtime, const struct troupe_runtime_options *options)
{
    unsigned cpus = trp_port_cpus();

    runtime->options = *options;
    set_limits(&runtime->limits, &options->limits);
    runtime->threads = options->workers != TROUPE_NO_THREADS;
    runtime->worker_count = 1;
    if (runtime->threads) {
        runtime->worker_count = options->workers > 0 ? (unsigned)options->workers : cpus;
        if (runtime->worker_count > TROUPE_WORKERS_MAX) {
            runtime->worker_count = TROUPE_WORKERS_MAX;
        }
    }
    runtime->worker_max =
        runtime->threads ? runtime->worker_count + TRP_SPARES_MAX : runtime->worker_count;
    runtime->shard_count =
        runtime->worker_count < TRP_SHARDS_MAX ? runtime->worker_count : TRP_SHARDS_MAX;
    if (options->watchdog_ms == 0) {
        runtime->options.watchdog_ms = 10;
    }
    if (options->pause_max_ms == 0) {
        runtime->options.pause_max_ms = TROUPE_PAUSE_MS_DEFAULT;
    }
    set_blocking(&runtime->options, cpus);
    runtime->options.queue_low = or_default(options->queue_low, options->queue_high / 2);
    if (options->seed == 0) {
        runtime->options.seed = trp_port_random();
    }
}

/* ---- create ---- */

static int make_worker(struct troupe_runtime *runtime, unsigned index)
{
    struct trp_worker *worker = trp_memory_alloc(&runtime->memory, sizeof *worker, 128);

    if (worker == NULL) {
        return TROUPE_ENOMEM;
    }
    trp_worker_init(worker, runtime, index);
    runtime->workers[index] = worker;
    /* release: the worker.  PAIR runtime.running: acquire in worker.c and watchdog.c. */
    atomic_store_explicit(&runtime->running, index + 1, memory_order_release);
    return TROUPE_OK;
}

static void free_worker(struct troupe_runtime *runtime, struct trp_worker *worker)
{
    trp_contain_release(worker);
    trp_pool_fini(&worker->context.pool);
    trp_lock_fini(&worker->wheel.lock);
    trp_memory_free(&runtime->memory, worker, sizeof *worker);
}

static void free_workers(struct troupe_runtime *runtime)
{
    unsigned count = trp_runtime_running(runtime);
    unsigned threads = trp_threads_made(runtime);

    for (unsigned i = 0; i < count; i++) {
        free_worker(runtime, runtime->workers[i]);
    }
    for (unsigned i = 0; i < threads; i++) {
        free_worker(runtime, runtime->workers[TRP_THREAD_FIRST + i]);
    }
}

static void init_shards(struct troupe_runtime *runtime)
{
    for (unsigned i = 0; i < runtime->shard_count; i++) {
        struct trp_shard *shard = &runtime->shards[i];

        trp_lock_init(&shard->lock);
        shard->context.runtime = runtime;
        shard->context.edges = TRP_EDGE_FIRST(TRP_THREAD_FIRST + TRP_THREAD_PLACES + i);
        trp_pool_init(&shard->context.pool, &runtime->memory);
    }
}

static void fini_shards(struct troupe_runtime *runtime)
{
    for (unsigned i = 0; i < runtime->shard_count; i++) {
        trp_pool_fini(&runtime->shards[i].context.pool);
        trp_lock_fini(&runtime->shards[i].lock);
    }
}

/* What cannot fail. */
static void init_parts(struct troupe_runtime *runtime)
{
    trp_lock_init(&runtime->lock);
    trp_event_init(&runtime->stopped);
    trp_event_init(&runtime->watchdog.event);
    trp_reporter_init(&runtime->reporter, runtime->options.report, runtime->options.report_context);
    trp_park_init(&runtime->park);
    trp_inject_init(&runtime->inject, runtime->shard_count);
    trp_threads_init(&runtime->thread_actors);
    trp_stacks_init(&runtime->stacks, &runtime->memory, trp_port_page_size());
    init_shards(runtime);
}

static void fini_parts(struct troupe_runtime *runtime)
{
    fini_shards(runtime);
    trp_threads_fini(&runtime->thread_actors);
    trp_stacks_fini(&runtime->stacks);
    trp_inject_fini(&runtime->inject);
    trp_park_fini(&runtime->park);
    trp_reporter_fini(&runtime->reporter);
    trp_lock_fini(&runtime->lock);
}

static int make_parts(struct troupe_runtime *runtime)
{
    int error =
        trp_table_init(&runtime->table, runtime, runtime->limits.actors, runtime->options.seed);

    if (error < 0) {
        return error;
    }
    error = trp_poller_create(&runtime->memory, &runtime->poller);
    if (error < 0) {
        goto fail_table;
    }
    error = trp_blocking_init(&runtime->blocking, runtime,
        (unsigned)runtime->options.blocking_threads, runtime->options.blocking_queue,
        (uint64_t)runtime->options.blocking_idle_ms * 1000000U);
    if (error < 0) {
        goto fail_poller;
    }
    for (unsigned i = 0; i < runtime->worker_count; i++) {
        error = make_worker(runtime, i);
        if (error < 0) {
            goto fail_workers;
        }
    }
    error = trp_hooks.create(runtime);
    if (error < 0) {
        goto fail_workers;
    }
    return TROUPE_OK;

fail_workers:
    free_workers(runtime);
    trp_blocking_fini(&runtime->blocking);
fail_poller:
    trp_poller_destroy(runtime->poller, &runtime->memory);
fail_table:
    trp_table_fini(&runtime->table);
    return error;
}

int troupe_runtime_create_sized(const struct troupe_runtime_options *given, size_t options_size,
    struct troupe_runtime **out_runtime)
{
    struct troupe_runtime_options options = {0};
    struct troupe_runtime *runtime;
    struct trp_memory memory;
    int error;

    if (out_runtime == NULL ||
        (given != NULL && trp_options_read(&options, sizeof options, given, options_size) < 0) ||
        !are_options_right(&options)) {
        return TROUPE_EINVAL;
    }
    if (options.faults == TROUPE_FAULTS_CONTAIN && !trp_contain_can()) {
        return TROUPE_ESYSTEM;
    }
    error = trp_reclaim_attach();
    if (error < 0) {
        return error;
    }
    trp_memory_init(&memory, options.allocator, UINT64_MAX);
    runtime = trp_memory_alloc(&memory, sizeof *runtime, 128);
    if (runtime == NULL) {
        return TROUPE_ENOMEM;
    }
    memset(runtime, 0, sizeof *runtime);
    set_options(runtime, &options);
    trp_memory_init(&runtime->memory, options.allocator, runtime->limits.memory);
    trp_port_membarrier_init();
    init_parts(runtime);
    error = make_parts(runtime);
    if (error < 0) {
        fini_parts(runtime);
        trp_memory_free(&memory, runtime, sizeof *runtime);
        return error;
    }
    trp_reclaim_open();
    trp_contain_open(&runtime->options);
    *out_runtime = runtime;
    return TROUPE_OK;
}

/* ---- threads ---- */

static void worker_main(void *arg)
{
    struct trp_worker *worker = arg;
    uint64_t until_ns;
    int error = trp_reclaim_attach();

    trp_assert(error == TROUPE_OK);
    trp_contain_sit(worker, true);
    (void)trp_reclaim_enter();
    trp_worker_begin(worker);
    for (;;) {
        switch (trp_worker_run(worker, RUN_STEPS, &until_ns)) {
        case TRP_STEP_RAN:
            break;
        case TRP_STEP_IDLE:
            trp_worker_sleep(worker, until_ns);
            break;
        case TRP_STEP_STOP:
            trp_reclaim_leave(true);
            trp_reclaim_detach();
            trp_contain_rise(worker);
            return;
        }
    }
}

static int start_worker(struct troupe_runtime *runtime, unsigned index)
{
    struct trp_worker *worker = runtime->workers[index];
    int error = trp_contain_prepare(worker);

    if (error < 0) {
        return error;
    }
    trp_park_join(&runtime->park);
    error = trp_port_thread_start(&worker->thread, "troupe", worker_main, worker);
    if (error < 0) {
        trp_park_part(&runtime->park);
    }
    return error;
}

static void stop_threads(struct troupe_runtime *runtime)
{
    unsigned count;

    /* seq_cst: before the wake; a worker registers as parked before it looks.  PAIR runtime.stop. */
    atomic_store_explicit(&runtime->stop, true, memory_order_seq_cst);
    trp_event_wake(&runtime->watchdog.event);
    trp_port_thread_join(&runtime->watchdog.thread);
    /* Now: the watchdog may have made another one. */
    count = trp_runtime_running(runtime);
    trp_park_wake_all(&runtime->park);
    for (unsigned i = 0; i < count; i++) {
        trp_port_thread_join(&runtime->workers[i]->thread);
    }
    /* seq_cst, for form: no thread is left that looks at it. */
    atomic_store_explicit(&runtime->stop, false, memory_order_seq_cst);
}

/* Without a thread it counts as gone, and may be tried again. */
static bool launch_spare(struct troupe_runtime *runtime, unsigned index)
{
    bool started = start_worker(runtime, index) == TROUPE_OK;

    if (!started) {
        /* relaxed: no thread of its own has seen it. */
        atomic_store_explicit(&runtime->workers[index]->gone, true, memory_order_relaxed);
    }
    return started;
}

bool trp_runtime_start_spare(struct troupe_runtime *runtime)
{
    unsigned count = trp_runtime_running(runtime);

    for (unsigned i = runtime->worker_count; i < count; i++) {
        struct trp_worker *spare = runtime->workers[i];

        /* acquire: what it did.  One that was retired may still have a slice, or timers, to go: we do not wait for it.
         * PAIR worker.gone: leave_for_good(). */
        if (atomic_load_explicit(&spare->gone, memory_order_acquire)) {
            trp_port_thread_join(&spare->thread);
            /* relaxed, both: its next thread begins after this. */
            atomic_store_explicit(&spare->gone, false, memory_order_relaxed);
            atomic_store_explicit(&spare->retire, false, memory_order_relaxed);
            return launch_spare(runtime, i);
        }
    }
    return count < runtime->worker_max && make_worker(runtime, count) == TROUPE_OK &&
           launch_spare(runtime, count);
}

static int start_locked(struct troupe_runtime *runtime)
{
    if (runtime->state != TRP_RUNTIME_CREATED) {
        return TROUPE_EBUSY;
    }
    if (!runtime->threads && trp_contain_prepare(runtime->workers[0]) < 0) {
        return TROUPE_ESYSTEM;
    }
    for (unsigned i = 0; i < runtime->worker_count; i++) {
        if (!runtime->threads) {
            trp_park_join(&runtime->park);
        } else if (start_worker(runtime, i) < 0) {
            stop_threads(runtime);
            return TROUPE_ESYSTEM;
        }
    }
    if (runtime->threads && runtime->options.watchdog_ms != TROUPE_NO_WATCHDOG &&
        trp_port_thread_start(
            &runtime->watchdog.thread, "troupe-watchdog", trp_watchdog_main, runtime) < 0) {
        stop_threads(runtime);
        return TROUPE_ESYSTEM;
    }
    if (!runtime->threads) {
        /* Whoever polls before the first turn finds the descriptor readable: actors may wait already. */
        trp_poller_wake(runtime->poller);
    }
    runtime->state = TRP_RUNTIME_STARTED;
    trp_threads_open(runtime);
    return TROUPE_OK;
}

int troupe_runtime_start(struct troupe_runtime *runtime)
{
    int error;

    if (runtime == NULL) {
        return TROUPE_EINVAL;
    }
    error = trp_reclaim_attach();
    if (error < 0) {
        return error;
    }
    trp_lock_take(&runtime->lock);
    error = start_locked(runtime);
    trp_lock_give(&runtime->lock);
    return error;
}

/* ---- the books ---- */

static void add_counters(struct troupe_books *books, const struct trp_counters *counters)
{
    /* relaxed: each number is a little old unless nothing runs. */
#define ADD(name) books->name += atomic_load_explicit(&counters->name, memory_order_relaxed)
    ADD(sent);
    ADD(handled);
    ADD(refused);
    ADD(shed);
    ADD(dead);
    ADD(bounced);
    ADD(unknown);
    ADD(late);
    ADD(skipped);
    ADD(spawned);
    /* acquire: of each end that we count, the spawn is found by who counts after us.  PAIR books.exited: trp_count_exited(). */
    books->exited += atomic_load_explicit(&counters->exited, memory_order_acquire);
    ADD(failures);
    ADD(restarts);
    ADD(slices);
    ADD(steals);
    ADD(parks);
    ADD(wakes);
    for (unsigned kind = 0; kind < TROUPE_SHED_KINDS; kind++) {
        ADD(sheds[kind]);
    }
#undef ADD
}

static void read_books(struct troupe_runtime *runtime, struct troupe_books *books)
{
    unsigned count = trp_runtime_running(runtime);
    unsigned threads = trp_threads_made(runtime);

    memset(books, 0, sizeof *books);
    for (unsigned i = 0; i < count; i++) {
        add_counters(books, &runtime->workers[i]->context.counters);
    }
    for (unsigned i = 0; i < threads; i++) {
        add_counters(books, &runtime->workers[TRP_THREAD_FIRST + i]->context.counters);
    }
    for (unsigned i = 0; i < runtime->shard_count; i++) {
        add_counters(books, &runtime->shards[i].context.counters);
    }
    books->queued =
        books->sent - books->handled - books->refused - books->shed - books->dead - books->bounced;
    /* relaxed: each number is a little old. */
    books->stuck = atomic_load_explicit(&runtime->watchdog.stuck, memory_order_relaxed);
    books->unreported = trp_reporter_left_out(&runtime->reporter);
    books->memory = atomic_load_explicit(&runtime->memory.held, memory_order_relaxed);
}

int troupe_runtime_books(struct troupe_runtime *runtime, struct troupe_books *out_books)
{
    if (runtime == NULL || out_books == NULL) {
        return TROUPE_EINVAL;
    }
    if (!trp_reclaim_is_home()) {
        return TROUPE_EFORKED;
    }
    read_books(runtime, out_books);
    return TROUPE_OK;
}

/* ---- turns ---- */

int troupe_runtime_fd(const struct troupe_runtime *runtime)
{
    if (runtime == NULL || runtime->threads) {
        return TROUPE_EINVAL;
    }
    return trp_reclaim_is_home() ? trp_poller_fd(runtime->poller) : TROUPE_EFORKED;
}

static int wait_of(uint64_t until_ns)
{
    uint64_t now_ns = trp_port_now_ns();

    if (until_ns == TRP_NEVER) {
        return TROUPE_FOREVER;
    }
    if (until_ns <= now_ns) {
        return 0;
    }
    until_ns = (until_ns - now_ns + 999999U) / 1000000U;
    return until_ns < INT32_MAX ? (int)until_ns : INT32_MAX;
}

/* Steps the one worker until it is idle or `end_ns`.  Returns until when it is idle, 0 if it is not. */
static uint64_t run_until(struct troupe_runtime *runtime, uint64_t end_ns)
{
    struct trp_worker *worker = runtime->workers[0];
    uint64_t until_ns = TRP_NEVER;

    trp_contain_sit(worker, false);
    if (worker->mode == TRP_WORKER_PARKED) {
        trp_worker_sleep(worker, 0);
    }
    while (trp_worker_run(worker, TURN_STEPS, &until_ns) != TRP_STEP_IDLE) {
        if (trp_port_now_ns() >= end_ns) {
            return 0;
        }
    }
    return until_ns;
}

int troupe_runtime_turn(struct troupe_runtime *runtime, int budget_ms, int *out_wait_ms)
{
    uint64_t until_ns;
    bool was_offline;
    int error;

    if (runtime == NULL || runtime->threads || budget_ms < 0 || out_wait_ms == NULL) {
        return TROUPE_EINVAL;
    }
    if (trp_worker_current() != NULL || trp_thread_actor(runtime) != NULL) {
        return TROUPE_EBUSY;
    }
    error = trp_reclaim_attach();
    if (error < 0) {
        return error;
    }
    if (runtime->state != TRP_RUNTIME_STARTED) {
        return TROUPE_ESTOPPED;
    }
    was_offline = trp_reclaim_enter();
    until_ns = run_until(runtime, trp_port_now_ns() + (uint64_t)budget_ms * 1000000U);
    trp_reclaim_leave(was_offline);
    *out_wait_ms = until_ns == 0 ? 0 : wait_of(until_ns);
    return TROUPE_OK;
}

/* ---- stop ---- */

/* Every actor that was spawned has ended.  The ends are counted first: an actor that is spawned and ends while we count
 * must not stand for one that lives. */
static bool are_all_gone(struct troupe_runtime *runtime)
{
    struct troupe_books before;
    struct troupe_books after;

    read_books(runtime, &before);
    read_books(runtime, &after);
    return after.spawned == before.exited;
}

/* Does something to every live actor, or only to those that foreign threads spawned; returns how many. */
static unsigned tell(struct troupe_runtime *runtime, bool roots_only,
    void (*fn)(struct troupe_runtime *runtime, troupe_pid pid))
{
    uint32_t slots = trp_table_slots(&runtime->table);
    bool was_offline = trp_reclaim_enter();
    unsigned count = 0;

    for (uint32_t slot = 0; slot < slots; slot++) {
        struct troupe_actor *actor = trp_table_cell(&runtime->table, slot);
        /* acquire: `parent`.  PAIR actor.pid. */
        troupe_pid pid = atomic_load_explicit(&actor->pid, memory_order_acquire);

        if (pid != TROUPE_NOBODY && (!roots_only || actor->parent == TROUPE_NOBODY)) {
            count++;
            if (fn != NULL) {
                fn(runtime, pid);
            }
        }
    }
    trp_reclaim_leave(was_offline);
    return count;
}

/* Tells an actor to end, once; without memory for it in the next round.  The cell stays this one's as long as tell() is
 * online. */
static void shut_down(struct troupe_runtime *runtime, troupe_pid pid)
{
    struct troupe_actor *actor = trp_actor_find(runtime, pid);

    if (actor != NULL && !actor->told) {
        actor->told = trp_hooks.shutdown(runtime, pid);
    }
}

static void kill_actor(struct troupe_runtime *runtime, troupe_pid pid)
{
    struct trp_visit visit;
    struct troupe_actor *actor;

    if (trp_context_enter(runtime, &visit) < 0) {
        return;
    }
    actor = trp_actor_find(runtime, pid);
    if (actor != NULL) {
        trp_actor_signal(visit.context, actor, TRP_SIGNAL_KILL);
        /* One that rests between two incarnations has no code to stop: it goes as it is. */
        int ignored = trp_actor_release(visit.context, pid);

        (void)ignored;
    }
    trp_context_leave(&visit);
}

static void report_unstopped(struct troupe_runtime *runtime, troupe_pid pid)
{
    struct trp_visit visit;
    struct troupe_actor *actor;
    const char *name = "";

    if (trp_context_enter(runtime, &visit) < 0) {
        return;
    }
    actor = trp_actor_find(runtime, pid);
    if (actor != NULL) {
        name = actor->behaviour->name;
    }
    trp_context_leave(&visit);
    if (actor != NULL) {
        trp_report(runtime, TROUPE_REPORT_UNSTOPPED, pid, name,
            "did not end in the time that troupe_runtime_stop() gave it");
    }
}

/* Waits a little for actors to end: until one does, or `until_ns`. */
static void wait_a_little(struct troupe_runtime *runtime, uint32_t value, uint64_t until_ns)
{
    uint64_t soon_ns = trp_port_now_ns() + 10000000U;

    if (runtime->threads) {
        trp_event_wait(&runtime->stopped, value, until_ns < soon_ns ? until_ns : soon_ns);
    } else {
        bool was_offline = trp_reclaim_enter();

        (void)run_until(runtime, trp_port_now_ns() + 1000000U);
        trp_reclaim_leave(was_offline);
    }
}

/* Tells all, or only the roots, what `fn` does, again and again: those that run may spawn others.  Until all have ended
 * (true), or until `until_ns`, or, with `roots_only`, until no root is left. */
static bool await_end(struct troupe_runtime *runtime, uint64_t until_ns, bool roots_only,
    void (*fn)(struct troupe_runtime *runtime, troupe_pid pid))
{
    for (;;) {
        uint32_t value = trp_event_value(&runtime->stopped);

        if (are_all_gone(runtime)) {
            return true;
        }
        if ((tell(runtime, roots_only, fn) == 0 && roots_only) || trp_port_now_ns() >= until_ns) {
            return false;
        }
        wait_a_little(runtime, value, until_ns);
    }
}

/* When the first of so many equal parts of the time after `begin_ns` is over. */
static uint64_t end_of(uint64_t begin_ns, int wait_ms, unsigned parts)
{
    return wait_ms != TROUPE_FOREVER ? begin_ns + (uint64_t)wait_ms * 1000000U / parts
                                     : TRP_EVENT_FOREVER;
}

static bool end_actors(struct troupe_runtime *runtime, uint64_t begin_ns, int wait_ms)
{
    uint64_t half_ns = end_of(begin_ns, wait_ms, 2);
    uint64_t end_ns = end_of(begin_ns, wait_ms, 1);

    return await_end(runtime, half_ns, true, shut_down) ||
           await_end(runtime, half_ns, false, shut_down) ||
           await_end(runtime, end_ns, false, kill_actor);
}

/* Waits for jobs that have begun; false: `until_ns` has come.  All actors have ended, so there are no others. */
static bool await_jobs(struct troupe_runtime *runtime, uint64_t until_ns)
{
    for (;;) {
        uint32_t value = trp_event_value(&runtime->stopped);
        uint64_t now_ns = trp_port_now_ns();

        if (trp_blocking_running(&runtime->blocking) == 0) {
            return true;
        }
        if (now_ns >= until_ns) {
            return false;
        }
        trp_event_wait(&runtime->stopped, value, until_ns);
    }
}

static void report_jobs(struct troupe_runtime *runtime)
{
    struct troupe_report event = {.kind = TROUPE_REPORT_UNSTOPPED,
        .actor = "",
        .count = trp_blocking_running(&runtime->blocking)};

    trp_report_event(runtime, &event,
        "%llu blocking jobs did not end in the time that troupe_runtime_stop() gave them",
        (unsigned long long)event.count);
}

/* Waits until every foreign thread that is inside has left: who comes later sees `stopping`, and spawns nobody. */
static void let_visitors_out(struct troupe_runtime *runtime)
{
    for (unsigned i = 0; i < runtime->shard_count; i++) {
        trp_lock_take(&runtime->shards[i].lock);
        trp_lock_give(&runtime->shards[i].lock);
    }
}

/* Nobody runs any more: what raced into actors that had ended is counted, so that the books are exact. */
static void bring_home(struct troupe_runtime *runtime)
{
    unsigned count = trp_runtime_running(runtime);
    bool was_offline;

    for (unsigned i = 0; i < count; i++) {
        trp_exit_flush(&runtime->workers[i]->context, true);
    }
    trp_reclaim_barrier();
    was_offline = trp_reclaim_enter();
    for (unsigned i = 0; i < count; i++) {
        trp_worker_take_returned(runtime->workers[i]);
    }
    trp_reclaim_leave(was_offline);
}

/* Ends everybody's code.  False: some goes on, and is reported. */
static bool end_all(struct troupe_runtime *runtime, int wait_ms)
{
    uint64_t begin_ns = trp_port_now_ns();

    if (!end_actors(runtime, begin_ns, wait_ms)) {
        tell(runtime, false, report_unstopped);
        return false;
    }
    if (!await_jobs(runtime, end_of(begin_ns, wait_ms, 1))) {
        report_jobs(runtime);
        return false;
    }
    return true;
}

static int stop_locked(struct troupe_runtime *runtime, int wait_ms)
{
    if (runtime->state != TRP_RUNTIME_STARTED) {
        return TROUPE_OK;
    }
    /* seq_cst: before we count; whoever buries an actor counts it, then looks.  PAIR runtime.stopping. */
    atomic_store_explicit(&runtime->stopping, true, memory_order_seq_cst);
    let_visitors_out(runtime);
    if (!end_all(runtime, wait_ms)) {
        /* relaxed: whoever sees it late wakes nobody. */
        atomic_store_explicit(&runtime->stopping, false, memory_order_relaxed);
        return TROUPE_ETIMEDOUT;
    }
    trp_threads_close(runtime);
    trp_blocking_close(&runtime->blocking);
    if (runtime->threads) {
        stop_threads(runtime);
    }
    bring_home(runtime);
    runtime->state = TRP_RUNTIME_STOPPED;
    return TROUPE_OK;
}

int troupe_runtime_stop(struct troupe_runtime *runtime, int wait_ms)
{
    int error;

    if (runtime == NULL || wait_ms < TROUPE_FOREVER || trp_worker_current() != NULL ||
        trp_thread_actor(runtime) != NULL) {
        return TROUPE_EINVAL;
    }
    error = trp_reclaim_attach();
    if (error < 0) {
        return error;
    }
    trp_lock_take(&runtime->lock);
    error = stop_locked(runtime, wait_ms);
    trp_lock_give(&runtime->lock);
    return error;
}

/* ---- destroy ---- */

static bool has_run(struct trp_worker *worker)
{
    uint64_t until_ns;
    bool ran = trp_worker_run(worker, 1, &until_ns) == TRP_STEP_RAN;

    trp_reclaim_quiescent();
    return ran;
}

/* One thread, nobody else runs: steps all workers until none has anything to do. */
static void step_all(struct troupe_runtime *runtime)
{
    unsigned count = trp_runtime_running(runtime);
    unsigned threads = trp_threads_made(runtime);
    bool ran = true;

    while (ran) {
        ran = false;
        for (unsigned i = 0; i < count; i++) {
            ran = has_run(runtime->workers[i]) || ran;
        }
        for (unsigned i = 0; i < threads; i++) {
            ran = has_run(runtime->workers[TRP_THREAD_FIRST + i]) || ran;
        }
    }
}

/* Every cell that ended comes back, with what raced into it. */
static void collect(struct troupe_runtime *runtime)
{
    unsigned count = trp_runtime_running(runtime);

    for (unsigned i = 0; i < runtime->shard_count; i++) {
        trp_exit_flush(&runtime->shards[i].context, true);
    }
    for (unsigned i = 0; i < count; i++) {
        trp_exit_flush(&runtime->workers[i]->context, true);
    }
    trp_reclaim_leave(true);
    trp_reclaim_barrier();
    (void)trp_reclaim_enter();
    step_all(runtime);
}

static void destroy_parts(struct troupe_runtime *runtime)
{
    unsigned count = trp_runtime_running(runtime);
    bool was_offline;

    /* Of a runtime that never started: theirs have not begun. */
    trp_threads_close(runtime);
    was_offline = trp_reclaim_enter();
    for (unsigned i = 0; i < count; i++) {
        trp_contain_sit(runtime->workers[i], false);
        trp_park_join(&runtime->park);
        /* Spares too: one that would not park keeps the others searching for what it might have.
         * relaxed: no other thread is left. */
        atomic_store_explicit(&runtime->workers[i]->retire, false, memory_order_relaxed);
    }
    tell(runtime, false, kill_actor);
    step_all(runtime);
    /* Of actors that ran when a start failed.  Not online: threads that end wait for others. */
    trp_reclaim_leave(true);
    trp_blocking_close(&runtime->blocking);
    (void)trp_reclaim_enter();
    collect(runtime);
    trp_hooks.destroy(runtime);
    trp_reclaim_leave(was_offline);
    trp_reclaim_barrier();
    trp_poller_destroy(runtime->poller, &runtime->memory);
    trp_blocking_fini(&runtime->blocking);
    fini_parts(runtime);
    for (unsigned i = 0; i < count; i++) {
        trp_contain_rise(runtime->workers[i]);
    }
    free_workers(runtime);
    trp_table_fini(&runtime->table);
}

int troupe_runtime_destroy(struct troupe_runtime *runtime)
{
    struct trp_memory memory;
    int error;

    if (runtime == NULL) {
        return TROUPE_OK;
    }
    error = trp_reclaim_attach();
    if (error < 0) {
        return error;
    }
    if (runtime->state == TRP_RUNTIME_STARTED || trp_worker_current() != NULL) {
        return TROUPE_EBUSY;
    }
    destroy_parts(runtime);
    trp_contain_close(&runtime->options);
    trp_memory_init(&memory, &runtime->memory.allocator, UINT64_MAX);
    trp_memory_free(&memory, runtime, sizeof *runtime);
    trp_reclaim_close();
    return TROUPE_OK;
}

/* ---- views for lib ---- */

unsigned troupe_runtime_workers(const struct troupe_runtime *runtime)
{
    return runtime != NULL ? runtime->worker_count : 0;
}

struct trp_memory *trp_runtime_memory(struct troupe_runtime *runtime)
{
    return &runtime->memory;
}

bool trp_runtime_is_stopping(const struct troupe_runtime *runtime)
{
    /* relaxed: the lock of the visitor's shard, which let_visitors_out() takes after the store, orders the two. */
    return atomic_load_explicit(&runtime->stopping, memory_order_relaxed);
}

const struct troupe_limits *trp_runtime_limits(const struct troupe_runtime *runtime)
{
    return &runtime->limits;
}

struct trp_poller *trp_runtime_poller(const struct troupe_runtime *runtime)
{
    return runtime->poller;
}

void *trp_runtime_module(const struct troupe_runtime *runtime, enum trp_module module)
{
    return runtime->modules[module];
}

void trp_runtime_set_module(struct troupe_runtime *runtime, enum trp_module module, void *data)
{
    runtime->modules[module] = data;
}

int troupe_attach(void)
{
    return trp_reclaim_attach();
}

void troupe_detach(void)
{
    if (trp_worker_current() == NULL && !trp_thread_is_here()) {
        trp_reclaim_detach();
    }
}
