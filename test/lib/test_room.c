/* SPDX-License-Identifier: MIT */
/* Room: fibers that wait until a full mailbox takes their message, in one line with threads; and what ends such a wait. */
#include "sched/core.h"
#include "test/support/stage.h"

static const struct troupe_type number = TROUPE_TYPE(uint64_t);
static const struct troupe_type ask = TROUPE_TYPE(uint64_t);
static const struct troupe_type answer = TROUPE_TYPE(uint64_t);

#define ROOM 4
#define SEEN_MAX 8192

/* Both kinds of runtime. */
static const int kinds[] = {TROUPE_NO_THREADS, 1, 2};

#define FOR_EACH_KIND(i) for (size_t i = 0; i < TROUPE_COUNT(kinds); i++)

/* ---- a mailbox that is full until it is opened ---- */

struct sink {
    _Atomic bool open;
    _Atomic bool falls; /* when it is opened, in its first life */
    _Atomic unsigned lives;
    _Atomic unsigned count;
    uint64_t seen[SEEN_MAX];
};

static int sink_main(struct troupe_actor *self, const void *arg)
{
    struct sink *sink = (struct sink *)(uintptr_t)arg;
    struct troupe_message *msg;

    sink->lives++;
    while (!sink->open) {
        TROUPE_TRY(troupe_sleep(self, 1));
    }
    if (sink->falls && sink->lives == 1) {
        return TROUPE_EPROTO;
    }
    for (;;) {
        TROUPE_TRY(troupe_receive(self, TROUPE_FOREVER, &msg));
        if (troupe_is(msg, &number) && sink->count < SEEN_MAX) {
            sink->seen[sink->count] = *(const uint64_t *)troupe_body(msg);
            sink->count++;
        }
    }
}

static const struct troupe_behaviour sink_behaviour = {
    .name = "sink", .main = sink_main, .capacity = ROOM};

static void fill_up(struct stage *stage, troupe_pid pid)
{
    for (uint64_t i = 0; i < ROOM; i++) {
        stage_send(stage, pid, &number, &i);
    }
    cr_assert_eq(stage_try_send(stage, pid, &number, &(uint64_t){9}), TROUPE_EFULL);
}

static troupe_pid fill(struct stage *stage, struct sink *sink)
{
    troupe_pid pid = stage_spawn(stage, &sink_behaviour, sink);

    STAGE_AWAIT(stage, sink->lives == 1);
    fill_up(stage, pid);
    return pid;
}

static uint32_t waiters_of(struct stage *stage, troupe_pid pid)
{
    const struct troupe_actor *actor;
    struct trp_visit visit;
    uint32_t waiting = 0;

    cr_assert_eq(trp_context_enter(stage->runtime, &visit), TROUPE_OK);
    actor = trp_actor_find(stage->runtime, pid);
    if (actor != NULL) {
        waiting = trp_actor_waiters(atomic_load(&actor->waiting));
    }
    trp_context_leave(&visit);
    return waiting;
}

/* ---- those who send ---- */

struct cargo {
    uint64_t value;
    _Atomic unsigned *destroyed;
};

static void cargo_destroy(void *body)
{
    ++*((struct cargo *)body)->destroyed;
}

static const struct troupe_type cargo = TROUPE_TYPE_DESTROY(struct cargo, cargo_destroy);

struct sender {
    int (*run)(struct troupe_actor *self, struct sender *sender);
    struct stage *stage;
    troupe_pid pid;
    troupe_pid to;
    uint64_t value;
    int wait_ms;
    unsigned rounds;
    _Atomic unsigned destroyed;
    _Atomic unsigned kept; /* a message that was its own again, and whole */
    _Atomic bool done;
    int status;
    pthread_t thread;
};

static int sender_main(struct troupe_actor *self, const void *arg)
{
    struct sender *sender = (struct sender *)(uintptr_t)arg;

    sender->status = sender->run(self, sender);
    sender->done = true;
    return TROUPE_OK;
}

