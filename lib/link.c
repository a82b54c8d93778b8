/* SPDX-License-Identifier: MIT */
/*
 * link.c - links: two actors of which the other ends when one does, or is told.
 *
 * A link is two watches in one block (watch.h), one each way; the *half* of an actor is the watch whose subject it is.  Each
 * half is in its subject's list of watchers and, by the peer's pid, in its subject's trie of links.
 * Both halves come and go together, under both locks; but what the end of one actor takes out stays in the
 * trie of the other, FIRED, as the mark that the signal on its way still counts:
 *
 *               link                  the peer ends              signal opened, or unlink
 *     (nothing) ----> both ACTIVE ----------------> mine FIRED, ----------------------------> (nothing)
 *         ^                |                        in my trie
 *         +----------------+
 *            unlink, by either
 *
 * So an unlink that comes after the peer's end finds that half, reads in the notice of the other what the signal says, and
 * takes the half out; the signal then misses.  A link with one that is not there begins in the last state.
 *
 * A connection (troupe_connect()) is a link of which one half may be *mute*: its watcher is not told.  When the subject of a mute
 * half ends both halves go at once, since no signal will come that could take the other one out.
 *
 * Both ends of a link ending at once: each takes both locks to fire; the first one takes both halves out, the
 * other finds its list without it.  The signal then goes to an actor that is ending: dead, or drained.
 */
#include "link.h"

/* The block of a link of `self` with `peer`; NULL without memory.  halves[0] is ours; halves[1] tells us. */
static struct trp_pair *pair_new(struct troupe_actor *self, troupe_pid peer, unsigned flags)
{
    struct trp_pair *pair = trp_watch_alloc(trp_context_of(self), sizeof *pair);

    if (pair == NULL) {
        return NULL;
    }
    trp_watch_init(&pair->halves[0], TRP_NOTICE_LINK, 0, 2);
    trp_watch_init(&pair->halves[1], TRP_NOTICE_LINK, 1, 2);
    if (flags & TROUPE_PRIORITY) {
        pair->halves[1].notice.message.flags |= TRP_MESSAGE_PRIORITY;
    }
    pair->halves[0].watcher = peer;
    pair->halves[1].watcher = trp_actor_pid(self);
    return pair;
}

/* Of a pair that was not entered, or of which the caller took both halves out while they were active. */
static void pair_free(struct trp_context *context, struct trp_pair *pair)
{
    trp_watch_free(context, &pair->halves[0].notice);
}

/* The half of `extra` of its link with `peer`, or NULL.  Under its lock. */
static struct trp_watch *find_link(const struct trp_extra *extra, troupe_pid peer)
{
    struct trp_trie *node = trp_trie_find(extra->links, trp_trie_mix(peer));

    return node == NULL ? NULL : trp_container_of(node, struct trp_watch, node);
}

/* Puts a half into the trie of `extra`.  Under the lock. */
static void attach_half(struct trp_extra *extra, struct trp_watch *half)
{
    half->notice.attached = true;
    trp_trie_insert(&extra->links, &half->node, trp_trie_mix(half->watcher));
}

/* Enters one half.  Under the lock. */
static void enter_half(struct trp_extra *extra, struct trp_watch *half)
{
    attach_half(extra, half);
    trp_watch_enter(extra, half);
    extra->link_count++;
}

/* Takes an active half out of its list.  Under the lock. */
static void leave_half(struct trp_watch *half)
{
    half->subject->link_count--;
    trp_watch_leave(half);
}

/* Takes a half out of its trie.  Under its subject's lock. */
static void detach_half(struct trp_extra *extra, struct trp_watch *half)
{
    trp_trie_remove(&extra->links, &half->node);
    half->notice.attached = false;
}

/* Lets an active link, of which `half` is ours, tell of what is in `mode`.  Under both locks. */
static void unmute(struct trp_watch *half, enum troupe_mode mode)
{
    if (mode & TROUPE_NOTIFY) {
        half->notice.mute = false;
    }
    if (mode & TROUPE_MONITOR) {
        trp_watch_other(half)->notice.mute = false;
    }
}

/* What an active link, of which `half` is ours, tells of.  Under our lock; the other half's bit changes under both. */
static enum troupe_mode mode_of(struct trp_watch *half)
{
    return (half->notice.mute ? 0U : (unsigned)TROUPE_NOTIFY) |
           (trp_watch_other(half)->notice.mute ? 0U : (unsigned)TROUPE_MONITOR);
}

