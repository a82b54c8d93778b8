/* SPDX-License-Identifier: MIT */
/* Overload: what a full mailbox does with a message, as its behaviour says, whoever sends it and in whatever form. */
#include "test/support/stage.h"

static const struct troupe_type number = TROUPE_TYPE(uint64_t);
static const struct troupe_type ask = TROUPE_TYPE(uint64_t);
static const struct troupe_type answer = TROUPE_TYPE(uint64_t);
static const struct troupe_type bytes = TROUPE_BYTES;
static const struct troupe_type open_up = TROUPE_SIGNAL;

#define ROOM 4
#define SEEN_MAX 64

/* ---- a receiver that handles nothing before it is told to, because it does not run ---- */

struct seen {
    unsigned count;
    uint64_t values[SEEN_MAX];
    uint64_t sizes[SEEN_MAX];
    bool keeps; /* requests, instead of answering them */
};

static int note_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct seen *seen = *(struct seen **)state;
    uint64_t value;
    int status;

    if (stage_is_job(self, msg, &status)) {
        return status;
    }
    if (seen->count < SEEN_MAX && !troupe_is(msg, &open_up)) {
        seen->values[seen->count] =
            troupe_is(msg, &bytes) ? 0 : *(const uint64_t *)troupe_body(msg);
        seen->sizes[seen->count++] = troupe_body_size(msg);
    }
    if (troupe_is_request(msg)) {
        value = *(const uint64_t *)troupe_body(msg) + 100;
        return troupe_reply(self, msg, &answer, &value);
    }
    return TROUPE_OK;
}

static int note_init(struct troupe_actor *self, void *state, const void *arg)
{
    (void)self;
    *(struct seen **)state = (struct seen *)(uintptr_t)arg;
    return TROUPE_OK;
}

#define BEHAVIOUR(title, policy)                                                                   \
    {                                                                                              \
        .name = (title), .state_size = sizeof(struct seen *), .init = note_init,                   \
        .receive = note_receive, .capacity = ROOM, .overload = (policy)                            \
    }

static const struct troupe_overload rejects = {.policy = TROUPE_OVERLOAD_REJECT};
static const struct troupe_overload drops = {.policy = TROUPE_OVERLOAD_DROP_NEWEST};
static const struct troupe_overload redirects = {
    .policy = TROUPE_OVERLOAD_REDIRECT, .redirect = "spill"};
static const struct troupe_overload redirects_as_told = {.policy = TROUPE_OVERLOAD_REDIRECT};
static const struct troupe_overload exits = {.policy = TROUPE_OVERLOAD_EXIT};

static const struct troupe_behaviour plain = BEHAVIOUR("plain", NULL);
static const struct troupe_behaviour rejecting = BEHAVIOUR("rejecting", &rejects);
static const struct troupe_behaviour dropping = BEHAVIOUR("dropping", &drops);
static const struct troupe_behaviour redirecting = BEHAVIOUR("redirecting", &redirects);
static const struct troupe_behaviour redirecting_as_told =
    BEHAVIOUR("told where to", &redirects_as_told);
static const struct troupe_behaviour exiting = BEHAVIOUR("exiting", &exits);

/* Puts numbers from `first` on into a mailbox that has room for them. */
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

static void expect_values(const struct seen *seen, unsigned count, uint64_t first)
{
    cr_assert_eq(seen->count, count, "%u, not %u", seen->count, count);
    for (unsigned i = 0; i < count; i++) {
        cr_assert_eq(seen->values[i], first + i);
    }
}

/* ---- reject ---- */

Test(overload, rejecting_is_what_a_mailbox_does_that_says_nothing, .timeout = 20)
{
    const struct troupe_behaviour *behaviours[] = {&plain, &rejecting};

    for (size_t i = 0; i < TROUPE_COUNT(behaviours); i++) {
        struct stage stage;
        struct seen seen = {0};
        troupe_pid pid;

        stage_open(&stage, TROUPE_NO_THREADS);
        pid = stage_spawn(&stage, behaviours[i], &seen);
        put(&stage, pid, 1, ROOM);
        cr_assert_eq(stage_try_send(&stage, pid, &number, &(uint64_t){9}), TROUPE_EFULL);
        stage_run(&stage);
        expect_values(&seen, ROOM, 1);
        cr_assert_eq(stage_books(&stage).refused, 1);
        cr_assert_eq(stage_books(&stage).shed, 0);
        stage_close(&stage);
    }
}

