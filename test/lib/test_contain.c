/* SPDX-License-Identifier: MIT */
/* Contain: a memory fault ends its actor, or says whose it was (semantics 1.2, the row of SIGSEGV). */
#include <signal.h>
#include <sys/wait.h>

#include "test/support/crash.h"
#include "test/support/stage.h"

/* ---- an actor that crashes where it is told to ---- */

enum place {
    PLACE_HANDLER,
    PLACE_INIT,
    PLACE_CONTINUATION,
    PLACE_WAITING_HANDLER, /* may wait, and has not */
    PLACE_WAITED_HANDLER,  /* has waited */
    PLACE_WAITING_INIT,
    PLACE_MAIN,
    PLACE_WAITED_MAIN,
    PLACES,
};

struct victim {
    void (*crash)(void);
    enum place place;
    _Atomic unsigned callbacks; /* that none may be called of */
    _Atomic unsigned bodies;    /* destroyed */
};

static void count(void *arg)
{
    ((struct victim *)arg)->callbacks++;
}

static void body_destroy(void *body)
{
    (*(struct victim **)body)->bodies++;
}

static const struct troupe_type question = TROUPE_SIGNAL;
static const struct troupe_type crash_now = TROUPE_TYPE_DESTROY(struct victim *, body_destroy);

static int on_no_answer(
    struct troupe_actor *self, void *state, void *context, int status, struct troupe_message *reply)
{
    struct victim *victim = context;

    (void)self;
    (void)state;
    (void)status;
    (void)reply;
    victim->crash();
    return TROUPE_OK;
}

static int victim_init(struct troupe_actor *self, void *state, const void *arg)
{
    struct victim *victim = (struct victim *)(uintptr_t)arg;

    *(struct victim **)state = victim;
    TROUPE_TRY(troupe_defer(self, count, victim));
    if (victim->place == PLACE_WAITING_INIT) {
        TROUPE_TRY(troupe_yield(self));
    }
    if (victim->place == PLACE_INIT || victim->place == PLACE_WAITING_INIT) {
        victim->crash();
    }
    return TROUPE_OK;
}

static int victim_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct victim *victim = *(struct victim **)state;

    if (victim->place == PLACE_WAITED_HANDLER) {
        TROUPE_TRY(troupe_sleep(self, 1));
    }
    if (victim->place == PLACE_CONTINUATION) {
        /* It asks itself, and does not answer. */
        return troupe_is_request(msg) ? TROUPE_OK
                                      : troupe_request(self, troupe_self(self), &question, NULL,
                                            TROUPE_FOREVER, on_no_answer, victim);
    }
    victim->crash();
    return TROUPE_OK;
}

static int victim_main(struct troupe_actor *self, const void *arg)
{
    struct victim *victim = (struct victim *)(uintptr_t)arg;
    struct troupe_message *msg;

    TROUPE_TRY(troupe_defer(self, count, victim));
    if (victim->place == PLACE_WAITED_MAIN) {
        TROUPE_TRY(troupe_receive(self, TROUPE_FOREVER, &msg));
    }
    victim->crash();
    return TROUPE_OK;
}

static void victim_terminate(
    struct troupe_actor *self, void *state, const struct troupe_reason *reason)
{
    (void)self;
    (void)reason;
    count(*(struct victim **)state);
}

static void victim_destroy(void *state)
{
    count(*(struct victim **)state);
}

static const struct troupe_behaviour handler = {
    .name = "handler",
    .state_size = sizeof(struct victim *),
    .init = victim_init,
    .receive = victim_receive,
    .terminate = victim_terminate,
    .destroy = victim_destroy,
    .capacity = STAGE_ROOM,
};

static const struct troupe_behaviour waiting_handler = {
    .name = "waiting handler",
    .state_size = sizeof(struct victim *),
    .init = victim_init,
    .receive = victim_receive,
    .terminate = victim_terminate,
    .destroy = victim_destroy,
    .may_wait = true,
    .capacity = STAGE_ROOM,
};

static const struct troupe_behaviour fiber = {
    .name = "fiber",
    .main = victim_main,
    .capacity = STAGE_ROOM,
};

