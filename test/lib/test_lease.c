/* SPDX-License-Identifier: MIT */
/* Leases: room that is held for messages to come, who waits for it, and every way in which it is given back. */
#include "sched/core.h"
#include "test/support/clock.h"
#include "test/support/random.h"
#include "test/support/stage.h"

static const struct troupe_type number = TROUPE_TYPE(uint64_t);
static const struct troupe_type ask = TROUPE_SIGNAL;
static const struct troupe_type answer = TROUPE_SIGNAL;

struct large {
    char bytes[1000];
};
static const struct troupe_type large = TROUPE_TYPE(struct large);

#define ROOM 4
#define SEEN_MAX 64

/* Both kinds of runtime. */
static const int kinds[] = {TROUPE_NO_THREADS, 1, 2};

#define FOR_EACH_KIND(i) for (size_t i = 0; i < TROUPE_COUNT(kinds); i++)

/* ---- a receiver: its mailbox is empty but for what is held ---- */

static struct sink {
    _Atomic unsigned count;
    _Atomic unsigned lives;
    uint64_t seen[SEEN_MAX];
} sink;

static int sink_init(struct troupe_actor *self, void *state, const void *arg)
{
    (void)self;
    (void)state;
    (void)arg;
    sink.lives++;
    return TROUPE_OK;
}

static int sink_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    int status;

    (void)state;
    if (stage_is_job(self, msg, &status)) {
        return status;
    }
    if (troupe_is(msg, &number) && sink.count < SEEN_MAX) {
        sink.seen[sink.count] = *(const uint64_t *)troupe_body(msg);
        sink.count++;
    }
    return TROUPE_OK;
}

static const struct troupe_behaviour sink_behaviour = {
    .name = "sink", .init = sink_init, .receive = sink_receive, .capacity = ROOM};
static const struct troupe_behaviour narrow_behaviour = {
    .name = "narrow", .receive = sink_receive, .capacity = ROOM, .capacity_bytes = 4096};

/* ---- those who reserve: waiting handlers that do what the test says ---- */

static const struct troupe_behaviour holder_behaviour = {
    .name = "holder", .receive = stage_puppet_receive, .may_wait = true};

struct wish {
    struct troupe_reservation what[3];
    size_t count; /* of a troupe_reserve_all() */
    int wait_ms;
    struct troupe_lease leases[3];
    uint64_t value;
    int status;
    _Atomic bool done;
};

static int reserve(struct troupe_actor *self, void *arg)
{
    struct wish *wish = arg;

    wish->status = troupe_reserve(self, &wish->what[0], wish->wait_ms, &wish->leases[0]);
    wish->done = true;
    return TROUPE_OK;
}

static int reserve_all(struct troupe_actor *self, void *arg)
{
    struct wish *wish = arg;

    wish->status = troupe_reserve_all(self, wish->what, wish->count, wish->wait_ms, wish->leases);
    wish->done = true;
    return TROUPE_OK;
}

static int use(struct troupe_actor *self, void *arg)
{
    struct wish *wish = arg;

    wish->status = troupe_lease_send(self, &wish->leases[0], &number, &wish->value);
    return TROUPE_OK;
}

static int release(struct troupe_actor *self, void *arg)
{
    struct wish *wish = arg;

    troupe_lease_release(self, &wish->leases[0]);
    return TROUPE_OK;
}

static int send_within(struct troupe_actor *self, void *arg)
{
    struct wish *wish = arg;

    wish->status = troupe_send_within(self, wish->what[0].to, &number, &wish->value, wish->wait_ms);
    wish->done = true;
    return TROUPE_OK;
}

static int end_well(struct troupe_actor *self, void *arg)
{
    (void)self;
    (void)arg;
    return TROUPE_DONE;
}

static int end_badly(struct troupe_actor *self, void *arg)
{
    (void)arg;
    return troupe_fail(self, TROUPE_EPROTO, "on purpose");
}

static int kill_other(struct troupe_actor *self, void *arg)
{
    int error = troupe_kill(self, *(const troupe_pid *)arg);

    cr_assert(error == TROUPE_OK || error == TROUPE_EGONE);
    return TROUPE_OK;
}

static struct wish wish_for(troupe_pid to, uint32_t count)
{
    return (struct wish){.what = {{.to = to, .count = count}}, .wait_ms = TROUPE_FOREVER};
}

/* ---- looks ---- */

static struct troupe_mailbox_info look(struct stage *stage, troupe_pid pid)
{
    struct troupe_mailbox_info info;

    cr_assert_eq(troupe_mailbox_info(stage->runtime, pid, &info), TROUPE_OK);
    return info;
}

static bool is_all_free(struct stage *stage, troupe_pid pid)
{
    struct troupe_mailbox_info info = look(stage, pid);

    return info.length == 0 && info.bytes == 0 && info.waiters == 0;
}

static uint64_t leased_of(struct stage *stage, troupe_pid pid)
{
    struct troupe_actor *actor;
    struct trp_visit visit;
    uint64_t leased;

    cr_assert_eq(trp_context_enter(stage->runtime, &visit), TROUPE_OK);
    actor = trp_actor_find(stage->runtime, pid);
    leased = trp_pressure_holding(actor)->leased;
    trp_context_leave(&visit);
    return leased;
}

static void kill_it(struct stage *stage, troupe_pid pid)
{
    (void)stage_do(stage, stage_spawn(stage, &stage_puppet, NULL), kill_other, &pid);
}

/* Each of its places can be taken again, once. */
static void check_free(struct stage *stage, troupe_pid pid)
{
    STAGE_AWAIT(stage, is_all_free(stage, pid));
    cr_assert_eq(leased_of(stage, pid), 0);
}

static troupe_pid open_with(struct stage *stage, int kind)
{
    memset(&sink, 0, sizeof sink);
    stage_open(stage, kind);
    return stage_spawn(stage, &sink_behaviour, NULL);
}

static troupe_pid hold(struct stage *stage, struct wish *wish)
{
    troupe_pid holder = stage_spawn(stage, &holder_behaviour, NULL);

    (void)stage_do(stage, holder, reserve, wish);
    cr_assert_eq(wish->status, TROUPE_OK);
    return holder;
}

