/* SPDX-License-Identifier: MIT */
/*
 * alias: somebody answers through an alias while its owner ends it, or ends, and while whoever that watches ends.  Of the answer
 * and the notice exactly one is told; nothing comes through an alias that was ended; what has priority is lost nowhere
 * and keeps its order; every block comes back.
 */
#include "test/explore/stage.h"

#include <troupe/alias.h>
#include <troupe/mailbox.h>

enum {
    ACTORS = 3, /* each on a worker of its own: who is watched, the owner, and one that answers */
    WATCHED = 0,
    OWNER = 1,
    OTHER = 2,
};

static const struct troupe_type number = TROUPE_TYPE(uint64_t);

static struct troupe_runtime *runtime;
static struct troupe_actor *actors[ACTORS];
static troupe_pid pids[ACTORS];
static troupe_pid alias;
static troupe_ref ref;

/* Ghosts. */
static unsigned notices;
static unsigned answers;
static uint64_t last; /* number of an answer */
static bool deaf;     /* the owner wants nothing any more */

static int receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    (void)state;
    explore_check(self == actors[OWNER] && !deaf);
    if (troupe_is(msg, &troupe_down)) {
        explore_check(((const struct troupe_down *)troupe_body(msg))->ref == ref);
        notices++;
    } else {
        explore_check(*(const uint64_t *)troupe_body(msg) > last);
        last = *(const uint64_t *)troupe_body(msg);
        answers++;
    }
    return TROUPE_OK;
}

static const struct troupe_behaviour behaviour = {
    .name = "owner", .receive = receive, .capacity = 8};

/* ---- what they do ---- */

/* An actor's slice, in a worker's read section. */
static bool enter(unsigned who)
{
    bool was_offline = trp_reclaim_enter();

    stage_enter(runtime->workers[who], actors[who]);
    return was_offline;
}

static void end(unsigned who)
{
    bool was_offline = enter(who);

    stage_exit(actors[who]);
    trp_exit_flush(&runtime->workers[who]->context, true);
    trp_reclaim_leave(was_offline);
}

static void answer(unsigned who, uint64_t value)
{
    bool was_offline = enter(who);

    explore_check(troupe_send(actors[who], alias, &number, &value) == TROUPE_OK);
    trp_reclaim_leave(was_offline);
}

/* What has priority, then the queue. */
static void receive_all(void)
{
    struct troupe_actor *owner = actors[OWNER];
    struct troupe_message *msg;

    trp_aside_accept(owner);
    while ((msg = trp_aside_take(owner)) != NULL) {
        stage_handle(owner, msg);
        trp_worker_retire(owner->context, owner, trp_aside_spent(owner), TROUPE_EUNANSWERED);
    }
    stage_receive(owner);
}

/* ---- setups ---- */

static void set_up(void)
{
    runtime = stage_open(ACTORS, ACTORS);
    for (unsigned i = 0; i < ACTORS; i++) {
        actors[i] = stage_spawn(runtime->workers[i], &behaviour);
        pids[i] = trp_actor_pid(actors[i]);
    }
    notices = 0;
    answers = 0;
    last = 0;
    deaf = false;
}

/* An alias with nothing else. */
static void make(enum troupe_alias_mode mode, unsigned flags)
{
    bool was_offline;

    set_up();
    was_offline = enter(OWNER);
    explore_check(troupe_alias(actors[OWNER], mode, flags, &alias) == TROUPE_OK);
    trp_reclaim_leave(was_offline);
}

static void set_up_reply(void)
{
    make(TROUPE_ALIAS_REPLY, 0);
}

static void set_up_priority(void)
{
    make(TROUPE_ALIAS_EXPLICIT, TROUPE_PRIORITY);
}

/* One with a monitor. */
static void watch(unsigned flags)
{
    bool was_offline;

    set_up();
    was_offline = enter(OWNER);
    explore_check(troupe_monitor_alias(actors[OWNER], pids[WATCHED], TROUPE_ALIAS_REPLY_DEMONITOR,
                      flags, &ref, &alias) == TROUPE_OK);
    trp_reclaim_leave(was_offline);
}

static void set_up_watching(void)
{
    watch(0);
}

static void set_up_watching_first(void)
{
    watch(TROUPE_PRIORITY | TROUPE_PRIORITY_DOWN);
}

/* ---- threads ---- */

static void end_watched(void)
{
    end(WATCHED);
}

static void end_owner(void)
{
    end(OWNER);
}

static void answer_once(void)
{
    answer(OTHER, 1);
}

static void answer_as_well(void)
{
    answer(WATCHED, 2);
}

