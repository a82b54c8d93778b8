/* SPDX-License-Identifier: MIT */
/*
 * watch.h - the record of who is told of whose end: what links, monitors and ties are made of.
 *
 * The *subject* is whose end is told, the *watcher* who is told of it.  Every such relation is a *watch*: one block whose
 * first bytes are the message that will tell, the *notice*, so that telling needs no memory.  A watch stands in its
 * subject's list `watchers`, under the lock of the subject's extra block.
 *
 *   monitor   one watch; also in its watcher's trie of monitors, by ref (monitor.c)
 *   link      two watches in one block, one each way; each also in its subject's trie of links, by the peer's pid (link.c)
 *   tie       what a supervisor and one life of a child have: two watches and a note in one block (tie.c)
 *   sent      an exit signal of its own, in nobody's list (exit_signal.c); that of a reference stands in its block from the
 *             beginning (reference.c)
 *
 * A watch:
 *
 *                 created             seal of the subject, or noproc             spent, or never arrived
 *     (block) -------------> ACTIVE ------------------------------> FIRED ------------------------------> (block)
 *                              |    taken out under the lock          the block is a message                ^
 *                              |                                                                            |
 *                              +----------------------------------------------------------------------------+
 *                                   taken back: demonitor, unlink, end of the watcher, end of the peer
 *
 * Exactly one notice.  ACTIVE ends under the lock of the subject, and under it the watch leaves the list: either
 * the subject's end takes it out and sends it, or it is taken back; nobody can do both.  To get in, a watch
 * takes the same lock and looks at `sealed`: it is in the list before the seal and told the true reason,
 * or it is not and told NOPROC.  One case is left, that of a subject that had no extra block when it was
 * sealed, so that there was nothing to seal.  Its pid is withdrawn before it looks for the block; whoever
 * made the block looks for the pid again afterwards, each with a full fence between its write and its read, so one
 * of the two sees the other; if it is the watcher, it takes its watch back, and that was NOPROC.  A watcher that sees the pid
 * knows that the end will see the block, and says so in `lasts`: those after it need not look.
 *
 * A notice is written before its watch leaves the list, so whoever finds it FIRED may read what it says.
 *
 * After demonitor nothing is handled.  The watcher's side of a watch (`attached`, the trie of monitors) belongs to the
 * watcher's token.  demonitor detaches it; trp_notice_open() drops a notice that is not attached.  So does the end of an
 * incarnation: it detaches all, and what is queued in a mailbox that is kept misses the next
 * incarnation without a number.  Unlink does the same with the half of the link that belongs to the caller: after
 * the peer's end that half stays in the caller's trie until the signal is opened or unlinked.  Signals that were sent
 * by themselves carry the incarnation they were meant for.
 *
 * Locks.  At most two are held, and nothing is sent or allocated under them.  Who waits for the second one took them in the
 * order of their addresses; who has one and needs the other tries first (trp_watch_lock_also()).  A
 * subject's block is reached through a watch that is ACTIVE: the subject has then not finished its end, and its
 * block goes a grace period after that, which cannot pass while we are in a read section.
 *
 * Who frees a block.  Two parties hold it: the watcher's side, and the subject's side, which becomes the message.  Each
 * lets go once; the last one frees.  A link that is taken back while it is ACTIVE, and a monitor without an alias,
 * is in one hand, which frees it at once.  A tie is held by its supervisor as well, who uses it again.
 */
#ifndef TRP_WATCH_H
#define TRP_WATCH_H

#include "core.h"
#include "trie.h"

#include <troupe/link.h>
#include <troupe/reference.h>

enum trp_notice_kind {
    TRP_NOTICE_MONITOR,
    TRP_NOTICE_LINK,
    TRP_NOTICE_SENT,
    TRP_NOTICE_TIE_DOWN, /* of a tie: tells the supervisor of the child's end */
    TRP_NOTICE_TIE_EXIT, /* of a tie: tells the child of the supervisor's end */
    TRP_NOTICE_TIE_NOTE, /* of a tie: tells the supervisor that init is over */
};

enum trp_watch_state {
    TRP_WATCH_ACTIVE,
    TRP_WATCH_FIRED,
};

