/* SPDX-License-Identifier: MIT */
/*
 * link.c - links, monitors, exit signals: who is told that an actor ended, and why.
 *
 * The *subject* is whose end is told, the *watcher* who is told of it.  Every such relation is a *watch*: one block whose
 * first bytes are the message that will tell, so that telling needs no memory.  A watch stands in its
 * subject's list `watchers`, under the lock of the subject's extra block.
 *
 *   monitor   one watch; also in its watcher's trie of monitors, by ref
 *   link      two watches in one block, one each way; each also in its subject's trie of links, by the peer's pid
 *   tie       what a supervisor and one life of a child have (link.h): two watches and a note in one block
 *   sent      an exit signal of its own, in nobody's list
 *
 * A watch:
 *
 *                 created             seal of the subject, or noproc             spent, or never arrived
 *     (block) -------------> ACTIVE ------------------------------> FIRED ------------------------------> (block)
 *                              |    take out under the lock           the block is a message                 ^
 *                              |                                                                            |
 *                              +----------------------------------------------------------------------------+
 *                                   taken back: demonitor, unlink, end of the watcher, end of the peer
 *
 * Exactly one notice.  ACTIVE ends under the lock of the subject, and under it the watch leaves the list: either
 * the subject's end takes it out and sends it, or it is taken back; nobody can do both.  To get in, a watch
 * takes the same lock and looks at `sealed`: it is in the list before the seal and told the true reason,
 * or it is not and told NOPROC.  One case is left, that of a subject that had no extra block when it was
 * sealed, so that there was nothing to seal.  Its pid is withdrawn before it looks for the block; whoever
 * made the block looks for the pid again afterwards, each with a full fence between its write and its read, so one
 * of the two sees the other; if it is the watcher, it takes its watch back, and that was NOPROC.
 *
 * After demonitor nothing is handled.  The watcher's side of a watch (`attached`, the trie of monitors) belongs to the
 * watcher's token.  demonitor detaches it; open() drops a notice that is not attached.  So does the end of an
 * incarnation: it detaches all, and what is queued in a mailbox that is kept misses the next
 * incarnation without a number.  Unlink does the same with the half of the link that belongs to the caller: after
 * the peer's end that half stays in the caller's trie until the signal is opened or unlinked.  Signals that were sent
 * by themselves carry the incarnation they were meant for.
 *
 * Both ends of a link ending at once.  Each takes both locks to fire; the first one takes both halves out, the
 * other finds its list without it.  The signal then goes to an actor that is ending: dead, or drained.
 *
 * Locks.  At most two are held, in the order of their addresses, and nothing is sent or allocated under them.  A
 * subject's block is reached through a watch that is ACTIVE: the subject has then not finished its end, and its
 * block goes a grace period after that, which cannot pass while we are in a read section.
 *
 * Who frees a block.  Two parties hold it: the watcher's side, and the subject's side, which becomes the message.  Each
 * lets go once; the last one frees.  A tie is held by its supervisor as well, who uses it again.
 *
 * The end of an actor is a loop over its lists with a budget, resumable because each step leaves the lists
 * complete.  Nothing recurses: the end of a linked actor is that actor's own affair.  A tie is told last, in the very
 * step that opens the seal again, since the supervisor may tie the next life at once.
 */
#include "link.h"

#include "child.h"
#include "gate.h"
#include "trie.h"

#include <troupe/mailbox.h>

enum notice_kind {
    NOTICE_ROOT, /* no notice: stands first in a list and holds the root of a trie */
    NOTICE_MONITOR,
    NOTICE_LINK,
    NOTICE_SENT,
    NOTICE_TIE_DOWN, /* of a tie: tells the supervisor of the child's end */
    NOTICE_TIE_EXIT, /* of a tie: tells the child of the supervisor's end */
    NOTICE_TIE_NOTE, /* of a tie: tells the supervisor that init is over */
};

enum watch_state {
    WATCH_ACTIVE,
    WATCH_FIRED,
};

/* What a block of kind NOTICE begins with. */
struct notice {
    struct troupe_message message;
    union {
        struct troupe_down down; /* pid and ref stand here from the beginning */
        struct troupe_exited exited;
    } body;
    uint8_t kind;  /* set once */
    uint8_t side;  /* set once: which of two halves, or 2 for the note */
    bool attached; /* monitor, tie: watcher's token; link: in the subject's trie, under its lock */
    _Atomic uint8_t state; /* written under the subject's lock */
    _Atomic uint32_t refs; /* any thread; of a pair that of its first half */
};

struct watch {
    struct notice notice;
    struct trp_list told;      /* in the subject's watchers; under its lock */
    struct trp_trie node;      /* monitor: watcher's token; link: under the subject's lock */
    troupe_pid watcher;        /* set before it becomes ACTIVE */
    struct trp_extra *subject; /* the same */
};

struct note {
    struct notice notice;
    troupe_pid watcher;
};

struct pair {
    struct watch halves[2];
};

struct trp_tie {
    struct pair pair; /* [0] tells the supervisor, [1] the child */
    struct note note;
    void *owner; /* supervisor's token */
    troupe_pid child;
    bool keep_mailbox; /* of the child */
};

static_assert(
    offsetof(struct notice, body) == sizeof(struct troupe_message), "the body follows the header");
static_assert(sizeof(struct troupe_down) == sizeof(struct troupe_exited), "one body");
static_assert(sizeof(struct watch) <= 128, "a monitor is two cache lines");
static_assert(sizeof(struct pair) <= 256, "a link is four");
static_assert(sizeof(struct trp_tie) <= 384, "a tie is six");

/* For a result that changes nothing here. */
static void ignore(int result)
{
    (void)result;
}

static void down_destroy(void *body)
{
    struct troupe_down *down = body;

    troupe_buffer_release(down->reason.text);
}

static void exited_destroy(void *body)
{
    struct troupe_exited *exited = body;

    troupe_buffer_release(exited->reason.text);
}

const struct troupe_type troupe_down = TROUPE_TYPE_DESTROY(struct troupe_down, down_destroy);
const struct troupe_type troupe_exited = TROUPE_TYPE_DESTROY(struct troupe_exited, exited_destroy);
const struct troupe_type trp_child_started = TROUPE_SIGNAL;

