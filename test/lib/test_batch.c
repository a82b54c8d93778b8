/* SPDX-License-Identifier: MIT */
/* Batch: several messages in one call, and a look at what is to come. */
#include "test/support/clock.h"
#include "test/support/stage.h"

static const struct troupe_type number = TROUPE_TYPE(uint64_t);
static const struct troupe_type ask = TROUPE_TYPE(uint64_t);
static const struct troupe_type answer = TROUPE_TYPE(uint64_t);

#define SEEN_MAX 512

struct cargo {
    uint64_t value;
    unsigned *destroyed;
};

static void cargo_destroy(void *body)
{
    ++*((struct cargo *)body)->destroyed;
}

static const struct troupe_type cargo = TROUPE_TYPE_DESTROY(struct cargo, cargo_destroy);

/* ---- one that receives batches ---- */

struct seen {
    unsigned calls;
    unsigned singles; /* messages that came to `receive` */
    unsigned count;
    unsigned sizes[SEEN_MAX];
    uint64_t values[SEEN_MAX];
    int result; /* of the first batch */
    bool leaves;
    bool takes; /* every other message */
    bool stashes;
    int refused;
    unsigned taken_count;
    struct troupe_message *taken[SEEN_MAX];
    troupe_pid forward_to;
    struct troupe_peek peek;
    bool peeked;
};

static struct seen *seen_of(void *state)
{
    return *(struct seen **)state;
}

static int init(struct troupe_actor *self, void *state, const void *arg)
{
    (void)self;
    *(struct seen **)state = (struct seen *)(uintptr_t)arg;
    return TROUPE_OK;
}

static int receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    seen_of(state)->singles++;
    return troupe_is_request(msg) ? troupe_reply(self, msg, &answer, troupe_body(msg)) : TROUPE_OK;
}

static int handle(struct troupe_actor *self, struct seen *seen, struct troupe_message *msg)
{
    cr_assert_lt(seen->count, SEEN_MAX);
    seen->values[seen->count++] = *(const uint64_t *)troupe_body(msg);
    if (seen->stashes) {
        seen->refused += troupe_stash(self, msg) == TROUPE_EINVAL;
        seen->refused +=
            troupe_try_send(troupe_runtime_of(self), troupe_self(self), msg) == TROUPE_EINVAL;
        seen->refused += troupe_send_message(self, troupe_self(self), msg) == TROUPE_EINVAL;
    }
    if (seen->takes && seen->count % 2 == 0) {
        struct troupe_message *again;

        TROUPE_TRY(troupe_take(self, msg, &seen->taken[seen->taken_count++]));
        seen->refused += troupe_take(self, msg, &again) == TROUPE_EINVAL;
    }
    return seen->forward_to != TROUPE_NOBODY ? troupe_forward(self, seen->forward_to, msg)
                                             : TROUPE_OK;
}

static int receive_batch(
    struct troupe_actor *self, void *state, struct troupe_message **msgs, size_t count)
{
    struct seen *seen = seen_of(state);
    int status;

    if (count == 1 && stage_is_job(self, msgs[0], &status)) {
        return status;
    }
    seen->sizes[seen->calls++] = (unsigned)count;
    seen->peeked = troupe_peek(self, &seen->peek);
    for (size_t i = 0; i < count; i++) {
        TROUPE_TRY(handle(self, seen, msgs[i]));
    }
    if (seen->leaves) {
        troupe_exit(self, TROUPE_EXIT_SHUTDOWN);
    }
    return seen->calls == 1 ? seen->result : TROUPE_OK;
}

#define BATCHING(most, policy)                                                                     \
    {                                                                                              \
        .name = "batching", .state_size = sizeof(struct seen *), .init = init, .receive = receive, \
        .receive_batch = receive_batch, .batch_max = (most), .overload = (policy),                 \
        .capacity = STAGE_ROOM                                                                     \
    }

static const struct troupe_overload hasty = {.expire_ms = 50};
static const struct troupe_overload aged = {.aged = true};
static const struct troupe_behaviour batching = BATCHING(0, NULL);
static const struct troupe_behaviour by_three = BATCHING(3, NULL);
static const struct troupe_behaviour by_three_hasty = BATCHING(3, &hasty);
static const struct troupe_behaviour by_three_aged = BATCHING(3, &aged);

