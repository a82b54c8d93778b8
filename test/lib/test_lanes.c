/* SPDX-License-Identifier: MIT */
/* Lanes: mailboxes that choose what is handled next, by lanes and by senders in turn, and who has their room. */
#include "test/support/stage.h"

static const struct troupe_type number = TROUPE_TYPE(uint64_t);
static const struct troupe_type ask = TROUPE_TYPE(uint64_t);
static const struct troupe_type answer = TROUPE_TYPE(uint64_t);
static const struct troupe_type bytes = TROUPE_BYTES;

#define ROOM 16
#define SEEN_MAX 1024

/* ---- a receiver ---- */

struct seen {
    _Atomic unsigned count;
    uint64_t values[SEEN_MAX];
    bool fails; /* at the first message */
    unsigned downs;
    unsigned count_at_down;
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

/* Numbers: the hundreds are the lane, the rest is what it is about. */
static uint64_t value_of(const struct troupe_message *msg)
{
    return troupe_is(msg, &number) || troupe_is(msg, &ask) ? *(const uint64_t *)troupe_body(msg)
                                                           : 0;
}

static uint32_t hundreds(const struct troupe_message *msg)
{
    return (uint32_t)(value_of(msg) / 100);
}

static uint64_t last_digit(const struct troupe_message *msg)
{
    return value_of(msg) % 10;
}

#define MAILBOX(policy)                                                                            \
    {                                                                                              \
        .name = "lanes", .state_size = sizeof(struct seen *), .init = init, .receive = receive,    \
        .capacity = ROOM, .capacity_bytes = 16384, .overload = (policy)                            \
    }

static const struct troupe_overload three = {.lanes = 3, .lane = hundreds};
static const struct troupe_overload three_quick = {.lanes = 3, .lane = hundreds, .lane_burst = 3};
static const struct troupe_overload newest = {
    .policy = TROUPE_OVERLOAD_DROP_OLDEST, .lanes = 3, .lane = hundreds};
static const struct troupe_overload latest = {
    .policy = TROUPE_OVERLOAD_CONFLATE, .key = last_digit, .lanes = 3, .lane = hundreds};
static const struct troupe_overload fair = {.by_sender = true};
static const struct troupe_overload fair_drop = {
    .policy = TROUPE_OVERLOAD_DROP_NEWEST, .by_sender = true};
static const struct troupe_overload fair_newest = {
    .policy = TROUPE_OVERLOAD_DROP_OLDEST, .by_sender = true};
static const struct troupe_overload fair_latest = {.policy = TROUPE_OVERLOAD_CONFLATE,
    .key = last_digit,
    .by_sender = true,
    .lanes = 2,
    .lane = hundreds};
static const struct troupe_behaviour plain = MAILBOX(&three);
static const struct troupe_behaviour quick = MAILBOX(&three_quick);
static const struct troupe_behaviour dropping = MAILBOX(&newest);
static const struct troupe_behaviour conflating = MAILBOX(&latest);
static const struct troupe_behaviour sharing = MAILBOX(&fair);
static const struct troupe_behaviour sharing_drop = MAILBOX(&fair_drop);
static const struct troupe_behaviour sharing_newest = MAILBOX(&fair_newest);
static const struct troupe_behaviour sharing_latest = MAILBOX(&fair_latest);

static const struct troupe_behaviour *const all[] = {&plain, &quick, &dropping, &conflating,
    &sharing, &sharing_drop, &sharing_newest, &sharing_latest};

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

/* ---- lanes ---- */

Test(lanes, what_is_in_the_first_lane_is_handled_first_and_each_lane_in_its_order, .timeout = 20)
{
    struct stage stage;
    struct seen seen = {0};
    troupe_pid pid;

    stage_open(&stage, TROUPE_NO_THREADS);
    pid = stage_spawn(&stage, &plain, &seen);
    put(&stage, pid, 201, 2);
    put(&stage, pid, 101, 2);
    put(&stage, pid, 1, 2);
    put(&stage, pid, 103, 1);
    put(&stage, pid, 3, 1);
    put(&stage, pid, 900, 1); /* too high: the last one */
    cr_assert_eq(look(&stage, pid).length, 9);
    cr_assert_eq(look(&stage, pid).lanes[0], 3);
    cr_assert_eq(look(&stage, pid).lanes[1], 3);
    cr_assert_eq(look(&stage, pid).lanes[2], 3);
    stage_run(&stage);
    expect(&seen, (const uint64_t[]){1, 2, 3, 101, 102, 103, 201, 202, 900, 0});
    cr_assert_eq(look(&stage, pid).length, 0);
    cr_assert_eq(look(&stage, pid).lanes[2], 0);
    cr_assert_eq(look(&stage, pid).length_max, 9);
    stage_close(&stage);
}

Test(lanes, for_each_one_that_waits_at_most_the_burst_of_lanes_before_it_are_handled, .timeout = 20)
{
    struct stage stage;
    struct seen seen = {0};
    troupe_pid pid;

    stage_open(&stage, TROUPE_NO_THREADS);
    pid = stage_spawn(&stage, &quick, &seen);
    put(&stage, pid, 201, 3);
    put(&stage, pid, 101, 3);
    put(&stage, pid, 1, 10);
    stage_run(&stage);
    expect(
        &seen, (const uint64_t[]){1, 2, 3, 201, 101, 4, 5, 202, 6, 102, 7, 203, 8, 9, 103, 10, 0});
    stage_close(&stage);
}

Test(lanes, without_saying_so_the_burst_is_32, .timeout = 20)
{
    struct troupe_behaviour large = plain;
    struct stage stage;
    struct seen seen = {0};
    troupe_pid pid;

    large.capacity = 100;
    stage_open(&stage, TROUPE_NO_THREADS);
    pid = stage_spawn(&stage, &large, &seen);
    put(&stage, pid, 201, 1);
    put(&stage, pid, 1, 50);
    stage_run(&stage);
    cr_assert_eq(seen.values[31], 32);
    cr_assert_eq(seen.values[32], 201);
    cr_assert_eq(seen.values[33], 33);
    stage_close(&stage);
}

static uint32_t as_it_says(const struct troupe_message *msg)
{
    return (uint32_t)value_of(msg) % TROUPE_LANES_MAX;
}

Test(lanes, the_first_lane_keeps_a_third_of_the_turns, .timeout = 20)
{
    static const struct troupe_overload eight = {
        .lanes = TROUPE_LANES_MAX, .lane = as_it_says, .lane_burst = TROUPE_LANES_MAX};
    struct troupe_behaviour large = plain;
    struct stage stage;
    struct seen seen = {0};
    unsigned first = 0;
    troupe_pid pid;

    large.capacity = 800;
    large.capacity_bytes = 0;
    large.overload = &eight;
    stage_open(&stage, TROUPE_NO_THREADS);
    pid = stage_spawn(&stage, &large, &seen);
    put(&stage, pid, 0, 800);
    stage_run(&stage);
    cr_assert_eq(seen.count, 800);
    for (unsigned i = 0; i < 270; i++) {
        first += seen.values[i] % TROUPE_LANES_MAX == 0;
    }
    cr_assert_geq(first, 90, "%u", first);
    stage_close(&stage);
}

Test(lanes, a_full_mailbox_that_refuses_refuses_whatever_the_lane, .timeout = 20)
{
    struct stage stage;
    struct seen seen = {0};
    troupe_pid pid;

    stage_open(&stage, TROUPE_NO_THREADS);
    pid = stage_spawn(&stage, &plain, &seen);
    put(&stage, pid, 201, ROOM);
    cr_assert_eq(stage_try_send(&stage, pid, &number, &(uint64_t){1}), TROUPE_EFULL);
    stage_run(&stage);
    cr_assert_eq(seen.count, ROOM);
    put(&stage, pid, 1, ROOM);
    cr_assert_eq(stage_try_send(&stage, pid, &number, &(uint64_t){1}), TROUPE_EFULL);
    stage_close(&stage);
}

Test(lanes, the_oldest_of_the_last_lane_makes_room, .timeout = 20)
{
    struct stage stage;
    struct seen seen = {0};
    troupe_pid pid;

    stage_open(&stage, TROUPE_NO_THREADS);
    pid = stage_spawn(&stage, &dropping, &seen);
    put(&stage, pid, 1, ROOM - 3);
    put(&stage, pid, 201, 2);
    put(&stage, pid, 101, 1);
    put(&stage, pid, 20, 1);
    put(&stage, pid, 203, 1);
    cr_assert_eq(look(&stage, pid).sheds[TROUPE_SHED_OLDEST], 2);
    cr_assert_eq(look(&stage, pid).length, ROOM);
    put(&stage, pid, 21, 2);
    stage_run(&stage);
    /* 201, 202, 203 and 101 are gone. */
    expect(&seen, (const uint64_t[]){1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 20, 21, 22, 0});
    stage_close(&stage);
}

Test(lanes, a_new_one_goes_itself_when_all_others_are_of_lanes_before_it, .timeout = 20)
{
    struct stage stage;
    struct seen seen = {0};
    troupe_pid pid;

    stage_open(&stage, TROUPE_NO_THREADS);
    pid = stage_spawn(&stage, &dropping, &seen);
    put(&stage, pid, 1, ROOM);
    put(&stage, pid, 201, 5);
    cr_assert_eq(look(&stage, pid).sheds[TROUPE_SHED_OLDEST], 5);
    put(&stage, pid, 31, 1);
    stage_run(&stage);
    cr_assert_eq(seen.count, ROOM);
    cr_assert_eq(seen.values[0], 2);
    cr_assert_eq(seen.values[ROOM - 1], 31);
    stage_close(&stage);
}

Test(lanes, a_key_belongs_to_its_lane, .timeout = 20)
{
    struct stage stage;
    struct seen seen = {0};
    troupe_pid pid;

    stage_open(&stage, TROUPE_NO_THREADS);
    pid = stage_spawn(&stage, &conflating, &seen);
    put(&stage, pid, 101, 2);
    put(&stage, pid, 1, 2);
    put(&stage, pid, 11, 1);
    put(&stage, pid, 112, 1);
    cr_assert_eq(look(&stage, pid).sheds[TROUPE_SHED_CONFLATED], 2);
    stage_run(&stage);
    expect(&seen, (const uint64_t[]){11, 2, 101, 112, 0});
    stage_close(&stage);
}

/* ---- senders, one after the other, before the receiver runs ---- */

struct plan {
    troupe_pid self; /* a puppet */
    troupe_pid to;
    const struct troupe_type *type;
    uint64_t first;
    unsigned count;
    size_t size; /* of a body of bytes */
    unsigned accepted;
    int error; /* of a batch */
    struct plan *next;
};

static int send_plan(struct troupe_actor *self, const struct plan *plan, uint64_t value)
{
    static const unsigned char zeros[16384];

    return plan->size > 0 ? troupe_send_bytes(self, plan->to, &bytes, zeros, plan->size)
                          : troupe_send(self, plan->to, &number, &value);
}

/* The next one is in the place of the receiver in the slot of those that run at once. */
static int follow_plan(struct troupe_actor *self, void *arg)
{
    struct plan *plan = arg;

    for (uint64_t i = plan->first; i < plan->first + plan->count; i++) {
        plan->accepted += send_plan(self, plan, i) == TROUPE_OK;
    }
    return plan->next != NULL ? troupe_send(self, plan->next->self, &stage_job,
                                    &(struct stage_job){.run = follow_plan, .arg = plan->next})
                              : TROUPE_OK;
}

static void follow_plans(struct stage *stage, troupe_pid to, struct plan *plans, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        plans[i].self = stage_spawn(stage, &stage_puppet, NULL);
        plans[i].to = to;
        plans[i].next = i + 1 < count ? &plans[i + 1] : NULL;
    }
    stage_run(stage);
    stage_tell(stage, plans[0].self, follow_plan, &plans[0]);
    stage_run(stage);
}

