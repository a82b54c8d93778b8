/* SPDX-License-Identifier: MIT */
/* Link: whoever watches is told once, in order, and with the true reason. */
#include <troupe.h>

#include <criterion/criterion.h>

#include "test/support/ear.h"
#include "test/support/ends.h"
#include "test/support/puppet.h"
#include "test/support/random.h"
#include "test/support/stage.h"

static void ignore(int result)
{
    (void)result;
}

/* ---- things to have done ---- */

static int exit_normally(struct troupe_actor *self, void *arg)
{
    (void)arg;
    troupe_exit(self, TROUPE_EXIT_NORMAL);
}

static int do_nothing(struct troupe_actor *self, void *arg)
{
    (void)self;
    (void)arg;
    return TROUPE_OK;
}

struct watching {
    troupe_pid pid;
    troupe_ref ref;
    int result;
};

static int do_monitor(struct troupe_actor *self, void *arg)
{
    struct watching *watching = arg;

    watching->result = troupe_monitor(self, watching->pid, &watching->ref);
    return TROUPE_OK;
}

static int do_demonitor(struct troupe_actor *self, void *arg)
{
    struct watching *watching = arg;

    watching->result = troupe_demonitor(self, watching->ref);
    return TROUPE_OK;
}

static int do_link(struct troupe_actor *self, void *arg)
{
    struct watching *watching = arg;

    watching->result = troupe_link(self, watching->pid);
    return TROUPE_OK;
}

static int do_unlink(struct troupe_actor *self, void *arg)
{
    troupe_unlink(self, ((struct watching *)arg)->pid);
    return TROUPE_OK;
}

/* ---- arguments ---- */

static int try_bad_arguments(struct troupe_actor *self, void *arg)
{
    troupe_ref ref;

    (void)arg;
    cr_assert_eq(troupe_monitor(self, TROUPE_NOBODY, &ref), TROUPE_EINVAL);
    cr_assert_eq(troupe_monitor(self, troupe_self(self), &ref), TROUPE_EINVAL);
    cr_assert_eq(troupe_monitor(self, 5, NULL), TROUPE_EINVAL);
    cr_assert_eq(troupe_monitor(NULL, 5, &ref), TROUPE_EINVAL);
    cr_assert_eq(troupe_demonitor(NULL, 1), TROUPE_EINVAL);
    cr_assert_eq(troupe_demonitor(self, 0), 0);
    cr_assert_eq(troupe_link(self, TROUPE_NOBODY), TROUPE_EINVAL);
    cr_assert_eq(troupe_link(NULL, 5), TROUPE_EINVAL);
    cr_assert_eq(troupe_link(self, troupe_self(self)), TROUPE_OK);
    cr_assert_eq(troupe_send_exit(self, TROUPE_NOBODY, TROUPE_EXIT_SHUTDOWN), TROUPE_EINVAL);
    cr_assert_eq(troupe_send_exit(self, 5, TROUPE_EXIT_ERROR), TROUPE_EINVAL);
    cr_assert_eq(troupe_send_exit(self, 5, TROUPE_EXIT_SHUTDOWN), TROUPE_EGONE);
    cr_assert_eq(troupe_kill(NULL, 5), TROUPE_EINVAL);
    cr_assert_eq(troupe_join(troupe_runtime_of(self), 5, 0, NULL), TROUPE_EINVAL);
    return TROUPE_OK;
}

Test(link, wrong_arguments_are_refused, .timeout = 60)
{
    struct troupe_runtime *runtime = runtime_new(2);

    puppet_do(runtime, puppet_spawn(runtime, &puppet_plain, NULL), try_bad_arguments, NULL);
    cr_assert_eq(troupe_join(NULL, 5, 0, NULL), TROUPE_EINVAL);
    cr_assert_eq(troupe_join(runtime, TROUPE_NOBODY, 0, NULL), TROUPE_EINVAL);
    cr_assert_eq(troupe_join(runtime, 5, -2, NULL), TROUPE_EINVAL);
    cr_assert_eq(troupe_runtime_exit(NULL, 5, TROUPE_EXIT_KILL), TROUPE_EINVAL);
    cr_assert(runtime_ends_clean(runtime));
}

/* ---- the matrix: each reason, and who notices how ---- */

struct end {
    puppet_fn fn;
    enum troupe_exit kind;
    bool peer_survives;
};

static const struct end ends[] = {
    {end_normally, TROUPE_EXIT_NORMAL, true},
    {exit_normally, TROUPE_EXIT_NORMAL, true},
    {end_shutdown, TROUPE_EXIT_SHUTDOWN, false},
    {end_kill, TROUPE_EXIT_KILL, false},
    {end_by_own_kill, TROUPE_EXIT_KILLED, false},
    {end_noproc, TROUPE_EXIT_NOPROC, false},
    {end_with_error, TROUPE_EXIT_ERROR, false},
};

Test(link, a_peer_that_does_not_trap_dies_of_every_reason_but_normal, .timeout = 60)
{
    struct troupe_runtime *runtime = runtime_new(2);

    for (unsigned i = 0; i < TROUPE_COUNT(ends); i++) {
        troupe_pid one = puppet_spawn(runtime, &puppet_plain, NULL);
        troupe_pid peer = puppet_spawn(runtime, &puppet_plain, NULL);
        struct watching watching = {.pid = one};
        struct puppet_notes notes = PUPPET_NOTES_INIT;
        struct puppet_notes peer_notes = PUPPET_NOTES_INIT;

        puppet_do(runtime, peer, do_link, &watching);
        cr_assert_eq(watching.result, TROUPE_OK);
        puppet_watch(runtime, one, &notes);
        if (!ends[i].peer_survives) {
            puppet_watch(runtime, peer, &peer_notes);
        }
        puppet_tell(runtime, one, ends[i].fn, NULL, NULL);
        cr_assert_eq(puppet_down_kind(&notes), ends[i].kind);
        if (ends[i].peer_survives) {
            puppet_do(runtime, peer, do_nothing, NULL);
        } else {
            cr_assert_eq(puppet_down_kind(&peer_notes), ends[i].kind, "reason %u", i);
        }
    }
    cr_assert(runtime_ends_clean(runtime));
}

