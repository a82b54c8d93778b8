/* SPDX-License-Identifier: MIT */
/*
 * link.h - who is told that an actor ended, and why.
 *
 * After Erlang/OTP.  A *monitor* watches one way: exactly one down notice per monitor.  A *link* ties two
 * actors: when one ends, the other gets an exit signal with the reason.  An actor that does not trap
 * exits ends with the same reason, unless it is normal; one that traps (behaviour.trap_exit, or
 * troupe_trap_exit()) gets a message of type troupe_exited.
 *
 * Notices and signals arrive after every message the dead actor sent to the same receiver, after its
 * code has stopped running and after its name is free.  They are reserved: no mailbox is too full for them.
 */
#ifndef TROUPE_LINK_H
#define TROUPE_LINK_H

#include "troupe/actor.h"

TROUPE_BEGIN_DECLS

/** Body of a down notice. */
struct troupe_down {
    troupe_pid pid;              /* who ended */
    troupe_ref ref;              /* which monitor tells of it */
    struct troupe_reason reason; /* NOPROC if it was gone when the monitor was made */
};
extern TROUPE_API const struct troupe_type troupe_down;

/** Body of an exit signal that was trapped. */
struct troupe_exited {
    troupe_pid pid; /* who ended, or who sent the signal; TROUPE_NOBODY: a foreign thread */
    struct troupe_reason reason;
    bool linked;    /* by a link, or sent with troupe_send_exit() */
};
extern TROUPE_API const struct troupe_type troupe_exited;

/**
 * Watches `pid`.  One that is gone is told of at once, with reason NOPROC.
 *
 * Threads  a callback of `self`
 * Errors   TROUPE_ENOMEM, TROUPE_ELIMIT; TROUPE_EINVAL for TROUPE_NOBODY or oneself
 * Cost     O(1), about 100 ns
 */
TROUPE_API TROUPE_CHECKED int troupe_monitor(
    struct troupe_actor *self, troupe_pid pid, troupe_ref *out_ref);

/**
 * Ends a monitor of `self`, and takes a notice that is queued but not handled with it: after this call no
 * notice of `ref` is handled.
 *
 * Returns  1 if the monitor was active; 0 if its notice was queued (now dropped), handled, or `ref` is
 *          unknown
 */
TROUPE_API int troupe_demonitor(struct troupe_actor *self, troupe_ref ref);

/**
 * Links `self` and `pid`.  At most one link joins two actors; a second is no second, and with oneself
 * nothing happens.
 *
 * Errors   TROUPE_EGONE  not there, and `self` does not trap exits; if it does, TROUPE_OK and a
 *                        troupe_exited with NOPROC
 *          TROUPE_ENOMEM, TROUPE_ELIMIT
 */
TROUPE_API TROUPE_CHECKED int troupe_link(struct troupe_actor *self, troupe_pid pid);

/** Ends the link: its exit signal does not affect `self` any more, also if it is queued already. */
TROUPE_API void troupe_unlink(struct troupe_actor *self, troupe_pid pid);

/** Turns trapping on or off for signals received from now on; returns what it was. */
TROUPE_API bool troupe_trap_exit(struct troupe_actor *self, bool on);

/**
 * Sends `pid` an exit signal with reason `kind` (not ERROR), as if from a link.  NORMAL does nothing to an actor
 * that does not trap, unless it is `self`.  KILL cannot be trapped: `pid` ends with KILLED at its next
 * message boundary.
 *
 * Errors   TROUPE_EGONE; TROUPE_ENOMEM (never for KILL)
 */
TROUPE_API TROUPE_CHECKED int troupe_send_exit(
    struct troupe_actor *self, troupe_pid pid, enum troupe_exit kind);

/** As troupe_send_exit(), from any thread. */
TROUPE_API TROUPE_CHECKED int troupe_runtime_exit(
    struct troupe_runtime *runtime, troupe_pid pid, enum troupe_exit kind);

/** Kills `pid`: troupe_send_exit() with TROUPE_EXIT_KILL. */
TROUPE_API TROUPE_CHECKED int troupe_kill(struct troupe_actor *self, troupe_pid pid);

/**
 * Waits until `pid` has ended and tells why.
 *
 * Threads  any but a worker's (TROUPE_EINVAL)
 * Units    `wait_ms` in milliseconds, or TROUPE_FOREVER
 * Owns     the reason's text, if out_reason is not NULL: troupe_buffer_release()
 * Errors   TROUPE_ETIMEDOUT; TROUPE_ENOMEM, TROUPE_ELIMIT; a pid that is gone gives NOPROC
 */
TROUPE_API TROUPE_CHECKED int troupe_join(struct troupe_runtime *runtime, troupe_pid pid,
    int wait_ms, struct troupe_reason *out_reason);

TROUPE_END_DECLS

#endif
