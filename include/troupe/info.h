/* SPDX-License-Identifier: MIT */
/*
 * info.h - a look at one actor, from outside: for inspectors, tests, and whoever wonders at night.
 *
 * Nothing here waits for the actor or runs in it: one whose handler holds its worker is looked at like any other.  Each
 * answer is a moment's view; numbers that belong together may be of moments a little apart.  One that ends has no
 * answer any more, from the moment its exit is decided or a kill was sent, and none between two lives.
 */
#ifndef TROUPE_INFO_H
#define TROUPE_INFO_H

#include "troupe/message.h"
#include "troupe/registry.h"

TROUPE_BEGIN_DECLS

enum troupe_actor_state {
    TROUPE_ACTOR_STARTING, /* init is not over */
    TROUPE_ACTOR_IDLE,     /* waits: for a message, or in a callback that may wait (fiber.h) */
    TROUPE_ACTOR_BUSY,     /* runs, or will as soon as a worker has time */
};

struct troupe_info {
    troupe_pid pid;
    troupe_pid parent;              /* who spawned it; TROUPE_NOBODY: a foreign thread */
    const char *behaviour;          /* its name; as long-lived as the behaviour */
    char name[TROUPE_NAME_MAX + 1]; /* registered: the oldest it has; "" if it has none */
    enum troupe_actor_state state;
    uint32_t incarnation;
    uint32_t mailbox_length;   /* charged messages: see mailbox.h */
    uint32_t mailbox_capacity; /* messages */
    uint64_t mailbox_bytes;    /* that they weigh */
    uint32_t links;            /* that stand; a supervisor and its children are not linked */
    uint32_t monitors;         /* it made, those included whose notices it has not handled */
    uint32_t watchers;         /* monitors of it that others made, supervisors included */
    uint64_t
        memory; /* bytes of its cell, state, copied argument, arena, and what is set aside for rare things */
};

/**
 * Looks at `pid`.
 *
 * Threads  any
 * Errors   TROUPE_EGONE, TROUPE_EINVAL
 * Cost     O(1); takes the lock of the actor's links and names, if it ever had any
 */
#define troupe_info(runtime, pid, out_info)                                                        \
    troupe_info_sized((runtime), (pid), (out_info), sizeof(struct troupe_info))
TROUPE_API TROUPE_CHECKED int troupe_info_sized(
    struct troupe_runtime *runtime, troupe_pid pid, struct troupe_info *out_info, size_t info_size);

/**
 * With whom `pid` is linked, those linked first first.
 *
 * Threads  any
 * Units    at most `most` pids are written; *out_count is how many there are, which may be more
 * Errors   TROUPE_EGONE; TROUPE_EINVAL, also if `pids` is NULL and `most` is not 0
 * Cost     O(n) in its links and watchers, under a lock that holds up whoever links, monitors or ends beside it
 */
TROUPE_API TROUPE_CHECKED int troupe_info_links(struct troupe_runtime *runtime, troupe_pid pid,
    troupe_pid *pids, size_t most, size_t *out_count);

/** As troupe_info_links(): who monitors `pid`, once for each monitor. */
TROUPE_API TROUPE_CHECKED int troupe_info_watchers(struct troupe_runtime *runtime, troupe_pid pid,
    troupe_pid *pids, size_t most, size_t *out_count);

TROUPE_END_DECLS

#endif