/* ---- drop newest ---- */

Test(overload, a_mailbox_that_drops_the_newest_tells_its_sender_ok_and_counts_it, .timeout = 20)
{
    struct stage stage;
    struct seen seen = {0};
    troupe_pid pid;

    stage_open(&stage, TROUPE_NO_THREADS);
    pid = stage_spawn(&stage, &dropping, &seen);
    put(&stage, pid, 1, ROOM + 3);
    cr_assert_eq(look(&stage, pid).sheds[TROUPE_SHED_NEWEST], 3);
    cr_assert_eq(stage_books(&stage).shed, 3);
    cr_assert_eq(stage_books(&stage).sheds[TROUPE_SHED_NEWEST], 3);
    cr_assert_eq(stage_books(&stage).refused, 0);
    stage_run(&stage);
    expect_values(&seen, ROOM, 1);
    put(&stage, pid, 5, ROOM);
    stage_run(&stage);
    expect_values(&seen, 2 * ROOM, 1);
    stage_close(&stage);
}

struct cargo {
    unsigned *destroyed;
};

static void cargo_destroy(void *body)
{
    ++*((struct cargo *)body)->destroyed;
}

static const struct troupe_type cargo = TROUPE_TYPE_DESTROY(struct cargo, cargo_destroy);

Test(overload, what_a_shed_body_refers_to_is_given_back_once, .timeout = 20)
{
    struct stage stage;
    struct seen seen = {0};
    unsigned destroyed = 0;
    troupe_pid pid;

    stage_open(&stage, TROUPE_NO_THREADS);
    pid = stage_spawn(&stage, &dropping, &seen);
    put(&stage, pid, 1, ROOM);
    stage_send(&stage, pid, &cargo, &(struct cargo){&destroyed});
    cr_assert_eq(destroyed, 1);
    stage_close(&stage);
    cr_assert_eq(destroyed, 1);
}

struct batch {
    struct stage *stage;
    troupe_pid to;
    unsigned count;
    int result;
};

static int send_batch(struct troupe_actor *self, void *arg)
{
    struct batch *batch = arg;
    struct troupe_message *msgs[SEEN_MAX];

    for (unsigned i = 0; i < batch->count; i++) {
        TROUPE_TRY(troupe_message_create(troupe_runtime_of(self), &number, 0, &msgs[i]));
        *(uint64_t *)troupe_body(msgs[i]) = i + 1;
    }
    batch->result = troupe_send_batch(self, batch->to, msgs, batch->count);
    for (unsigned i = 0; batch->result < 0 && i < batch->count; i++) {
        troupe_message_destroy(msgs[i]);
    }
    return TROUPE_OK;
}

Test(overload, of_a_batch_what_fits_is_queued_and_the_rest_shed, .timeout = 20)
{
    struct stage stage;
    struct seen seen = {0};
    struct batch batch = {.count = ROOM + 2};
    troupe_pid puppet;

    stage_open(&stage, TROUPE_NO_THREADS);
    puppet = stage_spawn(&stage, &stage_puppet, NULL);
    batch.to = stage_spawn(&stage, &dropping, &seen);
    cr_assert_eq(stage_do(&stage, puppet, send_batch, &batch), TROUPE_OK);
    cr_assert_eq(batch.result, TROUPE_OK);
    expect_values(&seen, ROOM, 1);
    cr_assert_eq(look(&stage, batch.to).sheds[TROUPE_SHED_NEWEST], 2);
    stage_close(&stage);
}

/* ---- requests ---- */

struct asker {
    troupe_pid to;
    unsigned count;
    unsigned outcomes;
    int status[SEEN_MAX];
    uint64_t value[SEEN_MAX];
};

static int asker_told(
    struct troupe_actor *self, void *state, void *context, int status, struct troupe_message *reply)
{
    struct asker *asker = context;

    (void)self;
    (void)state;
    asker->status[asker->outcomes] = status;
    asker->value[asker->outcomes++] = reply != NULL ? *(const uint64_t *)troupe_body(reply) : 0;
    return TROUPE_OK;
}

