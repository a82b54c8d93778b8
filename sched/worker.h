/* SPDX-License-Identifier: MIT */
/*
 * worker.h - one worker: its queue, its LIFO slot, its wheel, and one step of its work.
 *
 * A worker is a state machine that never blocks: a step runs one slice, or does one round of looking for work, or says
 * until when there is nothing to do.  A thread is a loop around it (runtime.c); simulation calls the steps of
 * several on one thread.
 *
 * The LIFO slot holds the actor that was made runnable last: its message is still in this core's cache.  Only
 * the owner touches it, with plain loads and stores, unless the worker is stuck in a handler: then the
 * watchdog takes it, by the protocol of a biased lock (see lifo_swap() in worker.c).
 */
#ifndef TRP_WORKER_H
#define TRP_WORKER_H

#include <setjmp.h>

#include "contain_seat.h"
#include "context.h"
#include "fiber.h"
#include "park.h"
#include "port.h"
#include "runq.h"
#include "timer.h"

/** Consecutive runs out of the LIFO slot. */
#define TRP_LIFO_RUNS 3

/** Most messages of a slice, and most time, looked at every 8 messages. */
#define TRP_SLICE_MESSAGES 64
#define TRP_SLICE_NS 200000

/** Spare workers a runtime may start while others are stuck. */
#define TRP_SPARES_MAX 4

/** Index of the first worker that is a thread actor's: see thread.h. */
#define TRP_THREAD_FIRST (TROUPE_WORKERS_MAX + TRP_SPARES_MAX)

enum trp_step {
    TRP_STEP_RAN,  /* there may be more to do at once */
    TRP_STEP_IDLE, /* parked: sleep until woken, at most until *out_until_ns */
    TRP_STEP_STOP, /* the worker is done for good */
};

enum trp_worker_mode {
    TRP_WORKER_RUNNING,
    TRP_WORKER_SEARCHING,
    TRP_WORKER_PARKED,
};

/** Messages in the hands of one callback: see batch.h. */
struct trp_batch {
    uint32_t count; /* 0: there is none */
    bool is_alone;  /* the only one, which was kept aside before */
    struct troupe_message *msgs[TROUPE_BATCH_MAX];
};

struct trp_worker {
    struct trp_context context; /* owner */

    /* Set once. */
    struct troupe_runtime *runtime;
    unsigned index;

    /* Owner. */
    uint64_t now_ns;    /* the clock when it was read last */
    uint64_t tick_ns;   /* the clock at the last round of duties */
    uint64_t polled_ns; /* when this worker last looked at the poller */
    uint64_t random;
    uint32_t slices;    /* since the last round of duties */
    uint32_t rounds;    /* of duties */
    uint32_t lifo_runs; /* in a row */
    uint32_t spins;     /* rounds of searching in vain */
    enum trp_worker_mode mode;
    bool polls;                  /* parked in the poller */
    uint32_t event_value;        /* of `event`, before registering as parked */
    jmp_buf *unwind;             /* where troupe_exit() goes, while callbacks run */
    struct troupe_reason reason; /* recorded by the current actor, or by a signal to it */
    bool has_reason;
    uint32_t steps;     /* to go in trp_worker_run() */
    uint32_t handled;   /* in this slice */
    uint32_t unhandled; /* of messages opened: late answers, requests skipped, what was put aside */
    uint32_t limit;     /* of `handled`: then the slice ends; 0: its actor was refused */
    uint32_t refusals;  /* slices in a row that ended so */
    uint32_t refused;   /* slices that ended so since the last round of duties */
    uint32_t charged;   /* of them charged, */
    uint64_t charged_bytes;  /* and their weight, not yet given back */
    uint64_t slice_began_ns; /* of a slice that went on with a fiber */
    bool
        crashed; /* its actor's code did, and none of it may run any more: until trp_exit_begin() is through */
    struct trp_batch batch;
    struct trp_fiber_host host;
    struct trp_seat seat;
    struct trp_port_thread thread;

    /* A thread actor's: thread.h. */
    struct troupe_actor *resident; /* whom it runs; set before that one is scheduled */
    bool outside;                  /* owner: code of that one runs, between two calls of troupe */
    bool was_offline;              /* owner: before it came inside */
    bool released;                 /* under the threads' lock: not counted any more */
    _Atomic uint32_t dismissed;    /* any thread: its thread ends */

