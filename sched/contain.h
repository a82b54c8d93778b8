/* SPDX-License-Identifier: MIT */
/*
 * contain.h - what comes of a memory fault: SIGSEGV, SIGBUS, SIGFPE, SIGILL.
 *
 *    a fault
 *      |  of a thread that runs no actor, or of a runtime that leaves them: not ours ------------> the handler before us
 *      |  not safe to go on, or not asked to: we say whose it was, on standard error ------------> the handler before us
 *      v
 *    contained: the signal handler returns into trp_actor_crash(), on the actor's own stack, and the actor ends
 *
 * It is safe to go on where the actor could have called troupe_exit() instead.  So the instruction must be the user's: of
 * the program, or of the object that has the behaviour, but not of this library (text.h), nor of any other, which may hold a
 * lock of its own.  It must not be in a callout (callout.h).  It must be on the actor's stack.  And it must not be a write
 * to where nothing is, unless near NULL or into the guard below that stack: the write before it may have hit something.
 *
 * What cannot be known is said in troupe/runtime.h: a lock of the user's, a function of the C library that called back, a
 * wild write that hit.
 *
 * The signal handler does not leave by a jump: it sets the interrupted thread's registers and returns, so the kernel
 * restores the signal mask and the alternate stack, and the sanitizers see a signal handler that returned.  Where it goes
 * on, trp_actor_crash() is ordinary code that jumps or switches stacks as troupe_exit() does.  A jump out of the handler
 * was the first thought; on a fiber it would have switched stacks on the alternate one.
 *
 * Handlers belong to the process, runtimes come and go: the first that wants them installs them, the last puts back what was
 * there before, unless somebody has put his own in front meanwhile.
 *
 * contain_sim.c is the twin for simulation, where nothing is contained.
 */
#ifndef TRP_CONTAIN_H
#define TRP_CONTAIN_H

#include "base.h"

#include <troupe/runtime.h>

struct trp_worker;

/** Whether faults can be contained here: the processor, and how the library was built and linked. */
bool trp_contain_can(void);

/** A runtime with these options begins, or ends: installs handlers, or restores those before. */
void trp_contain_open(const struct troupe_runtime_options *options);
void trp_contain_close(const struct troupe_runtime_options *options);

/** Sets memory aside for the thread that will be this worker's.  TROUPE_ENOMEM, where faults are contained. */
TROUPE_CHECKED int trp_contain_prepare(struct trp_worker *worker);

/** Gives it back.  No thread is this worker's any more. */
void trp_contain_release(struct trp_worker *worker);

/** The calling thread is this worker's from now on; `owned`: it is one of ours, not one that turns. */
void trp_contain_sit(struct trp_worker *worker, bool owned);

/** And is not any more, if it was. */
void trp_contain_rise(struct trp_worker *worker);

#endif
