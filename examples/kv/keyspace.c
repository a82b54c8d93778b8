/* SPDX-License-Identifier: MIT */
/*
 * keyspace.c - one shard's keys: byte strings to byte strings, each perhaps with an expiry.
 *
 * The user may be abandoned in the middle of an operation, but only inside `allocate` and `point`.
 * So code between two such calls is one step, done whole or not at all, and there are three kinds
 * of operations:
 *
 *   in place    a value that fits is written in one step
 *   a change    brings a node in, takes one out, or exchanges two.  What is about to happen is
 *               recorded first; then one store into one link decides; then the numbers follow:
 *
 *                 record        slot, link, stale, numbers after          point "ready"
 *                 *slot = link  from here on it has happened              point "linked"
 *                 numbers                                                 point "counted"
 *                 release stale, forget the record
 *
 *               Recovery looks at *slot: if it holds `link` the change is finished, else undone.
 *   a move      carries a node from the old table to the new: unlinked, then linked.  Recovery
 *               links it if it is in neither.
 *
 * An MSET prepares all its nodes, then commits: one change after the other.  Recovery forgets what is
 * prepared, but goes on with a commit that has begun, for which nothing is missing any more.
 *
 * Each block is in a field of the keyspace from the step that allocated it: `fresh` for a node not
 * linked yet, `prepared` for those of an MSET, `spare` for a table.  Hence nothing leaks.
 *
 * Tables.  Keys are in tables[0]; while it is being emptied into tables[1], buckets of tables[0]
 * below `moved` are empty and new keys go to tables[1].  A table doubles when it has as many keys
 * as buckets and shrinks to a quarter when it has an eighth, never by more, so that one step of a
 * scan stays small.  A flush puts whole tables on the list `graves`; later operations empty these.
 *
 * Rejected: a separate table of expiries, which makes each change two changes; and a heap of them,
 * which must allocate.  Instead the sweep goes round the table like a scan and learns on its way
 * when the next expiry is due.
 */
#include "keyspace.h"

#include <string.h>

#define TABLE_FIRST ((size_t)16)
#define BLOCK_UNIT ((size_t)16)
#define EMPTY_STEPS 10 /* empty buckets passed by one step of moving */
#define BURY_STEPS 8   /* nodes or buckets released by one operation after a flush */
#define NOTHING ((struct kv_slice){NULL, 0})

/* A key and its value: `key_len` bytes, `value_len` bytes, room up to `value_cap`. */
struct node {
    struct node *next;
    uint64_t hash;
    int64_t expire_ms;
    uint32_t key_len;
    uint32_t value_len;
    uint32_t value_cap;
    char bytes[];
};

struct table {
    struct table *next; /* in `graves` */
    size_t emptied;     /* in `graves`: buckets below are empty */
    size_t size;        /* a power of two */
    struct node *slots[];
};

/* Numbers that a change alters together. */
struct numbers {
    size_t count;
    size_t expiring;
    size_t bytes;
    uint64_t expired;
};

/* The change under way, if `slot` is set. */
struct change {
    struct node **slot;
    struct node *link;  /* what *slot holds once it has happened */
    struct node *stale; /* to be released then */
    struct numbers after;
};

/* The move under way, if `node` is set. */
struct move {
    struct node *node;
    struct node **to;
};

struct kv_keyspace {
    /* set once, but for bytes_max */
    struct kv_memory memory;
    uint64_t hash_key[2];
    size_t bytes_max;

    /* the keys */
    struct table *tables[2];
    size_t moved;
    struct numbers now;
    struct table *graves;

    /* what is under way */
    struct node *fresh;
    struct node *prepared;
    struct node **prepared_end;
    bool committing;   /* all that is prepared will be brought in */
    int64_t commit_ms; /* as of then */
    struct table *spare;
    struct change change;
    struct move move;

    /* the sweep */
    uint64_t sweep_cursor;
    int64_t soonest_ms;      /* no key expires before */
    int64_t soonest_next_ms; /* the same of all keys that this round has seen or that were set */

    /* since create */
    uint64_t hits;
    uint64_t misses;
    uint64_t recoveries;
};

/* The names of the points of a change. */
struct points {
    const char *ready;
    const char *linked;
    const char *counted;
};

static const struct points set_points = {"set.ready", "set.linked", "set.counted"};
static const struct points append_points = {"append.ready", "append.linked", "append.counted"};
static const struct points add_points = {"add.ready", "add.linked", "add.counted"};
static const struct points delete_points = {"delete.ready", "delete.unlinked", "delete.counted"};
static const struct points expire_points = {"expire.ready", "expire.unlinked", "expire.counted"};

static void point(struct kv_keyspace *keyspace, const char *where)
{
    if (keyspace->memory.point) {
        keyspace->memory.point(keyspace->memory.ctx, where);
    }
}

/* SipHash-1-3: keyed, so that a client cannot choose keys that collide. */

static uint64_t rotate(uint64_t word, int bits)
{
    return word << bits | word >> (64 - bits);
}

static void sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[1] = rotate(v[1], 13) ^ v[0];
    v[0] = rotate(v[0], 32);
    v[2] += v[3];
    v[3] = rotate(v[3], 16) ^ v[2];
    v[0] += v[3];
    v[3] = rotate(v[3], 21) ^ v[0];
    v[2] += v[1];
    v[1] = rotate(v[1], 17) ^ v[2];
    v[2] = rotate(v[2], 32);
}