static const struct troupe_behaviour sender_behaviour = {
    .name = "sender",
    .main = sender_main,
    .capacity = STAGE_ROOM,
};

static int send_value(struct troupe_actor *self, struct sender *sender)
{
    return troupe_send_within(self, sender->to, &number, &sender->value, sender->wait_ms);
}

static int send_cargo(struct troupe_actor *self, struct sender *sender)
{
    struct troupe_message *msg;
    struct cargo *body;
    int error;

    TROUPE_TRY(troupe_message_create(troupe_runtime_of(self), &cargo, 0, &msg));
    body = troupe_body(msg);
    *body = (struct cargo){sender->value, &sender->destroyed};
    error = troupe_send_message_within(self, sender->to, msg, sender->wait_ms);
    if (error < 0) {
        sender->kept += sender->destroyed == 0 && body->value == sender->value;
        troupe_message_destroy(msg);
    }
    return error;
}

static int send_copy_of_cargo(struct troupe_actor *self, struct sender *sender)
{
    struct cargo body = {sender->value, &sender->destroyed};
    int error = troupe_send_within(self, sender->to, &cargo, &body, sender->wait_ms);

    sender->kept += error < 0 && sender->destroyed == 0;
    return error;
}

/* Whoever is counted stands in line, or will before anybody who comes after it. */
static void start(struct stage *stage, struct sender *sender)
{
    uint32_t before = waiters_of(stage, sender->to);

    sender->stage = stage;
    sender->pid = stage_spawn(stage, &sender_behaviour, sender);
    STAGE_AWAIT(stage, waiters_of(stage, sender->to) > before);
}

static void *send_from_thread(void *arg)
{
    struct sender *sender = arg;
    struct troupe_message *msg = stage_message(sender->stage, &number, &sender->value);

    sender->status = troupe_send_wait(sender->stage->runtime, sender->to, msg, TROUPE_FOREVER);
    if (sender->status < 0) {
        troupe_message_destroy(msg);
    }
    sender->done = true;
    return NULL;
}

static void start_thread(struct stage *stage, struct sender *sender)
{
    uint32_t before = waiters_of(stage, sender->to);

    sender->stage = stage;
    cr_assert_eq(pthread_create(&sender->thread, NULL, send_from_thread, sender), 0);
    STAGE_AWAIT(stage, waiters_of(stage, sender->to) > before);
}

static void await_all(struct stage *stage, struct sender *senders, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        STAGE_AWAIT(stage, senders[i].done);
    }
}

/* ---- getting in ---- */

Test(room, without_a_wait_it_is_as_any_other_send, .timeout = 60)
{
    FOR_EACH_KIND(i)
    {
        static struct sink sink;
        struct sender sender = {.run = send_value, .value = 5, .wait_ms = 0};
        struct stage stage;

        sink = (struct sink){.open = true};
        stage_open(&stage, kinds[i]);
        sender.to = stage_spawn(&stage, &sink_behaviour, &sink);
        (void)stage_spawn(&stage, &sender_behaviour, &sender);
        STAGE_AWAIT(&stage, sink.count == 1);
        cr_assert_eq(sink.seen[0], 5);
        STAGE_AWAIT(&stage, sender.done);
        cr_assert_eq(sender.status, TROUPE_OK);
        stage_close(&stage);
    }
}

