/* SPDX-License-Identifier: MIT */
/* Rings: of actors that wait for each other nobody closes one.  Who would is told at once, and nobody else is. */
#include "sched/core.h"
#include "test/support/stage.h"

static const struct troupe_type ask = TROUPE_TYPE(uint64_t);
static const struct troupe_type answer = TROUPE_TYPE(int);
static const struct troupe_type number = TROUPE_TYPE(uint64_t);

#define ROOM 2
#define CHAIN_MAX 80

/* Both kinds of runtime. */
static const int kinds[] = {TROUPE_NO_THREADS, 1, 2};

#define FOR_EACH_KIND(i) for (size_t i = 0; i < TROUPE_COUNT(kinds); i++)

/* ---- members: handlers that may wait, and answer with the outcome of what they did when they were asked ---- */

struct member;
typedef int (*member_fn)(
    struct troupe_actor *self, struct member *member, struct troupe_message *msg);

struct member {
    member_fn on_ask;
    struct stage *stage;
    troupe_pid pid;
    troupe_pid to;
    int wait_ms;
    _Atomic unsigned asked;
    _Atomic unsigned seen;
    _Atomic bool begun;
    _Atomic bool done; /* what it was told to do */
    _Atomic int status;
    int got;
    struct troupe_message *kept;
    _Atomic bool keeps;
    char text[256];
};

static int member_init(struct troupe_actor *self, void *state, const void *arg)
{
    (void)self;
    *(struct member **)state = (struct member *)(uintptr_t)arg;
    return TROUPE_OK;
}

static int member_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct member *member = *(struct member **)state;
    int status;

    if (stage_is_job(self, msg, &status)) {
        return status;
    }
    if (troupe_is(msg, &ask)) {
        member->asked++;
        return member->on_ask(self, member, msg);
    }
    member->seen++;
    return TROUPE_OK;
}

static const struct troupe_behaviour alpha = {.name = "alpha",
    .state_size = sizeof(struct member *),
    .init = member_init,
    .receive = member_receive,
    .may_wait = true,
    .capacity = ROOM};
static const struct troupe_behaviour beta = {.name = "beta",
    .state_size = sizeof(struct member *),
    .init = member_init,
    .receive = member_receive,
    .may_wait = true,
    .capacity = ROOM};
static const struct troupe_behaviour third = {.name = "gamma",
    .state_size = sizeof(struct member *),
    .init = member_init,
    .receive = member_receive,
    .may_wait = true,
    .capacity = ROOM};

static void join_stage(struct stage *stage, struct member *member,
    const struct troupe_behaviour *behaviour, member_fn on_ask)
{
    *member = (struct member){.on_ask = on_ask, .stage = stage, .wait_ms = TROUPE_FOREVER};
    member->pid = stage_spawn(stage, behaviour, member);
}

static void note_text(struct troupe_actor *self, struct member *member)
{
    snprintf(member->text, sizeof member->text, "%s", troupe_deadlock_text(self));
}

static int give(struct troupe_actor *self, struct troupe_message *msg, int status)
{
    return troupe_reply(self, msg, &answer, &status);
}

static int call(struct troupe_actor *self, struct member *member)
{
    uint64_t value = 1;
    int error = troupe_call(self, member->to, &ask, &value, &answer, &member->got, member->wait_ms);

    note_text(self, member);
    return error;
}

/* ---- what they do when they are asked ---- */

static int call_on(struct troupe_actor *self, struct member *member, struct troupe_message *msg)
{
    int status = call(self, member);

    if (status == TROUPE_OK) {
        status = member->got;
    }
    return give(self, msg, status);
}

static int say_ok(struct troupe_actor *self, struct member *member, struct troupe_message *msg)
{
    (void)member;
    return give(self, msg, TROUPE_OK);
}

/* It goes on when its asker does. */
static int answer_then_call(
    struct troupe_actor *self, struct member *member, struct troupe_message *msg)
{
    TROUPE_TRY(give(self, msg, TROUPE_OK));
    member->status = call(self, member);
    member->done = true;
    return TROUPE_OK;
}

static int forward(struct troupe_actor *self, struct member *member, struct troupe_message *msg)
{
    return troupe_forward(self, member->to, msg);
}

static int delegate(struct troupe_actor *self, struct member *member, struct troupe_message *msg)
{
    uint64_t value = 2;

    return troupe_delegate(self, member->to, msg, &ask, &value);
}

static int take_and_send(
    struct troupe_actor *self, struct member *member, struct troupe_message *msg)
{
    struct troupe_message *taken;

    TROUPE_TRY(troupe_take(self, msg, &taken));
    return troupe_send_message(self, member->to, taken);
}

static int take_and_send_within(
    struct troupe_actor *self, struct member *member, struct troupe_message *msg)
{
    struct troupe_message *taken;
    int error;

    TROUPE_TRY(troupe_take(self, msg, &taken));
    error = troupe_send_message_within(self, member->to, taken, member->wait_ms);
    if (error < 0) {
        troupe_message_destroy(taken);
    }
    return error;
}

static int keep(struct troupe_actor *self, struct member *member, struct troupe_message *msg)
{
    TROUPE_TRY(troupe_take(self, msg, &member->kept));
    member->keeps = true;
    return TROUPE_OK;
}

static int join_on(struct troupe_actor *self, struct member *member, struct troupe_message *msg)
{
    int status = troupe_join_wait(self, member->to, member->wait_ms, NULL);

    note_text(self, member);
    return give(self, msg, status);
}

/* ---- what they are told to do ---- */

static int do_call(struct troupe_actor *self, void *arg)
{
    struct member *member = arg;

    member->begun = true;
    member->status = call(self, member);
    member->done = true;
    return TROUPE_OK;
}

static int do_join(struct troupe_actor *self, void *arg)
{
    struct member *member = arg;

    member->begun = true;
    member->status = troupe_join_wait(self, member->to, member->wait_ms, NULL);
    note_text(self, member);
    member->done = true;
    return TROUPE_OK;
}

static int do_send(struct troupe_actor *self, void *arg)
{
    struct member *member = arg;

    member->begun = true;
    member->status = troupe_send_within(self, member->to, &number, &(uint64_t){7}, member->wait_ms);
    note_text(self, member);
    member->done = true;
    return TROUPE_OK;
}

/* What it kept ends without an answer. */
static int do_drop(struct troupe_actor *self, void *arg)
{
    struct member *member = arg;

    (void)self;
    troupe_message_destroy(member->kept);
    member->keeps = false;
    return TROUPE_OK;
}

/* A message of its own in each place that is left: whoever sends more waits. */
static int do_fill(struct troupe_actor *self, void *arg)
{
    struct member *member = arg;
    struct troupe_message *msg;
    int error;

    (void)self;
    do {
        msg = stage_message(member->stage, &number, &(uint64_t){0});
        error = troupe_try_send(member->stage->runtime, member->to, msg);
    } while (error == TROUPE_OK);
    troupe_message_destroy(msg);
    return error == TROUPE_EFULL ? TROUPE_OK : error;
}

/* ---- looking at edges ---- */

/* The state of the record of `pid`'s wait. */
static enum trp_edge_state edge_of(struct stage *stage, troupe_pid pid)
{
    enum trp_edge_state state = TRP_EDGE_NONE;
    struct troupe_actor *actor;
    struct trp_visit visit;

