/* SPDX-License-Identifier: MIT */
/*
 * pause.c - handlers that send more than their receivers take.  See pause.h.
 */
#include "pause.h"

#include <string.h>

#include <troupe/mailbox.h>

#include "admit.h"
#include "core.h"
#include "runtime.h"
#include "seam.h"
#include "worker.h"

#define PAUSE_CLASS trp_pool_class(sizeof(struct trp_pause))

/* NULL: it never used a margin. */
static struct trp_pause *pause_of(struct troupe_actor *actor)
{
    struct trp_edge *edge = trp_pressure_edge(actor);

    /* acquire: the block.  PAIR edge.pause: make_pause(). */
    return edge != NULL ? atomic_load_explicit(&edge->pause, memory_order_acquire) : NULL;
}

/* Of one that has used a margin. */
static struct trp_pause *own_pause(struct troupe_actor *self)
{
    /* relaxed, both: it has made them itself, or has seen them since. */
    struct trp_edge *edge =
        atomic_load_explicit(&trp_actor_extra(self)->edge, memory_order_relaxed);

    return atomic_load_explicit(&edge->pause, memory_order_relaxed);
}

static enum trp_pause_state state_of(const struct trp_pause *pause)
{
    /* acquire: whoever let it go on is done with it.  PAIR pause.state: set_out(), give_way(). */
    return atomic_load_explicit(&pause->state, memory_order_acquire);
}

/* ---- the record ---- */

static struct trp_pause *make_pause(struct trp_context *context, struct troupe_actor *self)
{
    struct trp_edge *edge = trp_pressure_need_edge(context, self);
    struct trp_pause *pause = edge != NULL ? trp_pool_alloc(&context->pool, PAUSE_CLASS) : NULL;

    if (pause == NULL) {
        return NULL;
    }
    memset(pause, 0, sizeof *pause);
    pause->timer = trp_timer_create(context, TRP_MESSAGE_RING);
    if (pause->timer == NULL) {
        trp_pool_free(&context->pool, pause, PAUSE_CLASS);
        return NULL;
    }
    pause->timer->context = pause;
    pause->actor = self;
    trp_list_init(&pause->entry);
    /* release: the block.  PAIR edge.pause: pause_of(). */
    atomic_store_explicit(&edge->pause, pause, memory_order_release);
    return pause;
}

void trp_pause_free(struct trp_context *context, struct trp_edge *edge)
{
    /* relaxed: nobody can reach it any more. */
    struct trp_pause *pause = atomic_load_explicit(&edge->pause, memory_order_relaxed);

    if (pause != NULL) {
        trp_timer_free(context, pause->timer);
        trp_pool_free(&context->pool, pause, PAUSE_CLASS);
    }
}

/* ---- what it has sent into margins ---- */

/* Whether it has read as many messages as half of its capacity since, or has fallen to that. */
static bool has_moved(struct troupe_actor *actor, const struct trp_stuck *stuck)
{
    /* relaxed: a view. */
    uint64_t read = atomic_load_explicit(&actor->charge.out, memory_order_relaxed) - stuck->out;

    return read >> 40 >= (trp_actor_capacity(actor->behaviour) >> 40) / 2 + 1 ||
           trp_admit_is_half_empty(actor);
}

/* Whether `actor` took too long before, and has not moved since. */
static bool is_stuck(struct trp_pause *pause, struct troupe_actor *actor)
{
    for (uint32_t i = 0; i < pause->stuck_count; i++) {
        if (pause->stuck[i].pid == trp_actor_pid(actor)) {
            if (!has_moved(actor, &pause->stuck[i])) {
                return true;
            }
            pause->stuck[i] = pause->stuck[--pause->stuck_count];
            return false;
        }
    }
    return false;
}

/* The oldest is forgotten. */
static void remember_stuck(struct trp_pause *pause, const struct troupe_actor *actor)
{
    if (pause->stuck_count == TRP_PAUSE_STUCK) {
        pause->stuck_count--;
        memmove(&pause->stuck[0], &pause->stuck[1], pause->stuck_count * sizeof pause->stuck[0]);
    }
    pause->stuck[pause->stuck_count++] = (struct trp_stuck){.pid = trp_actor_pid(actor),
        /* relaxed: a view. */
        .out = atomic_load_explicit(&actor->charge.out, memory_order_relaxed)};
}

static bool is_marked(const struct trp_pause *pause, troupe_pid pid)
{
    for (uint32_t i = 0; i < pause->count; i++) {
        if (pause->at[i] == pid) {
            return true;
        }
    }
    return false;
}

int trp_pause_allows(struct trp_context *context, struct troupe_actor *self,
    struct troupe_actor *actor, uint32_t count)
{
    struct trp_pause *pause = pause_of(self);

