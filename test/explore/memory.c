/* SPDX-License-Identifier: MIT */
/*
 * memory.c - the memory of a run, and who touched it.
 *
 * Two threads touch a byte, one of them plainly, one of them writes, and nothing says which was first: a race.  Memory that
 * was freed is not used again in the same run, and touching it is a finding.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "test/explore/engine.h"

/** Where runs have their memory: always the same addresses. */
#define ARENA ((uintptr_t)0x100000000000)
#define ARENA_SIZE ((size_t)32 << 20)
#define GRAIN 8
#define GRAINS (ARENA_SIZE / GRAIN)

/* Who touched a byte last. */
struct byte {
    uint8_t writer;
    explore_step written; /* plainly */
    explore_step read[EXPLORE_CONTEXTS];
    explore_step atomic_read[EXPLORE_CONTEXTS];
    explore_step atomic_written[EXPLORE_CONTEXTS];
};

struct grain {
    uint64_t run; /* of an older run: nothing of this is true */
    struct byte bytes[GRAIN];
};

static struct grain *grains;
static uint64_t *usable; /* by grain: the run in which it may be touched */
static uint64_t run;
static size_t used;

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

    if (!is_ours((uintptr_t)block) || size == 0) {
        return;
    }
    /* To free is to write: whoever still reads must be known to have done so. */
    explore_memory_plain((uintptr_t)block, size, true, (uintptr_t)__builtin_return_address(0));
    for (size_t i = 0; i < (size + GRAIN - 1) / GRAIN; i++) {
        usable[first + i] = 0;
    }
}

void *explore_alloc(size_t size, size_t align)
{
    char *block;

    align = align < 64 ? 64 : align;
    used = (used + align - 1) & ~(align - 1);
    if (size > ARENA_SIZE - used) {
        explore_give_up("a run needs more memory than there is");
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

static void *allocate(void *context, size_t size, size_t align)
{
    (void)context;
    return explore_alloc(size, align);
}

static void release(void *context, void *block, size_t size)
{
    (void)context;
    explore_free(block, size);
}

const struct troupe_allocator explore_allocator = {allocate, release, NULL};

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

/* A thread whose step in `steps` we do not know to be over; 0: none.  Our own we know.  Written for the compiler's
 * vectors: nothing is called as often. */
static unsigned unknown(const explore_step *steps)
{
    const explore_step *known = explore_own_view()->steps;
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

/* Who wrote the byte plainly in a step that we do not know to be over; 0: nobody. */
static unsigned unknown_writer(const struct byte *byte)
{
    bool known = byte->written == 0 || byte->writer == explore_self() ||
                 explore_knows(byte->writer, byte->written);

    return known ? 0 : byte->writer;
}

void explore_memory_plain(uintptr_t address, size_t size, bool writes, uintptr_t pc)
{
    unsigned self = explore_self();

    if (!is_ours(address)) {
        return;
    }
    check_usable(address, size, pc);
    /* What was before the threads is known to all, and afterwards all is known. */
    for (size_t i = 0; explore_is_parallel() && i < size; i++) {
        struct byte *byte = byte_at(address + i);
        unsigned other = unknown_writer(byte);

        if (other == 0) {
            other = unknown(byte->atomic_written);
        }
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
void explore_memory_atomic(uintptr_t address, size_t size, bool writes, uintptr_t pc)
{
    unsigned self = explore_self();

    if (!is_ours(address)) {
        return;
    }
    check_usable(address, size, pc);
    for (size_t i = 0; explore_is_parallel() && i < size; i++) {
        struct byte *byte = byte_at(address + i);
        explore_step *mine = writes ? byte->atomic_written : byte->atomic_read;
        unsigned other = unknown_writer(byte);

        if (other == 0 && writes) {
            other = unknown(byte->read);
        }
        if (other != 0) {
            fail_at(pc, "race: an atomic access", other);
        }
        mine[self] = explore_own_view()->steps[self];
    }
}
