/* SPDX-License-Identifier: MIT */
/*
 * Shard: whatever place of a command its actor crashes at, the keyspace is whole when it is back, no other key is
 * changed, and the command was done or not.
 *
 * Each command is tried with a crash at its first place, its second, and so on, until it comes through: each time
 * with a new runtime, supervisor, shard and keyspace, whose hash key is always the same, so that all tries take the
 * same way.  The runtime has no threads, so the test may look at the keyspace itself between two turns.  A keyspace
 * begins at rest, and its keys expire in a thousand seconds if at all: so no sweep of the shard comes in between.
 */
#include "test/support/stage.h"

#include "child.h"
#include "shard.h"

#define PLACES_MAX 64

/* ---- a shard under its supervisor, and who asks it ---- */

struct outcome {
    bool is_there;
    int status;
    char reply[256]; /* as a C string */
};

struct world {
    struct stage stage;
    struct kv_server server;
    struct kv_shard *shard;
    troupe_pid asker;
};

/* The shard's own keyspace has a random hash key: with another each try might take another way. */
static void make_keyspace(struct kv_shard *shard)
{
    struct kv_keyspace_options options = {.hash_key = {7, 1, 7}, .memory = shard->memory};

    kv_keyspace_destroy(shard->keyspace);
    cr_assert_eq(kv_keyspace_create(&options, &shard->keyspace), KV_OK);
}

static void start_supervisor(struct world *world)
{
    const struct troupe_child_spec child = {
        .id = "0", .behaviour = &kv_shard_behaviour, .arg = world->shard, .keep_mailbox = true};
    const struct troupe_supervisor_spec spec = {
        .name = "shards", .intensity = 1000, .children = &child, .child_count = 1};
    struct troupe_spawn_options options;
    troupe_pid pid;

    cr_assert_eq(trp_supervisor_options(world->stage.runtime, &spec, NULL, &options), TROUPE_OK);
    cr_assert_eq(troupe_runtime_spawn(world->stage.runtime, &options, &pid), TROUPE_OK);
    trp_supervisor_options_free(world->stage.runtime, &options);
    stage_run(&world->stage);
    cr_assert_neq(world->shard->pid, TROUPE_NOBODY);
}

static void world_open(struct world *world)
{
    memset(world, 0, sizeof *world);
    world->server.shard_count = 1;
    cr_assert_eq(kv_shards_create(&world->server), KV_OK);
    world->shard = world->server.shards;
    make_keyspace(world->shard);
    stage_open(&world->stage, TROUPE_NO_THREADS);
    world->asker = stage_spawn(&world->stage, &stage_puppet, NULL);
}

static void world_close(struct world *world)
{
    stage_close(&world->stage);
    kv_shards_destroy(&world->server);
}

static int on_reply(
    struct troupe_actor *self, void *state, void *context, int status, struct troupe_message *reply)
{
    struct outcome *outcome = context;

    (void)self;
    (void)state;
    cr_assert_not(outcome->is_there);
    outcome->is_there = true;
    outcome->status = status;
    if (status == TROUPE_OK) {
        struct kv_replies replies = kv_replies_of(reply);
        size_t length = 0;

        while (replies.count > 0) {
            struct kv_slice bytes = kv_replies_next(&replies);

            cr_assert_lt(length + bytes.len, sizeof outcome->reply);
            memcpy(outcome->reply + length, bytes.data, bytes.len);
            length += bytes.len;
        }
        outcome->reply[length] = '\0';
    }
    return TROUPE_OK;
}

/* ---- what is asked ---- */

#define COMMANDS_MAX 32
#define ARGUMENTS_MAX 8

/* What the asker sends in one go: a crash to come, if `after` is not 0, one request with all commands, and a last. */
struct errand {
    const struct world *world;
    uint32_t after;
    const char *commands[COMMANDS_MAX];
    const char *last;
    struct outcome armed;
    struct outcome outcome;
    struct outcome last_outcome;
};

