/* SPDX-License-Identifier: MIT */
#include "pressure.h"

#include <stdio.h>
#include <string.h>

#include <troupe/fiber.h>

#include "core.h"
#include "runtime.h"
#include "seam.h"

/* What extra->edge points to the first part of. */
struct stance {
    struct trp_edge edge;
    struct trp_holding holding;
};

static_assert(sizeof(struct stance) <= (size_t)2 * TRP_CACHE_LINE, "what few actors have");

#define EDGE_CLASS trp_pool_class(sizeof(struct stance))
#define TEXT_CLASS trp_pool_class(TRP_RING_TEXT)

/* One actor on the way, and its edge as it was read. */
struct hop {
    troupe_pid pid;
    struct trp_edge *edge;
    uint64_t word;
};

/* The way from an actor on. */
struct way {
    struct hop hops[TRP_EDGE_HOPS + 1];
    unsigned count;
    bool closed;   /* the last one leads back to the first */
    bool too_long; /* there are more hops */
};

static enum trp_edge_state state_of(uint64_t word)
{
    return (enum trp_edge_state)(word & TRP_EDGE_STATE);
}

static uint64_t with_state(uint64_t word, enum trp_edge_state state)
{
    return (word & ~TRP_EDGE_STATE) | state;
}

static bool is_of(uint64_t word, uint64_t number)
{
    return (word & TRP_EDGE_NUMBER) == number;
}

static bool stands(uint64_t word)
{
    enum trp_edge_state state = state_of(word);

    return state != TRP_EDGE_NONE && state != TRP_EDGE_RESTING && state != TRP_EDGE_MOVING;
}

/* The word, when nobody moves it. */
static uint64_t word_of(const struct trp_edge *edge)
{
    for (;;) {
        /* acquire: where it leads, and the text of one that rests.  PAIR edge.word: move_on(), leave(). */
        uint64_t word = atomic_load_explicit(&edge->word, memory_order_acquire);

        if (trp_likely(state_of(word) != TRP_EDGE_MOVING)) {
            return word;
        }
        trp_port_yield();
    }
}

/* From `word`, as it was read, to another; false: it has changed. */
static bool swap(struct trp_edge *edge, uint64_t word, uint64_t next)
{
    /* acq_rel: who moves it has seen what was written before, and who finds it changed what was done meanwhile.
     * PAIR edge.word. */
    return atomic_compare_exchange_strong_explicit(
        &edge->word, &word, next, memory_order_acq_rel, memory_order_acquire);
}

/* MOVING, by us alone; false: it is not that record any more. */
static bool begin_move(struct trp_edge *edge, uint64_t number, uint64_t *out_word)
{
    uint64_t word;

    do {
        word = word_of(edge);
        if (!is_of(word, number)) {
            return false;
        }
    } while (!swap(edge, word, with_state(word, TRP_EDGE_MOVING)));
    *out_word = word;
    return true;
}

/* As another edge than before. */
static uint64_t moved(uint64_t word, enum trp_edge_state state)
{
    uint64_t moves = (word + TRP_EDGE_MOVE) & TRP_EDGE_MOVES;

    return (word & TRP_EDGE_NUMBER) | moves | state;
}

/* MOVING -> `state`, as another edge than before. */
static void move_on(struct trp_edge *edge, uint64_t word, enum trp_edge_state state)
{
    /* release: where it leads, and the text.  PAIR edge.word: word_of(). */
    atomic_store_explicit(&edge->word, moved(word, state), memory_order_release);
}

struct trp_edge *trp_pressure_edge(struct troupe_actor *actor)
{
    struct trp_extra *extra = trp_actor_extra(actor);

    /* acquire: the block.  PAIR extra.edge: make_edge(). */
    return extra != NULL ? atomic_load_explicit(&extra->edge, memory_order_acquire) : NULL;
}

/* ---- the owner ---- */

