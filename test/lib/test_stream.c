/* SPDX-License-Identifier: MIT */
/* Stream: connections in straight-line code, over loopback, with a fiber at each end. */
#include <errno.h>
#include <sys/socket.h>

#include "sched/core.h"
#include "test/support/stage.h"

static const struct troupe_type number = TROUPE_TYPE(uint64_t);

/* Both kinds of runtime. */
static const int kinds[] = {TROUPE_NO_THREADS, 1, 2};

#define FOR_EACH_KIND(i) for (size_t i = 0; i < TROUPE_COUNT(kinds); i++)

/* A main function that is given to it; and the same with a client or a server at hand. */
struct part {
    int (*run)(struct troupe_actor *self, struct part *part, struct troupe_stream *stream);
    struct part *peer; /* of one that connects: who listens */
    troupe_pid pid;
    _Atomic uint16_t port; /* of one that listens */
    _Atomic unsigned steps;
    _Atomic bool done;
    int status;
    int number; /* errno */
};

static int begin(struct troupe_actor *self, struct part *part, struct troupe_stream **out_stream)
{
    struct troupe_stream *listening;
    int error;

    if (part->peer != NULL) {
        while (part->peer->port == 0) {
            TROUPE_TRY(troupe_sleep(self, 1));
        }
        return troupe_stream_connect(self, "127.0.0.1", part->peer->port, 10000, out_stream);
    }
    TROUPE_TRY(troupe_stream_listen(self, "127.0.0.1", 0, &listening));
    part->port = troupe_stream_port(listening);
    error = troupe_stream_accept(self, listening, 10000, out_stream);
    troupe_stream_close(self, listening);
    return error;
}

static int part_main(struct troupe_actor *self, const void *arg)
{
    struct part *part = (struct part *)(uintptr_t)arg;
    struct troupe_stream *stream;
    int status = begin(self, part, &stream);

    part->status = status < 0 ? status : part->run(self, part, stream);
    part->number = errno;
    part->done = true;
    return TROUPE_OK;
}

static const struct troupe_behaviour part_behaviour = {
    .name = "part",
    .main = part_main,
    .capacity = STAGE_ROOM,
};

static void play(struct stage *stage, struct part *server, struct part *client)
{
    client->peer = server;
    server->pid = stage_spawn(stage, &part_behaviour, server);
    client->pid = stage_spawn(stage, &part_behaviour, client);
}

static void play_through(int kind, struct part *server, struct part *client)
{
    struct stage stage;

    stage_open(&stage, kind);
    play(&stage, server, client);
    STAGE_AWAIT(&stage, server->done && client->done);
    stage_close(&stage);
    cr_assert_eq(server->status, TROUPE_OK, "server: %s", troupe_strerror(server->status));
    cr_assert_eq(client->status, TROUPE_OK, "client: %s", troupe_strerror(client->status));
}

static int expect(bool condition)
{
    return condition ? TROUPE_OK : TROUPE_ECHECK;
}

/* ---- bytes ---- */

static int echo(struct troupe_actor *self, struct part *part, struct troupe_stream *stream)
{
    char bytes[1000];
    size_t size;
    int status;

    (void)part;
    while ((status = troupe_stream_read(self, stream, bytes, sizeof bytes, 10000, &size)) == 0) {
        TROUPE_TRY(troupe_stream_write(self, stream, bytes, size, 10000));
    }
    return status == TROUPE_ECLOSED ? TROUPE_OK : status;
}

static int talk(struct troupe_actor *self, struct part *part, struct troupe_stream *stream)
{
    char bytes[32];
    size_t size;

    (void)part;
    for (unsigned i = 0; i < 100; i++) {
        TROUPE_TRY(troupe_stream_write(self, stream, "hello", 5, 10000));
        TROUPE_TRY(troupe_stream_read_exactly(self, stream, bytes, 5, 10000));
        TROUPE_TRY(expect(memcmp(bytes, "hello", 5) == 0));
    }
    TROUPE_TRY(expect(strncmp(troupe_stream_peer(stream), "127.0.0.1:", 10) == 0));
    TROUPE_TRY(troupe_stream_end(self, stream));
    return expect(
        troupe_stream_read(self, stream, bytes, sizeof bytes, 10000, &size) == TROUPE_ECLOSED);
}

