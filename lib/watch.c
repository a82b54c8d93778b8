/* SPDX-License-Identifier: MIT */
/*
 * watch.c - the record of who is told of whose end: blocks, lists, and how a notice is written and sent.
 *
 * What holds of it, and why each is told once, is in watch.h.
 */
#include "watch.h"

#include "alias.h"

#include <string.h>

/* For a result that changes nothing here. */
static void ignore(int result)
{
    (void)result;
}

/* Whose body was destroyed may still be asked for its reason (troupe_unlink_flush()): then it has no text. */

static void down_destroy(void *body)
{
    struct troupe_down *down = body;

    troupe_buffer_release(down->reason.text);
    down->reason.text = NULL;
}

static void exited_destroy(void *body)
{
    struct troupe_exited *exited = body;

    troupe_buffer_release(exited->reason.text);
    exited->reason.text = NULL;
}

const struct troupe_type troupe_down = TROUPE_TYPE_DESTROY(struct troupe_down, down_destroy);
const struct troupe_type troupe_exited = TROUPE_TYPE_DESTROY(struct troupe_exited, exited_destroy);

/* What a notice is that was not written yet. */
static const struct troupe_type unwritten = TROUPE_SIGNAL;

/* ---- blocks ---- */

/* Where the references of a notice's block are counted; the block begins there. */
static struct trp_notice *holder_of(struct trp_notice *notice)
{
    if (trp_notice_is_tie(notice)) {
        return &trp_notice_tie(notice)->pair.halves[0].notice;
    }
    return notice->kind == TRP_NOTICE_LINK ? &trp_watch_pair(trp_watch_of(notice))->halves[0].notice
                                           : notice;
}

static size_t block_size(const struct trp_notice *notice)
{
    if (trp_notice_is_tie(notice)) {
        return sizeof(struct trp_tie);
    }
    if (notice->kind == TRP_NOTICE_MONITOR && notice->side == TRP_SIDE_NAMED) {
        const struct trp_named *named = (const struct trp_named *)notice;

        return sizeof *named + strlen(named->name) + 1;
    }
    if (notice->kind == TRP_NOTICE_MONITOR && notice->side == TRP_SIDE_JOIN) {
        return sizeof(struct trp_join);
    }
    if (notice->kind == TRP_NOTICE_SENT && notice->side == TRP_SIDE_REFERENCE) {
        return sizeof(struct troupe_reference);
    }
    if (notice->kind == TRP_NOTICE_MONITOR && notice->side == TRP_SIDE_ALIASED) {
        return sizeof(struct trp_aliased);
    }
    return notice->kind == TRP_NOTICE_LINK ? sizeof(struct trp_pair) : sizeof(struct trp_watch);
}

void trp_watch_free(struct trp_context *context, struct trp_notice *first)
{
    trp_pool_free(&context->pool, first, trp_pool_class(block_size(first)));
}

void trp_watch_drop(struct trp_context *context, struct trp_notice *notice)
{
    struct trp_notice *first = holder_of(notice);

    /* acq_rel: all that the others did with the block is done before it is used again.  PAIR watch.refs: itself. */
    if (atomic_fetch_sub_explicit(&first->refs, 1, memory_order_acq_rel) == 1) {
        trp_watch_free(context, first);
    }
}

void trp_notice_init(
    struct trp_notice *notice, enum trp_notice_kind kind, uint8_t side, uint32_t refs)
{
    notice->message.kind = TRP_MESSAGE_NOTICE;
    notice->message.block = 0;
    notice->message.flags = TRP_MESSAGE_EMPTIED;
    notice->message.type = &unwritten;
    notice->message.size = 0;
    notice->kind = (uint8_t)kind;
    notice->side = side;
    notice->attached = false;
    notice->mute = false;
    atomic_init(&notice->state, TRP_WATCH_FIRED);
    atomic_init(&notice->refs, refs);
}

void trp_watch_init(struct trp_watch *watch, enum trp_notice_kind kind, uint8_t side, uint32_t refs)
{
    trp_notice_init(&watch->notice, kind, side, refs);
    trp_list_init(&watch->told);
    watch->node.child[0] = NULL;
    watch->node.child[1] = NULL;
    watch->node.key = 0;
    watch->watcher = TROUPE_NOBODY;
    watch->subject = NULL;
}

struct trp_watch *trp_watch_new(
    struct trp_context *context, enum trp_notice_kind kind, uint32_t refs)
{
    struct trp_watch *watch = trp_watch_alloc(context, sizeof *watch);

    if (watch != NULL) {
        trp_watch_init(watch, kind, 0, refs);
    }
    return watch;
}

/* ---- lists: under the subject's lock ---- */

void trp_watch_lock(struct trp_extra *a, struct trp_extra *b)
{
    if (b == NULL) {
        trp_lock_take(&a->lock);
        return;
    }
    trp_lock_take(a < b ? &a->lock : &b->lock);
    trp_lock_take(a < b ? &b->lock : &a->lock);
}

void trp_watch_unlock(struct trp_extra *a, struct trp_extra *b)
{
    trp_lock_give(&a->lock);
    if (b != NULL) {
        trp_lock_give(&b->lock);
    }
}

bool trp_watch_lock_also(struct trp_extra *mine, struct trp_extra *theirs)
{
    if (trp_lock_try(&theirs->lock)) {
        return true;
    }
    trp_lock_give(&mine->lock);
    trp_watch_lock(mine, theirs);
    return false;
}

static void set_state(struct trp_watch *watch, enum trp_watch_state state)
{
    /* release: what was written in its notice.  PAIR watch.state: acquire in trp_watch_is_active(). */
    atomic_store_explicit(&watch->notice.state, (uint8_t)state, memory_order_release);
}