static const struct troupe_behaviour *behaviour_at(enum place place)
{
    if (place >= PLACE_MAIN) {
        return &fiber;
    }
    return place >= PLACE_WAITING_HANDLER ? &waiting_handler : &handler;
}

static const struct {
    void (*crash)(void);
    const char *text;
} crashes[] = {
    {crash_by_read, "SIGSEGV: a read of 0x10, by "},
    {crash_by_write, "SIGSEGV: a write to 0x20, by "},
    {crash_by_call, "SIGSEGV: a call of 0x0, by "},
    {crash_by_far_read, "SIGSEGV: a read of 0x"},
    {crash_by_bus, "SIGBUS: a read of 0x"},
    {crash_by_recursion, "SIGSEGV: its "},
#ifdef __x86_64__
    {crash_by_division, "SIGFPE: arithmetic that has no result, by "},
    {crash_by_instruction, "SIGILL: an instruction that there is not, by "},
#endif
};

static void stage_open_contained(struct stage *stage, int workers)
{
    stage_open_with(stage,
        &(struct troupe_runtime_options){.workers = workers, .faults = TROUPE_FAULTS_CONTAIN});
}

/* ---- every crash, everywhere ---- */

static void crash_once(struct stage *stage, unsigned crash, enum place place)
{
    struct victim victim = {.crash = crashes[crash].crash, .place = place};
    struct victim *body = &victim;
    troupe_pid pid = TROUPE_NOBODY;
    struct stage_end end;

    /* It begins when it is told to, so that its end is seen. */
    if (place == PLACE_INIT || place == PLACE_WAITING_INIT || place == PLACE_MAIN) {
        unsigned before = stage_reports(stage, TROUPE_REPORT_FAILURE);

        pid = stage_spawn(stage, behaviour_at(place), &victim);
        STAGE_AWAIT(stage, stage_reports(stage, TROUPE_REPORT_FAILURE) == before + 1);
        cr_assert_eq(stage->reason[TROUPE_REPORT_FAILURE].code, TROUPE_ECRASHED);
        cr_assert_neq(strstr(stage->text[TROUPE_REPORT_FAILURE], crashes[crash].text), NULL);
    } else {
        pid = stage_spawn(stage, behaviour_at(place), &victim);
        stage_watch(stage, pid, &end);
        stage_send(stage, pid, &crash_now, &body);
        STAGE_AWAIT(stage, end.count == 1);
        cr_assert_eq(end.kind, TROUPE_EXIT_ERROR);
        cr_assert_eq(end.code, TROUPE_ECRASHED, "place %d: %d", (int)place, end.code);
        cr_assert_eq(strncmp(end.text, crashes[crash].text, strlen(crashes[crash].text)), 0,
            "place %d: %s", (int)place, end.text);
    }
    STAGE_AWAIT(stage, !troupe_is_alive(stage->runtime, pid));
    cr_assert_eq(victim.callbacks, 0, "place %d", (int)place);
}

static void crash_everywhere(int workers)
{
    struct stage stage;

    stage_open_contained(&stage, workers);
    for (unsigned crash = 0; crash < TROUPE_COUNT(crashes); crash++) {
        for (unsigned place = 0; place < PLACES; place++) {
            crash_once(&stage, crash, (enum place)place);
        }
    }
    stage_close(&stage);
}

/* 1.2: no callback of that actor runs again, its supervisor and watchers are told, and the worker goes on. */
Test(contain, every_crash_ends_its_actor_only, .timeout = 110)
{
    crash_everywhere(1);
}

Test(contain, also_in_turns, .timeout = 110)
{
    crash_everywhere(TROUPE_NO_THREADS);
}

/* ---- what belonged to it ---- */

Test(contain, the_body_in_hand_is_left_alone_and_those_queued_are_destroyed, .timeout = 60)
{
    struct victim victim = {.crash = crash_by_read, .place = PLACE_HANDLER};
    struct victim *body = &victim;
    struct troupe_books books;
    struct stage stage;
    troupe_pid pid;

    stage_open_contained(&stage, TROUPE_NO_THREADS);
    pid = stage_spawn(&stage, &handler, &victim);
    for (unsigned i = 0; i < 3; i++) {
        stage_send(&stage, pid, &crash_now, &body);
    }
    stage_run(&stage);
    cr_assert_eq(victim.bodies, 2);
    books = stage_books(&stage);
    cr_assert_eq(books.handled, 1);
    cr_assert_eq(books.dead, 2);
    cr_assert_eq(books.failures, 1);
    stage_close(&stage);
}

