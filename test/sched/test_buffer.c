/* SPDX-License-Identifier: MIT */
/* Buffers: bytes that many refer to live until the last reference is dropped, on whatever path, and no longer. */
#include "test/support/stage.h"
#include "test/support/team.h"

/* ---- one buffer ---- */

static struct troupe_buffer *new_buffer(struct stage *stage, size_t size)
{
    struct troupe_buffer *buffer = NULL;

    cr_assert_eq(troupe_buffer_create(stage->runtime, size, &buffer), TROUPE_OK);
    cr_assert_not_null(buffer);
    return buffer;
}

Test(buffer, has_its_size_and_aligned_bytes_to_write)
{
    static const size_t sizes[] = {0, 1, 15, 16, 17, 4096, 100000};
    struct stage stage;

    stage_open(&stage, TROUPE_NO_THREADS);
    for (unsigned i = 0; i < TROUPE_COUNT(sizes); i++) {
        struct troupe_buffer *buffer = new_buffer(&stage, sizes[i]);

        cr_assert_eq(troupe_buffer_size(buffer), sizes[i]);
        cr_assert_not_null(troupe_buffer_data(buffer));
        cr_assert_eq((uintptr_t)troupe_buffer_data(buffer) % 16, 0);
        memset(troupe_buffer_data(buffer), 1, sizes[i]);
        troupe_buffer_release(buffer);
    }
    stage_close(&stage);
}

Test(buffer, lives_until_as_many_were_released_as_were_retained)
{
    struct stage stage;
    struct troupe_buffer *buffer;
    uint64_t blocks;

    stage_open(&stage, TROUPE_NO_THREADS);
    blocks = stage.memory.blocks;
    buffer = new_buffer(&stage, 100);
    cr_assert_eq(stage.memory.blocks, blocks + 1);
    for (unsigned i = 0; i < 10; i++) {
        cr_assert_eq(troupe_buffer_retain(buffer), buffer);
    }
    for (unsigned i = 0; i < 10; i++) {
        troupe_buffer_release(buffer);
        cr_assert_eq(stage.memory.blocks, blocks + 1);
    }
    troupe_buffer_release(buffer);
    cr_assert_eq(stage.memory.blocks, blocks);
    stage_close(&stage);
}

Test(buffer, null_is_no_buffer_and_does_no_harm)
{
    cr_assert_null(troupe_buffer_retain(NULL));
    troupe_buffer_release(NULL);
    cr_assert_null(troupe_buffer_data(NULL));
    cr_assert_eq(troupe_buffer_size(NULL), 0);
}

Test(buffer, create_refuses_what_is_missing_or_too_large)
{
    struct stage stage;
    struct troupe_buffer *buffer = NULL;

    stage_open(&stage, TROUPE_NO_THREADS);
    cr_assert_eq(troupe_buffer_create(NULL, 1, &buffer), TROUPE_EINVAL);
    cr_assert_eq(troupe_buffer_create(stage.runtime, 1, NULL), TROUPE_EINVAL);
    cr_assert_eq(troupe_buffer_create(stage.runtime, TROUPE_BODY_MAX + 1, &buffer), TROUPE_EINVAL);
    cr_assert_eq(troupe_buffer_create(stage.runtime, SIZE_MAX, &buffer), TROUPE_EINVAL);
    cr_assert_null(buffer, "untouched");
    stage_close(&stage);
}

Test(buffer, create_without_memory_leaves_nothing)
{
    struct stage stage;
    struct troupe_buffer *buffer = NULL;

    stage_open(&stage, TROUPE_NO_THREADS);
    stage.memory.fail_at = stage.memory.calls + 1;
    cr_assert_eq(troupe_buffer_create(stage.runtime, 100, &buffer), TROUPE_ENOMEM);
    cr_assert_null(buffer);
    buffer = new_buffer(&stage, 100);
    troupe_buffer_release(buffer);
    stage_close(&stage);
}

Test(buffer, counts_against_the_memory_of_the_runtime)
{
    enum {
        LIMIT = 64 << 20,
    };
    struct troupe_runtime_options options = {.workers = TROUPE_NO_THREADS, .limits.memory = LIMIT};
    struct troupe_buffer *buffer = NULL;
    struct stage stage;
    uint64_t before;

    stage_open_with(&stage, &options);
    before = stage_books(&stage).memory;
    cr_assert_eq(troupe_buffer_create(stage.runtime, LIMIT, &buffer), TROUPE_ENOMEM);
    buffer = new_buffer(&stage, LIMIT / 2);
    cr_assert_geq(stage_books(&stage).memory, before + LIMIT / 2);
    cr_assert_lt(stage_books(&stage).memory, before + LIMIT / 2 + 256);
    troupe_buffer_release(buffer);
    cr_assert_eq(stage_books(&stage).memory, before);
    stage_close(&stage);
}

/* ---- buffers in messages ---- */

static int reader_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    int status;

    (void)state;
    if (stage_is_job(self, msg, &status)) {
        return status;
    }
    return troupe_is(msg, &troupe_buffer_message) ? TROUPE_OK : TROUPE_EUNKNOWN;
}

static int say_done(struct troupe_actor *self, void *arg)
{
    (void)self;
    (void)arg;
    return TROUPE_DONE;
}

static const struct troupe_behaviour reader = {
    .name = "reader", .receive = reader_receive, .capacity = 4};

/* A message with a reference of its own. */
static struct troupe_message *refer(struct stage *stage, struct troupe_buffer *buffer)
{
    struct troupe_buffer *own = troupe_buffer_retain(buffer);

    return stage_message(stage, &troupe_buffer_message, &own);
}

