/* SPDX-License-Identifier: MIT */
/*
 * memory.c - what an access to memory does in a run.
 *
 * Answers the calls that `-fsanitize=thread` puts before each access.  Plain ones are checked: two threads touch a
 * byte, one of them writes, and nothing says which was first: a race.  So are those to memory that was freed.
 *
 * Atomic ones are carried out here.  Each location has a history of the values that it had, and with each value what
 * its writer had released with it.  A load may give any value but those that are older than one that the thread must
 * know of: one that it wrote or read itself, or that is behind something it has acquired.  Of seq_cst loads
 * also: none that is older than the last seq_cst store there.  Read-modify-writes take the newest.  That is the
 * memory of C11 without reads from the future.
 *
 * A location that one thread alone has ever touched is nobody else's business: no point stands before an access
 * to it.  Which are shared is found out while runs go by (explore_memory_learnt()).
 *
 * Built without instrumentation, as all of the explorer.
 */
#include <pthread.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "test/explore/engine.h"

/** Where runs have their memory: always the same addresses. */
#define ARENA ((uintptr_t)0x100000000000)
#define ARENA_SIZE ((size_t)32 << 20)
#define GRAIN 8
#define GRAINS (ARENA_SIZE / GRAIN)

#define LOCATIONS (1U << 16)
#define HISTORY 8
#define ACCESSES 512

/* A step of a thread, 0 if there was none. */
typedef uint16_t step;

/* Who touched a byte last. */
struct byte {
    uint8_t writer;
    step written; /* plainly */
    step read[EXPLORE_CONTEXTS];
    step atomic_read[EXPLORE_CONTEXTS];
    step atomic_written[EXPLORE_CONTEXTS];
};

struct grain {
    uint64_t run; /* of an older run: nothing of this is true */
    struct byte bytes[GRAIN];
};

