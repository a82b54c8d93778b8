/* SPDX-License-Identifier: MIT */
/*
 * actor.h - the actor's cell, field by field, and what hangs on it.
 *
 * A cell is 256 bytes in four lines, and the slot table's entry at the same time: a pid leads to it by two
 * loads.  It holds what a send, a slice and sleep need; everything else is in the `extra` block, taken
 * at first use.
 *
 *   line 0  ingress   any sender
 *   line 1  cold      set at spawn; looked at by spawn, exit and views
 *   line 2  run       the token's holder, and signals from others
 *   line 3  state     up to 64 bytes of the user's
 *
 * A cell's life:
 *
 *          spawn       first slice           init done            exit decided
 *    FREE ------> NEW -------------> STARTING ----------> RUNNING --------------> EXITING
 *                  ^ |                  | init fails                               ^ ^ |
 *                  | |  killed before   +------------------------------------------+ | |
 *                  | +---------------------------------------------------------------+ |
 *                  |                                                                   |
 *                  |  trp_actor_restart()               notices sent, keep_mailbox     |
 *                  +------------------------ RESTARTING <------------------------------+
 *                                              | trp_actor_release()                   |
 *                                              +--------> EXITING, for good            |
 *           grace period                                              notices sent     |
 *    FREE <--------------- DEAD <------------------------------------------------------+
 *
 * The token's holder moves `phase`.  Two arrows are taken by the supervisor, who may be told of the end before the worker
 * is through with it: restart and release therefore meet the end of EXITING in one compare-and-swap.  Who comes
 * first leaves RESTARTING, or the wish (EXITING_RESTART, EXITING_RELEASE); who comes second acts on it.
 */
#ifndef TRP_ACTOR_H
#define TRP_ACTOR_H

#include "arena.h"
#include "charge.h"
#include "lock.h"
#include "mailbox.h"
#include "reclaim.h"

#include <troupe/actor.h>

struct trp_context;

/** Bytes of state that live in the cell. */
#define TRP_STATE_INLINE 64

enum trp_phase {
    TRP_PHASE_FREE,            /* nobody lives here */
    TRP_PHASE_NEW,             /* init has not been entered */
    TRP_PHASE_STARTING,        /* in init */
    TRP_PHASE_RUNNING,         /* receives */
    TRP_PHASE_EXITING,         /* on its way through the ten steps of exit.c */
    TRP_PHASE_EXITING_RESTART, /* the same; restart it when done */
    TRP_PHASE_EXITING_RELEASE, /* the same; let it go for good when done */
    TRP_PHASE_RESTARTING,      /* keeps pid and mailbox; its supervisor holds the token */
    TRP_PHASE_DEAD,            /* waits for the grace period */
};

/** What others tell an actor beside its queue.  Set by anybody, then trp_mailbox_unpark(). */
enum trp_signal {
    TRP_SIGNAL_KILL = 1, /* ends with KILLED at the next message boundary */
    TRP_SIGNAL_EXIT = 2, /* an exit signal is queued: who does not trap, pulls its queue up to it */
};

/** A cleanup registered with troupe_defer(). */
struct trp_defer {
    struct trp_defer *next;
    troupe_defer_fn fn;
    void *arg;
};

/**
 * What few actors need.  Made by whoever needs it first (compare-and-swap into the cell), freed with the
 * cell, after the grace period.
 */
struct trp_extra {
    /* Under `lock`, any thread. */
    struct trp_lock lock;
    struct trp_list watchers; /* lib/link.c: who is told of my end */
    struct trp_list waiters;  /* send.c: foreign threads that wait for room, first come first */
    bool waiter_called;       /* the first of them was called, and has not tried yet */
    bool sealed;              /* watchers are being told: too late to become one */
    uint32_t watcher_count;

    /* The token's holder. */
    struct trp_list watches; /* lib/link.c: monitors I made */
    struct trp_list names;   /* lib/registry.c */
    struct trp_list timers;  /* timer.c */
    struct trp_list calls;   /* lib/call.c: requests I wait for */
    struct trp_list held;    /* lib/call.c: requests I took and have not answered */
    struct trp_list ios;     /* poller.c */
    uint32_t timer_count;
    uint32_t watch_count;
    uint32_t io_count;
    struct trp_defer *defers; /* newest first, in the arena */
    struct trp_arena arena;
    void *parent_note; /* lib/link.c: told once when init is over; see trp_hooks.started */
};