Test(stream, what_is_written_is_read_and_the_end_is_told, .timeout = 60)
{
    FOR_EACH_KIND(i)
    {
        struct part server = {.run = echo};
        struct part client = {.run = talk};

        play_through(kinds[i], &server, &client);
    }
}

/* More than the buffers of both sockets take: who writes waits until the other reads. */
#define MUCH ((size_t)24 << 20)

static int write_much(struct troupe_actor *self, struct part *part, struct troupe_stream *stream)
{
    unsigned char *bytes = malloc(MUCH);
    int status;

    (void)part;
    for (size_t i = 0; i < MUCH; i++) {
        bytes[i] = (unsigned char)(i * 31 >> 3);
    }
    status = troupe_stream_write(self, stream, bytes, MUCH, 30000);
    free(bytes);
    return status;
}

static int read_much(struct troupe_actor *self, struct part *part, struct troupe_stream *stream)
{
    unsigned char bytes[5000];
    size_t at = 0;
    size_t size;
    int status;

    TROUPE_TRY(troupe_sleep(self, 20));
    part->steps = part->peer->done;
    while ((status = troupe_stream_read(self, stream, bytes, sizeof bytes, 10000, &size)) == 0) {
        for (size_t i = 0; i < size; i++, at++) {
            TROUPE_TRY(expect(bytes[i] == (unsigned char)(at * 31 >> 3)));
        }
    }
    TROUPE_TRY(expect(status == TROUPE_ECLOSED));
    return expect(at == MUCH);
}

Test(stream, who_writes_much_waits_until_it_is_taken, .timeout = 60)
{
    FOR_EACH_KIND(i)
    {
        struct part server = {.run = write_much};
        struct part client = {.run = read_much};

        play_through(kinds[i], &server, &client);
        cr_assert_eq(client.steps, 0, "the socket took everything, so nobody had to wait");
    }
}

/* ---- until, exactly ---- */

static int write_in_bits(struct troupe_actor *self, struct part *part, struct troupe_stream *stream)
{
    static const char *const bits[] = {
        "on", "e\r", "\ntwo\r\nth", "ree", "\r\n12345", "678 unended"};

    (void)part;
    for (size_t i = 0; i < TROUPE_COUNT(bits); i++) {
        TROUPE_TRY(troupe_stream_write(self, stream, bits[i], strlen(bits[i]), 10000));
        TROUPE_TRY(troupe_sleep(self, 2));
    }
    return TROUPE_OK;
}

static int expect_line(struct troupe_actor *self, struct troupe_stream *stream, const char *line)
{
    const char *data;
    size_t size;

    TROUPE_TRY(troupe_stream_read_until(self, stream, "\r\n", 100, 10000, &data, &size));
    return expect(size == strlen(line) && memcmp(data, line, size) == 0);
}

static int read_in_parts(struct troupe_actor *self, struct part *part, struct troupe_stream *stream)
{
    const char *data;
    char bytes[64];
    size_t size;

    (void)part;
    TROUPE_TRY(expect_line(self, stream, "one\r\n"));
    TROUPE_TRY(expect_line(self, stream, "two\r\n"));
    TROUPE_TRY(expect_line(self, stream, "three\r\n"));
    TROUPE_TRY(troupe_stream_read_exactly(self, stream, bytes, 8, 10000));
    TROUPE_TRY(expect(memcmp(bytes, "12345678", 8) == 0));
    /* What fails takes nothing. */
    TROUPE_TRY(expect(
        troupe_stream_read_until(self, stream, "\r\n", 4, 10000, &data, &size) == TROUPE_EMSGSIZE));
    TROUPE_TRY(expect(troupe_stream_read_until(self, stream, "\r\n", 100, 10000, &data, &size) ==
                      TROUPE_ECLOSED));
    TROUPE_TRY(expect(troupe_stream_read_exactly(self, stream, bytes, 9, 10000) == TROUPE_ECLOSED));
    TROUPE_TRY(troupe_stream_read(self, stream, bytes, sizeof bytes, 10000, &size));
    TROUPE_TRY(expect(size == 8 && memcmp(bytes, " unended", 8) == 0));
    return expect(troupe_stream_read(self, stream, bytes, 1, 10000, &size) == TROUPE_ECLOSED);
}