Test(lanes, senders_take_turns_however_much_one_of_them_has_queued, .timeout = 20)
{
    struct stage stage;
    struct seen seen = {0};
    struct plan plans[] = {
        {.first = 10, .count = 6}, {.first = 20, .count = 2}, {.first = 30, .count = 1}};
    troupe_pid pid;

    stage_open(&stage, TROUPE_NO_THREADS);
    pid = stage_spawn(&stage, &sharing, &seen);
    stage_run(&stage);
    follow_plans(&stage, pid, plans, 3);
    expect(&seen, (const uint64_t[]){10, 20, 30, 11, 21, 12, 13, 14, 15, 0});
    stage_close(&stage);
}

Test(lanes, one_that_floods_is_refused_at_half_of_the_room_and_others_are_not, .timeout = 20)
{
    struct stage stage;
    struct seen seen = {0};
    struct plan plans[] = {
        {.first = 10, .count = 2 * ROOM}, {.first = 50, .count = 3}, {.first = 60, .count = 1}};
    troupe_pid pid;

    stage_open(&stage, TROUPE_NO_THREADS);
    pid = stage_spawn(&stage, &sharing, &seen);
    stage_run(&stage);
    follow_plans(&stage, pid, plans, 3);
    cr_assert_eq(plans[0].accepted, ROOM / 2);
    cr_assert_eq(plans[1].accepted, 3);
    cr_assert_eq(plans[2].accepted, 1);
    cr_assert_eq(seen.count, ROOM / 2 + 4);
    stage_close(&stage);
}