/** `side` of those that are no half. */
enum trp_side {
    TRP_SIDE_NAMED = 1,     /* of a monitor: it is a struct trp_named */
    TRP_SIDE_NOTE = 2,      /* of a tie: the note */
    TRP_SIDE_ORDER = 3,     /* sent: to end, in its turn */
    TRP_SIDE_REFERENCE = 4, /* sent: the same; it is a struct troupe_reference */
    TRP_SIDE_JOIN = 5,      /* of a monitor: it is a struct trp_join */
    TRP_SIDE_DISMISSAL = 6, /* sent: an order that goes by one who owes answers */
    TRP_SIDE_ALIASED = 7,   /* of a monitor: it is a struct trp_aliased */
};

/** What a block of kind NOTICE begins with. */
struct trp_notice {
    struct troupe_message message;
    union {
        struct troupe_down down; /* pid and ref stand here from the beginning */
        struct troupe_exited exited;
    } body;
    uint8_t kind; /* set once */
    uint8_t side; /* set once: which of two halves, or enum trp_side */
    bool
        attached : 1; /* monitor, tie: watcher's token; link: in the subject's trie, under its lock */
    bool
        mute : 1; /* link: the watcher is not told of the subject's end; under the subject's lock */
    _Atomic uint8_t state; /* written under the subject's lock */
    _Atomic uint32_t refs; /* any thread; of a pair that of its first half */
};

struct trp_watch {
    struct trp_notice notice;
    struct trp_list told;      /* in the subject's watchers; under its lock */
    struct trp_trie node;      /* monitor: watcher's token; link: under the subject's lock */
    troupe_pid watcher;        /* set before it becomes ACTIVE */
    struct trp_extra *subject; /* the same */
};

/** A monitor that was made by name. */
struct trp_named {
    struct trp_watch watch;
    char name[];
};

/** A monitor that ends with a call of `on_exit`. */
struct trp_join {
    struct trp_watch watch;
    troupe_exit_fn on_exit;
    void *context;
    struct trp_timer *record; /* of its time-out; or NULL */
};

/** What strong and weak references to one life of an actor point to.  References of the block: all strong ones together,
 * which become the order; each weak one; and the actor, until its end is decided. */
struct troupe_reference {
    struct trp_watch order;         /* to end; its watcher is whom they refer to */
    struct troupe_runtime *runtime; /* set once */
    _Atomic uint64_t strong;        /* any thread: see reference.c */
};

/** A monitor that was made with an alias.  The last three are the watcher's, under its lock. */
struct trp_aliased {
    struct trp_watch watch;
    uint32_t number;  /* of the alias, or of one that was */
    bool ends_alias;  /* set once: the alias ends with it */
    bool is_answered; /* it ended with the alias: nothing is told */
};

/** A link: halves[i] tells its watcher of its subject's end, and is the subject's half. */
struct trp_pair {
    struct trp_watch halves[2];
};

struct trp_note {
    struct trp_notice notice;
    troupe_pid watcher;
};

struct trp_tie {
    struct trp_pair pair; /* [0] tells the supervisor, [1] the child */
    struct trp_note note;
    void *owner; /* supervisor's token */
    troupe_pid child;
    uint64_t handled;  /* written before the end is told: messages, if they were counted */
    bool keep_mailbox; /* of the child */
};

static_assert(offsetof(struct trp_notice, body) == sizeof(struct troupe_message),
    "the body follows the header");
static_assert(sizeof(struct troupe_down) == sizeof(struct troupe_exited), "one body");
static_assert(sizeof(struct trp_watch) <= 128, "a monitor is two cache lines");
static_assert(sizeof(struct trp_pair) <= 256, "a link is four");
static_assert(sizeof(struct trp_tie) <= 384, "a tie is six");

/* ---- from one part of a block to another ---- */

static inline struct trp_notice *trp_notice_of(const struct troupe_message *msg)
{
    return (struct trp_notice *)(uintptr_t)msg;
}

static inline struct trp_watch *trp_watch_of(struct trp_notice *notice)
{
    return trp_container_of(notice, struct trp_watch, notice);
}

static inline struct trp_pair *trp_watch_pair(struct trp_watch *watch)
{
    return trp_container_of(watch - watch->notice.side, struct trp_pair, halves);
}

/** The watch that goes the other way. */
static inline struct trp_watch *trp_watch_other(struct trp_watch *watch)
{
    return &trp_watch_pair(watch)->halves[1 - watch->notice.side];
}

/** The monitor as one with an alias, or NULL. */
static inline struct trp_aliased *trp_notice_aliased(struct trp_notice *notice)
{
    return notice->kind == TRP_NOTICE_MONITOR && notice->side == TRP_SIDE_ALIASED
               ? trp_container_of(trp_watch_of(notice), struct trp_aliased, watch)
               : NULL;
}