/* It stands in line. */
static troupe_pid start(struct stage *stage, stage_job_fn run, struct wish *wish, troupe_pid at)
{
    uint32_t before = look(stage, at).waiters;
    troupe_pid pid = stage_spawn(stage, &holder_behaviour, NULL);

    stage_tell(stage, pid, run, wish);
    STAGE_AWAIT(stage, look(stage, at).waiters > before);
    return pid;
}

/* ---- holding and using ---- */

Test(lease, a_place_that_is_held_is_nobody_elses, .timeout = 60)
{
    FOR_EACH_KIND(i)
    {
        struct stage stage;
        troupe_pid to = open_with(&stage, kinds[i]);
        struct wish wish = wish_for(to, ROOM);
        troupe_pid holder = hold(&stage, &wish);

        cr_assert_eq(wish.leases[0].left, ROOM);
        cr_assert_eq(look(&stage, to).length, ROOM);
        cr_assert_eq(stage_try_send(&stage, to, &number, &(uint64_t){9}), TROUPE_EFULL);
        for (uint64_t n = 0; n < ROOM; n++) {
            wish.value = n;
            (void)stage_do(&stage, holder, use, &wish);
            cr_assert_eq(wish.status, TROUPE_OK);
            cr_assert_eq(wish.leases[0].left, ROOM - 1 - n);
        }
        STAGE_AWAIT(&stage, sink.count == ROOM);
        for (uint64_t n = 0; n < ROOM; n++) {
            cr_assert_eq(sink.seen[n], n);
        }
        /* It is used up. */
        (void)stage_do(&stage, holder, use, &wish);
        cr_assert_eq(wish.status, TROUPE_ETIMEDOUT);
        check_free(&stage, to);
        stage_close(&stage);
    }
}

Test(lease, all_of_a_reservation_is_granted_or_nothing, .timeout = 60)
{
    FOR_EACH_KIND(i)
    {
        struct stage stage;
        troupe_pid to = open_with(&stage, kinds[i]);
        struct wish wish = wish_for(to, 3);
        struct wish more = wish_for(to, 2);
        troupe_pid other;

        (void)hold(&stage, &wish);
        more.wait_ms = 0;
        other = stage_spawn(&stage, &holder_behaviour, NULL);
        (void)stage_do(&stage, other, reserve, &more);
        cr_assert_eq(more.status, TROUPE_EFULL);
        cr_assert_eq(look(&stage, to).length, 3);
        /* The last place is there still. */
        stage_send(&stage, to, &number, &(uint64_t){1});
        stage_close(&stage);
    }
}

Test(lease, what_is_released_is_free_again_once, .timeout = 60)
{
    FOR_EACH_KIND(i)
    {
        struct stage stage;
        troupe_pid to = open_with(&stage, kinds[i]);
        struct wish wish = wish_for(to, ROOM);
        struct troupe_lease name;
        troupe_pid holder = hold(&stage, &wish);

        (void)stage_do(&stage, holder, use, &wish);
        name = wish.leases[0];
        (void)stage_do(&stage, holder, release, &wish);
        check_free(&stage, to);
        /* By another name, and by none. */
        wish.leases[0] = name;
        (void)stage_do(&stage, holder, release, &wish);
        (void)stage_do(&stage, holder, release, &wish);
        check_free(&stage, to);
        wish.leases[0] = name;
        (void)stage_do(&stage, holder, use, &wish);
        cr_assert_eq(wish.status, TROUPE_ETIMEDOUT);
        stage_close(&stage);
    }
}

static int use_bodies(struct troupe_actor *self, void *arg)
{
    struct wish *wish = arg;
    struct large body = {{0}};

    wish->status = troupe_lease_send(self, &wish->leases[0], &large, &body);
    return TROUPE_OK;
}

Test(lease, what_weighs_more_than_a_place_is_refused_and_the_place_is_left, .timeout = 60)
{
    struct stage stage;
    troupe_pid to = open_with(&stage, TROUPE_NO_THREADS);
    struct wish wish = wish_for(to, 1);
    troupe_pid holder = hold(&stage, &wish);

    (void)stage_do(&stage, holder, use_bodies, &wish);
    cr_assert_eq(wish.status, TROUPE_EMSGSIZE);
    cr_assert_eq(wish.leases[0].left, 1);
    (void)stage_do(&stage, holder, use, &wish);
    cr_assert_eq(wish.status, TROUPE_OK);
    /* What a lighter one does not need is given back: no byte is left. */
    wish = wish_for(to, 2);
    wish.what[0].size = sizeof(struct large);
    (void)stage_do(&stage, holder, reserve, &wish);
    (void)stage_do(&stage, holder, use, &wish);
    (void)stage_do(&stage, holder, use_bodies, &wish);
    cr_assert_eq(wish.status, TROUPE_OK);
    check_free(&stage, to);
    stage_close(&stage);
}

static int use_message(struct troupe_actor *self, void *arg)
{
    struct wish *wish = arg;
    struct troupe_message *msg;

    TROUPE_TRY(troupe_message_create(troupe_runtime_of(self), &number, 0, &msg));
    *(uint64_t *)troupe_body(msg) = wish->value;
    wish->status = troupe_lease_send_message(self, &wish->leases[0], msg);
    if (wish->status < 0) {
        cr_assert_eq(*(uint64_t *)troupe_body(msg), wish->value);
        troupe_message_destroy(msg);
    }
    return TROUPE_OK;
}

Test(lease, a_message_that_is_refused_is_its_owners, .timeout = 60)
{
    struct stage stage;
    troupe_pid to = open_with(&stage, TROUPE_NO_THREADS);
    struct wish wish = wish_for(to, 1);
    troupe_pid holder = hold(&stage, &wish);

    wish.value = 7;
    (void)stage_do(&stage, holder, use_message, &wish);
    cr_assert_eq(wish.status, TROUPE_OK);
    STAGE_AWAIT(&stage, sink.count == 1 && sink.seen[0] == 7);
    (void)stage_do(&stage, holder, use_message, &wish);
    cr_assert_eq(wish.status, TROUPE_ETIMEDOUT);
    stage_close(&stage);
}