static void request(struct troupe_actor *self, const struct world *world,
    const char *const *commands, size_t count, struct outcome *outcome)
{
    struct kv_slice argv[COMMANDS_MAX][ARGUMENTS_MAX];
    size_t argc[COMMANDS_MAX];
    struct kv_resp parsers[COMMANDS_MAX];
    struct troupe_message *msg;
    struct kv_packer packer;
    size_t size = KV_PACKER_HEAD;
    size_t argument_count = 0;
    size_t i;

    for (i = 0; i < count; i++) {
        const struct kv_slice *arguments;

        cr_assert_eq(kv_resp_init(&parsers[i], NULL, NULL), KV_OK);
        cr_assert_eq(kv_resp_feed(&parsers[i], commands[i], strlen(commands[i])), KV_OK);
        cr_assert_eq(kv_resp_feed(&parsers[i], "\n", 1), KV_OK);
        cr_assert_eq(kv_resp_next(&parsers[i], &argc[i], &arguments), 1);
        cr_assert_leq(argc[i], (size_t)ARGUMENTS_MAX);
        memcpy(argv[i], arguments, argc[i] * sizeof *arguments);
        size += kv_packer_size(argc[i], argv[i]);
        argument_count += argc[i];
    }
    cr_assert_eq(
        troupe_message_create(troupe_runtime_of(self), &kv_request, size, &msg), TROUPE_OK);
    packer = kv_packer_begin(troupe_body(msg), 2, (uint32_t)count, (uint32_t)argument_count);
    for (i = 0; i < count; i++) {
        kv_packer_add(&packer, argc[i], argv[i]);
        kv_resp_fini(&parsers[i]);
    }
    cr_assert_eq(
        troupe_request_message(self, world->shard->pid, msg, 10000, on_reply, outcome), TROUPE_OK);
}

static int run_errand(struct troupe_actor *self, void *arg)
{
    struct errand *errand = arg;
    const struct kv_crash crash = {.point = "*", .after = errand->after};
    size_t count = 0;

    if (errand->after > 0) {
        cr_assert_eq(troupe_request(self, errand->world->shard->pid, &kv_crash, &crash, 10000,
                         on_reply, &errand->armed),
            TROUPE_OK);
    }
    while (count < COMMANDS_MAX && errand->commands[count] != NULL) {
        count++;
    }
    request(self, errand->world, errand->commands, count, &errand->outcome);
    if (errand->last != NULL) {
        request(self, errand->world, &errand->last, 1, &errand->last_outcome);
    }
    return TROUPE_OK;
}

static void do_errand(struct world *world, struct errand *errand)
{
    errand->world = world;
    cr_assert_eq(stage_do(&world->stage, world->asker, run_errand, errand), TROUPE_OK);
    cr_assert(errand->outcome.is_there);
    cr_assert(errand->last == NULL || errand->last_outcome.is_there);
    cr_assert(errand->after == 0 || errand->armed.status == TROUPE_OK);
}

/* ---- the other keys ---- */

static struct kv_slice other_name(size_t i, char *text, size_t size)
{
    (void)snprintf(text, size, "other:%zu", i);
    return kv_slice_of(text);
}

static struct kv_slice other_value(size_t i, char *text, size_t size)
{
    (void)snprintf(text, size, "value of %zu", i);
    return kv_slice_of(text);
}

static int64_t other_expiry(size_t i)
{
    return i % 3 == 0 ? INT64_C(99999999999999) + (int64_t)i : KV_NEVER;
}

/* Sets so many keys, and lets the keyspace come to rest. */
static void set_others(struct kv_keyspace *keyspace, size_t count)
{
    char key[32];
    char value[32];
    size_t i;

    for (i = 0; i < count; i++) {
        cr_assert_eq(kv_keyspace_set(keyspace, kv_now_ms(), other_name(i, key, sizeof key),
                         other_value(i, value, sizeof value), other_expiry(i)),
            KV_OK);
    }
    while (kv_keyspace_busy(keyspace)) {
        (void)kv_keyspace_expire_some(keyspace, kv_now_ms(), 100);
    }
}

static void expect_others(struct kv_keyspace *keyspace, size_t count, const char *when)
{
    struct kv_keyspace_value found;
    char key[32];
    char value[32];
    size_t i;

    for (i = 0; i < count; i++) {
        struct kv_slice wanted = other_value(i, value, sizeof value);

        cr_assert_eq(
            kv_keyspace_peek(keyspace, kv_now_ms(), other_name(i, key, sizeof key), &found), KV_OK,
            "%s: %s is lost", when, key);
        cr_assert(found.bytes.len == wanted.len &&
                      memcmp(found.bytes.data, wanted.data, wanted.len) == 0 &&
                      found.expire_ms == other_expiry(i),
            "%s: %s is changed", when, key);
    }
}

/* ---- a command, and what it does to its keys ---- */

struct effect {
    const char *key;
    const char *before; /* its value; NULL: there is none */
    const char *after;
    bool expires_before;
    bool expires_after;
};