static inline bool trp_notice_is_tie(const struct trp_notice *notice)
{
    return notice->kind >= TRP_NOTICE_TIE_DOWN;
}

static inline struct trp_tie *trp_notice_tie(struct trp_notice *notice)
{
    if (notice->kind == TRP_NOTICE_TIE_NOTE) {
        return trp_container_of(notice, struct trp_tie, note.notice);
    }
    return trp_container_of(trp_watch_pair(trp_watch_of(notice)), struct trp_tie, pair);
}

static inline bool trp_notice_is_order(const struct trp_notice *notice)
{
    return notice->kind == TRP_NOTICE_SENT &&
           (notice->side == TRP_SIDE_ORDER || notice->side == TRP_SIDE_REFERENCE ||
               notice->side == TRP_SIDE_DISMISSAL);
}

/* ---- blocks ---- */

/** A block of `size` bytes; NULL without memory. */
static inline void *trp_watch_alloc(struct trp_context *context, size_t size)
{
    return trp_pool_alloc(&context->pool, trp_pool_class(size));
}

/** Frees the block that begins with `first`: nobody holds it any more. */
void trp_watch_free(struct trp_context *context, struct trp_notice *first);

/** Lets go of the block that `notice` is in; the last one frees it. */
void trp_watch_drop(struct trp_context *context, struct trp_notice *notice);

void trp_notice_init(
    struct trp_notice *notice, enum trp_notice_kind kind, uint8_t side, uint32_t refs);
void trp_watch_init(
    struct trp_watch *watch, enum trp_notice_kind kind, uint8_t side, uint32_t refs);

/** A watch alone in its block; NULL without memory. */
struct trp_watch *trp_watch_new(
    struct trp_context *context, enum trp_notice_kind kind, uint32_t refs);

/* ---- lists: under the subject's lock ---- */

/** Takes two locks in the order of their addresses; one, if `b` is NULL. */
void trp_watch_lock(struct trp_extra *a, struct trp_extra *b);
void trp_watch_unlock(struct trp_extra *a, struct trp_extra *b);

/** Takes the lock of `theirs`, too, by whoever has that of `mine`.  False: nobody had that one for a moment, so what was
 * seen under it may have changed. */
bool trp_watch_lock_also(struct trp_extra *mine, struct trp_extra *theirs);

/** Makes `watch` one of the watchers of `subject`. */
void trp_watch_enter(struct trp_extra *subject, struct trp_watch *watch);

/** Takes it out again. */
void trp_watch_leave(struct trp_watch *watch);

/** Whether it is in its subject's list.  Any thread; it may leave at any time, but never comes back.  One that is not
 * says what it was told. */
bool trp_watch_is_active(const struct trp_watch *watch);

/** Takes a watch back if its subject has not fired it; whether it was.  Under reclaim, without a lock. */
bool trp_watch_take_back(struct trp_watch *watch);

/** Whether what was entered in the lists of `subject`, the extra block of `pid`, will be found by its end: see "exactly one
 * notice". */
bool trp_watch_is_there(struct troupe_runtime *runtime, struct trp_extra *subject, troupe_pid pid);

/** How many watches an actor may have, each way. */
uint32_t trp_watch_limit(const struct troupe_actor *actor);

/* ---- telling ---- */

/** The reason of one that is not there. */
struct troupe_reason trp_reason_noproc(void);

/** A copy with a reference of its own to the text. */
struct troupe_reason trp_reason_copy(const struct troupe_reason *reason);

/** Makes a notice a message from `sender`. */
void trp_notice_address(
    struct trp_notice *notice, const struct troupe_type *type, troupe_pid sender);

void trp_notice_write_exited(
    struct trp_notice *notice, troupe_pid pid, const struct troupe_reason *reason, bool linked);

/** Sends a notice that was written.  `urgent`: an exit signal, to which a receiver that does not trap pulls its queue
 * up.  A watcher that is gone does not get it. */
void trp_notice_dispatch(
    struct trp_context *context, struct trp_notice *notice, troupe_pid to, bool urgent);

/** Writes the notice of `watch`: its subject ends for `reason`.  Under the lock, before it leaves. */
void trp_watch_write(struct trp_watch *watch, const struct troupe_reason *reason);

/** Sends what was written, of a watch that left its list.  Not under a lock. */
void trp_watch_send(struct trp_context *context, struct trp_watch *watch);

/** The block of a notice is out of every queue. */
void trp_notice_retire(struct trp_context *context, struct troupe_message *msg);

#endif