Test(lease, more_than_an_empty_mailbox_takes_is_refused_at_once, .timeout = 60)
{
    struct stage stage;
    troupe_pid to = open_with(&stage, TROUPE_NO_THREADS);
    troupe_pid narrow = stage_spawn(&stage, &narrow_behaviour, NULL);
    troupe_pid holder = stage_spawn(&stage, &holder_behaviour, NULL);
    struct wish wish = wish_for(to, ROOM + 1);

    (void)stage_do(&stage, holder, reserve, &wish);
    cr_assert_eq(wish.status, TROUPE_EMSGSIZE);
    wish = wish_for(narrow, 2);
    wish.what[0].size = 3000;
    (void)stage_do(&stage, holder, reserve, &wish);
    cr_assert_eq(wish.status, TROUPE_EMSGSIZE);
    wish.what[0].count = 1;
    (void)stage_do(&stage, holder, reserve, &wish);
    cr_assert_eq(wish.status, TROUPE_OK);
    stage_close(&stage);
}

/* ---- waiting for it ---- */

Test(lease, those_behind_one_who_waits_for_several_places_wait_for_it, .timeout = 60)
{
    FOR_EACH_KIND(i)
    {
        struct stage stage;
        troupe_pid to = open_with(&stage, kinds[i]);
        struct wish held[2] = {wish_for(to, 2), wish_for(to, 2)};
        troupe_pid holders[2] = {hold(&stage, &held[0]), hold(&stage, &held[1])};
        struct wish wants = wish_for(to, 3);
        struct wish sends = wish_for(to, 0);

        sends.value = 5;
        (void)start(&stage, reserve, &wants, to);
        (void)start(&stage, send_within, &sends, to);
        /* Two are free: not enough for the first in line, and nobody else's. */
        (void)stage_do(&stage, holders[0], release, &held[0]);
        cr_assert_eq(stage_try_send(&stage, to, &number, &(uint64_t){9}), TROUPE_EFULL);
        cr_assert(!wants.done && !sends.done);
        cr_assert_eq(look(&stage, to).waiters, 2);
        (void)stage_do(&stage, holders[1], release, &held[1]);
        STAGE_AWAIT(&stage, wants.done && sends.done);
        cr_assert_eq(wants.status, TROUPE_OK);
        cr_assert_eq(sends.status, TROUPE_OK);
        STAGE_AWAIT(&stage, sink.count == 1);
        STAGE_AWAIT(&stage, look(&stage, to).length == 3);
        cr_assert_eq(look(&stage, to).waiters, 0);
        stage_close(&stage);
    }
}

static int send_four(struct troupe_actor *self, void *arg)
{
    troupe_pid to = *(troupe_pid *)arg;

    for (uint64_t n = 0; n < ROOM; n++) {
        TROUPE_TRY(troupe_send(self, to, &number, &n));
    }
    return TROUPE_OK;
}

Test(lease, room_that_the_reader_makes_goes_to_who_waits_for_all_of_it, .timeout = 60)
{
    FOR_EACH_KIND(i)
    {
        struct stage stage;
        troupe_pid to = open_with(&stage, kinds[i]);
        troupe_pid pid = stage_spawn(&stage, &holder_behaviour, NULL);
        struct wish wish = wish_for(to, ROOM);

        /* In one turn of the scheduler: four messages, and one behind them that wants all the room. */
        stage_tell(&stage, pid, send_four, &to);
        stage_tell(&stage, pid, reserve, &wish);
        STAGE_AWAIT(&stage, wish.done);
        cr_assert_eq(wish.status, TROUPE_OK);
        cr_assert_eq(sink.count, ROOM);
        cr_assert_eq(look(&stage, to).length, ROOM);
        stage_close(&stage);
    }
}

Test(lease, who_waits_in_vain_leaves_the_line_and_nothing_behind, .timeout = 60)
{
    FOR_EACH_KIND(i)
    {
        struct stage stage;
        troupe_pid to = open_with(&stage, kinds[i]);
        struct wish held = wish_for(to, ROOM);
        struct wish wants = wish_for(to, 2);
        troupe_pid holder;

        held.what[0].lease_ms = TROUPE_LEASE_MAX_MS;
        holder = hold(&stage, &held);
        wants.wait_ms = 100;
        (void)start(&stage, reserve, &wants, to);
        clock_skip_ms(200);
        STAGE_AWAIT(&stage, wants.done);
        cr_assert_eq(wants.status, TROUPE_ETIMEDOUT);
        cr_assert_eq(look(&stage, to).waiters, 0);
        cr_assert_eq(look(&stage, to).length, ROOM);
        (void)stage_do(&stage, holder, release, &held);
        check_free(&stage, to);
        stage_close(&stage);
    }
}

/* ---- a lease is for a time ---- */

Test(lease, when_its_time_is_over_it_lapses_and_lets_in_who_waits, .timeout = 60)
{
    FOR_EACH_KIND(i)
    {
        struct stage stage;
        troupe_pid to = open_with(&stage, kinds[i]);
        struct wish held = wish_for(to, ROOM);
        struct wish wants = wish_for(to, ROOM);
        troupe_pid holder = hold(&stage, &held);

        (void)start(&stage, reserve, &wants, to);
        clock_skip_ms(TROUPE_LEASE_DEFAULT_MS + 2);
        STAGE_AWAIT(&stage, wants.done);
        cr_assert_eq(wants.status, TROUPE_OK);
        (void)stage_do(&stage, holder, use, &held);
        cr_assert_eq(held.status, TROUPE_ETIMEDOUT);
        cr_assert_eq(look(&stage, to).length, ROOM);
        stage_close(&stage);
    }
}

static struct latch busy_begins = LATCH_INIT;
static _Atomic bool busy_ends;

static int compute(struct troupe_actor *self, void *arg)
{
    (void)self;
    (void)arg;
    latch_hit(&busy_begins);
    while (!busy_ends) {
        sched_yield();
    }
    return TROUPE_OK;
}

