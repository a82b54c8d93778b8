/* SPDX-License-Identifier: MIT */
/* Net: bytes come and go whole, limits stop reading and not the client, and every end is orderly. */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <troupe.h>

#include "lib/net/bytes.h"
#include "lib/net/pid_set.h"
#include "test/support/allocator.h"
#include "test/support/random.h"

enum {
    STOP_MS = 10000,
    TEXT_MAX = 256,
};

/* ---- a runtime with one listener ---- */

struct net {
    struct test_allocator memory;
    struct troupe_allocator allocator;
    struct troupe_runtime *runtime;
    struct troupe_listener_spec spec;
    troupe_pid listener;
    uint16_t port;
    _Atomic unsigned limits; /* reports of a limit */
    char failure[TEXT_MAX];  /* text of the first failure reported */
};

static void on_report(void *context, const struct troupe_report *report)
{
    struct net *net = context;

    if (report->kind == TROUPE_REPORT_LIMIT) {
        net->limits++;
    }
    if (report->kind == TROUPE_REPORT_FAILURE && net->failure[0] == '\0') {
        strncpy(net->failure, report->text, sizeof net->failure - 1);
    }
}

static void net_create(struct net *net)
{
    struct troupe_runtime_options options = {.workers = 2,
        .watchdog_ms = TROUPE_NO_WATCHDOG,
        .report = on_report,
        .report_context = net,
        .allocator = &net->allocator};

    net->allocator = test_allocator_of(&net->memory);
    cr_assert_eq(troupe_runtime_create(&options, &net->runtime), TROUPE_OK);
    cr_assert_eq(troupe_runtime_start(net->runtime), TROUPE_OK);
}

static int start_listener(struct net *net)
{
    const struct troupe_child_spec child = {
        .id = "listener",
        .behaviour = &troupe_listener_behaviour,
        .arg = &net->spec,
        .arg_size = sizeof net->spec,
    };
    const struct troupe_supervisor_spec tree = {
        .name = "net", .children = &child, .child_count = 1};
    troupe_pid top;

    net->spec.out_port = &net->port;
    return troupe_supervisor_start(net->runtime, &tree, STOP_MS, &top);
}

static void net_open(struct net *net, const struct troupe_protocol *protocol)
{
    net->spec.protocol = protocol;
    net_create(net);
    cr_assert_eq(start_listener(net), TROUPE_OK, "%s", net->failure);
    cr_assert_neq(net->port, 0);
}

/* Everything has to end by itself, and all memory to come back. */
static void net_close(struct net *net)
{
    cr_assert_eq(troupe_runtime_stop(net->runtime, STOP_MS), TROUPE_OK);
    cr_assert_eq(troupe_runtime_destroy(net->runtime), TROUPE_OK);
    cr_assert_eq(
        net->memory.blocks, 0, "%llu blocks leaked", (unsigned long long)net->memory.blocks);
}

/* ---- clients: blocking sockets of the test's own thread ---- */

