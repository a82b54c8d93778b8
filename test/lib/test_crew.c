/* SPDX-License-Identifier: MIT */
/* Crew: pools, which are resized and drained without losing work (semantics 9 and 11, rows on routers and pools). */
#include "child.h"

#include "test/support/family.h"
#include "test/support/random.h"
#include "test/support/stage.h"

static const struct troupe_type work = TROUPE_TYPE(uint64_t);
static const struct troupe_type done = TROUPE_TYPE(uint64_t);
static const struct troupe_type keep = TROUPE_SIGNAL;   /* a request, to be taken */
static const struct troupe_type finish = TROUPE_SIGNAL; /* answers what was taken */
static const struct troupe_type crash = TROUPE_SIGNAL;
static const struct troupe_type pass = TROUPE_SIGNAL; /* waits for the gate */

static struct latch gate = LATCH_INIT;
static _Atomic unsigned started;
static _Atomic unsigned ended;
static _Atomic uint64_t worked;
static _Atomic bool init_fails;

struct member {
    struct troupe_message *kept;
};

static int member_init(struct troupe_actor *self, void *state, const void *arg)
{
    (void)self;
    (void)state;
    (void)arg;
    if (init_fails) {
        return TROUPE_EPROTO;
    }
    started++;
    return TROUPE_OK;
}

static int answer_kept(struct troupe_actor *self, struct member *member)
{
    uint64_t seven = 7;
    int error = troupe_reply(self, member->kept, &done, &seven);

    troupe_message_destroy(member->kept);
    member->kept = NULL;
    return error;
}

static int member_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct member *member = state;

    if (troupe_is(msg, &work)) {
        worked++;
        return TROUPE_OK;
    }
    if (troupe_is(msg, &keep)) {
        return troupe_take(self, msg, &member->kept);
    }
    if (troupe_is(msg, &finish)) {
        return answer_kept(self, member);
    }
    if (troupe_is(msg, &crash)) {
        return troupe_fail(self, TROUPE_EPROTO, "as it was told");
    }
    if (troupe_is(msg, &pass)) {
        cr_assert(latch_wait(&gate, 1));
        return TROUPE_OK;
    }
    return TROUPE_EUNKNOWN;
}

static void member_destroy(void *state)
{
    (void)state;
    ended++;
}

static const struct troupe_behaviour member = {
    .name = "member",
    .state_size = sizeof(struct member),
    .init = member_init,
    .receive = member_receive,
    .destroy = member_destroy,
    .capacity = 1U << 20,
};

static const struct troupe_child_spec template = {.id = "member", .behaviour = &member};
static const struct troupe_child_spec keeping = {
    .id = "member", .behaviour = &member, .keep_mailbox = true};

static struct troupe_supervisor_spec pool_of(const struct troupe_child_spec *spec, uint32_t size)
{
    return (struct troupe_supervisor_spec){.name = "pool",
        .strategy = TROUPE_POOL,
        .pool_size = size,
        .children = spec,
        .child_count = 1,
        .intensity = 1000};
}

static troupe_pid open_pool(
    struct stage *stage, const struct troupe_child_spec *spec, uint32_t size)
{
    struct troupe_supervisor_spec pool = pool_of(spec, size);

    started = 0;
    ended = 0;
    worked = 0;
    init_fails = false;
    stage_open(stage, 2);
    return start(stage->runtime, &pool);
}

static struct troupe_pool_answer look(struct stage *stage, troupe_pid pool)
{
    struct troupe_pool_answer answer;

    cr_assert_eq(
        troupe_runtime_pool_look(stage->runtime, pool, TROUPE_FOREVER, &answer), TROUPE_OK);
    return answer;
}

static struct troupe_pool_answer resize(
    struct stage *stage, troupe_pid pool, uint32_t size, int drain_ms)
{
    struct troupe_pool_answer answer;
    int status =
        troupe_runtime_pool_resize(stage->runtime, pool, size, drain_ms, TROUPE_FOREVER, &answer);

    cr_assert_eq(status, answer.status);
    return answer;
}

