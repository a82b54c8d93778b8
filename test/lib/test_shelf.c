/* SPDX-License-Identifier: MIT */
/* Shelf: mailboxes out of which a message is taken again, because a newer one is worth more. */
#include "test/support/stage.h"

static const struct troupe_type number = TROUPE_TYPE(uint64_t);
static const struct troupe_type ask = TROUPE_TYPE(uint64_t);
static const struct troupe_type answer = TROUPE_TYPE(uint64_t);
static const struct troupe_type bytes = TROUPE_BYTES;

#define ROOM 4
#define SEEN_MAX 64

struct seen {
    _Atomic unsigned count;
    uint64_t values[SEEN_MAX];
    unsigned downs;
    unsigned count_at_down;
    bool fails; /* at the first message */
    troupe_pid pid;
};

static int init(struct troupe_actor *self, void *state, const void *arg)
{
    *(struct seen **)state = (struct seen *)(uintptr_t)arg;
    ((struct seen *)(uintptr_t)arg)->pid = troupe_self(self);
    return TROUPE_OK;
}

static int receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct seen *seen = *(struct seen **)state;
    int status;

    if (stage_is_job(self, msg, &status)) {
        return status;
    }
    if (troupe_is(msg, &troupe_down)) {
        seen->downs++;
        seen->count_at_down = seen->count;
        return TROUPE_OK;
    }
    if (seen->count < SEEN_MAX) {
        seen->values[seen->count] =
            troupe_is(msg, &bytes) ? troupe_body_size(msg) : *(const uint64_t *)troupe_body(msg);
    }
    seen->count++;
    if (seen->fails) {
        seen->fails = false;
        return TROUPE_EPROTO;
    }
    return troupe_is_request(msg) ? troupe_reply(self, msg, &answer, troupe_body(msg)) : TROUPE_OK;
}

static uint64_t last_digit(const struct troupe_message *msg)
{
    return troupe_is(msg, &number) || troupe_is(msg, &ask)
               ? *(const uint64_t *)troupe_body(msg) % 10
               : 1000;
}

static const struct troupe_overload newest = {.policy = TROUPE_OVERLOAD_DROP_OLDEST};
static const struct troupe_overload latest = {
    .policy = TROUPE_OVERLOAD_CONFLATE, .key = last_digit};

#define SHELF(policy)                                                                              \
    {                                                                                              \
        .name = "shelf", .state_size = sizeof(struct seen *), .init = init, .receive = receive,    \
        .capacity = ROOM, .capacity_bytes = 1024, .overload = (policy)                             \
    }

static const struct troupe_behaviour dropping = SHELF(&newest);
static const struct troupe_behaviour conflating = SHELF(&latest);

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

/* What was handled, as a list that ends with 0. */
static void expect(const struct seen *seen, const uint64_t *values)
{
    unsigned i = 0;

    for (; values[i] != 0; i++) {
        cr_assert_lt(i, seen->count, "only %u came", seen->count);
        cr_assert_eq(
            seen->values[i], values[i], "the %uth is %llu", i, (unsigned long long)seen->values[i]);
    }
    cr_assert_eq(seen->count, i, "%u came", seen->count);
}

/* ---- drop oldest ---- */

Test(shelf, the_newest_displace_the_oldest_and_keep_their_order, .timeout = 20)
{
    struct stage stage;
    struct seen seen = {0};
    troupe_pid pid;

    stage_open(&stage, TROUPE_NO_THREADS);
    pid = stage_spawn(&stage, &dropping, &seen);
    put(&stage, pid, 1, ROOM + 3);
    cr_assert_eq(look(&stage, pid).length, ROOM);
    cr_assert_eq(look(&stage, pid).sheds[TROUPE_SHED_OLDEST], 3);
    stage_run(&stage);
    expect(&seen, (const uint64_t[]){4, 5, 6, 7, 0});
    cr_assert_eq(look(&stage, pid).length, 0);
    cr_assert_eq(look(&stage, pid).length_max, ROOM);
    cr_assert_eq(stage_books(&stage).sheds[TROUPE_SHED_OLDEST], 3);
    put(&stage, pid, 8, 1);
    stage_run(&stage);
    expect(&seen, (const uint64_t[]){4, 5, 6, 7, 8, 0});
    stage_close(&stage);
}

