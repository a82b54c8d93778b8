/* SPDX-License-Identifier: MIT */
/*
 * lanes.c - what stands on a shelf, and what is taken next.  See lanes.h.
 */
#include "lanes.h"

/* ---- where things are found ---- */

/* Of an odd number with bits well spread; its upper bits are what all of `value` has a part in. */
static size_t hash(const struct trp_lanes *lanes, uint64_t value, uint32_t lane)
{
    uint64_t mixed = (value ^ value >> 32) + lane;

    return (size_t)(mixed * 0x9e3779b97f4a7c15ULL >> (64 - lanes->hash_bits));
}

static struct trp_place **keys_at(const struct trp_lanes *lanes, uint64_t key, uint32_t lane)
{
    return &lanes->by_key[hash(lanes, key, lane)];
}

/* The newest one with this key; or NULL. */
static struct trp_place *find_key(const struct trp_lanes *lanes, uint64_t key, uint32_t lane)
{
    struct trp_place *place = *keys_at(lanes, key, lane);

    while (place != NULL && (place->key != key || place->line->lane != lane)) {
        place = place->chain;
    }
    return place;
}

static void add_key(struct trp_lanes *lanes, struct trp_place *place)
{
    struct trp_place **at = keys_at(lanes, place->key, place->line->lane);

    place->chain = *at;
    *at = place;
}

static void remove_key(struct trp_lanes *lanes, const struct trp_place *place)
{
    struct trp_place **at = keys_at(lanes, place->key, place->line->lane);

    while (*at != place) {
        at = &(*at)->chain;
    }
    *at = place->chain;
}

static struct trp_line **line_at(const struct trp_lanes *lanes, troupe_pid sender, uint32_t lane)
{
    struct trp_line **at = &lanes->by_owner[hash(lanes, sender, lane)];

    while (*at != NULL && ((*at)->sender != sender || (*at)->lane != lane)) {
        at = &(*at)->chain;
    }
    return at;
}

static uint32_t lane_of(const struct trp_lanes *lanes, uint32_t lane)
{
    return lane < lanes->spec.lanes ? lane : lanes->spec.lanes - 1;
}

/* ---- who has most ---- */

static uint64_t cost_of(const struct trp_lanes *lanes, const struct trp_line *line)
{
    return line->bytes + line->count * lanes->place_cost;
}

static void leave_level(struct trp_lane *lane, struct trp_line *line)
{
    trp_list_remove(&line->level);
    if (trp_list_is_empty(&lane->level[line->level_of])) {
        lane->levels_used &= ~((uint64_t)1 << line->level_of);
    }
}

/* It has more or less than before, and something. */
static void sort(struct trp_lanes *lanes, struct trp_line *line, bool is_new)
{
    struct trp_lane *lane = &lanes->lane[line->lane];
    uint32_t level;

    if (lane->level == NULL) {
        return;
    }
    level = 63 - (uint32_t)__builtin_clzll(cost_of(lanes, line));
    if (!is_new && level == line->level_of) {
        return;
    }
    if (!is_new) {
        leave_level(lane, line);
    }
    line->level_of = (uint16_t)level;
    trp_list_push(&lane->level[level], &line->level);
    lane->levels_used |= (uint64_t)1 << level;
}

/* The level of who has most in it; -1: nobody has anything. */
static int top_of(const struct trp_lane *lane)
{
    return lane->levels_used != 0 ? 63 - __builtin_clzll(lane->levels_used) : -1;
}

/* In several lanes as much: in the last of these. */
static struct trp_line *who_has_most(struct trp_lanes *lanes)
{
    struct trp_lane *most = &lanes->lane[0];

    for (uint32_t i = 1; i < lanes->spec.lanes; i++) {
        if (top_of(&lanes->lane[i]) >= top_of(most)) {
            most = &lanes->lane[i];
        }
    }
    return trp_container_of(most->level[top_of(most)].next, struct trp_line, level);
}

/* ---- lines ---- */

static struct trp_line *begin_line(struct trp_lanes *lanes, troupe_pid sender, uint32_t lane)
{
    struct trp_list *entry = trp_list_pop(&lanes->free_lines);
    struct trp_line **at = line_at(lanes, sender, lane);
    struct trp_line *line;

    trp_assert(entry != NULL);
    line = trp_container_of(entry, struct trp_line, turn);
    line->sender = sender;
    line->lane = (uint16_t)lane;
    line->chain = NULL;
    *at = line;
    return line;
}

static void end_line(struct trp_lanes *lanes, struct trp_line *line)
{
    struct trp_lane *lane = &lanes->lane[line->lane];

    trp_list_remove(&line->turn);
    if (lane->level != NULL) {
        leave_level(lane, line);
    }
    if (lanes->spec.by_sender) {
        *line_at(lanes, line->sender, line->lane) = line->chain;
        trp_list_push(&lanes->free_lines, &line->turn);
    }
}