/* ---- in the middle of a flow ---- */

struct drinker {
    struct victim victim;
    struct troupe_flow flow;
    unsigned received;
    int left_status;
};

static int crash_at_second(struct troupe_actor *self, void *state, void *context,
    troupe_subscription subscription, struct troupe_message *item)
{
    struct drinker *drinker = context;

    (void)self;
    (void)state;
    (void)subscription;
    (void)item;
    if (++drinker->received == 2) {
        drinker->victim.crash();
    }
    return TROUPE_OK;
}

static int do_drink(struct troupe_actor *self, void *arg)
{
    struct drinker *drinker = arg;
    struct troupe_subscribe_options options = {.on_item = crash_at_second, .context = drinker};
    troupe_subscription subscription;

    return troupe_flow_subscribe(self, drinker->flow, &options, &subscription);
}

static int on_left(struct troupe_actor *self, void *state, void *context, struct troupe_flow flow,
    troupe_pid subscriber, int status, uint32_t left)
{
    (void)self;
    (void)state;
    (void)flow;
    (void)subscriber;
    (void)left;
    ((struct drinker *)context)->left_status = status;
    return TROUPE_OK;
}

static int do_offer(struct troupe_actor *self, void *arg)
{
    struct drinker *drinker = arg;
    struct troupe_flow_options options = {
        .type = &crash_now, .on_left = on_left, .context = drinker};

    return troupe_flow_offer(self, &options, &drinker->flow);
}

static int do_pour(struct troupe_actor *self, void *arg)
{
    struct drinker *drinker = arg;
    struct victim *body = &drinker->victim;

    for (unsigned i = 0; i < 5; i++) {
        TROUPE_TRY(troupe_flow_put(self, drinker->flow, &body));
    }
    return TROUPE_OK;
}

Test(contain,
    a_subscriber_that_crashes_leaves_its_flow_and_but_for_the_item_in_hand_all_are_destroyed,
    .timeout = 60)
{
    struct drinker drinker = {.victim = {.crash = crash_by_read}};
    struct stage stage;
    troupe_pid producer;

    stage_open_contained(&stage, TROUPE_NO_THREADS);
    producer = stage_spawn(&stage, &stage_puppet, NULL);
    cr_assert_eq(stage_do(&stage, producer, do_offer, &drinker), TROUPE_OK);
    cr_assert_eq(
        stage_do(&stage, stage_spawn(&stage, &stage_puppet, NULL), do_drink, &drinker), TROUPE_OK);
    stage_run(&stage);
    cr_assert_eq(stage_do(&stage, producer, do_pour, &drinker), TROUPE_OK);
    stage_run(&stage);
    cr_assert_eq(drinker.received, 2);
    cr_assert_eq(drinker.victim.bodies, 4);
    cr_assert_eq(drinker.left_status, TROUPE_EDIED);
    stage_close(&stage);
}

Test(contain, who_asked_is_answered, .timeout = 60)
{
    struct victim victim = {.crash = crash_by_read, .place = PLACE_HANDLER};
    struct stage stage;
    int status;

    stage_open_contained(&stage, 1);
    status = troupe_runtime_call(stage.runtime, stage_spawn(&stage, &handler, &victim), &question,
        NULL, &question, NULL, TROUPE_FOREVER);
    cr_assert_eq(status, TROUPE_EDIED);
    victim.place = PLACE_WAITED_HANDLER;
    status = troupe_runtime_call(stage.runtime, stage_spawn(&stage, &waiting_handler, &victim),
        &question, NULL, &question, NULL, TROUPE_FOREVER);
    cr_assert_eq(status, TROUPE_EDIED);
    stage_close(&stage);
}

/* ---- the callbacks of its end ---- */

struct finale {
    void (*in_terminate)(void);
    void (*in_cleanup)(void);
    void (*in_destroy)(void);
    unsigned reached; /* the callback of this number, from 1 */
};

