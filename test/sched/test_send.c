/* SPDX-License-Identifier: MIT */
/* Send: what is accepted, refused and waited for; who owns the message then; in which order messages arrive. */
#include "core.h"
#include "test/support/stage.h"
#include "test/support/team.h"

/* ---- a receiver that notes what comes ---- */

#define NOTES_MAX 4096

struct notes {
    unsigned count;
    uint64_t value[NOTES_MAX];
    troupe_pid sender[NOTES_MAX];
    size_t size[NOTES_MAX];
};

struct cargo {
    uint64_t value;
    _Atomic unsigned *destroyed;
};

static void cargo_destroy(void *body)
{
    const struct cargo *cargo = body;

    (*cargo->destroyed)++;
}

static const struct troupe_type number = TROUPE_TYPE(uint64_t);
static const struct troupe_type bytes = TROUPE_BYTES;
static const struct troupe_type signal_type = TROUPE_SIGNAL;
static const struct troupe_type cargo = TROUPE_TYPE_DESTROY(struct cargo, cargo_destroy);

static int noter_init(struct troupe_actor *self, void *state, const void *arg)
{
    (void)self;
    *(struct notes **)state = (struct notes *)(uintptr_t)arg;
    return TROUPE_OK;
}

static int noter_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct notes *notes = *(struct notes **)state;
    int status;

    if (stage_is_job(self, msg, &status)) {
        return status;
    }
    if (notes->count < NOTES_MAX) {
        notes->sender[notes->count] = troupe_sender(msg);
        notes->size[notes->count] = troupe_body_size(msg);
        notes->value[notes->count] =
            troupe_body_size(msg) >= 8 ? *(const uint64_t *)troupe_body(msg) : 0;
        notes->count++;
    }
    return TROUPE_OK;
}

static const struct troupe_behaviour noter = {
    .name = "noter",
    .state_size = sizeof(struct notes *),
    .init = noter_init,
    .receive = noter_receive,
    .capacity = STAGE_ROOM,
};

static const struct troupe_behaviour small_noter = {
    .name = "small noter",
    .state_size = sizeof(struct notes *),
    .init = noter_init,
    .receive = noter_receive,
    .margin = TROUPE_NO_MARGIN,
    .capacity = 4,
};

/* Takes eight blocks of one line. */
static const struct troupe_behaviour light_noter = {
    .name = "light noter",
    .state_size = sizeof(struct notes *),
    .init = noter_init,
    .receive = noter_receive,
    .capacity_bytes = 512,
};

/* ---- full ---- */

Test(send, a_mailbox_takes_its_capacity_and_not_one_more, .timeout = 60)
{
    struct stage stage;
    static struct notes notes;
    struct troupe_message *msg;
    uint32_t length;
    troupe_pid pid;

    stage_open(&stage, TROUPE_NO_THREADS);
    pid = stage_spawn(&stage, &small_noter, &notes);
    for (uint64_t i = 0; i < 4; i++) {
        stage_send(&stage, pid, &number, &i);
    }
    cr_assert_eq(troupe_mailbox_length(stage.runtime, pid, &length), TROUPE_OK);
    cr_assert_eq(length, 4);
    msg = stage_message(&stage, &number, &(uint64_t){99});
    cr_assert_eq(troupe_try_send(stage.runtime, pid, msg), TROUPE_EFULL);
    cr_assert_eq(*(uint64_t *)troupe_body(msg), 99, "still ours");
    stage_run(&stage);
    cr_assert_eq(notes.count, 4);
    cr_assert_eq(troupe_try_send(stage.runtime, pid, msg), TROUPE_OK, "there is room again");
    stage_run(&stage);
    cr_assert_eq(notes.value[4], 99);
    cr_assert_eq(stage_books(&stage).refused, 1);
    stage_close(&stage);
}

Test(send, a_mailbox_is_full_in_bytes_too, .timeout = 60)
{
    struct stage stage;
    static struct notes notes;
    troupe_pid pid;

    stage_open(&stage, TROUPE_NO_THREADS);
    pid = stage_spawn(&stage, &light_noter, &notes);
    for (uint64_t i = 0; i < 8; i++) {
        stage_send(&stage, pid, &number, &i);
    }
    cr_assert_eq(stage_try_send(&stage, pid, &number, &(uint64_t){8}), TROUPE_EFULL);
    stage_run(&stage);
    cr_assert_eq(notes.count, 8);
    stage_send(&stage, pid, &number, &(uint64_t){8});
    stage_close(&stage);
}

Test(send, what_can_never_fit_is_emsgsize_also_while_the_mailbox_is_empty, .timeout = 60)
{
    struct stage stage;
    static struct notes notes;
    struct troupe_message *msg;
    troupe_pid pid;

    stage_open(&stage, TROUPE_NO_THREADS);
    pid = stage_spawn(&stage, &light_noter, &notes);
    cr_assert_eq(troupe_message_create(stage.runtime, &bytes, 1000, &msg), TROUPE_OK);
    cr_assert_eq(troupe_try_send(stage.runtime, pid, msg), TROUPE_EMSGSIZE);
    cr_assert_eq(troupe_send_wait(stage.runtime, pid, msg, 1000), TROUPE_EMSGSIZE);
    troupe_message_destroy(msg);
    stage_close(&stage);
}

