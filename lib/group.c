/* SPDX-License-Identifier: MIT */
/*
 * group.c - many actors under one name: who is a member, and who is told of it.
 *
 * A group is a record in a table of names (name_table.h), with its members in a roster (roster.h).  Look-ups and sends take
 * no lock; who changes a group takes its lock.
 *
 *              first join or monitor             last leave, no monitor left
 *    (no record) ------------------> THERE ----------------------------------> gone ------> (grace period)
 *
 * Nobody creates or deletes it: whoever looks for a record and finds none adds one, and whoever leaves one without
 * members, monitors and holds takes it out of the table before it gives the lock.  Who has found it meanwhile sees
 * `gone` under the lock and looks again.  It is listed while it has members.
 *
 * A *membership* belongs to the actor's token and stands in a trie of its extra block, keyed by the group's number; it
 * knows its seat.  So an end leaves exactly the seats that were taken for this actor, and needs no memory.  One that was
 * dismissed by others has lost its seat before that, and holds the record instead.
 *
 * A *watch* is what a monitor of a group is: one block, whose first bytes are the notice.
 *
 *                  monitor               open              retired, nothing new
 *    (block) ---------------> QUEUED ---------> OPENED ------------------------> IDLE
 *                               ^                 |                                |
 *                               +-----------------+--------------------------------+
 *                                retired, dirty: something new       something new
 *
 * Only that there is something to read travels as a message; what it is, is read under the lock.  A watch has been
 * *told* of joins up to a number.  Who joined is found in the roster behind that number; who left is entered in the
 * group's log with the number of its join, and told of only if that join was.  So one rule serves the first account of
 * all members and all later changes, and there is no gap.  The log is a ring: a watch that is overrun begins anew.
 *
 * Tried and not used: a message for each change and watch.  It takes a block for each pair of member and watcher, set
 * aside before somebody ends, and a slow watcher would be buried.
 *
 * Locks.  A group's lock is taken with no other held, and inside it that of the table.  Notices are sent under it, which
 * takes no lock of lib; nothing is allocated under it, whoever needs memory gives it for a moment and holds the group.
 */
#include "group.h"

#include <string.h>

#include "registry.h"
#include "trie.h"

/** Leaves that are remembered for watches. */
#define LEFT_MAX 256

struct trp_groups {
    struct trp_name_table *table;
    struct trp_memory *memory;
    struct troupe_limits limits;
    _Atomic uint32_t count;   /* any thread: groups that are there */
    _Atomic uint64_t numbers; /* any thread: of groups and refs, given out so far */
};

/* One who left. */
struct trp_left {
    uint64_t number; /* of its join */
    troupe_pid pid;
};

struct trp_member {
    struct trp_trie node; /* in extra->groups; member's token */
    struct trp_group *group;
    uint32_t joins;       /* member's token */
    uint32_t incarnation; /* member's token: whose joins they are */
    uint32_t seat;        /* under the group's lock */
    bool dismissed;       /* under the group's lock: it has no seat any more, but holds the group */
};

struct watch {
    struct troupe_message message;
    struct troupe_group_changed body;
    struct trp_trie node;  /* in extra->group_watches; watcher's token */
    struct trp_list entry; /* the rest under the group's lock; in group->watchers */
    struct trp_group *group;
    troupe_pid watcher;
    uint64_t told; /* of joins up to this number */
    uint64_t left; /* of so many leaves */
    bool queued;   /* the block is a message: in a mailbox, or being handled */
    bool dirty;    /* something has changed since it was opened */
    bool ended;    /* taken back while it was queued */
};

static_assert(offsetof(struct watch, body) == sizeof(struct troupe_message), "the body follows");

const struct troupe_type troupe_group_changed = TROUPE_TYPE(struct troupe_group_changed);

static struct trp_groups *groups_of(const struct troupe_runtime *runtime)
{
    return trp_runtime_module(runtime, TRP_MODULE_GROUPS);
}

static struct trp_group *group_of(struct trp_name *name)
{
    return trp_container_of(name, struct trp_group, name);
}

