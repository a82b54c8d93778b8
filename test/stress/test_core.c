/* SPDX-License-Identifier: MIT */
/*
 * Stress: actors and foreign threads do whatever the interface allows, at random and all at once, for a few seconds.
 *
 * Citizens sit in the seats of a directory, and send to, ask, watch, link, spawn and end one another, arm timers, own
 * descriptors, hold requests, fail; now and then one holds its worker until the watchdog comes.  A supervised office, some
 * of whose clerks keep their mailbox, is crashed until its supervisor gives up.  Strangers, which are threads, fill empty
 * seats, send, wait for room, and go on sending while the runtime stops.
 *
 * Checked while it runs: bodies arrive whole, from one sender in the order sent, and each request has one outcome.
 * Checked when it has stopped: the books balance, every state and every body that was made was destroyed once, and all
 * memory went back.
 *
 * The order of events is the machine's: a seed repeats what is tried, not when.  TROUPE_STRESS_MS is how long it takes
 * [5000], in rounds of a second, each with another number of workers.
 */
#include <inttypes.h>
#include <stdatomic.h>
#include <sys/eventfd.h>

#include "test/support/random.h"
#include "test/support/stage.h"

#define SEATS 64
#define CITIZENS_MAX 300
#define STRANGERS 3
#define ASKED_MAX 8
#define HELD_MAX 4
#define KNOWN_MAX 16
#define CLERKS 4
#define ROUND_MS 1000

/* Fails the test wherever it is, on any thread: the process ends there, and nobody runs on. */
#define must(condition)                                                                            \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "stress: line %d: not so: %s\n", __LINE__, #condition);                \
            _exit(EXIT_FAILURE);                                                                   \
        }                                                                                          \
    } while (0)

/* ---- the world ---- */

enum season {
    OPEN,    /* anything goes */
    CLOSING, /* the runtime stops, or is about to: strangers spawn nobody */
    OVER,    /* strangers go home */
};

static struct {
    struct troupe_runtime *runtime;
    _Atomic troupe_pid seats[SEATS];
    _Atomic enum season season;
    _Atomic unsigned resting; /* strangers that have seen CLOSING */
    _Atomic uint64_t serial;  /* grows along what each sender sends */
    _Atomic int64_t states;   /* made and not destroyed */
    _Atomic int64_t parcels;  /* the same */
    _Atomic uint64_t outcomes;
    struct troupe_buffer *buffer;
    uint64_t seed;
} world;

/* ---- what is sent ---- */

/* A body that has to be given back, and knows where it stands among others of its sender. */
struct parcel {
    uint64_t serial;
    uint64_t *copy; /* of the serial */
};

static void parcel_destroy(void *body)
{
    const struct parcel *own = body;

    must(*own->copy == own->serial);
    free(own->copy);
    atomic_fetch_sub(&world.parcels, 1);
}

static const struct troupe_type parcel = TROUPE_TYPE_DESTROY(struct parcel, parcel_destroy);
static const struct troupe_type question = TROUPE_TYPE_DESTROY(struct parcel, parcel_destroy);
static const struct troupe_type tock = TROUPE_TYPE_DESTROY(struct parcel, parcel_destroy);
static const struct troupe_type beat = TROUPE_TYPE(uint64_t);
static const struct troupe_type blob = TROUPE_BYTES;

static struct parcel parcel_new(void)
{
    struct parcel made = {
        .serial = atomic_fetch_add(&world.serial, 1), .copy = malloc(sizeof(uint64_t))};

    must(made.copy != NULL);
    *made.copy = made.serial;
    atomic_fetch_add(&world.parcels, 1);
    return made;
}

/* A message with a new parcel, the caller's. */
static struct troupe_message *message_new(const struct troupe_type *type)
{
    struct troupe_message *msg = NULL;

    must(troupe_message_create(world.runtime, type, 0, &msg) == TROUPE_OK);
    *(struct parcel *)troupe_body(msg) = parcel_new();
    return msg;
}

/* What a send may say of a receiver that nobody answers for. */
static bool is_sent(int error)
{
    must(error == TROUPE_OK || error == TROUPE_EFULL || error == TROUPE_EGONE ||
         error == TROUPE_ETIMEDOUT);
    return error == TROUPE_OK;
}

