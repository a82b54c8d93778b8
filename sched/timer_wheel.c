/* SPDX-License-Identifier: MIT */
/*
 * timer_wheel.c - deadlines, six levels of 64 slots.  See timer.h for the states of a timer.
 *
 * Write times as digits of six bits.  A timer is on the level of the highest digit in which its deadline
 * differs from the wheel's time, in the slot of its own digit there.  So
 *
 *   - a slot of level 0 is one millisecond; all of its timers are due at the same time;
 *   - all of a lower level is due before all of a higher one, and slots of a level are in order;
 *   - the earliest slot is the first bit of the first level that has one.
 *
 * To advance is to go from slot to slot: at the start of one of level 0 its timers are due, at the start of
 * another one its timers are placed anew, on lower levels.  Slots without timers cost nothing, so a
 * jump of hours costs what is due and at most five placements for each timer that it comes near to.
 *
 * Two exceptions.  A deadline that has passed counts as due now: it is put in the slot of level 0 that the
 * wheel stands on.  The highest level is a ring, in which 63 slots lie ahead; a deadline beyond
 * them is put in the last and placed anew there.
 *
 * Timers with the same deadline are always in the same slot and so fire in the order in which they were
 * armed (except beyond the ring, two years ahead).
 */
#include "timer.h"

enum {
    DIGIT = 6,
    DIGIT_MASK = TRP_WHEEL_SLOTS - 1,
    TOP = TRP_WHEEL_LEVELS - 1,
    EXACT_MAX = 8, /* in so many timers the earliest deadline is looked for */
};

static_assert(TRP_WHEEL_SLOTS == 1 << DIGIT, "a slot for each value of a digit");

/* A slot, and when it begins. */
struct trp_wheel_place {
    unsigned level;
    unsigned index;
    uint64_t start_ms;
};

static struct trp_timer *timer_of(struct trp_list *slot)
{
    return trp_container_of(slot, struct trp_timer, slot);
}

static uint64_t later(uint64_t a_ms, uint64_t b_ms)
{
    return a_ms > b_ms ? a_ms : b_ms;
}

/* `bits` turned so that bit `first` becomes bit 0. */
static uint64_t turn(uint64_t bits, unsigned first)
{
    return first == 0 ? bits : bits >> first | bits << (TRP_WHEEL_SLOTS - first);
}

static struct trp_wheel_place place_of(const struct trp_wheel *wheel, uint64_t due_ms)
{
    uint64_t due = later(due_ms, wheel->now_ms);
    uint64_t differs = due ^ wheel->now_ms;
    unsigned level = differs == 0 ? 0 : (63 - (unsigned)__builtin_clzll(differs)) / DIGIT;
    uint64_t digits;

    if (level > TOP) {
        level = TOP;
    }
    digits = due >> (DIGIT * level);
    if (level == TOP) {
        uint64_t last = (wheel->now_ms >> (DIGIT * TOP)) + DIGIT_MASK;

        digits = digits < last ? digits : last;
    }
    return (struct trp_wheel_place){level, digits & DIGIT_MASK, digits << (DIGIT * level)};
}

static void insert(struct trp_wheel *wheel, struct trp_timer *timer)
{
    struct trp_wheel_place place = place_of(wheel, timer->due_ms);

    timer->level = (uint8_t)place.level;
    timer->index = (uint8_t)place.index;
    trp_list_push(&wheel->slots[place.level][place.index], &timer->slot);
    wheel->bits[place.level] |= UINT64_C(1) << place.index;
}

static void take_out(struct trp_wheel *wheel, struct trp_timer *timer)
{
    trp_list_remove(&timer->slot);
    if (trp_list_is_empty(&wheel->slots[timer->level][timer->index])) {
        wheel->bits[timer->level] &= ~(UINT64_C(1) << timer->index);
    }
}

/* The earliest slot that is not empty; false if all are. */
static bool find_earliest(const struct trp_wheel *wheel, struct trp_wheel_place *out_place)
{
    for (unsigned level = 0; level < TRP_WHEEL_LEVELS; level++) {
        uint64_t digits = wheel->now_ms >> (DIGIT * level);
        uint64_t ahead;

        if (wheel->bits[level] == 0) {
            continue;
        }
        ahead = (unsigned)__builtin_ctzll(turn(wheel->bits[level], digits & DIGIT_MASK));
        *out_place = (struct trp_wheel_place){
            level, (digits + ahead) & DIGIT_MASK, (digits + ahead) << (DIGIT * level)};
        return true;
    }
    return false;
}

