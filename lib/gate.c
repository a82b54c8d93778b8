/* SPDX-License-Identifier: MIT */
/*
 * gate.c - admission: see troupe/gate.h for what it promises.
 *
 * A gate is one word, `load`, that says how many permits are out, what they weigh, and whether the gate is closed; and as many
 * slots as there are permits.  Whoever enters changes the word by compare-and-swap, so nobody is refused on account of somebody
 * who is refused in turn; then it takes a slot off a list, which has one, because slots are put there before the word is
 * lowered.
 *
 *     OPEN ------- destroy, permits are out -------> CLOSED ---- the last permit returns ----> freed
 *       +--------- destroy, none is out -------------------------------------------------------> freed
 *
 * A permit has holds: the message that carries it, and those that inherited it.  The last of them returns it.
 *
 * In a message a permit is 28 bits: 8 for the gate, which the runtime's table has, and 20 for the slot, plus one.  The table
 * needs no lock to be read with a permit in hand: the gate is there as long as that is out.
 *
 * The delay.  `least_ns` gathers the least delay of the interval that ends at `interval_end_ns`; who is the first to measure
 * after that ends it: adapts the window, and begins the next.  If the least delay was above the target there was a queue all the
 * time, which is as long as what was let in: so the window becomes that, in the proportion of target to delay.  Dropping ever
 * faster, as CoDel does, was not used: it takes some 100 intervals to answer ten times the load, and it is for senders
 * who slow down when something is lost.  Numbers of several moments may be mixed here; a window is a guess in any case.
 */
#include "gate.h"

#include <string.h>

#include <troupe/gate.h>

/** `load`: closed, 23 bits of permits, 40 bits of bytes. */
#define CLOSED ((uint64_t)1 << 63)
#define ONE ((uint64_t)1 << 40)
#define BYTES (ONE - 1)
#define BYTES_MAX ((uint64_t)1 << 39)

/** `spare`: 32 bits that differ with each change, and a slot's number plus one. */
#define SPARE_STEP ((uint64_t)1 << 32)

#define SLOT_BITS 20
#define NS_PER_US 1000U
#define NS_PER_MS 1000000U

static_assert(TROUPE_GATE_LIMIT_MAX < 1U << (SLOT_BITS - 1), "a slot has a number in a message");

struct slot {
    uint64_t entered_ns;    /* whoever entered, before the permit is out */
    uint64_t bytes;         /* the same */
    _Atomic uint32_t holds; /* whoever has one */
    _Atomic uint32_t next;  /* in the list of spare ones: a number plus one, or 0 */
    _Atomic bool begun;     /* whoever has one */
};

static_assert(sizeof(struct slot) == 32, "as gate.h says");

/** Why somebody was refused. */
enum refusal {
    REFUSED_FULL,
    REFUSED_BUSY,
    REFUSED_BYTES,
    REFUSED_SIZE,
    REFUSED_MEMORY,
    REFUSED_EXPIRED,
    REFUSED_CLOSED,
    REFUSALS,
};

static const int refusal_errors[REFUSALS] = {
    [REFUSED_FULL] = TROUPE_EFULL,
    [REFUSED_BUSY] = TROUPE_EBUSY,
    [REFUSED_BYTES] = TROUPE_ELIMIT,
    [REFUSED_SIZE] = TROUPE_EMSGSIZE,
    [REFUSED_MEMORY] = TROUPE_ENOMEM,
    [REFUSED_EXPIRED] = TROUPE_EEXPIRED,
    [REFUSED_CLOSED] = TROUPE_ECLOSED,
};

struct troupe_gate {
    /* Set once. */
    struct troupe_runtime *runtime;
    struct trp_memory *memory;
    struct slot *slots;
    size_t size; /* of the block */
    uint32_t number;
    uint32_t limit;
    uint32_t least; /* window */
    uint64_t bytes;
    uint64_t age_max_ns;
    uint64_t target_ns; /* 0: delay does not matter */
    uint64_t interval_ns;

    /* Any thread, at each permit. */
    alignas(TRP_CACHE_LINE) _Atomic uint64_t load;
    _Atomic uint64_t spare;
    _Atomic uint64_t admitted;
    _Atomic uint32_t highest;
    _Atomic uint32_t waiting; /* permits that are out and have not begun, if there is a target */

