/* SPDX-License-Identifier: MIT */
/* Via: names in registries of the user's (semantics 3.10). */
#include "child.h"

#include "test/support/family.h"
#include "test/support/stage.h"

/* ---- a registry of one's own ---- */

struct book {
    pthread_mutex_t mutex;
    struct {
        char name[TROUPE_NAME_MAX + 1];
        troupe_pid pid;
    } rows[8];
    int error; /* of the next enter */
    unsigned entered, left, sent;
};

static int book_enter(void *context, const char *name, troupe_pid pid)
{
    struct book *book = context;
    int free_row = -1;
    int error = book->error;

    pthread_mutex_lock(&book->mutex);
    for (int i = 0; i < 8 && error == TROUPE_OK; i++) {
        if (book->rows[i].pid == TROUPE_NOBODY) {
            free_row = i;
        } else if (strcmp(book->rows[i].name, name) == 0) {
            error = TROUPE_EEXIST;
        }
    }
    if (error == TROUPE_OK && free_row >= 0) {
        snprintf(book->rows[free_row].name, sizeof book->rows[0].name, "%s", name);
        book->rows[free_row].pid = pid;
        book->entered++;
    }
    pthread_mutex_unlock(&book->mutex);
    return error;
}

static void book_leave(void *context, const char *name, troupe_pid pid)
{
    struct book *book = context;

    pthread_mutex_lock(&book->mutex);
    for (int i = 0; i < 8; i++) {
        if (book->rows[i].pid == pid && strcmp(book->rows[i].name, name) == 0) {
            book->rows[i].pid = TROUPE_NOBODY;
            book->left++;
        }
    }
    pthread_mutex_unlock(&book->mutex);
}

static troupe_pid book_whereis(void *context, const char *name)
{
    struct book *book = context;
    troupe_pid pid = TROUPE_NOBODY;

    pthread_mutex_lock(&book->mutex);
    for (int i = 0; i < 8; i++) {
        if (book->rows[i].pid != TROUPE_NOBODY && strcmp(book->rows[i].name, name) == 0) {
            pid = book->rows[i].pid;
        }
    }
    pthread_mutex_unlock(&book->mutex);
    return pid;
}

static int book_send(void *context, struct troupe_actor *self, const char *name,
    const struct troupe_type *type, const void *body)
{
    struct book *book = context;

    book->sent++;
    return troupe_send(self, book_whereis(book, name), type, body);
}

static const struct troupe_registry_ops plain_ops = {
    .enter = book_enter, .leave = book_leave, .whereis = book_whereis};
static const struct troupe_registry_ops sending_ops = {
    .enter = book_enter, .leave = book_leave, .whereis = book_whereis, .send = book_send};

static struct book book = {.mutex = PTHREAD_MUTEX_INITIALIZER};
static const struct troupe_via via = {&plain_ops, &book};
static const struct troupe_via sending = {&sending_ops, &book};

static const struct troupe_type number = TROUPE_TYPE(uint64_t);
static const struct troupe_type stop = TROUPE_SIGNAL;
static _Atomic uint64_t received;
static _Atomic uint64_t found_in_init;

static int named_init(struct troupe_actor *self, void *state, const void *arg)
{
    (void)state;
    (void)arg;
    found_in_init = troupe_whereis_via(&via, "one") == troupe_self(self);
    return TROUPE_OK;
}

static int named_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    (void)self;
    (void)state;
    if (troupe_is(msg, &number)) {
        received = *(const uint64_t *)troupe_body(msg);
        return TROUPE_OK;
    }
    return troupe_is(msg, &stop) ? troupe_fail(self, TROUPE_EPROTO, "told to") : TROUPE_EUNKNOWN;
}

static const struct troupe_behaviour named = {
    .name = "named", .init = named_init, .receive = named_receive};

static int spawn_named(struct stage *stage, troupe_pid *out_pid, troupe_pid *out_holder)
{
    struct troupe_spawn_options options = {
        .behaviour = &named, .name = "one", .via = &via, .holder = out_holder};

    return troupe_runtime_spawn(stage->runtime, &options, out_pid);
}

/* ---- at the spawn ---- */

Test(via, a_name_is_taken_there_before_init_and_not_in_the_runtime, .timeout = 60)
{
    struct stage stage;
    troupe_pid pid;

    stage_open(&stage, TROUPE_NO_THREADS);
    cr_assert_eq(spawn_named(&stage, &pid, NULL), TROUPE_OK);
    cr_assert_eq(troupe_whereis_via(&via, "one"), pid);
    cr_assert_eq(troupe_runtime_whereis(stage.runtime, "one"), TROUPE_NOBODY);
    stage_run(&stage);
    cr_assert(found_in_init);
    stage_close(&stage);
    cr_assert_eq(troupe_whereis_via(&via, "one"), TROUPE_NOBODY);
    cr_assert_eq(book.left, 1);
}