Test(lease, it_lapses_while_its_holder_holds_a_worker, .timeout = 60)
{
    struct stage stage;
    troupe_pid to = open_with(&stage, 2);
    struct wish held = wish_for(to, ROOM);
    struct wish wants = wish_for(to, ROOM);
    troupe_pid holder = hold(&stage, &held);

    stage_tell(&stage, holder, compute, NULL);
    cr_assert(latch_wait(&busy_begins, 1));
    (void)start(&stage, reserve, &wants, to);
    clock_skip_ms(TROUPE_LEASE_DEFAULT_MS + 2);
    STAGE_AWAIT(&stage, wants.done);
    cr_assert_eq(wants.status, TROUPE_OK);
    busy_ends = true;
    stage_close(&stage);
}

/* ---- a holder ends ---- */

static void check_end(int kind, stage_job_fn ending)
{
    struct stage stage;
    troupe_pid to = open_with(&stage, kind);
    struct wish held = wish_for(to, ROOM);
    struct stage_end end;
    troupe_pid holder = hold(&stage, &held);

    (void)stage_do(&stage, holder, use, &held);
    stage_watch(&stage, holder, &end);
    if (ending != NULL) {
        stage_tell(&stage, holder, ending, NULL);
    } else {
        kill_it(&stage, holder);
    }
    STAGE_AWAIT(&stage, end.count == 1);
    check_free(&stage, to);
    stage_close(&stage);
}

Test(lease, it_ends_with_its_holder_whichever_way_that_ends, .timeout = 60)
{
    FOR_EACH_KIND(i)
    {
        check_end(kinds[i], end_well);
        check_end(kinds[i], end_badly);
        check_end(kinds[i], NULL);
    }
}

static int wait_again(struct troupe_actor *self, void *arg)
{
    struct wish *wish = arg;

    TROUPE_TRY(troupe_reserve(self, &wish->what[0], 0, &wish->leases[0]));
    wish->done = true;
    return troupe_sleep(self, 1000000);
}

/* Killed where it waits: in line; in line with room elsewhere; asleep with room in hand. */
Test(lease, nothing_is_left_of_one_that_is_killed_while_it_waits, .timeout = 60)
{
    FOR_EACH_KIND(i)
    {
        struct stage stage;
        troupe_pid to = open_with(&stage, kinds[i]);
        troupe_pid free = stage_spawn(&stage, &sink_behaviour, NULL);
        troupe_pid low = free < to ? free : to;
        troupe_pid high = free < to ? to : free;
        struct wish held = wish_for(high, ROOM);
        struct wish wants = wish_for(high, 2);
        struct wish both = {.what = {{.to = high, .count = 1}, {.to = low, .count = 3}},
            .count = 2,
            .wait_ms = TROUPE_FOREVER};
        struct wish sleeps = wish_for(low, 1);
        struct stage_end ends[3];
        troupe_pid pids[3];
        troupe_pid holder;

        held.what[0].lease_ms = TROUPE_LEASE_MAX_MS;
        both.what[1].lease_ms = TROUPE_LEASE_MAX_MS;
        holder = hold(&stage, &held);
        pids[0] = start(&stage, reserve, &wants, high);
        pids[1] = start(&stage, reserve_all, &both, high);
        pids[2] = stage_spawn(&stage, &holder_behaviour, NULL);
        stage_tell(&stage, pids[2], wait_again, &sleeps);
        STAGE_AWAIT(&stage, sleeps.done);
        cr_assert_eq(look(&stage, low).length, 4);
        for (unsigned n = 0; n < 3; n++) {
            stage_watch(&stage, pids[n], &ends[n]);
            kill_it(&stage, pids[n]);
            STAGE_AWAIT(&stage, ends[n].count == 1);
        }
        check_free(&stage, low);
        cr_assert_eq(look(&stage, high).waiters, 0);
        (void)stage_do(&stage, holder, release, &held);
        check_free(&stage, high);
        stage_close(&stage);
    }
}

static struct wish *first_life;

static int hold_and_fall(struct troupe_actor *self, const void *arg)
{
    struct wish *wish = first_life;

    (void)arg;
    sink.lives++;
    if (sink.lives == 1) {
        TROUPE_TRY(troupe_reserve(self, &wish->what[0], 0, &wish->leases[0]));
        wish->done = true;
        return TROUPE_EPROTO;
    }
    wish->status = troupe_lease_send(self, &wish->leases[0], &number, &wish->value);
    sink.lives++;
    return troupe_sleep(self, 1000000);
}

static const struct troupe_behaviour falling = {.name = "falling", .main = hold_and_fall};

Test(lease, the_next_life_of_its_holder_has_none_of_it, .timeout = 60)
{
    struct troupe_child_spec child = {
        .id = "holder", .behaviour = &falling, .restart = TROUPE_PERMANENT, .keep_mailbox = true};
    struct troupe_supervisor_spec tree = {
        .name = "lease", .children = &child, .child_count = 1, .intensity = 5};
    struct stage stage;
    troupe_pid to;
    troupe_pid supervisor;
    struct wish wish;

    memset(&sink, 0, sizeof sink);
    stage_open(&stage, 2);
    to = stage_spawn(&stage, &holder_behaviour, NULL);
    wish = wish_for(to, 1);
    first_life = &wish;
    cr_assert_eq(troupe_supervisor_start(stage.runtime, &tree, 10000, &supervisor), TROUPE_OK);
    STAGE_AWAIT(&stage, sink.lives == 3);
    cr_assert(wish.done);
    cr_assert_eq(wish.status, TROUPE_ETIMEDOUT);
    check_free(&stage, to);
    stage_close(&stage);
}

/* ---- a receiver ends ---- */