static int send_long(struct stage *stage, troupe_pid to, size_t size)
{
    struct troupe_message *msg;
    int error;

    cr_assert_eq(troupe_message_create(stage->runtime, &bytes, size, &msg), TROUPE_OK);
    error = troupe_try_send(stage->runtime, to, msg);
    if (error < 0) {
        troupe_message_destroy(msg);
    }
    return error;
}

Test(shelf, its_bytes_are_bounded_as_well, .timeout = 20)
{
    struct stage stage;
    struct seen seen = {0};
    troupe_pid pid;

    stage_open(&stage, TROUPE_NO_THREADS);
    pid = stage_spawn(&stage, &dropping, &seen);
    put(&stage, pid, 1, 3);
    /* 1024 with its header, as many as the mailbox has. */
    cr_assert_eq(send_long(&stage, pid, 900), TROUPE_OK);
    cr_assert_eq(look(&stage, pid).length, 1);
    cr_assert_eq(look(&stage, pid).bytes, 1024);
    cr_assert_eq(send_long(&stage, pid, 1000), TROUPE_EMSGSIZE);
    cr_assert_eq(look(&stage, pid).length, 1, "what is too large displaces nothing");
    stage_run(&stage);
    expect(&seen, (const uint64_t[]){900, 0});
    put(&stage, pid, 1, ROOM);
    stage_run(&stage);
    expect(&seen, (const uint64_t[]){900, 1, 2, 3, 4, 0});
    stage_close(&stage);
}

/* ---- conflate ---- */

Test(shelf, a_message_takes_the_place_of_one_with_its_key, .timeout = 20)
{
    struct stage stage;
    struct seen seen = {0};
    troupe_pid pid;

    stage_open(&stage, TROUPE_NO_THREADS);
    pid = stage_spawn(&stage, &conflating, &seen);
    put(&stage, pid, 1, 3);
    put(&stage, pid, 12, 1);
    put(&stage, pid, 21, 1);
    put(&stage, pid, 22, 1);
    cr_assert_eq(look(&stage, pid).length, 3);
    cr_assert_eq(look(&stage, pid).sheds[TROUPE_SHED_CONFLATED], 3);
    stage_run(&stage);
    expect(&seen, (const uint64_t[]){21, 22, 3, 0});
    put(&stage, pid, 31, 1);
    stage_run(&stage);
    expect(&seen, (const uint64_t[]){21, 22, 3, 31, 0});
    stage_close(&stage);
}

Test(shelf, a_new_key_without_room_displaces_the_oldest, .timeout = 20)
{
    struct stage stage;
    struct seen seen = {0};
    troupe_pid pid;

    stage_open(&stage, TROUPE_NO_THREADS);
    pid = stage_spawn(&stage, &conflating, &seen);
    put(&stage, pid, 1, ROOM + 1);
    put(&stage, pid, 13, 1);
    cr_assert_eq(look(&stage, pid).sheds[TROUPE_SHED_OLDEST], 1);
    cr_assert_eq(look(&stage, pid).sheds[TROUPE_SHED_CONFLATED], 1);
    stage_run(&stage);
    expect(&seen, (const uint64_t[]){2, 13, 4, 5, 0});
    stage_close(&stage);
}

/* ---- requests ---- */

struct asker {
    troupe_pid to;
    unsigned count;
    unsigned ok;
    unsigned shed;
};

static int told(
    struct troupe_actor *self, void *state, void *context, int status, struct troupe_message *reply)
{
    struct asker *asker = context;

    (void)self;
    (void)state;
    (void)reply;
    asker->ok += status == TROUPE_OK;
    asker->shed += status == TROUPE_EOVERLOAD;
    return TROUPE_OK;
}

