/* SPDX-License-Identifier: MIT */
/*
 * supervisor.h - a supervisor's own state, and what the files that are one supervisor ask of each other.
 *
 *   supervisor  the behaviour: what arrives, and whom it goes to
 *   restart     what a child's end means, and what is done about it
 *   sweep       a walk through the children that stops or starts them
 *   crowd       the end of a simple_one_for_one: all at once
 *   crew        a pool: how many it has, and how those that are given up leave
 *   desk        what others ask
 *   life        one life of one child: started, stopped
 *   brood       the children, in order and by key
 *   spare       ties set aside
 *
 * Each calls those below it; restart and sweep call each other, and all may end the supervisor.  Everything here runs
 * inside the supervisor's callbacks.
 */
#ifndef TRP_SUPERVISOR_H
#define TRP_SUPERVISOR_H

#include "child.h"
#include "intensity.h"
#include "tie.h"

#include <troupe/timer.h>

/** Ties set aside beyond those in use. */
#define TRP_SPARE_TIES 2

/** Ties of ended lives are kept up to this number. */
#define TRP_SPARE_TIES_MAX 64

/** See the diagram in supervisor.c. */
enum trp_stage {
    TRP_SUPERVISOR_BEGINNING,
    TRP_SUPERVISOR_SERVING,
    TRP_SUPERVISOR_ENDING,
};

enum trp_sweep {
    TRP_SWEEP_NONE,
    TRP_SWEEP_DOWN,
    TRP_SWEEP_UP,
    TRP_SWEEP_ALL, /* the end of a simple_one_for_one: crowd.c */
};

/** What a tick is for. */
enum trp_tick_kind {
    TRP_TICK_START,  /* init took too long */
    TRP_TICK_STOP,   /* the child did not end in time */
    TRP_TICK_GRACE,  /* it was killed and did not end in time */
    TRP_TICK_RETRY,  /* restart it again; is charged */
    TRP_TICK_RESUME, /* go on where memory was missing; is not */
    TRP_TICK_CREW, /* look at those that leave a pool, or start more; `epoch`: number of the look */
};

/** A tick of the supervisor's own, not of a child. */
#define TRP_TICK_OWN 0

struct trp_tick {
    uint64_t number; /* of the child, or TRP_TICK_OWN */
    uint64_t epoch;
    enum trp_tick_kind kind;
};
extern const struct troupe_type trp_tick_type;

struct trp_spare {
    struct trp_tie *ties[TRP_SPARE_TIES_MAX]; /* ring: oldest first */
    unsigned first;
    unsigned count;
};

struct trp_fence;

/* What a pool has beside its children: see crew.c. */
struct trp_crew {
    uint32_t size;                  /* that it was last told to have */
    uint32_t joining;               /* children that were added and have not started yet */
    uint32_t leaving;               /* children that were given up */
    bool growing;                   /* members are missing that are to be started */
    bool late;                      /* of the resize that goes on: somebody's time was over */
    int error;                      /* .. a member's start failed */
    struct troupe_message *request; /* .. whose it is, or NULL */
    struct trp_fence *fence;        /* that is waited for, or NULL */
    uint64_t fence_number;          /* of it, or of the last one */
    uint64_t looks;                 /* number of the look that comes next */
    uint64_t look_ms;               /* until then, the next time */
    uint64_t handled;               /* messages, by lives that are over */
};

struct trp_supervisor {
    struct troupe_actor *self;
    struct troupe_runtime *runtime;
    struct trp_memory *memory;
    const struct trp_plan *plan;
    const char *name; /* or NULL */
    enum trp_stage phase;

    struct trp_list children; /* in start order */
    uint64_t child_count;
    uint64_t next_number;
    struct trp_trie *by_id; /* of a simple_one_for_one: by pid */
    struct trp_trie *by_number;

    enum trp_sweep sweep;
    struct trp_child *from;   /* the first child of the sweep; NULL: none is left of it */
    struct trp_child *cursor; /* the child it is at; NULL: through */
    bool forsaken;            /* some may wait for an attempt that was called off */

    bool killing;   /* ALL: they had their time */
    bool abandoned; /* ALL: they were killed, and are not waited for any more */

    struct trp_crew crew;

    uint64_t significant_count; /* significant children that run, or will again by themselves */
    bool work_ended;            /* a significant child has ended by itself, for good */

    struct trp_intensity intensity;
    struct trp_spare spare;
    uint64_t restart_count;
    struct troupe_reason reason; /* ENDING: with which it exits; owns its text */
    bool told;                   /* the start is over, and whoever waits knows */
};

/** For a result that changes nothing here. */
static inline void trp_ignore(int result)
{
    (void)result;
}

