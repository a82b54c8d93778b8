/* SPDX-License-Identifier: MIT */
/*
 * timer: owners arm and cancel while others advance the wheel.  Each arming has one end, cancelled or fired; ticks are
 * fired by one thread at a time; the deadline that is published is never later than a timer; a stale handle misses.
 */
#include "test/explore/stage.h"

enum {
    TIMERS = 3,
    NOW_MS = 1000, /* the clock when a run begins */
};

/* ---- a wheel by itself ---- */

/* What firing leaves behind, by plain writes: those who advance come one after the other. */
struct journal {
    unsigned count;
    uint64_t due_ms; /* of the last one */
};

static struct trp_wheel *wheel;
static struct trp_timer *timers[TIMERS];
static _Atomic bool *arrived[TIMERS]; /* stands for the mailbox that a tick goes to */
static struct journal *fired;

/* Ghosts. */
static bool waits[TIMERS]; /* armed, neither cancelled nor fired */
static unsigned arms;
static unsigned cancels;

static unsigned number_of(const struct trp_timer *timer)
{
    unsigned number = 0;

    while (timers[number] != timer) {
        number++;
    }
    return number;
}

EXPLORE_GHOST static bool is_armed(unsigned number)
{
    return timers[number]->state == TRP_TIMER_ARMED;
}

/* As a worker does before it sleeps. */
static void look_at_deadline(unsigned number, uint64_t due_ms)
{
    uint64_t next_ms = trp_wheel_next(wheel);

    explore_check(next_ms <= due_ms || !is_armed(number));
}

static void arm(unsigned number, uint64_t due_ms)
{
    waits[number] = true;
    arms++;
    (void)trp_wheel_arm(wheel, timers[number], due_ms);
    look_at_deadline(number, due_ms);
}

/* Whether the owner has the block: it cancelled, or the tick has come. */
static bool cancel(unsigned number)
{
    if (trp_wheel_cancel(timers[number])) {
        explore_check(waits[number]);
        waits[number] = false;
        cancels++;
        return true;
    }
    /* acquire: as from a mailbox. */
    return atomic_load_explicit(arrived[number], memory_order_acquire);
}

static void fire(void *context, struct trp_timer *timer)
{
    unsigned number = number_of(timer);

    (void)context;
    explore_check(waits[number]);
    waits[number] = false;
    explore_check(fired->due_ms <= timer->due_ms);
    fired->due_ms = timer->due_ms;
    fired->count++;
    timer->tick.size = explore_self();
    /* release: as into a mailbox.  From here on the block is its owner's. */
    atomic_store_explicit(arrived[number], true, memory_order_release);
}

static void set_up_empty(void)
{
    wheel = explore_alloc(sizeof *wheel, 64);
    trp_wheel_init(wheel, NOW_MS);
    fired = explore_alloc(sizeof *fired, 64);
    *fired = (struct journal){0};
    arms = 0;
    cancels = 0;
    for (unsigned i = 0; i < TIMERS; i++) {
        timers[i] = explore_alloc(sizeof *timers[i], 64);
        memset(timers[i], 0, sizeof *timers[i]);
        arrived[i] = explore_alloc(sizeof *arrived[i], 64);
        atomic_init(arrived[i], false);
    }
}

static void set_up(void)
{
    set_up_empty();
    arm(0, NOW_MS + 1);
    arm(1, NOW_MS + 1);
    arm(2, NOW_MS + 2);
}

static void check(void)
{
    trp_wheel_check(wheel);
    (void)trp_wheel_advance(wheel, NOW_MS + 100, TIMERS, fire, NULL);
    explore_check(fired->count + cancels == arms);
    explore_check(trp_wheel_next(wheel) == TRP_NEVER);
}

static void cancel_and_free(void)
{
    if (cancel(0)) {
        explore_free(timers[0], sizeof *timers[0]);
    }
}

static void cancel_and_arm(void)
{
    if (cancel(0)) {
        /* relaxed: as a message of its own, which the lock publishes. */
        atomic_store_explicit(arrived[0], false, memory_order_relaxed);
        timers[0]->tick.size = 0;
        timers[0]->state = TRP_TIMER_IDLE;
        arm(0, NOW_MS + 3);
    }
}