static void settle(int error, struct troupe_message *msg)
{
    if (!is_sent(error)) {
        troupe_message_destroy(msg);
    }
}

/* ---- citizens ---- */

struct citizen {
    struct test_random random;
    unsigned asked; /* bits: requests whose outcome is due */
    struct troupe_message *held[HELD_MAX];
    struct troupe_message *kept; /* a parcel, taken */
    struct troupe_timer timer;
    troupe_ref watch;
    struct troupe_io *io;
    struct {
        troupe_pid pid;
        uint64_t serial;
    } known[KNOWN_MAX]; /* senders, and the last of what came from them */
};

static const struct troupe_behaviour citizen_plain;
static const struct troupe_behaviour citizen_large;

static uint64_t below(struct citizen *me, uint64_t count)
{
    return test_below(&me->random, count);
}

static _Atomic troupe_pid *any_seat(struct citizen *me)
{
    return &world.seats[below(me, SEATS)];
}

static troupe_pid anybody(struct citizen *me)
{
    return atomic_load(any_seat(me));
}

/* Serials of one sender only grow. */
static void check_order(struct citizen *me, troupe_pid sender, uint64_t serial)
{
    unsigned i = (unsigned)(sender % KNOWN_MAX);

    if (sender == TROUPE_NOBODY) {
        return;
    }
    must(me->known[i].pid != sender || me->known[i].serial < serial);
    me->known[i].pid = sender;
    me->known[i].serial = serial;
}

typedef void (*act_fn)(struct troupe_actor *self, struct citizen *me);

static void act_send(struct troupe_actor *self, struct citizen *me)
{
    struct parcel body = parcel_new();

    if (!is_sent(troupe_send(self, anybody(me), &parcel, &body))) {
        parcel_destroy(&body);
    }
}

static void act_move(struct troupe_actor *self, struct citizen *me)
{
    struct troupe_message *msg = message_new(&parcel);

    settle(troupe_send_message(self, anybody(me), msg), msg);
}

static void act_batch(struct troupe_actor *self, struct citizen *me)
{
    struct troupe_message *msgs[8];
    size_t count = 1 + below(me, TROUPE_COUNT(msgs));

    for (size_t i = 0; i < count; i++) {
        msgs[i] = message_new(&parcel);
    }
    if (is_sent(troupe_send_batch(self, anybody(me), msgs, count))) {
        return;
    }
    for (size_t i = 0; i < count; i++) {
        troupe_message_destroy(msgs[i]);
    }
}

static void act_blob(struct troupe_actor *self, struct citizen *me)
{
    size_t size = 1 + below(me, below(me, 2) == 0 ? 100 : 10000);
    unsigned char *body = malloc(size);

    must(body != NULL);
    memset(body, (int)(size & 0xff), size);
    (void)is_sent(troupe_send_bytes(self, anybody(me), &blob, body, size));
    free(body);
}

static void act_share(struct troupe_actor *self, struct citizen *me)
{
    struct troupe_buffer *buffer = troupe_buffer_retain(world.buffer);

    if (!is_sent(troupe_send(self, anybody(me), &troupe_buffer_message, &buffer))) {
        troupe_buffer_release(buffer);
    }
}

static int on_outcome(
    struct troupe_actor *self, void *state, void *context, int status, struct troupe_message *reply)
{
    struct citizen *me = *(struct citizen **)state;
    unsigned bit = 1U << (uintptr_t)context;

    (void)self;
    must((me->asked & bit) != 0);
    must((status == TROUPE_OK) == (reply != NULL));
    me->asked &= ~bit;
    atomic_fetch_add(&world.outcomes, 1);
    return below(me, 500) == 0 ? TROUPE_DONE : TROUPE_OK;
}

