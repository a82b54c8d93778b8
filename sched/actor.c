/* SPDX-License-Identifier: MIT */
/*
 * actor.c - making an actor, the extra block, and what a callback may ask of its own actor.
 */
#include "actor.h"

#include <string.h>

#include <troupe/mailbox.h>

#include "core.h"
#include "runtime.h"
#include "shelf.h"
#include "worker.h"

/* ---- the extra block ---- */

/* Of the pools; with what belongs to its policy. */
static unsigned extra_class(const struct troupe_actor *actor)
{
    return trp_likely(actor->behaviour->overload == NULL)
               ? trp_pool_class(sizeof(struct trp_extra))
               : trp_pool_class(sizeof(struct trp_extra) + sizeof(struct trp_overload));
}

struct trp_extra *trp_actor_make_extra(struct trp_context *context, struct troupe_actor *actor)
{
    unsigned class = extra_class(actor);
    struct trp_extra *extra = trp_pool_alloc(&context->pool, class);
    struct trp_extra *expected = NULL;

    if (extra == NULL) {
        return NULL;
    }
    memset(extra, 0, sizeof *extra);
    trp_lock_init(&extra->lock);
    trp_list_init(&extra->watchers);
    trp_list_init(&extra->waiters);
    trp_list_init(&extra->names);
    trp_list_init(&extra->timers);
    trp_list_init(&extra->calls);
    trp_list_init(&extra->held);
    trp_list_init(&extra->ios);
    trp_list_init(&extra->jobs);
    trp_arena_init(&extra->arena);
    /* acq_rel.  release: its contents.  acquire, if it failed: those of whoever came first.  PAIR actor.extra. */
    if (!atomic_compare_exchange_strong_explicit(
            &actor->extra, &expected, extra, memory_order_acq_rel, memory_order_acquire)) {
        trp_lock_fini(&extra->lock);
        trp_pool_free(&context->pool, extra, class);
        return expected;
    }
    return extra;
}

void trp_actor_free_extra(struct trp_context *context, struct troupe_actor *actor)
{
    struct trp_extra *extra = trp_actor_extra(actor);

    if (extra == NULL) {
        return;
    }
    /* So the aliases of the next one have other numbers. */
    actor->generation += extra->alias_serial;
    trp_arena_free(&extra->arena, &actor->runtime->memory);
    /* relaxed: nobody can reach it any more. */
    trp_pressure_free(context, atomic_load_explicit(&extra->edge, memory_order_relaxed));
    if (trp_unlikely(actor->behaviour->overload != NULL)) {
        trp_shelf_destroy(trp_actor_overload(actor)->shelf, &actor->runtime->memory);
    }
    trp_lock_fini(&extra->lock);
    trp_pool_free(&context->pool, extra, extra_class(actor));
    /* relaxed: the cell is unreachable until its next spawn publishes it. */
    atomic_store_explicit(&actor->extra, NULL, memory_order_relaxed);
}

/* ---- spawn ---- */

struct troupe_actor *trp_actor_find(struct troupe_runtime *runtime, troupe_pid pid)
{
    return trp_table_find(&runtime->table, pid);
}

struct troupe_actor *trp_actor_at(
    struct troupe_runtime *runtime, uint32_t slot, troupe_pid *out_pid)
{
    struct troupe_actor *actor = trp_table_cell(&runtime->table, slot);

    /* acquire: what was written before it lived.  PAIR actor.pid. */
    *out_pid =
        actor != NULL ? atomic_load_explicit(&actor->pid, memory_order_acquire) : TROUPE_NOBODY;
    return *out_pid != TROUPE_NOBODY ? actor : NULL;
}

uint32_t trp_actor_slots(const struct troupe_runtime *runtime)
{
    return trp_table_slots(&runtime->table);
}

/* State and argument, before a cell is taken: what can fail for want of memory. */
static int set_aside(
    struct trp_memory *memory, const struct trp_spawn *spawn, void **out_state, void **out_arg)
{
    *out_state = NULL;
    *out_arg = NULL;
    if (spawn->behaviour->state_size > TRP_STATE_INLINE) {
        *out_state = trp_memory_alloc(memory, spawn->behaviour->state_size, TRP_CACHE_LINE);
        if (*out_state == NULL) {
            return TROUPE_ENOMEM;
        }
    }
    if (spawn->arg_size > 0) {
        *out_arg = trp_memory_alloc(memory, spawn->arg_size, 16);
        if (*out_arg == NULL) {
            trp_memory_free(memory, *out_state, spawn->behaviour->state_size);
            return TROUPE_ENOMEM;
        }
        memcpy(*out_arg, spawn->arg, spawn->arg_size);
    }
    return TROUPE_OK;
}

