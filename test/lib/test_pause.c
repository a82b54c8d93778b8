/* SPDX-License-Identifier: MIT */
/* Pauses: handlers that send more than others take, how they go on, and what they never hold up. */
#include "sched/core.h"
#include "sched/pause.h"
#include "test/support/clock.h"
#include "test/support/stage.h"

static const struct troupe_type number = TROUPE_TYPE(uint64_t);
static const struct troupe_type ask = TROUPE_TYPE(uint64_t);
static const struct troupe_type answer = TROUPE_TYPE(uint64_t);

#define ROOM 8
#define MARGIN 2
#define SEEN_MAX 4096

/* Both kinds of runtime. */
static const int kinds[] = {TROUPE_NO_THREADS, 1, 2};

#define FOR_EACH_KIND(i) for (size_t i = 0; i < TROUPE_COUNT(kinds); i++)

/* ---- who does not read until it is opened ---- */

struct sink {
    _Atomic bool open;
    _Atomic unsigned count;
    _Atomic unsigned takes; /* it reads so many, and no more until it may take more; 0: all */
    int (*after)(struct troupe_actor *self, struct sink *sink); /* each message; or NULL */
    uint64_t seen[SEEN_MAX];
};

static int sink_main(struct troupe_actor *self, const void *arg)
{
    struct sink *sink = (struct sink *)(uintptr_t)arg;
    struct troupe_message *msg;

    for (;;) {
        while (!sink->open || (sink->takes > 0 && sink->count >= sink->takes)) {
            TROUPE_TRY(troupe_sleep(self, 1));
        }
        TROUPE_TRY(troupe_receive(self, TROUPE_FOREVER, &msg));
        if (troupe_is(msg, &number)) {
            sink->seen[sink->count % SEEN_MAX] = *(const uint64_t *)troupe_body(msg);
            sink->count++;
            TROUPE_TRY(sink->after != NULL ? sink->after(self, sink) : TROUPE_OK);
        }
    }
}

static const struct troupe_behaviour sink_behaviour = {
    .name = "sink", .main = sink_main, .capacity = ROOM, .margin = MARGIN};

static void fill(struct stage *stage, troupe_pid pid, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        stage_send(stage, pid, &number, &i);
    }
}

static troupe_pid full_sink(struct stage *stage, struct sink *sink)
{
    troupe_pid pid = stage_spawn(stage, &sink_behaviour, sink);

    fill(stage, pid, ROOM);
    cr_assert_eq(stage_try_send(stage, pid, &number, &(uint64_t){0}), TROUPE_EFULL,
        "the margin is for handlers");
    return pid;
}

/* ---- who sends ---- */

struct sending {
    troupe_pid to;
    uint64_t first;
    unsigned count;
    unsigned sent;
    bool pressure;
    int status;
};

static int send_many(struct troupe_actor *self, void *arg)
{
    struct sending *sending = arg;

    for (unsigned i = 0; i < sending->count; i++) {
        uint64_t value = sending->first + i;

        sending->status = troupe_send(self, sending->to, &number, &value);
        if (sending->status < 0) {
            break;
        }
        sending->sent++;
    }
    sending->pressure = troupe_pressure(self);
    return TROUPE_OK;
}

static int count_up(struct troupe_actor *self, void *arg)
{
    (void)self;
    ++*(_Atomic unsigned *)arg;
    return TROUPE_OK;
}

static enum trp_pause_state state_of(struct stage *stage, troupe_pid pid)
{
    enum trp_pause_state state = TRP_PAUSE_OUT;
    struct trp_edge *edge = NULL;
    struct troupe_actor *actor;
    struct trp_visit visit;

    cr_assert_eq(trp_context_enter(stage->runtime, &visit), TROUPE_OK);
    actor = trp_actor_find(stage->runtime, pid);
    if (actor != NULL) {
        edge = trp_pressure_edge(actor);
    }
    if (edge != NULL && atomic_load(&edge->pause) != NULL) {
        state = atomic_load(&atomic_load(&edge->pause)->state);
    }
    trp_context_leave(&visit);
    return state;
}

static bool is_paused(struct stage *stage, troupe_pid pid)
{
    return state_of(stage, pid) == TRP_PAUSE_ASLEEP;
}

