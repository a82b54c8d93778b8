/* SPDX-License-Identifier: MIT */
/*
 * foreign.c - a call from a foreign thread, which waits for room and for the answer, with one deadline.
 *
 * Its record is a timer block that is in no list and never armed; the thread is its own timer.  Who waits is an `asker` on
 * that thread's stack, to which the record points.  An answer goes from whoever gives it straight to the thread: there is
 * no mailbox in between.  The two meet in the record's serial, as in call.c:
 *
 *    n, n BEGUN --- trp_foreign_answer() ---> n ANSWERED ---- asker told, record freed by the thread ----> n + 1
 *        +--------- the thread's time is over ------------------------------------------------------------> n + 1
 *
 * Who finds n + 1 has a late answer.  A thread that finds ANSWERED waits until it is told, however late it is: whoever set the
 * bit is about to write to its stack.
 *
 * In a job it is the call of the actor that the job acts for, whose record (pressure.h) leads to whoever has the request, as that of
 * a call of its own does.
 *
 * No wake-up is lost: the thread reads its event, then meets the other side in the serial, by a read-modify-write that changes
 * nothing; the other side sets the bit, then moves the event on.  Whoever is second at the serial knows what the first did.
 */
#include "call.h"

#include <string.h>

#include <troupe/call.h>
#include <troupe/mailbox.h>

struct asker {
    struct trp_event event;
    struct troupe_message *answer; /* written before `told` */
    _Atomic bool told;             /* the answering side's last touch */
};

/* ---- the answering side ---- */

bool trp_foreign_answer(struct troupe_message *answer)
{
    const struct trp_extension *extension = trp_message_extension(answer);
    struct trp_timer *record = extension->call;
    struct asker *asker;
    /* relaxed: the swap decides. */
    uint64_t word = atomic_load_explicit(&record->serial, memory_order_relaxed);

    do {
        if ((word & ~(uint64_t)TRP_SERIAL_BITS) != extension->serial) {
            return false;
        }
        /* acq_rel: we meet the thread; relaxed, if it failed: only the number is looked at.
         * PAIR foreign.answered: is_answered(), revoke(). */
    } while (!atomic_compare_exchange_weak_explicit(&record->serial, &word,
        word | TRP_SERIAL_ANSWERED, memory_order_acq_rel, memory_order_relaxed));
    asker = record->context;
    asker->answer = answer;
    trp_event_wake(&asker->event);
    /* release: the answer, and we are done with the asker.  PAIR foreign.told: acquire in take_answer(). */
    atomic_store_explicit(&asker->told, true, memory_order_release);
    return true;
}

/* ---- the thread's side ---- */

static bool is_answered(struct trp_timer *record)
{
    /* acq_rel: either we see the bit, or whoever sets it comes after our look at the event.
     * PAIR foreign.answered: the swap in trp_foreign_answer(). */
    return (atomic_fetch_or_explicit(&record->serial, 0, memory_order_acq_rel) &
               TRP_SERIAL_ANSWERED) != 0;
}

static struct troupe_message *take_answer(const struct asker *asker)
{
    /* acquire: the answer.  PAIR foreign.told: release in trp_foreign_answer(). */
    while (!atomic_load_explicit(&asker->told, memory_order_acquire)) {
        trp_port_yield();
    }
    return asker->answer;
}

/* The time is over: moves the number on.  False: an answer is being handed over. */
static bool revoke(struct trp_timer *record, uint64_t *out_bits)
{
    /* relaxed: the swap decides. */
    uint64_t word = atomic_load_explicit(&record->serial, memory_order_relaxed);
    uint64_t next;

    do {
        if (word & TRP_SERIAL_ANSWERED) {
            return false;
        }
        next = (word & ~(uint64_t)TRP_SERIAL_BITS) + TRP_SERIAL_STEP;
        /* relaxed, both: it decides who comes first; of one that came before us take_answer() learns the rest.
         * PAIR foreign.answered. */
    } while (!atomic_compare_exchange_weak_explicit(
        &record->serial, &word, next, memory_order_relaxed, memory_order_relaxed));
    *out_bits = word & TRP_SERIAL_BITS;
    return true;
}

