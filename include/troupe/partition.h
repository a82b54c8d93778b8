/* SPDX-License-Identifier: MIT */
/*
 * partition.h - one supervisor that is many: children spread over partitions by a key.
 *
 * After Elixir's PartitionSupervisor.  A supervisor is one actor, and starts, restarts and answers one thing at a time.
 * Where that is too slow its spec says `.partitions = 16`, and sixteen supervisors stand in its place, each with the
 * whole spec, its intensity too, under one that restarts them one_for_one.  They are called "0" to "15": those of "bank"
 * are registered as "bank.0" to "bank.15", and their children as "bank.7.teller".  A partition that gives up is
 * restarted with the children of its spec, and those that were added are gone, as with any supervisor; the other
 * partitions go on.
 *
 * A key leads to the same partition as long as their number is the same.  Nothing is asked to find it: two hashes
 * and a look-up of a name.  Whoever uses a partitioned supervisor has its name and that number, which must be the
 * spec's.  One that is being restarted is not there: TROUPE_ENOENT.
 */
#ifndef TROUPE_PARTITION_H
#define TROUPE_PARTITION_H

#include "troupe/supervisor.h"

TROUPE_BEGIN_DECLS

/**
 * The partition of `name` that `key` belongs to: to ask it anything that a supervisor is asked, as troupe_child_spawn(),
 * or a pool.
 *
 * Threads  any
 * Units    `partitions` as in the spec, 1 to TROUPE_PARTITIONS_MAX; `key` of one's own, or made by troupe_key() (group.h)
 * Errors   TROUPE_ENOENT  it is not there now
 *          TROUPE_EINVAL, TROUPE_EFORKED
 * Cost     O(1), lock-free
 */
TROUPE_API TROUPE_CHECKED int troupe_partition(struct troupe_runtime *runtime, const char *name,
    uint32_t partitions, uint64_t key, troupe_pid *out_pid);

/** As troupe_child(), of the partition that the id belongs to: `id`, or with START that of `spec`.  Errors as troupe_child()
 * and troupe_partition(). */
TROUPE_API TROUPE_CHECKED int troupe_partition_child(struct troupe_actor *self, const char *name,
    uint32_t partitions, enum troupe_child_op op, const char *id,
    const struct troupe_child_spec *spec, int timeout_ms, troupe_reply_fn on_reply, void *context);

/** As troupe_runtime_child(), of the partition that the id belongs to: see troupe_partition_child(). */
TROUPE_API TROUPE_CHECKED int troupe_runtime_partition_child(struct troupe_runtime *runtime,
    const char *name, uint32_t partitions, enum troupe_child_op op, const char *id,
    const struct troupe_child_spec *spec, int wait_ms, struct troupe_child_answer *out_answer);

/**
 * Asks all partitions, one after the other, how many children they have, and adds it up.  An actor asks each with
 * troupe_children().
 *
 * Threads  any but a worker's
 * Units    `wait_ms` > 0 in milliseconds for each, or TROUPE_FOREVER; *out_total has no rows
 * Errors   as troupe_partition() and troupe_runtime_call(), of the first one that does not answer
 * Cost     each goes through all of its children
 */
TROUPE_API TROUPE_CHECKED int troupe_runtime_partition_count(struct troupe_runtime *runtime,
    const char *name, uint32_t partitions, int wait_ms, struct troupe_children *out_total);

TROUPE_END_DECLS

#endif