static void put(struct stage *stage, troupe_pid pid, uint64_t first, unsigned count)
{
    for (uint64_t i = first; i < first + count; i++) {
        stage_send(stage, pid, &number, &i);
    }
}

static void expect_values(const struct seen *seen, unsigned count)
{
    cr_assert_eq(seen->count, count, "%u, not %u", seen->count, count);
    for (unsigned i = 0; i < count; i++) {
        cr_assert_eq(seen->values[i], i + 1);
    }
}

/* ---- */

Test(batch, what_is_queued_comes_at_once_and_in_order, .timeout = 20)
{
    struct stage stage;
    struct seen seen = {0};
    troupe_pid pid;

    stage_open(&stage, TROUPE_NO_THREADS);
    pid = stage_spawn(&stage, &batching, &seen);
    put(&stage, pid, 1, 200);
    stage_run(&stage);
    expect_values(&seen, 200);
    cr_assert_leq(seen.calls, 5, "%u calls", seen.calls);
    cr_assert_eq(seen.sizes[0], TROUPE_BATCH_MAX);
    cr_assert_eq(stage_books(&stage).handled, 200);
    stage_close(&stage);
}

Test(batch, no_batch_is_longer_than_its_behaviour_says, .timeout = 20)
{
    struct stage stage;
    struct seen seen = {0};
    troupe_pid pid;
    uint32_t length;

    stage_open(&stage, TROUPE_NO_THREADS);
    pid = stage_spawn(&stage, &by_three, &seen);
    put(&stage, pid, 1, 7);
    stage_run(&stage);
    expect_values(&seen, 7);
    cr_assert_eq(seen.calls, 3);
    cr_assert_eq(seen.sizes[2], 1, "and none is waited for");
    cr_assert_eq(troupe_mailbox_length(stage.runtime, pid, &length), TROUPE_OK);
    cr_assert_eq(length, 0);
    stage_close(&stage);
}

static int told(
    struct troupe_actor *self, void *state, void *context, int status, struct troupe_message *reply)
{
    (void)self;
    (void)state;
    (void)reply;
    *(int *)context = status;
    return TROUPE_OK;
}

struct asking {
    troupe_pid to;
    int status;
};

static int send_and_ask(struct troupe_actor *self, void *arg)
{
    struct asking *asking = arg;
    uint64_t one = 1;
    uint64_t two = 2;

    TROUPE_TRY(troupe_send(self, asking->to, &number, &one));
    TROUPE_TRY(troupe_request(self, asking->to, &ask, &one, TROUPE_FOREVER, told, &asking->status));
    return troupe_send(self, asking->to, &number, &two);
}

Test(batch, a_request_comes_alone_and_in_its_turn, .timeout = 20)
{
    struct stage stage;
    struct seen seen = {0};
    struct asking asking = {.status = 1};
    troupe_pid puppet;

    stage_open(&stage, TROUPE_NO_THREADS);
    puppet = stage_spawn(&stage, &stage_puppet, NULL);
    asking.to = stage_spawn(&stage, &batching, &seen);
    stage_tell(&stage, puppet, send_and_ask, &asking);
    stage_run(&stage);
    cr_assert_eq(asking.status, TROUPE_OK);
    expect_values(&seen, 2);
    cr_assert_eq(seen.calls, 2, "one before it, one behind");
    cr_assert_eq(seen.singles, 1);
    stage_close(&stage);
}

Test(batch, every_body_ends_once_however_the_callback_does, .timeout = 20)
{
    enum { RETURNS, FAILS, LEAVES, WAYS };

    for (int way = RETURNS; way < WAYS; way++) {
        struct stage stage;
        struct seen seen = {.result = way == FAILS ? TROUPE_EPROTO : TROUPE_OK};
        unsigned destroyed = 0;
        troupe_pid pid;

        seen.leaves = way == LEAVES;
        stage_open(&stage, TROUPE_NO_THREADS);
        pid = stage_spawn(&stage, &by_three, &seen);
        for (uint64_t i = 1; i <= 5; i++) {
            stage_send(&stage, pid, &cargo, &(struct cargo){i, &destroyed});
        }
        stage_run(&stage);
        cr_assert_eq(seen.calls, way == RETURNS ? 2 : 1);
        cr_assert_eq(troupe_is_alive(stage.runtime, pid), way == RETURNS);
        stage_close(&stage);
        cr_assert_eq(destroyed, 5, "%u of 5, way %d", destroyed, way);
    }
}

