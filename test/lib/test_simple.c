/* SPDX-License-Identifier: MIT */
/* Simple_one_for_one: many children of one template, known by their pids (semantics 7.6, 7.7, 7.9). */
#include "test/support/nursery.h"

/* ---- a child that says what its argument was ---- */

/* What all have in common, as the template's argument; behind it comes what is each one's own. */
struct shared {
    struct actor_card *card;
    uint64_t seven;
};

struct own {
    uint64_t number;
};

static _Atomic uint64_t number_seen; /* by the init that ran last; UINT64_MAX: none was given */

struct simple_child {
    struct child child; /* first, for child_receive() */
};

static int simple_init(struct troupe_actor *self, void *state, const void *arg)
{
    const struct shared *shared = arg;

    number_seen = ((const struct own *)(const void *)(shared + 1))->number;
    cr_assert_eq(shared->seven, 7);
    return child_init(self, state, shared->card);
}

static const struct troupe_behaviour simple_behaviour = {
    .name = "simple",
    .state_size = sizeof(struct simple_child),
    .init = simple_init,
    .receive = child_receive,
    .destroy = child_destroy,
};

/* ---- helpers ---- */

static struct troupe_child_spec template_of(struct actor_card *card, enum troupe_restart restart)
{
    return spec_of(card, restart);
}

static struct troupe_supervisor_spec simple_of(const struct troupe_child_spec *template)
{
    return (struct troupe_supervisor_spec){.strategy = TROUPE_SIMPLE_ONE_FOR_ONE,
        .children = template,
        .child_count = 1,
        .intensity = 1000,
        .period_ms = 600000};
}

static struct troupe_child_answer spawn_more(
    struct troupe_runtime *runtime, troupe_pid supervisor, const void *extra, size_t extra_size)
{
    struct troupe_child_answer answer = {.status = 1};
    int status = troupe_runtime_child_spawn(
        runtime, supervisor, extra, extra_size, LATCH_LIMIT_S * 1000, &answer);

    cr_assert_eq(status, answer.status, "%d", status);
    return answer;
}

static troupe_pid spawn_one(struct troupe_runtime *runtime, troupe_pid supervisor)
{
    struct troupe_child_answer answer = spawn_more(runtime, supervisor, NULL, 0);

    cr_assert_eq(answer.status, TROUPE_OK);
    cr_assert_eq(answer.state, TROUPE_CHILD_RUNNING);
    cr_assert(troupe_is_alive(runtime, answer.pid));
    return answer.pid;
}

static int end_of(struct troupe_runtime *runtime, troupe_pid supervisor, troupe_pid pid)
{
    struct troupe_child_answer answer = {.status = 1};
    int status =
        troupe_runtime_child_terminate(runtime, supervisor, pid, LATCH_LIMIT_S * 1000, &answer);

    cr_assert_eq(status, answer.status, "%d", status);
    return status;
}

struct counting {
    troupe_pid supervisor;
    struct latch done;
    struct troupe_child_info row;  /* the first one */
    struct troupe_children counts; /* last: it ends in rows */
};

static int on_counts(
    struct troupe_actor *self, void *state, void *context, int status, struct troupe_message *reply)
{
    struct counting *counting = context;
    const struct troupe_children *children;

    (void)self;
    (void)state;
    if (status == TROUPE_OK) {
        children = troupe_body(reply);
        memcpy(&counting->counts, children, sizeof *children);
        if (children->row_count > 0) {
            counting->row = children->rows[0];
        }
    }
    latch_hit(&counting->done);
    return TROUPE_OK;
}

static int ask_counts(struct troupe_actor *self, void *arg)
{
    struct counting *counting = arg;

    return troupe_children(self, counting->supervisor, 0, 1, TROUPE_FOREVER, on_counts, counting);
}

static struct counting count(struct troupe_runtime *runtime, troupe_pid supervisor)
{
    struct counting counting = {.supervisor = supervisor, .done = LATCH_INIT};