static int ask_all(struct troupe_actor *self, void *arg)
{
    struct asker *asker = arg;

    for (uint64_t i = 1; i <= asker->count; i++) {
        TROUPE_TRY(troupe_request(self, asker->to, &ask, &i, 10000, told, asker));
    }
    return TROUPE_OK;
}

Test(shelf, a_request_that_is_displaced_has_one_outcome, .timeout = 20)
{
    const struct troupe_behaviour *behaviours[] = {&dropping, &conflating};

    for (size_t i = 0; i < TROUPE_COUNT(behaviours); i++) {
        struct stage stage;
        struct seen seen = {0};
        struct asker asker = {.count = 23};
        troupe_pid puppet;

        stage_open(&stage, TROUPE_NO_THREADS);
        puppet = stage_spawn(&stage, &stage_puppet, NULL);
        asker.to = stage_spawn(&stage, behaviours[i], &seen);
        stage_tell(&stage, puppet, ask_all, &asker);
        stage_run(&stage);
        cr_assert_eq(asker.ok, ROOM);
        cr_assert_eq(asker.shed, 23 - ROOM);
        stage_close(&stage);
    }
}

/* ---- order ---- */

static int watch(struct troupe_actor *self, void *arg)
{
    troupe_ref ref;

    return troupe_monitor(self, *(troupe_pid *)arg, &ref);
}

static int send_and_end(struct troupe_actor *self, void *arg)
{
    for (uint64_t i = 1; i <= ROOM + 2; i++) {
        TROUPE_TRY(troupe_send(self, *(troupe_pid *)arg, &number, &i));
    }
    return TROUPE_DONE;
}

Test(shelf, no_notice_overtakes_the_last_message, .timeout = 20)
{
    struct stage stage;
    struct seen seen = {0};
    troupe_pid puppet;
    troupe_pid pid;

    stage_open(&stage, TROUPE_NO_THREADS);
    pid = stage_spawn(&stage, &dropping, &seen);
    puppet = stage_spawn(&stage, &stage_puppet, NULL);
    cr_assert_eq(stage_do(&stage, pid, watch, &puppet), TROUPE_OK);
    stage_tell(&stage, puppet, send_and_end, &pid);
    stage_run(&stage);
    cr_assert_eq(seen.downs, 1);
    cr_assert_eq(seen.count_at_down, ROOM);
    expect(&seen, (const uint64_t[]){3, 4, 5, 6, 0});
    stage_close(&stage);
}

static int send_batch(struct troupe_actor *self, void *arg)
{
    struct troupe_message *msgs[ROOM + 2];

    for (uint64_t i = 0; i < ROOM + 2; i++) {
        TROUPE_TRY(troupe_message_create(troupe_runtime_of(self), &number, 0, &msgs[i]));
        *(uint64_t *)troupe_body(msgs[i]) = i + 1;
    }
    return troupe_send_batch(self, *(troupe_pid *)arg, msgs, ROOM + 2);
}

Test(shelf, a_batch_may_be_longer_than_it, .timeout = 20)
{
    struct stage stage;
    struct seen seen = {0};
    troupe_pid puppet;
    troupe_pid pid;

    stage_open(&stage, TROUPE_NO_THREADS);
    pid = stage_spawn(&stage, &dropping, &seen);
    puppet = stage_spawn(&stage, &stage_puppet, NULL);
    stage_tell(&stage, puppet, send_batch, &pid);
    stage_run(&stage);
    expect(&seen, (const uint64_t[]){3, 4, 5, 6, 0});
    stage_close(&stage);
}

/* ---- its end ---- */

struct cargo {
    uint64_t value;
    unsigned *destroyed;
};

static void cargo_destroy(void *body)
{
    ++*((struct cargo *)body)->destroyed;
}

static const struct troupe_type cargo = TROUPE_TYPE_DESTROY(struct cargo, cargo_destroy);

