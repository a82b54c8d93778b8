/* SPDX-License-Identifier: MIT */
/* scenario_tree.c - supervisors: strategies, changes while they run, starts that fail half way, whole programs. */
#include "scenario.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/** What starting a tree may give: the error of an init that failed is among it. */
#define MAY_START (MAY(TROUPE_ENOMEM) | MAY(TROUPE_ESYSTEM))

/** What asking a supervisor may give that a fault may have ended. */
#define MAY_ASK                                                                                    \
    (MAY_SEND | MAY(TROUPE_EDIED) | MAY(TROUPE_EUNANSWERED) | MAY(TROUPE_ESTOPPED) |               \
        MAY(TROUPE_ENOENT) | MAY(TROUPE_EBUSY))

static const struct troupe_type die = TROUPE_SIGNAL;

static int child_init(struct troupe_actor *self, void *state, const void *arg)
{
    (void)state;
    HOLDS(arg == NULL || *(const uint64_t *)arg == 7);
    if (troupe_arena_alloc(self, 100) == NULL) {
        return troupe_fail(self, TROUPE_ENOMEM, "no memory for a child");
    }
    return TROUPE_OK;
}

static int child_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    (void)state;
    return troupe_is(msg, &die) ? troupe_fail(self, TROUPE_EPROTO, "as it was told")
                                : TROUPE_EUNKNOWN;
}

static const struct troupe_behaviour child = {
    .name = "child",
    .state_size = 200,
    .init = child_init,
    .receive = child_receive,
};

/* A child that waits, until it is told to stop. */
static int wait_main(struct troupe_actor *self, const void *arg)
{
    struct troupe_message *msg;

    (void)arg;
    return troupe_receive(self, TROUPE_FOREVER, &msg);
}

static const uint64_t seven = 7;

/* ---- strategies ---- */

/* Waits until a child is another one than `before`, or does not come again. */
static void await_restart(
    struct scene *scene, troupe_pid supervisor, const char *id, troupe_pid before)
{
    struct troupe_child_answer answer = {0};
    uint64_t until_ns = troupe_now_ns(scene->runtime) + SCENE_WAIT_MS * UINT64_C(1000000);

    while (troupe_now_ns(scene->runtime) < until_ns) {
        if (!WENT(troupe_runtime_child(scene->runtime, supervisor, TROUPE_CHILD_WHICH, id, NULL,
                      SCENE_WAIT_MS, &answer),
                MAY_ASK)) {
            return;
        }
        if (answer.state == TROUPE_CHILD_STOPPED ||
            (answer.state == TROUPE_CHILD_RUNNING && answer.pid != before)) {
            return;
        }
        usleep(500);
    }
    scene_complain("%s does not come again", id);
}

static void crash(struct scene *scene, troupe_pid supervisor, const char *id, bool keeps)
{
    struct troupe_child_answer answer = {0};
    struct troupe_message *msg;

    if (!WENT(troupe_runtime_child(
                  scene->runtime, supervisor, TROUPE_CHILD_WHICH, id, NULL, SCENE_WAIT_MS, &answer),
            MAY_ASK) ||
        !WENT(troupe_message_create(scene->runtime, &die, 0, &msg), MAY(TROUPE_ENOMEM))) {
        return;
    }
    if (!WENT(troupe_try_send(scene->runtime, answer.pid, msg), MAY_SEND)) {
        troupe_message_destroy(msg);
    } else {
        await_restart(scene, supervisor, id, keeps ? TROUPE_NOBODY : answer.pid);
    }
}