static uint32_t length_of(struct stage *stage, troupe_pid pid)
{
    uint32_t length = 0;

    cr_assert_eq(troupe_mailbox_length(stage->runtime, pid, &length), TROUPE_OK);
    return length;
}

/* One that is paused on a full sink, in a scene of these two. */
struct scene {
    struct stage stage;
    struct sink sink;
    struct sending sending;
    troupe_pid full;
    troupe_pid sender;
    _Atomic unsigned later; /* handled after it was paused */
};

static void scene_open_with(
    struct scene *scene, int kind, const struct troupe_behaviour *sender, unsigned count)
{
    memset(scene, 0, sizeof *scene);
    stage_open(&scene->stage, kind);
    scene->full = full_sink(&scene->stage, &scene->sink);
    scene->sender = stage_spawn(&scene->stage, sender, NULL);
    scene->sending = (struct sending){.to = scene->full, .first = ROOM, .count = count};
}

static void scene_open(struct scene *scene, int kind)
{
    scene_open_with(scene, kind, &stage_puppet, 1);
    cr_assert_eq(stage_do(&scene->stage, scene->sender, send_many, &scene->sending), TROUPE_OK);
    cr_assert_eq(scene->sending.status, TROUPE_OK);
    STAGE_AWAIT(&scene->stage, is_paused(&scene->stage, scene->sender));
    stage_tell(&scene->stage, scene->sender, count_up, &scene->later);
}

/* ---- the pause ---- */

Test(pause, who_sends_to_a_full_mailbox_is_paused_until_half_of_it_was_read, .timeout = 60)
{
    FOR_EACH_KIND(i)
    {
        static struct scene scene;

        scene_open(&scene, kinds[i]);
        cr_assert(scene.sending.pressure);
        cr_assert_eq(length_of(&scene.stage, scene.full), ROOM + 1, "it was taken");
        if (!scene.stage.threads) {
            stage_run(&scene.stage);
        }
        cr_assert_eq(scene.later, 0, "it handles nothing");
        scene.sink.takes = ROOM / 2;
        scene.sink.open = true;
        STAGE_AWAIT(&scene.stage, scene.sink.count == ROOM / 2);
        cr_assert_eq(scene.later, 0, "one more than half is queued");
        scene.sink.takes = ROOM / 2 + 1;
        STAGE_AWAIT(&scene.stage, scene.later == 1);
        cr_assert_eq(state_of(&scene.stage, scene.sender), TRP_PAUSE_OUT);
        stage_close(&scene.stage);
    }
}

Test(pause, nothing_is_lost_and_all_is_in_order, .timeout = 60)
{
    FOR_EACH_KIND(i)
    {
        static struct scene scene;

        scene_open(&scene, kinds[i]);
        scene.sink.open = true;
        STAGE_AWAIT(&scene.stage, scene.sink.count == ROOM + 1);
        for (unsigned k = 0; k <= ROOM; k++) {
            cr_assert_eq(scene.sink.seen[k], k);
        }
        cr_assert_eq(stage_books(&scene.stage).refused, 1, "the one of the test's own thread");
        stage_close(&scene.stage);
    }
}

Test(pause, above_the_margin_it_is_refused, .timeout = 60)
{
    static struct scene scene;

    scene_open_with(&scene, TROUPE_NO_THREADS, &stage_puppet, MARGIN + 1);
    (void)stage_do(&scene.stage, scene.sender, send_many, &scene.sending);
    cr_assert_eq(scene.sending.sent, MARGIN);
    cr_assert_eq(scene.sending.status, TROUPE_EFULL);
    cr_assert_eq(length_of(&scene.stage, scene.full), ROOM + MARGIN);
    stage_close(&scene.stage);
}

Test(pause, one_callback_uses_sixteen_places_of_margins, .timeout = 60)
{
    static const struct troupe_behaviour wide = {
        .name = "wide", .main = sink_main, .capacity = ROOM, .margin = 100};
    struct sending sending = {.count = ROOM + TROUPE_PAUSE_BURST + 1};
    static struct sink sink;
    struct stage stage;

    stage_open(&stage, TROUPE_NO_THREADS);
    sending.to = stage_spawn(&stage, &wide, &sink);
    (void)stage_do(&stage, stage_spawn(&stage, &stage_puppet, NULL), send_many, &sending);
    cr_assert_eq(sending.sent, ROOM + TROUPE_PAUSE_BURST);
    cr_assert_eq(sending.status, TROUPE_EFULL);
    stage_close(&stage);
}