Test(shelf, every_body_ends_once, .timeout = 20)
{
    for (int is_killed = 0; is_killed < 2; is_killed++) {
        struct stage stage;
        struct seen seen = {0};
        unsigned destroyed = 0;
        troupe_pid pid;

        stage_open(&stage, TROUPE_NO_THREADS);
        pid = stage_spawn(&stage, &dropping, &seen);
        for (uint64_t i = 1; i <= ROOM + 2; i++) {
            stage_send(&stage, pid, &cargo, &(struct cargo){i, &destroyed});
        }
        cr_assert_eq(destroyed, 2);
        if (is_killed) {
            cr_assert_eq(troupe_runtime_exit(stage.runtime, pid, TROUPE_EXIT_KILL), TROUPE_OK);
        }
        stage_run(&stage);
        cr_assert_eq(destroyed, is_killed ? ROOM + 2 : ROOM + 1 + (seen.count == ROOM));
        cr_assert_eq(stage_books(&stage).sheds[TROUPE_SHED_ENDED], is_killed ? ROOM : 0);
        stage_close(&stage);
        cr_assert_eq(destroyed, ROOM + 2);
    }
}

static uint64_t letters_told;

static void add_letters(struct stage *stage)
{
    letters_told = 0;
    if (stage->reports[TROUPE_REPORT_DEAD_LETTERS] == 1) {
        letters_told = stage->facts[TROUPE_REPORT_DEAD_LETTERS].count;
    }
}

Test(shelf, what_is_left_on_it_is_told_once, .timeout = 20)
{
    struct stage stage;
    struct seen seen = {0};
    troupe_pid pid;

    stage_open(&stage, TROUPE_NO_THREADS);
    stage.on_report = add_letters;
    pid = stage_spawn(&stage, &dropping, &seen);
    put(&stage, pid, 1, ROOM - 1);
    cr_assert_eq(troupe_runtime_exit(stage.runtime, pid, TROUPE_EXIT_KILL), TROUPE_OK);
    stage_run(&stage);
    cr_assert_eq(letters_told, ROOM - 1, "%llu", (unsigned long long)letters_told);
    cr_assert_eq(stage_books(&stage).sheds[TROUPE_SHED_ENDED], ROOM - 1);
    stage_close(&stage);
}

Test(shelf, what_stands_on_it_waits_for_the_next_life_at_its_address, .timeout = 20)
{
    struct stage stage;
    struct seen seen = {.fails = true};
    struct troupe_child_spec child = {
        .id = "shelf", .behaviour = &dropping, .arg = &seen, .keep_mailbox = true};
    struct troupe_supervisor_spec spec = {.name = "tree", .children = &child, .child_count = 1};
    troupe_pid root;
    troupe_pid pid;

    stage_open(&stage, 1);
    cr_assert_eq(troupe_supervisor_start(stage.runtime, &spec, 10000, &root), TROUPE_OK);
    pid = seen.pid;
    put(&stage, pid, 1, 20);
    STAGE_AWAIT(&stage, look(&stage, pid).length == 0);
    cr_assert_gt(seen.count, 0);
    put(&stage, pid, 1, 1);
    STAGE_AWAIT(&stage, look(&stage, pid).length == 0);
    stage_close(&stage);
}

/* ---- in general ---- */

static int make_alias(struct troupe_actor *self, void *arg)
{
    return troupe_alias(self, TROUPE_ALIAS_EXPLICIT, 0, arg);
}

Test(shelf, through_an_alias_it_is_an_ordinary_mailbox, .timeout = 20)
{
    struct stage stage;
    struct seen seen = {0};
    troupe_pid pid;
    troupe_pid alias;

    stage_open(&stage, TROUPE_NO_THREADS);
    pid = stage_spawn(&stage, &dropping, &seen);
    cr_assert_eq(stage_do(&stage, pid, make_alias, &alias), TROUPE_OK);
    put(&stage, alias, 1, ROOM);
    cr_assert_eq(stage_try_send(&stage, alias, &number, &(uint64_t){9}), TROUPE_EFULL);
    stage_run(&stage);
    expect(&seen, (const uint64_t[]){1, 2, 3, 4, 0});
    stage_close(&stage);
}

