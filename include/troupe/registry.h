/* SPDX-License-Identifier: MIT */
/*
 * registry.h - names.
 *
 * A name stands for one live actor of a runtime.  It is free again when that actor ends, before anybody
 * is told of its end; an actor that keeps its address through a restart keeps its names as well.  A child of a
 * supervisor that has a name is named after its tree: "bank.account".
 *
 * Unlike in Erlang/OTP, where a process has one name at most, an actor may have several.
 */
#ifndef TROUPE_REGISTRY_H
#define TROUPE_REGISTRY_H

#include "troupe/message.h"

TROUPE_BEGIN_DECLS

/** Longest name in bytes, without the NUL. */
#define TROUPE_NAME_MAX 127

/**
 * Gives `self` a name.  An actor may have several.
 *
 * Threads  a callback of `self`
 * Owns     `name` is copied
 * Errors   TROUPE_EEXIST  another actor has it (or this one: TROUPE_OK)
 *          TROUPE_EINVAL  empty, or longer than TROUPE_NAME_MAX
 *          TROUPE_ELIMIT, TROUPE_ENOMEM
 * Cost     one allocation
 */
TROUPE_API TROUPE_CHECKED int troupe_register(struct troupe_actor *self, const char *name);

/** Takes a name of `self` back; TROUPE_ENOENT if it is not its own.  A callback of `self`. */
TROUPE_API int troupe_unregister(struct troupe_actor *self, const char *name);

/** Who has this name; TROUPE_NOBODY if nobody.  A callback of `self`; lock-free. */
TROUPE_API troupe_pid troupe_whereis(struct troupe_actor *self, const char *name);

/** As troupe_whereis(), from any thread; lock-free too. */
TROUPE_API troupe_pid troupe_runtime_whereis(struct troupe_runtime *runtime, const char *name);

/** Sends a copy of `body` to whoever has this name: troupe_send(), or TROUPE_ENOENT. */
TROUPE_API TROUPE_CHECKED int troupe_send_name(
    struct troupe_actor *self, const char *name, const struct troupe_type *type, const void *body);

/** A name, and who has it. */
struct troupe_name {
    char name[TROUPE_NAME_MAX + 1];
    troupe_pid pid;
};

/**
 * Lists the names that begin with `prefix`, in the order of strcmp(), those behind `after` only: to go on, pass the last
 * name that came before.  A name that is there all the while is listed exactly once, whatever comes or goes.
 *
 * Threads  any
 * Owns     `out_names` is the caller's, room for `max` of them
 * Units    `prefix` NULL or "": all names; `after` NULL: from the beginning
 * Returns  how many were written; fewer than `max`: there are no more
 * Errors   TROUPE_EINVAL  a prefix or name longer than TROUPE_NAME_MAX, `max` above INT32_MAX; TROUPE_EFORKED
 * Cost     O(log names) each; a lock is held for 64 of them at a time, for which a registration may wait
 */
TROUPE_API TROUPE_CHECKED int troupe_names(struct troupe_runtime *runtime, const char *prefix,
    const char *after, struct troupe_name *out_names, uint32_t max);

/**
 * Lists the names of `pid` in the order in which it got them, `max` at most from number `first` on.
 *
 * Threads  any
 * Returns  how many were written
 * Errors   TROUPE_EGONE, TROUPE_EINVAL, TROUPE_EFORKED
 * Cost     O(first + max), under a lock of that actor's
 */
TROUPE_API TROUPE_CHECKED int troupe_names_of(struct troupe_runtime *runtime, troupe_pid pid,
    uint32_t first, struct troupe_name *out_names, uint32_t max);

/* ---- registries of the user's ---- */

/**
 * A registry in place of the runtime's, after `via` of Erlang/OTP: of another process group, of another key, behind a
 * lock of one's own.  It says who has which name; troupe enters an actor before its init, and takes out what was entered
 * when the actor ends, before anybody is told of that, or when it says so.
 *
 * Threads  whichever an actor is spawned, runs or ends on, several at the same time
 * Limits   must not block, nor call what wants a callback's `self`, but for `send`
 */
struct troupe_registry_ops {
    /** Gives `pid`, which may not run yet, a name.  TROUPE_EEXIST if another has it, or another negative number. */
    int (*enter)(void *context, const char *name, troupe_pid pid);
    /** Takes it back, unless somebody else has it by now. */
    void (*leave)(void *context, const char *name, troupe_pid pid);
    /** Who has it; TROUPE_NOBODY: nobody. */
    troupe_pid (*whereis)(void *context, const char *name);
    /** Sends a copy of `body` to whoever has it, as troupe_send_name(); NULL: whereis, then troupe_send(). */
    int (*send)(void *context, struct troupe_actor *self, const char *name,
        const struct troupe_type *type, const void *body);
};

/** One such registry.  What it points to outlives all actors with a name there. */
struct troupe_via {
    const struct troupe_registry_ops *ops; /* all but `send` required */
    void *context;
};

/** Gives `self` a name in `via`.  What its `enter` says; TROUPE_EINVAL, TROUPE_ENOMEM.  A callback of `self`. */
TROUPE_API TROUPE_CHECKED int troupe_register_via(
    struct troupe_actor *self, const struct troupe_via *via, const char *name);

/** Takes it back; TROUPE_ENOENT if it was not entered.  A callback of `self`. */
TROUPE_API int troupe_unregister_via(
    struct troupe_actor *self, const struct troupe_via *via, const char *name);

/** Who has a name in `via`; TROUPE_NOBODY if nobody, or if it is no name.  Any thread. */
TROUPE_API troupe_pid troupe_whereis_via(const struct troupe_via *via, const char *name);

/** Sends a copy of `body` to whoever has a name in `via`: as its `send` does, or troupe_send(); TROUPE_ENOENT. */
TROUPE_API TROUPE_CHECKED int troupe_send_via(struct troupe_actor *self,
    const struct troupe_via *via, const char *name, const struct troupe_type *type,
    const void *body);

TROUPE_END_DECLS

#endif