Test(lanes, the_newest_of_whoever_floods_are_dropped, .timeout = 20)
{
    struct stage stage;
    struct seen seen = {0};
    struct plan plans[] = {{.first = 10, .count = ROOM}, {.first = 50, .count = 3}};
    troupe_pid pid;

    stage_open(&stage, TROUPE_NO_THREADS);
    pid = stage_spawn(&stage, &sharing_drop, &seen);
    stage_run(&stage);
    follow_plans(&stage, pid, plans, 2);
    cr_assert_eq(plans[0].accepted, ROOM);
    cr_assert_eq(look(&stage, pid).sheds[TROUPE_SHED_NEWEST], ROOM / 2);
    expect(&seen, (const uint64_t[]){10, 50, 11, 51, 12, 52, 13, 14, 15, 16, 17, 0});
    stage_close(&stage);
}

Test(lanes, the_oldest_of_whoever_floods_make_room, .timeout = 20)
{
    struct stage stage;
    struct seen seen = {0};
    struct plan plans[] = {
        {.first = 50, .count = 3}, {.first = 10, .count = 3 * ROOM}, {.first = 60, .count = 2}};
    troupe_pid pid;

    stage_open(&stage, TROUPE_NO_THREADS);
    pid = stage_spawn(&stage, &sharing_newest, &seen);
    stage_run(&stage);
    follow_plans(&stage, pid, plans, 3);
    cr_assert_eq(look(&stage, pid).sheds[TROUPE_SHED_OLDEST], 2 * ROOM + 5);
    cr_assert_eq(seen.count, ROOM);
    cr_assert_eq(seen.values[0], 50);
    cr_assert_eq(seen.values[1], 10 + 2 * ROOM + 5);
    cr_assert_eq(seen.values[2], 60);
    cr_assert_eq(seen.values[3], 51);
    cr_assert_eq(seen.values[5], 61);
    cr_assert_eq(seen.values[6], 52);
    cr_assert_eq(seen.values[ROOM - 1], 10 + 3 * ROOM - 1);
    stage_close(&stage);
}