/* A resize that nobody waits for. */
struct resizing {
    troupe_pid pool;
    uint32_t size;
    int drain_ms;
    _Atomic bool over;
    struct troupe_pool_answer answer;
};

static int on_resized(
    struct troupe_actor *self, void *state, void *context, int status, struct troupe_message *reply)
{
    struct resizing *resizing = context;

    (void)self;
    (void)state;
    cr_assert_eq(status, TROUPE_OK);
    cr_assert(troupe_is(reply, &troupe_pool_answer));
    resizing->answer = *(const struct troupe_pool_answer *)troupe_body(reply);
    resizing->over = true;
    return TROUPE_OK;
}

static int put_resize(struct troupe_actor *self, void *arg)
{
    struct resizing *resizing = arg;

    return troupe_pool_resize(self, resizing->pool, resizing->size, resizing->drain_ms,
        TROUPE_FOREVER, on_resized, resizing);
}

/* Begins one, and makes sure that the pool has heard of it. */
static void begin_resize(struct stage *stage, struct resizing *resizing)
{
    troupe_pid puppet = stage_spawn(stage, &stage_puppet, NULL);

    cr_assert_eq(stage_do(stage, puppet, put_resize, resizing), TROUPE_OK);
    STAGE_AWAIT(stage, look(stage, resizing->pool).size == resizing->size);
}

static int try_give(struct stage *stage, const struct troupe_type *type)
{
    uint64_t body = 1;
    struct troupe_message *msg = stage_message(stage, type, &body);
    int error = troupe_group_try_send(stage->runtime, "pool", TROUPE_ROUND_ROBIN, 0, msg);

    if (error < 0) {
        troupe_message_destroy(msg);
    }
    return error;
}

static void give(struct stage *stage, const struct troupe_type *type)
{
    int error;

    /* Where a member takes one message by default there is room only when it has handled that. */
    STAGE_AWAIT(stage, (error = try_give(stage, type)) != TROUPE_EFULL);
    cr_assert_eq(error, TROUPE_OK);
}

static uint32_t members(struct stage *stage, struct troupe_group_member *out_members, uint32_t max)
{
    int count = troupe_group_members(stage->runtime, "pool", 0, out_members, max);

    cr_assert_geq(count, 0);
    return (uint32_t)count;
}

/* ---- size ---- */

Test(crew, a_pool_begins_with_so_many_members_of_the_group_with_its_name, .timeout = 60)
{
    struct troupe_group_member list[8];
    struct troupe_pool_answer answer;
    struct stage stage;
    troupe_pid pool = open_pool(&stage, &template, 3);

    cr_assert_eq(started, 3);
    cr_assert_eq(members(&stage, list, 8), 3);
    answer = look(&stage, pool);
    cr_assert_eq(answer.status, TROUPE_OK);
    cr_assert_eq(answer.size, 3);
    cr_assert_eq(answer.members, 3);
    cr_assert_eq(answer.leaving, 0);
    cr_assert_eq(answer.handled, 0);
    stage_close(&stage);
}

Test(crew, without_a_size_there_is_one_for_each_worker, .timeout = 60)
{
    struct stage stage;
    troupe_pid pool = open_pool(&stage, &template, 0);

    cr_assert_eq(look(&stage, pool).members, 2);
    stage_close(&stage);
}

Test(crew, a_pool_stands_in_a_tree_and_its_group_is_named_after_it, .timeout = 60)
{
    struct troupe_supervisor_spec inner = pool_of(&template, 2);
    struct troupe_child_spec child = {.id = "pool", .tree = &inner};
    struct troupe_supervisor_spec top = {.name = "top", .children = &child, .child_count = 1};
    struct troupe_group_member list[4];
    struct stage stage;
    troupe_pid pid;

    inner.name = NULL;
    stage_open(&stage, 2);
    (void)start(stage.runtime, &top);
    pid = troupe_runtime_whereis(stage.runtime, "top.pool");
    cr_assert_eq(look(&stage, pid).members, 2);
    cr_assert_eq(troupe_group_members(stage.runtime, "top.pool", 0, list, 4), 2);
    stage_close(&stage);
}