    cr_assert_eq(trp_context_enter(stage->runtime, &visit), TROUPE_OK);
    actor = trp_actor_find(stage->runtime, pid);
    if (actor != NULL && trp_actor_extra(actor) != NULL) {
        const struct trp_edge *edge = atomic_load(&trp_actor_extra(actor)->edge);

        state = edge != NULL ? atomic_load(&edge->word) & TRP_EDGE_STATE : TRP_EDGE_NONE;
    }
    trp_context_leave(&visit);
    return state;
}

static void await_waiting(struct stage *stage, const struct member *member)
{
    STAGE_AWAIT(stage, edge_of(stage, member->pid) == TRP_EDGE_WAITING);
}

static void expect_text(
    const struct member *member, const char *format, const struct member *a, const struct member *b)
{
    char text[256];

    snprintf(text, sizeof text, format, (unsigned long long)a->pid, (unsigned long long)b->pid);
    cr_assert_str_eq(member->text, text);
}

/* ---- calls ---- */

Test(ring, who_calls_its_caller_is_told_at_once_and_the_caller_gets_its_answer, .timeout = 60)
{
    FOR_EACH_KIND(i)
    {
        struct member a, b;
        struct stage stage;

        stage_open(&stage, kinds[i]);
        join_stage(&stage, &a, &alpha, say_ok);
        join_stage(&stage, &b, &beta, call_on);
        a.to = b.pid;
        b.to = a.pid;
        stage_tell(&stage, a.pid, do_call, &a);
        STAGE_AWAIT(&stage, a.done);
        cr_assert_eq(a.status, TROUPE_OK, "%s", troupe_strerror(a.status));
        cr_assert_eq(a.got, TROUPE_EDEADLK, "%s", troupe_strerror(a.got));
        cr_assert_eq(a.asked, 0, "what was refused was sent");
        cr_assert_str_empty(a.text);
        expect_text(&b, "beta (%llx) -> alpha (%llx) -> beta", &b, &a);
        cr_assert_eq(edge_of(&stage, a.pid), TRP_EDGE_NONE);
        cr_assert_eq(edge_of(&stage, b.pid), TRP_EDGE_NONE);
        stage_close(&stage);
    }
}

/* Each calls the next; the last calls the first, if `closes`.  What the first one got. */
static int call_along(struct stage *stage, unsigned count, bool closes)
{
    static struct member members[CHAIN_MAX];

    for (unsigned n = 0; n < count; n++) {
        join_stage(stage, &members[n], &alpha, call_on);
    }
    for (unsigned n = 0; n < count; n++) {
        members[n].to = members[(n + 1) % count].pid;
    }
    if (!closes) {
        members[count - 1].on_ask = say_ok;
    }
    stage_tell(stage, members[0].pid, do_call, &members[0]);
    STAGE_AWAIT(stage, members[0].done);
    return members[0].status == TROUPE_OK ? members[0].got : members[0].status;
}

Test(ring, one_of_any_length_up_to_64_is_found, .timeout = 100)
{
    FOR_EACH_KIND(i)
    {
        for (unsigned count = 2; count <= 64; count++) {
            struct stage stage;
            int got;

            stage_open(&stage, kinds[i]);
            got = call_along(&stage, count, true);
            cr_assert_eq(got, TROUPE_EDEADLK, "%u: %s", count, troupe_strerror(got));
            stage_close(&stage);
        }
    }
}

Test(ring, a_chain_of_64_is_none_and_a_longer_one_counts_as_one, .timeout = 60)
{
    FOR_EACH_KIND(i)
    {
        struct stage stage;

        stage_open(&stage, kinds[i]);
        cr_assert_eq(call_along(&stage, 64, false), TROUPE_OK);
        cr_assert_eq(call_along(&stage, 66, false), TROUPE_OK);
        stage_close(&stage);
    }
}

/* The first one looks when all of the chain is there. */
Test(ring, who_would_wait_behind_more_than_64_is_told, .timeout = 60)
{
    static struct member members[CHAIN_MAX];
    struct stage stage;
    unsigned count = 66;

    stage_open(&stage, TROUPE_NO_THREADS);
    for (unsigned n = 0; n < count; n++) {
        join_stage(&stage, &members[n], &alpha, keep);
    }
    for (unsigned n = 0; n + 1 < count; n++) {
        members[n].to = members[n + 1].pid;
    }
    /* From the end, so that each finds the others waiting. */
    for (unsigned n = count - 1; n-- > 0;) {
        stage_tell(&stage, members[n].pid, do_call, &members[n]);
        stage_run(&stage);
        cr_assert_eq(members[n].done, n == 0, "%u", n);
    }
    cr_assert_eq(members[0].status, TROUPE_EDEADLK);
    cr_assert(strstr(members[0].text, "alpha (") == members[0].text);
    stage_close(&stage);
    for (unsigned n = 0; n < count; n++) {
        cr_assert_eq(members[n].asked, n == count - 1);
    }
}

Test(ring, who_has_answered_may_call_who_asked, .timeout = 60)
{
    FOR_EACH_KIND(i)
    {
        for (unsigned round = 0; round < 20; round++) {
            struct member a, b;
            struct stage stage;

            stage_open(&stage, kinds[i]);
            join_stage(&stage, &a, &alpha, say_ok);
            join_stage(&stage, &b, &beta, answer_then_call);
            a.to = b.pid;
            b.to = a.pid;
            stage_tell(&stage, a.pid, do_call, &a);
            STAGE_AWAIT(&stage, a.done && b.done);
            cr_assert_eq(a.status, TROUPE_OK);
            cr_assert_eq(b.status, TROUPE_OK, "%s", troupe_strerror(b.status));
            stage_close(&stage);
        }
    }
}

Test(ring, who_has_asked_and_goes_on_is_in_none, .timeout = 60)
{
    struct member a, b, c;
    struct stage stage;

    stage_open(&stage, TROUPE_NO_THREADS);
    /* c has taken the request of b, and waits for nobody: it is still there to be asked. */
    join_stage(&stage, &a, &alpha, say_ok);
    join_stage(&stage, &b, &beta, call_on);
    join_stage(&stage, &c, &third, keep);
    a.to = b.pid;
    b.to = c.pid;
    c.to = c.pid;
    stage_tell(&stage, a.pid, do_call, &a);
    stage_run(&stage);
    cr_assert(!a.done && c.keeps);
    cr_assert_eq(edge_of(&stage, a.pid), TRP_EDGE_WAITING);
    cr_assert_eq(edge_of(&stage, b.pid), TRP_EDGE_WAITING);
    cr_assert_eq(edge_of(&stage, c.pid), TRP_EDGE_NONE);
    stage_do(&stage, c.pid, do_drop, &c);
    STAGE_AWAIT(&stage, a.done);
    cr_assert_eq(a.got, TROUPE_EUNANSWERED);
    stage_close(&stage);
}

Test(ring, when_the_time_of_one_is_over_there_is_none_any_more, .timeout = 60)
{
    FOR_EACH_KIND(i)
    {
        struct member a, b;
        struct stage stage;

        stage_open(&stage, kinds[i]);
        join_stage(&stage, &a, &alpha, say_ok);
        join_stage(&stage, &b, &beta, keep);
        a.to = b.pid;
        b.to = a.pid;
        a.wait_ms = 2;
        stage_tell(&stage, a.pid, do_call, &a);
        STAGE_AWAIT(&stage, a.done);
        cr_assert(a.status == TROUPE_ETIMEDOUT || a.status == TROUPE_EEXPIRED);
        stage_tell(&stage, b.pid, do_call, &b);
        STAGE_AWAIT(&stage, b.done);
        cr_assert_eq(b.status, TROUPE_OK, "%s", troupe_strerror(b.status));
        stage_do(&stage, b.pid, do_drop, &b);
        stage_close(&stage);
    }
}

