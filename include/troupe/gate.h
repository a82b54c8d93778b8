/* SPDX-License-Identifier: MIT */
/*
 * gate.h - admission: how much of what comes from outside is in the works at a time.
 *
 * A mailbox bounds what waits at one actor.  A gate bounds what a server has taken on: it stands in front of actors, where
 * sockets and foreign threads bring work, and gives a *permit* for each piece of it, or says at once why not.  Refusing costs
 * two reads of memory or so, and is done before anything is parsed, allocated or queued: the one time at which it is cheap.
 *
 *     error = troupe_gate_enter(gate, &(struct troupe_gate_entry){.bytes = size, .timeout_ms = 500}, &permit);
 *     if (error < 0) {
 *         return say_busy(client);                       // nothing to undo
 *     }
 *     error = troupe_permit_attach(permit, &request);    // it travels with the message from here on
 *
 * A permit that was attached goes where its message goes: through troupe_take(), troupe_forward(), troupe_delegate(), the stash
 * and a flow, into another mailbox that a policy sends it to, and into what a policy makes of it (overload.h).  It returns when
 * the answer to its message is sent, or, if the message is no request, when its handler is done with it; and when the message
 * ends on any other path: skipped because its time passed, dead, drained from an actor that died, destroyed.  If its sender is
 * refused it stays with the message.  A message that is made on behalf of another may share its permit
 * (troupe_permit_inherit()): then it returns with the last of them.  Who has no message has the permit itself, and returns it:
 * troupe_permit_return().
 *
 * Why one is refused (the first that applies):
 *
 *   TROUPE_ECLOSED    troupe_gate_destroy() was called
 *   TROUPE_EMSGSIZE   it alone weighs more than the gate's bytes
 *   TROUPE_ENOMEM     the runtime uses 80 % of its memory (limits.memory in runtime.h)
 *   TROUPE_EEXPIRED   too old: no more time is left than work waits here at present, or age_max_ms has passed
 *   TROUPE_EFULL      as many permits are out as there are
 *   TROUPE_ELIMIT     those that are out weigh as much as they may
 *   TROUPE_EBUSY      work waits longer than target_ms
 *
 * Delay.  The gate measures how long work waits: from troupe_gate_enter() until a message with the permit comes to a handler,
 * or troupe_permit_begin(), or the return.  As in CoDel what counts is the least delay in an interval, so a burst that is
 * worked off does no harm.  While that is above `target_ms` the gate lets in fewer at a time, in proportion, and more again
 * when it is below; and nobody if nothing that waits was begun for a whole interval.  What it acts on is one number, the
 * *window*: how many permits may be out.  So under any overload work that was let in waits for about the target, and what is
 * too much is refused on the spot, whereas dropping now and then from a queue does not impress senders that do not slow down.
 * A gate measures one queue, or several alike: if one of a hundred receivers is slow, the least delay does not show it.
 *
 * A mailbox behind a gate is never full of what was let in if it has room for all permits and for the messages of one turn,
 * 64: a permit may return before the room of its message does (mailbox.h).
 *
 * Memory: 32 bytes for each permit, set aside when the gate is made; a gate without memory for a permit does not occur.
 */
#ifndef TROUPE_GATE_H
#define TROUPE_GATE_H

#include "troupe/message.h"

TROUPE_BEGIN_DECLS

struct troupe_gate;

/** Default and most of the permits of a gate. */
#define TROUPE_GATE_LIMIT_DEFAULT 16384
#define TROUPE_GATE_LIMIT_MAX (1U << 18)

/** Most gates of a runtime. */
#define TROUPE_GATES_MAX 255

/** Default interval of a gate that has a target. */
#define TROUPE_GATE_INTERVAL_DEFAULT_MS 100

struct troupe_gate_options {
    uint32_t limit;       /* permits [TROUPE_GATE_LIMIT_DEFAULT] */
    uint32_t age_max_ms;  /* work this old is refused [it may have any age] */
    uint64_t bytes;       /* that what is let in may weigh together; at most 2^39 [2^39] */
    uint32_t target_us;   /* delay that is borne, in microseconds [any; 10000 is usual] */
    uint32_t interval_ms; /* for which it is borne [TROUPE_GATE_INTERVAL_DEFAULT_MS] */
    uint32_t least; /* the window never becomes smaller [2 for each worker, at most `limit`] */
};

/** What asks to be let in.  All of it may be 0. */
struct troupe_gate_entry {
    uint64_t
        bytes; /* that it weighs: of its message, its buffers, what it will take; the gate believes it */
    uint32_t age_ms;     /* how long it has waited elsewhere, in a socket for example */
    uint32_t timeout_ms; /* how long somebody waits for it in all, `age_ms` included [for ever] */
};