Test(send, capacity_comes_back_also_after_messages_nobody_knew, .timeout = 60)
{
    struct stage stage;
    static const struct troupe_behaviour ignorant = {
        .name = "ignorant", .receive = stage_puppet_receive, .capacity = 3};
    troupe_pid pid;

    stage_open(&stage, TROUPE_NO_THREADS);
    pid = stage_spawn(&stage, &ignorant, NULL);
    for (int round = 0; round < 10; round++) {
        for (uint64_t i = 0; i < 3; i++) {
            stage_send(&stage, pid, &number, &i);
        }
        stage_run(&stage);
    }
    cr_assert_eq(stage_books(&stage).unknown, 30);
    stage_close(&stage);
}

/* ---- refused: the message, its body and its sender are as before ---- */

struct attempt {
    troupe_pid to;
    const struct troupe_type *type;
    const void *body;
    int result;
};

static int attempt_send(struct troupe_actor *self, void *arg)
{
    struct attempt *attempt = arg;

    attempt->result = troupe_send(self, attempt->to, attempt->type, attempt->body);
    return TROUPE_OK;
}

Test(send, a_copied_body_that_is_refused_stays_the_callers, .timeout = 60)
{
    struct stage stage;
    static struct notes notes;
    _Atomic unsigned destroyed = 0;
    struct cargo body = {1, &destroyed};
    struct attempt attempt = {.type = &cargo, .body = &body};
    troupe_pid puppet;

    stage_open(&stage, TROUPE_NO_THREADS);
    puppet = stage_spawn(&stage, &stage_puppet, NULL);
    attempt.to = stage_spawn(&stage, &small_noter, &notes);
    for (uint64_t i = 0; i < 4; i++) {
        stage_send(&stage, attempt.to, &number, &i);
    }
    /* The puppet was spawned first and runs first. */
    stage_tell(&stage, puppet, attempt_send, &attempt);
    stage_run(&stage);
    cr_assert(attempt.result == TROUPE_EFULL || attempt.result == TROUPE_OK);
    cr_assert_eq(destroyed, attempt.result == TROUPE_OK);
    attempt.to = TROUPE_NOBODY;
    destroyed = 0;
    cr_assert_eq(stage_do(&stage, puppet, attempt_send, &attempt), TROUPE_OK);
    cr_assert_eq(attempt.result, TROUPE_EGONE);
    cr_assert_eq(destroyed, 0);
    stage_close(&stage);
}

Test(send, a_moved_message_that_is_refused_is_destroyed_by_its_owner_once, .timeout = 60)
{
    struct stage stage;
    _Atomic unsigned destroyed = 0;
    struct troupe_message *msg;

    stage_open(&stage, TROUPE_NO_THREADS);
    msg = stage_message(&stage, &cargo, &(struct cargo){1, &destroyed});
    cr_assert_eq(troupe_try_send(stage.runtime, TROUPE_NOBODY, msg), TROUPE_EGONE);
    cr_assert_eq(troupe_try_send(stage.runtime, 0x123456789abcd, msg), TROUPE_EGONE);
    cr_assert_eq(troupe_send_wait(stage.runtime, 0x123456789abcd, msg, 10), TROUPE_EGONE);
    cr_assert_eq(destroyed, 0);
    troupe_message_destroy(msg);
    cr_assert_eq(destroyed, 1);
    stage_close(&stage);
}

Test(send, a_body_is_destroyed_once_after_it_was_handled, .timeout = 60)
{
    struct stage stage;
    static struct notes notes;
    _Atomic unsigned destroyed = 0;
    troupe_pid pid;

    stage_open(&stage, TROUPE_NO_THREADS);
    pid = stage_spawn(&stage, &noter, &notes);
    for (uint64_t i = 0; i < 100; i++) {
        stage_send(&stage, pid, &cargo, &(struct cargo){i, &destroyed});
    }
    cr_assert_eq(destroyed, 0);
    stage_run(&stage);
    cr_assert_eq(notes.count, 100);
    cr_assert_eq(destroyed, 100);
    stage_close(&stage);
    cr_assert_eq(destroyed, 100);
}

/* ---- order, sender, sizes ---- */

struct burst {
    troupe_pid to;
    uint64_t first;
    uint64_t count;
};

static int send_burst(struct troupe_actor *self, void *arg)
{
    const struct burst *burst = arg;

    for (uint64_t i = 0; i < burst->count; i++) {
        uint64_t value = burst->first + i;

        TROUPE_TRY(troupe_send(self, burst->to, &number, &value));
    }
    return TROUPE_OK;
}

Test(send, messages_of_one_sender_arrive_in_order_and_name_it, .timeout = 60)
{
    struct stage stage;
    static struct notes notes;
    struct burst bursts[2];
    troupe_pid puppets[2];
    uint64_t next[2] = {0, 1000};

    stage_open(&stage, 2);
    for (int i = 0; i < 2; i++) {
        puppets[i] = stage_spawn(&stage, &stage_puppet, NULL);
    }
    bursts[0].to = stage_spawn(&stage, &noter, &notes);
    bursts[0] = (struct burst){bursts[0].to, 0, 500};
    bursts[1] = (struct burst){bursts[0].to, 1000, 500};
    stage_tell(&stage, puppets[0], send_burst, &bursts[0]);
    stage_tell(&stage, puppets[1], send_burst, &bursts[1]);
    STAGE_AWAIT(&stage, stage_books(&stage).handled >= 1002);
    stage_close(&stage);
    cr_assert_eq(notes.count, 1000);
    for (unsigned i = 0; i < notes.count; i++) {
        int from = notes.value[i] >= 1000;

        cr_assert_eq(notes.sender[i], puppets[from]);
        cr_assert_eq(notes.value[i], next[from]);
        next[from]++;
    }
}