static struct trp_edge *make_edge(struct trp_context *context, struct troupe_actor *actor)
{
    struct trp_extra *extra = trp_actor_need_extra(context, actor);
    struct trp_edge *expected = NULL;
    struct stance *stance;

    stance = extra != NULL ? trp_pool_alloc(&context->pool, EDGE_CLASS) : NULL;
    if (stance == NULL) {
        return NULL;
    }
    memset(stance, 0, sizeof *stance);
    trp_list_init(&stance->edge.paused);
    trp_list_init(&stance->holding.leases);
    /* acq_rel.  release: the block.  acquire, if it failed: that of whoever came first.  PAIR extra.edge. */
    if (!atomic_compare_exchange_strong_explicit(
            &extra->edge, &expected, &stance->edge, memory_order_acq_rel, memory_order_acquire)) {
        trp_pool_free(&context->pool, stance, EDGE_CLASS);
        return expected;
    }
    return &stance->edge;
}

static struct trp_holding *holding_of(struct trp_edge *edge)
{
    return edge != NULL ? &trp_container_of(edge, struct stance, edge)->holding : NULL;
}

struct trp_holding *trp_pressure_holding(struct troupe_actor *actor)
{
    return holding_of(trp_pressure_edge(actor));
}

struct trp_holding *trp_pressure_need_holding(
    struct trp_context *context, struct troupe_actor *actor)
{
    struct trp_edge *edge = trp_pressure_edge(actor);

    return holding_of(edge != NULL ? edge : make_edge(context, actor));
}

bool trp_pressure_is_holder(struct troupe_actor *actor)
{
    const struct trp_holding *holding = trp_pressure_holding(actor);

    /* relaxed: the owner has written it, or one lapses just now, and it is refused once more. */
    return holding != NULL && atomic_load_explicit(&holding->lease_count, memory_order_relaxed) > 0;
}

struct trp_edge *trp_pressure_need_edge(struct trp_context *context, struct troupe_actor *actor)
{
    struct trp_edge *edge = trp_pressure_edge(actor);

    return edge != NULL ? edge : make_edge(context, actor);
}

int trp_pressure_open(struct trp_context *context, struct troupe_actor *self, uint64_t *out_number)
{
    struct trp_edge *edge = trp_pressure_need_edge(context, self);

    if (edge == NULL) {
        return TROUPE_ENOMEM;
    }
    trp_assert(state_of(word_of(edge)) == TRP_EDGE_NONE);
    context->edges += TRP_EDGE_STEP;
    *out_number = context->edges;
    /* relaxed: it leads nowhere yet; whoever shall point it is told the number after this. */
    atomic_store_explicit(&edge->word, context->edges | TRP_EDGE_RESTING, memory_order_relaxed);
    return TROUPE_OK;
}

void trp_pressure_close(struct troupe_actor *self)
{
    struct trp_edge *edge = trp_pressure_edge(self);
    uint64_t word;

    if (edge == NULL) {
        return;
    }
    do {
        word = word_of(edge);
    } while (!swap(edge, word, TRP_EDGE_NONE));
}

void trp_pressure_free(struct trp_context *context, struct trp_edge *edge)
{
    if (edge == NULL) {
        return;
    }
    trp_pause_free(context, edge);
    if (edge->text != NULL) {
        trp_pool_free(&context->pool, edge->text, TEXT_CLASS);
    }
    trp_pool_free(&context->pool, edge, EDGE_CLASS);
}

/* ---- following edges ---- */

/* Whether an edge that leads to `actor` waits for this life of it. */
static bool is_life(const struct troupe_actor *actor, uint32_t life)
{
    /* relaxed: a join that is told of the end of a life closes no ring with the next one, whose first step came after
     * this was written. */
    return life == 0 || atomic_load_explicit(&actor->incarnation, memory_order_relaxed) + 1 == life;
}

