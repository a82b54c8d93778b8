/* SPDX-License-Identifier: MIT */
/*
 * exit_signal.c - exit signals that are sent by themselves, and trapping.
 *
 * Such a signal is a watch in nobody's list (watch.h); its key is the incarnation that it is meant for, so that it misses
 * the next one.  Reason KILL is no message at all: a bit in the cell, which nobody can trap.
 *
 * An *order* is such a signal as well: by troupe_stop(), or because the last reference is gone (reference.c).  It waits for
 * its turn, ends its receiver although its reason is normal, and is passed over by whoever looks for a signal that
 * overtakes.  One that traps exits gets what troupe_runtime_stop() would send it, in the same turn.  A *dismissal*, by a pool
 * (crew.c), is an order with reason shutdown that goes by if its receiver still owes answers when it has handled what came
 * before: then whoever sent it does so again.
 */
#include "exit_signal.h"

bool troupe_trap_exit(struct troupe_actor *self, bool on)
{
    TRP_INSIDE(self);
    bool before;

    if (!trp_actor_is_mine(self)) {
        return false;
    }
    before = self->trap_exit;
    self->trap_exit = on;
    return before;
}

/* Whether an exit sent to `actor` would still find somebody. */
static bool takes_exits(const struct troupe_actor *actor)
{
    /* A moment's view; the signal may always come too late.  acquire: if it is NEW the incarnation is the new one's.
     * PAIR actor.phase: release in rest(). */
    unsigned phase = atomic_load_explicit(&actor->phase, memory_order_acquire);

    return phase >= TRP_PHASE_NEW && phase <= TRP_PHASE_RUNNING;
}

/* The actor `pid` if an exit would find it, else NULL. */
static struct troupe_actor *find(struct trp_context *context, troupe_pid pid)
{
    struct troupe_actor *actor = trp_actor_find(context->runtime, pid);

    return actor != NULL && takes_exits(actor) ? actor : NULL;
}

static void write_signal(struct trp_watch *watch, const struct troupe_actor *actor, troupe_pid from,
    enum troupe_exit kind)
{
    struct troupe_reason reason = {.kind = kind};

    watch->node.key = troupe_incarnation(actor);
    trp_notice_write_exited(&watch->notice, from, &reason, false);
}

static int send_exit(
    struct trp_context *context, troupe_pid from, troupe_pid pid, enum troupe_exit kind)
{
    struct troupe_actor *actor = find(context, pid);
    struct trp_watch *watch;

    if (actor == NULL) {
        return TROUPE_EGONE;
    }
    if (kind == TROUPE_EXIT_KILL) {
        trp_actor_signal(context, actor, TRP_SIGNAL_KILL);
        return TROUPE_OK;
    }
    watch = trp_watch_new(context, TRP_NOTICE_SENT, 1);
    if (watch == NULL) {
        return TROUPE_ENOMEM;
    }
    write_signal(watch, actor, from, kind);
    trp_notice_dispatch(context, &watch->notice, pid, kind != TROUPE_EXIT_NORMAL || from == pid);
    return TROUPE_OK;
}

static bool is_sendable(enum troupe_exit kind)
{
    switch (kind) {
    case TROUPE_EXIT_NORMAL:
    case TROUPE_EXIT_SHUTDOWN:
    case TROUPE_EXIT_KILLED:
    case TROUPE_EXIT_KILL:
    case TROUPE_EXIT_NOPROC:
        return true;
    case TROUPE_EXIT_ERROR:
        break;
    }
    return false;
}

int troupe_send_exit(struct troupe_actor *self, troupe_pid pid, enum troupe_exit kind)
{
    TRP_INSIDE(self);
    if (!trp_actor_is_mine(self) || !trp_pid_is_actor(pid) || !is_sendable(kind)) {
        return TROUPE_EINVAL;
    }
    return send_exit(trp_context_of(self), trp_actor_pid(self), pid, kind);
}

int troupe_runtime_exit(struct troupe_runtime *runtime, troupe_pid pid, enum troupe_exit kind)
{
    struct trp_visit visit;
    int error;

    if (!trp_pid_is_actor(pid) || !is_sendable(kind)) {
        return TROUPE_EINVAL;
    }
    TROUPE_TRY(trp_context_enter(runtime, &visit));
    error = send_exit(visit.context, TROUPE_NOBODY, pid, kind);
    trp_context_leave(&visit);
    return error;
}

int troupe_kill(struct troupe_actor *self, troupe_pid pid)
{
    TRP_INSIDE(self);
    return troupe_send_exit(self, pid, TROUPE_EXIT_KILL);
}

/* ---- orders ---- */

