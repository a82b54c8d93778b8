/* SPDX-License-Identifier: MIT */
/* Sojourn: messages that have waited for too long in a mailbox that says how long that is. */
#include "test/support/clock.h"
#include "test/support/stage.h"

static const struct troupe_type number = TROUPE_TYPE(uint64_t);
static const struct troupe_type ask = TROUPE_TYPE(uint64_t);
static const struct troupe_type answer = TROUPE_TYPE(uint64_t);
static const struct troupe_type bytes = TROUPE_BYTES;

#define EXPIRE_MS 50
#define SEEN_MAX 256
#define BEGIN_NS UINT64_C(5000000000000)

/* No time passes but what a test, or a handler, lets pass. */
static void pass_ms(uint64_t ms)
{
    clock_frozen_ns += ms * 1000000U;
}

/* ---- a receiver that takes its time ---- */

struct seen {
    unsigned service_ms; /* of each message */
    unsigned count;
    uint64_t values[SEEN_MAX];
};

static void note(struct seen *seen, const struct troupe_message *msg)
{
    cr_assert_lt(seen->count, SEEN_MAX);
    seen->values[seen->count++] =
        troupe_is(msg, &bytes) ? troupe_body_size(msg) : *(const uint64_t *)troupe_body(msg);
    for (size_t i = 0; troupe_is(msg, &bytes) && i < troupe_body_size(msg); i++) {
        cr_assert_eq(((const unsigned char *)troupe_body(msg))[i], (unsigned char)(i * 7));
    }
    pass_ms(seen->service_ms);
}

static int slow_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct seen *seen = *(struct seen **)state;
    int status;

    if (stage_is_job(self, msg, &status)) {
        return status;
    }
    note(seen, msg);
    return troupe_is_request(msg) ? troupe_reply(self, msg, &answer, troupe_body(msg)) : TROUPE_OK;
}

static int slow_init(struct troupe_actor *self, void *state, const void *arg)
{
    (void)self;
    *(struct seen **)state = (struct seen *)(uintptr_t)arg;
    return TROUPE_OK;
}

static int fiber_main(struct troupe_actor *self, const void *arg)
{
    struct troupe_message *msg;

    for (;;) {
        TROUPE_TRY(troupe_receive(self, TROUPE_FOREVER, &msg));
        note((struct seen *)(uintptr_t)arg, msg);
    }
}

static const struct troupe_overload expires = {.expire_ms = EXPIRE_MS};
static const struct troupe_overload controls = {.codel = true};
static const struct troupe_overload ages = {.aged = true};

#define SLOW(policy, room)                                                                         \
    {                                                                                              \
        .name = "slow", .state_size = sizeof(struct seen *), .init = slow_init,                    \
        .receive = slow_receive, .overload = (policy), .capacity = (room)                          \
    }

static const struct troupe_behaviour expiring = SLOW(&expires, STAGE_ROOM);
static const struct troupe_behaviour expiring_small = SLOW(&expires, 2);
static const struct troupe_behaviour controlled = SLOW(&controls, STAGE_ROOM);
static const struct troupe_behaviour aged = SLOW(&ages, STAGE_ROOM);
static const struct troupe_behaviour expiring_fiber = {
    .name = "fiber",
    .main = fiber_main,
    .overload = &expires,
    .capacity = STAGE_ROOM,
};

static void open_frozen(struct stage *stage)
{
    clock_frozen_ns = BEGIN_NS;
    stage_open(stage, TROUPE_NO_THREADS);
}

static void put(struct stage *stage, troupe_pid pid, uint64_t first, unsigned count)
{
    for (uint64_t i = first; i < first + count; i++) {
        stage_send(stage, pid, &number, &i);
    }
}

static struct troupe_mailbox_info look(struct stage *stage, troupe_pid pid)
{
    struct troupe_mailbox_info info;

    cr_assert_eq(troupe_mailbox_info(stage->runtime, pid, &info), TROUPE_OK);
    return info;
}

