/* SPDX-License-Identifier: MIT */
/*
 * blocking.c - the threads of the blocking pool, and what becomes of a job.  See blocking.h.
 *
 * One lock, held for O(1) steps, but for the start of a thread: who asks for a job must be told when there is no thread to
 * run it, and nobody may count on one that is not there.  That happens once for each thread, and again after it was idle
 * for seconds.
 */
#include "blocking.h"

#include <string.h>

#include "core.h"
#include "runtime.h"

/* ---- a job's word ---- */

static enum trp_job_state state_of(uint32_t word)
{
    return (enum trp_job_state)(word & TRP_JOB_STATE);
}

/* Under lock: out of QUEUED. */
static void unqueue(struct trp_blocking *pool, struct troupe_job *job, enum trp_job_state state)
{
    trp_list_remove(&job->queued);
    pool->queued--;
    /* relaxed: who sees it has the lock, or comes by the lock or by the compare-and-swap that follows; the actor's
     * bit, if it was set, is lost: who sets it while the job is queued withdraws it as well. */
    atomic_store_explicit(&job->word, state, memory_order_relaxed);
}

bool trp_blocking_withdraw(struct troupe_job *job)
{
    struct trp_blocking *pool = &job->runtime->blocking;
    bool queued;

    trp_lock_take(&pool->lock);
    /* relaxed: this state is entered and left under the lock. */
    queued = state_of(atomic_load_explicit(&job->word, memory_order_relaxed)) == TRP_JOB_QUEUED;
    if (queued) {
        unqueue(pool, job, TRP_JOB_DONE);
    }
    trp_lock_give(&pool->lock);
    return queued;
}

bool trp_blocking_cancel(struct troupe_job *job)
{
    /* relaxed: a wish. */
    uint32_t word = atomic_fetch_or_explicit(&job->word, TRP_JOB_CANCELLED, memory_order_relaxed);

    return state_of(word) == TRP_JOB_RUNNING;
}

enum trp_job_state trp_blocking_orphan(struct troupe_job *job)
{
    uint32_t word;

    if (trp_blocking_withdraw(job)) {
        return TRP_JOB_QUEUED;
    }
    /* acquire, here and below: what the function did, if it is lost.  PAIR job.finished: finish(). */
    word = atomic_load_explicit(&job->word, memory_order_acquire);
    do {
        if (state_of(word) != TRP_JOB_RUNNING) {
            return state_of(word);
        }
        /* release: our part of the job is its thread's now.  PAIR job.orphaned: finish(). */
    } while (!atomic_compare_exchange_weak_explicit(&job->word, &word,
        TRP_JOB_ORPHANED | TRP_JOB_CANCELLED, memory_order_acq_rel, memory_order_acquire));
    return TRP_JOB_RUNNING;
}

/* Out of RUNNING.  False: it was orphaned. */
static bool leave_running(struct troupe_job *job, enum trp_job_state state)
{
    /* acquire, here and below, if it was orphaned: the actor's part of it.  PAIR job.orphaned: trp_blocking_orphan(). */
    uint32_t word = atomic_load_explicit(&job->word, memory_order_acquire);

    do {
        if (state_of(word) == TRP_JOB_ORPHANED) {
            return false;
        }
        /* release: what its function did.  PAIR job.finished: trp_blocking_orphan(). */
    } while (!atomic_compare_exchange_weak_explicit(
        &job->word, &word, state, memory_order_acq_rel, memory_order_acquire));
    return true;
}

void trp_blocking_dispose(struct troupe_job *job)
{
    if (job->destroy != NULL) {
        trp_callouts++;
        job->destroy(job->arg);
        trp_callouts--;
    }
    trp_memory_free(&job->runtime->memory, job, sizeof *job);
}

/* Its function has returned.  False: it was orphaned. */
static bool finish(struct troupe_job *job, int status)
{
    struct troupe_actor *actor;
    struct trp_visit visit;
    bool wanted;
    int error = trp_context_enter(job->runtime, &visit);

    trp_assert(error == TROUPE_OK);
    job->status = status;
    actor = trp_actor_find(job->runtime, job->pid);
    wanted = leave_running(job, actor != NULL ? TRP_JOB_DONE : TRP_JOB_LOST);
    if (wanted && actor != NULL) {
        trp_send_reserved(visit.context, actor, &job->message);
    }
    trp_context_leave(&visit);
    return wanted;
}

/* What this thread runs. */
static _Thread_local const struct troupe_job *job_here;

struct trp_stake trp_blocking_stake(const struct troupe_runtime *runtime)
{
    return job_here != NULL && job_here->runtime == runtime
               ? (struct trp_stake){.owner = job_here->pid, .edge = job_here->edge}
               : (struct trp_stake){.owner = TROUPE_NOBODY};
}

