/* SPDX-License-Identifier: MIT */
/* Timer: ticks as their owner sees them: when they come, how many, and what becomes of those that do not. */
#include "test/support/clock.h"
#include "test/support/hoard.h"
#include "test/support/random.h"
#include "test/support/stage.h"

#include <troupe/timer.h>

struct cargo {
    uint64_t value;
    _Atomic unsigned *destroyed;
};

static void cargo_destroy(void *body)
{
    const struct cargo *cargo = body;

    (*cargo->destroyed)++;
}

static const struct troupe_type tick = TROUPE_TYPE(uint64_t);
static const struct troupe_type cargo_tick = TROUPE_TYPE_DESTROY(struct cargo, cargo_destroy);

/* ---- one who gets ticks ---- */

#define TICKS_MAX 1024

struct clock {
    struct troupe_runtime *runtime;
    _Atomic unsigned count;
    uint64_t value[TICKS_MAX];
    uint64_t at_ns[TICKS_MAX];
    uint64_t missed[TICKS_MAX];
    troupe_pid sender;
    stage_job_fn on_tick; /* or NULL */
    void *arg;
};

static int clock_init(struct troupe_actor *self, void *state, const void *arg)
{
    struct clock *clock = (struct clock *)(uintptr_t)arg;

    *(struct clock **)state = clock;
    clock->runtime = troupe_runtime_of(self);
    return TROUPE_OK;
}

static int clock_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct clock *clock = *(struct clock **)state;
    int status;

    if (stage_is_job(self, msg, &status)) {
        return status;
    }
    if (clock->count < TICKS_MAX) {
        clock->value[clock->count] = troupe_body_size(msg) >= 8 ? *(uint64_t *)troupe_body(msg) : 0;
        clock->at_ns[clock->count] = troupe_now_ns(clock->runtime);
        clock->missed[clock->count] = troupe_tick_missed(msg);
    }
    clock->sender = troupe_sender(msg);
    clock->count++;
    return clock->on_tick != NULL ? clock->on_tick(self, clock->arg) : TROUPE_OK;
}

static const struct troupe_behaviour clock_behaviour = {.name = "clock",
    .state_size = sizeof(struct clock *),
    .init = clock_init,
    .receive = clock_receive};

/* Room for one message only: ticks do not count. */
static const struct troupe_behaviour narrow_clock = {.name = "narrow clock",
    .state_size = sizeof(struct clock *),
    .init = clock_init,
    .receive = clock_receive,
    .capacity = 1};

struct arming {
    uint64_t ms;
    bool periodic;
    const struct troupe_type *type;
    const void *body;
    struct troupe_timer timer;
    int result;
    int cancel_result;
    uint64_t armed_ns;
};

static int arm(struct troupe_actor *self, void *arg)
{
    struct arming *arming = arg;

    arming->armed_ns = troupe_now_ns(troupe_runtime_of(self));
    arming->result = (arming->periodic ? troupe_tick_every : troupe_tick_after)(
        self, arming->ms, arming->type, arming->body, &arming->timer);
    return TROUPE_OK;
}

static int cancel(struct troupe_actor *self, void *arg)
{
    struct arming *arming = arg;

    arming->cancel_result = troupe_timer_cancel(self, arming->timer);
    return TROUPE_OK;
}

/* In one message: no tick can come in between. */
static int arm_two(struct troupe_actor *self, void *arg)
{
    struct arming *armings = arg;

    (void)arm(self, &armings[0]);
    return arm(self, &armings[1]);
}

static int arm_two_cancel_one(struct troupe_actor *self, void *arg)
{
    struct arming *armings = arg;

    (void)arm_two(self, armings);
    (void)cancel(self, &armings[0]);
    armings[1].cancel_result = troupe_timer_cancel(self, armings[0].timer);
    return TROUPE_OK;
}

static int be_done(struct troupe_actor *self, void *arg)
{
    (void)self;
    (void)arg;
    return TROUPE_DONE;
}

static struct arming arming_of(uint64_t ms, const uint64_t *number)
{
    return (struct arming){.ms = ms, .type = &tick, .body = number, .result = 1};
}

static void arm_in(struct stage *stage, troupe_pid pid, struct arming *arming)
{
    (void)stage_do(stage, pid, arm, arming);
    cr_assert_eq(arming->result, TROUPE_OK);
}

static int cancel_in(struct stage *stage, troupe_pid pid, struct arming *arming)
{
    (void)stage_do(stage, pid, cancel, arming);
    return arming->cancel_result;
}

/* The clock is read before a timer is armed, which takes less than this. */
#define ARMED_WITHIN_NS 1000000000U

static const uint64_t numbers[] = {0, 1, 2, 3, 4, 5, 6, 7};