Test(room, fibers_are_let_in_first_come_first_served, .timeout = 60)
{
    FOR_EACH_KIND(i)
    {
        static struct sink sink;
        struct sender senders[7] = {{.run = NULL}};
        struct stage stage;
        troupe_pid pid;

        sink = (struct sink){.open = false};
        stage_open(&stage, kinds[i]);
        pid = fill(&stage, &sink);
        for (unsigned n = 0; n < TROUPE_COUNT(senders); n++) {
            senders[n] = (struct sender){
                .run = send_value, .to = pid, .value = 100 + n, .wait_ms = TROUPE_FOREVER};
            start(&stage, &senders[n]);
        }
        sink.open = true;
        STAGE_AWAIT(&stage, sink.count == ROOM + TROUPE_COUNT(senders));
        await_all(&stage, senders, TROUPE_COUNT(senders));
        for (unsigned n = 0; n < TROUPE_COUNT(senders); n++) {
            cr_assert_eq(senders[n].status, TROUPE_OK);
            cr_assert_eq(sink.seen[ROOM + n], 100 + n, "number %u came out of turn", n);
        }
        cr_assert_eq(waiters_of(&stage, pid), 0);
        stage_close(&stage);
    }
}

Test(room, fibers_and_threads_stand_in_one_line, .timeout = 60)
{
    static struct sink sink;
    struct sender senders[8] = {{.run = NULL}};
    struct stage stage;
    troupe_pid pid;

    stage_open(&stage, 2);
    pid = fill(&stage, &sink);
    for (unsigned n = 0; n < TROUPE_COUNT(senders); n++) {
        senders[n] = (struct sender){
            .run = send_value, .to = pid, .value = 100 + n, .wait_ms = TROUPE_FOREVER};
        (n % 2 == 0 ? start : start_thread)(&stage, &senders[n]);
    }
    sink.open = true;
    STAGE_AWAIT(&stage, sink.count == ROOM + TROUPE_COUNT(senders));
    for (unsigned n = 0; n < TROUPE_COUNT(senders); n++) {
        STAGE_AWAIT(&stage, senders[n].done);
        cr_assert_eq(senders[n].status, TROUPE_OK);
        cr_assert_eq(sink.seen[ROOM + n], 100 + n, "number %u came out of turn", n);
        if (n % 2 != 0) {
            cr_assert_eq(pthread_join(senders[n].thread, NULL), 0);
        }
    }
    stage_close(&stage);
}

static int wait_for_the_other(struct troupe_actor *self, struct sender *sender)
{
    while (sender->to == TROUPE_NOBODY) {
        TROUPE_TRY(troupe_sleep(self, 1));
    }
    return send_value(self, sender);
}

static const struct troupe_behaviour narrow_sender = {
    .name = "narrow sender", .main = sender_main, .capacity = 1};

/* Each is full, and reads nothing while it waits, in a ring that is let be: they sleep, and do not wake each other again and
 * again. */
Test(room, two_that_wait_for_each_other_sleep, .timeout = 60)
{
    struct sender senders[2];
    struct stage stage;

    stage_open_with(&stage,
        &(struct troupe_runtime_options){.workers = TROUPE_NO_THREADS, .on_ring = TROUPE_RING_LOG});
    for (unsigned n = 0; n < 2; n++) {
        senders[n] = (struct sender){.run = wait_for_the_other, .wait_ms = TROUPE_FOREVER};
        senders[n].pid = stage_spawn(&stage, &narrow_sender, &senders[n]);
        stage_send(&stage, senders[n].pid, &number, &(uint64_t){n});
    }
    stage_run(&stage);
    senders[0].to = senders[1].pid;
    senders[1].to = senders[0].pid;
    STAGE_AWAIT(
        &stage, waiters_of(&stage, senders[0].pid) == 1 && waiters_of(&stage, senders[1].pid) == 1);
    stage_run(&stage);
    cr_assert(!senders[0].done && !senders[1].done);
    stage_close(&stage);
}

Test(room, nobody_barges_while_a_fiber_waits, .timeout = 60)
{
    FOR_EACH_KIND(i)
    {
        static struct sink sink;
        struct sender sender = {.run = send_value, .value = 100, .wait_ms = TROUPE_FOREVER};
        struct stage stage;

        sink = (struct sink){.open = false};
        stage_open(&stage, kinds[i]);
        sender.to = fill(&stage, &sink);
        start(&stage, &sender);
        cr_assert_eq(stage_try_send(&stage, sender.to, &number, &(uint64_t){9}), TROUPE_EFULL);
        sink.open = true;
        STAGE_AWAIT(&stage, sender.done && sink.count == ROOM + 1);
        stage_send(&stage, sender.to, &number, &(uint64_t){10});
        STAGE_AWAIT(&stage, sink.count == ROOM + 2);
        cr_assert_eq(sink.seen[ROOM], 100);
        cr_assert_eq(sink.seen[ROOM + 1], 10);
        stage_close(&stage);
    }
}

