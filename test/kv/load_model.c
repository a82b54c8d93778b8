/* SPDX-License-Identifier: MIT */
/*
 * load_model.c - the meaning of each command, as Redis 7 has it.
 *
 * step() is the heart: one command, one key and one state give one answer and the state after it.
 * Settling and branching only differ in what they do with these two.  DEL and EXISTS answer with a
 * sum over their keys and are settled by trying every way in which these may exist.
 *
 * Times: the server's clock is unknown, so a deadline is the interval that results from when the
 * command was sent and when its reply came, and TTL is checked with a second of slack.
 */
#include "load_model.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define NOT_A_NUMBER "-ERR value is not an integer or out of range"
#define WOULD_OVERFLOW "-ERR increment or decrement would overflow"

enum {
    SHOWN_BYTES_MAX = 96, /* of a value, in a report */
    SHOWN_DIFFERENCE_MAX = 24,
    SHOWN_ANSWERS_MAX = 8,
    TTL_SLACK_S = 1,
};

enum answer_kind {
    ANSWER_TEXT,    /* a line: +OK and errors */
    ANSWER_INTEGER, /* from low to high */
    ANSWER_BULK,    /* the value, borrowed; none is null */
};

struct answer {
    enum answer_kind kind;
    const char *text;
    long long low;
    long long high;
    const struct load_value *value;
};

static const char *const op_names[] = {
    [LOAD_SET] = "SET",
    [LOAD_GET] = "GET",
    [LOAD_GETDEL] = "GETDEL",
    [LOAD_DEL] = "DEL",
    [LOAD_EXISTS] = "EXISTS",
    [LOAD_INCR] = "INCR",
    [LOAD_DECRBY] = "DECRBY",
    [LOAD_APPEND] = "APPEND",
    [LOAD_STRLEN] = "STRLEN",
    [LOAD_MSET] = "MSET",
    [LOAD_MGET] = "MGET",
    [LOAD_EXPIRE] = "EXPIRE",
    [LOAD_TTL] = "TTL",
    [LOAD_PERSIST] = "PERSIST",
    [LOAD_TYPE] = "TYPE",
    [LOAD_ECHO] = "ECHO",
    [LOAD_PING] = "PING",
    [LOAD_DBSIZE] = "DBSIZE",
    [LOAD_QUIT] = "QUIT",
    [LOAD_CRASH_SHARD] = "TROUPE.CRASH",
    [LOAD_CRASH_CONNECTION] = "TROUPE.CRASH",
};

/* Values and states. */

struct load_value *load_value_create(size_t len)
{
    struct load_value *value = load_allocate(sizeof *value + len);

    value->refs = 1;
    value->len = len;
    return value;
}

struct load_value *load_value_take(struct load_value *value)
{
    if (value != NULL) {
        value->refs++;
    }
    return value;
}

void load_value_give(struct load_value *value)
{
    if (value != NULL && --value->refs == 0) {
        free(value);
    }
}

static bool value_equals(const struct load_value *value, const struct load_value *other)
{
    if (value == other) {
        return true;
    }
    return value != NULL && other != NULL && value->len == other->len &&
           memcmp(value->bytes, other->bytes, value->len) == 0;
}

static struct load_state state_copy(const struct load_state *state)
{
    struct load_state copy = *state;

    load_value_take(copy.value);
    return copy;
}

static void state_clear(struct load_state *state)
{
    load_value_give(state->value);
    *state = (struct load_state){0};
}

static void state_change(struct load_state *state, struct load_value *value)
{
    load_value_give(state->value);
    state->value = value;
}

static void state_expire(struct load_state *state, struct load_window window, long long after_ms)
{
    state->expires = true;
    state->deadline_low_ms = window.low_ms + (uint64_t)after_ms;
    state->deadline_high_ms = window.high_ms + (uint64_t)after_ms;
}

static bool state_equals(const struct load_state *state, const struct load_state *other)
{
    return state->expires == other->expires && state->deadline_low_ms == other->deadline_low_ms &&
           state->deadline_high_ms == other->deadline_high_ms &&
           value_equals(state->value, other->value);
}