/* ---- once ---- */

Test(timer, a_tick_comes_once_with_its_body_and_never_early, .timeout = 60)
{
    struct stage stage;
    static struct clock clock;
    struct arming arming = arming_of(20, &numbers[7]);
    troupe_pid pid;

    stage_open(&stage, TROUPE_NO_THREADS);
    pid = stage_spawn(&stage, &clock_behaviour, &clock);
    arm_in(&stage, pid, &arming);
    cr_assert_eq(clock.count, 0);
    STAGE_AWAIT(&stage, clock.count > 0);
    cr_assert_eq(clock.value[0], 7);
    cr_assert_geq(clock.at_ns[0] - arming.armed_ns, 20000000);
    cr_assert_eq(clock.sender, pid);
    cr_assert_eq(clock.missed[0], 0);
    clock_skip_ms(30);
    stage_run(&stage);
    cr_assert_eq(clock.count, 1);
    stage_close(&stage);
}

Test(timer, of_many_delays_none_is_early_and_ticks_come_in_order, .timeout = 60)
{
    struct stage stage;
    static struct clock clock;
    static struct arming armings[200];
    static uint64_t indexes[200];
    struct test_random random = test_random_of(test_seed("of_many_delays"));
    troupe_pid pid;

    stage_open(&stage, 2);
    pid = stage_spawn(&stage, &clock_behaviour, &clock);
    for (uint64_t i = 0; i < 200; i++) {
        indexes[i] = i;
        armings[i] = arming_of(test_below(&random, 90), &indexes[i]);
        arm_in(&stage, pid, &armings[i]);
    }
    STAGE_AWAIT(&stage, clock.count >= 200);
    stage_close(&stage);
    cr_assert_eq(clock.count, 200);
    for (unsigned i = 0; i < 200; i++) {
        const struct arming *arming = &armings[clock.value[i]];

        cr_assert_geq(clock.at_ns[i] - arming->armed_ns, arming->ms * 1000000);
        cr_assert_eq(indexes[clock.value[i]], clock.value[i]);
        indexes[clock.value[i]] = UINT64_MAX; /* each once */
    }
}

enum { SHUFFLED = 200 };

struct shuffled {
    struct test_random random;
    uint64_t delay_ms[SHUFFLED];
};

static int arm_shuffled(struct troupe_actor *self, void *arg)
{
    struct shuffled *shuffled = arg;

    for (uint64_t i = 0; i < SHUFFLED; i++) {
        shuffled->delay_ms[i] = test_below(&shuffled->random, 5000);
        TROUPE_TRY(troupe_tick_after(self, shuffled->delay_ms[i], &tick, &i, NULL));
    }
    return TROUPE_OK;
}

/* 3.2: also if all are overdue when somebody looks.  Delays begin at most some milliseconds apart. */
Test(timer, ticks_that_are_late_together_come_in_the_order_in_which_they_were_due, .timeout = 60)
{
    struct stage stage;
    static struct clock clock;
    static struct shuffled shuffled;
    uint64_t apart_ms;
    troupe_pid pid;

    shuffled.random = test_random_of(test_seed("ticks_that_are_late_together"));
    stage_open(&stage, TROUPE_NO_THREADS);
    pid = stage_spawn(&stage, &clock_behaviour, &clock);
    apart_ms = troupe_now_ns(stage.runtime);
    cr_assert_eq(stage_do(&stage, pid, arm_shuffled, &shuffled), TROUPE_OK);
    apart_ms = (troupe_now_ns(stage.runtime) - apart_ms) / 1000000 + 1;
    clock_skip_ms(6000);
    STAGE_AWAIT(&stage, clock.count == SHUFFLED);
    stage_close(&stage);
    for (unsigned i = 1; i < SHUFFLED; i++) {
        cr_assert_leq(shuffled.delay_ms[clock.value[i - 1]],
            shuffled.delay_ms[clock.value[i]] + apart_ms, "tick %u", i);
    }
}

Test(timer, a_delay_of_zero_ticks_soon_but_not_inside_the_call, .timeout = 60)
{
    struct stage stage;
    static struct clock clock;
    struct arming arming = arming_of(0, &numbers[1]);
    troupe_pid pid;

    stage_open(&stage, TROUPE_NO_THREADS);
    pid = stage_spawn(&stage, &clock_behaviour, &clock);
    arm_in(&stage, pid, &arming);
    STAGE_AWAIT(&stage, clock.count == 1);
    stage_close(&stage);
}