    /* Any thread, at each beginning. */
    alignas(TRP_CACHE_LINE) _Atomic uint64_t delay_ns; /* average */
    _Atomic uint64_t begun_ns;                         /* when one began, or began to wait alone */
    _Atomic uint64_t least_ns;
    _Atomic uint64_t interval_end_ns;
    _Atomic uint32_t window;
    _Atomic bool pressed; /* somebody was refused because of the window */

    /* Any thread, at each refusal. */
    alignas(TRP_CACHE_LINE) _Atomic uint64_t refused[REFUSALS];
};

struct gates {
    struct trp_lock lock;
    _Atomic(struct troupe_gate *) gates[TROUPE_GATES_MAX]; /* written under lock */
};

static uint32_t count_of(uint64_t load)
{
    return (uint32_t)((load & ~CLOSED) >> 40);
}

/* ---- the runtime's table ---- */

static struct gates *gates_of(const struct troupe_runtime *runtime)
{
    return trp_runtime_module(runtime, TRP_MODULE_GATES);
}

int trp_gates_create(struct troupe_runtime *runtime)
{
    struct gates *gates =
        trp_memory_alloc(trp_runtime_memory(runtime), sizeof *gates, TRP_CACHE_LINE);

    if (gates == NULL) {
        return TROUPE_ENOMEM;
    }
    memset(gates, 0, sizeof *gates);
    trp_lock_init(&gates->lock);
    trp_runtime_set_module(runtime, TRP_MODULE_GATES, gates);
    return TROUPE_OK;
}

static void gate_free(struct troupe_gate *gate)
{
    struct gates *gates = gates_of(gate->runtime);

    trp_lock_take(&gates->lock);
    /* relaxed: who finds a gate here has a permit of it, and none is out. */
    atomic_store_explicit(&gates->gates[gate->number], NULL, memory_order_relaxed);
    trp_lock_give(&gates->lock);
    trp_memory_free(gate->memory, gate, gate->size);
}

void trp_gates_destroy(struct troupe_runtime *runtime)
{
    struct gates *gates = gates_of(runtime);

    if (gates == NULL) {
        return;
    }
    for (uint32_t i = 0; i < TROUPE_GATES_MAX; i++) {
        /* relaxed: nobody else is left. */
        struct troupe_gate *gate = atomic_load_explicit(&gates->gates[i], memory_order_relaxed);

        if (gate != NULL) {
            gate_free(gate);
        }
    }
    trp_lock_fini(&gates->lock);
    trp_memory_free(trp_runtime_memory(runtime), gates, sizeof *gates);
    trp_runtime_set_module(runtime, TRP_MODULE_GATES, NULL);
}

/* Gives the gate a number.  TROUPE_ELIMIT. */
static int enlist(struct gates *gates, struct troupe_gate *gate)
{
    uint32_t i = 0;

    trp_lock_take(&gates->lock);
    /* relaxed, both: under lock; and whoever reads it without has a permit, which it got later. */
    while (i < TROUPE_GATES_MAX &&
           atomic_load_explicit(&gates->gates[i], memory_order_relaxed) != NULL) {
        i++;
    }
    if (i < TROUPE_GATES_MAX) {
        gate->number = i;
        atomic_store_explicit(&gates->gates[i], gate, memory_order_relaxed);
    }
    trp_lock_give(&gates->lock);
    return i < TROUPE_GATES_MAX ? TROUPE_OK : TROUPE_ELIMIT;
}

/* ---- making one ---- */

static void set_options(struct troupe_gate *gate, const struct troupe_gate_options *options)
{
    uint32_t interval_ms =
        options->interval_ms > 0 ? options->interval_ms : TROUPE_GATE_INTERVAL_DEFAULT_MS;
    uint32_t least =
        options->least > 0 ? options->least : 2 * troupe_runtime_workers(gate->runtime);

    gate->limit = options->limit > 0 ? options->limit : TROUPE_GATE_LIMIT_DEFAULT;
    gate->least = least < gate->limit ? least : gate->limit;
    gate->bytes = options->bytes > 0 ? options->bytes : BYTES_MAX;
    gate->age_max_ns = (uint64_t)options->age_max_ms * NS_PER_MS;
    gate->target_ns = (uint64_t)options->target_us * NS_PER_US;
    gate->interval_ns = (uint64_t)interval_ms * NS_PER_MS;
}

