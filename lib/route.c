/* SPDX-License-Identifier: MIT */
/*
 * route.c - sending to a group: to one of its members, or to all.
 *
 * A *search* goes through the seats of a group's roster, from one that the route chooses, and offers members that are
 * there until one takes the message.  Nobody is locked out meanwhile: a member may end or leave right after it was
 * offered.  Then the send itself says that it is gone, and the search goes on.
 * A roster is good for one read section, so nothing that is offered may make the caller wait (fiber.h).
 *
 * By key the search goes from the highest weight down (rendezvous hashing), so that a key whose member has ended is
 * served by the same other one as it will be when that has left.  A ring of hashes would find it in O(log members), but has
 * to be built anew with each join, and spreads the keys of one who leaves unevenly.
 */
#include "call.h"
#include "group.h"

#include <string.h>

#include <troupe/fiber.h>
#include <troupe/mailbox.h>

#include "trie.h"

/** Members without room that are passed over before the sender is told. */
#define FULL_MAX 64

/** Random seats that may be empty before the next one that is not is taken. */
#define THROWS 4

struct search {
    struct trp_context *context;
    struct trp_group *group;
    const struct trp_roster *roster;
    uint32_t seats;
    enum troupe_route route;
    uint64_t key;
    uint32_t at;     /* the seat to look at next */
    uint32_t passed; /* how many seats were looked at */
    uint64_t below;  /* by key: the weight of the one offered last */
    troupe_pid last; /* the one offered last; TROUPE_NOBODY: none yet */
};

static struct troupe_actor *actor_at(const struct search *search, uint32_t at)
{
    troupe_pid pid = trp_roster_pid(search->roster, at);

    return pid != TROUPE_NOBODY ? trp_actor_find(search->context->runtime, pid) : NULL;
}

static uint32_t random_seat(const struct search *search)
{
    uint32_t at = 0;

    for (unsigned throw = 0; throw < THROWS; throw ++) {
        at = (uint32_t)(trp_context_random(search->context) % search->seats);
        if (trp_roster_pid(search->roster, at) != TROUPE_NOBODY) {
            break;
        }
    }
    return at;
}

/* How many messages wait there; nobody has the most. */
static uint64_t load_at(const struct search *search, uint32_t at)
{
    struct troupe_actor *actor = actor_at(search, at);

    return actor != NULL ? trp_charge_queued(&actor->charge) >> 40 : UINT64_MAX;
}

static uint32_t seat_of_two(const struct search *search)
{
    uint32_t one = random_seat(search);
    uint32_t other = random_seat(search);

    return load_at(search, other) < load_at(search, one) ? other : one;
}

/* Where to begin. */
static uint32_t first_seat(const struct search *search)
{
    switch (search->route) {
    case TROUPE_ROUND_ROBIN:
        /* relaxed: a number. */
        return atomic_fetch_add_explicit(&search->group->turn, 1, memory_order_relaxed) %
               search->seats;
    case TROUPE_RANDOM:
        return random_seat(search);
    case TROUPE_LEAST_LOADED:
        return seat_of_two(search);
    default:
        return 0;
    }
}

/* The next one in the order of seats, from where the search began once round. */
static troupe_pid next_seated(struct search *search)
{
    while (search->passed < search->seats) {
        struct troupe_actor *actor = actor_at(search, search->at);

        search->at = search->at + 1 < search->seats ? search->at + 1 : 0;
        search->passed++;
        if (actor != NULL) {
            return trp_actor_pid(actor);
        }
    }
    return TROUPE_NOBODY;
}

static uint64_t weight_of(troupe_pid pid, uint64_t key)
{
    return trp_trie_mix(trp_trie_mix(pid) ^ key);
}

/* The one with the greatest weight below that of the one before. */
static troupe_pid next_weighed(struct search *search)
{
    troupe_pid best = TROUPE_NOBODY;
    uint64_t best_weight = 0;

    for (uint32_t at = 0; at < search->seats; at++) {
        troupe_pid pid = trp_roster_pid(search->roster, at);
        uint64_t weight = weight_of(pid, search->key);

        if (pid != TROUPE_NOBODY && (best == TROUPE_NOBODY || weight > best_weight) &&
            (search->last == TROUPE_NOBODY || weight < search->below)) {
            best = pid;
            best_weight = weight;
        }
    }
    search->last = best;
    search->below = best_weight;
    return best;
}

/* The next member to offer the message to, alive a moment ago; TROUPE_NOBODY: there is none. */
static troupe_pid next_member(struct search *search)
{
    troupe_pid pid;

    if (search->route != TROUPE_BY_KEY) {
        return next_seated(search);
    }
    do {
        pid = next_weighed(search);
    } while (pid != TROUPE_NOBODY && trp_actor_find(search->context->runtime, pid) == NULL);
    return pid;
}

