/* SPDX-License-Identifier: MIT */
/*
 * pingpong.c - pairs of actors throw a ball back and forth: the way of one message to an idle actor.
 *
 * The ball says how many throws are left.  Each throw is a message; a round trip is two.
 */
#include "harness.h"

#define ROUNDS 2000000U
#define PAIRS 64U
#define PAIR_ROUNDS 100000U

static const struct troupe_type serve = TROUPE_TYPE(uint64_t); /* body: how many throws */
static const struct troupe_type ball = TROUPE_TYPE(uint64_t); /* body: throws left after this one */

struct player {
    struct bench_run *run;
    troupe_pid partner; /* whom to serve to; NOBODY for the one that only returns */
    uint64_t caught;
};

static int player_init(struct troupe_actor *self, void *state, const void *arg)
{
    (void)self;
    *(struct player *)state = *(const struct player *)arg;
    return TROUPE_OK;
}

static int player_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct player *player = state;
    uint64_t left = *(uint64_t *)troupe_body(msg);
    troupe_pid to = player->partner;

    if (troupe_is(msg, &ball)) {
        player->caught++;
        to = troupe_sender(msg);
    }
    if (left == 0) {
        bench_part_done(player->run);
        return TROUPE_OK;
    }
    left--;
    return troupe_send(self, to, &ball, &left);
}

static void player_destroy(void *state)
{
    struct player *player = state;

    bench_tally(player->run, player->caught, 0);
}

static const struct troupe_behaviour player_behaviour = {
    .name = "player",
    .state_size = sizeof(struct player),
    .init = player_init,
    .receive = player_receive,
    .destroy = player_destroy,
};

static int spawn_pairs(struct bench_run *run, unsigned count, troupe_pid *out_servers)
{
    for (unsigned i = 0; i < count; i++) {
        struct player player = {.run = run};

        TROUPE_TRY(bench_spawn(run, &player_behaviour, &player, sizeof player, &player.partner));
        TROUPE_TRY(bench_spawn(run, &player_behaviour, &player, sizeof player, &out_servers[i]));
    }
    return TROUPE_OK;
}

static int play(struct bench_run *run, unsigned pairs, uint64_t rounds)
{
    troupe_pid servers[PAIRS];
    uint64_t throws = 2 * bench_scaled(run, rounds);

    TROUPE_TRY(spawn_pairs(run, pairs, servers));
    run->expected_count = pairs * throws;
    bench_begin(run, pairs * throws, pairs);
    for (unsigned i = 0; i < pairs; i++) {
        TROUPE_TRY(bench_send(run, servers[i], &serve, throws));
    }
    return TROUPE_OK;
}

static int start_pingpong(struct bench_run *run)
{
    return play(run, 1, ROUNDS);
}

static int start_pingpong_pairs(struct bench_run *run)
{
    return play(run, PAIRS, PAIR_ROUNDS);
}

const struct bench_workload bench_pingpong = {
    .name = "pingpong",
    .about = "1 pair of actors, 2 000 000 round trips",
    .start = start_pingpong,
};

const struct bench_workload bench_pingpong_pairs = {
    .name = "pingpong_pairs",
    .about = "64 pairs of actors, 100 000 round trips each",
    .start = start_pingpong_pairs,
};
