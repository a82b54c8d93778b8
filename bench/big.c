/* SPDX-License-Identifier: MIT */
/*
 * big.c - 64 actors, each pings a random other one, and the next one when the pong is there.
 *
 * Many to many, in a closed loop: at most 64 messages are under way, and who talks to whom cannot be foreseen.
 */
#include "harness.h"
#include "random.h"

#define MEMBERS 64U
#define PINGS 20000U

static const struct troupe_type go_on = TROUPE_SIGNAL;
static const struct troupe_type ping = TROUPE_SIGNAL;
static const struct troupe_type pong = TROUPE_SIGNAL;

/* Of this repetition, which has the process to itself: set before the clock runs. */
static troupe_pid members[MEMBERS];

struct member {
    struct bench_run *run;
    struct bench_random random;
    unsigned id;
    uint64_t left; /* pings to send */
    uint64_t served;
};

static int member_init(struct troupe_actor *self, void *state, const void *arg)
{
    (void)self;
    *(struct member *)state = *(const struct member *)arg;
    return TROUPE_OK;
}

static int ping_another(struct troupe_actor *self, struct member *member)
{
    uint64_t draw = bench_random_below(&member->random, MEMBERS - 1);

    return troupe_send(self, members[draw + (draw >= member->id)], &ping, NULL);
}

static int member_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct member *member = state;

    if (troupe_is(msg, &ping)) {
        member->served++;
        return troupe_send(self, troupe_sender(msg), &pong, NULL);
    }
    if (troupe_is(msg, &pong) && --member->left == 0) {
        bench_part_done(member->run);
        return TROUPE_OK;
    }
    return ping_another(self, member);
}

static void member_destroy(void *state)
{
    struct member *member = state;

    bench_tally(member->run, member->served, 0);
}

static const struct troupe_behaviour member_behaviour = {
    .name = "member",
    .state_size = sizeof(struct member),
    .init = member_init,
    .receive = member_receive,
    .destroy = member_destroy,
};

static int start(struct bench_run *run)
{
    uint64_t pings = bench_scaled(run, PINGS);

    for (unsigned i = 0; i < MEMBERS; i++) {
        struct member member = {
            .run = run, .random = bench_random_seeded(i + 1), .id = i, .left = pings};

        TROUPE_TRY(bench_spawn(run, &member_behaviour, &member, sizeof member, &members[i]));
    }
    run->expected_count = MEMBERS * pings;
    bench_begin(run, pings * MEMBERS * 2, MEMBERS);
    for (unsigned i = 0; i < MEMBERS; i++) {
        TROUPE_TRY(bench_signal(run, members[i], &go_on));
    }
    return TROUPE_OK;
}

const struct bench_workload bench_big = {
    .name = "big",
    .about = "64 actors, 20 000 pings each to random others, one at a time",
    .start = start,
};
