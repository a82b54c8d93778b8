/* SPDX-License-Identifier: MIT */
/* scenario_tie.c - requests and answers, links and monitors, names. */
#include "scenario.h"

#include <stdio.h>
#include <string.h>

/* ---- requests ---- */

static const struct troupe_type question = TROUPE_TYPE(uint64_t);
static const struct troupe_type answer = TROUPE_BYTES;

enum how {
    HOW_REPLY,
    HOW_REPLY_MESSAGE,
    HOW_ERROR,
    HOW_NOTHING,
    HOW_HOLD,    /* takes it, answers with the next one, whatever that is */
    HOW_FORWARD, /* to one that answers */
    HOW_DIE,
    HOW_LATE, /* takes it, answers with the next one of these; the request has a short time-out */
    HOW_COUNT,
};

struct answering {
    troupe_pid next;
    struct troupe_message *held;
    struct troupe_message *late;
};

static int reply_moved(struct troupe_actor *self, struct troupe_message *msg)
{
    struct troupe_message *reply;

    if (!WENT(troupe_message_create(troupe_runtime_of(self), &answer, 700, &reply),
            MAY(TROUPE_ENOMEM))) {
        return troupe_reply_error(self, msg, TROUPE_ENOMEM);
    }
    memset(troupe_body(reply), 3, troupe_body_size(reply));
    if (!WENT(troupe_reply_message(self, msg, reply), MAY(TROUPE_ENOMEM))) {
        troupe_message_destroy(reply);
        return troupe_reply_error(self, msg, TROUPE_ENOMEM);
    }
    return TROUPE_OK;
}

static int reply_copied(struct troupe_actor *self, struct troupe_message *msg)
{
    uint64_t body = 42;

    if (WENT(troupe_reply(self, msg, &question, &body), MAY(TROUPE_ENOMEM))) {
        return TROUPE_OK;
    }
    return troupe_reply_error(self, msg, TROUPE_ENOMEM);
}

static void answer_taken(struct troupe_actor *self, struct troupe_message **taken)
{
    if (*taken != NULL) {
        HOLDS(reply_copied(self, *taken) == TROUPE_OK);
        troupe_message_destroy(*taken);
        *taken = NULL;
    }
}

static int answer_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct answering *answering = scene_arg(state);

    if (!troupe_is_request(msg)) {
        return TROUPE_EUNKNOWN;
    }
    answer_taken(self, &answering->held);
    switch (*(const uint64_t *)troupe_body(msg)) {
    case HOW_REPLY:
        return reply_copied(self, msg);
    case HOW_REPLY_MESSAGE:
        return reply_moved(self, msg);
    case HOW_ERROR:
        return troupe_reply_error(self, msg, -1000);
    case HOW_HOLD:
        (void)WENT(troupe_take(self, msg, &answering->held), MAY(TROUPE_ENOMEM));
        return TROUPE_OK;
    case HOW_LATE:
        answer_taken(self, &answering->late);
        (void)WENT(troupe_take(self, msg, &answering->late), MAY(TROUPE_ENOMEM));
        return TROUPE_OK;
    case HOW_FORWARD:
        (void)WENT(troupe_forward(self, answering->next, msg), MAY_SEND);
        return TROUPE_OK;
    case HOW_DIE:
        return TROUPE_EPROTO;
    default:
        return TROUPE_OK;
    }
}

static int answer_all(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    (void)state;
    return troupe_is_request(msg) ? reply_moved(self, msg) : TROUPE_EUNKNOWN;
}

struct asking {
    troupe_pid to;
    unsigned asked;
    unsigned told;
    unsigned rounds;
};

static int ask_all(struct troupe_actor *self, void *arg);

/* When all have been told of, asks once more: the limit is so low that nothing may be left of the first round. */
static int on_reply(
    struct troupe_actor *self, void *state, void *context, int status, struct troupe_message *reply)
{
    struct asking *asking = context;

    (void)state;
    HOLDS((status == TROUPE_OK) == (reply != NULL));
    if (++asking->told == asking->asked && asking->rounds++ == 0) {
        return ask_all(self, asking);
    }
    return TROUPE_OK;
}

