/* SPDX-License-Identifier: MIT */
/*
 * family.h - for tests of supervisors: a child that keeps a journal and does what it is told, and how to ask its supervisor.
 */
#ifndef TEST_FAMILY_H
#define TEST_FAMILY_H

#include <criterion/criterion.h>
#include <stdio.h>
#include <time.h>

#include <troupe.h>

#include "test/support/ends.h"
#include "test/support/puppet.h"

/* ---- a child that keeps a journal and does what it is told ---- */

enum habit {
    HABIT_NONE,
    HABIT_FAIL_INIT = 1,   /* every init fails */
    HABIT_IGNORE_EXIT = 2, /* traps exits and does nothing about them */
    HABIT_SLOW_INIT = 4,   /* init waits for the gate */
    HABIT_FAIL_AGAIN = 8,  /* every init but the first one fails */
    HABIT_NOT_NEEDED = 16, /* init says so */
};

struct actor_card {
    const char *id;
    _Atomic unsigned habits;
    struct journal *journal; /* or NULL */
    struct latch *started;   /* or NULL */
    struct latch *gate;      /* for HABIT_SLOW_INIT */
    struct latch *entered;   /* init was entered; or NULL */
    _Atomic unsigned starts;
    _Atomic unsigned alive;   /* now */
    _Atomic unsigned handled; /* numbers */
    _Atomic bool twins;       /* two lives at once */
    _Atomic uint64_t pid;
};

struct child {
    struct puppet puppet; /* without notes; first, for puppet_receive() */
    struct actor_card *card;
};

static inline void note(struct actor_card *card, const char *sign)
{
    char word[64];

    if (card->journal != NULL) {
        snprintf(word, sizeof word, "%s%s", sign, card->id);
        journal_add(card->journal, word);
    }
}

static inline int child_init(struct troupe_actor *self, void *state, const void *arg)
{
    struct child *child = state;
    struct actor_card *card = (struct actor_card *)(uintptr_t)arg;
    unsigned start = ++card->starts;
    unsigned alive = ++card->alive;

    child->card = card;
    card->twins = card->twins || alive > 1;
    if (card->entered != NULL) {
        latch_hit(card->entered);
    }
    if (card->habits & HABIT_SLOW_INIT) {
        cr_assert(latch_wait(card->gate, start));
    }
    if ((card->habits & HABIT_FAIL_INIT) || ((card->habits & HABIT_FAIL_AGAIN) && start > 1)) {
        return troupe_fail(self, TROUPE_EPROTO, "as its habit is");
    }
    if (card->habits & HABIT_NOT_NEEDED) {
        return TROUPE_IGNORE;
    }
    if (card->habits & HABIT_IGNORE_EXIT) {
        (void)troupe_trap_exit(self, true);
    }
    card->pid = troupe_self(self);
    note(card, "+");
    if (card->started != NULL) {
        latch_hit(card->started);
    }
    return TROUPE_OK;
}

static inline int child_receive(struct troupe_actor *self, void *state, struct troupe_message *msg)
{
    struct child *child = state;

    if (troupe_is(msg, &puppet_number)) {
        child->card->handled++;
        return TROUPE_OK;
    }
    return puppet_receive(self, state, msg);
}

static inline void child_destroy(void *state)
{
    struct child *child = state;

    child->card->alive--;
    note(child->card, "-");
}

static const struct troupe_behaviour child_behaviour __attribute__((unused)) = {
    .name = "child",
    .state_size = sizeof(struct child),
    .init = child_init,
    .receive = child_receive,
    .destroy = child_destroy,
};

/* One that several numbers are sent to before it runs. */
static const struct troupe_behaviour roomy_child __attribute__((unused)) = {
    .name = "child",
    .state_size = sizeof(struct child),
    .init = child_init,
    .receive = child_receive,
    .destroy = child_destroy,
    .capacity = PUPPET_ROOM,
};

/* ---- ways to end ---- */

static const struct {
    puppet_fn fn;
    bool clean;
} ends[] __attribute__((unused)) = {
    {end_normally, true},
    {end_shutdown, true},
    {end_by_own_kill, false},
    {end_kill, false},
    {end_noproc, false},
    {end_with_error, false},
};

/* ---- helpers ---- */

static inline struct troupe_child_spec spec_of(struct actor_card *card, enum troupe_restart restart)
{
    return (struct troupe_child_spec){
        .id = card->id, .behaviour = &child_behaviour, .arg = card, .restart = restart};
}

static inline troupe_pid start(
    struct troupe_runtime *runtime, const struct troupe_supervisor_spec *spec)
{
    troupe_pid pid;

    cr_assert_eq(troupe_supervisor_start(runtime, spec, TROUPE_FOREVER, &pid), TROUPE_OK);
    return pid;
}

static inline struct troupe_child_answer ask(struct troupe_runtime *runtime, troupe_pid supervisor,
    enum troupe_child_op op, const char *id, const struct troupe_child_spec *spec)
{
    struct troupe_child_answer answer = {.status = 1};
    int status =
        troupe_runtime_child(runtime, supervisor, op, id, spec, LATCH_LIMIT_S * 1000, &answer);

    cr_assert_eq(status, answer.status, "asked for %d: %d", (int)op, status);
    return answer;
}

static inline int status_of(
    struct troupe_runtime *runtime, troupe_pid supervisor, enum troupe_child_op op, const char *id)
{
    return ask(runtime, supervisor, op, id, NULL).status;
}

static inline struct troupe_child_answer which(
    struct troupe_runtime *runtime, troupe_pid supervisor, const char *id)
{
    return ask(runtime, supervisor, TROUPE_CHILD_WHICH, id, NULL);
}

/* Waits until the child is in `state`, by asking. */
static inline void await_state(struct troupe_runtime *runtime, troupe_pid supervisor,
    const char *id, enum troupe_child_state state)
{
    struct timespec begin;
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &begin);
    do {
        if (which(runtime, supervisor, id).state == state) {
            return;
        }
        clock_gettime(CLOCK_MONOTONIC, &now);
    } while (now.tv_sec - begin.tv_sec < LATCH_LIMIT_S);
    cr_assert_fail("%s did not come to state %d", id, (int)state);
}

static inline uint64_t restarts_of(struct troupe_runtime *runtime)
{
    struct troupe_books books;

    cr_assert_eq(troupe_runtime_books(runtime, &books), TROUPE_OK);
    return books.restarts;
}

#define THREE_CARDS(with_journal)                                                                  \
    {                                                                                              \
        {.id = "a", .journal = (with_journal)}, {.id = "b", .journal = (with_journal)},            \
            {.id = "c", .journal = (with_journal)},                                                \
    }

#endif