static int ask_all(struct troupe_actor *self, void *arg)
{
    struct asker *asker = arg;

    for (uint64_t i = 1; i <= asker->count; i++) {
        TROUPE_TRY(troupe_request(self, asker->to, &ask, &i, 10000, asker_told, asker));
    }
    return TROUPE_OK;
}

Test(overload, a_request_that_is_shed_has_one_outcome_that_says_so, .timeout = 20)
{
    struct stage stage;
    struct seen seen = {0};
    struct asker asker = {.count = ROOM + 2};
    troupe_pid puppet;

    stage_open(&stage, TROUPE_NO_THREADS);
    puppet = stage_spawn(&stage, &stage_puppet, NULL);
    asker.to = stage_spawn(&stage, &dropping, &seen);
    cr_assert_eq(stage_do(&stage, puppet, ask_all, &asker), TROUPE_OK);
    stage_run(&stage);
    cr_assert_eq(asker.outcomes, ROOM + 2);
    for (unsigned i = 0, shed = 0; i < asker.outcomes; i++) {
        shed += asker.status[i] == TROUPE_EOVERLOAD;
        cr_assert(asker.status[i] == TROUPE_OK || asker.status[i] == TROUPE_EOVERLOAD);
        cr_assert(i + 1 < asker.outcomes || shed == 2);
    }
    expect_values(&seen, ROOM, 1);
    stage_close(&stage);
}

static void *call_once(void *arg)
{
    struct batch *batch = arg;
    uint64_t body = 7;
    uint64_t reply = 0;

    batch->result =
        troupe_runtime_call(batch->stage->runtime, batch->to, &ask, &body, &answer, &reply, 60000);
    return NULL;
}

/* Its mailbox is full as long as its handler has not returned. */
struct stuck {
    struct latch in;
    struct latch out;
};

static int stay_stuck(struct troupe_actor *self, void *arg)
{
    struct stuck *stuck = arg;

    (void)self;
    latch_hit(&stuck->in);
    cr_assert(latch_wait(&stuck->out, 1));
    return TROUPE_OK;
}

Test(overload, a_foreign_thread_whose_call_is_shed_is_told_at_once, .timeout = 60)
{
    struct stage stage;
    struct seen seen = {0};
    struct stuck stuck = {LATCH_INIT, LATCH_INIT};
    struct batch batch = {.stage = &stage};

    stage_open(&stage, 1);
    batch.to = stage_spawn(&stage, &dropping, &seen);
    stage_tell(&stage, batch.to, stay_stuck, &stuck);
    cr_assert(latch_wait(&stuck.in, 1));
    put(&stage, batch.to, 1, ROOM - 1);
    (void)call_once(&batch);
    cr_assert_eq(batch.result, TROUPE_EOVERLOAD, "%d", batch.result);
    latch_hit(&stuck.out);
    stage_close(&stage);
}

Test(overload, whoever_would_wait_for_room_does_not_where_the_message_is_shed, .timeout = 20)
{
    struct stage stage;
    struct seen seen = {0};
    struct troupe_message *msg;
    troupe_pid pid;

    stage_open(&stage, TROUPE_NO_THREADS);
    pid = stage_spawn(&stage, &dropping, &seen);
    put(&stage, pid, 1, ROOM);
    msg = stage_message(&stage, &number, &(uint64_t){9});
    cr_assert_eq(troupe_send_wait(stage.runtime, pid, msg, TROUPE_FOREVER), TROUPE_OK);
    cr_assert_eq(look(&stage, pid).sheds[TROUPE_SHED_NEWEST], 1);
    stage_close(&stage);
}

/* ---- redirect ---- */

static troupe_pid spawn_named(struct stage *stage, const struct troupe_behaviour *behaviour,
    struct seen *seen, const char *name)
{
    struct troupe_spawn_options options = {.behaviour = behaviour, .arg = seen, .name = name};
    troupe_pid pid = TROUPE_NOBODY;

    cr_assert_eq(troupe_runtime_spawn(stage->runtime, &options, &pid), TROUPE_OK);
    return pid;
}

