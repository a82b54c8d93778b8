/* SPDX-License-Identifier: MIT */
/* Promise 2: everything has a limit. */
#include <sys/eventfd.h>

#include "test/promise/promise.h"

#define HELD_MAX (TROUPE_CAPACITY_DEFAULT > 8 ? TROUPE_CAPACITY_DEFAULT : 8)
#define MEMORY_MAX ((uint64_t)64 << 20)

struct holder;

/* Of what there are at most `count`; takes come from one handler, the same that gives back. */
struct limit {
    const char *what;
    int error;
    unsigned count;
    int (*take)(struct troupe_actor *self, struct holder *holder, unsigned i);
    int (*give)(struct troupe_actor *self, struct holder *holder, unsigned i);
    struct troupe_limits limits;
    struct troupe_behaviour mailbox; /* capacities of the holder's */
};

struct holder {
    const struct limit *limit;
    troupe_pid others[2];
    bool held[HELD_MAX];
    union {
        struct troupe_timer timer;
        troupe_pid pid;
        troupe_ref ref;
        struct troupe_io *io;
        struct troupe_buffer *buffer;
    } things[HELD_MAX];
    unsigned chosen;     /* tried last, or to be given back */
    int result;          /* of that */
    _Atomic bool wanted; /* at the next tick the chosen one is given back */
    bool ticks;
    _Atomic unsigned came;
    struct outcomes outcomes;
};

static const struct troupe_type token = TROUPE_TYPE(struct holder *);
static const struct troupe_type give_tick = TROUPE_TYPE(struct holder *);

static int give_chosen(struct troupe_actor *self, void *arg);

/* When memory is full nobody outside is heard, but a timer has what it needs. */
static int give_when_wanted(struct troupe_actor *self, struct holder *holder)
{
    if (!holder->wanted) {
        return TROUPE_OK;
    }
    TROUPE_TRY(give_chosen(self, holder));
    holder->wanted = false;
    return TROUPE_OK;
}

/* What a mailbox was full of has to come; then there is room again. */
static int holder_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    int status;

    (void)state;
    if (stage_is_job(self, msg, &status)) {
        return status;
    }
    if (troupe_is(msg, &give_tick)) {
        return give_when_wanted(self, *(struct holder *const *)troupe_body(msg));
    }
    if (!troupe_is(msg, &token)) {
        return TROUPE_EUNKNOWN; /* readiness */
    }
    (*(struct holder *const *)troupe_body(msg))->came++;
    return TROUPE_OK;
}

static int take_room(struct troupe_actor *self, struct holder *holder, unsigned i)
{
    (void)i;
    return troupe_send(self, troupe_self(self), &token, &holder);
}

/* Comes as a token does, and has no answer: then there is room again. */
static int take_request(struct troupe_actor *self, struct holder *holder, unsigned i)
{
    (void)i;
    return troupe_request(
        self, troupe_self(self), &token, &holder, TROUPE_FOREVER, count_outcome, &holder->outcomes);
}

static int take_timer(struct troupe_actor *self, struct holder *holder, unsigned i)
{
    return troupe_tick_after(self, TROUPE_DELAY_MAX_MS, &token, &holder, &holder->things[i].timer);
}

static int give_timer(struct troupe_actor *self, struct holder *holder, unsigned i)
{
    return troupe_timer_cancel(self, holder->things[i].timer);
}

static int take_actor(struct troupe_actor *self, struct holder *holder, unsigned i)
{
    struct troupe_spawn_options options = {.behaviour = &stage_puppet};

    return troupe_spawn(self, &options, &holder->things[i].pid);
}

static int give_actor(struct troupe_actor *self, struct holder *holder, unsigned i)
{
    return troupe_kill(self, holder->things[i].pid);
}

/* Of two in turn, so that the holder's limit is the first that is reached. */
static int take_watch(struct troupe_actor *self, struct holder *holder, unsigned i)
{
    return troupe_monitor(self, holder->others[i % 2], &holder->things[i].ref);
}

/* A link counts for whoever is watched, and not as a monitor of the holder's: so this time the other one's limit is. */
static int take_watch_of_one(struct troupe_actor *self, struct holder *holder, unsigned i)
{
    TROUPE_TRY(troupe_link(self, holder->others[0]));
    return troupe_monitor(self, holder->others[0], &holder->things[i].ref);
}

static int give_watch(struct troupe_actor *self, struct holder *holder, unsigned i)
{
    return troupe_demonitor(self, holder->things[i].ref) == 1 ? TROUPE_OK : TROUPE_ENOENT;
}