/* ---- blocks ---- */

static struct notice *notice_of(const struct troupe_message *msg)
{
    return (struct notice *)(uintptr_t)msg;
}

static struct watch *watch_of(struct notice *notice)
{
    return trp_container_of(notice, struct watch, notice);
}

static struct pair *pair_of(struct watch *watch)
{
    return trp_container_of(watch - watch->notice.side, struct pair, halves);
}

static struct watch *other_half(struct watch *watch)
{
    return &pair_of(watch)->halves[1 - watch->notice.side];
}

static bool is_tie(const struct notice *notice)
{
    return notice->kind >= NOTICE_TIE_DOWN;
}

static struct trp_tie *tie_of(struct notice *notice)
{
    if (notice->kind == NOTICE_TIE_NOTE) {
        return trp_container_of(notice, struct trp_tie, note.notice);
    }
    return trp_container_of(pair_of(watch_of(notice)), struct trp_tie, pair);
}

/* Where the references of a notice's block are counted; the block begins there. */
static struct notice *holder_of(struct notice *notice)
{
    if (is_tie(notice)) {
        return &tie_of(notice)->pair.halves[0].notice;
    }
    return notice->kind == NOTICE_LINK ? &pair_of(watch_of(notice))->halves[0].notice : notice;
}

static size_t block_size(const struct notice *notice)
{
    if (is_tie(notice)) {
        return sizeof(struct trp_tie);
    }
    return notice->kind == NOTICE_LINK ? sizeof(struct pair) : sizeof(struct watch);
}

static void block_free(struct trp_context *context, struct notice *first)
{
    trp_pool_free(&context->pool, first, trp_pool_class(block_size(first)));
}

static void *block_new(struct trp_context *context, size_t size)
{
    return trp_pool_alloc(&context->pool, trp_pool_class(size));
}

/* Lets go of a block; the last one frees it. */
static void drop(struct trp_context *context, struct notice *notice)
{
    struct notice *first = holder_of(notice);

    /* acq_rel: all that the others did with the block is done before it is used again.  PAIR watch.refs: itself. */
    if (atomic_fetch_sub_explicit(&first->refs, 1, memory_order_acq_rel) == 1) {
        block_free(context, first);
    }
}

static void notice_init(struct notice *notice, enum notice_kind kind, uint8_t side, uint32_t refs)
{
    notice->message.kind = TRP_MESSAGE_NOTICE;
    notice->message.block = 0;
    notice->message.flags = TRP_MESSAGE_EMPTIED;
    notice->message.type = &trp_child_started;
    notice->message.size = 0;
    notice->kind = (uint8_t)kind;
    notice->side = side;
    notice->attached = false;
    atomic_init(&notice->state, WATCH_FIRED);
    atomic_init(&notice->refs, refs);
}

static void watch_init(struct watch *watch, enum notice_kind kind, uint8_t side, uint32_t refs)
{
    notice_init(&watch->notice, kind, side, refs);
    trp_list_init(&watch->told);
    watch->node.child[0] = NULL;
    watch->node.child[1] = NULL;
    watch->node.key = 0;
    watch->watcher = TROUPE_NOBODY;
    watch->subject = NULL;
}

/* A watch alone in its block. */
static struct watch *watch_new(struct trp_context *context, enum notice_kind kind, uint32_t refs)
{
    struct watch *watch = block_new(context, sizeof *watch);

    if (watch != NULL) {
        watch_init(watch, kind, 0, refs);
    }
    return watch;
}

static bool watch_is_active(const struct watch *watch)
{
    /* acquire: not needed for what it says, which is looked at again under the lock; it orders the use of
     * `subject` behind it.  PAIR watch.state: release in watch_set_state(). */
    return atomic_load_explicit(&watch->notice.state, memory_order_acquire) == WATCH_ACTIVE;
}

/* Under the subject's lock. */
static void watch_set_state(struct watch *watch, enum watch_state state)
{
    /* release: PAIR watch.state: acquire in watch_is_active(). */
    atomic_store_explicit(&watch->notice.state, (uint8_t)state, memory_order_release);
}

/* ---- lists: under the subject's lock ---- */

/* Takes two locks in the order of their addresses; one, if `b` is NULL. */
static void lock_both(struct trp_extra *a, struct trp_extra *b)
{
    if (b == NULL) {
        trp_lock_take(&a->lock);
        return;
    }
    trp_lock_take(a < b ? &a->lock : &b->lock);
    trp_lock_take(a < b ? &b->lock : &a->lock);
}

static void unlock_both(struct trp_extra *a, struct trp_extra *b)
{
    trp_lock_give(&a->lock);
    if (b != NULL) {
        trp_lock_give(&b->lock);
    }
}

/* The root that stands first in a list, or NULL. */
static struct watch *list_root(struct trp_list *list)
{
    struct watch *first;

    if (trp_list_is_empty(list)) {
        return NULL;
    }
    first = trp_container_of(list->next, struct watch, told);
    return first->notice.kind == NOTICE_ROOT ? first : NULL;
}

/* Makes `watch` one of the watchers of `subject`. */
static void enter(struct trp_extra *subject, struct watch *watch)
{
    watch->subject = subject;
    watch_set_state(watch, WATCH_ACTIVE);
    trp_list_push(&subject->watchers, &watch->told);
    subject->watcher_count++;
}

/* Takes it out again. */
static void leave(struct watch *watch)
{
    trp_list_remove(&watch->told);
    watch->subject->watcher_count--;
    watch_set_state(watch, WATCH_FIRED);
}

static uint32_t watch_limit(const struct troupe_actor *actor)
{
    return trp_runtime_limits(actor->runtime)->actor_watches;
}

/* ---- sending ---- */

static struct troupe_reason noproc(void)
{
    return (struct troupe_reason){.kind = TROUPE_EXIT_NOPROC};
}

static struct troupe_reason reason_copy(const struct troupe_reason *reason)
{
    struct troupe_reason copy = *reason;

    if (copy.text != NULL) {
        troupe_buffer_retain(copy.text);
    }
    return copy;
}

/* Makes a notice a message from `sender`. */
static void address(struct notice *notice, const struct troupe_type *type, troupe_pid sender)
{
    notice->message.type = type;
    notice->message.size = (uint32_t)type->size;
    notice->message.sender = sender;
    notice->message.flags = 0;
}