Test(overload, what_has_no_room_goes_to_whoever_has_the_name_that_is_redirected_to, .timeout = 20)
{
    struct stage stage;
    struct seen seen = {0};
    struct seen spilt = {0};
    troupe_pid pid;

    stage_open(&stage, TROUPE_NO_THREADS);
    pid = stage_spawn(&stage, &redirecting, &seen);
    put(&stage, pid, 1, ROOM);
    cr_assert_eq(stage_try_send(&stage, pid, &number, &(uint64_t){9}), TROUPE_EFULL, "nobody yet");
    spawn_named(&stage, &plain, &spilt, "spill");
    put(&stage, pid, 5, ROOM);
    cr_assert_eq(look(&stage, pid).redirected, ROOM);
    cr_assert_eq(stage_try_send(&stage, pid, &number, &(uint64_t){9}), TROUPE_EFULL, "both full");
    stage_run(&stage);
    expect_values(&seen, ROOM, 1);
    expect_values(&spilt, ROOM, 5);
    stage_close(&stage);
}

Test(overload, a_message_is_redirected_once_whatever_policy_the_other_mailbox_has, .timeout = 20)
{
    const struct troupe_behaviour *others[] = {&redirecting, &dropping, &exiting};

    for (size_t i = 0; i < TROUPE_COUNT(others); i++) {
        struct stage stage;
        struct seen seen = {0};
        struct seen spilt = {0};
        struct troupe_message *msg;
        troupe_pid pid;
        troupe_pid spill;

        stage_open(&stage, TROUPE_NO_THREADS);
        pid = stage_spawn(&stage, &redirecting, &seen);
        spill = spawn_named(&stage, others[i], &spilt, "spill");
        put(&stage, pid, 1, ROOM);
        put(&stage, spill, 5, ROOM);
        msg = stage_message(&stage, &number, &(uint64_t){9});
        cr_assert_eq(troupe_try_send(stage.runtime, pid, msg), TROUPE_EFULL);
        cr_assert_eq(*(uint64_t *)troupe_body(msg), 9, "it is still its sender's");
        troupe_message_destroy(msg);
        cr_assert_eq(stage_books(&stage).shed, 0);
        stage_run(&stage);
        expect_values(&spilt, ROOM, 5);
        stage_close(&stage);
    }
}

Test(overload, one_that_redirects_to_itself_refuses, .timeout = 20)
{
    struct stage stage;
    struct seen seen = {0};
    troupe_pid pid;

    stage_open(&stage, TROUPE_NO_THREADS);
    pid = spawn_named(&stage, &redirecting, &seen, "spill");
    put(&stage, pid, 1, ROOM);
    cr_assert_eq(stage_try_send(&stage, pid, &number, &(uint64_t){9}), TROUPE_EFULL);
    stage_close(&stage);
}

static int redirect_to(struct troupe_actor *self, void *arg)
{
    return troupe_overload_redirect(self, *(troupe_pid *)arg);
}

Test(overload, an_actor_says_itself_where_its_messages_are_redirected_to, .timeout = 20)
{
    struct stage stage;
    struct seen seen = {0};
    struct seen spilt = {0};
    troupe_pid pid;
    troupe_pid spill;
    troupe_pid nobody = TROUPE_NOBODY;

    stage_open(&stage, TROUPE_NO_THREADS);
    pid = stage_spawn(&stage, &redirecting_as_told, &seen);
    spill = stage_spawn(&stage, &plain, &spilt);
    cr_assert_eq(stage_do(&stage, pid, redirect_to, &spill), TROUPE_OK);
    put(&stage, pid, 1, ROOM + 1);
    stage_run(&stage);
    expect_values(&seen, ROOM, 1);
    expect_values(&spilt, 1, ROOM + 1);
    cr_assert_eq(stage_do(&stage, pid, redirect_to, &nobody), TROUPE_OK);
    put(&stage, pid, 1, ROOM);
    cr_assert_eq(stage_try_send(&stage, pid, &number, &(uint64_t){9}), TROUPE_EFULL);
    stage_close(&stage);
}

static int redirect_in_vain(struct troupe_actor *self, void *arg)
{
    return troupe_overload_redirect(self, *(troupe_pid *)arg) == TROUPE_EINVAL ? TROUPE_OK
                                                                               : TROUPE_ECHECK;
}

