/* SPDX-License-Identifier: MIT */
/*
 * keyspace.h - one shard's keys: byte strings to byte strings, each perhaps with an expiry.
 *
 * A chained hash table under a keyed hash, which grows and shrinks a few buckets per operation.
 * One key is one block: header, key, value.
 *
 * It outlives its user.  The code that works on a keyspace may be abandoned (by longjmp) inside
 * `memory.allocate` or `memory.point`, wherever these are called.  Whoever takes over calls
 * kv_keyspace_recover() first, and then every key has its old or its new value, nothing has leaked,
 * and all numbers are right.  How: see keyspace.c.
 *
 * Threads: one at a time.  Time: `now_ms` comes from the caller, in milliseconds since 1970, never
 * negative; a key with expire_ms <= now_ms is gone for every operation.
 *
 * Every function that looks at keys may also do a bounded piece of upkeep: it moves a few keys
 * to a new table, or releases a few that a flush left behind.
 */
#ifndef KV_KEYSPACE_H
#define KV_KEYSPACE_H

#include "resp.h"

/** The expiry of a key that has none; later than all others. */
#define KV_NEVER INT64_MAX

/** What a keyspace needs to know. */
struct kv_keyspace_options {
    uint8_t hash_key[16];    /* random, so that nobody can choose colliding keys */
    size_t bytes_max;        /* above this nothing is added; 0 sets no limit */
    struct kv_memory memory; /* copied */
};

struct kv_keyspace;

/** A value found.  Both belong to the keyspace until the next call that is given it. */
struct kv_keyspace_value {
    struct kv_slice bytes;
    int64_t expire_ms; /* KV_NEVER if it does not expire */
};

/** Numbers of a keyspace, all exact. */
struct kv_keyspace_numbers {
    size_t count;        /* keys, those included that have expired unnoticed */
    size_t expiring;     /* keys with an expiry, likewise */
    size_t bytes;        /* memory held; see kv_keyspace_bytes() */
    uint64_t expired;    /* keys that expired and were noticed, since create */
    uint64_t hits;       /* successful kv_keyspace_get(), since create */
    uint64_t misses;     /* failed ones */
    uint64_t recoveries; /* kv_keyspace_recover() that found something half done */
};

/**
 * Makes an empty keyspace.
 *
 * Errors   KV_ENOMEM  no memory
 */
int kv_keyspace_create(
    const struct kv_keyspace_options *options, struct kv_keyspace **out_keyspace);

/** Releases everything, also that which was being worked on when the user was abandoned. */
void kv_keyspace_destroy(struct kv_keyspace *keyspace);

/**
 * Finishes or undoes what was being done when the user was abandoned: 1 if there was something,
 * else 0.  Calls neither `allocate` nor `point`.
 *
 * Cost     O(1), plus one step per key of an interrupted MSET
 */
int kv_keyspace_recover(struct kv_keyspace *keyspace);

/**
 * Looks at every key: each is reachable once, in the bucket that its hash names, and all numbers
 * add up.  NULL if so, else what is wrong.  Between operations only, or after a recover.
 *
 * Cost     O(keys)
 */
const char *kv_keyspace_check(const struct kv_keyspace *keyspace);

/** Keys, those included that have expired unnoticed. */
size_t kv_keyspace_count(const struct kv_keyspace *keyspace);

/**
 * Bytes asked of `allocate` and not yet released: keys, values and their headers, tables, the
 * keyspace itself, and what a flush has still to release.
 */
size_t kv_keyspace_bytes(const struct kv_keyspace *keyspace);

/** Fills in all numbers. */
void kv_keyspace_count_all(
    const struct kv_keyspace *keyspace, struct kv_keyspace_numbers *out_numbers);

/** Sets `bytes_max`; 0 sets no limit.  What is there stays. */
void kv_keyspace_limit(struct kv_keyspace *keyspace, size_t bytes_max);

/** Whether an operation that takes memory would be refused now, by KV_EMAXMEMORY. */
bool kv_keyspace_full(struct kv_keyspace *keyspace);

/**
 * Finds a key and counts a hit or a miss.  Without KV_ENOENT `*out_value` is filled in.
 *
 * Errors   KV_ENOENT  there is none, or it has expired
 */
int kv_keyspace_get(struct kv_keyspace *keyspace, int64_t now_ms, struct kv_slice key,
    struct kv_keyspace_value *out_value);

/** The same, uncounted: for commands that look at a key in order to change it. */
int kv_keyspace_peek(struct kv_keyspace *keyspace, int64_t now_ms, struct kv_slice key,
    struct kv_keyspace_value *out_value);

