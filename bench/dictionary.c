/* SPDX-License-Identifier: MIT */
/*
 * dictionary.c - 20 clients ask one dictionary, and wait for each answer; one request in ten writes.
 *
 * What is read of a key must have been written for that key.
 */
#include "harness.h"
#include "random.h"

#include <stdlib.h>

#define CLIENTS 20U
#define REQUESTS 100000U
#define KEYS 65536U

static const struct troupe_type go_on = TROUPE_SIGNAL;
static const struct troupe_type get = TROUPE_TYPE(uint64_t);   /* body: the key */
static const struct troupe_type value = TROUPE_TYPE(uint64_t); /* 0: never written */

struct entry {
    uint64_t key;
    uint64_t value;
};

static const struct troupe_type put = TROUPE_TYPE(struct entry);

struct dictionary {
    struct bench_run *run;
    uint64_t *values; /* by key */
    uint64_t handled;
};

struct client {
    struct bench_run *run;
    troupe_pid dictionary;
    struct bench_random random;
    uint64_t key;
    uint64_t left;
};

static int dictionary_init(struct troupe_actor *self, void *state, const void *arg)
{
    struct dictionary *dictionary = state;

    (void)self;
    *dictionary = *(const struct dictionary *)arg;
    dictionary->values = calloc(KEYS, sizeof *dictionary->values);
    return dictionary->values == NULL ? TROUPE_ENOMEM : TROUPE_OK;
}

static int dictionary_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct dictionary *dictionary = state;
    const struct entry *entry = troupe_body(msg);

    dictionary->handled++;
    if (troupe_is(msg, &put)) {
        dictionary->values[entry->key] = entry->value;
    }
    return troupe_reply(self, msg, &value, &dictionary->values[entry->key]);
}

static void dictionary_destroy(void *state)
{
    struct dictionary *dictionary = state;

    bench_tally(dictionary->run, dictionary->handled, 0);
    free(dictionary->values);
}

static int client_init(struct troupe_actor *self, void *state, const void *arg)
{
    (void)self;
    *(struct client *)state = *(const struct client *)arg;
    return TROUPE_OK;
}

static int on_value(struct troupe_actor *self, void *state, void *context, int status,
    struct troupe_message *reply);

/* A value is its key and something above it. */
static int ask(struct troupe_actor *self, struct client *client)
{
    uint64_t draw = bench_random_next(&client->random);
    struct entry entry = {.key = draw % KEYS, .value = draw | 1U << 31};

    client->key = entry.key;
    if (draw / KEYS % 10 == 0) {
        return troupe_request(
            self, client->dictionary, &put, &entry, TROUPE_FOREVER, on_value, NULL);
    }
    return troupe_request(
        self, client->dictionary, &get, &entry.key, TROUPE_FOREVER, on_value, NULL);
}

static int on_value(
    struct troupe_actor *self, void *state, void *context, int status, struct troupe_message *reply)
{
    struct client *client = state;
    uint64_t got;

    (void)context;
    TROUPE_TRY(status);
    got = *(uint64_t *)troupe_body(reply);
    if (got != 0 && got % KEYS != client->key) {
        return bench_fail(client->run, "a value belongs to another key");
    }
    if (--client->left == 0) {
        bench_part_done(client->run);
        return TROUPE_OK;
    }
    return ask(self, client);
}

static int client_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    (void)msg;
    return ask(self, state);
}

static const struct troupe_behaviour dictionary_behaviour = {
    .name = "dictionary",
    .state_size = sizeof(struct dictionary),
    .init = dictionary_init,
    .receive = dictionary_receive,
    .destroy = dictionary_destroy,
};

static const struct troupe_behaviour client_behaviour = {
    .name = "client",
    .state_size = sizeof(struct client),
    .init = client_init,
    .receive = client_receive,
};

static int start(struct bench_run *run)
{
    struct dictionary dictionary = {.run = run};
    struct client client = {.run = run, .left = bench_scaled(run, REQUESTS)};
    troupe_pid pids[CLIENTS];

    TROUPE_TRY(bench_spawn(
        run, &dictionary_behaviour, &dictionary, sizeof dictionary, &client.dictionary));
    for (unsigned i = 0; i < CLIENTS; i++) {
        client.random = bench_random_seeded(i + 1);
        TROUPE_TRY(bench_spawn(run, &client_behaviour, &client, sizeof client, &pids[i]));
    }
    run->expected_count = CLIENTS * client.left;
    bench_begin(run, client.left * CLIENTS * 2, CLIENTS);
    for (unsigned i = 0; i < CLIENTS; i++) {
        TROUPE_TRY(bench_signal(run, pids[i], &go_on));
    }
    return TROUPE_OK;
}

const struct bench_workload bench_dictionary = {
    .name = "dictionary",
    .about = "20 clients, 100 000 requests each to one dictionary, one at a time",
    .start = start,
};
