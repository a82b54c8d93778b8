/* SPDX-License-Identifier: MIT */
/* Rings that flows are a part of: who waits for an item waits for the producer, and who waits for credit for a subscriber. */
#include "sched/core.h"
#include "test/support/stage.h"

static const struct troupe_type item = TROUPE_TYPE(uint64_t);
static const struct troupe_type ask = TROUPE_TYPE(uint64_t);
static const struct troupe_type answer = TROUPE_TYPE(int);

/* Both kinds of runtime. */
static const int kinds[] = {TROUPE_NO_THREADS, 1, 2};

#define FOR_EACH_KIND(i) for (size_t i = 0; i < TROUPE_COUNT(kinds); i++)

/* ---- parts: main functions that do what the test says, step by step ---- */

struct part;
typedef int (*part_fn)(struct troupe_actor *self, struct part *part);

struct part {
    part_fn play;
    _Atomic troupe_pid pid;
    struct part *first; /* others that it knows */
    struct part *second;
    struct troupe_flow flow;
    struct troupe_flow other;
    troupe_subscription subscription;
    _Atomic unsigned step; /* that it may take; the test's */
    _Atomic bool ready;
    _Atomic bool done;
    _Atomic int status;
    _Atomic unsigned count;
    unsigned times;
    char text[256];
};

static int part_main(struct troupe_actor *self, const void *arg)
{
    struct part *part = (struct part *)(uintptr_t)arg;
    int status;

    /* Before whoever spawned it knows. */
    part->pid = troupe_self(self);
    status = part->play(self, part);
    snprintf(part->text, sizeof part->text, "%s", troupe_deadlock_text(self));
    part->status = status;
    part->done = true;
    return troupe_sleep(self, 3600000);
}

static const struct troupe_behaviour producer = {.name = "producer", .main = part_main};
static const struct troupe_behaviour subscriber = {.name = "subscriber", .main = part_main};
static const struct troupe_behaviour other = {.name = "other", .main = part_main};
static const struct troupe_behaviour producer_thread = {
    .name = "producer", .main = part_main, .thread = true};
static const struct troupe_behaviour subscriber_thread = {
    .name = "subscriber", .main = part_main, .thread = true};

static void begin(struct stage *stage, struct part *part, const struct troupe_behaviour *behaviour)
{
    part->pid = stage_spawn(stage, behaviour, part);
}

static int await_step(struct troupe_actor *self, const struct part *part, unsigned step)
{
    while (part->step < step) {
        TROUPE_TRY(troupe_sleep(self, 1));
    }
    return TROUPE_OK;
}

static int await_ready(struct troupe_actor *self, const struct part *part)
{
    while (!part->ready) {
        TROUPE_TRY(troupe_sleep(self, 1));
    }
    return TROUPE_OK;
}

static int offer(struct troupe_actor *self, struct troupe_flow *out_flow)
{
    return troupe_flow_offer(self, &(struct troupe_flow_options){.type = &item}, out_flow);
}

static int subscribe(struct troupe_actor *self, struct part *part, struct troupe_flow flow,
    uint32_t window, bool manual)
{
    return troupe_flow_subscribe(self, flow,
        (&(struct troupe_subscribe_options){.window = window, .manual = manual}),
        &part->subscription);
}

static int call(struct troupe_actor *self, troupe_pid to)
{
    uint64_t value = 1;
    int got = TROUPE_EPROTO;

    TROUPE_TRY(troupe_call(self, to, &ask, &value, &answer, &got, 60000));
    return got;
}

static int put(struct troupe_actor *self, struct troupe_flow flow)
{
    return troupe_flow_put_within(self, flow, &(uint64_t){7}, 60000);
}

static int take(struct troupe_actor *self, struct part *part)
{
    struct troupe_message *msg;

    return troupe_flow_next(self, part->subscription, 60000, &msg);
}

/* Answers `count` calls. */
static int serve(struct troupe_actor *self, unsigned count)
{
    while (count > 0) {
        struct troupe_message *msg;

        TROUPE_TRY(troupe_receive(self, 60000, &msg));
        if (troupe_is_request(msg)) {
            int status = TROUPE_OK;

            TROUPE_TRY(troupe_reply(self, msg, &answer, &status));
            count--;
        }
    }
    return TROUPE_OK;
}

/* ---- looking at edges ---- */

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

