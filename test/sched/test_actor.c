/* SPDX-License-Identifier: MIT */
/* Actor: what a spawn promises, what an actor may ask of itself, and that nothing is left when memory is gone. */
#include "test/support/clock.h"
#include "test/support/hoard.h"
#include "test/support/stage.h"

#include <troupe/link.h>
#include <troupe/registry.h>

static const struct troupe_type number = TROUPE_TYPE(uint64_t);

/* ---- an actor that notes what init was given ---- */

struct birth {
    _Atomic unsigned inits;
    const void *arg;
    unsigned char copy[5000];
    size_t copy_size;
    bool zeroed;
    troupe_pid self;
    uint32_t incarnation;
    struct troupe_runtime *runtime;
    bool state_is_mine;
};

static struct birth birth;

struct big_state {
    unsigned char bytes[5000];
};

static void note_birth(struct troupe_actor *self, void *state, const void *arg, size_t state_size)
{
    const unsigned char *bytes = state;

    birth.arg = arg;
    if (birth.copy_size > 0) {
        memcpy(birth.copy, arg, birth.copy_size);
    }
    birth.zeroed = true;
    for (size_t i = 0; i < state_size; i++) {
        birth.zeroed = birth.zeroed && bytes[i] == 0;
    }
    birth.self = troupe_self(self);
    birth.incarnation = troupe_incarnation(self);
    birth.runtime = troupe_runtime_of(self);
    birth.state_is_mine = troupe_state(self) == state;
    memset(state, 0xa5, state_size);
    birth.inits++;
}

static int small_init(struct troupe_actor *self, void *state, const void *arg)
{
    note_birth(self, state, arg, 64);
    return TROUPE_OK;
}

static int big_init(struct troupe_actor *self, void *state, const void *arg)
{
    note_birth(self, state, arg, sizeof(struct big_state));
    return TROUPE_OK;
}

static const struct troupe_behaviour small = {
    .name = "small", .state_size = 64, .init = small_init, .receive = stage_puppet_receive};
static const struct troupe_behaviour big = {.name = "big",
    .state_size = sizeof(struct big_state),
    .init = big_init,
    .receive = stage_puppet_receive};

static int be_done(struct troupe_actor *self, void *arg)
{
    (void)self;
    (void)arg;
    return TROUPE_DONE;
}

Test(actor, a_state_is_zeroed_also_where_another_one_was, .timeout = 60)
{
    static const struct troupe_behaviour *const behaviours[] = {&small, &big};
    struct stage stage;

    /* Few cells: each serves many. */
    stage_open_with(&stage,
        &(struct troupe_runtime_options){.workers = TROUPE_NO_THREADS, .limits = {.actors = 2}});
    for (unsigned i = 0; i < 40; i++) {
        troupe_pid pid;

        STAGE_AWAIT(&stage, stage_try_spawn(&stage, behaviours[i % 2], NULL, &pid) == TROUPE_OK);
        stage_run(&stage);
        cr_assert_eq(birth.inits, i + 1);
        cr_assert(birth.zeroed, "actor %u", i);
        cr_assert_eq(birth.self, pid);
        cr_assert_eq(birth.incarnation, 0);
        cr_assert_eq(birth.runtime, stage.runtime);
        cr_assert(birth.state_is_mine);
        stage_tell(&stage, pid, be_done, NULL);
        stage_run(&stage);
    }
    stage_close(&stage);
}

Test(actor, an_argument_with_a_size_is_copied_and_one_without_is_passed, .timeout = 60)
{
    static const size_t sizes[] = {1, 8, 64, 1000, 5000};
    struct stage stage;
    unsigned char arg[5000];
    troupe_pid pid;

    stage_open(&stage, TROUPE_NO_THREADS);
    for (size_t i = 0; i < TROUPE_COUNT(sizes); i++) {
        struct troupe_spawn_options options = {
            .behaviour = &small, .arg = arg, .arg_size = sizes[i]};

        memset(arg, (int)i + 1, sizeof arg);
        birth.copy_size = sizes[i];
        cr_assert_eq(troupe_runtime_spawn(stage.runtime, &options, &pid), TROUPE_OK);
        memset(arg, 0, sizeof arg);
        stage_run(&stage);
        cr_assert_neq(birth.arg, (void *)arg);
        cr_assert_eq((uintptr_t)birth.arg % 16, 0, "aligned for any type");
        for (size_t j = 0; j < sizes[i]; j++) {
            cr_assert_eq(birth.copy[j], i + 1);
        }
    }
    birth.copy_size = 0;
    (void)stage_spawn(&stage, &small, arg);
    stage_run(&stage);
    cr_assert_eq(birth.arg, (void *)arg);
    stage_close(&stage);
}