static void ask_moved(struct troupe_actor *self, struct asking *asking, size_t size)
{
    struct troupe_message *msg;

    if (!WENT(troupe_message_create(troupe_runtime_of(self), &answer, size, &msg),
            MAY(TROUPE_ENOMEM))) {
        return;
    }
    memset(troupe_body(msg), HOW_REPLY, size);
    if (WENT(troupe_request_message(self, asking->to, msg, TROUPE_FOREVER, on_reply, asking),
            MAY_SEND)) {
        asking->asked++;
    } else {
        troupe_message_destroy(msg);
    }
}

static int ask_all(struct troupe_actor *self, void *arg)
{
    struct asking *asking = arg;

    if (asking->to == TROUPE_NOBODY) {
        return TROUPE_DONE;
    }
    ask_moved(self, asking, 8);
    ask_moved(self, asking, 500);
    for (uint64_t how = 0; how < 2 * HOW_COUNT; how++) {
        uint64_t body = how % HOW_COUNT == HOW_DIE ? HOW_NOTHING : how % HOW_COUNT;

        asking->asked += WENT(troupe_request(self, asking->to, &question, &body,
                                  body == HOW_LATE ? 3 : 100000, on_reply, asking),
            MAY_SEND);
    }
    return TROUPE_OK;
}

static int die_asking(struct troupe_actor *self, void *arg)
{
    const struct asking *asking = arg;
    uint64_t body = HOW_DIE;

    if (asking->to != TROUPE_NOBODY) {
        ask_moved(self, arg, 500);
        (void)WENT(
            troupe_request(self, asking->to, &question, &body, TROUPE_FOREVER, on_reply, arg),
            MAY_SEND);
    }
    return TROUPE_DONE;
}

void scenario_call(void)
{
    struct answering answering = {0};
    struct asking asking = {0};
    struct asking dying = {0};
    static const struct scene_part answers_all = {.receive = answer_all};
    struct scene_part answers = {.receive = answer_receive, .arg = &answering};
    struct scene_part asks = {.fn = ask_all, .arg = &asking};
    struct scene_part dies = {.fn = die_asking, .arg = &dying};
    struct scene scene = {.limits.actor_timers = 2 * HOW_COUNT + 2};

    if (!scene_open(&scene, TROUPE_NO_THREADS)) {
        return;
    }
    answering.next = scene_play(&scene, &answers_all);
    asking.to = dying.to = scene_play(&scene, &answers);
    (void)scene_play(&scene, &asks);
    scene_pump(&scene);
    scene_await(&scene, &asking.told, asking.asked);
    scene_await(&scene, &asking.told, asking.asked);
    (void)scene_play(&scene, &dies);
    scene_pump(&scene);
    /* Each request has one outcome, whatever failed. */
    HOLDS(asking.told == asking.asked);
    HOLDS(dying.told == 0);
    scene_close(&scene);
}

/* ---- links and monitors ---- */

struct tied {
    struct scene *scene;
    troupe_pid target;
    struct troupe_buffer *text;
    unsigned down;
    unsigned watched;
};

static int stay(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    (void)self;
    (void)state;
    (void)msg;
    return TROUPE_OK;
}

static int fail_when_told(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    (void)state;
    (void)msg;
    return troupe_fail(self, TROUPE_EPROTO, "as it was told");
}

static const struct troupe_behaviour stays = {.name = "stays", .receive = stay};
static const struct troupe_behaviour fails = {.name = "fails", .receive = fail_when_told};

static troupe_pid spawn_tied(struct troupe_actor *self, const struct troupe_behaviour *behaviour)
{
    struct troupe_spawn_options options = {.behaviour = behaviour};
    troupe_pid pid;

    return WENT(troupe_spawn(self, &options, &pid), MAY(TROUPE_ENOMEM)) ? pid : TROUPE_NOBODY;
}

/* No actor of these scenarios has this pid. */
#define NOT_THERE ((troupe_pid)1 << 40)