Test(overload, only_one_that_redirects_may_say_where_to_and_not_to_itself, .timeout = 20)
{
    struct stage stage;
    struct seen seen = {0};
    troupe_pid pid;
    troupe_pid drop;

    stage_open(&stage, TROUPE_NO_THREADS);
    pid = stage_spawn(&stage, &redirecting_as_told, &seen);
    drop = stage_spawn(&stage, &dropping, &seen);
    cr_assert_eq(stage_do(&stage, pid, redirect_in_vain, &pid), TROUPE_OK);
    cr_assert_eq(stage_do(&stage, drop, redirect_in_vain, &pid), TROUPE_OK);
    stage_close(&stage);
}

Test(overload, a_redirected_request_is_answered_by_whoever_gets_it, .timeout = 20)
{
    struct stage stage;
    struct seen seen = {0};
    struct seen spilt = {0};
    struct asker asker = {.count = ROOM + 1};
    troupe_pid puppet;

    stage_open(&stage, TROUPE_NO_THREADS);
    puppet = stage_spawn(&stage, &stage_puppet, NULL);
    spawn_named(&stage, &plain, &spilt, "spill");
    asker.to = stage_spawn(&stage, &redirecting, &seen);
    cr_assert_eq(stage_do(&stage, puppet, ask_all, &asker), TROUPE_OK);
    stage_run(&stage);
    cr_assert_eq(asker.outcomes, ROOM + 1);
    for (unsigned i = 0; i < asker.outcomes; i++) {
        cr_assert_eq(asker.status[i], TROUPE_OK);
    }
    expect_values(&spilt, 1, ROOM + 1);
    stage_close(&stage);
}

Test(overload, a_batch_is_redirected_whole_or_not_at_all, .timeout = 20)
{
    struct stage stage;
    struct seen seen = {0};
    struct seen spilt = {0};
    struct batch batch = {.count = 3};
    troupe_pid puppet;

    stage_open(&stage, TROUPE_NO_THREADS);
    puppet = stage_spawn(&stage, &stage_puppet, NULL);
    batch.to = stage_spawn(&stage, &redirecting, &seen);
    spawn_named(&stage, &plain, &spilt, "spill");
    stage_tell(&stage, puppet, send_batch, &batch);
    stage_tell(&stage, puppet, send_batch, &batch);
    stage_run(&stage);
    cr_assert_eq(batch.result, TROUPE_OK);
    cr_assert_eq(seen.count + spilt.count, 6);
    cr_assert(seen.count % 3 == 0);
    stage_close(&stage);
}

/* ---- transform ---- */

static bool to_its_length(const struct troupe_message *msg, struct troupe_smaller *out_smaller)
{
    uint64_t length = 1000 + troupe_body_size(msg);

    if (!troupe_is(msg, &bytes) && !troupe_is(msg, &ask)) {
        return false;
    }
    out_smaller->type = troupe_is(msg, &ask) ? &ask : &number;
    out_smaller->size = sizeof length;
    memcpy(out_smaller->body, &length, sizeof length);
    return true;
}

static bool to_nonsense(const struct troupe_message *msg, struct troupe_smaller *out_smaller)
{
    (void)msg;
    out_smaller->type = &number;
    out_smaller->size = 3;
    return true;
}

static const struct troupe_overload shrinks = {
    .policy = TROUPE_OVERLOAD_TRANSFORM, .transform = to_its_length, .margin = 2};
static const struct troupe_overload errs = {
    .policy = TROUPE_OVERLOAD_TRANSFORM, .transform = to_nonsense};
static const struct troupe_behaviour shrinking = BEHAVIOUR("shrinking", &shrinks);
static const struct troupe_behaviour erring = BEHAVIOUR("erring", &errs);

static int send_long(struct stage *stage, troupe_pid to, size_t size)
{
    struct troupe_message *msg;
    int error;

    cr_assert_eq(troupe_message_create(stage->runtime, &bytes, size, &msg), TROUPE_OK);
    memset(troupe_body(msg), 'x', size);
    error = troupe_try_send(stage->runtime, to, msg);
    if (error < 0) {
        troupe_message_destroy(msg);
    }
    return error;
}