static struct watch *watch_of(const struct troupe_message *msg)
{
    return trp_container_of(msg, struct watch, message);
}

static uint64_t next_number(struct trp_groups *groups)
{
    /* relaxed: a number that nobody else gets. */
    return atomic_fetch_add_explicit(&groups->numbers, 1, memory_order_relaxed) + 1;
}

/* ---- records ---- */

static void group_free(struct trp_group *group)
{
    struct trp_memory *memory = group->memory;

    trp_memory_free(memory, group->left, LEFT_MAX * sizeof *group->left);
    trp_lock_fini(&group->lock);
    trp_memory_free(memory, group, sizeof *group + group->name.length + 1);
}

static void group_done(struct trp_reclaim *reclaim)
{
    group_free(trp_container_of(reclaim, struct trp_group, reclaim));
}

static void uncount(struct trp_groups *groups)
{
    /* relaxed: a number to compare with a limit; nothing is read on the strength of it. */
    atomic_fetch_sub_explicit(&groups->count, 1, memory_order_relaxed);
}

static int group_new(struct trp_groups *groups, const char *text, struct trp_group **out_group)
{
    size_t length = strlen(text);
    struct trp_group *group;

    /* relaxed: as in uncount(). */
    if (atomic_fetch_add_explicit(&groups->count, 1, memory_order_relaxed) >=
        groups->limits.groups) {
        uncount(groups);
        return TROUPE_ELIMIT;
    }
    group = trp_memory_alloc(groups->memory, sizeof *group + length + 1, alignof(struct trp_group));
    if (group == NULL) {
        uncount(groups);
        return TROUPE_ENOMEM;
    }
    memset(group, 0, sizeof *group);
    memcpy(group->text, text, length + 1);
    trp_name_init(&group->name, group->text);
    group->groups = groups;
    group->memory = groups->memory;
    group->number = next_number(groups);
    trp_lock_init(&group->lock);
    trp_list_init(&group->watchers);
    atomic_init(&group->roster, NULL);
    atomic_init(&group->member_count, 0);
    atomic_init(&group->turn, 0);
    *out_group = group;
    return TROUPE_OK;
}

struct trp_group *trp_group_find(const struct troupe_runtime *runtime, const char *text)
{
    struct trp_name *name = trp_name_table_find(groups_of(runtime)->table, text);

    return name != NULL ? group_of(name) : NULL;
}

/* The record of `text`, a new one if there is none; it may be gone by the time its lock is taken. */
static int find_or_add(struct trp_groups *groups, const char *text, struct trp_group **out_group)
{
    struct trp_name *name = trp_name_table_find(groups->table, text);
    struct trp_group *fresh;

    if (name == NULL) {
        TROUPE_TRY(group_new(groups, text, &fresh));
        name = trp_name_table_add(groups->table, &fresh->name);
        if (name != &fresh->name) {
            uncount(groups);
            group_free(fresh);
        }
    }
    *out_group = group_of(name);
    return TROUPE_OK;
}

/* Takes the lock of the group `text`, which is there then: until let_go(). */
static int enter(struct trp_groups *groups, const char *text, struct trp_group **out_group)
{
    struct trp_group *group;

    for (;;) {
        TROUPE_TRY(find_or_add(groups, text, &group));
        trp_lock_take(&group->lock);
        if (!group->gone) {
            *out_group = group;
            return TROUPE_OK;
        }
        trp_lock_give(&group->lock);
    }
}

/* The roster, under lock; NULL before the first join. */
static struct trp_roster *own_roster(struct trp_group *group)
{
    /* relaxed: its writer holds the lock. */
    return atomic_load_explicit(&group->roster, memory_order_relaxed);
}

/* Gives the lock; takes the record out first if there is nothing in it any more. */
static void let_go(struct trp_group *group)
{
    struct trp_roster *roster = own_roster(group);
    bool empty = group->holds == 0 && (roster == NULL || roster->live == 0);

    if (empty) {
        group->gone = true;
        trp_name_table_remove(group->groups->table, &group->name);
    }
    trp_lock_give(&group->lock);
    if (empty) {
        uncount(group->groups);
        trp_roster_retire(roster);
        trp_reclaim_later(&group->reclaim, group_done);
    }
}

