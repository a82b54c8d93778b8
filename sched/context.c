/* SPDX-License-Identifier: MIT */
/* context.c - whoever acts, and the public functions that any thread may call about actors. */
#include "context.h"

#include <troupe/mailbox.h>

#include "core.h"
#include "runtime.h"
#include "worker.h"

/* Which shard is this thread's, modulo their number; 0: none yet. */
static TRP_THREAD_LOCAL unsigned mine;

void trp_context_prefer(unsigned shard)
{
    mine = shard + 1;
}

/* Threads take shards in turn and stay with theirs. */
static struct trp_shard *own_shard(struct troupe_runtime *runtime)
{
    static _Atomic unsigned next;

    if (mine == 0) {
        /* relaxed: a number. */
        mine = atomic_fetch_add_explicit(&next, 1, memory_order_relaxed) + 1;
    }
    return &runtime->shards[mine % runtime->shard_count];
}

/* The shards this thread has locked, the last one first. */
static TRP_THREAD_LOCAL struct trp_shard *innermost;

static struct trp_shard *held_shard(const struct troupe_runtime *runtime)
{
    struct trp_shard *shard = innermost;

    while (shard != NULL && shard->context.runtime != runtime) {
        shard = shard->outer;
    }
    return shard;
}

int trp_context_enter(struct troupe_runtime *runtime, struct trp_visit *out_visit)
{
    struct trp_worker *worker = trp_worker_current();
    struct trp_shard *shard = held_shard(runtime);
    int error;

    if (runtime == NULL) {
        return TROUPE_EINVAL;
    }
    if (worker != NULL && worker->runtime == runtime) {
        *out_visit = (struct trp_visit){.context = &worker->context};
        return TROUPE_OK;
    }
    if (shard != NULL) {
        *out_visit = (struct trp_visit){.context = &shard->context};
        return TROUPE_OK;
    }
    error = trp_reclaim_attach();
    if (error < 0) {
        return error;
    }
    shard = own_shard(runtime);
    trp_lock_take(&shard->lock);
    shard->outer = innermost;
    innermost = shard;
    out_visit->shard = shard;
    out_visit->was_offline = trp_reclaim_enter();
    out_visit->context = &shard->context;
    return TROUPE_OK;
}

void trp_context_leave(struct trp_visit *visit)
{
    if (visit->shard != NULL) {
        trp_reclaim_leave(visit->was_offline);
        innermost = visit->shard->outer;
        trp_lock_give(&visit->shard->lock);
    }
}

uint64_t trp_context_now(struct trp_context *context)
{
    return context->worker != NULL ? context->worker->now_ns : trp_port_now_ns();
}

uint64_t trp_context_random(struct trp_context *context)
{
    /* splitmix64 */
    uint64_t x;

    if (context->worker == NULL) {
        return trp_port_random();
    }
    x = context->worker->random += 0x9e3779b97f4a7c15U;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9U;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebU;
    return x ^ (x >> 31);
}

bool trp_actor_is_alive(const struct troupe_actor *actor, troupe_pid pid)
{
    /* acquire: whoever is told "no" sees what the actor did before; and what the caller read before this it read of one
     * that lived.  PAIR actor.phase. */
    uint8_t phase = atomic_load_explicit(&actor->phase, memory_order_acquire);

    return phase >= TRP_PHASE_NEW && phase <= TRP_PHASE_RUNNING &&
           (atomic_load_explicit(&actor->signals, memory_order_acquire) & TRP_SIGNAL_KILL) == 0 &&
           atomic_load_explicit(&actor->pid, memory_order_acquire) == pid;
}

bool troupe_is_alive(struct troupe_runtime *runtime, troupe_pid pid)
{
    struct trp_visit visit;
    struct troupe_actor *actor;
    bool alive;

    if (trp_context_enter(runtime, &visit) < 0) {
        return false;
    }
    actor = trp_actor_find(runtime, pid);
    alive = actor != NULL && trp_actor_is_alive(actor, pid);
    trp_context_leave(&visit);
    return alive;
}

int troupe_mailbox_length(struct troupe_runtime *runtime, troupe_pid pid, uint32_t *out_length)
{
    struct trp_visit visit;
    struct troupe_actor *actor;
    int error;

    if (out_length == NULL || trp_pid_is_alias(pid)) {
        return TROUPE_EINVAL;
    }
    error = trp_context_enter(runtime, &visit);
    if (error < 0) {
        return error;
    }
    actor = trp_actor_find(runtime, pid);
    if (actor != NULL) {
        *out_length = (uint32_t)(trp_charge_queued(&actor->charge) >> 40);
    }
    trp_context_leave(&visit);
    return actor != NULL ? TROUPE_OK : TROUPE_EGONE;
}