Test(room, a_message_is_moved_whole, .timeout = 60)
{
    FOR_EACH_KIND(i)
    {
        static struct sink sink;
        struct sender sender = {.run = send_cargo, .value = 100, .wait_ms = TROUPE_FOREVER};
        struct stage stage;

        sink = (struct sink){.open = false};
        stage_open(&stage, kinds[i]);
        sender.to = fill(&stage, &sink);
        start(&stage, &sender);
        sink.open = true;
        STAGE_AWAIT(&stage, sender.done);
        cr_assert_eq(sender.status, TROUPE_OK);
        STAGE_AWAIT(&stage, sender.destroyed == 1);
        stage_close(&stage);
        cr_assert_eq(sender.destroyed, 1);
    }
}

static int send_then_receive(struct troupe_actor *self, struct sender *sender)
{
    struct troupe_message *msg;

    TROUPE_TRY(send_value(self, sender));
    for (uint64_t i = 0; i < 3; i++) {
        TROUPE_TRY(troupe_receive(self, 0, &msg));
        if (!troupe_is(msg, &number) || *(const uint64_t *)troupe_body(msg) != i) {
            return TROUPE_EPROTO;
        }
    }
    return TROUPE_OK;
}

Test(room, messages_wait_in_their_order_while_a_fiber_waits_for_room, .timeout = 60)
{
    FOR_EACH_KIND(i)
    {
        static struct sink sink;
        struct sender sender = {.run = send_then_receive, .wait_ms = TROUPE_FOREVER};
        struct stage stage;

        sink = (struct sink){.open = false};
        stage_open(&stage, kinds[i]);
        sender.to = fill(&stage, &sink);
        start(&stage, &sender);
        for (uint64_t n = 0; n < 3; n++) {
            stage_send(&stage, sender.pid, &number, &n);
        }
        cr_assert_eq(waiters_of(&stage, sender.to), 1);
        sink.open = true;
        STAGE_AWAIT(&stage, sender.done);
        cr_assert_eq(sender.status, TROUPE_OK, "%s", troupe_strerror(sender.status));
        stage_close(&stage);
    }
}

/* Its next life has the mailbox, the line, and room. */
Test(room, who_waits_for_one_at_a_stable_address_waits_across_its_lives, .timeout = 60)
{
    static struct sink sink;
    struct troupe_child_spec child = {.id = "sink",
        .behaviour = &sink_behaviour,
        .arg = &sink,
        .restart = TROUPE_PERMANENT,
        .keep_mailbox = true};
    struct troupe_supervisor_spec tree = {
        .name = "room", .children = &child, .child_count = 1, .intensity = 5};
    struct sender sender = {.run = send_value, .value = 100, .wait_ms = TROUPE_FOREVER};
    struct stage stage;
    troupe_pid supervisor;

    sink.falls = true;
    stage_open(&stage, 2);
    cr_assert_eq(troupe_supervisor_start(stage.runtime, &tree, 10000, &supervisor), TROUPE_OK);
    STAGE_AWAIT(&stage, sink.lives == 1);
    sender.to = troupe_runtime_whereis(stage.runtime, "room.sink");
    fill_up(&stage, sender.to);
    start(&stage, &sender);
    sink.open = true;
    STAGE_AWAIT(&stage, sender.done && sink.count == ROOM + 1);
    cr_assert_eq(sender.status, TROUPE_OK);
    cr_assert_eq(sink.lives, 2);
    cr_assert_eq(sink.seen[ROOM], 100);
    stage_close(&stage);
}