Test(pause, whoever_sends_below_the_capacity_is_not_paused, .timeout = 60)
{
    static struct sink sink;
    struct sending sending = {.count = ROOM};
    _Atomic unsigned later = 0;
    troupe_pid sender;
    struct stage stage;

    stage_open(&stage, TROUPE_NO_THREADS);
    sending.to = stage_spawn(&stage, &sink_behaviour, &sink);
    sender = stage_spawn(&stage, &stage_puppet, NULL);
    (void)stage_do(&stage, sender, send_many, &sending);
    cr_assert_eq(sending.sent, ROOM);
    cr_assert_not(sending.pressure);
    (void)stage_do(&stage, sender, count_up, &later);
    stage_close(&stage);
}

/* Its receiver has read enough before the handler is over: another worker's, so here it is read by what comes last. */
Test(pause, one_whose_receiver_has_room_again_goes_on_at_once, .timeout = 60)
{
    static struct scene scene;

    scene_open(&scene, TROUPE_NO_THREADS);
    scene.sink.open = true;
    STAGE_AWAIT(&scene.stage, scene.later == 1);
    scene.sending = (struct sending){.to = scene.full, .count = ROOM / 2};
    (void)stage_do(&scene.stage, scene.sender, send_many, &scene.sending);
    cr_assert_not(scene.sending.pressure);
    stage_close(&scene.stage);
}

/* ---- pressure goes on ---- */

struct stage_of_pipe {
    troupe_pid to;
    _Atomic unsigned passed;
};

static int pipe_init(struct troupe_actor *self, void *state, const void *arg)
{
    (void)self;
    *(struct stage_of_pipe **)state = (struct stage_of_pipe *)(uintptr_t)arg;
    return TROUPE_OK;
}

static int pipe_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct stage_of_pipe *pipe = *(struct stage_of_pipe **)state;

    TROUPE_TRY(troupe_send(self, pipe->to, &number, troupe_body(msg)));
    pipe->passed++;
    return TROUPE_OK;
}

static const struct troupe_behaviour pipe_behaviour = {.name = "pipe",
    .state_size = sizeof(struct stage_of_pipe *),
    .init = pipe_init,
    .receive = pipe_receive,
    .capacity = ROOM,
    .margin = MARGIN};

struct source {
    troupe_pid to;
    uint64_t left;
    _Atomic uint64_t next; /* others look at it */
};

static int pour(struct troupe_actor *self, void *arg)
{
    struct source *source = arg;
    struct stage_job again = {.run = pour, .arg = source};

    if (source->left == 0) {
        return TROUPE_OK;
    }
    TROUPE_TRY(troupe_send(self, source->to, &number, &(uint64_t){source->next}));
    source->next++;
    source->left--;
    return troupe_send(self, troupe_self(self), &stage_job, &again);
}

Test(pause, pressure_goes_through_all_stages_and_nothing_is_refused, .timeout = 60)
{
    FOR_EACH_KIND(i)
    {
        static struct sink sink;
        struct stage_of_pipe pipes[4] = {{0}};
        struct source source = {.left = 1000};
        troupe_pid pid;
        struct stage stage;

        memset(&sink, 0, sizeof sink);
        stage_open(&stage, kinds[i]);
        pid = stage_spawn(&stage, &sink_behaviour, &sink);
        for (unsigned k = 0; k < 4; k++) {
            pipes[k].to = pid;
            pid = stage_spawn(&stage, &pipe_behaviour, &pipes[k]);
        }
        source.to = pid;
        pid = stage_spawn(&stage, &stage_roomy, NULL);
        stage_tell(&stage, pid, pour, &source);
        STAGE_AWAIT(&stage, is_paused(&stage, pid));
        cr_assert_leq(source.next, 5 * (ROOM + MARGIN), "no stage holds more");
        sink.open = true;
        STAGE_AWAIT(&stage, sink.count == 1000);
        for (unsigned k = 0; k < 1000; k++) {
            cr_assert_eq(sink.seen[k], k);
        }
        cr_assert_eq(stage_books(&stage).refused, 0);
        stage_close(&stage);
    }
}