Test(stream, lines_and_exact_sizes_are_read_however_they_come, .timeout = 60)
{
    FOR_EACH_KIND(i)
    {
        struct part server = {.run = write_in_bits};
        struct part client = {.run = read_in_parts};

        play_through(kinds[i], &server, &client);
    }
}

/* ---- time, and other ends ---- */

static int keep_quiet(struct troupe_actor *self, struct part *part, struct troupe_stream *stream)
{
    char byte;
    size_t size;

    (void)part;
    return expect(troupe_stream_read(self, stream, &byte, 1, 10000, &size) == TROUPE_ECLOSED);
}

static int read_in_vain(struct troupe_actor *self, struct part *part, struct troupe_stream *stream)
{
    uint64_t begin_ns = troupe_now_ns(troupe_runtime_of(self));
    const char *data;
    char bytes[8];
    size_t size;

    (void)part;
    TROUPE_TRY(expect(troupe_stream_read(self, stream, bytes, 8, 20, &size) == TROUPE_ETIMEDOUT));
    TROUPE_TRY(expect(troupe_now_ns(troupe_runtime_of(self)) - begin_ns >= 20000000));
    TROUPE_TRY(expect(troupe_stream_read(self, stream, bytes, 8, 0, &size) == TROUPE_ETIMEDOUT));
    TROUPE_TRY(expect(troupe_stream_read_exactly(self, stream, bytes, 8, 5) == TROUPE_ETIMEDOUT));
    return expect(
        troupe_stream_read_until(self, stream, "\n", 8, 5, &data, &size) == TROUPE_ETIMEDOUT);
}

Test(stream, who_waits_in_vain_times_out, .timeout = 60)
{
    FOR_EACH_KIND(i)
    {
        struct part server = {.run = keep_quiet};
        struct part client = {.run = read_in_vain};

        play_through(kinds[i], &server, &client);
    }
}

/* With bytes that it did not read the kernel sends a reset. */
static int leave_unread(struct troupe_actor *self, struct part *part, struct troupe_stream *stream)
{
    (void)part;
    TROUPE_TRY(troupe_sleep(self, 20));
    troupe_stream_close(self, stream);
    return TROUPE_OK;
}

static int write_until_reset(
    struct troupe_actor *self, struct part *part, struct troupe_stream *stream)
{
    char bytes[1000] = "";
    size_t size;
    int status;

    (void)part;
    TROUPE_TRY(troupe_stream_write(self, stream, bytes, sizeof bytes, 10000));
    TROUPE_TRY(expect(troupe_stream_read(self, stream, bytes, 1, 10000, &size) == TROUPE_ERESET));
    do {
        status = troupe_stream_write(self, stream, bytes, sizeof bytes, 10000);
    } while (status == TROUPE_OK);
    return expect(status == TROUPE_ERESET);
}

Test(stream, a_reset_is_told_apart_from_an_end, .timeout = 60)
{
    FOR_EACH_KIND(i)
    {
        struct part server = {.run = leave_unread};
        struct part client = {.run = write_until_reset};

        play_through(kinds[i], &server, &client);
    }
}

Test(stream, who_connects_where_nobody_listens_is_told, .timeout = 60)
{
    FOR_EACH_KIND(i)
    {
        struct part nobody = {.port = 1};
        struct part client = {.peer = &nobody};
        struct stage stage;

        stage_open(&stage, kinds[i]);
        (void)stage_spawn(&stage, &part_behaviour, &client);
        STAGE_AWAIT(&stage, client.done);
        stage_close(&stage);
        cr_assert_eq(client.status, TROUPE_ESYSTEM);
        cr_assert_eq(client.number, ECONNREFUSED);
    }
}