/* ---- waiting in vain ---- */

Test(room, who_waits_in_vain_times_out_and_keeps_what_it_sent, .timeout = 60)
{
    static int (*const runs[])(struct troupe_actor *, struct sender *) = {
        send_cargo, send_copy_of_cargo};

    for (size_t run = 0; run < TROUPE_COUNT(runs); run++) {
        FOR_EACH_KIND(i)
        {
            static struct sink sink;
            struct sender sender = {.run = runs[run], .value = 100, .wait_ms = 20};
            struct stage stage;
            uint64_t begin_ns;

            sink = (struct sink){.open = false};
            stage_open(&stage, kinds[i]);
            sender.to = fill(&stage, &sink);
            begin_ns = troupe_now_ns(stage.runtime);
            (void)stage_spawn(&stage, &sender_behaviour, &sender);
            STAGE_AWAIT(&stage, sender.done);
            cr_assert_eq(sender.status, TROUPE_ETIMEDOUT);
            cr_assert_geq(troupe_now_ns(stage.runtime) - begin_ns, 20000000);
            cr_assert_eq(sender.kept, 1);
            cr_assert_eq(waiters_of(&stage, sender.to), 0);
            stage_close(&stage);
        }
    }
}

Test(room, who_does_not_wait_is_told_so_at_once, .timeout = 60)
{
    static struct sink sink;
    struct sender sender = {.run = send_cargo, .value = 100, .wait_ms = 0};
    struct stage stage;

    stage_open(&stage, TROUPE_NO_THREADS);
    sender.to = fill(&stage, &sink);
    (void)stage_spawn(&stage, &sender_behaviour, &sender);
    STAGE_AWAIT(&stage, sender.done);
    cr_assert_eq(sender.status, TROUPE_ETIMEDOUT);
    cr_assert_eq(sender.kept, 1);
    stage_close(&stage);
}

Test(room, who_waits_is_told_when_the_receiver_ends, .timeout = 60)
{
    FOR_EACH_KIND(i)
    {
        static struct sink sink;
        struct sender senders[5] = {{.run = NULL}};
        struct stage stage;
        troupe_pid pid;

        sink = (struct sink){.falls = true};
        stage_open(&stage, kinds[i]);
        pid = fill(&stage, &sink);
        for (unsigned n = 0; n < TROUPE_COUNT(senders); n++) {
            senders[n] = (struct sender){
                .run = send_cargo, .to = pid, .value = 100 + n, .wait_ms = TROUPE_FOREVER};
            start(&stage, &senders[n]);
        }
        sink.open = true;
        await_all(&stage, senders, TROUPE_COUNT(senders));
        for (unsigned n = 0; n < TROUPE_COUNT(senders); n++) {
            cr_assert_eq(senders[n].status, TROUPE_EGONE);
            cr_assert_eq(senders[n].kept, 1);
        }
        stage_close(&stage);
    }
}

static int fill_own(struct troupe_actor *self, struct sender *sender)
{
    sender->to = troupe_self(self);
    for (unsigned i = 0; i < STAGE_ROOM; i++) {
        TROUPE_TRY(send_value(self, sender));
    }
    return send_cargo(self, sender);
}

Test(room, nobody_waits_for_room_in_its_own_mailbox, .timeout = 60)
{
    struct sender sender = {.run = fill_own, .wait_ms = TROUPE_FOREVER};
    struct stage stage;

    stage_open(&stage, TROUPE_NO_THREADS);
    (void)stage_spawn(&stage, &sender_behaviour, &sender);
    STAGE_AWAIT(&stage, sender.done);
    cr_assert_eq(sender.status, TROUPE_EFULL);
    cr_assert_eq(sender.kept, 1);
    stage_close(&stage);
}

/* ---- on behalf of somebody ---- */

