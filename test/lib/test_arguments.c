/* SPDX-License-Identifier: MIT */
/*
 * Arguments: every public function is called with NULL where something is required and with values out of range, and
 * says TROUPE_EINVAL; those that return no error take NULL without harm.
 *
 * Left out: troupe_exit() and troupe_abandon(), which cannot return, and end the program when they are misused.
 */
#include "test/support/stage.h"

#include <fcntl.h>

#include <troupe/alias.h>
#include <troupe/blocking.h>
#include <troupe/call.h>
#include <troupe/events.h>
#include <troupe/group.h>
#include <troupe/info.h>
#include <troupe/io.h>
#include <troupe/link.h>
#include <troupe/machine.h>
#include <troupe/net.h>
#include <troupe/partition.h>
#include <troupe/pool.h>
#include <troupe/reference.h>
#include <troupe/registry.h>
#include <troupe/server.h>
#include <troupe/stash.h>
#include <troupe/supervisor.h>
#include <troupe/sys.h>
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
static const struct troupe_behaviour mindless = {
    .name = "mindless", .receive = stage_puppet_receive, .thread = true};
static const struct troupe_behaviour heavy = {.name = "heavy",
    .receive = stage_puppet_receive,
    .capacity_bytes = TROUPE_CAPACITY_BYTES_MAX + 1};

static int via_enter(void *context, const char *name, troupe_pid pid)
{
    (void)context;
    (void)name;
    (void)pid;
    return TROUPE_OK;
}

static void via_leave(void *context, const char *name, troupe_pid pid)
{
    (void)via_enter(context, name, pid);
}

static troupe_pid via_whereis(void *context, const char *name)
{
    (void)via_enter(context, name, 1);
    return TROUPE_NOBODY;
}

static const struct troupe_registry_ops via_ops = {
    .enter = via_enter, .leave = via_leave, .whereis = via_whereis};
static const struct troupe_registry_ops via_ops_cut = {.enter = via_enter, .leave = via_leave};
static const struct troupe_via whole_via = {&via_ops, NULL};
static const struct troupe_via empty_via = {&via_ops_cut, NULL};

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

static int note_member(struct troupe_actor *self, void *state, void *context, uint64_t label,
    int status, struct troupe_message *reply, uint32_t left)
{
    (void)label;
    (void)left;
    return note_reply(self, state, context, status, reply);
}

static int note_exit(struct troupe_actor *self, void *state, void *context, int status,
    const struct troupe_reason *reason)
{
    (void)self;
    (void)state;
    (void)context;
    (void)status;
    (void)reason;
    cr_assert_fail("a join that was refused has no outcome");
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
    troupe_pid server;
    troupe_pid manager;
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

/* Who may not wait is told so, whatever else is wrong; test_fiber.c has those that may. */
static void check_waits(struct troupe_actor *self, const struct props *props)
{
    static const struct troupe_type *const types[] = {&number};
    uint64_t body = 1;
    troupe_pid to = props->other;
    struct troupe_message *taken;
    const struct row rows[] = {
        ROW(troupe_receive(NULL, 0, &taken)),
        ROW(troupe_receive(self, 0, &taken)),
        ROW(troupe_receive(self, 0, NULL)),
        ROW(troupe_receive_of(NULL, types, 1, 0, &taken)),
        ROW(troupe_receive_of(self, NULL, 1, 0, &taken)),
        ROW(troupe_receive_of(self, types, 0, 0, &taken)),
        ROW(troupe_receive_of(self, types, 1, 0, &taken)),
        ROW(troupe_call(NULL, to, &number, &body, &number, &body, 1)),
        ROW(troupe_call(self, to, &number, &body, NULL, &body, 1)),
        ROW(troupe_call(self, to, &number, &body, &number, NULL, 1)),
        ROW(troupe_call(self, to, &number, &body, &number, &body, 1)),
        ROW(troupe_call_message(NULL, to, &number, &body, 1, &taken)),
        ROW(troupe_call_message(self, to, &number, &body, 1, NULL)),
        ROW(troupe_call_message(self, to, &number, &body, 1, &taken)),
        ROW(troupe_send_within(NULL, to, &number, &body, 1)),
        ROW(troupe_send_within(self, to, &number, &body, 1)),
        ROW(troupe_send_bytes_within(NULL, to, &number, &body, sizeof body, 1)),
        ROW(troupe_send_bytes_within(self, to, &number, &body, sizeof body, 1)),
        ROW(troupe_send_message_within(NULL, to, props->msg, 1)),
        ROW(troupe_send_message_within(self, to, props->msg, 1)),
        ROW(troupe_join_wait(NULL, to, 1, NULL)),
        ROW(troupe_join_wait(self, to, 1, NULL)),
        ROW(troupe_sleep(NULL, 1)),
        ROW(troupe_sleep(self, 1)),
        ROW(troupe_sleep(self, UINT64_MAX)),
        ROW(troupe_yield(NULL)),
        ROW(troupe_yield(self)),
    };

    check_rows(rows, TROUPE_COUNT(rows));
}

/* Of one that may not wait; and where it may, of a stream that is none. */
static void check_streams(struct troupe_actor *self)
{
    struct troupe_stream *stream = NULL;
    const char *line;
    char buffer[4];
    size_t size;
    const struct row rows[] = {
        ROW(troupe_stream_connect(NULL, "127.0.0.1", 1, 1, &stream)),
        ROW(troupe_stream_connect(self, "127.0.0.1", 1, 1, &stream)),
        ROW(troupe_stream_connect(self, NULL, 1, 1, &stream)),
        ROW(troupe_stream_connect(self, "127.0.0.1", 0, 1, &stream)),
        ROW(troupe_stream_connect(self, "localhost", 1, 1, &stream)),
        ROW(troupe_stream_connect(self, "127.0.0.1", 1, -2, &stream)),
        ROW(troupe_stream_connect(self, "127.0.0.1", 1, 1, NULL)),
        ROW(troupe_stream_listen(NULL, "127.0.0.1", 0, &stream)),
        ROW(troupe_stream_listen(self, NULL, 0, &stream)),
        ROW(troupe_stream_listen(self, "nowhere", 0, &stream)),
        ROW(troupe_stream_listen(self, "127.0.0.1", 0, NULL)),
        ROW(troupe_stream_accept(NULL, NULL, 1, &stream)),
        ROW(troupe_stream_accept(self, NULL, 1, &stream)),
        ROW(troupe_stream_read(NULL, NULL, buffer, sizeof buffer, 1, &size)),
        ROW(troupe_stream_read(self, NULL, buffer, sizeof buffer, 1, &size)),
        ROW(troupe_stream_read_exactly(NULL, NULL, buffer, sizeof buffer, 1)),
        ROW(troupe_stream_read_exactly(self, NULL, buffer, sizeof buffer, 1)),
        ROW(troupe_stream_read_until(NULL, NULL, "\n", 4, 1, &line, &size)),
        ROW(troupe_stream_read_until(self, NULL, "\n", 4, 1, &line, &size)),
        ROW(troupe_stream_write(NULL, NULL, buffer, 1, 1)),
        ROW(troupe_stream_write(self, NULL, buffer, 1, 1)),
        ROW(troupe_stream_end(NULL, NULL)),
        ROW(troupe_stream_end(self, NULL)),
    };

    check_rows(rows, TROUPE_COUNT(rows));
    troupe_stream_close(NULL, NULL);
    troupe_stream_close(self, NULL);
    cr_assert_eq(troupe_stream_port(NULL), 0);
    cr_assert_str_empty(troupe_stream_peer(NULL));
    cr_assert_null(stream);
}

static int never_run(struct troupe_job *job, void *arg)
{
    (void)job;
    (void)arg;
    cr_assert_fail("a job that was refused runs");
    return TROUPE_OK;
}

static int never_done(struct troupe_actor *self, void *state, void *arg, int status)
{
    (void)self;
    (void)state;
    (void)arg;
    (void)status;
    cr_assert_fail("a job that was refused has no outcome");
    return TROUPE_OK;
}

static void check_jobs(struct troupe_actor *self, const struct props *props)
{
    uint64_t body = 1;
    int status;
    const struct row rows[] = {
        ROW(troupe_blocking(NULL, never_run, NULL, NULL, never_done, NULL)),
        ROW(troupe_blocking(self, NULL, NULL, NULL, never_done, NULL)),
        ROW(troupe_blocking(self, never_run, NULL, NULL, NULL, NULL)),
        ROW(troupe_blocking_wait(NULL, never_run, NULL, NULL, 1, &status)),
        ROW(troupe_blocking_wait(self, never_run, NULL, NULL, 1, &status)),
        ROW(troupe_blocking_cancel(NULL, 1)),
        ROW(troupe_job_send(NULL, props->other, &number, &body, 0)),
    };

    check_rows(rows, TROUPE_COUNT(rows));
    cr_expect(!troupe_job_is_cancelled(NULL));
    cr_expect_eq(troupe_job_deadline(NULL), TROUPE_FOREVER);
    cr_expect_eq(troupe_job_actor(NULL), TROUPE_NOBODY);
    cr_expect_null(troupe_job_runtime(NULL));
    cr_expect_eq(troupe_blocking_cancel(self, 0), TROUPE_ENOENT);
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
        ROW(troupe_delegate(NULL, to, props->current, &number, &body)),
        ROW(troupe_delegate(self, to, NULL, &number, &body)),
        ROW(troupe_delegate(self, to, props->current, &number, &body)), /* no request */
        ROW(troupe_delegate_message(NULL, to, props->current, props->msg)),
        ROW(troupe_delegate_message(self, to, NULL, props->msg)),
        ROW(troupe_delegate_message(self, to, props->current, props->msg)),
        ROW(troupe_runtime_call(troupe_runtime_of(self), to, &number, &body, &none, NULL, 1)),
    };

    check_rows(rows, TROUPE_COUNT(rows));
}