static void write_down(struct notice *notice, troupe_pid pid, const struct troupe_reason *reason)
{
    address(notice, &troupe_down, pid);
    notice->body.down.pid = pid;
    notice->body.down.reason = reason_copy(reason);
}

static void write_exited(
    struct notice *notice, troupe_pid pid, const struct troupe_reason *reason, bool linked)
{
    address(notice, &troupe_exited, pid);
    notice->body.exited.pid = pid;
    notice->body.exited.reason = reason_copy(reason);
    notice->body.exited.linked = linked;
}

/* Sends a notice that was written.  `urgent`: an exit signal, to which a receiver that does not trap pulls its queue
 * up.  A watcher that is gone does not get it. */
static void dispatch(struct trp_context *context, struct notice *notice, troupe_pid to, bool urgent)
{
    struct troupe_actor *actor = trp_actor_find(context->runtime, to);

    if (actor == NULL) {
        trp_link_retire(context, &notice->message);
        return;
    }
    trp_send_reserved(context, actor, &notice->message);
    if (urgent) {
        trp_actor_signal(context, actor, TRP_SIGNAL_EXIT);
    }
}

/* Tells the watcher of `watch`, which left its list, that its subject ended. */
static void fire(
    struct trp_context *context, struct watch *watch, const struct troupe_reason *reason)
{
    struct notice *notice = &watch->notice;

    switch (notice->kind) {
    case NOTICE_MONITOR:
        write_down(notice, notice->body.down.pid, reason);
        break;
    case NOTICE_TIE_DOWN:
        notice->body.down.ref = 0;
        write_down(notice, other_half(watch)->watcher, reason);
        break;
    default:
        write_exited(notice, other_half(watch)->watcher, reason, true);
        dispatch(context, notice, watch->watcher, reason->kind != TROUPE_EXIT_NORMAL);
        return;
    }
    dispatch(context, notice, watch->watcher, false);
}

/* ---- monitors ---- */

/* The root of the monitors `self` made, or NULL. */
static struct watch *monitors_of(struct troupe_actor *self)
{
    struct trp_extra *extra = trp_actor_extra(self);

    return extra == NULL ? NULL : list_root(&extra->watches);
}

/* The same, made if there is none.  NULL without memory.  Its key counts the refs that were given out: from
 * somewhere, so that those of other actors and incarnations hardly ever hit. */
static struct watch *need_monitors(struct troupe_actor *self)
{
    struct trp_extra *extra = trp_actor_need_extra(self);
    struct watch *root;

    if (extra == NULL) {
        return NULL;
    }
    root = list_root(&extra->watches);
    if (root != NULL) {
        return root;
    }
    root = watch_new(trp_context_of(self), NOTICE_ROOT, 1);
    if (root != NULL) {
        root->node.key =
            trp_trie_mix(trp_actor_pid(self) + ((uint64_t)troupe_incarnation(self) << 32));
        trp_list_push(&extra->watches, &root->told);
    }
    return root;
}

static troupe_ref next_ref(struct watch *root)
{
    root->node.key++;
    if (root->node.key == 0) {
        root->node.key++;
    }
    return root->node.key;
}

static void attach(struct troupe_actor *self, struct watch *root, struct watch *watch)
{
    watch->notice.attached = true;
    trp_trie_insert(&root->node.child[0], &watch->node, trp_trie_mix(watch->notice.body.down.ref));
    trp_actor_extra(self)->watch_count++;
}

static void detach(struct troupe_actor *self, struct watch *root, struct watch *watch)
{
    watch->notice.attached = false;
    trp_trie_remove(&root->node.child[0], &watch->node);
    trp_actor_extra(self)->watch_count--;
}

/* Takes a monitor back if its subject has not fired it; whether it was.  Under reclaim. */
static bool take_back(struct watch *watch)
{
    bool active = false;

    if (watch_is_active(watch)) {
        struct trp_extra *subject = watch->subject;

        trp_lock_take(&subject->lock);
        active = watch_is_active(watch);
        if (active) {
            leave(watch);
        }
        trp_lock_give(&subject->lock);
    }
    return active;
}

/* Ends a monitor from its watcher's side; whether it was active. */
static bool end_monitor(struct troupe_actor *self, struct watch *root, struct watch *watch)
{
    struct trp_context *context = trp_context_of(self);
    bool active = take_back(watch);

    detach(self, root, watch);
    if (active) {
        drop(context, &watch->notice);
    }
    drop(context, &watch->notice);
    return active;
}

/* Whether `pid` is still there after something was entered in its lists: see "exactly one notice". */
static bool is_still_there(struct troupe_runtime *runtime, troupe_pid pid)
{
    /* seq_cst: the entry before must not pass the look at the pid.
     * PAIR link.seal: the fence in trp_link_notify(). */
    atomic_thread_fence(memory_order_seq_cst);
    return trp_actor_find(runtime, pid) != NULL;
}

/* Enters `watch` with `actor`: TROUPE_OK, TROUPE_EGONE, TROUPE_ELIMIT, TROUPE_ENOMEM. */
static int enter_monitor(struct troupe_actor *actor, troupe_pid pid, struct watch *watch)
{
    struct trp_extra *subject = trp_actor_need_extra(actor);
    int error = TROUPE_OK;

    if (subject == NULL) {
        return TROUPE_ENOMEM;
    }
    trp_lock_take(&subject->lock);
    if (subject->sealed) {
        error = TROUPE_EGONE;
    } else if (subject->watcher_count >= watch_limit(actor)) {
        error = TROUPE_ELIMIT;
    } else {
        enter(subject, watch);
    }
    trp_lock_give(&subject->lock);
    if (error == TROUPE_OK && !is_still_there(actor->runtime, pid) && take_back(watch)) {
        return TROUPE_EGONE;
    }
    return error;
}

/* Monitors `pid`, which is `actor` or, if that is NULL, not there. */
static int monitor(
    struct troupe_actor *self, struct troupe_actor *actor, troupe_pid pid, troupe_ref *out_ref)
{
    struct trp_context *context = trp_context_of(self);
    struct watch *root = need_monitors(self);
    struct watch *watch;
    int error;

