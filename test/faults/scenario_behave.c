/* SPDX-License-Identifier: MIT */
/* scenario_behave.c - servers, state machines, event managers, the stash, and questions of sys. */
#include "scenario.h"

#include <string.h>

static const struct troupe_type ask_number = TROUPE_TYPE(int);
static const struct troupe_type number = TROUPE_TYPE(int);
static const struct troupe_type put_aside = TROUPE_SIGNAL;
static const struct troupe_type step = TROUPE_TYPE(int);

/* ---- a server that uses everything ---- */

struct clerk {
    unsigned handled;
    unsigned timeouts;
};

static int clerk_init(struct troupe_actor *self, void *state, const void *arg)
{
    int first = 1;

    (void)state;
    (void)arg;
    (void)WENT(troupe_server_continue(self, &step, &first), MAY(TROUPE_ENOMEM));
    (void)WENT(troupe_server_idle(self, 100000), MAY(TROUPE_ENOMEM));
    return TROUPE_OK;
}

static int clerk_number(
    struct troupe_actor *self, void *state, struct troupe_message *request, void *answer)
{
    struct clerk *clerk = state;

    clerk->handled++;
    *(int *)answer = *(const int *)troupe_body(request) + 1;
    (void)WENT(troupe_server_idle(self, 0), MAY(TROUPE_ENOMEM));
    (void)WENT(troupe_server_hibernate(self), 0);
    return TROUPE_OK;
}

static int clerk_put_aside(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    (void)state;
    if (troupe_stash_length(self) == 0) {
        (void)WENT(troupe_stash(self, msg), MAY(TROUPE_ENOMEM));
        return TROUPE_OK;
    }
    HOLDS(troupe_unstash(self) == 1);
    return TROUPE_OK;
}

static int clerk_continued(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    (void)self;
    (void)msg;
    ((struct clerk *)state)->handled++;
    return TROUPE_OK;
}

static int clerk_timeout(struct troupe_actor *self, void *state)
{
    (void)self;
    ((struct clerk *)state)->timeouts++;
    return TROUPE_OK;
}

static void clerk_hibernate(void *state)
{
    (void)state;
}

static int clerk_format(const void *state, char *text, size_t size)
{
    (void)state;
    strncpy(text, "a clerk", size);
    return TROUPE_OK;
}

static const struct troupe_server_call clerk_calls[] = {{&ask_number, &number, clerk_number}};
static const struct troupe_server_cast clerk_casts[] = {{&put_aside, clerk_put_aside}};
static const struct troupe_server clerk = {
    TROUPE_SERVER("clerk", struct clerk),
    .behaviour.capacity = SCENE_ROOM,
    .calls = clerk_calls,
    .call_count = TROUPE_COUNT(clerk_calls),
    .casts = clerk_casts,
    .cast_count = TROUPE_COUNT(clerk_casts),
    .init = clerk_init,
    .continued = clerk_continued,
    .timeout = clerk_timeout,
    .hibernate = clerk_hibernate,
    .format = clerk_format,
};

/* ---- who asks it ---- */

struct asking {
    const struct troupe_behaviour *behaviour;
    troupe_pid to;
    unsigned asked;
    unsigned told;
};

static int on_reply(
    struct troupe_actor *self, void *state, void *context, int status, struct troupe_message *reply)
{
    (void)self;
    (void)state;
    HOLDS((status == TROUPE_OK) == (reply != NULL));
    HOLDS(status == TROUPE_OK || fault_has_hit());
    HOLDS(reply == NULL || troupe_is(reply, &number) || troupe_is(reply, &troupe_sys_answer));
    ((struct asking *)context)->told++;
    return TROUPE_OK;
}

static int look(void *state, void *arg)
{
    (void)state;
    (void)arg;
    return TROUPE_OK;
}

static void ask_sys(struct troupe_actor *self, struct asking *asking)
{
    static const struct troupe_sys_question questions[] = {
        {.op = TROUPE_SYS_TRACE},
        {.op = TROUPE_SYS_SUSPEND},
        {.op = TROUPE_SYS_INSPECT, .fn = look},
        {.op = TROUPE_SYS_REPLACE, .fn = look},
        {.op = TROUPE_SYS_RESUME},
        {.op = TROUPE_SYS_STATUS},
        {.op = TROUPE_SYS_STOP},
    };

    for (size_t i = 0; i < TROUPE_COUNT(questions); i++) {
        asking->asked +=
            WENT(troupe_sys(self, asking->to, &questions[i], 100000, on_reply, asking), MAY_SEND);
    }
}