static troupe_pid awaited_by(struct stage *stage, const struct part *part)
{
    struct trp_visit visit;
    troupe_pid to;

    cr_assert_eq(trp_context_enter(stage->runtime, &visit), TROUPE_OK);
    to = trp_pressure_awaited(stage->runtime, part->pid);
    trp_context_leave(&visit);
    return to;
}

static void await_waiting_for(struct stage *stage, const struct part *part, const struct part *to)
{
    STAGE_AWAIT(
        stage, edge_of(stage, part->pid) == TRP_EDGE_WAITING && awaited_by(stage, part) == to->pid);
}

static void expect(struct stage *stage, const struct part *part, int status)
{
    STAGE_AWAIT(stage, part->done);
    cr_assert_eq(part->status, status, "%s", troupe_strerror(part->status));
    cr_assert_eq(edge_of(stage, part->pid), TRP_EDGE_NONE);
}

static void expect_text(
    const struct part *part, const char *format, const struct part *a, const struct part *b)
{
    char text[256];

    snprintf(text, sizeof text, format, (unsigned long long)a->pid, (unsigned long long)b->pid);
    cr_assert_str_eq(part->text, text);
}

/* ---- items ---- */

static int take_one(struct troupe_actor *self, struct part *part)
{
    TROUPE_TRY(await_ready(self, part->first));
    TROUPE_TRY(subscribe(self, part, part->first->flow, 2, false));
    return take(self, part);
}

/* The item is put after the call has failed. */
static int call_then_put(struct troupe_actor *self, struct part *part)
{
    int error;

    TROUPE_TRY(offer(self, &part->flow));
    part->ready = true;
    TROUPE_TRY(await_step(self, part, 1));
    error = call(self, part->first->pid);
    TROUPE_TRY(put(self, part->flow));
    return error;
}

static void call_who_waits_for_an_item(struct stage *stage,
    const struct troupe_behaviour *producing, const struct troupe_behaviour *subscribing)
{
    struct part p = {.play = call_then_put};
    struct part s = {.play = take_one, .first = &p};

    p.first = &s;
    begin(stage, &s, subscribing);
    begin(stage, &p, producing);
    await_waiting_for(stage, &s, &p);
    p.step = 1;
    expect(stage, &p, TROUPE_EDEADLK);
    expect_text(&p, "producer (%llx) -> subscriber (%llx) -> producer", &p, &s);
    expect(stage, &s, TROUPE_OK);
}

Test(flow_ring, who_calls_its_subscriber_that_waits_for_an_item_is_told_at_once, .timeout = 60)
{
    FOR_EACH_KIND(i)
    {
        struct stage stage;

        stage_open(&stage, kinds[i]);
        call_who_waits_for_an_item(&stage, &producer, &subscriber);
        stage_close(&stage);
    }
}

Test(flow_ring, threads_of_actors_are_in_them_as_well, .timeout = 60)
{
    for (int workers = 1; workers <= 2; workers++) {
        struct stage stage;

        stage_open(&stage, workers);
        call_who_waits_for_an_item(&stage, &producer_thread, &subscriber_thread);
        call_who_waits_for_an_item(&stage, &producer, &subscriber_thread);
        call_who_waits_for_an_item(&stage, &producer_thread, &subscriber);
        stage_close(&stage);
    }
}

static int call_then_take(struct troupe_actor *self, struct part *part)
{
    TROUPE_TRY(await_ready(self, part->first));
    TROUPE_TRY(subscribe(self, part, part->first->flow, 2, false));
    part->ready = true;
    TROUPE_TRY(await_step(self, part, 1));
    return take(self, part);
}

static int call_first(struct troupe_actor *self, struct part *part)
{
    TROUPE_TRY(offer(self, &part->flow));
    part->ready = true;
    TROUPE_TRY(await_ready(self, part->first));
    return call(self, part->first->pid);
}

/* It closes the ring; the call that waits for it goes on in time when it ends. */
Test(flow_ring, who_waits_for_an_item_of_its_caller_is_told_at_once, .timeout = 60)
{
    FOR_EACH_KIND(i)
    {
        struct part p = {.play = call_first};
        struct part s = {.play = call_then_take, .first = &p};
        struct stage stage;

        stage_open(&stage, kinds[i]);
        p.first = &s;
        begin(&stage, &s, &subscriber);
        begin(&stage, &p, &producer);
        await_waiting_for(&stage, &p, &s);
        s.step = 1;
        expect(&stage, &s, TROUPE_EDEADLK);
        expect_text(&s, "subscriber (%llx) -> producer (%llx) -> subscriber", &s, &p);
        cr_assert_eq(troupe_runtime_exit(stage.runtime, s.pid, TROUPE_EXIT_KILL), TROUPE_OK);
        expect(&stage, &p, TROUPE_EDIED);
        stage_close(&stage);
    }
}

