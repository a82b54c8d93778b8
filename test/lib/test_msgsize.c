/* SPDX-License-Identifier: MIT */
/* Message size: what is larger than a mailbox ever takes is refused as that at once, in whatever form it is sent. */
#include "test/support/stage.h"

static const struct troupe_type bytes = TROUPE_BYTES;
static const struct troupe_type number = TROUPE_TYPE(uint64_t);

struct block {
    unsigned char bytes[2000];
};

static const struct troupe_type block = TROUPE_TYPE(struct block);

/* A mailbox of four messages and 512 bytes; what is sent is of 2000. */
#define ROOM 4
#define ROOM_BYTES 512

static const struct troupe_overload drops = {.policy = TROUPE_OVERLOAD_DROP_NEWEST};
static const struct troupe_overload redirects = {
    .policy = TROUPE_OVERLOAD_REDIRECT, .redirect = "small"};
static const struct troupe_overload ages = {.aged = true};
static const struct troupe_overload exits = {.policy = TROUPE_OVERLOAD_EXIT};

#define SMALL(policy)                                                                              \
    {                                                                                              \
        .name = "small", .receive = stage_puppet_receive, .capacity = ROOM,                        \
        .capacity_bytes = ROOM_BYTES, .overload = (policy)                                         \
    }

static const struct troupe_behaviour small_ones[] = {
    SMALL(NULL), SMALL(&drops), SMALL(&redirects), SMALL(&ages), SMALL(&exits)};
static const struct troupe_behaviour roomy = {.name = "roomy",
    .receive = stage_puppet_receive,
    .capacity = ROOM,
    .capacity_bytes = 4096,
    .overload = &redirects};

/* ---- each way to send ---- */

struct attempt {
    struct troupe_runtime *runtime;
    troupe_pid to;
    int result;
};

static int made(struct attempt *attempt, struct troupe_message **out_msg)
{
    return troupe_message_create(attempt->runtime, &bytes, sizeof(struct block), out_msg);
}

/* What was refused is still the caller's. */
static void end(struct attempt *attempt, struct troupe_message *msg)
{
    if (attempt->result < 0) {
        cr_assert_eq(troupe_body_size(msg), sizeof(struct block));
        troupe_message_destroy(msg);
    }
}

static int by_copy(struct troupe_actor *self, void *arg)
{
    struct attempt *attempt = arg;
    struct block body = {{0}};

    attempt->result = troupe_send(self, attempt->to, &block, &body);
    return TROUPE_OK;
}

static int by_bytes(struct troupe_actor *self, void *arg)
{
    struct attempt *attempt = arg;
    struct block body = {{0}};

    attempt->result = troupe_send_bytes(self, attempt->to, &bytes, &body, sizeof body);
    return TROUPE_OK;
}

static int by_move(struct troupe_actor *self, void *arg)
{
    struct attempt *attempt = arg;
    struct troupe_message *msg;

    TROUPE_TRY(made(attempt, &msg));
    attempt->result = troupe_send_message(self, attempt->to, msg);
    end(attempt, msg);
    return TROUPE_OK;
}

static int by_batch(struct troupe_actor *self, void *arg)
{
    struct attempt *attempt = arg;
    struct troupe_message *msgs[2];

    TROUPE_TRY(troupe_message_create(attempt->runtime, &number, 0, &msgs[0]));
    TROUPE_TRY(made(attempt, &msgs[1]));
    attempt->result = troupe_send_batch(self, attempt->to, msgs, 2);
    end(attempt, msgs[1]);
    if (attempt->result < 0) {
        troupe_message_destroy(msgs[0]);
    }
    return TROUPE_OK;
}

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

static int by_request(struct troupe_actor *self, void *arg)
{
    struct attempt *attempt = arg;
    struct block body = {{0}};

    attempt->result = troupe_request(self, attempt->to, &block, &body, 1000, no_reply, NULL);
    return TROUPE_OK;
}