/* ---- requests that are passed on ---- */

static const member_fn passes[] = {forward, delegate, take_and_send, take_and_send_within};

Test(ring, who_has_the_request_now_is_waited_for, .timeout = 60)
{
    FOR_EACH_KIND(i)
    {
        for (size_t way = 0; way < TROUPE_COUNT(passes); way++) {
            struct member a, b, c;
            struct stage stage;

            stage_open(&stage, kinds[i]);
            join_stage(&stage, &a, &alpha, say_ok);
            join_stage(&stage, &b, &beta, passes[way]);
            join_stage(&stage, &c, &third, call_on);
            a.to = b.pid;
            b.to = c.pid;
            c.to = a.pid;
            stage_tell(&stage, a.pid, do_call, &a);
            STAGE_AWAIT(&stage, a.done);
            cr_assert_eq(a.status, TROUPE_OK);
            cr_assert_eq(a.got, TROUPE_EDEADLK, "way %zu: %s", way, troupe_strerror(a.got));
            expect_text(&c, "gamma (%llx) -> alpha (%llx) -> gamma", &c, &a);
            stage_close(&stage);
        }
    }
}

/* And who had it is not. */
Test(ring, who_has_passed_a_request_on_may_call_who_asked, .timeout = 60)
{
    FOR_EACH_KIND(i)
    {
        for (size_t way = 0; way < TROUPE_COUNT(passes); way++) {
            struct member a, b, c;
            struct stage stage;

            stage_open(&stage, kinds[i]);
            join_stage(&stage, &a, &alpha, say_ok);
            join_stage(&stage, &b, &beta, passes[way]);
            join_stage(&stage, &c, &third, keep);
            a.to = b.pid;
            b.to = c.pid;
            stage_tell(&stage, a.pid, do_call, &a);
            STAGE_AWAIT(&stage, c.keeps);
            b.to = a.pid;
            b.done = false;
            stage_tell(&stage, b.pid, do_call, &b);
            await_waiting(&stage, &b);
            stage_do(&stage, c.pid, do_drop, &c);
            STAGE_AWAIT(&stage, a.done && b.done);
            cr_assert_eq(a.status, TROUPE_EUNANSWERED);
            cr_assert_eq(b.status, TROUPE_OK, "%s", troupe_strerror(b.status));
            stage_close(&stage);
        }
    }
}

Test(ring, who_asked_is_told_when_its_request_would_be_passed_on_into_a_ring, .timeout = 60)
{
    FOR_EACH_KIND(i)
    {
        for (size_t way = 0; way < TROUPE_COUNT(passes); way++) {
            struct member a, b, c;
            struct stage stage;

            stage_open(&stage, kinds[i]);
            join_stage(&stage, &a, &alpha, say_ok);
            join_stage(&stage, &b, &beta, keep);
            join_stage(&stage, &c, &third, call_on);
            a.to = b.pid;
            c.to = a.pid;
            stage_tell(&stage, a.pid, do_call, &a);
            STAGE_AWAIT(&stage, b.keeps);
            stage_tell(&stage, c.pid, do_call, &c);
            await_waiting(&stage, &c);
            /* Another one of a's, which b passes on. */
            stage_do(&stage, b.pid, do_drop, &b);
            STAGE_AWAIT(&stage, a.done && c.done);
            cr_assert_eq(c.status, TROUPE_OK);
            a.done = c.done = false;
            b.on_ask = passes[way];
            b.to = c.pid;
            c.wait_ms = TROUPE_FOREVER;
            /* c waits for a before a asks b. */
            a.on_ask = call_on;
            stage_tell(&stage, c.pid, do_call, &c);
            STAGE_AWAIT(&stage, c.done);
            cr_assert_eq(c.status, TROUPE_OK);
            cr_assert_eq(c.got, TROUPE_EDEADLK, "way %zu: %s", way, troupe_strerror(c.got));
            expect_text(&a, "alpha (%llx) -> gamma (%llx) -> alpha", &a, &c);
            cr_assert(troupe_is_alive(stage.runtime, b.pid), "who passed it on is not to blame");
            stage_close(&stage);
        }
    }
}

/* ---- requests that cannot be passed on: who has them is waited for as before ---- */

struct full_body {
    char bytes[1500];
};

static const struct troupe_type large = TROUPE_TYPE(struct full_body);
static const struct troupe_overload newest = {.policy = TROUPE_OVERLOAD_DROP_OLDEST};
static const struct troupe_overload redirects = {
    .policy = TROUPE_OVERLOAD_REDIRECT, .redirect = "elsewhere"};
static const struct troupe_behaviour shelved = {.name = "shelved",
    .receive = stage_puppet_receive,
    .capacity = ROOM,
    .capacity_bytes = 1024,
    .overload = &newest};
static const struct troupe_behaviour redirecting = {.name = "redirecting",
    .state_size = sizeof(struct member *),
    .init = member_init,
    .receive = member_receive,
    .may_wait = true,
    .capacity = ROOM,
    .overload = &redirects};

/* And calls who asked. */
static int call_asker(struct troupe_actor *self, struct member *member, struct troupe_message *msg)
{
    member->to = troupe_sender(msg);
    return call_on(self, member, msg);
}

static int delegate_too_much(
    struct troupe_actor *self, struct member *member, struct troupe_message *msg)
{
    static const struct full_body body;

    member->status = troupe_delegate(self, member->to, msg, &large, &body);
    return call_asker(self, member, msg);
}

static int send_in_full_batch(
    struct troupe_actor *self, struct member *member, struct troupe_message *msg)
{
    struct troupe_message *taken;
    int status;

    TROUPE_TRY(do_fill(self, member));
    TROUPE_TRY(troupe_take(self, msg, &taken));
    member->status = troupe_send_batch(self, member->to, &taken, 1);
    member->to = troupe_sender(taken);
    status = call(self, member);
    TROUPE_TRY(give(self, taken, status));
    troupe_message_destroy(taken);
    return TROUPE_OK;
}

static void expect_waited_for(
    const struct troupe_behaviour *behaviour, member_fn on_ask, int expected)
{
    struct member a, b, c;
    struct stage stage;

    stage_open(&stage, TROUPE_NO_THREADS);
    join_stage(&stage, &a, &alpha, say_ok);
    join_stage(&stage, &b, &beta, on_ask);
    join_stage(&stage, &c, behaviour, say_ok);
    a.to = b.pid;
    b.to = c.pid;
    stage_tell(&stage, a.pid, do_call, &a);
    STAGE_AWAIT(&stage, a.done);
    cr_assert_eq(b.status, expected, "%s", troupe_strerror(b.status));
    cr_assert_eq(a.status, TROUPE_OK);
    cr_assert_eq(a.got, TROUPE_EDEADLK, "%s", troupe_strerror(a.got));
    expect_text(&b, "beta (%llx) -> alpha (%llx) -> beta", &b, &a);
    stage_close(&stage);
}

Test(ring, who_cannot_pass_a_request_on_to_a_shelf_is_waited_for, .timeout = 20)
{
    expect_waited_for(&shelved, delegate_too_much, TROUPE_EMSGSIZE);
}

Test(ring, who_cannot_pass_a_request_on_in_a_batch_is_waited_for, .timeout = 20)
{
    expect_waited_for(&third, send_in_full_batch, TROUPE_EFULL);
}

static int make_alias_once(struct troupe_actor *self, void *arg)
{
    return troupe_alias(self, TROUPE_ALIAS_REPLY, 0, arg);
}

static int send_back_in_batch(
    struct troupe_actor *self, struct member *member, struct troupe_message *msg)
{
    struct troupe_message *msgs[2];