Test(lease, what_is_sent_to_one_that_has_ended_is_refused_so, .timeout = 60)
{
    FOR_EACH_KIND(i)
    {
        struct stage stage;
        troupe_pid to = open_with(&stage, kinds[i]);
        struct wish held = wish_for(to, ROOM);
        struct wish wants = wish_for(to, ROOM);
        troupe_pid holder = hold(&stage, &held);
        struct stage_end end;

        stage_watch(&stage, to, &end);
        (void)start(&stage, reserve, &wants, to);
        kill_it(&stage, to);
        STAGE_AWAIT(&stage, wants.done && end.count == 1);
        cr_assert_eq(wants.status, TROUPE_EGONE);
        (void)stage_do(&stage, holder, use, &held);
        cr_assert_eq(held.status, TROUPE_EGONE);
        /* Who lives in its cell next has all of its room, whatever becomes of the lease. */
        (void)stage_do(&stage, holder, release, &held);
        (void)stage_do(&stage, holder, reserve, &wants);
        cr_assert_eq(wants.status, TROUPE_EGONE);
        stage_close(&stage);
    }
}

Test(lease, room_in_a_kept_mailbox_outlives_its_owners_life, .timeout = 60)
{
    struct troupe_child_spec child = {.id = "sink",
        .behaviour = &sink_behaviour,
        .restart = TROUPE_PERMANENT,
        .keep_mailbox = true};
    struct troupe_supervisor_spec tree = {
        .name = "lease", .children = &child, .child_count = 1, .intensity = 5};
    struct stage stage;
    troupe_pid supervisor;
    troupe_pid holder;
    struct wish held;
    troupe_pid to;

    memset(&sink, 0, sizeof sink);
    stage_open(&stage, 2);
    cr_assert_eq(troupe_supervisor_start(stage.runtime, &tree, 10000, &supervisor), TROUPE_OK);
    to = troupe_runtime_whereis(stage.runtime, "lease.sink");
    held = wish_for(to, 3);
    held.value = 8;
    holder = hold(&stage, &held);
    stage_tell(&stage, to, end_badly, NULL);
    STAGE_AWAIT(&stage, sink.lives == 2);
    (void)stage_do(&stage, holder, use, &held);
    cr_assert_eq(held.status, TROUPE_OK);
    STAGE_AWAIT(&stage, sink.count == 1 && sink.seen[0] == 8);
    (void)stage_do(&stage, holder, release, &held);
    check_free(&stage, to);
    stage_close(&stage);
}

/* ---- nobody closes a ring by it ---- */

Test(lease, a_holder_does_not_begin_to_wait_for_other_room, .timeout = 60)
{
    FOR_EACH_KIND(i)
    {
        struct stage stage;
        troupe_pid to = open_with(&stage, kinds[i]);
        troupe_pid full = stage_spawn(&stage, &sink_behaviour, NULL);
        struct wish others = wish_for(full, ROOM);
        struct wish held = wish_for(to, 1);
        struct wish wants = wish_for(full, 1);
        troupe_pid holder = hold(&stage, &held);

        others.what[0].lease_ms = TROUPE_LEASE_MAX_MS;
        (void)hold(&stage, &others);
        (void)stage_do(&stage, holder, reserve, &wants);
        cr_assert_eq(wants.status, TROUPE_EFULL);
        (void)stage_do(&stage, holder, send_within, &wants);
        cr_assert_eq(wants.status, TROUPE_EFULL);
        /* When it is used it may. */
        (void)stage_do(&stage, holder, use, &held);
        wants.wait_ms = 20;
        wants.done = false;
        stage_tell(&stage, holder, reserve, &wants);
        STAGE_AWAIT(&stage, look(&stage, full).waiters == 1);
        clock_skip_ms(30);
        STAGE_AWAIT(&stage, wants.done);
        cr_assert_eq(wants.status, TROUPE_ETIMEDOUT);
        stage_close(&stage);
    }
}

static int send_wait_in_job(struct troupe_job *job, void *arg)
{
    struct wish *wish = arg;

    return troupe_job_send(job, wish->what[1].to, &number, &wish->value, 60000);
}

static int hold_and_wait_for_job(struct troupe_actor *self, void *arg)
{
    struct wish *wish = arg;

    TROUPE_TRY(troupe_reserve(self, &wish->what[0], 0, &wish->leases[0]));
    TROUPE_TRY(
        troupe_blocking_wait(self, send_wait_in_job, wish, NULL, TROUPE_FOREVER, &wish->status));
    wish->done = true;
    return TROUPE_OK;
}

Test(lease, nor_does_a_job_that_a_holder_waits_for, .timeout = 60)
{
    struct stage stage;
    troupe_pid to = open_with(&stage, 2);
    troupe_pid full = stage_spawn(&stage, &sink_behaviour, NULL);
    struct wish others = wish_for(full, ROOM);
    struct wish wish = {.what = {{.to = to}, {.to = full}}};
    troupe_pid holder = stage_spawn(&stage, &holder_behaviour, NULL);

    others.what[0].lease_ms = TROUPE_LEASE_MAX_MS;
    wish.what[0].lease_ms = TROUPE_LEASE_MAX_MS;
    (void)hold(&stage, &others);
    stage_tell(&stage, holder, hold_and_wait_for_job, &wish);
    STAGE_AWAIT(&stage, wish.done);
    cr_assert_eq(wish.status, TROUPE_EFULL, "%s", troupe_strerror(wish.status));
    stage_close(&stage);
}

struct thread_play {
    troupe_pid to;
    troupe_pid full;
    int reserved;
    int waited;
    int sent;
    _Atomic bool done;
};

static int play_on_thread(struct troupe_actor *self, const void *arg)
{
    struct thread_play *play = *(struct thread_play *const *)arg;
    struct troupe_reservation what = {.to = play->to, .lease_ms = TROUPE_LEASE_MAX_MS};
    struct troupe_lease lease;
    struct troupe_message *msg;

    play->reserved = troupe_reserve(self, &what, 1000, &lease);
    TROUPE_TRY(troupe_message_create(troupe_runtime_of(self), &number, 0, &msg));
    *(uint64_t *)troupe_body(msg) = 1;
    play->waited = troupe_send_wait(troupe_runtime_of(self), play->full, msg, TROUPE_FOREVER);
    if (play->waited < 0) {
        troupe_message_destroy(msg);
    }
    play->sent = troupe_lease_send(self, &lease, &number, &(uint64_t){3});
    play->done = true;
    return TROUPE_OK;
}

