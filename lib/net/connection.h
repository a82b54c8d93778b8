/* SPDX-License-Identifier: MIT */
/*
 * connection.h - what a listener must know of its connections, and of addresses.
 */
#ifndef TRP_NET_CONNECTION_H
#define TRP_NET_CONNECTION_H

#include <netinet/in.h>

#include <troupe/net.h>

/** Room for the text of an address with its port. */
#define TRP_ADDRESS_TEXT 56

union trp_address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

/** Writes "127.0.0.1:4711" or "[::1]:4711". */
void trp_address_text(const union trp_address *address, char text[TRP_ADDRESS_TEXT]);

/** Reads a numeric address; "::1" and "[::1]" are the same.  False: it is none. */
bool trp_address_parse(const char *host, uint16_t port, union trp_address *out_address);
socklen_t trp_address_size(const union trp_address *address);

/** A socket for `address` that does not block, or -1 with errno; bound there, and listening. */
int trp_address_socket(const union trp_address *address);
int trp_address_listen(const union trp_address *address, int backlog);

/** The port on our side; 0 if there is none. */
uint16_t trp_address_port(int fd);

/** What is written goes out at once. */
void trp_address_hurry(int fd);

/** Behaviour of a connection; its argument is the listener's spec, copied. */
extern const struct troupe_behaviour trp_connection_behaviour;

/**
 * The first message to a connection.  The descriptor travels in a message, not in the argument of init, because
 * a message that never arrives is destroyed, and with it the descriptor closed.
 */
struct trp_adopt {
    int fd; /* or -1: somebody took it */
    uint64_t id;
    union trp_address peer;
};
extern const struct troupe_type trp_adopt;

#endif