static uint64_t next_serial(struct trp_context *context)
{
    struct trp_worker *worker = context->worker;

    if (worker == NULL) {
        /* relaxed: a number. */
        return atomic_fetch_add_explicit(&context->runtime->serial, 1, memory_order_relaxed);
    }
    return ((uint64_t)worker->index + 1) << 48 |
           atomic_load_explicit(&context->counters.spawned, memory_order_relaxed);
}

/* Where a pinned actor lives: the workers in turn, but spares, which come and go. */
static uint16_t next_home(struct troupe_runtime *runtime)
{
    /* relaxed: a number. */
    unsigned turn = atomic_fetch_add_explicit(&runtime->homes, 1, memory_order_relaxed);

    return (uint16_t)(TRP_HOME_PINNED | (turn % runtime->worker_count + 1));
}

/* `thread` is its own, or NULL. */
static uint16_t home_for(
    struct troupe_runtime *runtime, const struct trp_spawn *spawn, const struct trp_worker *thread)
{
    if (trp_unlikely(thread != NULL)) {
        return (uint16_t)(TRP_HOME_PINNED | (thread->index + 1));
    }
    return spawn->pinned ? next_home(runtime) : 0;
}

uint64_t trp_actor_capacity(const struct troupe_behaviour *behaviour)
{
    uint32_t count = behaviour->capacity > 0 ? behaviour->capacity : TROUPE_CAPACITY_DEFAULT;
    uint64_t bytes =
        behaviour->capacity_bytes > 0 ? behaviour->capacity_bytes : TROUPE_CAPACITY_BYTES_DEFAULT;

    if (count > TROUPE_CAPACITY_MAX) {
        count = TROUPE_CAPACITY_MAX;
    }
    /* A capacity in messages that only small ones could fill would be no promise. */
    if (bytes < (uint64_t)count * 64 && behaviour->capacity_bytes == 0) {
        bytes = (uint64_t)count * 64;
    }
    if (bytes > TROUPE_CAPACITY_BYTES_MAX) {
        bytes = TROUPE_CAPACITY_BYTES_MAX;
    }
    return TRP_CHARGE_ONE * count | bytes;
}

/* Messages above its capacity.  Where senders have shares of its room none has more, and where a policy decides what becomes of what
 * finds none, it decides at once. */
static uint64_t margin_of(const struct troupe_behaviour *behaviour, uint64_t capacity)
{
    const struct troupe_overload *overload = behaviour->overload;

    if (behaviour->margin == TROUPE_NO_MARGIN || (overload != NULL && overload->by_sender)) {
        return 0;
    }
    if (behaviour->margin > 0) {
        return behaviour->margin;
    }
    if (overload != NULL && overload->policy != TROUPE_OVERLOAD_REJECT) {
        return 0;
    }
    return ((capacity >> 40) * TROUPE_MARGIN_DEFAULT + 99) / 100;
}

uint64_t trp_actor_hard(const struct troupe_behaviour *behaviour)
{
    uint64_t capacity = trp_actor_capacity(behaviour);
    uint64_t margin = margin_of(behaviour, capacity);
    uint64_t bytes = capacity & TRP_CHARGE_BYTES;

    /* As many bytes in proportion. */
    return capacity + TRP_CHARGE_ONE * margin + bytes / (capacity >> 40) * margin;
}

uint64_t trp_actor_mark(const struct troupe_actor *actor, uint64_t capacity)
{
    uint64_t high = actor->runtime->options.queue_high;

    return high > 0 && high < capacity >> 40 ? TRP_CHARGE_ONE * high | (capacity & TRP_CHARGE_BYTES)
                                             : capacity;
}

static void set_capacity(struct troupe_actor *actor)
{
    uint64_t cap = trp_actor_mark(actor, trp_actor_capacity(actor->behaviour));

    trp_charge_init(&actor->charge, (uint32_t)(cap >> 40), cap & TRP_CHARGE_BYTES);
}