/* ---- seats: under lock ---- */

/* Gives the lock for a moment to allocate a roster of as many seats as are wanted; NULL without memory. */
static struct trp_roster *fetch_roster(struct trp_group *group)
{
    uint32_t room = trp_roster_wanted(own_roster(group));
    struct trp_roster *fresh;

    group->holds++;
    trp_lock_give(&group->lock);
    fresh = trp_roster_new(group->memory, room);
    trp_lock_take(&group->lock);
    group->holds--;
    return fresh;
}

/* Moves all members to `fresh`, which has room for them. */
static void publish(struct trp_group *group, struct trp_roster *fresh)
{
    struct trp_roster *old = own_roster(group);
    uint32_t count = old != NULL ? trp_roster_count(old) : 0;

    for (uint32_t at = 0; at < count; at++) {
        const struct trp_seat *seat = &old->seats[at];
        troupe_pid pid = trp_roster_pid(old, at);

        if (pid != TROUPE_NOBODY) {
            seat->member->seat = trp_roster_put(fresh, pid, seat->number, seat->member);
        }
    }
    /* release: its fields and seats.  PAIR group.roster: acquire in trp_group_roster(). */
    atomic_store_explicit(&group->roster, fresh, memory_order_release);
    trp_roster_retire(old);
}

/* Makes room for one more.  TROUPE_ENOMEM. */
static int make_room(struct trp_group *group)
{
    while (!trp_roster_has_room(own_roster(group))) {
        struct trp_roster *fresh = fetch_roster(group);

        if (fresh == NULL) {
            return TROUPE_ENOMEM;
        }
        /* Others may have joined meanwhile. */
        if (own_roster(group) != NULL && own_roster(group)->live >= fresh->room) {
            trp_roster_free(fresh);
        } else {
            publish(group, fresh);
        }
    }
    return TROUPE_OK;
}

/* Moves together whoever is left, if most seats are empty.  Without memory all stays as it is. */
static void tidy(struct trp_group *group)
{
    struct trp_roster *fresh;

    if (!trp_roster_is_sparse(own_roster(group))) {
        return;
    }
    fresh = fetch_roster(group);
    if (fresh != NULL && trp_roster_is_sparse(own_roster(group)) &&
        own_roster(group)->live < fresh->room) {
        publish(group, fresh);
    } else {
        trp_roster_free(fresh);
    }
}

static void set_member_count(struct trp_group *group, uint32_t count)
{
    /* relaxed: a view. */
    atomic_store_explicit(&group->member_count, count, memory_order_relaxed);
}

/* ---- notices: under lock ---- */

/* Sends the notice of `watch`, which is IDLE.  A watcher that is ending is not told: it takes the watch back. */
static void send_notice(struct trp_context *context, struct watch *watch)
{
    struct troupe_actor *actor = trp_actor_find(context->runtime, watch->watcher);

    watch->queued = actor != NULL;
    watch->dirty = false;
    if (actor != NULL) {
        watch->message.flags = 0;
        watch->message.sender = TROUPE_NOBODY;
        trp_send_reserved(context, actor, &watch->message);
    }
}

/* Something has changed. */
static void tell_watchers(struct trp_context *context, struct trp_group *group)
{
    for (struct trp_list *at = group->watchers.next; at != &group->watchers; at = at->next) {
        struct watch *watch = trp_container_of(at, struct watch, entry);

        if (watch->queued) {
            watch->dirty = true;
        } else {
            send_notice(context, watch);
        }
    }
}

/* ---- membership ---- */

static struct trp_member *member_of(struct trp_extra *extra, const struct trp_group *group)
{
    struct trp_trie *node = trp_trie_find(extra->groups, trp_trie_mix(group->number));

    return node != NULL ? trp_container_of(node, struct trp_member, node) : NULL;
}

