/* SPDX-License-Identifier: MIT */
/*
 * Trap 15, links: a ring and a star of a million fall without recursion, with a budget, while others are served; and links
 * that many make and end at once are seen alike from both ends.
 *
 * Under a sanitizer the ring and the star are smaller; TROUPE_TRAP_LINKS says how large.
 */
#include <criterion/criterion.h>

#include "test/support/ear.h"
#include "test/support/ends.h"
#include "test/support/random.h"
#include "test/support/team.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define LINKS_DEFAULT 50000
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define LINKS_DEFAULT 50000
#endif
#endif
#ifndef LINKS_DEFAULT
#define LINKS_DEFAULT 1000000
#endif

static unsigned link_count(void)
{
    const char *wanted = getenv("TROUPE_TRAP_LINKS");

    return wanted == NULL ? LINKS_DEFAULT : (unsigned)strtoul(wanted, NULL, 10);
}

/* ---- somebody else who is served meanwhile ---- */

static _Atomic unsigned fallen; /* members of ring or star that have ended */

struct bystander {
    _Atomic bool stop;
    _Atomic unsigned turns;
    _Atomic unsigned fallen_most; /* between two of its turns */
};

static struct bystander bystander;

static const struct troupe_type turn = TROUPE_SIGNAL;

/* Sends itself a message in each turn; between two of them all others who have something to do had theirs. */
static int bystander_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    unsigned *before = state;
    unsigned now = fallen;

    (void)msg;
    if (now - *before > bystander.fallen_most) {
        bystander.fallen_most = now - *before;
    }
    *before = now;
    bystander.turns++;
    return bystander.stop ? TROUPE_DONE : troupe_send(self, troupe_self(self), &turn, NULL);
}

static const struct troupe_behaviour bystander_behaviour = {
    .name = "bystander", .state_size = sizeof(unsigned), .receive = bystander_receive};

static void bystander_begin(struct stage *stage)
{
    stage_send(stage, stage_spawn(stage, &bystander_behaviour, NULL), &turn, NULL);
    STAGE_AWAIT(stage, bystander.turns > 0);
}

/* One worker, and no other in its place when the system takes the processor from it: so what falls between two turns does
 * not depend on the time. */
static void open_alone(struct stage *stage)
{
    stage_open_with(
        stage, &(struct troupe_runtime_options){.workers = 1, .watchdog_ms = TROUPE_NO_WATCHDOG});
}

/* ---- a ring ---- */

struct ring {
    troupe_pid first;
    unsigned left; /* still to be made */
    struct latch *built;
};

static void note_fall(struct troupe_actor *self, void *state, const struct troupe_reason *reason)
{
    (void)self;
    (void)state;
    cr_assert_eq(reason->kind, TROUPE_EXIT_SHUTDOWN);
    fallen++;
}

static int ring_init(struct troupe_actor *self, void *state, const void *arg);

static const struct troupe_behaviour ring_behaviour = {
    .name = "ring",
    .state_size = sizeof(struct ring),
    .init = ring_init,
    .receive = stage_puppet_receive,
    .terminate = note_fall,
};

/* Each spawns the next one, linked; the last one closes the ring. */
static int ring_init(struct troupe_actor *self, void *state, const void *arg)
{
    struct ring next = *(const struct ring *)arg;
    troupe_pid pid;

    (void)state;
    if (next.first == TROUPE_NOBODY) {
        next.first = troupe_self(self);
    }
    if (next.left == 0) {
        int error = troupe_link(self, next.first);

        latch_hit(next.built);
        return error;
    }
    next.left--;
    return troupe_spawn(self,
        (&(struct troupe_spawn_options){
            .behaviour = &ring_behaviour, .arg = &next, .arg_size = sizeof next, .link = true}),
        &pid);
}