/* All slots are spare. */
static void init_slots(struct troupe_gate *gate)
{
    for (uint32_t i = 0; i < gate->limit; i++) {
        atomic_init(&gate->slots[i].holds, 0);
        atomic_init(&gate->slots[i].begun, false);
        atomic_init(&gate->slots[i].next, i + 1 < gate->limit ? i + 2 : 0);
    }
    atomic_init(&gate->spare, 1);
    atomic_init(&gate->window, gate->limit);
    atomic_init(&gate->least_ns, UINT64_MAX);
}

static struct troupe_gate *gate_new(
    struct troupe_runtime *runtime, const struct troupe_gate_options *options)
{
    uint32_t limit = options->limit > 0 ? options->limit : TROUPE_GATE_LIMIT_DEFAULT;
    size_t size = sizeof(struct troupe_gate) + limit * sizeof(struct slot);
    struct troupe_gate *gate = trp_memory_alloc(trp_runtime_memory(runtime), size, TRP_CACHE_LINE);

    if (gate == NULL) {
        return NULL;
    }
    memset(gate, 0, sizeof *gate);
    gate->runtime = runtime;
    gate->memory = trp_runtime_memory(runtime);
    gate->size = size;
    gate->slots = (struct slot *)(void *)(gate + 1);
    set_options(gate, options);
    init_slots(gate);
    return gate;
}

int troupe_gate_create_sized(struct troupe_runtime *runtime,
    const struct troupe_gate_options *given, size_t options_size, struct troupe_gate **out_gate)
{
    struct troupe_gate_options options = {0};
    struct troupe_gate *gate;
    int error;

    if (runtime == NULL || out_gate == NULL ||
        (given != NULL && trp_options_read(&options, sizeof options, given, options_size) < 0) ||
        options.limit > TROUPE_GATE_LIMIT_MAX || options.bytes > BYTES_MAX) {
        return TROUPE_EINVAL;
    }
    if (!trp_reclaim_is_home()) {
        return TROUPE_EFORKED;
    }
    gate = gate_new(runtime, &options);
    if (gate == NULL) {
        return TROUPE_ENOMEM;
    }
    error = enlist(gates_of(runtime), gate);
    if (error < 0) {
        trp_memory_free(gate->memory, gate, gate->size);
        return error;
    }
    *out_gate = gate;
    return TROUPE_OK;
}

void troupe_gate_destroy(struct troupe_gate *gate)
{
    if (gate == NULL || !trp_reclaim_is_home()) {
        return;
    }
    /* acq_rel: whoever frees it sees all that others did with it.  PAIR gate.load. */
    if (count_of(atomic_fetch_or_explicit(&gate->load, CLOSED, memory_order_acq_rel)) == 0) {
        gate_free(gate);
    }
}

/* ---- slots ---- */

/* A spare one: there is one for whoever is counted in `load`. */
static uint32_t take_slot(struct troupe_gate *gate)
{
    /* acquire: its `next`, and what whoever had it wrote.  PAIR gate.spare. */
    uint64_t spare = atomic_load_explicit(&gate->spare, memory_order_acquire);
    uint64_t next;

    do {
        trp_assert((uint32_t)spare != 0);
        /* relaxed: if the slot was taken by somebody else, and this is not what stood there, `spare` has changed. */
        next = atomic_load_explicit(&gate->slots[(uint32_t)spare - 1].next, memory_order_relaxed);
        next |= (spare & ~(SPARE_STEP - 1)) + SPARE_STEP;
        /* acquire: as above, also if it failed.  PAIR gate.spare. */
    } while (!atomic_compare_exchange_weak_explicit(
        &gate->spare, &spare, next, memory_order_acquire, memory_order_acquire));
    return (uint32_t)spare - 1;
}

static void give_slot(struct troupe_gate *gate, uint32_t number)
{
    /* relaxed: the compare-and-swap checks it. */
    uint64_t spare = atomic_load_explicit(&gate->spare, memory_order_relaxed);
    uint64_t next;

    do {
        /* relaxed: published by what follows. */
        atomic_store_explicit(&gate->slots[number].next, (uint32_t)spare, memory_order_relaxed);
        next = ((spare & ~(SPARE_STEP - 1)) + SPARE_STEP) | (number + 1);
        /* release: `next`, and that we are done with the slot.  PAIR gate.spare: acquire in take_slot(). */
    } while (!atomic_compare_exchange_weak_explicit(
        &gate->spare, &spare, next, memory_order_release, memory_order_relaxed));
}

