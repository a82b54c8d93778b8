/* SPDX-License-Identifier: MIT */
/* Event manager: handlers come and go, fail alone, and are told in order. */
#include "test/support/stage.h"

#include <troupe/events.h>
#include <troupe/sys.h>

static const struct troupe_type event = TROUPE_TYPE(char);
static const struct troupe_type tick = TROUPE_SIGNAL;

/* What happened, two letters each: the handler's, and that of the event; of callbacks:
 *   +  init, with the letter of whom it takes over from, if there is one
 *   d f r s o t  terminate: done, failed, removed, swapped, orphan, stopped       -  destroy */
struct diary {
    char text[512];
    size_t length;
    enum troupe_exit kind; /* of the reason at the last terminate */
    int code;
};

struct listener {
    struct diary *diary;
    char name;
    char fails_at;  /* returns an error */
    char leaves_at; /* troupe_abandon() */
    char exits_at;  /* troupe_exit() */
    char done_at;
    char nonsense_at;
    int init_status;
    bool answers;
};

static void write_down(struct diary *diary, char first, char second)
{
    cr_assert_lt(diary->length, sizeof diary->text - 4);
    diary->text[diary->length++] = first;
    diary->text[diary->length++] = second;
    diary->text[diary->length++] = ' ';
}

static int listener_init(struct troupe_actor *self, void *state, const void *arg, void *old)
{
    struct listener *listener = state;

    (void)self;
    *listener = *(const struct listener *)arg;
    write_down(listener->diary, listener->name, old != NULL ? ((struct listener *)old)->name : '+');
    return listener->init_status;
}

static int listener_event(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct listener *listener = state;
    char c = *(const char *)troupe_body(msg);

    write_down(listener->diary, listener->name, c);
    if (c == listener->fails_at) {
        return troupe_fail(self, -77, "it failed");
    }
    if (c == listener->leaves_at) {
        troupe_abandon(self, -78, "it left");
    }
    if (c == listener->exits_at) {
        troupe_exit(self, TROUPE_EXIT_SHUTDOWN);
    }
    if (c == listener->nonsense_at) {
        return 99;
    }
    if (listener->answers && troupe_is_request(msg)) {
        return troupe_reply(self, msg, &event, &listener->name);
    }
    return c == listener->done_at ? TROUPE_DONE : TROUPE_OK;
}

static int listener_info(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct listener *listener = state;

    (void)self;
    write_down(listener->diary, listener->name, troupe_is(msg, &tick) ? '*' : '?');
    return TROUPE_OK;
}

static void listener_terminate(struct troupe_actor *self, void *state, enum troupe_handler_end end,
    const struct troupe_reason *reason)
{
    struct listener *listener = state;

    (void)self;
    write_down(listener->diary, listener->name, "dfrsot"[end]);
    listener->diary->kind = reason->kind;
    listener->diary->code = reason->code;
}

static void listener_destroy(void *state)
{
    struct listener *listener = state;

    write_down(listener->diary, listener->name, '-');
}

static int listener_format(const void *state, char *text, size_t size)
{
    return snprintf(text, size, "listener %c", ((const struct listener *)state)->name);
}

static const struct troupe_handler listener_handler = {
    .name = "listener",
    .state_size = sizeof(struct listener),
    .init = listener_init,
    .event = listener_event,
    .info = listener_info,
    .terminate = listener_terminate,
    .destroy = listener_destroy,
    .format = listener_format,
};
static const struct troupe_handler deaf = {.name = "deaf"};

static const struct troupe_behaviour bus = TROUPE_EVENTS("bus");

/* ---- from a puppet ---- */

struct errand {
    troupe_pid manager;
    struct troupe_handler_id old;
    struct troupe_handler_options options;
    unsigned outcomes;
    int status;
    char answer;
};

static int on_answer(
    struct troupe_actor *self, void *state, void *context, int status, struct troupe_message *reply)
{
    struct errand *errand = context;

