/* SPDX-License-Identifier: MIT */
/*
 * notify.c - exit steps 8 and 9: the end of an actor is told to all who watch it.
 *
 * A loop over its lists with a budget, resumable because each step leaves the lists complete.  Nothing recurses: the end of a
 * linked actor is that actor's own affair.  A tie is told last, in the very step that opens the seal again, since the
 * supervisor may tie the next life at once.
 */
#include "notify.h"

#include "alias.h"
#include "link.h"
#include "monitor.h"
#include "tally.h"
#include "tie.h"

/* For a result that changes nothing here. */
static void ignore(int result)
{
    (void)result;
}

/* The next watcher to tell, the tie to the supervisor excepted; NULL when there is none.  Under the lock. */
static struct trp_watch *next_told(struct trp_extra *extra)
{
    struct trp_list *entry = extra->watchers.next;

    while (entry != &extra->watchers) {
        struct trp_watch *watch = trp_container_of(entry, struct trp_watch, told);

        if (watch->notice.kind != TRP_NOTICE_TIE_DOWN) {
            return watch;
        }
        entry = entry->next;
    }
    return NULL;
}

/* The tie of `extra` to its supervisor, or NULL.  Under the lock, when nobody else is left. */
static struct trp_watch *last_tie(struct trp_extra *extra)
{
    struct trp_watch *last = trp_list_is_empty(&extra->watchers)
                                 ? NULL
                                 : trp_container_of(extra->watchers.prev, struct trp_watch, told);

    return last != NULL && last->notice.kind == TRP_NOTICE_TIE_DOWN ? last : NULL;
}

/* Takes a half of a tie out with its other half, whose subject stays; under both locks.  What the other one's holder had of
 * the block is let go by the caller. */
static void leave_both(struct trp_watch *half)
{
    trp_watch_leave(half);
    trp_watch_leave(trp_watch_other(half));
}

/* Takes a half of a link or tie out under both locks, and writes its notice, unless the other side was faster.  True: it is
 * to be sent. */
static bool claim_half(struct trp_context *context, struct trp_extra *mine, struct trp_watch *half,
    struct trp_extra *theirs, const struct troupe_reason *reason)
{
    bool claimed;
    bool is_told = true;
    unsigned orphans = 0;

    trp_watch_lock(mine, theirs);
    claimed = next_told(mine) == half;
    if (claimed && half->notice.kind == TRP_NOTICE_LINK) {
        is_told = !half->notice.mute;
        if (is_told) {
            trp_watch_write(half, reason);
        }
        orphans = trp_link_leave(half) ? 0 : 2;
    } else if (claimed) {
        trp_watch_write(half, reason);
        leave_both(half);
        orphans = 1;
    }
    trp_watch_unlock(mine, theirs);
    for (unsigned i = 0; i < orphans; i++) {
        trp_watch_drop(context, &half->notice);
    }
    return claimed && is_told;
}

/* Who is left to be told.  After the seal it never grows. */
enum left {
    LEFT_NOBODY,
    LEFT_TIE, /* the supervisor, last */
    LEFT_SOME,
};

/* Under the lock. */
static enum left left_of(struct trp_extra *extra)
{
    if (trp_list_is_empty(&extra->watchers)) {
        return LEFT_NOBODY;
    }
    return next_told(extra) == NULL ? LEFT_TIE : LEFT_SOME;
}

/* Nobody may begin to watch it from here on; tells one who does. */
static enum left tell_one(struct troupe_actor *self, const struct troupe_reason *reason)
{
    struct trp_context *context = trp_context_of(self);
    struct trp_extra *mine = trp_actor_extra(self);
    struct trp_extra *theirs = NULL;
    struct trp_watch *watch;
    enum left left;

    trp_lock_take(&mine->lock);
    mine->sealed = true;
    watch = next_told(mine);
    if (watch != NULL && watch->notice.kind == TRP_NOTICE_MONITOR) {
        trp_watch_write(watch, reason);
        trp_watch_leave(watch);
    } else if (watch != NULL) {
        theirs = trp_watch_other(watch)->subject;
    }
    left = left_of(mine);
    trp_lock_give(&mine->lock);
    if (watch != NULL && (theirs == NULL || claim_half(context, mine, watch, theirs, reason))) {
        trp_watch_send(context, watch);
    }
    return left;
}

/* The last step: opens the seal of one that will live again, and tells its supervisor.  After that nothing of
 * this life may be touched. */
static void tell_supervisor(struct troupe_actor *self, const struct troupe_reason *reason)
{
    struct trp_context *context = trp_context_of(self);
    struct trp_extra *mine = trp_actor_extra(self);
    struct trp_extra *theirs = NULL;
    struct trp_watch *tie;

    trp_lock_take(&mine->lock);
    tie = last_tie(mine);
    if (tie != NULL) {
        theirs = trp_watch_other(tie)->subject;
        if (!trp_watch_lock_also(mine, theirs)) {
            tie = last_tie(mine);
        }
    }
    if (tie != NULL) {
        trp_watch_write(tie, reason);
        trp_notice_tie(&tie->notice)->handled = trp_tally_end(mine);
        leave_both(tie);
    }
    mine->sealed = !self->keep_mailbox;
    trp_watch_unlock(mine, theirs);
    if (tie != NULL) {
        trp_watch_drop(context, &tie->notice);
        trp_watch_send(context, tie);
        return;
    }
    if (self->keep_mailbox) {
        /* Nobody is there to restart it.  Finds nobody if it is being released already: the pid is withdrawn. */
        ignore(trp_actor_release(context, trp_actor_pid(self)));
    }
}

bool trp_notify_watchers(
    struct troupe_actor *self, const struct troupe_reason *reason, unsigned budget)
{
    struct trp_extra *extra;
    enum left left = LEFT_SOME;

    /* seq_cst: the pid was withdrawn before; that must not pass the look at `extra`.
     * PAIR watch.seal: the fence in trp_watch_is_there(). */
    atomic_thread_fence(memory_order_seq_cst);
    extra = trp_actor_extra(self);
    if (extra == NULL) {
        return true;
    }
    budget = trp_alias_end_all(self, budget);
    budget = trp_monitor_end_all(self, budget);
    while (budget > 0 && left == LEFT_SOME) {
        left = tell_one(self, reason);
        budget--;
    }
    if (budget > 0) {
        budget = trp_link_end_all(self, budget);
    }
    if (budget == 0) {
        return false;
    }
    trp_tie_drop_note(trp_context_of(self), extra);
    if (left == LEFT_TIE || self->keep_mailbox) {
        tell_supervisor(self, reason);
    }
    return true;
}
