/* SPDX-License-Identifier: MIT */
/*
 * Reference: an actor ends when its last strong reference is gone; weak ones keep nothing alive, and never bring it back.
 *
 * Every interleaving of an upgrade, the last release and the exit: test/explore/part_reference.c.
 */
#include "test/support/ear.h"
#include "test/support/ends.h"
#include "test/support/hoard.h"
#include "test/support/nursery.h"
#include "test/support/random.h"

#include <troupe/reference.h>

struct scene {
    struct stage stage;
    struct ear ear;
    struct stage_end end;
    troupe_pid pid;
    struct troupe_reference *strong;
    struct troupe_weak_reference *weak;
};

static int spawn(struct stage *stage, const struct troupe_behaviour *behaviour, void *arg,
    troupe_pid *out_pid, struct troupe_reference **out_reference)
{
    struct troupe_spawn_options options = {
        .behaviour = behaviour, .arg = arg, .reference = out_reference};

    return troupe_runtime_spawn(stage->runtime, &options, out_pid);
}

/* An actor that has begun, with one strong reference and one weak one. */
static void open_scene(struct scene *scene, const struct troupe_behaviour *behaviour)
{
    *scene = (struct scene){0};
    stage_open(&scene->stage, TROUPE_NO_THREADS);
    cr_assert_eq(
        spawn(&scene->stage, behaviour, &scene->ear, &scene->pid, &scene->strong), TROUPE_OK);
    scene->weak = troupe_reference_downgrade(scene->strong);
    stage_watch(&scene->stage, scene->pid, &scene->end);
    stage_run(&scene->stage);
}

static void close_scene(struct scene *scene)
{
    troupe_weak_release(scene->weak);
    stage_close(&scene->stage);
}

static void send_numbers(struct scene *scene, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        stage_send(&scene->stage, scene->pid, &ear_number, &i);
    }
}

static int upgrade(struct scene *scene)
{
    struct troupe_reference *reference = NULL;
    int error = troupe_weak_upgrade(scene->weak, &reference);

    cr_assert_eq(error == TROUPE_OK, reference != NULL);
    troupe_reference_release(reference);
    return error;
}

Test(reference, the_last_release_ends_an_actor_behind_what_was_sent, .timeout = 60)
{
    struct scene scene;

    open_scene(&scene, &ear_plain);
    send_numbers(&scene, 3);
    troupe_reference_release(scene.strong);
    send_numbers(&scene, 2);
    stage_run(&scene.stage);
    cr_assert_eq(scene.end.count, 1);
    cr_assert_eq(scene.end.kind, TROUPE_EXIT_NORMAL);
    cr_assert_eq(scene.ear.numbers, 3);
    close_scene(&scene);
}

Test(reference, only_the_last_release_counts, .timeout = 60)
{
    struct scene scene;

    open_scene(&scene, &ear_plain);
    for (unsigned i = 0; i < 100; i++) {
        cr_assert_eq(troupe_reference_retain(scene.strong), scene.strong);
    }
    for (unsigned i = 0; i < 100; i++) {
        troupe_reference_release(scene.strong);
    }
    stage_run(&scene.stage);
    cr_assert_eq(scene.end.count, 0);
    cr_assert_eq(troupe_reference_pid(scene.strong), scene.pid);
    troupe_reference_release(scene.strong);
    stage_run(&scene.stage);
    cr_assert_eq(scene.end.count, 1);
    close_scene(&scene);
}

/* Q6: upgrade fails for ever once there is no strong one, also while the actor still handles messages. */
Test(reference, an_upgrade_never_resurrects, .timeout = 60)
{
    struct scene scene;

    open_scene(&scene, &ear_plain);
    cr_assert_eq(upgrade(&scene), TROUPE_OK);
    cr_assert_eq(scene.end.count, 0);
    send_numbers(&scene, 1);
    troupe_reference_release(scene.strong);
    cr_assert_eq(upgrade(&scene), TROUPE_EGONE);
    cr_assert_eq(scene.ear.numbers, 0);
    stage_run(&scene.stage);
    cr_assert_eq(scene.ear.numbers, 1);
    cr_assert_eq(scene.end.count, 1);
    cr_assert_eq(upgrade(&scene), TROUPE_EGONE);
    cr_assert_eq(troupe_weak_pid(scene.weak), scene.pid);
    close_scene(&scene);
}

