/* SPDX-License-Identifier: MIT */
/*
 * child.h - child specs: checked, copied, and the record of one child.
 *
 * A *plan* is a supervisor spec in one block of bytes without pointers into itself: children, ids, arguments, and the
 * plans of child supervisors one inside the other.  So it can be an actor's argument, copied by spawn and
 * owned by the cell, or the body of a message, and nobody has to know when it ends.
 */
#ifndef TRP_CHILD_H
#define TRP_CHILD_H

#include "core.h"
#include "trie.h"

#include <troupe/supervisor.h>

struct trp_latch;
struct trp_tie;

/** The behaviour of every supervisor; its argument is a plan. */
extern const struct troupe_behaviour trp_supervisor_behaviour;

/** Spawn options for the supervisor `spec`, which was checked; `latch` or NULL: told how the start went.  Ends with
 * trp_supervisor_options_free(), after the spawn.  TROUPE_ENOMEM. */
TROUPE_CHECKED int trp_supervisor_options(struct troupe_runtime *runtime,
    const struct troupe_supervisor_spec *spec, struct trp_latch *latch,
    struct troupe_spawn_options *out_options);
void trp_supervisor_options_free(
    struct troupe_runtime *runtime, const struct troupe_spawn_options *options);

/** Trees are no deeper than this. */
#define TRP_TREE_DEPTH_MAX 32

/** A child spec in a plan.  Offsets count from the plan's first byte. */
struct trp_plan_child {
    const struct troupe_behaviour *behaviour; /* NULL: `main` */
    troupe_main_fn main;                      /* or NULL */
    const void *arg;                          /* if it was not copied */
    uint64_t arg_at;              /* if it was; of a child supervisor that of its plan; else 0 */
    uint64_t arg_size;            /* of the copy */
    uint64_t id_at;               /* ends in a NUL */
    uint64_t group_at;            /* the same; 0: no group */
    const struct troupe_via *via; /* or NULL */
    int shutdown_ms;              /* or TROUPE_FOREVER, TROUPE_BRUTAL_KILL; no defaults any more */
    int start_timeout_ms;         /* or TROUPE_FOREVER */
    int kill_grace_ms;            /* or TROUPE_FOREVER */
    enum troupe_restart restart;
    enum troupe_unkillable unkillable;
    struct troupe_backoff backoff; /* no defaults any more; min_ms 0: none */
    troupe_decide_fn decide;       /* or NULL */
    void *decide_context;
    bool may_resume;
    bool keep_mailbox;
    bool pinned;
    bool significant;
};

struct trp_plan {
    struct trp_latch *latch; /* told when the start is over; NULL: nobody waits */
    uint64_t size;           /* of all, in bytes */
    uint64_t child_count;
    uint64_t child_max;
    uint32_t pool_size; /* 0: as many as there are workers */
    enum troupe_strategy strategy;
    enum troupe_auto_shutdown auto_shutdown;
    uint32_t intensity;
    uint64_t period_ns;
    struct trp_plan_child children[];
};

/** How many bytes the plan of `spec`, which was checked, takes. */
size_t trp_plan_size(const struct troupe_supervisor_spec *spec);

/** Writes it to `plan`, which is aligned to 16. */
void trp_plan_write(struct trp_plan *plan, const struct troupe_supervisor_spec *spec);

/** Checks one child spec and all below it: TROUPE_EINVAL. */
TROUPE_CHECKED int trp_child_check(const struct troupe_child_spec *spec, const char **out_text);

static inline const char *trp_plan_id(
    const struct trp_plan *plan, const struct trp_plan_child *child)
{
    return (const char *)plan + child->id_at;
}

/*
 *  STOPPED -----------> STARTING -----------> RUNNING -----------> STOPPING -----------> STOPPED
 *     ^      start         |      started        |        stop         ^       ended
 *     |                    |                     |                     |
 *     |              ended |               ended |                     |
 *     |                    v                     v                     |
 *     +--------------- RESTARTING <--------------+        STARTING ----+
 *       cancelled          |                               stop, deadline
 *                          +-----> STARTING
 *                           retry
 *
 * Each change begins a new `epoch`, so that ticks that are on their way miss.
 */
