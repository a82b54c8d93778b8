/* SPDX-License-Identifier: MIT */
/*
 * atomic.c - what atomic accesses do.
 *
 * Each location has a history of the values that it had, and with each value what its writer had released with it.  A load
 * may give any value but those that are older than one that the thread must know of: one that it wrote or read itself, or
 * that is behind something it has acquired.  Of seq_cst loads also: none that is older than the last seq_cst store
 * there.  Read-modify-writes take the newest.  That is the memory of C11, but that values come in the order in which
 * the stores ran: what a store may do before its turn (load buffering, two stores in another order) is not seen.
 *
 * A location that one thread alone has ever touched is nobody else's business: no point stands before an access
 * to it.  Which are shared is found out while runs go by (explore_atomic_learnt()).
 */
#include <stdatomic.h>
#include <string.h>

#include "test/explore/engine.h"

#define LOCATIONS (1U << 16)
#define HISTORY 8

struct value {
    uint64_t value;
    unsigned writer;
    explore_step written;                /* 0: before the threads were */
    explore_step read[EXPLORE_CONTEXTS]; /* when a thread read it first */
    struct explore_view published;       /* to whoever acquires it */
};

struct location {
    uintptr_t address;
    uint64_t run;
    unsigned touched; /* bits of threads, over all runs */
    bool changed;     /* while several were there, over all runs */
    bool shared;
    unsigned count;    /* values ever; the last HISTORY of them are kept */
    unsigned last_seq; /* count after the last seq_cst store, 0: none */
    struct value values[HISTORY];
};

static struct location locations[LOCATIONS];
static uint64_t run;
static bool learnt;
static bool all_suspect;

static struct explore_view fences; /* what threads knew at their seq_cst fences */
static struct explore_view
    floors[EXPLORE_CONTEXTS]; /* writes of before are not read over by who had a fence since */
static struct explore_view released[EXPLORE_CONTEXTS]; /* before a thread's last release fence */
static struct explore_view read_relaxed[EXPLORE_CONTEXTS]; /* what its acquire fence will acquire */

/* Nobody needs to know of memory that one thread has for itself. */
__attribute__((format(printf, 3, 4))) static void trace_access(
    const struct location *location, uintptr_t pc, const char *format, ...)
{
    va_list list;

    if (location->shared) {
        va_start(list, format);
        explore_trace_list(pc, format, list);
        va_end(list);
    }
}

void explore_atomic_begin(void)
{
    run++;
    memset(&fences, 0, sizeof fences);
    memset(floors, 0, sizeof floors);
    memset(released, 0, sizeof released);
    memset(read_relaxed, 0, sizeof read_relaxed);
}

/* ---- histories ---- */

static uint64_t memory_read(uintptr_t address, size_t size)
{
    uint64_t value = 0;

    memcpy(&value, (const void *)address, size);
    return value;
}

static void write_memory(uintptr_t address, size_t size, uint64_t value)
{
    memcpy((void *)address, &value, size);
}

static struct value *value_at(struct location *location, unsigned number)
{
    return &location->values[number % HISTORY];
}

static struct value *add_value(struct location *location, uint64_t value)
{
    struct value *new = value_at(location, location->count++);

    memset(new, 0, sizeof *new);
    new->value = value;
    return new;
}

static struct location *find(uintptr_t address)
{
    size_t at = (address * UINT64_C(0x9e3779b97f4a7c15)) >> 48;

    while (locations[at].address != 0 && locations[at].address != address) {
        at = (at + 1) % LOCATIONS;
    }
    locations[at].address = address;
    return &locations[at];
}

static struct location *location_at(uintptr_t address, size_t size)
{
    struct location *location = find(address);
    uint64_t value = memory_read(address, size);

    if (location->run != run) {
        location->run = run;
        location->count = 0;
        location->last_seq = 0;
    }
    /* At first, and when it was written plainly since: with that explore_memory_atomic() has seen that all know of it. */
    if (location->count == 0 || value_at(location, location->count - 1)->value != value) {
        location->count = 0;
        location->last_seq = 0;
        add_value(location, value);
    }
    return location;
}

/* Whether a step is one that atomic loads may not read behind: the thread knows of it, or has had a seq_cst fence since. */
static bool is_behind(unsigned thread, explore_step when)
{
    return explore_knows(thread, when) || floors[explore_self()].steps[thread] >= when;
}

static bool is_known(const struct value *value)
{
    if (value->written == 0 || is_behind(value->writer, value->written)) {
        return true;
    }
    for (unsigned i = 0; i < EXPLORE_CONTEXTS; i++) {
        if (value->read[i] != 0 && is_behind(i, value->read[i])) {
            return true;
        }
    }
    return false;
}