    puppet_tell(runtime, puppet_spawn(runtime, &puppet_plain, NULL), ask_counts, &counting, NULL);
    cr_assert(latch_wait(&counting.done, 1));
    return counting;
}

static void await_active(struct troupe_runtime *runtime, troupe_pid supervisor, unsigned wanted)
{
    while (count(runtime, supervisor).counts.active != wanted) {
    }
}

/* ---- arguments ---- */

Test(simple, init_gets_the_template_s_argument_and_behind_it_its_own_at_every_start, .timeout = 60)
{
    struct troupe_runtime *runtime = runtime_new(2);
    struct latch started = LATCH_INIT;
    struct actor_card card = {.id = "one", .started = &started};
    struct shared shared = {.card = &card, .seven = 7};
    struct own own = {.number = 41};
    struct troupe_child_spec template = {
        .id = "any", .behaviour = &simple_behaviour, .arg = &shared, .arg_size = sizeof shared};
    struct troupe_supervisor_spec spec = simple_of(&template);
    troupe_pid supervisor = start(runtime, &spec);

    cr_assert_eq(card.starts, 0);
    cr_assert_eq(spawn_more(runtime, supervisor, &own, sizeof own).status, TROUPE_OK);
    cr_assert_eq(number_seen, 41);
    /* Copies, all of them. */
    memset(&shared, 0, sizeof shared);
    own.number = 0;
    number_seen = 0;
    puppet_tell(runtime, card.pid, end_with_error, NULL, NULL);
    cr_assert(latch_wait(&started, 2));
    cr_assert_eq(number_seen, 41);
    cr_assert(runtime_ends_clean(runtime));
}

Test(simple, nothing_can_be_put_behind_a_pointer_or_a_tree, .timeout = 60)
{
    struct troupe_runtime *runtime = runtime_new(2);
    static const struct troupe_supervisor_spec low = {0};
    struct actor_card card = {.id = "one"};
    struct troupe_child_spec template = template_of(&card, TROUPE_PERMANENT);
    struct troupe_child_spec tree = {.id = "tree", .tree = &low};
    struct troupe_supervisor_spec spec = simple_of(&template);
    struct troupe_supervisor_spec trees = simple_of(&tree);
    troupe_pid supervisor = start(runtime, &spec);
    troupe_pid forest = start(runtime, &trees);

    cr_assert_eq(spawn_more(runtime, supervisor, "x", 1).status, TROUPE_EINVAL);
    cr_assert_eq(spawn_more(runtime, forest, "x", 1).status, TROUPE_EINVAL);
    cr_assert_eq(count(runtime, supervisor).counts.workers, 0);
    (void)spawn_one(runtime, supervisor);
    (void)spawn_one(runtime, forest);
    cr_assert_eq(count(runtime, forest).counts.supervisors, 1);
    cr_assert(runtime_ends_clean(runtime));
}

/* ---- 7.7: no ids ---- */

Test(simple, ids_mean_nothing_here_and_pids_nothing_elsewhere, .timeout = 60)
{
    struct troupe_runtime *runtime = runtime_new(2);
    struct actor_card card = {.id = "one"};
    struct troupe_child_spec template = template_of(&card, TROUPE_TEMPORARY);
    struct troupe_supervisor_spec spec = simple_of(&template);
    struct troupe_supervisor_spec plain = {0};
    troupe_pid supervisor = start(runtime, &spec);
    troupe_pid other = start(runtime, &plain);
    troupe_pid pid = spawn_one(runtime, supervisor);

    cr_assert_eq(
        ask(runtime, supervisor, TROUPE_CHILD_START, NULL, &template).status, TROUPE_EINVAL);
    for (int op = TROUPE_CHILD_TERMINATE; op <= TROUPE_CHILD_WHICH; op++) {
        cr_assert_eq(status_of(runtime, supervisor, (enum troupe_child_op)op, "one"), TROUPE_EINVAL,
            "operation %d", op);
    }
    cr_assert_eq(spawn_more(runtime, other, NULL, 0).status, TROUPE_EINVAL);
    cr_assert_eq(end_of(runtime, other, pid), TROUPE_EINVAL);
    cr_assert_eq(card.starts, 1);
    cr_assert(runtime_ends_clean(runtime));
}

