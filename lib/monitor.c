/* SPDX-License-Identifier: MIT */
/*
 * monitor.c - monitors: one actor watches another, one way.
 *
 * A monitor is one watch (watch.h).  Its watcher finds it by its ref in a trie, `monitors`; that and `attached`
 * belong to the watcher's token.  A ref is a number in its upper 36 bits and in its lower 28 the
 * slot of whoever made it, so that the ref of another actor is known for what it is.
 *
 * A monitor by name is looked up once.  The name stands behind the watch, in the same block; of a join (join.c) what is to be
 * called stands there.
 */
#include "monitor.h"

#include <string.h>

#include "alias.h"
#include "call.h"
#include "name_table.h"
#include "registry.h"

#define REF_SLOT_BITS 28
#define REF_SLOT ((UINT64_C(1) << REF_SLOT_BITS) - 1)

/* ---- refs ---- */

/* Before the first ref of a life: from somewhere, so that those of other incarnations hardly ever hit. */
static troupe_ref origin_of(const struct troupe_actor *self)
{
    uint64_t origin =
        trp_trie_mix(trp_actor_pid(self) + ((uint64_t)troupe_incarnation(self) << 32));

    return (origin & ~REF_SLOT) | self->slot;
}

static struct trp_watch *find(const struct trp_extra *extra, troupe_ref ref)
{
    struct trp_trie *node = trp_trie_find(extra->monitors, trp_trie_mix(ref));

    return node == NULL ? NULL : trp_container_of(node, struct trp_watch, node);
}

/* Not 0, and none that is in use: a monitor may outlast 2^36 others. */
static troupe_ref next_ref(const struct troupe_actor *self, struct trp_extra *extra)
{
    if (extra->monitor_ref == 0) {
        extra->monitor_ref = origin_of(self);
    }
    do {
        extra->monitor_ref += REF_SLOT + 1;
    } while (extra->monitor_ref == 0 || find(extra, extra->monitor_ref) != NULL);
    return extra->monitor_ref;
}

static bool is_ref_of(const struct troupe_actor *self, troupe_ref ref)
{
    return (ref & REF_SLOT) == self->slot;
}

/* ---- those that stand: `extra` is their watcher's ---- */

static void count(struct trp_extra *extra, int change)
{
    /* relaxed: ours; for others (info.c) a number. */
    atomic_store_explicit(&extra->watch_count,
        atomic_load_explicit(&extra->watch_count, memory_order_relaxed) + (uint32_t)change,
        memory_order_relaxed);
}

static void attach(struct trp_extra *extra, struct trp_watch *watch)
{
    watch->notice.attached = true;
    trp_trie_insert(&extra->monitors, &watch->node, trp_trie_mix(watch->notice.body.down.ref));
    count(extra, 1);
}

static void detach(struct trp_extra *extra, struct trp_watch *watch)
{
    watch->notice.attached = false;
    trp_trie_remove(&extra->monitors, &watch->node);
    count(extra, -1);
}

/* ---- ending, from the watcher's side ---- */

/* Of a watch that was taken back: both its sides are ours.  Of an alias that was spent somebody may have the block as well. */
static void let_go(struct trp_context *context, struct trp_watch *watch)
{
    if (trp_notice_aliased(&watch->notice) == NULL) {
        trp_watch_free(context, &watch->notice);
        return;
    }
    trp_watch_drop(context, &watch->notice);
    trp_watch_drop(context, &watch->notice);
}

/* TROUPE_FLUSH_TOLD: `out_reason`, if not NULL, is what its notice says. */
static enum troupe_flush end_monitor(
    struct troupe_actor *self, struct trp_watch *watch, struct troupe_reason *out_reason)
{
    struct trp_context *context = trp_context_of(self);
    const struct trp_aliased *aliased = trp_notice_aliased(&watch->notice);
    bool active = trp_watch_take_back(watch);

    if (aliased != NULL && aliased->ends_alias) {
        (void)trp_alias_end(self, aliased->number);
    }
    detach(trp_actor_extra(self), watch);
    if (active) {
        let_go(context, watch);
        return TROUPE_FLUSH_ACTIVE;
    }
    if (out_reason != NULL) {
        *out_reason = trp_reason_copy(&watch->notice.body.down.reason);
    }
    trp_watch_drop(context, &watch->notice);
    return TROUPE_FLUSH_TOLD;
}