    (void)self;
    (void)state;
    errand->outcomes++;
    errand->status = status;
    if (reply != NULL && troupe_is(reply, &event)) {
        errand->answer = *(const char *)troupe_body(reply);
    } else {
        cr_assert(reply == NULL || troupe_is(reply, &troupe_events_told));
    }
    return TROUPE_OK;
}

static int do_add(struct troupe_actor *self, void *arg)
{
    struct errand *errand = arg;

    return troupe_events_add(self, errand->manager, &errand->options, 5000, on_answer, errand);
}

static int do_remove(struct troupe_actor *self, void *arg)
{
    struct errand *errand = arg;

    return troupe_events_remove(self, errand->manager, errand->old, 5000, on_answer, errand);
}

static int do_swap(struct troupe_actor *self, void *arg)
{
    struct errand *errand = arg;

    return troupe_events_swap(
        self, errand->manager, errand->old, &errand->options, 5000, on_answer, errand);
}

static int do_request(struct troupe_actor *self, void *arg)
{
    struct errand *errand = arg;

    return troupe_request(self, errand->manager, &event, "q", 5000, on_answer, errand);
}

/* What every test needs. */
struct scene {
    struct stage stage;
    struct diary diary;
    troupe_pid puppet;
    troupe_pid manager;
};

static void scene_open(struct scene *scene)
{
    memset(scene, 0, sizeof *scene);
    stage_open(&scene->stage, TROUPE_NO_THREADS);
    scene->puppet = stage_spawn(&scene->stage, &stage_puppet, NULL);
    scene->manager = stage_spawn(&scene->stage, &bus, NULL);
}

static int run_errand(struct scene *scene, stage_job_fn job, struct errand *errand)
{
    errand->manager = scene->manager;
    errand->outcomes = 0;
    cr_assert_eq(stage_do(&scene->stage, scene->puppet, job, errand), TROUPE_OK);
    cr_assert_eq(errand->outcomes, 1);
    return errand->status;
}

static struct errand errand_of(struct scene *scene, struct listener *listener)
{
    listener->diary = &scene->diary;
    return (struct errand){.options = {.id = {&listener_handler, (uint64_t)listener->name},
                               .arg = listener,
                               .arg_size = sizeof *listener}};
}

static int add(struct scene *scene, struct listener listener)
{
    struct errand errand = errand_of(scene, &listener);

    return run_errand(scene, do_add, &errand);
}

static int remove_named(struct scene *scene, char name)
{
    struct errand errand = {.old = {&listener_handler, (uint64_t)name}};

    return run_errand(scene, do_remove, &errand);
}

static void send_events(struct scene *scene, const char *letters)
{
    for (; *letters != '\0'; letters++) {
        stage_send(&scene->stage, scene->manager, &event, letters);
    }
    stage_run(&scene->stage);
}

/* ---- added, told, removed ---- */

Test(events, handlers_are_told_in_the_order_in_which_they_were_added)
{
    struct scene scene;

    scene_open(&scene);
    send_events(&scene, "x");
    cr_assert_eq(add(&scene, (struct listener){.name = 'A'}), TROUPE_OK);
    cr_assert_eq(add(&scene, (struct listener){.name = 'B'}), TROUPE_OK);
    send_events(&scene, "yz");
    cr_assert_eq(remove_named(&scene, 'A'), TROUPE_OK);
    cr_assert_eq(remove_named(&scene, 'A'), TROUPE_ENOENT);
    send_events(&scene, "w");
    cr_assert_str_eq(scene.diary.text, "A+ B+ Ay By Az Bz Ar A- Bw ");
    stage_close(&scene.stage);
    /* The end of the manager is the end of its handlers. */
    cr_assert_str_eq(scene.diary.text, "A+ B+ Ay By Az Bz Ar A- Bw Bt B- ");
    cr_assert_eq(scene.diary.kind, TROUPE_EXIT_SHUTDOWN);
}