Test(link, a_peer_that_traps_is_told_of_every_reason_and_lives, .timeout = 60)
{
    struct troupe_runtime *runtime = runtime_new(2);

    for (unsigned i = 0; i < TROUPE_COUNT(ends); i++) {
        struct puppet_notes notes = PUPPET_NOTES_INIT;
        troupe_pid one = puppet_spawn(runtime, &puppet_plain, NULL);
        troupe_pid peer = puppet_spawn(runtime, &puppet_trapping, &notes);
        struct watching watching = {.pid = one};

        puppet_do(runtime, peer, do_link, &watching);
        puppet_tell(runtime, one, ends[i].fn, NULL, NULL);
        cr_assert(latch_wait(&notes.latch, 1));
        cr_assert_eq(notes.exits, 1);
        cr_assert_eq(notes.exited[0].pid, one);
        cr_assert_eq(notes.exited[0].reason.kind, ends[i].kind);
        cr_assert(notes.exited[0].linked);
        puppet_do(runtime, peer, end_normally, NULL);
    }
    cr_assert(runtime_ends_clean(runtime));
}

/* killed and kill stay what they are, however long the chain. */
Test(link, reasons_travel_unchanged_along_a_chain, .timeout = 60)
{
    struct troupe_runtime *runtime = runtime_new(2);
    static const unsigned lengths[] = {1, 2, 9, 10};

    for (unsigned i = 0; i < TROUPE_COUNT(ends); i++) {
        for (unsigned j = 0; j < TROUPE_COUNT(lengths) && !ends[i].peer_survives; j++) {
            troupe_pid first = puppet_spawn(runtime, &puppet_plain, NULL);
            struct watching watching = {.pid = first};
            struct puppet_notes notes = PUPPET_NOTES_INIT;

            for (unsigned k = 0; k < lengths[j]; k++) {
                troupe_pid next = puppet_spawn(runtime, &puppet_plain, NULL);

                puppet_do(runtime, next, do_link, &watching);
                watching.pid = next;
            }
            puppet_watch(runtime, watching.pid, &notes);
            puppet_tell(runtime, first, ends[i].fn, NULL, NULL);
            cr_assert_eq(puppet_down_kind(&notes), ends[i].kind);
        }
    }
    cr_assert(runtime_ends_clean(runtime));
}

/* The classic bug is to have one for both. */
Test(link, whether_a_peer_survives_and_whether_a_child_rests_are_two_questions)
{
    static const struct {
        enum troupe_exit kind;
        bool normal, clean;
    } answers[] = {
        {TROUPE_EXIT_NORMAL, true, true},
        {TROUPE_EXIT_SHUTDOWN, false, true},
        {TROUPE_EXIT_KILLED, false, false},
        {TROUPE_EXIT_KILL, false, false},
        {TROUPE_EXIT_NOPROC, false, false},
        {TROUPE_EXIT_ERROR, false, false},
    };

    for (unsigned i = 0; i < TROUPE_COUNT(answers); i++) {
        struct troupe_reason reason = {.kind = answers[i].kind};

        cr_assert_eq(troupe_reason_is_normal(&reason), answers[i].normal);
        cr_assert_eq(troupe_reason_is_clean(&reason), answers[i].clean);
    }
}

/* Without threads from here to the monitors: what happens is on this thread. */

static int link_to(struct troupe_actor *self, void *arg)
{
    return troupe_link(self, *(troupe_pid *)arg);
}

/* One buffer for all who are told; they hold it beyond the end of whoever made it. */
Test(link, an_error_travels_along_links_with_its_code_and_its_text, .timeout = 60)
{
    struct stage stage;
    troupe_pid pids[4];
    struct stage_end ends_of[4];

    stage_open(&stage, TROUPE_NO_THREADS);
    for (unsigned i = 0; i < TROUPE_COUNT(pids); i++) {
        pids[i] = stage_spawn(&stage, &stage_puppet, NULL);
        stage_watch(&stage, pids[i], &ends_of[i]);
        if (i > 0) {
            cr_assert_eq(stage_do(&stage, pids[i], link_to, &pids[i - 1]), TROUPE_OK);
        }
    }
    stage_tell(&stage, pids[1], end_with_error, NULL);
    stage_run(&stage);
    for (unsigned i = 0; i < TROUPE_COUNT(pids); i++) {
        cr_assert_eq(ends_of[i].count, 1);
        cr_assert_eq(ends_of[i].kind, TROUPE_EXIT_ERROR);
        cr_assert_eq(ends_of[i].code, TROUPE_EPROTO);
        cr_assert_str_eq(ends_of[i].text, "as told");
    }
    stage_close(&stage);
}

Test(link, only_reasons_that_are_not_clean_are_reported_and_counted_as_failures, .timeout = 60)
{
    for (unsigned i = 0; i < TROUPE_COUNT(ends); i++) {
        bool clean = ends[i].kind == TROUPE_EXIT_NORMAL || ends[i].kind == TROUPE_EXIT_SHUTDOWN;
        struct stage stage;

        stage_open(&stage, TROUPE_NO_THREADS);
        stage_tell(&stage, stage_spawn(&stage, &stage_puppet, NULL), ends[i].fn, NULL);
        stage_run(&stage);
        cr_assert_eq(stage_reports(&stage, TROUPE_REPORT_FAILURE), clean ? 0 : 1, "end %u", i);
        cr_assert_eq(stage_books(&stage).failures, clean ? 0 : 1, "end %u", i);
        stage_close(&stage);
    }
}