/* ---- spawned by an actor ---- */

struct parent {
    struct troupe_spawn_options options;
    troupe_pid child;
    int result;
    bool alive;
    unsigned inits_inside;
};

static int spawn_child(struct troupe_actor *self, void *arg)
{
    struct parent *parent = arg;

    parent->result = troupe_spawn(self, &parent->options, &parent->child);
    parent->alive = troupe_is_alive(troupe_runtime_of(self), parent->child);
    parent->inits_inside = birth.inits;
    return TROUPE_OK;
}

Test(actor, a_child_is_alive_at_once_and_runs_after_its_spawner, .timeout = 60)
{
    struct stage stage;
    struct parent parent = {.options = {.behaviour = &small, .name = "child"}};

    stage_open(&stage, TROUPE_NO_THREADS);
    (void)stage_do(&stage, stage_spawn(&stage, &stage_puppet, NULL), spawn_child, &parent);
    cr_assert_eq(parent.result, TROUPE_OK);
    cr_assert(parent.alive);
    cr_assert_eq(parent.inits_inside, 0);
    cr_assert_eq(birth.inits, 1);
    cr_assert_eq(birth.self, parent.child);
    cr_assert_eq(troupe_runtime_whereis(stage.runtime, "child"), parent.child);
    cr_assert(troupe_is_alive(stage.runtime, parent.child));
    stage_close(&stage);
}

Test(actor, a_spawn_whose_name_is_taken_leaves_nobody, .timeout = 60)
{
    struct stage stage;
    struct parent parents[2] = {
        {.options = {.behaviour = &small, .name = "the one"}},
        {.options = {.behaviour = &small, .name = "the one", .link = true}, .child = 4711},
    };
    troupe_pid puppet;

    stage_open(&stage, TROUPE_NO_THREADS);
    puppet = stage_spawn(&stage, &stage_puppet, NULL);
    (void)stage_do(&stage, puppet, spawn_child, &parents[0]);
    (void)stage_do(&stage, puppet, spawn_child, &parents[1]);
    cr_assert_eq(parents[1].result, TROUPE_EEXIST);
    cr_assert_eq(parents[1].child, 4711, "untouched on failure");
    cr_assert_eq(birth.inits, 1);
    cr_assert_eq(troupe_runtime_whereis(stage.runtime, "the one"), parents[0].child);
    stage_close(&stage);
}

/* ---- without memory ---- */

/* Tries the spawn with each allocation failing in turn, on a fresh runtime each time. */
static void check_each_failure(const struct troupe_spawn_options *options, bool by_actor)
{
    uint64_t failing = 1;
    bool failed;

    do {
        struct stage stage;
        struct parent parent = {.options = *options, .child = 4711, .result = 1};
        troupe_pid puppet;
        uint64_t before;
        troupe_ref ref = 4711;

        stage_open(&stage, TROUPE_NO_THREADS);
        puppet = stage_spawn(&stage, &stage_puppet, NULL);
        stage_run(&stage);
        if (by_actor) {
            parent.options.monitor = &ref;
            parent.options.link = true;
            stage_tell(&stage, puppet, spawn_child, &parent);
        }
        birth.inits = 0;
        before = stage.memory.calls;
        stage.memory.fail_at = before + failing;
        if (!by_actor) {
            parent.result = troupe_runtime_spawn(stage.runtime, &parent.options, &parent.child);
        }
        stage_run(&stage);
        failed = stage.memory.calls >= before + failing;
        stage.memory.fail_at = 0;
        cr_assert(parent.result == TROUPE_OK || parent.result == TROUPE_ENOMEM);
        cr_assert_eq(birth.inits, parent.result == TROUPE_OK);
        if (parent.result < 0) {
            cr_assert_eq(parent.child, 4711, "untouched on failure");
            cr_assert_eq(ref, 4711, "untouched on failure");
            cr_assert_eq(troupe_runtime_whereis(stage.runtime, "poor child"), TROUPE_NOBODY);
            cr_assert(troupe_is_alive(stage.runtime, puppet), "no link was left");
        }
        stage_close(&stage);
        failing++;
    } while (failed);
    cr_assert_gt(failing, 2, "nothing was allocated: the test tests nothing");
}