Test(send, a_message_from_outside_names_nobody, .timeout = 60)
{
    struct stage stage;
    static struct notes notes;
    troupe_pid pid;

    stage_open(&stage, TROUPE_NO_THREADS);
    pid = stage_spawn(&stage, &noter, &notes);
    stage_send(&stage, pid, &signal_type, NULL);
    stage_run(&stage);
    cr_assert_eq(notes.count, 1);
    cr_assert_eq(notes.sender[0], TROUPE_NOBODY);
    cr_assert_eq(notes.size[0], 0);
    stage_close(&stage);
}

struct sized {
    troupe_pid to;
    size_t size;
    bool intact;
};

static int send_sized(struct troupe_actor *self, void *arg)
{
    struct sized *sized = arg;
    unsigned char *body = malloc(sized->size + 1);
    int error;

    memset(body, (int)(sized->size % 251), sized->size);
    error = troupe_send_bytes(self, sized->to, &bytes, sized->size > 0 ? body : NULL, sized->size);
    free(body);
    return error;
}

static int checker_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct sized *sized = *(struct sized **)state;
    const unsigned char *body = troupe_body(msg);
    bool intact = troupe_body_size(msg) == sized->size && (uintptr_t)body % 16 == 0;

    (void)self;
    for (size_t i = 0; intact && i < sized->size; i++) {
        intact = body[i] == sized->size % 251;
    }
    sized->intact = intact;
    return TROUPE_OK;
}

static const struct troupe_behaviour checker = {.name = "checker",
    .state_size = sizeof(struct notes *),
    .init = noter_init,
    .receive = checker_receive};

Test(send, bodies_of_every_size_arrive_whole_and_aligned, .timeout = 60)
{
    struct stage stage;
    struct sized sized = {0};
    static const size_t sizes[] = {0, 1, 8, 31, 32, 33, 63, 64, 65, 96, 97, 127, 128, 129, 255, 256,
        1000, 2000, 4000, 4032, 4033, 4064, 4065, 4096, 4097, 10000, 100000, 1000000};
    troupe_pid puppet;

    stage_open(&stage, TROUPE_NO_THREADS);
    puppet = stage_spawn(&stage, &stage_puppet, NULL);
    sized.to = stage_spawn(&stage, &checker, &sized);
    for (size_t i = 0; i < TROUPE_COUNT(sizes); i++) {
        sized.size = sizes[i];
        sized.intact = false;
        cr_assert_eq(stage_do(&stage, puppet, send_sized, &sized), TROUPE_OK);
        cr_assert(sized.intact, "%zu bytes", sizes[i]);
    }
    stage_close(&stage);
}

/* ---- batches ---- */

struct batch {
    troupe_pid to;
    struct troupe_message *msgs[8];
    size_t count;
    int result;
};

static int send_batch(struct troupe_actor *self, void *arg)
{
    struct batch *batch = arg;

    batch->result = troupe_send_batch(self, batch->to, batch->msgs, batch->count);
    return TROUPE_OK;
}

Test(send, a_batch_goes_whole_or_not_at_all, .timeout = 60)
{
    struct stage stage;
    static struct notes notes;
    struct batch batch = {.count = 5};
    _Atomic unsigned destroyed = 0;
    troupe_pid puppet;

    stage_open(&stage, TROUPE_NO_THREADS);
    puppet = stage_spawn(&stage, &stage_puppet, NULL);
    batch.to = stage_spawn(&stage, &small_noter, &notes);
    for (uint64_t i = 0; i < 5; i++) {
        batch.msgs[i] = stage_message(&stage, &cargo, &(struct cargo){i, &destroyed});
    }
    (void)stage_do(&stage, puppet, send_batch, &batch);
    cr_assert_eq(batch.result, TROUPE_EFULL, "five do not fit into four");
    cr_assert_eq(notes.count, 0);
    cr_assert_eq(destroyed, 0);
    batch.count = 4;
    (void)stage_do(&stage, puppet, send_batch, &batch);
    cr_assert_eq(batch.result, TROUPE_OK);
    cr_assert_eq(notes.count, 4);
    for (unsigned i = 0; i < 4; i++) {
        cr_assert_eq(notes.value[i], i);
        cr_assert_eq(notes.sender[i], puppet);
    }
    cr_assert_eq(destroyed, 4);
    troupe_message_destroy(batch.msgs[4]);
    cr_assert_eq(destroyed, 5);
    batch.count = 0;
    (void)stage_do(&stage, puppet, send_batch, &batch);
    cr_assert_eq(batch.result, TROUPE_OK, "nothing is sent easily");
    stage_close(&stage);
}

/* ---- take, hold, forward ---- */

struct relay {
    troupe_pid to;
    struct troupe_message *held;
    int result;
    int again;
};

static int keeper_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct relay *relay = *(struct relay **)state;
    int status;

    if (stage_is_job(self, msg, &status)) {
        return status;
    }
    relay->result = troupe_take(self, msg, &relay->held);
    relay->again = troupe_take(self, msg, &relay->held);
    return TROUPE_OK;
}

