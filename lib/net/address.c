/* SPDX-License-Identifier: MIT */
/*
 * address.c - the text of an address.
 */
#include "connection.h"

#include <arpa/inet.h>
#include <stdio.h>

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
