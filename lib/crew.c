/* SPDX-License-Identifier: MIT */
/*
 * crew.c - the members of a pool: how many there are, and how those that are given up leave.
 *
 * A pool is a simple_one_for_one whose children are made by itself.  One that is given up goes this way:
 *
 *                given up          fence is over           had its turn
 *     (serving) ----------> seatless ----------> told ------------------> (forgotten)
 *                              |                  |  ^                        ^
 *                              |                  +--+ came too soon          |
 *                              +------------------+---------------------------+
 *                                  the time allowed is over: stopped as any child
 *
 * It loses its seat in the group at once, but whoever looked at the group before may still be about to send: in a read
 * section, which ends with a callback.  So the pool waits for a grace period (fence.h), one for all that were given up
 * before it began.  Then all that was sent through the group is in the mailbox, and an exit signal that waits for its
 * turn (exit_signal.h) goes behind it.  It has no effect on a member that owes answers; then it is sent again.
 *
 * Neither a fence nor a member that owes answers tells when it is done, so the pool looks, after 1, 2, 4 .. 64 ms, as long
 * as somebody leaves and not otherwise.  A life that begins while its member leaves, since that kept its mailbox, is
 * told anew: what it was told in its last life misses.
 *
 * One resize at a time is waited for; the next one takes its place.
 */
#include "supervisor.h"

#include <troupe/mailbox.h>

#include "admin.h"
#include "exit_signal.h"
#include "fence.h"
#include "group.h"
#include "tally.h"

/** So many are started in one go. */
#define STARTED_AT_ONCE 256

/** Longest time between two looks at those that leave. */
#define LOOK_MAX_MS 64

const struct troupe_type troupe_pool_answer = TROUPE_TYPE(struct troupe_pool_answer);
const struct troupe_type trp_crew_type = TROUPE_TYPE(struct trp_crew_order);

static uint32_t serving_count(const struct trp_supervisor *sup)
{
    return (uint32_t)(sup->child_count - sup->crew.leaving);
}

static const char *group_of(const struct trp_supervisor *sup)
{
    return trp_life_group(sup, &sup->plan->children[0]);
}

/* ---- what is answered ---- */

static void describe(struct trp_supervisor *sup, struct troupe_pool_answer *answer)
{
    answer->size = sup->crew.size;
    answer->members = serving_count(sup);
    answer->leaving = sup->crew.leaving;
    answer->handled = sup->crew.handled;
    answer->restarts = sup->restart_count;
    for (struct trp_child *child = trp_brood_first(sup); child != NULL;
         child = trp_brood_next(sup, child)) {
        uint32_t length = 0;

        if (troupe_mailbox_length(sup->runtime, child->pid, &length) == TROUPE_OK) {
            answer->queued += length;
        }
        answer->handled += trp_tally_of(sup->runtime, child->pid);
    }
}

static void reply(struct trp_supervisor *sup, struct troupe_message *request, int status)
{
    struct troupe_pool_answer answer = {.status = status};

    if (trp_supervisor_is_pool(sup)) {
        describe(sup, &answer);
    }
    if (troupe_reply(sup->self, request, &troupe_pool_answer, &answer) == TROUPE_ENOMEM) {
        trp_ignore(troupe_reply_error(sup->self, request, TROUPE_ENOMEM));
    }
}

/* Answers whoever waits for the resize that goes on. */
static void settle(struct trp_supervisor *sup, int status)
{
    struct troupe_message *request = sup->crew.request;

    if (request != NULL) {
        sup->crew.request = NULL;
        reply(sup, request, status);
        troupe_message_destroy(request);
    }
}

void trp_crew_settle(struct trp_supervisor *sup)
{
    struct trp_crew *crew = &sup->crew;

    if (crew->request == NULL || crew->growing || crew->joining > 0 || crew->leaving > 0 ||
        sup->phase == TRP_SUPERVISOR_ENDING) {
        return;
    }
    settle(sup, crew->error < 0 ? crew->error : crew->late ? TROUPE_ETIMEDOUT : TROUPE_OK);
}

void trp_crew_close(struct trp_supervisor *sup)
{
    settle(sup, TROUPE_ESTOPPED);
}

void trp_crew_fini(struct trp_supervisor *sup)
{
    trp_fence_drop(sup->crew.fence);
}

/* ---- more ---- */

static int add_one(struct trp_supervisor *sup, struct trp_child **out_child)
{
    TROUPE_TRY(
        trp_child_create(sup->memory, sup->plan, &sup->plan->children[0], NULL, false, out_child));
    trp_brood_add(sup, *out_child);
    return TROUPE_OK;
}

int trp_crew_begin(struct trp_supervisor *sup)
{
    struct trp_crew *crew = &sup->crew;
    struct trp_child *child;

    if (group_of(sup) == NULL) {
        /* It was added to a tree without a name, which nobody knew before. */
        return TROUPE_EINVAL;
    }
    crew->size = sup->plan->pool_size;
    if (crew->size == 0) {
        crew->size = troupe_runtime_workers(sup->runtime);
    }
    for (uint32_t i = 0; i < crew->size; i++) {
        TROUPE_TRY(add_one(sup, &child));
        trp_life_set_wanted(sup, child, true);
    }
    return TROUPE_OK;
}

