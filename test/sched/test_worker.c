/* SPDX-License-Identifier: MIT */
/*
 * test_worker.c - what a worker runs next and for how long, what others take from it, and what it leaves behind.
 *
 * No thread runs: the test makes the steps of the workers itself, so each order of events happens just as written.
 * Where time matters it stands still, and moves when the test says so: see clock.h.
 */
#include "runtime.h"
#include "test/support/clock.h"

#include <criterion/criterion.h>
#include <string.h>

#include <troupe/fiber.h>
#include <troupe/link.h>
#include <troupe/mailbox.h>
#include <troupe/timer.h>

/* As in worker.c: what it must be worth to steal, and to wake somebody. */
#define STEAL_COST_NS 2000
#define WAKE_COST_NS 30000

/* As in worker.c: duties every 16 slices, a look at what was injected at every 4th of them. */
#define DUTY_SLICES 16
#define INJECT_SLICES (4 * DUTY_SLICES)

/* A step has an end, so this many are enough for any of them to come to rest. */
#define STEPS_MAX 1000

static int receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    (void)self;
    (void)state;
    (void)msg;
    return TROUPE_OK;
}

static int count_start(struct troupe_actor *self, void *state, const void *arg)
{
    unsigned *started = (unsigned *)(uintptr_t)arg;

    (void)self;
    (void)state;
    ++*started;
    return TROUPE_OK;
}

static const struct troupe_behaviour starter = {
    .name = "starter", .init = count_start, .receive = receive};

/* Steps a worker until it sleeps or has gone; how it ended. */
static enum trp_step rest(struct trp_worker *worker)
{
    for (unsigned i = 0; i < STEPS_MAX; i++) {
        uint64_t until_ns;
        enum trp_step step = trp_worker_run(worker, 1, &until_ns);

        if (step != TRP_STEP_RAN) {
            return step;
        }
    }
    cr_assert_fail("a worker with nothing to do does not rest");
    return TRP_STEP_RAN;
}

/* So many workers, asleep; the last one is woken first. */
static struct troupe_runtime *asleep(unsigned count)
{
    struct troupe_runtime_options options = {.workers = (int)count};
    struct troupe_runtime *runtime;

    cr_assert_eq(troupe_runtime_create(&options, &runtime), TROUPE_OK);
    (void)trp_reclaim_enter();
    for (unsigned i = 0; i < count; i++) {
        trp_park_join(&runtime->park);
        cr_assert_eq(rest(runtime->workers[i]), TRP_STEP_IDLE);
    }
    trp_reclaim_leave(true);
    return runtime;
}

/* Two workers, asleep; the second one is woken first. */
static struct troupe_runtime *two_asleep(void)
{
    return asleep(2);
}

/* ---- when a worker goes ---- */

/* A wake-up goes to a spare worker that the watchdog has just retired.  It used to take the wake-up with it: whoever
 * published the work saw a searcher, and nobody looked. */
Test(worker, a_retired_spare_passes_its_wake_up_on, .timeout = 20)
{
    struct troupe_runtime *runtime = two_asleep();
    struct trp_worker *stays = runtime->workers[0];
    struct trp_worker *goes = runtime->workers[1];
    unsigned started = 0;
    troupe_pid pid;

    atomic_store(&goes->retire, true);
    cr_assert_eq(
        troupe_runtime_spawn(runtime,
            (&(struct troupe_spawn_options){.behaviour = &starter, .arg = &started}), &pid),
        TROUPE_OK);
    cr_assert(stays->parker.listed);
    cr_assert_not(goes->parker.listed, "the test is about the one that was woken");

    (void)trp_reclaim_enter();
    cr_assert_eq(rest(goes), TRP_STEP_STOP);
    cr_expect_not(stays->parker.listed, "work is queued and everybody else sleeps");
    cr_assert_eq(rest(stays), TRP_STEP_IDLE);
    cr_assert_eq(started, 1);
    trp_reclaim_leave(true);

    atomic_store(&goes->retire, false);
    cr_assert_eq(troupe_runtime_destroy(runtime), TROUPE_OK);
}

/* What a spare had in its LIFO slot when it was retired is queued where others may take it, and they are told. */
Test(worker, a_retired_spare_hands_over_its_lifo_slot, .timeout = 20)
{
    struct troupe_runtime *runtime = two_asleep();
    struct trp_worker *stays = runtime->workers[0];
    struct trp_worker *goes = runtime->workers[1];
    const struct trp_spawn spawn = {.behaviour = &starter, .arg = &(unsigned){0}};
    unsigned *started = (unsigned *)(uintptr_t)spawn.arg;
    struct troupe_actor *actor;

    (void)trp_reclaim_enter();
    cr_assert_eq(trp_actor_spawn(&goes->context, &spawn, &actor), TROUPE_OK);
    trp_actor_launch(&goes->context, actor);
    cr_assert(stays->parker.listed, "one in the LIFO slot is its worker's own");

    atomic_store(&goes->retire, true);
    cr_assert_eq(rest(goes), TRP_STEP_STOP);
    cr_expect_not(stays->parker.listed, "work is queued and everybody else sleeps");
    cr_assert_eq(rest(stays), TRP_STEP_IDLE);
    cr_assert_eq(*started, 1);
    trp_reclaim_leave(true);

    atomic_store(&goes->retire, false);
    cr_assert_eq(troupe_runtime_destroy(runtime), TROUPE_OK);
}