/* The answer, or NULL when nobody will give one any more: *out_bits says what had become of the request. */
static struct troupe_message *await(
    struct asker *asker, struct trp_timer *record, uint64_t deadline_ms, uint64_t *out_bits)
{
    uint64_t until_ns = deadline_ms == TRP_NEVER ? TRP_EVENT_FOREVER : deadline_ms * 1000000U;

    for (;;) {
        uint32_t value = trp_event_value(&asker->event);

        if (is_answered(record)) {
            return take_answer(asker);
        }
        if (until_ns != TRP_EVENT_FOREVER && trp_port_now_ns() >= until_ns &&
            revoke(record, out_bits)) {
            return NULL;
        }
        trp_event_wait(&asker->event, value, until_ns);
    }
}

/* What a call has until it is over. */
struct call {
    struct troupe_runtime *runtime;
    struct trp_timer *record;
    struct troupe_message *request; /* until it is sent */
    struct asker asker;
    struct trp_terms terms;
    struct trp_stake stake; /* of the actor whose job this thread runs, if it does */
};

/* Makes the record and the request. */
static int prepare(struct call *call, const struct troupe_type *type, const void *body)
{
    struct trp_visit visit;
    int error = TROUPE_OK;

    TROUPE_TRY(trp_context_enter(call->runtime, &visit));
    /* A worker, of this runtime or another, is in its read section all the time: it never waits. */
    if (visit.context->worker != NULL || !visit.was_offline) {
        trp_context_leave(&visit);
        return TROUPE_EINVAL;
    }
    call->record = trp_timer_create(visit.context, TRP_MESSAGE_TIMEOUT);
    call->request = trp_message_new(visit.context, type, type->size, TRP_MESSAGE_EXTENDED);
    if (call->record == NULL || call->request == NULL) {
        error = TROUPE_ENOMEM;
        if (call->record != NULL) {
            trp_timer_free(visit.context, call->record);
        }
        if (call->request != NULL) {
            trp_message_free(&visit.context->pool, call->request);
        }
    }
    trp_context_leave(&visit);
    if (error == TROUPE_OK && body != NULL) {
        memcpy(trp_message_body(call->request), body, type->size);
    }
    return error;
}

static void finish(struct call *call)
{
    struct trp_visit visit;

    /* In a forked child the blocks are lost with everything else. */
    if (trp_context_enter(call->runtime, &visit) < 0) {
        return;
    }
    if (call->request != NULL) {
        trp_message_free(&visit.context->pool, call->request);
    }
    trp_timer_free(visit.context, call->record);
    trp_context_leave(&visit);
}

/* Sends a request that needs no room. */
static int place(const struct call *call, troupe_pid to)
{
    struct trp_visit visit;
    int error;

    TROUPE_TRY(trp_context_enter(call->runtime, &visit));
    error = trp_call_place_system(visit.context, to, call->request);
    trp_context_leave(&visit);
    return error;
}

/* Sends the request, waiting for room. */
static int submit(struct call *call, troupe_pid to, int timeout_ms)
{
    int error;

    trp_event_init(&call->asker.event);
    atomic_init(&call->asker.told, false);
    call->record->context = &call->asker;
    trp_call_mark(call->request, call->record, &call->terms);
    call->request->sender = call->stake.owner;
    /* release: as in trp_timer_create().  PAIR timer.edge: trp_send_edge(). */
    atomic_store_explicit(&call->record->edge, call->stake.edge, memory_order_release);
    error = call->terms.system
                ? place(call, to)
                : trp_send_wait_as(call->runtime, &call->stake, to, call->request, timeout_ms);
    if (error == TROUPE_OK) {
        call->request = NULL;
    }
    /* A wait for room in vain is not one for an answer: nothing was sent. */
    return error == TROUPE_ETIMEDOUT ? TROUPE_EFULL : error;
}

