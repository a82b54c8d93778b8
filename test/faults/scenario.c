/* SPDX-License-Identifier: MIT */
/* scenario.c - what all scenarios do, and their table. */
#include "scenario.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "test/support/latch.h"

const struct scenario scenarios[] = {
    {.name = "defaults", .run = scenario_defaults},
    {.name = "start", .run = scenario_start},
    {.name = "turn", .run = scenario_turn},
    {.name = "stop", .run = scenario_stop},
    {.name = "actor", .run = scenario_actor},
    {.name = "message", .run = scenario_message},
    {.name = "crowd", .run = scenario_crowd},
    {.name = "timer", .run = scenario_timer},
    {.name = "io", .run = scenario_io},
    {.name = "foreign", .run = scenario_foreign},
    {.name = "ask", .run = scenario_ask},
    {.name = "thread_call", .run = scenario_thread_call},
    {.name = "watchdog", .run = scenario_watchdog},
    {.name = "fiber", .run = scenario_fiber},
    {.name = "ring", .run = scenario_ring},
    {.name = "room", .run = scenario_room},
    {.name = "overload", .run = scenario_overload},
    {.name = "contain", .run = scenario_contain},
    {.name = "blocking", .run = scenario_blocking},
    {.name = "thread", .run = scenario_thread},
    {.name = "call", .run = scenario_call},
    {.name = "link", .run = scenario_link},
    {.name = "reference", .run = scenario_reference},
    {.name = "gate", .run = scenario_gate},
    {.name = "lease", .run = scenario_lease},
    {.name = "alias", .run = scenario_alias},
    {.name = "name", .run = scenario_name},
    {.name = "via", .run = scenario_via},
    {.name = "flow", .run = scenario_flow},
    {.name = "flow_straight", .run = scenario_flow_straight},
    {.name = "topic", .run = scenario_topic},
    {.name = "group", .run = scenario_group},
    {.name = "group_churn", .run = scenario_group_churn},
    {.name = "server", .run = scenario_server},
    {.name = "machine", .run = scenario_machine},
    {.name = "events", .run = scenario_events},
    {.name = "sys", .run = scenario_sys},
    {.name = "strategies", .run = scenario_strategies},
    {.name = "children", .run = scenario_children},
    {.name = "half_way", .run = scenario_half_way},
    {.name = "wide", .run = scenario_wide},
    {.name = "simple", .run = scenario_simple},
    {.name = "partitions", .run = scenario_partitions},
    {.name = "pool", .run = scenario_pool, .waits = true},
    {.name = "famine", .run = scenario_famine},
    {.name = "run_signal", .run = scenario_run_signal, .waits = true},
    {.name = "run_end", .run = scenario_run_end},
    {.name = "net", .run = scenario_net},
    {.name = "net_limits", .run = scenario_net_limits},
    {.name = "stream", .run = scenario_stream},
};
const size_t scenario_count = TROUPE_COUNT(scenarios);

bool scene_went(int result, unsigned may, const char *call, const char *file, int line)
{
    if (result >= 0) {
        return true;
    }
    if (!fault_has_hit()) {
        scene_complain("%s:%d: %s: %s, and nothing was made to fail", file, line, call,
            troupe_strerror(result));
    } else if (result < -31 || (may & (1u << -result)) == 0) {
        scene_complain(
            "%s:%d: %s: %s: not what its header says", file, line, call, troupe_strerror(result));
    }
    return false;
}

void scene_holds(bool condition, const char *text, const char *file, int line)
{
    if (!condition) {
        scene_complain("%s:%d: not true: %s", file, line, text);
    }
}

static void on_report(void *context, const struct troupe_report *report)
{
    struct scene *scene = context;

    scene->reports += report->text[0] != '\0';
}

bool scene_open(struct scene *scene, int workers)
{
    struct troupe_runtime_options options = {
        .workers = workers,
        .watchdog_ms = scene->watchdog_ms > 0 ? scene->watchdog_ms : TROUPE_NO_WATCHDOG,
        .seed = 7,
        .report = on_report,
        .report_context = scene,
        .allocator = &scene->allocator,
        .limits = scene->limits,
        .faults = scene->faults,
        .on_dead_letter = scene->on_dead_letter,
        .dead_letter_context = scene->dead_letter_context,
    };

    scene->allocator = test_allocator_of(&scene->memory);
    if (!WENT(troupe_runtime_create(&options, &scene->runtime),
            MAY(TROUPE_ENOMEM) | MAY(TROUPE_ESYSTEM))) {
        scene->runtime = NULL;
    } else if (!WENT(troupe_runtime_start(scene->runtime), MAY(TROUPE_ESYSTEM))) {
        scene_close(scene);
    }
    return scene->runtime != NULL;
}