Test(overload, what_a_message_is_transformed_into_has_a_margin_of_its_own, .timeout = 20)
{
    struct stage stage;
    struct seen seen = {0};
    troupe_pid pid;

    stage_open(&stage, TROUPE_NO_THREADS);
    pid = stage_spawn(&stage, &shrinking, &seen);
    put(&stage, pid, 1, ROOM);
    cr_assert_eq(send_long(&stage, pid, 500), TROUPE_OK);
    cr_assert_eq(send_long(&stage, pid, 501), TROUPE_OK);
    cr_assert_eq(look(&stage, pid).transformed, 2);
    cr_assert_eq(look(&stage, pid).length, ROOM + 2);
    cr_assert_eq(send_long(&stage, pid, 502), TROUPE_OK, "the margin is full as well");
    cr_assert_eq(look(&stage, pid).sheds[TROUPE_SHED_TRANSFORM], 1);
    stage_run(&stage);
    cr_assert_eq(seen.count, ROOM + 2);
    cr_assert_eq(seen.values[ROOM], 1500);
    cr_assert_eq(seen.values[ROOM + 1], 1501);
    cr_assert_eq(look(&stage, pid).length_max, ROOM + 2);
    stage_close(&stage);
}

Test(overload, a_message_of_which_nothing_is_made_is_shed, .timeout = 20)
{
    struct stage stage;
    struct seen seen = {0};
    troupe_pid pid;
    troupe_pid other;

    stage_open(&stage, TROUPE_NO_THREADS);
    pid = stage_spawn(&stage, &shrinking, &seen);
    other = stage_spawn(&stage, &erring, &seen);
    put(&stage, pid, 1, ROOM + 1);
    put(&stage, other, 1, ROOM + 1);
    cr_assert_eq(look(&stage, pid).sheds[TROUPE_SHED_TRANSFORM], 1, "it says so");
    cr_assert_eq(look(&stage, other).sheds[TROUPE_SHED_TRANSFORM], 1, "its type has no such size");
    cr_assert_eq(stage_books(&stage).sheds[TROUPE_SHED_TRANSFORM], 2);
    stage_close(&stage);
}

Test(overload, a_transformed_request_is_still_one, .timeout = 20)
{
    struct stage stage;
    struct seen seen = {0};
    struct asker asker = {.count = ROOM + 3};
    troupe_pid puppet;

    stage_open(&stage, TROUPE_NO_THREADS);
    puppet = stage_spawn(&stage, &stage_puppet, NULL);
    asker.to = stage_spawn(&stage, &shrinking, &seen);
    cr_assert_eq(stage_do(&stage, puppet, ask_all, &asker), TROUPE_OK);
    stage_run(&stage);
    cr_assert_eq(asker.outcomes, ROOM + 3);
    cr_assert_eq(asker.status[0], TROUPE_EOVERLOAD, "the one that did not fit came first");
    for (unsigned i = 1; i < asker.outcomes; i++) {
        cr_assert_eq(asker.status[i], TROUPE_OK);
        cr_assert_eq(asker.value[i], i <= ROOM ? 100 + i : 1108);
    }
    stage_close(&stage);
}

Test(overload, a_message_that_cannot_be_transformed_for_want_of_memory_is_shed, .timeout = 20)
{
    struct stage stage;
    struct seen seen = {0};
    unsigned k = 0;

    stage_open(&stage, TROUPE_NO_THREADS);
    for (bool failed = true; failed; k++) {
        troupe_pid pid = stage_spawn(&stage, &shrinking, &seen);
        struct troupe_message *msg;
        uint64_t calls;

        put(&stage, pid, 1, ROOM);
        cr_assert_eq(troupe_message_create(stage.runtime, &bytes, 5000, &msg), TROUPE_OK);
        calls = stage.memory.calls;
        test_allocator_fail_mine(k + 1);
        cr_assert_eq(troupe_try_send(stage.runtime, pid, msg), TROUPE_OK);
        test_allocator_fail_mine(0);
        failed = stage.memory.calls - calls > k;
        cr_assert_eq(
            look(&stage, pid).transformed + look(&stage, pid).sheds[TROUPE_SHED_TRANSFORM], 1);
        cr_assert_eq(look(&stage, pid).transformed, failed ? 0 : 1);
        stage_run(&stage);
    }
    stage_close(&stage);
}

/* ---- exit ---- */

