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
 * A callback that may wait (fiber.h) and does, in STARTING or RUNNING, makes it WAITING until it goes on.
 *
 * The token's holder moves `phase`.  Two arrows are taken by the supervisor, who may be told of the end before the worker
 * is through with it: restart and release therefore meet the end of EXITING in one compare-and-swap.  Who comes
 * first leaves RESTARTING, or the wish (EXITING_RESTART, EXITING_RELEASE); who comes second acts on it.
 */
#ifndef TRP_ACTOR_H
#define TRP_ACTOR_H

#include "arena.h"
#include "chain.h"
#include "charge.h"
#include "lock.h"
#include "mailbox.h"
#include "reclaim.h"

#include <troupe/actor.h>
#include <troupe/overload.h>
#include <troupe/supervisor.h>

struct trp_alias;
struct trp_context;
struct trp_edge;
struct trp_fiber;
struct trp_shelf;
struct trp_trie;
struct troupe_reference;

/** What the upper 4 bits of a troupe_pid say of the rest: 32 bits of a number, 28 bits of slot. */
#define TRP_TAG_SHIFT 60
enum trp_tag {
    TRP_TAG_ACTOR, /* who lives in the slot; the number is a generation */
    TRP_TAG_ALIAS, /* one of the aliases of whoever lives there; the number is which: see lib/alias.c */
};

static inline bool trp_pid_is_alias(troupe_pid pid)
{
    return pid >> TRP_TAG_SHIFT == TRP_TAG_ALIAS;
}

/** Whether it may be that of an actor. */
static inline bool trp_pid_is_actor(troupe_pid pid)
{
    return pid != TROUPE_NOBODY && pid >> TRP_TAG_SHIFT == TRP_TAG_ACTOR;
}

/** Bytes of state that live in the cell. */
#define TRP_STATE_INLINE 64

enum trp_phase {
    TRP_PHASE_FREE,            /* nobody lives here */
    TRP_PHASE_NEW,             /* init has not been entered */
    TRP_PHASE_STARTING,        /* in init */
    TRP_PHASE_WAITING,         /* in a callback that was left in the middle: `fiber` */
    TRP_PHASE_RUNNING,         /* receives */
    TRP_PHASE_EXITING,         /* on its way through the ten steps of exit.c */
    TRP_PHASE_EXITING_RESTART, /* the same; restart it when done */
    TRP_PHASE_EXITING_RELEASE, /* the same; let it go for good when done */
    TRP_PHASE_RESTARTING,      /* keeps pid and mailbox; its supervisor holds the token */
    TRP_PHASE_DEAD,            /* waits for the grace period */
};

/** In `waiting`: how many wait; whether a send takes care; and what its reader looks at when it has given room back, see admit.c and actor.c. */
#define TRP_WAITING_COUNT 0x07ffffffU
#define TRP_WAITING_PAUSED 0x08000000U /* some that have sent to it are paused: see pause.h */
#define TRP_WAITING_LINE (TRP_WAITING_COUNT | TRP_WAITING_PAUSED)
#define TRP_WAITING_CARE                                                                           \
    0x10000000U /* its messages are stamped (stamp.h), or stand on a shelf (shelf.h).  Set at spawn */
#define TRP_WAITING_METERED                                                                        \
    0x20000000U /* its behaviour has a limit of memory, or an overload.  Set at spawn */
#define TRP_WAITING_PASSED 0x40000000U /* a sender has passed the mark */
#define TRP_WAITING_LONG 0x80000000U   /* and has told of it: the reader's, to put the mark back */

/** In `home`: for all its life.  Without it, as long as a callback of its waits. */
#define TRP_HOME_PINNED 0x8000U

/** What others tell an actor beside its queue.  Set by anybody, then trp_mailbox_unpark(). */
enum trp_signal {
    TRP_SIGNAL_KILL = 1, /* ends with KILLED at the next message boundary */
    TRP_SIGNAL_EXIT = 2, /* an exit signal is queued: who does not trap, pulls its queue up to it */
    TRP_SIGNAL_AGAIN = 4, /* the holder's own: there is something to do about messages of aside.h */
    TRP_SIGNAL_ROOM =
        8, /* its fiber may find room now where it waits for some, or did a while ago: see line.h */
    TRP_SIGNAL_PRIORITY = 16, /* something has arrived that goes before the queue: see priority.h */
    TRP_SIGNAL_OVERLOAD = 32, /* ends, because its mailbox had no room: see overload.h */
    TRP_SIGNAL_MARKED =
        64, /* the holder's own: it is to be paused before the next message: see pause.h */
};

