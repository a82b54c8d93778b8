/* SPDX-License-Identifier: MIT */
/*
 * Arguments: every public function is called with NULL where something is required and with values out of range, and
 * says TROUPE_EINVAL; those that return no error take NULL without harm.
 *
 * Left out: troupe_exit() and troupe_abandon(), which cannot return, and end the program when they are misused.
 */
#include "test/support/stage.h"

#include <fcntl.h>

#include <troupe/call.h>
#include <troupe/io.h>
#include <troupe/link.h>
#include <troupe/net.h>
#include <troupe/registry.h>
#include <troupe/supervisor.h>
#include <troupe/timer.h>

/* ---- what is right, and what is wrong with it ---- */

static const struct troupe_type number = TROUPE_TYPE(uint64_t);
static const struct troupe_type none = TROUPE_SIGNAL;
static const struct troupe_type bytes = TROUPE_BYTES;
static const struct troupe_type large = {"large", TROUPE_TICK_BODY_MAX + 1, NULL, false};

static void destroy_nothing(void *body)
{
    (void)body;
}

static const struct troupe_type destroyed = TROUPE_TYPE_DESTROY(uint64_t, destroy_nothing);

static const struct troupe_behaviour nameless = {.receive = stage_puppet_receive};
static const struct troupe_behaviour deaf = {.name = "deaf"};
static const struct troupe_behaviour wide = {
    .name = "wide", .receive = stage_puppet_receive, .capacity = TROUPE_CAPACITY_MAX + 1};
static const struct troupe_behaviour heavy = {.name = "heavy",
    .receive = stage_puppet_receive,
    .capacity_bytes = TROUPE_CAPACITY_BYTES_MAX + 1};

#define LONG_NAME                                                                                  \
    "0123456789012345678901234567890123456789012345678901234567890123"                             \
    "0123456789012345678901234567890123456789012345678901234567890123"

_Static_assert(sizeof LONG_NAME - 1 == TROUPE_NAME_MAX + 1, "one byte too long");

static int note_reply(
    struct troupe_actor *self, void *state, void *context, int status, struct troupe_message *reply)
{
    (void)self;
    (void)state;
    (void)context;
    (void)status;
    (void)reply;
    cr_assert_fail("a request that was refused has no outcome");
    return TROUPE_OK;
}

/* ---- tables ---- */

struct row {
    const char *call;
    int result;
};

#define ROW(call)                                                                                  \
    {                                                                                              \
#call, call                                                                                \
    }

static void check_rows(const struct row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        cr_expect_eq(rows[i].result, TROUPE_EINVAL, "%s is %d", rows[i].call, rows[i].result);
    }
}

/* What the rows need. */
struct props {
    troupe_pid other;
    struct troupe_message *msg;     /* a plain one, ours */
    struct troupe_message *current; /* NULL, or what is being handled */
    int blocking_fd;
};

static struct troupe_spawn_options spawn_of(const struct troupe_behaviour *behaviour)
{
    return (struct troupe_spawn_options){.behaviour = behaviour};
}

/* ---- in a handler ---- */