    TROUPE_TRY(troupe_take(self, msg, &msgs[0]));
    msgs[1] = stage_message(member->stage, &number, &(uint64_t){1});
    member->status = troupe_send_batch(self, member->to, msgs, 2);
    return TROUPE_OK;
}

/* Of the batch only the first message goes through: it is one of a batch nevertheless. */
Test(ring, what_is_sent_in_a_batch_through_an_alias_that_ends_with_it_is_lost_sight_of,
    .timeout = 20)
{
    struct member a, b;
    struct stage stage;

    stage_open(&stage, TROUPE_NO_THREADS);
    join_stage(&stage, &a, &alpha, say_ok);
    join_stage(&stage, &b, &beta, send_back_in_batch);
    cr_assert_eq(stage_do(&stage, a.pid, make_alias_once, &b.to), TROUPE_OK);
    a.to = b.pid;
    a.wait_ms = 5;
    stage_tell(&stage, a.pid, do_call, &a);
    STAGE_AWAIT(&stage, a.done);
    cr_assert_eq(b.status, TROUPE_OK, "%s", troupe_strerror(b.status));
    cr_assert(a.status == TROUPE_ETIMEDOUT || a.status == TROUPE_EEXPIRED);
    stage_close(&stage);
}

static int fill_two_and_delegate(
    struct troupe_actor *self, struct member *member, struct troupe_message *msg)
{
    for (int i = 0; i < ROOM; i++) {
        TROUPE_TRY(troupe_send(self, member->to, &number, &(uint64_t){0}));
    }
    return delegate(self, member, msg);
}

Test(ring, who_asked_is_told_when_its_request_would_be_redirected_to_itself, .timeout = 20)
{
    struct troupe_spawn_options options = {.behaviour = &alpha, .name = "elsewhere"};
    struct member a, b, c;
    struct stage stage;

    stage_open(&stage, TROUPE_NO_THREADS);
    a = (struct member){.on_ask = say_ok, .stage = &stage, .wait_ms = TROUPE_FOREVER};
    options.arg = &a;
    cr_assert_eq(troupe_runtime_spawn(stage.runtime, &options, &a.pid), TROUPE_OK);
    join_stage(&stage, &b, &beta, fill_two_and_delegate);
    join_stage(&stage, &c, &redirecting, say_ok);
    a.to = b.pid;
    b.to = c.pid;
    stage_tell(&stage, a.pid, do_call, &a);
    STAGE_AWAIT(&stage, a.done);
    cr_assert_eq(a.status, TROUPE_EDEADLK, "%s", troupe_strerror(a.status));
    cr_assert(troupe_is_alive(stage.runtime, b.pid), "who passed it on is not to blame");
    stage_close(&stage);
}

static bool to_the_same(const struct troupe_message *msg, struct troupe_smaller *out_smaller)
{
    out_smaller->type = troupe_message_type(msg);
    out_smaller->size = troupe_body_size(msg);
    memcpy(out_smaller->body, troupe_body(msg), out_smaller->size);
    return true;
}

static const struct troupe_overload shrinks = {
    .policy = TROUPE_OVERLOAD_TRANSFORM, .transform = to_the_same, .margin = 2};
static const struct troupe_behaviour shrinking = {.name = "shrinking",
    .state_size = sizeof(struct member *),
    .init = member_init,
    .receive = member_receive,
    .may_wait = true,
    .capacity = ROOM,
    .overload = &shrinks};

static int delegate_kept(struct troupe_actor *self, void *arg)
{
    struct member *member = arg;
    int status;

    for (int i = 0; i < ROOM; i++) {
        TROUPE_TRY(troupe_send(self, member->to, &number, &(uint64_t){0}));
    }
    status = delegate(self, member, member->kept);
    troupe_message_destroy(member->kept);
    return status;
}

Test(ring, who_asked_is_told_when_its_request_would_be_transformed_into_a_ring, .timeout = 20)
{
    struct member a, b, c;
    struct stage stage;

    stage_open(&stage, TROUPE_NO_THREADS);
    join_stage(&stage, &a, &alpha, say_ok);
    join_stage(&stage, &b, &beta, keep);
    join_stage(&stage, &c, &shrinking, say_ok);
    a.to = b.pid;
    b.to = c.pid;
    c.to = a.pid;
    stage_tell(&stage, a.pid, do_call, &a);
    STAGE_AWAIT(&stage, b.keeps);
    stage_tell(&stage, c.pid, do_call, &c);
    await_waiting(&stage, &c);
    cr_assert_eq(stage_do(&stage, b.pid, delegate_kept, &b), TROUPE_OK);
    STAGE_AWAIT(&stage, a.done && c.done);
    cr_assert_eq(a.status, TROUPE_EDEADLK, "%s", troupe_strerror(a.status));
    cr_assert_eq(c.status, TROUPE_OK);
    cr_assert_eq(stage_books(&stage).shed, 0);
    stage_close(&stage);
}

/* ---- joins ---- */

Test(ring, who_waits_for_an_end_is_waited_for_in_vain, .timeout = 60)
{
    FOR_EACH_KIND(i)
    {
        struct member a, b;
        struct stage stage;

        stage_open(&stage, kinds[i]);
        join_stage(&stage, &a, &alpha, say_ok);
        join_stage(&stage, &b, &beta, say_ok);
        a.to = b.pid;
        b.to = a.pid;
        stage_tell(&stage, a.pid, do_join, &a);
        await_waiting(&stage, &a);
        stage_tell(&stage, b.pid, do_call, &b);
        STAGE_AWAIT(&stage, b.done);
        cr_assert_eq(b.status, TROUPE_EDEADLK);
        b.done = false;
        stage_tell(&stage, b.pid, do_join, &b);
        STAGE_AWAIT(&stage, b.done);
        cr_assert_eq(b.status, TROUPE_EDEADLK);
        cr_assert_eq(troupe_runtime_exit(stage.runtime, b.pid, TROUPE_EXIT_KILL), TROUPE_OK);
        STAGE_AWAIT(&stage, a.done);
        cr_assert_eq(a.status, TROUPE_OK);
        stage_close(&stage);
    }
}

Test(ring, who_is_asked_does_not_wait_for_the_end_of_who_asked, .timeout = 60)
{
    FOR_EACH_KIND(i)
    {
        struct member a, b;
        struct stage stage;

        stage_open(&stage, kinds[i]);
        join_stage(&stage, &a, &alpha, say_ok);
        join_stage(&stage, &b, &beta, join_on);
        a.to = b.pid;
        b.to = a.pid;
        stage_tell(&stage, a.pid, do_call, &a);
        STAGE_AWAIT(&stage, a.done);
        cr_assert_eq(a.got, TROUPE_EDEADLK);
        expect_text(&b, "beta (%llx) -> alpha (%llx) -> beta", &b, &a);
        stage_close(&stage);
    }
}

/* Which the next one need not wait for: who is told of the end of a life, and has not seen it yet, goes on. */
Test(ring, who_waits_for_the_end_of_a_life_does_not_wait_for_the_next_one, .timeout = 60)
{
    struct member a, b;
    struct trp_visit visit;
    struct stage stage;

    stage_open(&stage, TROUPE_NO_THREADS);
    join_stage(&stage, &a, &alpha, say_ok);
    join_stage(&stage, &b, &beta, say_ok);
    a.to = b.pid;
    b.to = a.pid;
    b.wait_ms = 2;
    stage_tell(&stage, a.pid, do_join, &a);
    await_waiting(&stage, &a);
    /* As a restart in place does. */
    cr_assert_eq(trp_context_enter(stage.runtime, &visit), TROUPE_OK);
    atomic_fetch_add(&trp_actor_find(stage.runtime, b.pid)->incarnation, 1);
    trp_context_leave(&visit);
    stage_tell(&stage, b.pid, do_call, &b);
    STAGE_AWAIT(&stage, b.done);
    cr_assert(b.status == TROUPE_ETIMEDOUT || b.status == TROUPE_EEXPIRED);
    stage_close(&stage);
}