static void look_at(struct troupe_actor *self, troupe_pid pid)
{
    struct troupe_runtime *runtime = troupe_runtime_of(self);
    struct troupe_info info;
    size_t links;
    size_t watchers;

    HOLDS(troupe_info(runtime, pid, &info) == TROUPE_OK);
    HOLDS(troupe_info_links(runtime, pid, NULL, 0, &links) == TROUPE_OK);
    HOLDS(troupe_info_watchers(runtime, pid, NULL, 0, &watchers) == TROUPE_OK);
    HOLDS(info.links == links && info.watchers == watchers);
}

static void look_at_waits(struct troupe_actor *self)
{
    char text[64];
    size_t count;

    HOLDS(troupe_waits_list(troupe_runtime_of(self), NULL, 0, &count) == TROUPE_OK);
    HOLDS(troupe_waits_write(
              troupe_runtime_of(self), TROUPE_WAITS_TEXT, text, sizeof text, &count) == TROUPE_OK);
}

static void watch_and_let_go(struct troupe_actor *self, troupe_pid pid)
{
    troupe_ref ref;

    if (WENT(troupe_monitor(self, pid, &ref), MAY(TROUPE_ENOMEM))) {
        HOLDS(troupe_demonitor(self, ref) == 1);
    }
    if (WENT(troupe_link(self, pid), MAY(TROUPE_ENOMEM) | MAY(TROUPE_EGONE))) {
        (void)WENT(troupe_link(self, pid), MAY(TROUPE_ENOMEM));
        troupe_unlink(self, pid);
    }
    /* It traps: of a link with nobody there is a signal, which is taken back. */
    if (WENT(troupe_link(self, NOT_THERE), MAY(TROUPE_ENOMEM))) {
        HOLDS(troupe_unlink_flush(self, NOT_THERE, NULL) == TROUPE_FLUSH_TOLD);
    }
    if (WENT(troupe_monitor_name(self, "nobody", &ref), MAY(TROUPE_ENOMEM))) {
        HOLDS(troupe_demonitor_flush(self, ref, NULL) == TROUPE_FLUSH_TOLD);
    }
}

static int tie(struct troupe_actor *self, void *arg)
{
    static const struct troupe_type go = TROUPE_SIGNAL;
    struct tied *tied = arg;
    troupe_pid pid = spawn_tied(self, &fails);
    troupe_pid other = spawn_tied(self, &stays);
    troupe_ref ref;

    if (pid == TROUPE_NOBODY || other == TROUPE_NOBODY) {
        return TROUPE_OK;
    }
    watch_and_let_go(self, pid);
    watch_and_let_go(self, other);
    look_at(self, pid);
    look_at(self, other);
    look_at_waits(self);
    for (int i = 0; i < 3; i++) {
        tied->watched += WENT(troupe_monitor(self, pid, &ref), MAY(TROUPE_ENOMEM));
        tied->watched += WENT(troupe_monitor(self, other, &ref), MAY(TROUPE_ENOMEM));
    }
    (void)WENT(troupe_link(self, pid), MAY(TROUPE_ENOMEM));
    (void)WENT(troupe_link(self, other), MAY(TROUPE_ENOMEM));
    if (!WENT(troupe_send(self, pid, &go, NULL), MAY_SEND)) {
        (void)WENT(troupe_kill(self, pid), MAY(TROUPE_EGONE));
    }
    (void)WENT(troupe_send_exit(self, other, TROUPE_EXIT_NORMAL), MAY_SEND);
    if (!WENT(troupe_send_exit(self, other, TROUPE_EXIT_SHUTDOWN), MAY_SEND)) {
        (void)WENT(troupe_send_exit(self, other, TROUPE_EXIT_KILL), MAY(TROUPE_EGONE));
    }
    tied->target = pid;
    return TROUPE_OK;
}