/* A handler that passes what it was asked on, and waits for room. */
static int broker_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct sender *sender = *(struct sender **)state;

    sender->status = send_value(self, sender);
    sender->done = true;
    return troupe_is_request(msg) ? troupe_reply(self, msg, &answer, &sender->value) : TROUPE_OK;
}

static int broker_init(struct troupe_actor *self, void *state, const void *arg)
{
    (void)self;
    *(struct sender **)state = (struct sender *)(uintptr_t)arg;
    return TROUPE_OK;
}

static const struct troupe_behaviour broker = {.name = "broker",
    .state_size = sizeof(struct sender *),
    .init = broker_init,
    .receive = broker_receive,
    .may_wait = true};

static int ask_broker(struct troupe_actor *self, struct sender *asker)
{
    uint64_t got;

    return troupe_call(self, asker->to, &ask, &asker->value, &answer, &got, asker->wait_ms);
}

Test(room, a_handler_waits_no_longer_than_who_asked_for_it, .timeout = 60)
{
    FOR_EACH_KIND(i)
    {
        static struct sink sink;
        struct sender sender = {.value = 7, .wait_ms = TROUPE_FOREVER};
        struct sender asker = {.run = ask_broker, .wait_ms = 30};
        struct stage stage;

        sink = (struct sink){.open = false};
        stage_open(&stage, kinds[i]);
        sender.to = fill(&stage, &sink);
        asker.to = stage_spawn(&stage, &broker, &sender);
        (void)stage_spawn(&stage, &sender_behaviour, &asker);
        STAGE_AWAIT(&stage, sender.done && asker.done);
        cr_assert_eq(sender.status, TROUPE_ETIMEDOUT);
        cr_assert_eq(asker.status, TROUPE_ETIMEDOUT);
        cr_assert_eq(waiters_of(&stage, sender.to), 0);
        stage_close(&stage);
    }
}

/* ---- the end of who waits ---- */

static const enum troupe_exit signals[] = {TROUPE_EXIT_KILL, TROUPE_EXIT_SHUTDOWN};

Test(room, one_that_ends_leaves_the_line_and_its_message_ends_once, .timeout = 120)
{
    static int (*const runs[])(struct troupe_actor *, struct sender *) = {
        send_cargo, send_copy_of_cargo};

    for (size_t row = 0; row < TROUPE_COUNT(runs) * TROUPE_COUNT(signals); row++) {
        FOR_EACH_KIND(i)
        {
            static struct sink sink;
            struct sender first = {
                .run = runs[row / 2], .value = 100, .wait_ms = row % 2 == 0 ? 3600000 : -1};
            struct sender second = {.run = send_value, .value = 101, .wait_ms = TROUPE_FOREVER};
            struct stage stage;
            struct stage_end end;

            sink = (struct sink){.open = false};
            stage_open(&stage, kinds[i]);
            first.to = second.to = fill(&stage, &sink);
            start(&stage, &first);
            start(&stage, &second);
            stage_watch(&stage, first.pid, &end);
            cr_assert_eq(
                troupe_runtime_exit(stage.runtime, first.pid, signals[row % 2]), TROUPE_OK);
            STAGE_AWAIT(&stage, end.count == 1);
            cr_assert_not(first.done);
            cr_assert_eq(first.destroyed, 1);
            cr_assert_eq(waiters_of(&stage, first.to), 1);
            sink.open = true;
            STAGE_AWAIT(&stage, second.done && sink.count == ROOM + 1);
            cr_assert_eq(second.status, TROUPE_OK);
            cr_assert_eq(sink.seen[ROOM], 101);
            stage_close(&stage);
            cr_assert_eq(first.destroyed, 1);
        }
    }
}

/* Takes a request, and waits for room to pass it on. */
static int take_and_pass(struct troupe_actor *self, struct sender *sender)
{
    struct troupe_message *msg;
    struct troupe_message *taken;

    TROUPE_TRY(troupe_receive(self, TROUPE_FOREVER, &msg));
    TROUPE_TRY(troupe_take(self, msg, &taken));
    return troupe_send_message_within(self, sender->to, taken, sender->wait_ms);
}