static int arm_timer(struct troupe_actor *self, void *state, const void *arg)
{
    static const struct troupe_type tick = TROUPE_SIGNAL;

    (void)state;
    (void)arg;
    return troupe_tick_after(self, 50, &tick, NULL, NULL);
}

static const struct troupe_behaviour sleeper = {
    .name = "sleeper", .init = arm_timer, .receive = receive};

/* Nobody looks at the timers of a worker that has gone, when all others sleep.  So one that is retired stays until its
 * last timer has fired. */
Test(worker, a_retired_spare_stays_as_long_as_it_has_timers, .timeout = 20)
{
    struct troupe_runtime *runtime = two_asleep();
    struct trp_worker *stays = runtime->workers[0];
    struct trp_worker *goes = runtime->workers[1];
    const struct trp_spawn spawn = {.behaviour = &sleeper};
    struct troupe_books books;
    struct troupe_actor *actor;

    (void)trp_reclaim_enter();
    cr_assert_eq(trp_actor_spawn(&goes->context, &spawn, &actor), TROUPE_OK);
    trp_actor_launch(&goes->context, actor);
    cr_assert_eq(rest(goes), TRP_STEP_IDLE);

    atomic_store(&goes->retire, true);
    cr_assert_eq(rest(goes), TRP_STEP_IDLE, "a timer is left");
    while (trp_wheel_next(&goes->wheel) > trp_port_now_ns() / 1000000U) {
        trp_port_yield();
    }
    cr_assert_eq(rest(goes), TRP_STEP_STOP, "none is left");
    cr_assert_eq(rest(stays), TRP_STEP_IDLE);
    trp_reclaim_leave(true);
    cr_assert_eq(troupe_runtime_books(runtime, &books), TROUPE_OK);
    cr_assert_eq(books.handled, 1, "the tick");

    atomic_store(&goes->retire, false);
    cr_assert_eq(troupe_runtime_destroy(runtime), TROUPE_OK);
}

static int wait_once(struct troupe_actor *self, const void *arg)
{
    unsigned *times = (unsigned *)(uintptr_t)arg;
    struct troupe_message *msg;

    ++*times;
    TROUPE_TRY(troupe_receive(self, TROUPE_FOREVER, &msg));
    ++*times;
    return TROUPE_OK;
}

static const struct troupe_behaviour waiter = {.name = "waiter", .main = wait_once};

/* So many stacks are with the runtime. */
static unsigned spare_stacks(const struct troupe_runtime *runtime)
{
    unsigned count = 0;

    for (unsigned class = 0; class < TRP_STACK_CLASSES; class ++) {
        for (const struct trp_fiber *fiber = runtime->stacks.spare[class]; fiber != NULL;
             fiber = fiber->next) {
            count++;
        }
    }
    return count;
}

/* A callback that was left in the middle goes on only where it began.  So a spare that is retired stays until the last one
 * has; then the stacks that it has kept for others are theirs. */
Test(worker, a_retired_spare_stays_as_long_as_somebody_waits_there_and_leaves_no_stack_behind,
    .timeout = 20)
{
    static const struct troupe_type go = TROUPE_SIGNAL;
    struct troupe_runtime *runtime = two_asleep();
    struct trp_worker *stays = runtime->workers[0];
    struct trp_worker *goes = runtime->workers[1];
    unsigned times = 0;
    const struct trp_spawn spawn = {.behaviour = &waiter, .arg = &times};
    struct troupe_actor *actor;
    struct troupe_message *msg;
    unsigned spare;

    (void)trp_reclaim_enter();
    cr_assert_eq(trp_actor_spawn(&goes->context, &spawn, &actor), TROUPE_OK);
    trp_actor_launch(&goes->context, actor);
    cr_assert_eq(rest(goes), TRP_STEP_IDLE);
    cr_assert_eq(times, 1);
    spare = spare_stacks(runtime);

    atomic_store(&goes->retire, true);
    cr_assert_eq(rest(goes), TRP_STEP_IDLE, "somebody waits there");
    trp_reclaim_leave(true);
    cr_assert_eq(troupe_message_create(runtime, &go, 0, &msg), TROUPE_OK);
    cr_assert_eq(troupe_try_send(runtime, trp_actor_pid(actor), msg), TROUPE_OK);
    cr_assert_neq(trp_event_value(&goes->event), goes->event_value, "it is woken,");
    cr_assert_eq(trp_event_value(&stays->event), stays->event_value, "and nobody else");
    (void)trp_reclaim_enter();
    cr_assert_eq(rest(stays), TRP_STEP_IDLE);
    cr_assert_eq(times, 1);
    cr_assert_eq(rest(goes), TRP_STEP_STOP, "nobody waits any more");
    cr_assert_eq(times, 2);
    cr_assert_eq(spare_stacks(runtime), spare + 1);
    cr_assert_eq(rest(stays), TRP_STEP_IDLE);
    trp_reclaim_leave(true);

    atomic_store(&goes->retire, false);
    cr_assert_eq(troupe_runtime_destroy(runtime), TROUPE_OK);
}