struct trial {
    const char *name;
    size_t others;
    const char *prepare[2];
    const char *command;
    const char *reply;
    struct effect effects[4]; /* up to the first without key */
    const char *places[8];    /* it has to crash at each of these */
};

static bool holds(
    struct kv_keyspace *keyspace, const struct effect *effect, const char *value, bool expires)
{
    struct kv_keyspace_value found;
    int error = kv_keyspace_peek(keyspace, kv_now_ms(), kv_slice_of(effect->key), &found);

    if (value == NULL) {
        return error == KV_ENOENT;
    }
    return error == KV_OK && found.bytes.len == strlen(value) &&
           memcmp(found.bytes.data, value, strlen(value)) == 0 &&
           (found.expire_ms != KV_NEVER) == expires;
}

static bool is_before(struct kv_keyspace *keyspace, const struct trial *trial)
{
    const struct effect *effect;

    for (effect = trial->effects; effect->key != NULL; effect++) {
        if (!holds(keyspace, effect, effect->before, effect->expires_before)) {
            return false;
        }
    }
    return true;
}

static bool is_after(struct kv_keyspace *keyspace, const struct trial *trial)
{
    const struct effect *effect;

    for (effect = trial->effects; effect->key != NULL; effect++) {
        if (!holds(keyspace, effect, effect->after, effect->expires_after)) {
            return false;
        }
    }
    return true;
}

static size_t keys_of(const struct trial *trial, bool after)
{
    const struct effect *effect;
    size_t count = trial->others;

    for (effect = trial->effects; effect->key != NULL; effect++) {
        count += (after ? effect->after : effect->before) != NULL;
    }
    return count;
}

static void prepare(struct world *world, const struct trial *trial)
{
    struct errand errand = {.after = 0};

    world_open(world);
    set_others(world->shard->keyspace, trial->others);
    start_supervisor(world);
    memcpy(errand.commands, trial->prepare, sizeof trial->prepare);
    if (errand.commands[0] != NULL) {
        do_errand(world, &errand);
        cr_assert_eq(errand.outcome.status, TROUPE_OK);
    }
    cr_assert(is_before(world->shard->keyspace, trial), "%s: not prepared", trial->name);
}

/* Everything that has to hold after a try, whether it crashed or not. */
static void expect_whole(struct world *world, const struct trial *trial, const char *place)
{
    struct kv_keyspace *keyspace = world->shard->keyspace;
    const char *wrong = kv_keyspace_check(keyspace);
    bool after;

    cr_assert_null(wrong, "%s at %s: %s", trial->name, place, wrong);
    after = is_after(keyspace, trial);
    cr_assert(after || is_before(keyspace, trial), "%s at %s: done in part", trial->name, place);
    cr_assert_eq(kv_keyspace_count(keyspace), keys_of(trial, after), "%s at %s: %zu keys",
        trial->name, place, kv_keyspace_count(keyspace));
    expect_others(keyspace, trial->others, trial->name);
    wrong = kv_keyspace_check(keyspace);
    cr_assert_null(wrong, "%s at %s, later: %s", trial->name, place, wrong);
}

/* The places where a crash was made. */
struct places {
    char names[PLACES_MAX][KV_POINT_MAX];
    size_t count;
};

static bool was_at(const struct places *places, const char *name)
{
    size_t i;

    for (i = 0; i < places->count; i++) {
        if (strcmp(places->names[i], name) == 0) {
            return true;
        }
    }
    return false;
}

static void note_place(struct places *places, const char *name)
{
    if (!was_at(places, name)) {
        cr_assert(places->count < PLACES_MAX && strlen(name) < KV_POINT_MAX, "%s", name);
        strcpy(places->names[places->count++], name);
    }
}

/* Where it crashed: the end of what was reported, "failed with error ...: set.linked". */
static const char *place_of(const struct world *world)
{
    const char *colon = strrchr(world->stage.text[TROUPE_REPORT_FAILURE], ':');

    cr_assert_not_null(colon);
    return colon + 2;
}

/* Does an errand that may crash.  Whether its commands did; if not, no crash is due any more. */
static bool does_crash(struct world *world, struct errand *errand)
{
    bool crashed;
    bool late;

    do_errand(world, errand);
    crashed = errand->outcome.status != TROUPE_OK;
    late = errand->last != NULL && errand->last_outcome.status != TROUPE_OK;
    cr_assert(!crashed || errand->outcome.status == TROUPE_EDIED);
    /* What was queued behind a crash is served by the next life. */
    cr_assert_not(crashed && late);
    cr_assert(late || errand->last == NULL || errand->last_outcome.reply[0] == ':');
    world->shard->crash_after = 0;
    return crashed;
}

