/* SPDX-License-Identifier: MIT */
/*
 * Trap, delivery: what a message may overtake, what a full mailbox refuses, what becomes of a message to the dead, and
 * whose an answer is.  The numbers are those of the table in README.md.
 */
#include <criterion/criterion.h>

#include "test/support/ear.h"
#include "test/support/ends.h"
#include "test/support/random.h"
#include "test/support/team.h"

/* ---- 1: a system lane that overtakes ---- */

#define RESULTS 400
#define ROUNDS 100

struct worker {
    const char *name; /* of the parent, or NULL */
    troupe_pid parent;
};

static int send_results_and_end(struct troupe_actor *self, void *arg)
{
    const struct worker *worker = arg;

    for (uint64_t i = 0; i < RESULTS; i++) {
        int error = worker->name != NULL ? troupe_send_name(self, worker->name, &ear_number, &i)
                                         : troupe_send(self, worker->parent, &ear_number, &i);

        cr_assert_eq(error, TROUPE_OK);
    }
    return troupe_fail(self, TROUPE_EPROTO, "done");
}

static int take_name(struct troupe_actor *self, void *arg)
{
    return troupe_register(self, arg);
}

static int watch(struct troupe_actor *self, void *arg)
{
    troupe_ref ref;

    return troupe_monitor(self, *(const troupe_pid *)arg, &ref);
}

static int watch_name(struct troupe_actor *self, void *arg)
{
    troupe_ref ref;

    (void)arg;
    return troupe_monitor_name(self, "trap.worker", &ref);
}

static int link_to(struct troupe_actor *self, void *arg)
{
    return troupe_link(self, *(const troupe_pid *)arg);
}

/* A watcher need not trap: then a notice that pulled its queue up, as an exit signal does, would be seen too. */
static void send_results(struct stage *stage, stage_job_fn tie, bool by_name)
{
    bool traps = tie == link_to;
    struct ear ear = {0};
    struct worker worker = {.name = by_name ? "trap.parent" : NULL};
    troupe_pid child = stage_spawn(stage, &stage_puppet, NULL);

    worker.parent = stage_spawn(stage, traps ? &ear_trapping : &ear_plain, &ear);
    cr_assert_eq(stage_do(stage, worker.parent, take_name, "trap.parent"), TROUPE_OK);
    cr_assert_eq(stage_do(stage, child, take_name, "trap.worker"), TROUPE_OK);
    cr_assert_eq(stage_do(stage, worker.parent, tie, &child), TROUPE_OK);
    stage_tell(stage, child, send_results_and_end, &worker);
    STAGE_AWAIT(stage, ear.count == 1);
    cr_assert_eq(ear.numbers_at_first, RESULTS, "%u of %u results came before the notice",
        ear.numbers_at_first, RESULTS);
    ear_close(stage, worker.parent);
    STAGE_AWAIT(stage, troupe_runtime_whereis(stage->runtime, "trap.parent") == TROUPE_NOBODY);
}

Test(trap, trap_1_results_come_before_the_end_of_who_sent_them, .timeout = 240)
{
    static const stage_job_fn ties[] = {watch, watch_name, link_to};
    struct stage stage;

    stage_open(&stage, 2);
    for (unsigned round = 0; round < ROUNDS; round++) {
        for (unsigned i = 0; i < 2 * TROUPE_COUNT(ties); i++) {
            send_results(&stage, ties[i / 2], i % 2);
        }
    }
    stage_close(&stage);
}

/* ---- 2: a full mailbox that refuses what must come ---- */

#define PEERS 1000

static const struct troupe_type tick = TROUPE_SIGNAL;

struct narrow {
    struct stage *stage;
    troupe_pid peers[PEERS];
    troupe_pid server;
    struct latch entered, open;
    _Atomic unsigned downs, exits, ticks, answers, numbers;
};

static int narrow_init(struct troupe_actor *self, void *state, const void *arg)
{
    (void)self;
    *(struct narrow **)state = (struct narrow *)(uintptr_t)arg;
    return TROUPE_OK;
}

