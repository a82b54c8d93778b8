/* SPDX-License-Identifier: MIT */
/*
 * monitor.c - who watches an actor is told of its end, once, whatever the reason.
 *
 * A guard spawns three climbers with a monitor from their first instruction on.  One is through, one falls, one is told
 * to come down.  A monitor of somebody who is gone is told so at once.
 */
#include <stdio.h>

#include <troupe.h>

static const struct troupe_type climb = TROUPE_TYPE(int); /* metres */

static int climber_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    (void)state;
    if (!troupe_is(msg, &climb)) {
        return TROUPE_EUNKNOWN;
    }
    if (*(const int *)troupe_body(msg) > 8000) {
        return troupe_fail(self, TROUPE_ELIMIT, "the air is thin");
    }
    return TROUPE_DONE;
}

static const struct troupe_behaviour climber = {.name = "climber", .receive = climber_receive};

struct guard {
    int missing;
    troupe_pid last;
};

static int guard_init(struct troupe_actor *self, void *state, const void *arg)
{
    static const int heights[] = {3000, 8800};
    struct guard *guard = state;
    troupe_ref ref;

    (void)arg;
    for (unsigned i = 0; i < 3; i++) {
        struct troupe_spawn_options options = {.behaviour = &climber, .monitor = &ref};

        TROUPE_TRY(troupe_spawn(self, &options, &guard->last));
        guard->missing++;
        if (i < TROUPE_COUNT(heights)) {
            TROUPE_TRY(troupe_send(self, guard->last, &climb, &heights[i]));
        }
    }
    return troupe_send_exit(self, guard->last, TROUPE_EXIT_SHUTDOWN);
}

static int guard_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct guard *guard = state;
    const struct troupe_down *down = troupe_body(msg);
    troupe_ref ref;

    if (!troupe_is(msg, &troupe_down)) {
        return TROUPE_EUNKNOWN;
    }
    printf("a climber is back: %s%s%s\n", troupe_exit_name(down->reason.kind),
        down->reason.text != NULL ? ", " : "", troupe_reason_text(&down->reason));
    if (--guard->missing == 0) {
        return troupe_monitor(self, guard->last, &ref); /* "noproc" */
    }
    return guard->missing < 0 ? TROUPE_DONE : TROUPE_OK;
}

static const struct troupe_behaviour guard_behaviour = {.name = "guard",
    .state_size = sizeof(struct guard),
    .init = guard_init,
    .receive = guard_receive};

/* The tree ends when the guard, who is significant, is done. */
static const struct troupe_child_spec children[] = {
    {.id = "guard",
        .behaviour = &guard_behaviour,
        .restart = TROUPE_TEMPORARY,
        .significant = true},
};
static const struct troupe_supervisor_spec camp = {.children = children,
    .child_count = TROUPE_COUNT(children),
    .auto_shutdown = TROUPE_SHUTDOWN_ANY_SIGNIFICANT};

int main(void)
{
    return troupe_run(NULL, &camp) < 0;
}
