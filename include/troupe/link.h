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
 * code has stopped running and after its names are free (unless it keeps its address: then its names stay), unless their
 * receiver has asked for them before everything else (TROUPE_PRIORITY).
 * They are reserved: no mailbox is too full for them.  An exit signal that ends its receiver does not wait for its
 * turn: at the next message boundary what stands before it in the queue is dropped and counted as dead, requests
 * are answered with TROUPE_EDIED.
 *
 * Monitors and links belong to an incarnation and end with it, on either side.
 *
 * troupe_connect() makes links of one direction; troupe_stop() ends an actor in order; the troupe_join family waits for an end.
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

/*
 * Priority.  Nothing goes before the queue but what its receiver has asked for, for one monitor, one link or one alias
 * (alias.h), when it made that.  It is handled at the next message boundary: behind priority messages that came before it, before
 * everything that is queued, which waits as long as there are any; a main function (fiber.h) receives it first.  What counts
 * against the mailbox's capacity does so here too.
 *
 * So a down notice with priority may be handled before the answer that its sender had given: who wants to know what came of
 * its calls does not ask for it.
 */
#define TROUPE_PRIORITY 1U
#define TROUPE_PRIORITY_DOWN 2U /* troupe_monitor_alias() only */

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

/** As troupe_monitor(); `flags`: TROUPE_PRIORITY, or 0. */
TROUPE_API TROUPE_CHECKED int troupe_monitor_with(
    struct troupe_actor *self, troupe_pid pid, unsigned flags, troupe_ref *out_ref);

/**
 * As troupe_monitor(), of whoever has this name now: it is looked up once, and whoever gets the name later is not watched.
 * If nobody has it the notice comes at once, with NOPROC and the pid TROUPE_NOBODY.  troupe_down_name() of the notice is
 * the name.
 *
 * Errors   as troupe_monitor(); TROUPE_EINVAL also for what is no name (registry.h)
 */
TROUPE_API TROUPE_CHECKED int troupe_monitor_name(
    struct troupe_actor *self, const char *name, troupe_ref *out_ref);

/**
 * The name by which the monitor was made that a down notice tells of; NULL if it was made by pid, and for any other
 * message, one that was taken (troupe_take()) included.
 *
 * Threads  the handler that was called with `msg`
 * Owns     the message; good until the handler returns
 */
TROUPE_API const char *troupe_down_name(const struct troupe_message *msg);

/**
 * Ends a monitor of `self`, and takes a notice that is queued but not handled with it: after this call no
 * notice of `ref` is handled.
 *
 * Threads  a callback of `self`
 * Returns  1 if the monitor was active: no notice came, none will.  0 if its one notice was queued (now dropped) or has
 *          been handled, or if `ref` is unknown or 0
 * Errors   TROUPE_EINVAL  a ref of another actor
 */
TROUPE_API int troupe_demonitor(struct troupe_actor *self, troupe_ref ref);

/** What troupe_demonitor_flush() and troupe_unlink_flush() found. */
enum troupe_flush {
    TROUPE_FLUSH_NONE = 0,   /* nothing: never made, ended, or its notice was handled */
    TROUPE_FLUSH_ACTIVE = 1, /* it stood: no notice came, none will */
    TROUPE_FLUSH_TOLD = 2,   /* its notice was queued, and was dropped */
};

/**
 * As troupe_demonitor(), and tells what became of the notice: an enum troupe_flush.
 *
 * Owns     with TROUPE_FLUSH_TOLD *out_reason is the notice's reason, with a reference to its text that is the caller's
 *          (troupe_buffer_release()); otherwise it is untouched.  May be NULL
 */
TROUPE_API int troupe_demonitor_flush(
    struct troupe_actor *self, troupe_ref ref, struct troupe_reason *out_reason);

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

/** As troupe_link(); `flags`: TROUPE_PRIORITY, or 0.  It is for the signal to `self`; also if there is a link already. */
TROUPE_API TROUPE_CHECKED int troupe_link_with(
    struct troupe_actor *self, troupe_pid pid, unsigned flags);

/** Ends the link: its exit signal does not affect `self` any more, also if it is queued already.  A callback of
 * `self`; without a link nothing happens. */
TROUPE_API void troupe_unlink(struct troupe_actor *self, troupe_pid pid);

/**
 * As troupe_unlink(), and tells what became of the exit signal: an enum troupe_flush.  A link that is made again after this
 * has a signal of its own; that of the old one never comes.
 *
 * Threads  a callback of `self`
 * Owns     with TROUPE_FLUSH_TOLD *out_reason is the signal's reason, with a reference to its text that is the caller's
 *          (troupe_buffer_release()); otherwise it is untouched.  May be NULL
 * Errors   TROUPE_EINVAL
 */
TROUPE_API int troupe_unlink_flush(
    struct troupe_actor *self, troupe_pid pid, struct troupe_reason *out_reason);

/**
 * What a connection tells of, after async-backplane: a link may be of one direction.  Modes are bits.
 */
enum troupe_mode {
    TROUPE_MONITOR = 1, /* I am told of your end */
    TROUPE_NOTIFY = 2,  /* you are told of mine */
    TROUPE_PEER = 3,    /* both: this is a link */
};