/* ---- delay ---- */

/* An interval is over, in which `least_ns` was the least delay. */
static void adapt(struct troupe_gate *gate, uint64_t least_ns)
{
    /* relaxed, all of it: numbers; who comes here is alone with this interval. */
    uint64_t window = atomic_load_explicit(&gate->window, memory_order_relaxed);
    uint64_t in_flight = count_of(atomic_load_explicit(&gate->load, memory_order_relaxed));
    bool pressed = atomic_exchange_explicit(&gate->pressed, false, memory_order_relaxed);

    if (least_ns > gate->target_ns) {
        uint64_t used = in_flight < window ? in_flight : window;

        window = used * (gate->target_ns >> 10) / ((least_ns >> 10) + 1);
    } else {
        window += pressed ? window / 8 + 1 : window;
    }
    window = window > gate->least ? window : gate->least;
    window = window < gate->limit ? window : gate->limit;
    atomic_store_explicit(&gate->window, (uint32_t)window, memory_order_relaxed);
}

/* Notes the delay, and ends the interval if it is over. */
static void gather(struct troupe_gate *gate, uint64_t delay_ns, uint64_t now_ns)
{
    /* relaxed, all of it: numbers; the exchange of the end decides who ends an interval. */
    uint64_t least_ns = atomic_load_explicit(&gate->least_ns, memory_order_relaxed);
    uint64_t end_ns = atomic_load_explicit(&gate->interval_end_ns, memory_order_relaxed);

    while (delay_ns < least_ns && !atomic_compare_exchange_weak_explicit(&gate->least_ns, &least_ns,
                                      delay_ns, memory_order_relaxed, memory_order_relaxed)) {
    }
    if (now_ns < end_ns ||
        !atomic_compare_exchange_strong_explicit(&gate->interval_end_ns, &end_ns,
            now_ns + gate->interval_ns, memory_order_relaxed, memory_order_relaxed)) {
        return;
    }
    least_ns = atomic_exchange_explicit(&gate->least_ns, UINT64_MAX, memory_order_relaxed);
    /* The first one begins; so does the first one after a pause, which says nothing of a queue. */
    if (end_ns != 0 && now_ns - end_ns < gate->interval_ns) {
        adapt(gate, least_ns);
    }
}

static void begin(struct troupe_gate *gate, struct slot *slot)
{
    uint64_t now_ns;
    uint64_t delay_ns;
    int64_t average_ns;

    /* relaxed, both: of those who have holds the first to come here measures; they share nothing else. */
    if (atomic_load_explicit(&slot->begun, memory_order_relaxed) ||
        atomic_exchange_explicit(&slot->begun, true, memory_order_relaxed)) {
        return;
    }
    now_ns = trp_port_now_ns();
    delay_ns = now_ns > slot->entered_ns ? now_ns - slot->entered_ns : 0;
    /* relaxed: an average; if two change it at once, one is forgotten. */
    average_ns = (int64_t)atomic_load_explicit(&gate->delay_ns, memory_order_relaxed);
    average_ns += ((int64_t)delay_ns - average_ns) / 8;
    atomic_store_explicit(&gate->delay_ns, (uint64_t)average_ns, memory_order_relaxed);
    if (gate->target_ns == 0) {
        return;
    }
    /* relaxed: before the count is lowered, so that whoever sees one that waits sees that it has not waited long. */
    atomic_store_explicit(&gate->begun_ns, now_ns, memory_order_relaxed);
    /* release: the time.  PAIR gate.waiting: acquire in is_stuck(). */
    atomic_fetch_sub_explicit(&gate->waiting, 1, memory_order_release);
    gather(gate, delay_ns, now_ns);
}

/* Whether nothing that waits was begun for an interval. */
static bool is_stuck(struct troupe_gate *gate, uint64_t now_ns)
{
    uint64_t begun_ns;

    /* acquire: since when.  PAIR gate.waiting: release in begin() and in start(). */
    if (atomic_load_explicit(&gate->waiting, memory_order_acquire) == 0) {
        return false;
    }
    /* relaxed: came with what was acquired. */
    begun_ns = atomic_load_explicit(&gate->begun_ns, memory_order_relaxed);
    return now_ns > begun_ns && now_ns - begun_ns >= gate->interval_ns;
}

/* ---- entering ---- */