/* ---- credit ---- */

/* One item goes, for the next one there is no credit. */
static int put_two(struct troupe_actor *self, struct part *part)
{
    TROUPE_TRY(offer(self, &part->flow));
    TROUPE_TRY(offer(self, &part->other));
    part->ready = true;
    TROUPE_TRY(put(self, part->flow));
    TROUPE_TRY(await_step(self, part, 1));
    return put(self, part->flow);
}

static int wait_on_another_flow(struct troupe_actor *self, struct part *part)
{
    TROUPE_TRY(await_ready(self, part->first));
    TROUPE_TRY(subscribe(self, part, part->first->flow, 1, false));
    TROUPE_TRY(subscribe(self, part, part->first->other, 1, false));
    return take(self, part);
}

Test(flow_ring, who_waits_for_credit_of_whoever_waits_for_an_item_of_another_flow, .timeout = 60)
{
    FOR_EACH_KIND(i)
    {
        struct part p = {.play = put_two};
        struct part s = {.play = wait_on_another_flow, .first = &p};
        struct stage stage;

        stage_open(&stage, kinds[i]);
        begin(&stage, &s, &subscriber);
        begin(&stage, &p, &producer);
        await_waiting_for(&stage, &s, &p);
        p.step = 1;
        expect(&stage, &p, TROUPE_EDEADLK);
        expect_text(&p, "producer (%llx) -> subscriber (%llx) -> producer", &p, &s);
        stage_close(&stage);
    }
}

/* Waits for an item that it has granted no credit for. */
static int take_without_credit(struct troupe_actor *self, struct part *part)
{
    TROUPE_TRY(await_ready(self, part->first));
    TROUPE_TRY(subscribe(self, part, part->first->flow, 1, true));
    part->ready = true;
    return take(self, part);
}

static int put_one(struct troupe_actor *self, struct part *part)
{
    TROUPE_TRY(offer(self, &part->flow));
    part->ready = true;
    return put(self, part->flow);
}

Test(flow_ring, no_credit_and_no_item_have_one_victim, .timeout = 60)
{
    FOR_EACH_KIND(i)
    {
        struct part p = {.play = put_one};
        struct part s = {.play = take_without_credit, .first = &p};
        struct stage stage;

        stage_open(&stage, kinds[i]);
        begin(&stage, &s, &subscriber);
        begin(&stage, &p, &producer);
        STAGE_AWAIT(&stage, p.done || s.done);
        cr_assert_eq((p.done ? &p : &s)->status, TROUPE_EDEADLK);
        cr_assert_neq(p.done, s.done);
        stage_close(&stage);
    }
}

/* Grants credit for all that it has taken when it is told to. */
static int grant_later(struct troupe_actor *self, struct part *part)
{
    TROUPE_TRY(await_ready(self, part->first));
    TROUPE_TRY(subscribe(self, part, part->first->flow, 2, true));
    part->ready = true;
    TROUPE_TRY(await_step(self, part, 1));
    return troupe_flow_request(self, part->subscription, 1);
}

static int call_when_ready(struct troupe_actor *self, struct part *part)
{
    TROUPE_TRY(await_ready(self, part->first));
    TROUPE_TRY(subscribe(self, part, part->first->flow, 2, true));
    part->ready = true;
    TROUPE_TRY(await_step(self, part, 1));
    return call(self, part->first->pid);
}

static int put_when_both_are_there(struct troupe_actor *self, struct part *part)
{
    struct troupe_flow_facts facts;

    TROUPE_TRY(offer(self, &part->flow));
    part->ready = true;
    do {
        struct troupe_message *msg;
        int error = troupe_receive(self, 1, &msg);

        if (error != TROUPE_ETIMEDOUT) {
            return error;
        }
        TROUPE_TRY(troupe_flow_facts(self, part->flow, &facts));
    } while (facts.subscribers < 2);
    return put(self, part->flow);
}