Test(batch, each_message_may_be_taken_once, .timeout = 20)
{
    struct stage stage;
    struct seen seen = {.takes = true};
    unsigned destroyed = 0;
    troupe_pid pid;

    stage_open(&stage, TROUPE_NO_THREADS);
    pid = stage_spawn(&stage, &batching, &seen);
    for (uint64_t i = 1; i <= 5; i++) {
        stage_send(&stage, pid, &cargo, &(struct cargo){i, &destroyed});
    }
    stage_run(&stage);
    cr_assert_eq(seen.taken_count, 2);
    cr_assert_eq(seen.refused, 2);
    cr_assert_eq(destroyed, 3);
    for (unsigned i = 0; i < 2; i++) {
        cr_assert_eq(*(uint64_t *)troupe_body(seen.taken[i]), 2 * i + 2);
        troupe_message_destroy(seen.taken[i]);
    }
    cr_assert_eq(destroyed, 5);
    stage_close(&stage);
}

Test(batch, each_message_may_be_sent_on, .timeout = 20)
{
    struct stage stage;
    struct seen seen = {0};
    struct seen other = {0};
    troupe_pid pid;

    stage_open(&stage, TROUPE_NO_THREADS);
    seen.forward_to = stage_spawn(&stage, &batching, &other);
    pid = stage_spawn(&stage, &by_three, &seen);
    put(&stage, pid, 1, 5);
    stage_run(&stage);
    expect_values(&other, 5);
    stage_close(&stage);
}

Test(batch, what_is_borrowed_is_neither_stashed_nor_sent, .timeout = 20)
{
    struct stage stage;
    struct seen seen = {.stashes = true};
    troupe_pid pid;

    stage_open(&stage, TROUPE_NO_THREADS);
    pid = stage_spawn(&stage, &batching, &seen);
    put(&stage, pid, 1, 4);
    stage_run(&stage);
    cr_assert_eq(seen.refused, 12);
    stage_close(&stage);
}

Test(batch, what_has_expired_is_in_no_batch, .timeout = 20)
{
    struct stage stage;
    struct seen seen = {0};
    unsigned destroyed = 0;
    troupe_pid pid;

    clock_frozen_ns = UINT64_C(5000000000000);
    stage_open(&stage, TROUPE_NO_THREADS);
    pid = stage_spawn(&stage, &by_three_hasty, &seen);
    for (uint64_t i = 1; i <= 3; i++) {
        stage_send(&stage, pid, &cargo, &(struct cargo){100 + i, &destroyed});
    }
    clock_frozen_ns += UINT64_C(40000000);
    put(&stage, pid, 1, 4);
    clock_frozen_ns += UINT64_C(20000000);
    put(&stage, pid, 5, 1);
    stage_run(&stage);
    expect_values(&seen, 5);
    cr_assert_eq(destroyed, 3);
    cr_assert_eq(stage_books(&stage).sheds[TROUPE_SHED_EXPIRED], 3);
    stage_close(&stage);
}

/* Those that are shed stand in the middle of it, and at its end. */
Test(batch, a_batch_closes_over_what_was_shed, .timeout = 20)
{
    struct stage stage;
    struct seen seen = {0};
    struct troupe_message *msgs[6];
    troupe_pid pid;

    clock_frozen_ns = UINT64_C(5000000000000);
    stage_open(&stage, TROUPE_NO_THREADS);
    pid = stage_spawn(&stage, &by_three_hasty, &seen);
    for (uint64_t i = 0; i < 6; i++) {
        msgs[i] = stage_message(&stage, &number, &i);
    }
    /* In the order of the queue: fresh, old, fresh, old, old, fresh. */
    for (unsigned i = 0; i < 6; i++) {
        bool is_old = i == 1 || i == 3 || i == 4;

        clock_frozen_ns -= is_old ? UINT64_C(60000000) : 0;
        cr_assert_eq(troupe_try_send(stage.runtime, pid, msgs[i]), TROUPE_OK);
        clock_frozen_ns += is_old ? UINT64_C(60000000) : 0;
    }
    stage_run(&stage);
    cr_assert_eq(seen.count, 3);
    cr_assert_eq(seen.values[0] * 100 + seen.values[1] * 10 + seen.values[2], 25);
    cr_assert_eq(stage_books(&stage).shed, 3);
    stage_close(&stage);
}

