/* SPDX-License-Identifier: MIT */
/* scenario_blocking.c - jobs on threads of the blocking pool: done, cancelled, waited for, orphaned. */
#include "scenario.h"

#include <poll.h>
#include <string.h>

static const struct troupe_type word = TROUPE_TYPE(uint64_t);

/** What the start of a job may give. */
#define MAY_START (MAY(TROUPE_ENOMEM) | MAY(TROUPE_ESYSTEM))

static struct {
    unsigned started;
    unsigned over; /* outcomes, and arguments given back */
    unsigned through;
    _Atomic unsigned destroyed;
} jobs;

static int work(struct troupe_job *job, void *arg)
{
    uint64_t value = 3;

    (void)arg;
    HOLDS(troupe_job_deadline(job) != 0);
    HOLDS(troupe_job_runtime(job) != NULL);
    (void)WENT(troupe_job_send(job, troupe_job_actor(job), &word, &value, 1000), MAY_SEND);
    return 5;
}

/* Until nobody wants it. */
static int linger(struct troupe_job *job, void *arg)
{
    (void)arg;
    while (!troupe_job_is_cancelled(job)) {
        (void)poll(NULL, 0, 1);
    }
    return 6;
}

static void give_back(void *arg)
{
    (void)arg;
    jobs.destroyed++;
}

static int on_done(struct troupe_actor *self, void *state, void *arg, int status)
{
    (void)self;
    (void)state;
    (void)arg;
    HOLDS(status == 5 || status == 6 || status == TROUPE_ECANCELLED);
    jobs.over++;
    return TROUPE_OK;
}

static int wait_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    int status;

    (void)state;
    (void)msg;
    if (WENT(troupe_blocking_wait(self, work, NULL, NULL, 10000, &status), MAY_START)) {
        HOLDS(status == 5);
    }
    jobs.through++;
    return TROUPE_OK;
}

static int wait_init(struct troupe_actor *self, void *state, const void *arg)
{
    (void)arg;
    return wait_receive(self, state, NULL);
}

/* What the job sends it is not waited for. */
static int hear(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    (void)self;
    (void)state;
    HOLDS(troupe_is(msg, &word));
    return TROUPE_OK;
}

static const struct troupe_behaviour waiting = {
    .name = "waiting", .init = wait_init, .receive = hear, .may_wait = true};

static void start(struct troupe_actor *self, troupe_job_fn fn, troupe_job_id *out_job)
{
    if (WENT(troupe_blocking(self, fn, NULL, give_back, on_done, out_job), MAY_START)) {
        jobs.started++;
    }
}

static int start_all(struct troupe_actor *self, void *arg)
{
    troupe_job_id id = 0;

    (void)arg;
    start(self, work, NULL);
    start(self, linger, &id);
    HOLDS(id == 0 || troupe_blocking_cancel(self, id) == TROUPE_OK);
    HOLDS(troupe_blocking_cancel(self, 1000) == TROUPE_ENOENT);
    return TROUPE_OK;
}

/* Nobody cancels it: its actor ends with the runtime. */
static int start_orphan(struct troupe_actor *self, void *arg)
{
    (void)arg;
    (void)WENT(troupe_blocking(self, linger, NULL, give_back, on_done, NULL), MAY_START);
    return TROUPE_OK;
}

void scenario_blocking(void)
{
    struct scene scene = {0};
    struct troupe_spawn_options options = {.behaviour = &waiting};
    troupe_pid pid;

    memset(&jobs, 0, sizeof jobs);
    if (!scene_open(&scene, TROUPE_NO_THREADS)) {
        return;
    }
    (void)scene_play(&scene, &(struct scene_part){.fn = start_all, .receive = hear});
    (void)scene_play(&scene, &(struct scene_part){.fn = start_orphan, .receive = hear});
    scene_pump(&scene);
    scene_await(&scene, &jobs.over, jobs.started);
    if (WENT(troupe_runtime_spawn(scene.runtime, &options, &pid), MAY(TROUPE_ENOMEM))) {
        scene_await(&scene, &jobs.through, 1);
    }
    scene_close(&scene);
    HOLDS(jobs.destroyed == 1 || fault_has_hit());
}