/* It waits for all of them, one after the other. */
Test(flow_ring, of_several_slow_subscribers_each_may_close_one, .timeout = 60)
{
    FOR_EACH_KIND(i)
    {
        /* Who calls is the one that is waited for, or becomes it. */
        for (unsigned caller = 0; caller < 2; caller++) {
            struct part p = {.play = put_when_both_are_there};
            struct part s[2] = {{.first = &p}, {.first = &p}};
            const struct part *awaited;
            struct stage stage;

            s[caller].play = call_when_ready;
            s[1 - caller].play = grant_later;
            stage_open(&stage, kinds[i]);
            begin(&stage, &p, &producer);
            begin(&stage, &s[0], &subscriber);
            begin(&stage, &s[1], &subscriber);
            STAGE_AWAIT(&stage, edge_of(&stage, p.pid) == TRP_EDGE_WAITING);
            awaited = awaited_by(&stage, &p) == s[caller].pid ? &s[caller] : &s[1 - caller];
            s[caller].step = 1;
            if (awaited != &s[caller]) {
                await_waiting_for(&stage, &s[caller], &p);
            }
            s[1 - caller].step = 1;
            expect(&stage, &s[1 - caller], TROUPE_OK);
            STAGE_AWAIT(&stage, p.done || s[caller].done);
            cr_assert_eq((p.done ? &p : &s[caller])->status, TROUPE_EDEADLK);
            stage_close(&stage);
        }
    }
}

/* ---- longer ones, of all kinds ---- */

static int subscribe_and_take(struct troupe_actor *self, struct part *part)
{
    TROUPE_TRY(offer(self, &part->flow));
    part->ready = true;
    TROUPE_TRY(await_ready(self, part->first));
    TROUPE_TRY(subscribe(self, part, part->first->flow, 1, false));
    TROUPE_TRY(await_step(self, part, 1));
    return take(self, part);
}

static int join_first(struct troupe_actor *self, struct part *part)
{
    TROUPE_TRY(offer(self, &part->flow));
    part->ready = true;
    TROUPE_TRY(await_step(self, part, 1));
    return troupe_join_wait(self, part->first->pid, 60000, NULL);
}

static int call_when_told(struct troupe_actor *self, struct part *part)
{
    TROUPE_TRY(await_step(self, part, 1));
    return call(self, part->first->pid);
}

Test(flow_ring, flows_calls_and_joins_make_one_together, .timeout = 60)
{
    FOR_EACH_KIND(i)
    {
        for (unsigned last = 0; last < 3; last++) {
            struct part a = {.play = subscribe_and_take};
            struct part b = {.play = join_first};
            struct part c = {.play = call_when_told};
            struct part *parts[] = {&a, &b, &c};
            struct stage stage;

            /* a waits for an item of b, b for the end of c, and c for the answer of a. */
            a.first = &b;
            b.first = &c;
            c.first = &a;
            stage_open(&stage, kinds[i]);
            begin(&stage, &a, &subscriber);
            begin(&stage, &b, &producer);
            begin(&stage, &c, &other);
            STAGE_AWAIT(&stage, a.ready && b.ready);
            for (unsigned n = 1; n < 3; n++) {
                struct part *part = parts[(last + n) % 3];

                part->step = 1;
                await_waiting_for(&stage, part, part->first);
            }
            parts[last]->step = 1;
            expect(&stage, parts[last], TROUPE_EDEADLK);
            stage_close(&stage);
        }
    }
}

/* A pipeline in a ring: each takes an item of the one before, and puts it into its own. */
static int pass_on(struct troupe_actor *self, struct part *part)
{
    struct troupe_message *msg;

    TROUPE_TRY(offer(self, &part->flow));
    part->ready = true;
    TROUPE_TRY(await_ready(self, part->first));
    TROUPE_TRY(subscribe(self, part, part->first->flow, 1, false));
    for (;;) {
        TROUPE_TRY(troupe_flow_next(self, part->subscription, TROUPE_FOREVER, &msg));
        TROUPE_TRY(troupe_flow_put_within(self, part->flow, &(uint64_t){1}, TROUPE_FOREVER));
        part->count++;
    }
}

#define STAGES 5

/* Those that wait for good, and those that do not. */
static unsigned count_settled(struct stage *stage, const struct part *parts, unsigned *out_victims)
{
    unsigned settled = 0;

    *out_victims = 0;
    for (unsigned n = 0; n < STAGES; n++) {
        bool done = parts[n].done;

        *out_victims += done;
        settled += done || edge_of(stage, parts[n].pid) == TRP_EDGE_WAITING;
    }
    return settled;
}

