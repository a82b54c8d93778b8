/* SPDX-License-Identifier: MIT */
/* Message: bodies, sizes and owners of messages that are in no mailbox; shared buffers. */
#include "test/support/hoard.h"
#include "test/support/stage.h"

struct cargo {
    uint64_t value;
    _Atomic unsigned *destroyed;
};

static void cargo_destroy(void *body)
{
    const struct cargo *cargo = body;

    (*cargo->destroyed)++;
}

static const struct troupe_type number = TROUPE_TYPE(uint64_t);
static const struct troupe_type none = TROUPE_SIGNAL;
static const struct troupe_type bytes = TROUPE_BYTES;
static const struct troupe_type cargo = TROUPE_TYPE_DESTROY(struct cargo, cargo_destroy);
static const struct troupe_type headed = {"headed", 16, NULL, true};

/* ---- create ---- */

Test(message, it_has_the_type_size_and_sender_that_it_was_made_with, .timeout = 60)
{
    struct stage stage;
    struct troupe_message *msg;

    stage_open(&stage, TROUPE_NO_THREADS);
    cr_assert_eq(troupe_message_create(stage.runtime, &number, 0, &msg), TROUPE_OK);
    cr_assert(troupe_is(msg, &number));
    cr_assert_not(troupe_is(msg, &none));
    cr_assert_eq(troupe_message_type(msg), &number);
    cr_assert_eq(troupe_body_size(msg), 8);
    cr_assert_eq(troupe_sender(msg), TROUPE_NOBODY);
    troupe_message_destroy(msg);
    cr_assert_eq(troupe_message_create(stage.runtime, &none, 0, &msg), TROUPE_OK);
    cr_assert_eq(troupe_body_size(msg), 0);
    troupe_message_destroy(msg);
    stage_close(&stage);
}

/* Two types that look the same are two: the address is the identity. */
Test(message, a_type_is_its_address, .timeout = 60)
{
    static const struct troupe_type twin = TROUPE_TYPE(uint64_t);
    struct stage stage;
    struct troupe_message *msg;

    stage_open(&stage, TROUPE_NO_THREADS);
    msg = stage_message(&stage, &number, &(uint64_t){1});
    cr_assert_not(troupe_is(msg, &twin));
    troupe_message_destroy(msg);
    stage_close(&stage);
}

Test(message, a_body_of_every_size_is_aligned_and_all_of_it_can_be_written, .timeout = 60)
{
    struct stage stage;

    stage_open(&stage, TROUPE_NO_THREADS);
    for (size_t size = 1; size < 10000; size += size < 300 ? 1 : 97) {
        struct troupe_message *msg;

        cr_assert_eq(troupe_message_create(stage.runtime, &bytes, size, &msg), TROUPE_OK);
        cr_assert_eq(troupe_body_size(msg), size);
        cr_assert_eq((uintptr_t)troupe_body(msg) % 16, 0, "%zu bytes", size);
        memset(troupe_body(msg), 0x5a, size);
        troupe_message_destroy(msg);
    }
    stage_close(&stage);
}

Test(message, a_variable_type_has_a_least_size, .timeout = 60)
{
    struct stage stage;
    struct troupe_message *msg = NULL;

    stage_open(&stage, TROUPE_NO_THREADS);
    cr_assert_eq(troupe_message_create(stage.runtime, &headed, 15, &msg), TROUPE_EINVAL);
    cr_assert_null(msg, "untouched on failure");
    cr_assert_eq(troupe_message_create(stage.runtime, &headed, 0, &msg), TROUPE_OK);
    cr_assert_eq(troupe_body_size(msg), 16);
    troupe_message_destroy(msg);
    cr_assert_eq(troupe_message_create(stage.runtime, &headed, 17, &msg), TROUPE_OK);
    cr_assert_eq(troupe_body_size(msg), 17);
    troupe_message_destroy(msg);
    stage_close(&stage);
}

Test(message, destroy_destroys_the_body_once, .timeout = 60)
{
    struct stage stage;
    _Atomic unsigned destroyed = 0;

    stage_open(&stage, TROUPE_NO_THREADS);
    for (unsigned i = 1; i <= 1000; i++) {
        troupe_message_destroy(stage_message(&stage, &cargo, &(struct cargo){i, &destroyed}));
        cr_assert_eq(destroyed, i);
    }
    stage_close(&stage);
    cr_assert_eq(destroyed, 1000);
}