/* Of those that sleep one sleeps in the poller.  When that is a spare, and it goes, another one takes its place: nobody
 * would hear of a descriptor, and the watchdog sleeps when nobody works. */
Test(worker, a_retired_spare_that_slept_in_the_poller_leaves_its_place_to_another, .timeout = 20)
{
    struct troupe_runtime *runtime = two_asleep();
    struct trp_worker *goes = runtime->workers[0];
    struct trp_worker *stays = runtime->workers[1];

    cr_assert(goes->polls, "the first to sleep");
    cr_assert_not(stays->polls);

    (void)trp_reclaim_enter();
    atomic_store(&goes->retire, true);
    cr_assert_eq(rest(goes), TRP_STEP_STOP);
    cr_expect_not(stays->parker.listed, "nobody is in the poller");
    cr_assert_eq(rest(stays), TRP_STEP_IDLE);
    cr_assert(stays->polls);
    trp_reclaim_leave(true);

    atomic_store(&goes->retire, false);
    cr_assert_eq(troupe_runtime_destroy(runtime), TROUPE_OK);
}

/* ---- players: actors that note their turns ---- */

struct player {
    char name;
    int (*play)(struct troupe_actor *self, struct player *player); /* or NULL */
    struct player *to;                                             /* whom it sends to */
    uint64_t takes_ns;                                             /* for each message */
    troupe_pid pid;
    unsigned worker; /* where it ran last */
};

static const struct troupe_type word = TROUPE_SIGNAL;

static char played[4096]; /* the names of those that handled a message, in order */
static size_t played_count;

static void note(char name)
{
    cr_assert_lt(played_count, sizeof played - 1);
    played[played_count++] = name;
    played[played_count] = '\0';
}

static int player_init(struct troupe_actor *self, void *state, const void *arg)
{
    (void)self;
    *(const struct player **)state = arg;
    return TROUPE_OK;
}

static int player_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct player *player = *(struct player **)state;

    (void)msg;
    note(player->name);
    player->worker = trp_worker_current()->index;
    clock_frozen_ns += player->takes_ns;
    return player->play != NULL ? player->play(self, player) : TROUPE_OK;
}

/* Messages, for those that are given several before they run, or send to themselves. */
#define PLAYER_ROOM 1024

static const struct troupe_behaviour player_behaviour = {
    .name = "player",
    .state_size = sizeof(struct player *),
    .init = player_init,
    .receive = player_receive,
    .capacity = PLAYER_ROOM,
};

/* Spawns a player here; it has run init, and waits for messages. */
static void enter_as(
    struct trp_worker *worker, struct player *player, const struct troupe_behaviour *behaviour)
{
    const struct trp_spawn spawn = {.behaviour = behaviour, .arg = player};
    struct troupe_actor *actor;

    cr_assert_eq(trp_actor_spawn(&worker->context, &spawn, &actor), TROUPE_OK);
    player->pid = trp_actor_pid(actor);
    trp_actor_launch(&worker->context, actor);
    cr_assert_eq(rest(worker), TRP_STEP_IDLE);
}

/* Names them a, b, c, ... */
static void enter(struct trp_worker *worker, struct player *players, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        players[i].name = (char)('a' + i);
        enter_as(worker, &players[i], &player_behaviour);
    }
}

/* Sends a player so many messages, as somebody who runs on `worker` does. */
static void give(struct trp_worker *worker, const struct player *player, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        struct troupe_message *msg = trp_message_new(&worker->context, &word, 0, 0);
        int error;

        cr_assert_not_null(msg);
        error =
            trp_send_charged(&worker->context, player->pid, msg, msg, 1, trp_message_weight(msg));
        cr_assert_eq(error, TROUPE_OK);
    }
}

static void give_each(struct trp_worker *worker, const struct player *players, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        give(worker, &players[i], 1);
    }
}

/* Makes exactly so many steps. */
static void steps(struct trp_worker *worker, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        uint64_t until_ns;

        cr_assert_eq(trp_worker_run(worker, 1, &until_ns), TRP_STEP_RAN);
    }
}

/* A runtime of so many workers that sleep, while time stands still; the test's thread is one of theirs. */
static struct troupe_runtime *curtain_up(unsigned workers)
{
    struct troupe_runtime *runtime;

    clock_frozen_ns = trp_port_now_ns();
    runtime = asleep(workers);
    (void)trp_reclaim_enter();
    return runtime;
}

static void curtain_down(struct troupe_runtime *runtime)
{
    trp_reclaim_leave(true);
    cr_assert_eq(troupe_runtime_destroy(runtime), TROUPE_OK);
}

static struct troupe_books books_of(struct troupe_runtime *runtime)
{
    struct troupe_books books;

    cr_assert_eq(troupe_runtime_books(runtime, &books), TROUPE_OK);
    return books;
}

/* ---- how long a slice is ---- */

/* Of what was played, from `at` on, `name` played the next `count` times; returns where that ends. */
static size_t expect_run(size_t at, char name, size_t count)
{
    for (size_t i = at; i < at + count; i++) {
        cr_assert_eq(played[i], name, "turn %zu: '%c', not '%c'", i, played[i], name);
    }
    return at + count;
}

