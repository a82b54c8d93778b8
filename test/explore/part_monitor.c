/* SPDX-License-Identifier: MIT */
/*
 * monitor: an actor ends while others begin or cease to watch it, and while those end too.  Each monitor is told once,
 * and never after it was taken back; a link fires at most once; a life that ends is followed by one at most; every block
 * comes back.
 */
#include "test/explore/stage.h"

#include "lib/tie.h"

enum {
    ACTORS = 3, /* each on a worker of its own; the first is the one that ends */
    UNTOUCHED = -12345,
};

static struct troupe_runtime *runtime;
static struct troupe_actor *actors[ACTORS];
static troupe_pid pids[ACTORS];
static troupe_ref refs[ACTORS];
static struct trp_tie *tie; /* of the second, which supervises, and the first */

/* Ghosts. */
static unsigned told[ACTORS];
static bool deaf[ACTORS];    /* told in vain: it was taken back */
static bool restarted;       /* its supervisor wants the first to live again */
static unsigned token_count; /* who then has its token */

static int receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    unsigned number = self == actors[0] ? 0 : self == actors[1] ? 1 : 2;

    (void)state;
    if (troupe_is(msg, &troupe_down)) {
        const struct troupe_down *down = troupe_body(msg);

        explore_check(down->pid == pids[0] && down->ref == refs[number]);
    } else {
        explore_check(troupe_is(msg, &troupe_exited));
        explore_check(((const struct troupe_exited *)troupe_body(msg))->linked);
    }
    explore_check(!deaf[number]);
    told[number]++;
    return TROUPE_OK;
}

static const struct troupe_behaviour behaviour = {
    .name = "watcher", .receive = receive, .trap_exit = true};

/* ---- what they do ---- */

/* An actor's slice, in a worker's read section. */
static bool enter(unsigned number)
{
    bool was_offline = trp_reclaim_enter();

    stage_enter(runtime->workers[number], actors[number]);
    return was_offline;
}

static void end(unsigned number)
{
    bool was_offline = enter(number);

    stage_exit(actors[number]);
    trp_exit_flush(&runtime->workers[number]->context, true);
    trp_reclaim_leave(was_offline);
}

static void monitor(unsigned number)
{
    bool was_offline = enter(number);

    explore_check(troupe_monitor(actors[number], pids[0], &refs[number]) == TROUPE_OK);
    trp_reclaim_leave(was_offline);
}

/* What a flush swallowed says why the first one ended; nothing else was swallowed. */
static void check_flush(int found, const struct troupe_reason *reason)
{
    explore_check((found == TROUPE_FLUSH_TOLD) == (reason->code != UNTOUCHED));
    explore_check(found != TROUPE_FLUSH_TOLD || reason->kind == TROUPE_EXIT_SHUTDOWN ||
                  reason->kind == TROUPE_EXIT_NOPROC);
}

static void demonitor(unsigned number)
{
    bool was_offline = enter(number);
    struct troupe_reason reason = {.code = UNTOUCHED};

    check_flush(troupe_demonitor_flush(actors[number], refs[number], &reason), &reason);
    deaf[number] = true;
    explore_check(troupe_demonitor(actors[number], refs[number]) == 0);
    stage_receive(actors[number]);
    trp_reclaim_leave(was_offline);
}

static void link_with(unsigned number, unsigned peer)
{
    bool was_offline = enter(number);

    explore_check(troupe_link(actors[number], pids[peer]) == TROUPE_OK);
    trp_reclaim_leave(was_offline);
}

static void connect_with(unsigned number, unsigned peer, enum troupe_mode mode)
{
    bool was_offline = enter(number);

    explore_check(troupe_connect(actors[number], pids[peer], mode) == TROUPE_OK);
    trp_reclaim_leave(was_offline);
}

static void unlink_from(unsigned number, unsigned peer)
{
    bool was_offline = enter(number);
    struct troupe_reason reason = {.code = UNTOUCHED};

    check_flush(troupe_unlink_flush(actors[number], pids[peer], &reason), &reason);
    deaf[number] = true;
    stage_receive(actors[number]);
    trp_reclaim_leave(was_offline);
}

/* ---- setups ---- */

/* Nobody has an extra block. */
static void set_up(void)
{
    runtime = stage_open(ACTORS, ACTORS);
    for (unsigned i = 0; i < ACTORS; i++) {
        actors[i] = stage_spawn(runtime->workers[i], &behaviour);
        pids[i] = trp_actor_pid(actors[i]);
        refs[i] = 0;
        told[i] = 0;
        deaf[i] = false;
    }
}