Test(shelf, a_behaviour_that_cannot_have_one_is_refused, .timeout = 20)
{
    static const struct troupe_overload keyless = {.policy = TROUPE_OVERLOAD_CONFLATE};
    static const struct troupe_overload ageing = {
        .policy = TROUPE_OVERLOAD_DROP_OLDEST, .aged = true};
    struct troupe_behaviour wrong[] = {SHELF(&keyless), SHELF(&ageing), SHELF(&newest)};
    struct stage stage;
    troupe_pid pid;

    wrong[2].may_wait = true;
    stage_open(&stage, TROUPE_NO_THREADS);
    for (size_t i = 0; i < TROUPE_COUNT(wrong); i++) {
        cr_assert_eq(stage_try_spawn(&stage, &wrong[i], NULL, &pid), TROUPE_EINVAL, "%zu", i);
    }
    stage_close(&stage);
}

Test(shelf, a_spawn_without_memory_for_it_leaves_nothing, .timeout = 20)
{
    struct stage stage;
    struct seen seen = {0};
    bool failed = true;

    stage_open(&stage, TROUPE_NO_THREADS);
    for (unsigned k = 1; failed; k++) {
        uint64_t calls = stage.memory.calls;
        troupe_pid pid;
        int error;

        test_allocator_fail_mine(k);
        error = stage_try_spawn(&stage, &dropping, &seen, &pid);
        test_allocator_fail_mine(0);
        failed = stage.memory.calls - calls >= k;
        cr_assert_eq(error, failed ? TROUPE_ENOMEM : TROUPE_OK);
    }
    stage_close(&stage);
}

/* ---- with threads ---- */

#define SENDERS 3
#define SENT 3000

struct flood {
    struct stage *stage;
    troupe_pid to;
    _Atomic unsigned taken;
};

static void *flood(void *arg)
{
    struct flood *flood = arg;

    for (uint64_t i = 1; i <= SENT; i++) {
        flood->taken += stage_try_send(flood->stage, flood->to, &number, &i) == TROUPE_OK;
    }
    return NULL;
}

static void flood_all(struct flood *to, troupe_pid killed)
{
    pthread_t threads[SENDERS];

    for (unsigned k = 0; k < SENDERS; k++) {
        cr_assert_eq(pthread_create(&threads[k], NULL, flood, to), 0);
    }
    while (killed != TROUPE_NOBODY && to->taken < SENT) {
        sched_yield();
    }
    if (killed != TROUPE_NOBODY) {
        cr_assert_eq(troupe_runtime_exit(to->stage->runtime, killed, TROUPE_EXIT_KILL), TROUPE_OK);
    }
    for (unsigned k = 0; k < SENDERS; k++) {
        pthread_join(threads[k], NULL);
    }
}

Test(shelf, under_many_senders_each_message_is_handled_or_shed, .timeout = 60)
{
    const struct troupe_behaviour *behaviours[] = {&dropping, &conflating};

    for (size_t i = 0; i < TROUPE_COUNT(behaviours); i++) {
        struct stage stage;
        struct seen seen = {0};
        struct flood to = {.stage = &stage};

        stage_open(&stage, 2);
        to.to = stage_spawn(&stage, behaviours[i], &seen);
        flood_all(&to, TROUPE_NOBODY);
        STAGE_AWAIT(&stage, stage_books(&stage).queued == 0);
        cr_assert_eq(to.taken, SENDERS * SENT, "it refuses nothing");
        cr_assert_eq(seen.count + stage_books(&stage).shed, SENDERS * SENT);
        stage_close(&stage);
    }
}

/* stage_close() checks the books, and that all memory is back. */
Test(shelf, one_that_is_killed_while_others_send_loses_nothing_in_silence, .timeout = 60)
{
    for (unsigned round = 0; round < 20; round++) {
        struct stage stage;
        struct seen seen = {0};
        struct flood to = {.stage = &stage};

        stage_open(&stage, 2);
        to.to = stage_spawn(&stage, &dropping, &seen);
        flood_all(&to, to.to);
        stage_close(&stage);
    }
}