Test(flow_ring, a_ring_of_flows_that_is_empty_has_one_victim, .timeout = 60)
{
    FOR_EACH_KIND(i)
    {
        struct part parts[STAGES];
        struct stage stage;
        unsigned victims = 0;

        stage_open(&stage, kinds[i]);
        for (unsigned n = 0; n < STAGES; n++) {
            parts[n] = (struct part){.play = pass_on, .first = &parts[(n + 1) % STAGES]};
        }
        for (unsigned n = 0; n < STAGES; n++) {
            begin(&stage, &parts[n], &producer);
        }
        STAGE_AWAIT(&stage, count_settled(&stage, parts, &victims) == STAGES && victims > 0);
        cr_assert_eq(victims, 1);
        stage_close(&stage);
    }
}

/* ---- none ---- */

#define TIMES 300

/* Puts an item and calls whoever takes it: what is on its way to it lets it go on. */
static int put_and_call(struct troupe_actor *self, struct part *part)
{
    TROUPE_TRY(offer(self, &part->flow));
    part->ready = true;
    for (unsigned i = 0; i < part->times; i++) {
        TROUPE_TRY(put(self, part->flow));
        TROUPE_TRY(call(self, part->first->pid));
    }
    return TROUPE_OK;
}

static int take_and_serve(struct troupe_actor *self, struct part *part)
{
    TROUPE_TRY(await_ready(self, part->first));
    TROUPE_TRY(subscribe(self, part, part->first->flow, 1, false));
    for (unsigned i = 0; i < part->times; i++) {
        TROUPE_TRY(take(self, part));
        TROUPE_TRY(serve(self, 1));
    }
    return TROUPE_OK;
}

Test(flow_ring, an_item_on_its_way_lets_its_subscriber_go_on, .timeout = 60)
{
    FOR_EACH_KIND(i)
    {
        struct part p = {.play = put_and_call, .times = TIMES};
        struct part s = {.play = take_and_serve, .first = &p, .times = TIMES};
        struct stage stage;

        stage_open(&stage, kinds[i]);
        p.first = &s;
        begin(&stage, &p, &producer);
        begin(&stage, &s, &subscriber);
        expect(&stage, &p, TROUPE_OK);
        expect(&stage, &s, TROUPE_OK);
        stage_close(&stage);
    }
}

/* Grants credit and calls whoever waits for it. */
static int grant_and_call(struct troupe_actor *self, struct part *part)
{
    TROUPE_TRY(await_ready(self, part->first));
    TROUPE_TRY(subscribe(self, part, part->first->flow, 2, true));
    for (unsigned i = 0; i < part->times; i++) {
        TROUPE_TRY(troupe_flow_request(self, part->subscription, 1));
        TROUPE_TRY(call(self, part->first->pid));
        TROUPE_TRY(take(self, part));
    }
    return TROUPE_OK;
}

static int put_and_serve(struct troupe_actor *self, struct part *part)
{
    TROUPE_TRY(offer(self, &part->flow));
    part->ready = true;
    for (unsigned i = 0; i < part->times; i++) {
        TROUPE_TRY(put(self, part->flow));
        TROUPE_TRY(serve(self, 1));
    }
    return TROUPE_OK;
}

Test(flow_ring, credit_on_its_way_lets_its_producer_go_on, .timeout = 60)
{
    FOR_EACH_KIND(i)
    {
        struct part p = {.play = put_and_serve, .times = TIMES};
        struct part s = {.play = grant_and_call, .first = &p, .times = TIMES};
        struct stage stage;

        stage_open(&stage, kinds[i]);
        begin(&stage, &p, &producer);
        begin(&stage, &s, &subscriber);
        expect(&stage, &p, TROUPE_OK);
        expect(&stage, &s, TROUPE_OK);
        stage_close(&stage);
    }
}

/* The end, and a farewell, as well. */
static int end_and_call(struct troupe_actor *self, struct part *part)
{
    for (unsigned i = 0; i < part->times; i++) {
        part->ready = false;
        TROUPE_TRY(offer(self, &part->flow));
        part->ready = true;
        TROUPE_TRY(put(self, part->flow));
        part->ready = false;
        TROUPE_TRY(troupe_flow_end(self, part->flow, TROUPE_OK));
        TROUPE_TRY(call(self, part->first->pid));
    }
    return TROUPE_OK;
}