Test(timer, a_tick_enters_a_full_mailbox, .timeout = 60)
{
    struct stage stage;
    static struct clock clock;
    struct arming arming = arming_of(1, &numbers[1]);
    troupe_pid pid;

    stage_open(&stage, TROUPE_NO_THREADS);
    pid = stage_spawn(&stage, &narrow_clock, &clock);
    arm_in(&stage, pid, &arming);
    stage_send(&stage, pid, &tick, &numbers[2]);
    cr_assert_eq(stage_try_send(&stage, pid, &tick, &numbers[3]), TROUPE_EFULL);
    /* Time passes and nothing runs: the tick comes when the mailbox is still full. */
    clock_skip_ms(3);
    STAGE_AWAIT(&stage, clock.count == 2);
    cr_assert_eq(clock.value[0] + clock.value[1], 3);
    stage_close(&stage);
}

/* ---- what is left: 3.4 ---- */

struct looking {
    struct arming *arming;
    int result;
    uint64_t left_ms;
    uint64_t before_ns;
    uint64_t after_ns;
};

static int look(struct troupe_actor *self, void *arg)
{
    struct looking *looking = arg;

    looking->before_ns = troupe_now_ns(troupe_runtime_of(self));
    looking->result = troupe_timer_left(self, looking->arming->timer, &looking->left_ms);
    looking->after_ns = troupe_now_ns(troupe_runtime_of(self));
    return TROUPE_OK;
}

static struct looking look_in(struct stage *stage, troupe_pid pid, struct arming *arming)
{
    struct looking looking = {.arming = arming, .result = 1, .left_ms = 4711};

    (void)stage_do(stage, pid, look, &looking);
    return looking;
}

/* Its tick comes `delay_ms` after it was armed, at the next whole millisecond: what is left leads there, and not further. */
static void expect_left(struct looking looking, uint64_t due_ns)
{
    cr_assert_eq(looking.result, TROUPE_OK);
    cr_assert_geq(looking.after_ns + looking.left_ms * 1000000, due_ns);
    cr_assert_lt(looking.before_ns + looking.left_ms * 1000000, due_ns + 3000000 + ARMED_WITHIN_NS);
}

/* 3.4: the remaining time, or no such timer; and it ticks all the same. */
Test(timer, what_a_timer_has_left_leads_to_its_tick, .timeout = 60)
{
    struct stage stage;
    static struct clock clock;
    struct arming arming = arming_of(60000, &numbers[1]);
    uint64_t due_ns;
    troupe_pid pid;

    stage_open(&stage, TROUPE_NO_THREADS);
    pid = stage_spawn(&stage, &clock_behaviour, &clock);
    arm_in(&stage, pid, &arming);
    due_ns = arming.armed_ns + 60000 * UINT64_C(1000000);
    expect_left(look_in(&stage, pid, &arming), due_ns);
    clock_skip_ms(40000);
    expect_left(look_in(&stage, pid, &arming), due_ns);
    clock_skip_ms(19000);
    expect_left(look_in(&stage, pid, &arming), due_ns);
    cr_assert_eq(clock.count, 0);
    clock_skip_ms(2000);
    STAGE_AWAIT(&stage, clock.count == 1);
    cr_assert_eq(look_in(&stage, pid, &arming).result, TROUPE_ENOENT, "it has ticked");
    cr_assert_eq(look_in(&stage, pid, &arming).left_ms, 4711, "untouched on failure");
    stage_close(&stage);
}

static int look_on_tick(struct troupe_actor *self, void *arg)
{
    return look(self, arg);
}

Test(timer, nothing_is_left_of_one_that_ticks_was_cancelled_or_is_another_s, .timeout = 60)
{
    struct stage stage;
    static struct clock clocks[2];
    struct arming arming = arming_of(1000, &numbers[1]);
    struct looking looking = {.arming = &arming, .result = 1};
    troupe_pid pids[2];

    stage_open(&stage, TROUPE_NO_THREADS);
    pids[0] = stage_spawn(&stage, &clock_behaviour, &clocks[0]);
    pids[1] = stage_spawn(&stage, &clock_behaviour, &clocks[1]);
    clocks[0].on_tick = look_on_tick;
    clocks[0].arg = &looking;
    arming.periodic = true;
    arm_in(&stage, pids[0], &arming);
    cr_assert_eq(look_in(&stage, pids[1], &arming).result, TROUPE_ENOENT, "another's");
    clock_skip_ms(1001);
    STAGE_AWAIT(&stage, clocks[0].count == 1);
    cr_assert_eq(looking.result, TROUPE_ENOENT, "its tick is being handled");
    cr_assert_eq(look_in(&stage, pids[0], &arming).result, TROUPE_OK, "armed again");
    cr_assert_leq(look_in(&stage, pids[0], &arming).left_ms, 1000);
    cr_assert_eq(cancel_in(&stage, pids[0], &arming), TROUPE_OK);
    cr_assert_eq(look_in(&stage, pids[0], &arming).result, TROUPE_ENOENT, "cancelled");
    stage_close(&stage);
}