Test(worker, a_slice_handles_so_many_messages_then_others_have_their_turn, .timeout = 20)
{
    struct troupe_runtime *runtime = curtain_up(1);
    struct trp_worker *worker = runtime->workers[0];
    struct player players[2] = {0};
    size_t at;

    enter(worker, players, 2);
    give(worker, &players[0], TRP_SLICE_MESSAGES + 10);
    give(worker, &players[1], 2 * TRP_SLICE_MESSAGES + 10);
    cr_assert_eq(rest(worker), TRP_STEP_IDLE);

    at = expect_run(0, 'b', TRP_SLICE_MESSAGES);
    at = expect_run(at, 'a', TRP_SLICE_MESSAGES);
    at = expect_run(at, 'b', TRP_SLICE_MESSAGES);
    at = expect_run(at, 'a', 10);
    at = expect_run(at, 'b', 10);
    cr_expect_eq(at, played_count);
    curtain_down(runtime);
}

/* The clock is looked at every 8 messages: 8 of these take too little, 16 too much. */
Test(worker, a_slice_that_takes_long_ends_before_it_has_handled_so_many, .timeout = 20)
{
    struct troupe_runtime *runtime = curtain_up(1);
    struct trp_worker *worker = runtime->workers[0];
    struct player players[2] = {{.takes_ns = TRP_SLICE_NS / 16}, {.takes_ns = TRP_SLICE_NS / 16}};
    size_t at;

    enter(worker, players, 2);
    give(worker, &players[0], 20);
    give(worker, &players[1], 20);
    cr_assert_eq(rest(worker), TRP_STEP_IDLE);

    at = expect_run(0, 'b', 16);
    at = expect_run(at, 'a', 16);
    at = expect_run(at, 'b', 4);
    at = expect_run(at, 'a', 4);
    cr_expect_eq(at, played_count);
    curtain_down(runtime);
}

/* Notes x after its own name when it is refused. */
static int play_insistent(struct troupe_actor *self, struct player *player)
{
    int error = troupe_send(self, player->to->pid, &word, NULL);

    cr_assert(error == TROUPE_OK || error == TROUPE_EFULL);
    if (error == TROUPE_EFULL) {
        note('x');
    }
    return TROUPE_OK;
}

/* Its reader has room for one.  Without this rule the rest of the sender's messages would all be spent on a mailbox that
 * cannot empty before the sender's slice is over. */
Test(worker, a_sender_that_was_refused_ends_its_slice_after_that_message, .timeout = 20)
{
    static const struct troupe_behaviour narrow = {.name = "narrow",
        .state_size = sizeof(struct player *),
        .init = player_init,
        .receive = player_receive,
        .margin = TROUPE_NO_MARGIN,
        .capacity = 1};
    struct troupe_runtime *runtime = curtain_up(1);
    struct trp_worker *worker = runtime->workers[0];
    struct player reader = {.name = 'r'};
    struct player sender = {.name = 's', .play = play_insistent, .to = &reader};

    enter_as(worker, &reader, &narrow);
    enter_as(worker, &sender, &player_behaviour);
    give(worker, &sender, 5);
    cr_assert_eq(rest(worker), TRP_STEP_IDLE);
    cr_expect_str_eq(played, "ssxrssxrsr");
    cr_expect_eq(books_of(runtime).refused, 2);
    curtain_down(runtime);
}

static int play_to_the_dead(struct troupe_actor *self, struct player *player)
{
    cr_assert_eq(troupe_send(self, TROUPE_NOBODY + 1, &word, NULL), TROUPE_EGONE);
    (void)player;
    return TROUPE_OK;
}

/* Nobody makes room for it by running. */
Test(worker, a_sender_to_an_actor_that_has_ended_keeps_its_slice, .timeout = 20)
{
    struct troupe_runtime *runtime = curtain_up(1);
    struct trp_worker *worker = runtime->workers[0];
    struct player sender = {.name = 's', .play = play_to_the_dead};
    struct player other = {.name = 'o'};

    enter_as(worker, &sender, &player_behaviour);
    enter_as(worker, &other, &player_behaviour);
    give(worker, &other, 1);
    give(worker, &sender, 5);
    cr_assert_eq(rest(worker), TRP_STEP_IDLE);
    cr_expect(strstr(played, "sssss") != NULL, "played %s", played);
    curtain_down(runtime);
}

/* Computes, and gives what came of it to one who has no room. */
static int play_compute_in_vain(struct troupe_actor *self, struct player *player)
{
    int error = troupe_send(self, player->to->pid, &word, NULL);

    cr_assert(error == TROUPE_OK || error == TROUPE_EFULL);
    return troupe_send(self, player->pid, &word, NULL);
}