/* One try with a crash at the `after`-th place.  Whether there was such a place. */
static bool try_at(const struct trial *trial, uint32_t after, struct places *places)
{
    struct world world;
    struct errand errand = {.after = after, .commands = {trial->command}, .last = "EXISTS other:0"};
    const char *place = "the end";
    bool crashed;

    prepare(&world, trial);
    crashed = does_crash(&world, &errand);
    if (crashed) {
        cr_assert_eq(world.shard->restarts, 1, "%s", trial->name);
        place = place_of(&world);
        note_place(places, place);
    } else {
        cr_assert_str_eq(errand.outcome.reply, trial->reply);
        cr_assert(is_after(world.shard->keyspace, trial), "%s: not done", trial->name);
    }
    expect_whole(&world, trial, place);
    world_close(&world);
    return crashed;
}

/* Tries all places of a command, and returns how many there were. */
static uint32_t try_all(const struct trial *trial, struct places *places)
{
    uint32_t after = 1;

    while (try_at(trial, after, places)) {
        after++;
    }
    return after - 1;
}

static void expect_places(const struct places *places, const char *const *wanted)
{
    while (*wanted != NULL) {
        cr_assert(was_at(places, *wanted), "it never crashed at %s", *wanted);
        wanted++;
    }
}

static void try_trial(const struct trial *trial)
{
    struct places places = {.count = 0};
    uint32_t count = try_all(trial, &places);

    cr_log_info("%s: crashed at each of %u places", trial->name, count);
    cr_assert_gt(count, 0U, "%s never crashed", trial->name);
    expect_places(&places, trial->places);
}

/* ---- the commands ---- */

#define LARGE "0123456789012345678901234567890123456789012345678901234567890123456789"

static const struct trial sets[] = {
    {.name = "SET of a new key",
        .others = 40,
        .command = "SET key value",
        .reply = "+OK\r\n",
        .effects = {{"key", NULL, "value", false, false}},
        .places = {"allocate", "node.allocated", "set.ready", "set.linked", "set.counted"}},
    {.name = "SET in place",
        .others = 40,
        .prepare = {"SET key value"},
        .command = "SET key other",
        .reply = "+OK\r\n",
        .effects = {{"key", "value", "other", false, false}},
        .places = {"set.found", "set.written"}},
    {.name = "SET to a longer value",
        .others = 40,
        .prepare = {"SET key value"},
        .command = "SET key " LARGE LARGE,
        .reply = "+OK\r\n",
        .effects = {{"key", "value", LARGE LARGE, false, false}},
        .places = {"allocate", "node.allocated", "set.ready", "set.linked", "set.counted"}},
    {.name = "SET to a shorter value",
        .others = 40,
        .prepare = {"SET key " LARGE LARGE LARGE},
        .command = "SET key x",
        .reply = "+OK\r\n",
        .effects = {{"key", LARGE LARGE LARGE, "x", false, false}},
        .places = {"allocate", "set.linked"}},
    {.name = "SET of a new key, with an expiry",
        .others = 40,
        .command = "SET key value PX 1000000",
        .reply = "+OK\r\n",
        .effects = {{"key", NULL, "value", false, true}},
        .places = {"set.ready", "set.linked", "set.counted"}},
    {.name = "SET in place, with an expiry",
        .others = 40,
        .prepare = {"SET key value"},
        .command = "SET key other PX 1000000",
        .reply = "+OK\r\n",
        .effects = {{"key", "value", "other", false, true}},
        .places = {"set.found", "set.written"}},
    {.name = "SET that takes an expiry away",
        .others = 40,
        .prepare = {"SET key value PX 1000000"},
        .command = "SET key " LARGE LARGE " GET",
        .reply = "$5\r\nvalue\r\n",
        .effects = {{"key", "value", LARGE LARGE, true, false}},
        .places = {"set.linked"}},
    {.name = "MSET",
        .others = 40,
        .prepare = {"SET b value"},
        .command = "MSET a 1 b " LARGE LARGE " c 3",
        .reply = "+OK\r\n",
        .effects = {{"a", NULL, "1", false, false}, {"b", "value", LARGE LARGE, false, false},
            {"c", NULL, "3", false, false}},
        .places = {"allocate", "node.allocated", "set.ready", "set.linked", "set.counted"}},
};