Test(reference, weak_ones_keep_nothing_alive_and_may_outlive_it, .timeout = 60)
{
    struct scene scene;

    open_scene(&scene, &ear_plain);
    cr_assert_eq(troupe_weak_retain(scene.weak), scene.weak);
    troupe_reference_release(scene.strong);
    stage_run(&scene.stage);
    cr_assert_eq(scene.end.count, 1);
    troupe_weak_release(scene.weak);
    cr_assert_eq(upgrade(&scene), TROUPE_EGONE);
    close_scene(&scene);
}

Test(reference, the_actor_may_run_for_the_first_time_after_the_last_release, .timeout = 60)
{
    struct scene scene = {0};
    uint64_t number = 1;

    stage_open(&scene.stage, TROUPE_NO_THREADS);
    cr_assert_eq(spawn(&scene.stage, &ear_plain, &scene.ear, &scene.pid, &scene.strong), TROUPE_OK);
    stage_send(&scene.stage, scene.pid, &ear_number, &number);
    troupe_reference_release(scene.strong);
    stage_run(&scene.stage);
    cr_assert_eq(scene.ear.numbers, 1);
    cr_assert_not(troupe_is_alive(scene.stage.runtime, scene.pid));
    close_scene(&scene);
}

/* ---- the exit ---- */

static struct scene *closing;
static int refused_by_weak;
static int refused_by_create;

static void try_in_terminate(
    struct troupe_actor *self, void *state, const struct troupe_reason *reason)
{
    struct troupe_reference *reference;

    (void)state;
    (void)reason;
    refused_by_weak = upgrade(closing);
    refused_by_create = troupe_reference_create(self, &reference);
}

static const struct troupe_behaviour tries = {
    .name = "tries", .receive = stage_puppet_receive, .terminate = try_in_terminate};

/* "Has begun to end": from the moment the exit is decided, before its code has stopped. */
Test(reference, nobody_is_upgraded_once_the_exit_is_decided, .timeout = 60)
{
    static const stage_job_fn jobs[] = {end_normally, end_shutdown, end_with_error};

    for (unsigned i = 0; i < TROUPE_COUNT(jobs); i++) {
        struct scene scene;

        open_scene(&scene, &tries);
        closing = &scene;
        refused_by_weak = refused_by_create = 1;
        stage_tell(&scene.stage, scene.pid, jobs[i], NULL);
        stage_run(&scene.stage);
        cr_assert_eq(scene.end.count, 1);
        cr_assert_eq(refused_by_weak, TROUPE_EGONE);
        cr_assert_eq(refused_by_create, TROUPE_EGONE);
        cr_assert_eq(upgrade(&scene), TROUPE_EGONE);
        troupe_reference_release(scene.strong);
        close_scene(&scene);
    }
}

/* What is held beyond the end is harmless, and its release tells nobody. */
Test(reference, strong_ones_may_outlive_the_actor, .timeout = 60)
{
    struct scene scene;
    uint64_t dead;

    open_scene(&scene, &ear_plain);
    cr_assert_eq(troupe_runtime_exit(scene.stage.runtime, scene.pid, TROUPE_EXIT_KILL), TROUPE_OK);
    stage_run(&scene.stage);
    cr_assert_eq(scene.end.kind, TROUPE_EXIT_KILLED);
    dead = stage_books(&scene.stage).dead;
    cr_assert_eq(troupe_reference_retain(scene.strong), scene.strong);
    troupe_reference_release(scene.strong);
    troupe_reference_release(scene.strong);
    stage_run(&scene.stage);
    cr_assert_eq(stage_books(&scene.stage).dead, dead);
    close_scene(&scene);
}

Test(reference, who_traps_exits_is_told, .timeout = 60)
{
    struct scene scene;

    open_scene(&scene, &ear_trapping);
    troupe_reference_release(scene.strong);
    stage_run(&scene.stage);
    cr_assert_eq(scene.end.count, 0);
    cr_assert_eq(scene.ear.count, 1);
    cr_assert_eq(scene.ear.notes[0].kind, TROUPE_EXIT_SHUTDOWN);
    cr_assert_eq(scene.ear.notes[0].pid, TROUPE_NOBODY);
    ear_close(&scene.stage, scene.pid);
    close_scene(&scene);
}