/* What is done besides counts. */
Test(worker, actors_that_compute_are_worth_stealing_also_if_they_are_refused, .timeout = 20)
{
    static const struct troupe_behaviour narrow = {.name = "narrow",
        .state_size = sizeof(struct player *),
        .init = player_init,
        .receive = player_receive,
        .margin = TROUPE_NO_MARGIN,
        .capacity = 1};
    struct troupe_runtime *runtime = curtain_up(2);
    struct trp_worker *worker = runtime->workers[0];
    struct player reader = {.name = 'r'};
    struct player players[2];

    enter_as(runtime->workers[1], &reader, &narrow);
    cr_assert_eq(rest(runtime->workers[1]), TRP_STEP_IDLE);
    for (unsigned i = 0; i < 2; i++) {
        players[i] = (struct player){
            .name = 'c', .play = play_compute_in_vain, .to = &reader, .takes_ns = 1000000};
        enter_as(worker, &players[i], &player_behaviour);
    }
    give(worker, &players[0], 1);
    give(worker, &players[1], 1);
    steps(worker, 200);
    cr_expect_geq(atomic_load(&worker->slice_ns), 500000, "each slice takes a millisecond");
    curtain_down(runtime);
}

/* ---- who is next ---- */

Test(worker, who_was_made_runnable_last_runs_next, .timeout = 20)
{
    struct troupe_runtime *runtime = curtain_up(1);
    struct trp_worker *worker = runtime->workers[0];
    struct player players[4] = {0};

    enter(worker, players, 4);
    give_each(worker, players, 4);
    cr_assert_eq(rest(worker), TRP_STEP_IDLE);
    cr_expect_str_eq(played, "dabc", "the last one, then the queue in its order");
    curtain_down(runtime);
}

static int play_pass(struct troupe_actor *self, struct player *player)
{
    return troupe_send(self, player->to->pid, &word, NULL);
}

/* Two that send each other one message to and fro, for ever: p and q. */
static void enter_rally(struct trp_worker *worker, struct player pair[2])
{
    pair[0] = (struct player){.name = 'p', .play = play_pass, .to = &pair[1]};
    pair[1] = (struct player){.name = 'q', .play = play_pass, .to = &pair[0]};
    enter_as(worker, &pair[0], &player_behaviour);
    enter_as(worker, &pair[1], &player_behaviour);
}

/* Each of the two makes the other one runnable, so one of them is always the last that was. */
Test(worker, two_that_wake_each_other_for_ever_keep_nobody_from_running, .timeout = 20)
{
    struct troupe_runtime *runtime = curtain_up(1);
    struct trp_worker *worker = runtime->workers[0];
    struct player players[2] = {0};
    struct player pair[2];

    static_assert(TRP_LIFO_RUNS == 3, "as written below");
    enter(worker, players, 2);
    enter_rally(worker, pair);
    give(worker, &players[0], 1);
    give(worker, &players[1], 1);
    give(worker, &pair[0], 1);
    steps(worker, 10);
    cr_expect_str_eq(played, "pqpaqpqbpq", "three runs in a row, then one from the queue");
    curtain_down(runtime);
}

Test(worker, what_the_queue_has_no_room_for_runs_too, .timeout = 20)
{
    struct troupe_runtime *runtime = curtain_up(1);
    struct trp_worker *worker = runtime->workers[0];
    unsigned started = 0;
    const struct trp_spawn spawn = {.behaviour = &starter, .arg = &started};

    for (unsigned i = 0; i < TRP_RUNQ_SLOTS + 100; i++) {
        struct troupe_actor *actor;

        cr_assert_eq(trp_actor_spawn(&worker->context, &spawn, &actor), TROUPE_OK);
        trp_actor_launch(&worker->context, actor);
    }
    cr_assert_eq(trp_runq_length(&worker->runq), TRP_RUNQ_SLOTS);
    cr_assert_not(trp_inject_is_empty(&runtime->inject));
    cr_assert_eq(rest(worker), TRP_STEP_IDLE);
    cr_expect_eq(started, TRP_RUNQ_SLOTS + 100);
    curtain_down(runtime);
}

/* ---- thieves ---- */

#define QUEUED 7

/* As the watchdog does, and the worker's own duties. */
static void set_slice_ns(struct trp_worker *worker, uint64_t slice_ns)
{
    atomic_store(&worker->slice_ns, slice_ns);
}

/* The worker is in between two slices, and has QUEUED players queued: a to g.  It has run h. */
static void fill_queue(struct trp_worker *worker, struct player players[QUEUED + 1])
{
    enter(worker, players, QUEUED + 1);
    set_slice_ns(worker, 0);
    give_each(worker, players, QUEUED + 1);
    steps(worker, 1);
    cr_assert_str_eq(played, "h");
    cr_assert_eq(trp_runq_length(&worker->runq), QUEUED);
}

/* Moving it costs more than waiting.  A worker that saw it as work left for it would turn in circles instead. */
Test(worker, a_queue_that_is_not_worth_it_is_left_alone_and_the_thief_goes_to_sleep, .timeout = 20)
{
    struct troupe_runtime *runtime = curtain_up(2);
    struct trp_worker *victim = runtime->workers[0];
    struct trp_worker *thief = runtime->workers[1];
    struct player players[QUEUED + 1] = {0};

    fill_queue(victim, players);
    set_slice_ns(victim, (STEAL_COST_NS - 1) / QUEUED);
    cr_assert(trp_park_wake(&runtime->park));
    cr_expect_eq(rest(thief), TRP_STEP_IDLE);
    cr_expect(thief->parker.listed);
    cr_expect_eq(trp_runq_length(&victim->runq), QUEUED);
    cr_expect_eq(books_of(runtime).steals, 0);

    cr_assert_eq(rest(victim), TRP_STEP_IDLE);
    cr_expect_str_eq(played, "habcdefg");
    curtain_down(runtime);
}

