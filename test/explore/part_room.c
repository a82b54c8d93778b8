/* SPDX-License-Identifier: MIT */
/*
 * room: fibers that wait in line for room in a mailbox of one, while its reader reads, one gives up, one is dropped, or the
 * reader ends; and in a mailbox where senders have shares, that have theirs.  Each message is sent once, or its sender's again;
 * nobody sleeps while there is room, and nobody is touched that has left the line.
 *
 * Threads play fibers: one sleeps until its actor is signalled.  How an actor with a fiber parks and comes back is explored with
 * a whole runtime, in part_worker.c.
 */
#include "test/explore/stage.h"

#include "sched/fiber.h"
#include "sched/line.h"

enum { SENDERS = 2 };

static const struct troupe_type word = TROUPE_TYPE(uint64_t);

static struct troupe_runtime *runtime;
static struct troupe_actor *reader;
static troupe_pid reader_pid;

static struct sender {
    struct troupe_actor *actor;
    struct trp_waiter *waiter;
    struct trp_fiber *fiber;
    struct troupe_message *message;
} senders[SENDERS];

/* Ghosts. */
static unsigned seen;
static unsigned sent;
static unsigned kept;
static unsigned dropped;
static unsigned senders_left;

EXPLORE_GHOST static void note_seen(void)
{
    seen++;
}

EXPLORE_GHOST static void note_outcome(int error)
{
    if (error == TROUPE_OK) {
        sent++;
    } else {
        kept++;
    }
    senders_left--;
}

EXPLORE_GHOST static void note_dropped(void)
{
    dropped++;
    senders_left--;
}

/* ---- the reader ---- */

static int receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    (void)state;
    trp_charge_give(&self->charge, 1, trp_message_weight(msg));
    note_seen();
    return TROUPE_OK;
}

static const struct troupe_behaviour reading = {
    .name = "reader", .receive = receive, .capacity = 1};
/* One who has a message there has its share, though there is room. */
static const struct troupe_overload fair = {.by_sender = true};
static const struct troupe_behaviour sharing = {
    .name = "reader", .receive = receive, .capacity = 2, .overload = &fair};
static const struct troupe_behaviour sending = {.name = "sender", .receive = receive};

EXPLORE_GHOST static bool has_to_read(const void *ignored)
{
    uintptr_t tail = *(uintptr_t *)(uintptr_t)&reader->mailbox.tail;

    (void)ignored;
    return senders_left == 0 || (tail & TRP_MAILBOX_PARKED) == 0;
}

/* As credit(), pause_slice() and has_token_again() in worker.c do. */
static void read_slice(void)
{
    struct trp_node *spent = NULL;

    for (;;) {
        stage_receive(reader);
        if (trp_mailbox_park(&reader->mailbox, &reader->head, &spent)) {
            break;
        }
        explore_yield();
    }
    if (trp_actor_waiters(atomic_load_explicit(&reader->waiting, memory_order_seq_cst)) != 0) {
        trp_line_call(&runtime->workers[0]->context, reader, true);
    }
}

EXPLORE_GHOST static bool are_all_through(void)
{
    return senders_left == 0;
}

static void read_on(void)
{
    bool was_offline = trp_reclaim_enter();

    while (!are_all_through()) {
        read_slice();
        explore_await(has_to_read, NULL, "something to read");
    }
    trp_reclaim_leave(was_offline);
}

static void end_reader(void)
{
    bool was_offline = trp_reclaim_enter();

    stage_exit(reader);
    trp_exit_flush(&runtime->workers[0]->context, true);
    trp_reclaim_leave(was_offline);
}

/* ---- the senders ---- */

EXPLORE_GHOST static bool is_signalled(const void *context)
{
    const struct sender *sender = context;

    return (*(uint32_t *)(uintptr_t)&sender->actor->signals & TRP_SIGNAL_ROOM) != 0;
}

/* As a fiber that waits, and the worker that goes on with it. */
static void sleep_until_called(struct sender *sender)
{
    explore_await(is_signalled, sender, "to be called");
    atomic_fetch_and_explicit(
        &sender->actor->signals, ~(uint32_t)TRP_SIGNAL_ROOM, memory_order_acq_rel);
}