Test(link, a_monitor_gets_the_true_reason_and_code, .timeout = 60)
{
    struct troupe_runtime *runtime = runtime_new(2);

    for (unsigned i = 0; i < TROUPE_COUNT(ends); i++) {
        struct puppet_notes notes = PUPPET_NOTES_INIT;
        troupe_pid one = puppet_spawn(runtime, &puppet_plain, NULL);
        troupe_pid watcher = puppet_spawn(runtime, &puppet_plain, &notes);
        struct watching watching = {.pid = one};

        puppet_do(runtime, watcher, do_monitor, &watching);
        cr_assert_eq(watching.result, TROUPE_OK);
        puppet_tell(runtime, one, ends[i].fn, NULL, NULL);
        cr_assert(latch_wait(&notes.latch, 1));
        cr_assert_eq(notes.down[0].pid, one);
        cr_assert_eq(notes.down[0].ref, watching.ref);
        cr_assert_eq(notes.down[0].reason.kind, ends[i].kind);
        cr_assert_eq(
            notes.down[0].reason.code, ends[i].kind == TROUPE_EXIT_ERROR ? TROUPE_EPROTO : 0);
        puppet_do(runtime, watcher, end_normally, NULL);
    }
    cr_assert(runtime_ends_clean(runtime));
}

Test(link, join_tells_reason_code_and_text, .timeout = 60)
{
    struct troupe_runtime *runtime = runtime_new(2);
    troupe_pid one = puppet_spawn(runtime, &puppet_plain, NULL);
    struct troupe_reason reason;

    puppet_tell(runtime, one, end_with_error, NULL, NULL);
    cr_assert_eq(troupe_join(runtime, one, TROUPE_FOREVER, &reason), TROUPE_OK);
    /* It may have been gone before the join began to watch. */
    if (reason.kind != TROUPE_EXIT_NOPROC) {
        cr_assert_eq(reason.kind, TROUPE_EXIT_ERROR);
        cr_assert_eq(reason.code, TROUPE_EPROTO);
        cr_assert_str_eq(troupe_reason_text(&reason), "as told");
    }
    troupe_buffer_release(reason.text);
    cr_assert(runtime_ends_clean(runtime));
}

Test(link, join_gives_up_in_time_and_leaves_nothing_behind, .timeout = 60)
{
    struct troupe_runtime *runtime = runtime_new(2);
    troupe_pid one = puppet_spawn(runtime, &puppet_plain, NULL);

    cr_assert_eq(troupe_join(runtime, one, 1, NULL), TROUPE_ETIMEDOUT);
    cr_assert_eq(troupe_join(runtime, one, 0, NULL), TROUPE_ETIMEDOUT);
    puppet_do(runtime, one, end_normally, NULL);
    cr_assert(runtime_ends_clean(runtime));
}

/* ---- monitors ---- */

Test(link, each_monitor_of_a_pair_has_its_own_notice, .timeout = 60)
{
    struct troupe_runtime *runtime = runtime_new(2);
    struct puppet_notes notes = PUPPET_NOTES_INIT;
    troupe_pid one = puppet_spawn(runtime, &puppet_plain, NULL);
    troupe_pid watcher = puppet_spawn(runtime, &puppet_plain, &notes);
    struct watching watching[3] = {{.pid = one}, {.pid = one}, {.pid = one}};

    for (unsigned i = 0; i < 3; i++) {
        puppet_do(runtime, watcher, do_monitor, &watching[i]);
    }
    puppet_do(runtime, watcher, do_demonitor, &watching[1]);
    cr_assert_eq(watching[1].result, 1);
    puppet_do(runtime, one, end_normally, NULL);
    cr_assert(latch_wait(&notes.latch, 2));
    puppet_do(runtime, watcher, do_nothing, NULL);
    cr_assert_eq(notes.downs, 2);
    cr_assert_eq(notes.down[0].ref, watching[0].ref);
    cr_assert_eq(notes.down[1].ref, watching[2].ref);
    puppet_do(runtime, watcher, do_demonitor, &watching[0]);
    cr_assert_eq(watching[0].result, 0);
    cr_assert(runtime_ends_clean(runtime));
}

Test(link, monitoring_the_dead_gives_noproc_at_once, .timeout = 60)
{
    struct troupe_runtime *runtime = runtime_new(2);
    struct puppet_notes notes = PUPPET_NOTES_INIT;
    troupe_pid one = puppet_spawn(runtime, &puppet_plain, NULL);
    troupe_pid watcher = puppet_spawn(runtime, &puppet_plain, &notes);
    struct watching watching = {.pid = one};

    puppet_tell(runtime, one, end_normally, NULL, NULL);
    (void)join_kind(runtime, one);
    puppet_do(runtime, watcher, do_monitor, &watching);
    cr_assert_eq(watching.result, TROUPE_OK);
    cr_assert(latch_wait(&notes.latch, 1));
    cr_assert_eq(notes.down[0].reason.kind, TROUPE_EXIT_NOPROC);
    cr_assert_eq(notes.down[0].ref, watching.ref);
    cr_assert(runtime_ends_clean(runtime));
}

static int monitor_dead_and_take_back(struct troupe_actor *self, void *arg)
{
    struct watching *watching = arg;

    cr_assert_eq(troupe_monitor(self, watching->pid, &watching->ref), TROUPE_OK);
    /* The notice is queued behind this very message. */
    watching->result = troupe_demonitor(self, watching->ref);
    return TROUPE_OK;
}

Test(link, demonitor_drops_a_notice_that_is_queued, .timeout = 60)
{
    struct troupe_runtime *runtime = runtime_new(2);
    struct puppet_notes notes = PUPPET_NOTES_INIT;
    troupe_pid one = puppet_spawn(runtime, &puppet_plain, NULL);
    troupe_pid watcher = puppet_spawn(runtime, &puppet_plain, &notes);
    struct watching watching = {.pid = one};

    puppet_tell(runtime, one, end_normally, NULL, NULL);
    (void)join_kind(runtime, one);
    puppet_do(runtime, watcher, monitor_dead_and_take_back, &watching);
    cr_assert_eq(watching.result, 0);
    puppet_do(runtime, watcher, do_nothing, NULL);
    cr_assert_eq(notes.downs, 0);
    cr_assert(runtime_ends_clean(runtime));
}