    if (root == NULL) {
        return TROUPE_ENOMEM;
    }
    if (trp_actor_extra(self)->watch_count >= watch_limit(self)) {
        return TROUPE_ELIMIT;
    }
    watch = watch_new(context, NOTICE_MONITOR, 2);
    if (watch == NULL) {
        return TROUPE_ENOMEM;
    }
    watch->watcher = trp_actor_pid(self);
    watch->notice.body.down.pid = pid;
    watch->notice.body.down.ref = next_ref(root);
    *out_ref = watch->notice.body.down.ref;
    attach(self, root, watch);
    error = actor == NULL ? TROUPE_EGONE : enter_monitor(actor, pid, watch);
    if (error == TROUPE_EGONE) {
        struct troupe_reason reason = noproc();

        fire(context, watch, &reason);
        return TROUPE_OK;
    }
    if (error < 0) {
        detach(self, root, watch);
        block_free(context, &watch->notice);
    }
    return error;
}

int trp_link_monitor_newborn(
    struct troupe_actor *self, struct troupe_actor *newborn, troupe_ref *out_ref)
{
    return monitor(self, newborn, trp_actor_pid(newborn), out_ref);
}

int troupe_monitor(struct troupe_actor *self, troupe_pid pid, troupe_ref *out_ref)
{
    troupe_ref ref;

    if (!trp_actor_is_mine(self) || pid == TROUPE_NOBODY || pid == trp_actor_pid(self) ||
        out_ref == NULL) {
        return TROUPE_EINVAL;
    }
    TROUPE_TRY(monitor(self, trp_actor_find(self->runtime, pid), pid, &ref));
    *out_ref = ref;
    return TROUPE_OK;
}

int troupe_demonitor(struct troupe_actor *self, troupe_ref ref)
{
    struct watch *root;
    struct trp_trie *node;

    if (!trp_actor_is_mine(self)) {
        return TROUPE_EINVAL;
    }
    root = monitors_of(self);
    if (root == NULL) {
        return 0;
    }
    node = trp_trie_find(root->node.child[0], trp_trie_mix(ref));
    if (node == NULL) {
        return 0;
    }
    return end_monitor(self, root, trp_container_of(node, struct watch, node)) ? 1 : 0;
}

/* ---- links ---- */

/* What making a link may need. */
struct link_kit {
    struct pair *pair;
    struct watch *roots[2];
};

static void kit_free(struct trp_context *context, struct link_kit *kit)
{
    if (kit->pair != NULL) {
        block_free(context, &kit->pair->halves[0].notice);
    }
    for (unsigned i = 0; i < 2; i++) {
        if (kit->roots[i] != NULL) {
            block_free(context, &kit->roots[i]->notice);
        }
    }
}

static int kit_new(struct trp_context *context, struct link_kit *kit)
{
    kit->pair = block_new(context, sizeof *kit->pair);
    kit->roots[0] = watch_new(context, NOTICE_ROOT, 1);
    kit->roots[1] = watch_new(context, NOTICE_ROOT, 1);
    if (kit->pair != NULL) {
        watch_init(&kit->pair->halves[0], NOTICE_LINK, 0, 2);
        watch_init(&kit->pair->halves[1], NOTICE_LINK, 1, 2);
    }
    if (kit->pair == NULL || kit->roots[0] == NULL || kit->roots[1] == NULL) {
        kit_free(context, kit);
        return TROUPE_ENOMEM;
    }
    return TROUPE_OK;
}

/* The half of `extra` of its link with `peer`, or NULL.  Under its lock. */
static struct watch *find_link(struct trp_extra *extra, troupe_pid peer)
{
    struct watch *root = list_root(&extra->watchers);
    struct trp_trie *node =
        root == NULL ? NULL : trp_trie_find(root->node.child[0], trp_trie_mix(peer));

    return node == NULL ? NULL : trp_container_of(node, struct watch, node);
}

/* Enters one half, with a root from the kit if there is none yet.  Under the lock. */
static void enter_half(struct trp_extra *extra, struct watch *half, struct watch **spare_root)
{
    struct watch *root = list_root(&extra->watchers);

    if (root == NULL) {
        root = *spare_root;
        *spare_root = NULL;
        trp_list_push(extra->watchers.next, &root->told);
    }
    enter(extra, half);
    half->notice.attached = true;
    trp_trie_insert(&root->node.child[0], &half->node, trp_trie_mix(half->watcher));
}

/* Takes a half out of its trie.  Under its subject's lock. */
static void detach_half(struct trp_extra *extra, struct watch *half)
{
    trp_trie_remove(&list_root(&extra->watchers)->node.child[0], &half->node);
    half->notice.attached = false;
}

/* Links two actors with what is in the kit.  Under both locks.  1: they were linked before. */
static int enter_link(
    struct trp_extra *mine, struct trp_extra *theirs, uint32_t limit, struct link_kit *kit)
{
    struct watch *half = &kit->pair->halves[0];

    if (theirs->sealed) {
        return TROUPE_EGONE;
    }
    if (find_link(mine, half->watcher) != NULL) {
        return 1;
    }
    if (mine->watcher_count >= limit || theirs->watcher_count >= limit) {
        return TROUPE_ELIMIT;
    }
    enter_half(mine, half, &kit->roots[0]);
    enter_half(theirs, other_half(half), &kit->roots[1]);
    kit->pair = NULL;
    return TROUPE_OK;
}

/* The extra block of the peer if the link of `mine` with it is active, else NULL.  Good as long as the read section. */
static struct trp_extra *active_peer(struct trp_extra *mine, troupe_pid peer)
{
    struct trp_extra *theirs = NULL;
    struct watch *half;

    trp_lock_take(&mine->lock);
    half = find_link(mine, peer);
    if (half != NULL && watch_is_active(half)) {
        theirs = other_half(half)->subject;
    }
    trp_lock_give(&mine->lock);
    return theirs;
}

/* Takes the root of the links out if no link is left; it, or NULL.  Under the lock. */
static struct watch *take_root(struct trp_extra *extra)
{
    struct watch *root = list_root(&extra->watchers);

    if (root == NULL || root->node.child[0] != NULL) {
        return NULL;
    }
    trp_list_remove(&root->told);
    return root;
}

