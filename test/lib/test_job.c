/* SPDX-License-Identifier: MIT */
/* Job: what blocks runs elsewhere, and comes back once, or is given back once. */
#include "test/support/ends.h"
#include "test/support/random.h"
#include "test/support/stage.h"

static const struct troupe_type number = TROUPE_TYPE(uint64_t);
static const struct troupe_type ask = TROUPE_TYPE(uint64_t);

/* Both kinds of runtime. */
static const int kinds[] = {TROUPE_NO_THREADS, 1, 2};

#define FOR_EACH_KIND(i) for (size_t i = 0; i < TROUPE_COUNT(kinds); i++)

/* What a job is given, and what became of it. */
struct errand {
    int status;          /* what it returns */
    struct latch *until; /* it waits for that first; or NULL */
    bool obeys;          /* it returns when it is cancelled */
    struct latch began;
    _Atomic unsigned runs, outcomes, destroyed;
    _Atomic bool saw_cancel;
    int outcome;
    int deadline;         /* in the job, */
    int outcome_deadline; /* and in the continuation */
    pthread_t thread, outcome_thread;
    troupe_pid pid; /* of its actor, as the job saw it */
    struct stage *stage;
    troupe_job_id id;
    int submitted;
    int cancelled;
};

#define ERRAND_INIT .began = LATCH_INIT

static int run(struct troupe_job *job, void *arg)
{
    struct errand *errand = arg;

    errand->runs++;
    errand->thread = pthread_self();
    errand->deadline = troupe_job_deadline(job);
    errand->pid = troupe_job_actor(job);
    cr_assert_eq(troupe_job_runtime(job), errand->stage->runtime);
    latch_hit(&errand->began);
    if (errand->until != NULL) {
        (void)latch_wait(errand->until, 1);
    }
    for (unsigned i = 0; errand->obeys && !troupe_job_is_cancelled(job) && i < 60000; i++) {
        usleep(1000);
    }
    errand->saw_cancel = troupe_job_is_cancelled(job);
    return errand->status;
}

static void give_back(void *arg)
{
    ((struct errand *)arg)->destroyed++;
}

static int on_done(struct troupe_actor *self, void *state, void *arg, int status)
{
    struct errand *errand = arg;

    (void)state;
    errand->outcome = status;
    errand->outcome_deadline = troupe_deadline(self);
    errand->outcome_thread = pthread_self();
    errand->outcomes++;
    return TROUPE_OK;
}

static int submit(struct troupe_actor *self, void *arg)
{
    struct errand *errand = arg;

    errand->submitted = troupe_blocking(self, run, errand, give_back, on_done, &errand->id);
    return errand->submitted;
}

static int cancel(struct troupe_actor *self, void *arg)
{
    struct errand *errand = arg;

    errand->cancelled = troupe_blocking_cancel(self, errand->id);
    return TROUPE_OK;
}

static int cancel_from(struct stage *stage, troupe_pid pid, struct errand *errand)
{
    (void)stage_do(stage, pid, cancel, errand);
    return errand->cancelled;
}

static int fail(struct troupe_actor *self, void *arg)
{
    (void)self;
    (void)arg;
    return TROUPE_EPROTO;
}

static int kill_actor(struct troupe_actor *self, void *arg)
{
    int error = troupe_kill(self, *(const troupe_pid *)arg);

    return error == TROUPE_EGONE ? TROUPE_OK : error;
}

static const struct troupe_behaviour waiting_puppet = {
    .name = "waiting puppet", .receive = stage_puppet_receive, .may_wait = true};

static void open_small(struct stage *stage, int workers, int threads, uint32_t queue)
{
    stage_open_with(
        stage, &(struct troupe_runtime_options){
                   .workers = workers, .blocking_threads = threads, .blocking_queue = queue});
}

/* Does something that may end the puppet. */
static void order(struct stage *stage, troupe_pid puppet, stage_job_fn fn, void *arg)
{
    stage_tell(stage, puppet, fn, arg);
    if (!stage->threads) {
        stage_run(stage);
    }
}

/* ---- outcomes ---- */