/* The membership of `self` in the group `text`, or NULL.  A group with a member is there, so its record is that group. */
static struct trp_member *find_member(struct troupe_actor *self, const char *text)
{
    struct trp_extra *extra = trp_actor_extra(self);
    struct trp_group *group = extra != NULL ? trp_group_find(self->runtime, text) : NULL;

    return group != NULL ? member_of(extra, group) : NULL;
}

/* The joins of `member` that count for the present life: those of the last one are one. */
static void renew(struct troupe_actor *self, struct trp_member *member, uint32_t joins)
{
    if (member->incarnation != troupe_incarnation(self)) {
        member->incarnation = troupe_incarnation(self);
        member->joins = joins;
    }
}

static void *block_new(struct trp_context *context, size_t size)
{
    return trp_pool_alloc(&context->pool, trp_pool_class(size));
}

static void block_free(struct trp_context *context, void *block, size_t size)
{
    trp_pool_free(&context->pool, block, trp_pool_class(size));
}

/* Takes a seat for `actor`.  Under lock. */
static int take_seat(struct trp_context *context, struct troupe_actor *actor,
    struct trp_group *group, struct trp_member *member)
{
    struct trp_roster *roster;

    TROUPE_TRY(make_room(group));
    roster = own_roster(group);
    if (roster->live >= group->groups->limits.group_members) {
        return TROUPE_ELIMIT;
    }
    member->group = group;
    member->seat = trp_roster_put(roster, trp_actor_pid(actor), ++group->last_number, member);
    set_member_count(group, roster->live);
    if (roster->live == 1) {
        trp_name_table_show(group->groups->table, &group->name);
    }
    tell_watchers(context, group);
    return TROUPE_OK;
}

/* Which limit is in the way of one more group for `self`. */
static const char *limit_of(struct troupe_actor *self, const char *text)
{
    const struct trp_groups *groups = groups_of(self->runtime);

    if (trp_actor_extra(self)->group_count >= groups->limits.actor_groups) {
        return "limits.actor_groups";
    }
    return trp_group_find(self->runtime, text) == NULL ? "limits.groups" : "limits.group_members";
}

static void report_limit(struct troupe_actor *self, const char *what, const char *text)
{
    trp_report(self->runtime, TROUPE_REPORT_LIMIT, trp_actor_pid(self), self->behaviour->name,
        "cannot %s group \"%s\": %s is reached", what, text, limit_of(self, text));
}

/* Takes `actor` in as a new member. */
static int admit(struct trp_context *context, struct troupe_actor *actor, const char *text,
    struct trp_member *member)
{
    struct trp_groups *groups = groups_of(actor->runtime);
    struct trp_extra *extra = trp_actor_extra(actor);
    struct trp_group *group;
    int error;

    if (extra->group_count >= groups->limits.actor_groups) {
        return TROUPE_ELIMIT;
    }
    TROUPE_TRY(enter(groups, text, &group));
    error = take_seat(context, actor, group, member);
    let_go(group);
    if (error < 0) {
        return error;
    }
    member->joins = 1;
    member->dismissed = false;
    member->incarnation = troupe_incarnation(actor);
    trp_trie_insert(&extra->groups, &member->node, trp_trie_mix(group->number));
    extra->group_count++;
    return TROUPE_OK;
}

int trp_group_enroll(struct trp_context *context, struct troupe_actor *actor, const char *text)
{
    struct trp_member *member;
    int error;

    if (trp_actor_need_extra(context, actor) == NULL) {
        return TROUPE_ENOMEM;
    }
    member = block_new(context, sizeof *member);
    if (member == NULL) {
        return TROUPE_ENOMEM;
    }
    error = admit(context, actor, text, member);
    if (error < 0) {
        block_free(context, member, sizeof *member);
    }
    if (error == TROUPE_ELIMIT) {
        report_limit(actor, "join", text);
    }
    return error;
}

