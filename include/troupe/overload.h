/* SPDX-License-Identifier: MIT */
/*
 * overload.h - what a full mailbox does, and who is told of what it gives up.
 *
 * A mailbox is bounded (mailbox.h).  What becomes of a message that finds no room is said by the behaviour of whoever has the
 * mailbox, in a `struct troupe_overload` that many behaviours may share:
 *
 *   REJECT       it is refused: TROUPE_EFULL, the message stays the sender's, who may wait for room or try later.  The default
 *   DROP_NEWEST  it is shed; its sender is told TROUPE_OK.  For what is worth nothing when it comes late: samples, ticks
 *   REDIRECT     it goes to another mailbox instead, and once: what that one has no room for is refused, whatever policy it has
 *   TRANSFORM    a function makes a smaller message of it, which has a margin of its own above the capacity, or sheds it
 *   EXIT         it is refused, and the receiver ends: for one that must not be late, and whose supervisor starts it afresh
 *
 * Two policies take a message out again that is queued, which the ordinary mailbox, with its one reader, cannot do.  They come
 * with a mailbox of another kind, under a lock:
 *
 *   DROP_OLDEST  the oldest message is shed to make room.  For what is best when it is new: positions, prices
 *   CONFLATE     a message takes the place in the queue of one with the same key, which is shed, whether there is room or not;
 *                with a key that is not there, and no room, the oldest is shed.  For states of many things
 *
 * With these it refuses nothing but what is larger than all of it (TROUPE_EMSGSIZE), and nobody waits for room in it.  Messages of
 * one sender keep their order, but for one that takes another's place; nothing that is sent afterwards overtakes them; and a message that
 * takes over the place of an older one may come before an answer, a signal or a notice that was sent before it.
 *
 * A mailbox of this kind may choose what is handled next, with any policy:
 *
 *   lanes        a function says which lane a message belongs into; lane 0 is handled before lane 1, and so on.  For each
 *                message that waits in a lane at most `lane_burst` of lanes before it are handled, so none waits for ever
 *   by_sender    senders of whom something is queued, in that lane, take turns, a message each: one that floods delays others by a
 *                message at each of their turns, however much of its own is queued.  A sender is who troupe_sender() says: of
 *                what was passed on, whoever sent it first; and all threads that are no actors are one.  Not with EXIT
 *
 * What is given up for that is order.  Messages of one sender in one lane keep theirs.  Nothing else does: a sender's message in lane 1
 * is overtaken by its later one in lane 0, and what is queued is overtaken by answers, ticks, signals and notices that come after it.  So the
 * notice that a sender has ended may come before the last messages that it has sent.
 *
 * The capacity stays the mailbox's, of all lanes and senders together.  Who gets the room when there is not enough:
 *
 *                     without by_sender                              with by_sender
 *   policies that     room is refused as ever, whatever the lane     who has as much queued in that lane as there is room left is
 *   refuse, or act                                                   refused, or acted on, and nobody else: one alone can take half of
 *   on the newest                                                    it, n together leave 1/(n+1).  One of whom nothing is queued
 *                                                                    finds the room that the others have left
 *   DROP_OLDEST,      the oldest of the last lane goes that has      the oldest goes of whoever has most queued in one lane, as found
 *   CONFLATE          any: a new one of that lane itself, if all     within a factor of two, in messages and in bytes together; so
 *                     others are of lanes before it                  who has less than half as much loses nothing
 *
 * To CONFLATE a key belongs to its lane, not to its sender: what takes a place takes over the turn as well, of whoever had it.  Who waits for
 * room where senders have shares waits for its own, and meanwhile others, who have less, are not refused for that.
 *
 * What this kind costs: its memory at the spawn, for each message of the capacity 88 bytes, to conflate 16 more, by sender 96
 * more; nothing for a sender of whom nothing is queued.  A lock for each send and for each message handled, by sender and
 * with a policy that refuses two for the send; calls of `key` and `lane`; a step for each lane; in the books a node of the queue, sent and
 * handled, for most messages.  Neither the number of messages nor that of senders matters: a key is found by hashing, as is a sender.
 *
 * In numbers: to send a message and to handle it, 64 in a turn, takes about 330 instructions with an ordinary mailbox, 1 260
 * with DROP_OLDEST, 1 330 with CONFLATE, 1 490 with three lanes, and 1 610 by sender with REJECT (x86-64, gcc 12).
 *
 * Through an alias such a mailbox is an ordinary one, in which messages stand in the order in which they come, and which has the same
 * capacity; with DROP_OLDEST and CONFLATE one of its own that refuses.  No ages are known in it, `memory_max` does not count it,
 * troupe_peek() does not see it, and its behaviour has a `receive` that does not wait, and no batches.
 *
 * Only what is charged is ever shed: answers, exit signals, notices, ticks and readiness have room of their own.  A policy
 * is asked where a send has been refused, and at no other time; a mailbox with room costs what it did.
 *
 * A policy other than REJECT and EXIT acts at once: nobody waits for room in such a mailbox, in no form of send, as long as it
 * has something to do with the message.  So it is with messages through an alias; one that ends with its first message is not
 * spent by one that is shed or redirected.
 *
 * Beside its policy a mailbox may shed what has waited for too long, when its turn comes: all that is older than `expire_ms`,
 * or, with `codel`, a few, so that those wait less that come after them.  CoDel looks at the time alone: when all have waited
 * longer than the target for an interval, one goes; the next ones go after that interval divided by the square root of 2, 3, ..,
 * until one has waited less, or is the only one.  So a burst is let through, and a queue that stands is not.  Both cost a look at the
 * clock on each side, and where a body leaves its block no 4 bytes to spare the move into a larger one, which the message then
 * weighs; without memory for that it goes without an age, and is never too old.  A request may say itself until when it is
 * wanted: see call.h.
 *
 * A request that is shed has an outcome as any other: its asker is told TROUPE_EOVERLOAD, or, if it was too old, TROUPE_EEXPIRED, once, and it was not handled.  One
 * that is redirected or transformed is answered by whoever handles it.
 *
 * What is shed is counted, by kind (books.sheds; troupe_mailbox_info()), its body is destroyed, and before that it is shown to
 * options.on_dead_letter, and sent to whoever troupe_dead_letters_to() says, as is what is left in the queue of an actor that ends.
 */
