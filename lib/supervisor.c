/* SPDX-License-Identifier: MIT */
/*
 * supervisor.c - an actor that starts, watches, restarts and stops other actors.
 *
 * It never waits inside a callback.  Whatever takes time is a state of the child (child.h) or of the supervisor:
 *
 *               init                all started                  stop, given up, parent's end, all significant work done
 *     (spawned) ------> BEGINNING -------------> SERVING ------------------------------> ENDING ------> (exits)
 *                           |                                                              ^
 *                           +--------------------------------------------------------------+
 *                                 a child cannot start; the parent's end
 *
 * Beside that at most one *sweep* goes through the children, one at a time, and is continued by whatever it waits for:
 *
 *               down from the last one               `from` has stopped        up to the last one
 *     NONE ------> DOWN ------------------------------------> UP ------------------------------> NONE
 *        \                    (ENDING: all are stopped, exit)  ^
 *         +----------------------------------------------------+
 *               the first start
 *
 * One-for-one restarts need no sweep: each child goes its own way, also while others start or stop.  A child that ends
 * by itself during a sweep up of a group turns the sweep round.
 *
 * What a child's end means.  Exactly one notice per life counts, the tie's (link.h); it leads to the child by its
 * owner, in O(1).  In RUNNING the table of supervisor.h decides; in STARTING it is a start that failed; in STOPPING it
 * was asked for.  An attempt to restart is charged before it is made; one that fails is made again behind what is in
 * the mailbox, and charged again.  Want of cells or memory is nobody's fault: tried again later, not charged.
 *
 * Memory.  A restart uses a tie that was set aside: the supervisor has two more than its children need, because a tie
 * comes back a little after the end that it told of.
 *
 * Stable addresses.  The cell of a child with keep_mailbox outlives its lives; `in_place` says that it waits.
 * Whenever such a child is to rest it is released, and its next start makes a new one.
 */
#include "child.h"

#include <string.h>

#include <troupe/link.h>
#include <troupe/mailbox.h>
#include <troupe/timer.h>

#include "admin.h"
#include "gate.h"
#include "intensity.h"
#include "link.h"
#include "registry.h"

/** After a want of memory or cells. */
#define RETRY_MS 10

/** Ties set aside beyond those in use. */
#define SPARE_TIES 2

/** Ties of ended lives are kept up to this number. */
#define SPARE_TIES_MAX 64

enum phase {
    PHASE_BEGINNING,
    PHASE_SERVING,
    PHASE_ENDING,
};

enum sweep {
    SWEEP_NONE,
    SWEEP_DOWN,
    SWEEP_UP,
};

/** What a tick is for. */
enum tick_kind {
    TICK_START,  /* init took too long */
    TICK_STOP,   /* the child did not end in time */
    TICK_RETRY,  /* restart it again; is charged */
    TICK_RESUME, /* go on where memory was missing; is not */
};

struct tick {
    uint64_t number; /* of the child */
    uint64_t epoch;
    enum tick_kind kind;
};

static const struct troupe_type tick_type = TROUPE_TYPE(struct tick);

/* A request that is answered later. */
struct trp_pending {
    struct trp_list entry; /* in child->requests */
    struct troupe_message *request;
    enum troupe_child_op op;
};

struct spare {
    struct trp_tie *ties[SPARE_TIES_MAX]; /* ring: oldest first */
    unsigned first;
    unsigned count;
};

struct supervisor {
    struct troupe_actor *self;
    struct troupe_runtime *runtime;
    struct trp_memory *memory;
    const struct trp_plan *plan;
    const char *name; /* or NULL */
    enum phase phase;

    struct trp_list children; /* in start order */
    uint64_t child_count;
    uint64_t next_number;
    struct trp_trie *by_id;
    struct trp_trie *by_number;

    enum sweep sweep;
    struct trp_child *from;   /* the first child of the sweep; NULL: none is left of it */
    struct trp_child *cursor; /* the child it is at; NULL: through */

    struct trp_intensity intensity;
    struct spare spare;
    uint64_t restart_count;
    struct troupe_reason reason; /* ENDING: with which it exits; owns its text */
    bool told;                   /* the start is over, and whoever waits knows */
};

/* For a result that changes nothing here. */
static void ignore(int result)
{
    (void)result;
}

static struct trp_context *context_of(const struct supervisor *sup)
{
    return trp_context_of(sup->self);
}

/* ---- ties ---- */

/* Puts a tie aside for another life, or gives it up if there are enough. */
static void tie_give(struct supervisor *sup, struct trp_tie *tie)
{
    struct spare *spare = &sup->spare;

    if (spare->count == SPARE_TIES_MAX) {
        trp_tie_free(context_of(sup), tie);
        return;
    }
    trp_tie_disown(tie);
    spare->ties[(spare->first + spare->count) % SPARE_TIES_MAX] = tie;
    spare->count++;
}

/* The oldest tie put aside, if there are more than `keep` and it is idle. */
static struct trp_tie *tie_reuse(struct supervisor *sup, unsigned keep)
{
    struct spare *spare = &sup->spare;
    struct trp_tie *tie = spare->ties[spare->first];

    if (spare->count <= keep || !trp_tie_is_idle(tie)) {
        return NULL;
    }
    spare->first = (spare->first + 1) % SPARE_TIES_MAX;
    spare->count--;
    return tie;
}

/* An idle tie; NULL without memory.  A first start takes a new one: those set aside are for restarts. */
static struct trp_tie *tie_take(struct supervisor *sup)
{
    struct trp_tie *tie = tie_reuse(sup, SPARE_TIES);

    if (tie == NULL) {
        tie = trp_tie_new(context_of(sup));
    }
    return tie != NULL ? tie : tie_reuse(sup, 0);
}

static int ties_set_aside(struct supervisor *sup)
{
    for (unsigned i = 0; i < SPARE_TIES; i++) {
        struct trp_tie *tie = trp_tie_new(context_of(sup));

        if (tie == NULL) {
            return TROUPE_ENOMEM;
        }
        tie_give(sup, tie);
    }
    return TROUPE_OK;
}

