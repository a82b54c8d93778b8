/* SPDX-License-Identifier: MIT */
/* Lanes: what is taken next, against a model that looks at everything each time. */
#include "sched/lanes.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "test/support/random.h"

#define COUNT 48
#define SENDERS 5
#define STEPS 20000

/* What a plain block weighs. */
#define WEIGHT 64

static const struct trp_lanes_spec plain = {
    .count = COUNT, .bytes = COUNT * WEIGHT, .lanes = 1, .burst = 32};

static struct trp_lanes *make(const struct trp_lanes_spec *spec)
{
    size_t size = trp_lanes_size(spec);
    char *memory = calloc(1, sizeof(struct trp_lanes) + size);
    struct trp_lanes *lanes = (struct trp_lanes *)(void *)memory;

    trp_lanes_init(lanes, spec, memory + sizeof *lanes);
    return lanes;
}

/* ---- a model ---- */

struct stood {
    struct troupe_message *msg;
    uint64_t key;
    uint64_t serial;
    uint64_t turn;     /* when its line was served last, or began */
    troupe_pid sender; /* whose line it is in */
    uint32_t lane;
};

struct model {
    struct trp_lanes_spec spec;
    struct stood stood[COUNT + 1]; /* in the order in which they came */
    unsigned count;
    uint64_t clock;
    uint32_t passed[TROUPE_LANES_MAX];
};

static bool same_line(const struct model *model, const struct stood *a, const struct stood *b)
{
    return a->lane == b->lane && (!model->spec.by_sender || a->sender == b->sender);
}

static unsigned in_lane(const struct model *model, uint32_t lane)
{
    unsigned count = 0;

    for (unsigned i = 0; i < model->count; i++) {
        count += model->stood[i].lane == lane;
    }
    return count;
}

static uint64_t cost(const struct model *model, const struct stood *of)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < model->count; i++) {
        if (same_line(model, of, &model->stood[i])) {
            sum += trp_message_weight(model->stood[i].msg) + model->spec.bytes / model->spec.count;
        }
    }
    return sum;
}

static unsigned find(const struct model *model, const struct troupe_message *msg)
{
    for (unsigned i = 0; i < model->count; i++) {
        if (model->stood[i].msg == msg) {
            return i;
        }
    }
    cr_assert_fail("it does not stand there");
    return 0;
}

static void forget(struct model *model, unsigned at)
{
    memmove(
        &model->stood[at], &model->stood[at + 1], (model->count - at - 1) * sizeof model->stood[0]);
    model->count--;
}

/* The first one of its line. */
static void expect_oldest(const struct model *model, unsigned at)
{
    for (unsigned i = 0; i < at; i++) {
        cr_assert(!same_line(model, &model->stood[i], &model->stood[at]), "not the oldest");
    }
}

static uint32_t lane_to_take(const struct model *model)
{
    uint32_t first = TROUPE_LANES_MAX;

    for (uint32_t i = model->spec.lanes; i-- > 0;) {
        if (in_lane(model, i) > 0) {
            first = i;
            if (model->passed[i] == model->spec.burst) {
                return i;
            }
        }
    }
    return first;
}

static void expect_taken(struct model *model, const struct troupe_message *msg)
{
    unsigned at = find(model, msg);
    struct stood taken = model->stood[at];

    cr_assert_eq(taken.lane, lane_to_take(model));
    expect_oldest(model, at);
    for (unsigned i = 0; i < model->count; i++) {
        cr_assert(model->stood[i].lane != taken.lane || model->stood[i].turn >= taken.turn,
            "it was not its turn");
    }
    forget(model, at);
    model->clock++;
    for (unsigned i = 0; i < model->count; i++) {
        if (same_line(model, &model->stood[i], &taken)) {
            model->stood[i].turn = model->clock;
        }
    }
    model->passed[taken.lane] = 0;
    for (uint32_t i = taken.lane + 1; i < model->spec.lanes; i++) {
        model->passed[i] = in_lane(model, i) > 0 ? model->passed[i] + 1 : 0;
        cr_assert_leq(model->passed[i], model->spec.burst, "lane %u waits too long", i);
    }
}

/* Whether it was right to let that one go, with what is new in its place already. */
static void expect_oldest_gone(struct model *model, const struct troupe_message *msg)
{
    unsigned at = find(model, msg);
    const struct stood *gone = &model->stood[at];

    expect_oldest(model, at);
    for (unsigned i = 0; i < model->count; i++) {
        if (!model->spec.by_sender) {
            cr_assert_leq(model->stood[i].lane, gone->lane, "not of the last lane");
        } else {
            cr_assert_lt(cost(model, &model->stood[i]), 2 * cost(model, gone) + 1,
                "another one has more than twice as much");
        }
    }
    forget(model, at);
}

static uint64_t turn_of_line(struct model *model, const struct stood *stood)
{
    for (unsigned i = 0; i < model->count; i++) {
        if (same_line(model, &model->stood[i], stood)) {
            return model->stood[i].turn;
        }
    }
    return ++model->clock;
}

static void note_put(
    struct model *model, const struct trp_lanes_item *item, struct trp_displaced *displaced)
{
    struct stood new = {.msg = item->msg,
        .key = item->key,
        .sender = item->msg->sender,
        .lane = item->lane < model->spec.lanes ? item->lane : model->spec.lanes - 1};
    struct troupe_message *msg = trp_chain_pop(&displaced->conflated);