static void run_strategy(enum troupe_strategy strategy, const char *name)
{
    const struct troupe_child_spec inner_children[] = {
        {.id = "leaf", .behaviour = &child, .arg = &seven},
    };
    const struct troupe_supervisor_spec inner = {.children = inner_children, .child_count = 1};
    const struct troupe_child_spec children[] = {
        {.id = "first", .behaviour = &child, .arg = &seven, .arg_size = sizeof seven},
        {.id = "second", .behaviour = &child, .restart = TROUPE_TRANSIENT},
        {.id = "kept", .behaviour = &child, .keep_mailbox = strategy == TROUPE_ONE_FOR_ONE},
        {.id = "inner", .tree = &inner},
        {.id = "waiting", .main = wait_main},
        {.id = "brief", .behaviour = &child, .restart = TROUPE_TEMPORARY},
    };
    const struct troupe_supervisor_spec spec = {
        .name = name,
        .strategy = strategy,
        .intensity = 10,
        .children = children,
        .child_count = TROUPE_COUNT(children),
    };
    struct scene scene = {0};
    troupe_pid supervisor;
    const char *why;

    HOLDS(troupe_supervisor_check(&spec, &why) == TROUPE_OK);
    if (!scene_open(&scene, 1)) {
        return;
    }
    if (WENT(
            troupe_supervisor_start(scene.runtime, &spec, SCENE_WAIT_MS, &supervisor), MAY_START)) {
        crash(&scene, supervisor, "second", false);
        crash(&scene, supervisor, "kept", strategy == TROUPE_ONE_FOR_ONE);
    }
    scene_close(&scene);
}

void scenario_strategies(void)
{
    run_strategy(TROUPE_ONE_FOR_ONE, "one");
    run_strategy(TROUPE_ONE_FOR_ALL, NULL);
    run_strategy(TROUPE_REST_FOR_ONE, "rest");
}

/* ---- changes ---- */

struct changing {
    troupe_pid supervisor;
    unsigned told;
};

static int on_answer(
    struct troupe_actor *self, void *state, void *context, int status, struct troupe_message *reply)
{
    struct changing *changing = context;

    (void)self;
    (void)state;
    HOLDS(status != TROUPE_OK || troupe_is(reply, &troupe_child_answer) ||
          troupe_is(reply, &troupe_children_answer));
    return ++changing->told == 4 ? TROUPE_DONE : TROUPE_OK;
}

static int change(struct troupe_actor *self, void *arg)
{
    struct changing *changing = arg;
    const struct troupe_child_spec added = {.id = "mine", .behaviour = &child};
    troupe_pid to = changing->supervisor;

    if (!WENT(troupe_child(
                  self, to, TROUPE_CHILD_START, NULL, &added, TROUPE_FOREVER, on_answer, changing),
            MAY_SEND) ||
        !WENT(troupe_children(self, to, 0, 10, TROUPE_FOREVER, on_answer, changing), MAY_SEND) ||
        !WENT(troupe_child(self, to, TROUPE_CHILD_TERMINATE, "mine", NULL, TROUPE_FOREVER,
                  on_answer, changing),
            MAY_SEND) ||
        !WENT(troupe_child(
                  self, to, TROUPE_CHILD_DELETE, "mine", NULL, TROUPE_FOREVER, on_answer, changing),
            MAY_SEND)) {
        return TROUPE_DONE;
    }
    return TROUPE_OK;
}

static bool ask(struct scene *scene, troupe_pid supervisor, enum troupe_child_op op, const char *id,
    const struct troupe_child_spec *spec)
{
    struct troupe_child_answer answer;

    return WENT(
        troupe_runtime_child(scene->runtime, supervisor, op, id, spec, SCENE_WAIT_MS, &answer),
        MAY_ASK);
}

void scenario_children(void)
{
    const struct troupe_child_spec added = {
        .id = "added", .behaviour = &child, .arg = &seven, .arg_size = sizeof seven};
    const struct troupe_supervisor_spec spec = {.name = "top"};
    struct scene scene = {0};
    struct changing changing = {0};
    struct scene_part changes = {.fn = change, .arg = &changing};

    if (!scene_open(&scene, 1)) {
        return;
    }
    if (WENT(troupe_supervisor_start(scene.runtime, &spec, SCENE_WAIT_MS, &changing.supervisor),
            MAY_START)) {
        if (ask(&scene, changing.supervisor, TROUPE_CHILD_START, NULL, &added)) {
            crash(&scene, changing.supervisor, "added", false);
        }
        if (ask(&scene, changing.supervisor, TROUPE_CHILD_TERMINATE, "added", NULL)) {
            (void)ask(&scene, changing.supervisor, TROUPE_CHILD_RESTART, "added", NULL);
            (void)ask(&scene, changing.supervisor, TROUPE_CHILD_TERMINATE, "added", NULL);
            (void)ask(&scene, changing.supervisor, TROUPE_CHILD_DELETE, "added", NULL);
        }
        scene_join(&scene, scene_play(&scene, &changes));
    }
    scene_close(&scene);
}