Test(lanes, who_has_most_has_it_in_bytes_as_well, .timeout = 20)
{
    struct stage stage;
    struct seen seen = {0};
    struct plan plans[] = {
        {.first = 1, .count = 3}, {.count = 5, .size = 4000}, {.first = 4, .count = 2}};
    troupe_pid pid;

    stage_open(&stage, TROUPE_NO_THREADS);
    pid = stage_spawn(&stage, &sharing_newest, &seen);
    stage_run(&stage);
    follow_plans(&stage, pid, plans, 3);
    cr_assert_eq(look(&stage, pid).sheds[TROUPE_SHED_OLDEST], 2);
    expect(&seen, (const uint64_t[]){1, 4000, 4, 2, 4000, 5, 3, 4000, 0});
    stage_close(&stage);
}

Test(lanes, what_takes_the_place_of_another_takes_over_its_turn, .timeout = 20)
{
    struct stage stage;
    struct seen seen = {0};
    struct plan plans[] = {{.first = 11, .count = 3}, {.first = 22, .count = 3}};
    troupe_pid pid;

    stage_open(&stage, TROUPE_NO_THREADS);
    pid = stage_spawn(&stage, &sharing_latest, &seen);
    stage_run(&stage);
    follow_plans(&stage, pid, plans, 2);
    expect(&seen, (const uint64_t[]){11, 24, 22, 23, 0});
    stage_close(&stage);
}

static int send_batch(struct troupe_actor *self, void *arg)
{
    struct plan *plan = arg;
    struct troupe_message *msgs[ROOM];

    for (uint64_t i = 0; i < plan->count; i++) {
        TROUPE_TRY(troupe_message_create(troupe_runtime_of(self), &number, 0, &msgs[i]));
        *(uint64_t *)troupe_body(msgs[i]) = plan->first + i;
    }
    plan->error = troupe_send_batch(self, plan->to, msgs, plan->count);
    for (unsigned i = 0; plan->error < 0 && i < plan->count; i++) {
        troupe_message_destroy(msgs[i]);
    }
    return TROUPE_OK;
}

Test(lanes, a_batch_that_is_more_than_its_senders_share_is_refused_as_a_whole, .timeout = 20)
{
    struct stage stage;
    struct seen seen = {0};
    struct plan plan = {.first = 1, .count = ROOM / 2 + 1};
    troupe_pid puppet;

    stage_open(&stage, TROUPE_NO_THREADS);
    plan.to = stage_spawn(&stage, &sharing, &seen);
    puppet = stage_spawn(&stage, &stage_puppet, NULL);
    cr_assert_eq(stage_do(&stage, puppet, send_batch, &plan), TROUPE_OK);
    cr_assert_eq(plan.error, TROUPE_EFULL);
    cr_assert_eq(seen.count, 0);
    plan.count = ROOM / 2;
    cr_assert_eq(stage_do(&stage, puppet, send_batch, &plan), TROUPE_OK);
    cr_assert_eq(plan.error, TROUPE_OK);
    expect(&seen, (const uint64_t[]){1, 2, 3, 4, 5, 6, 7, 8, 0});
    stage_close(&stage);
}

/* ---- those who wait for room ---- */

struct patient {
    struct plan *next;
    troupe_pid to;
    unsigned sent;
};

/* Lets the next one run while it waits. */
static int send_patiently(struct troupe_actor *self, const void *arg)
{
    struct patient *patient = (struct patient *)(uintptr_t)arg;
    struct stage_job job = {.run = follow_plan, .arg = patient->next};

    for (uint64_t i = 10; i < 10 + 2 * ROOM; i++) {
        if (i == 12) {
            TROUPE_TRY(troupe_send(self, patient->next->self, &stage_job, &job));
        }
        TROUPE_TRY(troupe_send_within(self, patient->to, &number, &i, 10000));
        patient->sent++;
    }
    return TROUPE_OK;
}

static const struct troupe_behaviour patient_behaviour = {
    .name = "patient", .main = send_patiently};