/* The edge of hop->pid, if there is one that stands: whom it leads to, TROUPE_NOBODY: nobody. */
static troupe_pid read_hop(struct troupe_runtime *runtime, struct hop *hop)
{
    struct troupe_actor *actor = trp_table_find(&runtime->table, hop->pid);
    struct troupe_actor *next;
    troupe_pid to;
    uint32_t life;

    hop->edge = actor != NULL ? trp_pressure_edge(actor) : NULL;
    if (hop->edge == NULL) {
        return TROUPE_NOBODY;
    }
    hop->word = word_of(hop->edge);
    if (!stands(hop->word)) {
        return TROUPE_NOBODY;
    }
    /* acquire, both: of one that is moved meanwhile we see that it is, when we read the word again.
     * PAIR edge.to: point(). */
    to = atomic_load_explicit(&hop->edge->to, memory_order_acquire);
    life = atomic_load_explicit(&hop->edge->life, memory_order_acquire);
    next = trp_table_find(&runtime->table, to);
    return next != NULL && is_life(next, life) ? to : TROUPE_NOBODY;
}

troupe_pid trp_pressure_awaited(struct troupe_runtime *runtime, troupe_pid pid)
{
    struct hop hop = {.pid = pid};
    troupe_pid to = read_hop(runtime, &hop);

    /* Read again: it was not moved meanwhile. */
    return to != TROUPE_NOBODY && word_of(hop.edge) == hop.word ? to : TROUPE_NOBODY;
}

static void follow(struct troupe_runtime *runtime, troupe_pid first, struct way *way)
{
    troupe_pid pid = first;

    way->closed = false;
    way->too_long = false;
    for (way->count = 0; way->count <= TRP_EDGE_HOPS; way->count++) {
        struct hop *hop = &way->hops[way->count];

        hop->pid = pid;
        pid = read_hop(runtime, hop);
        if (pid == TROUPE_NOBODY) {
            return;
        }
        if (pid == first) {
            way->count++;
            way->closed = true;
            return;
        }
    }
    way->too_long = true;
}

/* Whether `word` is the edge that was read, and stands. */
static bool is_same(uint64_t word, const struct hop *hop)
{
    return ((word ^ hop->word) & ~TRP_EDGE_STATE) == 0 && stands(word);
}

/* ---- one victim ---- */

enum claim {
    CLAIM_OVER, /* there is a victim, or the ring is none any more */
    CLAIM_TRY,  /* *out_hop is the one to be claimed */
};

/* Reads the first `count` again: if nothing has changed, all of them stood at the same time, when the last one had been read and
 * none again.  Who is to be claimed is, of those that still look, the one with the highest number. */
static enum claim choose(struct way *way, unsigned count, struct hop **out_hop)
{
    struct hop *best = NULL;

    for (unsigned i = 0; i < count; i++) {
        struct hop *hop = &way->hops[i];
        uint64_t word = word_of(hop->edge);

        if (!is_same(word, hop) || state_of(word) == TRP_EDGE_CLAIMED) {
            return CLAIM_OVER;
        }
        hop->word = word;
        if (state_of(word) == TRP_EDGE_LOOKING && (best == NULL || word > best->word)) {
            best = hop;
        }
    }
    *out_hop = best;
    return best != NULL ? CLAIM_TRY : CLAIM_OVER;
}

/* One of the first `count` will not wait. */
static void claim(struct way *way, unsigned count)
{
    struct hop *hop;

    while (choose(way, count, &hop) == CLAIM_TRY) {
        if (swap(hop->edge, hop->word, with_state(hop->word, TRP_EDGE_CLAIMED))) {
            return;
        }
    }
}

/* ---- telling of it ---- */

static const char *name_of(struct troupe_runtime *runtime, troupe_pid pid)
{
    const struct troupe_actor *actor = trp_table_find(&runtime->table, pid);

    return actor != NULL ? actor->behaviour->name : "?";
}

