/* SPDX-License-Identifier: MIT */
/*
 * callout.h - code of the user's that the runtime calls in the middle of its own work.
 *
 * A handler may be left anywhere: the runtime is sound while it runs.  It is not while it has half ended a message and calls
 * what destroys its body, or while an allocator of the user's makes it a block.  contain.c asks for the difference.  Report
 * callbacks are callouts too, what destroys a job's argument, what copies an item of a flow, and decisions about a child, which
 * are made in the middle of a supervisor.
 */
#ifndef TRP_CALLOUT_H
#define TRP_CALLOUT_H

#include "base.h"

/** How many callouts this thread is in. */
extern TRP_THREAD_LOCAL unsigned trp_callouts;

#endif