static int on_notice(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct tied *tied = scene_arg(state);

    if (troupe_is(msg, &troupe_down)) {
        const struct troupe_down *down = troupe_body(msg);

        tied->down++;
        HOLDS(troupe_down_name(msg) == NULL);
        HOLDS(troupe_reason_text(&down->reason) != NULL);
        if (down->reason.text != NULL && tied->text == NULL) {
            tied->text = troupe_buffer_retain(down->reason.text);
        }
        if (tied->down == 1) {
            troupe_ref ref;

            /* Of one that is gone the notice comes at once. */
            tied->watched += WENT(troupe_monitor(self, down->pid, &ref), MAY(TROUPE_ENOMEM));
        }
        return TROUPE_OK;
    }
    return troupe_is(msg, &troupe_exited) ? TROUPE_OK : TROUPE_EUNKNOWN;
}

/* Ends by an exit signal that it does not trap. */
static int link_to_target(struct troupe_actor *self, void *arg)
{
    struct tied *tied = arg;

    if (tied->target != TROUPE_NOBODY) {
        int error = troupe_link(self, tied->target);

        HOLDS(error == TROUPE_EGONE || fault_has_hit());
    }
    (void)WENT(troupe_kill(self, troupe_self(self)), 0);
    return TROUPE_OK;
}

void scenario_link(void)
{
    struct scene scene = {.limits.actor_watches = 8}; /* as many as tie() makes */
    struct tied tied = {.scene = &scene};
    struct scene_part ties = {.fn = tie, .receive = on_notice, .arg = &tied, .traps = true};
    struct scene_part late = {.fn = link_to_target, .arg = &tied};
    troupe_pid pid;

    if (!scene_open(&scene, TROUPE_NO_THREADS)) {
        return;
    }
    pid = scene_play(&scene, &ties);
    scene_pump(&scene);
    (void)scene_play(&scene, &late);
    scene_pump(&scene);
    /* One notice for each monitor: none of it is allocated when somebody dies. */
    HOLDS(tied.down == tied.watched);
    if (pid != TROUPE_NOBODY &&
        !WENT(troupe_runtime_exit(scene.runtime, pid, TROUPE_EXIT_SHUTDOWN), MAY_SEND)) {
        (void)WENT(troupe_runtime_exit(scene.runtime, pid, TROUPE_EXIT_KILL), MAY(TROUPE_EGONE));
    }
    scene_pump(&scene);
    troupe_buffer_release(tied.text);
    scene_close(&scene);
}

/* ---- names ---- */

#define NAMES 300

/* How many of the names it has got. */
static unsigned take_names(struct troupe_actor *self)
{
    static const struct troupe_type hello = TROUPE_BYTES;
    char name[32];
    unsigned taken = 0;

    for (int i = 0; i < NAMES; i++) {
        snprintf(name, sizeof name, "name %d", i);
        if (!WENT(troupe_register(self, name), MAY(TROUPE_ENOMEM))) {
            HOLDS(troupe_whereis(self, name) == TROUPE_NOBODY);
            continue;
        }
        taken++;
        HOLDS(troupe_register(self, name) == TROUPE_OK || fault_has_hit());
        HOLDS(troupe_whereis(self, name) == troupe_self(self));
        (void)WENT(troupe_send_name(self, name, &hello, NULL), MAY_SEND);
    }
    return taken;
}

/* Twice: the limit is so low that nothing may be left of a name that was given back. */
static int take_names_twice(struct troupe_actor *self, void *arg)
{
    unsigned taken = take_names(self);
    char name[32];

    (void)arg;
    HOLDS(taken == NAMES || fault_has_hit());
    for (int i = 0; i < NAMES; i++) {
        snprintf(name, sizeof name, "name %d", i);
        taken -= troupe_unregister(self, name) == TROUPE_OK;
    }
    HOLDS(taken == 0);
    (void)take_names(self);
    return TROUPE_OK;
}

static int want_name(struct troupe_actor *self, void *arg)
{
    int error = troupe_register(self, "name 1");

    (void)arg;
    HOLDS(error == TROUPE_EEXIST || fault_has_hit());
    return TROUPE_DONE;
}