/* ---- many at once: 3.7 ---- */

enum { CROWD = 20000, CROWD_PASS = 512 };

struct crowd {
    struct troupe_timer timers[CROWD];
    unsigned handled;
    unsigned most; /* that had been sent, and were not handled yet */
    unsigned beats;
};

static const struct troupe_type beat = TROUPE_SIGNAL;

static int arm_crowd(struct troupe_actor *self, void *arg)
{
    struct crowd *crowd = arg;

    for (uint64_t i = 0; i < CROWD; i++) {
        TROUPE_TRY(troupe_tick_after(self, 1000, &tick, &i, &crowd->timers[i]));
    }
    return troupe_send(self, troupe_self(self), &beat, NULL);
}

/* How many of the crowd have been sent.  They were armed in order, and so they are. */
static unsigned count_sent(struct troupe_actor *self, const struct crowd *crowd)
{
    unsigned low = 0;
    unsigned high = CROWD;

    while (low < high) {
        unsigned middle = (low + high) / 2;
        uint64_t left_ms;

        if (troupe_timer_left(self, crowd->timers[middle], &left_ms) == TROUPE_OK) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return low;
}

static int crowd_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct crowd *crowd = *(struct crowd **)state;
    unsigned waiting;
    int status;

    if (stage_is_job(self, msg, &status)) {
        return status;
    }
    if (troupe_is(msg, &tick)) {
        crowd->handled++;
        return TROUPE_OK;
    }
    crowd->beats++;
    waiting = count_sent(self, crowd) - crowd->handled;
    crowd->most = waiting > crowd->most ? waiting : crowd->most;
    return crowd->handled < CROWD ? troupe_send(self, troupe_self(self), &beat, NULL) : TROUPE_OK;
}

static int crowd_init(struct troupe_actor *self, void *state, const void *arg)
{
    (void)self;
    *(struct crowd **)state = (struct crowd *)(uintptr_t)arg;
    return TROUPE_OK;
}

static const struct troupe_behaviour crowd_behaviour = {
    .name = "crowd",
    .state_size = sizeof(struct crowd *),
    .init = crowd_init,
    .receive = crowd_receive,
    .capacity = STAGE_ROOM,
};

/* 3.7: a worker sends some hundreds, runs actors, and sends the next; all of them come within one turn of the clock. */
Test(timer, twenty_thousand_that_are_due_at_once_are_sent_in_passes, .timeout = 60)
{
    struct stage stage;
    static struct crowd crowd;
    troupe_pid pid;

    stage_open(&stage, TROUPE_NO_THREADS);
    pid = stage_spawn(&stage, &crowd_behaviour, &crowd);
    stage_tell(&stage, pid, arm_crowd, &crowd);
    STAGE_AWAIT(&stage, crowd.beats > 0);
    clock_skip_ms(1100);
    STAGE_AWAIT(&stage, crowd.handled == CROWD);
    cr_assert_leq(crowd.most, CROWD_PASS, "%u were sent in one pass", crowd.most);
    cr_assert_gt(crowd.beats, CROWD / CROWD_PASS);
    stage_close(&stage);
}

/* ---- cancelled ---- */

Test(timer, a_cancelled_timer_does_not_tick, .timeout = 60)
{
    struct stage stage;
    static struct clock clock;
    struct arming armings[2] = {arming_of(1, &numbers[1]), arming_of(10, &numbers[2])};
    troupe_pid pid;

    stage_open(&stage, TROUPE_NO_THREADS);
    pid = stage_spawn(&stage, &clock_behaviour, &clock);
    (void)stage_do(&stage, pid, arm_two_cancel_one, armings);
    cr_assert_eq(armings[0].cancel_result, TROUPE_OK);
    cr_assert_eq(armings[1].cancel_result, TROUPE_ENOENT, "it was cancelled before");
    STAGE_AWAIT(&stage, clock.count > 0);
    cr_assert_eq(clock.value[0], 2);
    cr_assert_eq(clock.count, 1);
    cr_assert_eq(cancel_in(&stage, pid, &armings[1]), TROUPE_ENOENT, "it ticked before");
    stage_close(&stage);
}

