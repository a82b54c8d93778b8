/* SPDX-License-Identifier: MIT */
/*
 * otp.h - what a supervision tree does, after the rules of OTP: a model to hold the real one against.
 *
 * It knows no time and no threads.  One thing happens, and the model says at once all that follows from it, up to the
 * root: who ends and who starts, in which order, written into a journal; and what the tree is then.
 *
 *   +path   an init that went well          !path   one that failed
 *   ?path   one that was not needed         -path   an end
 *
 * A plan is what a child was specified to be, a seat is a child of a supervisor that lives, with or without somebody in
 * it.  Supervisors write nothing into the journal.  The rules are told where they are followed; their numbers are those
 * of the table in troupe/supervisor.h and of OTP's documentation of supervisor.
 */
#ifndef TEST_OTP_H
#define TEST_OTP_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <troupe.h>

#define OTP_CHILDREN_MAX 32
#define OTP_JOURNAL_SIZE 32768

/** What somebody's next inits come to. */
struct otp_luck {
    unsigned fails;   /* so many fail */
    unsigned ignores; /* then so many are not needed */
};

struct otp_plan {
    char id[12];
    char path[80];
    bool is_supervisor;
    enum troupe_restart restart;
    enum troupe_directive directive;
    bool significant;
    struct otp_luck luck;

    /* A supervisor's. */
    enum troupe_strategy strategy;
    enum troupe_auto_shutdown auto_shutdown;
    unsigned intensity;
    struct otp_plan *children[OTP_CHILDREN_MAX]; /* of a simple one-for-one: none */
    unsigned count;
};

struct otp_seat {
    struct otp_plan *plan;
    struct otp_seat *parent; /* NULL: the root */
    bool alive;

    /* A supervisor's, while it lives. */
    struct otp_seat *seats[OTP_CHILDREN_MAX];
    unsigned count;
    unsigned restarts;
};

struct otp_journal {
    char text[OTP_JOURNAL_SIZE];
    size_t length;
};

static struct otp_journal otp_journal;

static inline void otp_note(struct otp_journal *journal, char sign, const char *path)
{
    int written = snprintf(journal->text + journal->length, sizeof journal->text - journal->length,
        " %c%s", sign, path);

    if (written > 0 && journal->length + (size_t)written < sizeof journal->text) {
        journal->length += (size_t)written;
    }
}

/** What the next init does: '+', '!' or '?'. */
static inline char otp_draw(struct otp_luck *luck)
{
    if (luck->fails > 0) {
        luck->fails--;
        return '!';
    }
    if (luck->ignores > 0) {
        luck->ignores--;
        return '?';
    }
    return '+';
}

/* ---- seats ---- */

static inline struct otp_seat *otp_seat_new(struct otp_plan *plan, struct otp_seat *parent)
{
    struct otp_seat *seat = calloc(1, sizeof *seat);

    if (seat == NULL) {
        abort();
    }
    seat->plan = plan;
    seat->parent = parent;
    return seat;
}

static inline void otp_vacate(struct otp_seat *seat);

static inline void otp_seat_free(struct otp_seat *seat)
{
    otp_vacate(seat);
    free(seat);
}

/** A supervisor that ended remembers nobody. */
static inline void otp_vacate(struct otp_seat *seat)
{
    while (seat->count > 0) {
        otp_seat_free(seat->seats[--seat->count]);
    }
    seat->alive = false;
    seat->restarts = 0;
}

static inline unsigned otp_index(const struct otp_seat *seat)
{
    unsigned index = 0;

    while (seat->parent->seats[index] != seat) {
        index++;
    }
    return index;
}

static inline struct otp_seat *otp_add(struct otp_seat *parent, struct otp_plan *plan)
{
    parent->seats[parent->count] = otp_seat_new(plan, parent);
    return parent->seats[parent->count++];
}

static inline void otp_remove(struct otp_seat *seat)
{
    struct otp_seat *parent = seat->parent;
    unsigned index = otp_index(seat);

    parent->count--;
    memmove(&parent->seats[index], &parent->seats[index + 1],
        (parent->count - index) * sizeof(struct otp_seat *));
    otp_seat_free(seat);
}

static inline bool otp_is_simple(const struct otp_seat *seat)
{
    return seat->plan->strategy == TROUPE_SIMPLE_ONE_FOR_ONE;
}

/** Whoever is in it has ended and is not started again: the specs of temporary children, and the children of a simple
 * one-for-one, are forgotten. */
static inline void otp_rest(struct otp_seat *seat)
{
    otp_vacate(seat);
    if (seat->plan->restart == TROUPE_TEMPORARY || otp_is_simple(seat->parent)) {
        otp_remove(seat);
    }
}

