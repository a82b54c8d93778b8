/* SPDX-License-Identifier: MIT */
/*
 * reclaim.c - liburcu's QSBR.  Built without the thread sanitizer, which cannot follow a grace period: every
 * quiescent state and every `done` that ends releases, and every `done` that begins acquires, one address.
 *
 * liburcu's calls are used as functions, not inlined: one call a slice.
 *
 * A thread must not end while liburcu knows it: the next grace period would wait for it for ever.  So a foreign thread has a
 * value of its own whose destructor detaches it.  Where the system has no room for one the thread stays *loose*: liburcu
 * knows it only while it is online.
 */
#include "reclaim.h"

#include <pthread.h>
#include <urcu-qsbr.h>
/* After the flavour. */
#include <urcu-call-rcu.h>

#include "tsan.h"

static_assert(sizeof(struct rcu_head) <= sizeof(((struct trp_reclaim *)0)->opaque),
    "reclaim.h has room for an rcu_head");

static TRP_THREAD_LOCAL bool attached; /* liburcu knows it */
static TRP_THREAD_LOCAL bool loose;    /* its end would not be noticed */
static TRP_THREAD_LOCAL bool online;

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t exit_key; /* its destructor detaches a thread that ends */
static bool key_made;          /* set once */
static _Atomic bool forked;    /* this process is a child that has none of troupe's threads */
static _Atomic unsigned homes; /* runtimes that exist */
static char grace;             /* the address that stands for grace periods to the sanitizer */

static void detach_at_exit(void *ignored)
{
    (void)ignored;
    trp_reclaim_detach();
}

static void after_fork_in_child(void)
{
    call_rcu_after_fork_child();
    /* relaxed: the child has one thread. */
    if (atomic_load_explicit(&homes, memory_order_relaxed) > 0) {
        atomic_store_explicit(&forked, true, memory_order_relaxed);
    }
}

static void prepare(void)
{
    key_made = pthread_key_create(&exit_key, detach_at_exit) == 0;
    (void)pthread_atfork(call_rcu_before_fork, call_rcu_after_fork_parent, after_fork_in_child);
}

static void begin(void)
{
    rcu_register_thread();
    rcu_thread_offline();
    attached = true;
    online = false;
}

static void end(void)
{
    rcu_unregister_thread();
    attached = false;
    online = false;
}

int trp_reclaim_attach(void)
{
    if (!trp_reclaim_is_home()) {
        return TROUPE_EFORKED;
    }
    if (attached || loose) {
        return TROUPE_OK;
    }
    pthread_once(&once, prepare);
    /* Any value but NULL makes the destructor run. */
    loose = !key_made || pthread_setspecific(exit_key, &grace) != 0;
    if (!loose) {
        begin();
    }
    return TROUPE_OK;
}

void trp_reclaim_detach(void)
{
    if (attached && trp_reclaim_is_home()) {
        end();
    }
    loose = false;
}

bool trp_reclaim_enter(void)
{
    if (online) {
        return false;
    }
    if (loose) {
        begin();
    }
    trp_assert(attached);
    rcu_thread_online();
    TRP_TSAN_ACQUIRE(&grace);
    online = true;
    return true;
}

void trp_reclaim_leave(bool was_offline)
{
    if (was_offline) {
        TRP_TSAN_RELEASE(&grace);
        rcu_thread_offline();
        online = false;
        if (loose) {
            end();
        }
    }
}

void trp_reclaim_quiescent(void)
{
    TRP_TSAN_RELEASE(&grace);
    rcu_quiescent_state();
}

static void done(struct rcu_head *head)
{
    struct trp_reclaim *reclaim = trp_container_of(head, struct trp_reclaim, opaque);

    TRP_TSAN_ACQUIRE(&grace);
    reclaim->done(reclaim);
    /* To whoever waits in trp_reclaim_barrier(). */
    TRP_TSAN_RELEASE(&grace);
}

void trp_reclaim_later(struct trp_reclaim *reclaim, void (*fn)(struct trp_reclaim *reclaim))
{
    reclaim->done = fn;
    TRP_TSAN_RELEASE(&grace);
    call_rcu((struct rcu_head *)(void *)reclaim->opaque, done);
}

void trp_reclaim_barrier(void)
{
    rcu_barrier();
    TRP_TSAN_ACQUIRE(&grace);
}

bool trp_reclaim_is_home(void)
{
    /* relaxed: written before the child's only thread can ask. */
    return !atomic_load_explicit(&forked, memory_order_relaxed);
}

void trp_reclaim_open(void)
{
    /* relaxed: a count. */
    atomic_fetch_add_explicit(&homes, 1, memory_order_relaxed);
}

void trp_reclaim_close(void)
{
    atomic_fetch_sub_explicit(&homes, 1, memory_order_relaxed);
}