/* Takes out what ended because somebody answered (alias.c). */
static void end_answered(struct troupe_actor *self, struct trp_extra *extra)
{
    while (trp_alias_has_answered(extra)) {
        (void)end_monitor(self, &trp_alias_take_answered(self)->watch, NULL);
    }
}

/* ---- making ---- */

/* What is to be watched: `actor` is NULL if it is not there, `name` is NULL if it was not looked up; and whom to tell, NULL:
 * `receive`. */
struct target {
    struct troupe_actor *actor;
    troupe_pid pid;
    const char *name;
    troupe_exit_fn on_exit;
    void *context;
    unsigned flags; /* TROUPE_PRIORITY, TROUPE_PRIORITY_DOWN: as for troupe_monitor_alias() */
    bool aliased;   /* with an alias, of this mode */
    enum troupe_alias_mode mode;
};

static struct trp_watch *new_named(struct trp_context *context, const char *name)
{
    struct trp_named *named = trp_watch_alloc(context, sizeof *named + strlen(name) + 1);

    if (named == NULL) {
        return NULL;
    }
    trp_watch_init(&named->watch, TRP_NOTICE_MONITOR, TRP_SIDE_NAMED, 2);
    memcpy(named->name, name, strlen(name) + 1);
    return &named->watch;
}

static struct trp_watch *new_join(struct trp_context *context, const struct target *target)
{
    struct trp_join *join = trp_watch_alloc(context, sizeof *join);

    if (join == NULL) {
        return NULL;
    }
    trp_watch_init(&join->watch, TRP_NOTICE_MONITOR, TRP_SIDE_JOIN, 2);
    join->on_exit = target->on_exit;
    join->context = target->context;
    join->record = NULL;
    return &join->watch;
}

static struct trp_watch *new_aliased(struct trp_context *context, enum troupe_alias_mode mode)
{
    struct trp_aliased *aliased = trp_watch_alloc(context, sizeof *aliased);

    if (aliased == NULL) {
        return NULL;
    }
    trp_watch_init(&aliased->watch, TRP_NOTICE_MONITOR, TRP_SIDE_ALIASED, 2);
    aliased->number = 0;
    aliased->ends_alias = mode != TROUPE_ALIAS_EXPLICIT;
    aliased->is_answered = false;
    return &aliased->watch;
}

/* A block for a monitor, and what stands behind it. */
static struct trp_watch *new_monitor(struct trp_context *context, const struct target *target)
{
    if (target->aliased) {
        return new_aliased(context, target->mode);
    }
    if (target->name != NULL) {
        return new_named(context, target->name);
    }
    if (target->on_exit != NULL) {
        return new_join(context, target);
    }
    return trp_watch_new(context, TRP_NOTICE_MONITOR, 2);
}

/* Enters `watch` with `actor`: TROUPE_OK, TROUPE_EGONE, TROUPE_ELIMIT, TROUPE_ENOMEM. */
static int enter_monitor(struct trp_context *context, struct troupe_actor *actor, troupe_pid pid,
    struct trp_watch *watch)
{
    struct trp_extra *subject = trp_actor_need_extra(context, actor);
    int error = TROUPE_OK;

    if (subject == NULL) {
        return TROUPE_ENOMEM;
    }
    trp_lock_take(&subject->lock);
    if (subject->sealed) {
        error = TROUPE_EGONE;
    } else if (subject->watcher_count >= trp_watch_limit(actor)) {
        error = TROUPE_ELIMIT;
    } else {
        trp_watch_enter(subject, watch);
    }
    trp_lock_give(&subject->lock);
    if (error == TROUPE_OK && !trp_watch_is_there(actor->runtime, subject, pid) &&
        trp_watch_take_back(watch)) {
        return TROUPE_EGONE;
    }
    return error;
}

/* The alias that a monitor is to have, before anybody can tell of its end.  0 without one. */
static int give_alias(struct troupe_actor *self, const struct target *target,
    struct trp_watch *watch, troupe_pid *out_alias)
{
    *out_alias = TROUPE_NOBODY;
    return target->aliased ? trp_alias_new(self, target->mode, target->flags,
                                 trp_notice_aliased(&watch->notice), out_alias)
                           : TROUPE_OK;
}

/* It was not made. */
static void discard(struct troupe_actor *self, struct trp_watch *watch)
{
    const struct trp_aliased *aliased = trp_notice_aliased(&watch->notice);

    if (aliased != NULL) {
        (void)trp_alias_end(self, aliased->number);
    }
    trp_watch_free(trp_context_of(self), &watch->notice);
}