static void arm_two(void)
{
    arm(0, NOW_MS + 1);
    arm(1, NOW_MS + 2);
}

static void cancel_neighbour(void)
{
    (void)cancel(1);
    look_at_deadline(2, NOW_MS + 2);
}

static void advance_by_one(void)
{
    (void)trp_wheel_advance(wheel, NOW_MS + 1, 1, fire, NULL);
}

static void advance_all(void)
{
    (void)trp_wheel_advance(wheel, NOW_MS + 3, TIMERS, fire, NULL);
}

/* ---- actors and their ticks ---- */

static struct troupe_runtime *runtime;
static struct troupe_actor *actors[2];
static struct troupe_timer handle; /* of the first actor */
static _Atomic bool *moved;        /* the first actor is on the second worker */

/* Ghosts. */
static unsigned ticks;
static bool cancelled; /* the periodic one */

static const struct troupe_type tick = TROUPE_SIGNAL;

static int receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    (void)self;
    (void)state;
    explore_check(troupe_is(msg, &tick));
    explore_check(!cancelled);
    ticks++;
    return TROUPE_OK;
}

static const struct troupe_behaviour behaviour = {.name = "clock", .receive = receive};

static void tick_after(struct troupe_actor *actor, struct troupe_timer *out_handle)
{
    arms++;
    explore_check(troupe_tick_after(actor, 1, &tick, NULL, out_handle) == TROUPE_OK);
}

static void open_stage(void)
{
    runtime = stage_open(2, 2);
    moved = explore_alloc(sizeof *moved, 64);
    atomic_init(moved, false);
    arms = 0;
    cancels = 0;
    ticks = 0;
    cancelled = false;
    for (unsigned i = 0; i < 2; i++) {
        actors[i] = stage_spawn(runtime->workers[0], &behaviour);
        stage_enter(runtime->workers[0], actors[i]);
    }
    stage_enter(runtime->workers[0], actors[0]);
}

static void set_up_actors(void)
{
    open_stage();
    tick_after(actors[0], &handle);
}

static void set_up_periodic(void)
{
    open_stage();
    explore_check(troupe_tick_every(actors[0], 1, &tick, NULL, &handle) == TROUPE_OK);
}

/* As a worker that finds the wheel of another one overdue. */
static void fire_all(void)
{
    bool was_offline = trp_reclaim_enter();

    (void)trp_worker_fire(
        &runtime->workers[1]->context, runtime->workers[0], (NOW_MS + 5) * UINT64_C(1000000));
    trp_reclaim_leave(was_offline);
}

static void end_actors(void)
{
    for (unsigned i = 0; i < 2; i++) {
        stage_enter(actors[i]->context->worker, actors[i]);
        stage_receive(actors[i]);
    }
    explore_check(ticks + cancels == arms);
    for (unsigned i = 0; i < 2; i++) {
        stage_enter(actors[i]->context->worker, actors[i]);
        stage_exit(actors[i]);
    }
    explore_check(stage_missing(runtime) == 0);
}

static void check_actors(void)
{
    fire_all();
    end_actors();
}

/* Its block is used for the next one, whether it was cancelled or has fired. */
static void cancel_and_tick(void)
{
    if (troupe_timer_cancel(actors[0], handle) == TROUPE_OK) {
        cancels++;
    } else {
        stage_receive(actors[0]);
    }
    explore_check(troupe_timer_cancel(actors[0], handle) == TROUPE_ENOENT);
    tick_after(actors[0], NULL);
    explore_check(troupe_timer_cancel(actors[0], handle) == TROUPE_ENOENT);
    stage_receive(actors[0]);
}

/* Whether its tick is in the wheel, on the way or in the mailbox: after this none is handled. */
static void receive_and_cancel(void)
{
    stage_receive(actors[0]);
    explore_check(troupe_timer_cancel(actors[0], handle) == TROUPE_OK);
    cancelled = true;
    explore_check(troupe_timer_cancel(actors[0], handle) == TROUPE_ENOENT);
    stage_receive(actors[0]);
}

