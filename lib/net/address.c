/* SPDX-License-Identifier: MIT */
/*
 * address.c - addresses as text, and sockets at them.
 */
#include "connection.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

void trp_address_text(const union trp_address *address, char text[TRP_ADDRESS_TEXT])
{
    char host[INET6_ADDRSTRLEN] = "";

    if (address->any.sa_family == AF_INET6) {
        (void)inet_ntop(AF_INET6, &address->v6.sin6_addr, host, sizeof host);
        (void)snprintf(text, TRP_ADDRESS_TEXT, "[%s]:%u", host, ntohs(address->v6.sin6_port));
    } else {
        (void)inet_ntop(AF_INET, &address->v4.sin_addr, host, sizeof host);
        (void)snprintf(text, TRP_ADDRESS_TEXT, "%s:%u", host, ntohs(address->v4.sin_port));
    }
}

bool trp_address_parse(const char *host, uint16_t port, union trp_address *out_address)
{
    char text[INET6_ADDRSTRLEN + 2];
    size_t length = strlen(host);

    memset(out_address, 0, sizeof *out_address);
    if (inet_pton(AF_INET, host, &out_address->v4.sin_addr) == 1) {
        out_address->v4.sin_family = AF_INET;
        out_address->v4.sin_port = htons(port);
        return true;
    }
    if (length >= sizeof text) {
        return false;
    }
    memcpy(text, host, length + 1);
    if (length > 2 && text[0] == '[' && text[length - 1] == ']') {
        memmove(text, text + 1, length - 2);
        text[length - 2] = '\0';
    }
    if (inet_pton(AF_INET6, text, &out_address->v6.sin6_addr) != 1) {
        return false;
    }
    out_address->v6.sin6_family = AF_INET6;
    out_address->v6.sin6_port = htons(port);
    return true;
}

socklen_t trp_address_size(const union trp_address *address)
{
    return address->any.sa_family == AF_INET6 ? sizeof address->v6 : sizeof address->v4;
}

int trp_address_socket(const union trp_address *address)
{
    int fd = socket(address->any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd >= 0) {
        trp_address_hurry(fd);
    }
    return fd;
}

int trp_address_listen(const union trp_address *address, int backlog)
{
    const int one = 1;
    int fd = trp_address_socket(address);

    if (fd < 0) {
        return -1;
    }
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (address->any.sa_family == AF_INET6) {
        /* "::" means IPv6 whatever the system's default is; who wants both starts two listeners. */
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one);
    }
    if (bind(fd, &address->any, trp_address_size(address)) < 0 || listen(fd, backlog) < 0) {
        int error = errno;

        close(fd);
        errno = error;
        return -1;
    }
    return fd;
}

uint16_t trp_address_port(int fd)
{
    union trp_address address = {0};
    socklen_t size = sizeof address;

    if (getsockname(fd, &address.any, &size) < 0) {
        return 0;
    }
    return ntohs(address.any.sa_family == AF_INET6 ? address.v6.sin6_port : address.v4.sin_port);
}

void trp_address_hurry(int fd)
{
    const int one = 1;

    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
}