/* The life of `child` is over: its tie may serve another. */
static void untie(struct supervisor *sup, struct trp_child *child)
{
    if (child->tie != NULL) {
        tie_give(sup, child->tie);
        child->tie = NULL;
    }
}

/* ---- children: list, states, ticks ---- */

static struct trp_child *next_child(const struct supervisor *sup, const struct trp_child *child)
{
    return child->entry.next == &sup->children
               ? NULL
               : trp_container_of(child->entry.next, struct trp_child, entry);
}

static struct trp_child *previous_child(const struct supervisor *sup, const struct trp_child *child)
{
    return child->entry.prev == &sup->children
               ? NULL
               : trp_container_of(child->entry.prev, struct trp_child, entry);
}

static struct trp_child *first_child(const struct supervisor *sup)
{
    return trp_list_is_empty(&sup->children)
               ? NULL
               : trp_container_of(sup->children.next, struct trp_child, entry);
}

static struct trp_child *last_child(const struct supervisor *sup)
{
    return trp_list_is_empty(&sup->children)
               ? NULL
               : trp_container_of(sup->children.prev, struct trp_child, entry);
}

/* The child that the sweep comes to after `cursor`. */
static struct trp_child *sweep_next(const struct supervisor *sup)
{
    if (sup->sweep == SWEEP_UP) {
        return next_child(sup, sup->cursor);
    }
    return sup->cursor == sup->from ? NULL : previous_child(sup, sup->cursor);
}

/* Whether a sweep down is to stop `child`, or has: on its way up it will start it.  Numbers rise with the start order. */
static bool is_swept(const struct supervisor *sup, const struct trp_child *child)
{
    return sup->sweep == SWEEP_DOWN && sup->from != NULL && child->number >= sup->from->number;
}

/* Whether a sweep up has still to come to `child`. */
static bool is_ahead(const struct supervisor *sup, const struct trp_child *child)
{
    return sup->sweep == SWEEP_UP && sup->cursor != NULL && child->number > sup->cursor->number;
}

static void child_add(struct supervisor *sup, struct trp_child *child)
{
    child->number = ++sup->next_number;
    trp_list_push(&sup->children, &child->entry);
    trp_trie_insert(&sup->by_id, &child->by_id, trp_child_hash(trp_child_id(child)));
    trp_trie_insert(&sup->by_number, &child->by_number, trp_trie_mix(child->number));
    sup->child_count++;
}

static void set_state(
    struct supervisor *sup, struct trp_child *child, enum troupe_child_state state)
{
    child->state = state;
    child->epoch++;
    ignore(troupe_timer_cancel(sup->self, child->timer));
    child->timer = (struct troupe_timer){0};
}

/* The tick that ends the state `child` is in.  TROUPE_ENOMEM, TROUPE_ELIMIT. */
static int set_tick(
    struct supervisor *sup, struct trp_child *child, enum tick_kind kind, uint64_t delay_ms)
{
    struct tick tick = {child->number, child->epoch, kind};

    return troupe_tick_after(sup->self, delay_ms, &tick_type, &tick, &child->timer);
}

/* Lets the cell of a child go that is not to live again. */
static void let_go(struct supervisor *sup, struct trp_child *child)
{
    if (child->in_place) {
        ignore(trp_actor_release(context_of(sup), child->pid));
        child->in_place = false;
    }
    child->pid = TROUPE_NOBODY;
}

static void child_remove(struct supervisor *sup, struct trp_child *child)
{
    trp_assert(trp_list_is_empty(&child->requests));
    if (sup->cursor == child) {
        sup->cursor = sweep_next(sup);
    }
    if (sup->from == child) {
        sup->from = next_child(sup, child);
    }
    set_state(sup, child, TROUPE_CHILD_STOPPED);
    let_go(sup, child);
    untie(sup, child);
    trp_list_remove(&child->entry);
    trp_trie_remove(&sup->by_id, &child->by_id);
    trp_trie_remove(&sup->by_number, &child->by_number);
    sup->child_count--;
    trp_child_destroy(sup->memory, child);
}

/* ---- requests ---- */

/* What a child looks like from outside: one that a sweep has stopped and will start is restarting. */
static enum troupe_child_state shown_state(const struct trp_child *child)
{
    return child->state == TROUPE_CHILD_STOPPED && child->wanted ? TROUPE_CHILD_RESTARTING
                                                                 : child->state;
}

static bool is_alive(const struct trp_child *child)
{
    return child->state == TROUPE_CHILD_RUNNING || child->state == TROUPE_CHILD_STARTING ||
           child->state == TROUPE_CHILD_STOPPING;
}

static void answer(struct supervisor *sup, struct troupe_message *request, int status,
    const struct trp_child *child)
{
    struct troupe_child_answer body = {.status = status, .state = TROUPE_CHILD_STOPPED};

    if (child != NULL) {
        body.state = shown_state(child);
        body.pid = is_alive(child) ? child->pid : TROUPE_NOBODY;
    }
    if (troupe_reply(sup->self, request, &troupe_child_answer, &body) == TROUPE_ENOMEM) {
        ignore(troupe_reply_error(sup->self, request, TROUPE_ENOMEM));
    }
}

/* Keeps the request that is handled until `child` has come to where it wants it. */
static int keep_request(struct supervisor *sup, struct trp_child *child, struct troupe_message *msg,
    enum troupe_child_op op)
{
    struct trp_pending *pending =
        trp_memory_alloc(sup->memory, sizeof *pending, alignof(struct trp_pending));
    int error;

    if (pending == NULL) {
        return TROUPE_ENOMEM;
    }
    error = troupe_take(sup->self, msg, &pending->request);
    if (error < 0) {
        trp_memory_free(sup->memory, pending, sizeof *pending);
        return error;
    }
    pending->op = op;
    trp_list_push(&child->requests, &pending->entry);
    return TROUPE_OK;
}

static void settle(
    struct supervisor *sup, struct trp_pending *pending, int status, const struct trp_child *child)
{
    answer(sup, pending->request, status, child);
    troupe_message_destroy(pending->request);
    trp_list_remove(&pending->entry);
    trp_memory_free(sup->memory, pending, sizeof *pending);
}