static void finale_cleanup(void *arg)
{
    struct finale *finale = arg;

    finale->reached = 2;
    if (finale->in_cleanup != NULL) {
        finale->in_cleanup();
    }
}

static int finale_init(struct troupe_actor *self, void *state, const void *arg)
{
    *(struct finale **)state = (struct finale *)(uintptr_t)arg;
    return troupe_defer(self, finale_cleanup, *(struct finale **)state);
}

static int finale_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    (void)self;
    (void)state;
    (void)msg;
    return TROUPE_DONE;
}

static void finale_terminate(
    struct troupe_actor *self, void *state, const struct troupe_reason *reason)
{
    struct finale *finale = *(struct finale **)state;

    (void)self;
    (void)reason;
    finale->reached = 1;
    if (finale->in_terminate != NULL) {
        finale->in_terminate();
    }
}

static void finale_destroy(void *state)
{
    struct finale *finale = *(struct finale **)state;

    finale->reached = 3;
    if (finale->in_destroy != NULL) {
        finale->in_destroy();
    }
}

static const struct troupe_behaviour finale_behaviour = {
    .name = "finale",
    .state_size = sizeof(struct finale *),
    .init = finale_init,
    .receive = finale_receive,
    .terminate = finale_terminate,
    .destroy = finale_destroy,
};

static void play_finale(struct finale *finale, unsigned reached)
{
    struct stage_end end;
    struct stage stage;
    troupe_pid pid;

    stage_open_contained(&stage, TROUPE_NO_THREADS);
    pid = stage_spawn(&stage, &finale_behaviour, finale);
    stage_watch(&stage, pid, &end);
    stage_send(&stage, pid, &question, NULL);
    STAGE_AWAIT(&stage, end.count == 1);
    cr_assert_eq(end.code, TROUPE_ECRASHED);
    cr_assert_eq(finale->reached, reached);
    stage_close(&stage);
}

/* 5.10: if terminate itself crashes, its reason replaces the original. */
Test(contain, a_crash_while_it_ends_is_why_it_ended_and_the_rest_is_left_out, .timeout = 60)
{
    play_finale(&(struct finale){.in_terminate = crash_by_read}, 1);
    play_finale(&(struct finale){.in_cleanup = crash_by_write}, 2);
    play_finale(&(struct finale){.in_destroy = crash_by_recursion}, 3);
}

/* ---- supervised ---- */

static _Atomic unsigned lives;

static int phoenix_init(struct troupe_actor *self, void *state, const void *arg)
{
    (void)self;
    (void)state;
    (void)arg;
    lives++;
    return TROUPE_OK;
}

static int phoenix_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    (void)self;
    (void)state;
    if (!troupe_is_request(msg)) {
        crash_by_write();
    }
    return troupe_reply(self, msg, &question, NULL);
}

static const struct troupe_behaviour phoenix = {
    .name = "phoenix", .init = phoenix_init, .receive = phoenix_receive};

static enum troupe_directive resume(void *context, const struct troupe_reason *reason)
{
    (void)context;
    (void)reason;
    return TROUPE_DECIDE_RESUME;
}

/* Its state may be half written: it is not asked whether it goes on as it is. */
Test(contain, a_supervisor_restarts_what_crashed, .timeout = 60)
{
    struct troupe_child_spec child = {.id = "phoenix",
        .behaviour = &phoenix,
        .keep_mailbox = true,
        .decide = resume,
        .may_resume = true};
    struct troupe_supervisor_spec spec = {
        .name = "nest", .children = &child, .child_count = 1, .intensity = 100};
    struct stage stage;
    troupe_pid supervisor;
    troupe_pid pid = TROUPE_NOBODY;

    stage_open_contained(&stage, 2);
    cr_assert_eq(
        troupe_supervisor_start(stage.runtime, &spec, TROUPE_FOREVER, &supervisor), TROUPE_OK);
    pid = troupe_runtime_whereis(stage.runtime, "nest.phoenix");
    for (unsigned i = 0; i < 20; i++) {
        stage_send(&stage, pid, &question, NULL);
        cr_assert_eq(troupe_runtime_call(
                         stage.runtime, pid, &question, NULL, &question, NULL, TROUPE_FOREVER),
            TROUPE_OK);
    }
    cr_assert_eq(lives, 21);
    cr_assert_eq(stage_books(&stage).restarts, 20);
    stage_close(&stage);
}

