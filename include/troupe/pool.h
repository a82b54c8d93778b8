/* SPDX-License-Identifier: MIT */
/*
 * pool.h - a pool: workers of one kind under a supervisor of their own, as many as it is told to have.
 *
 * A pool is a supervisor with strategy TROUPE_POOL (supervisor.h), so it stands in a tree as any other:
 *
 *     static const struct troupe_child_spec teller = {.id = "teller", .behaviour = &teller_behaviour, .keep_mailbox = true};
 *     static const struct troupe_supervisor_spec tellers = {
 *         .strategy = TROUPE_POOL, .pool_size = 8, .children = &teller, .child_count = 1};
 *     ... {.id = "tellers", .tree = &tellers},
 *
 * Its one child spec is the template of all members.  Each is a member of a group from before its init, that of the
 * template (`group`) or, without one, the group that has the pool's own name: "bank.tellers".  Work is sent to the group
 * (group.h): to one in turn, at random, to the least loaded, by key, or to all.  What has ended gets no work from then on;
 * where no member is there that could, the answer is TROUPE_ENOENT: out of workers.  A member that keeps its mailbox stays
 * where it is while it is restarted, and what is sent to it waits.
 *
 * A member that ends is restarted as its restart type and the pool's intensity say; one that is not restarted is
 * forgotten, and the pool is smaller by one until it is resized.  The pool starts its first members one after the other,
 * and has started when they have; it stops all at once.  troupe_children() lists the members, which have neither ids nor
 * names; troupe_child(), troupe_child_spawn() and troupe_child_terminate() are TROUPE_EINVAL: a pool is resized.
 *
 * A pool that is made smaller gives up those members that came last.  They get no new work: what was sent through the
 * group before is handled, what is sent after goes to others.  A member that was given up ends with reason shutdown when
 * it has handled what it had, and answered what it took, and no answer and no job is still to come that it waits for; one
 * that traps exits gets the exit signal as a message then, and ends itself.  So nothing is lost, unless the time
 * allowed for it passes first: then the member is stopped as by its supervisor (shutdown_ms), and what it had left is
 * handed back as from any actor that ends: requests are answered with TROUPE_EDIED, other messages are dead letters, and both
 * are counted (books.bounced, books.dead).  One that fails while it has messages left, and keeps its mailbox, is restarted
 * for them.  What was stashed and never taken out again is not handled.
 */
#ifndef TROUPE_POOL_H
#define TROUPE_POOL_H

#include "troupe/call.h"
#include "troupe/supervisor.h"

TROUPE_BEGIN_DECLS

/** drain_ms: [this], since 0 means the default. */
#define TROUPE_POOL_DRAIN_DEFAULT_MS 5000

/** Body of the answer of a pool. */
struct troupe_pool_answer {
    int status;       /* TROUPE_OK, or:
                 *   TROUPE_ELIMIT     more than child_max: nothing was done
                 *   TROUPE_EINVAL     it is no pool
                 *   TROUPE_ESTOPPED   it is ending
                 *   TROUPE_ETIMEDOUT  those that were given up did not all end in the time allowed, and were stopped
                 *   TROUPE_EBUSY      another resize came before this one was done, and goes on in its place
                 *   other             so the init of a new member failed; no more were started */
    uint32_t size;    /* that it was last told to have */
    uint32_t members; /* that get work: they run, start, or will again by themselves */
    uint32_t leaving; /* that were given up, and have not ended */
    uint64_t queued;  /* messages in the mailboxes of all of these */
    uint64_t handled; /* messages of any kind that its members handled, those that ended included */
    uint64_t restarts; /* of members */
};
extern TROUPE_API const struct troupe_type troupe_pool_answer;

/**
 * Tells a pool how many members to have; the answer is a troupe_pool_answer.  0 drains it: it takes no more work, handles
 * what it has, and is empty; a later resize opens it again.
 *
 * Threads  a callback of `self`
 * Units    `size` up to the pool's child_max.  `drain_ms` in milliseconds, for those that are given up; or TROUPE_FOREVER,
 *          TROUPE_NOW; 0: TROUPE_POOL_DRAIN_DEFAULT_MS
 * Errors   as troupe_request(); TROUPE_EINVAL also for `size` above INT32_MAX
 * Order    answered when the init of all new members is over, or when all that were given up have ended: after 10 ms or so
 *          if they have nothing to do, since nobody shall be on the way to them any more
 * Cost     O(size), and a reading of the whole roster of the group in the worst case
 */
TROUPE_API TROUPE_CHECKED int troupe_pool_resize(struct troupe_actor *self, troupe_pid pool,
    uint32_t size, int drain_ms, int timeout_ms, troupe_reply_fn on_reply, void *context);

/** Asks a pool how it is; the answer, a troupe_pool_answer, comes at once.  A callback of `self`.  Errors as
 * troupe_request().  O(members). */
TROUPE_API TROUPE_CHECKED int troupe_pool_look(struct troupe_actor *self, troupe_pid pool,
    int timeout_ms, troupe_reply_fn on_reply, void *context);

/**
 * As troupe_pool_resize(), from any thread but a worker's, waiting for the answer.  Returns its status; *out_answer, unless
 * it is NULL, is filled whenever the pool answered, also with an error.
 *
 * Units    `wait_ms` > 0 in milliseconds, or TROUPE_FOREVER
 * Errors   as troupe_runtime_call().  TROUPE_ETIMEDOUT too: *out_answer is untouched if it was not the pool that said it
 */
TROUPE_API TROUPE_CHECKED int troupe_runtime_pool_resize(struct troupe_runtime *runtime,
    troupe_pid pool, uint32_t size, int drain_ms, int wait_ms,
    struct troupe_pool_answer *out_answer);

/** As troupe_pool_look(), from any thread but a worker's; otherwise as troupe_runtime_pool_resize(). */
TROUPE_API TROUPE_CHECKED int troupe_runtime_pool_look(struct troupe_runtime *runtime,
    troupe_pid pool, int wait_ms, struct troupe_pool_answer *out_answer);

TROUPE_END_DECLS

#endif