Test(job, runs_elsewhere_and_its_outcome_comes_once, .timeout = 60)
{
    static const int statuses[] = {TROUPE_OK, 42, TROUPE_EPROTO, TROUPE_ETIMEDOUT};

    FOR_EACH_KIND(k)
    {
        for (size_t i = 0; i < TROUPE_COUNT(statuses); i++) {
            struct errand errand = {ERRAND_INIT, .status = statuses[i]};
            struct stage stage;
            troupe_pid pid;

            stage_open(&stage, kinds[k]);
            errand.stage = &stage;
            pid = stage_spawn(&stage, &stage_puppet, NULL);
            cr_assert_eq(stage_do(&stage, pid, submit, &errand), TROUPE_OK);
            STAGE_AWAIT(&stage, errand.outcomes == 1);
            cr_assert_eq(errand.outcome, statuses[i]);
            cr_assert_eq(errand.pid, pid);
            cr_assert_eq(errand.deadline, TROUPE_FOREVER);
            cr_assert(!pthread_equal(errand.thread, errand.outcome_thread));
            cr_assert_eq(cancel_from(&stage, pid, &errand), TROUPE_ENOENT);
            stage_close(&stage);
            cr_assert_eq(errand.runs, 1);
            cr_assert_eq(errand.outcomes, 1);
            cr_assert_eq(errand.destroyed, 0);
        }
    }
}

/* What a job sends to its actor, and what that sees. */
struct talk {
    struct stage *stage;
    uint64_t seen[4];
    _Atomic unsigned count;
    bool from_self;
};

static int speak(struct troupe_job *job, void *arg)
{
    (void)arg;
    for (uint64_t i = 0; i < 3; i++) {
        TROUPE_TRY(troupe_job_send(job, troupe_job_actor(job), &number, &i, 10000));
    }
    return TROUPE_OK;
}

static int hear_end(struct troupe_actor *self, void *state, void *arg, int status)
{
    struct talk *talk = arg;

    (void)self;
    (void)state;
    talk->seen[talk->count] = status == TROUPE_OK ? 100 : 0;
    talk->count++;
    return TROUPE_OK;
}

static int listener_init(struct troupe_actor *self, void *state, const void *arg)
{
    *(struct talk **)state = (struct talk *)(uintptr_t)arg;
    return troupe_blocking(self, speak, (void *)(uintptr_t)arg, NULL, hear_end, NULL);
}

static int listener_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct talk *talk = *(struct talk **)state;

    talk->seen[talk->count] = *(const uint64_t *)troupe_body(msg);
    talk->from_self = troupe_sender(msg) == troupe_self(self);
    talk->count++;
    return TROUPE_OK;
}

static const struct troupe_behaviour listener = {.name = "listener",
    .state_size = sizeof(struct talk *),
    .init = listener_init,
    .receive = listener_receive};

Test(job, what_it_sends_comes_before_its_outcome_and_from_its_actor, .timeout = 60)
{
    FOR_EACH_KIND(k)
    {
        struct talk talk = {.count = 0};
        struct stage stage;

        stage_open(&stage, kinds[k]);
        stage_spawn(&stage, &listener, &talk);
        STAGE_AWAIT(&stage, talk.count == 4);
        cr_assert(talk.from_self);
        for (unsigned i = 0; i < 3; i++) {
            cr_assert_eq(talk.seen[i], i);
        }
        cr_assert_eq(talk.seen[3], 100);
        stage_close(&stage);
    }
}

/* ---- limits ---- */

enum { MANY = 6 };

static _Atomic unsigned order_seen[MANY];
static _Atomic unsigned order_count;

static int run_in_order(struct troupe_job *job, void *arg)
{
    struct errand *errand = arg;

    (void)job;
    order_seen[order_count++] = (unsigned)errand->status;
    if (errand->until != NULL) {
        (void)latch_wait(errand->until, 1);
    }
    return errand->status;
}

/* Refused is what a job says to the puppet as well; it must not end with that. */
static int submit_in_order(struct troupe_actor *self, void *arg)
{
    struct errand *errand = arg;

    errand->submitted =
        troupe_blocking(self, run_in_order, errand, give_back, on_done, &errand->id);
    return TROUPE_OK;
}