/* Whoever sends to it does not wait. */
static const struct troupe_behaviour roomy_puppet = {
    .name = "puppet",
    .state_size = sizeof(struct puppet),
    .init = puppet_init,
    .receive = puppet_receive,
    .capacity = PUPPET_ROOM,
};

static int send_numbers_and_end(struct troupe_actor *self, void *arg)
{
    troupe_pid to = *(troupe_pid *)arg;

    for (uint64_t i = 1; i <= 1000; i++) {
        cr_assert_eq(troupe_send(self, to, &puppet_number, &i), TROUPE_OK);
    }
    return TROUPE_DONE;
}

Test(link, a_thousand_messages_come_before_the_down_notice, .timeout = 120)
{
    struct troupe_runtime *runtime = runtime_new(2);

    for (unsigned round = 0; round < 50; round++) {
        struct puppet_notes notes = PUPPET_NOTES_INIT;
        troupe_pid one = puppet_spawn(runtime, &puppet_plain, NULL);
        troupe_pid watcher = puppet_spawn(runtime, &roomy_puppet, &notes);
        struct watching watching = {.pid = one};

        puppet_do(runtime, watcher, do_monitor, &watching);
        puppet_tell(runtime, one, send_numbers_and_end, &watcher, NULL);
        cr_assert(latch_wait(&notes.latch, 1001));
        cr_assert_eq(notes.numbers_at_down, 1000);
        cr_assert_not(notes.disorder);
        puppet_do(runtime, watcher, end_normally, NULL);
    }
    cr_assert(runtime_ends_clean(runtime));
}

/* ---- links ---- */

Test(link, linking_twice_is_linking_once, .timeout = 60)
{
    struct troupe_runtime *runtime = runtime_new(2);
    struct puppet_notes notes = PUPPET_NOTES_INIT;
    troupe_pid one = puppet_spawn(runtime, &puppet_plain, NULL);
    troupe_pid peer = puppet_spawn(runtime, &puppet_trapping, &notes);
    struct watching there = {.pid = one};
    struct watching back = {.pid = peer};

    puppet_do(runtime, peer, do_link, &there);
    puppet_do(runtime, one, do_link, &back);
    puppet_do(runtime, peer, do_link, &there);
    puppet_do(runtime, one, end_normally, NULL);
    cr_assert(latch_wait(&notes.latch, 1));
    puppet_do(runtime, peer, do_nothing, NULL);
    cr_assert_eq(notes.exits, 1);
    cr_assert(runtime_ends_clean(runtime));
}

Test(link, one_unlink_from_either_side_ends_the_link, .timeout = 60)
{
    struct troupe_runtime *runtime = runtime_new(2);

    for (unsigned side = 0; side < 2; side++) {
        troupe_pid one = puppet_spawn(runtime, &puppet_plain, NULL);
        troupe_pid peer = puppet_spawn(runtime, &puppet_plain, NULL);
        struct watching there = {.pid = one};
        struct watching back = {.pid = peer};

        puppet_do(runtime, peer, do_link, &there);
        puppet_do(runtime, side == 0 ? peer : one, do_unlink, side == 0 ? &there : &back);
        puppet_tell(runtime, one, end_with_error, NULL, NULL);
        (void)join_kind(runtime, one);
        puppet_do(runtime, peer, do_nothing, NULL);
    }
    cr_assert(runtime_ends_clean(runtime));
}

struct gated {
    struct latch entered, open;
    troupe_pid peer;
};

static int unlink_when_open(struct troupe_actor *self, void *arg)
{
    struct gated *gated = arg;

    latch_hit(&gated->entered);
    cr_assert(latch_wait(&gated->open, 1));
    troupe_unlink(self, gated->peer);
    return TROUPE_OK;
}

/* The signal is in the queue when the unlink is made. */
Test(link, unlink_drops_a_signal_that_is_queued, .timeout = 60)
{
    struct troupe_runtime *runtime = runtime_new(2);
    troupe_pid one = puppet_spawn(runtime, &puppet_plain, NULL);
    troupe_pid peer = puppet_spawn(runtime, &puppet_plain, NULL);
    struct watching there = {.pid = one};
    struct gated gated = {.entered = LATCH_INIT, .open = LATCH_INIT, .peer = one};

    puppet_do(runtime, peer, do_link, &there);
    puppet_tell(runtime, peer, unlink_when_open, &gated, NULL);
    cr_assert(latch_wait(&gated.entered, 1));
    puppet_tell(runtime, one, end_with_error, NULL, NULL);
    (void)join_kind(runtime, one);
    latch_hit(&gated.open);
    puppet_do(runtime, peer, do_nothing, NULL);
    cr_assert(runtime_ends_clean(runtime));
}

Test(link, linking_to_the_dead_is_an_error_or_a_signal, .timeout = 60)
{
    struct troupe_runtime *runtime = runtime_new(2);
    struct puppet_notes notes = PUPPET_NOTES_INIT;
    troupe_pid one = puppet_spawn(runtime, &puppet_plain, NULL);
    troupe_pid plain = puppet_spawn(runtime, &puppet_plain, NULL);
    troupe_pid trapping = puppet_spawn(runtime, &puppet_trapping, &notes);
    struct watching there = {.pid = one};

    puppet_tell(runtime, one, end_normally, NULL, NULL);
    (void)join_kind(runtime, one);
    puppet_do(runtime, plain, do_link, &there);
    cr_assert_eq(there.result, TROUPE_EGONE);
    puppet_do(runtime, trapping, do_link, &there);
    cr_assert_eq(there.result, TROUPE_OK);
    cr_assert(latch_wait(&notes.latch, 1));
    cr_assert_eq(notes.exited[0].pid, one);
    cr_assert_eq(notes.exited[0].reason.kind, TROUPE_EXIT_NOPROC);
    cr_assert(runtime_ends_clean(runtime));
}

/* ---- 2.6: what unlink swallows ---- */

struct unlinking {
    troupe_pid peer;
    int result;
    struct troupe_reason reason;
};

