/* SPDX-License-Identifier: MIT */
/*
 * shard.c - see shard.h.
 *
 * The keyspace belongs to struct kv_shard, not to the actor: when the actor fails in the middle of a command its
 * next life repairs that one key and goes on with the queue, which the supervisor has kept.
 *
 * A shard sleeps without a timer unless some key has an expiry, or upkeep is left to do.  One timer is armed for
 * the earliest of them; it may fire too early, never more than SWEEP_LATE_MS too late.
 */
#include "shard.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

/* Messages that wait for one shard; above it connections stop reading. */
#define SHARD_CAPACITY 4096

/* Keys and buckets looked at in one sweep, and the pause between two while there is more to do. */
#define SWEEP_BUDGET 512
#define SWEEP_BUSY_MS 5

/* Sweeps are not armed for less, and looked at again after this. */
#define SWEEP_LATE_MS 50
#define SWEEP_MAX_MS 3600000

/* A reply buffer larger than this is not kept. */
#define REPLY_KEEP ((size_t)64 << 10)

/* A restart checks every key of a shard with no more than so many. */
#define CHECK_MAX ((size_t)1000000)

#define ARGUMENTS_MAX KV_RESP_ARGUMENT_COUNT_MAX

const struct troupe_type kv_request = TROUPE_BYTES;
const struct troupe_type kv_reply = TROUPE_BYTES;
const struct troupe_type kv_ask_numbers = TROUPE_SIGNAL;
const struct troupe_type kv_numbers = TROUPE_TYPE(struct kv_keyspace_numbers);
const struct troupe_type kv_crash = TROUPE_TYPE(struct kv_crash);

static const struct troupe_type shard_sweep = TROUPE_SIGNAL;

/* State of the actor. */
struct shard_life {
    struct kv_shard *shard;
    bool armed;
    int64_t due_ms; /* of the sweep that is armed */
    struct troupe_timer timer;
};

/* Body of a request.  For each command argc and the lengths of its arguments; then the bytes of all. */
struct packed {
    uint32_t protocol;
    uint32_t count;
    uint32_t word_count;
    uint32_t words[];
};

static_assert(KV_PACKER_HEAD == offsetof(struct packed, words), "shard.h knows the head");

/* Body of an answer. */
struct answers {
    uint32_t count;
    uint32_t lengths[];
};

int64_t kv_now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME_COARSE, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* ---- commands as messages ---- */

size_t kv_packer_size(size_t argc, const struct kv_slice *argv)
{
    size_t size = (1 + argc) * sizeof(uint32_t);
    size_t i;

    for (i = 0; i < argc; i++) {
        size += argv[i].len;
    }
    return size;
}

struct kv_packer kv_packer_begin(void *body, int protocol, uint32_t count, uint32_t argument_count)
{
    struct packed *packed = body;

    packed->protocol = (uint32_t)protocol;
    packed->count = count;
    packed->word_count = count + argument_count;
    return (struct kv_packer){packed->words, (char *)&packed->words[packed->word_count]};
}

void kv_packer_add(struct kv_packer *packer, size_t argc, const struct kv_slice *argv)
{
    size_t i;

    *packer->word++ = (uint32_t)argc;
    for (i = 0; i < argc; i++) {
        *packer->word++ = (uint32_t)argv[i].len;
        if (argv[i].len > 0) {
            memcpy(packer->byte, argv[i].data, argv[i].len);
            packer->byte += argv[i].len;
        }
    }
}

/* Takes the next command out; the packer of who wrote it, the other way round. */
static size_t unpack(struct kv_packer *packer, struct kv_slice *argv)
{
    size_t argc = *packer->word++;
    size_t i;

    for (i = 0; i < argc; i++) {
        argv[i] = (struct kv_slice){packer->byte, *packer->word++};
        packer->byte += argv[i].len;
    }
    return argc;
}

struct kv_replies kv_replies_of(const struct troupe_message *reply)
{
    const struct answers *answers = troupe_body(reply);

    return (struct kv_replies){
        answers->count, answers->lengths, (const char *)&answers->lengths[answers->count]};
}

struct kv_slice kv_replies_next(struct kv_replies *replies)
{
    struct kv_slice reply = {replies->byte, *replies->length};

    replies->count--;
    replies->byte += *replies->length++;
    return reply;
}

/* ---- memory that crashes on demand ---- */

static void visit(struct kv_shard *shard, const char *point)
{
    if (shard->crash_after == 0 ||
        (strcmp(shard->crash_at, "*") != 0 && strcmp(shard->crash_at, point) != 0)) {
        return;
    }
    if (--shard->crash_after == 0) {
        troupe_abandon(shard->self, TROUPE_ECHECK, point);
    }
}