/* Its stack is used by others from here on. */
static void forget_waiter(struct sender *sender)
{
    explore_free(sender->waiter, sizeof *sender->waiter);
}

static void begin(struct sender *sender)
{
    sender->message->sender = trp_actor_pid(sender->actor);
    trp_line_begin(sender->actor, sender->waiter, reader_pid, sender->message, 0);
}

static void end(struct sender *sender, int error)
{
    if (error < 0) {
        trp_message_free(&sender->actor->context->pool, sender->message);
    }
    forget_waiter(sender);
    note_outcome(error);
}

static void wait_for_room(struct sender *sender)
{
    bool was_offline = trp_reclaim_enter();
    int error;

    begin(sender);
    while ((error = trp_line_go_on(sender->actor, sender->waiter, false)) == TROUPE_EFULL) {
        sleep_until_called(sender);
    }
    end(sender, error);
    trp_reclaim_leave(was_offline);
}

static void wait_1(void)
{
    wait_for_room(&senders[0]);
}

static void wait_2(void)
{
    wait_for_room(&senders[1]);
}

/* Its time is over at any moment. */
static void give_up_1(void)
{
    struct sender *sender = &senders[0];
    bool was_offline = trp_reclaim_enter();
    int error;

    begin(sender);
    error = trp_line_go_on(sender->actor, sender->waiter, false);
    if (error == TROUPE_EFULL) {
        error = trp_line_go_on(sender->actor, sender->waiter, true);
    }
    end(sender, error);
    trp_reclaim_leave(was_offline);
}

/* It is killed at any moment. */
static void drop_1(void)
{
    struct sender *sender = &senders[0];
    bool was_offline = trp_reclaim_enter();
    int error;

    begin(sender);
    error = trp_line_go_on(sender->actor, sender->waiter, false);
    if (error != TROUPE_EFULL) {
        end(sender, error);
    } else {
        trp_line_abandon(sender->actor->context, sender->fiber);
        forget_waiter(sender);
        note_dropped();
    }
    trp_reclaim_leave(was_offline);
}

/* ---- setups ---- */

static struct troupe_message *message(struct trp_worker *worker)
{
    struct troupe_message *msg = trp_message_new(&worker->context, &word, word.size, 0);

    explore_check(msg != NULL);
    return msg;
}

static void make_sender(struct sender *sender, struct trp_worker *worker)
{
    sender->actor = stage_spawn(worker, &sending);
    stage_enter(worker, sender->actor);
    sender->fiber = explore_alloc(sizeof *sender->fiber, alignof(struct trp_fiber));
    memset(sender->fiber, 0, sizeof *sender->fiber);
    sender->fiber->actor = sender->actor;
    worker->host.fiber = sender->fiber;
    sender->waiter = explore_alloc(sizeof *sender->waiter, alignof(struct trp_waiter));
    sender->message = message(worker);
}

/* The mailbox of the reader takes no more of sender 1, and nobody has read yet. */
static void set_up_with(const struct troupe_behaviour *behaviour)
{
    struct trp_worker *worker;
    struct troupe_message *first;

    runtime = stage_open(1 + SENDERS, 8);
    worker = runtime->workers[0];
    seen = sent = kept = dropped = 0;
    senders_left = SENDERS;
    reader = stage_spawn(worker, behaviour);
    reader_pid = trp_actor_pid(reader);
    /* Made here, as most have it: otherwise a lock comes into being while others look for it. */
    explore_check(trp_actor_need_extra(&worker->context, reader) != NULL);
    for (unsigned i = 0; i < SENDERS; i++) {
        make_sender(&senders[i], runtime->workers[1 + i]);
    }
    first = message(worker);
    first->sender = trp_actor_pid(senders[0].actor);
    explore_check(trp_send_charged(&worker->context, reader_pid, first, first, 1,
                      trp_message_weight(first)) == TROUPE_OK);
    stage_enter(worker, reader);
}

static void set_up(void)
{
    set_up_with(&reading);
}

static void set_up_shares(void)
{
    set_up_with(&sharing);
}

static void set_up_one_share(void)
{
    set_up_with(&sharing);
    senders_left = 1;
}

static void set_up_one(void)
{
    set_up();
    senders_left = 1;
}