/* ---- many of one template ---- */

/* What a child that was asked for may come to: its init may be the one that had no memory. */
static bool spawn_more(struct scene *scene, troupe_pid supervisor, const void *extra,
    size_t extra_size, struct troupe_child_answer *out_answer)
{
    return WENT(troupe_runtime_child_spawn(
                    scene->runtime, supervisor, extra, extra_size, SCENE_WAIT_MS, out_answer),
        MAY_ASK);
}

static int change_simple(struct troupe_actor *self, void *arg)
{
    struct changing *changing = arg;
    troupe_pid to = changing->supervisor;

    /* Two answers are enough. */
    changing->told = 2;
    if (!WENT(
            troupe_child_spawn(self, to, NULL, 0, TROUPE_FOREVER, on_answer, changing), MAY_SEND) ||
        !WENT(troupe_child_terminate(
                  self, to, troupe_self(self), TROUPE_FOREVER, on_answer, changing),
            MAY_SEND)) {
        return TROUPE_DONE;
    }
    return TROUPE_OK;
}

void scenario_simple(void)
{
    const struct troupe_child_spec template = {
        .id = "any", .behaviour = &child, .arg = &seven, .arg_size = sizeof seven};
    const struct troupe_supervisor_spec spec = {.name = "crowd",
        .strategy = TROUPE_SIMPLE_ONE_FOR_ONE,
        .intensity = 10,
        .children = &template,
        .child_count = 1};
    struct scene scene = {0};
    struct changing changing = {0};
    struct scene_part changes = {.fn = change_simple, .arg = &changing};
    struct troupe_child_answer answer = {0};
    struct troupe_message *msg;

    if (!scene_open(&scene, 1)) {
        return;
    }
    if (WENT(troupe_supervisor_start(scene.runtime, &spec, SCENE_WAIT_MS, &changing.supervisor),
            MAY_START)) {
        if (spawn_more(&scene, changing.supervisor, "more", 5, &answer)) {
            (void)WENT(troupe_runtime_child_terminate(
                           scene.runtime, changing.supervisor, answer.pid, SCENE_WAIT_MS, &answer),
                MAY_ASK);
        }
        /* It comes again, with both its arguments. */
        if (spawn_more(&scene, changing.supervisor, "more", 5, &answer) &&
            WENT(troupe_message_create(scene.runtime, &die, 0, &msg), MAY(TROUPE_ENOMEM)) &&
            !WENT(troupe_try_send(scene.runtime, answer.pid, msg), MAY_SEND)) {
            troupe_message_destroy(msg);
        }
        scene_join(&scene, scene_play(&scene, &changes));
    }
    scene_close(&scene);
}

/* ---- starts that fail ---- */

static int refuse_init(struct troupe_actor *self, void *state, const void *arg)
{
    (void)state;
    (void)arg;
    return troupe_fail(self, TROUPE_EBUSY, "as always");
}

static const struct troupe_behaviour refusing = {
    .name = "refusing", .init = refuse_init, .receive = child_receive};

void scenario_half_way(void)
{
    const struct troupe_child_spec children[] = {
        {.id = "first", .behaviour = &child},
        {.id = "second", .behaviour = &refusing},
        {.id = "third", .behaviour = &child},
    };
    const struct troupe_supervisor_spec spec = {
        .name = "half", .children = children, .child_count = TROUPE_COUNT(children)};
    struct scene scene = {0};
    troupe_pid supervisor;
    int error;

    if (!scene_open(&scene, 1)) {
        return;
    }
    error = troupe_supervisor_start(scene.runtime, &spec, SCENE_WAIT_MS, &supervisor);
    if (error != TROUPE_EBUSY) {
        HOLDS(error < 0);
        (void)WENT(error, MAY_START);
    }
    scene_close(&scene);
}