/* Watches, or tells at once of one that is not there. */
static int begin_watch(
    struct troupe_actor *self, const struct target *target, struct trp_watch *watch)
{
    struct troupe_reason reason = trp_reason_noproc();
    int error = TROUPE_EGONE;

    if (target->actor != NULL) {
        error = enter_monitor(trp_context_of(self), target->actor, target->pid, watch);
    }
    if (error != TROUPE_EGONE) {
        return error;
    }
    trp_watch_write(watch, &reason);
    trp_watch_send(trp_context_of(self), watch);
    return TROUPE_OK;
}

static int monitor(struct troupe_actor *self, const struct target *target,
    struct trp_watch **out_watch, troupe_pid *out_alias)
{
    struct trp_extra *extra = trp_actor_need_extra(trp_context_of(self), self);
    struct trp_watch *watch;
    troupe_pid alias;
    int error;

    if (extra == NULL) {
        return TROUPE_ENOMEM;
    }
    end_answered(self, extra);
    /* relaxed: ours. */
    if (atomic_load_explicit(&extra->watch_count, memory_order_relaxed) >= trp_watch_limit(self)) {
        return TROUPE_ELIMIT;
    }
    watch = new_monitor(trp_context_of(self), target);
    if (watch == NULL) {
        return TROUPE_ENOMEM;
    }
    if (target->flags & TROUPE_PRIORITY_DOWN) {
        watch->notice.message.flags |= TRP_MESSAGE_PRIORITY;
        extra->listens = true;
    }
    watch->watcher = trp_actor_pid(self);
    watch->notice.body.down.pid = target->pid;
    watch->notice.body.down.ref = next_ref(self, extra);
    error = give_alias(self, target, watch, &alias);
    if (error < 0) {
        trp_watch_free(trp_context_of(self), &watch->notice);
        return error;
    }
    attach(extra, watch);
    error = begin_watch(self, target, watch);
    if (error < 0) {
        detach(extra, watch);
        discard(self, watch);
        return error;
    }
    *out_watch = watch;
    if (out_alias != NULL) {
        *out_alias = alias;
    }
    return TROUPE_OK;
}

static int monitor_by_ref(struct troupe_actor *self, const struct target *target,
    troupe_ref *out_ref, troupe_pid *out_alias)
{
    struct trp_watch *watch;

    TROUPE_TRY(monitor(self, target, &watch, out_alias));
    /* It is in our trie, so the block is there, and its ref stands, also if the notice is queued already. */
    *out_ref = watch->notice.body.down.ref;
    return TROUPE_OK;
}

int trp_monitor_newborn(
    struct troupe_actor *self, struct troupe_actor *newborn, troupe_ref *out_ref)
{
    struct target target = {.actor = newborn, .pid = trp_actor_pid(newborn)};

    return monitor_by_ref(self, &target, out_ref, NULL);
}

int trp_monitor_join(struct troupe_actor *self, troupe_pid pid, troupe_exit_fn on_exit,
    void *context, struct trp_join **out_join)
{
    struct target target = {.actor = trp_actor_find(self->runtime, pid),
        .pid = pid,
        .on_exit = on_exit,
        .context = context};
    struct trp_watch *watch;

    TROUPE_TRY(monitor(self, &target, &watch, NULL));
    *out_join = trp_container_of(watch, struct trp_join, watch);
    return TROUPE_OK;
}

static bool is_watchable(const struct troupe_actor *self, troupe_pid pid)
{
    return trp_actor_is_mine(self) && trp_pid_is_actor(pid) && pid != trp_actor_pid(self);
}

int troupe_monitor_with(
    struct troupe_actor *self, troupe_pid pid, unsigned flags, troupe_ref *out_ref)
{
    TRP_INSIDE(self);
    struct target target = {
        .pid = pid, .flags = (flags & TROUPE_PRIORITY) != 0 ? TROUPE_PRIORITY_DOWN : 0};

    if (!is_watchable(self, pid) || out_ref == NULL || (flags & ~TROUPE_PRIORITY) != 0) {
        return TROUPE_EINVAL;
    }
    target.actor = trp_actor_find(self->runtime, pid);
    return monitor_by_ref(self, &target, out_ref, NULL);
}

int troupe_monitor(struct troupe_actor *self, troupe_pid pid, troupe_ref *out_ref)
{
    return troupe_monitor_with(self, pid, 0, out_ref);
}