static void make_errands(struct errand *errands, struct stage *stage, struct latch *until)
{
    for (unsigned i = 0; i < MANY; i++) {
        errands[i] = (struct errand){ERRAND_INIT, .stage = stage, .status = (int)i};
    }
    errands[0].until = until;
}

Test(job, jobs_begin_first_come_first_and_what_does_not_fit_is_refused, .timeout = 60)
{
    struct latch until = LATCH_INIT;
    struct errand errands[MANY];
    struct stage stage;
    troupe_pid pid;

    open_small(&stage, 1, 1, MANY - 2);
    make_errands(errands, &stage, &until);
    pid = stage_spawn(&stage, &stage_puppet, NULL);
    for (unsigned i = 0; i < MANY; i++) {
        (void)stage_do(&stage, pid, submit_in_order, &errands[i]);
    }
    cr_assert_eq(errands[MANY - 1].submitted, TROUPE_EFULL);
    latch_hit(&until);
    STAGE_AWAIT(&stage, errands[MANY - 2].outcomes == 1);
    cr_assert_eq(order_count, MANY - 1);
    for (unsigned i = 0; i < MANY - 1; i++) {
        cr_assert_eq(errands[i].submitted, TROUPE_OK);
        cr_assert_eq(order_seen[i], i);
        cr_assert_eq(errands[i].outcome, (int)i);
    }
    /* There is room again. */
    (void)stage_do(&stage, pid, submit_in_order, &errands[MANY - 1]);
    cr_assert_eq(errands[MANY - 1].submitted, TROUPE_OK);
    STAGE_AWAIT(&stage, errands[MANY - 1].outcomes == 1);
    stage_close(&stage);
    cr_assert_eq(errands[MANY - 1].destroyed, 0);
}

Test(job, an_actor_has_so_many_jobs, .timeout = 60)
{
    struct latch until = LATCH_INIT;
    struct errand errands[MANY];
    struct stage stage;
    troupe_pid pid;
    troupe_pid other;

    stage_open_with(
        &stage, &(struct troupe_runtime_options){.workers = 1, .limits = {.actor_jobs = 2}});
    make_errands(errands, &stage, &until);
    pid = stage_spawn(&stage, &stage_puppet, NULL);
    other = stage_spawn(&stage, &stage_puppet, NULL);
    errands[1].until = &until;
    for (unsigned i = 0; i < 3; i++) {
        (void)stage_do(&stage, pid, submit_in_order, &errands[i]);
        cr_assert_eq(errands[i].submitted, i < 2 ? TROUPE_OK : TROUPE_ELIMIT);
    }
    (void)stage_do(&stage, other, submit_in_order, &errands[3]);
    cr_assert_eq(errands[3].submitted, TROUPE_OK);
    latch_hit(&until);
    STAGE_AWAIT(&stage, errands[0].outcomes + errands[1].outcomes == 2);
    (void)stage_do(&stage, pid, submit_in_order, &errands[2]);
    cr_assert_eq(errands[2].submitted, TROUPE_OK);
    STAGE_AWAIT(&stage, errands[2].outcomes + errands[3].outcomes == 2);
    stage_close(&stage);
}

/* Its mailbox has room for one. */
static const struct troupe_behaviour narrow_puppet = {
    .name = "narrow puppet", .receive = stage_puppet_receive, .capacity = 1};

static int say(struct troupe_job *job, void *arg)
{
    struct errand *errand = arg;
    uint64_t value = 1;

    errand->submitted =
        troupe_job_send(job, troupe_job_actor(job), &number, &value, TROUPE_FOREVER);
    errand->status = troupe_job_send(job, troupe_job_actor(job), &number, &value, 5);
    latch_hit(&errand->began);
    return errand->status;
}

/* Does not return before the job has found the mailbox full: of the message that is handled. */
static int submit_say(struct troupe_actor *self, void *arg)
{
    struct errand *errand = arg;

    TROUPE_TRY(troupe_blocking(self, say, arg, NULL, on_done, NULL));
    (void)latch_wait(&errand->began, 1);
    return TROUPE_OK;
}