Test(lanes, who_waits_for_more_than_its_share_keeps_nobody_out, .timeout = 20)
{
    struct stage stage;
    struct seen seen = {0};
    struct plan plan = {.first = 1, .count = 3};
    struct patient patient = {.next = &plan};
    troupe_pid pid;

    stage_open(&stage, TROUPE_NO_THREADS);
    pid = stage_spawn(&stage, &sharing, &seen);
    stage_run(&stage);
    plan.self = stage_spawn(&stage, &stage_puppet, NULL);
    plan.to = pid;
    patient.to = pid;
    stage_spawn(&stage, &patient_behaviour, &patient);
    stage_run(&stage);
    cr_assert_eq(plan.accepted, 3, "%u", plan.accepted);
    cr_assert_eq(patient.sent, 2 * ROOM);
    cr_assert_eq(seen.count, 2 * ROOM + 3);
    cr_assert_eq(look(&stage, pid).waiters, 0);
    /* Of each sender in its order. */
    for (unsigned i = 1, before = 0; i < seen.count; i++) {
        if (seen.values[i] >= 10) {
            cr_assert_gt(seen.values[i], before);
            before = (unsigned)seen.values[i];
        }
    }
    stage_close(&stage);
}

/* A mailbox that its senders keep more than half full: each sends one more for each that was handled. */
#define PUMPS 5
#define PUMPED 2000
#define WINDOW 36
#define LARGE_ROOM 256

struct pump {
    troupe_pid to;
    unsigned left;
};

struct busy {
    unsigned handled;
    unsigned handled_when_sent; /* the last one of whoever waited */
};

static int pump_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct pump *pump = *(struct pump **)state;
    unsigned count = troupe_is(msg, &number) ? 1 : WINDOW;

    while (count-- > 0 && pump->left > 0) {
        int error = troupe_send(self, pump->to, &ask, &(uint64_t){1});

        /* One that has its share goes on with what it has queued. */
        pump->left -= error == TROUPE_OK;
        TROUPE_TRY(error == TROUPE_EFULL ? TROUPE_OK : error);
    }
    return TROUPE_OK;
}

static int pump_init(struct troupe_actor *self, void *state, const void *arg)
{
    (void)self;
    *(struct pump **)state = (struct pump *)(uintptr_t)arg;
    return TROUPE_OK;
}

static const struct troupe_behaviour pump_behaviour = {.name = "pump",
    .state_size = sizeof(struct pump *),
    .init = pump_init,
    .receive = pump_receive,
    .capacity = LARGE_ROOM}; /* an answer to each that it has sent */

static int busy_init(struct troupe_actor *self, void *state, const void *arg)
{
    (void)self;
    *(struct busy **)state = (struct busy *)(uintptr_t)arg;
    return TROUPE_OK;
}

static int busy_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct busy *busy = *(struct busy **)state;

    if (troupe_is(msg, &ask)) {
        busy->handled++;
        return troupe_send(self, troupe_sender(msg), &number, &(uint64_t){1});
    }
    busy->handled_when_sent = busy->handled;
    return TROUPE_OK;
}

static const struct troupe_behaviour busy_behaviour = {.name = "busy",
    .state_size = sizeof(struct busy *),
    .init = busy_init,
    .receive = busy_receive,
    .capacity = LARGE_ROOM,
    .overload = &fair};

static int wait_among_others(struct troupe_actor *self, const void *arg)
{
    for (uint64_t i = 0; i < 100; i++) {
        TROUPE_TRY(troupe_send_within(self, *(const troupe_pid *)arg, &number, &i, 10000));
    }
    return TROUPE_OK;
}

static const struct troupe_behaviour waiting_behaviour = {
    .name = "waiting", .main = wait_among_others};

Test(lanes, who_waits_gets_room_though_others_keep_the_mailbox_more_than_half_full, .timeout = 60)
{
    struct stage stage;
    struct busy busy = {0};
    struct pump pumps[PUMPS];
    troupe_pid to;

    stage_open(&stage, TROUPE_NO_THREADS);
    to = stage_spawn(&stage, &busy_behaviour, &busy);
    for (unsigned i = 0; i < PUMPS; i++) {
        pumps[i] = (struct pump){to, PUMPED};
        stage_send(&stage, stage_spawn(&stage, &pump_behaviour, &pumps[i]), &ask, &(uint64_t){1});
    }
    stage_spawn(&stage, &waiting_behaviour, &to);
    stage_run(&stage);
    cr_assert_eq(busy.handled, PUMPS * PUMPED);
    cr_assert_gt(busy.handled_when_sent, 0);
    cr_assert_lt(busy.handled_when_sent, PUMPS * PUMPED / 2, "%u", busy.handled_when_sent);
    stage_close(&stage);
}

/* ---- requests ---- */

struct asker {
    troupe_pid to;
    unsigned count;
    unsigned ok;
    unsigned shed;
    unsigned full;
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
        uint64_t value = i * 10 + i % 10;
        int error = troupe_request(self, asker->to, &ask, &value, 10000, told, asker);

        cr_assert(error == TROUPE_OK || error == TROUPE_EFULL);
        asker->full += error == TROUPE_EFULL;
    }
    return TROUPE_OK;
}