static int narrow_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct narrow *narrow = *(struct narrow **)state;
    int status;

    if (stage_is_job(self, msg, &status)) {
        return status;
    }
    narrow->downs += troupe_is(msg, &troupe_down);
    narrow->exits += troupe_is(msg, &troupe_exited);
    narrow->ticks += troupe_is(msg, &tick);
    narrow->numbers += troupe_is(msg, &ear_number);
    return TROUPE_OK;
}

static const struct troupe_behaviour narrow_behaviour = {
    .name = "narrow",
    .state_size = sizeof(struct narrow *),
    .init = narrow_init,
    .receive = narrow_receive,
    .capacity = 1,
    .trap_exit = true,
};

static int narrow_answered(
    struct troupe_actor *self, void *state, void *context, int status, struct troupe_message *reply)
{
    struct narrow *narrow = context;

    (void)self;
    (void)state;
    (void)reply;
    cr_assert_eq(status, TROUPE_EUNANSWERED);
    narrow->answers++;
    return TROUPE_OK;
}

/* Asks for all that is reserved, then sleeps in its handler. */
static int narrow_sleep(struct troupe_actor *self, void *arg)
{
    struct narrow *narrow = arg;
    uint64_t body = 0;
    troupe_ref ref;

    for (unsigned i = 0; i < PEERS; i++) {
        cr_assert_eq(troupe_link(self, narrow->peers[i]), TROUPE_OK);
        cr_assert_eq(troupe_monitor(self, narrow->peers[i], &ref), TROUPE_OK);
    }
    cr_assert_eq(troupe_tick_after(self, 1, &tick, NULL, NULL), TROUPE_OK);
    cr_assert_eq(troupe_request(self, narrow->server, &ear_number, &body, TROUPE_FOREVER,
                     narrow_answered, narrow),
        TROUPE_OK);
    latch_hit(&narrow->entered);
    cr_assert(latch_wait(&narrow->open, 1));
    return TROUPE_OK;
}

Test(trap, trap_2_a_full_mailbox_takes_notices_signals_ticks_and_answers, .timeout = 240)
{
    static struct narrow narrow = {.entered = LATCH_INIT, .open = LATCH_INIT};
    struct stage stage;
    uint64_t body = 0;
    troupe_pid pid;

    stage_open(&stage, 2);
    narrow.stage = &stage;
    narrow.server = stage_spawn(&stage, &stage_puppet, NULL);
    for (unsigned i = 0; i < PEERS; i++) {
        narrow.peers[i] = stage_spawn(&stage, &stage_puppet, NULL);
    }
    pid = stage_spawn(&stage, &narrow_behaviour, &narrow);
    stage_tell(&stage, pid, narrow_sleep, &narrow);
    cr_assert(latch_wait(&narrow.entered, 1));
    /* The order that it sleeps in is the one message that its mailbox has room for. */
    cr_assert_eq(stage_try_send(&stage, pid, &ear_number, &body), TROUPE_EFULL);
    for (unsigned i = 0; i < PEERS; i++) {
        stage_tell(&stage, narrow.peers[i], end_with_error, NULL);
    }
    STAGE_AWAIT(&stage, stage_books(&stage).exited == PEERS);
    latch_hit(&narrow.open);
    STAGE_AWAIT(&stage,
        narrow.downs == PEERS && narrow.exits == PEERS && narrow.answers == 1 && narrow.ticks == 1);
    cr_assert_eq(narrow.numbers, 0);
    ear_close(&stage, pid);
    stage_close(&stage);
}

/* ---- 3: messages in a dead mailbox that are freed zero or two times ---- */

static _Atomic uint64_t created, destroyed;

static void count_destroyed(void *body)
{
    /* Nobody destroys a body twice. */
    cr_assert_eq(*(uint64_t *)body, 12345);
    *(uint64_t *)body = 0;
    destroyed++;
}

static const struct troupe_type counted = TROUPE_TYPE_DESTROY(uint64_t, count_destroyed);

