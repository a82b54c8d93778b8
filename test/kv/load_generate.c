/* SPDX-License-Identifier: MIT */
/*
 * load_generate.c - the random commands of kv-load, and the stamps in their values.
 *
 * Three keys of four hold text.  Their values repeat a stamp "<connection:key:count>" with bytes
 * between that would confuse a server that looked for the end of a value, so that a value tells
 * where it belongs from any piece of it.  The fourth holds numbers, that start at a million
 * millions for each connection, so that these tell it too while they are near their start.
 *
 * What is possible for a key may double with each change that a crash leaves open.  So few changes
 * of one key are under way at a time, and a key that may be many things is read, not changed,
 * until it is known again.  For the same reason most values are read before they are
 * overwritten: a lost write must be seen before the next one hides it.
 */
#include "load_generate.h"

#include <limits.h>
#include <string.h>

#define STAMP_FILL "\r\n\0\xff$5\r\n"

enum {
    VALUE_LEN_MAX = 4 * 1024,
    VALUE_LEN_SHORT = 64,
    VALUE_LEN_HUGE = 64 * 1024,
    APPEND_LEN_MAX = 256 * 1024, /* no longer value is made longer */
    BATCH_KEYS_MAX = 4,          /* keys in one MSET, MGET, DEL or EXISTS */
    NUMBER_KEY_EVERY = 4,
    STATES_FEW = 8,        /* a key that may be more is not changed */
    CHANGES_MAX = 4,       /* of one key, under way */
    BLIND_AGAIN_EVERY = 8, /* a value that was not read is overwritten so seldom */
    NO_KEY = -1,           /* stamped into what ECHO and PING send */
};

static const long long number_per_connection = 1000LL * 1000 * 1000 * 1000;
static const long long number_per_key = 1000LL * 1000 * 1000;
static const long long day_ms = 24LL * 3600 * 1000;

static const struct weight {
    enum load_op op;
    int weight;
} weights[] = {
    {LOAD_SET, 22},
    {LOAD_GET, 18},
    {LOAD_GETDEL, 4},
    {LOAD_DEL, 5},
    {LOAD_EXISTS, 4},
    {LOAD_INCR, 6},
    {LOAD_DECRBY, 4},
    {LOAD_APPEND, 6},
    {LOAD_STRLEN, 4},
    {LOAD_MSET, 5},
    {LOAD_MGET, 6},
    {LOAD_EXPIRE, 3},
    {LOAD_TTL, 4},
    {LOAD_PERSIST, 2},
    {LOAD_TYPE, 3},
    {LOAD_ECHO, 2},
    {LOAD_PING, 2},
};

static bool chance(struct load_run *run, uint64_t of)
{
    return load_random(run, of) == 0;
}

static enum load_op random_op(struct load_run *run)
{
    const struct weight *weight = weights;
    int total = 0;
    int at;

    for (size_t i = 0; i < sizeof weights / sizeof weights[0]; i++) {
        total += weights[i].weight;
    }
    at = (int)load_random(run, (uint64_t)total);
    while (at >= weight->weight) {
        at -= weight->weight;
        weight++;
    }
    return weight->op;
}

/* Values. */

static bool is_number_key(int key)
{
    return key % NUMBER_KEY_EVERY == NUMBER_KEY_EVERY - 1;
}

static size_t random_len(struct load_run *run)
{
    if (chance(run, 500)) {
        return VALUE_LEN_HUGE;
    }
    if (chance(run, 16)) {
        return 0;
    }
    return load_random(run, chance(run, 2) ? VALUE_LEN_SHORT : VALUE_LEN_MAX + 1);
}

static struct load_value *value_from(const char *text, size_t len)
{
    struct load_value *value = load_value_create(len);

    memcpy(value->bytes, text, len);
    return value;
}

/* Empty, or at least one whole stamp. */
static struct load_value *text_value(struct load_connection *connection, int key)
{
    char stamp[96];
    size_t len = random_len(connection->run);
    size_t stamp_len = (size_t)snprintf(stamp, sizeof stamp, "<%d:%d:%llu>", connection->number,
        key, (unsigned long long)connection->stamp++);
    size_t unit_len = stamp_len + sizeof STAMP_FILL - 1;
    struct load_value *value;

