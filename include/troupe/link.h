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
 * code has stopped running and after its names are free (unless it keeps its address: then its names stay).
 * They are reserved: no mailbox is too full for them.  An exit signal that ends its receiver does not wait for its
 * turn: at the next message boundary what stands before it in the queue is dropped and counted as dead, requests
 * are answered with TROUPE_EDIED.
 *
 * Monitors and links belong to an incarnation and end with it, on either side.
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
    bool linked; /* true: by a link; false: sent with troupe_send_exit() or troupe_runtime_exit() */
};
extern TROUPE_API const struct troupe_type troupe_exited;

/**
 * Watches `pid`.  One that is gone is told of at once, with reason NOPROC.  An actor may watch another more than
 * once: each monitor has a notice of its own.
 *
 * Threads  a callback of `self`
 * Errors   TROUPE_ENOMEM, TROUPE_ELIMIT (limits.actor_watches, of either side); TROUPE_EINVAL for TROUPE_NOBODY or
 *          oneself
 * Cost     O(1): two cache lines, one lock of the other actor's; the first time at either actor one allocation
 */
TROUPE_API TROUPE_CHECKED int troupe_monitor(
    struct troupe_actor *self, troupe_pid pid, troupe_ref *out_ref);

/**
 * Ends a monitor of `self`, and takes a notice that is queued but not handled with it: after this call no
 * notice of `ref` is handled.
 *
 * Threads  a callback of `self`
 * Returns  1 if the monitor was active; 0 if its notice was queued (now dropped), handled, or `ref` is
 *          unknown
 */
TROUPE_API int troupe_demonitor(struct troupe_actor *self, troupe_ref ref);

/**
 * Links `self` and `pid`.  At most one link joins two actors; a second is no second, and with oneself
 * nothing happens.
 *
 * Threads  a callback of `self`
 * Errors   TROUPE_EGONE  not there, and `self` does not trap exits; if it does, TROUPE_OK and a
 *                        troupe_exited with NOPROC
 *          TROUPE_ENOMEM, TROUPE_ELIMIT; TROUPE_EINVAL for TROUPE_NOBODY
 */
TROUPE_API TROUPE_CHECKED int troupe_link(struct troupe_actor *self, troupe_pid pid);

/** Ends the link: its exit signal does not affect `self` any more, also if it is queued already.  A callback of
 * `self`; without a link nothing happens. */
TROUPE_API void troupe_unlink(struct troupe_actor *self, troupe_pid pid);

/** Turns trapping on or off for signals handled from now on, those in the queue included; returns what it was.  A
 * callback of `self`.  A new incarnation begins with what its behaviour says. */
TROUPE_API bool troupe_trap_exit(struct troupe_actor *self, bool on);

/**
 * Sends `pid` an exit signal with reason `kind` (not ERROR: TROUPE_EINVAL), as if from a link.  NORMAL does nothing
 * to an actor that does not trap, unless it is `self`.  KILL cannot be trapped: `pid` ends with KILLED at its next
 * message boundary; its handler is not interrupted.
 *
 * Threads  a callback of `self`
 * Errors   TROUPE_EGONE   also of one that is ending, or between two lives
 *          TROUPE_ENOMEM  never for KILL
 */
TROUPE_API TROUPE_CHECKED int troupe_send_exit(
    struct troupe_actor *self, troupe_pid pid, enum troupe_exit kind);

/** As troupe_send_exit(), from any thread. */
TROUPE_API TROUPE_CHECKED int troupe_runtime_exit(
    struct troupe_runtime *runtime, troupe_pid pid, enum troupe_exit kind);

/** Kills `pid`: troupe_send_exit() with TROUPE_EXIT_KILL. */
TROUPE_API TROUPE_CHECKED int troupe_kill(struct troupe_actor *self, troupe_pid pid);

/**
 * Waits until `pid`, or this incarnation of it, has ended and tells why.  An actor of its own watches for it, so
 * somebody must run the runtime: not before its start, and not without threads.
 *
 * Threads  any but a worker's (TROUPE_EINVAL)
 * Units    `wait_ms` in milliseconds, or TROUPE_FOREVER
 * Owns     the reason's text, if out_reason is not NULL: troupe_buffer_release(), before the runtime is destroyed
 * Errors   TROUPE_ETIMEDOUT  it lives on
 *          TROUPE_ESTOPPED   the runtime stops, or has been stopped
 *          TROUPE_ENOMEM, TROUPE_ELIMIT; a pid that is gone gives TROUPE_OK and NOPROC
 */
TROUPE_API TROUPE_CHECKED int troupe_join(
    struct troupe_runtime *runtime, troupe_pid pid, int wait_ms, struct troupe_reason *out_reason);

TROUPE_END_DECLS

#endif