    if (msg != NULL) {
        struct stood *old = &model->stood[find(model, msg)];

        cr_assert(old->key == new.key && old->lane == new.lane);
        old->msg = item->msg;
        free(msg);
    } else {
        new.turn = turn_of_line(model, &new);
        model->stood[model->count++] = new;
    }
    while ((msg = trp_chain_pop(&displaced->oldest)) != NULL) {
        expect_oldest_gone(model, msg);
        free(msg);
    }
    cr_assert_leq(model->count, model->spec.count);
}

static struct troupe_message *new_message(struct test_random *random)
{
    struct troupe_message *msg = calloc(1, sizeof *msg);

    /* Some weigh much more. */
    msg->block = test_below(random, 8) == 0 ? 4 : 0;
    msg->sender = 1 + test_below(random, SENDERS) * test_below(random, 2);
    return msg;
}

static void play(const struct trp_lanes_spec *spec, uint64_t seed)
{
    struct test_random random = test_random_of(seed);
    struct trp_lanes *lanes = make(spec);
    struct model model = {.spec = *spec};
    struct troupe_message *msg;

    for (unsigned i = 0; i < STEPS; i++) {
        /* It fills, and it empties, in turn. */
        bool puts = test_below(&random, 10) < (i / 500 % 2 == 0 ? 7U : 4U);

        if (puts && (spec->displaces || model.count < spec->count)) {
            struct trp_displaced displaced = {.conflated = {NULL, NULL}};
            struct trp_lanes_item item = {.msg = new_message(&random),
                .key = test_below(&random, 20),
                .lane = (uint32_t)test_below(&random, 9)};

            trp_lanes_put(lanes, &item, &displaced);
            note_put(&model, &item, &displaced);
        } else if ((msg = trp_lanes_take(lanes)) != NULL) {
            expect_taken(&model, msg);
            free(msg);
        }
        cr_assert_eq(lanes->count, model.count);
        cr_assert(!spec->displaces || lanes->bytes <= spec->bytes);
    }
    while ((msg = trp_lanes_take(lanes)) != NULL) {
        expect_taken(&model, msg);
        free(msg);
    }
    cr_assert_eq(model.count, 0);
    cr_assert_eq(lanes->bytes, 0);
    free(lanes);
}

Test(lanes, whatever_is_put_and_taken_they_are_what_the_model_says, .timeout = 120)
{
    uint64_t seed = test_seed("lanes");

    for (unsigned i = 0; i < 48; i++) {
        static const uint32_t counts[] = {1, 2, 5, 8};
        struct trp_lanes_spec spec = plain;

        /* A few places have few numbers to be hashed to. */
        spec.count = i % 6 == 1 ? 4 : COUNT;
        spec.bytes = spec.count * WEIGHT;
        spec.lanes = counts[i % 4];
        spec.burst = i % 3 == 0 ? spec.lanes : 16;
        spec.by_sender = i / 4 % 2 == 1;
        spec.displaces = i / 8 % 3 > 0;
        spec.conflates = i / 8 % 3 == 2;
        play(&spec, seed + i);
    }
}

/* What overload.h says that it costs; a ticket is 48 bytes (shelf.c). */
Test(lanes, its_memory_is_what_the_header_says)
{
    struct trp_lanes_spec spec = plain;
    size_t last;

    spec.count = 1 << 16;
    cr_assert_leq(trp_lanes_size(&spec), spec.count * (size_t)40 + 1024);
    last = trp_lanes_size(&spec);
    spec.conflates = true;
    cr_assert_leq(trp_lanes_size(&spec), last + spec.count * (size_t)16);
    last = trp_lanes_size(&spec);
    spec.by_sender = true;
    cr_assert_leq(trp_lanes_size(&spec), last + spec.count * (size_t)96);
}

Test(lanes, senders_of_whom_nothing_is_queued_leave_nothing)
{
    struct trp_lanes_spec spec = plain;
    struct trp_lanes *lanes;
    struct trp_displaced displaced = {.conflated = {NULL, NULL}};
    struct troupe_message msg = {.block = 0};

    spec.count = 1;
    spec.by_sender = true;
    lanes = make(&spec);
    for (uint64_t i = 1; i < 1000; i++) {
        msg.sender = i;
        trp_lanes_put(lanes, &(struct trp_lanes_item){.msg = &msg}, &displaced);
        cr_assert_eq(trp_lanes_take(lanes), &msg);
    }
    free(lanes);
}

Test(lanes, one_alone_has_its_share_at_half_of_the_room)
{
    struct trp_lanes_spec spec = plain;
    struct trp_lanes *lanes;
    struct trp_displaced displaced = {.conflated = {NULL, NULL}};
    struct troupe_message msgs[COUNT] = {{.block = 0}};
    unsigned count = 0;

    spec.by_sender = true;
    lanes = make(&spec);
    while (!trp_lanes_has_share(lanes, 7, 0, 1, WEIGHT)) {
        cr_assert_lt(count, COUNT);
        msgs[count] = (struct troupe_message){.sender = 7};
        trp_lanes_put(lanes, &(struct trp_lanes_item){.msg = &msgs[count++]}, &displaced);
    }
    cr_assert_eq(count, COUNT / 2);
    cr_assert(!trp_lanes_has_share(lanes, 8, 0, 1, WEIGHT));
    cr_assert(!trp_lanes_has_share(lanes, 8, 0, COUNT / 4, COUNT / 4 * WEIGHT));
    cr_assert(trp_lanes_has_share(lanes, 8, 0, COUNT / 4 + 1, (COUNT / 4 + 1) * WEIGHT));
    cr_assert(trp_lanes_has_share(lanes, 8, 0, 2, COUNT * WEIGHT), "its bytes as well");
    free(lanes);
}