static inline struct trp_context *trp_supervisor_context(const struct trp_supervisor *sup)
{
    return trp_context_of(sup->self);
}

/** What a supervisor is called in reports. */
static inline const char *trp_supervisor_path(const struct trp_supervisor *sup)
{
    return sup->name != NULL ? sup->name : sup->self->behaviour->name;
}

/** Whether it is a pool. */
static inline bool trp_supervisor_is_pool(const struct trp_supervisor *sup)
{
    return sup->plan->strategy == TROUPE_POOL;
}

/** Whether its children are all made from one template. */
static inline bool trp_supervisor_is_simple(const struct trp_supervisor *sup)
{
    return sup->plan->strategy == TROUPE_SIMPLE_ONE_FOR_ONE || trp_supervisor_is_pool(sup);
}

/* ---- spare.c ---- */

/** Puts a tie aside for another life, or gives it up if there are enough. */
void trp_spare_give(struct trp_supervisor *sup, struct trp_tie *tie);

/** An idle tie; NULL without memory.  A first start takes a new one: those set aside are for restarts. */
struct trp_tie *trp_spare_take(struct trp_supervisor *sup);

/** Sets aside what restarts need.  TROUPE_ENOMEM. */
TROUPE_CHECKED int trp_spare_fill(struct trp_supervisor *sup);

/* ---- brood.c ---- */

/** Neighbours in start order, and the ends of the list; NULL: none. */
struct trp_child *trp_brood_next(const struct trp_supervisor *sup, const struct trp_child *child);
struct trp_child *trp_brood_previous(
    const struct trp_supervisor *sup, const struct trp_child *child);
struct trp_child *trp_brood_first(const struct trp_supervisor *sup);
struct trp_child *trp_brood_last(const struct trp_supervisor *sup);

/** The child with this number, or NULL. */
struct trp_child *trp_brood_numbered(struct trp_supervisor *sup, uint64_t number);

/** The child of a simple_one_for_one that has, or had last, this pid; or NULL. */
struct trp_child *trp_brood_find_pid(struct trp_supervisor *sup, troupe_pid pid);

/** A child of a simple_one_for_one has another pid now. */
void trp_brood_note_pid(struct trp_supervisor *sup, struct trp_child *child);

/** Adds a child as the last one. */
void trp_brood_add(struct trp_supervisor *sup, struct trp_child *child);

/** Forgets a child that is not alive and of which nobody waits for anything; a sweep that is at it goes on. */
void trp_brood_remove(struct trp_supervisor *sup, struct trp_child *child);

/* ---- life.c ---- */

/** Begins a new epoch: ticks that are on their way miss. */
void trp_life_set_state(
    struct trp_supervisor *sup, struct trp_child *child, enum troupe_child_state state);

/** STOPPED: whether the sweep that runs will start it. */
void trp_life_set_wanted(struct trp_supervisor *sup, struct trp_child *child, bool wanted);

/** The tick that ends the state `child` is in.  TROUPE_ENOMEM, TROUPE_ELIMIT. */
TROUPE_CHECKED int trp_life_set_tick(struct trp_supervisor *sup, struct trp_child *child,
    enum trp_tick_kind kind, uint64_t delay_ms);

/** Lets the cell of a child go that is not to live again. */
void trp_life_let_go(struct trp_supervisor *sup, struct trp_child *child);

/** The life of `child` is over: its tie may serve another. */
void trp_life_untie(struct trp_supervisor *sup, struct trp_child *child);

/** The group of its children of this spec, or NULL. */
const char *trp_life_group(const struct trp_supervisor *sup, const struct trp_plan_child *spec);

/** Whether an error is nobody's fault. */
bool trp_life_is_want_of_memory(int error);

/** Starts `child`, which is not alive; it then is STARTING.  On error it is as before. */
TROUPE_CHECKED int trp_life_start(struct trp_supervisor *sup, struct trp_child *child);

/** Tells `child`, which is alive, to end; or kills it. */
void trp_life_stop(struct trp_supervisor *sup, struct trp_child *child);
void trp_life_kill(struct trp_supervisor *sup, struct trp_child *child);

/* ---- crew.c ---- */

/** Adds the first members, to be started by the first sweep.  TROUPE_ENOMEM; TROUPE_EINVAL: they have no group. */
TROUPE_CHECKED int trp_crew_begin(struct trp_supervisor *sup);

/** A request to a pool; this need not be one. */
void trp_crew_ask(struct trp_supervisor *sup, struct troupe_message *msg);

/** It is time to look at those that leave. */
void trp_crew_tick(struct trp_supervisor *sup, uint64_t look);

/** `child` has started. */
void trp_crew_joined(struct trp_supervisor *sup, struct trp_child *child);

/** `child` is being forgotten. */
void trp_crew_left(struct trp_supervisor *sup, const struct trp_child *child);