static void check_requests_with(struct troupe_actor *self, const struct props *props)
{
    struct troupe_request_options slow = {.timeout_ms = -2};
    struct troupe_request_options odd = {.skip = (enum troupe_skip)(TROUPE_SKIP_ORPHANED + 1)};
    struct troupe_request_options fine = {0};
    uint64_t body = 1;
    troupe_pid to = props->other;
    const struct row rows[] = {
        ROW(troupe_request_with(NULL, to, &number, &body, &fine, note_reply, NULL)),
        ROW(troupe_request_with(self, to, NULL, &body, &fine, note_reply, NULL)),
        ROW(troupe_request_with(self, to, &number, NULL, &fine, note_reply, NULL)),
        ROW(troupe_request_with(self, to, &none, &body, &fine, note_reply, NULL)),
        ROW(troupe_request_with(self, to, &number, &body, &slow, note_reply, NULL)),
        ROW(troupe_request_with(self, to, &number, &body, &odd, note_reply, NULL)),
        ROW(troupe_request_with(self, to, &number, &body, &fine, NULL, NULL)),
        ROW(troupe_request_with_sized(self, to, &number, &body, &fine, 0, note_reply, NULL)),
    };

    check_rows(rows, TROUPE_COUNT(rows));
}

static void check_request_sets(struct troupe_actor *self, const struct props *props)
{
    struct troupe_request_set set = {0};
    uint64_t body = 1;
    troupe_pid to = props->other;
    const struct row rows[] = {
        ROW(troupe_request_set_open(NULL, 1, note_member, NULL, &set)),
        ROW(troupe_request_set_open(self, 0, note_member, NULL, &set)),
        ROW(troupe_request_set_open(self, -2, note_member, NULL, &set)),
        ROW(troupe_request_set_open(self, 1, NULL, NULL, &set)),
        ROW(troupe_request_set_open(self, 1, note_member, NULL, NULL)),
        ROW(troupe_request_set_ask(NULL, set, 1, to, &number, &body)),
        ROW(troupe_request_set_ask(self, set, 1, to, NULL, &body)),
        ROW(troupe_request_set_ask(self, set, 1, to, &number, NULL)),
        ROW(troupe_request_set_ask(self, set, 1, to, &none, &body)),
        ROW(troupe_request_set_ask(self, set, 1, to, &destroyed, &body)),
        ROW(troupe_request_set_close(NULL, set)),
        ROW(troupe_request_set_cancel(NULL, set)),
        ROW(troupe_request_many(NULL, &to, 1, &number, &body, 1, note_member, NULL)),
        ROW(troupe_request_many(self, NULL, 1, &number, &body, 1, note_member, NULL)),
        ROW(troupe_request_many(self, &to, 0, &number, &body, 1, note_member, NULL)),
        ROW(troupe_request_many(self, &to, 1, NULL, &body, 1, note_member, NULL)),
        ROW(troupe_request_many(self, &to, 1, &number, NULL, 1, note_member, NULL)),
        ROW(troupe_request_many(self, &to, 1, &destroyed, &body, 1, note_member, NULL)),
        ROW(troupe_request_many(self, &to, 1, &number, &body, 0, note_member, NULL)),
        ROW(troupe_request_many(self, &to, 1, &number, &body, 1, NULL, NULL)),
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
        ROW(troupe_timer_left(NULL, (struct troupe_timer){NULL, 0}, &(uint64_t){0})),
        ROW(troupe_timer_left(self, (struct troupe_timer){NULL, 0}, NULL)),
        ROW(troupe_timer_cancel(NULL, (struct troupe_timer){NULL, 0})),
    };

    check_rows(rows, TROUPE_COUNT(rows));
}