static bool is_expired(
    const struct troupe_gate *gate, const struct troupe_gate_entry *entry, uint64_t load)
{
    uint64_t age_ns = (uint64_t)entry->age_ms * NS_PER_MS;
    uint64_t timeout_ns = (uint64_t)entry->timeout_ms * NS_PER_MS;
    uint64_t delay_ns = 0;

    if (gate->age_max_ns > 0 && age_ns >= gate->age_max_ns) {
        return true;
    }
    if (timeout_ns == 0) {
        return false;
    }
    /* What was measured of others says nothing when nobody is in the way; and somebody must be let in to measure again. */
    if (count_of(load) > 0) {
        /* relaxed: a number. */
        delay_ns = atomic_load_explicit(&gate->delay_ns, memory_order_relaxed);
    }
    return age_ns + delay_ns >= timeout_ns;
}

/* Whether there is room for it: REFUSALS, or why not. */
static enum refusal look(
    struct troupe_gate *gate, const struct troupe_gate_entry *entry, uint64_t load)
{
    if (load & CLOSED) {
        return REFUSED_CLOSED;
    }
    if (is_expired(gate, entry, load)) {
        return REFUSED_EXPIRED;
    }
    if (count_of(load) >= gate->limit) {
        return REFUSED_FULL;
    }
    if (entry->bytes > gate->bytes - (load & BYTES)) {
        return REFUSED_BYTES;
    }
    /* relaxed: a number. */
    if (count_of(load) >= atomic_load_explicit(&gate->window, memory_order_relaxed)) {
        return REFUSED_BUSY;
    }
    return REFUSALS;
}

/* Counts it in `load`: REFUSALS, or why not. */
static enum refusal admit(
    struct troupe_gate *gate, const struct troupe_gate_entry *entry, uint32_t *out_count)
{
    /* relaxed: the compare-and-swap checks it. */
    uint64_t load = atomic_load_explicit(&gate->load, memory_order_relaxed);

    do {
        enum refusal refusal = look(gate, entry, load);

        if (refusal != REFUSALS) {
            return refusal;
        }
        /* acquire: the slot that was put back before the word was lowered.  PAIR gate.load: acq_rel in drop(). */
    } while (!atomic_compare_exchange_weak_explicit(
        &gate->load, &load, load + ONE + entry->bytes, memory_order_acquire, memory_order_relaxed));
    *out_count = count_of(load) + 1;
    return REFUSALS;
}

static enum refusal try_enter(struct troupe_gate *gate, const struct troupe_gate_entry *entry,
    uint64_t now_ns, uint32_t *out_count)
{
    if (entry->bytes > gate->bytes) {
        return REFUSED_SIZE;
    }
    if (trp_memory_pressure(gate->memory) >= TRP_PRESSURE_GATES) {
        return REFUSED_MEMORY;
    }
    if (gate->target_ns > 0 && is_stuck(gate, now_ns)) {
        return REFUSED_BUSY;
    }
    return admit(gate, entry, out_count);
}

static void count_in(struct troupe_gate *gate, uint32_t count)
{
    /* relaxed, all of it: numbers. */
    uint32_t highest = atomic_load_explicit(&gate->highest, memory_order_relaxed);

    atomic_fetch_add_explicit(&gate->admitted, 1, memory_order_relaxed);
    while (count > highest && !atomic_compare_exchange_weak_explicit(&gate->highest, &highest,
                                  count, memory_order_relaxed, memory_order_relaxed)) {
    }
}

/* The wait of one that was let in begins. */
static void start(struct troupe_gate *gate, struct slot *slot, uint64_t bytes, uint64_t now_ns)
{
    slot->entered_ns = now_ns;
    slot->bytes = bytes;
    /* relaxed, all: whoever gets the permit gets them with it, and before that nobody looks. */
    atomic_store_explicit(&slot->holds, 1, memory_order_relaxed);
    atomic_store_explicit(&slot->begun, false, memory_order_relaxed);
    if (gate->target_ns == 0) {
        return;
    }
    if (atomic_load_explicit(&gate->waiting, memory_order_relaxed) == 0) {
        atomic_store_explicit(&gate->begun_ns, now_ns, memory_order_relaxed);
    }
    /* release: the time.  PAIR gate.waiting: acquire in is_stuck(). */
    atomic_fetch_add_explicit(&gate->waiting, 1, memory_order_release);
}

