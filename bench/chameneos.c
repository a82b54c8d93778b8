/* SPDX-License-Identifier: MIT */
/*
 * chameneos.c - 100 creatures meet in pairs at one mall, and change their colours: many ask one, and are passed on.
 *
 * The first of a pair waits at the mall, which passes the second one's request on to it; it tells the other the colour
 * that both have now.  Then both come to the mall again.
 */
#include "harness.h"

#define CREATURES 100U
#define MEETINGS 1000000U
#define COLOURS 3U

static const struct troupe_type go_on = TROUPE_SIGNAL;
static const struct troupe_type meet = TROUPE_TYPE(uint64_t);   /* body: my colour */
static const struct troupe_type change = TROUPE_TYPE(uint64_t); /* body: your colour from now on */

struct creature {
    struct bench_run *run;
    troupe_pid mall;
    uint64_t colour;
    uint64_t meetings;
};

struct mall {
    struct bench_run *run;
    troupe_pid waiting; /* or NOBODY */
    uint64_t left;
    unsigned turned_away;
};

/* Two of a colour keep it, two others take the third. */
static uint64_t complement(uint64_t a, uint64_t b)
{
    return a == b ? a : COLOURS - a - b;
}

static int creature_init(struct troupe_actor *self, void *state, const void *arg)
{
    (void)self;
    *(struct creature *)state = *(const struct creature *)arg;
    return TROUPE_OK;
}

static int creature_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct creature *creature = state;

    if (troupe_is(msg, &meet)) {
        creature->colour = complement(creature->colour, *(uint64_t *)troupe_body(msg));
        creature->meetings++;
        TROUPE_TRY(troupe_send(self, troupe_sender(msg), &change, &creature->colour));
    } else if (troupe_is(msg, &change)) {
        creature->colour = *(uint64_t *)troupe_body(msg);
        creature->meetings++;
    }
    return troupe_send(self, creature->mall, &meet, &creature->colour);
}

static void creature_destroy(void *state)
{
    struct creature *creature = state;

    bench_tally(creature->run, creature->meetings, 0);
}

static int mall_init(struct troupe_actor *self, void *state, const void *arg)
{
    (void)self;
    *(struct mall *)state = *(const struct mall *)arg;
    return TROUPE_OK;
}

static int mall_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct mall *mall = state;
    troupe_pid first = mall->waiting;

    if (mall->left == 0) {
        if (++mall->turned_away == CREATURES) {
            bench_part_done(mall->run);
        }
        return TROUPE_OK;
    }
    if (first == TROUPE_NOBODY) {
        mall->waiting = troupe_sender(msg);
        return TROUPE_OK;
    }
    mall->waiting = TROUPE_NOBODY;
    mall->left--;
    return troupe_forward(self, first, msg);
}

static const struct troupe_behaviour creature_behaviour = {
    .name = "creature",
    .state_size = sizeof(struct creature),
    .init = creature_init,
    .receive = creature_receive,
    .destroy = creature_destroy,
};

static const struct troupe_behaviour mall_behaviour = {
    .name = "mall",
    .state_size = sizeof(struct mall),
    .init = mall_init,
    .receive = mall_receive,
};

static int start(struct bench_run *run)
{
    struct mall mall = {.run = run, .left = bench_scaled(run, MEETINGS)};
    struct creature creature = {.run = run};
    troupe_pid pids[CREATURES];

    TROUPE_TRY(bench_spawn(run, &mall_behaviour, &mall, sizeof mall, &creature.mall));
    for (unsigned i = 0; i < CREATURES; i++) {
        creature.colour = i % COLOURS;
        TROUPE_TRY(bench_spawn(run, &creature_behaviour, &creature, sizeof creature, &pids[i]));
    }
    run->expected_count = 2 * mall.left;
    bench_begin(run, 4 * mall.left, 1);
    for (unsigned i = 0; i < CREATURES; i++) {
        TROUPE_TRY(bench_signal(run, pids[i], &go_on));
    }
    return TROUPE_OK;
}

const struct bench_workload bench_chameneos = {
    .name = "chameneos",
    .about = "100 creatures meet in pairs at one mall, 1 000 000 times",
    .start = start,
};