/* One turn, after at most a millisecond of sleep; false: there is nothing more to do at once. */
static bool turn(struct scene *scene)
{
    struct pollfd pollfd = {.fd = troupe_runtime_fd(scene->runtime), .events = POLLIN};
    int next_ms;

    (void)poll(&pollfd, 1, 1);
    return WENT(troupe_runtime_turn(scene->runtime, 100, &next_ms), 0) && next_ms == 0;
}

void scene_pump(struct scene *scene)
{
    while (turn(scene)) {
    }
}

void scene_await(struct scene *scene, const unsigned *count, unsigned wanted)
{
    uint64_t begin_ns = troupe_now_ns(scene->runtime);
    uint64_t waited_ms = 0;

    while (*count < wanted && waited_ms < (fault_has_hit() ? 10 : SCENE_WAIT_MS)) {
        (void)turn(scene);
        waited_ms = (troupe_now_ns(scene->runtime) - begin_ns) / 1000000u;
    }
    HOLDS(*count >= wanted || fault_has_hit());
}

/* Who cannot be told to end, for want of memory, is killed after half of the time: that is soon after a fault. */
static void stop(struct scene *scene)
{
    int wait_ms = fault_is_for_good() ? 100 : SCENE_WAIT_MS;
    int waited_ms = 0;
    int error;

    do {
        error = troupe_runtime_stop(scene->runtime, wait_ms);
        waited_ms += wait_ms;
    } while (error == TROUPE_ETIMEDOUT && waited_ms < SCENE_WAIT_MS);
    HOLDS(error == TROUPE_OK);
}

void scene_close(struct scene *scene)
{
    struct troupe_books books = {0};

    if (scene->runtime == NULL) {
        HOLDS(scene->memory.blocks == 0);
        return;
    }
    stop(scene);
    if (WENT(troupe_runtime_books(scene->runtime, &books), 0)) {
        HOLDS(books_balance(&books));
        HOLDS(books.spawned == books.exited || books.slices == 0);
    }
    HOLDS(troupe_runtime_destroy(scene->runtime) == TROUPE_OK);
    HOLDS(scene->memory.blocks == 0 && scene->memory.bytes == 0);
    scene->runtime = NULL;
}

/* ---- actors that do what a part says ---- */

struct player {
    const struct scene_part *part;
};

static int player_init(struct troupe_actor *self, void *state, const void *arg)
{
    struct player *player = state;

    player->part = arg;
    if (player->part->traps) {
        HOLDS(!troupe_trap_exit(self, true));
    }
    return player->part->fn != NULL ? player->part->fn(self, player->part->arg) : TROUPE_OK;
}

static int player_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    const struct player *player = state;

    if (troupe_is(msg, &troupe_exited)) {
        const struct troupe_exited *exited = troupe_body(msg);

        if (exited->pid == TROUPE_NOBODY && exited->reason.kind == TROUPE_EXIT_SHUTDOWN) {
            return TROUPE_DONE;
        }
    }
    if (player->part->receive == NULL) {
        return TROUPE_EUNKNOWN;
    }
    return player->part->receive(self, state, msg);
}

static const struct troupe_behaviour player_behaviour = {
    .name = "player",
    .state_size = sizeof(struct player),
    .init = player_init,
    .receive = player_receive,
    .capacity = SCENE_ROOM,
};

void *scene_arg(const void *state)
{
    return ((const struct player *)state)->part->arg;
}

troupe_pid scene_play(struct scene *scene, const struct scene_part *part)
{
    struct troupe_spawn_options options = {.behaviour = &player_behaviour, .arg = part};
    troupe_pid pid;

    return WENT(troupe_runtime_spawn(scene->runtime, &options, &pid), MAY(TROUPE_ENOMEM))
               ? pid
               : TROUPE_NOBODY;
}

void scene_join(struct scene *scene, troupe_pid pid)
{
    struct troupe_reason reason = {0};

    if (pid != TROUPE_NOBODY &&
        WENT(troupe_join(scene->runtime, pid, SCENE_WAIT_MS, &reason), MAY(TROUPE_ENOMEM))) {
        troupe_buffer_release(reason.text);
    }
}