/* ---- room ---- */

/* One that keeps its messages until it is let go. */
struct clogged {
    struct member member;
    _Atomic unsigned step; /* 1: it sends; 2: it goes on */
};

static int clogged_main(struct troupe_actor *self, const void *arg)
{
    struct clogged *clogged = (struct clogged *)(uintptr_t)arg;
    struct member *member = &clogged->member;
    struct troupe_message *msg;

    while (clogged->step == 0) {
        TROUPE_TRY(troupe_sleep(self, 1));
    }
    if (member->on_ask == NULL) {
        (void)do_send(self, member);
    } else {
        (void)do_call(self, member);
    }
    while (clogged->step < 2) {
        TROUPE_TRY(troupe_sleep(self, 1));
    }
    for (;;) {
        TROUPE_TRY(troupe_receive(self, TROUPE_FOREVER, &msg));
        member->seen++;
        if (troupe_is(msg, &ask)) {
            TROUPE_TRY(give(self, msg, TROUPE_OK));
        }
    }
}

static const struct troupe_behaviour clogged_fiber = {
    .name = "clogged", .main = clogged_main, .capacity = ROOM};
static const struct troupe_behaviour clogged_thread = {
    .name = "clogged", .main = clogged_main, .thread = true, .capacity = ROOM};

static void clog_up(struct stage *stage, struct clogged *clogged,
    const struct troupe_behaviour *behaviour, member_fn calls)
{
    *clogged = (struct clogged){.member = {.on_ask = calls, .stage = stage}};
    clogged->member.wait_ms = TROUPE_FOREVER;
    clogged->member.pid = stage_spawn(stage, behaviour, clogged);
    for (unsigned n = 0; n < ROOM; n++) {
        stage_send(stage, clogged->member.pid, &number, &(uint64_t){n});
    }
}

/* Each is full.  Of `count` that send to the next only the last one is refused, and the others get their turn. */
static void close_a_ring_of_sends(
    struct stage *stage, const struct troupe_behaviour *behaviour, unsigned count)
{
    struct clogged all[8];

    for (unsigned n = 0; n < count; n++) {
        clog_up(stage, &all[n], behaviour, NULL);
    }
    for (unsigned n = 0; n < count; n++) {
        all[n].member.to = all[(n + 1) % count].member.pid;
    }
    for (unsigned n = 0; n < count; n++) {
        all[n].step = 1;
        if (n + 1 < count) {
            await_waiting(stage, &all[n].member);
        }
    }
    STAGE_AWAIT(stage, all[count - 1].member.done);
    cr_assert_eq(all[count - 1].member.status, TROUPE_EFULL);
    cr_assert(strstr(all[count - 1].member.text, "clogged") != NULL);
    for (unsigned n = 0; n + 1 < count; n++) {
        cr_assert(!all[n].member.done, "%u", n);
    }
    for (unsigned n = count; n-- > 0;) {
        all[n].step = 2;
        STAGE_AWAIT(stage, all[n].member.done);
    }
    for (unsigned n = 0; n < count; n++) {
        unsigned expected = ROOM + (n > 0 ? 1 : 0);

        STAGE_AWAIT(stage, all[n].member.seen == expected);
        cr_assert(n + 1 == count || all[n].member.status == TROUPE_OK);
    }
}

Test(ring, who_would_close_a_ring_of_sends_finds_no_room, .timeout = 60)
{
    FOR_EACH_KIND(i)
    {
        struct stage stage;

        stage_open(&stage, kinds[i]);
        close_a_ring_of_sends(&stage, &clogged_fiber, 2);
        close_a_ring_of_sends(&stage, &clogged_fiber, 5);
        stage_close(&stage);
    }
}

/* It makes room, and in the same turn calls one of those that wait for it. */
static int drain_and_call(struct troupe_actor *self, const void *arg)
{
    struct clogged *clogged = (struct clogged *)(uintptr_t)arg;
    struct member *member = &clogged->member;
    struct troupe_message *msg;

    while (clogged->step == 0) {
        TROUPE_TRY(troupe_sleep(self, 1));
    }
    for (unsigned n = 0; n < ROOM; n++) {
        TROUPE_TRY(troupe_receive(self, 0, &msg));
    }
    return do_call(self, member);
}

static const struct troupe_behaviour draining = {
    .name = "draining", .main = drain_and_call, .capacity = ROOM};

Test(ring, who_waits_for_room_that_there_is_by_now_is_not_waited_for_in_vain, .timeout = 60)
{
    FOR_EACH_KIND(i)
    {
        /* The first in line, and the one behind it. */
        for (unsigned called = 0; called < ROOM; called++) {
            struct clogged b;
            struct member senders[ROOM];
            struct stage stage;

            stage_open(&stage, kinds[i]);
            clog_up(&stage, &b, &draining, NULL);
            for (unsigned n = 0; n < ROOM; n++) {
                join_stage(&stage, &senders[n], &alpha, say_ok);
                senders[n].to = b.member.pid;
                stage_tell(&stage, senders[n].pid, do_send, &senders[n]);
                await_waiting(&stage, &senders[n]);
            }
            b.member.to = senders[called].pid;
            b.step = 1;
            STAGE_AWAIT(&stage, b.member.done);
            cr_assert_eq(
                b.member.status, TROUPE_OK, "%u: %s", called, troupe_strerror(b.member.status));
            stage_close(&stage);
        }
    }
}

Test(ring, calls_and_sends_make_one_together, .timeout = 60)
{
    FOR_EACH_KIND(i)
    {
        struct clogged a;
        struct member b;
        struct stage stage;

        /* b waits for the answer of a, which is full, and b's mailbox as well. */
        stage_open(&stage, kinds[i]);
        clog_up(&stage, &a, &clogged_fiber, NULL);
        join_stage(&stage, &b, &beta, say_ok);
        a.member.to = b.pid;
        b.to = a.member.pid;
        stage_tell(&stage, b.pid, do_send, &b);
        await_waiting(&stage, &b);
        a.member.on_ask = say_ok;
        a.step = 1;
        STAGE_AWAIT(&stage, a.member.done);
        cr_assert_eq(a.member.status, TROUPE_EDEADLK);
        expect_text(&a.member, "clogged (%llx) -> beta (%llx) -> clogged", &a.member, &b);
        a.step = 2;
        STAGE_AWAIT(&stage, b.done);
        cr_assert_eq(b.status, TROUPE_OK);
        stage_close(&stage);
    }
}

/* ---- threads, and jobs ---- */

Test(ring, threads_of_actors_are_in_them_as_well, .timeout = 60)
{
    for (int workers = 1; workers <= 2; workers++) {
        struct stage stage;

        stage_open(&stage, workers);
        close_a_ring_of_sends(&stage, &clogged_thread, 2);
        close_a_ring_of_sends(&stage, &clogged_thread, 3);
        stage_close(&stage);
    }
}