static const struct troupe_behaviour thread_behaviour = {
    .name = "thread", .main = play_on_thread, .thread = true};

Test(lease, a_thread_actor_holds_room_as_others_do, .timeout = 60)
{
    struct stage stage;
    troupe_pid to = open_with(&stage, 2);
    troupe_pid full = stage_spawn(&stage, &sink_behaviour, NULL);
    struct wish others = wish_for(full, ROOM);
    struct thread_play play = {.to = to, .full = full};
    struct thread_play *arg = &play;
    struct troupe_spawn_options options = {
        .behaviour = &thread_behaviour, .arg = &arg, .arg_size = sizeof arg};
    troupe_pid pid;

    others.what[0].lease_ms = TROUPE_LEASE_MAX_MS;
    (void)hold(&stage, &others);
    cr_assert_eq(troupe_runtime_spawn(stage.runtime, &options, &pid), TROUPE_OK);
    STAGE_AWAIT(&stage, play.done);
    cr_assert_eq(play.reserved, TROUPE_OK);
    cr_assert_eq(play.waited, TROUPE_EFULL);
    cr_assert_eq(play.sent, TROUPE_OK);
    STAGE_AWAIT(&stage, sink.count == 1 && sink.seen[0] == 3);
    stage_close(&stage);
}

static int hold_and_block(struct troupe_actor *self, const void *arg)
{
    struct wish *wish = *(struct wish *const *)arg;

    TROUPE_TRY(troupe_reserve(self, &wish->what[0], 0, &wish->leases[0]));
    latch_hit(&busy_begins);
    while (!busy_ends) {
        sched_yield();
    }
    wish->status = troupe_lease_send(self, &wish->leases[0], &number, &wish->value);
    return TROUPE_OK;
}

static const struct troupe_behaviour blocking_thread = {
    .name = "blocking", .main = hold_and_block, .thread = true};

Test(lease, it_lapses_while_the_thread_of_its_holder_is_busy, .timeout = 60)
{
    struct stage stage;
    troupe_pid to = open_with(&stage, 2);
    struct wish held = wish_for(to, ROOM);
    struct wish wants = wish_for(to, ROOM);
    struct wish *arg = &held;
    struct troupe_spawn_options options = {
        .behaviour = &blocking_thread, .arg = &arg, .arg_size = sizeof arg};
    struct stage_end end;
    troupe_pid pid;

    cr_assert_eq(troupe_runtime_spawn(stage.runtime, &options, &pid), TROUPE_OK);
    cr_assert(latch_wait(&busy_begins, 1));
    stage_watch(&stage, pid, &end);
    (void)start(&stage, reserve, &wants, to);
    clock_skip_ms(TROUPE_LEASE_DEFAULT_MS + 2);
    STAGE_AWAIT(&stage, wants.done);
    cr_assert_eq(wants.status, TROUPE_OK);
    busy_ends = true;
    STAGE_AWAIT(&stage, end.count == 1);
    cr_assert_eq(held.status, TROUPE_ETIMEDOUT);
    stage_close(&stage);
}

/* Each waits for the other: one by a call, one for room. */
struct ring {
    troupe_pid caller;
    int status;
    _Atomic bool called;
    _Atomic bool done;
};

static int call_other(struct troupe_actor *self, void *arg)
{
    troupe_pid other = *(troupe_pid *)arg;

    return troupe_call(self, other, &ask, NULL, &answer, NULL, TROUPE_FOREVER);
}

static int reserve_at_caller(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct ring *ring = *(struct ring **)state;
    struct troupe_reservation what = {.to = ring->caller, .count = ROOM};
    struct troupe_lease lease;

    if (!troupe_is(msg, &ask)) {
        return TROUPE_EUNKNOWN;
    }
    ring->status = troupe_reserve(self, &what, TROUPE_FOREVER, &lease);
    ring->done = true;
    return troupe_reply(self, msg, &answer, NULL);
}

static int ring_init(struct troupe_actor *self, void *state, const void *arg)
{
    (void)self;
    *(struct ring **)state = *(struct ring *const *)arg;
    return TROUPE_OK;
}

static const struct troupe_behaviour ring_behaviour = {.name = "ring",
    .init = ring_init,
    .receive = reserve_at_caller,
    .state_size = sizeof(struct ring *),
    .may_wait = true};
static const struct troupe_behaviour caller_behaviour = {
    .name = "caller", .receive = stage_puppet_receive, .may_wait = true, .capacity = ROOM};

Test(lease, who_would_close_a_ring_is_told_that_there_is_no_room, .timeout = 60)
{
    FOR_EACH_KIND(i)
    {
        struct ring ring = {.status = TROUPE_OK};
        struct ring *arg = &ring;
        struct troupe_spawn_options options = {
            .behaviour = &ring_behaviour, .arg = &arg, .arg_size = sizeof arg};
        struct stage stage;
        struct wish held;
        troupe_pid other;

        stage_open(&stage, kinds[i]);
        ring.caller = stage_spawn(&stage, &caller_behaviour, NULL);
        cr_assert_eq(troupe_runtime_spawn(stage.runtime, &options, &other), TROUPE_OK);
        /* One place is held by a third, so that the room is not there. */
        held = wish_for(ring.caller, 1);
        held.what[0].lease_ms = TROUPE_LEASE_MAX_MS;
        (void)hold(&stage, &held);
        stage_tell(&stage, ring.caller, call_other, &other);
        STAGE_AWAIT(&stage, ring.done);
        cr_assert_eq(ring.status, TROUPE_EFULL);
        stage_close(&stage);
    }
}

/* ---- several at once ---- */