/* ---- expire ---- */

Test(sojourn, what_has_waited_too_long_is_shed_in_its_turn, .timeout = 20)
{
    const struct troupe_behaviour *behaviours[] = {&expiring, &expiring_fiber};

    for (size_t i = 0; i < TROUPE_COUNT(behaviours); i++) {
        struct stage stage;
        struct seen seen = {0};
        troupe_pid pid;

        open_frozen(&stage);
        pid = stage_spawn(&stage, behaviours[i], &seen);
        stage_run(&stage);
        put(&stage, pid, 1, 3);
        pass_ms(EXPIRE_MS - 1);
        put(&stage, pid, 4, 2);
        stage_run(&stage);
        cr_assert_eq(seen.count, 5, "in time");
        put(&stage, pid, 6, 3);
        pass_ms(EXPIRE_MS);
        put(&stage, pid, 9, 1);
        stage_run(&stage);
        cr_assert_eq(seen.count, 6);
        cr_assert_eq(seen.values[5], 9);
        cr_assert_eq(look(&stage, pid).sheds[TROUPE_SHED_EXPIRED], 3);
        cr_assert_eq(stage_books(&stage).sheds[TROUPE_SHED_EXPIRED], 3);
        cr_assert_eq(stage_books(&stage).shed, 3);
        cr_assert_eq(look(&stage, pid).bytes, 0);
        stage_close(&stage);
    }
}

struct asker {
    troupe_pid to;
    unsigned outcomes;
    int status;
};

static int told(
    struct troupe_actor *self, void *state, void *context, int status, struct troupe_message *reply)
{
    struct asker *asker = context;

    (void)self;
    (void)state;
    (void)reply;
    asker->outcomes++;
    asker->status = status;
    return TROUPE_OK;
}

static int ask_once(struct troupe_actor *self, void *arg)
{
    struct asker *asker = arg;
    int error = troupe_request(self, asker->to, &ask, &(uint64_t){1}, TROUPE_FOREVER, told, asker);

    pass_ms(EXPIRE_MS);
    return error;
}

Test(sojourn, a_request_that_waited_too_long_has_one_outcome_that_says_so, .timeout = 20)
{
    struct stage stage;
    struct seen seen = {0};
    struct asker asker = {.status = 1};
    troupe_pid puppet;

    open_frozen(&stage);
    puppet = stage_spawn(&stage, &stage_puppet, NULL);
    asker.to = stage_spawn(&stage, &expiring, &seen);
    stage_run(&stage);
    stage_tell(&stage, puppet, ask_once, &asker);
    stage_run(&stage);
    cr_assert_eq(asker.outcomes, 1);
    cr_assert_eq(asker.status, TROUPE_EEXPIRED);
    cr_assert_eq(seen.count, 0);
    cr_assert_eq(look(&stage, asker.to).sheds[TROUPE_SHED_EXPIRED], 1);
    stage_close(&stage);
}

/* ---- stamps leave a message as it was ---- */

static int send_size(struct stage *stage, troupe_pid pid, size_t size)
{
    struct troupe_message *msg;
    int error;

    cr_assert_eq(troupe_message_create(stage->runtime, &bytes, size, &msg), TROUPE_OK);
    for (size_t i = 0; i < size; i++) {
        ((unsigned char *)troupe_body(msg))[i] = (unsigned char)(i * 7);
    }
    error = troupe_try_send(stage->runtime, pid, msg);
    if (error < 0) {
        troupe_message_destroy(msg);
    }
    return error;
}

static int send_copies(struct troupe_actor *self, void *arg)
{
    unsigned char body[5000];

    for (size_t i = 0; i < sizeof body; i++) {
        body[i] = (unsigned char)(i * 7);
    }
    for (size_t size = 1; size < 140; size++) {
        TROUPE_TRY(troupe_send_bytes(self, *(troupe_pid *)arg, &bytes, body, size));
    }
    for (size_t size = 4050; size <= 5000; size += 19) {
        TROUPE_TRY(troupe_send_bytes(self, *(troupe_pid *)arg, &bytes, body, size));
    }
    return TROUPE_OK;
}