/** Those that others set and that its messages wait for. */
#define TRP_SIGNAL_SENT                                                                            \
    (TRP_SIGNAL_KILL | TRP_SIGNAL_EXIT | TRP_SIGNAL_PRIORITY | TRP_SIGNAL_OVERLOAD)

/** Those for which one that parks comes back. */
#define TRP_SIGNAL_WAKES (TRP_SIGNAL_SENT | TRP_SIGNAL_ROOM)

/** Messages kept aside: see aside.h.  The token's holder. */
struct trp_aside {
    struct trp_chain fresh;
    struct trp_chain priority;
    struct trp_chain again;
    struct trp_chain waiting;
    struct trp_chain stash;
    struct trp_chain bequest;     /* at the end of a life: what the next one begins with */
    struct troupe_message *spent; /* came out of a chain; being handled, or handled and not ended */
    uint32_t stash_count;         /* one that is marked and still being handled included */
    uint32_t suspensions : 31;
    uint32_t reopened : 1;     /* the stash is to be handled again, that one included */
    troupe_receive_fn receive; /* of the cell, before it was suspended */
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
    struct trp_list watchers; /* lib/watch.h: who is told of my end */
    uint32_t watcher_count;
    bool sealed;        /* watchers are being told: too late to become one */
    bool shut;          /* priority.h: it ends; no alias leads here any more */
    bool waiter_called; /* the first of `waiters` was called, and has not tried yet */
    _Atomic bool lasts; /* lib/watch.h: its actor's end will find this block.  Without the lock */
    struct trp_trie *links;   /* lib/link.c: my halves, by their peers */
    struct trp_list waiters;  /* line.c: threads and fibers that wait for room, first come first */
    struct trp_list names;    /* lib/registry.c; changed by the token's holder alone */
    struct trp_trie *aliases; /* lib/alias.c: those that stand */
    struct trp_chain arrived; /* priority.h: to be handled before the queue */
    _Atomic(struct trp_alias *)
        answered;            /* lib/alias.c: whose monitors are over; others look at it */
    uint32_t answered_count; /* how many are in `answered` */
    uint32_t alias_count;
    uint32_t link_count; /* of the watchers, those by links */

    /* The token's holder. */
    uint32_t job_count;
    struct trp_trie *monitors;      /* lib/monitor.c: those I made, by their refs */
    troupe_ref monitor_ref;         /* given out last; 0: none in this life */
    struct trp_list timers;         /* timer.c */
    struct trp_list calls;          /* lib/call.c: requests I wait for */
    struct trp_list held;           /* lib/call.c: requests I took and have not answered */
    struct trp_list ios;            /* poller.c */
    struct trp_list jobs;           /* lib/job.c: blocking jobs I wait for */
    uint64_t job_serial;            /* of the last one */
    struct trp_via_entry *vias;     /* lib/via.c: names in registries of the user's */
    struct trp_trie *groups;        /* lib/group.c: memberships */
    struct trp_trie *group_watches; /* lib/group.c: monitors of groups */
    uint32_t group_count;           /* of both */
    uint32_t timer_count;
    uint32_t alias_serial; /* of the alias made last: how far the cell's generation goes on */
    _Atomic uint32_t watch_count; /* others look at it */
    uint32_t io_count;
    bool listens;          /* priority.h: has asked for an alias or for priority, ever */
    bool tallied;          /* set before it runs: what it handles is counted */
    _Atomic bool deferred; /* any thread: an exit signal came in its turn, and too soon */
    _Atomic(struct trp_edge *)
        edge; /* pressure.h: whom it waits for, and what it holds; any thread, once, by compare-and-swap */
    struct trp_defer *defers; /* newest first, in the arena */
    struct trp_arena arena;
    troupe_decide_fn decide; /* set before it runs: whether it goes on after a failure; or NULL */
    void *decide_context;
    struct troupe_reference *reference; /* lib/reference.c: to this life; or NULL */
    troupe_receive_fn inner; /* lib/tally.c: what the cell's `receive` was before it counted */
    _Atomic uint64_t
        handled; /* written by the token's holder: messages of this life, if they are counted */
    void *parent_note; /* lib/tie.c: told once when init is over; see trp_hooks.started */
    struct trp_aside aside;
};

static_assert(sizeof(struct trp_extra) - sizeof(struct trp_lock) <= 512 - 40,
    "with a lock of 40 bytes it is eight lines, which is a class of pool.h");

/** Of a mailbox that sheds what stands in it for too long: see sojourn.h.  The token's holder. */
struct trp_codel {
    uint32_t next_ms; /* when one goes, if those before it have waited too long; see sojourn.c */
    uint32_t count;   /* of those that went since they began to */
    bool is_above;    /* the last one had waited too long */
    bool is_shedding;
};