/* Whether somebody waits for `op` of this child. */
static bool is_asked(const struct trp_child *child, enum troupe_child_op op)
{
    const struct trp_list *entry;

    for (entry = child->requests.next; entry != &child->requests; entry = entry->next) {
        if (((const struct trp_pending *)(const void *)entry)->op == op) {
            return true;
        }
    }
    return false;
}

static_assert(offsetof(struct trp_pending, entry) == 0, "is_asked() takes one for the other");

/* Answers those that wait for `op`. */
static void settle_op(
    struct supervisor *sup, struct trp_child *child, enum troupe_child_op op, int status)
{
    struct trp_list *entry = child->requests.next;

    while (entry != &child->requests) {
        struct trp_pending *pending = trp_container_of(entry, struct trp_pending, entry);

        entry = entry->next;
        if (pending->op == op) {
            settle(sup, pending, status, child);
        }
    }
}

/* `child` runs, or will not: answers those that wanted it to. */
static void settle_starts(struct supervisor *sup, struct trp_child *child, int status)
{
    settle_op(sup, child, TROUPE_CHILD_START, status);
    settle_op(sup, child, TROUPE_CHILD_RESTART, status);
}

/* ---- starting one child ---- */

static bool is_want_of_memory(int error)
{
    return error == TROUPE_ENOMEM || error == TROUPE_ELIMIT;
}

static const void *child_arg(const struct trp_child *child)
{
    return child->spec->arg_at > 0 ? (const char *)child->plan + child->spec->arg_at
                                   : child->spec->arg;
}

/* A new cell for `child`, tied and named, but not running. */
static int make_actor(
    struct supervisor *sup, struct trp_child *child, struct troupe_actor **out_actor)
{
    struct trp_context *context = context_of(sup);
    struct trp_spawn spawn = {
        .behaviour = child->spec->behaviour,
        .arg = child_arg(child),
        .arg_size = child->spec->arg_size,
        .parent = trp_actor_pid(sup->self),
        .keep_mailbox = child->spec->keep_mailbox && child->spec->restart != TROUPE_TEMPORARY,
    };
    struct troupe_actor *actor;
    int error;

    TROUPE_TRY(trp_actor_spawn(context, &spawn, &actor));
    error = child->name[0] == '\0' ? TROUPE_OK : trp_registry_claim(actor, child->name);
    if (error == TROUPE_OK) {
        error = trp_tie_bind(sup->self, actor, child->tie, child);
    }
    if (error < 0) {
        trp_registry_release(actor);
        trp_actor_discard(context, actor);
        return error;
    }
    *out_actor = actor;
    return TROUPE_OK;
}

static int start_anew(struct supervisor *sup, struct trp_child *child)
{
    struct troupe_actor *actor;

    TROUPE_TRY(make_actor(sup, child, &actor));
    child->pid = trp_actor_pid(actor);
    trp_actor_launch(context_of(sup), actor);
    return TROUPE_OK;
}

/* Gives the cell that waits its next life. */
static int start_in_place(struct supervisor *sup, struct trp_child *child)
{
    struct trp_context *context = context_of(sup);
    struct troupe_actor *actor = trp_actor_find(sup->runtime, child->pid);
    int error;

    if (actor == NULL) {
        return TROUPE_EGONE;
    }
    TROUPE_TRY(trp_tie_bind(sup->self, actor, child->tie, child));
    error = trp_actor_restart(context, child->pid);
    if (error < 0) {
        trp_tie_unbind(sup->self, actor, child->tie);
        return error;
    }
    child->in_place = false;
    return TROUPE_OK;
}

/* Starts `child`, which is not alive; it then is STARTING.  On error it is as before. */
static int start(struct supervisor *sup, struct trp_child *child)
{
    int error;

    child->tie = tie_take(sup);
    if (child->tie == NULL) {
        return TROUPE_ENOMEM;
    }
    error = child->in_place ? start_in_place(sup, child) : TROUPE_EGONE;
    if (error == TROUPE_EGONE) {
        child->in_place = false;
        error = start_anew(sup, child);
    }
    if (error < 0) {
        untie(sup, child);
        return error;
    }
    set_state(sup, child, TROUPE_CHILD_STARTING);
    child->wanted = false;
    child->start_error = TROUPE_OK;
    if (child->spec->start_timeout_ms != TROUPE_FOREVER) {
        /* Without memory for the tick it has all the time it wants. */
        ignore(set_tick(sup, child, TICK_START, (uint64_t)child->spec->start_timeout_ms));
    }
    return TROUPE_OK;
}

/* ---- stopping one child ---- */

/* Nobody there: it has ended, and its notice is on the way; or its next life was asked for while the last one was on its
 * way out, and will say when it has begun. */
static void kill_child(struct supervisor *sup, struct trp_child *child)
{
    child->unheard = troupe_kill(sup->self, child->pid) == TROUPE_EGONE;
}

/* Tells `child`, which is alive, to end. */
static void stop(struct supervisor *sup, struct trp_child *child)
{
    int shutdown_ms = child->spec->shutdown_ms;
    int error;

    set_state(sup, child, TROUPE_CHILD_STOPPING);
    if (shutdown_ms == TROUPE_BRUTAL_KILL) {
        kill_child(sup, child);
        return;
    }
    error = troupe_send_exit(sup->self, child->pid, TROUPE_EXIT_SHUTDOWN);
    if (error == TROUPE_ENOMEM) {
        /* No memory to ask: it needs none to kill. */
        kill_child(sup, child);
        return;
    }
    child->unheard = error == TROUPE_EGONE;
    if (shutdown_ms != TROUPE_FOREVER &&
        set_tick(sup, child, TICK_STOP, (uint64_t)shutdown_ms) < 0) {
        kill_child(sup, child);
    }
}

/* ---- the end ---- */

static struct troupe_reason clean_reason(enum troupe_exit kind)
{
    return (struct troupe_reason){.kind = kind};
}

/* Tells whoever waits how the start went. */
static void tell_start(struct supervisor *sup, int status)
{
    struct trp_outcome outcome = {.status = status};

    if (sup->told) {
        return;
    }
    sup->told = true;
    if (sup->plan->gate != NULL) {
        trp_gate_tell(sup->plan->gate, &outcome);
    }
    if (status == TROUPE_OK) {
        trp_tie_announce(sup->self);
    }
}