/* ---- starting and stopping ---- */

static inline void otp_stop(struct otp_seat *seat);

/** Right to left. */
static inline void otp_stop_from(struct otp_seat *supervisor, unsigned from)
{
    for (unsigned i = supervisor->count; i > from; i--) {
        if (supervisor->seats[i - 1]->alive) {
            otp_stop(supervisor->seats[i - 1]);
        }
    }
}

static inline void otp_stop(struct otp_seat *seat)
{
    if (seat->plan->is_supervisor) {
        otp_stop_from(seat, 0);
    } else {
        otp_note(&otp_journal, '-', seat->plan->path);
    }
    otp_vacate(seat);
}

static inline char otp_start(struct otp_seat *seat);

/** Left to right; the first that fails takes those before it along. */
static inline char otp_start_children(struct otp_seat *supervisor)
{
    for (unsigned i = 0; i < supervisor->plan->count; i++) {
        (void)otp_add(supervisor, supervisor->plan->children[i]);
    }
    for (unsigned i = 0; i < supervisor->count;) {
        struct otp_seat *seat = supervisor->seats[i];
        char outcome = otp_start(seat);

        if (outcome == '!') {
            otp_stop_from(supervisor, 0);
            otp_vacate(supervisor);
            return '!';
        }
        if (outcome == '?' && seat->plan->restart == TROUPE_TEMPORARY) {
            otp_remove(seat);
        } else {
            i++;
        }
    }
    return '+';
}

/** Starts whoever belongs into an empty seat: '+'; '!': it failed; '?': it is not needed. */
static inline char otp_start(struct otp_seat *seat)
{
    char outcome;

    if (seat->plan->is_supervisor) {
        outcome = otp_start_children(seat);
    } else {
        outcome = otp_draw(&seat->plan->luck);
        otp_note(&otp_journal, outcome, seat->plan->path);
    }
    seat->alive = outcome == '+';
    return outcome;
}

/* ---- ends ---- */

static inline void otp_ended(struct otp_seat *seat, const struct troupe_reason *reason);

/** A supervisor ends by itself: stops its children, and then is a child that ended. */
static inline void otp_end(struct otp_seat *supervisor, const struct troupe_reason *reason)
{
    otp_stop_from(supervisor, 0);
    otp_vacate(supervisor);
    if (supervisor->parent != NULL) {
        otp_ended(supervisor, reason);
    }
}

/** Whether this attempt to restart is one too many; then the supervisor has ended. */
static inline bool otp_gives_up(struct otp_seat *supervisor)
{
    static const struct troupe_reason shutdown = {.kind = TROUPE_EXIT_SHUTDOWN};

    supervisor->restarts++;
    if (supervisor->restarts <= supervisor->plan->intensity) {
        return false;
    }
    otp_end(supervisor, &shutdown);
    return true;
}

/** One for one: again and again, each time charged. */
static inline void otp_restart_one(struct otp_seat *seat)
{
    char outcome = '!';

    while (outcome == '!') {
        if (otp_gives_up(seat->parent)) {
            return;
        }
        outcome = otp_start(seat);
    }
    if (outcome == '?') {
        otp_rest(seat);
    }
}

/** Starts all from `from` on, those that rested as well.  Returns who failed, or NULL: then later ones are down. */
static inline struct otp_seat *otp_start_from(struct otp_seat *supervisor, unsigned from)
{
    for (unsigned i = from; i < supervisor->count;) {
        struct otp_seat *seat = supervisor->seats[i];
        char outcome = otp_start(seat);

        if (outcome == '!') {
            return seat;
        }
        if (outcome == '?' && seat->plan->restart == TROUPE_TEMPORARY) {
            otp_remove(seat);
        } else {
            i++;
        }
    }
    return NULL;
}

/** Of those from `from` on the temporary ones are forgotten once they are down. */
static inline void otp_forget_from(struct otp_seat *supervisor, unsigned from)
{
    for (unsigned i = supervisor->count; i > from; i--) {
        if (supervisor->seats[i - 1]->plan->restart == TROUPE_TEMPORARY) {
            otp_remove(supervisor->seats[i - 1]);
        }
    }
}

/** All, or the rest: down in reverse, up in order; one charge for each attempt. */
static inline void otp_restart_group(struct otp_seat *seat)
{
    struct otp_seat *supervisor = seat->parent;

    while (seat != NULL) {
        unsigned from = supervisor->plan->strategy == TROUPE_ONE_FOR_ALL ? 0 : otp_index(seat);

        if (otp_gives_up(supervisor)) {
            return;
        }
        otp_stop_from(supervisor, from);
        otp_forget_from(supervisor, from);
        seat = otp_start_from(supervisor, from);
    }
}