#define SENDERS 40

struct crowd {
    struct sink sink; /* first */
    struct stage stage;
    troupe_pid senders[SENDERS];
    unsigned paused[SEEN_MAX]; /* how many still were, when so many had been read */
};

/* Its room is given back, and those that go on for that run. */
static int count_paused(struct troupe_actor *self, struct sink *sink)
{
    struct crowd *crowd = (struct crowd *)sink;

    TROUPE_TRY(troupe_yield(self));
    for (unsigned i = 0; i < SENDERS; i++) {
        if (is_paused(&crowd->stage, crowd->senders[i])) {
            cr_assert(i + 1 == SENDERS || is_paused(&crowd->stage, crowd->senders[i + 1]),
                "first come, first served");
            crowd->paused[sink->count]++;
        }
    }
    return TROUPE_OK;
}

Test(pause, they_go_on_first_come_first_served_and_some_at_a_time, .timeout = 60)
{
    static const struct troupe_behaviour wide = {
        .name = "wide", .main = sink_main, .capacity = 32, .margin = SENDERS};
    struct sending sending = {.count = 1};
    static struct crowd crowd;

    stage_open(&crowd.stage, TROUPE_NO_THREADS);
    sending.to = stage_spawn(&crowd.stage, &wide, &crowd.sink);
    fill(&crowd.stage, sending.to, 32);
    for (unsigned i = 0; i < SENDERS; i++) {
        crowd.senders[i] = stage_spawn(&crowd.stage, &stage_puppet, NULL);
        (void)stage_do(&crowd.stage, crowd.senders[i], send_many, &sending);
        cr_assert(is_paused(&crowd.stage, crowd.senders[i]));
    }
    crowd.sink.after = count_paused;
    crowd.sink.open = true;
    STAGE_AWAIT(&crowd.stage, crowd.sink.count == 32 + SENDERS);
    stage_run(&crowd.stage);
    cr_assert_eq(crowd.paused[SENDERS + 15], SENDERS, "seventeen are queued");
    for (unsigned i = SENDERS + 16; i < 32 + SENDERS; i++) {
        cr_assert_leq(crowd.paused[i], crowd.paused[i - 1] - 1);
        cr_assert_geq(crowd.paused[i], crowd.paused[i - 1] - 2, "one for sixteen places");
    }
    cr_assert_not(is_paused(&crowd.stage, crowd.senders[SENDERS - 1]), "all, when it is empty");
    stage_close(&crowd.stage);
}

/* ---- how else it ends ---- */

static int kill_it(struct troupe_actor *self, void *arg)
{
    return troupe_kill(self, *(troupe_pid *)arg);
}

static void kill_from(struct stage *stage, troupe_pid pid)
{
    (void)stage_do(stage, stage_spawn(stage, &stage_puppet, NULL), kill_it, &pid);
}

Test(pause, a_kill_ends_it_at_once, .timeout = 60)
{
    FOR_EACH_KIND(i)
    {
        static struct scene scene;
        struct stage_end end;

        scene_open(&scene, kinds[i]);
        stage_watch(&scene.stage, scene.sender, &end);
        kill_from(&scene.stage, scene.sender);
        STAGE_AWAIT(&scene.stage, end.count == 1);
        cr_assert_eq(end.kind, TROUPE_EXIT_KILLED);
        cr_assert_eq(scene.later, 0);
        scene.sink.open = true;
        STAGE_AWAIT(&scene.stage, scene.sink.count == ROOM + 1);
        stage_close(&scene.stage);
    }
}

static int shut_down(struct troupe_actor *self, void *arg)
{
    return troupe_send_exit(self, *(troupe_pid *)arg, TROUPE_EXIT_SHUTDOWN);
}

Test(pause, an_exit_signal_ends_it_at_once, .timeout = 60)
{
    FOR_EACH_KIND(i)
    {
        static struct scene scene;
        struct stage_end end;

        scene_open(&scene, kinds[i]);
        stage_watch(&scene.stage, scene.sender, &end);
        (void)stage_do(
            &scene.stage, stage_spawn(&scene.stage, &stage_puppet, NULL), shut_down, &scene.sender);
        STAGE_AWAIT(&scene.stage, end.count == 1);
        cr_assert_eq(end.kind, TROUPE_EXIT_SHUTDOWN);
        cr_assert_eq(scene.later, 0);
        stage_close(&scene.stage);
    }
}