/* Cells may have come back to workers that sleep: they shall put them where they can be taken. */
static void recall_cells(struct troupe_runtime *runtime)
{
    unsigned count = trp_runtime_running(runtime);

    for (unsigned i = 0; i < count; i++) {
        if (!trp_stack_is_empty(&runtime->workers[i]->returned)) {
            trp_park_nudge(&runtime->park, runtime->workers[i]);
        }
    }
}

static int take_cell(struct trp_context *context, const struct troupe_behaviour *behaviour,
    struct troupe_actor **out_actor)
{
    struct troupe_runtime *runtime = context->runtime;
    int error = trp_table_take(&runtime->table, &context->cells, out_actor);

    if (error < 0) {
        recall_cells(runtime);
    }
    if (error == TROUPE_ELIMIT) {
        trp_report(runtime, TROUPE_REPORT_LIMIT, TROUPE_NOBODY, behaviour->name,
            "cannot spawn: all %u actors allowed by limits.actors exist", runtime->limits.actors);
    }
    return error;
}

static int take_thread(struct troupe_runtime *runtime, const struct troupe_behaviour *behaviour,
    struct trp_worker **out_worker)
{
    int error = trp_thread_take(runtime, out_worker);

    if (error == TROUPE_ELIMIT) {
        trp_report(runtime, TROUPE_REPORT_LIMIT, TROUPE_NOBODY, behaviour->name,
            "cannot spawn: all %u thread actors allowed by limits.threads exist",
            runtime->limits.threads);
    }
    return error;
}

/* Whether its messages stand on a shelf. */
static bool is_shelved(const struct troupe_overload *overload)
{
    return trp_overload_displaces(overload) || overload->lanes > 0 || overload->by_sender;
}

uint32_t trp_actor_margin(const struct troupe_behaviour *behaviour)
{
    uint32_t margin = behaviour->overload->margin;
    uint32_t quarter = (uint32_t)(trp_actor_capacity(behaviour) >> 42);

    if (behaviour->overload->policy != TROUPE_OVERLOAD_TRANSFORM) {
        return 0;
    }
    if (margin == 0) {
        margin = quarter > 0 ? quarter : 1;
    }
    return margin;
}

/* So many of lanes before it are handled for one that waits in a lane. */
#define LANE_BURST 32

static int make_shelf(struct troupe_actor *actor, struct trp_shelf **out_shelf)
{
    const struct troupe_overload *overload = actor->behaviour->overload;
    uint64_t capacity = trp_actor_capacity(actor->behaviour);
    struct trp_lanes_spec spec = {
        .count = (uint32_t)(capacity >> 40),
        .bytes = capacity & TRP_CHARGE_BYTES,
        .margin = (uint32_t)((trp_actor_hard(actor->behaviour) - capacity) >> 40) +
                  trp_actor_margin(actor->behaviour),
        .lanes = overload->lanes > 0 ? overload->lanes : 1,
        .burst = overload->lane_burst > 0 ? overload->lane_burst : LANE_BURST,
        .by_sender = overload->by_sender,
        .displaces = trp_overload_displaces(overload),
        .conflates = overload->policy == TROUPE_OVERLOAD_CONFLATE,
    };

    return trp_shelf_create(&actor->runtime->memory, &spec, out_shelf);
}

/* What its policy needs.  The cell is nobody's yet. */
static TRP_NOINLINE int make_overload(struct trp_context *context, struct troupe_actor *actor)
{
    int error = TROUPE_OK;

    if (trp_actor_make_extra(context, actor) == NULL) {
        return TROUPE_ENOMEM;
    }
    memset(trp_actor_overload(actor), 0, sizeof(struct trp_overload));
    if (is_shelved(actor->behaviour->overload)) {
        error = make_shelf(actor, &trp_actor_overload(actor)->shelf);
    }
    if (error < 0) {
        trp_actor_free_extra(context, actor);
    }
    return error;
}

/* What senders, and its reader when it gives room back, have to look at. */
static TRP_NOINLINE uint32_t overload_bits(const struct troupe_overload *overload)
{
    bool care =
        overload->expire_ms > 0 || overload->codel || overload->aged || is_shelved(overload);

    return TRP_WAITING_METERED | (care ? TRP_WAITING_CARE : 0);
}

int trp_actor_spawn(
    struct trp_context *context, const struct trp_spawn *spawn, struct troupe_actor **out_actor)
{
    struct troupe_runtime *runtime = context->runtime;
    const struct troupe_behaviour *behaviour = spawn->behaviour;
    struct troupe_actor *actor;
    struct trp_worker *thread = NULL;
    uint32_t waiting;
    void *state;
    void *arg;
    int error = set_aside(&runtime->memory, spawn, &state, &arg);

