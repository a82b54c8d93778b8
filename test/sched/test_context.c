/* SPDX-License-Identifier: MIT */
/* Context: whoever acts has a context to itself; visits nest, and leave nothing locked. */
#include "sched/context.h"

#include "sched/runtime.h"
#include "test/support/stage.h"
#include "test/support/team.h"

static bool is_free(struct trp_shard *shard)
{
    bool is_free = trp_lock_try(&shard->lock);

    if (is_free) {
        trp_lock_give(&shard->lock);
    }
    return is_free;
}

/* Whether nobody is inside: asked by a thread that has entered nothing. */
static const char *look_for_locks(void *arg, unsigned index)
{
    struct troupe_runtime *runtime = arg;

    (void)index;
    for (unsigned i = 0; i < runtime->shard_count; i++) {
        if (!is_free(&runtime->shards[i])) {
            return "a shard is locked";
        }
    }
    return NULL;
}

static bool is_quiet(struct stage *stage)
{
    return team_run(1, look_for_locks, stage->runtime) == NULL;
}

/* ---- foreign threads ---- */

Test(context, a_foreign_thread_has_a_shard_until_it_leaves)
{
    struct trp_visit visit;
    struct stage stage;

    stage_open(&stage, TROUPE_NO_THREADS);
    cr_assert_eq(trp_context_enter(stage.runtime, &visit), TROUPE_OK);
    cr_assert_eq(visit.context->runtime, stage.runtime);
    cr_assert_null(visit.context->worker);
    cr_assert_not_null(visit.shard);
    cr_assert_eq(visit.context, &visit.shard->context);
    cr_assert_not(trp_reclaim_enter(), "a read section comes with it");
    cr_assert_not(is_quiet(&stage));
    trp_context_leave(&visit);
    cr_assert(trp_reclaim_enter(), "it is offline again");
    trp_reclaim_leave(true);
    cr_assert(is_quiet(&stage));
    stage_close(&stage);
}

Test(context, visits_nest_in_one_context)
{
    struct trp_visit outer;
    struct trp_visit inner;
    struct stage stage;

    stage_open(&stage, TROUPE_NO_THREADS);
    cr_assert_eq(trp_context_enter(stage.runtime, &outer), TROUPE_OK);
    for (unsigned i = 0; i < 3; i++) {
        cr_assert_eq(trp_context_enter(stage.runtime, &inner), TROUPE_OK);
        cr_assert_eq(inner.context, outer.context);
        trp_context_leave(&inner);
        cr_assert_not(is_quiet(&stage), "the inner one does not end the outer one");
        cr_assert_not(trp_reclaim_enter());
    }
    trp_context_leave(&outer);
    cr_assert(is_quiet(&stage));
    stage_close(&stage);
}

Test(context, visits_of_several_runtimes_nest_in_any_order)
{
    struct trp_visit visits[4];
    struct stage a;
    struct stage b;

    stage_open(&a, TROUPE_NO_THREADS);
    stage_open(&b, TROUPE_NO_THREADS);
    cr_assert_eq(trp_context_enter(a.runtime, &visits[0]), TROUPE_OK);
    cr_assert_eq(trp_context_enter(b.runtime, &visits[1]), TROUPE_OK);
    cr_assert_eq(visits[1].context->runtime, b.runtime);
    cr_assert_eq(trp_context_enter(a.runtime, &visits[2]), TROUPE_OK);
    cr_assert_eq(visits[2].context, visits[0].context);
    cr_assert_eq(trp_context_enter(b.runtime, &visits[3]), TROUPE_OK);
    cr_assert_eq(visits[3].context, visits[1].context);
    trp_context_leave(&visits[3]);
    trp_context_leave(&visits[2]);
    cr_assert_not(is_quiet(&a));
    cr_assert_not(is_quiet(&b));
    trp_context_leave(&visits[1]);
    cr_assert(is_quiet(&b));
    cr_assert_not(is_quiet(&a));
    cr_assert_eq(trp_context_enter(a.runtime, &visits[2]), TROUPE_OK, "it is known still");
    cr_assert_eq(visits[2].context, visits[0].context);
    trp_context_leave(&visits[2]);
    cr_assert_not(trp_reclaim_enter(), "still inside the first one");
    trp_context_leave(&visits[0]);
    cr_assert(is_quiet(&a));
    stage_close(&a);
    stage_close(&b);
}

Test(context, no_runtime_is_einval_inside_a_visit_too)
{
    struct trp_visit visit;
    struct trp_visit none;
    struct stage stage;

    cr_assert_eq(trp_context_enter(NULL, &none), TROUPE_EINVAL);
    stage_open(&stage, TROUPE_NO_THREADS);
    cr_assert_eq(trp_context_enter(stage.runtime, &visit), TROUPE_OK);
    cr_assert_eq(trp_context_enter(NULL, &none), TROUPE_EINVAL);
    trp_context_leave(&visit);
    cr_assert(is_quiet(&stage));
    stage_close(&stage);
}

