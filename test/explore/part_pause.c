/* SPDX-License-Identifier: MIT */
/*
 * pause: a handler that has sent into the margin of a mailbox is paused, while the reader reads, or ends, a signal is set, its time
 * is over, or somebody finds it in a ring.  It goes on exactly once for each time that it rests, whoever lets it go on; it does not
 * rest when there is room, or a signal that nobody sees; and nobody is left in line.
 *
 * Threads play actors.  A token that was handed over stands in a worker's queue, where it is counted and left.
 */
#include "test/explore/stage.h"

#include "sched/line.h"
#include "sched/overload.h"
#include "sched/pause.h"

enum { SENDERS = 2, WORKERS = 4 };

static const struct troupe_type word = TROUPE_TYPE(uint64_t);

static struct troupe_runtime *runtime;
static struct troupe_actor *reader;
static troupe_pid reader_pid;

static struct sender {
    struct troupe_actor *actor;
    struct trp_pause *pause;
    unsigned rests; /* how often it gave its token away */
} senders[SENDERS];

/* Ghosts. */
static unsigned left;
static bool killed;
static bool read_all;

EXPLORE_GHOST static void note_left(void)
{
    left--;
}

EXPLORE_GHOST static void note_rest(struct sender *sender)
{
    sender->rests++;
}

EXPLORE_GHOST static void note_killed(void)
{
    killed = true;
}

EXPLORE_GHOST static void note_read(void)
{
    read_all = true;
}

/* How often its token was handed over. */
EXPLORE_GHOST static unsigned handed_over(const struct troupe_actor *actor)
{
    unsigned count = 0;

    for (unsigned i = 0; i < runtime->worker_count; i++) {
        const struct trp_worker *worker = runtime->workers[i];
        uint64_t tail = *(const uint64_t *)(uintptr_t)&worker->runq.tail;

        count += *(struct troupe_actor *const *)(uintptr_t)&worker->lifo == actor;
        for (uint64_t k = *(const uint64_t *)(uintptr_t)&worker->runq.head; k != tail; k++) {
            count +=
                *(struct troupe_actor *const *)(uintptr_t)&worker->runq.slots[k % TRP_RUNQ_SLOTS] ==
                actor;
        }
    }
    return count;
}

EXPLORE_GHOST static bool goes_on(const void *context)
{
    const struct sender *sender = context;

    return handed_over(sender->actor) == sender->rests;
}

/* ---- the reader ---- */

static int receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    (void)state;
    trp_charge_give(&self->charge, 1, trp_message_weight(msg));
    return TROUPE_OK;
}

static const struct troupe_behaviour reading = {
    .name = "reader", .receive = receive, .capacity = 1, .margin = SENDERS};
static const struct troupe_behaviour sending = {.name = "sender", .receive = receive};