/* Up to eight bytes as a little-endian word. */
static uint64_t load_word(const char *bytes, size_t count)
{
    uint64_t word = 0;
    size_t i;

    for (i = 0; i < count; i++) {
        word |= (uint64_t)(unsigned char)bytes[i] << (8 * i);
    }
    return word;
}

static uint64_t hash_of(const struct kv_keyspace *keyspace, struct kv_slice key)
{
    uint64_t v[4] = {
        keyspace->hash_key[0] ^ UINT64_C(0x736f6d6570736575),
        keyspace->hash_key[1] ^ UINT64_C(0x646f72616e646f6d),
        keyspace->hash_key[0] ^ UINT64_C(0x6c7967656e657261),
        keyspace->hash_key[1] ^ UINT64_C(0x7465646279746573),
    };
    const char *bytes = key.data ? key.data : "";
    size_t whole = key.len - key.len % 8;
    uint64_t word;
    size_t at;

    for (at = 0; at < whole; at += 8) {
        word = load_word(bytes + at, 8);
        v[3] ^= word;
        sip_round(v);
        v[0] ^= word;
    }
    word = (uint64_t)key.len << 56 | load_word(bytes + whole, key.len - whole);
    v[3] ^= word;
    sip_round(v);
    v[0] ^= word;
    v[2] ^= 0xff;
    sip_round(v);
    sip_round(v);
    sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

/* Nodes. */

static struct kv_slice key_of(const struct node *node)
{
    return (struct kv_slice){node->bytes, node->key_len};
}

static struct kv_slice value_of(const struct node *node)
{
    return (struct kv_slice){node->bytes + node->key_len, node->value_len};
}

static size_t node_size(const struct node *node)
{
    return sizeof *node + node->key_len + node->value_cap;
}

static bool has_expired(const struct node *node, int64_t now_ms)
{
    return node->expire_ms <= now_ms;
}

static bool is_expiring(int64_t expire_ms)
{
    return expire_ms != KV_NEVER;
}

/* A key will expire then. */
static void note_expiry(struct kv_keyspace *keyspace, int64_t expire_ms)
{
    if (expire_ms < keyspace->soonest_ms) {
        keyspace->soonest_ms = expire_ms;
    }
    if (expire_ms < keyspace->soonest_next_ms) {
        keyspace->soonest_next_ms = expire_ms;
    }
}

static void release_node(struct kv_keyspace *keyspace, struct node *node)
{
    keyspace->now.bytes -= node_size(node);
    kv_memory_release(&keyspace->memory, node);
}

static void copy(char *to, struct kv_slice from)
{
    if (from.len > 0) {
        memcpy(to, from.data, from.len);
    }
}

/* Tables. */

static size_t table_bytes(size_t size)
{
    return sizeof(struct table) + size * sizeof(struct node *);
}

static struct node **bucket_of(struct table *table, uint64_t hash)
{
    return &table->slots[hash & (table->size - 1)];
}

/* A new, empty table in `spare`. */
static int make_table(struct kv_keyspace *keyspace, size_t size)
{
    struct table *table = kv_memory_allocate(&keyspace->memory, table_bytes(size));

    if (!table) {
        return KV_ENOMEM;
    }
    memset(table, 0, table_bytes(size));
    table->size = size;
    keyspace->spare = table;
    keyspace->now.bytes += table_bytes(size);
    point(keyspace, "table.allocated");
    return KV_OK;
}

static void release_table(struct kv_keyspace *keyspace, struct table *table)
{
    keyspace->now.bytes -= table_bytes(table->size);
    kv_memory_release(&keyspace->memory, table);
}

/* There is a table for new keys. */
static int ensure_table(struct kv_keyspace *keyspace)
{
    int err;

    if (keyspace->tables[0]) {
        return KV_OK;
    }
    err = make_table(keyspace, TABLE_FIRST);
    if (err == KV_OK) {
        keyspace->tables[0] = keyspace->spare;
        keyspace->spare = NULL;
    }
    return err;
}

/* Begins to move all keys to a table of `size`.  Without memory for one, they stay. */
static void start_moving(struct kv_keyspace *keyspace, size_t size)
{
    if (make_table(keyspace, size)) {
        return;
    }
    keyspace->tables[1] = keyspace->spare;
    keyspace->moved = 0;
    keyspace->spare = NULL;
    point(keyspace, "rehash.started");
}

/* All keys have been moved. */
static void finish_moving(struct kv_keyspace *keyspace)
{
    struct table *old = keyspace->tables[0];

    keyspace->tables[0] = keyspace->tables[1];
    keyspace->tables[1] = NULL;
    release_table(keyspace, old);
    point(keyspace, "rehash.finished");
}

static void resize_if_due(struct kv_keyspace *keyspace)
{
    struct table *table = keyspace->tables[0];

    if (!table || keyspace->tables[1]) {
        return;
    }
    if (keyspace->now.count >= table->size) {
        start_moving(keyspace, table->size * 2);
    } else if (table->size > TABLE_FIRST && keyspace->now.count < table->size / 8) {
        start_moving(keyspace, table->size / 4);
    }
}

static void move_bucket(struct kv_keyspace *keyspace, struct node **from)
{
    while (*from) {
        struct node *node = *from;
        struct node **to = bucket_of(keyspace->tables[1], node->hash);

        keyspace->move = (struct move){node, to};
        *from = node->next;
        point(keyspace, "rehash.unlinked");
        node->next = *to;
        *to = node;
        point(keyspace, "rehash.linked");
        keyspace->move.node = NULL;
    }
}

/* Moves one bucket's keys and passes a few empty buckets. */
static void move_some(struct kv_keyspace *keyspace)
{
    struct table *old = keyspace->tables[0];
    int empty = 0;

    while (keyspace->moved < old->size && !old->slots[keyspace->moved] && empty < EMPTY_STEPS) {
        keyspace->moved++;
        empty++;
    }
    if (keyspace->moved < old->size && empty < EMPTY_STEPS) {
        move_bucket(keyspace, &old->slots[keyspace->moved]);
        keyspace->moved++;
    }
    if (keyspace->moved == old->size) {
        finish_moving(keyspace);
    }
}

/* Releases one node, bucket or table that a flush left behind. */
static void bury_one(struct kv_keyspace *keyspace)
{
    struct table *grave = keyspace->graves;
    struct node *node;

    if (grave->emptied == grave->size) {
        keyspace->graves = grave->next;
        release_table(keyspace, grave);
        return;
    }
    node = grave->slots[grave->emptied];
    if (!node) {
        grave->emptied++;
        return;
    }
    grave->slots[grave->emptied] = node->next;
    release_node(keyspace, node);
}

/* The piece of upkeep that each operation begins with. */
static void tend(struct kv_keyspace *keyspace)
{
    int i;

    for (i = 0; i < BURY_STEPS && keyspace->graves; i++) {
        bury_one(keyspace);
    }
    if (keyspace->tables[1]) {
        move_some(keyspace);
    }
}

/* Looking up. */

/* The link to this key's node in one chain, or NULL. */
static struct node **find_in(struct node **slot, uint64_t hash, struct kv_slice key)
{
    for (; *slot; slot = &(*slot)->next) {
        struct node *node = *slot;

        if (node->hash == hash && node->key_len == key.len &&
            (key.len == 0 || memcmp(node->bytes, key.data, key.len) == 0)) {
            return slot;
        }
    }
    return NULL;
}

/* The link to this key's node, or NULL. */
static struct node **find(const struct kv_keyspace *keyspace, uint64_t hash, struct kv_slice key)
{
    struct node **slot = NULL;

    if (keyspace->tables[0]) {
        slot = find_in(bucket_of(keyspace->tables[0], hash), hash, key);
    }
    if (!slot && keyspace->tables[1]) {
        slot = find_in(bucket_of(keyspace->tables[1], hash), hash, key);
    }
    return slot;
}

/* Changes. */

/* Makes the recorded change. */
static void make_change(struct kv_keyspace *keyspace, const struct points *points)
{
    struct change *change = &keyspace->change;
    struct node *stale = change->stale;

    point(keyspace, points->ready);
    *change->slot = change->link;
    point(keyspace, points->linked);
    keyspace->now = change->after;
    point(keyspace, points->counted);
    change->slot = NULL;
    keyspace->fresh = NULL;
    kv_memory_release(&keyspace->memory, stale);
}

/* The numbers without `node`, as if it were released. */
static void count_out(struct numbers *numbers, const struct node *node, int64_t now_ms)
{
    numbers->count--;
    numbers->bytes -= node_size(node);
    numbers->expiring -= is_expiring(node->expire_ms) ? 1 : 0;
    numbers->expired += has_expired(node, now_ms) ? 1 : 0;
}

/* Takes the node at `slot` out. */
static void take_out(
    struct kv_keyspace *keyspace, int64_t now_ms, struct node **slot, const struct points *points)
{
    struct node *stale = *slot;
    struct numbers after = keyspace->now;

    count_out(&after, stale, now_ms);
    keyspace->change = (struct change){slot, stale->next, stale, after};
    make_change(keyspace, points);
}

/* Puts `fresh` in place of the node at `slot`, or into its bucket if that is NULL. */
static void link_fresh(
    struct kv_keyspace *keyspace, int64_t now_ms, struct node **slot, const struct points *points)
{
    struct table *table = keyspace->tables[keyspace->tables[1] ? 1 : 0];
    struct node *fresh = keyspace->fresh;
    struct node *stale = slot ? *slot : NULL;
    struct numbers after = keyspace->now;

    if (!slot) {
        slot = bucket_of(table, fresh->hash);
    }
    if (stale) {
        count_out(&after, stale, now_ms);
    }
    after.count++;
    after.expiring += is_expiring(fresh->expire_ms) ? 1 : 0;
    fresh->next = stale ? stale->next : *slot;
    note_expiry(keyspace, fresh->expire_ms);
    keyspace->change = (struct change){slot, fresh, stale, after};
    make_change(keyspace, points);
}

/* Brings `fresh` in: in place of the node at `slot`, or as a new key if that is NULL. */
static void bring_in(
    struct kv_keyspace *keyspace, int64_t now_ms, struct node **slot, const struct points *points)
{
    link_fresh(keyspace, now_ms, slot, points);
    if (!slot) {
        resize_if_due(keyspace);
    }
}

/* The link to the node that `fresh` will replace, or NULL. */
static struct node **find_stale(const struct kv_keyspace *keyspace)
{
    return find(keyspace, keyspace->fresh->hash, key_of(keyspace->fresh));
}

/* Moves the first prepared node to `fresh`. */
static void take_prepared(struct kv_keyspace *keyspace)
{
    struct node *node = keyspace->prepared;

    keyspace->prepared = node->next;
    if (!keyspace->prepared) {
        keyspace->prepared_end = &keyspace->prepared;
    }
    node->next = NULL;
    keyspace->fresh = node;
}

/* The link to a key's node that has not expired; one that has is taken out. */
static struct node **find_alive(
    struct kv_keyspace *keyspace, int64_t now_ms, uint64_t hash, struct kv_slice key)
{
    struct node **slot = find(keyspace, hash, key);

    if (!slot || !has_expired(*slot, now_ms)) {
        return slot;
    }
    take_out(keyspace, now_ms, slot, &expire_points);
    return NULL;
}

/* Whether `bytes` more are allowed, if need be after releasing what flushes left behind. */
static bool is_allowed(struct kv_keyspace *keyspace, size_t bytes)
{
    size_t max = keyspace->bytes_max;

    if (max == 0) {
        return true;
    }
    while (keyspace->graves && (bytes > max || keyspace->now.bytes > max - bytes)) {
        bury_one(keyspace);
    }
    return bytes <= max && keyspace->now.bytes <= max - bytes;
}

/*
 * A node in `fresh`, of which the value is `head` and `tail` together, with room for `cap`.
 * `head` may belong to a node of this keyspace.
 */
static int make_node(struct kv_keyspace *keyspace, uint64_t hash, struct kv_slice key,
    struct kv_slice head, struct kv_slice tail, size_t cap)
{
    size_t size = sizeof(struct node) + key.len + cap;
    struct node *node;

    size = (size + BLOCK_UNIT - 1) / BLOCK_UNIT * BLOCK_UNIT;
    if (!is_allowed(keyspace, size)) {
        return KV_EMAXMEMORY;
    }
    node = kv_memory_allocate(&keyspace->memory, size);
    if (!node) {
        return KV_ENOMEM;
    }
    node->next = NULL;
    node->hash = hash;
    node->expire_ms = KV_NEVER;
    node->key_len = (uint32_t)key.len;
    node->value_len = (uint32_t)(head.len + tail.len);
    node->value_cap = (uint32_t)(size - sizeof *node - key.len);
    copy(node->bytes, key);
    copy(node->bytes + key.len, head);
    copy(node->bytes + key.len + head.len, tail);
    keyspace->now.bytes += size;
    keyspace->fresh = node;
    point(keyspace, "node.allocated");
    return KV_OK;
}

static bool is_too_big(struct kv_slice key, size_t value_len)
{
    return key.len > KV_STRING_MAX || value_len > KV_STRING_MAX;
}

/* Whether a value of `len` bytes belongs where this node has its own: it fits and wastes little. */
static bool suits(const struct node *node, size_t len)
{
    return len <= node->value_cap && node->value_cap <= 2 * len + 4 * BLOCK_UNIT;
}

static void set_expiry(struct kv_keyspace *keyspace, struct node *node, int64_t expire_ms)
{
    keyspace->now.expiring -= is_expiring(node->expire_ms) ? 1 : 0;
    keyspace->now.expiring += is_expiring(expire_ms) ? 1 : 0;
    node->expire_ms = expire_ms;
    note_expiry(keyspace, expire_ms);
}

/* Life. */

int kv_keyspace_create(const struct kv_keyspace_options *options, struct kv_keyspace **out_keyspace)
{
    struct kv_keyspace *keyspace;

    if (!options || !out_keyspace) {
        return KV_EINVAL;
    }
    keyspace = kv_memory_allocate(&options->memory, sizeof *keyspace);
    if (!keyspace) {
        return KV_ENOMEM;
    }
    memset(keyspace, 0, sizeof *keyspace);
    keyspace->memory = options->memory;
    memcpy(keyspace->hash_key, options->hash_key, sizeof keyspace->hash_key);
    keyspace->bytes_max = options->bytes_max;
    keyspace->now.bytes = sizeof *keyspace;
    keyspace->prepared_end = &keyspace->prepared;
    keyspace->soonest_ms = KV_NEVER;
    keyspace->soonest_next_ms = KV_NEVER;
    *out_keyspace = keyspace;
    return KV_OK;
}

/* All tables go to the graves.  One step. */
static void bury_tables(struct kv_keyspace *keyspace)
{
    int i;

    for (i = 0; i < 2; i++) {
        struct table *table = keyspace->tables[i];

        if (table) {
            table->next = keyspace->graves;
            keyspace->graves = table;
            keyspace->tables[i] = NULL;
        }
    }
    keyspace->now.count = 0;
    keyspace->now.expiring = 0;
    keyspace->sweep_cursor = 0;
    keyspace->soonest_ms = KV_NEVER;
    keyspace->soonest_next_ms = KV_NEVER;
}

void kv_keyspace_destroy(struct kv_keyspace *keyspace)
{
    struct kv_memory memory;

    if (!keyspace) {
        return;
    }
    kv_keyspace_recover(keyspace);
    bury_tables(keyspace);
    while (keyspace->graves) {
        bury_one(keyspace);
    }
    memory = keyspace->memory;
    kv_memory_release(&memory, keyspace);
}

/* The change has happened if its link is in its place. */
static void recover_change(struct kv_keyspace *keyspace)
{
    struct change *change = &keyspace->change;
    bool happened = *change->slot == change->link;

    change->slot = NULL;
    if (happened) {
        keyspace->now = change->after;
        keyspace->fresh = NULL;
        kv_memory_release(&keyspace->memory, change->stale);
    }
}

/* The node is out of the old table; it may be in the new. */
static void recover_move(struct kv_keyspace *keyspace)
{
    struct move *move = &keyspace->move;

    if (*move->to != move->node) {
        move->node->next = *move->to;
        *move->to = move->node;
    }
    move->node = NULL;
}

/* Brings in what a commit had still to bring in.  Recovery visits no points. */
static void finish_commit(struct kv_keyspace *keyspace)
{
    void (*visit)(void *ctx, const char *where) = keyspace->memory.point;

    keyspace->memory.point = NULL;
    while (keyspace->fresh || keyspace->prepared) {
        if (!keyspace->fresh) {
            take_prepared(keyspace);
        }
        link_fresh(keyspace, keyspace->commit_ms, find_stale(keyspace), &set_points);
    }
    keyspace->memory.point = visit;
    keyspace->committing = false;
}

/* Whether somebody was abandoned in the middle of something. */
static bool is_under_way(const struct kv_keyspace *keyspace)
{
    return keyspace->change.slot || keyspace->move.node || keyspace->fresh || keyspace->prepared ||
           keyspace->committing || keyspace->spare;
}

int kv_keyspace_recover(struct kv_keyspace *keyspace)
{
    bool found;

    if (!keyspace) {
        return KV_EINVAL;
    }
    found = is_under_way(keyspace);
    if (keyspace->change.slot) {
        recover_change(keyspace);
    }
    if (keyspace->move.node) {
        recover_move(keyspace);
    }
    if (keyspace->committing) {
        finish_commit(keyspace);
    }
    if (keyspace->fresh) {
        release_node(keyspace, keyspace->fresh);
        keyspace->fresh = NULL;
    }
    kv_keyspace_discard(keyspace);
    if (keyspace->spare) {
        release_table(keyspace, keyspace->spare);
        keyspace->spare = NULL;
    }
    keyspace->recoveries += found ? 1 : 0;
    return found ? 1 : 0;
}

/* Checking. */

/* What a walk over all nodes adds up. */
struct audit {
    size_t count;
    size_t expiring;
    size_t bytes;
    int64_t soonest_ms;
};

static const char *audit_node(const struct kv_keyspace *keyspace, const struct node *node,
    size_t bucket, size_t size, struct audit *audit)
{
    struct node **slot;

    audit->count++;
    if (audit->count > keyspace->now.count) {
        return "more keys can be reached than are counted";
    }
    if (node->hash != hash_of(keyspace, key_of(node))) {
        return "a key does not have the hash that its node records";
    }
    if ((node->hash & (size - 1)) != bucket) {
        return "a key is in a bucket that its hash does not name";
    }
    if (node->value_len > node->value_cap) {
        return "a value is longer than its room";
    }
    slot = find(keyspace, node->hash, key_of(node));
    if (!slot || *slot != node) {
        return "a key is there twice, or where it is not looked for";
    }
    audit->bytes += node_size(node);
    audit->expiring += is_expiring(node->expire_ms) ? 1 : 0;
    if (node->expire_ms < audit->soonest_ms) {
        audit->soonest_ms = node->expire_ms;
    }
    return NULL;
}

static const char *audit_table(
    const struct kv_keyspace *keyspace, const struct table *table, struct audit *audit)
{
    const char *wrong = NULL;
    const struct node *node;
    size_t i;

    audit->bytes += table_bytes(table->size);
    for (i = 0; i < table->size && !wrong; i++) {
        if (table == keyspace->tables[0] && keyspace->tables[1] && i < keyspace->moved &&
            table->slots[i]) {
            return "a bucket that was moved is not empty";
        }
        for (node = table->slots[i]; node && !wrong; node = node->next) {
            wrong = audit_node(keyspace, node, i, table->size, audit);
        }
    }
    return wrong;
}

/* Adds up what flushes left behind. */
static size_t graves_bytes(const struct kv_keyspace *keyspace)
{
    const struct table *grave;
    const struct node *node;
    size_t bytes = 0;
    size_t i;

    for (grave = keyspace->graves; grave; grave = grave->next) {
        bytes += table_bytes(grave->size);
        for (i = grave->emptied; i < grave->size; i++) {
            for (node = grave->slots[i]; node; node = node->next) {
                bytes += node_size(node);
            }
        }
    }
    return bytes;
}

static const char *audit_numbers(const struct kv_keyspace *keyspace, const struct audit *audit)
{
    if (audit->count != keyspace->now.count) {
        return "fewer keys can be reached than are counted";
    }
    if (audit->expiring != keyspace->now.expiring) {
        return "the number of keys that expire is wrong";
    }
    if (audit->bytes + graves_bytes(keyspace) + sizeof *keyspace != keyspace->now.bytes) {
        return "the number of bytes is wrong";
    }
    if (audit->soonest_ms < keyspace->soonest_ms) {
        return "a key expires before the next expiry";
    }
    return NULL;
}

const char *kv_keyspace_check(const struct kv_keyspace *keyspace)
{
    struct audit audit = {.soonest_ms = KV_NEVER};
    const char *wrong = NULL;
    int i;

    if (!keyspace) {
        return "there is no keyspace";
    }
    if (is_under_way(keyspace)) {
        return "something is under way";
    }
    for (i = 0; i < 2 && !wrong; i++) {
        if (keyspace->tables[i]) {
            wrong = audit_table(keyspace, keyspace->tables[i], &audit);
        }
    }
    return wrong ? wrong : audit_numbers(keyspace, &audit);
}

/* Numbers. */

size_t kv_keyspace_count(const struct kv_keyspace *keyspace)
{
    return keyspace ? keyspace->now.count : 0;
}

size_t kv_keyspace_bytes(const struct kv_keyspace *keyspace)
{
    return keyspace ? keyspace->now.bytes : 0;
}

void kv_keyspace_count_all(
    const struct kv_keyspace *keyspace, struct kv_keyspace_numbers *out_numbers)
{
    if (!keyspace || !out_numbers) {
        return;
    }
    *out_numbers = (struct kv_keyspace_numbers){
        .count = keyspace->now.count,
        .expiring = keyspace->now.expiring,
        .bytes = keyspace->now.bytes,
        .expired = keyspace->now.expired,
        .hits = keyspace->hits,
        .misses = keyspace->misses,
        .recoveries = keyspace->recoveries,
    };
}

void kv_keyspace_limit(struct kv_keyspace *keyspace, size_t bytes_max)
{
    if (keyspace) {
        keyspace->bytes_max = bytes_max;
    }
}

bool kv_keyspace_full(struct kv_keyspace *keyspace)
{
    return keyspace && !is_allowed(keyspace, 0);
}

/* Operations. */

static bool is_given(struct kv_slice slice)
{
    return slice.data || slice.len == 0;
}

int kv_keyspace_peek(struct kv_keyspace *keyspace, int64_t now_ms, struct kv_slice key,
    struct kv_keyspace_value *out_value)
{
    struct node **slot;

    if (!keyspace || !is_given(key) || !out_value) {
        return KV_EINVAL;
    }
    tend(keyspace);
    slot = find_alive(keyspace, now_ms, hash_of(keyspace, key), key);
    if (!slot) {
        return KV_ENOENT;
    }
    *out_value = (struct kv_keyspace_value){value_of(*slot), (*slot)->expire_ms};
    return KV_OK;
}

int kv_keyspace_get(struct kv_keyspace *keyspace, int64_t now_ms, struct kv_slice key,
    struct kv_keyspace_value *out_value)
{
    int err = kv_keyspace_peek(keyspace, now_ms, key, out_value);

    if (err == KV_OK) {
        keyspace->hits++;
    } else if (err == KV_ENOENT) {
        keyspace->misses++;
    }
    return err;
}

/* What every write begins with: the key's place, *out_slot NULL if there is none, and where a new one goes. */
static int find_to_write(struct kv_keyspace *keyspace, int64_t now_ms, struct kv_slice key,
    uint64_t *out_hash, struct node ***out_slot)
{
    int err;

    tend(keyspace);
    err = ensure_table(keyspace);
    if (err) {
        return err;
    }
    *out_hash = hash_of(keyspace, key);
    *out_slot = find_alive(keyspace, now_ms, *out_hash, key);
    return KV_OK;
}

int kv_keyspace_set(struct kv_keyspace *keyspace, int64_t now_ms, struct kv_slice key,
    struct kv_slice value, int64_t expire_ms)
{
    struct node **slot;
    uint64_t hash;
    int err;

    if (!keyspace || !is_given(key) || !is_given(value) || expire_ms < 0) {
        return KV_EINVAL;
    }
    if (is_too_big(key, value.len)) {
        return KV_ETOOBIG;
    }
    err = find_to_write(keyspace, now_ms, key, &hash, &slot);
    if (err) {
        return err;
    }
    if (slot && suits(*slot, value.len)) {
        point(keyspace, "set.found");
        copy((*slot)->bytes + key.len, value);
        (*slot)->value_len = (uint32_t)value.len;
        set_expiry(keyspace, *slot, expire_ms);
        point(keyspace, "set.written");
        return KV_OK;
    }
    err = make_node(keyspace, hash, key, value, NOTHING, value.len);
    if (err) {
        return err;
    }
    keyspace->fresh->expire_ms = expire_ms;
    bring_in(keyspace, now_ms, slot, &set_points);
    return KV_OK;
}

int kv_keyspace_prepare(
    struct kv_keyspace *keyspace, struct kv_slice key, struct kv_slice value, int64_t expire_ms)
{
    int err;

    if (!keyspace || !is_given(key) || !is_given(value) || expire_ms < 0) {
        return KV_EINVAL;
    }
    if (is_too_big(key, value.len)) {
        return KV_ETOOBIG;
    }
    err = ensure_table(keyspace);
    if (err == KV_OK) {
        err = make_node(keyspace, hash_of(keyspace, key), key, value, NOTHING, value.len);
    }
    if (err) {
        return err;
    }
    keyspace->fresh->expire_ms = expire_ms;
    *keyspace->prepared_end = keyspace->fresh;
    keyspace->prepared_end = &keyspace->fresh->next;
    keyspace->fresh = NULL;
    return KV_OK;
}

void kv_keyspace_commit(struct kv_keyspace *keyspace, int64_t now_ms)
{
    if (!keyspace || !keyspace->prepared) {
        return;
    }
    keyspace->commit_ms = now_ms;
    keyspace->committing = true;
    while (keyspace->prepared) {
        tend(keyspace);
        take_prepared(keyspace);
        bring_in(keyspace, now_ms, find_stale(keyspace), &set_points);
    }
    keyspace->committing = false;
}

void kv_keyspace_discard(struct kv_keyspace *keyspace)
{
    while (keyspace && keyspace->prepared) {
        take_prepared(keyspace);
        release_node(keyspace, keyspace->fresh);
        keyspace->fresh = NULL;
    }
}

/* Room for a value that has grown to `len` and may grow on. */
static size_t room_for(size_t len)
{
    return len < ((size_t)1 << 20) ? len * 2 : len + len / 4;
}

int kv_keyspace_append(struct kv_keyspace *keyspace, int64_t now_ms, struct kv_slice key,
    struct kv_slice tail, size_t *out_len)
{
    struct node **slot;
    struct kv_slice head;
    uint64_t hash;
    int err;

    if (!keyspace || !is_given(key) || !is_given(tail) || !out_len) {
        return KV_EINVAL;
    }
    err = find_to_write(keyspace, now_ms, key, &hash, &slot);
    if (err) {
        return err;
    }
    head = slot ? value_of(*slot) : NOTHING;
    if (tail.len > KV_STRING_MAX || is_too_big(key, head.len + tail.len)) {
        return KV_ETOOBIG;
    }
    if (slot && head.len + tail.len <= (*slot)->value_cap) {
        point(keyspace, "append.found");
        copy((*slot)->bytes + key.len + head.len, tail);
        (*slot)->value_len += (uint32_t)tail.len;
        point(keyspace, "append.written");
        *out_len = head.len + tail.len;
        return KV_OK;
    }
    err =
        make_node(keyspace, hash, key, head, tail, slot ? room_for(head.len + tail.len) : tail.len);
    if (err) {
        return err;
    }
    keyspace->fresh->expire_ms = slot ? (*slot)->expire_ms : KV_NEVER;
    bring_in(keyspace, now_ms, slot, &append_points);
    *out_len = head.len + tail.len;
    return KV_OK;
}

/* Gives the node at `slot`, or a new key, a value that is a number. */
static int write_number(struct kv_keyspace *keyspace, int64_t now_ms, struct node **slot,
    uint64_t hash, struct kv_slice key, int64_t number)
{
    char text[KV_INTEGER_TEXT_MAX];
    struct kv_slice value = {text, kv_integer_text(number, text)};
    int err;

    if (slot && value.len <= (*slot)->value_cap) {
        point(keyspace, "add.found");
        copy((*slot)->bytes + key.len, value);
        (*slot)->value_len = (uint32_t)value.len;
        point(keyspace, "add.written");
        return KV_OK;
    }
    err = make_node(keyspace, hash, key, value, NOTHING, value.len);
    if (err) {
        return err;
    }
    keyspace->fresh->expire_ms = slot ? (*slot)->expire_ms : KV_NEVER;
    bring_in(keyspace, now_ms, slot, &add_points);
    return KV_OK;
}

int kv_keyspace_add(struct kv_keyspace *keyspace, int64_t now_ms, struct kv_slice key,
    int64_t delta, int64_t *out_sum)
{
    struct node **slot;
    uint64_t hash;
    int64_t sum = 0;
    int err;

    if (!keyspace || !is_given(key) || !out_sum) {
        return KV_EINVAL;
    }
    if (is_too_big(key, 0)) {
        return KV_ETOOBIG;
    }
    err = find_to_write(keyspace, now_ms, key, &hash, &slot);
    if (err) {
        return err;
    }
    err = slot ? kv_slice_integer(value_of(*slot), &sum) : KV_OK;
    if (err) {
        return err;
    }
    if (__builtin_add_overflow(sum, delta, &sum)) {
        return KV_EOVERFLOW;
    }
    err = write_number(keyspace, now_ms, slot, hash, key, sum);
    if (err == KV_OK) {
        *out_sum = sum;
    }
    return err;
}

int kv_keyspace_expire(
    struct kv_keyspace *keyspace, int64_t now_ms, struct kv_slice key, int64_t expire_ms)
{
    struct node **slot;

    if (!keyspace || !is_given(key)) {
        return KV_EINVAL;
    }
    tend(keyspace);
    slot = find_alive(keyspace, now_ms, hash_of(keyspace, key), key);
    if (!slot) {
        return KV_ENOENT;
    }
    if (expire_ms <= now_ms) {
        take_out(keyspace, now_ms, slot, &delete_points);
        resize_if_due(keyspace);
        return KV_OK;
    }
    point(keyspace, "expire.found");
    set_expiry(keyspace, *slot, expire_ms);
    point(keyspace, "expire.written");
    return KV_OK;
}

int kv_keyspace_delete(struct kv_keyspace *keyspace, int64_t now_ms, struct kv_slice key)
{
    struct node **slot;

    if (!keyspace || !is_given(key)) {
        return KV_EINVAL;
    }
    tend(keyspace);
    slot = find_alive(keyspace, now_ms, hash_of(keyspace, key), key);
    if (!slot) {
        return 0;
    }
    take_out(keyspace, now_ms, slot, &delete_points);
    resize_if_due(keyspace);
    return 1;
}

void kv_keyspace_flush(struct kv_keyspace *keyspace)
{
    if (!keyspace) {
        return;
    }
    kv_keyspace_discard(keyspace);
    point(keyspace, "flush.ready");
    bury_tables(keyspace);
    point(keyspace, "flush.detached");
}

/* Scanning: the cursor counts up from its highest bit to its lowest, as buckets split. */

static uint64_t reverse(uint64_t word)
{
    uint64_t reversed = 0;
    int i;

    for (i = 0; i < 64; i++) {
        reversed = reversed << 1 | (word & 1);
        word >>= 1;
    }
    return reversed;
}

/* The cursor after `cursor` among those that differ under `mask`; 0 after the last. */
static uint64_t next_cursor(uint64_t cursor, uint64_t mask)
{
    return reverse(reverse(cursor | ~mask) + 1);
}

/* What is done with each bucket that a cursor names. */
typedef void (*bucket_fn)(struct kv_keyspace *keyspace, struct node **slot, void *ctx);

/*
 * Does all buckets that the cursor names: one of the smaller table, and those of the larger in
 * which its keys are or will be.  Returns the next cursor.
 */
static uint64_t step_cursor(
    struct kv_keyspace *keyspace, uint64_t cursor, bucket_fn visit, void *ctx)
{
    struct table *small = keyspace->tables[0];
    struct table *large = keyspace->tables[1];
    uint64_t bucket;

    if (!small) {
        return 0;
    }
    if (large && large->size < small->size) {
        small = keyspace->tables[1];
        large = keyspace->tables[0];
    }
    cursor &= small->size - 1;
    visit(keyspace, &small->slots[cursor], ctx);
    for (bucket = cursor; large && bucket < large->size; bucket += small->size) {
        visit(keyspace, &large->slots[bucket], ctx);
    }
    return next_cursor(cursor, small->size - 1);
}

struct scan {
    kv_keyspace_scan_fn visit;
    void *ctx;
    int64_t now_ms;
};

static void scan_bucket(struct kv_keyspace *keyspace, struct node **slot, void *ctx)
{
    const struct scan *scan = ctx;
    const struct node *node;

    (void)keyspace;
    for (node = *slot; node; node = node->next) {
        struct kv_keyspace_value value = {value_of(node), node->expire_ms};

        if (!has_expired(node, scan->now_ms)) {
            scan->visit(scan->ctx, key_of(node), &value);
        }
    }
}

uint64_t kv_keyspace_scan(struct kv_keyspace *keyspace, int64_t now_ms, uint64_t cursor,
    kv_keyspace_scan_fn visit, void *ctx)
{
    struct scan scan = {visit, ctx, now_ms};

    if (!keyspace || !visit) {
        return 0;
    }
    return step_cursor(keyspace, cursor, scan_bucket, &scan);
}

/* Upkeep. */

struct sweep {
    int64_t now_ms;
    size_t budget;
};

static void spend(struct sweep *sweep)
{
    sweep->budget -= sweep->budget > 0 ? 1 : 0;
}

/* Takes out what has expired in one bucket and learns when the others will. */
static void sweep_bucket(struct kv_keyspace *keyspace, struct node **slot, void *ctx)
{
    struct sweep *sweep = ctx;

    spend(sweep);
    while (*slot) {
        spend(sweep);
        if (has_expired(*slot, sweep->now_ms)) {
            take_out(keyspace, sweep->now_ms, slot, &expire_points);
            continue;
        }
        if ((*slot)->expire_ms < keyspace->soonest_next_ms) {
            keyspace->soonest_next_ms = (*slot)->expire_ms;
        }
        slot = &(*slot)->next;
    }
}

/* Goes round the table while something may have expired and the budget lasts. */
static void sweep_some(struct kv_keyspace *keyspace, struct sweep *sweep)
{
    while (sweep->budget > 0 && kv_keyspace_next_expiry(keyspace) <= sweep->now_ms) {
        keyspace->sweep_cursor = step_cursor(keyspace, keyspace->sweep_cursor, sweep_bucket, sweep);
        if (keyspace->sweep_cursor == 0) {
            keyspace->soonest_ms = keyspace->soonest_next_ms;
            keyspace->soonest_next_ms = KV_NEVER;
        }
    }
}

size_t kv_keyspace_expire_some(struct kv_keyspace *keyspace, int64_t now_ms, size_t budget)
{
    struct sweep sweep = {now_ms, budget};
    uint64_t before;

    if (!keyspace) {
        return 0;
    }
    before = keyspace->now.expired;
    sweep_some(keyspace, &sweep);
    while (sweep.budget > 0 && keyspace->graves) {
        bury_one(keyspace);
        spend(&sweep);
    }
    while (sweep.budget > 0 && keyspace->tables[1]) {
        move_some(keyspace);
        spend(&sweep);
    }
    resize_if_due(keyspace);
    return (size_t)(keyspace->now.expired - before);
}

int64_t kv_keyspace_next_expiry(const struct kv_keyspace *keyspace)
{
    return keyspace && keyspace->now.expiring > 0 ? keyspace->soonest_ms : KV_NEVER;
}

bool kv_keyspace_busy(const struct kv_keyspace *keyspace)
{
    return keyspace && (keyspace->graves || keyspace->tables[1]);
}