Test(worker, a_thief_takes_the_older_half_of_a_queue_that_is_worth_it, .timeout = 20)
{
    struct troupe_runtime *runtime = curtain_up(2);
    struct trp_worker *victim = runtime->workers[0];
    struct trp_worker *thief = runtime->workers[1];
    struct player players[QUEUED + 1] = {0};

    fill_queue(victim, players);
    set_slice_ns(victim, STEAL_COST_NS / QUEUED + 1);
    cr_assert(trp_park_wake(&runtime->park));
    steps(thief, 1);
    cr_expect_eq(books_of(runtime).steals, 4);
    cr_expect_eq(trp_runq_length(&victim->runq), 3);
    cr_expect_eq(trp_runq_length(&thief->runq), 3, "one it has run");

    cr_assert_eq(rest(thief), TRP_STEP_IDLE, "what is left is not worth it");
    cr_assert_eq(rest(victim), TRP_STEP_IDLE);
    cr_expect_eq(played_count, QUEUED + 1);
    for (unsigned i = 0; i < QUEUED; i++) {
        unsigned worker = i < 4 ? thief->index : victim->index;

        cr_expect_eq(players[i].worker, worker, "%c", players[i].name);
    }
    curtain_down(runtime);
}

/* Queues players a to h; then the watchdog looks twice while this slice lasts. */
static int play_long(struct troupe_actor *self, struct player *player)
{
    struct troupe_runtime *runtime = troupe_runtime_of(self);
    struct trp_worker *thief = runtime->workers[1];

    give_each(runtime->workers[0], player->to, QUEUED + 1);
    cr_assert(thief->parker.listed, "it looks like little work");
    (void)trp_watchdog_look(runtime, trp_port_now_ns());
    (void)trp_watchdog_look(runtime, trp_port_now_ns() + WAKE_COST_NS);
    cr_expect_not(thief->parker.listed, "somebody is to help");
    cr_expect_eq(rest(thief), TRP_STEP_IDLE);
    return TROUPE_OK;
}

/* Short slices before it made its queue look like little work.  The watchdog knows better, long before it calls the
 * handler stuck: it says so in the average, and wakes somebody. */
Test(worker, a_queue_behind_a_slice_that_lasts_is_stolen_when_the_watchdog_says_so, .timeout = 20)
{
    struct troupe_runtime *runtime = curtain_up(2);
    struct trp_worker *victim = runtime->workers[0];
    struct trp_worker *thief = runtime->workers[1];
    struct player players[QUEUED + 1] = {0};
    struct player holder = {.name = '!', .play = play_long, .to = players};

    enter(victim, players, QUEUED + 1);
    enter_as(victim, &holder, &player_behaviour);
    set_slice_ns(victim, 1);
    give(victim, &holder, 1);
    steps(victim, 1);
    cr_expect_eq(played_count, 1 + QUEUED);
    for (unsigned i = 0; i < QUEUED; i++) {
        cr_expect_eq(players[i].worker, thief->index, "%c", players[i].name);
    }
    cr_expect_eq(books_of(runtime).stuck, 0);
    cr_assert_eq(rest(victim), TRP_STEP_IDLE);
    cr_expect_eq(played[QUEUED + 1], 'h', "made runnable last, it stays its worker's");
    curtain_down(runtime);
}

/* ---- waking others ---- */

static int play_spread(struct troupe_actor *self, struct player *player)
{
    const struct trp_worker *other = troupe_runtime_of(self)->workers[1];

    set_slice_ns(troupe_runtime_of(self)->workers[0], WAKE_COST_NS / 3);
    for (unsigned i = 0; i < 4; i++) {
        cr_expect(other->parker.listed, "%u are queued", i);
        cr_assert_eq(troupe_send(self, player->to[i].pid, &word, NULL), TROUPE_OK);
    }
    cr_expect_not(other->parker.listed, "one is next here, and three wait as long as waking takes");
    return TROUPE_OK;
}

Test(worker, surplus_work_wakes_another_worker_once_it_waits_as_long_as_waking_takes, .timeout = 20)
{
    struct troupe_runtime *runtime = curtain_up(2);
    struct trp_worker *worker = runtime->workers[0];
    struct player players[4] = {0};
    struct player spreader = {.name = '!', .play = play_spread, .to = players};

    enter(worker, players, 4);
    enter_as(worker, &spreader, &player_behaviour);
    give(worker, &spreader, 1);
    steps(worker, 1);
    cr_expect_str_eq(played, "!");
    curtain_down(runtime);
}