static void check_references(struct troupe_actor *self, troupe_pid other)
{
    struct troupe_reference *reference;
    const struct row rows[] = {
        ROW(troupe_connect(NULL, other, TROUPE_PEER)),
        ROW(troupe_connect(self, TROUPE_NOBODY, TROUPE_PEER)),
        ROW(troupe_connect(self, other, (enum troupe_mode)0)),
        ROW(troupe_connect(self, other, (enum troupe_mode)4)),
        ROW(troupe_disconnect(NULL, other, TROUPE_PEER)),
        ROW(troupe_disconnect(self, TROUPE_NOBODY, TROUPE_PEER)),
        ROW(troupe_disconnect(self, other, (enum troupe_mode)0)),
        ROW(troupe_disconnect(self, other, (enum troupe_mode)4)),
        ROW(troupe_connected(NULL, other)),
        ROW(troupe_connected(self, TROUPE_NOBODY)),
        ROW(troupe_join_then(NULL, other, 1, note_exit, NULL)),
        ROW(troupe_join_then(self, TROUPE_NOBODY, 1, note_exit, NULL)),
        ROW(troupe_join_then(self, troupe_self(self), 1, note_exit, NULL)),
        ROW(troupe_join_then(self, other, 0, note_exit, NULL)),
        ROW(troupe_join_then(self, other, -2, note_exit, NULL)),
        ROW(troupe_join_then(self, other, 1, NULL, NULL)),
        ROW(troupe_stop(NULL, other, TROUPE_STOP_DRAIN)),
        ROW(troupe_stop(troupe_runtime_of(self), TROUPE_NOBODY, TROUPE_STOP_DRAIN)),
        ROW(troupe_stop(troupe_runtime_of(self), other, (enum troupe_stop)2)),
        ROW(troupe_reference_create(NULL, &reference)),
        ROW(troupe_reference_create(self, NULL)),
        ROW(troupe_weak_upgrade(NULL, &reference)),
        ROW(troupe_weak_upgrade(
            (struct troupe_weak_reference *)(void *)troupe_runtime_of(self), NULL)),
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
        ROW(troupe_monitor_with(NULL, other, 0, &ref)),
        ROW(troupe_monitor_with(self, TROUPE_NOBODY, 0, &ref)),
        ROW(troupe_monitor_with(self, me, 0, &ref)),
        ROW(troupe_monitor_with(self, other, 0, NULL)),
        ROW(troupe_monitor_with(self, other, TROUPE_PRIORITY_DOWN, &ref)),
        ROW(troupe_monitor_name(NULL, "name", &ref)),
        ROW(troupe_monitor_name(self, NULL, &ref)),
        ROW(troupe_monitor_name(self, "", &ref)),
        ROW(troupe_monitor_name(self, LONG_NAME, &ref)),
        ROW(troupe_monitor_name(self, "name", NULL)),
        ROW(troupe_demonitor(NULL, 1)),
        ROW(troupe_demonitor(self, other)),
        ROW(troupe_demonitor_flush(NULL, 1, NULL)),
        ROW(troupe_demonitor_flush(self, other, NULL)),
        ROW(troupe_unlink_flush(NULL, other, NULL)),
        ROW(troupe_unlink_flush(self, TROUPE_NOBODY, NULL)),
        ROW(troupe_link(NULL, other)),
        ROW(troupe_link(self, TROUPE_NOBODY)),
        ROW(troupe_link_with(NULL, other, 0)),
        ROW(troupe_link_with(self, TROUPE_NOBODY, 0)),
        ROW(troupe_link_with(self, other, TROUPE_PRIORITY_DOWN)),
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
        ROW(troupe_register_via(NULL, &whole_via, "name")),
        ROW(troupe_register_via(self, NULL, "name")),
        ROW(troupe_register_via(self, &empty_via, "name")),
        ROW(troupe_register_via(self, &whole_via, NULL)),
        ROW(troupe_register_via(self, &whole_via, "")),
        ROW(troupe_register_via(self, &whole_via, LONG_NAME)),
        ROW(troupe_unregister_via(NULL, &whole_via, "name")),
        ROW(troupe_unregister_via(self, &empty_via, "name")),
        ROW(troupe_unregister_via(self, &whole_via, "")),
        ROW(troupe_send_via(NULL, &whole_via, "name", &none, NULL)),
        ROW(troupe_send_via(self, &empty_via, "name", &none, NULL)),
        ROW(troupe_send_via(self, &whole_via, "", &none, NULL)),
        ROW(troupe_send_via(self, &whole_via, "name", NULL, NULL)),
    };

    check_rows(rows, TROUPE_COUNT(rows));
    cr_expect_null(troupe_down_name(NULL));
    troupe_unlink(NULL, other);
    troupe_unlink(self, TROUPE_NOBODY);
    cr_expect_not(troupe_trap_exit(NULL, true));
    cr_expect_eq(troupe_whereis(NULL, "name"), TROUPE_NOBODY);
    cr_expect_eq(troupe_whereis(self, NULL), TROUPE_NOBODY);
    cr_expect_eq(troupe_whereis(self, LONG_NAME), TROUPE_NOBODY);
}