Test(actor, a_spawn_without_memory_leaves_no_trace, .timeout = 60)
{
    static const unsigned char arg[1000];
    struct troupe_spawn_options options = {
        .behaviour = &big, .arg = arg, .arg_size = sizeof arg, .name = "poor child"};

    check_each_failure(&options, false);
    check_each_failure(&options, true);
}

static int send_number(struct troupe_actor *self, void *arg)
{
    struct parent *parent = arg;

    parent->result = troupe_send(self, parent->child, &number, &(uint64_t){1});
    return TROUPE_OK;
}

static int send_number_poor(struct troupe_actor *self, void *arg)
{
    struct hoard *hoard = *(struct hoard **)arg;
    struct parent *parent = ((struct parent **)arg)[1];

    hoard_fill(hoard, troupe_runtime_of(self));
    (void)send_number(self, parent);
    hoard_empty(hoard);
    return TROUPE_OK;
}

Test(actor, a_send_without_memory_is_enomem_and_the_next_one_works, .timeout = 60)
{
    struct stage stage;
    static struct hoard hoard;
    struct parent parent = {.result = 1};
    void *args[2] = {&hoard, &parent};
    troupe_pid puppet;

    stage_open(&stage, TROUPE_NO_THREADS);
    hoard.memory = &stage.memory;
    puppet = stage_spawn(&stage, &stage_puppet, NULL);
    parent.child = stage_spawn(&stage, &stage_puppet, NULL);
    (void)stage_do(&stage, puppet, send_number_poor, args);
    cr_assert_eq(parent.result, TROUPE_ENOMEM);
    cr_assert_eq(stage_books(&stage).unknown, 0, "nothing came");
    (void)stage_do(&stage, puppet, send_number, &parent);
    cr_assert_eq(parent.result, TROUPE_OK);
    cr_assert_eq(stage_books(&stage).unknown, 1);
    stage_close(&stage);
}

/* An actor ends, tells its watchers and gives back what it has, all without memory. */
static int end_poor(struct troupe_actor *self, void *arg)
{
    hoard_fill(arg, troupe_runtime_of(self));
    return troupe_fail(self, TROUPE_EPROTO, "this text has nowhere to go");
}

Test(actor, an_end_needs_no_memory, .timeout = 60)
{
    struct stage stage;
    static struct hoard hoard;
    struct stage_end end;
    troupe_pid pid;

    stage_open(&stage, TROUPE_NO_THREADS);
    hoard.memory = &stage.memory;
    pid = stage_spawn(&stage, &big, NULL);
    stage_watch(&stage, pid, &end);
    stage_tell(&stage, pid, end_poor, &hoard);
    stage_run(&stage);
    cr_assert_eq(end.count, 1);
    cr_assert_eq(end.kind, TROUPE_EXIT_ERROR);
    cr_assert_eq(end.code, TROUPE_EPROTO);
    cr_assert_str_eq(end.text, "", "the reason goes without its text");
    hoard_empty(&hoard);
    stage_close(&stage);
}

/* ---- arena and cleanups ---- */

struct arena_use {
    unsigned allocated;
    bool aligned;
    bool separate;
};

static int use_arena(struct troupe_actor *self, void *arg)
{
    struct arena_use *use = arg;
    unsigned char *last = NULL;

    use->aligned = true;
    use->separate = true;
    for (size_t size = 1; size < 40000; size = size * 3 / 2 + 1) {
        unsigned char *memory = troupe_arena_alloc(self, size);

        TROUPE_CHECK(self, memory != NULL);
        use->aligned = use->aligned && (uintptr_t)memory % 16 == 0;
        memset(memory, 0x77, size);
        use->separate = use->separate && (last == NULL || *last == 0x77);
        last = memory;
        use->allocated++;
    }
    return TROUPE_OK;
}

Test(actor, an_arena_gives_memory_that_ends_with_the_actor, .timeout = 60)
{
    struct stage stage;
    struct arena_use use = {0};
    uint64_t bytes_before;
    troupe_pid pid;

    stage_open(&stage, TROUPE_NO_THREADS);
    pid = stage_spawn(&stage, &stage_puppet, NULL);
    stage_run(&stage);
    cr_assert_eq(stage_do(&stage, pid, use_arena, &use), TROUPE_OK);
    cr_assert_gt(use.allocated, 20);
    cr_assert(use.aligned);
    cr_assert(use.separate);
    bytes_before = stage_books(&stage).memory;
    (void)stage_do(&stage, pid, be_done, NULL);
    cr_assert_lt(stage_books(&stage).memory, bytes_before - 40000);
    stage_close(&stage);
}