Test(simple, one_is_terminated_by_its_pid_and_forgotten, .timeout = 60)
{
    for (int type = TROUPE_PERMANENT; type <= TROUPE_TEMPORARY; type++) {
        struct troupe_runtime *runtime = runtime_new(2);
        struct actor_card card = {.id = "one"};
        struct troupe_child_spec template = template_of(&card, (enum troupe_restart)type);
        struct troupe_supervisor_spec spec = simple_of(&template);
        troupe_pid supervisor = start(runtime, &spec);
        troupe_pid stranger = puppet_spawn(runtime, &puppet_plain, NULL);
        troupe_pid pid = spawn_one(runtime, supervisor);
        troupe_pid other = spawn_one(runtime, supervisor);

        cr_assert_eq(end_of(runtime, supervisor, pid), TROUPE_OK);
        cr_assert_not(troupe_is_alive(runtime, pid));
        cr_assert(troupe_is_alive(runtime, other));
        cr_assert_eq(count(runtime, supervisor).counts.workers, 1);
        /* Dead: well. */
        cr_assert_eq(end_of(runtime, supervisor, pid), TROUPE_OK);
        /* Alive, and not ours. */
        cr_assert_eq(end_of(runtime, supervisor, stranger), TROUPE_ENOENT);
        cr_assert_eq(end_of(runtime, supervisor, supervisor), TROUPE_ENOENT);
        cr_assert(troupe_is_alive(runtime, stranger));
        cr_assert_eq(card.starts, 2);
        cr_assert(runtime_ends_clean(runtime));
    }
}

struct pid_question {
    troupe_pid supervisor;
    troupe_pid pid;
    int status;
};

static int on_terminated(
    struct troupe_actor *self, void *state, void *context, int status, struct troupe_message *reply)
{
    struct pid_question *question = context;

    (void)self;
    (void)state;
    question->status = status == TROUPE_OK
                           ? ((const struct troupe_child_answer *)troupe_body(reply))->status
                           : status;
    return TROUPE_OK;
}

static int put_terminate(struct troupe_actor *self, void *arg)
{
    struct pid_question *question = arg;

    return troupe_child_terminate(
        self, question->supervisor, question->pid, TROUPE_FOREVER, on_terminated, question);
}

static int put_spawn(struct troupe_actor *self, void *arg)
{
    struct pid_question *question = arg;

    return troupe_child_spawn(
        self, question->supervisor, NULL, 0, TROUPE_FOREVER, on_terminated, question);
}

static void spawn_in(struct nursery *nursery)
{
    struct pid_question question = {.supervisor = nursery->supervisor, .status = 1};

    stage_tell(&nursery->stage, nursery->asker, put_spawn, &question);
    nursery_run(nursery);
    cr_assert_eq(question.status, TROUPE_OK);
}

Test(simple, one_that_waits_to_be_restarted_is_known_by_its_last_pid, .timeout = 60)
{
    struct actor_card card = {.id = "one"};
    struct troupe_child_spec template = template_of(&card, TROUPE_PERMANENT);
    struct troupe_supervisor_spec spec = simple_of(&template);
    struct pid_question question = {.status = 1};
    struct nursery nursery;

    template.backoff = (struct troupe_backoff){100, 100, TROUPE_NO_JITTER, 0};
    nursery_open(&nursery, 1, &spec);
    spawn_in(&nursery);
    question.pid = card.pid;
    question.supervisor = nursery.supervisor;
    nursery_end(&nursery, &card, end_with_error);
    nursery_pass(&nursery, 50);
    stage_tell(&nursery.stage, nursery.asker, put_terminate, &question);
    nursery_pass(&nursery, 500);
    cr_assert_eq(question.status, TROUPE_OK);
    cr_assert_eq(card.starts, 1);
    nursery_close(&nursery);
}