static const struct trial increments[] = {
    {.name = "INCRBY of a new key",
        .others = 40,
        .command = "INCRBY key 7",
        .reply = ":7\r\n",
        .effects = {{"key", NULL, "7", false, false}},
        .places = {"allocate", "node.allocated", "add.ready", "add.linked", "add.counted"}},
    {.name = "INCRBY in place",
        .others = 40,
        .prepare = {"SET key 10 PX 1000000"},
        .command = "INCRBY key 7",
        .reply = ":17\r\n",
        .effects = {{"key", "10", "17", true, true}},
        .places = {"add.found", "add.written"}},
    {.name = "INCRBY to a longer number",
        .others = 40,
        .prepare = {"SET key 1 PX 1000000"},
        .command = "INCRBY key 9000000000000000000",
        .reply = ":9000000000000000001\r\n",
        .effects = {{"key", "1", "9000000000000000001", true, true}},
        .places = {NULL}},
};

static const struct trial appends[] = {
    {.name = "APPEND to a new key",
        .others = 40,
        .command = "APPEND key tail",
        .reply = ":4\r\n",
        .effects = {{"key", NULL, "tail", false, false}},
        .places = {"allocate", "node.allocated", "append.ready", "append.linked",
            "append.counted"}},
    {.name = "APPEND that grows",
        .others = 40,
        .prepare = {"SET key head PX 1000000"},
        .command = "APPEND key " LARGE LARGE,
        .reply = ":144\r\n",
        .effects = {{"key", "head", "head" LARGE LARGE, true, true}},
        .places = {"allocate", "node.allocated", "append.ready", "append.linked",
            "append.counted"}},
    {.name = "APPEND in place",
        .others = 40,
        .prepare = {"SET key head", "APPEND key " LARGE},
        .command = "APPEND key x",
        .reply = ":75\r\n",
        .effects = {{"key", "head" LARGE, "head" LARGE "x", false, false}},
        .places = {"append.found", "append.written"}},
};

static const struct trial removals[] = {
    {.name = "DEL",
        .others = 40,
        .prepare = {"SET key value"},
        .command = "DEL key",
        .reply = ":1\r\n",
        .effects = {{"key", "value", NULL, false, false}},
        .places = {"delete.ready", "delete.unlinked", "delete.counted"}},
    {.name = "GETDEL",
        .others = 40,
        .prepare = {"SET key value"},
        .command = "GETDEL key",
        .reply = "$5\r\nvalue\r\n",
        .effects = {{"key", "value", NULL, false, false}},
        .places = {"delete.ready", "delete.unlinked", "delete.counted"}},
    {.name = "EXPIRE",
        .others = 40,
        .prepare = {"SET key value"},
        .command = "EXPIRE key 1000",
        .reply = ":1\r\n",
        .effects = {{"key", "value", "value", false, true}},
        .places = {"expire.found", "expire.written"}},
    {.name = "EXPIRE that is over",
        .others = 40,
        .prepare = {"SET key value"},
        .command = "EXPIRE key -1",
        .reply = ":1\r\n",
        .effects = {{"key", "value", NULL, false, false}},
        .places = {NULL}},
    {.name = "FLUSHALL",
        .prepare = {"MSET a 1 b 2"},
        .command = "FLUSHALL",
        .reply = "+OK\r\n",
        .effects = {{"a", "1", NULL, false, false}, {"b", "2", NULL, false, false}},
        .places = {"flush.ready", "flush.detached"}},
};

static void try_trials(const struct trial *trials, size_t count)
{
    size_t i;

    for (i = 0; i < count; i++) {
        try_trial(&trials[i]);
    }
}

Test(shard, a_crash_at_any_place_of_set_loses_nothing, .timeout = 60)
{
    try_trials(sets, TROUPE_COUNT(sets));
}

Test(shard, a_crash_at_any_place_of_incrby_loses_nothing, .timeout = 60)
{
    try_trials(increments, TROUPE_COUNT(increments));
}

Test(shard, a_crash_at_any_place_of_append_loses_nothing, .timeout = 60)
{
    try_trials(appends, TROUPE_COUNT(appends));
}

Test(shard, a_crash_at_any_place_of_a_removal_loses_nothing_else, .timeout = 60)
{
    try_trials(removals, TROUPE_COUNT(removals));
}

/* ---- several commands in one message ---- */

/* Crashes at each place of `count` commands that came together, of which those before the crash have to be done.
 * `others` keys are there before, and after the first `done` commands there are sizes[done]. */