/* Keys. */

/* Adds the state, and keeps it, unless it is known already. */
static void key_add(struct load_key *key, struct load_state state)
{
    for (int i = 0; i < key->state_count; i++) {
        if (state_equals(&key->states[i], &state)) {
            state_clear(&state);
            return;
        }
    }
    if (key->state_count == key->state_cap) {
        key->state_cap = 2 * key->state_cap + 1;
        key->states = load_reallocate(key->states, (size_t)key->state_cap * sizeof key->states[0]);
    }
    key->states[key->state_count++] = state;
}

/* Keeps the first `count` states, each once. */
static void key_cut(struct load_key *key, int count)
{
    int was = key->state_count;

    for (int i = count; i < was; i++) {
        state_clear(&key->states[i]);
    }
    key->state_count = 0;
    for (int i = 0; i < count; i++) {
        key_add(key, key->states[i]);
    }
}

void load_key_init(struct load_key *key)
{
    *key = (struct load_key){0};
    key_add(key, (struct load_state){0});
    key_add(key, (struct load_state){.value = load_value_create(0)});
}

void load_key_fini(struct load_key *key)
{
    key_cut(key, 0);
    free(key->states);
    *key = (struct load_key){0};
}

/* What a command answers and does. */

static void answer_text(struct answer *answer, const char *text)
{
    *answer = (struct answer){.kind = ANSWER_TEXT, .text = text};
}

static void answer_integer(struct answer *answer, long long number)
{
    *answer = (struct answer){.kind = ANSWER_INTEGER, .low = number, .high = number};
}

static void answer_bulk(struct answer *answer, const struct load_value *value)
{
    *answer = (struct answer){.kind = ANSWER_BULK, .value = value};
}

static void step_set(const struct load_command *command, struct load_value *value,
    const struct load_state *before, struct load_window window, struct answer *answer,
    struct load_state *after)
{
    bool exists = before->value != NULL;
    bool refused = (command->only_new && exists) || (command->only_old && !exists);

    if (command->want_old) {
        answer_bulk(answer, before->value);
    } else if (refused) {
        answer_bulk(answer, NULL);
    } else {
        answer_text(answer, "+OK");
    }
    if (refused) {
        return;
    }
    state_clear(after);
    after->value = load_value_take(value);
    if (command->amount > 0) {
        state_expire(after, window, command->amount);
    }
}

static void step_add(long long amount, const struct load_state *before, struct answer *answer,
    struct load_state *after)
{
    long long number = 0;
    struct load_value *value;
    char text[32];
    int len;

    if (before->value != NULL &&
        !load_wire_parse_number(before->value->bytes, before->value->len, &number)) {
        answer_text(answer, NOT_A_NUMBER);
        return;
    }
    if (__builtin_add_overflow(number, amount, &number)) {
        answer_text(answer, WOULD_OVERFLOW);
        return;
    }
    len = snprintf(text, sizeof text, "%lld", number);
    value = load_value_create((size_t)len);
    memcpy(value->bytes, text, (size_t)len);
    state_change(after, value);
    answer_integer(answer, number);
}

static void step_append(const struct load_value *more, const struct load_state *before,
    struct answer *answer, struct load_state *after)
{
    size_t len = before->value != NULL ? before->value->len : 0;
    struct load_value *value = load_value_create(len + more->len);

    if (len > 0) {
        memcpy(value->bytes, before->value->bytes, len);
    }
    memcpy(value->bytes + len, more->bytes, more->len);
    state_change(after, value);
    answer_integer(answer, (long long)value->len);
}

static void step_ttl(
    const struct load_state *before, struct load_window window, struct answer *answer)
{
    if (before->value == NULL || !before->expires) {
        answer_integer(answer, before->value == NULL ? -2 : -1);
        return;
    }
    *answer = (struct answer){
        .kind = ANSWER_INTEGER,
        .low = (long long)(before->deadline_low_ms - window.high_ms) / 1000 - TTL_SLACK_S,
        .high = (long long)(before->deadline_high_ms - window.low_ms) / 1000 + TTL_SLACK_S,
    };
}