/* Who has `name 1` has all of them, in order; a spawn that wants one loses it to `pid`. */
static void check_names(struct scene *scene, troupe_pid pid)
{
    struct troupe_name rows[NAMES];
    troupe_pid holder = TROUPE_NOBODY;
    struct troupe_spawn_options options = {
        .behaviour = &stays, .name = "name 1", .holder = &holder};
    troupe_pid spawned;
    int error;

    HOLDS(troupe_names(scene->runtime, "name", NULL, rows, NAMES) == NAMES || fault_has_hit());
    HOLDS(troupe_names_of(scene->runtime, pid, 0, rows, NAMES) == NAMES || fault_has_hit());
    error = troupe_runtime_spawn(scene->runtime, &options, &spawned);
    HOLDS((error == TROUPE_EEXIST && holder == pid) || fault_has_hit());
    options.name = "another";
    if (WENT(troupe_runtime_spawn(scene->runtime, &options, &spawned), MAY(TROUPE_ENOMEM))) {
        HOLDS(troupe_runtime_whereis(scene->runtime, "another") == spawned);
    } else {
        HOLDS(troupe_runtime_whereis(scene->runtime, "another") == TROUPE_NOBODY);
    }
}

/* ---- a registry of the user's, of one name ---- */

static troupe_pid via_holder;

static int via_enter(void *context, const char *name, troupe_pid pid)
{
    (void)context;
    (void)name;
    if (via_holder != TROUPE_NOBODY) {
        return TROUPE_EEXIST;
    }
    via_holder = pid;
    return TROUPE_OK;
}

static void via_leave(void *context, const char *name, troupe_pid pid)
{
    (void)context;
    (void)name;
    via_holder = via_holder == pid ? TROUPE_NOBODY : via_holder;
}

static troupe_pid via_whereis(void *context, const char *name)
{
    (void)context;
    (void)name;
    return via_holder;
}

static const struct troupe_registry_ops via_ops = {
    .enter = via_enter, .leave = via_leave, .whereis = via_whereis};
static const struct troupe_via via = {&via_ops, NULL};

static int use_via(struct troupe_actor *self, void *arg)
{
    static const struct troupe_type hello = TROUPE_SIGNAL;

    (void)arg;
    if (WENT(troupe_register_via(self, &via, "one"), MAY(TROUPE_ENOMEM))) {
        HOLDS(troupe_whereis_via(&via, "one") == troupe_self(self));
        (void)WENT(troupe_send_via(self, &via, "one", &hello, NULL), MAY_SEND);
        HOLDS(troupe_unregister_via(self, &via, "one") == TROUPE_OK);
    }
    HOLDS(via_holder == TROUPE_NOBODY);
    return TROUPE_DONE;
}

void scenario_via(void)
{
    static const struct scene_part uses = {.fn = use_via};
    struct troupe_spawn_options options = {
        .behaviour = &stays, .name = "one", .via = &via, .group = "g"};
    struct scene scene = {0};
    troupe_pid pid;

    via_holder = TROUPE_NOBODY;
    if (!scene_open(&scene, TROUPE_NO_THREADS)) {
        return;
    }
    (void)scene_play(&scene, &uses);
    scene_pump(&scene);
    if (WENT(troupe_runtime_spawn(scene.runtime, &options, &pid), MAY(TROUPE_ENOMEM))) {
        HOLDS(via_holder == pid);
    } else {
        HOLDS(via_holder == TROUPE_NOBODY);
    }
    scene_close(&scene);
    HOLDS(via_holder == TROUPE_NOBODY);
}

void scenario_name(void)
{
    static const struct scene_part takes = {.fn = take_names_twice, .receive = stay};
    static const struct scene_part wants = {.fn = want_name};
    struct scene scene = {.limits.names = NAMES + 1}; /* one is on its way while it is refused */
    troupe_pid pid;

    if (!scene_open(&scene, TROUPE_NO_THREADS)) {
        return;
    }
    pid = scene_play(&scene, &takes);
    scene_pump(&scene);
    (void)scene_play(&scene, &wants);
    scene_pump(&scene);
    HOLDS(troupe_runtime_whereis(scene.runtime, "name 1") == pid || fault_has_hit());
    check_names(&scene, pid);
    scene_close(&scene);
}