static void check_sends(struct troupe_actor *self, const struct props *props)
{
    uint64_t body = 1;
    troupe_pid to = props->other;
    struct troupe_message *holes[2] = {props->msg, NULL};
    struct troupe_message *kept;
    const struct row rows[] = {
        ROW(troupe_send(NULL, to, &number, &body)),
        ROW(troupe_send(self, to, NULL, &body)),
        ROW(troupe_send(self, to, &number, NULL)),
        ROW(troupe_send(self, to, &none, &body)),
        ROW(troupe_send_bytes(NULL, to, &bytes, &body, 8)),
        ROW(troupe_send_bytes(self, to, NULL, &body, 8)),
        ROW(troupe_send_bytes(self, to, &bytes, NULL, 8)),
        ROW(troupe_send_bytes(self, to, &bytes, &body, 0)),
        ROW(troupe_send_bytes(self, to, &bytes, &body, TROUPE_BODY_MAX + 1)),
        ROW(troupe_send_bytes(self, to, &number, &body, 7)),
        ROW(troupe_send_bytes(self, to, &number, &body, 9)),
        ROW(troupe_send_message(NULL, to, props->msg)),
        ROW(troupe_send_message(self, to, NULL)),
        ROW(troupe_send_message(self, to, props->current)),
        ROW(troupe_forward(NULL, to, props->current)),
        ROW(troupe_forward(self, to, NULL)),
        ROW(troupe_forward(self, to, props->msg)),
        ROW(troupe_send_batch(NULL, to, holes, 1)),
        ROW(troupe_send_batch(self, to, NULL, 1)),
        ROW(troupe_send_batch(self, to, holes, 2)),
        ROW(troupe_send_batch(self, to, holes, (size_t)TROUPE_CAPACITY_MAX + 1)),
        ROW(troupe_send_name(NULL, "name", &number, &body)),
        ROW(troupe_send_name(self, NULL, &number, &body)),
        ROW(troupe_send_name(self, "", &number, &body)),
        ROW(troupe_send_name(self, LONG_NAME, &number, &body)),
        ROW(troupe_try_send(NULL, to, props->msg)),
        ROW(troupe_try_send(troupe_runtime_of(self), to, NULL)),
        ROW(troupe_send_wait(troupe_runtime_of(self), to, props->msg, 10)),
        ROW(troupe_take(NULL, props->current, &kept)),
        ROW(troupe_take(self, NULL, &kept)),
        ROW(troupe_take(self, props->msg, &kept)),
        ROW(troupe_take(self, props->current, NULL)),
    };

    check_rows(rows, TROUPE_COUNT(rows));
}

static void check_calls(struct troupe_actor *self, const struct props *props)
{
    uint64_t body = 1;
    troupe_pid to = props->other;
    const struct row rows[] = {
        ROW(troupe_request(NULL, to, &number, &body, 1, note_reply, NULL)),
        ROW(troupe_request(self, to, NULL, &body, 1, note_reply, NULL)),
        ROW(troupe_request(self, to, &number, NULL, 1, note_reply, NULL)),
        ROW(troupe_request(self, to, &none, &body, 1, note_reply, NULL)),
        ROW(troupe_request(self, to, &number, &body, 0, note_reply, NULL)),
        ROW(troupe_request(self, to, &number, &body, -2, note_reply, NULL)),
        ROW(troupe_request(self, to, &number, &body, 1, NULL, NULL)),
        ROW(troupe_request_message(NULL, to, props->msg, 1, note_reply, NULL)),
        ROW(troupe_request_message(self, to, NULL, 1, note_reply, NULL)),
        ROW(troupe_request_message(self, to, props->current, 1, note_reply, NULL)),
        ROW(troupe_request_message(self, to, props->msg, 0, note_reply, NULL)),
        ROW(troupe_request_message(self, to, props->msg, -2, note_reply, NULL)),
        ROW(troupe_request_message(self, to, props->msg, 1, NULL, NULL)),
        ROW(troupe_reply(NULL, props->current, &number, &body)),
        ROW(troupe_reply(self, NULL, &number, &body)),
        ROW(troupe_reply(self, props->current, &number, &body)), /* no request */
        ROW(troupe_reply_message(NULL, props->current, props->msg)),
        ROW(troupe_reply_message(self, NULL, props->msg)),
        ROW(troupe_reply_message(self, props->current, props->msg)),
        ROW(troupe_reply_error(NULL, props->current, -1)),
        ROW(troupe_reply_error(self, NULL, -1)),
        ROW(troupe_reply_error(self, props->current, -1)),
    };

    check_rows(rows, TROUPE_COUNT(rows));
}

static void check_timers(struct troupe_actor *self)
{
    uint64_t body[8] = {1};
    const struct row rows[] = {
        ROW(troupe_tick_after(NULL, 1, &number, body, NULL)),
        ROW(troupe_tick_after(self, 1, NULL, body, NULL)),
        ROW(troupe_tick_after(self, 1, &number, NULL, NULL)),
        ROW(troupe_tick_after(self, 1, &none, body, NULL)),
        ROW(troupe_tick_after(self, 1, &large, body, NULL)),
        ROW(troupe_tick_after(self, TROUPE_DELAY_MAX_MS + 1, &number, body, NULL)),
        ROW(troupe_tick_every(NULL, 1, &number, body, NULL)),
        ROW(troupe_tick_every(self, 1, NULL, body, NULL)),
        ROW(troupe_tick_every(self, 1, &number, NULL, NULL)),
        ROW(troupe_tick_every(self, 1, &large, body, NULL)),
        ROW(troupe_tick_every(self, 0, &number, body, NULL)),
        ROW(troupe_tick_every(self, TROUPE_DELAY_MAX_MS + 1, &number, body, NULL)),
        ROW(troupe_tick_every(self, 1, &destroyed, body, NULL)),
        ROW(troupe_timer_cancel(NULL, (struct troupe_timer){NULL, 0})),
    };

    check_rows(rows, TROUPE_COUNT(rows));
}