int troupe_gate_enter(struct troupe_gate *gate, const struct troupe_gate_entry *entry,
    struct troupe_permit *out_permit)
{
    static const struct troupe_gate_entry nothing = {0};
    uint64_t now_ns;
    uint32_t count;
    enum refusal refusal;

    if (gate == NULL || out_permit == NULL) {
        return TROUPE_EINVAL;
    }
    if (!trp_reclaim_is_home()) {
        return TROUPE_EFORKED;
    }
    entry = entry != NULL ? entry : &nothing;
    now_ns = trp_port_now_ns();
    refusal = try_enter(gate, entry, now_ns, &count);
    if (refusal != REFUSALS) {
        /* relaxed, both: a number; a word to whoever adapts the window. */
        atomic_fetch_add_explicit(&gate->refused[refusal], 1, memory_order_relaxed);
        if (refusal == REFUSED_BUSY) {
            atomic_store_explicit(&gate->pressed, true, memory_order_relaxed);
        }
        return refusal_errors[refusal];
    }
    count_in(gate, count);
    *out_permit = (struct troupe_permit){gate, take_slot(gate)};
    start(gate, &gate->slots[out_permit->number], entry->bytes, now_ns);
    return TROUPE_OK;
}

/* ---- returning ---- */

/* The permit is in nobody's hands: the slot is spare, and the gate, if it was the last of a closed one, freed. */
static void drop(struct troupe_gate *gate, uint32_t number)
{
    struct slot *slot = &gate->slots[number];
    uint64_t bytes = slot->bytes;
    uint64_t load;

    begin(gate, slot);
    give_slot(gate, number);
    /* acq_rel: the slot that we put back; and whoever frees the gate sees all that others did with it.
     * PAIR gate.load: acquire in admit(), acq_rel in troupe_gate_destroy() and here. */
    load = atomic_fetch_sub_explicit(&gate->load, ONE + bytes, memory_order_acq_rel);
    if ((load & CLOSED) && count_of(load) == 1) {
        gate_free(gate);
    }
}

void troupe_permit_return(struct troupe_permit permit)
{
    struct slot *slot;

    if (permit.gate == NULL || !trp_reclaim_is_home()) {
        return;
    }
    slot = &permit.gate->slots[permit.number];
    /* acq_rel: the last one sees that the others are done.  PAIR gate.holds: itself. */
    if (atomic_fetch_sub_explicit(&slot->holds, 1, memory_order_acq_rel) == 1) {
        drop(permit.gate, permit.number);
    }
}

void troupe_permit_begin(struct troupe_permit permit)
{
    if (permit.gate != NULL && trp_reclaim_is_home()) {
        begin(permit.gate, &permit.gate->slots[permit.number]);
    }
}

/* ---- in messages ---- */

static uint32_t pack(struct troupe_permit permit)
{
    return permit.gate->number << SLOT_BITS | (permit.number + 1);
}

static struct troupe_permit unpack(const struct troupe_runtime *runtime, uint32_t packed)
{
    /* relaxed: whoever has the permit had it from somebody who knew the gate. */
    struct troupe_gate *gate =
        atomic_load_explicit(&gates_of(runtime)->gates[packed >> SLOT_BITS], memory_order_relaxed);

    return (struct troupe_permit){gate, (packed & ((1U << SLOT_BITS) - 1)) - 1};
}

void trp_gate_begin_permit(struct troupe_runtime *runtime, uint32_t permit)
{
    troupe_permit_begin(unpack(runtime, permit));
}

void trp_gate_return_permit(struct troupe_runtime *runtime, uint32_t permit)
{
    troupe_permit_return(unpack(runtime, permit));
}

/* `msg`, or a copy of it, with an extension.  NULL without memory. */
static struct troupe_message *extended(struct troupe_runtime *runtime, struct troupe_message *msg)
{
    struct trp_visit visit;
    struct troupe_message *copy;

    if (msg->flags & TRP_MESSAGE_EXTENDED) {
        return msg;
    }
    if (trp_context_enter(runtime, &visit) < 0) {
        return NULL;
    }
    copy = trp_message_new(visit.context, msg->type, msg->size, TRP_MESSAGE_EXTENDED);
    if (copy != NULL) {
        memcpy(trp_message_body(copy), trp_message_body(msg), msg->size);
        copy->sender = msg->sender;
        copy->flags |= msg->flags & TRP_MESSAGE_EMPTIED;
        trp_message_set_runtime(copy, runtime);
        trp_message_free(&visit.context->pool, msg);
    }
    trp_context_leave(&visit);
    return copy;
}

