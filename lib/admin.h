/* SPDX-License-Identifier: MIT */
/*
 * admin.h - what one may ask a supervisor: the bodies of the requests, which hold no pointers.
 */
#ifndef TRP_ADMIN_H
#define TRP_ADMIN_H

#include "child.h"

#include <troupe/pool.h>

/** Body of a request about one child.  What comes behind it is an id, or for START a plan with one child; for START of
 * a simple_one_for_one bytes for its init. */
struct trp_admin {
    enum troupe_child_op op;
    bool is_simple;      /* for a simple_one_for_one: START, TERMINATE */
    troupe_pid pid;      /* .. TERMINATE */
    uint64_t extra_size; /* .. START: of `rest` */
    alignas(16) unsigned char rest[];
};
extern const struct troupe_type trp_admin_type;

/** Body of a request for many. */
struct trp_admin_list {
    uint32_t first;
    uint32_t limit;
};
extern const struct troupe_type trp_admin_list_type;

/** Body of a request to a pool. */
struct trp_crew_order {
    bool only_look;
    uint32_t size;
    int drain_ms; /* or TROUPE_FOREVER; no defaults any more */
};
extern const struct troupe_type trp_crew_type;

static inline const char *trp_admin_id(const struct trp_admin *admin)
{
    return (const char *)admin->rest;
}

static inline const struct trp_plan *trp_admin_plan(const struct trp_admin *admin)
{
    return (const struct trp_plan *)(const void *)admin->rest;
}

#endif