static int forwarder_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct relay *relay = *(struct relay **)state;

    relay->result = troupe_forward(self, relay->to, msg);
    return TROUPE_OK;
}

static const struct troupe_behaviour keeper = {.name = "keeper",
    .state_size = sizeof(struct relay *),
    .init = noter_init,
    .receive = keeper_receive};

static const struct troupe_behaviour forwarder = {.name = "forwarder",
    .state_size = sizeof(struct relay *),
    .init = noter_init,
    .receive = forwarder_receive};

static int send_held(struct troupe_actor *self, void *arg)
{
    struct relay *relay = arg;

    relay->result = troupe_send_message(self, relay->to, relay->held);
    return TROUPE_OK;
}

Test(send, a_message_taken_outlives_its_handler_and_can_be_sent_on, .timeout = 60)
{
    struct stage stage;
    static struct notes notes;
    struct relay relay = {0};
    _Atomic unsigned destroyed = 0;
    troupe_pid pid;

    stage_open(&stage, TROUPE_NO_THREADS);
    pid = stage_spawn(&stage, &keeper, &relay);
    relay.to = stage_spawn(&stage, &noter, &notes);
    stage_send(&stage, pid, &cargo, &(struct cargo){7, &destroyed});
    stage_run(&stage);
    cr_assert_eq(relay.result, TROUPE_OK);
    cr_assert_eq(relay.again, TROUPE_EINVAL, "taken before");
    cr_assert_eq(destroyed, 0);
    cr_assert_eq(*(const uint64_t *)troupe_body(relay.held), 7);
    cr_assert(troupe_is(relay.held, &cargo));
    (void)stage_do(&stage, pid, send_held, &relay);
    cr_assert_eq(relay.result, TROUPE_OK);
    cr_assert_eq(notes.count, 1);
    cr_assert_eq(notes.value[0], 7);
    cr_assert_eq(notes.sender[0], pid);
    cr_assert_eq(destroyed, 1);
    stage_close(&stage);
}

Test(send, a_message_taken_and_destroyed_is_destroyed_once, .timeout = 60)
{
    struct stage stage;
    struct relay relay = {0};
    _Atomic unsigned destroyed = 0;
    troupe_pid pid;

    stage_open(&stage, TROUPE_NO_THREADS);
    pid = stage_spawn(&stage, &keeper, &relay);
    stage_send(&stage, pid, &cargo, &(struct cargo){7, &destroyed});
    stage_run(&stage);
    troupe_message_destroy(relay.held);
    cr_assert_eq(destroyed, 1);
    stage_close(&stage);
    cr_assert_eq(destroyed, 1);
}

Test(send, a_forwarded_message_keeps_its_sender_and_is_destroyed_once, .timeout = 60)
{
    struct stage stage;
    static struct notes notes;
    struct relay relay = {0};
    _Atomic unsigned destroyed = 0;
    struct cargo body = {5, &destroyed};
    struct attempt attempt = {.type = &cargo, .body = &body};
    troupe_pid puppet;

    stage_open(&stage, TROUPE_NO_THREADS);
    puppet = stage_spawn(&stage, &stage_puppet, NULL);
    relay.to = stage_spawn(&stage, &noter, &notes);
    attempt.to = stage_spawn(&stage, &forwarder, &relay);
    (void)stage_do(&stage, puppet, attempt_send, &attempt);
    cr_assert_eq(relay.result, TROUPE_OK);
    cr_assert_eq(notes.count, 1);
    cr_assert_eq(notes.sender[0], puppet);
    cr_assert_eq(destroyed, 1);
    /* Nobody there: it stays the handler's, and ends with it. */
    relay.to = TROUPE_NOBODY;
    destroyed = 0;
    (void)stage_do(&stage, puppet, attempt_send, &attempt);
    cr_assert_eq(relay.result, TROUPE_EGONE);
    cr_assert_eq(destroyed, 1);
    stage_close(&stage);
}

/* A handler moved the very message it was called with; nothing said no. */
static int try_send_current_receive(
    struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct relay *relay = *(struct relay **)state;

    relay->result = troupe_try_send(troupe_runtime_of(self), relay->to, msg);
    return TROUPE_OK;
}

Test(send, the_handlers_own_message_cannot_be_moved_by_try_send, .timeout = 60)
{
    struct stage stage;
    static struct notes notes;
    struct relay relay = {0};
    static const struct troupe_behaviour mover = {.name = "mover",
        .state_size = sizeof(struct relay *),
        .init = noter_init,
        .receive = try_send_current_receive};
    troupe_pid pid;

    stage_open(&stage, TROUPE_NO_THREADS);
    relay.to = stage_spawn(&stage, &noter, &notes);
    pid = stage_spawn(&stage, &mover, &relay);
    stage_send(&stage, pid, &number, &(uint64_t){1});
    stage_run(&stage);
    cr_assert_eq(relay.result, TROUPE_EINVAL);
    cr_assert_eq(notes.count, 0);
    stage_close(&stage);
}

/* ---- a body that owns another message ---- */

struct parcel {
    struct troupe_message *inside;
};

static void parcel_destroy(void *body)
{
    troupe_message_destroy(((struct parcel *)body)->inside);
}

static const struct troupe_type parcel = TROUPE_TYPE_DESTROY(struct parcel, parcel_destroy);