static void answer_twice(void)
{
    answer(OTHER, 1);
    answer(OTHER, 2);
}

static void unalias(void)
{
    bool was_offline = enter(OWNER);

    explore_check(troupe_unalias(actors[OWNER], alias) >= 0);
    receive_all();
    deaf = true;
    receive_all();
    trp_reclaim_leave(was_offline);
}

/* What is found later has come too late. */
static void demonitor(void)
{
    bool was_offline = enter(OWNER);

    explore_check(troupe_demonitor(actors[OWNER], ref) >= 0);
    receive_all();
    deaf = true;
    receive_all();
    trp_reclaim_leave(was_offline);
}

static void receive_some(void)
{
    bool was_offline = enter(OWNER);

    receive_all();
    trp_reclaim_leave(was_offline);
}

/* ---- checks ---- */

/* Whoever still lives ends, and then nothing is left of anything. */
static void check_nothing_left(void)
{
    for (unsigned i = 0; i < ACTORS; i++) {
        trp_worker_take_returned(runtime->workers[i]);
        if (trp_actor_find(runtime, pids[i]) != NULL) {
            (void)enter(i);
            stage_exit(actors[i]);
        }
    }
    explore_check(stage_missing(runtime) == 0);
}

static void receive_rest(void)
{
    if (trp_actor_find(runtime, pids[OWNER]) != NULL) {
        (void)enter(OWNER);
        receive_all();
    }
}

static void check_one_told(void)
{
    receive_rest();
    explore_check(notices + answers == 1);
    check_nothing_left();
}

static void check_at_most_one_told(void)
{
    receive_rest();
    explore_check(notices + answers <= 1);
    check_nothing_left();
}

static void check_both_answers(void)
{
    receive_rest();
    explore_check(answers == 2);
    check_nothing_left();
}

static const struct explore_scenario scenarios[] = {
    {.name = "one answers, and the one that is watched ends",
        .setup = set_up_watching,
        .threads = {answer_once, end_watched},
        .check = check_one_told},
    {.name = "the same, and the owner wants neither any more",
        .setup = set_up_watching,
        .threads = {answer_once, end_watched, demonitor},
        .check = check_at_most_one_told,
        .deviations = 2},
    {.name = "the same, and the owner ends",
        .setup = set_up_watching,
        .threads = {answer_once, end_watched, end_owner},
        .check = check_at_most_one_told,
        .deviations = 2},
    {.name = "the same with priority for both",
        .setup = set_up_watching_first,
        .threads = {answer_once, end_watched, end_owner},
        .check = check_at_most_one_told,
        .deviations = 2},
    {.name = "two answer through one that is for one",
        .setup = set_up_reply,
        .threads = {answer_once, answer_as_well},
        .check = check_one_told},
    {.name = "one answers, and its owner ends the alias",
        .setup = set_up_reply,
        .threads = {answer_once, unalias},
        .check = check_at_most_one_told},
    {.name = "one answers twice with priority, and the owner receives",
        .setup = set_up_priority,
        .threads = {answer_twice, receive_some},
        .check = check_both_answers},
    {.name = "one answers with priority, and the owner ends",
        .setup = set_up_priority,
        .threads = {answer_once, end_owner},
        .check = check_at_most_one_told},
};

static const struct explore_plant plants[] = {
    {"who answers does so without the lock", &scenarios[4], "send_through", EXPLORE_LOCK, 0,
        EXPLORE_FORGET, 0, "race"},
    {"the notice goes by without the lock", &scenarios[0], "trp_alias_admits", EXPLORE_LOCK, 0,
        EXPLORE_FORGET, 0, "race"},
    {"an alias is ended without the lock", &scenarios[5], "trp_alias_end", EXPLORE_LOCK, 0,
        EXPLORE_FORGET, 0, "race"},
    {"what was answered is taken without the lock", &scenarios[1], "trp_alias_take_answered",
        EXPLORE_LOCK, 0, EXPLORE_FORGET, 0, "race"},
    {"the monitor may go while its end is told", &scenarios[1], "trp_alias_spend", EXPLORE_ADD, 0,
        EXPLORE_FORGET, 0, ""},
    {"what has priority is accepted without the lock", &scenarios[6], "trp_priority_accept",
        EXPLORE_LOCK, 0, EXPLORE_FORGET, 0, "race"},
    {"the door is shut without the lock", &scenarios[7], "trp_priority_shut", EXPLORE_LOCK, 0,
        EXPLORE_FORGET, 0, "race"},
};

EXPLORE_PART(alias, scenarios, plants);
