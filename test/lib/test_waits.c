/* SPDX-License-Identifier: MIT */
/* Waits: who waits for whom, as a list and as text. */
#include "sched/core.h"
#include "test/support/stage.h"

static const struct troupe_type ask = TROUPE_TYPE(uint64_t);
static const struct troupe_type answer = TROUPE_TYPE(uint64_t);

/* One that asks the next one when it is asked, or keeps the question. */
struct member {
    troupe_pid to; /* TROUPE_NOBODY: it keeps it */
    struct troupe_message *kept;
    _Atomic bool done;
};

static int member_init(struct troupe_actor *self, void *state, const void *arg)
{
    (void)self;
    *(struct member **)state = (struct member *)(uintptr_t)arg;
    return TROUPE_OK;
}

static int pass_on(struct troupe_actor *self, struct member *member, struct troupe_message *msg)
{
    uint64_t value = 1;

    if (member->to == TROUPE_NOBODY) {
        return troupe_take(self, msg, &member->kept);
    }
    TROUPE_TRY(troupe_call(self, member->to, &ask, &value, &answer, &value, TROUPE_FOREVER));
    return troupe_reply(self, msg, &answer, &value);
}

static int let_go(struct troupe_actor *self, void *arg)
{
    struct member *member = arg;
    uint64_t value = 7;

    return troupe_reply(self, member->kept, &answer, &value);
}

static int begin(struct troupe_actor *self, void *arg)
{
    struct member *member = arg;
    uint64_t value = 1;
    int error = troupe_call(self, member->to, &ask, &value, &answer, &value, TROUPE_FOREVER);

    member->done = error == TROUPE_OK;
    return error;
}

static int member_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct member *member = *(struct member **)state;
    int status;

    return stage_is_job(self, msg, &status) ? status : pass_on(self, member, msg);
}

static const struct troupe_behaviour clerk = {.name = "clerk",
    .state_size = sizeof(struct member *),
    .init = member_init,
    .receive = member_receive,
    .may_wait = true};
static const struct troupe_behaviour till = {.name = "a \"till\"",
    .state_size = sizeof(struct member *),
    .init = member_init,
    .receive = member_receive,
    .may_wait = true};

/* The first asks the second, which asks the third, which keeps the question. */
struct scene {
    struct stage stage;
    struct member members[3];
    troupe_pid pids[3];
};

static void scene_open(struct scene *scene)
{
    memset(scene, 0, sizeof *scene);
    stage_open(&scene->stage, TROUPE_NO_THREADS);
    for (unsigned i = 3; i-- > 0;) {
        scene->members[i].to = i < 2 ? scene->pids[i + 1] : TROUPE_NOBODY;
        scene->pids[i] = stage_spawn(&scene->stage, i < 2 ? &clerk : &till, &scene->members[i]);
    }
}

static void scene_wait(struct scene *scene)
{
    stage_tell(&scene->stage, scene->pids[0], begin, &scene->members[0]);
    stage_run(&scene->stage);
    cr_assert_not_null(scene->members[2].kept);
}

static void scene_go_on(struct scene *scene)
{
    stage_tell(&scene->stage, scene->pids[2], let_go, &scene->members[2]);
    stage_run(&scene->stage);
    cr_assert(scene->members[0].done);
}

static size_t count_of(struct scene *scene)
{
    size_t count = SIZE_MAX;

    cr_assert_eq(troupe_waits_list(scene->stage.runtime, NULL, 0, &count), TROUPE_OK);
    return count;
}

static const struct troupe_wait *find(const struct troupe_wait *waits, size_t count, troupe_pid pid)
{
    for (size_t i = 0; i < count; i++) {
        if (waits[i].pid == pid) {
            return &waits[i];
        }
    }
    return NULL;
}