static void step_expire(const struct load_command *command, struct load_window window,
    struct answer *answer, struct load_state *after)
{
    answer_integer(answer, after->value != NULL);
    if (after->value != NULL) {
        state_expire(after, window, command->amount * 1000);
    }
}

static void step_persist(struct answer *answer, struct load_state *after)
{
    answer_integer(answer, after->expires);
    after->expires = false;
    after->deadline_low_ms = 0;
    after->deadline_high_ms = 0;
}

static void step_keyless(const struct load_command *command, struct answer *answer)
{
    if (command->op == LOAD_DBSIZE) {
        *answer = (struct answer){.kind = ANSWER_INTEGER, .low = 0, .high = command->amount};
    } else if (command->values[0] != NULL) {
        answer_bulk(answer, command->values[0]);
    } else {
        answer_text(answer, command->op == LOAD_PING ? "+PONG" : "+OK");
    }
}

/*
 * The command on its key number `at`, were that in the state `before`.  `after` is the caller's to
 * clear; the answer may borrow from the command, from `before` and from `after`.
 */
static void step(const struct load_command *command, int at, const struct load_state *before,
    struct load_window window, struct answer *answer, struct load_state *after)
{
    *after = state_copy(before);
    switch (command->op) {
    case LOAD_SET:
    case LOAD_MSET:
        step_set(command, command->values[at], before, window, answer, after);
        break;
    case LOAD_GET:
    case LOAD_MGET:
        answer_bulk(answer, before->value);
        break;
    case LOAD_GETDEL:
        answer_bulk(answer, before->value);
        state_clear(after);
        break;
    case LOAD_DEL:
        answer_integer(answer, before->value != NULL);
        state_clear(after);
        break;
    case LOAD_EXISTS:
        answer_integer(answer, before->value != NULL);
        break;
    case LOAD_INCR:
        step_add(1, before, answer, after);
        break;
    case LOAD_DECRBY:
        step_add(-command->amount, before, answer, after);
        break;
    case LOAD_APPEND:
        step_append(command->values[at], before, answer, after);
        break;
    case LOAD_STRLEN:
        answer_integer(answer, before->value != NULL ? (long long)before->value->len : 0);
        break;
    case LOAD_EXPIRE:
        step_expire(command, window, answer, after);
        break;
    case LOAD_TTL:
        step_ttl(before, window, answer);
        break;
    case LOAD_PERSIST:
        step_persist(answer, after);
        break;
    case LOAD_TYPE:
        answer_text(answer, before->value != NULL ? "+string" : "+none");
        break;
    default:
        step_keyless(command, answer);
        break;
    }
}

static bool answer_matches(const struct answer *answer, const struct load_item *item)
{
    switch (answer->kind) {
    case ANSWER_TEXT:
        return item->type == answer->text[0] && item->len == strlen(answer->text + 1) &&
               memcmp(item->data, answer->text + 1, item->len) == 0;
    case ANSWER_INTEGER:
        return item->type == ':' && item->number >= answer->low && item->number <= answer->high;
    case ANSWER_BULK:
        if (item->type != '$' || item->null || answer->value == NULL) {
            return item->type == '$' && item->null && answer->value == NULL;
        }
        return item->len == answer->value->len &&
               memcmp(item->data, answer->value->bytes, item->len) == 0;
    }
    return false;
}

/* Settling. */

static bool settle_key(struct load_key *key, const struct load_command *command, int at,
    const struct load_item *item, struct load_window window)
{
    int kept = 0;

    for (int i = 0; i < key->state_count; i++) {
        struct answer answer;
        struct load_state before = key->states[i];
        struct load_state after;

        step(command, at, &before, window, &answer, &after);
        if (answer_matches(&answer, item)) {
            key->states[i] = key->states[kept];
            key->states[kept++] = after;
            state_clear(&before);
        } else {
            state_clear(&after);
        }
    }
    if (kept > 0) {
        key_cut(key, kept);
    }
    return kept > 0;
}

static bool key_may_exist(const struct load_key *key, bool exists)
{
    for (int i = 0; i < key->state_count; i++) {
        if ((key->states[i].value != NULL) == exists) {
            return true;
        }
    }
    return false;
}