#ifndef TROUPE_OVERLOAD_H
#define TROUPE_OVERLOAD_H

#include "troupe/message.h"

TROUPE_BEGIN_DECLS

/** What becomes of a message that finds no room. */
enum troupe_overload_policy {
    TROUPE_OVERLOAD_REJECT,
    TROUPE_OVERLOAD_DROP_NEWEST,
    TROUPE_OVERLOAD_REDIRECT,
    TROUPE_OVERLOAD_TRANSFORM,
    TROUPE_OVERLOAD_EXIT,
    /* The second kind of mailbox: */
    TROUPE_OVERLOAD_DROP_OLDEST,
    TROUPE_OVERLOAD_CONFLATE,
};

/** Why a message was given up. */
enum troupe_shed {
    TROUPE_SHED_ENDED,  /* its receiver ended before it came to it: books.dead, or books.bounced */
    TROUPE_SHED_NEWEST, /* no room: DROP_NEWEST */
    TROUPE_SHED_TRANSFORM, /* no room, and TRANSFORM made nothing of it, or nothing that found room */
    TROUPE_SHED_EXPIRED,   /* it had waited for expire_ms when its turn came */
    TROUPE_SHED_CODEL,     /* it had waited for long, and so had those before it: codel */
    TROUPE_SHED_OLDEST,    /* it made room for another one: DROP_OLDEST, CONFLATE */
    TROUPE_SHED_CONFLATED, /* another one with its key took its place: CONFLATE */
    TROUPE_SHED_KINDS,     /* how many there are */
};

/** The kind in a word or two: "ended", "newest", "transform", "expired", "codel", "oldest",
 * "conflated"; "unknown" for any other number.  Static.  Any thread. */
TROUPE_API const char *troupe_shed_name(enum troupe_shed kind);

/** The longest body that a transformation makes, in bytes. */
#define TROUPE_SMALLER_MAX 512

/** What is to be sent instead of a message. */
struct troupe_smaller {
    const struct troupe_type *type;
    size_t size; /* of the body */
    unsigned char body[TROUPE_SMALLER_MAX];
};

/**
 * Makes a smaller message of `msg`, which found no room.
 *
 * Threads  the sender's: inside its send.  So it knows nothing of the receiver's state, and may run many times at once.  Must not
 *          block, nor call into the runtime
 * Owns     `msg` is borrowed, and its body destroyed afterwards: what the new body refers to is a reference of its own
 * Returns  false: nothing is made of it, and it is shed.  A size that the type does not have counts as that
 */