static int client_open(const struct net *net)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(net->port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    cr_assert_geq(fd, 0);
    cr_assert_eq(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

static void put(int fd, const char *text)
{
    cr_assert_eq(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

/* Reads exactly `text`. */
static void expect(int fd, const char *text)
{
    char got[TEXT_MAX] = "";
    size_t want = strlen(text);
    size_t have = 0;

    while (have < want) {
        ssize_t count = recv(fd, got + have, want - have, 0);

        cr_assert_gt(count, 0, "got \"%s\" of \"%s\"", got, text);
        have += (size_t)count;
    }
    cr_assert_str_eq(got, text);
}

/* Reads the end, and not a reset. */
static void expect_end(int fd)
{
    char byte;

    cr_assert_eq(recv(fd, &byte, 1, 0), 0);
    close(fd);
}

/* ---- an echo ---- */

static int echo_data(struct troupe_actor *self, struct troupe_connection *connection, void *state,
    const uint8_t *data, size_t size, size_t *in_out_used)
{
    (void)self;
    (void)state;
    *in_out_used = size;
    return troupe_connection_write(connection, data, size);
}

static const struct troupe_protocol echo = {.name = "echo", .on_data = echo_data};

Test(net, what_is_sent_comes_back, .timeout = 20)
{
    struct net net = {0};
    int first;
    int second;

    net_open(&net, &echo);
    first = client_open(&net);
    second = client_open(&net);
    put(first, "one");
    put(second, "two");
    expect(second, "two");
    expect(first, "one");
    put(first, "three");
    expect(first, "three");
    close(first);
    close(second);
    net_close(&net);
}

Test(net, an_ipv6_address_may_stand_in_brackets, .timeout = 20)
{
    struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    struct net net = {.spec = {.host = "[::1]"}};
    int fd;

    net_open(&net, &echo);
    address.sin6_port = htons(net.port);
    fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_eq(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    put(fd, "six");
    expect(fd, "six");
    close(fd);
    net_close(&net);
}

Test(net, many_bytes_arrive_whole_though_neither_side_can_hold_them, .timeout = 60)
{
    struct test_random out = test_random_of(1);
    struct test_random in = test_random_of(1);
    struct net net = {.spec = {.max_unsent = 64 << 10}};
    size_t total = (size_t)32 << 20;
    size_t sent = 0;
    size_t have = 0;
    size_t stalls = 0;
    uint8_t pending = 0;
    bool has_pending = false;
    int fd;

    net_open(&net, &echo);
    fd = client_open(&net);
    cr_assert_eq(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    while (have < total) {
        uint8_t bytes[4096];
        ssize_t count;

        /* Writes until nothing is taken, and only then reads a little: pressure must reach us. */
        while (sent < total) {
            if (!has_pending) {
                pending = (uint8_t)test_next(&out);
                has_pending = true;
            }
            memset(bytes, pending, sizeof bytes);
            count = send(fd, bytes, sizeof bytes - sent % sizeof bytes, MSG_NOSIGNAL);
            if (count < 0) {
                cr_assert_eq(errno, EAGAIN);
                stalls++;
                break;
            }
            sent += (size_t)count;
            has_pending = sent % sizeof bytes != 0;
        }
        count = recv(fd, bytes, sizeof bytes - have % sizeof bytes, 0);
        if (count > 0) {
            static uint8_t expected;

            if (have % sizeof bytes == 0) {
                expected = (uint8_t)test_next(&in);
            }
            for (ssize_t i = 0; i < count; i++) {
                cr_assert_eq(bytes[i], expected, "at %zu", have + (size_t)i);
            }
            have += (size_t)count;
        } else {
            cr_assert(count < 0 && errno == EAGAIN);
        }
    }
    cr_assert_gt(stalls, 0, "the server took everything without being read");
    close(fd);
    net_close(&net);
}

/* ---- what on_data leaves ---- */

/* Takes whole words of four bytes, one a call, and echoes them. */
static int words_data(struct troupe_actor *self, struct troupe_connection *connection, void *state,
    const uint8_t *data, size_t size, size_t *in_out_used)
{
    (void)self;
    (void)state;
    while (size - *in_out_used >= 4) {
        TROUPE_TRY(troupe_connection_write(connection, data + *in_out_used, 4));
        *in_out_used += 4;
    }
    return TROUPE_OK;
}

static const struct troupe_protocol words = {.name = "words", .on_data = words_data};

Test(net, bytes_that_are_not_taken_are_given_again_with_more_behind, .timeout = 20)
{
    const char *text = "onceuponatim";
    struct net net = {0};
    int fd;
    size_t i;

    net_open(&net, &words);
    fd = client_open(&net);
    for (i = 0; i < strlen(text); i++) {
        cr_assert_eq(send(fd, text + i, 1, MSG_NOSIGNAL), 1);
    }
    expect(fd, text);
    close(fd);
    net_close(&net);
}

static int greedy_data(struct troupe_actor *self, struct troupe_connection *connection, void *state,
    const uint8_t *data, size_t size, size_t *in_out_used)
{
    (void)self;
    (void)connection;
    (void)state;
    (void)data;
    (void)size;
    (void)in_out_used;
    return TROUPE_OK; /* never has enough */
}

static const struct troupe_protocol greedy = {.name = "greedy", .on_data = greedy_data};

Test(net, more_than_max_unread_ends_the_connection, .timeout = 20)
{
    struct net net = {.spec = {.max_unread = 100000}};
    char bytes[4096] = "";
    size_t sent = 0;
    ssize_t count;
    int fd;

    net_open(&net, &greedy);
    fd = client_open(&net);
    while ((count = send(fd, bytes, sizeof bytes, MSG_NOSIGNAL)) > 0) {
        sent += (size_t)count;
        cr_assert_lt(sent, (size_t)256 << 20, "the server takes it all");
    }
    close(fd);
    fd = client_open(&net);
    put(fd, "others do not notice");
    close(fd);
    net_close(&net);
}

/* ---- pausing ---- */

static const struct troupe_type go_on = TROUPE_SIGNAL;

struct pausing {
    bool paused;
    unsigned calls; /* while paused: there must be none */
};

static int pausing_data(struct troupe_actor *self, struct troupe_connection *connection,
    void *state, const uint8_t *data, size_t size, size_t *in_out_used)
{
    struct pausing *pausing = state;
    struct troupe_timer timer;

    pausing->calls += pausing->paused;
    if (size == 0) {
        return TROUPE_OK;
    }
    TROUPE_TRY(troupe_connection_write(connection, data, 1));
    *in_out_used = 1;
    pausing->paused = true;
    TROUPE_TRY(troupe_tick_after(self, 5, &go_on, NULL, &timer));
    return TROUPE_PAUSE;
}

static int pausing_message(struct troupe_actor *self, struct troupe_connection *connection,
    void *state, struct troupe_message *msg)
{
    struct pausing *pausing = state;

    if (!troupe_is(msg, &go_on)) {
        return TROUPE_EUNKNOWN;
    }
    pausing->paused = false;
    if (pausing->calls > 0) {
        return troupe_fail(self, TROUPE_ECHECK, "called while paused");
    }
    troupe_connection_resume(connection);
    return TROUPE_OK;
}

static const struct troupe_protocol pausing = {
    .name = "pausing",
    .state_size = sizeof(struct pausing),
    .on_data = pausing_data,
    .on_message = pausing_message,
};

Test(net, a_pause_lasts_until_it_is_ended_and_loses_nothing, .timeout = 20)
{
    struct net net = {0};
    int fd;

    net_open(&net, &pausing);
    fd = client_open(&net);
    put(fd, "abc");
    expect(fd, "a");
    put(fd, "de");
    expect(fd, "bcde");
    cr_assert_eq(shutdown(fd, SHUT_WR), 0);
    expect_end(fd);
    cr_assert_str_eq(net.failure, "");
    net_close(&net);
}

/* ---- requests in flight ---- */

/* Each byte is a request that is answered a moment later, by a tick. */
struct slow_byte {
    uint8_t byte;
};
static const struct troupe_type slow_byte = TROUPE_TYPE(struct slow_byte);

static _Atomic unsigned slow_inflight;
static _Atomic unsigned slow_peak;

static int slow_data(struct troupe_actor *self, struct troupe_connection *connection, void *state,
    const uint8_t *data, size_t size, size_t *in_out_used)
{
    (void)state;
    while (*in_out_used < size && !troupe_connection_is_full(connection)) {
        struct slow_byte body = {data[(*in_out_used)++]};
        struct troupe_timer timer;
        unsigned now;

        TROUPE_TRY(troupe_tick_after(self, 5, &slow_byte, &body, &timer));
        troupe_connection_begin(connection);
        now = ++slow_inflight;
        if (now > slow_peak) {
            slow_peak = now;
        }
    }
    return TROUPE_OK;
}

static int slow_message(struct troupe_actor *self, struct troupe_connection *connection,
    void *state, struct troupe_message *msg)
{
    (void)self;
    (void)state;
    if (!troupe_is(msg, &slow_byte)) {
        return TROUPE_EUNKNOWN;
    }
    TROUPE_TRY(troupe_connection_write(connection, troupe_body(msg), 1));
    slow_inflight--;
    troupe_connection_end(connection);
    return TROUPE_OK;
}

static const struct troupe_protocol slow = {
    .name = "slow", .on_data = slow_data, .on_message = slow_message};

Test(net, no_more_than_max_inflight_are_begun_and_none_is_forgotten, .timeout = 20)
{
    struct net net = {.spec = {.max_inflight = 3}};
    int fd;

    net_open(&net, &slow);
    fd = client_open(&net);
    put(fd, "abcdefghijklmnopqrstuvwxyz");
    expect(fd, "abcdefghijklmnopqrstuvwxyz");
    cr_assert_eq(slow_peak, 3);
    close(fd);
    net_close(&net);
}

Test(net, a_client_that_ends_its_side_still_gets_every_answer, .timeout = 20)
{
    struct net net = {.spec = {.max_inflight = 2}};
    int fd;

    net_open(&net, &slow);
    fd = client_open(&net);
    put(fd, "answer me");
    cr_assert_eq(shutdown(fd, SHUT_WR), 0);
    expect(fd, "answer me");
    expect_end(fd);
    net_close(&net);
}

Test(net, a_stop_waits_for_what_is_in_flight, .timeout = 20)
{
    struct net net = {0};
    int fd;

    net_open(&net, &slow);
    fd = client_open(&net);
    put(fd, "last");
    while (slow_inflight < 4) { /* until it has been read: nothing else says so */
        usleep(100);
    }
    net_close(&net);
    expect(fd, "last");
    expect_end(fd);
}

/* ---- requests of a connection ---- */

static int answerer_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    (void)state;
    return troupe_reply(self, msg, &slow_byte, troupe_body(msg));
}

static const struct troupe_behaviour answerer = {
    .name = "answerer",
    .receive = answerer_receive,
    .capacity = 8, /* max_inflight, and some that are answered already */
};

static int on_answer(
    struct troupe_actor *self, void *state, void *context, int status, struct troupe_message *reply)
{
    struct troupe_connection *connection = state;
    unsigned *count = troupe_connection_state(connection);

    (void)self;
    (void)context;
    if (status != TROUPE_OK) {
        return status;
    }
    ++*count;
    TROUPE_TRY(troupe_connection_write(connection, troupe_body(reply), 1));
    troupe_connection_end(connection);
    if (*count == 5) {
        troupe_connection_close(connection);
    }
    return TROUPE_OK;
}

static int asking_data(struct troupe_actor *self, struct troupe_connection *connection, void *state,
    const uint8_t *data, size_t size, size_t *in_out_used)
{
    (void)state;
    while (*in_out_used < size && !troupe_connection_is_full(connection)) {
        TROUPE_TRY(troupe_request(self, troupe_whereis(self, "answerer"), &slow_byte,
            &data[(*in_out_used)++], STOP_MS, on_answer, NULL));
        troupe_connection_begin(connection);
    }
    return TROUPE_OK;
}

static const struct troupe_protocol asking = {
    .name = "asking", .state_size = sizeof(unsigned), .on_data = asking_data};

Test(net, a_continuation_gets_its_connection_and_what_it_writes_leaves, .timeout = 20)
{
    struct troupe_spawn_options options = {.behaviour = &answerer, .name = "answerer"};
    struct net net = {.spec = {.max_inflight = 2}};
    troupe_pid pid;
    int fd;

    net_open(&net, &asking);
    cr_assert_eq(troupe_runtime_spawn(net.runtime, &options, &pid), TROUPE_OK);
    fd = client_open(&net);
    put(fd, "abcde");
    expect(fd, "abcde");
    expect_end(fd);
    net_close(&net);
}

/* ---- ends ---- */

static int farewell_end(
    struct troupe_actor *self, struct troupe_connection *connection, void *state)
{
    (void)self;
    (void)state;
    TROUPE_TRY(troupe_connection_write(connection, "bye", 3));
    return TROUPE_DONE;
}

static const struct troupe_protocol farewell = {
    .name = "farewell", .on_data = echo_data, .on_end = farewell_end};

Test(net, on_end_comes_after_all_bytes_and_may_answer, .timeout = 20)
{
    struct net net = {0};
    int fd;

    net_open(&net, &farewell);
    fd = client_open(&net);
    put(fd, "hello ");
    cr_assert_eq(shutdown(fd, SHUT_WR), 0);
    expect(fd, "hello bye");
    expect_end(fd);
    net_close(&net);
}

/* Says no after the first byte, whatever else the client sends. */
static int rude_data(struct troupe_actor *self, struct troupe_connection *connection, void *state,
    const uint8_t *data, size_t size, size_t *in_out_used)
{
    (void)self;
    (void)state;
    (void)data;
    *in_out_used = size;
    TROUPE_TRY(troupe_connection_write(connection, "no", 2));
    return TROUPE_DONE;
}

static const struct troupe_protocol rude = {.name = "rude", .on_data = rude_data};

Test(net, a_close_with_bytes_unread_does_not_reset_the_last_answer, .timeout = 20)
{
    struct net net = {0};
    static char bytes[300000];
    int fd;

    net_open(&net, &rude);
    fd = client_open(&net);
    cr_assert_eq(send(fd, bytes, sizeof bytes, MSG_NOSIGNAL), (ssize_t)sizeof bytes);
    expect(fd, "no");
    expect_end(fd);
    net_close(&net);
}

Test(net, a_client_without_a_byte_is_closed_after_the_idle_timeout, .timeout = 20)
{
    struct net net = {.spec = {.idle_timeout_ms = 50}};
    int fd;

    net_open(&net, &echo);
    fd = client_open(&net);
    put(fd, "x");
    expect(fd, "x");
    expect_end(fd);
    net_close(&net);
}

/* ---- failures ---- */

static _Atomic unsigned destroyed;

static int brittle_open(
    struct troupe_actor *self, struct troupe_connection *connection, void *state, const void *arg)
{
    (void)self;
    (void)state;
    cr_assert_eq(arg, &destroyed);
    return troupe_connection_write(connection, troupe_connection_peer(connection), 10);
}

static int brittle_data(struct troupe_actor *self, struct troupe_connection *connection,
    void *state, const uint8_t *data, size_t size, size_t *in_out_used)
{
    if (data[0] == '!') {
        return troupe_fail(self, TROUPE_EPROTO, "broken on purpose");
    }
    return echo_data(self, connection, state, data, size, in_out_used);
}

static void brittle_destroy(void *state)
{
    (void)state;
    destroyed++;
}

static const struct troupe_protocol brittle = {
    .name = "brittle",
    .state_size = 100,
    .on_open = brittle_open,
    .on_data = brittle_data,
    .destroy = brittle_destroy,
};

Test(net, a_connection_that_fails_takes_nobody_with_it, .timeout = 20)
{
    struct net net = {.spec = {.arg = &destroyed}};
    int good;
    int bad;
    char byte;

    net_open(&net, &brittle);
    good = client_open(&net);
    bad = client_open(&net);
    expect(good, "127.0.0.1:");
    expect(bad, "127.0.0.1:");
    put(bad, "!");
    cr_assert_leq(recv(bad, &byte, 1, 0), 0);
    put(good, "still here");
    expect(good, "still here");
    close(bad);
    close(good);
    net_close(&net);
    cr_assert_eq(destroyed, 2, "once each");
    cr_assert_not_null(strstr(net.failure, "broken on purpose"));
}

Test(net, clients_above_the_limit_are_told_and_closed, .timeout = 20)
{
    struct net net = {.spec = {.max_connections = 2, .refusal = "full\n"}};
    int fds[4];
    int i;

    net_open(&net, &echo);
    for (i = 0; i < 4; i++) {
        fds[i] = client_open(&net);
        if (i < 2) {
            put(fds[i], "in");
            expect(fds[i], "in");
        } else {
            expect(fds[i], "full\n");
            expect_end(fds[i]);
        }
    }
    cr_assert_eq(net.limits, 1, "said once");
    close(fds[0]);
    for (;;) { /* the listener hears of the end a moment later */
        char got[3] = "";
        int fd = client_open(&net);

        if (send(fd, "in", 2, MSG_NOSIGNAL) == 2 && recv(fd, got, 2, 0) == 2 && got[0] == 'i') {
            close(fd);
            break;
        }
        close(fd);
    }
    close(fds[1]);
    net_close(&net);
}

static int lowest_free_fd(void)
{
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

    cr_assert_geq(fd, 0);
    close(fd);
    return fd;
}

Test(net, without_descriptors_clients_are_shed_until_there_are_some, .timeout = 30)
{
    struct net net = {0};
    struct rlimit limit;
    struct rlimit low;
    int fds[3];
    char byte;
    int i;

    net_open(&net, &echo);
    for (i = 0; i < 3; i++) {
        fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        cr_assert_geq(fds[i], 0);
    }
    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    low = limit;
    low.rlim_cur = (rlim_t)lowest_free_fd() + 1; /* one client, no more */
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &low), 0);
    for (i = 0; i < 3; i++) {
        struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(net.port)};

        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        cr_assert_eq(connect(fds[i], (struct sockaddr *)&address, sizeof address), 0);
        if (i == 0) {
            put(fds[0], "in");
            expect(fds[0], "in");
        } else {
            cr_assert_leq(recv(fds[i], &byte, 1, 0), 0, "closed at once");
        }
        if (i == 0) {
            cr_assert_eq(net.limits, 0, "the last descriptor is no want");
        }
    }
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    close(fds[1]);
    fds[1] = client_open(&net);
    put(fds[1], "again");
    expect(fds[1], "again");
    cr_assert_eq(net.limits, 1, "said once");
    for (i = 0; i < 3; i++) {
        close(fds[i]);
    }
    net_close(&net);
}

Test(net, a_port_in_use_is_said_in_words, .timeout = 20)
{
    struct net first = {0};
    struct net second = {0};
    char text[TEXT_MAX];

    net_open(&first, &echo);
    second.spec.protocol = &echo;
    second.spec.port = first.port;
    net_create(&second);
    cr_assert_eq(start_listener(&second), TROUPE_ESYSTEM);
    snprintf(
        text, sizeof text, "cannot listen on 127.0.0.1:%u: Address already in use", first.port);
    cr_assert_not_null(strstr(second.failure, text), "said \"%s\"", second.failure);
    net_close(&second);
    net_close(&first);
}

Test(net, a_listener_without_what_it_needs_does_not_start, .timeout = 20)
{
    static const struct troupe_protocol mute = {.name = "mute"};
    const struct {
        struct troupe_listener_spec spec;
        int error;
    } cases[] = {
        {{.protocol = NULL}, TROUPE_EINVAL},
        {{.protocol = &mute}, TROUPE_EINVAL},
        {{.protocol = &echo, .idle_timeout_ms = -1}, TROUPE_EINVAL},
        {{.protocol = &echo, .host = "localhost"}, TROUPE_ESYSTEM},
        {{.protocol = &echo, .host = "[::1"}, TROUPE_ESYSTEM},
        {{.protocol = &echo, .host = ""}, TROUPE_ESYSTEM},
        {{.protocol = &echo, .host = "192.0.2.1"}, TROUPE_ESYSTEM},
    };
    size_t i;

    for (i = 0; i < TROUPE_COUNT(cases); i++) {
        struct net net = {.spec = cases[i].spec};

        net_create(&net);
        cr_assert_eq(start_listener(&net), cases[i].error, "case %zu", i);
        net_close(&net);
    }
}

Test(net, nonsense_is_refused)
{
    void *room;

    cr_assert_eq(troupe_connection_write(NULL, "x", 1), TROUPE_EINVAL);
    cr_assert_eq(troupe_connection_reserve(NULL, 1, &room), TROUPE_EINVAL);
    cr_assert_eq(troupe_connection_id(NULL), 0);
    cr_assert_str_eq(troupe_connection_peer(NULL), "");
    cr_assert_null(troupe_connection_state(NULL));
    cr_assert(troupe_connection_is_full(NULL));
    troupe_connection_commit(NULL, 1);
    troupe_connection_begin(NULL);
    troupe_connection_end(NULL);
    troupe_connection_resume(NULL);
    troupe_connection_close(NULL);
}

Test(net, any_allocation_may_fail_and_the_next_client_is_served, .timeout = 60)
{
    struct net net = {0};
    unsigned failures = 0;
    uint64_t k;

    net_open(&net, &words);
    for (k = 1; k <= 40; k++) {
        char got[8] = "";
        uint64_t calls;
        int fd;

        net.memory.fail_at = net.memory.calls + k;
        fd = client_open(&net);
        if (send(fd, "wor", 3, MSG_NOSIGNAL) == 3 && send(fd, "dwords", 6, MSG_NOSIGNAL) == 6) {
            failures += recv(fd, got, 8, MSG_WAITALL) != 8;
        } else {
            failures++;
        }
        close(fd);
        calls = net.memory.calls;
        net.memory.fail_at = 0;
        fd = client_open(&net);
        put(fd, "fine");
        expect(fd, "fine");
        close(fd);
        if (calls < k) {
            break;
        }
    }
    cr_assert_gt(failures, 0);
    net_close(&net);
}

/* ---- numbers ---- */

static struct troupe_listener_numbers told;
static _Atomic bool has_told;

static int on_numbers(
    struct troupe_actor *self, void *state, void *context, int status, struct troupe_message *reply)
{
    (void)self;
    (void)state;
    (void)context;
    cr_assert_eq(status, TROUPE_OK);
    told = *(const struct troupe_listener_numbers *)troupe_body(reply);
    has_told = true;
    return TROUPE_DONE;
}

static int asker_init(struct troupe_actor *self, void *state, const void *arg)
{
    (void)state;
    (void)arg;
    return troupe_request(self, troupe_whereis(self, "net.listener"), &troupe_listener_ask, NULL,
        STOP_MS, on_numbers, NULL);
}

static const struct troupe_behaviour asker = {
    .name = "asker", .init = asker_init, .receive = answerer_receive};

Test(net, a_listener_tells_its_numbers, .timeout = 20)
{
    struct troupe_spawn_options options = {.behaviour = &asker};
    struct net net = {.spec = {.max_connections = 1, .refusal = "full"}};
    troupe_pid pid;
    int fds[2];

    net_open(&net, &echo);
    fds[0] = client_open(&net);
    put(fds[0], "in");
    expect(fds[0], "in");
    fds[1] = client_open(&net);
    expect(fds[1], "full");
    cr_assert_eq(troupe_runtime_spawn(net.runtime, &options, &pid), TROUPE_OK);
    cr_assert_eq(troupe_join(net.runtime, pid, STOP_MS, NULL), TROUPE_OK);
    cr_assert(has_told);
    cr_assert_eq(told.connections, 1);
    cr_assert_eq(told.accepted, 1);
    cr_assert_eq(told.refused, 1);
    cr_assert_eq(told.shed, 0);
    cr_assert_eq(told.failed, 0);
    close(fds[0]);
    close(fds[1]);
    net_close(&net);
}

/* ---- the parts ---- */

Test(net, a_pid_set_holds_what_a_plain_list_holds)
{
    struct test_random random = test_random_of(test_seed("pid_set"));
    struct trp_memory memory;
    struct trp_pid_set set = {0};
    bool held[512] = {false};
    size_t count = 0;
    int step;

    trp_memory_init(&memory, NULL, UINT64_MAX);
    for (step = 0; step < 100000; step++) {
        size_t i = test_below(&random, TROUPE_COUNT(held));
        troupe_pid pid = (i + 1) * 0x10000001; /* dense, as slots are */

        if (!held[i] && test_below(&random, 2) == 0) {
            cr_assert_eq(trp_pid_set_reserve(&set, &memory), TROUPE_OK);
            trp_pid_set_add(&set, pid);
            held[i] = true;
            count++;
        } else {
            cr_assert_eq(trp_pid_set_remove(&set, pid), held[i]);
            count -= held[i];
            held[i] = false;
        }
        cr_assert_eq(set.count, count);
    }
    trp_pid_set_free(&set, &memory);
    cr_assert_eq(memory.held, 0);
}

Test(net, bytes_come_out_in_the_order_in_which_they_went_in)
{
    struct test_random random = test_random_of(test_seed("bytes"));
    struct trp_memory memory;
    struct trp_bytes bytes = {0};
    uint8_t next_in = 0;
    uint8_t next_out = 0;
    int step;

    trp_memory_init(&memory, NULL, UINT64_MAX);
    for (step = 0; step < 20000; step++) {
        size_t count = test_below(&random, 3000);
        unsigned char *room;
        size_t i;

        if (test_below(&random, 2) == 0) {
            room = trp_bytes_reserve(&bytes, &memory, count);
            cr_assert_not_null(room);
            for (i = 0; i < count; i++) {
                room[i] = next_in++;
            }
            trp_bytes_fill(&bytes, count);
        } else {
            count = count < bytes.size ? count : bytes.size;
            for (i = 0; i < count; i++) {
                cr_assert_eq(trp_bytes_head(&bytes)[i], next_out);
                next_out++;
            }
            trp_bytes_take(&bytes, count);
            trp_bytes_rest(&bytes, &memory, TRP_BYTES_KEEP);
        }
    }
    cr_assert_null(trp_bytes_reserve(&bytes, &memory, TRP_BYTES_MAX + 1));
    trp_bytes_free(&bytes, &memory);
    cr_assert_eq(memory.held, 0);
}