static void try_together(const char *name, size_t others, const char *const *commands, size_t count,
    const size_t *sizes, struct places *places)
{
    const struct trial trial = {.name = name, .others = others};
    bool seen[COMMANDS_MAX + 1] = {false};
    bool crashed = true;
    uint32_t after;

    for (after = 1; crashed; after++) {
        struct errand errand = {.after = after, .last = "EXISTS x"};
        struct world world;
        const char *wrong;
        size_t size;
        size_t done = 0;

        memcpy(errand.commands, commands, count * sizeof *commands);
        prepare(&world, &trial);
        crashed = does_crash(&world, &errand);
        if (crashed) {
            note_place(places, place_of(&world));
        }
        size = kv_keyspace_count(world.shard->keyspace);
        while (done < count && sizes[done] != size) {
            done++;
        }
        cr_assert_eq(sizes[done], size, "%s: %zu keys", name, size);
        seen[done] = true;
        cr_assert(crashed || done == count);
        wrong = kv_keyspace_check(world.shard->keyspace);
        cr_assert_null(wrong, "%s at place %u: %s", name, after, wrong);
        expect_others(world.shard->keyspace, size < others ? size : others, name);
        world_close(&world);
    }
    cr_log_info("%s: crashed at each of %u places", name, after - 2);
    while (count > 0) {
        cr_assert(seen[count--], "%s: never so far as %zu", name, count);
    }
}

static const char *const rehash_places[] = {"table.allocated", "rehash.started", "rehash.unlinked",
    "rehash.linked", "rehash.finished", NULL};

/* The 16th key makes the table of 16 grow, and those behind it move the others. */
Test(shard, a_crash_at_any_place_while_a_table_grows_loses_nothing, .timeout = 100)
{
    static char texts[COMMANDS_MAX][32];
    const char *commands[COMMANDS_MAX];
    size_t sizes[COMMANDS_MAX + 1] = {14};
    struct places places = {.count = 0};
    size_t i;

    for (i = 0; i < COMMANDS_MAX; i++) {
        (void)snprintf(texts[i], sizeof texts[i], "SET grown:%zu value", i);
        commands[i] = texts[i];
        sizes[i + 1] = sizes[i] + 1;
    }
    try_together("growing", sizes[0], commands, COMMANDS_MAX, sizes, &places);
    expect_places(&places, rehash_places);
}

/* Of 33 keys, in a table of 64, all but 7 go, which makes it shrink. */
Test(shard, a_crash_at_any_place_while_a_table_shrinks_loses_nothing, .timeout = 100)
{
    static char texts[COMMANDS_MAX][32];
    const char *commands[COMMANDS_MAX];
    size_t sizes[COMMANDS_MAX + 1] = {33};
    struct places places = {.count = 0};
    size_t i;

    for (i = 0; i < COMMANDS_MAX; i++) {
        (void)snprintf(texts[i], sizeof texts[i], "DEL other:%zu", sizes[i] - 1);
        commands[i] = texts[i];
        sizes[i + 1] = sizes[i] - 1;
    }
    try_together("shrinking", sizes[0], commands, COMMANDS_MAX, sizes, &places);
    expect_places(&places, (const char *const[]){"table.allocated", "rehash.started",
                               "rehash.unlinked", "rehash.linked", NULL});
}

/* ---- crash after crash ---- */

Test(shard, hundreds_of_crashes_in_one_life_of_a_keyspace_lose_nothing, .timeout = 60)
{
    enum { KEYS = 120 };
    struct world world;
    size_t keys;
    uint64_t crashes = 0;

    world_open(&world);
    start_supervisor(&world);
    for (keys = 0; keys < KEYS; keys++) {
        char command[96];
        uint32_t after = 1;
        bool crashed = true;

        (void)snprintf(command, sizeof command,
            keys % 3 == 0 ? "SET other:%zu \"value of %zu\" PXAT 99999999999999"
                          : "SET other:%zu \"value of %zu\"",
            keys, keys);
        while (crashed) {
            struct errand errand = {.after = after++, .commands = {command}};

            crashed = does_crash(&world, &errand);
            crashes += crashed;
            cr_assert_null(kv_keyspace_check(world.shard->keyspace));
        }
    }
    cr_assert_eq(kv_keyspace_count(world.shard->keyspace), (size_t)KEYS);
    cr_assert_eq(world.shard->restarts, crashes);
    cr_assert_gt(crashes, (uint64_t)KEYS * 2);
    world_close(&world);
}