/* Begins to stop everything.  The first reason stands.  Takes over its text. */
static void end(struct supervisor *sup, struct troupe_reason reason)
{
    if (sup->phase == PHASE_ENDING) {
        troupe_buffer_release(reason.text);
        return;
    }
    sup->phase = PHASE_ENDING;
    sup->reason = reason;
    sup->sweep = SWEEP_DOWN;
    sup->from = first_child(sup);
    sup->cursor = last_child(sup);
}

static void give_up(struct supervisor *sup, const struct trp_child *child)
{
    trp_report(sup->runtime, TROUPE_REPORT_GIVE_UP, trp_actor_pid(sup->self),
        sup->name != NULL ? sup->name : sup->self->behaviour->name,
        "gives up: %s ended once more than the %u restarts allowed in %llu ms",
        trp_child_path(child), sup->plan->intensity,
        (unsigned long long)(sup->plan->period_ns / 1000000U));
    end(sup, clean_reason(TROUPE_EXIT_SHUTDOWN));
}

/* ---- restarting ---- */

/* Waits, and then goes on with `child`: `kind` says how. */
static void retry_later(
    struct supervisor *sup, struct trp_child *child, enum tick_kind kind, uint64_t delay_ms)
{
    set_state(sup, child, TROUPE_CHILD_RESTARTING);
    if (set_tick(sup, child, kind, delay_ms) < 0) {
        /* Not even memory to wait: it would be no kindness to go on for ever. */
        give_up(sup, child);
    }
}

static void report_restart(
    struct supervisor *sup, const struct trp_child *child, const struct troupe_reason *reason)
{
    const char *text = troupe_reason_text(reason);

    trp_report(sup->runtime, TROUPE_REPORT_RESTART, child->pid, trp_child_path(child),
        "is restarted: it ended with reason %s%s%s%s%s", troupe_exit_name(reason->kind),
        reason->kind == TROUPE_EXIT_ERROR ? ", " : "",
        reason->kind == TROUPE_EXIT_ERROR ? troupe_strerror(reason->code) : "",
        text[0] != '\0' ? ": " : "", text);
}

static void count_restart(struct supervisor *sup, struct trp_child *child)
{
    child->restart_count++;
    sup->restart_count++;
    trp_count(&context_of(sup)->counters.restarts, 1);
}

/* The first start of all children fails with that of `child`. */
static void begin_failed(struct supervisor *sup, const struct trp_child *child, int error)
{
    trp_report(sup->runtime, TROUPE_REPORT_GIVE_UP, trp_actor_pid(sup->self),
        sup->name != NULL ? sup->name : sup->self->behaviour->name,
        "cannot start: %s failed with error %d (%s)", trp_child_path(child), error,
        troupe_strerror(error));
    end(sup, (struct troupe_reason){.kind = TROUPE_EXIT_ERROR, .code = error});
}

/* A start has failed; `child` is down.  `ran`: its init ran, so it is the child's own failure. */
static void start_failed(struct supervisor *sup, struct trp_child *child, int error, bool ran)
{
    bool excused = !ran && (is_want_of_memory(error) || error == TROUPE_EBUSY);

    if (is_asked(child, TROUPE_CHILD_START)) {
        child->wanted = false;
        settle_starts(sup, child, error);
        child_remove(sup, child);
        return;
    }
    if (is_asked(child, TROUPE_CHILD_RESTART)) {
        child->wanted = false;
        set_state(sup, child, TROUPE_CHILD_STOPPED);
        let_go(sup, child);
        settle_starts(sup, child, error);
        return;
    }
    if (sup->phase == PHASE_BEGINNING && sup->sweep == SWEEP_UP && child == sup->cursor) {
        set_state(sup, child, TROUPE_CHILD_STOPPED);
        begin_failed(sup, child, error);
        return;
    }
    if (excused) {
        retry_later(sup, child, TICK_RESUME, RETRY_MS);
        return;
    }
    if (sup->sweep == SWEEP_UP && child == sup->cursor) {
        /* Later ones stay down until the next attempt, which is made for the group. */
        sup->sweep = SWEEP_NONE;
    }
    retry_later(sup, child, TICK_RETRY, 0);
}

static void restart_one(struct supervisor *sup, struct trp_child *child)
{
    int error = start(sup, child);

    if (error < 0) {
        start_failed(sup, child, error, false);
        return;
    }
    count_restart(sup, child);
}

/* Stops `from` and all after it, then starts them again. */
static void sweep_group(struct supervisor *sup, struct trp_child *from)
{
    for (struct trp_child *child = from; child != NULL; child = next_child(sup, child)) {
        child->wanted = true;
    }
    sup->sweep = SWEEP_DOWN;
    sup->from = from;
    sup->cursor = last_child(sup);
}

/* Charges an attempt to restart `child`, which is down.  False: it was one too many, and the supervisor gave up. */
static bool charge(struct supervisor *sup, const struct trp_child *child)
{
    if (trp_intensity_charge(&sup->intensity, troupe_now_ns(sup->runtime))) {
        give_up(sup, child);
        return false;
    }
    return true;
}

/* Makes an attempt that was charged to restart `child`, which is down. */
static void restart(struct supervisor *sup, struct trp_child *child)
{
    switch (sup->plan->strategy) {
    case TROUPE_ONE_FOR_ONE:
        restart_one(sup, child);
        break;
    case TROUPE_ONE_FOR_ALL:
        set_state(sup, child, TROUPE_CHILD_STOPPED);
        sweep_group(sup, first_child(sup));
        break;
    case TROUPE_REST_FOR_ONE:
        set_state(sup, child, TROUPE_CHILD_STOPPED);
        if (is_ahead(sup, child)) {
            /* Somebody had it started before its turn. */
            child->wanted = true;
        } else {
            /* Whatever sweep there is goes on from here: those before `child` are up. */
            sweep_group(sup, child);
        }
        break;
    }
}

/* ---- a sweep ---- */