Test(sojourn, a_body_of_any_length_arrives_whole_and_gives_its_room_back, .timeout = 20)
{
    struct stage stage;
    struct seen seen = {0};
    troupe_pid puppet;
    troupe_pid pid;

    open_frozen(&stage);
    puppet = stage_spawn(&stage, &stage_puppet, NULL);
    pid = stage_spawn(&stage, &expiring, &seen);
    for (size_t size = 1; size < 140; size++) {
        cr_assert_eq(send_size(&stage, pid, size), TROUPE_OK);
    }
    stage_run(&stage);
    cr_assert_eq(seen.count, 139);
    seen.count = 0;
    cr_assert_eq(stage_do(&stage, puppet, send_copies, &pid), TROUPE_OK);
    stage_run(&stage);
    cr_assert_eq(seen.count, 139 + 51, "%u", seen.count);
    cr_assert_eq(look(&stage, pid).bytes, 0);
    stage_close(&stage);
}

static int send_batch(struct troupe_actor *self, void *arg)
{
    struct troupe_message *msgs[40];

    for (size_t i = 0; i < 40; i++) {
        size_t size = i + 1;

        TROUPE_TRY(troupe_message_create(troupe_runtime_of(self), &bytes, size, &msgs[i]));
        for (size_t k = 0; k < size; k++) {
            ((unsigned char *)troupe_body(msgs[i]))[k] = (unsigned char)(k * 7);
        }
    }
    return troupe_send_batch(self, *(troupe_pid *)arg, msgs, 40);
}

Test(sojourn, a_batch_keeps_its_order_whichever_of_it_had_to_move, .timeout = 20)
{
    struct stage stage;
    struct seen seen = {0};
    troupe_pid puppet;
    troupe_pid pid;

    open_frozen(&stage);
    puppet = stage_spawn(&stage, &stage_puppet, NULL);
    pid = stage_spawn(&stage, &expiring, &seen);
    cr_assert_eq(stage_do(&stage, puppet, send_batch, &pid), TROUPE_OK);
    stage_run(&stage);
    cr_assert_eq(seen.count, 40);
    for (unsigned i = 0; i < 40; i++) {
        cr_assert_eq(seen.values[i], i + 1);
    }
    cr_assert_eq(look(&stage, pid).bytes, 0);
    stage_close(&stage);
}

Test(sojourn, without_memory_to_move_a_message_goes_without_an_age, .timeout = 20)
{
    struct stage stage;
    struct seen seen = {0};
    struct troupe_message *msgs[SEEN_MAX];
    unsigned count = 0;
    unsigned stamped;
    troupe_pid pid;

    open_frozen(&stage);
    pid = stage_spawn(&stage, &expiring, &seen);
    /* 29 bytes leave no four in a block of 64. */
    while (count < 200) {
        cr_assert_eq(troupe_message_create(stage.runtime, &bytes, 29, &msgs[count]), TROUPE_OK);
        for (size_t k = 0; k < 29; k++) {
            ((unsigned char *)troupe_body(msgs[count]))[k] = (unsigned char)(k * 7);
        }
        count++;
    }
    stage.memory.fail_for_good = true;
    stage.memory.fail_at = stage.memory.calls + 1;
    for (unsigned i = 0; i < count; i++) {
        cr_assert_eq(troupe_try_send(stage.runtime, pid, msgs[i]), TROUPE_OK);
    }
    stage.memory.fail_at = 0;
    pass_ms(EXPIRE_MS);
    stage_run(&stage);
    stamped = (unsigned)look(&stage, pid).sheds[TROUPE_SHED_EXPIRED];
    cr_assert_eq(seen.count + stamped, count);
    cr_assert_eq(look(&stage, pid).bytes, 0, "what was charged too much was given back");
    stage_close(&stage);
}

