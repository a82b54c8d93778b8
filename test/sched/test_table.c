/* SPDX-License-Identifier: MIT */
/* Table: a pid finds its actor and no other; a slot rests; what may exist is limited, and all memory comes back. */
#include "sched/table.h"

#include <criterion/criterion.h>

#include "sched/runtime.h"
#include "test/support/allocator.h"
#include "test/support/random.h"
#include "test/support/team.h"

struct fixture {
    struct test_allocator state;
    struct troupe_runtime *runtime; /* of it the table uses the memory only */
    struct trp_table table;
    struct trp_cells cells; /* of the context that most tests act as */
};

static void prepare(struct fixture *f)
{
    struct troupe_allocator allocator = test_allocator_of(&f->state);

    memset(f, 0, sizeof *f);
    f->runtime = calloc(1, sizeof *f->runtime);
    trp_memory_init(&f->runtime->memory, &allocator, UINT64_MAX);
}

static void start(struct fixture *f, uint32_t limit)
{
    prepare(f);
    cr_assert_eq(trp_table_init(&f->table, f->runtime, limit, 12345), TROUPE_OK);
}

static void stop(struct fixture *f)
{
    trp_table_fini(&f->table);
    cr_assert_eq(f->state.blocks, 0);
    cr_assert_eq(f->runtime->memory.held, 0);
    free(f->runtime);
}

static struct troupe_actor *take_into(struct fixture *f, struct trp_cells *cells)
{
    struct troupe_actor *actor = NULL;

    cr_assert_eq(trp_table_take(&f->table, cells, &actor), TROUPE_OK);
    cr_assert_not_null(actor);
    return actor;
}

static struct troupe_actor *take(struct fixture *f)
{
    return take_into(f, &f->cells);
}

/* As spawn does. */
static troupe_pid settle(struct troupe_actor *actor)
{
    troupe_pid pid = trp_table_next_pid(actor);

    atomic_store_explicit(&actor->pid, pid, memory_order_release);
    return pid;
}

/* As exit does, before the cell is given back. */
static void vacate(struct troupe_actor *actor)
{
    atomic_store_explicit(&actor->pid, TROUPE_NOBODY, memory_order_release);
}

/* ---- pids ---- */

Test(table, nobody_is_found_in_an_empty_table)
{
    struct fixture f;

    start(&f, 5000);
    cr_assert_null(trp_table_find(&f.table, TROUPE_NOBODY));
    cr_assert_null(trp_table_find(&f.table, 1));
    cr_assert_null(trp_table_find(&f.table, 4999));
    cr_assert_null(trp_table_find(&f.table, 5000), "beyond the limit");
    cr_assert_null(trp_table_find(&f.table, UINT64_MAX));
    cr_assert_eq(trp_table_slots(&f.table), 0);
    cr_assert_null(trp_table_cell(&f.table, 0));
    stop(&f);
}

Test(table, an_actor_is_found_by_its_pid_and_by_no_other)
{
    struct troupe_actor *actors[3000];
    troupe_pid pids[3000];
    struct fixture f;

    start(&f, 5000);
    for (unsigned i = 0; i < 3000; i++) {
        actors[i] = take(&f);
        pids[i] = settle(actors[i]);
    }
    for (unsigned i = 0; i < 3000; i++) {
        troupe_pid pid = pids[i];

        cr_assert_eq(trp_table_find(&f.table, pid), actors[i]);
        cr_assert_null(trp_table_find(&f.table, pid + ((troupe_pid)1 << TRP_TABLE_SLOT_BITS)));
        cr_assert_null(trp_table_find(&f.table, pid - ((troupe_pid)1 << TRP_TABLE_SLOT_BITS)));
        for (unsigned tag = 60; tag < 64; tag++) {
            cr_assert_null(trp_table_find(&f.table, pid | (troupe_pid)1 << tag));
        }
    }
    stop(&f);
}