    /* Owner: actors that must run here, oldest first. */
    struct troupe_actor *pinned_first;
    struct troupe_actor *pinned_last;

    /* Owner, or the watchdog when rescuing. */
    _Atomic(struct troupe_actor *) lifo;
    _Atomic bool lifo_busy;   /* owner */
    _Atomic bool lifo_rescue; /* watchdog */

    /* Owner writes, the watchdog reads. */
    alignas(128) _Atomic uint64_t beats; /* slices begun and ended: odd while in one */
    _Atomic(const char *) behaviour;     /* name of whose slice it is */
    _Atomic troupe_pid behaviour_pid;
    _Atomic uint64_t slice_ns; /* what a slice takes: moving average; raised by the watchdog */
    _Atomic bool retire;       /* watchdog: a spare worker that is not needed any more */
    _Atomic bool gone;         /* owner: it has left for good, and its thread can be joined */

    /* Any thread. */
    alignas(128) struct trp_event event;    /* where it sleeps */
    struct trp_parker parker;               /* park.c */
    struct trp_stack returned;              /* reclaim: cells whose grace period is over */
    _Atomic(struct troupe_actor *) arrived; /* actors that must run here, newest first, by `link` */
    struct trp_runq runq;
    struct trp_wheel wheel;
};

/** TROUPE_OK always: what it needs is in the struct. */
void trp_worker_init(struct trp_worker *worker, struct troupe_runtime *runtime, unsigned index);

/** At the start of its thread: its clock begins now. */
void trp_worker_begin(struct trp_worker *worker);

/** At most `steps` steps, which never block, until one is not RAN.  *out_until_ns is set with IDLE: TRP_NEVER for no
 * deadline. */
enum trp_step trp_worker_run(struct trp_worker *worker, uint32_t steps, uint64_t *out_until_ns);

/** Sleeps as IDLE said: in the poller or on the event.  Threads and turns only. */
void trp_worker_sleep(struct trp_worker *worker, uint64_t until_ns);

/** Ends its sleep; `polls`: it sleeps in the poller.  park.c, after it took the worker off the list. */
void trp_worker_wake(struct trp_worker *worker, bool polls);

/** The worker whose step this thread is in, or NULL. */
struct trp_worker *trp_worker_current(void);

/** Sets what that says, for thread.c. */
void trp_worker_set_current(struct trp_worker *worker);

/** Whether it runs one actor, on a thread of its own. */
static inline bool trp_worker_is_alone(const struct trp_worker *worker)
{
    return worker->index >= TRP_THREAD_FIRST;
}

/** The room, and the count, of what its slice has handled so far: it may be long until it goes on. */
void trp_worker_settle(struct trp_worker *worker);

/** The room alone. */
void trp_worker_make_room(struct trp_worker *worker);

/** Queues the run slot of `actor`, whose token the caller owns.  Any context. */
void trp_worker_schedule(struct trp_context *context, struct troupe_actor *actor);

/** The watchdog takes the LIFO slot of a worker that is stuck; NULL if it is empty or cannot be taken. */
struct troupe_actor *trp_worker_rescue(struct trp_worker *worker);

/** Fires what is due in the wheel of `of`, in the context of whoever calls. */
unsigned trp_worker_fire(struct trp_context *context, struct trp_worker *of, uint64_t now_ns);

/** Cells whose grace period is over come home, with what raced into them.  The worker's thread, or after its end. */
void trp_worker_take_returned(struct trp_worker *worker);

/* ---- for wait.c: what receive_slice() does, a step at a time, on a fiber ---- */

/** The next message of `actor` becomes current; the one before is ended.  NULL: none is there, or in the gap. */
struct troupe_message *trp_worker_pop(struct trp_worker *worker, struct troupe_actor *actor);

/** Counts a message that was picked out of the middle of the queue. */
void trp_worker_count_picked(struct trp_worker *worker, const struct troupe_message *msg);

/** What a callback returned.  True: the actor ends, the reason is set. */
bool trp_worker_conclude(struct trp_worker *worker, int status);

/** Ends the message that was popped last; not in the gap. */
void trp_worker_end_head(struct trp_worker *worker, struct troupe_actor *actor);

/** Whether this slice has had its share. */
bool trp_worker_is_spent(struct trp_worker *worker);

#endif