Test(pause, who_traps_exits_stays_paused, .timeout = 60)
{
    static const struct troupe_behaviour trapping = {
        .name = "trapping", .receive = stage_puppet_receive, .trap_exit = true};
    static struct scene scene;

    scene_open_with(&scene, TROUPE_NO_THREADS, &trapping, 1);
    (void)stage_do(&scene.stage, scene.sender, send_many, &scene.sending);
    cr_assert(is_paused(&scene.stage, scene.sender));
    stage_tell(&scene.stage, scene.sender, count_up, &scene.later);
    (void)stage_do(
        &scene.stage, stage_spawn(&scene.stage, &stage_puppet, NULL), shut_down, &scene.sender);
    stage_run(&scene.stage);
    cr_assert(is_paused(&scene.stage, scene.sender));
    scene.sink.open = true;
    STAGE_AWAIT(&scene.stage, scene.later == 1);
    stage_close(&scene.stage);
}

Test(pause, it_goes_on_when_its_receiver_ends, .timeout = 60)
{
    FOR_EACH_KIND(i)
    {
        static struct scene scene;

        scene_open(&scene, kinds[i]);
        kill_from(&scene.stage, scene.full);
        STAGE_AWAIT(&scene.stage, scene.later == 1);
        (void)stage_do(&scene.stage, scene.sender, send_many, &scene.sending);
        cr_assert_eq(scene.sending.status, TROUPE_EGONE);
        stage_close(&scene.stage);
    }
}

Test(pause, one_that_takes_too_long_is_reported_and_refused_until_it_has_read_some, .timeout = 60)
{
    static struct scene scene;
    struct stage *stage = &scene.stage;

    scene_open(&scene, TROUPE_NO_THREADS);
    clock_skip_ms(TROUPE_PAUSE_MS_DEFAULT - 100);
    stage_run(stage);
    cr_assert_eq(scene.later, 0);
    clock_skip_ms(200);
    stage_run(stage);
    cr_assert_eq(scene.later, 1, "it goes on");
    cr_assert_eq(stage_reports(stage, TROUPE_REPORT_PAUSED), 1);
    cr_assert_eq(stage->facts[TROUPE_REPORT_PAUSED].pid, scene.sender);
    cr_assert_eq(stage->facts[TROUPE_REPORT_PAUSED].count, ROOM + 1);
    cr_assert_not_null(strstr(stage->text[TROUPE_REPORT_PAUSED], "sink"));
    scene.sending = (struct sending){.to = scene.full, .count = 1};
    (void)stage_do(stage, scene.sender, send_many, &scene.sending);
    cr_assert_eq(scene.sending.status, TROUPE_EFULL, "there is still margin, but not for it");
    scene.sink.open = true;
    STAGE_AWAIT(stage, scene.sink.count == ROOM + 1);
    scene.sink.open = false;
    stage_run(stage);
    scene.sending = (struct sending){.to = scene.full, .count = ROOM + 2};
    (void)stage_do(stage, scene.sender, send_many, &scene.sending);
    cr_assert_geq(scene.sending.sent, ROOM + 1, "into the margin again");
    cr_assert(is_paused(stage, scene.sender));
    stage_close(stage);
}

/* ---- several receivers ---- */

static int send_to_two(struct troupe_actor *self, void *arg)
{
    struct sending *sendings = arg;

    TROUPE_TRY(send_many(self, &sendings[0]));
    return send_many(self, &sendings[1]);
}

Test(pause, it_is_paused_on_each_that_was_full, .timeout = 60)
{
    static struct sink sinks[2];
    struct sending sendings[2];
    _Atomic unsigned later = 0;
    troupe_pid sender;
    struct stage stage;

    stage_open(&stage, TROUPE_NO_THREADS);
    for (unsigned i = 0; i < 2; i++) {
        sendings[i] = (struct sending){.to = full_sink(&stage, &sinks[i]), .count = 1};
    }
    sender = stage_spawn(&stage, &stage_puppet, NULL);
    (void)stage_do(&stage, sender, send_to_two, sendings);
    stage_tell(&stage, sender, count_up, &later);
    sinks[0].open = true;
    STAGE_AWAIT(&stage, sinks[0].count == ROOM + 1);
    stage_run(&stage);
    cr_assert(is_paused(&stage, sender), "on the second");
    cr_assert_eq(later, 0);
    sinks[1].open = true;
    STAGE_AWAIT(&stage, later == 1);
    stage_close(&stage);
}