static int ask_everything(struct troupe_actor *self, void *arg)
{
    struct asking *asking = arg;
    int body = 1;

    if (asking->to == TROUPE_NOBODY) {
        return TROUPE_DONE;
    }
    for (int i = 0; i < 3; i++) {
        (void)WENT(troupe_server_cast(self, asking->to, &put_aside, NULL), MAY_SEND);
        asking->asked +=
            WENT(troupe_server_call(self, asking->to, &ask_number, &body, 0, on_reply, asking),
                MAY_SEND);
    }
    ask_sys(self, asking);
    return TROUPE_OK;
}

static void spawn_asked(struct scene *scene, struct asking *asking)
{
    struct troupe_spawn_options options = {.behaviour = asking->behaviour};

    if (!WENT(troupe_runtime_spawn(scene->runtime, &options, &asking->to), MAY(TROUPE_ENOMEM))) {
        asking->to = TROUPE_NOBODY;
    }
}

void scenario_server(void)
{
    struct asking asking = {.behaviour = &clerk.behaviour};
    struct scene_part asks = {.fn = ask_everything, .arg = &asking};
    struct scene scene = {0};

    if (!scene_open(&scene, TROUPE_NO_THREADS)) {
        return;
    }
    spawn_asked(&scene, &asking);
    (void)scene_play(&scene, &asks);
    scene_pump(&scene);
    scene_await(&scene, &asking.told, asking.asked);
    HOLDS(asking.told == asking.asked);
    scene_close(&scene);
}

/* ---- a machine that uses everything ---- */

struct turnstile {
    unsigned passed;
};

/* Whatever cannot be had, it turns. */
static int turn_on(struct troupe_actor *self, const struct troupe_event *event, int next)
{
    int body = 1;

    if (event->kind == TROUPE_EVENT_CALL) {
        if (!WENT(troupe_reply(self, event->msg, &number, &body), MAY(TROUPE_ENOMEM))) {
            HOLDS(troupe_reply_error(self, event->msg, TROUPE_ENOMEM) == TROUPE_OK);
        }
        (void)WENT(troupe_machine_insert(self, &step, &body), MAY(TROUPE_ENOMEM));
        (void)WENT(
            troupe_machine_update(self, TROUPE_EVENT_NAMED_TIMEOUT, 7, NULL), MAY(TROUPE_ENOMEM));
        (void)WENT(troupe_machine_timeout(self, TROUPE_EVENT_TIMEOUT, 0, 100000, NULL),
            MAY(TROUPE_ENOMEM));
    }
    HOLDS(troupe_machine_state(self) == 1 - next);
    return troupe_machine_next(self, next);
}

static int turnstile_shut(struct troupe_actor *self, void *data, const struct troupe_event *event)
{
    (void)data;
    return event->kind == TROUPE_EVENT_CAST ? TROUPE_POSTPONE : turn_on(self, event, 1);
}

static int turnstile_open(struct troupe_actor *self, void *data, const struct troupe_event *event)
{
    ((struct turnstile *)data)->passed++;
    return turn_on(self, event, 0);
}

static int turnstile_enter(struct troupe_actor *self, void *data, int from)
{
    (void)data;
    (void)from;
    (void)WENT(troupe_machine_timeout(self, TROUPE_EVENT_STATE_TIMEOUT, 0, 100000, NULL),
        MAY(TROUPE_ENOMEM));
    return TROUPE_OK;
}

static const struct troupe_machine_state turnstile_states[] = {
    {.name = "shut", .enter = turnstile_enter, .event = turnstile_shut},
    {.name = "open", .enter = turnstile_enter, .event = turnstile_open},
};
static const struct troupe_machine turnstile = {
    TROUPE_MACHINE("turnstile", struct turnstile),
    .behaviour.capacity = SCENE_ROOM,
    .states = turnstile_states,
    .state_count = TROUPE_COUNT(turnstile_states),
    .format = clerk_format,
};

void scenario_machine(void)
{
    struct asking asking = {.behaviour = &turnstile.behaviour};
    struct scene_part asks = {.fn = ask_everything, .arg = &asking};
    struct scene scene = {0};

    if (!scene_open(&scene, TROUPE_NO_THREADS)) {
        return;
    }
    spawn_asked(&scene, &asking);
    (void)scene_play(&scene, &asks);
    scene_pump(&scene);
    scene_await(&scene, &asking.told, asking.asked);
    HOLDS(asking.told == asking.asked);
    scene_close(&scene);
}