/* ---- 7.1 for a child that is nobody's spec ---- */

static void one_end(
    struct troupe_runtime *runtime, enum troupe_restart type, puppet_fn end, bool clean)
{
    struct latch started = LATCH_INIT;
    struct actor_card card = {.id = "one", .started = &started};
    struct troupe_child_spec template = template_of(&card, type);
    struct troupe_supervisor_spec spec = simple_of(&template);
    troupe_pid supervisor = start(runtime, &spec);
    troupe_pid first = spawn_one(runtime, supervisor);
    bool again = type == TROUPE_PERMANENT || (type == TROUPE_TRANSIENT && !clean);

    puppet_tell(runtime, first, end, NULL, NULL);
    if (again) {
        cr_assert(latch_wait(&started, 2));
        await_active(runtime, supervisor, 1);
        cr_assert_neq(card.pid, first);
        /* The old pid is nobody's, the new one is known. */
        cr_assert_eq(end_of(runtime, supervisor, first), TROUPE_OK);
        cr_assert_eq(count(runtime, supervisor).counts.restart_count, 1);
        cr_assert_eq(end_of(runtime, supervisor, card.pid), TROUPE_OK);
    }
    await_active(runtime, supervisor, 0);
    cr_assert_eq(count(runtime, supervisor).counts.workers, 0);
    cr_assert_eq(card.starts, again ? 2 : 1);
    cr_assert_eq(troupe_runtime_exit(runtime, supervisor, TROUPE_EXIT_SHUTDOWN), TROUPE_OK);
    (void)join_kind(runtime, supervisor);
}

Test(simple, restart_type_and_reason_decide_as_elsewhere_but_nothing_rests, .timeout = 120)
{
    struct troupe_runtime *runtime = runtime_new(2);

    for (int type = TROUPE_PERMANENT; type <= TROUPE_TEMPORARY; type++) {
        for (unsigned i = 0; i < TROUPE_COUNT(ends); i++) {
            one_end(runtime, (enum troupe_restart)type, ends[i].fn, ends[i].clean);
        }
    }
    cr_assert(runtime_ends_clean(runtime));
}

Test(simple, one_intensity_counts_for_all_of_them, .timeout = 60)
{
    struct troupe_runtime *runtime = runtime_new(2);
    struct latch started = LATCH_INIT;
    struct actor_card card = {.id = "one", .started = &started};
    struct troupe_child_spec template = template_of(&card, TROUPE_PERMANENT);
    struct troupe_supervisor_spec spec = simple_of(&template);
    struct puppet_notes notes = PUPPET_NOTES_INIT;
    troupe_pid pids[3];
    troupe_pid supervisor;

    spec.intensity = 2;
    supervisor = start(runtime, &spec);
    puppet_watch(runtime, supervisor, &notes);
    for (unsigned i = 0; i < 3; i++) {
        pids[i] = spawn_one(runtime, supervisor);
    }
    for (unsigned i = 0; i < 2; i++) {
        puppet_tell(runtime, pids[i], end_with_error, NULL, NULL);
        cr_assert(latch_wait(&started, 4 + i));
    }
    cr_assert_eq(notes.downs, 0);
    puppet_tell(runtime, pids[2], end_with_error, NULL, NULL);
    cr_assert_eq(puppet_down_kind(&notes), TROUPE_EXIT_SHUTDOWN);
    cr_assert_eq(card.alive, 0);
    cr_assert(runtime_ends_clean(runtime));
}

/* ---- starts ---- */