    if (error < 0) {
        return error;
    }
    if (trp_unlikely(behaviour->thread)) {
        error = take_thread(runtime, behaviour, &thread);
        if (error < 0) {
            goto fail_aside;
        }
    }
    error = take_cell(context, behaviour, &actor);
    if (error < 0) {
        goto fail_thread;
    }
    actor->behaviour = behaviour;
    waiting = behaviour->memory_max > 0 ? TRP_WAITING_METERED : 0;
    if (trp_unlikely(behaviour->overload != NULL)) {
        waiting = overload_bits(behaviour->overload);
        error = make_overload(context, actor);
        if (error < 0) {
            goto fail_cell;
        }
    }
    trp_mailbox_init(&actor->mailbox, &actor->head);
    set_capacity(actor);
    actor->parent = spawn->parent;
    actor->arg = arg != NULL ? arg : spawn->arg;
    actor->arg_size = (uint32_t)spawn->arg_size;
    actor->keep_mailbox = spawn->keep_mailbox;
    actor->trap_exit = behaviour->trap_exit;
    actor->receive = behaviour->receive;
    actor->state = state != NULL ? state : actor->inline_state;
    actor->context = NULL;
    actor->current = NULL;
    actor->told = false;
    actor->serial = next_serial(context);
    if (trp_unlikely(thread != NULL)) {
        thread->resident = actor;
    }
    /* relaxed, all: published by the pid below. */
    atomic_store_explicit(&actor->incarnation, 0, memory_order_relaxed);
    atomic_store_explicit(&actor->waiting, waiting, memory_order_relaxed);
    actor->home = home_for(runtime, spawn, thread);
    actor->fiber = NULL;
    atomic_store_explicit(&actor->signals, 0, memory_order_relaxed);
    trp_actor_set_phase(actor, TRP_PHASE_NEW);
    /* release: everything above.  PAIR actor.pid: acquire in trp_table_find(). */
    atomic_store_explicit(&actor->pid, trp_table_next_pid(actor), memory_order_release);
    trp_count(&context->counters.spawned, 1);
    *out_actor = actor;
    return TROUPE_OK;

fail_cell:
    trp_table_give(&runtime->table, &context->cells, actor);
fail_thread:
    if (thread != NULL) {
        trp_thread_dismiss(thread);
    }
fail_aside:
    trp_memory_free(&runtime->memory, state, behaviour->state_size);
    trp_memory_free(&runtime->memory, arg, spawn->arg_size);
    return error;
}

void trp_actor_launch(struct trp_context *context, struct troupe_actor *actor)
{
    trp_worker_schedule(context, actor);
}

/* ---- signals ---- */

void trp_actor_signal(struct trp_context *context, struct troupe_actor *actor, uint32_t signals)
{
    /* seq_cst: set before PARKED is cleared; the reader sets PARKED before it looks.  PAIR actor.signals. */
    atomic_fetch_or_explicit(&actor->signals, signals, memory_order_seq_cst);
    trp_switch();
    if (trp_mailbox_unpark(&actor->mailbox)) {
        trp_worker_schedule(context, actor);
    } else if (trp_actor_extra(actor) != NULL) {
        trp_pause_wake(context, actor);
    }
}

void trp_actor_set_reason(struct troupe_actor *self, const struct troupe_reason *reason)
{
    struct trp_worker *worker = self->context->worker;

    if (worker->has_reason) {
        troupe_buffer_release(reason->text);
        return;
    }
    worker->reason = *reason;
    worker->has_reason = true;
}

/* ---- its memory ---- */

static uint64_t memory_of(struct troupe_actor *actor)
{
    struct trp_extra *extra = trp_actor_extra(actor);
    uint64_t queued = trp_charge_queued(&actor->charge) & TRP_CHARGE_BYTES;

    return actor->behaviour->state_size + actor->arg_size + queued +
           (extra != NULL ? trp_arena_size(&extra->arena) : 0);
}

/* Whether it lives, and was not killed before. */
static bool may_be_killed(const struct troupe_actor *self)
{
    /* relaxed, both: we hold the token; a kill that comes just now ends it as well. */
    return atomic_load_explicit(&self->phase, memory_order_relaxed) < TRP_PHASE_EXITING &&
           (atomic_load_explicit(&self->signals, memory_order_relaxed) & TRP_SIGNAL_KILL) == 0;
}