static void check_aliases(struct troupe_actor *self, const struct props *props)
{
    troupe_pid me = troupe_self(self);
    troupe_pid other = props->other;
    troupe_ref ref;
    troupe_pid alias;
    const struct row rows[] = {
        ROW(troupe_alias(NULL, TROUPE_ALIAS_REPLY, 0, &alias)),
        ROW(troupe_alias(self, TROUPE_ALIAS_DEMONITOR, 0, &alias)),
        ROW(troupe_alias(self, TROUPE_ALIAS_REPLY_DEMONITOR, 0, &alias)),
        ROW(troupe_alias(self, (enum troupe_alias_mode)99, 0, &alias)),
        ROW(troupe_alias(self, TROUPE_ALIAS_REPLY, 0, NULL)),
        ROW(troupe_alias(self, TROUPE_ALIAS_REPLY, TROUPE_PRIORITY_DOWN, &alias)),
        ROW(troupe_monitor_alias(self, other, TROUPE_ALIAS_DEMONITOR, 4, &ref, &alias)),
        ROW(troupe_unalias(NULL, ((uint64_t)1 << 60) | me)),
        ROW(troupe_unalias(self, TROUPE_NOBODY)),
        ROW(troupe_unalias(self, me)),
        ROW(troupe_unalias(self, ((uint64_t)1 << 60) | other)),
        ROW(troupe_monitor_alias(NULL, other, TROUPE_ALIAS_DEMONITOR, 0, &ref, &alias)),
        ROW(troupe_monitor_alias(self, TROUPE_NOBODY, TROUPE_ALIAS_DEMONITOR, 0, &ref, &alias)),
        ROW(troupe_monitor_alias(self, me, TROUPE_ALIAS_DEMONITOR, 0, &ref, &alias)),
        ROW(troupe_monitor_alias(self, other, TROUPE_ALIAS_REPLY, 0, &ref, &alias)),
        ROW(troupe_monitor_alias(self, other, (enum troupe_alias_mode)99, 0, &ref, &alias)),
        ROW(troupe_monitor_alias(self, other, TROUPE_ALIAS_DEMONITOR, 0, NULL, &alias)),
        ROW(troupe_monitor_alias(self, other, TROUPE_ALIAS_DEMONITOR, 0, &ref, NULL)),
    };

    check_rows(rows, TROUPE_COUNT(rows));
    cr_expect_not(troupe_is_alias(TROUPE_NOBODY));
}

static void check_groups(struct troupe_actor *self)
{
    struct troupe_group_change change;
    uint64_t body = 1;
    troupe_ref ref;
    enum troupe_route route = TROUPE_RANDOM;
    enum troupe_route none_such = (enum troupe_route)99;
    const struct row rows[] = {
        ROW(troupe_group_join(NULL, "a")),
        ROW(troupe_group_join(self, NULL)),
        ROW(troupe_group_join(self, "")),
        ROW(troupe_group_join(self, LONG_NAME)),
        ROW(troupe_group_leave(NULL, "a")),
        ROW(troupe_group_leave(self, NULL)),
        ROW(troupe_group_monitor(NULL, "a", &ref)),
        ROW(troupe_group_monitor(self, NULL, &ref)),
        ROW(troupe_group_monitor(self, LONG_NAME, &ref)),
        ROW(troupe_group_monitor(self, "a", NULL)),
        ROW(troupe_group_demonitor(NULL, 1)),
        ROW(troupe_group_changes(NULL, 1, &change, 1)),
        ROW(troupe_group_changes(self, 1, NULL, 1)),
        ROW(troupe_group_changes(self, 1, &change, 0)),
        ROW(troupe_group_changes(self, 1, &change, (uint32_t)INT32_MAX + 1)),
        ROW(troupe_group_send(NULL, "a", route, 0, &number, &body)),
        ROW(troupe_group_send(self, NULL, route, 0, &number, &body)),
        ROW(troupe_group_send(self, "a", none_such, 0, &number, &body)),
        ROW(troupe_group_send(self, "a", route, 0, NULL, &body)),
        ROW(troupe_group_request(NULL, "a", route, 0, &number, &body, 1, note_reply, NULL)),
        ROW(troupe_group_request(self, "", route, 0, &number, &body, 1, note_reply, NULL)),
        ROW(troupe_group_request(self, "a", none_such, 0, &number, &body, 1, note_reply, NULL)),
        ROW(troupe_group_request(self, "a", route, 0, NULL, &body, 1, note_reply, NULL)),
        ROW(troupe_group_request(self, "a", route, 0, &number, &body, 0, note_reply, NULL)),
        ROW(troupe_group_request(self, "a", route, 0, &number, &body, -2, note_reply, NULL)),
        ROW(troupe_group_request(self, "a", route, 0, &number, &body, 1, NULL, NULL)),
    };

    check_rows(rows, TROUPE_COUNT(rows));
}