static int take_io(struct troupe_actor *self, struct holder *holder, unsigned i)
{
    int fd = eventfd(0, EFD_NONBLOCK);
    int error = troupe_io_open(self, fd, NULL, &holder->things[i].io);

    if (error < 0) {
        close(fd);
    }
    return error;
}

static int give_io(struct troupe_actor *self, struct holder *holder, unsigned i)
{
    troupe_io_close(self, holder->things[i].io);
    return TROUPE_OK;
}

static int take_name(struct troupe_actor *self, struct holder *holder, unsigned i)
{
    char name[24];

    (void)holder;
    snprintf(name, sizeof name, "name %u", i);
    return troupe_register(self, name);
}

static int give_name(struct troupe_actor *self, struct holder *holder, unsigned i)
{
    char name[24];

    (void)holder;
    snprintf(name, sizeof name, "name %u", i);
    return troupe_unregister(self, name);
}

static int take_group(struct troupe_actor *self, struct holder *holder, unsigned i)
{
    char name[24];

    (void)holder;
    snprintf(name, sizeof name, "group %u", i);
    return troupe_group_join(self, name);
}

static int give_group(struct troupe_actor *self, struct holder *holder, unsigned i)
{
    char name[24];

    (void)holder;
    snprintf(name, sizeof name, "group %u", i);
    return troupe_group_leave(self, name);
}

/* Watchers of one group. */
static int take_group_watch(struct troupe_actor *self, struct holder *holder, unsigned i)
{
    return troupe_group_monitor(self, "group", &holder->things[i].ref);
}

static int give_group_watch(struct troupe_actor *self, struct holder *holder, unsigned i)
{
    return troupe_group_demonitor(self, holder->things[i].ref) == 1 ? TROUPE_OK : TROUPE_ENOENT;
}

/* The first one takes all there is, to the last byte; so there is one. */
static int take_memory(struct troupe_actor *self, struct holder *holder, unsigned i)
{
    struct troupe_runtime *runtime = troupe_runtime_of(self);
    struct troupe_buffer *empty;
    struct troupe_books books;

    if (!holder->ticks) {
        TROUPE_TRY(troupe_tick_every(self, 1, &give_tick, &holder, NULL));
        holder->ticks = true;
    }
    TROUPE_TRY(troupe_buffer_create(runtime, 0, &empty));
    TROUPE_TRY(troupe_runtime_books(runtime, &books));
    troupe_buffer_release(empty);
    return troupe_buffer_create(runtime, MEMORY_MAX - books.memory, &holder->things[i].buffer);
}

static int give_memory(struct troupe_actor *self, struct holder *holder, unsigned i)
{
    (void)self;
    troupe_buffer_release(holder->things[i].buffer);
    return TROUPE_OK;
}

/* Besides what is taken there are three actors; one link; and, in a mailbox, the job that takes. */
static const struct limit limits[] = {
    {"messages", TROUPE_EFULL, 7, take_room, NULL, {0}, {.capacity = 8}},
    {"bytes", TROUPE_EFULL, 7, take_room, NULL, {0},
        {.capacity = STAGE_ROOM, .capacity_bytes = 8 * 64}},
    {"messages by default", TROUPE_EFULL, TROUPE_CAPACITY_DEFAULT - 1, take_room, NULL, {0}, {0}},
    {"requests", TROUPE_ELIMIT, 5, take_request, NULL, {.actor_timers = 5}, {.capacity = 8}},
    {"timers", TROUPE_ELIMIT, 5, take_timer, give_timer, {.actor_timers = 5}, {0}},
    {"actors", TROUPE_ELIMIT, 5, take_actor, give_actor, {.actors = 3 + 5}, {0}},
    {"watches", TROUPE_ELIMIT, 5, take_watch, give_watch, {.actor_watches = 5}, {0}},
    {"watchers", TROUPE_ELIMIT, 5, take_watch_of_one, give_watch, {.actor_watches = 1 + 5}, {0}},
    {"descriptors", TROUPE_ELIMIT, 5, take_io, give_io, {.actor_ios = 5}, {0}},
    {"names", TROUPE_ELIMIT, 5, take_name, give_name, {.names = 5}, {0}},
    {"groups", TROUPE_ELIMIT, 5, take_group, give_group, {.groups = 5}, {0}},
    {"groups of one", TROUPE_ELIMIT, 5, take_group, give_group, {.actor_groups = 5}, {0}},
    {"watchers of a group", TROUPE_ELIMIT, 5, take_group_watch, give_group_watch,
        {.group_members = 5}, {0}},
    {"memory", TROUPE_ENOMEM, 1, take_memory, give_memory, {.memory = MEMORY_MAX}, {0}},
};