Test(events, a_handler_is_added_once_and_not_if_its_init_fails)
{
    struct scene scene;

    scene_open(&scene);
    cr_assert_eq(add(&scene, (struct listener){.name = 'A'}), TROUPE_OK);
    cr_assert_eq(add(&scene, (struct listener){.name = 'A'}), TROUPE_EEXIST);
    cr_assert_eq(add(&scene, (struct listener){.name = 'B', .init_status = -5}), -5);
    send_events(&scene, "x");
    cr_assert_str_eq(scene.diary.text, "A+ B+ B- Ax ");
    stage_close(&scene.stage);
}

Test(events, a_killed_manager_destroys_its_handlers_and_asks_none)
{
    struct scene scene;

    scene_open(&scene);
    cr_assert_eq(add(&scene, (struct listener){.name = 'A'}), TROUPE_OK);
    cr_assert_eq(
        troupe_runtime_exit(scene.stage.runtime, scene.manager, TROUPE_EXIT_KILL), TROUPE_OK);
    stage_run(&scene.stage);
    cr_assert_str_eq(scene.diary.text, "A+ A- ");
    stage_close(&scene.stage);
}

/* ---- requests and infos ---- */

Test(events, a_request_is_answered_when_all_were_told)
{
    struct scene scene;
    struct errand errand = {0};

    scene_open(&scene);
    cr_assert_eq(add(&scene, (struct listener){.name = 'A'}), TROUPE_OK);
    cr_assert_eq(run_errand(&scene, do_request, &errand), TROUPE_OK);
    cr_assert_eq(errand.answer, 0);
    cr_assert_eq(add(&scene, (struct listener){.name = 'B', .answers = true}), TROUPE_OK);
    cr_assert_eq(add(&scene, (struct listener){.name = 'C', .answers = true}), TROUPE_OK);
    cr_assert_eq(run_errand(&scene, do_request, &errand), TROUPE_OK);
    cr_assert_eq(errand.answer, 'B');
    cr_assert_str_eq(scene.diary.text, "A+ Aq B+ C+ Aq Bq Cq ");
    stage_close(&scene.stage);
}

static int tick_init(struct troupe_actor *self, void *state, const void *arg, void *old)
{
    (void)state;
    (void)arg;
    (void)old;
    return troupe_tick_after(self, 0, &tick, NULL, NULL);
}

Test(events, ticks_go_to_info)
{
    static const struct troupe_handler ticks = {.name = "ticks", .init = tick_init};
    struct scene scene;
    struct errand errand = {.options.id.handler = &ticks};

    scene_open(&scene);
    cr_assert_eq(add(&scene, (struct listener){.name = 'A'}), TROUPE_OK);
    cr_assert_eq(run_errand(&scene, do_add, &errand), TROUPE_OK);
    STAGE_AWAIT(&scene.stage, scene.diary.length == 6);
    cr_assert_str_eq(scene.diary.text, "A+ A* ");
    stage_close(&scene.stage);
}

/* ---- failing ---- */