Test(job, a_full_mailbox_refuses_what_it_sends_but_not_its_outcome, .timeout = 60)
{
    struct errand errand = {ERRAND_INIT};
    struct stage stage;

    stage_open(&stage, 1);
    stage_tell(&stage, stage_spawn(&stage, &narrow_puppet, NULL), submit_say, &errand);
    STAGE_AWAIT(&stage, errand.outcomes == 1);
    cr_assert_eq(errand.submitted, TROUPE_EINVAL, "a job waits for ever");
    cr_assert_eq(errand.outcome, TROUPE_ETIMEDOUT);
    stage_close(&stage);
}

/* ---- cancelling ---- */

Test(job, one_that_was_cancelled_before_it_began_never_begins, .timeout = 60)
{
    FOR_EACH_KIND(k)
    {
        struct latch until = LATCH_INIT;
        struct errand first = {ERRAND_INIT, .until = &until};
        struct errand second = {ERRAND_INIT};
        struct stage stage;
        troupe_pid pid;

        open_small(&stage, kinds[k], 1, 10);
        first.stage = &stage;
        second.stage = &stage;
        pid = stage_spawn(&stage, &stage_puppet, NULL);
        cr_assert_eq(stage_do(&stage, pid, submit, &first), TROUPE_OK);
        cr_assert_eq(stage_do(&stage, pid, submit, &second), TROUPE_OK);
        cr_assert_eq(cancel_from(&stage, pid, &second), TROUPE_OK);
        STAGE_AWAIT(&stage, second.outcomes == 1);
        cr_assert_eq(second.outcome, TROUPE_ECANCELLED);
        cr_assert_eq(cancel_from(&stage, pid, &second), TROUPE_ENOENT);
        latch_hit(&until);
        STAGE_AWAIT(&stage, first.outcomes == 1);
        stage_close(&stage);
        cr_assert_eq(second.runs, 0);
        cr_assert_eq(second.destroyed, 0);
    }
}

Test(job, one_that_runs_is_told_and_says_what_it_made_of_it, .timeout = 60)
{
    FOR_EACH_KIND(k)
    {
        struct errand errand = {ERRAND_INIT, .obeys = true, .status = 7};
        struct stage stage;
        troupe_pid pid;

        stage_open(&stage, kinds[k]);
        errand.stage = &stage;
        pid = stage_spawn(&stage, &stage_puppet, NULL);
        cr_assert_eq(stage_do(&stage, pid, submit, &errand), TROUPE_OK);
        cr_assert(latch_wait(&errand.began, 1));
        cr_assert_eq(cancel_from(&stage, pid, &errand), TROUPE_OK);
        STAGE_AWAIT(&stage, errand.outcomes == 1);
        cr_assert(errand.saw_cancel);
        cr_assert_eq(errand.outcome, 7);
        stage_close(&stage);
    }
}

/* ---- the actor ends ---- */

Test(job, an_actor_that_ends_orphans_what_waits_and_what_runs, .timeout = 60)
{
    FOR_EACH_KIND(k)
    {
        struct errand running = {ERRAND_INIT, .obeys = true};
        struct errand queued = {ERRAND_INIT};
        struct stage stage;
        troupe_pid pid;

        open_small(&stage, kinds[k], 1, 10);
        running.stage = &stage;
        queued.stage = &stage;
        pid = stage_spawn(&stage, &stage_puppet, NULL);
        cr_assert_eq(stage_do(&stage, pid, submit, &running), TROUPE_OK);
        cr_assert(latch_wait(&running.began, 1));
        cr_assert_eq(stage_do(&stage, pid, submit, &queued), TROUPE_OK);
        order(&stage, pid, fail, NULL);
        STAGE_AWAIT(&stage, queued.destroyed == 1);
        STAGE_AWAIT(&stage, running.destroyed == 1);
        stage_close(&stage);
        cr_assert(running.saw_cancel);
        cr_assert_eq(queued.runs, 0);
        cr_assert_eq(running.outcomes + queued.outcomes, 0);
        cr_assert_eq(running.destroyed, 1);
        cr_assert_eq(queued.destroyed, 1);
    }
}