Test(message, create_without_memory_is_enomem_and_leaves_nothing, .timeout = 60)
{
    static const size_t sizes[] = {8, 100, 4000, 5000, 1000000};

    for (size_t i = 0; i < TROUPE_COUNT(sizes); i++) {
        struct stage stage;
        struct troupe_message *msg = NULL;

        stage_open(&stage, TROUPE_NO_THREADS);
        stage.memory.fail_at = stage.memory.calls + 1;
        cr_assert_eq(troupe_message_create(stage.runtime, &bytes, sizes[i], &msg), TROUPE_ENOMEM);
        cr_assert_null(msg);
        stage.memory.fail_at = 0;
        cr_assert_eq(troupe_message_create(stage.runtime, &bytes, sizes[i], &msg), TROUPE_OK);
        troupe_message_destroy(msg);
        stage_close(&stage);
    }
}

Test(message, destroy_needs_no_memory, .timeout = 60)
{
    struct stage stage;
    struct troupe_message *msgs[100];
    _Atomic unsigned destroyed = 0;

    stage_open(&stage, TROUPE_NO_THREADS);
    for (unsigned i = 0; i < 100; i++) {
        msgs[i] = stage_message(&stage, &cargo, &(struct cargo){i, &destroyed});
    }
    stage.memory.fail_for_good = true;
    stage.memory.fail_at = 1;
    for (unsigned i = 0; i < 100; i++) {
        troupe_message_destroy(msgs[i]);
    }
    stage.memory.fail_at = 0;
    cr_assert_eq(destroyed, 100);
    stage_close(&stage);
}

/* ---- messages move between threads ---- */

#define THREADS 4
#define PER_THREAD 2000

struct maker {
    struct troupe_runtime *runtime;
    struct troupe_message *msgs[PER_THREAD];
    _Atomic unsigned *destroyed;
    bool failed;
};

static void *make_messages(void *arg)
{
    struct maker *maker = arg;

    for (int i = 0; i < PER_THREAD; i++) {
        if (troupe_message_create(maker->runtime, &cargo, 0, &maker->msgs[i]) < 0) {
            maker->failed = true;
            return NULL;
        }
        *(struct cargo *)troupe_body(maker->msgs[i]) = (struct cargo){1, maker->destroyed};
    }
    return NULL;
}

static void *destroy_messages(void *arg)
{
    struct maker *maker = arg;

    for (int i = 0; i < PER_THREAD; i++) {
        troupe_message_destroy(maker->msgs[i]);
    }
    return NULL;
}

Test(message, what_one_thread_made_another_may_end, .timeout = 60)
{
    struct stage stage;
    static struct maker makers[THREADS];
    _Atomic unsigned destroyed = 0;
    pthread_t threads[THREADS];

    stage_open(&stage, 1);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < THREADS; i++) {
            makers[i].runtime = stage.runtime;
            makers[i].destroyed = &destroyed;
            cr_assert_eq(pthread_create(&threads[i], NULL, make_messages, &makers[i]), 0);
        }
        for (int i = 0; i < THREADS; i++) {
            pthread_join(threads[i], NULL);
            cr_assert_not(makers[i].failed);
        }
        for (int i = 0; i < THREADS; i++) {
            cr_assert_eq(
                pthread_create(&threads[i], NULL, destroy_messages, &makers[(i + 1) % THREADS]), 0);
        }
        for (int i = 0; i < THREADS; i++) {
            pthread_join(threads[i], NULL);
        }
    }
    stage_close(&stage);
    cr_assert_eq(destroyed, 3 * THREADS * PER_THREAD);
}

/* ---- taking ---- */

struct taker {
    struct hoard hoard;
    int poor, rich;
    struct troupe_message *kept;
};

static int taker_init(struct troupe_actor *self, void *state, const void *arg)
{
    (void)self;
    *(struct taker **)state = (struct taker *)(uintptr_t)arg;
    return TROUPE_OK;
}