/* Takes both halves of an active link out.  Under both locks. */
static void unlink_both(struct watch *half)
{
    struct watch *other = other_half(half);

    detach_half(half->subject, half);
    leave(half);
    detach_half(other->subject, other);
    leave(other);
}

/* Ends the link of `self` with `peer`, whatever state it is in; whether it was active. */
static bool end_link(struct troupe_actor *self, troupe_pid peer)
{
    struct trp_context *context = trp_context_of(self);
    struct trp_extra *mine = trp_actor_extra(self);
    struct trp_extra *theirs = active_peer(mine, peer);
    struct watch *half;
    bool active;

    /* The peer may unlink, link or end before we have the locks: what counts is what we find then. */
    lock_both(mine, theirs);
    half = find_link(mine, peer);
    active = half != NULL && watch_is_active(half);
    if (active && theirs == NULL) {
        /* The peer has made this link since we looked: the unlink came before it. */
        half = NULL;
        active = false;
    } else if (active) {
        unlink_both(half);
    } else if (half != NULL) {
        detach_half(mine, half);
    }
    unlock_both(mine, theirs);
    if (active) {
        drop(context, &half->notice);
    }
    if (half != NULL) {
        drop(context, &half->notice);
    }
    return active;
}

/* Takes a link back that was made with one who has ended; false if its end has told us: the signal is on its way.  If
 * that one had no extra block when it told its watchers, the root that came with the link is ours to free as well. */
static bool take_link_back(struct troupe_actor *self, struct trp_extra *theirs, troupe_pid peer)
{
    struct trp_context *context = trp_context_of(self);
    struct trp_extra *mine = trp_actor_extra(self);
    struct watch *root = NULL;
    struct watch *half;
    bool active;

    lock_both(mine, theirs);
    half = find_link(mine, peer);
    active = half != NULL && watch_is_active(half);
    if (active) {
        unlink_both(half);
        root = take_root(theirs);
    }
    unlock_both(mine, theirs);
    if (active) {
        drop(context, &half->notice);
        drop(context, &half->notice);
    }
    if (root != NULL) {
        block_free(context, &root->notice);
    }
    return active;
}

/* Links `self` with `actor`, which has `pid`.  TROUPE_EGONE: it is not there any more. */
static int link_with(struct troupe_actor *self, struct troupe_actor *actor, troupe_pid pid)
{
    struct trp_context *context = trp_context_of(self);
    struct trp_extra *mine = trp_actor_need_extra(self);
    struct trp_extra *theirs = trp_actor_need_extra(actor);
    struct link_kit kit;
    int error;

    if (mine == NULL || theirs == NULL) {
        return TROUPE_ENOMEM;
    }
    TROUPE_TRY(kit_new(context, &kit));
    kit.pair->halves[0].watcher = pid;
    kit.pair->halves[1].watcher = trp_actor_pid(self);
    lock_both(mine, theirs);
    error = enter_link(mine, theirs, watch_limit(self), &kit);
    unlock_both(mine, theirs);
    kit_free(context, &kit);
    if (error == TROUPE_OK && !is_still_there(self->runtime, pid) &&
        take_link_back(self, theirs, pid)) {
        return TROUPE_EGONE;
    }
    return error < 0 ? error : TROUPE_OK;
}

int trp_link_newborn(struct troupe_actor *self, struct troupe_actor *newborn)
{
    return link_with(self, newborn, trp_actor_pid(newborn));
}

/* A link with nobody: one that traps exits gets a signal, any other an error. */
static int link_with_nobody(struct troupe_actor *self, troupe_pid pid)
{
    struct trp_context *context = trp_context_of(self);
    struct troupe_reason reason = noproc();
    struct watch *watch;

    if (!self->trap_exit) {
        return TROUPE_EGONE;
    }
    watch = watch_new(context, NOTICE_SENT, 1);
    if (watch == NULL) {
        return TROUPE_ENOMEM;
    }
    watch->node.key = troupe_incarnation(self);
    write_exited(&watch->notice, pid, &reason, true);
    trp_send_reserved(context, self, &watch->notice.message);
    return TROUPE_OK;
}

int troupe_link(struct troupe_actor *self, troupe_pid pid)
{
    struct troupe_actor *actor;
    int error = TROUPE_EGONE;

    if (!trp_actor_is_mine(self) || pid == TROUPE_NOBODY) {
        return TROUPE_EINVAL;
    }
    if (pid == trp_actor_pid(self)) {
        return TROUPE_OK;
    }
    actor = trp_actor_find(self->runtime, pid);
    if (actor != NULL) {
        error = link_with(self, actor, pid);
    }
    return error == TROUPE_EGONE ? link_with_nobody(self, pid) : error;
}

void troupe_unlink(struct troupe_actor *self, troupe_pid pid)
{
    if (trp_actor_is_mine(self) && trp_actor_extra(self) != NULL) {
        (void)end_link(self, pid);
    }
}

/* ---- exit signals ---- */