static int by_moved_request(struct troupe_actor *self, void *arg)
{
    struct attempt *attempt = arg;
    struct troupe_message *msg;

    TROUPE_TRY(made(attempt, &msg));
    attempt->result = troupe_request_message(self, attempt->to, msg, 1000, no_reply, NULL);
    end(attempt, msg);
    return TROUPE_OK;
}

static int by_try(struct troupe_actor *self, void *arg)
{
    struct attempt *attempt = arg;
    struct troupe_message *msg;

    (void)self;
    TROUPE_TRY(made(attempt, &msg));
    attempt->result = troupe_try_send(attempt->runtime, attempt->to, msg);
    end(attempt, msg);
    return TROUPE_OK;
}

static int by_group(struct troupe_actor *self, void *arg)
{
    struct attempt *attempt = arg;
    struct block body = {{0}};

    attempt->result = troupe_group_send(self, "small", TROUPE_ROUND_ROBIN, 0, &block, &body);
    return TROUPE_OK;
}

static const stage_job_fn ways[] = {
    by_copy, by_bytes, by_move, by_batch, by_request, by_moved_request, by_try, by_group};

static troupe_pid spawn_small(struct stage *stage, const struct troupe_behaviour *behaviour)
{
    struct troupe_spawn_options options = {
        .behaviour = behaviour, .name = "small", .group = "small"};
    troupe_pid pid = TROUPE_NOBODY;

    cr_assert_eq(troupe_runtime_spawn(stage->runtime, &options, &pid), TROUPE_OK);
    return pid;
}

Test(msgsize, every_way_to_send_says_that_it_is_too_large, .timeout = 60)
{
    for (size_t i = 0; i < TROUPE_COUNT(small_ones); i++) {
        struct stage stage;
        struct attempt attempt;
        troupe_pid puppet;

        stage_open(&stage, TROUPE_NO_THREADS);
        puppet = stage_spawn(&stage, &stage_puppet, NULL);
        attempt = (struct attempt){stage.runtime, spawn_small(&stage, &small_ones[i]), 0};
        for (size_t k = 0; k < TROUPE_COUNT(ways); k++) {
            cr_assert_eq(stage_do(&stage, puppet, ways[k], &attempt), TROUPE_OK);
            cr_assert_eq(
                attempt.result, TROUPE_EMSGSIZE, "mailbox %zu, way %zu: %d", i, k, attempt.result);
        }
        cr_assert(troupe_is_alive(stage.runtime, attempt.to), "no policy is asked");
        cr_assert_eq(stage_books(&stage).shed, 0);
        stage_close(&stage);
    }
}

Test(msgsize, nobody_waits_for_room_that_never_comes, .timeout = 20)
{
    struct stage stage;
    struct attempt attempt = {0};
    struct troupe_message *msg;
    struct block body = {{0}};
    uint64_t reply;

    stage_open(&stage, TROUPE_NO_THREADS);
    attempt.runtime = stage.runtime;
    attempt.to = spawn_small(&stage, &small_ones[0]);
    /* Full besides. */
    for (uint64_t i = 0; i < ROOM; i++) {
        stage_send(&stage, attempt.to, &number, &i);
    }
    cr_assert_eq(made(&attempt, &msg), TROUPE_OK);
    cr_assert_eq(troupe_send_wait(stage.runtime, attempt.to, msg, TROUPE_FOREVER), TROUPE_EMSGSIZE);
    troupe_message_destroy(msg);
    cr_assert_eq(
        troupe_runtime_call(stage.runtime, attempt.to, &block, &body, &number, &reply, 60000),
        TROUPE_EMSGSIZE);
    stage_close(&stage);
}

static int main_within(struct troupe_actor *self, const void *arg)
{
    struct attempt *attempt = (struct attempt *)(uintptr_t)arg;
    struct block body = {{0}};

    attempt->result = troupe_send_within(self, attempt->to, &block, &body, TROUPE_FOREVER);
    return TROUPE_OK;
}