/* ---- of oneself ---- */

static struct troupe_reference *created;

static int create(struct troupe_actor *self, void *arg)
{
    (void)arg;
    return troupe_reference_create(self, &created);
}

static int create_and_release(struct troupe_actor *self, void *arg)
{
    TROUPE_TRY(create(self, arg));
    troupe_reference_release(created);
    cr_assert_eq(create(self, arg), TROUPE_EGONE);
    return TROUPE_OK;
}

Test(reference, an_actor_gives_out_references_to_itself, .timeout = 60)
{
    struct scene scene = {0};

    stage_open(&scene.stage, TROUPE_NO_THREADS);
    scene.pid = stage_spawn(&scene.stage, &stage_puppet, NULL);
    stage_watch(&scene.stage, scene.pid, &scene.end);
    cr_assert_eq(stage_do(&scene.stage, scene.pid, create, NULL), TROUPE_OK);
    cr_assert_eq(troupe_reference_pid(created), scene.pid);
    scene.strong = created;
    cr_assert_eq(stage_do(&scene.stage, scene.pid, create, NULL), TROUPE_OK);
    cr_assert_eq(created, scene.strong);
    troupe_reference_release(created);
    stage_run(&scene.stage);
    cr_assert_eq(scene.end.count, 0);
    troupe_reference_release(scene.strong);
    stage_run(&scene.stage);
    cr_assert_eq(scene.end.count, 1);
    close_scene(&scene);
}

Test(reference, none_is_given_out_after_the_last_one, .timeout = 60)
{
    struct scene scene = {0};

    stage_open(&scene.stage, TROUPE_NO_THREADS);
    scene.pid = stage_spawn(&scene.stage, &stage_puppet, NULL);
    stage_watch(&scene.stage, scene.pid, &scene.end);
    cr_assert_eq(stage_do(&scene.stage, scene.pid, create_and_release, NULL), TROUPE_OK);
    cr_assert_eq(scene.end.count, 1);
    close_scene(&scene);
}

/* ---- children ---- */

/* A child that gives out a reference when it is told to, and goes on. */
static int give_out(struct troupe_actor *self, void *arg)
{
    return troupe_reference_create(self, arg);
}

static void tell_child(
    struct nursery *nursery, const struct actor_card *card, puppet_fn fn, void *arg)
{
    puppet_tell(nursery->stage.runtime, card->pid, fn, arg, NULL);
    nursery_run(nursery);
}

/* 1.1: it has ended with a clean reason. */
Test(reference, a_child_that_nobody_needs_is_restarted_if_it_is_permanent, .timeout = 60)
{
    for (unsigned i = 0; i < 6; i++) {
        enum troupe_restart type = (enum troupe_restart)(i % 3);
        struct nursery nursery;
        struct actor_card card = {.id = "a"};
        struct troupe_child_spec child = spec_of(&card, type);
        struct troupe_supervisor_spec spec = {.children = &child, .child_count = 1};
        struct troupe_reference *reference = NULL;

        child.keep_mailbox = i >= 3;
        nursery_open(&nursery, 1, &spec);
        tell_child(&nursery, &card, give_out, &reference);
        cr_assert_not_null(reference);
        troupe_reference_release(reference);
        nursery_run(&nursery);
        cr_assert_eq(card.starts, type == TROUPE_PERMANENT ? 2 : 1);
        cr_assert_eq(card.alive, type == TROUPE_PERMANENT ? 1 : 0);
        nursery_end_it(&nursery);
        nursery_close(&nursery);
    }
}