static int unlink_and_flush(struct troupe_actor *self, void *arg)
{
    struct unlinking *unlinking = arg;

    unlinking->result = troupe_unlink_flush(self, unlinking->peer, &unlinking->reason);
    return TROUPE_OK;
}

/* An ear that is linked with a puppet.  Without threads: what is told is queued, and happens in stage_run(). */
struct linked {
    struct stage stage;
    struct ear ear;
    troupe_pid one, peer;
    struct unlinking unlinking;
};

static void open_linked(struct linked *linked)
{
    *linked = (struct linked){0};
    stage_open(&linked->stage, TROUPE_NO_THREADS);
    linked->one = stage_spawn(&linked->stage, &stage_puppet, NULL);
    linked->peer = stage_spawn(&linked->stage, &ear_trapping, &linked->ear);
    linked->unlinking.peer = linked->one;
    cr_assert_eq(stage_do(&linked->stage, linked->peer, link_to, &linked->one), TROUPE_OK);
}

static void close_linked(struct linked *linked)
{
    ear_close(&linked->stage, linked->peer);
    stage_close(&linked->stage);
}

Test(link, a_flush_tells_the_reason_that_it_swallowed, .timeout = 60)
{
    struct linked linked;

    open_linked(&linked);
    /* The puppet ends first: its signal stands behind the order to unlink. */
    stage_tell(&linked.stage, linked.one, end_with_error, NULL);
    stage_tell(&linked.stage, linked.peer, unlink_and_flush, &linked.unlinking);
    stage_run(&linked.stage);
    cr_assert_eq(linked.unlinking.result, TROUPE_FLUSH_TOLD);
    cr_assert_eq(linked.unlinking.reason.kind, TROUPE_EXIT_ERROR);
    cr_assert_eq(linked.unlinking.reason.code, TROUPE_EPROTO);
    cr_assert_str_eq(troupe_reason_text(&linked.unlinking.reason), "as told");
    troupe_buffer_release(linked.unlinking.reason.text);
    cr_assert_eq(linked.ear.count, 0);
    close_linked(&linked);
}

Test(link, a_flush_of_a_link_that_stands_says_so_and_of_none_that_there_was_none, .timeout = 60)
{
    struct linked linked;

    open_linked(&linked);
    stage_do(&linked.stage, linked.peer, unlink_and_flush, &linked.unlinking);
    cr_assert_eq(linked.unlinking.result, TROUPE_FLUSH_ACTIVE);
    stage_do(&linked.stage, linked.peer, unlink_and_flush, &linked.unlinking);
    cr_assert_eq(linked.unlinking.result, TROUPE_FLUSH_NONE);
    stage_tell(&linked.stage, linked.one, end_with_error, NULL);
    stage_run(&linked.stage);
    cr_assert_eq(linked.ear.count, 0);
    close_linked(&linked);
}

Test(link, a_flush_after_the_signal_was_handled_finds_nothing, .timeout = 60)
{
    struct linked linked;

    open_linked(&linked);
    stage_tell(&linked.stage, linked.one, end_with_error, NULL);
    stage_run(&linked.stage);
    cr_assert_eq(linked.ear.count, 1);
    stage_do(&linked.stage, linked.peer, unlink_and_flush, &linked.unlinking);
    cr_assert_eq(linked.unlinking.result, TROUPE_FLUSH_NONE);
    close_linked(&linked);
}

/* One that traps links with nobody: its signal is on its way, and is taken back like any other. */
static int link_with_nobody_and_unlink(struct troupe_actor *self, void *arg)
{
    struct unlinking *unlinking = arg;

    cr_assert_eq(troupe_link(self, 12345), TROUPE_OK);
    cr_assert_eq(troupe_link(self, 12345), TROUPE_OK);
    unlinking->result = troupe_unlink_flush(self, 12345, &unlinking->reason);
    return TROUPE_OK;
}

Test(link, unlink_takes_the_noproc_of_a_link_with_nobody_back, .timeout = 60)
{
    struct linked linked;

    open_linked(&linked);
    stage_do(&linked.stage, linked.peer, link_with_nobody_and_unlink, &linked.unlinking);
    cr_assert_eq(linked.unlinking.result, TROUPE_FLUSH_TOLD);
    cr_assert_eq(linked.unlinking.reason.kind, TROUPE_EXIT_NOPROC);
    cr_assert_eq(linked.ear.count, 0);
    close_linked(&linked);
}

static int link_with_nobody_twice(struct troupe_actor *self, void *arg)
{
    (void)arg;
    cr_assert_eq(troupe_link(self, 12345), TROUPE_OK);
    return troupe_link(self, 12345);
}

/* At most one link joins two, also if one of them is nobody. */
Test(link, a_second_link_with_nobody_is_no_second, .timeout = 60)
{
    struct linked linked;

    open_linked(&linked);
    cr_assert_eq(stage_do(&linked.stage, linked.peer, link_with_nobody_twice, NULL), TROUPE_OK);
    cr_assert_eq(linked.ear.count, 1);
    cr_assert_eq(linked.ear.notes[0].kind, TROUPE_EXIT_NOPROC);
    cr_assert(linked.ear.notes[0].linked);
    /* When it was handled the next one is a new one. */
    cr_assert_eq(stage_do(&linked.stage, linked.peer, link_with_nobody_twice, NULL), TROUPE_OK);
    cr_assert_eq(linked.ear.count, 2);
    close_linked(&linked);
}

static int unlink_and_link_again(struct troupe_actor *self, void *arg)
{
    struct unlinking *unlinking = arg;

    unlinking->result = troupe_unlink_flush(self, unlinking->peer, NULL);
    return troupe_link(self, unlinking->peer);
}