    if (len > 0 && len < stamp_len) {
        len = stamp_len;
    }
    memcpy(stamp + stamp_len, STAMP_FILL, sizeof STAMP_FILL - 1);
    value = load_value_create(len);
    for (size_t at = 0; at < len; at += unit_len) {
        memcpy(value->bytes + at, stamp, len - at < unit_len ? len - at : unit_len);
    }
    return value;
}

/* Near the start of the connection's numbers, or now and then the largest number of all. */
static struct load_value *number_value(struct load_connection *connection, int key)
{
    char text[32];
    long long number = (connection->number + 1) * number_per_connection + key * number_per_key +
                       (long long)(connection->stamp++ % 1000000) * 1000;
    int len = snprintf(text, sizeof text, "%lld", chance(connection->run, 50) ? LLONG_MAX : number);

    return value_from(text, (size_t)len);
}

static struct load_value *random_value(struct load_connection *connection, int key)
{
    return is_number_key(key) && !chance(connection->run, 20) ? number_value(connection, key)
                                                              : text_value(connection, key);
}

/* Numbers grow by a digit. */
static struct load_value *random_append(struct load_connection *connection, int key)
{
    char digit = (char)('0' + load_random(connection->run, 10));

    return is_number_key(key) ? value_from(&digit, 1) : text_value(connection, key);
}

/* Commands. */

static int random_key(struct load_connection *connection, enum load_op op)
{
    bool number = op == LOAD_INCR || op == LOAD_DECRBY;
    int key = (int)load_random(connection->run, (uint64_t)connection->key_count);

    if (number && !chance(connection->run, 8)) {
        key -= key % NUMBER_KEY_EVERY;
        key += NUMBER_KEY_EVERY - 1;
    }
    return key % connection->key_count;
}

static bool has_many_keys(enum load_op op)
{
    return op == LOAD_MSET || op == LOAD_MGET || op == LOAD_DEL || op == LOAD_EXISTS;
}

static void choose_set_options(struct load_run *run, struct load_command *command)
{
    uint64_t condition = load_random(run, 6);

    command->only_new = condition == 0;
    command->only_old = condition == 1;
    command->want_old = chance(run, 6);
    if (chance(run, 5)) {
        command->amount = day_ms + (long long)load_random(run, (uint64_t)(10 * day_ms));
    }
}

static void choose_arguments(struct load_connection *connection, struct load_command *command)
{
    struct load_run *run = connection->run;

    switch (command->op) {
    case LOAD_SET:
        choose_set_options(run, command);
        command->values[0] = random_value(connection, command->keys[0]);
        break;
    case LOAD_MSET:
        for (int i = 0; i < command->key_count; i++) {
            command->values[i] = random_value(connection, command->keys[i]);
        }
        break;
    case LOAD_APPEND:
        command->values[0] = random_append(connection, command->keys[0]);
        break;
    case LOAD_DECRBY:
        command->amount = 1 + (long long)load_random(run, 999);
        break;
    case LOAD_EXPIRE:
        command->amount = (day_ms + (long long)load_random(run, (uint64_t)(10 * day_ms))) / 1000;
        break;
    case LOAD_ECHO:
        command->values[0] = text_value(connection, NO_KEY);
        break;
    case LOAD_PING:
        command->values[0] = chance(run, 2) ? text_value(connection, NO_KEY) : NULL;
        break;
    default:
        break;
    }
}

static int changes_under_way(const struct load_connection *connection, int key)
{
    int changes = 0;

    for (unsigned i = connection->head; i != connection->tail; i++) {
        const struct load_command *command = &connection->pending[i % LOAD_PENDING_MAX];

        for (int at = 0; load_op_mutates(command->op) && at < command->key_count; at++) {
            changes += command->keys[at] == key;
        }
    }
    return changes;
}

static bool may_be_longer(const struct load_key *key)
{
    for (int i = 0; i < key->state_count; i++) {
        const struct load_value *value = key->states[i].value;

        if (value != NULL && value->len > APPEND_LEN_MAX) {
            return false;
        }
    }
    return true;
}

/* Whether it hides what its keys were: neither its reply nor what it leaves depends on the value. */
static bool is_blind(enum load_op op)
{
    return op == LOAD_SET || op == LOAD_MSET || op == LOAD_DEL;
}