Test(trap, trap_15_a_ring_of_a_million_falls_as_one, .timeout = 240)
{
    unsigned count = link_count();
    struct latch built = LATCH_INIT;
    struct ring ring = {.left = count - 1, .built = &built};
    struct troupe_spawn_options options = {
        .behaviour = &ring_behaviour, .arg = &ring, .arg_size = sizeof ring};
    struct stage stage;
    troupe_pid first;

    open_alone(&stage);
    cr_assert_eq(troupe_runtime_spawn(stage.runtime, &options, &first), TROUPE_OK);
    cr_assert(latch_wait(&built, 1));
    bystander_begin(&stage);
    stage_tell(&stage, first, end_shutdown, NULL);
    STAGE_AWAIT(&stage, fallen == count);
    fprintf(stderr, "ring of %u: at most %u fell between two turns of another\n", count,
        bystander.fallen_most);
    /* It falls from both sides, two at a time; the LIFO slot takes a few in a row. */
    cr_assert_lt(bystander.fallen_most, 64);
    bystander.stop = true;
    stage_close(&stage);
}

/* ---- a star ---- */

static const struct troupe_behaviour ray_behaviour = {
    .name = "ray", .receive = stage_puppet_receive, .terminate = note_fall};

#define RAYS_AT_ONCE 1000

static int grow(struct troupe_actor *self, void *arg)
{
    struct troupe_spawn_options options = {.behaviour = &ray_behaviour, .link = true};
    troupe_pid pid;

    (void)arg;
    for (unsigned i = 0; i < RAYS_AT_ONCE; i++) {
        TROUPE_TRY(troupe_spawn(self, &options, &pid));
    }
    return TROUPE_OK;
}

Test(trap, trap_15_a_star_of_a_million_falls_while_others_are_served, .timeout = 240)
{
    unsigned count = link_count() / RAYS_AT_ONCE * RAYS_AT_ONCE;
    struct stage stage;
    troupe_pid hub;

    open_alone(&stage);
    hub = stage_spawn(&stage, &stage_puppet, NULL);
    for (unsigned i = 0; i < count; i += RAYS_AT_ONCE) {
        cr_assert_eq(stage_do(&stage, hub, grow, NULL), TROUPE_OK);
    }
    bystander_begin(&stage);
    stage_tell(&stage, hub, end_shutdown, NULL);
    STAGE_AWAIT(&stage, fallen == count);
    fprintf(stderr, "star of %u: at most %u fell between two turns of another\n", count,
        bystander.fallen_most);
    cr_assert_lt(bystander.fallen_most, 512);
    bystander.stop = true;
    stage_close(&stage);
}

/* ---- both ends ---- */

static bool is_among(const troupe_pid *pids, size_t count, troupe_pid wanted)
{
    for (size_t i = 0; i < count; i++) {
        if (pids[i] == wanted) {
            return true;
        }
    }
    return false;
}

/* Nothing is pending any more: whom one lists lives, lists it as well, and is listed once. */
static unsigned check_links_of(struct stage *stage, troupe_pid pid)
{
    troupe_pid peers[64];
    troupe_pid theirs[64];
    struct troupe_info info;
    size_t count;
    size_t their_count;

    if (troupe_info_links(stage->runtime, pid, peers, 64, &count) < 0) {
        return 0;
    }
    cr_assert_leq(count, 64);
    cr_assert_eq(troupe_info(stage->runtime, pid, &info), TROUPE_OK);
    cr_assert_eq(info.links, count);
    for (size_t i = 0; i < count; i++) {
        cr_assert_eq(
            troupe_info_links(stage->runtime, peers[i], theirs, 64, &their_count), TROUPE_OK);
        cr_assert(is_among(theirs, their_count, pid), "one end only");
        cr_assert_not(is_among(peers, i, peers[i]), "linked twice");
    }
    return (unsigned)count;
}

/* ---- two that link with one another at once: two locks, taken from both sides ---- */

#define EMBRACES 100000

struct embrace {
    troupe_pid peer;
    struct latch *done;
};

static int embrace(struct troupe_actor *self, void *arg)
{
    const struct embrace *with = arg;

    for (unsigned i = 0; i < EMBRACES; i++) {
        cr_assert_eq(troupe_link(self, with->peer), TROUPE_OK);
        cr_assert_geq(troupe_unlink_flush(self, with->peer, NULL), 0);
    }
    latch_hit(with->done);
    return TROUPE_OK;
}