/* On a foreign thread the second call waited for the lock that the first one held. */
Test(send, a_destructor_may_end_another_message_on_any_thread, .timeout = 10)
{
    struct stage stage;
    static struct notes notes;
    _Atomic unsigned destroyed = 0;
    struct parcel body;
    troupe_pid pid;

    stage_open(&stage, TROUPE_NO_THREADS);
    body.inside = stage_message(&stage, &cargo, &(struct cargo){1, &destroyed});
    troupe_message_destroy(stage_message(&stage, &parcel, &body));
    cr_assert_eq(destroyed, 1);
    pid = stage_spawn(&stage, &noter, &notes);
    body.inside = stage_message(&stage, &cargo, &(struct cargo){1, &destroyed});
    stage_send(&stage, pid, &parcel, &body);
    stage_run(&stage);
    cr_assert_eq(destroyed, 2);
    stage_close(&stage);
}

/* ---- waiting for room ---- */

/* Holds its worker until it may go on; then notes like the others. */
struct gate {
    struct latch entered;
    struct latch go;
    struct notes notes;
};

#define GATE                                                                                       \
    {                                                                                              \
        .entered = LATCH_INIT, .go = LATCH_INIT                                                    \
    }

static int hold(struct troupe_actor *self, void *arg)
{
    struct gate *gate = arg;

    (void)self;
    latch_hit(&gate->entered);
    return latch_wait(&gate->go, 1) ? TROUPE_OK : TROUPE_ETIMEDOUT;
}

static int hold_and_be_done(struct troupe_actor *self, void *arg)
{
    int error = hold(self, arg);

    return error < 0 ? error : TROUPE_DONE;
}

struct waiting_sender {
    struct stage *stage;
    troupe_pid to;
    uint64_t value;
    int wait_ms;
    int result;
    pthread_t thread;
};

static void *send_and_wait(void *arg)
{
    struct waiting_sender *sender = arg;
    struct troupe_message *msg = NULL;

    if (troupe_message_create(sender->stage->runtime, &number, 0, &msg) < 0) {
        sender->result = TROUPE_ENOMEM;
        return NULL;
    }
    *(uint64_t *)troupe_body(msg) = sender->value;
    sender->result = troupe_send_wait(sender->stage->runtime, sender->to, msg, sender->wait_ms);
    if (sender->result < 0) {
        troupe_message_destroy(msg);
    }
    return NULL;
}

/* Fills the mailbox of a small noter that holds its worker. */
static troupe_pid fill(struct stage *stage, struct gate *gate, stage_job_fn job)
{
    troupe_pid pid = stage_spawn(stage, &small_noter, &gate->notes);

    stage_tell(stage, pid, job, gate);
    cr_assert(latch_wait(&gate->entered, 1));
    /* The job itself is still charged. */
    for (uint64_t i = 0; i < 3; i++) {
        stage_send(stage, pid, &number, &i);
    }
    cr_assert_eq(stage_try_send(stage, pid, &number, &(uint64_t){9}), TROUPE_EFULL);
    return pid;
}

/* How many wait for room in the mailbox of `pid`. */
static uint32_t waiters_of(struct stage *stage, troupe_pid pid)
{
    const struct troupe_actor *actor;
    struct trp_visit visit;
    uint32_t waiting;

    cr_assert_eq(trp_context_enter(stage->runtime, &visit), TROUPE_OK);
    actor = trp_actor_find(stage->runtime, pid);
    cr_assert_not_null(actor);
    waiting = atomic_load(&actor->waiting);
    trp_context_leave(&visit);
    return waiting;
}

/* Whoever is counted as waiting stands in the list, or will before anybody who comes after it. */
static void start_waiter(struct stage *stage, struct waiting_sender *sender)
{
    uint32_t before = waiters_of(stage, sender->to);

    sender->stage = stage;
    cr_assert_eq(pthread_create(&sender->thread, NULL, send_and_wait, sender), 0);
    STAGE_AWAIT(stage, waiters_of(stage, sender->to) > before);
}

Test(send, who_waits_is_let_in_first_come_first_served, .timeout = 60)
{
    struct stage stage;
    static struct gate gate = GATE;
    struct waiting_sender senders[6];
    troupe_pid pid;

    stage_open(&stage, 2);
    pid = fill(&stage, &gate, hold);
    for (unsigned i = 0; i < TROUPE_COUNT(senders); i++) {
        senders[i] =
            (struct waiting_sender){.to = pid, .value = 100 + i, .wait_ms = TROUPE_FOREVER};
        start_waiter(&stage, &senders[i]);
    }
    latch_hit(&gate.go);
    for (unsigned i = 0; i < TROUPE_COUNT(senders); i++) {
        pthread_join(senders[i].thread, NULL);
        cr_assert_eq(senders[i].result, TROUPE_OK);
    }
    STAGE_AWAIT(&stage, stage_books(&stage).queued == 0);
    stage_close(&stage);
    cr_assert_eq(gate.notes.count, 3 + TROUPE_COUNT(senders));
    for (unsigned i = 0; i < TROUPE_COUNT(senders); i++) {
        cr_assert_eq(gate.notes.value[3 + i], 100 + i, "number %u came out of turn", i);
    }
}