/* How long a slice takes is measured.  The pair itself is never surplus: one runs, and the other is next. */
Test(worker, how_long_slices_took_decides_whether_surplus_work_wakes_another_worker, .timeout = 20)
{
    struct troupe_runtime *runtime = curtain_up(2);
    struct trp_worker *worker = runtime->workers[0];
    const struct trp_worker *other = runtime->workers[1];
    struct player players[4] = {0};
    struct player pair[2];

    enter(worker, players, 4);
    enter_rally(worker, pair);
    give(worker, &pair[0], 1);
    steps(worker, 20 * DUTY_SLICES);
    give_each(worker, players, 4);
    cr_expect(other->parker.listed, "four slices that take no time");

    pair[0].takes_ns = pair[1].takes_ns = 2 * WAKE_COST_NS;
    steps(worker, 20 * DUTY_SLICES);
    cr_assert_eq(trp_runq_length(&worker->runq), 0, "the four have run");
    cr_expect(other->parker.listed, "nothing waits but the pair");
    give(worker, &players[0], 1);
    cr_expect_not(other->parker.listed, "one that has to wait for long slices");
    curtain_down(runtime);
}

/* ---- troupe_exit() ---- */

static int play_exit(struct troupe_actor *self, struct player *player)
{
    (void)player;
    troupe_exit(self, TROUPE_EXIT_NORMAL);
    return TROUPE_OK;
}

/* It leaves its handler over the head of the worker's own functions. */
Test(worker, an_exit_inside_a_handler_ends_that_actor_alone_and_the_steps_go_on, .timeout = 20)
{
    struct troupe_runtime *runtime = curtain_up(1);
    struct trp_worker *worker = runtime->workers[0];
    struct player players[4] = {{.play = play_exit}, {0}, {.play = play_exit}, {0}};
    struct troupe_books books;
    uint64_t until_ns;

    enter(worker, players, 4);
    give(worker, &players[0], 3);
    for (unsigned i = 1; i < 4; i++) {
        give(worker, &players[i], 1);
    }
    cr_expect_eq(trp_worker_run(worker, 3, &until_ns), TRP_STEP_RAN);
    cr_expect_str_eq(played, "dab", "the steps are counted across the exit");
    cr_expect_eq(trp_worker_run(worker, 100, &until_ns), TRP_STEP_IDLE);
    cr_expect_str_eq(played, "dabc");

    for (unsigned i = 0; i < 4; i++) {
        cr_expect_eq(troupe_is_alive(runtime, players[i].pid), i % 2 == 1, "%c", players[i].name);
    }
    books = books_of(runtime);
    cr_expect_eq(books.exited, 2);
    cr_expect_eq(books.handled, 4);
    cr_expect_eq(books.dead, 2, "what a had not handled");
    cr_expect_eq(books.failures, 0);
    curtain_down(runtime);
}

static void exit_again(struct troupe_actor *self, void *state, const struct troupe_reason *reason)
{
    (void)state;
    cr_expect_eq(reason->kind, TROUPE_EXIT_NORMAL);
    note('T');
    troupe_exit(self, TROUPE_EXIT_KILL);
}

static void note_destroy(void *state)
{
    (void)state;
    note('D');
}

/* Only terminate ends early: the rest of the exit takes place, with the first reason.  And whoever exits after it lands
 * in its own steps again, not in a terminate that is over. */
Test(worker, an_exit_inside_terminate_ends_terminate_alone_and_the_steps_go_on, .timeout = 20)
{
    static const struct troupe_behaviour stubborn = {.name = "stubborn",
        .state_size = sizeof(struct player *),
        .init = player_init,
        .receive = player_receive,
        .terminate = exit_again,
        .destroy = note_destroy};
    struct troupe_runtime *runtime = curtain_up(1);
    struct trp_worker *worker = runtime->workers[0];
    struct player leaver = {.name = 'x', .play = play_exit};
    struct player players[3] = {{0}, {.play = play_exit}, {0}};
    uint64_t until_ns;

    enter(worker, players, 3);
    enter_as(worker, &leaver, &stubborn);
    give_each(worker, players, 3);
    give(worker, &leaver, 1);
    cr_expect_eq(trp_worker_run(worker, 100, &until_ns), TRP_STEP_IDLE);
    cr_expect_str_eq(played, "xTDabc");
    cr_expect_not(troupe_is_alive(runtime, leaver.pid));
    cr_expect(troupe_is_alive(runtime, players[0].pid));
    cr_expect_not(troupe_is_alive(runtime, players[1].pid));
    cr_expect(troupe_is_alive(runtime, players[2].pid));
    cr_expect_eq(books_of(runtime).exited, 2);
    cr_expect_eq(books_of(runtime).failures, 0, "the first reason stands");
    curtain_down(runtime);
}

/* ---- what comes from outside ---- */

/* Spawns one as foreign threads do that go by this shard; the injection queue has a part for each shard. */
static void spawn_from_outside(struct troupe_runtime *runtime, unsigned shard, unsigned *started)
{
    const struct trp_spawn spawn = {.behaviour = &starter, .arg = started};
    struct trp_context *context = &runtime->shards[shard].context;
    struct troupe_actor *actor;

    cr_assert_eq(trp_actor_spawn(context, &spawn, &actor), TROUPE_OK);
    trp_actor_launch(context, actor);
}

/* Also where it does not look at first. */
Test(worker, a_worker_that_was_woken_finds_what_came_from_outside, .timeout = 20)
{
    struct troupe_runtime *runtime = curtain_up(2);
    struct trp_worker *woken = runtime->workers[1];
    unsigned started = 0;

    cr_assert_eq(runtime->shard_count, 2);
    for (unsigned shard = 0; shard < 2; shard++) {
        spawn_from_outside(runtime, shard, &started);
        cr_assert_not(woken->parker.listed);
        cr_expect_eq(rest(woken), TRP_STEP_IDLE);
        cr_expect_eq(started, shard + 1);
    }
    curtain_down(runtime);
}

