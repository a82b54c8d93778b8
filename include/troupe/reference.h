/* SPDX-License-Identifier: MIT */
/*
 * reference.h - references that own: an actor that ends when nobody needs it any more.
 *
 * A pid is a number: it can be kept by anybody, and keeps nothing alive.  A *strong* reference says that its holder needs the
 * actor; when the last one is released the actor is told to end, as by troupe_stop() with TROUPE_STOP_DRAIN: it handles what
 * had been sent before by whoever held one, then ends with reason normal, which no link spreads and after which a transient
 * child rests.  (So do actors of kameo and thespis.  CAF has a reason of its own for it; but nobody did anything wrong here.)
 * A *weak* reference keeps nothing alive, and becomes a strong one as long as there is another one:
 *
 *               retain, upgrade                         the exit is decided
 *    +-- OPEN, n strong --------------> OPEN, n + 1    OPEN, n -------------> CLOSED
 *    |                 ^                    |
 *    | last release    +--------------------+
 *    v                    release
 *   OPEN, none: told to end; never upgraded again
 *
 * References belong to an incarnation.  When it has decided to end they are closed: upgrades fail, the last release tells
 * nobody, and the pid, if the actor keeps it, is that of another life, which can give out references of its own.  Who wants
 * one of a supervised child gets it from the child (troupe_reference_create() in its `init`).  Whether one that ended because
 * nobody held it is started again is the supervisor's rule: a permanent child is, a transient or temporary one is not.
 *
 * An actor that holds a strong reference to itself, or two that hold each other's, do not end by this; weak ones are for that.
 * An actor without any reference ends as any other.  References are released before their runtime is destroyed.
 */
#ifndef TROUPE_REFERENCE_H
#define TROUPE_REFERENCE_H

#include "troupe/message.h"

TROUPE_BEGIN_DECLS

struct troupe_reference;
struct troupe_weak_reference;

/**
 * A strong reference to `self`.  The first one makes it an actor that ends when the last one is gone; as does the option
 * `reference` of a spawn (actor.h).
 *
 * Threads  a callback of `self`
 * Owns     the reference is the caller's: to be released, or passed on
 * Errors   TROUPE_EGONE   the last one was released before, or `self` is ending
 *          TROUPE_ENOMEM, TROUPE_EINVAL
 * Cost     the first time a block of 192 bytes, otherwise one locked instruction
 */
TROUPE_API TROUPE_CHECKED int troupe_reference_create(
    struct troupe_actor *self, struct troupe_reference **out_reference);

/** One more strong reference, to be released as well: the same pointer; NULL for NULL.  Any thread.  Cost: one locked
 * instruction, as for all of these that say nothing else. */
TROUPE_API struct troupe_reference *troupe_reference_retain(struct troupe_reference *reference);

/**
 * Gives a strong reference back.  With the last one the actor is told to end: in its turn, behind all that was sent to it
 * by those who held one, before they released it.
 *
 * Threads  any; NULL does nothing
 * Cost     one locked instruction; the last one is a send, which needs no memory and is never refused
 */
TROUPE_API void troupe_reference_release(struct troupe_reference *reference);

/** Whom it refers to, alive or not; TROUPE_NOBODY for NULL.  Any thread. */
TROUPE_API troupe_pid troupe_reference_pid(const struct troupe_reference *reference);

/** A weak reference beside the strong one, to be released by itself; NULL for NULL.  Any thread. */
TROUPE_API struct troupe_weak_reference *troupe_reference_downgrade(
    struct troupe_reference *reference);

/**
 * A strong reference beside the weak one.  Never to one that has begun to end: not after its exit was decided, and not
 * after the last strong reference was released, though it may still handle messages.
 *
 * Threads  any
 * Owns     *out_reference is the caller's
 * Errors   TROUPE_EGONE, TROUPE_EINVAL
 */
TROUPE_API TROUPE_CHECKED int troupe_weak_upgrade(
    struct troupe_weak_reference *weak, struct troupe_reference **out_reference);

/** One more weak reference, to be released as well: the same pointer; NULL for NULL.  Any thread. */
TROUPE_API struct troupe_weak_reference *troupe_weak_retain(struct troupe_weak_reference *weak);

/** Gives a weak reference back.  Any thread; NULL does nothing. */
TROUPE_API void troupe_weak_release(struct troupe_weak_reference *weak);

/** Whom it refers to, alive or not; TROUPE_NOBODY for NULL.  Any thread. */
TROUPE_API troupe_pid troupe_weak_pid(const struct troupe_weak_reference *weak);

/** Passes a strong reference on: the body is a `struct troupe_reference *`, which a send that succeeds takes over.  The
 * receiver copies it and writes NULL in its place; otherwise it is released with the message. */
extern TROUPE_API const struct troupe_type troupe_reference_message;

TROUPE_END_DECLS

#endif