/* The number of the first argument that names the same key as argument `at`. */
static int first_with_key(const struct load_command *command, int at)
{
    int first = 0;

    while (command->keys[first] != command->keys[at]) {
        first++;
    }
    return first;
}

/* What DEL or EXISTS answers if the keys with a bit in `exist` exist; -1 if that cannot be. */
static int count_if(const struct load_key *keys, const struct load_command *command, unsigned exist)
{
    int count = 0;

    for (int i = 0; i < command->key_count; i++) {
        int first = first_with_key(command, i);
        bool exists = (exist >> i & 1) != 0;

        if (exists != ((exist >> first & 1) != 0) ||
            !key_may_exist(&keys[command->keys[i]], exists)) {
            return -1;
        }
        if (exists && (first == i || command->op == LOAD_EXISTS)) {
            count++;
        }
    }
    return count;
}

/* DEL leaves nothing; EXISTS only the states that exist as they may. */
static void settle_presence(struct load_key *key, enum load_op op, bool may_exist, bool may_miss)
{
    int kept = 0;

    for (int i = 0; i < key->state_count; i++) {
        struct load_state state = key->states[i];

        if (state.value != NULL ? may_exist : may_miss) {
            key->states[i] = key->states[kept];
            key->states[kept++] = state;
        }
    }
    key_cut(key, kept);
    if (op == LOAD_DEL) {
        key_cut(key, 0);
        key_add(key, (struct load_state){0});
    }
}

static bool settle_count(
    struct load_key *keys, const struct load_command *command, const struct load_item *item)
{
    unsigned may_exist = 0;
    unsigned may_miss = 0;

    for (unsigned exist = 0; exist < 1U << command->key_count; exist++) {
        if (item->type == ':' && count_if(keys, command, exist) == item->number) {
            may_exist |= exist;
            may_miss |= ~exist;
        }
    }
    if ((may_exist | may_miss) == 0) {
        return false;
    }
    for (int i = 0; i < command->key_count; i++) {
        if (first_with_key(command, i) == i) {
            settle_presence(&keys[command->keys[i]], command->op, (may_exist >> i & 1) != 0,
                (may_miss >> i & 1) != 0);
        }
    }
    return true;
}

/* The reply to a command without keys depends on no state. */
static bool settle_keyless(
    const struct load_command *command, const struct load_item *item, struct load_window window)
{
    struct answer answer;
    struct load_state nothing = {0};
    struct load_state after;

    step(command, 0, &nothing, window, &answer, &after);
    return answer_matches(&answer, item);
}

bool load_model_settle(struct load_key *keys, const struct load_command *command,
    const struct load_reply *reply, struct load_window window)
{
    bool array = command->op == LOAD_MGET;

    if (command->key_count == 0) {
        return settle_keyless(command, &reply->item, window);
    }
    if (command->op == LOAD_DEL || command->op == LOAD_EXISTS) {
        return settle_count(keys, command, &reply->item);
    }
    if (array && (reply->item.type != '*' || reply->item.number != command->key_count)) {
        return false;
    }
    for (int i = 0; i < command->key_count; i++) {
        const struct load_item *item = array ? &reply->elements[i] : &reply->item;

        if (!settle_key(&keys[command->keys[i]], command, i, item, window)) {
            return false;
        }
    }
    return true;
}

void load_model_branch(
    struct load_key *keys, const struct load_command *command, struct load_window window)
{
    for (int at = 0; at < command->key_count; at++) {
        struct load_key *key = &keys[command->keys[at]];
        int count = key->state_count;

        key->unread = true;
        for (int i = 0; i < count; i++) {
            struct answer answer;
            struct load_state after;

            step(command, at, &key->states[i], window, &answer, &after);
            key_add(key, after);
        }
    }
}

/* Commands. */

void load_command_fini(struct load_command *command)
{
    for (int i = 0; i < LOAD_KEYS_MAX; i++) {
        load_value_give(command->values[i]);
        command->values[i] = NULL;
    }
}