/* Two jobs, one after the other, and an end while the first one's message is queued: when the second begins, it is. */
struct doom {
    struct errand first;
    struct errand second;
};

static int submit_and_fail(struct troupe_actor *self, void *arg)
{
    struct doom *doom = arg;

    TROUPE_TRY(submit(self, &doom->first));
    TROUPE_TRY(submit(self, &doom->second));
    (void)latch_wait(&doom->second.began, 1);
    return TROUPE_EPROTO;
}

static void doom_init(struct doom *doom, struct stage *stage)
{
    *doom = (struct doom){{ERRAND_INIT, .stage = stage}, {ERRAND_INIT, .stage = stage}};
    doom->second.obeys = true;
}

Test(job, an_outcome_that_is_queued_when_its_actor_ends_is_given_back, .timeout = 60)
{
    FOR_EACH_KIND(k)
    {
        struct doom doom;
        struct stage stage;

        open_small(&stage, kinds[k], 1, 10);
        doom_init(&doom, &stage);
        order(&stage, stage_spawn(&stage, &stage_puppet, NULL), submit_and_fail, &doom);
        STAGE_AWAIT(&stage, doom.first.destroyed + doom.second.destroyed == 2);
        stage_close(&stage);
        cr_assert_eq(doom.first.destroyed, 1);
        cr_assert_eq(doom.first.outcomes + doom.second.outcomes, 0);
    }
}

Test(job, the_next_life_of_a_pid_gets_no_outcome_of_the_last_one, .timeout = 60)
{
    for (int workers = 1; workers <= 2; workers++) {
        static const struct troupe_child_spec child = {
            .id = "child", .behaviour = &stage_puppet, .keep_mailbox = true};
        static const struct troupe_supervisor_spec spec = {
            .name = "t", .intensity = 10, .children = &child, .child_count = 1};
        struct errand errand = {ERRAND_INIT};
        struct doom doom;
        struct stage stage;
        troupe_pid top;
        troupe_pid pid;

        open_small(&stage, workers, 1, 10);
        doom_init(&doom, &stage);
        errand.stage = &stage;
        cr_assert_eq(troupe_supervisor_start(stage.runtime, &spec, 10000, &top), TROUPE_OK);
        pid = troupe_runtime_whereis(stage.runtime, "t.child");
        order(&stage, pid, submit_and_fail, &doom);
        STAGE_AWAIT(&stage, doom.first.destroyed + doom.second.destroyed == 2);
        /* It lives again, and has jobs of its own. */
        cr_assert_eq(stage_do(&stage, pid, submit, &errand), TROUPE_OK);
        STAGE_AWAIT(&stage, errand.outcomes == 1);
        cr_assert_eq(stage_books(&stage).late, 1);
        stage_close(&stage);
        cr_assert_eq(doom.first.destroyed, 1);
        cr_assert_eq(doom.second.destroyed, 1);
        cr_assert_eq(doom.first.outcomes + doom.second.outcomes, 0);
    }
}

/* ---- on whose behalf ---- */

struct server {
    struct errand *errand;
};

static int server_init(struct troupe_actor *self, void *state, const void *arg)
{
    (void)self;
    *(struct errand **)state = (struct errand *)(uintptr_t)arg;
    return TROUPE_OK;
}

static int server_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct troupe_message *kept;

    TROUPE_TRY(submit(self, *(struct errand **)state));
    return troupe_take(self, msg, &kept);
}

static const struct troupe_behaviour server = {.name = "server",
    .state_size = sizeof(struct errand *),
    .init = server_init,
    .receive = server_receive};

static int no_reply(
    struct troupe_actor *self, void *state, void *context, int status, struct troupe_message *reply)
{
    (void)self;
    (void)state;
    (void)context;
    (void)status;
    (void)reply;
    return TROUPE_OK;
}

static int ask_server(struct troupe_actor *self, void *arg)
{
    uint64_t value = 1;

    return troupe_request(self, *(troupe_pid *)arg, &ask, &value, 50000, no_reply, NULL);
}