Test(timer, a_handle_that_names_nothing_is_harmless, .timeout = 60)
{
    struct stage stage;
    static struct clock clocks[2];
    struct arming none = {.result = 1};
    struct arming arming = arming_of(60000, &numbers[1]);
    struct arming other;
    troupe_pid pids[2];

    stage_open(&stage, TROUPE_NO_THREADS);
    pids[0] = stage_spawn(&stage, &clock_behaviour, &clocks[0]);
    pids[1] = stage_spawn(&stage, &clock_behaviour, &clocks[1]);
    cr_assert_eq(cancel_in(&stage, pids[0], &none), TROUPE_ENOENT);
    arm_in(&stage, pids[0], &arming);
    other = arming;
    cr_assert_eq(cancel_in(&stage, pids[1], &other), TROUPE_ENOENT, "not this actor's");
    cr_assert_eq(cancel_in(&stage, pids[0], &arming), TROUPE_OK);
    /* The block serves another timer now, most likely. */
    for (int i = 0; i < 50; i++) {
        struct arming next = arming_of(60000, &numbers[2]);

        arm_in(&stage, pids[0], &next);
        cr_assert_eq(cancel_in(&stage, pids[0], &arming), TROUPE_ENOENT);
        cr_assert_eq(cancel_in(&stage, pids[0], &next), TROUPE_OK);
    }
    stage_close(&stage);
}

Test(timer, one_shot_cancelled_in_its_own_tick_is_not_armed_any_more, .timeout = 60)
{
    struct stage stage;
    static struct clock clock;
    struct arming arming = arming_of(1, &numbers[1]);
    troupe_pid pid;

    clock.on_tick = cancel;
    clock.arg = &arming;
    stage_open(&stage, TROUPE_NO_THREADS);
    pid = stage_spawn(&stage, &clock_behaviour, &clock);
    arm_in(&stage, pid, &arming);
    STAGE_AWAIT(&stage, clock.count == 1);
    cr_assert_eq(arming.cancel_result, TROUPE_ENOENT);
    stage_close(&stage);
}

Test(timer, a_periodic_timer_cancelled_in_its_own_tick_ticks_no_more, .timeout = 60)
{
    struct stage stage;
    static struct clock clock;
    struct arming arming = arming_of(1, &numbers[1]);
    struct arming sentinel = arming_of(30, &numbers[2]);
    troupe_pid pid;

    arming.periodic = true;
    stage_open(&stage, TROUPE_NO_THREADS);
    pid = stage_spawn(&stage, &clock_behaviour, &clock);
    clock.on_tick = cancel;
    clock.arg = &arming;
    arming.cancel_result = 1;
    arm_in(&stage, pid, &arming);
    STAGE_AWAIT(&stage, clock.count == 1);
    cr_assert_eq(arming.cancel_result, TROUPE_OK);
    clock.on_tick = NULL;
    arm_in(&stage, pid, &sentinel);
    STAGE_AWAIT(&stage, clock.count >= 2);
    cr_assert_eq(clock.value[1], 2, "the sentinel, not one more tick");
    cr_assert_eq(cancel_in(&stage, pid, &arming), TROUPE_ENOENT);
    stage_close(&stage);
}

/* Both ticks are due at once; the handler of the first cancels the second, which is queued or about to be. */
static int cancel_next(struct troupe_actor *self, void *arg)
{
    struct arming *armings = arg;

    armings[1].cancel_result = troupe_timer_cancel(self, armings[1].timer);
    return TROUPE_OK;
}

static void check_cancel_of_queued(bool periodic)
{
    struct stage stage;
    static struct clock clock;
    struct arming armings[2] = {arming_of(2, &numbers[1]), arming_of(2, &numbers[2])};
    struct arming sentinel = arming_of(20, &numbers[3]);
    troupe_pid pid;

    clock = (struct clock){.on_tick = cancel_next, .arg = armings};
    armings[1].periodic = periodic;
    stage_open(&stage, TROUPE_NO_THREADS);
    pid = stage_spawn(&stage, &clock_behaviour, &clock);
    stage_tell(&stage, pid, arm_two, armings);
    stage_run(&stage);
    /* Until both are due nothing runs. */
    clock_skip_ms(5);
    STAGE_AWAIT(&stage, clock.count >= 1);
    clock.on_tick = NULL;
    arm_in(&stage, pid, &sentinel);
    STAGE_AWAIT(&stage, clock.value[clock.count - 1] == 3);
    if (armings[1].cancel_result == TROUPE_OK) {
        cr_assert_eq(clock.count, 2, "a tick came after its timer was cancelled");
    } else {
        cr_assert_eq(armings[1].cancel_result, TROUPE_ENOENT);
        cr_assert_not(periodic, "a periodic timer can be cancelled while its tick is queued");
        cr_assert_eq(clock.count, 3, "cancel said that the tick is on its way");
    }
    stage_close(&stage);
}

Test(timer, cancel_tells_whether_a_tick_that_is_queued_comes, .timeout = 60)
{
    check_cancel_of_queued(false);
    check_cancel_of_queued(true);
}

/* ---- again and again ---- */

