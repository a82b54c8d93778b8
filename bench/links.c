/* SPDX-License-Identifier: MIT */
/*
 * links.c - what it costs to watch another, and to be told of its end.
 *
 *   link_unlink         a link with an idle actor, made and ended
 *   monitor_demonitor   a monitor of it, made and ended
 *   spawn_monitor_exit  an actor spawned with a monitor; it ends at once, and the notice is handled before the next one is
 *
 * The first two are done some at a time, then "go on" is sent: no handler holds its worker for long.
 */
#include "harness.h"

#define PAIRS 2000000U
#define LIVES 1000000U

/** Links, or monitors, made and ended in a turn. */
#define TURN 64U

static const struct troupe_type go_on = TROUPE_TYPE(uint64_t);

struct watcher {
    struct bench_run *run;
    troupe_pid watched;
    uint64_t left;
};

static int watcher_init(struct troupe_actor *self, void *state, const void *arg)
{
    (void)self;
    *(struct watcher *)state = *(const struct watcher *)arg;
    return TROUPE_OK;
}

/* One is done.  Whether it was the last. */
static bool was_last(struct watcher *watcher)
{
    bench_tally(watcher->run, 1, 0);
    if (--watcher->left > 0) {
        return false;
    }
    bench_part_done(watcher->run);
    return true;
}

static int start_watcher(struct bench_run *run, const struct troupe_behaviour *behaviour,
    troupe_pid watched, uint64_t count)
{
    struct watcher watcher = {.run = run, .watched = watched, .left = count};
    troupe_pid pid;

    TROUPE_TRY(bench_spawn(run, behaviour, &watcher, sizeof watcher, &pid));
    run->expected_count = count;
    bench_begin(run, count, 1);
    /* Not messages: of those there are fewer. */
    run->expected_handled = count / TURN;
    return bench_send(run, pid, &go_on, 0);
}

/* ---- link_unlink, monitor_demonitor ---- */

static int rest(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    (void)self;
    (void)state;
    (void)msg;
    return TROUPE_EUNKNOWN;
}

static const struct troupe_behaviour idler = {.name = "idler", .receive = rest};

static int go_on_with(struct troupe_actor *self)
{
    return troupe_send(self, troupe_self(self), &go_on, &(uint64_t){0});
}

static int link_some(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct watcher *watcher = state;

    (void)msg;
    for (unsigned i = 0; i < TURN; i++) {
        TROUPE_TRY(troupe_link(self, watcher->watched));
        troupe_unlink(self, watcher->watched);
        if (was_last(watcher)) {
            return TROUPE_OK;
        }
    }
    return go_on_with(self);
}

static int monitor_some(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct watcher *watcher = state;

    (void)msg;
    for (unsigned i = 0; i < TURN; i++) {
        troupe_ref ref;

        TROUPE_TRY(troupe_monitor(self, watcher->watched, &ref));
        if (troupe_demonitor(self, ref) != 1) {
            return bench_fail(watcher->run, "a monitor of an actor that lives was not active");
        }
        if (was_last(watcher)) {
            return TROUPE_OK;
        }
    }
    return go_on_with(self);
}

static const struct troupe_behaviour linker = {.name = "linker",
    .state_size = sizeof(struct watcher),
    .init = watcher_init,
    .receive = link_some};

static const struct troupe_behaviour monitor = {.name = "monitor",
    .state_size = sizeof(struct watcher),
    .init = watcher_init,
    .receive = monitor_some};

static int start_pair(struct bench_run *run, const struct troupe_behaviour *behaviour)
{
    troupe_pid watched;

    TROUPE_TRY(bench_spawn(run, &idler, NULL, 0, &watched));
    return start_watcher(run, behaviour, watched, bench_scaled(run, PAIRS));
}

static int start_linker(struct bench_run *run)
{
    return start_pair(run, &linker);
}

static int start_monitor(struct bench_run *run)
{
    return start_pair(run, &monitor);
}

const struct bench_workload bench_link_unlink = {
    .name = "link_unlink",
    .about = "2 000 000 links with an idle actor, made and ended",
    .start = start_linker,
};

const struct bench_workload bench_monitor_demonitor = {
    .name = "monitor_demonitor",
    .about = "2 000 000 monitors of an idle actor, made and ended",
    .start = start_monitor,
};

/* ---- spawn_monitor_exit ---- */

static int end_at_once(struct troupe_actor *self, void *state, const void *arg)
{
    (void)self;
    (void)state;
    (void)arg;
    return TROUPE_DONE;
}

static const struct troupe_behaviour moth = {.name = "moth", .init = end_at_once, .receive = rest};

/* At "go on", then at each notice. */
static int spawn_next(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct watcher *watcher = state;
    troupe_ref ref;
    struct troupe_spawn_options options = {.behaviour = &moth, .monitor = &ref};

    if (troupe_is(msg, &troupe_down)) {
        const struct troupe_down *down = troupe_body(msg);

        if (down->pid != watcher->watched || down->reason.kind != TROUPE_EXIT_NORMAL) {
            return bench_fail(watcher->run, "a notice told of another end");
        }
        if (was_last(watcher)) {
            return TROUPE_OK;
        }
    }
    return troupe_spawn(self, &options, &watcher->watched);
}

static const struct troupe_behaviour breeder = {.name = "breeder",
    .state_size = sizeof(struct watcher),
    .init = watcher_init,
    .receive = spawn_next};

static int start_breeder(struct bench_run *run)
{
    return start_watcher(run, &breeder, TROUPE_NOBODY, bench_scaled(run, LIVES));
}

const struct bench_workload bench_spawn_monitor_exit = {
    .name = "spawn_monitor_exit",
    .about = "1 000 000 actors, one after the other, are spawned with a monitor and end; it tells",
    .start = start_breeder,
};