/* Down: true when it must wait for `cursor`. */
static bool sweep_down_waits(struct supervisor *sup)
{
    struct trp_child *child = sup->cursor;

    switch (child->state) {
    case TROUPE_CHILD_STARTING:
    case TROUPE_CHILD_RUNNING:
        /* Also one that was started because somebody asked, since the sweep began. */
        child->wanted = child->wanted || sup->phase != PHASE_ENDING;
        stop(sup, child);
        return true;
    case TROUPE_CHILD_STOPPING:
        return true;
    case TROUPE_CHILD_RESTARTING:
        set_state(sup, child, TROUPE_CHILD_STOPPED);
        break;
    case TROUPE_CHILD_STOPPED:
        break;
    }
    if (sup->phase == PHASE_ENDING) {
        let_go(sup, child);
    }
    return false;
}

/* Up: true when it must wait for `cursor`. */
static bool sweep_up_waits(struct supervisor *sup)
{
    struct trp_child *child = sup->cursor;
    int error;

    if (child->state != TROUPE_CHILD_STOPPED) {
        return child->state != TROUPE_CHILD_RUNNING;
    }
    if (!child->wanted) {
        return false;
    }
    error = start(sup, child);
    if (error < 0) {
        start_failed(sup, child, error, false);
        /* It was removed, rests, waits for memory, or ended the sweep. */
        return sup->cursor == child && sup->sweep == SWEEP_UP &&
               child->state != TROUPE_CHILD_STOPPED;
    }
    if (sup->phase != PHASE_BEGINNING && !is_asked(child, TROUPE_CHILD_START)) {
        count_restart(sup, child);
    }
    return true;
}

/* The sweep has gone through.  Down becomes up, unless this is the end. */
static void sweep_turn(struct supervisor *sup)
{
    if (sup->sweep == SWEEP_DOWN && sup->phase != PHASE_ENDING) {
        sup->sweep = SWEEP_UP;
        sup->cursor = sup->from;
        return;
    }
    sup->sweep = SWEEP_NONE;
    sup->from = NULL;
    if (sup->phase == PHASE_BEGINNING) {
        sup->phase = PHASE_SERVING;
        tell_start(sup, TROUPE_OK);
    }
}

/* Goes on as far as it can without waiting. */
static void sweep_on(struct supervisor *sup)
{
    while (sup->sweep != SWEEP_NONE) {
        struct trp_child *child = sup->cursor;
        enum sweep sweep = sup->sweep;

        if (child == NULL || sup->from == NULL) {
            sup->cursor = NULL;
            sweep_turn(sup);
            continue;
        }
        if (sweep == SWEEP_DOWN ? sweep_down_waits(sup) : sweep_up_waits(sup)) {
            return;
        }
        if (sup->sweep == sweep && sup->cursor == child) {
            sup->cursor = sweep_next(sup);
        }
    }
}

/* ---- what happens to a child ---- */

static void on_started(struct supervisor *sup, struct trp_child *child)
{
    if (child->state == TROUPE_CHILD_STOPPING && child->unheard) {
        stop(sup, child);
        return;
    }
    if (child->state != TROUPE_CHILD_STARTING) {
        return;
    }
    set_state(sup, child, TROUPE_CHILD_RUNNING);
    settle_starts(sup, child, TROUPE_OK);
}

/* What a start that ended like this failed with. */
static int error_of(const struct trp_child *child, const struct troupe_reason *reason)
{
    if (child->start_error < 0) {
        return child->start_error;
    }
    return reason->kind == TROUPE_EXIT_ERROR ? reason->code : TROUPE_EDIED;
}

/* It is down and will not be started again by itself, but maybe by a sweep.  One that was being added is gone. */
static void rest(struct supervisor *sup, struct trp_child *child)
{
    bool added = !child->wanted && is_asked(child, TROUPE_CHILD_START);

    set_state(sup, child, TROUPE_CHILD_STOPPED);
    if (added || child->spec->restart == TROUPE_TEMPORARY) {
        child->wanted = false;
        settle_op(sup, child, TROUPE_CHILD_TERMINATE, TROUPE_OK);
        settle_starts(sup, child, TROUPE_EDIED);
        child_remove(sup, child);
        return;
    }
    if (!child->wanted || sup->phase == PHASE_ENDING) {
        let_go(sup, child);
    }
    settle_op(sup, child, TROUPE_CHILD_TERMINATE, TROUPE_OK);
    if (!child->wanted) {
        settle_starts(sup, child, TROUPE_EDIED);
    }
}

/* It ended by itself: the table of supervisor.h. */
static void ended(
    struct supervisor *sup, struct trp_child *child, const struct troupe_reason *reason)
{
    enum troupe_restart type = child->spec->restart;

    if (sup->phase == PHASE_ENDING || type == TROUPE_TEMPORARY ||
        (type == TROUPE_TRANSIENT && troupe_reason_is_clean(reason))) {
        rest(sup, child);
        return;
    }
    if (is_swept(sup, child)) {
        child->wanted = true;
        rest(sup, child);
        return;
    }
    set_state(sup, child, TROUPE_CHILD_RESTARTING);
    if (charge(sup, child)) {
        report_restart(sup, child, reason);
        restart(sup, child);
    }
}

static void on_down(
    struct supervisor *sup, struct trp_child *child, const struct troupe_reason *reason)
{
    enum troupe_child_state state = child->state;

    untie(sup, child);
    child->in_place = child->spec->keep_mailbox && child->spec->restart != TROUPE_TEMPORARY;
    if (state == TROUPE_CHILD_STOPPING && child->start_error == TROUPE_OK) {
        rest(sup, child);
        return;
    }
    if (state == TROUPE_CHILD_RUNNING || sup->phase == PHASE_ENDING) {
        ended(sup, child, reason);
        return;
    }
    set_state(sup, child, TROUPE_CHILD_STOPPED);
    start_failed(sup, child, error_of(child, reason), true);
}

static struct trp_child *child_numbered(struct supervisor *sup, uint64_t number)
{
    struct trp_trie *node = trp_trie_find(sup->by_number, trp_trie_mix(number));

    return node == NULL ? NULL : trp_container_of(node, struct trp_child, by_number);
}