void trp_blocking_run(struct troupe_job *job)
{
    int status;

    job_here = job;
    status = job->fn(job, job->arg);
    job_here = NULL;
    if (!finish(job, status)) {
        trp_blocking_dispose(job);
    }
}

/* ---- threads ---- */

struct troupe_job *trp_blocking_take(struct trp_blocking *pool)
{
    struct troupe_job *job;

    if (trp_list_is_empty(&pool->queue)) {
        return NULL;
    }
    job = trp_container_of(pool->queue.next, struct troupe_job, queued);
    unqueue(pool, job, TRP_JOB_RUNNING);
    pool->running++;
    return job;
}

/* Under lock.  Nothing is queued: sleeps, or ends, if the pool is closed or it has slept until the end of its time. */
static void rest(struct trp_blocking_thread *thread, bool overslept)
{
    struct trp_blocking *pool = thread->pool;

    if (pool->closed || overslept) {
        thread->live = false;
        pool->live--;
        return;
    }
    trp_list_push(&pool->sleeping, &thread->entry);
}

/* The next job; NULL: its thread ends. */
static struct troupe_job *next_job(struct trp_blocking_thread *thread)
{
    struct trp_blocking *pool = thread->pool;
    uint64_t until_ns = trp_port_now_ns() + pool->idle_ns;
    bool overslept = false;

    for (;;) {
        uint32_t value = trp_event_value(&thread->event);
        struct troupe_job *job;
        bool live;

        trp_lock_take(&pool->lock);
        /* Still in the list: nobody has called. */
        trp_list_remove(&thread->entry);
        job = trp_blocking_take(pool);
        if (job == NULL) {
            rest(thread, overslept);
        }
        live = thread->live;
        trp_lock_give(&pool->lock);
        if (job != NULL || !live) {
            return job;
        }
        trp_event_wait(&thread->event, value, until_ns);
        overslept = trp_port_now_ns() >= until_ns;
    }
}

/* A job is over. */
static void leave_job(struct trp_blocking *pool)
{
    trp_lock_take(&pool->lock);
    pool->running--;
    trp_lock_give(&pool->lock);
    /* Who stops said so before it took the lock to count: it has counted without us, or we know. */
    if (trp_runtime_is_stopping(pool->runtime)) {
        trp_event_wake(&pool->runtime->stopped);
    }
}

static void thread_main(void *arg)
{
    struct trp_blocking_thread *thread = arg;
    struct troupe_job *job;
    int error = trp_reclaim_attach();

    trp_assert(error == TROUPE_OK);
    trp_context_prefer((unsigned)(thread - thread->pool->threads));
    while ((job = next_job(thread)) != NULL) {
        trp_blocking_run(job);
        leave_job(thread->pool);
    }
    trp_reclaim_detach();
}

/* Under lock.  Starts one more thread, where there is room for it. */
static int start_thread(struct trp_blocking *pool)
{
    struct trp_blocking_thread *thread = pool->threads;
    int error;

    while (thread->live) {
        thread++;
    }
    /* The one before is through with all locks of ours. */
    trp_port_thread_join(&thread->port);
    error = trp_port_thread_start(&thread->port, "troupe-blocking", thread_main, thread);
    if (error == TROUPE_OK) {
        thread->live = true;
        pool->live++;
    }
    return error;
}

/* Under lock.  Sees to it that somebody takes what was queued: *out_sleeper, if not NULL, is to be woken. */
static int call_thread(struct trp_blocking *pool, struct trp_blocking_thread **out_sleeper)
{
    if (!trp_list_is_empty(&pool->sleeping)) {
        struct trp_list *entry = pool->sleeping.prev;

        trp_list_remove(entry);
        *out_sleeper = trp_container_of(entry, struct trp_blocking_thread, entry);
        return TROUPE_OK;
    }
    /* Without another one it waits for those that are there. */
    if (pool->live < pool->thread_max && start_thread(pool) < 0 && pool->live == 0) {
        return TROUPE_ESYSTEM;
    }
    return TROUPE_OK;
}

/* Under lock. */
static int enqueue(
    struct trp_blocking *pool, struct troupe_job *job, struct trp_blocking_thread **out_sleeper)
{
    int error;

    if ((uint64_t)pool->running + pool->queued >= (uint64_t)pool->thread_max + pool->queue_max) {
        return TROUPE_EFULL;
    }
    /* relaxed: who looks at it has the lock. */
    atomic_store_explicit(&job->word, TRP_JOB_QUEUED, memory_order_relaxed);
    trp_list_push(&pool->queue, &job->queued);
    pool->queued++;
    error = call_thread(pool, out_sleeper);
    if (error < 0) {
        unqueue(pool, job, TRP_JOB_DONE);
    }
    return error;
}