int troupe_group_join(struct troupe_actor *self, const char *group)
{
    TRP_INSIDE(self);
    struct trp_member *member;

    if (!trp_actor_is_mine(self) || !trp_name_is_valid(group)) {
        return TROUPE_EINVAL;
    }
    member = find_member(self, group);
    if (member == NULL) {
        return trp_group_enroll(trp_context_of(self), self, group);
    }
    renew(self, member, 0);
    member->joins++;
    return TROUPE_OK;
}

/* Enters in the log that the one in `seat` leaves, if somebody wants to know. */
static void log_left(struct trp_group *group, const struct trp_seat *seat, troupe_pid pid)
{
    if (group->watcher_count > 0) {
        group->left[group->left_count++ % LEFT_MAX] = (struct trp_left){seat->number, pid};
    }
}

/* Empties the seat of `pid`.  Under lock. */
static void give_seat(
    struct trp_context *context, struct trp_group *group, uint32_t seat, troupe_pid pid)
{
    struct trp_roster *roster = own_roster(group);

    log_left(group, &roster->seats[seat], pid);
    trp_roster_leave(roster, seat);
    set_member_count(group, roster->live);
    if (roster->live == 0) {
        trp_name_table_hide(group->groups->table, &group->name);
    }
    tell_watchers(context, group);
    tidy(group);
}

/* Leaves for good, however often it joined. */
static void leave(struct troupe_actor *self, struct trp_extra *extra, struct trp_member *member)
{
    struct trp_group *group = member->group;

    trp_trie_remove(&extra->groups, &member->node);
    extra->group_count--;
    trp_lock_take(&group->lock);
    if (member->dismissed) {
        group->holds--;
    } else {
        give_seat(trp_context_of(self), group, member->seat, trp_actor_pid(self));
    }
    let_go(group);
    block_free(trp_context_of(self), member, sizeof *member);
}

/* Where `pid` sits, looked for from the newest seat on.  Under lock.  NULL: nowhere. */
static struct trp_member *seated_member(struct trp_group *group, troupe_pid pid)
{
    const struct trp_roster *roster = own_roster(group);
    uint32_t at = roster != NULL ? trp_roster_count(roster) : 0;

    while (at > 0) {
        at--;
        if (trp_roster_pid(roster, at) == pid) {
            return roster->seats[at].member;
        }
    }
    return NULL;
}

bool trp_group_dismiss(struct trp_context *context, troupe_pid pid, const char *text)
{
    struct trp_group *group = trp_group_find(context->runtime, text);
    struct trp_member *member;

    if (group == NULL) {
        return false;
    }
    trp_lock_take(&group->lock);
    member = seated_member(group, pid);
    if (member != NULL) {
        member->dismissed = true;
        group->holds++;
        give_seat(context, group, member->seat, pid);
    }
    trp_lock_give(&group->lock);
    return member != NULL;
}

int troupe_group_leave(struct troupe_actor *self, const char *group)
{
    TRP_INSIDE(self);
    struct trp_member *member;

    if (!trp_actor_is_mine(self) || !trp_name_is_valid(group)) {
        return TROUPE_EINVAL;
    }
    member = find_member(self, group);
    if (member == NULL) {
        return TROUPE_ENOENT;
    }
    renew(self, member, 1);
    if (--member->joins == 0) {
        leave(self, trp_actor_extra(self), member);
    }
    return TROUPE_OK;
}

unsigned trp_group_release(struct troupe_actor *self, unsigned budget)
{
    struct trp_extra *extra = trp_actor_extra(self);

    while (extra != NULL && extra->groups != NULL && budget > 0) {
        leave(self, extra, trp_container_of(extra->groups, struct trp_member, node));
        budget--;
    }
    return budget;
}

/* ---- watches ---- */

static struct watch *watch_new(struct troupe_actor *self)
{
    struct watch *watch = block_new(trp_context_of(self), sizeof *watch);

    if (watch == NULL) {
        return NULL;
    }
    memset(watch, 0, sizeof *watch);
    watch->message.type = &troupe_group_changed;
    watch->message.size = sizeof watch->body;
    watch->message.kind = TRP_MESSAGE_CHANGE;
    watch->body.ref = next_number(groups_of(self->runtime));
    watch->watcher = trp_actor_pid(self);
    trp_list_init(&watch->entry);
    return watch;
}