Test(waits, whoever_waits_is_listed_with_whom_it_waits_for)
{
    struct troupe_wait waits[4];
    struct scene scene;
    size_t count;

    scene_open(&scene);
    cr_assert_eq(count_of(&scene), 0);
    scene_wait(&scene);
    cr_assert_eq(troupe_waits_list(scene.stage.runtime, waits, 4, &count), TROUPE_OK);
    cr_assert_eq(count, 2);
    for (unsigned i = 0; i < 2; i++) {
        const struct troupe_wait *wait = find(waits, count, scene.pids[i]);

        cr_assert_not_null(wait);
        cr_assert_eq(wait->to, scene.pids[i + 1]);
        cr_assert_str_eq(wait->actor, "clerk");
        cr_assert_str_eq(wait->to_actor, i == 0 ? "clerk" : "a \"till\"");
    }
    scene_go_on(&scene);
    cr_assert_eq(count_of(&scene), 0);
    stage_close(&scene.stage);
}

Test(waits, of_a_list_that_is_too_short_the_count_is_right)
{
    struct troupe_wait waits[2] = {{.pid = TROUPE_NOBODY}, {.pid = 42}};
    struct scene scene;
    size_t count;

    scene_open(&scene);
    scene_wait(&scene);
    cr_assert_eq(troupe_waits_list(scene.stage.runtime, waits, 1, &count), TROUPE_OK);
    cr_assert_eq(count, 2);
    cr_assert_neq(waits[0].pid, TROUPE_NOBODY);
    cr_assert_eq(waits[1].pid, 42);
    scene_go_on(&scene);
    stage_close(&scene.stage);
}

/* Slots are looked at in pieces. */
Test(waits, those_among_thousands_are_found)
{
    struct scene scene;
    static struct member idle[5000];

    memset(&scene, 0, sizeof scene);
    stage_open(&scene.stage, TROUPE_NO_THREADS);
    for (unsigned i = 0; i < TROUPE_COUNT(idle); i++) {
        (void)stage_spawn(&scene.stage, &clerk, &idle[i]);
    }
    for (unsigned i = 3; i-- > 0;) {
        scene.members[i].to = i < 2 ? scene.pids[i + 1] : TROUPE_NOBODY;
        scene.pids[i] = stage_spawn(&scene.stage, &clerk, &scene.members[i]);
    }
    scene_wait(&scene);
    cr_assert_eq(count_of(&scene), 2);
    scene_go_on(&scene);
    stage_close(&scene.stage);
}

/* The look stops nobody, and finds whole lines also of those that end meanwhile. */
Test(waits, all_may_be_looked_at_while_they_wait_and_end, .timeout = 60)
{
    struct stage stage;

    stage_open(&stage, 2);
    for (unsigned round = 0; round < 200; round++) {
        struct member members[2] = {{.to = TROUPE_NOBODY}, {.to = TROUPE_NOBODY}};
        struct troupe_wait wait;
        troupe_pid pids[2];
        size_t count;

        pids[1] = stage_spawn(&stage, &till, &members[1]);
        members[0].to = pids[1];
        pids[0] = stage_spawn(&stage, &clerk, &members[0]);
        stage_tell(&stage, pids[0], begin, &members[0]);
        do {
            cr_assert_eq(troupe_waits_list(stage.runtime, &wait, 1, &count), TROUPE_OK);
        } while (count == 0);
        cr_assert_eq(count, 1);
        cr_assert_eq(wait.pid, pids[0]);
        cr_assert_eq(wait.to, pids[1]);
        for (unsigned i = 0; i < 2; i++) {
            /* The other one may have ended by itself. */
            (void)!troupe_runtime_exit(stage.runtime, pids[(round + i) % 2], TROUPE_EXIT_KILL);
        }
        do {
            cr_assert_eq(troupe_waits_list(stage.runtime, &wait, 1, &count), TROUPE_OK);
        } while (count > 0);
        STAGE_AWAIT(&stage, stage_books(&stage).exited == 2 * (round + 1));
    }
    stage_close(&stage);
}

static void expect_text(
    struct scene *scene, enum troupe_waits_format format, const char *one, const char *other)
{
    char text[1024];
    char part[16] = "";
    size_t length;
    size_t again;