/* ---- messages meanwhile, and kills ---- */

static int read_then_receive(
    struct troupe_actor *self, struct part *part, struct troupe_stream *stream)
{
    struct troupe_message *msg;
    char byte;
    size_t size;

    part->steps = 1;
    TROUPE_TRY(troupe_stream_read(self, stream, &byte, 1, 10000, &size));
    for (uint64_t i = 0; i < 5; i++) {
        TROUPE_TRY(troupe_receive(self, TROUPE_FOREVER, &msg));
        TROUPE_TRY(expect(troupe_is(msg, &number) && *(uint64_t *)troupe_body(msg) == i));
    }
    /* Its readiness may have come as one of them would; it is none. */
    part->steps = 2;
    TROUPE_TRY(expect(troupe_receive(self, 30, &msg) == TROUPE_ETIMEDOUT));
    TROUPE_TRY(troupe_stream_read(self, stream, &byte, 1, 10000, &size));
    part->steps = 3;
    TROUPE_TRY(troupe_stream_read(self, stream, &byte, 1, 10000, &size));
    return expect(troupe_stream_read(self, stream, &byte, 1, 10000, &size) == TROUPE_ECLOSED);
}

static int write_step_by_step(
    struct troupe_actor *self, struct part *part, struct troupe_stream *stream)
{
    for (unsigned step = 1; step <= 3; step++) {
        while (part->peer->steps < step || part->steps < step) {
            TROUPE_TRY(troupe_sleep(self, 1));
        }
        TROUPE_TRY(troupe_stream_write(self, stream, "x", 1, 10000));
    }
    return TROUPE_OK;
}

Test(stream, messages_and_bytes_do_not_meet, .timeout = 60)
{
    FOR_EACH_KIND(i)
    {
        struct part server = {.run = read_then_receive};
        struct part client = {.run = write_step_by_step};
        struct stage stage;

        stage_open(&stage, kinds[i]);
        play(&stage, &server, &client);
        STAGE_AWAIT(&stage, server.steps == 1);
        for (uint64_t n = 0; n < 5; n++) {
            stage_send(&stage, server.pid, &number, &n);
        }
        client.steps = 3;
        STAGE_AWAIT(&stage, server.done && client.done);
        stage_close(&stage);
        cr_assert_eq(server.status, TROUPE_OK, "%s", troupe_strerror(server.status));
        cr_assert_eq(client.status, TROUPE_OK, "%s", troupe_strerror(client.status));
    }
}

static int wait_for_byte(struct troupe_actor *self, struct part *part, struct troupe_stream *stream)
{
    char byte;
    size_t size;

    part->steps = 1;
    return troupe_stream_read(self, stream, &byte, 1, TROUPE_FOREVER, &size);
}

Test(stream, one_that_is_killed_while_it_reads_closes_its_connection, .timeout = 60)
{
    FOR_EACH_KIND(i)
    {
        struct part server = {.run = wait_for_byte};
        struct part client = {.run = keep_quiet};
        struct stage stage;

        stage_open(&stage, kinds[i]);
        play(&stage, &server, &client);
        STAGE_AWAIT(&stage, server.steps == 1);
        cr_assert_eq(troupe_runtime_exit(stage.runtime, server.pid, TROUPE_EXIT_KILL), TROUPE_OK);
        STAGE_AWAIT(&stage, client.done);
        cr_assert_eq(client.status, TROUPE_OK);
        cr_assert_not(server.done);
        stage_close(&stage);
    }
}

/* ---- many, one after the other ---- */