Test(crew, more_members_have_started_when_the_answer_comes, .timeout = 60)
{
    struct troupe_group_member list[1001];
    struct stage stage;
    troupe_pid pool = open_pool(&stage, &template, 1);
    /* More than are started in one go. */
    struct troupe_pool_answer answer = resize(&stage, pool, 1000, 0);

    cr_assert_eq(answer.status, TROUPE_OK);
    cr_assert_eq(answer.members, 1000);
    cr_assert_eq(started, 1000);
    cr_assert_eq(members(&stage, list, 1001), 1000);
    stage_close(&stage);
}

Test(crew, those_that_came_last_are_given_up_first, .timeout = 60)
{
    struct troupe_group_member before[8];
    struct troupe_group_member after[8];
    struct stage stage;
    troupe_pid pool = open_pool(&stage, &template, 5);
    struct troupe_pool_answer answer;

    cr_assert_eq(members(&stage, before, 8), 5);
    answer = resize(&stage, pool, 2, 0);
    cr_assert_eq(answer.status, TROUPE_OK);
    cr_assert_eq(answer.members, 2);
    cr_assert_eq(answer.leaving, 0);
    cr_assert_eq(ended, 3);
    cr_assert_eq(members(&stage, after, 8), 2);
    cr_assert_eq(after[0].pid, before[0].pid);
    cr_assert_eq(after[1].pid, before[1].pid);
    /* And those are the ones that go on. */
    answer = resize(&stage, pool, 4, 0);
    cr_assert_eq(answer.members, 4);
    cr_assert_eq(started, 7);
    stage_close(&stage);
}

Test(crew, no_more_than_child_max, .timeout = 60)
{
    struct troupe_supervisor_spec pool = pool_of(&template, 2);
    struct stage stage;
    troupe_pid pid;

    pool.child_max = 3;
    stage_open(&stage, 2);
    pid = start(stage.runtime, &pool);
    cr_assert_eq(resize(&stage, pid, 4, 0).status, TROUPE_ELIMIT);
    cr_assert_eq(look(&stage, pid).members, 2);
    cr_assert_eq(resize(&stage, pid, 3, 0).members, 3);
    stage_close(&stage);
}

Test(crew, a_start_that_fails_ends_the_growing_and_says_why, .timeout = 60)
{
    struct stage stage;
    troupe_pid pool = open_pool(&stage, &template, 2);
    struct troupe_pool_answer answer;

    init_fails = true;
    answer = resize(&stage, pool, 1000, 0);
    cr_assert_eq(answer.status, TROUPE_EPROTO);
    cr_assert_eq(answer.members, 2);
    init_fails = false;
    cr_assert_eq(resize(&stage, pool, 3, 0).members, 3);
    stage_close(&stage);
}

/* ---- leaving ---- */

Test(crew, who_is_given_up_handles_what_it_has_and_gets_no_more, .timeout = 60)
{
    struct resizing resizing;
    struct stage stage;
    troupe_pid pool = open_pool(&stage, &template, 4);
    struct troupe_pool_answer answer;
    struct troupe_books books;

    /* All four are busy. */
    for (unsigned i = 0; i < 4; i++) {
        give(&stage, &pass);
    }
    for (unsigned i = 0; i < 1000; i++) {
        give(&stage, &work);
    }
    resizing = (struct resizing){.pool = pool, .size = 1, .drain_ms = TROUPE_FOREVER};
    begin_resize(&stage, &resizing);
    answer = look(&stage, pool);
    cr_assert_eq(answer.members, 1);
    cr_assert_eq(answer.leaving, 3);
    cr_assert_geq(answer.queued, 1000);
    for (unsigned i = 0; i < 1000; i++) {
        give(&stage, &work);
    }
    latch_hit(&gate);
    STAGE_AWAIT(&stage, resizing.over);
    answer = resizing.answer;
    cr_assert_eq(answer.status, TROUPE_OK);
    cr_assert_eq(answer.leaving, 0);
    cr_assert_eq(ended, 3);
    STAGE_AWAIT(&stage, worked == 2000);
    cr_assert_eq(look(&stage, pool).handled, 2004);
    books = stage_books(&stage);
    cr_assert_eq(books.dead, 0);
    cr_assert_eq(books.bounced, 0);
    stage_close(&stage);
}