/* Takes as many as are allowed, and one more. */
static int take_all(struct troupe_actor *self, void *arg)
{
    struct holder *holder = arg;
    const struct limit *limit = holder->limit;

    holder->result = TROUPE_OK;
    for (unsigned i = 0; i <= limit->count && holder->result == TROUPE_OK; i++) {
        if (!holder->held[i]) {
            holder->result = limit->take(self, holder, i);
            holder->held[i] = holder->result == TROUPE_OK;
            holder->chosen = i;
        }
    }
    return TROUPE_OK;
}

static int give_chosen(struct troupe_actor *self, void *arg)
{
    struct holder *holder = arg;

    holder->result = holder->limit->give(self, holder, holder->chosen);
    holder->held[holder->chosen] = false;
    return TROUPE_OK;
}

static bool takes_all(struct stage *stage, troupe_pid pid, struct holder *holder)
{
    (void)stage_do(stage, pid, take_all, holder);
    return holder->result == holder->limit->error && holder->chosen == holder->limit->count;
}

static void give_back(struct stage *stage, troupe_pid pid, struct holder *holder, unsigned i)
{
    holder->chosen = i;
    if (holder->ticks) {
        holder->wanted = true;
        STAGE_AWAIT(stage, !holder->wanted);
    } else {
        (void)stage_do(stage, pid, give_chosen, holder);
    }
    cr_assert_eq(holder->result, TROUPE_OK, "%s: number %u was lost", holder->limit->what, i);
}

/* What was taken has come, and the turn in which it came has ended. */
static bool has_room_again(struct stage *stage, troupe_pid pid, const struct holder *holder)
{
    unsigned outcomes = holder->limit->take == take_request ? holder->limit->count : 0;
    uint32_t length = 0;

    cr_assert_eq(troupe_mailbox_length(stage->runtime, pid, &length), TROUPE_OK);
    return length == 0 && holder->came == holder->limit->count &&
           holder->outcomes.unanswered == outcomes;
}

/* All of it; then again: what gives no room back by itself gives one back, the first. */
static void play_limit(int workers, const struct limit *limit)
{
    struct troupe_runtime_options options = {.workers = workers, .limits = limit->limits};
    struct troupe_behaviour behaviour = limit->mailbox;
    static struct holder holder;
    struct stage stage;
    troupe_pid pid;

    memset(&holder, 0, sizeof holder);
    behaviour.name = limit->what;
    behaviour.receive = holder_receive;
    behaviour.margin = TROUPE_NO_MARGIN;
    stage_open_with(&stage, &options);
    holder.limit = limit;
    holder.others[0] = stage_spawn(&stage, &stage_puppet, NULL);
    holder.others[1] = stage_spawn(&stage, &stage_puppet, NULL);
    pid = stage_spawn(&stage, &behaviour, NULL);
    cr_assert(takes_all(&stage, pid, &holder), "%s: %d", limit->what, holder.result);
    if (limit->give != NULL) {
        give_back(&stage, pid, &holder, 0);
    } else {
        STAGE_AWAIT(&stage, has_room_again(&stage, pid, &holder));
        memset(holder.held, 0, sizeof holder.held);
    }
    STAGE_AWAIT(&stage, takes_all(&stage, pid, &holder));
    for (unsigned i = 0; limit->give != NULL && i < limit->count; i++) {
        give_back(&stage, pid, &holder, i);
    }
    stage_close(&stage);
}

static int try_spawn(struct troupe_actor *self, const struct troupe_behaviour *behaviour)
{
    struct troupe_spawn_options options = {.behaviour = behaviour};
    troupe_pid pid;

    return troupe_spawn(self, &options, &pid);
}

static int try_name(struct troupe_actor *self, size_t length)
{
    char name[TROUPE_NAME_MAX + 2] = {0};

    memset(name, 'n', length);
    return troupe_register(self, name);
}

static int try_tick(struct troupe_actor *self, uint64_t delay_ms, const struct troupe_type *type)
{
    static const unsigned char body[TROUPE_TICK_BODY_MAX + 1];

    return troupe_tick_after(self, delay_ms, type, body, NULL);
}