static int make_alias(struct troupe_actor *self, void *arg)
{
    return troupe_alias(self, TROUPE_ALIAS_EXPLICIT, TROUPE_PRIORITY, arg);
}

Test(sojourn, what_comes_through_an_alias_ages_as_well, .timeout = 20)
{
    struct stage stage;
    struct seen seen = {0};
    troupe_pid pid;
    troupe_pid alias;

    open_frozen(&stage);
    pid = stage_spawn(&stage, &expiring, &seen);
    cr_assert_eq(stage_do(&stage, pid, make_alias, &alias), TROUPE_OK);
    put(&stage, alias, 1, 2);
    pass_ms(EXPIRE_MS);
    put(&stage, alias, 3, 1);
    stage_run(&stage);
    cr_assert_eq(seen.count, 1);
    cr_assert_eq(seen.values[0], 3);
    cr_assert_eq(look(&stage, pid).sheds[TROUPE_SHED_EXPIRED], 2);
    cr_assert_eq(look(&stage, pid).bytes, 0);
    stage_close(&stage);
}

struct waiting {
    troupe_pid to;
    _Atomic bool done;
    int status;
};

static int waiting_main(struct troupe_actor *self, const void *arg)
{
    struct waiting *waiting = (struct waiting *)(uintptr_t)arg;
    unsigned char body[29];

    for (size_t i = 0; i < sizeof body; i++) {
        body[i] = (unsigned char)(i * 7);
    }
    waiting->status =
        troupe_send_bytes_within(self, waiting->to, &bytes, body, sizeof body, TROUPE_FOREVER);
    waiting->done = true;
    return TROUPE_OK;
}

static const struct troupe_behaviour waiter = {.name = "waiter", .main = waiting_main};

Test(sojourn, the_time_spent_waiting_for_room_is_not_counted, .timeout = 20)
{
    struct stage stage;
    struct seen seen = {.service_ms = EXPIRE_MS / 2};
    struct waiting waiting = {0};

    open_frozen(&stage);
    waiting.to = stage_spawn(&stage, &expiring_small, &seen);
    put(&stage, waiting.to, 1, 2);
    (void)stage_spawn(&stage, &waiter, &waiting);
    stage_run(&stage);
    cr_assert(waiting.done);
    cr_assert_eq(waiting.status, TROUPE_OK);
    cr_assert_eq(seen.count, 3);
    cr_assert_eq(seen.values[2], 29);
    cr_assert_eq(look(&stage, waiting.to).bytes, 0);
    stage_close(&stage);
}

static int stash_once(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    unsigned *times = state;
    int status;

    if (stage_is_job(self, msg, &status)) {
        return status;
    }
    return ++*times == 1 ? troupe_stash(self, msg) : TROUPE_OK;
}

static const struct troupe_behaviour stashing = {.name = "stashing",
    .state_size = sizeof(unsigned),
    .receive = stash_once,
    .overload = &expires};

static int unstash(struct troupe_actor *self, void *arg)
{
    *(unsigned *)arg = (unsigned)troupe_unstash(self);
    return TROUPE_OK;
}

static int times_handled(struct troupe_actor *self, void *arg)
{
    *(unsigned *)arg = *(unsigned *)troupe_state(self);
    return TROUPE_OK;
}

Test(sojourn, what_an_actor_puts_aside_itself_does_not_age, .timeout = 20)
{
    struct stage stage;
    unsigned count = 0;
    troupe_pid pid;

    open_frozen(&stage);
    pid = stage_spawn(&stage, &stashing, NULL);
    put(&stage, pid, 1, 1);
    stage_run(&stage);
    pass_ms(EXPIRE_MS);
    cr_assert_eq(stage_do(&stage, pid, unstash, &count), TROUPE_OK);
    cr_assert_eq(count, 1);
    cr_assert_eq(stage_do(&stage, pid, times_handled, &count), TROUPE_OK);
    cr_assert_eq(count, 2);
    cr_assert_eq(stage_books(&stage).shed, 0);
    stage_close(&stage);
}