Test(job, has_the_deadline_of_the_request_that_it_works_for, .timeout = 60)
{
    FOR_EACH_KIND(k)
    {
        struct errand errand = {ERRAND_INIT};
        struct stage stage;
        troupe_pid pid;

        stage_open(&stage, kinds[k]);
        errand.stage = &stage;
        pid = stage_spawn(&stage, &server, &errand);
        cr_assert_eq(stage_do(&stage, stage_spawn(&stage, &stage_puppet, NULL), ask_server, &pid),
            TROUPE_OK);
        STAGE_AWAIT(&stage, errand.outcomes == 1);
        cr_assert(errand.deadline > 0 && errand.deadline <= 50001, "%d", errand.deadline);
        cr_assert(errand.outcome_deadline > 0 && errand.outcome_deadline <= errand.deadline);
        stage_close(&stage);
    }
}

/* ---- waiting for it ---- */

/* What is wrong where waiting is right. */
static int wait_wrongly(struct troupe_actor *self, void *arg)
{
    int status;

    (void)arg;
    cr_expect_eq(troupe_blocking_wait(self, NULL, NULL, NULL, 1, &status), TROUPE_EINVAL);
    cr_expect_eq(troupe_blocking_wait(self, run, NULL, NULL, 0, &status), TROUPE_EINVAL);
    cr_expect_eq(troupe_blocking_wait(self, run, NULL, NULL, -2, &status), TROUPE_EINVAL);
    cr_expect_eq(troupe_blocking_wait(self, run, NULL, NULL, 1, NULL), TROUPE_EINVAL);
    return TROUPE_OK;
}

Test(job, a_wait_takes_no_nonsense)
{
    struct stage stage;

    stage_open(&stage, TROUPE_NO_THREADS);
    cr_assert_eq(stage_do(&stage, stage_spawn(&stage, &waiting_puppet, NULL), wait_wrongly, NULL),
        TROUPE_OK);
    stage_close(&stage);
}

struct pause {
    struct errand errand;
    int timeout_ms;
    int status;
    _Atomic unsigned returned;
    _Atomic unsigned cleanups;
    int slept;
};

static void clean_up(void *arg)
{
    ++*(_Atomic unsigned *)arg;
}

static int wait_for_it(struct troupe_actor *self, void *arg)
{
    struct pause *pause = arg;

    TROUPE_TRY(troupe_defer(self, clean_up, &pause->cleanups));
    pause->errand.submitted = TROUPE_OK;
    pause->status = -1000;
    pause->errand.submitted = troupe_blocking_wait(
        self, run, &pause->errand, give_back, pause->timeout_ms, &pause->status);
    pause->slept = troupe_sleep(self, 1);
    pause->returned++;
    return TROUPE_OK;
}

static void pause_init(struct pause *pause, struct stage *stage, int timeout_ms)
{
    *pause = (struct pause){{ERRAND_INIT, .stage = stage, .status = -77}, .timeout_ms = timeout_ms};
}

Test(job, a_callback_that_may_wait_waits_for_it, .timeout = 60)
{
    static const int timeouts[] = {TROUPE_FOREVER, 50000};

    FOR_EACH_KIND(k)
    {
        for (size_t i = 0; i < TROUPE_COUNT(timeouts); i++) {
            struct pause pause;
            struct stage stage;

            stage_open(&stage, kinds[k]);
            pause_init(&pause, &stage, timeouts[i]);
            stage_tell(&stage, stage_spawn(&stage, &waiting_puppet, NULL), wait_for_it, &pause);
            STAGE_AWAIT(&stage, pause.returned == 1);
            cr_assert_eq(pause.errand.submitted, TROUPE_OK);
            cr_assert_eq(pause.status, -77);
            cr_assert_eq(pause.errand.deadline == TROUPE_FOREVER, timeouts[i] == TROUPE_FOREVER);
            cr_assert_eq(pause.slept, TROUPE_OK);
            stage_close(&stage);
            cr_assert_eq(pause.errand.destroyed, 0);
        }
    }
}