struct noticing {
    troupe_pid pid;
    troupe_pid found;
    bool told;
};

static int watch_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct noticing *noticing = *(struct noticing **)state;

    (void)self;
    if (troupe_is(msg, &troupe_down)) {
        noticing->found = troupe_whereis_via(&via, "one");
        noticing->told = true;
    }
    return TROUPE_OK;
}

static int watch_init(struct troupe_actor *self, void *state, const void *arg)
{
    struct noticing *noticing = (struct noticing *)(uintptr_t)arg;
    troupe_ref ref;

    *(struct noticing **)state = noticing;
    return troupe_monitor(self, noticing->pid, &ref);
}

static const struct troupe_behaviour watching = {.name = "watching",
    .state_size = sizeof(struct noticing *),
    .init = watch_init,
    .receive = watch_receive};

Test(via, the_name_is_free_before_anybody_is_told_of_the_end, .timeout = 60)
{
    struct noticing noticing = {.found = 1};
    struct stage stage;

    stage_open(&stage, TROUPE_NO_THREADS);
    cr_assert_eq(spawn_named(&stage, &noticing.pid, NULL), TROUPE_OK);
    (void)stage_spawn(&stage, &watching, &noticing);
    stage_run(&stage);
    stage_send(&stage, noticing.pid, &stop, NULL);
    stage_run(&stage);
    cr_assert(noticing.told);
    cr_assert_eq(noticing.found, TROUPE_NOBODY);
    stage_close(&stage);
}

Test(via, who_loses_the_name_is_not_spawned_and_learns_who_has_it, .timeout = 60)
{
    struct stage stage;
    troupe_pid first;
    troupe_pid second = TROUPE_NOBODY;
    troupe_pid holder = TROUPE_NOBODY;
    uint64_t spawned;

    stage_open(&stage, TROUPE_NO_THREADS);
    cr_assert_eq(spawn_named(&stage, &first, NULL), TROUPE_OK);
    cr_assert_eq(spawn_named(&stage, &second, &holder), TROUPE_EEXIST);
    cr_assert_eq(second, TROUPE_NOBODY);
    cr_assert_eq(holder, first);
    stage_run(&stage);
    spawned = stage_books(&stage).spawned - stage_books(&stage).exited;
    cr_assert_eq(spawned, 1);
    stage_close(&stage);
}

Test(via, an_error_of_the_registry_is_that_of_the_spawn, .timeout = 60)
{
    struct stage stage;
    troupe_pid pid = TROUPE_NOBODY;

    stage_open(&stage, TROUPE_NO_THREADS);
    book.error = -1000;
    cr_assert_eq(spawn_named(&stage, &pid, NULL), -1000);
    cr_assert_eq(pid, TROUPE_NOBODY);
    book.error = TROUPE_OK;
    cr_assert_eq(spawn_named(&stage, &pid, NULL), TROUPE_OK);
    stage_close(&stage);
    cr_assert_eq(book.entered, 1);
    cr_assert_eq(book.left, 1);
}

Test(via, whatever_else_fails_the_name_is_given_back, .timeout = 60)
{
    struct troupe_spawn_options options = {
        .behaviour = &named, .name = "one", .via = &via, .group = "g"};
    int error = TROUPE_ENOMEM;

    for (uint64_t k = 1; error == TROUPE_ENOMEM; k++) {
        struct stage stage;
        troupe_pid pid;

        stage_open(&stage, TROUPE_NO_THREADS);
        stage.memory.fail_at = stage.memory.calls + k;
        error = troupe_runtime_spawn(stage.runtime, &options, &pid);
        cr_assert(error == TROUPE_OK || error == TROUPE_ENOMEM);
        cr_assert_eq(book.entered - book.left, error == TROUPE_OK ? 1 : 0, "allocation %llu",
            (unsigned long long)k);
        stage_close(&stage);
        cr_assert_eq(book.entered, book.left);
    }
    cr_assert_gt(book.entered, 1, "the group comes after the name");
}

/* ---- in a callback ---- */

