/* SPDX-License-Identifier: MIT */
/*
 * worker: a whole runtime of two workers: send, schedule, steal, park, wake and stop, from outside and from inside.  That a
 * wake-up was lost shows by itself: all sleep, and somebody still waits for a message to be handled.
 */
#include <troupe.h>

#include "sched/runtime.h"
#include "test/explore/explore.h"

static struct troupe_runtime *runtime;
static troupe_pid first;
static troupe_pid second;

/* Ghosts. */
static unsigned handled;
static unsigned wanted;
static unsigned senders_left;

static const struct troupe_type word = TROUPE_TYPE(uint64_t);

EXPLORE_GHOST static void note_handled(void)
{
    handled++;
}

EXPLORE_GHOST static bool is_handled(const void *ignored)
{
    (void)ignored;
    return handled >= wanted;
}

EXPLORE_GHOST static void note_end_of_sender(void)
{
    senders_left--;
}

EXPLORE_GHOST static bool are_senders_through(const void *ignored)
{
    (void)ignored;
    return senders_left == 0;
}

static int sink_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    (void)self;
    (void)state;
    (void)msg;
    note_handled();
    return TROUPE_OK;
}

static int relay_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    uint64_t value = *(const uint64_t *)troupe_body(msg);

    (void)state;
    note_handled();
    return value > 0 ? troupe_send(self, second, &word, &(uint64_t){value - 1}) : TROUPE_OK;
}

static const struct troupe_behaviour sink = {
    .name = "sink", .receive = sink_receive, .capacity = 1};
static const struct troupe_behaviour relay = {.name = "relay", .receive = relay_receive};

/* A fiber that waits for room each time. */
static int send_three(struct troupe_actor *self, const void *arg)
{
    (void)arg;
    for (uint64_t i = 0; i < 3; i++) {
        explore_check(troupe_send_within(self, second, &word, &i, TROUPE_FOREVER) == TROUPE_OK);
    }
    return TROUPE_OK;
}

static const struct troupe_behaviour fiber = {.name = "fiber", .main = send_three};

static troupe_pid spawn(const struct troupe_behaviour *behaviour)
{
    struct troupe_spawn_options options = {.behaviour = behaviour};
    troupe_pid pid = TROUPE_NOBODY;

    explore_check(troupe_runtime_spawn(runtime, &options, &pid) == TROUPE_OK);
    return pid;
}

static void set_up_workers(int workers, int watchdog_ms)
{
    struct troupe_runtime_options options = {.workers = workers,
        .watchdog_ms = watchdog_ms,
        .allocator = &explore_allocator,
        .limits = {.actors = 64}};

    handled = 0;
    explore_check(troupe_runtime_create(&options, &runtime) == TROUPE_OK);
    first = spawn(&relay);
    second = spawn(&sink);
    explore_check(troupe_runtime_start(runtime) == TROUPE_OK);
}

static void set_up_sink(void)
{
    set_up_workers(1, TROUPE_NO_WATCHDOG);
    wanted = 1;
}

static void set_up_watchdog(void)
{
    set_up_workers(1, 10);
    wanted = 1;
}

static void set_up_relay(void)
{
    set_up_workers(2, TROUPE_NO_WATCHDOG);
    wanted = 2;
}

static void set_up_rescue(void)
{
    set_up_workers(1, TROUPE_NO_WATCHDOG);
    wanted = 2;
}

static void set_up_crowd(void)
{
    set_up_workers(1, TROUPE_NO_WATCHDOG);
    wanted = 4;
}

static void set_up_fibers(void)
{
    set_up_workers(2, TROUPE_NO_WATCHDOG);
    wanted = 6;
}

static void set_up_kill(void)
{
    set_up_workers(1, TROUPE_NO_WATCHDOG);
    wanted = 0;
    senders_left = 2;
}

static void send_word(troupe_pid to, uint64_t value)
{
    struct troupe_message *msg = NULL;

    explore_check(troupe_message_create(runtime, &word, 0, &msg) == TROUPE_OK);
    *(uint64_t *)troupe_body(msg) = value;
    explore_check(troupe_try_send(runtime, to, msg) == TROUPE_OK);
}

static void send_and_stop(void)
{
    send_word(second, 0);
    explore_await(is_handled, NULL, "its message to be handled");
    explore_check(troupe_runtime_stop(runtime, 1000) == TROUPE_OK);
}

static void relay_and_stop(void)
{
    send_word(first, 1);
    explore_await(is_handled, NULL, "its message to be handled");
    explore_check(troupe_runtime_stop(runtime, 1000) == TROUPE_OK);
}

/* As the watchdog does when a handler holds the worker too long, which here it never does. */
static void rescue(void)
{
    struct trp_visit visit;
    struct troupe_actor *actor;

    explore_check(trp_context_enter(runtime, &visit) == TROUPE_OK);
    actor = trp_worker_rescue(runtime->workers[0]);
    if (actor != NULL) {
        trp_worker_schedule(visit.context, actor);
    }
    trp_context_leave(&visit);
}