Test(table, a_cell_without_an_actor_is_not_found)
{
    struct troupe_actor *actor;
    struct fixture f;
    troupe_pid pid;

    start(&f, 5000);
    actor = take(&f);
    cr_assert_null(trp_table_find(&f.table, actor->slot), "nobody, of generation 0");
    pid = settle(actor);
    vacate(actor);
    cr_assert_null(trp_table_find(&f.table, pid));
    cr_assert_null(trp_table_find(&f.table, TROUPE_NOBODY));
    stop(&f);
}

Test(table, a_stale_pid_never_finds_who_lives_there_now)
{
    enum {
        LIVES = 5000,
    };
    static troupe_pid pids[LIVES];
    struct fixture f;

    start(&f, 1);
    for (unsigned i = 0; i < LIVES; i++) {
        struct troupe_actor *actor = take(&f);

        pids[i] = settle(actor);
        for (unsigned j = 0; j < i; j++) {
            cr_assert_neq(pids[j], pids[i]);
        }
        cr_assert(i == 0 || trp_table_find(&f.table, pids[i - 1]) == NULL);
        cr_assert_eq(trp_table_find(&f.table, pids[i]), actor);
        vacate(actor);
        trp_table_give(&f.table, &f.cells, actor);
    }
    stop(&f);
}

Test(table, a_generation_wraps_and_no_pid_is_nobody)
{
    struct troupe_actor *actor;
    struct fixture f;

    start(&f, 10);
    for (uint32_t slot = 0; slot < 2; slot++) {
        troupe_pid pid;

        actor = take(&f);
        cr_assert_eq(actor->slot, slot);
        actor->generation = UINT32_MAX - 1;
        pid = settle(actor);
        cr_assert_eq(pid, (troupe_pid)UINT32_MAX << TRP_TABLE_SLOT_BITS | slot);
        cr_assert_eq(trp_table_find(&f.table, pid), actor);
        pid = settle(actor);
        cr_assert_neq(pid, TROUPE_NOBODY);
        cr_assert_eq(trp_table_find(&f.table, pid), actor);
        cr_assert_eq(trp_actor_pid(actor), pid, "the cell's parts say the same");
    }
    stop(&f);
}

Test(table, pids_of_another_table_miss)
{
    struct fixture f;
    struct fixture other;
    unsigned hits = 0;

    start(&f, 5000);
    prepare(&other);
    cr_assert_eq(trp_table_init(&other.table, other.runtime, 5000, 54321), TROUPE_OK);
    for (unsigned i = 0; i < 5000; i++) {
        settle(take(&f));
    }
    for (unsigned i = 0; i < 5000; i++) {
        hits += trp_table_find(&f.table, settle(take(&other))) != NULL;
    }
    /* By chance one in 2^32 would; these seeds are fixed. */
    cr_assert_eq(hits, 0);
    stop(&other);
    stop(&f);
}

/* ---- cells ---- */

Test(table, a_new_cell_is_clean_and_its_own)
{
    struct fixture f;

    start(&f, 3000);
    for (uint32_t i = 0; i < 3000; i++) {
        struct troupe_actor *actor = take(&f);

        cr_assert_eq((uintptr_t)actor % sizeof *actor, 0);
        cr_assert_eq(atomic_load(&actor->pid), TROUPE_NOBODY);
        cr_assert_eq(atomic_load(&actor->phase), TRP_PHASE_FREE);
        cr_assert_null(atomic_load(&actor->extra));
        cr_assert_eq(actor->runtime, f.runtime);
        cr_assert_null(actor->link);
        cr_assert_lt(actor->slot, 3000);
        cr_assert_eq(trp_table_cell(&f.table, actor->slot), actor);
        cr_assert_null(actor->behaviour, "not taken before");
        actor->behaviour = (const struct troupe_behaviour *)(const void *)&f;
    }
    stop(&f);
}