static int take_to_the_end(struct troupe_actor *self, struct part *part)
{
    for (unsigned i = 0; i < part->times; i++) {
        int error;

        TROUPE_TRY(await_ready(self, part->first));
        TROUPE_TRY(subscribe(self, part, part->first->flow, 1, false));
        TROUPE_TRY(take(self, part));
        error = take(self, part);
        if (error != TROUPE_DONE) {
            return error < 0 ? error : TROUPE_EPROTO;
        }
        TROUPE_TRY(serve(self, 1));
    }
    return TROUPE_OK;
}

Test(flow_ring, the_end_lets_its_subscriber_go_on, .timeout = 60)
{
    FOR_EACH_KIND(i)
    {
        struct part p = {.play = end_and_call, .times = 50};
        struct part s = {.play = take_to_the_end, .first = &p, .times = 50};
        struct stage stage;

        stage_open(&stage, kinds[i]);
        p.first = &s;
        begin(&stage, &p, &producer);
        begin(&stage, &s, &subscriber);
        expect(&stage, &p, TROUPE_OK);
        expect(&stage, &s, TROUPE_OK);
        stage_close(&stage);
    }
}

/* What nobody offers is answered, and who answered goes on. */
static int refuse_and_call(struct troupe_actor *self, struct part *part)
{
    struct troupe_message *msg;

    part->flow = (struct troupe_flow){troupe_self(self), 77};
    for (unsigned i = 0; i < part->times; i++) {
        part->ready = true;
        TROUPE_TRY(troupe_receive(self, 60000, &msg));
        part->ready = false;
        TROUPE_TRY(call(self, part->first->pid));
    }
    return TROUPE_OK;
}

static int ask_in_vain(struct troupe_actor *self, struct part *part)
{
    for (unsigned i = 0; i < part->times; i++) {
        int error;

        TROUPE_TRY(await_ready(self, part->first));
        TROUPE_TRY(subscribe(self, part, part->first->flow, 1, false));
        TROUPE_TRY(troupe_send(self, part->first->pid, &item, &(uint64_t){1}));
        error = take(self, part);
        if (error != TROUPE_ENOENT) {
            return error < 0 ? error : TROUPE_EPROTO;
        }
        TROUPE_TRY(serve(self, 1));
    }
    return TROUPE_OK;
}

Test(flow_ring, a_refusal_lets_its_subscriber_go_on, .timeout = 60)
{
    FOR_EACH_KIND(i)
    {
        struct part p = {.play = refuse_and_call, .times = 50};
        struct part s = {.play = ask_in_vain, .first = &p, .times = 50};
        struct stage stage;

        stage_open(&stage, kinds[i]);
        p.first = &s;
        begin(&stage, &p, &producer);
        begin(&stage, &s, &subscriber);
        expect(&stage, &p, TROUPE_OK);
        expect(&stage, &s, TROUPE_OK);
        stage_close(&stage);
    }
}

/* ---- a producer that waits for one subscriber serves the others ---- */

static int retain_and_put(struct troupe_actor *self, struct part *part)
{
    TROUPE_TRY(troupe_flow_offer(
        self, (&(struct troupe_flow_options){.type = &item, .retain = true}), &part->flow));
    part->ready = true;
    TROUPE_TRY(put(self, part->flow));
    return put(self, part->flow);
}

/* It takes nothing, but calls. */
static int subscribe_and_call(struct troupe_actor *self, struct part *part)
{
    TROUPE_TRY(await_ready(self, part->first));
    TROUPE_TRY(subscribe(self, part, part->first->flow, 1, false));
    TROUPE_TRY(await_step(self, part, 1));
    TROUPE_TRY(call(self, part->second->pid));
    TROUPE_TRY(take(self, part));
    return take(self, part);
}

static int take_retained(struct troupe_actor *self, struct part *part)
{
    struct troupe_message *msg;
    int error;

    TROUPE_TRY(await_step(self, part, 1));
    TROUPE_TRY(troupe_flow_subscribe(self, part->first->flow,
        (&(struct troupe_subscribe_options){.window = 4, .retained = true}), &part->subscription));
    TROUPE_TRY(take(self, part));
    part->count = 1;
    TROUPE_TRY(await_step(self, part, 2));
    error = part->times > 0 ? take(self, part) : TROUPE_OK;
    TROUPE_TRY(serve(self, 1));
    if (error < 0) {
        return error;
    }
    return troupe_flow_next(self, part->subscription, 60000, &msg);
}

