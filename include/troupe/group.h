/* SPDX-License-Identifier: MIT */
/*
 * group.h - many actors under one name.
 *
 * After Erlang/OTP's pg.  A group is neither created nor deleted: it is there while it has members, and one without is
 * no different from one that never was.  An actor joins and leaves by itself; when it ends, it is out of all its
 * groups before anybody is told of its end.  Groups and actors have their names apart: both may be called "worker".
 *
 * Who joins twice has to leave twice.  Unlike in pg it is listed once all the same, and gets one copy of what is sent to
 * all, so that it may join wherever it needs to be sure of its membership.
 *
 * An actor that keeps its address through a restart stays a member meanwhile, and what is sent to it waits.  Joins of
 * the life that ended count as one, and the first one of the next life does not add to it: `init` may join as usual.
 *
 * Messages may go to one of the members or to all.  Look-ups take no lock and no reference, whoever joins or leaves.
 */
#ifndef TROUPE_GROUP_H
#define TROUPE_GROUP_H

#include "troupe/actor.h"
#include "troupe/call.h"
#include "troupe/registry.h"

TROUPE_BEGIN_DECLS

/* ---- membership ---- */

/**
 * Joins a group.
 *
 * Threads  a callback of `self`
 * Owns     `group` is copied
 * Errors   TROUPE_EINVAL  no name: empty, or longer than TROUPE_NAME_MAX
 *          TROUPE_ELIMIT  limits.groups, limits.group_members or limits.actor_groups
 *          TROUPE_ENOMEM
 * Cost     O(1), a lock of the group's; now and then O(members), when room for them is made
 */
TROUPE_API TROUPE_CHECKED int troupe_group_join(struct troupe_actor *self, const char *group);

/** Undoes one troupe_group_join(); TROUPE_ENOENT if `self` is no member.  A callback of `self`. */
TROUPE_API int troupe_group_leave(struct troupe_actor *self, const char *group);

/** A member, and the number of its join: later ones have higher numbers. */
struct troupe_group_member {
    troupe_pid pid;
    uint64_t number;
};

/**
 * Lists the members of a group in the order in which they joined, those with a number above `after` only: to go on, pass
 * the last number that came before.  Who is a member all the while is listed exactly once.
 *
 * Threads  any
 * Owns     `out_members` is the caller's, room for `max` of them
 * Units    `after` 0: from the beginning
 * Returns  how many were written; fewer than `max`: there are no more.  0 for a group that is not there
 * Errors   TROUPE_EINVAL  also for `max` above INT32_MAX; TROUPE_EFORKED
 * Cost     lock-free; O(log members + max)
 */
TROUPE_API TROUPE_CHECKED int troupe_group_members(struct troupe_runtime *runtime,
    const char *group, uint64_t after, struct troupe_group_member *out_members, uint32_t max);

/** A group that has members. */
struct troupe_group {
    char name[TROUPE_NAME_MAX + 1];
    uint32_t members; /* a moment's view */
};

/** Lists the groups whose names begin with `prefix`, behind `after`: as troupe_names() lists names.  Any thread. */
TROUPE_API TROUPE_CHECKED int troupe_groups(struct troupe_runtime *runtime, const char *prefix,
    const char *after, struct troupe_group *out_groups, uint32_t max);

/* ---- watching ---- */

/** Body of the notice that a group has changed.  Says that there is something to read, not what. */
struct troupe_group_changed {
    troupe_ref ref; /* which monitor */
};
extern TROUPE_API const struct troupe_type troupe_group_changed;

/**
 * Watches who joins and leaves a group, which need not be there.  A notice, troupe_group_changed, comes at once and after
 * changes; then troupe_group_changes() tells of all that changed since it was last called, and the first time of all
 * members: one account, without a gap between what was there and what came.
 *
 * The notice is reserved, and there is at most one at a time, however much changes: nothing is allocated when
 * members end, and a watcher that is slow is not flooded.  The monitor ends with this incarnation of `self`.
 *
 * Threads  a callback of `self`
 * Errors   TROUPE_EINVAL
 *          TROUPE_ELIMIT  limits.groups, limits.group_members (watchers of one group) or limits.actor_groups
 *          TROUPE_ENOMEM
 */
TROUPE_API TROUPE_CHECKED int troupe_group_monitor(
    struct troupe_actor *self, const char *group, troupe_ref *out_ref);

/** Ends a monitor of `self`: no notice of `ref` is handled any more.  1 if there was one, else 0.  A callback of `self`. */
TROUPE_API int troupe_group_demonitor(struct troupe_actor *self, troupe_ref ref);

enum troupe_group_event {
    TROUPE_GROUP_JOINED,
    TROUPE_GROUP_LEFT,
    TROUPE_GROUP_RESET, /* forget all members: more left than is remembered, and all are told of anew */
};

struct troupe_group_change {
    enum troupe_group_event event;
    troupe_pid pid; /* TROUPE_NOBODY with RESET */
};