Test(table, slots_are_counted_by_segments)
{
    struct fixture f;

    start(&f, 3000);
    (void)take(&f);
    cr_assert_eq(trp_table_slots(&f.table), TRP_TABLE_SEGMENT);
    cr_assert_null(trp_table_cell(&f.table, TRP_TABLE_SEGMENT));
    for (unsigned i = 0; i < TRP_TABLE_SEGMENT; i++) {
        (void)take(&f);
    }
    cr_assert_eq(trp_table_slots(&f.table), 2 * TRP_TABLE_SEGMENT);
    stop(&f);
}

/* `limit` cells can be had, no more, and again when some were given back. */
static void fill_to(uint32_t limit)
{
    struct troupe_actor **actors = calloc(limit, sizeof(*actors));
    struct troupe_actor *one_more = NULL;
    struct fixture f;

    start(&f, limit);
    for (uint32_t i = 0; i < limit; i++) {
        actors[i] = take(&f);
    }
    for (unsigned i = 0; i < 3; i++) {
        cr_assert_eq(trp_table_take(&f.table, &f.cells, &one_more), TROUPE_ELIMIT);
        cr_assert_null(one_more, "untouched");
    }
    trp_table_give(&f.table, &f.cells, actors[limit / 2]);
    cr_assert_eq(take(&f), actors[limit / 2], "at the limit it need not rest");
    cr_assert_eq(trp_table_take(&f.table, &f.cells, &one_more), TROUPE_ELIMIT);
    stop(&f);
    free(actors);
}

Test(table, gives_as_many_cells_as_its_limit_and_not_one_more)
{
    static const uint32_t limits[] = {1, 2, 1023, 1024, 1025, 5000};

    for (unsigned i = 0; i < sizeof limits / sizeof limits[0]; i++) {
        fill_to(limits[i]);
    }
}

Test(table, with_a_small_limit_cells_given_by_one_context_are_there_for_another)
{
    struct troupe_actor *actors[100];
    struct trp_cells other = {0};
    struct fixture f;

    start(&f, 100);
    for (unsigned i = 0; i < 100; i++) {
        actors[i] = take(&f);
    }
    for (unsigned i = 0; i < 100; i++) {
        trp_table_give(&f.table, &f.cells, actors[i]);
    }
    for (unsigned i = 0; i < 100; i++) {
        (void)take_into(&f, &other);
    }
    stop(&f);
}

/* ---- rest ---- */

enum {
    CONTEXTS = 3,
    STOCK = 30000, /* cells out at a time, at most */
    MOVES = 400000,
};

/* What a test knows of each slot. */
struct resting {
    unsigned stock; /* that it was given to */
    uint64_t given; /* how many had been given there */
    bool was_given;
};

struct house {
    struct fixture f;
    struct trp_cells cells[CONTEXTS];
    uint64_t given[CONTEXTS];
    struct troupe_actor *out[STOCK];
    unsigned out_count;
    struct resting *slots;
    bool shared; /* all give to one stock */
};

static void move_in(struct house *house, unsigned context)
{
    struct troupe_actor *actor = take_into(&house->f, &house->cells[context]);
    struct resting *resting = &house->slots[actor->slot];

    if (resting->was_given) {
        cr_assert_geq(house->given[resting->stock] - resting->given, TRP_TABLE_REST,
            "slot %u rested for %llu others only", actor->slot,
            (unsigned long long)(house->given[resting->stock] - resting->given));
    }
    resting->was_given = false;
    house->out[house->out_count++] = actor;
}

static void move_out(struct house *house, unsigned context, unsigned i)
{
    struct troupe_actor *actor = house->out[i];
    unsigned stock = house->shared ? 0 : context;

    house->out[i] = house->out[--house->out_count];
    trp_table_give(&house->f.table, &house->cells[context], actor);
    house->slots[actor->slot] = (struct resting){stock, ++house->given[stock], true};
}