static void wait_for_one_and_serve_another(
    struct stage *stage, struct part *p, struct part *a, struct part *b)
{
    begin(stage, p, &producer);
    begin(stage, a, &subscriber);
    begin(stage, b, &other);
    await_waiting_for(stage, p, a);
    a->step = 1;
    await_waiting_for(stage, a, b);
    b->step = 1;
    STAGE_AWAIT(stage, b->count == 1 || b->done || p->done);
    cr_assert_eq(b->count, 1, "%s", troupe_strerror(b->done ? b->status : p->status));
    await_waiting_for(stage, p, a);
}

Test(flow_ring, who_waits_for_one_subscriber_serves_others_meanwhile, .timeout = 60)
{
    FOR_EACH_KIND(i)
    {
        struct part p = {.play = retain_and_put};
        struct part a = {.play = subscribe_and_call, .first = &p};
        struct part b = {.play = take_retained, .first = &p};
        struct stage stage;

        stage_open(&stage, kinds[i]);
        a.second = &b;
        wait_for_one_and_serve_another(&stage, &p, &a, &b);
        b.step = 2;
        expect(&stage, &p, TROUPE_OK);
        expect(&stage, &a, TROUPE_OK);
        expect(&stage, &b, TROUPE_OK);
        stage_close(&stage);
    }
}

Test(flow_ring, when_they_are_served_it_is_in_their_ring_again, .timeout = 60)
{
    FOR_EACH_KIND(i)
    {
        struct part p = {.play = retain_and_put};
        struct part a = {.play = subscribe_and_call, .first = &p};
        struct part b = {.play = take_retained, .first = &p, .times = 1};
        struct stage stage;

        stage_open(&stage, kinds[i]);
        a.second = &b;
        wait_for_one_and_serve_another(&stage, &p, &a, &b);
        b.step = 2;
        expect(&stage, &b, TROUPE_EDEADLK);
        expect(&stage, &p, TROUPE_OK);
        expect(&stage, &a, TROUPE_OK);
        stage_close(&stage);
    }
}

/* ---- what comes of it ---- */

Test(flow_ring, one_that_is_let_be_is_reported_once_and_ends_in_time, .timeout = 60)
{
    FOR_EACH_KIND(i)
    {
        struct part p = {.play = call_then_put};
        struct part s = {.play = take_one, .first = &p};
        struct stage stage;

        stage_open_with(&stage,
            &(struct troupe_runtime_options){.workers = kinds[i], .on_ring = TROUPE_RING_LOG});
        p.first = &s;
        begin(&stage, &s, &subscriber);
        begin(&stage, &p, &producer);
        await_waiting_for(&stage, &s, &p);
        p.step = 1;
        await_waiting_for(&stage, &p, &s);
        cr_assert_eq(stage_reports(&stage, TROUPE_REPORT_RING), 1);
        cr_assert_eq(stage.facts[TROUPE_REPORT_RING].pid, p.pid);
        cr_assert_eq(troupe_runtime_exit(stage.runtime, s.pid, TROUPE_EXIT_KILL), TROUPE_OK);
        STAGE_AWAIT(&stage, edge_of(&stage, p.pid) == TRP_EDGE_WAITING || p.done ||
                                awaited_by(&stage, &p) == TROUPE_NOBODY);
        cr_assert_eq(stage_reports(&stage, TROUPE_REPORT_RING), 1);
        stage_close(&stage);
    }
}

Test(flow_ring, who_would_close_one_fails_if_that_is_wanted, .timeout = 60)
{
    FOR_EACH_KIND(i)
    {
        struct part p = {.play = call_first};
        struct part s = {.play = call_then_take, .first = &p};
        struct stage_end end;
        struct stage stage;

        stage_open_with(&stage,
            &(struct troupe_runtime_options){.workers = kinds[i], .on_ring = TROUPE_RING_FAIL});
        p.first = &s;
        begin(&stage, &s, &subscriber);
        begin(&stage, &p, &producer);
        await_waiting_for(&stage, &p, &s);
        stage_watch(&stage, s.pid, &end);
        s.step = 1;
        expect(&stage, &p, TROUPE_EDIED);
        STAGE_AWAIT(&stage, end.count == 1);
        cr_assert_eq(end.code, TROUPE_EDEADLK);
        stage_close(&stage);
    }
}