Test(crew, a_pool_that_was_drained_takes_nothing_until_it_is_resized, .timeout = 60)
{
    struct stage stage;
    troupe_pid pool = open_pool(&stage, &template, 4);
    struct troupe_pool_answer answer;

    for (unsigned i = 0; i < 1000; i++) {
        give(&stage, &work);
    }
    answer = resize(&stage, pool, 0, TROUPE_FOREVER);
    cr_assert_eq(answer.status, TROUPE_OK);
    cr_assert_eq(answer.members, 0);
    cr_assert_eq(answer.handled, 1000);
    cr_assert_eq(worked, 1000);
    cr_assert_eq(ended, 4);
    /* Out of workers. */
    cr_assert_eq(try_give(&stage, &work), TROUPE_ENOENT);
    cr_assert_eq(resize(&stage, pool, 1, 0).members, 1);
    give(&stage, &work);
    STAGE_AWAIT(&stage, worked == 1001);
    cr_assert_eq(look(&stage, pool).handled, 1001);
    stage_close(&stage);
}

/* Finds a member, and sends to it when others have had time. */
struct dawdling {
    struct latch found;
    struct latch go_on;
};

static int dawdle(struct troupe_actor *self, void *arg)
{
    struct dawdling *dawdling = arg;
    uint64_t body = 1;
    troupe_pid pid;

    cr_assert_eq(
        troupe_group_pick(troupe_runtime_of(self), "pool", TROUPE_RANDOM, 0, &pid), TROUPE_OK);
    latch_hit(&dawdling->found);
    cr_assert(latch_wait(&dawdling->go_on, 1));
    cr_assert_eq(troupe_send(self, pid, &work, &body), TROUPE_OK);
    return TROUPE_OK;
}

Test(crew, who_was_about_to_send_to_one_that_is_given_up_is_waited_for, .timeout = 60)
{
    struct dawdling dawdling = {LATCH_INIT, LATCH_INIT};
    unsigned rounds = 0;
    struct resizing resizing;
    struct stage stage;
    troupe_pid pool = open_pool(&stage, &template, 1);

    stage_tell(&stage, stage_spawn(&stage, &stage_puppet, NULL), dawdle, &dawdling);
    cr_assert(latch_wait(&dawdling.found, 1));
    resizing = (struct resizing){.pool = pool, .size = 0, .drain_ms = TROUPE_FOREVER};
    begin_resize(&stage, &resizing);
    STAGE_AWAIT(&stage, ++rounds == 100);
    cr_assert_eq(ended, 0);
    latch_hit(&dawdling.go_on);
    STAGE_AWAIT(&stage, resizing.over);
    cr_assert_eq(resizing.answer.status, TROUPE_OK);
    cr_assert_eq(worked, 1);
    cr_assert_eq(resizing.answer.handled, 1);
    cr_assert_eq(stage_books(&stage).dead, 0);
    stage_close(&stage);
}

struct asking {
    _Atomic bool over;
    int status;
    uint64_t answer;
};

static int on_done(
    struct troupe_actor *self, void *state, void *context, int status, struct troupe_message *reply)
{
    struct asking *asking = context;

    (void)self;
    (void)state;
    asking->status = status;
    asking->answer = status == TROUPE_OK ? *(const uint64_t *)troupe_body(reply) : 0;
    asking->over = true;
    return TROUPE_OK;
}

static int ask_pool(struct troupe_actor *self, void *arg)
{
    return troupe_group_request(
        self, "pool", TROUPE_ROUND_ROBIN, 0, &keep, NULL, TROUPE_FOREVER, on_done, arg);
}