/* "a (64000001) -> b (64000002) -> a". */
static void describe(struct troupe_runtime *runtime, const struct way *way, char *text, size_t size)
{
    size_t at = 0;

    for (unsigned i = 0; i < way->count && at < size; i++) {
        at += (size_t)snprintf(text + at, size - at, "%s (%llx) -> ",
            name_of(runtime, way->hops[i].pid), (unsigned long long)way->hops[i].pid);
    }
    if (at < size) {
        (void)snprintf(
            text + at, size - at, "%s", way->closed ? name_of(runtime, way->hops[0].pid) : "...");
    }
}

/* Owner's text; the caller moves the edge.  Without memory there is none, and the error stands by itself. */
static void keep_text(struct trp_context *context, struct trp_edge *edge, const struct way *way)
{
    if (edge->text == NULL) {
        edge->text = trp_pool_alloc(&context->pool, TEXT_CLASS);
    }
    if (edge->text != NULL) {
        describe(context->runtime, way, edge->text, TRP_RING_TEXT);
    }
}

static void fill_ring(struct trp_context *context, const struct troupe_actor *actor,
    const struct way *way, struct trp_ring *ring)
{
    ring->pid = trp_actor_pid(actor);
    ring->actor = actor->behaviour->name;
    ring->count = way->count;
    describe(context->runtime, way, ring->text, sizeof ring->text);
}

static void report(struct troupe_runtime *runtime, const struct trp_ring *ring)
{
    struct troupe_report event = {
        .kind = TROUPE_REPORT_RING, .pid = ring->pid, .actor = ring->actor, .count = ring->count};

    trp_report_event(runtime, &event, "closes a ring of waits: %s", ring->text);
}

void trp_pressure_report(struct trp_context *context, const struct trp_ring *ring)
{
    if (ring != NULL && ring->count > 0) {
        report(context->runtime, ring);
    }
}

/* It is let be, and that is known.  `out_ring`: as of trp_pressure_wait_quietly(), or NULL. */
static void let_be(struct trp_context *context, struct troupe_actor *actor, const struct way *way,
    struct trp_ring *out_ring)
{
    struct trp_ring ring;

    if (!trp_report_is_wanted(context->runtime)) {
        return;
    }
    fill_ring(context, actor, way, out_ring != NULL ? out_ring : &ring);
    if (out_ring == NULL) {
        report(context->runtime, &ring);
    }
}

/* It is the victim.  `out_ring` as in let_be(). */
static int refuse(struct trp_context *context, struct troupe_actor *actor, uint64_t number,
    const struct way *way, struct trp_ring *out_ring)
{
    struct trp_edge *edge = trp_pressure_edge(actor);
    uint64_t word;

    if (context->runtime->options.on_ring == TROUPE_RING_LOG) {
        let_be(context, actor, way, out_ring);
        word = word_of(edge);
        if (is_of(word, number) && state_of(word) == TRP_EDGE_CLAIMED) {
            (void)swap(edge, word, with_state(word, TRP_EDGE_WAITING));
        }
        return TROUPE_OK;
    }
    if (!begin_move(edge, number, &word)) {
        return TROUPE_OK;
    }
    keep_text(context, edge, way);
    move_on(edge, word, TRP_EDGE_RESTING);
    return TROUPE_EDEADLK;
}

void trp_pressure_give_in(struct troupe_actor *self)
{
    if (self->runtime->options.on_ring == TROUPE_RING_FAIL) {
        troupe_abandon(self, TROUPE_EDEADLK, troupe_deadlock_text(self));
    }
}

const char *troupe_deadlock_text(struct troupe_actor *self)
{
    TRP_INSIDE(self);
    const struct trp_edge *edge = trp_actor_is_mine(self) ? trp_pressure_edge(self) : NULL;

    return edge != NULL && edge->text != NULL ? edge->text : "";
}

/* ---- whoever is entitled to ---- */