/* ---- rings ---- */

static const struct troupe_behaviour narrow_puppet = {
    .name = "narrow", .receive = stage_puppet_receive, .capacity = 1, .margin = 1};

struct partner {
    troupe_pid to;
    struct partner *other;
    unsigned sent;
    unsigned refused;
};

/* Sends two to the other one, which does the same for each. */
static int exchange(struct troupe_actor *self, void *arg)
{
    struct partner *partner = arg;
    struct stage_job job = {.run = exchange, .arg = partner->other};

    for (unsigned i = 0; i < 2; i++) {
        int error = troupe_send(self, partner->to, &stage_job, &job);

        if (error == TROUPE_OK) {
            partner->sent++;
        } else if (error == TROUPE_EFULL) {
            partner->refused++;
        } else {
            return error;
        }
    }
    return TROUPE_OK;
}

Test(pause, two_that_fill_each_other_are_not_both_paused, .timeout = 60)
{
    struct partner partners[2] = {{.other = &partners[1]}, {.other = &partners[0]}};
    troupe_pid pids[2];
    struct stage stage;
    int wait_ms;

    stage_open(&stage, TROUPE_NO_THREADS);
    for (unsigned i = 0; i < 2; i++) {
        pids[i] = stage_spawn(&stage, &narrow_puppet, NULL);
    }
    partners[0].to = pids[1];
    partners[1].to = pids[0];
    for (unsigned i = 0; i < 2; i++) {
        stage_tell(&stage, pids[i], exchange, &partners[i]);
    }
    while (partners[0].sent + partners[1].sent < 10000) {
        cr_assert_eq(troupe_runtime_turn(stage.runtime, 1, &wait_ms), TROUPE_OK);
        cr_assert_eq(wait_ms, 0, "somebody always has something to do");
    }
    cr_assert_gt(partners[0].refused + partners[1].refused, 0);
    stage_close(&stage);
}

struct caller {
    struct sink sink; /* first: it is one as well */
    troupe_pid to;
    int status;
    _Atomic bool calls;
    _Atomic bool done;
};

/* Does not read, calls when it is told to, and reads then. */
static int caller_main(struct troupe_actor *self, const void *arg)
{
    struct caller *caller = (struct caller *)(uintptr_t)arg;
    uint64_t got;

    while (!caller->calls) {
        TROUPE_TRY(troupe_sleep(self, 1));
    }
    caller->status =
        troupe_call(self, caller->to, &ask, &(uint64_t){1}, &answer, &got, TROUPE_FOREVER);
    caller->done = true;
    return sink_main(self, &caller->sink);
}

static int answering_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    if (troupe_is(msg, &ask)) {
        return troupe_reply(self, msg, &answer, troupe_body(msg));
    }
    return stage_puppet_receive(self, state, msg);
}

static const struct troupe_behaviour caller_behaviour = {
    .name = "caller", .main = caller_main, .capacity = ROOM, .margin = MARGIN};
static const struct troupe_behaviour answering = {
    .name = "answering", .receive = answering_receive};

Test(pause, who_is_called_by_one_on_which_it_is_paused_goes_on_and_answers, .timeout = 60)
{
    FOR_EACH_KIND(i)
    {
        static struct caller caller;
        struct sending sending = {.count = 1};
        struct stage stage;

        memset(&caller, 0, sizeof caller);
        stage_open(&stage, kinds[i]);
        caller.to = stage_spawn(&stage, &answering, NULL);
        sending.to = stage_spawn(&stage, &caller_behaviour, &caller);
        fill(&stage, sending.to, ROOM);
        (void)stage_do(&stage, caller.to, send_many, &sending);
        STAGE_AWAIT(&stage, is_paused(&stage, caller.to));
        caller.calls = true;
        STAGE_AWAIT(&stage, caller.done);
        cr_assert_eq(caller.status, TROUPE_OK, "%s", troupe_strerror(caller.status));
        stage_close(&stage);
    }
}