static void check_links(struct troupe_actor *self, const struct props *props)
{
    troupe_pid me = troupe_self(self);
    troupe_pid other = props->other;
    troupe_ref ref;
    const struct row rows[] = {
        ROW(troupe_monitor(NULL, other, &ref)),
        ROW(troupe_monitor(self, TROUPE_NOBODY, &ref)),
        ROW(troupe_monitor(self, me, &ref)),
        ROW(troupe_monitor(self, other, NULL)),
        ROW(troupe_demonitor(NULL, 1)),
        ROW(troupe_link(NULL, other)),
        ROW(troupe_link(self, TROUPE_NOBODY)),
        ROW(troupe_send_exit(NULL, other, TROUPE_EXIT_SHUTDOWN)),
        ROW(troupe_send_exit(self, TROUPE_NOBODY, TROUPE_EXIT_SHUTDOWN)),
        ROW(troupe_send_exit(self, other, TROUPE_EXIT_ERROR)),
        ROW(troupe_send_exit(self, other, (enum troupe_exit)99)),
        ROW(troupe_runtime_exit(NULL, other, TROUPE_EXIT_SHUTDOWN)),
        ROW(troupe_runtime_exit(troupe_runtime_of(self), TROUPE_NOBODY, TROUPE_EXIT_SHUTDOWN)),
        ROW(troupe_runtime_exit(troupe_runtime_of(self), other, TROUPE_EXIT_ERROR)),
        ROW(troupe_kill(NULL, other)),
        ROW(troupe_kill(self, TROUPE_NOBODY)),
        ROW(troupe_join(troupe_runtime_of(self), other, 0, NULL)),
        ROW(troupe_register(NULL, "name")),
        ROW(troupe_register(self, NULL)),
        ROW(troupe_register(self, "")),
        ROW(troupe_register(self, LONG_NAME)),
        ROW(troupe_unregister(NULL, "name")),
        ROW(troupe_unregister(self, NULL)),
        ROW(troupe_unregister(self, "")),
    };

    check_rows(rows, TROUPE_COUNT(rows));
    troupe_unlink(NULL, other);
    troupe_unlink(self, TROUPE_NOBODY);
    cr_expect_not(troupe_trap_exit(NULL, true));
    cr_expect_eq(troupe_whereis(NULL, "name"), TROUPE_NOBODY);
    cr_expect_eq(troupe_whereis(self, NULL), TROUPE_NOBODY);
    cr_expect_eq(troupe_whereis(self, LONG_NAME), TROUPE_NOBODY);
}

static void check_spawns(struct troupe_actor *self)
{
    struct troupe_spawn_options right = spawn_of(&stage_puppet);
    struct troupe_spawn_options no_behaviour = spawn_of(NULL);
    struct troupe_spawn_options no_name = spawn_of(&nameless);
    struct troupe_spawn_options no_receive = spawn_of(&deaf);
    struct troupe_spawn_options too_wide = spawn_of(&wide);
    struct troupe_spawn_options too_heavy = spawn_of(&heavy);
    struct troupe_spawn_options no_arg = {.behaviour = &stage_puppet, .arg_size = 1};
    struct troupe_spawn_options endless_arg = {
        .behaviour = &stage_puppet, .arg = self, .arg_size = (size_t)UINT32_MAX + 1};
    struct troupe_spawn_options empty_name = {.behaviour = &stage_puppet, .name = ""};
    struct troupe_spawn_options long_name = {.behaviour = &stage_puppet, .name = LONG_NAME};
    troupe_pid pid;
    const struct row rows[] = {
        ROW(troupe_spawn(NULL, &right, &pid)),
        ROW(troupe_spawn(self, NULL, &pid)),
        ROW(troupe_spawn(self, &right, NULL)),
        ROW(troupe_spawn_sized(self, &right, 0, &pid)),
        ROW(troupe_spawn(self, &no_behaviour, &pid)),
        ROW(troupe_spawn(self, &no_name, &pid)),
        ROW(troupe_spawn(self, &no_receive, &pid)),
        ROW(troupe_spawn(self, &too_wide, &pid)),
        ROW(troupe_spawn(self, &too_heavy, &pid)),
        ROW(troupe_spawn(self, &no_arg, &pid)),
        ROW(troupe_spawn(self, &endless_arg, &pid)),
        ROW(troupe_spawn(self, &empty_name, &pid)),
        ROW(troupe_spawn(self, &long_name, &pid)),
    };

    check_rows(rows, TROUPE_COUNT(rows));
}