Test(simple, a_start_that_fails_or_is_not_needed_saves_nothing, .timeout = 60)
{
    struct troupe_runtime *runtime = runtime_new(2);
    struct actor_card card = {.id = "one", .habits = HABIT_FAIL_INIT};
    struct troupe_child_spec template = template_of(&card, TROUPE_PERMANENT);
    struct troupe_supervisor_spec spec = simple_of(&template);
    troupe_pid supervisor = start(runtime, &spec);
    struct troupe_child_answer answer;

    answer = spawn_more(runtime, supervisor, NULL, 0);
    cr_assert_eq(answer.status, TROUPE_EPROTO);
    cr_assert_eq(answer.pid, TROUPE_NOBODY);
    card.habits = HABIT_NOT_NEEDED;
    answer = spawn_more(runtime, supervisor, NULL, 0);
    cr_assert_eq(answer.status, TROUPE_OK);
    cr_assert_eq(answer.pid, TROUPE_NOBODY);
    cr_assert_eq(count(runtime, supervisor).counts.workers, 0);
    cr_assert_eq(card.starts, 2);
    cr_assert(runtime_ends_clean(runtime));
}

Test(simple, there_are_no_more_than_child_max, .timeout = 60)
{
    struct troupe_runtime *runtime = runtime_new(2);
    struct actor_card card = {.id = "one"};
    struct troupe_child_spec template = template_of(&card, TROUPE_TEMPORARY);
    struct troupe_supervisor_spec spec = simple_of(&template);
    troupe_pid supervisor;
    troupe_pid pid;

    spec.child_max = 3;
    supervisor = start(runtime, &spec);
    pid = spawn_one(runtime, supervisor);
    (void)spawn_one(runtime, supervisor);
    (void)spawn_one(runtime, supervisor);
    cr_assert_eq(spawn_more(runtime, supervisor, NULL, 0).status, TROUPE_ELIMIT);
    cr_assert_eq(end_of(runtime, supervisor, pid), TROUPE_OK);
    (void)spawn_one(runtime, supervisor);
    cr_assert(runtime_ends_clean(runtime));
}

/* 7.7: specs is 1, workers are those that live and those that will again, active only the former. */
Test(simple, they_are_counted_as_otp_does, .timeout = 60)
{
    struct troupe_runtime *runtime = runtime_new(2);
    struct actor_card card = {.id = "one"};
    struct troupe_child_spec template = template_of(&card, TROUPE_PERMANENT);
    struct troupe_supervisor_spec spec = simple_of(&template);
    struct counting counting;
    troupe_pid supervisor;
    troupe_pid pid;

    template.backoff = (struct troupe_backoff){600000, 600000, TROUPE_NO_JITTER, 0};
    supervisor = start(runtime, &spec);
    counting = count(runtime, supervisor);
    cr_assert(counting.counts.specs == 1 && counting.counts.row_count == 0);
    pid = spawn_one(runtime, supervisor);
    (void)spawn_one(runtime, supervisor);
    puppet_tell(runtime, pid, end_with_error, NULL, NULL);
    await_active(runtime, supervisor, 1);
    counting = count(runtime, supervisor);
    cr_assert_eq(counting.counts.specs, 1);
    cr_assert_eq(counting.counts.workers, 2);
    cr_assert_eq(counting.counts.supervisors, 0);
    cr_assert_str_eq(counting.row.id, "");
    cr_assert(runtime_ends_clean(runtime));
}

/* ---- 7.6: the end ---- */

#define CROWD 1000

Test(simple, all_are_told_at_once_and_share_one_deadline, .timeout = 60)
{
    struct actor_card card = {.id = "one", .habits = HABIT_IGNORE_EXIT};
    struct troupe_child_spec template = template_of(&card, TROUPE_TEMPORARY);
    struct troupe_supervisor_spec spec = simple_of(&template);
    struct nursery nursery;

    template.shutdown_ms = 100;
    nursery_open(&nursery, 1, &spec);
    for (unsigned i = 0; i < CROWD; i++) {
        spawn_in(&nursery);
    }
    cr_assert_eq(card.alive, CROWD);
    cr_assert_eq(
        troupe_runtime_exit(nursery.stage.runtime, nursery.supervisor, TROUPE_EXIT_SHUTDOWN),
        TROUPE_OK);
    nursery_pass(&nursery, 99);
    cr_assert_eq(card.alive, CROWD);
    cr_assert_eq(nursery.end.count, 0);
    /* The deadline, and some ticks of the walk. */
    nursery_pass(&nursery, 12);
    cr_assert_eq(card.alive, 0);
    cr_assert_eq(nursery.end.count, 1);
    cr_assert_eq(nursery.end.kind, TROUPE_EXIT_SHUTDOWN);
    /* One report, with a count. */
    cr_assert_eq(stage_reports(&nursery.stage, TROUPE_REPORT_UNSTOPPED), 1);
    cr_assert_not_null(strstr(nursery.stage.text[TROUPE_REPORT_UNSTOPPED], "1000 of its children"));
    cr_assert_eq(nursery.stage.facts[TROUPE_REPORT_UNSTOPPED].count, CROWD);
    nursery_close(&nursery);
}