Test(ring, a_thread_that_calls_is_in_them_as_well, .timeout = 60)
{
    for (int workers = 1; workers <= 2; workers++) {
        struct clogged a;
        struct member b;
        struct stage stage;

        stage_open(&stage, workers);
        a = (struct clogged){.member = {.on_ask = say_ok, .stage = &stage}};
        a.member.wait_ms = TROUPE_FOREVER;
        a.member.pid = stage_spawn(&stage, &clogged_thread, &a);
        join_stage(&stage, &b, &beta, call_on);
        a.member.to = b.pid;
        b.to = a.member.pid;
        a.step = 1;
        STAGE_AWAIT(&stage, a.member.done);
        cr_assert_eq(a.member.status, TROUPE_OK);
        cr_assert_eq(a.member.got, TROUPE_EDEADLK, "%s", troupe_strerror(a.member.got));
        stage_close(&stage);
    }
}

/* As a foreign thread, in its own name. */
static int thread_main(struct troupe_actor *self, const void *arg)
{
    struct clogged *clogged = (struct clogged *)(uintptr_t)arg;
    struct troupe_message *msg;

    while (clogged->step == 0) {
        TROUPE_TRY(troupe_sleep(self, 1));
    }
    TROUPE_TRY(troupe_message_create(troupe_runtime_of(self), &number, 0, &msg));
    *(uint64_t *)troupe_body(msg) = 7;
    clogged->member.status =
        troupe_send_wait(troupe_runtime_of(self), clogged->member.to, msg, clogged->member.wait_ms);
    if (clogged->member.status < 0) {
        troupe_message_destroy(msg);
    }
    note_text(self, &clogged->member);
    clogged->member.done = true;
    for (;;) {
        TROUPE_TRY(troupe_receive(self, TROUPE_FOREVER, &msg));
        clogged->member.seen++;
    }
}

static const struct troupe_behaviour thread_behaviour = {
    .name = "thread", .main = thread_main, .thread = true, .capacity = ROOM};

Test(ring, a_thread_of_an_actor_that_waits_outside_is_in_them_as_well, .timeout = 60)
{
    struct clogged a, b;
    struct stage stage;

    stage_open(&stage, 1);
    clog_up(&stage, &a, &thread_behaviour, NULL);
    clog_up(&stage, &b, &thread_behaviour, NULL);
    a.member.to = b.member.pid;
    b.member.to = a.member.pid;
    a.step = 1;
    await_waiting(&stage, &a.member);
    b.step = 1;
    STAGE_AWAIT(&stage, b.member.done);
    cr_assert_eq(b.member.status, TROUPE_EFULL);
    expect_text(&b.member, "thread (%llx) -> thread (%llx) -> thread", &b.member, &a.member);
    STAGE_AWAIT(&stage, a.member.done);
    cr_assert_eq(a.member.status, TROUPE_OK);
    stage_close(&stage);
}

static int send_from_job(struct troupe_job *job, void *arg)
{
    struct member *member = arg;

    member->got = troupe_job_send(job, member->to, &number, &(uint64_t){7}, 60000);
    return TROUPE_OK;
}

static int run_job(struct troupe_actor *self, struct member *member, struct troupe_message *msg)
{
    int status = TROUPE_EPROTO;
    int error;

    /* What it handled before gives its room back first; what it fills itself with stays queued as long as it waits. */
    TROUPE_TRY(troupe_sleep(self, 1));
    TROUPE_TRY(do_fill(self, member));
    error = troupe_blocking_wait(self, send_from_job, member, NULL, TROUPE_FOREVER, &status);
    note_text(self, member);
    TROUPE_TRY(error);
    return give(self, msg, member->got);
}

/* The job waits for room that its actor makes when the job is over. */
Test(ring, a_job_does_not_wait_for_whoever_waits_for_it, .timeout = 60)
{
    struct member a, b;
    struct stage stage;

    stage_open(&stage, 2);
    join_stage(&stage, &a, &alpha, run_job);
    join_stage(&stage, &b, &beta, say_ok);
    a.to = a.pid;
    b.to = a.pid;
    stage_tell(&stage, b.pid, do_call, &b);
    STAGE_AWAIT(&stage, b.done);
    cr_assert_eq(b.status, TROUPE_OK);
    cr_assert_eq(b.got, TROUPE_EFULL, "%s", troupe_strerror(b.got));
    expect_text(&a, "alpha (%llx) -> alpha", &a, &a);
    stage_close(&stage);
}

/* The same behind another one. */
Test(ring, a_job_that_waits_for_room_is_its_actors_wait, .timeout = 60)
{
    struct member a;
    struct clogged b;
    struct stage stage;

    stage_open(&stage, 2);
    clog_up(&stage, &b, &clogged_fiber, say_ok);
    join_stage(&stage, &a, &alpha, run_job);
    a.to = b.member.pid;
    b.member.to = a.pid;
    stage_send(&stage, a.pid, &ask, &(uint64_t){0});
    await_waiting(&stage, &a);
    b.step = 1;
    STAGE_AWAIT(&stage, b.member.done);
    cr_assert_eq(b.member.status, TROUPE_EDEADLK);
    expect_text(&b.member, "clogged (%llx) -> alpha (%llx) -> clogged", &b.member, &a);
    b.step = 2;
    STAGE_AWAIT(&stage, b.member.seen == ROOM + 1);
    stage_close(&stage);
}

static int send_as_a_thread(struct troupe_job *job, void *arg)
{
    struct member *member = arg;
    struct troupe_message *msg;

    TROUPE_TRY(troupe_message_create(troupe_job_runtime(job), &number, 0, &msg));
    *(uint64_t *)troupe_body(msg) = 7;
    member->got = troupe_send_wait(troupe_job_runtime(job), member->to, msg, 60000);
    if (member->got < 0) {
        troupe_message_destroy(msg);
    }
    return TROUPE_OK;
}

static int call_as_a_thread(struct troupe_job *job, void *arg)
{
    struct member *member = arg;
    uint64_t value = 1;
    int status = TROUPE_EPROTO;
    int error = troupe_runtime_call(
        troupe_job_runtime(job), member->to, &ask, &value, &answer, &status, member->wait_ms);

    member->got = error < 0 ? error : status;
    return TROUPE_OK;
}

static int wait_for_job(struct troupe_actor *self, struct member *member, troupe_job_fn fn)
{
    int status = TROUPE_EPROTO;
    int error = troupe_blocking_wait(self, fn, member, NULL, TROUPE_FOREVER, &status);

    note_text(self, member);
    return error < 0 ? error : status;
}

static int run_sending_job(
    struct troupe_actor *self, struct member *member, struct troupe_message *msg)
{
    TROUPE_TRY(troupe_sleep(self, 1));
    TROUPE_TRY(do_fill(self, member));
    TROUPE_TRY(wait_for_job(self, member, send_as_a_thread));
    return give(self, msg, member->got);
}

static int run_calling_job(
    struct troupe_actor *self, struct member *member, struct troupe_message *msg)
{
    TROUPE_TRY(wait_for_job(self, member, call_as_a_thread));
    return give(self, msg, member->got);
}

static int do_calling_job(struct troupe_actor *self, void *arg)
{
    struct member *member = arg;

    member->begun = true;
    member->status = wait_for_job(self, member, call_as_a_thread);
    member->done = true;
    return TROUPE_OK;
}

Test(ring, a_job_that_sends_as_any_thread_does_it_for_its_actor, .timeout = 60)
{
    struct member a, b;
    struct stage stage;

    stage_open(&stage, 2);
    join_stage(&stage, &a, &alpha, run_sending_job);
    join_stage(&stage, &b, &beta, say_ok);
    a.to = a.pid;
    b.to = a.pid;
    stage_tell(&stage, b.pid, do_call, &b);
    STAGE_AWAIT(&stage, b.done);
    cr_assert_eq(b.status, TROUPE_OK);
    cr_assert_eq(b.got, TROUPE_EFULL, "%s", troupe_strerror(b.got));
    expect_text(&a, "alpha (%llx) -> alpha", &a, &a);
    stage_close(&stage);
}