static void watch_free(struct trp_context *context, struct watch *watch)
{
    block_free(context, watch, sizeof *watch);
}

/* Makes the log, if there is none yet; gives the lock for a moment.  TROUPE_ENOMEM. */
static int need_log(struct trp_group *group)
{
    size_t size = LEFT_MAX * sizeof *group->left;
    struct trp_left *fresh;

    if (group->left != NULL) {
        return TROUPE_OK;
    }
    group->holds++;
    trp_lock_give(&group->lock);
    fresh = trp_memory_alloc(group->memory, size, alignof(struct trp_left));
    trp_lock_take(&group->lock);
    group->holds--;
    if (group->left == NULL) {
        group->left = fresh;
    } else {
        trp_memory_free(group->memory, fresh, size);
    }
    return group->left != NULL ? TROUPE_OK : TROUPE_ENOMEM;
}

/* Under lock. */
static int add_watch(struct trp_context *context, struct trp_group *group, struct watch *watch)
{
    TROUPE_TRY(need_log(group));
    if (group->watcher_count >= group->groups->limits.group_members) {
        return TROUPE_ELIMIT;
    }
    group->holds++;
    group->watcher_count++;
    trp_list_push(&group->watchers, &watch->entry);
    watch->group = group;
    watch->left = group->left_count;
    send_notice(context, watch);
    return TROUPE_OK;
}

static int monitor(
    struct troupe_actor *self, struct trp_extra *extra, const char *text, struct watch *watch)
{
    struct trp_groups *groups = groups_of(self->runtime);
    struct trp_group *group;
    int error;

    if (extra->group_count >= groups->limits.actor_groups) {
        return TROUPE_ELIMIT;
    }
    TROUPE_TRY(enter(groups, text, &group));
    error = add_watch(trp_context_of(self), group, watch);
    let_go(group);
    if (error < 0) {
        return error;
    }
    trp_trie_insert(&extra->group_watches, &watch->node, trp_trie_mix(watch->body.ref));
    extra->group_count++;
    return TROUPE_OK;
}

int troupe_group_monitor(struct troupe_actor *self, const char *group, troupe_ref *out_ref)
{
    TRP_INSIDE(self);
    struct trp_extra *extra;
    struct watch *watch;
    int error;

    if (!trp_actor_is_mine(self) || !trp_name_is_valid(group) || out_ref == NULL) {
        return TROUPE_EINVAL;
    }
    extra = trp_actor_need_extra(trp_context_of(self), self);
    watch = extra != NULL ? watch_new(self) : NULL;
    if (watch == NULL) {
        return TROUPE_ENOMEM;
    }
    error = monitor(self, extra, group, watch);
    if (error < 0) {
        watch_free(trp_context_of(self), watch);
        if (error == TROUPE_ELIMIT) {
            report_limit(self, "monitor", group);
        }
        return error;
    }
    *out_ref = watch->body.ref;
    return TROUPE_OK;
}

static struct watch *find_watch(struct troupe_actor *self, troupe_ref ref)
{
    struct trp_extra *extra = trp_actor_extra(self);
    struct trp_trie *node =
        extra != NULL ? trp_trie_find(extra->group_watches, trp_trie_mix(ref)) : NULL;

    return node != NULL ? trp_container_of(node, struct watch, node) : NULL;
}

/* Ends a watch; if it is queued its block goes when that message does. */
static void end_watch(struct troupe_actor *self, struct watch *watch)
{
    struct trp_extra *extra = trp_actor_extra(self);
    struct trp_group *group = watch->group;
    bool queued;

    trp_trie_remove(&extra->group_watches, &watch->node);
    extra->group_count--;
    trp_lock_take(&group->lock);
    trp_list_remove(&watch->entry);
    group->watcher_count--;
    watch->ended = true;
    queued = watch->queued;
    group->holds -= queued ? 0 : 1;
    let_go(group);
    if (!queued) {
        watch_free(trp_context_of(self), watch);
    }
}