static const struct troupe_behaviour within = {.name = "within", .main = main_within};

Test(msgsize, nor_does_a_fiber, .timeout = 20)
{
    struct stage stage;
    struct attempt attempt = {0};

    stage_open(&stage, TROUPE_NO_THREADS);
    attempt.to = spawn_small(&stage, &small_ones[0]);
    (void)stage_spawn(&stage, &within, &attempt);
    stage_run(&stage);
    cr_assert_eq(attempt.result, TROUPE_EMSGSIZE);
    stage_close(&stage);
}

/* Each of them fits: it is all of them together that never do. */
static int by_large_batch(struct troupe_actor *self, void *arg)
{
    struct attempt *attempt = arg;
    struct troupe_message *msgs[3];

    for (unsigned i = 0; i < 3; i++) {
        TROUPE_TRY(troupe_message_create(attempt->runtime, &bytes, 150, &msgs[i]));
    }
    attempt->result = troupe_send_batch(self, attempt->to, msgs, 3);
    for (unsigned i = 0; attempt->result < 0 && i < 3; i++) {
        troupe_message_destroy(msgs[i]);
    }
    return TROUPE_OK;
}

Test(msgsize, a_batch_is_measured_as_one, .timeout = 20)
{
    struct stage stage;
    struct attempt attempt;
    troupe_pid puppet;

    stage_open(&stage, TROUPE_NO_THREADS);
    puppet = stage_spawn(&stage, &stage_puppet, NULL);
    attempt = (struct attempt){stage.runtime, spawn_small(&stage, &small_ones[0]), 0};
    cr_assert_eq(stage_do(&stage, puppet, by_large_batch, &attempt), TROUPE_OK);
    cr_assert_eq(attempt.result, TROUPE_EMSGSIZE);
    stage_close(&stage);
}

Test(msgsize, of_a_message_to_all_those_are_counted_for_whom_it_is_too_large, .timeout = 20)
{
    struct stage stage;
    struct troupe_group_sent sent = {0};
    struct troupe_spawn_options options = {.behaviour = &stage_puppet, .group = "small"};
    struct block body = {{0}};
    troupe_pid pid;

    stage_open(&stage, TROUPE_NO_THREADS);
    (void)spawn_small(&stage, &small_ones[0]);
    cr_assert_eq(troupe_runtime_spawn(stage.runtime, &options, &pid), TROUPE_OK);
    cr_assert_eq(troupe_group_send_all(stage.runtime, "small", &block, &body, &sent), TROUPE_OK);
    cr_assert_eq(sent.large, 1);
    cr_assert_eq(sent.sent, 1);
    cr_assert_eq(sent.full, 0);
    stage_close(&stage);
}

/* It may fit where it was sent to, later: that is what its sender is told. */
Test(msgsize, what_is_too_large_for_where_it_is_redirected_to_finds_no_room, .timeout = 20)
{
    struct stage stage;
    struct attempt attempt;
    troupe_pid puppet;

    stage_open(&stage, TROUPE_NO_THREADS);
    puppet = stage_spawn(&stage, &stage_puppet, NULL);
    (void)spawn_small(&stage, &small_ones[0]);
    attempt = (struct attempt){stage.runtime, stage_spawn(&stage, &roomy, NULL), 0};
    for (uint64_t i = 0; i < ROOM; i++) {
        stage_send(&stage, attempt.to, &number, &i);
    }
    stage_tell(&stage, puppet, by_move, &attempt);
    /* Whichever of the two runs first. */
    stage_run(&stage);
    cr_assert(attempt.result == TROUPE_EFULL || attempt.result == TROUPE_OK);
    for (uint64_t i = 0; i < ROOM; i++) {
        stage_send(&stage, attempt.to, &number, &i);
    }
    cr_assert_eq(by_try(NULL, &attempt), TROUPE_OK);
    cr_assert_eq(attempt.result, TROUPE_EFULL);
    stage_close(&stage);
}