/* After `buffer` was released by the test nobody has it: its bytes are back. */
static void expect_last(struct stage *stage, struct troupe_buffer *buffer)
{
    uint64_t bytes = stage->memory.bytes;
    size_t size = troupe_buffer_size(buffer);

    troupe_buffer_release(buffer);
    cr_assert_leq(stage->memory.bytes, bytes - size, "somebody has a reference still");
}

Test(buffer, a_message_that_was_handled_has_released_it)
{
    struct troupe_buffer *buffer;
    struct stage stage;
    troupe_pid pid;

    stage_open(&stage, TROUPE_NO_THREADS);
    buffer = new_buffer(&stage, 1000);
    pid = stage_spawn(&stage, &reader, NULL);
    for (unsigned i = 0; i < 4; i++) {
        cr_assert_eq(troupe_try_send(stage.runtime, pid, refer(&stage, buffer)), TROUPE_OK);
    }
    stage_run(&stage);
    expect_last(&stage, buffer);
    stage_close(&stage);
}

Test(buffer, a_message_that_was_refused_has_it_until_it_is_destroyed)
{
    struct troupe_buffer *buffer;
    struct troupe_message *msg;
    struct stage stage;
    troupe_pid pid;

    stage_open(&stage, TROUPE_NO_THREADS);
    buffer = new_buffer(&stage, 1000);
    pid = stage_spawn(&stage, &reader, NULL);
    for (unsigned i = 0; i < 4; i++) {
        cr_assert_eq(troupe_try_send(stage.runtime, pid, refer(&stage, buffer)), TROUPE_OK);
    }
    msg = refer(&stage, buffer);
    cr_assert_eq(troupe_try_send(stage.runtime, pid, msg), TROUPE_EFULL);
    stage_run(&stage);
    cr_assert_eq(*(struct troupe_buffer **)troupe_body(msg), buffer);
    troupe_message_destroy(msg);
    expect_last(&stage, buffer);
    stage_close(&stage);
}

Test(buffer, messages_to_an_actor_that_dies_have_released_it)
{
    struct troupe_buffer *buffer;
    struct stage stage;
    troupe_pid pid;

    stage_open(&stage, TROUPE_NO_THREADS);
    buffer = new_buffer(&stage, 1000);
    pid = stage_spawn(&stage, &reader, NULL);
    stage_tell(&stage, pid, say_done, NULL);
    for (unsigned i = 0; i < 3; i++) {
        cr_assert_eq(troupe_try_send(stage.runtime, pid, refer(&stage, buffer)), TROUPE_OK);
    }
    stage_run(&stage);
    cr_assert_eq(stage_books(&stage).dead, 3);
    expect_last(&stage, buffer);
    stage_close(&stage);
}

Test(buffer, messages_still_queued_when_the_runtime_goes_have_released_it)
{
    struct troupe_buffer *buffer;
    struct stage stage;
    troupe_pid pid;

    memset(&stage, 0, sizeof stage);
    cr_assert_eq(stage_try_open(&stage, &(struct troupe_runtime_options){.workers = 2}), TROUPE_OK);
    buffer = new_buffer(&stage, 1000);
    pid = stage_spawn(&stage, &reader, NULL);
    cr_assert_eq(troupe_try_send(stage.runtime, pid, refer(&stage, buffer)), TROUPE_OK);
    troupe_buffer_release(buffer);
    /* Never started. */
    cr_assert_eq(troupe_runtime_destroy(stage.runtime), TROUPE_OK);
    cr_assert_eq(stage.memory.blocks, 0);
}

/* ---- threads ---- */

enum {
    HOLDERS = 4,
    ROUNDS = 20,
    HOLDS = 30000,
};

struct pile {
    struct stage stage;
    pthread_barrier_t round;
    struct troupe_buffer *buffer;
    uint64_t blocks;
    bool wrong;
};

/* Each member has one reference at the start of a round, and the last one to drop its own frees. */
static const char *hold(void *arg, unsigned index)
{
    struct pile *pile = arg;

    for (unsigned round = 0; round < ROUNDS; round++) {
        if (index == 0) {
            pile->blocks = pile->stage.memory.blocks;
            pile->buffer = new_buffer(&pile->stage, 64);
            memset(troupe_buffer_data(pile->buffer), (int)round & 0xff, 64);
            for (unsigned i = 1; i < HOLDERS; i++) {
                (void)troupe_buffer_retain(pile->buffer);
            }
        }
        (void)pthread_barrier_wait(&pile->round);
        for (unsigned i = 0; i < HOLDS; i++) {
            (void)troupe_buffer_retain(pile->buffer);
            troupe_buffer_release(pile->buffer);
        }
        if (*(unsigned char *)troupe_buffer_data(pile->buffer) != (round & 0xff)) {
            return "the bytes changed while there was a reference";
        }
        troupe_buffer_release(pile->buffer);
        (void)pthread_barrier_wait(&pile->round);
        if (index == 0 && pile->stage.memory.blocks != pile->blocks) {
            pile->wrong = true;
        }
    }
    return NULL;
}

Test(buffer, of_threads_that_release_it_the_last_one_frees_it, .timeout = 60)
{
    static struct pile pile;
    const char *complaint;

    stage_open(&pile.stage, TROUPE_NO_THREADS);
    pthread_barrier_init(&pile.round, NULL, HOLDERS);
    complaint = team_run(HOLDERS, hold, &pile);
    cr_assert_null(complaint, "%s", complaint);
    cr_assert_not(pile.wrong, "freed by nobody, or twice");
    pthread_barrier_destroy(&pile.round);
    stage_close(&pile.stage);
}