/* It never receives: what is queued of streams that are closed is ended while it waits for others. */
static int connect_often(struct troupe_actor *self, struct part *part, struct troupe_stream *stream)
{
    char byte;
    size_t size;

    part->peer = part;
    for (unsigned i = 0; i < 200; i++) {
        TROUPE_TRY(troupe_stream_write(self, stream, "x", 1, 10000));
        if (i % 2 == 0) {
            TROUPE_TRY(troupe_stream_read(self, stream, &byte, 1, 10000, &size));
        }
        troupe_stream_close(self, stream);
        TROUPE_TRY(troupe_stream_connect(self, "127.0.0.1", part->port, 10000, &stream));
    }
    return TROUPE_OK;
}

static int serve_byte(struct troupe_actor *self, struct troupe_stream *stream, const void *arg)
{
    char byte;
    size_t size;

    (void)arg;
    TROUPE_TRY(troupe_stream_read(self, stream, &byte, 1, 10000, &size));
    return troupe_stream_write(self, stream, &byte, 1, 10000);
}

Test(stream, one_that_connects_often_holds_what_it_uses, .timeout = 60)
{
    _Alignas(8) uint16_t port = 0;
    struct troupe_listener_spec spec = {.serve = serve_byte, .out_port = &port};
    struct part nobody = {.port = 0};
    struct part client = {.run = connect_often, .peer = &nobody};
    struct stage stage;
    uint64_t blocks;

    stage_open(&stage, TROUPE_NO_THREADS);
    (void)stage_spawn(&stage, &troupe_listener_behaviour, &spec);
    STAGE_AWAIT(&stage, port != 0);
    blocks = stage.memory.blocks;
    client.port = nobody.port = port;
    (void)stage_spawn(&stage, &part_behaviour, &client);
    STAGE_AWAIT(&stage, client.done);
    cr_assert_eq(client.status, TROUPE_OK, "%s", troupe_strerror(client.status));
    cr_assert_lt(stage.memory.blocks, blocks + 100);
    stage_close(&stage);
}

/* ---- mistakes ---- */

static int make_mistakes(struct troupe_actor *self, struct part *part, struct troupe_stream *stream)
{
    const char *line;
    char bytes[4];
    size_t size;
    const int results[] = {
        troupe_stream_read(self, stream, NULL, 1, 0, &size),
        troupe_stream_read(self, stream, bytes, 0, 0, &size),
        troupe_stream_read(self, stream, bytes, 1, 0, NULL),
        troupe_stream_read(self, stream, bytes, 1, -2, &size),
        troupe_stream_read_exactly(self, stream, NULL, 1, 0),
        troupe_stream_read_exactly(self, stream, bytes, SIZE_MAX, 0),
        troupe_stream_read_until(self, stream, NULL, 4, 0, &line, &size),
        troupe_stream_read_until(self, stream, "", 4, 0, &line, &size),
        troupe_stream_read_until(self, stream, "long delimiter", 4, 0, &line, &size),
        troupe_stream_read_until(self, stream, "\n", 4, 0, NULL, &size),
        troupe_stream_read_until(self, stream, "\n", 4, 0, &line, NULL),
        troupe_stream_write(self, stream, NULL, 1, 0),
        troupe_stream_write(self, stream, "x", 1, -2),
        troupe_stream_accept(self, stream, 0, NULL),
        troupe_stream_connect(self, "localhost", 1, 0, &stream),
        troupe_stream_connect(self, "127.0.0.1", 0, 0, &stream),
        troupe_stream_listen(self, "localhost", 0, &stream),
    };

    (void)part;
    for (size_t i = 0; i < TROUPE_COUNT(results); i++) {
        TROUPE_TRY(expect(results[i] == TROUPE_EINVAL));
    }
    TROUPE_TRY(troupe_stream_read_exactly(self, stream, NULL, 0, 0));
    return troupe_stream_write(self, stream, NULL, 0, 0);
}

Test(stream, wrong_arguments_are_refused, .timeout = 60)
{
    struct part server = {.run = keep_quiet};
    struct part client = {.run = make_mistakes};

    play_through(TROUPE_NO_THREADS, &server, &client);
}