static void report_slow(
    struct supervisor *sup, const struct trp_child *child, const char *what, int limit_ms)
{
    trp_report(sup->runtime, TROUPE_REPORT_UNSTOPPED, child->pid, trp_child_path(child),
        "did not %s within %d ms and is killed", what, limit_ms);
}

static void on_tick(struct supervisor *sup, const struct tick *tick)
{
    struct trp_child *child = child_numbered(sup, tick->number);

    if (child == NULL || child->epoch != tick->epoch) {
        return;
    }
    if (sup->phase == PHASE_ENDING && child->state == TROUPE_CHILD_RESTARTING) {
        return;
    }
    if (child->state == TROUPE_CHILD_RESTARTING && is_swept(sup, child)) {
        set_state(sup, child, TROUPE_CHILD_STOPPED);
        child->wanted = true;
        return;
    }
    switch (tick->kind) {
    case TICK_START:
        report_slow(sup, child, "start", child->spec->start_timeout_ms);
        set_state(sup, child, TROUPE_CHILD_STOPPING);
        child->start_error = TROUPE_ETIMEDOUT;
        kill_child(sup, child);
        break;
    case TICK_STOP:
        report_slow(sup, child, "stop", child->spec->shutdown_ms);
        kill_child(sup, child);
        break;
    case TICK_RETRY:
        if (charge(sup, child)) {
            restart(sup, child);
        }
        break;
    case TICK_RESUME:
        if (sup->sweep == SWEEP_UP && sup->cursor == child) {
            set_state(sup, child, TROUPE_CHILD_STOPPED);
            child->wanted = true;
        } else {
            restart(sup, child);
        }
        break;
    }
}

/* ---- what is asked ---- */

static void start_asked(struct supervisor *sup, struct trp_child *child)
{
    int error = start(sup, child);

    if (error < 0) {
        start_failed(sup, child, error, false);
    }
}

static int ask_start(
    struct supervisor *sup, struct troupe_message *msg, const struct trp_admin *admin)
{
    const struct trp_plan *plan = trp_admin_plan(admin);
    struct trp_child *child = trp_child_find(sup->by_id, trp_plan_id(plan, &plan->children[0]));
    int error;

    if (child != NULL) {
        answer(sup, msg, TROUPE_EEXIST, child);
        return TROUPE_OK;
    }
    if (sup->child_count >= sup->plan->child_max) {
        return TROUPE_ELIMIT;
    }
    TROUPE_TRY(trp_child_create(sup->memory, plan, &plan->children[0], sup->name, true, &child));
    error = keep_request(sup, child, msg, TROUPE_CHILD_START);
    if (error < 0) {
        trp_child_destroy(sup->memory, child);
        return error;
    }
    child_add(sup, child);
    if (sup->sweep != SWEEP_NONE) {
        /* It is the last one, and will have its turn. */
        child->wanted = true;
        return TROUPE_OK;
    }
    start_asked(sup, child);
    return TROUPE_OK;
}

/* The attempt that later ones of a group waited for is not made: `from` and those after it start without. */
static void resume_group(struct supervisor *sup, struct trp_child *from)
{
    if (sup->sweep == SWEEP_NONE && sup->plan->strategy != TROUPE_ONE_FOR_ONE) {
        sup->sweep = SWEEP_UP;
        sup->from = from;
        sup->cursor = from;
    }
}

static int ask_terminate(
    struct supervisor *sup, struct troupe_message *msg, struct trp_child *child)
{
    if (!is_alive(child)) {
        struct trp_child *next = next_child(sup, child);
        bool was_due = child->state == TROUPE_CHILD_RESTARTING;

        answer(sup, msg, TROUPE_OK, NULL);
        child->wanted = false;
        rest(sup, child);
        if (was_due) {
            resume_group(sup, next);
        }
        return TROUPE_OK;
    }
    TROUPE_TRY(keep_request(sup, child, msg, TROUPE_CHILD_TERMINATE));
    child->wanted = false;
    /* Also one that is being killed because it started slowly: that start is not tried again. */
    child->start_error = TROUPE_OK;
    if (child->state != TROUPE_CHILD_STOPPING) {
        stop(sup, child);
    }
    return TROUPE_OK;
}

static int ask_restart(struct supervisor *sup, struct troupe_message *msg, struct trp_child *child)
{
    if (shown_state(child) != TROUPE_CHILD_STOPPED) {
        answer(sup, msg, TROUPE_EBUSY, child);
        return TROUPE_OK;
    }
    TROUPE_TRY(keep_request(sup, child, msg, TROUPE_CHILD_RESTART));
    start_asked(sup, child);
    return TROUPE_OK;
}

static int ask_delete(struct supervisor *sup, struct troupe_message *msg, struct trp_child *child)
{
    if (shown_state(child) != TROUPE_CHILD_STOPPED) {
        answer(sup, msg, TROUPE_EBUSY, child);
        return TROUPE_OK;
    }
    child_remove(sup, child);
    answer(sup, msg, TROUPE_OK, NULL);
    return TROUPE_OK;
}

/* One request about one child.  A negative result is its answer. */
static int ask(struct supervisor *sup, struct troupe_message *msg)
{
    const struct trp_admin *admin = troupe_body(msg);
    struct trp_child *child;

    if (admin->op == TROUPE_CHILD_START) {
        return sup->phase == PHASE_ENDING ? TROUPE_ESTOPPED : ask_start(sup, msg, admin);
    }
    child = trp_child_find(sup->by_id, trp_admin_id(admin));
    if (child == NULL) {
        return TROUPE_ENOENT;
    }
    if (admin->op == TROUPE_CHILD_WHICH) {
        answer(sup, msg, TROUPE_OK, child);
        return TROUPE_OK;
    }
    if (sup->phase == PHASE_ENDING) {
        return TROUPE_ESTOPPED;
    }
    switch (admin->op) {
    case TROUPE_CHILD_TERMINATE:
        return ask_terminate(sup, msg, child);
    case TROUPE_CHILD_RESTART:
        return ask_restart(sup, msg, child);
    case TROUPE_CHILD_DELETE:
        return ask_delete(sup, msg, child);
    default:
        return TROUPE_EINVAL;
    }
}