bool troupe_trap_exit(struct troupe_actor *self, bool on)
{
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

static int send_exit(
    struct trp_context *context, troupe_pid from, troupe_pid pid, enum troupe_exit kind)
{
    struct troupe_actor *actor = trp_actor_find(context->runtime, pid);
    struct troupe_reason reason = {.kind = kind};
    struct watch *watch;

    if (actor == NULL || !takes_exits(actor)) {
        return TROUPE_EGONE;
    }
    if (kind == TROUPE_EXIT_KILL) {
        trp_actor_signal(context, actor, TRP_SIGNAL_KILL);
        return TROUPE_OK;
    }
    watch = watch_new(context, NOTICE_SENT, 1);
    if (watch == NULL) {
        return TROUPE_ENOMEM;
    }
    watch->node.key = troupe_incarnation(actor);
    write_exited(&watch->notice, from, &reason, false);
    dispatch(context, &watch->notice, pid, kind != TROUPE_EXIT_NORMAL || from == pid);
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
    if (!trp_actor_is_mine(self) || pid == TROUPE_NOBODY || !is_sendable(kind)) {
        return TROUPE_EINVAL;
    }
    return send_exit(trp_context_of(self), trp_actor_pid(self), pid, kind);
}

int troupe_runtime_exit(struct troupe_runtime *runtime, troupe_pid pid, enum troupe_exit kind)
{
    struct trp_visit visit;
    int error;

    if (pid == TROUPE_NOBODY || !is_sendable(kind)) {
        return TROUPE_EINVAL;
    }
    TROUPE_TRY(trp_context_enter(runtime, &visit));
    error = send_exit(visit.context, TROUPE_NOBODY, pid, kind);
    trp_context_leave(&visit);
    return error;
}

int troupe_kill(struct troupe_actor *self, troupe_pid pid)
{
    return troupe_send_exit(self, pid, TROUPE_EXIT_KILL);
}

/* ---- reception ---- */

/* Whether an exit signal ends one that does not trap: not with reason normal, unless it is its own. */
static bool is_deadly(const struct troupe_actor *self, const struct troupe_exited *exited)
{
    return exited->reason.kind != TROUPE_EXIT_NORMAL ||
           (!exited->linked && exited->pid == trp_actor_pid(self));
}

/* An exit signal has reached `self`. */
static int open_exited(struct troupe_actor *self, const struct troupe_exited *exited)
{
    struct troupe_reason reason;

    if (self->trap_exit) {
        return TRP_OPEN_DELIVER;
    }
    if (!is_deadly(self, exited)) {
        return TROUPE_OK;
    }
    reason = reason_copy(&exited->reason);
    trp_actor_set_reason(self, &reason);
    return TRP_OPEN_EXIT;
}

static int open_link(struct troupe_actor *self, struct watch *watch)
{
    struct trp_extra *extra = trp_actor_extra(self);
    struct watch *half = other_half(watch);
    bool linked;

    trp_lock_take(&extra->lock);
    linked = half->notice.attached;
    if (linked) {
        detach_half(extra, half);
    }
    trp_lock_give(&extra->lock);
    if (!linked) {
        return TROUPE_OK;
    }
    drop(trp_context_of(self), &half->notice);
    return open_exited(self, &watch->notice.body.exited);
}

static int open_monitor(struct troupe_actor *self, struct watch *watch)
{
    if (!watch->notice.attached) {
        return TROUPE_OK;
    }
    detach(self, monitors_of(self), watch);
    drop(trp_context_of(self), &watch->notice);
    return TRP_OPEN_DELIVER;
}

/* Whether a signal that was sent by itself was sent to this incarnation. */
static bool is_meant_for(const struct watch *watch, const struct troupe_actor *self)
{
    return watch->node.key == troupe_incarnation(self);
}

/* Whether the link of which `watch` brings the end still stands at our side.  Only we change that from now on. */
static bool is_linked(const struct troupe_actor *self, struct watch *watch)
{
    struct trp_extra *extra = trp_actor_extra((struct troupe_actor *)(uintptr_t)self);
    bool linked;

    trp_lock_take(&extra->lock);
    linked = other_half(watch)->notice.attached;
    trp_lock_give(&extra->lock);
    return linked;
}

bool trp_link_condemns(const struct troupe_actor *self, const struct troupe_message *msg)
{
    struct notice *notice = notice_of(msg);

    if (self->trap_exit) {
        return false;
    }
    switch (notice->kind) {
    case NOTICE_LINK:
        return is_deadly(self, &notice->body.exited) && is_linked(self, watch_of(notice));
    case NOTICE_SENT:
        return is_deadly(self, &notice->body.exited) && is_meant_for(watch_of(notice), self);
    case NOTICE_TIE_EXIT:
        return is_deadly(self, &notice->body.exited);
    default:
        return false;
    }
}

/* Of a tie: the supervisor is told if it still cares. */
static int open_tie(struct notice *notice)
{
    if (tie_of(notice)->owner == NULL) {
        return TROUPE_OK;
    }
    notice->attached = true;
    return TRP_OPEN_DELIVER;
}

int trp_link_open(struct troupe_actor *self, struct troupe_message *msg)
{
    struct notice *notice = notice_of(msg);

    switch (notice->kind) {
    case NOTICE_MONITOR:
        return open_monitor(self, watch_of(notice));
    case NOTICE_LINK:
        return open_link(self, watch_of(notice));
    case NOTICE_SENT:
        if (!is_meant_for(watch_of(notice), self)) {
            return TROUPE_OK;
        }
        return open_exited(self, &notice->body.exited);
    case NOTICE_TIE_EXIT:
        return open_exited(self, &notice->body.exited);
    default:
        return open_tie(notice);
    }
}

void trp_link_retire(struct trp_context *context, struct troupe_message *msg)
{
    struct notice *notice = notice_of(msg);

    trp_message_empty(msg);
    if (notice->kind == NOTICE_TIE_DOWN && !notice->attached && tie_of(notice)->keep_mailbox) {
        /* Nobody will restart this child: its supervisor has ended. */
        ignore(trp_actor_release(context, tie_of(notice)->child));
    }
    drop(context, notice);
}

/* Takes the note to the supervisor out, if it is there. */
static struct note *take_note(struct trp_extra *extra)
{
    struct note *note;

    trp_lock_take(&extra->lock);
    note = extra->parent_note;
    extra->parent_note = NULL;
    trp_lock_give(&extra->lock);
    return note;
}

void trp_tie_announce(struct troupe_actor *self)
{
    struct trp_extra *extra = trp_actor_extra(self);
    struct note *note = extra == NULL ? NULL : take_note(extra);

    if (note != NULL) {
        address(&note->notice, &trp_child_started, trp_actor_pid(self));
        dispatch(trp_context_of(self), &note->notice, note->watcher, false);
    }
}

void trp_link_started(struct troupe_actor *self)
{
    /* A supervisor has started when its children have, and says so itself. */
    if (self->behaviour != &trp_supervisor_behaviour) {
        trp_tie_announce(self);
    }
}

/* ---- ties ---- */

struct trp_tie *trp_tie_new(struct trp_context *context)
{
    struct trp_tie *tie = block_new(context, sizeof *tie);

    if (tie == NULL) {
        return NULL;
    }
    watch_init(&tie->pair.halves[0], NOTICE_TIE_DOWN, 0, 1);
    watch_init(&tie->pair.halves[1], NOTICE_TIE_EXIT, 1, 1);
    notice_init(&tie->note.notice, NOTICE_TIE_NOTE, 2, 1);
    tie->owner = NULL;
    tie->child = TROUPE_NOBODY;
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
        drop(context, &tie->pair.halves[0].notice);
    }
}