Test(send, nobody_barges_while_others_wait, .timeout = 60)
{
    struct stage stage;
    static struct gate gate = GATE;
    struct waiting_sender sender = {.value = 100, .wait_ms = TROUPE_FOREVER};

    stage_open(&stage, 2);
    sender.to = fill(&stage, &gate, hold);
    start_waiter(&stage, &sender);
    cr_assert_eq(stage_try_send(&stage, sender.to, &number, &(uint64_t){9}), TROUPE_EFULL);
    latch_hit(&gate.go);
    pthread_join(sender.thread, NULL);
    cr_assert_eq(sender.result, TROUPE_OK);
    STAGE_AWAIT(&stage, stage_books(&stage).queued == 0);
    stage_send(&stage, sender.to, &number, &(uint64_t){10});
    /* What is still queued when the runtime stops is not handled. */
    STAGE_AWAIT(&stage, stage_books(&stage).queued == 0);
    stage_close(&stage);
    cr_assert_eq(gate.notes.value[3], 100);
    cr_assert_eq(gate.notes.value[4], 10);
}

Test(send, who_waits_in_vain_times_out_and_keeps_the_message, .timeout = 60)
{
    struct stage stage;
    static struct gate gate = GATE;
    _Atomic unsigned destroyed = 0;
    struct troupe_message *msg;
    uint64_t begin_ns;
    troupe_pid pid;

    stage_open(&stage, 2);
    pid = fill(&stage, &gate, hold);
    msg = stage_message(&stage, &cargo, &(struct cargo){1, &destroyed});
    cr_assert_eq(troupe_send_wait(stage.runtime, pid, msg, 0), TROUPE_ETIMEDOUT);
    begin_ns = troupe_now_ns(stage.runtime);
    cr_assert_eq(troupe_send_wait(stage.runtime, pid, msg, 50), TROUPE_ETIMEDOUT);
    cr_assert_geq(troupe_now_ns(stage.runtime) - begin_ns, 50000000);
    cr_assert_eq(destroyed, 0);
    latch_hit(&gate.go);
    cr_assert_eq(troupe_send_wait(stage.runtime, pid, msg, 30000), TROUPE_OK);
    STAGE_AWAIT(&stage, destroyed == 1);
    stage_close(&stage);
}

Test(send, who_waits_is_released_when_the_actor_dies, .timeout = 60)
{
    struct stage stage;
    static struct gate gate = GATE;
    struct waiting_sender senders[4];
    troupe_pid pid;

    stage_open(&stage, 2);
    pid = fill(&stage, &gate, hold_and_be_done);
    for (unsigned i = 0; i < TROUPE_COUNT(senders); i++) {
        senders[i] = (struct waiting_sender){.to = pid, .value = i, .wait_ms = TROUPE_FOREVER};
        start_waiter(&stage, &senders[i]);
    }
    latch_hit(&gate.go);
    for (unsigned i = 0; i < TROUPE_COUNT(senders); i++) {
        pthread_join(senders[i].thread, NULL);
        cr_assert_eq(senders[i].result, TROUPE_EGONE);
    }
    stage_close(&stage);
}

static int wait_in_handler(struct troupe_actor *self, void *arg)
{
    struct troupe_message *msg = arg;

    return troupe_send_wait(troupe_runtime_of(self), troupe_self(self), msg, 10) == TROUPE_EINVAL
               ? TROUPE_OK
               : TROUPE_ECHECK;
}

Test(send, a_handler_cannot_wait, .timeout = 60)
{
    struct stage stage;
    struct troupe_message *msg;

    stage_open(&stage, TROUPE_NO_THREADS);
    msg = stage_message(&stage, &number, &(uint64_t){1});
    cr_assert_eq(stage_do(&stage, stage_spawn(&stage, &stage_puppet, NULL), wait_in_handler, msg),
        TROUPE_OK);
    troupe_message_destroy(msg);
    stage_close(&stage);
}

/* ---- two runtimes ---- */

static int send_abroad(struct troupe_actor *self, void *arg)
{
    struct relay *relay = arg;
    struct troupe_runtime *abroad = (struct troupe_runtime *)(void *)relay->held;
    struct troupe_message *msg;

    (void)self;
    TROUPE_TRY(troupe_message_create(abroad, &number, 0, &msg));
    *(uint64_t *)troupe_body(msg) = 4711;
    return troupe_try_send(abroad, relay->to, msg);
}

Test(send, a_worker_of_one_runtime_sends_to_another, .timeout = 60)
{
    struct stage home;
    struct stage abroad;
    static struct notes notes;
    struct relay relay;
    troupe_pid puppet;

    stage_open(&home, 1);
    stage_open(&abroad, 1);
    relay.to = stage_spawn(&abroad, &noter, &notes);
    relay.held = (struct troupe_message *)(void *)abroad.runtime;
    puppet = stage_spawn(&home, &stage_puppet, NULL);
    cr_assert_eq(stage_do(&home, puppet, send_abroad, &relay), TROUPE_OK);
    STAGE_AWAIT(&abroad, stage_books(&abroad).handled == 1);
    cr_assert_not(troupe_is_alive(home.runtime, relay.to), "a pid of another runtime misses");
    stage_close(&abroad);
    stage_close(&home);
    cr_assert_eq(notes.value[0], 4711);
    cr_assert_eq(notes.sender[0], TROUPE_NOBODY);
}

/* ---- long queues: 2.28 ---- */