static struct trp_line *line_of(struct trp_lanes *lanes, troupe_pid sender, uint32_t lane)
{
    struct trp_line *line;

    if (!lanes->spec.by_sender) {
        return &lanes->lines[lane];
    }
    line = *line_at(lanes, sender, lane);
    return line != NULL ? line : begin_line(lanes, sender, lane);
}

static void weigh(struct trp_lanes *lanes, struct trp_line *line, const struct troupe_message *msg)
{
    line->bytes += trp_message_weight(msg);
    lanes->bytes += trp_message_weight(msg);
}

static void unweigh(
    struct trp_lanes *lanes, struct trp_line *line, const struct troupe_message *msg)
{
    line->bytes -= trp_message_weight(msg);
    lanes->bytes -= trp_message_weight(msg);
}

static void append(
    struct trp_lanes *lanes, struct trp_line *line, const struct trp_lanes_item *item)
{
    struct trp_place *place = lanes->free_places;
    bool is_new = line->count == 0;

    trp_assert(place != NULL);
    lanes->free_places = place->next;
    *place = (struct trp_place){.msg = item->msg, .line = line, .key = item->key};
    if (is_new) {
        line->first = place;
        trp_list_push(&lanes->lane[line->lane].turns, &line->turn);
    } else {
        line->last->next = place;
    }
    line->last = place;
    line->count++;
    lanes->lane[line->lane].count++;
    lanes->count++;
    weigh(lanes, line, item->msg);
    sort(lanes, line, is_new);
    if (lanes->by_key != NULL) {
        add_key(lanes, place);
    }
}

static struct troupe_message *take_from(struct trp_lanes *lanes, struct trp_line *line)
{
    struct trp_place *place = line->first;
    struct troupe_message *msg = place->msg;

    if (lanes->by_key != NULL) {
        remove_key(lanes, place);
    }
    line->first = place->next;
    line->count--;
    lanes->lane[line->lane].count--;
    lanes->count--;
    unweigh(lanes, line, msg);
    if (line->count == 0) {
        end_line(lanes, line);
    } else {
        sort(lanes, line, false);
    }
    place->next = lanes->free_places;
    lanes->free_places = place;
    return msg;
}

/* ---- put ---- */

/* In the place of one with its key.  False: there is none, or the new one is too large beside the others. */
static bool conflate(
    struct trp_lanes *lanes, const struct trp_lanes_item *item, struct trp_displaced *out_displaced)
{
    struct trp_place *place = lanes->by_key != NULL ? find_key(lanes, item->key, item->lane) : NULL;

    if (place == NULL ||
        lanes->bytes - trp_message_weight(place->msg) + trp_message_weight(item->msg) >
            lanes->spec.bytes) {
        return false;
    }
    unweigh(lanes, place->line, place->msg);
    trp_chain_append(&out_displaced->conflated, place->msg);
    place->msg = item->msg;
    weigh(lanes, place->line, item->msg);
    sort(lanes, place->line, false);
    return true;
}

/* The one line of the last lane in which something stands. */
static struct trp_line *last_in_rank(struct trp_lanes *lanes)
{
    uint32_t lane = lanes->spec.lanes - 1;

    while (lanes->lane[lane].count == 0) {
        lane--;
    }
    return &lanes->lines[lane];
}

static bool is_over(const struct trp_lanes *lanes)
{
    return lanes->count > lanes->spec.count || lanes->bytes > lanes->spec.bytes;
}

void trp_lanes_put(
    struct trp_lanes *lanes, const struct trp_lanes_item *item, struct trp_displaced *out_displaced)
{
    struct trp_lanes_item own = *item;

    own.lane = lane_of(lanes, item->lane);
    if (!conflate(lanes, &own, out_displaced)) {
        append(lanes, line_of(lanes, item->msg->sender, own.lane), &own);
    }
    while (lanes->spec.displaces && is_over(lanes)) {
        struct trp_line *loser = lanes->spec.by_sender ? who_has_most(lanes) : last_in_rank(lanes);

        trp_chain_append(&out_displaced->oldest, take_from(lanes, loser));
    }
}

bool trp_lanes_has_share(
    const struct trp_lanes *lanes, troupe_pid sender, uint32_t lane, uint32_t count, uint64_t bytes)
{
    const struct trp_line *line = *line_at(lanes, sender, lane_of(lanes, lane));
    uint64_t own = line != NULL ? line->count : 0;
    uint64_t own_bytes = line != NULL ? line->bytes : 0;

    if (own == 0 && count == 1) {
        return false;
    }
    /* Of several the last one: by then those before it are its own, and have taken room. */
    return own + lanes->count + 2 * (uint64_t)count - 1 > lanes->spec.count ||
           own_bytes + lanes->bytes + bytes > lanes->spec.bytes;
}

/* ---- take ---- */