static void act_ask(struct troupe_actor *self, struct citizen *me)
{
    uintptr_t slot = below(me, ASKED_MAX);
    int timeout_ms = below(me, 8) == 0 ? TROUPE_FOREVER : 1 + (int)below(me, 20);
    struct troupe_message *msg;
    struct parcel body;
    int error;

    if (me->asked & 1U << slot) {
        return;
    }
    if (below(me, 2) == 0) {
        body = parcel_new();
        error = troupe_request(
            self, anybody(me), &question, &body, timeout_ms, on_outcome, (void *)slot);
        if (error < 0) {
            parcel_destroy(&body);
        }
    } else {
        msg = message_new(&question);
        error =
            troupe_request_message(self, anybody(me), msg, timeout_ms, on_outcome, (void *)slot);
        if (error < 0) {
            troupe_message_destroy(msg);
        }
    }
    if (is_sent(error)) {
        me->asked |= 1U << slot;
    }
}

static void answer(struct troupe_actor *self, struct citizen *me, struct troupe_message *request)
{
    struct troupe_message *msg;
    struct parcel body;

    must(troupe_is_request(request));
    switch (below(me, 3)) {
    case 0:
        body = parcel_new();
        must(troupe_reply(self, request, &parcel, &body) == TROUPE_OK);
        break;
    case 1:
        msg = message_new(&parcel);
        must(troupe_reply_message(self, request, msg) == TROUPE_OK);
        break;
    default:
        must(troupe_reply_error(self, request, -1000) == TROUPE_OK);
    }
    must(!troupe_is_request(request));
}

/* Answers, lets go of, or sends on what is held. */
static void act_answer_held(struct troupe_actor *self, struct citizen *me)
{
    struct troupe_message **place = &me->held[below(me, HELD_MAX)];

    if (*place == NULL) {
        return;
    }
    if (below(me, 4) == 0 && is_sent(troupe_send_message(self, anybody(me), *place))) {
        *place = NULL;
        return;
    }
    /* A question that a stranger just sent wants no answer. */
    if (troupe_is_request(*place) && below(me, 4) != 0) {
        answer(self, me, *place);
    }
    troupe_message_destroy(*place);
    *place = NULL;
}

static void act_tick(struct troupe_actor *self, struct citizen *me)
{
    struct parcel body = parcel_new();

    must(troupe_tick_after(self, below(me, 12), &tock, &body, &me->timer) == TROUPE_OK);
}

static void act_tick_every(struct troupe_actor *self, struct citizen *me)
{
    must(
        troupe_tick_every(self, 1 + below(me, 20), &beat, &(uint64_t){7}, &me->timer) == TROUPE_OK);
}

static void act_cancel(struct troupe_actor *self, struct citizen *me)
{
    int error = troupe_timer_cancel(self, me->timer);

    must(error == TROUPE_OK || error == TROUPE_ENOENT);
}

static void act_spawn(struct troupe_actor *self, struct citizen *me)
{
    uint64_t seed = test_next(&me->random);
    troupe_ref ref;
    troupe_pid pid;
    struct troupe_spawn_options options = {
        .behaviour = below(me, 2) == 0 ? &citizen_plain : &citizen_large,
        .arg = &seed,
        .arg_size = sizeof seed,
        .name = below(me, 8) == 0 ? "child" : NULL,
        .link = below(me, 4) == 0,
        .monitor = below(me, 4) == 0 ? &ref : NULL,
    };
    int error;

    if (atomic_load(&world.states) >= CITIZENS_MAX) {
        return;
    }
    error = troupe_spawn(self, &options, &pid);
    must(error == TROUPE_OK || (error == TROUPE_EEXIST && options.name != NULL));
    if (error == TROUPE_OK) {
        atomic_store(any_seat(me), pid);
    }
}

static void act_watch(struct troupe_actor *self, struct citizen *me)
{
    int error = troupe_monitor(self, anybody(me), &me->watch);

    must(error == TROUPE_OK || error == TROUPE_EINVAL);
}

static void act_unwatch(struct troupe_actor *self, struct citizen *me)
{
    int active = troupe_demonitor(self, me->watch);

    must(active == 0 || active == 1);
}

static void act_link(struct troupe_actor *self, struct citizen *me)
{
    int error = troupe_link(self, anybody(me));

    must(error == TROUPE_OK || error == TROUPE_EGONE || error == TROUPE_EINVAL);
}

static void act_unlink(struct troupe_actor *self, struct citizen *me)
{
    troupe_unlink(self, anybody(me));
}