Test(batch, a_kill_is_heeded_between_two_batches, .timeout = 20)
{
    struct stage stage;
    struct seen seen = {0};
    troupe_pid pid;

    stage_open(&stage, TROUPE_NO_THREADS);
    pid = stage_spawn(&stage, &by_three, &seen);
    put(&stage, pid, 1, 9);
    cr_assert_eq(troupe_runtime_exit(stage.runtime, pid, TROUPE_EXIT_KILL), TROUPE_OK);
    stage_run(&stage);
    cr_assert_eq(seen.count, 0);
    stage_close(&stage);
}

Test(batch, a_behaviour_that_cannot_have_batches_is_refused, .timeout = 20)
{
    struct troupe_behaviour wrong[] = {batching, batching};
    struct stage stage;
    troupe_pid pid;

    wrong[0].may_wait = true;
    wrong[1].batch_max = TROUPE_BATCH_MAX + 1;
    stage_open(&stage, TROUPE_NO_THREADS);
    for (size_t i = 0; i < TROUPE_COUNT(wrong); i++) {
        cr_assert_eq(stage_try_spawn(&stage, &wrong[i], NULL, &pid), TROUPE_EINVAL);
    }
    stage_close(&stage);
}

/* ---- peek ---- */

Test(batch, a_peek_shows_the_next_message_and_leaves_it, .timeout = 20)
{
    struct stage stage;
    struct seen seen = {0};
    troupe_pid pid;

    clock_frozen_ns = UINT64_C(5000000000000);
    stage_open(&stage, TROUPE_NO_THREADS);
    pid = stage_spawn(&stage, &by_three_aged, &seen);
    put(&stage, pid, 1, 3);
    stage_send(&stage, pid, &answer, &(uint64_t){4});
    clock_frozen_ns += UINT64_C(7000000);
    stage_run(&stage);
    expect_values(&seen, 4);
    cr_assert(!seen.peeked, "nothing is behind the last");
    cr_assert_eq(seen.peek.type, &answer);
    cr_assert_eq(seen.peek.size, sizeof(uint64_t));
    cr_assert_eq(seen.peek.age_ms, 7);
    cr_assert(!seen.peek.request);
    stage_close(&stage);
}

Test(batch, a_peek_knows_no_age_where_none_is_asked_for, .timeout = 20)
{
    struct stage stage;
    struct seen seen = {0};
    troupe_pid pid;

    stage_open(&stage, TROUPE_NO_THREADS);
    pid = stage_spawn(&stage, &by_three, &seen);
    put(&stage, pid, 1, 4);
    stage_run(&stage);
    cr_assert_eq(seen.peek.type, &number);
    cr_assert_eq(seen.peek.age_ms, -1);
    cr_assert(!troupe_peek(NULL, &seen.peek));
    stage_close(&stage);
}

/* ---- with threads ---- */

#define SENDERS 3
#define SENT 3000

static int count_batch(
    struct troupe_actor *self, void *state, struct troupe_message **msgs, size_t count)
{
    (void)self;
    for (size_t i = 0; i < count; i++) {
        **(uint64_t **)state += *(const uint64_t *)troupe_body(msgs[i]);
    }
    return TROUPE_OK;
}

static const struct troupe_behaviour summing = {.name = "summing",
    .state_size = sizeof(uint64_t *),
    .init = init,
    .receive = receive,
    .receive_batch = count_batch};

struct flood {
    struct stage *stage;
    troupe_pid to;
};

static void *flood(void *arg)
{
    struct flood *flood = arg;

    for (uint64_t i = 0; i < SENT;) {
        i += stage_try_send(flood->stage, flood->to, &number, &(uint64_t){1}) == TROUPE_OK;
    }
    return NULL;
}

Test(batch, under_many_senders_each_message_is_in_one_batch, .timeout = 60)
{
    struct stage stage;
    pthread_t threads[SENDERS];
    struct flood to;
    uint64_t sum = 0;

    stage_open(&stage, 2);
    to = (struct flood){&stage, stage_spawn(&stage, &summing, &sum)};
    for (unsigned k = 0; k < SENDERS; k++) {
        cr_assert_eq(pthread_create(&threads[k], NULL, flood, &to), 0);
    }
    for (unsigned k = 0; k < SENDERS; k++) {
        pthread_join(threads[k], NULL);
    }
    STAGE_AWAIT(&stage, stage_books(&stage).queued == 0);
    stage_close(&stage);
    cr_assert_eq(sum, SENDERS * SENT);
}