static int take_without_memory(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct taker *taker = *(struct taker **)state;

    hoard_fill(&taker->hoard, troupe_runtime_of(self));
    taker->poor = troupe_take(self, msg, &taker->kept);
    hoard_empty(&taker->hoard);
    taker->rich = troupe_take(self, msg, &taker->kept);
    return TROUPE_OK;
}

static const struct troupe_behaviour taker_behaviour = {.name = "taker",
    .state_size = sizeof(struct taker *),
    .init = taker_init,
    .receive = take_without_memory};

Test(message, what_cannot_be_taken_without_memory_stays_and_can_be_taken_later, .timeout = 60)
{
    struct stage stage;
    static struct taker taker;
    _Atomic unsigned destroyed = 0;

    stage_open(&stage, TROUPE_NO_THREADS);
    taker.hoard.memory = &stage.memory;
    stage_send(&stage, stage_spawn(&stage, &taker_behaviour, &taker), &cargo,
        &(struct cargo){9, &destroyed});
    stage_run(&stage);
    cr_assert_eq(taker.poor, TROUPE_ENOMEM);
    cr_assert_eq(taker.rich, TROUPE_OK);
    cr_assert_eq(((struct cargo *)troupe_body(taker.kept))->value, 9);
    cr_assert_eq(destroyed, 0);
    troupe_message_destroy(taker.kept);
    cr_assert_eq(destroyed, 1);
    stage_close(&stage);
}

/* ---- shared buffers ---- */

Test(message, a_buffer_lives_as_long_as_somebody_refers_to_it, .timeout = 60)
{
    struct stage stage;
    struct troupe_buffer *buffer;
    uint64_t before;

    stage_open(&stage, TROUPE_NO_THREADS);
    before = stage.memory.blocks;
    cr_assert_eq(troupe_buffer_create(stage.runtime, 1000, &buffer), TROUPE_OK);
    cr_assert_eq(troupe_buffer_size(buffer), 1000);
    cr_assert_eq((uintptr_t)troupe_buffer_data(buffer) % 16, 0);
    memset(troupe_buffer_data(buffer), 1, 1000);
    cr_assert_eq(troupe_buffer_retain(buffer), buffer);
    troupe_buffer_release(buffer);
    cr_assert_eq(stage.memory.blocks, before + 1);
    troupe_buffer_release(buffer);
    cr_assert_eq(stage.memory.blocks, before);
    cr_assert_eq(troupe_buffer_create(stage.runtime, 0, &buffer), TROUPE_OK, "empty, but a buffer");
    cr_assert_eq(troupe_buffer_size(buffer), 0);
    troupe_buffer_release(buffer);
    stage_close(&stage);
}

struct reader {
    _Atomic uint64_t sum;
};

static int reader_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct reader *reader = *(struct reader **)state;
    struct troupe_buffer *buffer;

    (void)self;
    if (!troupe_is(msg, &troupe_buffer_message)) {
        return TROUPE_EUNKNOWN;
    }
    buffer = *(struct troupe_buffer **)troupe_body(msg);
    reader->sum += *(const uint64_t *)troupe_buffer_data(buffer);
    return TROUPE_OK;
}

Test(message, many_messages_share_a_buffer_and_the_last_one_frees_it, .timeout = 60)
{
    struct stage stage;
    struct reader reader = {0};
    static const struct troupe_behaviour behaviour = {.name = "reader",
        .state_size = sizeof(struct reader *),
        .init = taker_init,
        .receive = reader_receive};
    struct troupe_buffer *buffer;
    troupe_pid readers[4];

    stage_open(&stage, 2);
    for (int i = 0; i < 4; i++) {
        readers[i] = stage_spawn(&stage, &behaviour, &reader);
    }
    cr_assert_eq(troupe_buffer_create(stage.runtime, 8, &buffer), TROUPE_OK);
    *(uint64_t *)troupe_buffer_data(buffer) = 3;
    for (int i = 0; i < 400; i++) {
        struct troupe_buffer *reference = troupe_buffer_retain(buffer);

        stage_send(&stage, readers[i % 4], &troupe_buffer_message, &reference);
    }
    troupe_buffer_release(buffer);
    STAGE_AWAIT(&stage, reader.sum == 1200);
    /* The stage says whether it was freed, and once. */
    stage_close(&stage);
}