    cr_assert_eq(
        troupe_waits_write(scene->stage.runtime, format, text, sizeof text, &length), TROUPE_OK);
    cr_assert_eq(strlen(text), length);
    cr_assert_not_null(strstr(text, one), "no %s in:\n%s", one, text);
    cr_assert_not_null(strstr(text, other), "no %s in:\n%s", other, text);
    cr_assert_eq(
        troupe_waits_write(scene->stage.runtime, format, part, sizeof part, &again), TROUPE_OK);
    cr_assert_eq(again, length);
    cr_assert_eq(strlen(part), sizeof part - 1);
    cr_assert_eq(memcmp(part, text, sizeof part - 1), 0);
    cr_assert_eq(troupe_waits_write(scene->stage.runtime, format, NULL, 0, &again), TROUPE_OK);
    cr_assert_eq(again, length);
}

Test(waits, text_has_a_line_for_each)
{
    struct scene scene;
    char one[200];
    char other[200];

    scene_open(&scene);
    scene_wait(&scene);
    snprintf(one, sizeof one, "clerk (%llx) waits for clerk (%llx)\n",
        (unsigned long long)scene.pids[0], (unsigned long long)scene.pids[1]);
    snprintf(other, sizeof other, "clerk (%llx) waits for a \"till\" (%llx)\n",
        (unsigned long long)scene.pids[1], (unsigned long long)scene.pids[2]);
    expect_text(&scene, TROUPE_WAITS_TEXT, one, other);
    scene_go_on(&scene);
    stage_close(&scene.stage);
}

Test(waits, a_picture_has_an_arrow_for_each_and_its_names_are_quoted)
{
    struct scene scene;
    char one[200];
    char other[200];

    scene_open(&scene);
    scene_wait(&scene);
    snprintf(one, sizeof one, "digraph waits {\n    \"clerk (");
    snprintf(other, sizeof other, "    \"clerk (%llx)\" -> \"a \\\"till\\\" (%llx)\";\n",
        (unsigned long long)scene.pids[1], (unsigned long long)scene.pids[2]);
    expect_text(&scene, TROUPE_WAITS_GRAPHVIZ, one, other);
    scene_go_on(&scene);
    stage_close(&scene.stage);
}

Test(waits, where_nobody_waits_text_is_empty)
{
    struct scene scene;
    char text[40] = "not yet";
    size_t length;

    scene_open(&scene);
    cr_assert_eq(
        troupe_waits_write(scene.stage.runtime, TROUPE_WAITS_TEXT, text, sizeof text, &length),
        TROUPE_OK);
    cr_assert_eq(length, 0);
    cr_assert_str_empty(text);
    cr_assert_eq(
        troupe_waits_write(scene.stage.runtime, TROUPE_WAITS_GRAPHVIZ, text, sizeof text, &length),
        TROUPE_OK);
    cr_assert_str_eq(text, "digraph waits {\n}\n");
    stage_close(&scene.stage);
}

Test(waits, wrong_arguments_are_refused)
{
    struct troupe_wait wait;
    struct stage stage;
    char text[8];
    size_t count;

    stage_open(&stage, TROUPE_NO_THREADS);
    cr_assert_eq(troupe_waits_list(NULL, &wait, 1, &count), TROUPE_EINVAL);
    cr_assert_eq(troupe_waits_list(stage.runtime, NULL, 1, &count), TROUPE_EINVAL);
    cr_assert_eq(troupe_waits_list(stage.runtime, &wait, 1, NULL), TROUPE_EINVAL);
    cr_assert_eq(troupe_waits_write(NULL, TROUPE_WAITS_TEXT, text, 8, &count), TROUPE_EINVAL);
    cr_assert_eq(
        troupe_waits_write(stage.runtime, TROUPE_WAITS_TEXT, NULL, 8, &count), TROUPE_EINVAL);
    cr_assert_eq(
        troupe_waits_write(stage.runtime, TROUPE_WAITS_TEXT, text, 8, NULL), TROUPE_EINVAL);
    cr_assert_eq(troupe_waits_write(stage.runtime, (enum troupe_waits_format)2, text, 8, &count),
        TROUPE_EINVAL);
    stage_close(&stage);
}