/* Whoever waits for its actor is told, or the job is, whichever comes last. */
Test(ring, a_job_that_calls_does_it_for_its_actor, .timeout = 60)
{
    FOR_EACH_KIND(i)
    {
        struct member a, b;
        struct stage stage;

        stage_open(&stage, kinds[i]);
        join_stage(&stage, &a, &alpha, run_calling_job);
        join_stage(&stage, &b, &beta, call_on);
        a.to = b.pid;
        b.to = a.pid;
        a.wait_ms = 60000;
        stage_tell(&stage, b.pid, do_call, &b);
        STAGE_AWAIT(&stage, b.done);
        cr_assert_eq(b.status, TROUPE_OK, "%s", troupe_strerror(b.status));
        cr_assert_eq(b.got, TROUPE_EDEADLK, "%s", troupe_strerror(b.got));
        expect_text(&a, "alpha (%llx) -> beta (%llx) -> alpha", &a, &b);
        b.done = false;
        stage_tell(&stage, a.pid, do_calling_job, &a);
        STAGE_AWAIT(&stage, a.done);
        cr_assert_eq(a.status, TROUPE_OK);
        cr_assert_eq(a.got, TROUPE_EDEADLK, "%s", troupe_strerror(a.got));
        expect_text(&b, "beta (%llx) -> alpha (%llx) -> beta", &b, &a);
        cr_assert_eq(edge_of(&stage, a.pid), TRP_EDGE_NONE);
        cr_assert_eq(edge_of(&stage, b.pid), TRP_EDGE_NONE);
        stage_close(&stage);
    }
}

static int call_twice(struct troupe_job *job, void *arg)
{
    struct member *member = arg;

    TROUPE_TRY(call_as_a_thread(job, arg));
    member->status = member->got;
    member->done = true;
    while (member->asked == 0) {
        sched_yield();
    }
    return TROUPE_OK;
}

static int answer_for_a_job(
    struct troupe_actor *self, struct member *member, struct troupe_message *msg)
{
    TROUPE_TRY(give(self, msg, TROUPE_OK));
    member->status = call(self, member);
    return TROUPE_OK;
}

static int do_job_that_goes_on(struct troupe_actor *self, void *arg)
{
    return wait_for_job(self, arg, call_twice);
}

/* When the job has its answer, or its time is over, nobody is waited for any more. */
Test(ring, a_job_that_goes_on_waits_for_nobody, .timeout = 60)
{
    for (int answered = 0; answered < 2; answered++) {
        struct member a, b;
        struct stage stage;

        stage_open(&stage, 2);
        join_stage(&stage, &a, &alpha, say_ok);
        join_stage(&stage, &b, &beta, answered ? answer_for_a_job : keep);
        a.to = b.pid;
        b.to = a.pid;
        a.wait_ms = answered ? 60000 : 20;
        stage_tell(&stage, a.pid, do_job_that_goes_on, &a);
        STAGE_AWAIT(&stage, a.done);
        cr_assert_eq(a.status, answered ? TROUPE_OK : TROUPE_ETIMEDOUT);
        if (!answered) {
            cr_assert_eq(edge_of(&stage, a.pid), TRP_EDGE_RESTING);
            stage_tell(&stage, b.pid, do_call, &b);
        }
        await_waiting(&stage, &b);
        a.asked = 1;
        STAGE_AWAIT(&stage, edge_of(&stage, b.pid) == TRP_EDGE_NONE);
        cr_assert_eq(b.status, TROUPE_OK, "%s", troupe_strerror(b.status));
        if (!answered) {
            stage_do(&stage, b.pid, do_drop, &b);
        }
        stage_close(&stage);
    }
}

/* ---- what comes of it ---- */

Test(ring, one_that_is_let_be_is_reported_and_ends_in_time, .timeout = 60)
{
    FOR_EACH_KIND(i)
    {
        struct member a, b;
        struct stage stage;

        stage_open_with(&stage,
            &(struct troupe_runtime_options){.workers = kinds[i], .on_ring = TROUPE_RING_LOG});
        join_stage(&stage, &a, &alpha, say_ok);
        join_stage(&stage, &b, &beta, call_on);
        a.to = b.pid;
        b.to = a.pid;
        b.wait_ms = 5;
        stage_tell(&stage, a.pid, do_call, &a);
        STAGE_AWAIT(&stage, a.done);
        cr_assert_eq(a.status, TROUPE_OK);
        cr_assert(a.got == TROUPE_ETIMEDOUT || a.got == TROUPE_EEXPIRED);
        cr_assert_eq(stage_reports(&stage, TROUPE_REPORT_RING), 1);
        cr_assert_eq(stage.facts[TROUPE_REPORT_RING].count, 2);
        cr_assert_eq(stage.facts[TROUPE_REPORT_RING].pid, b.pid);
        cr_assert(strstr(stage.text[TROUPE_REPORT_RING], "-> alpha (") != NULL);
        stage_close(&stage);
    }
}

static _Atomic troupe_pid told_through;

static void tell_through(struct stage *stage)
{
    stage_send(stage, told_through, &number, &(uint64_t){7});
}

static int make_alias(struct troupe_actor *self, void *arg)
{
    return troupe_alias(self, TROUPE_ALIAS_EXPLICIT, 0, arg);
}

/* Nor is it reported under a lock that a sender takes. */
Test(ring, who_is_told_of_one_may_send_through_the_alias_that_closed_it, .timeout = 20)
{
    FOR_EACH_KIND(i)
    {
        struct member a, b;
        struct stage stage;

        stage_open_with(&stage,
            &(struct troupe_runtime_options){.workers = kinds[i], .on_ring = TROUPE_RING_LOG});
        join_stage(&stage, &a, &alpha, say_ok);
        join_stage(&stage, &b, &beta, call_on);
        a.to = b.pid;
        cr_assert_eq(stage_do(&stage, a.pid, make_alias, &b.to), TROUPE_OK);
        told_through = b.to;
        stage.on_report = tell_through;
        b.wait_ms = 5;
        stage_tell(&stage, a.pid, do_call, &a);
        STAGE_AWAIT(&stage, a.done && a.seen == 1);
        cr_assert_eq(stage_reports(&stage, TROUPE_REPORT_RING), 1);
        cr_assert_eq(stage.facts[TROUPE_REPORT_RING].count, 2);
        cr_assert_eq(stage.facts[TROUPE_REPORT_RING].pid, b.pid);
        stage_close(&stage);
    }
}