Test(lanes, each_request_has_one_outcome, .timeout = 20)
{
    for (size_t i = 0; i < TROUPE_COUNT(all); i++) {
        struct stage stage;
        struct seen seen = {0};
        struct asker asker = {.count = 53};
        troupe_pid puppet;

        stage_open(&stage, TROUPE_NO_THREADS);
        puppet = stage_spawn(&stage, &stage_puppet, NULL);
        asker.to = stage_spawn(&stage, all[i], &seen);
        stage_tell(&stage, puppet, ask_all, &asker);
        stage_run(&stage);
        cr_assert_eq(asker.ok, seen.count, "%zu", i);
        cr_assert_gt(asker.ok, 0);
        cr_assert_eq(asker.ok + asker.shed + asker.full, 53, "%zu", i);
        cr_assert_gt(asker.shed + asker.full, 0);
        stage_close(&stage);
    }
}

/* ---- order that is given up, and order that is not ---- */

static int watch(struct troupe_actor *self, void *arg)
{
    troupe_ref ref;

    return troupe_monitor(self, *(troupe_pid *)arg, &ref);
}

static int send_and_end(struct troupe_actor *self, void *arg)
{
    for (uint64_t i = 1; i <= 5; i++) {
        TROUPE_TRY(troupe_send(self, *(troupe_pid *)arg, &number, &i));
    }
    return TROUPE_DONE;
}

Test(lanes, of_one_lane_and_one_sender_no_notice_overtakes_the_last_message, .timeout = 20)
{
    const struct troupe_behaviour *behaviours[] = {&plain, &sharing};

    for (size_t i = 0; i < TROUPE_COUNT(behaviours); i++) {
        struct stage stage;
        struct seen seen = {0};
        troupe_pid puppet;
        troupe_pid pid;

        stage_open(&stage, TROUPE_NO_THREADS);
        pid = stage_spawn(&stage, behaviours[i], &seen);
        puppet = stage_spawn(&stage, &stage_puppet, NULL);
        cr_assert_eq(stage_do(&stage, pid, watch, &puppet), TROUPE_OK);
        stage_tell(&stage, puppet, send_and_end, &pid);
        stage_run(&stage);
        cr_assert_eq(seen.downs, 1);
        cr_assert_eq(seen.count_at_down, 5);
        stage_close(&stage);
    }
}

static int make_alias(struct troupe_actor *self, void *arg)
{
    return troupe_alias(self, TROUPE_ALIAS_EXPLICIT, 0, arg);
}