Test(lease, of_several_all_are_held_or_none, .timeout = 60)
{
    FOR_EACH_KIND(i)
    {
        struct stage stage;
        troupe_pid a = open_with(&stage, kinds[i]);
        troupe_pid b = stage_spawn(&stage, &sink_behaviour, NULL);
        struct wish both = {
            .what = {{.to = b, .count = 3}, {.to = a, .count = 2}}, .count = 2, .wait_ms = 0};
        struct wish held = wish_for(b, 2);
        troupe_pid holder = hold(&stage, &held);
        troupe_pid taker = stage_spawn(&stage, &holder_behaviour, NULL);

        (void)stage_do(&stage, taker, reserve_all, &both);
        cr_assert_eq(both.status, TROUPE_EFULL);
        cr_assert_eq(look(&stage, a).length, 0);
        both.wait_ms = TROUPE_FOREVER;
        both.done = false;
        stage_tell(&stage, taker, reserve_all, &both);
        STAGE_AWAIT(&stage, look(&stage, b).waiters == 1);
        (void)stage_do(&stage, holder, release, &held);
        STAGE_AWAIT(&stage, both.done);
        cr_assert_eq(both.status, TROUPE_OK);
        cr_assert_eq(look(&stage, a).length, 2);
        cr_assert_eq(look(&stage, b).length, 3);
        cr_assert_eq(both.leases[0].left, 3);
        cr_assert_eq(both.leases[1].left, 2);
        stage_close(&stage);
    }
}

/* The first one's time is over before the last one is there. */
Test(lease, of_several_none_is_held_if_one_has_lapsed_meanwhile, .timeout = 60)
{
    struct stage stage;
    troupe_pid a = open_with(&stage, TROUPE_NO_THREADS);
    troupe_pid b = stage_spawn(&stage, &sink_behaviour, NULL);
    troupe_pid low = a < b ? a : b;
    troupe_pid high = a < b ? b : a;
    struct wish both = {.what = {{.to = low}, {.to = high}}, .count = 2, .wait_ms = TROUPE_FOREVER};
    struct wish held = wish_for(high, ROOM);
    troupe_pid holder;

    held.what[0].lease_ms = TROUPE_LEASE_MAX_MS;
    holder = hold(&stage, &held);
    (void)start(&stage, reserve_all, &both, high);
    cr_assert_eq(look(&stage, low).length, 1);
    clock_skip_ms(TROUPE_LEASE_DEFAULT_MS + 2);
    STAGE_AWAIT(&stage, look(&stage, low).length == 0);
    (void)stage_do(&stage, holder, release, &held);
    STAGE_AWAIT(&stage, both.done);
    cr_assert_eq(both.status, TROUPE_ETIMEDOUT);
    check_free(&stage, low);
    check_free(&stage, high);
    stage_close(&stage);
}

struct pair {
    struct troupe_reservation what[2];
    struct troupe_lease leases[2];
    unsigned rounds;
    _Atomic unsigned *done;
};

static int reserve_often(struct troupe_actor *self, void *arg)
{
    struct pair *pair = arg;

    for (unsigned n = 0; n < pair->rounds; n++) {
        int error = troupe_reserve_all(self, pair->what, 2, TROUPE_FOREVER, pair->leases);

        cr_assert(error == TROUPE_OK || error == TROUPE_ETIMEDOUT, "%s", troupe_strerror(error));
        for (unsigned i = 0; error == TROUPE_OK && i < 2; i++) {
            error = troupe_lease_send(self, &pair->leases[i], &number, &(uint64_t){n});
            cr_assert(error == TROUPE_OK || error == TROUPE_ETIMEDOUT);
            error = TROUPE_OK;
            troupe_lease_release(self, &pair->leases[i]);
        }
    }
    ++*pair->done;
    return TROUPE_OK;
}

Test(lease, those_that_want_the_same_two_in_either_order_go_on, .timeout = 120)
{
    _Atomic unsigned done = 0;
    struct stage stage;
    troupe_pid a = open_with(&stage, 2);
    troupe_pid b = stage_spawn(&stage, &sink_behaviour, NULL);
    struct pair pairs[6];

    for (unsigned n = 0; n < TROUPE_COUNT(pairs); n++) {
        pairs[n] = (struct pair){
            .what = {{.to = n % 2 ? a : b, .count = ROOM}, {.to = n % 2 ? b : a, .count = ROOM}},
            .rounds = 300,
            .done = &done};
        stage_tell(&stage, stage_spawn(&stage, &holder_behaviour, NULL), reserve_often, &pairs[n]);
    }
    STAGE_AWAIT(&stage, done == TROUPE_COUNT(pairs));
    check_free(&stage, a);
    check_free(&stage, b);
    stage_close(&stage);
}

/* ---- what is wrong, and what fails ---- */

static int try_wrong(struct troupe_actor *self, void *arg)
{
    troupe_pid to = *(troupe_pid *)arg;
    struct troupe_reservation what[2] = {{.to = to}, {.to = to}};
    struct troupe_lease lease = {NULL, 0, 0};
    struct troupe_lease leases[2];

    cr_assert_eq(troupe_reserve(self, NULL, 0, &lease), TROUPE_EINVAL);
    cr_assert_eq(troupe_reserve(self, what, 0, NULL), TROUPE_EINVAL);
    cr_assert_eq(troupe_reserve(self, what, -2, &lease), TROUPE_EINVAL);
    /* A handler that may not wait. */
    cr_assert_eq(troupe_reserve(self, what, 1, &lease), TROUPE_EINVAL);
    cr_assert_eq(troupe_reserve(NULL, what, 0, &lease), TROUPE_EINVAL);
    what[0].lease_ms = TROUPE_LEASE_MAX_MS + 1;
    cr_assert_eq(troupe_reserve(self, what, 0, &lease), TROUPE_EINVAL);
    what[0].lease_ms = 0;
    what[0].to = TROUPE_NOBODY;
    cr_assert_eq(troupe_reserve(self, what, 0, &lease), TROUPE_EINVAL);
    what[0].to = to;
    cr_assert_eq(troupe_reserve_all(self, what, 2, 0, leases), TROUPE_EINVAL);
    cr_assert_eq(troupe_reserve_all(self, what, 0, 0, leases), TROUPE_EINVAL);
    cr_assert_eq(troupe_lease_send(self, &lease, &number, NULL), TROUPE_EINVAL);
    cr_assert_eq(troupe_lease_send(self, NULL, &ask, NULL), TROUPE_EINVAL);
    cr_assert_eq(troupe_lease_send(self, &lease, &ask, NULL), TROUPE_ETIMEDOUT);
    troupe_lease_release(self, &lease);
    troupe_lease_release(self, NULL);
    cr_assert_eq(troupe_reserve(self, what, 0, &lease), TROUPE_OK);
    return TROUPE_OK;
}