static void act_trap(struct troupe_actor *self, struct citizen *me)
{
    (void)troupe_trap_exit(self, below(me, 2) == 0);
}

static enum troupe_exit any_signal(struct test_random *random)
{
    static const enum troupe_exit kinds[] = {
        TROUPE_EXIT_NORMAL, TROUPE_EXIT_SHUTDOWN, TROUPE_EXIT_KILL};

    return kinds[test_below(random, TROUPE_COUNT(kinds))];
}

static void act_signal(struct troupe_actor *self, struct citizen *me)
{
    int error = troupe_send_exit(self, anybody(me), any_signal(&me->random));

    must(error == TROUPE_OK || error == TROUPE_EGONE || error == TROUPE_EINVAL);
}

static const char *any_name(struct test_random *random)
{
    static const char *const names[] = {
        "office.a", "office.b", "office.c", "office.d", "office", "x", "y", "child"};

    return names[test_below(random, TROUPE_COUNT(names))];
}

static void act_register(struct troupe_actor *self, struct citizen *me)
{
    int error = troupe_register(self, below(me, 2) == 0 ? "x" : "y");

    must(error == TROUPE_OK || error == TROUPE_EEXIST);
}

static void act_unregister(struct troupe_actor *self, struct citizen *me)
{
    int error = troupe_unregister(self, any_name(&me->random));

    must(error == TROUPE_OK || error == TROUPE_ENOENT);
}

static void act_send_name(struct troupe_actor *self, struct citizen *me)
{
    struct parcel body = parcel_new();
    int error = troupe_send_name(self, any_name(&me->random), &parcel, &body);

    if (error == TROUPE_ENOENT || !is_sent(error)) {
        parcel_destroy(&body);
    }
}

static void act_defer(struct troupe_actor *self, struct citizen *me)
{
    uint64_t *block = troupe_arena_alloc(self, 1 + below(me, 300));

    must(block != NULL);
    memset(block, 0, 1);
    must(troupe_defer(self, free, malloc(1)) == TROUPE_OK);
}

static void act_io(struct troupe_actor *self, struct citizen *me)
{
    int fd;

    if (me->io != NULL) {
        if (below(me, 2) == 0) {
            troupe_io_again(self, me->io);
        } else {
            troupe_io_close(self, me->io);
            me->io = NULL;
        }
        return;
    }
    fd = eventfd(1, EFD_NONBLOCK | EFD_CLOEXEC);
    must(fd >= 0);
    must(troupe_io_open(self, fd, me, &me->io) == TROUPE_OK);
}

/* Longer than the watchdog waits. */
static void act_hold(struct troupe_actor *self, struct citizen *me)
{
    (void)self;
    if (below(me, 200) == 0) {
        usleep(15000);
    }
}

static const struct {
    act_fn fn;
    unsigned weight;
} acts[] = {
    {act_send, 20},
    {act_move, 15},
    {act_batch, 6},
    {act_blob, 4},
    {act_share, 3},
    {act_ask, 20},
    {act_answer_held, 12},
    {act_tick, 8},
    {act_tick_every, 2},
    {act_cancel, 4},
    {act_spawn, 6},
    {act_watch, 6},
    {act_unwatch, 4},
    {act_link, 3},
    {act_unlink, 3},
    {act_trap, 2},
    {act_signal, 2},
    {act_register, 2},
    {act_unregister, 1},
    {act_send_name, 6},
    {act_defer, 2},
    {act_io, 3},
    {act_hold, 1},
};

static void act(struct troupe_actor *self, struct citizen *me)
{
    unsigned total = 0;
    unsigned i = 0;
    uint64_t drawn;

    for (i = 0; i < TROUPE_COUNT(acts); i++) {
        total += acts[i].weight;
    }
    drawn = below(me, total);
    for (i = 0; drawn >= acts[i].weight; i++) {
        drawn -= acts[i].weight;
    }
    acts[i].fn(self, me);
}