Test(lanes, through_an_alias_messages_come_in_their_order_and_into_the_same_room, .timeout = 20)
{
    struct stage stage;
    struct seen seen = {0};
    troupe_pid pid;
    troupe_pid alias;

    stage_open(&stage, TROUPE_NO_THREADS);
    pid = stage_spawn(&stage, &plain, &seen);
    cr_assert_eq(stage_do(&stage, pid, make_alias, &alias), TROUPE_OK);
    put(&stage, alias, 201, ROOM - 1);
    put(&stage, pid, 1, 1);
    cr_assert_eq(stage_try_send(&stage, alias, &number, &(uint64_t){9}), TROUPE_EFULL);
    cr_assert_eq(stage_try_send(&stage, pid, &number, &(uint64_t){9}), TROUPE_EFULL);
    stage_run(&stage);
    cr_assert_eq(seen.count, ROOM);
    cr_assert_eq(seen.values[0], 201);
    cr_assert_eq(seen.values[ROOM - 1], 1);
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

Test(lanes, every_body_ends_once, .timeout = 20)
{
    for (size_t i = 0; i < TROUPE_COUNT(all); i++) {
        struct stage stage;
        struct seen seen = {0};
        unsigned destroyed = 0;
        troupe_pid pid;

        stage_open(&stage, TROUPE_NO_THREADS);
        pid = stage_spawn(&stage, all[i], &seen);
        for (uint64_t k = 1; k <= 2 * ROOM; k++) {
            (void)stage_try_send(&stage, pid, &cargo, &(struct cargo){k, &destroyed});
        }
        cr_assert_geq(destroyed, ROOM);
        cr_assert_eq(troupe_runtime_exit(stage.runtime, pid, TROUPE_EXIT_KILL), TROUPE_OK);
        stage_run(&stage);
        cr_assert_eq(seen.count, 0);
        cr_assert_eq(destroyed, 2 * ROOM);
        stage_close(&stage);
        cr_assert_eq(destroyed, 2 * ROOM);
    }
}

Test(lanes, what_stands_in_them_waits_for_the_next_life_at_its_address, .timeout = 20)
{
    const struct troupe_behaviour *behaviours[] = {&plain, &sharing};

    for (size_t i = 0; i < TROUPE_COUNT(behaviours); i++) {
        struct stage stage;
        struct seen seen = {.fails = true};
        struct troupe_child_spec child = {
            .id = "lanes", .behaviour = behaviours[i], .arg = &seen, .keep_mailbox = true};
        struct troupe_supervisor_spec spec = {.name = "tree", .children = &child, .child_count = 1};
        troupe_pid root;

        stage_open(&stage, 1);
        cr_assert_eq(troupe_supervisor_start(stage.runtime, &spec, 10000, &root), TROUPE_OK);
        put(&stage, seen.pid, 1, 5);
        STAGE_AWAIT(&stage, seen.count == 5);
        STAGE_AWAIT(&stage, look(&stage, seen.pid).length == 0);
        put(&stage, seen.pid, 6, 5);
        STAGE_AWAIT(&stage, seen.count == 10);
        STAGE_AWAIT(&stage, look(&stage, seen.pid).length == 0);
        stage_close(&stage);
    }
}

/* ---- in general ---- */

Test(lanes, a_behaviour_that_cannot_have_them_is_refused, .timeout = 20)
{
    static const struct troupe_overload one = {.lanes = 1, .lane = hundreds};
    static const struct troupe_overload many = {.lanes = TROUPE_LANES_MAX + 1, .lane = hundreds};
    static const struct troupe_overload laneless = {.lanes = 2};
    static const struct troupe_overload useless = {.lane = hundreds};
    static const struct troupe_overload hasty = {.lanes = 3, .lane = hundreds, .lane_burst = 2};
    static const struct troupe_overload burst = {.by_sender = true, .lane_burst = 40};
    static const struct troupe_overload ageing = {.by_sender = true, .codel = true};
    static const struct troupe_overload mortal = {
        .by_sender = true, .policy = TROUPE_OVERLOAD_EXIT};
    struct troupe_behaviour wrong[] = {MAILBOX(&one), MAILBOX(&many), MAILBOX(&laneless),
        MAILBOX(&useless), MAILBOX(&hasty), MAILBOX(&burst), MAILBOX(&ageing), MAILBOX(&fair),
        MAILBOX(&three), MAILBOX(&mortal)};
    struct stage stage;
    troupe_pid pid;

    wrong[7].may_wait = true;
    wrong[8].may_wait = true;
    stage_open(&stage, TROUPE_NO_THREADS);
    for (size_t i = 0; i < TROUPE_COUNT(wrong); i++) {
        cr_assert_eq(stage_try_spawn(&stage, &wrong[i], NULL, &pid), TROUPE_EINVAL, "%zu", i);
    }
    stage_close(&stage);
}

Test(lanes, a_spawn_without_memory_for_them_leaves_nothing, .timeout = 20)
{
    for (size_t i = 0; i < TROUPE_COUNT(all); i++) {
        struct stage stage;
        struct seen seen = {0};
        bool failed = true;

        stage_open(&stage, TROUPE_NO_THREADS);
        for (unsigned k = 1; failed; k++) {
            uint64_t calls = stage.memory.calls;
            troupe_pid pid;
            int error;

            test_allocator_fail_mine(k);
            error = stage_try_spawn(&stage, all[i], &seen, &pid);
            test_allocator_fail_mine(0);
            failed = stage.memory.calls - calls >= k;
            cr_assert_eq(error, failed ? TROUPE_ENOMEM : TROUPE_OK);
        }
        stage_close(&stage);
    }
}

/* ---- with threads ---- */

#define SENDERS 3
#define SENT 3000

struct flood {
    struct stage *stage;
    troupe_pid to;
    bool waits;
    _Atomic unsigned tried;
    _Atomic unsigned taken;
};

static int send_one(struct flood *flood, uint64_t value)
{
    struct troupe_message *msg = stage_message(flood->stage, &number, &value);
    int error = flood->waits ? troupe_send_wait(flood->stage->runtime, flood->to, msg, 10000)
                             : troupe_try_send(flood->stage->runtime, flood->to, msg);

    if (error < 0) {
        troupe_message_destroy(msg);
    }
    return error;
}

static void *flood(void *arg)
{
    struct flood *flood = arg;

    for (uint64_t i = 1; i <= SENT; i++) {
        int error = send_one(flood, i % 300);

        cr_assert(error == TROUPE_OK || error == TROUPE_EFULL || error == TROUPE_EGONE);
        flood->tried++;
        flood->taken += error == TROUPE_OK;
    }
    return NULL;
}

static void flood_all(struct flood *to, troupe_pid killed)
{
    pthread_t threads[SENDERS];

    for (unsigned k = 0; k < SENDERS; k++) {
        cr_assert_eq(pthread_create(&threads[k], NULL, flood, to), 0);
    }
    while (killed != TROUPE_NOBODY && to->tried < SENT / 8) {
        sched_yield();
    }
    if (killed != TROUPE_NOBODY) {
        cr_assert_eq(troupe_runtime_exit(to->stage->runtime, killed, TROUPE_EXIT_KILL), TROUPE_OK);
    }
    for (unsigned k = 0; k < SENDERS; k++) {
        pthread_join(threads[k], NULL);
    }
}

Test(lanes, under_many_senders_each_message_is_handled_shed_or_refused, .timeout = 60)
{
    for (size_t i = 0; i < TROUPE_COUNT(all); i++) {
        struct stage stage;
        struct seen seen = {0};
        struct flood to = {.stage = &stage};

        stage_open(&stage, 2);
        to.to = stage_spawn(&stage, all[i], &seen);
        flood_all(&to, TROUPE_NOBODY);
        STAGE_AWAIT(&stage, stage_books(&stage).queued == 0);
        cr_assert_eq(seen.count + stage_books(&stage).shed, to.taken, "%zu", i);
        stage_close(&stage);
    }
}

Test(lanes, whoever_waits_for_room_gets_it, .timeout = 60)
{
    for (size_t i = 0; i < TROUPE_COUNT(all); i++) {
        struct stage stage;
        struct seen seen = {0};
        struct flood to = {.stage = &stage, .waits = true};

        stage_open(&stage, 2);
        to.to = stage_spawn(&stage, all[i], &seen);
        flood_all(&to, TROUPE_NOBODY);
        cr_assert_eq(to.taken, SENDERS * SENT, "%zu", i);
        STAGE_AWAIT(&stage, stage_books(&stage).queued == 0);
        cr_assert_eq(seen.count + stage_books(&stage).shed, SENDERS * SENT, "%zu", i);
        stage_close(&stage);
    }
}

/* ---- fibers that wait, and actors that do not ---- */

#define FIBERS 5
#define HASTY 2
#define EACH 400

struct crowd_member {
    troupe_pid to;
    _Atomic unsigned sent;
    _Atomic bool done;
    _Atomic uint64_t seen; /* the receiver's: the last one */
    _Atomic bool disordered;
};

struct crowd_note {
    struct crowd_member *from;
    uint64_t value;
};

static const struct troupe_type crowd_note = TROUPE_TYPE(struct crowd_note);

static int crowd_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    const struct crowd_note *note = troupe_body(msg);

    (void)self;
    (void)state;
    if (note->value <= note->from->seen) {
        note->from->disordered = true;
    }
    note->from->seen = note->value;
    return TROUPE_OK;
}