/* Told too soon, it is told again. */
Test(crew, who_owes_an_answer_gives_it_before_it_leaves, .timeout = 60)
{
    unsigned rounds = 0;
    struct asking asking = {.status = 1};
    struct troupe_group_member list[2];
    struct resizing resizing;
    struct stage stage;
    troupe_pid pool = open_pool(&stage, &template, 1);
    troupe_pid puppet = stage_spawn(&stage, &stage_puppet, NULL);

    cr_assert_eq(stage_do(&stage, puppet, ask_pool, &asking), TROUPE_OK);
    cr_assert_eq(members(&stage, list, 2), 1);
    STAGE_AWAIT(&stage, look(&stage, pool).handled == 1);
    resizing = (struct resizing){.pool = pool, .size = 0, .drain_ms = TROUPE_FOREVER};
    begin_resize(&stage, &resizing);
    /* It is told meanwhile, and has reason not to heed it. */
    STAGE_AWAIT(&stage, ++rounds == 100);
    cr_assert_eq(ended, 0);
    cr_assert_not(asking.over);
    stage_send(&stage, list[0].pid, &finish, NULL);
    STAGE_AWAIT(&stage, resizing.over);
    cr_assert_eq(resizing.answer.status, TROUPE_OK);
    cr_assert_eq(ended, 1);
    STAGE_AWAIT(&stage, asking.over);
    cr_assert_eq(asking.status, TROUPE_OK);
    cr_assert_eq(asking.answer, 7);
    stage_close(&stage);
}

Test(crew, when_the_time_is_over_the_rest_is_handed_back_and_counted, .timeout = 60)
{
    struct asking asking = {.status = 1};
    struct stage stage;
    troupe_pid pool = open_pool(&stage, &template, 1);
    troupe_pid puppet = stage_spawn(&stage, &stage_puppet, NULL);
    struct troupe_pool_answer answer;

    /* It never answers. */
    cr_assert_eq(stage_do(&stage, puppet, ask_pool, &asking), TROUPE_OK);
    STAGE_AWAIT(&stage, look(&stage, pool).handled == 1);
    answer = resize(&stage, pool, 0, 30);
    cr_assert_eq(answer.status, TROUPE_ETIMEDOUT);
    cr_assert_eq(answer.members, 0);
    cr_assert_eq(answer.leaving, 0);
    cr_assert_eq(ended, 1);
    STAGE_AWAIT(&stage, asking.over);
    cr_assert_eq(asking.status, TROUPE_EDIED);
    stage_close(&stage);
}

Test(crew, at_once_means_at_once, .timeout = 60)
{
    struct resizing resizing;
    struct stage stage;
    troupe_pid pool = open_pool(&stage, &template, 1);

    give(&stage, &pass);
    for (unsigned i = 0; i < 10; i++) {
        give(&stage, &work);
    }
    resizing = (struct resizing){.pool = pool, .size = 0, .drain_ms = TROUPE_NOW};
    begin_resize(&stage, &resizing);
    latch_hit(&gate);
    STAGE_AWAIT(&stage, resizing.over);
    cr_assert_eq(resizing.answer.status, TROUPE_ETIMEDOUT);
    cr_assert_eq(ended, 1);
    cr_assert_eq(worked, 0);
    cr_assert_eq(stage_books(&stage).dead, 10);
    stage_close(&stage);
}

Test(crew, the_next_resize_takes_the_place_of_one_that_is_not_done, .timeout = 60)
{
    struct resizing next;
    struct resizing resizing;
    struct stage stage;
    troupe_pid pool = open_pool(&stage, &template, 2);

    give(&stage, &pass);
    give(&stage, &pass);
    resizing = (struct resizing){.pool = pool, .size = 0, .drain_ms = TROUPE_FOREVER};
    begin_resize(&stage, &resizing);
    next = (struct resizing){.pool = pool, .size = 3, .drain_ms = TROUPE_FOREVER};
    begin_resize(&stage, &next);
    STAGE_AWAIT(&stage, resizing.over);
    cr_assert_eq(resizing.answer.status, TROUPE_EBUSY);
    cr_assert_eq(started, 5);
    cr_assert_not(next.over);
    latch_hit(&gate);
    STAGE_AWAIT(&stage, next.over);
    cr_assert_eq(next.answer.status, TROUPE_OK);
    cr_assert_eq(ended, 2);
    cr_assert_eq(look(&stage, pool).members, 3);
    stage_close(&stage);
}