bool load_op_mutates(enum load_op op)
{
    switch (op) {
    case LOAD_SET:
    case LOAD_GETDEL:
    case LOAD_DEL:
    case LOAD_INCR:
    case LOAD_DECRBY:
    case LOAD_APPEND:
    case LOAD_MSET:
    case LOAD_EXPIRE:
    case LOAD_PERSIST:
        return true;
    default:
        return false;
    }
}

static void encode_set_options(const struct load_command *command, struct load_bytes *bytes)
{
    if (command->only_new) {
        load_wire_put_text(bytes, "NX");
    }
    if (command->only_old) {
        load_wire_put_text(bytes, "XX");
    }
    if (command->want_old) {
        load_wire_put_text(bytes, "GET");
    }
    if (command->amount > 0) {
        load_wire_put_text(bytes, "PX");
        load_wire_put_number(bytes, command->amount);
    }
}

/* How many arguments follow the keys and values. */
static int option_count(const struct load_command *command)
{
    switch (command->op) {
    case LOAD_SET:
        return command->only_new + command->only_old + command->want_old +
               (command->amount > 0 ? 2 : 0);
    case LOAD_DECRBY:
    case LOAD_EXPIRE:
    case LOAD_CRASH_CONNECTION:
        return 1;
    case LOAD_CRASH_SHARD:
        return command->place > 0 ? 5 : 2;
    default:
        return 0;
    }
}

static void encode_options(const struct load_command *command, struct load_bytes *bytes)
{
    switch (command->op) {
    case LOAD_SET:
        encode_set_options(command, bytes);
        break;
    case LOAD_DECRBY:
    case LOAD_EXPIRE:
        load_wire_put_number(bytes, command->amount);
        break;
    case LOAD_CRASH_SHARD:
        load_wire_put_text(bytes, "SHARD");
        load_wire_put_number(bytes, command->amount);
        if (command->place > 0) {
            load_wire_put_text(bytes, "AT");
            load_wire_put_text(bytes, "*");
            load_wire_put_number(bytes, command->place);
        }
        break;
    case LOAD_CRASH_CONNECTION:
        load_wire_put_text(bytes, "CONNECTION");
        break;
    default:
        break;
    }
}

void load_command_encode(
    const struct load_command *command, const char *prefix, struct load_bytes *bytes)
{
    int argc = 1 + command->key_count + option_count(command);

    for (int i = 0; i < LOAD_KEYS_MAX; i++) {
        argc += command->values[i] != NULL;
    }
    load_wire_put_command(bytes, argc);
    load_wire_put_text(bytes, op_names[command->op]);
    for (int i = 0; i < LOAD_KEYS_MAX; i++) {
        if (i < command->key_count) {
            char name[128];

            snprintf(name, sizeof name, "%s%d", prefix, command->keys[i]);
            load_wire_put_text(bytes, name);
        }
        if (command->values[i] != NULL) {
            load_wire_put_argument(bytes, command->values[i]->bytes, command->values[i]->len);
        }
    }
    encode_options(command, bytes);
}

static void print_options(FILE *to, const struct load_command *command)
{
    switch (command->op) {
    case LOAD_SET:
        fprintf(to, "%s%s%s", command->only_new ? " NX" : "", command->only_old ? " XX" : "",
            command->want_old ? " GET" : "");
        if (command->amount > 0) {
            fprintf(to, " PX %lld", command->amount);
        }
        break;
    case LOAD_DECRBY:
    case LOAD_EXPIRE:
        fprintf(to, " %lld", command->amount);
        break;
    case LOAD_CRASH_SHARD:
        fprintf(to, " SHARD %lld", command->amount);
        if (command->place > 0) {
            fprintf(to, " AT * %d", command->place);
        }
        break;
    case LOAD_CRASH_CONNECTION:
        fputs(" CONNECTION", to);
        break;
    default:
        break;
    }
}

