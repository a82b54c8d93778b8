/* SPDX-License-Identifier: MIT */
/*
 * crossing.c - a state machine: a light for cars that turns red when somebody on foot presses the button.
 *
 * Each state says what an event means in it; `enter` says how long it lasts.  Whoever presses asks, and is answered when the
 * light is red: until then the question is postponed, and tried again in the next state.
 */
#include <stdio.h>

#include <troupe.h>

enum { GREEN, READY, YELLOW, RED };

static const struct troupe_type press = TROUPE_SIGNAL;
static const struct troupe_type walk = TROUPE_SIGNAL;

static int enter(struct troupe_actor *self, void *data, int from)
{
    static const int lasts_ms[] = {
        [GREEN] = 30, [READY] = TROUPE_FOREVER, [YELLOW] = 10, [RED] = 20};
    static const char *const names[] = {"green", "green, and ready to change", "yellow", "red"};
    int state = troupe_machine_state(self);

    (void)data;
    (void)from;
    printf("%s\n", names[state]);
    return troupe_machine_timeout(self, TROUPE_EVENT_STATE_TIMEOUT, 0, lasts_ms[state], NULL);
}

/* Nobody walks; when its time is over, the next light is on. */
static int wait_for_it(struct troupe_actor *self, void *data, const struct troupe_event *event)
{
    (void)data;
    return event->kind == TROUPE_EVENT_STATE_TIMEOUT
               ? troupe_machine_next(self, troupe_machine_state(self) + 1)
               : TROUPE_POSTPONE;
}

static int begin_to_change(struct troupe_actor *self, void *data, const struct troupe_event *event)
{
    (void)data;
    (void)event;
    TROUPE_TRY(troupe_machine_next(self, YELLOW));
    return TROUPE_POSTPONE;
}

static int let_walk(struct troupe_actor *self, void *data, const struct troupe_event *event)
{
    (void)data;
    return event->kind == TROUPE_EVENT_STATE_TIMEOUT ? troupe_machine_next(self, GREEN)
                                                     : troupe_reply(self, event->msg, &walk, NULL);
}

static const struct troupe_machine_state states[] = {
    [GREEN] = {.name = "green", .enter = enter, .event = wait_for_it},
    [READY] = {.name = "ready", .enter = enter, .event = begin_to_change},
    [YELLOW] = {.name = "yellow", .enter = enter, .event = wait_for_it},
    [RED] = {.name = "red", .enter = enter, .event = let_walk},
};
static const struct troupe_machine light = {
    TROUPE_MACHINE("light", int), .states = states, .state_count = TROUPE_COUNT(states)};

static int run(struct troupe_runtime *runtime)
{
    troupe_pid pid;

    TROUPE_TRY(troupe_runtime_spawn(
        runtime, (&(struct troupe_spawn_options){.behaviour = &light.behaviour}), &pid));
    TROUPE_TRY(troupe_runtime_start(runtime));
    for (int i = 0; i < 3; i++) {
        TROUPE_TRY(troupe_runtime_call(runtime, pid, &press, NULL, &walk, NULL, 5000));
        printf("somebody walks\n");
    }
    return troupe_runtime_stop(runtime, TROUPE_FOREVER);
}

int main(void)
{
    struct troupe_runtime *runtime;
    int error = troupe_runtime_create(NULL, &runtime);

    if (error == TROUPE_OK) {
        error = run(runtime);
        (void)troupe_runtime_destroy(runtime);
    }
    if (error < 0) {
        fprintf(stderr, "crossing: %s\n", troupe_strerror(error));
    }
    return error < 0;
}