Test(crew, one_that_fails_while_it_leaves_is_restarted_for_what_it_has_left, .timeout = 60)
{
    struct resizing resizing;
    struct stage stage;
    troupe_pid pool = open_pool(&stage, &keeping, 1);
    struct troupe_pool_answer answer;

    give(&stage, &pass);
    for (unsigned i = 0; i < 10; i++) {
        give(&stage, &work);
    }
    give(&stage, &crash);
    for (unsigned i = 0; i < 10; i++) {
        give(&stage, &work);
    }
    resizing = (struct resizing){.pool = pool, .size = 0, .drain_ms = TROUPE_FOREVER};
    begin_resize(&stage, &resizing);
    latch_hit(&gate);
    STAGE_AWAIT(&stage, resizing.over);
    answer = resizing.answer;
    cr_assert_eq(answer.status, TROUPE_OK);
    cr_assert_eq(worked, 20);
    cr_assert_eq(answer.handled, 22);
    cr_assert_eq(answer.restarts, 1);
    cr_assert_eq(stage_books(&stage).dead, 0);
    stage_close(&stage);
}

Test(crew, a_pool_that_ends_does_not_wait_for_those_that_leave, .timeout = 60)
{
    struct asking asking = {.status = 1};
    struct stage_end end;
    struct resizing resizing;
    struct stage stage;
    troupe_pid pool = open_pool(&stage, &template, 2);
    troupe_pid puppet = stage_spawn(&stage, &stage_puppet, NULL);

    cr_assert_eq(stage_do(&stage, puppet, ask_pool, &asking), TROUPE_OK);
    STAGE_AWAIT(&stage, look(&stage, pool).handled == 1);
    resizing = (struct resizing){.pool = pool, .size = 0, .drain_ms = TROUPE_FOREVER};
    begin_resize(&stage, &resizing);
    stage_watch(&stage, pool, &end);
    cr_assert_eq(troupe_runtime_exit(stage.runtime, pool, TROUPE_EXIT_SHUTDOWN), TROUPE_OK);
    STAGE_AWAIT(&stage, end.count == 1);
    STAGE_AWAIT(&stage, resizing.over);
    cr_assert_eq(resizing.answer.status, TROUPE_ESTOPPED);
    cr_assert_eq(end.kind, TROUPE_EXIT_SHUTDOWN);
    cr_assert_eq(ended, 2);
    stage_close(&stage);
}

/* ---- deaths ---- */

Test(crew, one_that_dies_gets_no_work_and_the_next_one_does, .timeout = 60)
{
    struct troupe_group_member list[4];
    struct stage stage;
    troupe_pid pool = open_pool(&stage, &template, 2);
    troupe_pid first;

    cr_assert_eq(members(&stage, list, 4), 2);
    first = list[0].pid;
    stage_send(&stage, first, &crash, NULL);
    STAGE_AWAIT(&stage, started == 3);
    STAGE_AWAIT(&stage, look(&stage, pool).members == 2 && members(&stage, list, 4) == 2);
    cr_assert_neq(list[0].pid, first);
    for (unsigned i = 0; i < 100; i++) {
        give(&stage, &work);
    }
    STAGE_AWAIT(&stage, worked == 100);
    STAGE_AWAIT(&stage, look(&stage, pool).handled == 101);
    cr_assert_eq(look(&stage, pool).restarts, 1);
    stage_close(&stage);
}