/* ---- many ---- */

/* Each begins the next one: what they leave behind is what one leaves behind. */
#define MANY 10000

Test(contain, thousands_of_crashes_leave_nothing_behind, .timeout = 110)
{
    struct victim victim = {.crash = crash_by_write, .place = PLACE_HANDLER};
    struct victim *body = &victim;
    struct stage stage;

    stage_open_contained(&stage, TROUPE_NO_THREADS);
    for (unsigned i = 0; i < MANY; i++) {
        bool waits = i % 2 == 1;

        victim.place = waits ? PLACE_WAITING_HANDLER : PLACE_HANDLER;
        stage_send(&stage, stage_spawn(&stage, waits ? &waiting_handler : &handler, &victim),
            &crash_now, &body);
        stage_run(&stage);
    }
    /* When their grace periods are over. */
    STAGE_AWAIT(&stage, stage.memory.blocks < 100);
    cr_assert_eq(stage_books(&stage).failures, MANY);
    cr_assert_eq(victim.callbacks, 0);
    stage_close(&stage);
}

/* ---- event managers ---- */

static int listener_init(struct troupe_actor *self, void *state, const void *arg, void *old)
{
    (void)self;
    (void)old;
    *(struct victim **)state = (struct victim *)(uintptr_t)arg;
    return TROUPE_OK;
}

static int listener_event(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    (void)self;
    (void)msg;
    (*(struct victim **)state)->crash();
    return TROUPE_OK;
}

static void listener_terminate(struct troupe_actor *self, void *state, enum troupe_handler_end end,
    const struct troupe_reason *reason)
{
    (void)self;
    (void)end;
    (void)reason;
    count(*(struct victim **)state);
}

static void listener_destroy(void *state)
{
    count(*(struct victim **)state);
}

static const struct troupe_handler listener = {
    .name = "listener",
    .state_size = sizeof(struct victim *),
    .init = listener_init,
    .event = listener_event,
    .terminate = listener_terminate,
    .destroy = listener_destroy,
};

static const struct troupe_behaviour manager = TROUPE_EVENTS("manager");

struct addition {
    troupe_pid manager;
    struct victim *victim;
};

static int on_added(
    struct troupe_actor *self, void *state, void *context, int status, struct troupe_message *reply)
{
    (void)self;
    (void)state;
    (void)context;
    (void)reply;
    return status;
}

static int add_listener(struct troupe_actor *self, void *arg)
{
    const struct addition *addition = arg;

    return troupe_events_add(self, addition->manager,
        &(struct troupe_handler_options){.id = {.handler = &listener}, .arg = addition->victim},
        TROUPE_FOREVER, on_added, NULL);
}

/* troupe_exit() in a handler ends the handler; a crash is the manager's. */
Test(contain, a_crash_in_a_handler_of_events_ends_their_manager, .timeout = 60)
{
    struct victim victim = {.crash = crash_by_read};
    struct addition addition = {.victim = &victim};
    struct stage_end end;
    struct stage stage;

    stage_open_contained(&stage, TROUPE_NO_THREADS);
    addition.manager = stage_spawn(&stage, &manager, NULL);
    stage_watch(&stage, addition.manager, &end);
    cr_assert_eq(
        stage_do(&stage, stage_spawn(&stage, &stage_puppet, NULL), add_listener, &addition),
        TROUPE_OK);
    stage_run(&stage);
    stage_send(&stage, addition.manager, &question, NULL);
    STAGE_AWAIT(&stage, end.count == 1);
    cr_assert_eq(end.code, TROUPE_ECRASHED);
    cr_assert_eq(victim.callbacks, 0);
    stage_close(&stage);
}

/* ---- the process's handlers ---- */

static void on_signal_before(int signal)
{
    (void)signal;
    /* What it was called for must not be lost. */
    _exit(42);
}

static bool is_handler(int signal, void (*handler_of_signal)(int))
{
    struct sigaction now;

    cr_assert_eq(sigaction(signal, NULL, &now), 0);
    return now.sa_handler == handler_of_signal;
}