typedef bool (*troupe_transform_fn)(
    const struct troupe_message *msg, struct troupe_smaller *out_smaller);

/** What `msg` is about, for CONFLATE.  Called inside the send, before the lock is taken; as for troupe_transform_fn. */
typedef uint64_t (*troupe_key_fn)(const struct troupe_message *msg);

/** Most lanes of a mailbox. */
#define TROUPE_LANES_MAX 8

/** The lane of `msg`: 0 is the first; a number that is too high is the last one.  Called as troupe_key_fn, once or twice for a message;
 * the same message has the same lane. */
typedef uint32_t (*troupe_lane_fn)(const struct troupe_message *msg);

/**
 * How a behaviour's mailbox deals with more than it can take.  Static, as the behaviour that names it.  Zero is the default
 * everywhere.
 */
struct troupe_overload {
    enum troupe_overload_policy policy;
    const char *
        redirect; /* REDIRECT: to whoever has this name; NULL: as troupe_overload_redirect() says */
    troupe_transform_fn transform; /* TRANSFORM: required */
    uint32_t margin;   /* TRANSFORM: messages above the capacity that what was made may use; at most
                        TROUPE_CAPACITY_MAX / 4 [a quarter of the capacity, at least one] */
    troupe_key_fn key; /* CONFLATE: required */
    uint32_t
        expire_ms; /* who has waited for so long is shed in its turn; at most a day [nobody is] */
    bool codel;    /* so are some, while all wait for long */
    uint32_t codel_target_ms;   /* how long that is [10] */
    uint32_t codel_interval_ms; /* and for how long they have to, first; at most a minute [100] */
    bool aged;      /* ages are known (troupe_mailbox_info()), also if nothing depends on them */
    uint32_t lanes; /* how many the mailbox has, 2 .. TROUPE_LANES_MAX [it has none] */
    troupe_lane_fn lane; /* with `lanes`: required */
    uint32_t
        lane_burst; /* most messages of lanes before it that are handled for one that waits in a lane; at least `lanes`,
                            so that the first lane keeps over a third of the turns [32] */
    bool by_sender; /* its senders take turns, and share its room */
};

/**
 * Says to whom `self` redirects from now on what its mailbox has no room for, whatever its behaviour's `redirect` names.
 * TROUPE_NOBODY: that one again; without a name, what finds no room is refused.  Forgotten when this life ends.
 *
 * Threads  a callback of `self`, whose behaviour redirects
 * Errors   TROUPE_EINVAL  it does not; `to` is `self`, or an alias
 */
TROUPE_API TROUPE_CHECKED int troupe_overload_redirect(struct troupe_actor *self, troupe_pid to);

/* ---- dead letters ---- */

/** A user's message that was given up.  Good until the hook returns. */
struct troupe_dead_letter {
    enum troupe_shed kind;
    bool request;  /* somebody waits for an answer, and will be told that there is none */
    troupe_pid to; /* whose mailbox gave it up; of one that ended, a pid that nobody has any more */
    const char *actor;                /* the name of its behaviour */
    const struct troupe_message *msg; /* to look at; see troupe_dead_letter_take() */
};

/**
 * Shown each user's message that is given up.  Not shown: messages that are refused, which are still their sender's; requests and
 * answers that came too late (books.skipped, books.late); and what is given up inside the hook, on the same thread, which is
 * counted alone.
 *
 * Threads  whichever gives it up: a sender's inside its send, the worker of a receiver that ends.  Many at the same time
 * Limits   must not block, stop or destroy the runtime, or call into another one.  Sending a message is fine
 */
typedef void (*troupe_dead_letter_fn)(void *context, const struct troupe_dead_letter *letter);

/**
 * Makes a message of its own of a dead letter: to keep it, or to send it elsewhere.  Of a request the body only: its asker is
 * told that there is no answer.
 *
 * Threads  the hook, with the letter that it was called with, once
 * Owns     the caller, as of troupe_message_create()
 * Errors   TROUPE_EINVAL  taken before
 *          TROUPE_ENOMEM  it ends when the hook returns
 * Cost     a copy of the body's bytes; what they refer to moves
 */
TROUPE_API TROUPE_CHECKED int troupe_dead_letter_take(
    const struct troupe_dead_letter *letter, struct troupe_message **out_msg);