/* The number of the oldest value that the thread may still read. */
static unsigned oldest(struct location *location, int order)
{
    unsigned first = location->count > HISTORY ? location->count - HISTORY : 0;
    unsigned number = location->count - 1;

    if (order == memory_order_seq_cst && location->last_seq > first) {
        first = location->last_seq - 1;
    }
    while (number > first && !is_known(value_at(location, number))) {
        number--;
    }
    return number;
}

/* ---- which locations are shared ---- */

static void meet(struct location *location, bool writes)
{
    location->touched |= 1U << explore_self();
    location->changed = location->changed || writes;
    if (!location->shared && location->changed &&
        (location->touched & (location->touched - 1)) != 0) {
        location->shared = true;
        learnt = true;
    }
}

bool explore_atomic_learnt(void)
{
    bool was = learnt;

    learnt = false;
    return was;
}

void explore_atomic_forget(void)
{
    explore_plant_forget();
    memset(locations, 0, sizeof locations);
}

void explore_atomic_suspect_all(bool on)
{
    all_suspect = on;
}

/* ---- accesses ---- */

/* The order that an access has in this run. */
static int order_of(enum explore_operation operation, int order, uintptr_t pc)
{
    explore_plant_note(operation, order, pc);
    return explore_plant_is(EXPLORE_RELAX, pc) ? memory_order_relaxed : order;
}

static bool acquires(int order)
{
    return order == memory_order_acquire || order == memory_order_consume ||
           order == memory_order_acq_rel || order == memory_order_seq_cst;
}

static bool releases(int order)
{
    return order == memory_order_release || order == memory_order_acq_rel ||
           order == memory_order_seq_cst;
}

/* Nobody else is there: no history is needed. */
static bool is_alone(uintptr_t address, size_t size, uintptr_t pc)
{
    if (explore_is_parallel()) {
        return false;
    }
    explore_memory_atomic(address, size, false, pc);
    return true;
}

/* Another thread may run here, if this is its business too. */
static struct location *approach(uintptr_t address, size_t size, bool writes)
{
    struct location *location = find(address);

    meet(location, writes);
    if (location->shared || all_suspect) {
        explore_point();
    } else {
        explore_pass();
    }
    return location_at(address, size);
}

static void touch(uintptr_t address, size_t size, bool writes, uintptr_t pc)
{
    explore_memory_atomic(address, size, writes, pc);
    explore_tick();
}

static void learn(struct value *value, int order)
{
    unsigned self = explore_self();

    if (value->read[self] == 0) {
        value->read[self] = explore_own_view()->steps[self];
    }
    if (acquires(order)) {
        explore_acquire(&value->published);
    } else {
        explore_view_join(&read_relaxed[self], &value->published);
    }
}

static void publish(
    struct location *location, uint64_t value, const struct value *behind, int order)
{
    unsigned self = explore_self();
    struct explore_view sequence = {{0}};
    struct value *new;

    /* A read-modify-write hands on what was released with the value that it read. */
    if (behind != NULL) {
        sequence = behind->published;
    }
    new = add_value(location, value);
    new->writer = self;
    new->written = explore_own_view()->steps[self];
    new->published = releases(order) ? *explore_own_view() : released[self];
    explore_view_join(&new->published, &sequence);
    if (order == memory_order_seq_cst) {
        location->last_seq = location->count;
    }
    /* What comes after it was not released with it. */
    explore_tick();
}

uint64_t explore_atomic_load(uintptr_t address, size_t size, int order, uintptr_t pc)
{
    struct location *location;
    struct value *value;
    unsigned first;
    unsigned older;

    if (is_alone(address, size, pc)) {
        return memory_read(address, size);
    }
    location = approach(address, size, false);
    touch(address, size, false, pc);
    order = order_of(EXPLORE_LOAD, order, pc);
    if (explore_plant_is(EXPLORE_LIE, pc)) {
        return explore_plant_value();
    }
    first = oldest(location, order);
    older = explore_decide(EXPLORE_VALUE, location->count - first);
    value = value_at(location, location->count - 1 - older);
    learn(value, order);
    trace_access(location, pc, "load %s of %#lx: %#lx%s", explore_order_name(order),
        (unsigned long)address, (unsigned long)value->value, older > 0 ? ", an older value" : "");
    return value->value;
}

void explore_atomic_store(uintptr_t address, size_t size, uint64_t value, int order, uintptr_t pc)
{
    struct location *location;

    if (is_alone(address, size, pc)) {
        write_memory(address, size, value);
        return;
    }
    location = approach(address, size, true);
    touch(address, size, true, pc);
    order = order_of(EXPLORE_STORE, order, pc);
    if (explore_plant_is(EXPLORE_FORGET, pc)) {
        return;
    }
    write_memory(address, size, value);
    publish(location, value, NULL, order);
    trace_access(location, pc, "store %s to %#lx: %#lx", explore_order_name(order),
        (unsigned long)address, (unsigned long)value);
}