static int citizen_init(struct troupe_actor *self, void *state, const void *arg)
{
    struct citizen *me = calloc(1, sizeof *me);

    must(me != NULL);
    *(struct citizen **)state = me;
    atomic_fetch_add(&world.states, 1);
    /* A clerk has one spec for all its lives. */
    me->random =
        test_random_of(*(const uint64_t *)arg + troupe_incarnation(self) + troupe_self(self));
    for (uint64_t i = below(me, 4); i > 0; i--) {
        act(self, me);
    }
    switch (below(me, 60)) {
    case 0:
        return troupe_fail(self, TROUPE_EPROTO, "would not start");
    case 1:
        return TROUPE_DONE;
    case 2:
        troupe_exit(self, TROUPE_EXIT_SHUTDOWN);
    default:
        return TROUPE_OK;
    }
}

static void citizen_terminate(
    struct troupe_actor *self, void *state, const struct troupe_reason *reason)
{
    struct citizen *me = *(struct citizen **)state;

    (void)troupe_reason_text(reason);
    act(self, me);
    if (below(me, 16) == 0) {
        troupe_exit(self, TROUPE_EXIT_NORMAL);
    }
}

static void citizen_destroy(void *state)
{
    struct citizen *me = *(struct citizen **)state;

    troupe_message_destroy(me->kept);
    for (unsigned i = 0; i < HELD_MAX; i++) {
        /* Requests are answered by the runtime. */
        if (!troupe_is_request(me->held[i])) {
            troupe_message_destroy(me->held[i]);
        }
    }
    free(me);
    atomic_fetch_sub(&world.states, 1);
}

static void on_question(struct troupe_actor *self, struct citizen *me, struct troupe_message *msg)
{
    struct troupe_message **place = &me->held[below(me, HELD_MAX)];

    if (below(me, 3) == 0 && *place == NULL) {
        must(troupe_take(self, msg, place) == TROUPE_OK);
    } else if (below(me, 4) == 0) {
        (void)is_sent(troupe_forward(self, anybody(me), msg));
    } else if (troupe_is_request(msg) && below(me, 6) != 0) {
        answer(self, me, msg);
    }
}

static void on_parcel(struct troupe_actor *self, struct citizen *me, struct troupe_message *msg)
{
    const struct parcel *body = troupe_body(msg);

    must(*body->copy == body->serial);
    check_order(me, troupe_sender(msg), body->serial);
    if (below(me, 16) == 0) {
        troupe_message_destroy(me->kept);
        me->kept = NULL;
        must(troupe_take(self, msg, &me->kept) == TROUPE_OK);
    }
}

static void on_blob(const struct troupe_message *msg)
{
    const unsigned char *bytes = troupe_body(msg);
    size_t size = troupe_body_size(msg);

    must(bytes[0] == (size & 0xff) && bytes[size - 1] == (size & 0xff));
}

static int on_exited(struct citizen *me, const struct troupe_message *msg)
{
    const struct troupe_exited *exited = troupe_body(msg);

    /* The runtime stops, or a supervisor's child is told to: obey.  Else as it comes. */
    return exited->reason.kind == TROUPE_EXIT_SHUTDOWN || below(me, 4) == 0 ? TROUPE_DONE
                                                                            : TROUPE_OK;
}

static int citizen_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct citizen *me = *(struct citizen **)state;

    if (troupe_is(msg, &parcel)) {
        on_parcel(self, me, msg);
    } else if (troupe_is(msg, &question)) {
        on_question(self, me, msg);
    } else if (troupe_is(msg, &blob)) {
        on_blob(msg);
    } else if (troupe_is(msg, &troupe_exited)) {
        return on_exited(me, msg);
    } else if (troupe_is(msg, &troupe_ready)) {
        must(((const struct troupe_ready *)troupe_body(msg))->io == me->io);
    }
    act(self, me);
    switch (below(me, 400)) {
    case 0:
        return TROUPE_DONE;
    case 1:
        return troupe_fail(self, TROUPE_EPROTO, "had enough");
    case 2:
        troupe_exit(self, any_signal(&me->random));
    case 3:
        TROUPE_CHECK(self, me == NULL);
        return TROUPE_OK;
    case 4:
        return TROUPE_EUNKNOWN;
    default:
        return TROUPE_OK;
    }
}