/* Contexts with moods: one makes actors while another ends them. */
static void rest_in(uint32_t limit, const char *name)
{
    static struct house house;
    struct test_random random = test_random_of(test_seed(name));
    uint64_t eagerness = 5;

    memset(&house, 0, sizeof house);
    start(&house.f, limit);
    house.shared = limit < TRP_TABLE_SMALL;
    house.slots = calloc(limit, sizeof(*house.slots));
    for (unsigned i = 0; i < MOVES; i++) {
        unsigned context = (unsigned)test_below(&random, CONTEXTS);

        if (i % 5000 == 0) {
            eagerness = test_below(&random, 10);
        }
        /* The first one mostly makes, the last one mostly ends. */
        if (house.out_count < STOCK &&
            (house.out_count == 0 || test_below(&random, 10) + context < eagerness + 1)) {
            move_in(&house, context);
        } else {
            move_out(&house, context, (unsigned)test_below(&random, house.out_count));
        }
    }
    /* At most what was out at a time, what rests, and what contexts have in stock. */
    cr_assert_leq(trp_table_slots(&house.f.table),
        STOCK + CONTEXTS * (TRP_TABLE_REST + 2 * TRP_TABLE_BUNDLE + TRP_TABLE_SEGMENT));
    free(house.slots);
    stop(&house.f);
}

Test(table, a_slot_rests_while_as_many_others_were_given_back, .timeout = 60)
{
    rest_in(TRP_TABLE_SMALL, "table, each context with its own cells");
}

Test(table, a_slot_rests_also_with_a_small_limit, .timeout = 60)
{
    rest_in(TRP_TABLE_SMALL - 1, "table, cells shared");
}

/* Found by the test before: bundles were put behind the cells that had just come, which then went first. */
Test(table, a_cell_that_was_just_given_back_is_not_taken_before_a_bundle_of_old_ones)
{
    enum {
        MANY = TRP_TABLE_REST + 2 * TRP_TABLE_BUNDLE,
    };
    static struct troupe_actor *actors[MANY];
    struct trp_cells other = {0};
    struct troupe_actor *just_ended;
    struct fixture f;

    start(&f, TRP_TABLE_SMALL);
    for (unsigned i = 0; i < MANY; i++) {
        actors[i] = take(&f);
    }
    for (unsigned i = 0; i < MANY; i++) {
        trp_table_give(&f.table, &f.cells, actors[i]);
    }
    cr_assert_not_null(f.table.spare, "one had too many");
    just_ended = take(&f);
    trp_table_give(&f.table, &other, just_ended);
    cr_assert_neq(take_into(&f, &other), just_ended);
    stop(&f);
}

Test(table, what_one_context_gives_back_another_uses)
{
    struct trp_cells other = {0};
    struct troupe_actor *actors[100];
    uint32_t slots;
    struct fixture f;

    start(&f, TRP_TABLE_SMALL);
    for (unsigned round = 0; round < 200; round++) {
        for (unsigned i = 0; i < 100; i++) {
            actors[i] = take(&f);
        }
        for (unsigned i = 0; i < 100; i++) {
            trp_table_give(&f.table, &other, actors[i]);
        }
    }
    /* 20 000 cells came and went. */
    slots = trp_table_slots(&f.table);
    cr_assert_leq(slots, 4 * TRP_TABLE_SEGMENT);
    stop(&f);
}

/* ---- without memory ---- */

Test(table, init_without_memory_leaves_nothing)
{
    struct fixture f;

    prepare(&f);
    f.state.fail_at = 1;
    cr_assert_eq(trp_table_init(&f.table, f.runtime, 1000, 1), TROUPE_ENOMEM);
    cr_assert_eq(f.state.blocks, 0);
    cr_assert_eq(f.runtime->memory.held, 0);
    free(f.runtime);
}