Test(crew, one_that_is_not_restarted_is_missing_until_the_pool_is_resized, .timeout = 60)
{
    const struct troupe_child_spec temporary = {
        .id = "member", .behaviour = &member, .restart = TROUPE_TEMPORARY};
    struct stage stage;
    troupe_pid pool = open_pool(&stage, &temporary, 2);

    give(&stage, &crash);
    STAGE_AWAIT(&stage, look(&stage, pool).members == 1);
    give(&stage, &crash);
    STAGE_AWAIT(&stage, look(&stage, pool).members == 0);
    cr_assert_eq(try_give(&stage, &work), TROUPE_ENOENT);
    cr_assert_eq(resize(&stage, pool, 2, 0).members, 2);
    give(&stage, &work);
    STAGE_AWAIT(&stage, worked == 1);
    stage_close(&stage);
}

/* ---- what is counted ---- */

static int count_main(struct troupe_actor *self, const void *arg)
{
    struct troupe_message *msg;

    (void)arg;
    for (;;) {
        TROUPE_TRY(troupe_receive(self, TROUPE_FOREVER, &msg));
        TROUPE_CHECK(self, troupe_is(msg, &work));
        TROUPE_TRY(troupe_sleep(self, 1));
        worked++;
    }
}

static int wait_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    (void)state;
    TROUPE_CHECK(self, troupe_is(msg, &work));
    TROUPE_TRY(troupe_sleep(self, 1));
    worked++;
    return TROUPE_OK;
}

static const struct troupe_behaviour waiting = {
    .name = "waiting", .receive = wait_receive, .may_wait = true};

/* They take their time, in which nobody is in a read section: the signal is there long before its turn. */
Test(crew, members_that_wait_are_counted_and_drained_as_well, .timeout = 60)
{
    const struct troupe_child_spec templates[] = {
        {.id = "main", .main = count_main},
        {.id = "waiting", .behaviour = &waiting},
        {.id = "kept", .main = count_main, .keep_mailbox = true},
    };

    for (unsigned i = 0; i < TROUPE_COUNT(templates); i++) {
        struct stage stage;
        troupe_pid pool = open_pool(&stage, &templates[i], 3);
        struct troupe_pool_answer answer;

        for (unsigned n = 0; n < 300; n++) {
            give(&stage, &work);
        }
        answer = resize(&stage, pool, 0, TROUPE_FOREVER);
        cr_assert_eq(answer.status, TROUPE_OK);
        cr_assert_eq(worked, 300, "template %u", i);
        cr_assert_eq(answer.handled, 300, "template %u", i);
        stage_close(&stage);
    }
}

/* ---- what a pool is not ---- */

Test(crew, only_pools_are_resized_and_pools_are_only_resized, .timeout = 60)
{
    const struct troupe_supervisor_spec plain = {.name = "plain"};
    struct troupe_pool_answer answer;
    struct stage stage;
    troupe_pid pool = open_pool(&stage, &template, 1);
    troupe_pid other = start(stage.runtime, &plain);

    cr_assert_eq(resize(&stage, other, 1, 0).status, TROUPE_EINVAL);
    cr_assert_eq(
        troupe_runtime_pool_look(stage.runtime, other, TROUPE_FOREVER, &answer), TROUPE_EINVAL);
    cr_assert_eq(
        ask(stage.runtime, pool, TROUPE_CHILD_START, NULL, &template).status, TROUPE_EINVAL);
    cr_assert_eq(status_of(stage.runtime, pool, TROUPE_CHILD_TERMINATE, "member"), TROUPE_EINVAL);
    cr_assert_eq(troupe_runtime_child_spawn(stage.runtime, pool, NULL, 0, TROUPE_FOREVER, NULL),
        TROUPE_EINVAL);
    cr_assert_eq(look(&stage, pool).members, 1);
    stage_close(&stage);
}