/* So many children that ids are compared another way, and that books of restarts are long. */
void scenario_wide(void)
{
    struct troupe_child_spec children[40];
    char ids[TROUPE_COUNT(children)][8];
    const struct troupe_supervisor_spec spec = {
        .intensity = 1000, .children = children, .child_count = TROUPE_COUNT(children)};
    struct scene scene = {0};
    troupe_pid supervisor;

    memset(children, 0, sizeof children);
    for (size_t i = 0; i < TROUPE_COUNT(children); i++) {
        snprintf(ids[i], sizeof ids[i], "c%zu", i);
        children[i].id = ids[i];
        children[i].behaviour = &child;
    }
    HOLDS(troupe_supervisor_check(&spec, NULL) == TROUPE_OK);
    if (!scene_open(&scene, 1)) {
        return;
    }
    if (WENT(
            troupe_supervisor_start(scene.runtime, &spec, SCENE_WAIT_MS, &supervisor), MAY_START)) {
        crash(&scene, supervisor, "c20", false);
    }
    scene_close(&scene);
}

/* ---- what needs no memory ---- */

/*
 * `victim` is a supervisor's child that keeps its address, and holds a request.  `watcher` monitors it and holds another
 * one.  Then memory is gone, and `victim` is killed: it comes again, `watcher` is told and answers, and both requests
 * have their outcome.
 */
struct famine {
    troupe_pid victim;
    troupe_pid watcher;
    _Atomic unsigned held;    /* requests */
    _Atomic unsigned died;    /* outcomes: the victim's .. */
    _Atomic unsigned refused; /* .. and the watcher's */
};

static const struct troupe_type favour = TROUPE_SIGNAL;
static struct famine famine;

struct holder {
    struct troupe_message *held;
};

static int hold_request(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct holder *holder = state;

    if (troupe_is(msg, &favour) && holder->held == NULL) {
        famine.held += WENT(troupe_take(self, msg, &holder->held), MAY(TROUPE_ENOMEM));
        return TROUPE_OK;
    }
    if (troupe_is(msg, &troupe_down) && holder->held != NULL) {
        HOLDS(troupe_reply_error(self, holder->held, -1000) == TROUPE_OK);
        troupe_message_destroy(holder->held);
        holder->held = NULL;
        return TROUPE_OK;
    }
    return TROUPE_EUNKNOWN;
}

static const struct troupe_behaviour victim = {
    .name = "victim", .state_size = sizeof(struct holder), .receive = hold_request};

static int watch_victim(struct troupe_actor *self, void *state, const void *arg)
{
    troupe_ref ref;

    (void)state;
    (void)arg;
    return WENT(troupe_monitor(self, famine.victim, &ref), MAY(TROUPE_ENOMEM)) ? TROUPE_OK
                                                                               : TROUPE_DONE;
}

static const struct troupe_behaviour watcher = {
    .name = "watcher",
    .state_size = sizeof(struct holder),
    .init = watch_victim,
    .receive = hold_request,
};

static int on_outcome(
    struct troupe_actor *self, void *state, void *context, int status, struct troupe_message *reply)
{
    (void)self;
    (void)state;
    (void)context;
    HOLDS(reply == NULL);
    famine.died += status == TROUPE_EDIED;
    famine.refused += status == -1000;
    return TROUPE_OK;
}

static int ask_favours(struct troupe_actor *self, void *arg)
{
    (void)arg;
    (void)WENT(troupe_request(self, famine.victim, &favour, NULL, TROUPE_FOREVER, on_outcome, NULL),
        MAY_SEND);
    (void)WENT(
        troupe_request(self, famine.watcher, &favour, NULL, TROUPE_FOREVER, on_outcome, NULL),
        MAY_SEND);
    return TROUPE_OK;
}

/* Waits until `*count` is there; after a fault for a moment only, if it need not come. */
static bool await(const _Atomic unsigned *count, unsigned wanted, bool must)
{
    for (int i = 0; i < SCENE_WAIT_MS && (must || i < 50 || !fault_has_hit()); i++) {
        if (*count >= wanted) {
            return true;
        }
        usleep(1000);
    }
    return false;
}