    if (pause == NULL) {
        pause = make_pause(context, self);
    }
    if (pause == NULL || count > TROUPE_PAUSE_BURST || pause->burst + count > TROUPE_PAUSE_BURST ||
        (pause->count == TRP_PAUSE_MARKS && !is_marked(pause, trp_actor_pid(actor))) ||
        is_stuck(pause, actor)) {
        return TROUPE_EFULL;
    }
    return TROUPE_OK;
}

void trp_pause_note(struct troupe_actor *self, struct troupe_actor *actor, uint32_t count)
{
    struct trp_pause *pause = own_pause(self);
    troupe_pid pid = trp_actor_pid(actor);

    pause->burst += count;
    if (!is_marked(pause, pid)) {
        pause->at[pause->count++] = pid;
    }
    /* relaxed: the holder's own. */
    atomic_fetch_or_explicit(&self->signals, TRP_SIGNAL_MARKED, memory_order_relaxed);
}

static void drop_first_mark(struct trp_pause *pause)
{
    pause->count--;
    memmove(&pause->at[0], &pause->at[1], pause->count * sizeof pause->at[0]);
}

/* ---- in line ---- */

/* Under the lock of `actor`.  `pause` is out of its list: the last touch.  Returns what it was. */
static enum trp_pause_state set_out(struct troupe_actor *actor, struct trp_pause *pause)
{
    if (trp_list_is_empty(&trp_pressure_edge(actor)->paused)) {
        /* relaxed: under the lock, as whoever sets it.  Seen late the reader looks in vain. */
        atomic_fetch_and_explicit(
            &actor->waiting, ~(uint32_t)TRP_WAITING_PAUSED, memory_order_relaxed);
    }
    /* acq_rel: release: we are done with the record; acquire: its token, and all its owner did.
     * PAIR pause.state: state_of(), trp_pause_rest(). */
    return atomic_exchange_explicit(&pause->state, TRP_PAUSE_OUT, memory_order_acq_rel);
}

/* Under the lock of `actor`.  False: it has ended, or has room. */
static bool stand(struct troupe_actor *self, struct trp_pause *pause, struct troupe_actor *actor)
{
    trp_list_push(&trp_pressure_edge(actor)->paused, &pause->entry);
    /* relaxed: it is in no hands but ours, until the lock is given back. */
    atomic_store_explicit(&pause->state, TRP_PAUSE_LINED, memory_order_relaxed);
    /* seq_cst: in line before the look at the pid.  PAIR actor.waiting: seal().  Before the look at the room we meet the
     * reader, as in line_up() of line.c. */
    atomic_fetch_or_explicit(&actor->waiting, TRP_WAITING_PAUSED, memory_order_seq_cst);
    (void)trp_mailbox_meet(&actor->mailbox);
    /* seq_cst: as above. */
    if (atomic_load_explicit(&actor->pid, memory_order_seq_cst) != pause->at[0] ||
        trp_admit_is_half_empty(actor)) {
        trp_list_remove(&pause->entry);
        (void)set_out(actor, pause);
        return false;
    }
    trp_pressure_pause(self, pause->edge, pause->at[0]);
    return true;
}

/* Out of the line of at[0].  Whoever is about to take it out of there has it OUT soon. */
static void leave(struct trp_context *context, struct trp_pause *pause)
{
    while (state_of(pause) != TRP_PAUSE_OUT) {
        struct troupe_actor *actor = trp_table_find(&context->runtime->table, pause->at[0]);
        struct trp_extra *extra = actor != NULL ? trp_actor_extra(actor) : NULL;

        if (extra == NULL) {
            /* It ends, and lets us go. */
            trp_port_yield();
            continue;
        }
        trp_lock_take(&extra->lock);
        if (state_of(pause) != TRP_PAUSE_OUT) {
            trp_list_remove(&pause->entry);
            (void)set_out(actor, pause);
        }
        trp_lock_give(&extra->lock);
    }
}

static void stop_timer(struct trp_pause *pause)
{
    if (!trp_wheel_cancel(pause->timer)) {
        /* acquire: it is done with the record.  PAIR pause.rung: trp_pause_ring(). */
        while (!atomic_load_explicit(&pause->rung, memory_order_acquire)) {
            trp_port_yield();
        }
        pause->timer->state = TRP_TIMER_IDLE;
    }
}

/* It stands in line no longer. */
static void settle(struct trp_context *context, struct troupe_actor *self, struct trp_pause *pause)
{
    leave(context, pause);
    stop_timer(pause);
    trp_pressure_close(self);
    pause->stands = false;
}