Test(timer, a_periodic_timer_ticks_until_it_is_cancelled, .timeout = 60)
{
    struct stage stage;
    static struct clock clock;
    struct arming arming = arming_of(2, &numbers[5]);
    uint64_t periods = 0;
    troupe_pid pid;

    arming.periodic = true;
    stage_open(&stage, TROUPE_NO_THREADS);
    pid = stage_spawn(&stage, &clock_behaviour, &clock);
    arm_in(&stage, pid, &arming);
    STAGE_AWAIT(&stage, clock.count >= 20);
    cr_assert_eq(cancel_in(&stage, pid, &arming), TROUPE_OK);
    for (unsigned i = 0; i < 20; i++) {
        periods += 1 + clock.missed[i];
        cr_assert_eq(clock.value[i], 5);
        cr_assert_geq(clock.at_ns[i] - arming.armed_ns, periods * 2000000, "tick %u is early", i);
    }
    stage_close(&stage);
}

Test(timer, ticks_that_nobody_had_time_for_are_counted_not_queued, .timeout = 60)
{
    struct stage stage;
    static struct clock clock;
    struct arming arming = arming_of(1, &numbers[5]);
    uint64_t all;
    troupe_pid pid;

    arming.periodic = true;
    stage_open(&stage, TROUPE_NO_THREADS);
    pid = stage_spawn(&stage, &clock_behaviour, &clock);
    arm_in(&stage, pid, &arming);
    /* Nothing runs: the first tick is due, and the next ones are left out. */
    clock_skip_ms(50);
    STAGE_AWAIT(&stage, clock.count >= 3);
    all = 3 + clock.missed[0] + clock.missed[1] + clock.missed[2];
    cr_assert_geq(all, 40, "%llu", (unsigned long long)all);
    cr_assert_leq(all * 1000000, clock.at_ns[2] - arming.armed_ns, "more than there were");
    cr_assert_eq(cancel_in(&stage, pid, &arming), TROUPE_OK);
    stage_close(&stage);
}

Test(timer, missed_is_zero_for_what_is_no_tick, .timeout = 60)
{
    struct stage stage;
    struct troupe_message *msg;

    stage_open(&stage, TROUPE_NO_THREADS);
    msg = stage_message(&stage, &tick, &numbers[1]);
    cr_assert_eq(troupe_tick_missed(msg), 0);
    cr_assert_eq(troupe_tick_missed(NULL), 0);
    troupe_message_destroy(msg);
    stage_close(&stage);
}

/* ---- what is taken, sent on, destroyed ---- */

struct keeper {
    struct troupe_message *kept[4];
    _Atomic unsigned count;
};

static int keeper_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct keeper *keeper = *(struct keeper **)state;
    int status;

    if (stage_is_job(self, msg, &status)) {
        return status;
    }
    if (keeper->count < TROUPE_COUNT(keeper->kept)) {
        TROUPE_TRY(troupe_take(self, msg, &keeper->kept[keeper->count]));
        keeper->count++;
    }
    return TROUPE_OK;
}

static const struct troupe_behaviour keeper_behaviour = {.name = "keeper",
    .state_size = sizeof(struct clock *),
    .init = clock_init,
    .receive = keeper_receive};

static int keeper_init(struct troupe_actor *self, void *state, const void *arg)
{
    (void)self;
    *(struct keeper **)state = (struct keeper *)(uintptr_t)arg;
    return TROUPE_OK;
}

Test(timer, ticks_can_be_taken_and_a_periodic_timer_goes_on, .timeout = 60)
{
    struct stage stage;
    struct keeper keeper = {0};
    struct troupe_behaviour behaviour = keeper_behaviour;
    struct arming arming = arming_of(1, &numbers[6]);
    _Atomic unsigned destroyed = 0;
    struct arming once = {
        .ms = 1, .type = &cargo_tick, .body = &(struct cargo){6, &destroyed}, .result = 1};
    troupe_pid pid;

    behaviour.init = keeper_init;
    stage_open(&stage, TROUPE_NO_THREADS);
    pid = stage_spawn(&stage, &behaviour, &keeper);
    arm_in(&stage, pid, &once);
    STAGE_AWAIT(&stage, keeper.count == 1);
    cr_assert_eq(destroyed, 0, "it moved to the message that was taken");
    arming.periodic = true;
    arm_in(&stage, pid, &arming);
    STAGE_AWAIT(&stage, keeper.count == 4);
    for (unsigned i = 0; i < 4; i++) {
        cr_assert_eq(*(uint64_t *)troupe_body(keeper.kept[i]), 6);
        troupe_message_destroy(keeper.kept[i]);
    }
    cr_assert_eq(destroyed, 1);
    stage_close(&stage);
    cr_assert_eq(destroyed, 1);
}