/* ---- CoDel ---- */

/* Of 40 messages that came at once and take 20 ms each, the first is above the target (10 ms) at 20 ms, and so are all behind it.
 * One goes an interval (100 ms) later, the next ones 100, 70, 57, 50 ms after the time for the one before. */
Test(sojourn, codel_sheds_a_standing_queue_more_and_more_often, .timeout = 20)
{
    static const uint64_t gone[] = {6, 12, 17, 21, 24};
    struct stage stage;
    struct seen seen = {.service_ms = 20};
    unsigned at = 0;
    uint64_t next = 0;
    troupe_pid pid;

    open_frozen(&stage);
    pid = stage_spawn(&stage, &controlled, &seen);
    stage_run(&stage);
    put(&stage, pid, 0, 40);
    stage_run(&stage);
    for (unsigned i = 0; i < seen.count && at < TROUPE_COUNT(gone); i++, next++) {
        while (seen.values[i] > next && at < TROUPE_COUNT(gone)) {
            cr_assert_eq(next, gone[at], "the %uth was %llu", at, (unsigned long long)next);
            at++;
            next++;
        }
    }
    cr_assert_eq(at, TROUPE_COUNT(gone));
    cr_assert_eq(seen.count + look(&stage, pid).sheds[TROUPE_SHED_CODEL], 40);
    cr_assert_eq(seen.values[seen.count - 1], 39, "the last one has nobody behind it");
    stage_close(&stage);
}

Test(sojourn, codel_lets_a_burst_through, .timeout = 20)
{
    struct stage stage;
    struct seen seen = {.service_ms = 1};
    troupe_pid pid;

    open_frozen(&stage);
    pid = stage_spawn(&stage, &controlled, &seen);
    stage_run(&stage);
    for (unsigned round = 0; round < 2; round++) {
        put(&stage, pid, 0, 100);
        stage_run(&stage);
    }
    cr_assert_eq(seen.count, 200);
    stage_close(&stage);
}

Test(sojourn, codel_spares_the_only_one_however_long_it_waited, .timeout = 20)
{
    struct stage stage;
    struct seen seen = {0};
    troupe_pid pid;

    open_frozen(&stage);
    pid = stage_spawn(&stage, &controlled, &seen);
    stage_run(&stage);
    for (unsigned i = 0; i < 20; i++) {
        put(&stage, pid, i, 1);
        pass_ms(500);
        stage_run(&stage);
    }
    cr_assert_eq(seen.count, 20);
    stage_close(&stage);
}

struct askers {
    struct asker asker;
    unsigned ok;
    unsigned shed;
};

static int tally(
    struct troupe_actor *self, void *state, void *context, int status, struct troupe_message *reply)
{
    struct askers *askers = context;

    (void)self;
    (void)state;
    (void)reply;
    askers->ok += status == TROUPE_OK;
    askers->shed += status == TROUPE_EOVERLOAD;
    return TROUPE_OK;
}

static int ask_many(struct troupe_actor *self, void *arg)
{
    struct askers *askers = arg;

    for (uint64_t i = 0; i < 40; i++) {
        TROUPE_TRY(troupe_request(self, askers->asker.to, &ask, &i, TROUPE_FOREVER, tally, askers));
    }
    return TROUPE_OK;
}

Test(sojourn, a_request_that_codel_sheds_is_answered, .timeout = 20)
{
    struct stage stage;
    struct seen seen = {.service_ms = 20};
    struct askers askers = {0};
    troupe_pid puppet;

    open_frozen(&stage);
    puppet = stage_spawn(&stage, &stage_puppet, NULL);
    askers.asker.to = stage_spawn(&stage, &controlled, &seen);
    stage_run(&stage);
    stage_tell(&stage, puppet, ask_many, &askers);
    stage_run(&stage);
    cr_assert_eq(askers.ok + askers.shed, 40);
    cr_assert_gt(askers.shed, 5);
    cr_assert_eq(askers.ok, seen.count);
    stage_close(&stage);
}