/* Takes `mode` away from an active link, of which `half` is ours.  Under both locks.  False: nothing would be left of it. */
static bool narrow(struct trp_watch *half, enum troupe_mode mode)
{
    unsigned left = (unsigned)mode_of(half) & ~(unsigned)mode;

    if (left == 0) {
        return false;
    }
    half->notice.mute = (left & TROUPE_NOTIFY) == 0;
    trp_watch_other(half)->notice.mute = (left & TROUPE_MONITOR) == 0;
    return true;
}

/* Links two actors.  Under both locks.  1: they were linked before; then only the flag of what tells us counts, and the pair
 * is still the caller's, as after an error. */
static int enter_link(
    struct trp_extra *mine, struct trp_extra *theirs, uint32_t limit, struct trp_pair *pair)
{
    struct trp_watch *half = &pair->halves[0];
    struct trp_watch *before;

    if (theirs->sealed) {
        return TROUPE_EGONE;
    }
    before = find_link(mine, half->watcher);
    if (before != NULL && trp_watch_is_active(before)) {
        unmute(before, mode_of(half));
        trp_watch_other(before)->notice.message.flags |=
            trp_watch_other(half)->notice.message.flags & TRP_MESSAGE_PRIORITY;
    }
    if (before != NULL) {
        return 1;
    }
    if (mine->watcher_count >= limit || theirs->watcher_count >= limit) {
        return TROUPE_ELIMIT;
    }
    enter_half(mine, half);
    enter_half(theirs, &pair->halves[1]);
    return TROUPE_OK;
}

/* Takes the lock of `mine`, and if its link with `peer` is active that of the peer, whose block it returns: good as long as the
 * read section.  NULL: it is not active.  The peer may unlink, link or end before we have both: what counts is what is found
 * then. */
static struct trp_extra *lock_link(struct trp_extra *mine, troupe_pid peer)
{
    struct trp_extra *theirs = NULL;
    struct trp_watch *half;

    trp_lock_take(&mine->lock);
    half = find_link(mine, peer);
    if (half != NULL && trp_watch_is_active(half)) {
        theirs = trp_watch_other(half)->subject;
        (void)trp_watch_lock_also(mine, theirs);
    }
    return theirs;
}

/* Takes both halves of an active link out.  Under both locks. */
static void unlink_both(struct trp_watch *half)
{
    struct trp_watch *other = trp_watch_other(half);

    detach_half(half->subject, half);
    leave_half(half);
    detach_half(other->subject, other);
    leave_half(other);
}

/* Takes `mode` from the link of `self` with `peer`, whatever state it is in, and ends it if nothing is left.
 * TROUPE_FLUSH_NONE: it has not ended.  TROUPE_FLUSH_TOLD: `out_reason`, if not NULL, is what its signal says. */
static enum troupe_flush end_link(struct troupe_actor *self, troupe_pid peer, enum troupe_mode mode,
    struct troupe_reason *out_reason)
{
    struct trp_context *context = trp_context_of(self);
    struct trp_extra *mine = trp_actor_extra(self);
    struct trp_extra *theirs = lock_link(mine, peer);
    struct trp_watch *half = find_link(mine, peer);
    bool active = half != NULL && trp_watch_is_active(half);

    if (active ? narrow(half, mode) : half != NULL && (mode & TROUPE_MONITOR) == 0) {
        /* Something is left.  Or the peer has ended, and its signal is what the caller keeps. */
        half = NULL;
    } else if (active) {
        unlink_both(half);
    } else if (half != NULL) {
        detach_half(mine, half);
    }
    trp_watch_unlock(mine, theirs);
    if (half == NULL) {
        return TROUPE_FLUSH_NONE;
    }
    if (active) {
        pair_free(context, trp_watch_pair(half));
        return TROUPE_FLUSH_ACTIVE;
    }
    if (out_reason != NULL) {
        *out_reason = trp_reason_copy(&trp_watch_other(half)->notice.body.exited.reason);
    }
    trp_watch_drop(context, &half->notice);
    return TROUPE_FLUSH_TOLD;
}

/* Takes a link back that was made with one who has ended; false if its end has told us: the signal is on its way. */
static bool take_link_back(struct troupe_actor *self, struct trp_extra *theirs, troupe_pid peer)
{
    struct trp_context *context = trp_context_of(self);
    struct trp_extra *mine = trp_actor_extra(self);
    struct trp_watch *half;
    bool active;

    trp_watch_lock(mine, theirs);
    half = find_link(mine, peer);
    active = half != NULL && trp_watch_is_active(half);
    if (active) {
        unlink_both(half);
    }
    trp_watch_unlock(mine, theirs);
    if (active) {
        pair_free(context, trp_watch_pair(half));
    }
    return active;
}