/**
 * Adds `mode` to what `self` and `pid` have; a link is all of it.  Who is told gets an exit signal: with a fault, which is
 * every reason but NORMAL, one that does not trap exits ends with the same reason, and so passes the fault on to those who are
 * told of its own end; with NORMAL nothing happens, and the connection is gone.  (There one that is told to shut down
 * completes successfully.  Here SHUTDOWN is a fault to links; TROUPE_STOP_DRAIN ends an actor with NORMAL.)
 *
 * Threads  a callback of `self`
 * Errors   as troupe_link(); with NOTIFY alone one that is gone is no error, since nobody is left to be told
 *          TROUPE_EINVAL also for what is no mode
 * Cost     as troupe_link()
 */
TROUPE_API TROUPE_CHECKED int troupe_connect(
    struct troupe_actor *self, troupe_pid pid, enum troupe_mode mode);

/**
 * Takes `mode` away from what `self` and `pid` have, and so turns one into another; with nothing left it is gone.  As with
 * troupe_unlink() an exit signal that was queued does not affect `self` after MONITOR was taken away.  What they do not have
 * is not missed.
 *
 * Threads  a callback of `self`
 * Errors   TROUPE_EINVAL
 */
TROUPE_API int troupe_disconnect(struct troupe_actor *self, troupe_pid pid, enum troupe_mode mode);

/** What `self` and `pid` have: bits of enum troupe_mode as `self` sees it, 0 for nothing.  A callback of `self`;
 * TROUPE_EINVAL for TROUPE_NOBODY. */
TROUPE_API int troupe_connected(struct troupe_actor *self, troupe_pid pid);

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

/** How troupe_stop() ends an actor. */
enum troupe_stop {
    TROUPE_STOP_DRAIN, /* it handles what is queued, then ends with NORMAL: as gen_server:stop() */
    TROUPE_STOP_NOW,   /* at the next message boundary, with SHUTDOWN: as exit(Pid, shutdown) */
};

/**
 * Tells `pid` to end, in order: `terminate` is called.  It is this incarnation that ends, no later one.
 *
 * DRAIN waits for its turn in the queue: all that was sent before is handled; what comes later is a dead letter, and requests
 * among it are answered with TROUPE_EDIED.  What the actor put aside (stash.h) is not handled.  A function that waits (`main`)
 * ends in troupe_receive(), not in troupe_receive_of() or a call, and handles what it takes out until then; one that is
 * suspended (sys.h) ends after it was resumed.  NOW overtakes what is queued, which ends so.
 *
 * One that traps exits is told, in its turn, what troupe_runtime_stop() would tell it: a troupe_exited with SHUTDOWN from
 * TROUPE_NOBODY.  Supervisors, servers, listeners and connections then end in their own order.
 *
 * A supervised child that was stopped has ended with a clean reason, either way: its supervisor starts it again if it is
 * permanent, which counts against the intensity, and lets it rest if it is transient or temporary.  A child with keep_mailbox
 * that is started again goes on with what was queued behind the order.  To end a child for good ask its supervisor
 * (supervisor.h).
 *
 * Threads  any, callbacks of the actor itself too
 * Errors   TROUPE_EGONE   also of one that is ending, or between two lives
 *          TROUPE_ENOMEM; TROUPE_EINVAL for TROUPE_NOBODY
 * Order    DRAIN: behind what the caller has sent
 * Cost     a send, and a block from a pool
 */
TROUPE_API TROUPE_CHECKED int troupe_stop(
    struct troupe_runtime *runtime, troupe_pid pid, enum troupe_stop how);

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

/**
 * As troupe_join(), from inside an actor: waits, while its other messages stay in the queue.
 *
 * Threads  a callback of `self` that may wait (fiber.h)
 * Units    `wait_ms` in milliseconds, 0: is it over; or TROUPE_FOREVER
 * Owns     as troupe_join(); the text may be released by anybody
 * Errors   TROUPE_ETIMEDOUT  it lives on; it is not watched any more
 *          TROUPE_EDEADLK    the wait would close a ring of waits (fiber.h)
 *          TROUPE_ENOMEM, TROUPE_ELIMIT (limits.actor_watches, limits.actor_timers); TROUPE_EINVAL also for oneself
 */
TROUPE_API TROUPE_CHECKED int troupe_join_wait(
    struct troupe_actor *self, troupe_pid pid, int wait_ms, struct troupe_reason *out_reason);

/** Called once, as a callback of `self`, with TROUPE_OK and why the actor ended, or with TROUPE_ETIMEDOUT and NULL.
 * `state` is that of `self`; the reason is good until it returns.  Returns what a `receive` returns. */
typedef int (*troupe_exit_fn)(struct troupe_actor *self, void *state, void *context, int status,
    const struct troupe_reason *reason);

/**
 * As troupe_join_wait(), and returns at once: the outcome comes as a call of `on_exit`, between two messages, in the turn of
 * a down notice.  If `self` ends first it is not called.
 *
 * Threads  a callback of `self`
 * Owns     `context` stays the caller's
 * Units    `timeout_ms` > 0, or TROUPE_FOREVER
 * Errors   TROUPE_ENOMEM, TROUPE_ELIMIT (limits.actor_watches, limits.actor_timers); TROUPE_EINVAL also for oneself.  Then
 *          `on_exit` is not called
 * Cost     a monitor and, with a time-out, a timer
 */
TROUPE_API TROUPE_CHECKED int troupe_join_then(struct troupe_actor *self, troupe_pid pid,
    int timeout_ms, troupe_exit_fn on_exit, void *context);

TROUPE_END_DECLS

#endif