void load_command_print(FILE *to, const struct load_command *command, const char *prefix)
{
    fputs(op_names[command->op], to);
    for (int i = 0; i < LOAD_KEYS_MAX; i++) {
        const struct load_value *value = command->values[i];

        if (i < command->key_count) {
            fprintf(to, " %s%d", prefix, command->keys[i]);
        }
        if (value != NULL) {
            fputc(' ', to);
            load_wire_print(to, value->bytes, value->len, SHOWN_BYTES_MAX);
        }
    }
    print_options(to, command);
}

/* Explaining. */

static void print_answer(FILE *to, const struct answer *answer)
{
    if (answer->kind == ANSWER_TEXT) {
        fputs(answer->text, to);
    } else if (answer->kind == ANSWER_INTEGER && answer->low == answer->high) {
        fprintf(to, ":%lld", answer->low);
    } else if (answer->kind == ANSWER_INTEGER) {
        fprintf(to, ":%lld to :%lld", answer->low, answer->high);
    } else if (answer->value == NULL) {
        fputs("null", to);
    } else {
        load_wire_print(to, answer->value->bytes, answer->value->len, SHOWN_BYTES_MAX);
    }
}

/* Two long values may look alike in a report: says at which byte they part. */
static void print_difference(FILE *to, const struct answer *answer, const struct load_item *item)
{
    size_t at = 0;

    if (answer->kind != ANSWER_BULK || answer->value == NULL || item == NULL || item->type != '$' ||
        item->null || answer_matches(answer, item)) {
        return;
    }
    while (
        at < answer->value->len && at < item->len && answer->value->bytes[at] == item->data[at]) {
        at++;
    }
    fprintf(to, " (came %zu bytes, other from byte %zu on: ", item->len, at);
    load_wire_print(to, item->data + at, item->len - at, SHOWN_DIFFERENCE_MAX);
    fputs(")", to);
}

static bool answer_equals(const struct answer *answer, const struct answer *other)
{
    return answer->kind == other->kind && answer->text == other->text &&
           answer->low == other->low && answer->high == other->high &&
           value_equals(answer->value, other->value);
}

/* Each possible answer once.  States that differ unseen by this command give the same one. */
static void explain_key(FILE *to, const struct load_key *key, const struct load_command *command,
    int at, const struct load_item *item, struct load_window window)
{
    struct answer shown[SHOWN_ANSWERS_MAX];
    int shown_count = 0;

    for (int i = 0; i < key->state_count && shown_count < SHOWN_ANSWERS_MAX; i++) {
        struct load_state after;
        int same = 0;

        step(command, at, &key->states[i], window, &shown[shown_count], &after);
        state_clear(&after);
        while (!answer_equals(&shown[same], &shown[shown_count])) {
            same++;
        }
        if (same == shown_count) {
            fputs(shown_count > 0 ? " or " : "", to);
            print_answer(to, &shown[shown_count]);
            print_difference(to, &shown[shown_count++], item);
        }
    }
    if (shown_count == SHOWN_ANSWERS_MAX) {
        fputs(" or more", to);
    }
}

static const struct load_item *item_for(
    const struct load_command *command, const struct load_reply *reply, int at)
{
    if (reply == NULL) {
        return NULL;
    }
    if (command->op == LOAD_MGET) {
        return reply->item.type == '*' && at < reply->item.number ? &reply->elements[at] : NULL;
    }
    return &reply->item;
}

void load_model_explain(FILE *to, const struct load_key *keys, const struct load_command *command,
    const struct load_reply *reply, struct load_window window)
{
    struct load_state nothing = {0};
    struct load_key keyless = {.states = &nothing, .state_count = 1};

    if (command->op == LOAD_CRASH_CONNECTION) {
        fputs("an error or nothing, and the end of the connection", to);
        return;
    }
    if (command->key_count == 0) {
        explain_key(to, &keyless, command, 0, item_for(command, reply, 0), window);
        return;
    }
    if (command->op == LOAD_DEL || command->op == LOAD_EXISTS) {
        fputs("the sum of ", to);
    }
    for (int i = 0; i < command->key_count; i++) {
        if (command->key_count > 1) {
            fprintf(to, "%skey %d: ", i > 0 ? "; " : "", command->keys[i]);
        }
        explain_key(to, &keys[command->keys[i]], command, i, item_for(command, reply, i), window);
    }
}