int troupe_group_demonitor(struct troupe_actor *self, troupe_ref ref)
{
    TRP_INSIDE(self);
    struct watch *watch;

    if (!trp_actor_is_mine(self)) {
        return TROUPE_EINVAL;
    }
    watch = find_watch(self, ref);
    if (watch == NULL) {
        return 0;
    }
    end_watch(self, watch);
    return 1;
}

void trp_group_cancel(struct troupe_actor *self)
{
    struct trp_extra *extra = trp_actor_extra(self);

    while (extra != NULL && extra->group_watches != NULL) {
        end_watch(self, trp_container_of(extra->group_watches, struct watch, node));
    }
}

int trp_group_open(struct troupe_actor *self, struct troupe_message *msg)
{
    struct watch *watch = watch_of(msg);
    bool ended;

    (void)self;
    trp_lock_take(&watch->group->lock);
    watch->dirty = false;
    ended = watch->ended;
    trp_lock_give(&watch->group->lock);
    return ended ? TROUPE_OK : TRP_OPEN_DELIVER;
}

void trp_group_retire(struct trp_context *context, struct troupe_message *msg)
{
    struct watch *watch = watch_of(msg);
    struct trp_group *group = watch->group;
    bool ended;

    trp_lock_take(&group->lock);
    watch->queued = false;
    ended = watch->ended;
    if (ended) {
        group->holds--;
    } else if (watch->dirty) {
        send_notice(context, watch);
    }
    let_go(group);
    if (ended) {
        watch_free(context, watch);
    }
}

/* ---- changes: under lock ---- */

struct account {
    struct watch *watch;
    struct troupe_group_change *out;
    uint32_t max;
    uint32_t count;
};

static void write_change(struct account *account, enum troupe_group_event event, troupe_pid pid)
{
    account->out[account->count++] = (struct troupe_group_change){event, pid};
}

/* More left than the log has: all is told of anew. */
static void begin_anew(struct account *account)
{
    struct watch *watch = account->watch;

    if (watch->group->left_count - watch->left > LEFT_MAX) {
        write_change(account, TROUPE_GROUP_RESET, TROUPE_NOBODY);
        watch->told = 0;
        watch->left = watch->group->left_count;
    }
}

/* Who left, of those it was told of. */
static void tell_leaves(struct account *account)
{
    struct watch *watch = account->watch;
    const struct trp_group *group = watch->group;

    while (watch->left < group->left_count && account->count < account->max) {
        const struct trp_left *left = &group->left[watch->left++ % LEFT_MAX];

        if (left->number <= watch->told) {
            write_change(account, TROUPE_GROUP_LEFT, left->pid);
        }
    }
}

/* Who has joined, when all leaves were told of. */
static void tell_joins(struct account *account)
{
    struct watch *watch = account->watch;
    const struct trp_roster *roster = own_roster(watch->group);
    uint32_t count = roster != NULL ? trp_roster_count(roster) : 0;
    uint32_t at = count > 0 ? trp_roster_after(roster, count, watch->told) : 0;

    for (; at < count && account->count < account->max; at++) {
        troupe_pid pid = trp_roster_pid(roster, at);

        if (pid != TROUPE_NOBODY) {
            watch->told = roster->seats[at].number;
            write_change(account, TROUPE_GROUP_JOINED, pid);
        }
    }
}

int troupe_group_changes(struct troupe_actor *self, troupe_ref ref,
    struct troupe_group_change *out_changes, uint32_t max)
{
    TRP_INSIDE(self);
    struct account account = {.out = out_changes, .max = max};

    if (!trp_actor_is_mine(self) || out_changes == NULL || max == 0 || max > INT32_MAX) {
        return TROUPE_EINVAL;
    }
    account.watch = find_watch(self, ref);
    if (account.watch == NULL) {
        return TROUPE_ENOENT;
    }
    trp_lock_take(&account.watch->group->lock);
    begin_anew(&account);
    tell_leaves(&account);
    tell_joins(&account);
    if (account.count < max) {
        account.watch->dirty = false;
    }
    trp_lock_give(&account.watch->group->lock);
    return (int)account.count;
}