bool trp_actor_meter(struct troupe_actor *self)
{
    uint64_t limit = self->behaviour->memory_max;
    uint64_t used = memory_of(self);
    struct troupe_report event = {.kind = TROUPE_REPORT_LIMIT,
        .pid = trp_actor_pid(self),
        .actor = self->behaviour->name,
        .count = used};

    if (limit == 0 || used <= limit) {
        return true;
    }
    if (may_be_killed(self)) {
        trp_report_event(self->runtime, &event,
            "is killed: it holds %llu bytes, and memory_max is %llu", (unsigned long long)used,
            (unsigned long long)limit);
        trp_actor_signal(self->context, self, TRP_SIGNAL_KILL);
    }
    return false;
}

/* ---- what a callback may ask ---- */

troupe_pid troupe_self(const struct troupe_actor *self)
{
    return self != NULL ? trp_actor_pid(self) : TROUPE_NOBODY;
}

struct troupe_runtime *troupe_runtime_of(const struct troupe_actor *self)
{
    return self != NULL ? self->runtime : NULL;
}

void *troupe_state(struct troupe_actor *self)
{
    return self != NULL ? self->state : NULL;
}

uint32_t troupe_incarnation(const struct troupe_actor *self)
{
    /* relaxed: its own, written before this incarnation began. */
    return self != NULL ? atomic_load_explicit(&self->incarnation, memory_order_relaxed) : 0;
}

static struct troupe_buffer *copy_text(struct troupe_runtime *runtime, const char *text)
{
    struct troupe_buffer *buffer = NULL;
    size_t size = strlen(text) + 1;

    if (troupe_buffer_create(runtime, size, &buffer) == TROUPE_OK) {
        memcpy(troupe_buffer_data(buffer), text, size);
    }
    return buffer;
}

static void record(struct troupe_actor *self, enum troupe_exit kind, int code, const char *text)
{
    struct trp_worker *worker = self->context->worker;

    if (worker->has_reason) {
        troupe_buffer_release(worker->reason.text);
    }
    worker->reason.kind = kind;
    worker->reason.code = code;
    worker->reason.text = text != NULL && text[0] != '\0' ? copy_text(self->runtime, text) : NULL;
    worker->has_reason = true;
}

/* What was recorded, if it was for `status`; taken away. */
static struct troupe_reason take_reason(struct trp_worker *worker, int status)
{
    struct troupe_reason reason = {.kind = TROUPE_EXIT_NORMAL};
    bool fits = worker->has_reason &&
                (status == TRP_OPEN_EXIT ||
                    (worker->reason.kind == TROUPE_EXIT_ERROR && worker->reason.code == status));

    if (status < 0) {
        reason = (struct troupe_reason){.kind = TROUPE_EXIT_ERROR, .code = status};
    }
    if (fits) {
        reason = worker->reason;
    } else if (worker->has_reason) {
        troupe_buffer_release(worker->reason.text);
    }
    worker->has_reason = false;
    worker->reason.text = NULL;
    return reason;
}

/* Leaves the callback for good; the reason is set. */
static TROUPE_NORETURN void unwind(struct troupe_actor *self)
{
    struct trp_fiber *fiber = trp_fiber_here(self);

    if (fiber != NULL) {
        trp_fiber_quit(fiber);
    }
    _longjmp(*self->context->worker->unwind, 1);
}

int trp_actor_guard(
    struct troupe_actor *self, int (*fn)(void *arg), void *arg, struct troupe_reason *out_reason)
{
    struct trp_worker *worker = self->context->worker;
    jmp_buf *outer = worker->unwind;
    jmp_buf here;
    volatile int status = TRP_OPEN_EXIT;

    worker->unwind = &here;
    if (_setjmp(here) == 0) {
        status = fn(arg);
    }
    worker->unwind = outer;
    if (worker->crashed) {
        unwind(self);
    }
    *out_reason = take_reason(worker, status);
    return status;
}

int troupe_fail(struct troupe_actor *self, int code, const char *text)
{
    TRP_INSIDE(self);
    int error = code < 0 ? code : TROUPE_EINVAL;

    if (trp_actor_is_mine(self)) {
        record(self, TROUPE_EXIT_ERROR, error, text);
    }
    return error;
}

void trp_actor_exit(struct troupe_actor *self, const struct troupe_reason *reason)
{
    trp_actor_set_reason(self, reason);
    unwind(self);
}