static void open_with_mark(struct stage *stage, int workers, uint32_t high, uint32_t low)
{
    stage_open_with(stage,
        &(struct troupe_runtime_options){.workers = workers, .queue_high = high, .queue_low = low});
}

static void send_numbers(struct stage *stage, troupe_pid to, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        stage_send(stage, to, &number, &(uint64_t){i});
    }
}

static void expect_told(struct stage *stage, unsigned as_long, unsigned as_short)
{
    cr_assert_eq(stage_reports(stage, TROUPE_REPORT_QUEUE_LONG), as_long, "%u times long",
        stage_reports(stage, TROUPE_REPORT_QUEUE_LONG));
    cr_assert_eq(stage_reports(stage, TROUPE_REPORT_QUEUE_SHORT), as_short, "%u times short",
        stage_reports(stage, TROUPE_REPORT_QUEUE_SHORT));
}

/* 2.28: room comes back after 64 messages, so 6 of 70 are left then, and 3 of 67. */
Test(send, a_long_queue_is_told_once_and_once_when_it_is_short_again, .timeout = 60)
{
    static struct notes notes;
    struct stage stage;
    troupe_pid pid;

    open_with_mark(&stage, TROUPE_NO_THREADS, 10, 3);
    pid = stage_spawn(&stage, &noter, &notes);
    stage_run(&stage);
    send_numbers(&stage, pid, 10);
    expect_told(&stage, 0, 0);
    send_numbers(&stage, pid, 1);
    expect_told(&stage, 1, 0);
    cr_assert_eq(stage.facts[TROUPE_REPORT_QUEUE_LONG].count, 11);
    cr_assert_eq(stage.facts[TROUPE_REPORT_QUEUE_LONG].pid, pid);
    cr_assert_str_eq(stage.actor[TROUPE_REPORT_QUEUE_LONG], "noter");
    send_numbers(&stage, pid, 59);
    expect_told(&stage, 1, 0);
    stage_run(&stage);
    expect_told(&stage, 1, 1);
    cr_assert_eq(stage.facts[TROUPE_REPORT_QUEUE_SHORT].count, 0);
    send_numbers(&stage, pid, 67);
    expect_told(&stage, 2, 1);
    stage_run(&stage);
    expect_told(&stage, 2, 2);
    cr_assert_eq(stage.facts[TROUPE_REPORT_QUEUE_SHORT].count, 3);
    cr_assert_eq(notes.count, 137);
    stage_close(&stage);
}

/* For two thousand messages: in one turn puts in two for each that it takes out, in the next none. */
static int swing(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    unsigned *count = state;

    (void)msg;
    if (++*count < 2000 && *count / 64 % 2 == 0) {
        TROUPE_TRY(troupe_send(self, troupe_self(self), &number, &(uint64_t){1}));
        TROUPE_TRY(troupe_send(self, troupe_self(self), &number, &(uint64_t){2}));
    }
    return TROUPE_OK;
}

static const struct troupe_behaviour swinger = {
    .name = "swinger",
    .state_size = sizeof(unsigned),
    .receive = swing,
    .capacity = STAGE_ROOM,
};

/* 2.28: no storm.  It goes up and down by 64 around the high mark, and does not come near the low one. */
Test(send, a_queue_that_swings_around_its_high_mark_is_told_of_once, .timeout = 60)
{
    struct stage stage;
    troupe_pid pid;

    open_with_mark(&stage, TROUPE_NO_THREADS, 130, 10);
    pid = stage_spawn(&stage, &swinger, NULL);
    send_numbers(&stage, pid, 110);
    expect_told(&stage, 0, 0);
    stage_run(&stage);
    cr_assert_gt(stage_books(&stage).handled, 2000);
    expect_told(&stage, 1, 1);
    stage_close(&stage);
}

/* A mark is no capacity: what a mailbox takes, and in what pieces, is the same with it. */
Test(send, a_mark_changes_nothing_of_what_a_mailbox_takes, .timeout = 60)
{
    static const uint32_t marks[] = {0, 1, 3, 4, 5, 1000000};
    static struct notes notes;

    for (unsigned i = 0; i < TROUPE_COUNT(marks); i++) {
        struct stage stage;
        struct troupe_info info;
        troupe_pid pid;

        open_with_mark(&stage, TROUPE_NO_THREADS, marks[i], 0);
        pid = stage_spawn(&stage, &small_noter, &notes);
        stage_run(&stage);
        cr_assert_eq(troupe_info(stage.runtime, pid, &info), TROUPE_OK);
        cr_assert_eq(info.mailbox_capacity, 4);
        send_numbers(&stage, pid, 4);
        cr_assert_eq(stage_try_send(&stage, pid, &number, &(uint64_t){5}), TROUPE_EFULL);
        cr_assert_eq(stage_try_send(&stage, pid, &number, &(uint64_t){6}), TROUPE_EFULL);
        expect_told(&stage, marks[i] > 0 && marks[i] < 4, 0);
        stage_run(&stage);
        expect_told(&stage, marks[i] > 0 && marks[i]<4, marks[i]> 0 && marks[i] < 4);
        stage_close(&stage);
    }
}

