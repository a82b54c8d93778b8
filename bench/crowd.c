/* SPDX-License-Identifier: MIT */
/*
 * crowd.c - see crowd.h.
 */
#include "crowd.h"

/** Actors spawned in a turn. */
#define TURN 16U

const struct troupe_type bench_crowd_job = TROUPE_SIGNAL;

static const struct troupe_type go_on = TROUPE_TYPE(uint64_t);

struct spawner {
    struct bench_run *run;
    const struct troupe_behaviour *member;
    uint64_t left;
};

static int spawner_init(struct troupe_actor *self, void *state, const void *arg)
{
    (void)self;
    *(struct spawner *)state = *(const struct spawner *)arg;
    return TROUPE_OK;
}

static int spawner_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct spawner *spawner = state;
    struct troupe_spawn_options options = {.behaviour = spawner->member, .arg = spawner->run};
    uint64_t nothing = 0;

    (void)msg;
    for (unsigned i = 0; i < TURN; i++) {
        troupe_pid pid;

        TROUPE_TRY(troupe_spawn(self, &options, &pid));
        TROUPE_TRY(troupe_send(self, pid, &bench_crowd_job, NULL));
        if (--spawner->left == 0) {
            return TROUPE_DONE;
        }
    }
    return troupe_send(self, troupe_self(self), &go_on, &nothing);
}

static const struct troupe_behaviour spawner_behaviour = {
    .name = "spawner",
    .state_size = sizeof(struct spawner),
    .init = spawner_init,
    .receive = spawner_receive,
};

int bench_crowd(struct bench_run *run, const struct troupe_behaviour *member, uint64_t count)
{
    struct spawner spawner = {.run = run, .member = member, .left = count};
    troupe_pid pid;

    TROUPE_TRY(bench_spawn(run, &spawner_behaviour, &spawner, sizeof spawner, &pid));
    bench_begin(run, count, count);
    return bench_send(run, pid, &go_on, 0);
}