/**
 * Of a behaviour with an `overload` (overload.h): behind the extra block, which is made at the spawn, in one block with it.  Any
 * thread, under reclaim.
 */
struct trp_overload {
    _Atomic(troupe_pid)
        redirect; /* written by the token's holder; TROUPE_NOBODY: see the behaviour */
    _Atomic uint64_t length_max; /* the same */
    _Atomic uint64_t bytes_max;  /* the same */
    _Atomic uint64_t redirected; /* any thread */
    _Atomic uint64_t transformed;
    _Atomic uint64_t sheds[TROUPE_SHED_KINDS];
    _Atomic uint32_t since_ms; /* any thread: a stamp, not younger than anything that is queued */
    struct trp_codel codel;    /* the token's holder */
    struct trp_shelf *shelf;   /* set before it runs: where its messages stand; or NULL */
};

struct troupe_actor {
    /* Line 0, ingress.  Any sender, under reclaim. */
    alignas(256) struct trp_mailbox mailbox;
    struct trp_charge charge;
    _Atomic troupe_pid pid; /* who lives here; TROUPE_NOBODY from the seal to the next spawn */
    _Atomic uint32_t incarnation; /* +1 at each restart in place */
    _Atomic uint32_t waiting;     /* threads and fibers that wait for room, and TRP_WAITING_ bits */
    uint16_t
        home; /* token's holder: 1 + index of the worker it must run on, and TRP_HOME_PINNED; 0: any */

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
    uint64_t serial;         /* number of the spawn: stable across runs, unlike addresses */
    struct trp_fiber *fiber; /* the callback that was left in the middle, or NULL */

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

/** Whether it will handle messages again: not when it starts, nor on its way out.  The token's holder. */
static inline bool trp_actor_is_receiving(const struct troupe_actor *actor)
{
    /* relaxed: written by the token's holder, whom the caller is. */
    unsigned phase = atomic_load_explicit(&actor->phase, memory_order_relaxed);

    return phase == TRP_PHASE_RUNNING || phase == TRP_PHASE_WAITING;
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
    /* acquire: its contents.  PAIR actor.extra: release in trp_actor_make_extra(). */
    return atomic_load_explicit(&actor->extra, memory_order_acquire);
}

/** What is set aside for the policy of one whose behaviour has an `overload`.  Any thread, under reclaim. */
static inline struct trp_overload *trp_actor_overload(struct troupe_actor *actor)
{
    return (struct trp_overload *)(void *)(trp_actor_extra(actor) + 1);
}

/** Whether it makes room by taking messages out again.  Then the shelf has the room, and not the charge. */
static inline bool trp_overload_displaces(const struct troupe_overload *overload)
{
    return overload->policy >= TROUPE_OVERLOAD_DROP_OLDEST;
}

/** How many foreign threads wait for room, of what was read from `waiting`. */
static inline uint32_t trp_actor_waiters(uint32_t waiting)
{
    return waiting & TRP_WAITING_COUNT;
}

/** What a mailbox of this behaviour takes, as in `charge.cap`. */
uint64_t trp_actor_capacity(const struct troupe_behaviour *behaviour);

/** The same with its margin: what handlers may fill it to. */
uint64_t trp_actor_hard(const struct troupe_behaviour *behaviour);

/** Messages above its capacity for what its policy makes; 0: it makes nothing.  It has an `overload`. */
uint32_t trp_actor_margin(const struct troupe_behaviour *behaviour);

/** The part of it that is a mark: where a queue is long, with the option `queue_high`. */
uint64_t trp_actor_mark(const struct troupe_actor *actor, uint64_t capacity);

/** Kills `self`, which receives or starts, if it holds more memory than its behaviour allows.  False: it does. */
bool trp_actor_meter(struct troupe_actor *self);

/** The extra block of one that had none when the caller looked; NULL without memory.  Any context, under reclaim. */
struct trp_extra *trp_actor_make_extra(struct trp_context *context, struct troupe_actor *actor);

/** The extra block, made if there is none; NULL without memory.  Any context, under reclaim. */
static inline struct trp_extra *trp_actor_need_extra(
    struct trp_context *context, struct troupe_actor *actor)
{
    struct trp_extra *extra = trp_actor_extra(actor);

    return trp_likely(extra != NULL) ? extra : trp_actor_make_extra(context, actor);
}

/** Frees the extra block: nobody can reach it any more. */
void trp_actor_free_extra(struct trp_context *context, struct troupe_actor *actor);

#endif