Test(trap, trap_15_two_that_link_with_one_another_do_not_wait_for_one_another, .timeout = 240)
{
    struct latch done = LATCH_INIT;
    struct stage stage;
    struct embrace with[2] = {{.done = &done}, {.done = &done}};

    stage_open(&stage, 2);
    with[1].peer = stage_spawn(&stage, &stage_puppet, NULL);
    with[0].peer = stage_spawn(&stage, &stage_puppet, NULL);
    stage_tell(&stage, with[1].peer, embrace, &with[0]);
    stage_tell(&stage, with[0].peer, embrace, &with[1]);
    cr_assert(latch_wait(&done, 2), "each waits for the other");
    cr_assert_eq(check_links_of(&stage, with[0].peer), 0);
    stage_close(&stage);
}

/* ---- links made and ended by many at once ---- */

#define MEMBERS 12
#define ACTIONS 500

struct tangle {
    struct stage *stage;
    uint64_t seed;
    _Atomic troupe_pid pids[MEMBERS];
};

struct action {
    troupe_pid peer;
    unsigned what;
};

static const struct troupe_type action = TROUPE_TYPE(struct action);

static int member_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct action todo;

    (void)state;
    if (troupe_is(msg, &troupe_exited)) {
        const struct troupe_exited *exited = troupe_body(msg);

        /* Who was lost by those that tell is told by the runtime. */
        return exited->pid == TROUPE_NOBODY ? TROUPE_DONE : TROUPE_OK;
    }
    todo = *(const struct action *)troupe_body(msg);
    if (todo.what < 5) {
        int error = troupe_link(self, todo.peer);

        return error == TROUPE_EGONE ? TROUPE_OK : error;
    }
    if (todo.what < 9) {
        return troupe_unlink_flush(self, todo.peer, NULL) < 0 ? TROUPE_EINVAL : TROUPE_OK;
    }
    return troupe_fail(self, TROUPE_EPROTO, "as told");
}

/* They trap: an end takes nobody along, so that links are left to look at. */
static const struct troupe_behaviour member_behaviour = {
    .name = "member", .receive = member_receive, .capacity = 32, .trap_exit = true};

/* Waits for room: whoever is told a hundred things at once is told of its death too early.  False: it is gone. */
static bool tell(struct stage *stage, troupe_pid pid, const struct action *todo)
{
    int error;

    while ((error = stage_try_send(stage, pid, &action, todo)) == TROUPE_EFULL) {
        sched_yield();
    }
    return error == TROUPE_OK;
}

static const char *tangle_up(void *arg, unsigned index)
{
    struct tangle *tangle = arg;
    struct test_random random = test_random_of(tangle->seed + index);

    for (unsigned i = 0; i < ACTIONS; i++) {
        unsigned one = (unsigned)test_below(&random, MEMBERS);
        struct action todo = {
            tangle->pids[test_below(&random, MEMBERS)], (unsigned)test_below(&random, 10)};

        /* A twentieth of the deaths that were drawn. */
        if (todo.what == 9 && test_below(&random, 20) > 0) {
            todo.what = 0;
        }
        if (!tell(tangle->stage, tangle->pids[one], &todo)) {
            tangle->pids[one] = stage_spawn(tangle->stage, &member_behaviour, NULL);
        }
    }
    return NULL;
}

Test(trap, trap_15_links_made_and_ended_by_many_are_seen_alike_from_both_ends, .timeout = 240)
{
    struct stage stage;
    struct tangle tangle = {.stage = &stage, .seed = test_seed("trap_15")};
    const char *complaint;
    unsigned links = 0;

    stage_open(&stage, 2);
    for (unsigned i = 0; i < MEMBERS; i++) {
        tangle.pids[i] = stage_spawn(&stage, &member_behaviour, NULL);
    }
    for (unsigned round = 0; round < 2; round++) {
        complaint = team_run(16, tangle_up, &tangle);
        cr_assert_null(complaint, "%s", complaint);
        STAGE_AWAIT(&stage, stage_books(&stage).queued == 0);
        for (unsigned i = 0; i < MEMBERS; i++) {
            links += check_links_of(&stage, tangle.pids[i]);
        }
    }
    cr_assert_gt(links, 0, "there was nothing to look at");
    for (unsigned i = 0; i < MEMBERS; i++) {
        ear_close(&stage, tangle.pids[i]);
    }
    stage_close(&stage);
}