int troupe_monitor_alias(struct troupe_actor *self, troupe_pid pid, enum troupe_alias_mode mode,
    unsigned flags, troupe_ref *out_ref, troupe_pid *out_alias)
{
    TRP_INSIDE(self);
    struct target target = {.pid = pid, .flags = flags, .aliased = true, .mode = mode};

    if (!is_watchable(self, pid) || out_ref == NULL || out_alias == NULL ||
        (flags & ~(TROUPE_PRIORITY | TROUPE_PRIORITY_DOWN)) != 0 ||
        (unsigned)mode > TROUPE_ALIAS_REPLY_DEMONITOR || mode == TROUPE_ALIAS_REPLY) {
        return TROUPE_EINVAL;
    }
    target.actor = trp_actor_find(self->runtime, pid);
    return monitor_by_ref(self, &target, out_ref, out_alias);
}

int troupe_monitor_name(struct troupe_actor *self, const char *name, troupe_ref *out_ref)
{
    TRP_INSIDE(self);
    struct target target = {.name = name};

    if (!trp_actor_is_mine(self) || !trp_name_is_valid(name) || out_ref == NULL) {
        return TROUPE_EINVAL;
    }
    target.pid = troupe_whereis(self, name);
    if (target.pid == trp_actor_pid(self)) {
        return TROUPE_EINVAL;
    }
    target.actor = trp_actor_find(self->runtime, target.pid);
    return monitor_by_ref(self, &target, out_ref, NULL);
}

const char *troupe_down_name(const struct troupe_message *msg)
{
    struct trp_notice *notice = trp_notice_of(msg);

    if (msg == NULL || msg->kind != TRP_MESSAGE_NOTICE || notice->kind != TRP_NOTICE_MONITOR ||
        notice->side != TRP_SIDE_NAMED) {
        return NULL;
    }
    return trp_container_of(trp_watch_of(notice), struct trp_named, watch)->name;
}

/* ---- ending ---- */

int troupe_demonitor_flush(
    struct troupe_actor *self, troupe_ref ref, struct troupe_reason *out_reason)
{
    TRP_INSIDE(self);
    struct trp_extra *extra;
    struct trp_watch *watch;

    if (!trp_actor_is_mine(self) || (ref != 0 && !is_ref_of(self, ref))) {
        return TROUPE_EINVAL;
    }
    extra = trp_actor_extra(self);
    if (extra == NULL) {
        return TROUPE_FLUSH_NONE;
    }
    end_answered(self, extra);
    watch = find(extra, ref);
    if (watch == NULL) {
        return TROUPE_FLUSH_NONE;
    }
    return end_monitor(self, watch, out_reason);
}

int troupe_demonitor(struct troupe_actor *self, troupe_ref ref)
{
    TRP_INSIDE(self);
    int found = troupe_demonitor_flush(self, ref, NULL);

    return found == TROUPE_FLUSH_TOLD ? 0 : found;
}

bool trp_monitor_give_up(struct troupe_actor *self, struct trp_join *join)
{
    struct trp_watch *watch = &join->watch;

    if (!trp_watch_take_back(watch)) {
        return false;
    }
    detach(trp_actor_extra(self), watch);
    let_go(trp_context_of(self), watch);
    return true;
}

/* The message still holds the block. */
static int tell_join(struct troupe_actor *self, struct trp_join *join)
{
    if (join->record != NULL) {
        trp_call_close_record(self, join->record);
    }
    return trp_open_status(join->on_exit(
        self, self->state, join->context, TROUPE_OK, &join->watch.notice.body.down.reason));
}

int trp_monitor_open(struct troupe_actor *self, struct trp_watch *watch)
{
    if (!watch->notice.attached) {
        return TROUPE_OK;
    }
    detach(trp_actor_extra(self), watch);
    trp_watch_drop(trp_context_of(self), &watch->notice);
    return watch->notice.side == TRP_SIDE_JOIN
               ? tell_join(self, trp_container_of(watch, struct trp_join, watch))
               : TRP_OPEN_DELIVER;
}

unsigned trp_monitor_end_all(struct troupe_actor *self, unsigned budget)
{
    struct trp_extra *extra = trp_actor_extra(self);

    while (extra->monitors != NULL && budget > 0) {
        (void)end_monitor(self, trp_container_of(extra->monitors, struct trp_watch, node), NULL);
        budget--;
    }
    extra->monitor_ref = 0;
    return budget;
}