static void set_up_monitored(void)
{
    set_up();
    monitor(1);
    monitor(2);
}

static void set_up_linked(void)
{
    set_up();
    link_with(1, 0);
    link_with(2, 0);
}

static void set_up_pair(void)
{
    set_up();
    link_with(1, 0);
}

/* The end of the first is told to nobody; that of the second to the first. */
static void set_up_one_way(void)
{
    set_up();
    connect_with(1, 0, TROUPE_NOTIFY);
}

static void tie_first(bool keep_mailbox)
{
    bool was_offline = enter(1);

    actors[0]->keep_mailbox = keep_mailbox;
    tie = trp_tie_new(actors[1]->context);
    explore_check(trp_tie_bind(actors[1], actors[0], tie, &tie) == TROUPE_OK);
    restarted = false;
    token_count = 0;
    trp_reclaim_leave(was_offline);
}

static void set_up_tied(void)
{
    set_up();
    tie_first(false);
}

static void set_up_kept(void)
{
    set_up();
    tie_first(true);
}

/* ---- threads ---- */

static void end_first(void)
{
    end(0);
}

static void end_second(void)
{
    end(1);
}

/* The blocks of its monitor, and of the root before it, may be back now, and are used for something else. */
static void end_second_and_reuse(void)
{
    struct trp_pool *pool = &runtime->workers[1]->context.pool;
    struct troupe_message *msgs[2];

    end(1);
    for (unsigned i = 0; i < 2; i++) {
        msgs[i] = trp_message_create(pool, &troupe_down, 96, 0);
        explore_check(msgs[i]->block == trp_pool_class(128));
    }
    for (unsigned i = 0; i < 2; i++) {
        trp_message_free(pool, msgs[i]);
    }
}

static void monitor_from_second(void)
{
    monitor(1);
}

static void monitor_from_third(void)
{
    monitor(2);
}

static void monitor_and_demonitor(void)
{
    monitor(1);
    demonitor(1);
}

static void demonitor_from_second(void)
{
    demonitor(1);
}

static void link_from_first(void)
{
    link_with(0, 1);
}

static void link_from_second(void)
{
    link_with(1, 0);
}

static void link_from_third(void)
{
    link_with(2, 0);
}

static void unlink_from_first(void)
{
    unlink_from(0, 1);
}

static void unlink_from_second(void)
{
    unlink_from(1, 0);
}

/* The second link may well be made in the block of the first. */
static void unlink_and_link_from_second(void)
{
    unlink_from(1, 0);
    deaf[1] = false;
    link_with(1, 0);
}

static void monitor_by_connecting(void)
{
    connect_with(1, 0, TROUPE_MONITOR);
}

/* What is left, if there was more, is the other direction. */
static void mute_from_first(void)
{
    bool was_offline = enter(0);

    explore_check(troupe_disconnect(actors[0], pids[1], TROUPE_MONITOR) == TROUPE_OK);
    trp_reclaim_leave(was_offline);
}

/* As a supervisor does in its destroy. */
static void end_supervisor(void)
{
    trp_tie_free(&runtime->workers[1]->context, tie);
    end(1);
}

/* The first, whose end goes on where somebody took its token to let it go. */
static void let_go(unsigned number)
{
    struct trp_worker *worker = runtime->workers[number];

    /* relaxed, both: nobody else looks at the slot. */
    if (atomic_load_explicit(&worker->lifo, memory_order_relaxed) != NULL) {
        atomic_store_explicit(&worker->lifo, NULL, memory_order_relaxed);
        actors[0]->context = &worker->context;
        while (trp_exit_continue(&worker->context, actors[0]) == TRP_EXIT_MORE) {
            explore_yield();
        }
    }
}

/* Nobody will restart its child then. */
static void end_supervisor_and_child(void)
{
    bool was_offline = trp_reclaim_enter();

    end_supervisor();
    let_go(1);
    trp_exit_flush(&runtime->workers[1]->context, true);
    trp_reclaim_leave(was_offline);
}

/* For the next child, if that is possible already. */
static void use_tie_again(void)
{
    bool was_offline = enter(1);

    stage_receive(actors[1]);
    if (trp_tie_is_idle(tie)) {
        explore_check(trp_tie_bind(actors[1], actors[2], tie, &tie) == TROUPE_OK);
    }
    trp_reclaim_leave(was_offline);
}