/* Incarnations: what referred to the first life says nothing of the second, though it has the pid. */
Test(reference, references_are_to_one_life, .timeout = 60)
{
    struct nursery nursery;
    struct actor_card card = {.id = "a"};
    struct troupe_child_spec child = spec_of(&card, TROUPE_PERMANENT);
    struct troupe_supervisor_spec spec = {.children = &child, .child_count = 1, .intensity = 3};
    struct troupe_reference *first = NULL;
    struct troupe_reference *second = NULL;
    struct troupe_weak_reference *weak;
    struct troupe_reference *none;

    child.keep_mailbox = true;
    nursery_open(&nursery, 1, &spec);
    tell_child(&nursery, &card, give_out, &first);
    weak = troupe_reference_downgrade(first);
    tell_child(&nursery, &card, end_with_error, NULL);
    cr_assert_eq(card.starts, 2);
    cr_assert_eq(troupe_reference_pid(first), card.pid);
    cr_assert_eq(troupe_weak_upgrade(weak, &none), TROUPE_EGONE);
    tell_child(&nursery, &card, give_out, &second);
    cr_assert_neq(second, first);
    troupe_reference_release(first);
    nursery_run(&nursery);
    cr_assert_eq(card.starts, 2);
    troupe_reference_release(second);
    nursery_run(&nursery);
    cr_assert_eq(card.starts, 3);
    troupe_weak_release(weak);
    nursery_end_it(&nursery);
    nursery_close(&nursery);
}

/* The last release came first, the end of its life for another reason second: the order is still queued. */
static int release_and_fail(struct troupe_actor *self, void *arg)
{
    struct troupe_reference *reference;

    TROUPE_TRY(troupe_reference_create(self, &reference));
    troupe_reference_release(reference);
    return end_with_error(self, arg);
}

Test(reference, an_order_that_comes_too_late_misses_the_next_life, .timeout = 60)
{
    struct nursery nursery;
    struct actor_card card = {.id = "a"};
    struct troupe_child_spec child = spec_of(&card, TROUPE_PERMANENT);
    struct troupe_supervisor_spec spec = {.children = &child, .child_count = 1};

    child.keep_mailbox = true;
    nursery_open(&nursery, 1, &spec);
    tell_child(&nursery, &card, release_and_fail, NULL);
    cr_assert_eq(card.starts, 2);
    cr_assert_eq(card.alive, 1);
    nursery_end_it(&nursery);
    nursery_close(&nursery);
}

/* ---- in messages ---- */

static int keep_body(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct troupe_reference **body = troupe_body(msg);

    (void)self;
    (void)state;
    if (!troupe_is(msg, &troupe_reference_message)) {
        return TROUPE_EUNKNOWN;
    }
    created = *body;
    *body = NULL;
    return TROUPE_OK;
}

static const struct troupe_behaviour keeps = {.name = "keeps", .receive = keep_body};

Test(reference, a_message_passes_a_reference_on, .timeout = 60)
{
    struct scene scene;
    troupe_pid keeper;

    open_scene(&scene, &ear_plain);
    keeper = stage_spawn(&scene.stage, &keeps, NULL);
    stage_send(&scene.stage, keeper, &troupe_reference_message, &scene.strong);
    stage_run(&scene.stage);
    cr_assert_eq(scene.end.count, 0);
    cr_assert_eq(created, scene.strong);
    troupe_reference_release(created);
    stage_run(&scene.stage);
    cr_assert_eq(scene.end.count, 1);
    close_scene(&scene);
}

Test(reference, a_message_that_nobody_handles_releases_it, .timeout = 60)
{
    struct scene scene;
    troupe_pid other;

    open_scene(&scene, &ear_plain);
    other = stage_spawn(&scene.stage, &stage_roomy, NULL);
    stage_tell(&scene.stage, other, end_normally, NULL);
    stage_send(&scene.stage, other, &troupe_reference_message, &scene.strong);
    stage_run(&scene.stage);
    cr_assert_eq(scene.end.count, 1);
    close_scene(&scene);
}

/* ---- memory ---- */

static int release_without_memory(struct troupe_actor *self, void *arg)
{
    struct scene *scene = arg;
    static struct hoard hoard;

    hoard.memory = &scene->stage.memory;
    hoard_fill(&hoard, troupe_runtime_of(self));
    cr_assert_eq(upgrade(scene), TROUPE_OK);
    troupe_reference_release(scene->strong);
    hoard_empty(&hoard);
    return TROUPE_OK;
}

Test(reference, the_last_release_needs_no_memory, .timeout = 60)
{
    struct scene scene;
    troupe_pid other;

    open_scene(&scene, &ear_plain);
    other = stage_spawn(&scene.stage, &stage_puppet, NULL);
    cr_assert_eq(stage_do(&scene.stage, other, release_without_memory, &scene), TROUPE_OK);
    stage_run(&scene.stage);
    cr_assert_eq(scene.end.count, 1);
    close_scene(&scene);
}