/**
 * A dead letter as a message, of type troupe_lost: what an actor is sent that wants them.  Whoever wants to keep or send on the message
 * that was given up takes `msg` out, and leaves NULL; otherwise it ends with this one.
 */
struct troupe_lost {
    enum troupe_shed kind;
    bool request;      /* somebody waited for an answer, and was told that there is none */
    troupe_pid to;     /* as in struct troupe_dead_letter */
    const char *actor; /* the same */
    struct troupe_message
        *msg; /* as of troupe_dead_letter_take(); troupe_sender() of it: who sent it */
};
extern TROUPE_API const struct troupe_type troupe_lost;

/**
 * From now on dead letters are sent to `to`; TROUPE_NOBODY: to nobody, as in the beginning.  One actor of a runtime gets them; an
 * actor that should says so in its init, so that it says so in each of its lives.
 *
 * They come after the hook has seen them, and left them there.  They are ordinary messages, which its mailbox bounds: what finds no
 * room, or no memory, is not sent, is counted as any dead letter (books.sheds), and keeps nobody waiting.  What that actor gives up
 * itself, or leaves behind when it ends, is sent to nobody, nor is a troupe_lost that another one gives up; so no dead letter leads to
 * another.  An actor that sends on what it gets should know that it may come back.
 *
 * Threads  any
 * Errors   TROUPE_EGONE, TROUPE_EINVAL: `to` is no actor's
 * Order    of one sender to one receiver, as they were given up
 * Cost     of a dead letter: a copy of its body's bytes, a send
 */
TROUPE_API TROUPE_CHECKED int troupe_dead_letters_to(struct troupe_runtime *runtime, troupe_pid to);

/* ---- a look at a mailbox ---- */

struct troupe_mailbox_info {
    uint32_t length;         /* charged messages, and places that are held (lease.h); those of a
                                turn count until it ends */
    uint32_t capacity;       /* messages */
    uint64_t bytes;          /* that they weigh */
    uint64_t capacity_bytes; /* bytes */
    uint32_t waiters;        /* threads and fibers that wait for room in it */
    uint32_t oldest_ms; /* nothing that is queued or being handled is older; where ages are known,
                                otherwise 0 */
    /* Of a mailbox whose behaviour has an `overload`, otherwise 0; since the actor was spawned: */
    uint32_t length_max; /* the most that was queued, as seen when room came back */
    uint64_t bytes_max;  /* the same in bytes */
    uint64_t redirected; /* messages */
    uint64_t transformed;
    uint64_t
        sheds[TROUPE_SHED_KINDS]; /* given up, by kind; ENDED: with a life of one that keeps its
                                          mailbox */
    uint32_t lanes
        [TROUPE_LANES_MAX]; /* of the second kind: messages that stand in each lane, without what came through an
                                         alias; without lanes all are in the first */
};

/**
 * Looks at the mailbox of `pid`.  A moment's view; numbers that belong together may be of moments a little apart.
 *
 * Threads  any
 * Errors   TROUPE_EGONE, TROUPE_EINVAL
 * Cost     O(1); no lock, but that of a mailbox of the second kind
 */
#define troupe_mailbox_info(runtime, pid, out_info)                                                \
    troupe_mailbox_info_sized((runtime), (pid), (out_info), sizeof(struct troupe_mailbox_info))
TROUPE_API TROUPE_CHECKED int troupe_mailbox_info_sized(struct troupe_runtime *runtime,
    troupe_pid pid, struct troupe_mailbox_info *out_info, size_t info_size);

/** The first message that is queued. */
struct troupe_peek {
    const struct troupe_type *type;
    troupe_pid sender; /* as troupe_sender() */
    size_t size;       /* of its body, in bytes */
    bool request;
    int age_ms; /* for how long it is queued; -1: ages are not known here, or not of this message */
};

/**
 * Looks at the message that a user has sent to `self` and that is next in its queue, and leaves it there.  What goes before
 * the queue is not looked at: priority messages, and what was put aside.
 *
 * Threads  a callback of `self`
 * Returns  false: there is none, or its sender is not through with sending it
 * Cost     O(1), and a step for each tick, notice, answer or readiness that stands before it
 */
TROUPE_API bool troupe_peek(struct troupe_actor *self, struct troupe_peek *out_peek);

TROUPE_END_DECLS

#endif