Test(job, a_wait_that_times_out_cancels_it_and_waits_go_on_to_work, .timeout = 60)
{
    FOR_EACH_KIND(k)
    {
        struct pause pauses[2];
        struct stage stage;
        troupe_pid pid;

        open_small(&stage, kinds[k], 1, 10);
        pause_init(&pauses[0], &stage, 10);
        pauses[0].errand.obeys = true;
        pause_init(&pauses[1], &stage, 50000);
        pid = stage_spawn(&stage, &waiting_puppet, NULL);
        for (unsigned i = 0; i < 2; i++) {
            stage_tell(&stage, pid, wait_for_it, &pauses[i]);
        }
        STAGE_AWAIT(&stage, pauses[1].returned == 1);
        cr_assert_eq(pauses[0].errand.submitted, TROUPE_ETIMEDOUT);
        cr_assert_eq(pauses[0].status, -1000, "touched");
        cr_assert_eq(pauses[1].errand.submitted, TROUPE_OK);
        cr_assert_eq(pauses[1].status, -77);
        STAGE_AWAIT(&stage, pauses[0].errand.destroyed == 1);
        stage_close(&stage);
        /* On a slow machine it had not begun. */
        cr_assert(pauses[0].errand.saw_cancel || pauses[0].errand.runs == 0);
        cr_assert_eq(pauses[0].errand.outcomes + pauses[1].errand.outcomes, 0);
    }
}

/* The job ends at the very time at which the wait does: whoever is first, each argument goes one way. */
Test(job, a_wait_and_its_time_out_that_meet_agree, .timeout = 60)
{
    enum { ROUNDS = 200 };
    struct pause pause;
    struct stage stage;
    unsigned late = 0;
    troupe_pid pid;

    stage_open(&stage, 2);
    pid = stage_spawn(&stage, &waiting_puppet, NULL);
    for (unsigned i = 0; i < ROUNDS; i++) {
        struct latch until = LATCH_INIT;

        pause_init(&pause, &stage, 1);
        pause.errand.until = &until;
        stage_tell(&stage, pid, wait_for_it, &pause);
        /* On a slow machine it may never begin. */
        while (latch_count(&pause.errand.began) == 0 && pause.returned == 0) {
            usleep(10);
        }
        usleep((useconds_t)(i * 10));
        latch_hit(&until);
        STAGE_AWAIT(&stage, pause.returned == 1);
        if (pause.errand.submitted == TROUPE_ETIMEDOUT) {
            late++;
            STAGE_AWAIT(&stage, pause.errand.destroyed == 1);
        } else {
            cr_assert_eq(pause.errand.submitted, TROUPE_OK);
            cr_assert_eq(pause.status, -77);
            cr_assert_eq(pause.errand.destroyed, 0);
        }
    }
    cr_assert(late > 0 && late < ROUNDS, "%u of %u were late", late, ROUNDS);
    stage_close(&stage);
}

Test(job, who_is_killed_while_it_waits_does_not_return_and_orphans_it, .timeout = 60)
{
    FOR_EACH_KIND(k)
    {
        struct pause pause;
        struct stage_end end;
        struct stage stage;
        troupe_pid pid;

        stage_open(&stage, kinds[k]);
        pause_init(&pause, &stage, TROUPE_FOREVER);
        pause.errand.obeys = true;
        pid = stage_spawn(&stage, &waiting_puppet, NULL);
        stage_watch(&stage, pid, &end);
        order(&stage, pid, wait_for_it, &pause);
        cr_assert(latch_wait(&pause.errand.began, 1));
        cr_assert_eq(stage_do(&stage, stage_spawn(&stage, &stage_puppet, NULL), kill_actor, &pid),
            TROUPE_OK);
        STAGE_AWAIT(&stage, end.count == 1);
        cr_assert_eq(end.kind, TROUPE_EXIT_KILLED);
        STAGE_AWAIT(&stage, pause.errand.destroyed == 1);
        stage_close(&stage);
        cr_assert_eq(pause.returned, 0);
        cr_assert_eq(pause.cleanups, 1);
        cr_assert(pause.errand.saw_cancel);
    }
}

/* ---- the runtime stops ---- */

