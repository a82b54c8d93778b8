/* SPDX-License-Identifier: MIT */
/*
 * charge.h - how full a mailbox is, in messages and in bytes.
 *
 * Two words, each `count << 40 | bytes`.  Senders advance `in`, one fetch-add each; the reader
 * advances `out`, a plain store once a slice.  Their difference, modulo 2^64, is what is queued.  It is
 * exact while fewer than 2^24 messages and 2^40 bytes are queued, which the capacity makes sure of; how
 * often the words wrap is no matter.
 *
 * `cap` is the capacity, or less: a mark at which senders stop and look (admit.c).  Who has looked takes within the
 * capacity.  So a mark costs those nothing who stay below it.
 *
 *            take  give        -  may overlap
 *      take   -     -          X  never overlap (one reader per mailbox)
 *      give   -     X
 */
#ifndef TRP_CHARGE_H
#define TRP_CHARGE_H

#include "base.h"

#define TRP_CHARGE_ONE ((uint64_t)1 << 40)
#define TRP_CHARGE_BYTES (TRP_CHARGE_ONE - 1)

struct trp_charge {
    _Atomic uint64_t
        cap; /* largest count and bytes that may be queued without a look; see admit.c */
    _Atomic uint64_t in;  /* any thread */
    _Atomic uint64_t out; /* written by the reader */
};

/** Empties the books of a mailbox that takes `count` messages of `bytes` in all. */
static inline void trp_charge_init(struct trp_charge *charge, uint32_t count, uint64_t bytes)
{
    trp_assert(count > 0 && count <= (1U << 23));
    trp_assert(bytes > 0 && bytes <= TRP_CHARGE_ONE / 2);
    /* relaxed, all: the mailbox is not published yet, or nobody can reach it any more. */
    atomic_store_explicit(&charge->cap, TRP_CHARGE_ONE * count | bytes, memory_order_relaxed);
    atomic_store_explicit(&charge->in, 0, memory_order_relaxed);
    atomic_store_explicit(&charge->out, 0, memory_order_relaxed);
}

/** Whether `queued` is within `cap` in both of its parts. */
static inline bool trp_charge_fits(uint64_t cap, uint64_t queued)
{
    return queued >> 40 <= cap >> 40 && (queued & TRP_CHARGE_BYTES) <= (cap & TRP_CHARGE_BYTES);
}

/** How much may be queued without a look.  Any thread. */
static inline uint64_t trp_charge_cap(const struct trp_charge *charge)
{
    /* relaxed: an older one refuses, or lets pass, a message that came together with the change. */
    return atomic_load_explicit(&charge->cap, memory_order_relaxed);
}

/* One try, by an `out` that was seen before. */
static inline bool trp_charge_try(
    struct trp_charge *charge, uint64_t cap, uint64_t more, uint64_t out)
{
    uint64_t in;

    /* A view.  Full: those who are refused again and again do not fight for the line.
     * acquire: our next look at `out` is as new as that of whoever was admitted last.  PAIR charge.taken. */
    if (trp_unlikely(!trp_charge_fits(
            cap, atomic_load_explicit(&charge->in, memory_order_acquire) - out + more))) {
        return false;
    }
    /* acq_rel: `out` as we saw it, for those who come after us, and as those saw it who came before.  The push that follows
     * publishes the messages, not this.  PAIR charge.taken. */
    in = atomic_fetch_add_explicit(&charge->in, more, memory_order_acq_rel);
    if (trp_unlikely(!trp_charge_fits(cap, in - out + more))) {
        /* seq_cst: before the caller looks for waiters (line.c).  Nothing was pushed.  Another sender may be refused
         * meanwhile because of us: allowed, never the reverse. */
        atomic_fetch_sub_explicit(&charge->in, more, memory_order_seq_cst);
        return false;
    }
    return true;
}

/**
 * Charges `count` messages of `bytes` together, if then at most `cap` is queued.  Any thread; lock-free.  TROUPE_EFULL: no
 * room, and nothing was charged.
 *
 * A sender that is held up between its two looks compares an old `out` with a new `in`, and the mailbox seems to hold all
 * that went through it meanwhile.  So whoever finds no room looks at `out` again, and is refused only if it has not moved.
 */
static inline int trp_charge_take_within(
    struct trp_charge *charge, uint64_t cap, uint32_t count, uint64_t bytes)
{
    uint64_t more = TRP_CHARGE_ONE * count + bytes;
    /* acquire: the reader is done with what it gave back before we count on the room; and `out` is read before `in`
     * moves: read later it might have passed our `in`, and the difference would wrap.
     * PAIR charge.room: release in trp_charge_give(). */
    uint64_t out = atomic_load_explicit(&charge->out, memory_order_acquire);

    while (trp_unlikely(!trp_charge_try(charge, cap, more, out))) {
        /* acquire: as above. */
        uint64_t seen = atomic_load_explicit(&charge->out, memory_order_acquire);

        if (seen == out) {
            return TROUPE_EFULL;
        }
        out = seen;
    }
    return TROUPE_OK;
}

/** Takes back what was charged by trp_charge_take_within(), of messages that were not pushed.  Any thread. */
static inline void trp_charge_take_back(struct trp_charge *charge, uint32_t count, uint64_t bytes)
{
    /* seq_cst: before the caller looks for waiters, as in trp_charge_try(). */
    atomic_fetch_sub_explicit(&charge->in, TRP_CHARGE_ONE * count + bytes, memory_order_seq_cst);
}

/** As trp_charge_take_within(), within the present `cap`. */
static inline int trp_charge_take(struct trp_charge *charge, uint32_t count, uint64_t bytes)
{
    return trp_charge_take_within(charge, trp_charge_cap(charge), count, bytes);
}

/** Gives back what trp_charge_take() of `count` messages of `bytes` charged.  Reader only; wait-free. */
static inline void trp_charge_give(struct trp_charge *charge, uint32_t count, uint64_t bytes)
{
    /* relaxed: only we write it. */
    uint64_t out = atomic_load_explicit(&charge->out, memory_order_relaxed);

    /* release: we are done with the messages given back.
     * PAIR charge.room: acquire in trp_charge_take_within(). */
    atomic_store_explicit(&charge->out, out + TRP_CHARGE_ONE * count + bytes, memory_order_release);
}

/** What is queued now, `count << 40 | bytes`; a moment's view.  Any thread. */
static inline uint64_t trp_charge_queued(const struct trp_charge *charge)
{
    /* relaxed: a view, not a promise.  `out` first, so that it is never ahead of `in`. */
    uint64_t out = atomic_load_explicit(&charge->out, memory_order_relaxed);
    uint64_t in = atomic_load_explicit(&charge->in, memory_order_relaxed);

    return in - out;
}

#endif