/** A start of `child` has failed.  True: that was the last one, and it is forgotten. */
bool trp_crew_start_failed(struct trp_supervisor *sup, struct trp_child *child, int error);

/** Answers whoever waits for a resize, if that is done. */
void trp_crew_settle(struct trp_supervisor *sup);

/** Says no to who still waits; and the end of all. */
void trp_crew_close(struct trp_supervisor *sup);
void trp_crew_fini(struct trp_supervisor *sup);

/* ---- desk.c ---- */

/** A request, for one child or for the list of all. */
void trp_desk_ask(struct trp_supervisor *sup, struct troupe_message *msg);
void trp_desk_list(struct trp_supervisor *sup, struct troupe_message *msg);

/** Whether somebody waits for `op` of this child. */
bool trp_desk_is_asked(const struct trp_child *child, enum troupe_child_op op);

/** Answers those that wait for `op`. */
void trp_desk_settle(
    struct trp_supervisor *sup, struct trp_child *child, enum troupe_child_op op, int status);

/** `child` runs, or will not: answers those that wanted it to. */
void trp_desk_settle_starts(struct trp_supervisor *sup, struct trp_child *child, int status);

/** Says no to everybody who still waits. */
void trp_desk_close(struct trp_supervisor *sup);

/** The supervisor is gone: forgets who waits; the core answers them. */
void trp_desk_forget(struct trp_supervisor *sup, struct trp_child *child);

/* ---- sweep.c ---- */

/** The child that the sweep comes to after `cursor`. */
struct trp_child *trp_sweep_next(const struct trp_supervisor *sup);

/** Whether a sweep down is to stop `child`, or has: on its way up it will start it. */
bool trp_sweep_takes(const struct trp_supervisor *sup, const struct trp_child *child);

/** Whether a sweep up has still to come to `child`. */
bool trp_sweep_comes_to(const struct trp_supervisor *sup, const struct trp_child *child);

/** Stops `from` and all after it, then starts them again. */
void trp_sweep_group(struct trp_supervisor *sup, struct trp_child *from);

/** An attempt is called off that later ones of a group may wait for: the sweep that runs need not come to them, so when it
 * is through they are started. */
void trp_sweep_forsake(struct trp_supervisor *sup);

/** Goes on as far as it can without waiting. */
void trp_sweep_on(struct trp_supervisor *sup);

/* ---- crowd.c ---- */

/** A simple_one_for_one ends: its children are told. */
void trp_crowd_begin(struct trp_supervisor *sup);

/** Goes on telling them; true while some are left that must be waited for. */
bool trp_crowd_waits(struct trp_supervisor *sup);

/** A tick of the supervisor's own. */
void trp_crowd_tick(struct trp_supervisor *sup, enum trp_tick_kind kind);

/* ---- restart.c ---- */

/** Charges an attempt to restart `child`, which is down, of `reason` or NULL.  False: it was one too many, and the
 * supervisor gave up. */
bool trp_restart_charge(
    struct trp_supervisor *sup, const struct trp_child *child, const struct troupe_reason *reason);

/** Makes an attempt that was charged to restart `child`, which is down. */
void trp_restart_attempt(struct trp_supervisor *sup, struct trp_child *child);

/** Notes a restart that was made. */
void trp_restart_count(struct trp_supervisor *sup, struct trp_child *child);

/** A start has failed; `child` is down.  `ran`: its init ran, so it is the child's own failure. */
void trp_restart_failed(struct trp_supervisor *sup, struct trp_child *child, int error, bool ran);

/** It ended by itself: the table of troupe/supervisor.h. */
void trp_restart_ended(
    struct trp_supervisor *sup, struct trp_child *child, const struct troupe_reason *reason);

/** Its init said that it is not needed: it rests, and whoever wanted it started is told that all is well. */
void trp_restart_ignored(struct trp_supervisor *sup, struct trp_child *child);

/** It was killed and does not end: who waits for that is told so, and what ends the supervisor goes on without it. */
void trp_restart_orphaned(struct trp_supervisor *sup, struct trp_child *child);

/** Ends the supervisor if its significant children have done their work: auto_shutdown. */
void trp_restart_check_work(struct trp_supervisor *sup);

/** It is down and will not be started again by itself, but maybe by a sweep.  One that was being added is gone. */
void trp_restart_rest(struct trp_supervisor *sup, struct trp_child *child);

/* ---- supervisor.c ---- */

/** Tells whoever waits how the start went. */
void trp_supervisor_tell_start(struct trp_supervisor *sup, int status);

/** Begins to stop everything.  The first reason stands.  Takes over its text. */
void trp_supervisor_end(struct trp_supervisor *sup, struct troupe_reason reason);

#endif