static void starve(struct scene *scene)
{
    fault_take_memory();
    HOLDS(troupe_runtime_exit(scene->runtime, famine.victim, TROUPE_EXIT_KILL) == TROUPE_OK);
    HOLDS(await(&famine.died, 1, true));
    HOLDS(await(&famine.refused, 1, true));
    for (int i = 0; i < SCENE_WAIT_MS && !troupe_is_alive(scene->runtime, famine.victim); i++) {
        usleep(1000);
    }
    HOLDS(troupe_is_alive(scene->runtime, famine.victim));
}

void scenario_famine(void)
{
    static const struct scene_part asker = {.fn = ask_favours};
    const struct troupe_child_spec children[] = {
        {.id = "victim", .behaviour = &victim, .keep_mailbox = true},
        {.id = "other", .behaviour = &child},
    };
    const struct troupe_supervisor_spec spec = {
        .name = "famine", .children = children, .child_count = TROUPE_COUNT(children)};
    struct troupe_spawn_options options = {.behaviour = &watcher};
    struct scene scene = {0};
    troupe_pid supervisor;

    if (!scene_open(&scene, 1)) {
        return;
    }
    if (WENT(
            troupe_supervisor_start(scene.runtime, &spec, SCENE_WAIT_MS, &supervisor), MAY_START)) {
        famine.victim = troupe_runtime_whereis(scene.runtime, "famine.victim");
        if (WENT(troupe_runtime_spawn(scene.runtime, &options, &famine.watcher),
                MAY(TROUPE_ENOMEM)) &&
            scene_play(&scene, &asker) != TROUPE_NOBODY && await(&famine.held, 2, false)) {
            starve(&scene);
        }
    }
    scene_close(&scene);
}

/* ---- programs ---- */

static int raise_once(struct troupe_actor *self, void *state, const void *arg)
{
    static _Atomic bool raised;

    (void)self;
    (void)state;
    (void)arg;
    if (!raised) {
        raised = true;
        HOLDS(kill(getpid(), SIGTERM) == 0);
    }
    return TROUPE_OK;
}

static const struct troupe_behaviour raising = {
    .name = "raising", .init = raise_once, .receive = child_receive};

/* Runs a tree of one child. */
static int run_one(const struct troupe_behaviour *behaviour, struct scene *scene)
{
    const struct troupe_child_spec children[] = {{.id = "only", .behaviour = behaviour}};
    const struct troupe_supervisor_spec spec = {.intensity = TROUPE_NO_RESTARTS,
        .children = children,
        .child_count = TROUPE_COUNT(children)};
    const struct troupe_runtime_options options = {
        .workers = 1, .watchdog_ms = TROUPE_NO_WATCHDOG, .allocator = &scene->allocator};

    scene->allocator = test_allocator_of(&scene->memory);
    return troupe_run(&options, &spec);
}

/* A signal's that was raised when nobody took it would end the trial: the mask is as it was. */
void scenario_run_signal(void)
{
    struct scene scene = {0};

    (void)WENT(
        run_one(&raising, &scene), MAY(TROUPE_ENOMEM) | MAY(TROUPE_ESYSTEM) | MAY(TROUPE_EDIED));
    HOLDS(scene.memory.blocks == 0 && scene.memory.bytes == 0);
}

static int send_die(struct troupe_actor *self, void *state, const void *arg)
{
    (void)state;
    (void)arg;
    return troupe_send(self, troupe_self(self), &die, NULL);
}

static const struct troupe_behaviour dying = {
    .name = "dying", .init = send_die, .receive = child_receive};

void scenario_run_end(void)
{
    struct scene scene = {0};
    int error = run_one(&dying, &scene);

    if (error != TROUPE_EDIED) {
        HOLDS(error < 0);
        (void)WENT(error, MAY(TROUPE_ENOMEM) | MAY(TROUPE_ESYSTEM));
    }
    HOLDS(scene.memory.blocks == 0 && scene.memory.bytes == 0);
}