/* The old link's end is queued when the new one is made: what comes is the new one's, of one that is not there. */
Test(link, a_link_made_again_does_not_see_the_end_of_the_old_one, .timeout = 60)
{
    struct linked linked;

    open_linked(&linked);
    stage_tell(&linked.stage, linked.one, end_with_error, NULL);
    stage_tell(&linked.stage, linked.peer, unlink_and_link_again, &linked.unlinking);
    stage_run(&linked.stage);
    cr_assert_eq(linked.unlinking.result, TROUPE_FLUSH_TOLD);
    cr_assert_eq(linked.ear.count, 1);
    cr_assert_eq(linked.ear.notes[0].kind, TROUPE_EXIT_NOPROC);
    close_linked(&linked);
}

struct terminating {
    troupe_pid peers[2];
    struct unlinking unlinking;
};

static int terminating_init(struct troupe_actor *self, void *state, const void *arg)
{
    struct terminating *terminating = (struct terminating *)(uintptr_t)arg;

    *(struct terminating **)state = terminating;
    TROUPE_TRY(troupe_link(self, terminating->peers[0]));
    return troupe_link(self, terminating->peers[1]);
}

static void unlink_last(struct troupe_actor *self, void *state, const struct troupe_reason *reason)
{
    struct terminating *terminating = *(struct terminating **)state;

    (void)reason;
    (void)unlink_and_flush(self, &terminating->unlinking);
}

static const struct troupe_behaviour terminating_behaviour = {
    .name = "terminating",
    .state_size = sizeof(struct terminating *),
    .init = terminating_init,
    .receive = stage_puppet_receive,
    .terminate = unlink_last,
};

Test(link, a_flush_in_terminate_finds_a_signal_that_came_behind_the_deadly_one, .timeout = 60)
{
    struct terminating terminating = {0};
    struct stage stage;
    troupe_pid pid;

    stage_open(&stage, TROUPE_NO_THREADS);
    terminating.peers[0] = stage_spawn(&stage, &stage_puppet, NULL);
    terminating.peers[1] = stage_spawn(&stage, &stage_puppet, NULL);
    terminating.unlinking.peer = terminating.peers[1];
    pid = stage_spawn(&stage, &terminating_behaviour, &terminating);
    stage_run(&stage);
    stage_tell(&stage, terminating.peers[0], end_with_error, NULL);
    stage_tell(&stage, terminating.peers[1], end_with_error, NULL);
    /* So that it is queued behind both, and runs when both have ended. */
    stage_tell(&stage, pid, unlink_and_flush, &terminating.unlinking);
    stage_run(&stage);
    cr_assert_eq(terminating.unlinking.result, TROUPE_FLUSH_TOLD);
    cr_assert_eq(terminating.unlinking.reason.kind, TROUPE_EXIT_ERROR);
    cr_assert_str_eq(troupe_reason_text(&terminating.unlinking.reason), "as told");
    troupe_buffer_release(terminating.unlinking.reason.text);
    stage_close(&stage);
}

/* ---- exit signals of their own ---- */

struct sending {
    troupe_pid to;
    enum troupe_exit kind;
    int result;
};

static int do_send_exit(struct troupe_actor *self, void *arg)
{
    struct sending *sending = arg;

    sending->result = troupe_send_exit(self, sending->to, sending->kind);
    return TROUPE_OK;
}

Test(link, exit_normal_does_nothing_to_others_but_ends_oneself, .timeout = 60)
{
    struct troupe_runtime *runtime = runtime_new(2);
    troupe_pid one = puppet_spawn(runtime, &puppet_plain, NULL);
    troupe_pid other = puppet_spawn(runtime, &puppet_plain, NULL);
    struct sending to_other = {.to = other, .kind = TROUPE_EXIT_NORMAL};
    struct sending to_self = {.to = one, .kind = TROUPE_EXIT_NORMAL};

    puppet_do(runtime, one, do_send_exit, &to_other);
    cr_assert_eq(to_other.result, TROUPE_OK);
    puppet_do(runtime, other, do_nothing, NULL);
    puppet_tell(runtime, one, do_send_exit, &to_self, NULL);
    (void)join_kind(runtime, one);
    cr_assert_not(troupe_is_alive(runtime, one));
    cr_assert(troupe_is_alive(runtime, other));
    cr_assert(runtime_ends_clean(runtime));
}

Test(link, a_kill_is_not_trapped_and_ends_with_killed, .timeout = 60)
{
    struct troupe_runtime *runtime = runtime_new(2);
    struct puppet_notes notes = PUPPET_NOTES_INIT;
    troupe_pid one = puppet_spawn(runtime, &puppet_trapping, NULL);
    troupe_pid watcher = puppet_spawn(runtime, &puppet_plain, &notes);
    struct watching watching = {.pid = one};

    puppet_do(runtime, watcher, do_monitor, &watching);
    cr_assert_eq(troupe_runtime_exit(runtime, one, TROUPE_EXIT_KILL), TROUPE_OK);
    cr_assert_not(troupe_is_alive(runtime, one));
    cr_assert(latch_wait(&notes.latch, 1));
    cr_assert_eq(notes.down[0].reason.kind, TROUPE_EXIT_KILLED);
    cr_assert(runtime_ends_clean(runtime));
}

Test(link, an_exit_signal_is_trapped_with_its_sender, .timeout = 60)
{
    struct troupe_runtime *runtime = runtime_new(2);
    struct puppet_notes notes = PUPPET_NOTES_INIT;
    troupe_pid trapping = puppet_spawn(runtime, &puppet_trapping, &notes);
    troupe_pid one = puppet_spawn(runtime, &puppet_plain, NULL);
    struct sending sending = {.to = trapping, .kind = TROUPE_EXIT_SHUTDOWN};

    puppet_do(runtime, one, do_send_exit, &sending);
    cr_assert_eq(troupe_runtime_exit(runtime, trapping, TROUPE_EXIT_NORMAL), TROUPE_OK);
    cr_assert(latch_wait(&notes.latch, 2));
    cr_assert_eq(notes.exited[0].pid, one);
    cr_assert_eq(notes.exited[0].reason.kind, TROUPE_EXIT_SHUTDOWN);
    cr_assert_not(notes.exited[0].linked);
    cr_assert_eq(notes.exited[1].pid, TROUPE_NOBODY);
    puppet_do(runtime, trapping, end_normally, NULL);
    cr_assert(runtime_ends_clean(runtime));
}