/* As of a request that is placed under a lock: `a` waits for `b`, and `b` is about to wait for `a`. */
Test(ring, one_that_was_seen_under_a_lock_is_reported_though_it_is_gone_since, .timeout = 20)
{
    struct member a, b;
    struct trp_ring ring = {.count = 0};
    struct troupe_actor *first, *second;
    struct trp_visit visit;
    struct stage stage;
    uint64_t number_of_b;

    stage_open_with(&stage,
        &(struct troupe_runtime_options){.workers = TROUPE_NO_THREADS, .on_ring = TROUPE_RING_LOG});
    join_stage(&stage, &a, &alpha, say_ok);
    join_stage(&stage, &b, &beta, keep);
    a.to = b.pid;
    stage_tell(&stage, a.pid, do_call, &a);
    STAGE_AWAIT(&stage, b.keeps);
    cr_assert_eq(trp_context_enter(stage.runtime, &visit), TROUPE_OK);
    first = trp_actor_find(stage.runtime, a.pid);
    second = trp_actor_find(stage.runtime, b.pid);
    cr_assert_eq(trp_pressure_open(visit.context, second, &number_of_b), TROUPE_OK);
    cr_assert_eq(trp_pressure_wait_quietly(
                     visit.context, second, number_of_b, &(struct trp_aim){.to = a.pid}, &ring),
        TROUPE_OK);
    cr_assert_eq(ring.count, 2);
    trp_pressure_rest(
        first, atomic_load(&atomic_load(&trp_actor_extra(first)->edge)->word) & TRP_EDGE_NUMBER);
    trp_pressure_close(second);
    cr_assert_eq(stage_reports(&stage, TROUPE_REPORT_RING), 0);
    trp_pressure_report(visit.context, &ring);
    trp_context_leave(&visit);
    cr_assert_eq(stage_reports(&stage, TROUPE_REPORT_RING), 1);
    cr_assert_eq(stage.facts[TROUPE_REPORT_RING].count, 2);
    cr_assert_eq(stage.facts[TROUPE_REPORT_RING].pid, b.pid);
    cr_assert(strstr(stage.text[TROUPE_REPORT_RING], "-> beta") != NULL);
    stage_do(&stage, b.pid, do_drop, &b);
    STAGE_AWAIT(&stage, a.done);
    stage_close(&stage);
}

Test(ring, who_would_close_one_fails_if_that_is_wanted, .timeout = 60)
{
    FOR_EACH_KIND(i)
    {
        struct member a, b;
        struct stage_end end;
        struct stage stage;

        stage_open_with(&stage,
            &(struct troupe_runtime_options){.workers = kinds[i], .on_ring = TROUPE_RING_FAIL});
        join_stage(&stage, &a, &alpha, say_ok);
        join_stage(&stage, &b, &beta, call_on);
        a.to = b.pid;
        b.to = a.pid;
        stage_watch(&stage, b.pid, &end);
        stage_tell(&stage, a.pid, do_call, &a);
        STAGE_AWAIT(&stage, a.done && end.count == 1);
        cr_assert_eq(a.status, TROUPE_EDIED);
        cr_assert_eq(end.kind, TROUPE_EXIT_ERROR);
        cr_assert_eq(end.code, TROUPE_EDEADLK);
        cr_assert(strstr(end.text, ") -> beta") != NULL, "%s", end.text);
        stage_close(&stage);
    }
}

Test(ring, what_comes_of_one_is_one_of_three, .timeout = 20)
{
    struct troupe_runtime *runtime;
    struct troupe_runtime_options options = {
        .workers = 1, .on_ring = (enum troupe_ring)(TROUPE_RING_FAIL + 1)};

    cr_assert_eq(troupe_runtime_create(&options, &runtime), TROUPE_EINVAL);
}

/* ---- ends, and memory ---- */

Test(ring, who_is_killed_waits_no_longer, .timeout = 60)
{
    FOR_EACH_KIND(i)
    {
        struct member a, b, c;
        struct stage stage;

        stage_open(&stage, kinds[i]);
        join_stage(&stage, &a, &alpha, say_ok);
        join_stage(&stage, &b, &beta, keep);
        join_stage(&stage, &c, &third, say_ok);
        a.to = b.pid;
        b.to = a.pid;
        c.to = a.pid;
        stage_tell(&stage, a.pid, do_call, &a);
        STAGE_AWAIT(&stage, b.keeps);
        stage_tell(&stage, c.pid, do_call, &c);
        await_waiting(&stage, &c);
        cr_assert_eq(troupe_runtime_exit(stage.runtime, a.pid, TROUPE_EXIT_KILL), TROUPE_OK);
        STAGE_AWAIT(&stage, c.done && !troupe_is_alive(stage.runtime, a.pid));
        cr_assert_eq(c.status, TROUPE_EDIED);
        stage_tell(&stage, b.pid, do_call, &b);
        STAGE_AWAIT(&stage, b.done);
        cr_assert_eq(b.status, TROUPE_EGONE);
        stage_do(&stage, b.pid, do_drop, &b);
        stage_close(&stage);
    }
}

static struct {
    struct member member;
    troupe_pid second; /* whom its second life calls */
    _Atomic unsigned lives;
} reborn;

static int reborn_main(struct troupe_actor *self, const void *arg)
{
    (void)arg;
    if (++reborn.lives == 2) {
        reborn.member.to = reborn.second;
    }
    (void)do_call(self, &reborn.member);
    return troupe_sleep(self, 3600000);
}

static const struct troupe_behaviour reborn_behaviour = {.name = "reborn", .main = reborn_main};

Test(ring, one_that_is_killed_in_a_wait_waits_anew_in_its_next_life, .timeout = 60)
{
    struct troupe_child_spec child = {.id = "reborn",
        .behaviour = &reborn_behaviour,
        .restart = TROUPE_PERMANENT,
        .keep_mailbox = true};
    struct troupe_supervisor_spec tree = {
        .name = "ring", .children = &child, .child_count = 1, .intensity = 5};
    struct member a, b;
    struct stage stage;
    troupe_pid supervisor;

    stage_open(&stage, 2);
    join_stage(&stage, &a, &alpha, keep);
    join_stage(&stage, &b, &beta, call_on);
    memset(&reborn, 0, sizeof reborn);
    reborn.member.to = a.pid;
    reborn.second = b.pid;
    reborn.member.wait_ms = TROUPE_FOREVER;
    cr_assert_eq(troupe_supervisor_start(stage.runtime, &tree, 10000, &supervisor), TROUPE_OK);
    STAGE_AWAIT(&stage, a.keeps);
    b.to = reborn.member.pid = troupe_runtime_whereis(stage.runtime, "ring.reborn");
    cr_assert_eq(
        troupe_runtime_exit(stage.runtime, reborn.member.pid, TROUPE_EXIT_KILL), TROUPE_OK);
    STAGE_AWAIT(&stage, reborn.member.done);
    cr_assert_eq(reborn.lives, 2);
    cr_assert_eq(reborn.member.status, TROUPE_OK, "%s", troupe_strerror(reborn.member.status));
    cr_assert_eq(reborn.member.got, TROUPE_EDEADLK);
    stage_do(&stage, a.pid, do_drop, &a);
    stage_close(&stage);
}

/* Without memory for its first record a call is refused, and nothing is left of it. */
Test(ring, a_wait_without_memory_is_refused_and_leaves_nothing, .timeout = 60)
{
    struct stage stage;
    uint64_t failures = 0;

    for (uint64_t k = 1;; k++) {
        struct member a, b;
        uint64_t before;

        stage_open(&stage, TROUPE_NO_THREADS);
        join_stage(&stage, &a, &alpha, say_ok);
        join_stage(&stage, &b, &beta, say_ok);
        a.to = b.pid;
        stage_tell(&stage, a.pid, do_call, &a);
        before = stage.memory.calls;
        stage.memory.fail_at = before + k;
        stage_run(&stage);
        stage.memory.fail_at = 0;
        if (stage.memory.calls < before + k) {
            cr_assert(a.done && a.status == TROUPE_OK);
            stage_close(&stage);
            break;
        }
        failures++;
        if (a.done && a.status < 0) {
            cr_assert(a.status == TROUPE_ENOMEM || a.status == TROUPE_EDIED);
            cr_assert_eq(edge_of(&stage, a.pid), TRP_EDGE_NONE);
        }
        stage_close(&stage);
    }
    cr_assert_gt(failures, 0);
}