void trp_exit_signal_write_order(struct trp_watch *watch, const struct troupe_actor *actor)
{
    write_signal(watch, actor, TROUPE_NOBODY, TROUPE_EXIT_NORMAL);
}

/* `side`: ORDER or DISMISSAL. */
static int send_order(struct trp_context *context, troupe_pid from, troupe_pid pid,
    enum troupe_exit kind, enum trp_side side)
{
    struct troupe_actor *actor = find(context, pid);
    struct trp_watch *watch;

    if (actor == NULL) {
        return TROUPE_EGONE;
    }
    watch = trp_watch_alloc(context, sizeof *watch);
    if (watch == NULL) {
        return TROUPE_ENOMEM;
    }
    trp_watch_init(watch, TRP_NOTICE_SENT, (uint8_t)side, 1);
    write_signal(watch, actor, from, kind);
    trp_notice_dispatch(context, &watch->notice, pid, false);
    return TROUPE_OK;
}

int trp_exit_signal_dismiss(struct trp_context *context, troupe_pid from, troupe_pid pid)
{
    return send_order(context, from, pid, TROUPE_EXIT_SHUTDOWN, TRP_SIDE_DISMISSAL);
}

int troupe_stop(struct troupe_runtime *runtime, troupe_pid pid, enum troupe_stop how)
{
    struct trp_visit visit;
    int error;

    if (!trp_pid_is_actor(pid) || (how != TROUPE_STOP_DRAIN && how != TROUPE_STOP_NOW)) {
        return TROUPE_EINVAL;
    }
    TROUPE_TRY(trp_context_enter(runtime, &visit));
    error = how == TROUPE_STOP_DRAIN
                ? send_order(visit.context, TROUPE_NOBODY, pid, TROUPE_EXIT_NORMAL, TRP_SIDE_ORDER)
                : send_exit(visit.context, TROUPE_NOBODY, pid, TROUPE_EXIT_SHUTDOWN);
    trp_context_leave(&visit);
    return error;
}

/* ---- reception ---- */

bool trp_exit_signal_is_deadly(const struct troupe_actor *self, const struct trp_notice *notice)
{
    const struct troupe_exited *exited = &notice->body.exited;

    return exited->reason.kind != TROUPE_EXIT_NORMAL || trp_notice_is_order(notice) ||
           (!exited->linked && exited->pid == trp_actor_pid(self));
}

bool trp_exit_signal_is_meant_for(const struct trp_watch *watch, const struct troupe_actor *self)
{
    return watch->node.key == troupe_incarnation(self);
}

/* What it waits for in the middle of its main is a receive that ends with it. */
static bool owes_answers(const struct troupe_actor *self, const struct trp_extra *extra)
{
    return !trp_list_is_empty(&extra->held) ||
           (self->behaviour->main == NULL &&
               (!trp_list_is_empty(&extra->calls) || !trp_list_is_empty(&extra->jobs)));
}

bool trp_exit_signal_has_its_turn(const struct trp_watch *watch, struct troupe_actor *self)
{
    struct trp_extra *extra = trp_actor_extra(self);

    if (!trp_exit_signal_is_meant_for(watch, self)) {
        return false;
    }
    if (watch->notice.side != TRP_SIDE_DISMISSAL || extra == NULL || !owes_answers(self, extra)) {
        return true;
    }
    /* relaxed: whoever looks goes by nothing else of ours. */
    atomic_store_explicit(&extra->deferred, true, memory_order_relaxed);
    return false;
}

bool trp_exit_signal_is_deferred(struct troupe_runtime *runtime, troupe_pid pid)
{
    struct troupe_actor *actor = trp_actor_find(runtime, pid);
    struct trp_extra *extra = actor != NULL ? trp_actor_extra(actor) : NULL;

    /* relaxed: as above. */
    return extra != NULL && atomic_load_explicit(&extra->deferred, memory_order_relaxed) &&
           atomic_exchange_explicit(&extra->deferred, false, memory_order_relaxed);
}

bool trp_exit_signal_is_command(const struct troupe_actor *self, const struct troupe_exited *exited)
{
    return exited->pid == self->parent || exited->pid == TROUPE_NOBODY;
}

int trp_exit_signal_open(struct troupe_actor *self, struct trp_notice *notice)
{
    struct troupe_reason reason;

    if (self->trap_exit) {
        if (trp_notice_is_order(notice)) {
            notice->body.exited.reason.kind = TROUPE_EXIT_SHUTDOWN;
        }
        return TRP_OPEN_DELIVER;
    }
    if (!trp_exit_signal_is_deadly(self, notice)) {
        return TROUPE_OK;
    }
    reason = trp_reason_copy(&notice->body.exited.reason);
    trp_actor_set_reason(self, &reason);
    return TRP_OPEN_EXIT;
}