static const struct troupe_behaviour citizen_plain = {
    .name = "citizen",
    .state_size = sizeof(struct citizen *),
    .init = citizen_init,
    .receive = citizen_receive,
    .terminate = citizen_terminate,
    .destroy = citizen_destroy,
    .capacity = 16,
};

static const struct troupe_behaviour citizen_large = {
    .name = "large citizen",
    .state_size = 500,
    .init = citizen_init,
    .receive = citizen_receive,
    .terminate = citizen_terminate,
    .destroy = citizen_destroy,
    .capacity = 64,
    .trap_exit = true,
};

/* ---- the office ---- */

static const struct troupe_child_spec clerks[CLERKS] = {
    {.id = "a",
        .behaviour = &citizen_plain,
        .arg = &world.seed,
        .arg_size = sizeof world.seed,
        .keep_mailbox = true},
    {.id = "b", .behaviour = &citizen_large, .arg = &world.seed, .arg_size = sizeof world.seed},
    {.id = "c",
        .behaviour = &citizen_large,
        .arg = &world.seed,
        .arg_size = sizeof world.seed,
        .restart = TROUPE_TRANSIENT,
        .shutdown_ms = 5,
        .keep_mailbox = true},
    {.id = "d",
        .behaviour = &citizen_plain,
        .arg = &world.seed,
        .arg_size = sizeof world.seed,
        .shutdown_ms = TROUPE_BRUTAL_KILL},
};

/* Opens it unless it is there; which strategy it has is a matter of luck. */
static void open_office(struct test_random *random)
{
    struct troupe_supervisor_spec office = {
        .name = "office",
        .strategy = (enum troupe_strategy)test_below(random, 3),
        .intensity = 20,
        .period_ms = 100,
        .children = clerks,
        .child_count = CLERKS,
    };
    troupe_pid pid;

    if (troupe_runtime_whereis(world.runtime, "office") == TROUPE_NOBODY) {
        /* A clerk may not start, and another stranger may be faster. */
        (void)!troupe_supervisor_start(world.runtime, &office, 1000, &pid);
    }
    /* Its clerks sit among the others. */
    pid = troupe_runtime_whereis(world.runtime, any_name(random));
    if (pid != TROUPE_NOBODY && test_below(random, 4) == 0) {
        atomic_store(&world.seats[test_below(random, SEATS)], pid);
    }
}

/* ---- strangers ---- */

static void settle_down(struct test_random *random, _Atomic troupe_pid *seat)
{
    uint64_t seed = test_next(random);
    struct troupe_spawn_options options = {
        .behaviour = test_below(random, 2) == 0 ? &citizen_plain : &citizen_large,
        .arg = &seed,
        .arg_size = sizeof seed,
    };
    troupe_pid pid;

    if (!troupe_is_alive(world.runtime, atomic_load(seat)) &&
        atomic_load(&world.states) < CITIZENS_MAX) {
        must(troupe_runtime_spawn(world.runtime, &options, &pid) == TROUPE_OK);
        atomic_store(seat, pid);
    }
}

static void look_on(struct test_random *random, troupe_pid pid)
{
    struct troupe_reason reason;
    struct troupe_books books;
    uint32_t length;

    switch (test_below(random, 5)) {
    case 0:
        must(troupe_runtime_books(world.runtime, &books) == TROUPE_OK);
        break;
    case 1:
        (void)!troupe_mailbox_length(world.runtime, pid, &length);
        break;
    case 2:
        if (pid != TROUPE_NOBODY &&
            troupe_join(world.runtime, pid, (int)test_below(random, 3), &reason) == TROUPE_OK) {
            troupe_buffer_release(reason.text);
        }
        break;
    case 3:
        troupe_detach();
        break;
    default:
        usleep((useconds_t)test_below(random, 1500));
    }
}