/* The earliest deadline in the earliest slot.  When the slot begins, if it has many timers; also on the
 * highest level, where a slot may have timers that are due later than those of the next. */
static uint64_t earliest_due(const struct trp_wheel *wheel, struct trp_wheel_place place)
{
    struct trp_list *slot = (struct trp_list *)(uintptr_t)&wheel->slots[place.level][place.index];
    uint64_t earliest_ms = TRP_NEVER;
    unsigned count = 0;

    if (place.level == TOP) {
        return place.start_ms;
    }
    for (struct trp_list *entry = slot->next; entry != slot; entry = entry->next) {
        if (++count > EXACT_MAX) {
            return place.start_ms;
        }
        if (timer_of(entry)->due_ms < earliest_ms) {
            earliest_ms = timer_of(entry)->due_ms;
        }
    }
    return earliest_ms;
}

static void publish_next(struct trp_wheel *wheel, uint64_t next_ms)
{
    /* release: who sees it also sees what its writer did before; the timers it sees under the lock.
     * PAIR wheel.next: acquire in trp_wheel_next(). */
    atomic_store_explicit(&wheel->next_ms, next_ms, memory_order_release);
}

/* Places the timers of a slot that the wheel has come to anew: on lower levels, in the same order. */
static void replace_slot(struct trp_wheel *wheel, struct trp_wheel_place place)
{
    struct trp_list timers;
    struct trp_list *entry;

    trp_list_move(&timers, &wheel->slots[place.level][place.index]);
    wheel->bits[place.level] &= ~(UINT64_C(1) << place.index);
    while ((entry = trp_list_pop(&timers)) != NULL) {
        insert(wheel, timer_of(entry));
    }
}

/* Moves at most `limit` timers of a slot of level 0 to `due`, as FIRING.  Returns how many. */
static unsigned take_slot(
    struct trp_wheel *wheel, unsigned index, unsigned limit, struct trp_list *due)
{
    struct trp_list *slot = &wheel->slots[0][index];
    unsigned count = 0;

    while (count < limit && !trp_list_is_empty(slot)) {
        struct trp_timer *timer = timer_of(slot->next);

        take_out(wheel, timer);
        timer->state = TRP_TIMER_FIRING;
        trp_list_push(due, &timer->slot);
        count++;
    }
    return count;
}

/* Brings the wheel to `now_ms`, or to where `limit` timers were due.  They are in `due`, in order. */
static unsigned take_due(
    struct trp_wheel *wheel, uint64_t now_ms, unsigned limit, struct trp_list *due)
{
    struct trp_wheel_place place;
    unsigned count = 0;

    while (count < limit && find_earliest(wheel, &place) && place.start_ms <= now_ms) {
        wheel->now_ms = place.start_ms;
        if (place.level == 0) {
            count += take_slot(wheel, place.index, limit - count, due);
        } else {
            replace_slot(wheel, place);
        }
    }
    if (count < limit) {
        wheel->now_ms = now_ms;
    }
    publish_next(wheel, find_earliest(wheel, &place) ? earliest_due(wheel, place) : TRP_NEVER);
    return count;
}

void trp_wheel_init(struct trp_wheel *wheel, uint64_t now_ms)
{
    trp_lock_init(&wheel->lock);
    wheel->now_ms = now_ms;
    atomic_init(&wheel->next_ms, TRP_NEVER);
    atomic_init(&wheel->advancing, false);
    for (unsigned level = 0; level < TRP_WHEEL_LEVELS; level++) {
        wheel->bits[level] = 0;
        for (unsigned index = 0; index < TRP_WHEEL_SLOTS; index++) {
            trp_list_init(&wheel->slots[level][index]);
        }
    }
}

bool trp_wheel_arm(struct trp_wheel *wheel, struct trp_timer *timer, uint64_t due_ms)
{
    bool earlier;

    trp_lock_take(&wheel->lock);
    trp_assert(timer->state == TRP_TIMER_IDLE);
    timer->wheel = wheel;
    timer->due_ms = due_ms;
    timer->state = TRP_TIMER_ARMED;
    insert(wheel, timer);
    /* relaxed: written under the lock, which we hold. */
    earlier = due_ms < atomic_load_explicit(&wheel->next_ms, memory_order_relaxed);
    if (earlier) {
        publish_next(wheel, due_ms);
    }
    trp_lock_give(&wheel->lock);
    return earlier;
}