bool trp_tie_is_idle(const struct trp_tie *tie)
{
    /* acquire: what the others did with the block is done.  PAIR watch.refs: drop(). */
    return atomic_load_explicit(&tie->pair.halves[0].notice.refs, memory_order_acquire) == 1;
}

void *trp_tie_owner(const struct troupe_message *msg)
{
    struct notice *notice = notice_of(msg);

    if (msg->kind != TRP_MESSAGE_NOTICE || !is_tie(notice)) {
        return NULL;
    }
    return tie_of(notice)->owner;
}

int trp_tie_bind(
    struct troupe_actor *self, struct troupe_actor *child, struct trp_tie *tie, void *owner)
{
    struct trp_extra *mine = trp_actor_need_extra(self);
    struct trp_extra *theirs = trp_actor_need_extra(child);
    struct watch *down = &tie->pair.halves[0];
    struct watch *exit = &tie->pair.halves[1];

    if (mine == NULL || theirs == NULL) {
        return TROUPE_ENOMEM;
    }
    trp_assert(trp_tie_is_idle(tie));
    tie->owner = owner;
    tie->child = trp_actor_pid(child);
    tie->keep_mailbox = child->keep_mailbox;
    down->watcher = trp_actor_pid(self);
    exit->watcher = tie->child;
    tie->note.watcher = down->watcher;
    down->notice.attached = false;
    tie->note.notice.attached = false;
    /* relaxed: nobody else has the block; the locks publish it. */
    atomic_store_explicit(&down->notice.refs, 4, memory_order_relaxed);
    lock_both(mine, theirs);
    trp_assert(!theirs->sealed);
    enter(theirs, down);
    enter(mine, exit);
    theirs->parent_note = &tie->note;
    unlock_both(mine, theirs);
    return TROUPE_OK;
}

void trp_tie_unbind(struct troupe_actor *self, struct troupe_actor *child, struct trp_tie *tie)
{
    struct trp_extra *mine = trp_actor_extra(self);
    struct trp_extra *theirs = trp_actor_extra(child);
    struct watch *down = &tie->pair.halves[0];

    lock_both(mine, theirs);
    leave(down);
    leave(&tie->pair.halves[1]);
    theirs->parent_note = NULL;
    unlock_both(mine, theirs);
    tie->owner = NULL;
    /* relaxed: nobody else has the block. */
    atomic_store_explicit(&down->notice.refs, 1, memory_order_relaxed);
}

/* ---- the end ---- */

/* Ends the monitors that `self` made; what is left of the budget. */
static unsigned end_monitors(struct troupe_actor *self, unsigned budget)
{
    struct watch *root = monitors_of(self);

    while (root != NULL && budget > 0) {
        struct trp_trie *node = root->node.child[0];

        if (node == NULL) {
            trp_list_remove(&root->told);
            block_free(trp_context_of(self), &root->notice);
            return budget;
        }
        end_monitor(self, root, trp_container_of(node, struct watch, node));
        budget--;
    }
    return budget;
}

/* The next watcher to tell, the tie to the supervisor excepted; NULL when there is none.  Under the lock. */
static struct watch *next_told(struct trp_extra *extra)
{
    struct trp_list *entry = extra->watchers.next;

    while (entry != &extra->watchers) {
        struct watch *watch = trp_container_of(entry, struct watch, told);

        if (watch->notice.kind != NOTICE_ROOT && watch->notice.kind != NOTICE_TIE_DOWN) {
            return watch;
        }
        entry = entry->next;
    }
    return NULL;
}

/* The tie of `extra` to its supervisor, or NULL.  Under the lock, when nobody else is left. */
static struct watch *last_tie(struct trp_extra *extra)
{
    struct watch *last = trp_list_is_empty(&extra->watchers)
                             ? NULL
                             : trp_container_of(extra->watchers.prev, struct watch, told);

    return last != NULL && last->notice.kind == NOTICE_TIE_DOWN ? last : NULL;
}

/* Takes a half out with its other half, whose subject stays; under both locks.  What the other one's holder had of the
 * block is let go by the caller, if it says so. */
static bool leave_both(struct watch *half)
{
    struct watch *other = other_half(half);

    leave(half);
    leave(other);
    if (half->notice.kind == NOTICE_LINK) {
        /* The other half stays in the peer's trie until the signal is opened or unlinked. */
        detach_half(half->subject, half);
        return false;
    }
    return true;
}

/* Takes a half of a link or tie out under both locks, unless the other side was faster. */
static bool claim_half(struct trp_context *context, struct trp_extra *mine, struct watch *half,
    struct trp_extra *theirs)
{
    bool claimed;
    bool orphan = false;

    lock_both(mine, theirs);
    claimed = next_told(mine) == half || last_tie(mine) == half;
    if (claimed) {
        orphan = leave_both(half);
    }
    unlock_both(mine, theirs);
    if (orphan) {
        drop(context, &half->notice);
    }
    return claimed;
}

/* Tells one watcher; false when none is left but the tie. */
static bool tell_one(struct troupe_actor *self, const struct troupe_reason *reason)
{
    struct trp_context *context = trp_context_of(self);
    struct trp_extra *mine = trp_actor_extra(self);
    struct trp_extra *theirs = NULL;
    struct watch *watch;

    trp_lock_take(&mine->lock);
    watch = next_told(mine);
    if (watch != NULL && watch->notice.kind == NOTICE_MONITOR) {
        leave(watch);
    } else if (watch != NULL) {
        theirs = other_half(watch)->subject;
    }
    trp_lock_give(&mine->lock);
    if (watch == NULL) {
        return false;
    }
    if (theirs == NULL || claim_half(context, mine, watch, theirs)) {
        fire(context, watch, reason);
    }
    return true;
}

