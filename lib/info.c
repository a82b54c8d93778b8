/* SPDX-License-Identifier: MIT */
/*
 * info.c - a look at one actor by somebody else.
 *
 * What is read is set before the pid is published, atomic, or under the lock of the extra block; what only the token's holder
 * may read (timers, the monitors it made) is not looked at.  The cell is under reclaim: it may end meanwhile, but nobody
 * else moves in.  Whether it lives is asked last: what was read before was that of one that lived.
 */
#include "registry.h"
#include "watch.h"

#include <string.h>

#include <troupe/info.h>

static enum troupe_actor_state state_of(const struct troupe_actor *actor)
{
    /* relaxed: a view. */
    if (atomic_load_explicit(&actor->phase, memory_order_relaxed) < TRP_PHASE_WAITING) {
        return TROUPE_ACTOR_STARTING;
    }
    return trp_mailbox_is_parked(&actor->mailbox) ? TROUPE_ACTOR_IDLE : TROUPE_ACTOR_BUSY;
}

static uint64_t memory_of(const struct troupe_actor *actor)
{
    size_t state_size = actor->behaviour->state_size;

    return sizeof *actor + actor->arg_size + (state_size > TRP_STATE_INLINE ? state_size : 0);
}

/* What hangs on the extra block. */
static void look_at_extra(struct trp_extra *extra, struct troupe_info *info)
{
    trp_lock_take(&extra->lock);
    info->links = extra->link_count;
    info->watchers = extra->watcher_count - extra->link_count;
    trp_registry_copy_name(extra, info->name);
    /* relaxed: a number.  Those that are over and still counted were counted first. */
    info->monitors =
        atomic_load_explicit(&extra->watch_count, memory_order_relaxed) - extra->answered_count;
    trp_lock_give(&extra->lock);
    info->memory += sizeof *extra + trp_arena_size(&extra->arena);
}

static void look_at(struct troupe_actor *actor, troupe_pid pid, struct troupe_info *info)
{
    struct trp_extra *extra = trp_actor_extra(actor);
    uint64_t queued = trp_charge_queued(&actor->charge);

    *info = (struct troupe_info){
        .pid = pid,
        .parent = actor->parent,
        .behaviour = actor->behaviour->name,
        .state = state_of(actor),
        .incarnation = troupe_incarnation(actor),
        .mailbox_length = (uint32_t)(queued >> 40),
        .mailbox_capacity = (uint32_t)(trp_actor_capacity(actor->behaviour) >> 40),
        .mailbox_bytes = queued & TRP_CHARGE_BYTES,
        .memory = memory_of(actor),
    };
    if (extra != NULL) {
        look_at_extra(extra, info);
    }
}

int troupe_info_sized(
    struct troupe_runtime *runtime, troupe_pid pid, struct troupe_info *out_info, size_t info_size)
{
    struct trp_visit visit;
    struct troupe_info info;
    struct troupe_actor *actor;
    int error = TROUPE_EGONE;

    if (runtime == NULL || !trp_pid_is_actor(pid) || out_info == NULL || info_size == 0) {
        return TROUPE_EINVAL;
    }
    TROUPE_TRY(trp_context_enter(runtime, &visit));
    actor = trp_actor_find(runtime, pid);
    if (actor != NULL) {
        look_at(actor, pid, &info);
        error = trp_actor_is_alive(actor, pid) ? TROUPE_OK : TROUPE_EGONE;
    }
    trp_context_leave(&visit);
    if (error == TROUPE_OK) {
        memcpy(out_info, &info, info_size < sizeof info ? info_size : sizeof info);
    }
    return error;
}

/* ---- who ---- */

struct listing {
    enum trp_notice_kind kind;
    troupe_pid *pids;
    size_t most;
    size_t count;
};

/* Those of the list that are of one kind.  Of a link a half tells its watcher, which is the peer. */
static void list_watchers(struct trp_extra *extra, struct listing *listing)
{
    struct trp_list *entry;

    trp_lock_take(&extra->lock);
    for (entry = extra->watchers.next; entry != &extra->watchers; entry = entry->next) {
        const struct trp_watch *watch = trp_container_of(entry, struct trp_watch, told);

        if (watch->notice.kind != listing->kind) {
            continue;
        }
        if (listing->count < listing->most) {
            listing->pids[listing->count] = watch->watcher;
        }
        listing->count++;
    }
    trp_lock_give(&extra->lock);
}

static int list_kind(
    struct troupe_runtime *runtime, troupe_pid pid, struct listing *listing, size_t *out_count)
{
    struct trp_visit visit;
    struct troupe_actor *actor;
    int error = TROUPE_EGONE;

    if (runtime == NULL || !trp_pid_is_actor(pid) || (listing->pids == NULL && listing->most > 0) ||
        out_count == NULL) {
        return TROUPE_EINVAL;
    }
    TROUPE_TRY(trp_context_enter(runtime, &visit));
    actor = trp_actor_find(runtime, pid);
    if (actor != NULL) {
        struct trp_extra *extra = trp_actor_extra(actor);

        if (extra != NULL) {
            list_watchers(extra, listing);
        }
        error = trp_actor_is_alive(actor, pid) ? TROUPE_OK : TROUPE_EGONE;
    }
    trp_context_leave(&visit);
    if (error == TROUPE_OK) {
        *out_count = listing->count;
    }
    return error;
}

int troupe_info_links(struct troupe_runtime *runtime, troupe_pid pid, troupe_pid *pids, size_t most,
    size_t *out_count)
{
    struct listing listing = {.kind = TRP_NOTICE_LINK, .pids = pids, .most = most};

    return list_kind(runtime, pid, &listing, out_count);
}

int troupe_info_watchers(struct troupe_runtime *runtime, troupe_pid pid, troupe_pid *pids,
    size_t most, size_t *out_count)
{
    struct listing listing = {.kind = TRP_NOTICE_MONITOR, .pids = pids, .most = most};

    return list_kind(runtime, pid, &listing, out_count);
}
