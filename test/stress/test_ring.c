/* SPDX-License-Identifier: MIT */
/*
 * Stress: rings of calls that are closed by all their members at the same time, each of which has exactly one victim; and calls
 * that make none, of which none is refused.
 *
 * TROUPE_STRESS_RINGS is how many rings there are [400], and TROUPE_STRESS_CALLS how many calls without one [60000].
 */
#include <inttypes.h>
#include <stdatomic.h>

#include "test/support/random.h"
#include "test/support/stage.h"

#define MEMBERS_MAX 64
#define SETS 4 /* of members, each with a ring of its own at a time */
#define WORKERS 4

static uint64_t number_from(const char *name, uint64_t otherwise)
{
    const char *value = getenv(name);

    return value != NULL ? strtoull(value, NULL, 10) : otherwise;
}

static const struct troupe_type ask = TROUPE_TYPE(uint64_t);
static const struct troupe_type answer = TROUPE_TYPE(uint64_t);

/* ---- rings ---- */

struct set {
    troupe_pid members[MEMBERS_MAX];
    unsigned length;
    _Atomic unsigned arrived;
    _Atomic unsigned over;
    _Atomic unsigned victims;
    _Atomic unsigned answered;
    _Atomic unsigned others;
};

struct start {
    struct set *set;
    unsigned index;
};

static const struct troupe_type start = TROUPE_TYPE(struct start);

/* All are in their handlers before anybody calls: whoever is called answers when its own call is over. */
static int close_it(struct troupe_actor *self, const struct start *at)
{
    struct set *set = at->set;
    uint64_t value = at->index;
    int status;

    set->arrived++;
    while (set->arrived < set->length) {
        TROUPE_TRY(troupe_yield(self));
    }
    status = troupe_call(
        self, set->members[(at->index + 1) % set->length], &ask, &value, &answer, &value, 60000);
    if (status == TROUPE_EDEADLK) {
        set->victims++;
    } else if (status == TROUPE_OK) {
        set->answered++;
    } else {
        set->others++;
    }
    set->over++;
    return TROUPE_OK;
}

static int member_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    (void)state;
    if (troupe_is(msg, &start)) {
        struct start at = *(const struct start *)troupe_body(msg);

        return close_it(self, &at);
    }
    return troupe_reply(self, msg, &answer, troupe_body(msg));
}

static const struct troupe_behaviour member = {
    .name = "member",
    .receive = member_receive,
    .capacity = 2, /* what it has in hand, and who calls it */
    .may_wait = true,
};

static void begin_ring(struct stage *stage, struct set *set, unsigned length)
{
    set->length = length;
    set->arrived = set->over = 0;
    set->victims = set->answered = set->others = 0;
    for (unsigned i = 0; i < length; i++) {
        stage_send(stage, set->members[i], &start, &(struct start){set, i});
    }
}

static void end_ring(struct stage *stage, struct set *set)
{
    STAGE_AWAIT(stage, set->over == set->length);
    cr_assert_eq(set->victims, 1, "%u of %u", set->victims, set->length);
    cr_assert_eq(set->answered, set->length - 1);
    cr_assert_eq(set->others, 0);
}

Test(ring, one_that_all_close_at_once_has_one_victim, .timeout = 100)
{
    static struct set sets[SETS];
    uint64_t rings = number_from("TROUPE_STRESS_RINGS", 400);
    struct test_random random = test_random_of(test_seed("rings"));
    struct stage stage;

    stage_open(&stage, WORKERS);
    for (unsigned s = 0; s < SETS; s++) {
        for (unsigned i = 0; i < MEMBERS_MAX; i++) {
            sets[s].members[i] = stage_spawn(&stage, &member, NULL);
        }
    }
    for (uint64_t made = 0; made < rings; made += SETS) {
        for (unsigned s = 0; s < SETS; s++) {
            /* Most are short: there who closes it is most often two. */
            unsigned most = test_below(&random, 4) == 0 ? MEMBERS_MAX : 6;

            begin_ring(&stage, &sets[s], 2 + (unsigned)test_below(&random, most - 1));
        }
        for (unsigned s = 0; s < SETS; s++) {
            end_ring(&stage, &sets[s]);
        }
    }
    stage_close(&stage);
}

/* ---- calls without a ring ---- */

#define PLAYERS 8U

/* Whoever is asked answers, and then asks the next: as many are on their way as there are players but one, so in each ring of
 * them one always goes on.  Each answer that is on its way looks like an edge that it is none any more. */
struct game {
    troupe_pid players[PLAYERS];
    _Atomic int64_t left;
    _Atomic unsigned over; /* of those on their way */
    _Atomic unsigned failed;
    _Atomic int status;
};

struct player {
    struct game *game;
    unsigned index;
};

static int player_init(struct troupe_actor *self, void *state, const void *arg)
{
    (void)self;
    *(struct player *)state = *(const struct player *)arg;
    return TROUPE_OK;
}