struct poor_defer {
    struct hoard hoard;
    int result;
    void *memory;
    unsigned runs;
};

static void count_run(void *arg)
{
    ((struct poor_defer *)arg)->runs++;
}

static int defer_poor(struct troupe_actor *self, void *arg)
{
    struct poor_defer *poor = arg;

    hoard_fill(&poor->hoard, troupe_runtime_of(self));
    poor->result = troupe_defer(self, count_run, poor);
    poor->memory = troupe_arena_alloc(self, 100);
    hoard_empty(&poor->hoard);
    return TROUPE_DONE;
}

Test(actor, a_cleanup_that_could_not_be_registered_does_not_run, .timeout = 60)
{
    struct stage stage;
    static struct poor_defer poor;

    stage_open(&stage, TROUPE_NO_THREADS);
    poor.hoard.memory = &stage.memory;
    stage_tell(&stage, stage_spawn(&stage, &stage_puppet, NULL), defer_poor, &poor);
    stage_run(&stage);
    cr_assert_eq(poor.result, TROUPE_ENOMEM);
    cr_assert_null(poor.memory);
    stage_close(&stage);
    cr_assert_eq(poor.runs, 0);
}

/* ---- one at a time ---- */

struct crowded {
    _Atomic unsigned inside, overlaps;
    uint64_t plain; /* not atomic: the runtime hands it from worker to worker */
};

static int count_alone(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct crowded *crowded = *(struct crowded **)state;

    (void)self;
    (void)msg;
    crowded->overlaps += crowded->inside++ != 0;
    crowded->plain++;
    crowded->inside--;
    return TROUPE_OK;
}

static int crowded_init(struct troupe_actor *self, void *state, const void *arg)
{
    (void)self;
    *(struct crowded **)state = (struct crowded *)(uintptr_t)arg;
    return TROUPE_OK;
}

static const struct troupe_behaviour crowded_behaviour = {.name = "crowded",
    .state_size = sizeof(struct crowded *),
    .init = crowded_init,
    .receive = count_alone};

struct sender {
    struct stage *stage;
    troupe_pid to;
};

#define SENDS 5000

static void *send_many(void *arg)
{
    struct sender *sender = arg;

    for (int i = 0; i < SENDS; i++) {
        struct troupe_message *msg;

        if (troupe_message_create(sender->stage->runtime, &number, 0, &msg) < 0) {
            return NULL;
        }
        if (troupe_send_wait(sender->stage->runtime, sender->to, msg, TROUPE_FOREVER) < 0) {
            troupe_message_destroy(msg);
            return NULL;
        }
    }
    return arg;
}

Test(actor, its_functions_are_called_one_at_a_time, .timeout = 60)
{
    struct stage stage;
    struct crowded crowded = {0};
    struct sender sender = {.stage = &stage};
    pthread_t threads[3];

    stage_open(&stage, 3);
    sender.to = stage_spawn(&stage, &crowded_behaviour, &crowded);
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(pthread_create(&threads[i], NULL, send_many, &sender), 0);
    }
    for (int i = 0; i < 3; i++) {
        void *result;

        pthread_join(threads[i], &result);
        cr_assert_not_null(result);
    }
    STAGE_AWAIT(&stage, stage_books(&stage).queued == 0);
    stage_close(&stage);
    cr_assert_eq(crowded.plain, 3 * SENDS);
    cr_assert_eq(crowded.overlaps, 0);
}

/* ---- memory_max: 2.26 ---- */

static unsigned goodbyes;

static void say_goodbye(struct troupe_actor *self, void *state, const struct troupe_reason *reason)
{
    (void)self;
    (void)state;
    (void)reason;
    goodbyes++;
}

static const struct troupe_behaviour frugal = {
    .name = "frugal",
    .receive = stage_puppet_receive,
    .terminate = say_goodbye,
    .memory_max = 32 * 1024,
    .capacity = STAGE_ROOM,
};

/* 2.26: it is not given what is too much, ends with killed, which asks nobody, and this is reported once. */
static int take_too_much(struct troupe_actor *self, void *arg)
{
    (void)arg;
    cr_assert_not_null(troupe_arena_alloc(self, 10 * 1024));
    cr_assert(troupe_is_alive(troupe_runtime_of(self), troupe_self(self)));
    cr_assert_null(troupe_arena_alloc(self, 20 * 1024));
    cr_assert_null(troupe_arena_alloc(self, 1));
    cr_assert_not(troupe_is_alive(troupe_runtime_of(self), troupe_self(self)));
    return TROUPE_OK;
}