bool trp_wheel_cancel(struct trp_timer *timer)
{
    struct trp_wheel *wheel = timer->wheel;
    struct trp_wheel_place place;
    bool armed;

    if (wheel == NULL) {
        return false;
    }
    trp_lock_take(&wheel->lock);
    armed = timer->state == TRP_TIMER_ARMED;
    if (armed) {
        take_out(wheel, timer);
        timer->state = TRP_TIMER_IDLE;
        /* Else the deadline stays as it is: too early is allowed, and the next advance mends it. */
        if (!find_earliest(wheel, &place)) {
            publish_next(wheel, TRP_NEVER);
        }
    }
    trp_lock_give(&wheel->lock);
    return armed;
}

bool trp_wheel_due(struct trp_timer *timer, uint64_t *out_due_ms)
{
    struct trp_wheel *wheel = timer->wheel;
    bool armed;

    if (wheel == NULL) {
        return false;
    }
    trp_lock_take(&wheel->lock);
    armed = timer->state == TRP_TIMER_ARMED;
    *out_due_ms = timer->due_ms;
    trp_lock_give(&wheel->lock);
    return armed;
}

uint64_t trp_wheel_next(const struct trp_wheel *wheel)
{
    /* acquire: what is due by then.  PAIR wheel.next: release in publish_next(). */
    return atomic_load_explicit(&wheel->next_ms, memory_order_acquire);
}

unsigned trp_wheel_advance(
    struct trp_wheel *wheel, uint64_t now_ms, unsigned limit, trp_wheel_fire_fn fire, void *context)
{
    struct trp_list due;
    struct trp_list *entry;
    unsigned count;

    if (trp_wheel_next(wheel) > now_ms) {
        return 0;
    }
    /* acquire: what the last one to advance has fired comes before what we fire.
     * PAIR wheel.advancing: release below. */
    if (atomic_exchange_explicit(&wheel->advancing, true, memory_order_acquire)) {
        return 0;
    }
    trp_list_init(&due);
    trp_lock_take(&wheel->lock);
    /* Somebody with a later clock may have been here; time does not go back. */
    count = take_due(wheel, later(now_ms, wheel->now_ms), limit, &due);
    trp_lock_give(&wheel->lock);
    while ((entry = trp_list_pop(&due)) != NULL) {
        /* Its owner may free it as soon as it is fired. */
        fire(context, timer_of(entry));
    }
    /* release: what we fired.  PAIR wheel.advancing: acquire above. */
    atomic_store_explicit(&wheel->advancing, false, memory_order_release);
    return count;
}

static void check_slot(struct trp_wheel *wheel, unsigned level, unsigned index)
{
    struct trp_list *slot = &wheel->slots[level][index];
    bool marked = (wheel->bits[level] >> index & 1) != 0;

    trp_assert(marked == !trp_list_is_empty(slot));
    for (struct trp_list *entry = slot->next; entry != slot; entry = entry->next) {
        struct trp_timer *timer = timer_of(entry);
        struct trp_wheel_place place = place_of(wheel, timer->due_ms);

        trp_assert(entry->next->prev == entry);
        trp_assert(timer->state == TRP_TIMER_ARMED);
        trp_assert(timer->wheel == wheel);
        trp_assert(timer->level == level);
        trp_assert(timer->index == index);
        /* A deadline beyond the ring was placed when the wheel was elsewhere. */
        trp_assert(place.level == level);
        trp_assert(place.index == index || level == TOP);
        trp_assert(trp_wheel_next(wheel) <= later(timer->due_ms, wheel->now_ms));
    }
}

void trp_wheel_check(struct trp_wheel *wheel)
{
    trp_lock_take(&wheel->lock);
    for (unsigned level = 0; level < TRP_WHEEL_LEVELS; level++) {
        for (unsigned index = 0; index < TRP_WHEEL_SLOTS; index++) {
            check_slot(wheel, level, index);
        }
    }
    trp_lock_give(&wheel->lock);
}