/* ---- who is not paused ---- */

Test(pause, who_is_never_paused_uses_the_margin_and_is_refused_then, .timeout = 60)
{
    static const struct troupe_behaviour never = {
        .name = "never", .receive = stage_puppet_receive, .never_paused = true};
    static struct scene scene;

    scene_open_with(&scene, TROUPE_NO_THREADS, &never, MARGIN + 1);
    (void)stage_do(&scene.stage, scene.sender, send_many, &scene.sending);
    cr_assert_eq(scene.sending.sent, MARGIN);
    cr_assert_eq(scene.sending.status, TROUPE_EFULL);
    cr_assert_not(scene.sending.pressure);
    (void)stage_do(&scene.stage, scene.sender, count_up, &scene.later);
    stage_close(&scene.stage);
}

static int hold_and_send(struct troupe_actor *self, void *arg)
{
    struct scene *scene = arg;
    struct troupe_reservation room = {.to = troupe_self(self), .count = 1};
    struct troupe_lease lease;

    cr_assert_eq(troupe_reserve(self, &room, 0, &lease), TROUPE_OK);
    return send_many(self, &scene->sending);
}

/* Others may wait for the room that it holds. */
Test(pause, who_holds_room_is_not_paused, .timeout = 60)
{
    static const struct troupe_behaviour roomy = {
        .name = "roomy", .receive = stage_puppet_receive, .capacity = 4};
    static struct scene scene;

    scene_open_with(&scene, TROUPE_NO_THREADS, &roomy, 1);
    (void)stage_do(&scene.stage, scene.sender, hold_and_send, &scene);
    cr_assert_eq(scene.sending.status, TROUPE_OK, "it uses the margin");
    cr_assert_not(scene.sending.pressure);
    cr_assert_not(is_paused(&scene.stage, scene.sender));
    stage_close(&scene.stage);
}

static int send_to_itself(struct troupe_actor *self, void *arg)
{
    struct sending *sending = arg;

    sending->to = troupe_self(self);
    return send_many(self, sending);
}

static int narrow_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    return troupe_is(msg, &number) ? TROUPE_OK : stage_puppet_receive(self, state, msg);
}

Test(pause, who_sends_to_itself_uses_the_margin_and_is_refused_then, .timeout = 60)
{
    static const struct troupe_behaviour narrow = {
        .name = "narrow", .receive = narrow_receive, .capacity = ROOM, .margin = MARGIN};
    struct sending sending = {.count = ROOM + MARGIN + 1};
    _Atomic unsigned later = 0;
    troupe_pid pid;
    struct stage stage;

    stage_open(&stage, TROUPE_NO_THREADS);
    pid = stage_spawn(&stage, &narrow, NULL);
    (void)stage_do(&stage, pid, send_to_itself, &sending);
    cr_assert_geq(sending.sent, ROOM + MARGIN - 1, "what is being handled may still count");
    cr_assert_eq(sending.status, TROUPE_EFULL);
    (void)stage_do(&stage, pid, count_up, &later);
    stage_close(&stage);
}

static int try_many(struct troupe_actor *self, void *arg)
{
    struct scene *scene = arg;
    struct troupe_message *msg = stage_message(&scene->stage, &number, &(uint64_t){1});

    (void)self;
    scene->sending.status = troupe_try_send(scene->stage.runtime, scene->full, msg);
    troupe_message_destroy(msg);
    return TROUPE_OK;
}

Test(pause, who_only_tries_is_refused_at_the_capacity, .timeout = 60)
{
    static struct scene scene;

    scene_open_with(&scene, TROUPE_NO_THREADS, &stage_puppet, 1);
    (void)stage_do(&scene.stage, scene.sender, try_many, &scene);
    cr_assert_eq(scene.sending.status, TROUPE_EFULL);
    cr_assert_not(is_paused(&scene.stage, scene.sender));
    stage_close(&scene.stage);
}