static int wait_in_crowd(struct troupe_actor *self, const void *arg)
{
    struct crowd_member *member = (struct crowd_member *)(uintptr_t)arg;

    for (uint64_t i = 1; i <= EACH; i++) {
        struct crowd_note note = {member, i};

        TROUPE_TRY(troupe_send_within(self, member->to, &crowd_note, &note, 30000));
        member->sent++;
    }
    member->done = true;
    return TROUPE_OK;
}

static int be_hasty(struct troupe_actor *self, const void *arg)
{
    struct crowd_member *member = (struct crowd_member *)(uintptr_t)arg;

    for (uint64_t i = 1; i <= EACH; i++) {
        struct crowd_note note = {member, i};
        int error = troupe_send(self, member->to, &crowd_note, &note);

        if (error == TROUPE_EFULL) {
            TROUPE_TRY(troupe_sleep(self, 0));
            continue;
        }
        TROUPE_TRY(error);
        member->sent++;
    }
    member->done = true;
    return TROUPE_OK;
}

static uint32_t all_in_the_second(const struct troupe_message *msg)
{
    (void)msg;
    return 1;
}

static const struct troupe_overload fair_lanes = {
    .by_sender = true, .lanes = 2, .lane = all_in_the_second};
static const struct troupe_overload two_lanes = {.lanes = 2, .lane = all_in_the_second};
static const struct troupe_behaviour crowd_fiber = {.name = "fiber", .main = wait_in_crowd};
static const struct troupe_behaviour crowd_hasty = {.name = "hasty", .main = be_hasty};

Test(lanes, of_many_that_wait_and_some_that_do_not_each_is_handled_in_its_order, .timeout = 60)
{
    const struct troupe_overload *overloads[] = {&fair, &fair_lanes, &two_lanes};

    for (size_t i = 0; i < TROUPE_COUNT(overloads); i++) {
        struct troupe_behaviour receiver = {
            .name = "crowded", .receive = crowd_receive, .capacity = 8, .overload = overloads[i]};
        struct crowd_member members[FIBERS + HASTY] = {{.to = TROUPE_NOBODY}};
        struct stage stage;
        troupe_pid to;

        stage_open(&stage, 2);
        to = stage_spawn(&stage, &receiver, NULL);
        for (unsigned k = 0; k < FIBERS + HASTY; k++) {
            members[k].to = to;
            stage_spawn(&stage, k < FIBERS ? &crowd_fiber : &crowd_hasty, &members[k]);
        }
        for (unsigned k = 0; k < FIBERS + HASTY; k++) {
            STAGE_AWAIT(&stage, members[k].done);
        }
        STAGE_AWAIT(&stage, stage_books(&stage).queued == 0);
        for (unsigned k = 0; k < FIBERS + HASTY; k++) {
            cr_assert(!members[k].disordered);
            cr_assert(k >= FIBERS || members[k].seen == EACH);
        }
        stage_close(&stage);
    }
}

/* stage_close() checks the books, and that all memory is back. */
Test(lanes, one_that_is_killed_while_others_send_loses_nothing_in_silence, .timeout = 60)
{
    for (unsigned round = 0; round < 40; round++) {
        struct stage stage;
        struct seen seen = {0};
        struct flood to = {.stage = &stage, .waits = round / TROUPE_COUNT(all) % 2 == 1};

        stage_open(&stage, 2);
        to.to = stage_spawn(&stage, all[round % TROUPE_COUNT(all)], &seen);
        flood_all(&to, to.to);
        stage_close(&stage);
    }
}