/* MOVING: where it leads. */
static void write_aim(struct trp_edge *edge, const struct trp_aim *aim)
{
    /* release, all: whoever reads it sees that it is being moved.  PAIR edge.to: read_hop(), is_told(). */
    atomic_store_explicit(&edge->to, aim->to, memory_order_release);
    atomic_store_explicit(&edge->flow, aim->flow, memory_order_release);
    atomic_store_explicit(&edge->life, aim->life, memory_order_release);
    atomic_store_explicit(&edge->heard, aim->heard, memory_order_release);
}

static void point(struct troupe_actor *actor, uint64_t number, const struct trp_aim *aim,
    enum trp_edge_state state)
{
    struct trp_edge *edge = trp_pressure_edge(actor);
    uint64_t word;

    if (edge == NULL || !begin_move(edge, number, &word)) {
        return;
    }
    write_aim(edge, aim);
    move_on(edge, word, state);
}

void trp_pressure_point(struct troupe_actor *actor, uint64_t number, const struct trp_aim *aim)
{
    point(actor, number, aim, TRP_EDGE_LOOKING);
}

void trp_pressure_pause(struct troupe_actor *actor, uint64_t number, troupe_pid to)
{
    point(actor, number, &(struct trp_aim){.to = to}, TRP_EDGE_PAUSED);
}

/* It waits.  False: it was claimed. */
static bool begin_waiting(struct trp_edge *edge, uint64_t number)
{
    for (;;) {
        uint64_t word = word_of(edge);

        if (!is_of(word, number) || state_of(word) != TRP_EDGE_LOOKING) {
            return !is_of(word, number) || state_of(word) != TRP_EDGE_CLAIMED;
        }
        if (swap(edge, word, with_state(word, TRP_EDGE_WAITING))) {
            return true;
        }
    }
}

/* The way from `actor`, whose edge stands. */
static void look_from(struct trp_context *context, struct troupe_actor *actor, struct way *way)
{
    /* seq_cst: our edge was stored before we read those of others.  Of all that make a ring, whoever is last here sees the
     * others'.  PAIR edge.closed: itself. */
    atomic_thread_fence(memory_order_seq_cst);
    trp_switch();
    follow(context->runtime, trp_actor_pid(actor), way);
}

/* If the way is a ring, or too long: the first one that is paused goes on.  False: it is none, or nobody is. */
static bool let_one_go(struct trp_context *context, const struct way *way)
{
    for (unsigned i = 0; (way->closed || way->too_long) && i < way->count; i++) {
        const struct hop *hop = &way->hops[i];
        struct troupe_actor *actor = trp_table_find(&context->runtime->table, hop->pid);

        if (state_of(hop->word) == TRP_EDGE_PAUSED && actor != NULL) {
            /* First: what it does next sees no ring that is none any more. */
            trp_pressure_rest(actor, hop->word & TRP_EDGE_NUMBER);
            trp_pause_break(context, actor);
            return true;
        }
    }
    return false;
}

bool trp_pressure_closes(struct trp_context *context, struct troupe_actor *actor)
{
    struct way way;

    look_from(context, actor, &way);
    return way.closed || way.too_long;
}

/* Whether an edge that stands closes a ring.  `out_ring` as in refuse(). */
static int look(struct trp_context *context, struct troupe_actor *actor, uint64_t number,
    struct trp_ring *out_ring)
{
    struct trp_edge *edge = trp_pressure_edge(actor);
    struct way way;

    if (edge == NULL) {
        return TROUPE_OK;
    }
    look_from(context, actor, &way);
    while (let_one_go(context, &way)) {
        follow(context->runtime, trp_actor_pid(actor), &way);
    }
    if (way.closed) {
        claim(&way, way.count);
    } else if (way.too_long) {
        claim(&way, 1);
    }
    if (begin_waiting(edge, number)) {
        return TROUPE_OK;
    }
    if (!way.closed && !way.too_long) {
        /* Somebody else saw the ring: now it is all there. */
        follow(context->runtime, trp_actor_pid(actor), &way);
    }
    return refuse(context, actor, number, &way, out_ring);
}