/* Neither, and both. */
Test(stream, a_listener_has_a_protocol_or_serves, .timeout = 60)
{
    static const struct troupe_protocol protocol = {.name = "mute"};
    const struct troupe_listener_spec specs[] = {
        {.protocol = NULL}, {.protocol = &protocol, .serve = serve_byte}};

    for (size_t i = 0; i < TROUPE_COUNT(specs); i++) {
        struct stage stage;

        stage_open(&stage, TROUPE_NO_THREADS);
        (void)stage_spawn(&stage, &troupe_listener_behaviour, &specs[i]);
        STAGE_AWAIT(&stage, stage_reports(&stage, TROUPE_REPORT_FAILURE) == 1);
        cr_assert_eq(stage.reason[TROUPE_REPORT_FAILURE].code, TROUPE_EINVAL);
        cr_assert_not_null(strstr(stage.text[TROUPE_REPORT_FAILURE], "or serve"));
        stage_close(&stage);
    }
}

/* ---- a listener that makes a fiber for each client ---- */

struct service {
    _Atomic unsigned served;
};

static int serve_lines(struct troupe_actor *self, struct troupe_stream *stream, const void *arg)
{
    struct service *service = (struct service *)(uintptr_t)arg;
    const char *line;
    size_t size;
    int status;

    while ((status = troupe_stream_read_until(
                self, stream, "\n", 100, TROUPE_FOREVER, &line, &size)) == TROUPE_OK) {
        TROUPE_TRY(troupe_stream_write(self, stream, line, size, 10000));
        if (line[0] == 'q') {
            break;
        }
        if (line[0] == 'c') {
            troupe_stream_close(self, stream);
            break;
        }
    }
    service->served++;
    return status == TROUPE_OK || status == TROUPE_ECLOSED ? TROUPE_OK : status;
}

static int say_goodbye(struct troupe_actor *self, struct part *part, struct troupe_stream *stream)
{
    const char *line;
    char byte;
    size_t size;
    const char *word = part->number % 2 == 0 ? "quit\n" : "close\n";

    TROUPE_TRY(troupe_stream_write(self, stream, "hello\n", 6, 10000));
    TROUPE_TRY(troupe_stream_read_until(self, stream, "\n", 100, 10000, &line, &size));
    TROUPE_TRY(expect(size == 6 && memcmp(line, "hello\n", 6) == 0));
    TROUPE_TRY(troupe_stream_write(self, stream, word, strlen(word), 10000));
    TROUPE_TRY(troupe_stream_read_until(self, stream, "\n", 100, 10000, &line, &size));
    return expect(troupe_stream_read(self, stream, &byte, 1, 10000, &size) == TROUPE_ECLOSED);
}

Test(stream, a_listener_serves_each_client_with_a_fiber, .timeout = 60)
{
    enum { CLIENTS = 50 };
    static struct part clients[CLIENTS];
    static struct service service;
    static struct part listener;
    _Alignas(8) uint16_t port = 0;
    struct troupe_listener_spec spec = {.serve = serve_lines, .arg = &service, .out_port = &port};
    struct stage stage;

    stage_open(&stage, 2);
    (void)stage_spawn(&stage, &troupe_listener_behaviour, &spec);
    STAGE_AWAIT(&stage, __atomic_load_n(&port, __ATOMIC_ACQUIRE) != 0);
    listener.port = port;
    for (unsigned i = 0; i < CLIENTS; i++) {
        clients[i] = (struct part){.run = say_goodbye, .peer = &listener, .number = (int)i};
        (void)stage_spawn(&stage, &part_behaviour, &clients[i]);
    }
    for (unsigned i = 0; i < CLIENTS; i++) {
        STAGE_AWAIT(&stage, clients[i].done);
        cr_assert_eq(clients[i].status, TROUPE_OK, "%u: %s", i, troupe_strerror(clients[i].status));
    }
    STAGE_AWAIT(&stage, service.served == CLIENTS);
    stage_close(&stage);
}