Test(simple, those_that_obey_are_waited_for_and_nobody_is_reported, .timeout = 60)
{
    for (int shutdown_ms = TROUPE_NOW; shutdown_ms <= 1; shutdown_ms++) {
        struct troupe_runtime *runtime = runtime_new(2);
        struct actor_card card = {.id = "one"};
        struct troupe_child_spec template = template_of(&card, TROUPE_PERMANENT);
        struct troupe_supervisor_spec spec = simple_of(&template);
        struct puppet_notes notes = PUPPET_NOTES_INIT;
        troupe_pid supervisor;

        template.shutdown_ms = shutdown_ms;
        supervisor = start(runtime, &spec);
        puppet_watch(runtime, supervisor, &notes);
        for (unsigned i = 0; i < CROWD; i++) {
            (void)spawn_one(runtime, supervisor);
        }
        cr_assert_eq(troupe_runtime_exit(runtime, supervisor, TROUPE_EXIT_SHUTDOWN), TROUPE_OK);
        cr_assert_eq(puppet_down_kind(&notes), TROUPE_EXIT_SHUTDOWN);
        cr_assert_eq(card.alive, 0);
        cr_assert_eq(card.starts, CROWD);
        cr_assert(runtime_ends_clean(runtime));
    }
}

/* 7.6: those that wait to be restarted are skipped. */
Test(simple, those_that_wait_to_be_restarted_do_not_hold_up_the_end, .timeout = 60)
{
    struct actor_card card = {.id = "one"};
    struct troupe_child_spec template = template_of(&card, TROUPE_PERMANENT);
    struct troupe_supervisor_spec spec = simple_of(&template);
    struct nursery nursery;

    template.backoff = (struct troupe_backoff){1000, 1000, TROUPE_NO_JITTER, 0};
    nursery_open(&nursery, 1, &spec);
    for (unsigned i = 0; i < 10; i++) {
        spawn_in(&nursery);
        nursery_end(&nursery, &card, end_with_error);
    }
    cr_assert_eq(
        troupe_runtime_exit(nursery.stage.runtime, nursery.supervisor, TROUPE_EXIT_SHUTDOWN),
        TROUPE_OK);
    nursery_pass(&nursery, 1);
    cr_assert_eq(nursery.end.count, 1);
    cr_assert_eq(card.starts, 10);
    nursery_close(&nursery);
}

struct stall {
    struct latch entered;
    struct latch gate;
};

static int stall(struct troupe_actor *self, void *arg)
{
    struct stall *stall = arg;

    (void)self;
    latch_hit(&stall->entered);
    cr_assert(latch_wait(&stall->gate, 1));
    return TROUPE_OK;
}