static int swallow(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    (void)self;
    (void)state;
    (void)msg;
    return TROUPE_OK;
}

static const struct troupe_behaviour swallows = {.name = "swallows", .receive = swallow};

struct hammer {
    struct stage *stage;
    _Atomic troupe_pid target;
    _Atomic bool stop;
};

static const char *hammer_on(void *arg, unsigned index)
{
    struct hammer *hammer = arg;

    if (index == 0) {
        for (unsigned round = 0; round < 1000; round++) {
            troupe_pid target = hammer->target;

            if (troupe_runtime_exit(hammer->stage->runtime, target, TROUPE_EXIT_KILL) < 0) {
                return "the target has ended by itself";
            }
            hammer->target = stage_spawn(hammer->stage, &swallows, NULL);
            sched_yield();
        }
        hammer->stop = true;
        return NULL;
    }
    while (!hammer->stop) {
        struct troupe_message *msg;

        if (troupe_message_create(hammer->stage->runtime, &counted, 0, &msg) < 0) {
            return "no memory";
        }
        *(uint64_t *)troupe_body(msg) = 12345;
        created++;
        if (troupe_try_send(hammer->stage->runtime, hammer->target, msg) < 0) {
            troupe_message_destroy(msg);
        }
    }
    return NULL;
}

Test(trap, trap_3_a_message_to_one_that_dies_is_freed_once, .timeout = 240)
{
    struct stage stage;
    struct hammer hammer = {.stage = &stage};
    const char *complaint;

    stage_open(&stage, 2);
    hammer.target = stage_spawn(&stage, &swallows, NULL);
    complaint = team_run(4, hammer_on, &hammer);
    cr_assert_null(complaint, "%s", complaint);
    stage_close(&stage);
    cr_assert_eq(created, destroyed, "%llu were made, %llu destroyed", (unsigned long long)created,
        (unsigned long long)destroyed);
}

/* ---- 5: a pid that is used again ---- */

static int watch_dead(struct troupe_actor *self, void *arg)
{
    troupe_ref ref;

    return troupe_monitor(self, *(const troupe_pid *)arg, &ref);
}

/* One slot: each that is spawned lives where the last one did. */
Test(trap, trap_5_the_heir_of_a_slot_gets_nothing_that_was_meant_for_the_dead, .timeout = 240)
{
    struct troupe_runtime_options options = {.workers = TROUPE_NO_THREADS, .limits.actors = 2};
    struct ear ear = {0};
    struct ear watcher_ear = {0};
    struct stage stage;
    uint64_t body = 0;
    troupe_pid watcher;
    troupe_pid old = TROUPE_NOBODY;
    troupe_pid pid = TROUPE_NOBODY;

    stage_open_with(&stage, &options);
    watcher = stage_spawn(&stage, &ear_plain, &watcher_ear);
    for (unsigned round = 0; round < 200; round++) {
        STAGE_AWAIT(&stage, stage_try_spawn(&stage, &ear_plain, &ear, &pid) == TROUPE_OK);
        cr_assert_neq(pid, old);
        if (old != TROUPE_NOBODY) {
            cr_assert_eq(old << 36, pid << 36, "it is not the same slot");
            cr_assert_eq(stage_try_send(&stage, old, &ear_number, &body), TROUPE_EGONE);
            cr_assert_eq(troupe_runtime_exit(stage.runtime, old, TROUPE_EXIT_KILL), TROUPE_EGONE);
            cr_assert_eq(stage_do(&stage, watcher, watch_dead, &old), TROUPE_OK);
            cr_assert_eq(watcher_ear.notes[0].kind, TROUPE_EXIT_NOPROC);
            watcher_ear.count = 0;
        }
        cr_assert_eq(stage_do(&stage, pid, watch_dead, &watcher), TROUPE_OK);
        stage_tell(&stage, pid, end_normally, NULL);
        stage_run(&stage);
        old = pid;
    }
    cr_assert_eq(ear.numbers + ear.count, 0);
    stage_close(&stage);
}

/* ---- 9: a late answer that is matched with a new request ---- */