static void fire_twice(void)
{
    fire_all();
    fire_all();
}

static void check_periodic(void)
{
    ticks = 0;
    end_actors();
}

static void end(void)
{
    bool was_offline = trp_reclaim_enter();

    stage_exit(actors[0]);
    trp_exit_flush(&runtime->workers[0]->context, true);
    trp_reclaim_leave(was_offline);
}

/* A tick that raced into the mailbox is there when the cell comes back. */
static void check_end(void)
{
    fire_all();
    trp_worker_take_returned(runtime->workers[0]);
    explore_check(ticks == 0);
    explore_check(actors[0]->phase == TRP_PHASE_FREE);
    explore_check(stage_missing(runtime) == 0);
}

/* The first actor's timer is cancelled, and its block becomes the second's. */
static void pass_block_on(void)
{
    if (troupe_timer_cancel(actors[0], handle) == TROUPE_OK) {
        cancels++;
    } else {
        stage_receive(actors[0]);
    }
    /* release: as from the run queue that a thief takes it out of. */
    atomic_store_explicit(moved, true, memory_order_release);
    stage_enter(runtime->workers[0], actors[1]);
    tick_after(actors[1], NULL);
}

static void cancel_stale(void)
{
    /* acquire: as a thief. */
    if (atomic_load_explicit(moved, memory_order_acquire)) {
        stage_enter(runtime->workers[1], actors[0]);
        explore_check(troupe_timer_cancel(actors[0], handle) == TROUPE_ENOENT);
    }
}

static const struct explore_scenario scenarios[] = {
    {.name = "a timer is cancelled and freed while two advance",
        .setup = set_up,
        .threads = {cancel_and_free, advance_by_one, advance_all},
        .check = check,
        .deviations = 4},
    {.name = "a timer is armed again while two advance",
        .setup = set_up,
        .threads = {cancel_and_arm, advance_by_one, advance_all},
        .check = check},
    {.name = "timers are armed in an empty wheel while two advance",
        .setup = set_up_empty,
        .threads = {arm_two, advance_by_one, advance_all},
        .check = check,
        .deviations = 4},
    {.name = "neighbours are cancelled while one advances",
        .setup = set_up,
        .threads = {cancel_and_free, cancel_neighbour, advance_by_one},
        .check = check,
        .deviations = 5},
    {.name = "a tick is cancelled while another worker fires it",
        .setup = set_up_actors,
        .threads = {cancel_and_tick, fire_all},
        .check = check_actors,
        .deviations = 6},
    {.name = "a periodic tick is cancelled while another worker fires it",
        .setup = set_up_periodic,
        .threads = {receive_and_cancel, fire_twice},
        .check = check_periodic,
        .deviations = 5},
    {.name = "an actor ends while another worker fires its tick",
        .setup = set_up_actors,
        .threads = {end, fire_all},
        .check = check_end,
        .deviations = 4},
    {.name = "a stale handle is cancelled while its block serves another",
        .setup = set_up_actors,
        .threads = {pass_block_on, cancel_stale, fire_all},
        .check = check_actors},
};

static const struct explore_plant plants[] = {
    {"cancel takes no lock", &scenarios[0], "trp_wheel_cancel", EXPLORE_LOCK, 0, EXPLORE_FORGET, 0,
        "race"},
    {"two advance at once", &scenarios[0], "trp_wheel_advance", EXPLORE_EXCHANGE, 0, EXPLORE_TEAR,
        0, "race"},
    {"whoever advances does not see what the last one fired", &scenarios[0], "trp_wheel_advance",
        EXPLORE_EXCHANGE, 0, EXPLORE_RELAX, 0, "race"},
    {"an earlier deadline is not published", &scenarios[2], "publish_next", EXPLORE_STORE, 0,
        EXPLORE_FORGET, 0, "look_at_deadline"},
    {"a block keeps its serial", &scenarios[7], "trp_timer_expire", EXPLORE_STORE, 0,
        EXPLORE_FORGET, 0, "race"},
};

EXPLORE_PART(timer, scenarios, plants);