/* Whoever has the token begins the next life. */
static void live_again(unsigned worker)
{
    token_count++;
    stage_enter(runtime->workers[worker], actors[0]);
    actors[0]->serial = explore_self();
    runtime->workers[worker]->context.current = NULL;
}

static void end_for_a_while(void)
{
    bool was_offline = enter(0);

    if (stage_exit(actors[0]) == TRP_EXIT_RESTART) {
        live_again(0);
    }
    trp_reclaim_leave(was_offline);
}

/* As a supervisor that is told of its child's end.  Who restarts it may be the one or the other. */
static void restart_if_told(void)
{
    bool was_offline = enter(1);

    stage_receive(actors[1]);
    if (told[1] == 1 && !restarted) {
        restarted = true;
        explore_check(trp_actor_restart(&runtime->workers[1]->context, pids[0]) == TROUPE_OK);
    }
    /* relaxed: nobody else looks at the slot. */
    if (atomic_load_explicit(&runtime->workers[1]->lifo, memory_order_relaxed) != NULL) {
        live_again(1);
    }
    trp_reclaim_leave(was_offline);
}

/* ---- checks ---- */

static void receive_rest(unsigned number)
{
    (void)enter(number);
    stage_receive(actors[number]);
}

/* Whoever still lives ends, and then nothing is left of any relation. */
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

static void check_told_of(unsigned number, unsigned least, unsigned most)
{
    if (trp_actor_find(runtime, pids[number]) != NULL) {
        receive_rest(number);
        explore_check(told[number] >= least && told[number] <= most);
    }
}

/* But for those who took it back, or have ended. */
static void check_both_told(void)
{
    for (unsigned i = 1; i < ACTORS; i++) {
        check_told_of(i, deaf[i] ? 0 : 1, deaf[i] ? 0 : 1);
    }
    check_nothing_left();
}

static void check_one_told(void)
{
    check_told_of(1, deaf[1] ? 0 : 1, deaf[1] ? 0 : 1);
    check_nothing_left();
}

/* However often it was made. */
static void check_link(void)
{
    end(0);
    check_one_told();
}

static void check_not_told(void)
{
    check_told_of(1, 0, 0);
    check_nothing_left();
}

/* Who unlinked last is not known. */
static void check_perhaps_linked(void)
{
    end(0);
    check_told_of(1, 0, 1);
    check_nothing_left();
}

/* Of the child's end, unless the supervisor has ended; whose next child may have the tie. */
static void check_tied(void)
{
    check_told_of(1, 1, 1);
    if (trp_actor_find(runtime, pids[1]) != NULL) {
        trp_tie_free(&runtime->workers[1]->context, tie);
    }
    check_nothing_left();
}

/* The notice may have reached the supervisor's mailbox when nobody read it any more. */
static void check_let_go(void)
{
    trp_worker_take_returned(runtime->workers[1]);
    let_go(1);
    explore_check(trp_actor_find(runtime, pids[0]) == NULL);
    explore_check(!actors[0]->keep_mailbox);
    check_nothing_left();
}

static void check_restarted(void)
{
    if (!restarted) {
        restart_if_told();
    }
    explore_check(told[1] == 1 && token_count == 1);
    explore_check(troupe_incarnation(actors[0]) == 1);
    explore_check(trp_tie_is_idle(tie));
    trp_tie_free(&runtime->workers[1]->context, tie);
    actors[0]->keep_mailbox = false;
    check_nothing_left();
}