Test(pause, without_a_margin_it_is_refused_at_the_capacity, .timeout = 60)
{
    static const struct troupe_behaviour sharp = {
        .name = "sharp", .main = sink_main, .capacity = ROOM, .margin = TROUPE_NO_MARGIN};
    struct sending sending = {.count = ROOM + 1};
    static struct sink sink;
    struct stage stage;

    stage_open(&stage, TROUPE_NO_THREADS);
    sending.to = stage_spawn(&stage, &sharp, &sink);
    (void)stage_do(&stage, stage_spawn(&stage, &stage_puppet, NULL), send_many, &sending);
    cr_assert_eq(sending.sent, ROOM);
    cr_assert_eq(sending.status, TROUPE_EFULL);
    stage_close(&stage);
}

/* ---- the other ways to send ---- */

static int send_batch(struct troupe_actor *self, void *arg)
{
    struct scene *scene = arg;
    struct troupe_message *msgs[MARGIN];

    for (unsigned i = 0; i < MARGIN; i++) {
        msgs[i] = stage_message(&scene->stage, &number, &(uint64_t){ROOM + i});
    }
    scene->sending.status = troupe_send_batch(self, scene->full, msgs, MARGIN);
    return TROUPE_OK;
}

static int on_answer(
    struct troupe_actor *self, void *state, void *context, int status, struct troupe_message *reply)
{
    (void)self;
    (void)state;
    (void)context;
    (void)status;
    (void)reply;
    return TROUPE_OK;
}

static int request(struct troupe_actor *self, void *arg)
{
    struct scene *scene = arg;

    scene->sending.status =
        troupe_request(self, scene->full, &ask, &(uint64_t){1}, 10000, on_answer, NULL);
    return TROUPE_OK;
}

static int move(struct troupe_actor *self, void *arg)
{
    struct scene *scene = arg;
    struct troupe_message *msg = stage_message(&scene->stage, &number, &(uint64_t){ROOM});

    scene->sending.status = troupe_send_message(self, scene->full, msg);
    return TROUPE_OK;
}

Test(pause, batches_requests_and_moved_messages_are_sent_like_others, .timeout = 60)
{
    static const stage_job_fn ways[] = {send_batch, request, move};

    for (size_t i = 0; i < TROUPE_COUNT(ways); i++) {
        static struct scene scene;

        scene_open_with(&scene, TROUPE_NO_THREADS, &stage_puppet, 1);
        (void)stage_do(&scene.stage, scene.sender, ways[i], &scene);
        cr_assert_eq(scene.sending.status, TROUPE_OK);
        cr_assert(is_paused(&scene.stage, scene.sender));
        scene.sink.open = true;
        STAGE_AWAIT(&scene.stage, !is_paused(&scene.stage, scene.sender));
        stage_close(&scene.stage);
    }
}

/* ---- callbacks that may wait ---- */

static int patient_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    return stage_puppet_receive(self, state, msg);
}

static const struct troupe_behaviour patient = {
    .name = "patient", .receive = patient_receive, .may_wait = true};

Test(pause, a_callback_that_may_wait_waits_for_room_in_the_middle, .timeout = 60)
{
    FOR_EACH_KIND(i)
    {
        static struct scene scene;

        scene_open_with(&scene, kinds[i], &patient, 2 * ROOM);
        stage_tell(&scene.stage, scene.sender, send_many, &scene.sending);
        if (!scene.stage.threads) {
            stage_run(&scene.stage);
        }
        cr_assert_eq(length_of(&scene.stage, scene.full), ROOM, "not into the margin");
        scene.sink.open = true;
        STAGE_AWAIT(&scene.stage, scene.sink.count == 3 * ROOM);
        for (unsigned k = 0; k < 3 * ROOM; k++) {
            cr_assert_eq(scene.sink.seen[k], k);
        }
        stage_close(&scene.stage);
    }
}

Test(pause, and_not_for_ever, .timeout = 60)
{
    static struct scene scene;

    scene_open_with(&scene, TROUPE_NO_THREADS, &patient, 1);
    stage_tell(&scene.stage, scene.sender, send_many, &scene.sending);
    stage_run(&scene.stage);
    clock_skip_ms(TROUPE_SEND_WAIT_MS + 100);
    stage_run(&scene.stage);
    cr_assert_eq(scene.sending.status, TROUPE_ETIMEDOUT);
    stage_close(&scene.stage);
}