int trp_pressure_look(struct trp_context *context, struct troupe_actor *actor, uint64_t number)
{
    return look(context, actor, number, NULL);
}

int trp_pressure_wait(struct trp_context *context, struct troupe_actor *actor, uint64_t number,
    const struct trp_aim *aim)
{
    trp_pressure_point(actor, number, aim);
    return look(context, actor, number, NULL);
}

int trp_pressure_wait_quietly(struct trp_context *context, struct troupe_actor *actor,
    uint64_t number, const struct trp_aim *aim, struct trp_ring *out_ring)
{
    trp_pressure_point(actor, number, aim);
    return look(context, actor, number, out_ring);
}

void trp_pressure_rest(struct troupe_actor *actor, uint64_t number)
{
    struct trp_edge *edge = trp_pressure_edge(actor);
    uint64_t word;

    if (edge == NULL) {
        return;
    }
    do {
        word = word_of(edge);
    } while (is_of(word, number) && state_of(word) != TRP_EDGE_RESTING &&
             !swap(edge, word, with_state(word, TRP_EDGE_RESTING)));
}

/* ---- words of flows ---- */

uint64_t trp_pressure_aim(struct troupe_actor *self, uint64_t number, const struct trp_aim *aim)
{
    struct trp_edge *edge = trp_pressure_edge(self);
    uint64_t word;
    bool mine = begin_move(edge, number, &word);

    trp_assert(mine);
    write_aim(edge, aim);
    move_on(edge, word, TRP_EDGE_RESTING);
    return moved(word, TRP_EDGE_RESTING);
}

bool trp_pressure_stand(struct troupe_actor *self, uint64_t word)
{
    return swap(trp_pressure_edge(self), word, with_state(word, TRP_EDGE_LOOKING));
}

bool trp_pressure_stands(struct troupe_actor *self, uint64_t word)
{
    return word_of(trp_pressure_edge(self)) == with_state(word, TRP_EDGE_WAITING);
}

enum told {
    TOLD_NOTHING,
    TOLD_IT,      /* that is what it waits for */
    TOLD_ANOTHER, /* that may change what others wait for */
};

/* What a word is to the edge as it is. */
static enum told compare(const struct trp_edge *edge, troupe_pid by, uint64_t flow, uint32_t count)
{
    /* acquire, all: of one that is moved meanwhile we see that it is, when its word is swapped.  PAIR edge.to: write_aim(). */
    troupe_pid to = atomic_load_explicit(&edge->to, memory_order_acquire);
    uint64_t awaited = atomic_load_explicit(&edge->flow, memory_order_acquire);
    uint32_t heard = atomic_load_explicit(&edge->heard, memory_order_acquire);

    if (to == by && awaited == flow) {
        return (int32_t)(count - heard) > 0 ? TOLD_IT : TOLD_NOTHING;
    }
    return (awaited & flow & TRP_EDGE_OPEN) != 0 ? TOLD_ANOTHER : TOLD_NOTHING;
}

bool trp_pressure_told(struct troupe_actor *actor, troupe_pid by, uint64_t flow, uint32_t count)
{
    struct trp_edge *edge = trp_pressure_edge(actor);
    enum told told;
    uint64_t word;

    if (trp_likely(edge == NULL)) {
        return false;
    }
    do {
        word = word_of(edge);
        told = state_of(word) != TRP_EDGE_NONE ? compare(edge, by, flow, count) : TOLD_NOTHING;
        if (told == TOLD_NOTHING) {
            return false;
        }
    } while (!swap(edge, word, moved(word, TRP_EDGE_RESTING)));
    return told == TOLD_ANOTHER && stands(word);
}