/* Whoever brings the second one sees a searcher, and wakes nobody. */
Test(worker, a_searcher_that_finds_something_has_another_worker_look_for_the_rest, .timeout = 20)
{
    struct troupe_runtime *runtime = curtain_up(2);
    struct trp_worker *woken = runtime->workers[1];
    struct trp_worker *other = runtime->workers[0];
    unsigned started = 0;

    spawn_from_outside(runtime, 0, &started);
    spawn_from_outside(runtime, 1, &started);
    cr_assert(other->parker.listed);
    steps(woken, 1);
    cr_assert_eq(started, 1);
    cr_expect_not(other->parker.listed);
    cr_expect_eq(rest(other), TRP_STEP_IDLE);
    cr_expect_eq(started, 2);
    curtain_down(runtime);
}

/* Nobody is to be woken: the worker is not asleep yet. */
Test(worker, a_worker_that_runs_out_of_work_finds_what_came_from_outside, .timeout = 20)
{
    struct troupe_runtime *runtime = curtain_up(1);
    struct trp_worker *worker = runtime->workers[0];
    struct player player = {0};
    unsigned started = 0;

    enter(worker, &player, 1);
    give(worker, &player, 1);
    steps(worker, 1);
    spawn_from_outside(runtime, 0, &started);
    cr_assert_eq(worker->mode, TRP_WORKER_RUNNING);
    steps(worker, 1);
    cr_expect_eq(started, 1, "the very next step");
    curtain_down(runtime);
}

/* The one worker always has somebody of its own to run. */
Test(worker, a_busy_worker_finds_what_came_from_outside_within_some_steps, .timeout = 20)
{
    struct troupe_runtime *runtime = curtain_up(1);
    struct trp_worker *worker = runtime->workers[0];
    struct player pair[2];
    unsigned started = 0;
    troupe_pid pid;

    enter_rally(worker, pair);
    give(worker, &pair[0], 1);
    steps(worker, 1);
    cr_assert_eq(
        troupe_runtime_spawn(runtime,
            (&(struct troupe_spawn_options){.behaviour = &starter, .arg = &started}), &pid),
        TROUPE_OK);
    steps(worker, INJECT_SLICES);
    cr_expect(trp_inject_is_empty(&runtime->inject), "it was taken");
    steps(worker, TRP_LIFO_RUNS);
    cr_expect_eq(started, 1, "it ran when the queue had its turn");
    cr_expect_eq(worker->mode, TRP_WORKER_RUNNING, "it never stopped for it");
    curtain_down(runtime);
}

static int send_to_itself(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    static const struct troupe_type again = TROUPE_SIGNAL;

    (void)state;
    (void)msg;
    return troupe_send(self, troupe_self(self), &again, NULL);
}

static int begin_at_once(struct troupe_actor *self, void *state, const void *arg)
{
    (void)arg;
    return send_to_itself(self, state, NULL);
}

static const struct troupe_behaviour restless = {
    .name = "restless",
    .init = begin_at_once,
    .receive = send_to_itself,
    .capacity = PLAYER_ROOM,
};

/* Others steal only when they have nothing to do, and may never come to that. */
Test(worker, what_a_retired_spare_had_queued_is_run_also_by_workers_that_are_never_idle,
    .timeout = 20)
{
    struct troupe_runtime *runtime = two_asleep();
    struct trp_worker *stays = runtime->workers[0];
    struct trp_worker *goes = runtime->workers[1];
    unsigned started[2] = {0, 0};
    const struct trp_spawn busy = {.behaviour = &restless};
    struct troupe_actor *actor;
    troupe_pid pid;
    uint64_t until_ns;

    (void)trp_reclaim_enter();
    cr_assert_eq(trp_actor_spawn(&stays->context, &busy, &actor), TROUPE_OK);
    pid = trp_actor_pid(actor);
    trp_actor_launch(&stays->context, actor);
    for (unsigned i = 0; i < 2; i++) {
        const struct trp_spawn spawn = {.behaviour = &starter, .arg = &started[i]};

        /* One goes to the LIFO slot, the other to the queue. */
        cr_assert_eq(trp_actor_spawn(&goes->context, &spawn, &actor), TROUPE_OK);
        trp_actor_launch(&goes->context, actor);
    }
    atomic_store(&goes->retire, true);
    cr_assert_eq(rest(goes), TRP_STEP_STOP);
    cr_assert_eq(trp_worker_run(stays, STEPS_MAX, &until_ns), TRP_STEP_RAN, "it is never idle");
    cr_expect_eq(started[0], 1);
    cr_expect_eq(started[1], 1);
    trp_reclaim_leave(true);

    atomic_store(&goes->retire, false);
    /* Destroy would wait for the end of the restless one. */
    cr_assert_eq(troupe_runtime_exit(runtime, pid, TROUPE_EXIT_KILL), TROUPE_OK);
    cr_assert_eq(troupe_runtime_destroy(runtime), TROUPE_OK);
}