/**
 * What has changed since this was last called for `ref`.  Applied in order to a set that is empty at first, the changes
 * give the members.  Who came and left in between is not told of.
 *
 * Threads  a callback of `self`
 * Owns     `out_changes` is the caller's, room for `max` of them, at least 1
 * Returns  how many were written.  Fewer than `max`: the set is now what the group is.  Otherwise call again: the next
 *          notice comes with the next change, not for what was left
 * Errors   TROUPE_ENOENT  `self` has no such monitor
 *          TROUPE_EINVAL
 * Cost     O(log members + max), under the group's lock.  256 leaves are remembered; with more of them between two
 *          calls there is a RESET
 */
TROUPE_API TROUPE_CHECKED int troupe_group_changes(struct troupe_actor *self, troupe_ref ref,
    struct troupe_group_change *out_changes, uint32_t max);

/* ---- to one member ---- */

/**
 * Which member.  One that has ended is passed over, in all of these: a message goes to nobody only if nobody is there.
 *
 * By key: each member gets a number from `key` and its pid, and the highest wins.  When one leaves, its keys go to the
 * others in equal parts; when one joins, it takes an equal part from each; all other keys stay where they are.  A child
 * that keeps its address keeps its keys.
 */
enum troupe_route {
    TROUPE_ROUND_ROBIN,  /* in turn */
    TROUPE_RANDOM,       /* any */
    TROUPE_LEAST_LOADED, /* of two taken at random the one with fewer messages queued */
    TROUPE_BY_KEY,       /* the same key to the same member: O(members) */
};

/** A key from bytes; the same in every run. */
TROUPE_API uint64_t troupe_key(const void *bytes, size_t size);

/**
 * Sends a copy of `body` to one member, as troupe_send() does.
 *
 * Threads  a callback of `self`
 * Units    `key` is looked at with TROUPE_BY_KEY only
 * Errors   TROUPE_ENOENT  no member lives
 *          TROUPE_EFULL   BY_KEY: the member of this key is full.  Else one that is full is passed over; no room was
 *                         found with any, or any of 64
 *          others as troupe_send()
 * Order    messages that go to the same member arrive in the order sent
 * Cost     as troupe_send(), and a look-up by name
 */
TROUPE_API TROUPE_CHECKED int troupe_group_send(struct troupe_actor *self, const char *group,
    enum troupe_route route, uint64_t key, const struct troupe_type *type, const void *body);

/** Moves `msg` to one member if there is room, as troupe_try_send() does.  Any thread.  Errors as troupe_group_send(); on
 * error `msg` is still the caller's. */
TROUPE_API TROUPE_CHECKED int troupe_group_try_send(struct troupe_runtime *runtime,
    const char *group, enum troupe_route route, uint64_t key, struct troupe_message *msg);

/** Asks one member, as troupe_request() does.  A callback of `self`.  Errors as troupe_group_send() and troupe_request(): a
 * member that dies with the request in its mailbox has had it, and the answer is TROUPE_EDIED. */
TROUPE_API TROUPE_CHECKED int troupe_group_request(struct troupe_actor *self, const char *group,
    enum troupe_route route, uint64_t key, const struct troupe_type *type, const void *body,
    int timeout_ms, troupe_reply_fn on_reply, void *context);

/** The member to which a message would go, to be told that it lives a moment ago.  Any thread.  TROUPE_ENOENT,
 * TROUPE_EINVAL, TROUPE_EFORKED. */
TROUPE_API TROUPE_CHECKED int troupe_group_pick(struct troupe_runtime *runtime, const char *group,
    enum troupe_route route, uint64_t key, troupe_pid *out_pid);

/* ---- to all members ---- */

/** What became of a message to all. */
struct troupe_group_sent {
    uint32_t sent;
    uint32_t
        full; /* members without room for it, of which it is up to the caller what that means */
    uint32_t gone;   /* that ended just now */
    uint32_t failed; /* without memory for a message */
    uint32_t large;  /* members whose mailbox never takes so much: TROUPE_EMSGSIZE */
};

/**
 * Sends a copy of `body` to each member, to the sender too if it is one.  Who is a member all the while is sent exactly
 * one; who joins or leaves meanwhile, one or none.
 *
 * Bytes that are too many to be copied travel in a shared buffer: with type troupe_buffer_message each message has a
 * reference of its own to the one buffer, and the caller keeps its own.
 *
 * Threads  any
 * Owns     `body` stays the caller's
 * Units    *out_sent, unless it is NULL, tells how many
 * Errors   TROUPE_ENOENT  there are no members
 *          TROUPE_EINVAL  also for a type with `destroy`, since what its body refers to cannot be given to many;
 *                         troupe_buffer_message is the exception
 *          TROUPE_EFORKED; that one did not get it is no error, but counted
 * Cost     O(members)
 */
TROUPE_API TROUPE_CHECKED int troupe_group_send_all(struct troupe_runtime *runtime,
    const char *group, const struct troupe_type *type, const void *body,
    struct troupe_group_sent *out_sent);

TROUPE_END_DECLS

#endif