/* ---- ages ---- */

Test(sojourn, a_mailbox_says_how_old_its_oldest_message_may_be, .timeout = 20)
{
    struct stage stage;
    struct seen seen = {0};
    troupe_pid pid;

    open_frozen(&stage);
    pid = stage_spawn(&stage, &aged, &seen);
    stage_run(&stage);
    pass_ms(10000);
    cr_assert_eq(look(&stage, pid).oldest_ms, 0);
    put(&stage, pid, 1, 1);
    pass_ms(30);
    put(&stage, pid, 2, 1);
    pass_ms(12);
    cr_assert_eq(look(&stage, pid).oldest_ms, 42);
    stage_run(&stage);
    cr_assert_eq(look(&stage, pid).oldest_ms, 0);
    cr_assert_eq(seen.count, 2, "nothing is shed for that");
    stage_close(&stage);
}

Test(sojourn, times_that_are_too_long_are_refused_at_the_spawn, .timeout = 20)
{
    static const struct troupe_overload wrong[] = {
        {.expire_ms = 24U * 60 * 60 * 1000 + 1},
        {.codel = true, .codel_target_ms = 60001},
        {.codel = true, .codel_interval_ms = 60001},
    };
    struct stage stage;
    troupe_pid pid;

    stage_open(&stage, TROUPE_NO_THREADS);
    for (size_t i = 0; i < TROUPE_COUNT(wrong); i++) {
        struct troupe_behaviour behaviour = SLOW(&wrong[i], 0);

        cr_assert_eq(stage_try_spawn(&stage, &behaviour, NULL, &pid), TROUPE_EINVAL);
    }
    stage_close(&stage);
}

/* Many threads, and nothing is lost: each is handled or shed. */
#define SENDERS 3
#define SENT 2000

struct flood {
    struct stage *stage;
    troupe_pid to;
    unsigned refused;
};

static void *flood(void *arg)
{
    struct flood *flood = arg;

    for (size_t i = 0; i < SENT; i++) {
        flood->refused += send_size(flood->stage, flood->to, 20 + i % 20) == TROUPE_EFULL;
    }
    return NULL;
}

static int count_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    (void)self;
    (void)state;
    return troupe_is(msg, &bytes) ? TROUPE_OK : TROUPE_EUNKNOWN;
}

static const struct troupe_overload hasty = {.expire_ms = 1, .codel = true, .codel_target_ms = 1};
static const struct troupe_behaviour hasting = {
    .name = "hasting", .receive = count_receive, .overload = &hasty};

Test(sojourn, under_many_senders_every_message_is_in_one_column, .timeout = 60)
{
    struct stage stage;
    pthread_t threads[SENDERS];
    struct flood floods[SENDERS];
    struct troupe_books books;
    uint64_t refused = 0;
    troupe_pid pid;

    stage_open(&stage, 2);
    pid = stage_spawn(&stage, &hasting, NULL);
    for (unsigned k = 0; k < SENDERS; k++) {
        floods[k] = (struct flood){&stage, pid, 0};
        cr_assert_eq(pthread_create(&threads[k], NULL, flood, &floods[k]), 0);
    }
    for (unsigned k = 0; k < SENDERS; k++) {
        pthread_join(threads[k], NULL);
        refused += floods[k].refused;
    }
    STAGE_AWAIT(&stage, stage_books(&stage).queued == 0 && look(&stage, pid).bytes == 0);
    books = stage_books(&stage);
    cr_assert_eq(books.refused, refused);
    cr_assert_eq(books.handled + books.shed + books.refused, SENDERS * SENT);
    stage_close(&stage);
}