/* ---- workers ---- */

struct found {
    struct troupe_runtime *other;
    struct trp_context *own_context;
    struct trp_context *other_context;
    struct trp_worker *worker;
    bool own_shard;
    bool other_shard;
};

static int enter_both(struct troupe_actor *self, void *arg)
{
    struct found *found = arg;
    struct trp_visit visit;

    TROUPE_TRY(trp_context_enter(troupe_runtime_of(self), &visit));
    found->own_context = visit.context;
    found->own_shard = visit.shard != NULL;
    trp_context_leave(&visit);
    TROUPE_TRY(trp_context_enter(found->other, &visit));
    found->other_context = visit.context;
    found->other_shard = visit.shard != NULL;
    trp_context_leave(&visit);
    found->worker = trp_worker_current();
    return TROUPE_OK;
}

Test(context, a_worker_has_its_own_in_its_runtime_and_is_foreign_in_another, .timeout = 60)
{
    struct found found = {0};
    struct stage stage;
    struct stage other;

    stage_open(&stage, 2);
    stage_open(&other, TROUPE_NO_THREADS);
    found.other = other.runtime;
    cr_assert_eq(
        stage_do(&stage, stage_spawn(&stage, &stage_puppet, NULL), enter_both, &found), TROUPE_OK);
    cr_assert_not_null(found.worker);
    cr_assert_eq(found.own_context, &found.worker->context);
    cr_assert_not(found.own_shard, "no lock is taken");
    cr_assert_eq(found.other_context->runtime, other.runtime);
    cr_assert(found.other_shard);
    cr_assert(is_quiet(&other));
    cr_assert_null(trp_worker_current(), "this thread is none");
    stage_close(&other);
    stage_close(&stage);
}

/* ---- many threads ---- */

enum {
    VISITORS = 6,
    VISITS = 20000,
};

struct hotel {
    struct stage stage;
    _Atomic unsigned guests[TRP_SHARDS_MAX];
    uint64_t visits[TRP_SHARDS_MAX]; /* plain: the shard's lock orders it */
};

static const char *visit_often(void *arg, unsigned index)
{
    struct hotel *hotel = arg;
    struct trp_shard *mine = NULL;

    (void)index;
    for (unsigned i = 0; i < VISITS; i++) {
        struct trp_visit visit;
        ptrdiff_t room;

        if (trp_context_enter(hotel->stage.runtime, &visit) < 0) {
            return "cannot enter";
        }
        room = visit.shard - hotel->stage.runtime->shards;
        if (atomic_fetch_add(&hotel->guests[room], 1) != 0) {
            return "two have one context";
        }
        if (mine != NULL && mine != visit.shard) {
            return "a thread stays with its shard";
        }
        mine = visit.shard;
        if (i % 64 == 0) {
            sched_yield();
        }
        hotel->visits[room]++;
        atomic_fetch_sub(&hotel->guests[room], 1);
        trp_context_leave(&visit);
    }
    return NULL;
}

Test(context, threads_share_the_shards_and_no_context_at_a_time, .timeout = 60)
{
    static struct hotel hotel;
    const char *complaint;

    /* Never started: as many shards as workers, and no thread. */
    cr_assert_eq(
        stage_try_open(&hotel.stage, &(struct troupe_runtime_options){.workers = 3}), TROUPE_OK);
    cr_assert_eq(hotel.stage.runtime->shard_count, 3);
    complaint = team_run(VISITORS, visit_often, &hotel);
    cr_assert_null(complaint, "%s", complaint);
    for (unsigned i = 0; i < 3; i++) {
        cr_assert_eq(hotel.visits[i], 2 * VISITS, "threads take shards in turn");
    }
    cr_assert(is_quiet(&hotel.stage));
    cr_assert_eq(troupe_runtime_destroy(hotel.stage.runtime), TROUPE_OK);
    cr_assert_eq(hotel.stage.memory.blocks, 0);
}

/* ---- counters, clock, randomness ---- */

Test(context, a_counter_adds_up_and_wraps)
{
    _Atomic uint64_t counter = UINT64_MAX - 1;

    trp_count(&counter, 0);
    cr_assert_eq(counter, UINT64_MAX - 1);
    trp_count(&counter, 3);
    cr_assert_eq(counter, 1);
}

Test(context, the_clock_of_a_foreign_thread_is_that_of_the_system)
{
    struct trp_visit visit;
    struct stage stage;
    uint64_t before;
    uint64_t now;

    stage_open(&stage, TROUPE_NO_THREADS);
    cr_assert_eq(trp_context_enter(stage.runtime, &visit), TROUPE_OK);
    before = trp_port_now_ns();
    now = trp_context_now(visit.context);
    cr_assert_geq(now, before);
    cr_assert_leq(now, trp_port_now_ns());
    trp_context_leave(&visit);
    stage_close(&stage);
}

struct drawn {
    uint64_t number[8];
};