Test(overload, one_that_exits_says_that_it_was_overload, .timeout = 20)
{
    struct stage stage;
    struct seen seen = {0};
    struct stage_end end;
    troupe_pid pid;

    stage_open(&stage, TROUPE_NO_THREADS);
    pid = stage_spawn(&stage, &exiting, &seen);
    stage_watch(&stage, pid, &end);
    put(&stage, pid, 1, ROOM);
    cr_assert_eq(stage_try_send(&stage, pid, &number, &(uint64_t){9}), TROUPE_EFULL);
    cr_assert_eq(stage_try_send(&stage, pid, &number, &(uint64_t){9}), TROUPE_EFULL);
    stage_run(&stage);
    cr_assert_eq(end.count, 1);
    cr_assert_eq(end.kind, TROUPE_EXIT_ERROR);
    cr_assert_eq(end.code, TROUPE_EOVERLOAD);
    cr_assert_not_null(strstr(end.text, "4 messages"), "%s", end.text);
    cr_assert_eq(seen.count, 0, "what was queued is not handled");
    cr_assert_eq(stage_books(&stage).sheds[TROUPE_SHED_ENDED], ROOM);
    stage_close(&stage);
}

static int wait_for_ever(struct troupe_actor *self, const void *arg)
{
    const struct troupe_type *types[] = {&answer};
    struct troupe_message *msg;

    (void)arg;
    for (;;) {
        TROUPE_TRY(troupe_receive_of(self, types, 1, TROUPE_FOREVER, &msg));
    }
}

static const struct troupe_behaviour selective = {
    .name = "selective", .main = wait_for_ever, .capacity = ROOM, .overload = &exits};

Test(overload, one_that_waits_for_something_else_is_ended_by_its_full_mailbox, .timeout = 60)
{
    for (int workers = TROUPE_NO_THREADS; workers <= 1; workers += 2) {
        struct stage stage;
        struct stage_end end;
        troupe_pid pid;

        stage_open(&stage, workers);
        pid = stage_spawn(&stage, &selective, NULL);
        stage_watch(&stage, pid, &end);
        put(&stage, pid, 1, ROOM);
        cr_assert_eq(stage_try_send(&stage, pid, &number, &(uint64_t){9}), TROUPE_EFULL);
        STAGE_AWAIT(&stage, end.count == 1);
        cr_assert_eq(end.code, TROUPE_EOVERLOAD);
        stage_close(&stage);
    }
}

/* ---- in general ---- */

Test(overload, a_policy_that_makes_no_sense_is_refused_at_the_spawn, .timeout = 20)
{
    static const struct troupe_overload wrong[] = {
        {.policy = TROUPE_OVERLOAD_TRANSFORM},
        {.policy = (enum troupe_overload_policy)(TROUPE_OVERLOAD_CONFLATE + 1)},
        {.policy = TROUPE_OVERLOAD_REDIRECT, .redirect = ""},
        {.margin = TROUPE_CAPACITY_MAX},
    };
    struct stage stage;
    troupe_pid pid;

    stage_open(&stage, TROUPE_NO_THREADS);
    for (size_t i = 0; i < TROUPE_COUNT(wrong); i++) {
        struct troupe_behaviour behaviour = BEHAVIOUR("wrong", &wrong[i]);

        cr_assert_eq(stage_try_spawn(&stage, &behaviour, NULL, &pid), TROUPE_EINVAL, "%zu", i);
    }
    stage_close(&stage);
}

Test(overload, a_spawn_without_memory_for_its_policy_leaves_nothing, .timeout = 20)
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
        cr_assert_eq(stage_books(&stage).spawned, failed ? 0 : 1);
    }
    stage_close(&stage);
}

static int make_alias(struct troupe_actor *self, void *arg)
{
    return troupe_alias(self, TROUPE_ALIAS_REPLY, 0, arg);
}

static int make_lasting_alias(struct troupe_actor *self, void *arg)
{
    return troupe_alias(self, TROUPE_ALIAS_EXPLICIT, 0, arg);
}

