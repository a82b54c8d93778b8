/* SPDX-License-Identifier: MIT */
/*
 * thread: a whole runtime of one worker and an actor with a thread of its own: it is sent to, sends, is killed, and ends, and
 * its thread with it.  That a wake-up was lost shows by itself: all sleep, and somebody still waits.
 */
#include <troupe.h>

#include "sched/runtime.h"
#include "test/explore/explore.h"

static struct troupe_runtime *runtime;
static troupe_pid actor;
static troupe_pid sink;

/* Ghosts. */
static unsigned heard; /* by the sink */
static unsigned lives; /* of thread actors, that are over */
static unsigned senders_left;

static const struct troupe_type word = TROUPE_TYPE(uint64_t);

EXPLORE_GHOST static void note_heard(void)
{
    heard++;
}

EXPLORE_GHOST static void note_end(void)
{
    lives++;
}

EXPLORE_GHOST static void note_end_of_sender(void)
{
    senders_left--;
}

EXPLORE_GHOST static bool is_heard(const void *ignored)
{
    (void)ignored;
    return heard == 1;
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
    note_heard();
    return TROUPE_OK;
}

/* Sends on what it gets, once. */
static int pass_on(struct troupe_actor *self, const void *arg)
{
    struct troupe_message *msg;

    (void)arg;
    TROUPE_TRY(troupe_receive(self, TROUPE_FOREVER, &msg));
    return troupe_send(self, sink, &word, troupe_body(msg));
}

static void destroy(void *state)
{
    (void)state;
    note_end();
}

static const struct troupe_behaviour sink_behaviour = {.name = "sink", .receive = sink_receive};
static const struct troupe_behaviour thread_behaviour = {
    .name = "thread", .main = pass_on, .destroy = destroy, .thread = true, .stack_size = 60000};

static troupe_pid spawn(const struct troupe_behaviour *behaviour)
{
    struct troupe_spawn_options options = {.behaviour = behaviour};
    troupe_pid pid = TROUPE_NOBODY;

    explore_check(troupe_runtime_spawn(runtime, &options, &pid) == TROUPE_OK);
    return pid;
}

static void set_up(void)
{
    struct troupe_runtime_options options = {.workers = 1,
        .watchdog_ms = TROUPE_NO_WATCHDOG,
        .allocator = &explore_allocator,
        .limits = {.actors = 64}};

    heard = 0;
    lives = 0;
    senders_left = 2;
    explore_check(troupe_runtime_create(&options, &runtime) == TROUPE_OK);
    sink = spawn(&sink_behaviour);
}

/* Its thread is there before the start. */
static void set_up_before(void)
{
    set_up();
    actor = spawn(&thread_behaviour);
}

/* Or comes after it. */
static void set_up_after(void)
{
    set_up();
    explore_check(troupe_runtime_start(runtime) == TROUPE_OK);
    actor = spawn(&thread_behaviour);
}

/* Whether it comes before the kill or not, somebody ends it. */
static int try_send(void)
{
    struct troupe_message *msg = NULL;
    int error;

    explore_check(troupe_message_create(runtime, &word, 0, &msg) == TROUPE_OK);
    *(uint64_t *)troupe_body(msg) = 7;
    error = troupe_try_send(runtime, actor, msg);
    if (error < 0) {
        troupe_message_destroy(msg);
    }
    return error;
}

static void send_and_stop(void)
{
    explore_check(try_send() == TROUPE_OK);
    explore_await(is_heard, NULL, "its message to be passed on");
    explore_check(troupe_runtime_stop(runtime, TROUPE_FOREVER) == TROUPE_OK);
}

static void start_and_send_and_stop(void)
{
    explore_check(troupe_runtime_start(runtime) == TROUPE_OK);
    send_and_stop();
}

static void send_once(void)
{
    int error = try_send();

    explore_check(error == TROUPE_OK || error == TROUPE_EGONE);
    note_end_of_sender();
}

static void kill_and_stop(void)
{
    int error = troupe_runtime_exit(runtime, actor, TROUPE_EXIT_KILL);

    explore_check(error == TROUPE_OK || error == TROUPE_EGONE);
    note_end_of_sender();
    explore_await(are_senders_through, NULL, "the other sender");
    explore_check(troupe_runtime_stop(runtime, TROUPE_FOREVER) == TROUPE_OK);
}

static void check_books(void)
{
    struct troupe_books books = {0};

    explore_check(troupe_runtime_books(runtime, &books) == TROUPE_OK);
    explore_check(books.sent == books.handled + books.refused + books.dead + books.bounced);
    explore_check(lives <= 1);
    explore_check(troupe_runtime_destroy(runtime) == TROUPE_OK);
}

static const struct explore_scenario scenarios[] = {
    {.name = "an actor whose thread comes before the start passes a message on, stop",
        .setup = set_up_before,
        .threads = {start_and_send_and_stop},
        .check = check_books,
        .deviations = 1,
        .is_program = true},
    {.name = "one whose thread comes later passes a message on, stop",
        .setup = set_up_after,
        .threads = {send_and_stop},
        .check = check_books,
        .deviations = 1,
        .is_program = true},
    {.name = "it is sent to, and killed, stop",
        .setup = set_up_after,
        .threads = {send_once, kill_and_stop},
        .check = check_books,
        .deviations = 1,
        .is_program = true},
};

static const struct explore_plant plants[] = {
    {"the start lets nobody begin", &scenarios[0], "trp_threads_open", EXPLORE_OR, 0,
        EXPLORE_FORGET, 0, ""},
    {"who brings it home does not hand it over", &scenarios[1], "arrive", EXPLORE_SWAP, 0,
        EXPLORE_RELAX, 0, "race"},
    {"its thread is not told that it is over", &scenarios[1], "dismiss", EXPLORE_OR, 0,
        EXPLORE_FORGET, 0, ""},
    {"who runs it does not acquire what was brought", &scenarios[1], "take_arrived",
        EXPLORE_EXCHANGE, 0, EXPLORE_RELAX, 0, "race"},
};

EXPLORE_PART(thread, scenarios, plants);