static void check_children(struct troupe_actor *self, const struct props *props)
{
    static const struct troupe_child_spec right = {.id = "a", .behaviour = &stage_puppet};
    static const struct troupe_child_spec no_id = {.behaviour = &stage_puppet};
    troupe_pid to = props->other;
    const struct row rows[] = {
        ROW(troupe_child(NULL, to, TROUPE_CHILD_WHICH, "a", NULL, 1, note_reply, NULL)),
        ROW(troupe_child(self, to, (enum troupe_child_op)99, "a", NULL, 1, note_reply, NULL)),
        ROW(troupe_child(self, to, TROUPE_CHILD_WHICH, NULL, NULL, 1, note_reply, NULL)),
        ROW(troupe_child(self, to, TROUPE_CHILD_WHICH, "", NULL, 1, note_reply, NULL)),
        ROW(troupe_child(self, to, TROUPE_CHILD_START, NULL, NULL, 1, note_reply, NULL)),
        ROW(troupe_child(self, to, TROUPE_CHILD_START, NULL, &no_id, 1, note_reply, NULL)),
        ROW(troupe_child(self, to, TROUPE_CHILD_START, NULL, &right, 0, note_reply, NULL)),
        ROW(troupe_child(self, to, TROUPE_CHILD_WHICH, "a", NULL, -2, note_reply, NULL)),
        ROW(troupe_child(self, to, TROUPE_CHILD_WHICH, "a", NULL, 1, NULL, NULL)),
        ROW(troupe_children(NULL, to, 0, 1, 1, note_reply, NULL)),
        ROW(troupe_children(self, to, 0, 1, 0, note_reply, NULL)),
        ROW(troupe_children(self, to, 0, 1, -2, note_reply, NULL)),
        ROW(troupe_children(self, to, 0, 1, 1, NULL, NULL)),
    };

    check_rows(rows, TROUPE_COUNT(rows));
}

static void check_own(struct troupe_actor *self, const struct props *props)
{
    struct troupe_io *io;
    const struct row rows[] = {
        ROW(troupe_fail(NULL, 0, NULL)), /* a code that is none */
        ROW(troupe_defer(NULL, destroy_nothing, NULL)),
        ROW(troupe_defer(self, NULL, NULL)),
        ROW(troupe_undefer(NULL, destroy_nothing, NULL)),
        ROW(troupe_undefer(self, NULL, NULL)),
        ROW(troupe_io_open(NULL, 0, NULL, &io)),
        ROW(troupe_io_open(self, -1, NULL, &io)),
        ROW(troupe_io_open(self, 1000000, NULL, &io)),
        ROW(troupe_io_open(self, props->blocking_fd, NULL, &io)),
        ROW(troupe_io_open(self, props->blocking_fd, NULL, NULL)),
        ROW(troupe_io_fd(NULL)),
    };

    check_rows(rows, TROUPE_COUNT(rows));
    troupe_io_again(self, NULL);
    troupe_io_again(NULL, NULL);
    troupe_io_close(self, NULL);
    troupe_io_close(NULL, NULL);
    cr_expect_null(troupe_arena_alloc(NULL, 8));
    cr_expect_null(troupe_arena_alloc(self, 0));
    cr_expect_null(troupe_arena_alloc(self, SIZE_MAX));
}

static int check_everything(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct props *props = *(struct props **)state;

    props->current = msg;
    check_sends(self, props);
    check_calls(self, props);
    check_timers(self);
    check_links(self, props);
    check_spawns(self);
    check_children(self, props);
    check_own(self, props);
    return TROUPE_DONE;
}

static int props_init(struct troupe_actor *self, void *state, const void *arg)
{
    (void)self;
    *(struct props **)state = (struct props *)(uintptr_t)arg;
    return TROUPE_OK;
}

static const struct troupe_behaviour checker = {.name = "checker",
    .state_size = sizeof(struct props *),
    .init = props_init,
    .receive = check_everything};