static int send_long_batch(struct troupe_actor *self, void *arg)
{
    const struct relay *relay = arg;
    struct troupe_message *msgs[5];
    int error;

    for (unsigned i = 0; i < 5; i++) {
        TROUPE_TRY(troupe_message_create(troupe_runtime_of(self), &number, 0, &msgs[i]));
        *(uint64_t *)troupe_body(msgs[i]) = i;
    }
    error = troupe_send_batch(self, relay->to, msgs, 4);
    if (error < 0) {
        return error;
    }
    error = troupe_send_batch(self, relay->to, &msgs[4], 1);
    troupe_message_destroy(msgs[4]);
    return error == TROUPE_EFULL ? TROUPE_OK : TROUPE_ECHECK;
}

Test(send, a_batch_that_is_longer_than_the_mark_is_admitted_and_told_of, .timeout = 60)
{
    static struct notes notes;
    struct relay relay;
    struct stage stage;
    troupe_pid puppet;

    open_with_mark(&stage, TROUPE_NO_THREADS, 2, 1);
    relay.to = stage_spawn(&stage, &small_noter, &notes);
    puppet = stage_spawn(&stage, &stage_puppet, NULL);
    cr_assert_eq(stage_do(&stage, puppet, send_long_batch, &relay), TROUPE_OK);
    expect_told(&stage, 1, 1);
    cr_assert_eq(stage.facts[TROUPE_REPORT_QUEUE_LONG].count, 4);
    stage_close(&stage);
}

Test(send, a_low_mark_above_the_high_one_is_refused, .timeout = 60)
{
    static const struct troupe_runtime_options wrong[] = {
        {.queue_high = 5, .queue_low = 6}, {.queue_low = 1}};
    struct troupe_runtime *runtime;

    for (unsigned i = 0; i < TROUPE_COUNT(wrong); i++) {
        cr_assert_eq(troupe_runtime_create(&wrong[i], &runtime), TROUPE_EINVAL);
    }
}

/* ---- many senders, those that wait among them ---- */

enum { MARK_SENDERS = 3, MARK_MESSAGES = 3000 };

struct ledger {
    struct troupe_runtime *runtime;
    troupe_pid to;
    uint32_t high, low;
    bool is_long;
    unsigned told;
    unsigned twice;
    unsigned wrong;
};

/* One call at a time, long enough for others to pass the mark meanwhile.  Looks at the one that it is told of: whoever
 * reports holds no lock of its. */
static void keep_ledger(void *context, const struct troupe_report *report)
{
    struct ledger *ledger = context;
    struct troupe_info info;
    bool is_long = report->kind == TROUPE_REPORT_QUEUE_LONG;

    if (!is_long && report->kind != TROUPE_REPORT_QUEUE_SHORT) {
        return;
    }
    for (int i = 0; i < 20; i++) {
        sched_yield();
    }
    ledger->told++;
    ledger->twice += report->dropped == 0 && ledger->is_long == is_long;
    ledger->wrong += is_long ? report->count <= ledger->high : report->count > ledger->low;
    ledger->is_long = is_long;
    ledger->wrong += troupe_info(ledger->runtime, report->pid, &info) != TROUPE_OK;
}

static const char *send_in_line(void *arg, unsigned index)
{
    struct ledger *ledger = arg;

    for (uint64_t i = 0; i < MARK_MESSAGES; i++) {
        struct troupe_message *msg;

        if (troupe_message_create(ledger->runtime, &number, 0, &msg) < 0) {
            return "no memory";
        }
        *(uint64_t *)troupe_body(msg) = index;
        if (troupe_send_wait(ledger->runtime, ledger->to, msg, TROUPE_FOREVER) < 0) {
            troupe_message_destroy(msg);
            return "refused";
        }
    }
    return NULL;
}

static const struct troupe_behaviour narrow_noter = {.name = "narrow noter",
    .state_size = sizeof(struct notes *),
    .init = noter_init,
    .receive = noter_receive,
    .margin = TROUPE_NO_MARGIN,
    .capacity = 60};

static void check_ledger(const struct troupe_behaviour *behaviour, uint32_t high, uint32_t low)
{
    static struct notes notes;
    struct ledger ledger = {.high = high, .low = low};
    struct troupe_runtime_options options = {.workers = 2,
        .report = keep_ledger,
        .report_context = &ledger,
        .queue_high = high,
        .queue_low = low};
    struct troupe_spawn_options spawn = {.behaviour = behaviour, .arg = &notes};

    cr_assert_eq(troupe_runtime_create(&options, &ledger.runtime), TROUPE_OK);
    cr_assert_eq(troupe_runtime_start(ledger.runtime), TROUPE_OK);
    cr_assert_eq(troupe_runtime_spawn(ledger.runtime, &spawn, &ledger.to), TROUPE_OK);
    cr_assert_null(team_run(MARK_SENDERS, send_in_line, &ledger));
    cr_assert(runtime_ends_clean(ledger.runtime));
    cr_assert_eq(ledger.twice, 0, "of %u reports", ledger.told);
    cr_assert_eq(ledger.wrong, 0, "of %u reports", ledger.told);
    cr_assert_gt(ledger.told, 0);
}

/* 2.28: told in turns, long and short, however many pass the mark at once; and nobody waits for ever. */
Test(send, many_senders_that_pass_the_mark_make_one_report, .timeout = 120)
{
    check_ledger(&narrow_noter, 40, 5);
}

/* With a mark of one message it is passed by those whose turn it is to be let in. */
Test(send, who_waited_for_room_and_passes_the_mark_makes_one_report, .timeout = 120)
{
    check_ledger(&small_noter, 1, 0);
}