/* Whether a change had better wait for a read, or it would hide a fault. */
static bool is_worth_reading(struct load_run *run, const struct load_key *key, enum load_op op)
{
    if (key->state_count > STATES_FEW) {
        return true;
    }
    return (key->state_count > 1 && chance(run, 2)) ||
           (key->unread && is_blind(op) && !chance(run, BLIND_AGAIN_EVERY));
}

static bool may_change(const struct load_connection *connection, const struct load_command *command)
{
    for (int i = 0; i < command->key_count; i++) {
        const struct load_key *key = &connection->keys[command->keys[i]];

        if (is_worth_reading(connection->run, key, command->op) ||
            changes_under_way(connection, command->keys[i]) >= CHANGES_MAX) {
            return false;
        }
        if (command->op == LOAD_APPEND && !may_be_longer(key)) {
            return false;
        }
    }
    return true;
}

static void remember_reading(struct load_connection *connection, const struct load_command *command)
{
    for (int i = 0; i < command->key_count; i++) {
        struct load_key *key = &connection->keys[command->keys[i]];

        if (load_op_mutates(command->op)) {
            key->unread = true;
        } else if (command->op == LOAD_GET || command->op == LOAD_MGET) {
            key->unread = false;
        }
    }
}

/* A change that may not be becomes a read of all its keys, or now and then of what TTL tells. */
static void read_instead(struct load_run *run, struct load_command *command)
{
    if (chance(run, 4)) {
        command->op = LOAD_TTL;
        command->key_count = 1;
    } else {
        command->op = command->key_count > 1 ? LOAD_MGET : LOAD_GET;
    }
}

struct load_command load_generate_command(struct load_connection *connection)
{
    struct load_run *run = connection->run;
    struct load_command command = {.op = random_op(run)};

    if (command.op != LOAD_ECHO && command.op != LOAD_PING) {
        command.key_count =
            has_many_keys(command.op) ? 1 + (int)load_random(run, BATCH_KEYS_MAX) : 1;
    }
    for (int i = 0; i < command.key_count; i++) {
        command.keys[i] = random_key(connection, command.op);
    }
    if (load_op_mutates(command.op) && !may_change(connection, &command)) {
        read_instead(run, &command);
    }
    choose_arguments(connection, &command);
    remember_reading(connection, &command);
    return command;
}

/* Judging. */

static bool names_key(const struct load_command *command, int key)
{
    bool found = command->key_count == 0 && key == NO_KEY;

    for (int i = 0; i < command->key_count; i++) {
        found = found || command->keys[i] == key;
    }
    return found;
}

static void judge_number(
    FILE *to, const struct load_connection *connection, const char *data, size_t len)
{
    long long number;
    long long owner;

    if (!load_wire_parse_number(data, len, &number) || number < number_per_connection / 2) {
        return;
    }
    /* Numbers go down too, so round: none is further from its start than half a step. */
    owner = (number - number_per_connection / 2) / number_per_connection;
    if (owner != connection->number) {
        fprintf(
            to, "  CROSSED? The number %lld is near those of connection %lld.\n", number, owner);
    }
}

void load_generate_judge(FILE *to, const struct load_connection *connection,
    const struct load_command *command, const char *data, size_t len)
{
    const char *end = data + len;
    const char *at = len > 0 ? memchr(data, '<', len) : NULL;

    for (; at != NULL; at = memchr(at + 1, '<', (size_t)(end - at - 1))) {
        char stamp[64] = {0};
        size_t left = (size_t)(end - at);
        int owner;
        int key;
        unsigned long long count;

        memcpy(stamp, at, left < sizeof stamp ? left : sizeof stamp - 1);
        if (sscanf(stamp, "<%d:%d:%llu>", &owner, &key, &count) != 3) {
            continue;
        }
        if (owner != connection->number) {
            fprintf(to, "  CROSSED: value %llu of key %d of connection %d.\n", count, key, owner);
            return;
        }
        if (!names_key(command, key)) {
            fprintf(to, "  CROSSED: value %llu of key %d of this connection.\n", count, key);
            return;
        }
    }
    judge_number(to, connection, data, len);
}
