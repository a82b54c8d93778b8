/* SPDX-License-Identifier: MIT */
/*
 * reclaim.h - when memory that others may still look at can be used again.
 *
 * liburcu's QSBR.  A thread that looks up actors is *online*; it says `quiescent` when it holds no pointer to a
 * cell, once a slice, and is *offline* while it sleeps and outside of troupe.  What was retired is handed back when
 * every thread that was online then has been quiescent or offline since: the grace period.
 *
 * With inject.c and lib/name_table.c the only files that include liburcu.  reclaim_sim.c is the twin for simulation,
 * where the readers are virtual threads.
 */
#ifndef TRP_RECLAIM_H
#define TRP_RECLAIM_H

#include "base.h"

struct trp_reclaim {
    void *opaque[2]; /* liburcu's rcu_head */
    /* Called once, on a thread of liburcu's; must not block. */
    void (*done)(struct trp_reclaim *reclaim);
};

/** Makes this thread a reader, offline.  Repeated calls do nothing.  TROUPE_EFORKED in a forked child. */
TROUPE_CHECKED int trp_reclaim_attach(void);

/** Undoes trp_reclaim_attach(). */
void trp_reclaim_detach(void);

/** Goes online; returns whether it was offline, to be given to trp_reclaim_leave(). */
bool trp_reclaim_enter(void);

/** Goes offline again if trp_reclaim_enter() said that it was. */
void trp_reclaim_leave(bool was_offline);

/** Online threads only: no pointer to a cell is held here now. */
void trp_reclaim_quiescent(void);

/** Calls fn(reclaim) after a grace period.  Any attached thread. */
void trp_reclaim_later(struct trp_reclaim *reclaim, void (*fn)(struct trp_reclaim *reclaim));

/** Waits until everything retired before was handed to its `done`.  Offline threads only. */
void trp_reclaim_barrier(void);

/** A runtime comes into being, or is gone: a child forked in between is not home. */
void trp_reclaim_open(void);
void trp_reclaim_close(void);

/** False in a child that was forked while a runtime existed: it has none of troupe's threads. */
bool trp_reclaim_is_home(void);

#endif