static void wait_for_room(void)
{
    for (unsigned i = 0; i < 2; i++) {
        struct troupe_message *msg = NULL;

        explore_check(troupe_message_create(runtime, &word, 0, &msg) == TROUPE_OK);
        explore_check(troupe_send_wait(runtime, second, msg, TROUPE_FOREVER) == TROUPE_OK);
    }
}

static void wait_for_room_and_stop(void)
{
    wait_for_room();
    explore_await(is_handled, NULL, "all messages to be handled");
    explore_check(troupe_runtime_stop(runtime, 1000) == TROUPE_OK);
}

static void send_from_fibers_and_stop(void)
{
    (void)spawn(&fiber);
    (void)spawn(&fiber);
    explore_await(is_handled, NULL, "all messages to be handled");
    explore_check(troupe_runtime_stop(runtime, 1000) == TROUPE_OK);
}

/* Whether it comes before the kill or not, somebody ends it. */
static void send_once(void)
{
    struct troupe_message *msg = NULL;
    int error;

    explore_check(troupe_message_create(runtime, &word, 0, &msg) == TROUPE_OK);
    error = troupe_try_send(runtime, second, msg);
    explore_check(error == TROUPE_OK || error == TROUPE_EGONE);
    if (error < 0) {
        troupe_message_destroy(msg);
    }
    note_end_of_sender();
}

static void kill_and_stop(void)
{
    int error = troupe_runtime_exit(runtime, second, TROUPE_EXIT_KILL);

    explore_check(error == TROUPE_OK);
    note_end_of_sender();
    explore_await(are_senders_through, NULL, "the other sender");
    explore_check(troupe_runtime_stop(runtime, 1000) == TROUPE_OK);
}

static void check_books(void)
{
    struct troupe_books books = {0};

    explore_check(troupe_runtime_books(runtime, &books) == TROUPE_OK);
    explore_check(books.sent == books.handled + books.refused + books.dead + books.bounced);
    explore_check(troupe_runtime_destroy(runtime) == TROUPE_OK);
}

static const struct explore_scenario scenarios[] = {
    {.name = "one worker, a message from outside, stop",
        .setup = set_up_sink,
        .threads = {send_and_stop},
        .check = check_books,
        .deviations = 1,
        .is_program = true},
    {.name = "two workers, a message passed on, stop",
        .setup = set_up_relay,
        .threads = {relay_and_stop},
        .check = check_books,
        .deviations = 1,
        .is_program = true},
    {.name = "one worker, two threads that wait for room for one, stop",
        .setup = set_up_crowd,
        .threads = {wait_for_room_and_stop, wait_for_room},
        .check = check_books,
        .deviations = 1,
        .is_program = true},
    {.name = "one worker, a message and a kill, stop",
        .setup = set_up_kill,
        .threads = {send_once, kill_and_stop},
        .check = check_books,
        .deviations = 1,
        .is_program = true},
    {.name = "one worker whose LIFO slot is taken away, a message passed on, stop",
        .setup = set_up_rescue,
        .threads = {relay_and_stop, rescue},
        .check = check_books,
        .deviations = 1,
        .is_program = true},
    {.name = "one worker and the watchdog, a message from outside, stop",
        .setup = set_up_watchdog,
        .threads = {send_and_stop},
        .check = check_books,
        .deviations = 1,
        .is_program = true},
    {.name = "two workers, two fibers that wait for room for one, stop",
        .setup = set_up_fibers,
        .threads = {send_from_fibers_and_stop},
        .check = check_books,
        .deviations = 1,
        .is_program = true},
};

static const struct explore_plant plants[] = {
    {"who parks does not see what was pushed", &scenarios[0], "trp_inject_is_empty", EXPLORE_FENCE,
        0, EXPLORE_FORGET, 0, ""},
    {"who pushed wakes nobody", &scenarios[0], "trp_park_wants_wake", EXPLORE_LOAD, 0, EXPLORE_LIE,
        0, ""},
    {"nobody asks who waits for room after parking", &scenarios[2], "has_token_again", EXPLORE_LOAD,
        0, EXPLORE_LIE, 0, "all sleep"},
    {"a waiter does not meet the reader", &scenarios[2], "trp_mailbox_meet", EXPLORE_OR, 0,
        EXPLORE_RELAX, 0, "all sleep"},
    {"the owner of a LIFO slot does not say that it is in it", &scenarios[4], "lifo_enter",
        EXPLORE_STORE, 0, EXPLORE_FORGET, 0, ""},
    {"who takes a LIFO slot away does not wait for its owner", &scenarios[4], "trp_worker_rescue",
        EXPLORE_LOAD, 0, EXPLORE_LIE, 0, ""},
    {"a fiber that is called while it parks does not come back", &scenarios[6], "has_token_again",
        EXPLORE_LOAD, 1, EXPLORE_LIE, 0, "all sleep"},
    {"who parks does not keep out who wakes", &scenarios[1], "trp_park_enter", EXPLORE_LOCK, 0,
        EXPLORE_FORGET, 0, "race"},
};

EXPLORE_PART(worker, scenarios, plants);
