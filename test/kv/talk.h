/* SPDX-License-Identifier: MIT */
/*
 * talk.h - for tests: a client of a server, with blocking sockets of the test's own thread.
 *
 * Whatever takes longer than TALK_LIMIT_S fails the test.
 */
#ifndef TEST_KV_TALK_H
#define TEST_KV_TALK_H

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define TALK_LIMIT_S 30

static inline void talk_prepare(int fd)
{
    const struct timeval limit = {.tv_sec = TALK_LIMIT_S};
    const int one = 1;

    cr_assert_eq(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit), 0);
    cr_assert_eq(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit), 0);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one); /* not on a Unix socket */
}

static inline int talk_open(uint16_t port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    cr_assert_geq(fd, 0);
    talk_prepare(fd);
    cr_assert_eq(
        connect(fd, (struct sockaddr *)&address, sizeof address), 0, "%s", strerror(errno));
    return fd;
}

static inline void talk_put_bytes(int fd, const void *data, size_t size)
{
    while (size > 0) {
        ssize_t count = send(fd, data, size, MSG_NOSIGNAL);

        cr_assert_gt(count, 0, "send: %s", strerror(errno));
        data = (const char *)data + count;
        size -= (size_t)count;
    }
}

static inline void talk_put(int fd, const char *text)
{
    talk_put_bytes(fd, text, strlen(text));
}

/** Puts each byte into a packet of its own. */
static inline void talk_put_slowly(int fd, const char *data, size_t size)
{
    size_t i;

    for (i = 0; i < size; i++) {
        talk_put_bytes(fd, data + i, 1);
    }
}

/** Reads exactly so many bytes. */
static inline void talk_get(int fd, char *data, size_t size)
{
    size_t have = 0;

    while (have < size) {
        ssize_t count = recv(fd, data + have, size - have, 0);

        cr_assert_gt(count, 0, "%zu of %zu bytes came, then %s: \"%.*s\"", have, size,
            count < 0 ? strerror(errno) : "the end", (int)(have < 200 ? have : 200), data);
        have += (size_t)count;
    }
}

/** Reads exactly these bytes; `what` is said if others come. */
static inline void talk_expect_bytes(int fd, const char *data, size_t size, const char *what)
{
    char *got = malloc(size + 1);

    cr_assert_not_null(got);
    talk_get(fd, got, size);
    got[size] = '\0';
    cr_assert_eq(memcmp(got, data, size), 0, "%s: \"%s\" came, not \"%s\"", what, got, data);
    free(got);
}

static inline void talk_expect(int fd, const char *text)
{
    talk_expect_bytes(fd, text, strlen(text), "reply");
}

/** Reads one line, its end included. */
static inline const char *talk_line(int fd, char *line, size_t size)
{
    size_t length = 0;

    do {
        cr_assert_lt(length + 1, size, "a line without end");
        talk_get(fd, line + length, 1);
    } while (line[length++] != '\n');
    line[length] = '\0';
    return line;
}

/** Says `command` on `fd` and reads exactly `reply`. */
static inline void talk(int fd, const char *command, const char *reply)
{
    talk_put(fd, command);
    talk_put(fd, "\r\n");
    talk_expect_bytes(fd, reply, strlen(reply), command);
}

/** Nothing more comes but the end of the connection, and that is no reset. */
static inline void talk_expect_end(int fd)
{
    char byte = 0;
    ssize_t count = recv(fd, &byte, 1, 0);

    cr_assert_eq(
        count, 0, "instead of the end: %s '%c'", count < 0 ? strerror(errno) : "byte", byte);
    close(fd);
}

/** Whether a new client of `port` is served; if not, it was turned away. */
static inline bool talk_is_served(uint16_t port)
{
    int fd = talk_open(port);
    char reply[7];
    bool served = send(fd, "PING\r\n", 6, MSG_NOSIGNAL) == 6 &&
                  recv(fd, reply, sizeof reply, MSG_WAITALL) == sizeof reply &&
                  memcmp(reply, "+PONG\r\n", sizeof reply) == 0;

    close(fd);
    return served;
}

/**
 * Sends `out` and reads `in_size` bytes at the same time, as a client must that pipelines more than fits into the
 * buffers of the system.
 */
static inline void talk_exchange(int fd, const char *out, size_t out_size, char *in, size_t in_size)
{
    size_t sent = 0;
    size_t have = 0;

    while (sent < out_size || have < in_size) {
        struct pollfd ready = {.fd = fd, .events = POLLIN};
        ssize_t count;

        ready.events |= sent < out_size ? POLLOUT : 0;
        cr_assert_eq(poll(&ready, 1, TALK_LIMIT_S * 1000), 1, "%zu of %zu sent, %zu of %zu came",
            sent, out_size, have, in_size);
        if (ready.revents & POLLOUT) {
            count = send(fd, out + sent, out_size - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
            cr_assert(count > 0 || errno == EAGAIN, "send: %s", strerror(errno));
            sent += count > 0 ? (size_t)count : 0;
        }
        if (ready.revents & (POLLIN | POLLHUP | POLLERR)) {
            cr_assert_lt(have, in_size, "more came than was asked for");
            count = recv(fd, in + have, in_size - have, MSG_DONTWAIT);
            cr_assert_gt(count, 0, "the end after %zu of %zu bytes", have, in_size);
            have += (size_t)count;
        }
    }
}

#endif