Test(events, a_failing_handler_is_removed_and_reported_and_the_manager_lives)
{
    static const struct {
        struct listener listener;
        const char *text;
        enum troupe_exit kind;
        int code;
        unsigned reports;
        const char *report;
    } rows[] = {
        {{.name = 'B', .fails_at = 'x'}, "A+ B+ C+ Ax Bx Bf B- Cx Ay Cy ", TROUPE_EXIT_ERROR, -77,
            1,
            "handler listener is removed: error, error -77, it failed; last message char; "
            "state: listener B"},
        {{.name = 'B', .leaves_at = 'x'}, "A+ B+ C+ Ax Bx Bf B- Cx Ay Cy ", TROUPE_EXIT_ERROR, -78,
            1,
            "handler listener is removed: error, error -78, it left; last message char; "
            "state: listener B"},
        {{.name = 'B', .exits_at = 'x'}, "A+ B+ C+ Ax Bx Bf B- Cx Ay Cy ", TROUPE_EXIT_SHUTDOWN, 0,
            1,
            "handler listener is removed: shutdown, error 0; last message char; "
            "state: listener B"},
        {{.name = 'B', .nonsense_at = 'x'}, "A+ B+ C+ Ax Bx Bf B- Cx Ay Cy ", TROUPE_EXIT_ERROR,
            TROUPE_EINVAL, 1,
            "handler listener is removed: error, error -1; last message char; "
            "state: listener B"},
        {{.name = 'B', .done_at = 'x'}, "A+ B+ C+ Ax Bx Bd B- Cx Ay Cy ", TROUPE_EXIT_NORMAL, 0, 0,
            ""},
    };

    for (size_t i = 0; i < TROUPE_COUNT(rows); i++) {
        struct scene scene;

        scene_open(&scene);
        cr_assert_eq(add(&scene, (struct listener){.name = 'A'}), TROUPE_OK);
        cr_assert_eq(add(&scene, rows[i].listener), TROUPE_OK);
        cr_assert_eq(add(&scene, (struct listener){.name = 'C'}), TROUPE_OK);
        send_events(&scene, "xy");
        cr_assert_str_eq(scene.diary.text, rows[i].text);
        cr_assert_eq(scene.diary.kind, rows[i].kind);
        cr_assert_eq(scene.diary.code, rows[i].code);
        cr_assert_eq(stage_reports(&scene.stage, TROUPE_REPORT_CRASH), rows[i].reports);
        cr_assert_str_eq(scene.stage.text[TROUPE_REPORT_CRASH], rows[i].report);
        cr_assert_eq(stage_reports(&scene.stage, TROUPE_REPORT_FAILURE), 0);
        cr_assert(troupe_is_alive(scene.stage.runtime, scene.manager));
        stage_close(&scene.stage);
    }
}

/* ---- swapping ---- */

static int swap(struct scene *scene, char old, struct listener listener)
{
    struct errand errand = errand_of(scene, &listener);

    errand.old = (struct troupe_handler_id){&listener_handler, (uint64_t)old};
    return run_errand(scene, do_swap, &errand);
}

Test(events, a_swap_puts_one_in_the_place_of_another_or_leaves_it)
{
    struct scene scene;

    scene_open(&scene);
    cr_assert_eq(add(&scene, (struct listener){.name = 'A'}), TROUPE_OK);
    cr_assert_eq(add(&scene, (struct listener){.name = 'B'}), TROUPE_OK);
    cr_assert_eq(swap(&scene, 'A', (struct listener){.name = 'C'}), TROUPE_OK);
    send_events(&scene, "x");
    cr_assert_str_eq(scene.diary.text, "A+ B+ CA As A- Cx Bx ");
    cr_assert_eq(swap(&scene, 'A', (struct listener){.name = 'D'}), TROUPE_ENOENT);
    cr_assert_eq(swap(&scene, 'C', (struct listener){.name = 'B'}), TROUPE_EEXIST);
    cr_assert_eq(swap(&scene, 'C', (struct listener){.name = 'E', .init_status = -9}), -9);
    /* One may take over from itself. */
    cr_assert_eq(swap(&scene, 'B', (struct listener){.name = 'B'}), TROUPE_OK);
    send_events(&scene, "y");
    cr_assert_str_eq(scene.diary.text, "A+ B+ CA As A- Cx Bx EC E- BB Bs B- Cy By ");
    stage_close(&scene.stage);
}

/* ---- supervised ---- */

/* Adds a handler and notes what it hears of it. */
struct owner {
    struct errand errand;
    unsigned gone;
    struct troupe_handler_gone last;
};

static int owner_init(struct troupe_actor *self, void *state, const void *arg)
{
    *(const void **)state = arg;
    return do_add(self, &((struct owner *)(uintptr_t)arg)->errand);
}