struct trp_child {
    struct trp_list entry; /* in start order */
    struct trp_trie by_id; /* keyed by the id's hash; of a simple_one_for_one by its pid */
    struct trp_trie by_number;
    uint64_t number; /* of this supervisor's children, never used again */
    uint64_t epoch;
    enum troupe_child_state state;
    bool wanted;  /* STOPPED, or about to be: the sweep that runs will start it */
    bool keyed;   /* in the trie by ids */
    bool counted; /* in the supervisor's significant_count */
    bool
        orphan; /* STOPPING: was killed and did not end; not waited for where it is UNKILLABLE_ORPHAN */
    bool forget;     /* STOPPING: there is no reason to keep its spec when it has ended */
    bool in_place;   /* the cell of its last life waits for the next one */
    int start_error; /* STOPPING: a start that took too long: TROUPE_ETIMEDOUT */
    bool unheard; /* STOPPING: nobody was there to be told; a life that begins yet is told again */
    troupe_pid pid;      /* or TROUPE_NOBODY */
    struct trp_tie *tie; /* of this life, or NULL */
    struct troupe_timer timer;
    struct trp_list requests; /* struct trp_pending */
    bool joining;             /* of a pool: added by a resize, and has not started yet */
    bool leaving;             /* .. was given up: see crew.c */
    bool told;                /* .. leaving: in this life, to end in its turn */
    uint64_t fence;           /* .. leaving: the first one that covers it */
    uint64_t leave_by_ns;     /* .. leaving: then it is stopped */
    uint64_t restart_count;
    uint64_t started_ns; /* RUNNING, with a backoff: since when */
    uint32_t failures;   /* in a row: how far the backoff has come */
    void *arg;           /* made of the template's and its own; NULL: that of `spec` */
    size_t arg_size;
    const struct trp_plan *plan; /* where `spec` is */
    const struct trp_plan_child *spec;
    size_t size;      /* of this block */
    size_t plan_size; /* of `plan` if it is this child's own, else 0 */
    char name[];      /* full name, or "" */
};

/** A record of the child `spec` of `plan`, STOPPED, in no list.  `parent_name` NULL: children have no names.
 * `owned`: `plan` is a copy of the child's own, freed with it.  TROUPE_ENOMEM; TROUPE_EINVAL: the name is too long. */
TROUPE_CHECKED int trp_child_create(struct trp_memory *memory, const struct trp_plan *plan,
    const struct trp_plan_child *spec, const char *parent_name, bool owned,
    struct trp_child **out_child);

/** Gives `child` an argument of its own: that of its template, which was copied, and behind it `extra`.  TROUPE_ENOMEM;
 * TROUPE_EINVAL: the template's is a pointer, or it is a supervisor, or both together are too long. */
TROUPE_CHECKED int trp_child_add_arg(
    struct trp_memory *memory, struct trp_child *child, const void *extra, size_t extra_size);
void trp_child_drop_arg(struct trp_memory *memory, struct trp_child *child);

void trp_child_destroy(struct trp_memory *memory, struct trp_child *child);

/** The id of a child. */
static inline const char *trp_child_id(const struct trp_child *child)
{
    return trp_plan_id(child->plan, child->spec);
}

/** What a child is called in reports: its full name if it has one, else its id. */
static inline const char *trp_child_path(const struct trp_child *child)
{
    return child->name[0] != '\0' ? child->name : trp_child_id(child);
}

static inline bool trp_child_is_supervisor(const struct trp_child *child)
{
    return child->spec->behaviour == &trp_supervisor_behaviour;
}

/** What a child looks like from outside: one that a sweep has stopped and will start is restarting. */
static inline enum troupe_child_state trp_child_shown_state(const struct trp_child *child)
{
    return child->state == TROUPE_CHILD_STOPPED && child->wanted ? TROUPE_CHILD_RESTARTING
                                                                 : child->state;
}

/** Whether it runs, or will run again without being asked for. */
static inline bool trp_child_is_due(const struct trp_child *child)
{
    return child->state != TROUPE_CHILD_STOPPED || child->wanted;
}

static inline bool trp_child_is_alive(const struct trp_child *child)
{
    return child->state == TROUPE_CHILD_RUNNING || child->state == TROUPE_CHILD_STARTING ||
           child->state == TROUPE_CHILD_STOPPING;
}

/** A hash of an id, for `by_id`. */
uint64_t trp_child_hash(const char *id);

/** The child with `id` in a trie by ids, or NULL. */
struct trp_child *trp_child_find(struct trp_trie *root, const char *id);

#endif
