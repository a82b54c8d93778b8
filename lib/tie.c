/* SPDX-License-Identifier: MIT */
/*
 * tie.c - ties between a supervisor and the lives of its children.
 *
 * Two watches and a note in one block (watch.h), which a supervisor uses again for the next life, so that a restart needs no
 * memory.  It is idle when its maker alone holds it; bound it is held by four: the maker, and each of its three notices
 * until that has come back.
 */
#include "tie.h"

#include "child.h"
#include "tally.h"

const struct troupe_type trp_child_started = TROUPE_SIGNAL;

struct trp_tie *trp_tie_new(struct trp_context *context)
{
    struct trp_tie *tie = trp_watch_alloc(context, sizeof *tie);

    if (tie == NULL) {
        return NULL;
    }
    trp_watch_init(&tie->pair.halves[0], TRP_NOTICE_TIE_DOWN, 0, 1);
    trp_watch_init(&tie->pair.halves[1], TRP_NOTICE_TIE_EXIT, 1, 1);
    trp_notice_init(&tie->note.notice, TRP_NOTICE_TIE_NOTE, TRP_SIDE_NOTE, 1);
    tie->owner = NULL;
    tie->child = TROUPE_NOBODY;
    tie->handled = 0;
    tie->keep_mailbox = false;
    return tie;
}

void trp_tie_disown(struct trp_tie *tie)
{
    tie->owner = NULL;
}

void trp_tie_free(struct trp_context *context, struct trp_tie *tie)
{
    if (tie != NULL) {
        tie->owner = NULL;
        trp_watch_drop(context, &tie->pair.halves[0].notice);
    }
}

bool trp_tie_is_idle(const struct trp_tie *tie)
{
    /* acquire: what the others did with the block is done.  PAIR watch.refs: trp_watch_drop(). */
    return atomic_load_explicit(&tie->pair.halves[0].notice.refs, memory_order_acquire) == 1;
}

void *trp_tie_owner(const struct troupe_message *msg)
{
    struct trp_notice *notice = trp_notice_of(msg);

    if (msg->kind != TRP_MESSAGE_NOTICE || !trp_notice_is_tie(notice)) {
        return NULL;
    }
    return trp_notice_tie(notice)->owner;
}

uint64_t trp_tie_handled(const struct trp_tie *tie)
{
    return tie->handled;
}

int trp_tie_bind(
    struct troupe_actor *self, struct troupe_actor *child, struct trp_tie *tie, void *owner)
{
    struct trp_extra *mine = trp_actor_need_extra(trp_context_of(self), self);
    struct trp_extra *theirs = trp_actor_need_extra(trp_context_of(self), child);
    struct trp_watch *down = &tie->pair.halves[0];
    struct trp_watch *exit = &tie->pair.halves[1];

    if (mine == NULL || theirs == NULL) {
        return TROUPE_ENOMEM;
    }
    trp_assert(trp_tie_is_idle(tie));
    tie->owner = owner;
    tie->child = trp_actor_pid(child);
    tie->handled = 0;
    tie->keep_mailbox = child->keep_mailbox;
    down->watcher = trp_actor_pid(self);
    exit->watcher = tie->child;
    tie->note.watcher = down->watcher;
    down->notice.attached = false;
    tie->note.notice.attached = false;
    /* relaxed: nobody else has the block; the locks publish it. */
    atomic_store_explicit(&down->notice.refs, 4, memory_order_relaxed);
    trp_watch_lock(mine, theirs);
    trp_assert(!theirs->sealed);
    trp_watch_enter(theirs, down);
    trp_watch_enter(mine, exit);
    theirs->parent_note = &tie->note;
    trp_watch_unlock(mine, theirs);
    return TROUPE_OK;
}

void trp_tie_unbind(struct troupe_actor *self, struct troupe_actor *child, struct trp_tie *tie)
{
    struct trp_extra *mine = trp_actor_extra(self);
    struct trp_extra *theirs = trp_actor_extra(child);
    struct trp_watch *down = &tie->pair.halves[0];

    trp_watch_lock(mine, theirs);
    trp_watch_leave(down);
    trp_watch_leave(&tie->pair.halves[1]);
    theirs->parent_note = NULL;
    trp_watch_unlock(mine, theirs);
    tie->owner = NULL;
    /* relaxed: nobody else has the block. */
    atomic_store_explicit(&down->notice.refs, 1, memory_order_relaxed);
}

/* ---- the note ---- */

/* Takes the note to the supervisor out, if it is there.  The token's holder, as whoever binds and unbinds is. */
static struct trp_note *take_note(struct trp_extra *extra)
{
    struct trp_note *note = extra->parent_note;

    extra->parent_note = NULL;
    return note;
}

void trp_tie_announce(struct troupe_actor *self)
{
    struct trp_extra *extra = trp_actor_extra(self);
    struct trp_note *note = extra == NULL ? NULL : take_note(extra);

    if (note != NULL) {
        trp_notice_address(&note->notice, &trp_child_started, trp_actor_pid(self));
        trp_notice_dispatch(trp_context_of(self), &note->notice, note->watcher, false);
    }
}

void trp_tie_started(struct troupe_actor *self)
{
    trp_tally_started(self);
    /* A supervisor has started when its children have, and says so itself. */
    if (self->behaviour != &trp_supervisor_behaviour) {
        trp_tie_announce(self);
    }
}

void trp_tie_drop_note(struct trp_context *context, struct trp_extra *extra)
{
    struct trp_note *note = take_note(extra);

    if (note != NULL) {
        trp_watch_drop(context, &note->notice);
    }
}

int trp_tie_open(struct trp_notice *notice)
{
    if (trp_notice_tie(notice)->owner == NULL) {
        return TROUPE_OK;
    }
    notice->attached = true;
    return TRP_OPEN_DELIVER;
}