/* Nobody answered in time. */
static int overdue(const struct call *call, troupe_pid to, uint64_t bits)
{
    struct trp_visit visit;
    struct troupe_actor *actor;
    int status;

    TROUPE_TRY(trp_context_enter(call->runtime, &visit));
    status = trp_call_overdue(call->runtime, to, bits);
    actor = trp_actor_find(call->runtime, call->stake.owner);
    if (actor != NULL) {
        trp_pressure_rest(actor, call->stake.edge);
    }
    trp_context_leave(&visit);
    return status;
}

/* The answer becomes an ordinary message of the caller's; one that tells of an error ends: NULL. */
static struct troupe_message *accept(
    const struct call *call, struct troupe_message *answer, int *out_error)
{
    *out_error = trp_message_extension(answer)->status;
    answer->kind = trp_message_kind_unasked(answer);
    trp_message_set_runtime(answer, call->runtime);
    if (*out_error < 0) {
        troupe_message_destroy(answer);
        return NULL;
    }
    return answer;
}

/* NULL: there is none, and *out_error says why. */
static struct troupe_message *ask(struct call *call, troupe_pid to, int timeout_ms, int *out_error)
{
    struct troupe_message *answer;
    uint64_t bits = 0;

    *out_error = submit(call, to, timeout_ms);
    if (*out_error < 0) {
        return NULL;
    }
    answer = await(&call->asker, call->record, call->terms.deadline_ms, &bits);
    if (answer == NULL) {
        *out_error = overdue(call, to, bits);
        return NULL;
    }
    return accept(call, answer, out_error);
}

struct troupe_message *trp_foreign_ask(struct troupe_runtime *runtime, troupe_pid to,
    const struct troupe_type *type, const void *body, bool system, int timeout_ms, int *out_error)
{
    struct call call = {.runtime = runtime,
        .terms = {.inherited_ms = TRP_NEVER, .flags = TRP_CALL_FOREIGN, .system = system}};
    struct troupe_message *reply;

    if (runtime == NULL || type == NULL || (body != NULL) != (type->size > 0) ||
        (timeout_ms <= 0 && timeout_ms != TROUPE_FOREVER)) {
        *out_error = TROUPE_EINVAL;
        return NULL;
    }
    call.terms.deadline_ms = timeout_ms == TROUPE_FOREVER
                                 ? TRP_NEVER
                                 : trp_timer_due(trp_port_now_ns(), (uint64_t)timeout_ms);
    call.stake = trp_blocking_stake(runtime);
    *out_error = prepare(&call, type, body);
    if (*out_error < 0) {
        return NULL;
    }
    reply = ask(&call, to, timeout_ms, out_error);
    finish(&call);
    return reply;
}

int troupe_runtime_call_message(struct troupe_runtime *runtime, troupe_pid to,
    const struct troupe_type *type, const void *body, int timeout_ms,
    struct troupe_message **out_reply)
{
    struct troupe_message *reply;
    int error;

    if (out_reply == NULL) {
        return TROUPE_EINVAL;
    }
    reply = trp_foreign_ask(runtime, to, type, body, false, timeout_ms, &error);
    if (reply == NULL) {
        return error;
    }
    *out_reply = reply;
    return TROUPE_OK;
}

int troupe_runtime_call(struct troupe_runtime *runtime, troupe_pid to,
    const struct troupe_type *type, const void *body, const struct troupe_type *reply_type,
    void *out_body, int timeout_ms)
{
    struct troupe_message *reply;
    int status = TROUPE_OK;
    int error;

    if (reply_type == NULL || reply_type->variable ||
        (out_body != NULL) != (reply_type->size > 0)) {
        return TROUPE_EINVAL;
    }
    reply = trp_foreign_ask(runtime, to, type, body, false, timeout_ms, &error);
    if (reply == NULL) {
        return error;
    }
    if (!troupe_is(reply, reply_type)) {
        status = TROUPE_EPROTO;
    } else if (out_body != NULL) {
        memcpy(out_body, troupe_body(reply), reply_type->size);
        /* What it refers to has moved. */
        reply->flags |= TRP_MESSAGE_EMPTIED;
    }
    troupe_message_destroy(reply);
    return status;
}