static struct troupe_runtime *runtime_of(enum troupe_faults faults)
{
    struct troupe_runtime_options options = {.workers = 1, .faults = faults};
    struct troupe_runtime *runtime = NULL;

    cr_assert_eq(troupe_runtime_create(&options, &runtime), TROUPE_OK);
    return runtime;
}

Test(contain, the_last_runtime_puts_back_the_handlers_that_were_there, .timeout = 60)
{
    struct troupe_runtime *left;
    struct troupe_runtime *first;
    struct troupe_runtime *second;

    signal(SIGSEGV, on_signal_before);
    left = runtime_of(TROUPE_FAULTS_LEAVE);
    cr_assert(is_handler(SIGSEGV, on_signal_before));
    first = runtime_of(TROUPE_FAULTS_CONTAIN);
    cr_assert_not(is_handler(SIGSEGV, on_signal_before));
    second = runtime_of(TROUPE_FAULTS_TELL);
    cr_assert_eq(troupe_runtime_destroy(first), TROUPE_OK);
    cr_assert_not(is_handler(SIGSEGV, on_signal_before));
    cr_assert_eq(troupe_runtime_destroy(second), TROUPE_OK);
    cr_assert(is_handler(SIGSEGV, on_signal_before));
    cr_assert_eq(troupe_runtime_destroy(left), TROUPE_OK);
}

Test(contain, a_handler_that_somebody_has_put_in_front_stays, .timeout = 60)
{
    struct troupe_runtime *runtime = runtime_of(TROUPE_FAULTS_CONTAIN);

    signal(SIGBUS, on_signal_before);
    cr_assert_eq(troupe_runtime_destroy(runtime), TROUPE_OK);
    cr_assert(is_handler(SIGBUS, on_signal_before));
}

Test(contain, of_two_runtimes_each_contains_its_own, .timeout = 60)
{
    struct victim victim = {.crash = crash_by_read, .place = PLACE_HANDLER};
    struct stage stages[2];

    for (unsigned i = 0; i < 2; i++) {
        stage_open_contained(&stages[i], 1);
    }
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned i = round; i < 2; i++) {
            crash_once(&stages[i], 0, PLACE_HANDLER);
            crash_once(&stages[i], 0, PLACE_WAITED_MAIN);
        }
        stage_close(&stages[round]);
    }
    cr_assert_eq(victim.callbacks, 0);
}

/* ---- what is not contained: in a process of its own ---- */

/* Under the thread sanitizer a child of fork() starts no threads. */
#ifndef TRP_TSAN

struct death {
    int status;
    char text[8192]; /* what it said */
};

/* Runs `play` in a child, which is not expected to come back. */
static void die(void (*play)(void), struct death *death)
{
    size_t length = 0;
    ssize_t got;
    int ends[2];
    pid_t child;

    cr_assert_eq(pipe(ends), 0);
    child = fork();
    if (child == 0) {
        dup2(ends[1], STDERR_FILENO);
        close(ends[0]);
        close(ends[1]);
        crash_is_meant();
        /* If containment forgets to end it. */
        alarm(60);
        play();
        _exit(0);
    }
    cr_assert_gt(child, 0);
    close(ends[1]);
    do {
        got = read(ends[0], death->text + length, sizeof death->text - 1 - length);
        length += got > 0 ? (size_t)got : 0;
    } while (got > 0);
    death->text[length] = '\0';
    close(ends[0]);
    cr_assert_eq(waitpid(child, &death->status, 0), child);
}

/* A sanitizer that was there first ends the process in its own way. */
static bool was_killed(const struct death *death, int signal)
{
    return (WIFSIGNALED(death->status) && WTERMSIG(death->status) == signal) ||
           (WIFEXITED(death->status) && strstr(death->text, "Sanitizer") != NULL);
}