/* Links `self` with `actor`, which has `pid`.  TROUPE_EGONE: it is not there any more. */
static int link_with(struct troupe_actor *self, struct troupe_actor *actor, troupe_pid pid,
    enum troupe_mode mode, unsigned flags)
{
    struct trp_context *context = trp_context_of(self);
    struct trp_extra *mine = trp_actor_need_extra(context, self);
    struct trp_extra *theirs = trp_actor_need_extra(context, actor);
    struct trp_pair *pair;
    int error;

    if (mine == NULL || theirs == NULL) {
        return TROUPE_ENOMEM;
    }
    mine->listens |= (flags & TROUPE_PRIORITY) != 0;
    pair = pair_new(self, pid, flags);
    if (pair == NULL) {
        return TROUPE_ENOMEM;
    }
    pair->halves[0].notice.mute = (mode & TROUPE_NOTIFY) == 0;
    pair->halves[1].notice.mute = (mode & TROUPE_MONITOR) == 0;
    trp_watch_lock(mine, theirs);
    error = enter_link(mine, theirs, trp_watch_limit(self), pair);
    trp_watch_unlock(mine, theirs);
    if (error != TROUPE_OK) {
        pair_free(context, pair);
    }
    if (error == TROUPE_OK && !trp_watch_is_there(self->runtime, theirs, pid) &&
        take_link_back(self, theirs, pid)) {
        return TROUPE_EGONE;
    }
    return error < 0 ? error : TROUPE_OK;
}

int trp_link_newborn(struct troupe_actor *self, struct troupe_actor *newborn)
{
    return link_with(self, newborn, trp_actor_pid(newborn), TROUPE_PEER, 0);
}

/* Whether a link with `peer` was there before, else puts our half into the trie.  Under the locks.  One that is active still,
 * since the peer has not come to it on its way out, will tell us. */
static bool attach_told(struct trp_extra *mine, struct trp_pair *pair)
{
    struct trp_watch *half = find_link(mine, pair->halves[0].watcher);

    if (half != NULL && trp_watch_is_active(half)) {
        unmute(half, TROUPE_MONITOR);
    }
    if (half != NULL) {
        return true;
    }
    attach_half(mine, &pair->halves[0]);
    return false;
}

/* A link with nobody: one that traps exits gets a signal, any other an error. */
static int link_with_nobody(struct troupe_actor *self, troupe_pid pid, unsigned flags)
{
    struct trp_context *context = trp_context_of(self);
    struct trp_extra *mine = trp_actor_need_extra(context, self);
    struct troupe_reason reason = trp_reason_noproc();
    struct trp_pair *pair;
    struct trp_extra *theirs;
    bool is_linked;

    if (!self->trap_exit) {
        return TROUPE_EGONE;
    }
    if (mine == NULL) {
        return TROUPE_ENOMEM;
    }
    mine->listens |= (flags & TROUPE_PRIORITY) != 0;
    pair = pair_new(self, pid, flags);
    if (pair == NULL) {
        return TROUPE_ENOMEM;
    }
    trp_watch_write(&pair->halves[1], &reason);
    theirs = lock_link(mine, pid);
    is_linked = attach_told(mine, pair);
    trp_watch_unlock(mine, theirs);
    if (is_linked) {
        pair_free(context, pair);
    } else {
        trp_watch_send(context, &pair->halves[1]);
    }
    return TROUPE_OK;
}

static bool is_mode(enum troupe_mode mode)
{
    return mode >= TROUPE_MONITOR && mode <= TROUPE_PEER;
}

static int connect_with(
    struct troupe_actor *self, troupe_pid pid, enum troupe_mode mode, unsigned flags)
{
    struct troupe_actor *actor;
    int error = TROUPE_EGONE;

    if (!trp_actor_is_mine(self) || !trp_pid_is_actor(pid) || !is_mode(mode) ||
        (flags & ~TROUPE_PRIORITY) != 0) {
        return TROUPE_EINVAL;
    }
    if (pid == trp_actor_pid(self)) {
        return TROUPE_OK;
    }
    actor = trp_actor_find(self->runtime, pid);
    if (actor != NULL) {
        error = link_with(self, actor, pid, mode, flags);
    }
    if (error == TROUPE_EGONE && mode == TROUPE_NOTIFY) {
        /* Nobody is there to be told. */
        return TROUPE_OK;
    }
    return error == TROUPE_EGONE ? link_with_nobody(self, pid, flags) : error;
}