/** The right to be in the works.  {0} is none.  Whoever has it passes it on or returns it, once. */
struct troupe_permit {
    struct troupe_gate *gate;
    uint32_t number;
};

/**
 * Creates a gate.
 *
 * Threads  any
 * Owns     the caller, until troupe_gate_destroy(); one that is left goes with its runtime
 * Errors   TROUPE_EINVAL, TROUPE_ENOMEM, TROUPE_EFORKED; TROUPE_ELIMIT above TROUPE_GATES_MAX
 */
#define troupe_gate_create(runtime, options, out_gate)                                             \
    troupe_gate_create_sized((runtime), (options), sizeof(struct troupe_gate_options), (out_gate))
TROUPE_API TROUPE_CHECKED int troupe_gate_create_sized(struct troupe_runtime *runtime,
    const struct troupe_gate_options *options, size_t options_size, struct troupe_gate **out_gate);

/**
 * Closes a gate.  Permits that are out stay good, and its memory goes with the last of them.  NULL does nothing.
 *
 * Threads  any; the caller sees to it that nobody enters any more, or reads its numbers.  Before its runtime is destroyed
 */
TROUPE_API void troupe_gate_destroy(struct troupe_gate *gate);

/**
 * Asks to be let in.  Never waits, and takes no memory.
 *
 * Threads  any
 * Owns     on success the caller has *out_permit
 * Errors   as listed at the top; TROUPE_EINVAL, TROUPE_EFORKED
 * Cost     O(1): the clock, and of one that is let in three locked instructions; a refusal has one, for its number
 */
TROUPE_API TROUPE_CHECKED int troupe_gate_enter(struct troupe_gate *gate,
    const struct troupe_gate_entry *entry, struct troupe_permit *out_permit);

/**
 * What the permit was given for begins: the end of its delay.  Only of what no message carries to a handler, which does it
 * by itself.  More than once is once.  Any thread; whoever has the permit.
 */
TROUPE_API void troupe_permit_begin(struct troupe_permit permit);

/** Returns a permit that no message carries.  Any thread; whoever has it.  {0} does nothing.  Two locked instructions. */
TROUPE_API void troupe_permit_return(struct troupe_permit permit);

/**
 * Gives a permit to a message.
 *
 * Threads  any
 * Owns     the caller owns *in_out_msg, before and after; it may be moved into another block, as by troupe_take().  On
 *          success the message has the permit; on error the caller still does
 * Errors   TROUPE_EINVAL  NULL, no permit, a message that has one, or a request that was taken
 *          TROUPE_ENOMEM
 * Cost     nothing, or a copy of a body of up to TROUPE_BODY_INLINE bytes
 */
TROUPE_API TROUPE_CHECKED int troupe_permit_attach(
    struct troupe_permit permit, struct troupe_message **in_out_msg);

/**
 * Gives a message a share in the permit of another, on whose behalf it was made.  If `from` has none, because no gate let it
 * in or its answer was sent, there is nothing to share, and all is well.
 *
 * Threads  a callback of `self`, which handles or owns `from`
 * Owns     see troupe_permit_attach()
 * Errors   TROUPE_EINVAL, TROUPE_ENOMEM, as troupe_permit_attach()
 */
TROUPE_API TROUPE_CHECKED int troupe_permit_inherit(struct troupe_actor *self,
    const struct troupe_message *from, struct troupe_message **in_out_msg);

/** What went through a gate.  Each number is a moment's view. */
struct troupe_gate_numbers {
    uint32_t in_flight; /* permits that are out */
    uint32_t highest;   /* most of them at a time */
    uint32_t window;    /* how many may be: `limit`, or fewer for the sake of the target */
    uint32_t delay_us;  /* how long work waits: an average over the last few */
    uint64_t bytes;     /* that those in flight weigh */
    uint64_t admitted;
    uint64_t refused;         /* all of the following */
    uint64_t refused_full;    /* TROUPE_EFULL */
    uint64_t refused_busy;    /* TROUPE_EBUSY */
    uint64_t refused_bytes;   /* TROUPE_ELIMIT and TROUPE_EMSGSIZE */
    uint64_t refused_memory;  /* TROUPE_ENOMEM */
    uint64_t refused_expired; /* TROUPE_EEXPIRED */
    uint64_t refused_closed;  /* TROUPE_ECLOSED */
};

/** Reads the numbers.  Any thread.  TROUPE_EINVAL. */
TROUPE_API TROUPE_CHECKED int troupe_gate_read(
    const struct troupe_gate *gate, struct troupe_gate_numbers *out_numbers);

TROUPE_END_DECLS

#endif