static void play_one(const struct troupe_runtime_options *options,
    const struct troupe_behaviour *behaviour, struct victim *victim)
{
    struct troupe_spawn_options spawn = {.behaviour = behaviour, .arg = victim};
    struct troupe_runtime *runtime;
    struct troupe_message *msg;
    troupe_pid pid;
    int wait_ms;

    if (troupe_runtime_create(options, &runtime) < 0 || troupe_runtime_start(runtime) < 0 ||
        troupe_runtime_spawn(runtime, &spawn, &pid) < 0 ||
        troupe_message_create(runtime, &crash_now, 0, &msg) < 0) {
        _exit(3);
    }
    *(struct victim **)troupe_body(msg) = victim;
    /* A main function crashes by itself. */
    if (behaviour->main == NULL && troupe_try_send(runtime, pid, msg) < 0) {
        _exit(3);
    }
    while (options->workers != TROUPE_NO_THREADS) {
        sleep(1);
    }
    if (troupe_runtime_turn(runtime, 1000, &wait_ms) < 0) {
        _exit(3);
    }
}

static void play_contained(void (*crash)(void))
{
    static struct victim victim;

    victim.crash = crash;
    play_one(&(struct troupe_runtime_options){.workers = 1, .faults = TROUPE_FAULTS_CONTAIN},
        &handler, &victim);
}

static void play_wild_write(void)
{
    play_contained(crash_by_wild_write);
}

static void crash_in_the_runtime(void)
{
    crash_sink = troupe_message_type((const struct troupe_message *)(crash_nowhere + 8)) != NULL;
}

static void play_in_the_runtime(void)
{
    play_contained(crash_in_the_runtime);
}

static void play_in_the_library(void)
{
    play_contained(crash_by_strlen);
}

static void crash_in_destroy(void *body)
{
    (void)body;
    crash_by_read();
}

static const struct troupe_type deadly = TROUPE_TYPE_DESTROY(int, crash_in_destroy);

static int deadly_main(struct troupe_actor *self, const void *arg)
{
    int body = 0;

    (void)arg;
    TROUPE_TRY(troupe_send(self, troupe_self(self), &deadly, &body));
    return TROUPE_OK;
}

static const struct troupe_behaviour deadly_fiber = {.name = "deadly", .main = deadly_main};

/* Its message is destroyed when it has ended. */
static void play_in_a_callout(void)
{
    play_one(&(struct troupe_runtime_options){.workers = 1, .faults = TROUPE_FAULTS_CONTAIN},
        &deadly_fiber, NULL);
}

Test(contain, a_wild_write_ends_the_process_and_says_whose_it_was, .timeout = 90)
{
    struct death death;

    die(play_wild_write, &death);
    cr_assert(was_killed(&death, SIGSEGV), "%d: %s", death.status, death.text);
    cr_assert_neq(strstr(death.text, "troupe: SIGSEGV: a write to 0x"), NULL, "%s", death.text);
    cr_assert_neq(strstr(death.text, "not contained: it is a wild write"), NULL, "%s", death.text);
    cr_assert_neq(strstr(death.text, "in actor handler, pid "), NULL, "%s", death.text);
    cr_assert_neq(strstr(death.text, ", handling struct victim *"), NULL, "%s", death.text);
    cr_assert_neq(strstr(death.text, "last messages, 1: handler, pid "), NULL, "%s", death.text);
}

Test(contain, a_crash_in_the_runtime_ends_the_process, .timeout = 90)
{
    struct death death;

    die(play_in_the_runtime, &death);
    cr_assert(was_killed(&death, SIGSEGV), "%d: %s", death.status, death.text);
    cr_assert_neq(
        strstr(death.text, "not contained: it is in the runtime"), NULL, "%s", death.text);
}

Test(contain, a_crash_in_the_c_library_ends_the_process, .timeout = 90)
{
    struct death death;

    die(play_in_the_library, &death);
    cr_assert(was_killed(&death, SIGSEGV), "%d: %s", death.status, death.text);
    cr_assert_neq(strstr(death.text, "another library"), NULL, "%s", death.text);
}

Test(contain, a_crash_in_what_destroys_a_body_ends_the_process, .timeout = 90)
{
    struct death death;

    die(play_in_a_callout, &death);
    cr_assert(was_killed(&death, SIGSEGV), "%d: %s", death.status, death.text);
    cr_assert_neq(
        strstr(death.text, "the runtime is in the middle of something"), NULL, "%s", death.text);
}

#ifdef __x86_64__