static void on_ask(struct supervisor *sup, struct troupe_message *msg)
{
    int error;

    if (!troupe_is_request(msg)) {
        return;
    }
    error = ask(sup, msg);
    if (error < 0) {
        answer(sup, msg, error, NULL);
    }
}

/* ---- what is listed ---- */

static void count_child(struct troupe_children *list, const struct trp_child *child)
{
    list->specs++;
    list->active += is_alive(child) ? 1 : 0;
    if (trp_child_is_supervisor(child)) {
        list->supervisors++;
    } else {
        list->workers++;
    }
}

static void write_row(
    const struct supervisor *sup, struct troupe_child_info *row, const struct trp_child *child)
{
    memset(row, 0, sizeof *row);
    strncpy(row->id, trp_child_id(child), sizeof row->id - 1);
    row->pid = is_alive(child) ? child->pid : TROUPE_NOBODY;
    row->state = shown_state(child);
    row->restart = child->spec->restart;
    row->is_supervisor = trp_child_is_supervisor(child);
    row->restart_count = child->restart_count;
    ignore(troupe_mailbox_length(sup->runtime, child->pid, &row->mailbox_length));
}

static uint32_t row_count(const struct supervisor *sup, const struct trp_admin_list *wanted)
{
    uint64_t left = wanted->first < sup->child_count ? sup->child_count - wanted->first : 0;

    return left < wanted->limit ? (uint32_t)left : wanted->limit;
}

static void on_list(struct supervisor *sup, struct troupe_message *msg)
{
    const struct trp_admin_list *wanted = troupe_body(msg);
    uint32_t rows = row_count(sup, wanted);
    struct troupe_message *reply;
    struct troupe_children *list;
    uint64_t index = 0;
    int error;

    if (!troupe_is_request(msg)) {
        return;
    }
    error = troupe_message_create(
        sup->runtime, &troupe_children_answer, sizeof *list + rows * sizeof list->rows[0], &reply);
    if (error < 0) {
        ignore(troupe_reply_error(sup->self, msg, error));
        return;
    }
    list = troupe_body(reply);
    memset(list, 0, sizeof *list);
    list->restart_count = sup->restart_count;
    for (struct trp_child *child = first_child(sup); child != NULL;
         child = next_child(sup, child)) {
        count_child(list, child);
        if (index >= wanted->first && list->row_count < rows) {
            write_row(sup, &list->rows[list->row_count], child);
            list->row_count++;
        }
        index++;
    }
    if (troupe_reply_message(sup->self, msg, reply) < 0) {
        troupe_message_destroy(reply);
    }
}

/* ---- the behaviour ---- */

static int add_children(struct supervisor *sup)
{
    for (uint64_t i = 0; i < sup->plan->child_count; i++) {
        const struct trp_plan_child *spec = &sup->plan->children[i];
        struct trp_child *child;

        if (trp_child_find(sup->by_id, trp_plan_id(sup->plan, spec)) != NULL) {
            return TROUPE_EEXIST;
        }
        TROUPE_TRY(trp_child_create(sup->memory, sup->plan, spec, sup->name, false, &child));
        child->wanted = true;
        child_add(sup, child);
    }
    return TROUPE_OK;
}

static int make_intensity(struct supervisor *sup)
{
    size_t entries = trp_intensity_entries(sup->plan->intensity);
    uint64_t *times = trp_memory_alloc(sup->memory, entries * sizeof *times, alignof(uint64_t));

    if (times == NULL) {
        return TROUPE_ENOMEM;
    }
    trp_intensity_init(&sup->intensity, times, sup->plan->intensity, sup->plan->period_ns);
    return TROUPE_OK;
}

static int prepare(struct supervisor *sup)
{
    TROUPE_TRY(make_intensity(sup));
    TROUPE_TRY(ties_set_aside(sup));
    return add_children(sup);
}

/* Says no to everybody who still waits. */
static void settle_all(struct supervisor *sup)
{
    for (struct trp_child *child = first_child(sup); child != NULL;
         child = next_child(sup, child)) {
        settle_op(sup, child, TROUPE_CHILD_TERMINATE, TROUPE_OK);
        settle_starts(sup, child, TROUPE_ESTOPPED);
    }
}

/* All children are stopped. */
static int leave(struct supervisor *sup)
{
    struct troupe_reason reason = sup->reason;

    settle_all(sup);
    /* Before anybody is told that it did not start. */
    sup->name = NULL;
    trp_registry_release(sup->self);
    tell_start(sup, reason.kind == TROUPE_EXIT_ERROR ? reason.code : TROUPE_ESTOPPED);
    sup->reason.text = NULL;
    trp_actor_set_reason(sup->self, &reason);
    return TRP_OPEN_EXIT;
}

/* The end of every callback. */
static int go_on(struct supervisor *sup)
{
    sweep_on(sup);
    return sup->phase == PHASE_ENDING && sup->sweep == SWEEP_NONE ? leave(sup) : TROUPE_OK;
}

static int supervisor_init(struct troupe_actor *self, void *state, const void *arg)
{
    struct supervisor *sup = state;
    int error;

    sup->self = self;
    sup->runtime = self->runtime;
    sup->memory = trp_runtime_memory(self->runtime);
    sup->plan = arg;
    sup->name = trp_registry_name_of(self);
    trp_list_init(&sup->children);
    error = prepare(sup);
    if (error < 0) {
        tell_start(sup, error);
        return error;
    }
    sup->sweep = SWEEP_UP;
    sup->from = first_child(sup);
    sup->cursor = sup->from;
    return go_on(sup);
}

/* Exit signals: of the parent, of the runtime that stops, or a foreign thread's.  Others are of no interest. */
static void on_exited(struct supervisor *sup, const struct troupe_exited *exited)
{
    struct troupe_reason reason = exited->reason;

    if (exited->pid != sup->self->parent && exited->pid != TROUPE_NOBODY) {
        return;
    }
    if (reason.text != NULL) {
        troupe_buffer_retain(reason.text);
    }
    end(sup, reason);
}