void trp_watch_enter(struct trp_extra *subject, struct trp_watch *watch)
{
    watch->subject = subject;
    set_state(watch, TRP_WATCH_ACTIVE);
    trp_list_push(&subject->watchers, &watch->told);
    subject->watcher_count++;
}

void trp_watch_leave(struct trp_watch *watch)
{
    trp_list_remove(&watch->told);
    watch->subject->watcher_count--;
    set_state(watch, TRP_WATCH_FIRED);
}

bool trp_watch_is_active(const struct trp_watch *watch)
{
    /* acquire: if it was told, what it was told; and the use of `subject` stays behind it.
     * PAIR watch.state: release in set_state(). */
    return atomic_load_explicit(&watch->notice.state, memory_order_acquire) == TRP_WATCH_ACTIVE;
}

bool trp_watch_take_back(struct trp_watch *watch)
{
    bool active = false;

    if (trp_watch_is_active(watch)) {
        struct trp_extra *subject = watch->subject;

        trp_lock_take(&subject->lock);
        active = trp_watch_is_active(watch);
        if (active) {
            trp_watch_leave(watch);
        }
        trp_lock_give(&subject->lock);
    }
    return active;
}

bool trp_watch_is_there(struct troupe_runtime *runtime, struct trp_extra *subject, troupe_pid pid)
{
    /* relaxed, both: what it says holds of the block, whenever it is read; the lists have the lock. */
    if (atomic_load_explicit(&subject->lasts, memory_order_relaxed)) {
        return true;
    }
    /* seq_cst: the entry before must not pass the look at the pid.
     * PAIR watch.seal: the fence in trp_notify_watchers(). */
    atomic_thread_fence(memory_order_seq_cst);
    if (trp_actor_find(runtime, pid) == NULL) {
        return false;
    }
    atomic_store_explicit(&subject->lasts, true, memory_order_relaxed);
    return true;
}

uint32_t trp_watch_limit(const struct troupe_actor *actor)
{
    return trp_runtime_limits(actor->runtime)->actor_watches;
}

/* ---- telling ---- */

struct troupe_reason trp_reason_noproc(void)
{
    return (struct troupe_reason){.kind = TROUPE_EXIT_NOPROC};
}

struct troupe_reason trp_reason_copy(const struct troupe_reason *reason)
{
    struct troupe_reason copy = *reason;

    if (copy.text != NULL) {
        troupe_buffer_retain(copy.text);
    }
    return copy;
}

void trp_notice_address(
    struct trp_notice *notice, const struct troupe_type *type, troupe_pid sender)
{
    notice->message.type = type;
    notice->message.size = (uint32_t)type->size;
    notice->message.sender = sender;
    notice->message.flags &= TRP_MESSAGE_PRIORITY;
}

static void write_down(
    struct trp_notice *notice, troupe_pid pid, const struct troupe_reason *reason)
{
    trp_notice_address(notice, &troupe_down, pid);
    notice->body.down.pid = pid;
    notice->body.down.reason = trp_reason_copy(reason);
}

void trp_notice_write_exited(
    struct trp_notice *notice, troupe_pid pid, const struct troupe_reason *reason, bool linked)
{
    trp_notice_address(notice, &troupe_exited, pid);
    notice->body.exited.pid = pid;
    notice->body.exited.reason = trp_reason_copy(reason);
    notice->body.exited.linked = linked;
}

void trp_notice_dispatch(
    struct trp_context *context, struct trp_notice *notice, troupe_pid to, bool urgent)
{
    struct troupe_actor *actor = trp_actor_find(context->runtime, to);
    uint32_t signals = urgent ? TRP_SIGNAL_EXIT : 0;

    if (actor == NULL || !trp_alias_admits(context, actor, notice)) {
        trp_notice_retire(context, &notice->message);
        return;
    }
    if (notice->message.flags & TRP_MESSAGE_PRIORITY) {
        if (!trp_send_first(context, actor, &notice->message, signals)) {
            trp_notice_retire(context, &notice->message);
        }
        return;
    }
    trp_send_reserved(context, actor, &notice->message);
    if (signals != 0) {
        trp_actor_signal(context, actor, signals);
    }
}

void trp_watch_write(struct trp_watch *watch, const struct troupe_reason *reason)
{
    struct trp_notice *notice = &watch->notice;

    switch (notice->kind) {
    case TRP_NOTICE_MONITOR:
        write_down(notice, notice->body.down.pid, reason);
        return;
    case TRP_NOTICE_TIE_DOWN:
        notice->body.down.ref = 0;
        write_down(notice, trp_watch_other(watch)->watcher, reason);
        return;
    default:
        trp_notice_write_exited(notice, trp_watch_other(watch)->watcher, reason, true);
    }
}

void trp_watch_send(struct trp_context *context, struct trp_watch *watch)
{
    struct trp_notice *notice = &watch->notice;
    bool urgent = notice->message.type == &troupe_exited &&
                  notice->body.exited.reason.kind != TROUPE_EXIT_NORMAL;

    trp_notice_dispatch(context, notice, watch->watcher, urgent);
}

void trp_notice_retire(struct trp_context *context, struct troupe_message *msg)
{
    struct trp_notice *notice = trp_notice_of(msg);

    trp_message_empty(msg);
    if (notice->kind == TRP_NOTICE_TIE_DOWN && !notice->attached &&
        trp_notice_tie(notice)->keep_mailbox) {
        /* Nobody will restart this child: its supervisor has ended. */
        ignore(trp_actor_release(context, trp_notice_tie(notice)->child));
    }
    trp_watch_drop(context, notice);
}