static void check_spawns(struct troupe_actor *self)
{
    struct troupe_spawn_options right = spawn_of(&stage_puppet);
    struct troupe_spawn_options no_behaviour = spawn_of(NULL);
    struct troupe_spawn_options no_name = spawn_of(&nameless);
    struct troupe_spawn_options no_receive = spawn_of(&deaf);
    struct troupe_spawn_options too_wide = spawn_of(&wide);
    struct troupe_spawn_options without_main = spawn_of(&mindless);
    struct troupe_spawn_options too_heavy = spawn_of(&heavy);
    struct troupe_spawn_options no_arg = {.behaviour = &stage_puppet, .arg_size = 1};
    struct troupe_spawn_options endless_arg = {
        .behaviour = &stage_puppet, .arg = self, .arg_size = (size_t)UINT32_MAX + 1};
    struct troupe_spawn_options empty_name = {.behaviour = &stage_puppet, .name = ""};
    struct troupe_spawn_options empty_group = {.behaviour = &stage_puppet, .group = ""};
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
        ROW(troupe_spawn(self, &without_main, &pid)),
        ROW(troupe_spawn(self, &too_heavy, &pid)),
        ROW(troupe_spawn(self, &no_arg, &pid)),
        ROW(troupe_spawn(self, &endless_arg, &pid)),
        ROW(troupe_spawn(self, &empty_name, &pid)),
        ROW(troupe_spawn(self, &long_name, &pid)),
        ROW(troupe_spawn(self, &empty_group, &pid)),
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
        ROW(troupe_child_spawn(NULL, to, NULL, 0, 1, note_reply, NULL)),
        ROW(troupe_child_spawn(self, to, NULL, 1, 1, note_reply, NULL)),
        ROW(troupe_child_spawn(self, to, "x", (size_t)UINT32_MAX + 1, 1, note_reply, NULL)),
        ROW(troupe_child_spawn(self, to, NULL, 0, 0, note_reply, NULL)),
        ROW(troupe_child_spawn(self, to, NULL, 0, 1, NULL, NULL)),
        ROW(troupe_child_terminate(NULL, to, to, 1, note_reply, NULL)),
        ROW(troupe_child_terminate(self, to, TROUPE_NOBODY, 1, note_reply, NULL)),
        ROW(troupe_child_terminate(self, to, to, -2, note_reply, NULL)),
        ROW(troupe_child_terminate(self, to, to, 1, NULL, NULL)),
        ROW(troupe_partition_child(
            NULL, "a", 1, TROUPE_CHILD_WHICH, "a", NULL, 1, note_reply, NULL)),
        ROW(troupe_partition_child(
            self, NULL, 1, TROUPE_CHILD_WHICH, "a", NULL, 1, note_reply, NULL)),
        ROW(troupe_partition_child(
            self, "a", 0, TROUPE_CHILD_WHICH, "a", NULL, 1, note_reply, NULL)),
        ROW(troupe_partition_child(
            self, "a", 1, TROUPE_CHILD_WHICH, NULL, NULL, 1, note_reply, NULL)),
        ROW(troupe_partition_child(
            self, "a", 1, TROUPE_CHILD_START, "a", NULL, 1, note_reply, NULL)),
        ROW(troupe_pool_resize(NULL, to, 1, 0, 1, note_reply, NULL)),
        ROW(troupe_pool_resize(self, to, (uint32_t)INT32_MAX + 1, 0, 1, note_reply, NULL)),
        ROW(troupe_pool_resize(self, to, 1, TROUPE_BRUTAL_KILL, 1, note_reply, NULL)),
        ROW(troupe_pool_resize(self, to, 1, TROUPE_NOW - 1, 1, note_reply, NULL)),
        ROW(troupe_pool_resize(self, to, 1, 0, 0, note_reply, NULL)),
        ROW(troupe_pool_resize(self, to, 1, 0, 1, NULL, NULL)),
        ROW(troupe_pool_look(NULL, to, 1, note_reply, NULL)),
        ROW(troupe_pool_look(self, to, -2, note_reply, NULL)),
        ROW(troupe_pool_look(self, to, 1, NULL, NULL)),
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

static const struct troupe_behaviour manager = TROUPE_EVENTS("manager");
static const struct troupe_handler nothing = {.name = "nothing"};

static void check_events(struct troupe_actor *self, const struct props *props)
{
    static const struct troupe_handler no_name = {.state_size = 8};
    static const struct troupe_handler too_large = {
        .name = "too large", .state_size = TROUPE_BODY_MAX + 1};
    troupe_pid to = props->manager;
    struct troupe_handler_id id = {&nothing, 0};
    struct troupe_handler_id no_id = {NULL, 0};
    struct troupe_handler_options right = {.id = id};
    struct troupe_handler_options no_handler = {.arg_size = 0};
    struct troupe_handler_options nameless_one = {.id.handler = &no_name};
    struct troupe_handler_options large_one = {.id.handler = &too_large};
    struct troupe_handler_options no_arg = {.id = id, .arg_size = 1};
    struct troupe_handler_options endless = {.id = id, .arg = self, .arg_size = TROUPE_BODY_MAX};
    const struct row rows[] = {
        ROW(troupe_events_add(NULL, to, &right, 1, note_reply, NULL)),
        ROW(troupe_events_add(self, TROUPE_NOBODY, &right, 1, note_reply, NULL)),
        ROW(troupe_events_add(self, props->other, &right, 1, note_reply, NULL)), /* no manager */
        ROW(troupe_events_add(self, to, NULL, 1, note_reply, NULL)),
        ROW(troupe_events_add(self, to, &no_handler, 1, note_reply, NULL)),
        ROW(troupe_events_add(self, to, &nameless_one, 1, note_reply, NULL)),
        ROW(troupe_events_add(self, to, &large_one, 1, note_reply, NULL)),
        ROW(troupe_events_add(self, to, &no_arg, 1, note_reply, NULL)),
        ROW(troupe_events_add(self, to, &endless, 1, note_reply, NULL)),
        ROW(troupe_events_add(self, to, &right, 0, note_reply, NULL)),
        ROW(troupe_events_add(self, to, &right, 1, NULL, NULL)),
        ROW(troupe_events_remove(NULL, to, id, 1, note_reply, NULL)),
        ROW(troupe_events_remove(self, TROUPE_NOBODY, id, 1, note_reply, NULL)),
        ROW(troupe_events_remove(self, props->other, id, 1, note_reply, NULL)),
        ROW(troupe_events_remove(self, to, no_id, 1, note_reply, NULL)),
        ROW(troupe_events_remove(self, to, id, 0, note_reply, NULL)),
        ROW(troupe_events_remove(self, to, id, 1, NULL, NULL)),
        ROW(troupe_events_swap(NULL, to, id, &right, 1, note_reply, NULL)),
        ROW(troupe_events_swap(self, TROUPE_NOBODY, id, &right, 1, note_reply, NULL)),
        ROW(troupe_events_swap(self, props->other, id, &right, 1, note_reply, NULL)),
        ROW(troupe_events_swap(self, to, no_id, &right, 1, note_reply, NULL)),
        ROW(troupe_events_swap(self, to, id, NULL, 1, note_reply, NULL)),
        ROW(troupe_events_swap(self, to, id, &no_handler, 1, note_reply, NULL)),
        ROW(troupe_events_swap(self, to, id, &right, 0, note_reply, NULL)),
        ROW(troupe_events_swap(self, to, id, &right, 1, NULL, NULL)),
    };

    check_rows(rows, TROUPE_COUNT(rows));
}

static const struct troupe_server empty_server = {TROUPE_SERVER("empty", int)};

static int look(void *state, void *arg)
{
    (void)state;
    (void)arg;
    return TROUPE_OK;
}

/* `self` is no server. */
static void check_behaviours(struct troupe_actor *self, const struct props *props)
{
    troupe_pid server = props->server;
    uint64_t body = 1;
    struct troupe_sys_question right = {.op = TROUPE_SYS_STATUS};
    struct troupe_sys_question no_op = {.op = (enum troupe_sys_op)99};
    struct troupe_sys_question no_fn = {.op = TROUPE_SYS_INSPECT};
    struct troupe_sys_question no_replacement = {.op = TROUPE_SYS_REPLACE};
    struct troupe_sys_question idle_fn = {.op = TROUPE_SYS_STATUS, .fn = look};
    const struct row rows[] = {
        ROW(troupe_stash(NULL, props->current)),
        ROW(troupe_stash(self, NULL)),
        ROW(troupe_stash(self, props->msg)),
        ROW(troupe_unstash(NULL)),
        ROW(troupe_sys(NULL, server, &right, 1, note_reply, NULL)),
        ROW(troupe_sys(self, TROUPE_NOBODY, &right, 1, note_reply, NULL)),
        ROW(troupe_sys(self, props->other, &right, 1, note_reply, NULL)), /* no server */
        ROW(troupe_sys(self, server, NULL, 1, note_reply, NULL)),
        ROW(troupe_sys(self, server, &no_op, 1, note_reply, NULL)),
        ROW(troupe_sys(self, server, &no_fn, 1, note_reply, NULL)),
        ROW(troupe_sys(self, server, &no_replacement, 1, note_reply, NULL)),
        ROW(troupe_sys(self, server, &idle_fn, 1, note_reply, NULL)),
        ROW(troupe_sys(self, server, &right, 0, note_reply, NULL)),
        ROW(troupe_sys(self, server, &right, 1, NULL, NULL)),
        ROW(troupe_runtime_sys(troupe_runtime_of(self), server, &right, 1, NULL)),
        ROW(troupe_server_call(self, server, &number, &body, -2, note_reply, NULL)),
        ROW(troupe_server_cast(self, server, NULL, &body)),
        ROW(troupe_server_continue(NULL, &number, &body)),
        ROW(troupe_server_continue(self, &number, &body)),
        ROW(troupe_server_idle(NULL, 1)),
        ROW(troupe_server_idle(self, 1)),
        ROW(troupe_server_hibernate(NULL)),
        ROW(troupe_machine_next(NULL, 0)),
        ROW(troupe_machine_next(self, 0)),
        ROW(troupe_machine_state(NULL)),
        ROW(troupe_machine_state(self)),
        ROW(troupe_machine_insert(NULL, &number, &body)),
        ROW(troupe_machine_insert(self, &number, &body)),
        ROW(troupe_machine_timeout(NULL, TROUPE_EVENT_TIMEOUT, 0, 1, NULL)),
        ROW(troupe_machine_timeout(self, TROUPE_EVENT_TIMEOUT, 0, 1, NULL)),
        ROW(troupe_machine_update(NULL, TROUPE_EVENT_TIMEOUT, 0, NULL)),
        ROW(troupe_machine_update(self, TROUPE_EVENT_TIMEOUT, 0, NULL)),
        ROW(troupe_server_hibernate(self)),
    };

    check_rows(rows, TROUPE_COUNT(rows));
    cr_expect_eq(troupe_stash_length(NULL), 0);
}

/* In a server that has what it needs. */
static int in_server(struct troupe_actor *self, void *state, const void *arg)
{
    uint64_t body = 1;
    const struct row rows[] = {
        ROW(troupe_server_continue(self, NULL, &body)),
        ROW(troupe_server_continue(self, &number, NULL)),
        ROW(troupe_server_continue(self, &none, &body)),
        ROW(troupe_server_idle(self, -2)),
        ROW(troupe_server_idle(self, (int64_t)TROUPE_DELAY_MAX_MS + 1)),
    };

    (void)state;
    (void)arg;
    check_rows(rows, TROUPE_COUNT(rows));
    return TROUPE_DONE;
}

static int on_idle(struct troupe_actor *self, void *state)
{
    (void)self;
    (void)state;
    return TROUPE_OK;
}

static const struct troupe_server full_server = {
    TROUPE_SERVER("full", int),
    .init = in_server,
    .continued = stage_puppet_receive,
    .timeout = on_idle,
};

Test(arguments, in_a_server_wrong_ones_are_refused, .timeout = 60)
{
    struct stage stage;

    stage_open(&stage, TROUPE_NO_THREADS);
    (void)stage_spawn(&stage, &full_server.behaviour, NULL);
    stage_run(&stage);
    cr_assert_eq(stage_books(&stage).exited, 1);
    stage_close(&stage);
}

/* In a machine. */
static int in_machine(struct troupe_actor *self, void *state, const void *arg)
{
    uint64_t body = 1;
    const struct row rows[] = {
        ROW(troupe_machine_next(self, -1)),
        ROW(troupe_machine_next(self, 1)),
        ROW(troupe_machine_insert(self, NULL, &body)),
        ROW(troupe_machine_insert(self, &number, NULL)),
        ROW(troupe_machine_insert(self, &none, &body)),
        ROW(troupe_machine_timeout(self, TROUPE_EVENT_CAST, 0, 1, NULL)),
        ROW(troupe_machine_timeout(self, (enum troupe_event_kind)99, 0, 1, NULL)),
        ROW(troupe_machine_timeout(self, TROUPE_EVENT_TIMEOUT, 1, 1, NULL)),
        ROW(troupe_machine_timeout(self, TROUPE_EVENT_STATE_TIMEOUT, 1, 1, NULL)),
        ROW(troupe_machine_timeout(self, TROUPE_EVENT_TIMEOUT, 0, -2, NULL)),
        ROW(troupe_machine_timeout(
            self, TROUPE_EVENT_TIMEOUT, 0, (int64_t)TROUPE_DELAY_MAX_MS + 1, NULL)),
        ROW(troupe_machine_update(self, TROUPE_EVENT_INNER, 0, NULL)),
        ROW(troupe_machine_update(self, TROUPE_EVENT_TIMEOUT, 1, NULL)),
    };

    (void)state;
    (void)arg;
    check_rows(rows, TROUPE_COUNT(rows));
    return TROUPE_DONE;
}

static const struct troupe_machine_state one_state[] = {{.name = "only"}};
static const struct troupe_machine full_machine = {
    TROUPE_MACHINE("full", int),
    .states = one_state,
    .state_count = TROUPE_COUNT(one_state),
    .init = in_machine,
};

Test(arguments, in_a_machine_wrong_ones_are_refused, .timeout = 60)
{
    struct stage stage;

    stage_open(&stage, TROUPE_NO_THREADS);
    (void)stage_spawn(&stage, &full_machine.behaviour, NULL);
    stage_run(&stage);
    cr_assert_eq(stage_books(&stage).exited, 1);
    stage_close(&stage);
}

static int check_everything(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct props *props = *(struct props **)state;

    props->current = msg;
    check_sends(self, props);
    check_calls(self, props);
    check_waits(self, props);
    check_jobs(self, props);
    check_streams(self);
    check_requests_with(self, props);
    check_request_sets(self, props);
    check_timers(self);
    check_links(self, props);
    check_references(self, props->other);
    check_aliases(self, props);
    check_groups(self);
    check_spawns(self);
    check_children(self, props);
    check_own(self, props);
    check_behaviours(self, props);
    check_events(self, props);
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
    props.server = stage_spawn(&stage, &empty_server.behaviour, NULL);
    props.manager = stage_spawn(&stage, &manager, NULL);
    props.msg = stage_message(&stage, &number, &(uint64_t){1});
    props.blocking_fd = open("/dev/null", O_RDONLY);
    pid = stage_spawn(&stage, &checker, &props);
    stage_watch(&stage, pid, &end);
    stage_send(&stage, pid, &number, &(uint64_t){1});
    stage_run(&stage);
    cr_assert_eq(end.count, 1);
    cr_assert_eq(end.kind, TROUPE_EXIT_NORMAL, "it came to the end of its tables");
    cr_assert_eq(
        stage_books(&stage).spawned, 5, "puppet, server, manager, checker, witness: nothing else");
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
    struct troupe_request_set set;
    uint64_t body = 1;
    struct troupe_reference *reference;
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
            ROW(troupe_request_set_open(self, 1, note_member, NULL, &set)),
            ROW(troupe_tick_after(self, 1, &number, &body, &timer)),
            ROW(troupe_tick_every(self, 1, &number, &body, &timer)),
            ROW(troupe_monitor(self, other, &ref)),
            ROW(troupe_link(self, other)),
            ROW(troupe_connect(self, other, TROUPE_PEER)),
            ROW(troupe_disconnect(self, other, TROUPE_PEER)),
            ROW(troupe_join_then(self, other, 1, note_exit, NULL)),
            ROW(troupe_reference_create(self, &reference)),
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

static void check_members(struct troupe_runtime *runtime, const struct props *props)
{
    struct troupe_group group;
    struct troupe_group_member member;
    uint64_t body = 1;
    uint32_t endless = (uint32_t)INT32_MAX + 1;
    enum troupe_route none_such = (enum troupe_route)99;
    troupe_pid pid;
    const struct row rows[] = {
        ROW(troupe_groups(NULL, NULL, NULL, &group, 1)),
        ROW(troupe_groups(runtime, LONG_NAME, NULL, &group, 1)),
        ROW(troupe_groups(runtime, NULL, LONG_NAME, &group, 1)),
        ROW(troupe_groups(runtime, NULL, NULL, NULL, 1)),
        ROW(troupe_groups(runtime, NULL, NULL, &group, endless)),
        ROW(troupe_group_members(NULL, "a", 0, &member, 1)),
        ROW(troupe_group_members(runtime, NULL, 0, &member, 1)),
        ROW(troupe_group_members(runtime, "a", 0, NULL, 1)),
        ROW(troupe_group_members(runtime, "a", 0, &member, endless)),
        ROW(troupe_group_try_send(NULL, "a", TROUPE_RANDOM, 0, props->msg)),
        ROW(troupe_group_try_send(runtime, NULL, TROUPE_RANDOM, 0, props->msg)),
        ROW(troupe_group_try_send(runtime, "a", none_such, 0, props->msg)),
        ROW(troupe_group_try_send(runtime, "a", TROUPE_RANDOM, 0, NULL)),
        ROW(troupe_group_pick(NULL, "a", TROUPE_RANDOM, 0, &pid)),
        ROW(troupe_group_pick(runtime, LONG_NAME, TROUPE_RANDOM, 0, &pid)),
        ROW(troupe_group_pick(runtime, "a", none_such, 0, &pid)),
        ROW(troupe_group_pick(runtime, "a", TROUPE_RANDOM, 0, NULL)),
        ROW(troupe_group_send_all(NULL, "a", &number, &body, NULL)),
        ROW(troupe_group_send_all(runtime, NULL, &number, &body, NULL)),
        ROW(troupe_group_send_all(runtime, "a", NULL, &body, NULL)),
        ROW(troupe_group_send_all(runtime, "a", &number, NULL, NULL)),
        ROW(troupe_group_send_all(runtime, "a", &none, &body, NULL)),
        ROW(troupe_group_send_all(runtime, "a", &destroyed, &body, NULL)),
    };

    check_rows(rows, TROUPE_COUNT(rows));
}

static void check_names(struct troupe_runtime *runtime, troupe_pid pid)
{
    struct troupe_name row;
    uint32_t endless = (uint32_t)INT32_MAX + 1;
    const struct row rows[] = {
        ROW(troupe_names(NULL, NULL, NULL, &row, 1)),
        ROW(troupe_names(runtime, LONG_NAME, NULL, &row, 1)),
        ROW(troupe_names(runtime, NULL, LONG_NAME, &row, 1)),
        ROW(troupe_names(runtime, NULL, NULL, NULL, 1)),
        ROW(troupe_names(runtime, NULL, NULL, &row, endless)),
        ROW(troupe_names_of(NULL, pid, 0, &row, 1)),
        ROW(troupe_names_of(runtime, pid, 0, NULL, 1)),
        ROW(troupe_names_of(runtime, pid, 0, &row, endless)),
    };

    check_rows(rows, TROUPE_COUNT(rows));
}

static void check_messages(struct troupe_runtime *runtime, const struct props *props)
{
    struct troupe_message *msg;
    struct troupe_buffer *buffer;
    uint32_t length;
    struct troupe_info info;
    size_t count;
    uint64_t body = 1;
    const struct row rows[] = {
        ROW(troupe_info(NULL, props->other, &info)),
        ROW(troupe_info(runtime, TROUPE_NOBODY, &info)),
        ROW(troupe_info(runtime, props->other, NULL)),
        ROW(troupe_info_sized(runtime, props->other, &info, 0)),
        ROW(troupe_info_links(NULL, props->other, NULL, 0, &count)),
        ROW(troupe_info_links(runtime, TROUPE_NOBODY, NULL, 0, &count)),
        ROW(troupe_info_links(runtime, props->other, NULL, 1, &count)),
        ROW(troupe_info_links(runtime, props->other, NULL, 0, NULL)),
        ROW(troupe_info_watchers(NULL, props->other, NULL, 0, &count)),
        ROW(troupe_info_watchers(runtime, TROUPE_NOBODY, NULL, 0, &count)),
        ROW(troupe_info_watchers(runtime, props->other, NULL, 1, &count)),
        ROW(troupe_info_watchers(runtime, props->other, NULL, 0, NULL)),
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
        ROW(troupe_runtime_call(NULL, props->other, &number, &body, &number, &body, 1)),
        ROW(troupe_runtime_call(runtime, props->other, NULL, &body, &number, &body, 1)),
        ROW(troupe_runtime_call(runtime, props->other, &number, NULL, &number, &body, 1)),
        ROW(troupe_runtime_call(runtime, props->other, &none, &body, &number, &body, 1)),
        ROW(troupe_runtime_call(runtime, props->other, &number, &body, NULL, &body, 1)),
        ROW(troupe_runtime_call(runtime, props->other, &number, &body, &number, NULL, 1)),
        ROW(troupe_runtime_call(runtime, props->other, &number, &body, &none, &body, 1)),
        ROW(troupe_runtime_call(runtime, props->other, &number, &body, &bytes, &body, 1)),
        ROW(troupe_runtime_call(runtime, props->other, &number, &body, &number, &body, 0)),
        ROW(troupe_runtime_call(runtime, props->other, &number, &body, &number, &body, -2)),
        ROW(troupe_runtime_call_message(NULL, props->other, &number, &body, 1, &msg)),
        ROW(troupe_runtime_call_message(runtime, props->other, NULL, &body, 1, &msg)),
        ROW(troupe_runtime_call_message(runtime, props->other, &number, NULL, 1, &msg)),
        ROW(troupe_runtime_call_message(runtime, props->other, &number, &body, 0, &msg)),
        ROW(troupe_runtime_call_message(runtime, props->other, &number, &body, -2, &msg)),
        ROW(troupe_runtime_call_message(runtime, props->other, &number, &body, 1, NULL)),
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
    struct troupe_runtime_options no_such_faults = {
        .faults = (enum troupe_faults)(TROUPE_FAULTS_LEAVE + 1)};
    struct troupe_runtime *created;
    struct troupe_child_answer answer;
    struct troupe_children total;
    struct troupe_sys_question status = {.op = TROUPE_SYS_STATUS};
    struct troupe_books books;
    troupe_pid pid;
    int wait_ms;
    const struct row rows[] = {
        ROW(troupe_runtime_create(&(struct troupe_runtime_options){0}, NULL)),
        ROW(troupe_runtime_create(&no_such_faults, &created)),
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
        ROW(troupe_runtime_sys(NULL, props->other, &status, 1, NULL)),
        ROW(troupe_runtime_sys(runtime, TROUPE_NOBODY, &status, 1, NULL)),
        ROW(troupe_runtime_sys(runtime, props->other, NULL, 1, NULL)),
        ROW(troupe_runtime_sys(runtime, props->other, &status, 0, NULL)),
        ROW(troupe_runtime_sys(runtime, props->other, &status, -2, NULL)),
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
        ROW(troupe_runtime_child_spawn(NULL, props->other, NULL, 0, 1, &answer)),
        ROW(troupe_runtime_child_spawn(runtime, TROUPE_NOBODY, NULL, 0, 1, &answer)),
        ROW(troupe_runtime_child_spawn(runtime, props->other, NULL, 1, 1, &answer)),
        ROW(troupe_runtime_child_spawn(runtime, props->other, NULL, 0, -2, &answer)),
        ROW(troupe_runtime_child_terminate(NULL, props->other, props->other, 1, &answer)),
        ROW(troupe_runtime_child_terminate(runtime, TROUPE_NOBODY, props->other, 1, &answer)),
        ROW(troupe_runtime_child_terminate(runtime, props->other, TROUPE_NOBODY, 1, &answer)),
        ROW(troupe_runtime_child_terminate(runtime, props->other, props->other, -2, &answer)),
        ROW(troupe_partition(NULL, "a", 1, 0, &pid)),
        ROW(troupe_partition(runtime, NULL, 1, 0, &pid)),
        ROW(troupe_partition(runtime, "", 1, 0, &pid)),
        ROW(troupe_partition(runtime, "a", 0, 0, &pid)),
        ROW(troupe_partition(runtime, "a", TROUPE_PARTITIONS_MAX + 1, 0, &pid)),
        ROW(troupe_partition(runtime, "a", 1, 0, NULL)),
        ROW(troupe_runtime_partition_child(
            NULL, "a", 1, TROUPE_CHILD_WHICH, "a", NULL, 1, &answer)),
        ROW(troupe_runtime_partition_child(
            runtime, "a", 1, TROUPE_CHILD_WHICH, NULL, NULL, 1, &answer)),
        ROW(troupe_runtime_partition_count(NULL, "a", 1, 1, &total)),
        ROW(troupe_runtime_partition_count(runtime, "a", 1, 0, &total)),
        ROW(troupe_runtime_partition_count(runtime, "a", 1, -2, &total)),
        ROW(troupe_runtime_partition_count(runtime, "a", 1, 1, NULL)),
        ROW(troupe_runtime_pool_resize(NULL, props->other, 1, 0, 1, NULL)),
        ROW(troupe_runtime_pool_resize(runtime, props->other, (uint32_t)INT32_MAX + 1, 0, 1, NULL)),
        ROW(troupe_runtime_pool_resize(runtime, props->other, 1, TROUPE_BRUTAL_KILL, 1, NULL)),
        ROW(troupe_runtime_pool_resize(runtime, props->other, 1, 0, 0, NULL)),
        ROW(troupe_runtime_pool_look(NULL, props->other, 1, NULL)),
        ROW(troupe_runtime_pool_look(runtime, props->other, -2, NULL)),
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
    check_names(stage.runtime, props.other);
    check_members(stage.runtime, &props);
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
    cr_assert_not(troupe_is_awaited(NULL));
    cr_assert_eq(troupe_deadline(NULL), TROUPE_FOREVER);
    cr_assert_null(troupe_message_type(NULL));
    cr_assert_null(troupe_body(NULL));
    cr_assert_eq(troupe_body_size(NULL), 0);
    cr_assert_eq(troupe_sender(NULL), TROUPE_NOBODY);
    cr_assert_eq(troupe_tick_missed(NULL), 0);
    cr_assert_gt(troupe_now_ns(NULL), 0);
    troupe_buffer_release(NULL);
    troupe_reference_release(NULL);
    cr_expect_null(troupe_reference_retain(NULL));
    cr_expect_null(troupe_reference_downgrade(NULL));
    cr_expect_eq(troupe_reference_pid(NULL), TROUPE_NOBODY);
    troupe_weak_release(NULL);
    cr_expect_null(troupe_weak_retain(NULL));
    cr_expect_eq(troupe_weak_pid(NULL), TROUPE_NOBODY);
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