/* What is largest is taken, and not one more.  Without threads: assertions stand inside the job. */
static int try_arguments(struct troupe_actor *self, void *arg)
{
    static const struct troupe_type bytes = TROUPE_BYTES;
    static const struct troupe_type tick = {"tick", TROUPE_TICK_BODY_MAX, NULL, false};
    static const struct troupe_type more = {"more", TROUPE_TICK_BODY_MAX + 1, NULL, false};
    static const struct troupe_behaviour large = {.name = "large",
        .receive = stage_puppet_receive,
        .capacity = TROUPE_CAPACITY_MAX,
        .capacity_bytes = TROUPE_CAPACITY_BYTES_MAX};
    static const struct troupe_behaviour wide = {
        .name = "wide", .receive = stage_puppet_receive, .capacity = TROUPE_CAPACITY_MAX + 1};
    static const struct troupe_behaviour heavy = {.name = "heavy",
        .receive = stage_puppet_receive,
        .capacity_bytes = TROUPE_CAPACITY_BYTES_MAX + 1};
    struct troupe_runtime *runtime = troupe_runtime_of(self);
    struct troupe_message *msg;

    (void)arg;
    cr_assert_eq(try_spawn(self, &large), TROUPE_OK);
    cr_assert_eq(try_spawn(self, &wide), TROUPE_EINVAL);
    cr_assert_eq(try_spawn(self, &heavy), TROUPE_EINVAL);
    cr_assert_eq(try_name(self, TROUPE_NAME_MAX), TROUPE_OK);
    cr_assert_eq(try_name(self, TROUPE_NAME_MAX + 1), TROUPE_EINVAL);
    cr_assert_eq(try_tick(self, TROUPE_DELAY_MAX_MS, &tick), TROUPE_OK);
    cr_assert_eq(try_tick(self, TROUPE_DELAY_MAX_MS + 1, &tick), TROUPE_EINVAL);
    cr_assert_eq(try_tick(self, TROUPE_DELAY_MAX_MS, &more), TROUPE_EINVAL);
    /* The longest body is allowed, and more than there is memory for here. */
    cr_assert_eq(troupe_message_create(runtime, &bytes, TROUPE_BODY_MAX, &msg), TROUPE_ENOMEM);
    cr_assert_eq(troupe_message_create(runtime, &bytes, TROUPE_BODY_MAX + 1, &msg), TROUPE_EINVAL);
    return TROUPE_OK;
}

static void play_arguments(void)
{
    struct troupe_runtime_options options = {
        .workers = TROUPE_NO_THREADS, .limits = {.memory = MEMORY_MAX}};
    struct stage stage;

    stage_open_with(&stage, &options);
    (void)stage_do(&stage, stage_spawn(&stage, &stage_puppet, NULL), try_arguments, NULL);
    stage_close(&stage);
}

static int fail_at_once(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    (void)state;
    (void)msg;
    return troupe_fail(self, TROUPE_EPROTO, "at once");
}

static int call_oneself(struct troupe_actor *self, void *state, const void *arg)
{
    (void)state;
    (void)arg;
    return troupe_send(self, troupe_self(self), &receipt, NULL);
}

/* One that always fails is restarted as often as is allowed, and no more. */
static void play_retries(void)
{
    static const struct troupe_behaviour hopeless = {
        .name = "hopeless", .init = call_oneself, .receive = fail_at_once};
    struct troupe_child_spec child = {.id = "hopeless", .behaviour = &hopeless};
    struct troupe_supervisor_spec tree = {
        .intensity = 5, .period_ms = 3600000, .children = &child, .child_count = 1};
    struct troupe_reason reason;
    struct stage stage;
    troupe_pid top;

    stage_open(&stage, 2);
    cr_assert_eq(troupe_supervisor_start(stage.runtime, &tree, TROUPE_FOREVER, &top), TROUPE_OK);
    cr_assert_eq(troupe_join(stage.runtime, top, TROUPE_FOREVER, &reason), TROUPE_OK);
    STAGE_AWAIT(&stage, stage_reports(&stage, TROUPE_REPORT_GIVE_UP) == 1);
    cr_assert_eq(stage_books(&stage).restarts, 5);
    stage_close(&stage);
}

Test(promise, everything_has_a_limit, .timeout = 120)
{
    for (unsigned i = 0; i < TROUPE_COUNT(limits); i++) {
        play_limit(TROUPE_NO_THREADS, &limits[i]);
        play_limit(2, &limits[i]);
    }
    play_arguments();
    play_retries();
}