static bool is_attaching_right(
    const struct troupe_runtime *runtime, struct troupe_message *const *in_out_msg)
{
    return in_out_msg != NULL && *in_out_msg != NULL &&
           trp_message_runtime(*in_out_msg) == runtime &&
           ((*in_out_msg)->flags & (TRP_MESSAGE_REQUEST | TRP_MESSAGE_METERED)) == 0;
}

int troupe_permit_attach(struct troupe_permit permit, struct troupe_message **in_out_msg)
{
    struct troupe_message *msg;

    if (permit.gate == NULL || !is_attaching_right(permit.gate->runtime, in_out_msg)) {
        return TROUPE_EINVAL;
    }
    msg = extended(permit.gate->runtime, *in_out_msg);
    if (msg == NULL) {
        return TROUPE_ENOMEM;
    }
    trp_message_set_unasked(msg, TRP_NEVER);
    trp_message_extension(msg)->permit = pack(permit);
    msg->flags |= TRP_MESSAGE_METERED;
    msg->kind = TRP_MESSAGE_QUESTION;
    *in_out_msg = msg;
    return TROUPE_OK;
}

int troupe_permit_inherit(struct troupe_actor *self, const struct troupe_message *from,
    struct troupe_message **in_out_msg)
{
    TRP_INSIDE(self);
    struct troupe_permit permit;
    struct slot *slot;
    int error;

    if (!trp_actor_is_mine(self) || from == NULL ||
        !is_attaching_right(self->runtime, in_out_msg)) {
        return TROUPE_EINVAL;
    }
    if ((from->flags & TRP_MESSAGE_METERED) == 0) {
        return TROUPE_OK;
    }
    permit = unpack(self->runtime, trp_message_extension(from)->permit);
    slot = &permit.gate->slots[permit.number];
    /* relaxed: `from` has a hold meanwhile. */
    atomic_fetch_add_explicit(&slot->holds, 1, memory_order_relaxed);
    error = troupe_permit_attach(permit, in_out_msg);
    if (error < 0) {
        /* relaxed: as above. */
        atomic_fetch_sub_explicit(&slot->holds, 1, memory_order_relaxed);
    }
    return error;
}

/* ---- numbers ---- */

/* A number of another thread's. */
static uint64_t read_number(const _Atomic uint64_t *number)
{
    /* relaxed: a view. */
    return atomic_load_explicit(number, memory_order_relaxed);
}

int troupe_gate_read(const struct troupe_gate *gate, struct troupe_gate_numbers *out_numbers)
{
    struct troupe_gate_numbers numbers = {0};
    uint64_t load;
    uint64_t delay_us;

    if (gate == NULL || out_numbers == NULL) {
        return TROUPE_EINVAL;
    }
    load = read_number(&gate->load);
    delay_us = read_number(&gate->delay_ns) / NS_PER_US;
    numbers.in_flight = count_of(load);
    numbers.bytes = load & BYTES;
    /* relaxed, both: a view. */
    numbers.highest = atomic_load_explicit(&gate->highest, memory_order_relaxed);
    numbers.window = atomic_load_explicit(&gate->window, memory_order_relaxed);
    numbers.delay_us = delay_us < UINT32_MAX ? (uint32_t)delay_us : UINT32_MAX;
    numbers.admitted = read_number(&gate->admitted);
    numbers.refused_full = read_number(&gate->refused[REFUSED_FULL]);
    numbers.refused_busy = read_number(&gate->refused[REFUSED_BUSY]);
    numbers.refused_bytes =
        read_number(&gate->refused[REFUSED_BYTES]) + read_number(&gate->refused[REFUSED_SIZE]);
    numbers.refused_memory = read_number(&gate->refused[REFUSED_MEMORY]);
    numbers.refused_expired = read_number(&gate->refused[REFUSED_EXPIRED]);
    numbers.refused_closed = read_number(&gate->refused[REFUSED_CLOSED]);
    for (unsigned i = 0; i < REFUSALS; i++) {
        numbers.refused += read_number(&gate->refused[i]);
    }
    *out_numbers = numbers;
    return TROUPE_OK;
}