Test(crew, the_check_names_what_is_wrong_with_a_pool)
{
    const struct troupe_supervisor_spec low = {.name = NULL};
    const struct troupe_child_spec tree = {.id = "a", .tree = &low};
    const struct troupe_child_spec grouped = {.id = "a", .behaviour = &member, .group = "g"};
    struct troupe_supervisor_spec pool = pool_of(&template, 1);
    const char *text = "";

    cr_assert_eq(troupe_supervisor_check(&pool, NULL), TROUPE_OK);
    pool.name = NULL;
    cr_assert_eq(troupe_supervisor_check(&pool, &text), TROUPE_EINVAL);
    cr_assert_eq(strncmp(text, "group", 5), 0, "%s", text);
    pool.children = &grouped;
    cr_assert_eq(troupe_supervisor_check(&pool, &text), TROUPE_OK);
    pool.children = &tree;
    cr_assert_eq(troupe_supervisor_check(&pool, &text), TROUPE_EINVAL);
    cr_assert_eq(strncmp(text, "tree", 4), 0, "%s", text);
    pool = pool_of(&template, 5);
    pool.child_max = 4;
    cr_assert_eq(troupe_supervisor_check(&pool, &text), TROUPE_EINVAL);
    cr_assert_eq(strncmp(text, "pool_size", 9), 0, "%s", text);
    pool = pool_of(&template, 5);
    pool.strategy = TROUPE_ONE_FOR_ONE;
    cr_assert_eq(troupe_supervisor_check(&pool, &text), TROUPE_EINVAL);
    cr_assert_eq(strncmp(text, "pool_size", 9), 0, "%s", text);
}

Test(crew, a_pool_may_be_added_to_a_tree_where_its_group_has_a_name, .timeout = 60)
{
    struct troupe_supervisor_spec added = pool_of(&template, 2);
    const struct troupe_child_spec child = {.id = "pool", .tree = &added};
    const struct troupe_supervisor_spec named = {.name = "top"};
    const struct troupe_supervisor_spec nameless = {.name = NULL};
    struct stage stage;
    troupe_pid top;

    added.name = NULL;
    stage_open(&stage, 2);
    top = start(stage.runtime, &named);
    cr_assert_eq(ask(stage.runtime, top, TROUPE_CHILD_START, NULL, &child).status, TROUPE_OK);
    cr_assert_eq(look(&stage, troupe_runtime_whereis(stage.runtime, "top.pool")).members, 2);
    top = start(stage.runtime, &nameless);
    cr_assert_eq(ask(stage.runtime, top, TROUPE_CHILD_START, NULL, &child).status, TROUPE_EINVAL);
    stage_close(&stage);
}

/* ---- nothing is lost, whoever comes and goes ---- */

#define SENDERS 4
#define EACH 20000

static _Atomic unsigned finished;

/* Sends in small steps, so that resizes come in between. */
static int sender_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    uint64_t *sent = state;
    uint64_t body = 1;

    (void)msg;
    for (unsigned i = 0; i < 50 && *sent < EACH; i++) {
        cr_assert_eq(
            troupe_group_send(self, "pool", (enum troupe_route)(*sent % 4), *sent, &work, &body),
            TROUPE_OK);
        ++*sent;
    }
    if (*sent == EACH) {
        finished++;
        return TROUPE_DONE;
    }
    return troupe_send(self, troupe_self(self), &pass, NULL);
}

static const struct troupe_behaviour sender = {
    .name = "sender",
    .state_size = sizeof(uint64_t),
    .receive = sender_receive,
    .capacity = STAGE_ROOM,
};

Test(crew, no_message_is_lost_while_the_pool_is_resized_all_the_time, .timeout = 120)
{
    struct test_random random = test_random_of(test_seed("crew"));
    struct stage stage;
    troupe_pid pool = open_pool(&stage, &template, 2);
    struct troupe_books books;

    finished = 0;
    for (unsigned i = 0; i < SENDERS; i++) {
        stage_send(&stage, stage_spawn(&stage, &sender, NULL), &pass, NULL);
    }
    while (finished < SENDERS) {
        cr_assert_eq(
            resize(&stage, pool, 1 + (uint32_t)test_below(&random, 8), TROUPE_FOREVER).status,
            TROUPE_OK);
    }
    STAGE_AWAIT(&stage, worked == SENDERS * EACH);
    cr_assert_eq(resize(&stage, pool, 0, TROUPE_FOREVER).handled, SENDERS * EACH);
    books = stage_books(&stage);
    cr_assert_eq(books.dead, 0);
    cr_assert_eq(books.bounced, 0);
    stage_close(&stage);
}
