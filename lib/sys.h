/* SPDX-License-Identifier: MIT */
/*
 * lib/sys.h - what servers, state machines and event managers have in common: books, a trace, a report when they
 * fail, and answers to the questions of troupe/sys.h.
 */
#ifndef TRP_SYS_H
#define TRP_SYS_H

#include "core.h"

#include <troupe/sys.h>

struct trp_sys_ring;

/** Part of the actor's state, behind the user's.  Zeroed before init. */
struct trp_sys {
    uint64_t since_ns;
    uint64_t requests;
    uint64_t messages;
    uint64_t notices;
    uint64_t inner;
    struct trp_sys_ring *ring; /* in the arena, once it was traced; or NULL */
    const char *last_type;     /* of the message handled last, or NULL */
    troupe_pid last_sender;
    bool traces;
    bool hibernates;
};

typedef int (*trp_sys_format_fn)(const void *state, char *text, size_t size);

/** What the behaviour knows of its actor, for an answer or a report. */
struct trp_sys_view {
    struct trp_sys *sys;
    void *state;            /* what a REPLACE replaces */
    size_t state_size;      /* of the user's part */
    const char *state_name; /* of a machine, or NULL */
    trp_sys_format_fn format;
};

/** A record of `size` bytes that ends the state of `self`. */
static inline void *trp_sys_record(const struct troupe_actor *self, size_t size)
{
    return (char *)self->state + self->behaviour->state_size - size;
}

/** At the beginning of init. */
void trp_sys_begin(struct troupe_actor *self, struct trp_sys *sys);

/** `msg` is about to be handled. */
void trp_sys_note(struct troupe_actor *self, struct trp_sys *sys, const struct troupe_message *msg);

/** Answers a system message.  Returns what a `receive` returns. */
int trp_sys_receive(
    struct troupe_actor *self, const struct trp_sys_view *view, struct troupe_message *msg);

/** Reports the end of `self` if its reason is not clean. */
void trp_sys_report(
    struct troupe_actor *self, const struct trp_sys_view *view, const struct troupe_reason *reason);

/** Ends `self` if `msg` is an exit signal that also one who traps exits obeys: then it does not return. */
void trp_sys_obey(struct troupe_actor *self, const struct troupe_message *msg);

/** What a callback of the user's returned, with numbers that mean nothing turned into a failure. */
int trp_sys_status(struct troupe_actor *self, int status);

/** The same of an init, which may also say TROUPE_IGNORE. */
static inline int trp_sys_init_status(struct troupe_actor *self, int status)
{
    return status == TROUPE_IGNORE ? status : trp_sys_status(self, status);
}

#endif