#define ASKED 64

struct asking {
    troupe_pid server;
    unsigned in_time, late;
    unsigned rounds;
    uint64_t number;
    uint64_t pending[ASKED]; /* what each waits for; 0: nothing */
};

static const struct troupe_type question = TROUPE_TYPE(uint64_t);
static const struct troupe_type answer_now = TROUPE_SIGNAL;

struct server {
    unsigned held_count;
    struct troupe_message *held[4 * ASKED];
    bool armed;
};

static void server_answer(struct troupe_actor *self, struct server *server)
{
    for (unsigned i = 0; i < server->held_count; i++) {
        uint64_t number = *(const uint64_t *)troupe_body(server->held[i]);

        cr_assert_eq(troupe_reply(self, server->held[i], &question, &number), TROUPE_OK);
        troupe_message_destroy(server->held[i]);
    }
    server->held_count = 0;
    server->armed = false;
}

/* What is asked in all. */
#define QUESTIONS 20000

/* Holds each question until its deadline. */
static int server_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct server *server = state;

    if (troupe_is(msg, &answer_now) || server->held_count == TROUPE_COUNT(server->held)) {
        server_answer(self, server);
    }
    if (!troupe_is(msg, &question)) {
        return TROUPE_OK;
    }
    TROUPE_TRY(troupe_take(self, msg, &server->held[server->held_count]));
    server->held_count++;
    if (!server->armed) {
        server->armed = true;
        return troupe_tick_after(self, 1, &answer_now, NULL, NULL);
    }
    return TROUPE_OK;
}

/* Has room for all: a machine that does not let it run for some milliseconds leaves it with questions whose time is up,
 * and who asks is not to be refused for that. */
static const struct troupe_behaviour server_behaviour = {.name = "server",
    .state_size = sizeof(struct server),
    .receive = server_receive,
    .capacity = QUESTIONS + ASKED};

static struct asking asking;
static struct latch asked_enough = LATCH_INIT;

static int ask(struct troupe_actor *self, unsigned slot);

static int answered(
    struct troupe_actor *self, void *state, void *context, int status, struct troupe_message *reply)
{
    unsigned slot = (unsigned)(uintptr_t)context;
    uint64_t expected = asking.pending[slot];

    (void)state;
    cr_assert_neq(expected, 0, "a second outcome of one request");
    asking.pending[slot] = 0;
    if (status == TROUPE_OK) {
        cr_assert_eq(*(const uint64_t *)troupe_body(reply), expected, "the answer to another");
        asking.in_time++;
    } else {
        /* Expired: nobody came to handle it in time. */
        cr_assert(status == TROUPE_ETIMEDOUT || status == TROUPE_EEXPIRED, "%d", status);
        asking.late++;
    }
    if (asking.rounds == 0) {
        latch_hit(&asked_enough);
        return TROUPE_OK;
    }
    asking.rounds--;
    return ask(self, slot);
}

static int ask(struct troupe_actor *self, unsigned slot)
{
    uint64_t number = ++asking.number;

    asking.pending[slot] = number;
    return troupe_request(
        self, asking.server, &question, &number, 1, answered, (void *)(uintptr_t)slot);
}

static int ask_all(struct troupe_actor *self, void *arg)
{
    (void)arg;
    for (unsigned slot = 0; slot < ASKED; slot++) {
        cr_assert_eq(ask(self, slot), TROUPE_OK);
    }
    return TROUPE_OK;
}

Test(trap, trap_9_an_answer_at_the_deadline_is_the_answer_to_its_own_request, .timeout = 240)
{
    struct stage stage;

    stage_open(&stage, 2);
    asking.rounds = QUESTIONS;
    asking.server = stage_spawn(&stage, &server_behaviour, NULL);
    stage_tell(&stage, stage_spawn(&stage, &stage_puppet, NULL), ask_all, NULL);
    cr_assert(latch_wait(&asked_enough, ASKED));
    cr_assert_gt(asking.late, 0, "no answer was late: nothing was tried");
    stage_close(&stage);
}