static int send_exit_between(struct troupe_actor *self, void *arg)
{
    troupe_pid to = *(troupe_pid *)arg;
    uint64_t number = 1;

    cr_assert_eq(troupe_send(self, to, &puppet_number, &number), TROUPE_OK);
    cr_assert_eq(troupe_send_exit(self, to, TROUPE_EXIT_SHUTDOWN), TROUPE_OK);
    number = 2;
    /* It may be gone by now. */
    ignore(troupe_send(self, to, &puppet_number, &number));
    return TROUPE_OK;
}

Test(link, no_message_sent_after_an_exit_signal_is_handled, .timeout = 60)
{
    struct troupe_runtime *runtime = runtime_new(2);
    troupe_pid sender = puppet_spawn(runtime, &puppet_plain, NULL);

    for (unsigned round = 0; round < 300; round++) {
        struct puppet_notes notes = PUPPET_NOTES_INIT;
        troupe_pid one = puppet_spawn(runtime, &puppet_plain, &notes);

        puppet_do(runtime, sender, send_exit_between, &one);
        (void)join_kind(runtime, one);
        cr_assert_leq(notes.last_number, 1);
    }
    cr_assert(runtime_ends_clean(runtime));
}

/* ---- spawning with a watch ---- */

struct born {
    troupe_ref ref;
    troupe_pid pid;
    int result;
    const char *name;
};

static int fail_in_init(struct troupe_actor *self, void *state, const void *arg)
{
    (void)state;
    (void)arg;
    return troupe_fail(self, TROUPE_EPROTO, "in its first instruction");
}

static const struct troupe_behaviour stillborn = {
    .name = "stillborn", .init = fail_in_init, .receive = puppet_receive, .state_size = 8};

static int spawn_stillborn(struct troupe_actor *self, void *arg)
{
    struct born *born = arg;
    struct troupe_spawn_options options = {
        .behaviour = &stillborn, .link = true, .monitor = &born->ref};

    born->result = troupe_spawn(self, &options, &born->pid);
    return TROUPE_OK;
}

Test(link, one_that_dies_in_its_first_instruction_is_told_of_truly, .timeout = 60)
{
    struct troupe_runtime *runtime = runtime_new(2);
    struct puppet_notes notes = PUPPET_NOTES_INIT;
    troupe_pid parent = puppet_spawn(runtime, &puppet_trapping, &notes);
    struct born born;

    for (unsigned i = 1; i <= 50; i++) {
        puppet_do(runtime, parent, spawn_stillborn, &born);
        cr_assert_eq(born.result, TROUPE_OK);
        cr_assert(latch_wait(&notes.latch, 2 * i));
        cr_assert_eq(notes.down[i - 1].ref, born.ref);
        cr_assert_eq(notes.down[i - 1].reason.code, TROUPE_EPROTO);
        cr_assert_eq(notes.exited[i - 1].pid, born.pid);
        cr_assert_eq(notes.exited[i - 1].reason.code, TROUPE_EPROTO);
    }
    puppet_do(runtime, parent, end_normally, NULL);
    cr_assert(runtime_ends_clean(runtime));
}

static int spawn_named(struct troupe_actor *self, void *arg)
{
    struct born *born = arg;
    struct troupe_spawn_options options = {
        .behaviour = &puppet_plain, .link = true, .monitor = &born->ref, .name = born->name};

    born->result = troupe_spawn(self, &options, &born->pid);
    return TROUPE_OK;
}

Test(link, a_spawn_that_fails_leaves_no_trace, .timeout = 60)
{
    struct troupe_runtime *runtime = runtime_new(2);
    struct puppet_notes notes = PUPPET_NOTES_INIT;
    troupe_pid parent = puppet_spawn(runtime, &puppet_trapping, &notes);
    struct born first = {.name = "twin"};
    struct born second = {.name = "twin", .pid = 77, .ref = 88};

    puppet_do(runtime, parent, spawn_named, &first);
    cr_assert_eq(first.result, TROUPE_OK);
    puppet_do(runtime, parent, spawn_named, &second);
    cr_assert_eq(second.result, TROUPE_EEXIST);
    cr_assert_eq(second.pid, 77);
    cr_assert_eq(second.ref, 88);
    puppet_do(runtime, parent, do_nothing, NULL);
    cr_assert_eq(notes.downs + notes.exits, 0);
    cr_assert_eq(troupe_runtime_whereis(runtime, "twin"), first.pid);
    puppet_do(runtime, parent, end_normally, NULL);
    cr_assert(runtime_ends_clean(runtime));
}

/* ---- races ---- */

struct race {
    struct puppet_notes notes;
    struct watching watching[64];
    unsigned count;
};

static int monitor_all(struct troupe_actor *self, void *arg)
{
    struct race *race = arg;

    for (unsigned i = 0; i < race->count; i++) {
        cr_assert_eq(
            troupe_monitor(self, race->watching[i].pid, &race->watching[i].ref), TROUPE_OK);
    }
    return TROUPE_OK;
}

/* Targets end while they are being monitored; half of the monitors are taken back at once. */
static int monitor_and_take_back(struct troupe_actor *self, void *arg)
{
    struct race *race = arg;

    (void)monitor_all(self, arg);
    for (unsigned i = 0; i < race->count; i += 2) {
        race->watching[i].result = troupe_demonitor(self, race->watching[i].ref);
    }
    return TROUPE_OK;
}

static unsigned notices_of(const struct puppet_notes *notes, troupe_ref ref)
{
    unsigned count = 0;

    for (unsigned i = 0; i < notes->downs; i++) {
        count += notes->down[i].ref == ref;
    }
    return count;
}