/* Of three ticks one comes, one never does, and one is cancelled: its body is destroyed there and then. */
static int arm_cargo(struct troupe_actor *self, void *arg)
{
    const struct cargo *body = arg;
    unsigned before = *body->destroyed;
    struct troupe_timer timer;

    TROUPE_TRY(troupe_tick_after(self, 1, &cargo_tick, arg, NULL));
    TROUPE_TRY(troupe_tick_after(self, 60000, &cargo_tick, arg, NULL));
    TROUPE_TRY(troupe_tick_after(self, 60000, &cargo_tick, arg, &timer));
    TROUPE_TRY(troupe_timer_cancel(self, timer));
    return *body->destroyed == before + 1 ? TROUPE_OK : TROUPE_ECHECK;
}

Test(timer, the_body_of_a_tick_is_destroyed_once_on_every_path, .timeout = 60)
{
    struct stage stage;
    static struct clock clock;
    _Atomic unsigned destroyed = 0;
    struct cargo body = {1, &destroyed};
    troupe_pid pid;

    stage_open(&stage, TROUPE_NO_THREADS);
    pid = stage_spawn(&stage, &clock_behaviour, &clock);
    cr_assert_eq(stage_do(&stage, pid, arm_cargo, &body), TROUPE_OK);
    STAGE_AWAIT(&stage, clock.count == 1);
    cr_assert_eq(destroyed, 2, "and the one that was handled");
    (void)stage_do(&stage, pid, be_done, NULL);
    cr_assert_eq(destroyed, 3, "and the one whose owner ended");
    cr_assert_eq(stage_do(&stage, stage_spawn(&stage, &clock_behaviour, &clock), arm_cargo, &body),
        TROUPE_OK);
    stage_close(&stage);
    cr_assert_eq(destroyed, 6);
}

/* ---- the owner ends ---- */

Test(timer, ticks_end_with_their_owner, .timeout = 60)
{
    struct stage stage;
    static struct clock clock;
    struct arming armings[3] = {
        arming_of(1, &numbers[1]), arming_of(1, &numbers[2]), arming_of(60000, &numbers[3])};
    troupe_pid pid;

    armings[1].periodic = true;
    stage_open(&stage, TROUPE_NO_THREADS);
    pid = stage_spawn(&stage, &clock_behaviour, &clock);
    for (int i = 0; i < 3; i++) {
        arm_in(&stage, pid, &armings[i]);
    }
    clock.count = 0;
    stage_tell(&stage, pid, be_done, NULL);
    /* The first ticks are due when it ends: in the queue behind its end, or cancelled. */
    clock_skip_ms(5);
    stage_run(&stage);
    clock_skip_ms(5);
    cr_assert_eq(stage_run(&stage), TROUPE_FOREVER, "a timer is left");
    stage_close(&stage);
    cr_assert_leq(clock.count, 2);
}

/* ---- limits and memory ---- */

Test(timer, timers_are_limited_and_the_limit_recovers, .timeout = 60)
{
    struct stage stage;
    static struct clock clock;
    struct arming armings[4];
    troupe_pid pid;

    stage_open_with(&stage, &(struct troupe_runtime_options){
                                .workers = TROUPE_NO_THREADS, .limits = {.actor_timers = 3}});
    pid = stage_spawn(&stage, &clock_behaviour, &clock);
    for (int i = 0; i < 4; i++) {
        armings[i] = arming_of(i == 0 ? 30000 : 60000, &numbers[i]);
        armings[i].periodic = i == 1;
        (void)stage_do(&stage, pid, arm, &armings[i]);
        cr_assert_eq(armings[i].result, i < 3 ? TROUPE_OK : TROUPE_ELIMIT);
    }
    cr_assert_eq(cancel_in(&stage, pid, &armings[1]), TROUPE_OK);
    arm_in(&stage, pid, &armings[3]);
    clock_skip_ms(30000);
    STAGE_AWAIT(&stage, clock.count == 1);
    armings[0].ms = 60000;
    arm_in(&stage, pid, &armings[0]);
    (void)stage_do(&stage, pid, arm, &armings[1]);
    cr_assert_eq(armings[1].result, TROUPE_ELIMIT);
    stage_close(&stage);
}