Test(actor, who_allocates_more_than_its_limit_gets_nothing_and_is_killed, .timeout = 60)
{
    struct stage stage;
    struct stage_end end;
    troupe_pid pid;

    stage_open(&stage, TROUPE_NO_THREADS);
    pid = stage_spawn(&stage, &frugal, NULL);
    stage_watch(&stage, pid, &end);
    stage_tell(&stage, pid, take_too_much, NULL);
    stage_run(&stage);
    cr_assert_eq(end.count, 1);
    cr_assert_eq(end.kind, TROUPE_EXIT_KILLED);
    cr_assert_eq(goodbyes, 0);
    cr_assert_eq(stage_reports(&stage, TROUPE_REPORT_LIMIT), 1);
    cr_assert_str_eq(stage.actor[TROUPE_REPORT_LIMIT], "frugal");
    cr_assert_gt(stage.facts[TROUPE_REPORT_LIMIT].count, frugal.memory_max);
    stage_close(&stage);
}

static int take_a_little(struct troupe_actor *self, void *arg)
{
    return troupe_arena_alloc(self, *(const size_t *)arg) != NULL ? TROUPE_OK : TROUPE_ENOMEM;
}

/* 2.26: what is queued counts as well, though its receiver allocates nothing.  It is looked at after 64 messages. */
Test(actor, a_flooded_mailbox_counts_as_memory, .timeout = 60)
{
    static const struct {
        unsigned messages;
        size_t arena;
        bool dies;
    } rows[] = {{64 + 500, 0, false}, {64 + 513, 0, true}, {64 + 400, 16000, true}};

    for (unsigned i = 0; i < TROUPE_COUNT(rows); i++) {
        struct stage stage;
        struct stage_end end;
        troupe_pid pid;

        /* A slice has 64 messages however slow the machine is. */
        clock_frozen_ns = 1000000000;
        stage_open(&stage, TROUPE_NO_THREADS);
        pid = stage_spawn(&stage, &frugal, NULL);
        stage_watch(&stage, pid, &end);
        if (rows[i].arena > 0) {
            cr_assert_eq(
                stage_do(&stage, pid, take_a_little, (void *)(uintptr_t)&rows[i].arena), TROUPE_OK);
        }
        for (unsigned j = 0; j < rows[i].messages; j++) {
            stage_send(&stage, pid, &number, &(uint64_t){j});
        }
        stage_run(&stage);
        cr_assert_eq(end.count, rows[i].dies, "row %u", i);
        cr_assert_eq(stage_reports(&stage, TROUPE_REPORT_LIMIT), rows[i].dies, "row %u", i);
        cr_assert_eq(stage_reports(&stage, TROUPE_REPORT_DEAD_LETTERS) > 0, rows[i].dies);
        if (rows[i].dies) {
            cr_assert_eq(end.kind, TROUPE_EXIT_KILLED, "%s %d %s", troupe_exit_name(end.kind),
                end.code, end.text);
            cr_assert_eq(stage_books(&stage).unknown, 64, "row %u", i);
        }
        stage_close(&stage);
    }
}

static int hog_main(struct troupe_actor *self, const void *arg)
{
    struct troupe_message *msg;

    (void)arg;
    TROUPE_TRY(troupe_receive(self, TROUPE_FOREVER, &msg));
    TROUPE_CHECK(self, troupe_arena_alloc(self, 100 * 1024) == NULL);
    TROUPE_TRY(troupe_sleep(self, 1));
    goodbyes = 100;
    return TROUPE_OK;
}

static const struct troupe_behaviour hog = {
    .name = "hog", .main = hog_main, .memory_max = 32 * 1024};

/* 2.26: a main function does not come back from its next wait. */
Test(actor, a_main_function_above_its_limit_ends_at_its_next_wait, .timeout = 60)
{
    struct stage stage;
    struct stage_end end;
    troupe_pid pid;

    stage_open(&stage, TROUPE_NO_THREADS);
    pid = stage_spawn(&stage, &hog, NULL);
    stage_watch(&stage, pid, &end);
    stage_send(&stage, pid, &number, &(uint64_t){1});
    STAGE_AWAIT(&stage, end.count == 1);
    cr_assert_eq(end.kind, TROUPE_EXIT_KILLED, "%s %s", troupe_exit_name(end.kind), end.text);
    cr_assert_eq(goodbyes, 0);
    stage_close(&stage);
}