/* ---- an event manager ---- */

struct bus {
    struct asking asking;
    unsigned gone;
};

static int listen(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    (void)self;
    (void)state;
    return troupe_is(msg, &put_aside) ? TROUPE_EPROTO : TROUPE_OK;
}

static int listen_init(struct troupe_actor *self, void *state, const void *arg, void *old)
{
    (void)self;
    (void)old;
    HOLDS(*(const int *)arg == 5);
    *(int *)state = 5;
    return TROUPE_OK;
}

static void listen_terminate(struct troupe_actor *self, void *state, enum troupe_handler_end end,
    const struct troupe_reason *reason)
{
    (void)self;
    (void)end;
    (void)reason;
    HOLDS(*(int *)state == 5);
}

static const struct troupe_handler listener = {
    .name = "listener",
    .state_size = sizeof(int),
    .init = listen_init,
    .event = listen,
    .terminate = listen_terminate,
};
static const struct troupe_behaviour manager = TROUPE_EVENTS("manager", .capacity = SCENE_ROOM);

/* The outcome depends on what failed before. */
static int on_told(
    struct troupe_actor *self, void *state, void *context, int status, struct troupe_message *reply)
{
    (void)self;
    (void)state;
    HOLDS((status == TROUPE_OK) == (reply != NULL));
    HOLDS(reply == NULL || troupe_is(reply, &troupe_events_told));
    HOLDS(status == TROUPE_OK || fault_has_hit());
    ((struct asking *)context)->told++;
    return TROUPE_OK;
}

static int use_bus(struct troupe_actor *self, void *arg)
{
    struct bus *bus = arg;
    struct asking *asking = &bus->asking;
    int five = 5;
    struct troupe_handler_options options = {
        .id = {&listener, 1}, .arg = &five, .arg_size = sizeof five, .supervised = true};
    struct troupe_handler_id first = options.id;

    if (asking->to == TROUPE_NOBODY) {
        return TROUPE_DONE;
    }
    asking->asked +=
        WENT(troupe_events_add(self, asking->to, &options, 100000, on_told, asking), MAY_SEND);
    asking->asked += WENT(
        troupe_request(self, asking->to, &ask_number, &five, 100000, on_told, asking), MAY_SEND);
    options.id.number = 2;
    asking->asked += WENT(
        troupe_events_swap(self, asking->to, first, &options, 100000, on_told, asking), MAY_SEND);
    asking->asked +=
        WENT(troupe_events_remove(self, asking->to, options.id, 100000, on_told, asking), MAY_SEND);
    asking->asked +=
        WENT(troupe_events_add(self, asking->to, &options, 100000, on_told, asking), MAY_SEND);
    (void)WENT(troupe_send(self, asking->to, &put_aside, NULL), MAY_SEND);
    return TROUPE_OK;
}

static int hear_of_bus(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct bus *bus = scene_arg(state);

    (void)self;
    bus->gone += troupe_is(msg, &troupe_handler_gone);
    return TROUPE_OK;
}

void scenario_events(void)
{
    struct bus bus = {.asking.behaviour = &manager};
    struct scene_part uses = {.fn = use_bus, .receive = hear_of_bus, .arg = &bus};
    struct scene scene = {0};

    if (!scene_open(&scene, TROUPE_NO_THREADS)) {
        return;
    }
    spawn_asked(&scene, &bus.asking);
    (void)scene_play(&scene, &uses);
    scene_pump(&scene);
    scene_await(&scene, &bus.asking.told, bus.asking.asked);
    HOLDS(bus.asking.told == bus.asking.asked);
    /* One was swapped, one removed, one failed. */
    HOLDS(bus.gone == 3 || fault_has_hit());
    scene_close(&scene);
}

/* From a foreign thread. */
void scenario_sys(void)
{
    struct asking asking = {.behaviour = &clerk.behaviour};
    struct troupe_sys_question question = {.op = TROUPE_SYS_STATUS};
    struct troupe_sys_answer answer;
    struct scene scene = {0};

    if (!scene_open(&scene, 1)) {
        return;
    }
    spawn_asked(&scene, &asking);
    if (asking.to != TROUPE_NOBODY &&
        WENT(troupe_runtime_sys(scene.runtime, asking.to, &question, SCENE_WAIT_MS, &answer),
            MAY(TROUPE_ENOMEM))) {
        HOLDS(strcmp(answer.text, "a clerk") == 0);
    }
    scene_close(&scene);
}