/* ---- what must hold ---- */

static void check_line(unsigned count)
{
    struct trp_extra *extra = trp_actor_extra(reader);

    if (!trp_mailbox_is_parked(&reader->mailbox)) {
        read_slice();
    }
    explore_check(sent + kept + dropped == count);
    explore_check(trp_actor_waiters(atomic_load(&reader->waiting)) == 0);
    explore_check(trp_list_is_empty(&extra->waiters) && !extra->waiter_called);
}

static void check_all_sent(void)
{
    check_line(SENDERS);
    explore_check(kept == 0 && dropped == 0);
    explore_check(seen == 1 + sent);
}

static void check_other_sent(void)
{
    check_line(SENDERS);
    explore_check(sent + (kept + dropped > 0) == SENDERS);
    explore_check(seen == 1 + sent);
}

static void check_one_sent(void)
{
    check_line(1);
    explore_check(sent == 1);
    explore_check(seen == 2);
}

static void check_ended(void)
{
    trp_worker_take_returned(runtime->workers[0]);
    explore_check(sent + kept + dropped == 1);
    explore_check(seen == 0);
}

static const struct explore_scenario scenarios[] = {
    {.name = "two fibers wait for room for one",
        .setup = set_up,
        .threads = {read_on, wait_1, wait_2},
        .check = check_all_sent,
        .deviations = 2,
        .is_program = true},
    {.name = "two fibers wait, the time of one is over",
        .setup = set_up,
        .threads = {read_on, give_up_1, wait_2},
        .check = check_other_sent,
        .deviations = 2},
    {.name = "two fibers wait, one is dropped",
        .setup = set_up,
        .threads = {read_on, drop_1, wait_2},
        .check = check_other_sent,
        .deviations = 2},
    {.name = "a fiber waits, whom it waits for ends",
        .setup = set_up_one,
        .threads = {end_reader, wait_1},
        .check = check_ended},
    {.name = "the time of a fiber is over, whom it waits for ends",
        .setup = set_up_one,
        .threads = {end_reader, give_up_1},
        .check = check_ended},
    {.name = "a fiber is dropped, whom it waits for ends",
        .setup = set_up_one,
        .threads = {end_reader, drop_1},
        .check = check_ended},
    {.name = "a fiber waits for its share",
        .setup = set_up_one_share,
        .threads = {read_on, wait_1},
        .check = check_one_sent},
    {.name = "two fibers wait, one of them for its share",
        .setup = set_up_shares,
        .threads = {read_on, wait_1, wait_2},
        .check = check_all_sent,
        .deviations = 2},
};

static const struct explore_plant plants[] = {
    {"a waiter does not meet the reader", &scenarios[0], "trp_mailbox_meet", EXPLORE_OR, 0,
        EXPLORE_RELAX, 0, "sleep"},
    {"who tries keeps nobody out", &scenarios[0], "try_as_waiter", EXPLORE_LOCK, 0, EXPLORE_FORGET,
        0, "race"},
    {"who is called is not signalled", &scenarios[0], "trp_actor_signal", EXPLORE_OR, 0,
        EXPLORE_FORGET, 0, "sleep"},
    {"who is called does not see it", &scenarios[0], "has_a_turn", EXPLORE_LOAD, 0, EXPLORE_LIE, 0,
        "sleep"},
    {"who gives up keeps nobody out", &scenarios[1], "give_up", EXPLORE_LOCK, 0, EXPLORE_FORGET, 0,
        "race"},
    {"who ends does not look for those that wait", &scenarios[3], "seal", EXPLORE_LOAD, 0,
        EXPLORE_LIE, 0, "sleep"},
    {"a waiter does not look whether the actor has ended", &scenarios[3], "try_as_waiter",
        EXPLORE_LOAD, 0, EXPLORE_RELAX, 0, "sleep"},
    {"a share is looked at without the lock", &scenarios[6], "trp_shelf_has_share", EXPLORE_LOCK, 0,
        EXPLORE_FORGET, 0, "race"},
    {"who leaves does not wait for its caller", &scenarios[5], "outlive_caller", EXPLORE_LOAD, 0,
        EXPLORE_LIE, 1, ""},
};

EXPLORE_PART(room, scenarios, plants);
