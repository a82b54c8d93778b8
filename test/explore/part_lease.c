/* SPDX-License-Identifier: MIT */
/*
 * lease: room in a mailbox of two that is held, while its holder uses it, releases it, or ends, and somebody fires its timer; and
 * one who waits in line for it, or is dropped there.  Each place is used or given back once, and nobody sleeps
 * while there is room.
 *
 * Threads play fibers, as in part_room.c.
 */
#include "test/explore/stage.h"

#include "sched/admit.h"
#include "sched/fiber.h"
#include "sched/lease.h"
#include "sched/line.h"

enum { ROOM = 2 };

static const struct troupe_type word = TROUPE_TYPE(uint64_t);

static struct troupe_runtime *runtime;
static struct troupe_actor *reader;
static struct troupe_actor *holder;
static struct troupe_actor *other;
static struct trp_fiber *fiber;
static struct trp_waiter *waiter;
static struct troupe_lease name;
static struct troupe_lease other_name;
static struct trp_timer *wanted; /* by the one that waits */

/* Ghosts. */
static unsigned sent;
static bool was_granted;
static bool holder_ended;

EXPLORE_GHOST static void note_sent(void)
{
    sent++;
}

EXPLORE_GHOST static void note_granted(void)
{
    was_granted = true;
}

EXPLORE_GHOST static void note_end(void)
{
    holder_ended = true;
}

static int receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    (void)state;
    trp_charge_give(&self->charge, 1, trp_message_weight(msg));
    return TROUPE_OK;
}

static const struct troupe_behaviour reading = {
    .name = "reader", .receive = receive, .capacity = ROOM};
static const struct troupe_behaviour holding = {.name = "holder", .receive = receive};

/* ---- what threads do ---- */

static void use_one(void)
{
    struct trp_worker *worker = runtime->workers[1];
    struct troupe_message *msg = trp_message_new(&worker->context, &word, word.size, 0);

    explore_check(msg != NULL);
    if (trp_lease_send(holder, &name, msg) == TROUPE_OK) {
        note_sent();
    } else {
        trp_message_free(&worker->context.pool, msg);
    }
}

static void use(void)
{
    bool was_offline = trp_reclaim_enter();

    use_one();
    use_one();
    trp_reclaim_leave(was_offline);
}

static void release(void)
{
    bool was_offline = trp_reclaim_enter();

    trp_lease_release(holder, &name);
    trp_reclaim_leave(was_offline);
}

static void end_holder(void)
{
    bool was_offline = trp_reclaim_enter();

    stage_exit(holder);
    trp_exit_flush(&runtime->workers[1]->context, true);
    note_end();
    trp_reclaim_leave(was_offline);
}

static void end_reader(void)
{
    bool was_offline = trp_reclaim_enter();

    stage_exit(reader);
    trp_exit_flush(&runtime->workers[0]->context, true);
    trp_reclaim_leave(was_offline);
}

static void fire(void *context, struct trp_timer *timer)
{
    trp_lease_lapse(context, timer);
}

/* A worker that finds the wheel overdue. */
static void lapse(void)
{
    bool was_offline = trp_reclaim_enter();
    struct trp_worker *worker = runtime->workers[3];

    (void)trp_wheel_advance(
        &runtime->workers[1]->wheel, UINT64_C(1) << 50, 4, fire, &worker->context);
    trp_reclaim_leave(was_offline);
}

EXPLORE_GHOST static bool is_signalled(const void *ignored)
{
    (void)ignored;
    return (*(uint32_t *)(uintptr_t)&other->signals & TRP_SIGNAL_ROOM) != 0;
}

static void sleep_until_called(void)
{
    explore_await(is_signalled, NULL, "to be called");
    atomic_fetch_and_explicit(&other->signals, ~(uint32_t)TRP_SIGNAL_ROOM, memory_order_acq_rel);
}

static void wait_for_it(void)
{
    bool was_offline = trp_reclaim_enter();
    int error;

    trp_line_begin_lease(other, waiter, wanted, 0);
    while ((error = trp_line_go_on(other, waiter, false)) == TROUPE_EFULL) {
        sleep_until_called();
    }
    explore_check(error == TROUPE_OK);
    trp_lease_hold(other, wanted, 1000, &other_name);
    note_granted();
    trp_reclaim_leave(was_offline);
}

/* It is killed at any moment. */
static void drop(void)
{
    bool was_offline = trp_reclaim_enter();
    int error;

    trp_line_begin_lease(other, waiter, wanted, 0);
    error = trp_line_go_on(other, waiter, false);
    if (error == TROUPE_EFULL) {
        trp_line_abandon(other->context, fiber);
    } else {
        explore_check(error == TROUPE_OK);
        trp_lease_hold(other, wanted, 1000, &other_name);
        note_granted();
    }
    trp_reclaim_leave(was_offline);
}

/* ---- setups ---- */