/* Begins a search for one of the group `text`.  TROUPE_ENOENT. */
static int begin(struct search *search, struct trp_context *context, const char *text,
    enum troupe_route route, uint64_t key)
{
    struct trp_group *group = trp_group_find(context->runtime, text);
    const struct trp_roster *roster = group != NULL ? trp_group_roster(group) : NULL;

    if (roster == NULL) {
        return TROUPE_ENOENT;
    }
    *search = (struct search){.context = context,
        .group = group,
        .roster = roster,
        .seats = trp_roster_count(roster),
        .route = route,
        .key = key};
    if (search->seats == 0) {
        return TROUPE_ENOENT;
    }
    search->at = first_seat(search);
    return TROUPE_OK;
}

/* ---- to one ---- */

/* What is to be done with a member: TROUPE_EGONE and TROUPE_EFULL pass it over. */
struct attempt {
    int (*run)(const struct attempt *attempt, troupe_pid to);
    struct troupe_actor *self;
    struct troupe_runtime *runtime;
    const struct troupe_type *type;
    const void *body;
    struct troupe_message *msg;
    int timeout_ms;
    troupe_reply_fn on_reply;
    void *context;
    troupe_pid *out_pid;
};

static bool is_route(const char *group, enum troupe_route route)
{
    return trp_name_is_valid(group) && route >= TROUPE_ROUND_ROBIN && route <= TROUPE_BY_KEY;
}

/* Offers what `attempt` has to one member after the other until one takes it.  Inside a visit. */
static int offer(struct trp_context *context, const char *group, enum troupe_route route,
    uint64_t key, const struct attempt *attempt)
{
    struct search search;
    troupe_pid pid;
    unsigned full = 0;

    TROUPE_TRY(begin(&search, context, group, route, key));
    while (full < FULL_MAX && (pid = next_member(&search)) != TROUPE_NOBODY) {
        int error = attempt->run(attempt, pid);

        if (error == TROUPE_EFULL && route != TROUPE_BY_KEY) {
            full++;
        } else if (error != TROUPE_EGONE) {
            return error;
        }
    }
    return full > 0 ? TROUPE_EFULL : TROUPE_ENOENT;
}

/* The same from any thread. */
static int visit_and_offer(struct troupe_runtime *runtime, const char *group,
    enum troupe_route route, uint64_t key, const struct attempt *attempt)
{
    struct trp_visit visit;
    int error;

    TROUPE_TRY(trp_context_enter(runtime, &visit));
    error = offer(visit.context, group, route, key, attempt);
    trp_context_leave(&visit);
    return error;
}

/* If there is no room it is another one's turn. */
static int attempt_send_now(const struct attempt *attempt, troupe_pid to)
{
    return trp_send_bytes_now(attempt->self, to, attempt->type, attempt->body, attempt->type->size);
}

/* By key it is nobody else's: who is paused for it is so afterwards.  But nobody waits in the middle of a search: what it looks at may
 * go meanwhile. */
static int attempt_send(const struct attempt *attempt, troupe_pid to)
{
    return troupe_may_wait(attempt->self)
               ? attempt_send_now(attempt, to)
               : troupe_send(attempt->self, to, attempt->type, attempt->body);
}

int troupe_group_send(struct troupe_actor *self, const char *group, enum troupe_route route,
    uint64_t key, const struct troupe_type *type, const void *body)
{
    TRP_INSIDE(self);
    struct attempt attempt = {.run = route == TROUPE_BY_KEY ? attempt_send : attempt_send_now,
        .self = self,
        .type = type,
        .body = body};

    if (!trp_actor_is_mine(self) || !is_route(group, route) || type == NULL) {
        return TROUPE_EINVAL;
    }
    return offer(trp_context_of(self), group, route, key, &attempt);
}

static int attempt_move(const struct attempt *attempt, troupe_pid to)
{
    return troupe_try_send(attempt->runtime, to, attempt->msg);
}

int troupe_group_try_send(struct troupe_runtime *runtime, const char *group,
    enum troupe_route route, uint64_t key, struct troupe_message *msg)
{
    struct attempt attempt = {.run = attempt_move, .runtime = runtime, .msg = msg};

    if (!is_route(group, route) || msg == NULL) {
        return TROUPE_EINVAL;
    }
    return visit_and_offer(runtime, group, route, key, &attempt);
}

static int attempt_request(const struct attempt *attempt, troupe_pid to)
{
    return troupe_request(attempt->self, to, attempt->type, attempt->body, attempt->timeout_ms,
        attempt->on_reply, attempt->context);
}

static int attempt_request_now(const struct attempt *attempt, troupe_pid to)
{
    return trp_call_request_now(attempt->self, to, attempt->type, attempt->body,
        attempt->timeout_ms, attempt->on_reply, attempt->context);
}