/* The message in hand may be half used: its body is left as it is. */
static void leave_body(struct troupe_message *msg)
{
    if (msg != NULL && (trp_message_is_sent(msg) || msg->kind == TRP_MESSAGE_REPLY)) {
        msg->flags |= TRP_MESSAGE_EMPTIED;
    }
}

void trp_actor_crash(struct troupe_actor *self, const char *text)
{
    struct trp_fiber *fiber = trp_fiber_here(self);

    self->context->worker->crashed = true;
    leave_body(self->taken ? NULL : self->current);
    leave_body(fiber != NULL ? fiber->picked : NULL);
    for (uint32_t i = 0; i < self->context->worker->batch.count; i++) {
        leave_body(self->context->worker->batch.msgs[i]);
    }
    record(self, TROUPE_EXIT_ERROR, TROUPE_ECRASHED, text);
    unwind(self);
}

bool trp_actor_is_crash(void)
{
    const struct trp_worker *worker = trp_worker_current();

    return worker != NULL && worker->crashed;
}

void troupe_exit(struct troupe_actor *self, enum troupe_exit kind)
{
    TRP_INSIDE(self);
    trp_assert(trp_actor_is_mine(self));
    trp_assert(kind >= TROUPE_EXIT_NORMAL && kind < TROUPE_EXIT_ERROR);
    record(self, kind, 0, NULL);
    unwind(self);
}

void troupe_abandon(struct troupe_actor *self, int code, const char *text)
{
    TRP_INSIDE(self);
    trp_assert(trp_actor_is_mine(self));
    (void)troupe_fail(self, code, text);
    unwind(self);
}

int troupe_defer(struct troupe_actor *self, troupe_defer_fn fn, void *arg)
{
    TRP_INSIDE(self);
    struct trp_extra *extra;
    struct trp_defer *defer;

    if (!trp_actor_is_mine(self) || fn == NULL) {
        return TROUPE_EINVAL;
    }
    extra = trp_actor_need_extra(self->context, self);
    if (extra == NULL) {
        return TROUPE_ENOMEM;
    }
    defer = trp_arena_alloc(&extra->arena, &self->runtime->memory, sizeof *defer);
    if (defer == NULL) {
        return TROUPE_ENOMEM;
    }
    *defer = (struct trp_defer){.next = extra->defers, .fn = fn, .arg = arg};
    extra->defers = defer;
    return TROUPE_OK;
}

int troupe_undefer(struct troupe_actor *self, troupe_defer_fn fn, const void *arg)
{
    TRP_INSIDE(self);
    struct trp_extra *extra;

    if (!trp_actor_is_mine(self) || fn == NULL) {
        return TROUPE_EINVAL;
    }
    extra = trp_actor_extra(self);
    if (extra == NULL) {
        return TROUPE_ENOENT;
    }
    for (struct trp_defer **at = &extra->defers; *at != NULL; at = &(*at)->next) {
        if ((*at)->fn == fn && (*at)->arg == arg) {
            *at = (*at)->next;
            return TROUPE_OK;
        }
    }
    return TROUPE_ENOENT;
}

void *troupe_arena_alloc(struct troupe_actor *self, size_t size)
{
    TRP_INSIDE(self);
    struct trp_extra *extra =
        trp_actor_is_mine(self) ? trp_actor_need_extra(self->context, self) : NULL;
    void *memory =
        extra != NULL ? trp_arena_alloc(&extra->arena, &self->runtime->memory, size) : NULL;

    return memory != NULL && trp_actor_meter(self) ? memory : NULL;
}

/* ---- reasons ---- */

const char *troupe_reason_text(const struct troupe_reason *reason)
{
    return reason != NULL && reason->text != NULL ? troupe_buffer_data(reason->text) : "";
}

const char *troupe_exit_name(enum troupe_exit kind)
{
    static const char *const names[] = {"normal", "shutdown", "killed", "kill", "noproc", "error"};

    return (unsigned)kind < TROUPE_COUNT(names) ? names[kind] : "unknown";
}

bool troupe_reason_is_normal(const struct troupe_reason *reason)
{
    return reason != NULL && reason->kind == TROUPE_EXIT_NORMAL;
}

bool troupe_reason_is_clean(const struct troupe_reason *reason)
{
    return reason != NULL &&
           (reason->kind == TROUPE_EXIT_NORMAL || reason->kind == TROUPE_EXIT_SHUTDOWN);
}