/* As credit(), pause_slice() and has_token_again() in worker.c do. */
static void read_once(void)
{
    bool was_offline = trp_reclaim_enter();
    struct trp_node *spent = NULL;

    stage_receive(reader);
    explore_check(trp_mailbox_park(&reader->mailbox, &reader->head, &spent));
    if ((atomic_load_explicit(&reader->waiting, memory_order_seq_cst) & TRP_WAITING_LINE) != 0) {
        trp_line_call(&runtime->workers[0]->context, reader, true);
    }
    note_read();
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

/* Whether it is killed: what a slice begins with. */
static bool heeds_kill(struct troupe_actor *actor)
{
    return (atomic_load_explicit(&actor->signals, memory_order_seq_cst) & TRP_SIGNAL_KILL) != 0;
}

/* From its handler's return until it goes on for good, or ends. */
static void be_paused(struct sender *sender)
{
    bool was_offline = trp_reclaim_enter();
    struct trp_context *context = sender->actor->context;

    while (!heeds_kill(sender->actor) && trp_pause_is_due(context, sender->actor)) {
        if (trp_pause_rest(sender->actor)) {
            note_rest(sender);
            explore_await(goes_on, sender, "to go on");
        }
    }
    trp_pause_end(context, sender->actor);
    note_left();
    trp_reclaim_leave(was_offline);
}

static void pause_1(void)
{
    be_paused(&senders[0]);
}

static void pause_2(void)
{
    be_paused(&senders[1]);
}

/* ---- who lets it go on ---- */

static void kill_1(void)
{
    bool was_offline = trp_reclaim_enter();

    trp_actor_signal(&runtime->workers[3]->context, senders[0].actor, TRP_SIGNAL_KILL);
    note_killed();
    trp_reclaim_leave(was_offline);
}

/* Its time is over, if it is armed already. */
static void ring_1(void)
{
    bool was_offline = trp_reclaim_enter();

    (void)trp_worker_fire(&runtime->workers[3]->context, runtime->workers[1], UINT64_C(1) << 50);
    trp_reclaim_leave(was_offline);
}

/* The reader begins to wait for the sender, and waits until that one goes on. */
static void wait_for_1(void)
{
    bool was_offline = trp_reclaim_enter();
    struct trp_aim aim = {.to = trp_actor_pid(senders[0].actor)};
    uint64_t number = 0;

    explore_check(trp_pressure_open(&runtime->workers[0]->context, reader, &number) == TROUPE_OK);
    explore_check(
        trp_pressure_wait(&runtime->workers[0]->context, reader, number, &aim) == TROUPE_OK);
    trp_reclaim_leave(was_offline);
}

/* ---- setups ---- */

static struct troupe_message *message(struct trp_worker *worker)
{
    struct troupe_message *msg = trp_message_new(&worker->context, &word, word.size, 0);

    explore_check(msg != NULL);
    return msg;
}

/* It has sent into the margin, and been marked for it. */
static void make_sender(struct sender *sender, struct trp_worker *worker)
{
    struct troupe_message *msg = message(worker);
    struct trp_refused one = {reader_pid, msg, msg, 1, trp_message_weight(msg)};

    *sender = (struct sender){.actor = stage_spawn(worker, &sending)};
    stage_enter(worker, sender->actor);
    explore_check(trp_pause_allows(&worker->context, sender->actor, reader, 1) == TROUPE_OK);
    explore_check(trp_send_again(&worker->context, &one, trp_actor_hard(&reading)) == TROUPE_OK);
    trp_pause_note(sender->actor, reader, 1);
    sender->pause = atomic_load(&trp_pressure_edge(sender->actor)->pause);
    worker->context.current = NULL;
}

/* The reader has begun, and its mailbox is full. */
static void set_up(void)
{
    struct trp_worker *worker;
    struct troupe_message *first;

    runtime = stage_open(WORKERS, 8);
    runtime->options.pause_max_ms = 1000;
    worker = runtime->workers[0];
    killed = read_all = false;
    left = SENDERS;
    reader = stage_spawn(worker, &reading);
    reader_pid = trp_actor_pid(reader);
    /* Made here, as most have them: otherwise a lock comes into being while others look for it. */
    explore_check(trp_pressure_need_edge(&worker->context, reader) != NULL);
    first = message(worker);
    explore_check(trp_send_charged(&worker->context, reader_pid, first, first, 1,
                      trp_message_weight(first)) == TROUPE_OK);
    for (unsigned i = 0; i < SENDERS; i++) {
        make_sender(&senders[i], runtime->workers[1 + i]);
    }
    stage_enter(worker, reader);
}

static void set_up_one(void)
{
    set_up();
    left = 1;
    trp_pause_end(&runtime->workers[2]->context, senders[1].actor);
}

/* ---- what must hold ---- */

static void check_all_gone_on(void)
{
    const struct trp_edge *edge = trp_pressure_edge(reader);

    explore_check(left == 0);
    for (unsigned i = 0; i < SENDERS; i++) {
        explore_check(handed_over(senders[i].actor) == senders[i].rests);
        explore_check(atomic_load(&senders[i].pause->state) == TRP_PAUSE_OUT);
        explore_check((atomic_load(&trp_pressure_edge(senders[i].actor)->word) & TRP_EDGE_STATE) ==
                      TRP_EDGE_NONE);
    }
    explore_check(trp_list_is_empty(&edge->paused));
    explore_check((atomic_load(&reader->waiting) & TRP_WAITING_PAUSED) == 0);
}

static void check_ended(void)
{
    explore_check(left == 0);
    explore_check(handed_over(senders[0].actor) == senders[0].rests);
    explore_check(atomic_load(&senders[0].pause->state) == TRP_PAUSE_OUT);
    trp_worker_take_returned(runtime->workers[0]);
}

static const struct explore_scenario scenarios[] = {
    {.name = "one is paused, the reader reads",
        .setup = set_up_one,
        .threads = {read_once, pause_1},
        .check = check_all_gone_on},
    {.name = "two are paused, the reader reads",
        .setup = set_up,
        .threads = {read_once, pause_1, pause_2},
        .check = check_all_gone_on,
        .deviations = 2},
    {.name = "one is paused and killed, and nobody reads",
        .setup = set_up_one,
        .threads = {kill_1, pause_1},
        .check = check_all_gone_on},
    {.name = "one is paused and killed, the reader reads",
        .setup = set_up_one,
        .threads = {read_once, pause_1, kill_1},
        .check = check_all_gone_on,
        .deviations = 2},
    {.name = "one is paused for too long, the reader reads",
        .setup = set_up_one,
        .threads = {read_once, pause_1, ring_1},
        .check = check_all_gone_on,
        .deviations = 3},
    {.name = "one is paused, the reader ends",
        .setup = set_up_one,
        .threads = {end_reader, pause_1},
        .check = check_ended},
    {.name = "one is paused and killed, the reader ends",
        .setup = set_up_one,
        .threads = {end_reader, pause_1, kill_1},
        .check = check_ended,
        .deviations = 2},
    {.name = "one is paused, the reader waits for it",
        .setup = set_up_one,
        .threads = {wait_for_1, pause_1},
        .check = check_all_gone_on},
};

static const struct explore_plant plants[] = {
    {"who stands in line does not meet the reader", &scenarios[0], "trp_mailbox_meet", EXPLORE_OR,
        0, EXPLORE_RELAX, 0, ""},
    {"who rests does not look at its signals", &scenarios[2], "trp_pause_rest", EXPLORE_LOAD, 0,
        EXPLORE_LIE, 0, ""},
    {"who rests may look at its signals first", &scenarios[2], "trp_pause_rest", EXPLORE_FENCE, 0,
        EXPLORE_FORGET, 0, ""},
    {"who sets a signal may look first whether it rests", &scenarios[2], "trp_pause_wake",
        EXPLORE_FENCE, 0, EXPLORE_FORGET, 0, ""},
    {"who sets a signal wakes whoever it finds", &scenarios[3], "trp_pause_wake", EXPLORE_SWAP, 0,
        EXPLORE_BLIND, 0, ""},
    {"who rests does not look whether it may", &scenarios[0], "trp_pause_rest", EXPLORE_SWAP, 0,
        EXPLORE_BLIND, 0, ""},
    {"who ends does not look for those that are paused", &scenarios[5], "seal", EXPLORE_LOAD, 0,
        EXPLORE_LIE, 0, ""},
    {"who stands in line does not look whether its receiver has ended", &scenarios[5], "stand",
        EXPLORE_LOAD, 0, EXPLORE_RELAX, 0, ""},
    {"who leaves keeps nobody out", &scenarios[3], "leave", EXPLORE_LOCK, 0, EXPLORE_FORGET, 0, ""},
    {"the time of a pause lets it go on a second time", &scenarios[4], "give_way", EXPLORE_SWAP, 0,
        EXPLORE_BLIND, 0, ""},
    {"who is paused may not see who waits for it", &scenarios[7], "look_from", EXPLORE_FENCE, 0,
        EXPLORE_FORGET, 0, ""},
};

EXPLORE_PART(pause, scenarios, plants);