Test(arguments, in_a_handler_wrong_ones_are_refused, .timeout = 60)
{
    struct stage stage;
    struct stage_end end;
    struct props props = {0};
    troupe_pid pid;

    stage_open(&stage, TROUPE_NO_THREADS);
    props.other = stage_spawn(&stage, &stage_puppet, NULL);
    props.msg = stage_message(&stage, &number, &(uint64_t){1});
    props.blocking_fd = open("/dev/null", O_RDONLY);
    pid = stage_spawn(&stage, &checker, &props);
    stage_watch(&stage, pid, &end);
    stage_send(&stage, pid, &number, &(uint64_t){1});
    stage_run(&stage);
    cr_assert_eq(end.count, 1);
    cr_assert_eq(end.kind, TROUPE_EXIT_NORMAL, "it came to the end of its tables");
    cr_assert_eq(
        stage_books(&stage).spawned, 3, "puppet, checker, witness: nothing else was spawned");
    cr_assert_eq(stage_books(&stage).refused, 0, "what is wrong is not sent");
    close(props.blocking_fd);
    troupe_message_destroy(props.msg);
    stage_close(&stage);
}

/* ---- a `self` that is not the caller's ---- */

static int keep_self(struct troupe_actor *self, void *arg)
{
    *(struct troupe_actor **)arg = self;
    return TROUPE_OK;
}

Test(arguments, an_actor_cannot_be_used_outside_of_its_callbacks, .timeout = 60)
{
    struct stage stage;
    struct troupe_actor *self = NULL;
    struct troupe_spawn_options options = spawn_of(&stage_puppet);
    struct troupe_timer timer;
    uint64_t body = 1;
    troupe_ref ref;
    troupe_pid other;
    troupe_pid pid;

    stage_open(&stage, TROUPE_NO_THREADS);
    other = stage_spawn(&stage, &stage_puppet, NULL);
    (void)stage_do(&stage, stage_spawn(&stage, &stage_puppet, NULL), keep_self, &self);
    cr_assert_not_null(self);
    {
        const struct row rows[] = {
            ROW(troupe_send(self, other, &number, &body)),
            ROW(troupe_request(self, other, &number, &body, 1, note_reply, NULL)),
            ROW(troupe_tick_after(self, 1, &number, &body, &timer)),
            ROW(troupe_tick_every(self, 1, &number, &body, &timer)),
            ROW(troupe_monitor(self, other, &ref)),
            ROW(troupe_link(self, other)),
            ROW(troupe_kill(self, other)),
            ROW(troupe_register(self, "name")),
            ROW(troupe_spawn(self, &options, &pid)),
            ROW(troupe_defer(self, destroy_nothing, NULL)),
        };

        check_rows(rows, TROUPE_COUNT(rows));
    }
    cr_assert_null(troupe_arena_alloc(self, 8));
    stage_close(&stage);
}

/* ---- on any thread ---- */

static void check_messages(struct troupe_runtime *runtime, const struct props *props)
{
    struct troupe_message *msg;
    struct troupe_buffer *buffer;
    uint32_t length;
    const struct row rows[] = {
        ROW(troupe_message_create(NULL, &number, 0, &msg)),
        ROW(troupe_message_create(runtime, NULL, 0, &msg)),
        ROW(troupe_message_create(runtime, &number, 0, NULL)),
        ROW(troupe_message_create(runtime, &number, 7, &msg)),
        ROW(troupe_message_create(runtime, &number, 9, &msg)),
        ROW(troupe_message_create(runtime, &bytes, TROUPE_BODY_MAX + 1, &msg)),
        ROW(troupe_message_create(runtime, &bytes, SIZE_MAX, &msg)),
        ROW(troupe_buffer_create(NULL, 8, &buffer)),
        ROW(troupe_buffer_create(runtime, 8, NULL)),
        ROW(troupe_buffer_create(runtime, SIZE_MAX, &buffer)),
        ROW(troupe_try_send(NULL, props->other, props->msg)),
        ROW(troupe_try_send(runtime, props->other, NULL)),
        ROW(troupe_send_wait(NULL, props->other, props->msg, 0)),
        ROW(troupe_send_wait(runtime, props->other, NULL, 0)),
        ROW(troupe_send_wait(runtime, props->other, props->msg, -2)),
        ROW(troupe_mailbox_length(NULL, props->other, &length)),
        ROW(troupe_mailbox_length(runtime, props->other, NULL)),
    };

    check_rows(rows, TROUPE_COUNT(rows));
}