static int draw(struct troupe_actor *self, void *arg)
{
    struct drawn *drawn = arg;

    for (unsigned i = 0; i < TROUPE_COUNT(drawn->number); i++) {
        drawn->number[i] = trp_context_random(trp_context_of(self));
    }
    return TROUPE_OK;
}

static void draw_with(uint64_t seed, struct drawn *out_drawn)
{
    struct stage stage;

    stage_open_with(
        &stage, &(struct troupe_runtime_options){.workers = TROUPE_NO_THREADS, .seed = seed});
    cr_assert_eq(
        stage_do(&stage, stage_spawn(&stage, &stage_puppet, NULL), draw, out_drawn), TROUPE_OK);
    stage_close(&stage);
}

Test(context, random_numbers_of_a_worker_follow_from_the_seed)
{
    struct drawn first;
    struct drawn again;
    struct drawn other;

    draw_with(1, &first);
    draw_with(1, &again);
    draw_with(2, &other);
    cr_assert_eq(memcmp(&first, &again, sizeof first), 0);
    cr_assert_neq(memcmp(&first, &other, sizeof first), 0);
    for (unsigned i = 0; i < TROUPE_COUNT(first.number); i++) {
        for (unsigned j = 0; j < i; j++) {
            cr_assert_neq(first.number[i], first.number[j]);
        }
    }
}

/* ---- what any thread may ask of an actor ---- */

static int say_done(struct troupe_actor *self, void *arg)
{
    (void)self;
    (void)arg;
    return TROUPE_DONE;
}

Test(context, an_actor_is_alive_from_its_spawn_to_its_end)
{
    struct stage stage;
    troupe_pid pid;

    stage_open(&stage, TROUPE_NO_THREADS);
    pid = stage_spawn(&stage, &stage_puppet, NULL);
    cr_assert(troupe_is_alive(stage.runtime, pid), "also before its first slice");
    stage_run(&stage);
    cr_assert(troupe_is_alive(stage.runtime, pid));
    cr_assert_not(troupe_is_alive(stage.runtime, TROUPE_NOBODY));
    cr_assert_not(troupe_is_alive(stage.runtime, pid + 1));
    cr_assert_not(troupe_is_alive(NULL, pid));
    stage_tell(&stage, pid, say_done, NULL);
    cr_assert(troupe_is_alive(stage.runtime, pid), "told is not yet ended");
    stage_run(&stage);
    cr_assert_not(troupe_is_alive(stage.runtime, pid));
    stage_close(&stage);
}

struct murder {
    troupe_pid victim;
    bool was_alive;
    bool is_alive;
};

static int kill_victim(struct troupe_actor *self, void *arg)
{
    struct murder *murder = arg;

    murder->was_alive = troupe_is_alive(troupe_runtime_of(self), murder->victim);
    TROUPE_TRY(troupe_kill(self, murder->victim));
    murder->is_alive = troupe_is_alive(troupe_runtime_of(self), murder->victim);
    return TROUPE_OK;
}

/* On one thread: the victim cannot run before its killer has asked. */
Test(context, an_actor_that_is_to_be_killed_is_not_alive)
{
    struct murder murder = {0};
    struct stage stage;

    stage_open(&stage, TROUPE_NO_THREADS);
    murder.victim = stage_spawn(&stage, &stage_puppet, NULL);
    cr_assert_eq(stage_do(&stage, stage_spawn(&stage, &stage_puppet, NULL), kill_victim, &murder),
        TROUPE_OK);
    cr_assert(murder.was_alive);
    cr_assert_not(murder.is_alive, "although it has not run since");
    stage_close(&stage);
}

Test(context, the_length_of_a_mailbox_is_what_is_charged_to_it)
{
    struct stage stage;
    uint32_t length = 99;
    troupe_pid pid;

    stage_open(&stage, TROUPE_NO_THREADS);
    pid = stage_spawn(&stage, &stage_roomy, NULL);
    cr_assert_eq(troupe_mailbox_length(stage.runtime, pid, &length), TROUPE_OK);
    cr_assert_eq(length, 0);
    for (unsigned i = 0; i < 3; i++) {
        stage_tell(&stage, pid, say_done, NULL);
    }
    cr_assert_eq(troupe_mailbox_length(stage.runtime, pid, &length), TROUPE_OK);
    cr_assert_eq(length, 3);
    cr_assert_eq(troupe_mailbox_length(NULL, pid, &length), TROUPE_EINVAL);
    cr_assert_eq(troupe_mailbox_length(stage.runtime, pid, NULL), TROUPE_EINVAL);
    cr_assert_eq(troupe_mailbox_length(stage.runtime, TROUPE_NOBODY, &length), TROUPE_EGONE);
    cr_assert_eq(length, 3, "untouched");
    stage_run(&stage);
    cr_assert_eq(troupe_mailbox_length(stage.runtime, pid, &length), TROUPE_EGONE);
    stage_close(&stage);
}