struct value {
    uint64_t value;
    unsigned writer;
    step written;                  /* 0: before the threads were */
    step read[EXPLORE_CONTEXTS];   /* when a thread read it first */
    struct explore_view published; /* to whoever acquires it */
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

static struct grain *grains;
static uint64_t *usable; /* by grain: the run in which it may be touched */
static uint64_t run;
static size_t used;

static struct location locations[LOCATIONS];
static bool learnt;
static bool all_suspect;

/* What is wrong with one access, if `pc` is not 0. */
struct damage {
    uintptr_t pc;
    enum explore_damage by;
    uint64_t value;
};

static struct damage damage;

static struct explore_access accesses[ACCESSES];
static unsigned access_count;

static FILE *trace;

static struct explore_view fences;                     /* what seq_cst fences have seen */
static struct explore_view released[EXPLORE_CONTEXTS]; /* before a thread's last release fence */
static struct explore_view read_relaxed[EXPLORE_CONTEXTS]; /* what its acquire fence will acquire */

/* ---- what is told ---- */

void explore_trace_to(FILE *to)
{
    trace = to;
}

static void trace_line(uintptr_t pc, const char *format, va_list list)
{
    const struct explore_site *site;
    unsigned thread;
    unsigned number;

    explore_where(&thread, &number);
    fprintf(trace, "  %u.%-3u ", thread, number);
    vfprintf(trace, format, list);
    if (pc != 0) {
        site = explore_site_at(pc);
        fprintf(trace, "   %s, %s:%d", site->function, site->file, site->line);
    }
    fputc('\n', trace);
}

void explore_trace(uintptr_t pc, const char *format, ...)
{
    va_list list;

    if (trace != NULL && explore_is_parallel()) {
        va_start(list, format);
        trace_line(pc, format, list);
        va_end(list);
    }
}

/* Nobody needs to know of memory that one thread has for itself. */
__attribute__((format(printf, 3, 4))) static void trace_access(
    const struct location *location, uintptr_t pc, const char *format, ...)
{
    va_list list;

    if (trace != NULL && location->shared) {
        va_start(list, format);
        trace_line(pc, format, list);
        va_end(list);
    }
}

const char *explore_operation_name(enum explore_operation operation)
{
    static const char *const names[EXPLORE_OPERATIONS] = {"load", "store", "exchange",
        "compare-and-swap", "add", "sub", "and", "or", "fence", "lock"};

    return names[operation];
}

const char *explore_order_name(int order)
{
    static const char *const names[] = {
        "relaxed", "consume", "acquire", "release", "acq_rel", "seq_cst"};

    return names[order];
}

/* ---- memory of a run ---- */

static void prepare(void)
{
    void *arena = mmap((void *)ARENA, ARENA_SIZE, PROT_READ | PROT_WRITE,
        MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

    grains = mmap(NULL, GRAINS * sizeof *grains, PROT_READ | PROT_WRITE,
        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    usable = mmap(NULL, GRAINS * sizeof *usable, PROT_READ | PROT_WRITE,
        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (arena != (void *)ARENA || grains == MAP_FAILED || usable == MAP_FAILED) {
        perror("explore: memory");
        exit(2);
    }
}

void explore_memory_begin(void)
{
    if (grains == NULL) {
        prepare();
    }
    run++;
    used = 0;
    memset(&fences, 0, sizeof fences);
    memset(released, 0, sizeof released);
    memset(read_relaxed, 0, sizeof read_relaxed);
}

static bool is_ours(uintptr_t address)
{
    return address - ARENA < ARENA_SIZE;
}

void explore_memory_unpoison(const void *block, size_t size)
{
    uintptr_t first = ((uintptr_t)block - ARENA) / GRAIN;

    for (size_t i = 0; is_ours((uintptr_t)block) && i < (size + GRAIN - 1) / GRAIN; i++) {
        usable[first + i] = run;
    }
}

void explore_memory_poison(const void *block, size_t size)
{
    uintptr_t first = ((uintptr_t)block - ARENA) / GRAIN;

    for (size_t i = 0; is_ours((uintptr_t)block) && i < size / GRAIN; i++) {
        usable[first + i] = 0;
    }
}

void *explore_alloc(size_t size, size_t align)
{
    char *block;

    align = align < 64 ? 64 : align;
    used = (used + align - 1) & ~(align - 1);
    if (size > ARENA_SIZE - used) {
        explore_fail("a run needs more memory than the explorer has");
    }
    block = (char *)ARENA + used;
    /* A gap behind it that nobody may touch. */
    used += size + GRAIN;
    memset(block, 0xa5, size);
    explore_memory_unpoison(block, size);
    return block;
}

void explore_free(void *block, size_t size)
{
    explore_memory_poison(block, size);
}

static struct byte *byte_at(uintptr_t address)
{
    struct grain *grain = &grains[(address - ARENA) / GRAIN];

    if (grain->run != run) {
        memset(grain, 0, sizeof *grain);
        grain->run = run;
    }
    return &grain->bytes[address % GRAIN];
}

/* ---- races ---- */

static bool knows(unsigned thread, step when)
{
    return explore_own_view()->steps[thread] >= when;
}

/* A thread whose step in `steps` we do not know to be over; 0: none.  Our own we know.  Written for the compiler's
 * vectors: nothing is called as often. */
static unsigned unknown(const step *steps)
{
    const step *known = explore_own_view()->steps;
    unsigned any = 0;
    unsigned thread = 0;

    for (unsigned i = 0; i < EXPLORE_CONTEXTS; i++) {
        any |= steps[i] > known[i];
    }
    while (any && steps[thread] <= known[thread]) {
        thread++;
    }
    return thread;
}

/* liburcu and Concurrency Kit access words plainly that others access atomically, where the order comes from a lock or
 * a fence of theirs: they count on a compiler that does not tear words. */
static bool is_foreign(const struct explore_site *site)
{
    return strcmp(site->file, "wfcqueue.h") == 0 || strcmp(site->file, "ck_stack.h") == 0;
}

static void fail_at(uintptr_t pc, const char *what, unsigned other)
{
    const struct explore_site *site = explore_site_at(pc);

    if (is_foreign(site)) {
        return;
    }
    explore_fail("%s: thread %u in %s (%s:%d), and thread %u", what, explore_self(), site->function,
        site->file, site->line, other);
}

static void check_usable(uintptr_t address, size_t size, uintptr_t pc)
{
    for (uintptr_t at = address & ~(uintptr_t)(GRAIN - 1); at < address + size; at += GRAIN) {
        if (usable[(at - ARENA) / GRAIN] != run) {
            const struct explore_site *site = explore_site_at(pc);

            explore_fail("freed memory: thread %u in %s (%s:%d)", explore_self(), site->function,
                site->file, site->line);
        }
    }
}

static void plain(uintptr_t address, size_t size, bool writes, uintptr_t pc)
{
    unsigned self = explore_self();

    if (!is_ours(address)) {
        return;
    }
    check_usable(address, size, pc);
    /* What was before the threads is known to all, and afterwards all is known. */
    for (size_t i = 0; explore_is_parallel() && i < size; i++) {
        struct byte *byte = byte_at(address + i);
        unsigned other =
            byte->written != 0 && byte->writer != self && !knows(byte->writer, byte->written)
                ? byte->writer
                : unknown(byte->atomic_written);

        if (other == 0 && writes) {
            other = unknown(byte->read);
        }
        if (other == 0 && writes) {
            other = unknown(byte->atomic_read);
        }
        if (other != 0) {
            fail_at(pc, writes ? "race: a write" : "race: a read", other);
        }
        if (writes) {
            byte->writer = (uint8_t)self;
            byte->written = explore_own_view()->steps[self];
        } else {
            byte->read[self] = explore_own_view()->steps[self];
        }
    }
}

/* An atomic access orders itself with other atomic ones, but not with plain ones. */
static void atomic_touch(uintptr_t address, size_t size, bool writes, uintptr_t pc)
{
    unsigned self = explore_self();

    if (!is_ours(address)) {
        return;
    }
    check_usable(address, size, pc);
    for (size_t i = 0; i < size; i++) {
        struct byte *byte = byte_at(address + i);
        step *mine = writes ? byte->atomic_written : byte->atomic_read;
        unsigned other =
            byte->written != 0 && byte->writer != self && !knows(byte->writer, byte->written)
                ? byte->writer
                : 0;

        if (other == 0 && writes) {
            other = unknown(byte->read);
        }
        if (other != 0) {
            fail_at(pc, "race: an atomic access", other);
        }
        mine[self] = explore_own_view()->steps[self];
    }
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
    /* At first, and when it was written plainly since: with that atomic_touch() has seen that all know of it. */
    if (location->count == 0 || value_at(location, location->count - 1)->value != value) {
        location->count = 0;
        location->last_seq = 0;
        add_value(location, value);
    }
    return location;
}

static bool is_known(const struct value *value)
{
    if (value->written == 0 || knows(value->writer, value->written)) {
        return true;
    }
    for (unsigned i = 0; i < EXPLORE_CONTEXTS; i++) {
        if (value->read[i] != 0 && knows(i, value->read[i])) {
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

/* ---- accesses and plants ---- */

static void collect(enum explore_operation operation, int order, uintptr_t pc)
{
    unsigned i = 0;

    while (i < access_count && accesses[i].pc != pc) {
        i++;
    }
    if (i == access_count && access_count < ACCESSES) {
        accesses[access_count++] = (struct explore_access){pc, operation, order};
    }
}

unsigned explore_memory_accesses(struct explore_access *out, unsigned most)
{
    for (unsigned i = 0; i < access_count && i < most; i++) {
        out[i] = accesses[i];
    }
    return access_count;
}

static bool is_meant(const struct explore_access *access, const struct explore_plant *by)
{
    return access->operation == by->operation &&
           strcmp(explore_site_at(access->pc)->function, by->function) == 0;
}

/* By lines: compilers lay code out as they like. */
static bool is_before(const struct explore_access *a, const struct explore_access *b)
{
    int difference = explore_site_at(a->pc)->line - explore_site_at(b->pc)->line;

    return difference < 0 || (difference == 0 && a->pc < b->pc);
}

/* How many accesses that `by` may mean stand before `access` in its function. */
static unsigned rank_of(const struct explore_access *access, const struct explore_plant *by)
{
    unsigned rank = 0;

    for (unsigned i = 0; i < access_count; i++) {
        rank += is_meant(&accesses[i], by) && is_before(&accesses[i], access);
    }
    return rank;
}

bool explore_memory_plant(const struct explore_plant *new)
{
    damage = (struct damage){0};
    for (unsigned i = 0; new != NULL &&i < access_count; i++) {
        if (is_meant(&accesses[i], new) && rank_of(&accesses[i], new) == new->number) {
            damage = (struct damage){accesses[i].pc, new->damage, new->value};
        }
    }
    return damage.pc != 0;
}

void explore_memory_relax(uintptr_t pc)
{
    damage = (struct damage){pc, EXPLORE_RELAX, 0};
}

static bool is_damaged(enum explore_damage by, uintptr_t pc)
{
    return damage.pc == pc && damage.by == by;
}

/* The order that an access has in this run. */
static int order_of(enum explore_operation operation, int order, uintptr_t pc)
{
    collect(operation, order, pc);
    return is_damaged(EXPLORE_RELAX, pc) ? memory_order_relaxed : order;
}

bool explore_memory_spoils_lock(uintptr_t pc)
{
    collect(EXPLORE_LOCK, memory_order_seq_cst, pc);
    return is_damaged(EXPLORE_FORGET, pc);
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

bool explore_memory_learnt(void)
{
    bool was = learnt;

    learnt = false;
    return was;
}

void explore_memory_forget(void)
{
    access_count = 0;
    memset(locations, 0, sizeof locations);
}

void explore_memory_suspect_all(bool on)
{
    all_suspect = on;
}

/* ---- atomic accesses ---- */

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
    if (is_ours(address)) {
        check_usable(address, size, pc);
    }
    return true;
}

/* Another thread may run here, if this is its business too. */
static struct location *approach(uintptr_t address, size_t size, bool writes, uintptr_t pc)
{
    struct location *location = find(address);

    meet(location, writes);
    if (location->shared || all_suspect) {
        explore_point();
    } else {
        explore_pass();
    }
    location = location_at(address, size);
    atomic_touch(address, size, writes, pc);
    explore_tick();
    return location;
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

static uint64_t load(uintptr_t address, size_t size, int order, uintptr_t pc)
{
    struct location *location;
    struct value *value;
    unsigned first;
    unsigned older;

    if (is_alone(address, size, pc)) {
        return memory_read(address, size);
    }
    location = approach(address, size, false, pc);
    order = order_of(EXPLORE_LOAD, order, pc);
    if (is_damaged(EXPLORE_LIE, pc)) {
        return damage.value;
    }
    first = oldest(location, order);
    older = explore_decide(EXPLORE_VALUE, location->count - first);
    value = value_at(location, location->count - 1 - older);
    learn(value, order);
    trace_access(location, pc, "load %s of %#lx: %#lx%s", explore_order_name(order),
        (unsigned long)address, (unsigned long)value->value, older > 0 ? ", an older value" : "");
    return value->value;
}

static void store(uintptr_t address, size_t size, uint64_t value, int order, uintptr_t pc)
{
    struct location *location;

    if (is_alone(address, size, pc)) {
        write_memory(address, size, value);
        return;
    }
    location = approach(address, size, true, pc);
    order = order_of(EXPLORE_STORE, order, pc);
    if (is_damaged(EXPLORE_FORGET, pc)) {
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

static uint64_t modify(enum explore_operation operation, uintptr_t address, size_t size,
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
    location = approach(address, size, true, pc);
    behind = *value_at(location, location->count - 1);
    new = cut(combine(operation, behind.value, operand), size);
    order = order_of(operation, order, pc);
    if (is_damaged(EXPLORE_FORGET, pc)) {
        return behind.value;
    }
    learn(value_at(location, location->count - 1), order);
    if (is_damaged(EXPLORE_TEAR, pc)) {
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

static bool swap(uintptr_t address, size_t size, uint64_t *expected, uint64_t desired, int order,
    int otherwise, uintptr_t pc)
{
    struct location *location;
    struct value *newest;
    struct value behind;
    bool blind;

    if (is_alone(address, size, pc)) {
        return swap_alone(address, size, expected, desired);
    }
    location = approach(address, size, true, pc);
    newest = value_at(location, location->count - 1);
    behind = *newest;
    blind = is_damaged(EXPLORE_BLIND, pc);
    order = order_of(EXPLORE_SWAP, order, pc);
    otherwise = order == memory_order_relaxed ? order : otherwise;
    if (behind.value != *expected && !blind) {
        learn(newest, otherwise);
        trace_access(location, pc, "compare-and-swap of %#lx: is %#lx, not %#lx",
            (unsigned long)address, (unsigned long)behind.value, (unsigned long)*expected);
        *expected = behind.value;
        return false;
    }
    learn(newest, order);
    if (is_damaged(EXPLORE_TEAR, pc)) {
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

static void fence(int order, uintptr_t pc)
{
    unsigned self = explore_self();

    (void)order_of(EXPLORE_FENCE, order, pc);
    if (is_damaged(EXPLORE_FORGET, pc)) {
        return;
    }
    explore_point();
    if (acquires(order)) {
        explore_acquire(&read_relaxed[self]);
    }
    if (order == memory_order_seq_cst) {
        explore_acquire(&fences);
        explore_release(&fences);
    }
    if (releases(order)) {
        released[self] = *explore_own_view();
        explore_tick();
    }
    explore_trace(pc, "fence %s", explore_order_name(order));
}

/* ---- the calls of -fsanitize=thread ---- */

#define PC ((uintptr_t)__builtin_return_address(0))

void __tsan_init(void);
void __tsan_func_entry(void *pc);
void __tsan_func_exit(void);

void __tsan_init(void)
{
}

void __tsan_func_entry(void *pc)
{
    (void)pc;
}

void __tsan_func_exit(void)
{
}

#define PLAIN(name, size, writes)                                                                  \
    void name(const void *address);                                                                \
    void name(const void *address)                                                                 \
    {                                                                                              \
        plain((uintptr_t)address, size, writes, PC);                                               \
    }

#define PLAIN_SIZE(size)                                                                           \
    PLAIN(__tsan_read##size, size, false)                                                          \
    PLAIN(__tsan_write##size, size, true)                                                          \
    PLAIN(__tsan_unaligned_read##size, size, false)                                                \
    PLAIN(__tsan_unaligned_write##size, size, true)                                                \
    PLAIN(__tsan_volatile_read##size, size, false)                                                 \
    PLAIN(__tsan_volatile_write##size, size, true)

PLAIN_SIZE(1)
PLAIN_SIZE(2)
PLAIN_SIZE(4)
PLAIN_SIZE(8)
PLAIN_SIZE(16)

void __tsan_read_range(const void *address, unsigned long size);
void __tsan_write_range(const void *address, unsigned long size);

void __tsan_read_range(const void *address, unsigned long size)
{
    plain((uintptr_t)address, size, false, PC);
}

void __tsan_write_range(const void *address, unsigned long size)
{
    plain((uintptr_t)address, size, true, PC);
}

#define MODIFY(bits, name, operation)                                                              \
    uint##bits##_t __tsan_atomic##bits##_##name(                                                   \
        volatile void *address, uint##bits##_t operand, int order);                                \
    uint##bits##_t __tsan_atomic##bits##_##name(                                                   \
        volatile void *address, uint##bits##_t operand, int order)                                 \
    {                                                                                              \
        return (uint##bits##_t)modify(                                                             \
            operation, (uintptr_t)address, (bits) / 8, operand, order, PC);                        \
    }

#define SWAP(bits, name)                                                                           \
    bool __tsan_atomic##bits##_##name(volatile void *address, uint##bits##_t *expected,            \
        uint##bits##_t desired, int order, int otherwise);                                         \
    bool __tsan_atomic##bits##_##name(volatile void *address, uint##bits##_t *expected,            \
        uint##bits##_t desired, int order, int otherwise)                                          \
    {                                                                                              \
        uint64_t was = *expected;                                                                  \
        bool done = swap((uintptr_t)address, (bits) / 8, &was, desired, order, otherwise, PC);     \
                                                                                                   \
        *expected = (uint##bits##_t)was;                                                           \
        return done;                                                                               \
    }

/* clang's: returns what was there. */
#define SWAP_VALUE(bits)                                                                           \
    uint##bits##_t __tsan_atomic##bits##_compare_exchange_val(volatile void *address,              \
        uint##bits##_t expected, uint##bits##_t desired, int order, int otherwise);                \
    uint##bits##_t __tsan_atomic##bits##_compare_exchange_val(volatile void *address,              \
        uint##bits##_t expected, uint##bits##_t desired, int order, int otherwise)                 \
    {                                                                                              \
        uint64_t was = expected;                                                                   \
                                                                                                   \
        (void)swap((uintptr_t)address, (bits) / 8, &was, desired, order, otherwise, PC);           \
        return (uint##bits##_t)was;                                                                \
    }

#define ATOMIC(bits)                                                                               \
    uint##bits##_t __tsan_atomic##bits##_load(const volatile void *address, int order);            \
    uint##bits##_t __tsan_atomic##bits##_load(const volatile void *address, int order)             \
    {                                                                                              \
        return (uint##bits##_t)load((uintptr_t)address, (bits) / 8, order, PC);                    \
    }                                                                                              \
    void __tsan_atomic##bits##_store(volatile void *address, uint##bits##_t value, int order);     \
    void __tsan_atomic##bits##_store(volatile void *address, uint##bits##_t value, int order)      \
    {                                                                                              \
        store((uintptr_t)address, (bits) / 8, value, order, PC);                                   \
    }                                                                                              \
    MODIFY(bits, exchange, EXPLORE_EXCHANGE)                                                       \
    MODIFY(bits, fetch_add, EXPLORE_ADD)                                                           \
    MODIFY(bits, fetch_sub, EXPLORE_SUB)                                                           \
    MODIFY(bits, fetch_and, EXPLORE_AND)                                                           \
    MODIFY(bits, fetch_or, EXPLORE_OR)                                                             \
    SWAP(bits, compare_exchange_strong)                                                            \
    SWAP(bits, compare_exchange_weak)                                                              \
    SWAP_VALUE(bits)

ATOMIC(8)
ATOMIC(16)
ATOMIC(32)
ATOMIC(64)

void __tsan_atomic_thread_fence(int order);
void __tsan_atomic_signal_fence(int order);

/* For the compiler alone. */
void __tsan_atomic_signal_fence(int order)
{
    (void)order;
}

void __tsan_atomic_thread_fence(int order)
{
    fence(order, PC);
}
