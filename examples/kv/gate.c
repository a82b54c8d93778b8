/* SPDX-License-Identifier: MIT */
/*
 * gate.c - the actor that makes the server's gate, which only somebody inside the runtime can, before there are shards or
 * connections, and ends.  The gate goes with the runtime.
 */
#include "server.h"

static int gate_init(struct troupe_actor *self, void *state, const void *arg)
{
    struct kv_server *server = (struct kv_server *)(uintptr_t)arg; /* main's, which may write */
    struct troupe_gate_options options = {.limit = server->request_max};

    (void)state;
    if (server->wait_max_ms > 0) {
        options.target_us =
            server->wait_max_ms < UINT32_MAX / 1000 ? server->wait_max_ms * 1000 : UINT32_MAX;
    }
    TROUPE_TRY(troupe_gate_create(troupe_runtime_of(self), &options, &server->gate));
    return TROUPE_DONE;
}

static int gate_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    (void)self;
    (void)state;
    (void)msg;
    return TROUPE_EUNKNOWN;
}

const struct troupe_behaviour kv_gate_behaviour = {
    .name = "kv.gate",
    .init = gate_init,
    .receive = gate_receive,
};