static struct trp_timer *open_lease(struct troupe_actor *actor)
{
    struct trp_leased room = {
        .to = trp_actor_pid(reader), .count = ROOM, .place_bytes = trp_lease_weigh(word.size)};
    struct trp_timer *lease = NULL;

    explore_check(trp_lease_open(actor, &room, &lease) == TROUPE_OK);
    return lease;
}

static void set_up(void)
{
    struct trp_timer *lease;

    runtime = stage_open(4, 8);
    sent = 0;
    was_granted = holder_ended = false;
    reader = stage_spawn(runtime->workers[0], &reading);
    stage_enter(runtime->workers[0], reader);
    holder = stage_spawn(runtime->workers[1], &holding);
    stage_enter(runtime->workers[1], holder);
    other = stage_spawn(runtime->workers[2], &holding);
    stage_enter(runtime->workers[2], other);
    fiber = explore_alloc(sizeof *fiber, alignof(struct trp_fiber));
    memset(fiber, 0, sizeof *fiber);
    fiber->actor = other;
    runtime->workers[2]->host.fiber = fiber;
    waiter = explore_alloc(sizeof *waiter, alignof(struct trp_waiter));
    lease = open_lease(holder);
    explore_check(trp_lease_take(holder, lease) == TROUPE_OK);
    trp_lease_hold(holder, lease, 1000, &name);
    wanted = open_lease(other);
}

/* ---- what must hold ---- */

static uint64_t held_by_other(void)
{
    return was_granted ? (TRP_CHARGE_ONE + trp_lease_weigh(word.size)) * ROOM : 0;
}

/* All room is with messages that are queued, or with the other one. */
static void check_books(void)
{
    uint64_t queued = trp_charge_queued(&reader->charge);

    explore_check(queued >> 40 == sent + (was_granted ? ROOM : 0));
    explore_check(trp_admit_leased(trp_pressure_holding(reader)) == held_by_other());
    explore_check(trp_actor_waiters(atomic_load(&reader->waiting)) == 0);
    explore_check(!trp_actor_extra(reader)->waiter_called);
}

static void check_spent(void)
{
    explore_check(!trp_pressure_is_holder(holder));
    check_books();
    stage_receive(reader);
    explore_check(trp_charge_queued(&reader->charge) == held_by_other());
}

static void check_ended_holder(void)
{
    check_books();
    explore_check(holder_ended);
}

static void check_granted(void)
{
    explore_check(was_granted);
    check_spent();
}

static void check_dropped(void)
{
    check_spent();
}

/* Nothing of the lease is left, and its cell begins with all of its room. */
static void check_ended_reader(void)
{
    trp_worker_take_returned(runtime->workers[0]);
    explore_check(!trp_pressure_is_holder(holder));
}

static const struct explore_scenario scenarios[] = {
    {.name = "a lease is used and lapses",
        .setup = set_up,
        .threads = {use, lapse},
        .check = check_spent},
    {.name = "a lease is released and lapses",
        .setup = set_up,
        .threads = {release, lapse},
        .check = check_spent},
    {.name = "a holder ends and its lease lapses",
        .setup = set_up,
        .threads = {end_holder, lapse},
        .check = check_ended_holder},
    {.name = "one waits for room that is released",
        .setup = set_up,
        .threads = {release, wait_for_it},
        .check = check_granted},
    {.name = "one waits for room whose lease lapses while it is released",
        .setup = set_up,
        .threads = {release, wait_for_it, lapse},
        .check = check_granted,
        .deviations = 2},
    {.name = "one is dropped that waits for room whose lease lapses",
        .setup = set_up,
        .threads = {drop, lapse},
        .check = check_dropped},
    {.name = "a lease lapses and whose room it is ends",
        .setup = set_up,
        .threads = {end_reader, lapse},
        .check = check_ended_reader},
};

static const struct explore_plant plants[] = {
    {"who uses a place keeps nobody out", &scenarios[0], "trp_lease_send", EXPLORE_LOCK, 0,
        EXPLORE_FORGET, 0, "race"},
    {"who fires keeps nobody out", &scenarios[0], "trp_lease_lapse", EXPLORE_LOCK, 0,
        EXPLORE_FORGET, 0, "race"},
    {"who releases keeps nobody out", &scenarios[1], "end", EXPLORE_LOCK, 0, EXPLORE_FORGET, 0,
        "race"},
    {"who has released keeps nobody out", &scenarios[3], "trp_line_given_up", EXPLORE_LOCK, 0,
        EXPLORE_FORGET, 0, "race"},
    {"who is let in by a release is not met", &scenarios[3], "trp_mailbox_meet", EXPLORE_OR, 0,
        EXPLORE_RELAX, 0, "sleep"},
    {"room is given back in two steps", &scenarios[1], "trp_charge_take_back", EXPLORE_SUB, 0,
        EXPLORE_FORGET, 0, ""},
};

EXPLORE_PART(lease, scenarios, plants);