static void run_out_of_memory(uint32_t limit)
{
    struct troupe_actor *actors[TRP_TABLE_SEGMENT];
    struct troupe_actor *actor = NULL;
    struct fixture f;

    start(&f, limit);
    f.state.fail_at = 2;
    cr_assert_eq(trp_table_take(&f.table, &f.cells, &actor), TROUPE_ENOMEM);
    cr_assert_null(actor);
    for (unsigned i = 0; i < TRP_TABLE_SEGMENT; i++) {
        actors[i] = take(&f);
    }
    f.state.fail_at = f.state.calls + 1;
    f.state.fail_for_good = true;
    cr_assert_eq(trp_table_take(&f.table, &f.cells, &actor), TROUPE_ENOMEM);
    trp_table_give(&f.table, &f.cells, actors[7]);
    cr_assert_eq(take(&f), actors[7], "without memory it need not rest");
    cr_assert_eq(trp_table_take(&f.table, &f.cells, &actor), TROUPE_ENOMEM);
    f.state.fail_for_good = false;
    f.state.fail_at = 0;
    (void)take(&f);
    stop(&f);
}

Test(table, without_memory_says_so_and_goes_on_when_there_is_some)
{
    run_out_of_memory(5000);
    run_out_of_memory(TRP_TABLE_SMALL);
}

/* ---- threads ---- */

enum {
    OWNERS = 2,
    FINDERS = 2,
    LIVES = 60000, /* of each owner */
    SHOWN = 64,    /* pids that finders look for */
};

struct town {
    struct fixture f;
    struct trp_cells cells[OWNERS];
    _Atomic troupe_pid shown[SHOWN];
    _Atomic unsigned owners_left;
    _Atomic uint64_t found;
};

/* Makes actors, shows some of them, ends them. */
static const char *populate(struct town *town, unsigned index)
{
    struct troupe_actor *actors[40];
    const char *complaint = NULL;
    unsigned spins = 0;

    for (unsigned life = 0; life < LIVES && complaint == NULL; life++) {
        struct troupe_actor **at = &actors[life % 40];
        troupe_pid pid;

        if (life >= 40) {
            vacate(*at);
            trp_table_give(&town->f.table, &town->cells[index], *at);
        }
        if (trp_table_take(&town->f.table, &town->cells[index], at) < 0) {
            complaint = "no cell";
            break;
        }
        if (atomic_load(&(*at)->pid) != TROUPE_NOBODY) {
            complaint = "somebody lives in a free cell";
        }
        pid = settle(*at);
        if (trp_table_find(&town->f.table, pid) != *at) {
            complaint = "who lives here is not found";
        }
        atomic_store(&town->shown[life % SHOWN], pid);
        while (life == 1000 && atomic_load(&town->found) == 0) {
            team_pause(&spins);
        }
    }
    atomic_fetch_sub(&town->owners_left, 1);
    return complaint;
}

static const char *look_up(struct town *town, unsigned index)
{
    struct test_random random = test_random_of(index);

    while (atomic_load(&town->owners_left) > 0) {
        troupe_pid pid = atomic_load(&town->shown[test_below(&random, SHOWN)]);
        const struct troupe_actor *actor = trp_table_find(&town->f.table, pid);

        if (actor != NULL) {
            /* A moment later it may have ended; the cell is the right one all the same. */
            if (actor != trp_table_cell(&town->f.table, (uint32_t)(pid & 0xfffffff)) ||
                actor->slot != (pid & 0xfffffff)) {
                return "another cell was found";
            }
            atomic_fetch_add(&town->found, 1);
        }
    }
    return NULL;
}

static const char *live(void *arg, unsigned index)
{
    return index < OWNERS ? populate(arg, index) : look_up(arg, index);
}

static void live_in(uint32_t limit)
{
    static struct town town;
    const char *complaint;

    memset(&town, 0, sizeof town);
    start(&town.f, limit);
    town.owners_left = OWNERS;
    complaint = team_run(OWNERS + FINDERS, live, &town);
    cr_assert_null(complaint, "%s", complaint);
    stop(&town.f);
}

Test(table, threads_find_whom_they_look_for_while_others_come_and_go, .timeout = 60)
{
    live_in(TRP_TABLE_SMALL);
}

Test(table, threads_share_the_cells_of_a_small_table, .timeout = 60)
{
    live_in(OWNERS * 40);
}