static void play_no_address(void)
{
    play_contained(crash_by_no_address);
}

Test(contain, what_the_processor_does_not_tell_is_not_guessed, .timeout = 90)
{
    struct death death;

    die(play_no_address, &death);
    cr_assert(was_killed(&death, SIGSEGV), "%d: %s", death.status, death.text);
    cr_assert_neq(strstr(death.text, "an address that no memory can have"), NULL);
}

#endif

/* ---- told, and left ---- */

static struct victim deep = {.crash = crash_by_recursion};

static void play_overflow(void)
{
    play_one(&(struct troupe_runtime_options){.workers = 1}, &waiting_handler, &deep);
}

static void play_overflow_of_thread(void)
{
    play_one(&(struct troupe_runtime_options){.workers = 1}, &handler, &deep);
}

static void play_overflow_in_turn(void)
{
    play_one(
        &(struct troupe_runtime_options){.workers = TROUPE_NO_THREADS}, &waiting_handler, &deep);
}

Test(contain, by_default_a_stack_that_is_used_up_is_told, .timeout = 90)
{
    struct death death;

    die(play_overflow, &death);
    cr_assert(was_killed(&death, SIGSEGV), "%d: %s", death.status, death.text);
    cr_assert_neq(
        strstr(death.text, "its stack of 61440 bytes is used up"), NULL, "%s", death.text);
    cr_assert_neq(strstr(death.text, "larger `stack_size`"), NULL, "%s", death.text);
    cr_assert_neq(strstr(death.text, "in actor waiting handler"), NULL, "%s", death.text);
    die(play_overflow_of_thread, &death);
    cr_assert(was_killed(&death, SIGSEGV), "%d: %s", death.status, death.text);
    cr_assert_neq(strstr(death.text, "its worker's stack of "), NULL, "%s", death.text);
    cr_assert_neq(strstr(death.text, "in actor handler"), NULL, "%s", death.text);
    die(play_overflow_in_turn, &death);
    cr_assert_neq(
        strstr(death.text, "its stack of 61440 bytes is used up"), NULL, "%s", death.text);
}

static void play_left(void)
{
    static struct victim victim = {.crash = crash_by_read};

    play_one(&(struct troupe_runtime_options){.workers = 1, .faults = TROUPE_FAULTS_LEAVE},
        &handler, &victim);
}

Test(contain, what_is_left_is_left, .timeout = 90)
{
    struct death death;

    die(play_left, &death);
    cr_assert_neq(death.status, 0);
    cr_assert_eq(strstr(death.text, "troupe: "), NULL, "%s", death.text);
}

/* ---- the handler that was there before ---- */

static void play_chained(void)
{
    signal(SIGSEGV, on_signal_before);
    play_wild_write();
}

static void *crash_in_thread(void *arg)
{
    (void)arg;
    crash_by_read();
    return NULL;
}

static void play_foreign(void)
{
    struct troupe_runtime_options options = {.faults = TROUPE_FAULTS_CONTAIN};
    struct troupe_runtime *runtime;
    pthread_t thread;

    signal(SIGSEGV, on_signal_before);
    if (troupe_runtime_create(&options, &runtime) == TROUPE_OK &&
        troupe_runtime_start(runtime) == TROUPE_OK) {
        pthread_create(&thread, NULL, crash_in_thread, NULL);
        pthread_join(thread, NULL);
    }
}

static void play_sent(void)
{
    struct troupe_runtime_options options = {.faults = TROUPE_FAULTS_CONTAIN};
    struct troupe_runtime *runtime;

    signal(SIGFPE, on_signal_before);
    if (troupe_runtime_create(&options, &runtime) == TROUPE_OK) {
        raise(SIGFPE);
    }
}

static bool has_chained(void (*play)(void), bool told)
{
    struct death death;

    die(play, &death);
    return WIFEXITED(death.status) && WEXITSTATUS(death.status) == 42 &&
           (strstr(death.text, "troupe: ") != NULL) == told;
}

Test(contain, the_handler_before_gets_what_is_not_ours, .timeout = 110)
{
    cr_assert(has_chained(play_chained, true));
    cr_assert(has_chained(play_foreign, false));
    cr_assert(has_chained(play_sent, false));
}

#endif