static void check_runtimes(struct troupe_runtime *runtime, const struct props *props)
{
    static const struct troupe_supervisor_spec empty = {0};
    static const struct troupe_supervisor_spec no_children = {.child_count = 1};
    struct troupe_spawn_options right = spawn_of(&stage_puppet);
    struct troupe_spawn_options wrong = spawn_of(&deaf);
    struct troupe_spawn_options linked = {.behaviour = &stage_puppet, .link = true};
    troupe_ref ref;
    struct troupe_spawn_options watched = {.behaviour = &stage_puppet, .monitor = &ref};
    struct troupe_runtime_options turned = {.workers = TROUPE_NO_THREADS};
    struct troupe_child_answer answer;
    struct troupe_books books;
    troupe_pid pid;
    int wait_ms;
    const struct row rows[] = {
        ROW(troupe_runtime_create(&(struct troupe_runtime_options){0}, NULL)),
        ROW(troupe_runtime_start(NULL)),
        ROW(troupe_runtime_stop(NULL, 0)),
        ROW(troupe_runtime_stop(runtime, -2)),
        ROW(troupe_runtime_turn(NULL, 0, &wait_ms)),
        ROW(troupe_runtime_turn(runtime, -1, &wait_ms)),
        ROW(troupe_runtime_turn(runtime, 0, NULL)),
        ROW(troupe_runtime_fd(NULL)),
        ROW(troupe_runtime_books(NULL, &books)),
        ROW(troupe_runtime_books(runtime, NULL)),
        ROW(troupe_runtime_spawn(NULL, &right, &pid)),
        ROW(troupe_runtime_spawn(runtime, NULL, &pid)),
        ROW(troupe_runtime_spawn(runtime, &right, NULL)),
        ROW(troupe_runtime_spawn_sized(runtime, &right, 0, &pid)),
        ROW(troupe_runtime_spawn(runtime, &wrong, &pid)),
        ROW(troupe_runtime_spawn(runtime, &linked, &pid)),
        ROW(troupe_runtime_spawn(runtime, &watched, &pid)),
        ROW(troupe_runtime_exit(NULL, props->other, TROUPE_EXIT_KILL)),
        ROW(troupe_runtime_exit(runtime, TROUPE_NOBODY, TROUPE_EXIT_KILL)),
        ROW(troupe_runtime_exit(runtime, props->other, TROUPE_EXIT_ERROR)),
        ROW(troupe_join(NULL, props->other, 0, NULL)),
        ROW(troupe_join(runtime, TROUPE_NOBODY, 0, NULL)),
        ROW(troupe_join(runtime, props->other, -2, NULL)),
        ROW(troupe_supervisor_check(NULL, NULL)),
        ROW(troupe_supervisor_check(&no_children, NULL)),
        ROW(troupe_supervisor_start(NULL, &empty, 0, &pid)),
        ROW(troupe_supervisor_start(runtime, NULL, 0, &pid)),
        ROW(troupe_supervisor_start(runtime, &empty, 0, NULL)),
        ROW(troupe_supervisor_start(runtime, &empty, -2, &pid)),
        ROW(troupe_runtime_child(NULL, props->other, TROUPE_CHILD_WHICH, "a", NULL, 1, &answer)),
        ROW(troupe_runtime_child(
            runtime, TROUPE_NOBODY, TROUPE_CHILD_WHICH, "a", NULL, 1, &answer)),
        ROW(troupe_runtime_child(
            runtime, props->other, TROUPE_CHILD_WHICH, NULL, NULL, 1, &answer)),
        ROW(troupe_runtime_child(
            runtime, props->other, TROUPE_CHILD_WHICH, "a", NULL, -2, &answer)),
        ROW(troupe_runtime_child(
            runtime, props->other, TROUPE_CHILD_START, NULL, NULL, 1, &answer)),
        ROW(troupe_run(NULL, NULL)),
        ROW(troupe_run(&turned, &empty)),
    };

    check_rows(rows, TROUPE_COUNT(rows));
    cr_expect_eq(troupe_runtime_destroy(NULL), TROUPE_OK);
    cr_expect_eq(troupe_runtime_workers(NULL), 0);
    cr_expect_eq(troupe_runtime_whereis(NULL, "name"), TROUPE_NOBODY);
    cr_expect_eq(troupe_runtime_whereis(runtime, NULL), TROUPE_NOBODY);
    cr_expect_not(troupe_is_alive(NULL, props->other));
    cr_expect_not(troupe_is_alive(runtime, TROUPE_NOBODY));
}