static void stop_growing(struct trp_supervisor *sup, int error)
{
    sup->crew.growing = false;
    sup->crew.error = error;
}

static void start_one(struct trp_supervisor *sup)
{
    struct trp_child *child;
    int error = add_one(sup, &child);

    if (error < 0) {
        stop_growing(sup, error);
        return;
    }
    child->joining = true;
    sup->crew.joining++;
    if (sup->sweep != TRP_SWEEP_NONE) {
        /* It is the last one, and will have its turn. */
        trp_life_set_wanted(sup, child, true);
        return;
    }
    error = trp_life_start(sup, child);
    if (error < 0) {
        trp_crew_start_failed(sup, child, error);
    }
}

/* Starts some of those that are missing; true: there are more. */
static bool grow(struct trp_supervisor *sup, unsigned most)
{
    for (unsigned i = 0; sup->crew.growing && serving_count(sup) < sup->crew.size; i++) {
        if (i == most) {
            return true;
        }
        start_one(sup);
    }
    sup->crew.growing = false;
    return false;
}

bool trp_crew_start_failed(struct trp_supervisor *sup, struct trp_child *child, int error)
{
    if (child->joining) {
        stop_growing(sup, error);
    }
    if (!child->joining && !child->leaving) {
        return false;
    }
    trp_brood_remove(sup, child);
    return true;
}

/* ---- fewer ---- */

/* The number of a fence that begins after now: those that it covers were given up before. */
static uint64_t next_fence(const struct trp_crew *crew)
{
    return crew->fence_number + 1;
}

/* Takes a member out of service. */
static void give_up(struct trp_supervisor *sup, struct trp_child *child, uint64_t leave_by_ns)
{
    if (!trp_child_is_alive(child) && !child->in_place) {
        /* Nobody is there who could have anything to do. */
        trp_life_set_wanted(sup, child, false);
        trp_brood_remove(sup, child);
        return;
    }
    trp_crew_joined(sup, child);
    child->leaving = true;
    child->told = false;
    child->leave_by_ns = leave_by_ns;
    child->fence = next_fence(&sup->crew);
    sup->crew.leaving++;
    (void)trp_group_dismiss(trp_supervisor_context(sup), child->pid, group_of(sup));
}

static void shrink(struct trp_supervisor *sup, uint64_t leave_by_ns)
{
    struct trp_child *child = trp_brood_last(sup);

    while (child != NULL && serving_count(sup) > sup->crew.size) {
        struct trp_child *before = trp_brood_previous(sup, child);

        if (!child->leaving) {
            give_up(sup, child, leave_by_ns);
        }
        child = before;
    }
}

/* Ends the time of a member. */
static void cut_short(struct trp_supervisor *sup, struct trp_child *child)
{
    sup->crew.late = true;
    if (!trp_child_is_alive(child)) {
        trp_brood_remove(sup, child);
    } else if (child->state != TROUPE_CHILD_STOPPING) {
        trp_life_stop(sup, child);
    }
}

/* Nobody is on the way to it any more.  Gone: its notice is on the way, or that its next life has begun. */
static void tell(struct trp_supervisor *sup, struct trp_child *child)
{
    if (child->told && !trp_exit_signal_is_deferred(sup->runtime, child->pid)) {
        return;
    }
    child->told = trp_exit_signal_dismiss(trp_supervisor_context(sup), trp_actor_pid(sup->self),
                      child->pid) != TROUPE_ENOMEM;
}

/* Whether a fence that covers `child` is over. */
static bool is_fenced(const struct trp_crew *crew, const struct trp_child *child)
{
    return child->fence < crew->fence_number ||
           (child->fence == crew->fence_number && crew->fence == NULL);
}

static void see_off(struct trp_supervisor *sup, struct trp_child *child, uint64_t now_ns)
{
    if (now_ns >= child->leave_by_ns) {
        cut_short(sup, child);
    } else if ((child->state == TROUPE_CHILD_RUNNING || child->state == TROUPE_CHILD_STARTING) &&
               is_fenced(&sup->crew, child)) {
        tell(sup, child);
    }
}

/* Goes through those that leave; returns when the next one's time is over. */
static uint64_t see_off_all(struct trp_supervisor *sup, uint64_t now_ns)
{
    struct trp_child *child = sup->crew.leaving > 0 ? trp_brood_first(sup) : NULL;
    uint64_t next_ns = UINT64_MAX;

    while (child != NULL) {
        struct trp_child *next = trp_brood_next(sup, child);

        if (child->leaving) {
            next_ns = child->leave_by_ns > now_ns && child->leave_by_ns < next_ns
                          ? child->leave_by_ns
                          : next_ns;
            see_off(sup, child, now_ns);
        }
        child = next;
    }
    return next_ns;
}