int troupe_group_request(struct troupe_actor *self, const char *group, enum troupe_route route,
    uint64_t key, const struct troupe_type *type, const void *body, int timeout_ms,
    troupe_reply_fn on_reply, void *context)
{
    TRP_INSIDE(self);
    struct attempt attempt = {.run = route == TROUPE_BY_KEY ? attempt_request : attempt_request_now,
        .self = self,
        .type = type,
        .body = body,
        .timeout_ms = timeout_ms,
        .on_reply = on_reply,
        .context = context};

    if (!trp_actor_is_mine(self) || !is_route(group, route) || type == NULL || on_reply == NULL ||
        timeout_ms < TROUPE_FOREVER || timeout_ms == 0) {
        return TROUPE_EINVAL;
    }
    return offer(trp_context_of(self), group, route, key, &attempt);
}

static int attempt_note(const struct attempt *attempt, troupe_pid to)
{
    *attempt->out_pid = to;
    return TROUPE_OK;
}

int troupe_group_pick(struct troupe_runtime *runtime, const char *group, enum troupe_route route,
    uint64_t key, troupe_pid *out_pid)
{
    struct attempt attempt = {.run = attempt_note, .out_pid = out_pid};

    if (!is_route(group, route) || out_pid == NULL) {
        return TROUPE_EINVAL;
    }
    return visit_and_offer(runtime, group, route, key, &attempt);
}

uint64_t troupe_key(const void *bytes, size_t size)
{
    const unsigned char *at = bytes;
    uint64_t hash = UINT64_C(0xcbf29ce484222325);

    for (size_t i = 0; bytes != NULL && i < size; i++) {
        hash = (hash ^ at[i]) * UINT64_C(0x100000001b3);
    }
    return trp_trie_mix(hash);
}

/* ---- to all ---- */

/* A message of its own for `to`.  TROUPE_OK, TROUPE_ENOMEM, or as trp_send_charged(). */
static int send_copy(
    struct trp_context *context, troupe_pid to, const struct troupe_type *type, const void *body)
{
    struct troupe_message *msg = trp_message_new(context, type, type->size, 0);
    int error;

    if (msg == NULL) {
        return TROUPE_ENOMEM;
    }
    if (body != NULL) {
        memcpy(trp_message_body(msg), body, type->size);
    }
    if (body != NULL && type == &troupe_buffer_message) {
        (void)troupe_buffer_retain(*(struct troupe_buffer *const *)body);
    }
    msg->sender = context->current != NULL ? trp_actor_pid(context->current) : TROUPE_NOBODY;
    error = trp_send_charged(context, to, msg, msg, 1, trp_message_weight(msg));
    if (error < 0) {
        trp_message_dispose(context, msg, error);
    }
    return error;
}

static void count(struct troupe_group_sent *sent, int result)
{
    switch (result) {
    case TROUPE_OK:
        sent->sent++;
        break;
    case TROUPE_EGONE:
        sent->gone++;
        break;
    case TROUPE_ENOMEM:
        sent->failed++;
        break;
    case TROUPE_EMSGSIZE:
        sent->large++;
        break;
    default:
        sent->full++;
    }
}

/* Inside a visit. */
static int send_all(struct trp_context *context, const char *text, const struct troupe_type *type,
    const void *body, struct troupe_group_sent *out_sent)
{
    struct trp_group *group = trp_group_find(context->runtime, text);
    const struct trp_roster *roster = group != NULL ? trp_group_roster(group) : NULL;
    uint32_t seats = roster != NULL ? trp_roster_count(roster) : 0;
    uint32_t members = 0;

    for (uint32_t at = 0; at < seats; at++) {
        troupe_pid pid = trp_roster_pid(roster, at);

        if (pid != TROUPE_NOBODY) {
            members++;
            count(out_sent, send_copy(context, pid, type, body));
        }
    }
    return members > 0 ? TROUPE_OK : TROUPE_ENOENT;
}

int troupe_group_send_all(struct troupe_runtime *runtime, const char *group,
    const struct troupe_type *type, const void *body, struct troupe_group_sent *out_sent)
{
    struct troupe_group_sent sent = {0};
    struct trp_visit visit;
    int error;

    if (!trp_name_is_valid(group) || type == NULL || (body != NULL) != (type->size > 0) ||
        (type->destroy != NULL && type != &troupe_buffer_message)) {
        return TROUPE_EINVAL;
    }
    TROUPE_TRY(trp_context_enter(runtime, &visit));
    error = send_all(visit.context, group, type, body, &sent);
    trp_context_leave(&visit);
    if (error == TROUPE_OK && out_sent != NULL) {
        *out_sent = sent;
    }
    return error;
}