Test(job, stop_waits_for_a_job_that_runs_and_says_so_in_vain, .timeout = 60)
{
    FOR_EACH_KIND(k)
    {
        struct latch until = LATCH_INIT;
        struct errand errands[2] = {{ERRAND_INIT}, {ERRAND_INIT}};
        struct stage stage;
        troupe_pid pid;

        open_small(&stage, kinds[k], 1, 10);
        pid = stage_spawn(&stage, &stage_puppet, NULL);
        errands[0].until = &until;
        for (unsigned i = 0; i < 2; i++) {
            errands[i].stage = &stage;
            cr_assert_eq(stage_do(&stage, pid, submit, &errands[i]), TROUPE_OK);
        }
        cr_assert(latch_wait(&errands[0].began, 1));
        cr_assert_eq(troupe_runtime_stop(stage.runtime, 50), TROUPE_ETIMEDOUT);
        cr_assert_eq(stage_reports(&stage, TROUPE_REPORT_UNSTOPPED), 1);
        cr_assert_eq(stage.facts[TROUPE_REPORT_UNSTOPPED].count, 1);
        cr_assert_eq(errands[1].destroyed, 1, "it had not begun");
        latch_hit(&until);
        cr_assert_eq(troupe_runtime_stop(stage.runtime, 10000), TROUPE_OK);
        cr_assert_eq(errands[0].destroyed, 1);
        cr_assert(errands[0].saw_cancel);
        stage_close(&stage);
    }
}

/* ---- many ---- */

enum { ACTORS = 40, JOBS = 25 };

struct crowd {
    struct stage *stage;
    _Atomic unsigned given, outcomes, destroyed, runs;
};

static struct crowd crowd;

static int crowd_run(struct troupe_job *job, void *arg)
{
    (void)job;
    (void)arg;
    crowd.runs++;
    sched_yield();
    return TROUPE_OK;
}

static void crowd_give_back(void *arg)
{
    crowd.destroyed++;
    free(arg);
}

static int crowd_done(struct troupe_actor *self, void *state, void *arg, int status)
{
    (void)state;
    (void)status;
    crowd.outcomes++;
    free(arg);
    if (crowd.outcomes % 7 == 0) {
        return TROUPE_EPROTO;
    }
    if (crowd.outcomes % 3 == 0) {
        (void)troupe_blocking_cancel(self, JOBS - 1);
    }
    return TROUPE_OK;
}

static int crowd_submit(struct troupe_actor *self, void *arg)
{
    (void)arg;
    for (unsigned i = 0; i < JOBS; i++) {
        void *own = malloc(16);

        if (troupe_blocking(self, crowd_run, own, crowd_give_back, crowd_done, NULL) < 0) {
            free(own);
        } else {
            crowd.given++;
        }
    }
    return TROUPE_OK;
}

Test(job, every_argument_of_many_comes_back_or_is_given_back_once, .timeout = 60)
{
    struct stage stage;
    troupe_pid pids[ACTORS];
    troupe_pid killer;
    struct test_random random = test_random_of(test_seed("job"));

    crowd.stage = &stage;
    stage_open_with(&stage,
        &(struct troupe_runtime_options){
            .workers = 2, .blocking_threads = 3, .blocking_queue = 200, .blocking_idle_ms = 1});
    killer = stage_spawn(&stage, &stage_puppet, NULL);
    for (unsigned round = 0; round < 10; round++) {
        for (unsigned i = 0; i < ACTORS; i++) {
            pids[i] = stage_spawn(&stage, &stage_puppet, NULL);
            stage_tell(&stage, pids[i], crowd_submit, NULL);
        }
        for (unsigned i = 0; i < ACTORS / 2; i++) {
            stage_tell(&stage, killer, kill_actor, &pids[test_below(&random, ACTORS)]);
        }
        /* The pids are read by then. */
        (void)stage_do(&stage, killer, kill_actor, &pids[0]);
    }
    STAGE_AWAIT(&stage, crowd.outcomes + crowd.destroyed == crowd.given);
    stage_close(&stage);
    cr_assert_eq(crowd.outcomes + crowd.destroyed, crowd.given);
    cr_assert(crowd.given > 0 && crowd.destroyed > 0 && crowd.outcomes > 0);
}