/* Lets go of links whose signals are on their way to us: they will miss.  Frees the root of the links. */
static unsigned end_links(struct troupe_actor *self, unsigned budget)
{
    struct trp_extra *extra = trp_actor_extra(self);
    struct watch *root;
    struct trp_trie *node = NULL;

    do {
        trp_lock_take(&extra->lock);
        root = list_root(&extra->watchers);
        node = root == NULL ? NULL : root->node.child[0];
        if (node != NULL) {
            detach_half(extra, trp_container_of(node, struct watch, node));
        } else if (root != NULL) {
            trp_list_remove(&root->told);
        }
        trp_lock_give(&extra->lock);
        if (node != NULL) {
            drop(trp_context_of(self), &trp_container_of(node, struct watch, node)->notice);
        } else if (root != NULL) {
            block_free(trp_context_of(self), &root->notice);
        }
        budget--;
    } while (node != NULL && budget > 0);
    return budget;
}

/* Takes the note out that was not sent: init failed. */
static void drop_note(struct trp_context *context, struct trp_extra *extra)
{
    struct note *note = take_note(extra);

    if (note != NULL) {
        drop(context, &note->notice);
    }
}

/* The last step: opens the seal of one that will live again, and tells its supervisor.  After that nothing of
 * this life may be touched. */
static void tell_supervisor(struct troupe_actor *self, const struct troupe_reason *reason)
{
    struct trp_context *context = trp_context_of(self);
    struct trp_extra *mine = trp_actor_extra(self);
    struct trp_extra *theirs = NULL;
    struct watch *tie;

    trp_lock_take(&mine->lock);
    tie = last_tie(mine);
    if (tie != NULL) {
        theirs = other_half(tie)->subject;
    } else if (self->keep_mailbox) {
        mine->sealed = false;
    }
    trp_lock_give(&mine->lock);
    if (tie != NULL) {
        bool claimed;

        lock_both(mine, theirs);
        claimed = last_tie(mine) == tie;
        if (claimed) {
            (void)leave_both(tie);
        }
        mine->sealed = !self->keep_mailbox;
        unlock_both(mine, theirs);
        if (claimed) {
            drop(context, &tie->notice);
            fire(context, tie, reason);
            return;
        }
    }
    if (self->keep_mailbox) {
        /* Nobody is there to restart it.  Finds nobody if it is being released already: the pid is withdrawn. */
        ignore(trp_actor_release(context, trp_actor_pid(self)));
    }
}

bool trp_link_notify(struct troupe_actor *self, const struct troupe_reason *reason, unsigned budget)
{
    struct trp_extra *extra;

    /* seq_cst: the pid was withdrawn before; that must not pass the look at `extra`.
     * PAIR link.seal: the fence in is_still_there(). */
    atomic_thread_fence(memory_order_seq_cst);
    extra = trp_actor_extra(self);
    if (extra == NULL) {
        return true;
    }
    trp_lock_take(&extra->lock);
    extra->sealed = true;
    trp_lock_give(&extra->lock);
    budget = end_monitors(self, budget);
    while (budget > 0 && tell_one(self, reason)) {
        budget--;
    }
    if (budget > 0) {
        budget = end_links(self, budget);
    }
    if (budget == 0) {
        return false;
    }
    drop_note(trp_context_of(self), extra);
    tell_supervisor(self, reason);
    return true;
}

/* ---- join ----
 *
 * A helper actor monitors the pid and opens a gate (gate.h) on which the thread waits.  It traps exits so that it
 * outlasts the actor it watches when the runtime is stopped; a thread that waited in vain sends it an exit
 * NORMAL, which is its word for "nobody waits".
 */

struct join {
    struct trp_gate *gate;
    troupe_pid pid;
};

static int join_init(struct troupe_actor *self, void *state, const void *arg)
{
    struct join *join = state;
    struct trp_outcome outcome = {0};
    troupe_ref ref;

    *join = *(const struct join *)arg;
    outcome.status = troupe_monitor(self, join->pid, &ref);
    if (outcome.status < 0) {
        trp_gate_tell(join->gate, &outcome);
        return TROUPE_DONE;
    }
    return TROUPE_OK;
}

static int join_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct join *join = state;

    (void)self;
    if (troupe_is(msg, &troupe_down)) {
        const struct troupe_down *down = troupe_body(msg);
        struct trp_outcome outcome = {.reason = reason_copy(&down->reason)};

        trp_gate_tell(join->gate, &outcome);
        return TROUPE_DONE;
    }
    if (troupe_is(msg, &troupe_exited)) {
        const struct troupe_exited *exited = troupe_body(msg);

        return exited->reason.kind == TROUPE_EXIT_NORMAL ? TROUPE_DONE : TROUPE_OK;
    }
    return TROUPE_EUNKNOWN;
}

static void join_destroy(void *state)
{
    struct join *join = state;
    struct trp_outcome outcome = {.status = TROUPE_ESTOPPED};

    /* Nothing happens if it was told before. */
    trp_gate_tell(join->gate, &outcome);
    trp_gate_drop(join->gate);
}

static const struct troupe_behaviour join_behaviour = {
    .name = "troupe_join",
    .state_size = sizeof(struct join),
    .init = join_init,
    .receive = join_receive,
    .destroy = join_destroy,
    .trap_exit = true,
};

int troupe_join(
    struct troupe_runtime *runtime, troupe_pid pid, int wait_ms, struct troupe_reason *out_reason)
{
    struct join join = {.pid = pid};
    struct trp_outcome outcome;
    troupe_pid helper;
    int error;

    if (runtime == NULL || pid == TROUPE_NOBODY || wait_ms < TROUPE_FOREVER) {
        return TROUPE_EINVAL;
    }
    TROUPE_TRY(trp_gate_create(runtime, &join.gate));
    error = troupe_runtime_spawn(runtime,
        (&(struct troupe_spawn_options){
            .behaviour = &join_behaviour, .arg = &join, .arg_size = sizeof join}),
        &helper);
    if (error < 0) {
        trp_gate_drop(join.gate); /* for the helper */
        trp_gate_drop(join.gate);
        return error;
    }
    error = trp_gate_wait(join.gate, wait_ms, &outcome);
    trp_gate_drop(join.gate);
    if (error < 0) {
        ignore(troupe_runtime_exit(runtime, helper, TROUPE_EXIT_NORMAL));
        return error;
    }
    if (outcome.status == TROUPE_OK && out_reason != NULL) {
        *out_reason = outcome.reason;
    } else {
        troupe_buffer_release(outcome.reason.text);
    }
    return outcome.status;
}