static int owner_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct owner *owner = *(struct owner **)state;
    int status;

    if (stage_is_job(self, msg, &status)) {
        return status;
    }
    if (!troupe_is(msg, &troupe_handler_gone)) {
        return TROUPE_EUNKNOWN;
    }
    owner->gone++;
    owner->last = *(const struct troupe_handler_gone *)troupe_body(msg);
    return TROUPE_OK;
}

static const struct troupe_behaviour owner_behaviour = {
    .name = "owner",
    .state_size = sizeof(struct owner *),
    .init = owner_init,
    .receive = owner_receive,
    .capacity = 1,
};

static troupe_pid spawn_owner(struct scene *scene, struct owner *owner, struct listener *listener)
{
    troupe_pid pid;

    *owner = (struct owner){.errand = errand_of(scene, listener)};
    owner->errand.manager = scene->manager;
    owner->errand.options.supervised = true;
    pid = stage_spawn(&scene->stage, &owner_behaviour, owner);
    stage_run(&scene->stage);
    cr_assert_eq(owner->errand.outcomes, 1);
    cr_assert_eq(owner->errand.status, TROUPE_OK);
    return pid;
}

Test(events, who_supervises_a_handler_is_told_once_why_it_ended)
{
    static const struct {
        struct listener listener;
        enum troupe_handler_end end;
        int code;
    } rows[] = {
        {{.name = 'A', .fails_at = 'x'}, TROUPE_HANDLER_FAILED, -77},
        {{.name = 'A', .done_at = 'x'}, TROUPE_HANDLER_DONE, 0},
    };

    for (size_t i = 0; i < TROUPE_COUNT(rows); i++) {
        struct scene scene;
        struct owner owner;
        struct listener listener = rows[i].listener;

        scene_open(&scene);
        (void)spawn_owner(&scene, &owner, &listener);
        send_events(&scene, "xy");
        cr_assert_eq(owner.gone, 1);
        cr_assert_eq(owner.last.manager, scene.manager);
        cr_assert_eq(owner.last.id.number, 'A');
        cr_assert_eq(owner.last.end, rows[i].end);
        cr_assert_eq(owner.last.code, rows[i].code);
        stage_close(&scene.stage);
        cr_assert_eq(owner.gone, 1);
    }
}

Test(events, a_removal_and_the_end_of_the_manager_are_told_as_well)
{
    struct scene scene;
    struct owner owner[2];
    struct listener listener[2] = {{.name = 'A'}, {.name = 'B'}};

    scene_open(&scene);
    (void)spawn_owner(&scene, &owner[0], &listener[0]);
    (void)spawn_owner(&scene, &owner[1], &listener[1]);
    cr_assert_eq(remove_named(&scene, 'A'), TROUPE_OK);
    cr_assert_eq(owner[0].gone, 1);
    cr_assert_eq(owner[0].last.end, TROUPE_HANDLER_REMOVED);
    cr_assert_eq(
        troupe_runtime_exit(scene.stage.runtime, scene.manager, TROUPE_EXIT_SHUTDOWN), TROUPE_OK);
    stage_run(&scene.stage);
    cr_assert_eq(owner[1].gone, 1);
    cr_assert_eq(owner[1].last.end, TROUPE_HANDLER_STOPPED);
    cr_assert_eq(owner[1].last.kind, TROUPE_EXIT_SHUTDOWN);
    cr_assert_eq(owner[0].gone, 1);
    stage_close(&scene.stage);
}