Test(overload, through_an_alias_as_well_what_was_made_has_a_margin, .timeout = 20)
{
    struct stage stage;
    struct seen seen = {0};
    troupe_pid pid;
    troupe_pid alias;

    stage_open(&stage, TROUPE_NO_THREADS);
    pid = stage_spawn(&stage, &shrinking, &seen);
    cr_assert_eq(stage_do(&stage, pid, make_lasting_alias, &alias), TROUPE_OK);
    put(&stage, alias, 1, ROOM);
    cr_assert_eq(send_long(&stage, alias, 500), TROUPE_OK);
    cr_assert_eq(send_long(&stage, alias, 501), TROUPE_OK);
    cr_assert_eq(look(&stage, pid).transformed, 2);
    cr_assert_eq(look(&stage, pid).length, ROOM + 2);
    cr_assert_eq(send_long(&stage, alias, 502), TROUPE_OK, "the margin is full as well");
    cr_assert_eq(look(&stage, pid).sheds[TROUPE_SHED_TRANSFORM], 1);
    stage_run(&stage);
    cr_assert_eq(seen.count, ROOM + 2);
    stage_close(&stage);
}

Test(overload, what_is_shed_does_not_spend_the_alias_through_which_it_came, .timeout = 20)
{
    struct stage stage;
    struct seen seen = {0};
    troupe_pid pid;
    troupe_pid alias;

    stage_open(&stage, TROUPE_NO_THREADS);
    pid = stage_spawn(&stage, &dropping, &seen);
    cr_assert_eq(stage_do(&stage, pid, make_alias, &alias), TROUPE_OK);
    put(&stage, pid, 1, ROOM);
    put(&stage, alias, 50, 1);
    cr_assert_eq(look(&stage, pid).sheds[TROUPE_SHED_NEWEST], 1);
    stage_run(&stage);
    put(&stage, alias, 5, 1);
    stage_run(&stage);
    expect_values(&seen, ROOM + 1, 1);
    stage_close(&stage);
}

Test(overload, a_full_mailbox_has_room_for_what_is_reserved, .timeout = 20)
{
    struct stage stage;
    struct seen seen = {0};
    troupe_pid pid;

    stage_open(&stage, TROUPE_NO_THREADS);
    pid = stage_spawn(&stage, &dropping, &seen);
    put(&stage, pid, 1, ROOM + 1);
    cr_assert_eq(troupe_runtime_exit(stage.runtime, pid, TROUPE_EXIT_SHUTDOWN), TROUPE_OK);
    stage_run(&stage);
    cr_assert(!troupe_is_alive(stage.runtime, pid));
    stage_close(&stage);
}

/* Many senders, all kinds of mailboxes: the books say where each message went. */
#define SENDERS 3
#define SENT 2000

struct flood {
    struct stage *stage;
    troupe_pid to;
    _Atomic unsigned *refused;
};

static void *flood(void *arg)
{
    struct flood *flood = arg;

    for (uint64_t i = 0; i < SENT; i++) {
        *flood->refused += stage_try_send(flood->stage, flood->to, &number, &i) == TROUPE_EFULL;
    }
    return NULL;
}

Test(overload, under_many_senders_every_message_is_in_one_column, .timeout = 60)
{
    const struct troupe_behaviour *behaviours[] = {&plain, &dropping, &redirecting, &shrinking};

    for (size_t i = 0; i < TROUPE_COUNT(behaviours); i++) {
        struct stage stage;
        struct seen seen = {0};
        struct seen spilt = {0};
        _Atomic unsigned refused = 0;
        pthread_t threads[SENDERS];
        struct flood floods[SENDERS];
        struct troupe_mailbox_info info;
        struct troupe_books books;
        troupe_pid pid;

        stage_open(&stage, 2);
        pid = stage_spawn(&stage, behaviours[i], &seen);
        spawn_named(&stage, &plain, &spilt, "spill");
        for (unsigned k = 0; k < SENDERS; k++) {
            floods[k] = (struct flood){&stage, pid, &refused};
            cr_assert_eq(pthread_create(&threads[k], NULL, flood, &floods[k]), 0);
        }
        for (unsigned k = 0; k < SENDERS; k++) {
            pthread_join(threads[k], NULL);
        }
        STAGE_AWAIT(&stage, stage_books(&stage).queued == 0);
        info = look(&stage, pid);
        books = stage_books(&stage);
        cr_assert_eq(books.refused, refused);
        cr_assert_eq(
            books.shed, info.sheds[TROUPE_SHED_NEWEST] + info.sheds[TROUPE_SHED_TRANSFORM]);
        cr_assert_eq(books.handled + books.shed + books.refused, SENDERS * SENT);
        stage_close(&stage);
    }
}