struct troupe_actor {
    /* Line 0, ingress.  Any sender, under reclaim. */
    alignas(256) struct trp_mailbox mailbox;
    struct trp_charge charge;
    _Atomic troupe_pid pid; /* who lives here; TROUPE_NOBODY from the seal to the next spawn */
    _Atomic uint32_t incarnation; /* +1 at each restart in place */
    _Atomic uint32_t waiting;     /* foreign threads that wait for room: see send.c */

    /* Line 1, cold.  Set at spawn, before the pid is published, unless said otherwise. */
    alignas(TRP_CACHE_LINE) struct troupe_runtime *runtime;
    const struct troupe_behaviour *behaviour;
    _Atomic(struct trp_extra *) extra; /* any thread, once, by compare-and-swap */
    troupe_pid parent;                 /* who spawned it; TROUPE_NOBODY: a foreign thread */
    const void *arg;                   /* for init */
    uint32_t arg_size;                 /* of the copy that `arg` is, or 0 */
    uint32_t slot;                     /* set when the segment is cut */
    uint32_t generation;               /* of the pid that lives or lived here last */
    bool keep_mailbox;                 /* outlives its incarnations: a supervisor decides */
    bool trap_exit;                    /* the token's holder */
    struct troupe_actor *link;         /* free list, injection queue, zombies: one at a time */

    /* Line 2, run.  The token's holder, unless said otherwise. */
    alignas(TRP_CACHE_LINE) struct trp_node *head;
    troupe_receive_fn receive;
    void *state;
    struct trp_context *context;    /* the worker's whose slice this is; out of date while parked */
    struct troupe_message *current; /* what is being handled */
    _Atomic uint32_t signals;       /* any thread: enum trp_signal */
    _Atomic uint8_t phase;          /* enum trp_phase */
    bool taken;                     /* `current` was taken by its handler */
    bool told; /* to end, by troupe_runtime_stop(), whose thread alone looks at it */
    uint8_t spare;
    uint64_t serial; /* number of the spawn: stable across runs, unlike addresses */

    /* Line 3, the user's. */
    alignas(TRP_CACHE_LINE) unsigned char inline_state[TRP_STATE_INLINE];
};

static_assert(sizeof(struct troupe_actor) == 256, "a cell is four lines");
static_assert(offsetof(struct troupe_actor, runtime) == 64, "cold line");
static_assert(offsetof(struct troupe_actor, head) == 128, "run line");
static_assert(offsetof(struct troupe_actor, inline_state) == 192, "state line");

/** A phase set by the token's holder, or by whoever has a cell that nobody else can reach. */
static inline void trp_actor_set_phase(struct troupe_actor *actor, enum trp_phase phase)
{
    /* relaxed: the next holder comes by an edge of its own (mailbox, queue, grace period); to others it is a moment's
     * view.  The arrows that move the token are swaps: rest() and swap_phase() in exit.c. */
    atomic_store_explicit(&actor->phase, phase, memory_order_relaxed);
}

/** `actor`, or NULL, will soon be written: by then its lines are here. */
static inline void trp_actor_prefetch(struct troupe_actor *actor)
{
    if (actor != NULL) {
        __builtin_prefetch(&actor->mailbox, 1);
        __builtin_prefetch(&actor->runtime, 1);
        __builtin_prefetch(&actor->head, 1);
        __builtin_prefetch(actor->inline_state, 1);
    }
}

/** The extra block, or NULL.  Any thread, under reclaim. */
static inline struct trp_extra *trp_actor_extra(struct troupe_actor *actor)
{
    /* acquire: its contents.  PAIR actor.extra: release in trp_actor_need_extra(). */
    return atomic_load_explicit(&actor->extra, memory_order_acquire);
}

/** The extra block, made if there is none; NULL without memory.  Any thread, under reclaim. */
struct trp_extra *trp_actor_need_extra(struct troupe_actor *actor);

/** Frees the extra block: nobody can reach it any more. */
void trp_actor_free_extra(struct troupe_actor *actor);

#endif