Test(reference, a_spawn_that_fails_leaves_no_reference, .timeout = 60)
{
    struct stage stage;
    struct troupe_reference *untouched = (struct troupe_reference *)&stage;
    struct troupe_reference *reference = untouched;
    struct troupe_spawn_options options = {
        .behaviour = &stage_puppet, .name = "name", .group = "group", .reference = &reference};
    troupe_pid pid;
    unsigned failures = 0;

    stage_open(&stage, TROUPE_NO_THREADS);
    for (;;) {
        stage.memory.fail_at = stage.memory.calls + failures + 1;
        if (troupe_runtime_spawn(stage.runtime, &options, &pid) == TROUPE_OK) {
            break;
        }
        failures++;
        cr_assert_eq(reference, untouched);
    }
    stage.memory.fail_at = 0;
    cr_assert_gt(failures, 0);
    troupe_reference_release(reference);
    stage_close(&stage);
}

Test(reference, a_runtime_that_never_ran_takes_them_along, .timeout = 60)
{
    struct stage stage = {0};
    struct troupe_reference *reference = NULL;
    troupe_pid pid;

    cr_assert_eq(stage_try_open(&stage, &(struct troupe_runtime_options){.workers = 1}), TROUPE_OK);
    cr_assert_eq(spawn(&stage, &stage_puppet, NULL, &pid, &reference), TROUPE_OK);
    troupe_reference_release(reference);
    cr_assert_eq(troupe_runtime_destroy(stage.runtime), TROUPE_OK);
    cr_assert_eq(stage.memory.blocks, 0);
}

/* ---- threads ---- */

enum {
    THREADS = 4,
    ROUNDS = 200,
    STEPS = 50,
};

struct crowd {
    struct scene *scene;
    uint64_t seed;
    bool refused; /* though it held one */
};

/* Each has a strong reference of its own at the beginning, and none in the end. */
static void *juggle(void *arg)
{
    struct crowd *crowd = arg;
    struct test_random random = test_random_of(crowd->seed);
    struct troupe_reference *mine = crowd->scene->strong;
    unsigned held = 1;

    for (unsigned i = 0; i < STEPS; i++) {
        uint64_t dice = test_below(&random, 4);

        if (dice == 0 && held > 0) {
            (void)troupe_reference_retain(mine);
            held++;
        } else if (dice == 1 && held > 0) {
            troupe_reference_release(mine);
            held--;
        } else if (dice >= 2) {
            struct troupe_reference *more;

            if (troupe_weak_upgrade(crowd->scene->weak, &more) == TROUPE_OK) {
                held++;
            } else {
                crowd->refused = crowd->refused || held > 0;
            }
        }
    }
    while (held-- > 0) {
        troupe_reference_release(mine);
    }
    return NULL;
}

/* However they are juggled by foreign threads: it ends once, after the last one. */
Test(reference, threads_juggle_with_them, .timeout = 120)
{
    uint64_t seed = test_seed("threads_juggle_with_them");

    for (unsigned round = 0; round < ROUNDS; round++) {
        struct scene scene = {0};
        struct crowd crowds[THREADS];
        pthread_t threads[THREADS];

        stage_open(&scene.stage, 2);
        cr_assert_eq(
            spawn(&scene.stage, &ear_plain, &scene.ear, &scene.pid, &scene.strong), TROUPE_OK);
        scene.weak = troupe_reference_downgrade(scene.strong);
        stage_watch(&scene.stage, scene.pid, &scene.end);
        for (unsigned i = 0; i < THREADS; i++) {
            crowds[i] = (struct crowd){.scene = &scene, .seed = seed + round * THREADS + i};
            (void)troupe_reference_retain(scene.strong);
            cr_assert_eq(pthread_create(&threads[i], NULL, juggle, &crowds[i]), 0);
        }
        troupe_reference_release(scene.strong);
        for (unsigned i = 0; i < THREADS; i++) {
            pthread_join(threads[i], NULL);
            cr_assert_not(crowds[i].refused);
        }
        STAGE_AWAIT(&scene.stage, scene.end.count > 0);
        cr_assert_eq(upgrade(&scene), TROUPE_EGONE);
        cr_assert_eq(scene.end.kind, TROUPE_EXIT_NORMAL);
        close_scene(&scene);
        cr_assert_eq(scene.end.count, 1);
    }
}