static uint64_t combine(enum explore_operation operation, uint64_t old, uint64_t operand)
{
    switch (operation) {
    case EXPLORE_ADD:
        return old + operand;
    case EXPLORE_SUB:
        return old - operand;
    case EXPLORE_AND:
        return old & operand;
    case EXPLORE_OR:
        return old | operand;
    default:
        return operand;
    }
}

static uint64_t cut(uint64_t value, size_t size)
{
    return size == 8 ? value : value & ((UINT64_C(1) << (8 * size)) - 1);
}

uint64_t explore_atomic_modify(enum explore_operation operation, uintptr_t address, size_t size,
    uint64_t operand, int order, uintptr_t pc)
{
    struct location *location;
    struct value behind;
    uint64_t new;

    if (is_alone(address, size, pc)) {
        uint64_t old = memory_read(address, size);

        write_memory(address, size, combine(operation, old, operand));
        return old;
    }
    location = approach(address, size, true);
    touch(address, size, true, pc);
    behind = *value_at(location, location->count - 1);
    new = cut(combine(operation, behind.value, operand), size);
    order = order_of(operation, order, pc);
    if (explore_plant_is(EXPLORE_FORGET, pc)) {
        return behind.value;
    }
    learn(value_at(location, location->count - 1), order);
    if (explore_plant_is(EXPLORE_TEAR, pc)) {
        explore_point();
        location = location_at(address, size);
    }
    write_memory(address, size, new);
    publish(location, new, &behind, order);
    trace_access(location, pc, "%s %s of %#lx: %#lx -> %#lx", explore_operation_name(operation),
        explore_order_name(order), (unsigned long)address, (unsigned long)behind.value,
        (unsigned long)new);
    return behind.value;
}

static bool swap_alone(uintptr_t address, size_t size, uint64_t *expected, uint64_t desired)
{
    uint64_t old = memory_read(address, size);

    if (old != *expected) {
        *expected = old;
        return false;
    }
    write_memory(address, size, desired);
    return true;
}

bool explore_atomic_swap(uintptr_t address, size_t size, uint64_t *expected, uint64_t desired,
    int order, int otherwise, uintptr_t pc)
{
    struct location *location;
    struct value *newest;
    struct value behind;
    bool blind;

    if (is_alone(address, size, pc)) {
        return swap_alone(address, size, expected, desired);
    }
    location = approach(address, size, true);
    touch(address, size, false, pc);
    newest = value_at(location, location->count - 1);
    behind = *newest;
    blind = explore_plant_is(EXPLORE_BLIND, pc);
    order = order_of(EXPLORE_SWAP, order, pc);
    otherwise = order == memory_order_relaxed ? order : otherwise;
    if (behind.value != *expected && !blind) {
        learn(newest, otherwise);
        trace_access(location, pc, "compare-and-swap of %#lx: is %#lx, not %#lx",
            (unsigned long)address, (unsigned long)behind.value, (unsigned long)*expected);
        *expected = behind.value;
        return false;
    }
    touch(address, size, true, pc);
    learn(newest, order);
    if (explore_plant_is(EXPLORE_TEAR, pc)) {
        explore_point();
        location = location_at(address, size);
    }
    write_memory(address, size, desired);
    publish(location, desired, &behind, order);
    trace_access(location, pc, "compare-and-swap %s of %#lx: %#lx -> %#lx",
        explore_order_name(order), (unsigned long)address, (unsigned long)behind.value,
        (unsigned long)desired);
    return true;
}

void explore_atomic_fence(int order, uintptr_t pc)
{
    unsigned self = explore_self();

    (void)order_of(EXPLORE_FENCE, order, pc);
    if (explore_plant_is(EXPLORE_FORGET, pc)) {
        return;
    }
    explore_point();
    if (acquires(order)) {
        explore_acquire(&read_relaxed[self]);
    }
    if (order == memory_order_seq_cst) {
        explore_view_join(&fences, explore_own_view());
        explore_view_join(&fences, &floors[self]);
        floors[self] = fences;
        explore_tick();
    }
    if (releases(order)) {
        released[self] = *explore_own_view();
        explore_tick();
    }
    explore_trace(pc, "fence %s", explore_order_name(order));
}

void explore_atomic_fence_all(void)
{
    explore_views_join(&fences);
    for (unsigned i = 0; i < EXPLORE_CONTEXTS; i++) {
        floors[i] = fences;
    }
    explore_tick();
}