static const struct explore_scenario scenarios[] = {
    {.name = "an actor ends, one begins to monitor it",
        .setup = set_up,
        .threads = {end_first, monitor_from_second},
        .check = check_one_told},
    {.name = "an actor ends, two begin to monitor it",
        .setup = set_up,
        .threads = {end_first, monitor_from_second, monitor_from_third},
        .check = check_both_told,
        .deviations = 2},
    {.name = "an actor ends, one monitors it for a while",
        .setup = set_up,
        .threads = {end_first, monitor_and_demonitor},
        .check = check_one_told},
    {.name = "an actor ends, one of two takes its monitor back",
        .setup = set_up_monitored,
        .threads = {end_first, demonitor_from_second},
        .check = check_both_told},
    {.name = "an actor and one that monitors it end",
        .setup = set_up_monitored,
        .threads = {end_first, end_second_and_reuse},
        .check = check_both_told},
    {.name = "an actor ends, one links with it",
        .setup = set_up,
        .threads = {end_first, link_from_second},
        .check = check_one_told},
    {.name = "an actor ends, two link with it",
        .setup = set_up,
        .threads = {end_first, link_from_second, link_from_third},
        .check = check_both_told,
        .deviations = 1},
    {.name = "an actor ends, one of two unlinks",
        .setup = set_up_linked,
        .threads = {end_first, unlink_from_second},
        .check = check_both_told},
    {.name = "an actor and one linked with it end",
        .setup = set_up_linked,
        .threads = {end_first, end_second},
        .check = check_both_told},
    {.name = "a child and its supervisor end",
        .setup = set_up_tied,
        .threads = {end_first, end_supervisor},
        .check = check_tied},
    {.name = "a child ends, its supervisor uses the tie again",
        .setup = set_up_tied,
        .threads = {end_first, use_tie_again},
        .check = check_tied},
    {.name = "a child that keeps its mailbox ends and is restarted",
        .setup = set_up_kept,
        .threads = {end_for_a_while, restart_if_told},
        .check = check_restarted},
    {.name = "a child that keeps its mailbox ends, and its supervisor too",
        .setup = set_up_kept,
        .threads = {end_first, end_supervisor_and_child},
        .check = check_let_go},
    {.name = "an actor ends, and one that it does not tell",
        .setup = set_up_one_way,
        .threads = {end_first, end_second},
        .check = check_not_told},
    {.name = "an actor ends that tells nobody, one wants to be told",
        .setup = set_up_one_way,
        .threads = {end_first, monitor_by_connecting},
        .check = check_one_told},
    {.name = "one is told no longer while the other wants to be",
        .setup = set_up_one_way,
        .threads = {mute_from_first, monitor_by_connecting},
        .check = check_link},
    {.name = "two link with each other",
        .setup = set_up,
        .threads = {link_from_first, link_from_second},
        .check = check_link},
    {.name = "two unlink from each other",
        .setup = set_up_pair,
        .threads = {unlink_from_first, unlink_from_second},
        .check = check_link,
        .deviations = 5},
    {.name = "one unlinks while the other does and links again",
        .setup = set_up_pair,
        .threads = {unlink_from_first, unlink_and_link_from_second},
        .check = check_perhaps_linked,
        .deviations = 4},
};

static const struct explore_plant plants[] = {
    {"whoever monitors does not see the end", &scenarios[0], "trp_watch_is_there", EXPLORE_FENCE, 0,
        EXPLORE_FORGET, 0, "told[number]"},
    {"whoever ends does not see the monitor", &scenarios[0], "trp_notify_watchers", EXPLORE_FENCE,
        0, EXPLORE_FORGET, 0, "told[number]"},
    {"two extra blocks are made", &scenarios[1], "trp_actor_make_extra", EXPLORE_SWAP, 0,
        EXPLORE_BLIND, 0, "told[number]"},
    {"a monitor is taken back without the lock", &scenarios[3], "trp_watch_take_back", EXPLORE_LOCK,
        0, EXPLORE_FORGET, 0, "race"},
    {"the end takes monitors without the lock", &scenarios[3], "tell_one", EXPLORE_LOCK, 0,
        EXPLORE_FORGET, 0, "race"},
    {"both ends of a link are taken under one lock", &scenarios[8], "trp_watch_lock", EXPLORE_LOCK,
        1, EXPLORE_FORGET, 0, "race"},
    {"a reference is dropped in two steps", &scenarios[4], "trp_watch_drop", EXPLORE_SUB, 0,
        EXPLORE_TEAR, 0, "stage_missing"},
    {"the last one frees what the other still reads", &scenarios[4], "trp_watch_drop", EXPLORE_SUB,
        0, EXPLORE_RELAX, 0, "race"},
    {"a life is handed on without release", &scenarios[11], "rest", EXPLORE_SWAP, 0, EXPLORE_RELAX,
        0, "race"},
    {"the wish to restart is not heard", &scenarios[11], "rest", EXPLORE_SWAP, 0, EXPLORE_BLIND, 0,
        "token_count"},
    {"the wish to let go is not heard", &scenarios[12], "rest", EXPLORE_SWAP, 0, EXPLORE_BLIND, 0,
        "check_let_go"},
    {"a life is taken over without acquire", &scenarios[11], "swap_phase", EXPLORE_SWAP, 0,
        EXPLORE_RELAX, 0, "race"},
};

EXPLORE_PART(monitor, scenarios, plants);