Test(link, a_monitor_racing_an_exit_gets_exactly_one_notice, .timeout = 240)
{
    struct troupe_runtime *runtime = runtime_new(2);

    for (unsigned round = 0; round < 500; round++) {
        static struct race race;
        troupe_pid watcher;

        race = (struct race){.notes = PUPPET_NOTES_INIT, .count = 64};
        watcher = puppet_spawn(runtime, &puppet_plain, &race.notes);
        for (unsigned i = 0; i < race.count; i++) {
            race.watching[i].pid = puppet_spawn(runtime, &puppet_plain, NULL);
        }
        puppet_tell(runtime, watcher, monitor_and_take_back, &race, NULL);
        for (unsigned i = 0; i < race.count; i++) {
            puppet_tell(runtime, race.watching[i].pid, end_normally, NULL, NULL);
        }
        cr_assert(latch_wait(&race.notes.latch, race.count / 2));
        puppet_do(runtime, watcher, do_nothing, NULL);
        for (unsigned i = 0; i < race.count; i++) {
            cr_assert_eq(notices_of(&race.notes, race.watching[i].ref), i % 2,
                "monitor %u of round %u", i, round);
        }
        puppet_do(runtime, watcher, end_normally, NULL);
    }
    cr_assert(runtime_ends_clean(runtime));
}

struct tangle {
    troupe_pid *pids;
    unsigned count;
    uint64_t seed;
};

static int link_at_random(struct troupe_actor *self, void *arg)
{
    struct tangle *tangle = arg;
    struct test_random random = test_random_of(tangle->seed ^ troupe_self(self));

    for (unsigned i = 0; i < 50; i++) {
        troupe_pid other = tangle->pids[test_next(&random) % tangle->count];

        if (test_next(&random) % 3 == 0) {
            troupe_unlink(self, other);
        } else {
            ignore(troupe_link(self, other));
        }
    }
    return test_next(&random) % 16 == 0 ? TROUPE_DONE : TROUPE_OK;
}

static int be_killed(struct troupe_actor *self, void *arg)
{
    (void)arg;
    troupe_exit(self, TROUPE_EXIT_SHUTDOWN);
}

/* Pairs link, unlink and end at the same time from both sides; nothing hangs, and the sanitizers watch the blocks. */
Test(link, links_made_and_ended_from_both_sides_at_once, .timeout = 240)
{
    uint64_t seed = test_seed("link");
    struct troupe_runtime *runtime = runtime_new(2);

    for (unsigned round = 0; round < 60; round++) {
        troupe_pid pids[40];
        struct tangle tangle = {pids, TROUPE_COUNT(pids), seed + round};
        struct latch done = LATCH_INIT;
        struct troupe_message *msg;

        for (unsigned i = 0; i < TROUPE_COUNT(pids); i++) {
            pids[i] = puppet_spawn(runtime, &puppet_trapping, NULL);
        }
        for (unsigned i = 0; i < TROUPE_COUNT(pids); i++) {
            puppet_tell(runtime, pids[i], link_at_random, &tangle, &done);
        }
        cr_assert(latch_wait(&done, TROUPE_COUNT(pids)));
        for (unsigned i = 0; i < TROUPE_COUNT(pids); i++) {
            cr_assert_eq(troupe_message_create(runtime, &puppet_order, 0, &msg), TROUPE_OK);
            *(struct puppet_order *)troupe_body(msg) = (struct puppet_order){.fn = be_killed};
            if (troupe_send_wait(runtime, pids[i], msg, LATCH_LIMIT_S * 1000) < 0) {
                troupe_message_destroy(msg);
            }
        }
        for (unsigned i = 0; i < TROUPE_COUNT(pids); i++) {
            (void)join_kind(runtime, pids[i]);
        }
    }
    cr_assert(runtime_ends_clean(runtime));
}

/* ---- many ---- */

static int watch_hub(struct troupe_actor *self, void *arg)
{
    struct watching *watching = arg;
    troupe_ref ref;

    for (unsigned i = 0; i < 20000; i++) {
        cr_assert_eq(troupe_monitor(self, watching->pid, &ref), TROUPE_OK);
        if (i % 2 == 1) {
            cr_assert_eq(troupe_demonitor(self, ref), 1);
        }
    }
    return TROUPE_DONE;
}

Test(link, the_end_of_a_watcher_takes_its_monitors_with_it, .timeout = 120)
{
    struct troupe_runtime *runtime = runtime_new(2);
    troupe_pid hub = puppet_spawn(runtime, &puppet_plain, NULL);
    struct watching watching = {.pid = hub};

    for (unsigned i = 0; i < 5; i++) {
        troupe_pid watcher = puppet_spawn(runtime, &puppet_plain, NULL);

        puppet_tell(runtime, watcher, watch_hub, &watching, NULL);
        (void)join_kind(runtime, watcher);
    }
    puppet_do(runtime, hub, end_normally, NULL);
    cr_assert(runtime_ends_clean(runtime));
}

static int watch_past_the_limit(struct troupe_actor *self, void *arg)
{
    struct watching *watching = arg;

    for (unsigned i = 0; i < 10; i++) {
        cr_assert_eq(troupe_monitor(self, watching->pid, &watching->ref), TROUPE_OK);
    }
    watching->result = troupe_monitor(self, watching->pid, &watching->ref);
    return TROUPE_OK;
}

Test(link, watches_are_limited, .timeout = 60)
{
    struct troupe_runtime_options options = {.workers = 2, .limits.actor_watches = 10};
    struct troupe_runtime *runtime;
    struct watching watching = {0};
    troupe_pid watcher;

    cr_assert_eq(troupe_runtime_create(&options, &runtime), TROUPE_OK);
    cr_assert_eq(troupe_runtime_start(runtime), TROUPE_OK);
    watching.pid = puppet_spawn(runtime, &puppet_plain, NULL);
    watcher = puppet_spawn(runtime, &puppet_plain, NULL);
    puppet_do(runtime, watcher, watch_past_the_limit, &watching);
    cr_assert_eq(watching.result, TROUPE_ELIMIT);
    puppet_do(runtime, watcher, do_link, &watching);
    cr_assert_eq(watching.result, TROUPE_ELIMIT);
    cr_assert(runtime_ends_clean(runtime));
}