static void *shard_allocate(void *ctx, size_t bytes)
{
    visit(ctx, "allocate");
    return malloc(bytes);
}

static void shard_release(void *ctx, void *block)
{
    (void)ctx;
    free(block);
}

static void shard_point(void *ctx, const char *where)
{
    visit(ctx, where);
}

/* ---- shards ---- */

int kv_shards_create(struct kv_server *server)
{
    struct kv_keyspace_options options = {.bytes_max = 0};
    uint32_t i;

    if (getrandom(options.hash_key, sizeof options.hash_key, 0) !=
        (ssize_t)sizeof options.hash_key) {
        return KV_ENOMEM;
    }
    server->shards = calloc(server->shard_count, sizeof *server->shards);
    if (server->shards == NULL) {
        return KV_ENOMEM;
    }
    for (i = 0; i < server->shard_count; i++) {
        struct kv_shard *shard = &server->shards[i];

        shard->index = i;
        shard->memory = (struct kv_memory){shard_allocate, shard_release, shard_point, shard};
        options.memory = shard->memory;
        kv_bytes_init(&shard->reply, &shard->memory, 0);
        if (kv_keyspace_create(&options, &shard->keyspace) != KV_OK) {
            kv_shards_destroy(server);
            return KV_ENOMEM;
        }
    }
    return KV_OK;
}

void kv_shards_destroy(struct kv_server *server)
{
    uint32_t i;

    for (i = 0; server->shards != NULL && i < server->shard_count; i++) {
        kv_bytes_fini(&server->shards[i].reply);
        kv_keyspace_destroy(server->shards[i].keyspace);
    }
    free(server->shards);
    server->shards = NULL;
}

/* ---- the sweep ---- */

static int sweep_later(struct troupe_actor *self, struct shard_life *life, int64_t now_ms)
{
    const struct kv_keyspace *keyspace = life->shard->keyspace;
    bool busy = kv_keyspace_busy(keyspace);
    int64_t next_ms = busy ? now_ms + SWEEP_BUSY_MS : kv_keyspace_next_expiry(keyspace);
    int64_t delay_ms;

    if (next_ms == KV_NEVER || (life->armed && life->due_ms <= next_ms + SWEEP_LATE_MS)) {
        return TROUPE_OK;
    }
    delay_ms = next_ms - now_ms;
    if (!busy && delay_ms < SWEEP_LATE_MS) {
        delay_ms = SWEEP_LATE_MS;
    }
    if (delay_ms > SWEEP_MAX_MS) {
        delay_ms = SWEEP_MAX_MS;
    }
    if (life->armed) {
        (void)troupe_timer_cancel(self, life->timer);
    }
    /* Without memory for a timer keys still expire when they are looked at; the next command tries again. */
    life->armed =
        troupe_tick_after(self, (uint64_t)delay_ms, &shard_sweep, NULL, &life->timer) == TROUPE_OK;
    life->due_ms = now_ms + delay_ms;
    return TROUPE_OK;
}

static int on_sweep(struct troupe_actor *self, struct shard_life *life)
{
    int64_t now_ms = kv_now_ms();

    life->armed = false;
    (void)kv_keyspace_expire_some(life->shard->keyspace, now_ms, SWEEP_BUDGET);
    return sweep_later(self, life, now_ms);
}

/* ---- commands ---- */

/* Answers with what is in the shard's buffer: `count` replies of these lengths. */
static int answer(struct troupe_actor *self, struct troupe_message *msg,
    const struct kv_bytes *bytes, uint32_t count, const uint32_t *lengths)
{
    size_t head = sizeof(struct answers) + count * sizeof *lengths;
    struct troupe_message *reply;
    struct answers *answers;
    int error = bytes->error != KV_OK ? TROUPE_ENOMEM
                                      : troupe_message_create(troupe_runtime_of(self), &kv_reply,
                                            head + bytes->len, &reply);

    if (error < 0) {
        return troupe_reply_error(self, msg, error);
    }
    answers = troupe_body(reply);
    answers->count = count;
    memcpy(answers->lengths, lengths, count * sizeof *lengths);
    if (bytes->len > 0) {
        memcpy((char *)answers + head, bytes->data, bytes->len);
    }
    error = troupe_reply_message(self, msg, reply);
    if (error < 0) {
        troupe_message_destroy(reply);
    }
    return error;
}

/* Executes all commands of a request; their replies stand in the shard's buffer. */
static void execute(
    struct kv_shard *shard, int64_t now_ms, struct packed *packed, uint32_t *out_lengths)
{
    struct kv_packer packer = {packed->words, (char *)&packed->words[packed->word_count]};
    struct kv_slice argv[ARGUMENTS_MAX];
    uint32_t i;