static int player_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    const struct player *player = state;
    struct game *game = player->game;
    uint64_t value = 1;
    int status;

    if (troupe_is_request(msg)) {
        TROUPE_TRY(troupe_reply(self, msg, &answer, &value));
    }
    if (--game->left < 0) {
        game->over++;
        return TROUPE_OK;
    }
    status = troupe_call(
        self, game->players[(player->index + 1) % PLAYERS], &ask, &value, &answer, &value, 60000);
    if (status < 0) {
        game->status = status;
        game->failed++;
        game->over++;
    }
    return TROUPE_OK;
}

static const struct troupe_behaviour player_behaviour = {
    .name = "player",
    .state_size = sizeof(struct player),
    .init = player_init,
    .receive = player_receive,
    .may_wait = true,
    .capacity = STAGE_ROOM,
};

static void play(struct stage *stage, unsigned tokens, uint64_t calls)
{
    static struct game game;

    memset(&game, 0, sizeof game);
    game.left = (int64_t)calls;
    for (unsigned i = 0; i < PLAYERS; i++) {
        struct player player = {&game, i};
        struct troupe_spawn_options options = {
            .behaviour = &player_behaviour, .arg = &player, .arg_size = sizeof player};

        cr_assert_eq(troupe_runtime_spawn(stage->runtime, &options, &game.players[i]), TROUPE_OK);
    }
    for (unsigned i = 0; i < tokens; i++) {
        stage_send(stage, game.players[i], &ask, &(uint64_t){i});
    }
    STAGE_AWAIT(stage, game.over == tokens);
    cr_assert_eq(game.failed, 0, "%u: %s", game.failed, troupe_strerror(game.status));
}

Test(ring, calls_without_one_are_all_answered, .timeout = 100)
{
    uint64_t calls = number_from("TROUPE_STRESS_CALLS", 60000) / 3;
    struct stage stage;

    stage_open(&stage, WORKERS);
    play(&stage, 1, calls);
    play(&stage, PLAYERS / 2, calls);
    play(&stage, PLAYERS - 1, calls);
    stage_close(&stage);
}

/* Calls that lead upwards only, answered by whoever is asked, or by whoever it passes the request on to. */
struct ladder {
    troupe_pid steps[PLAYERS];
    _Atomic int64_t left;
    _Atomic unsigned failed;
    _Atomic int status;
    _Atomic unsigned over;
    _Atomic uint64_t seed;
};

struct step {
    struct ladder *ladder;
    unsigned index;
    struct test_random random;
};

static int step_init(struct troupe_actor *self, void *state, const void *arg)
{
    struct step *step = state;

    (void)self;
    *step = *(const struct step *)arg;
    return TROUPE_OK;
}

/* One above `step`. */
static troupe_pid above(struct step *step)
{
    unsigned more = PLAYERS - 1 - step->index;

    return step->ladder->steps[step->index + 1 + (unsigned)test_below(&step->random, more)];
}

static void call_up(struct troupe_actor *self, struct step *step)
{
    uint64_t value = 1;
    int status = troupe_call(self, above(step), &ask, &value, &answer, &value, 60000);

    if (status < 0) {
        step->ladder->status = status;
        step->ladder->failed++;
    }
}

static int step_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct step *step = state;
    uint64_t value = 1;

    if (!troupe_is_request(msg)) {
        while (--step->ladder->left >= 0) {
            call_up(self, step);
        }
        step->ladder->over++;
        return TROUPE_OK;
    }
    if (step->index == PLAYERS - 1) {
        return troupe_reply(self, msg, &answer, &value);
    }
    switch (test_below(&step->random, 4)) {
    case 0:
        return troupe_forward(self, above(step), msg);
    case 1:
        return troupe_delegate(self, above(step), msg, &ask, &value);
    case 2:
        call_up(self, step);
        return troupe_reply(self, msg, &answer, &value);
    default:
        TROUPE_TRY(troupe_reply(self, msg, &answer, &value));
        call_up(self, step);
        return TROUPE_OK;
    }
}

static const struct troupe_behaviour step_behaviour = {
    .name = "step",
    .state_size = sizeof(struct step),
    .init = step_init,
    .receive = step_receive,
    .may_wait = true,
    .capacity = STAGE_ROOM,
};

Test(ring, calls_that_are_passed_on_upwards_are_all_answered, .timeout = 100)
{
    static struct ladder ladder;
    struct test_random random = test_random_of(test_seed("ladder"));
    struct stage stage;

    stage_open(&stage, WORKERS);
    memset(&ladder, 0, sizeof ladder);
    ladder.left = (int64_t)(number_from("TROUPE_STRESS_CALLS", 60000) / 4);
    for (unsigned i = 0; i < PLAYERS; i++) {
        struct step step = {&ladder, i, test_random_of(test_next(&random))};
        struct troupe_spawn_options options = {
            .behaviour = &step_behaviour, .arg = &step, .arg_size = sizeof step};

        cr_assert_eq(troupe_runtime_spawn(stage.runtime, &options, &ladder.steps[i]), TROUPE_OK);
    }
    /* Those at the bottom, each at the same time. */
    for (unsigned i = 0; i < 3; i++) {
        stage_send(&stage, ladder.steps[i], &ask, &(uint64_t){i});
    }
    STAGE_AWAIT(&stage, ladder.over == 3);
    cr_assert_eq(ladder.failed, 0, "%u: %s", ladder.failed, troupe_strerror(ladder.status));
    stage_close(&stage);
}