/* ---- lists ---- */

/* Under reclaim. */
static uint32_t list_members(
    struct trp_group *group, uint64_t after, struct troupe_group_member *out_members, uint32_t max)
{
    const struct trp_roster *roster = trp_group_roster(group);
    uint32_t seats = roster != NULL ? trp_roster_count(roster) : 0;
    uint32_t count = 0;

    for (uint32_t at = seats > 0 ? trp_roster_after(roster, seats, after) : 0;
         at < seats && count < max; at++) {
        troupe_pid pid = trp_roster_pid(roster, at);

        if (pid != TROUPE_NOBODY) {
            out_members[count++] = (struct troupe_group_member){pid, roster->seats[at].number};
        }
    }
    return count;
}

int troupe_group_members(struct troupe_runtime *runtime, const char *group, uint64_t after,
    struct troupe_group_member *out_members, uint32_t max)
{
    struct trp_group *found;
    bool was_offline;
    uint32_t count = 0;

    if (runtime == NULL || !trp_name_is_valid(group) || (out_members == NULL && max > 0) ||
        max > INT32_MAX) {
        return TROUPE_EINVAL;
    }
    TROUPE_TRY(trp_reclaim_attach());
    was_offline = trp_reclaim_enter();
    found = trp_group_find(runtime, group);
    if (found != NULL) {
        count = list_members(found, after, out_members, max);
    }
    trp_reclaim_leave(was_offline);
    return (int)count;
}

static void write_row(const struct trp_name *name, void *out, uint32_t at)
{
    struct troupe_group *row = (struct troupe_group *)out + at;
    const struct trp_group *group = trp_container_of(name, struct trp_group, name);

    memcpy(row->name, name->order.text, name->length + 1);
    /* relaxed: a view. */
    row->members = atomic_load_explicit(&group->member_count, memory_order_relaxed);
}

int troupe_groups(struct troupe_runtime *runtime, const char *prefix, const char *after,
    struct troupe_group *out_groups, uint32_t max)
{
    struct trp_name_range range = {prefix, after};
    bool was_offline;
    uint32_t count;

    if (runtime == NULL || (out_groups == NULL && max > 0) || max > INT32_MAX ||
        !trp_name_range_is_valid(&range)) {
        return TROUPE_EINVAL;
    }
    TROUPE_TRY(trp_reclaim_attach());
    was_offline = trp_reclaim_enter();
    count = trp_name_table_list(groups_of(runtime)->table, &range, write_row, out_groups, max);
    trp_reclaim_leave(was_offline);
    return (int)count;
}

/* ---- create and destroy ---- */

int trp_group_create(struct troupe_runtime *runtime)
{
    struct trp_memory *memory = trp_runtime_memory(runtime);
    struct trp_groups *groups =
        trp_memory_alloc(memory, sizeof *groups, alignof(struct trp_groups));
    int error;

    if (groups == NULL) {
        return TROUPE_ENOMEM;
    }
    groups->memory = memory;
    groups->limits = *trp_runtime_limits(runtime);
    atomic_init(&groups->count, 0);
    atomic_init(&groups->numbers, 0);
    error = trp_name_table_create(runtime, &groups->table);
    if (error < 0) {
        trp_memory_free(memory, groups, sizeof *groups);
        return error;
    }
    trp_runtime_set_module(runtime, TRP_MODULE_GROUPS, groups);
    return TROUPE_OK;
}

void trp_group_destroy(struct troupe_runtime *runtime)
{
    struct trp_groups *groups = groups_of(runtime);

    if (groups == NULL) {
        return;
    }
    trp_assert(trp_name_table_first(groups->table) == NULL);
    trp_name_table_destroy(groups->table);
    trp_memory_free(groups->memory, groups, sizeof *groups);
    trp_runtime_set_module(runtime, TRP_MODULE_GROUPS, NULL);
}