Test(timer, arming_without_memory_leaves_no_trace, .timeout = 60)
{
    uint64_t failing = 1;
    bool failed;

    do {
        struct stage stage;
        static struct clock clock;
        _Atomic unsigned destroyed = 0;
        struct arming arming = {
            .ms = 60000, .type = &cargo_tick, .body = &(struct cargo){1, &destroyed}, .result = 1};
        uint64_t before;
        troupe_pid pid;

        stage_open(&stage, TROUPE_NO_THREADS);
        pid = stage_spawn(&stage, &clock_behaviour, &clock);
        stage_run(&stage);
        stage_tell(&stage, pid, arm, &arming);
        before = stage.memory.calls;
        stage.memory.fail_at = before + failing;
        stage_run(&stage);
        failed = stage.memory.calls >= before + failing;
        stage.memory.fail_at = 0;
        cr_assert_eq(arming.result, failed ? TROUPE_ENOMEM : TROUPE_OK);
        cr_assert_eq(arming.timer.timer == NULL, failed, "untouched on failure");
        stage_close(&stage);
        cr_assert_eq(destroyed, !failed);
        failing++;
    } while (failed);
    cr_assert_gt(failing, 2, "nothing was allocated: the test tests nothing");
}

/* A timer that is armed already needs no memory to tick, and none to tick again. */
static int fill_hoard(struct troupe_actor *self, void *arg)
{
    hoard_fill(arg, troupe_runtime_of(self));
    return TROUPE_OK;
}

Test(timer, ticks_come_without_memory, .timeout = 60)
{
    struct stage stage;
    static struct clock clock;
    static struct hoard hoard;
    struct arming arming = arming_of(1, &numbers[1]);
    troupe_pid pid;

    stage_open(&stage, TROUPE_NO_THREADS);
    pid = stage_spawn(&stage, &clock_behaviour, &clock);
    arming.periodic = true;
    arm_in(&stage, pid, &arming);
    hoard.memory = &stage.memory;
    (void)stage_do(&stage, pid, fill_hoard, &hoard);
    clock.count = 0;
    STAGE_AWAIT(&stage, clock.count >= 5);
    hoard_empty(&hoard);
    stage_close(&stage);
}

/* ---- threads ---- */

#define CLOCKS 16

struct race {
    struct arming arming[8];
    _Atomic uint64_t armed, cancelled, ticked;
    struct test_random random;
};

static const struct troupe_type race_step = TROUPE_SIGNAL;

/* Arms and cancels at random; each arming ends by a tick or by a cancel that said OK. */
static int race_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct race *race = *(struct race **)state;

    if (troupe_is(msg, &tick)) {
        race->ticked++;
        return TROUPE_OK;
    }
    for (int i = 0; i < 8; i++) {
        struct arming *arming = &race->arming[i];

        if (test_below(&race->random, 2) == 0) {
            race->cancelled += troupe_timer_cancel(self, arming->timer) == TROUPE_OK;
        } else {
            /* Whatever the old one is about, it is on its own now. */
            race->armed += troupe_tick_after(self, test_below(&race->random, 3), &tick, &numbers[1],
                               &arming->timer) == TROUPE_OK;
        }
    }
    return TROUPE_OK;
}

static const struct troupe_behaviour racer = {.name = "racer",
    .state_size = sizeof(struct race *),
    .init = keeper_init,
    .receive = race_receive};

Test(timer, each_arming_ends_by_a_tick_or_a_cancel, .timeout = 120)
{
    struct stage stage;
    static struct race races[CLOCKS];
    troupe_pid pids[CLOCKS];
    uint64_t seed = test_seed("each_arming_ends_by_a_tick_or_a_cancel");

    stage_open(&stage, 3);
    for (unsigned i = 0; i < CLOCKS; i++) {
        races[i].random = test_random_of(seed + i);
        pids[i] = stage_spawn(&stage, &racer, &races[i]);
    }
    for (unsigned round = 0; round < 300; round++) {
        for (unsigned i = 0; i < CLOCKS; i++) {
            STAGE_AWAIT(&stage, stage_try_send(&stage, pids[i], &race_step, NULL) == TROUPE_OK);
        }
        if (round % 16 == 0) {
            sched_yield();
        }
    }
    for (unsigned i = 0; i < CLOCKS; i++) {
        STAGE_AWAIT(&stage, stage_books(&stage).queued == 0 &&
                                races[i].armed == races[i].cancelled + races[i].ticked);
        cr_assert_gt(races[i].ticked, 0);
    }
    stage_close(&stage);
    for (unsigned i = 0; i < CLOCKS; i++) {
        cr_assert_eq(races[i].armed, races[i].cancelled + races[i].ticked);
    }
}

Test(timer, the_clock_does_not_go_back, .timeout = 60)
{
    struct stage stage;
    uint64_t before_ns;

    stage_open(&stage, TROUPE_NO_THREADS);
    before_ns = troupe_now_ns(stage.runtime);
    for (int i = 0; i < 1000; i++) {
        uint64_t now_ns = troupe_now_ns(stage.runtime);

        cr_assert_geq(now_ns, before_ns);
        before_ns = now_ns;
    }
    stage_close(&stage);
}