static void check_connections(void)
{
    uint64_t body = 1;
    void *data;
    const struct row rows[] = {
        ROW(troupe_connection_write(NULL, &body, 8)),
        ROW(troupe_connection_reserve(NULL, 8, &data)),
    };

    check_rows(rows, TROUPE_COUNT(rows));
    troupe_connection_commit(NULL, 8);
    troupe_connection_begin(NULL);
    troupe_connection_end(NULL);
    troupe_connection_resume(NULL);
    troupe_connection_close(NULL);
    cr_expect(troupe_connection_is_full(NULL));
    cr_expect_null(troupe_connection_state(NULL));
    cr_expect_eq(troupe_connection_id(NULL), 0);
    cr_expect_str_eq(troupe_connection_peer(NULL), "");
}

Test(arguments, on_any_thread_wrong_ones_are_refused, .timeout = 60)
{
    struct stage stage;
    struct props props = {0};
    struct troupe_message *msg;

    stage_open(&stage, TROUPE_NO_THREADS);
    props.other = stage_spawn(&stage, &stage_puppet, NULL);
    props.msg = msg = stage_message(&stage, &number, &(uint64_t){1});
    check_messages(stage.runtime, &props);
    check_runtimes(stage.runtime, &props);
    check_connections();
    cr_assert_eq(stage_books(&stage).spawned, 1);
    cr_assert_eq(stage_books(&stage).sent, 0);
    troupe_message_destroy(msg);
    stage_close(&stage);
}

Test(arguments, views_of_nothing_are_nothing, .timeout = 60)
{
    troupe_message_destroy(NULL);
    cr_assert_not(troupe_is(NULL, &number));
    cr_assert_not(troupe_is_request(NULL));
    cr_assert_null(troupe_message_type(NULL));
    cr_assert_null(troupe_body(NULL));
    cr_assert_eq(troupe_body_size(NULL), 0);
    cr_assert_eq(troupe_sender(NULL), TROUPE_NOBODY);
    cr_assert_eq(troupe_tick_missed(NULL), 0);
    cr_assert_gt(troupe_now_ns(NULL), 0);
    troupe_buffer_release(NULL);
    cr_assert_null(troupe_buffer_retain(NULL));
    cr_assert_null(troupe_buffer_data(NULL));
    cr_assert_eq(troupe_buffer_size(NULL), 0);
    cr_assert_eq(troupe_self(NULL), TROUPE_NOBODY);
    cr_assert_null(troupe_runtime_of(NULL));
    cr_assert_null(troupe_state(NULL));
    cr_assert_eq(troupe_incarnation(NULL), 0);
    cr_assert_str_eq(troupe_reason_text(NULL), "");
    cr_assert_not(troupe_reason_is_normal(NULL));
    cr_assert_not(troupe_reason_is_clean(NULL));
    cr_assert_str_eq(troupe_exit_name((enum troupe_exit)99), "unknown");
    cr_assert_str_eq(troupe_exit_name(TROUPE_EXIT_SHUTDOWN), "shutdown");
}

Test(arguments, every_error_has_a_text_and_a_number_of_its_own, .timeout = 60)
{
#define CODE(name, value, text) {name, value, text},
    static const struct {
        int code;
        int value;
        const char *text;
    } codes[] = {TROUPE_ERROR_TABLE(CODE)};
#undef CODE

    for (size_t i = 0; i < TROUPE_COUNT(codes); i++) {
        cr_assert_str_eq(troupe_strerror(codes[i].code), codes[i].text);
        cr_assert_eq(codes[i].value, -1 - (int)i, "appended, never renumbered");
    }
    cr_assert_str_eq(troupe_strerror(TROUPE_OK), "success");
    cr_assert_str_eq(troupe_strerror(-1000), "unknown error");
    cr_assert_str_eq(troupe_strerror(1000), "unknown error");
    cr_assert_str_eq(troupe_version(), "0.1.0");
    troupe_detach();
    cr_assert_eq(troupe_attach(), TROUPE_OK);
}