Test(events, a_handler_is_removed_when_who_supervises_it_ends)
{
    struct scene scene;
    struct owner owner;
    struct listener listener = {.name = 'A'};
    troupe_pid pid;

    scene_open(&scene);
    pid = spawn_owner(&scene, &owner, &listener);
    cr_assert_eq(add(&scene, (struct listener){.name = 'B'}), TROUPE_OK);
    cr_assert_eq(troupe_runtime_exit(scene.stage.runtime, pid, TROUPE_EXIT_KILL), TROUPE_OK);
    stage_run(&scene.stage);
    send_events(&scene, "x");
    cr_assert_str_eq(scene.diary.text, "A+ B+ Ao A- Bx ");
    cr_assert_eq(scene.diary.kind, TROUPE_EXIT_KILLED);
    stage_close(&scene.stage);
}

static const struct troupe_behaviour waiting_bus = {
    .name = "waiting bus",
    .state_size = TROUPE_EVENTS_STATE,
    .init = troupe_events_init,
    .receive = troupe_events_receive,
    .terminate = troupe_events_terminate,
    .destroy = troupe_events_destroy,
    .may_wait = true,
};

Test(events, a_manager_may_not_wait)
{
    struct stage stage;

    stage_open(&stage, TROUPE_NO_THREADS);
    (void)stage_spawn(&stage, &waiting_bus, NULL);
    stage_run(&stage);
    cr_assert(strstr(stage.text[TROUPE_REPORT_FAILURE], "may not wait") != NULL);
    stage_close(&stage);
}

/* ---- sys ---- */

struct asked {
    troupe_pid to;
    enum troupe_sys_op op;
    int status;
    struct troupe_sys_answer answer;
};

static int look(void *state, void *arg)
{
    (void)state;
    (void)arg;
    cr_assert_fail("a manager has no state to look at");
    return TROUPE_OK;
}

static int on_sys(
    struct troupe_actor *self, void *state, void *context, int status, struct troupe_message *reply)
{
    struct asked *asked = context;

    (void)self;
    (void)state;
    asked->status = status;
    if (reply != NULL) {
        asked->answer = *(const struct troupe_sys_answer *)troupe_body(reply);
    }
    return TROUPE_OK;
}

static int ask_sys(struct troupe_actor *self, void *arg)
{
    struct asked *asked = arg;
    bool looks = asked->op == TROUPE_SYS_INSPECT || asked->op == TROUPE_SYS_REPLACE;
    struct troupe_sys_question question = {.op = asked->op, .fn = looks ? look : NULL};

    asked->status = 1;
    return troupe_sys(self, asked->to, &question, 5000, on_sys, asked);
}

Test(events, a_manager_can_be_suspended_and_names_its_handlers)
{
    struct scene scene;
    struct errand errand = {.options.id.handler = &deaf};
    struct asked asked = {.op = TROUPE_SYS_SUSPEND};

    scene_open(&scene);
    asked.to = scene.manager;
    cr_assert_eq(add(&scene, (struct listener){.name = 'A'}), TROUPE_OK);
    cr_assert_eq(run_errand(&scene, do_add, &errand), TROUPE_OK);
    cr_assert_eq(stage_do(&scene.stage, scene.puppet, ask_sys, &asked), TROUPE_OK);
    cr_assert_eq(asked.status, TROUPE_OK);
    cr_assert_str_eq(asked.answer.text, "listener, deaf");
    send_events(&scene, "x");
    cr_assert_str_eq(scene.diary.text, "A+ ");
    asked.op = TROUPE_SYS_REPLACE;
    cr_assert_eq(stage_do(&scene.stage, scene.puppet, ask_sys, &asked), TROUPE_OK);
    cr_assert_eq(asked.status, TROUPE_EBUSY);
    asked.op = TROUPE_SYS_INSPECT;
    cr_assert_eq(stage_do(&scene.stage, scene.puppet, ask_sys, &asked), TROUPE_OK);
    cr_assert_eq(asked.status, TROUPE_EBUSY);
    asked.op = TROUPE_SYS_RESUME;
    cr_assert_eq(stage_do(&scene.stage, scene.puppet, ask_sys, &asked), TROUPE_OK);
    cr_assert_str_eq(scene.diary.text, "A+ Ax ");
    stage_close(&scene.stage);
}