static void dispatch(struct supervisor *sup, struct troupe_message *msg)
{
    struct trp_child *child = trp_tie_owner(msg);

    if (child != NULL && troupe_is(msg, &trp_child_started)) {
        on_started(sup, child);
    } else if (child != NULL) {
        const struct troupe_down *down = troupe_body(msg);

        on_down(sup, child, &down->reason);
    } else if (troupe_is(msg, &tick_type)) {
        on_tick(sup, troupe_body(msg));
    } else if (troupe_is(msg, &troupe_exited)) {
        on_exited(sup, troupe_body(msg));
    }
}

static int supervisor_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct supervisor *sup = state;
    bool own = msg->kind == TRP_MESSAGE_NOTICE || troupe_is(msg, &tick_type);

    (void)self;
    if (own) {
        dispatch(sup, msg);
    } else if (troupe_is(msg, &trp_admin_type)) {
        on_ask(sup, msg);
    } else if (troupe_is(msg, &trp_admin_list_type)) {
        on_list(sup, msg);
    } else {
        return TROUPE_EUNKNOWN;
    }
    return go_on(sup);
}

/* Children that still live learn of it by their ties.  Requests that are kept are answered by the core. */
static void drop_child(struct supervisor *sup, struct trp_context *context, struct trp_child *child)
{
    struct trp_list *entry;

    for (entry = trp_list_pop(&child->requests); entry != NULL;
         entry = trp_list_pop(&child->requests)) {
        trp_memory_free(sup->memory, trp_container_of(entry, struct trp_pending, entry),
            sizeof(struct trp_pending));
    }
    if (child->in_place) {
        ignore(trp_actor_release(context, child->pid));
    }
    trp_tie_free(context, child->tie);
    trp_list_remove(&child->entry);
    trp_child_destroy(sup->memory, child);
}

static void supervisor_destroy(void *state)
{
    struct supervisor *sup = state;
    struct trp_context *context = context_of(sup);
    struct spare *spare = &sup->spare;

    tell_start(sup, TROUPE_EDIED);
    if (sup->plan->gate != NULL) {
        trp_gate_drop(sup->plan->gate);
    }
    for (struct trp_child *child = first_child(sup); child != NULL; child = first_child(sup)) {
        drop_child(sup, context, child);
    }
    for (unsigned i = 0; i < spare->count; i++) {
        trp_tie_free(context, spare->ties[(spare->first + i) % SPARE_TIES_MAX]);
    }
    if (sup->intensity.times != NULL) {
        trp_memory_free(sup->memory, sup->intensity.times,
            trp_intensity_entries(sup->plan->intensity) * sizeof(uint64_t));
    }
    troupe_buffer_release(sup->reason.text);
}

const struct troupe_behaviour trp_supervisor_behaviour = {
    .name = "troupe_supervisor",
    .state_size = sizeof(struct supervisor),
    .init = supervisor_init,
    .receive = supervisor_receive,
    .destroy = supervisor_destroy,
    .capacity = 65536,
    .trap_exit = true,
};

/* ---- starting a tree ---- */

int trp_supervisor_options(struct troupe_runtime *runtime,
    const struct troupe_supervisor_spec *spec, struct trp_gate *gate,
    struct troupe_spawn_options *out_options)
{
    size_t size = trp_plan_size(spec);
    struct trp_plan *plan = trp_memory_alloc(trp_runtime_memory(runtime), size, 16);

    if (plan == NULL) {
        return TROUPE_ENOMEM;
    }
    trp_plan_write(plan, spec);
    plan->gate = gate;
    *out_options = (struct troupe_spawn_options){
        .behaviour = &trp_supervisor_behaviour,
        .arg = plan,
        .arg_size = size,
        .name = spec->name,
    };
    return TROUPE_OK;
}

void trp_supervisor_options_free(
    struct troupe_runtime *runtime, const struct troupe_spawn_options *options)
{
    trp_memory_free(
        trp_runtime_memory(runtime), (void *)(uintptr_t)options->arg, options->arg_size);
}

static int spawn_top(struct troupe_runtime *runtime, const struct troupe_supervisor_spec *spec,
    struct trp_gate *gate, troupe_pid *out_pid)
{
    struct troupe_spawn_options options;
    int error;

    TROUPE_TRY(trp_supervisor_options(runtime, spec, gate, &options));
    error = troupe_runtime_spawn(runtime, &options, out_pid);
    trp_supervisor_options_free(runtime, &options);
    return error;
}

/* Starts the workers, unless somebody has. */
static int start_runtime(struct troupe_runtime *runtime)
{
    int error = troupe_runtime_start(runtime);

    return error == TROUPE_EBUSY ? TROUPE_OK : error;
}

/* Waits for the outcome of a start.  One that failed is waited for until its name is free. */
static int await_start(
    struct troupe_runtime *runtime, struct trp_gate *gate, troupe_pid pid, int wait_ms)
{
    struct trp_outcome outcome;

    if (trp_gate_wait(gate, wait_ms, &outcome) < 0) {
        ignore(troupe_runtime_exit(runtime, pid, TROUPE_EXIT_SHUTDOWN));
        return TROUPE_ETIMEDOUT;
    }
    if (outcome.status < 0) {
        ignore(troupe_join(runtime, pid, wait_ms, NULL));
    }
    return outcome.status;
}

int troupe_supervisor_start(struct troupe_runtime *runtime,
    const struct troupe_supervisor_spec *spec, int wait_ms, troupe_pid *out_pid)
{
    struct trp_gate *gate;
    troupe_pid pid = TROUPE_NOBODY;
    int error;

    if (runtime == NULL || out_pid == NULL || wait_ms < TROUPE_FOREVER) {
        return TROUPE_EINVAL;
    }
    TROUPE_TRY(troupe_supervisor_check(spec, NULL));
    TROUPE_TRY(trp_gate_create(runtime, &gate));
    error = start_runtime(runtime);
    if (error == TROUPE_OK) {
        error = spawn_top(runtime, spec, gate, &pid);
    }
    if (error < 0) {
        trp_gate_drop(gate); /* for the supervisor */
        trp_gate_drop(gate);
        return error;
    }
    error = await_start(runtime, gate, pid, wait_ms);
    trp_gate_drop(gate);
    if (error == TROUPE_OK) {
        *out_pid = pid;
    }
    return error;
}