/* Whether somebody was given up whom no fence covers yet. */
static bool wants_fence(const struct trp_supervisor *sup)
{
    struct trp_child *child = sup->crew.leaving > 0 ? trp_brood_last(sup) : NULL;

    while (child != NULL && !(child->leaving && child->fence > sup->crew.fence_number)) {
        child = trp_brood_previous(sup, child);
    }
    return child != NULL;
}

/* Without memory it is tried again when the pool looks next. */
static void mind_fences(struct trp_supervisor *sup)
{
    struct trp_crew *crew = &sup->crew;

    if (crew->fence != NULL && trp_fence_is_over(crew->fence)) {
        trp_fence_drop(crew->fence);
        crew->fence = NULL;
    }
    if (crew->fence == NULL && wants_fence(sup)) {
        crew->fence = trp_fence_begin(sup->memory);
        crew->fence_number += crew->fence != NULL ? 1 : 0;
    }
}

/* ---- going on ---- */

/* Looks again after `delay_ms`.  Without memory to wait nobody is waited for. */
static void look_again(struct trp_supervisor *sup, uint64_t delay_ms)
{
    struct trp_crew *crew = &sup->crew;
    struct trp_tick tick = {.number = TRP_TICK_OWN, .epoch = ++crew->looks, .kind = TRP_TICK_CREW};

    if (troupe_tick_after(sup->self, delay_ms, &trp_tick_type, &tick, NULL) == TROUPE_OK) {
        return;
    }
    (void)grow(sup, UINT32_MAX);
    for (struct trp_child *child = trp_brood_first(sup), *next; child != NULL; child = next) {
        next = trp_brood_next(sup, child);
        if (child->leaving) {
            cut_short(sup, child);
        }
    }
}

/* Does what can be done now about the resize that goes on. */
static void go_on(struct trp_supervisor *sup)
{
    struct trp_crew *crew = &sup->crew;
    uint64_t now_ns = troupe_now_ns(sup->runtime);
    bool more = grow(sup, STARTED_AT_ONCE);
    uint64_t next_ns;

    mind_fences(sup);
    next_ns = see_off_all(sup, now_ns);
    if (more) {
        look_again(sup, 0);
    } else if (crew->leaving > 0) {
        uint64_t left_ms = (next_ns - now_ns) / 1000000U + 1;

        look_again(sup, left_ms < crew->look_ms ? left_ms : crew->look_ms);
        crew->look_ms = crew->look_ms < LOOK_MAX_MS ? 2 * crew->look_ms : LOOK_MAX_MS;
    }
}

void trp_crew_tick(struct trp_supervisor *sup, uint64_t look)
{
    if (look == sup->crew.looks && sup->phase != TRP_SUPERVISOR_ENDING) {
        go_on(sup);
    }
}

void trp_crew_joined(struct trp_supervisor *sup, struct trp_child *child)
{
    sup->crew.joining -= child->joining ? 1 : 0;
    child->joining = false;
    /* What a member that leaves was told in its last life has missed. */
    child->told = false;
}

void trp_crew_left(struct trp_supervisor *sup, const struct trp_child *child)
{
    sup->crew.joining -= child->joining ? 1 : 0;
    sup->crew.leaving -= child->leaving ? 1 : 0;
}

/* ---- what is asked ---- */

static uint64_t leave_by(const struct trp_supervisor *sup, int drain_ms)
{
    return drain_ms == TROUPE_FOREVER ? UINT64_MAX
                                      : troupe_now_ns(sup->runtime) + (uint64_t)drain_ms * 1000000U;
}

/* A negative result is its answer. */
static int resize(
    struct trp_supervisor *sup, struct troupe_message *msg, const struct trp_crew_order *order)
{
    struct trp_crew *crew = &sup->crew;
    struct troupe_message *request;

    if (sup->phase == TRP_SUPERVISOR_ENDING) {
        return TROUPE_ESTOPPED;
    }
    if (order->size > sup->plan->child_max) {
        return TROUPE_ELIMIT;
    }
    TROUPE_TRY(troupe_take(sup->self, msg, &request));
    settle(sup, TROUPE_EBUSY);
    crew->request = request;
    crew->size = order->size;
    crew->growing = true;
    crew->late = false;
    crew->error = TROUPE_OK;
    crew->look_ms = 1;
    shrink(sup, leave_by(sup, order->drain_ms));
    go_on(sup);
    return TROUPE_OK;
}

void trp_crew_ask(struct trp_supervisor *sup, struct troupe_message *msg)
{
    const struct trp_crew_order *order = troupe_body(msg);
    int error = TROUPE_EINVAL;

    if (!troupe_is_request(msg)) {
        return;
    }
    if (trp_supervisor_is_pool(sup)) {
        if (order->only_look) {
            reply(sup, msg, TROUPE_OK);
            return;
        }
        error = resize(sup, msg, order);
    }
    if (error < 0) {
        reply(sup, msg, error);
    }
}