static int register_twice(struct troupe_actor *self, void *arg)
{
    (void)arg;
    cr_assert_eq(troupe_unregister_via(self, &via, "two"), TROUPE_ENOENT);
    cr_assert_eq(troupe_register_via(self, &via, "two"), TROUPE_OK);
    cr_assert_eq(troupe_register_via(self, &via, "two"), TROUPE_EEXIST);
    cr_assert_eq(troupe_register_via(self, &via, "three"), TROUPE_OK);
    cr_assert_eq(troupe_whereis_via(&via, "two"), troupe_self(self));
    cr_assert_eq(troupe_unregister_via(self, &via, "two"), TROUPE_OK);
    cr_assert_eq(troupe_whereis_via(&via, "two"), TROUPE_NOBODY);
    cr_assert_eq(troupe_whereis_via(&via, "three"), troupe_self(self));
    return TROUPE_OK;
}

Test(via, an_actor_registers_and_unregisters_itself, .timeout = 60)
{
    struct stage stage;

    stage_open(&stage, TROUPE_NO_THREADS);
    cr_assert_eq(stage_do(&stage, stage_spawn(&stage, &stage_puppet, NULL), register_twice, NULL),
        TROUPE_OK);
    stage_close(&stage);
    cr_assert_eq(book.entered, 2);
    cr_assert_eq(book.left, 2);
}

static int send_both(struct troupe_actor *self, void *arg)
{
    uint64_t seven = 7;

    cr_assert_eq(troupe_send_via(self, arg, "one", &number, &seven), TROUPE_OK);
    cr_assert_eq(troupe_send_via(self, &via, "nobody", &number, &seven), TROUPE_ENOENT);
    return TROUPE_OK;
}

Test(via, messages_go_by_its_own_send_or_to_whom_it_says, .timeout = 60)
{
    struct stage stage;
    troupe_pid puppet;
    troupe_pid pid;

    stage_open(&stage, TROUPE_NO_THREADS);
    puppet = stage_spawn(&stage, &stage_puppet, NULL);
    cr_assert_eq(spawn_named(&stage, &pid, NULL), TROUPE_OK);
    cr_assert_eq(stage_do(&stage, puppet, send_both, (void *)(uintptr_t)&via), TROUPE_OK);
    cr_assert_eq(received, 7);
    cr_assert_eq(book.sent, 0);
    received = 0;
    cr_assert_eq(stage_do(&stage, puppet, send_both, (void *)(uintptr_t)&sending), TROUPE_OK);
    cr_assert_eq(received, 7);
    cr_assert_eq(book.sent, 1);
    stage_close(&stage);
}

/* ---- children ---- */

static void check_child(bool keep_mailbox)
{
    const struct troupe_child_spec child = {
        .id = "one", .behaviour = &named, .via = &via, .keep_mailbox = keep_mailbox};
    const struct troupe_supervisor_spec spec = {
        .name = keep_mailbox ? "top" : NULL, .children = &child, .child_count = 1};
    const char *name = keep_mailbox ? "top.one" : "one";
    struct stage stage;
    troupe_pid first;

    stage_open(&stage, 2);
    (void)start(stage.runtime, &spec);
    first = troupe_whereis_via(&via, name);
    cr_assert_neq(first, TROUPE_NOBODY);
    cr_assert_eq(troupe_runtime_whereis(stage.runtime, name), TROUPE_NOBODY);
    stage_send(&stage, first, &stop, NULL);
    STAGE_AWAIT(&stage, stage_books(&stage).restarts == 1);
    STAGE_AWAIT(&stage, troupe_whereis_via(&via, name) != TROUPE_NOBODY);
    cr_assert_eq(troupe_whereis_via(&via, name) == first, keep_mailbox);
    cr_assert_eq(book.entered - book.left, 1);
    stage_close(&stage);
    cr_assert_eq(book.entered, book.left);
    cr_assert_eq(book.entered, keep_mailbox ? 1 : 2);
}

Test(via, a_child_has_its_name_there_in_every_life, .timeout = 60)
{
    check_child(false);
}

Test(via, a_child_that_keeps_its_address_keeps_its_name_there, .timeout = 60)
{
    check_child(true);
}

Test(via, a_child_whose_name_is_taken_there_does_not_start, .timeout = 60)
{
    const struct troupe_child_spec child = {.id = "one", .behaviour = &named, .via = &via};
    const struct troupe_supervisor_spec spec = {.children = &child, .child_count = 1};
    struct stage stage;
    troupe_pid supervisor;
    troupe_pid pid;

    stage_open(&stage, 2);
    cr_assert_eq(spawn_named(&stage, &pid, NULL), TROUPE_OK);
    cr_assert_eq(
        troupe_supervisor_start(stage.runtime, &spec, TROUPE_FOREVER, &supervisor), TROUPE_EEXIST);
    stage_close(&stage);
}