Test(lease, what_is_wrong_is_refused, .timeout = 60)
{
    struct stage stage;
    troupe_pid to = open_with(&stage, TROUPE_NO_THREADS);
    troupe_pid puppet = stage_spawn(&stage, &stage_puppet, NULL);

    cr_assert_eq(stage_do(&stage, puppet, try_wrong, &to), TROUPE_OK);
    stage_close(&stage);
}

static int reserve_to_the_limit(struct troupe_actor *self, void *arg)
{
    struct wish *wish = arg;
    struct troupe_lease first;
    struct troupe_lease lease;

    TROUPE_TRY(troupe_reserve(self, &wish->what[0], 0, &first));
    TROUPE_TRY(troupe_reserve(self, &wish->what[0], 0, &lease));
    cr_assert_eq(troupe_reserve(self, &wish->what[0], 0, &lease), TROUPE_ELIMIT);
    troupe_lease_release(self, &first);
    wish->status = troupe_reserve(self, &wish->what[0], 0, &lease);
    return TROUPE_OK;
}

Test(lease, an_actor_has_no_more_of_them_than_timers, .timeout = 60)
{
    struct troupe_runtime_options options = {
        .workers = TROUPE_NO_THREADS, .limits.actor_timers = 2};
    struct stage stage;
    struct wish wish;
    troupe_pid to;

    memset(&sink, 0, sizeof sink);
    stage_open_with(&stage, &options);
    to = stage_spawn(&stage, &sink_behaviour, NULL);
    wish = wish_for(to, 1);
    cr_assert_eq(
        stage_do(&stage, stage_spawn(&stage, &holder_behaviour, NULL), reserve_to_the_limit, &wish),
        TROUPE_OK);
    cr_assert_eq(wish.status, TROUPE_OK);
    stage_close(&stage);
}

static int hold_and_send(struct troupe_actor *self, void *arg)
{
    struct wish *wish = arg;

    wish->status = troupe_reserve(self, &wish->what[0], 0, &wish->leases[0]);
    if (wish->status == TROUPE_OK) {
        wish->status = troupe_lease_send(self, &wish->leases[0], &number, &wish->value);
        troupe_lease_release(self, &wish->leases[0]);
    }
    return TROUPE_OK;
}

Test(lease, without_memory_nothing_is_held, .timeout = 60)
{
    for (uint64_t k = 1;; k++) {
        struct stage stage;
        troupe_pid to = open_with(&stage, TROUPE_NO_THREADS);
        struct wish wish = wish_for(to, 2);
        troupe_pid holder = stage_spawn(&stage, &stage_puppet, NULL);
        struct troupe_message *told;
        bool failed;

        told = stage_message(
            &stage, &stage_job, &(struct stage_job){.run = hold_and_send, .arg = &wish});
        stage_run(&stage);
        test_allocator_fail_mine(k);
        cr_assert_eq(troupe_try_send(stage.runtime, holder, told), TROUPE_OK);
        stage_run(&stage);
        test_allocator_fail_mine(0);
        failed = wish.status == TROUPE_ENOMEM;
        cr_assert(failed || wish.status == TROUPE_OK);
        cr_assert(is_all_free(&stage, to));
        stage_close(&stage);
        if (!failed) {
            break;
        }
    }
}

/* ---- at random ---- */

struct crowd {
    troupe_pid to[3];
    _Atomic uint64_t seed;
};

static int live_at_random(struct troupe_actor *self, const void *arg)
{
    struct crowd *crowd = *(struct crowd *const *)arg;
    struct test_random random = test_random_of(crowd->seed++);

    for (unsigned n = 0; n < 40; n++) {
        struct troupe_reservation what = {.to = crowd->to[test_below(&random, 3)],
            .count = 1 + (uint32_t)test_below(&random, ROOM),
            .lease_ms = 1 + (uint32_t)test_below(&random, 3)};
        struct troupe_lease lease;
        int error = troupe_reserve(self, &what, (int)test_below(&random, 3), &lease);

        while (error == TROUPE_OK && test_below(&random, 4) > 0) {
            error = troupe_lease_send(self, &lease, &number, &(uint64_t){n});
        }
        if (test_below(&random, 40) == 0) {
            return TROUPE_EPROTO;
        }
        if (test_below(&random, 8) == 0) {
            TROUPE_TRY(troupe_sleep(self, 1));
        }
        if (error == TROUPE_OK && test_below(&random, 8) > 0) {
            troupe_lease_release(self, &lease);
        }
    }
    return TROUPE_OK;
}

static const struct troupe_behaviour crowd_behaviour = {.name = "crowd", .main = live_at_random};

Test(lease, whatever_holders_do_all_room_comes_back, .timeout = 120)
{
    struct stage stage;
    struct crowd crowd = {.seed = test_seed("lease")};
    struct crowd *arg = &crowd;
    struct troupe_spawn_options options = {
        .behaviour = &crowd_behaviour, .arg = &arg, .arg_size = sizeof arg};
    troupe_pid pids[200];

    crowd.to[0] = open_with(&stage, 2);
    crowd.to[1] = stage_spawn(&stage, &sink_behaviour, NULL);
    crowd.to[2] = stage_spawn(&stage, &sink_behaviour, NULL);
    for (unsigned n = 0; n < TROUPE_COUNT(pids); n++) {
        cr_assert_eq(troupe_runtime_spawn(stage.runtime, &options, &pids[n]), TROUPE_OK);
        if (n % 3 == 2) {
            kill_it(&stage, pids[n - 1 - n % 2]);
        }
    }
    for (unsigned n = 0; n < TROUPE_COUNT(pids); n++) {
        STAGE_AWAIT(&stage, !troupe_is_alive(stage.runtime, pids[n]));
    }
    for (unsigned i = 0; i < 3; i++) {
        check_free(&stage, crowd.to[i]);
    }
    stage_close(&stage);
}