int troupe_connect(struct troupe_actor *self, troupe_pid pid, enum troupe_mode mode)
{
    TRP_INSIDE(self);
    return connect_with(self, pid, mode, 0);
}

int troupe_link_with(struct troupe_actor *self, troupe_pid pid, unsigned flags)
{
    TRP_INSIDE(self);
    return connect_with(self, pid, TROUPE_PEER, flags);
}

int troupe_link(struct troupe_actor *self, troupe_pid pid)
{
    return troupe_link_with(self, pid, 0);
}

int troupe_unlink_flush(struct troupe_actor *self, troupe_pid pid, struct troupe_reason *out_reason)
{
    TRP_INSIDE(self);
    if (!trp_actor_is_mine(self) || !trp_pid_is_actor(pid)) {
        return TROUPE_EINVAL;
    }
    if (trp_actor_extra(self) == NULL) {
        return TROUPE_FLUSH_NONE;
    }
    return end_link(self, pid, TROUPE_PEER, out_reason);
}

void troupe_unlink(struct troupe_actor *self, troupe_pid pid)
{
    TRP_INSIDE(self);
    (void)troupe_unlink_flush(self, pid, NULL);
}

/* ---- some of a link ---- */

int troupe_disconnect(struct troupe_actor *self, troupe_pid pid, enum troupe_mode mode)
{
    TRP_INSIDE(self);
    if (!trp_actor_is_mine(self) || !trp_pid_is_actor(pid) || !is_mode(mode)) {
        return TROUPE_EINVAL;
    }
    if (trp_actor_extra(self) != NULL) {
        (void)end_link(self, pid, mode, NULL);
    }
    return TROUPE_OK;
}

int troupe_connected(struct troupe_actor *self, troupe_pid pid)
{
    TRP_INSIDE(self);
    struct trp_extra *mine;
    enum troupe_mode mode = 0;
    struct trp_watch *half;

    if (!trp_actor_is_mine(self) || !trp_pid_is_actor(pid)) {
        return TROUPE_EINVAL;
    }
    mine = trp_actor_extra(self);
    if (mine == NULL) {
        return 0;
    }
    trp_lock_take(&mine->lock);
    half = find_link(mine, pid);
    if (half != NULL && trp_watch_is_active(half)) {
        mode = mode_of(half);
    }
    trp_lock_give(&mine->lock);
    return (int)mode;
}

/* ---- reception ---- */

bool trp_link_open(struct troupe_actor *self, struct trp_watch *watch)
{
    struct trp_extra *extra = trp_actor_extra(self);
    struct trp_watch *half = trp_watch_other(watch);
    bool linked;

    trp_lock_take(&extra->lock);
    linked = half->notice.attached;
    if (linked) {
        detach_half(extra, half);
    }
    trp_lock_give(&extra->lock);
    if (linked) {
        trp_watch_drop(trp_context_of(self), &half->notice);
    }
    return linked;
}

bool trp_link_stands(const struct troupe_actor *self, struct trp_watch *watch)
{
    struct trp_extra *extra = trp_actor_extra((struct troupe_actor *)(uintptr_t)self);
    bool linked;

    trp_lock_take(&extra->lock);
    linked = trp_watch_other(watch)->notice.attached;
    trp_lock_give(&extra->lock);
    return linked;
}

/* ---- the end ---- */

bool trp_link_leave(struct trp_watch *half)
{
    bool is_told = !half->notice.mute;

    if (!is_told) {
        unlink_both(half);
        return false;
    }
    detach_half(half->subject, half);
    leave_half(half);
    leave_half(trp_watch_other(half));
    return true;
}

unsigned trp_link_end_all(struct troupe_actor *self, unsigned budget)
{
    struct trp_extra *extra = trp_actor_extra(self);

    /* No peer comes here any more: it would by a half that is active. */
    while (extra->links != NULL && budget > 0) {
        struct trp_watch *half = trp_container_of(extra->links, struct trp_watch, node);

        detach_half(extra, half);
        trp_watch_drop(trp_context_of(self), &half->notice);
        budget--;
    }
    return budget;
}