/* One thing that a stranger does; with everybody spawning and ending only in the OPEN season. */
static void intrude(struct test_random *random, enum season season)
{
    _Atomic troupe_pid *seat = &world.seats[test_below(random, SEATS)];
    troupe_pid pid = atomic_load(seat);
    struct troupe_message *msg;

    switch (test_below(random, 12)) {
    case 0:
        if (season == OPEN) {
            settle_down(random, seat);
        }
        break;
    case 1:
        if (season == OPEN && test_below(random, 10) == 0) {
            open_office(random);
        }
        break;
    case 2:
        if (test_below(random, 40) == 0) {
            (void)!troupe_runtime_exit(world.runtime, pid, any_signal(random));
        }
        break;
    case 3:
        look_on(random, pid);
        break;
    case 4:
    case 5:
    case 6:
        msg = message_new(&parcel);
        settle(troupe_send_wait(world.runtime, pid, msg, (int)test_below(random, 10)), msg);
        break;
    default:
        msg = message_new(test_below(random, 4) == 0 ? &question : &parcel);
        settle(troupe_try_send(world.runtime, pid, msg), msg);
    }
}

static void *stranger(void *arg)
{
    struct test_random random = test_random_of(world.seed + 1000 * (uintptr_t)arg);
    enum season season = OPEN;

    while (season != OVER) {
        enum season now = atomic_load(&world.season);

        if (season == OPEN && now != OPEN) {
            atomic_fetch_add(&world.resting, 1);
        }
        season = now;
        intrude(&random, season);
    }
    return NULL;
}

/* ---- a round ---- */

static void wait_for_rest(void)
{
    atomic_store(&world.season, CLOSING);
    for (unsigned i = 0; atomic_load(&world.resting) < STRANGERS; i++) {
        must(i < 60000);
        usleep(1000);
    }
}

static void print_books(const struct troupe_books *books, int workers)
{
    fprintf(stderr,
        "%d workers: %" PRIu64 " sent = %" PRIu64 " handled + %" PRIu64 " refused + %" PRIu64
        " dead + %" PRIu64 " bounced + %" PRIu64 " queued; %" PRIu64 " late; %" PRIu64
        " actors, %" PRIu64 " ended; %" PRIu64 " failures, %" PRIu64 " restarts, %" PRIu64
        " stuck, %" PRIu64 " outcomes\n",
        workers, books->sent, books->handled, books->refused, books->dead, books->bounced,
        books->queued, books->late, books->spawned, books->exited, books->failures, books->restarts,
        books->stuck, world.outcomes);
}

static void live(struct stage *stage, int workers, unsigned ms)
{
    pthread_t threads[STRANGERS];
    struct troupe_books books;

    must(troupe_buffer_create(stage->runtime, 100, &world.buffer) == TROUPE_OK);
    for (uintptr_t i = 0; i < STRANGERS; i++) {
        must(pthread_create(&threads[i], NULL, stranger, (void *)(i + 1)) == 0);
    }
    usleep(ms * 1000);
    wait_for_rest();
    must(troupe_runtime_stop(stage->runtime, 30000) == TROUPE_OK);
    atomic_store(&world.season, OVER);
    for (unsigned i = 0; i < STRANGERS; i++) {
        pthread_join(threads[i], NULL);
    }
    troupe_buffer_release(world.buffer);
    books = stage_books(stage);
    print_books(&books, workers);
    must(books_balance(&books));
    must(books.spawned == books.exited);
}

static void run_round(uint64_t seed, int workers, unsigned ms)
{
    struct stage stage;

    memset(&world, 0, sizeof world);
    world.seed = seed;
    stage_open_with(&stage, &(struct troupe_runtime_options){.workers = workers, .seed = seed | 1});
    world.runtime = stage.runtime;
    live(&stage, workers, ms);
    stage_close(&stage);
    cr_assert_eq(world.states, 0, "%lld states were not destroyed", (long long)world.states);
    cr_assert_eq(world.parcels, 0, "%lld bodies were not destroyed", (long long)world.parcels);
    cr_assert_gt(world.outcomes, 0);
}

Test(stress, whatever_is_done_at_random_nothing_is_lost_and_nothing_leaks)
{
    const char *wanted = getenv("TROUPE_STRESS_MS");
    unsigned left_ms = wanted != NULL ? (unsigned)strtoul(wanted, NULL, 10) : 5000;
    struct test_random random = test_random_of(test_seed("stress"));

    for (int round = 0; left_ms > 0; round++) {
        unsigned ms = left_ms < ROUND_MS ? left_ms : ROUND_MS;

        run_round(test_next(&random), 1 + round % 4, ms);
        left_ms -= ms;
    }
}