Test(room, a_request_whose_holder_ends_while_it_waits_is_answered, .timeout = 60)
{
    FOR_EACH_KIND(i)
    {
        static struct sink sink;
        struct sender holder = {.run = take_and_pass, .wait_ms = TROUPE_FOREVER};
        struct sender asker = {.run = ask_broker, .wait_ms = 3600000};
        struct stage stage;

        sink = (struct sink){.open = false};
        stage_open(&stage, kinds[i]);
        holder.to = fill(&stage, &sink);
        holder.pid = asker.to = stage_spawn(&stage, &sender_behaviour, &holder);
        (void)stage_spawn(&stage, &sender_behaviour, &asker);
        STAGE_AWAIT(&stage, waiters_of(&stage, holder.to) == 1);
        cr_assert_eq(troupe_runtime_exit(stage.runtime, holder.pid, TROUPE_EXIT_KILL), TROUPE_OK);
        STAGE_AWAIT(&stage, asker.done);
        cr_assert_eq(asker.status, TROUPE_EDIED);
        stage_close(&stage);
    }
}

/* The runtime stops while many wait: all leave, nothing is lost. */
Test(room, a_runtime_stops_with_many_in_line, .timeout = 60)
{
    FOR_EACH_KIND(i)
    {
        static struct sink sink;
        static struct sender senders[100];
        struct stage stage;
        troupe_pid pid;
        unsigned destroyed = 0;

        sink = (struct sink){.open = false};
        stage_open(&stage, kinds[i]);
        pid = fill(&stage, &sink);
        for (unsigned n = 0; n < TROUPE_COUNT(senders); n++) {
            senders[n] = (struct sender){
                .run = send_cargo, .to = pid, .value = n, .wait_ms = TROUPE_FOREVER};
            start(&stage, &senders[n]);
        }
        stage_close(&stage);
        for (unsigned n = 0; n < TROUPE_COUNT(senders); n++) {
            destroyed += senders[n].destroyed;
        }
        cr_assert_eq(destroyed, TROUPE_COUNT(senders));
    }
}

/* ---- all at once ---- */

/* Numbers of its own, in order; some waits are too short, and tried again. */
static int send_rounds(struct troupe_actor *self, struct sender *sender)
{
    for (uint64_t i = 0; i < sender->rounds; i++) {
        uint64_t value = sender->value << 32 | i;
        int error;

        do {
            int wait_ms = (int)((i + sender->value) % 3) - 1;

            error = troupe_send_within(self, sender->to, &number, &value, wait_ms);
        } while (error == TROUPE_ETIMEDOUT);
        if (error < 0) {
            return error;
        }
    }
    return TROUPE_OK;
}

Test(room, many_fibers_get_everything_in_each_ones_order, .timeout = 120)
{
    enum { SENDERS = 40, ROUNDS = 100 };
    static struct sender senders[SENDERS];
    static struct sink sink;
    uint64_t next[SENDERS] = {0};
    struct stage stage;
    troupe_pid pid;

    sink.open = true;
    stage_open(&stage, 2);
    pid = stage_spawn(&stage, &sink_behaviour, &sink);
    for (unsigned n = 0; n < SENDERS; n++) {
        senders[n] = (struct sender){.run = send_rounds, .to = pid, .value = n, .rounds = ROUNDS};
        (void)stage_spawn(&stage, &sender_behaviour, &senders[n]);
    }
    await_all(&stage, senders, SENDERS);
    STAGE_AWAIT(&stage, sink.count == SENDERS * ROUNDS);
    for (unsigned i = 0; i < SENDERS * ROUNDS; i++) {
        uint64_t from = sink.seen[i] >> 32;

        cr_assert_eq(sink.seen[i] & UINT32_MAX, next[from], "sender %u", (unsigned)from);
        next[from]++;
    }
    stage_close(&stage);
}