    kv_bytes_clear(&shard->reply);
    for (i = 0; i < packed->count; i++) {
        size_t before = shard->reply.len;
        size_t argc = unpack(&packer, argv);

        (void)kv_command_execute(
            shard->keyspace, now_ms, (int)packed->protocol, argc, argv, &shard->reply);
        out_lengths[i] = (uint32_t)(shard->reply.len - before);
    }
}

static int on_request(
    struct troupe_actor *self, struct shard_life *life, struct troupe_message *msg)
{
    struct kv_shard *shard = life->shard;
    struct packed *packed = troupe_body(msg);
    uint32_t lengths[KV_BATCH_MAX];
    int64_t now_ms = kv_now_ms();

    execute(shard, now_ms, packed, lengths);
    TROUPE_TRY(answer(self, msg, &shard->reply, packed->count, lengths));
    if (shard->reply.cap > REPLY_KEEP) {
        kv_bytes_fini(&shard->reply);
    }
    return sweep_later(self, life, now_ms);
}

static int on_crash(struct troupe_actor *self, struct kv_shard *shard, struct troupe_message *msg)
{
    const struct kv_crash *crash = troupe_body(msg);
    uint32_t length;

    kv_bytes_clear(&shard->reply);
    kv_resp_put_simple(&shard->reply, "OK");
    length = (uint32_t)shard->reply.len;
    TROUPE_TRY(answer(self, msg, &shard->reply, 1, &length));
    if (crash->after == 0) {
        return troupe_fail(self, TROUPE_ECHECK, "crashed on purpose");
    }
    memcpy(shard->crash_at, crash->point, sizeof shard->crash_at);
    shard->crash_at[sizeof shard->crash_at - 1] = '\0';
    shard->crash_after = crash->after;
    return TROUPE_OK;
}

static int on_ask_numbers(
    struct troupe_actor *self, const struct kv_shard *shard, struct troupe_message *msg)
{
    struct kv_keyspace_numbers numbers;

    kv_keyspace_count_all(shard->keyspace, &numbers);
    if (troupe_reply(self, msg, &kv_numbers, &numbers) < 0) {
        return troupe_reply_error(self, msg, TROUPE_ENOMEM);
    }
    return TROUPE_OK;
}

static int shard_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct shard_life *life = state;

    life->shard->self = self;
    if (troupe_is(msg, &kv_request) && troupe_is_request(msg)) {
        return on_request(self, life, msg);
    }
    if (troupe_is(msg, &shard_sweep)) {
        return on_sweep(self, life);
    }
    if (troupe_is(msg, &kv_ask_numbers) && troupe_is_request(msg)) {
        return on_ask_numbers(self, life->shard, msg);
    }
    if (troupe_is(msg, &kv_crash) && troupe_is_request(msg)) {
        return on_crash(self, life->shard, msg);
    }
    return TROUPE_EUNKNOWN;
}

/* A later life: repairs what the one before was doing, and looks whether all is well. */
static int recover(struct troupe_actor *self, struct kv_shard *shard)
{
    const char *wrong = NULL;

    shard->crash_after = 0;
    atomic_fetch_add_explicit(&shard->restarts, 1, memory_order_relaxed); /* a number */
    (void)kv_keyspace_recover(shard->keyspace);
    if (kv_keyspace_count(shard->keyspace) <= CHECK_MAX) {
        wrong = kv_keyspace_check(shard->keyspace);
    }
    return wrong == NULL ? TROUPE_OK : troupe_fail(self, TROUPE_ECHECK, wrong);
}

static int shard_init(struct troupe_actor *self, void *state, const void *arg)
{
    struct shard_life *life = state;
    /* Its supervisor passes the pointer on as it got it, from main, which may write. */
    struct kv_shard *shard = (struct kv_shard *)(uintptr_t)arg;

    life->shard = shard;
    shard->self = self;
    if (shard->has_lived) {
        TROUPE_TRY(recover(self, shard));
    }
    shard->has_lived = true;
    /* relaxed: a pid is a value; whoever sends to it too early is told so. */
    atomic_store_explicit(&shard->pid, troupe_self(self), memory_order_relaxed);
    return sweep_later(self, life, kv_now_ms());
}

const struct troupe_behaviour kv_shard_behaviour = {
    .name = "kv.shard",
    .state_size = sizeof(struct shard_life),
    .init = shard_init,
    .receive = shard_receive,
    .capacity = SHARD_CAPACITY,
};