/* The last one that is overdue; or the first one. */
static uint32_t next_lane(const struct trp_lanes *lanes)
{
    uint32_t next = 0;

    for (uint32_t i = lanes->spec.lanes; i-- > 0;) {
        const struct trp_lane *lane = &lanes->lane[i];

        if (lane->count == 0) {
            continue;
        }
        if (lane->passed >= lanes->spec.burst) {
            return i;
        }
        next = i;
    }
    return next;
}

/* One of `taken` is: those behind it, in which something stands, were passed. */
static void note_passed(struct trp_lanes *lanes, uint32_t taken)
{
    lanes->lane[taken].passed = 0;
    for (uint32_t i = taken + 1; i < lanes->spec.lanes; i++) {
        struct trp_lane *lane = &lanes->lane[i];

        lane->passed = lane->count > 0 ? lane->passed + 1 : 0;
    }
}

struct troupe_message *trp_lanes_take(struct trp_lanes *lanes)
{
    struct troupe_message *msg;
    struct trp_lane *lane;
    struct trp_line *line;
    uint32_t next;

    if (lanes->count == 0) {
        return NULL;
    }
    next = next_lane(lanes);
    lane = &lanes->lane[next];
    line = trp_container_of(lane->turns.next, struct trp_line, turn);
    msg = take_from(lanes, line);
    if (line->count > 0) {
        trp_list_remove(&line->turn);
        trp_list_push(&lane->turns, &line->turn);
    }
    note_passed(lanes, next);
    return msg;
}

/* ---- made ---- */

/* One that displaces has a message too many for a moment. */
static size_t places_of(const struct trp_lanes_spec *spec)
{
    return (size_t)spec->count + spec->margin + (spec->displaces ? 1 : 0);
}

static size_t lines_of(const struct trp_lanes_spec *spec)
{
    return spec->by_sender ? places_of(spec) : spec->lanes;
}

static bool asks_who_has_most(const struct trp_lanes_spec *spec)
{
    return spec->by_sender && spec->displaces;
}

static uint32_t hash_bits_of(const struct trp_lanes_spec *spec)
{
    uint32_t bits = 1;

    while (((size_t)1 << bits) < places_of(spec)) {
        bits++;
    }
    return bits;
}

/* Cuts so many bytes off `*memory`; of no memory it only counts. */
static void *cut(char **memory, size_t size)
{
    void *part = *memory;

    *memory += size;
    return part;
}

static void init_lane(struct trp_lane *lane, struct trp_list *level)
{
    trp_list_init(&lane->turns);
    lane->level = level;
    for (unsigned i = 0; level != NULL && i < TRP_LEVELS; i++) {
        trp_list_init(&level[i]);
    }
}

size_t trp_lanes_size(const struct trp_lanes_spec *spec)
{
    size_t hashed = (size_t)1 << hash_bits_of(spec);

    return places_of(spec) * sizeof(struct trp_place) + lines_of(spec) * sizeof(struct trp_line) +
           (spec->conflates ? hashed * sizeof(void *) : 0) +
           (spec->by_sender ? hashed * sizeof(void *) : 0) +
           (asks_who_has_most(spec) ? (size_t)spec->lanes * TRP_LEVELS * sizeof(struct trp_list)
                                    : 0);
}

void trp_lanes_init(struct trp_lanes *lanes, const struct trp_lanes_spec *spec, void *memory)
{
    char *rest = memory;
    size_t hashed = (size_t)1 << hash_bits_of(spec);
    struct trp_place *places = cut(&rest, places_of(spec) * sizeof *places);

    *lanes = (struct trp_lanes){.spec = *spec, .hash_bits = hash_bits_of(spec)};
    lanes->place_cost = spec->bytes / spec->count;
    lanes->lines = cut(&rest, lines_of(spec) * sizeof *lanes->lines);
    trp_list_init(&lanes->free_lines);
    for (size_t i = 0; i < places_of(spec); i++) {
        places[i].next = lanes->free_places;
        lanes->free_places = &places[i];
    }
    for (size_t i = 0; i < lines_of(spec); i++) {
        trp_list_init(&lanes->lines[i].turn);
        trp_list_init(&lanes->lines[i].level);
        if (spec->by_sender) {
            trp_list_push(&lanes->free_lines, &lanes->lines[i].turn);
        } else {
            lanes->lines[i].lane = (uint16_t)i;
        }
    }
    if (spec->conflates) {
        lanes->by_key = cut(&rest, hashed * sizeof(void *));
    }
    if (spec->by_sender) {
        lanes->by_owner = cut(&rest, hashed * sizeof(void *));
    }
    for (uint32_t i = 0; i < spec->lanes; i++) {
        init_lane(&lanes->lane[i],
            asks_who_has_most(spec) ? cut(&rest, TRP_LEVELS * sizeof(struct trp_list)) : NULL);
    }
}