/* Takes its place in the line of at[0].  False: there is nothing to wait for, no memory to, or that would close a ring. */
static bool line_up(struct trp_context *context, struct troupe_actor *self, struct trp_pause *pause)
{
    struct troupe_actor *actor = trp_table_find(&context->runtime->table, pause->at[0]);
    struct trp_extra *extra;

    if (actor == NULL || trp_pressure_need_edge(context, actor) == NULL ||
        trp_pressure_open(context, self, &pause->edge) < 0) {
        return false;
    }
    extra = trp_actor_extra(actor);
    trp_lock_take(&extra->lock);
    pause->stands = stand(self, pause, actor);
    trp_lock_give(&extra->lock);
    if (!pause->stands) {
        trp_pressure_close(self);
        return false;
    }
    /* relaxed: its timer is not armed. */
    atomic_store_explicit(&pause->rung, false, memory_order_relaxed);
    trp_timer_arm(self, pause->timer, self->runtime->options.pause_max_ms);
    if (trp_pressure_closes(context, self)) {
        settle(context, self, pause);
    }
    return pause->stands;
}

/* ---- its owner, between two messages ---- */

static void report_expired(struct troupe_actor *self, const struct troupe_actor *actor)
{
    struct troupe_report event = {.kind = TROUPE_REPORT_PAUSED,
        .pid = trp_actor_pid(self),
        .actor = self->behaviour->name,
        .count = trp_admit_length(actor)};

    trp_report_event(self->runtime, &event,
        "was paused for %d ms on %s (%llx), which has %llu messages queued and reads too few of "
        "them: "
        "what it sends there is refused until that one has read half of its capacity",
        self->runtime->options.pause_max_ms, actor->behaviour->name,
        (unsigned long long)trp_actor_pid(actor), (unsigned long long)event.count);
}

/* It has been paused for too long. */
static void expire(struct trp_context *context, struct troupe_actor *self, struct trp_pause *pause)
{
    struct troupe_actor *actor = trp_table_find(&context->runtime->table, pause->at[0]);

    if (actor != NULL) {
        remember_stuck(pause, actor);
        report_expired(self, actor);
    }
    pause->count = 0;
}

/* It stands in line, and was not woken by a signal: that is over. */
static void take_note(
    struct trp_context *context, struct troupe_actor *self, struct trp_pause *pause)
{
    bool expired = state_of(pause) == TRP_PAUSE_EXPIRED;

    settle(context, self, pause);
    if (expired) {
        expire(context, self, pause);
    } else {
        drop_first_mark(pause);
    }
}

bool trp_pause_is_due(struct trp_context *context, struct troupe_actor *self)
{
    struct trp_pause *pause = own_pause(self);

    if (pause->stands && state_of(pause) == TRP_PAUSE_LINED) {
        return true;
    }
    if (pause->stands) {
        take_note(context, self, pause);
    }
    if (trp_pressure_is_holder(self)) {
        /* Others may wait for the room that it holds. */
        pause->count = 0;
    }
    for (; pause->count > 0; drop_first_mark(pause)) {
        if (line_up(context, self, pause)) {
            return true;
        }
    }
    pause->burst = 0;
    /* relaxed: the holder's own. */
    atomic_fetch_and_explicit(&self->signals, ~(uint32_t)TRP_SIGNAL_MARKED, memory_order_relaxed);
    return false;
}

bool trp_pause_rest(struct troupe_actor *self)
{
    struct trp_pause *pause = own_pause(self);
    uint32_t expected = TRP_PAUSE_LINED;

    /* release: all we did, to whoever takes the token.  relaxed, if it was let go on meanwhile.
     * PAIR pause.state: set_out(), give_way(), trp_pause_wake(). */
    if (!atomic_compare_exchange_strong_explicit(&pause->state, &expected, TRP_PAUSE_ASLEEP,
            memory_order_release, memory_order_relaxed)) {
        return false;
    }
    trp_switch();
    /* seq_cst: asleep before the look at the signals.  PAIR pause.signals: trp_pause_wake(). */
    atomic_thread_fence(memory_order_seq_cst);
    /* relaxed: the fence. */
    if ((atomic_load_explicit(&self->signals, memory_order_relaxed) & TRP_SIGNAL_WAKES) == 0) {
        return true;
    }
    expected = TRP_PAUSE_ASLEEP;
    /* acquire: our own token, which somebody may have had and left here again.  relaxed, if somebody has it. */
    return !atomic_compare_exchange_strong_explicit(
        &pause->state, &expected, TRP_PAUSE_LINED, memory_order_acquire, memory_order_relaxed);
}

void trp_pause_end(struct trp_context *context, struct troupe_actor *self)
{
    struct trp_pause *pause = pause_of(self);

    if (pause == NULL) {
        return;
    }
    if (pause->stands) {
        settle(context, self, pause);
    }
    pause->count = 0;
    pause->stuck_count = 0;
    pause->burst = 0;
}

/* ---- those who let it go on ---- */