Test(simple, orphans_do_not_hold_up_the_end, .timeout = 60)
{
    struct troupe_runtime *runtime = runtime_new(3);
    struct actor_card card = {.id = "one"};
    struct stall stalled = {LATCH_INIT, LATCH_INIT};
    struct troupe_child_spec template = template_of(&card, TROUPE_TEMPORARY);
    struct troupe_supervisor_spec spec = simple_of(&template);
    struct puppet_notes notes = PUPPET_NOTES_INIT;
    troupe_pid supervisor;
    troupe_pid pid;

    template.shutdown_ms = 10;
    template.kill_grace_ms = 10;
    template.unkillable = TROUPE_UNKILLABLE_ORPHAN;
    supervisor = start(runtime, &spec);
    puppet_watch(runtime, supervisor, &notes);
    pid = spawn_one(runtime, supervisor);
    (void)spawn_one(runtime, supervisor);
    puppet_tell(runtime, pid, stall, &stalled, NULL);
    cr_assert(latch_wait(&stalled.entered, 1));
    cr_assert_eq(troupe_runtime_exit(runtime, supervisor, TROUPE_EXIT_SHUTDOWN), TROUPE_OK);
    cr_assert_eq(puppet_down_kind(&notes), TROUPE_EXIT_SHUTDOWN);
    cr_assert_eq(card.alive, 1);
    latch_hit(&stalled.gate);
    cr_assert(runtime_ends_clean(runtime));
}

/* ---- 7.9: so many ---- */

#define MANY 10000

static int idle_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    (void)self;
    (void)state;
    (void)msg;
    return TROUPE_OK;
}

static const struct troupe_behaviour idle_behaviour = {.name = "idle", .receive = idle_receive};

/* Starts `total` children, one after the other, and terminates them one by one. */
struct parade {
    troupe_pid supervisor;
    unsigned total;
    unsigned started;
    unsigned ended;
    troupe_pid *pids;
    struct latch done;
};

static int on_step(struct troupe_actor *self, void *state, void *context, int status,
    struct troupe_message *reply);

static int step(struct troupe_actor *self, void *arg)
{
    struct parade *parade = arg;

    if (parade->started < parade->total) {
        return troupe_child_spawn(
            self, parade->supervisor, NULL, 0, TROUPE_FOREVER, on_step, parade);
    }
    if (parade->ended < parade->total) {
        return troupe_child_terminate(
            self, parade->supervisor, parade->pids[parade->ended], TROUPE_FOREVER, on_step, parade);
    }
    latch_hit(&parade->done);
    return TROUPE_DONE;
}

static int on_step(
    struct troupe_actor *self, void *state, void *context, int status, struct troupe_message *reply)
{
    struct parade *parade = context;
    const struct troupe_child_answer *answer;

    (void)state;
    cr_assert_eq(status, TROUPE_OK);
    answer = troupe_body(reply);
    cr_assert_eq(answer->status, TROUPE_OK);
    if (parade->started < parade->total) {
        parade->pids[parade->started++] = answer->pid;
    } else {
        parade->ended++;
    }
    return step(self, parade);
}

static double seconds_of(unsigned total)
{
    struct troupe_runtime *runtime = runtime_new(2);
    struct troupe_child_spec template = {
        .id = "any", .behaviour = &idle_behaviour, .restart = TROUPE_TEMPORARY};
    struct troupe_supervisor_spec spec = simple_of(&template);
    struct parade parade = {.supervisor = start(runtime, &spec),
        .total = total,
        .pids = calloc(total, sizeof(troupe_pid)),
        .done = LATCH_INIT};
    uint64_t begin_ns = troupe_now_ns(runtime);
    double seconds;

    cr_assert_not_null(parade.pids);
    puppet_tell(runtime, puppet_spawn(runtime, &puppet_plain, NULL), step, &parade, NULL);
    cr_assert(latch_wait(&parade.done, 1));
    seconds = (double)(troupe_now_ns(runtime) - begin_ns) / 1e9;
    free(parade.pids);
    cr_assert(runtime_ends_clean(runtime));
    return seconds;
}

Test(simple, ten_thousand_are_started_and_terminated_one_by_one_in_linear_time, .timeout = 240)
{
    double small = seconds_of(MANY / 10);
    double large = seconds_of(MANY);

    fprintf(
        stderr, "simple: %d children %.3f s, %d children %.3f s\n", MANY / 10, small, MANY, large);
    /* Within five times of linear. */
    cr_assert_lt(large, small * 10 * 5 + 1);
}