/**
 * Gives a key a value and an expiry (KV_NEVER for none), whatever it had.
 *
 * `key` and `value` must not point into the keyspace.
 *
 * Errors   KV_ENOMEM      no memory; nothing changed
 *          KV_EMAXMEMORY  `bytes_max` is reached; nothing changed
 *          KV_ETOOBIG     key or value longer than KV_STRING_MAX
 */
int kv_keyspace_set(struct kv_keyspace *keyspace, int64_t now_ms, struct kv_slice key,
    struct kv_slice value, int64_t expire_ms);

/**
 * Prepares a kv_keyspace_set(), to be done with all that were prepared by kv_keyspace_commit() or
 * forgotten by kv_keyspace_discard().  All memory is taken here.
 *
 * Errors   as kv_keyspace_set(); what was prepared before stays prepared
 */
int kv_keyspace_prepare(
    struct kv_keyspace *keyspace, struct kv_slice key, struct kv_slice value, int64_t expire_ms);

/**
 * Does what was prepared, in order, of two for the same key the second wins.  Cannot fail.
 *
 * Abandon  kv_keyspace_recover() does the rest: all of it is done, or none
 */
void kv_keyspace_commit(struct kv_keyspace *keyspace, int64_t now_ms);

/** Forgets what was prepared. */
void kv_keyspace_discard(struct kv_keyspace *keyspace);

/**
 * Adds `tail` to the end of a value, or makes the key.  The expiry stays.
 *
 * Errors   as kv_keyspace_set()
 * Cost     O(length of tail), amortised
 */
int kv_keyspace_append(struct kv_keyspace *keyspace, int64_t now_ms, struct kv_slice key,
    struct kv_slice tail, size_t *out_len);

/**
 * Adds `delta` to a value that is an integer, or to 0 if there is no such key.  The expiry stays.
 *
 * Errors   KV_ENOTINT, KV_EOVERFLOW, and as kv_keyspace_set()
 */
int kv_keyspace_add(struct kv_keyspace *keyspace, int64_t now_ms, struct kv_slice key,
    int64_t delta, int64_t *out_sum);

/**
 * Changes when a key expires; KV_NEVER takes its expiry away, a time that has come deletes it.
 *
 * Errors   KV_ENOENT  no such key
 */
int kv_keyspace_expire(
    struct kv_keyspace *keyspace, int64_t now_ms, struct kv_slice key, int64_t expire_ms);

/** Deletes a key: 1 if there was one, else 0.  One that had expired does not count. */
int kv_keyspace_delete(struct kv_keyspace *keyspace, int64_t now_ms, struct kv_slice key);

/**
 * Deletes all keys at once.  Their memory is released by later operations and by
 * kv_keyspace_expire_some(), a piece at a time.
 *
 * Cost     O(1)
 */
void kv_keyspace_flush(struct kv_keyspace *keyspace);

/** Called for each key by kv_keyspace_scan().  May not call the keyspace. */
typedef void (*kv_keyspace_scan_fn)(
    void *ctx, struct kv_slice key, const struct kv_keyspace_value *value);

/**
 * Visits the keys of one bucket and returns the cursor of the next, 0 after the last.  Begin with
 * cursor 0.  Keys that have expired are left out.
 *
 * Order    a key that is there from the first call to the last is visited at least once, however
 *          the table grew or shrank in between; it may be visited twice
 */
uint64_t kv_keyspace_scan(struct kv_keyspace *keyspace, int64_t now_ms, uint64_t cursor,
    kv_keyspace_scan_fn visit, void *ctx);

/**
 * Upkeep: releases what flushes left behind, goes on with moving keys to a new table, and looks
 * for keys that have expired.  Returns how many keys expired.
 *
 * Cost     O(budget) keys and buckets together
 */
size_t kv_keyspace_expire_some(struct kv_keyspace *keyspace, int64_t now_ms, size_t budget);

/**
 * No key expires before this; KV_NEVER if none ever does.  It may be too early, by keys whose
 * expiry was changed, until kv_keyspace_expire_some() has been round once.
 */
int64_t kv_keyspace_next_expiry(const struct kv_keyspace *keyspace);

/**
 * Whether kv_keyspace_expire_some() has something to do that does not wait for a time.  If not,
 * it need not be called before kv_keyspace_next_expiry().
 */
bool kv_keyspace_busy(const struct kv_keyspace *keyspace);

#endif