void trp_pause_wake(struct trp_context *context, struct troupe_actor *actor)
{
    struct trp_pause *pause;
    uint32_t expected = TRP_PAUSE_ASLEEP;

    /* seq_cst: after the signal was set.  PAIR pause.signals: trp_pause_rest(). */
    atomic_thread_fence(memory_order_seq_cst);
    pause = pause_of(actor);
    /* acquire: its token.  relaxed, if it is awake, and will look.  PAIR pause.state: trp_pause_rest(). */
    if (pause != NULL && atomic_compare_exchange_strong_explicit(&pause->state, &expected,
                             TRP_PAUSE_LINED, memory_order_acquire, memory_order_relaxed)) {
        trp_worker_schedule(context, actor);
    }
}

/* LINED, ASLEEP -> `why`.  Returns what it was: of ASLEEP the token is ours. */
static uint32_t give_way(struct trp_pause *pause, enum trp_pause_state why)
{
    /* relaxed: the swap decides. */
    uint32_t state = atomic_load_explicit(&pause->state, memory_order_relaxed);

    /* acq_rel: its token; and its owner knows what we did before.  PAIR pause.state: trp_pause_rest(), state_of(). */
    while ((state == TRP_PAUSE_LINED || state == TRP_PAUSE_ASLEEP) &&
           !atomic_compare_exchange_weak_explicit(
               &pause->state, &state, why, memory_order_acq_rel, memory_order_relaxed)) {
    }
    return state;
}

void trp_pause_ring(struct trp_context *context, struct trp_timer *timer)
{
    struct trp_pause *pause = timer->context;
    struct troupe_actor *actor = pause->actor;
    bool has_token = give_way(pause, TRP_PAUSE_EXPIRED) == TRP_PAUSE_ASLEEP;

    /* release: we are done with the record.  PAIR pause.rung: stop_timer(). */
    atomic_store_explicit(&pause->rung, true, memory_order_release);
    if (has_token) {
        trp_worker_schedule(context, actor);
    }
}

void trp_pause_break(struct trp_context *context, struct troupe_actor *actor)
{
    struct trp_pause *pause = pause_of(actor);

    if (pause != NULL && give_way(pause, TRP_PAUSE_BROKEN) == TRP_PAUSE_ASLEEP) {
        trp_worker_schedule(context, actor);
    }
}

/* Tokens, linked. */
struct tokens {
    struct troupe_actor *first;
    struct troupe_actor **end;
};

/* Under the lock of `actor`: the first in line goes on.  False: nobody stands there. */
static bool release_first(struct troupe_actor *actor, struct tokens *tokens)
{
    struct trp_list *entry = trp_list_pop(&trp_pressure_edge(actor)->paused);
    struct trp_pause *pause;
    struct troupe_actor *sender;

    if (entry == NULL) {
        return false;
    }
    pause = trp_container_of(entry, struct trp_pause, entry);
    sender = pause->actor;
    /* First: what the reader does next sees that it waits no longer. */
    trp_pressure_rest(sender, pause->edge);
    if (set_out(actor, pause) == TRP_PAUSE_ASLEEP) {
        sender->link = NULL;
        *tokens->end = sender;
        tokens->end = &sender->link;
    }
    return true;
}

static void schedule_all(struct trp_context *context, struct tokens *tokens)
{
    struct troupe_actor *sender = tokens->first;

    while (sender != NULL) {
        struct troupe_actor *next = sender->link;

        trp_worker_schedule(context, sender);
        sender = next;
    }
}

/* First come, first served, and so many that the room may do for what they send. */
static void release(struct trp_context *context, struct troupe_actor *actor, uint64_t count)
{
    struct trp_extra *extra = trp_actor_extra(actor);
    struct tokens tokens = {.first = NULL};

    if (trp_pressure_edge(actor) == NULL) {
        return;
    }
    tokens.end = &tokens.first;
    trp_lock_take(&extra->lock);
    while (count > 0 && release_first(actor, &tokens)) {
        count--;
    }
    trp_lock_give(&extra->lock);
    schedule_all(context, &tokens);
}

void trp_pause_release(struct trp_context *context, struct troupe_actor *actor, bool parked)
{
    uint64_t room;

    if (!trp_admit_is_half_empty(actor)) {
        return;
    }
    room = trp_admit_less(trp_actor_capacity(actor->behaviour) >> 40, trp_admit_length(actor));
    release(
        context, actor, parked ? UINT64_MAX : (room + TROUPE_PAUSE_BURST - 1) / TROUPE_PAUSE_BURST);
}

void trp_pause_release_all(struct trp_context *context, struct troupe_actor *actor)
{
    release(context, actor, UINT64_MAX);
}

/* ---- public ---- */

bool troupe_pressure(const struct troupe_actor *self)
{
    /* relaxed: its own. */
    return trp_actor_is_mine(self) &&
           (atomic_load_explicit(&self->signals, memory_order_relaxed) & TRP_SIGNAL_MARKED) != 0;
}