static inline bool otp_has_significant(const struct otp_seat *supervisor)
{
    for (unsigned i = 0; i < supervisor->count; i++) {
        if (supervisor->seats[i]->alive && supervisor->seats[i]->plan->significant) {
            return true;
        }
    }
    return false;
}

/** It ended by itself and is not restarted: perhaps that was what the supervisor was for. */
static inline void otp_finished(struct otp_seat *seat)
{
    static const struct troupe_reason shutdown = {.kind = TROUPE_EXIT_SHUTDOWN};
    struct otp_seat *supervisor = seat->parent;
    bool significant = seat->plan->significant;

    otp_rest(seat);
    if (significant && (supervisor->plan->auto_shutdown == TROUPE_SHUTDOWN_ANY_SIGNIFICANT ||
                           !otp_has_significant(supervisor))) {
        otp_end(supervisor, &shutdown);
    }
}

/** What is done about the end of a child: its own word first, then its restart type. */
static inline enum troupe_directive otp_directive(
    const struct otp_plan *plan, const struct troupe_reason *reason)
{
    bool clean = reason->kind == TROUPE_EXIT_NORMAL || reason->kind == TROUPE_EXIT_SHUTDOWN;

    if (plan->directive == TROUPE_DECIDE_ESCALATE) {
        return TROUPE_DECIDE_ESCALATE;
    }
    if (plan->restart == TROUPE_TEMPORARY) {
        return TROUPE_DECIDE_STOP;
    }
    if (plan->directive == TROUPE_DECIDE_STOP || plan->directive == TROUPE_DECIDE_RESTART) {
        return plan->directive;
    }
    return plan->restart == TROUPE_TRANSIENT && clean ? TROUPE_DECIDE_STOP : TROUPE_DECIDE_RESTART;
}

/** Somebody who ran has ended, and its seat is empty. */
static inline void otp_ended(struct otp_seat *seat, const struct troupe_reason *reason)
{
    struct otp_seat *supervisor = seat->parent;

    switch (otp_directive(seat->plan, reason)) {
    case TROUPE_DECIDE_ESCALATE:
        otp_rest(seat);
        otp_end(supervisor, reason);
        return;
    case TROUPE_DECIDE_STOP:
        otp_finished(seat);
        return;
    default:
        break;
    }
    if (supervisor->plan->strategy == TROUPE_ONE_FOR_ALL ||
        supervisor->plan->strategy == TROUPE_REST_FOR_ONE) {
        otp_restart_group(seat);
    } else {
        otp_restart_one(seat);
    }
}

/** Whoever is in `seat` ends by itself, or is killed: then all below it go, in no order. */
static inline void otp_die(struct otp_seat *seat, const struct troupe_reason *reason)
{
    otp_stop(seat);
    if (seat->parent != NULL) {
        otp_ended(seat, reason);
    }
}

/* ---- what is asked ---- */

static inline struct otp_seat *otp_find(struct otp_seat *supervisor, const char *id)
{
    for (unsigned i = 0; i < supervisor->count; i++) {
        if (strcmp(supervisor->seats[i]->plan->id, id) == 0) {
            return supervisor->seats[i];
        }
    }
    return NULL;
}

/** Adds a child as the last one.  A failure saves nothing. */
static inline int otp_ask_start(struct otp_seat *supervisor, struct otp_plan *plan)
{
    struct otp_seat *seat;
    char outcome;

    if (otp_find(supervisor, plan->id) != NULL) {
        return TROUPE_EEXIST;
    }
    seat = otp_add(supervisor, plan);
    outcome = otp_start(seat);
    if (outcome == '!') {
        otp_remove(seat);
        return TROUPE_EPROTO;
    }
    if (outcome == '?') {
        otp_rest(seat);
    }
    return TROUPE_OK;
}

static inline int otp_ask(struct otp_seat *supervisor, enum troupe_child_op op, const char *id)
{
    struct otp_seat *seat = otp_find(supervisor, id);
    char outcome;

    if (seat == NULL) {
        return TROUPE_ENOENT;
    }
    switch (op) {
    case TROUPE_CHILD_TERMINATE:
        if (seat->alive) {
            otp_stop(seat);
        }
        otp_rest(seat);
        return TROUPE_OK;
    case TROUPE_CHILD_RESTART:
        if (seat->alive) {
            return TROUPE_EBUSY;
        }
        outcome = otp_start(seat);
        return outcome == '!' ? TROUPE_EPROTO : TROUPE_OK;
    case TROUPE_CHILD_DELETE:
        if (seat->alive) {
            return TROUPE_EBUSY;
        }
        otp_remove(seat);
        return TROUPE_OK;
    default:
        return TROUPE_OK;
    }
}

#endif