int trp_blocking_submit(struct troupe_job *job)
{
    struct trp_blocking *pool = &job->runtime->blocking;
    struct trp_blocking_thread *sleeper = NULL;
    int error;

    trp_list_init(&job->queued);
    trp_lock_take(&pool->lock);
    error = enqueue(pool, job, &sleeper);
    trp_lock_give(&pool->lock);
    if (sleeper != NULL) {
        trp_event_wake(&sleeper->event);
    }
    return error;
}

/* ---- the pool ---- */

int trp_blocking_init(struct trp_blocking *pool, struct troupe_runtime *runtime,
    unsigned thread_max, uint32_t queue_max, uint64_t idle_ns)
{
    size_t size = thread_max * sizeof *pool->threads;

    memset(pool, 0, sizeof *pool);
    pool->threads = trp_memory_alloc(&runtime->memory, size, TRP_CACHE_LINE);
    if (pool->threads == NULL) {
        return TROUPE_ENOMEM;
    }
    memset(pool->threads, 0, size);
    for (unsigned i = 0; i < thread_max; i++) {
        pool->threads[i].pool = pool;
        trp_event_init(&pool->threads[i].event);
        trp_list_init(&pool->threads[i].entry);
    }
    pool->runtime = runtime;
    pool->thread_max = thread_max;
    pool->queue_max = queue_max;
    pool->idle_ns = idle_ns;
    trp_lock_init(&pool->lock);
    trp_list_init(&pool->queue);
    trp_list_init(&pool->sleeping);
    return TROUPE_OK;
}

void trp_blocking_fini(struct trp_blocking *pool)
{
    trp_assert(pool->live == 0);
    trp_assert(pool->queued == 0);
    trp_lock_fini(&pool->lock);
    trp_memory_free(
        &pool->runtime->memory, pool->threads, pool->thread_max * sizeof *pool->threads);
}

unsigned trp_blocking_running(struct trp_blocking *pool)
{
    unsigned running;

    trp_lock_take(&pool->lock);
    running = pool->running;
    trp_lock_give(&pool->lock);
    return running;
}

void trp_blocking_close(struct trp_blocking *pool)
{
    struct trp_list *entry;

    trp_lock_take(&pool->lock);
    pool->closed = true;
    while ((entry = trp_list_pop(&pool->sleeping)) != NULL) {
        trp_event_wake(&trp_container_of(entry, struct trp_blocking_thread, entry)->event);
    }
    trp_lock_give(&pool->lock);
    for (unsigned i = 0; i < pool->thread_max; i++) {
        trp_port_thread_join(&pool->threads[i].port);
    }
}

/* ---- what a job may ask, on its thread ---- */

bool troupe_job_is_cancelled(const struct troupe_job *job)
{
    /* relaxed: a wish, seen late. */
    return job != NULL &&
           (atomic_load_explicit(&job->word, memory_order_relaxed) & TRP_JOB_CANCELLED) != 0;
}

int troupe_job_deadline(const struct troupe_job *job)
{
    uint64_t now_ms = trp_port_now_ns() / 1000000U;

    if (job == NULL || job->deadline_ms == TRP_NEVER) {
        return TROUPE_FOREVER;
    }
    if (job->deadline_ms <= now_ms) {
        return 0;
    }
    return job->deadline_ms - now_ms < INT32_MAX ? (int)(job->deadline_ms - now_ms) : INT32_MAX;
}

troupe_pid troupe_job_actor(const struct troupe_job *job)
{
    return job != NULL ? job->pid : TROUPE_NOBODY;
}

struct troupe_runtime *troupe_job_runtime(const struct troupe_job *job)
{
    return job != NULL ? job->runtime : NULL;
}

int troupe_job_send(struct troupe_job *job, troupe_pid to, const struct troupe_type *type,
    const void *body, int wait_ms)
{
    struct troupe_message *msg;
    int error;

    if (job == NULL || type == NULL || (body != NULL) != (type->size > 0) || wait_ms < 0) {
        return TROUPE_EINVAL;
    }
    TROUPE_TRY(troupe_message_create(job->runtime, type, 0, &msg));
    if (body != NULL) {
        memcpy(troupe_body(msg), body, type->size);
    }
    error = trp_send_wait_as(
        job->runtime, &(struct trp_stake){.owner = job->pid, .edge = job->edge}, to, msg, wait_ms);
    if (error < 0) {
        /* What the body refers to is still the caller's. */
        msg->flags |= TRP_MESSAGE_EMPTIED;
        troupe_message_destroy(msg);
    }
    return error;
}
